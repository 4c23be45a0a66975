/* What:      channels: numbers, opening and closing, and who gets the methods and contents that come.
 * Ownership: embedded in topology, publisher or consumer. The connection's table borrows it from open until its
 *            closed call, or until the connection ends.
 * Context:   the loop's thread; the callbacks on the loop's stack.
 * Callbacks: the ops. Those that return int: 0, or TUG__AMQP_STOP once the connection was failed.
 * Errors:    the broker's channel.close comes as closed with its words; it hurts no other channel. */
#ifndef TUG_AMQP_CHANNEL_H
#define TUG_AMQP_CHANNEL_H

#include "conn.h"

typedef struct tug__amqp_channel tug__amqp_channel;

/* Why the broker refused something. */
typedef struct tug__amqp_reply {
    unsigned code;
    char words[160]; /* one clean line */
} tug__amqp_reply;

typedef struct tug__amqp_channel_ops {
    void (*opened)(tug__amqp_channel *ch);
    int (*method)(tug__amqp_channel *ch, amqp_method_number_t method, const void *decoded);
    /* A content's header: encoded properties from their flags on (at least 2 bytes). NULL: the
     * class has none. */
    int (*header)(tug__amqp_channel *ch, const uint8_t *props, size_t size, uint64_t body_size);
    /* The next bytes of the body, never more than the header said. */
    int (*body)(tug__amqp_channel *ch, const uint8_t *part, size_t size);
    int (*complete)(tug__amqp_channel *ch);
    /* The broker closed it (reply), or has agreed to close it (NULL). It may be opened again, or
     * freed. */
    void (*closed)(tug__amqp_channel *ch, const tug__amqp_reply *reply);
} tug__amqp_channel_ops;

enum {
    TUG__AMQP_CHANNEL_NONE,    /* no number */
    TUG__AMQP_CHANNEL_OPENING, /* open sent */
    TUG__AMQP_CHANNEL_OPEN,
    TUG__AMQP_CHANNEL_CLOSING /* close sent: what still comes is dropped */
};

enum {
    TUG__AMQP_CONTENT_NONE,   /* methods may come */
    TUG__AMQP_CONTENT_HEADER, /* deliver or return came: its header must be next */
    TUG__AMQP_CONTENT_BODY    /* body frames must be next */
};

struct tug__amqp_channel {
    const tug__amqp_channel_ops *ops;
    tug__amqp_conn *conn;
    uint64_t body_left;
    uint16_t id; /* 0: none */
    uint8_t state;
    uint8_t content;
};

/* Takes a number and sends channel.open. TUG_ELIMIT: all numbers are in use; TUG_ENOMEM,
 * TUG_ECLOSED. */
int tug__amqp_channel_open(tug__amqp_channel *ch) TUG_CHECK;
/* Sends channel.close; closed(ch, NULL) follows unless the connection ends before. */
void tug__amqp_channel_close(tug__amqp_channel *ch);
/* The connection is gone: forgets the number. */
void tug__amqp_channel_forget(tug__amqp_channel *ch);
bool tug__amqp_channel_send(tug__amqp_channel *ch, amqp_method_number_t method,
                            const void *arguments, size_t room);

/* code and text as they came. */
void tug__amqp_reply_read(tug__amqp_reply *reply, unsigned code, amqp_bytes_t text);
/* Fills *e: "amqp host:port: WHAT: 404 NOT_FOUND - no queue ...". sent: how far the operation
 * got. */
void tug__amqp_reply_error(tug_error *e, const tug__amqp_conn *c, int sent, const char *what,
                           const tug__amqp_reply *reply);

/* The parser's callbacks (conn.c sets them). arg: the connection. */
int tug__amqp_on_frame(void *arg, uint8_t type, uint16_t channel, const uint8_t *payload,
                       size_t size);
int tug__amqp_on_body(void *arg, uint16_t channel, const uint8_t *part, size_t size, bool last);

#endif
