#include "check.h"

#include "calendar.h"
#include "element.h"
#include "network.h"
#include "type.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <tug/error.h>

/* What is looked at: "parameter 2", "column 3", "parameter 2[7]". */
typedef struct check_place {
    const char *what;
    size_t number;
    size_t element; /* plus 1; 0: the whole value */
} check_place;

static int check_fail(const check_place *at, int code, const char *format, ...) TUG_PRINTF(3, 4);

static int check_fail(const check_place *at, int code, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (at->element > 0) {
        return tug_fail(code, "%s %zu[%zu]%s", at->what, at->number, at->element - 1, text);
    }
    return tug_fail(code, "%s %zu%s", at->what, at->number, text);
}

/* --- values ---------------------------------------------------------------------------------------- */

static int check_bytes(const tug_value *v, const check_place *at)
{
    if (v->u.bytes.size > TUG__PG_VALUE_MAX) {
        return check_fail(at, TUG_ELIMIT, " has %zu bytes, PostgreSQL takes at most 1 GB",
                          v->u.bytes.size);
    }
    if (v->u.bytes.data == NULL && v->u.bytes.size > 0) {
        return check_fail(at, TUG_EINVAL, " has %zu bytes at NULL", v->u.bytes.size);
    }
    return 0;
}

static int check_clock(int64_t us, const check_place *at)
{
    return us >= 0 && us <= TUG__PG_DAY_US
               ? 0
               : check_fail(at, TUG_ERANGE,
                            ": %lld microseconds are no time of day: those end at 24:00",
                            (long long)us);
}

static int check_time_tz(const struct tug_time_tz *x, const check_place *at)
{
    enum {
        MOST = 15 * 3600 + 59 * 60 + 59 /* the server's limit */
    };
    if (x->offset < -MOST || x->offset > MOST) {
        return check_fail(at, TUG_ERANGE, ": an offset of %d seconds is beyond 15:59:59",
                          (int)x->offset);
    }
    return check_clock(x->us, at);
}

static int check_time(int64_t us, const check_place *at)
{
    if (us < TUG__PG_TIME_MIN && us != INT64_MIN) {
        return check_fail(
            at, TUG_ERANGE,
            ": the timestamp is before 4714-11-24 BC, where PostgreSQL's time begins");
    }
    return 0;
}

static int check_date(int64_t days, const check_place *at)
{
    if (days != INT32_MAX && days != INT32_MIN &&
        (days < TUG__PG_DAY_MIN || days > TUG__PG_DAY_MAX)) {
        return check_fail(at, TUG_ERANGE,
                          ": the date is not between 4714-11-24 BC and 5874897-12-31");
    }
    return 0;
}

static int check_decimal(int32_t scale, const check_place *at)
{
    enum {
        LEAST = -131072, /* digits that numeric has before the point */
        MOST = 16383     /* and behind it */
    };
    return scale >= LEAST && scale <= MOST
               ? 0
               : check_fail(at, TUG_ERANGE, ": a scale of %d is more than numeric has", (int)scale);
}

static int check_value(const tug_value *v, const check_place *at)
{
    struct tug_inet inet;
    switch (v->type) {
    case TUG_VALUE_NULL:
    case TUG_VALUE_INT:
    case TUG_VALUE_UINT:
    case TUG_VALUE_BOOL:
    case TUG_VALUE_DOUBLE:
    case TUG_VALUE_INTERVAL:
    case TUG_VALUE_UUID:
        return 0;
    case TUG_VALUE_TEXT:
    case TUG_VALUE_BYTES:
        return check_bytes(v, at);
    case TUG_VALUE_TIMESTAMP:
        return check_time(v->u.i, at);
    case TUG_VALUE_DATE:
        return check_date(v->u.i, at);
    case TUG_VALUE_TIME_OF_DAY:
        return check_clock(v->u.i, at);
    case TUG_VALUE_TIME_TZ:
        return check_time_tz(&v->u.time_tz, at);
    case TUG_VALUE_DECIMAL:
        return check_decimal(v->u.decimal.scale, at);
    case TUG_VALUE_INET:
        inet = tug__pg_value_inet(v);
        return tug__pg_inet_is_sound(&inet)
                   ? 0
                   : check_fail(at, TUG_ERANGE, ": no address has family %d and %d bits",
                                inet.family, inet.bits);
    case TUG_VALUE_MACADDR:
        return v->u.macaddr.size == 6 || v->u.macaddr.size == 8
                   ? 0
                   : check_fail(at, TUG_ERANGE, ": a macaddr has 6 or 8 bytes, not %d",
                                v->u.macaddr.size);
    default:
        return check_fail(at, TUG_EINVAL, " is a value of no known type (%d)", v->type);
    }
}

int tug__pg_check_value(const tug_value *v, const char *what, size_t where)
{
    if (v->type == TUG_VALUE_ARRAY) {
        return 0;
    }
    return check_value(v, &(check_place){what, where, 0});
}

int tug__pg_check_element(const tug_value *v, const char *what, size_t where, size_t element)
{
    return check_value(v, &(check_place){what, where, element + 1});
}

/* --- arrays ---------------------------------------------------------------------------------------- */

enum {
    ARRAY_DIMENSIONS = 6,      /* MAXDIM of the server */
    ARRAY_ELEMENTS = 0x3ffffff /* no more than MaxArraySize there */
};

static int check_dimensions(const struct tug_array *a, const check_place *at)
{
    size_t n = 1;
    if (a->dimensions > ARRAY_DIMENSIONS) {
        return check_fail(at, TUG_ELIMIT, " is an array of %zu dimensions, PostgreSQL's have 6",
                          a->dimensions);
    }
    if (a->dimensions > 0 && a->sizes == NULL) {
        return check_fail(at, TUG_EINVAL, " is an array of %zu dimensions with sizes NULL",
                          a->dimensions);
    }
    for (size_t i = 0; i < a->dimensions; i++) {
        int32_t lower = a->lower != NULL ? a->lower[i] : 1, upper;
        if (a->sizes[i] <= 0 || __builtin_mul_overflow(n, (size_t)a->sizes[i], &n) ||
            __builtin_add_overflow(lower, a->sizes[i], &upper)) {
            return check_fail(at, TUG_EINVAL, ": dimension %zu of the array has size %d from %d",
                              i + 1, (int)a->sizes[i], (int)lower);
        }
    }
    if (a->dimensions > 0 && n != a->n) {
        return check_fail(at, TUG_EINVAL, ": the array's dimensions have %zu elements, n is %zu", n,
                          a->n);
    }
    return 0;
}

static bool check_is_element(const struct tug_array *a)
{
    size_t n = a->size;
    return a->type == TUG_VALUE_INT || a->type == TUG_VALUE_UINT
               ? n == 1 || n == 2 || n == 4 || n == 8
           : a->type == TUG_VALUE_DOUBLE ? n == sizeof(float) || n == sizeof(double)
                                         : n > 0 && n == tug__pg_element_size(a->type);
}

int tug__pg_check_array(const struct tug_array *a, const char *what, size_t where)
{
    check_place at = {what, where, 0};
    if (!check_is_element(a)) {
        return check_fail(&at, TUG_EINVAL,
                          " is an array of elements of no known type (%d, %zu bytes)", a->type,
                          a->size);
    }
    if (a->n > ARRAY_ELEMENTS) {
        return check_fail(&at, TUG_ELIMIT, " is an array of %zu elements, the most are %d", a->n,
                          ARRAY_ELEMENTS);
    }
    if (a->data == NULL && a->n > 0) {
        return check_fail(&at, TUG_EINVAL, " is an array of %zu elements at NULL", a->n);
    }
    return a->n > 0 ? check_dimensions(a, &at) : 0;
}

/* --- text and times -------------------------------------------------------------------------------- */

static int check_text(const tug_value *v, const check_place *at)
{
    const char *text = v->u.bytes.data;
    size_t size = v->u.bytes.size;
    size_t good = tug__pg_utf8_good(text, size);
    if (good == size) {
        return 0;
    }
    if (text[good] == 0) {
        return check_fail(at, TUG_EINVAL,
                          ": the text has a zero byte at byte %zu, which PostgreSQL cannot store",
                          good);
    }
    return check_fail(at, TUG_EINVAL, ": the text is not UTF-8: 0x%02x at byte %zu",
                      (unsigned char)text[good], good);
}

int tug__pg_check_text(const tug_value *v, const char *what, size_t where)
{
    return check_text(v, &(check_place){what, where, 0});
}

int tug__pg_check_element_text(const tug_value *v, const char *what, size_t where, size_t element)
{
    return check_text(v, &(check_place){what, where, element + 1});
}

int tug__pg_check_time(int64_t us, const char *what, size_t where)
{
    return check_time(us, &(check_place){what, where, 0});
}
