/* What:      arrays of a result. (Arrays on the way there: TUG_ARRAY in <tug/value.h>.)
 * Ownership: a tug_pg_array is a plain value that borrows from its result: nothing is to be freed, and it
 *            ends with the result. So does text that is borrowed from its elements.
 * Context:   any thread, one at a time for a result.
 * Callbacks: none.
 * Errors:    TUG_ETYPE (no array), TUG_ENULL, TUG_EPROTO (the server's bytes are no array), TUG_ENOMEM,
 *            TUG_ENOTFOUND and TUG_EMISUSE as for <tug/pg.h>'s getters; for elements what tug_pg_scan
 *            says of columns. */
#ifndef TUG_PG_ARRAY_H
#define TUG_PG_ARRAY_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* PostgreSQL's own limit (MAXDIM). */
#define TUG_PG_ARRAY_DIMENSIONS_MAX 6

typedef struct tug_pg_array {
    size_t n;              /* elements, in all dimensions together */
    uint32_t element_type; /* its OID in pg_type */
    int dimensions;        /* 0: an empty array */
    int32_t sizes[TUG_PG_ARRAY_DIMENSIONS_MAX];
    int32_t lower[TUG_PG_ARRAY_DIMENSIONS_MAX]; /* the first index; usually 1 */
    /* private: where it lies, and the element that comes next in it */
    const tug_pg_result *result;
    size_t row, column;
    const char *data, *at, *end;
    size_t next;
    bool binary;
} tug_pg_array;

/* The array in a column of one of the types that arrays are known of: docs/postgres.md has the table.
 * NULL: TUG_ENULL; ask tug_pg_result_is_null before. */
TUG_EXPORT int tug_pg_result_array(const tug_pg_result *res, size_t row, size_t column,
                                   tug_pg_array *ret_array);
/* Element i, counted from 0; of several dimensions the last index varies fastest. By the rules of
 * tug_pg_scan: TUG_SLOT(&x), TUG_COPY(array), TUG_NULLABLE(TUG..., &is_null). In order each costs the
 * same; going back begins at the first element again. TUG_ENOTFOUND: beyond the last. */
TUG_EXPORT int tug_pg_array_get(tug_pg_array *array, size_t i, tug_slot to);

#ifdef __cplusplus
}
#endif
#endif
