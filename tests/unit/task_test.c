#include <errno.h>
#include <string.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "test.h"

enum {
    MOST = 64
};
static int order[MOST];
static size_t ordered;

static void note(int n)
{
    assert_true(ordered < MOST);
    order[ordered++] = n;
}

static int note_twice(void *arg)
{
    int n = *(int *)arg;
    note(n);
    int rc = tug_yield();
    note(n + 10);
    return rc;
}

TASK_TEST(yield_lets_the_others_go_first)
{
    int ids[] = {1, 2, 3};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, note_twice, &ids[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    const int expected[] = {1, 2, 3, 11, 12, 13};
    assert_int_equal(ordered, 6);
    assert_memory_equal(order, expected, sizeof expected);
}

TASK_TEST(a_wait_outside_tasks_is_refused)
{
    /* On the loop's own stack there is no task. */
    assert_non_null(tug_task_current());
    assert_int_equal(tug_task_count(), 1);
}

TEST(waits_without_a_loop_are_misuse)
{
    assert_rc(tug_yield(), TUG_EMISUSE);
    assert_detail_has("in a task");
    assert_rc(tug_sleep(TUG_MS(1)), TUG_EMISUSE);
    assert_null(tug_task_current());
    assert_int_equal(tug_task_count(), 0);
}

TASK_TEST(sleep_takes_exactly_its_time)
{
    tug_time before = tug_now();
    assert_ok(tug_sleep(TUG_MS(250)));
    assert_int_equal(tug_now() - before, TUG_MS(250));
    assert_ok(tug_sleep(0));
    assert_int_equal(tug_now() - before, TUG_MS(250));
    assert_ok(tug_sleep_until(before + TUG_SECONDS(3600)));
    assert_int_equal(tug_now() - before, TUG_SECONDS(3600));
}

struct sleeper {
    int id;
    tug_duration d;
};

static int sleep_and_note(void *arg)
{
    struct sleeper *s = arg;
    int rc = tug_sleep(s->d);
    note(s->id);
    return rc;
}

TASK_TEST(sleepers_wake_by_deadline_then_by_start)
{
    struct sleeper sleepers[] = {{1, TUG_MS(30)},
                                 {2, TUG_MS(10)},
                                 {3, TUG_SECONDS(40)},
                                 {4, TUG_MS(10)},
                                 {5, TUG_SECONDS(2000)}};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 5; i++) {
        assert_ok(tug_group_spawn(&g, sleep_and_note, &sleepers[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    const int expected[] = {2, 4, 1, 3, 5};
    assert_int_equal(ordered, 5);
    assert_memory_equal(order, expected, sizeof expected);
}

static int change_errno(void *arg)
{
    (void)arg;
    errno = EBADF;
    return tug_yield();
}

TASK_TEST(errno_is_each_tasks_own)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, change_errno, NULL));
    errno = ENOENT;
    assert_ok(tug_yield());
    assert_int_equal(errno, ENOENT);
    assert_ok(tug_group_leave(&g, 0));
}

static int fail_and_yield(void *arg)
{
    (void)arg;
    tug_fail(TUG_EUSER, "mine");
    int rc = tug_yield();
    assert_string_equal(tug_last_error()->text, "mine");
    return rc;
}

TASK_TEST(the_detail_is_each_tasks_own)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, fail_and_yield, NULL));
    tug_fail(TUG_EUSER, "other");
    assert_ok(tug_yield());
    assert_string_equal(tug_last_error()->text, "other");
    assert_ok(tug_group_leave(&g, 0));
}

static int use_depth(size_t depth)
{
    volatile char block[1024];
    block[0] = (char)depth;
    block[1023] = block[0];
    return depth == 0 ? block[1023] : use_depth(depth - 1) + block[1023];
}

static int go_deep(void *arg)
{
    int rc = tug_yield();
    (void)use_depth(*(size_t *)arg);
    return rc < 0 ? rc : tug_yield();
}

TASK_TEST(many_deep_stacks_are_reused)
{
    size_t depth = 60;
    for (int round = 0; round < 3; round++) {
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        for (int i = 0; i < 200; i++) {
            assert_ok(tug_group_spawn(&g, go_deep, &depth));
        }
        assert_ok(tug_group_leave(&g, 0));
    }
}

static int named(void *arg)
{
    (void)arg;
    tug_task_set_name("a-name-that-is-longer-than-thirty-one-bytes");
    assert_string_equal(tug_task_name(tug_task_current()), "a-name-that-is-longer-than-thir");
    return 0;
}

TASK_TEST(names_are_kept_to_31_bytes)
{
    assert_string_equal(tug_task_name(tug_task_current()), "main");
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, named, NULL));
    assert_ok(tug_group_leave(&g, 0));
}

static int count_up(void *arg)
{
    size_t *n = arg;
    ++*n;
    return tug_yield();
}

TASK_TEST(names_hold_nothing_that_breaks_a_line_or_is_no_character)
{
    tug_task_set_name("a\nb\x1b[1m \xc3\xa4 \xff \xc3");
    assert_string_equal(tug_task_name(tug_task_current()), "a?b?[1m \xc3\xa4 ? ?");
    tug_task_set_name("123456789012345678901234567890\xc3\xa4"); /* cut within the last one */
    assert_string_equal(tug_task_name(tug_task_current()), "123456789012345678901234567890?");
}

TASK_TEST(ten_thousand_tasks)
{
    size_t n = 0;
    tug_group g;
    int many = test_many(TEST_MANY_TASKS, 1000);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < many; i++) {
        assert_ok(tug_group_spawn(&g, count_up, &n));
    }
    assert_int_equal(tug_group_running(&g), many);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(n, many);
}

static int spin(void *arg)
{
    bool *stop = arg;
    while (!*stop) {
        int rc = tug_yield();
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Two tasks that are always runnable must not keep a deadline from passing. */
LIVE_TEST(busy_tasks_do_not_starve_timers)
{
    bool stop = false;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, spin, &stop));
    assert_ok(tug_group_spawn(&g, spin, &stop));
    assert_ok(tug_sleep(TUG_MS(5)));
    stop = true;
    assert_ok(tug_group_leave(&g, 0));
}

static void note_call(void *arg)
{
    note(*(int *)arg);
}

static int call_and_yield(void *arg)
{
    tug_call *call = arg;
    static int id = 100;
    note(1);
    tug_call_soon(call, note_call, &id);
    int rc = tug_yield();
    note(11);
    return rc;
}

TASK_TEST(a_call_comes_after_the_tasks_that_were_ready_before)
{
    int ids[] = {2, 3};
    tug_call call = {.state = 0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, call_and_yield, &call));
    assert_ok(tug_group_spawn(&g, note_twice, &ids[0]));
    assert_ok(tug_group_spawn(&g, note_twice, &ids[1]));
    assert_ok(tug_group_leave(&g, 0));
    const int expected[] = {1, 2, 3, 100, 11, 12, 13};
    assert_int_equal(ordered, 7);
    assert_memory_equal(order, expected, sizeof expected);
}

static int spawn_more(void *arg)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < 20; i++) {
        rc = tug_group_spawn(arg, count_up, &ordered);
        rc = rc == 0 ? tug_yield() : rc;
    }
    return rc;
}

/* The run queue grows in the middle of a turn's share. */
TASK_TEST(tasks_spawned_by_tasks_all_run)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 50; i++) {
        assert_ok(tug_group_spawn(&g, spawn_more, &g));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(ordered, 1000);
}

/* Nor I/O, however often they yield. */
LIVE_TEST(busy_tasks_do_not_starve_io)
{
    bool stop = false;
    int fds[2];
    tug_group g;
    assert_ok(tug_test_socketpair(fds));
    assert_int_equal(write(fds[1], "x", 1), 1);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, spin, &stop));
    assert_ok(tug_group_spawn(&g, spin, &stop));
    assert_int_equal(TUG_WITHIN(TUG_SECONDS(10), tug_fd_wait(fds[0], TUG_READ)), TUG_READ);
    stop = true;
    assert_ok(tug_group_leave(&g, 0));
    close(fds[0]);
    close(fds[1]);
}

static int outside(void *arg)
{
    *(int *)arg = 7;
    return 0;
}

TEST(run_returns_what_the_task_returned)
{
    int x = 0;
    assert_ok(tug_run(outside, &x));
    assert_int_equal(x, 7);
}

static int fails(void *arg)
{
    (void)arg;
    return tug_fail(TUG_EUSER - 3, "no luck today");
}

TEST(run_hands_the_detail_to_the_thread)
{
    assert_rc(tug_run(fails, NULL), TUG_EUSER - 3);
    assert_string_equal(tug_last_error()->text, "no luck today");
    assert_string_equal(tug_error_name(TUG_EUSER - 3), "TUG_EUSER-3");
}

static int run_inside(void *arg)
{
    (void)arg;
    return tug_run(fails, NULL);
}

TEST(one_loop_a_thread)
{
    assert_rc(tug_run(run_inside, NULL), TUG_EMISUSE);
    assert_detail_has("one loop a thread");
}

/* Two calls that ask for themselves again and again, and one behind them that is forgotten. */
static tug_call turning[2], forgotten;
static bool is_done;

static void turn(void *arg)
{
    tug_call_forget(&forgotten);
    if (!is_done) {
        tug_call_soon(arg, turn, arg);
    }
}

LIVE_TEST(calls_that_come_again_leave_the_others_their_turns)
{
    tug_call_soon(&turning[0], turn, &turning[0]);
    tug_call_soon(&turning[1], turn, &turning[1]);
    tug_call_soon(&forgotten, turn, &forgotten);
    assert_ok(tug_sleep(TUG_MS(1)));
    is_done = true;
    assert_ok(tug_yield());
}
