/* What tug_debug_set turns on: each check that ends the process is provoked in a process of its own. */
#include <tug/debug.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/future.h>
#include <tug/group.h>
#include <tug/inspect.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>

#include "child.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

static tug_debug_options all_off(void)
{
    tug_debug_options o = {.size = sizeof o};
    return o;
}

/* --- options ------------------------------------------------------------------------------------ */

TEST(options_out_of_range_are_refused)
{
    tug_debug_options o = TUG_DEBUG_OPTIONS_INIT;
    assert_true(o.abort_on_misuse && o.slow_step == TUG_MS(25) && o.dump_signal == 0);
    o.slow_step = -1;
    assert_rc(tug_debug_set(&o), TUG_EINVAL);
    assert_detail_has("slow_step");
    o.slow_step = 0;
    o.dump_signal = 65;
    assert_rc(tug_debug_set(&o), TUG_EINVAL);
    o = all_off();
    o.size = 1;
    assert_rc(tug_debug_set(&o), TUG_EINVAL);
    assert_detail_has("TUG_DEBUG_OPTIONS_INIT");
    assert_ok(tug_debug_set(NULL));
}

static const tug_future_class test_class = {.size = sizeof(tug_future_class), .name = "test.op"};

static int forget(void *arg)
{
    (void)arg;
    tug_future *f = tug_future_new(&test_class);
    assert_non_null(f);
    tug_future_unref(f);
    tug_future_settle(f, NULL); /* reached without the abort only */
    return 0;
}

static int run_forget(void)
{
    return tug_run(forget, NULL) == 0 ? 0 : 1;
}

static int forget_with_option(void)
{
    tug_debug_options o = all_off();
    o.abort_on_misuse = true;
    assert_ok(tug_debug_set(&o));
    return run_forget();
}

static int forget_with_environment(void)
{
    setenv("TUG_DEBUG", "1", 1);
    assert_ok(tug_debug_set(NULL));
    return run_forget();
}

TEST(a_forgotten_future_aborts_when_asked_to)
{
    struct child *c = child_run(run_forget);
    assert_int_equal(c->status, 0);
    c = child_run(forget_with_option);
    assert_int_equal(c->signal, SIGABRT);
    child_said(c, "tug: a pending test.op was forgotten\n");
    c = child_run(forget_with_environment);
    assert_int_equal(c->signal, SIGABRT);
    child_said(c, "a pending test.op was forgotten");
}

/* --- unread errors ------------------------------------------------------------------------------ */

static char logged[4096];
static void keep(const tug_log_record *record, void *arg)
{
    (void)arg;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s: %s\n", record->subsystem, record->text);
}

static tug_future *failed_one(void)
{
    tug_future *f = tug_future_new(&test_class);
    tug_error e;
    assert_non_null(f);
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "no such table");
    tug_future_fail(f, &e);
    return f;
}

static void watch_unread(bool on)
{
    tug_debug_options o = all_off();
    o.unread_errors = on;
    assert_ok(tug_debug_set(&o));
    tug_log_set_sink(keep, NULL);
    logged[0] = 0;
}

TASK_TEST(an_error_that_nobody_reads_is_reported)
{
    watch_unread(true);
    tug_future_unref(failed_one());
    assert_string_equal(logged, "future: a failed test.op was released and nobody read its error: "
                                "no such table\n");
    logged[0] = 0;
    tug_future *f = tug_future_new(&test_class); /* awaited before, but fails only after the wait */
    assert_non_null(f);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_await(f)), TUG_ETIMEDOUT);
    tug_error e;
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "too late");
    tug_future_fail(f, &e);
    tug_future_unref(f);
    assert_non_null(strstr(logged, "too late"));
    watch_unread(false);
    tug_future_unref(failed_one());
    assert_string_equal(logged, "");
    tug_log_set_sink(NULL, NULL);
    assert_ok(tug_debug_set(NULL));
}

static void look_at(tug_future *f, void *arg)
{
    (void)f;
    (void)arg;
}

static int fail_later(void *arg)
{
    tug_error e;
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "later");
    tug_future_fail(arg, &e);
    return 0;
}

TASK_TEST(whoever_was_told_has_read_it)
{
    watch_unread(true);
    tug_future *f = failed_one();
    assert_rc(tug_await(f), TUG_ESERVER);
    tug_future_unref(f);
    f = failed_one();
    assert_int_equal(tug_future_error(f)->code, TUG_ESERVER);
    tug_future_unref(f);
    f = failed_one();
    void *value;
    assert_rc(tug_future_take(f, &test_class, &value), TUG_ESERVER);
    tug_future_unref(f);
    f = failed_one();
    tug_future_on_settled(f, look_at, NULL);
    assert_ok(tug_yield());
    tug_future_drop(failed_one());
    tug_future *two[] = {failed_one(), failed_one()};
    assert_rc(tug_gather(two, 2), TUG_ESERVER);
    tug_future_unref(two[0]);
    tug_future_unref(two[1]);
    f = tug_future_new(&test_class);
    assert_non_null(f);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, fail_later, f));
    assert_rc(tug_await(f), TUG_ESERVER);
    assert_ok(tug_group_leave(&g, 0));
    tug_future_unref(f);
    tug_scope s; /* whoever is cancelled leaves without looking */
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    tug_future_unref(failed_one());
    assert_ok(tug_scope_leave(&s, 0));
    assert_string_equal(logged, "");
    tug_log_set_sink(NULL, NULL);
    assert_ok(tug_debug_set(NULL));
}

/* --- TUG_NO_SUSPEND ----------------------------------------------------------------------------- */

static void no_suspend_on(void)
{
    tug_debug_options o = all_off();
    o.no_suspend = true;
    assert_ok(tug_debug_set(&o));
}

static int leave_by_return(void)
{
    TUG_NO_SUSPEND
    {
        return 5;
    }
    return 0;
}

TASK_TEST(a_block_that_does_not_suspend_runs_once_and_lets_go)
{
    no_suspend_on();
    int times = 0;
    TUG_NO_SUSPEND
    {
        times++;
        TUG_NO_SUSPEND
        {
            times++;
        }
        tug_group g; /* spawning is no switch */
        (void)g;
        assert_string_equal(tug_task_name(tug_task_current()), "main");
    }
    assert_int_equal(times, 2);
    assert_ok(tug_yield());
    assert_int_equal(leave_by_return(), 5);
    assert_ok(tug_yield());
    for (int i = 0; i < 3; i++) {
        TUG_NO_SUSPEND
        {
            break;
        }
        times++;
    }
    assert_int_equal(times, 5);
    assert_ok(tug_sleep(TUG_MS(1)));
    assert_ok(tug_debug_set(NULL));
}

TASK_TEST(without_the_option_a_block_is_just_a_block)
{
    int times = 0;
    TUG_NO_SUSPEND
    {
        times++;
        assert_ok(tug_yield());
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_int_equal(times, 1);
}

static int how;
static int suspend_inside(void *arg)
{
    (void)arg;
    tug_task_set_name("careless");
    TUG_NO_SUSPEND
    {
        TUG_NO_SUSPEND {}
        TUG_IGNORE(how == 0 ? tug_sleep(TUG_MS(1)) : tug_yield());
    }
    return 0;
}

static int run_suspend_inside(void)
{
    no_suspend_on();
    return tug_run(suspend_inside, NULL);
}

TEST(suspending_inside_a_block_aborts_with_its_place)
{
    char place[64];
    how = 0;
    struct child *c = child_run(run_suspend_inside);
    assert_int_equal(c->signal, SIGABRT);
    child_said(c, "tug: task \"careless\" suspends inside TUG_NO_SUSPEND at ");
    snprintf(place, sizeof place, "debug_test.c:");
    child_said(c, place);
    child_said(c, ": it would wait for sleep\n");
    how = 1;
    c = child_run(run_suspend_inside);
    assert_int_equal(c->signal, SIGABRT);
    child_said(c, ": it yields\n");
}

/* --- stacks ------------------------------------------------------------------------------------- */

enum {
    DEEP = 100 * 1024
};

static int use_deep(void *arg)
{
    volatile char frame[DEEP];
    (void)arg;
    for (size_t i = 0; i < sizeof frame; i += 64) {
        frame[i] = 1;
    }
    return frame[64] == 1 ? 0 : -1;
}

static int use_little(void *arg)
{
    (void)arg;
    return 0;
}

/* The number behind key in the line that has part. */
static long number_in(const char *text, const char *part, const char *key)
{
    const char *line = strstr(text, part);
    const char *at = line != NULL ? strstr(line, key) : NULL;
    assert_non_null(at);
    return strtol(at + strlen(key), NULL, 10);
}

/* One place each, also where the compiler unrolls the loop below. */
static __attribute__((noinline)) void spawn_deep(tug_group *g)
{
    int rc = tug_group_spawn(g, use_deep, NULL);
    assert_int_equal(rc, 0);
}

static __attribute__((noinline)) void spawn_little(tug_group *g)
{
    int rc = tug_group_spawn(g, use_little, NULL);
    assert_int_equal(rc, 0);
}

static int measure(void *arg)
{
    char *text = arg;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3;
         i++) { /* little after deep: a stack that was deep does not count again */
        spawn_deep(&g);
        assert_ok(tug_sleep(TUG_MS(1))); /* measured at the end of the turn */
        spawn_little(&g);
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_ok(tug_group_leave(&g, 0));
    TUG_AUTO(tug_buffer) buffer = NULL;
    assert_ok(tug_inspect_buffer(TUG_INSPECT_TEXT, 1 << 16, &buffer));
    strcpy(text, tug_buffer_bytes(buffer).data);
    return 0;
}

static void check_marks(bool poison)
{
    static char text[1 << 16];
    tug_debug_options o = all_off();
    o.stack_marks = true;
    o.poison_stacks = poison;
    assert_ok(tug_debug_set(&o));
    assert_ok(tug_test_run(measure, text, NULL));
    assert_ok(tug_debug_set(NULL));
    const char *first = strstr(text, "\nstack spawned_at=");
    const char *second = first != NULL ? strstr(first + 1, "\nstack spawned_at=") : NULL;
    assert_non_null(second);
    assert_int_equal(number_in(first, "\nstack", "ended_tasks="), 3);
    long a = number_in(first, "\nstack", "most_bytes=");
    long b = number_in(second, "\nstack", "most_bytes=");
    long deep = a > b ? a : b, little = a > b ? b : a;
    if (!HAS_ASAN) { /* which keeps frames elsewhere */
        assert_in_range(deep, DEEP, DEEP + 16384);
    }
    assert_in_range(little, 64, 12 * 1024);
    assert_int_equal(number_in(first, "\nstack", " of_bytes="), 192 * 1024);
}

TEST(marks_are_measured_anew_for_each_task)
{
    TEST_NOT_UNDER_VALGRIND(); /* it watches stacks itself: ours are not looked at */
    check_marks(false);
}

TEST(poison_does_not_count_as_used)
{
    TEST_NOT_UNDER_VALGRIND(); /* as above */
    check_marks(true);
}

static volatile unsigned char *stale;
static int leave_pointer(void *arg)
{
    volatile unsigned char *local = __builtin_frame_address(0);
    (void)arg;
    stale = local - 256;
    return 0;
}

static int read_stale(void *arg)
{
    (void)arg;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, leave_pointer, NULL));
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_sleep(TUG_MS(1))); /* released at the end of the turn */
    return *stale == 0xdb ? 7 : 8;
}

static int exit_code;
static int keep_code(void *arg)
{
    exit_code = read_stale(arg);
    return 0;
}

static int run_read_stale(void)
{
    tug_debug_options o = all_off();
    o.poison_stacks = true;
    assert_ok(tug_debug_set(&o));
    return tug_run(keep_code, NULL) == 0 ? exit_code : 1;
}

TEST(what_a_stale_pointer_sees_is_poison)
{
    TEST_NOT_UNDER_VALGRIND(); /* the read is what it reports */
    struct child *c = child_run(run_read_stale);
    if (HAS_ASAN) {
        child_said(c, "AddressSanitizer: use-after-poison");
        assert_true(c->status != 0 && c->status != 7 && c->status != 8);
    } else {
        assert_int_equal(c->status, 7);
    }
}

static int recurse(volatile int *depth)
{
    volatile char frame[512];
    frame[0] = (char)++*depth;
    return *depth > 0 ? recurse(depth) + frame[0] : 0;
}

static int overflow(void *arg)
{
    volatile int depth = 0;
    (void)arg;
    tug_task_set_name("endless");
    return recurse(&depth);
}

static int run_overflow(void)
{
    tug_debug_options o = all_off();
    o.overflow_report = true;
    assert_ok(tug_debug_set(&o));
    return tug_run(overflow, NULL) == 0;
}

static int main_overflow(void)
{
    return tug_main(overflow, NULL);
}

TEST(an_overflow_names_its_task)
{
    int (*const runs[])(void) = {run_overflow, main_overflow};
    for (int i = 0; i < 2; i++) {
        struct child *c = child_run(runs[i]);
        child_said(c, "tug: the stack of task \"endless\" is full (192 KiB); it was spawned at\n");
        child_said(c, "unit-debug");
        assert_true(c->signal == SIGSEGV || (HAS_ASAN && c->status != 0));
    }
}

static int plain_overflow(void)
{
    return tug_run(overflow, NULL) == 0;
}

TEST(without_the_option_there_is_no_report)
{
    struct child *c = child_run(plain_overflow);
    assert_null(strstr(c->said, "endless"));
    assert_int_not_equal(c->status, 0);
}

/* --- the dump on a signal ----------------------------------------------------------------------- */

static int raise_and_wait(void *arg)
{
    (void)arg;
    tug_task_set_name("asking");
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    TUG_IGNORE(tug_group_spawn(&g, use_little, NULL));
    raise(SIGUSR1);
    TUG_IGNORE(tug_sleep(TUG_MS(50)));
    raise(SIGUSR1);
    TUG_IGNORE(tug_sleep(TUG_MS(50)));
    return tug_group_leave(&g, 0);
}

static int dump_in_main(void)
{
    tug_main_options o = TUG_MAIN_OPTIONS_INIT;
    o.dump_signal = SIGUSR1;
    return tug_main_with(raise_and_wait, NULL, &o);
}

static int dump_in_run(void)
{
    tug_debug_options o = all_off();
    o.dump_signal = SIGUSR1;
    assert_ok(tug_debug_set(&o));
    return tug_run(raise_and_wait, NULL);
}

static int dump_by_environment(void)
{
    setenv("TUG_DEBUG", "1", 1);
    assert_ok(tug_debug_set(NULL));
    return tug_run(raise_and_wait, NULL);
}

TEST(a_signal_writes_the_tree_to_stderr_as_often_as_it_comes)
{
    int (*const runs[])(void) = {dump_in_main, dump_in_run, dump_by_environment};
    for (int i = 0; i < 3; i++) {
        struct child *c = child_run(runs[i]);
        assert_int_equal(c->signal, 0);
        assert_int_equal(c->status, 0);
        child_said(c, "tug: tasks=1 ");
        child_said(c, "task 1 \"asking\" waits for sleep since 0.0");
        const char *first = strstr(c->said, "tug: tasks=");
        assert_non_null(strstr(first + 1, "tug: tasks="));
    }
}

static int run_raise(void)
{
    return tug_run(raise_and_wait, NULL);
}

TEST(without_the_option_the_signal_is_the_programs)
{
    assert_int_equal(child_run(run_raise)->signal, SIGUSR1);
}
