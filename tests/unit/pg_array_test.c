/* Arrays without a server: what is malformed, at every length; text forms; how parameters are laid out. */
#include <stdio.h>
#include <tug/pg_array.h>
#include <tug/testing.h>

#include "arraycell.h"
#include "be.h"
#include "decode.h"
#include "pg_cells.h"
#include "value.h"

/* --- whatever the server sends --------------------------------------------------------------------- */

typedef struct places {
    bool b;
    int64_t i;
    uint64_t u;
    double d;
    float f;
    const char *text;
    struct tug_bytes bytes;
    char *dup;
    tug_buffer *buffer;
    struct tug_timestamp timestamp;
    struct tug_date date;
    struct tug_time_of_day time;
    struct tug_time_tz time_tz;
    struct tug_interval interval;
    struct tug_decimal decimal;
    struct tug_uuid uuid;
    struct tug_inet inet;
    struct tug_macaddr macaddr;
    char copy[100];
} places;

enum {
    PLACES = 19
};

static tug_slot place(places *p, int i)
{
    const tug_slot slots[PLACES] = {
        TUG_SLOT(&p->b),       TUG_SLOT(&p->i),         TUG_SLOT(&p->u),       TUG_SLOT(&p->d),
        TUG_SLOT(&p->f),       TUG_SLOT(&p->text),      TUG_SLOT(&p->bytes),   TUG_DUP(&p->dup),
        TUG_SLOT(&p->buffer),  TUG_SLOT(&p->timestamp), TUG_SLOT(&p->date),    TUG_SLOT(&p->time),
        TUG_SLOT(&p->time_tz), TUG_SLOT(&p->interval),  TUG_SLOT(&p->decimal), TUG_SLOT(&p->uuid),
        TUG_SLOT(&p->inet),    TUG_SLOT(&p->macaddr),   TUG_COPY(p->copy)};
    return slots[i];
}

static bool is_expected(int rc)
{
    return rc == 0 || rc == TUG_EPROTO || rc == TUG_ETYPE || rc == TUG_ERANGE || rc == TUG_ENULL ||
           rc == TUG_ELIMIT;
}

static void release(places *p)
{
    free(p->dup);
    tug_buffer_unref(p->buffer);
    p->dup = NULL;
    p->buffer = NULL;
}

/* One value or element, into all places: no more than an error may come of it. */
static void ask_cell(const tug__pg_cell *cell)
{
    places p = {0};
    tug__pg_held held;
    for (int i = 0; i < PLACES; i++) {
        tug_slot slot = place(&p, i);
        int rc = tug__pg_cell_read(cell, &slot, &held);
        assert_true(is_expected(rc));
        if (rc == 0) {
            tug__pg_held_write(&held, &slot);
        }
        if (p.text != NULL) {
            assert_true(strlen(p.text) <= cell->size);
            p.text = NULL;
        }
        release(&p);
    }
}

static void ask_elements(const tug__pg_cell *whole)
{
    tug_pg_array a;
    tug__pg_cell cell = *whole;
    bool null = false;
    int rc = tug__pg_array_open(whole, &a);
    assert_true(is_expected(rc));
    for (size_t i = 0; rc == 0 && i < a.n; i++) {
        assert_true(tug__pg_array_next(&a, &cell, &null));
        if (!null) {
            ask_cell(&cell);
        }
    }
}

/* Not in memory of libpq's, whose blocks are larger than a value, but in one that AddressSanitizer watches
 * to the byte: the value, and the 0 that libpq puts behind each. */
static void ask_everything(Oid type, int format, const char *data, int size)
{
    const cells_column column = {"x", type, format};
    char *exact = malloc((size_t)size + 1);
    assert_non_null(exact);
    memcpy(exact, data, (size_t)size);
    exact[size] = 0;
    tug__pg_cell cell = {.res = cells_new(&column, 1),
                         .data = exact,
                         .size = (size_t)size,
                         .type = type,
                         .kind = tug__pg_kind_of(type),
                         .binary = format == CELLS_BINARY};
    ask_cell(&cell);
    if (cell.kind == TUG__PG_KIND_ARRAY) {
        ask_elements(&cell);
    }
    PQclear(cell.res);
    free(exact);
}

static const Oid types[] = {TUG__PG_BOOL,
                            TUG__PG_INT2,
                            TUG__PG_INT4,
                            TUG__PG_INT8,
                            TUG__PG_OID,
                            TUG__PG_FLOAT4,
                            TUG__PG_FLOAT8,
                            TUG__PG_NUMERIC,
                            TUG__PG_TEXT,
                            TUG__PG_CHAR,
                            TUG__PG_JSONB,
                            TUG__PG_BYTEA,
                            TUG__PG_UUID,
                            TUG__PG_DATE,
                            TUG__PG_TIME,
                            TUG__PG_TIMETZ,
                            TUG__PG_TIMESTAMP,
                            TUG__PG_INTERVAL,
                            TUG__PG_INET,
                            TUG__PG_CIDR,
                            TUG__PG_MACADDR,
                            TUG__PG_MACADDR8,
                            1000,
                            1005,
                            1007,
                            1231,
                            1009,
                            3807,
                            1001,
                            2951,
                            1182,
                            1270,
                            1187,
                            1041,
                            1040};

/* A value of each binary form that is good, to cut and to spoil. */
static size_t good_value(Oid type, char *to)
{
    static const char inet[] = "\x03\x40\x00\x10"
                               "0123456789abcdef";
    static const char numeric[] = "\0\x03\0\x01\x40\0\0\x04\0\x05\x11\xff\x27\x0f";
    Oid element = tug__pg_element_of(type);
    if (element != 0) {
        char value[64];
        size_t n = good_value(element, value), size = 12;
        tug__pg_put32(to, 2);
        tug__pg_put32(to + 4, 1);
        tug__pg_put32(to + 8, element);
        for (int i = 0; i < 2; i++) {
            tug__pg_put32(to + size, 2);
            tug__pg_put32(to + size + 4, (uint32_t)i);
            size += 8;
        }
        for (int i = 0; i < 4; i++) {
            tug__pg_put32(to + size, i == 2 ? UINT32_MAX : (uint32_t)n);
            size += 4;
            memcpy(to + size, value, i == 2 ? 0 : n);
            size += i == 2 ? 0 : n;
        }
        return size;
    }
    switch (type) {
    case TUG__PG_BOOL:
        *to = 1;
        return 1;
    case TUG__PG_NUMERIC:
        memcpy(to, numeric, sizeof numeric - 1);
        return sizeof numeric - 1;
    case TUG__PG_INET:
    case TUG__PG_CIDR:
        memcpy(to, inet, sizeof inet - 1);
        return sizeof inet - 1;
    case TUG__PG_TEXT:
    case TUG__PG_BYTEA:
        memcpy(to, "a \"b", 4);
        return 4;
    case TUG__PG_JSONB:
        memcpy(to, "\x01{}", 3);
        return 3;
    default:
        memset(to, 0, 16);
        return type == TUG__PG_UUID || type == TUG__PG_INTERVAL   ? 16
               : type == TUG__PG_INT8 || type == TUG__PG_FLOAT8   ? 8
               : type == TUG__PG_TIME || type == TUG__PG_MACADDR8 ? 8
               : type == TUG__PG_TIMESTAMP                        ? 8
               : type == TUG__PG_TIMETZ                           ? 12
               : type == TUG__PG_MACADDR                          ? 6
               : type == TUG__PG_INT2                             ? 2
               : type == TUG__PG_CHAR                             ? 1
                                                                  : 4;
    }
}

TEST(binary_values_cut_at_every_byte)
{
    char good[400];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t size = good_value(types[i], good);
        char *text = NULL;
        tug_pg_result *res = cells_one(types[i], CELLS_BINARY, good, (int)size);
        if (types[i] != TUG__PG_BYTEA) {
            assert_ok(tug_pg_result_value(res, 0, 0, TUG_DUP(&text)));
            free(text);
        }
        tug_pg_result_unref(res);
        for (size_t n = 0; n <= size; n++) {
            ask_everything(types[i], CELLS_BINARY, good, (int)n);
        }
    }
}

TEST(binary_values_spoiled_at_every_byte)
{
    static const unsigned char spoils[] = {0, 1, 2, 6, 7, 0x27, 0x7f, 0x80, 0xff};
    char good[400], bad[400];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t size = good_value(types[i], good);
        for (size_t at = 0; at < size; at += (size_t)test_many(1, 12)) {
            for (size_t k = 0; k < sizeof spoils; k++) {
                memcpy(bad, good, size);
                bad[at] = (char)spoils[k];
                ask_everything(types[i], CELLS_BINARY, bad, (int)size);
            }
        }
    }
}

TEST(random_bytes_and_characters)
{
    static const char letters[] = "{}\",\\[]:=-+.0129 naNULtf:/x\xff";
    uint64_t seed = 7;
    char bytes[64];
    for (int round = 0; round < test_many(20000, 300); round++) {
        Oid type = types[cells_random(&seed) % (sizeof types / sizeof *types)];
        size_t size = cells_random(&seed) % sizeof bytes;
        bool text = round % 2 != 0;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = text ? letters[cells_random(&seed) % (sizeof letters - 1)]
                            : (char)(cells_random(&seed) % 4 == 0 ? cells_random(&seed) : 0);
        }
        if (text && size > 0 && tug__pg_element_of(type) != 0) {
            bytes[0] = '{';
            bytes[size - 1] = '}';
        }
        ask_everything(type, text ? CELLS_TEXT : CELLS_BINARY, bytes, (int)size);
    }
}

/* --- malformed arrays ------------------------------------------------------------------------------ */

static void check_malformed(int format, const char *data, int size)
{
    tug_pg_array a;
    tug_pg_result *res = cells_one(1007, format, data, size);
    if (tug_pg_result_array(res, 0, 0, &a) != TUG_EPROTO) {
        fail_msg("%s was taken for an array", format == CELLS_TEXT ? data : "binary");
    }
    assert_detail_has("that are no int4[]");
    tug_pg_result_unref(res);
}
#define CHECK_MALFORMED(literal) check_malformed(CELLS_BINARY, literal, (int)sizeof(literal) - 1)

TEST(arrays_that_are_none)
{
    CHECK_MALFORMED("\0\0\0\0\0\0\0\0\0\0\0\x19");                     /* of text */
    CHECK_MALFORMED("\0\0\0\x07\0\0\0\0\0\0\0\x17");                   /* seven dimensions */
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\0\0\0\0\x01"); /* of size 0 */
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\xff\xff\xff\xff\0\0\0\x01");
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01\xff\xff\xff\xff");
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\x7f\xff\xff\xff"
                    "\0\0\0\0");
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\0\0\0\x05\0\0\0\0");
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\xff\xff\xff\xfe");
    CHECK_MALFORMED("\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff\0");
    CHECK_MALFORMED("\0\0\0\0\0\0\0\0\0\0\0\x17\0"); /* empty, and yet */
    static const char *const texts[] = {"",
                                        "{",
                                        "1",
                                        "{1",
                                        "{1}}",
                                        "{1,}",
                                        "{,1}",
                                        "{{1},2}",
                                        "{1,{2}}",
                                        "{{1},{2,3}}",
                                        "{\"1}",
                                        "{{}}",
                                        "[1:2]{1,2}",
                                        "[1:2={1,2}",
                                        "[1:1][1:1]={1}",
                                        "{1}x",
                                        "{1 \"2\"}",
                                        "[x:1]={1}",
                                        "{{{{{{{1}}}}}}}",
                                        "[99999999999:1]={1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_malformed(CELLS_TEXT, texts[i], (int)strlen(texts[i]));
    }
}

TEST(an_element_of_the_wrong_length_is_named)
{
    tug_pg_array a;
    int x = 0;
    const char data[] = "\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04\0\0\0\x07"
                        "\0\0\0\x02\0\x08";
    tug_pg_result *res = cells_one(1007, CELLS_BINARY, data, (int)sizeof data - 1);
    assert_ok(tug_pg_result_array(res, 0, 0, &a));
    assert_ok(tug_pg_array_get(&a, 0, TUG_SLOT(&x)));
    assert_int_equal(x, 7);
    assert_rc(tug_pg_array_get(&a, 1, TUG_SLOT(&x)), TUG_EPROTO);
    assert_detail_has(
        "row 0, column 1 \"x\"[1]: the server sent 2 bytes in binary that are no int4");
    assert_rc(tug_pg_array_get(&a, 0, tug__slot(TUG_SLOT_INT, &x, 3)), TUG_EMISUSE);
    assert_rc(tug_pg_array_get(&a, 0, tug__slot(TUG_SLOT_UUID, &x, 4)), TUG_EMISUSE);
    tug_pg_result_unref(res);
}

/* --- parameters ------------------------------------------------------------------------------------ */

typedef struct encoded {
    tug__pg_args args;
    tug__pg_params params;
} encoded;

static int encode(encoded *e, const struct tug_array *a, Oid type)
{
    tug_value v = tug_array_value(a);
    memset(e, 0, sizeof *e);
    int rc = tug__pg_args_copy(&e->args, (tug_args){&v, 1});
    return rc < 0 ? rc : tug__pg_args_encode(&e->args, &type, 1, &e->params);
}

static void encoded_free(encoded *e)
{
    tug__pg_args_free(&e->args);
    tug__pg_params_free(&e->params);
}

TEST(the_copy_of_an_array_outlives_it)
{
    encoded e = {0};
    char first[] = "first", second[] = "second";
    const char *words[] = {first, NULL, second};
    bool is_null[] = {false, false, false};
    int32_t sizes[] = {3}, lower[] = {5};
    struct tug_array a = *TUG_ARRAY_NULLS(words, 3, is_null);
    a.dimensions = 1;
    a.sizes = sizes;
    a.lower = lower;
    tug_value v = tug_array_value(&a);
    Oid type = 12345;
    assert_ok(tug__pg_args_copy(&e.args, (tug_args){&v, 1}));
    memset(first, 'x', sizeof first);
    memset(second, 'x', sizeof second);
    memset(words, 0, sizeof words);
    memset(is_null, 1, sizeof is_null);
    memset(sizes, 0, sizeof sizes);
    memset(lower, 0, sizeof lower);
    memset(&a, 0, sizeof a);
    assert_ok(tug__pg_args_encode(&e.args, &type, 1, &e.params));
    assert_int_equal(e.params.formats[0], 0);
    assert_string_equal(e.params.values[0], "[5:7]={\"first\",NULL,\"second\"}");
    encoded_free(&e);
}

TEST(arrays_are_binary_if_their_elements_are)
{
    encoded e;
    const int ints[] = {1, -1};
    const char binary[] = "\0\0\0\x01\0\0\0\0\0\0\0\x15\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x01"
                          "\0\0\0\x02\xff\xff";
    assert_ok(encode(&e, TUG_ARRAY(ints, 2), 1005));
    assert_int_equal(e.params.formats[0], 1);
    assert_int_equal(e.params.lengths[0], sizeof binary - 1);
    assert_memory_equal(e.params.values[0], binary, sizeof binary - 1);
    encoded_free(&e);
    assert_ok(encode(&e, TUG_ARRAY(ints, 2), 1231));
    assert_int_equal(e.params.formats[0], 0);
    assert_string_equal(e.params.values[0], "{\"1\",\"-1\"}");
    encoded_free(&e);
    /* Two that would be binary and one that is not: the server parses all. */
    const char *const uuids[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", NULL, "{A0}"};
    assert_ok(encode(&e, TUG_ARRAY(uuids, 3), 2951));
    assert_string_equal(e.params.values[0],
                        "{\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\",NULL,\"{A0}\"}");
    encoded_free(&e);
}

static void check_refused(const struct tug_array *a, Oid type, int code, const char *detail)
{
    encoded e;
    assert_rc(encode(&e, a, type), code);
    assert_detail_has(detail);
    encoded_free(&e);
}

TEST(arrays_with_something_wrong)
{
    const int ints[] = {1, 2, 3, 4};
    const int32_t sizes[] = {2, 2, 0, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    const int32_t far[] = {INT32_MAX, 1};
    const tug_value nested[] = {tug_array_value(TUG_ARRAY(ints, 2))};
    struct tug_array a = *TUG_ARRAY(ints, 4);
    a.size = 3;
    check_refused(&a, 1007, TUG_EINVAL, "no known type (1, 3 bytes)");
    a = *TUG_ARRAY(ints, 4);
    a.type = 99;
    check_refused(&a, 1007, TUG_EINVAL, "no known type (99");
    a = *TUG_ARRAY(ints, 4);
    a.data = NULL;
    check_refused(&a, 1007, TUG_EINVAL, "parameter 1 is an array of 4 elements at NULL");
    a = *TUG_ARRAY(ints, 4);
    a.dimensions = 7;
    a.sizes = sizes;
    check_refused(&a, 1007, TUG_ELIMIT, "7 dimensions");
    a.dimensions = 3;
    check_refused(&a, 1007, TUG_EINVAL, "dimension 3 of the array has size 0");
    a.dimensions = 2;
    a.lower = far;
    check_refused(&a, 1007, TUG_EINVAL, "dimension 1 of the array has size 2 from 2147483647");
    a.sizes = NULL;
    check_refused(&a, 1007, TUG_EINVAL, "sizes NULL");
    a = *TUG_ARRAY(ints, 4);
    a.n = (size_t)1 << 40;
    check_refused(&a, 1007, TUG_ELIMIT, "the most are");
    check_refused(TUG_ARRAY(nested, 1), 1007, TUG_EINVAL, "parameter 1[0] is a value of no known");
    check_refused(TUG_ARRAY(ints, 4), 1001, TUG_ETYPE,
                  "parameter 1[0] wants bytea, not an integer");
}

/* All C types, through the encoder and the decoder. */
#define CHECK_TRIP(type, ctype, ...)                                                               \
    do {                                                                                           \
        const ctype sent[] = {__VA_ARGS__};                                                        \
        size_t n = sizeof sent / sizeof *sent;                                                     \
        encoded e;                                                                                 \
        tug_pg_array a;                                                                            \
        assert_ok(encode(&e, TUG_ARRAY(sent, n), type));                                           \
        assert_int_equal(e.params.formats[0], 1);                                                  \
        tug_pg_result *res = cells_one(type, CELLS_BINARY, e.params.values[0],                     \
                                       e.params.lengths[0]);                                       \
        assert_ok(tug_pg_result_array(res, 0, 0, &a));                                             \
        assert_int_equal(a.n, n);                                                                  \
        for (size_t i = n; i > 0; i--) {                                                           \
            ctype back;                                                                            \
            memset(&back, 0, sizeof back);                                                         \
            assert_ok(tug_pg_array_get(&a, i - 1, TUG_SLOT(&back)));                               \
            assert_memory_equal(&back, &sent[i - 1], sizeof back);                                 \
        }                                                                                          \
        tug_pg_result_unref(res);                                                                  \
        encoded_free(&e);                                                                          \
    } while (0)

TEST(every_c_type_as_an_array)
{
    CHECK_TRIP(1000, bool, true, false);
    CHECK_TRIP(1007, signed char, -128, 127);
    CHECK_TRIP(1007, unsigned char, 0, 255);
    CHECK_TRIP(1005, short, INT16_MIN, INT16_MAX);
    CHECK_TRIP(1007, unsigned short, 0, UINT16_MAX);
    CHECK_TRIP(1007, int, INT32_MIN, 0, INT32_MAX);
    CHECK_TRIP(1028, unsigned, 0, UINT32_MAX);
    CHECK_TRIP(1016, long, INT64_MIN, INT64_MAX);
    CHECK_TRIP(1016, unsigned long, 0, INT64_MAX);
    CHECK_TRIP(1016, long long, INT64_MIN, INT64_MAX);
    CHECK_TRIP(1016, unsigned long long, 0, INT64_MAX);
    CHECK_TRIP(1021, float, 0.1F, -1e30F);
    CHECK_TRIP(1022, double, 0.1, -1e300);
    CHECK_TRIP(1185, struct tug_timestamp, {0}, {INT64_MAX});
    CHECK_TRIP(1182, struct tug_date, {0}, {INT32_MIN}, {TUG__PG_EPOCH_DAYS});
    CHECK_TRIP(1183, struct tug_time_of_day, {0}, {TUG__PG_DAY_US});
    CHECK_TRIP(1187, struct tug_interval, {-1, 2, -3}, {INT32_MAX, INT32_MIN, INT64_MIN});
    CHECK_TRIP(2951, struct tug_uuid, {{1, 2, 3}});
    CHECK_TRIP(1041, struct tug_inet, {4, 8, {10}}, {6, 128, {1, [15] = 2}});
    CHECK_TRIP(1040, struct tug_macaddr, {6, {1, 2, 3, 4, 5, 6}});
    CHECK_TRIP(775, struct tug_macaddr, {8, {1, 2, 3, 4, 5, 6, 7, 8}});
}
