/* core.spawn: a task from its spawn to its end, in a group of its own and 100 in one group. */
#include <tug/group.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    BETWEEN_CLOCKS = 1000, /* tasks: about 20 us */
    MANY = 100
};

static int nothing(void *arg)
{
    uint64_t *ran = arg;
    ++*ran;
    return 0;
}

static int spawn_groups(size_t tasks, tug_time until, uint64_t *ret_done)
{
    uint64_t ran = 0;
    int rc = 0;
    while (rc == 0 && bench_now() < until) {
        for (size_t i = 0; rc == 0 && i < BETWEEN_CLOCKS / tasks; i++) {
            tug_group g;
            tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
            for (size_t n = 0; n < tasks; n++) {
                tug_group_spawn(&g, nothing, &ran);
            }
            rc = tug_group_leave(&g, 0);
        }
    }
    *ret_done = ran;
    return rc;
}

static int spawn_one(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    return spawn_groups(1, until, ret_done);
}

static int spawn_many(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    return spawn_groups(MANY, until, ret_done);
}

static int run(void)
{
    struct bench_compare c = {.name = "core.spawn",
                              .ours = spawn_one,
                              .limit = bare_ring,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    int rc = bench_compare(&c);
    if (rc == 0) {
        c.ours = spawn_many;
        c.figures[0].suffix = ".100";
        rc = bench_compare(&c);
    }
    return rc;
}

const struct bench bench_core_spawn = {
    .name = "core.spawn",
    .what = "enter, spawn, run, leave: one task a group, and 100; limit: a bare switch",
    .run = run,
};
