#include "result.h"

#include "numeric.h"
#include "pg_cells.h"

#include <stdio.h>
#include <tug/testing.h>

/* --- integers --------------------------------------------------------------------------------------- */

TEST(integers_are_read_from_both_formats)
{
    cells_check_int(TUG__PG_INT2, CELLS_BINARY, CELLS_BYTES("\x80\x00"), INT16_MIN);
    cells_check_int(TUG__PG_INT4, CELLS_BINARY, CELLS_BYTES("\x80\x00\x00\x00"), INT32_MIN);
    cells_check_int(TUG__PG_INT8, CELLS_BINARY, CELLS_BYTES("\x80\0\0\0\0\0\0\0"), INT64_MIN);
    cells_check_int(TUG__PG_OID, CELLS_BINARY, CELLS_BYTES("\xff\xff\xff\xff"), UINT32_MAX);
    cells_check_int(TUG__PG_INT2, CELLS_TEXT, CELLS_BYTES("-32768"), INT16_MIN);
    cells_check_int(TUG__PG_INT8, CELLS_TEXT, CELLS_BYTES("-9223372036854775808"), INT64_MIN);
    cells_check_int(TUG__PG_INT8, CELLS_TEXT, CELLS_BYTES("9223372036854775807"), INT64_MAX);
    cells_check_int(TUG__PG_OID, CELLS_TEXT, CELLS_BYTES("4294967295"), UINT32_MAX);
}

TEST(integers_are_range_checked_by_the_width_of_the_place)
{
    int8_t i8 = 1;
    int16_t i16 = 1;
    int32_t i32 = 1;
    uint8_t u8 = 1;
    uint16_t u16 = 1;
    uint32_t u32 = 1;
    uint64_t u64 = 1;
    cells_check_fails(cells_text(TUG__PG_INT4, "128"), TUG_SLOT(&i8), TUG_ERANGE,
                      "row 0, column 1 \"x\": 128 does not fit an int8_t");
    cells_check_fails(cells_text(TUG__PG_INT4, "-129"), TUG_SLOT(&i8), TUG_ERANGE, "-129");
    cells_check_fails(cells_text(TUG__PG_INT4, "32768"), TUG_SLOT(&i16), TUG_ERANGE, "an int16_t");
    cells_check_fails(cells_text(TUG__PG_INT8, "2147483648"), TUG_SLOT(&i32), TUG_ERANGE,
                      "an int32_t");
    cells_check_fails(cells_text(TUG__PG_INT8, "-2147483649"), TUG_SLOT(&i32), TUG_ERANGE,
                      "-2147483649");
    cells_check_fails(cells_text(TUG__PG_INT4, "256"), TUG_SLOT(&u8), TUG_ERANGE, "a uint8_t");
    cells_check_fails(cells_text(TUG__PG_INT4, "65536"), TUG_SLOT(&u16), TUG_ERANGE, "a uint16_t");
    cells_check_fails(cells_text(TUG__PG_INT8, "4294967296"), TUG_SLOT(&u32), TUG_ERANGE,
                      "a uint32_t");
    cells_check_fails(cells_one(TUG__PG_INT4, CELLS_BINARY, CELLS_BYTES("\xff\xff\xff\xff")),
                      TUG_SLOT(&u64), TUG_ERANGE, "-1 does not fit a uint64_t");
    tug_pg_result *res = cells_text(TUG__PG_INT4, "-128");
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&i8)));
    assert_int_equal(i8, -128);
    tug_pg_result_unref(res);
    res = cells_text(TUG__PG_INT4, "255");
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&u8)));
    assert_int_equal(u8, 255);
    tug_pg_result_unref(res);
    res = cells_text(TUG__PG_NUMERIC, "18446744073709551615.00");
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&u64)));
    assert_true(u64 == UINT64_MAX);
    tug_pg_result_unref(res);
}

TEST(binary_values_of_the_wrong_length_are_refused)
{
    static const struct {
        Oid type;
        int size;
    } types[] = {{TUG__PG_BOOL, 1},        {TUG__PG_INT2, 2},      {TUG__PG_INT4, 4},
                 {TUG__PG_INT8, 8},        {TUG__PG_OID, 4},       {TUG__PG_FLOAT4, 4},
                 {TUG__PG_FLOAT8, 8},      {TUG__PG_UUID, 16},     {TUG__PG_DATE, 4},
                 {TUG__PG_TIMESTAMPTZ, 8}, {TUG__PG_TIMESTAMP, 8}, {TUG__PG_NUMERIC, 10}};
    static const char data[32] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 7};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (int size = 0; size <= 2 * types[i].size; size++) {
            char copy[64] = "";
            tug_pg_result *res = cells_one(types[i].type, CELLS_BINARY, data, size);
            int rc = tug_pg_result_value(res, 0, 0, TUG_COPY(copy));
            assert_int_equal(rc, size == types[i].size ? 0 : TUG_EPROTO);
            if (rc < 0) {
                assert_detail_has("the server sent ");
            }
            tug_pg_result_unref(res);
        }
    }
}

TEST(text_that_is_no_value_is_a_protocol_error)
{
    int64_t i = 0;
    double d = 0;
    bool b = false;
    struct tug_timestamp t = {0};
    cells_check_fails(cells_text(TUG__PG_INT4, ""), TUG_SLOT(&i), TUG_EPROTO, "int4");
    cells_check_fails(cells_text(TUG__PG_INT4, "12a"), TUG_SLOT(&i), TUG_EPROTO, "int4");
    cells_check_fails(cells_text(TUG__PG_INT4, "-"), TUG_SLOT(&i), TUG_EPROTO, "int4");
    cells_check_fails(cells_text(TUG__PG_INT8, "9223372036854775808"), TUG_SLOT(&i), TUG_EPROTO,
                      "int8");
    cells_check_fails(cells_text(TUG__PG_FLOAT8, "0x10"), TUG_SLOT(&d), TUG_EPROTO, "float8");
    cells_check_fails(cells_text(TUG__PG_FLOAT8, "inf"), TUG_SLOT(&d), TUG_EPROTO, "float8");
    cells_check_fails(cells_text(TUG__PG_FLOAT8, ""), TUG_SLOT(&d), TUG_EPROTO, "float8");
    cells_check_fails(cells_text(TUG__PG_BOOL, "true"), TUG_SLOT(&b), TUG_EPROTO, "bool");
    cells_check_fails(cells_text(TUG__PG_TIMESTAMP, "20.11.2026"), TUG_SLOT(&t), TUG_EPROTO,
                      "datestyle");
    cells_check_fails(cells_text(TUG__PG_NUMERIC, "1,5"), TUG_SLOT(&i), TUG_ERANGE, "1,5");
}

/* --- text ------------------------------------------------------------------------------------------- */

TEST(values_are_printed_as_postgresql_prints_them)
{
    cells_check_dup(TUG__PG_BOOL, CELLS_BINARY, CELLS_BYTES("\x01"), "t");
    cells_check_dup(TUG__PG_BOOL, CELLS_BINARY, CELLS_BYTES("\0"), "f");
    cells_check_dup(TUG__PG_INT8, CELLS_BINARY, CELLS_BYTES("\x80\0\0\0\0\0\0\0"),
                    "-9223372036854775808");
    cells_check_dup(TUG__PG_OID, CELLS_BINARY, CELLS_BYTES("\xff\xff\xff\xff"), "4294967295");
    cells_check_dup(TUG__PG_FLOAT4, CELLS_BINARY, CELLS_BYTES("\x3d\xcc\xcc\xcd"), "0.1");
    cells_check_dup(TUG__PG_FLOAT4, CELLS_BINARY, CELLS_BYTES("\x49\x74\x24\0"), "1e+06");
    cells_check_dup(TUG__PG_FLOAT8, CELLS_BINARY, CELLS_BYTES("\x7f\xf8\0\0\0\0\0\0"), "NaN");
    cells_check_dup(TUG__PG_UUID, CELLS_BINARY,
                    CELLS_BYTES("\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11"),
                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    cells_check_dup(TUG__PG_TIMESTAMPTZ, CELLS_BINARY, CELLS_BYTES("\0\0\0\0\0\0\0\0"),
                    "2000-01-01 00:00:00+00");
    cells_check_dup(TUG__PG_TIMESTAMP, CELLS_BINARY,
                    CELLS_BYTES("\xff\xff\xff\xff\xff\xff\xff\xf6"), "1999-12-31 23:59:59.99999");
    cells_check_dup(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\0\0\0\x3b"), "2000-02-29");
    cells_check_dup(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\xff\xda\x97\xa7"), "4714-11-24 BC");
    cells_check_dup(TUG__PG_TIMESTAMPTZ, CELLS_BINARY,
                    CELLS_BYTES("\x7f\xff\xff\xff\xff\xff\xff\xff"), "infinity");
    cells_check_dup(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\x80\0\0\0"), "-infinity");
    cells_check_dup(TUG__PG_JSONB, CELLS_BINARY, CELLS_BYTES("\x01{\"a\": 1}"), "{\"a\": 1}");
    cells_check_dup(TUG__PG_JSONB, CELLS_TEXT, CELLS_BYTES("{}"), "{}");
    cells_check_dup(TUG__PG_VARCHAR, CELLS_BINARY, CELLS_BYTES(""), "");
    cells_check_dup(TUG__PG_CHAR, CELLS_BINARY, CELLS_BYTES("r"), "r");
    cells_check_dup(TUG__PG_INTERVAL, CELLS_TEXT, CELLS_BYTES("1 day"), "1 day");
    cells_check_dup(TUG__PG_TIMESTAMPTZ, CELLS_TEXT, CELLS_BYTES("2000-01-01 05:45:00+05:45"),
                    "2000-01-01 00:00:00+00");
}

TEST(text_and_bytes_are_borrowed_where_they_lie)
{
    const char *text = NULL;
    struct tug_bytes bytes = {0};
    tug_pg_result *res = cells_one(TUG__PG_TEXT, CELLS_BINARY, CELLS_BYTES("\xf0\x9f\x90\x98"));
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&text)));
    assert_ok(tug_pg_result_bytes(res, 0, 0, &bytes));
    assert_ptr_equal(text, PQgetvalue(tug_pg_result_native(res), 0, 0));
    assert_ptr_equal(bytes.data, text);
    assert_int_equal(bytes.size, 4);
    tug_pg_result_unref(res);
    res = cells_one(TUG__PG_JSONB, CELLS_BINARY, CELLS_BYTES("\x01[]"));
    assert_ok(tug_pg_result_text(res, 0, 0, &text));
    assert_string_equal(text, "[]");
    assert_ok(tug_pg_result_bytes(res, 0, 0, &bytes));
    assert_int_equal(bytes.size, 2);
    tug_pg_result_unref(res);
    res = cells_one(TUG__PG_TEXT, CELLS_TEXT, CELLS_BYTES(""));
    assert_ok(tug_pg_result_text(res, 0, 0, &text));
    assert_string_equal(text, "");
    tug_pg_result_unref(res);
}

TEST(what_has_no_text_is_not_lent)
{
    static const Oid types[] = {TUG__PG_INT4, TUG__PG_NUMERIC, TUG__PG_UUID, TUG__PG_TIMESTAMPTZ,
                                TUG__PG_BOOL};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *text = NULL;
        /* In text format too: whether a program works must not depend on the other columns. */
        cells_check_fails(cells_text(types[i], "1"), TUG_SLOT(&text), TUG_ETYPE,
                          "has no text to borrow: use TUG_DUP");
    }
    const char *text = NULL;
    cells_check_fails(cells_one(TUG__PG_BYTEA, CELLS_BINARY, CELLS_BYTES("ab")), TUG_SLOT(&text),
                      TUG_ETYPE, "bytea does not go into a const char *");
}

TEST(jsonb_of_another_version_is_refused)
{
    char *dup = NULL;
    cells_check_fails(cells_one(TUG__PG_JSONB, CELLS_BINARY, CELLS_BYTES("\x02{}")), TUG_DUP(&dup),
                      TUG_EPROTO, "jsonb");
    cells_check_fails(cells_one(TUG__PG_JSONB, CELLS_BINARY, CELLS_BYTES("")), TUG_DUP(&dup),
                      TUG_EPROTO, "jsonb");
}

static void check_bytes(int format, const char *data, int size, const char *expected, size_t n)
{
    struct tug_bytes bytes = {0};
    tug_buffer *buffer = NULL;
    tug_pg_result *res = cells_one(TUG__PG_BYTEA, format, data, size);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&bytes)));
    assert_int_equal(bytes.size, n);
    assert_memory_equal(bytes.data, expected, n);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&buffer)));
    assert_int_equal(tug_buffer_bytes(buffer).size, n);
    assert_memory_equal(tug_buffer_bytes(buffer).data, expected, n);
    tug_buffer_unref(buffer);
    tug_pg_result_unref(res);
}

TEST(bytea_is_read_from_all_its_forms)
{
    check_bytes(CELLS_BINARY, CELLS_BYTES("\0\xff\\x"), "\0\xff\\x", 4);
    check_bytes(CELLS_BINARY, CELLS_BYTES(""), "", 0);
    check_bytes(CELLS_TEXT, CELLS_BYTES("\\x00ff5c78"), "\0\xff\\x", 4);
    check_bytes(CELLS_TEXT, CELLS_BYTES("\\x"), "", 0);
    check_bytes(CELLS_TEXT, CELLS_BYTES("\\000\\377\\\\x"), "\0\xff\\x", 4);
    check_bytes(CELLS_TEXT, CELLS_BYTES(""), "", 0);
    static const char *const wrong[] = {"\\x0", "\\xgg", "\\", "\\40", "\\400", "\\08a", "ab\\"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tug_bytes bytes = {0};
        cells_check_fails(cells_text(TUG__PG_BYTEA, wrong[i]), TUG_SLOT(&bytes), TUG_EPROTO,
                          "bytea");
    }
    char *dup = NULL;
    cells_check_fails(cells_one(TUG__PG_BYTEA, CELLS_BINARY, CELLS_BYTES("ab")), TUG_DUP(&dup),
                      TUG_ETYPE, "bytea does not go into a char *");
}

TEST(a_char_array_must_hold_all_and_a_zero)
{
    char three[3] = "zz", four[4] = "zzz";
    tug_pg_result *res = cells_text(TUG__PG_TEXT, "abc");
    assert_rc(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(three))), TUG_ELIMIT);
    assert_detail_has("3 bytes of text do not fit a char array of 3");
    assert_string_equal(three, "zz");
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(four))));
    assert_string_equal(four, "abc");
    tug_pg_result_unref(res);
    res = cells_one(TUG__PG_INT4, CELLS_BINARY, CELLS_BYTES("\0\0\x03\xe8"));
    assert_rc(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(four))), TUG_ELIMIT);
    tug_pg_result_unref(res);
}

/* --- times and bools -------------------------------------------------------------------------------- */

static void check_time(Oid type, int format, const char *data, int size, int64_t expected)
{
    struct tug_timestamp t = {7};
    tug_pg_result *res = cells_one(type, format, data, size);
    assert_ok(tug_pg_result_timestamp(res, 0, 0, &t));
    assert_true(t.us == expected);
    tug_pg_result_unref(res);
}

TEST(times_are_read_from_both_formats)
{
    check_time(TUG__PG_TIMESTAMPTZ, CELLS_BINARY, CELLS_BYTES("\0\0\0\0\0\0\0\x01"),
               TUG__PG_EPOCH_US + 1);
    check_time(TUG__PG_TIMESTAMP, CELLS_BINARY, CELLS_BYTES("\x80\0\0\0\0\0\0\0"), INT64_MIN);
    check_time(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\x7f\xff\xff\xff"), INT64_MAX);
    check_time(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\xff\xff\xd5\x33"), 0);
    check_time(TUG__PG_TIMESTAMPTZ, CELLS_TEXT, CELLS_BYTES("1970-01-01 00:00:00+00"), 0);
    check_time(TUG__PG_TIMESTAMPTZ, CELLS_TEXT, CELLS_BYTES("1970-01-01 01:00:00.5+01"), 500000);
    check_time(TUG__PG_TIMESTAMPTZ, CELLS_TEXT, CELLS_BYTES("1969-12-31 20:29:59.000001-03:30"),
               -999999);
    check_time(TUG__PG_TIMESTAMPTZ, CELLS_TEXT, CELLS_BYTES("1890-01-01 00:53:28+00:53:28"),
               INT64_C(-2524521600000000));
    check_time(TUG__PG_TIMESTAMP, CELLS_TEXT, CELLS_BYTES("2000-02-29 23:59:59.999999"),
               TUG__PG_EPOCH_US + 60 * TUG__PG_DAY_US - 1);
    check_time(TUG__PG_DATE, CELLS_TEXT, CELLS_BYTES("0001-01-01 BC"), INT64_C(-62167219200000000));
    check_time(TUG__PG_DATE, CELLS_TEXT, CELLS_BYTES("infinity"), INT64_MAX);
    check_time(TUG__PG_TIMESTAMP, CELLS_TEXT, CELLS_BYTES("-infinity"), INT64_MIN);
}

TEST(times_beyond_64_bits_are_out_of_range)
{
    struct tug_timestamp t = {7};
    cells_check_fails(
        cells_one(TUG__PG_TIMESTAMP, CELLS_BINARY, CELLS_BYTES("\x7f\xff\xff\xff\xff\xff\xff\xfe")),
        TUG_SLOT(&t), TUG_ERANGE, "294246");
    /* The last instant but one fits; the last would read as infinity. */
    check_time(TUG__PG_TIMESTAMP, CELLS_BINARY, CELLS_BYTES("\x7f\xfc\xa2\xfe\xc4\xc8\x1f\xfe"),
               INT64_MAX - 1);
    cells_check_fails(
        cells_one(TUG__PG_TIMESTAMP, CELLS_BINARY, CELLS_BYTES("\x7f\xfc\xa2\xfe\xc4\xc8\x1f\xff")),
        TUG_SLOT(&t), TUG_ERANGE, "294246");
    cells_check_fails(cells_one(TUG__PG_DATE, CELLS_BINARY, CELLS_BYTES("\x7f\xff\xff\xfe")),
                      TUG_SLOT(&t), TUG_ERANGE, "date");
    static const char *const wrong[] = {"",
                                        "2000",
                                        "2000-1-01",
                                        "2000-13-01",
                                        "2000-00-10",
                                        "2000-01-32",
                                        "0000-01-01",
                                        "2000-01-01 ",
                                        "2000-01-01 25:00:00",
                                        "2000-01-01 00:60:00",
                                        "infinit",
                                        "2000-01-01x",
                                        "2000-01-01 00:00:00+",
                                        "2000-01-01 00:00:00.",
                                        "2000-01-01 00:00:00.1234567",
                                        "5874897-12-31",
                                        "2000-01-01 BCE",
                                        "2000-01-01 00:00:00+16"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cells_check_fails(cells_text(TUG__PG_TIMESTAMPTZ, wrong[i]), TUG_SLOT(&t), TUG_EPROTO,
                          "ISO");
    }
}

TEST(bools_come_from_bool_only)
{
    bool b = false;
    int i = 7;
    tug_pg_result *res = cells_one(TUG__PG_BOOL, CELLS_BINARY, CELLS_BYTES("\x01"));
    assert_ok(tug_pg_result_bool(res, 0, 0, &b));
    assert_true(b);
    tug_pg_result_unref(res);
    res = cells_text(TUG__PG_BOOL, "f");
    assert_ok(tug_pg_result_bool(res, 0, 0, &b));
    assert_false(b);
    tug_pg_result_unref(res);
    cells_check_fails(cells_text(TUG__PG_INT4, "1"), TUG_SLOT(&b), TUG_ETYPE,
                      "int4 does not go into a bool");
    cells_check_fails(cells_text(TUG__PG_BOOL, "t"), TUG_SLOT(&i), TUG_ETYPE,
                      "bool does not go into an int32_t");
}

TEST(types_that_do_not_match_are_named)
{
    int i = 7;
    double d = 7;
    struct tug_timestamp t = {7};
    cells_check_fails(cells_text(TUG__PG_TEXT, "1"), TUG_SLOT(&i), TUG_ETYPE,
                      "text does not go into an int32_t");
    cells_check_fails(cells_text(TUG__PG_FLOAT8, "1"), TUG_SLOT(&i), TUG_ETYPE, "float8");
    cells_check_fails(cells_text(TUG__PG_TEXT, "1"), TUG_SLOT(&d), TUG_ETYPE, "a double");
    cells_check_fails(cells_text(TUG__PG_TEXT, "1"), TUG_SLOT(&t), TUG_ETYPE,
                      "a struct tug_timestamp");
    cells_check_fails(cells_text(TUG__PG_INT8, "1"), TUG_SLOT(&t), TUG_ETYPE, "int8");
    cells_check_fails(cells_text(99999, "1"), TUG_SLOT(&i), TUG_ETYPE, "the type with OID 99999");
    char *dup = NULL;
    cells_check_fails(cells_one(99999, CELLS_BINARY, CELLS_BYTES("abc")), TUG_DUP(&dup), TUG_ETYPE,
                      "OID 99999");
}

/* --- rows ------------------------------------------------------------------------------------------- */

static const cells_column person[] = {{"id", TUG__PG_INT4, CELLS_BINARY},
                                      {"name", TUG__PG_TEXT, CELLS_BINARY},
                                      {"pay", TUG__PG_FLOAT8, CELLS_BINARY}};

static tug_pg_result *people(void)
{
    tug_pg_result *result = NULL;
    PGresult *res = cells_new(person, 3);
    cells_set(res, 0, 0, CELLS_BYTES("\0\0\0\x01"));
    cells_set(res, 0, 1, CELLS_BYTES("ada"));
    cells_set(res, 0, 2, CELLS_BYTES("\x3f\xf8\0\0\0\0\0\0"));
    cells_set(res, 1, 0, CELLS_BYTES("\0\0\0\x02"));
    cells_set(res, 1, 1, NULL, -1);
    cells_set(res, 1, 2, NULL, -1);
    assert_ok(tug__pg_result_new(res, &result));
    return result;
}

TEST(a_row_goes_into_its_places)
{
    int id = 0;
    const char *name = NULL;
    double pay = 0;
    tug_pg_result *res = people();
    assert_int_equal(tug_pg_result_rows(res), 2);
    assert_int_equal(tug_pg_result_columns(res), 3);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&id, &name, &pay)));
    assert_int_equal(id, 1);
    assert_string_equal(name, "ada");
    assert_true(pay == 1.5);
    tug_pg_result_unref(res);
}

TEST(a_scan_that_fails_has_written_nothing)
{
    size_t before = tug_test_live_allocations();
    int id = 77;
    char *dup = NULL;
    tug_buffer *buffer = NULL;
    double pay = 7;
    tug_pg_result *res = people();
    assert_rc(tug_pg_scan(res, 1, TUG_OUT(&id, TUG_DUP(&dup), &pay)), TUG_ENULL);
    assert_detail_has("row 1, column 2 \"name\": it is NULL");
    assert_int_equal(id, 77);
    /* What was allocated for the places before is given back. */
    assert_rc(tug_pg_scan(res, 1, TUG_OUT(&buffer, TUG_DUP(&dup), &pay)), TUG_ENULL);
    assert_null(buffer);
    bool b = false;
    assert_rc(tug_pg_scan(res, 0, TUG_OUT(TUG_DUP(&dup), &buffer, &b)), TUG_ETYPE);
    assert_null(dup);
    assert_null(buffer);
    tug_pg_result_unref(res);
    assert_int_equal(tug_test_live_allocations(), before);
}

TEST(null_needs_a_nullable_place)
{
    int id = 0;
    bool is_null = false, other = false, none = true;
    const char *name = "x";
    char copy[8] = "x", *dup = (char *)1;
    tug_buffer *buffer = (tug_buffer *)1;
    double pay = 7;
    tug_pg_result *res = people();
    assert_ok(tug_pg_scan(res, 1,
                          TUG_OUT(TUG_NULLABLE(&id, &none), TUG_NULLABLE(&name, &is_null),
                                  TUG_NULLABLE(&pay, &other))));
    assert_int_equal(id, 2);
    assert_false(none);
    assert_true(is_null && other);
    assert_null(name);
    assert_true(pay == 0);
    assert_ok(tug_pg_scan(
        res, 1,
        TUG_OUT(&id, TUG_NULLABLE(TUG_COPY(copy), &is_null), TUG_NULLABLE(TUG_DUP(&dup), &other))));
    assert_string_equal(copy, "");
    assert_null(dup);
    assert_ok(tug_pg_result_value(res, 1, 1, TUG_NULLABLE(&buffer, &is_null)));
    assert_null(buffer);
    assert_true(tug_pg_result_is_null(res, 1, 1));
    assert_false(tug_pg_result_is_null(res, 0, 1));
    assert_true(tug_pg_result_is_null(res, 2, 0));
    assert_true(tug_pg_result_is_null(res, 0, 3));
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&id, TUG_NULLABLE(&name, &is_null), &pay)));
    assert_false(is_null);
    tug_pg_result_unref(res);
}

TEST(places_and_columns_are_counted)
{
    int a = 0, b = 0;
    double d = 0;
    tug_pg_result *res = people();
    assert_rc(tug_pg_scan(res, 0, TUG_OUT(&a, &b)), TUG_EMISUSE);
    assert_detail_has("the result has 3 columns, 2 places were given");
    assert_rc(tug_pg_scan(res, 2, TUG_OUT(&a, &b, &d)), TUG_ENOTFOUND);
    assert_detail_has("there is no row 2: the result has 2");
    assert_rc(tug_pg_result_value(res, 0, 3, TUG_SLOT(&a)), TUG_EMISUSE);
    assert_rc(tug_pg_result_value(res, SIZE_MAX, 0, TUG_SLOT(&a)), TUG_ENOTFOUND);
    assert_rc(tug_pg_result_value(res, 0, 0, (tug_slot){TUG_SLOT_INT, NULL, 4, NULL}), TUG_EMISUSE);
    assert_rc(tug_pg_result_value(res, 0, 0, (tug_slot){TUG_SLOT_INT, &a, 3, NULL}), TUG_EMISUSE);
    assert_rc(tug_pg_result_value(res, 0, 0, (tug_slot){99, &a, 4, NULL}), TUG_EMISUSE);
    tug_pg_result_unref(res);
}

TEST(wide_rows_are_read_too)
{
    enum {
        WIDE = 100
    };
    cells_column columns[WIDE];
    tug_slot slots[WIDE];
    int values[WIDE];
    tug_pg_result *res = NULL;
    for (int i = 0; i < WIDE; i++) {
        columns[i] = (cells_column){"c", TUG__PG_INT4, CELLS_TEXT};
        slots[i] = TUG_SLOT(&values[i]);
    }
    PGresult *native = cells_new(columns, WIDE);
    for (int i = 0; i < WIDE; i++) {
        char text[12];
        cells_set(native, 0, i, text, snprintf(text, sizeof text, "%d", i * i));
    }
    assert_ok(tug__pg_result_new(native, &res));
    assert_ok(tug_pg_scan(res, 0, (tug_out){slots, WIDE}));
    for (int i = 0; i < WIDE; i++) {
        assert_int_equal(values[i], i * i);
    }
    tug_pg_result_unref(res);
}

TEST(results_tell_about_themselves)
{
    size_t column = 9;
    tug_pg_result *res = people();
    assert_string_equal(tug_pg_result_column_name(res, 1), "name");
    assert_null(tug_pg_result_column_name(res, 3));
    assert_int_equal(tug_pg_result_column_type(res, 2), TUG__PG_FLOAT8);
    assert_int_equal(tug_pg_result_column_type(res, 3), 0);
    assert_ok(tug_pg_result_find(res, "pay", &column));
    assert_int_equal(column, 2);
    assert_rc(tug_pg_result_find(res, "PAY", &column), TUG_ENOTFOUND);
    assert_detail_has("no column \"PAY\"");
    assert_int_equal(tug_pg_result_affected(res), 0);
    assert_string_equal(tug_pg_result_command(res), "");
    assert_ptr_equal(tug_pg_result_ref(res), res);
    tug_pg_result_unref(res);
    assert_int_equal(tug_pg_result_rows(res), 2);
    assert_null(tug_pg_result_unref(res));
    assert_null(tug_pg_result_unref(NULL));
}

TEST(one_row_is_exactly_one)
{
    int id = 0;
    double pay = 0;
    char name[8];
    tug_pg_result *res = people();
    assert_rc(tug__pg_result_one(res, TUG_OUT(&id, TUG_COPY(name), &pay)), TUG_ETOOMANY);
    tug_pg_result_unref(res);
    res = NULL;
    assert_ok(tug__pg_result_new(cells_new(person, 3), &res));
    assert_rc(tug__pg_result_one(res, TUG_OUT(&id, TUG_COPY(name), &pay)), TUG_ENOTFOUND);
    tug_pg_result_unref(res);
    res = cells_text(TUG__PG_INT4, "5");
    assert_ok(tug__pg_result_one(res, TUG_OUT(&id)));
    assert_int_equal(id, 5);
    tug_pg_result_unref(res);
}

TEST(borrowing_places_are_found)
{
    int id;
    char copy[8], *dup;
    const char *text;
    struct tug_bytes bytes;
    tug_buffer *buffer;
    assert_true(tug__pg_out_is_owned(TUG_OUT(&id, TUG_COPY(copy), TUG_DUP(&dup), &buffer)));
    assert_false(tug__pg_out_is_owned(TUG_OUT(&id, &text)));
    assert_detail_has("place 2 borrows");
    assert_int_equal(tug_last_error()->code, TUG_EMISUSE);
    assert_false(tug__pg_out_is_owned(TUG_OUT(&bytes)));
}

TEST(binary_is_asked_for_if_all_columns_have_a_decoder)
{
    const Oid all[] = {TUG__PG_BOOL,   TUG__PG_INT2,    TUG__PG_INT4,      TUG__PG_INT8,
                       TUG__PG_OID,    TUG__PG_FLOAT4,  TUG__PG_FLOAT8,    TUG__PG_NUMERIC,
                       TUG__PG_TEXT,   TUG__PG_VARCHAR, TUG__PG_BPCHAR,    TUG__PG_NAME,
                       TUG__PG_CHAR,   TUG__PG_JSON,    TUG__PG_JSONB,     TUG__PG_BYTEA,
                       TUG__PG_UUID,   TUG__PG_DATE,    TUG__PG_TIMESTAMP, TUG__PG_TIMESTAMPTZ,
                       TUG__PG_UNKNOWN};
    const Oid mixed[] = {TUG__PG_INT4, 3904 /* int4range */, TUG__PG_TEXT};
    assert_int_equal(tug__pg_result_format(all, sizeof all / sizeof *all), 1);
    assert_int_equal(tug__pg_result_format(mixed, 3), 0);
    assert_int_equal(tug__pg_result_format(mixed, 1), 1);
    assert_int_equal(tug__pg_result_format(NULL, 0), 1);
}
