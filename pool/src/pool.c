/* Opening and closing a pool, its slots and their states, the counters. */
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
    ring_init(&s->link);
    ring_insert(p->all.prev, &s->all);
    p->n[SLOT_OPENING]++;
    p->total++;
    assert(p->total <= p->o.max && "more slots than max");
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

static int copy_ops(const tug_pool_ops *ops, tug_pool_ops *to)
{
    if (ops == NULL || ops->size < offsetof(tug_pool_ops, gone) || ops->connect == NULL ||
        ops->close == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pool_open: the ops need size, connect and close");
    }
    memset(to, 0, sizeof *to);
    memcpy(to, ops, ops->size < sizeof *to ? ops->size : sizeof *to);
    return 0;
}

static int copy_options(const tug_pool_options *o, tug_pool_options *to)
{
    *to = (tug_pool_options)TUG_POOL_OPTIONS_INIT;
    if (o == NULL) {
        return 0;
    }
    if (o->size < sizeof o->size + sizeof o->name) {
        return tug_fail(TUG_EINVAL,
                        "tug_pool_open: options without size: start from TUG_POOL_OPTIONS_INIT");
    }
    memcpy(to, o, o->size < sizeof *to ? o->size : sizeof *to);
    if (to->max < 1 || to->max > TUG_POOL_MOST || to->min > to->max) {
        return tug_fail(TUG_EINVAL,
                        "tug_pool_open: max must be 1 to %d and min 0 to max, not %zu and %zu",
                        TUG_POOL_MOST, to->max, to->min);
    }
    if (to->max_opening < 1 || to->max_waiters < 1) {
        return tug_fail(TUG_EINVAL, "tug_pool_open: max_opening and max_waiters must be 1 or more");
    }
    if (to->check_after < 0 || to->check_timeout <= 0 || to->connect_patience < 0) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pool_open: check_after, check_timeout and connect_patience must not be negative, "
            "nor check_timeout 0");
    }
    if (to->backoff_first <= 0 || to->backoff_most < to->backoff_first) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pool_open: backoff_first must be more than 0 and backoff_most not less");
    }
    return 0;
}

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
    if (copy_ops(ops, &own_ops) < 0 || copy_options(o, &own) < 0) {
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
    ring_init(&p->idle);
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
    if (p->state != POOL_OPEN) {
        return;
    }
    p->state = POOL_CLOSING;
    tug_on_end_forget(&p->end);
    tug_timer_stop(&p->retry);
    tug_timer_stop(&p->patience);
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "the pool was closed");
    tug__pool_refuse_all(p, &why);
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

/* --- counters ------------------------------------------------------------------------------------ */

void tug_pool_get_stats(const tug_pool *p, tug_pool_stats *ret_stats)
{
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    s.size = ret_stats->size < sizeof s ? ret_stats->size : sizeof s;
    s.idle = p->n[SLOT_IDLE];
    s.busy = p->n[SLOT_BUSY] + p->n[SLOT_LOST];
    s.preparing = p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING];
    s.open = s.idle + s.busy + s.preparing;
    s.opening = p->n[SLOT_OPENING];
    s.closing = p->n[SLOT_CLOSING];
    s.waiting = p->n_waiting;
    s.opened = p->opened;
    s.failed = p->failed;
    s.discarded = p->discarded;
    s.acquired = p->acquired;
    memcpy(ret_stats, &s, s.size);
}

const tug_error *tug_pool_open_error(const tug_pool *p)
{
    return &p->open_error;
}
