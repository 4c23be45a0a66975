#include "arraycell.h"

#include "arraytext.h"
#include "be.h"
#include "element.h"
#include "numeric.h"

#include <string.h>
#include <strings.h>
#include <tug/error.h>

/* --- taking apart ---------------------------------------------------------------------------------- */

/* In memory each element is its length and its bytes, as the server sends them in binary; those that came
 * as text have a 0 behind them. A length of -1 is NULL. */
bool tug__pg_array_next(tug_pg_array *array, tug__pg_cell *ret_cell, bool *ret_null)
{
    if (array->end - array->at < 4) {
        return false;
    }
    int32_t size = (int32_t)tug__pg_get32(array->at);
    const char *data = array->at + 4;
    ptrdiff_t whole = size < 0 ? 0 : (ptrdiff_t)size + !array->binary;
    if (size < -1 || array->end - data < whole) {
        return false;
    }
    ret_cell->element = array->next + 1;
    ret_cell->data = data;
    ret_cell->size = size < 0 ? 0 : (size_t)size;
    ret_cell->type = array->element_type;
    ret_cell->kind = tug__pg_kind_of(array->element_type);
    ret_cell->binary = array->binary;
    *ret_null = size < 0;
    array->at = data + whole;
    array->next++;
    return true;
}

enum {
    ARRAY_HEADER = 12,   /* dimensions, flags, type of the elements */
    ARRAY_DIMENSION = 8, /* size, lower bound */
    ARRAY_LEAST = 4      /* of an element: its length */
};

/* The dimensions, and the number of elements that they make; no more than there are bytes for. */
static bool array_dimensions(const char *p, size_t left, tug_pg_array *a)
{
    size_t n = a->dimensions > 0;
    for (int i = 0; i < a->dimensions; i++) {
        int32_t size = (int32_t)tug__pg_get32(p + i * ARRAY_DIMENSION);
        int32_t lower = (int32_t)tug__pg_get32(p + i * ARRAY_DIMENSION + 4), upper;
        if (size <= 0 || __builtin_add_overflow(lower, size, &upper) ||
            __builtin_mul_overflow(n, (size_t)size, &n) || n > left / ARRAY_LEAST) {
            return false;
        }
        a->sizes[i] = size;
        a->lower[i] = lower;
    }
    a->n = n;
    return true;
}

static bool array_read(const tug__pg_cell *cell, tug_pg_array *a)
{
    const char *p = cell->data;
    if (cell->size < ARRAY_HEADER) {
        return false;
    }
    uint32_t dimensions = tug__pg_get32(p);
    size_t header = ARRAY_HEADER + (size_t)dimensions * ARRAY_DIMENSION;
    if (dimensions > TUG_PG_ARRAY_DIMENSIONS_MAX || cell->size < header ||
        tug__pg_get32(p + 8) != a->element_type) {
        return false;
    }
    a->dimensions = (int)dimensions;
    a->data = p + header;
    a->end = p + cell->size;
    return array_dimensions(p + ARRAY_HEADER, cell->size - header, a);
}

/* Walks over all elements: afterwards their lengths are known to be good, and to end where the value does. */
static bool array_is_sound(const tug_pg_array *array)
{
    tug_pg_array a = *array;
    tug__pg_cell cell;
    bool null;
    for (size_t i = 0; i < a.n; i++) {
        if (!tug__pg_array_next(&a, &cell, &null)) {
            return false;
        }
    }
    return a.at == a.end;
}

int tug__pg_array_open(const tug__pg_cell *cell, tug_pg_array *ret_array)
{
    tug_pg_array a = {.element_type = tug__pg_element_of(cell->type), .binary = cell->binary};
    int rc = 0;
    if (cell->binary) {
        rc = array_read(cell, &a) ? 0 : tug__pg_cell_malformed(cell);
    } else {
        rc = tug__pg_arraytext_read(cell, &a);
    }
    if (rc < 0) {
        return rc;
    }
    a.at = a.data;
    if (!array_is_sound(&a)) {
        return tug__pg_cell_malformed(cell);
    }
    *ret_array = a;
    return 0;
}

/* --- as text --------------------------------------------------------------------------------------- */

typedef struct array_print {
    char *to;
    size_t capacity, size;
} array_print;

static void print_char(array_print *o, char c)
{
    if (o->size + 1 < o->capacity) {
        o->to[o->size] = c;
    }
    o->size++;
}

static void print_text(array_print *o, const char *text)
{
    while (*text != 0) {
        print_char(o, *text++);
    }
}

static void print_int(array_print *o, int64_t x)
{
    char text[TUG__PG_SHORT_TEXT];
    tug_value v = tug_int64(x);
    tug__pg_short_text(&v, text);
    print_text(o, text);
}

/* What the server's array_out puts between quotes. */
static bool print_needs_quotes(const char *text, size_t size)
{
    if (size == 0 || (size == 4 && strncasecmp(text, "null", 4) == 0)) {
        return true;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] != 0 && strchr("\"\\{}, \t\n\r\v\f", text[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void print_quoted(array_print *o, const char *text, size_t size)
{
    bool quotes = print_needs_quotes(text, size);
    if (quotes) {
        print_char(o, '"');
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            print_char(o, '\\');
        }
        print_char(o, text[i]);
    }
    if (quotes) {
        print_char(o, '"');
    }
}

static void print_bytea(array_print *o, const char *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    print_text(o, "\"\\\\x");
    for (size_t i = 0; i < size; i++) {
        print_char(o, hex[(unsigned char)data[i] >> 4]);
        print_char(o, hex[data[i] & 15]);
    }
    print_char(o, '"');
}

/* As long as it may be, and never in need of quotes. */
static int print_numeric(array_print *o, const tug__pg_cell *cell)
{
    tug__pg_numeric n;
    if (!tug__pg_numeric_read(cell->data, cell->size, &n)) {
        return tug__pg_cell_malformed(cell);
    }
    size_t left = o->size < o->capacity ? o->capacity - o->size : 0;
    o->size += tug__pg_numeric_text(&n, left > 0 ? o->to + o->size : NULL, left);
    return 0;
}

static int print_element(array_print *o, const tug__pg_cell *cell)
{
    char text[TUG__PG_SHORT_TEXT];
    size_t size;
    if (!tug__pg_cell_is_sound(cell)) {
        return tug__pg_cell_malformed(cell);
    }
    if (tug__pg_cell_is_text(cell)) {
        struct tug_bytes plain = tug__pg_cell_plain(cell);
        print_quoted(o, plain.data, plain.size);
        return 0;
    }
    if (cell->kind == TUG__PG_KIND_BYTEA) {
        print_bytea(o, cell->data, cell->size);
        return 0;
    }
    if (cell->kind == TUG__PG_KIND_NUMERIC) {
        return print_numeric(o, cell);
    }
    int rc = tug__pg_cell_text(cell, text, sizeof text, &size);
    if (rc == 0) {
        print_quoted(o, text, size);
    }
    return rc;
}

static void print_bounds(array_print *o, const tug_pg_array *a)
{
    bool usual = true;
    for (int i = 0; i < a->dimensions; i++) {
        usual = usual && a->lower[i] == 1;
    }
    for (int i = 0; !usual && i < a->dimensions; i++) {
        print_char(o, '[');
        print_int(o, a->lower[i]);
        print_char(o, ':');
        print_int(o, (int64_t)a->lower[i] + a->sizes[i] - 1);
        print_char(o, ']');
    }
    if (!usual) {
        print_char(o, '=');
    }
}

/* One for each dimension that begins at element i, or has ended before it. */
static void print_braces(array_print *o, const tug_pg_array *a, size_t i, char brace)
{
    size_t run = 1;
    for (int d = a->dimensions - 1; d >= 0; d--) {
        run *= (size_t)a->sizes[d];
        if (i % run != 0) {
            return;
        }
        print_char(o, brace);
    }
}

static int print_all(array_print *o, tug_pg_array *a, const tug__pg_cell *whole)
{
    tug__pg_cell cell = *whole;
    bool null = false;
    for (size_t i = 0; i < a->n; i++) {
        if (i > 0) {
            print_braces(o, a, i, '}');
            print_char(o, ',');
        }
        print_braces(o, a, i, '{');
        if (!tug__pg_array_next(a, &cell, &null)) {
            return tug__pg_cell_malformed(whole);
        }
        if (null) {
            print_text(o, "NULL");
            continue;
        }
        int rc = print_element(o, &cell);
        if (rc < 0) {
            return rc;
        }
    }
    print_braces(o, a, a->n, '}');
    return 0;
}

int tug__pg_array_text(const tug__pg_cell *cell, char *to, size_t capacity, size_t *ret_size)
{
    tug_pg_array a = {0};
    array_print o = {to, capacity, 0};
    int rc = tug__pg_array_open(cell, &a);
    if (rc < 0) {
        return rc;
    }
    if (a.n == 0) {
        print_text(&o, "{}");
    } else {
        print_bounds(&o, &a);
        rc = print_all(&o, &a, cell);
        if (rc < 0) {
            return rc;
        }
    }
    if (capacity > 0) {
        to[o.size < capacity ? o.size : capacity - 1] = 0;
    }
    *ret_size = o.size;
    return 0;
}
