/* core.timer: setting and cancelling a deadline while a million others are pending; core.timer.rearm:
 * moving a random one of the million. The limit of both is a yield in a bare ring of two contexts. */
#include <stdlib.h>
#include <time.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "bare_switch.h"
#include "bench.h"
#include "loop/timer.h"

enum {
    PENDING = 1000000,
    PENDING_QUICK = 20000,
    BETWEEN_CLOCKS = 4096 /* operations: 20 to 100 us */
};
static const tug_duration NEAREST = TUG_MS(1);
static const tug_duration FARTHEST = TUG_SECONDS(60); /* the calendar's slots end at 17 s */

struct crowd {
    tug_timer *timers;
    size_t n;
    uint64_t random;
    uint64_t fired;
};

static uint64_t draw(struct crowd *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

/* Without a division, which would cost as much as what is measured. */
static uint64_t draw_below(struct crowd *c, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)draw(c) * n) >> 64);
}

static tug_duration draw_distance(struct crowd *c)
{
    return NEAREST + (tug_duration)draw_below(c, (uint64_t)(FARTHEST - NEAREST));
}

static void on_due(tug_timer *t, void *arg)
{
    struct crowd *c = arg;
    c->fired++;
    tug_timer_start(t, tug_turn_time() + draw_distance(c), on_due, c); /* as many as before */
}

static int gather_crowd(struct crowd *c)
{
    c->n = bench_is_quick() ? PENDING_QUICK : PENDING;
    c->random = UINT64_C(0x9e3779b97f4a7c15);
    c->timers = tug_calloc(c->n, sizeof *c->timers);
    if (c->timers == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for %zu timers", c->n);
    }
    for (size_t i = 0; i < c->n; i++) {
        tug_timer_start(&c->timers[i], tug_turn_time() + draw_distance(c), on_due, c);
    }
    return 0;
}

static void dismiss_crowd(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++) {
        tug_timer_stop(&c->timers[i]);
    }
    tug_free(c->timers);
}

/* --- core.timer --------------------------------------------------------------------------------- */

/* As programs do it: around an operation that ends in time. */
static int enter_and_leave(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    int rc = 0;
    do {
        for (int i = 0; rc == 0 && i < BETWEEN_CLOCKS; i++) {
            tug_scope s;
            tug_scope_enter(&s, TUG_SECONDS(5));
            rc = tug_scope_leave(&s, 0);
        }
        *ret_done += BETWEEN_CLOCKS;
        if (rc == 0) {
            rc = tug_yield();
        }
    } while (rc == 0 && bench_now() < until);
    return rc;
}

static void never(tug_timer *t, void *arg)
{
    (void)t;
    (void)arg;
}

/* As drivers do it: at an instant, which goes into the calendar. */
static int start_and_stop(void *state, tug_time until, uint64_t *ret_done)
{
    tug_timer t = {{0}};
    int rc = 0;
    (void)state;
    do {
        for (int i = 0; i < BETWEEN_CLOCKS; i++) {
            tug_timer_start(&t, tug_turn_time() + TUG_SECONDS(5), never, NULL);
            tug_timer_stop(&t);
        }
        *ret_done += BETWEEN_CLOCKS;
        rc = tug_yield();
    } while (rc == 0 && bench_now() < until);
    return rc;
}

static int run_timer(void)
{
    struct crowd crowd;
    int rc = gather_crowd(&crowd);
    if (rc < 0) {
        return rc;
    }
    struct bench_compare c = {.name = "core.timer",
                              .ours = enter_and_leave,
                              .limit = bare_ring,
                              .state = &crowd,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    rc = bench_compare(&c);
    if (rc == 0) {
        c.ours = start_and_stop;
        c.figures[0].suffix = ".at";
        rc = bench_compare(&c);
    }
    dismiss_crowd(&crowd);
    return rc;
}

/* --- core.timer.rearm --------------------------------------------------------------------------- */

static int rearm(void *state, tug_time until, uint64_t *ret_done)
{
    struct crowd *c = state;
    int rc = 0;
    do {
        for (int i = 0; i < BETWEEN_CLOCKS; i++) {
            tug_timer_move(&c->timers[draw_below(c, c->n)], tug_turn_time() + draw_distance(c));
        }
        *ret_done += BETWEEN_CLOCKS;
        rc = tug_yield();
    } while (rc == 0 && bench_now() < until);
    return rc;
}

/* --- the worst turn ----------------------------------------------------------------------------- */

/* Two minutes of the calendar's time, so that all that was beyond its slots comes near: half of it random
 * deadlines which are moved all the time, half one crowd after the other at the same instant. */
struct trial {
    struct crowd crowd;
    struct tug__calendar calendar;
    tug_time now;
    tug_duration worst;
};
static const tug_duration STEP = TUG_US(500); /* a turn's share of the run queue */
static const tug_duration TRIAL = TUG_SECONDS(60);
enum {
    MOVED_A_STEP = 16
};

static void again_at_random(tug_timer *t, void *arg)
{
    struct trial *w = arg;
    tug__timer_start_at(&w->calendar, (struct tug__timer *)t, w->now + draw_distance(&w->crowd),
                        again_at_random, w);
}

static void again_together(tug_timer *t, void *arg)
{
    struct trial *w = arg;
    tug_time at = (w->now / FARTHEST + 1) * FARTHEST;
    tug__timer_start_at(&w->calendar, (struct tug__timer *)t, at, again_together, w);
}

/* CPU time: what other processes take on a shared machine is none of the calendar's. */
static tug_time cpu_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (tug_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void pass_time(struct trial *w, void (*fn)(tug_timer *t, void *arg))
{
    for (tug_time end = w->now + TRIAL; w->now < end; w->now += STEP) {
        for (int i = 0; fn == again_at_random && i < MOVED_A_STEP; i++) {
            tug_timer *t = &w->crowd.timers[draw_below(&w->crowd, w->crowd.n)];
            tug__timer_move(&w->calendar, (struct tug__timer *)t,
                            w->now + draw_distance(&w->crowd));
        }
        tug_time before = cpu_now();
        tug__calendar_fire(&w->calendar, w->now);
        tug_time next = tug__calendar_next(&w->calendar);
        tug_duration took = cpu_now() - before;
        w->worst = took > w->worst ? took : w->worst;
        if (next <= w->now) {
            w->now -= STEP - TUG_US(50); /* the loop does not block while a portion is left */
        }
    }
}

/* On the loop's stack: nothing waits. */
static tug_duration try_once(struct trial *w)
{
    w->worst = 0;
    w->now = TUG_SECONDS(1000);
    tug__calendar_init(&w->calendar, w->now);
    for (size_t i = 0; i < w->crowd.n; i++) {
        again_at_random(&w->crowd.timers[i], w);
    }
    pass_time(w, again_at_random);
    for (size_t i = 0; i < w->crowd.n; i++) {
        again_together(&w->crowd.timers[i], w);
    }
    pass_time(w, again_together);
    for (size_t i = 0; i < w->crowd.n; i++) {
        tug__timer_stop(&w->calendar, (struct tug__timer *)&w->crowd.timers[i]);
    }
    return w->worst;
}

/* The least of the worst: what an interrupt of the machine adds hits another turn each time. */
static int report_worst_turn(void)
{
    enum {
        TRIALS = 3
    };
    struct trial *w = tug_calloc(1, sizeof *w);
    if (w == NULL || (w->crowd.timers = tug_calloc(PENDING, sizeof(tug_timer))) == NULL) {
        tug_free(w);
        return tug_fail(TUG_ENOMEM, "out of memory for %d timers", PENDING);
    }
    tug_duration least = TUG_FOREVER;
    w->crowd.n = bench_is_quick() ? PENDING_QUICK : PENDING;
    w->crowd.random = UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < (bench_is_quick() ? 1 : TRIALS); i++) {
        tug_duration worst = try_once(w);
        least = worst < least ? worst : least;
    }
    double us = (double)least / 1000;
    bench_print("core.timer.rearm", ".worst", us, "us", 1000, 1000 / us);
    tug_free(w->crowd.timers);
    tug_free(w);
    return 0;
}

static int run_rearm(void)
{
    struct crowd crowd;
    int rc = gather_crowd(&crowd);
    if (rc < 0) {
        return rc;
    }
    struct bench_compare c = {.name = "core.timer.rearm",
                              .ours = rearm,
                              .limit = bare_ring,
                              .state = &crowd,
                              .figures = {{"", BENCH_TIME, "ns"}}};
    rc = bench_compare(&c);
    dismiss_crowd(&crowd);
    return rc == 0 ? report_worst_turn() : rc;
}

const struct bench bench_core_timer = {
    .name = "core.timer",
    .what = "a deadline set and cancelled, 1,000,000 pending; limit: a yield of a bare ring",
    .run = run_timer,
};
const struct bench bench_core_timer_rearm = {
    .name = "core.timer.rearm",
    .what = "a random one of 1,000,000 timers moved; limit: a yield of a bare ring; worst turn",
    .run = run_rearm,
};
