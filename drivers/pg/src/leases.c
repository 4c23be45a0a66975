/* The pool of leased connections, as its owner sees and steers it. */
#include <tug/pg_pool.h>

#include "handle.h"

/* 0 and the pool; else as tug_fail. */
static int leased_pool_of(const tug_pg *db, const char *what, tug_pool **ret_pool)
{
    int rc = tug__pg_check(db, what);
    if (rc < 0) {
        return rc;
    }
    if (db->kind != TUG__PG_POOL) {
        return tug_fail(TUG_EMISUSE, "%s: this is a %s, not a pool", what,
                        db->kind == TUG__PG_SESSION ? "session" : "transaction");
    }
    *ret_pool = tug__pg_pool_of(db)->leased_pool;
    return 0;
}

int tug_pg_pool_stats(const tug_pg *pool, tug_pool_stats *ret_stats)
{
    tug_pool *leased = NULL;
    int rc = leased_pool_of(pool, "tug_pg_pool_stats", &leased);
    if (rc == 0) {
        tug_pool_get_stats(leased, ret_stats);
    }
    return rc;
}

int tug_pg_pool_latency(const tug_pg *pool, int which, tug_pool_latency *ret_latency)
{
    tug_pool *leased = NULL;
    int rc = leased_pool_of(pool, "tug_pg_pool_latency", &leased);
    if (rc == 0 && (which < TUG_POOL_WAIT || which > TUG_POOL_BUSY)) {
        rc = tug_fail(TUG_EINVAL, "tug_pg_pool_latency: there is no time %d", which);
    }
    if (rc == 0) {
        tug_pool_get_latency(leased, which, ret_latency);
    }
    return rc;
}

bool tug_pg_pool_bucket(const tug_pg *pool, int which, size_t i, tug_duration *ret_most,
                        uint64_t *ret_count)
{
    tug_pool *leased = NULL;
    return leased_pool_of(pool, "tug_pg_pool_bucket", &leased) == 0 &&
           tug_pool_bucket(leased, which, i, ret_most, ret_count);
}

int tug_pg_pool_resize(tug_pg *pool, size_t min, size_t max)
{
    tug_pool *leased = NULL;
    int rc = leased_pool_of(pool, "tug_pg_pool_resize", &leased);
    rc = rc < 0 ? rc : tug_pool_resize(leased, min, max);
    if (rc == 0) {
        tug__pg_pool_of(pool)->options.pool_min = min;
        tug__pg_pool_of(pool)->options.pool_max = max;
    }
    return rc;
}

int tug_pg_pool_expire(tug_pg *pool)
{
    tug_pool *leased = NULL;
    int rc = leased_pool_of(pool, "tug_pg_pool_expire", &leased);
    if (rc == 0) {
        tug_pool_expire(leased);
    }
    return rc;
}

int tug_pg_pool_drain(tug_pg *pool)
{
    tug_pool *leased = NULL;
    int rc = leased_pool_of(pool, "tug_pg_pool_drain", &leased);
    return rc < 0 ? rc : tug_pool_drain(leased);
}
