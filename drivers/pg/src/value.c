#include "value.h"

#include "be.h"
#include "calendar.h"
#include "check.h"
#include "number.h"
#include "type.h"

#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

static const char *value_name(const tug_value *v)
{
    switch (v->type) {
    case TUG_VALUE_NULL:
        return "NULL";
    case TUG_VALUE_INT:
    case TUG_VALUE_UINT:
        return "an integer";
    case TUG_VALUE_BOOL:
        return "a bool";
    case TUG_VALUE_DOUBLE:
        return "a double";
    case TUG_VALUE_TEXT:
        return "text";
    case TUG_VALUE_BYTES:
        return "bytes";
    case TUG_VALUE_TIMESTAMP:
        return "a timestamp";
    default:
        return "a value of no known type";
    }
}

/* --- the copy ------------------------------------------------------------------------------------- */

static int args_measure(tug_args from, size_t *ret_bytes)
{
    if (from.n > TUG__PG_PARAMS_MAX) {
        return tug_fail(TUG_ELIMIT, "%zu arguments were given, a statement has at most %d", from.n,
                        TUG__PG_PARAMS_MAX);
    }
    if (from.values == NULL && from.n > 0) {
        return tug_fail(TUG_EINVAL, "%zu arguments were given at NULL", from.n);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < from.n; i++) {
        int rc = tug__pg_check_value(&from.values[i], "parameter", i + 1);
        if (rc < 0) {
            return rc;
        }
        if (tug__pg_has_bytes(&from.values[i])) {
            bytes += from.values[i].u.bytes.size + 1;
        }
    }
    *ret_bytes = bytes;
    return 0;
}

int tug__pg_args_copy(tug__pg_args *to, tug_args from)
{
    size_t bytes = 0;
    to->heap = NULL;
    to->args = TUG_NO_ARGS;
    int rc = args_measure(from, &bytes);
    if (rc < 0) {
        return rc;
    }
    tug_value *values = to->values;
    char *p = to->bytes;
    if (from.n > TUG__PG_ARGS_INLINE || bytes > TUG__PG_ARGS_INLINE_BYTES) {
        values = to->heap = tug_alloc(from.n * sizeof *values + bytes);
        if (values == NULL) {
            return tug_fail(TUG_ENOMEM, "no memory for %zu arguments of %zu bytes", from.n, bytes);
        }
        p = (char *)(values + from.n);
    }
    for (size_t i = 0; i < from.n; i++) {
        values[i] = from.values[i];
        if (tug__pg_has_bytes(&values[i])) {
            size_t size = values[i].u.bytes.size;
            if (size > 0) {
                memcpy(p, values[i].u.bytes.data, size);
            }
            p[size] = 0;
            values[i].u.bytes.data = p;
            p += size + 1;
        }
    }
    to->args = (tug_args){values, from.n};
    return 0;
}

void tug__pg_args_free(tug__pg_args *a)
{
    tug_free(a->heap);
    a->heap = NULL;
    a->args = TUG_NO_ARGS;
}

/* --- one parameter -------------------------------------------------------------------------------- */

/* Room for the encoded form of anything that is not borrowed. */
enum {
    PARAM_SCRATCH = 40
};
_Static_assert(PARAM_SCRATCH >= TUG__PG_TIME_TEXT, "a timestamp fits");
_Static_assert(PARAM_SCRATCH >= TUG__PG_NUMBER_TEXT, "a number fits");

/* One parameter while it is encoded. */
typedef struct param {
    const tug_value *value;
    Oid type;
    size_t number; /* as in $1 */
    char *scratch;
    const char *data;
    int length;
    int format;
} param;

static int param_binary(param *p, size_t size)
{
    p->data = p->scratch;
    p->length = (int)size;
    p->format = 1;
    return 0;
}

static int param_text(param *p, size_t size)
{
    p->data = p->scratch;
    p->length = (int)size;
    p->format = 0;
    return 0;
}

/* Sent where it lies: in the copy of the arguments. */
static int param_borrowed(param *p, int format)
{
    p->data = p->value->u.bytes.data;
    p->length = (int)p->value->u.bytes.size;
    p->format = format;
    return 0;
}

static int param_wrong_type(const param *p)
{
    return tug_fail(TUG_ETYPE, "parameter %zu wants %s, not %s", p->number,
                    tug__pg_type_name(p->type), value_name(p->value));
}

static int param_out_of_range(const param *p)
{
    char text[TUG__PG_NUMBER_TEXT];
    const tug_value *v = p->value;
    if (v->type == TUG_VALUE_INT) {
        tug__pg_int_text(v->u.i, text);
    } else if (v->type == TUG_VALUE_UINT) {
        tug__pg_uint_text(v->u.u, text);
    } else {
        tug__pg_double_text(v->u.d, text);
    }
    return tug_fail(TUG_ERANGE, "parameter %zu: %s does not fit %s", p->number, text,
                    tug__pg_type_name(p->type));
}

static bool param_is_int(const param *p)
{
    return p->value->type == TUG_VALUE_INT || p->value->type == TUG_VALUE_UINT;
}

/* The integer, if it lies between least and most (most >= 0). */
static int param_int(const param *p, int64_t least, int64_t most, int64_t *ret_x)
{
    const tug_value *v = p->value;
    if (v->type == TUG_VALUE_INT && v->u.i >= least && v->u.i <= most) {
        *ret_x = v->u.i;
        return 0;
    }
    if (v->type == TUG_VALUE_UINT && v->u.u <= (uint64_t)most) {
        *ret_x = (int64_t)v->u.u;
        return 0;
    }
    return param_is_int(p) ? param_out_of_range(p) : param_wrong_type(p);
}

static int param_encode_bool(param *p)
{
    int64_t x = 0;
    int rc = 0;
    if (p->value->type == TUG_VALUE_BOOL) {
        x = p->value->u.b;
    } else {
        rc = param_int(p, 0, 1, &x);
    }
    if (rc < 0) {
        return rc;
    }
    *p->scratch = (char)x;
    return param_binary(p, 1);
}

static int param_encode_int(param *p, int64_t least, int64_t most, size_t size)
{
    int64_t x = 0;
    int rc = param_int(p, least, most, &x);
    if (rc < 0) {
        return rc;
    }
    if (size == 2) {
        tug__pg_put16(p->scratch, (uint16_t)x);
    } else if (size == 4) {
        tug__pg_put32(p->scratch, (uint32_t)x);
    } else {
        tug__pg_put64(p->scratch, (uint64_t)x);
    }
    return param_binary(p, size);
}

/* An integer must be hit exactly: 2^53 + 1 that becomes 2^53 in silence is somebody's account number. */
static int param_double(const param *p, double *ret_x)
{
    const tug_value *v = p->value;
    switch (v->type) {
    case TUG_VALUE_DOUBLE:
        *ret_x = v->u.d;
        return 0;
    case TUG_VALUE_INT:
        return tug__pg_int_to_double(v->u.i, ret_x) ? 0 : param_out_of_range(p);
    case TUG_VALUE_UINT:
        return tug__pg_uint_to_double(v->u.u, ret_x) ? 0 : param_out_of_range(p);
    default:
        return param_wrong_type(p);
    }
}

static int param_encode_float8(param *p)
{
    double x = 0;
    uint64_t bits;
    int rc = param_double(p, &x);
    if (rc < 0) {
        return rc;
    }
    memcpy(&bits, &x, sizeof bits);
    tug__pg_put64(p->scratch, bits);
    return param_binary(p, 8);
}

static int param_encode_float4(param *p)
{
    double x = 0;
    float f;
    uint32_t bits;
    int rc = param_double(p, &x);
    if (rc < 0) {
        return rc;
    }
    if (!tug__pg_double_to_float(x, &f) || (param_is_int(p) && (double)f != x)) {
        return param_out_of_range(p);
    }
    memcpy(&bits, &f, sizeof bits);
    tug__pg_put32(p->scratch, bits);
    return param_binary(p, 4);
}

static int param_put_number(param *p)
{
    const tug_value *v = p->value;
    return param_text(p, v->type == TUG_VALUE_INT    ? tug__pg_int_text(v->u.i, p->scratch)
                         : v->type == TUG_VALUE_UINT ? tug__pg_uint_text(v->u.u, p->scratch)
                                                     : tug__pg_double_text(v->u.d, p->scratch));
}

/* As text: it is no longer than the binary form, and nothing can be wrong with it. */
static int param_encode_numeric(param *p)
{
    return param_is_int(p) || p->value->type == TUG_VALUE_DOUBLE ? param_put_number(p)
                                                                 : param_wrong_type(p);
}

/* --- times ---------------------------------------------------------------------------------------- */

static int param_time(const param *p, int64_t *ret_us)
{
    if (p->value->type != TUG_VALUE_TIMESTAMP) {
        return param_wrong_type(p);
    }
    *ret_us = p->value->u.i;
    return tug__pg_check_time(*ret_us, "parameter", p->number);
}

static int param_encode_timestamp(param *p)
{
    int64_t us = 0;
    int rc = param_time(p, &us);
    if (rc < 0) {
        return rc;
    }
    /* The infinities are the same numbers there; nothing else comes near them. */
    if (us != INT64_MAX && us != INT64_MIN) {
        us -= TUG__PG_EPOCH_US;
    }
    tug__pg_put64(p->scratch, (uint64_t)us);
    return param_binary(p, 8);
}

static int param_encode_date(param *p)
{
    int64_t us = 0;
    int rc = param_time(p, &us);
    if (rc < 0) {
        return rc;
    }
    int64_t days = us == INT64_MAX ? INT32_MAX : INT32_MIN;
    if (us != INT64_MAX && us != INT64_MIN) {
        us -= TUG__PG_EPOCH_US;
        days = us / TUG__PG_DAY_US - (us % TUG__PG_DAY_US < 0);
    }
    tug__pg_put32(p->scratch, (uint32_t)(int32_t)days);
    return param_binary(p, 4);
}

/* --- text ----------------------------------------------------------------------------------------- */

static int param_encode_bytea(param *p)
{
    return p->value->type == TUG_VALUE_BYTES ? param_borrowed(p, 1) : param_wrong_type(p);
}

/* Text of the text family never comes here. */
static int param_encode_text(param *p, int format)
{
    if (p->value->type != TUG_VALUE_BYTES) {
        return param_wrong_type(p);
    }
    int rc = tug__pg_check_text(p->value, "parameter", p->number);
    return rc < 0 ? rc : param_borrowed(p, format);
}

/* A type that is not known by heart: the server parses the text form. */
static int param_encode_other(param *p)
{
    int64_t us = 0;
    int rc;
    switch (p->value->type) {
    case TUG_VALUE_INT:
    case TUG_VALUE_UINT:
    case TUG_VALUE_DOUBLE:
        return param_put_number(p);
    case TUG_VALUE_BOOL:
        strcpy(p->scratch, p->value->u.b ? "t" : "f");
        return param_text(p, 1);
    case TUG_VALUE_TIMESTAMP:
        rc = param_time(p, &us);
        return rc < 0 ? rc : param_text(p, tug__pg_timestamp_text(us, true, p->scratch));
    default:
        return param_wrong_type(p);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The usual form, 8-4-4-4-12, becomes 16 bytes; the server takes others too: those it parses itself. */
static bool param_uuid(param *p)
{
    const char *text = p->value->u.bytes.data;
    if (p->value->u.bytes.size != 36) {
        return false;
    }
    char *to = p->scratch;
    for (int i = 0; i < 36; i += 2) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i++] != '-') {
                return false;
            }
        }
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        *to++ = (char)(high << 4 | low);
    }
    return true;
}

static int param_from_text(param *p, tug__pg_kind kind)
{
    if (kind == TUG__PG_KIND_UUID && param_uuid(p)) {
        return param_binary(p, 16);
    }
    /* The binary forms of the text family are the text, so that it goes with its length. Not "char", whose
     * binary form is one byte. */
    int rc = tug__pg_check_text(p->value, "parameter", p->number);
    return rc < 0 ? rc : param_borrowed(p, kind == TUG__PG_KIND_TEXT && p->type != TUG__PG_CHAR);
}

/* --- all of them ---------------------------------------------------------------------------------- */

static int param_encode(param *p)
{
    tug__pg_kind kind = tug__pg_kind_of(p->type);
    if (p->value->type == TUG_VALUE_NULL) {
        p->data = NULL;
        p->length = 0;
        p->format = 1;
        return 0;
    }
    if (p->value->type == TUG_VALUE_TEXT) {
        return param_from_text(p, kind);
    }
    switch (kind) {
    case TUG__PG_KIND_BOOL:
        return param_encode_bool(p);
    case TUG__PG_KIND_INT2:
        return param_encode_int(p, INT16_MIN, INT16_MAX, 2);
    case TUG__PG_KIND_INT4:
        return param_encode_int(p, INT32_MIN, INT32_MAX, 4);
    case TUG__PG_KIND_INT8:
        return param_encode_int(p, INT64_MIN, INT64_MAX, 8);
    case TUG__PG_KIND_OID:
        return param_encode_int(p, 0, UINT32_MAX, 4);
    case TUG__PG_KIND_FLOAT4:
        return param_encode_float4(p);
    case TUG__PG_KIND_FLOAT8:
        return param_encode_float8(p);
    case TUG__PG_KIND_NUMERIC:
        return param_encode_numeric(p);
    case TUG__PG_KIND_TEXT:
        return param_encode_text(p, p->type != TUG__PG_CHAR);
    case TUG__PG_KIND_JSONB:
        /* In text form: its binary form is the same text behind a version byte, which would mean a copy. */
        return param_encode_text(p, 0);
    case TUG__PG_KIND_BYTEA:
        return param_encode_bytea(p);
    case TUG__PG_KIND_TIMESTAMPTZ:
    case TUG__PG_KIND_TIMESTAMP:
        return param_encode_timestamp(p);
    case TUG__PG_KIND_DATE:
        return param_encode_date(p);
    case TUG__PG_KIND_UUID:
        return param_wrong_type(p);
    default:
        return param_encode_other(p);
    }
}

static int params_reserve(tug__pg_params *p, size_t n)
{
    if (n <= (size_t)p->capacity) {
        return 0;
    }
    size_t capacity = n < 16 ? 16 : n;
    char *block = tug_alloc(
        capacity * (sizeof *p->values + sizeof *p->lengths + sizeof *p->formats + PARAM_SCRATCH));
    if (block == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for %zu parameters", n);
    }
    tug_free(p->block);
    p->block = block;
    p->capacity = (int)capacity;
    p->values = (const char **)(void *)block;
    p->lengths = (int *)(void *)(p->values + capacity);
    p->formats = p->lengths + capacity;
    p->scratch = (char *)(p->formats + capacity);
    return 0;
}

int tug__pg_args_encode(const tug__pg_args *a, const Oid *types, size_t n, tug__pg_params *out)
{
    if (a->args.n != n) {
        return tug_fail(TUG_EMISUSE, "the statement has %zu parameter%s, %zu argument%s given", n,
                        n == 1 ? "" : "s", a->args.n, a->args.n == 1 ? " was" : "s were");
    }
    int rc = params_reserve(out, n);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        param p = {.value = &a->args.values[i],
                   .type = types[i],
                   .number = i + 1,
                   .scratch = out->scratch + i * PARAM_SCRATCH};
        rc = param_encode(&p);
        if (rc < 0) {
            return rc;
        }
        out->values[i] = p.data;
        out->lengths[i] = p.length;
        out->formats[i] = p.format;
    }
    out->n = (int)n;
    return 0;
}

void tug__pg_params_free(tug__pg_params *p)
{
    tug_free(p->block);
    *p = (tug__pg_params){0};
}
