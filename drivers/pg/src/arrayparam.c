#include "arrayparam.h"

#include "be.h"
#include "check.h"
#include "param.h"
#include "type.h"

#include <stdio.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

void tug__pg_grow_free(tug__pg_grow *g)
{
    tug_free(g->data);
    *g = (tug__pg_grow){0};
}

static char *grow(tug__pg_grow *g, size_t more)
{
    if (g->capacity - g->size < more) {
        size_t capacity = g->capacity < 512 ? 512 : g->capacity * 2;
        if (capacity < g->size + more) {
            capacity = g->size + more;
        }
        char *data = tug_realloc(g->data, capacity);
        if (data == NULL) {
            tug_fail(TUG_ENOMEM, "no memory for %zu bytes of an array", capacity);
            return NULL;
        }
        g->data = data;
        g->capacity = capacity;
    }
    char *to = g->data + g->size;
    g->size += more;
    return to;
}

static int grow_put(tug__pg_grow *g, const void *data, size_t size)
{
    char *to = grow(g, size);
    if (to == NULL) {
        return TUG_ENOMEM;
    }
    memcpy(to, data, size);
    return 0;
}

static int grow_put32(tug__pg_grow *g, uint32_t x)
{
    char bytes[4];
    tug__pg_put32(bytes, x);
    return grow_put(g, bytes, sizeof bytes);
}

/* --- what both forms share ------------------------------------------------------------------------- */

typedef struct array_out {
    const struct tug_array *a;
    const tug__pg_param *whole; /* the parameter that it is */
    Oid element;                /* 0: not known */
    int dimensions;
    tug__pg_grow *out;
} array_out;

static int32_t array_size(const array_out *o, int dimension)
{
    return o->a->dimensions == 0 ? (int32_t)o->a->n : o->a->sizes[dimension];
}

static int32_t array_lower(const array_out *o, int dimension)
{
    return o->a->dimensions == 0 || o->a->lower == NULL ? 1 : o->a->lower[dimension];
}

/* Element i; value and scratch are the caller's. */
static int array_element(const array_out *o, size_t i, tug_value *value, char *scratch,
                         tug__pg_param *ret)
{
    *value = tug__pg_element(o->a, i);
    *ret = (tug__pg_param){.value = value,
                           .type = o->element != 0 ? o->element : o->whole->type,
                           .number = o->whole->number,
                           .element = i + 1,
                           .scratch = scratch};
    return tug__pg_param_encode(ret);
}

/* --- binary ---------------------------------------------------------------------------------------- */

static int array_binary_header(const array_out *o)
{
    int rc = grow_put32(o->out, (uint32_t)o->dimensions);
    if (rc == 0) {
        rc = grow_put32(o->out, 0); /* "has NULLs", which the server finds out for itself */
    }
    if (rc == 0) {
        rc = grow_put32(o->out, o->element);
    }
    for (int i = 0; rc == 0 && i < o->dimensions; i++) {
        rc = grow_put32(o->out, (uint32_t)array_size(o, i));
        if (rc == 0) {
            rc = grow_put32(o->out, (uint32_t)array_lower(o, i));
        }
    }
    return rc;
}

/* *ret_done false: an element has no binary form. */
static int array_binary(const array_out *o, bool *ret_done)
{
    char scratch[TUG__PG_PARAM_SCRATCH];
    int rc = array_binary_header(o);
    for (size_t i = 0; rc == 0 && i < o->a->n; i++) {
        tug_value value;
        tug__pg_param p;
        rc = array_element(o, i, &value, scratch, &p);
        if (rc < 0) {
            break;
        }
        if (p.data != NULL && p.format == 0) {
            *ret_done = false;
            return 0;
        }
        rc = grow_put32(o->out, p.data != NULL ? (uint32_t)p.length : UINT32_MAX);
        if (rc == 0 && p.data != NULL) {
            rc = grow_put(o->out, p.data, (size_t)p.length);
        }
    }
    *ret_done = true;
    return rc;
}

/* --- text ------------------------------------------------------------------------------------------ */

static int text_bounds(const array_out *o)
{
    char text[32];
    bool usual = true;
    for (int i = 0; i < o->dimensions; i++) {
        usual = usual && array_lower(o, i) == 1;
    }
    for (int i = 0; !usual && i < o->dimensions; i++) {
        int n = snprintf(text, sizeof text, "[%d:%d]", (int)array_lower(o, i),
                         (int)(array_lower(o, i) + array_size(o, i) - 1));
        int rc = grow_put(o->out, text, (size_t)n);
        if (rc < 0) {
            return rc;
        }
    }
    return usual ? 0 : grow_put(o->out, "=", 1);
}

static int text_quoted(tug__pg_grow *out, const char *data, size_t size)
{
    char *to = grow(out, 2 * size + 2);
    if (to == NULL) {
        return TUG_ENOMEM;
    }
    char *p = to;
    *p++ = '"';
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"' || data[i] == '\\') {
            *p++ = '\\';
        }
        *p++ = data[i];
    }
    *p++ = '"';
    out->size -= 2 * size + 2 - (size_t)(p - to);
    return 0;
}

/* bytea among elements of which another one came as text: "\\x00ff" between quotes. */
static int text_hex(tug__pg_grow *out, const char *data, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    char *p = grow(out, 2 * size + 5);
    if (p == NULL) {
        return TUG_ENOMEM;
    }
    *p++ = '"';
    *p++ = '\\';
    *p++ = '\\';
    *p++ = 'x';
    for (size_t i = 0; i < size; i++) {
        *p++ = hex[(unsigned char)data[i] >> 4];
        *p++ = hex[data[i] & 15];
    }
    *p = '"';
    return 0;
}

static int text_element(const array_out *o, size_t i)
{
    char scratch[TUG__PG_PARAM_SCRATCH];
    tug_value value;
    tug__pg_param p;
    int rc = array_element(o, i, &value, scratch, &p);
    if (rc < 0) {
        return rc;
    }
    if (p.data == NULL) {
        return grow_put(o->out, "NULL", 4);
    }
    if (value.type == TUG_VALUE_BYTES && o->element == TUG__PG_BYTEA) {
        return text_hex(o->out, p.data, (size_t)p.length);
    }
    if (tug__pg_has_bytes(&value)) {
        return text_quoted(o->out, value.u.bytes.data, value.u.bytes.size);
    }
    return p.format == 0 ? text_quoted(o->out, p.data, (size_t)p.length)
                         : text_quoted(o->out, scratch, tug__pg_short_text(&value, scratch));
}

/* Braces that open before element i, or close behind the one before it: one for each dimension whose
 * last index has come to its end. */
static int text_braces(const array_out *o, size_t i, char brace)
{
    size_t run = 1;
    int rc = 0;
    for (int d = o->dimensions - 1; rc == 0 && d >= 0; d--) {
        run *= (size_t)array_size(o, d);
        if (i % run != 0) {
            break;
        }
        rc = grow_put(o->out, &brace, 1);
    }
    return rc;
}

static int array_text(const array_out *o)
{
    size_t n = o->a->n;
    if (n == 0) {
        return grow_put(o->out, "{}", 2);
    }
    int rc = text_bounds(o);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = i > 0 ? text_braces(o, i, '}') : 0;
        if (rc == 0 && i > 0) {
            rc = grow_put(o->out, ",", 1);
        }
        if (rc == 0) {
            rc = text_braces(o, i, '{');
        }
        if (rc == 0) {
            rc = text_element(o, i);
        }
    }
    return rc == 0 ? text_braces(o, n, '}') : rc;
}

int tug__pg_array_encode(tug__pg_param *p, tug__pg_grow *out)
{
    const struct tug_array *a = p->value->u.array;
    size_t before = out->size;
    array_out o = {.a = a,
                   .whole = p,
                   .element = tug__pg_element_of(p->type),
                   .dimensions = a->n == 0            ? 0
                                 : a->dimensions == 0 ? 1
                                                      : (int)a->dimensions,
                   .out = out};
    bool done = false;
    int rc = 0;
    if (o.element == 0 && tug__pg_kind_of(p->type) != TUG__PG_KIND_OTHER) {
        return tug_fail(TUG_ETYPE, "parameter %zu wants %s, not an array", p->number,
                        tug__pg_type_name(p->type));
    }
    if (o.element != 0) {
        rc = array_binary(&o, &done);
    }
    if (rc == 0 && !done) {
        out->size = before;
        rc = array_text(&o);
    }
    if (rc < 0) {
        return rc;
    }
    p->format = done;
    size_t size = out->size - before;
    if (size > TUG__PG_VALUE_MAX) {
        return tug_fail(TUG_ELIMIT, "parameter %zu has %zu bytes, PostgreSQL takes at most 1 GB",
                        p->number, size);
    }
    p->length = (int)size;
    return grow_put(out, "", 1); /* libpq wants it behind text */
}
