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
 * After a failure nobody opens before the backoff has passed; failures of one round count once. */
#include <assert.h>
#include <tug/log.h>

#include "internal.h"

static size_t lacking(size_t wanted, size_t there)
{
    return wanted > there ? wanted - there : 0;
}

/* Opens that should run beyond those that do. */
static size_t demand(const tug_pool *p)
{
    size_t preparing = p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING];
    size_t coming = p->n[SLOT_OPENING] + preparing;
    size_t for_waiters = lacking(p->n_waiting, coming);
    size_t for_min = lacking(p->o.min, p->n[SLOT_IDLE] + p->n[SLOT_BUSY] + coming);
    return for_waiters > for_min ? for_waiters : for_min;
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

static void start_opens(tug_pool *p)
{
    size_t n = demand(p);
    if (n == 0) {
        tug_timer_stop(&p->retry);
        if (p->n[SLOT_OPENING] == 0) {
            p->window = 1;
        }
        return;
    }
    tug_time now = tug_turn_time();
    if (now < p->retry_at) {
        tug_timer_start(&p->retry, p->retry_at, on_retry, p);
        return;
    }
    for (; n > 0 && p->n[SLOT_OPENING] < p->window && p->total < p->o.max; n--) {
        tug_lease *s = tug__slot_new(p);
        if (s == NULL) {
            tug_error why;
            tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                          "out of memory for one more resource");
            tug__pool_open_failed(p, now, &why);
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

bool tug__pool_fails_fast(const tug_pool *p)
{
    return is_permanent(&p->open_error) && tug_turn_time() < p->retry_at;
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
    if (p->open_error.code == 0 || ring_is_empty(&p->waiting)) {
        tug_timer_stop(&p->patience);
        return;
    }
    struct acquire *first = RING_OF(p->waiting.next, struct acquire, link);
    tug_time ends = patience_ends(p, first);
    if (ends < TUG_FOREVER) {
        tug_timer_start(&p->patience, ends, on_patience, p);
    }
}

void tug__pool_open_succeeded(tug_pool *p)
{
    p->opened++;
    p->attempt = 0;
    p->retry_at = 0;
    p->open_error.code = 0;
    p->open_error.text[0] = 0;
}

void tug__pool_open_failed(tug_pool *p, tug_time since, const tug_error *why)
{
    assert(p->state == POOL_OPEN && "a closed pool does not count failures");
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
    if (is_permanent(why)) {
        tug__pool_refuse_all(p, &p->open_error);
    }
    tug__pool_advance(p);
}

void tug__pool_advance(tug_pool *p)
{
    if (p->state != POOL_OPEN) {
        return;
    }
    start_checks(p);
    start_opens(p);
    watch_patience(p);
}
