/* Other bounds at run time, and the ways to close what is open without closing the pool: expire, sweep,
 * drain. */
#include <tug/log.h>
#include <tug/scope.h>

#include "internal.h"

static bool is_elsewhere(const tug_pool *p, const char *what)
{
    if (tug__pool_is_home(p)) {
        return false;
    }
    tug_log(TUG_LOG_ERROR, "pool", "%s refused: called from a thread that is not the pool's", what);
    return true;
}

/* 0 if the call may go on. */
static int check_call(const tug_pool *p, const char *what)
{
    if (p == NULL) {
        return tug_fail(TUG_EMISUSE, "%s: the pool is NULL", what);
    }
    if (!tug__pool_is_home(p)) {
        return tug_fail(TUG_EMISUSE, "%s: called from a thread that is not the pool's", what);
    }
    return pool_is_shut(p) ? tug_fail(TUG_ECLOSED, "%s: pool %s is closed", what, p->name) : 0;
}

/* Idle ones that may not stay, the longest idle first. */
static void retire_surplus(tug_pool *p)
{
    tug_time now = tug_turn_time();
    struct ring *r = p->idle.prev;
    while (r != &p->idle) {
        tug_lease *s = RING_OF(r, tug_lease, link);
        r = r->prev;
        if (tug__slot_retirement(s, now) == RETIRED_SURPLUS) {
            p->retired[RETIRED_SURPLUS]++;
            tug__pool_serve(s, SLOT_CLOSING);
        }
    }
    tug__pool_advance(p);
}

int tug_pool_resize(tug_pool *p, size_t min, size_t max)
{
    int rc = check_call(p, "tug_pool_resize");
    rc = rc < 0 ? rc : tug__pool_check_bounds("tug_pool_resize", min, max);
    if (rc < 0) {
        return rc;
    }
    if (p->state == POOL_DRAINING) {
        return tug_fail(TUG_ECLOSED, "tug_pool_resize: pool %s is being drained", p->name);
    }
    p->o.min = min;
    p->o.max = max;
    retire_surplus(p);
    return 0;
}

void tug_pool_expire(tug_pool *p)
{
    if (p == NULL || is_elsewhere(p, "tug_pool_expire") || pool_is_shut(p)) {
        return;
    }
    p->generation++;
    retire_surplus(p);
}

/* --- sweep --------------------------------------------------------------------------------------- */

static void on_sweep(void *arg)
{
    tug_pool *p = arg;
    struct ring *r = p->idle.next;
    while (r != &p->idle) {
        tug_lease *s = RING_OF(r, tug_lease, link);
        r = r->next;
        if (!tug__slot_is_usable(s)) {
            p->discarded++;
            tug__pool_serve(s, SLOT_CLOSING);
        }
    }
    tug__pool_advance(p);
}

void tug_pool_sweep(tug_pool *p)
{
    if (p != NULL && !is_elsewhere(p, "tug_pool_sweep") && !pool_is_shut(p)) {
        tug_call_soon(&p->sweeper, on_sweep, p);
    }
}

/* --- drain --------------------------------------------------------------------------------------- */

static bool is_drained(const tug_pool *p)
{
    return p->n[SLOT_BUSY] == 0 && p->n_waiting == 0;
}

void tug__pool_go_on_draining(tug_pool *p)
{
    if (p->n_waiting > 0) {
        return;
    }
    while (!ring_is_empty(&p->idle)) {
        p->retired[RETIRED_SURPLUS]++;
        tug__pool_serve(RING_OF(p->idle.next, tug_lease, link), SLOT_CLOSING);
    }
    if (is_drained(p)) {
        tug_unpark_all(&p->drainers, 0, NULL);
    }
}

int tug_pool_drain(tug_pool *p)
{
    int rc = check_call(p, "tug_pool_drain");
    if (rc < 0) {
        return rc;
    }
    if (tug_is_cancelled()) {
        return tug_checkpoint();
    }
    p->state = POOL_DRAINING;
    tug__pool_go_on_draining(p);
    return is_drained(p) ? tug_checkpoint() : tug_park(&p->drainers, NULL, "pool.drain");
}
