#include <tug/sync.h>

#include "sync_rig.h"

static int runs;
static int running;
static int failures_left;

static int slow(void *arg)
{
    (void)arg;
    assert_int_equal(running++, 0);
    runs++;
    int rc = tug_sleep(TUG_SECONDS(1));
    running--;
    if (rc == 0 && failures_left > 0) {
        failures_left--;
        rc = tug_fail(TUG_EUSER - 3, "not this time");
    }
    return rc;
}

static int positive(void *arg)
{
    *(int *)arg += 1;
    return 5;
}

static int once(struct waiter *w)
{
    return tug_once_run(w->on, slow, NULL);
}

TASK_TEST(it_runs_once_and_the_others_wait)
{
    TUG_AUTO(tug_once) o = NULL;
    struct waiter w[4];
    tug_group g;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        waiter_spawn(&g, &w[i], o, once);
    }
    assert_waits(&w[3]);
    assert_false(tug_once_is_done(o));
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(w[i].rc, 0);
    }
    assert_int_equal(runs, 1);
    assert_true(tug_once_is_done(o));
    for (int i = 0; i < 300; i++) {
        assert_ok(tug_once_run(o, slow, NULL));
    }
    assert_int_equal(runs, 1);
    tug_once_ref(o);
    assert_null(tug_once_unref(o));
    assert_null(tug_once_unref(NULL));
}

TASK_TEST(what_fn_returns_beyond_0_is_success)
{
    TUG_AUTO(tug_once) o = NULL;
    int n = 0;
    assert_ok(tug_once_new(&o));
    assert_ok(tug_once_run(o, positive, &n));
    assert_ok(tug_once_run(o, positive, &n));
    assert_int_equal(n, 1);
}

TASK_TEST(after_a_failure_the_next_one_tries)
{
    TUG_AUTO(tug_once) o = NULL;
    struct waiter w[4];
    tug_group g;
    failures_left = 2;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        waiter_spawn(&g, &w[i], o, once);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, TUG_EUSER - 3);
    assert_int_equal(w[1].rc, TUG_EUSER - 3);
    assert_int_equal(w[2].rc, 0);
    assert_int_equal(w[3].rc, 0);
    assert_int_equal(runs, 3);
}

TASK_TEST(the_detail_of_a_failure_stays)
{
    TUG_AUTO(tug_once) o = NULL;
    failures_left = 1;
    assert_ok(tug_once_new(&o));
    assert_rc(tug_once_run(o, slow, NULL), TUG_EUSER - 3);
    assert_detail_has("not this time");
    assert_ok(tug_once_run(o, slow, NULL));
}

TASK_TEST(a_cancelled_runner_lets_the_next_one_try)
{
    TUG_AUTO(tug_once) o = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        waiter_spawn(&g, &w[i], o, once);
    }
    assert_waits(&w[0]);
    waiter_cancel(&w[0]);
    assert_ended(&w[0], TUG_ECANCELED);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(w[2].rc, 0);
    assert_int_equal(runs, 2);
}

static int fail_at_once(void *arg)
{
    (void)arg;
    TUG_IGNORE(tug_yield());
    return TUG_EUSER;
}

TASK_TEST(whose_turn_it_is_may_be_cancelled_in_that_moment)
{
    TUG_AUTO(tug_once) o = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], o, once);
    waiter_spawn(&g, &w[1], o, once);
    assert_rc(tug_once_run(o, fail_at_once, NULL), TUG_EUSER);
    /* It is the turn of the first one, which has not run yet. */
    waiter_cancel(&w[0]);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, TUG_ECANCELED);
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(runs, 1);
}

TASK_TEST(who_waits_may_be_cancelled_or_run_out_of_time)
{
    TUG_AUTO(tug_once) o = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], o, once);
    waiter_spawn(&g, &w[1], o, once);
    assert_waits(&w[0]);
    waiter_cancel(&w[1]);
    assert_ended(&w[1], TUG_ECANCELED);
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_once_run(o, slow, NULL)), TUG_ETIMEDOUT);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, 0);
    assert_int_equal(runs, 1);
}

TASK_TEST(a_cancel_on_entry_runs_nothing)
{
    TUG_AUTO(tug_once) o = NULL;
    tug_scope s;
    int n = 0;
    assert_ok(tug_once_new(&o));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_once_run(o, positive, &n), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
    assert_int_equal(n, 0);
    assert_ok(tug_once_run(o, positive, &n));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_once_run(o, positive, &n), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
}

static int recurse(void *arg)
{
    return tug_once_run(arg, recurse, arg);
}

TASK_TEST(from_inside_it_is_refused)
{
    TUG_AUTO(tug_once) o = NULL;
    assert_ok(tug_once_new(&o));
    assert_rc(tug_once_run(o, recurse, o), TUG_EMISUSE);
    assert_false(tug_once_is_done(o));
}

TASK_TEST(it_may_go_while_it_runs)
{
    tug_once *o = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_once_new(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], o, once);
    waiter_spawn(&g, &w[1], o, once);
    assert_waits(&w[0]);
    tug_once_unref(o);
    assert_ended(&w[1], TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, 0);
}

TEST(outside_of_tasks_nothing_runs)
{
    tug_once *o = NULL;
    int n = 0;
    assert_ok(tug_once_new(&o));
    assert_rc(tug_once_run(o, positive, &n), TUG_EMISUSE);
    assert_int_equal(n, 0);
    tug_once_unref(o);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 6
};
#define ROUNDS ((size_t)test_many(300, 30))

struct model {
    tug_once *o;
    random_numbers random;
    int inside, succeeded;
    size_t tried, done, cancelled;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

static int attempt(void *arg)
{
    struct model *model = arg;
    assert_int_equal(model->inside++, 0);
    assert_int_equal(model->succeeded, 0);
    model->tried++;
    int rc = tug_sleep(TUG_MS(random_below(&model->random, 4)));
    model->inside--;
    if (rc == 0 && random_below(&model->random, 4) > 0) {
        return TUG_EUSER;
    }
    model->succeeded += rc == 0;
    return rc;
}

static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    int rc;
    do {
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        rc = tug_once_run(model->o, attempt, model);
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        assert_true(rc == 0 || rc == TUG_EUSER || rc == TUG_ECANCELED);
        assert_true((rc == 0) <= (model->succeeded == 1));
        model->cancelled += rc == TUG_ECANCELED;
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 2) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
        assert_ok(tug_yield());
    } while (rc < 0);
    model->done++;
    return 0;
}

TASK_TEST(random_failures_and_cancels_end_with_one_success)
{
    struct model model = {.random = {5}};
    struct member members[TASKS];
    size_t tried = 0, cancelled = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        tug_group g;
        model = (struct model){.random = model.random};
        assert_ok(tug_once_new(&model.o));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        for (int i = 0; i < TASKS; i++) {
            members[i] = (struct member){&model, i};
            assert_ok(tug_group_spawn(&g, member_run, &members[i]));
        }
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(model.done, TASKS);
        assert_int_equal(model.succeeded, 1);
        tried += model.tried;
        cancelled += model.cancelled;
        tug_once_unref(model.o);
    }
    assert_true(test_is_tortured() || (tried > 2 * ROUNDS && cancelled > ROUNDS));
}
