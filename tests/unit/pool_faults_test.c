/* Each op and each hook: that it fails, that it hangs until its own bound, that the pool's close cancels it, and
 * its normal course. Whatever happens, the slot is free afterwards and the next acquire works. */
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* Longer than any bound. */
#define FOR_EVER TUG_SECONDS(10000)

static tug_pool_options one(struct fake *f)
{
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    o.connect_timeout = TUG_SECONDS(3);
    o.check_timeout = TUG_SECONDS(2);
    o.close_timeout = TUG_SECONDS(1);
    o.backoff_first = o.backoff_most = TUG_MS(100);
    fake_hooks(f, &o);
    return o;
}

static tug_pool *pool_of_one(struct fake *f)
{
    tug_pool_options o = one(f);
    return fake_pool(f, &o);
}

/* The only slot works again, within this time. */
static void assert_works(tug_pool *p, struct fake *f, tug_duration most)
{
    tug_time began = tug_now();
    tug_lease *lease = fake_acquire(p);
    assert_true(tug_now() - began <= most);
    tug_lease_close(lease);
    tug_test_settle();
    tug_pool_stats s = fake_stats(p);
    assert_int_equal(s.open, 1);
    assert_int_equal(s.idle, 1);
    assert_int_equal(s.opening + s.closing + s.waiting, 0);
    fake_compare(f, p);
}

/* What is under way is cancelled, and not waited for. */
static void close_at_once(struct fake *f, tug_pool *p)
{
    tug_time began = tug_now();
    fake_close(f, p);
    assert_true(tug_now() - began < TUG_MS(50));
}

TASK_TEST(hooks_are_called_around_a_loan)
{
    struct fake f = {.open_hook_takes = TUG_MS(1),
                     .lend_hook_takes = TUG_MS(10),
                     .return_hook_takes = TUG_MS(100),
                     .reset_takes = TUG_SECONDS(1)};
    tug_pool *p = pool_of_one(&f);
    tug_time began = tug_now();
    tug_lease *lease = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_MS(11));
    tug_lease_mark_dirty(lease);
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).preparing, 1);
    lease = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_MS(11 + 1000 + 100 + 10));
    tug_lease_close(lease);
    lease = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_MS(1121 + 100 + 10));
    tug_lease_close(lease);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    assert_int_equal(f.open_hooks, 1);
    assert_int_equal(f.lend_hooks, 3);
    assert_int_equal(f.return_hooks, 3);
    assert_int_equal(f.resets, 1);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* --- connect and after_open ---------------------------------------------------------------------- */

TASK_TEST(connect_fails)
{
    struct fake f = {.connect_rc = TUG_ECONNECT, .connect_transient = true, .connect_fails = 1};
    tug_pool *p = pool_of_one(&f);
    assert_works(p, &f, TUG_MS(100));
    assert_int_equal(fake_stats(p).failed, 1);
    fake_close(&f, p);
}

TASK_TEST(connect_hangs)
{
    struct fake f = {.connect_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(3) + TUG_MS(10), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_detail_has("not open in time (connect_timeout 3000 ms");
    assert_int_equal(tug_pool_open_error(p)->code, TUG_ECONNECT);
    assert_true(tug_pool_open_error(p)->transient);
    assert_int_equal(fake_stats(p).failed, 1);
    f.connect_takes = 0;
    assert_works(p, &f, TUG_MS(100));
    fake_close(&f, p);
}

TASK_TEST(connect_is_cancelled)
{
    struct fake f = {.connect_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_future *acquire = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_pool_close(p);
    assert_rc(tug_await(acquire), TUG_ECLOSED);
    tug_future_unref(acquire);
    fake_wait_gone(&f);
    assert_int_equal(f.connect_cancelled, 1);
}

TASK_TEST(after_open_fails)
{
    struct fake f = {.open_hook_rc = TUG_EUSER};
    tug_pool *p = pool_of_one(&f);
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(250), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(tug_pool_open_error(p)->code, TUG_EUSER);
    assert_int_equal(f.open_hooks, 3); /* with the pauses of the backoff */
    assert_int_equal(f.closes, 3);
    assert_int_equal(fake_stats(p).failed, 3);
    f.open_hook_rc = 0;
    assert_works(p, &f, TUG_MS(100));
    fake_close(&f, p);
}

TASK_TEST(after_open_hangs)
{
    struct fake f = {.open_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(2) + TUG_MS(10), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(tug_pool_open_error(p)->code, TUG_ECONNECT);
    assert_int_equal(f.hooks_cancelled, 1);
    f.open_hook_takes = 0;
    assert_works(p, &f, TUG_MS(100));
    fake_close(&f, p);
}

TASK_TEST(after_open_is_cancelled)
{
    struct fake f = {.open_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_future *acquire = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_pool_close(p);
    assert_rc(tug_await(acquire), TUG_ECLOSED);
    tug_future_unref(acquire);
    fake_wait_gone(&f);
    assert_int_equal(f.hooks_cancelled, 1);
}

/* --- check and before_lend ----------------------------------------------------------------------- */

/* One is idle, for so long that it is checked. */
static tug_pool *pool_with_a_stale_one(struct fake *f)
{
    tug_pool *p = pool_of_one(f);
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    return p;
}

TASK_TEST(check_fails)
{
    struct fake f = {.check_rc = TUG_ECLOSED};
    tug_pool *p = pool_with_a_stale_one(&f);
    assert_works(p, &f, 0); /* a new one */
    assert_int_equal(fake_stats(p).discarded, 1);
    assert_int_equal(f.connected, 2);
    fake_close(&f, p);
}

TASK_TEST(check_hangs)
{
    struct fake f = {.check_takes = FOR_EVER};
    tug_pool *p = pool_with_a_stale_one(&f);
    assert_works(p, &f, TUG_SECONDS(2));
    assert_int_equal(f.checks_cancelled, 1);
    assert_int_equal(fake_stats(p).discarded, 1);
    fake_close(&f, p);
}

TASK_TEST(check_is_cancelled)
{
    struct fake f = {.check_takes = FOR_EVER};
    tug_pool *p = pool_with_a_stale_one(&f);
    tug_future *acquire = tug_pool_acquire_start(p);
    tug_test_settle();
    assert_int_equal(f.checks, 1);
    tug_pool_close(p);
    assert_rc(tug_await(acquire), TUG_ECLOSED);
    tug_future_unref(acquire);
    fake_wait_gone(&f);
    assert_int_equal(f.checks_cancelled, 1);
}

TASK_TEST(before_lend_fails)
{
    struct fake f = {0};
    tug_pool *p = pool_of_one(&f);
    tug_future *acquire = NULL;
    tug_lease_close(fake_acquire(p));
    tug_test_settle();
    f.lend_hook_rc = TUG_EUSER;
    f.connect_takes = TUG_MS(1); /* so that there is an end to it */
    acquire = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_MS(5)));
    assert_false(tug_future_is_settled(acquire));
    assert_true(fake_stats(p).discarded >= 3);
    f.lend_hook_rc = 0;
    assert_ok(tug_await(acquire));
    tug_future_drop(acquire);
    tug_test_settle();
    assert_works(p, &f, 0);
    fake_close(&f, p);
}

TASK_TEST(before_lend_hangs)
{
    struct fake f = {.lend_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_future *acquire = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    f.lend_hook_takes = 0;
    tug_time began = tug_now();
    assert_ok(tug_await(acquire));
    assert_int_equal(tug_now() - began, TUG_SECONDS(1)); /* 2 s for the hook, then a new one */
    tug_future_drop(acquire);
    tug_test_settle();
    assert_int_equal(fake_stats(p).discarded, 1);
    assert_works(p, &f, 0);
    fake_close(&f, p);
}

/* An acquire that gives up while the hook runs leaves the resource to the next one. */
TASK_TEST(before_lend_outlives_a_cancelled_acquire)
{
    struct fake f = {.lend_hook_takes = TUG_MS(100)};
    tug_pool *p = pool_of_one(&f);
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(fake_stats(p).preparing, 1);
    assert_ok(tug_sleep(TUG_MS(60)));
    assert_int_equal(fake_stats(p).idle, 1);
    assert_works(p, &f, TUG_MS(100));
    assert_int_equal(f.connected, 1);
    assert_int_equal(f.hooks_cancelled, 0);
    fake_close(&f, p);
}

TASK_TEST(before_lend_is_cancelled)
{
    struct fake f = {.lend_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_future *acquire = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_pool_close(p);
    assert_rc(tug_await(acquire), TUG_ECLOSED);
    tug_future_unref(acquire);
    fake_wait_gone(&f);
    assert_int_equal(f.hooks_cancelled, 1);
}

/* --- reset and after_return ---------------------------------------------------------------------- */

static void use_and_close(tug_pool *p, bool dirty)
{
    tug_lease *lease = fake_acquire(p);
    if (dirty) {
        tug_lease_mark_dirty(lease);
    }
    tug_lease_close(lease);
}

TASK_TEST(reset_fails)
{
    struct fake f = {.reset_rc = TUG_ESERVER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, true);
    assert_works(p, &f, 0);
    assert_int_equal(fake_stats(p).discarded, 1);
    assert_int_equal(f.return_hooks, 1); /* the second one's: no hook for what is closed */
    fake_close(&f, p);
}

TASK_TEST(reset_hangs)
{
    struct fake f = {.reset_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, true);
    assert_works(p, &f, TUG_SECONDS(2));
    assert_int_equal(fake_stats(p).discarded, 1);
    fake_close(&f, p);
}

TASK_TEST(reset_is_cancelled)
{
    struct fake f = {.reset_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, true);
    tug_test_settle();
    close_at_once(&f, p);
    assert_int_equal(f.failed_ops, 1);
}

TASK_TEST(after_return_fails)
{
    struct fake f = {.return_hook_rc = TUG_EUSER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, false);
    tug_test_settle();
    f.return_hook_rc = 0;
    assert_works(p, &f, 0);
    assert_int_equal(fake_stats(p).discarded, 1);
    fake_close(&f, p);
}

TASK_TEST(after_return_hangs)
{
    struct fake f = {.return_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, false);
    tug_test_settle();
    f.return_hook_takes = 0;
    assert_works(p, &f, TUG_SECONDS(2));
    assert_int_equal(fake_stats(p).discarded, 1);
    fake_close(&f, p);
}

TASK_TEST(after_return_is_cancelled)
{
    struct fake f = {.return_hook_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    use_and_close(p, false);
    tug_test_settle();
    close_at_once(&f, p);
    assert_int_equal(f.hooks_cancelled, 1);
}

/* --- close --------------------------------------------------------------------------------------- */

/* The slot counts until close has returned, and close_timeout sees to it that it does. */
TASK_TEST(close_hangs)
{
    struct fake f = {.close_takes = FOR_EVER};
    tug_pool *p = pool_of_one(&f);
    tug_lease *lease = fake_acquire(p);
    fake_of(lease)->broken = true;
    tug_lease_close(lease);
    tug_time began = tug_now();
    lease = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_SECONDS(1));
    tug_lease_close(lease);
    tug_test_settle();
    assert_int_equal(f.closes_cancelled, 1);
    fake_compare(&f, p);
    fake_close(&f, p);
    assert_int_equal(f.closes_cancelled, 2);
}

TASK_TEST(close_is_not_cut_short_by_the_pools_close)
{
    struct fake f = {.close_takes = TUG_MS(900)};
    tug_pool *p = pool_of_one(&f);
    tug_lease *lease = fake_acquire(p);
    fake_of(lease)->broken = true;
    tug_lease_close(lease);
    tug_test_settle();
    tug_time began = tug_now();
    fake_close(&f, p);
    assert_true(tug_now() - began >= TUG_MS(900));
    assert_int_equal(f.closes_cancelled, 0);
}
