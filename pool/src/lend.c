/* Acquire and return. A resource that becomes ready is handed to the longest waiter in the same step: its
 * future is settled with the lease, which from then on belongs to the future, taken or not. So there is no
 * moment in which a lease belongs to nobody, whatever is cancelled in that turn. */
#include <string.h>
#include <tug/log.h>
#include <tug/task.h>

#include "internal.h"

/* --- refusals ------------------------------------------------------------------------------------ */

void tug__pool_refuse(struct acquire *a, const tug_error *why)
{
    tug_pool *p = a->pool;
    tug_error e;
    tug__pool_explain(p, a, why, &e);
    if (!ring_is_empty(&a->link)) {
        ring_leave(&a->link);
        p->n_waiting--;
    }
    if (why->code == TUG_EDROPPED) {
        p->given_up++;
    } else {
        p->refused++;
    }
    tug_future_fail(a->future, &e);
    if (p->state == POOL_DRAINING) {
        tug__pool_go_on_draining(p);
    }
}

void tug__pool_refuse_all(tug_pool *p, const tug_error *why)
{
    while (!ring_is_empty(&p->waiting)) {
        tug__pool_refuse(RING_OF(p->waiting.next, struct acquire, link), why);
    }
}

/* --- hand-over ----------------------------------------------------------------------------------- */

static void give_back_untaken(void *value)
{
    tug_lease_close(value);
}

/* Somebody cancelled the wait: whoever else looks at the future learns what it had been waiting for. */
static int leave_queue(tug_future *f)
{
    tug_error why;
    tug_error_set(&why, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "no lease yet");
    tug__pool_refuse(tug_future_payload(f), &why);
    return TUG_ABORT_DONE;
}

static const tug_future_class acquire_class = {
    .size = sizeof(tug_future_class),
    .name = "pool.acquire",
    .payload = sizeof(struct acquire),
    .abort = leave_queue,
    .dispose = give_back_untaken,
};

static void lend(tug_pool *p, tug_lease *s, tug_time now)
{
    tug__slot_set_state(s, SLOT_BUSY);
    s->lent = now;
    s->uses++;
    p->acquired++;
    ring_insert(p->lent.prev, &s->link);
    if (tug_time_after(now, p->o.leak_after) < p->upkeep_at) {
        tug__pool_watch(p, tug_time_after(now, p->o.leak_after));
    }
}

static void hand_over(tug_pool *p, tug_lease *s)
{
    struct acquire *a = RING_OF(p->waiting.next, struct acquire, link);
    tug_time now = tug_turn_time();
    ring_leave(&a->link);
    p->n_waiting--;
    s->by = a->by;
    lend(p, s, now);
    histogram_add(&p->times[TUG_POOL_WAIT], now - a->since);
    tug_future_settle(a->future, s);
}

static void put_idle(tug_pool *p, tug_lease *s)
{
    tug__slot_set_state(s, SLOT_IDLE);
    ring_insert(&p->idle, &s->link);
    tug_time due = s->expires;
    if (tug__pool_may_shrink(p)) {
        tug_time too_long = tug_time_after(s->since, p->o.idle_timeout);
        due = too_long < due ? too_long : due;
    }
    if (due < p->upkeep_at) {
        tug__pool_watch(p, due);
    }
}

/* Nobody waits for it. */
static void keep(tug_pool *p, tug_lease *s)
{
    if (p->state == POOL_DRAINING) {
        tug__pool_retire(s, RETIRED_SURPLUS);
    } else {
        put_idle(p, s);
    }
}

/* A detached future gives its lease back while it is being settled, which leads here again: such a lease is
 * queued for the loop below, or ten thousand of them would be as many calls deep. */
static void hand_over_in_turn(tug_pool *p, tug_lease *s)
{
    ring_insert(p->returned.prev, &s->link);
    if (p->handing_over) {
        return;
    }
    p->handing_over = true;
    while (!ring_is_empty(&p->returned)) {
        s = RING_OF(p->returned.next, tug_lease, link);
        ring_leave(&s->link);
        if (ring_is_empty(&p->waiting)) {
            keep(p, s);
        } else {
            hand_over(p, s);
        }
    }
    p->handing_over = false;
}

void tug__pool_give(tug_lease *s)
{
    tug_pool *p = s->pool;
    enum retirement why;
    if (pool_is_shut(p)) {
        tug__pool_serve(s, SLOT_CLOSING);
    } else if (!tug__slot_is_usable(s)) {
        tug__pool_discard(s);
    } else if ((why = tug__slot_retirement(s, tug_turn_time())) != RETIRED_NOT) {
        tug__pool_retire(s, why);
    } else if (ring_is_empty(&p->waiting)) {
        keep(p, s);
    } else if (p->o.before_lend != NULL && s->state != SLOT_CHECKING) {
        put_idle(p, s); /* the hook's task lends it */
        tug__pool_advance(p);
    } else {
        hand_over_in_turn(p, s);
    }
}

static void borrower_set(struct borrower *b, const void *place)
{
    const tug_task *task = tug_task_current();
    const char *name = task != NULL ? tug_task_name(task) : "a callback";
    size_t n = strnlen(name, sizeof b->name - 1);
    memcpy(b->name, name, n);
    b->name[n] = 0;
    b->number = task != NULL ? tug_task_number(task) : 0;
    b->place = place;
}

bool tug__slot_is_stale(const tug_lease *s)
{
    const tug_pool *p = s->pool;
    return p->ops.check != NULL && tug_turn_time() - s->since >= p->o.check_after;
}

/* The idle resource that was used last, if it may be lent as it is. Those that broke or became too old
 * meanwhile go. */
static tug_lease *lend_idle(tug_pool *p, const void *place)
{
    /* Whoever waits comes first: an idle one is then on its way to him, through a check. */
    if (!ring_is_empty(&p->waiting) || p->o.before_lend != NULL) {
        return NULL;
    }
    while (!ring_is_empty(&p->idle)) {
        tug_lease *s = RING_OF(p->idle.next, tug_lease, link);
        tug_time now = tug_turn_time();
        enum retirement why;
        if (!tug__slot_is_usable(s)) {
            tug__pool_discard(s);
        } else if ((why = tug__slot_retirement(s, now)) != RETIRED_NOT) {
            tug__pool_retire(s, why);
        } else if (p->ops.check != NULL && now - s->since >= p->o.check_after) {
            return NULL;
        } else {
            ring_leave(&s->link);
            borrower_set(&s->by, place);
            lend(p, s, now);
            if (p->o.min_idle > 0) {
                tug__pool_advance(p);
            }
            return s;
        }
    }
    return NULL;
}

/* --- acquire ------------------------------------------------------------------------------------- */

/* Fills *e only when it says true: the caller's detail is not touched by what returns a future. */
static bool is_refused(const tug_pool *p, tug_error *e)
{
    if (p == NULL) {
        tug_error_set(e, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "tug_pool_acquire: the pool is NULL");
    } else if (!tug__pool_is_home(p)) {
        tug_error_set(e, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "tug_pool_acquire: called from a thread that is not the pool's");
    } else if (p->state != POOL_OPEN) {
        tug_error_set(e, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "pool %s: it is %s",
                      p->name, p->state == POOL_DRAINING ? "being drained" : "closed");
    } else {
        return false;
    }
    return true;
}

static void enqueue(tug_pool *p, tug_future *f, const void *place)
{
    struct acquire *a = tug_future_payload(f);
    a->pool = p;
    a->future = f;
    a->since = tug_turn_time();
    ring_init(&a->link);
    borrower_set(&a->by, place);
    if (ring_is_empty(&p->idle) && tug__pool_fails_fast(p)) {
        tug__pool_refuse(a, &p->open_error);
        return;
    }
    if (p->n_waiting >= p->o.max_waiters) {
        tug_error why;
        tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "max_waiters (%zu) wait already", p->o.max_waiters);
        tug__pool_refuse(a, &why);
        return;
    }
    ring_insert(p->waiting.prev, &a->link);
    p->n_waiting++;
    tug__pool_advance(p);
}

static tug_future *acquire_start(tug_pool *p, const void *place)
{
    tug_error refusal;
    if (is_refused(p, &refusal)) {
        return tug_future_failed(&refusal);
    }
    tug_future *f = tug_future_new(&acquire_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    tug_lease *s = lend_idle(p, place);
    if (s != NULL) {
        histogram_add(&p->times[TUG_POOL_WAIT], 0);
        tug_future_settle(f, s);
    } else {
        enqueue(p, f, place);
    }
    return f;
}

tug_future *tug_pool_acquire_start(tug_pool *p)
{
    return acquire_start(p, __builtin_return_address(0));
}

tug_future *tug_pool_acquire_start_from(tug_pool *p, const void *caller)
{
    return acquire_start(p, caller);
}

int tug_pool_acquire_take(tug_future *f, tug_lease **ret_lease)
{
    void *value = NULL;
    int rc = tug_future_take(f, &acquire_class, &value);
    if (rc == 0) {
        *ret_lease = value;
    }
    return rc;
}

/* An idle resource needs no future: it is taken before the check of the scope, which may yield, because a
 * lease that is out keeps the pool alive, and goes back as it was if the scope says no. */
static int acquire_idle(tug_lease *s, tug_lease **ret_lease)
{
    int rc = tug_checkpoint();
    if (rc < 0) {
        s->pool->acquired--;
        s->uses--;
        ring_leave(&s->link);
        tug__pool_give(s);
        return rc;
    }
    histogram_add(&s->pool->times[TUG_POOL_WAIT], 0);
    *ret_lease = s;
    return 0;
}

static int acquire_waiting(tug_pool *p, const void *place, tug_lease **ret_lease)
{
    tug_future *f = acquire_start(p, place);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pool_acquire_take(f, ret_lease);
    } else if (rc == TUG_ECANCELED && tug_future_error(f)->code == TUG_EDROPPED) {
        rc = tug_fail(TUG_ECANCELED, "%s", tug_future_error(f)->text);
    }
    tug_future_unref(f);
    return rc;
}

int tug_pool_acquire_from(tug_pool *p, const void *caller, tug_lease **ret_lease)
{
    tug_error refusal;
    if (is_refused(p, &refusal)) {
        return tug_fail_with(&refusal);
    }
    tug_lease *s = lend_idle(p, caller);
    if (s != NULL) {
        return acquire_idle(s, ret_lease);
    }
    if (tug_is_cancelled()) {
        return tug_checkpoint(); /* before anything is opened for nobody */
    }
    return acquire_waiting(p, caller, ret_lease);
}

int tug_pool_acquire(tug_pool *p, tug_lease **ret_lease)
{
    return tug_pool_acquire_from(p, __builtin_return_address(0), ret_lease);
}

/* --- leases -------------------------------------------------------------------------------------- */

/* The mean follows the last eight or so. */
static void count_loan(tug_pool *p, tug_duration held)
{
    histogram_add(&p->times[TUG_POOL_BUSY], held);
    p->busy_mean += (held - p->busy_mean) / 8;
}

static void take_back(tug_pool *p, tug_lease *s)
{
    tug_time now = tug_turn_time();
    count_loan(p, now - s->lent);
    s->since = now;
    ring_leave(&s->link);
    if ((!s->dirty && p->o.after_return == NULL) || pool_is_shut(p) || !tug__slot_is_usable(s) ||
        tug__slot_retirement(s, now) != RETIRED_NOT) {
        tug__pool_give(s);
    } else if (s->dirty && p->ops.reset == NULL) {
        tug__pool_discard(s);
    } else {
        tug__pool_serve(s, SLOT_RESETTING);
    }
}

void tug_lease_close(tug_lease *lease)
{
    if (lease == NULL) {
        return;
    }
    tug_pool *p = lease->pool;
    if (!tug__pool_is_home(p)) {
        tug_log(TUG_LOG_ERROR, "pool",
                "tug_lease_close refused: called from a thread that is not the pool's");
        return;
    }
    if (lease->state == SLOT_LOST) {
        tug__slot_free(lease);
        if (p->state == POOL_ABANDONED && p->total == 0) {
            tug__pool_free(p);
        }
        return;
    }
    if (lease->state != SLOT_BUSY) {
        tug_log(TUG_LOG_ERROR, "pool",
                "tug_lease_close ignored: the lease was closed before pool=%s", p->name);
        return;
    }
    take_back(p, lease);
    if (p->state == POOL_DRAINING) {
        tug__pool_go_on_draining(p);
    }
}

void *tug_lease_resource(const tug_lease *lease)
{
    return lease != NULL ? lease->resource : NULL;
}

void tug_lease_mark_dirty(tug_lease *lease)
{
    if (lease != NULL) {
        lease->dirty = true;
    }
}
