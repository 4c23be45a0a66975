#include <stdlib.h>
#include <string.h>
#include <tug/queue.h>

#include "sync_rig.h"

/* An item is a job: its urgency, and the number of its put. */
struct job {
    int urgency, number;
};

static struct job jobs[64];
static size_t destroyed;

static int by_urgency(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    return (x->urgency > y->urgency) - (x->urgency < y->urgency);
}

static void destroy(void *item)
{
    (void)item;
    destroyed++;
}

static tug_queue *new_queue(int kind, size_t capacity, bool joinable)
{
    tug_queue *q = NULL;
    tug_queue_options o = TUG_QUEUE_OPTIONS_INIT;
    o.kind = kind;
    o.capacity = capacity;
    o.compare = kind == TUG_QUEUE_PRIORITY ? by_urgency : NULL;
    o.destroy = destroy;
    o.joinable = joinable;
    assert_ok(tug_queue_new_with(&o, &q));
    return q;
}

static struct job *next(tug_queue *q)
{
    void *item = NULL;
    assert_rc(tug_queue_next(q, &item), 1);
    return item;
}

static int put_one(struct waiter *w)
{
    return tug_queue_put(w->on, w->more);
}

static int get_one(struct waiter *w)
{
    return tug_queue_next(w->on, &w->more);
}

static int join(struct waiter *w)
{
    return tug_queue_join(w->on);
}

static void spawn_put(tug_group *g, struct waiter *w, tug_queue *q, struct job *j)
{
    *w = (struct waiter){.on = q, .wait = put_one, .more = j};
    assert_ok(tug_group_spawn(g, waiter_run, w));
}

static const int kinds[] = {TUG_QUEUE_FIFO, TUG_QUEUE_LIFO, TUG_QUEUE_PRIORITY};

/* Each kind as a store: a joinable FIFO is one too. */
#define EACH_KIND(q, capacity)                                                                     \
    for (size_t k = 0; k < 3; k++)                                                                 \
        for (tug_queue *q = new_queue(kinds[k], capacity, true); q != NULL; q = tug_queue_unref(q))

TASK_TEST(wrong_options_are_told)
{
    tug_queue *q = NULL;
    tug_queue_options o = TUG_QUEUE_OPTIONS_INIT;
    o.capacity = 0;
    assert_rc(tug_queue_new_with(&o, &q), TUG_EINVAL);
    o.capacity = 1;
    o.kind = 3;
    assert_rc(tug_queue_new_with(&o, &q), TUG_EINVAL);
    o.kind = TUG_QUEUE_PRIORITY;
    assert_rc(tug_queue_new_with(&o, &q), TUG_EINVAL);
    assert_detail_has("compare");
    o.kind = TUG_QUEUE_LIFO;
    o.compare = by_urgency;
    assert_rc(tug_queue_new_with(&o, &q), TUG_EINVAL);
    o.compare = NULL;
    o.capacity = SIZE_MAX / 8;
    assert_rc(tug_queue_new_with(&o, &q), TUG_ENOMEM);
    assert_null(q);
    assert_ok(tug_queue_new_with(NULL, &q));
    for (int i = 0; i < 64; i++) {
        assert_ok(tug_queue_try_put(q, &jobs[i]));
    }
    assert_rc(tug_queue_try_put(q, &jobs[0]), TUG_ELIMIT);
    assert_ptr_equal(next(q), &jobs[0]);
    tug_queue_unref(q);
}

TASK_TEST(the_latest_comes_first)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_LIFO, 4, false);
    for (int i = 0; i < 4; i++) {
        assert_ok(tug_queue_put(q, &jobs[i]));
    }
    assert_ptr_equal(next(q), &jobs[3]);
    assert_ptr_equal(next(q), &jobs[2]);
    assert_ok(tug_queue_put(q, &jobs[9]));
    assert_ptr_equal(next(q), &jobs[9]);
    assert_ptr_equal(next(q), &jobs[1]);
    assert_int_equal(tug_queue_count(q), 1);
    assert_ptr_equal(next(q), &jobs[0]);
}

TASK_TEST(the_most_urgent_comes_first_and_equals_in_their_order)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_PRIORITY, 64, false);
    random_numbers r = {12};
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) {
            jobs[i] = (struct job){(int)random_below(&r, 6), i};
            assert_ok(tug_queue_put(q, &jobs[i]));
        }
        struct job before = {-1, -1};
        for (int i = 0; i < 64; i++) {
            const struct job *j = next(q);
            assert_true(j->urgency > before.urgency ||
                        (j->urgency == before.urgency && j->number > before.number));
            before = *j;
        }
    }
}

TASK_TEST(a_joinable_fifo_goes_around_its_ring)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_FIFO, 3, true);
    for (int round = 0; round < 5; round++) {
        assert_ok(tug_queue_put(q, &jobs[0]));
        assert_ok(tug_queue_put(q, &jobs[1]));
        assert_ptr_equal(next(q), &jobs[0]);
        assert_ptr_equal(next(q), &jobs[1]);
    }
}

TASK_TEST(full_ones_hold_producers_back_in_order)
{
    EACH_KIND(q, 1)
    {
        struct waiter w[2];
        tug_group g;
        jobs[0] = jobs[1] = jobs[2] = (struct job){0, 0};
        assert_ok(tug_queue_put(q, &jobs[0]));
        assert_rc(tug_queue_try_put(q, &jobs[3]), TUG_ELIMIT);
        assert_detail_has("full (1 items)");
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        spawn_put(&g, &w[0], q, &jobs[1]);
        spawn_put(&g, &w[1], q, &jobs[2]);
        assert_waits(&w[0]);
        assert_ptr_equal(next(q), &jobs[0]);
        assert_rc(tug_queue_try_put(q, &jobs[3]), TUG_ELIMIT); /* its room was given away */
        assert_ended(&w[0], 0);
        assert_waits(&w[1]);
        assert_ptr_equal(next(q), &jobs[1]);
        assert_ok(tug_group_leave(&g, 0));
        assert_ptr_equal(next(q), &jobs[2]);
    }
}

TASK_TEST(waiting_consumers_are_served_in_order_whatever_the_kind)
{
    EACH_KIND(q, 4)
    {
        struct waiter w[2];
        tug_group g;
        void *item = NULL;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        waiter_spawn(&g, &w[0], q, get_one);
        waiter_spawn(&g, &w[1], q, get_one);
        assert_waits(&w[0]);
        assert_ok(tug_queue_put(q, &jobs[5]));
        assert_ok(tug_queue_put(q, &jobs[4]));
        assert_rc(tug_queue_try_next(q, &item), TUG_ENOTFOUND);
        waiter_cancel(&w[0]); /* was chosen: has it */
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(w[0].rc, 1);
        assert_ptr_equal(w[0].more, &jobs[5]);
        assert_ptr_equal(w[1].more, &jobs[4]);
    }
}

TASK_TEST(cancelled_waits_put_and_take_nothing_whatever_the_kind)
{
    EACH_KIND(q, 1)
    {
        struct waiter putter, taker;
        tug_group g;
        tug_scope s;
        void *item = NULL;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        waiter_spawn(&g, &taker, q, get_one);
        assert_waits(&taker);
        waiter_cancel(&taker);
        assert_ok(tug_queue_put(q, &jobs[0]));
        spawn_put(&g, &putter, q, &jobs[1]);
        assert_waits(&putter);
        waiter_cancel(&putter);
        assert_ended(&putter, TUG_ECANCELED);
        assert_ended(&taker, TUG_ECANCELED);
        tug_scope_enter(&s, TUG_FOREVER);
        tug_scope_cancel(&s);
        assert_rc(tug_queue_put(q, &jobs[1]), TUG_ECANCELED);
        assert_rc(tug_queue_next(q, &item), TUG_ECANCELED);
        assert_ok(tug_scope_leave(&s, 0));
        assert_rc(TUG_WITHIN(TUG_MS(1), tug_queue_put(q, &jobs[1])), TUG_ETIMEDOUT);
        assert_int_equal(tug_queue_count(q), 1);
        assert_ptr_equal(next(q), &jobs[0]);
        assert_rc(TUG_WITHIN(TUG_MS(1), tug_queue_next(q, &item)), TUG_ETIMEDOUT);
        assert_ok(tug_group_leave(&g, 0));
    }
}

TASK_TEST(close_drains_whatever_the_kind)
{
    EACH_KIND(q, 1)
    {
        struct waiter w;
        tug_group g;
        void *item = NULL;
        assert_ok(tug_queue_put(q, &jobs[0]));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        spawn_put(&g, &w, q, &jobs[1]);
        assert_waits(&w);
        tug_queue_close(q);
        assert_ended(&w, TUG_ECLOSED);
        assert_rc(tug_queue_put(q, &jobs[1]), TUG_ECLOSED);
        assert_rc(tug_queue_try_put(q, &jobs[1]), TUG_ECLOSED);
        assert_ptr_equal(next(q), &jobs[0]);
        assert_rc(tug_queue_next(q, &item), 0);
        assert_rc(tug_queue_try_next(q, &item), 0);
        assert_ok(tug_group_leave(&g, 0));
    }
}

static void check_close_now(tug_queue *q)
{
    struct waiter w;
    tug_group g;
    void *item = NULL;
    destroyed = 0;
    assert_ok(tug_queue_put(q, &jobs[0]));
    assert_ok(tug_queue_put(q, &jobs[1]));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_put(&g, &w, q, &jobs[2]);
    assert_waits(&w);
    tug_queue_close_now(q);
    assert_int_equal(destroyed, 2);
    assert_int_equal(tug_queue_count(q), 0);
    assert_rc(tug_queue_next(q, &item), 0);
    assert_ended(&w, TUG_ECLOSED);
    tug_queue_close_now(q);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(destroyed, 2);
}

TASK_TEST(close_now_gives_all_to_the_destructor)
{
    tug_queue *plain = NULL;
    assert_ok(tug_queue_new(2, destroy, &plain));
    check_close_now(plain);
    tug_queue_unref(plain);
    EACH_KIND(q, 2)
    {
        check_close_now(q);
    }
}

TASK_TEST(close_now_ends_who_waits_to_get)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_LIFO, 2, false);
    struct waiter w;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, q, get_one);
    assert_waits(&w);
    tug_queue_close_now(q);
    assert_ended(&w, 0);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(what_is_left_goes_to_the_destructor_whatever_the_kind)
{
    for (size_t k = 0; k < 3; k++) {
        tug_queue *q = new_queue(kinds[k], 4, true);
        destroyed = 0;
        for (int i = 0; i < 3; i++) {
            assert_ok(tug_queue_put(q, &jobs[i]));
        }
        tug_queue_ref(q);
        assert_null(tug_queue_unref(q));
        assert_int_equal(destroyed, 0);
        assert_null(tug_queue_unref(q));
        assert_int_equal(destroyed, 3);
    }
}

/* --- join ------------------------------------------------------------------------------------ */

TASK_TEST(join_waits_until_all_is_done)
{
    EACH_KIND(q, 4)
    {
        struct waiter w[2];
        tug_group g;
        assert_ok(tug_queue_join(q)); /* there is no work */
        assert_ok(tug_queue_put(q, &jobs[0]));
        assert_ok(tug_queue_put(q, &jobs[1]));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        waiter_spawn(&g, &w[0], q, join);
        waiter_spawn(&g, &w[1], q, join);
        assert_waits(&w[0]);
        next(q);
        next(q);
        assert_waits(&w[0]); /* got is not done */
        assert_ok(tug_queue_task_done(q));
        assert_waits(&w[1]);
        waiter_cancel(&w[1]);
        assert_ended(&w[1], TUG_ECANCELED);
        assert_ok(tug_queue_task_done(q));
        assert_ended(&w[0], 0);
        assert_ok(tug_group_leave(&g, 0));
    }
}

TASK_TEST(work_that_nobody_has_is_not_done)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_FIFO, 4, true);
    assert_rc(tug_queue_task_done(q), TUG_EMISUSE);
    assert_ok(tug_queue_put(q, &jobs[0]));
    assert_rc(tug_queue_task_done(q), TUG_EMISUSE); /* it is inside */
    assert_detail_has("nobody has");
    next(q);
    assert_ok(tug_queue_task_done(q));
    assert_rc(tug_queue_task_done(q), TUG_EMISUSE);
}

TASK_TEST(what_does_not_count_cannot_be_joined)
{
    TUG_AUTO(tug_queue) plain = NULL;
    TUG_AUTO(tug_queue) lifo = new_queue(TUG_QUEUE_LIFO, 4, false);
    assert_ok(tug_queue_new(1, NULL, &plain));
    assert_rc(tug_queue_join(plain), TUG_EMISUSE);
    assert_detail_has("joinable");
    assert_rc(tug_queue_task_done(plain), TUG_EMISUSE);
    assert_rc(tug_queue_join(lifo), TUG_EMISUSE);
    assert_rc(tug_queue_task_done(lifo), TUG_EMISUSE);
}

TASK_TEST(a_deadline_on_join_and_a_cancel_on_entry)
{
    TUG_AUTO(tug_queue) q = new_queue(TUG_QUEUE_FIFO, 4, true);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_queue_join(q), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
    assert_ok(tug_queue_put(q, &jobs[0]));
    assert_rc(TUG_WITHIN(TUG_MS(3), tug_queue_join(q)), TUG_ETIMEDOUT);
}

TASK_TEST(who_joins_a_queue_that_goes_is_told)
{
    tug_queue *q = new_queue(TUG_QUEUE_FIFO, 4, true);
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_queue_put(q, &jobs[0]));
    next(q);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], q, join);
    assert_waits(&w[0]);
    tug_queue_unref(q);
    assert_ended(&w[0], TUG_ECLOSED);
    q = new_queue(TUG_QUEUE_FIFO, 4, true);
    assert_ok(tug_queue_put(q, &jobs[0]));
    waiter_spawn(&g, &w[1], q, join);
    assert_waits(&w[1]);
    tug_queue_close_now(q); /* counts as done */
    assert_ended(&w[1], 0);
    tug_queue_unref(q);
    assert_ok(tug_group_leave(&g, 0));
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    CAPACITY = 5,
    PRODUCERS = 4,
    CONSUMERS = 4,
    EACH = 400
};

struct model {
    tug_queue *q;
    random_numbers random;
    int put, got, cancelled, producing;
    bool seen[PRODUCERS * EACH];
    struct job all[PRODUCERS * EACH];
    tug_scope scopes[PRODUCERS + CONSUMERS];
    bool entered[PRODUCERS + CONSUMERS];
};

struct member {
    struct model *of;
    int index;
};

static void cancel_somebody(struct model *model)
{
    int victim = (int)random_below(&model->random, PRODUCERS + CONSUMERS);
    if (model->entered[victim]) {
        tug_scope_cancel(&model->scopes[victim]);
    }
    if (random_below(&model->random, 5) == 0) {
        assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 3))));
    }
}

static int guarded(struct member *me, void *to_put, void **ret_item)
{
    struct model *model = me->of;
    tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
    model->entered[me->index] = true;
    int rc = ret_item == NULL ? tug_queue_put(model->q, to_put)
                              : tug_queue_next(model->q, ret_item);
    model->entered[me->index] = false;
    TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
    model->cancelled += rc == TUG_ECANCELED;
    assert_true(rc >= 0 || rc == TUG_ECANCELED);
    assert_false(tug_is_cancelled()); /* else it would go round for ever */
    assert_true(tug_queue_count(model->q) <= CAPACITY);
    return rc;
}

static int produce(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    for (int i = 0; i < EACH;) {
        int number = me->index * EACH + i;
        model->all[number] = (struct job){(int)random_below(&model->random, 5), number};
        if (guarded(me, &model->all[number], NULL) == 0) {
            model->put++;
            i++;
        }
        cancel_somebody(model);
    }
    if (--model->producing == 0) {
        tug_queue_close(model->q);
    }
    return 0;
}

static int consume(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    int rc;
    do {
        void *item = NULL;
        rc = guarded(me, NULL, &item);
        if (rc == 1) {
            const struct job *j = item;
            assert_false(model->seen[j->number]);
            model->seen[j->number] = true;
            model->got++;
            cancel_somebody(model);
            assert_ok(tug_queue_task_done(model->q));
        }
    } while (rc != 0);
    return 0;
}

TASK_TEST(random_puts_gets_and_cancels_lose_nothing)
{
    static struct model model;
    for (size_t k = 0; k < 3; k++) {
        struct member members[PRODUCERS + CONSUMERS];
        struct waiter joiner;
        tug_group g;
        model = (struct model){.random = {2024 + k}, .producing = PRODUCERS};
        model.q = new_queue(kinds[k], CAPACITY, true);
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
            members[i] = (struct member){&model, i};
            assert_ok(tug_group_spawn(&g, i < PRODUCERS ? produce : consume, &members[i]));
        }
        tug_test_settle();
        waiter_spawn(&g, &joiner, model.q, join);
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(model.put, PRODUCERS * EACH);
        assert_int_equal(model.got, PRODUCERS * EACH);
        assert_int_equal(joiner.rc, 0);
        assert_true(model.cancelled > 100);
        tug_queue_unref(model.q);
    }
}
