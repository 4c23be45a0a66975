/* What:      a look at encoded properties and tables before the codec may see them: librabbitmq 0.11 recurses
 *            once for each level of a nested table, without end. A 7 KB header killed a consumer with a
 *            64 KiB stack, and again after each restart, because the broker delivers it again.
 * Ownership: nothing is kept.
 * Context:   any. Callbacks: none.
 * Errors:    TUG_EPROTO malformed, TUG_ELIMIT nested too deeply; no detail is set. */
#ifndef TUG_AMQP_SCAN_H
#define TUG_AMQP_SCAN_H

#include <tug/base.h>

/* Tables and lists within each other, the outermost one counted: as deep as RabbitMQ's Java
 * client goes. 32 levels cost the codec at most 5 KiB of stack. */
#define TUG__AMQP_DEPTH_MAX 32

/* The table that starts (with its 4 bytes of length) at data. ret_size: its bytes, with the
 * length; ret_fields: those of the outermost table. Either may be NULL. */
int tug__amqp_scan_table(const uint8_t *data, size_t size, size_t *ret_size,
                         size_t *ret_fields) TUG_CHECK;

typedef struct tug__amqp_props {
    size_t headers_at;   /* where the headers table begins, counted from the flags; 0: none */
    size_t headers_size; /* with its 4 bytes of length */
    size_t n_headers;
    int headers_rc; /* 0, or why the codec must not see the headers: TUG_ELIMIT, TUG_EPROTO */
} tug__amqp_props;

/* Encoded properties of class basic, from their flags on. Only what cannot be walked past is an
 * error: a table with bad content but a good length is reported in headers_rc. */
int tug__amqp_scan_props(const uint8_t *data, size_t size, tug__amqp_props *ret_props) TUG_CHECK;

#endif
