/* Starting a task and waiting until it is ready; cancels that say why; all errors of a group. */
#include <string.h>
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "test.h"

/* --- start until ready -------------------------------------------------------------------------- */

struct server {
    tug_duration until_ready; /* TUG_FOREVER: never says it */
    tug_duration after;
    int rc;
    int seen;
};

static int serve(void *arg)
{
    struct server *s = arg;
    int rc = s->until_ready == TUG_FOREVER ? 0 : tug_sleep(s->until_ready);
    if (rc == 0 && s->until_ready != TUG_FOREVER) {
        tug_task_ready();
        tug_task_ready(); /* once more is nothing */
    }
    rc = rc == 0 ? tug_sleep(s->after) : rc;
    s->seen = rc == 0 ? 1 : rc;
    return rc < 0 ? rc : s->rc < 0 ? tug_fail(s->rc, "port 80 is taken") : 0;
}

TASK_TEST(start_until_ready_returns_when_the_child_says_so)
{
    struct server s = {.until_ready = TUG_MS(10), .after = TUG_MS(50)};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_time before = tug_now();
    assert_ok(tug_group_start_until_ready(&g, serve, &s));
    assert_int_equal(tug_now() - before, TUG_MS(10));
    assert_int_equal(tug_group_running(&g), 1);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(s.seen, 1);
}

TASK_TEST(a_failure_before_is_the_starters_and_not_the_groups)
{
    struct server bad = {.until_ready = TUG_FOREVER, .after = TUG_MS(5), .rc = TUG_ECONNECT};
    struct server good = {.after = TUG_MS(5)};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_rc(tug_group_start_until_ready(&g, serve, &bad), TUG_ECONNECT);
    assert_string_equal(tug_last_error()->text, "port 80 is taken");
    assert_int_equal(tug_group_failures(&g), 0);
    assert_ok(tug_group_start_until_ready(&g, serve, &good));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_failure_after_is_the_groups)
{
    struct server s = {.after = TUG_MS(5), .rc = TUG_ECONNECT};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_start_until_ready(&g, serve, &s));
    assert_rc(tug_group_leave(&g, 0), TUG_ECONNECT);
    assert_string_equal(tug_last_error()->text, "port 80 is taken");
}

TASK_TEST(an_end_without_a_word_is_misuse)
{
    struct server s = {.until_ready = TUG_FOREVER};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_rc(tug_group_start_until_ready(&g, serve, &s), TUG_EMISUSE);
    assert_detail_has("tug_task_ready");
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancel_while_waiting_ends_the_child_too)
{
    struct server s = {.until_ready = TUG_SECONDS(10)};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_group_start_until_ready(&g, serve, &s)), TUG_ETIMEDOUT);
    assert_int_equal(s.seen, TUG_ECANCELED);
    assert_int_equal(tug_group_running(&g), 0);
    assert_ok(tug_group_leave(&g, 0));
}

static int ready_in_vain(void *arg)
{
    tug_scope shield;
    tug_shield_enter(&shield, TUG_SECONDS(1));
    TUG_IGNORE(tug_sleep(TUG_MS(100)));
    tug_task_ready(); /* nobody waits for it any more */
    TUG_IGNORE(tug_sleep(TUG_MS(100)));
    ++*(int *)arg;
    return tug_scope_leave(&shield, 0);
}

TASK_TEST(a_cancelled_start_waits_for_the_end_of_the_child)
{
    int ended = 0;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_group_start_until_ready(&g, ready_in_vain, &ended)),
              TUG_ETIMEDOUT);
    assert_int_equal(ended, 1);
    assert_int_equal(tug_now() - before, TUG_MS(200));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_refused_start_is_returned_only)
{
    struct server s = {.after = TUG_MS(5)};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(tug_group_start_until_ready(&g, serve, &s), TUG_ECLOSED);
    assert_detail_has("the group has been left");
    assert_int_equal(tug_test_live_futures(), 0);
}

TASK_TEST(a_start_in_a_cancelled_scope_starts_nothing)
{
    struct server s = {.after = 0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_rc(TUG_WITHIN(0, tug_group_start_until_ready(&g, serve, &s)), TUG_ETIMEDOUT);
    assert_int_equal(tug_group_running(&g), 0);
    assert_int_equal(s.seen, 0);
    assert_ok(tug_group_leave(&g, 0));
    tug_task_ready(); /* in a task that nobody waits for: nothing */
}

/* --- a cancel that says why --------------------------------------------------------------------- */

static void assert_reason(const char *text)
{
    assert_non_null(tug_cancel_reason());
    assert_string_equal(tug_cancel_reason(), text);
}

static int tell_reason(void *arg)
{
    char *text = arg;
    int rc = tug_sleep(TUG_SECONDS(10));
    assert_rc(rc, TUG_ECANCELED);
    strcpy(text, tug_last_error()->text);
    assert_reason(text);
    assert_rc(tug_sleep(0), TUG_ECANCELED); /* level: so is the reason */
    assert_string_equal(tug_last_error()->text, text);
    return rc;
}

TASK_TEST(the_reason_is_the_text_of_the_waits_inside)
{
    char text[2][240] = {"", ""};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, tell_reason, text[0]));
    assert_ok(tug_group_spawn(&g, tell_reason, text[1]));
    assert_ok(tug_yield());
    assert_null(tug_cancel_reason());
    tug_group_cancel_why(&g, "shard %d moved\nto another node", 7);
    tug_group_cancel_why(&g, "too late to change it");
    assert_rc(tug_sleep(0), TUG_ECANCELED);
    assert_string_equal(tug_last_error()->text, "shard 7 moved to another node");
    assert_ok(tug_group_leave(&g, 0));
    assert_string_equal(text[0], "shard 7 moved to another node");
    assert_string_equal(text[1], text[0]);
    assert_null(tug_cancel_reason());
}

TASK_TEST(a_long_reason_is_cut)
{
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel_why(&s, "%s", text);
    assert_non_null(tug_cancel_reason());
    assert_int_equal(strlen(tug_cancel_reason()), 159);
    assert_rc(tug_yield(), TUG_ECANCELED);
    assert_int_equal(strlen(tug_last_error()->text), 159);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
}

TASK_TEST(the_innermost_reason_counts_and_shields_hide_it)
{
    tug_scope outer, inner, shield;
    tug_scope_enter(&outer, TUG_FOREVER);
    tug_scope_enter(&inner, TUG_FOREVER);
    tug_scope_cancel_why(&outer, "outer");
    assert_reason("outer");
    tug_scope_cancel_why(&inner, "inner");
    assert_reason("inner");
    tug_shield_enter(&shield, TUG_MS(5));
    assert_null(tug_cancel_reason());
    assert_rc(TUG_WITHIN(0, tug_yield()), TUG_ETIMEDOUT);
    assert_string_equal(tug_last_error()->text, "timed out");
    assert_rc(tug_sleep(TUG_MS(10)), TUG_ECANCELED);
    assert_string_equal(tug_last_error()->text, "inner");
    assert_rc(tug_scope_leave(&shield, 0), 0);
    assert_rc(tug_scope_leave(&inner, 0), 0);
    assert_reason("outer");
    assert_rc(tug_scope_leave(&outer, 0), 0);
}

TASK_TEST(an_expiry_has_no_reason_and_an_empty_one_is_none)
{
    tug_scope s;
    tug_scope_enter(&s, 0);
    tug_scope_cancel_why(&s, "late");
    assert_null(tug_cancel_reason());
    assert_rc(tug_yield(), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ETIMEDOUT);
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel_why(&s, "%s", "");
    assert_null(tug_cancel_reason());
    assert_rc(tug_yield(), TUG_ECANCELED);
    assert_string_equal(tug_last_error()->text, "cancelled");
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
}

/* --- all errors of a group ---------------------------------------------------------------------- */

static int fail_when_cancelled(void *arg)
{
    int rc = tug_sleep(TUG_SECONDS(10));
    return rc == TUG_ECANCELED ? tug_fail(TUG_EUSER - *(int *)arg, "cleaning up %d", *(int *)arg)
                               : rc;
}

static int fail_now(void *arg)
{
    (void)arg;
    return tug_fail(TUG_EREJECT, "the cause");
}

TASK_TEST(the_errors_of_the_others_can_be_read_before_the_leave)
{
    static int numbers[12];
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 12; i++) {
        numbers[i] = i;
        assert_ok(tug_group_spawn(&g, fail_when_cancelled, &numbers[i]));
    }
    assert_ok(tug_yield());
    assert_ok(tug_group_spawn(&g, fail_now, NULL));
    tug_group_wait(&g); /* not cut short, although the group is cancelled */
    assert_int_equal(tug_group_running(&g), 0);
    assert_int_equal(tug_group_failures(&g), 13);
    assert_string_equal(tug_group_error(&g, 0)->text, "the cause");
    for (size_t i = 1; i < 9; i++) {
        assert_true(tug_group_error(&g, i)->code <= TUG_EUSER);
    }
    assert_null(tug_group_error(&g, 9));
    assert_rc(tug_group_leave(&g, 0), TUG_EREJECT);
}

/* A cancel that came first stays the cause, however long the cleaning up takes. */
static int clean_up_slowly(void *arg)
{
    (void)arg;
    int rc = tug_sleep(TUG_SECONDS(10));
    tug_scope shield;
    tug_shield_enter(&shield, TUG_SECONDS(1));
    TUG_IGNORE(tug_sleep(TUG_MS(100)));
    return tug_scope_leave(&shield, rc);
}

TASK_TEST(a_deadline_that_passes_after_the_cancel_makes_no_timeout)
{
    tug_group g;
    tug_group_enter(&g, TUG_MS(50), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, clean_up_slowly, NULL));
    assert_ok(tug_yield());
    tug_group_cancel(&g);
    assert_ok(tug_group_leave(&g, 0));
    tug_scope s;
    tug_scope_enter(&s, TUG_MS(50));
    tug_scope_cancel(&s);
    tug_scope_set_deadline(&s, tug_now());
    assert_false(tug_scope_is_expired(&s));
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
}

/* The deadline outside a shield, and its grace, are what is left inside. */
TASK_TEST(time_left_counts_the_grace_in)
{
    tug_scope outer, shield, inner;
    tug_scope_enter(&outer, TUG_MS(100));
    tug_shield_enter(&shield, TUG_MS(50));
    assert_int_equal(tug_time_left(), TUG_MS(150));
    tug_scope_enter(&inner, TUG_MS(120));
    assert_int_equal(tug_time_left(), TUG_MS(120));
    assert_rc(tug_scope_leave(&inner, 0), 0);
    assert_ok(tug_sleep(TUG_MS(110)));
    assert_int_equal(tug_time_left(), TUG_MS(40)); /* the grace runs since the deadline */
    assert_rc(tug_sleep(TUG_MS(100)), TUG_ECANCELED);
    assert_int_equal(tug_time_left(), 0);
    assert_rc(tug_scope_leave(&shield, 0), 0);
    assert_rc(tug_scope_leave(&outer, 0), 0);
}

/* --- the two roots ------------------------------------------------------------------------------ */

static int order[4];
static size_t ordered;

static int user_task(void *arg)
{
    (void)arg;
    int rc = tug_sleep(TUG_MS(50));
    order[ordered++] = 1;
    return rc;
}

static int service_task(void *arg)
{
    (void)arg;
    int rc = tug_sleep(TUG_MS(100));
    order[ordered++] = 3;
    return rc;
}

/* When the user tasks have ended, and before the service tasks: no more tasks of the program. */
static void at_the_end(void *arg)
{
    (void)arg;
    order[ordered++] = 2;
    assert_rc(tug_group_spawn(tug_background(), user_task, NULL), TUG_ECLOSED);
    assert_detail_has("the loop is at its end");
    tug_future *f = tug_group_start(tug_background(), user_task, NULL);
    assert_int_equal(tug_future_error(f)->code, TUG_ECLOSED);
    tug_future_unref(f);
    assert_int_equal(tug_group_failures(tug_background()), 0);
}

static int start_both(void *arg)
{
    static tug_end_hook hook;
    (void)arg;
    tug_on_end(&hook, at_the_end, NULL);
    assert_ok(tug_service_spawn("service", service_task, NULL));
    assert_ok(tug_group_spawn(tug_background(), user_task, NULL));
    return 0;
}

TEST(user_tasks_end_first_then_service_tasks)
{
    assert_ok(tug_test_run(start_both, NULL, NULL));
    assert_int_equal(ordered, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(order[i], i + 1);
    }
}
