#include <pthread.h>
#include <string.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sys/driver.h>

#include "test.h"

/* A driver as small as can be: what abort answers is up to the test. */
static int abort_answer;
static int aborted, disposed, destroyed;

static int on_abort(tug_future *f)
{
    (void)f;
    aborted++;
    return abort_answer;
}
static void on_dispose(void *value)
{
    assert_non_null(value);
    disposed++;
}
static void on_destroy(tug_future *f)
{
    (void)f;
    destroyed++;
}
static const tug_future_class fake = {.size = sizeof(tug_future_class),
                                      .name = "fake",
                                      .payload = 24,
                                      .abort = on_abort,
                                      .dispose = on_dispose,
                                      .destroy = on_destroy};
static const tug_future_class other = {.size = sizeof(tug_future_class), .name = "other"};

/* There is one, or the test ends here. */
static tug_future *fresh(const tug_future_class *c)
{
    tug_future *f = tug_future_new(c);
    assert_non_null(f);
    return f;
}
static int value = 42;

struct await_arg {
    tug_future *f;
    int rc;
};

static int await_it(void *arg)
{
    struct await_arg *a = arg;
    a->rc = tug_await(a->f);
    return 0;
}

TASK_TEST(many_may_await_one_may_take)
{
    TUG_AUTO(tug_future) f = fresh(&fake);
    struct await_arg a[3] = {{f, 1}, {f, 1}, {f, 1}};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, await_it, &a[i]));
    }
    assert_ok(tug_yield());
    void *taken = NULL;
    assert_rc(tug_future_take(f, &fake, &taken), TUG_EMISUSE);
    assert_detail_has("await it first");
    tug_future_settle(f, &value);
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].rc, 0);
    }
    assert_rc(tug_future_take(f, &other, &taken), TUG_EMISUSE);
    assert_ok(tug_future_take(f, &fake, &taken));
    assert_ptr_equal(taken, &value);
    assert_rc(tug_future_take(f, &fake, &taken), TUG_EMISUSE);
    assert_int_equal(disposed, 0);
}

TASK_TEST(a_value_that_nobody_took_is_disposed_of)
{
    tug_future *f = fresh(&fake);
    tug_future_settle(f, &value);
    tug_future_unref(f);
    assert_int_equal(disposed, 1);
    assert_int_equal(destroyed, 1);
    f = fresh(&fake);
    tug_future_settle(f, &value);
    tug_future_settle(f, &value); /* a late second one is disposed of, not kept */
    assert_int_equal(disposed, 2);
    tug_future_unref(f);
    assert_int_equal(disposed, 3);
}

TASK_TEST(a_cancelled_await_leaves_the_future_alone)
{
    TUG_AUTO(tug_future) f = fresh(&fake);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_await(f)), TUG_ETIMEDOUT);
    assert_int_equal(aborted, 0);
    assert_false(tug_future_is_settled(f));
    tug_future_settle(f, &value);
    assert_ok(tug_await(f));
}

TASK_TEST(a_cancel_beats_a_value_on_entry)
{
    TUG_AUTO(tug_future) f = fresh(&fake);
    tug_future_settle(f, &value);
    assert_rc(TUG_WITHIN(0, tug_await(f)), TUG_ETIMEDOUT);
    assert_ok(tug_await(f));
}

static tug_scope *to_cancel;
static int settle_then_cancel(void *arg)
{
    tug_future_settle(arg, &value);
    tug_scope_cancel(to_cancel);
    return 0;
}

/* Handed over first: the value is returned, and the cancel waits for the next wait. */
TASK_TEST(a_cancel_after_the_hand_over_does_not_undo_it)
{
    TUG_AUTO(tug_future) f = fresh(&fake);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    to_cancel = &s;
    assert_ok(tug_group_spawn(&g, settle_then_cancel, f));
    assert_ok(tug_await(f));
    assert_rc(tug_yield(), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(somebody_elses_cancel_is_dropped)
{
    abort_answer = TUG_ABORT_DONE;
    TUG_AUTO(tug_future) f = fresh(&fake);
    struct await_arg a = {f, 1};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, await_it, &a));
    assert_ok(tug_yield());
    tug_future_cancel(f);
    tug_future_cancel(f);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(a.rc, TUG_EDROPPED);
    assert_int_equal(aborted, 1);
}

TASK_TEST(abort_later_settles_later)
{
    abort_answer = TUG_ABORT_LATER;
    tug_future *f = fresh(&fake);
    tug_future_drop(f); /* ours is gone, the driver's side still has it */
    assert_int_equal(aborted, 1);
    assert_int_equal(destroyed, 0);
    tug_future_settle(f, &value);
    assert_int_equal(disposed, 1);
    assert_int_equal(destroyed, 1);
}

static int own_it(void *arg)
{
    struct await_arg *a = arg;
    a->rc = tug_await_own(a->f);
    return a->rc;
}

static int settle_late(void *arg)
{
    assert_ok(tug_sleep(TUG_MS(50)));
    tug_future_settle(arg, &value);
    return 0;
}

TASK_TEST(an_owning_wait_stays_until_the_operation_has_stopped)
{
    abort_answer = TUG_ABORT_LATER;
    TUG_AUTO(tug_future) f = fresh(&fake);
    struct await_arg a = {f, 1};
    assert_ok(tug_group_spawn(tug_background(), settle_late, f));
    tug_time before = tug_now();
    tug_group g;
    tug_group_enter(&g, TUG_MS(5), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, own_it, &a));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(aborted, 1);
    assert_int_equal(tug_now() - before, TUG_MS(50));
    assert_int_equal(a.rc, 0); /* it came through: the value counts */
}

TASK_TEST(an_owning_wait_says_how_far_it_got)
{
    abort_answer = TUG_ABORT_DONE;
    TUG_AUTO(tug_future) f = fresh(&fake);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_await_own(f)), TUG_ETIMEDOUT);
    assert_int_equal(aborted, 1);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
}

TASK_TEST(errors_travel_with_their_detail)
{
    TUG_AUTO(tug_future) f = fresh(&fake);
    tug_error e;
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, "23505",
                  "duplicate key\nvalue");
    tug_future_fail(f, &e);
    assert_rc(tug_await(f), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "23505");
    assert_string_equal(tug_last_error()->text, "duplicate key value");
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    void *taken = NULL;
    assert_rc(tug_future_take(f, &fake, &taken), TUG_ESERVER);
}

static void watch(tug_future *f, void *arg)
{
    assert_true(tug_future_is_settled(f));
    assert_null(tug_task_current());
    ++*(int *)arg;
}

TASK_TEST(a_watcher_runs_later_and_once)
{
    int calls = 0;
    tug_future *f = fresh(&fake);
    tug_future_on_settled(f, watch, &calls);
    tug_future_settle(f, &value);
    assert_int_equal(calls, 0); /* never inside settle */
    assert_ok(tug_yield());
    assert_int_equal(calls, 1);
    assert_int_equal(disposed, 1);
    f = fresh(&fake);
    tug_future_settle(f, NULL);
    tug_future_on_settled(f, watch, &calls);
    assert_int_equal(calls, 1);
    assert_ok(tug_yield());
    assert_int_equal(calls, 2);
}

TASK_TEST(a_future_has_a_deadline_for_programs_of_callbacks)
{
    abort_answer = TUG_ABORT_DONE;
    int calls = 0;
    tug_future *f = tug_future_ref(fresh(&fake));
    tug_future_on_settled(tug_future_timeout(f, TUG_MS(50)), watch, &calls);
    assert_rc(tug_await(f), TUG_ETIMEDOUT);
    assert_ok(tug_yield());
    assert_int_equal(calls, 1);
    assert_int_equal(aborted, 1);
    tug_future_unref(f);
}

TASK_TEST(detached_runs_to_its_end)
{
    tug_future *f = fresh(&fake);
    tug_future_detach(f);
    assert_int_equal(aborted, 0);
    tug_future_settle(f, &value);
    assert_int_equal(disposed, 1);
    assert_int_equal(destroyed, 1);
}

enum {
    MANY = 1000
};

TASK_TEST(gather_waits_for_all)
{
    tug_future *f[MANY];
    for (int i = 0; i < MANY; i++) {
        f[i] = fresh(&fake);
    }
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_gather_settled(f, 0)), 0);
    for (int i = 0; i < MANY; i++) {
        tug_future_settle(f[i], NULL);
    }
    assert_ok(tug_gather(f, MANY));
    tug_future_drop_all(f, MANY);
    assert_int_equal(destroyed, MANY);
    assert_null(f[0]);
}

static tug_future *some[20];
static int settle_some(void *arg)
{
    (void)arg;
    for (int i = 19; i >= 0; i--) {
        assert_ok(tug_sleep(TUG_MS(1)));
        if (i == 7) {
            tug_error e;
            tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, NULL, "number 7");
            tug_future_fail(some[7], &e);
        } else {
            tug_future_settle(some[i], &value);
        }
    }
    return 0;
}

static void make_some(void)
{
    for (int i = 0; i < 20; i++) {
        some[i] = fresh(&fake);
    }
}

TASK_TEST(gather_fails_fast_and_stops_the_others)
{
    abort_answer = TUG_ABORT_DONE;
    make_some();
    assert_ok(tug_group_spawn(tug_background(), settle_some, NULL));
    tug_time before = tug_now();
    assert_rc(tug_gather(some, 20), TUG_ESERVER);
    assert_string_equal(tug_last_error()->text, "number 7");
    assert_int_equal(tug_now() - before, TUG_MS(13));
    assert_int_equal(aborted, 7);
    for (int i = 0; i < 20; i++) {
        assert_true(tug_future_is_settled(some[i]));
    }
    assert_ok(tug_sleep(TUG_MS(20)));
    tug_future_drop_all(some, 20);
}

TASK_TEST(gather_settled_goes_to_the_end)
{
    make_some();
    assert_ok(tug_group_spawn(tug_background(), settle_some, NULL));
    assert_ok(tug_gather_settled(some, 20));
    assert_int_equal(aborted, 0);
    assert_int_equal(tug_future_error(some[7])->code, TUG_ESERVER);
    assert_int_equal(tug_future_error(some[8])->code, 0);
    tug_future_drop_all(some, 20);
}

TASK_TEST(a_cancelled_gather_stops_what_it_waits_for)
{
    abort_answer = TUG_ABORT_DONE;
    make_some();
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_gather(some, 20)), TUG_ETIMEDOUT);
    assert_int_equal(aborted, 20);
    assert_int_equal(tug_future_error(some[3])->code, TUG_EDROPPED);
    tug_future_drop_all(some, 20);
}

TASK_TEST(wait_any_says_which_and_leaves_the_others)
{
    make_some();
    size_t which = 99;
    assert_ok(tug_group_spawn(tug_background(), settle_some, NULL));
    assert_ok(tug_wait_any(some, 20, &which));
    assert_int_equal(which, 19);
    assert_int_equal(aborted, 0);
    assert_ok(tug_wait_any(some, 19, &which));
    assert_int_equal(which, 18);
    assert_rc(tug_wait_any(some, 0, &which), TUG_EINVAL);
    assert_rc(TUG_WITHIN(TUG_MS(2), tug_wait_any(some, 3, &which)), TUG_ETIMEDOUT);
    assert_int_equal(which, 18);
    assert_ok(tug_sleep(TUG_MS(50)));
    tug_future_drop_all(some, 20);
}

TASK_TEST(out_of_memory_is_a_future_too)
{
    tug_future *f = tug_future_no_memory();
    assert_rc(tug_await(f), TUG_ENOMEM);
    assert_string_equal(tug_last_error()->text, "out of memory");
    tug_future_ref(f);
    tug_future_cancel(f);
    tug_future_drop(f);
    tug_future_unref(f);
    assert_rc(tug_gather(&f, 1), TUG_ENOMEM);
}

TASK_TEST(payloads_are_zeroed_and_reused)
{
    for (int i = 0; i < 3; i++) {
        tug_future *f = fresh(&fake);
        unsigned char *p = tug_future_payload(f);
        for (int k = 0; k < 24; k++) {
            assert_int_equal(p[k], 0);
        }
        memset(p, 0xff, 24);
        tug_future_settle(f, NULL);
        tug_future_unref(f);
    }
}

/* --- operations that stop when they are told ---------------------------------------------------- */

static tug_future *owned[3];
static tug_scope *other_scope;

/* Settles another one that is to be stopped as well, and cancels a scope: both from inside a cancel. */
static int meddle(tug_future *f)
{
    aborted++;
    for (int i = 0; i < 2; i++) {
        if (owned[i] != f && !tug_future_is_settled(owned[i])) {
            tug_future_settle(owned[i], &value);
            tug_scope_cancel(other_scope);
        }
    }
    tug_fail(TUG_EUSER, "the hook's own trouble");
    return TUG_ABORT_DONE;
}
static const tug_future_class meddler = {
    .size = sizeof(tug_future_class), .name = "meddler", .abort = meddle, .dispose = on_dispose};

static int own_in_scope(void *arg)
{
    struct await_arg *a = arg;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    other_scope = &s;
    a->rc = tug_await_own(a->f);
    return tug_scope_leave(&s, 0);
}

TASK_TEST(room_behind_the_payload_keeps_what_was_there)
{
    static const tug_future_class roomy = {
        .size = sizeof(tug_future_class), .name = "roomy", .payload = 40, .room = 400};
    const void *first = NULL;
    for (int i = 0; i < 3; i++) {
        tug_future *f = tug_future_new(&roomy);
        assert_non_null(f);
        unsigned char *p = tug_future_payload(f);
        for (int at = 0; at < 40; at++) {
            assert_int_equal(p[at], 0);
        }
        if (i == 0) {
            first = p;
        } else { /* the same block: all of it is there, and its end was not cleared */
            assert_ptr_equal(p, first);
            assert_int_equal(p[439], 0xa5);
        }
        memset(p, 0xa5, 440);
        tug_future_fetch(f);
        tug_future_fetch_waiter(f); /* nobody waits */
        tug_future_settle(f, NULL);
        tug_future_unref(f);
    }
}

TASK_TEST(abort_hooks_may_settle_and_cancel)
{
    abort_answer = TUG_ABORT_DONE;
    for (int i = 0; i < 3; i++) {
        owned[i] = fresh(i < 2 ? &meddler : &fake);
    }
    struct await_arg a[3] = {{owned[0], 1}, {owned[1], 1}, {owned[2], 1}};
    tug_group outer, g;
    tug_group_enter(&outer, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&outer, own_in_scope, &a[2]));
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&g, own_it, &a[0]));
    assert_ok(tug_group_spawn(&g, own_it, &a[1]));
    assert_ok(tug_yield());
    tug_fail(TUG_ENOTFOUND, "mine");
    tug_group_cancel(&g);
    assert_string_equal(tug_last_error()->text, "mine"); /* not the hook's */
    assert_int_equal(aborted, 2);
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_group_leave(&outer, 0));
    /* One was asked first and settled the other, which therefore came through. */
    assert_true((a[0].rc == 0 && a[1].rc == TUG_ECANCELED) ||
                (a[1].rc == 0 && a[0].rc == TUG_ECANCELED));
    assert_int_equal(a[2].rc, TUG_ECANCELED);
    tug_future_drop_all(owned, 3);
    assert_int_equal(disposed, 1);
}

TASK_TEST(an_operation_is_told_to_stop_at_once)
{
    abort_answer = TUG_ABORT_DONE;
    TUG_AUTO(tug_future) f = fresh(&fake);
    struct await_arg a = {f, 1};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, own_it, &a));
    assert_ok(tug_yield());
    tug_group_cancel(&g);
    assert_int_equal(aborted, 1); /* the task has not run yet */
    tug_future_settle(f, &value);
    assert_int_equal(disposed, 1); /* too late */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(a.rc, TUG_ECANCELED);
}

/* A value that was there at once, and is thrown away because the scope was cancelled, is not "not sent". */
TASK_TEST(what_came_through_on_entry_is_not_safe_to_retry)
{
    abort_answer = TUG_ABORT_DONE;
    TUG_AUTO(tug_future) f = fresh(&fake);
    tug_future_settle(f, &value);
    tug_scope s;
    tug_scope_enter(&s, 0);
    assert_rc(tug_await_own(f), TUG_ECANCELED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
}

TASK_TEST(a_deadline_of_a_future_that_stops_later_leaves_it_its_outcome)
{
    abort_answer = TUG_ABORT_LATER;
    tug_future *f[2] = {fresh(&fake), fresh(&fake)};
    tug_future_timeout(f[0], TUG_MS(5));
    tug_future_timeout(f[1], TUG_MS(5));
    assert_ok(tug_sleep(TUG_MS(10)));
    assert_int_equal(aborted, 2);
    assert_false(tug_future_is_settled(f[0]));
    tug_future_settle(f[0], &value);
    tug_error e;
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL, "stopped half way");
    tug_future_fail(f[1], &e);
    assert_ok(tug_await(f[0]));
    assert_rc(tug_await(f[1]), TUG_ETIMEDOUT);
    assert_string_equal(tug_last_error()->text, "stopped half way");
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_drop_all(f, 2);
}

/* --- another thread's future -------------------------------------------------------------------- */

static int await_foreign(void *arg)
{
    tug_future *f = arg;
    tug_completed *c = NULL;
    size_t which = 0;
    assert_rc(tug_await(f), TUG_EMISUSE);
    assert_detail_has("another thread");
    assert_rc(tug_gather(&f, 1), TUG_EMISUSE);
    assert_rc(tug_wait_any(&f, 1, &which), TUG_EMISUSE);
    assert_rc(tug_wait_first_error(&f, 1, &which), TUG_EMISUSE);
    assert_rc(tug_as_completed(&f, 1, &c), TUG_EMISUSE);
    return 0;
}

static void *other_thread(void *arg)
{
    return (void *)(intptr_t)tug_run(await_foreign, arg);
}

TASK_TEST(a_future_of_another_thread_is_refused)
{
    pthread_t thread;
    void *rc = NULL;
    TUG_AUTO(tug_future) f = fresh(&fake);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, f), 0);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_ok((int)(intptr_t)rc);
}

/* --- what was already over ------------------------------------------------------------------------ */

static int detached_logs;
static void count_detached(const tug_log_record *r, void *arg)
{
    (void)arg;
    detached_logs += strstr(r->text, "a detached") != NULL;
}

TASK_TEST(an_error_is_logged_though_it_came_before_the_detach)
{
    tug_error why;
    tug_log_set_sink(count_detached, NULL);
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "it is closed");
    tug_future_detach(tug_future_failed(&why));
    assert_int_equal(detached_logs, 1);
    tug_future_detach(tug_future_no_memory());
    assert_int_equal(detached_logs, 2);
    tug_future *f = tug_future_failed(&why); /* somebody was told this one */
    assert_rc(tug_await(f), TUG_ECLOSED);
    tug_future_detach(f);
    assert_int_equal(detached_logs, 2);
    tug_log_set_sink(NULL, NULL);
}

TASK_TEST(a_cancel_before_the_deadline_is_the_cause)
{
    tug_error why;
    abort_answer = TUG_ABORT_LATER;
    tug_future *f = tug_future_timeout(fresh(&fake), TUG_MS(10));
    tug_future_cancel(f);
    assert_ok(tug_sleep(TUG_MS(20)));
    tug_error_set(&why, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "stopped");
    tug_future_fail(f, &why);
    assert_rc(tug_await(f), TUG_EDROPPED);
    tug_future_unref(f);
}
