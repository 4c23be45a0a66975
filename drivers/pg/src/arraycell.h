/* What:      arrays of a result: taken apart, element by element, and as text.
 * Ownership: borrowed from the result. An array that came as text is taken apart once, into memory of the
 *            result.
 * Context:   any thread, one at a time for a result. libpq: PQresultAlloc only.
 * Callbacks: none.
 * Errors:    by tug_fail, as in cell.h: TUG_EPROTO, TUG_ENOMEM. */
#ifndef TUG_PG_ARRAYCELL_H
#define TUG_PG_ARRAYCELL_H

#include "cell.h"

#include <tug/pg_array.h>

/* The public struct, all of it. Looks at every length, so that what comes after it finds sound ones. */
int tug__pg_array_open(const tug__pg_cell *cell, tug_pg_array *ret_array);
/* The next element into *ret_cell, whose res, row and column are set already. *ret_null: it is NULL, and
 * data and size say nothing. False: the bytes end; that they do only if somebody wrote into them. */
bool tug__pg_array_next(tug_pg_array *array, tug__pg_cell *ret_cell, bool *ret_null);

/* Of an array in binary, as PostgreSQL prints it. Like snprintf, as tug__pg_cell_text. */
int tug__pg_array_text(const tug__pg_cell *cell, char *to, size_t capacity, size_t *ret_size);

#endif
