/* The frame parser and the walk over tables, without a connection. */
#include <stdio.h>
#include <stdlib.h>
#include <tug/error.h>

#include "codec.h"
#include "frame.h"
#include "scan.h"
#include "table.h"
#include "test.h"

/* --- frames ------------------------------------------------------------------------------------- */

static struct seen {
    char log[4096]; /* what the callbacks were given */
    size_t n;
    int stop_after; /* frames; 0: never */
} seen;

static int on_frame(void *arg, uint8_t type, uint16_t channel, const uint8_t *payload, size_t size)
{
    (void)arg;
    seen.n += (size_t)snprintf(seen.log + seen.n, sizeof seen.log - seen.n, "[%u/%u:%.*s]", type,
                               channel, (int)size, (const char *)payload);
    return seen.stop_after > 0 && --seen.stop_after == 0 ? 1 : 0;
}

static int on_body(void *arg, uint16_t channel, const uint8_t *part, size_t size, bool last)
{
    (void)arg;
    (void)channel;
    seen.n += (size_t)snprintf(seen.log + seen.n, sizeof seen.log - seen.n, "%.*s%s", (int)size,
                               (const char *)part, last ? "|" : "");
    return 0;
}

static const tug__amqp_frame_ops ops = {on_frame, on_body};

static size_t put(uint8_t *to, uint8_t type, uint16_t channel, const char *payload, size_t size)
{
    to[0] = type;
    tug__amqp_put16(to + 1, channel);
    tug__amqp_put32(to + 3, (uint32_t)size);
    memcpy(to + 7, payload, size);
    to[7 + size] = 0xCE;
    return size + 8;
}

static size_t stream(uint8_t *to)
{
    size_t n = put(to, 1, 3, "method", 6);
    n += put(to + n, 2, 3, "header-14-byte", 14);
    n += put(to + n, 3, 3, "body", 4);
    n += put(to + n, 3, 3, "", 0);
    n += put(to + n, 8, 0, "", 0);
    n += put(to + n, 3, 9, "other", 5);
    return n + put(to + n, 1, 0, "last", 4);
}

static const char *const whole = "[1/3:method][2/3:header-14-byte]body||[8/0:]other|[1/0:last]";

TEST(cut_at_every_byte)
{
    uint8_t data[256];
    size_t size = stream(data);
    tug_error why;
    for (size_t cut = 0; cut <= size; cut++) {
        tug__amqp_frames f;
        memset(&seen, 0, sizeof seen);
        tug__amqp_frames_init(&f, &ops, NULL, 4096, 10);
        assert_int_equal(tug__amqp_frames_feed(&f, data, cut, &why), 0);
        assert_int_equal(tug__amqp_frames_feed(&f, data + cut, size - cut, &why), 0);
        assert_string_equal(seen.log, whole);
        tug__amqp_frames_free(&f);
    }
}

TEST(byte_by_byte)
{
    uint8_t data[256];
    size_t size = stream(data);
    tug_error why;
    tug__amqp_frames f;
    memset(&seen, 0, sizeof seen);
    tug__amqp_frames_init(&f, &ops, NULL, 4096, 10);
    for (size_t i = 0; i < size; i++) {
        /* In memory of its own, so that a byte too many is seen. */
        uint8_t *one = malloc(1);
        *one = data[i];
        assert_int_equal(tug__amqp_frames_feed(&f, one, 1, &why), 0);
        free(one);
    }
    assert_string_equal(seen.log, whole);
    tug__amqp_frames_free(&f);
}

TEST(a_callback_ends_the_feed)
{
    uint8_t data[256];
    size_t size = stream(data);
    tug_error why;
    tug__amqp_frames f;
    memset(&seen, 0, sizeof seen);
    seen.stop_after = 2;
    tug__amqp_frames_init(&f, &ops, NULL, 4096, 10);
    assert_int_equal(tug__amqp_frames_feed(&f, data, size, &why), 1);
    assert_string_equal(seen.log, "[1/3:method][2/3:header-14-byte]");
    tug__amqp_frames_free(&f);
}

/* Fed whole and byte by byte: the same refusal, and nothing handed on. */
static void refused(const uint8_t *data, size_t size, int code, const char *part)
{
    for (size_t step = 1; step <= size; step += size - 1) {
        tug__amqp_frames f;
        tug_error why = {0};
        int rc = 0;
        memset(&seen, 0, sizeof seen);
        tug__amqp_frames_init(&f, &ops, NULL, 4096, 10);
        for (size_t i = 0; rc == 0 && i < size; i += step) {
            rc = tug__amqp_frames_feed(&f, data + i, step < size - i ? step : size - i, &why);
        }
        assert_int_equal(rc, code);
        assert_int_equal(why.code, code);
        assert_non_null(strstr(why.text, part));
        assert_null(strchr(seen.log, '['));
        assert_null(strchr(seen.log, '|'));
        tug__amqp_frames_free(&f);
    }
}

TEST(bad_frames_are_refused)
{
    static uint8_t data[8192];
    size_t n = put(data, 1, 3, "method", 6);
    data[n - 1] = 0xCD;
    refused(data, n, TUG_EPROTO, "end byte");
    n = put(data, 3, 3, "body", 4);
    data[n - 1] = 0;
    refused(data, n, TUG_EPROTO, "end byte");
    refused(data, put(data, 4, 3, "trace", 5), TUG_EPROTO, "unknown type");
    refused(data, put(data, 0, 3, "trace", 5), TUG_EPROTO, "unknown type");
    refused(data, put(data, 1, 11, "method", 6), TUG_ELIMIT, "channel_max");
    refused(data, put(data, 1, 3, "met", 3), TUG_EPROTO, "too short");
    refused(data, put(data, 2, 3, "header-13-byt", 13), TUG_EPROTO, "too short");
    refused(data, put(data, 8, 1, "", 0), TUG_EPROTO, "heartbeat");
    refused(data, put(data, 8, 0, "x", 1), TUG_EPROTO, "heartbeat");
    refused(data, put(data, 3, 0, "body", 4), TUG_EPROTO, "channel 0");
    char big[4097] = {0};
    refused(data, put(data, 3, 3, big, 4096 - 8 + 1), TUG_ELIMIT, "frame_max");
    put(data, 1, 3, "method", 6);
    tug__amqp_put32(data + 3, UINT32_MAX);
    refused(data, 14, TUG_ELIMIT, "frame_max");
}

TEST(a_frame_of_exactly_frame_max_passes)
{
    static uint8_t data[8192];
    static char big[4096];
    tug__amqp_frames f;
    tug_error why;
    memset(big, 'x', sizeof big);
    memset(&seen, 0, sizeof seen);
    tug__amqp_frames_init(&f, &ops, NULL, 4096, 10);
    size_t n = put(data, 3, 3, big, 4096 - 8);
    assert_int_equal(tug__amqp_frames_feed(&f, data, n, &why), 0);
    assert_int_equal(seen.n, 4096 - 8 + 1);
    tug__amqp_frames_free(&f);
}

/* --- tables ------------------------------------------------------------------------------------- */

/* depth tables within each other, the outermost counted; the innermost is empty. */
static size_t nested(uint8_t *to, unsigned depth)
{
    size_t inner = 4;
    for (unsigned i = 1; i < depth; i++) {
        inner += 4 + 3; /* length, then key "k" and type */
    }
    size_t at = 0, left = inner - 4;
    for (unsigned i = 0; i < depth; i++) {
        tug__amqp_put32(to + at, (uint32_t)left);
        at += 4;
        if (i + 1 < depth) {
            memcpy(to + at, "\1kF", 3);
            at += 3;
            left -= 7;
        }
    }
    return at;
}

TEST(nesting_is_bounded)
{
    static uint8_t data[200000];
    size_t size = 0, fields = 0;
    size_t n = nested(data, 1);
    assert_ok(tug__amqp_scan_table(data, n, &size, &fields));
    assert_int_equal(fields, 0);
    n = nested(data, 32);
    assert_ok(tug__amqp_scan_table(data, n, &size, &fields));
    assert_int_equal(size, n);
    assert_int_equal(fields, 1);
    n = nested(data, 33);
    assert_rc(tug__amqp_scan_table(data, n, &size, &fields), TUG_ELIMIT);
    n = nested(data, 1000);
    assert_rc(tug__amqp_scan_table(data, n, &size, &fields), TUG_ELIMIT);
    n = nested(data, 18000); /* as much as a frame carries */
    assert_rc(tug__amqp_scan_table(data, n, &size, &fields), TUG_ELIMIT);
}

/* Lists nest like tables, and count with them. */
TEST(nested_lists_are_bounded)
{
    uint8_t data[512];
    for (int lists = 31; lists <= 32; lists++) {
        size_t at = 4;
        memcpy(data + at, "\1kA", 3);
        at += 3;
        for (int i = 0; i < lists; i++) {
            tug__amqp_put32(data + at, (uint32_t)(5 * (lists - 1 - i)));
            at += 4;
            if (i + 1 < lists) {
                data[at++] = 'A';
            }
        }
        tug__amqp_put32(data, (uint32_t)(at - 4));
        assert_rc(tug__amqp_scan_table(data, at, NULL, NULL), lists == 31 ? 0 : TUG_ELIMIT);
    }
}

static size_t every_type(uint8_t *to)
{
    static const char table[] = "\1at\1"
                                "\1bb\1"
                                "\1cB\1"
                                "\1ds\0\1"
                                "\1eu\0\1"
                                "\1fI\0\0\0\1"
                                "\1gi\0\0\0\1"
                                "\1hl\0\0\0\0\0\0\0\1"
                                "\1iL\0\0\0\0\0\0\0\1"
                                "\1jf\0\0\0\0"
                                "\1kd\0\0\0\0\0\0\0\0"
                                "\1lD\0\0\0\0\1"
                                "\1mS\0\0\0\3abc"
                                "\1nx\0\0\0\2ab"
                                "\1oA\0\0\0\4t\1t\0"
                                "\1pT\0\0\0\0\0\0\0\1"
                                "\1qF\0\0\0\3\1xV"
                                "\1rV";
    tug__amqp_put32(to, sizeof table - 1);
    memcpy(to + 4, table, sizeof table - 1);
    return 4 + sizeof table - 1;
}

/* What the walk passes, the codec takes, and the reverse: they must agree on every type's width. */
TEST(every_type_is_walked_as_the_codec_walks)
{
    uint8_t data[256];
    size_t n = every_type(data), fields = 0, size = 0, offset = 0;
    assert_ok(tug__amqp_scan_table(data, n, &size, &fields));
    assert_int_equal(fields, 18);
    amqp_pool_t pool;
    amqp_table_t table;
    init_amqp_pool(&pool, 4096);
    assert_int_equal(amqp_decode_table(tug__amqp_bytes(data, n), &pool, &table, &offset), 0);
    assert_int_equal(table.num_entries, 18);
    assert_int_equal(offset, n);
    empty_amqp_pool(&pool);
}

TEST(every_truncation_is_refused)
{
    uint8_t data[256];
    size_t n = every_type(data);
    for (size_t size = 0; size < n; size++) {
        uint8_t *copy = malloc(size + 1); /* exact, so that reading beyond is seen */
        memcpy(copy, data, size);
        assert_rc(tug__amqp_scan_table(copy, size, NULL, NULL), TUG_EPROTO);
        if (size >= 4) {
            /* The same with a length that promises no more than there is. */
            tug__amqp_put32(copy, (uint32_t)(size - 4));
            int rc = tug__amqp_scan_table(copy, size, NULL, NULL);
            assert_true(rc == 0 || rc == TUG_EPROTO);
        }
        free(copy);
    }
}

TEST(malformed_tables_are_refused)
{
    static const struct {
        const char *data;
        size_t size;
    } bad[] = {
        {"\0\0\0\3\1kZ", 7},          /* no such type */
        {"\0\0\0\2\5k", 6},           /* a name longer than the table */
        {"\0\0\0\2\1k", 6},           /* a name without a value */
        {"\0\0\0\1\0", 5},            /* an empty name without a value */
        {"\0\0\0\7\1kS\0\0\0\1", 11}, /* text longer than the table */
        {"\0\0\0\7\1kF\0\0\0\1", 11}, /* a table longer than the one around it */
        {"\377\377\377\377\1kV", 7},  /* a length beyond all */
        {"\0\0\0\7\1kS\377\377\377\377", 11},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_rc(tug__amqp_scan_table((const uint8_t *)bad[i].data, bad[i].size, NULL, NULL),
                  TUG_EPROTO);
    }
}

TEST(properties)
{
    tug__amqp_props p;
    /* content_type, content_encoding, headers {k: true}, then delivery_mode */
    static const uint8_t good[] = "\xf0\0\4text\4gzip\0\0\0\4\1kt\1\2";
    assert_ok(tug__amqp_scan_props(good, sizeof good - 1, &p));
    assert_int_equal(p.headers_at, 12);
    assert_int_equal(p.headers_size, 8);
    assert_int_equal(p.n_headers, 1);
    assert_int_equal(p.headers_rc, 0);
    assert_ok(tug__amqp_scan_props((const uint8_t *)"\0\0", 2, &p));
    assert_int_equal(p.headers_at, 0);
    /* Bit 0 announces a second word of flags: the codec would shift by it. */
    assert_rc(tug__amqp_scan_props((const uint8_t *)"\0\1\0\0", 4, &p), TUG_EPROTO);
    assert_rc(tug__amqp_scan_props((const uint8_t *)"\0", 1, &p), TUG_EPROTO);
    assert_rc(tug__amqp_scan_props((const uint8_t *)"\xa0\0\4te", 5, &p), TUG_EPROTO);
    assert_rc(tug__amqp_scan_props((const uint8_t *)"\x20\0\0\0\0\5", 6, &p), TUG_EPROTO);
    /* A bad table of a good length is reported, not refused. */
    assert_ok(tug__amqp_scan_props((const uint8_t *)"\x20\0\0\0\0\3\1kZ", 9, &p));
    assert_int_equal(p.headers_rc, TUG_EPROTO);
}

/* --- what the caller gives ---------------------------------------------------------------------- */

TEST(a_name_of_260_bytes_is_refused)
{
    char name[261];
    memset(name, 'n', 260);
    name[260] = 0;
    tug_amqp_field f = {name, tug_int64(1)};
    struct tug_amqp_table t = tug_amqp_table(&f, 1);
    assert_rc(tug__amqp_check_table("a message's header", &t), TUG_EINVAL);
    assert_detail_has("longer than 255");
    name[255] = 0;
    assert_ok(tug__amqp_check_table("a message's header", &t));
    f.name = "";
    assert_rc(tug__amqp_check_table("a message's header", &t), TUG_EINVAL);
    f.name = NULL;
    assert_rc(tug__amqp_check_table("a message's header", &t), TUG_EINVAL);
    f = (tug_amqp_field){"n", tug_uint64(UINT64_MAX)};
    assert_rc(tug__amqp_check_table("a message's header", &t), TUG_ERANGE);
    t.n = TUG_AMQP_FIELDS_MAX + 1;
    assert_rc(tug__amqp_check_table("a message's header", &t), TUG_EINVAL);
}

TEST(the_room_of_a_table_is_enough)
{
    struct tug_timestamp at = {INT64_C(1700000000000000)};
    const tug_amqp_field f[] = {
        {"int", tug_int64(-1)},          {"uint", tug_uint64(INT64_MAX)},
        {"bool", tug_bool(true)},        {"double", tug_double(0.5)},
        {"text", tug_text("text")},      {"bytes", tug_blob(tug_bytes("\0\1", 2))},
        {"at", tug_timestamp_value(at)}, {"none", tug_null()}};
    struct tug_amqp_table t = tug_amqp_table(f, sizeof f / sizeof *f);
    amqp_table_entry_t entries[8];
    amqp_table_t table;
    uint8_t out[256];
    size_t offset = 0, room = tug__amqp_table_room(&t), fields = 0;
    assert_ok(tug__amqp_check_table("a header", &t));
    tug__amqp_table_fill(&t, entries, &table);
    assert_int_equal(amqp_encode_table(tug__amqp_bytes(out, room), &table, &offset), 0);
    assert_true(offset <= room);
    assert_ok(tug__amqp_scan_table(out, offset, NULL, &fields));
    assert_int_equal(fields, 8);
}

TEST(words_of_the_peer_are_one_line)
{
    char to[8];
    tug__amqp_clean_text(to, sizeof to, tug__amqp_bytes("a\nb\0c\x7f", 6));
    assert_string_equal(to, "a b c ");
    tug__amqp_clean_text(to, sizeof to, tug__amqp_text("longer than that"));
    assert_string_equal(to, "longer ");
}
