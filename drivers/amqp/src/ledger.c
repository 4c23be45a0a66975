#include "ledger.h"

#include <assert.h>
#include <tug/sys/alloc.h>

#include "delivery.h"

void tug__amqp_ledger_free(tug__amqp_ledger *l)
{
    assert(l->oldest == NULL && "a consumer went before its deliveries");
    tug_free(l->settles);
    l->settles = NULL;
}

bool tug__amqp_ledger_reserve(tug__amqp_ledger *l)
{
    if (l->n_out + l->n_settles < l->max_settles) {
        return true;
    }
    size_t n = l->max_settles == 0 ? 16 : 2 * l->max_settles;
    tug__amqp_settle *settles = tug_realloc(l->settles, n * sizeof *settles);
    if (settles != NULL) {
        l->settles = settles;
        l->max_settles = n;
    }
    return settles != NULL;
}

void tug__amqp_ledger_add(tug__amqp_ledger *l, tug_amqp_delivery *d)
{
    d->state = TUG__AMQP_OUT;
    d->older = l->newest;
    *(l->newest != NULL ? &l->newest->newer : &l->oldest) = d;
    l->newest = d;
    l->n_out++;
}

static void ledger_remove(tug__amqp_ledger *l, tug_amqp_delivery *d, uint8_t state)
{
    *(d->older != NULL ? &d->older->newer : &l->oldest) = d->newer;
    *(d->newer != NULL ? &d->newer->older : &l->newest) = d->older;
    d->older = d->newer = NULL;
    d->state = state;
    l->n_out--;
}

void tug__amqp_ledger_settle(tug__amqp_ledger *l, tug_amqp_delivery *d, int how)
{
    ledger_remove(l, d, TUG__AMQP_SETTLED);
    assert(l->n_settles < l->max_settles && "the room to settle was not reserved");
    l->settles[l->n_settles++] = (tug__amqp_settle){d->tag, how};
}

void tug__amqp_ledger_lose(tug__amqp_ledger *l)
{
    l->n_settles = 0;
    while (l->oldest != NULL) {
        ledger_remove(l, l->oldest, TUG__AMQP_LOST);
    }
}

static bool ledger_ack(tug__amqp_channel *ch, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = multiple};
    return tug__amqp_channel_send(ch, AMQP_BASIC_ACK_METHOD, &m, 9);
}

static bool ledger_nack(tug__amqp_channel *ch, const tug__amqp_settle *s)
{
    amqp_basic_nack_t nack = {.delivery_tag = s->tag, .requeue = 1};
    amqp_basic_reject_t reject = {.delivery_tag = s->tag, .requeue = 0};
    return s->how == TUG__AMQP_REQUEUE
               ? tug__amqp_channel_send(ch, AMQP_BASIC_NACK_METHOD, &nack, 9)
               : tug__amqp_channel_send(ch, AMQP_BASIC_REJECT_METHOD, &reject, 9);
}

/* One ack with multiple stands for all below the oldest that is still out: each of those was
 * acked in this turn, or told to the broker before. Its tag must be one of this turn: RabbitMQ
 * closes the channel over a tag that it has forgotten. Those above the oldest one out are acked
 * one by one. */
static bool ledger_acks(const tug__amqp_settle *settles, size_t n, uint64_t below,
                        tug__amqp_channel *ch)
{
    uint64_t top = 0;
    size_t n_below = 0;
    for (size_t i = 0; i < n; i++) {
        if (settles[i].how == TUG__AMQP_ACK && settles[i].tag < below) {
            top = settles[i].tag > top ? settles[i].tag : top;
            n_below++;
        }
    }
    if (n_below > 0 && !ledger_ack(ch, top, n_below > 1)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (settles[i].how == TUG__AMQP_ACK && settles[i].tag > below &&
            !ledger_ack(ch, settles[i].tag, false)) {
            return false;
        }
    }
    return true;
}

bool tug__amqp_ledger_flush(tug__amqp_ledger *l, tug__amqp_channel *ch)
{
    uint64_t below = l->oldest != NULL ? l->oldest->tag : UINT64_MAX;
    size_t n = l->n_settles;
    l->n_settles =
        0; /* now: a failure on the way may end the channel, and its consumer with this memory */
    for (size_t i = 0; i < n; i++) {
        if (l->settles[i].how != TUG__AMQP_ACK && !ledger_nack(ch, &l->settles[i])) {
            return false;
        }
    }
    return n == 0 || ledger_acks(l->settles, n, below, ch);
}
