#include "interval.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* All fields at their ends are PostgreSQL 17's infinities; older servers have none. */
static int interval_infinite(const struct tug_interval *x)
{
    if (x->months == INT32_MAX && x->days == INT32_MAX && x->us == INT64_MAX) {
        return 1;
    }
    return x->months == INT32_MIN && x->days == INT32_MIN && x->us == INT64_MIN ? -1 : 0;
}

typedef struct interval_out {
    char *p;
    bool any;      /* something stands there */
    bool negative; /* the last part did: then a sign is written also before a positive one */
} interval_out;

static void interval_put(interval_out *o, int64_t x, const char *unit)
{
    if (x == 0) {
        return;
    }
    o->p += sprintf(o->p, "%s%s%" PRId64 " %s%s", o->any ? " " : "",
                    o->negative && x > 0 ? "+" : "", x, unit, x == 1 ? "" : "s");
    o->any = true;
    o->negative = x < 0;
}

static void interval_put_clock(interval_out *o, int64_t us)
{
    uint64_t left = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    unsigned fraction = (unsigned)(left % 1000000);
    left /= 1000000;
    o->p += sprintf(o->p, "%s%s%02" PRIu64 ":%02u:%02u", o->any ? " " : "",
                    us < 0        ? "-"
                    : o->negative ? "+"
                                  : "",
                    left / 3600, (unsigned)(left / 60 % 60), (unsigned)(left % 60));
    if (fraction != 0) {
        o->p += sprintf(o->p, ".%06u", fraction);
        while (o->p[-1] == '0') {
            *--o->p = 0;
        }
    }
}

size_t tug__pg_interval_text(const struct tug_interval *x, char *to)
{
    int infinite = interval_infinite(x);
    if (infinite != 0) {
        strcpy(to, infinite > 0 ? "infinity" : "-infinity");
        return strlen(to);
    }
    interval_out o = {.p = to};
    interval_put(&o, x->months / 12, "year");
    interval_put(&o, x->months % 12, "mon");
    interval_put(&o, x->days, "day");
    if (!o.any || x->us != 0) {
        interval_put_clock(&o, x->us);
    }
    return (size_t)(o.p - to);
}

/* --- reading --------------------------------------------------------------------------------------- */

typedef struct interval_in {
    const char *p, *end;
} interval_in;

static bool interval_digits(interval_in *in, uint64_t most, uint64_t *ret_x)
{
    uint64_t x = 0;
    const char *first = in->p;
    for (; in->p < in->end && *in->p >= '0' && *in->p <= '9'; in->p++) {
        x = x * 10 + (unsigned)(*in->p - '0');
        if (x > most) {
            return false;
        }
    }
    *ret_x = x;
    return in->p > first;
}

static bool interval_char(interval_in *in, char c)
{
    if (in->p == in->end || *in->p != c) {
        return false;
    }
    in->p++;
    return true;
}

/* :MM:SS[.ffffff], behind the hours. */
static bool interval_clock(interval_in *in, uint64_t hours, bool negative, int64_t *ret_us)
{
    uint64_t minute, second, fraction = 0;
    if (!interval_digits(in, 59, &minute) || !interval_char(in, ':') ||
        !interval_digits(in, 59, &second)) {
        return false;
    }
    if (interval_char(in, '.')) {
        const char *first = in->p;
        if (!interval_digits(in, 999999, &fraction) || in->p - first > 6) {
            return false;
        }
        for (ptrdiff_t n = in->p - first; n < 6; n++) {
            fraction *= 10;
        }
    }
    uint64_t us = ((hours * 60 + minute) * 60 + second) * 1000000 + fraction;
    if (us > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_us = negative ? (int64_t)(0 - us) : (int64_t)us;
    return true;
}

static bool interval_word(interval_in *in, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(in->end - in->p) < n || memcmp(in->p, word, n) != 0) {
        return false;
    }
    in->p += n;
    (void)interval_char(in, 's');
    return in->p == in->end || *in->p == ' ';
}

/* " years", behind the number. */
static bool interval_unit(interval_in *in, int64_t x, struct tug_interval *to, int64_t *months)
{
    if (interval_word(in, " year")) {
        *months += 12 * x;
        return true;
    }
    if (interval_word(in, " mon")) {
        *months += x;
        return true;
    }
    if (interval_word(in, " day") && x >= INT32_MIN && x <= INT32_MAX) {
        to->days = (int32_t)x;
        return true;
    }
    return false;
}

static bool interval_part(interval_in *in, struct tug_interval *to, int64_t *months)
{
    uint64_t x;
    bool negative = interval_char(in, '-');
    if (!negative) {
        (void)interval_char(in, '+');
    }
    /* More hours than 64 bits of microseconds have. */
    if (!interval_digits(in, UINT64_C(2562047789), &x)) {
        return false;
    }
    if (interval_char(in, ':')) {
        return interval_clock(in, x, negative, &to->us) && in->p == in->end;
    }
    return interval_unit(in, negative ? -(int64_t)x : (int64_t)x, to, months);
}

bool tug__pg_interval_parse(const char *text, size_t size, struct tug_interval *ret_x)
{
    struct tug_interval x = {0, 0, 0};
    int64_t months = 0;
    interval_in in = {text, text + size};
    bool positive = size == 8 && memcmp(text, "infinity", 8) == 0;
    if (positive || (size == 9 && memcmp(text, "-infinity", 9) == 0)) {
        *ret_x = positive ? (struct tug_interval){INT32_MAX, INT32_MAX, INT64_MAX}
                          : (struct tug_interval){INT32_MIN, INT32_MIN, INT64_MIN};
        return true;
    }
    do {
        if (!interval_part(&in, &x, &months)) {
            return false;
        }
    } while (interval_char(&in, ' '));
    if (in.p != in.end || months < INT32_MIN || months > INT32_MAX) {
        return false;
    }
    x.months = (int32_t)months;
    *ret_x = x;
    return true;
}
