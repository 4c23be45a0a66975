/* How a pool grows, and what it makes of opens that fail.
 *
 * Demand is what the waiters lack beyond what is on its way to them, or what min lacks. How many opens run
 * at a time is a window that starts at one, grows by one with each open that succeeds while demand is
 * left, and falls back to one when an open fails or nobody wants one. So a pool that runs short for a
 * moment opens one at a time, and takes what comes back first (twenty waiters do not mean twenty logins);
 * a cold start doubles each round (8 waiters: 1, 2, 4, 1: four round trips instead of eight); and a server
 * that refuses or slows down is never asked by more than one at a time to begin with. max_opening bounds
 * the window, because a login costs a server far more than a query.
 *
 * What waiters lack is not opened at once while leases are out that should be back before a new resource
 * could be there: 50 waiters for 5 resources that are lent for 2 ms each are served in 20 ms, and the logins
 * of 150 ms that they would have started help nobody. The pool knows how long its connects take and how
 * long its leases are out, on average; it waits for what is out only while the first in the queue has
 * waited less than a connect takes, so being wrong costs him that much at most.
 *
 * After a failure nobody opens before the backoff has passed; failures of one round count once. */
#include <assert.h>
#include <tug/log.h>

#include "internal.h"

static size_t lacking(size_t wanted, size_t there)
{
    return wanted > there ? wanted - there : 0;
}

/* On their way to becoming idle or lent. */
static size_t coming(const tug_pool *p)
{
    return p->n[SLOT_OPENING] + p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING];
}

/* Opens that should run beyond those that do: for min and min_idle. */
static size_t demand_of_stock(const tug_pool *p)
{
    if (p->state != POOL_OPEN) {
        return 0;
    }
    size_t soon = p->n[SLOT_IDLE] + coming(p);
    size_t for_min = lacking(p->o.min, p->n[SLOT_BUSY] + soon);
    size_t for_idle = p->o.min_idle > 0 ? lacking(p->o.min_idle + p->n_waiting, soon) : 0;
    return for_min > for_idle ? for_min : for_idle;
}

/* The same: for those that wait. */
static size_t demand_of_waiters(const tug_pool *p)
{
    return lacking(p->n_waiting, coming(p));
}

/* Until when to wait for what is lent rather than to open more for those that wait; 0: not at all. */
static tug_time waits_for_lent(const tug_pool *p)
{
    if (p->connect_mean == 0 || ring_is_empty(&p->lent) || ring_is_empty(&p->waiting)) {
        return 0;
    }
    /* The one lent last is the most likely to come back as usual: who is out for long stays out. */
    tug_time now = tug_turn_time(), lent = RING_OF(p->lent.prev, tug_lease, link)->lent;
    tug_time since = RING_OF(p->waiting.next, struct acquire, link)->since;
    tug_time until = (since < lent ? since : lent) + p->connect_mean;
    double queue = (double)p->busy_mean * (double)p->n_waiting / (double)p->n[SLOT_BUSY];
    return now < until && queue < (double)p->connect_mean ? until : 0;
}

/* --- checks -------------------------------------------------------------------------------------- */

/* An idle one that may not be lent as it is, while somebody waits, is checked for him in a service task: a
 * borrower who is cancelled then leaves no half-done exchange behind. */
static void start_checks(tug_pool *p)
{
    while (!ring_is_empty(&p->idle) && p->n_waiting > p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING]) {
        tug_lease *s = RING_OF(p->idle.next, tug_lease, link);
        tug__pool_serve(s, SLOT_CHECKING);
    }
}

/* --- opens --------------------------------------------------------------------------------------- */

static void on_retry(tug_timer *t, void *arg)
{
    (void)t;
    tug__pool_advance(arg);
}

/* How many to open now. Sets the timer for what is to be opened later. */
static size_t due_opens(tug_pool *p)
{
    size_t n = demand_of_stock(p), for_waiters = demand_of_waiters(p);
    tug_time later = for_waiters > n ? waits_for_lent(p) : 0;
    if (for_waiters > n && later == 0) {
        n = for_waiters;
    }
    if (n == 0 && later == 0) {
        tug_timer_stop(&p->retry);
        if (p->n[SLOT_OPENING] == 0) {
            p->window = 1;
        }
        return 0;
    }
    if (tug_turn_time() < p->retry_at) {
        later = p->retry_at;
        n = 0;
    }
    if (later != 0) {
        tug_timer_start(&p->retry, later, on_retry, p);
    }
    return n;
}

static void start_opens(tug_pool *p)
{
    if (p->total >= p->o.max) {
        /* A slot that goes comes by here again. */
        p->window = p->n[SLOT_OPENING] == 0 ? 1 : p->window;
        return;
    }
    size_t n = due_opens(p);
    for (; n > 0 && p->n[SLOT_OPENING] < p->window && p->total < p->o.max; n--) {
        tug_lease *s = tug__slot_new(p);
        if (s == NULL) {
            tug_error why;
            tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                          "out of memory for one more resource");
            tug__pool_open_failed(p, tug_turn_time(), &why);
            return;
        }
        tug__pool_serve(s, SLOT_OPENING);
    }
}

/* --- failures ------------------------------------------------------------------------------------ */

/* The definition that <tug/pool.h> gives to drivers. */
static bool is_permanent(const tug_error *e)
{
    switch (e->code) {
    case TUG_EAUTH:
        return true;
    case TUG_ESERVER:
    case TUG_EINVAL:
    case TUG_EMISUSE:
    case TUG_EPROTO:
        return !e->transient;
    default:
        return e->code != 0 && e->origin == TUG_ORIGIN_TLS && !e->transient;
    }
}

bool tug__pool_breaker_is_open(const tug_pool *p)
{
    return p->o.breaker_after > 0 && p->open_error.code != 0 && p->attempt >= p->o.breaker_after;
}

bool tug__pool_fails_fast(const tug_pool *p)
{
    if (p->open_error.code == 0) {
        return false;
    }
    if (tug__pool_breaker_is_open(p) && p->n[SLOT_OPENING] > 0) {
        return true; /* somebody is trying already, which may take as long as it likes */
    }
    return (is_permanent(&p->open_error) || tug__pool_breaker_is_open(p)) &&
           tug_turn_time() < p->retry_at;
}

/* Patience counts from when somebody began to wait, but not from before the opens began to fail: until then
 * the pool was only full, and to wait for that has no bound but the waiter's own. */
static tug_time patience_ends(const tug_pool *p, const struct acquire *a)
{
    tug_time from = a->since > p->failing_since ? a->since : p->failing_since;
    return tug_time_after(from, p->o.connect_patience);
}

static void watch_patience(tug_pool *p);

static void on_patience(tug_timer *t, void *arg)
{
    (void)t;
    tug_pool *p = arg;
    while (!ring_is_empty(&p->waiting)) {
        struct acquire *a = RING_OF(p->waiting.next, struct acquire, link);
        if (tug_turn_time() < patience_ends(p, a)) {
            break;
        }
        tug__pool_refuse(a, &p->open_error);
    }
    watch_patience(p);
}

/* They wait in the order in which they came, so the first is also the first to give up. */
static void watch_patience(tug_pool *p)
{
    if (p->open_error.code == 0) {
        return;
    }
    if (ring_is_empty(&p->waiting)) {
        tug_timer_stop(&p->patience);
        return;
    }
    struct acquire *first = RING_OF(p->waiting.next, struct acquire, link);
    tug_time ends = patience_ends(p, first);
    if (ends < TUG_FOREVER) {
        tug_timer_start(&p->patience, ends, on_patience, p);
    }
}

void tug__pool_open_succeeded(tug_pool *p, tug_duration took)
{
    p->opened++;
    histogram_add(&p->times[TUG_POOL_CONNECT], took);
    p->connect_mean = p->connect_mean == 0 ? took : p->connect_mean + (took - p->connect_mean) / 4;
    tug_timer_stop(&p->patience);
    p->attempt = 0;
    p->retry_at = 0;
    p->open_error.code = 0;
    p->open_error.text[0] = 0;
}

void tug__pool_open_failed(tug_pool *p, tug_time since, const tug_error *why)
{
    assert(!pool_is_shut(p) && "a closed pool does not count failures");
    tug_time now = tug_turn_time();
    p->failed++;
    p->window = 1;
    if (p->open_error.code == 0) {
        p->failing_since = since;
    }
    p->open_error = *why;
    if (p->attempt == 0 || since >= p->failed_at) {
        p->failed_at = now;
        p->retry_at = tug_time_after(
            now, tug_backoff(p->attempt++, p->o.backoff_first, p->o.backoff_most));
    }
    tug_log(TUG_LOG_WARN, "pool", "cannot open: %s pool=%s permanent=%d attempt=%u retry_ms=%lld",
            why->text, p->name, is_permanent(why), p->attempt,
            (long long)((p->retry_at - now) / TUG_MS(1)));
    if (is_permanent(why) || tug__pool_breaker_is_open(p)) {
        tug__pool_refuse_all(p, &p->open_error);
    }
    tug__pool_advance(p);
}

void tug__pool_advance(tug_pool *p)
{
    if (pool_is_shut(p)) {
        return;
    }
    if (p->state == POOL_DRAINING) {
        tug__pool_go_on_draining(p);
    }
    start_checks(p);
    start_opens(p);
    watch_patience(p);
}
