/* Advisory locks. Those of a session go out as plain statements of the driver's own, so that they do not
 * mark the session: what was locked here is unlocked here. Only where that is not sure (a wait that was cut
 * off, a transaction that may have failed) the connection is reset before somebody else gets it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <tug/pg_lock.h>
#include <tug/sys/alloc.h>

#include "handle.h"

#define LOCK_SQL 96
#define UNDO_SQL 400

struct tug_pg_lock {
    tug__pg_holding *holding; /* one reference */
    tug_pg_key key;
    unsigned flags;
    tug_pg_lock *next, **at_prev; /* in the pool's list */
};

/* "select pg_try_advisory_lock_shared(1, 2)" */
static void lock_sql(char *to, const char *what, tug_pg_key key, unsigned flags)
{
    char arguments[32];
    if (key.is_pair) {
        snprintf(arguments, sizeof arguments, "%d, %d", (int)key.first, (int)key.second);
    } else {
        snprintf(arguments, sizeof arguments, "%lld", (long long)key.value);
    }
    snprintf(to, LOCK_SQL, "select pg_%sadvisory_%s%s(%s)", flags & TUG_PG_LOCK_TRY ? "try_" : "",
             what, flags & TUG_PG_LOCK_SHARED ? "_shared" : "", arguments);
}

static int lock_taken(tug_pg_key key)
{
    if (key.is_pair) {
        return tug_fail(TUG_ENOTFOUND, "advisory lock (%d, %d) is taken", (int)key.first,
                        (int)key.second);
    }
    return tug_fail(TUG_ENOTFOUND, "advisory lock %lld is taken", (long long)key.value);
}

static int lock_check_flags(unsigned flags, const char *what)
{
    if (flags > (TUG_PG_LOCK_SHARED | TUG_PG_LOCK_TRY)) {
        return tug_fail(TUG_EINVAL, "%s: flags %u are none of TUG_PG_LOCK_*", what, flags);
    }
    return 0;
}

/* --- the statement ------------------------------------------------------------------------------ */

typedef struct asking {
    tug__pg_request request;
    tug__pg_holding *holding; /* borrowed: the caller's while it waits */
    tug_pg_key key;
    unsigned flags;
    bool got;
    char sql[LOCK_SQL];
} asking;

static bool lock_is_known(const tug__pg_holding *h, tug_pg_key key, unsigned flags)
{
    for (const tug_pg_lock *l = h->pool->locks; l != NULL; l = l->next) {
        bool same = key.is_pair ? l->key.first == key.first && l->key.second == key.second
                                : l->key.value == key.value;
        if (l->holding == h && l->key.is_pair == key.is_pair && same &&
            ((l->flags ^ flags) & TUG_PG_LOCK_SHARED) == 0) {
            return true;
        }
    }
    return false;
}

/* A lock whose wait was cut off while it was being given: its session would keep it, and nobody would know.
 * Behind the wait it is given back, if it is there (else the server would warn). One that the session had
 * taken before stays as it is, once too often perhaps, until the session is closed. */
static void asking_undo(const asking *a)
{
    char sql[UNDO_SQL], unlock[LOCK_SQL];
    uint64_t value = (uint64_t)a->key.value;
    if (lock_is_known(a->holding, a->key, a->flags)) {
        return;
    }
    lock_sql(unlock, "unlock", a->key, a->flags & TUG_PG_LOCK_SHARED);
    snprintf(
        sql, sizeof sql,
        "%s from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and "
        "granted and mode = '%s' and classid = %lu::oid and objid = %lu::oid and objsubid = %d",
        unlock, a->flags & TUG_PG_LOCK_SHARED ? "ShareLock" : "ExclusiveLock",
        (unsigned long)(a->key.is_pair ? (uint32_t)a->key.first : (uint32_t)(value >> 32)),
        (unsigned long)(a->key.is_pair ? (uint32_t)a->key.second : (uint32_t)value),
        a->key.is_pair ? 2 : 1);
    /* Without memory for it the reset at the end of the session does it. */
    (void)tug__pg_plain_forget(a->holding->connection, sql);
}

static int asking_abort(tug_future *f)
{
    asking *a = tug_future_payload(f);
    tug_error e;
    int sent = tug__pg_request_withdraw(&a->request);
    if (sent == TUG_IN_FLIGHT) {
        /* It may yet be given. */
        tug_lease_mark_dirty(a->holding->lease);
        asking_undo(a);
    }
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  "the wait for an advisory lock was cancelled");
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class asking_class = {.size = sizeof(tug_future_class),
                                              .name = "pg.lock",
                                              .payload = sizeof(asking),
                                              .abort = asking_abort};

static void asking_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    asking *a = tug_future_payload(f);
    if (why != NULL) {
        tug_future_fail(f, why);
        return;
    }
    /* "t" or "f" of the try forms, "" of those that wait. */
    a->got = PQntuples(res) == 1 && strcmp(PQgetvalue(res, 0, 0), "f") != 0;
    PQclear(res);
    tug_future_settle(f, NULL);
}

static int lock_ask(tug__pg_holding *h, tug_pg_key key, unsigned flags)
{
    assert(h != NULL && "a lock has a connection");
    tug_future *f = tug_future_new(&asking_class);
    if (f == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a lock");
    }
    asking *a = tug_future_payload(f);
    lock_sql(a->sql, "lock", key, flags);
    a->holding = h;
    a->key = key;
    a->flags = flags;
    a->request.kind = TUG__PG_PLAIN;
    a->request.plain = a->sql;
    a->request.owner = f;
    a->request.done = asking_done;
    tug__pg_connection_add(h->connection, &a->request);
    int rc = tug_await_own(f);
    if (rc == 0 && !a->got) {
        rc = lock_taken(key);
    }
    tug_future_unref(f);
    return rc;
}

/* --- locks of a session ------------------------------------------------------------------------- */

static int lock_check(const tug_pg *db, unsigned flags)
{
    int rc = tug__pg_check(db, "tug_pg_lock_take");
    rc = rc < 0 ? rc : lock_check_flags(flags, "tug_pg_lock_take");
    if (rc == 0 && db->kind == TUG__PG_TRANSACTION) {
        rc = tug_fail(TUG_EMISUSE,
                      "tug_pg_lock_take: this is a transaction: use tug_pg_lock_in, or "
                      "take the lock on its session before it begins");
    }
    return rc == 0 && db->kind == TUG__PG_SESSION ? tug__pg_check_held(db, "tug_pg_lock_take") : rc;
}

/* A reference to the connection that will have the lock. */
static int lock_hold(tug_pg *db, const void *place, tug__pg_holding **ret_holding)
{
    tug_pg *session = NULL;
    if (db->kind == TUG__PG_SESSION) {
        *ret_holding = tug__pg_holding_ref(db->holding);
        return 0;
    }
    int rc = tug__pg_acquire_from(db, place, &session);
    if (rc == 0) {
        *ret_holding = tug__pg_holding_ref(session->holding);
        /* Who waits for a lease while he holds a lock does not wait for himself: statements on the pool
         * are not refused. */
        tug__pg_holding_clear_holder(session->holding);
        tug_pg_close(session);
    }
    return rc;
}

int tug_pg_lock_take(tug_pg *db, tug_pg_key key, unsigned flags, tug_pg_lock **ret_lock)
{
    tug__pg_holding *h = NULL;
    int rc = lock_check(db, flags);
    if (rc < 0) {
        return rc;
    }
    tug_pg_lock *lock = tug_calloc(1, sizeof *lock);
    if (lock == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a lock");
    }
    rc = lock_hold(db, __builtin_return_address(0), &h);
    rc = rc < 0 ? rc : lock_ask(h, key, flags);
    if (rc < 0) {
        tug__pg_holding_unref(h);
        tug_free(lock);
        return rc;
    }
    *lock = (tug_pg_lock){.holding = h,
                          .key = key,
                          .flags = flags,
                          .next = h->pool->locks,
                          .at_prev = &h->pool->locks};
    if (lock->next != NULL) {
        lock->next->at_prev = &lock->next;
    }
    h->pool->locks = lock;
    *ret_lock = lock;
    return 0;
}

bool tug_pg_lock_is_held(const tug_pg_lock *lock)
{
    return lock->holding->connection->state != TUG__PG_LOST;
}

void tug_pg_lock_close(tug_pg_lock *lock)
{
    if (lock == NULL) {
        return;
    }
    tug__pg_holding *h = lock->holding;
    char sql[LOCK_SQL];
    lock_sql(sql, "unlock", lock->key, lock->flags & TUG_PG_LOCK_SHARED);
    /* In a transaction that has failed the server refuses this, too. */
    if (!tug__pg_plain_forget(h->connection, sql) || h->tx != NULL) {
        tug_lease_mark_dirty(h->lease);
    }
    *lock->at_prev = lock->next;
    if (lock->next != NULL) {
        lock->next->at_prev = lock->at_prev;
    }
    tug_free(lock);
    tug__pg_holding_unref(h);
}

void tug__pg_locks_close(tug__pg_pool *pool)
{
    while (pool->locks != NULL) {
        tug_pg_lock_close(pool->locks);
    }
}

/* --- locks of a transaction --------------------------------------------------------------------- */

int tug_pg_lock_in(tug_pg *tx, tug_pg_key key, unsigned flags)
{
    char sql[LOCK_SQL];
    int rc = tug__pg_check(tx, "tug_pg_lock_in");
    rc = rc < 0 ? rc : lock_check_flags(flags, "tug_pg_lock_in");
    if (rc == 0 && tx->kind != TUG__PG_TRANSACTION) {
        rc = tug_fail(TUG_EMISUSE, "tug_pg_lock_in: this is no transaction: use tug_pg_lock_take");
    }
    if (rc < 0) {
        return rc;
    }
    snprintf(sql, sizeof sql, "select pg_%sadvisory_xact_lock%s(%s)",
             flags & TUG_PG_LOCK_TRY ? "try_" : "", flags & TUG_PG_LOCK_SHARED ? "_shared" : "",
             key.is_pair ? "$1::int4, $2::int4" : "$1::int8");
    tug_value values[2] = {tug_int64(key.is_pair ? key.first : key.value), tug_int64(key.second)};
    tug_args args = {values, key.is_pair ? 2u : 1u};
    if (!(flags & TUG_PG_LOCK_TRY)) {
        return tug_pg_exec(tx, sql, args, NULL);
    }
    bool got = false;
    rc = tug_pg_query_one(tx, sql, args, TUG_OUT(&got));
    return rc < 0 || got ? rc : lock_taken(key);
}
