#include <tug/sync.h>

#include "sync_rig.h"

/* What the waits stand on: the mutex, the condition, and what changes. */
struct guarded {
    tug_mutex *m;
    tug_condition *c;
    int ready;
};

static void guarded_open(struct guarded *s)
{
    *s = (struct guarded){.ready = 0};
    assert_ok(tug_mutex_new(&s->m));
    assert_ok(tug_condition_new(&s->c));
}

static void guarded_close(struct guarded *s)
{
    tug_condition_unref(s->c);
    tug_mutex_unref(s->m);
}

/* Waits once. The mutex is held after it, whatever came out. */
static int wait_once(struct waiter *w)
{
    struct guarded *s = w->on;
    assert_ok(tug_mutex_lock(s->m));
    int rc = tug_condition_wait(s->c, s->m);
    assert_ok(tug_mutex_unlock(s->m));
    return rc;
}

static int wait_until_ready(struct waiter *w)
{
    struct guarded *s = w->on;
    int rc = tug_mutex_lock(s->m);
    while (rc == 0 && s->ready == 0) {
        rc = tug_condition_wait(s->c, s->m);
    }
    if (rc == 0) {
        s->ready--;
    }
    assert_ok(tug_mutex_unlock(s->m));
    return rc;
}

TASK_TEST(a_signal_wakes_the_one_that_waits_longest)
{
    struct guarded s;
    struct waiter w[3];
    tug_group g;
    guarded_open(&s);
    tug_condition_signal(s.c); /* nobody waits: it is not kept */
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        waiter_spawn(&g, &w[i], &s, wait_once);
    }
    assert_waits(&w[0]);
    assert_false(tug_mutex_is_locked(s.m));
    tug_condition_signal(s.c);
    assert_ended(&w[0], 0);
    assert_waits(&w[1]);
    tug_condition_broadcast(s.c);
    assert_ok(tug_group_leave(&g, 0));
    assert_true(w[1].rank < w[2].rank);
    guarded_close(&s);
}

TASK_TEST(the_mutex_is_held_again_before_the_wait_returns)
{
    struct guarded s;
    struct waiter w;
    tug_group g;
    guarded_open(&s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, &s, wait_until_ready);
    assert_waits(&w);
    assert_ok(tug_mutex_lock(s.m));
    s.ready = 1;
    tug_condition_signal(s.c);
    assert_waits(&w);
    assert_ok(tug_mutex_unlock(s.m));
    assert_ended(&w, 0);
    assert_int_equal(s.ready, 0);
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

TASK_TEST(a_cancelled_wait_holds_the_mutex_again)
{
    struct guarded s;
    struct waiter w;
    tug_group g;
    guarded_open(&s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, &s, wait_once);
    assert_waits(&w);
    assert_ok(tug_mutex_lock(s.m));
    waiter_cancel(&w);
    assert_waits(&w); /* no cancel gets it past the mutex */
    assert_ok(tug_mutex_unlock(s.m));
    assert_ended(&w, TUG_ECANCELED);
    assert_false(tug_mutex_is_locked(s.m));
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

TASK_TEST(a_deadline_on_a_condition)
{
    struct guarded s;
    guarded_open(&s);
    assert_ok(tug_mutex_lock(s.m));
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_condition_wait(s.c, s.m)), TUG_ETIMEDOUT);
    assert_ok(tug_mutex_unlock(s.m));
    guarded_close(&s);
}

TASK_TEST(a_cancel_on_entry_keeps_the_mutex)
{
    struct guarded s;
    tug_scope scope;
    guarded_open(&s);
    assert_ok(tug_mutex_lock(s.m));
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_condition_wait(s.c, s.m), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&scope, 0));
    assert_ok(tug_mutex_unlock(s.m));
    guarded_close(&s);
}

TASK_TEST(a_chosen_waiter_keeps_the_signal_though_cancelled)
{
    struct guarded s;
    struct waiter w[2];
    tug_group g;
    guarded_open(&s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], &s, wait_once);
    waiter_spawn(&g, &w[1], &s, wait_once);
    assert_waits(&w[0]);
    tug_condition_signal(s.c);
    waiter_cancel(&w[0]);
    assert_ended(&w[0], 0);
    assert_waits(&w[1]); /* there was one signal */
    /* The other way round the cancel was first: the signal goes to nobody who has left. */
    waiter_spawn(&g, &w[0], &s, wait_once);
    tug_test_settle();
    waiter_cancel(&w[1]);
    tug_condition_signal(s.c);
    assert_ended(&w[1], TUG_ECANCELED);
    assert_ended(&w[0], 0);
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

TASK_TEST(a_wait_needs_the_mutex)
{
    struct guarded s;
    guarded_open(&s);
    assert_rc(tug_condition_wait(s.c, s.m), TUG_EMISUSE);
    assert_detail_has("locked by the caller");
    guarded_close(&s);
}

TASK_TEST(a_condition_that_goes_wakes_its_waiters)
{
    struct guarded s;
    struct waiter w;
    tug_group g;
    guarded_open(&s);
    tug_condition_ref(s.c);
    assert_null(tug_condition_unref(s.c));
    assert_null(tug_condition_unref(NULL));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, &s, wait_once);
    assert_waits(&w);
    s.c = tug_condition_unref(s.c);
    assert_ended(&w, TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

static int wait_without_mutex(struct waiter *w)
{
    struct guarded *s = w->on;
    tug_mutex *m = s->m;
    assert_ok(tug_mutex_lock(m));
    return tug_condition_wait(s->c, m);
}

TASK_TEST(a_mutex_that_goes_during_a_wait)
{
    struct guarded s;
    struct waiter w;
    tug_group g;
    guarded_open(&s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, &s, wait_without_mutex);
    assert_waits(&w);
    s.m = tug_mutex_unref(s.m);
    tug_condition_signal(s.c);
    assert_ended(&w, TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

static int end_with_it(struct waiter *w)
{
    return tug_mutex_lock(((struct guarded *)w->on)->m);
}

TASK_TEST(a_mutex_that_breaks_during_a_wait)
{
    struct guarded s;
    struct waiter w, careless;
    tug_group g;
    guarded_open(&s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, &s, wait_without_mutex);
    assert_waits(&w);
    waiter_spawn(&g, &careless, &s, end_with_it);
    tug_test_settle();
    tug_condition_signal(s.c);
    assert_ended(&w, TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    guarded_close(&s);
}

/* --- random operations: a store of goods ------------------------------------------------------- */

enum {
    TASKS = 6,
    ROUNDS = 300
};

struct model {
    struct guarded s;
    random_numbers random;
    int made, taken;
    size_t cancelled;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

/* One signal a piece: a signal that got lost would leave goods beside a task that waits. */
static int make(void *arg)
{
    struct model *model = arg;
    for (int i = 0; i < ROUNDS; i++) {
        assert_ok(tug_mutex_lock(model->s.m));
        model->s.ready++;
        model->made++;
        tug_condition_signal(model->s.c);
        if (random_below(&model->random, 3) == 0) {
            assert_ok(tug_yield());
        }
        assert_ok(tug_mutex_unlock(model->s.m));
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 2) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
        if (random_below(&model->random, 2) == 0) {
            assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 3))));
        }
    }
    return 0;
}

static int take(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    while (model->taken < ROUNDS) {
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        int rc = tug_mutex_lock(model->s.m);
        bool is_held = rc == 0;
        while (rc == 0 && model->s.ready == 0 && model->taken < ROUNDS) {
            rc = tug_condition_wait(model->s.c, model->s.m);
        }
        model->entered[me->index] = false;
        if (rc == 0 && model->taken < ROUNDS) {
            model->s.ready--;
            model->taken++;
        } else if (rc < 0) {
            assert_rc(rc, TUG_ECANCELED);
            model->cancelled++;
            if (is_held && model->s.ready > 0) {
                tug_condition_signal(model->s.c); /* was cancelled, and others may wait */
            }
        }
        if (model->taken == ROUNDS) {
            tug_condition_broadcast(model->s.c);
        }
        if (is_held) {
            assert_ok(tug_mutex_unlock(model->s.m));
        }
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        assert_ok(tug_yield());
    }
    return 0;
}

TASK_TEST(random_signals_and_cancels_lose_no_piece)
{
    struct model model = {.random = {99}};
    struct member members[TASKS];
    tug_group g;
    guarded_open(&model.s);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, take, &members[i]));
    }
    assert_ok(tug_group_spawn(&g, make, &model));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(model.taken, ROUNDS);
    assert_int_equal(model.s.ready, 0);
    assert_true(model.cancelled > 30);
    guarded_close(&model.s);
}
