/* The public face of arrays. */
#include "arraycell.h"
#include "decode.h"
#include "result.h"

#include <tug/error.h>

int tug_pg_result_array(const tug_pg_result *res, size_t row, size_t column,
                        tug_pg_array *ret_array)
{
    tug__pg_cell cell;
    bool null = false;
    tug_pg_array a;
    int rc = tug__pg_result_cell(res, row, column, &cell, &null);
    if (rc < 0) {
        return rc;
    }
    if (cell.kind != TUG__PG_KIND_ARRAY) {
        return tug__pg_cell_fail(&cell, TUG_ETYPE, "%s is no array", tug__pg_cell_type(&cell));
    }
    if (null) {
        return tug__pg_cell_fail(
            &cell, TUG_ENULL,
            "it is NULL: ask tug_pg_result_is_null, or coalesce in the statement");
    }
    rc = tug__pg_array_open(&cell, &a);
    if (rc < 0) {
        return rc;
    }
    a.result = res;
    a.row = row;
    a.column = column;
    *ret_array = a;
    return 0;
}

/* The element's bytes; array->at stands behind them then. */
static int array_seek(tug_pg_array *array, size_t i, tug__pg_cell *cell, bool *ret_null)
{
    int rc = tug__pg_result_cell(array->result, array->row, array->column, cell, ret_null);
    if (rc < 0) {
        return rc;
    }
    if (i < array->next) {
        array->at = array->data;
        array->next = 0;
    }
    do {
        if (!tug__pg_array_next(array, cell, ret_null)) {
            return tug__pg_cell_malformed(cell);
        }
    } while (array->next <= i);
    return 0;
}

int tug_pg_array_get(tug_pg_array *array, size_t i, tug_slot to)
{
    tug__pg_cell cell;
    tug__pg_held held;
    bool null = false;
    if (i >= array->n) {
        return tug_fail(TUG_ENOTFOUND, "there is no element %zu: the array has %zu", i, array->n);
    }
    if (!tug__pg_slot_is_sound(&to)) {
        return tug_fail(TUG_EMISUSE, "the place is NULL or has no size that its type can have");
    }
    int rc = array_seek(array, i, &cell, &null);
    if (rc == 0) {
        rc = null ? tug__pg_null_read(&cell, &to, &held) : tug__pg_cell_read(&cell, &to, &held);
    }
    if (rc == 0) {
        tug__pg_held_write(&held, &to);
    }
    return rc;
}
