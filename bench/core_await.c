/* core.await: ping-pong of two tasks. Each makes a future, settles the one that the other waits for, awaits
 * its own and releases it: all four are in the figure. */
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "bare_switch.h"
#include "bench.h"

enum {
    BETWEEN_CLOCKS = 1024 /* awaits: about 20 us */
};

static const tug_future_class ball_class = {.size = sizeof(tug_future_class), .name = "ball"};

struct game {
    tug_time until;
    uint64_t done;
    bool is_over;
    tug_future *balls[2]; /* each awaits its own */
};

struct player {
    struct game *game;
    int side;
};

static int play(void *arg)
{
    struct player *me = arg;
    struct game *g = me->game;
    tug_future **mine = &g->balls[me->side];
    tug_future **theirs = &g->balls[1 - me->side];
    int rc = 0;
    for (int i = 0; rc == 0 && !g->is_over; i++) {
        *mine = tug_future_new(&ball_class);
        if (*mine == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a future");
        }
        if (*theirs != NULL) {
            tug_future_settle(*theirs, NULL);
        }
        rc = tug_await(*mine);
        *mine = tug_future_unref(*mine);
        if (i == BETWEEN_CLOCKS && me->side == 0) {
            i = 0;
            g->done += (uint64_t)2 * BETWEEN_CLOCKS; /* the other one had as many */
            g->is_over = bench_now() >= g->until;
        }
    }
    if (*theirs != NULL) {
        tug_future_settle(*theirs, NULL);
    }
    return rc;
}

static int ping_pong(void *state, tug_time until, uint64_t *ret_done)
{
    struct game game = {.until = until};
    struct player players[2] = {{&game, 0}, {&game, 1}};
    tug_group g;
    (void)state;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, play, &players[0]);
    tug_group_spawn(&g, play, &players[1]);
    int rc = tug_group_leave(&g, 0);
    *ret_done = game.done;
    return rc;
}

static int run(void)
{
    struct bench_compare c = {.name = "core.await",
                              .ours = ping_pong,
                              .limit = bare_ring,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    return bench_compare(&c);
}

const struct bench bench_core_await = {
    .name = "core.await",
    .what = "new, settle, await, unref of a future between two tasks; limit: a bare switch",
    .run = run,
};
