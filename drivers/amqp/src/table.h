/* What:      what the caller gives (names, tables, option structs), checked and brought into the codec's form.
 * Ownership: the codec's structs borrow from the caller's.
 * Context:   any. Callbacks: none.
 * Errors:    TUG_EINVAL, TUG_ERANGE with a sentence in the detail. */
#ifndef TUG_AMQP_TABLE_H
#define TUG_AMQP_TABLE_H

#include <tug/amqp.h>

#include "codec.h"

/* Short strings carry their length in one byte. */
#define TUG__AMQP_SHORT_MAX 255

/* what: "queue name". NULL, or longer than 255 bytes: TUG_EINVAL; empty too unless that means
 * something. */
int tug__amqp_check_name(const char *what, const char *name, bool may_be_empty) TUG_CHECK;
/* The codec itself would cut the length of a longer name to its low byte: a 260-byte key was
 * seen to arrive as three headers, one of them forged. */
int tug__amqp_check_table(const char *what, const struct tug_amqp_table *t) TUG_CHECK;
/* Bytes of the encoded table, its 4 bytes of length included. t was checked. */
size_t tug__amqp_table_room(const struct tug_amqp_table *t);
/* entries: room for t->n. t was checked. */
void tug__amqp_table_fill(const struct tug_amqp_table *t, amqp_table_entry_t *entries,
                          amqp_table_t *ret_table);

/* Copies as much of an option struct as its first field says that the caller knows over the
 * defaults in to. from NULL: nothing. what: "tug_amqp_options". */
int tug__amqp_take_options(const char *what, void *to, size_t size, const void *from) TUG_CHECK;

/* A method frame, whole, in size bytes at to: its length, or a negative status of the codec. */
int tug__amqp_encode_frame(uint8_t *to, size_t size, uint16_t channel, amqp_method_number_t method,
                           const void *arguments) TUG_CHECK;

/* Copies the peer's words as one clean line: control characters become spaces. */
void tug__amqp_clean_text(char *to, size_t size, amqp_bytes_t text);

#endif
