/* The tasks in which the ops run. Each connect, check, reset and close has a service task of its own, which
 * the pool's manager starts. The manager exists from open on, because close must not fail for want of
 * memory: what no task can be had for, it does itself, one by one. */
#include <assert.h>
#include <tug/log.h>

#include "internal.h"

void tug__pool_kick(tug_pool *p)
{
    tug_unpark_first(&p->manager, 0, NULL);
}

void tug__pool_serve(tug_lease *s, enum slot_state as)
{
    tug_pool *p = s->pool;
    if (s->state != as) {
        tug__slot_set_state(s, as);
    }
    ring_leave(&s->link);
    ring_insert(p->jobs.prev, &s->link);
    tug__pool_kick(p);
}

void tug__pool_discard(tug_lease *s)
{
    tug_pool *p = s->pool;
    p->discarded++;
    tug__pool_serve(s, SLOT_CLOSING);
    tug__pool_advance(p);
}

/* --- one op each --------------------------------------------------------------------------------- */

/* The detail counts only if it is of this code. */
static void why_failed(int rc, tug_error *e)
{
    const tug_error *last = tug_last_error();
    if (last->code == rc) {
        *e = *last;
    } else {
        tug_error_set(e, rc, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "%s", tug_error_text(rc));
    }
}

/* Closes and frees the slot. */
static void close_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    assert(s->state == SLOT_CLOSING && "only a closing slot is closed");
    p->ops.close(s->resource);
    tug__slot_free(s);
    tug__pool_advance(p);
    if (p->state != POOL_OPEN) {
        tug__pool_kick(p);
    }
}

/* Frees a slot in which nothing was opened. */
static void drop_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug__slot_free(s);
    if (p->state != POOL_OPEN) {
        tug__pool_kick(p);
    }
}

static void open_did_not_work(tug_lease *s, const tug_error *why)
{
    tug_pool *p = s->pool;
    tug_time since = s->since;
    drop_slot(s);
    if (p->state == POOL_OPEN) {
        tug__pool_open_failed(p, since, why);
    }
}

/* A resource that is broken from the start would be opened and closed for ever without a pause: it counts
 * as a failed open. */
static void close_stillborn(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug_time since = s->since;
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "not usable right after it was opened");
    tug__slot_set_state(s, SLOT_CLOSING);
    tug__pool_open_failed(p, since, &why);
    close_slot(s);
}

static void open_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    if (p->state != POOL_OPEN) {
        drop_slot(s);
        return;
    }
    tug_scope scope;
    void *resource = NULL;
    s->since = tug_turn_time();
    tug_scope_enter(&scope, TUG_FOREVER);
    s->scope = &scope;
    int rc = p->ops.connect(p->ctx, &resource);
    s->scope = NULL;
    rc = tug_scope_leave(&scope, rc);
    if (rc < 0) {
        tug_error why;
        why_failed(rc, &why);
        open_did_not_work(s, &why);
        return;
    }
    assert(resource != NULL && "connect gave no resource");
    s->resource = resource;
    if (p->state != POOL_OPEN) {
        tug__slot_set_state(s, SLOT_CLOSING);
        close_slot(s);
        return;
    }
    if (!tug__slot_is_usable(s)) {
        close_stillborn(s);
        return;
    }
    s->since = tug_turn_time();
    tug__pool_open_succeeded(p);
    tug__pool_give(s);
    if (p->window < p->o.max_opening && (p->n_waiting > 0 || p->total < p->o.min)) {
        p->window++;
    }
    tug__pool_advance(p);
}

/* Check and reset are the same but for the op and its name. */
static void prepare_slot(tug_lease *s, int (*op)(void *resource), const char *what)
{
    tug_pool *p = s->pool;
    int rc = TUG_ECLOSED;
    if (p->state == POOL_OPEN) {
        tug_scope scope;
        tug_scope_enter(&scope, p->o.check_timeout);
        s->scope = &scope;
        rc = op(s->resource);
        s->scope = NULL;
        rc = tug_scope_leave(&scope, rc);
    }
    if (rc == 0 && p->state == POOL_OPEN && tug__slot_is_usable(s)) {
        s->since = tug_turn_time();
        s->dirty = false;
        tug__pool_give(s);
        tug__pool_advance(p);
        return;
    }
    tug__slot_set_state(s, SLOT_CLOSING);
    if (p->state == POOL_OPEN) {
        tug_error why;
        why_failed(rc < 0 ? rc : TUG_ECLOSED, &why);
        tug_log(TUG_LOG_INFO, "pool", "discarded: %s failed: %s pool=%s", what, why.text, p->name);
        p->discarded++;
        tug__pool_advance(p);
    }
    close_slot(s);
}

/* The body of a service task; the manager calls it as well. */
static int serve_slot(void *arg)
{
    tug_lease *s = arg;
    switch (s->state) {
    case SLOT_OPENING:
        open_slot(s);
        break;
    case SLOT_CHECKING:
        prepare_slot(s, s->pool->ops.check, "check");
        break;
    case SLOT_RESETTING:
        prepare_slot(s, s->pool->ops.reset, "reset");
        break;
    default:
        close_slot(s);
        break;
    }
    return 0;
}

/* --- the manager --------------------------------------------------------------------------------- */

/* No task could be had. An open waits for the backoff instead: it may take long, and the manager has more
 * to do; the rest is short and is done here. */
static void serve_here(tug_lease *s, int rc)
{
    if (s->state == SLOT_OPENING) {
        tug_error why;
        why_failed(rc, &why);
        open_did_not_work(s, &why);
    } else {
        serve_slot(s);
    }
}

static void hand_out_jobs(tug_pool *p)
{
    while (!ring_is_empty(&p->jobs)) {
        tug_lease *s = RING_OF(p->jobs.next, tug_lease, link);
        ring_leave(&s->link);
        int rc = tug_service_spawn("pool.service", serve_slot, s);
        if (rc < 0) {
            serve_here(s, rc);
        }
    }
}

static tug_lease *any_busy(const tug_pool *p)
{
    for (struct ring *r = p->all.next; r != &p->all; r = r->next) {
        tug_lease *s = RING_OF(r, tug_lease, all);
        if (s->state == SLOT_BUSY) {
            return s;
        }
    }
    return NULL;
}

/* The loop has waited for the leases as long as it could: their resources are closed under the borrowers,
 * whose leases stay valid but have none any more. */
static void call_in_leases(tug_pool *p)
{
    tug_pool_close(p);
    if (p->n[SLOT_BUSY] > 0) {
        tug_log(TUG_LOG_ERROR, "pool", "leases were never closed: %zu pool=%s", p->n[SLOT_BUSY],
                p->name);
    }
    tug_lease *s;
    while ((s = any_busy(p)) != NULL) {
        void *resource = s->resource;
        s->resource = NULL;
        tug__slot_set_state(s, SLOT_LOST);
        p->ops.close(resource); /* suspends: the borrower may close the lease meanwhile */
    }
}

static void say_goodbye(tug_pool *p)
{
    void (*gone)(void *ctx) = p->ops.gone;
    void *ctx = p->ctx;
    if (p->total == 0) {
        tug__pool_free(p);
    } else {
        p->state = POOL_ABANDONED;
    }
    if (gone != NULL) {
        gone(ctx);
    }
}

int tug__pool_manage(void *arg)
{
    tug_pool *p = arg;
    bool called_in = false;
    for (;;) {
        hand_out_jobs(p);
        if (p->state != POOL_OPEN && p->total == p->n[SLOT_LOST]) {
            break;
        }
        if (called_in) {
            /* What is left is in service tasks, which were told to end as this one was. */
            TUG_IGNORE(tug_park_uncancellable(&p->manager, NULL, "pool.manager"));
        } else if (tug_park(&p->manager, NULL, "pool.manager") == TUG_ECANCELED) {
            call_in_leases(p);
            called_in = true;
        }
    }
    say_goodbye(p);
    return 0;
}
