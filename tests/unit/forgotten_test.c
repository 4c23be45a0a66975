/* What a program forgets: futures, leaves. What is reported, what aborts and with which words; and
 * what must not be reported. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "test.h"

static int on_abort(tug_future *f)
{
    (void)f;
    return TUG_ABORT_DONE;
}
static const tug_future_class fake = {
    .size = sizeof(tug_future_class), .name = "fake.query", .abort = on_abort};

/* There is one, or the test ends here. */
static tug_future *fresh(const tug_future_class *c)
{
    tug_future *f = tug_future_new(c);
    assert_non_null(f);
    return f;
}

/* --- the report --------------------------------------------------------------------------------- */

static int reports;
static void count_reports(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "without ever being awaited") != NULL) {
        assert_non_null(strstr(record->text, "fake.query"));
        reports++;
    }
}

static void watch(tug_future *f, void *arg)
{
    (void)f;
    (void)arg;
}

static void use(tug_future *f, int how)
{
    size_t which = 0;
    tug_completed *c = NULL;
    switch (how) {
    case 0:
        assert_rc(TUG_WITHIN(0, tug_await(f)), TUG_ETIMEDOUT);
        break;
    case 1:
        assert_rc(TUG_WITHIN(TUG_MS(1), tug_await(f)), TUG_ETIMEDOUT);
        break;
    case 2:
        tug_future_on_settled(tug_future_ref(f), watch, NULL);
        break;
    case 3:
        assert_rc(TUG_WITHIN(0, tug_gather(&f, 1)), TUG_ETIMEDOUT);
        break;
    case 4:
        assert_rc(TUG_WITHIN(0, tug_wait_any(&f, 1, &which)), TUG_ETIMEDOUT);
        break;
    case 5:
        assert_rc(TUG_WITHIN(0, tug_wait_first_error(&f, 1, &which)), TUG_ETIMEDOUT);
        break;
    case 6:
        assert_ok(tug_as_completed(&f, 1, &c));
        tug_completed_close(c);
        break;
    case 7:
        tug_future_cancel(f);
        break;
    case 8:
        tug_future_timeout(f, TUG_SECONDS(1));
        break;
    case 9:
        tug_future_detach(tug_future_ref(f));
        break;
    case 10:
        assert_rc(TUG_WITHIN(0, tug_await_own(f)), TUG_ETIMEDOUT);
        break;
    case 11:
        tug_future_settle(f, NULL); /* what has happened is no forgotten wait */
        break;
    default:
        fail_msg("no way %d to use a future", how);
    }
}

TASK_TEST(only_what_was_never_used_is_reported)
{
    tug_log_set_sink(count_reports, NULL);
    tug_future_unref(fresh(&fake));
    assert_int_equal(reports, 1);
    for (int how = 0; how <= 11; how++) {
        tug_future *f = fresh(&fake);
        use(f, how);
        if (how == 2) { /* the watcher has a reference */
            tug_future_cancel(f);
            assert_ok(tug_yield());
        }
        tug_future_unref(f);
    }
    assert_int_equal(reports, 1);
    tug_future_unref(fresh(&fake));
    assert_int_equal(reports, 2);
    tug_log_set_sink(NULL, NULL);
}

static int drop_in_cancelled_scope(void *arg)
{
    tug_future *f = fresh(&fake);
    int rc = tug_sleep(TUG_SECONDS(1));
    (void)arg;
    tug_future_unref(f); /* the early return of who was cancelled */
    return rc;
}

TASK_TEST(a_cancelled_scope_excuses)
{
    tug_log_set_sink(count_reports, NULL);
    assert_rc(TUG_WITHIN(TUG_MS(1), drop_in_cancelled_scope(NULL)), TUG_ETIMEDOUT);
    tug_scope outer, shield;
    tug_scope_enter(&outer, TUG_FOREVER);
    tug_scope_cancel(&outer);
    tug_future_unref(fresh(&fake));
    assert_int_equal(reports, 0);
    tug_shield_enter(&shield, TUG_SECONDS(1)); /* in which waits work as ever */
    tug_future_unref(fresh(&fake));
    assert_int_equal(reports, 1);
    assert_rc(tug_scope_leave(&shield, 0), 0);
    assert_rc(tug_scope_leave(&outer, 0), 0);
    tug_log_set_sink(NULL, NULL);
}

/* --- what aborts -------------------------------------------------------------------------------- */

/* Runs body as a task in a process of its own: it must abort and say this. */
static void aborts(int (*body)(void *arg), const char *says)
{
    int err[2], status = 0;
    char text[4096];
    size_t used = 0;
    ssize_t n;
    assert_int_equal(pipe(err), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the next test */
        dup2(err[1], STDERR_FILENO);
        close(err[1]);
        _exit(tug_test_run(body, NULL, NULL) == 0 ? 0 : 1);
    }
    close(err[1]);
    while (used + 1 < sizeof text && (n = read(err[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = 0;
    close(err[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || strstr(text, says) == NULL) {
        fail_msg("status %x, said \"%s\", not \"%s\"", (unsigned)status, text, says);
    }
}

static int forget_future(void *arg)
{
    (void)arg;
    tug_future_unref(fresh(&fake));
    return 0;
}

TEST(debugging_aborts_at_a_forgotten_await)
{
    setenv("TUG_DEBUG", "1", 1);
    aborts(forget_future, "tug: a pending fake.query was forgotten");
}

static int forget_scope(void *arg)
{
    static tug_scope s;
    (void)arg;
    tug_task_set_name("careless");
    tug_scope_enter(&s, TUG_FOREVER);
    return 0;
}

static int forget_group(void *arg)
{
    static tug_group g;
    (void)arg;
    tug_task_set_name("careless");
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    return 0;
}

TEST(a_forgotten_leave_aborts_at_the_end_of_the_task)
{
    aborts(forget_scope, "task \"careless\" ended inside a scope or group that it had entered");
    aborts(forget_group, "task \"careless\" ended inside a scope or group that it had entered");
}

__attribute__((noinline)) static void enter_and_return(void)
{
    tug_scope s;
    tug_scope_enter(&s, TUG_SECONDS(1));
}

__attribute__((noinline)) static void enter_group_and_return(void)
{
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(1), TUG_FAIL_FAST);
}

static int wait_behind_a_dead_scope(void *arg)
{
    (void)arg;
    tug_task_set_name("careless");
    enter_and_return();
    return tug_sleep(TUG_MS(1));
}

static int wait_behind_a_dead_group(void *arg)
{
    (void)arg;
    tug_task_set_name("careless");
    enter_group_and_return();
    tug_future *f = fresh(&fake);
    int rc = tug_await(f);
    tug_future_unref(f);
    return rc;
}

/* AddressSanitizer keeps dead frames elsewhere, and reports the access itself. */
#if !defined(__SANITIZE_ADDRESS__)
#if defined(__has_feature)
#if !__has_feature(address_sanitizer)
#define DEAD_FRAMES_ARE_SEEN 1
#endif
#else
#define DEAD_FRAMES_ARE_SEEN 1
#endif
#endif

TEST(a_wait_inside_a_scope_of_a_dead_frame_aborts)
{
#if defined(DEAD_FRAMES_ARE_SEEN)
    aborts(wait_behind_a_dead_scope,
           "waits inside a scope or group of a function that has returned");
    aborts(wait_behind_a_dead_group,
           "waits inside a scope or group of a function that has returned");
#else
    (void)wait_behind_a_dead_scope;
    (void)wait_behind_a_dead_group;
#endif
}

static int leave_the_outer_one(void *arg)
{
    tug_scope outer, inner;
    (void)arg;
    tug_scope_enter(&outer, TUG_FOREVER);
    tug_scope_enter(&inner, TUG_FOREVER);
    return tug_scope_leave(&outer, 0);
}

static int leave_twice(void *arg)
{
    tug_scope s;
    (void)arg;
    tug_scope_enter(&s, TUG_FOREVER);
    assert_ok(tug_scope_leave(&s, 0));
    return tug_scope_leave(&s, 0);
}

TEST(leaves_out_of_order_abort)
{
    aborts(leave_the_outer_one, "they are left in the reverse order");
    aborts(leave_twice, "they are left in the reverse order");
}

static int watch_twice(void *arg)
{
    tug_future *f = fresh(&fake);
    (void)arg;
    tug_future_on_settled(tug_future_ref(f), watch, NULL);
    tug_future_on_settled(f, watch, NULL);
    return 0;
}

TEST(a_second_watcher_aborts)
{
    aborts(watch_twice, "a future has one watcher");
}
