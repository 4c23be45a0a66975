#include <string.h>
#include <tug/group.h>
#include <tug/queue.h>

#include "test.h"

struct worker {
    tug_queue *q;
    void *item;
    tug_scope scope;
    int rc;
    bool has_ended;
};

static int items[16];
static size_t destroyed;

static void destroy(void *item)
{
    (void)item;
    destroyed++;
}

static int put_one(void *arg)
{
    struct worker *w = arg;
    tug_scope_enter(&w->scope, TUG_FOREVER);
    w->rc = tug_queue_put(w->q, w->item);
    w->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&w->scope, 0));
    return 0;
}

static int get_one(void *arg)
{
    struct worker *w = arg;
    tug_scope_enter(&w->scope, TUG_FOREVER);
    w->rc = tug_queue_next(w->q, &w->item);
    w->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&w->scope, 0));
    return 0;
}

/* Nothing happens to one that has ended: its scope has been left. */
static void cancel(struct worker *w)
{
    if (!w->has_ended) {
        tug_scope_cancel(&w->scope);
    }
}

static void spawn(tug_group *g, struct worker *w, tug_queue *q, void *item, tug_task_fn fn)
{
    *w = (struct worker){.q = q, .item = item};
    assert_ok(tug_group_spawn(g, fn, w));
}

static void *next(tug_queue *q)
{
    void *item = NULL;
    assert_rc(tug_queue_next(q, &item), 1);
    return item;
}

TASK_TEST(first_in_first_out_around_the_ring)
{
    TUG_AUTO(tug_queue) q = NULL;
    assert_ok(tug_queue_new(3, NULL, &q));
    for (int round = 0; round < 5; round++) {
        assert_ok(tug_queue_put(q, &items[0]));
        assert_ok(tug_queue_put(q, &items[1]));
        assert_int_equal(tug_queue_count(q), 2);
        assert_ptr_equal(next(q), &items[0]);
        assert_ptr_equal(next(q), &items[1]);
    }
    assert_int_equal(tug_queue_count(q), 0);
}

TASK_TEST(try_forms_do_not_wait)
{
    TUG_AUTO(tug_queue) q = NULL;
    void *item = NULL;
    assert_ok(tug_queue_new(1, NULL, &q));
    assert_rc(tug_queue_try_next(q, &item), TUG_ENOTFOUND);
    assert_ok(tug_queue_try_put(q, &items[1]));
    assert_rc(tug_queue_try_put(q, &items[2]), TUG_ELIMIT);
    assert_detail_has("full");
    assert_rc(tug_queue_try_next(q, &item), 1);
    assert_ptr_equal(item, &items[1]);
    tug_queue_close(q);
    assert_rc(tug_queue_try_put(q, &items[2]), TUG_ECLOSED);
    assert_rc(tug_queue_try_next(q, &item), 0);
}

TASK_TEST(null_is_an_item_like_any_other)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker w;
    tug_group g;
    void *item = &items[0];
    assert_ok(tug_queue_new(1, NULL, &q));
    assert_ok(tug_queue_put(q, NULL));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, q, NULL, put_one);
    tug_test_settle();
    assert_false(w.has_ended);
    assert_rc(tug_queue_next(q, &item), 1);
    assert_null(item);
    assert_rc(tug_queue_next(q, &item), 1);
    assert_null(item);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_full_queue_holds_producers_back_in_order)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker w[3];
    tug_group g;
    assert_ok(tug_queue_new(2, NULL, &q));
    assert_ok(tug_queue_put(q, &items[0]));
    assert_ok(tug_queue_put(q, &items[1]));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        spawn(&g, &w[i], q, &items[2 + i], put_one);
    }
    tug_test_settle();
    for (int i = 0; i < 3; i++) {
        assert_false(w[i].has_ended);
    }
    assert_ptr_equal(next(q), &items[0]);
    /* The room was given to the one who waited: a newcomer finds none. */
    assert_rc(tug_queue_try_put(q, &items[9]), TUG_ELIMIT);
    for (int i = 1; i < 5; i++) {
        assert_ptr_equal(next(q), &items[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].rc, 0);
    }
}

TASK_TEST(waiting_consumers_are_served_in_order)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker w[3];
    tug_group g;
    void *item = NULL;
    assert_ok(tug_queue_new(8, NULL, &q));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        spawn(&g, &w[i], q, NULL, get_one);
    }
    tug_test_settle();
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_queue_put(q, &items[i]));
        /* Handed over: nothing lies about for others. */
        assert_rc(tug_queue_try_next(q, &item), TUG_ENOTFOUND);
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].rc, 1);
        assert_ptr_equal(w[i].item, &items[i]);
    }
}

TASK_TEST(a_chosen_consumer_gets_its_item_though_cancelled)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker w;
    tug_group g;
    assert_ok(tug_queue_new(1, NULL, &q));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, q, NULL, get_one);
    tug_test_settle();
    assert_ok(tug_queue_put(q, &items[0]));
    cancel(&w);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 1);
    assert_ptr_equal(w.item, &items[0]);
}

TASK_TEST(a_chosen_producer_has_put_though_cancelled)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker w;
    tug_group g;
    assert_ok(tug_queue_new(1, NULL, &q));
    assert_ok(tug_queue_put(q, &items[0]));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, q, &items[1], put_one);
    tug_test_settle();
    assert_ptr_equal(next(q), &items[0]);
    cancel(&w);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 0);
    assert_ptr_equal(next(q), &items[1]);
}

TASK_TEST(cancelled_waits_put_and_take_nothing)
{
    TUG_AUTO(tug_queue) q = NULL;
    struct worker putter, taker;
    tug_group g;
    assert_ok(tug_queue_new(1, destroy, &q));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &taker, q, NULL, get_one);
    tug_test_settle();
    cancel(&taker);
    assert_ok(tug_queue_put(q, &items[0]));
    spawn(&g, &putter, q, &items[1], put_one);
    tug_test_settle();
    cancel(&putter);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(taker.rc, TUG_ECANCELED);
    assert_null(taker.item);
    assert_int_equal(putter.rc, TUG_ECANCELED);
    assert_int_equal(tug_queue_count(q), 1);
    assert_ptr_equal(next(q), &items[0]);
    assert_int_equal(destroyed, 0);
}

TASK_TEST(a_cancel_on_entry_beats_room_and_items)
{
    TUG_AUTO(tug_queue) q = NULL;
    tug_scope s;
    void *item = NULL;
    assert_ok(tug_queue_new(2, NULL, &q));
    assert_ok(tug_queue_put(q, &items[0]));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_queue_put(q, &items[1]), TUG_ECANCELED);
    assert_rc(tug_queue_next(q, &item), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    assert_int_equal(tug_queue_count(q), 1);
    assert_null(item);
}

TASK_TEST(close_drains)
{
    TUG_AUTO(tug_queue) q = NULL;
    void *item = NULL;
    assert_ok(tug_queue_new(2, destroy, &q));
    assert_ok(tug_queue_put(q, &items[0]));
    tug_queue_close(q);
    tug_queue_close(q);
    assert_rc(tug_queue_put(q, &items[1]), TUG_ECLOSED);
    assert_ptr_equal(next(q), &items[0]);
    assert_rc(tug_queue_next(q, &item), 0);
    assert_rc(tug_queue_next(q, &item), 0);
    assert_int_equal(destroyed, 0);
}

TASK_TEST(close_wakes_both_sides)
{
    TUG_AUTO(tug_queue) full = NULL;
    TUG_AUTO(tug_queue) empty = NULL;
    struct worker putter, taker;
    tug_group g;
    assert_ok(tug_queue_new(1, NULL, &full));
    assert_ok(tug_queue_new(1, NULL, &empty));
    assert_ok(tug_queue_put(full, &items[0]));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &putter, full, &items[1], put_one);
    spawn(&g, &taker, empty, NULL, get_one);
    tug_test_settle();
    tug_queue_close(full);
    tug_queue_close(empty);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(putter.rc, TUG_ECLOSED);
    assert_int_equal(taker.rc, 0);
    assert_ptr_equal(next(full), &items[0]);
}

TASK_TEST(what_is_left_goes_to_the_destructor)
{
    tug_queue *q = NULL;
    assert_ok(tug_queue_new(4, destroy, &q));
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_queue_put(q, &items[i]));
    }
    next(q);
    tug_queue_ref(q);
    tug_queue_unref(q);
    assert_int_equal(destroyed, 0);
    assert_null(tug_queue_unref(q));
    assert_int_equal(destroyed, 2);
}

TASK_TEST(a_queue_that_goes_wakes_its_waiters)
{
    tug_queue *q = NULL;
    struct worker w;
    tug_group g;
    assert_ok(tug_queue_new(1, destroy, &q));
    assert_ok(tug_queue_put(q, &items[0]));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &w, q, &items[1], put_one);
    tug_test_settle();
    tug_queue_unref(q);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, TUG_ECLOSED);
    assert_int_equal(destroyed, 1);
}

TEST(bad_capacities_are_refused)
{
    tug_queue *q = NULL;
    assert_rc(tug_queue_new(0, NULL, &q), TUG_EINVAL);
    assert_rc(tug_queue_new(SIZE_MAX, NULL, &q), TUG_ENOMEM);
    assert_rc(tug_queue_new(SIZE_MAX / 8, NULL, &q), TUG_ENOMEM);
    assert_null(q);
}

static int produce(void *arg)
{
    tug_queue *q = arg;
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        rc = tug_queue_put(q, &items[i % 16]);
    }
    return rc;
}

static int consume(void *arg)
{
    void **pair = arg;
    void *item;
    int rc;
    while ((rc = tug_queue_next(pair[0], &item)) == 1) {
        (*(int *)pair[1])++;
    }
    return rc;
}

TASK_TEST(many_producers_and_consumers_lose_nothing)
{
    TUG_AUTO(tug_queue) q = NULL;
    int counts[3] = {0};
    void *pairs[3][2];
    tug_group consumers, producers;
    assert_ok(tug_queue_new(5, NULL, &q));
    tug_group_enter(&consumers, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        pairs[i][0] = q;
        pairs[i][1] = &counts[i];
        assert_ok(tug_group_spawn(&consumers, consume, pairs[i]));
    }
    tug_group_enter(&producers, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        assert_ok(tug_group_spawn(&producers, produce, q));
    }
    assert_ok(tug_group_leave(&producers, 0));
    tug_queue_close(q);
    assert_ok(tug_group_leave(&consumers, 0));
    assert_int_equal(counts[0] + counts[1] + counts[2], 4000);
    assert_true(counts[0] > 0 && counts[1] > 0 && counts[2] > 0);
}

TASK_TEST(nothing_is_closed_as_well)
{
    tug_queue_close(NULL);
    tug_queue_close_now(NULL);
    tug_queue_unref(NULL);
}
