/* Sessions and transactions on a real server: what is rolled back when, and in what state
 * connections return. */
#include <tug/group.h>
#include <tug/pg_script.h>
#include <tug/scope.h>

#include "pg_help.h"

/* One leased connection, so that the next holder gets the one that was given back. */
static tug_pg *open_one(void)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    return help_open(&o);
}

static int64_t session_int(tug_pg *pool, const char *sql)
{
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(pool, &session));
    return help_int(session, sql);
}

LIVE_TEST(commit_keeps_and_close_rolls_back)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_commit(tx));
    assert_rc(tug_pg_commit(tx), TUG_EMISUSE);
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 1);
    {
        TUG_AUTO(tug_pg) forgotten = NULL;
        assert_ok(tug_pg_begin(db, NULL, &forgotten));
        assert_ok(
            tug_pg_exec(forgotten, help_text(&t, "insert into @ values (2)"), TUG_NO_ARGS, NULL));
    }
    assert_int_equal(help_count(&t), 1);
    assert_int_equal(session_int(db, "select 1"), 1);
    help_drop(&t);
}

LIVE_TEST(a_task_that_holds_a_transaction_does_not_use_its_pool)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("holds a transaction");
    assert_rc(tug_pg_acquire(tx, &tx), TUG_EMISUSE);
}

/* Unless it says so: what it writes there outlives the rollback. All else of the pool is as it was. */
LIVE_TEST(a_task_that_means_it_uses_its_pool_beside_its_transaction)
{
    tug_pg *db = help_open(NULL), *tx = NULL, *session = NULL;
    tug_pg *beside = tug_pg_beside(db);
    help_table t = help_create(db, "a int");
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(beside, help_text(&t, "insert into @ values (2)"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_script(beside, help_text(&t, "insert into @ values (3); select 1"), NULL));
    tug_future *f = tug_pg_exec_start(beside, help_text(&t, "insert into @ values (4)"),
                                      TUG_NO_ARGS);
    assert_ok(tug_await(f));
    tug_future_unref(f);
    /* The same pool as before, which refuses what it refused. */
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_exec(beside, "set work_mem = 1000", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_commit(beside), TUG_EMISUSE);
    assert_ok(tug_pg_ready(beside));
    assert_ok(tug_pg_acquire(beside, &session));
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    tug_pg_close(session);
    tug_pg_close(tx);
    assert_int_equal(help_int(beside, help_text(&t, "select sum(a) from @")), 2 + 3 + 4);
    assert_ptr_equal(tug_pg_beside(beside), beside);
    assert_null(tug_pg_beside(NULL));
    assert_ok(tug_pg_acquire(db, &session));
    assert_ptr_equal(tug_pg_beside(session), session);
    tug_pg_close(session);
    help_drop(&t);
    tug_pg_close(db);
}

LIVE_TEST(a_failed_transaction_does_not_commit_in_silence)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_exec(tx, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25P02");
    assert_rc(tug_pg_commit(tx), TUG_ESERVER);
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    assert_detail_has("rolled back");
}

LIVE_TEST(a_comment_does_not_hide_the_end_of_a_transaction)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_exec(tx, "rollback /* the user wants to */", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_exec(tx, "rollback work; -- to", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_ok(tug_pg_exec(tx, "savepoint a", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(tx, "rollback work/**/to a", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(tx, "prepare p as select 'transaction'", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_deferred_constraint_fails_the_commit)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int unique deferrable initially deferred");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1), (1)"), TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_commit(tx), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "23505");
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_cancelled_transaction_is_rolled_back_and_its_connection_used_again)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    int64_t pid = session_int(db, "select pg_backend_pid()");
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    {
        TUG_AUTO(tug_pg) tx = NULL;
        assert_ok(tug_pg_begin(db, NULL, &tx));
        assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (2)"), TUG_NO_ARGS, NULL));
        tug_scope_set_deadline(&s, tug_now() + TUG_MS(50));
        assert_rc(tug_pg_exec(tx, "select pg_sleep(20)", TUG_NO_ARGS, NULL), TUG_ECANCELED);
        assert_rc(tug_pg_commit(tx), TUG_ECANCELED);
    }
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ETIMEDOUT);
    assert_int_equal(help_count(&t), 0);
    /* The lease waits for what is in flight and the ROLLBACK behind it. */
    assert_int_equal(session_int(db, "select pg_backend_pid()"), pid);
    help_drop(&t);
}

LIVE_TEST(what_does_not_end_in_time_is_closed_never_dirty)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.cancel_timeout = 0;
    TUG_AUTO(tug_pg) db = help_open(&o);
    int64_t pid = session_int(db, "select pg_backend_pid()");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "select pg_sleep($1)", TUG_ARGS(0), NULL)); /* prepared */
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_exec(tx, "select pg_sleep($1)", TUG_ARGS(30), NULL)),
              TUG_ETIMEDOUT);
    tug_pg_close(tx);
    /* After five seconds the pool gives up on it. */
    assert_int_not_equal(session_int(db, "select pg_backend_pid()"), pid);
}

LIVE_TEST(begin_cut_short_at_any_time_leaves_a_clean_connection)
{
    TUG_AUTO(tug_pg) db = open_one();
    assert_int_equal(session_int(db, "select 1"), 1);
    int begun = 0;
    for (int i = 0; i < 60; i++) {
        TUG_AUTO(tug_pg) tx = NULL;
        /* The last ones have all the time they need. */
        int rc = TUG_WITHIN(i < 57 ? TUG_US(i * 20) : TUG_SECONDS(30), tug_pg_begin(db, NULL, &tx));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        begun += rc == 0;
        assert_true((rc == 0) == (tx != NULL));
    }
    assert_true(begun > 0);
    /* Inside of a transaction that was left open both would be the same. */
    int64_t first = session_int(db, "select txid_current()");
    assert_int_not_equal(session_int(db, "select txid_current()"), first);
}

struct share {
    tug_pg *tx;
    const char *sql;
    int first;
};

static int insert_some(void *arg)
{
    struct share *s = arg;
    int rc = 0;
    for (int i = 0; i < 50 && rc == 0; i++) {
        rc = tug_pg_exec(s->tx, s->sql, TUG_ARGS(s->first + i), NULL);
    }
    return rc;
}

LIVE_TEST(two_tasks_share_a_transaction)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    const char *sql = help_text(&t, "insert into @ values ($1)");
    struct share a = {tx, sql, 0}, b = {tx, sql, 1000};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    tug_group_spawn(&g, insert_some, &a);
    tug_group_spawn(&g, insert_some, &b);
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 100);
    help_drop(&t);
}

LIVE_TEST(statements_of_a_session_keep_the_order_of_the_calls)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "n serial, a int");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    tug_future *f[30];
    char sql[120];
    for (int i = 0; i < 30; i++) { /* a text seen for the first time must not be overtaken */
        snprintf(sql, sizeof sql, "insert into %s(a) values ($1) /* %d */", t.name,
                 i % 3 == 0 ? i : 0);
        f[i] = tug_pg_exec_start(session, sql, TUG_ARGS(i));
    }
    assert_ok(tug_gather(f, 30));
    tug_future_drop_all(f, 30);
    tug_pg_close(session);
    assert_int_equal(help_int(db, help_text(&t, "select count(*) from @ where n = a + 1")), 30);
    help_drop(&t);
}

LIVE_TEST(what_a_session_set_is_gone_for_the_next_one)
{
    TUG_AUTO(tug_pg) db = open_one();
    int64_t pid = session_int(db, "select pg_backend_pid()");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, "set work_mem = '12345kB'", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(session, "create temp table left_behind(a int)", TUG_NO_ARGS, NULL));
    tug_pg_close(session);
    assert_int_equal(session_int(db, "select pg_backend_pid()"), pid);
    assert_int_equal(session_int(db, "select count(*) from pg_settings where setting = '12345'"),
                     0);
    assert_int_equal(session_int(db, "select count(*) from pg_class where relname = 'left_behind'"),
                     0);
    assert_int_equal(session_int(db, "select 1"), 1);
}

LIVE_TEST(a_transaction_by_hand_is_rolled_back_with_its_session)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, "begin", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(session, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    tug_pg_close(session);
    assert_int_equal(session_int(db, "select 1"), 1);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_transaction_on_a_session)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) session = NULL;
    tug_pg *tx = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_ready(session));
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_exec(tx, "commit", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_exec(tx, "rollback", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_ok(tug_pg_exec(tx, "savepoint a", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(tx, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_ok(tug_pg_exec(tx, "rollback to a", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_commit(tx));
    assert_ok(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL)); /* ended with the commit */
    tug_pg_close(tx);
    assert_ok(tug_pg_begin(session, NULL, &tx));
    tug_pg_close(session); /* the connection goes back after both */
    session = NULL;
    assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    assert_int_equal(session_int(db, "select 1"), 1);
}

/* Cancelled before it was sent, such a COMMIT becomes a ROLLBACK, which must not hit what follows. */
LIVE_TEST(a_commit_under_way_keeps_its_session)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) session = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    help_table t = help_create(db, "a int");
    tug_pg *closed = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    for (int cancels = 0; cancels <= 1; cancels++) {
        assert_ok(tug_pg_begin(session, NULL, &closed));
        assert_ok(
            tug_pg_exec(closed, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
        TUG_AUTO(tug_future) commit = tug_pg_commit_start(closed);
        tug_pg_close(closed);
        assert_rc(tug_pg_begin(session, NULL, &tx), TUG_EMISUSE);
        assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
        if (cancels) {
            tug_future_cancel(commit);
        }
        assert_rc(tug_await(commit), cancels ? TUG_EDROPPED : 0);
        assert_int_equal(help_int(session, help_text(&t, "select count(*) from @")), 1);
    }
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(session);
    session = NULL;
    tug_pg_close(tx);
    tx = NULL;
    help_drop(&t);
}

LIVE_TEST(begin_takes_options)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) tx = NULL;
    char level[32];
    tug_pg_begin_options o = TUG_PG_BEGIN_OPTIONS_INIT;
    o.isolation = 9;
    assert_rc(tug_pg_begin(db, &o, &tx), TUG_EINVAL);
    o.isolation = TUG_PG_SERIALIZABLE;
    o.read_only = true;
    o.deferrable = true;
    assert_ok(tug_pg_begin(db, &o, &tx));
    assert_ok(
        tug_pg_query_one(tx, "show transaction_isolation", TUG_NO_ARGS, TUG_OUT(TUG_COPY(level))));
    assert_string_equal(level, "serializable");
    assert_rc(tug_pg_exec(tx, "create table x(a int)", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25006");
}

LIVE_TEST(a_serialization_failure_is_transient)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    help_table t = help_create(db, "a int");
    help_sql(db, "insert into @ values (1)", t.name);
    tug_pg_begin_options o = TUG_PG_BEGIN_OPTIONS_INIT;
    o.isolation = TUG_PG_REPEATABLE_READ;
    tug_pg *one = NULL, *two = NULL;
    assert_ok(tug_pg_begin(db, &o, &one));
    assert_ok(tug_pg_begin(db, &o, &two));
    assert_ok(tug_pg_exec(one, help_text(&t, "select * from @"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(two, help_text(&t, "update @ set a = 2"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_commit(two));
    assert_rc(tug_pg_exec(one, help_text(&t, "update @ set a = 3"), TUG_NO_ARGS, NULL),
              TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "40001");
    assert_true(tug_last_error()->transient);
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    tug_pg_close(one);
    tug_pg_close(two);
    help_drop(&t);
}

LIVE_TEST(a_lost_session_says_so_until_it_is_closed)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) killer = help_open(NULL);
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    int64_t pid = help_int(tx, "select pg_backend_pid()");
    help_terminate(killer, pid);
    tug_test_settle();
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_rc(tug_pg_ready(tx), TUG_ECLOSED);
    assert_rc(tug_pg_commit(tx), TUG_ECLOSED);
    tug_pg_close(tx);
    assert_int_not_equal(session_int(db, "select pg_backend_pid()"), pid);
}

LIVE_TEST(futures_of_sessions_that_nobody_takes_give_them_back)
{
    TUG_AUTO(tug_pg) db = open_one();
    tug_future *f = tug_pg_acquire_start(db);
    assert_ok(tug_await(f));
    tug_future_unref(f);
    f = tug_pg_begin_start(db, NULL);
    assert_ok(tug_await(f));
    tug_future *second = tug_pg_begin_start(db, NULL); /* waits for the first */
    assert_ok(tug_yield());
    tug_future_drop(second);
    tug_future_unref(f);
    assert_int_equal(session_int(db, "select 1"), 1);
}

static int hold_it(void *arg)
{
    TUG_AUTO(tug_pg) session = NULL;
    int rc = tug_pg_acquire(arg, &session);
    return rc == 0 ? tug_pg_exec(session, "select pg_sleep(0.05)", TUG_NO_ARGS, NULL) : rc;
}

LIVE_TEST(sessions_are_waited_for_in_order_and_with_a_deadline)
{
    TUG_AUTO(tug_pg) db = open_one();
    tug_pg *session = NULL, *second = NULL;
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    for (int i = 0; i < 5; i++) {
        tug_group_spawn(&g, hold_it, db);
    }
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_acquire(db, &second)), TUG_ETIMEDOUT);
    tug_pg_close(session);
    assert_ok(tug_group_leave(&g, 0));
}
