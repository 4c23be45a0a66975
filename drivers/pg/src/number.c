#include "number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tug__pg_uint_text(uint64_t x, char *to)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + x % 10);
        x /= 10;
    } while (x != 0);
    for (size_t i = 0; i < n; i++) {
        to[i] = digits[n - 1 - i];
    }
    to[n] = 0;
    return n;
}

size_t tug__pg_int_text(int64_t x, char *to)
{
    if (x >= 0) {
        return tug__pg_uint_text((uint64_t)x, to);
    }
    *to = '-';
    return 1 + tug__pg_uint_text(0 - (uint64_t)x, to + 1);
}

bool tug__pg_uint_parse(const char *text, size_t size, uint64_t *ret_x)
{
    uint64_t x = 0;
    if (size == 0) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)((unsigned char)text[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(x, 10, &x) ||
            __builtin_add_overflow(x, digit, &x)) {
            return false;
        }
    }
    *ret_x = x;
    return true;
}

bool tug__pg_int_parse(const char *text, size_t size, int64_t *ret_x)
{
    bool negative = size > 0 && *text == '-';
    uint64_t x;
    if (!tug__pg_uint_parse(text + negative, size - negative, &x) ||
        x > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_x = negative ? (int64_t)(0 - x) : (int64_t)x;
    return true;
}

/* --- the C locale ---------------------------------------------------------------------------------- */

/* A program that calls setlocale(LC_ALL, "") in Germany prints 0,5 and reads 0.5 as 0. */
static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t number_locale(void)
{
    pthread_once(&c_locale_once, c_locale_make);
    return c_locale;
}

/* --- shortest text --------------------------------------------------------------------------------- */

typedef struct number_digits {
    char digits[24];
    int n;        /* of digits, without zeros at the end */
    int exponent; /* of the first digit: 1.5 is 15, exponent 0 */
} number_digits;

/* x > 0 and finite, with this many significant digits. */
static void number_round(double x, int precision, number_digits *ret)
{
    char text[40];
    locale_t mine = uselocale(number_locale());
    snprintf(text, sizeof text, "%.*e", precision - 1, x);
    uselocale(mine);
    const char *e = strchr(text, 'e');
    ret->n = 0;
    for (const char *p = text; p < e; p++) {
        if (*p != '.') {
            ret->digits[ret->n++] = *p;
        }
    }
    ret->exponent = (int)strtol(e + 1, NULL, 10);
}

/* One more in the last digit. */
static void number_up(number_digits *d)
{
    int i = d->n - 1;
    while (i >= 0 && d->digits[i] == '9') {
        d->digits[i--] = '0';
    }
    if (i >= 0) {
        d->digits[i]++;
    } else {
        d->digits[0] = '1';
        d->exponent++;
    }
}

/* The value step places above x > 0, which is finite; is_power: x is a power of two. */
static double number_neighbour(double x, bool single, int step, bool *ret_is_power)
{
    if (single) {
        float f = (float)x;
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        *ret_is_power = (bits & ((UINT32_C(1) << (FLT_MANT_DIG - 1)) - 1)) == 0;
        bits += (uint32_t)step;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *ret_is_power = (bits & ((UINT64_C(1) << (DBL_MANT_DIG - 1)) - 1)) == 0;
    bits += (uint64_t)(int64_t)step;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Is the number exactly this one? Two that differ do so within 60 more digits: a middle has 54 bits. */
static bool number_is(const number_digits *d, long double middle)
{
    char text[100];
    locale_t mine = uselocale(number_locale());
    snprintf(text, sizeof text, "%.*Le", d->n - 1 + 60, middle);
    uselocale(mine);
    const char *digits = text + (d->n > 1 ? 2 : 1);
    return text[0] == d->digits[0] && memcmp(digits, d->digits + 1, (size_t)d->n - 1) == 0 &&
           digits[d->n - 1 + strspn(digits + d->n - 1, ".0")] == 'e';
}

/* A number half-way to a neighbour reads back as x too, by rounding to even; but PostgreSQL does not rely
 * on that, and prints one more digit. long double holds the two middles exactly. */
static bool number_reads_back(const number_digits *d, double x, bool single, double below,
                              double above)
{
    _Static_assert(LDBL_MANT_DIG > DBL_MANT_DIG, "the middle of two doubles needs one bit more");
    char text[40];
    locale_t c = number_locale();
    snprintf(text, sizeof text, "%.*se%d", d->n, d->digits, d->exponent - d->n + 1);
    if (single ? strtof_l(text, NULL, c) != (float)x : strtod_l(text, NULL, c) != x) {
        return false;
    }
    long double low = ((long double)below + (long double)x) / 2;
    long double high = ((long double)above + (long double)x) / 2;
    long double read = strtold_l(text, NULL, c);
    return !(read == low && number_is(d, low)) && !(read == high && number_is(d, high));
}

static void number_shortest(double x, bool single, number_digits *ret)
{
    /* Up to 15 (6) digits survive the way through a normal double (float), so that fewer than
     * those are found by taking off zeros. Subnormals have fewer digits to begin with. */
    int most = single ? 9 : 17;
    int first = x < (single ? (double)FLT_MIN : DBL_MIN) ? 1 : single ? 6 : 15;
    bool lopsided;
    double below = number_neighbour(x, single, -1, &lopsided);
    double above = number_neighbour(x, single, 1, &lopsided);
    for (int precision = first; precision <= most; precision++) {
        number_round(x, precision, ret);
        if (precision == most || number_reads_back(ret, x, single, below, above)) {
            break;
        }
        /* Below a power of two doubles lie twice as close as above it: the nearest number of so many
         * digits may lie too far below where the next one is good. */
        number_up(ret);
        if (lopsided && number_reads_back(ret, x, single, below, above)) {
            break;
        }
    }
    while (ret->n > 1 && ret->digits[ret->n - 1] == '0') {
        ret->n--;
    }
}

/* fixed: exponents below this are written without e, as PostgreSQL does. */
static size_t number_layout(const number_digits *d, int fixed, char *to)
{
    char *p = to;
    if (d->exponent < -4 || d->exponent >= fixed) {
        *p++ = d->digits[0];
        if (d->n > 1) {
            *p++ = '.';
            memcpy(p, d->digits + 1, (size_t)d->n - 1);
            p += d->n - 1;
        }
        p += sprintf(p, "e%c%02d", d->exponent < 0 ? '-' : '+', abs(d->exponent));
        return (size_t)(p - to);
    }
    if (d->exponent < 0) {
        memcpy(p, "0.000", (size_t)(1 - d->exponent));
        p += 1 - d->exponent;
    }
    for (int i = 0; i < d->n || i <= d->exponent; i++) {
        if (i == d->exponent + 1 && i > 0) {
            *p++ = '.';
        }
        *p++ = i < d->n ? d->digits[i] : '0';
    }
    *p = 0;
    return (size_t)(p - to);
}

static size_t number_text(double x, bool single, char *to)
{
    if (isnan(x)) {
        strcpy(to, "NaN");
        return 3;
    }
    char *p = to;
    if (signbit(x)) {
        *p++ = '-';
        x = -x;
    }
    if (isinf(x)) {
        strcpy(p, "Infinity");
        return (size_t)(p - to) + 8;
    }
    int fixed = single ? 6 : 15;
    if (x < (single ? 1e6 : 1e15) && x == (double)(uint64_t)x) {
        return (size_t)(p - to) + tug__pg_uint_text((uint64_t)x, p);
    }
    number_digits d;
    number_shortest(x, single, &d);
    return (size_t)(p - to) + number_layout(&d, fixed, p);
}

size_t tug__pg_double_text(double x, char *to)
{
    return number_text(x, false, to);
}

size_t tug__pg_float_text(float x, char *to)
{
    return number_text((double)x, true, to);
}

/* --- doubles --------------------------------------------------------------------------------------- */

bool tug__pg_double_parse(const char *text, double *ret_x)
{
    const char *p = text + (*text == '-' || *text == '+');
    bool named = strcmp(p, "NaN") == 0 || strcmp(p, "Infinity") == 0;
    /* strtod reads more than PostgreSQL writes: blanks in front, hexadecimal, "inf". */
    if (!named && (p[strspn(p, "0123456789.eE+-")] != 0 || (*p != '.' && (*p < '0' || *p > '9')))) {
        return false;
    }
    char *end;
    double x = strtod_l(text, &end, number_locale());
    if (*end != 0 || end == text || (isinf(x) && !named)) {
        return false;
    }
    if (x == 0 && strcspn(p, "123456789") < strcspn(p, "eE")) {
        return false; /* underflow: a digit of the mantissa is not 0 */
    }
    *ret_x = x;
    return true;
}

bool tug__pg_int_to_double(int64_t x, double *ret_x)
{
    double d = (double)x;
    /* INT64_MAX rounds up to 2^63, which would not survive the way back. */
    if (d >= 9223372036854775808.0 || (int64_t)d != x) {
        return false;
    }
    *ret_x = d;
    return true;
}

bool tug__pg_uint_to_double(uint64_t x, double *ret_x)
{
    double d = (double)x;
    if (d >= 18446744073709551616.0 || (uint64_t)d != x) {
        return false;
    }
    *ret_x = d;
    return true;
}

bool tug__pg_double_to_float(double x, float *ret_x)
{
    float f = (float)x;
    if ((isinf(f) && !isinf(x)) || (f == 0 && x != 0)) {
        return false;
    }
    *ret_x = f;
    return true;
}
