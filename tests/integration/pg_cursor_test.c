/* Cursors on a real server. */
#include <tug/pg_cursor.h>
#include <tug/scope.h>

#include "pg_help.h"

static const char SERIES[] = "select i from generate_series(1, $1::int4) i";

static void assert_fetch(tug_pg_cursor *cursor, int rows, int got, int first)
{
    TUG_AUTO(tug_pg_result) res = NULL;
    int value = 0;
    assert_ok(tug_pg_cursor_fetch(cursor, rows, &res));
    assert_int_equal(tug_pg_result_rows(res), got);
    if (got > 0) {
        assert_ok(tug_pg_scan(res, 0, TUG_OUT(&value)));
        assert_int_equal(value, first);
    }
}

LIVE_TEST(rows_come_in_parts)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *tx = NULL;
    TUG_AUTO(tug_pg_cursor) cursor = NULL;
    TUG_AUTO(tug_pg_cursor) second = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_cursor_open(tx, SERIES, TUG_ARGS(25), NULL, &cursor));
    assert_ok(tug_pg_cursor_open(tx, SERIES, TUG_ARGS(3), NULL, &second));
    assert_fetch(cursor, 10, 10, 1);
    assert_fetch(second, 10, 3, 1);
    assert_int_equal(help_int(tx, "select 7"), 7);
    assert_fetch(cursor, 10, 10, 11);
    assert_fetch(cursor, 10, 5, 21);
    assert_fetch(cursor, 10, 0, 0);
    tug_pg_result *res = NULL;
    assert_rc(tug_pg_cursor_fetch(cursor, -1, &res), TUG_EMISUSE);
    assert_rc(tug_pg_cursor_fetch(cursor, 0, &res), TUG_EINVAL);
    assert_rc(tug_pg_cursor_fetch(cursor, 1000001, &res), TUG_EINVAL);
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    assert_rc(tug_pg_cursor_fetch(cursor, 1, &res), TUG_ECLOSED);
}

LIVE_TEST(it_scrolls_and_moves)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *tx = NULL;
    tug_pg_cursor *cursor = NULL;
    tug_pg_cursor_options o = TUG_PG_CURSOR_OPTIONS_INIT;
    int64_t rows = 0;
    o.scroll = true;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    for (int round = 0; round < 3; round++) {
        assert_ok(tug_pg_cursor_open(tx, SERIES, TUG_ARGS(100), &o, &cursor));
        assert_ok(tug_pg_cursor_move(cursor, 40, &rows));
        assert_int_equal(rows, 40);
        assert_fetch(cursor, 2, 2, 41);
        assert_fetch(cursor, -2, 2, 41);
        assert_ok(tug_pg_cursor_move(cursor, 1000, &rows));
        assert_int_equal(rows, 60);
        assert_ok(tug_pg_cursor_move(cursor, -1, NULL));
        assert_fetch(cursor, 5, 0, 0);
        tug_pg_cursor_close(cursor); /* its name is free for the next round */
    }
    tug_pg_close(tx);
}

LIVE_TEST(with_hold_it_needs_no_transaction)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    tug_pg_cursor *cursor = NULL;
    tug_pg_cursor_options o = TUG_PG_CURSOR_OPTIONS_INIT;
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_cursor_open(session, SERIES, TUG_ARGS(9), NULL, &cursor), TUG_EMISUSE);
    o.hold = true;
    assert_ok(tug_pg_cursor_open(session, SERIES, TUG_ARGS(9), &o, &cursor));
    assert_fetch(cursor, 5, 5, 1);
    assert_int_equal(help_int(session, "select count(*) from pg_cursors where name like 'tug%'"),
                     1);
    tug_pg_cursor_close(cursor);
    assert_int_equal(help_int(session, "select count(*) from pg_cursors where name like 'tug%'"),
                     0);
    assert_ok(tug_pg_cursor_open(session, SERIES, TUG_ARGS(9), &o, &cursor));
    tug_pg_close(session);
    tug_pg_cursor_close(cursor);
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select count(*) from pg_cursors where name like 'tug%'"),
                     0);
    tug_pg_close(session);
}

LIVE_TEST(what_is_wrong_open_says)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *tx = NULL;
    tug_pg_cursor *cursor = NULL;
    assert_rc(tug_pg_cursor_open(db, SERIES, TUG_ARGS(9), NULL, &cursor), TUG_EMISUSE);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_cursor_open(tx, NULL, TUG_NO_ARGS, NULL, &cursor), TUG_EINVAL);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_pg_cursor_open(tx, SERIES, TUG_ARGS(1), NULL, &cursor), TUG_ECANCELED);
    TUG_IGNORE(tug_scope_leave(&s, 0));
    assert_ok(tug_pg_cursor_open(tx, "select 1 / (3 - i) from generate_series(1, 9) i", TUG_NO_ARGS,
                                 NULL, &cursor));
    tug_pg_result *res = NULL;
    assert_rc(tug_pg_cursor_fetch(cursor, 9, &res), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22012");
    tug_pg_cursor_close(cursor);
    assert_string_equal(tug_last_error()->native, "22012");
    tug_pg_close(tx);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_cursor_open(tx, "insert into x values (1)", TUG_NO_ARGS, NULL, &cursor),
              TUG_ESERVER);
    tug_pg_close(tx);
}

LIVE_TEST(a_forgotten_cursor_closes_itself)
{
    tug_pg *db = help_open_small(), *tx = NULL;
    tug_pg_cursor *cursor = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_cursor_open(tx, SERIES, TUG_ARGS(10), NULL, &cursor));
    assert_fetch(cursor, 1, 1, 1);
}
