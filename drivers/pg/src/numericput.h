/* What:      decimal text as the binary form of numeric.
 * Ownership: none. Context: any. Callbacks: none. Errors: by the answer. */
#ifndef TUG_PG_NUMERICPUT_H
#define TUG_PG_NUMERICPUT_H

#include <stddef.h>

/* Bytes that the binary form has at most beside one for each character of the text: head, and digits that
 * stand for zeros of an exponent. */
#define TUG__PG_NUMERIC_PUT 512

/* "-12.50", "1e+15", "NaN", "Infinity", "-Infinity". Writes the binary form and returns its size; 0: it
 * is no number, or has an exponent beyond 300 either way and no double. */
size_t tug__pg_numeric_put(const char *text, size_t size, char *to);

#endif
