#include "pg_sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- chance ---------------------------------------------------------------------------------------- */

uint64_t sample_random(sample_arena *arena)
{
    uint64_t x = arena->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

size_t sample_below(sample_arena *arena, size_t n)
{
    return (size_t)(sample_random(arena) % n);
}

/* Numbers of all lengths, not only large ones. */
static int64_t random_int(sample_arena *a, unsigned bits)
{
    int64_t x = (int64_t)(sample_random(a) >> sample_below(a, 64));
    return (int64_t)((uint64_t)(sample_below(a, 2) != 0 ? ~x : x) << (64 - bits)) >> (64 - bits);
}

static bool rarely(sample_arena *a)
{
    return sample_below(a, 8) == 0;
}

char *sample_format(sample_arena *arena, const char *format, ...)
{
    char *to = arena->data + arena->size;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to, arena->capacity - arena->size, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < arena->capacity - arena->size);
    arena->size += (size_t)n + 1;
    return to;
}

static char *arena_take(sample_arena *arena, size_t size)
{
    assert_true(arena->capacity - arena->size > size + 16);
    arena->size = (arena->size + 15) / 16 * 16;
    char *to = arena->data + arena->size;
    arena->size += size;
    return to;
}

static void set(sample *s, int type, size_t size, const char *literal)
{
    s->type = type;
    s->size = size;
    s->literal = literal;
}

/* --- numbers --------------------------------------------------------------------------------------- */

static int64_t edge_int(sample_arena *a, unsigned bits)
{
    int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));
    const int64_t edges[] = {0, 1, -1, most, -most - 1, most - 1};
    return rarely(a) ? edges[sample_below(a, 6)] : random_int(a, bits);
}

static void make_bool(sample_arena *a, sample *s)
{
    s->c.b = sample_below(a, 2) != 0;
    set(s, TUG_VALUE_BOOL, sizeof s->c.b, s->c.b ? "true" : "false");
}

static void make_int2(sample_arena *a, sample *s)
{
    s->c.i16 = (int16_t)edge_int(a, 16);
    set(s, TUG_VALUE_INT, sizeof s->c.i16, sample_format(a, "%d", s->c.i16));
}

static void make_int4(sample_arena *a, sample *s)
{
    s->c.i32 = (int32_t)edge_int(a, 32);
    set(s, TUG_VALUE_INT, sizeof s->c.i32, sample_format(a, "%d", s->c.i32));
}

static void make_int8(sample_arena *a, sample *s)
{
    s->c.i64 = edge_int(a, 64);
    set(s, TUG_VALUE_INT, sizeof s->c.i64, sample_format(a, "%lld", (long long)s->c.i64));
}

static void make_oid(sample_arena *a, sample *s)
{
    s->c.u32 = (uint32_t)edge_int(a, 32);
    set(s, TUG_VALUE_UINT, sizeof s->c.u32, sample_format(a, "%u", s->c.u32));
}

static void make_float4(sample_arena *a, sample *s)
{
    const float edges[] = {0, -0.0F, INFINITY, -INFINITY, NAN, 3.4028234e38F, 1.4e-45F, 0.1F};
    uint32_t bits = (uint32_t)sample_random(a);
    memcpy(&s->c.f, &bits, sizeof bits);
    if (rarely(a)) {
        s->c.f = edges[sample_below(a, 8)];
    }
    set(s, TUG_VALUE_DOUBLE, sizeof s->c.f, sample_format(a, "%.9g", (double)s->c.f));
}

static void make_float8(sample_arena *a, sample *s)
{
    const double edges[] = {0,        -0.0, INFINITY, -INFINITY, NAN, 1.7976931348623157e308,
                            4.9e-324, 0.1,  1e15,     123456.5};
    uint64_t bits = sample_random(a);
    memcpy(&s->c.d, &bits, sizeof bits);
    if (rarely(a)) {
        s->c.d = edges[sample_below(a, 10)];
    } else if (sample_below(a, 2) != 0) {
        s->c.d = (double)random_int(a, 54) / 1000;
    }
    set(s, TUG_VALUE_DOUBLE, sizeof s->c.d, sample_format(a, "%.17g", s->c.d));
}

static void make_numeric(sample_arena *a, sample *s)
{
    static const char *const edges[] = {"NaN",   "Infinity", "-Infinity", "0",
                                        "0.000", "-1",       "10000"};
    size_t whole = sample_below(a, rarely(a) ? 1001 : 25) + 1;
    size_t fraction = sample_below(a, rarely(a) ? 501 : 12);
    char *text = arena_take(a, whole + fraction + 4), *p = text;
    if (sample_below(a, 2) != 0) {
        *p++ = '-';
    }
    for (size_t i = 0; i < whole + fraction; i++) {
        if (i == whole) {
            *p++ = '.';
        }
        /* Runs of zeros are where digits get lost. */
        *p++ = (char)('0' + (sample_below(a, 2) != 0 ? 0 : sample_below(a, 10)));
    }
    *p = 0;
    s->c.text = rarely(a) ? edges[sample_below(a, 7)] : text;
    set(s, TUG_VALUE_TEXT, sizeof s->c.text, s->c.text);
}

static void make_decimal(sample_arena *a, sample *s)
{
    s->c.decimal.unscaled = edge_int(a, 64);
    s->c.decimal.scale = (int32_t)sample_below(a, rarely(a) ? 60 : 5);
    char digits[24];
    char *text = arena_take(a, 100), *p = text;
    uint64_t magnitude = s->c.decimal.unscaled < 0 ? 0 - (uint64_t)s->c.decimal.unscaled
                                                   : (uint64_t)s->c.decimal.unscaled;
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)magnitude);
    if (s->c.decimal.unscaled < 0) {
        *p++ = '-';
    }
    for (int i = n > s->c.decimal.scale ? n : s->c.decimal.scale + 1; i > 0; i--) {
        *p++ = i > n ? '0' : digits[n - i];
        if (i == s->c.decimal.scale + 1 && i > 1) {
            *p++ = '.';
        }
    }
    *p = 0;
    set(s, TUG_VALUE_DECIMAL, sizeof s->c.decimal, text);
}

/* --- text ------------------------------------------------------------------------------------------ */

static char *put_character(char *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    } else {
        *p++ = (char)(0xf0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 0x3f));
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    }
    return p;
}

static uint32_t random_character(sample_arena *a)
{
    static const char special[] = "\"\\{},'NULL \t\n\r\v\f%$";
    static const uint32_t edges[] = {0x7f,   0x80,   0x7ff,   0x800,   0xd7ff,
                                     0xe000, 0xffff, 0x10000, 0x10ffff};
    switch (sample_below(a, 8)) {
    case 0:
        return (uint32_t)special[sample_below(a, sizeof special - 1)];
    case 1:
        return edges[sample_below(a, 9)];
    case 2:
        return 0xa0 + (uint32_t)sample_below(a, 0x2000);
    default:
        return 1 + (uint32_t)sample_below(a, 0x7e);
    }
}

static void make_text(sample_arena *a, sample *s)
{
    static const char *const edges[] = {"", "null", "NULL", "{}", "\"", "\\", "a b"};
    size_t n = sample_below(a, sample_below(a, 100) == 0 ? 3000 : 20);
    char *text = arena_take(a, 4 * n + 1), *p = text;
    for (size_t i = 0; i < n; i++) {
        p = put_character(p, random_character(a));
    }
    *p = 0;
    s->c.text = rarely(a) ? edges[sample_below(a, 7)] : text;
    set(s, TUG_VALUE_TEXT, sizeof s->c.text, s->c.text);
}

/* No blanks at the end, which char(n) drops, and no more than a name holds. */
static void make_word(sample_arena *a, sample *s)
{
    size_t n = 1 + sample_below(a, 40);
    char *text = arena_take(a, n + 1);
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)('!' + sample_below(a, '~' - '!'));
    }
    text[n] = 0;
    s->c.text = text;
    set(s, TUG_VALUE_TEXT, sizeof s->c.text, text);
}

static void make_char(sample_arena *a, sample *s)
{
    make_word(a, s);
    ((char *)(uintptr_t)s->c.text)[1] = 0;
}

static void make_json(sample_arena *a, sample *s)
{
    s->c.text = sample_format(a, "{\"a\": %d, \"b\": [true, null, \"x %c\"]}",
                              (int)random_int(a, 30), (int)('a' + sample_below(a, 26)));
    set(s, TUG_VALUE_TEXT, sizeof s->c.text, s->c.text);
}

static void make_bytea(sample_arena *a, sample *s)
{
    size_t n = sample_below(a, rarely(a) ? 300 : 12);
    unsigned char *bytes = (unsigned char *)arena_take(a, n + 1);
    char *hex = arena_take(a, 2 * n + 3);
    strcpy(hex, "\\x");
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (unsigned char)sample_random(a);
        sprintf(hex + 2 + 2 * i, "%02x", bytes[i]);
    }
    s->c.bytes = tug_bytes(bytes, n);
    set(s, TUG_VALUE_BYTES, sizeof s->c.bytes, hex);
}

static void make_uuid(sample_arena *a, sample *s)
{
    uint8_t *b = s->c.uuid.bytes;
    for (int i = 0; i < 16; i++) {
        b[i] = (uint8_t)sample_random(a);
    }
    set(s, TUG_VALUE_UUID, sizeof s->c.uuid,
        sample_format(a, "%02X%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x", b[0],
                      b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                      b[13], b[14], b[15]));
}

/* --- times ----------------------------------------------------------------------------------------- */

/* A day as the C library counts it: years up to most, some before Christ. */
static struct tm random_day(sample_arena *a, int most)
{
    int year = rarely(a)   ? 1 - (int)sample_below(a, 4713)
               : rarely(a) ? 1 + (int)sample_below(a, (size_t)most)
                           : 1900 + (int)sample_below(a, 200);
    return (struct tm){.tm_year = year - 1900,
                       .tm_mon = (int)sample_below(a, 12),
                       .tm_mday = 1 + (int)sample_below(a, 28)};
}

static char *day_text(sample_arena *a, const struct tm *day, const char *clock)
{
    int year = day->tm_year + 1900;
    return sample_format(a, "%04d-%02d-%02d%s%s", year > 0 ? year : 1 - year, day->tm_mon + 1,
                         day->tm_mday, clock, year > 0 ? "" : " BC");
}

/* A time of day, and its text: in full, and only the digits that are needed. */
static int64_t random_clock(sample_arena *a, char **ret_text)
{
    int64_t us = (int64_t)(sample_random(a) % UINT64_C(86400000000));
    us = sample_below(a, 2) != 0 ? us : us / 1000000 * 1000000;
    *ret_text = sample_format(a, "%02d:%02d:%02d.%06d", (int)(us / 3600000000),
                              (int)(us / 60000000 % 60), (int)(us / 1000000 % 60),
                              (int)(us % 1000000));
    return us;
}

static void make_date(sample_arena *a, sample *s)
{
    static const struct tm first = {.tm_year = -4713 - 1900, .tm_mon = 10, .tm_mday = 24};
    static const struct tm last = {.tm_year = 5874897 - 1900, .tm_mon = 11, .tm_mday = 31};
    struct tm day = random_day(a, 5874896);
    size_t edge = rarely(a) ? sample_below(a, 4) : 4;
    day = edge == 0 ? first : edge == 1 ? last : day;
    const char *text = day_text(a, &day, "");
    s->c.date.days = (int32_t)(timegm(&day) / 86400);
    if (edge == 2 || edge == 3) {
        s->c.date.days = edge == 2 ? INT32_MAX : INT32_MIN;
        text = edge == 2 ? "infinity" : "-infinity";
    }
    set(s, TUG_VALUE_DATE, sizeof s->c.date, text);
}

static void make_instant(sample_arena *a, sample *s, const char *zone)
{
    struct tm day = random_day(a, 294245);
    char *clock;
    int64_t us = random_clock(a, &clock);
    const char *text = day_text(a, &day, sample_format(a, " %s%s", clock, zone));
    s->c.timestamp.us = (int64_t)timegm(&day) * 1000000 + us;
    if (rarely(a)) {
        bool last = sample_below(a, 2) != 0;
        s->c.timestamp.us = last ? INT64_MAX : INT64_MIN;
        text = last ? "infinity" : "-infinity";
    }
    set(s, TUG_VALUE_TIMESTAMP, sizeof s->c.timestamp, text);
}

static void make_timestamp(sample_arena *a, sample *s)
{
    make_instant(a, s, "");
}

static void make_timestamptz(sample_arena *a, sample *s)
{
    make_instant(a, s, "+00");
}

static void make_time(sample_arena *a, sample *s)
{
    char *text;
    s->c.time.us = random_clock(a, &text);
    if (rarely(a)) {
        s->c.time.us = INT64_C(86400000000);
        text = sample_format(a, "24:00:00");
    }
    set(s, TUG_VALUE_TIME_OF_DAY, sizeof s->c.time, text);
}

static void make_timetz(sample_arena *a, sample *s)
{
    char *text;
    int hours = (int)sample_below(a, 16), minutes = (int)sample_below(a, 60);
    int seconds = sample_below(a, 3) == 0 ? (int)sample_below(a, 60) : 0;
    bool west = sample_below(a, 2) != 0;
    minutes = sample_below(a, 2) != 0 ? minutes : 0;
    s->c.time_tz.us = random_clock(a, &text);
    s->c.time_tz.offset = (west ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
    set(s, TUG_VALUE_TIME_TZ, sizeof s->c.time_tz,
        sample_format(a, "%s%c%02d:%02d:%02d", text, west ? '-' : '+', hours, minutes, seconds));
}

static void make_interval(sample_arena *a, sample *s)
{
    struct tug_interval *x = &s->c.interval;
    *x = (struct tug_interval){(int32_t)random_int(a, 31), (int32_t)random_int(a, 32),
                               random_int(a, 62)};
    for (int i = 0; i < 3; i++) {
        if (sample_below(a, 3) == 0) {
            *(i == 0 ? &x->months : &x->days) = i == 2 ? x->days : 0;
            x->us = i == 2 ? 0 : x->us;
        }
    }
    int64_t us = x->us < 0 ? -x->us : x->us;
    set(s, TUG_VALUE_INTERVAL, sizeof *x,
        sample_format(a, "%d mons %d days %s%02lld:%02d:%02d.%06d", x->months, x->days,
                      x->us < 0 ? "-" : "", (long long)(us / 3600000000), (int)(us / 60000000 % 60),
                      (int)(us / 1000000 % 60), (int)(us % 1000000)));
}

/* --- addresses ------------------------------------------------------------------------------------- */

static void make_inet(sample_arena *a, sample *s)
{
    struct tug_inet *x = &s->c.inet;
    uint8_t *b = x->address;
    *x = (struct tug_inet){.family = sample_below(a, 2) != 0 ? 4 : 6};
    int size = x->family == 4 ? 4 : 16;
    x->bits = (uint8_t)(sample_below(a, 2) != 0 ? (size_t)size * 8
                                                : sample_below(a, (size_t)size * 8 + 1));
    for (int i = 0; i < size; i++) {
        /* Words of zeros are what IPv6 has shorter forms for. */
        b[i] = sample_below(a, 2) != 0 && i % 2 == 0 ? 0 : (uint8_t)sample_random(a);
        b[i] = i % 2 != 0 && b[i - 1] == 0 && sample_below(a, 3) != 0 ? 0 : b[i];
    }
    if (x->family == 6 && rarely(a)) {
        memset(b, 0, sample_below(a, 2) != 0 ? 15 : 12);
    }
    s->type = TUG_VALUE_INET;
    s->size = sizeof *x;
    s->literal = x->family == 4
                     ? sample_format(a, "%d.%d.%d.%d/%d", b[0], b[1], b[2], b[3], x->bits)
                     : sample_format(a, "%x:%x:%x:%x:%x:%x:%x:%x/%d", b[0] << 8 | b[1],
                                     b[2] << 8 | b[3], b[4] << 8 | b[5], b[6] << 8 | b[7],
                                     b[8] << 8 | b[9], b[10] << 8 | b[11], b[12] << 8 | b[13],
                                     b[14] << 8 | b[15], x->bits);
}

static void make_cidr(sample_arena *a, sample *s)
{
    make_inet(a, s);
    struct tug_inet *x = &s->c.inet;
    uint8_t *b = x->address;
    for (int bit = x->bits; bit < 128; bit++) {
        b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    }
    s->literal = x->family == 4
                     ? sample_format(a, "%d.%d.%d.%d/%d", b[0], b[1], b[2], b[3], x->bits)
                     : sample_format(a, "%x:%x:%x:%x:%x:%x:%x:%x/%d", b[0] << 8 | b[1],
                                     b[2] << 8 | b[3], b[4] << 8 | b[5], b[6] << 8 | b[7],
                                     b[8] << 8 | b[9], b[10] << 8 | b[11], b[12] << 8 | b[13],
                                     b[14] << 8 | b[15], x->bits);
}

static void make_mac(sample_arena *a, sample *s, int size)
{
    uint8_t *b = s->c.macaddr.bytes;
    s->c.macaddr = (struct tug_macaddr){.size = (uint8_t)size};
    for (int i = 0; i < size; i++) {
        b[i] = (uint8_t)sample_random(a);
    }
    set(s, TUG_VALUE_MACADDR, sizeof s->c.macaddr,
        size == 6
            ? sample_format(a, "%02x%02x%02x-%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5])
            : sample_format(a, "%02x-%02x-%02x-%02x-%02x-%02x-%02x-%02x", b[0], b[1], b[2], b[3],
                            b[4], b[5], b[6], b[7]));
}

static void make_macaddr(sample_arena *a, sample *s)
{
    make_mac(a, s, 6);
}

static void make_macaddr8(sample_arena *a, sample *s)
{
    make_mac(a, s, 8);
}

const sample_kind sample_kinds[] = {
    {"bool", make_bool},
    {"int2", make_int2},
    {"int4", make_int4},
    {"int8", make_int8},
    {"oid", make_oid},
    {"float4", make_float4},
    {"float8", make_float8},
    {"numeric", make_numeric},
    {"numeric", make_decimal},
    {"text", make_text},
    {"varchar", make_text},
    {"bpchar", make_word},
    {"name", make_word},
    {"\"char\"", make_char},
    {"json", make_json},
    {"jsonb", make_json},
    {"bytea", make_bytea},
    {"uuid", make_uuid},
    {"date", make_date},
    {"time", make_time},
    {"timetz", make_timetz},
    {"timestamp", make_timestamp},
    {"timestamptz", make_timestamptz},
    {"interval", make_interval},
    {"inet", make_inet},
    {"cidr", make_cidr},
    {"macaddr", make_macaddr},
    {"macaddr8", make_macaddr8},
};
const size_t sample_kinds_n = sizeof sample_kinds / sizeof *sample_kinds;

/* --- values ---------------------------------------------------------------------------------------- */

void sample_make(sample_arena *arena, const sample_kind *kind, sample *s)
{
    memset(s, 0, sizeof *s);
    kind->make(arena, s);
    s->is_null = rarely(arena);
}

static int64_t sample_int(const sample *s)
{
    return s->size == 2 ? s->c.i16 : s->size == 4 ? s->c.i32 : s->c.i64;
}

tug_value sample_value(const sample *s)
{
    if (s->is_null) {
        return tug_null();
    }
    switch (s->type) {
    case TUG_VALUE_BOOL:
        return tug_bool(s->c.b);
    case TUG_VALUE_INT:
        return tug_int64(sample_int(s));
    case TUG_VALUE_UINT:
        return tug_uint64(s->c.u32);
    case TUG_VALUE_DOUBLE:
        return tug_double(s->size == sizeof(float) ? (double)s->c.f : s->c.d);
    case TUG_VALUE_TEXT:
        return tug_text(s->c.text);
    case TUG_VALUE_BYTES:
        return tug_blob(s->c.bytes);
    case TUG_VALUE_TIMESTAMP:
        return tug_timestamp_value(s->c.timestamp);
    case TUG_VALUE_DATE:
        return tug_date_value(s->c.date);
    case TUG_VALUE_TIME_OF_DAY:
        return tug_time_of_day_value(s->c.time);
    case TUG_VALUE_TIME_TZ:
        return tug_time_tz_value(s->c.time_tz);
    case TUG_VALUE_INTERVAL:
        return tug_interval_value(s->c.interval);
    case TUG_VALUE_DECIMAL:
        return tug_decimal_value(s->c.decimal);
    case TUG_VALUE_UUID:
        return tug_uuid_value(s->c.uuid);
    case TUG_VALUE_INET:
        return tug_inet_value(s->c.inet);
    default:
        return tug_macaddr_value(s->c.macaddr);
    }
}

tug_slot sample_slot(sample *back, int type, size_t size)
{
    static const int slots[] = {[TUG_VALUE_BOOL] = TUG_SLOT_BOOL,
                                [TUG_VALUE_INT] = TUG_SLOT_INT,
                                [TUG_VALUE_UINT] = TUG_SLOT_UINT,
                                [TUG_VALUE_DOUBLE] = TUG_SLOT_FLOAT,
                                [TUG_VALUE_TEXT] = TUG_SLOT_TEXT,
                                [TUG_VALUE_BYTES] = TUG_SLOT_BYTES,
                                [TUG_VALUE_TIMESTAMP] = TUG_SLOT_TIMESTAMP,
                                [TUG_VALUE_DATE] = TUG_SLOT_DATE,
                                [TUG_VALUE_TIME_OF_DAY] = TUG_SLOT_TIME_OF_DAY,
                                [TUG_VALUE_TIME_TZ] = TUG_SLOT_TIME_TZ,
                                [TUG_VALUE_INTERVAL] = TUG_SLOT_INTERVAL,
                                [TUG_VALUE_DECIMAL] = TUG_SLOT_DECIMAL,
                                [TUG_VALUE_UUID] = TUG_SLOT_UUID,
                                [TUG_VALUE_INET] = TUG_SLOT_INET,
                                [TUG_VALUE_MACADDR] = TUG_SLOT_MACADDR};
    memset(back, 0, sizeof *back);
    back->type = type;
    back->size = size;
    return tug_slot_nullable(tug__slot(slots[type], &back->c, size), &back->is_null);
}

bool sample_equal(const sample *sent, const sample *back)
{
    if (sent->is_null || back->is_null) {
        return sent->is_null && back->is_null;
    }
    switch (sent->type) {
    case TUG_VALUE_DOUBLE:
        return sent->size == sizeof(float)
                   ? (isnan(sent->c.f) && isnan(back->c.f)) ||
                         memcmp(&sent->c.f, &back->c.f, sizeof sent->c.f) == 0
                   : (isnan(sent->c.d) && isnan(back->c.d)) ||
                         memcmp(&sent->c.d, &back->c.d, sizeof sent->c.d) == 0;
    case TUG_VALUE_TEXT:
        return strcmp(sent->c.text, back->c.text) == 0;
    case TUG_VALUE_BYTES:
        return sent->c.bytes.size == back->c.bytes.size &&
               memcmp(sent->c.bytes.data, back->c.bytes.data, back->c.bytes.size) == 0;
    case TUG_VALUE_TIME_TZ:
        return sent->c.time_tz.us == back->c.time_tz.us &&
               sent->c.time_tz.offset == back->c.time_tz.offset;
    case TUG_VALUE_DECIMAL:
        return sent->c.decimal.unscaled == back->c.decimal.unscaled &&
               sent->c.decimal.scale == back->c.decimal.scale;
    default:
        return memcmp(&sent->c, &back->c, sent->size) == 0;
    }
}
