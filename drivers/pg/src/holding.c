/* A leased connection in use, and how it goes back: clean, or not at all. When the last user has
 * let go, a connection that is quiet and outside of any transaction returns to the pool at once.
 * Else a service task waits for what is in flight, rolls back what is open, and gives it back then;
 * what is not clean within RETURN_TIME is closed. */
#include <assert.h>
#include <stdio.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>

#include "handle.h"

/* For what a cancelled task left running, and the ROLLBACK behind it. A connection is cheaper to
 * open again than to wait for. */
#define RETURN_TIME TUG_SECONDS(5)
/* What still runs then, and somebody else may be waiting for, is cancelled. What nobody waits for was
 * cancelled before. */
#define RETURN_PATIENCE TUG_MS(500)

/* The number of the calling task; 0 outside of tasks. */
static uint64_t holder_now(void)
{
    const tug_task *task = tug_task_current();
    return task != NULL ? tug_task_number(task) : 0;
}

static void holding_unlink(tug__pg_holding *h)
{
    if (h->at_prev == NULL) {
        return;
    }
    *h->at_prev = h->next;
    if (h->next != NULL) {
        h->next->at_prev = h->at_prev;
    }
    h->at_prev = NULL;
}

void tug__pg_holding_set_holder(tug__pg_holding *h)
{
    holding_unlink(h);
    h->holder = holder_now();
    if (h->holder == 0) {
        return;
    }
    tug__pg_holding **first = &h->pool->holders[h->holder % TUG__PG_HOLDERS];
    h->next = *first;
    h->at_prev = first;
    if (h->next != NULL) {
        h->next->at_prev = &h->next;
    }
    *first = h;
}

void tug__pg_holding_clear_holder(tug__pg_holding *h)
{
    holding_unlink(h);
    h->holder = 0;
}

int tug__pg_check_holder(const tug_pg *db, const char *what)
{
    const tug__pg_pool *pool = tug__pg_pool_of(db);
    uint64_t me = holder_now();
    if (me == 0 || db->beside) {
        return 0;
    }
    for (const tug__pg_holding *h = pool->holders[me % TUG__PG_HOLDERS]; h != NULL; h = h->next) {
        if (h->holder == me) {
            return tug_fail(
                TUG_EMISUSE,
                "%s: this task holds a %s of this pool: run the statement on that, or close it "
                "first",
                what, h->tx != NULL ? "transaction" : "session");
        }
    }
    return 0;
}

tug__pg_holding *tug__pg_holding_new(tug__pg_pool *pool, tug_lease *lease)
{
    tug__pg_holding *h = tug_calloc(1, sizeof *h);
    if (h == NULL) {
        tug_lease_close(lease);
        TUG_IGNORE(tug_fail(TUG_ENOMEM, "out of memory for a session"));
        return NULL;
    }
    h->references = 1;
    h->pool = pool;
    h->lease = lease;
    h->connection = tug_lease_resource(lease);
    tug__pg_pool_ref(pool);
    return h;
}

static void holding_free(tug__pg_holding *h)
{
    tug__pg_pool *pool = h->pool;
    tug_lease_close(h->lease);
    tug_free(h);
    tug__pg_pool_unref(pool);
}

/* A ROLLBACK of the driver's own has been answered by now: this one nobody asked for. */
static void return_report(const tug__pg_holding *h)
{
    if (h->name[0] != '\0') {
        tug_log(
            TUG_LOG_WARN, "pg",
            "a session was closed inside of a transaction, which is rolled back: BEGIN was run by "
            "hand, without an end by=\"%s\"",
            h->name);
    } else {
        tug_log(
            TUG_LOG_WARN, "pg",
            "a session was closed inside of a transaction, which is rolled back: BEGIN was run by "
            "hand, without an end task=%llu",
            (unsigned long long)h->holder);
    }
}

static int return_clean(const tug__pg_holding *h)
{
    tug__pg_connection *c = h->connection;
    int rc = TUG_WITHIN(RETURN_PATIENCE, tug__pg_connection_wait_quiet(c));
    if (rc == TUG_ETIMEDOUT) {
        tug__pg_cancel_demand(c);
        rc = tug__pg_connection_wait_quiet(c);
    }
    if (rc == 0 && c->state != TUG__PG_LOST && !tug__pg_connection_is_clean(c)) {
        return_report(h);
        TUG_AUTO(tug_future) rollback = tug__pg_plain_start(c, "ROLLBACK");
        rc = tug_await_own(rollback);
    }
    return rc;
}

static int return_task(void *arg)
{
    tug__pg_holding *h = arg;
    tug__pg_connection *c = h->connection;
    tug_scope s;
    tug_scope_enter(&s, RETURN_TIME);
    int rc = tug_scope_leave(&s, return_clean(h));
    if (c->state != TUG__PG_LOST && !tug__pg_connection_is_clean(c)) {
        tug_error why;
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "connection to %.60s closed: what its last user left was not over in time",
                      c->where);
        tug_log(TUG_LOG_WARN, "pg", "%s code=%s", why.text, tug_error_name(rc));
        tug__pg_connection_lose(c, &why);
    }
    holding_free(h);
    return 0;
}

void tug__pg_holding_unref(tug__pg_holding *h)
{
    if (h == NULL || --h->references > 0) {
        return;
    }
    tug__pg_connection *c = h->connection;
    holding_unlink(h);
    assert(h->tx == NULL && h->flow == NULL && "what is open on a connection holds it");
    if (c->state == TUG__PG_LOST || tug__pg_connection_is_clean(c)) {
        holding_free(h);
        return;
    }
    /* Whoever gives it back is nearly always who took it; looked up only here, where it may be
     * needed. */
    const tug_task *task = tug_task_current();
    if (task != NULL && tug_task_number(task) == h->holder) {
        snprintf(h->name, sizeof h->name, "%s", tug_task_name(task));
    }
    if (tug_service_spawn("pg.return", return_task, h) < 0) {
        tug__pg_connection_lose(c, tug_last_error());
        holding_free(h);
    }
}

/* The connection stays whose it is: what follows goes behind the ROLLBACK. */
void tug__pg_holding_rollback(tug__pg_holding *h)
{
    if (h->connection->state == TUG__PG_LOST) {
        return;
    }
    tug_future *f = tug__pg_plain_start(h->connection, "ROLLBACK");
    if (tug_future_error(f)->code == TUG_ENOMEM) {
        tug__pg_connection_lose(h->connection, tug_future_error(f));
    }
    tug_future_detach(f);
}

/* --- taking a lease --------------------------------------------------------------------------- */

static void take_settled(tug_future *inner, void *arg)
{
    tug_future *f = arg;
    tug__pg_taking *t = tug_future_payload(f);
    tug__pg_pool *pool = t->pool;
    tug_lease *lease = NULL;
    tug__pg_holding *h = NULL;
    t->inner = NULL;
    if (tug_pool_acquire_take(inner, &lease) == 0) {
        if (t->aborted) {
            tug_lease_close(lease);
            TUG_IGNORE(tug_fail(TUG_EDROPPED, "cancelled before the lease was taken"));
        } else {
            h = tug__pg_holding_new(pool, lease);
        }
    }
    t->got(f, h);
    tug__pg_pool_unref(pool);
}

void tug__pg_take(tug_future *f, tug__pg_taking *t, tug__pg_pool *pool,
                  void (*got)(tug_future *f, tug__pg_holding *h))
{
    t->pool = pool;
    t->got = got;
    tug__pg_pool_ref(pool);
    t->inner = tug_pool_acquire_start_from(pool->leased_pool, t->place);
    tug_future_on_settled(t->inner, take_settled, f);
}

int tug__pg_take_abort(tug__pg_taking *t)
{
    t->aborted = true;
    tug_future_cancel(t->inner);
    return TUG_ABORT_LATER;
}

/* --- handles ---------------------------------------------------------------------------------- */

tug_pg *tug__pg_handle_new(tug__pg_kind_of_handle kind, tug__pg_holding *h)
{
    tug_pg *handle = tug_calloc(1, sizeof *handle);
    if (handle == NULL) {
        tug__pg_holding_unref(h);
        TUG_IGNORE(tug_fail(TUG_ENOMEM, "out of memory for a session"));
        return NULL;
    }
    handle->kind = kind;
    handle->holding = h;
    tug_pg **first = &h->pool->handles;
    handle->next = *first;
    handle->at_prev = first;
    if (handle->next != NULL) {
        handle->next->at_prev = &handle->next;
    }
    *first = handle;
    return handle;
}

void tug__pg_handle_free(tug_pg *handle)
{
    tug__pg_cursors_cut(handle);
    *handle->at_prev = handle->next;
    if (handle->next != NULL) {
        handle->next->at_prev = handle->at_prev;
    }
    tug__pg_holding *h = handle->holding;
    tug_free(handle);
    tug__pg_holding_unref(h);
}
