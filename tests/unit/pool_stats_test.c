/* Counters and times: that they are what happened, and how exact the histograms are. */
#include <stdlib.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

static tug_pool_latency latency(const tug_pool *p, int which)
{
    tug_pool_latency l = TUG_POOL_LATENCY_INIT;
    tug_pool_get_latency(p, which, &l);
    return l;
}

/* Never too small, too large by an eighth at most. */
static void assert_close(tug_duration got, tug_duration expected)
{
    if (got < expected || got > expected + expected / 8) {
        fail_msg("%lld, not about %lld", (long long)got, (long long)expected);
    }
}

TASK_TEST(times_are_what_they_were)
{
    struct fake f = {.connect_takes = TUG_MS(40)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    tug_pool *p = fake_pool(&f, &o);
    tug_pool_latency none = latency(p, TUG_POOL_BUSY);
    assert_int_equal(none.count + (uint64_t)none.p50 + (uint64_t)none.most, 0);
    for (int i = 0; i < 100; i++) {
        tug_lease *lease = fake_acquire(p);
        assert_ok(tug_sleep(i < 50 ? TUG_MS(3) : i < 90 ? TUG_MS(20) : TUG_SECONDS(2)));
        tug_lease_close(lease);
    }
    tug_pool_latency wait = latency(p, TUG_POOL_WAIT), busy = latency(p, TUG_POOL_BUSY);
    tug_pool_latency connect = latency(p, TUG_POOL_CONNECT);
    assert_int_equal(wait.count, 100);
    assert_int_equal(wait.most, TUG_MS(40));
    assert_int_equal(connect.count, 1);
    assert_int_equal(connect.p999, TUG_MS(40));
    assert_int_equal(busy.count, 100);
    assert_int_equal(busy.sum, 50 * TUG_MS(3) + 40 * TUG_MS(20) + 10 * TUG_SECONDS(2));
    assert_close(busy.p50, TUG_MS(3));
    assert_close(busy.p90, TUG_MS(20));
    assert_close(busy.p99, TUG_SECONDS(2));
    assert_int_equal(busy.most, TUG_SECONDS(2));
    assert_close(tug_pool_percentile(p, TUG_POOL_BUSY, 89.5), TUG_MS(20));
    assert_close(tug_pool_percentile(p, TUG_POOL_BUSY, 90.5), TUG_SECONDS(2));
    assert_close(tug_pool_percentile(p, TUG_POOL_BUSY, 0), TUG_MS(3));
    assert_int_equal(tug_pool_percentile(p, TUG_POOL_BUSY, 1000), TUG_SECONDS(2));
    assert_int_equal(tug_pool_percentile(p, 17, 50), 0);
    assert_int_equal(tug_pool_percentile(p, -1, 50), 0);
    fake_close(&f, p);
}

TASK_TEST(buckets_hold_what_they_say)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.check_after = TUG_FOREVER;
    o.idle_timeout = TUG_FOREVER;
    tug_pool *p = fake_pool(&f, &o);
    tug_duration longest = TUG_SECONDS(30000);
    uint64_t beyond = 0;
    for (tug_duration d = 1; d <= longest; d += d / 3 + 1) {
        beyond += d >= INT64_C(1) << 44;
        tug_lease *lease = fake_acquire(p);
        assert_ok(tug_sleep(d));
        tug_pool_latency before = latency(p, TUG_POOL_BUSY);
        tug_lease_close(lease);
        tug_test_settle();
        assert_int_equal(latency(p, TUG_POOL_BUSY).count, before.count + 1);
        /* Longer ones than all before: the last in the histogram. */
        assert_true(tug_pool_percentile(p, TUG_POOL_BUSY, 100) == d);
    }
    uint64_t sum = 0, count = 0;
    tug_duration top = -1, before = -1;
    size_t n = 0;
    while (tug_pool_bucket(p, TUG_POOL_BUSY, n, &top, &count)) {
        assert_true(top > before);
        assert_true(n < 2 || top == TUG_FOREVER || top - before <= before / 8 + 1);
        before = top;
        sum += count;
        n++;
    }
    assert_true(top == TUG_FOREVER);
    assert_true(beyond > 0); /* nearly five hours */
    assert_int_equal(count, beyond);
    assert_int_equal(sum, latency(p, TUG_POOL_BUSY).count);
    fake_close(&f, p);
}

TASK_TEST(counters_are_what_happened)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 1;
    o.max = 2;
    o.max_waiters = 1;
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p), *none = NULL;
    tug_future *waits = tug_pool_acquire_start(p);
    assert_rc(tug_pool_acquire(p, &none), TUG_ELIMIT);
    tug_future_drop(waits);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_rc(TUG_WITHIN(0, tug_pool_acquire(p, &none)), TUG_ETIMEDOUT); /* nothing happened */
    tug_pool_stats s = fake_stats(p);
    assert_int_equal(s.refused, 1);
    assert_int_equal(s.given_up, 2);
    assert_int_equal(s.acquired, 2);
    assert_int_equal(s.min, 1);
    assert_int_equal(s.max, 2);
    tug_lease_close(a);
    tug_lease_close(b);
    fake_close(&f, p);
}

TASK_TEST(takes_shorter_structs)
{
    struct fake f = {0};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease_close(fake_acquire(p));
    tug_pool_stats s = {.size = offsetof(tug_pool_stats, retired_idle), .leaked = 77, .max = 77};
    tug_pool_get_stats(p, &s);
    assert_int_equal(s.acquired, 1);
    assert_int_equal(s.leaked, 77);
    assert_int_equal(s.max, 77);
    tug_pool_latency l = {.size = offsetof(tug_pool_latency, p50), .p50 = 77};
    tug_pool_get_latency(p, TUG_POOL_WAIT, &l);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.p50, 77);
    fake_close(&f, p);
}

/* Loans allocate nothing. */
TASK_TEST(a_loan_allocates_nothing)
{
    struct fake f = {0};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease_close(fake_acquire(p));
    size_t before = tug_test_live_allocations();
    tug_lease *lease = fake_acquire(p);
    assert_int_equal(tug_test_live_allocations(), before);
    tug_lease_close(lease);
    assert_int_equal(tug_test_live_allocations(), before);
    fake_close(&f, p);
}
