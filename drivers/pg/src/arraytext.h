/* What:      arrays that came as text, because another column of the result has no binary decoder: "{1,NULL}".
 * Ownership: what is taken apart lies in memory of the result.
 * Context:   any thread, one at a time for a result. Callbacks: none.
 * Errors:    by tug_fail: TUG_EPROTO, TUG_ENOMEM. */
#ifndef TUG_PG_ARRAYTEXT_H
#define TUG_PG_ARRAYTEXT_H

#include "cell.h"

#include <tug/pg_array.h>

/* Dimensions, elements, data and end of *array. */
int tug__pg_arraytext_read(const tug__pg_cell *cell, tug_pg_array *array);

#endif
