/* Floats and numeric: read exactly, or refused. */
#include "numeric.h"

#include "be.h"
#include "pg_cells.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>

static void check_double(Oid type, int format, const char *data, int size, double expected)
{
    double x = 0;
    tug_pg_result *res = cells_one(type, format, data, size);
    assert_ok(tug_pg_result_double(res, 0, 0, &x));
    assert_true(x == expected && signbit(x) == signbit(expected));
    tug_pg_result_unref(res);
}

TEST(doubles_are_read_whatever_the_locale)
{
    /* With a comma for a point strtod would stop at 0. */
    static const char *const locales[] = {"de_DE.UTF-8", "C"};
    for (size_t i = 0; i < 2; i++) {
        setlocale(LC_ALL, locales[i]);
        check_double(TUG__PG_FLOAT8, CELLS_TEXT, CELLS_BYTES("-0.5"), -0.5);
        check_double(TUG__PG_FLOAT8, CELLS_TEXT, CELLS_BYTES("1e+308"), 1e308);
        check_double(TUG__PG_FLOAT8, CELLS_TEXT, CELLS_BYTES("5e-324"), 5e-324);
        check_double(TUG__PG_FLOAT8, CELLS_TEXT, CELLS_BYTES("-0"), -0.0);
        check_double(TUG__PG_FLOAT8, CELLS_TEXT, CELLS_BYTES("-Infinity"), -INFINITY);
        cells_check_dup(TUG__PG_FLOAT8, CELLS_BINARY, CELLS_BYTES("\x3f\xe0\0\0\0\0\0\0"), "0.5");
    }
    check_double(TUG__PG_FLOAT8, CELLS_BINARY, CELLS_BYTES("\x80\0\0\0\0\0\0\0"), -0.0);
    check_double(TUG__PG_FLOAT4, CELLS_BINARY, CELLS_BYTES("\x3d\xcc\xcc\xcd"), (double)0.1F);
    check_double(TUG__PG_INT4, CELLS_BINARY, CELLS_BYTES("\xff\xff\xff\xff"), -1);
    check_double(TUG__PG_INT8, CELLS_TEXT, CELLS_BYTES("9007199254740992"), 9007199254740992.0);
}

TEST(floats_that_do_not_fit_are_refused)
{
    float f = 1;
    double d = 1;
    cells_check_fails(cells_text(TUG__PG_FLOAT8, "1e+308"), TUG_SLOT(&f), TUG_ERANGE,
                      "1e+308 does not fit a float");
    cells_check_fails(cells_text(TUG__PG_FLOAT8, "1e-300"), TUG_SLOT(&f), TUG_ERANGE, "1e-300");
    cells_check_fails(cells_text(TUG__PG_INT4, "16777217"), TUG_SLOT(&f), TUG_ERANGE, "16777217");
    cells_check_fails(cells_text(TUG__PG_INT8, "9007199254740993"), TUG_SLOT(&d), TUG_ERANGE,
                      "a double");
    cells_check_fails(cells_text(TUG__PG_INT8, "9223372036854775807"), TUG_SLOT(&d), TUG_ERANGE,
                      "a double");
    tug_pg_result *res = cells_text(TUG__PG_FLOAT8, "0.1");
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&f)));
    assert_true(f == 0.1F);
    tug_pg_result_unref(res);
}

/* The binary form of decimal text, as numeric_send writes it. Returns the length. */
static int numeric_binary(const char *text, unsigned char *to)
{
    char digits[512];
    bool negative = *text == '-';
    text += negative;
    const char *point = strchr(text, '.');
    int whole = (int)(point != NULL ? (size_t)(point - text) : strlen(text));
    int dscale = point != NULL ? (int)strlen(point + 1) : 0;
    int lead = (4 - whole % 4) % 4;
    memset(digits, '0', sizeof digits);
    memcpy(digits + lead, text, (size_t)whole);
    memcpy(digits + lead + whole, point != NULL ? point + 1 : "", (size_t)dscale);
    int groups = (lead + whole + dscale + 3) / 4, first = 0, n = 0;
    while (first < groups && memcmp(digits + 4 * first, "0000", 4) == 0) {
        first++;
    }
    while (groups > first && memcmp(digits + 4 * (groups - 1), "0000", 4) == 0) {
        groups--;
    }
    for (int i = first; i < groups; i++, n++) {
        const char *d = digits + 4 * i;
        tug__pg_put16(to + 8 + 2 * n, (uint16_t)((d[0] - '0') * 1000 + (d[1] - '0') * 100 +
                                                 (d[2] - '0') * 10 + (d[3] - '0')));
    }
    tug__pg_put16(to, (uint16_t)n);
    tug__pg_put16(to + 2, n > 0 ? (uint16_t)((lead + whole) / 4 - 1 - first) : 0);
    tug__pg_put16(to + 4, negative && n > 0 ? 0x4000 : 0);
    tug__pg_put16(to + 6, (uint16_t)dscale);
    return 8 + 2 * n;
}

TEST(numeric_keeps_its_exact_text)
{
    static const char *const texts[] = {"0",
                                        "0.00",
                                        "1",
                                        "-1",
                                        "10",
                                        "9999",
                                        "10000",
                                        "100000000",
                                        "0.00010",
                                        "0.0001",
                                        "0.00001",
                                        "1.5",
                                        "-12345678901234567890.123",
                                        "123456789.000",
                                        "0.1234567890123456789",
                                        "1000000000000.0000000001"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        unsigned char binary[256];
        int size = numeric_binary(texts[i], binary);
        cells_check_dup(TUG__PG_NUMERIC, CELLS_BINARY, (char *)binary, size, texts[i]);
        check_double(TUG__PG_NUMERIC, CELLS_BINARY, (char *)binary, size, strtod(texts[i], NULL));
        check_double(TUG__PG_NUMERIC, CELLS_TEXT, texts[i], (int)strlen(texts[i]),
                     strtod(texts[i], NULL));
        cells_check_dup(TUG__PG_NUMERIC, CELLS_TEXT, texts[i], (int)strlen(texts[i]), texts[i]);
    }
}

TEST(numeric_has_no_numbers_and_no_end)
{
    static const struct {
        const char *binary, *text;
    } cases[] = {{"\0\0\0\0\xc0\0\0\0", "NaN"},
                 {"\0\0\0\0\xd0\0\0\0", "Infinity"},
                 {"\0\0\0\0\xf0\0\0\0", "-Infinity"}};
    for (size_t i = 0; i < 3; i++) {
        double x = 0;
        int64_t n = 0;
        cells_check_dup(TUG__PG_NUMERIC, CELLS_BINARY, cases[i].binary, 8, cases[i].text);
        tug_pg_result *res = cells_one(TUG__PG_NUMERIC, CELLS_BINARY, cases[i].binary, 8);
        assert_ok(tug_pg_result_double(res, 0, 0, &x));
        assert_true(i == 0 ? isnan(x) : isinf(x) && signbit(x) == (i == 2));
        cells_check_fails(res, TUG_SLOT(&n), TUG_ERANGE, cases[i].text);
        cells_check_fails(cells_text(TUG__PG_NUMERIC, cases[i].text), TUG_SLOT(&n), TUG_ERANGE,
                          cases[i].text);
    }
}

TEST(numeric_goes_into_integers_if_it_is_whole)
{
    static const struct {
        const char *text;
        int64_t x;
        bool fits;
    } cases[] = {{"0", 0, true},
                 {"-0.000", 0, true},
                 {"12345.000", 12345, true},
                 {"10000", 10000, true},
                 {"100000000", 100000000, true},
                 {"-9223372036854775808", INT64_MIN, true},
                 {"9223372036854775807", INT64_MAX, true},
                 {"9223372036854775808", 0, false},
                 {"-9223372036854775809", 0, false},
                 {"1.5", 0, false},
                 {"0.00010", 0, false},
                 {"100000000000000000000000000", 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char binary[256];
        int size = numeric_binary(cases[i].text, binary);
        int64_t x = 7;
        if (cases[i].fits) {
            cells_check_int(TUG__PG_NUMERIC, CELLS_BINARY, (char *)binary, size, cases[i].x);
            cells_check_int(TUG__PG_NUMERIC, CELLS_TEXT, cases[i].text, (int)strlen(cases[i].text),
                            cases[i].x);
        } else {
            cells_check_fails(cells_one(TUG__PG_NUMERIC, CELLS_BINARY, binary, size), TUG_SLOT(&x),
                              TUG_ERANGE, cases[i].text);
            cells_check_fails(cells_text(TUG__PG_NUMERIC, cases[i].text), TUG_SLOT(&x), TUG_ERANGE,
                              cases[i].text);
        }
    }
}

TEST(malformed_numeric_is_refused)
{
    static const struct {
        const char *bytes;
        int size;
    } cases[] = {
        {CELLS_BYTES("\0\0\0\0\0\0\0")},               /* short */
        {CELLS_BYTES("\0\x01\0\0\0\0\0\0")},           /* a group is missing */
        {CELLS_BYTES("\0\0\0\0\0\0\0\0\0\x01")},       /* one too many */
        {CELLS_BYTES("\xff\xff\0\0\0\0\0\0\0\x01")},   /* 65,535 groups promised */
        {CELLS_BYTES("\0\x01\0\0\0\0\0\0\x27\x10")},   /* a group of 10000 */
        {CELLS_BYTES("\0\x01\0\0\x12\x34\0\0\0\x01")}, /* no sign that is known */
        {CELLS_BYTES("\0\x01\0\0\0\0\x40\0\0\x01")},   /* a scale over 16383 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double d = 0;
        int64_t n = 0;
        char *dup = NULL;
        cells_check_fails(cells_one(TUG__PG_NUMERIC, CELLS_BINARY, cases[i].bytes, cases[i].size),
                          TUG_SLOT(&d), TUG_EPROTO, "numeric");
        cells_check_fails(cells_one(TUG__PG_NUMERIC, CELLS_BINARY, cases[i].bytes, cases[i].size),
                          TUG_SLOT(&n), TUG_EPROTO, "numeric");
        cells_check_fails(cells_one(TUG__PG_NUMERIC, CELLS_BINARY, cases[i].bytes, cases[i].size),
                          TUG_DUP(&dup), TUG_EPROTO, "numeric");
    }
}

TEST(numeric_out_of_a_doubles_range_is_refused)
{
    double d = 0;
    /* 1 * 10000^32767 and 1 * 10000^-32768: as far as the format goes. */
    cells_check_fails(
        cells_one(TUG__PG_NUMERIC, CELLS_BINARY, CELLS_BYTES("\0\x01\x7f\xff\0\0\0\0\0\x01")),
        TUG_SLOT(&d), TUG_ERANGE, "... does not fit a double");
    cells_check_fails(
        cells_one(TUG__PG_NUMERIC, CELLS_BINARY, CELLS_BYTES("\0\x01\x80\x00\0\0\x3f\xff\0\x01")),
        TUG_SLOT(&d), TUG_ERANGE, "does not fit a double");
    cells_check_fails(cells_text(TUG__PG_NUMERIC, "1e400"), TUG_SLOT(&d), TUG_ERANGE, "1e400");
    char *text = NULL;
    tug_pg_result *res = cells_one(TUG__PG_NUMERIC, CELLS_BINARY,
                                   CELLS_BYTES("\0\x01\x7f\xff\0\0\0\0\0\x01"));
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_DUP(&text))));
    assert_int_equal(strlen(text), 4 * 32767 + 1);
    tug_buffer *buffer = NULL;
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&buffer)));
    assert_int_equal(tug_buffer_bytes(buffer).size, 4 * 32767 + 1);
    tug_buffer_unref(buffer);
    free(text);
    tug_pg_result_unref(res);
}

TEST(random_numerics_read_as_their_text_does)
{
    uint64_t seed = 1117;
    for (int i = 0; i < test_many(5000, 300); i++) {
        char text[256];
        unsigned char binary[256];
        int n = 0;
        int whole = 1 + (int)(cells_random(&seed) % 30), behind = (int)(cells_random(&seed) % 40);
        if (cells_random(&seed) % 2 == 0) {
            text[n++] = '-';
        }
        text[n++] = (char)('1' + cells_random(&seed) % 9);
        for (int j = 1; j < whole; j++) {
            text[n++] = (char)('0' + (cells_random(&seed) % 3 == 0 ? cells_random(&seed) % 10 : 0));
        }
        for (int j = 0; j < behind; j++) {
            if (j == 0) {
                text[n++] = '.';
            }
            text[n++] = (char)('0' + (cells_random(&seed) % 2 == 0 ? cells_random(&seed) % 10 : 0));
        }
        text[n] = 0;
        int size = numeric_binary(text, binary);
        check_double(TUG__PG_NUMERIC, CELLS_BINARY, (char *)binary, size, strtod(text, NULL));
        cells_check_dup(TUG__PG_NUMERIC, CELLS_BINARY, (char *)binary, size, text);
    }
}

TEST(long_numerics_are_rounded_by_their_last_digit)
{
    /* 2^53 + 1 lies half-way between two doubles: the even one below, unless anything follows, however far. */
    char text[1400];
    unsigned char binary[1000];
    tug__pg_numeric n;
    double x = 0;
    int size = numeric_binary("9007199254740993", binary);
    assert_true(tug__pg_numeric_read(binary, (size_t)size, &n));
    assert_true(tug__pg_numeric_double(&n, &x));
    assert_true(x == 9007199254740992.0);
    /* The same in 300 groups, the last of them 1. */
    memset(binary + size, 0, sizeof binary - (size_t)size);
    tug__pg_put16(binary, 300);
    tug__pg_put16(binary + 6, 4 * 296);
    tug__pg_put16(binary + 8 + 2 * 299, 1);
    assert_true(tug__pg_numeric_read(binary, 8 + 600, &n));
    assert_true(tug__pg_numeric_double(&n, &x));
    assert_true(x == 9007199254740994.0);
    assert_int_equal(tug__pg_numeric_text(&n, text, sizeof text), 16 + 1 + 4 * 296);
    assert_true(strtod(text, NULL) == x);
    /* snprintf's way with too little room */
    char few[6];
    assert_int_equal(tug__pg_numeric_text(&n, few, sizeof few), 16 + 1 + 4 * 296);
    assert_string_equal(few, "90071");
}
