/* tug_run_threads: a loop in each of n threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/sys/driver.h>

#include "test.h"

static atomic_int started;
static atomic_uintptr_t loops[64];

static int note_loop(void *arg)
{
    int i = atomic_fetch_add(&started, 1);
    if (i < 64) {
        atomic_store(&loops[i], (uintptr_t)tug_loop_current());
    }
    assert_ok(tug_sleep(TUG_MS(1)));
    return arg != NULL ? *(int *)arg : 0;
}

TEST(each_thread_has_a_loop_of_its_own)
{
    size_t before = tug_test_live_allocations();
    int more_than_zero = 5;
    started = 0;
    assert_ok(tug_run_threads(5, note_loop, &more_than_zero));
    assert_int_equal(started, 5);
    assert_true(loops[0] != 0);
    assert_null(tug_loop_current());
    assert_int_equal(tug_test_live_allocations(), before);
}

TEST(as_many_as_there_are_processors)
{
    cpu_set_t set;
    started = 0;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_ok(tug_run_threads(0, note_loop, NULL));
    assert_int_equal(started, CPU_COUNT(&set));
}

static atomic_int stopped, order;

static int one_fails(void *arg)
{
    (void)arg;
    if (atomic_fetch_add(&order, 1) == 2) {
        return tug_fail(TUG_EUSER - 1, "no database for the third");
    }
    int rc = tug_wait_stopping();
    atomic_fetch_add(&stopped, rc == 0);
    /* What comes of the stop is not the first failure. */
    return tug_fail(TUG_ECLOSED, "closed because of the stop");
}

TEST(the_first_failure_stops_the_others_and_is_returned)
{
    order = stopped = 0;
    assert_rc(tug_run_threads(4, one_fails, NULL), TUG_EUSER - 1);
    assert_int_equal(tug_last_error()->code, TUG_EUSER - 1);
    assert_detail_has("no database for the third");
    assert_int_equal(stopped, 3);
}

/* Each member ends when tug_run_threads has come to its join, so those before it are joined and done with. */
static pthread_mutex_t join_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t join_began = PTHREAD_COND_INITIALIZER;
static pthread_t joined[8];
static int joined_count;

int __real_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_join(pthread_t thread, void **ret_value);
int __wrap_pthread_join(pthread_t thread, void **ret_value)
{
    pthread_mutex_lock(&join_lock);
    if (joined_count < 8) {
        joined[joined_count++] = thread;
    }
    pthread_cond_broadcast(&join_began);
    pthread_mutex_unlock(&join_lock);
    return __real_pthread_join(thread, ret_value);
}

static int last_one_fails(void *arg)
{
    int n = *(const int *)arg, at = 0;
    pthread_mutex_lock(&join_lock);
    for (;; at++) {
        while (at == joined_count) { /* this loop has nothing else to do */
            pthread_cond_wait(&join_began, &join_lock);
        }
        if (pthread_equal(joined[at], pthread_self())) {
            break;
        }
    }
    pthread_mutex_unlock(&join_lock);
    return at + 1 < n ? 0 : tug_fail(TUG_EUSER - 1, "too late to stop anybody");
}

TEST(a_failure_when_others_have_been_joined_already)
{
    int n = 3;
    joined_count = 0; /* of other cases */
    assert_rc(tug_run_threads((size_t)n, last_one_fails, &n), TUG_EUSER - 1);
    assert_detail_has("too late");
    assert_int_equal(joined_count, n);
}

static int stops_itself(void *arg)
{
    (void)arg;
    bool first = atomic_fetch_add(&order, 1) == 0;
    if (first) {
        assert_false(tug_is_stopping()); /* the first request counts, and would leave 20 s */
        tug_stop(0);
        return tug_sleep(TUG_FOREVER); /* cancelled, as was asked for: no failure */
    }
    assert_ok(tug_sleep(TUG_MS(5)));
    atomic_fetch_add(&stopped, tug_is_stopping());
    return 0;
}

TEST(one_that_was_asked_to_stop_leaves_the_others_alone)
{
    order = stopped = 0;
    assert_ok(tug_run_threads(3, stops_itself, NULL));
    assert_int_equal(stopped, 0);
}

/* The failure leaves nobody behind, however early it comes. */
static int all_fail(void *arg)
{
    (void)arg;
    return tug_fail(TUG_EUSER, "at once");
}

TEST(failures_at_once)
{
    for (int i = 0; i < test_many(20, 2); i++) {
        assert_rc(tug_run_threads(6, all_fail, NULL), TUG_EUSER);
        assert_detail_has("at once");
    }
}

static atomic_int background_ended;

static int background(void *arg)
{
    (void)arg;
    int rc = tug_wait_stopping();
    atomic_fetch_add(&background_ended, 1);
    return rc;
}

static int others_run_on(void *arg)
{
    (void)arg;
    assert_ok(tug_group_spawn(tug_background(), background, NULL));
    return atomic_fetch_add(&order, 1) == 1 ? TUG_ERANGE : 0;
}

/* Its own other tasks are asked to stop as well. */
TEST(a_failed_main_task_does_not_wait_for_a_signal_that_never_comes)
{
    order = background_ended = 0;
    assert_rc(tug_run_threads(2, others_run_on, NULL), TUG_ERANGE);
    assert_int_equal(background_ended, 2);
}

TEST(bad_numbers_are_refused)
{
    assert_rc(tug_run_threads(1025, all_fail, NULL), TUG_EINVAL);
}

TASK_TEST(a_thread_with_a_loop_may_not_wait_for_others)
{
    assert_rc(tug_run_threads(2, all_fail, NULL), TUG_EMISUSE);
    assert_detail_has("runs a loop already");
}
