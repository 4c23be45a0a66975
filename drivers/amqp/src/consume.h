/* What:      consumers: each on a channel of its own, with its buffer, its waiting tasks and the settles of the turn.
 * Ownership: counted: the user's reference until close, the handle's list until its end, one for each delivery and
 *            for each task that waits.
 * Context:   the loop's thread.
 * Callbacks: none.
 * Errors:    next says why it ended. */
#ifndef TUG_AMQP_CONSUME_H
#define TUG_AMQP_CONSUME_H

#include <tug/amqp.h>
#include <tug/sys/inspect.h>

#include "channel.h"

void tug__amqp_consumer_unref(tug_amqp_consumer *c);
/* The calling thread is that of its loop. */
bool tug__amqp_consumer_is_here(const tug_amqp_consumer *c);
/* Settles a delivery that is out. Never fails: the room to note it was made when it came. */
void tug__amqp_consumer_settle(tug_amqp_consumer *c, tug_amqp_delivery *d, int how);
/* Why deliveries that were out are lost: sets the detail. */
int tug__amqp_consumer_lost(const tug_amqp_consumer *c);

/* The connection has opened: what waited for it is sent. */
void tug__amqp_consumers_go(struct tug_amqp *mq);
/* Sends the settles of this turn now. */
void tug__amqp_consumers_flush(struct tug_amqp *mq);
/* All end: why NULL: with 0. */
void tug__amqp_consumers_end(struct tug_amqp *mq, const tug_error *why);

/* What tug_inspect says of them. */
void tug__amqp_consumers_show(tug_inspect_writer *w, const struct tug_amqp *mq);

#endif
