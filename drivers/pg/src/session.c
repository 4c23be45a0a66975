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

tug_future *tug_pg_acquire_start(tug_pg *pool)
{
    if (tug__pg_check(pool, "tug_pg_acquire") < 0) {
        return tug_future_failed(tug_last_error());
    }
    if (pool->kind != TUG__PG_POOL) {
        TUG_IGNORE(tug_fail(TUG_EMISUSE,
                            "tug_pg_acquire: a session comes from a pool, this is a %s",
                            pool->kind == TUG__PG_SESSION ? "session" : "transaction"));
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&acquire_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    acquire *a = tug_future_payload(f);
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

int tug_pg_acquire(tug_pg *pool, tug_pg **ret_session)
{
    tug_future *f = tug_pg_acquire_start(pool);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pg_acquire_take(f, ret_session);
    }
    tug_future_unref(f);
    return rc;
}

void tug__pg_session_close(tug_pg *session)
{
    /* A transaction on it that is still open has a reference of its own: the connection goes back
     * after both are closed. A COPY of the session's own ends with it. */
    if (session->holding->tx == NULL) {
        tug__pg_copy_cut(session->holding->copy);
    }
    tug__pg_handle_free(session);
}
