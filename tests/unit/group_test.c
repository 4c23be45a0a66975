#include <string.h>
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "test.h"

static int deep(int n)
{
    volatile char frame[4096];
    memset((void *)frame, n, sizeof frame);
    return n == 0 ? 0 : deep(n - 1) + frame[0] * 0 + 1;
}

static int goes_deep(void *arg)
{
    *(int *)arg = deep(1000); /* 4 MB: twenty usual stacks */
    assert_string_equal(tug_task_name(tug_task_current()), "parser of a document with a lon");
    return tug_yield();
}

TASK_TEST(a_task_has_the_stack_that_it_asked_for)
{
    tug_spawn_options o = TUG_SPAWN_OPTIONS_INIT;
    int depth[3] = {0};
    tug_group g;
    o.stack_size = (size_t)8 << 20;
    o.name = "parser of a document with a long name";
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn_with(&g, goes_deep, &depth[i], &o));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(depth[0] + depth[1] + depth[2], 3000);
}

static int waits_for_ever(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_FOREVER);
}

TASK_TEST(a_task_with_a_large_stack_is_cancelled_like_any_other)
{
    tug_spawn_options o = TUG_SPAWN_OPTIONS_INIT;
    tug_group g;
    o.stack_size = 1 << 20;
    tug_group_enter(&g, TUG_MS(5), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn_with(&g, waits_for_ever, NULL, &o));
    assert_rc(tug_group_leave(&g, 0), TUG_ETIMEDOUT);
}

TASK_TEST(a_stack_too_large_is_refused_and_fails_the_group)
{
    tug_spawn_options o = TUG_SPAWN_OPTIONS_INIT;
    tug_group g;
    o.stack_size = ((size_t)1 << 30) + 1;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_rc(tug_group_spawn_with(&g, waits_for_ever, NULL, &o), TUG_EINVAL);
    assert_detail_has("at most 1073741824");
    assert_rc(tug_group_leave(&g, 0), TUG_EINVAL);
}

static int wait_long(void *arg)
{
    int rc = tug_sleep(TUG_SECONDS(100));
    if (arg != NULL) {
        *(int *)arg = rc;
    }
    return rc;
}

static int fail_after(void *arg)
{
    int rc = tug_sleep(*(tug_duration *)arg);
    return rc < 0 ? rc
                  : tug_fail(TUG_EUSER - 1, "failed after %lld ms",
                             (long long)(*(tug_duration *)arg / 1000000));
}

TASK_TEST(the_first_failure_cancels_the_siblings)
{
    int seen = 0;
    tug_duration soon = TUG_MS(5), later = TUG_MS(50);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, &seen));
    assert_ok(tug_group_spawn(&g, fail_after, &later));
    assert_ok(tug_group_spawn(&g, fail_after, &soon));
    tug_time before = tug_now();
    assert_rc(tug_group_leave(&g, 0), TUG_EUSER - 1);
    assert_string_equal(tug_last_error()->text, "failed after 5 ms");
    assert_int_equal(tug_now() - before, TUG_MS(5));
    assert_int_equal(seen, TUG_ECANCELED);
}

TASK_TEST(a_failure_also_ends_the_waits_of_the_owner)
{
    tug_duration soon = TUG_MS(5);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, fail_after, &soon));
    int rc = tug_sleep(TUG_SECONDS(10));
    assert_rc(rc, TUG_ECANCELED);
    assert_rc(tug_group_leave(&g, rc), TUG_EUSER - 1);
    assert_detail_has("failed after 5 ms");
    assert_ok(tug_sleep(0));
}

TASK_TEST(keep_going_counts_and_keeps_errors)
{
    static tug_duration at[12];
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    for (int i = 0; i < 12; i++) {
        at[i] = TUG_MS(i + 1);
        assert_ok(tug_group_spawn(&g, fail_after, &at[i]));
    }
    assert_ok(tug_sleep(TUG_MS(100)));
    assert_int_equal(tug_group_failures(&g), 12);
    assert_string_equal(tug_group_error(&g, 0)->text, "failed after 1 ms");
    assert_string_equal(tug_group_error(&g, 8)->text, "failed after 9 ms");
    assert_null(tug_group_error(&g, 9));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(leaving_with_an_error_cancels_the_children_and_keeps_its_detail)
{
    int seen = 0;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, &seen));
    assert_ok(tug_yield());
    int rc = tug_fail(TUG_ENOTFOUND, "no such order");
    assert_rc(tug_group_leave(&g, rc), TUG_ENOTFOUND);
    assert_string_equal(tug_last_error()->text, "no such order");
    assert_int_equal(seen, TUG_ECANCELED);
}

TASK_TEST(an_explicit_cancel_is_no_failure)
{
    int seen = 0;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, &seen));
    assert_ok(tug_yield());
    tug_group_cancel(&g);
    assert_rc(tug_sleep(0), TUG_ECANCELED);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(seen, TUG_ECANCELED);
}

static int return_canceled(void *arg)
{
    (void)arg;
    return TUG_ECANCELED;
}

TASK_TEST(canceled_without_a_cancel_is_a_failure)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, return_canceled, NULL));
    assert_rc(tug_group_leave(&g, 0), TUG_ECANCELED);
}

TASK_TEST(a_timeout_of_the_group_is_timedout)
{
    tug_group g;
    tug_group_enter(&g, TUG_MS(20), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, NULL));
    tug_time before = tug_now();
    assert_rc(tug_group_leave(&g, 0), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(20));
}

static int enter_inner(void *arg)
{
    tug_group g;
    (void)arg;
    tug_group_enter(&g, TUG_MS(500), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, NULL));
    return tug_group_leave(&g, 0);
}

TASK_TEST(an_enclosing_cancel_stays_canceled)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    TUG_AUTO(tug_future) f = tug_group_start(&g, enter_inner, NULL);
    assert_ok(tug_sleep(TUG_MS(10)));
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    assert_ok(tug_group_leave(&g, 0));
}

struct copied {
    tug_group *g;
    int n;
    int *sum;
};

static int add_copied(void *arg)
{
    struct copied *c = arg;
    int rc = tug_yield();
    *c->sum += c->n;
    return rc;
}

static int spawn_more(void *arg)
{
    struct copied *c = arg;
    for (int i = 1; i <= 10; i++) {
        struct copied one = {c->g, i, c->sum};
        assert_ok(tug_group_spawn_copy(c->g, add_copied, &one, sizeof one));
    }
    return 0;
}

TASK_TEST(children_spawn_siblings_and_arguments_are_copied)
{
    int sum = 0;
    tug_group g;
    struct copied root = {&g, 0, &sum};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, spawn_more, &root));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(sum, 55);
    static char large[4097];
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    assert_rc(tug_group_spawn_copy(&g, add_copied, large, sizeof large), TUG_EINVAL);
    assert_ok(tug_group_leave(&g, 0));
}

static int seven(void *arg)
{
    return tug_sleep(*(tug_duration *)arg);
}

TASK_TEST(start_gives_a_future_of_the_task)
{
    tug_duration d = TUG_MS(5), bad = TUG_MS(1);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    TUG_AUTO(tug_future) f = tug_group_start(&g, seven, &d);
    TUG_AUTO(tug_future) failing = tug_group_start(&g, fail_after, &bad);
    assert_ok(tug_await(f));
    assert_rc(tug_await(failing), TUG_EUSER - 1);
    assert_detail_has("failed after 1 ms");
    assert_int_equal(tug_future_error(failing)->code, TUG_EUSER - 1);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_dropped_start_cancels_just_that_task)
{
    int seen = 0, other = 1;
    tug_group g;
    tug_group_enter(&g, TUG_MS(100), TUG_FAIL_FAST);
    tug_future *f = tug_group_start(&g, wait_long, &seen);
    assert_ok(tug_group_spawn(&g, wait_long, &other));
    assert_ok(tug_yield());
    tug_future_drop(f);
    assert_ok(tug_sleep(TUG_MS(1)));
    assert_int_equal(seen, TUG_ECANCELED);
    assert_int_equal(other, 1);
    assert_rc(tug_group_leave(&g, 0), TUG_ETIMEDOUT);
}

static int set_flag(void *arg)
{
    *(bool *)arg = true;
    return tug_sleep(TUG_MS(50));
}

TASK_TEST(a_task_spawned_into_a_cancelled_group_still_runs_to_its_first_wait)
{
    bool ran = false;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_cancel(&g);
    assert_ok(tug_group_spawn(&g, set_flag, &ran));
    assert_ok(tug_group_leave(&g, 0));
    assert_true(ran);
}

static int fail_by_hand(void *arg)
{
    tug_group_fail(arg, TUG_EREJECT);
    return 0;
}

TASK_TEST(a_group_can_be_failed_by_hand)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_long, NULL));
    assert_ok(tug_group_spawn(&g, fail_by_hand, &g));
    assert_rc(tug_group_leave(&g, 0), TUG_EREJECT);
    assert_string_equal(tug_last_error()->text, "rejected");
}

TASK_TEST(background_tasks_are_isolated_and_waited_for)
{
    static tug_duration d = TUG_MS(5);
    static bool ran;
    assert_ok(tug_group_spawn(tug_background(), fail_after, &d));
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_ok(tug_group_spawn(tug_background(), set_flag, &ran));
    assert_ok(tug_yield());
    assert_true(ran);
}

struct item {
    int i;
    tug_duration d;
    int rc;
};
static size_t running, most_running;

static int work(void *arg)
{
    struct item *it = arg;
    running++;
    most_running = running > most_running ? running : most_running;
    int rc = tug_sleep(it->d);
    running--;
    return rc < 0 ? rc : it->rc < 0 ? tug_fail(it->rc, "item %d", it->i) : 0;
}

TASK_TEST(map_keeps_n_in_flight)
{
    struct item items[50];
    for (int i = 0; i < 50; i++) {
        items[i] = (struct item){i, TUG_MS(10), 0};
    }
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 7;
    tug_time before = tug_now();
    assert_ok(tug_map(work, items, 50, sizeof items[0], &o));
    assert_int_equal(most_running, 7);
    assert_int_equal(tug_now() - before, TUG_MS(80)); /* 8 rounds of 7 */
    o.in_flight = 0;
    assert_rc(tug_map(work, items, 50, sizeof items[0], &o), TUG_EINVAL);
}

TASK_TEST(map_stops_at_the_first_failure)
{
    struct item items[10];
    for (int i = 0; i < 10; i++) {
        items[i] = (struct item){i, TUG_MS(10 + i), i == 2 ? TUG_EUSER : 0};
    }
    assert_rc(tug_map(work, items, 10, sizeof items[0], NULL), TUG_EUSER);
    assert_string_equal(tug_last_error()->text, "item 2");
    assert_int_equal(running, 0);
}

TASK_TEST(map_settled_gives_each_its_time_and_outcome)
{
    struct item items[10];
    tug_outcome outcomes[10];
    size_t failed = 99;
    for (int i = 0; i < 10; i++) {
        items[i] = (struct item){i, i == 4 ? TUG_SECONDS(9) : TUG_MS(10), i == 7 ? TUG_EUSER : 0};
    }
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 3;
    o.each = TUG_MS(250);
    assert_ok(tug_map_settled(work, items, 10, sizeof items[0], &o, outcomes, &failed));
    assert_int_equal(failed, 2);
    assert_int_equal(outcomes[4].rc, TUG_ETIMEDOUT);
    assert_int_equal(outcomes[7].rc, TUG_EUSER);
    assert_string_equal(outcomes[7].error.text, "item 7");
    assert_int_equal(outcomes[0].rc, 0);
    assert_int_equal(outcomes[0].error.code, 0);
}

TASK_TEST(map_settled_cut_short_fills_in_everything)
{
    struct item items[10];
    tug_outcome outcomes[10];
    size_t failed = 99;
    for (int i = 0; i < 10; i++) {
        items[i] = (struct item){i, TUG_MS(10), 0};
    }
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 2;
    assert_rc(TUG_WITHIN(TUG_MS(25),
                         tug_map_settled(work, items, 10, sizeof items[0], &o, outcomes, &failed)),
              TUG_ETIMEDOUT);
    assert_int_equal(failed, 6);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(outcomes[i].rc, i < 4 ? 0 : TUG_ECANCELED);
    }
}

static tug_scope *around;
static int cancel_at_the_last(void *arg)
{
    struct item *it = arg;
    int rc = tug_sleep(it->d);
    if (it->rc == 1) {
        tug_scope_cancel(around);
    }
    return rc;
}

/* All is done: it counts, and the cancel waits for the next wait. */
TASK_TEST(a_cancel_behind_the_last_item_does_not_undo_a_map)
{
    struct item items[3] = {{0, TUG_MS(1), 0}, {1, TUG_MS(1), 0}, {2, TUG_MS(2), 1}};
    tug_outcome outcomes[3];
    size_t failed = 99;
    for (int i = 0; i < 2; i++) {
        tug_scope s;
        tug_scope_enter(&s, TUG_FOREVER);
        around = &s;
        if (i == 0) {
            assert_ok(tug_map(cancel_at_the_last, items, 3, sizeof items[0], NULL));
        } else {
            assert_ok(tug_map_settled(cancel_at_the_last, items, 3, sizeof items[0], NULL, outcomes,
                                      &failed));
            assert_int_equal(failed, 0);
        }
        assert_rc(tug_yield(), TUG_ECANCELED);
        /* On entry nothing happens. */
        assert_rc(tug_map(cancel_at_the_last, items, 3, sizeof items[0], NULL), TUG_ECANCELED);
        assert_rc(
            tug_map_settled(cancel_at_the_last, items, 3, sizeof items[0], NULL, outcomes, &failed),
            TUG_ECANCELED);
        assert_int_equal(failed, 3);
        assert_int_equal(outcomes[1].rc, TUG_ECANCELED);
        assert_rc(tug_scope_leave(&s, 0), 0);
    }
}

TASK_TEST(a_map_whose_last_items_are_cut_is_cancelled)
{
    struct item items[2] = {{0, TUG_MS(1), 0}, {1, TUG_MS(50), 0}};
    tug_outcome outcomes[2];
    size_t failed = 99;
    assert_rc(TUG_WITHIN(TUG_MS(10),
                         tug_map_settled(work, items, 2, sizeof items[0], NULL, outcomes, &failed)),
              TUG_ETIMEDOUT);
    assert_int_equal(failed, 1);
    assert_int_equal(outcomes[0].rc, 0);
    assert_int_equal(outcomes[1].rc, TUG_ECANCELED);
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_map(work, items, 2, sizeof items[0], NULL)),
              TUG_ETIMEDOUT);
    assert_ok(tug_map(work, items, 0, sizeof items[0], NULL));
}

static int sleep_a_little(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_MS(5));
}

static void wait_outside(void *arg)
{
    tug_group_wait(arg);
}

TASK_TEST(a_wait_outside_of_tasks_is_refused)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, sleep_a_little, NULL));
    tug_on_loop_stack(wait_outside, &g); /* where nothing can wait */
    assert_int_equal(tug_group_running(&g), 1);
    assert_ok(tug_group_leave(&g, 0));
}
