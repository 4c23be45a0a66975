/* The log of slow steps: real time, because the clock of the watch is its own. */
#include <tug/debug.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "test.h"

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1 /* which holds signals back while a thread computes */
#else
#define HAS_TSAN 0
#endif

/* Records come from the watching thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char logged[32768];
static int records;

static void keep(const tug_log_record *record, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    size_t used = strlen(logged);
    if (strcmp(record->subsystem, "loop") == 0) {
        snprintf(logged + used, sizeof logged - used, "%s\n", record->text);
        records++;
    }
    pthread_mutex_unlock(&lock);
}

static int count_of(const char *part)
{
    int n = 0;
    pthread_mutex_lock(&lock);
    for (const char *s = logged; (s = strstr(s, part)) != NULL; s++) {
        n++;
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static void assert_logged(const char *part)
{
    if (count_of(part) == 0) {
        fail_msg("no \"%s\" in:\n%s", part, logged);
    }
}

/* Waits, in the real world, until this was logged n times. */
/* Nobody watches, and nothing will be said. */
static bool is_in_vain(void)
{
    return count_of("slow steps are not reported") > 0;
}

/* Not by an assertion: it may be called in another thread. */
static int till_logged(const char *part, int n)
{
    for (int i = 0; count_of(part) < n; i++) {
        int rc = i == 5000 || is_in_vain()
                     ? tug_fail(TUG_EUSER, "not %d times \"%s\" in: %s", n, part, logged)
                     : tug_sleep(TUG_MS(1));
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void wait_logged(const char *part, int n)
{
    assert_ok(till_logged(part, n));
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* A function with a name for the backtrace to show. */
__attribute__((noinline, visibility("default"))) void burn_the_processor(int ms);
void burn_the_processor(int ms)
{
    int64_t until = now_ns(CLOCK_MONOTONIC) + (int64_t)ms * 1000000;
    while (now_ns(CLOCK_MONOTONIC) < until) {
    }
}

#define BEGUN "is holding the loop, for "
#define ENDED "held the loop for "

/* One step that lasts until the watch has said so n times in all: however loaded the machine is. */
static void hold_the_loop(int n, bool by_computing)
{
    int64_t until = now_ns(CLOCK_MONOTONIC) + INT64_C(10000000000);
    while (count_of(BEGUN) < n && !is_in_vain() && now_ns(CLOCK_MONOTONIC) < until) {
        struct timespec ts = {.tv_nsec = 2000000};
        if (by_computing) {
            burn_the_processor(2);
        } else {
            nanosleep(&ts, NULL);
        }
    }
}

static void slow_on(tug_duration d, bool trace)
{
    tug_debug_options o = {.size = sizeof o, .slow_step = d, .slow_backtrace = trace};
    assert_ok(tug_debug_set(&o));
    tug_log_set_sink(keep, NULL);
}

static void run(tug_task_fn fn)
{
    tug_test_options o = TUG_TEST_OPTIONS_INIT;
    o.real_clock = true;
    assert_ok(tug_test_run(fn, NULL, &o));
    tug_log_set_sink(NULL, NULL);
    assert_ok(tug_debug_set(NULL));
}

static int slow_task(void *arg)
{
    (void)arg;
    tug_task_set_name("burner");
    hold_the_loop(1, true);
    wait_logged(ENDED, 1);
    return 0;
}

TEST(a_slow_task_is_named_once_with_its_time)
{
    slow_on(TUG_MS(40), false);
    run(slow_task);
    assert_logged("task 1 \"burner\" is holding the loop, for ");
    assert_logged("task 1 \"burner\" held the loop for ");
    assert_logged(", spawned at unit-slow+0x");
    assert_int_equal(records, 2); /* that it does, and how long it was in the end */
    long ms = 0, cpu = 0;
    assert_int_equal(sscanf(strstr(logged, "\" held the loop for "),
                            "\" held the loop for %ld ms (%ld ms", &ms, &cpu),
                     2);
    assert_in_range(ms, 40, 20000);
    assert_in_range(cpu, 1, 20000);
    assert_int_equal(count_of(" at burn"), 0);
}

static int blocked_task(void *arg)
{
    (void)arg;
    tug_task_set_name("sleeper");
    hold_the_loop(1, false);
    wait_logged(ENDED, 1);
    return 0;
}

TEST(what_blocks_without_computing_shows_in_the_times)
{
    slow_on(TUG_MS(40), false);
    run(blocked_task);
    long ms = 0, cpu = 0;
    assert_int_equal(sscanf(strstr(logged, "\" held the loop for "),
                            "\" held the loop for %ld ms (%ld ms", &ms, &cpu),
                     2);
    assert_in_range(ms, 40, 20000);
    assert_true(cpu * 2 <= ms); /* it slept for most of it */
}

TEST(a_backtrace_shows_where_it_is)
{
    slow_on(TUG_MS(40), true);
    run(slow_task);
    if (!HAS_TSAN) {
        assert_logged(" of it on the CPU) at ");
        /* Static functions have no name here, their offsets are for addr2line. */
        assert_logged(" < ");
        assert_logged("unit-slow+0x");
    }
    struct sigaction now;
    assert_int_equal(sigaction(SIGURG, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void slow_callback(void *arg)
{
    (void)arg;
    hold_the_loop(1, true);
}

static int with_callback(void *arg)
{
    (void)arg;
    tug_on_loop_stack(slow_callback, NULL);
    wait_logged(ENDED, 1);
    return 0;
}

TEST(a_slow_callback_is_a_step_too)
{
    slow_on(TUG_MS(40), true);
    run(with_callback);
    assert_logged("a callback of the loop is holding the loop, for ");
    assert_logged("a callback of the loop held the loop for ");
}

static void quick_callback(void *arg)
{
    tug_call *call = arg;
    static int n;
    burn_the_processor(3);
    if (++n < 150) {
        tug_call_soon(call, quick_callback, call);
    }
}

static int many_short(void *arg)
{
    (void)arg;
    static tug_call call;
    tug_call_soon(&call, quick_callback, &call);
    for (int i = 0; i < 150; i++) {
        burn_the_processor(3);
        assert_ok(tug_yield());
    }
    return tug_sleep(TUG_MS(600)); /* idle is not slow */
}

TEST(many_short_steps_and_idling_are_not_slow)
{
    slow_on(TUG_MS(400), true);
    run(many_short);
    assert_string_equal(logged, "");
}

static int often(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 8; i++) {
        hold_the_loop(i, true);
        wait_logged(ENDED, i);
    }
    return 0;
}

TEST(at_most_five_backtraces_a_minute)
{
    slow_on(TUG_MS(20), true);
    run(often);
    assert_int_equal(count_of("held the loop for"), 8);
    assert_int_equal(count_of("is holding the loop"), 8);
    if (!HAS_TSAN) {
        assert_int_equal(count_of(" of it on the CPU) at "), 5);
    }
}

static volatile sig_atomic_t own_signals;
static void on_own(int number)
{
    (void)number;
    own_signals = own_signals + 1;
}

TEST(a_program_that_handles_the_signal_itself_keeps_it)
{
    signal(SIGURG, on_own);
    slow_on(TUG_MS(40), true);
    run(slow_task);
    assert_int_equal(count_of(" of it on the CPU) at "), 0);
    assert_int_equal(own_signals, 0);
    raise(SIGURG);
    assert_int_equal(own_signals, 1);
}

static int slow_main(void *arg)
{
    (void)arg;
    tug_task_set_name("the main task");
    hold_the_loop(1, true);
    wait_logged(ENDED, 1);
    return 0;
}

static int burn_only(void *arg)
{
    (void)arg;
    burn_the_processor(300);
    return tug_sleep(TUG_MS(50));
}

TEST(tug_main_has_it_by_itself_with_a_backtrace)
{
    tug_log_set_sink(keep, NULL);
    assert_int_equal(tug_main(slow_main, NULL), 0);
    tug_log_set_sink(NULL, NULL);
    assert_logged("\"the main task\" is holding the loop, for ");
    long ms = 0;
    assert_int_equal(sscanf(strstr(logged, BEGUN), BEGUN "%ld ms", &ms), 1);
    assert_in_range(ms, 100, 20000);
    if (!HAS_TSAN) {
        assert_logged(" of it on the CPU) at ");
    }
    memset(logged, 0, sizeof logged);
    tug_main_options o = TUG_MAIN_OPTIONS_INIT;
    o.slow_step = 0;
    tug_log_set_sink(keep, NULL);
    assert_int_equal(tug_main_with(burn_only, NULL, &o), 0);
    tug_log_set_sink(NULL, NULL);
    assert_string_equal(logged, "");
}

static atomic_int loops_up;
static atomic_bool a_loop_failed;

static int in_thread(void *arg)
{
    (void)arg;
    atomic_fetch_add(&loops_up, 1);
    while (loops_up < 2) {
        int rc = a_loop_failed ? TUG_EUSER : tug_sleep(TUG_MS(1));
        if (rc < 0) {
            return rc;
        }
    }
    hold_the_loop(2, true); /* both loops at once, each until the other is seen as well */
    return till_logged(ENDED, 2);
}

static void *thread(void *arg)
{
    (void)arg;
    int rc = tug_run(in_thread, NULL);
    a_loop_failed |= rc < 0;
    return (void *)(intptr_t)rc;
}

TEST(several_loops_are_watched_by_one_thread)
{
    pthread_t threads[2];
    slow_on(TUG_MS(30), true);
    int made = 0;
    while (made < 2 && pthread_create(&threads[made], NULL, thread, NULL) == 0) {
        made++;
    }
    a_loop_failed |= made < 2;
    void *rcs[2] = {NULL, NULL};
    for (int i = 0; i < made; i++) { /* none is left behind by a failed assertion */
        assert_int_equal(pthread_join(threads[i], &rcs[i]), 0);
    }
    assert_int_equal(made, 2);
    assert_ptr_equal(rcs[0], NULL);
    assert_ptr_equal(rcs[1], NULL);
    assert_int_equal(count_of(" held the loop for"), 2);
    assert_int_equal(count_of("is holding the loop"), 2);
    tug_log_set_sink(NULL, NULL);
    assert_ok(tug_debug_set(NULL));
}
