/* What:      numbers as text, the way PostgreSQL prints and reads them, whatever the program's locale.
 * Ownership: the caller's arrays. Context: any. Callbacks: none.
 * Errors:    parsers answer false: not a number of that kind, or out of range. */
#ifndef TUG_PG_NUMBER_H
#define TUG_PG_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any of the texts below and its 0: "-2.2250738585072014e-308" is the longest, 24. */
#define TUG__PG_NUMBER_TEXT 32

/* All return the length; the text ends with 0. */
size_t tug__pg_int_text(int64_t x, char *to);
size_t tug__pg_uint_text(uint64_t x, char *to);
/* The shortest text that reads back as the same value: "0.1", "1e+15", "-0", "NaN", "-Infinity". */
size_t tug__pg_double_text(double x, char *to);
size_t tug__pg_float_text(float x, char *to);

/* An optional sign and digits, all of the text. */
bool tug__pg_int_parse(const char *text, size_t size, int64_t *ret_x);
bool tug__pg_uint_parse(const char *text, size_t size, uint64_t *ret_x);
/* Decimal text that ends with 0, NaN, Infinity, -Infinity. False also for what overflows, or
 * underflows to 0. */
bool tug__pg_double_parse(const char *text, double *ret_x);

/* The double that equals x; false if there is none. */
bool tug__pg_int_to_double(int64_t x, double *ret_x);
bool tug__pg_uint_to_double(uint64_t x, double *ret_x);
/* Rounded; false if a finite x overflows or a non-zero one becomes 0. */
bool tug__pg_double_to_float(double x, float *ret_x);

#endif
