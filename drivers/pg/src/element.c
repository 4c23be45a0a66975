#include "element.h"

#include "calendar.h"
#include "interval.h"
#include "network.h"
#include "number.h"
#include "numeric.h"

#include <string.h>

size_t tug__pg_element_size(int type)
{
    switch (type) {
    case TUG_VALUE_BOOL:
        return sizeof(bool);
    case TUG_VALUE_TEXT:
        return sizeof(const char *);
    case TUG_VALUE_BYTES:
        return sizeof(struct tug_bytes);
    case TUG_VALUE_TIMESTAMP:
        return sizeof(struct tug_timestamp);
    case TUG_VALUE_DATE:
        return sizeof(struct tug_date);
    case TUG_VALUE_TIME_OF_DAY:
        return sizeof(struct tug_time_of_day);
    case TUG_VALUE_TIME_TZ:
        return sizeof(struct tug_time_tz);
    case TUG_VALUE_INTERVAL:
        return sizeof(struct tug_interval);
    case TUG_VALUE_DECIMAL:
        return sizeof(struct tug_decimal);
    case TUG_VALUE_UUID:
        return sizeof(struct tug_uuid);
    case TUG_VALUE_INET:
        return sizeof(struct tug_inet);
    case TUG_VALUE_MACADDR:
        return sizeof(struct tug_macaddr);
    case TUG_VALUE_ANY:
        return sizeof(tug_value);
    default:
        return 0;
    }
}

#define ELEMENT_READ(ctype, name)                                                                  \
    ctype name;                                                                                    \
    memcpy(&name, at, sizeof name)

static int64_t element_int(const char *at, size_t size)
{
    if (size == 1) {
        ELEMENT_READ(int8_t, x);
        return x;
    }
    if (size == 2) {
        ELEMENT_READ(int16_t, x);
        return x;
    }
    if (size == 4) {
        ELEMENT_READ(int32_t, x);
        return x;
    }
    ELEMENT_READ(int64_t, x);
    return x;
}

static double element_double(const char *at, size_t size)
{
    if (size == sizeof(float)) {
        ELEMENT_READ(float, x);
        return (double)x;
    }
    ELEMENT_READ(double, x);
    return x;
}

static tug_value element_struct(const struct tug_array *a, const char *at)
{
    tug_value v = {.type = a->type};
    if (a->type == TUG_VALUE_DATE) {
        ELEMENT_READ(struct tug_date, x);
        v.u.i = x.days;
    } else if (a->type == TUG_VALUE_INET) {
        ELEMENT_READ(struct tug_inet, x);
        v = tug_inet_value(x);
    } else {
        /* These lie in a value as they lie in an array: one microsecond count, or the struct. */
        memcpy(&v.u, at, a->size);
    }
    return v;
}

tug_value tug__pg_element(const struct tug_array *a, size_t i)
{
    const char *at = (const char *)a->data + i * a->size;
    if (a->is_null != NULL && a->is_null[i]) {
        return tug_null();
    }
    switch (a->type) {
    case TUG_VALUE_INT:
        return tug_int64(element_int(at, a->size));
    case TUG_VALUE_UINT:
        return tug_uint64((uint64_t)element_int(at, a->size) & UINT64_MAX >> (64 - 8 * a->size));
    case TUG_VALUE_BOOL:
        return tug_bool(*at != 0);
    case TUG_VALUE_DOUBLE:
        return tug_double(element_double(at, a->size));
    case TUG_VALUE_TEXT: {
        ELEMENT_READ(const char *, text);
        return tug_text(text);
    }
    case TUG_VALUE_BYTES: {
        ELEMENT_READ(struct tug_bytes, bytes);
        return tug_blob(bytes);
    }
    case TUG_VALUE_ANY: {
        ELEMENT_READ(tug_value, any);
        return any;
    }
    default:
        return element_struct(a, at);
    }
}

/* --- text ------------------------------------------------------------------------------------------ */

_Static_assert(TUG__PG_SHORT_TEXT >= TUG__PG_INTERVAL_TEXT, "an interval fits");
_Static_assert(TUG__PG_SHORT_TEXT >= TUG__PG_NETWORK_TEXT, "an address fits");
_Static_assert(TUG__PG_SHORT_TEXT >= TUG__PG_DECIMAL_TEXT, "a decimal fits");
_Static_assert(TUG__PG_SHORT_TEXT >= TUG__PG_TIME_TEXT, "a timestamp fits");
_Static_assert(TUG__PG_SHORT_TEXT >= TUG__PG_NUMBER_TEXT, "a number fits");

size_t tug__pg_short_text(const tug_value *v, char *to)
{
    struct tug_inet inet;
    switch (v->type) {
    case TUG_VALUE_INT:
        return tug__pg_int_text(v->u.i, to);
    case TUG_VALUE_UINT:
        return tug__pg_uint_text(v->u.u, to);
    case TUG_VALUE_BOOL:
        strcpy(to, v->u.b ? "t" : "f");
        return 1;
    case TUG_VALUE_DOUBLE:
        return tug__pg_double_text(v->u.d, to);
    case TUG_VALUE_TIMESTAMP:
        return tug__pg_timestamp_text(v->u.i, true, to);
    case TUG_VALUE_DATE:
        return tug__pg_date_text((int32_t)v->u.i, to);
    case TUG_VALUE_TIME_OF_DAY:
        return tug__pg_clock_text(v->u.i, to);
    case TUG_VALUE_TIME_TZ:
        return tug__pg_clock_tz_text(v->u.time_tz.us, v->u.time_tz.offset, to);
    case TUG_VALUE_INTERVAL:
        return tug__pg_interval_text(&v->u.interval, to);
    case TUG_VALUE_DECIMAL:
        return tug__pg_decimal_text(&v->u.decimal, to);
    case TUG_VALUE_UUID:
        return tug__pg_uuid_text(v->u.uuid.bytes, to);
    case TUG_VALUE_INET:
        inet = tug__pg_value_inet(v);
        return tug__pg_inet_text(&inet, false, to);
    default:
        return tug__pg_macaddr_text(&v->u.macaddr, to);
    }
}
