/* The threads behind the calls: how many there are, what waits for one, their options. */
#include <dirent.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/offload.h"
#include "offload_gate.h"

/* --- the pool itself ------------------------------------------------------------------------- */

enum {
    JOBS = 8 + 4096
};
static struct tug__job jobs[JOBS + 1];
static sem_t jobs_gate;
static int jobs_done;

static void job_run(struct tug__job *job)
{
    (void)job;
    while (sem_wait(&jobs_gate) < 0) {
    }
}

static void job_done(struct tug__job *job)
{
    (void)job;
    jobs_done++;
}

TASK_TEST(four_thousand_may_wait_for_a_thread)
{
    sem_init(&jobs_gate, 0, 0);
    for (int i = 0; i <= JOBS; i++) {
        jobs[i] = (struct tug__job){.run = job_run, .done = job_done};
        /* Eight leave the queue for a thread, each at its own pace. */
        int rc = tug__offload_submit(&jobs[i]);
        if (rc < 0) {
            assert_in_range(i, 4096, JOBS);
            assert_int_equal(rc, TUG_ELIMIT);
            assert_detail_has("wait for a thread");
            jobs_done = -i;
            break;
        }
    }
    assert_true(jobs_done < 0);
    int accepted = -jobs_done;
    assert_int_equal(tug__loop->outside, accepted);
    jobs_done = 0;
    assert_true(tug__offload_cancel(&jobs[accepted - 1]));
    assert_false(tug__offload_cancel(&jobs[accepted - 1]));
    /* Its place is free again, whatever the threads have taken meanwhile. */
    for (int i = 0; i < 100; i++) {
        assert_ok(tug__offload_submit(&jobs[accepted - 1]));
        assert_true(tug__offload_cancel(&jobs[accepted - 1]));
    }
    for (int i = 0; i < accepted - 1; i++) {
        sem_post(&jobs_gate);
    }
    while (jobs_done < accepted - 1) {
        assert_ok(tug_yield());
    }
    assert_int_equal(tug__loop->outside, 0);
}

static int orphans;

static void job_orphan(struct tug__job *job)
{
    (void)job;
    __atomic_add_fetch(&orphans, 1, __ATOMIC_SEQ_CST);
}

static int abandon_nine(void *arg)
{
    (void)arg;
    for (int i = 0; i < 9; i++) {
        jobs[i] = (struct tug__job){.run = job_run, .done = job_done, .orphan = job_orphan};
        assert_ok(tug__offload_submit(&jobs[i]));
        tug__offload_abandon(&jobs[i]);
    }
    return 0;
}

TEST(the_end_of_the_loop_drops_what_no_thread_has)
{
    size_t before = tug_test_live_allocations();
    sem_init(&jobs_gate, 0, 0);
    assert_ok(tug_run(abandon_nine, NULL));
    /* At least the ninth had no thread; a thread that had not begun finds nothing. */
    int dropped = __atomic_load_n(&orphans, __ATOMIC_SEQ_CST);
    assert_in_range(dropped, 1, 9);
    for (int i = dropped; i < 9; i++) {
        sem_post(&jobs_gate);
    }
    while (tug_test_live_allocations() != before) {
        sched_yield();
    }
    assert_int_equal(__atomic_load_n(&orphans, __ATOMIC_SEQ_CST), 9);
    assert_int_equal(jobs_done, 0);
}

TASK_TEST(the_test_clock_waits_for_a_thread)
{
    struct gate gate;
    gate_init(&gate, 4);
    sem_post(&gate.let_go);
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_offload(stand, &gate)), 4);
    assert_int_equal(tug_now() - before, 0);
}

/* --- options --------------------------------------------------------------------------------- */

static int count_running(void *arg)
{
    int *most = arg;
    static int running;
    int now = __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
    int seen = __atomic_load_n(most, __ATOMIC_SEQ_CST);
    while (now > seen && !__atomic_compare_exchange_n(most, &seen, now, false, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST)) {
    }
    usleep(200);
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int offload_count(void *arg)
{
    return tug_offload(count_running, arg);
}

TASK_TEST(no_more_threads_than_allowed)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    tug_group g;
    for (int max = 1; max <= 3; max += 2) {
        int most = 0;
        o.max_threads = (size_t)max;
        assert_ok(tug_offload_configure(&o));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        for (int i = 0; i < 20; i++) {
            assert_ok(tug_group_spawn(&g, offload_count, &most));
        }
        assert_ok(tug_group_leave(&g, 0));
        assert_in_range(most, 1, max);
    }
}

static size_t offload_threads(void)
{
    size_t n = 0;
    char name[64], path[320];
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *e; (e = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f != NULL) {
            n += fgets(name, sizeof name, f) != NULL && strcmp(name, "tug-offload\n") == 0;
            fclose(f);
        }
    }
    closedir(tasks);
    return n;
}

LIVE_TEST(idle_threads_end_but_for_those_to_be_kept)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    tug_group g;
    int most = 0;
    o.min_threads = 1;
    o.idle = TUG_MS(5);
    assert_ok(tug_offload_configure(&o));
    assert_int_equal(offload_threads(), 1);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 6; i++) {
        assert_ok(tug_group_spawn(&g, offload_count, &most));
    }
    assert_ok(tug_group_leave(&g, 0));
    while (offload_threads() != 1) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_int_equal(offload_threads(), 1);
    /* And it still serves. */
    assert_ok(tug_offload(count_running, &most));
    /* Fewer at most: at once. */
    o.min_threads = 4;
    o.max_threads = 4;
    assert_ok(tug_offload_configure(&o));
    assert_int_equal(offload_threads(), 4);
    o.min_threads = 0;
    o.max_threads = 2;
    o.idle = TUG_SECONDS(100);
    assert_ok(tug_offload_configure(&o));
    while (offload_threads() > 2) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_ok(tug_offload(count_running, &most));
}

TASK_TEST(no_more_calls_wait_than_allowed)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    struct gate gates[4];
    struct caller c[4];
    tug_group g;
    o.max_threads = 1;
    o.max_queued = 2;
    assert_ok(tug_offload_configure(&o));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        gate_init(&gates[i], 1);
        spawn(&g, &c[i], &gates[i], false);
        yield_some();
        if (i == 0) {
            assert_called(&c[0]);
        }
    }
    assert_int_equal(c[3].rc, TUG_ELIMIT);
    for (int i = 0; i < 4; i++) {
        sem_post(&gates[i].let_go);
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(gates[i].runs, i < 3);
    }
}

TASK_TEST(bad_options_are_refused)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    o.max_threads = 0;
    assert_rc(tug_offload_configure(&o), TUG_EINVAL);
    o.max_threads = 257;
    assert_rc(tug_offload_configure(&o), TUG_EINVAL);
    o.max_threads = 2;
    o.min_threads = 3;
    assert_rc(tug_offload_configure(&o), TUG_EINVAL);
    assert_detail_has("3 to 2 threads");
    o.min_threads = 0;
    o.max_queued = 0;
    assert_rc(tug_offload_configure(&o), TUG_EINVAL);
    assert_ok(tug_offload_configure(NULL));
}

TEST(options_need_a_loop)
{
    assert_rc(tug_offload_configure(NULL), TUG_EMISUSE);
}
