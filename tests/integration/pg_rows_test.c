/* Streamed rows on a real server. */
#include <stdlib.h>
#include <tug/group.h>
#include <tug/pg_hooks.h>
#include <tug/pg_rows.h>
#include <tug/scope.h>
#include <unistd.h>

#include "pg_help.h"

/* Reads to the end: how many, and the sum of the first column. */
static int drain(tug_pg_rows *rows, int64_t *ret_n, int64_t *ret_sum)
{
    int64_t n = 0, sum = 0, value = 0;
    int rc;
    while ((rc = tug_pg_rows_next(rows)) > 0) {
        assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&value)));
        n++;
        sum += value;
    }
    *ret_n = n;
    *ret_sum = sum;
    return rc;
}

static const char SERIES[] = "select i from generate_series(1, $1::int4) i";

static void assert_series(tug_pg *db, int64_t n)
{
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int64_t got = 0, sum = 0;
    assert_ok(tug_pg_rows_open(db, SERIES, TUG_ARGS(n), NULL, &rows));
    assert_ok(drain(rows, &got, &sum));
    assert_int_equal(got, n);
    assert_int_equal(sum, n * (n + 1) / 2);
    assert_rc(tug_pg_rows_next(rows), 0);
}

LIVE_TEST(rows_come_one_by_one)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_rows) rows = NULL;
    const char *text = NULL;
    int number = 0;
    bool is_null = false;
    assert_ok(tug_pg_rows_open(
        db, "select i, case when i = 2 then null else 'row ' || i end from generate_series(1, 3) i",
        TUG_NO_ARGS, NULL, &rows));
    assert_int_equal(tug_pg_result_columns(tug_pg_rows_row(rows)), 2);
    assert_int_equal(tug_pg_result_rows(tug_pg_rows_row(rows)), 0);
    assert_rc(tug_pg_rows_scan(rows, TUG_OUT(&number, &text)), TUG_EMISUSE);
    for (int i = 1; i <= 3; i++) {
        assert_rc(tug_pg_rows_next(rows), 1);
        assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&number, TUG_NULLABLE(&text, &is_null))));
        assert_int_equal(number, i);
        assert_int_equal(is_null, i == 2);
        assert_true(tug_pg_result_is_null(tug_pg_rows_row(rows), 0, 1) == is_null);
        if (!is_null) {
            char expected[8];
            snprintf(expected, sizeof expected, "row %d", i);
            assert_string_equal(text, expected);
        }
    }
    assert_rc(tug_pg_rows_scan(rows, TUG_OUT(&number, &number)), TUG_ETYPE);
    assert_detail_has("row 2, column 2");
    assert_rc(tug_pg_rows_next(rows), 0);
    assert_rc(tug_pg_rows_next(rows), 0);
    assert_rc(tug_pg_rows_scan(rows, TUG_OUT(&number, &text)), TUG_EMISUSE);
    assert_string_equal(tug_pg_result_column_name(tug_pg_rows_row(rows), 0), "i");
}

LIVE_TEST(any_number_of_rows)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const int64_t counts[] = {0, 1, 2, 100, 255, 256, 257, 1000, 20000, 200000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_series(db, counts[i]);
    }
    TUG_AUTO(tug_pg_rows) rows = NULL;
    assert_ok(tug_pg_rows_open(db, "set work_mem to '4MB'", TUG_NO_ARGS, NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 0);
}

LIVE_TEST(rows_of_all_sizes)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_rows) rows = NULL;
    const int64_t step = 997;
    int64_t n = 0;
    int number = 0;
    struct tug_bytes text = {0};
    /* Up to 3 MB, so that the buffer grows, and shrinks again. */
    assert_ok(tug_pg_rows_open(
        db, "select i, repeat('x', (i % 50) * (i % 50) * $1::int4) from generate_series(0, 199) i",
        TUG_ARGS(step), NULL, &rows));
    while (tug_pg_rows_next(rows) > 0) {
        assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&number, &text)));
        assert_int_equal(number, n);
        assert_int_equal(text.size, (n % 50) * (n % 50) * step);
        assert_true(text.size == 0 || ((const char *)text.data)[text.size - 1] == 'x');
        assert_int_equal(((const char *)text.data)[text.size], 0);
        n++;
    }
    assert_int_equal(n, 200);
}

static size_t peak_kib(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[128];
    size_t kib = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmHWM: %zu kB", &kib) == 1) {
            break;
        }
    }
    fclose(f);
    assert_true(kib > 0);
    return kib;
}

LIVE_TEST(memory_does_not_grow_with_the_rows)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    /* 10 million of 40 bytes would be 1.3 GB as a result. */
    int64_t n = getenv("TUG_TEST_FULL") != NULL ? 10000000 : 300000;
    int64_t got = 0, value = 0, sum = 0;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    assert_series(db, 1000);
    size_t before = peak_kib();
    assert_ok(tug_pg_rows_open(
        db, "select i, repeat('0123456789', 4) from generate_series(1, $1::int4) i", TUG_ARGS(n),
        NULL, &rows));
    const char *text = NULL;
    while (tug_pg_rows_next(rows) > 0) {
        assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&value, &text)));
        got++;
        sum += value;
    }
    assert_int_equal(got, n);
    assert_int_equal(sum, n * (n + 1) / 2);
#ifdef TEST_UNDER_ASAN
    size_t slack = (size_t)512 << 10; /* what was freed is kept a while, up to 256 MiB */
#else
    size_t slack = (size_t)2 << 10;
#endif
    size_t grown = peak_kib() - before;
    if (grown > slack) {
        fail_msg("the peak grew by %zu KiB", grown);
    }
}

LIVE_TEST(a_reader_that_stops_stops_the_server)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) other = help_open_small();
    tug_pg *session = NULL;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    char sql[120];
    const char *name = test_name();
    snprintf(sql, sizeof sql, "select repeat('x', 1000), '%s' from generate_series(1, 1000000) i",
             name);
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_rows_open(session, sql, TUG_NO_ARGS, NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 1);
    size_t before = tug_test_live_allocations();
    assert_soon(help_waiting(other, "ClientWrite", name) == 1);
    assert_true(tug_test_live_allocations() <= before + 20);
    /* And the loop has nothing to do meanwhile: nobody reads, and nobody is woken in vain. */
    tug_pg_rows_close(rows);
    rows = NULL;
    tug_pg_close(session);
}

static int read_all(void *arg)
{
    assert_series(arg, 30000);
    return 0;
}

static int read_slowly(void *arg)
{
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int64_t value = 0, n = 0, sum = 0;
    assert_ok(tug_pg_rows_open(arg, SERIES, TUG_ARGS(30000), NULL, &rows));
    while (tug_pg_rows_next(rows) > 0) {
        assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&value)));
        sum += value;
        if (++n % 1000 == 0) {
            assert_ok(tug_sleep(TUG_MS(1)));
        }
    }
    assert_int_equal(n, 30000);
    assert_int_equal(sum, n * (n + 1) / 2);
    return 0;
}

LIVE_TEST(many_streams_at_once)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 20; i++) {
        tug_group_spawn(&g, i % 3 == 0 ? read_slowly : read_all, db);
    }
    assert_ok(tug_group_leave(&g, 0));
}

LIVE_TEST(a_slow_reader_stalls_nobody)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg_rows) rows = NULL;
    assert_ok(tug_pg_rows_open(db, "select repeat('x', 1000) from generate_series(1, 1000000)",
                               TUG_NO_ARGS, NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 1);
    /* The task that reads may use the pool itself: statements, streams, sessions. */
    for (int i = 0; i < 200; i++) {
        assert_int_equal(help_int(db, "select 7"), 7);
    }
    assert_series(db, 1000);
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select 7"), 7);
    tug_pg_close(session);
    assert_rc(tug_pg_rows_next(rows), 1);
}

LIVE_TEST(what_is_wrong_with_the_statement_open_says)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg_rows *rows = NULL;
    tug_pg_rows_options o = TUG_PG_ROWS_OPTIONS_INIT;
    assert_rc(tug_pg_rows_open(db, "selct 1", TUG_NO_ARGS, NULL, &rows), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42601");
    assert_rc(tug_pg_rows_open(db, "select 1 / $1::int", TUG_ARGS(0), NULL, &rows), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22012");
    assert_rc(tug_pg_rows_open(db, "select $1::int", TUG_ARGS("x", 2), NULL, &rows), TUG_EMISUSE);
    assert_rc(tug_pg_rows_open(db, "select $1::int4", TUG_ARGS(INT64_MAX), NULL, &rows),
              TUG_ERANGE);
    assert_rc(tug_pg_rows_open(db, NULL, TUG_NO_ARGS, NULL, &rows), TUG_EINVAL);
    assert_rc(tug_pg_rows_open(NULL, "select 1", TUG_NO_ARGS, NULL, &rows), TUG_EMISUSE);
    assert_rc(tug_pg_rows_open(db, "copy pg_class to stdout", TUG_NO_ARGS, NULL, &rows),
              TUG_EMISUSE);
    o.max_row_bytes = 1;
    assert_rc(tug_pg_rows_open(db, "select 1", TUG_NO_ARGS, &o, &rows), TUG_EINVAL);
    o = (tug_pg_rows_options)TUG_PG_ROWS_OPTIONS_INIT;
    o.max_waiting_bytes = 1;
    assert_rc(tug_pg_rows_open(db, "select 1", TUG_NO_ARGS, &o, &rows), TUG_EINVAL);
    assert_null(rows);
    assert_series(db, 10);
}

LIVE_TEST(an_error_may_come_after_rows)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int64_t n = 0, sum = 0;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_pg_rows_open(session, "select 10000 / (5000 - i) from generate_series(1, 9999) i",
                               TUG_NO_ARGS, NULL, &rows));
    assert_rc(drain(rows, &n, &sum), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22012");
    /* From libpq 17 on they come in chunks, and one that was not full yet is lost. */
    assert_true(n <= 4999 && n > 4999 - 32);
    assert_rc(tug_pg_rows_next(rows), TUG_ESERVER);
    /* It is over: the session is free, without a close. */
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
}

LIVE_TEST(nothing_else_runs_beside_on_a_session_or_transaction)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL, *tx = NULL, *other = NULL;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int64_t n = 0, sum = 0;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_rows_open(session, SERIES, TUG_ARGS(100000), NULL, &rows));
    assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("streamed rows are open");
    assert_rc(tug_pg_begin(session, NULL, &tx), TUG_EMISUSE);
    assert_ok(drain(rows, &n, &sum));
    assert_int_equal(n, 100000);
    assert_int_equal(help_int(session, "select 1"), 1);
    tug_pg_close(session);
    tug_pg_rows_close(rows);
    rows = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_rows_open(tx, SERIES, TUG_ARGS(100000), NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 1);
    assert_rc(tug_pg_commit(tx), TUG_EMISUSE);
    assert_rc(tug_pg_rows_open(tx, SERIES, TUG_ARGS(1), NULL, &rows), TUG_EMISUSE);
    assert_ok(drain(rows, &n, &sum));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    /* A task that holds a session takes its streams there. */
    assert_ok(tug_pg_acquire(db, &other));
    tug_pg_rows *refused = NULL;
    assert_rc(tug_pg_rows_open(db, SERIES, TUG_ARGS(1), NULL, &refused), TUG_EMISUSE);
    tug_pg_close(other);
}

LIVE_TEST(a_short_rest_is_read_and_the_connection_stays)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    for (int i = 0; i < 20; i++) {
        tug_pg_rows *rows = NULL;
        assert_ok(tug_pg_rows_open(session, SERIES, TUG_ARGS(i * 1000), NULL, &rows));
        for (int k = 0; k < i * 20; k++) {
            assert_rc(tug_pg_rows_next(rows), 1);
        }
        tug_pg_rows_close(rows);
        assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    }
    tug_pg_close(session);
    assert_series(db, 1000);
}

LIVE_TEST(a_long_rest_costs_the_connection_and_leaves_the_pool_full)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    for (int i = 0; i < 10; i++) {
        tug_pg_rows *rows = NULL;
        assert_ok(tug_pg_rows_open(db,
                                   "select repeat('x', 1000) from generate_series(1, 10000000) i",
                                   TUG_NO_ARGS, NULL, &rows));
        for (int k = 0; k < i; k++) {
            assert_rc(tug_pg_rows_next(rows), 1);
        }
        tug_pg_rows_close(rows);
        tug_pg *session = NULL;
        assert_ok(TUG_WITHIN(TUG_SECONDS(10), tug_pg_acquire(db, &session)));
        assert_int_equal(help_int(session, "select 1"), 1);
        tug_pg_close(session);
    }
}

LIVE_TEST(cut_short_anywhere_it_leaves_a_clean_pool)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    int ends = 0;
    for (int i = 0; i < 120; i++) {
        tug_pg_rows *rows = NULL;
        int64_t n = 0, sum = 0;
        tug_scope s;
        tug_scope_enter(&s, TUG_US(i * 25));
        int rc = tug_pg_rows_open(db, SERIES, TUG_ARGS(3000), NULL, &rows);
        assert_true((rc == 0) == (rows != NULL));
        rc = rc == 0 ? drain(rows, &n, &sum) : rc;
        if (i % 2 == 0) {
            tug_pg_rows_close(rows);
        }
        rc = tug_scope_leave(&s, rc);
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        if (i % 2 == 1 && rows != NULL) {
            /* A next that was cancelled has lost nothing. */
            int64_t more = 0, more_sum = 0;
            assert_ok(drain(rows, &more, &more_sum));
            assert_int_equal(n + more, 3000);
            assert_int_equal(sum + more_sum, 3000 * 3001 / 2);
            tug_pg_rows_close(rows);
        }
        ends += rc == 0;
    }
    assert_series(db, 100);
    print_message("%d of 120 came to their end\n", ends);
}

LIVE_TEST(a_wait_for_rows_can_be_cancelled)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg_rows *rows = NULL;
    /* The server sends when it has 8 KiB. */
    const char slow[] = "select repeat('x', 9000), pg_sleep(case when i > 3 then 30 else 0 end) "
                        "from generate_series(1, 5) i";
    assert_series(db, 1);                                                 /* the login is done */
    assert_ok(tug_pg_exec(db, "select pg_sleep($1)", TUG_ARGS(0), NULL)); /* prepared */
    assert_rc(TUG_WITHIN(TUG_MS(200),
                         tug_pg_rows_open(db, "select pg_sleep($1)", TUG_ARGS(30), NULL, &rows)),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_null(rows);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    TUG_AUTO(tug_pg) second = help_open(&o);
    assert_ok(tug_pg_rows_open(second, slow, TUG_NO_ARGS, NULL, &rows));
    int rc = 1;
    int64_t n = 1;
    assert_rc(tug_pg_rows_next(rows), 1);
    while (rc > 0) {
        rc = TUG_WITHIN(TUG_MS(50), tug_pg_rows_next(rows));
        n += rc > 0;
    }
    assert_int_equal(rc, TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT); /* it might have been an INSERT */
    assert_true(n <= 3);
    tug_pg_rows_close(rows);
}

LIVE_TEST(in_a_cancelled_scope_nothing_happens)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_rows) rows = NULL;
    tug_pg_rows *refused = NULL;
    int64_t n = 0, sum = 0;
    assert_ok(tug_pg_rows_open(db, SERIES, TUG_ARGS(10), NULL, &rows));
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_pg_rows_next(rows), TUG_ECANCELED);
    assert_rc(tug_pg_rows_open(db, SERIES, TUG_ARGS(10), NULL, &refused), TUG_ECANCELED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    TUG_IGNORE(tug_scope_leave(&s, 0));
    assert_ok(drain(rows, &n, &sum));
    assert_int_equal(n, 10);
}

LIVE_TEST(a_row_beyond_the_bound_ends_it)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const int64_t sizes[] = {100000, 200000000};
    for (size_t i = 0; i < 2; i++) {
        TUG_AUTO(tug_pg_rows) rows = NULL;
        tug_pg_rows_options o = TUG_PG_ROWS_OPTIONS_INIT;
        o.max_row_bytes = 50000;
        struct tug_bytes text = {0};
        int rc, n = 0;
        assert_ok(
            tug_pg_rows_open(db,
                             "select repeat('x', case when i = 5 then $1::int4 else 49000 end) "
                             "from generate_series(1, 9) i",
                             TUG_ARGS(sizes[i]), &o, &rows));
        while ((rc = tug_pg_rows_next(rows)) > 0) {
            assert_ok(tug_pg_rows_scan(rows, TUG_OUT(&text)));
            assert_int_equal(text.size, 49000);
            n++;
        }
        assert_int_equal(rc, TUG_ELIMIT);
        assert_detail_has("max_row_bytes (50000)");
        assert_int_equal(n, 4);
    }
    assert_series(db, 10);
}

LIVE_TEST(a_killed_backend_ends_the_rows)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) killer = help_open_small();
    tug_pg *session = NULL;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    bool done = false;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()"), n = 0, sum = 0;
    assert_ok(tug_pg_rows_open(session, SERIES, TUG_ARGS(10000000), NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 1);
    assert_ok(
        tug_pg_query_one(killer, "select pg_terminate_backend($1)", TUG_ARGS(pid), TUG_OUT(&done)));
    assert_rc(drain(rows, &n, &sum), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(n > 0);
    tug_pg_close(session);
}

LIVE_TEST(closing_what_it_runs_on_ends_it)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    for (int round = 0; round < 2; round++) {
        tug_pg *on = NULL;
        tug_pg_rows *rows = NULL;
        int64_t n = 0, sum = 0;
        assert_ok(round == 0 ? tug_pg_acquire(db, &on) : tug_pg_begin(db, NULL, &on));
        assert_ok(tug_pg_rows_open(on, SERIES, TUG_ARGS(1000000), NULL, &rows));
        tug_pg_close(on);
        assert_rc(drain(rows, &n, &sum), TUG_ECLOSED);
        assert_true(n > 0 && n < 1000000);
        tug_pg_rows_close(rows);
    }
    assert_series(db, 10);
}

LIVE_TEST(a_forgotten_stream_closes_itself)
{
    tug_pg *db = help_open_small();
    tug_pg_rows *rows = NULL;
    assert_ok(tug_pg_rows_open(db, SERIES, TUG_ARGS(1000000), NULL, &rows));
    assert_rc(tug_pg_rows_next(rows), 1);
}

LIVE_TEST(a_pool_that_is_closed_lets_its_streams_end)
{
    tug_pg *db = help_open_small();
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int64_t n = 0, sum = 0;
    assert_ok(tug_pg_rows_open(db, SERIES, TUG_ARGS(100000), NULL, &rows));
    tug_pg_close(db);
    assert_ok(drain(rows, &n, &sum));
    assert_int_equal(n, 100000);
}

struct told {
    int starts, ends, rc;
    int64_t rows;
};

static void *hear_start(const tug_pg_operation *op, void *arg)
{
    (void)op;
    ((struct told *)arg)->starts++;
    return NULL;
}

static void hear_end(const tug_pg_operation *op, void *span, void *arg)
{
    struct told *told = arg;
    (void)span;
    told->ends++;
    told->rc = op->rc;
    told->rows = op->returned_rows;
}

LIVE_TEST(hooks_hear_of_streams_and_copies)
{
    struct told told = {0};
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg_hooks hooks = TUG_PG_HOOKS_INIT;
    tug_pg_rows *rows = NULL;
    tug_pg_copy *copy = NULL;
    hooks.start = hear_start;
    hooks.end = hear_end;
    hooks.arg = &told;
    assert_ok(tug_pg_set_hooks(db, &hooks));
    assert_series(db, 1000);
    assert_true(told.starts == 1 && told.ends == 1 && told.rc == 0 && told.rows == 1000);
    assert_ok(tug_pg_rows_open(db, SERIES, TUG_ARGS(100000), NULL, &rows));
    tug_pg_rows_close(rows);
    assert_true(told.starts == 2 && told.ends == 2 && told.rc == TUG_ECLOSED);
    assert_rc(tug_pg_rows_open(db, "selct", TUG_NO_ARGS, NULL, &rows), TUG_ESERVER);
    assert_true(told.starts == 3 && told.ends == 3 && told.rc == TUG_ESERVER);
    assert_ok(tug_pg_copy_out(db, "copy (values (1), (2)) to stdout", &copy));
    assert_ok(tug_pg_copy_finish(copy, NULL));
    tug_pg_copy_close(copy);
    assert_true(told.starts == 4 && told.ends == 4 && told.rc == 0 && told.rows == 2);
    assert_rc(tug_pg_copy_out(db, "copy no_such to stdout", &copy), TUG_ESERVER);
    assert_true(told.starts == 5 && told.ends == 5 && told.rc == TUG_ESERVER);
}
