/* COPY by table, out of tables, and through file descriptors, on a real server. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "pg_help.h"

static tug_pg_copy *in_table(tug_pg *db, const char *table, const char *const *columns)
{
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_copy_in_table(db, table, columns, NULL, &copy));
    return copy;
}

static void finish(tug_pg_copy *copy, int64_t rows)
{
    int64_t got = -1;
    assert_ok(tug_pg_copy_finish(copy, &got));
    assert_int_equal(got, rows);
    tug_pg_copy_close(copy);
}

LIVE_TEST(values_of_all_types_arrive_in_binary)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(
        db, "a int2, b int4, c int8, d oid, e float4, f float8, g numeric, h text, i varchar(9), "
            "j json, k jsonb, l bytea, m uuid, n timestamptz, o timestamp, p date, q bool");
    tug_pg_copy *copy = in_table(db, t.name, NULL);
    struct tug_timestamp when = {INT64_C(1700000000123456)}, ever = {INT64_MAX};
    for (int i = 0; i < 2; i++) {
        assert_ok(tug_pg_copy_row(
            copy, TUG_ARGS(-2, INT32_MIN, INT64_MAX, UINT32_MAX, 0.5, 0.1, "-1234567.00089",
                           "tab\tnew\nback\\", "x", "{\"a\": 1}", "{\"b\": [2]}",
                           tug_bytes("\0\1\xff", 3), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", when,
                           i == 0 ? when : ever, when, true)));
    }
    tug_value nulls[17];
    for (size_t i = 0; i < 17; i++) {
        nulls[i] = tug_null();
    }
    assert_ok(tug_pg_copy_row(copy, (tug_args){nulls, 17}));
    finish(copy, 3);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where a = -2 and b = -2147483648 and "
                                   "c = 9223372036854775807 and d = 4294967295 and e = 0.5 and "
                                   "f = 0.1 and g::text = '-1234567.00089'")),
        2);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where h = E'tab\\tnew\\nback\\\\' and "
                                   "i = 'x' and j->>'a' = '1' and k = '{\"b\": [2]}' and "
                                   "l = '\\x0001ff' and m::text like 'a0eebc99-%a11'")),
        2);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where "
                                   "extract(epoch from n) = 1700000000.123456 and q and "
                                   "p = '2023-11-14' and (o = 'infinity' or "
                                   "o = '2023-11-14 22:13:20.123456')")),
        2);
    assert_int_equal(help_int(db, help_text(&t, "select count(*) from @ where num_nulls(a, b, c, "
                                                "d, e, f, g, h, i, j, k, l, m, n, o, p, q) = 17")),
                     1);
    help_drop(&t);
}

LIVE_TEST(numerics_are_what_the_server_would_have_read)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "s text, x numeric");
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "-1",
                                        "9999",
                                        "10000",
                                        "100000000",
                                        "0.1",
                                        "0.00001",
                                        "1.50",
                                        "00012.30",
                                        "123456789012345678901234567890.000010000",
                                        "1e10",
                                        "1.5e-7",
                                        "-2.5E+20",
                                        ".5",
                                        "5.",
                                        "NaN",
                                        "Infinity",
                                        "0.000",
                                        "10000.0001",
                                        "-Infinity",
                                        "99999999.99999999",
                                        "+3",
                                        "1e300",
                                        "1e-300"};
    enum {
        TEXTS = sizeof texts / sizeof texts[0]
    };
    tug_pg_copy *copy = in_table(db, t.name, NULL);
    for (size_t i = 0; i < TEXTS; i++) {
        assert_ok(tug_pg_copy_row(copy, TUG_ARGS(texts[i], texts[i])));
    }
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("12345678901", INT64_C(12345678901))));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("0.1", 0.1)));
    static const char *const wrong[] = {"", "-", ".", "1e", "1x", " 1", "1e999", "nan()"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_rc(tug_pg_copy_row(copy, TUG_ARGS("", wrong[i])), TUG_EINVAL);
        assert_detail_has("column 2 \"x\"");
    }
    finish(copy, TEXTS + 2);
    assert_int_equal(
        help_int(db, help_text(&t, "select count(*) from @ where s::numeric::text = x::text")),
        TEXTS + 2);
    help_drop(&t);
}

LIVE_TEST(values_that_do_not_fit_are_refused_before_they_are_sent)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "id int4, name text");
    tug_pg_copy *copy = in_table(db, t.name, NULL);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1, "one")));
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS("2", "two")), TUG_ETYPE);
    assert_detail_has("row 2, column 1 \"id\"");
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(INT64_C(3000000000), "two")), TUG_ERANGE);
    assert_detail_has("row 2, column 1 \"id\"");
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(2, tug_text_n("a\0b", 3))), TUG_EINVAL);
    assert_detail_has("row 2, column 2 \"name\"");
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(2, "\xc3\x28")), TUG_EINVAL);
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(2)), TUG_EMISUSE);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(2, "two")));
    finish(copy, 2);
    assert_int_equal(help_int(db, help_text(&t, "select sum(id) from @")), 3);
    help_drop(&t);
}

LIVE_TEST(names_are_quoted_and_looked_up)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(
        db,
        "\"odd \"\"one\"\"\" int4, plain int4 default 7, g int4 generated always as (1) stored");
    static const char *const some[] = {"odd \"one\"", NULL};
    static const char *const turned[] = {"plain", "odd \"one\"", NULL};
    static const char *const none[] = {"no such", NULL};
    static const char *const generated[] = {"g", NULL};
    tug_pg_copy *copy = in_table(db, t.name, some);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1)));
    finish(copy, 1);
    copy = in_table(db, t.name, turned);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(20, 2)));
    finish(copy, 1);
    copy = in_table(db, t.name, NULL);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(3, 30)));
    finish(copy, 1);
    assert_int_equal(help_int(db, help_text(&t, "select sum(\"odd \"\"one\"\"\" * plain) from @")),
                     137);
    copy = NULL;
    tug_pg_copy_options o = TUG_PG_COPY_OPTIONS_INIT;
    assert_rc(tug_pg_copy_in_table(db, t.name, none, NULL, &copy), TUG_ENOTFOUND);
    assert_detail_has("\"no such\"");
    assert_rc(tug_pg_copy_in_table(db, t.name, generated, NULL, &copy), TUG_ENOTFOUND);
    assert_rc(tug_pg_copy_in_table(db, "no\" such; table", NULL, NULL, &copy), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42P01");
    assert_rc(tug_pg_copy_in_table(db, "", NULL, NULL, &copy), TUG_EINVAL);
    o.schema = "pg_temp_no";
    assert_rc(tug_pg_copy_in_table(db, t.name, NULL, &o, &copy), TUG_ESERVER);
    o.schema = NULL;
    o.format = 7;
    assert_rc(tug_pg_copy_in_table(db, t.name, NULL, &o, &copy), TUG_EINVAL);
    o.format = TUG_PG_COPY_BINARY;
    o.header = true;
    assert_rc(tug_pg_copy_in_table(db, t.name, NULL, &o, &copy), TUG_EINVAL);
    assert_null(copy);
    o = (tug_pg_copy_options)TUG_PG_COPY_OPTIONS_INIT;
    o.schema = "public";
    assert_ok(tug_pg_copy_in_table(db, t.name, some, &o, &copy));
    finish(copy, 0);
    help_drop(&t);
}

LIVE_TEST(types_without_a_binary_form_go_as_text)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4, b int4range, c point");
    tug_pg_copy *copy = NULL;
    tug_pg_copy_options o = TUG_PG_COPY_OPTIONS_INIT;
    assert_rc(tug_pg_copy_in_table(db, t.name, NULL, NULL, &copy), TUG_ETYPE);
    assert_detail_has("TUG_PG_COPY_TEXT");
    o.format = TUG_PG_COPY_TEXT;
    assert_ok(tug_pg_copy_in_table(db, t.name, NULL, &o, &copy));
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS(1, "[2,5)", "(1,2)")));
    finish(copy, 1);
    assert_int_equal(help_int(db, help_text(&t, "select a + lower(b) from @ where c[0] = 1")), 3);
    help_drop(&t);
}

LIVE_TEST(domains_and_enums_are_what_they_are_made_of)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    help_sql(db, "create type @_e as enum ('red', 'green')", name);
    help_sql(db, "create domain @_d as int4 check (value > 0)", name);
    help_sql(db, "create domain @_d2 as @_d check (value < 10)", name);
    help_sql(db, "create domain @_d3 as @_d2", name);
    help_sql(db, "create table @ (a @_e, b @_d, c @_d3)", name);
    tug_pg_copy *copy = in_table(db, name, NULL);
    assert_ok(tug_pg_copy_row(copy, TUG_ARGS("green", 5, 6)));
    finish(copy, 1);
    assert_int_equal(help_int(db, help_named("select c from @", name)), 6);
    help_sql(db,
             "do $$ begin if (select count(*) from @ where a = 'green' and b = 5) <> 1 then "
             "raise 'no'; end if; end $$",
             name);
    help_sql(db, "drop table @", name);
    help_sql(db, "drop type @_e", name);
    help_sql(db, "drop domain @_d cascade", name);
}

LIVE_TEST(the_servers_error_names_the_line)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4 check (a <> 3)");
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    for (int round = 0; round < 2; round++) {
        tug_pg_copy *copy = NULL;
        if (round == 0) {
            copy = in_table(session, t.name, NULL);
        } else {
            assert_ok(tug_pg_copy_in(session, help_text(&t, "copy @ from stdin"), &copy));
        }
        for (int i = 1; i <= 5; i++) {
            assert_ok(tug_pg_copy_row(copy, TUG_ARGS(i)));
        }
        assert_rc(tug_pg_copy_finish(copy, NULL), TUG_ESERVER);
        assert_string_equal(tug_last_error()->native, "23514");
        assert_detail_has("COPY ");
        assert_detail_has("line 3");
        tug_pg_copy_close(copy);
        assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    }
    tug_pg_close(session);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(an_empty_binary_copy_is_a_copy)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4");
    finish(in_table(db, t.name, NULL), 0);
    tug_pg_copy *copy = in_table(db, t.name, NULL);
    tug_pg_copy_close(copy);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

/* --- out -------------------------------------------------------------------------------------- */

LIVE_TEST(blocks_come_out)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_copy) copy = NULL;
    struct tug_bytes data;
    int64_t rows = 0, bytes = 0, lines = 0;
    int rc;
    assert_ok(
        tug_pg_copy_out(db, "copy (select i from generate_series(1, 200000) i) to stdout", &copy));
    while ((rc = tug_pg_copy_read(copy, &data)) > 0) {
        bytes += (int64_t)data.size;
        for (size_t i = 0; i < data.size; i++) {
            lines += ((const char *)data.data)[i] == '\n';
        }
        assert_int_equal(((const char *)data.data)[data.size - 1], '\n');
    }
    assert_int_equal(rc, 0);
    assert_int_equal(lines, 200000);
    assert_int_equal(bytes, 1288895);
    assert_rc(tug_pg_copy_read(copy, &data), 0);
    assert_ok(tug_pg_copy_finish(copy, &rows));
    assert_int_equal(rows, 200000);
    assert_rc(tug_pg_copy_row(copy, TUG_ARGS(1)), TUG_EMISUSE);
    assert_rc(tug_pg_copy_write(copy, tug_bytes("1\n", 2)), TUG_EMISUSE);
    tug_pg_copy *second = NULL;
    assert_ok(tug_pg_copy_out(db, "copy (select 1) to stdout (format csv, header)", &second));
    assert_rc(tug_pg_copy_next(second), TUG_EMISUSE);
    assert_rc(tug_pg_copy_read(second, &data), 1);
    assert_int_equal(data.size, 11);
    assert_memory_equal(data.data, "?column?\n1\n", 11);
    tug_pg_copy_close(second);
}

LIVE_TEST(rows_come_out_in_binary)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4, b text, c numeric");
    help_sql(db,
             "insert into @ select i, case when i % 3 = 0 then null else 'text ' || i end, "
             "i / 4.0 from generate_series(1, 50000) i",
             t.name);
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_copy_out_table(db, t.name, NULL, NULL, &copy));
    int a = 0, n = 0, rc;
    double c = 0;
    const char *b = NULL;
    bool is_null = false;
    assert_rc(tug_pg_copy_scan(copy, TUG_OUT(&a, &b, &c)), TUG_EMISUSE);
    while ((rc = tug_pg_copy_next(copy)) > 0) {
        char expected[24];
        n++;
        assert_ok(tug_pg_copy_scan(copy, TUG_OUT(&a, TUG_NULLABLE(&b, &is_null), &c)));
        assert_int_equal(a, n);
        assert_int_equal(is_null, n % 3 == 0);
        assert_true(c == n / 4.0);
        snprintf(expected, sizeof expected, "text %d", n);
        assert_true(is_null || strcmp(b, expected) == 0);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, 50000);
    assert_rc(tug_pg_copy_scan(copy, TUG_OUT(&a, &b, &c)), TUG_EMISUSE);
    assert_rc(tug_pg_copy_next(copy), 0);
    finish(copy, 50000);
    help_drop(&t);
}

LIVE_TEST(an_error_may_come_after_data)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    tug_pg_copy *copy = NULL;
    struct tug_bytes data;
    int rc;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()"), bytes = 0;
    assert_ok(tug_pg_copy_out(
        session, "copy (select 1 / (90000 - i) from generate_series(1, 99999) i) to stdout",
        &copy));
    while ((rc = tug_pg_copy_read(copy, &data)) > 0) {
        bytes += (int64_t)data.size;
    }
    assert_int_equal(rc, TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22012");
    assert_true(bytes > 0);
    assert_rc(tug_pg_copy_read(copy, &data), TUG_ESERVER);
    assert_rc(tug_pg_copy_finish(copy, NULL), TUG_ESERVER);
    tug_pg_copy_close(copy);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
}

LIVE_TEST(a_row_of_a_copy_is_bounded)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.max_result_bytes = 65536;
    TUG_AUTO(tug_pg) db = help_open(&o);
    for (int i = 0; i < 5; i++) {
        TUG_AUTO(tug_pg_copy) copy = NULL;
        struct tug_bytes data;
        assert_ok(tug_pg_copy_out(db, "copy (select repeat('x', 300000)) to stdout", &copy));
        assert_rc(tug_pg_copy_read(copy, &data), TUG_ELIMIT);
        assert_detail_has("max_result_bytes");
    }
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int64_t bytes = 0;
    struct tug_bytes data;
    assert_ok(tug_pg_copy_out(
        db, "copy (select repeat('x', 60000) from generate_series(1, 100)) to stdout", &copy));
    while (tug_pg_copy_read(copy, &data) == 1) {
        bytes += (int64_t)data.size;
    }
    assert_int_equal(bytes, 100 * 60001);
}

LIVE_TEST(the_wrong_direction_is_said)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4");
    tug_pg *session = NULL;
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_rc(tug_pg_copy_out(session, help_text(&t, "copy @ from stdin"), &copy), TUG_EMISUSE);
    assert_detail_has("tug_pg_copy_in");
    assert_rc(tug_pg_copy_in(session, help_text(&t, "copy @ to stdout"), &copy), TUG_EMISUSE);
    assert_detail_has("tug_pg_copy_out");
    assert_rc(tug_pg_copy_out(session, "select 1", &copy), TUG_EMISUSE);
    assert_rc(tug_pg_copy_out(session, NULL, &copy), TUG_EINVAL);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
    help_drop(&t);
}

LIVE_TEST(closed_early_it_leaves_the_pool_full)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    for (int i = 0; i < 20; i++) {
        tug_pg_copy *copy = NULL;
        tug_pg *session = NULL;
        struct tug_bytes data;
        assert_ok(tug_pg_copy_out(
            db,
            i % 2 == 0
                ? "copy (select repeat('x', 1000) from generate_series(1, 9999999)) to stdout"
                : "copy (select generate_series(1, 1000)) to stdout",
            &copy));
        for (int k = 0; k < i / 2; k++) {
            assert_true(tug_pg_copy_read(copy, &data) >= 0);
        }
        tug_pg_copy_close(copy);
        assert_ok(TUG_WITHIN(TUG_SECONDS(10), tug_pg_acquire(db, &session)));
        assert_int_equal(help_int(session, "select 1"), 1);
        tug_pg_close(session);
    }
}

LIVE_TEST(cut_short_anywhere_it_leaves_a_clean_pool)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4");
    help_sql(db, "insert into @ select generate_series(1, 3000)", t.name);
    for (int i = 0; i < 100; i++) {
        tug_pg_copy *copy = NULL;
        tug_scope s;
        tug_scope_enter(&s, TUG_US(i * 60));
        int rc = tug_pg_copy_out_table(db, t.name, NULL, NULL, &copy), n = 0;
        assert_true((rc == 0) == (copy != NULL));
        while (rc == 0 && (rc = tug_pg_copy_next(copy)) > 0) {
            n++;
            rc = 0;
        }
        if (i % 2 == 0) {
            tug_pg_copy_close(copy);
        }
        rc = tug_scope_leave(&s, rc);
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        if (i % 2 == 1 && copy != NULL) {
            while (tug_pg_copy_next(copy) > 0) { /* what was cut short goes on */
                n++;
            }
            assert_int_equal(n, 3000);
            finish(copy, 3000);
        }
    }
    help_drop(&t);
}

LIVE_TEST(a_reader_that_stops_stops_the_server)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg_copy) copy = NULL;
    struct tug_bytes data;
    const char *name = test_name();
    assert_ok(tug_pg_copy_out(
        db,
        help_named(
            "copy (select repeat('x', 1000), '@' from generate_series(1, 9999999)) to stdout",
            name),
        &copy));
    assert_rc(tug_pg_copy_read(copy, &data), 1);
    assert_soon(help_waiting(judge, "ClientWrite", name) == 1);
}

LIVE_TEST(from_one_table_into_another)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    help_table t = help_create(db, "a int4, b text");
    help_table u = help_create(db, "a int4, b text");
    help_sql(db, "insert into @ select i, 'n' || i from generate_series(1, 100000) i", t.name);
    /* One task, one pool, both at once. */
    tug_pg_copy *out = NULL, *in = in_table(db, u.name, NULL);
    struct tug_bytes data;
    tug_pg_copy_options o = TUG_PG_COPY_OPTIONS_INIT;
    assert_ok(tug_pg_copy_out_table(db, t.name, NULL, &o, &out));
    while (tug_pg_copy_read(out, &data) > 0) {
        assert_ok(tug_pg_copy_write(in, data));
    }
    assert_rc(tug_pg_copy_row(in, TUG_ARGS(1, "x")), TUG_EMISUSE);
    finish(in, 100000);
    finish(out, 100000);
    help_drop(&t);
    help_drop(&u);
}

/* --- file descriptors ------------------------------------------------------------------------- */

static FILE *temporary_lines(int n)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    for (int i = 1; i <= n; i++) {
        fprintf(f, "%d\tline %d\n", i, i);
    }
    fflush(f);
    return f;
}

LIVE_TEST(from_a_file_and_to_a_file)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4, b text");
    tug_pg_copy *copy = NULL;
    FILE *from = temporary_lines(50000), *to = tmpfile();
    long size = ftell(from);
    int64_t bytes = 0, out = 0;
    lseek(fileno(from), 0, SEEK_SET);
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_from_fd(copy, fileno(from), &bytes));
    assert_int_equal(bytes, size);
    assert_int_equal(lseek(fileno(from), 0, SEEK_CUR), size);
    finish(copy, 50000);
    assert_ok(tug_pg_copy_out(db, help_text(&t, "copy @ to stdout"), &copy));
    assert_ok(tug_pg_copy_to_fd(copy, fileno(to), &out));
    finish(copy, 50000);
    assert_int_equal(out, size);
    assert_int_equal(lseek(fileno(to), 0, SEEK_END), size);
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_rc(tug_pg_copy_from_fd(copy, -1, &bytes), -EBADF);
    assert_rc(tug_pg_copy_to_fd(copy, fileno(to), &bytes), TUG_EMISUSE);
    tug_pg_copy_close(copy);
    fclose(from);
    fclose(to);
    help_drop(&t);
}

struct pumped {
    int fd;
    int64_t lines;
};

static int pump_in(void *arg)
{
    struct pumped *p = arg;
    for (int i = 1; i <= 20000; i++) {
        char line[32];
        int n = snprintf(line, sizeof line, "%d\tline\n", i);
        assert_true(tug_fd_wait(p->fd, TUG_WRITE) > 0);
        assert_int_equal(write(p->fd, line, (size_t)n), n);
    }
    close(p->fd);
    return 0;
}

static int pump_out(void *arg)
{
    struct pumped *p = arg;
    char block[5000];
    ssize_t n;
    while (tug_fd_wait(p->fd, TUG_READ) > 0 && (n = read(p->fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            p->lines += block[i] == '\n';
        }
    }
    close(p->fd);
    return 0;
}

static void through(tug_pg *db, const help_table *t, int in[2], int out[2])
{
    struct pumped source = {.fd = in[1]}, sink = {.fd = out[0]};
    tug_pg_copy *copy = NULL;
    int64_t bytes = 0;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, pump_in, &source);
    tug_group_spawn(&g, pump_out, &sink);
    assert_ok(tug_pg_copy_in(db, help_text(t, "copy @ from stdin"), &copy));
    assert_ok(tug_pg_copy_from_fd(copy, in[0], &bytes));
    assert_int_equal(bytes, 20000 * 6 + 88894); /* with 88,894 digits */
    finish(copy, 20000);
    assert_ok(tug_pg_copy_out(db, help_text(t, "copy @ to stdout"), &copy));
    assert_ok(tug_pg_copy_to_fd(copy, out[1], NULL));
    finish(copy, 20000);
    close(out[1]);
    close(in[0]);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(sink.lines, 20000);
}

LIVE_TEST(through_pipes_and_sockets)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    for (int round = 0; round < 3; round++) {
        help_table t = help_create(db, "a int4, b text");
        int in[2], out[2];
        if (round == 0) {
            assert_int_equal(pipe2(in, O_CLOEXEC), 0); /* blocking */
            assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        } else if (round == 1) {
            assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
            assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
        } else {
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
        }
        through(db, &t, in, out);
        help_drop(&t);
    }
}

LIVE_TEST(what_a_descriptor_did_not_take_in_time_is_not_skipped_in_silence)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int fds[2];
    int64_t bytes = 0;
    struct tug_bytes data;
    assert_int_equal(pipe(fds), 0);
    assert_ok(tug_pg_copy_out(
        db, "copy (select repeat('x', 1000) from generate_series(1, 2000)) to stdout", &copy));
    assert_rc(TUG_WITHIN(TUG_MS(100), tug_pg_copy_to_fd(copy, fds[1], &bytes)), TUG_ETIMEDOUT);
    assert_true(bytes > 0 && bytes < 2000000);
    assert_rc(tug_pg_copy_to_fd(copy, fds[1], &bytes), TUG_EMISUSE);
    assert_rc(tug_pg_copy_read(copy, &data), TUG_EMISUSE);
    assert_detail_has("cut short");
    assert_ok(tug_pg_copy_finish(copy, NULL));
    close(fds[0]);
    close(fds[1]);
}

LIVE_TEST(a_descriptor_that_gives_nothing_can_be_cancelled)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int4");
    int ends[2];
    tug_pg_copy *copy = NULL;
    int64_t bytes = -1;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_ok(tug_pg_copy_in(db, help_text(&t, "copy @ from stdin"), &copy));
    assert_int_equal(write(ends[1], "1\n2\n", 4), 4);
    assert_rc(TUG_WITHIN(TUG_SECONDS(1), tug_pg_copy_from_fd(copy, ends[0], &bytes)),
              TUG_ETIMEDOUT);
    assert_int_equal(bytes, 4);
    finish(copy, 2);
    close(ends[0]);
    /* Nobody reads: -EPIPE and no signal. */
    assert_ok(tug_pg_copy_out(db, help_text(&t, "copy @ to stdout"), &copy));
    assert_rc(tug_pg_copy_to_fd(copy, ends[1], NULL), -EPIPE);
    tug_pg_copy_close(copy);
    close(ends[1]);
    help_drop(&t);
}
