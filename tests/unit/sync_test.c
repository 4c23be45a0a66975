#include <string.h>
#include <tug/group.h>
#include <tug/sync.h>

#include "test.h"

/* A task that waits under a scope of its own, so that it can be cancelled alone. */
struct waiter {
    void *on;
    int (*wait)(struct waiter *w);
    tug_scope scope;
    int rc;
    bool has_ended;
};

static int order[16];
static size_t ordered;

static int wait_in_scope(void *arg)
{
    struct waiter *w = arg;
    tug_scope_enter(&w->scope, TUG_FOREVER);
    w->rc = w->wait(w);
    w->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&w->scope, w->rc));
    return 0;
}

static int wait_event(struct waiter *w)
{
    return tug_event_wait(w->on);
}

static int acquire(struct waiter *w)
{
    return tug_semaphore_acquire(w->on);
}

/* Nothing happens to one that has ended: its scope has been left. */
static void cancel(struct waiter *w)
{
    if (!w->has_ended) {
        tug_scope_cancel(&w->scope);
    }
}

static void spawn(tug_group *g, struct waiter *w, void *on, int (*wait)(struct waiter *w))
{
    *w = (struct waiter){.on = on, .wait = wait};
    assert_ok(tug_group_spawn(g, wait_in_scope, w));
}

/* --- event ----------------------------------------------------------------------------------- */

TASK_TEST(an_event_stays_set_until_cleared)
{
    TUG_AUTO(tug_event) e = NULL;
    assert_ok(tug_event_new(&e));
    assert_false(tug_event_is_set(e));
    tug_event_set(e);
    assert_true(tug_event_is_set(e));
    assert_ok(tug_event_wait(e));
    assert_ok(tug_event_wait(e));
    tug_event_clear(e);
    assert_false(tug_event_is_set(e));
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_event_wait(e)), TUG_ETIMEDOUT);
}

TASK_TEST(set_wakes_all_even_if_cleared_at_once)
{
    TUG_AUTO(tug_event) e = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_event_new(&e));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        spawn(&g, &w[i], e, wait_event);
    }
    tug_test_settle();
    assert_false(w[0].has_ended);
    tug_event_set(e);
    tug_event_clear(e);
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].rc, 0);
    }
}

TASK_TEST(a_cancel_on_entry_beats_a_set_event)
{
    TUG_AUTO(tug_event) e = NULL;
    tug_scope s;
    assert_ok(tug_event_new(&e));
    tug_event_set(e);
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_event_wait(e), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
}

TASK_TEST(a_waiter_of_an_event_is_cancelled_alone)
{
    TUG_AUTO(tug_event) e = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_event_new(&e));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], e, wait_event);
    spawn(&g, &w[1], e, wait_event);
    tug_test_settle();
    cancel(&w[0]);
    tug_test_settle();
    assert_true(w[0].has_ended);
    assert_int_equal(w[0].rc, TUG_ECANCELED);
    assert_false(w[1].has_ended);
    tug_event_set(e);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, 0);
}

TASK_TEST(an_event_that_goes_wakes_its_waiters_closed)
{
    tug_event *e = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_event_new(&e));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, e, wait_event);
    tug_test_settle();
    tug_event_ref(e);
    tug_event_unref(e);
    tug_test_settle();
    assert_false(w.has_ended);
    assert_null(tug_event_unref(e));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, TUG_ECLOSED);
}

TEST(events_outside_of_tasks_are_not_waited_for)
{
    TUG_AUTO(tug_event) e = NULL;
    assert_ok(tug_event_new(&e));
    assert_rc(tug_event_wait(e), TUG_EMISUSE);
}

/* --- semaphore ------------------------------------------------------------------------------- */

TASK_TEST(permits_are_counted)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    assert_ok(tug_semaphore_new(2, &s));
    assert_ok(tug_semaphore_acquire(s));
    assert_true(tug_semaphore_try(s));
    assert_int_equal(tug_semaphore_permits(s), 0);
    assert_false(tug_semaphore_try(s));
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_semaphore_acquire(s)), TUG_ETIMEDOUT);
    tug_semaphore_release(s);
    tug_semaphore_release(s);
    assert_int_equal(tug_semaphore_permits(s), 2);
}

static int acquire_and_note(struct waiter *w)
{
    int rc = tug_semaphore_acquire(w->on);
    order[ordered++] = (int)(intptr_t)w->rc;
    return rc;
}

TASK_TEST(permits_go_out_in_order)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    struct waiter w[4];
    tug_group g;
    assert_ok(tug_semaphore_new(0, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        spawn(&g, &w[i], s, acquire_and_note);
        w[i].rc = i;
    }
    tug_test_settle();
    for (int i = 0; i < 4; i++) {
        tug_semaphore_release(s);
        /* Handed over: not for whoever comes now. */
        assert_false(tug_semaphore_try(s));
    }
    assert_ok(tug_group_leave(&g, 0));
    const int expected[] = {0, 1, 2, 3};
    assert_int_equal(ordered, 4);
    assert_memory_equal(order, expected, sizeof expected);
}

TASK_TEST(a_chosen_waiter_keeps_its_permit_though_cancelled)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_semaphore_new(0, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], s, acquire);
    spawn(&g, &w[1], s, acquire);
    tug_test_settle();
    tug_semaphore_release(s);
    cancel(&w[0]);
    tug_test_settle();
    assert_true(w[0].has_ended);
    assert_int_equal(w[0].rc, 0);
    assert_false(w[1].has_ended);
    assert_int_equal(tug_semaphore_permits(s), 0);
    tug_semaphore_release(s);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, 0);
}

TASK_TEST(a_cancelled_waiter_takes_no_permit)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_semaphore_new(0, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w[0], s, acquire);
    spawn(&g, &w[1], s, acquire);
    tug_test_settle();
    cancel(&w[0]);
    tug_semaphore_release(s);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, TUG_ECANCELED);
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(tug_semaphore_permits(s), 0);
}

TASK_TEST(a_cancel_on_entry_beats_a_free_permit)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    tug_scope scope;
    assert_ok(tug_semaphore_new(1, &s));
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_semaphore_acquire(s), TUG_ECANCELED);
    assert_int_equal(tug_semaphore_permits(s), 1);
    assert_rc(tug_scope_leave(&scope, 0), 0);
}

static int acquire_much(struct waiter *w)
{
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        rc = tug_semaphore_acquire(w->on);
    }
    return rc;
}

static int note_end(void *arg)
{
    order[ordered++] = *(bool *)arg;
    return 0;
}

TASK_TEST(a_task_that_never_has_to_wait_lets_others_run)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_semaphore_new(1000, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, s, acquire_much);
    assert_ok(tug_group_spawn(&g, note_end, &w.has_ended));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(ordered, 1);
    assert_int_equal(order[0], false);
    assert_int_equal(w.rc, 0);
}

/* The forced yield of a call that need not wait is a moment in which all may change. */
static int drop(void *arg)
{
    tug_semaphore_unref(arg);
    return 0;
}

TASK_TEST(a_semaphore_may_go_while_a_task_yields_inside)
{
    tug_semaphore *s = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_semaphore_new(1000, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, s, acquire);
    tug_test_settle();
    assert_int_equal(w.rc, 0);
    /* 127 acquires leave one credit: the next one yields inside, and drop runs. */
    assert_ok(tug_yield());
    for (int i = 0; i < 127; i++) {
        assert_ok(tug_semaphore_acquire(s));
    }
    assert_ok(tug_group_spawn(&g, drop, s));
    assert_ok(tug_semaphore_acquire(s));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_semaphore_that_goes_wakes_its_waiters_closed)
{
    tug_semaphore *s = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_semaphore_new(0, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, s, acquire);
    tug_test_settle();
    assert_null(tug_semaphore_unref(s));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, TUG_ECLOSED);
}

TASK_TEST(a_bounded_semaphore_refuses_what_nobody_has)
{
    TUG_AUTO(tug_semaphore) s = NULL;
    struct waiter w;
    tug_group g;
    assert_rc(tug_semaphore_new_bounded(3, 2, &s), TUG_EINVAL);
    assert_rc(tug_semaphore_new_bounded(0, 0, &s), TUG_EINVAL);
    assert_ok(tug_semaphore_new_bounded(2, 2, &s));
    assert_rc(tug_semaphore_release(s), TUG_EMISUSE);
    assert_detail_has("all 2 are back");
    assert_int_equal(tug_semaphore_permits(s), 2);
    assert_ok(tug_semaphore_acquire(s));
    assert_ok(tug_semaphore_acquire(s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, s, acquire);
    tug_test_settle();
    assert_ok(tug_semaphore_release(s)); /* to the one that waits */
    assert_int_equal(tug_semaphore_permits(s), 0);
    assert_ok(tug_semaphore_release(s));
    assert_ok(tug_semaphore_release(s));
    assert_rc(tug_semaphore_release(s), TUG_EMISUSE);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 0);
}
