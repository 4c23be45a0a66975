#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "compat.h"
#include "test.h"

static const redis_limits wide = {(size_t)512 << 20, 1 << 20, (size_t)1 << 30, 32};

typedef struct bench {
    redis_pool *pool;
    redis_reader rd;
} bench;

static void bench_open(bench *b, const redis_limits *limits)
{
    b->pool = tug__redis_pool_new();
    assert_non_null(b->pool);
    assert_ok(tug__redis_reader_open(&b->rd, b->pool, limits));
}

static void bench_close(bench *b)
{
    tug__redis_reader_close(&b->rd);
    tug__redis_pool_unref(b->pool);
    assert_int_equal(tug_test_live_allocations(), 0);
}

/* A reply as text: "[1 'a' nil !ERR +OK]". */
static size_t print(const tug_redis_reply *r, char *to, size_t room)
{
    struct tug_bytes b = tug_redis_reply_bytes(r);
    int64_t i = 0;
    size_t n = 0;
    switch (tug_redis_reply_type(r)) {
    case TUG_REDIS_NIL:
        return (size_t)snprintf(to, room, "nil");
    case TUG_REDIS_INTEGER:
        assert_ok(tug_redis_reply_integer(r, &i));
        return (size_t)snprintf(to, room, "%lld", (long long)i);
    case TUG_REDIS_TEXT:
        return (size_t)snprintf(to, room, "'%.*s'", (int)b.size, (const char *)b.data);
    case TUG_REDIS_STATUS:
        return (size_t)snprintf(to, room, "+%s", tug_redis_reply_text(r));
    case TUG_REDIS_ERROR:
        return (size_t)snprintf(to, room, "!%s", tug_redis_reply_text(r));
    default:
        n += (size_t)snprintf(to, room, "[");
        for (size_t e = 0; e < tug_redis_reply_count(r); e++) {
            n += (size_t)snprintf(to + n, room - n, e > 0 ? " " : "");
            n += print(tug_redis_reply_at(r, e), to + n, room - n);
        }
        assert_null(tug_redis_reply_at(r, tug_redis_reply_count(r)));
        return n + (size_t)snprintf(to + n, room - n, "]");
    }
}

static char seen[8192];

/* Takes what the chunk gives; replies are added to seen. */
static int feed(bench *b, const char *data, size_t size)
{
    redis_root *root;
    int rc;
    tug__redis_reader_input(&b->rd, (const uint8_t *)data, size);
    while ((rc = tug__redis_reader_next(&b->rd, &root)) > 0) {
        size_t n = strlen(seen);
        n += print(&root->node, seen + n, sizeof seen - n);
        snprintf(seen + n, sizeof seen - n, "\n");
        tug_redis_reply_unref(&root->node);
    }
    return rc;
}

/* The stream gives these replies however it is cut: whole, byte by byte, in two at every byte, in threes. */
static void assert_replies(const char *stream, const char *expected)
{
    size_t size = strlen(stream);
    for (size_t cut = 0; cut <= size + 2; cut++) {
        bench b;
        bench_open(&b, &wide);
        seen[0] = 0;
        size_t step = cut == size + 1 ? 1 : 3;
        if (cut <= size) {
            assert_int_equal(feed(&b, stream, cut), 0);
            assert_int_equal(feed(&b, stream + cut, size - cut), 0);
        } else {
            for (size_t at = 0; at < size; at += step) {
                /* On the heap, so that a read behind the chunk is found. */
                size_t n = size - at < step ? size - at : step;
                char *copy = malloc(n);
                memcpy(copy, stream + at, n);
                assert_int_equal(feed(&b, copy, n), 0);
                free(copy);
            }
        }
        assert_string_equal(seen, expected);
        bench_close(&b);
    }
}

/* The stream ends the reader with this code and text, however it is cut. */
static void assert_dies(const char *stream, int code, const char *says, const redis_limits *limits)
{
    size_t size = strlen(stream);
    for (size_t step = 1; step <= size; step++) {
        bench b;
        bench_open(&b, limits);
        seen[0] = 0;
        int rc = 0;
        for (size_t at = 0; at < size && rc == 0; at += step) {
            rc = feed(&b, stream + at, size - at < step ? size - at : step);
        }
        if (rc != code || strstr(b.rd.why.text, says) == NULL) {
            fail_msg("step %zu of \"%s\": %s \"%s\"", step, stream, tug_error_name(rc),
                     b.rd.why.text);
        }
        assert_int_equal(b.rd.why.code, code);
        redis_root *root;
        assert_int_equal(tug__redis_reader_next(&b.rd, &root), b.rd.at < b.rd.end ? code : 0);
        bench_close(&b);
    }
}

TEST(replies_of_their_own)
{
    assert_replies("+OK\r\n", "+OK\n");
    assert_replies("-ERR no\r\n", "!ERR no\n");
    assert_replies(":42\r\n:-7\r\n:0\r\n", "42\n-7\n0\n");
    assert_replies(":9223372036854775807\r\n:-9223372036854775808\r\n",
                   "9223372036854775807\n-9223372036854775808\n");
    assert_replies("$5\r\nhello\r\n$0\r\n\r\n$-1\r\n", "'hello'\n''\nnil\n");
    assert_replies("+\r\n-\r\n", "+\n!\n");
    assert_replies("$4\r\na\r\nb\r\n+ab\rc\r\n", "'a\r\nb'\n+ab\rc\n");
}

TEST(arrays)
{
    assert_replies("*0\r\n", "[]\n");
    assert_replies("*-1\r\n", "nil\n");
    assert_replies("*3\r\n:1\r\n$1\r\na\r\n$-1\r\n", "[1 'a' nil]\n");
    assert_replies("*2\r\n-ERR x\r\n+OK\r\n", "[!ERR x +OK]\n");
    assert_replies("*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n*-1\r\n", "[[1 []] [nil]]\n");
}

/* After an array the reader goes back and forth between its own reading and hiredis' buffer. */
TEST(arrays_among_others)
{
    assert_replies(
        "*1\r\n:1\r\n+OK\r\n*1\r\n$2\r\nab\r\n$3\r\nabc\r\n:5\r\n*0\r\n*1\r\n*1\r\n:2\r\n-ERR e\r\n",
        "[1]\n+OK\n['ab']\n'abc'\n5\n[]\n[[2]]\n!ERR e\n");
    assert_replies(
        "$1\r\na\r\n*2\r\n+x\r\n+y\r\n$100\r\n"
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "\r\n*1\r\n:9\r\n",
        "'a'\n[+x +y]\n'0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
        "567890123456789'\n[9]\n");
}

/* hiredis is fed in portions: replies that cross them, many arrays in one chunk, long texts inside. */
TEST(arrays_across_portions)
{
    enum {
        TEXT = 5000,
        ROUNDS = 40
    };
    char *stream = malloc(ROUNDS * (TEXT + 100)), *at = stream;
    for (int i = 0; i < ROUNDS; i++) {
        at += sprintf(at, "*2\r\n$%d\r\n", TEXT);
        memset(at, 'a' + i % 26, TEXT);
        at += TEXT;
        at += sprintf(at, "\r\n:%d\r\n+S%d\r\n", i, i);
    }
    size_t size = (size_t)(at - stream);
    static const size_t chunks[] = {1 << 20, 65536, 16384, 16383, 4099, 1};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        bench b;
        bench_open(&b, &wide);
        int got = 0;
        for (size_t from = 0; from < size; from += chunks[c]) {
            redis_root *root;
            int rc;
            size_t n = size - from < chunks[c] ? size - from : chunks[c];
            tug__redis_reader_input(&b.rd, (const uint8_t *)stream + from, n);
            while ((rc = tug__redis_reader_next(&b.rd, &root)) > 0) {
                char text[16];
                int64_t i = -1;
                snprintf(text, sizeof text, "S%d", got / 2);
                if (got % 2 == 1) {
                    assert_string_equal(tug_redis_reply_text(&root->node), text);
                } else {
                    struct tug_bytes long_text = tug_redis_reply_bytes(
                        tug_redis_reply_at(&root->node, 0));
                    assert_int_equal(long_text.size, TEXT);
                    assert_int_equal(((const char *)long_text.data)[TEXT - 1], 'a' + got / 2 % 26);
                    assert_int_equal(((const char *)long_text.data)[TEXT], 0);
                    assert_ok(tug_redis_reply_integer(tug_redis_reply_at(&root->node, 1), &i));
                    assert_int_equal(i, got / 2);
                }
                tug_redis_reply_unref(&root->node);
                got++;
            }
            assert_ok(rc);
        }
        assert_int_equal(got, 2 * ROUNDS);
        bench_close(&b);
    }
    free(stream);
}

TEST(long_texts_of_all_sizes)
{
    static const size_t sizes[] = {79, 80, 81, 99999, 100000, 262143, 262144, 262145, 600000};
    char *stream = malloc(700000);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = (size_t)sprintf(stream, "$%zu\r\n", sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            stream[n + i] = (char)(i * 31 + s);
        }
        memcpy(stream + n + sizes[s], "\r\n:1\r\n", 6);
        size_t size = n + sizes[s] + 6;
        for (size_t chunk = 1000; chunk < 1000000; chunk *= 9) {
            bench b;
            bench_open(&b, &wide);
            redis_root *root, *text = NULL;
            int replies = 0, rc;
            for (size_t from = 0; from < size; from += chunk) {
                tug__redis_reader_input(&b.rd, (const uint8_t *)stream + from,
                                        size - from < chunk ? size - from : chunk);
                while ((rc = tug__redis_reader_next(&b.rd, &root)) > 0) {
                    if (replies++ == 0) {
                        text = root;
                    } else {
                        tug_redis_reply_unref(&root->node);
                    }
                }
                assert_ok(rc);
            }
            assert_int_equal(replies, 2);
            struct tug_bytes got = tug_redis_reply_bytes(&text->node);
            assert_int_equal(got.size, sizes[s]);
            assert_memory_equal(got.data, stream + n, sizes[s]);
            tug_redis_reply_unref(&text->node);
            bench_close(&b);
        }
    }
    free(stream);
}

TEST(malformed_replies)
{
    assert_dies("HTTP/1.1 400 Bad Request\r\n", TUG_EPROTO, "0x48", &wide);
    assert_dies("+OK\r\n\r\n", TUG_EPROTO, "0x0d", &wide);
    assert_dies("$-5\r\n", TUG_EPROTO, "impossible length", &wide);
    assert_dies("$\r\n", TUG_EPROTO, "impossible length", &wide);
    assert_dies("$1x\r\n", TUG_EPROTO, "impossible length", &wide);
    assert_dies("$+1\r\n", TUG_EPROTO, "impossible length", &wide);
    assert_dies("$99999999999999999999\r\n", TUG_EPROTO, "impossible length", &wide);
    assert_dies("$3\r\nabcdef\r\n", TUG_EPROTO, "longer than its length", &wide);
    assert_dies("$3\r\nabc\rx", TUG_EPROTO, "longer than its length", &wide);
    assert_dies(":x\r\n", TUG_EPROTO, "no integer", &wide);
    assert_dies(":\r\n", TUG_EPROTO, "no integer", &wide);
    assert_dies(":-\r\n", TUG_EPROTO, "no integer", &wide);
    assert_dies(":9223372036854775808\r\n", TUG_EPROTO, "no integer", &wide);
    assert_dies("+OK\n", TUG_EPROTO, "CR LF", &wide);
    assert_dies("*x\r\n", TUG_EPROTO, "hiredis", &wide);
    assert_dies("*-2\r\n", TUG_EPROTO, "hiredis", &wide);
    assert_dies("*1\r\n$-5\r\n", TUG_EPROTO, "hiredis", &wide);
    assert_dies("*1\r\n:x\r\n", TUG_EPROTO, "hiredis", &wide);
    assert_dies("*1\r\n?\r\n", TUG_EPROTO, "hiredis", &wide);
}

/* RESP3 was not asked for: hiredis 1.x would read it. */
TEST(resp3_inside_an_array)
{
    static const char *const streams[] = {
        "*1\r\n#t\r\n", "*1\r\n,1.5\r\n",     "*1\r\n%1\r\n:1\r\n:2\r\n",
        "*1\r\n~0\r\n", "*1\r\n>1\r\n:1\r\n", "*1\r\n=5\r\ntxt:a\r\n",
        "*1\r\n(12\r\n"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        bench b;
        bench_open(&b, &wide);
        seen[0] = 0;
        assert_int_equal(feed(&b, streams[i], strlen(streams[i])), TUG_EPROTO);
        assert_string_equal(seen, "");
        bench_close(&b);
    }
}

TEST(limits_end_the_reader_with_their_names)
{
    const redis_limits narrow = {1024, 10, 4096, 3};
    assert_dies("$1025\r\n", TUG_ELIMIT, "max_bulk (1024)", &narrow);
    assert_dies("$9999999999\r\n", TUG_ELIMIT, "max_bulk", &wide);
    assert_dies("*1\r\n$1025\r\n", TUG_ELIMIT, "max_bulk (1024)", &narrow);
    assert_dies("*11\r\n", TUG_ELIMIT, "11 elements in a reply, over max_elements (10)", &narrow);
    assert_dies("*5\r\n*6\r\n", TUG_ELIMIT, "max_elements", &narrow);
    assert_dies("*1\r\n*1\r\n*1\r\n*1\r\n", TUG_ELIMIT,
                "nested 4 deep in a reply, over max_depth (3)", &narrow);
}

TEST(a_promised_million_costs_nothing)
{
    /* hiredis 1.x takes this one and would make room for 16 GiB. */
    assert_dies("*2147483647\r\n", TUG_ELIMIT, "max_elements", &wide);
#if REDIS_READS_RESP3
    assert_dies("*2147483648\r\n", TUG_ELIMIT, "max_elements", &wide);
#else
    assert_dies("*2147483648\r\n", TUG_EPROTO, "out of range", &wide);
#endif
}

TEST(depth_nine_is_the_end_of_old_hiredis)
{
    char stream[256] = "", expected[64];
    for (int i = 0; i < 8; i++) {
        strcat(stream, "*1\r\n");
    }
    strcpy(expected, "[[[[[[[[1]]]]]]]]\n");
    char eight[300];
    sprintf(eight, "%s:1\r\n", stream);
    assert_replies(eight, expected);
    strcat(stream, "*1\r\n:1\r\n");
#if REDIS_READS_RESP3
    assert_replies(stream, "[[[[[[[[[1]]]]]]]]]\n");
#else
    assert_dies(stream, TUG_ELIMIT, "more than 8 deep", &wide);
#endif
    stream[0] = 0;
    for (int i = 0; i < 33; i++) {
        strcat(stream, "*1\r\n");
    }
    assert_dies(stream, TUG_ELIMIT, "deep", &wide);
}

/* A reply of many small pieces and a line without end: both end at a bound, with little memory. */
TEST(replies_without_end)
{
    const redis_limits narrow = {1024, 1 << 20, 100000, 8};
    char chunk[4096];
    bench b;
    bench_open(&b, &narrow);
    int rc = feed(&b, "*1000000\r\n", 10);
    memset(chunk, 0, sizeof chunk);
    for (size_t i = 0; i < sizeof chunk; i += 4) {
        memcpy(chunk + i, ":1\r\n", 4);
    }
    for (int i = 0; i < 100 && rc == 0; i++) {
        rc = feed(&b, chunk, sizeof chunk);
    }
    assert_int_equal(rc, TUG_ELIMIT);
    assert_non_null(strstr(b.rd.why.text, "max_reply"));
    bench_close(&b);

    static const char *const starts[] = {"+", "*1\r\n+", "$", "*1\r\n$", "*", ":"};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        bench_open(&b, &wide);
        rc = feed(&b, starts[s], strlen(starts[s]));
        memset(chunk, '1', sizeof chunk);
        size_t fed = 0;
        for (; fed < 1000 * sizeof chunk && rc == 0; fed += sizeof chunk) {
            rc = feed(&b, chunk, sizeof chunk);
        }
        assert_in_range(fed, 1, 2 * REDIS_LINE_MAX + sizeof chunk);
        assert_int_equal(rc, TUG_ELIMIT);
        bench_close(&b);
    }
}

/* max_reply is for one reply, not for all together. */
TEST(many_replies_may_be_more_than_one)
{
    const redis_limits narrow = {1024, 100, 2000, 8};
    bench b;
    bench_open(&b, &narrow);
    for (int i = 0; i < 100; i++) {
        seen[0] = 0;
        assert_int_equal(feed(&b, "*2\r\n$50\r\n01234567890123456789012345678901234567890123", 53),
                         0);
        assert_int_equal(feed(&b, "456789\r\n:1\r\n", 12), 0);
        assert_string_equal(seen, "['01234567890123456789012345678901234567890123456789' 1]\n");
    }
    bench_close(&b);
}

/* A length that lies costs only what was sent. */
TEST(a_promised_text_costs_what_comes)
{
    bench b;
    bench_open(&b, &wide);
    assert_int_equal(feed(&b, "$536870912\r\nabc", 15), 0);
    assert_in_range(b.rd.bulk_room, 3, 1 << 20);
    bench_close(&b);
}

TEST(replies_outlive_their_reader_and_pool)
{
    bench b;
    bench_open(&b, &wide);
    redis_root *one = NULL, *two = NULL;
    const char *stream = "$3\r\nabc\r\n*1\r\n$3\r\ndef\r\n";
    tug__redis_reader_input(&b.rd, (const uint8_t *)stream, strlen(stream));
    assert_int_equal(tug__redis_reader_next(&b.rd, &one), 1);
    assert_int_equal(tug__redis_reader_next(&b.rd, &two), 1);
    tug__redis_reader_close(&b.rd);
    tug__redis_pool_unref(b.pool);
    assert_string_equal(tug_redis_reply_text(&one->node), "abc");
    assert_string_equal(tug_redis_reply_text(tug_redis_reply_at(&two->node, 0)), "def");
    tug_redis_reply *again = tug_redis_reply_ref(&two->node);
    tug_redis_reply_unref(&one->node);
    tug_redis_reply_unref(&two->node);
    assert_int_equal(tug_redis_reply_count(again), 1);
    assert_null(tug_redis_reply_unref(again));
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(closed_in_the_middle_of_a_reply)
{
    static const char *const stubs[] = {"$5\r\nab", "*3\r\n:1\r\n$4\r\na", "+O", "$1000000\r\nabc",
                                        "*2\r\n*2\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof stubs / sizeof *stubs; i++) {
        bench b;
        bench_open(&b, &wide);
        assert_int_equal(feed(&b, stubs[i], strlen(stubs[i])), 0);
        bench_close(&b);
    }
}
