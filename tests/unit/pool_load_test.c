/* What a pool does to its users when it is short: saturation on the real clock, an outage of half a minute. */
#include <stdlib.h>
#include <time.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* --- saturation ---------------------------------------------------------------------------------- */

enum {
    ACQUIRES = 10000,
    TASKS = 2000
};

struct crowd {
    tug_pool *pool;
    tug_duration took[ACQUIRES];
    int64_t held_up[ACQUIRES / TASKS]; /* by the machine's other work, when these began */
    size_t too_late;                   /* though nothing held them up */
    size_t n;
};

static int acquire_in_vain(void *arg)
{
    struct crowd *c = arg;
    while (c->n < ACQUIRES) {
        size_t i = c->n++;
        tug_lease *none = NULL;
        if (i % TASKS == 0) {
            c->held_up[i / TASKS] = test_held_up();
        }
        tug_time began = tug_now();
        assert_rc(TUG_WITHIN(TUG_MS(100), tug_pool_acquire(c->pool, &none)), TUG_ETIMEDOUT);
        c->took[i] = tug_now() - began;
        c->too_late += c->took[i] > TUG_MS(150) &&
                       c->took[i] - (test_held_up() - c->held_up[i / TASKS]) > TUG_MS(150);
    }
    return 0;
}

static int by_length(const void *a, const void *b)
{
    const tug_duration *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* What does not come back serves nobody: each of 10,000 acquires ends at its deadline of 100 ms, 999 of 1,000
 * not later than 150. */
LIVE_TEST(ten_thousand_deadlines_under_saturation)
{
    struct fake f = {0};
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 4;
    c->pool = fake_pool(&f, &o);
    tug_lease *leases[4];
    for (int i = 0; i < 4; i++) {
        leases[i] = fake_acquire(c->pool);
    }
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(50), TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        assert_ok(tug_group_spawn(&g, acquire_in_vain, c));
    }
    assert_ok(tug_group_leave(&g, 0));
    qsort(c->took, ACQUIRES, sizeof c->took[0], by_length);
    print_message("shortest %.2f ms, median %.2f, 99.9 %% %.2f, longest %.2f\n",
                  (double)c->took[0] / 1e6, (double)c->took[ACQUIRES / 2] / 1e6,
                  (double)c->took[ACQUIRES - ACQUIRES / 1000 - 1] / 1e6,
                  (double)c->took[ACQUIRES - 1] / 1e6);
    assert_true(c->took[0] >= TUG_MS(100));
#if !defined(TEST_UNDER_TSAN) && !defined(TEST_UNDER_ASAN)
    if (!test_is_under_valgrind()) {
        assert_true(c->too_late <= ACQUIRES / 1000);
    }
#endif
    tug_pool_stats s = fake_stats(c->pool);
    assert_int_equal(s.given_up, ACQUIRES);
    assert_int_equal(s.waiting, 0);
    for (int i = 0; i < 4; i++) {
        tug_lease_close(leases[i]);
    }
    assert_int_equal(fake_stats(c->pool).idle, 4);
    fake_close(&f, c->pool);
    free(c);
}

/* --- a storm of cancels -------------------------------------------------------------------------- */

struct storm {
    tug_pool *pool;
    uint64_t random;
    bool stop;
    size_t served, cut;
};

static int acquire_and_be_cut(void *arg)
{
    struct storm *s = arg;
    while (!s->stop) {
        tug_lease *lease = NULL;
        s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        tug_duration limit = (tug_duration)(s->random >> 50) * 200; /* up to 3.3 ms */
        int rc = TUG_WITHIN(limit, tug_pool_acquire(s->pool, &lease));
        if (rc == 0) {
            s->served++;
            (void)tug_sleep((tug_duration)(s->random >> 50) * 100);
            tug_lease_close(lease);
        } else {
            assert_rc(rc, TUG_ETIMEDOUT);
            s->cut++;
        }
    }
    return 0;
}

/* On the real clock, where deadlines and returns meet in any order. */
LIVE_TEST(a_storm_of_deadlines_loses_no_slot)
{
    struct fake f = {.connect_takes = TUG_MS(1)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 8;
    struct storm s = {.pool = fake_pool(&f, &o), .random = 1};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(50), TUG_FAIL_FAST);
    for (int i = 0; i < 200; i++) {
        assert_ok(tug_group_spawn(&g, acquire_and_be_cut, &s));
    }
    /* For two seconds, and on a slow machine until there was a storm. */
    for (tug_time least = tug_now() + TUG_SECONDS(2);
         tug_now() < least || s.served <= 100 || s.cut <= 1000;) {
        assert_ok(tug_sleep(TUG_MS(20)));
    }
    s.stop = true;
    assert_ok(tug_group_leave(&g, 0));
    tug_lease *leases[8];
    for (int i = 0; i < 8; i++) {
        leases[i] = fake_acquire(s.pool);
    }
    for (int i = 0; i < 8; i++) {
        tug_lease_close(leases[i]);
    }
    tug_pool_stats end = fake_stats(s.pool);
    assert_int_equal(end.idle, 8);
    assert_true(end.acquired >=
                s.served + 8); /* some were handed over and met an expired scope at once */
    assert_int_equal(f.connected, 8);
    fake_compare(&f, s.pool);
    fake_close(&f, s.pool);
}

/* --- an outage ----------------------------------------------------------------------------------- */

/* Attempts of an outage follow the backoff: one at a time, each after at least half and at most all of a pause
 * that begins with twice the first and doubles up to 10 s. */
static void assert_follows_backoff(const struct fake *f, int from, tug_duration slack)
{
    tug_duration pause = TUG_MS(200);
    for (int i = from + 1; i < f->connects; i++) {
        tug_duration waited = f->started[i] - f->started[i - 1];
        assert_true(waited >= pause / 2);
        assert_true(waited <= pause + slack);
        pause = pause * 2 < TUG_SECONDS(10) ? pause * 2 : TUG_SECONDS(10);
    }
}

static void kill_all(struct fake *f, tug_pool *p)
{
    for (int i = 0; i < FAKE_LOG; i++) {
        if (f->all[i] != NULL) {
            f->all[i]->broken = true;
        }
    }
    tug_pool_sweep(p);
}

static void wait_full(tug_pool *p, size_t n, tug_duration step)
{
    while (fake_stats(p).idle < n) {
        assert_ok(tug_sleep(step));
    }
}

TASK_TEST(an_outage_of_thirty_seconds)
{
    for (int run = 0; run < 20; run++) {
        struct fake f = {
            .connect_takes = TUG_MS(20), .connect_rc = TUG_ECONNECT, .connect_transient = true};
        tug_pool_options o = TUG_POOL_OPTIONS_INIT;
        o.min = o.max = 20;
        tug_pool *p = fake_pool(&f, &o);
        wait_full(p, 20, TUG_MS(10));
        int before = f.connects;
        f.connect_fails = -1;
        kill_all(&f, p);
        assert_ok(tug_sleep(TUG_SECONDS(30)));
        assert_int_equal(fake_stats(p).open, 0);
        assert_int_equal(f.most_connecting, 4);
        assert_true(f.connects - before >= 7 && f.connects - before <= 12);
        assert_follows_backoff(&f, before, TUG_MS(100));
        f.connect_fails = 0;
        tug_time back = tug_now();
        wait_full(p, 20, TUG_MS(10));
        assert_true(tug_now() - back <= TUG_SECONDS(11));
        fake_close(&f, p);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A hundred tasks go on asking, with deadlines of a second, while nothing can be opened. */
static int ask_on(void *arg)
{
    struct storm *s = arg;
    while (!s->stop) {
        tug_lease *lease = NULL;
        if (TUG_WITHIN(TUG_SECONDS(1), tug_pool_acquire(s->pool, &lease)) == 0) {
            s->served++;
            tug_lease_close(lease);
            assert_ok(tug_sleep(TUG_MS(100)));
        }
    }
    return 0;
}

/* 30 s with TUG_TEST_FULL, else 3 s. */
LIVE_TEST(an_outage_costs_no_processor_time)
{
    const char *full = getenv("TUG_TEST_FULL");
    int seconds = full != NULL && *full == '1' ? 30 : 3;
    struct fake f = {
        .connect_takes = TUG_MS(20), .connect_rc = TUG_ECONNECT, .connect_transient = true};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = o.max = 20;
    tug_pool *p = fake_pool(&f, &o);
    struct storm s = {.pool = p};
    wait_full(p, 20, TUG_MS(10));
    int before = f.connects;
    f.connect_fails = -1;
    kill_all(&f, p);
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(50), TUG_FAIL_FAST);
    for (int i = 0; i < 100; i++) {
        assert_ok(tug_group_spawn(&g, ask_on, &s));
    }
    double used = cpu_seconds();
    assert_ok(tug_sleep(TUG_SECONDS(seconds)));
    used = cpu_seconds() - used;
    assert_int_equal(s.served, 0);
    assert_follows_backoff(&f, before, TUG_SECONDS(1)); /* the real clock, a busy machine */
    f.connect_fails = 0;
    tug_time back = tug_now();
    wait_full(p, 20, TUG_MS(10));
    print_message("%.2f %% of a processor, full after %.2f s\n", 100 * used / seconds,
                  (double)(tug_now() - back) / 1e9);
    assert_true(tug_now() - back <= TUG_SECONDS(11));
#if !defined(TEST_UNDER_TSAN) && !defined(TEST_UNDER_ASAN)
    assert_true(test_is_under_valgrind() || used < 0.01 * seconds);
#endif
    s.stop = true;
    assert_ok(tug_group_leave(&g, 0));
    assert_true(s.served > 0);
    fake_close(&f, p);
}
