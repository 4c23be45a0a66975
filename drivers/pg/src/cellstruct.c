#include "cellstruct.h"

#include "be.h"
#include "calendar.h"
#include "interval.h"
#include "network.h"
#include "numeric.h"

#include <string.h>
#include <tug/error.h>

/* --- times ------------------------------------------------------------------------------------------ */

bool tug__pg_cell_is_time(const tug__pg_cell *cell)
{
    return cell->kind == TUG__PG_KIND_TIMESTAMPTZ || cell->kind == TUG__PG_KIND_TIMESTAMP ||
           cell->kind == TUG__PG_KIND_DATE;
}

static bool cell_is_endless(const tug__pg_cell *cell, int64_t x)
{
    return cell->kind == TUG__PG_KIND_DATE ? x == INT32_MAX || x == INT32_MIN
                                           : x == INT64_MAX || x == INT64_MIN;
}

int tug__pg_cell_time(const tug__pg_cell *cell, int64_t *ret_us)
{
    if (!cell->binary) {
        return tug__pg_time_parse(cell->data, cell->size, ret_us)
                   ? 0
                   : tug__pg_cell_fail(
                         cell, TUG_EPROTO,
                         "the server sent a %s that is not in ISO style (its setting datestyle)",
                         tug__pg_cell_type(cell));
    }
    bool date = cell->kind == TUG__PG_KIND_DATE;
    int64_t x = date ? (int32_t)tug__pg_get32(cell->data) : (int64_t)tug__pg_get64(cell->data);
    if (cell_is_endless(cell, x)) {
        *ret_us = x > 0 ? INT64_MAX : INT64_MIN;
        return 0;
    }
    int64_t us;
    /* The server's range ends in 294276, that of 64 bits since 1970 in 294247 (its dates: in 5874897). */
    if (__builtin_mul_overflow(x, date ? TUG__PG_DAY_US : 1, &us) ||
        __builtin_add_overflow(us, TUG__PG_EPOCH_US, &us) || us == INT64_MAX) {
        return tug__pg_cell_fail(
            cell, TUG_ERANGE, "the %s lies beyond the year 294246, where struct tug_timestamp ends",
            tug__pg_cell_type(cell));
    }
    *ret_us = us;
    return 0;
}

static int cell_date(const tug__pg_cell *cell, int64_t *ret_days)
{
    int32_t days;
    if (!cell->binary) {
        if (!tug__pg_date_parse(cell->data, cell->size, &days)) {
            return tug__pg_cell_fail(
                cell, TUG_EPROTO,
                "the server sent a date that is not in ISO style (its setting datestyle)");
        }
        *ret_days = days;
        return 0;
    }
    int64_t x = (int32_t)tug__pg_get32(cell->data);
    if (x != INT32_MAX && x != INT32_MIN) {
        x += TUG__PG_EPOCH_DAYS;
        if (x < TUG__PG_DAY_MIN || x > TUG__PG_DAY_MAX) {
            return tug__pg_cell_malformed(cell);
        }
    }
    *ret_days = x;
    return 0;
}

static bool cell_clock(const tug__pg_cell *cell, int64_t *ret_us)
{
    if (!cell->binary) {
        return tug__pg_clock_parse(cell->data, cell->size, ret_us) && *ret_us <= TUG__PG_DAY_US;
    }
    *ret_us = (int64_t)tug__pg_get64(cell->data);
    return *ret_us >= 0 && *ret_us <= TUG__PG_DAY_US;
}

static bool cell_clock_tz(const tug__pg_cell *cell, struct tug_time_tz *ret_x)
{
    enum {
        MOST = 16 * 3600 - 1 /* seconds: the server's limit */
    };
    struct tug_time_tz x = {0, 0};
    if (!cell->binary) {
        if (!tug__pg_clock_tz_parse(cell->data, cell->size, &x.us, &x.offset)) {
            return false;
        }
    } else {
        uint32_t west = tug__pg_get32(cell->data + 8);
        x.us = (int64_t)tug__pg_get64(cell->data);
        x.offset = (int32_t)(0 - west);
    }
    *ret_x = x;
    return x.us >= 0 && x.us <= TUG__PG_DAY_US && x.offset >= -MOST && x.offset <= MOST;
}

/* Text in another style than the usual one has its own sentence: it is a setting. */
static int cell_interval(const tug__pg_cell *cell, struct tug_interval *ret_x)
{
    if (cell->binary) {
        *ret_x = (struct tug_interval){.us = (int64_t)tug__pg_get64(cell->data),
                                       .days = (int32_t)tug__pg_get32(cell->data + 8),
                                       .months = (int32_t)tug__pg_get32(cell->data + 12)};
        return 0;
    }
    return tug__pg_interval_parse(cell->data, cell->size, ret_x)
               ? 0
               : tug__pg_cell_fail(
                     cell, TUG_EPROTO,
                     "the server sent an interval that is not in style postgres (its setting "
                     "intervalstyle)");
}

static bool cell_inet(const tug__pg_cell *cell, tug_value *ret_value)
{
    struct tug_inet x = {0};
    bool good = cell->binary ? tug__pg_inet_read(cell->data, cell->size, &x)
                             : tug__pg_inet_parse(cell->data, cell->size, &x);
    *ret_value = tug_inet_value(x);
    return good;
}

static bool cell_macaddr(const tug__pg_cell *cell, struct tug_macaddr *ret_x)
{
    unsigned size = cell->kind == TUG__PG_KIND_MACADDR ? 6 : 8;
    struct tug_macaddr x = {.size = (uint8_t)size};
    if (!cell->binary) {
        return tug__pg_macaddr_parse(cell->data, cell->size, ret_x) && ret_x->size == size;
    }
    memcpy(x.bytes, cell->data, size);
    *ret_x = x;
    return true;
}

static bool cell_uuid(const tug__pg_cell *cell, struct tug_uuid *ret_x)
{
    if (!cell->binary) {
        return tug__pg_uuid_parse(cell->data, cell->size, ret_x->bytes);
    }
    memcpy(ret_x->bytes, cell->data, sizeof ret_x->bytes);
    return true;
}

bool tug__pg_kind_is_struct(tug__pg_kind kind)
{
    return kind >= TUG__PG_KIND_UUID && kind <= TUG__PG_KIND_MACADDR8;
}

int tug__pg_cell_struct(const tug__pg_cell *cell, tug_value *ret_value)
{
    tug_value v = tug_null();
    bool good = true;
    int rc = 0;
    switch (cell->kind) {
    case TUG__PG_KIND_DATE:
        v.type = TUG_VALUE_DATE;
        rc = cell_date(cell, &v.u.i);
        break;
    case TUG__PG_KIND_TIME:
        v.type = TUG_VALUE_TIME_OF_DAY;
        good = cell_clock(cell, &v.u.i);
        break;
    case TUG__PG_KIND_TIMETZ:
        v.type = TUG_VALUE_TIME_TZ;
        good = cell_clock_tz(cell, &v.u.time_tz);
        break;
    case TUG__PG_KIND_INTERVAL:
        v.type = TUG_VALUE_INTERVAL;
        rc = cell_interval(cell, &v.u.interval);
        break;
    case TUG__PG_KIND_INET:
        good = cell_inet(cell, &v);
        break;
    case TUG__PG_KIND_MACADDR:
    case TUG__PG_KIND_MACADDR8:
        v.type = TUG_VALUE_MACADDR;
        good = cell_macaddr(cell, &v.u.macaddr);
        break;
    case TUG__PG_KIND_UUID:
        v.type = TUG_VALUE_UUID;
        good = cell_uuid(cell, &v.u.uuid);
        break;
    default:
        v.type = TUG_VALUE_TIMESTAMP;
        rc = tug__pg_cell_time(cell, &v.u.i);
    }
    if (rc == 0 && !good) {
        rc = tug__pg_cell_malformed(cell);
    }
    if (rc == 0) {
        *ret_value = v;
    }
    return rc;
}

int tug__pg_cell_decimal(const tug__pg_cell *cell, const tug_slot *slot, struct tug_decimal *ret_x)
{
    bool negative = false;
    uint64_t x = 0;
    tug__pg_numeric n;
    if (cell->kind != TUG__PG_KIND_NUMERIC) {
        int rc = tug__pg_cell_is_int(cell) ? tug__pg_cell_whole(cell, slot, &negative, &x)
                                           : tug__pg_cell_wrong_type(cell, slot);
        *ret_x = (struct tug_decimal){(int64_t)(negative ? 0 - x : x), 0};
        return rc;
    }
    if (cell->binary && !tug__pg_numeric_read(cell->data, cell->size, &n)) {
        return tug__pg_cell_malformed(cell);
    }
    bool good = cell->binary ? tug__pg_numeric_decimal(&n, ret_x)
                             : tug__pg_decimal_parse(cell->data, cell->size, ret_x);
    return good ? 0 : tug__pg_cell_out_of_range(cell, slot);
}
