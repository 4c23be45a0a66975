/* Advisory locks on a real server: who has one, how long, and that none stays behind. */
#include <tug/group.h>
#include <tug/pg_lock.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "pg_help.h"
#include "proxy.h"

/* A key that no other test has. */
static int64_t own_key(void)
{
    const char *name = test_name();
    uint32_t key = 5381;
    for (; *name != '\0'; name++) {
        key = key * 33 + (unsigned char)*name;
    }
    return key & 0x7fffffff;
}

/* Locks of that key that anybody has; both kinds of keys end in it. */
static int64_t held(tug_pg *db, int64_t key)
{
    int64_t n = 0;
    assert_ok(
        tug_pg_query_one(db,
                         "select count(*) from pg_locks where locktype = 'advisory' and granted "
                         "and objid = $1::int8",
                         TUG_ARGS(key), TUG_OUT(&n)));
    return n;
}

LIVE_TEST(a_lock_excludes_others_until_it_is_closed)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) others = help_open(NULL);
    tug_pg_lock *lock = NULL, *second = NULL;
    tug_pg_key key = tug_pg_key_of(own_key());
    assert_ok(tug_pg_lock_take(db, key, TUG_PG_LOCK_EXCLUSIVE, &lock));
    assert_true(tug_pg_lock_is_held(lock));
    assert_int_equal(held(db, key.value), 1); /* the pool may be used meanwhile */
    assert_rc(tug_pg_lock_take(others, key, TUG_PG_LOCK_TRY, &second), TUG_ENOTFOUND);
    assert_detail_has("is taken");
    assert_rc(tug_pg_lock_take(others, key, TUG_PG_LOCK_SHARED | TUG_PG_LOCK_TRY, &second),
              TUG_ENOTFOUND);
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_lock_take(others, key, 0, &second)), TUG_ETIMEDOUT);
    assert_null(second);
    tug_pg_lock_close(lock);
    assert_ok(TUG_WITHIN(TUG_SECONDS(20), tug_pg_lock_take(others, key, 0, &second)));
    tug_pg_lock_close(second);
}

LIVE_TEST(shared_locks_share)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg_lock) one = NULL;
    TUG_AUTO(tug_pg_lock) two = NULL;
    TUG_AUTO(tug_pg_lock) alone = NULL;
    tug_pg_key key = tug_pg_key_pair(-7, (int32_t)own_key());
    assert_ok(tug_pg_lock_take(db, key, TUG_PG_LOCK_SHARED, &one));
    assert_ok(tug_pg_lock_take(db, key, TUG_PG_LOCK_SHARED | TUG_PG_LOCK_TRY, &two));
    assert_rc(tug_pg_lock_take(db, key, TUG_PG_LOCK_TRY, &alone), TUG_ENOTFOUND);
    assert_detail_has("(-7, ");
    assert_int_equal(held(db, key.second), 2);
}

LIVE_TEST(a_lock_of_a_session_outlives_its_statements_and_no_more)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    tug_pg_lock *lock = NULL, *again = NULL;
    tug_pg_key key = tug_pg_key_of(own_key());
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_pg_lock_take(session, key, 0, &lock));
    assert_ok(tug_pg_lock_take(session, key, TUG_PG_LOCK_TRY, &again));
    tug_pg_lock_close(again);
    assert_int_equal(held(session, key.value), 1); /* once is left */
    /* In a transaction that fails the unlock is refused: the reset does it. */
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_rc(tug_pg_lock_take(session, key, 0, &again), TUG_EMISUSE);
    assert_rc(tug_pg_lock_take(tx, key, 0, &again), TUG_EMISUSE);
    assert_detail_has("tug_pg_lock_in");
    assert_rc(tug_pg_exec(tx, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    tug_pg_lock_close(lock);
    tug_pg_close(tx);
    tx = NULL;
    tug_pg_close(session);
    session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    assert_int_equal(held(session, key.value), 0);
}

LIVE_TEST(taking_and_giving_back_resets_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select count(*) from pg_prepared_statements"), 1);
    tug_pg_close(session);
    for (int i = 0; i < 3; i++) {
        TUG_AUTO(tug_pg_lock) lock = NULL;
        assert_ok(tug_pg_lock_take(db, tug_pg_key_of(own_key()), 0, &lock));
    }
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session,
                              "select count(*) from pg_prepared_statements where statement "
                              "like '%count(*) from pg_prepared%'"),
                     2);
    tug_pg_close(session);
}

LIVE_TEST(a_lock_of_a_transaction_ends_with_it)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg) other = NULL;
    tug_pg_key key = tug_pg_key_of(own_key());
    tug_pg_key pair = tug_pg_key_pair(1, (int32_t)own_key());
    assert_rc(tug_pg_lock_in(db, key, 0), TUG_EMISUSE);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_lock_in(tx, key, 4), TUG_EINVAL);
    assert_ok(tug_pg_lock_in(tx, key, 0));
    assert_ok(tug_pg_lock_in(tx, pair, TUG_PG_LOCK_SHARED | TUG_PG_LOCK_TRY));
    assert_ok(tug_pg_begin(db, NULL, &other));
    assert_rc(tug_pg_lock_in(other, key, TUG_PG_LOCK_TRY), TUG_ENOTFOUND);
    assert_rc(tug_pg_lock_in(other, pair, TUG_PG_LOCK_TRY), TUG_ENOTFOUND);
    assert_ok(tug_pg_lock_in(other, pair, TUG_PG_LOCK_SHARED));
    assert_ok(tug_pg_commit(tx));
    assert_ok(tug_pg_lock_in(other, key, TUG_PG_LOCK_TRY));
    assert_ok(TUG_WITHIN(TUG_SECONDS(20), tug_pg_lock_in(other, key, 0))); /* again: it has it */
}

LIVE_TEST(a_wait_cut_short_at_any_time_leaves_no_lock)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg_key key = tug_pg_key_of(own_key());
    int got = 0;
    for (int i = 0; i < 60; i++) {
        tug_pg_lock *lock = NULL;
        /* The last ones have all the time they need. */
        tug_duration limit = i < 57 ? TUG_US(i * 20) : TUG_SECONDS(30);
        int rc = TUG_WITHIN(limit, tug_pg_lock_take(db, key, 0, &lock));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        assert_true((rc == 0) == (lock != NULL));
        got += rc == 0;
        tug_pg_lock_close(lock);
        TUG_AUTO(tug_pg) session = NULL; /* the same connection, after whatever was left of it */
        assert_ok(tug_pg_acquire(db, &session));
        assert_int_equal(held(session, key.value), 0);
    }
    assert_true(got > 0);
}

LIVE_TEST(a_lock_goes_with_its_connection)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg_lock) lock = NULL;
    tug_pg_lock *bad = NULL;
    tug_pg_key key = tug_pg_key_of(own_key());
    assert_rc(tug_pg_lock_take(NULL, key, 0, &bad), TUG_EMISUSE);
    assert_rc(tug_pg_lock_take(db, key, 9, &bad), TUG_EINVAL);
    assert_ok(tug_pg_lock_take(db, key, 0, &lock));
    assert_ok(
        tug_pg_exec(db,
                    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' "
                    "and objid = $1::int8",
                    TUG_ARGS(key.value), NULL));
    assert_soon(!tug_pg_lock_is_held(lock));
    assert_soon(held(db, key.value) == 0); /* a backend says goodbye before it lets go */
}

/* The lock is given while the word of it is on its way, and by then nobody waits any more. */
LIVE_TEST(a_session_keeps_no_lock_that_nobody_has)
{
    const char *base = test_url("TUG_PG_URL");
    const char *port = strrchr(base, ':') + 1;
    size_t digits = strcspn(port, "/");
    char url[400], server[64];
    snprintf(server, sizeof server, "tcp://127.0.0.1:%.*s", (int)digits, port);
    proxy *p = proxy_start(server);
    snprintf(url, sizeof url, "%.*s%d%s", (int)(port - base), base, proxy_port(p), port + digits);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    tug_pg *db = NULL, *session = NULL;
    assert_ok(tug_pg_open(url, &o, &db));
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select 1"), 1);
    proxy_rules slow = PROXY_RULES_INIT;
    slow.way[PROXY_DOWN].latency = TUG_MS(60);
    proxy_link_set(proxy_link_last(p), &slow);
    const tug_pg_key keys[] = {tug_pg_key_of(-20261120), tug_pg_key_pair(-3, 2026)};
    for (unsigned i = 0; i < 4; i++) { /* both kinds, exclusive and shared */
        tug_pg_lock *lock = NULL;
        assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_lock_take(session, keys[i / 2], i % 2, &lock)),
                  TUG_ETIMEDOUT);
        assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
        assert_int_equal(help_int(session, "select count(*) from pg_locks where locktype = "
                                           "'advisory' and pid = pg_backend_pid()"),
                         0);
    }
    /* One that is not given is ended on the server, and nothing behind it waits. */
    TUG_AUTO(tug_pg) other = help_open_small();
    TUG_AUTO(tug_pg_lock) theirs = NULL;
    tug_pg_lock *lock = NULL;
    assert_ok(tug_pg_lock_take(other, keys[0], 0, &theirs));
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_lock_take(session, keys[0], 0, &lock)), TUG_ETIMEDOUT);
    assert_int_equal(help_int(session, "select 7"), 7);
    assert_true(tug_pg_lock_is_held(theirs));
    tug_pg_close(session);
    tug_pg_close(db);
    proxy_stop(p);
}
