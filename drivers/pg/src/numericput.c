#include "numericput.h"

#include <stdbool.h>
#include <string.h>

#include "be.h"

enum {
    NUMERIC_NEGATIVE = 0x4000,
    NUMERIC_NAN = 0xc000,
    NUMERIC_INFINITE = 0xd000,
    NUMERIC_MINUS_INFINITE = 0xf000,
    NUMERIC_EXPONENT = 330, /* doubles end at 308, their last digits 17 places further down */
    NUMERIC_WHOLE = 131072, /* digits before the point, the server's bound */
    NUMERIC_SCALE = 16383   /* and behind it */
};

static size_t numeric_put_head(char *to, size_t n, int weight, unsigned sign, int scale)
{
    tug__pg_put16(to, (uint16_t)n);
    tug__pg_put16(to + 2, (uint16_t)(int16_t)weight);
    tug__pg_put16(to + 4, (uint16_t)sign);
    tug__pg_put16(to + 6, (uint16_t)scale);
    return 8 + 2 * n;
}

/* The parts of "12.50e3". */
typedef struct decimal {
    const char *whole, *fraction;
    long whole_n, fraction_n, exponent;
} decimal;

static long count_digits(const char **at, const char *end)
{
    const char *from = *at;
    while (*at < end && **at >= '0' && **at <= '9') {
        (*at)++;
    }
    return *at - from;
}

static bool decimal_split(const char *at, const char *end, decimal *d)
{
    *d = (decimal){.whole = at};
    d->whole_n = count_digits(&at, end);
    if (at < end && *at == '.') {
        at++;
        d->fraction = at;
        d->fraction_n = count_digits(&at, end);
    }
    if (d->whole_n + d->fraction_n == 0) {
        return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        bool negative = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        const char *from = at;
        if (count_digits(&at, end) == 0) {
            return false;
        }
        while (from < at && d->exponent <= NUMERIC_EXPONENT) {
            d->exponent = 10 * d->exponent + (*from++ - '0');
        }
        if (d->exponent > NUMERIC_EXPONENT) {
            return false;
        }
        d->exponent = negative ? -d->exponent : d->exponent;
    }
    return at == end;
}

/* The digit that counts 10^place. */
static int decimal_digit(const decimal *d, long place)
{
    long at = d->whole_n - 1 - (place - d->exponent); /* from the first digit on */
    if (at < 0 || at >= d->whole_n + d->fraction_n) {
        return 0;
    }
    return (at < d->whole_n ? d->whole[at] : d->fraction[at - d->whole_n]) - '0';
}

static long floor_div4(long x)
{
    return x >= 0 ? x / 4 : -((-x + 3) / 4);
}

size_t tug__pg_numeric_put(const char *text, size_t size, char *to)
{
    const char *at = text, *end = text + size;
    decimal d;
    bool negative = size > 0 && *at == '-';
    at += size > 0 && (*at == '-' || *at == '+');
    if (end - at == 3 && memcmp(at, "NaN", 3) == 0) {
        return numeric_put_head(to, 0, 0, NUMERIC_NAN, 0);
    }
    if (end - at == 8 && memcmp(at, "Infinity", 8) == 0) {
        return numeric_put_head(to, 0, 0, negative ? NUMERIC_MINUS_INFINITE : NUMERIC_INFINITE, 0);
    }
    if (!decimal_split(at, end, &d)) {
        return 0;
    }
    long scale = d.fraction_n - d.exponent;
    scale = scale < 0 ? 0 : scale;
    if (scale > NUMERIC_SCALE || d.whole_n > NUMERIC_WHOLE) {
        return 0;
    }
    /* Groups of four digits, from the highest place down to the last that is shown. */
    long high = floor_div4(d.whole_n - 1 + d.exponent), low = floor_div4(-scale);
    long weight = high;
    size_t n = 0;
    for (long group = high; group >= low; group--) {
        unsigned value = 0;
        for (int i = 3; i >= 0; i--) {
            value = 10 * value + (unsigned)decimal_digit(&d, 4 * group + i);
        }
        if (n == 0 && value == 0) {
            weight = group - 1; /* zeros in front are not sent */
            continue;
        }
        tug__pg_put16(to + 8 + 2 * n++, (uint16_t)value);
    }
    while (n > 0 && tug__pg_get16(to + 8 + 2 * (n - 1)) == 0) {
        n--;
    }
    return numeric_put_head(to, n, n > 0 ? (int)weight : 0,
                            negative && n > 0 ? NUMERIC_NEGATIVE : 0, (int)scale);
}
