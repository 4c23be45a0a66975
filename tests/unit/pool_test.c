/* Lending: order, hand-over, cancels at each moment, deadlines, returns, close. How a pool grows and what it
 * makes of failed opens is in pool_grow_test.c. */
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* A task that borrows once. */
struct borrower {
    tug_pool *pool;
    tug_duration limit, hold;
    tug_scope scope;   /* around the acquire: to cancel it */
    int rc, next_wait; /* of the acquire; of a wait inside the scope after it */
    int order, number; /* the n-th to come back; the resource's number */
    tug_duration took;
    char text[240];
};

static int came_back;

static int borrow(void *arg)
{
    struct borrower *b = arg;
    tug_lease *lease = NULL;
    tug_task_set_name("borrower");
    tug_time began = tug_now();
    tug_scope_enter(&b->scope, b->limit);
    b->rc = tug_pool_acquire(b->pool, &lease);
    b->order = ++came_back;
    b->next_wait = b->rc == 0 ? tug_yield() : 0;
    b->rc = tug_scope_leave(&b->scope, b->rc);
    b->took = tug_now() - began;
    snprintf(b->text, sizeof b->text, "%s", b->rc < 0 ? tug_last_error()->text : "");
    if (lease != NULL) {
        b->number = fake_of(lease)->number;
        if (b->hold > 0) {
            assert_ok(tug_sleep(b->hold));
        }
    }
    tug_lease_close(lease);
    return 0;
}

static void start(tug_group *g, struct borrower *b, tug_pool *p)
{
    b->pool = p;
    b->limit = b->limit != 0 ? b->limit : TUG_FOREVER;
    assert_ok(tug_group_spawn(g, borrow, b));
}

static tug_pool *pool_of(struct fake *f, size_t max)
{
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = max;
    came_back = 0;
    return fake_pool(f, &o);
}

/* --- lending ------------------------------------------------------------------------------------- */

TASK_TEST(lends_and_takes_back)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 2);
    assert_int_equal(fake_stats(p).open, 0);
    tug_lease *lease = fake_acquire(p);
    assert_int_equal(fake_stats(p).busy, 1);
    assert_int_equal(fake_stats(p).idle, 0);
    assert_int_equal(fake_of(lease)->number, 1);
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).busy, 0);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).opened, 1);
    assert_int_equal(fake_stats(p).acquired, 1);
    fake_compare(&f, p);
    fake_close(&f, p);
}

TASK_TEST(a_second_close_of_a_lease_is_ignored)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 2);
    tug_lease *lease = fake_acquire(p);
    tug_lease_close(lease);
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).busy, 0);
    tug_lease_mark_dirty(NULL);
    fake_close(&f, p);
}

TASK_TEST(reuses_the_one_used_last)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 3);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p), *c = fake_acquire(p);
    tug_lease_close(c);
    tug_lease_close(a);
    tug_lease_close(b);
    int expected[] = {2, 1, 3};
    tug_lease *again[3];
    for (int i = 0; i < 3; i++) {
        again[i] = fake_acquire(p);
        assert_int_equal(fake_of(again[i])->number, expected[i]);
    }
    for (int i = 0; i < 3; i++) {
        tug_lease_close(again[i]);
    }
    assert_int_equal(f.connected, 3);
    fake_close(&f, p);
}

TASK_TEST(serves_waiters_in_order)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    struct borrower b[20] = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_lease *mine = fake_acquire(p);
    for (int i = 0; i < 20; i++) {
        b[i].hold = TUG_MS(i % 3);
        start(&g, &b[i], p);
        tug_test_settle();
        assert_int_equal(fake_stats(p).waiting, i + 1);
    }
    tug_lease_close(mine);
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 20; i++) {
        assert_ok(b[i].rc);
        assert_int_equal(b[i].order, i + 1);
    }
    assert_int_equal(f.connected, 1);
    fake_close(&f, p);
}

/* A newcomer must not take what comes back past those who wait. */
TASK_TEST(nobody_overtakes_a_waiter)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *mine = fake_acquire(p), *got = NULL;
    tug_future *waiter = tug_pool_acquire_start(p);
    tug_lease_close(mine);
    tug_future *newcomer = tug_pool_acquire_start(p);
    assert_true(tug_future_is_settled(waiter));
    assert_false(tug_future_is_settled(newcomer));
    assert_ok(tug_await(waiter));
    assert_ok(tug_pool_acquire_take(waiter, &got));
    tug_lease_close(got);
    assert_true(tug_future_is_settled(newcomer));
    tug_future_unref(waiter);
    tug_future_unref(newcomer);
    assert_int_equal(fake_stats(p).idle, 1);
    fake_close(&f, p);
}

TASK_TEST(never_exceeds_max)
{
    struct fake f = {.connect_takes = TUG_MS(3), .close_takes = TUG_MS(7)};
    tug_pool *p = pool_of(&f, 3);
    struct borrower b[60] = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 60; i++) {
        b[i].hold = TUG_MS(1 + i % 5);
        start(&g, &b[i], p);
    }
    for (int i = 0; i < 20; i++) {
        tug_lease *lease = fake_acquire(p);
        fake_of(lease)->broken = true;
        tug_pool_stats s = fake_stats(p);
        assert_true(s.open + s.opening + s.closing <= 3);
        fake_compare(&f, p);
        tug_lease_close(lease);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(f.most_live, 3);
    assert_int_equal(fake_stats(p).discarded, 20);
    fake_close(&f, p);
}

TASK_TEST(bounds_its_waiters)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 1;
    o.max_waiters = 2;
    o.name = "tiny";
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *mine = fake_acquire(p), *none = NULL;
    tug_future *a = tug_pool_acquire_start(p), *b = tug_pool_acquire_start(p);
    assert_false(tug_future_is_settled(a) || tug_future_is_settled(b));
    assert_rc(tug_pool_acquire(p, &none), TUG_ELIMIT);
    assert_detail_has("pool tiny: max_waiters (2) wait already");
    assert_null(none);
    tug_future_drop(a);
    tug_future_drop(b);
    assert_int_equal(fake_stats(p).waiting, 0);
    tug_lease_close(mine);
    fake_close(&f, p);
}

/* --- futures ------------------------------------------------------------------------------------- */

TASK_TEST(an_untaken_lease_goes_back)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_future *ready = tug_pool_acquire_start(p);
    assert_ok(tug_await(ready));
    assert_int_equal(fake_stats(p).busy, 1);
    tug_future *waits = tug_pool_acquire_start(p), *last = tug_pool_acquire_start(p);
    tug_future_unref(ready);
    assert_true(tug_future_is_settled(waits));
    tug_future_drop(waits);
    assert_true(tug_future_is_settled(last));
    tug_future_detach(last);
    tug_test_settle();
    assert_int_equal(fake_stats(p).busy, 0);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).acquired, 3);
    fake_close(&f, p);
}

/* Each of them gives the lease back in the moment in which it gets it. */
TASK_TEST(detached_waiters_pass_it_on_without_depth)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *mine = fake_acquire(p);
    int n = test_many(10000, 500);
    for (int i = 0; i < n; i++) {
        tug_future_detach(tug_pool_acquire_start(p));
    }
    tug_lease_close(mine);
    assert_int_equal(fake_stats(p).waiting, 0);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).acquired, n + 1);
    fake_close(&f, p);
}

TASK_TEST(one_may_take)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_future *acquire = tug_pool_acquire_start(p);
    tug_lease *lease = NULL, *twice = NULL;
    assert_rc(tug_pool_acquire_take(acquire, &lease), TUG_EMISUSE);
    assert_ok(tug_await(acquire));
    assert_ok(tug_pool_acquire_take(acquire, &lease));
    assert_rc(tug_pool_acquire_take(acquire, &twice), TUG_EMISUSE);
    assert_null(twice);
    tug_future_unref(acquire);
    assert_int_equal(fake_stats(p).busy, 1);
    tug_lease_close(lease);
    fake_close(&f, p);
}

static void watched(tug_future *f, void *arg)
{
    tug_lease **ret_lease = arg;
    assert_ok(tug_pool_acquire_take(f, ret_lease));
}

TASK_TEST(serves_callbacks_too)
{
    struct fake f = {.connect_takes = TUG_MS(5)};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *lease = NULL;
    tug_future_on_settled(tug_pool_acquire_start(p), watched, &lease);
    assert_ok(tug_sleep(TUG_MS(4)));
    assert_null(lease);
    assert_ok(tug_sleep(TUG_MS(2)));
    assert_non_null(lease);
    tug_lease_close(lease);
    fake_close(&f, p);
}

TASK_TEST(somebody_elses_cancel_says_so)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *mine = fake_acquire(p);
    tug_future *acquire = tug_pool_acquire_start(p);
    tug_future_cancel(acquire);
    assert_rc(tug_await(acquire), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug_future_unref(acquire);
    assert_int_equal(fake_stats(p).waiting, 0);
    tug_lease_close(mine);
    fake_close(&f, p);
}

/* --- cancels and deadlines ----------------------------------------------------------------------- */

TASK_TEST(deadline_is_exact_and_tells_why)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 2;
    o.name = "db";
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p), *none = NULL;
    tug_task_set_name("loader");
    tug_time began = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(100), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - began, TUG_MS(100));
    assert_detail_has(
        "pool db: no lease yet; loader waited 100 ms; 2 of 2 open (2 busy), 0 opening, 1 waiting");
    assert_null(none);
    assert_int_equal(fake_stats(p).waiting, 0);
    tug_lease_close(a);
    tug_lease_close(b);
    fake_close(&f, p);
}

TASK_TEST(a_cancelled_waiter_leaves_the_queue)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    struct borrower b[3] = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_lease *mine = fake_acquire(p);
    for (int i = 0; i < 3; i++) {
        start(&g, &b[i], p);
        tug_test_settle();
    }
    tug_scope_cancel(&b[1].scope);
    tug_test_settle();
    assert_rc(b[1].rc, TUG_ECANCELED);
    assert_int_equal(fake_stats(p).waiting, 2);
    tug_lease_close(mine);
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(b[0].rc);
    assert_ok(b[2].rc);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).acquired, 3);
    fake_close(&f, p);
}

/* The lease is handed over, then the cancel comes, before the waiter ran: it has the lease, and its next
 * wait tells it of the cancel. */
TASK_TEST(chosen_and_cancelled_in_one_turn_still_has_it)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    struct borrower b = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_lease *mine = fake_acquire(p);
    start(&g, &b, p);
    tug_test_settle();
    tug_lease_close(mine);
    tug_scope_cancel(&b.scope);
    assert_int_equal(fake_stats(p).busy, 1);
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(b.rc);
    assert_rc(b.next_wait, TUG_ECANCELED);
    assert_int_equal(b.number, 1);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).busy, 0);
    fake_close(&f, p);
}

/* The other way round it may have it or not, but never half. */
TASK_TEST(cancelled_then_returned_in_one_turn_loses_nothing)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    struct borrower b = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_lease *mine = fake_acquire(p);
    start(&g, &b, p);
    tug_test_settle();
    tug_scope_cancel(&b.scope);
    tug_lease_close(mine);
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(b.rc == 0 ? b.next_wait : b.rc, TUG_ECANCELED);
    assert_int_equal(fake_stats(p).acquired, b.rc == 0 ? 2 : 1);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(fake_stats(p).busy, 0);
    fake_close(&f, p);
}

/* Handed over at the very instant of the deadline. */
TASK_TEST(a_deadline_loses_nothing)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    for (int i = 0; i < 50; i++) {
        struct borrower holder = {.hold = TUG_MS(10)}, b = {.limit = TUG_MS(10)};
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        start(&g, &holder, p);
        tug_test_settle();
        start(&g, &b, p);
        assert_ok(tug_group_leave(&g, 0));
        assert_true(b.rc == 0 || b.rc == TUG_ETIMEDOUT);
        assert_int_equal(b.took, TUG_MS(10));
        assert_int_equal(fake_stats(p).idle, 1);
        assert_int_equal(fake_stats(p).busy, 0);
    }
    assert_int_equal(f.connected, 1);
    fake_close(&f, p);
}

TASK_TEST(a_cancelled_acquire_never_aborts_an_open)
{
    struct fake f = {.connect_takes = TUG_MS(50)};
    tug_pool *p = pool_of(&f, 5);
    tug_lease *none = NULL;
    tug_time began = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - began, TUG_MS(20));
    assert_detail_has("0 of 5 open (0 busy), 1 opening");
    assert_ok(tug_sleep(TUG_MS(31)));
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(f.connect_cancelled, 0);
    tug_lease_close(fake_acquire(p));
    assert_int_equal(f.connects, 1);
    fake_close(&f, p);
}

TASK_TEST(cancelled_on_entry_does_nothing)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *none = NULL;
    tug_scope s;
    for (int idle = 0; idle < 2; idle++) {
        tug_pool_stats before = fake_stats(p);
        tug_scope_enter(&s, TUG_FOREVER);
        tug_scope_cancel(&s);
        assert_rc(tug_pool_acquire(p, &none), TUG_ECANCELED);
        assert_null(none);
        assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
        tug_pool_stats after = fake_stats(p);
        assert_memory_equal(&before, &after, sizeof before);
        tug_lease_close(fake_acquire(p));
    }
    assert_int_equal(f.connects, 1);
    fake_close(&f, p);
}

TASK_TEST(a_cancelled_acquire_leaves_the_check_alone)
{
    struct fake f = {.check_takes = TUG_MS(10)};
    tug_pool *p = pool_of(&f, 1);
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(4), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(fake_stats(p).preparing, 1);
    assert_ok(tug_sleep(TUG_MS(7)));
    assert_int_equal(f.checks, 1);
    assert_int_equal(f.checks_cancelled, 0);
    assert_int_equal(fake_stats(p).idle, 1);
    tug_lease_close(fake_acquire(p));
    assert_int_equal(f.checks, 1);
    assert_int_equal(f.connected, 1);
    fake_close(&f, p);
}

/* --- returns ------------------------------------------------------------------------------------- */

TASK_TEST(a_broken_one_is_replaced_for_the_waiter)
{
    struct fake f = {.connect_takes = TUG_MS(5), .close_takes = TUG_MS(20)};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *lease = fake_acquire(p);
    tug_time began = tug_now();
    tug_future *waiter = tug_pool_acquire_start(p);
    fake_of(lease)->broken = true;
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).closing, 1);
    assert_int_equal(fake_stats(p).opening, 0);
    assert_ok(tug_await(waiter));
    /* The slot counted until close had returned. */
    assert_int_equal(tug_now() - began, TUG_MS(25));
    assert_ok(tug_pool_acquire_take(waiter, &lease));
    assert_int_equal(fake_of(lease)->number, 2);
    assert_int_equal(fake_stats(p).discarded, 1);
    assert_int_equal(f.most_live, 1);
    tug_future_unref(waiter);
    tug_lease_close(lease);
    fake_close(&f, p);
}

TASK_TEST(what_breaks_while_idle_is_not_lent)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 3);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p);
    struct resource *second = fake_of(b);
    tug_lease_close(a);
    tug_lease_close(b);
    second->broken = true;
    a = fake_acquire(p);
    assert_int_equal(fake_of(a)->number, 1);
    assert_int_equal(fake_stats(p).discarded, 1);
    tug_lease_close(a);
    fake_close(&f, p);
}

TASK_TEST(a_dirty_one_is_reset_before_the_next)
{
    struct fake f = {.reset_takes = TUG_MS(3)};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *lease = fake_acquire(p);
    tug_lease_mark_dirty(lease);
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).preparing, 1);
    tug_time began = tug_now();
    lease = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_MS(3));
    assert_int_equal(fake_of(lease)->number, 1);
    assert_int_equal(f.resets, 1);
    tug_lease_close(lease);
    assert_int_equal(fake_stats(p).idle, 1);
    assert_int_equal(f.resets, 1);
    fake_close(&f, p);
}

TASK_TEST(what_cannot_be_reset_is_discarded)
{
    struct fake f = {.reset_rc = TUG_ESERVER};
    tug_pool *p = pool_of(&f, 1);
    tug_lease *lease = fake_acquire(p);
    tug_lease_mark_dirty(lease);
    tug_lease_close(lease);
    lease = fake_acquire(p);
    assert_int_equal(fake_of(lease)->number, 2);
    assert_int_equal(fake_stats(p).discarded, 1);
    f.reset_takes = TUG_FOREVER;
    tug_time began = tug_now();
    tug_lease_mark_dirty(lease);
    tug_lease_close(lease);
    lease = fake_acquire(p);
    /* A reset that hangs ends with check_timeout. */
    assert_int_equal(tug_now() - began, TUG_SECONDS(5));
    assert_int_equal(fake_of(lease)->number, 3);
    tug_lease_close(lease);
    fake_close(&f, p);

    struct fake plain = {0};
    tug_pool_ops ops = fake_ops;
    ops.reset = NULL;
    assert_ok(tug_pool_open(&ops, &plain, NULL, &p));
    lease = fake_acquire(p);
    tug_lease_mark_dirty(lease);
    tug_lease_close(lease);
    lease = fake_acquire(p);
    assert_int_equal(fake_of(lease)->number, 2);
    tug_lease_close(lease);
    fake_close(&plain, p);
}

TASK_TEST(checks_only_after_a_pause)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 1);
    tug_lease_close(fake_acquire(p));
    assert_ok(tug_sleep(TUG_MS(500) - 1));
    tug_lease_close(fake_acquire(p));
    assert_int_equal(f.checks, 0);
    assert_ok(tug_sleep(TUG_MS(500)));
    tug_lease_close(fake_acquire(p));
    assert_int_equal(f.checks, 1);
    tug_lease_close(fake_acquire(p));
    assert_int_equal(f.checks, 1);
    tug_lease *lease = fake_acquire(p);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_lease_close(lease);
    tug_lease_close(fake_acquire(p)); /* long lent is not long idle */
    assert_int_equal(f.checks, 1);
    fake_close(&f, p);
}

TASK_TEST(what_fails_its_check_is_replaced)
{
    struct fake f = {.check_rc = TUG_ECLOSED};
    tug_pool *p = pool_of(&f, 2);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p);
    tug_lease_close(a);
    tug_lease_close(b);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    a = fake_acquire(p);
    assert_int_equal(fake_of(a)->number, 3);
    tug_lease_close(a);
    assert_int_equal(f.checks, 2); /* both were tried before a new one was opened */
    assert_int_equal(fake_stats(p).discarded, 2);
    f.check_takes = TUG_FOREVER;
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_time began = tug_now();
    a = fake_acquire(p);
    assert_int_equal(tug_now() - began, TUG_SECONDS(5));
    tug_lease_close(a);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* While one is checked for a waiter, another comes back: he gets that one. */
TASK_TEST(whichever_comes_first_goes_to_the_waiter)
{
    struct fake f = {.check_takes = TUG_MS(10), .connect_takes = TUG_MS(30)};
    tug_pool *p = pool_of(&f, 2);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p);
    tug_lease_close(a);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_future *waiter = tug_pool_acquire_start(p);
    tug_test_settle();
    assert_int_equal(f.checks, 1);
    tug_lease_close(b);
    assert_true(tug_future_is_settled(waiter));
    assert_ok(tug_pool_acquire_take(waiter, &b));
    tug_future_unref(waiter);
    assert_int_equal(fake_of(b)->number, 2);
    assert_ok(tug_sleep(TUG_MS(11)));
    assert_int_equal(fake_stats(p).idle, 1);
    tug_lease_close(b);
    fake_close(&f, p);
}

/* --- close --------------------------------------------------------------------------------------- */

TASK_TEST(close_refuses_waiters_and_spares_leases)
{
    struct fake f = {.close_takes = TUG_MS(5)};
    tug_pool *p = pool_of(&f, 2);
    struct borrower b = {0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_lease *mine = fake_acquire(p), *other = fake_acquire(p), *none = NULL;
    start(&g, &b, p);
    tug_future *waiter = tug_pool_acquire_start(p);
    tug_test_settle();
    tug_pool_close(p);
    assert_true(tug_future_is_settled(waiter));
    assert_rc(tug_await(waiter), TUG_ECLOSED);
    assert_detail_has("pool pool: the pool was closed");
    tug_future_unref(waiter);
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(b.rc, TUG_ECLOSED);
    assert_rc(tug_pool_acquire(p, &none), TUG_ECLOSED);
    assert_ok(tug_sleep(TUG_SECONDS(3)));
    assert_int_equal(f.gone, 0);
    assert_int_equal(fake_of(mine)->number, 1);
    tug_lease_close(mine);
    assert_int_equal(fake_of(other)->number, 2);
    tug_pool_close(p);
    tug_lease_mark_dirty(other);
    tug_lease_close(other);
    fake_wait_gone(&f);
    assert_int_equal(f.resets, 0);
}

TASK_TEST(close_cancels_opens_under_way)
{
    struct fake f = {.connect_takes = TUG_FOREVER};
    tug_pool *p = pool_of(&f, 4);
    tug_future *waiter = tug_pool_acquire_start(p);
    tug_test_settle();
    assert_int_equal(f.connecting, 1);
    tug_pool_close(p);
    tug_test_settle();
    assert_int_equal(f.connect_cancelled, 1);
    assert_int_equal(f.gone, 1);
    assert_rc(tug_await(waiter), TUG_ECLOSED);
    tug_future_unref(waiter);
}

TASK_TEST(close_before_the_open_began)
{
    struct fake f = {.connect_takes = TUG_MS(5)};
    tug_pool *p = pool_of(&f, 4);
    tug_future *waiter = tug_pool_acquire_start(p);
    fake_close(&f, p);
    assert_int_equal(f.connects, 0);
    assert_rc(tug_await(waiter), TUG_ECLOSED);
    tug_future_unref(waiter);
}

TASK_TEST(close_cuts_checks_and_resets_short)
{
    struct fake f = {.check_takes = TUG_FOREVER, .reset_takes = TUG_FOREVER};
    tug_pool *p = pool_of(&f, 3);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p), *c = fake_acquire(p);
    tug_lease_close(a);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    tug_future *waiter = tug_pool_acquire_start(p);
    tug_lease_mark_dirty(b);
    tug_lease_close(b);
    tug_test_settle();
    tug_lease_mark_dirty(c);
    tug_lease_close(c); /* its reset has not begun when the close comes */
    tug_time began = tug_now();
    fake_close(&f, p);
    assert_true(tug_now() - began <= TUG_MS(10));
    assert_int_equal(f.checks, 1);
    assert_int_equal(f.resets, 1);
    assert_rc(tug_await(waiter), TUG_ECLOSED);
    tug_future_unref(waiter);
}

TASK_TEST(close_works_in_a_cancelled_scope)
{
    struct fake f = {0};
    tug_pool *p = pool_of(&f, 2);
    tug_lease *lease = fake_acquire(p);
    tug_lease_close(fake_acquire(p));
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    tug_pool_close(p);
    tug_lease_close(lease);
    TUG_IGNORE(tug_scope_leave(&s, TUG_ECANCELED));
    fake_wait_gone(&f);
    tug_pool_close(NULL);
    tug_lease_close(NULL);
    assert_null(tug_lease_resource(NULL));
}

struct forgotten {
    struct fake fake;
    tug_time ended_at;
};

static int forget_a_pool(void *arg)
{
    struct forgotten *f = arg;
    tug_pool *p = fake_pool(&f->fake, NULL);
    tug_lease_close(fake_acquire(p));
    f->ended_at = tug_now();
    return 0;
}

TEST(a_forgotten_pool_closes_itself_at_once)
{
    struct forgotten f = {0};
    assert_ok(tug_test_run(forget_a_pool, &f, NULL));
    assert_int_equal(f.fake.live, 0);
    assert_int_equal(f.fake.gone, 1);
    assert_int_equal(f.fake.closed_at, f.ended_at);
}

struct lost {
    struct fake fake;
    tug_lease *lease;
};

static int forget_a_lease(void *arg)
{
    struct lost *l = arg;
    tug_pool *p = fake_pool(&l->fake, NULL);
    l->lease = fake_acquire(p);
    return 0;
}

/* The loop ends all the same, the resource is closed, the leak is told, and what is left goes with a close
 * that comes too late. */
TEST(a_forgotten_lease_does_not_hold_up_the_end)
{
    struct lost l = {0};
    assert_int_equal(tug_test_run(forget_a_lease, &l, NULL), TUG_EMISUSE);
    assert_int_equal(l.fake.live, 0);
    assert_int_equal(l.fake.gone, 1);
    assert_null(tug_lease_resource(l.lease));
    assert_int_equal(tug_test_live_allocations(), 2);
    tug_lease_close(l.lease);
    assert_int_equal(tug_test_live_allocations(), 0);
}
