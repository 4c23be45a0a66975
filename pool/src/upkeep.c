/* What is due when: resources that were idle too long or grew too old, leases that are out too long.
 *
 * There is one timer for all of a pool. It runs only while something will be due, and is never set later:
 * a loan or a return costs a comparison, and a timer that finds nothing due looks again for the next thing.
 * So a pool that is in use wakes up once in idle_timeout or so, and one at rest not at all. */
#include <tug/log.h>
#include <tug/sys/driver.h>

#include "internal.h"

/* What becomes too old within this part of max_lifetime goes in one go: a pool looks through all of its
 * slots so many times in a lifetime at most. */
#define LOOKS_IN_A_LIFETIME 1024

/* --- ages ---------------------------------------------------------------------------------------- */

tug_time tug__slot_expiry(const tug_pool *p, tug_time opened)
{
    tug_duration life = p->o.max_lifetime;
    if (life == TUG_FOREVER) {
        return TUG_FOREVER;
    }
    /* Divided first: nothing overflows. */
    uint64_t spread = (uint64_t)life / 100 * p->o.lifetime_jitter;
    return tug_time_after(opened,
                          life - (tug_duration)(spread > 0 ? tug_random() % (spread + 1) : 0));
}

/* How many there are beside those that go. */
static size_t staying(const tug_pool *p)
{
    return p->total - p->n[SLOT_CLOSING];
}

enum retirement tug__slot_retirement(const tug_lease *s, tug_time now)
{
    const tug_pool *p = s->pool;
    if (staying(p) > p->o.max || s->generation != p->generation) {
        return RETIRED_SURPLUS;
    }
    /* Whoever waits for one that grows old before it is lent would wait for ever. */
    if (now >= s->expires && (s->uses > 0 || ring_is_empty(&p->waiting))) {
        return RETIRED_LIFETIME;
    }
    return p->o.max_uses > 0 && s->uses >= p->o.max_uses ? RETIRED_USES : RETIRED_NOT;
}

void tug__pool_retire(tug_lease *s, enum retirement why)
{
    tug_pool *p = s->pool;
    p->retired[why]++;
    tug__pool_serve(s, SLOT_CLOSING);
    tug__pool_advance(p);
}

bool tug__pool_may_shrink(const tug_pool *p)
{
    return staying(p) > p->o.min && p->n[SLOT_IDLE] > p->o.min_idle;
}

/* The last one has been idle longest. */
static tug_lease *longest_idle(const tug_pool *p)
{
    return ring_is_empty(&p->idle) ? NULL : RING_OF(p->idle.prev, tug_lease, link);
}

static tug_time idle_due(const tug_pool *p)
{
    const tug_lease *s = longest_idle(p);
    return s != NULL && tug__pool_may_shrink(p) ? tug_time_after(s->since, p->o.idle_timeout)
                                                : TUG_FOREVER;
}

static void retire_idle(tug_pool *p, tug_time now)
{
    while (idle_due(p) <= now) {
        tug__pool_retire(longest_idle(p), RETIRED_IDLE);
    }
}

/* Returns when the next one is due. */
static tug_time retire_old(tug_pool *p, tug_time now)
{
    tug_time until = tug_time_after(now, p->o.max_lifetime / LOOKS_IN_A_LIFETIME);
    tug_time next = TUG_FOREVER;
    if (p->o.max_lifetime == TUG_FOREVER) {
        return next;
    }
    struct ring *r = p->idle.next;
    while (r != &p->idle) {
        tug_lease *s = RING_OF(r, tug_lease, link);
        r = r->next;
        if (s->expires <= until) {
            p->retired[RETIRED_LIFETIME]++;
            tug__pool_serve(s, SLOT_CLOSING);
        } else if (s->expires < next) {
            next = s->expires;
        }
    }
    return next;
}

/* --- leaks --------------------------------------------------------------------------------------- */

static tug_time leak_due(const tug_pool *p)
{
    return ring_is_empty(&p->lent)
               ? TUG_FOREVER
               : tug_time_after(RING_OF(p->lent.next, tug_lease, link)->lent, p->o.leak_after);
}

static void report_leaks(tug_pool *p, tug_time now)
{
    while (leak_due(p) <= now) {
        tug_lease *s = RING_OF(p->lent.next, tug_lease, link);
        char place[160] = "?";
        ring_leave(&s->link);
        ring_insert(p->leaks.prev, &s->link);
        p->leaked++;
        if (s->by.place != NULL) {
            tug_place_text(s->by.place, place, sizeof place);
        }
        tug_log(TUG_LOG_WARN, "pool",
                "a lease is out for %lld ms: %s acquired it at %s pool=%s task=%llu",
                (long long)((now - s->lent) / TUG_MS(1)),
                s->by.name[0] != 0 ? s->by.name : "a task without a name", place, p->name,
                (unsigned long long)s->by.number);
    }
}

/* --- the timer ----------------------------------------------------------------------------------- */

static void on_upkeep(tug_timer *t, void *arg)
{
    (void)t;
    tug_pool *p = arg;
    tug_time now = tug_turn_time();
    p->upkeep_at = TUG_FOREVER;
    retire_idle(p, now);
    tug__pool_watch(p, retire_old(p, now));
    report_leaks(p, now);
    tug__pool_watch(p, idle_due(p));
    tug__pool_watch(p, leak_due(p));
    tug__pool_advance(p);
}

void tug__pool_watch(tug_pool *p, tug_time at)
{
    if (at < p->upkeep_at) {
        p->upkeep_at = at;
        tug_timer_start(&p->upkeep, at, on_upkeep, p);
    }
}

void tug__pool_stop_upkeep(tug_pool *p)
{
    p->upkeep_at = TUG_FOREVER;
    tug_timer_stop(&p->upkeep);
    tug_call_forget(&p->sweeper);
}
