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

/* The same for an open: a time that was the pool's own is no deadline of those who will be told of it. */
static void why_not_opened(const tug_pool *p, int rc, tug_error *e)
{
    why_failed(rc, e);
    if (rc == TUG_ETIMEDOUT || rc == TUG_ECANCELED) {
        tug_error_set(e, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "not open in time (connect_timeout %lld ms, after_open %lld ms)",
                      (long long)(p->o.connect_timeout / TUG_MS(1)),
                      (long long)(p->o.check_timeout / TUG_MS(1)));
        e->transient = true;
    }
}

/* The scope is the slot's while the op runs, so that the pool's close reaches it. */
static void begin_op(tug_lease *s, tug_scope *scope, tug_duration limit)
{
    tug_scope_enter(scope, limit);
    s->scope = scope;
}

static int end_op(tug_lease *s, int rc)
{
    tug_scope *scope = s->scope;
    s->scope = NULL;
    return tug_scope_leave(scope, rc);
}

static int run_op(tug_lease *s, int (*op)(void *resource))
{
    tug_scope scope;
    begin_op(s, &scope, s->pool->o.check_timeout);
    return end_op(s, op(s->resource));
}

/* NULL: there is none. */
static int run_hook(tug_lease *s, int (*hook)(void *hook_arg, void *resource))
{
    tug_scope scope;
    if (hook == NULL) {
        return 0;
    }
    if (pool_is_shut(s->pool)) {
        return TUG_ECLOSED;
    }
    begin_op(s, &scope, s->pool->o.check_timeout);
    return end_op(s, hook(s->pool->o.hook_arg, s->resource));
}

/* Closes and frees the slot. The pool's close does not cut it short. */
static void close_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug_scope scope;
    assert(s->state == SLOT_CLOSING && "only a closing slot is closed");
    tug_scope_enter(&scope, p->o.close_timeout);
    p->ops.close(s->resource);
    TUG_IGNORE(tug_scope_leave(&scope, 0));
    tug__slot_free(s);
    tug__pool_advance(p);
    if (pool_is_shut(p)) {
        tug__pool_kick(p);
    }
}

/* Frees a slot in which nothing was opened. */
static void drop_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug__slot_free(s);
    if (pool_is_shut(p)) {
        tug__pool_kick(p);
    }
}

static void open_did_not_work(tug_lease *s, const tug_error *why)
{
    tug_pool *p = s->pool;
    tug_time since = s->since;
    drop_slot(s);
    if (!pool_is_shut(p)) {
        tug__pool_open_failed(p, since, why);
    }
}

/* A resource that is broken from the start would be opened and closed for ever without a pause: it counts
 * as a failed open. */
static void close_stillborn(tug_lease *s, const tug_error *why)
{
    tug__slot_set_state(s, SLOT_CLOSING);
    if (!pool_is_shut(s->pool)) {
        tug__pool_open_failed(s->pool, s->since, why);
    }
    close_slot(s);
}

static int connect_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug_scope scope;
    void *resource = NULL;
    s->since = tug_turn_time();
    begin_op(s, &scope, p->o.connect_timeout);
    int rc = p->ops.connect(p->ctx, &resource);
    assert((rc < 0 || resource != NULL) && "connect gave no resource");
    s->resource = rc < 0 ? NULL : resource;
    return end_op(s, rc);
}

/* What a resource that is there must pass. */
static int welcome_slot(tug_lease *s, int rc, tug_error *why)
{
    rc = rc < 0 ? rc : run_hook(s, s->pool->o.after_open);
    if (rc < 0) {
        why_not_opened(s->pool, rc, why);
    } else if (!tug__slot_is_usable(s)) {
        rc = TUG_ECLOSED;
        tug_error_set(why, rc, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "not usable right after it was opened");
    } else if (pool_is_shut(s->pool)) {
        rc = TUG_ECLOSED;
    }
    return rc;
}

static void open_slot(tug_lease *s)
{
    tug_pool *p = s->pool;
    tug_error why;
    if (pool_is_shut(p)) {
        drop_slot(s);
        return;
    }
    int rc = connect_slot(s);
    if (s->resource == NULL) {
        why_not_opened(p, rc, &why);
        open_did_not_work(s, &why);
        return;
    }
    if (welcome_slot(s, rc, &why) < 0) {
        close_stillborn(s, &why);
        return;
    }
    tug_duration took = tug_turn_time() - s->since;
    s->since += took;
    s->expires = tug__slot_expiry(p, s->since);
    tug__pool_open_succeeded(p, took);
    tug__pool_give(s);
    if (p->window < p->o.max_opening && (p->n_waiting > 0 || p->total < p->o.min)) {
        p->window++;
    }
    tug__pool_advance(p);
}

/* For a borrower: check after a pause, then the hook. */
static int check_slot(tug_lease *s)
{
    int rc = tug__slot_is_stale(s) ? run_op(s, s->pool->ops.check) : 0;
    return rc < 0 ? rc : run_hook(s, s->pool->o.before_lend);
}

/* After a borrower: reset if he left something behind, then the hook. */
static int reset_slot(tug_lease *s)
{
    int rc = s->dirty ? run_op(s, s->pool->ops.reset) : 0;
    if (rc == 0) {
        s->dirty = false;
        rc = run_hook(s, s->pool->o.after_return);
    }
    return rc;
}

static void prepare_slot(tug_lease *s, int (*prepare)(tug_lease *s), const char *what)
{
    tug_pool *p = s->pool;
    int rc = pool_is_shut(p) ? TUG_ECLOSED : prepare(s);
    if (rc == 0 && !pool_is_shut(p) && tug__slot_is_usable(s)) {
        s->since = tug_turn_time();
        tug__pool_give(s);
        tug__pool_advance(p);
        return;
    }
    tug__slot_set_state(s, SLOT_CLOSING);
    if (!pool_is_shut(p)) {
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
        prepare_slot(s, check_slot, "check or before_lend");
        break;
    case SLOT_RESETTING:
        prepare_slot(s, reset_slot, "reset or after_return");
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
        p->ops.close(
            resource); /* in a cancelled task; the borrower may close the lease meanwhile */
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
        if (pool_is_shut(p) && p->total == p->n[SLOT_LOST]) {
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
