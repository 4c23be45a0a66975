/* The frame of pool.acquire and pg.acquire. */
#include "acquire.h"

#include <tug/group.h>

#include "bare_switch.h"

enum {
    WAITERS = 1000,
    BETWEEN_CLOCKS = 64 /* loans: 10 to 60 us */
};

struct loans {
    int (*once)(void *what);
    void *what;
    tug_time until;
    uint64_t done;
    unsigned since_clock;
    bool is_over;
};

static int borrow(void *arg)
{
    struct loans *l = arg;
    int rc = 0;
    while (rc == 0 && !l->is_over) {
        rc = l->once(l->what);
        l->done++;
        if (++l->since_clock == BETWEEN_CLOCKS) {
            l->since_clock = 0;
            l->is_over = bench_now() >= l->until;
        }
    }
    return rc;
}

static int run_tasks(struct loans *l, size_t n, tug_time until, uint64_t *ret_done)
{
    tug_group g;
    l->until = until;
    l->done = 0;
    l->since_clock = 0;
    l->is_over = false;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (size_t i = 0; i < n; i++) {
        tug_group_spawn(&g, borrow, l);
    }
    int rc = tug_group_leave(&g, 0);
    *ret_done = l->done;
    return rc;
}

static int uncontended(void *state, tug_time until, uint64_t *ret_done)
{
    return run_tasks(state, 1, until, ret_done);
}

static int contended(void *state, tug_time until, uint64_t *ret_done)
{
    return run_tasks(state, WAITERS + 1, until, ret_done);
}

int bench_acquire(const char *name, int (*once)(void *what), void *what)
{
    struct loans l = {.once = once, .what = what};
    struct bench_compare c = {.name = name,
                              .ours = uncontended,
                              .limit = bare_ring,
                              .state = &l,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    int rc = bench_compare(&c);
    if (rc == 0) {
        c.ours = contended;
        c.figures[0].suffix = ".waiters";
        rc = bench_compare(&c);
    }
    return rc;
}
