/* What:      which deliveries of a channel are out, and what is to be told to the broker at the end of the turn.
 * Ownership: embedded in the consumer; borrows the deliveries while they are out.
 * Context:   the loop's thread; flush on the loop's stack.
 * Callbacks: none.
 * Errors:    reserve may run out of memory, so that settling never does. */
#ifndef TUG_AMQP_LEDGER_H
#define TUG_AMQP_LEDGER_H

#include <tug/amqp.h>

#include "channel.h"

enum {
    TUG__AMQP_ACK,
    TUG__AMQP_REQUEUE, /* nack */
    TUG__AMQP_REJECT
};

typedef struct tug__amqp_settle {
    uint64_t tag;
    int how;
} tug__amqp_settle;

typedef struct tug__amqp_ledger {
    tug_amqp_delivery *oldest, *newest; /* out and not settled, by tag */
    size_t n_out;
    tug__amqp_settle *settles; /* of this turn; there is room for all that are out */
    size_t n_settles, max_settles;
} tug__amqp_ledger;

void tug__amqp_ledger_free(tug__amqp_ledger *l);
/* Room for the fate of one more delivery. */
bool tug__amqp_ledger_reserve(tug__amqp_ledger *l);
/* It is out: after reserve, in the order of the tags. */
void tug__amqp_ledger_add(tug__amqp_ledger *l, tug_amqp_delivery *d);
void tug__amqp_ledger_settle(tug__amqp_ledger *l, tug_amqp_delivery *d, int how);
/* The channel is gone: all that are out are lost, nothing is told. */
void tug__amqp_ledger_lose(tug__amqp_ledger *l);
/* Tells the broker. False: the connection has failed, and l may be gone. */
bool tug__amqp_ledger_flush(tug__amqp_ledger *l, tug__amqp_channel *ch);

#endif
