/* Resize, expire, sweep, drain: each at rest, under load and cut short. And what an acquire that fails says. */
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

static tug_pool *pool_of(struct fake *f, size_t min, size_t max)
{
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = min;
    o.max = max;
    return fake_pool(f, &o);
}

static void acquire_all(tug_pool *p, tug_lease **leases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        leases[i] = fake_acquire(p);
    }
}

static void close_all(tug_lease **leases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tug_lease_close(leases[i]);
    }
    tug_test_settle();
}

/* --- resize -------------------------------------------------------------------------------------- */

TASK_TEST(resize_lets_waiters_in)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 0, 1);
    tug_lease *first = fake_acquire(p), *second = NULL;
    tug_future *waits = tug_pool_acquire_start(p);
    tug_test_settle();
    assert_false(tug_future_is_settled(waits));
    assert_ok(tug_pool_resize(p, 0, 2));
    assert_ok(tug_await(waits));
    assert_ok(tug_pool_acquire_take(waits, &second));
    tug_future_unref(waits);
    assert_int_equal(fake_stats(p).max, 2);
    tug_lease_close(first);
    tug_lease_close(second);
    fake_close(&f, p);
}

TASK_TEST(resize_opens_to_min_and_closes_to_max)
{
    struct fake f = {.close_takes = TUG_MS(5)};
    tug_pool *p = pool_of(&f, 0, 10);
    assert_ok(tug_pool_resize(p, 6, 10));
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, 6);
    tug_lease *leases[4];
    acquire_all(p, leases, 4);
    assert_ok(tug_pool_resize(p, 1, 3));
    tug_pool_stats s = fake_stats(p);
    assert_int_equal(s.idle, 0); /* at once */
    assert_int_equal(s.busy, 4); /* when they come back */
    assert_int_equal(s.closing, 2);
    tug_lease_close(leases[0]);
    assert_int_equal(fake_stats(p).closing, 3);
    tug_lease_close(leases[1]);
    assert_int_equal(fake_stats(p).idle, 1); /* three are enough */
    tug_lease_close(leases[2]);
    tug_lease_close(leases[3]);
    assert_ok(tug_sleep(TUG_MS(10)));
    s = fake_stats(p);
    assert_int_equal(s.idle, 3);
    assert_int_equal(s.retired_surplus, 3);
    fake_compare(&f, p);
    fake_close(&f, p);
}

TASK_TEST(resize_refuses_nonsense)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1, 2);
    assert_rc(tug_pool_resize(p, 3, 2), TUG_EINVAL);
    assert_detail_has("tug_pool_resize: max must be 1 to 100000 and min 0 to max, not 2 and 3");
    assert_rc(tug_pool_resize(p, 0, 0), TUG_EINVAL);
    assert_rc(tug_pool_resize(NULL, 0, 1), TUG_EMISUSE);
    assert_int_equal(fake_stats(p).max, 2);
    tug_lease *lease = fake_acquire(p);
    tug_pool_close(p);
    assert_rc(tug_pool_resize(p, 1, 2), TUG_ECLOSED);
    assert_rc(tug_pool_drain(p), TUG_ECLOSED);
    tug_pool_expire(p);
    tug_pool_sweep(p);
    tug_lease_close(lease);
    fake_wait_gone(&f);
}

struct load {
    tug_pool *pool;
    struct fake *fake;
    bool stop;
    int served;
};

static int borrow_again_and_again(void *arg)
{
    struct load *l = arg;
    for (int i = 0; !l->stop; i++) {
        tug_lease *lease = fake_acquire(l->pool);
        assert_ok(tug_sleep(TUG_MS(1 + i % 3)));
        if (i % 7 == 0) {
            tug_lease_mark_dirty(lease);
        }
        tug_lease_close(lease);
        l->served++;
    }
    return 0;
}

static void run_loaded(struct load *l, void (*meanwhile)(struct load *l))
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 20; i++) {
        assert_ok(tug_group_spawn(&g, borrow_again_and_again, l));
    }
    meanwhile(l);
    l->stop = true;
    assert_ok(tug_group_leave(&g, 0));
    fake_compare(l->fake, l->pool);
}

static void up_and_down(struct load *l)
{
    static const size_t sizes[] = {2, 12, 1, 8, 3, 16, 1, 5};
    for (int round = 0; round < test_many(80, 8); round++) {
        size_t max = sizes[round % 8];
        int before = l->served;
        assert_ok(tug_pool_resize(l->pool, max / 2, max));
        assert_ok(tug_sleep(TUG_MS(30)));
        tug_pool_stats s = fake_stats(l->pool);
        assert_true(s.open + s.opening + s.closing <= max); /* nobody holds one for 30 ms */
        assert_true(s.open + s.opening >= max / 2);
        assert_true(l->served > before); /* nobody starves meanwhile */
    }
}

TASK_TEST(resize_up_and_down_while_loaded)
{
    struct fake f = {
        .connect_takes = TUG_MS(2), .close_takes = TUG_MS(2), .reset_takes = TUG_MS(1)};
    struct load l = {.pool = pool_of(&f, 0, 10), .fake = &f};
    run_loaded(&l, up_and_down);
    assert_int_equal(f.most_live, 16);
    fake_close(&f, l.pool);
}

/* --- expire and sweep ---------------------------------------------------------------------------- */

TASK_TEST(expire_replaces_all_that_is_open)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 3, 5);
    tug_test_settle();
    tug_lease *lease = fake_acquire(p);
    tug_pool_expire(p);
    tug_test_settle();
    assert_int_equal(fake_of(lease)->number, 3);
    assert_int_equal(fake_stats(p).retired_surplus, 2);
    tug_lease_close(lease);
    tug_test_settle();
    assert_int_equal(fake_stats(p).retired_surplus, 3);
    assert_int_equal(fake_stats(p).idle, 3);
    assert_int_equal(f.connected, 6);
    lease = fake_acquire(p);
    assert_true(fake_of(lease)->number > 3);
    tug_lease_close(lease);
    fake_compare(&f, p);
    fake_close(&f, p);
    tug_pool_expire(NULL);
}

/* What was being opened before it may be of the old kind, too. */
TASK_TEST(expire_reaches_opens_under_way)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = pool_of(&f, 1, 1);
    assert_ok(tug_sleep(TUG_MS(5)));
    tug_pool_expire(p);
    tug_lease *lease = fake_acquire(p);
    assert_int_equal(fake_of(lease)->number, 2);
    tug_lease_close(lease);
    fake_close(&f, p);
}

static void expire_often(struct load *l)
{
    for (int round = 0; round < 100; round++) {
        tug_pool_expire(l->pool);
        assert_ok(tug_sleep(TUG_MS(7)));
    }
}

TASK_TEST(expire_while_loaded)
{
    struct fake f = {.connect_takes = TUG_MS(2), .close_takes = TUG_MS(2)};
    struct load l = {.pool = pool_of(&f, 2, 6), .fake = &f};
    run_loaded(&l, expire_often);
    assert_true(l.served > 500);
    assert_int_equal(f.most_live, 6);
    fake_close(&f, l.pool);
}

TASK_TEST(sweep_finds_what_broke_at_rest)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 4, 4);
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, 4);
    f.all[1]->broken = f.all[2]->broken = true;
    tug_pool_sweep(p);
    tug_pool_sweep(p);
    assert_int_equal(fake_stats(p).discarded, 0); /* later */
    tug_test_settle();
    assert_int_equal(fake_stats(p).discarded, 2);
    assert_int_equal(fake_stats(p).idle, 4);
    assert_int_equal(f.connected, 6);
    tug_pool_sweep(NULL);
    /* Close comes between. */
    tug_pool_sweep(p);
    fake_close(&f, p);
}

/* --- drain --------------------------------------------------------------------------------------- */

static int hold_for_50_ms(void *arg)
{
    tug_lease *lease = NULL;
    int rc = tug_pool_acquire(arg, &lease);
    if (rc == 0) {
        rc = tug_sleep(TUG_MS(50));
        tug_lease_close(lease);
    }
    return rc;
}

TASK_TEST(drain_serves_those_that_wait_and_takes_no_more)
{
    struct fake f = {.close_takes = TUG_MS(1)};
    tug_pool *p = pool_of(&f, 1, 2);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 6; i++) {
        assert_ok(tug_group_spawn(&g, hold_for_50_ms, p));
    }
    tug_test_settle();
    tug_time began = tug_now();
    assert_ok(tug_pool_drain(p));
    assert_int_equal(tug_now() - began, TUG_MS(150));
    tug_lease *none = NULL;
    assert_rc(tug_pool_acquire(p, &none), TUG_ECLOSED);
    assert_detail_has("pool pool: it is being drained");
    assert_rc(tug_pool_resize(p, 0, 4), TUG_ECLOSED);
    assert_ok(tug_pool_drain(p));
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_sleep(TUG_MS(5)));
    assert_int_equal(fake_stats(p).open, 0); /* min counts no more */
    fake_compare(&f, p);
    fake_close(&f, p);
}

TASK_TEST(drain_has_a_deadline_and_can_go_on)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 0, 2);
    tug_lease *slow = fake_acquire(p);
    tug_time began = tug_now();
    assert_rc(TUG_WITHIN(0, tug_pool_drain(p)), TUG_ETIMEDOUT);
    tug_lease_close(fake_acquire(p)); /* cancelled on entry: nothing had begun */
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pool_drain(p)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - began, TUG_MS(30));
    tug_lease *none = NULL;
    assert_rc(tug_pool_acquire(p, &none), TUG_ECLOSED);
    tug_lease_close(slow);
    assert_ok(tug_pool_drain(p));
    fake_close(&f, p);
}

static int drain(void *arg)
{
    return tug_pool_drain(arg);
}

TASK_TEST(close_ends_a_drain)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 0, 2);
    tug_lease *lease = fake_acquire(p);
    tug_future *drains[2] = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    for (int i = 0; i < 2; i++) {
        drains[i] = tug_group_start(&g, drain, p);
    }
    tug_test_settle();
    tug_pool_close(p);
    for (int i = 0; i < 2; i++) {
        assert_rc(tug_await(drains[i]), TUG_ECLOSED);
        assert_detail_has("the pool was closed");
        tug_future_unref(drains[i]);
    }
    TUG_IGNORE(tug_group_leave(&g, 0));
    tug_lease_close(lease);
    fake_wait_gone(&f);
}

/* A lease that is handed over counts as out until it is taken or dropped; a waiter that gives up is one less. */
TASK_TEST(drain_waits_for_what_is_handed_over)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 0, 1);
    tug_lease *lease = fake_acquire(p);
    tug_future *settled = tug_pool_acquire_start(p), *gives_up = tug_pool_acquire_start(p);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_future *drained = tug_group_start(&g, drain, p);
    tug_test_settle();
    tug_lease_close(lease);
    assert_true(tug_future_is_settled(settled));
    tug_future_drop(gives_up);
    tug_test_settle();
    assert_false(tug_future_is_settled(drained));
    tug_future_drop(settled);
    assert_ok(tug_await(drained));
    tug_future_unref(drained);
    assert_ok(tug_group_leave(&g, 0));
    fake_close(&f, p);
}

/* --- close --------------------------------------------------------------------------------------- */

/* Everything at once: opens, checks, resets, hooks and closes under way, idle and lent ones, waiters. */
TASK_TEST(close_with_everything_under_way)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 5;
    fake_hooks(&f, &o);
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *leases[5];
    acquire_all(p, leases, 5);
    f.close_takes = f.reset_takes = f.return_hook_takes = TUG_SECONDS(100);
    f.connect_takes = f.open_hook_takes = f.lend_hook_takes = f.check_takes = TUG_SECONDS(100);
    fake_of(leases[0])->broken = true;
    tug_lease_mark_dirty(leases[1]);
    for (int i = 0; i < 3; i++) {
        tug_lease_close(leases[i]); /* closing, resetting, in after_return */
    }
    tug_test_settle();
    f.return_hook_takes = 0;
    tug_lease_close(leases[3]); /* idle */
    tug_test_settle();
    assert_int_equal(fake_stats(p).idle, 1);
    tug_future *waits[3];
    for (int i = 0; i < 3; i++) {
        waits[i] = tug_pool_acquire_start(p); /* the first gets the idle one into before_lend */
    }
    tug_test_settle();
    tug_pool_stats s = fake_stats(p);
    assert_int_equal(s.closing, 1);
    assert_int_equal(s.preparing, 3);
    assert_int_equal(s.busy, 1);
    tug_time began = tug_now();
    tug_pool_close(p);
    for (int i = 0; i < 3; i++) {
        assert_rc(tug_await(waits[i]), TUG_ECLOSED);
        tug_future_unref(waits[i]);
    }
    (void)fake_of(leases[4])->number;
    tug_lease_close(leases[4]);
    fake_wait_gone(&f);
    assert_int_equal(f.closes_cancelled, 5); /* by close_timeout */
    assert_true(tug_now() - began < TUG_SECONDS(6));
}

/* --- what a failed acquire says ------------------------------------------------------------------ */

static int hold(void *arg)
{
    tug_pool *p = arg;
    tug_lease *lease = NULL;
    tug_task_set_name("importer");
    assert_ok(tug_pool_acquire(p, &lease));
    int rc = tug_sleep(TUG_SECONDS(10));
    tug_lease_close(lease);
    return rc == TUG_ECANCELED ? 0 : rc;
}

TASK_TEST(a_timed_out_acquire_says_who_holds_what)
{
    struct fake f = {.connect_rc = TUG_ECONNECT};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.name = "db";
    o.max = 6;
    o.leak_after = TUG_MS(900);
    tug_pool *p = fake_pool(&f, &o);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, hold, p));
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_task_set_name("main");
    tug_lease *leases[4], *none = NULL;
    acquire_all(p, leases, 4);
    f.connect_fails = -1;
    assert_rc(TUG_WITHIN(TUG_MS(250), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_detail_has(
        "pool db: no lease yet; main waited 250 ms; 5 of 6 open (5 busy), 0 opening, 1 "
        "waiting; held by importer 1250 ms, main 250 ms, main 250 ms +2; last open error: "
        "the fake said no to number ");
    close_all(leases, 4);
    assert_ok(tug_group_leave(&g, 0));
    fake_close(&f, p);
}

/* --- the breaker --------------------------------------------------------------------------------- */

TASK_TEST(the_breaker_opens_and_tries_with_one)
{
    struct fake f = {.connect_rc = TUG_ECONNECT, .connect_transient = true, .connect_fails = -1};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.breaker_after = 3;
    o.backoff_first = o.backoff_most = TUG_MS(100);
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *lease = NULL;
    tug_time began = tug_now();
    assert_rc(tug_pool_acquire(p, &lease), TUG_ECONNECT);
    assert_detail_has("the fake said no to number 3; ");
    assert_detail_has("breaker open after 3 failed opens");
    assert_true(tug_now() - began >= TUG_MS(100) && tug_now() - began <= TUG_MS(200));
    /* At once, and without asking the server. */
    began = tug_now();
    assert_rc(tug_pool_acquire(p, &lease), TUG_ECONNECT);
    assert_int_equal(tug_now(), began);
    assert_int_equal(f.connects, 3);
    /* After the pause one is let through; the others are not held up by it. */
    f.connect_takes = TUG_SECONDS(1);
    assert_ok(tug_sleep(TUG_MS(100)));
    tug_future *first = tug_pool_acquire_start(p);
    tug_test_settle();
    assert_false(tug_future_is_settled(first));
    assert_rc(tug_pool_acquire(p, &lease), TUG_ECONNECT);
    assert_rc(tug_await(first), TUG_ECONNECT);
    tug_future_unref(first);
    assert_int_equal(f.connects, 4);
    /* The server is back. */
    f.connect_fails = 0;
    assert_ok(tug_sleep(TUG_MS(100)));
    lease = fake_acquire(p);
    assert_int_equal(f.connects, 5);
    tug_lease_close(lease);
    lease = fake_acquire(p);
    tug_lease_close(lease);
    fake_compare(&f, p);
    fake_close(&f, p);
}
