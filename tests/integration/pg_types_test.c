/* Types: arrays as parameters and in results, structs, what is refused, and what the server's own types look
 * like that no decoder knows. */
#include <math.h>
#include <stdlib.h>
#include <tug/pg_array.h>
#include <tug/pg_script.h>

#include "pg_role.h"

static tug_pg_result *query(tug_pg *db, const char *sql, tug_args args)
{
    tug_pg_result *res = NULL;
    assert_ok(tug_pg_query(db, sql, args, &res));
    return res;
}

static void check_text(tug_pg *db, const char *sql, tug_args args, const char *expected)
{
    char text[400];
    assert_ok(tug_pg_query_one(db, sql, args, TUG_OUT(TUG_COPY(text))));
    assert_string_equal(text, expected);
}

static void check_fails(tug_pg *db, const char *sql, tug_args args, int code, const char *detail)
{
    assert_rc(tug_pg_exec(db, sql, args, NULL), code);
    assert_detail_has(detail);
    assert_int_equal(tug_last_error()->sent, code == TUG_ESERVER ? TUG_ANSWERED : TUG_NOT_SENT);
}

/* --- arrays there ---------------------------------------------------------------------------------- */

LIVE_TEST(c_arrays_are_one_argument)
{
    tug_pg *db = help_open_small();
    const int ids[] = {3, 5, 1000};
    int64_t n = 0;
    assert_ok(tug_pg_query_one(db,
                               "select count(*) from generate_series(1, 10) g where g = any($1)",
                               TUG_ARGS(TUG_ARRAY(ids, 3)), TUG_OUT(&n)));
    assert_int_equal(n, 2);
    const char *const words[] = {"a", NULL, "NULL", "x \"y\" \\ {z}, \xc3\xa4"};
    check_text(db, "select $1::text[]", TUG_ARGS(TUG_ARRAY(words, 4)),
               "{a,NULL,\"NULL\",\"x \\\"y\\\" \\\\ {z}, \xc3\xa4\"}");
    const bool is_null[] = {false, true, false};
    check_text(db, "select $1::int8[]", TUG_ARGS(TUG_ARRAY_NULLS(ids, 3, is_null)),
               "{3,NULL,1000}");
    check_text(db, "select $1::int2[]", TUG_ARGS(TUG_ARRAY(ids, 0)), "{}");
    check_text(db, "select coalesce($1::int2[]::text, 'none')",
               TUG_ARGS((const struct tug_array *)NULL), "none");
    const double halves[] = {0.5, -2, INFINITY};
    check_text(db, "select $1::float4[]", TUG_ARGS(TUG_ARRAY(halves, 3)), "{0.5,-2,Infinity}");
    check_text(db, "select $1::numeric[]", TUG_ARGS(TUG_ARRAY(halves, 3)), "{0.5,-2,Infinity}");
    const struct tug_bytes blobs[] = {{"\0\xff", 2}, {"", 0}};
    check_text(db, "select $1::bytea[]", TUG_ARGS(TUG_ARRAY(blobs, 2)),
               "{\"\\\\x00ff\",\"\\\\x\"}");
    const struct tug_date days[] = {{0}, {INT32_MAX}};
    check_text(db, "select $1::date[]", TUG_ARGS(TUG_ARRAY(days, 2)), "{1970-01-01,infinity}");
    tug_pg_close(db);
}

/* Dimensions, bounds, and elements that are not all of one C type. */
LIVE_TEST(arrays_of_several_dimensions)
{
    tug_pg *db = help_open_small();
    const int cells[2][3] = {{1, 2, 3}, {4, 5, 6}};
    const int32_t sizes[] = {2, 3}, lower[] = {0, -1};
    struct tug_array a = *TUG_ARRAY(&cells[0][0], 6);
    a.dimensions = 2;
    a.sizes = sizes;
    check_text(db, "select $1::int4[]", TUG_ARGS(&a), "{{1,2,3},{4,5,6}}");
    a.lower = lower;
    check_text(db, "select $1::int4[]", TUG_ARGS(&a), "[0:1][-1:1]={{1,2,3},{4,5,6}}");
    /* Numeric has no binary form here: the same as text. */
    check_text(db, "select $1::numeric[]", TUG_ARGS(&a), "[0:1][-1:1]={{1,2,3},{4,5,6}}");
    const tug_value mixed[] = {tug_text("\\x01"), tug_blob(tug_bytes("\x02", 1)), tug_null()};
    check_text(db, "select $1::bytea[]", TUG_ARGS(TUG_ARRAY(mixed, 3)),
               "{\"\\\\x01\",\"\\\\x02\",NULL}");
    tug_pg_close(db);
}

LIVE_TEST(elements_are_checked_like_parameters)
{
    tug_pg *db = help_open_small();
    const int64_t large[] = {1, INT64_C(1) << 40};
    const char *const bad[] = {"good", "b\xff"
                                       "d"};
    const struct tug_time_of_day late[] = {{0}, {INT64_C(86400000001)}};
    struct tug_array a = *TUG_ARRAY(large, 2);
    check_fails(db, "select 1, $1::int4[]", TUG_ARGS(&a), TUG_ERANGE,
                "parameter 1[1]: 1099511627776 does not fit int4");
    check_fails(db, "select $2::int4, $1::text[]", TUG_ARGS(TUG_ARRAY(bad, 2), 1), TUG_EINVAL,
                "parameter 1[1]: the text is not UTF-8: 0xff at byte 1");
    check_fails(db, "select $1::time[]", TUG_ARGS(TUG_ARRAY(late, 2)), TUG_ERANGE,
                "parameter 1[1]: 86400000001 microseconds are no time of day");
    check_fails(db, "select $1::bool[]", TUG_ARGS(TUG_ARRAY(bad, 1)), TUG_ESERVER, "22P02");
    check_fails(db, "select $1::uuid[]", TUG_ARGS(&a), TUG_ETYPE,
                "parameter 1[0] wants uuid, not an integer");
    check_fails(db, "select $1::int4", TUG_ARGS(&a), TUG_ETYPE,
                "parameter 1 wants int4, not an array");
    check_fails(db, "select $1::int4[]", TUG_ARGS(1), TUG_ETYPE,
                "parameter 1 wants int4[], not an integer");
    const int32_t sizes[] = {3};
    a.dimensions = 1;
    a.sizes = sizes;
    check_fails(db, "select $1::int4[]", TUG_ARGS(&a), TUG_EINVAL, "have 3 elements, n is 2");
    tug_pg_close(db);
}

/* --- arrays back ----------------------------------------------------------------------------------- */

static void check_elements(tug_pg *db, const char *sql)
{
    TUG_AUTO(tug_pg_result) res = query(db, sql, TUG_NO_ARGS);
    tug_pg_array a;
    int32_t x = 0;
    int64_t sum = 0;
    bool is_null = false;
    assert_ok(tug_pg_result_array(res, 0, 0, &a));
    assert_int_equal(a.n, 6);
    assert_int_equal(a.element_type, 23);
    assert_int_equal(a.dimensions, 2);
    assert_int_equal(a.sizes[0], 2);
    assert_int_equal(a.sizes[1], 3);
    assert_int_equal(a.lower[0], 2);
    assert_int_equal(a.lower[1], -1);
    for (size_t i = 0; i < a.n; i++) {
        assert_ok(tug_pg_array_get(&a, i, TUG_NULLABLE(&x, &is_null)));
        assert_int_equal(is_null, i == 4);
        sum += x;
    }
    assert_int_equal(sum, 16);
    assert_ok(tug_pg_array_get(&a, 1, TUG_SLOT(&x)));
    assert_int_equal(x, 2);
    assert_rc(tug_pg_array_get(&a, 6, TUG_SLOT(&x)), TUG_ENOTFOUND);
    assert_detail_has("there is no element 6: the array has 6");
    assert_rc(tug_pg_array_get(&a, 4, TUG_SLOT(&x)), TUG_ENULL);
    assert_detail_has("row 0, column 1 \"a\"[4]: it is NULL");
    const char *text = NULL;
    assert_rc(tug_pg_array_get(&a, 0, TUG_SLOT(&text)), TUG_ETYPE);
    assert_detail_has("int4");
}

LIVE_TEST(arrays_are_read_element_by_element)
{
    tug_pg *db = help_open_small();
    check_elements(db, "select '[2:3][-1:1]={{1,2,3},{4,NULL,6}}'::int4[] as a");
    /* A range has no binary decoder: so both come as text. */
    check_elements(db, "select '[2:3][-1:1]={{1,2,3},{4,NULL,6}}'::int4[] as a, int4range(1, 2)");
    TUG_AUTO(tug_pg_result)
    res = query(db, "select null::text[], '{}'::text[], '{a,\"\",b c}'::text[], 5", TUG_NO_ARGS);
    tug_pg_array a;
    const char *text = NULL, *last = NULL;
    char copy[10];
    assert_rc(tug_pg_result_array(res, 0, 0, &a), TUG_ENULL);
    assert_rc(tug_pg_result_array(res, 0, 3, &a), TUG_ETYPE);
    assert_detail_has("int4 is no array");
    assert_rc(tug_pg_result_array(res, 1, 1, &a), TUG_ENOTFOUND);
    assert_rc(tug_pg_result_array(res, 0, 4, &a), TUG_EMISUSE);
    assert_ok(tug_pg_result_array(res, 0, 1, &a));
    assert_int_equal(a.n, 0);
    assert_int_equal(a.dimensions, 0);
    assert_ok(tug_pg_result_array(res, 0, 2, &a));
    /* Borrowed text ends with a 0, also where the server sent none. */
    assert_ok(tug_pg_array_get(&a, 0, TUG_SLOT(&text)));
    assert_ok(tug_pg_array_get(&a, 2, TUG_SLOT(&last)));
    assert_string_equal(text, "a");
    assert_string_equal(last, "b c");
    assert_ok(tug_pg_array_get(&a, 1, TUG_COPY(copy)));
    assert_string_equal(copy, "");
    tug_pg_close(db);
}

/* --- structs --------------------------------------------------------------------------------------- */

LIVE_TEST(structs_go_both_ways)
{
    tug_pg *db = help_open_small();
    struct tug_uuid uuid;
    struct tug_date day, never;
    struct tug_time_of_day time;
    struct tug_time_tz zoned;
    struct tug_interval interval;
    struct tug_decimal price;
    struct tug_inet net;
    struct tug_macaddr mac;
    static const char sql[] =
        "select $1::uuid, $2::date, '-infinity'::date, $3::time, $4::timetz, $5::interval, "
        "$6::numeric, $7::cidr, $8::macaddr8";
    assert_ok(tug_pg_query_one(
        db, sql,
        TUG_ARGS("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "2026-11-20", "12:45", "12:45+02:30",
                 "1 year -3 days 4 hours", "-12.50", "10.1.0.0/16", "08:00:2b:01:02:03:04:05"),
        TUG_OUT(&uuid, &day, &never, &time, &zoned, &interval, &price, &net, &mac)));
    assert_int_equal(uuid.bytes[0], 0xa0);
    assert_int_equal(uuid.bytes[15], 0x11);
    assert_int_equal(day.days, 20777);
    assert_int_equal(never.days, INT32_MIN);
    assert_int_equal(time.us, INT64_C(45900000000));
    assert_int_equal(zoned.us, time.us);
    assert_int_equal(zoned.offset, 9000);
    assert_int_equal(interval.months, 12);
    assert_int_equal(interval.days, -3);
    assert_int_equal(interval.us, INT64_C(14400000000));
    assert_int_equal(price.unscaled, -1250);
    assert_int_equal(price.scale, 2);
    assert_int_equal(net.family, 4);
    assert_int_equal(net.bits, 16);
    assert_int_equal(net.address[1], 1);
    assert_int_equal(mac.size, 8);
    /* And there again. */
    TUG_AUTO(tug_pg_result)
    res = query(db, sql, TUG_ARGS(uuid, day, time, zoned, interval, price, net, mac));
    char *text = NULL;
    static const char *const texts[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                        "2026-11-20",
                                        "-infinity",
                                        "12:45:00",
                                        "12:45:00+02:30",
                                        "1 year -3 days +04:00:00",
                                        "-12.50",
                                        "10.1.0.0/16",
                                        "08:00:2b:01:02:03:04:05"};
    for (size_t i = 0; i < 9; i++) {
        assert_ok(tug_pg_result_value(res, 0, i, TUG_DUP(&text)));
        assert_string_equal(text, texts[i]);
        free(text);
    }
    tug_pg_close(db);
}

LIVE_TEST(structs_are_checked)
{
    tug_pg *db = help_open_small();
    const struct tug_inet host = {4, 24, {192, 168, 1, 5}}, wrong = {5, 24, {0}};
    const struct tug_macaddr eight = {.size = 8}, seven = {.size = 7};
    check_text(db, "select $1::inet", TUG_ARGS(host), "192.168.1.5/24");
    check_fails(db, "select $1::cidr", TUG_ARGS(host), TUG_ERANGE,
                "parameter 1: 192.168.1.5/24 does not fit cidr");
    check_fails(db, "select $1::inet", TUG_ARGS(wrong), TUG_ERANGE, "family 5 and 24 bits");
    check_fails(db, "select $1::macaddr", TUG_ARGS(eight), TUG_ERANGE, "does not fit macaddr");
    check_fails(db, "select $1::macaddr8", TUG_ARGS(seven), TUG_ERANGE, "6 or 8 bytes, not 7");
    check_fails(db, "select $1::date", TUG_ARGS(((struct tug_date){INT32_MAX - 1})), TUG_ERANGE,
                "not between 4714-11-24 BC and 5874897-12-31");
    check_fails(db, "select $1::timetz", TUG_ARGS(((struct tug_time_tz){0, 57600})), TUG_ERANGE,
                "57600 seconds is beyond 15:59:59");
    check_fails(db, "select $1::numeric", TUG_ARGS(((struct tug_decimal){1, 20000})), TUG_ERANGE,
                "a scale of 20000");
    check_fails(db, "select $1::date", TUG_ARGS(((struct tug_uuid){{0}})), TUG_ETYPE,
                "parameter 1 wants date, not a UUID");
    struct tug_decimal decimal = {7, 7};
    assert_rc(tug_pg_query_one(db, "select 'NaN'::numeric", TUG_NO_ARGS, TUG_OUT(&decimal)),
              TUG_ERANGE);
    assert_detail_has("NaN does not fit a struct tug_decimal");
    assert_rc(tug_pg_query_one(db, "select 1e20", TUG_NO_ARGS, TUG_OUT(&decimal)), TUG_ERANGE);
    assert_int_equal(decimal.scale, 7);
    /* Zeros that do not fit are dropped. */
    assert_ok(tug_pg_query_one(db, "select 1.500000000000000000000000000000", TUG_NO_ARGS,
                               TUG_OUT(&decimal)));
    assert_int_equal(decimal.unscaled, 15);
    assert_int_equal(decimal.scale, 1);
    tug_pg_close(db);
}

/* --- types of the server's users ------------------------------------------------------------------- */

LIVE_TEST(enums_ranges_composites_and_domains_are_text)
{
    tug_pg *db = help_open_small();
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    static const char *const setup[] = {"create type pg_temp.mood as enum ('sad', 'ok')",
                                        "create type pg_temp.pair as (a int4, b text)",
                                        "create domain pg_temp.positive as int4 check (value > 0)"};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(tug_pg_exec(session, setup[i], TUG_NO_ARGS, NULL));
    }
    check_text(session, "select $1::pg_temp.mood", TUG_ARGS("sad"), "sad");
    check_text(session, "select $1::pg_temp.pair", TUG_ARGS("(1,\"x y\")"), "(1,\"x y\")");
    check_text(session, "select $1::int4range", TUG_ARGS("[1,5]"), "[1,6)");
    check_text(session, "select $1::pg_temp.positive", TUG_ARGS(7), "7");
    int x = 0;
    assert_ok(tug_pg_query_one(session, "select 7::pg_temp.positive", TUG_NO_ARGS, TUG_OUT(&x)));
    assert_int_equal(x, 7);
    const char *const moods[] = {"ok", NULL, "sad"};
    check_text(session, "select $1::pg_temp.mood[]", TUG_ARGS(TUG_ARRAY(moods, 3)),
               "{ok,NULL,sad}");
    check_text(session, "select $1::pg_temp.mood = any($2)", TUG_ARGS("ok", TUG_ARRAY(moods, 3)),
               "t");
    check_fails(session, "select $1::pg_temp.mood", TUG_ARGS("glad"), TUG_ESERVER, "22P02");
    tug_pg_close(session);
    tug_pg_close(db);
}

/* --- text ------------------------------------------------------------------------------------------ */

/* The range makes the server send all of it as text. */
static const char STYLED[] = "select timestamptz '2024-05-06 07:08:09.5+00', date '2024-05-06', "
                             "interval '1 year 2 days -3.25 seconds', int4range(1, 5)";

static void check_styled(const tug_pg_result *res)
{
    struct tug_timestamp at;
    struct tug_date day;
    struct tug_interval span;
    char range[20];
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&at, &day, &span, TUG_COPY(range))));
    assert_int_equal(at.us, INT64_C(1714979289500000));
    assert_int_equal(day.days, 19849);
    assert_int_equal(span.months, 12);
    assert_int_equal(span.days, 2);
    assert_int_equal(span.us, -3250000);
    assert_string_equal(range, "[1,5)");
}

static void check_styles_on(tug_pg *on)
{
    TUG_AUTO(tug_pg_result) res = query(on, STYLED, TUG_NO_ARGS);
    TUG_AUTO(tug_pg_results) results = NULL;
    check_styled(res);
    assert_ok(tug_pg_script(on, STYLED, &results));
    check_styled(tug_pg_results_at(results, 0));
    check_text(on, "select to_char(timestamp '2024-05-06', 'DD') || date '2024-05-06'", TUG_NO_ARGS,
               "062024-05-06");
}

/* What the role has by default does not matter: at the login, behind a reset; and the program may choose. */
LIVE_TEST(styles_of_text_are_not_the_roles)
{
    TUG_AUTO(tug_pg) admin = help_open_small();
    struct role r = create_role(admin, "login");
    role_sql(&r, "alter role @ set datestyle = 'German, DMY'");
    role_sql(&r, "alter role @ set intervalstyle = 'iso_8601'");
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = o.pool_max = 1;
    tug_pg *db = NULL, *session = NULL;
    assert_ok(tug_pg_open(r.url, &o, &db));
    check_styles_on(db);
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    check_styles_on(session);
    assert_ok(tug_pg_exec(session, "set datestyle = 'SQL'", TUG_NO_ARGS, NULL));
    check_text(session, "select '' || date '2024-05-06'", TUG_NO_ARGS, "06/05/2024");
    tug_pg_close(session);
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    check_styles_on(session);
    tug_pg_close(session);
    tug_pg_close(db);
    o.after_connect = "set datestyle = 'Postgres'";
    assert_ok(tug_pg_open(r.url, &o, &db));
    check_text(db, "select '' || date '2024-05-06'", TUG_NO_ARGS, "06-05-2024");
    tug_pg_close(db);
    drop_role(&r);
}

LIVE_TEST(what_is_not_utf8_is_not_sent)
{
    tug_pg *db = help_open_small();
    check_fails(db, "select $1::text, $2::text", TUG_ARGS("good", "\xed\xa0\x80"), TUG_EINVAL,
                "parameter 2: the text is not UTF-8: 0xed at byte 0");
    check_fails(db, "select $1::text", TUG_ARGS(tug_text_n("a\0b", 3)), TUG_EINVAL,
                "parameter 1: the text has a zero byte at byte 1");
    check_fails(db, "select $1::jsonb", TUG_ARGS(tug_blob(tug_bytes("\"\x80\"", 3))), TUG_EINVAL,
                "parameter 1: the text is not UTF-8: 0x80 at byte 1");
    check_text(db, "select current_setting('client_encoding')", TUG_NO_ARGS, "UTF8");
    tug_pg_close(db);
}

/* "ä" would be stored as two characters, and one that was read would be no UTF-8. */
LIVE_TEST(a_session_that_speaks_another_encoding_is_refused)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select 1"), 1);
    assert_ok(tug_pg_exec(session, "set client_encoding = 'latin1'", TUG_NO_ARGS, NULL));
    check_fails(session, "select length($1::text)", TUG_ARGS("\xc3\xa4"), TUG_EMISUSE,
                "client_encoding of this session is LATIN1");
    check_fails(session, "select 1", TUG_NO_ARGS, TUG_EMISUSE, "reset it first");
    assert_ok(tug_pg_exec(session, "reset client_encoding", TUG_NO_ARGS, NULL));
    assert_int_equal(help_int(session, "select length('\xc3\xa4')"), 1);
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "set names 'latin1'", TUG_NO_ARGS, NULL));
    check_fails(tx, "select 1", TUG_NO_ARGS, TUG_EMISUSE, "LATIN1");
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(help_int(session, "select length('\xc3\xa4')"), 1);
}

/* --- bounds ---------------------------------------------------------------------------------------- */

LIVE_TEST(one_large_value_and_many_small_rows_are_bounded_alike)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_result_bytes = 1 << 20;
    tug_pg *db = help_open(&o);
    tug_pg_result *res = NULL;
    int64_t n = 0;
    assert_rc(tug_pg_query(db, "select repeat('x', 50000000)", TUG_NO_ARGS, &res), TUG_ELIMIT);
    assert_detail_has("max_result_bytes (1048576)");
    assert_rc(tug_pg_query(db, "select g from generate_series(1, 1000000) g", TUG_NO_ARGS, &res),
              TUG_ELIMIT);
    assert_rc(tug_pg_query(db, "select array_agg(g) from generate_series(1, 1000000) g",
                           TUG_NO_ARGS, &res),
              TUG_ELIMIT);
    assert_ok(tug_pg_query_one(db, "select length(repeat('x', 500000))", TUG_NO_ARGS, TUG_OUT(&n)));
    assert_int_equal(n, 500000);
    tug_pg_close(db);
}

/* The buffer that arrays are encoded in is used again, and given back after a large one. */
LIVE_TEST(large_arrays_and_small_ones_take_turns)
{
    enum {
        N = 200000
    };
    tug_pg *db = help_open_small();
    int64_t *large = calloc(N, sizeof *large);
    const int small[] = {1, 2};
    assert_non_null(large);
    for (int i = 0; i < N; i++) {
        large[i] = i;
    }
    for (int i = 0; i < 3; i++) {
        int64_t sum = 0, n = 0, m = 0;
        assert_ok(tug_pg_query_one(
            db,
            "select sum(x)::int8, cardinality($2::int4[]), cardinality($3::text[]) from unnest($1::int8[]) x",
            TUG_ARGS(TUG_ARRAY(large, N), TUG_ARRAY(small, 2), TUG_ARRAY(small, 0)),
            TUG_OUT(&sum, &n, &m)));
        assert_int_equal(sum, (int64_t)N * (N - 1) / 2);
        assert_int_equal(n, 2);
        assert_int_equal(m, 0);
        check_text(db, "select $1::int4[]", TUG_ARGS(TUG_ARRAY(small, 2)), "{1,2}");
    }
    free(large);
    tug_pg_close(db);
}
