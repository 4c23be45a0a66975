#include <tug/select.h>
#include <tug/sys/driver.h>

#include "sync_rig.h"

/* Something of each kind, and the cases for them. */
struct things {
    tug_queue *in, *out; /* out is full */
    tug_future *future;
    tug_event *event;
    tug_semaphore *permits;
};

enum {
    CASES = 5,
    FROM_IN = 0,
    TO_OUT,
    THE_FUTURE,
    THE_EVENT,
    A_PERMIT
};

static int items[8];
static const tug_future_class class_ = {.size = sizeof(tug_future_class), .name = "test"};

static void things_open(struct things *t)
{
    assert_ok(tug_queue_new(2, NULL, &t->in));
    assert_ok(tug_queue_new(1, NULL, &t->out));
    assert_ok(tug_queue_put(t->out, &items[7]));
    t->future = tug_future_new(&class_);
    assert_non_null(t->future);
    assert_ok(tug_event_new(&t->event));
    assert_ok(tug_semaphore_new(0, &t->permits));
}

static void things_close(struct things *t)
{
    tug_queue_unref(t->in);
    tug_queue_unref(t->out);
    tug_future_settle(t->future, NULL);
    tug_future_drop(t->future);
    tug_event_unref(t->event);
    tug_semaphore_unref(t->permits);
}

struct selecting {
    struct waiter waiter;
    struct things *t;
    tug_select_case cases[CASES];
    size_t index;
};

static void make_cases(struct things *t, tug_select_case cases[CASES])
{
    cases[FROM_IN] = tug_select_get(t->in);
    cases[TO_OUT] = tug_select_put(t->out, &items[1]);
    cases[THE_FUTURE] = tug_select_future(t->future);
    cases[THE_EVENT] = tug_select_event(t->event);
    cases[A_PERMIT] = tug_select_semaphore(t->permits);
}

static int select_all(struct waiter *w)
{
    struct selecting *s = w->on;
    make_cases(s->t, s->cases);
    return tug_select(s->cases, CASES, &s->index);
}

static void spawn(tug_group *g, struct selecting *s, struct things *t)
{
    s->t = t;
    s->index = SIZE_MAX;
    waiter_spawn(g, &s->waiter, s, select_all);
}

/* Nothing of the wait is left in the things: each can be used, and gives nothing away. */
static void assert_unlinked(struct things *t)
{
    void *item = NULL;
    assert_int_equal(tug_queue_count(t->in), 0);
    assert_ok(tug_queue_try_put(t->in, &items[3]));
    assert_rc(tug_queue_try_next(t->in, &item), 1);
    assert_ptr_equal(item, &items[3]);
    size_t inside = tug_queue_count(t->out);
    assert_rc(tug_queue_try_next(t->out, &item), 1);
    assert_int_equal(tug_queue_count(t->out), inside - 1);
    assert_ok(tug_queue_try_put(t->out, item));
    assert_ok(tug_semaphore_release(t->permits));
    assert_int_equal(tug_semaphore_permits(t->permits), 1);
    assert_true(tug_semaphore_try(t->permits));
}

TASK_TEST(an_item_that_comes_is_got)
{
    struct things t;
    struct selecting s;
    tug_group g;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    assert_ok(tug_queue_put(t.in, &items[0]));
    assert_unlinked(&t); /* in the moment of the hand-over, before the task runs */
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, FROM_IN);
    assert_int_equal(s.cases[FROM_IN].rc, 1);
    assert_ptr_equal(s.cases[FROM_IN].item, &items[0]);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(room_that_comes_is_filled)
{
    struct things t;
    struct selecting s;
    tug_group g;
    void *item = NULL;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    assert_rc(tug_queue_next(t.out, &item), 1);
    assert_ptr_equal(item, &items[7]);
    assert_unlinked(&t);
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, TO_OUT);
    assert_int_equal(s.cases[TO_OUT].rc, 0);
    assert_rc(tug_queue_next(t.out, &item), 1);
    assert_ptr_equal(item, &items[1]);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(a_future_an_event_a_permit)
{
    struct things t;
    struct selecting s;
    tug_group g;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    tug_event_set(t.event);
    tug_event_clear(t.event);
    assert_unlinked(&t);
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, THE_EVENT);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    assert_ok(tug_semaphore_release(t.permits));
    assert_int_equal(tug_semaphore_permits(t.permits), 0);
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, A_PERMIT);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    tug_error why;
    tug_error_set(&why, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, NULL, "no");
    tug_future_fail(t.future, &why);
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, THE_FUTURE);
    assert_int_equal(s.cases[THE_FUTURE].rc, TUG_ESERVER);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(what_is_ready_happens_at_once)
{
    struct things t;
    tug_select_case cases[CASES];
    size_t index = SIZE_MAX;
    things_open(&t);
    make_cases(&t, cases);
    assert_ok(tug_queue_put(t.in, &items[2]));
    assert_ok(tug_select(cases, CASES, &index));
    assert_int_equal(index, FROM_IN);
    assert_ptr_equal(cases[FROM_IN].item, &items[2]);
    tug_event_set(t.event);
    assert_ok(tug_select(cases, CASES, &index));
    assert_int_equal(index, THE_EVENT);
    tug_event_clear(t.event);
    assert_ok(tug_semaphore_release(t.permits));
    assert_ok(tug_select(cases, CASES, &index));
    assert_int_equal(index, A_PERMIT);
    assert_int_equal(tug_semaphore_permits(t.permits), 0);
    tug_future_settle(t.future, NULL);
    for (int i = 0; i < 300; i++) {
        assert_ok(tug_select(cases, CASES, &index));
        assert_int_equal(index, THE_FUTURE);
    }
    assert_int_equal(cases[THE_FUTURE].rc, 0);
    things_close(&t);
}

TASK_TEST(each_that_is_ready_has_its_turn)
{
    TUG_AUTO(tug_queue) a = NULL;
    TUG_AUTO(tug_event) b = NULL;
    TUG_AUTO(tug_event) never = NULL;
    int counts[4] = {0};
    size_t index = 0;
    assert_ok(tug_queue_new(1, NULL, &a));
    assert_ok(tug_event_new(&b));
    assert_ok(tug_event_new(&never));
    tug_event_set(b);
    tug_queue_close(a);
    /* With a gap between them, which favours nobody. */
    tug_select_case cases[4] = {tug_select_get(a), tug_select_event(never), tug_select_event(never),
                                tug_select_event(b)};
    for (int i = 0; i < 2000; i++) {
        assert_ok(tug_select(cases, 4, &index));
        counts[index]++;
    }
    assert_int_equal(counts[1] + counts[2], 0);
    assert_true(counts[0] > 800 && counts[3] > 800);
}

TASK_TEST(the_end_of_a_queue_is_a_case_that_happens)
{
    struct things t;
    struct selecting s;
    tug_group g;
    size_t index;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    tug_queue_close(t.in);
    assert_ended(&s.waiter, 0);
    assert_int_equal(s.index, FROM_IN);
    assert_int_equal(s.cases[FROM_IN].rc, 0);
    tug_select_case puts[] = {tug_select_put(t.out, &items[0])};
    tug_queue_close(t.out);
    assert_ok(tug_select(puts, 1, &index));
    assert_int_equal(puts[0].rc, TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

static int select_put(struct waiter *w)
{
    size_t index;
    tug_select_case one = tug_select_put(w->on, &items[4]);
    int rc = tug_select(&one, 1, &index);
    return rc < 0 ? rc : one.rc;
}

static int select_event(struct waiter *w)
{
    size_t index;
    tug_select_case one = tug_select_event(w->on);
    int rc = tug_select(&one, 1, &index);
    return rc < 0 ? rc : one.rc;
}

static int select_permit(struct waiter *w)
{
    size_t index;
    tug_select_case one = tug_select_semaphore(w->on);
    int rc = tug_select(&one, 1, &index);
    return rc < 0 ? rc : one.rc;
}

TASK_TEST(things_that_go_wake_who_selects)
{
    struct things t;
    struct waiter w[3];
    tug_group g;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], t.out, select_put);
    waiter_spawn(&g, &w[1], t.event, select_event);
    waiter_spawn(&g, &w[2], t.permits, select_permit);
    assert_waits(&w[0]);
    t.out = tug_queue_unref(t.out);
    t.event = tug_event_unref(t.event);
    t.permits = tug_semaphore_unref(t.permits);
    for (int i = 0; i < 3; i++) {
        assert_ended(&w[i], TUG_ECLOSED);
    }
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(a_cancelled_select_leaves_nothing_behind)
{
    struct things t;
    struct selecting s;
    tug_group g;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    waiter_cancel(&s.waiter);
    assert_ended(&s.waiter, TUG_ECANCELED);
    assert_unlinked(&t);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(who_was_chosen_has_it_though_cancelled)
{
    struct things t;
    struct selecting s;
    tug_group g;
    things_open(&t);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    assert_ok(tug_queue_put(t.in, &items[5]));
    waiter_cancel(&s.waiter);
    assert_ended(&s.waiter, 0);
    assert_ptr_equal(s.cases[FROM_IN].item, &items[5]);
    /* The other way round: the item came after the cancel, and is not lost either. */
    spawn(&g, &s, &t);
    assert_waits(&s.waiter);
    waiter_cancel(&s.waiter);
    assert_ok(tug_queue_put(t.in, &items[6]));
    tug_test_settle();
    size_t held = s.waiter.rc == 0 && s.cases[FROM_IN].item == &items[6] ? 1 : 0;
    assert_int_equal(held + tug_queue_count(t.in), 1);
    assert_ok(tug_group_leave(&g, 0));
    things_close(&t);
}

TASK_TEST(a_deadline_and_a_cancel_on_entry)
{
    struct things t;
    tug_select_case cases[CASES];
    size_t index = SIZE_MAX;
    tug_scope scope;
    things_open(&t);
    make_cases(&t, cases);
    assert_rc(TUG_WITHIN(TUG_MS(7), tug_select(cases, CASES, &index)), TUG_ETIMEDOUT);
    assert_ok(tug_queue_put(t.in, &items[0]));
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_select(cases, CASES, &index), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&scope, 0));
    assert_int_equal(tug_queue_count(t.in), 1);
    assert_int_equal(index, SIZE_MAX);
    things_close(&t);
}

TASK_TEST(many_cases_and_one_thing_twice)
{
    TUG_AUTO(tug_queue) q = NULL;
    tug_select_case cases[40];
    struct waiter w;
    tug_group g;
    size_t index = SIZE_MAX;
    assert_ok(tug_queue_new(1, NULL, &q));
    for (int i = 0; i < 40; i++) {
        cases[i] = tug_select_get(q);
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, q, select_put);
    assert_ok(tug_select(cases, 40, &index)); /* waits: the other one has not run yet */
    assert_ptr_equal(cases[index].item, &items[4]);
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_select(cases, 40, &index)), TUG_ETIMEDOUT);
    assert_ok(tug_queue_put(q, &items[0]));
    assert_int_equal(tug_queue_count(q), 1);
}

TASK_TEST(stores_are_selected_like_plain_queues)
{
    tug_queue *q = NULL;
    tug_queue_options o = TUG_QUEUE_OPTIONS_INIT;
    struct waiter w;
    tug_group g;
    size_t index;
    o.kind = TUG_QUEUE_LIFO;
    o.capacity = 1;
    o.joinable = true;
    assert_ok(tug_queue_new_with(&o, &q));
    tug_select_case get = tug_select_get(q);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, q, select_put);
    assert_ok(tug_select(&get, 1, &index));
    assert_ptr_equal(get.item, &items[4]);
    assert_ok(tug_queue_put(q, &items[0]));
    waiter_spawn(&g, &w, q, select_put);
    assert_waits(&w);
    assert_ok(tug_select(&get, 1, &index));
    assert_ptr_equal(get.item, &items[0]);
    assert_ended(&w, 0);
    assert_ok(tug_select(&get, 1, &index));
    assert_ptr_equal(get.item, &items[4]);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_queue_task_done(q));
    }
    assert_ok(tug_queue_join(q));
    assert_ok(tug_group_leave(&g, 0));
    tug_queue_unref(q);
}

TASK_TEST(what_is_no_case_is_refused)
{
    tug_select_case c = {.kind = 99};
    size_t index;
    assert_rc(tug_select(&c, 0, &index), TUG_EINVAL);
    assert_rc(tug_select(&c, 1, &index), TUG_EINVAL);
    assert_detail_has("case 0");
    c = tug_select_get(NULL);
    assert_rc(tug_select(&c, 1, &index), TUG_EINVAL);
    c = tug_select_future(tug_future_no_memory());
    assert_ok(tug_select(&c, 1, &index));
    assert_int_equal(c.rc, TUG_ENOMEM);
}

TEST(outside_of_tasks_nothing_is_selected)
{
    tug_select_case c = {.kind = TUG_SELECT_GET};
    size_t index;
    assert_rc(tug_select(&c, 1, &index), TUG_EMISUSE);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    QUEUES = 3,
    TASKS = 9,
    TOKENS = 3, /* handed around, so that one that gets lost is missed */
    ROUNDS = 2000
};

struct model {
    tug_queue *q[QUEUES];
    tug_event *stop;
    random_numbers random;
    size_t moved, cancelled;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

/* Puts its token wherever there is room, or gets one where one comes. */
static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    void *token = NULL;
    for (;;) {
        tug_select_case cases[QUEUES + 1];
        size_t index;
        for (int i = 0; i < QUEUES; i++) {
            cases[i] = token != NULL ? tug_select_put(model->q[i], token)
                                     : tug_select_get(model->q[i]);
        }
        cases[QUEUES] = tug_select_event(model->stop);
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        int rc = tug_select(cases, QUEUES + (token == NULL), &index);
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        if (rc == TUG_ECANCELED) {
            model->cancelled++;
        } else if (rc == 0 && index == QUEUES) {
            return 0;
        } else {
            assert_ok(rc);
            assert_int_equal(cases[index].rc, token == NULL);
            token = token == NULL ? cases[index].item : NULL;
            model->moved++;
        }
        for (uint32_t i = random_below(&model->random, 3); i > 0; i--) {
            assert_ok(tug_yield());
        }
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 2) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
    }
}

TASK_TEST(random_selects_and_cancels_lose_no_token)
{
    struct model model = {.random = {8}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_event_new(&model.stop));
    for (int i = 0; i < QUEUES; i++) {
        assert_ok(tug_queue_new(2, NULL, &model.q[i]));
    }
    for (int i = 0; i < TOKENS; i++) {
        assert_ok(tug_queue_put(model.q[i % QUEUES], &items[i]));
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    for (int i = 0; i < test_many(ROUNDS, 200); i++) {
        assert_ok(tug_yield());
    }
    tug_event_set(model.stop);
    assert_ok(tug_group_leave(&g, 0));
    bool seen[TOKENS] = {false};
    for (int i = 0; i < QUEUES; i++) {
        void *item = NULL;
        while (tug_queue_try_next(model.q[i], &item) == 1) {
            assert_false(seen[(int *)item - items]);
            seen[(int *)item - items] = true;
        }
        tug_queue_unref(model.q[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        assert_true(seen[i]);
    }
    assert_true(test_is_tortured() || (model.moved > 500 && model.cancelled > 20));
    tug_event_unref(model.stop);
}
