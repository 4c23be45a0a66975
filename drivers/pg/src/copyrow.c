#include "copyrow.h"

#include "calendar.h"
#include "check.h"
#include "element.h"
#include "number.h"

#include <tug/error.h>
#include <tug/sys/alloc.h>

int tug__pg_bytes_reserve(tug__pg_bytes *b, size_t more)
{
    if (b->capacity - b->size >= more) {
        return 0;
    }
    size_t capacity = b->capacity < 1024 ? 1024 : b->capacity * 2;
    if (capacity < b->size + more) {
        capacity = b->size + more;
    }
    char *data = tug_realloc(b->data, capacity);
    if (data == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for %zu bytes of COPY", capacity);
    }
    b->data = data;
    b->capacity = capacity;
    return 0;
}

void tug__pg_bytes_free(tug__pg_bytes *b)
{
    tug_free(b->data);
    *b = (tug__pg_bytes){0};
}

/* What follows the backslash for a byte that COPY text reads otherwise; 0: it stands for itself. */
static char row_escape(char c)
{
    switch (c) {
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\\':
        return '\\';
    default:
        return 0;
    }
}

static int row_text(tug__pg_bytes *out, const tug_value *v, size_t column)
{
    const char *text = v->u.bytes.data;
    size_t size = v->u.bytes.size;
    int rc = tug__pg_check_text(v, "column", column);
    if (rc < 0 || (rc = tug__pg_bytes_reserve(out, 2 * size)) < 0) {
        return rc;
    }
    char *to = out->data + out->size;
    for (size_t i = 0; i < size; i++) {
        char escaped = row_escape(text[i]);
        if (escaped != 0) {
            *to++ = '\\';
        }
        *to++ = escaped != 0 ? escaped : text[i];
    }
    out->size = (size_t)(to - out->data);
    return 0;
}

/* bytea's hex form, \x00ff, with its backslash doubled for COPY. */
static int row_bytes(tug__pg_bytes *out, const tug_value *v)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *from = v->u.bytes.data;
    size_t size = v->u.bytes.size;
    int rc = tug__pg_bytes_reserve(out, 2 * size + 3);
    if (rc < 0) {
        return rc;
    }
    char *to = out->data + out->size;
    *to++ = '\\';
    *to++ = '\\';
    *to++ = 'x';
    for (size_t i = 0; i < size; i++) {
        *to++ = hex[from[i] >> 4];
        *to++ = hex[from[i] & 15];
    }
    out->size = (size_t)(to - out->data);
    return 0;
}

/* Room for any value that is not text or bytes, the tab or newline behind it included. */
enum {
    ROW_SHORT = TUG__PG_SHORT_TEXT + 1
};

static int row_value(tug__pg_bytes *out, const tug_value *v, size_t column)
{
    int rc = tug__pg_check_value(v, "column", column);
    if (rc < 0 || (rc = tug__pg_bytes_reserve(out, ROW_SHORT)) < 0) {
        return rc;
    }
    char *to = out->data + out->size;
    switch (v->type) {
    case TUG_VALUE_NULL:
        to[0] = '\\';
        to[1] = 'N';
        out->size += 2;
        return 0;
    case TUG_VALUE_BOOL:
        *to = v->u.b ? 't' : 'f';
        out->size += 1;
        return 0;
    case TUG_VALUE_INT:
        out->size += tug__pg_int_text(v->u.i, to);
        return 0;
    case TUG_VALUE_UINT:
        out->size += tug__pg_uint_text(v->u.u, to);
        return 0;
    case TUG_VALUE_DOUBLE:
        out->size += tug__pg_double_text(v->u.d, to);
        return 0;
    case TUG_VALUE_TIMESTAMP:
        rc = tug__pg_check_time(v->u.i, "column", column);
        if (rc == 0) {
            out->size += tug__pg_timestamp_text(v->u.i, true, to);
        }
        return rc;
    case TUG_VALUE_TEXT:
        return row_text(out, v, column);
    case TUG_VALUE_BYTES:
        return row_bytes(out, v);
    case TUG_VALUE_ARRAY:
        return tug_fail(TUG_ETYPE, "column %zu is an array: give it as text, \"{1,2}\"", column);
    default:
        out->size += tug__pg_short_text(v, to);
        return 0;
    }
}

int tug__pg_copy_row(tug__pg_bytes *out, tug_args row)
{
    size_t before = out->size;
    if (row.n == 0 || row.values == NULL) {
        return tug_fail(TUG_EINVAL, "a row of COPY needs at least one value");
    }
    for (size_t i = 0; i < row.n; i++) {
        int rc = row_value(out, &row.values[i], i + 1);
        if (rc == 0) {
            rc = tug__pg_bytes_reserve(out, 1);
        }
        if (rc < 0) {
            out->size = before;
            return rc;
        }
        out->data[out->size++] = i + 1 < row.n ? '\t' : '\n';
    }
    return 0;
}
