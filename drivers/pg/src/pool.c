/* The handle from tug_pg_open: two pools of connections over the same ops, one whose leases the
 * driver keeps for itself and shares, one whose leases go to sessions. Backoff, reopening and
 * closing are tug_pool's. */
#include <assert.h>
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>

#include "fields.h"
#include "handle.h"

#define CONNECT_TIMEOUT TUG_SECONDS(10)
#define SHARED_NAME "pg.shared"

/* Its address tells threads apart without a system call. */
static _Thread_local char pool_thread;

void tug__pg_pool_ref(tug__pg_pool *pool)
{
    pool->references++;
}

void tug__pg_pool_unref(tug__pg_pool *pool)
{
    if (--pool->references > 0) {
        return;
    }
    assert(pool->waiting.first == NULL && pool->alone == NULL && pool->handles == NULL &&
           "a pool outlives what was started on it");
    tug_on_end_forget(&pool->end);
    tug__pg_fields_leave();
    tug__pg_texts_free(&pool->texts);
    tug__pg_cancels_unref(pool->cancels);
    tug_inspect_remove(&pool->source);
    tug__pg_target_unref(pool->target);
    tug_free(pool->after_connect);
    tug_free(pool->slots);
    tug_free(pool->view);
    tug_free(pool);
}

int tug__pg_check(const tug_pg *any, const char *what)
{
    if (any == NULL) {
        return tug_fail(TUG_EMISUSE, "%s: the handle is NULL", what);
    }
    if (tug__pg_pool_of(any)->thread != &pool_thread) {
        return tug_fail(TUG_EMISUSE, "%s: the handle belongs to another thread's loop", what);
    }
    return 0;
}

/* --- the ops ---------------------------------------------------------------------------------- */

struct new_connection {
    tug__pg_source *source;
    PGconn *pq;
    tug__pg_connection *connection;
    int rc;
    tug_error error;
};

static void make_connection(void *arg)
{
    struct new_connection *n = arg;
    tug__pg_pool *pool = n->source->pool;
    /* A service says these at the login only. */
    pool->limits.role = pool->target->info.role;
    pool->limits.unnamed = pool->options.statement_mode == TUG_PG_UNNAMED ||
                           pool->target->info.unnamed;
    n->rc = tug__pg_connection_new(n->pq, &pool->texts, pool->cancels, &pool->limits,
                                   n->source->ordered, pool->target->info.description,
                                   &n->connection);
    if (n->rc < 0) {
        n->error = *tug_last_error();
        PQfinish(n->pq);
    }
}

/* A login ended: those who wait in tug_pg_ready hear of it. */
static void pool_attempted(tug__pg_pool *pool, int rc)
{
    pool->attempts++;
    pool->attempt = (tug_error){0};
    pool->attempt_told = tug_waiters_any(&pool->ready_waiters);
    if (rc < 0) {
        pool->attempt = *tug_last_error();
        pool->attempt.code = rc;
    }
    tug_unpark_all(&pool->ready_waiters, rc, rc < 0 ? &pool->attempt : NULL);
}

static void free_connection(void *arg)
{
    tug__pg_connection_free(arg);
}

/* An idle leased connection may be what was lost: the pool looks. */
static void leased_lost(tug__pg_connection *c, void *arg)
{
    (void)c;
    tug_pool_sweep(((tug__pg_pool *)arg)->leased_pool);
}

/* For each statement that runs before anybody has the connection. */
#define FIRST_TIME TUG_SECONDS(5)

static int run_first(tug__pg_connection *c, const char *sql, const char *what)
{
    TUG_AUTO(tug_future) f = tug__pg_plain_start(c, sql);
    int rc = TUG_WITHIN(FIRST_TIME, tug_await_own(f));
    if (rc == 0 && PQclientEncoding(c->pq) != c->encoding) {
        return tug_fail(TUG_EMISUSE, "%s has changed client_encoding: all text is UTF-8 here",
                        what);
    }
    return rc == TUG_ETIMEDOUT ? tug_fail(TUG_ECONNECT, "%s was not done within %d s on %.60s",
                                          what, (int)(FIRST_TIME / TUG_SECONDS(1)), c->where)
                               : rc;
}

/* Dates and intervals that come as text are read in these styles; the server, the database and the role may have
 * others. The server reports what is in force, so that the usual case costs nothing. Who reports nothing has
 * nothing to set. */
static bool has_our_styles(const PGconn *pq)
{
    const char *date = PQparameterStatus(pq, "DateStyle");
    const char *interval = PQparameterStatus(pq, "IntervalStyle");
    return (date == NULL || strncmp(date, "ISO", 3) == 0) &&
           (interval == NULL || strcmp(interval, "postgres") == 0);
}

/* At the login and after DISCARD ALL. The program's own statement comes last: it may say otherwise. */
static int run_all_first(const tug__pg_pool *pool, tug__pg_connection *c)
{
    int rc = has_our_styles(c->pq) ? 0 : run_first(c, TUG__PG_STYLES_SQL, "setting datestyle");
    return rc < 0 || pool->after_connect == NULL
               ? rc
               : run_first(c, pool->after_connect, "after_connect");
}

/* The hook is a program's: what it does to the task's last error is undone. */
static void connect_told(const struct new_connection *n, uint32_t hooks, tug_time since, int rc)
{
    tug_error why = *tug_last_error();
    why.code = rc;
    tug__pg_login_end(n->source->pool, hooks, since,
                      n->source->ordered ? TUG_PG_POOL_NAME : SHARED_NAME,
                      rc == 0 ? n->connection->pq : NULL, &why);
    if (rc < 0) {
        TUG_IGNORE(tug_fail_with(&why));
    }
}

static int ops_connect(void *ctx, void **ret_resource)
{
    struct new_connection n = {.source = ctx};
    tug__pg_pool *pool = n.source->pool;
    uint32_t hooks = pool->hooks_number;
    tug_time since = hooks != 0 ? tug_now() : 0;
    int rc = tug__pg_login(pool->target, pool->options.connect_timeout, &n.pq);
    if (rc == 0) {
        tug_on_loop_stack(make_connection, &n);
        rc = n.rc < 0 ? tug_fail_with(&n.error) : run_all_first(pool, n.connection);
    }
    if (rc < 0 && n.connection != NULL) {
        n.error = *tug_last_error();
        tug_on_loop_stack(free_connection, n.connection);
        rc = tug_fail_with(&n.error);
    }
    if (!pool->closed) {
        pool_attempted(pool, rc);
    }
    if (hooks != 0) {
        connect_told(&n, hooks, since, rc);
    }
    if (rc == 0) {
        if (n.source->ordered) {
            n.connection->hooks = (tug__pg_hooks){.lost = leased_lost, .arg = pool};
        }
        *ret_resource = n.connection;
    }
    return rc;
}

static int ops_check(void *resource)
{
    /* An empty query: a round trip that does nothing. */
    TUG_AUTO(tug_future) f = tug__pg_plain_start(resource, "");
    return tug_await_own(f);
}

/* DISCARD ALL undoes what after_connect did, too. Only leased connections are lent to those who make them
 * dirty. */
static int ops_reset(void *resource)
{
    tug__pg_connection *c = resource;
    TUG_AUTO(tug_future) f = tug__pg_plain_start(c, "DISCARD ALL");
    int rc = tug_await_own(f);
    if (rc == 0) {
        tug__pg_connection_forget_statements(c);
        rc = run_all_first(c->hooks.arg, c);
    }
    return rc;
}

static void ops_close(void *resource)
{
    tug_on_loop_stack(free_connection, resource);
}

static bool ops_is_usable(const void *resource)
{
    const tug__pg_connection *c = resource;
    return tug__pg_connection_is_clean(c) && tug__pg_role_still_fits(c->limits.role, c->pq);
}

static void ops_gone(void *ctx)
{
    tug__pg_pool_unref(((tug__pg_source *)ctx)->pool);
}

static const tug_pool_ops ops = {.size = sizeof(tug_pool_ops),
                                 .connect = ops_connect,
                                 .check = ops_check,
                                 .reset = ops_reset,
                                 .close = ops_close,
                                 .is_usable = ops_is_usable,
                                 .gone = ops_gone};

/* --- open ------------------------------------------------------------------------------------- */

static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most) {
        return tug_fail(TUG_EINVAL, "tug_pg_open: %s is %llu, not between %llu and %llu", name,
                        (unsigned long long)value, (unsigned long long)least,
                        (unsigned long long)most);
    }
    return 0;
}

static int check_age(const char *name, tug_duration age)
{
    return age > 0 ? 0 : tug_fail(TUG_EINVAL, "tug_pg_open: %s must be more than 0", name);
}

static int check_options(const tug_pg_options *o)
{
    int rc = check_range("shared", o->shared, 0, 64);
    rc = rc < 0 ? rc : check_range("pool_max", o->pool_max, 1, 10000);
    rc = rc < 0 ? rc : check_range("pool_min", o->pool_min, 0, o->pool_max);
    rc = rc < 0 ? rc : check_range("max_waiters", o->max_waiters, 1, 1000000);
    rc = rc < 0 ? rc : check_range("max_pipeline", o->max_pipeline, 1, 65536);
    rc = rc < 0 ? rc : check_range("max_pipeline_bytes", o->max_pipeline_bytes, 65536, 1u << 30);
    rc = rc < 0 ? rc
                : check_range("max_result_bytes", o->max_result_bytes, 65536, UINT64_C(1) << 40);
    rc = rc < 0 ? rc : check_range("max_statements", o->max_statements, 8, 10000);
    rc = rc < 0 ? rc : check_range("pool_min_idle", o->pool_min_idle, 0, o->pool_max);
    rc = rc < 0 ? rc : check_age("pool_idle_timeout", o->pool_idle_timeout);
    rc = rc < 0 ? rc : check_age("pool_max_lifetime", o->pool_max_lifetime);
    rc = rc < 0 ? rc : check_age("pool_leak_after", o->pool_leak_after);
    rc = rc < 0 ? rc : check_range("head_limit (ns)", (uint64_t)o->head_limit, 0, TUG_FOREVER);
    rc = rc < 0 ? rc : check_range("max_statement_bytes", o->max_statement_bytes, 0, 1u << 30);
    if (rc == 0 && o->statement_mode != TUG_PG_PREPARED && o->statement_mode != TUG_PG_UNNAMED) {
        rc = tug_fail(TUG_EINVAL,
                      "tug_pg_open: statement_mode %d is none of TUG_PG_PREPARED and "
                      "TUG_PG_UNNAMED",
                      o->statement_mode);
    }
    if (rc == 0 && o->cancel_timeout != 0) {
        rc = check_range("cancel_timeout (ns)", (uint64_t)o->cancel_timeout, TUG_MS(10),
                         TUG_SECONDS(3600));
    }
    if (rc == 0 && o->connect_timeout != 0) {
        rc = check_range("connect_timeout (ns)", (uint64_t)o->connect_timeout, TUG_MS(1),
                         TUG_SECONDS(3600));
    }
    return rc;
}

static int pool_open_pools(tug__pg_pool *pool)
{
    tug_pool_options shared = TUG_POOL_OPTIONS_INIT;
    tug_pool_options leased = TUG_POOL_OPTIONS_INIT;
    const tug_pg_options *o = &pool->options;
    leased.name = TUG_PG_POOL_NAME;
    leased.min = o->pool_min;
    leased.max = o->pool_max;
    leased.max_waiters = o->max_waiters;
    leased.min_idle = o->pool_min_idle;
    leased.idle_timeout = o->pool_idle_timeout;
    leased.max_lifetime = o->pool_max_lifetime;
    leased.leak_after = o->pool_leak_after;
    leased.breaker_after = o->pool_breaker_after;
    leased.connect_timeout = TUG_FOREVER; /* a login has its own */
    shared.name = SHARED_NAME;
    shared.max = o->shared > 0 ? o->shared : 1;
    shared.max_waiters = shared.max;
    shared.connect_timeout = TUG_FOREVER;
    int rc = tug_pool_open(&ops, &pool->leased_source, &leased, &pool->leased_pool);
    if (rc < 0) {
        return rc;
    }
    tug__pg_pool_ref(pool); /* until gone */
    rc = tug_pool_open(&ops, &pool->shared_source, &shared, &pool->shared_pool);
    if (rc < 0) {
        tug_pool_close(pool->leased_pool);
        return rc;
    }
    tug__pg_pool_ref(pool);
    return 0;
}

/* All user tasks have ended: what the program forgot is closed for it. */
static void pool_end(void *arg)
{
    tug__pg_pool *pool = arg;
    tug__pg_pool_ref(pool);
    tug__pg_flows_close(pool);
    tug__pg_cursors_close(pool);
    tug__pg_locks_close(pool);
    while (pool->handles != NULL) {
        tug_pg_close(pool->handles);
    }
    if (!pool->closed) {
        tug_pg_close(&pool->base);
    }
    tug__pg_pool_unref(pool);
}

static int pool_set_up(tug__pg_pool *pool, const tug_pg_options *o)
{
    pool->base = pool->beside = (tug_pg){.kind = TUG__PG_POOL, .pool = pool};
    pool->beside.beside = true;
    pool->references = 1;
    tug__pg_fields_enter();
    pool->thread = &pool_thread;
    pool->options = *o;
    if (o->connect_timeout == 0) {
        tug_duration given = pool->target->info.connect_timeout;
        pool->options.connect_timeout = given != 0 ? given : CONNECT_TIMEOUT;
    }
    pool->limits = (tug__pg_limits){.requests = o->max_pipeline,
                                    .bytes = o->max_pipeline_bytes,
                                    .result_bytes = o->max_result_bytes,
                                    .statements = o->max_statements,
                                    .statement_bytes = o->max_statement_bytes};
    pool->shared_source = (tug__pg_source){.pool = pool, .ordered = false};
    pool->leased_source = (tug__pg_source){.pool = pool, .ordered = true};
    pool->options.after_connect = NULL; /* the program's; ours is the copy */
    if (o->after_connect != NULL) {
        pool->after_connect = tug_strdup(o->after_connect);
        if (pool->after_connect == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a pool");
        }
    }
    pool->cancels = tug__pg_cancels_new(o->cancel_timeout);
    pool->slots_n = o->shared;
    pool->slots = tug_calloc(o->shared, sizeof *pool->slots);
    if (pool->cancels == NULL || (o->shared > 0 && pool->slots == NULL)) {
        return tug_fail(TUG_ENOMEM, "out of memory for a pool");
    }
    for (size_t i = 0; i < pool->slots_n; i++) {
        pool->slots[i].pool = pool;
    }
    return pool_open_pools(pool);
}

int tug_pg_open(const char *url, const tug_pg_options *o, tug_pg **ret_db)
{
    tug_pg_options all = TUG_PG_OPTIONS_INIT;
    if (!tug_has_loop("tug_pg_open")) {
        return TUG_EMISUSE;
    }
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    int rc = check_options(&all);
    tug__pg_pool *pool = rc == 0 ? tug_calloc(1, sizeof *pool) : NULL;
    if (rc == 0 && pool == NULL) {
        rc = tug_fail(TUG_ENOMEM, "out of memory for a pool");
    }
    rc = rc < 0 ? rc : tug__pg_target_new(url, &pool->target);
    rc = rc < 0 ? rc : tug__pg_conninfo_check_plain(&pool->target->info);
    if (rc < 0) {
        if (pool != NULL) {
            tug__pg_target_unref(pool->target);
        }
        tug_free(pool);
        return rc;
    }
    rc = pool_set_up(pool, &all);
    if (rc < 0) {
        tug__pg_pool_unref(pool);
        return rc;
    }
    tug_on_end(&pool->end, pool_end, pool);
    tug_inspect_add(&pool->source, "pg", tug__pg_pool_show, pool);
    tug__pg_pool_open_shared(pool);
    *ret_db = &pool->base;
    return 0;
}

/* --- ready and close -------------------------------------------------------------------------- */

static void asked_settled(tug_future *f, void *arg)
{
    tug__pg_pool *pool = arg;
    tug_lease *lease = NULL;
    int rc = tug_pool_acquire_take(f, &lease);
    tug_unpark_all(&pool->ready_waiters, rc, rc < 0 ? tug_last_error() : NULL);
    tug_lease_close(lease);
    tug__pg_pool_unref(pool);
}

/* Wakes the connecting, if it rests. */
static void pool_ask(tug__pg_pool *pool)
{
    if (pool->slots_n > 0) {
        tug__pg_pool_open_shared(pool);
        return;
    }
    tug__pg_pool_ref(pool);
    tug_future_on_settled(tug_pool_acquire_start(pool->leased_pool), asked_settled, pool);
}

static int pool_ready(tug__pg_pool *pool)
{
    for (size_t i = 0; i < pool->slots_n; i++) {
        if (pool->slots[i].connection != NULL) {
            return tug_checkpoint();
        }
    }
    if (pool->attempts > 0 && pool->attempt.code == 0) {
        return tug_checkpoint();
    }
    if (pool->attempts > 0 && !pool->attempt_told) {
        pool->attempt_told = true;
        return tug_fail_with(&pool->attempt);
    }
    pool_ask(pool);
    return tug_park(&pool->ready_waiters, NULL, "pg.ready");
}

int tug_pg_ready(tug_pg *db)
{
    int rc = tug__pg_check(db, "tug_pg_ready");
    if (rc < 0) {
        return rc;
    }
    if (db->kind == TUG__PG_POOL) {
        return pool_ready(db->pool);
    }
    const tug__pg_connection *c = db->holding->connection;
    return c->state == TUG__PG_LOST ? tug_fail_with(&c->why) : tug_checkpoint();
}

static void pool_close(tug__pg_pool *pool)
{
    tug_error why;
    assert(!pool->closed && "a pool is closed once");
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "the pool of %.60s was closed", pool->target->info.description);
    pool->closed = true;
    tug__pg_pool_shut(pool, &why);
    tug_unpark_all(&pool->ready_waiters, TUG_ECLOSED, &why);
    tug_pool_close(pool->shared_pool);
    tug_pool_close(pool->leased_pool);
    /* Sessions may be out still, and the program may forget them: the end hook stays until all is
     * gone. */
    tug__pg_pool_unref(pool);
}

tug_pg *tug_pg_beside(tug_pg *pool)
{
    return pool != NULL && pool->kind == TUG__PG_POOL ? &pool->pool->beside : pool;
}

void tug_pg_close(tug_pg *any)
{
    if (any == NULL) {
        return;
    }
    assert(tug__pg_pool_of(any)->thread == &pool_thread &&
           "a handle is closed on its loop's thread");
    switch (any->kind) {
    case TUG__PG_POOL:
        assert(!any->beside && "what tug_pg_beside gives is borrowed");
        pool_close(any->pool);
        return;
    case TUG__PG_SESSION:
        tug__pg_session_close(any);
        return;
    case TUG__PG_TRANSACTION:
        tug__pg_transaction_close(any);
        return;
    }
}
