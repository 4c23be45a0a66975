#include <string.h>
#include <tug/broadcast.h>

#include "sync_rig.h"

static tug_buffer *number(uint64_t n)
{
    tug_buffer *b = NULL;
    assert_ok(tug_buffer_new(&n, sizeof n, &b));
    return b;
}

static uint64_t number_of(const tug_buffer *b)
{
    uint64_t n;
    assert_int_equal(tug_buffer_bytes(b).size, sizeof n);
    memcpy(&n, tug_buffer_bytes(b).data, sizeof n);
    return n;
}

static void send(tug_broadcast *b, uint64_t n)
{
    TUG_AUTO(tug_buffer) value = number(n);
    tug_broadcast_send(b, value);
}

static void expect(tug_subscriber *s, uint64_t n, uint64_t lost)
{
    TUG_AUTO(tug_buffer) value = NULL;
    uint64_t missed = UINT64_MAX;
    assert_rc(tug_subscriber_next(s, &value, &missed), 1);
    assert_int_equal(number_of(value), n);
    assert_int_equal(missed, lost);
}

static int get_one(struct waiter *w)
{
    tug_buffer *value = NULL;
    int rc = tug_subscriber_next(w->on, &value, NULL);
    w->more = (void *)(uintptr_t)(rc == 1 ? number_of(value) : 0);
    tug_buffer_unref(value);
    return rc;
}

static uint64_t got(const struct waiter *w)
{
    return (uint64_t)(uintptr_t)w->more;
}

TASK_TEST(each_subscriber_gets_each_message)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    TUG_AUTO(tug_subscriber) one = NULL;
    TUG_AUTO(tug_subscriber) two = NULL;
    assert_ok(tug_broadcast_new(4, &b));
    send(b, 1); /* nobody hears it */
    assert_ok(tug_subscriber_open(b, &one));
    send(b, 2);
    assert_ok(tug_subscriber_open(b, &two));
    assert_int_equal(tug_broadcast_subscribers(b), 2);
    send(b, 3);
    expect(one, 2, 0);
    expect(one, 3, 0);
    expect(two, 3, 0);
    for (uint64_t i = 4; i < 300; i++) {
        send(b, i);
        expect(one, i, 0);
        expect(two, i, 0);
    }
}

TASK_TEST(a_slow_one_loses_the_oldest_and_is_told)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    TUG_AUTO(tug_subscriber) fast = NULL;
    TUG_AUTO(tug_subscriber) slow = NULL;
    assert_ok(tug_broadcast_new(3, &b));
    assert_ok(tug_subscriber_open(b, &fast));
    assert_ok(tug_subscriber_open(b, &slow));
    for (uint64_t i = 1; i <= 10; i++) {
        send(b, i);
        expect(fast, i, 0);
    }
    expect(slow, 8, 7);
    expect(slow, 9, 0);
    send(b, 11);
    send(b, 12);
    send(b, 13);
    expect(slow, 11, 1);
    expect(slow, 12, 0);
    expect(slow, 13, 0);
    expect(fast, 11, 0);
}

TASK_TEST(what_all_have_got_or_missed_is_released)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    tug_subscriber *one = NULL, *two = NULL;
    assert_ok(tug_broadcast_new(2, &b));
    assert_ok(tug_subscriber_open(b, &one));
    assert_ok(tug_subscriber_open(b, &two));
    size_t before = tug_test_live_allocations();
    for (uint64_t i = 1; i <= 5; i++) {
        send(b, i);
    }
    assert_int_equal(tug_test_live_allocations(), before + 2);
    expect(one, 4, 3);
    assert_int_equal(tug_test_live_allocations(), before + 2);
    expect(two, 4, 3);
    assert_int_equal(tug_test_live_allocations(), before + 1);
    tug_subscriber_close(one); /* had not got the last one */
    assert_int_equal(tug_test_live_allocations(), before - 1 + 1);
    tug_subscriber_close(two);
    assert_int_equal(tug_test_live_allocations(), before - 2);
    send(b, 6);
    assert_int_equal(tug_test_live_allocations(), before - 2);
}

TASK_TEST(who_waits_is_woken)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    tug_subscriber *s[3];
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_broadcast_new(1, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_subscriber_open(b, &s[i]));
        waiter_spawn(&g, &w[i], s[i], get_one);
    }
    assert_waits(&w[0]);
    send(b, 9);
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].rc, 1);
        assert_int_equal(got(&w[i]), 9);
        tug_subscriber_close(s[i]);
    }
}

TASK_TEST(two_tasks_may_share_a_subscriber)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    TUG_AUTO(tug_subscriber) s = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_broadcast_new(4, &b));
    assert_ok(tug_subscriber_open(b, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], s, get_one);
    waiter_spawn(&g, &w[1], s, get_one);
    assert_waits(&w[0]);
    send(b, 1);
    tug_test_settle();
    assert_int_equal(w[0].has_ended + w[1].has_ended, 1);
    send(b, 2);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(got(&w[0]) + got(&w[1]), 3);
}

TASK_TEST(a_cancelled_wait_loses_nothing)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    TUG_AUTO(tug_subscriber) s = NULL;
    struct waiter w;
    tug_group g;
    tug_scope scope;
    tug_buffer *value = NULL;
    assert_ok(tug_broadcast_new(4, &b));
    assert_ok(tug_subscriber_open(b, &s));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, s, get_one);
    assert_waits(&w);
    waiter_cancel(&w);
    send(b, 1);
    assert_ended(&w, TUG_ECANCELED);
    expect(s, 1, 0);
    waiter_spawn(&g, &w, s, get_one);
    assert_waits(&w);
    send(b, 2);
    waiter_cancel(&w); /* was woken: has it */
    assert_ended(&w, 1);
    assert_int_equal(got(&w), 2);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_subscriber_next(s, &value, NULL)), TUG_ETIMEDOUT);
    send(b, 3);
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_subscriber_next(s, &value, NULL), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&scope, 0));
    assert_null(value);
    expect(s, 3, 0);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(close_drains_and_then_ends)
{
    TUG_AUTO(tug_broadcast) b = NULL;
    TUG_AUTO(tug_subscriber) s = NULL;
    TUG_AUTO(tug_subscriber) late = NULL;
    TUG_AUTO(tug_subscriber) idle = NULL;
    struct waiter w;
    tug_group g;
    tug_buffer *value = NULL;
    assert_ok(tug_broadcast_new(4, &b));
    assert_ok(tug_subscriber_open(b, &s));
    assert_ok(tug_subscriber_open(b, &idle));
    send(b, 1);
    expect(idle, 1, 0);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, idle, get_one);
    assert_waits(&w);
    tug_broadcast_close(b);
    tug_broadcast_close(b);
    send(b, 2); /* is nothing */
    assert_ended(&w, 0);
    expect(s, 1, 0);
    assert_rc(tug_subscriber_next(s, &value, NULL), 0);
    assert_rc(tug_subscriber_next(s, &value, NULL), 0);
    assert_rc(tug_subscriber_open(b, &late), TUG_ECLOSED);
    assert_null(late);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_broadcast_may_go_before_its_subscribers)
{
    tug_broadcast *b = NULL;
    TUG_AUTO(tug_subscriber) s = NULL;
    TUG_AUTO(tug_subscriber) waiting = NULL;
    struct waiter w;
    tug_group g;
    tug_buffer *value = NULL;
    assert_ok(tug_broadcast_new(4, &b));
    assert_ok(tug_subscriber_open(b, &s));
    assert_ok(tug_subscriber_open(b, &waiting));
    send(b, 1);
    expect(waiting, 1, 0);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, waiting, get_one);
    assert_waits(&w);
    tug_broadcast_ref(b);
    assert_null(tug_broadcast_unref(b));
    assert_waits(&w);
    assert_null(tug_broadcast_unref(b));
    assert_null(tug_broadcast_unref(NULL));
    assert_ended(&w, 0);
    expect(s, 1, 0);
    assert_rc(tug_subscriber_next(s, &value, NULL), 0);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_subscriber_may_go_while_a_task_waits_in_it)
{
    tug_broadcast *b = NULL;
    tug_subscriber *s = NULL, *other = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_broadcast_new(4, &b));
    assert_ok(tug_subscriber_open(b, &s));
    assert_ok(tug_subscriber_open(b, &other));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], s, get_one);
    waiter_spawn(&g, &w[1], s, get_one);
    waiter_spawn(&g, &w[2], other, get_one);
    assert_waits(&w[0]);
    waiter_cancel(&w[1]);
    tug_subscriber_close(s);
    tug_subscriber_close(NULL);
    assert_ended(&w[0], TUG_ECLOSED);
    assert_ended(&w[1], TUG_ECANCELED);
    assert_waits(&w[2]); /* no business of its own */
    send(b, 5);
    assert_ended(&w[2], 1);
    assert_ok(tug_group_leave(&g, 0));
    tug_broadcast_unref(b);
    tug_subscriber_close(other);
}

TEST(bad_capacities_and_callers_are_refused)
{
    tug_broadcast *b = NULL;
    tug_subscriber *s = NULL;
    tug_buffer *value = NULL;
    assert_rc(tug_broadcast_new(0, &b), TUG_EINVAL);
    assert_rc(tug_broadcast_new(SIZE_MAX, &b), TUG_EINVAL);
    assert_ok(tug_broadcast_new(1, &b));
    tug_broadcast_send(b, NULL);
    assert_ok(tug_subscriber_open(b, &s));
    assert_rc(tug_subscriber_next(s, &value, NULL), TUG_EMISUSE);
    tug_subscriber_close(s);
    tug_broadcast_unref(b);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 6
};
#define MESSAGES ((uint64_t)test_many(3000, 200))

struct model {
    tug_broadcast *b;
    random_numbers random;
    uint64_t lost, cancelled, got;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

/* Subscribes, listens for a while or to the end, and again. What it gets and what it is told to have lost
 * make up all the messages in between. */
static int listen_for_a_while(struct member *me)
{
    struct model *model = me->of;
    TUG_AUTO(tug_subscriber) s = NULL;
    uint64_t expected = 0;
    int rc = tug_subscriber_open(model->b, &s);
    for (uint32_t i = random_below(&model->random, 400); rc >= 0 && i > 0; i--) {
        TUG_AUTO(tug_buffer) value = NULL;
        uint64_t lost = 0;
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        rc = tug_subscriber_next(s, &value, &lost);
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        if (rc == 1) {
            uint64_t n = number_of(value);
            assert_true(expected == 0 ? lost <= n : n == expected + lost);
            expected = n + 1;
            model->lost += lost;
            model->got++;
        } else if (rc == TUG_ECANCELED) {
            model->cancelled++;
            rc = 1;
        } else {
            return rc;
        }
        if (random_below(&model->random, 24) == 0) {
            assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 30))));
        }
    }
    return rc;
}

static int member_run(void *arg)
{
    int rc;
    while ((rc = listen_for_a_while(arg)) > 0) {
    }
    assert_true(rc == 0 || rc == TUG_ECLOSED);
    return 0;
}

TASK_TEST(random_listeners_miss_nothing_unnoticed)
{
    struct model model = {.random = {77}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_broadcast_new(8, &model.b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        send(model.b, i);
        assert_ok(tug_sleep(TUG_MS(random_below(&model.random, 3))));
        int victim = (int)random_below(&model.random, TASKS);
        if (random_below(&model.random, 2) == 0 && model.entered[victim]) {
            tug_scope_cancel(&model.scopes[victim]);
        }
    }
    tug_broadcast_close(model.b);
    assert_ok(tug_group_leave(&g, 0));
    assert_true(test_is_tortured() ||
                (model.lost > 100 && model.cancelled > 100 && model.got > 5000));
    assert_int_equal(tug_broadcast_subscribers(model.b), 0);
    tug_broadcast_unref(model.b);
}

TASK_TEST(nothing_is_closed_as_well)
{
    tug_broadcast_close(NULL);
    tug_broadcast_unref(NULL);
    tug_subscriber_close(NULL);
}
