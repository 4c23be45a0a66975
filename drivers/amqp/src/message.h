/* What:      a message on its way out: checked, reckoned, encoded into frames.
 * Ownership: borrows from the caller of publish.
 * Context:   any: what is encoded is flat. Callbacks: none.
 * Errors:    check says what is wrong; the rest cannot fail. */
#ifndef TUG_AMQP_MESSAGE_H
#define TUG_AMQP_MESSAGE_H

#include <tug/amqp.h>

#include "channel.h"

/* basic.return names no message: it echoes the properties. So mandatory messages carry a number
 * of ours. */
#define TUG__AMQP_ID_HEADER "x-tug-id"

typedef struct tug__amqp_outgoing {
    const char *exchange, *routing_key;
    tug_amqp_message m;
    uint64_t return_id; /* of a mandatory message */
} tug__amqp_outgoing;

/* Fills call->m from m. */
int tug__amqp_message_check(tug__amqp_outgoing *call, const tug_amqp_message *m,
                            size_t max_body) TUG_CHECK;
/* What method frame and header frame need at most. */
size_t tug__amqp_message_room(const tug__amqp_outgoing *call);
/* Both frames, in size bytes at to: their length. */
size_t tug__amqp_message_heads(const tug__amqp_outgoing *call, uint16_t channel, uint8_t *to,
                               size_t size);
/* What the frames of a body need on this connection. */
size_t tug__amqp_message_body_room(const tug__amqp_conn *c, size_t size);
/* The body cut into frames: the bytes written. */
size_t tug__amqp_message_body(const tug__amqp_channel *ch, uint8_t *to, const void *body,
                              size_t size);

#endif
