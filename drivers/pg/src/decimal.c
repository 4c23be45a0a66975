/* Numeric and the pair of 64-bit integer and scale. */
#include "numeric.h"

#include "be.h"
#include "number.h"

#include <string.h>

__extension__ typedef unsigned __int128 decimal_wide;

/* Digits that are kept while a number is taken apart: 128 bits hold 38. More than 19 are none of a pair
 * anyway, unless those at the end are zeros. */
enum {
    DECIMAL_DIGITS = 36,
    DECIMAL_SHOWN = 24 /* zeros that are written out */
};

/* x / 10^scale; dscale: the digits behind the point that are shown, zeros at the end included. */
static bool decimal_fit(bool negative, decimal_wide x, int scale, int dscale,
                        struct tug_decimal *ret)
{
    while (scale > 0 && x % 10 == 0 && x != 0) {
        x /= 10;
        scale--;
    }
    decimal_wide most = (decimal_wide)INT64_MAX + negative;
    while (scale < 0 && x <= most) {
        x *= 10;
        scale++;
    }
    if (x > most) {
        return false;
    }
    decimal_wide shown = x;
    int n = scale;
    while (n < dscale && shown <= most) {
        shown *= 10;
        n++;
    }
    if (x == 0 || (n == dscale && shown <= most)) {
        x = shown;
        scale = dscale;
    }
    *ret = (struct tug_decimal){negative ? (int64_t)(0 - (uint64_t)x) : (int64_t)x, scale};
    return true;
}

bool tug__pg_numeric_decimal(const tug__pg_numeric *n, struct tug_decimal *ret_x)
{
    decimal_wide x = 0;
    if (!n->finite || n->ndigits > DECIMAL_DIGITS / 4) {
        return false;
    }
    for (int i = 0; i < n->ndigits; i++) {
        x = x * 10000 + tug__pg_get16(n->digits + 2 * i);
    }
    return decimal_fit(n->sign < 0 && x != 0, x, x == 0 ? 0 : 4 * (n->ndigits - 1 - n->weight),
                       n->dscale, ret_x);
}

bool tug__pg_decimal_parse(const char *text, size_t size, struct tug_decimal *ret_x)
{
    bool negative = size > 0 && *text == '-';
    const char *p = text + negative, *end = text + size;
    const char *point = memchr(text, '.', size);
    const char *last = end;
    decimal_wide x = 0;
    if (p == end || *p == '.') {
        return false;
    }
    while (point != NULL && last > point + 1 && last[-1] == '0') {
        last--;
    }
    int digits = 0;
    for (; p < last; p++) {
        if (p == point) {
            continue;
        }
        if (*p < '0' || *p > '9') {
            return false;
        }
        x = x * 10 + (unsigned)(*p - '0');
        digits += x != 0;
        if (digits > DECIMAL_DIGITS) {
            return false;
        }
    }
    int scale = point != NULL ? (int)(last - point - 1) : 0;
    int dscale = point != NULL ? (int)(end - point - 1) : 0;
    return decimal_fit(negative && x != 0, x, scale, dscale, ret_x);
}

size_t tug__pg_decimal_text(const struct tug_decimal *x, char *to)
{
    char *p = to;
    char digits[TUG__PG_NUMBER_TEXT];
    uint64_t magnitude = x->unscaled < 0 ? 0 - (uint64_t)x->unscaled : (uint64_t)x->unscaled;
    size_t n = tug__pg_uint_text(magnitude, digits);
    if (x->unscaled < 0) {
        *p++ = '-';
    }
    if (x->scale < 0 || x->scale > DECIMAL_SHOWN) {
        memcpy(p, digits, n);
        p += n;
        *p++ = 'e';
        return (size_t)(p - to) + tug__pg_int_text(-(int64_t)x->scale, p);
    }
    size_t scale = (size_t)x->scale;
    size_t whole = n > scale ? n - scale : 0;
    if (whole == 0) {
        *p++ = '0';
    }
    memcpy(p, digits, whole);
    p += whole;
    if (scale > 0) {
        *p++ = '.';
        for (size_t i = n - whole; i < scale; i++) {
            *p++ = '0';
        }
        memcpy(p, digits + whole, n - whole);
        p += n - whole;
    }
    *p = 0;
    return (size_t)(p - to);
}
