#include <tug/signal.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/scope.h>
#include <unistd.h>

#include "loop/signal.h"
#include "test.h"

static int others;
static void of_another(int number)
{
    (void)number;
    others++;
}

static void set_handler(int number, void (*fn)(int number))
{
    struct sigaction a = {.sa_handler = fn};
    sigemptyset(&a.sa_mask);
    assert_int_equal(sigaction(number, &a, NULL), 0);
}

static void (*handler_of(int number))(int number)
{
    struct sigaction a;
    assert_int_equal(sigaction(number, NULL, &a), 0);
    return a.sa_handler;
}

static const int two[] = {SIGUSR1, SIGUSR2};

TASK_TEST(signals_are_told_once_each_and_given_back)
{
    TUG_AUTO(tug_signal) s = NULL;
    int n = 0;
    set_handler(SIGUSR1, of_another);
    assert_ok(tug_signal_open(two, 2, &s));
    errno = 77;
    for (int i = 0; i < 5; i++) {
        raise(SIGUSR2);
    }
    raise(SIGUSR1);
    assert_int_equal(errno, 77);
    tug_test_settle();
    assert_rc(tug_signal_next(s, &n), 1);
    assert_int_equal(n, SIGUSR1);
    assert_rc(tug_signal_next(s, &n), 1);
    assert_int_equal(n, SIGUSR2);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_signal_next(s, &n)), TUG_ETIMEDOUT);
    assert_int_equal(others, 0);
    tug_signal_close(s);
    s = NULL;
    assert_true(handler_of(SIGUSR1) == of_another);
    assert_true(handler_of(SIGUSR2) == SIG_DFL);
    raise(SIGUSR1);
    assert_int_equal(others, 1);
}

struct waiting {
    tug_signal *s;
    int rc, number;
};

static int wait_for_one(void *arg)
{
    struct waiting *w = arg;
    w->rc = tug_signal_next(w->s, &w->number);
    return 0;
}

TASK_TEST(each_subscriber_gets_it_and_each_of_its_tasks_waits_for_one)
{
    TUG_AUTO(tug_signal) a = NULL;
    TUG_AUTO(tug_signal) b = NULL;
    struct waiting w[3];
    tug_group g;
    assert_ok(tug_signal_open(two, 2, &a));
    assert_ok(tug_signal_open(two, 1, &b));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        w[i] = (struct waiting){.s = i < 2 ? a : b};
        assert_ok(tug_group_spawn(&g, wait_for_one, &w[i]));
    }
    assert_ok(tug_yield());
    raise(SIGUSR1);
    tug_test_settle();
    assert_int_equal(tug_group_running(&g), 1); /* the second one of a */
    raise(SIGUSR2);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, 1);
    assert_int_equal(w[0].number, SIGUSR1);
    assert_int_equal(w[1].number, SIGUSR2);
    assert_int_equal(w[2].number, SIGUSR1);
}

static void cancel_group(int number, void *arg)
{
    (void)number;
    tug_group_cancel(arg);
}

TASK_TEST(a_task_that_was_chosen_and_cancelled_has_the_signal)
{
    TUG_AUTO(tug_signal) s = NULL;
    tug_group g;
    /* The earlier watch is told later: the task is chosen, then cancelled, before it can run. */
    assert_ok(tug__signal_watch(SIGUSR1, cancel_group, &g));
    assert_ok(tug_signal_open(two, 1, &s));
    struct waiting w = {.s = s};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_for_one, &w));
    assert_ok(tug_yield());
    raise(SIGUSR1);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 1);
    assert_int_equal(w.number, SIGUSR1);
}

TASK_TEST(a_cancelled_wait_took_nothing)
{
    TUG_AUTO(tug_signal) s = NULL;
    tug_group g;
    int n = 0;
    assert_ok(tug_signal_open(two, 1, &s));
    struct waiting w = {.s = s};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_for_one, &w));
    assert_ok(tug_yield());
    tug_group_cancel(&g);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, TUG_ECANCELED);
    raise(SIGUSR1);
    tug_test_settle();
    tug_scope scope;
    tug_scope_enter(&scope, 0);
    assert_rc(tug_signal_next(s, &n), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&scope, 0), 0);
    assert_rc(tug_signal_next(s, &n), 1);
    assert_int_equal(n, SIGUSR1);
}

TASK_TEST(a_request_to_stop_is_the_end_behind_what_came_before)
{
    TUG_AUTO(tug_signal) s = NULL;
    TUG_AUTO(tug_signal) late = NULL;
    int n = 0;
    tug_group g;
    assert_ok(tug_signal_open(two, 2, &s));
    struct waiting w = {.s = s, .rc = 9};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_for_one, &w));
    assert_ok(tug_yield());
    tug_stop(TUG_FOREVER);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 0);
    raise(SIGUSR1);
    tug_test_settle();
    assert_rc(tug_signal_next(s, &n), 1);
    assert_rc(tug_signal_next(s, &n), 0);
    assert_ok(tug_signal_open(two, 2, &late));
    assert_rc(tug_signal_next(late, &n), 0);
}

TASK_TEST(close_wakes_who_waits)
{
    tug_signal *s = NULL;
    tug_group g;
    assert_ok(tug_signal_open(two, 1, &s));
    struct waiting w[2] = {{.s = s}, {.s = s}};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_for_one, &w[0]));
    assert_ok(tug_group_spawn(&g, wait_for_one, &w[1]));
    assert_ok(tug_yield());
    tug_signal_close(s);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, TUG_ECLOSED);
    assert_int_equal(w[1].rc, TUG_ECLOSED);
    assert_true(handler_of(SIGUSR1) == SIG_DFL);
}

TASK_TEST(what_cannot_be_watched_is_refused_and_nothing_stays)
{
    tug_signal *s = NULL;
    const int refused[] = {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, 32};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const int numbers[] = {SIGUSR1, refused[i]};
        assert_rc(tug_signal_open(numbers, 2, &s), TUG_EINVAL);
        assert_detail_has("cannot be watched");
        assert_true(handler_of(SIGUSR1) == SIG_DFL);
    }
    assert_rc(tug_signal_open(two, 0, &s), TUG_EINVAL);
    assert_null(s);
    tug_signal_close(NULL);
}

TASK_TEST(a_handler_that_somebody_put_over_ours_stays)
{
    TUG_AUTO(tug_signal) s = NULL;
    assert_ok(tug_signal_open(two, 1, &s));
    set_handler(SIGUSR1, of_another);
    tug_signal_close(s);
    s = NULL;
    assert_true(handler_of(SIGUSR1) == of_another);
}

/* --- the hub's own interface ------------------------------------------------------------------ */

static int calls;
static void count_calls(int number, void *arg)
{
    assert_int_equal(number, SIGUSR2);
    assert_null(tug_task_current());
    (*(int *)arg)++;
}

static int watch_internally(void *arg)
{
    assert_ok(tug__signal_watch(SIGUSR2, count_calls, arg));
    raise(SIGUSR2);
    tug_test_settle();
    assert_int_equal(calls, 1);
    for (int i = 0; i < 50; i++) {
        raise(SIGUSR2);
    }
    tug_test_settle();
    assert_int_equal(calls, 3); /* once, and again */
    return 0;
}

TEST(a_watch_of_the_core_lasts_as_long_as_the_loop)
{
    assert_ok(tug_test_run(watch_internally, &calls, NULL));
    assert_true(handler_of(SIGUSR2) == SIG_DFL);
}

/* --- several loops ----------------------------------------------------------------------------- */

enum {
    LOOPS = 3
};
static sem_t are_ready;
static int told[LOOPS];
static int next_loop;

static int loop_of_many(void *arg)
{
    (void)arg;
    TUG_AUTO(tug_signal) s = NULL;
    int n = 0;
    int *mine = &told[__atomic_fetch_add(&next_loop, 1, __ATOMIC_SEQ_CST)];
    assert_ok(tug_signal_open(two, 2, &s));
    sem_post(&are_ready);
    /* They may come in either order: different threads take them. */
    while (*mine != (1 << SIGUSR1 | 1 << SIGUSR2)) {
        int rc = tug_signal_next(s, &n);
        if (rc != 1) { /* another loop could not be made: this one is asked to stop */
            return rc;
        }
        *mine |= 1 << n;
    }
    return 0;
}

static void *send_signals(void *arg)
{
    (void)arg;
    for (int i = 0; i < LOOPS; i++) {
        while (sem_wait(&are_ready) < 0) {
        }
    }
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    return NULL;
}

TEST(each_loop_of_a_process_gets_its_signals)
{
    pthread_t t;
    sem_init(&are_ready, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, send_signals, NULL), 0);
    set_handler(SIGUSR1, SIG_IGN);
    set_handler(SIGUSR2, SIG_IGN);
    int rc = tug_run_threads(LOOPS, loop_of_many, NULL);
    for (int i = 0; i < LOOPS; i++) { /* should some not have come so far */
        sem_post(&are_ready);
    }
    pthread_join(t, NULL);
    assert_ok(rc);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(told[i], 1 << SIGUSR1 | 1 << SIGUSR2);
    }
    assert_true(handler_of(SIGUSR1) == SIG_IGN);
    assert_true(handler_of(SIGUSR2) == SIG_IGN);
}

static int open_and_close(void *arg)
{
    for (int i = 0; i < 200; i++) {
        tug_signal *s = NULL;
        assert_ok(tug_signal_open(two, 1, &s));
        tug_signal_close(s);
    }
    (void)arg;
    return 0;
}

static bool storm_is_over;
static void *storm(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&storm_is_over, __ATOMIC_SEQ_CST)) {
        kill(getpid(), SIGUSR1);
    }
    return NULL;
}

/* Loops come and go while signals come: no handler may write to a descriptor that is gone. */
TEST(loops_come_and_go_in_a_storm)
{
    pthread_t t;
    set_handler(SIGUSR1, SIG_IGN);
    assert_int_equal(pthread_create(&t, NULL, storm, NULL), 0);
    for (int i = 0; i < test_many(10, 2); i++) {
        assert_ok(tug_run_threads(3, open_and_close, NULL));
    }
    __atomic_store_n(&storm_is_over, true, __ATOMIC_SEQ_CST);
    pthread_join(t, NULL);
    assert_true(handler_of(SIGUSR1) == SIG_IGN);
}

/* --- left open --------------------------------------------------------------------------------- */

static int leave_open(void *arg)
{
    return tug_signal_open(two, 1, arg);
}

TEST(one_that_outlives_its_loop_can_still_be_closed)
{
    tug_signal *s = NULL;
    size_t before = tug_test_live_allocations();
    assert_ok(tug_run(leave_open, &s));
    assert_true(handler_of(SIGUSR1) == SIG_DFL);
    tug_signal_close(s);
    assert_int_equal(tug_test_live_allocations(), before);
}
