#include "copyshape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "be.h"
#include "check.h"
#include "number.h"
#include "numericput.h"
#include "quote.h"
#include "type.h"

/* What PostgreSQL has at most in a table, MaxHeapAttributeNumber. */
#define SHAPE_COLUMNS 1600

/* --- the columns ------------------------------------------------------------------------------ */

/* From the catalogue, which everybody may read, and not from a SELECT of the table, which who may
 * insert need not be allowed. Domains are what they are made of, of whatever depth; enums are text on
 * the wire. */
static const char SHAPE_SQL[] =
    "select a.attname::text, case b.typtype when 'e' then 25 else b.oid::int8 end "
    "from pg_attribute a cross join lateral (with recursive d as (select oid, typtype, typbasetype "
    "from pg_type where oid = a.atttypid union all select t.oid, t.typtype, t.typbasetype from d "
    "join pg_type t on t.oid = d.typbasetype where d.typtype = 'd') "
    "select oid, typtype from d where typtype <> 'd') b "
    "where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped "
    "and a.attgenerated = '' order by a.attnum";

static int shape_put(tug__pg_bytes *to, const char *text)
{
    size_t size = strlen(text);
    int rc = tug__pg_bytes_reserve(to, size + 1);
    if (rc == 0) {
        memcpy(to->data + to->size, text, size + 1);
        to->size += size;
    }
    return rc;
}

static int shape_put_name(tug__pg_bytes *to, const char *what, const char *name)
{
    char quoted[TUG__PG_QUOTED_MAX];
    int rc = tug__pg_quote_name(what, name, quoted);
    return rc < 0 ? rc : shape_put(to, quoted);
}

static int shape_put_table(tug__pg_bytes *to, const char *schema, const char *table)
{
    int rc = 0;
    if (schema != NULL) {
        rc = shape_put_name(to, "COPY: the schema", schema);
        rc = rc < 0 ? rc : shape_put(to, ".");
    }
    return rc < 0 ? rc : shape_put_name(to, "COPY: the table", table);
}

int tug__pg_shape_put_target(const tug__pg_shape *shape, const char *schema, const char *table,
                             tug__pg_bytes *to)
{
    int rc = shape_put(to, "COPY ");
    rc = rc < 0 ? rc : shape_put_table(to, schema, table);
    for (size_t i = 0; i < shape->n && rc == 0; i++) {
        rc = shape_put(to, i == 0 ? "(" : ", ");
        rc = rc < 0 ? rc : shape_put_name(to, "COPY: a column", shape->names[i]);
    }
    return rc < 0 ? rc : shape_put(to, ")");
}

void tug__pg_shape_free(tug__pg_shape *shape)
{
    if (shape == NULL) {
        return;
    }
    for (size_t i = 0; i < shape->n && shape->names != NULL; i++) {
        tug_free(shape->names[i]);
    }
    tug__pg_params_free(&shape->params);
    tug_free(shape->names);
    tug_free(shape->types);
    tug_free(shape);
}

static int shape_new(size_t n, tug__pg_shape **ret_shape)
{
    tug__pg_shape *shape = tug_calloc(1, sizeof *shape);
    if (shape != NULL) {
        shape->n = n;
        shape->types = tug_calloc(n, sizeof *shape->types);
        shape->names = tug_calloc(n, sizeof *shape->names);
        if (shape->types != NULL && shape->names != NULL) {
            *ret_shape = shape;
            return 0;
        }
        tug__pg_shape_free(shape);
    }
    return tug_fail(TUG_ENOMEM, "out of memory for a COPY of %zu columns", n);
}

/* The row of res that is about this column. */
static int shape_find(const tug_pg_result *res, const char *name, size_t *ret_row)
{
    for (size_t row = 0; row < tug_pg_result_rows(res); row++) {
        const char *found = NULL;
        int rc = tug_pg_result_text(res, row, 0, &found);
        if (rc < 0) {
            return rc;
        }
        if (strcmp(found, name) == 0) {
            *ret_row = row;
            return 0;
        }
    }
    return tug_fail(TUG_ENOTFOUND, "COPY: the table has no column \"%.63s\" that takes values",
                    name);
}

static int shape_fill(tug__pg_shape *shape, const tug_pg_result *res, const char *const *columns)
{
    for (size_t i = 0; i < shape->n; i++) {
        const char *name = NULL;
        int64_t type = 0;
        size_t row = i;
        int rc = columns != NULL ? shape_find(res, columns[i], &row) : 0;
        rc = rc < 0 ? rc : tug_pg_scan(res, row, TUG_OUT(&name, &type));
        if (rc < 0) {
            return rc;
        }
        shape->types[i] = (Oid)type;
        shape->names[i] = tug_strdup(name);
        if (shape->names[i] == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a COPY");
        }
    }
    return 0;
}

int tug__pg_shape_check_binary(const tug__pg_shape *shape)
{
    for (size_t i = 0; i < shape->n; i++) {
        if (tug__pg_kind_of(shape->types[i]) == TUG__PG_KIND_OTHER) {
            return tug_fail(TUG_ETYPE,
                            "COPY: column \"%.63s\" is %s, whose binary form is not known here: "
                            "use TUG_PG_COPY_TEXT",
                            shape->names[i], tug__pg_type_name(shape->types[i]));
        }
    }
    return 0;
}

int tug__pg_shape_look_up(tug_pg *db, const char *schema, const char *table,
                          const char *const *columns, tug__pg_shape **ret_shape)
{
    tug__pg_bytes name = {0};
    TUG_AUTO(tug_pg_result) res = NULL;
    int rc = shape_put_table(&name, schema, table);
    rc = rc < 0 ? rc : tug_pg_query(db, SHAPE_SQL, TUG_ARGS(name.data), &res);
    tug__pg_bytes_free(&name);
    if (rc < 0) {
        return rc;
    }
    size_t n = tug_pg_result_rows(res);
    if (columns != NULL) {
        for (n = 0; n <= SHAPE_COLUMNS && columns[n] != NULL;) {
            n++;
        }
    }
    if (n == 0 || n > SHAPE_COLUMNS) {
        return tug_fail(TUG_EINVAL, "COPY: %zu columns, not 1 to %d", n, SHAPE_COLUMNS);
    }
    tug__pg_shape *shape = NULL;
    rc = shape_new(n, &shape);
    rc = rc < 0 ? rc : shape_fill(shape, res, columns);
    if (rc < 0) {
        tug__pg_shape_free(shape);
        return rc;
    }
    *ret_shape = shape;
    return 0;
}

/* --- rows in binary --------------------------------------------------------------------------- */

static int shape_begin(tug__pg_shape *shape, tug__pg_bytes *to)
{
    static const char header[19] = "PGCOPY\n\377\r\n"; /* a 0, no flags, no extension */
    if (shape->was_begun) {
        return 0;
    }
    int rc = tug__pg_bytes_reserve(to, sizeof header);
    if (rc == 0) {
        memcpy(to->data + to->size, header, sizeof header);
        to->size += sizeof header;
        shape->was_begun = true;
    }
    return rc;
}

static void shape_put_size(tug__pg_bytes *to, int32_t size)
{
    tug__pg_put32(to->data + to->size, (uint32_t)size);
    to->size += 4;
}

/* What the encoder for parameters leaves to the server as text. */
static int shape_put_from_text(Oid type, const char *text, size_t size, tug__pg_bytes *to)
{
    tug__pg_kind kind = tug__pg_kind_of(type);
    int rc = tug__pg_bytes_reserve(to, 4 + size + 1 + TUG__PG_NUMERIC_PUT);
    if (rc < 0) {
        return rc;
    }
    if (kind == TUG__PG_KIND_NUMERIC) {
        size_t n = tug__pg_numeric_put(text, size, to->data + to->size + 4);
        if (n == 0) {
            return tug_fail(TUG_EINVAL, "%.*s is no numeric", (int)(size < 40 ? size : 40), text);
        }
        shape_put_size(to, (int32_t)n);
        to->size += n;
        return 0;
    }
    if (kind == TUG__PG_KIND_JSONB) {
        shape_put_size(to, (int32_t)size + 1);
        to->data[to->size++] = 1; /* the version of its binary form */
        memcpy(to->data + to->size, text, size);
        to->size += size;
        return 0;
    }
    if (type == TUG__PG_CHAR && size == 1) {
        shape_put_size(to, 1);
        to->data[to->size++] = *text;
        return 0;
    }
    return tug_fail(TUG_ETYPE, "%s does not come from text in a binary COPY",
                    tug__pg_type_name(type));
}

static int shape_put_value(const tug__pg_shape *shape, size_t i, tug__pg_bytes *to)
{
    const tug__pg_params *p = &shape->params;
    const char *data = p->values[i];
    size_t size = (size_t)p->lengths[i];
    if (data == NULL) {
        shape_put_size(to, -1);
        return 0;
    }
    if (p->formats[i] == 0) {
        return shape_put_from_text(shape->types[i], data, size, to);
    }
    int rc = tug__pg_bytes_reserve(to, 4 + size);
    if (rc == 0) {
        shape_put_size(to, (int32_t)size);
        memcpy(to->data + to->size, data, size);
        to->size += size;
    }
    return rc;
}

/* Of a failure that speaks of "parameter 3", or of nothing. */
static int shape_value_failed(const tug__pg_shape *shape, size_t i, int rc)
{
    static const char parameter[] = "parameter ";
    tug_error e = *tug_last_error();
    char text[sizeof e.text];
    char *rest = e.text;
    if (e.code != rc) {
        return rc;
    }
    if (strncmp(e.text, parameter, sizeof parameter - 1) == 0) {
        i = strtoul(e.text + sizeof parameter - 1, &rest, 10) - 1;
        rest += *rest == ':';
    }
    memcpy(text, rest, strlen(rest) + 1);
    snprintf(e.text, sizeof e.text, "column %zu \"%.63s\":%s%.*s", i + 1,
             i < shape->n ? shape->names[i] : "", text[0] == ' ' ? "" : " ",
             (int)sizeof e.text - 100, text);
    return tug_fail_with(&e);
}

int tug__pg_shape_put_row(tug__pg_shape *shape, tug_args row, tug__pg_bytes *to)
{
    size_t before = to->size;
    if (row.n != shape->n) {
        return tug_fail(TUG_EMISUSE, "%zu values for %zu columns", row.n, shape->n);
    }
    for (size_t i = 0; i < row.n; i++) {
        int rc = tug__pg_check_value(&row.values[i], "parameter", i + 1);
        if (rc < 0) {
            return shape_value_failed(shape, i, rc);
        }
    }
    tug__pg_args args; /* only looked at: nothing here needs the zeros of a copy */
    args.args = row;
    args.heap = NULL;
    int rc = tug__pg_args_encode(&args, shape->types, shape->n, &shape->params);
    if (rc < 0) {
        return shape_value_failed(shape, 0, rc);
    }
    bool was_begun = shape->was_begun;
    rc = shape_begin(shape, to);
    rc = rc < 0 ? rc : tug__pg_bytes_reserve(to, 2 + 4 * shape->n);
    if (rc == 0) {
        tug__pg_put16(to->data + to->size, (uint16_t)shape->n);
        to->size += 2;
    }
    for (size_t i = 0; i < shape->n && rc == 0; i++) {
        rc = tug__pg_bytes_reserve(to, 4);
        rc = rc < 0 ? rc : shape_put_value(shape, i, to);
        rc = rc < 0 ? shape_value_failed(shape, i, rc) : 0;
    }
    if (rc < 0) {
        to->size = before;
        shape->was_begun = was_begun;
    }
    return rc;
}

int tug__pg_shape_put_end(tug__pg_shape *shape, tug__pg_bytes *to)
{
    size_t before = to->size;
    int rc = shape_begin(shape, to);
    rc = rc < 0 ? rc : tug__pg_bytes_reserve(to, 2);
    if (rc < 0) {
        to->size = before;
        return rc;
    }
    tug__pg_put16(to->data + to->size, 0xffff);
    to->size += 2;
    return 0;
}
