/* pool.acquire: a lease of a resource that costs nothing. */
#include <tug/pool.h>

#include "acquire.h"

static int open_nothing(void *ctx, void **ret_resource)
{
    *ret_resource = ctx;
    return 0;
}

static void close_nothing(void *resource)
{
    (void)resource;
}

static int once(void *what)
{
    tug_lease *lease = NULL;
    int rc = tug_pool_acquire(what, &lease);
    tug_lease_close(lease);
    return rc;
}

static int run(void)
{
    static int nothing;
    const tug_pool_ops ops = {.size = sizeof ops, .connect = open_nothing, .close = close_nothing};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    tug_pool *p = NULL;
    int rc = tug_pool_open(&ops, &nothing, &o, &p);
    if (rc == 0) {
        rc = bench_acquire("pool.acquire", once, p);
    }
    tug_pool_close(p);
    return rc;
}

const struct bench bench_pool_acquire = {
    .name = "pool.acquire",
    .what = "acquire and close of a lease, one task, then 1,000 that wait; limit: the ring of "
            "core.switch",
    .run = run,
};
