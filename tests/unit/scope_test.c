#include <string.h>
#include <tug/group.h>

#include "test.h"

TASK_TEST(within_turns_the_cut_wait_into_timedout)
{
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(250), tug_sleep(TUG_SECONDS(10))), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(250));
    assert_int_equal(tug_last_error()->code, TUG_ETIMEDOUT);
    assert_ok(TUG_WITHIN(TUG_MS(250), tug_sleep(TUG_MS(100))));
    assert_ok(tug_sleep(TUG_MS(1)));
}

TASK_TEST(within_nests_and_the_nearest_deadline_wins)
{
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_SECONDS(5), TUG_WITHIN(TUG_MS(20), tug_sleep(TUG_SECONDS(10)))),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(20));
    /* The outer one expires inside the inner one: the inner leave passes CANCELED on. */
    tug_scope outer, inner;
    tug_scope_enter(&outer, TUG_MS(10));
    tug_scope_enter(&inner, TUG_SECONDS(1));
    int rc = tug_scope_leave(&inner, tug_sleep(TUG_SECONDS(10)));
    assert_rc(rc, TUG_ECANCELED);
    assert_rc(tug_scope_leave(&outer, rc), TUG_ETIMEDOUT);
}

TASK_TEST(cancelled_is_a_level_not_an_edge)
{
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    assert_false(tug_is_cancelled());
    tug_scope_cancel(&s);
    assert_true(tug_is_cancelled());
    for (int i = 0; i < 3; i++) {
        assert_rc(tug_sleep(TUG_MS(1)), TUG_ECANCELED);
        assert_rc(tug_yield(), TUG_ECANCELED);
    }
    assert_true(tug_scope_is_cancelled(&s));
    assert_false(tug_scope_is_expired(&s));
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    assert_false(tug_is_cancelled());
    assert_ok(tug_yield());
}

static int stay_until(void *arg)
{
    tug_scope *s = arg;
    tug_scope_enter(s, TUG_FOREVER);
    return tug_scope_leave(s, tug_yield());
}

TASK_TEST(a_scope_that_has_been_left_is_cancelled_in_vain)
{
    tug_scope s;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, stay_until, &s));
    assert_ok(tug_group_leave(&g, 0));
    /* Its task has ended; this one's stack may be the same. */
    tug_scope_cancel(&s);
    tug_scope_cancel_why(&s, "too late");
    tug_scope_set_deadline(&s, tug_now() - 1);
    tug_group_cancel(&g);
    tug_group_cancel_why(&g, "too late");
    assert_false(tug_scope_is_cancelled(&s));
    assert_false(tug_scope_is_expired(&s));
    assert_ok(tug_yield());
    assert_int_equal(tug_time_left(), TUG_FOREVER);
}

TASK_TEST(results_other_than_canceled_pass_through_an_expired_scope)
{
    tug_scope s;
    tug_scope_enter(&s, TUG_MS(1));
    assert_rc(tug_sleep(TUG_SECONDS(1)), TUG_ECANCELED);
    assert_true(tug_scope_is_expired(&s));
    assert_ok(tug_scope_leave(&s, 0));
    tug_scope_enter(&s, 0);
    assert_rc(tug_sleep(0), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, TUG_ENOTFOUND), TUG_ENOTFOUND);
}

TASK_TEST(the_text_of_the_detail_survives_the_leave)
{
    tug_scope s;
    tug_scope_enter(&s, TUG_MS(1));
    assert_rc(tug_sleep(TUG_SECONDS(1)), TUG_ECANCELED);
    tug_fail(TUG_ECANCELED, "acquire: 8 of 8 busy");
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ETIMEDOUT);
    assert_detail_has("8 of 8 busy");
    assert_int_equal(tug_last_error()->code, TUG_ETIMEDOUT);
}

TASK_TEST(a_deadline_can_be_moved)
{
    tug_scope s;
    tug_time before = tug_now();
    tug_scope_enter_at(&s, before + TUG_MS(10));
    assert_int_equal(tug_time_left(), TUG_MS(10));
    tug_scope_set_deadline(&s, before + TUG_MS(500));
    assert_ok(tug_sleep(TUG_MS(100)));
    tug_scope_set_deadline(&s, tug_now());
    assert_rc(tug_sleep(TUG_MS(100)), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(100));
}

TASK_TEST(time_left_is_that_of_the_nearest)
{
    assert_int_equal(tug_time_left(), TUG_FOREVER);
    tug_scope a, b;
    tug_scope_enter(&a, TUG_MS(100));
    tug_scope_enter(&b, TUG_SECONDS(5));
    assert_int_equal(tug_time_left(), TUG_MS(100));
    assert_ok(tug_sleep(TUG_MS(30)));
    assert_int_equal(tug_time_left(), TUG_MS(70));
    assert_ok(tug_scope_leave(&b, 0));
    assert_ok(tug_scope_leave(&a, 0));
    assert_int_equal(tug_time_left(), TUG_FOREVER);
}

TASK_TEST(a_shield_holds_a_cancel_back_for_its_grace)
{
    tug_scope outer, shield;
    tug_scope_enter(&outer, TUG_MS(10));
    tug_shield_enter(&shield, TUG_MS(100));
    tug_time before = tug_now();
    assert_ok(tug_sleep(TUG_MS(50))); /* the cancel comes at 10, the grace ends at 110 */
    assert_rc(tug_sleep(TUG_SECONDS(1)), TUG_ECANCELED);
    assert_int_equal(tug_now() - before, TUG_MS(110));
    assert_rc(tug_scope_leave(&shield, TUG_ECANCELED), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&outer, TUG_ECANCELED), TUG_ETIMEDOUT);
}

TASK_TEST(a_shield_entered_late_has_its_whole_grace)
{
    tug_scope outer, shield;
    tug_scope_enter(&outer, TUG_FOREVER);
    tug_scope_cancel(&outer);
    assert_rc(tug_sleep(TUG_MS(1)), TUG_ECANCELED);
    tug_shield_enter(&shield, TUG_MS(100));
    tug_time before = tug_now();
    assert_ok(tug_sleep(TUG_MS(60)));
    assert_rc(tug_sleep(TUG_MS(60)), TUG_ECANCELED);
    assert_int_equal(tug_now() - before, TUG_MS(100));
    assert_rc(tug_scope_leave(&shield, TUG_ECANCELED), TUG_ECANCELED);
    assert_rc(tug_sleep(TUG_MS(1)), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&outer, TUG_ECANCELED), TUG_ECANCELED);
}

TASK_TEST(a_scope_inside_a_shield_still_expires)
{
    tug_scope shield;
    tug_shield_enter(&shield, TUG_FOREVER);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_sleep(TUG_SECONDS(1))), TUG_ETIMEDOUT);
    assert_ok(tug_scope_leave(&shield, 0));
}

static int shielded_child(void *arg)
{
    tug_scope shield;
    tug_shield_enter(&shield, TUG_SECONDS(1));
    int rc = tug_sleep(TUG_MS(300));
    *(bool *)arg = rc == 0;
    rc = tug_scope_leave(&shield, rc);
    assert_rc(tug_sleep(TUG_MS(1)), TUG_ECANCELED);
    return rc;
}

TASK_TEST(a_cancel_from_outside_reaches_behind_a_childs_shield_late)
{
    bool finished = false;
    tug_group g;
    tug_group_enter(&g, TUG_MS(10), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, shielded_child, &finished));
    tug_time before = tug_now();
    assert_ok(tug_group_leave(&g, 0)); /* the child was not cut short: it came to its own end */
    assert_true(finished);
    assert_int_equal(tug_now() - before, TUG_MS(300));
}

static int grandchild(void *arg)
{
    int rc = tug_sleep(TUG_SECONDS(100));
    ++*(int *)arg;
    return rc;
}

static int child_with_group(void *arg)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, grandchild, arg));
    }
    return tug_group_leave(&g, 0);
}

TASK_TEST(a_deadline_reaches_grandchildren)
{
    int cut = 0;
    tug_group g;
    tug_group_enter(&g, TUG_MS(10), TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, child_with_group, &cut));
    }
    assert_rc(tug_group_leave(&g, 0), TUG_ETIMEDOUT);
    assert_int_equal(cut, 9);
}

static int always_ready(void *arg)
{
    int rc;
    while ((rc = tug_sleep(0)) == 0) {
        ++*(size_t *)arg;
    }
    return rc;
}

LIVE_TEST(a_task_that_never_waits_long_still_meets_its_deadline)
{
    size_t n = 0;
    assert_rc(TUG_WITHIN(TUG_MS(5), always_ready(&n)), TUG_ETIMEDOUT);
    assert_true(n > 0);
}
