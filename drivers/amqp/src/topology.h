/* What:      declare, bind, delete, purge: one request at a time on a channel of its own, which is opened again when
 *            the broker has closed it over a request that it refused.
 * Ownership: embedded in the handle. Requests live in their futures.
 * Context:   the loop's thread.
 * Callbacks: none.
 * Errors:    the broker's words in the request's future; the channel's end hurts nobody else. */
#ifndef TUG_AMQP_TOPOLOGY_H
#define TUG_AMQP_TOPOLOGY_H

#include <tug/future.h>

#include "channel.h"

struct topology_request;

typedef struct tug__amqp_topology {
    tug__amqp_channel channel;
    struct topology_request *first, *last; /* in order of the calls; first may have been sent */
    amqp_method_number_t expected; /* the answer that the sent one awaits; 0: none was sent */
    char what[100];                /* of the sent one: its future may be gone */
} tug__amqp_topology;

void tug__amqp_topology_init(tug__amqp_topology *t, tug__amqp_conn *c);
/* Sends what can be sent: the connection is open, or a request came. */
void tug__amqp_topology_go(tug__amqp_topology *t);
/* Everything pending fails. */
void tug__amqp_topology_end(tug__amqp_topology *t, const tug_error *why);

#endif
