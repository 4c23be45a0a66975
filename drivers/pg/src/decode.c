#include "decode.h"

#include "cellstruct.h"
#include "network.h"
#include "number.h"

#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

/* --- reading ---------------------------------------------------------------------------------------- */

static int read_int(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    bool negative = false;
    uint64_t magnitude = 0;
    int rc = tug__pg_cell_whole(cell, slot, &negative, &magnitude);
    if (rc < 0) {
        return rc;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return tug__pg_cell_out_of_range(cell, slot);
    }
    int64_t x = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    /* Shifting out what the place cannot hold and back must change nothing. */
    unsigned spare = 64 - 8 * (unsigned)slot->size;
    if ((int64_t)((uint64_t)x << spare) >> spare != x) {
        return tug__pg_cell_out_of_range(cell, slot);
    }
    held->u.i = x;
    return 0;
}

static int read_uint(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    bool negative = false;
    uint64_t x = 0;
    int rc = tug__pg_cell_whole(cell, slot, &negative, &x);
    if (rc < 0) {
        return rc;
    }
    unsigned spare = 64 - 8 * (unsigned)slot->size;
    if (negative || x << spare >> spare != x) {
        return tug__pg_cell_out_of_range(cell, slot);
    }
    held->u.u = x;
    return 0;
}

static int read_float(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    double x = 0;
    float f;
    int rc = tug__pg_cell_double(cell, slot, &x);
    if (rc < 0) {
        return rc;
    }
    if (slot->size == sizeof f) {
        /* Rounding is what a float is for, but an integer must be hit. */
        if (!tug__pg_double_to_float(x, &f) || (tug__pg_cell_is_int(cell) && (double)f != x)) {
            return tug__pg_cell_out_of_range(cell, slot);
        }
    }
    held->u.d = x;
    return 0;
}

static int read_bool(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    if (cell->kind != TUG__PG_KIND_BOOL) {
        return tug__pg_cell_wrong_type(cell, slot);
    }
    if (!cell->binary && (cell->size != 1 || (*cell->data != 't' && *cell->data != 'f'))) {
        return tug__pg_cell_malformed(cell);
    }
    held->u.b = cell->binary ? *cell->data != 0 : *cell->data == 't';
    return 0;
}

static int read_timestamp(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    return tug__pg_cell_is_time(cell) ? tug__pg_cell_time(cell, &held->u.i)
                                      : tug__pg_cell_wrong_type(cell, slot);
}

/* The structs of <tug/types.h>, each from the types of its own. */
static int read_struct(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    static const int values[] = {
        [TUG_SLOT_DATE] = TUG_VALUE_DATE,       [TUG_SLOT_TIME_OF_DAY] = TUG_VALUE_TIME_OF_DAY,
        [TUG_SLOT_TIME_TZ] = TUG_VALUE_TIME_TZ, [TUG_SLOT_INTERVAL] = TUG_VALUE_INTERVAL,
        [TUG_SLOT_UUID] = TUG_VALUE_UUID,       [TUG_SLOT_INET] = TUG_VALUE_INET,
        [TUG_SLOT_MACADDR] = TUG_VALUE_MACADDR};
    tug_value v;
    if (slot->type == TUG_SLOT_DECIMAL) {
        return tug__pg_cell_decimal(cell, slot, &held->u.value.u.decimal);
    }
    if (!tug__pg_kind_is_struct(cell->kind)) {
        return tug__pg_cell_wrong_type(cell, slot);
    }
    int rc = tug__pg_cell_struct(cell, &v);
    if (rc == 0 && v.type != values[slot->type]) {
        rc = tug__pg_cell_wrong_type(cell, slot);
    }
    if (rc == 0) {
        held->u.value = v;
    }
    return rc;
}

/* What a C string is read from must end with a 0, which elements of arrays in binary need not. */
static int borrow_text(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    struct tug_bytes text = tug__pg_cell_plain(cell);
    if (slot->type == TUG_SLOT_TEXT && cell->data[cell->size] != 0) {
        char *copy = PQresultAlloc(cell->res, text.size + 1);
        if (copy == NULL) {
            return tug__pg_cell_fail(cell, TUG_ENOMEM, "no memory for %zu bytes", text.size);
        }
        memcpy(copy, text.data, text.size);
        copy[text.size] = 0;
        text.data = copy;
    }
    held->u.bytes = text;
    return 0;
}

static int read_borrowed(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    if (tug__pg_cell_is_text(cell)) {
        return borrow_text(cell, slot, held);
    }
    if (cell->kind != TUG__PG_KIND_BYTEA) {
        return tug__pg_cell_fail(
            cell, TUG_ETYPE, "%s has no text to borrow: use TUG_DUP, TUG_COPY or a tug_buffer *",
            tug__pg_cell_type(cell));
    }
    return slot->type == TUG_SLOT_BYTES ? tug__pg_cell_bytea(cell, &held->u.bytes)
                                        : tug__pg_cell_wrong_type(cell, slot);
}

static int read_copy(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    size_t size = 0;
    int rc = tug__pg_cell_text_size(cell, slot, &size);
    if (rc < 0) {
        return rc;
    }
    if (size >= slot->size) {
        return tug__pg_cell_fail(cell, TUG_ELIMIT, "%zu bytes of %s do not fit a char array of %zu",
                                 size, tug__pg_cell_type(cell), slot->size);
    }
    held->u.cell = *cell;
    return 0;
}

/* malloc, not tug_alloc: the user frees it with free. */
static int read_dup(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    size_t size = 0;
    int rc = tug__pg_cell_text_size(cell, slot, &size);
    if (rc < 0) {
        return rc;
    }
    char *text = malloc(size + 1);
    if (text == NULL) {
        return tug__pg_cell_fail(cell, TUG_ENOMEM, "no memory for %zu bytes", size);
    }
    (void)tug__pg_cell_text(cell, text, size + 1, &size);
    held->u.dup = text;
    return 0;
}

static int read_buffer(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *held)
{
    char text[256];
    size_t size = 0;
    struct tug_bytes bytes = {0};
    if (tug__pg_cell_is_text(cell)) {
        bytes = tug__pg_cell_plain(cell);
        return tug_buffer_new(bytes.data, bytes.size, &held->u.buffer);
    }
    if (cell->kind == TUG__PG_KIND_BYTEA) {
        int rc = tug__pg_cell_bytea(cell, &bytes);
        return rc < 0 ? rc : tug_buffer_new(bytes.data, bytes.size, &held->u.buffer);
    }
    int rc = tug__pg_cell_text_size(cell, slot, &size);
    if (rc < 0) {
        return rc;
    }
    /* Only numeric is ever longer. */
    char *to = size < sizeof text ? text : tug_alloc(size + 1);
    if (to == NULL) {
        return tug__pg_cell_fail(cell, TUG_ENOMEM, "no memory for %zu bytes", size);
    }
    (void)tug__pg_cell_text(cell, to, size + 1, &size);
    rc = tug_buffer_new(to, size, &held->u.buffer);
    if (to != text) {
        tug_free(to);
    }
    return rc;
}

/* --- the two steps --------------------------------------------------------------------------------- */

int tug__pg_cell_read(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *ret_held)
{
    ret_held->is_null = false;
    if (!tug__pg_cell_is_sound(cell)) {
        return tug__pg_cell_malformed(cell);
    }
    switch (slot->type) {
    case TUG_SLOT_INT:
        return read_int(cell, slot, ret_held);
    case TUG_SLOT_UINT:
        return read_uint(cell, slot, ret_held);
    case TUG_SLOT_FLOAT:
        return read_float(cell, slot, ret_held);
    case TUG_SLOT_BOOL:
        return read_bool(cell, slot, ret_held);
    case TUG_SLOT_TEXT:
    case TUG_SLOT_BYTES:
        return read_borrowed(cell, slot, ret_held);
    case TUG_SLOT_COPY:
        return read_copy(cell, slot, ret_held);
    case TUG_SLOT_DUP:
        return read_dup(cell, slot, ret_held);
    case TUG_SLOT_BUFFER:
        return read_buffer(cell, slot, ret_held);
    case TUG_SLOT_TIMESTAMP:
        return read_timestamp(cell, slot, ret_held);
    case TUG_SLOT_DATE:
    case TUG_SLOT_TIME_OF_DAY:
    case TUG_SLOT_TIME_TZ:
    case TUG_SLOT_INTERVAL:
    case TUG_SLOT_DECIMAL:
    case TUG_SLOT_UUID:
    case TUG_SLOT_INET:
    case TUG_SLOT_MACADDR:
        return read_struct(cell, slot, ret_held);
    default:
        return tug__pg_cell_fail(cell, TUG_EMISUSE, "the place is of no known type (%d)",
                                 slot->type);
    }
}

int tug__pg_null_read(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *ret_held)
{
    if (slot->is_null == NULL) {
        return tug__pg_cell_fail(cell, TUG_ENULL,
                                 "it is NULL: use TUG_NULLABLE, or coalesce in the statement");
    }
    ret_held->is_null = true;
    return 0;
}

/* The structs: their sizes are their types'. */
static size_t slot_size(int type)
{
    static const size_t sizes[] = {[TUG_SLOT_BOOL] = sizeof(bool),
                                   [TUG_SLOT_TEXT] = sizeof(char *),
                                   [TUG_SLOT_BYTES] = sizeof(struct tug_bytes),
                                   [TUG_SLOT_DUP] = sizeof(char *),
                                   [TUG_SLOT_BUFFER] = sizeof(tug_buffer *),
                                   [TUG_SLOT_TIMESTAMP] = sizeof(struct tug_timestamp),
                                   [TUG_SLOT_DATE] = sizeof(struct tug_date),
                                   [TUG_SLOT_TIME_OF_DAY] = sizeof(struct tug_time_of_day),
                                   [TUG_SLOT_TIME_TZ] = sizeof(struct tug_time_tz),
                                   [TUG_SLOT_INTERVAL] = sizeof(struct tug_interval),
                                   [TUG_SLOT_DECIMAL] = sizeof(struct tug_decimal),
                                   [TUG_SLOT_UUID] = sizeof(struct tug_uuid),
                                   [TUG_SLOT_INET] = sizeof(struct tug_inet),
                                   [TUG_SLOT_MACADDR] = sizeof(struct tug_macaddr)};
    return (size_t)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

bool tug__pg_slot_is_sound(const tug_slot *slot)
{
    size_t n = slot->size;
    size_t fixed = slot_size(slot->type);
    bool sized = slot->type == TUG_SLOT_INT || slot->type == TUG_SLOT_UINT
                     ? n == 1 || n == 2 || n == 4 || n == 8
                 : slot->type == TUG_SLOT_FLOAT ? n == sizeof(float) || n == sizeof(double)
                 : fixed > 0                    ? n == fixed
                                                : n > 0;
    return slot->to != NULL && sized;
}

static void write_int(int64_t x, const tug_slot *slot)
{
    /* Signed and unsigned of one width are stored alike. */
    switch (slot->size) {
    case 1:
        *(uint8_t *)slot->to = (uint8_t)x;
        break;
    case 2:
        *(uint16_t *)slot->to = (uint16_t)x;
        break;
    case 4:
        *(uint32_t *)slot->to = (uint32_t)x;
        break;
    default:
        *(uint64_t *)slot->to = (uint64_t)x;
    }
}

static void write_null(const tug_slot *slot)
{
    *slot->is_null = true;
    if (slot->type == TUG_SLOT_COPY) {
        *(char *)slot->to = 0;
    } else {
        memset(slot->to, 0, slot->size);
    }
}

void tug__pg_held_write(const tug__pg_held *held, const tug_slot *slot)
{
    size_t size;
    if (held->is_null) {
        write_null(slot);
        return;
    }
    if (slot->is_null != NULL) {
        *slot->is_null = false;
    }
    switch (slot->type) {
    case TUG_SLOT_INT:
    case TUG_SLOT_UINT:
        write_int(held->u.i, slot);
        break;
    case TUG_SLOT_FLOAT:
        if (slot->size == sizeof(float)) {
            *(float *)slot->to = (float)held->u.d;
        } else {
            *(double *)slot->to = held->u.d;
        }
        break;
    case TUG_SLOT_BOOL:
        *(bool *)slot->to = held->u.b;
        break;
    case TUG_SLOT_TEXT:
        *(const char **)slot->to = held->u.bytes.data;
        break;
    case TUG_SLOT_BYTES:
        *(struct tug_bytes *)slot->to = held->u.bytes;
        break;
    case TUG_SLOT_COPY:
        (void)tug__pg_cell_text(&held->u.cell, slot->to, slot->size, &size);
        break;
    case TUG_SLOT_DUP:
        *(char **)slot->to = held->u.dup;
        break;
    case TUG_SLOT_BUFFER:
        *(tug_buffer **)slot->to = held->u.buffer;
        break;
    case TUG_SLOT_TIMESTAMP:
        ((struct tug_timestamp *)slot->to)->us = held->u.i;
        break;
    case TUG_SLOT_DATE:
        ((struct tug_date *)slot->to)->days = (int32_t)held->u.value.u.i;
        break;
    case TUG_SLOT_INET:
        *(struct tug_inet *)slot->to = tug__pg_value_inet(&held->u.value);
        break;
    default:
        /* The others lie in a value as they are. */
        memcpy(slot->to, &held->u.value.u, slot->size);
    }
}

void tug__pg_held_drop(const tug__pg_held *held, const tug_slot *slot)
{
    if (held->is_null) {
        return;
    }
    if (slot->type == TUG_SLOT_DUP) {
        free(held->u.dup);
    } else if (slot->type == TUG_SLOT_BUFFER) {
        tug_buffer_unref(held->u.buffer);
    }
}
