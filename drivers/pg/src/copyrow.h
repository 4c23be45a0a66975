/* What:      rows for COPY ... FROM STDIN in text format, as bytes that grow.
 * Ownership: the bytes belong to whoever holds the struct.
 * Context:   any; no I/O, no libpq call.
 * Callbacks: none.
 * Errors:    by tug_fail: TUG_EINVAL, TUG_ERANGE, TUG_ELIMIT, TUG_ENOMEM. */
#ifndef TUG_PG_COPYROW_H
#define TUG_PG_COPYROW_H

#include <tug/value.h>

/* Bytes that grow. Zeroed is empty. */
typedef struct tug__pg_bytes {
    char *data;
    size_t size, capacity;
} tug__pg_bytes;

/* Makes room for more bytes behind size (amortised). TUG_ENOMEM. */
int tug__pg_bytes_reserve(tug__pg_bytes *b, size_t more);
/* Keeps the memory. */
static inline void tug__pg_bytes_clear(tug__pg_bytes *b)
{
    b->size = 0;
}
void tug__pg_bytes_free(tug__pg_bytes *b);

/* Appends one line of COPY text: \N for NULL; text with tab, newline, return and backslash escaped;
 * bytes as bytea's hex form (for bytea columns only: the types are not known here); t and f; doubles in
 * the shortest form that reads back the same, NaN, Infinity; timestamps as ISO with +00. On failure out
 * is as before. TUG_EINVAL "column 3: ..." for text that is not UTF-8 or holds a zero
 * byte; no values at all is TUG_EINVAL too. */
int tug__pg_copy_row(tug__pg_bytes *out, tug_args row);

#endif
