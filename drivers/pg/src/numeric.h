/* What:      numeric in its binary form: groups of four decimal digits.
 * Ownership: a tug__pg_numeric points into the bytes that it was read from.
 * Context:   any. Callbacks: none.
 * Errors:    read answers false for malformed bytes; the conversions for what does not fit. */
#ifndef TUG_PG_NUMERIC_H
#define TUG_PG_NUMERIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tug/types.h>

typedef struct tug__pg_numeric {
    int sign;    /* 1, -1; 0: not a number */
    bool finite; /* false: NaN or, by sign, an infinity */
    int ndigits; /* groups */
    int weight;  /* the first group counts 10000^weight */
    int dscale;  /* decimal digits behind the point that are shown */
    const unsigned char *digits;
} tug__pg_numeric;

/* Checks everything: the length against the count, each group, sign, scale. */
bool tug__pg_numeric_read(const void *data, size_t size, tug__pg_numeric *ret_n);
/* As the server prints it. Like snprintf: returns the length, writes what fits and a 0. At most
 * 131,072 digits before the point and 16,383 behind it. */
size_t tug__pg_numeric_text(const tug__pg_numeric *n, char *to, size_t capacity);
/* The nearest double; false for what overflows, or underflows to 0. */
bool tug__pg_numeric_double(const tug__pg_numeric *n, double *ret_x);
/* False if it is not a whole number whose magnitude fits. */
bool tug__pg_numeric_whole(const tug__pg_numeric *n, bool *ret_negative, uint64_t *ret_magnitude);

/* With the scale that is shown; or, if it does not fit so, without the zeros at its end. False if there is
 * no such pair. */
bool tug__pg_numeric_decimal(const tug__pg_numeric *n, struct tug_decimal *ret_x);
/* The same from text: "-12.50"; no exponent. */
bool tug__pg_decimal_parse(const char *text, size_t size, struct tug_decimal *ret_x);

/* Room for a decimal as text; long runs of zeros are an exponent. */
#define TUG__PG_DECIMAL_TEXT 64
/* "-12.50", "125e-100". */
size_t tug__pg_decimal_text(const struct tug_decimal *x, char *to);

#endif
