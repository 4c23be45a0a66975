/* Processes: pipes, environment, folder, status, and the end that each way of leaving brings. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/process.h>
#include <tug/value.h>
#include <unistd.h>

#include "kit/process.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(script) ARGV("sh", "-c", script)

static struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

static const char *content(tug_buffer *b)
{
    return b != NULL ? tug_buffer_bytes(b).data : "";
}

/* No child of this process is left, not even as a zombie. */
static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void wait_until_no_children(void)
{
    assert_soon(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT) < 0);
    assert_no_children();
}

LIVE_TEST(output_and_status_come_back)
{
    TUG_AUTO(tug_buffer) out = NULL;
    tug_process_status status = {0, 0};
    assert_ok(
        tug_process_run(SHELL("echo hello; exit 3"), NULL, tug_bytes(NULL, 0), 100, &out, &status));
    assert_string_equal(content(out), "hello\n");
    assert_int_equal(status.code, 3);
    assert_int_equal(status.signal, -1);
    assert_no_children();
}

LIVE_TEST(input_goes_in_and_may_be_ignored)
{
    TUG_AUTO(tug_buffer) out = NULL;
    TUG_AUTO(tug_buffer) none = NULL;
    tug_process_status status;
    size_t size = 1000000;
    char *input = malloc(size);
    assert_non_null(input);
    memset(input, 'x', size);
    assert_ok(tug_process_run(ARGV("wc", "-c"), NULL, tug_bytes(input, size), 100, &out, &status));
    assert_int_equal(atoi(content(out)), 1000000);
    assert_ok(tug_process_run(ARGV("true"), NULL, tug_bytes(input, size), 100, &none, &status));
    assert_int_equal(status.code, 0);
    free(input);
}

LIVE_TEST(a_signal_is_told_as_one)
{
    tug_process_status status;
    assert_ok(tug_process_run(SHELL("kill -9 $$"), NULL, tug_bytes(NULL, 0), 0, NULL, &status));
    assert_int_equal(status.code, -1);
    assert_int_equal(status.signal, SIGKILL);
}

LIVE_TEST(what_cannot_be_started_says_why)
{
    TEST_NOT_UNDER_VALGRIND(); /* its vfork is a fork: the failure of exec stays in the child */
    tug_process *p = NULL;
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    assert_rc(tug_process_start(ARGV("/no/such/program"), NULL, &p), -ENOENT);
    assert_detail_has("cannot start \"/no/such/program\": No such file");
    assert_rc(tug_process_start(ARGV("/"), NULL, &p), -EACCES);
    o.folder = "/no/such/folder";
    assert_rc(tug_process_start(ARGV("true"), &o, &p), -ENOENT);
    assert_detail_has("in \"/no/such/folder\"");
    o.folder = NULL;
    o.err = 77;
    assert_rc(tug_process_start(ARGV("true"), &o, &p), TUG_EINVAL);
    assert_detail_has("error output");
    o.err = TUG_PROCESS_FD;
    assert_rc(tug_process_start(ARGV("true"), &o, &p), -EBADF);
    assert_rc(tug_process_start((const char *const[]){NULL}, NULL, &p), TUG_EINVAL);
    assert_null(p);
    assert_no_children();
}

LIVE_TEST(environment_and_folder_are_what_was_asked_for)
{
    TUG_AUTO(tug_buffer) out = NULL;
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    tug_process_status status;
    o.environment = (const char *const[]){"A=1", "B=two words", NULL};
    o.folder = "/";
    assert_ok(tug_process_run(SHELL("echo \"$A,$B,$HOME,$(pwd)\""), &o, tug_bytes(NULL, 0), 100,
                              &out, &status));
    assert_string_equal(content(out), "1,two words,,/\n");
}

LIVE_TEST(it_has_three_descriptors_and_no_blocked_signals)
{
    TUG_AUTO(tug_buffer) out = NULL;
    tug_process_status status;
    int stray = open("/dev/null", O_RDONLY); /* without close-on-exec */
    assert_true(stray >= 0);
    signal(SIGPIPE, SIG_IGN);
    assert_ok(tug_process_run(
        SHELL("for f in /proc/self/fd/*; do echo ${f##*/}; done; grep -E 'Sig(Blk|Ign)' "
              "/proc/self/status"),
        NULL, tug_bytes(NULL, 0), 1000, &out, &status));
    signal(SIGPIPE, SIG_DFL);
    close(stray);
    /* 3 is the shell's own, reading the folder. */
    assert_non_null(strstr(content(out), "0\n1\n2\n3\nSigBlk:"));
    assert_non_null(strstr(content(out), "SigBlk:\t0000000000000000"));
    unsigned long long ignored = 1;
    const char *line = strstr(content(out), "SigIgn:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "SigIgn: %llx", &ignored), 1);
    /* The C library's posix_spawn ignores the two signals that it uses between threads. */
    assert_int_equal(ignored & ~(3ull << 31), 0);
}

LIVE_TEST(error_output_goes_where_it_should)
{
    TUG_AUTO(tug_buffer) out = NULL;
    TUG_AUTO(tug_buffer) err = NULL;
    TUG_AUTO(tug_buffer) both = NULL;
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    tug_process_status status;
    o.out = TUG_PROCESS_PIPE;
    o.err = TUG_PROCESS_PIPE;
    TUG_AUTO(tug_process) p = NULL;
    assert_ok(tug_process_start(SHELL("echo out; echo err >&2"), &o, &p));
    assert_null(tug_process_in(p));
    assert_ok(tug_stream_read_all(tug_process_err(p), 100, &err));
    assert_ok(tug_stream_read_all(tug_process_out(p), 100, &out));
    assert_string_equal(content(out), "out\n");
    assert_string_equal(content(err), "err\n");
    assert_ok(tug_process_wait(p, &status));
    assert_ok(tug_process_wait(p, &status)); /* and again */
    assert_int_equal(status.code, 0);
    assert_rc(tug_process_signal(p, SIGTERM), -ESRCH);
    o.err = TUG_PROCESS_OUT;
    assert_ok(tug_process_run(SHELL("echo out; echo err >&2"), &o, tug_bytes(NULL, 0), 100, &both,
                              &status));
    assert_string_equal(content(both), "out\nerr\n");
}

LIVE_TEST(descriptors_of_ones_own_are_passed_on)
{
    int fds[2];
    char got[16] = {0};
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    tug_process_status status;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    o.out = TUG_PROCESS_FD;
    o.out_fd = fds[1];
    assert_ok(tug_process_run(ARGV("echo", "hi"), &o, tug_bytes(NULL, 0), 0, NULL, &status));
    close(fds[1]);
    assert_int_equal(read(fds[0], got, sizeof got), 3);
    assert_string_equal(got, "hi\n");
    close(fds[0]);
}

LIVE_TEST(a_conversation_over_pipes)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    tug_process_status status;
    char line[64];
    o.in = o.out = TUG_PROCESS_PIPE;
    TUG_AUTO(tug_process) p = NULL;
    assert_ok(tug_process_start(ARGV("cat"), &o, &p));
    assert_true(tug_process_id(p) > 0);
    for (int i = 0; i < 10; i++) {
        assert_ok(tug_stream_write(tug_process_in(p), text("ping\n")));
        assert_int_equal(tug_stream_read_until(tug_process_out(p), text("\n"), line, sizeof line),
                         5);
    }
    assert_ok(tug_stream_shutdown(tug_process_in(p)));
    assert_int_equal(tug_stream_read(tug_process_out(p), line, sizeof line), 0);
    assert_ok(tug_process_wait(p, &status));
    assert_int_equal(status.code, 0);
}

LIVE_TEST(too_much_output_ends_it)
{
    tug_buffer *out = NULL;
    tug_process_status status;
    assert_rc(tug_process_run(ARGV("yes"), NULL, tug_bytes(NULL, 0), 100000, &out, &status),
              TUG_ELIMIT);
    assert_null(out);
    wait_until_no_children();
}

LIVE_TEST(a_cut_short_run_ends_it_and_what_it_has_started)
{
    tug_process_status status;
    tug_buffer *out = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_process_run(SHELL("sleep 1000 & sleep 1000; wait"), NULL,
                                                     tug_bytes(NULL, 0), 100, &out, &status)),
              TUG_ETIMEDOUT);
    assert_null(out);
    wait_until_no_children();
}

LIVE_TEST(a_cancelled_wait_leaves_it_alone_and_close_ends_it)
{
    tug_process_status status;
    tug_process *p = NULL;
    assert_ok(tug_process_start(ARGV("sleep", "1000"), NULL, &p));
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_process_wait(p, &status)), TUG_ETIMEDOUT);
    assert_ok(tug_process_signal(p, 0)); /* still there */
    tug_process_close(p);
    wait_until_no_children();
}

LIVE_TEST(who_does_not_listen_to_sigterm_is_killed_after_the_grace)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    char line[16];
    o.out = TUG_PROCESS_PIPE;
    o.grace = TUG_MS(30);
    tug_process *p = NULL;
    assert_ok(
        tug_process_start(SHELL("trap '' TERM; echo ready; while :; do sleep 1000; done"), &o, &p));
    assert_int_equal(tug_stream_read_until(tug_process_out(p), text("\n"), line, sizeof line), 6);
    tug_time before = tug_now();
    tug_process_close(p);
    wait_until_no_children();
    assert_true(tug_now() - before >= TUG_MS(30));
}

/* Whether no child is left. The leader is not ours to reap. */
static bool reap_all_but(int leader)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
        return true;
    }
    if (info.si_pid != 0 && info.si_pid != leader) {
        waitpid(info.si_pid, NULL, 0);
    }
    return false;
}

LIVE_TEST(what_it_has_started_goes_with_it_though_it_does_not_listen)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    char line[16];
    o.out = TUG_PROCESS_PIPE;
    o.grace = TUG_SECONDS(600);
    tug_process *p = NULL;
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* who loses its parent becomes our child */
    assert_ok(tug_process_start(
        SHELL(
            "(trap '' TERM; echo ready; while :; do sleep 1000; done) & trap 'exit 0' TERM; wait"),
        &o, &p));
    assert_int_equal(tug_stream_read_until(tug_process_out(p), text("\n"), line, sizeof line), 6);
    int leader = tug_process_id(p);
    tug_process_close(p);
    assert_soon(reap_all_but(leader));
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    assert_no_children();
}

LIVE_TEST(no_grace_is_sigkill_at_once)
{
    tug_process_options o = TUG_PROCESS_OPTIONS_INIT;
    o.grace = 0;
    tug_process *p = NULL;
    assert_ok(tug_process_start(SHELL("trap '' TERM; sleep 1000"), &o, &p));
    tug_process_close(p);
    wait_until_no_children();
}

static int wait_for(void *arg)
{
    tug_process_status status;
    return tug_process_wait(arg, &status);
}

LIVE_TEST(several_wait_and_a_close_tells_them)
{
    tug_process *p = NULL;
    assert_ok(tug_process_start(ARGV("sleep", "1000"), NULL, &p));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    tug_future *f[2] = {tug_group_start(&g, wait_for, p), tug_group_start(&g, wait_for, p)};
    assert_ok(tug_yield());
    tug_process_close(p);
    assert_rc(tug_await(f[0]), TUG_ECLOSED);
    assert_rc(tug_await(f[1]), TUG_ECLOSED);
    tug_future_drop_all(f, 2);
    assert_ok(tug_group_leave(&g, 0));
}

LIVE_TEST(an_end_that_was_told_survives_the_close)
{
    tug_process *p = NULL;
    assert_ok(tug_process_start(SHELL("exit 0"), NULL, &p));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_for, p));
    tug_process_status status;
    assert_ok(tug_process_wait(p, &status)); /* the other waiter is chosen too, and has not run */
    tug_process_close(p);
    assert_ok(tug_group_leave(&g, 0));
}

LIVE_TEST(cancelled_on_entry_nothing_starts)
{
    tug_process *p = NULL;
    tug_process_status status;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_process_start(ARGV("sleep", "1000"), NULL, &p), TUG_ECANCELED);
    assert_rc(tug_process_run(ARGV("sleep", "1000"), NULL, tug_bytes(NULL, 0), 0, NULL, &status),
              TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
    assert_null(p);
    assert_no_children();
}

static int start_one(void *arg)
{
    return tug_process_start(ARGV("sleep", "1000"), NULL, arg);
}

TEST(one_that_was_not_closed_ends_with_the_loop_and_is_closed_after_it)
{
    size_t before = tug_test_live_allocations();
    tug_process *p = NULL;
    assert_ok(tug_run(start_one, &p));
    assert_no_children();
    assert_rc(tug_process_signal(p, SIGTERM), -ESRCH);
    tug_process_close(p);
    assert_int_equal(tug_test_live_allocations(), before);
}

LIVE_TEST(without_pidfds_it_is_looked_at)
{
    TUG_AUTO(tug_buffer) out = NULL;
    tug_process_status status;
    tug__process_without_pidfd = true;
    assert_ok(
        tug_process_run(SHELL("echo x; exit 4"), NULL, tug_bytes(NULL, 0), 10, &out, &status));
    assert_int_equal(status.code, 4);
    tug_process *p = NULL;
    assert_ok(tug_process_start(ARGV("sleep", "1000"), NULL, &p));
    tug_process_close(p);
    assert_ok(tug_sleep(TUG_MS(1)));
    tug__process_without_pidfd = false;
}

static int run_true(void *arg)
{
    tug_process_status status;
    int rc = tug_process_run(ARGV("true"), NULL, tug_bytes(NULL, 0), 0, NULL, &status);
    *(int *)arg += rc == 0 && status.code == 0;
    return rc;
}

LIVE_TEST(many_at_once)
{
    int good = 0;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 50; i++) {
        assert_ok(tug_group_spawn(&g, run_true, &good));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(good, 50);
    assert_no_children();
}
