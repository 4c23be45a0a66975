#include "result.h"

#include "be.h"
#include "decode.h"
#include "number.h"
#include "type.h"

#include <stdatomic.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

/* Looked up once, not for each value. */
typedef struct result_column {
    Oid type;
    uint8_t kind; /* tug__pg_kind */
    bool binary;
    uint8_t int_size; /* of a signed integer in binary: 2, 4 or 8; else 0 */
} result_column;

static result_column result_column_of(const PGresult *res, int column)
{
    static const uint8_t sizes[TUG__PG_KIND_MAX] = {
        [TUG__PG_KIND_INT2] = 2, [TUG__PG_KIND_INT4] = 4, [TUG__PG_KIND_INT8] = 8};
    Oid type = PQftype(res, column);
    tug__pg_kind kind = tug__pg_kind_of(type);
    bool binary = PQfformat(res, column) == 1;
    return (result_column){type, (uint8_t)kind, binary, binary ? sizes[kind] : 0};
}

struct tug_pg_result {
    PGresult *res;
    atomic_uint refs;
    size_t rows, columns;
    const tug__pg_raw *raw; /* the values of its only row, beside res; NULL: they are in res */
    size_t first;           /* what messages call its first row */
    bool ints;              /* all columns are signed integers in binary */
    result_column column[];
};

/* r has room for its columns. */
static void result_show(tug_pg_result *r, PGresult *res)
{
    r->res = res;
    r->rows = (size_t)PQntuples(res);
    r->columns = (size_t)PQnfields(res);
    r->raw = NULL;
    r->first = 0;
    r->ints = true;
    for (size_t i = 0; i < r->columns; i++) {
        r->column[i] = result_column_of(res, (int)i);
        r->ints = r->ints && r->column[i].int_size != 0;
    }
}

int tug__pg_result_new(PGresult *res, tug_pg_result **ret_result)
{
    size_t columns = (size_t)PQnfields(res);
    tug_pg_result *r = tug_alloc(sizeof *r + columns * sizeof *r->column);
    if (r == NULL) {
        PQclear(res);
        return tug_fail(TUG_ENOMEM, "no memory for a result of %zu columns", columns);
    }
    atomic_init(&r->refs, 1);
    result_show(r, res);
    *ret_result = r;
    return 0;
}

int tug__pg_result_view(tug_pg_result **view, size_t *room, PGresult *res)
{
    size_t columns = (size_t)PQnfields(res);
    tug_pg_result *r = *view;
    if (r == NULL || columns > *room) {
        r = tug_realloc(r, sizeof *r + columns * sizeof *r->column);
        if (r == NULL) {
            return tug_fail(TUG_ENOMEM, "no memory for a result of %zu columns", columns);
        }
        *view = r;
        *room = columns;
    }
    result_show(r, res);
    return 0;
}

void tug__pg_result_show(tug_pg_result *r, PGresult *shape, const tug__pg_raw *raw, size_t number)
{
    r->res = shape;
    r->raw = raw;
    r->first = number;
    r->rows = raw != NULL;
}

int tug__pg_result_format(const Oid *types, int n)
{
    for (int i = 0; i < n; i++) {
        if (!tug__pg_kind_has_decoder(tug__pg_kind_of(types[i]))) {
            return 0;
        }
    }
    return 1;
}

tug_pg_result *tug_pg_result_ref(tug_pg_result *res)
{
    atomic_fetch_add_explicit(&res->refs, 1, memory_order_relaxed);
    return res;
}

tug_pg_result *tug_pg_result_unref(tug_pg_result *res)
{
    if (res != NULL && atomic_fetch_sub_explicit(&res->refs, 1, memory_order_acq_rel) == 1) {
        PQclear(res->res);
        tug_free(res);
    }
    return NULL;
}

/* --- about the result ------------------------------------------------------------------------------- */

size_t tug_pg_result_rows(const tug_pg_result *res)
{
    return res->rows;
}

size_t tug_pg_result_columns(const tug_pg_result *res)
{
    return res->columns;
}

const char *tug_pg_result_column_name(const tug_pg_result *res, size_t column)
{
    return column < res->columns ? PQfname(res->res, (int)column) : NULL;
}

uint32_t tug_pg_result_column_type(const tug_pg_result *res, size_t column)
{
    return column < res->columns ? PQftype(res->res, (int)column) : 0;
}

int64_t tug_pg_result_affected(const tug_pg_result *res)
{
    int64_t n = 0;
    const char *text = PQcmdTuples(res->res);
    return tug__pg_int_parse(text, strlen(text), &n) ? n : 0;
}

const char *tug_pg_result_command(const tug_pg_result *res)
{
    return PQcmdStatus(res->res);
}

const struct pg_result *tug_pg_result_native(const tug_pg_result *res)
{
    return res->res;
}

int tug_pg_result_find(const tug_pg_result *res, const char *name, size_t *ret_column)
{
    /* Not PQfnumber: it folds the case of what is not quoted, as SQL does. */
    for (size_t i = 0; i < res->columns; i++) {
        if (strcmp(PQfname(res->res, (int)i), name) == 0) {
            *ret_column = i;
            return 0;
        }
    }
    return tug_fail(TUG_ENOTFOUND, "the result has no column \"%.63s\"", name);
}

static inline tug__pg_raw result_raw(const tug_pg_result *res, size_t row, size_t column)
{
    if (res->raw != NULL) {
        return res->raw[column];
    }
    int r = (int)row, c = (int)column;
    int size = PQgetlength(res->res, r, c);
    if (size == 0 && PQgetisnull(res->res, r, c)) {
        return (tug__pg_raw){NULL, -1};
    }
    return (tug__pg_raw){PQgetvalue(res->res, r, c), size};
}

bool tug_pg_result_is_null(const tug_pg_result *res, size_t row, size_t column)
{
    return row >= res->rows || column >= res->columns || result_raw(res, row, column).size < 0;
}

/* --- values ----------------------------------------------------------------------------------------- */

static int result_row_check(const tug_pg_result *res, size_t row)
{
    if (row < res->rows) {
        return 0;
    }
    return tug_fail(TUG_ENOTFOUND, "there is no row %zu: the result has %zu", row, res->rows);
}

/* True for NULL. */
static inline bool result_cell(const tug_pg_result *res, size_t row, size_t column,
                               tug__pg_cell *cell)
{
    tug__pg_raw raw = result_raw(res, row, column);
    *cell = (tug__pg_cell){.res = res->res,
                           .row = (int)(row + res->first),
                           .column = (int)column,
                           .data = raw.data,
                           .size = raw.size > 0 ? (size_t)raw.size : 0,
                           .type = res->column[column].type,
                           .kind = (tug__pg_kind)res->column[column].kind,
                           .binary = res->column[column].binary};
    return raw.size < 0;
}

/* Not inline: with the quick ways beside it the loop over a row stays small. */
static __attribute__((noinline)) int result_read_any(const tug_pg_result *res, size_t row,
                                                     size_t column, const tug_slot *slot,
                                                     tug__pg_held *held)
{
    if (!tug__pg_slot_is_sound(slot)) {
        return tug_fail(TUG_EMISUSE, "place %zu is NULL or has no size that its type can have",
                        column + 1);
    }
    tug__pg_cell cell;
    bool null = result_cell(res, row, column, &cell);
    return null ? tug__pg_null_read(&cell, slot, held) : tug__pg_cell_read(&cell, slot, held);
}

/* Most columns are integers and most places int or int64_t: this saves them a third of the time. False:
 * the general way decides (NULL, a wrong length, any other type). */
static inline bool result_int(const tug_pg_result *res, size_t row, size_t column, int64_t *ret_x)
{
    int size = res->column[column].int_size;
    if (size == 0) {
        return false;
    }
    tug__pg_raw raw = result_raw(res, row, column);
    if (raw.size != size) {
        return false;
    }
    const char *data = raw.data;
    *ret_x = size == 4   ? (int32_t)tug__pg_get32(data)
             : size == 8 ? (int64_t)tug__pg_get64(data)
                         : (int16_t)tug__pg_get16(data);
    return true;
}

static inline bool result_read_int(const tug_pg_result *res, size_t row, size_t column,
                                   const tug_slot *slot, tug__pg_held *held)
{
    if (slot->type != TUG_SLOT_INT || slot->to == NULL ||
        !result_int(res, row, column, &held->u.i)) {
        return false;
    }
    held->is_null = false;
    return slot->size == 8 || (slot->size == 4 && held->u.i == (int32_t)held->u.i);
}

/* The same for text that is borrowed from a column of the text family. What is empty may be NULL. */
static inline bool result_read_text(const tug_pg_result *res, size_t row, size_t column,
                                    const tug_slot *slot, tug__pg_held *held)
{
    if ((slot->type != TUG_SLOT_TEXT && slot->type != TUG_SLOT_BYTES) || slot->to == NULL ||
        res->column[column].kind != TUG__PG_KIND_TEXT) {
        return false;
    }
    tug__pg_raw raw = result_raw(res, row, column);
    if (raw.size <= 0) {
        return false;
    }
    held->is_null = false;
    held->u.bytes = tug_bytes(raw.data, (size_t)raw.size);
    return true;
}

static inline int result_read(const tug_pg_result *res, size_t row, size_t column,
                              const tug_slot *slot, tug__pg_held *held)
{
    return result_read_int(res, row, column, slot, held) ||
                   result_read_text(res, row, column, slot, held)
               ? 0
               : result_read_any(res, row, column, slot, held);
}

static inline void result_write(const tug__pg_held *held, const tug_slot *slot)
{
    if (slot->type == TUG_SLOT_INT && slot->size == sizeof(int32_t) && slot->is_null == NULL) {
        *(int32_t *)slot->to = (int32_t)held->u.i;
    } else {
        tug__pg_held_write(held, slot);
    }
}

/* All are read before the first is written. */
static int result_scan(const tug_pg_result *res, size_t row, tug_out out, tug__pg_held *held)
{
    for (size_t i = 0; i < out.n; i++) {
        const tug_slot *slot = &out.slots[i];
        int rc = result_read(res, row, i, slot, &held[i]);
        if (rc < 0) {
            while (i > 0) {
                i--;
                tug__pg_held_drop(&held[i], &out.slots[i]);
            }
            return rc;
        }
    }
    for (size_t i = 0; i < out.n; i++) {
        result_write(&held[i], &out.slots[i]);
    }
    return 0;
}

enum {
    RESULT_INLINE = 32 /* what TUG_OUT can make */
};

/* Does the column fit into the place, whatever its value is? */
static inline bool result_takes_int(const tug_slot *slot, int size, const tug__pg_raw *raw)
{
    return slot->type == TUG_SLOT_INT && slot->to != NULL && raw->size == size &&
           (slot->size == 8 || (slot->size == 4 && size <= 4));
}

static inline void result_put_int(const tug_slot *slot, const tug__pg_raw *raw)
{
    int64_t x = raw->size == 4   ? (int32_t)tug__pg_get32(raw->data)
                : raw->size == 8 ? (int64_t)tug__pg_get64(raw->data)
                                 : (int16_t)tug__pg_get16(raw->data);
    if (slot->is_null != NULL) {
        *slot->is_null = false;
    }
    if (slot->size == 4) {
        *(uint32_t *)slot->to = (uint32_t)x;
    } else {
        *(uint64_t *)slot->to = (uint64_t)x;
    }
}

/* A row of integers into places for integers: all that large results often are, at half the cost. False:
 * nothing was written, the general way decides. */
static bool result_scan_ints(const tug_pg_result *res, const tug__pg_raw *raw, tug_out out)
{
    for (size_t i = 0; i < out.n; i++) {
        if (!result_takes_int(&out.slots[i], res->column[i].int_size, &raw[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < out.n; i++) {
        result_put_int(&out.slots[i], &raw[i]);
    }
    return true;
}

static bool result_scan_ints_of(const tug_pg_result *res, size_t row, tug_out out)
{
    tug__pg_raw raw[RESULT_INLINE];
    for (size_t i = 0; i < out.n; i++) {
        int size = PQgetlength(res->res, (int)row, (int)i);
        if (size == 0) {
            return false; /* most likely NULL */
        }
        raw[i] = (tug__pg_raw){PQgetvalue(res->res, (int)row, (int)i), size};
    }
    return result_scan_ints(res, raw, out);
}

/* Not inline: its frame is large. */
__attribute__((noinline)) static int result_scan_any(const tug_pg_result *res, size_t row,
                                                     tug_out out)
{
    tug__pg_held held[RESULT_INLINE];
    if (out.n <= RESULT_INLINE) {
        return result_scan(res, row, out, held);
    }
    tug__pg_held *many = tug_alloc(out.n * sizeof *many);
    if (many == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory to read %zu columns", out.n);
    }
    int rc = result_scan(res, row, out, many);
    tug_free(many);
    return rc;
}

int tug_pg_scan(const tug_pg_result *res, size_t row, tug_out out)
{
    int rc = result_row_check(res, row);
    if (rc < 0) {
        return rc;
    }
    if (out.n != res->columns || (out.slots == NULL && out.n > 0)) {
        return tug_fail(TUG_EMISUSE, "the result has %zu column%s, %zu place%s given", res->columns,
                        res->columns == 1 ? "" : "s", out.n, out.n == 1 ? " was" : "s were");
    }
    if (res->ints && out.n <= RESULT_INLINE &&
        (res->raw != NULL ? result_scan_ints(res, res->raw, out)
                          : result_scan_ints_of(res, row, out))) {
        return 0;
    }
    return result_scan_any(res, row, out);
}

static int result_place_check(const tug_pg_result *res, size_t row, size_t column)
{
    if (column >= res->columns) {
        return tug_fail(TUG_EMISUSE, "there is no column %zu: the result has %zu, counted from 0",
                        column, res->columns);
    }
    return result_row_check(res, row);
}

int tug__pg_result_cell(const tug_pg_result *res, size_t row, size_t column,
                        struct tug__pg_cell *ret_cell, bool *ret_null)
{
    int rc = result_place_check(res, row, column);
    if (rc == 0) {
        *ret_null = result_cell(res, row, column, ret_cell);
    }
    return rc;
}

int tug_pg_result_value(const tug_pg_result *res, size_t row, size_t column, tug_slot to)
{
    tug__pg_held held;
    int rc = result_place_check(res, row, column);
    if (rc < 0) {
        return rc;
    }
    rc = result_read(res, row, column, &to, &held);
    if (rc == 0) {
        tug__pg_held_write(&held, &to);
    }
    return rc;
}

int tug_pg_result_bool(const tug_pg_result *res, size_t row, size_t column, bool *ret_value)
{
    return tug_pg_result_value(res, row, column, tug_slot_bool(ret_value));
}

int tug_pg_result_int64(const tug_pg_result *res, size_t row, size_t column, int64_t *ret_value)
{
    int64_t x;
    if (ret_value != NULL && row < res->rows && column < res->columns &&
        result_int(res, row, column, &x)) {
        *ret_value = x;
        return 0;
    }
    return tug_pg_result_value(res, row, column,
                               tug__slot(TUG_SLOT_INT, ret_value, sizeof *ret_value));
}

int tug_pg_result_double(const tug_pg_result *res, size_t row, size_t column, double *ret_value)
{
    return tug_pg_result_value(res, row, column, tug_slot_double(ret_value));
}

int tug_pg_result_text(const tug_pg_result *res, size_t row, size_t column, const char **ret_value)
{
    tug__pg_held held;
    const tug_slot slot = tug_slot_text(ret_value);
    if (row < res->rows && column < res->columns &&
        result_read_text(res, row, column, &slot, &held)) {
        *ret_value = held.u.bytes.data;
        return 0;
    }
    return tug_pg_result_value(res, row, column, tug_slot_text(ret_value));
}

int tug_pg_result_bytes(const tug_pg_result *res, size_t row, size_t column,
                        struct tug_bytes *ret_value)
{
    return tug_pg_result_value(res, row, column, tug_slot_bytes(ret_value));
}

int tug_pg_result_timestamp(const tug_pg_result *res, size_t row, size_t column,
                            struct tug_timestamp *ret_value)
{
    return tug_pg_result_value(res, row, column, tug_slot_timestamp(ret_value));
}

/* --- the _one forms --------------------------------------------------------------------------------- */

bool tug__pg_out_is_owned(tug_out out)
{
    for (size_t i = 0; i < out.n; i++) {
        if (out.slots[i].type == TUG_SLOT_TEXT || out.slots[i].type == TUG_SLOT_BYTES) {
            tug_fail(
                TUG_EMISUSE,
                "place %zu borrows from a result that ends with the call: use TUG_COPY, TUG_DUP or a tug_buffer *",
                i + 1);
            return false;
        }
    }
    return true;
}

int tug__pg_result_one(tug_pg_result *res, tug_out out)
{
    if (res->rows == 0) {
        return tug_fail(TUG_ENOTFOUND, "the statement returned no row");
    }
    if (res->rows > 1) {
        return tug_fail(TUG_ETOOMANY, "the statement returned %zu rows, one was expected",
                        res->rows);
    }
    return tug_pg_scan(res, 0, out);
}
