/* What:      one message from the broker: made when its content header has come, filled by the body frames.
 * Ownership: counted. One piece of memory holds the struct, names, properties, headers and body.
 * Context:   the loop's thread; making one decodes, on the loop's stack.
 * Callbacks: tug__amqp_consumer_settle, when it is settled or forgotten.
 * Errors:    TUG_EPROTO, TUG_ENOMEM. */
#ifndef TUG_AMQP_DELIVERY_H
#define TUG_AMQP_DELIVERY_H

#include <tug/amqp.h>

#include "codec.h"

enum {
    TUG__AMQP_OUT,     /* the broker waits for our word */
    TUG__AMQP_SETTLED, /* it was given */
    TUG__AMQP_LOST,    /* the channel ended before: the broker has requeued it */
    TUG__AMQP_NO_ACK   /* there was never anything to say */
};

struct tug_amqp_delivery {
    struct tug_amqp_delivery *next;          /* in the consumer's buffer */
    struct tug_amqp_delivery *newer, *older; /* among those that are out */
    tug_amqp_consumer *consumer;             /* counted */
    uint64_t tag;
    unsigned refs;
    uint8_t state;
    bool is_redelivered;
    int headers_rc; /* why headers are not to be read; 0 */
    const char *exchange, *routing_key;
    const char *content_type, *correlation_id, *message_id, *type; /* NULL: absent */
    amqp_table_entry_t *headers;
    size_t n_headers;
    uint8_t *body;
    size_t body_size, body_got;
};

/* What basic.deliver said, kept until the header comes. */
typedef struct tug__amqp_announced {
    uint64_t tag;
    bool is_redelivered;
    uint8_t exchange_size, routing_key_size;
    char exchange[255], routing_key[255];
} tug__amqp_announced;

/* props: encoded, from their flags on. pool: for decoding only. */
int tug__amqp_delivery_new(const tug__amqp_announced *a, const uint8_t *props, size_t size,
                           uint64_t body_size, amqp_pool_t *pool,
                           tug_amqp_delivery **ret_delivery) TUG_CHECK;

#endif
