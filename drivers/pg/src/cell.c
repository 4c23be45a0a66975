#include "cell.h"

#include "arraycell.h"
#include "be.h"
#include "calendar.h"
#include "cellstruct.h"
#include "element.h"
#include "network.h"
#include "number.h"
#include "numeric.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tug/error.h>

/* --- what is said when it does not fit -------------------------------------------------------------- */

static const char *slot_name(const tug_slot *slot)
{
    static const char *const ints[] = {"an int8_t", "an int16_t", "an int32_t", "an int64_t"};
    static const char *const uints[] = {"a uint8_t", "a uint16_t", "a uint32_t", "a uint64_t"};
    int log2 = slot->size == 1 ? 0 : slot->size == 2 ? 1 : slot->size == 4 ? 2 : 3;
    switch (slot->type) {
    case TUG_SLOT_BOOL:
        return "a bool";
    case TUG_SLOT_INT:
        return ints[log2];
    case TUG_SLOT_UINT:
        return uints[log2];
    case TUG_SLOT_FLOAT:
        return slot->size == sizeof(float) ? "a float" : "a double";
    case TUG_SLOT_TEXT:
        return "a const char *";
    case TUG_SLOT_BYTES:
        return "a struct tug_bytes";
    case TUG_SLOT_COPY:
        return "a char array";
    case TUG_SLOT_DUP:
        return "a char *";
    case TUG_SLOT_BUFFER:
        return "a tug_buffer *";
    case TUG_SLOT_TIMESTAMP:
        return "a struct tug_timestamp";
    case TUG_SLOT_DATE:
        return "a struct tug_date";
    case TUG_SLOT_TIME_OF_DAY:
        return "a struct tug_time_of_day";
    case TUG_SLOT_TIME_TZ:
        return "a struct tug_time_tz";
    case TUG_SLOT_INTERVAL:
        return "a struct tug_interval";
    case TUG_SLOT_DECIMAL:
        return "a struct tug_decimal";
    case TUG_SLOT_UUID:
        return "a struct tug_uuid";
    case TUG_SLOT_INET:
        return "a struct tug_inet";
    default:
        return "a struct tug_macaddr";
    }
}

int tug__pg_cell_fail(const tug__pg_cell *cell, int code, const char *format, ...)
{
    char what[160], element[32] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *name = PQfname(cell->res, cell->column);
    if (cell->element > 0) {
        snprintf(element, sizeof element, "[%zu]", cell->element - 1);
    }
    return tug_fail(code, "row %d, column %d \"%.63s\"%s: %s", cell->row, cell->column + 1,
                    name != NULL ? name : "", element, what);
}

const char *tug__pg_cell_type(const tug__pg_cell *cell)
{
    return tug__pg_type_name(cell->type);
}

int tug__pg_cell_wrong_type(const tug__pg_cell *cell, const tug_slot *slot)
{
    return tug__pg_cell_fail(cell, TUG_ETYPE, "%s does not go into %s", tug__pg_cell_type(cell),
                             slot_name(slot));
}

int tug__pg_cell_malformed(const tug__pg_cell *cell)
{
    return tug__pg_cell_fail(cell, TUG_EPROTO, "the server sent %zu bytes in %s that are no %s",
                             cell->size, cell->binary ? "binary" : "text", tug__pg_cell_type(cell));
}

/* Numbers are said, they are short: a text of any length is not. */
int tug__pg_cell_out_of_range(const tug__pg_cell *cell, const tug_slot *slot)
{
    char text[64];
    size_t size = 0;
    if (tug__pg_cell_text(cell, text, sizeof text, &size) < 0) {
        text[0] = 0;
    }
    return tug__pg_cell_fail(cell, TUG_ERANGE, "%s%s does not fit %s", text,
                             size >= sizeof text ? "..." : "", slot_name(slot));
}

/* --- numbers ---------------------------------------------------------------------------------------- */

/* Bytes that a binary value must have; 0: not fixed. */
static const uint8_t cell_sizes[TUG__PG_KIND_MAX] = {
    [TUG__PG_KIND_BOOL] = 1,      [TUG__PG_KIND_INT2] = 2,      [TUG__PG_KIND_INT4] = 4,
    [TUG__PG_KIND_INT8] = 8,      [TUG__PG_KIND_OID] = 4,       [TUG__PG_KIND_FLOAT4] = 4,
    [TUG__PG_KIND_FLOAT8] = 8,    [TUG__PG_KIND_UUID] = 16,     [TUG__PG_KIND_TIMESTAMPTZ] = 8,
    [TUG__PG_KIND_TIMESTAMP] = 8, [TUG__PG_KIND_DATE] = 4,      [TUG__PG_KIND_TIME] = 8,
    [TUG__PG_KIND_TIMETZ] = 12,   [TUG__PG_KIND_INTERVAL] = 16, [TUG__PG_KIND_MACADDR] = 6,
    [TUG__PG_KIND_MACADDR8] = 8,
};

bool tug__pg_kind_has_decoder(tug__pg_kind kind)
{
    return kind != TUG__PG_KIND_OTHER;
}

bool tug__pg_cell_is_sound(const tug__pg_cell *cell)
{
    if (!cell->binary) {
        return true;
    }
    size_t wanted = cell_sizes[cell->kind];
    if (wanted != 0) {
        return cell->size == wanted;
    }
    return cell->kind != TUG__PG_KIND_JSONB || (cell->size > 0 && *cell->data == 1);
}

bool tug__pg_cell_is_int(const tug__pg_cell *cell)
{
    return cell->kind == TUG__PG_KIND_INT2 || cell->kind == TUG__PG_KIND_INT4 ||
           cell->kind == TUG__PG_KIND_INT8 || cell->kind == TUG__PG_KIND_OID;
}

/* Of an integer type; the length of a binary value was checked. False: text that is no number. */
static inline bool cell_int(const tug__pg_cell *cell, int64_t *ret_x)
{
    if (!cell->binary) {
        return tug__pg_int_parse(cell->data, cell->size, ret_x);
    }
    switch (cell->kind) {
    case TUG__PG_KIND_INT2:
        *ret_x = (int16_t)tug__pg_get16(cell->data);
        return true;
    case TUG__PG_KIND_INT4:
        *ret_x = (int32_t)tug__pg_get32(cell->data);
        return true;
    case TUG__PG_KIND_INT8:
        *ret_x = (int64_t)tug__pg_get64(cell->data);
        return true;
    default:
        *ret_x = tug__pg_get32(cell->data); /* oid */
        return true;
    }
}

int tug__pg_cell_whole(const tug__pg_cell *cell, const tug_slot *slot, bool *ret_negative,
                       uint64_t *ret_magnitude)
{
    int64_t x;
    tug__pg_numeric n;
    if (tug__pg_cell_is_int(cell)) {
        if (!cell_int(cell, &x)) {
            return tug__pg_cell_malformed(cell);
        }
        *ret_negative = x < 0;
        *ret_magnitude = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
        return 0;
    }
    if (cell->kind != TUG__PG_KIND_NUMERIC) {
        return tug__pg_cell_wrong_type(cell, slot);
    }
    if (cell->binary) {
        return !tug__pg_numeric_read(cell->data, cell->size, &n) ? tug__pg_cell_malformed(cell)
               : !tug__pg_numeric_whole(&n, ret_negative, ret_magnitude)
                   ? tug__pg_cell_out_of_range(cell, slot)
                   : 0;
    }
    /* 12.000 is whole, 12.5 is not. */
    const char *point = memchr(cell->data, '.', cell->size);
    size_t size = point != NULL ? (size_t)(point - cell->data) : cell->size;
    bool negative = size > 0 && *cell->data == '-';
    if ((point != NULL && point[1 + strspn(point + 1, "0")] != 0) ||
        !tug__pg_uint_parse(cell->data + negative, size - negative, ret_magnitude)) {
        return tug__pg_cell_out_of_range(cell, slot);
    }
    *ret_negative = negative && *ret_magnitude != 0;
    return 0;
}

/* False: malformed. */
static bool cell_float(const tug__pg_cell *cell, double *ret_x)
{
    if (!cell->binary) {
        return tug__pg_double_parse(cell->data, ret_x);
    }
    if (cell->kind == TUG__PG_KIND_FLOAT8) {
        uint64_t bits = tug__pg_get64(cell->data);
        memcpy(ret_x, &bits, sizeof bits);
    } else {
        uint32_t bits = tug__pg_get32(cell->data);
        float f;
        memcpy(&f, &bits, sizeof bits);
        *ret_x = (double)f;
    }
    return true;
}

int tug__pg_cell_double(const tug__pg_cell *cell, const tug_slot *slot, double *ret_x)
{
    int64_t x;
    tug__pg_numeric n;
    if (cell->kind == TUG__PG_KIND_FLOAT4 || cell->kind == TUG__PG_KIND_FLOAT8) {
        return cell_float(cell, ret_x) ? 0 : tug__pg_cell_malformed(cell);
    }
    if (tug__pg_cell_is_int(cell)) {
        return !cell_int(cell, &x)                ? tug__pg_cell_malformed(cell)
               : !tug__pg_int_to_double(x, ret_x) ? tug__pg_cell_out_of_range(cell, slot)
                                                  : 0;
    }
    if (cell->kind != TUG__PG_KIND_NUMERIC) {
        return tug__pg_cell_wrong_type(cell, slot);
    }
    if (!cell->binary) {
        return tug__pg_double_parse(cell->data, ret_x) ? 0 : tug__pg_cell_out_of_range(cell, slot);
    }
    return !tug__pg_numeric_read(cell->data, cell->size, &n) ? tug__pg_cell_malformed(cell)
           : !tug__pg_numeric_double(&n, ret_x)              ? tug__pg_cell_out_of_range(cell, slot)
                                                             : 0;
}

/* --- text and bytes --------------------------------------------------------------------------------- */

bool tug__pg_cell_is_text(const tug__pg_cell *cell)
{
    return cell->kind == TUG__PG_KIND_TEXT || cell->kind == TUG__PG_KIND_JSONB ||
           (cell->kind == TUG__PG_KIND_OTHER && !cell->binary);
}

struct tug_bytes tug__pg_cell_plain(const tug__pg_cell *cell)
{
    /* The version byte, which was checked. */
    size_t skip = cell->kind == TUG__PG_KIND_JSONB && cell->binary;
    return tug_bytes(cell->data + skip, cell->size - skip);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* bytea as text: \x00ff, or by the old setting bytea_output=escape. Returns the length, -1: neither. */
static ptrdiff_t bytea_parse(const char *text, size_t size, char *to)
{
    char *first = to;
    const char *end = text + size;
    if (size >= 2 && text[0] == '\\' && text[1] == 'x') {
        for (const char *p = text + 2; p < end; p += 2) {
            int high = hex_value(p[0]), low = p + 1 < end ? hex_value(p[1]) : -1;
            if (high < 0 || low < 0) {
                return -1;
            }
            *to++ = (char)(high << 4 | low);
        }
        return to - first;
    }
    for (const char *p = text; p < end; p++) {
        if (*p != '\\') {
            *to++ = *p;
        } else if (end - p >= 2 && p[1] == '\\') {
            *to++ = '\\';
            p++;
        } else if (end - p >= 4 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                   p[3] >= '0' && p[3] <= '7') {
            *to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 3;
        } else {
            return -1;
        }
    }
    return to - first;
}

int tug__pg_cell_bytea(const tug__pg_cell *cell, struct tug_bytes *ret_bytes)
{
    if (cell->binary) {
        *ret_bytes = tug_bytes(cell->data, cell->size);
        return 0;
    }
    char *to = PQresultAlloc(cell->res, cell->size + 1);
    if (to == NULL) {
        return tug__pg_cell_fail(cell, TUG_ENOMEM, "no memory to decode a bytea of %zu bytes",
                                 cell->size);
    }
    ptrdiff_t size = bytea_parse(cell->data, cell->size, to);
    if (size < 0) {
        return tug__pg_cell_malformed(cell);
    }
    *ret_bytes = tug_bytes(to, (size_t)size);
    return 0;
}

static size_t text_put(const char *text, size_t size, char *to, size_t capacity)
{
    size_t n = size < capacity ? size : capacity - 1;
    if (capacity > 0) {
        memcpy(to, text, n);
        to[n] = 0;
    }
    return size;
}

/* A value of fixed size and more than a number, as PostgreSQL prints it. */
static int cell_struct_text(const tug__pg_cell *cell, char *to, size_t *ret_size)
{
    tug_value v;
    struct tug_inet inet;
    int rc = tug__pg_cell_struct(cell, &v);
    if (rc < 0) {
        return rc;
    }
    if (v.type == TUG_VALUE_INET) {
        inet = tug__pg_value_inet(&v);
        *ret_size = tug__pg_inet_text(&inet, cell->type == TUG__PG_CIDR, to);
    } else if (cell->kind == TUG__PG_KIND_TIMESTAMP) {
        *ret_size = tug__pg_timestamp_text(v.u.i, false, to);
    } else {
        *ret_size = tug__pg_short_text(&v, to);
    }
    return 0;
}

static size_t cell_number_text(const tug__pg_cell *cell, char *to)
{
    int64_t i = 0;
    double d = 0;
    switch (cell->kind) {
    case TUG__PG_KIND_BOOL:
        to[0] = *cell->data != 0 ? 't' : 'f';
        to[1] = 0;
        return 1;
    case TUG__PG_KIND_FLOAT8:
        (void)cell_float(cell, &d);
        return tug__pg_double_text(d, to);
    case TUG__PG_KIND_FLOAT4:
        (void)cell_float(cell, &d);
        return tug__pg_float_text((float)d, to);
    default:
        (void)cell_int(cell, &i);
        return tug__pg_int_text(i, to);
    }
}

int tug__pg_cell_text(const tug__pg_cell *cell, char *to, size_t capacity, size_t *ret_size)
{
    char text[TUG__PG_SHORT_TEXT];
    size_t size;
    if (tug__pg_cell_is_text(cell) || (!cell->binary && !tug__pg_cell_is_time(cell))) {
        struct tug_bytes plain = tug__pg_cell_plain(cell);
        *ret_size = text_put(plain.data, plain.size, to, capacity);
        return 0;
    }
    if (cell->kind == TUG__PG_KIND_ARRAY) {
        return tug__pg_array_text(cell, to, capacity, ret_size);
    }
    if (cell->kind == TUG__PG_KIND_NUMERIC) {
        tug__pg_numeric n;
        if (!tug__pg_numeric_read(cell->data, cell->size, &n)) {
            return tug__pg_cell_malformed(cell);
        }
        *ret_size = tug__pg_numeric_text(&n, to, capacity);
        return 0;
    }
    if (tug__pg_kind_is_struct(cell->kind)) {
        int rc = cell_struct_text(cell, text, &size);
        if (rc < 0) {
            return rc;
        }
    } else {
        size = cell_number_text(cell, text);
    }
    *ret_size = text_put(text, size, to, capacity);
    return 0;
}

int tug__pg_cell_text_size(const tug__pg_cell *cell, const tug_slot *slot, size_t *ret_size)
{
    if (cell->kind == TUG__PG_KIND_BYTEA || (cell->kind == TUG__PG_KIND_OTHER && cell->binary)) {
        return tug__pg_cell_wrong_type(cell, slot);
    }
    return tug__pg_cell_text(cell, NULL, 0, ret_size);
}
