#include "numeric.h"

#include "be.h"
#include "number.h"

#include <math.h>
#include <stdio.h>

enum {
    NUMERIC_HEADER = 8,
    NUMERIC_DSCALE_MAX = 0x3fff, /* the server's own limit */
    NUMERIC_POSITIVE = 0x0000,
    NUMERIC_NEGATIVE = 0x4000,
    NUMERIC_NAN = 0xc000,
    NUMERIC_INFINITY = 0xd000,
    NUMERIC_MINUS_INFINITY = 0xf000
};

static bool numeric_sign(unsigned sign, tug__pg_numeric *n)
{
    n->finite = sign == NUMERIC_POSITIVE || sign == NUMERIC_NEGATIVE;
    n->sign = sign == NUMERIC_NAN                                          ? 0
              : sign == NUMERIC_NEGATIVE || sign == NUMERIC_MINUS_INFINITY ? -1
                                                                           : 1;
    return n->finite || sign == NUMERIC_NAN || sign == NUMERIC_INFINITY ||
           sign == NUMERIC_MINUS_INFINITY;
}

/* Which of the groups, counted from the first; those in front and behind are 0. */
static unsigned numeric_group(const tug__pg_numeric *n, int i)
{
    return i < 0 || i >= n->ndigits ? 0 : tug__pg_get16(n->digits + 2 * i);
}

bool tug__pg_numeric_read(const void *data, size_t size, tug__pg_numeric *ret_n)
{
    const unsigned char *p = data;
    if (size < NUMERIC_HEADER) {
        return false;
    }
    tug__pg_numeric n = {
        .ndigits = tug__pg_get16(p),
        .weight = (int16_t)tug__pg_get16(p + 2),
        .dscale = tug__pg_get16(p + 6),
        .digits = p + NUMERIC_HEADER,
    };
    if (!numeric_sign(tug__pg_get16(p + 4), &n) || n.dscale > NUMERIC_DSCALE_MAX ||
        size != NUMERIC_HEADER + 2 * (size_t)n.ndigits) {
        return false;
    }
    for (int i = 0; i < n.ndigits; i++) {
        if (numeric_group(&n, i) > 9999) {
            return false;
        }
    }
    *ret_n = n;
    return true;
}

/* --- text ------------------------------------------------------------------------------------------ */

typedef struct numeric_out {
    char *to;
    size_t capacity, size;
} numeric_out;

static void numeric_put(numeric_out *o, char c)
{
    if (o->size + 1 < o->capacity) {
        o->to[o->size] = c;
    }
    o->size++;
}

static const char *numeric_name(const tug__pg_numeric *n)
{
    return n->sign == 0 ? "NaN" : n->sign > 0 ? "Infinity" : "-Infinity";
}

static void numeric_put_whole(numeric_out *o, const tug__pg_numeric *n)
{
    bool started = false;
    for (int i = 0; i <= n->weight; i++) {
        unsigned group = numeric_group(n, i);
        for (unsigned unit = 1000; unit > 0; unit /= 10) {
            unsigned digit = group / unit % 10;
            started = started || digit != 0;
            if (started) {
                numeric_put(o, (char)('0' + digit));
            }
        }
    }
    if (!started) {
        numeric_put(o, '0');
    }
}

static void numeric_put_fraction(numeric_out *o, const tug__pg_numeric *n)
{
    static const unsigned units[] = {1000, 100, 10, 1};
    for (int i = 0; i < n->dscale; i++) {
        /* Group weight + 1 is the first one behind the point. */
        unsigned group = numeric_group(n, n->weight + 1 + i / 4);
        numeric_put(o, (char)('0' + group / units[i % 4] % 10));
    }
}

size_t tug__pg_numeric_text(const tug__pg_numeric *n, char *to, size_t capacity)
{
    numeric_out o = {to, capacity, 0};
    if (!n->finite) {
        for (const char *p = numeric_name(n); *p != 0; p++) {
            numeric_put(&o, *p);
        }
    } else {
        if (n->sign < 0) {
            numeric_put(&o, '-');
        }
        numeric_put_whole(&o, n);
        if (n->dscale > 0) {
            numeric_put(&o, '.');
            numeric_put_fraction(&o, n);
        }
    }
    if (capacity > 0) {
        to[o.size < capacity ? o.size : capacity - 1] = 0;
    }
    return o.size;
}

/* --- numbers --------------------------------------------------------------------------------------- */

/* Up to 2^53 and powers of ten up to 22 doubles hold exactly, so that one division or multiplication
 * rounds once, which is right. Nearly all amounts of money pass here. */
static bool numeric_small(const tug__pg_numeric *n, double *ret_x)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int exponent = 4 * (n->weight + 1 - n->ndigits);
    if (n->ndigits > 4 || exponent > 22 || exponent < -22) {
        return false;
    }
    uint64_t x = 0;
    for (int i = 0; i < n->ndigits; i++) {
        x = x * 10000 + numeric_group(n, i);
    }
    if (x > (UINT64_C(1) << 53)) {
        return false;
    }
    double d = exponent < 0 ? (double)x / tens[-exponent] : (double)x * tens[exponent];
    *ret_x = n->sign < 0 ? -d : d;
    return true;
}

/* A double's rounding is decided within its first 767 digits, or by whether anything follows them: 200
 * groups and a 1 for the rest read as the same double as all digits would. */
static bool numeric_large(const tug__pg_numeric *n, double *ret_x)
{
    enum {
        GROUPS = 200
    };
    char text[4 * GROUPS + 24];
    char *p = text;
    int taken = n->ndigits < GROUPS ? n->ndigits : GROUPS;
    if (n->sign < 0) {
        *p++ = '-';
    }
    for (int i = 0; i < taken; i++) {
        p += sprintf(p, "%04u", numeric_group(n, i));
    }
    int exponent = 4 * (n->weight + 1 - taken);
    for (int i = taken; i < n->ndigits; i++) {
        if (numeric_group(n, i) != 0) {
            *p++ = '1';
            exponent--;
            break;
        }
    }
    sprintf(p, "e%d", exponent);
    return tug__pg_double_parse(text, ret_x);
}

bool tug__pg_numeric_double(const tug__pg_numeric *n, double *ret_x)
{
    if (!n->finite) {
        *ret_x = n->sign == 0 ? NAN : n->sign * INFINITY;
        return true;
    }
    if (n->ndigits == 0) {
        *ret_x = 0;
        return true;
    }
    return numeric_small(n, ret_x) || numeric_large(n, ret_x);
}

bool tug__pg_numeric_whole(const tug__pg_numeric *n, bool *ret_negative, uint64_t *ret_magnitude)
{
    if (!n->finite) {
        return false;
    }
    uint64_t x = 0;
    for (int i = 0; i < n->ndigits; i++) {
        unsigned group = numeric_group(n, i);
        if (i > n->weight && group != 0) {
            return false;
        }
        if (i <= n->weight &&
            (__builtin_mul_overflow(x, 10000, &x) || __builtin_add_overflow(x, group, &x))) {
            return false;
        }
    }
    /* Trailing zero groups are not stored: 10000 is one group, 1, of weight 1. */
    for (int i = n->ndigits; i <= n->weight && x != 0; i++) {
        if (__builtin_mul_overflow(x, 10000, &x)) {
            return false;
        }
    }
    *ret_negative = n->sign < 0 && x != 0;
    *ret_magnitude = x;
    return true;
}
