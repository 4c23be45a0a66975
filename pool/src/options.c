/* The ops and options of a new pool: copied from structs that may be shorter than ours, and checked. */
#include <string.h>

#include "internal.h"

int tug__pool_copy_ops(const tug_pool_ops *ops, tug_pool_ops *to)
{
    if (ops == NULL || ops->size < offsetof(tug_pool_ops, gone) || ops->connect == NULL ||
        ops->close == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pool_open: the ops need size, connect and close");
    }
    memset(to, 0, sizeof *to);
    memcpy(to, ops, ops->size < sizeof *to ? ops->size : sizeof *to);
    return 0;
}

int tug__pool_check_bounds(const char *what, size_t min, size_t max)
{
    if (max < 1 || max > TUG_POOL_MOST || min > max) {
        return tug_fail(TUG_EINVAL, "%s: max must be 1 to %d and min 0 to max, not %zu and %zu",
                        what, TUG_POOL_MOST, max, min);
    }
    return 0;
}

static int check_waits(const tug_pool_options *o)
{
    if (o->check_after < 0 || o->check_timeout <= 0 || o->connect_patience < 0) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pool_open: check_after, check_timeout and connect_patience must not be negative, "
            "nor check_timeout 0");
    }
    if (o->connect_timeout <= 0 || o->close_timeout <= 0) {
        return tug_fail(TUG_EINVAL,
                        "tug_pool_open: connect_timeout and close_timeout must be more than 0");
    }
    if (o->backoff_first <= 0 || o->backoff_most < o->backoff_first) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pool_open: backoff_first must be more than 0 and backoff_most not less");
    }
    return 0;
}

static int check_ages(const tug_pool_options *o)
{
    if (o->idle_timeout <= 0 || o->max_lifetime <= 0 || o->leak_after <= 0) {
        return tug_fail(
            TUG_EINVAL,
            "tug_pool_open: idle_timeout, max_lifetime and leak_after must be more than 0");
    }
    if (o->lifetime_jitter > 100) {
        return tug_fail(TUG_EINVAL,
                        "tug_pool_open: lifetime_jitter must be 0 to 100 percent, not %zu",
                        o->lifetime_jitter);
    }
    return 0;
}

int tug__pool_copy_options(const tug_pool_options *o, tug_pool_options *to)
{
    *to = (tug_pool_options)TUG_POOL_OPTIONS_INIT;
    if (o == NULL) {
        return 0;
    }
    if (o->size < sizeof o->size + sizeof o->name) {
        return tug_fail(TUG_EINVAL,
                        "tug_pool_open: options without size: start from TUG_POOL_OPTIONS_INIT");
    }
    memcpy(to, o, o->size < sizeof *to ? o->size : sizeof *to);
    int rc = tug__pool_check_bounds("tug_pool_open", to->min, to->max);
    if (rc == 0 && to->min_idle > to->max) {
        rc = tug_fail(TUG_EINVAL, "tug_pool_open: min_idle must be 0 to max (%zu), not %zu",
                      to->max, to->min_idle);
    }
    if (rc == 0 && (to->max_opening < 1 || to->max_waiters < 1)) {
        rc = tug_fail(TUG_EINVAL, "tug_pool_open: max_opening and max_waiters must be 1 or more");
    }
    rc = rc < 0 ? rc : check_waits(to);
    return rc < 0 ? rc : check_ages(to);
}
