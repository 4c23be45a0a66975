/* core.gather: futures that are settled already, gathered and released. Making them is not in the
 * figure. 100,000 at once are to cost the same each. */
#include <stdlib.h>
#include <tug/future.h>
#include <tug/sys/driver.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    SOME = 10000,
    MANY = 100000
};

static const tug_future_class leaf_class = {.size = sizeof(tug_future_class), .name = "leaf"};

struct gathering {
    size_t n;
    tug_duration spent;
    tug_future **futures;
};

static int gather_settled(void *state, tug_time until, uint64_t *ret_done)
{
    struct gathering *g = state;
    int rc = 0;
    g->spent = 0;
    while (rc == 0 && bench_now() < until) {
        for (size_t i = 0; i < g->n; i++) {
            g->futures[i] = tug_future_new(&leaf_class);
            if (g->futures[i] == NULL) {
                return tug_fail(TUG_ENOMEM, "out of memory for futures");
            }
            tug_future_settle(g->futures[i], NULL);
        }
        tug_time start = bench_now();
        rc = tug_gather(g->futures, g->n);
        tug_future_drop_all(g->futures, g->n);
        g->spent += bench_now() - start;
        *ret_done += g->n;
    }
    return rc;
}

static int run_with(const char *suffix, size_t n)
{
    struct gathering g = {.n = n, .futures = calloc(n, sizeof *g.futures)};
    struct bench_compare c = {.name = "core.gather",
                              .ours = gather_settled,
                              .limit = bare_ring,
                              .state = &g,
                              .spent = &g.spent,
                              .figures = {{suffix, BENCH_TIME, "ns"}}};
    int rc = g.futures != NULL ? bench_compare(&c) : tug_fail(TUG_ENOMEM, "out of memory");
    free(g.futures);
    return rc;
}

static int run(void)
{
    int rc = run_with("", SOME);
    return rc == 0 ? run_with(".100k", MANY) : rc;
}

const struct bench bench_core_gather = {
    .name = "core.gather",
    .what =
        "gather and unref of a settled future, 10,000 and 100,000 at once; limit: a bare switch",
    .run = run,
};
