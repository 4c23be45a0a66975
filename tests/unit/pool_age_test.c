/* What is due when: idle too long, too old, lent often enough, out too long; and that an idle program is left
 * alone. */
#include <stdio.h>
#include <string.h>
#include <tug/inspect.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* Takes n at once and gives them back: n are idle then. */
static void warm(tug_pool *p, size_t n)
{
    tug_lease *leases[32];
    assert_true(n <= 32);
    for (size_t i = 0; i < n; i++) {
        leases[i] = fake_acquire(p);
    }
    for (size_t i = 0; i < n; i++) {
        tug_lease_close(leases[i]);
    }
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, n);
}

/* --- idle ---------------------------------------------------------------------------------------- */

TASK_TEST(who_is_idle_too_long_goes)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 2;
    o.idle_timeout = TUG_SECONDS(60);
    tug_pool *p = fake_pool(&f, &o);
    warm(p, 5);
    assert_ok(tug_sleep(TUG_SECONDS(59)));
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, 5);
    /* One that is used stays young. */
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, 2);
    assert_int_equal(fake_stats(p).retired_idle, 3);
    assert_int_equal(f.closes, 3);
    assert_ok(tug_sleep(TUG_SECONDS(300)));
    assert_int_equal(fake_stats(p).idle, 2); /* never below min */
    fake_compare(&f, p);
    fake_close(&f, p);
}

TASK_TEST(min_idle_is_kept_beside_those_that_are_lent)
{
    struct fake f = {.connect_takes = TUG_MS(1)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 6;
    o.min_idle = 2;
    o.idle_timeout = TUG_SECONDS(60);
    tug_pool *p = fake_pool(&f, &o);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    assert_int_equal(fake_stats(p).idle, 2);
    tug_lease *leases[6];
    for (int i = 0; i < 4; i++) {
        leases[i] = fake_acquire(p);
        assert_ok(tug_sleep(TUG_SECONDS(1)));
        assert_int_equal(fake_stats(p).idle, 2);
        assert_int_equal(fake_stats(p).open, i + 3);
    }
    leases[4] = fake_acquire(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    assert_int_equal(fake_stats(p).idle, 1); /* as far as max allows */
    for (int i = 0; i < 5; i++) {
        tug_lease_close(leases[i]);
    }
    assert_ok(tug_sleep(TUG_SECONDS(100)));
    assert_int_equal(fake_stats(p).idle, 2);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* --- lifetime ------------------------------------------------------------------------------------ */

TASK_TEST(the_old_are_replaced)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 2;
    o.max_lifetime = TUG_SECONDS(100);
    o.lifetime_jitter = 0;
    tug_pool *p = fake_pool(&f, &o);
    tug_test_settle();
    tug_lease *held = fake_acquire(p);
    assert_ok(tug_sleep(TUG_SECONDS(101)));
    tug_test_settle();
    assert_int_equal(fake_stats(p).retired_lifetime, 1);
    assert_int_equal(fake_stats(p).open, 2);
    assert_int_equal(fake_of(held)->number, 2); /* who has one keeps it */
    tug_lease_close(held);
    tug_test_settle();
    assert_int_equal(fake_stats(p).retired_lifetime, 2);
    assert_int_equal(fake_stats(p).idle, 2);
    assert_int_equal(f.connected, 4);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* Closes are noted by their time: of 20 that were opened together, none goes early, none late, and they do
 * not go together. */
static void spread(size_t jitter, struct fake *f, int n, tug_duration *ret_first,
                   tug_duration *ret_last, int *ret_most_at_once)
{
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = (size_t)n;
    o.max_lifetime = TUG_SECONDS(3600);
    o.lifetime_jitter = jitter;
    o.idle_timeout = TUG_FOREVER;
    tug_pool *p = fake_pool(f, &o);
    warm(p, (size_t)n);
    tug_time began = tug_now();
    int gone = 0;
    *ret_first = 0;
    *ret_most_at_once = 0;
    while (f->closes < n && tug_now() - began <= TUG_SECONDS(3700)) {
        assert_ok(tug_sleep(TUG_SECONDS(10)));
        tug_test_settle();
        int now = f->closes - gone;
        gone = f->closes;
        if (now > 0) {
            *ret_first = *ret_first == 0 ? tug_now() - began : *ret_first;
            *ret_last = tug_now() - began;
            *ret_most_at_once = now > *ret_most_at_once ? now : *ret_most_at_once;
        }
    }
    assert_int_equal(f->closes, n);
    assert_int_equal(fake_stats(p).retired_lifetime, n);
    fake_close(f, p);
}

TASK_TEST(jitter_spreads_the_ends)
{
    struct fake f = {0};
    tug_duration first = 0, last = 0;
    int at_once = 0;
    spread(50, &f, 32, &first, &last, &at_once);
    /* 32 over half an hour: chance puts 8 into one of 180 slots once in 10^9 runs, and leaves half of the time
     * empty as seldom. */
    assert_true(at_once < 8);
    assert_true(first >= TUG_SECONDS(1790) && first < TUG_SECONDS(2700));
    assert_true(last > TUG_SECONDS(2700) && last <= TUG_SECONDS(3610));
}

TASK_TEST(without_jitter_they_end_together)
{
    struct fake f = {0};
    tug_duration first = 0, last = 0;
    int at_once = 0;
    spread(0, &f, 8, &first, &last, &at_once);
    assert_int_equal(at_once, 8);
    assert_int_equal(first, last);
}

/* Nothing is so old that nobody may have it once. */
TASK_TEST(a_short_life_is_lived)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    o.max_lifetime = 1;
    tug_pool *p = fake_pool(&f, &o);
    for (int i = 1; i <= 3; i++) {
        tug_lease *lease = fake_acquire(p);
        assert_int_equal(fake_of(lease)->number, i);
        assert_ok(tug_sleep(TUG_MS(1)));
        tug_lease_close(lease);
    }
    tug_test_settle();
    assert_int_equal(fake_stats(p).retired_lifetime, 3);
    fake_close(&f, p);
}

TASK_TEST(max_uses_are_counted)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    o.max_uses = 3;
    tug_pool *p = fake_pool(&f, &o);
    for (int i = 0; i < 9; i++) {
        tug_lease *lease = fake_acquire(p);
        assert_int_equal(fake_of(lease)->number, 1 + i / 3);
        tug_lease_close(lease);
        tug_test_settle();
    }
    assert_int_equal(fake_stats(p).retired_uses, 3);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* A cancelled acquire is no use. */
TASK_TEST(a_cancelled_acquire_is_no_use)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max_uses = 2;
    tug_pool *p = fake_pool(&f, &o);
    tug_lease_close(fake_acquire(p));
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(0, tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(fake_stats(p).acquired, 1);
    assert_int_equal(fake_stats(p).idle, 1);
    tug_lease_close(fake_acquire(p));
    tug_test_settle();
    assert_int_equal(fake_stats(p).retired_uses, 1);
    fake_close(&f, p);
}

/* --- leaks --------------------------------------------------------------------------------------- */

static struct {
    int n;
    char text[300];
} logged;

static void note_log(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (record->level <= TUG_LOG_WARN) {
        logged.n++;
        snprintf(logged.text, sizeof logged.text, "%s", record->text);
    }
}

TASK_TEST(a_leak_is_reported_once_with_name_and_place)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.name = "db";
    o.max = 3;
    o.leak_after = TUG_SECONDS(30);
    tug_pool *p = fake_pool(&f, &o);
    tug_log_set_sink(note_log, NULL);
    tug_task_set_name("forgetful");
    tug_lease *leak = fake_acquire(p);
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_SECONDS(20)));
    tug_task_set_name("quick");
    tug_lease *second = fake_acquire(p);
    assert_ok(tug_sleep(TUG_MS(9999)));
    assert_int_equal(logged.n, 0);
    assert_ok(tug_sleep(TUG_MS(2)));
    assert_int_equal(logged.n, 1);
    assert_non_null(strstr(logged.text, "a lease is out for 30000 ms: forgetful acquired it at "));
    assert_non_null(strstr(logged.text, "pool_age"));
    assert_non_null(strstr(logged.text, " pool=db"));
    tug_lease_close(second);
    assert_ok(tug_sleep(TUG_SECONDS(200)));
    assert_int_equal(logged.n, 1);
    assert_int_equal(fake_stats(p).leaked, 1);
    tug_lease_close(leak);
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_SECONDS(200)));
    assert_int_equal(fake_stats(p).leaked, 1);
    tug_log_set_sink(NULL, NULL);
    fake_close(&f, p);
}

/* --- the wake-ups of a pool at rest -------------------------------------------------------------- */

/* The linker puts this before the real one: the pool's timers call wake, which counts. */
static struct {
    tug_timer *timer;
    void (*fn)(tug_timer *t, void *arg);
} armed[8];
static int wakes;
static tug_pool *watched;

void __real_tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg),
                            void *arg);
void __wrap_tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg),
                            void *arg);

static void wake(tug_timer *t, void *arg)
{
    wakes++;
    for (size_t i = 0; i < 8; i++) {
        if (armed[i].timer == t) {
            armed[i].fn(t, arg);
            return;
        }
    }
    fail();
}

void __wrap_tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg),
                            void *arg)
{
    for (size_t i = 0; arg == watched && i < 8; i++) {
        if (armed[i].timer == NULL || armed[i].timer == t) {
            armed[i].timer = t;
            armed[i].fn = fn;
            fn = wake;
            break;
        }
    }
    __real_tug_timer_start(t, at, fn, arg);
}

TASK_TEST(a_pool_at_rest_wakes_nobody)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 4;
    o.leak_after = TUG_SECONDS(30);
    o.max_lifetime = TUG_FOREVER;
    tug_pool *p = fake_pool(&f, &o);
    watched = p;
    tug_test_settle();
    warm(p, 4);
    assert_ok(tug_sleep(TUG_SECONDS(60)));
    assert_int_equal(wakes, 1); /* the look for leaks, which found all returned */
    assert_ok(tug_sleep(TUG_SECONDS(86400)));
    assert_int_equal(wakes, 1);
    fake_close(&f, p);
}

/* One that is used all the time looks at its idle ones once in idle_timeout, not at each return. */
TASK_TEST(a_pool_in_use_wakes_seldom)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max_lifetime = TUG_FOREVER;
    o.check_after = TUG_FOREVER;
    tug_pool *p = fake_pool(&f, &o);
    watched = p;
    for (int i = 0; i < 3600; i++) {
        tug_lease_close(fake_acquire(p));
        assert_ok(tug_sleep(TUG_SECONDS(1)));
    }
    assert_true(wakes >= 5 && wakes <= 7);
    assert_int_equal(fake_stats(p).open, 1);
    fake_close(&f, p);
}

/* Opened together, they are looked at together: the number of looks does not grow with the pool. */
TASK_TEST(lifetimes_cost_a_bounded_number_of_looks)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 32;
    o.idle_timeout = TUG_FOREVER;
    tug_pool *p = fake_pool(&f, &o);
    watched = p;
    warm(p, 32);
    assert_ok(tug_sleep(TUG_SECONDS(3600)));
    assert_int_equal(fake_stats(p).retired_lifetime, 32);
    assert_true(wakes >= 5 && wakes <= 32);
    assert_ok(tug_sleep(TUG_SECONDS(86400)));
    assert_true(wakes <= 32);
    fake_close(&f, p);
}
