/* core.queue: items from one task to another through a queue of 64. */
#include <tug/group.h>
#include <tug/queue.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    CAPACITY = 64,
    BETWEEN_CLOCKS = 4096 /* items: about 20 us */
};

struct line {
    tug_time until;
    tug_queue *queue;
    uint64_t done;
};

static int produce(void *arg)
{
    struct line *l = arg;
    int rc = 0;
    while (rc == 0 && bench_now() < l->until) {
        for (int i = 0; rc == 0 && i < BETWEEN_CLOCKS; i++) {
            rc = tug_queue_put(l->queue, l);
        }
    }
    tug_queue_close(l->queue);
    return rc;
}

static int consume(void *arg)
{
    struct line *l = arg;
    void *item;
    int rc;
    while ((rc = tug_queue_next(l->queue, &item)) > 0) {
        l->done++;
    }
    return rc;
}

static int put_and_get(void *state, tug_time until, uint64_t *ret_done)
{
    struct line l = {.until = until};
    (void)state;
    int rc = tug_queue_new(CAPACITY, NULL, &l.queue);
    if (rc == 0) {
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        tug_group_spawn(&g, produce, &l);
        tug_group_spawn(&g, consume, &l);
        rc = tug_group_leave(&g, 0);
        tug_queue_unref(l.queue);
    }
    *ret_done = l.done;
    return rc;
}

static int run(void)
{
    struct bench_compare c = {.name = "core.queue",
                              .ours = put_and_get,
                              .limit = bare_ring,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    return bench_compare(&c);
}

const struct bench bench_core_queue = {
    .name = "core.queue",
    .what = "put and next of an item between two tasks, capacity 64; limit: a bare switch",
    .run = run,
};
