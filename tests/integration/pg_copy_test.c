/* COPY into a table on a real server. */
#include <stdlib.h>
#include <tug/group.h>
#include <tug/scope.h>

#include "pg_help.h"

static tug_pg *open_one(void)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    return help_open(&o);
}

LIVE_TEST(rows_arrive)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int8, b text, c bytea, d float8, e bool, f timestamptz");
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int64_t rows = 0;
    struct tug_timestamp when = {INT64_C(1700000000123456)};
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_row(
        copy, TUG_ARGS(1, "tab\tline\nback\\slash", tug_bytes("\0\1\xff", 3), 0.1, true, when)));
    assert_ok(tug_pg_copy_row(
        copy, TUG_ARGS(tug_null(), tug_null(), tug_null(), tug_null(), tug_null(), tug_null())));
    assert_ok(tug_pg_copy_write(copy, tug_bytes("3\tx\t\\\\x00\t2.5\tf\t2020-01-01\n", 26)));
    assert_ok(tug_pg_copy_finish(copy, &rows));
    assert_int_equal(rows, 3);
    assert_rc(tug_pg_copy_finish(copy, &rows), TUG_EMISUSE);
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(1)), TUG_EMISUSE);
    tug_pg_copy_close(copy);
    copy = NULL;
    char text[40];
    struct tug_timestamp got = {0};
    double d = 0;
    assert_ok(tug_pg_query_one(db, help_text(&t, "select b, d, f from @ where a = 1"), TUG_NO_ARGS,
                               TUG_OUT(TUG_COPY(text), &d, &got)));
    assert_string_equal(text, "tab\tline\nback\\slash");
    assert_true(d == 0.1);
    assert_true(got.us == when.us);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where c = '\\x0001ff' and e")), 1);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where a is null and b is null")), 1);
    help_drop(&t);
}

LIVE_TEST(bad_data_fails_the_copy_and_not_the_connection)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    tug_pg_copy *copy = NULL;
    int64_t rows = -1;
    assert_ok(tug_pg_copy_in(session, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1)));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("no number")));
    assert_rc(tug_pg_copy_finish(copy, &rows), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22P02");
    assert_int_equal(rows, -1);
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(2)), TUG_ESERVER);
    tug_pg_copy_close(copy);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_row_that_cannot_be_written_leaves_the_others)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a text");
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int64_t rows = 0;
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("one")));
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(tug_text_n("a\0b", 3))), TUG_EINVAL);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("two")));
    assert_ok(tug_pg_copy_finish(copy, &rows));
    assert_int_equal(rows, 2);
    tug_pg_copy_close(copy);
    copy = NULL;
    assert_int_equal(help_count(&t), 2);
    help_drop(&t);
}

LIVE_TEST(what_is_no_copy_is_refused)
{
    TUG_AUTO(tug_pg) db = open_one();
    tug_pg_copy *copy = NULL;
    assert_rc(tug_pg_copy_in(db, "select 1", &copy), TUG_EMISUSE);
    assert_rc(tug_pg_copy_in(db, NULL, &copy), TUG_EINVAL);
    assert_rc(tug_pg_copy_in(db, "copy no_such_table from stdin", &copy), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42P01");
    assert_rc(tug_pg_copy_in(db, "copy (select 1) to stdout", &copy), TUG_EMISUSE);
    assert_null(copy);
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select 1"), 1);
    tug_pg_close(session);
}

/* It would commit the transaction under its handle, or keep the rows in one that nobody commits. */
LIVE_TEST(nothing_goes_behind_a_copy)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg_copy) copy = NULL;
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_copy_in(tx, help_text(&t, "copy @ from stdin; commit"), &copy), TUG_EMISUSE);
    assert_detail_has("another statement");
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    tug_pg_close(tx);
    assert_rc(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin; begin"), &copy), TUG_EMISUSE);
    assert_rc(tug_pg_copy_out(db, help_text(&t, "copy @ to stdout; truncate @"), &copy),
              TUG_EMISUSE);
    assert_int_equal(help_count(&t), 0);
    assert_ok(
        tug_pg_copy_out(db, help_text(&t, "copy @ to stdout (delimiter ';'); -- ; that"), &copy));
    tug_pg_copy_close(copy);
    copy = NULL;
    help_drop(&t);
}

LIVE_TEST(an_abandoned_copy_loads_nothing)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    for (int i = 0; i < 3; i++) {
        tug_pg_copy *copy = NULL;
        assert_ok(tug_pg_copy_in(session, help_text(&t, "copy @ from stdin"), &copy));
        assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
        assert_detail_has("COPY is open");
        assert_ok(tug_pg_copy_row(copy, TUG_ARGS(i)));
        if (i > 0) {
            assert_ok(tug_sleep(TUG_MS(10)));
        }
        tug_pg_copy_close(copy);
        assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    }
    tug_pg_close(session);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_copy_that_is_cut_short_anywhere_leaves_a_clean_connection)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    const char *sql = help_text(&t, "copy @ from stdin");
    int64_t finished = 0;
    for (int i = 0; i < 60; i++) {
        tug_pg_copy *copy = NULL;
        tug_scope s;
        tug_scope_enter(&s, TUG_US(i * 25));
        int rc = tug_pg_copy_in(db, sql, &copy);
        assert_true((rc == 0) == (copy != NULL));
        for (int k = 0; k < 10 && rc == 0; k++) {
            rc = tug_pg_copy_row(copy, TUG_ARGS(k));
        }
        rc = rc == 0 ? tug_pg_copy_finish(copy, NULL) : rc;
        finished += rc == 0;
        tug_pg_copy_close(copy);
        rc = tug_scope_leave(&s, rc);
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
    }
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t rows = help_int(session, help_text(&t, "select count(*) from @"));
    assert_true(rows % 10 == 0 && rows >= finished * 10);
    tug_pg_close(session);
    help_drop(&t);
}

LIVE_TEST(a_fast_writer_waits_for_the_server)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a text");
    TUG_AUTO(tug_pg_copy) copy = NULL;
    enum {
        SIZE = 1 << 20,
        PIECES = 24
    };
    char *line = malloc(SIZE);
    int64_t rows = 0;
    memset(line, 'x', SIZE);
    line[SIZE - 1] = '\n';
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    size_t before = tug_test_live_allocations();
    for (int i = 0; i < PIECES; i++) {
        assert_ok(tug_pg_copy_write(copy, tug_bytes(line, SIZE)));
        assert_true(tug_test_live_allocations() <= before + 4);
    }
    assert_ok(tug_pg_copy_finish(copy, &rows));
    assert_int_equal(rows, PIECES);
    free(line);
    tug_pg_copy_close(copy);
    copy = NULL;
    assert_int_equal(help_int(db, help_text(&t, "select sum(length(a)) from @")),
                     (int64_t)PIECES * (SIZE - 1));
    help_drop(&t);
}

/* Half a line is a line, too. */
LIVE_TEST(a_write_that_was_cut_short_is_not_loaded)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a text");
    TUG_AUTO(tug_pg_copy) copy = NULL;
    const size_t size = (size_t)16 << 20;
    char *lines = malloc(size);
    memset(lines, 'x', size);
    for (size_t i = 999; i < size; i += 1000) {
        lines[i] = '\n';
    }
    help_sql(db,
             "create function @_f() returns trigger language plpgsql as $f$ begin perform "
             "pg_sleep(0.4) where new.a <> 'y'; return new; end $f$",
             t.name);
    help_sql(db, "create trigger t before insert on @ for each row execute function @_f()", t.name);
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_rc(TUG_WITHIN(TUG_MS(200), tug_pg_copy_write(copy, tug_bytes(lines, size))),
              TUG_ETIMEDOUT);
    assert_rc(tug_pg_copy_finish(copy, NULL), TUG_EMISUSE);
    assert_detail_has("cut short");
    tug_pg_copy_close(copy);
    copy = NULL;
    free(lines);
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_write(copy, tug_bytes("y\n", 2)));
    assert_ok(tug_pg_copy_finish(copy, NULL));
    assert_int_equal(help_count(&t), 1);
    help_drop(&t);
    help_sql(db, "drop function @_f()", t.name);
}

LIVE_TEST(in_a_transaction_it_commits_with_it)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    const char *sql = help_text(&t, "copy @ from stdin");
    for (int round = 0; round < 2; round++) {
        tug_pg *tx = NULL;
        tug_pg_copy *copy = NULL;
        assert_ok(tug_pg_begin(db, NULL, &tx));
        assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
        assert_ok(tug_pg_copy_in(tx, sql, &copy));
        assert_rc(tug_pg_commit(tx), TUG_EMISUSE);
        assert_ok(tug_pg_copy_row(copy, TUG_ARGS(round)));
        assert_ok(tug_pg_copy_finish(copy, NULL));
        tug_pg_copy_close(copy);
        assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
        if (round == 1) {
            assert_ok(tug_pg_commit(tx));
        }
        tug_pg_close(tx);
    }
    assert_int_equal(help_count(&t), 1);
    help_drop(&t);
}

LIVE_TEST(closing_the_transaction_ends_the_copy)
{
    TUG_AUTO(tug_pg) db = open_one();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL;
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_copy_in(tx, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1)));
    tug_pg_close(tx);
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(2)), TUG_ECLOSED);
    assert_rc(tug_pg_copy_finish(copy, NULL), TUG_ECLOSED);
    tug_pg_copy_close(copy);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_killed_backend_ends_the_copy)
{
    TUG_AUTO(tug_pg) db = open_one();
    TUG_AUTO(tug_pg) killer = help_open(NULL);
    help_table t = help_create(killer, "a int");
    tug_pg *session = NULL;
    tug_pg_copy *copy = NULL;
    bool done = false;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_pg_copy_in(session, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1)));
    assert_ok(
        tug_pg_query_one(killer, "select pg_terminate_backend($1)", TUG_ARGS(pid), TUG_OUT(&done)));
    assert_rc(tug_pg_copy_finish(copy, NULL), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_pg_copy_close(copy);
    tug_pg_close(session);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(a_forgotten_copy_closes_itself)
{
    tug_pg *db = open_one(), *tx = NULL;
    tug_pg_copy *copy = NULL;
    const char *name = test_name();
    assert_ok(tug_pg_begin(db, NULL, &tx));
    help_sql(tx, "create table @(a int)", name);
    assert_ok(tug_pg_copy_in(tx, help_named("copy @ from stdin", name), &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1)));
}
