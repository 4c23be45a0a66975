/* Sessions: a leased connection for one holder. */
#include <tug/sys/alloc.h>

#include "handle.h"

typedef struct acquire {
    tug__pg_taking taking; /* first */
} acquire;

static void acquire_dispose(void *value)
{
    tug_pg_close(value);
}

static int acquire_abort(tug_future *f)
{
    acquire *a = tug_future_payload(f);
    return a->taking.inner != NULL ? tug__pg_take_abort(&a->taking) : TUG_ABORT_LATER;
}

static const tug_future_class acquire_class = {.size = sizeof(tug_future_class),
                                               .name = "pg.acquire",
                                               .payload = sizeof(acquire),
                                               .abort = acquire_abort,
                                               .dispose = acquire_dispose};

static void acquire_got(tug_future *f, tug__pg_holding *h)
{
    tug_pg *session = h != NULL ? tug__pg_handle_new(TUG__PG_SESSION, h) : NULL;
    if (session == NULL) {
        tug_future_fail(f, tug_last_error());
    } else {
        tug_future_settle(f, session);
    }
}

static int check_pool(const tug_pg *pool)
{
    int rc = tug__pg_check(pool, "tug_pg_acquire");
    if (rc == 0 && pool->kind != TUG__PG_POOL) {
        rc = tug_fail(TUG_EMISUSE, "tug_pg_acquire: a session comes from a pool, this is a %s",
                      pool->kind == TUG__PG_SESSION ? "session" : "transaction");
    }
    return rc;
}

tug_future *tug_pg_acquire_start(tug_pg *pool)
{
    if (check_pool(pool) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&acquire_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    acquire *a = tug_future_payload(f);
    a->taking.place = __builtin_return_address(0);
    tug__pg_take(f, &a->taking, tug__pg_pool_of(pool), acquire_got);
    return f;
}

int tug_pg_acquire_take(tug_future *f, tug_pg **ret_session)
{
    void *value = NULL;
    int rc = tug_future_take(f, &acquire_class, &value);
    if (rc == 0) {
        tug_pg *session = value;
        tug__pg_holding_set_holder(session->holding);
        *ret_session = session;
    }
    return rc;
}

/* Not made of start and take: an idle connection is lent without a future, a watcher and a turn through the
 * run queue, which were three quarters of the price. */
int tug__pg_acquire_from(tug_pg *pool, const void *place, tug_pg **ret_session)
{
    int rc = check_pool(pool);
    if (rc < 0) {
        return rc;
    }
    tug__pg_pool *p = tug__pg_pool_of(pool);
    tug_lease *lease = NULL;
    tug__pg_pool_ref(p); /* it may be closed while this waits */
    rc = tug_pool_acquire_from(p->leased_pool, place, &lease);
    tug__pg_holding *h = rc == 0 ? tug__pg_holding_new(p, lease) : NULL;
    tug_pg *session = h != NULL ? tug__pg_handle_new(TUG__PG_SESSION, h) : NULL;
    tug__pg_pool_unref(p);
    if (rc < 0) {
        return rc;
    }
    if (session == NULL) {
        return TUG_ENOMEM;
    }
    tug__pg_holding_set_holder(session->holding);
    *ret_session = session;
    return 0;
}

int tug_pg_acquire(tug_pg *pool, tug_pg **ret_session)
{
    return tug__pg_acquire_from(pool, __builtin_return_address(0), ret_session);
}

void tug__pg_session_close(tug_pg *session)
{
    /* A transaction on it that is still open has a reference of its own: the connection goes back
     * after both are closed. Rows or a COPY of the session's own end with it. */
    if (session->holding->tx == NULL) {
        tug__pg_flow_cut(session->holding->flow);
    }
    tug__pg_handle_free(session);
}
