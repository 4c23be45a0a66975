#include <tug/inspect.h>
#include <tug/testing.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "task/main.h"
#include "task/task.h"
#include "util/alloc.h"

size_t tug_test_live_allocations(void)
{
    return tug__alloc_live();
}

size_t tug_test_live_futures(void)
{
    return tug__futures_live();
}

int tug_test_socketpair(int ret_fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) < 0) {
        return tug_fail(tug_error_from_errno(errno), "no socket pair: %s", strerrordesc_np(errno));
    }
    return 0;
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d != NULL) {
        while (readdir(d) != NULL) {
            n++;
        }
        closedir(d);
    }
    return n;
}

static tug_time fake_clock(struct tug_loop *loop)
{
    return loop->fake_now;
}

/* --- the bound: a test that hangs says where ---------------------------------------------------- */

/* The process is about to abort: what a signal handler may not do can do no more harm. */
static void on_alarm(int signal)
{
    (void)signal;
    fprintf(stderr, "tug: the test has passed its time bound; its tasks:\n");
    tug_inspect(stderr);
    abort();
}

static void bound(tug_duration d)
{
    struct itimerval at = {
        .it_value = {.tv_sec = d / 1000000000, .tv_usec = d % 1000000000 / 1000}};
    signal(SIGALRM, d > 0 ? on_alarm : SIG_DFL);
    setitimer(ITIMER_REAL, &at, NULL);
}

/* --- running ------------------------------------------------------------------------------------ */

struct leaks {
    size_t allocations;
    size_t fds;
};

static int report(const struct leaks *before, size_t tasks, size_t futures, int rc)
{
    size_t allocations = tug__alloc_live();
    size_t fds = open_fds();
    if (tasks == 0 && futures == 0 && allocations == before->allocations && fds == before->fds) {
        return rc;
    }
    fprintf(
        stderr,
        "tug: the test left behind: %zu tasks, %zu futures, %zd blocks of memory, %zd file descriptors\n",
        tasks, futures, (ssize_t)(allocations - before->allocations), (ssize_t)(fds - before->fds));
    return tug_fail(TUG_EMISUSE,
                    "the test left %zu tasks, %zu futures, %zd blocks, %zd file descriptors behind",
                    tasks, futures, (ssize_t)(allocations - before->allocations),
                    (ssize_t)(fds - before->fds));
}

int tug_test_run(tug_task_fn fn, void *arg, const tug_test_options *given)
{
    tug_test_options o = TUG_TEST_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (tug__loop != NULL) {
        return tug_fail(TUG_EMISUSE, "this thread has a loop already: one loop a thread");
    }
    struct leaks before = {tug__alloc_live(), open_fds()};
    struct tug_loop *loop = NULL;
    int rc = tug__loop_new(NULL, &loop);
    if (rc < 0) {
        return rc;
    }
    if (!o.real_clock) {
        loop->fake_now = TUG_SECONDS(1000); /* not 0: instants before the start exist too */
        loop->clock = fake_clock;
        tug__calendar_init(&loop->calendar, loop->fake_now);
        tug__loop_read_clock(loop);
    }
    tug__loop = loop;
    bound(o.bound);
    rc = tug__main_run(loop, fn, arg);
    bound(0);
    size_t tasks = tug__runtime(loop) != NULL ? tug__runtime(loop)->tasks : 0;
    size_t futures = tug__futures_live();
    tug__loop_free(loop);
    tug__loop = NULL;
    return report(&before, tasks, futures, rc);
}

static __thread tug_waiters settling; /* one loop a thread */

static bool wake_settling(struct tug_loop *loop)
{
    bool any = tug_waiters_any(&settling);
    loop->on_idle = NULL;
    tug_unpark_all(&settling, 0, NULL);
    return any;
}

void tug_test_settle(void)
{
    tug__loop->on_idle = wake_settling;
    TUG_IGNORE(tug_park_uncancellable(&settling, NULL, "settle"));
}
