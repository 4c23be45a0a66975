/* Batches on a real server: all or nothing, results in order, who failed, and what a cancel leaves. */
#include <string.h>
#include <tug/group.h>
#include <tug/pg_batch.h>
#include <tug/pg_error.h>
#include <tug/pg_hooks.h>
#include <tug/pg_script.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "pg_help.h"

static tug_pg_batch *batch_new(void)
{
    tug_pg_batch *b = NULL;
    assert_ok(tug_pg_batch_new(&b));
    return b;
}

static int64_t int_at(tug_pg_batch *b, size_t place)
{
    int64_t n = 0;
    assert_ok(tug_pg_batch_scan(b, place, 0, TUG_OUT(&n)));
    return n;
}

LIVE_TEST(results_come_in_order)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_batch) b = batch_new();
    for (int round = 0; round < 3; round++) { /* the first prepares */
        for (int i = 0; i < 200; i++) {
            assert_ok(tug_pg_batch_add(b, i % 3 == 0 ? "select $1::int4" : "select $1::int8 + 0",
                                       TUG_ARGS(i)));
        }
        assert_int_equal(tug_pg_batch_size(b), 200);
        assert_ok(tug_pg_batch_run(db, b));
        for (int i = 0; i < 200; i++) {
            assert_int_equal(int_at(b, (size_t)i), i);
        }
        tug_pg_batch_clear(b);
        assert_int_equal(tug_pg_batch_size(b), 0);
    }
}

LIVE_TEST(rows_are_read_in_place_or_taken)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_batch) b = batch_new();
    TUG_AUTO(tug_pg_result) res = NULL;
    const char *text = NULL;
    int a = 0, c = 0;
    assert_ok(tug_pg_batch_add(b, "select g, g * 2, 'row ' || g from generate_series(1, 3) g",
                               TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select 7", TUG_NO_ARGS));
    assert_rc(tug_pg_batch_scan(b, 0, 0, TUG_OUT(&a)), TUG_ENOTFOUND);
    assert_ok(tug_pg_batch_run(db, b));
    assert_ok(tug_pg_batch_scan(b, 0, 2, TUG_OUT(&a, &c, &text)));
    assert_int_equal(a, 3);
    assert_int_equal(c, 6);
    assert_ok(tug_pg_batch_scan(b, 1, 0, TUG_OUT(&a)));
    assert_int_equal(a, 7);
    assert_string_equal(text, "row 3"); /* still there */
    assert_rc(tug_pg_batch_scan(b, 0, 3, TUG_OUT(&a, &c, &text)), TUG_ENOTFOUND);
    assert_rc(tug_pg_batch_scan(b, 0, 0, TUG_OUT(&a)), TUG_EMISUSE);
    assert_ok(tug_pg_batch_take(b, 0, &res));
    assert_int_equal(tug_pg_result_rows(res), 3);
    assert_rc(tug_pg_batch_scan(b, 0, 0, TUG_OUT(&a, &c, &text)), TUG_EMISUSE);
    assert_detail_has("taken before");
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_scan(res, 1, TUG_OUT(&a, &c, &text)));
    assert_string_equal(text, "row 2");
}

/* Small results of the same statement share one of libpq's: nobody must see that. */
LIVE_TEST(each_result_has_its_own_rows_and_its_own_tag)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int, b text");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    TUG_AUTO(tug_pg_result) res = NULL;
    char sql[2][128], text[8];
    bool is_null = false;
    snprintf(sql[0], sizeof sql[0], "insert into %s select g, null from generate_series(1, $1) g",
             t.name);
    snprintf(sql[1], sizeof sql[1], "select a, b from %s where a <= $1", t.name);
    for (int i = 0; i < 6; i++) {
        assert_ok(tug_pg_batch_add(b, sql[0], TUG_ARGS(i / 2))); /* 0, 0, 1, 1, 2, 2 rows */
    }
    for (int i = 0; i < 6; i++) { /* 0, 0, 4, 4, 6, 6 */
        assert_ok(tug_pg_batch_add(b, sql[1], TUG_ARGS(i / 2)));
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(tug_pg_batch_add(
            b, "select case $1::int4 when 2 then null else 'x' || $1::int4 end, $1::int4",
            TUG_ARGS(i)));
    }
    assert_ok(tug_pg_batch_run(db, b));
    for (size_t i = 0; i < 6; i++) {
        tug_pg_result_unref(res);
        res = NULL;
        assert_ok(tug_pg_batch_take(b, i, &res));
        assert_int_equal(tug_pg_result_affected(res), i / 2);
        tug_pg_result_unref(res);
        res = NULL;
        assert_ok(tug_pg_batch_take(b, 6 + i, &res));
        static const int rows[] = {0, 0, 4, 4, 6, 6};
        assert_int_equal(tug_pg_result_rows(res), rows[i]);
        assert_int_equal(tug_pg_result_columns(res), 2);
    }
    for (size_t i = 0; i < 5; i++) {
        char expected[8];
        int n = 0;
        snprintf(expected, sizeof expected, "x%zu", i);
        assert_ok(
            tug_pg_batch_scan(b, 12 + i, 0, TUG_OUT(TUG_NULLABLE(TUG_COPY(text), &is_null), &n)));
        assert_int_equal(n, i);
        assert_int_equal(is_null, i == 2);
        assert_string_equal(text, i == 2 ? "" : expected);
        assert_rc(tug_pg_batch_scan(b, 12 + i, 1, TUG_OUT(&n, &n)), TUG_ENOTFOUND);
        if (i % 2 == 1) { /* a copy of the one row; the neighbours stay */
            tug_pg_result_unref(res);
            res = NULL;
            assert_ok(tug_pg_batch_take(b, 12 + i, &res));
            assert_int_equal(tug_pg_result_rows(res), 1);
            assert_string_equal(tug_pg_result_command(res), "SELECT 1");
            assert_string_equal(tug_pg_result_column_name(res, 1), "int4");
            assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(text), &n)));
            assert_string_equal(text, expected);
        }
    }
    help_drop(&t);
}

LIVE_TEST(a_batch_is_one_transaction)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int unique deferrable initially deferred, x xid8 default "
                                   "pg_current_xact_id()");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    const char *insert = help_text(&t, "insert into @(a) values ($1)");
    for (int i = 0; i < 10; i++) {
        assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(i)));
    }
    assert_ok(tug_pg_batch_run(db, b));
    assert_int_equal(help_int(db, help_text(&t, "select count(distinct x::text) from @")), 1);
    assert_int_equal(help_count(&t), 10);
    /* A constraint that is checked at the end: all have been answered, nothing is kept, and it was none
     * of them in particular. */
    tug_pg_batch_clear(b);
    insert = help_text(&t, "insert into @(a) values ($1)");
    for (int i = 0; i < 5; i++) {
        assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(100 + i % 4)));
    }
    assert_rc(tug_pg_batch_run(db, b), TUG_ESERVER);
    assert_true(tug_pg_is_unique_violation(NULL));
    assert_int_equal(tug_pg_batch_failed(b), 5);
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_rc(tug_pg_batch_take(b, 0, &res), TUG_ENOTFOUND);
    assert_int_equal(help_count(&t), 10);
    help_drop(&t);
}

LIVE_TEST(the_first_error_ends_it_and_says_which)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int primary key");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    static const int values[] = {1, 2, 3, 2, 4, 3};
    const char *insert = help_text(&t, "insert into @ values ($1)");
    for (size_t i = 0; i < 6; i++) {
        assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(values[i])));
    }
    for (int round = 0; round < 2; round++) {
        assert_rc(tug_pg_batch_run(db, b), TUG_ESERVER);
        assert_int_equal(tug_pg_batch_failed(b), 3);
        assert_non_null(tug_pg_last_error());
        assert_string_equal(tug_pg_last_error()->detail, "Key (a)=(2) already exists.");
        assert_int_equal(help_count(&t), 0);
    }
    help_drop(&t);
}

LIVE_TEST(what_cannot_be_prepared_or_encoded_runs_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    const char *insert = help_text(&t, "insert into @ values ($1)");
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(1)));
    assert_ok(tug_pg_batch_add(b, "select nothing_like_it", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select nothing_like_it", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select from from", TUG_NO_ARGS));
    for (int round = 0; round < 2; round++) {
        assert_rc(tug_pg_batch_run(db, b), TUG_ESERVER);
        assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_UNDEFINED_COLUMN);
        assert_int_equal(tug_pg_batch_failed(b), 1);
    }
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(1)));
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(INT64_MAX)));
    assert_rc(tug_pg_batch_run(db, b), TUG_ERANGE);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_int_equal(tug_pg_batch_failed(b), 1);
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(1, 2)));
    assert_rc(tug_pg_batch_run(db, b), TUG_EMISUSE);
    assert_int_equal(tug_pg_batch_failed(b), 0);
    assert_int_equal(help_count(&t), 0);
    assert_int_equal(help_int(db, "select 1"), 1);
    help_drop(&t);
}

LIVE_TEST(misuse_of_a_batch_is_refused)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg_batch) b = batch_new();
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_rc(tug_pg_batch_take(b, 0, &res), TUG_ENOTFOUND);
    assert_ok(tug_pg_batch_run(db, b)); /* empty */
    assert_rc(tug_pg_batch_take(b, 0, &res), TUG_ENOTFOUND);
    assert_rc(tug_pg_batch_add(b, NULL, TUG_NO_ARGS), TUG_EINVAL);
    assert_rc(tug_pg_batch_add(NULL, "select 1", TUG_NO_ARGS), TUG_EMISUSE);
    assert_rc(tug_pg_batch_run(NULL, b), TUG_EMISUSE);
    assert_rc(tug_pg_batch_run(db, NULL), TUG_EMISUSE);
    assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "set work_mem = '1MB'", TUG_NO_ARGS));
    assert_rc(tug_pg_batch_run(db, b), TUG_EMISUSE);
    assert_detail_has("SET does not belong on a shared connection");
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_batch_run(db, b), TUG_EMISUSE); /* this task holds a session */
    assert_detail_has("holds a session");
    assert_ok(tug_pg_batch_run(session, b));
    assert_ok(tug_pg_batch_take(b, 0, &res));
    tug_pg_result *again = NULL;
    assert_rc(tug_pg_batch_take(b, 0, &again), TUG_EMISUSE);
    assert_rc(tug_pg_batch_take(b, 2, &again), TUG_ENOTFOUND);
    assert_ok(tug_pg_batch_add(b, "commit", TUG_NO_ARGS));
    assert_rc(tug_pg_batch_run(session, b), TUG_EMISUSE);
    assert_detail_has("one transaction by itself");
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_rc(tug_pg_batch_run(session, b), TUG_EMISUSE);
    assert_rc(tug_pg_batch_run(tx, b), TUG_EMISUSE);
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    TUG_AUTO(tug_future) f = tug_pg_batch_start(tx, b);
    assert_rc(tug_pg_batch_run(tx, b), TUG_EMISUSE);
    assert_rc(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS), TUG_EMISUSE);
    tug_pg_batch_clear(b); /* ignored, and logged */
    assert_int_equal(tug_pg_batch_size(b), 1);
    assert_ok(tug_await(f));
    assert_int_equal(int_at(b, 0), 1);
}

LIVE_TEST(a_batch_is_bounded)
{
    TUG_AUTO(tug_pg_batch) b = batch_new();
    for (int i = 0; i < TUG_PG_BATCH_MOST; i++) {
        assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    }
    assert_rc(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS), TUG_ELIMIT);
    tug_pg_batch_clear(b);
    static char big[4 << 20];
    struct tug_bytes bytes = {big, sizeof big};
    for (size_t i = 0; i < TUG_PG_BATCH_BYTES_MOST / sizeof big - 1; i++) {
        assert_ok(tug_pg_batch_add(b, "select $1::bytea", TUG_ARGS(bytes)));
    }
    assert_rc(tug_pg_batch_add(b, "select $1::bytea, 1", TUG_ARGS(bytes)), TUG_ELIMIT);
    assert_detail_has("bytes");
    /* As many as fit go through the socket in both directions without a standstill. */
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_ok(TUG_WITHIN(TUG_SECONDS(30), tug_pg_batch_run(db, b)));
}

LIVE_TEST(more_different_statements_than_the_cache_holds)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_statements = 8;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg_batch) b = batch_new();
    char sql[32];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) {
            snprintf(sql, sizeof sql, "select %d", round * 8 + i);
            assert_ok(tug_pg_batch_add(b, sql, TUG_NO_ARGS));
        }
        assert_ok(tug_pg_batch_run(db, b));
        assert_int_equal(int_at(b, 7), round * 8 + 7);
        tug_pg_batch_clear(b);
    }
    /* The cache grows for it, some of it known before, some not. */
    for (int i = 20; i < 50; i++) {
        snprintf(sql, sizeof sql, "select %d", i);
        assert_ok(tug_pg_batch_add(b, sql, TUG_NO_ARGS));
    }
    for (int round = 0; round < 3; round++) {
        assert_ok(tug_pg_batch_run(db, b));
        for (int i = 20; i < 50; i++) {
            assert_int_equal(int_at(b, (size_t)i - 20), i);
        }
        assert_int_equal(help_int(db, "select 1"), 1);
    }
    assert_true(help_int(db, "select count(*) from pg_prepared_statements") <= 33);
}

static int run_some(void *arg)
{
    TUG_AUTO(tug_pg_batch) b = batch_new();
    int rc = 0;
    for (int i = 0; i < 30 && rc == 0; i++) {
        tug_pg_batch_clear(b);
        for (int k = 0; k < 5; k++) {
            assert_ok(tug_pg_batch_add(b, "select $1::int4", TUG_ARGS(i * 10 + k)));
        }
        if (i % 3 == 0) {
            assert_ok(tug_pg_batch_add(b, "select 1 / $1::int4", TUG_ARGS(0)));
        }
        rc = tug_pg_batch_run(arg, b);
        if (i % 3 == 0) {
            assert_rc(rc, TUG_ESERVER);
            assert_int_equal(tug_pg_batch_failed(b), 5);
            rc = 0;
        }
        for (int k = 0; k < 5 && rc == 0 && i % 3 != 0; k++) {
            assert_int_equal(int_at(b, (size_t)k), i * 10 + k);
        }
    }
    return rc;
}

static int ask_some(void *arg)
{
    for (int i = 0; i < 100; i++) {
        int64_t n = 0;
        int rc = tug_pg_query_one(arg, "select $1::int8", TUG_ARGS(i), TUG_OUT(&n));
        if (rc < 0) {
            return rc;
        }
        assert_int_equal(n, i);
    }
    return 0;
}

LIVE_TEST(neighbours_on_a_shared_connection_do_not_notice)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(30), TUG_FAIL_FAST);
    for (int i = 0; i < 10; i++) {
        tug_group_spawn(&g, run_some, db);
        tug_group_spawn(&g, ask_some, db);
    }
    assert_ok(tug_group_leave(&g, 0));
}

LIVE_TEST(a_batch_cut_short_is_all_or_nothing)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    /* What is asked next waits behind the batch, however slow that is. */
    o.head_limit = TUG_SECONDS(60);
    o.cancel_timeout = 0;
    TUG_AUTO(tug_pg) db = help_open(&o);
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    const char *insert = help_text(&t, "insert into @ values ($1)");
    for (int i = 0; i < 10; i++) {
        assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(i)));
    }
    int64_t count = 0;
    for (int i = 0; i < 100; i++) {
        /* The last ones have all the time they need. */
        int rc = TUG_WITHIN(i < 95 ? TUG_US(i * 15) : TUG_SECONDS(30), tug_pg_batch_run(db, b));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        bool may = rc < 0 && tug_last_error()->sent == TUG_IN_FLIGHT;
        int64_t now = help_count(&t); /* behind it on the same connection */
        assert_true(now == count + (rc == 0 ? 10 : 0) || (may && now == count + 10));
        count = now;
    }
    assert_true(count > 0);
    /* Closed and dropped while it runs. */
    tug_pg_batch *closed = batch_new();
    assert_ok(tug_pg_batch_add(closed, "select pg_sleep(1)", TUG_NO_ARGS));
    TUG_AUTO(tug_future) f = tug_pg_batch_start(db, closed);
    assert_ok(tug_sleep(TUG_MS(10)));
    tug_pg_batch_close(closed);
    assert_rc(tug_await(f), TUG_EDROPPED);
    closed = batch_new();
    assert_ok(tug_pg_batch_add(closed, "select pg_sleep(1)", TUG_NO_ARGS));
    tug_future *dropped = tug_pg_batch_start(db, closed);
    tug_future_drop(dropped);
    tug_pg_batch_close(closed);
    assert_int_equal(help_int(db, "select 1"), 1);
    help_drop(&t);
}

LIVE_TEST(a_batch_in_a_transaction_is_part_of_it)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int unique");
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg) sp = NULL;
    TUG_AUTO(tug_pg_batch) b = batch_new();
    const char *insert = help_text(&t, "insert into @ values ($1)");
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(1)));
    assert_ok(tug_pg_batch_add(b, insert, TUG_ARGS(2)));
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_batch_run(tx, b));
    assert_ok(tug_pg_begin(tx, NULL, &sp));
    assert_rc(tug_pg_batch_run(sp, b), TUG_ESERVER);
    assert_int_equal(tug_pg_batch_failed(b), 0);
    tug_pg_close(sp);
    sp = NULL;
    assert_int_equal(help_int(tx, help_text(&t, "select count(*) from @")), 2);
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_batch_on_a_lost_connection_fails)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_batch) b = batch_new();
    assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select pg_terminate_backend(pg_backend_pid())", TUG_NO_ARGS));
    assert_rc(tug_pg_batch_run(db, b), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(tug_pg_is_connection_lost(NULL));
    assert_int_equal(tug_pg_batch_failed(b), 2);
    /* A batch outlives the pool that it ran on, and its run ends with that. */
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_batch_add(b, "select pg_sleep(1)", TUG_NO_ARGS));
    TUG_AUTO(tug_future) f = tug_pg_batch_start(db, b);
    tug_pg_close(db);
    db = NULL;
    assert_rc(tug_await(f), TUG_ECLOSED);
}

/* Without shared connections each statement leases one. */
LIVE_TEST(a_batch_on_a_pool_without_shared_connections)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 2;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg_batch) b = batch_new();
    for (int i = 0; i < 20; i++) {
        assert_ok(tug_pg_batch_add(b, "select $1::int4", TUG_ARGS(i)));
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(tug_pg_batch_run(db, b));
        assert_int_equal(int_at(b, 19), 19);
    }
    assert_ok(tug_pg_batch_add(b, "select pg_sleep(5)", TUG_NO_ARGS));
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_batch_run(db, b)), TUG_ETIMEDOUT);
    assert_int_equal(help_int(db, "select 1"), 1);
}

struct told {
    int starts, ends, rc;
    size_t size;
    char name[32];
    int64_t rows;
};

static void *told_start(const tug_pg_operation *op, void *arg)
{
    struct told *t = arg;
    t->starts++;
    t->size = op->batch_size;
    snprintf(t->name, sizeof t->name, "%s", op->name);
    return NULL;
}

static void told_end(const tug_pg_operation *op, void *span, void *arg)
{
    struct told *t = arg;
    (void)span;
    t->ends++;
    t->rc = op->rc;
    t->rows = op->returned_rows;
}

LIVE_TEST(a_batch_survives_changes_of_its_tables)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    char sql[2][128];
    snprintf(sql[0], sizeof sql[0], "insert into %s(a) values ($1)", t.name);
    snprintf(sql[1], sizeof sql[1], "select * from %s", t.name);
    assert_ok(tug_pg_batch_add(b, sql[0], TUG_ARGS(1)));
    assert_ok(tug_pg_batch_add(b, sql[1], TUG_NO_ARGS));
    assert_ok(tug_pg_batch_run(db, b));
    help_sql(db, "alter table @ add column b text default 'x'", t.name);
    /* "cached plan must not change result type", in the second: all of it once more, and once only. */
    assert_ok(tug_pg_batch_run(db, b));
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_ok(tug_pg_batch_take(b, 1, &res));
    assert_int_equal(tug_pg_result_columns(res), 2);
    assert_int_equal(help_count(&t), 2);
    help_drop(&t);
}

LIVE_TEST(a_batch_without_named_statements)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.statement_mode = TUG_PG_UNNAMED;
    TUG_AUTO(tug_pg) db = help_open(&o);
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg_batch) b = batch_new();
    const char *insert = help_text(&t, "insert into @ values ($1)");
    for (int i = 0; i < 20; i++) {
        assert_ok(tug_pg_batch_add(b, i % 2 ? insert : "select $1::int4", TUG_ARGS(i)));
    }
    for (int round = 0; round < 3; round++) {
        assert_ok(tug_pg_batch_run(db, b));
        assert_int_equal(int_at(b, 18), 18);
    }
    assert_int_equal(help_count(&t), 30);
    assert_int_equal(help_int(db, "select count(*) from pg_prepared_statements where name <> ''"),
                     0);
    help_drop(&t);
}

LIVE_TEST(hooks_are_told_of_a_batch_as_one_operation)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_batch) b = batch_new();
    struct told t = {.starts = 0};
    tug_pg_hooks hooks = TUG_PG_HOOKS_INIT;
    hooks.start = told_start;
    hooks.end = told_end;
    hooks.arg = &t;
    assert_ok(tug_pg_set_hooks(db, &hooks));
    assert_ok(tug_pg_batch_add(b, "select generate_series(1, 3)", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_add(b, "select $1::int4", TUG_ARGS(1)));
    assert_ok(tug_pg_batch_run(db, b));
    assert_int_equal(t.starts, 1);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.size, 2);
    assert_string_equal(t.name, "BATCH SELECT");
    assert_int_equal(t.rows, 4);
    assert_ok(tug_pg_batch_add(b, "select pg_sleep(5)", TUG_NO_ARGS));
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_pg_batch_run(db, b)), TUG_ETIMEDOUT);
    assert_int_equal(t.ends, 2);
    assert_int_equal(t.rc, TUG_EDROPPED);
    assert_ok(tug_pg_script(db, "select 1; select 2", NULL));
    assert_int_equal(t.starts, 3);
    assert_int_equal(t.ends, 3);
    assert_int_equal(t.size, 0);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.rows, 2);
    tug_pg_batch_clear(b);
    assert_ok(tug_pg_batch_add(b, "table pg_am", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_run(db, b));
    assert_int_equal(t.size, 0); /* one statement is no batch */
    assert_string_equal(t.name, "TABLE");
    assert_ok(tug_pg_batch_add(b, "select 1", TUG_NO_ARGS));
    assert_ok(tug_pg_batch_run(db, b));
    assert_int_equal(t.size, 2);
    assert_string_equal(t.name, "BATCH");
    assert_ok(tug_pg_set_hooks(db, NULL));
}
