/* Calls on threads: what comes back, what a cancel does to them, and those that are left. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/resolve.h"
#include "loop/offload.h"
#include "offload_gate.h"

/* --- results --------------------------------------------------------------------------------- */

TASK_TEST(the_result_comes_back)
{
    int n = 41;
    assert_rc(tug_offload(plus_one, &n), 42);
    assert_int_equal(n, 42);
    n = -1;
    assert_ok(tug_offload(plus_one, &n));
}

static int fail_with_detail(void *arg)
{
    return tug_fail(*(int *)arg, "no luck on line %d", 7);
}

static int fail_without(void *arg)
{
    return *(int *)arg;
}

TASK_TEST(the_detail_travels_with_the_code)
{
    int code = TUG_EUSER - 3;
    assert_rc(tug_offload(fail_with_detail, &code), code);
    assert_int_equal(tug_last_error()->code, code);
    assert_string_equal(tug_last_error()->text, "no luck on line 7");
    /* The thread's own memory of it is no detail of the next call. */
    assert_rc(tug_offload(fail_without, &code), code);
    assert_int_equal(tug_last_error()->code, code);
    assert_string_equal(tug_last_error()->text, "the application's own error");
}

TASK_TEST(system_codes_that_have_ours_are_mapped)
{
    int code = -EACCES;
    assert_rc(tug_offload(fail_without, &code), -EACCES);
    code = -ENOMEM;
    assert_rc(tug_offload(fail_with_detail, &code), TUG_ENOMEM);
    assert_detail_has("no luck");
    code = -ECANCELED;
    assert_rc(tug_offload(fail_without, &code), TUG_EDROPPED);
}

static int look_around(void *arg)
{
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    *(pthread_t *)arg = pthread_self();
    assert_null(tug_task_current());
    assert_true(sigismember(&blocked, SIGTERM));
    assert_true(sigismember(&blocked, SIGCHLD));
    assert_false(sigismember(&blocked, SIGSEGV));
    return 0;
}

TASK_TEST(it_runs_on_a_thread_without_signals)
{
    pthread_t thread = pthread_self();
    sigset_t blocked;
    assert_ok(tug_offload(look_around, &thread));
    assert_false(pthread_equal(thread, pthread_self()));
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    assert_false(sigismember(&blocked, SIGTERM));
}

TEST(there_must_be_a_task)
{
    int n = 0;
    assert_rc(tug_offload(plus_one, &n), TUG_EMISUSE);
    assert_int_equal(n, 0);
    struct gate g;
    gate_init(&g, 0);
    assert_rc(tug_offload_abandonable(stand, NULL, destroy, &g, NULL), TUG_EMISUSE);
    assert_int_equal(g.runs, 0);
    assert_int_equal(g.destroys, 1);
}

TASK_TEST(other_tasks_run_meanwhile)
{
    struct gate gate;
    struct caller c;
    tug_group g;
    gate_init(&gate, 5);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, &gate, false);
    yield_some();
    assert_called(&c);
    yield_some();
    assert_false(c.has_ended);
    sem_post(&gate.let_go);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 5);
}

/* --- cancel ---------------------------------------------------------------------------------- */

TASK_TEST(cancelled_on_entry_it_never_runs)
{
    struct gate gate;
    tug_scope s;
    gate_init(&gate, 0);
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_offload(stand, &gate), TUG_ECANCELED);
    assert_rc(tug_offload_abandonable(stand, peek, destroy, &gate, NULL), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    assert_int_equal(gate.runs, 0);
    assert_int_equal(gate.peeks, 0);
    assert_int_equal(gate.destroys, 1);
}

TASK_TEST(a_running_call_is_waited_for_though_cancelled)
{
    struct gate gate;
    struct caller c;
    tug_group g;
    gate_init(&gate, -EIO);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, &gate, false);
    yield_some();
    assert_called(&c);
    tug_scope_cancel(&c.scope);
    yield_some();
    assert_false(c.has_ended);
    sem_post(&gate.let_go);
    assert_ok(tug_group_leave(&g, 0));
    /* What it did is told: it has happened. */
    assert_int_equal(c.rc, -EIO);
}

TASK_TEST(a_call_that_ended_in_the_turn_of_the_cancel_tells_its_result)
{
    struct gate gate;
    struct caller c;
    tug_group g;
    gate_init(&gate, 9);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, &gate, false);
    yield_some();
    assert_called(&c);
    sem_post(&gate.let_go);
    usleep(1000); /* most likely posted now, and not yet taken by the loop */
    tug_scope_cancel(&c.scope);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 9);
}

TASK_TEST(eight_run_at_once_and_what_waits_can_be_cancelled)
{
    struct gate gates[10];
    struct caller callers[10];
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 10; i++) {
        gate_init(&gates[i], i);
        spawn(&g, &callers[i], &gates[i], i % 2 == 1);
    }
    yield_some();
    for (int i = 0; i < 8; i++) {
        assert_called(&callers[i]);
    }
    tug_scope_cancel(&callers[8].scope);
    tug_scope_cancel(&callers[9].scope);
    yield_some();
    for (int i = 8; i < 10; i++) {
        assert_true(callers[i].has_ended);
        assert_int_equal(callers[i].rc, TUG_ECANCELED);
        assert_int_equal(gates[i].destroys, i == 9);
    }
    for (int i = 0; i < 8; i++) {
        sem_post(&gates[i].let_go);
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(callers[i].rc, i);
    }
    assert_int_equal(gates[8].runs + gates[9].runs, 0);
}

/* --- abandonable ----------------------------------------------------------------------------- */

TASK_TEST(an_abandonable_call_is_peeked_at_then_destroyed_on_the_loop)
{
    struct gate gate;
    struct caller c;
    tug_group g;
    gate_init(&gate, 3);
    sem_post(&gate.let_go);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, &gate, true);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 3);
    assert_int_equal(c.seen, 3);
    assert_int_equal(gate.peeks, 1);
    assert_int_equal(gate.destroys, 1);
    assert_false(pthread_equal(gate.ran_on, pthread_self()));
    assert_true(pthread_equal(gate.destroyed_on, pthread_self()));
}

TASK_TEST(an_abandoned_call_ends_by_itself)
{
    struct gate gate;
    struct caller c;
    tug_group g;
    gate_init(&gate, 3);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, &gate, true);
    yield_some();
    assert_called(&c);
    tug_scope_cancel(&c.scope);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ECANCELED);
    assert_int_equal(gate.destroys, 0);
    sem_post(&gate.let_go);
    while (gate.destroys == 0) {
        assert_ok(tug_yield());
    }
    assert_int_equal(gate.peeks, 0);
    assert_true(pthread_equal(gate.destroyed_on, pthread_self()));
}

static int ask_hanging(void *arg)
{
    int got = -1;
    return tug__offload_hanging(stand, peek, destroy, arg, &got);
}

static int say_seven(void *arg)
{
    (void)arg;
    return 7;
}

/* Look-ups behind a dead name server, say. */
TASK_TEST(what_may_hang_leaves_threads_to_the_others)
{
    static struct gate gates[12];
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 12; i++) {
        gate_init(&gates[i], 0);
        assert_ok(tug_group_spawn(&g, ask_hanging, &gates[i]));
    }
    yield_some();
    for (int i = 0; i < 4; i++) {
        assert_entered(&gates[i]);
    }
    assert_int_equal(tug_offload(say_seven, NULL), 7);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(gates[i].runs, i < 4);
    }
    for (int i = 0; i < 12; i++) {
        sem_post(&gates[i].let_go);
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 12; i++) {
        assert_int_equal(gates[i].destroys, 1);
    }
}

static struct gate hung[2];

static int abandon_two(void *arg)
{
    struct caller c[2];
    tug_group g;
    (void)arg;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 2; i++) {
        gate_init(&hung[i], 0);
        spawn(&g, &c[i], &hung[i], true);
    }
    yield_some();
    assert_called(&c[0]);
    assert_called(&c[1]);
    tug_scope_cancel(&c[0].scope);
    tug_scope_cancel(&c[1].scope);
    return tug_group_leave(&g, 0);
}

TEST(a_call_that_hangs_does_not_hold_the_loop)
{
    size_t before = tug_test_live_allocations();
    assert_ok(tug_run(abandon_two, NULL));
    assert_int_equal(hung[0].destroys + hung[1].destroys, 0);
    sem_post(&hung[0].let_go);
    sem_post(&hung[1].let_go);
    /* Both jobs, and the pool that they kept, are gone once they come back. */
    while (__atomic_load_n(&hung[0].destroys, __ATOMIC_SEQ_CST) == 0 ||
           __atomic_load_n(&hung[1].destroys, __ATOMIC_SEQ_CST) == 0 ||
           tug_test_live_allocations() != before) {
        sched_yield();
    }
    for (int i = 0; i < 2; i++) {
        assert_true(pthread_equal(hung[i].destroyed_on, hung[i].ran_on));
        assert_int_equal(hung[i].peeks, 0);
    }
}

/* --- the started form ------------------------------------------------------------------------- */

TASK_TEST(a_started_call_gives_a_future)
{
    int n = 41, result = 0, code = TUG_EUSER - 3;
    TUG_AUTO(tug_future) f = tug_offload_start(plus_one, NULL, &n);
    TUG_AUTO(tug_future) failing = tug_offload_start(fail_with_detail, NULL, &code);
    assert_rc(tug_offload_take(f, &result), TUG_EMISUSE);
    assert_ok(tug_await(f));
    assert_ok(tug_offload_take(f, &result));
    assert_int_equal(result, 42);
    assert_rc(tug_offload_take(f, &result), TUG_EMISUSE);
    assert_rc(tug_await(failing), code);
    assert_string_equal(tug_last_error()->text, "no luck on line 7");
    assert_rc(tug_offload_take(failing, &result), code);
}

static void wait_entered(tug_future *f, struct gate *g)
{
    assert_ok(tug_future_error(f)->code); /* else it never enters */
    assert_entered(g);
}

TASK_TEST(a_started_call_that_waits_for_a_thread_can_be_cancelled)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    struct gate running, waiting;
    o.max_threads = 1;
    assert_ok(tug_offload_configure(&o));
    gate_init(&running, 1);
    gate_init(&waiting, 1);
    tug_future *a = tug_offload_start(stand, NULL, &running);
    wait_entered(a, &running);
    tug_future *b = tug_offload_start(stand, destroy, &waiting);
    tug_future_cancel(b);
    assert_rc(tug_await(b), TUG_EDROPPED);
    assert_int_equal(waiting.destroys, 1);
    /* A running one whose argument is the caller's is waited for. */
    tug_future_cancel(a);
    assert_false(tug_future_is_settled(a));
    sem_post(&running.let_go);
    TUG_IGNORE(tug_await(a));
    assert_true(tug_future_is_settled(a));
    assert_int_equal(waiting.runs, 0);
    tug_future_unref(a);
    tug_future_unref(b);
}

LIVE_TEST(a_started_call_that_owns_its_argument_is_left_at_once)
{
    struct gate g;
    gate_init(&g, 1);
    tug_future *f = tug_offload_start(stand, destroy, &g);
    wait_entered(f, &g);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_await(f)), TUG_ETIMEDOUT);
    assert_false(tug_future_is_settled(f));
    tug_future_drop(f);
    assert_int_equal(g.destroys, 0);
    sem_post(&g.let_go);
    while (__atomic_load_n(&g.destroys, __ATOMIC_SEQ_CST) == 0) {
        assert_ok(tug_yield());
    }
    assert_true(pthread_equal(g.destroyed_on, pthread_self()));
}

static struct gate left_gates[2];
static int left_rc;

static void on_left(tug_future *f, void *arg)
{
    (void)arg;
    left_rc = tug_future_error(f)->code;
}

static int leave_calls(void *arg)
{
    (void)arg;
    gate_init(&left_gates[0], 1);
    gate_init(&left_gates[1], 1);
    tug_future *owned = tug_offload_start(stand, destroy, &left_gates[0]);
    tug_future *borrowed = tug_offload_start(stand, NULL, &left_gates[1]);
    wait_entered(owned, &left_gates[0]);
    wait_entered(borrowed, &left_gates[1]);
    tug_future_on_settled(owned, on_left, NULL);
    tug_future_detach(borrowed);
    sem_post(&left_gates[1].let_go);
    return 0;
}

TEST(the_end_of_the_loop_settles_started_calls)
{
    size_t before = tug_test_live_allocations();
    assert_ok(tug_run(leave_calls, NULL));
    assert_int_equal(left_rc, TUG_EDROPPED);
    assert_int_equal(left_gates[1].runs, 1);
    sem_post(&left_gates[0].let_go);
    while (tug_test_live_allocations() != before) {
        sched_yield();
    }
    assert_int_equal(__atomic_load_n(&left_gates[0].destroys, __ATOMIC_SEQ_CST), 1);
}

/* A call that comes back when the loop takes nothing more, but has not ended its threads yet: no lock orders the
 * two, only that the remote is closed. Nothing else here does either, so that ThreadSanitizer would see it. */
static int late_may_go, late_is_gone;

static int run_late(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&late_may_go, __ATOMIC_RELAXED)) {
        usleep(1000);
    }
    return 0;
}

static void late_is_destroyed(void *arg)
{
    (void)arg;
    __atomic_store_n(&late_is_gone, 1, __ATOMIC_RELAXED);
}

static void let_late_go(void *arg)
{
    (void)arg;
    __atomic_store_n(&late_may_go, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&late_is_gone, __ATOMIC_RELAXED)) {
        usleep(1000);
    }
}

static int wait_for_the_end(void *arg)
{
    (void)arg;
    while (tug_task_count() > 1) {
        TUG_IGNORE(tug_sleep(TUG_MS(1)));
    }
    TUG_IGNORE(tug_sleep(TUG_MS(5)));
    static tug_end_hook hook; /* the hooks have run: this one comes with the loop's memory */
    tug_on_end(&hook, let_late_go, NULL);
    return 0;
}

static int leave_one_running(void *arg)
{
    (void)arg;
    assert_ok(tug_service_spawn("end", wait_for_the_end, NULL));
    tug_future_detach(tug_offload_start(run_late, late_is_destroyed, &late_may_go));
    return tug_sleep(TUG_MS(20)); /* it runs by then */
}

TEST(a_call_that_comes_back_to_a_closed_loop_frees_itself)
{
    size_t before = tug_test_live_allocations();
    assert_ok(tug_run(leave_one_running, NULL));
    while (tug_test_live_allocations() != before) {
        sched_yield();
    }
}
