/* Calls from other threads: order, wake-ups, the end of the loop, tasks run from outside. */
#include <tug/remote.h>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/scope.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "loop/remote.h"
#include "test.h"

static pthread_t thread(void *(*fn)(void *arg), void *arg)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, fn, arg), 0);
    return t;
}

/* On a thread of a test: once more when memory was short, for an assertion there could not be met. */
static void post(tug_remote *r, void (*fn)(void *arg), void *arg)
{
    int rc;
    while ((rc = tug_remote_post(r, fn, arg)) == TUG_ENOMEM) {
    }
    if (rc != 0) {
        abort();
    }
}

static void set_event(void *arg)
{
    tug_event_set(arg);
}

/* --- posts ----------------------------------------------------------------------------------- */

enum {
    PRODUCERS = 4,
    EACH_MOST = 20000
};
#define EACH test_many(EACH_MOST, 100)

struct counter {
    int next[PRODUCERS];
    int total;
    tug_event *all;
};

struct numbered {
    struct counter *counter;
    int producer, number;
};

static struct numbered numbers[PRODUCERS][EACH_MOST];
static tug_remote *shared;

static void count(void *arg)
{
    struct numbered *n = arg;
    assert_int_equal(n->counter->next[n->producer]++, n->number);
    if (++n->counter->total == PRODUCERS * EACH) {
        tug_event_set(n->counter->all);
    }
}

static void *produce(void *arg)
{
    struct numbered *mine = arg;
    for (int i = 0; i < EACH; i++) {
        post(shared, count, &mine[i]);
    }
    return NULL;
}

LIVE_TEST(posts_of_each_thread_come_in_their_order)
{
    struct counter counter = {.total = 0};
    pthread_t threads[PRODUCERS];
    assert_ok(tug_event_new(&counter.all));
    assert_ok(tug_remote_new(&shared));
    for (int p = 0; p < PRODUCERS; p++) {
        for (int i = 0; i < EACH; i++) {
            numbers[p][i] = (struct numbered){&counter, p, i};
        }
        threads[p] = thread(produce, numbers[p]);
    }
    assert_ok(tug_event_wait(counter.all));
    for (int p = 0; p < PRODUCERS; p++) {
        pthread_join(threads[p], NULL);
        assert_int_equal(counter.next[p], EACH);
    }
    tug_remote_unref(shared);
    tug_event_unref(counter.all);
}

static int turns;
static int count_turns(void *arg)
{
    (void)arg;
    for (;;) {
        int rc = tug_yield();
        if (rc < 0) {
            return rc;
        }
        turns++;
    }
}

static void nothing(void *arg)
{
    (*(int *)arg)++;
}

/* From the loop's own thread, too; and a flood of posts leaves the tasks their share. */
TASK_TEST(posts_and_tasks_take_turns)
{
    TUG_AUTO(tug_remote) r = NULL;
    tug_group g;
    int n = 0;
    assert_ok(tug_remote_new(&r));
    for (int i = 0; i < 10000; i++) {
        assert_ok(tug_remote_post(r, nothing, &n));
    }
    assert_int_equal(n, 0);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, count_turns, NULL));
    while (n < 10000) {
        int before = n;
        assert_ok(tug_yield());
        assert_in_range(n - before, 0, 1024);
    }
    assert_true(turns > 5);
    tug_group_cancel(&g);
    TUG_IGNORE(tug_group_leave(&g, 0));
}

TASK_TEST(a_loop_has_one_remote)
{
    tug_remote *a = NULL, *b = NULL;
    assert_ok(tug_remote_new(&a));
    assert_ok(tug_remote_new(&b));
    assert_ptr_equal(a, b);
    assert_ptr_equal(tug_remote_ref(a), a);
    assert_null(tug_remote_unref(a));
    assert_null(tug_remote_unref(a));
    assert_null(tug_remote_unref(b));
    assert_null(tug_remote_unref(NULL));
}

TEST(a_remote_needs_a_loop)
{
    tug_remote *r = NULL;
    assert_rc(tug_remote_new(&r), TUG_EMISUSE);
    assert_detail_has("tug_remote_new needs a loop");
    assert_null(r);
}

struct own {
    tug_post post;
    tug_remote *remote;
    tug_event *event;
    int runs, again;
};

static void run_own(void *arg)
{
    struct own *o = arg;
    o->runs++;
    if (o->again-- > 0) { /* it is free again from here on */
        assert_ok(tug_remote_post_own(o->remote, &o->post));
    } else {
        tug_event_set(o->event);
    }
}

TASK_TEST(a_post_of_ones_own_is_queued_once)
{
    TUG_AUTO(tug_remote) r = NULL;
    struct own o = {.again = 3};
    assert_ok(tug_remote_new(&r));
    assert_ok(tug_event_new(&o.event));
    o.remote = r;
    o.post = (tug_post){.fn = run_own, .arg = &o};
    assert_ok(tug_remote_post_own(r, &o.post));
    assert_ok(tug_remote_post_own(r, &o.post));
    assert_ok(tug_event_wait(o.event));
    assert_int_equal(o.runs, 4);
    tug_event_unref(o.event);
}

static void fails_quietly(void *arg)
{
    *(int *)arg = tug_last_error()->code;
    TUG_IGNORE(tug_fail(TUG_EINVAL, "a post's own"));
}

TASK_TEST(each_post_has_a_detail_of_its_own)
{
    TUG_AUTO(tug_remote) r = NULL;
    int a = -1, b = -1;
    assert_ok(tug_remote_new(&r));
    TUG_IGNORE(tug_fail(TUG_ERANGE, "the task's"));
    assert_ok(tug_remote_post(r, fails_quietly, &a));
    assert_ok(tug_remote_post(r, fails_quietly, &b));
    tug_test_settle();
    assert_int_equal(a, 0);
    assert_int_equal(b, 0);
    assert_int_equal(tug_last_error()->code, TUG_ERANGE);
}

/* --- wake-ups -------------------------------------------------------------------------------- */

struct burst {
    sem_t go;
    tug_event *done;
    int n;
};

static void *bursts(void *arg)
{
    struct burst *b = arg;
    for (int i = 0; i < 20; i++) {
        while (sem_wait(&b->go) < 0) {
        }
        usleep(
            2000); /* so that the loop sleeps, as a rule: the count below does not depend on it */
        for (int k = 0; k < 1000; k++) {
            post(shared, k < 999 ? nothing : set_event, k < 999 ? (void *)&b->n : (void *)b->done);
        }
    }
    return NULL;
}

LIVE_TEST(a_burst_does_not_write_for_each_post)
{
    struct burst b = {.n = 0};
    assert_ok(tug_remote_new(&shared));
    assert_ok(tug_event_new(&b.done));
    sem_init(&b.go, 0, 0);
    pthread_t t = thread(bursts, &b);
    uint64_t before = tug__remote_wakeups(shared);
    for (int i = 0; i < 20; i++) {
        sem_post(&b.go);
        assert_ok(tug_event_wait(b.done));
        tug_event_clear(b.done);
    }
    uint64_t wakeups = tug__remote_wakeups(shared) - before;
    pthread_join(t, NULL);
    assert_int_equal(b.n, 20 * 999);
    assert_in_range(wakeups, 1, 20 * 999 / 10); /* bench core.post has the strict figure */
    tug_remote_unref(shared);
    tug_event_unref(b.done);
}

TASK_TEST(a_loop_that_is_awake_is_not_woken)
{
    TUG_AUTO(tug_remote) r = NULL;
    int n = 0;
    assert_ok(tug_remote_new(&r));
    for (int i = 0; i < 100; i++) {
        assert_ok(tug_remote_post(r, nothing, &n));
        assert_ok(tug_yield());
    }
    tug_test_settle();
    assert_int_equal(n, 100);
    assert_int_equal(tug__remote_wakeups(r), 0);
}

/* The two halves of the hand-shake, one after the other. */
TASK_TEST(a_post_is_seen_before_the_sleep_or_ends_it)
{
    TUG_AUTO(tug_remote) r = NULL;
    int n = 0;
    assert_ok(tug_remote_new(&r));
    assert_ok(tug_remote_post(r, nothing, &n));
    assert_false(tug__remote_sleep(r)); /* posted first: no sleep, and no write */
    tug__remote_awake(r);
    tug_test_settle();
    assert_int_equal(n, 1);
    assert_int_equal(tug__remote_wakeups(r), 0);
    assert_true(tug__remote_sleep(r)); /* asleep first: the first of two writes */
    assert_ok(tug_remote_post(r, nothing, &n));
    assert_ok(tug_remote_post(r, nothing, &n));
    tug_test_settle();
    assert_int_equal(n, 3);
    assert_int_equal(tug__remote_wakeups(r), 1);
}

/* --- the end of the loop ---------------------------------------------------------------------- */

static tug_post late_post, too_late_post;
static int late_runs;

static void late(void *arg)
{
    (void)arg;
    late_runs++;
    /* Nothing can be started any more, but it runs. */
    assert_rc(tug_group_spawn(tug_background(), count_turns, NULL), TUG_ECLOSED);
}

static void at_end(void *arg)
{
    assert_ok(tug_remote_post_own(arg, &late_post));
}

static int keep_remote(void *arg)
{
    static tug_end_hook hook;
    assert_ok(tug_remote_new(arg));
    hook = (tug_end_hook){0};
    late_post = (tug_post){.fn = late};
    too_late_post = (tug_post){.fn = late};
    tug_on_end(&hook, at_end, *(tug_remote **)arg);
    return 0;
}

TEST(what_was_accepted_is_run_and_after_the_end_it_is_closed)
{
    tug_remote *r = NULL;
    int n = 0;
    assert_ok(tug_run(keep_remote, &r));
    assert_int_equal(late_runs, 1);
    assert_rc(tug_remote_post(r, nothing, &n), TUG_ECLOSED);
    assert_detail_has("the loop of this remote has ended");
    for (int i = 0; i < 2; i++) { /* refused is not queued */
        assert_rc(tug_remote_post_own(r, &too_late_post), TUG_ECLOSED);
    }
    assert_rc(tug_remote_run(r, count_turns, NULL), TUG_ECLOSED);
    assert_rc(tug_remote_stop(r, 0), TUG_ECLOSED);
    assert_int_equal(n, 0);
    tug_remote_unref(r);
}

/* Threads that post while the loop ends: each post is run or refused, none is lost. */
static atomic_int accepted, ran;

static void note_run(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void *post_until_closed(void *arg)
{
    (void)arg;
    for (;;) {
        int rc;
        while ((rc = tug_remote_post(shared, note_run, NULL)) == TUG_ENOMEM) {
        }
        if (rc != 0) {
            return NULL;
        }
        atomic_fetch_add(&accepted, 1);
    }
}

static int end_soon(void *arg)
{
    (void)arg;
    tug_remote *mine = NULL;
    assert_ok(tug_remote_new(&mine));
    shared = mine;
    pthread_t *t = arg;
    for (int i = 0; i < 2; i++) {
        t[i] = thread(post_until_closed, NULL);
    }
    return tug_sleep(TUG_MS(20));
}

TEST(no_post_is_lost_at_the_end)
{
    size_t before = tug_test_live_allocations();
    pthread_t t[2];
    assert_ok(tug_run(end_soon, t));
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    tug_remote_unref(shared);
    assert_true(atomic_load(&accepted) > 0);
    assert_int_equal(atomic_load(&accepted), atomic_load(&ran));
    assert_int_equal(tug_test_live_allocations(), before);
}

/* --- tasks from outside ----------------------------------------------------------------------- */

struct outside {
    int rc;
    tug_error error;
    tug_task_fn fn;
    void *arg;
    tug_event *done;
    tug_remote *remote;
};

static void *run_outside(void *arg)
{
    struct outside *o = arg;
    o->rc = tug_remote_run(o->remote, o->fn, o->arg);
    o->error = *tug_last_error();
    post(o->remote, set_event, o->done);
    return NULL;
}

static int sleep_and_say_seven(void *arg)
{
    assert_string_equal(tug_task_name(tug_task_current()), "remote");
    *(pthread_t *)arg = pthread_self();
    assert_ok(tug_sleep(TUG_MS(1)));
    return 7;
}

static int sleep_and_fail(void *arg)
{
    (void)arg;
    assert_ok(tug_sleep(TUG_MS(1)));
    return tug_fail(TUG_EUSER - 2, "no such order");
}

static int fail_without(void *arg)
{
    (void)arg;
    return TUG_ERANGE;
}

static void outside(struct outside *o, tug_task_fn fn, void *arg)
{
    *o = (struct outside){.fn = fn, .arg = arg};
    assert_ok(tug_remote_new(&o->remote));
    assert_ok(tug_event_new(&o->done));
    pthread_t t = thread(run_outside, o);
    assert_ok(tug_event_wait(o->done));
    pthread_join(t, NULL);
    tug_event_unref(o->done);
    tug_remote_unref(o->remote);
}

LIVE_TEST(a_thread_runs_a_task_and_gets_its_result)
{
    struct outside o;
    pthread_t ran_on;
    outside(&o, sleep_and_say_seven, &ran_on);
    assert_int_equal(o.rc, 7);
    assert_true(pthread_equal(ran_on, pthread_self()));
    outside(&o, sleep_and_fail, NULL);
    assert_int_equal(o.rc, TUG_EUSER - 2);
    assert_int_equal(o.error.code, TUG_EUSER - 2);
    assert_string_equal(o.error.text, "no such order");
    outside(&o, fail_without, NULL);
    assert_int_equal(o.rc, TUG_ERANGE);
    assert_int_equal(o.error.code, TUG_ERANGE);
    assert_int_equal(tug_group_failures(tug_background()), 0);
}

static int run_here(void *arg)
{
    tug_remote *r = arg;
    int n = 0;
    return tug_remote_run(r, sleep_and_fail, &n) + 1;
}

static int run_here_as_a_job(void *arg)
{
    return run_here(arg);
}

LIVE_TEST(a_thread_with_a_loop_may_not_wait_for_one)
{
    TUG_AUTO(tug_remote) r = NULL;
    assert_ok(tug_remote_new(&r));
    assert_rc(tug_remote_run(r, sleep_and_fail, NULL), TUG_EMISUSE);
    assert_detail_has("blocks its thread");
    /* An offload thread has none. */
    assert_rc(tug_offload(run_here_as_a_job, r), TUG_EUSER - 2 + 1);
}

static int run_forever(void *arg)
{
    sem_post(arg);
    return tug_sleep(TUG_FOREVER);
}

static sem_t is_running;
static struct outside cut_off;

static int stop_from_outside(void *arg)
{
    (void)arg;
    return tug_wait_stopping();
}

static void *run_and_stop(void *arg)
{
    struct outside *o = arg;
    o->rc = tug_remote_run(o->remote, run_forever, &is_running);
    o->error = *tug_last_error();
    return NULL;
}

static void *stop_it(void *arg)
{
    while (sem_wait(&is_running) < 0) {
    }
    *(int *)arg = tug_remote_stop(cut_off.remote, 0);
    return NULL;
}

static int stop_rc;
static int two_threads(void *arg)
{
    pthread_t *t = arg;
    assert_ok(tug_remote_new(&cut_off.remote));
    sem_init(&is_running, 0, 0);
    t[0] = thread(run_and_stop, &cut_off);
    t[1] = thread(stop_it, &stop_rc);
    return stop_from_outside(NULL);
}

TEST(a_stop_from_outside_cancels_what_others_wait_for)
{
    pthread_t t[2];
    /* Asked to stop without time to drain: the main task sees the one or the other. */
    int rc = tug_run(two_threads, t);
    assert_true(rc == 0 || rc == TUG_ECANCELED);
    pthread_join(t[0], NULL);
    sem_post(&is_running); /* should the task never have run */
    pthread_join(t[1], NULL);
    assert_ok(stop_rc);
    assert_int_equal(cut_off.rc, TUG_ECANCELED);
    assert_int_equal(cut_off.error.code, TUG_ECANCELED);
    tug_remote_unref(cut_off.remote);
}
