/* What:      values of a result that are more than a number: instants, days, times, intervals, UUIDs,
 *            addresses; from either format.
 * Ownership: copies.
 * Context:   any thread, one at a time for a result.
 * Callbacks: none.
 * Errors:    by tug_fail, as in cell.h: TUG_ETYPE, TUG_ERANGE, TUG_EPROTO. The cell was found sound. */
#ifndef TUG_PG_CELLSTRUCT_H
#define TUG_PG_CELLSTRUCT_H

#include "cell.h"

/* timestamptz, timestamp, date. */
bool tug__pg_cell_is_time(const tug__pg_cell *cell);
/* Of those: microseconds since 1970, or infinity. */
int tug__pg_cell_time(const tug__pg_cell *cell, int64_t *ret_us);

/* The types that have a struct of their own in <tug/types.h>; not numeric, which may be too large for its. */
bool tug__pg_kind_is_struct(tug__pg_kind kind);
/* Of such a type: the struct, as the value that would be sent. */
int tug__pg_cell_struct(const tug__pg_cell *cell, tug_value *ret_value);

/* Of numeric and the integers. */
int tug__pg_cell_decimal(const tug__pg_cell *cell, const tug_slot *slot, struct tug_decimal *ret_x);

#endif
