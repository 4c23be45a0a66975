/* Opening and closing a pool, its slots and their states. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "internal.h"

/* Its address tells one thread from another, at the price of an addition. */
static __thread char home_mark __attribute__((tls_model("initial-exec")));

bool tug__pool_is_home(const tug_pool *p)
{
    return p->home == &home_mark;
}

/* --- slots --------------------------------------------------------------------------------------- */

/* Where a slot may go from each state, as bits. */
static const uint8_t edges[SLOT__MAX] = {
    [SLOT_OPENING] = 1u << SLOT_IDLE | 1u << SLOT_BUSY | 1u << SLOT_CLOSING,
    [SLOT_IDLE] = 1u << SLOT_BUSY | 1u << SLOT_CHECKING | 1u << SLOT_CLOSING,
    [SLOT_BUSY] = 1u << SLOT_IDLE | 1u << SLOT_BUSY | 1u << SLOT_RESETTING | 1u << SLOT_CLOSING |
                  1u << SLOT_LOST,
    [SLOT_CHECKING] = 1u << SLOT_IDLE | 1u << SLOT_BUSY | 1u << SLOT_CLOSING,
    [SLOT_RESETTING] = 1u << SLOT_IDLE | 1u << SLOT_BUSY | 1u << SLOT_CLOSING,
};

void tug__slot_set_state(tug_lease *s, enum slot_state to)
{
    tug_pool *p = s->pool;
    if ((edges[s->state] & 1u << to) == 0) {
        tug_log(TUG_LOG_ERROR, "pool", "bug: a slot went from state %d to %d pool=%s", s->state,
                (int)to, p->name);
        abort();
    }
    assert(p->n[s->state] > 0 && "a slot is counted in its state");
    p->n[s->state]--;
    p->n[to]++;
    s->state = (uint8_t)to;
}

tug_lease *tug__slot_new(tug_pool *p)
{
    tug_lease *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->pool = p;
    s->state = SLOT_OPENING;
    s->since = tug_turn_time();
    s->expires = TUG_FOREVER;
    s->generation = p->generation;
    ring_init(&s->link);
    ring_insert(p->all.prev, &s->all);
    p->n[SLOT_OPENING]++;
    p->total++;
    assert(p->total <= p->o.max && "an open never leads beyond max");
    return s;
}

void tug__slot_free(tug_lease *s)
{
    tug_pool *p = s->pool;
    assert(s->scope == NULL && "an op still runs on a slot that goes");
    ring_leave(&s->link);
    ring_leave(&s->all);
    p->n[s->state]--;
    p->total--;
    tug_free(s);
}

bool tug__slot_is_usable(const tug_lease *s)
{
    const tug_pool_ops *ops = &s->pool->ops;
    return ops->is_usable == NULL || ops->is_usable(s->resource);
}

/* --- open ---------------------------------------------------------------------------------------- */

static void on_end(void *arg)
{
    tug_pool_close(arg);
}

int tug_pool_open(const tug_pool_ops *ops, void *ctx, const tug_pool_options *o,
                  tug_pool **ret_pool)
{
    tug_pool_ops own_ops;
    tug_pool_options own;
    if (!tug_has_loop("tug_pool_open")) {
        return TUG_EMISUSE;
    }
    if (tug__pool_copy_ops(ops, &own_ops) < 0 || tug__pool_copy_options(o, &own) < 0) {
        return TUG_EINVAL;
    }
    tug_pool *p = tug_calloc(1, sizeof *p);
    if (p == NULL) {
        return tug_fail(TUG_ENOMEM, "tug_pool_open: out of memory");
    }
    p->ops = own_ops;
    p->ctx = ctx;
    p->o = own;
    strncpy(p->name, own.name != NULL ? own.name : "pool", sizeof p->name - 1);
    p->o.name = p->name;
    p->home = &home_mark;
    p->window = 1;
    p->upkeep_at = TUG_FOREVER;
    ring_init(&p->idle);
    ring_init(&p->lent);
    ring_init(&p->leaks);
    ring_init(&p->jobs);
    ring_init(&p->waiting);
    ring_init(&p->all);
    ring_init(&p->returned);
    /* The one task that close will need is made now, when there is still somebody to tell. */
    int rc = tug_service_spawn("pool.manager", tug__pool_manage, p);
    if (rc < 0) {
        tug_free(p);
        return rc;
    }
    tug_on_end(&p->end, on_end, p);
    tug_inspect_add(&p->source, "pool", tug__pool_show, p);
    tug__pool_advance(p);
    *ret_pool = p;
    return 0;
}

/* --- close --------------------------------------------------------------------------------------- */

void tug__pool_free(tug_pool *p)
{
    assert(p->total == 0 && p->n_waiting == 0 && "a pool goes after its slots and waiters");
    tug_inspect_remove(&p->source);
    tug_free(p);
}

void tug_pool_close(tug_pool *p)
{
    if (p == NULL) {
        return;
    }
    if (!tug__pool_is_home(p)) {
        tug_log(TUG_LOG_ERROR, "pool",
                "tug_pool_close refused: called from a thread that is not the pool's");
        return;
    }
    if (pool_is_shut(p)) {
        return;
    }
    p->state = POOL_CLOSING;
    tug_on_end_forget(&p->end);
    tug_timer_stop(&p->retry);
    tug_timer_stop(&p->patience);
    tug__pool_stop_upkeep(p);
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "the pool was closed");
    tug__pool_refuse_all(p, &why);
    tug_unpark_all(&p->drainers, TUG_ECLOSED, &why);
    for (struct ring *r = p->all.next; r != &p->all; r = r->next) {
        tug_lease *s = RING_OF(r, tug_lease, all);
        if (s->state == SLOT_IDLE) {
            tug__pool_serve(s, SLOT_CLOSING);
        } else if (s->scope != NULL) {
            tug_scope_cancel(s->scope);
        }
    }
    tug__pool_kick(p);
}
