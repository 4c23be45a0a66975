#include "value.h"

#include "calendar.h"
#include "check.h"
#include "copyrow.h"
#include "number.h"
#include "pg_cells.h"
#include "utf8.h"

#include <math.h>
#include <tug/testing.h>

/* --- one parameter --------------------------------------------------------------------------------- */

typedef struct encoded {
    tug__pg_args args;
    tug__pg_params params;
} encoded;

static int encode(encoded *e, tug_value v, Oid type)
{
    memset(e, 0, sizeof *e);
    int rc = tug__pg_args_copy(&e->args, (tug_args){&v, 1});
    return rc < 0 ? rc : tug__pg_args_encode(&e->args, &type, 1, &e->params);
}

static void release(encoded *e)
{
    tug__pg_args_free(&e->args);
    tug__pg_params_free(&e->params);
}

static void check_binary(tug_value v, Oid type, const char *bytes, int size)
{
    encoded e;
    assert_ok(encode(&e, v, type));
    assert_int_equal(e.params.n, 1);
    assert_int_equal(e.params.formats[0], 1);
    assert_int_equal(e.params.lengths[0], size);
    assert_memory_equal(e.params.values[0], bytes, (size_t)size);
    release(&e);
}
#define CHECK_BINARY(v, type, bytes) check_binary(v, type, bytes, (int)sizeof(bytes) - 1)

static void check_text(tug_value v, Oid type, const char *text)
{
    encoded e;
    assert_ok(encode(&e, v, type));
    assert_int_equal(e.params.formats[0], 0);
    assert_string_equal(e.params.values[0], text);
    release(&e);
}

static void check_fails(tug_value v, Oid type, int code, const char *detail)
{
    encoded e;
    assert_rc(encode(&e, v, type), code);
    assert_detail_has(detail);
    release(&e);
}

static tug_value at(int64_t us)
{
    return tug_timestamp_value((struct tug_timestamp){us});
}

TEST(integers_are_range_checked_at_both_ends)
{
    CHECK_BINARY(tug_int64(INT16_MIN), TUG__PG_INT2, "\x80\x00");
    CHECK_BINARY(tug_int64(INT16_MAX), TUG__PG_INT2, "\x7f\xff");
    check_fails(tug_int64(INT16_MIN - 1), TUG__PG_INT2, TUG_ERANGE, "-32769 does not fit int2");
    check_fails(tug_int64(INT16_MAX + 1), TUG__PG_INT2, TUG_ERANGE, "32768");
    CHECK_BINARY(tug_int64(INT32_MIN), TUG__PG_INT4, "\x80\x00\x00\x00");
    CHECK_BINARY(tug_int64(INT32_MAX), TUG__PG_INT4, "\x7f\xff\xff\xff");
    CHECK_BINARY(tug_uint64(7), TUG__PG_INT4, "\0\0\0\x07");
    check_fails(tug_int64(INT64_C(1) << 31), TUG__PG_INT4, TUG_ERANGE, "parameter 1: 2147483648");
    check_fails(tug_int64(INT64_C(-2147483649)), TUG__PG_INT4, TUG_ERANGE, "int4");
    CHECK_BINARY(tug_int64(INT64_MIN), TUG__PG_INT8, "\x80\0\0\0\0\0\0\0");
    CHECK_BINARY(tug_uint64(INT64_MAX), TUG__PG_INT8, "\x7f\xff\xff\xff\xff\xff\xff\xff");
    check_fails(tug_uint64(UINT64_C(1) << 63), TUG__PG_INT8, TUG_ERANGE, "9223372036854775808");
    CHECK_BINARY(tug_int64(UINT32_MAX), TUG__PG_OID, "\xff\xff\xff\xff");
    check_fails(tug_int64(-1), TUG__PG_OID, TUG_ERANGE, "-1 does not fit oid");
    check_fails(tug_int64(INT64_C(1) << 32), TUG__PG_OID, TUG_ERANGE, "4294967296");
}

TEST(bool_takes_bool_and_the_integers_0_and_1)
{
    CHECK_BINARY(tug_bool(true), TUG__PG_BOOL, "\x01");
    CHECK_BINARY(tug_bool(false), TUG__PG_BOOL, "\0");
    CHECK_BINARY(tug_int64(1), TUG__PG_BOOL, "\x01");
    CHECK_BINARY(tug_uint64(0), TUG__PG_BOOL, "\0");
    check_fails(tug_int64(2), TUG__PG_BOOL, TUG_ERANGE, "2 does not fit bool");
    check_fails(tug_int64(-1), TUG__PG_BOOL, TUG_ERANGE, "-1");
    check_fails(tug_double(1), TUG__PG_BOOL, TUG_ETYPE, "parameter 1 wants bool, not a double");
}

TEST(floats_take_doubles_and_integers_that_are_hit)
{
    CHECK_BINARY(tug_double(-0.0), TUG__PG_FLOAT8, "\x80\0\0\0\0\0\0\0");
    CHECK_BINARY(tug_double(1e308), TUG__PG_FLOAT8, "\x7f\xe1\xcc\xf3\x85\xeb\xc8\xa0");
    CHECK_BINARY(tug_int64(INT64_C(1) << 53), TUG__PG_FLOAT8, "\x43\x40\0\0\0\0\0\0");
    check_fails(tug_int64((INT64_C(1) << 53) + 1), TUG__PG_FLOAT8, TUG_ERANGE, "9007199254740993");
    check_fails(tug_int64(INT64_MAX), TUG__PG_FLOAT8, TUG_ERANGE, "float8");
    CHECK_BINARY(tug_int64(INT64_MIN), TUG__PG_FLOAT8, "\xc3\xe0\0\0\0\0\0\0");
    CHECK_BINARY(tug_uint64(UINT64_C(1) << 63), TUG__PG_FLOAT8, "\x43\xe0\0\0\0\0\0\0");
    check_fails(tug_uint64(UINT64_MAX), TUG__PG_FLOAT8, TUG_ERANGE, "18446744073709551615");
    CHECK_BINARY(tug_double(0.1), TUG__PG_FLOAT4, "\x3d\xcc\xcc\xcd");
    CHECK_BINARY(tug_double(INFINITY), TUG__PG_FLOAT4, "\x7f\x80\0\0");
    CHECK_BINARY(tug_double(0), TUG__PG_FLOAT4, "\0\0\0\0");
    check_fails(tug_double(1e308), TUG__PG_FLOAT4, TUG_ERANGE, "1e+308 does not fit float4");
    check_fails(tug_double(1e-300), TUG__PG_FLOAT4, TUG_ERANGE, "1e-300");
    check_fails(tug_int64((1 << 24) + 1), TUG__PG_FLOAT4, TUG_ERANGE, "16777217");
    CHECK_BINARY(tug_int64(1 << 24), TUG__PG_FLOAT4, "\x4b\x80\0\0");
    check_fails(tug_bool(true), TUG__PG_FLOAT8, TUG_ETYPE, "not a bool");
    encoded e;
    assert_ok(encode(&e, tug_double(NAN), TUG__PG_FLOAT8));
    assert_int_equal(e.params.values[0][0] & 0x7f, 0x7f);
    release(&e);
}

TEST(numeric_takes_numbers_as_text)
{
    check_text(tug_int64(INT64_MIN), TUG__PG_NUMERIC, "-9223372036854775808");
    check_text(tug_uint64(UINT64_MAX), TUG__PG_NUMERIC, "18446744073709551615");
    check_text(tug_double(0.1), TUG__PG_NUMERIC, "0.1");
    check_text(tug_double(1e308), TUG__PG_NUMERIC, "1e+308");
    check_text(tug_double(NAN), TUG__PG_NUMERIC, "NaN");
    check_text(tug_double(-INFINITY), TUG__PG_NUMERIC, "-Infinity");
    check_text(tug_text("0.00010"), TUG__PG_NUMERIC, "0.00010");
    check_fails(tug_bool(true), TUG__PG_NUMERIC, TUG_ETYPE, "numeric");
}

TEST(text_goes_anywhere_binary_only_into_text)
{
    static const Oid family[] = {TUG__PG_TEXT, TUG__PG_VARCHAR, TUG__PG_BPCHAR,
                                 TUG__PG_NAME, TUG__PG_UNKNOWN, TUG__PG_JSON};
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        CHECK_BINARY(tug_text("\xf0\x9f\x90\x98 ok"), family[i], "\xf0\x9f\x90\x98 ok");
        CHECK_BINARY(tug_text(""), family[i], "");
        CHECK_BINARY(tug_text_n("abcdef", 3), family[i], "abc");
        CHECK_BINARY(tug_blob(tug_bytes("xyz", 3)), family[i], "xyz");
        check_fails(tug_int64(1), family[i], TUG_ETYPE, "not an integer");
        check_fails(at(0), family[i], TUG_ETYPE, "not a timestamp");
    }
    check_text(tug_text_n("42 and more", 2), TUG__PG_INT4, "42");
    check_text(tug_text("a"), TUG__PG_CHAR, "a");
    check_text(tug_text("{}"), TUG__PG_JSONB, "{}");
    check_text(tug_blob(tug_bytes("[1]2", 3)), TUG__PG_JSONB, "[1]");
    check_text(tug_text("\\x00ff"), TUG__PG_BYTEA, "\\x00ff");
    check_text(tug_text("1 day"), 1186, "1 day");
}

TEST(uuid_is_packed_if_it_is_in_the_usual_form)
{
    CHECK_BINARY(tug_text("A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11"), TUG__PG_UUID,
                 "\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11");
    check_text(tug_text("{a0eebc999c0b4ef8bb6d6bb9bd380a11}"), TUG__PG_UUID,
               "{a0eebc999c0b4ef8bb6d6bb9bd380a11}");
    check_text(tug_text("a0eebc99x9c0b-4ef8-bb6d-6bb9bd380a11"), TUG__PG_UUID,
               "a0eebc99x9c0b-4ef8-bb6d-6bb9bd380a11");
    check_text(tug_text("g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), TUG__PG_UUID,
               "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    check_fails(tug_blob(tug_bytes("0123456789abcdef", 16)), TUG__PG_UUID, TUG_ETYPE,
                "parameter 1 wants uuid, not bytes");
}

TEST(bytes_go_into_bytea_and_text_only)
{
    CHECK_BINARY(tug_blob(tug_bytes("\0\xff\0", 3)), TUG__PG_BYTEA, "\0\xff\0");
    CHECK_BINARY(tug_blob(tug_bytes(NULL, 0)), TUG__PG_BYTEA, "");
    check_fails(tug_blob(tug_bytes("x", 1)), TUG__PG_INT4, TUG_ETYPE, "int4");
    check_fails(tug_blob(tug_bytes("x", 1)), 12345, TUG_ETYPE, "the type with OID 12345");
    check_fails(tug_blob(tug_bytes("\xff", 1)), TUG__PG_TEXT, TUG_EINVAL, "0xff at byte 0");
    check_fails(tug_blob(tug_bytes(NULL, 4)), TUG__PG_BYTEA, TUG_EINVAL, "4 bytes at NULL");
}

TEST(times_count_from_2000)
{
    CHECK_BINARY(at(TUG__PG_EPOCH_US), TUG__PG_TIMESTAMPTZ, "\0\0\0\0\0\0\0\0");
    CHECK_BINARY(at(TUG__PG_EPOCH_US - 1), TUG__PG_TIMESTAMP, "\xff\xff\xff\xff\xff\xff\xff\xff");
    CHECK_BINARY(at(INT64_MAX), TUG__PG_TIMESTAMPTZ, "\x7f\xff\xff\xff\xff\xff\xff\xff");
    CHECK_BINARY(at(INT64_MIN), TUG__PG_TIMESTAMPTZ, "\x80\0\0\0\0\0\0\0");
    CHECK_BINARY(at(0), TUG__PG_DATE, "\xff\xff\xd5\x33");
    CHECK_BINARY(at(TUG__PG_EPOCH_US + TUG__PG_DAY_US - 1), TUG__PG_DATE, "\0\0\0\0");
    CHECK_BINARY(at(TUG__PG_EPOCH_US - 1), TUG__PG_DATE, "\xff\xff\xff\xff");
    CHECK_BINARY(at(INT64_MAX), TUG__PG_DATE, "\x7f\xff\xff\xff");
    CHECK_BINARY(at(INT64_MIN), TUG__PG_DATE, "\x80\0\0\0");
    CHECK_BINARY(at(TUG__PG_TIME_MIN), TUG__PG_DATE, "\xff\xda\x97\xa7");
    check_fails(at(TUG__PG_TIME_MIN - 1), TUG__PG_TIMESTAMPTZ, TUG_ERANGE, "4714-11-24 BC");
    check_fails(tug_int64(0), TUG__PG_TIMESTAMPTZ, TUG_ETYPE, "timestamptz");
    check_fails(at(0), TUG__PG_INT8, TUG_ETYPE, "not a timestamp");
}

TEST(types_not_known_by_heart_get_text)
{
    check_text(tug_int64(-5), 790, "-5");
    check_text(tug_uint64(5), 12345, "5");
    check_text(tug_double(2.5), 12345, "2.5");
    check_text(tug_bool(true), 12345, "t");
    check_text(tug_bool(false), 12345, "f");
    check_text(at(0), 12345, "1970-01-01 00:00:00+00");
}

TEST(null_goes_anywhere)
{
    static const Oid types[] = {TUG__PG_BOOL, TUG__PG_INT4, TUG__PG_TEXT, TUG__PG_BYTEA, 12345};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        encoded e;
        assert_ok(encode(&e, i % 2 == 0 ? tug_null() : tug_text(NULL), types[i]));
        assert_null(e.params.values[0]);
        assert_int_equal(e.params.lengths[0], 0);
        release(&e);
    }
}

/* --- text that is none ----------------------------------------------------------------------------- */

TEST(text_that_is_not_utf8_is_refused)
{
    static const struct {
        const char *text;
        size_t bad;
    } cases[] = {
        {"\x80", 0},
        {"ab\xc3", 2},
        {"\xc0\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0}, /* a surrogate */
        {"\xed\xbf\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xfe", 0},
        {"12345678\xff", 8},
        {"1234567\xe2\x82", 7},
        {"\xe2\x28\xa1", 0},
        {"\xc3\x28", 0},
        {"\xf0\x9f\x90\x28", 0},
        {"\xe2\x82\x28", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char detail[64];
        snprintf(detail, sizeof detail, "0x%02x at byte %zu",
                 (unsigned char)cases[i].text[cases[i].bad], cases[i].bad);
        check_fails(tug_text(cases[i].text), TUG__PG_TEXT, TUG_EINVAL, detail);
        check_fails(tug_text(cases[i].text), TUG__PG_INT4, TUG_EINVAL, "parameter 1");
    }
}

TEST(text_of_every_length_of_sequence_is_taken)
{
    CHECK_BINARY(tug_text("\x7f\xc2\x80\xdf\xbf"), TUG__PG_TEXT, "\x7f\xc2\x80\xdf\xbf");
    CHECK_BINARY(tug_text("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), TUG__PG_TEXT,
                 "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf");
    CHECK_BINARY(tug_text("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), TUG__PG_TEXT,
                 "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

TEST(zero_bytes_in_text_are_found_at_every_place)
{
    char text[40];
    for (size_t size = 1; size <= sizeof text; size++) {
        for (size_t zero = 0; zero < size; zero++) {
            memset(text, zero % 2 == 0 ? 'a' : 1, size);
            text[zero] = 0;
            assert_int_equal(tug__pg_utf8_good(text, size), zero);
        }
        memset(text, 1, size);
        assert_int_equal(tug__pg_utf8_good(text, size), size);
    }
    check_fails(tug_text_n("abc\0d", 5), TUG__PG_TEXT, TUG_EINVAL, "zero byte at byte 3");
}

/* --- lists ----------------------------------------------------------------------------------------- */

TEST(small_lists_need_no_allocation)
{
    tug_value values[TUG__PG_ARGS_INLINE];
    Oid types[TUG__PG_ARGS_INLINE];
    static const char text[] =
        "0123456789012345678901234567890"; /* 31, with its 0 32: 256 in all */
    for (size_t i = 0; i < TUG__PG_ARGS_INLINE; i++) {
        values[i] = tug_text(text);
        types[i] = TUG__PG_TEXT;
    }
    tug__pg_args args;
    tug__pg_params params = {0};
    size_t before = tug_test_live_allocations();
    assert_ok(tug__pg_args_copy(&args, (tug_args){values, TUG__PG_ARGS_INLINE}));
    assert_int_equal(tug_test_live_allocations(), before);
    assert_null(args.heap);
    assert_ok(tug__pg_args_encode(&args, types, TUG__PG_ARGS_INLINE, &params));
    /* The arrays of the connection are made once. */
    size_t made = tug_test_live_allocations();
    void *block = params.block;
    assert_ok(tug__pg_args_encode(&args, types, TUG__PG_ARGS_INLINE, &params));
    assert_int_equal(tug_test_live_allocations(), made);
    assert_ptr_equal(params.block, block);
    /* Sent from where the copy keeps it. */
    assert_ptr_equal(params.values[3], args.args.values[3].u.bytes.data);
    tug__pg_args_free(&args);
    values[0] = tug_text("01234567890123456789012345678901");
    assert_ok(tug__pg_args_copy(&args, (tug_args){values, TUG__PG_ARGS_INLINE}));
    assert_non_null(args.heap);
    tug__pg_args_free(&args);
    tug__pg_params_free(&params);
    assert_int_equal(tug_test_live_allocations(), before);
}

TEST(the_copy_outlives_what_was_copied)
{
    tug_value values[40];
    char text[40][40];
    Oid types[40];
    for (int i = 0; i < 40; i++) {
        snprintf(text[i], sizeof text[i], "value number %d", i);
        values[i] = i % 3 == 2 ? tug_int64(i) : tug_text(text[i]);
        types[i] = i % 3 == 2 ? TUG__PG_INT4 : TUG__PG_TEXT;
    }
    tug__pg_args args;
    tug__pg_params params = {0};
    assert_ok(tug__pg_args_copy(&args, (tug_args){values, 40}));
    memset(values, 0xff, sizeof values);
    memset(text, 'x', sizeof text);
    assert_ok(tug__pg_args_encode(&args, types, 40, &params));
    for (int i = 0; i < 40; i++) {
        char expected[40];
        snprintf(expected, sizeof expected, "value number %d", i);
        if (i % 3 == 2) {
            assert_int_equal(params.values[i][3], i);
        } else {
            assert_int_equal(params.lengths[i], strlen(expected));
            assert_memory_equal(params.values[i], expected, strlen(expected) + 1);
        }
    }
    tug__pg_args_free(&args);
    tug__pg_args_free(&args);
    tug__pg_params_free(&params);
}

TEST(lists_of_the_wrong_size_are_refused)
{
    tug__pg_args args;
    tug__pg_params params = {0};
    const Oid types[] = {TUG__PG_INT4, TUG__PG_INT4};
    assert_ok(tug__pg_args_copy(&args, TUG_ARGS(1, 2, 3)));
    assert_rc(tug__pg_args_encode(&args, types, 2, &params), TUG_EMISUSE);
    assert_detail_has("the statement has 2 parameters, 3 arguments were given");
    tug__pg_args_free(&args);
    assert_ok(tug__pg_args_copy(&args, TUG_NO_ARGS));
    assert_rc(tug__pg_args_encode(&args, types, 1, &params), TUG_EMISUSE);
    assert_detail_has("1 parameter, 0 arguments");
    assert_ok(tug__pg_args_encode(&args, NULL, 0, &params));
    assert_int_equal(params.n, 0);
    assert_rc(tug__pg_args_copy(&args, (tug_args){NULL, 1}), TUG_EINVAL);
    assert_rc(tug__pg_args_copy(&args, (tug_args){NULL, TUG__PG_PARAMS_MAX + 1}), TUG_ELIMIT);
    tug_value wrong = {.type = 99};
    assert_rc(tug__pg_args_copy(&args, (tug_args){&wrong, 1}), TUG_EINVAL);
    tug_value huge = tug_text_n("x", TUG__PG_VALUE_MAX + 1);
    assert_rc(tug__pg_args_copy(&args, (tug_args){&huge, 1}), TUG_ELIMIT);
    tug__pg_args_free(&args);
    tug__pg_params_free(&params);
}

TEST(the_error_names_the_parameter)
{
    tug__pg_args args;
    tug__pg_params params = {0};
    const Oid types[] = {TUG__PG_TEXT, TUG__PG_INT2, TUG__PG_BOOL};
    assert_ok(tug__pg_args_copy(&args, TUG_ARGS("a", 70000, true)));
    assert_rc(tug__pg_args_encode(&args, types, 3, &params), TUG_ERANGE);
    assert_detail_has("parameter 2: 70000 does not fit int2");
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug__pg_args_free(&args);
    tug__pg_params_free(&params);
}

/* --- COPY ------------------------------------------------------------------------------------------ */

static void check_row(tug_args row, const char *expected)
{
    tug__pg_bytes out = {0};
    assert_ok(tug__pg_copy_row(&out, row));
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.data, expected, out.size);
    tug__pg_bytes_free(&out);
}

TEST(copy_rows_are_escaped)
{
    check_row(TUG_ARGS("a\tb\nc\rd\\e", 1), "a\\tb\\nc\\rd\\\\e\t1\n");
    check_row(TUG_ARGS("", tug_null(), (const char *)NULL), "\t\\N\t\\N\n");
    check_row(TUG_ARGS("\\N"), "\\\\N\n");
    check_row(TUG_ARGS("\\."), "\\\\.\n");
    check_row(TUG_ARGS(tug_bytes("\0\x01\xab\xff", 4)), "\\\\x0001abff\n");
    check_row(TUG_ARGS(tug_bytes(NULL, 0)), "\\\\x\n");
    check_row(TUG_ARGS(tug_bool(true), tug_bool(false)), "t\tf\n");
    check_row(TUG_ARGS(INT64_MIN, UINT64_MAX), "-9223372036854775808\t18446744073709551615\n");
    check_row(TUG_ARGS(0.1, -0.0, 1e308, 5e-324), "0.1\t-0\t1e+308\t5e-324\n");
    check_row(TUG_ARGS(NAN, INFINITY, -INFINITY), "NaN\tInfinity\t-Infinity\n");
    check_row(TUG_ARGS(at(0), at(INT64_MAX), at(INT64_MIN), at(-1)),
              "1970-01-01 00:00:00+00\tinfinity\t-infinity\t1969-12-31 23:59:59.999999+00\n");
    check_row(TUG_ARGS("\xf0\x9f\x90\x98\b\f\v"), "\xf0\x9f\x90\x98\b\f\v\n");
}

TEST(a_bad_row_leaves_the_bytes_as_they_were)
{
    tug__pg_bytes out = {0};
    assert_ok(tug__pg_copy_row(&out, TUG_ARGS("first", 1)));
    size_t size = out.size;
    assert_rc(tug__pg_copy_row(&out, TUG_ARGS("good", 2, "\xff")), TUG_EINVAL);
    assert_detail_has("column 3: the text is not UTF-8");
    assert_int_equal(out.size, size);
    assert_rc(tug__pg_copy_row(&out, TUG_ARGS(tug_text_n("a\0b", 3))), TUG_EINVAL);
    assert_detail_has("column 1: the text has a zero byte at byte 1");
    assert_rc(tug__pg_copy_row(&out, TUG_ARGS(at(TUG__PG_TIME_MIN - 1))), TUG_ERANGE);
    assert_rc(tug__pg_copy_row(&out, TUG_NO_ARGS), TUG_EINVAL);
    assert_int_equal(out.size, size);
    assert_ok(tug__pg_copy_row(&out, TUG_ARGS("second", 2)));
    assert_memory_equal(out.data, "first\t1\nsecond\t2\n", out.size);
    tug__pg_bytes_clear(&out);
    assert_int_equal(out.size, 0);
    tug__pg_bytes_free(&out);
}

TEST(copy_buffers_grow)
{
    tug__pg_bytes out = {0};
    char *text = malloc(100000);
    assert_non_null(text);
    memset(text, '\n', 100000);
    for (int i = 0; i < 20; i++) {
        assert_ok(tug__pg_copy_row(&out, TUG_ARGS(tug_text_n(text, 100000), i)));
    }
    assert_true(out.size > 20 * 200000);
    assert_memory_equal(out.data + out.size - 4, "\t19\n", 4);
    free(text);
    tug__pg_bytes_free(&out);
}

/* --- numbers as text ------------------------------------------------------------------------------- */

TEST(doubles_are_printed_as_postgresql_prints_them)
{
    TEST_NOT_UNDER_VALGRIND(); /* it has 64 bits for what strtod computes in 80 */
    static const struct {
        double x;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {123456.789, "123456.789"},
        {1e14, "100000000000000"},
        {1e15, "1e+15"},
        {123456789012345680, "1.2345678901234568e+17"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {0.00012345, "0.00012345"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740993.0, "9.007199254740992e+15"},
        /* Powers of two: the nearest 16 digits lie too far below, the next ones are good. */
        {0x1p-509, "5.966672584960166e-154"},
        {0x1p275, "6.070840288205404e+82"},
        /* Half-way between two doubles is not good enough. */
        {41709082967824704.0, "4.1709082967824704e+16"},
        /* Too near to the middle for 64 bits to tell. */
        {-5.94315593719205e-259, "-5.94315593719205e-259"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_text(tug_double(cases[i].x), TUG__PG_NUMERIC, cases[i].text);
    }
    static const struct {
        float x;
        const char *text;
    } floats[] = {{0.1F, "0.1"},
                  {999999, "999999"},
                  {1e6F, "1e+06"},
                  {-124567424, "-1.24567424e+08"},
                  {16777216, "1.6777216e+07"},
                  {1e-45F, "1e-45"},
                  {3.4028235e38F, "3.4028235e+38"}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        char text[TUG__PG_NUMBER_TEXT];
        assert_int_equal(tug__pg_float_text(floats[i].x, text), strlen(floats[i].text));
        assert_string_equal(text, floats[i].text);
    }
}

/* --- there and back -------------------------------------------------------------------------------- */

/* What was encoded comes back as a value of a result. */
static tug_pg_result *round_trip(encoded *e, tug_value v, Oid type)
{
    assert_ok(encode(e, v, type));
    return cells_one(type, e->params.formats[0], e->params.values[0],
                     e->params.formats[0] == 1 ? e->params.lengths[0]
                                               : (int)strlen(e->params.values[0]));
}

static void trip_int(uint64_t r, Oid type, unsigned bits)
{
    encoded e;
    int64_t x = (int64_t)(r << (64 - bits)) >> (64 - bits), back = 0;
    tug_pg_result *res = round_trip(&e, tug_int64(x), type);
    assert_ok(tug_pg_result_int64(res, 0, 0, &back));
    assert_true(back == x);
    tug_pg_result_unref(res);
    release(&e);
}

static void trip_double(uint64_t r, Oid type)
{
    encoded e;
    double x, back = 0;
    memcpy(&x, &r, sizeof x);
    if (type == TUG__PG_FLOAT4) {
        uint32_t bits = (uint32_t)r;
        float f;
        memcpy(&f, &bits, sizeof f);
        x = (double)f;
    }
    tug_pg_result *res = round_trip(&e, tug_double(x), type);
    assert_ok(tug_pg_result_double(res, 0, 0, &back));
    assert_true(isnan(x) ? isnan(back) : back == x && signbit(back) == signbit(x));
    tug_pg_result_unref(res);
    release(&e);
}

static void trip_time(uint64_t r, Oid type)
{
    encoded e;
    struct tug_timestamp back = {0};
    int64_t us = (int64_t)r;
    us = us < TUG__PG_TIME_MIN ? -(us + 1) : us;
    tug_pg_result *res = round_trip(&e, at(us), type);
    assert_ok(tug_pg_result_timestamp(res, 0, 0, &back));
    int64_t day = us - ((us % TUG__PG_DAY_US) + TUG__PG_DAY_US) % TUG__PG_DAY_US;
    assert_true(back.us == (type == TUG__PG_DATE ? day : us));
    tug_pg_result_unref(res);
    /* Its text reads as the same instant. */
    char text[TUG__PG_TIME_TEXT];
    size_t size = type == TUG__PG_DATE
                      ? tug__pg_date_text((int32_t)(day / TUG__PG_DAY_US), text)
                      : tug__pg_timestamp_text(us, type == TUG__PG_TIMESTAMPTZ, text);
    int64_t parsed = 0;
    assert_true(tug__pg_time_parse(text, size, &parsed));
    assert_true(parsed == back.us);
    release(&e);
}

static void trip_bytes(uint64_t r, uint64_t *seed)
{
    encoded e;
    unsigned char bytes[64];
    struct tug_bytes back = {0};
    size_t size = r % sizeof bytes;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)cells_random(seed);
    }
    tug_pg_result *res = round_trip(&e, tug_blob(tug_bytes(bytes, size)), TUG__PG_BYTEA);
    assert_ok(tug_pg_result_bytes(res, 0, 0, &back));
    assert_int_equal(back.size, size);
    assert_memory_equal(back.data, bytes, size);
    tug_pg_result_unref(res);
    release(&e);
}

/* One code point, not a surrogate, as UTF-8. */
static size_t put_utf8(uint32_t c, char *to)
{
    c = c % 0x10ffff + 1;
    c = c >= 0xd800 && c <= 0xdfff ? 'x' : c;
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        to[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    to[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

static void trip_text(uint64_t r, uint64_t *seed)
{
    encoded e;
    char text[32 * 4 + 1];
    size_t size = 0;
    for (uint64_t i = r % 32; i > 0; i--) {
        uint64_t c = cells_random(seed);
        size += put_utf8((uint32_t)(c >> (32 + c % 24)), text + size);
    }
    text[size] = 0;
    const char *back = NULL;
    tug_pg_result *res = round_trip(&e, tug_text_n(text, size), TUG__PG_TEXT);
    assert_ok(tug_pg_result_text(res, 0, 0, &back));
    assert_string_equal(back, text);
    tug_pg_result_unref(res);
    release(&e);
}

static void trip_uuid(uint64_t r, uint64_t *seed)
{
    encoded e;
    char text[37], back[37];
    uint64_t low = cells_random(seed);
    snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)r,
             (unsigned)(r >> 32) & 0xffff, (unsigned)(r >> 48), (unsigned)(low >> 48),
             (unsigned long long)(low & UINT64_C(0xffffffffffff)));
    tug_pg_result *res = round_trip(&e, tug_text(text), TUG__PG_UUID);
    assert_int_equal(e.params.formats[0], 1);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(back))));
    assert_string_equal(back, text);
    tug_pg_result_unref(res);
    release(&e);
}

TEST(random_values_survive_the_way_there_and_back)
{
    uint64_t seed = 20261120;
    for (int i = 0; i < test_many(20000, 260); i++) {
        uint64_t r = cells_random(&seed);
        switch (i % 13) {
        case 0:
            trip_int(r, TUG__PG_INT2, 16);
            break;
        case 1:
            trip_int(r, TUG__PG_INT4, 32);
            break;
        case 2:
            trip_int(r, TUG__PG_INT8, 64 - i % 40);
            break;
        case 3:
            trip_int(r & UINT32_MAX, TUG__PG_OID, 64);
            break;
        case 4:
            trip_int(r, TUG__PG_NUMERIC, 64 - i % 40);
            break;
        case 5:
            trip_double(r, TUG__PG_FLOAT8);
            break;
        case 6:
            trip_double(r, TUG__PG_FLOAT4);
            break;
        case 7:
            trip_double(r, TUG__PG_NUMERIC);
            break;
        case 8:
            trip_time(r, i % 2 == 0 ? TUG__PG_TIMESTAMPTZ : TUG__PG_TIMESTAMP);
            break;
        case 9:
            trip_time(r, TUG__PG_DATE);
            break;
        case 10:
            trip_bytes(r, &seed);
            break;
        case 11:
            trip_text(r, &seed);
            break;
        default:
            trip_uuid(r, &seed);
        }
    }
}
