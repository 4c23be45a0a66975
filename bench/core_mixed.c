/* core.switch.mixed: a yield of one of two tasks that yield at different call depths, as tasks do that
 * wait somewhere inside their libraries. The processor's stack of return addresses is then never
 * that of the task that goes on. */
#include <tug/group.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    BETWEEN_CLOCKS = 256 /* ways down and up: about 20 us */
};

struct walks {
    tug_time until;
    uint64_t done;
    bool is_over;
};

struct walker {
    struct walks *walks;
    int depth;
};

static __attribute__((noinline)) int walk(int depth)
{
    int rc = tug_yield();
    if (rc == 0 && depth > 0) {
        rc = walk(depth - 1);
    }
    return rc == 0 ? tug_yield() : rc;
}

static int walk_on(void *arg)
{
    struct walker *me = arg;
    struct walks *w = me->walks;
    int rc = 0;
    while (rc == 0 && !w->is_over) {
        for (int i = 0; rc == 0 && i < BETWEEN_CLOCKS; i++) {
            rc = walk(me->depth);
        }
        w->done += (uint64_t)BETWEEN_CLOCKS * 2 * (unsigned)(me->depth + 1);
        w->is_over = w->is_over || bench_now() >= w->until;
    }
    return rc;
}

static int two_walkers(void *state, tug_time until, uint64_t *ret_done)
{
    struct walks w = {.until = until};
    struct walker one = {&w, BARE_WALK_SHALLOW};
    struct walker other = {&w, BARE_WALK_DEEP};
    tug_group g;
    (void)state;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, walk_on, &one);
    tug_group_spawn(&g, walk_on, &other);
    int rc = tug_group_leave(&g, 0);
    *ret_done = w.done;
    return rc;
}

static int run(void)
{
    struct bench_compare c = {.name = "core.switch.mixed",
                              .ours = two_walkers,
                              .limit = bare_walk,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    return bench_compare(&c);
}

const struct bench bench_core_switch_mixed = {
    .name = "core.switch.mixed",
    .what = "a yield at changing call depths; limit: two contexts that do the same, direct switch",
    .run = run,
};
