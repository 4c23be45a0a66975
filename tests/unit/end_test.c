#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "test.h"

static int stops, ends;
static void on_stop(void *arg)
{
    (void)arg;
    stops++;
}
static void on_end(void *arg)
{
    (void)arg;
    ends++;
}

static int wait_stop(void *arg)
{
    int rc = tug_wait_stopping();
    *(bool *)arg = rc == 0;
    return rc;
}

TASK_TEST(a_request_to_stop_reaches_hooks_and_waiters_once)
{
    bool told = false;
    tug_stop_hook hook = {0}, late = {0}, gone = {0};
    tug_on_stop(&hook, on_stop, NULL);
    tug_on_stop(&gone, on_stop, NULL);
    tug_on_stop_forget(&gone);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_stop, &told));
    assert_ok(tug_yield());
    assert_false(tug_is_stopping());
    tug_stop(TUG_SECONDS(1));
    tug_stop(0);
    assert_true(tug_is_stopping());
    assert_int_equal(stops, 1);
    tug_on_stop(&late, on_stop, NULL);
    assert_int_equal(stops, 2);
    assert_ok(tug_group_leave(&g, 0));
    assert_true(told);
    assert_ok(tug_sleep(TUG_MS(999)));
    assert_rc(tug_sleep(TUG_MS(10)), TUG_ECANCELED); /* the drain time is over */
}

static int service(void *arg)
{
    int *log = arg;
    assert_ok(tug_sleep(TUG_MS(50))); /* not cancelled while user tasks live, nor by their end */
    *log = 1;
    return 0;
}

static int service_log;
static int main_with_service(void *arg)
{
    static tug_end_hook hook;
    (void)arg;
    hook = (tug_end_hook){0};
    tug_on_end(&hook, on_end, NULL);
    tug_scope s;
    tug_scope_enter(&s, 0);
    assert_ok(tug_service_spawn("late", service, &service_log));
    return tug_scope_leave(&s, 0);
}

TEST(service_tasks_outlive_user_tasks_and_inherit_no_scope)
{
    assert_ok(tug_test_run(main_with_service, NULL, NULL));
    assert_int_equal(service_log, 1);
    assert_int_equal(ends, 1);
}

static int stuck_service(void *arg)
{
    int rc = tug_sleep(TUG_FOREVER);
    *(int *)arg = rc;
    return rc;
}

static int main_with_stuck(void *arg)
{
    return tug_service_spawn("stuck", stuck_service, arg);
}

TEST(a_stuck_service_task_is_cancelled_after_its_grace)
{
    int seen = 0;
    assert_ok(tug_test_run(main_with_stuck, &seen, NULL));
    assert_int_equal(seen, TUG_ECANCELED);
}

/* --- whole programs: tug_main in a child process, whose exit status and stderr count ---------------- */

static int ready_fd;

static void say_ready(void)
{
    assert_int_equal(write(ready_fd, "r", 1), 1);
}

static int program(tug_task_fn fn, tug_duration drain, const int *signals, int n, char *text,
                   size_t size)
{
    int ready[2], err[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(err), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        ready_fd = ready[1];
        dup2(err[1], STDERR_FILENO);
        tug_main_options o = TUG_MAIN_OPTIONS_INIT;
        o.drain = drain;
        _exit(tug_main_with(fn, NULL, &o));
    }
    close(ready[1]);
    close(err[1]);
    for (int i = 0; i < n; i++) {
        char c;
        assert_int_equal(read(ready[0], &c, 1),
                         1); /* the program says when it wants the next one */
        assert_int_equal(kill(pid, signals[i]), 0);
    }
    size_t got = 0;
    ssize_t r;
    while (got + 1 < size && (r = read(err[0], text + got, size - 1 - got)) > 0) {
        got += (size_t)r;
    }
    text[got] = 0;
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready[0]);
    close(err[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static char err_text[4096];

static int fails(void *arg)
{
    (void)arg;
    return tug_fail(TUG_EUSER, "cannot read orders: no such table");
}

TEST(a_failed_program_says_one_line_and_exits_with_1)
{
    assert_int_equal(program(fails, 0, NULL, 0, err_text, sizeof err_text), 1);
    assert_non_null(strstr(err_text, ": cannot read orders: no such table\n"));
    assert_ptr_equal(strchr(err_text, '\n'), err_text + strlen(err_text) - 1);
}

static int drains(void *arg)
{
    (void)arg;
    say_ready();
    int rc = tug_wait_stopping();
    return rc < 0 ? rc : tug_sleep(TUG_MS(5)); /* what is in hand is finished */
}

TEST(sigterm_asks_to_stop_and_exits_with_0)
{
    const int signals[] = {SIGTERM};
    assert_int_equal(program(drains, TUG_SECONDS(20), signals, 1, err_text, sizeof err_text), 0);
    assert_string_equal(err_text, "");
}

static int ignores_stop(void *arg)
{
    (void)arg;
    say_ready();
    return tug_sleep(TUG_FOREVER);
}

TEST(after_the_drain_time_what_runs_is_cancelled_and_the_exit_is_0)
{
    const int signals[] = {SIGINT};
    assert_int_equal(program(ignores_stop, TUG_MS(10), signals, 1, err_text, sizeof err_text), 0);
}

static int shielded(void *arg)
{
    tug_scope s;
    (void)arg;
    tug_shield_enter(&s, TUG_FOREVER);
    say_ready();
    int rc = tug_wait_stopping();
    assert_int_equal(rc, 0);
    say_ready();
    rc = tug_sleep(TUG_FOREVER);
    return tug_scope_leave(&s, rc);
}

TEST(a_second_signal_pierces_shields)
{
    const int signals[] = {SIGTERM, SIGINT};
    assert_int_equal(program(shielded, TUG_SECONDS(20), signals, 2, err_text, sizeof err_text),
                     128 + SIGINT);
}

static int lingers(void *arg)
{
    tug_scope s;
    (void)arg;
    tug_shield_enter(&s, TUG_FOREVER);
    say_ready(); /* upon the first one it is told nothing: its time is the end's */
    int rc = tug_sleep(TUG_MS(1));
    assert_int_equal(rc, 0);
    say_ready();
    rc = tug_sleep(TUG_FOREVER);
    return tug_scope_leave(&s, rc);
}

static int leaves_a_lingering_service(void *arg)
{
    (void)arg;
    return tug_service_spawn("lingers", lingers, NULL);
}

TEST(a_second_signal_ends_the_goodbyes_too)
{
    /* On a slow day both are there before one is looked at: then the lower number is the first. */
    const int signals[] = {SIGINT, SIGTERM};
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(
        program(leaves_a_lingering_service, TUG_SECONDS(20), signals, 2, err_text, sizeof err_text),
        128 + SIGTERM);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 9); /* not the ten seconds that it had */
}

static int stops_late(void *arg)
{
    tug_stop(TUG_SECONDS(3600)); /* there is nothing left to drain */
    *(int *)arg = tug_sleep(TUG_SECONDS(1800));
    return 0;
}

static int main_with_late_stop(void *arg)
{
    return tug_service_spawn("late", stops_late, arg);
}

TEST(a_request_to_stop_among_the_goodbyes_gives_them_no_more_time)
{
    int seen = 0;
    assert_ok(tug_test_run(main_with_late_stop, &seen, NULL));
    assert_int_equal(seen, TUG_ECANCELED);
}

static int overflow(volatile char *above, int depth)
{
    volatile char block[2048];
    block[0] = above != NULL ? above[0] : 1;
    return depth == 0 ? 0 : overflow(block, depth - 1) + block[0];
}

static int overflows(void *arg)
{
    (void)arg;
    tug_task_set_name("deep-one");
    return overflow(NULL, 1 << 20);
}

TEST(an_overflow_names_its_task)
{
    /* SIGSEGV, or what a sanitizer makes of it. */
    assert_int_not_equal(program(overflows, 0, NULL, 0, err_text, sizeof err_text), 0);
    assert_non_null(strstr(err_text, "the stack of task \"deep-one\" is full"));
}

/* --- the report of what does not end ------------------------------------------------------------- */

static int stubborn_child(void *arg)
{
    (void)arg;
    tug_task_set_name("stubborn");
    while (tug_sleep(TUG_MS(1)) != TUG_ECANCELED) {
    }
    tug_scope s;
    tug_shield_enter(&s, TUG_SECONDS(6)); /* a goodbye that takes too long */
    int rc = tug_sleep(TUG_FOREVER);
    return tug_scope_leave(&s, rc);
}

static int stubborn_main(void *arg)
{
    tug_group g;
    (void)arg;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    tug_group_spawn(&g, stubborn_child, NULL);
    tug_stop(TUG_MS(100));
    return tug_group_leave(&g, 0);
}

static void to_stderr(const tug_log_record *r, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s\n", r->text);
}

static int stubborn_loop(void *arg)
{
    (void)arg;
    _exit(tug_test_run(stubborn_main, NULL, NULL) == TUG_ECANCELED ? 0 : 3);
}

/* Under the test clock: six seconds are none. */
static int logged(int (*fn)(void *arg), char *text, size_t size)
{
    int err[2];
    assert_int_equal(pipe(err), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(err[1], STDERR_FILENO);
        close(err[0]);
        close(err[1]);
        tug_log_set_sink(to_stderr, NULL);
        fn(NULL);
    }
    close(err[1]);
    size_t got = 0;
    ssize_t r;
    while (got + 1 < size && (r = read(err[0], text + got, size - 1 - got)) > 0) {
        got += (size_t)r;
    }
    text[got] = 0;
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(err[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(the_log_says_what_is_cancelled_and_what_does_not_end_then)
{
    assert_int_equal(logged(stubborn_loop, err_text, sizeof err_text), 0);
    const char *drained = strstr(err_text, "the drain time is over, what still runs is cancelled: "
                                           "2 tasks, 0 blocking calls\n");
    const char *patience = strstr(err_text, "cancelled, but still there: 2 tasks");
    assert_non_null(drained);
    assert_non_null(patience);
    assert_true(drained < patience);
    /* Who, what for, since when, where from. */
    assert_non_null(strstr(drained, "  task 1 \"main\" waits for group since 0.10"));
    assert_non_null(strstr(drained, "  task 2 \"stubborn\" waits for sleep since 0.00"));
    assert_non_null(strstr(patience, "  task 2 \"stubborn\" waits for sleep since 5.00"));
    assert_non_null(strstr(patience, ", spawned at unit-end+0x"));
    /* The shield's grace ended it before the next report, after ten seconds. */
    assert_null(strstr(patience + 1, "cancelled, but still there"));
}

TEST(a_program_without_a_log_says_it_on_stderr)
{
    const int signals[] = {SIGINT};
    assert_int_equal(program(ignores_stop, TUG_MS(10), signals, 1, err_text, sizeof err_text), 0);
    assert_non_null(strstr(err_text, ": the drain time is over, what still runs is cancelled: 1 "
                                     "tasks"));
    assert_non_null(strstr(err_text, "\"main\" waits for sleep since 0.0"));
}

static int service_is_stuck(void *arg)
{
    static int seen;
    (void)arg;
    _exit(tug_test_run(main_with_stuck, &seen, NULL) == 0 && seen == TUG_ECANCELED ? 0 : 3);
}

TEST(services_that_do_not_close_are_named)
{
    assert_int_equal(logged(service_is_stuck, err_text, sizeof err_text), 0);
    assert_non_null(strstr(err_text, "not closed in time, what still runs is cancelled: 1 tasks, 0 "
                                     "blocking calls"));
    assert_non_null(strstr(err_text, "\"stuck\" waits for sleep since 10.0"));
}
