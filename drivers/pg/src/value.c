#include "value.h"

#include "be.h"
#include "check.h"
#include "network.h"
#include "number.h"
#include "param.h"
#include "type.h"

#include <stdarg.h>
#include <stdio.h>
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
    case TUG_VALUE_DATE:
        return "a date";
    case TUG_VALUE_TIME_OF_DAY:
        return "a time of day";
    case TUG_VALUE_TIME_TZ:
        return "a time of day with its offset";
    case TUG_VALUE_INTERVAL:
        return "an interval";
    case TUG_VALUE_DECIMAL:
        return "a decimal";
    case TUG_VALUE_UUID:
        return "a UUID";
    case TUG_VALUE_INET:
        return "an address";
    case TUG_VALUE_MACADDR:
        return "a MAC address";
    case TUG_VALUE_ARRAY:
        return "an array";
    default:
        return "a value of no known type";
    }
}

/* --- one parameter -------------------------------------------------------------------------------- */

typedef tug__pg_param param;

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

static int param_fail(const param *p, int code, const char *format, ...) TUG_PRINTF(3, 4);

static int param_fail(const param *p, int code, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->element > 0) {
        return tug_fail(code, "parameter %zu[%zu]%s", p->number, p->element - 1, text);
    }
    return tug_fail(code, "parameter %zu%s", p->number, text);
}

static int param_wrong_type(const param *p)
{
    return param_fail(p, TUG_ETYPE, " wants %s, not %s", tug__pg_type_name(p->type),
                      value_name(p->value));
}

static int param_out_of_range(const param *p)
{
    char text[TUG__PG_SHORT_TEXT];
    tug__pg_short_text(p->value, text);
    return param_fail(p, TUG_ERANGE, ": %s does not fit %s", text, tug__pg_type_name(p->type));
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

static int param_put_short(param *p)
{
    return param_text(p, tug__pg_short_text(p->value, p->scratch));
}

/* As text: it is no longer than the binary form, and nothing can be wrong with it. */
static int param_encode_numeric(param *p)
{
    int type = p->value->type;
    return param_is_int(p) || type == TUG_VALUE_DOUBLE || type == TUG_VALUE_DECIMAL
               ? param_put_short(p)
               : param_wrong_type(p);
}

/* --- times ---------------------------------------------------------------------------------------- */

static int param_encode_timestamp(param *p)
{
    int64_t us = p->value->u.i;
    if (p->value->type != TUG_VALUE_TIMESTAMP) {
        return param_wrong_type(p);
    }
    /* The infinities are the same numbers there; nothing else comes near them. */
    if (us != INT64_MAX && us != INT64_MIN) {
        us -= TUG__PG_EPOCH_US;
    }
    tug__pg_put64(p->scratch, (uint64_t)us);
    return param_binary(p, 8);
}

/* The day that a timestamp lies in, since 1970. */
static int64_t param_day(int64_t us)
{
    return us == INT64_MAX   ? INT32_MAX
           : us == INT64_MIN ? INT32_MIN
                             : us / TUG__PG_DAY_US - (us % TUG__PG_DAY_US < 0);
}

static int param_encode_date(param *p)
{
    int64_t days = p->value->u.i;
    if (p->value->type == TUG_VALUE_TIMESTAMP) {
        days = param_day(days);
    } else if (p->value->type != TUG_VALUE_DATE) {
        return param_wrong_type(p);
    }
    if (days != INT32_MAX && days != INT32_MIN) {
        days -= TUG__PG_EPOCH_DAYS;
    }
    tug__pg_put32(p->scratch, (uint32_t)(int32_t)days);
    return param_binary(p, 4);
}

static int param_encode_time(param *p)
{
    if (p->value->type != TUG_VALUE_TIME_OF_DAY) {
        return param_wrong_type(p);
    }
    tug__pg_put64(p->scratch, (uint64_t)p->value->u.i);
    return param_binary(p, 8);
}

static int param_encode_timetz(param *p)
{
    const struct tug_time_tz *x = &p->value->u.time_tz;
    if (p->value->type != TUG_VALUE_TIME_TZ) {
        return param_wrong_type(p);
    }
    tug__pg_put64(p->scratch, (uint64_t)x->us);
    tug__pg_put32(p->scratch + 8, (uint32_t)-x->offset); /* there west is positive */
    return param_binary(p, 12);
}

static int param_encode_interval(param *p)
{
    const struct tug_interval *x = &p->value->u.interval;
    if (p->value->type != TUG_VALUE_INTERVAL) {
        return param_wrong_type(p);
    }
    tug__pg_put64(p->scratch, (uint64_t)x->us);
    tug__pg_put32(p->scratch + 8, (uint32_t)x->days);
    tug__pg_put32(p->scratch + 12, (uint32_t)x->months);
    return param_binary(p, 16);
}

/* --- addresses ------------------------------------------------------------------------------------ */

static int param_encode_uuid(param *p)
{
    if (p->value->type != TUG_VALUE_UUID) {
        return param_wrong_type(p);
    }
    memcpy(p->scratch, p->value->u.uuid.bytes, 16);
    return param_binary(p, 16);
}

static int param_encode_inet(param *p)
{
    bool cidr = p->type == TUG__PG_CIDR;
    if (p->value->type != TUG_VALUE_INET) {
        return param_wrong_type(p);
    }
    struct tug_inet x = tug__pg_value_inet(p->value);
    return cidr && !tug__pg_inet_is_network(&x)
               ? param_out_of_range(p)
               : param_binary(p, tug__pg_inet_write(&x, cidr, p->scratch));
}

/* macaddr8 takes six bytes too: the server puts ff:fe between them. */
static int param_encode_macaddr(param *p)
{
    const struct tug_macaddr *x = &p->value->u.macaddr;
    if (p->value->type != TUG_VALUE_MACADDR) {
        return param_wrong_type(p);
    }
    if (p->type == TUG__PG_MACADDR && x->size != 6) {
        return param_out_of_range(p);
    }
    memcpy(p->scratch, x->bytes, x->size);
    return param_binary(p, x->size);
}

/* --- text ----------------------------------------------------------------------------------------- */

static int param_encode_bytea(param *p)
{
    return p->value->type == TUG_VALUE_BYTES ? param_borrowed(p, 1) : param_wrong_type(p);
}

static int param_check_text(const param *p)
{
    return p->element > 0
               ? tug__pg_check_element_text(p->value, "parameter", p->number, p->element - 1)
               : tug__pg_check_text(p->value, "parameter", p->number);
}

/* Text of the text family never comes here. */
static int param_encode_text(param *p, int format)
{
    if (p->value->type != TUG_VALUE_BYTES) {
        return param_wrong_type(p);
    }
    int rc = param_check_text(p);
    return rc < 0 ? rc : param_borrowed(p, format);
}

static int param_from_text(param *p, tug__pg_kind kind)
{
    const struct tug_bytes *text = &p->value->u.bytes;
    /* The server takes other forms of uuid too: those it parses itself. */
    if (kind == TUG__PG_KIND_UUID &&
        tug__pg_uuid_parse(text->data, text->size, (uint8_t *)p->scratch)) {
        return param_binary(p, 16);
    }
    /* The binary forms of the text family are the text, so that it goes with its length. Not "char", whose
     * binary form is one byte. */
    int rc = param_check_text(p);
    return rc < 0 ? rc : param_borrowed(p, kind == TUG__PG_KIND_TEXT && p->type != TUG__PG_CHAR);
}

/* --- all of them ---------------------------------------------------------------------------------- */

int tug__pg_param_encode(param *p)
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
        return param_encode_uuid(p);
    case TUG__PG_KIND_TIME:
        return param_encode_time(p);
    case TUG__PG_KIND_TIMETZ:
        return param_encode_timetz(p);
    case TUG__PG_KIND_INTERVAL:
        return param_encode_interval(p);
    case TUG__PG_KIND_INET:
        return param_encode_inet(p);
    case TUG__PG_KIND_MACADDR:
    case TUG__PG_KIND_MACADDR8:
        return param_encode_macaddr(p);
    case TUG__PG_KIND_ARRAY:
        return param_wrong_type(p);
    default:
        /* A type that is not known by heart: the server parses the text form. */
        return p->value->type == TUG_VALUE_BYTES ? param_wrong_type(p) : param_put_short(p);
    }
}

static int params_reserve(tug__pg_params *p, size_t n)
{
    if (n <= (size_t)p->capacity) {
        return 0;
    }
    size_t capacity = n < 16 ? 16 : n;
    char *block = tug_alloc(capacity * (sizeof *p->values + sizeof *p->lengths +
                                        sizeof *p->formats + TUG__PG_PARAM_SCRATCH));
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

/* Memory of arrays is kept for the next statement up to this: a bulk load is over some time. */
enum {
    PARAMS_KEEP = 64 * 1024
};

static void params_begin(tug__pg_params *p)
{
    if (p->arrays.capacity > PARAMS_KEEP) {
        tug__pg_grow_free(&p->arrays);
    }
    p->arrays.size = 0;
}

/* Where an array lies is known only when the last one has found its place: until then, how far from the
 * first. */
static void params_place_arrays(const tug__pg_args *a, tug__pg_params *p)
{
    for (size_t i = 0; i < a->args.n; i++) {
        if (a->args.values[i].type == TUG_VALUE_ARRAY) {
            size_t offset;
            memcpy(&offset, p->values[i], sizeof offset);
            p->values[i] = p->arrays.data + offset;
        }
    }
}

static int params_array(param *p, tug__pg_grow *arrays)
{
    size_t offset = arrays->size;
    int rc = tug__pg_array_encode(p, arrays);
    memcpy(p->scratch, &offset, sizeof offset);
    p->data = p->scratch;
    return rc;
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
    params_begin(out);
    for (size_t i = 0; i < n; i++) {
        param p = {.value = &a->args.values[i],
                   .type = types[i],
                   .number = i + 1,
                   .scratch = out->scratch + i * TUG__PG_PARAM_SCRATCH};
        rc = p.value->type == TUG_VALUE_ARRAY ? params_array(&p, &out->arrays)
                                              : tug__pg_param_encode(&p);
        if (rc < 0) {
            return rc;
        }
        out->values[i] = p.data;
        out->lengths[i] = p.length;
        out->formats[i] = p.format;
    }
    if (out->arrays.size > 0) {
        params_place_arrays(a, out);
    }
    out->n = (int)n;
    return 0;
}

void tug__pg_params_free(tug__pg_params *p)
{
    tug_free(p->block);
    tug__pg_grow_free(&p->arrays);
    *p = (tug__pg_params){0};
}
