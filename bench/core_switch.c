/* core.switch: a yield through the scheduler, with two tasks that have nothing else to do. */
#include <tug/group.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    BETWEEN_CLOCKS = 4096 /* yields: about 20 us */
};

struct yields {
    tug_time until;
    uint64_t done;
    bool is_over;
};

static int yield_on(void *arg)
{
    struct yields *y = arg;
    int rc = 0;
    while (rc == 0 && !y->is_over) {
        for (int i = 0; rc == 0 && i < BETWEEN_CLOCKS; i++) {
            rc = tug_yield();
        }
        y->done += BETWEEN_CLOCKS;
        y->is_over = y->is_over || bench_now() >= y->until;
    }
    return rc;
}

static int two_tasks(void *state, tug_time until, uint64_t *ret_done)
{
    struct yields y = {.until = until};
    tug_group g;
    (void)state;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, yield_on, &y);
    tug_group_spawn(&g, yield_on, &y);
    int rc = tug_group_leave(&g, 0);
    *ret_done = y.done;
    return rc;
}

static int run(void)
{
    struct bench_compare c = {.name = "core.switch",
                              .ours = two_tasks,
                              .limit = bare_ring,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    int rc = bench_compare(&c);
    if (rc == 0) {
        c.limit = bare_ring_in_registers;
        c.figures[0].suffix = ".registers";
        rc = bench_compare(&c);
    }
    return rc;
}

const struct bench bench_core_switch = {
    .name = "core.switch",
    .what = "a yield of one of two tasks; limit: a ring of two contexts, direct switch",
    .run = run,
};
