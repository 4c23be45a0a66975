/* Scripts on a real server: results in order, the failing statement, transactions, what a cancel leaves. */
#include <string.h>
#include <tug/group.h>
#include <tug/pg_error.h>
#include <tug/pg_script.h>
#include <tug/scope.h>

#include "pg_help.h"

static int64_t int_at(const tug_pg_results *results, size_t place)
{
    int64_t n = 0;
    assert_ok(tug_pg_result_int64(tug_pg_results_at(results, place), 0, 0, &n));
    return n;
}

LIVE_TEST(a_script_gives_the_result_of_each_statement)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_results) results = NULL;
    help_table t = help_create(db, "a int");
    char sql[400];
    snprintf(
        sql, sizeof sql,
        "insert into %s values (1), (2);; select 'a;b', $$ ; $$; select count(*) from %s; -- end\n"
        "update %s set a = a + 1",
        t.name, t.name, t.name);
    assert_ok(tug_pg_script(db, sql, &results));
    assert_int_equal(tug_pg_results_size(results), 4);
    assert_int_equal(tug_pg_result_affected(tug_pg_results_at(results, 0)), 2);
    assert_string_equal(tug_pg_result_command(tug_pg_results_at(results, 1)), "SELECT 1");
    assert_int_equal(int_at(results, 2), 2);
    assert_int_equal(tug_pg_result_affected(tug_pg_results_at(results, 3)), 2);
    assert_null(tug_pg_results_at(results, 4));
    /* Whether results matter or not. */
    assert_ok(tug_pg_script(db, "select 1; select 2", NULL));
    tug_pg_results_close(results);
    results = NULL;
    assert_ok(tug_pg_script(db, "", &results));
    assert_int_equal(tug_pg_results_size(results), 1);
    help_drop(&t);
}

LIVE_TEST(the_first_error_ends_the_script_and_undoes_it)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_results) results = NULL;
    help_table t = help_create(db, "a int");
    char sql[400];
    snprintf(sql, sizeof sql, "insert into %s values (1); select 1 / 0; insert into %s values (2)",
             t.name, t.name);
    assert_rc(tug_pg_script(db, sql, &results), TUG_ESERVER);
    assert_null(results);
    assert_detail_has("statement 2: ERROR: division by zero");
    assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_DIVISION_BY_ZERO);
    assert_non_null(tug_pg_last_error());
    assert_int_equal(help_count(&t), 0);
    /* What was committed by hand stays; what was left open is rolled back. */
    snprintf(sql, sizeof sql,
             "begin; insert into %s values (1); commit; begin; insert into %s values (2)", t.name,
             t.name);
    assert_ok(tug_pg_script(db, sql, NULL));
    assert_int_equal(help_count(&t), 1);
    assert_rc(tug_pg_script(db, "select 1; selec 2", NULL), TUG_ESERVER);
    assert_int_equal(tug_pg_last_error()->position, 11);
    help_drop(&t);
}

LIVE_TEST(a_script_is_reset_afterwards)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(
        tug_pg_script(db, "select 1; set work_mem = '12345kB'; create temp table x(a int)", NULL));
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select count(*) from pg_settings where setting = '12345'"),
                     0);
    assert_int_equal(help_int(session, "select count(*) from pg_class where relname = 'x'"), 0);
    /* In a session it stays for that one. */
    assert_ok(tug_pg_script(session, "set work_mem = '12345kB'; select 1", NULL));
    assert_int_equal(help_int(session, "select count(*) from pg_settings where setting = '12345'"),
                     1);
}

LIVE_TEST(a_script_between_other_statements_keeps_its_turn)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    tug_future *f[4];
    int64_t rows = 0;
    assert_ok(tug_pg_acquire(db, &session));
    f[0] = tug_pg_exec_start(session, "create temp table order_of(n serial, a int)", TUG_NO_ARGS);
    f[1] = tug_pg_script_start(session,
                               "insert into order_of(a) values (1); insert into order_of(a) "
                               "values (2)");
    f[2] = tug_pg_exec_start(session, "insert into order_of(a) values ($1)", TUG_ARGS(3));
    f[3] = tug_pg_script_start(session, "insert into order_of(a) values (4)");
    assert_ok(tug_gather(f, 4));
    assert_ok(tug_pg_exec_take(f[2], &rows));
    assert_int_equal(rows, 1);
    tug_future_drop_all(f, 4);
    assert_int_equal(help_int(session, "select count(*) from order_of where a = n"), 4);
}

LIVE_TEST(copy_in_a_script_is_refused_and_harms_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, "create temp table c(a int)", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_script(session, "insert into c values (1); copy c from stdin; select 1", NULL),
              TUG_EMISUSE);
    assert_detail_has("statement 2: COPY FROM STDIN in a script: use tug_pg_copy_in");
    assert_int_equal(help_int(session, "select count(*) from c"), 0);
    assert_rc(tug_pg_script(session,
                            "select ';'; /* ; */ Copy (select $a$; to stdout$a$) TO -- ;\n stdout; "
                            "insert into c values (2)",
                            NULL),
              TUG_EMISUSE);
    assert_detail_has("statement 2: COPY TO STDOUT in a script: use tug_pg_copy_out");
    assert_int_equal(help_int(session, "select count(*) from c"),
                     0); /* as if it had not been run */
    assert_ok(tug_pg_script(session, "select 'copy c to stdout;'; select 1 as \"copy c to stdout\"",
                            NULL));
}

LIVE_TEST(a_script_in_a_transaction_is_part_of_it_and_must_not_end_it)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg) sp = NULL;
    char sql[200];
    snprintf(sql, sizeof sql, "insert into %s values (1); insert into %s values (2)", t.name,
             t.name);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_script(tx, sql, NULL));
    assert_int_equal(help_int(tx, help_text(&t, "select count(*) from @")), 2);
    assert_ok(tug_pg_begin(tx, NULL, &sp));
    assert_rc(tug_pg_script(tx, sql, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_script(sp, "select 1; rollback; select 2", NULL), TUG_EMISUSE);
    assert_detail_has("has ended the transaction");
    assert_rc(tug_pg_exec(sp, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_commit(tx), TUG_EMISUSE);
    tug_pg_close(sp);
    sp = NULL;
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(help_count(&t), 0);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_script(tx, "select 1; select 1/0", NULL), TUG_ESERVER);
    assert_rc(tug_pg_commit(tx), TUG_ESERVER);
    tug_pg_close(tx);
    tx = NULL;
    help_drop(&t);
}

LIVE_TEST(misuse_of_a_script_is_refused)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_rc(tug_pg_script(NULL, "select 1", NULL), TUG_EMISUSE);
    assert_rc(tug_pg_script(db, NULL, NULL), TUG_EINVAL);
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_script(db, "select 1", NULL), TUG_EMISUSE);
    assert_detail_has("holds a session");
}

LIVE_TEST(a_script_cut_short_at_any_time_leaves_a_clean_connection)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    char sql[200];
    int done = 0;
    snprintf(sql, sizeof sql, "insert into %s values (1); insert into %s values (2)", t.name,
             t.name);
    for (int i = 0; i < 60; i++) {
        int rc = TUG_WITHIN(TUG_US(i * 50), tug_pg_script(db, sql, NULL));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        done += rc == 0;
        TUG_AUTO(tug_pg) behind = NULL;
        assert_ok(tug_pg_acquire(db, &behind));
        int64_t n = help_int(behind, help_text(&t, "select count(*) from @"));
        assert_true(n >= 2 * done && n % 2 == 0);
    }
    tug_future_drop(tug_pg_script_start(db, "select pg_sleep(0.05); select 1"));
    TUG_AUTO(tug_future) f = tug_pg_script_start(db, "select pg_sleep(0.05); select 1");
    assert_ok(tug_await(f)); /* its results are never taken */
    help_drop(&t);
}

LIVE_TEST(a_cancelled_script_is_ended_on_the_server)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_script(session, "select pg_sleep(60); select 1", NULL)),
              TUG_ETIMEDOUT);
    int64_t again = 0;
    assert_ok(TUG_WITHIN(TUG_SECONDS(20), tug_pg_query_one(session, "select pg_backend_pid()",
                                                           TUG_NO_ARGS, TUG_OUT(&again))));
    assert_int_equal(again, pid);
}

LIVE_TEST(a_script_on_a_lost_connection_fails)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_rc(tug_pg_script(db, "select 1; select pg_terminate_backend(pg_backend_pid()); select 2",
                            NULL),
              TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(tug_pg_is_connection_lost(NULL));
    assert_ok(tug_pg_script(db, "select 1", NULL));
}

LIVE_TEST(results_of_a_script_are_bounded)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_result_bytes = 65536;
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_rc(tug_pg_script(db, "select 1; select repeat('x', 1000000); select 2", NULL),
              TUG_ELIMIT);
    assert_ok(tug_pg_script(db, "select 1", NULL));
}
