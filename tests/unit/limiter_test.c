#include <stdlib.h>
#include <tug/limiter.h>

#include "sync_rig.h"

static int acquire(struct waiter *w)
{
    return tug_limiter_acquire(w->on, (size_t)(uintptr_t)w->more);
}

static void spawn(tug_group *g, struct waiter *w, tug_limiter *l, size_t n)
{
    *w = (struct waiter){.on = l, .wait = acquire, .more = (void *)(uintptr_t)n};
    assert_ok(tug_group_spawn(g, waiter_run, w));
}

/* --- the bucket ------------------------------------------------------------------------------ */

TASK_TEST(a_burst_and_then_evenly)
{
    TUG_AUTO(tug_limiter) l = NULL;
    assert_ok(tug_limiter_new_rate(10, 3, &l));
    tug_time start = tug_now();
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_limiter_acquire(l, 1));
        assert_int_equal(tug_now(), start);
    }
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(tug_limiter_time_left(l, 1), TUG_MS(100));
        assert_ok(tug_limiter_acquire(l, 1));
        assert_int_equal(tug_now() - start, TUG_MS(100) * i);
    }
    assert_ok(tug_sleep(TUG_MS(250)));
    assert_true(tug_limiter_try(l, 2));
    assert_false(tug_limiter_try(l, 1));
    assert_int_equal(tug_limiter_time_left(l, 1), TUG_MS(50)); /* the half was not lost */
    assert_int_equal(tug_limiter_time_left(l, 3), TUG_MS(250));
    assert_ok(tug_sleep(TUG_SECONDS(100)));
    assert_true(tug_limiter_try(l, 3));
    assert_false(tug_limiter_try(l, 1)); /* no more than the burst is saved up */
}

TASK_TEST(rates_that_are_no_whole_nanoseconds_are_exact)
{
    static const int rates[] = {3, 7, 11, 997, 999999937};
    for (size_t k = 0; k < sizeof rates / sizeof rates[0]; k++) {
        TUG_AUTO(tug_limiter) l = NULL;
        assert_ok(tug_limiter_new_rate(rates[k], (size_t)rates[k], &l));
        tug_time start = tug_now();
        assert_ok(tug_limiter_acquire(l, (size_t)rates[k]));
        assert_ok(tug_limiter_acquire(l, (size_t)rates[k]));
        assert_int_equal(tug_now() - start, TUG_SECONDS(1));
    }
    TUG_AUTO(tug_limiter) third = NULL;
    int many = test_many(3000, 300);
    assert_ok(tug_limiter_new_rate(3, 1, &third));
    tug_time start = tug_now();
    for (int i = 0; i <= many; i++) { /* one after the other: nothing adds up */
        assert_ok(tug_limiter_acquire(third, 1));
    }
    assert_int_equal(tug_now() - start, TUG_SECONDS(many / 3));
}

TASK_TEST(slow_rates_take_their_time)
{
    TUG_AUTO(tug_limiter) l = NULL;
    assert_ok(tug_limiter_new_rate(0.25, 2, &l));
    tug_time start = tug_now();
    assert_ok(tug_limiter_acquire(l, 2));
    assert_ok(tug_limiter_acquire(l, 2));
    assert_int_equal(tug_now() - start, TUG_SECONDS(8));
}

/* --- the window ------------------------------------------------------------------------------ */

TASK_TEST(no_window_has_more_than_its_permits)
{
    TUG_AUTO(tug_limiter) l = NULL;
    assert_ok(tug_limiter_new_window(3, TUG_SECONDS(10), &l));
    tug_time start = tug_now();
    assert_ok(tug_limiter_acquire(l, 1));
    assert_ok(tug_sleep(TUG_SECONDS(4)));
    assert_ok(tug_limiter_acquire(l, 2));
    assert_int_equal(tug_limiter_time_left(l, 1), TUG_SECONDS(6));
    assert_int_equal(tug_limiter_time_left(l, 2), TUG_SECONDS(10));
    assert_ok(tug_limiter_acquire(l, 1));
    assert_int_equal(tug_now() - start, TUG_SECONDS(10));
    assert_int_equal(tug_limiter_time_left(l, 1), TUG_SECONDS(4));
    assert_ok(tug_limiter_acquire(l, 3)); /* until the one of second 10 is out of the window */
    assert_int_equal(tug_now() - start, TUG_SECONDS(20));
    assert_ok(tug_sleep(TUG_SECONDS(10)));
    assert_int_equal(tug_limiter_time_left(l, 3), 0);
    assert_true(tug_limiter_try(l, 3));
    assert_false(tug_limiter_try(l, 1));
}

/* --- those who wait -------------------------------------------------------------------------- */

TASK_TEST(first_come_first_served_whatever_they_want)
{
    TUG_AUTO(tug_limiter) l = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_limiter_new_rate(10, 5, &l));
    assert_true(tug_limiter_try(l, 5));
    tug_time start = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], l, 5);
    spawn(&g, &w[1], l, 1);
    spawn(&g, &w[2], l, 1);
    assert_waits(&w[0]);
    assert_ok(tug_sleep(TUG_MS(150)));
    assert_false(tug_limiter_try(l, 1)); /* there is one, but not for a newcomer */
    assert_false(w[1].has_ended);
    assert_ok(tug_limiter_acquire(l, 1)); /* stands behind them */
    assert_int_equal(tug_now() - start, TUG_MS(800));
    assert_ok(tug_group_leave(&g, 0));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w[i].rank, i);
    }
}

TASK_TEST(a_cancelled_waiter_gives_up_its_place_and_nothing_is_lost)
{
    TUG_AUTO(tug_limiter) l = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_limiter_new_rate(10, 5, &l));
    assert_true(tug_limiter_try(l, 5));
    tug_time start = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], l, 5);
    spawn(&g, &w[1], l, 2);
    assert_waits(&w[0]);
    assert_ok(tug_sleep(TUG_MS(300)));
    waiter_cancel(&w[0]);
    /* For the second one they are there already. */
    assert_ended(&w[0], TUG_ECANCELED);
    assert_ended(&w[1], 0);
    assert_int_equal(tug_now() - start, TUG_MS(300));
    assert_true(tug_limiter_try(l, 1));
    assert_false(tug_limiter_try(l, 1));
    assert_rc(TUG_WITHIN(TUG_MS(60), tug_limiter_acquire(l, 1)), TUG_ETIMEDOUT);
    assert_int_equal(tug_limiter_time_left(l, 1), TUG_MS(40));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancelled_first_one_leaves_the_timer_to_the_next)
{
    TUG_AUTO(tug_limiter) l = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_limiter_new_window(2, TUG_SECONDS(1), &l));
    assert_true(tug_limiter_try(l, 1));
    assert_ok(tug_sleep(TUG_MS(500)));
    assert_true(tug_limiter_try(l, 1));
    tug_time start = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], l, 2); /* in one second */
    spawn(&g, &w[1], l, 1); /* in half a one */
    assert_waits(&w[0]);
    waiter_cancel(&w[0]);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(tug_now() - start, TUG_MS(500));
}

static struct waiter *to_cancel;

static int cancel_it(void *arg)
{
    TUG_IGNORE(tug_sleep_until(*(tug_time *)arg));
    waiter_cancel(to_cancel);
    return 0;
}

/* Its permits come in the same instant as the cancel: it has them or they are still there. */
TASK_TEST(a_cancel_in_the_instant_of_the_hand_over_loses_nothing)
{
    for (int before = 0; before < 2; before++) {
        TUG_AUTO(tug_limiter) l = NULL;
        struct waiter w;
        tug_group g;
        tug_time at = tug_now() + TUG_MS(100);
        assert_ok(tug_limiter_new_rate(10, 1, &l));
        assert_true(tug_limiter_try(l, 1));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        to_cancel = &w;
        if (before != 0) {
            assert_ok(tug_group_spawn(&g, cancel_it, &at));
        }
        spawn(&g, &w, l, 1);
        if (before == 0) {
            assert_ok(tug_group_spawn(&g, cancel_it, &at));
        }
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(tug_now(), at);
        assert_true(w.rc == 0 || w.rc == TUG_ECANCELED);
        assert_int_equal(tug_limiter_time_left(l, 1), w.rc == 0 ? TUG_MS(100) : 0);
    }
}

TASK_TEST(a_cancel_on_entry_uses_nothing_up)
{
    TUG_AUTO(tug_limiter) l = NULL;
    tug_scope s;
    assert_ok(tug_limiter_new_rate(1, 1, &l));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_limiter_acquire(l, 1), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
    assert_true(tug_limiter_try(l, 1));
}

TASK_TEST(credits_are_spent_on_permits_that_are_there)
{
    TUG_AUTO(tug_limiter) l = NULL;
    assert_ok(tug_limiter_new_rate(1, 1000, &l));
    for (int i = 0; i < 1000; i++) {
        assert_ok(tug_limiter_acquire(l, 1));
    }
    assert_false(tug_limiter_try(l, 1));
}

TASK_TEST(what_can_never_be_had_is_refused)
{
    tug_limiter *l = NULL;
    assert_rc(tug_limiter_new_rate(0, 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(-1, 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(1e10, 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(strtod("nan", NULL), 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(1, 0, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(1, SIZE_MAX, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_rate(1e-6, TUG_LIMITER_BURST_MAX, &l), TUG_EINVAL);
    assert_detail_has("years");
    assert_rc(tug_limiter_new_window(0, 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_window(TUG_LIMITER_WINDOW_MAX + 1, 1, &l), TUG_EINVAL);
    assert_rc(tug_limiter_new_window(1, 0, &l), TUG_EINVAL);
    assert_null(l);
    assert_ok(tug_limiter_new_window(2, TUG_SECONDS(1), &l));
    assert_rc(tug_limiter_acquire(l, 0), TUG_EINVAL);
    assert_rc(tug_limiter_acquire(l, 3), TUG_EINVAL);
    assert_detail_has("never");
    assert_false(tug_limiter_try(l, 3));
    assert_int_equal(tug_limiter_time_left(l, 3), TUG_FOREVER);
    tug_limiter_unref(l);
}

TASK_TEST(a_limiter_that_goes_wakes_its_waiters)
{
    tug_limiter *l = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_limiter_new_rate(1, 1, &l));
    assert_true(tug_limiter_try(l, 1));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], l, 1);
    spawn(&g, &w[1], l, 1);
    assert_waits(&w[0]);
    tug_limiter_ref(l);
    assert_null(tug_limiter_unref(l));
    assert_waits(&w[0]);
    waiter_cancel(&w[0]);
    assert_null(tug_limiter_unref(l)); /* before the cancelled one has run */
    assert_null(tug_limiter_unref(NULL));
    assert_ended(&w[0], TUG_ECANCELED);
    assert_ended(&w[1], TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
}

TEST(outside_of_tasks_nothing_is_acquired)
{
    tug_limiter *l = NULL;
    assert_ok(tug_limiter_new_rate(1, 1, &l));
    assert_rc(tug_limiter_acquire(l, 1), TUG_EMISUSE);
    assert_true(tug_limiter_try(l, 1)); /* the clock is there without a loop */
    tug_limiter_unref(l);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 6,
    ROUNDS = 200,
    MOST = 5,
    GRANTS = TASKS * ROUNDS * MOST
};

struct model {
    tug_limiter *l;
    random_numbers random;
    tug_time grants[GRANTS];
    size_t granted, cancelled;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = 1 + random_below(&model->random, MOST);
        tug_scope_enter(&model->scopes[me->index], random_below(&model->random, 3) > 0
                                                       ? TUG_FOREVER
                                                       : TUG_MS(random_below(&model->random, 90)));
        model->entered[me->index] = true;
        int rc = tug_limiter_acquire(model->l, n);
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        for (size_t k = 0; rc == 0 && k < n; k++) {
            model->grants[model->granted++] = tug_now();
        }
        if (rc < 0) {
            assert_rc(rc, TUG_ECANCELED);
            model->cancelled++;
        }
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 4) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
        if (random_below(&model->random, 8) == 0) {
            assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 400))));
        }
    }
    return 0;
}

static void run_model(struct model *model)
{
    struct member members[TASKS];
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_true(model->cancelled > 100 && model->granted > 1000);
    tug_limiter_unref(model->l);
}

TASK_TEST(random_windows_never_overflow)
{
    static struct model model;
    model = (struct model){.random = {1}};
    assert_ok(tug_limiter_new_window(MOST, TUG_MS(100), &model.l));
    run_model(&model);
    for (size_t i = MOST; i < model.granted; i++) {
        assert_true(model.grants[i] - model.grants[i - MOST] >= TUG_MS(100));
    }
}

TASK_TEST(random_bursts_never_exceed_the_rate)
{
    static struct model model;
    model = (struct model){.random = {2}};
    assert_ok(tug_limiter_new_rate(50, MOST, &model.l)); /* one in 20 ms */
    run_model(&model);
    for (size_t from = 0; from < model.granted; from++) {
        for (size_t n = MOST; n < 60 && from + n < model.granted; n++) {
            /* n + 1 in this time: the burst, and those that came since. */
            tug_duration took = model.grants[from + n] - model.grants[from];
            assert_true(took >= TUG_MS(20) * (tug_duration)(n + 1 - MOST));
        }
    }
}
