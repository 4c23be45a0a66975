#include <tug/sync.h>

#include "sync_rig.h"

static int meet(struct waiter *w)
{
    size_t index = SIZE_MAX;
    int rc = tug_barrier_wait(w->on, &index);
    w->more = (void *)(uintptr_t)index;
    return rc;
}

static size_t index_of(const struct waiter *w)
{
    return (size_t)(uintptr_t)w->more;
}

TASK_TEST(all_wait_for_the_last_one)
{
    TUG_AUTO(tug_barrier) b = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_barrier_new(3, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int round = 0; round < 3; round++) {
        waiter_spawn(&g, &w[0], b, meet);
        waiter_spawn(&g, &w[1], b, meet);
        assert_waits(&w[0]);
        assert_int_equal(tug_barrier_waiting(b), 2);
        waiter_spawn(&g, &w[2], b, meet);
        for (size_t i = 0; i < 3; i++) {
            assert_ended(&w[i], 0);
            assert_int_equal(index_of(&w[i]), i);
        }
        assert_int_equal(tug_barrier_waiting(b), 0);
    }
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(one_party_never_waits)
{
    TUG_AUTO(tug_barrier) b = NULL;
    size_t index = 7;
    assert_rc(tug_barrier_new(0, &b), TUG_EINVAL);
    assert_ok(tug_barrier_new(1, &b));
    for (int i = 0; i < 300; i++) {
        assert_ok(tug_barrier_wait(b, NULL));
    }
    assert_ok(tug_barrier_wait(b, &index));
    assert_int_equal(index, 0);
    tug_barrier_ref(b);
    assert_null(tug_barrier_unref(b));
    assert_null(tug_barrier_unref(NULL));
}

TASK_TEST(who_is_cancelled_has_never_come)
{
    TUG_AUTO(tug_barrier) b = NULL;
    struct waiter w[4];
    tug_group g;
    assert_ok(tug_barrier_new(3, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], b, meet);
    waiter_spawn(&g, &w[1], b, meet);
    assert_waits(&w[0]);
    waiter_cancel(&w[0]);
    /* It has not run yet, but counts no more. */
    waiter_spawn(&g, &w[2], b, meet);
    assert_ended(&w[0], TUG_ECANCELED);
    assert_waits(&w[2]);
    assert_waits(&w[1]);
    waiter_spawn(&g, &w[3], b, meet);
    assert_ok(tug_group_leave(&g, 0));
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(w[i].rc, 0);
        assert_int_equal(index_of(&w[i]), i - 1);
    }
}

TASK_TEST(a_deadline_leaves_the_meeting_too)
{
    TUG_AUTO(tug_barrier) b = NULL;
    assert_ok(tug_barrier_new(2, &b));
    for (int i = 0; i < 3; i++) { /* more often than there are parties */
        assert_rc(TUG_WITHIN(TUG_MS(5), tug_barrier_wait(b, NULL)), TUG_ETIMEDOUT);
    }
    assert_int_equal(tug_barrier_waiting(b), 0);
}

TASK_TEST(whom_the_last_one_let_go_has_met_though_cancelled)
{
    TUG_AUTO(tug_barrier) b = NULL;
    struct waiter w;
    tug_group g;
    size_t index = 0;
    assert_ok(tug_barrier_new(2, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, b, meet);
    assert_waits(&w);
    assert_ok(tug_barrier_wait(b, &index));
    waiter_cancel(&w);
    assert_ended(&w, 0);
    assert_int_equal(index, 1);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancel_on_entry_beats_a_full_house)
{
    TUG_AUTO(tug_barrier) b = NULL;
    tug_scope s;
    assert_ok(tug_barrier_new(1, &b));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_barrier_wait(b, NULL), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
}

TASK_TEST(reset_and_abort_drop_who_waits)
{
    TUG_AUTO(tug_barrier) b = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_barrier_new(3, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], b, meet);
    waiter_spawn(&g, &w[1], b, meet);
    assert_waits(&w[0]);
    tug_barrier_reset(b);
    assert_ended(&w[0], TUG_EDROPPED);
    assert_ended(&w[1], TUG_EDROPPED);
    waiter_spawn(&g, &w[0], b, meet);
    assert_waits(&w[0]);
    tug_barrier_abort(b);
    assert_ended(&w[0], TUG_EDROPPED);
    assert_rc(tug_barrier_wait(b, NULL), TUG_EDROPPED);
    assert_detail_has("the barrier was aborted");
    tug_barrier_reset(b);
    waiter_spawn(&g, &w[0], b, meet);
    waiter_spawn(&g, &w[1], b, meet);
    assert_waits(&w[1]);
    assert_waits(&w[0]);
    assert_ok(tug_barrier_wait(b, NULL));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, 0);
}

TASK_TEST(a_barrier_that_goes_wakes_its_waiters)
{
    tug_barrier *b = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_barrier_new(2, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, b, meet);
    assert_waits(&w);
    tug_barrier_unref(b);
    assert_ended(&w, TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
}

TEST(outside_of_tasks_nobody_meets)
{
    tug_barrier *b = NULL;
    assert_ok(tug_barrier_new(1, &b));
    assert_rc(tug_barrier_wait(b, NULL), TUG_EMISUSE);
    tug_barrier_unref(b);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    PARTIES = 4,
    TASKS = 7,
    ROUNDS = 2000
};

struct model {
    tug_barrier *b;
    random_numbers random;
    size_t met[PARTIES]; /* how often each index came out */
    size_t cancelled;
    bool is_over;
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
    while (!model->is_over) {
        size_t index = SIZE_MAX;
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        int rc = tug_barrier_wait(model->b, &index);
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        if (rc == 0) {
            assert_true(index < PARTIES);
            model->met[index]++;
        } else if (rc == TUG_ECANCELED) {
            model->cancelled++;
        } else {
            assert_rc(rc, TUG_EDROPPED);
        }
        if (random_below(&model->random, 2) == 0) {
            assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 4))));
        } else {
            assert_ok(tug_yield());
        }
    }
    return 0;
}

TASK_TEST(random_cancels_never_let_too_few_through)
{
    struct model model = {.random = {31337}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_barrier_new(PARTIES, &model.b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    for (int i = 0; i < test_many(ROUNDS, 200); i++) {
        int victim = (int)random_below(&model.random, TASKS);
        if (model.entered[victim]) {
            tug_scope_cancel(&model.scopes[victim]);
        }
        if (random_below(&model.random, 2) == 0) {
            assert_ok(tug_sleep(TUG_MS(1)));
        }
        assert_true(tug_barrier_waiting(model.b) < PARTIES);
    }
    model.is_over = true;
    tug_barrier_abort(model.b);
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 1; i < PARTIES; i++) { /* each round gave out each index once */
        assert_int_equal(model.met[i], model.met[0]);
    }
    assert_true(test_is_tortured() || (model.met[0] > 50 && model.cancelled > 50));
    tug_barrier_unref(model.b);
}
