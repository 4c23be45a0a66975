#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/redis.h>

#include "reader.h"
#include "test.h"

static redis_pool *pool;

/* The reply to this stream; freed with done(). */
static tug_redis_reply *reply(const char *stream)
{
    const redis_limits limits = {1 << 20, 1000, 1 << 20, 8};
    redis_reader rd;
    redis_root *root = NULL;
    pool = tug__redis_pool_new();
    assert_non_null(pool);
    assert_ok(tug__redis_reader_open(&rd, pool, &limits));
    tug__redis_reader_input(&rd, (const uint8_t *)stream, strlen(stream));
    assert_int_equal(tug__redis_reader_next(&rd, &root), 1);
    tug__redis_reader_close(&rd);
    return &root->node;
}

static void done(tug_redis_reply *r)
{
    tug_redis_reply_unref(r);
    tug__redis_pool_unref(pool);
    assert_int_equal(tug_test_live_allocations(), 0);
}

static void scans_to(const char *stream, int code, const char *says, tug_out out)
{
    tug_redis_reply *r = reply(stream);
    assert_rc(tug_redis_reply_scan(r, out), code);
    if (says != NULL) {
        assert_detail_has(says);
    }
    done(r);
}

TEST(integers_of_all_sizes)
{
    signed char c = 0;
    short s = 0;
    int i = 0;
    long l = 0;
    long long ll = 0;
    unsigned char uc = 0;
    unsigned short us = 0;
    unsigned u = 0;
    unsigned long ul = 0;
    unsigned long long ull = 0;
    scans_to("*5\r\n:-128\r\n:-32768\r\n:-2147483648\r\n:-9223372036854775808\r\n$4\r\n-123\r\n", 0,
             NULL, TUG_OUT(&c, &s, &i, &l, &ll));
    assert_int_equal(c, -128);
    assert_int_equal(s, -32768);
    assert_int_equal(i, INT32_MIN);
    assert_true(l == INT64_MIN);
    assert_true(ll == -123);
    scans_to("*5\r\n:255\r\n:65535\r\n:4294967295\r\n$20\r\n18446744073709551615\r\n:7\r\n", 0,
             NULL, TUG_OUT(&uc, &us, &u, &ul, &ull));
    assert_int_equal(uc, 255);
    assert_int_equal(us, 65535);
    assert_int_equal(u, UINT32_MAX);
    assert_true(ul == UINT64_MAX);
    assert_true(ull == 7);
}

TEST(integers_out_of_range)
{
    signed char c = 5;
    int i = 5;
    int64_t l = 5;
    unsigned u = 5;
    unsigned char uc = 5;
    scans_to(":128\r\n", TUG_ERANGE, "does not fit in 1 bytes", TUG_OUT(&c));
    scans_to(":-129\r\n", TUG_ERANGE, NULL, TUG_OUT(&c));
    scans_to(":2147483648\r\n", TUG_ERANGE, NULL, TUG_OUT(&i));
    scans_to("$19\r\n9223372036854775808\r\n", TUG_ERANGE, NULL, TUG_OUT(&l));
    scans_to("$30\r\n999999999999999999999999999999\r\n", TUG_ERANGE, NULL, TUG_OUT(&l));
    scans_to(":-1\r\n", TUG_ERANGE, NULL, TUG_OUT(&u));
    scans_to(":256\r\n", TUG_ERANGE, NULL, TUG_OUT(&uc));
    assert_int_equal(c + i + (int)l + (int)u + uc, 25);
}

TEST(texts_that_are_no_integers)
{
    int i = 5;
    static const char *const wrong[] = {"$0\r\n\r\n",     "$1\r\n-\r\n",   "$2\r\n 1\r\n",
                                        "$2\r\n1 \r\n",   "$3\r\n1.0\r\n", "+OK\r\n",
                                        "$4\r\n0x10\r\n", "*0\r\n",        "$2\r\n+1\r\n"};
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        scans_to(wrong[n], TUG_ETYPE, NULL, TUG_OUT(&i));
    }
    assert_int_equal(i, 5);
    scans_to("*1\r\n-ERR x\r\n", TUG_ETYPE, "an error in the reply, wanted an integer",
             TUG_OUT(&i));
}

TEST(bools)
{
    bool b = false;
    scans_to(":1\r\n", 0, NULL, TUG_OUT(&b));
    assert_true(b);
    scans_to("$1\r\n0\r\n", 0, NULL, TUG_OUT(&b));
    assert_false(b);
    scans_to(":2\r\n", TUG_ERANGE, "neither 0 nor 1", TUG_OUT(&b));
    struct tug_date day = {7};
    scans_to("$4\r\ntrue\r\n", TUG_ETYPE, "a text in the reply, wanted another type",
             TUG_OUT(&day));
    scans_to("$4\r\ntrue\r\n", TUG_ETYPE, NULL, TUG_OUT(&b));
}

TEST(floats)
{
    double d = 0;
    float f = 0;
    scans_to("$4\r\n-2.5\r\n", 0, NULL, TUG_OUT(&d));
    assert_true(d == -2.5);
    scans_to(":3\r\n", 0, NULL, TUG_OUT(&f));
    assert_true(f == 3.0F);
    scans_to("$3\r\ninf\r\n", 0, NULL, TUG_OUT(&d));
    assert_true(isinf(d));
    scans_to("$5\r\n1e300\r\n", TUG_ERANGE, NULL, TUG_OUT(&f));
    scans_to("$3\r\n1,5\r\n", TUG_ETYPE, NULL, TUG_OUT(&d));
    scans_to("$4\r\n 1.5\r\n", TUG_ETYPE, NULL, TUG_OUT(&d));
    scans_to("$0\r\n\r\n", TUG_ETYPE, NULL, TUG_OUT(&d));
    scans_to("$1\r\nx\r\n", TUG_ETYPE, "a text in the reply, wanted a number", TUG_OUT(&d));
}

TEST(texts)
{
    char array[6] = "-----";
    char *copy = NULL;
    tug_buffer *buffer = NULL;
    scans_to("$5\r\nhello\r\n", 0, NULL, TUG_OUT(TUG_COPY(array)));
    assert_string_equal(array, "hello");
    scans_to("$6\r\nhello!\r\n", TUG_ELIMIT, "6 bytes in the reply does not fit in an array of 6",
             TUG_OUT(TUG_COPY(array)));
    scans_to("+OK\r\n", 0, NULL, TUG_OUT(TUG_DUP(&copy)));
    assert_string_equal(copy, "OK");
    free(copy);
    tug_redis_reply *r = reply("$3\r\na\tb\r\n");
    assert_ok(tug_redis_reply_scan(r, TUG_OUT(&buffer)));
    assert_int_equal(tug_buffer_bytes(buffer).size, 3);
    tug_buffer_unref(buffer);
    done(r);
    scans_to(":-12\r\n", 0, NULL, TUG_OUT(TUG_COPY(array)));
    assert_string_equal(array, "-12");
    scans_to("*0\r\n", TUG_ETYPE, NULL, TUG_OUT(TUG_COPY(array)));
}

TEST(a_nul_byte_is_no_c_string)
{
    const redis_limits limits = {1 << 20, 1000, 1 << 20, 8};
    redis_reader rd;
    redis_root *root = NULL;
    char array[10];
    struct tug_bytes b = {0};
    pool = tug__redis_pool_new();
    assert_non_null(pool);
    assert_ok(tug__redis_reader_open(&rd, pool, &limits));
    tug__redis_reader_input(&rd, (const uint8_t *)"$3\r\na\0b\r\n", 9);
    assert_int_equal(tug__redis_reader_next(&rd, &root), 1);
    assert_rc(tug_redis_reply_scan(&root->node, TUG_OUT(TUG_COPY(array))), TUG_ETYPE);
    assert_detail_has("NUL byte");
    assert_ok(tug_redis_reply_scan(&root->node, TUG_OUT(&b)));
    assert_int_equal(b.size, 3);
    assert_memory_equal(b.data, "a\0b", 3);
    tug__redis_reader_close(&rd);
    done(&root->node);
}

TEST(borrowed_places)
{
    const char *text = NULL;
    struct tug_bytes bytes = {0};
    tug_redis_reply *r = reply("*2\r\n$3\r\nabc\r\n+OK\r\n");
    assert_ok(tug_redis_reply_scan(r, TUG_OUT(&text, &bytes)));
    assert_string_equal(text, "abc");
    assert_ptr_equal(text, tug_redis_reply_text(tug_redis_reply_at(r, 0)));
    assert_int_equal(bytes.size, 2);
    done(r);
    scans_to(":1\r\n", TUG_ETYPE, "cannot be borrowed", TUG_OUT(&text));
    scans_to(":1\r\n", TUG_ETYPE, NULL, TUG_OUT(&bytes));
}

TEST(nil)
{
    int i = 5;
    bool is_null = false;
    scans_to("$-1\r\n", TUG_ENOTFOUND, "nil reply", TUG_OUT(&i));
    scans_to("*-1\r\n", TUG_ENOTFOUND, NULL, TUG_OUT(&i, &i));
    scans_to("$-1\r\n", TUG_ENOTFOUND, NULL, ((tug_out){NULL, 0}));
    scans_to("$-1\r\n", 0, NULL, TUG_OUT(TUG_NULLABLE(&i, &is_null)));
    assert_true(is_null);
    assert_int_equal(i, 5);
    scans_to(":6\r\n", 0, NULL, TUG_OUT(TUG_NULLABLE(&i, &is_null)));
    assert_false(is_null);
    assert_int_equal(i, 6);
    scans_to("*2\r\n:1\r\n$-1\r\n", TUG_ENULL, "nil in the reply, wanted an integer",
             TUG_OUT(&i, &i));
    assert_int_equal(i, 6);
}

TEST(arrays_are_all_or_nothing)
{
    int i = 5;
    char *copy = (char *)1;
    bool is_null = false;
    scans_to("*2\r\n:1\r\n:2\r\n", TUG_ETYPE, "an array of 2 in the reply, wanted 3",
             TUG_OUT(&i, &i, &i));
    scans_to(":1\r\n", TUG_ETYPE, "wanted an array of 2", TUG_OUT(&i, &i));
    scans_to("*3\r\n:1\r\n$1\r\na\r\n$1\r\nx\r\n", TUG_ETYPE, NULL,
             TUG_OUT(TUG_NULLABLE(&i, &is_null), TUG_DUP(&copy), &i));
    assert_int_equal(i, 5);
    assert_ptr_equal(copy, (char *)1);
    scans_to("*1\r\n:9\r\n", 0, NULL, TUG_OUT(&i));
    assert_int_equal(i, 9);
    scans_to("*2\r\n:9\r\n:8\r\n", 0, NULL, ((tug_out){NULL, 0}));
}

TEST(accessors)
{
    int64_t i = 0;
    tug_redis_reply *r = reply("*5\r\n:1\r\n$2\r\n12\r\n$-1\r\n-ERR x\r\n*0\r\n");
    assert_int_equal(tug_redis_reply_type(r), TUG_REDIS_ARRAY);
    assert_int_equal(tug_redis_reply_count(r), 5);
    assert_null(tug_redis_reply_text(r));
    assert_int_equal(tug_redis_reply_bytes(r).size, 0);
    assert_rc(tug_redis_reply_integer(r, &i), TUG_ETYPE);
    assert_ok(tug_redis_reply_integer(tug_redis_reply_at(r, 1), &i));
    assert_int_equal(i, 12);
    assert_rc(tug_redis_reply_integer(tug_redis_reply_at(r, 2), &i), TUG_ENULL);
    assert_true(tug_redis_reply_is_null(tug_redis_reply_at(r, 2)));
    assert_false(tug_redis_reply_is_null(r));
    assert_true(tug_redis_reply_is_error(tug_redis_reply_at(r, 3)));
    assert_false(tug_redis_reply_is_error(r));
    assert_int_equal(tug_redis_reply_count(tug_redis_reply_at(r, 4)), 0);
    assert_int_equal(tug_redis_reply_count(tug_redis_reply_at(r, 0)), 0);
    assert_null(tug_redis_reply_at(r, 5));
    assert_null(tug_redis_reply_unref(NULL));
    done(r);
}
