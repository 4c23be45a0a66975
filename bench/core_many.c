/* core.many: a yield when there are so many tasks that each switch leads to cold memory. Spawning and ending
 * them is not in the figure. */
#include <tug/group.h>

#include "bare_switch.h"
#include "bench.h"

struct crowd {
    size_t n;
    tug_duration spent;
    bool is_over;
};

static int yield_on(void *arg)
{
    const struct crowd *c = arg;
    int rc = 0;
    while (rc == 0 && !c->is_over) {
        rc = tug_yield();
    }
    return rc;
}

/* This task is one of the ring: when its yield returns, all others have had their turn. */
static int yield_in_crowd(void *state, tug_time until, uint64_t *ret_done)
{
    struct crowd *c = state;
    tug_group g;
    int rc = 0;
    c->is_over = false;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (size_t i = 1; rc == 0 && i < c->n; i++) {
        rc = tug_group_spawn(&g, yield_on, c);
    }
    rc = rc == 0 ? tug_yield() : rc;
    tug_time start = bench_now();
    tug_time now = start;
    tug_duration slice = until > now ? until - now : TUG_MS(1);
    while (rc == 0 && now < start + slice) {
        rc = tug_yield();
        *ret_done += c->n;
        now = bench_now();
    }
    c->spent = now - start;
    c->is_over = true;
    return tug_group_leave(&g, rc);
}

static int run_with(const char *suffix, size_t n)
{
    struct crowd crowd = {.n = n};
    struct bench_compare c = {.name = "core.many",
                              .ours = yield_in_crowd,
                              .limit = bare_ring,
                              .state = &crowd,
                              .spent = &crowd.spent,
                              .figures = {{suffix, BENCH_TIME, "ns"}}};
    return bench_compare(&c);
}

static int run(void)
{
    int rc = run_with(".16k", 16384);
    return rc == 0 ? run_with(".100k", 100000) : rc;
}

const struct bench bench_core_many = {
    .name = "core.many",
    .what = "a yield of one of 16,384 and 100,000 tasks; limit: a ring of two contexts",
    .run = run,
};
