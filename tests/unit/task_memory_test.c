/* Shortage of memory. Cancel, settle, leave, unref and close never fail for want of it: they are called here
 * while every allocation fails. What may fail (a start, a spawn, a wait for many) says TUG_ENOMEM and
 * leaves nothing behind, whichever of its allocations it is. */
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "test.h"

void *__real_tug_alloc(size_t size);
void *__real_tug_calloc(size_t n, size_t size);
void *__real_tug_realloc(void *p, size_t size);
char *__real_tug_strdup(const char *text);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
void *__wrap_tug_realloc(void *p, size_t size);
char *__wrap_tug_strdup(const char *text);

static long until_failure = -1; /* allocations; negative: none fails */
static bool all_fail;
static size_t failures;

static bool fails(void)
{
    if (!all_fail && (until_failure < 0 || until_failure-- > 0)) {
        return false;
    }
    failures++;
    return true;
}

void *__wrap_tug_alloc(size_t size)
{
    return fails() ? NULL : __real_tug_alloc(size);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_tug_calloc(n, size);
}

void *__wrap_tug_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_tug_realloc(p, size);
}

char *__wrap_tug_strdup(const char *text)
{
    return fails() ? NULL : __real_tug_strdup(text);
}

static int abort_answer;
static size_t disposed;
static int value;

static int on_abort(tug_future *f)
{
    if (abort_answer == TUG_ABORT_DONE) {
        tug_error e;
        tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL, "outcome unknown");
        tug_future_fail(f, &e);
    }
    return abort_answer;
}
static void on_dispose(void *v)
{
    assert_ptr_equal(v, &value);
    disposed++;
}
static const tug_future_class fake = {
    .size = sizeof(tug_future_class), .name = "fake", .abort = on_abort, .dispose = on_dispose};

/* There is one, or the test ends here. */
static tug_future *fresh(const tug_future_class *c)
{
    tug_future *f = tug_future_new(c);
    assert_non_null(f);
    return f;
}

static int await_it(void *arg)
{
    return tug_await(arg);
}

static int own_it(void *arg)
{
    int rc = tug_await_own(arg);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    return rc;
}

/* --- what cannot fail --------------------------------------------------------------------------- */

TASK_TEST(settle_cancel_and_unref_need_no_memory)
{
    tug_future *f[6];
    abort_answer = TUG_ABORT_DONE;
    for (int i = 0; i < 6; i++) {
        f[i] = fresh(&fake);
    }
    all_fail = true;
    tug_future_settle(f[0], &value);
    tug_future_settle(f[1], &value);
    tug_error e;
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, "23505", "duplicate key");
    tug_future_fail(f[2], &e);
    tug_future_cancel(f[3]);
    assert_rc(tug_await(f[2]), TUG_ESERVER);
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    /* The text is lost, but never how far it got: not to be done again. */
    assert_rc(tug_await(f[3]), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_int_equal(tug_future_error(f[3])->sent, TUG_IN_FLIGHT);
    void *taken = NULL;
    assert_ok(tug_future_take(f[0], &fake, &taken));
    tug_future_detach(f[4]);
    tug_future_settle(f[4], &value);
    tug_future_drop(f[5]);
    for (int i = 0; i < 4; i++) {
        tug_future_unref(f[i]);
    }
    all_fail = false;
    assert_int_equal(disposed, 2);
    assert_true(failures > 0);
}

TASK_TEST(cancel_and_leave_need_no_memory)
{
    tug_future *f[2] = {fresh(&fake), fresh(&fake)};
    abort_answer = TUG_ABORT_DONE;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, await_it, f[0]));
    assert_ok(tug_group_spawn(&g, own_it, f[1]));
    assert_ok(tug_yield());
    all_fail = true;
    tug_scope s;
    tug_scope_enter(&s, TUG_SECONDS(1));
    tug_group_cancel_why(&g, "why is lost, the cancel is not");
    assert_rc(tug_sleep(TUG_MS(1)), TUG_ECANCELED);
    assert_string_equal(tug_last_error()->text, "cancelled");
    assert_null(tug_cancel_reason());
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    assert_ok(tug_group_leave(&g, 0));
    tug_future_drop_all(f, 2);
    all_fail = false;
}

static int fail_it(void *arg)
{
    tug_error e;
    (void)arg;
    tug_error_set(&e, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_IN_FLIGHT, NULL, "half way");
    return tug_fail_with(&e);
}

TASK_TEST(a_group_without_memory_keeps_the_code_of_its_failure)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, fail_it, NULL));
    all_fail = true;
    assert_rc(tug_group_leave(&g, 0), TUG_ESERVER);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_null(tug_group_error(&g, 0));
    all_fail = false;
}

TASK_TEST(closing_and_following_need_no_memory)
{
    tug_future *f[3] = {fresh(&fake), fresh(&fake), fresh(&fake)};
    tug_completed *c = NULL;
    size_t which = 9;
    abort_answer = TUG_ABORT_LATER;
    assert_ok(tug_as_completed(f, 3, &c));
    all_fail = true;
    tug_future_settle(f[2], &value);
    assert_int_equal(tug_completed_next(c, &which), 1);
    assert_int_equal(which, 2);
    tug_completed_close(c);
    tug_future_cancel(f[1]);
    tug_future_drop(f[0]);
    tug_future_settle(f[0], &value);
    tug_future_settle(f[1], &value);
    tug_future_drop(f[1]);
    tug_future_drop(f[2]);
    all_fail = false;
    assert_int_equal(disposed, 3);
}

static int sleep_on(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_SECONDS(10));
}

/* So that the result of a spawn may be ignored. */
TASK_TEST(a_refused_spawn_fails_the_group)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    int rc = 0, n = 0;
    all_fail = true;
    while (rc == 0) {
        rc = tug_group_spawn(&g, sleep_on, NULL);
        n++;
    }
    assert_rc(rc, TUG_ENOMEM);
    assert_int_equal(tug_group_failures(&g), 1);
    assert_int_equal(tug_group_running(&g), n - 1);
    assert_rc(tug_sleep(0), TUG_ECANCELED); /* as any failure */
    tug_future *f = tug_group_start(&g, sleep_on, NULL);
    assert_int_equal(tug_future_error(f)->code, TUG_ENOMEM);
    tug_future_unref(f);
    all_fail = false;
    assert_rc(tug_group_leave(&g, 0), TUG_ENOMEM);
}

static size_t mapped, running, most_running;
static int map_item(void *item)
{
    (void)item;
    mapped++;
    running++;
    most_running = running > most_running ? running : most_running;
    int rc = tug_yield();
    running--;
    return rc;
}

TASK_TEST(a_map_goes_on_with_as_many_tasks_as_there_are)
{
    char items[1000];
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 1000;
    all_fail = true;
    assert_ok(tug_map(map_item, items, sizeof items, 1, &o));
    all_fail = false;
    assert_int_equal(mapped, 1000);
    assert_true(most_running > 0 && most_running < 1000);
}

/* --- a future for want of memory ---------------------------------------------------------------- */

static int watched;
static void watch(tug_future *f, void *arg)
{
    assert_int_equal(tug_future_error(f)->code, TUG_ENOMEM);
    ++*(int *)arg;
}

TASK_TEST(the_future_for_want_of_memory_is_watched_later_too)
{
    tug_future *f = tug_future_no_memory();
    tug_future_on_settled(f, watch, &watched);
    tug_future_on_settled(f, watch, &watched);
    assert_int_equal(watched, 0);
    assert_ok(tug_yield());
    assert_int_equal(watched, 2);
    all_fail = true;
    tug_future_on_settled(f, watch, &watched); /* now or never */
    all_fail = false;
    assert_int_equal(watched, 3);
}

TASK_TEST(without_memory_for_its_deadline_a_future_ends_now)
{
    abort_answer = TUG_ABORT_LATER;
    tug_future *f = fresh(&fake);
    all_fail = true;
    assert_ptr_equal(tug_future_timeout(f, TUG_SECONDS(1)), f);
    all_fail = false;
    tug_error e;
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "%s",
                  tug_error_text(TUG_EDROPPED));
    tug_future_fail(f, &e);
    assert_rc(tug_await(f), TUG_ENOMEM);
    assert_string_equal(tug_last_error()->text, "out of memory");
    tug_future_unref(f);
}

/* --- what may fail, in each place --------------------------------------------------------------- */

enum {
    N = 40 /* more than a wait keeps on the stack */
};

static int settle_all(void *arg)
{
    tug_future **f = arg;
    for (size_t i = 0; i < N; i++) {
        tug_future_settle(f[i], NULL);
    }
    return 0;
}

static void fine_or_no_memory(int rc)
{
    assert_true(rc >= 0 || rc == TUG_ENOMEM);
}

static int say_ready(void *arg)
{
    (void)arg;
    tug_task_ready();
    return tug_yield();
}

static const tug_local key = TUG_LOCAL_INIT("key", on_dispose);
static const tug_local hidden = {"hidden", on_dispose, true};

static int set_locals(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        fine_or_no_memory(tug_local_set(&key, &value));
        fine_or_no_memory(tug_local_set(&hidden, &value));
        if (tug_local_get(&key) != NULL) {
            fine_or_no_memory(tug_local_set(&key, NULL));
        }
    }
    return 0;
}

static void wait_in_all_ways(void)
{
    tug_future *f[N];
    tug_completed *c = NULL;
    size_t which = 0;
    abort_answer = TUG_ABORT_DONE;
    for (size_t i = 0; i < N; i++) {
        f[i] = tug_future_new(&fake);
        f[i] = f[i] != NULL ? f[i] : tug_future_no_memory();
    }
    TUG_IGNORE(TUG_WITHIN(TUG_MS(1), tug_wait_any(f, N, &which)));
    if (tug_as_completed(f, N, &c) == 0) {
        TUG_IGNORE(TUG_WITHIN(TUG_MS(1), tug_completed_next(c, &which)));
        tug_completed_close(c);
    }
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    fine_or_no_memory(tug_group_spawn(&g, settle_all, f));
    int rc = TUG_WITHIN(TUG_SECONDS(1), tug_wait_first_error(f, N, &which));
    assert_true(rc == 0 || rc == TUG_ENOMEM || rc == TUG_ETIMEDOUT);
    rc = TUG_WITHIN(TUG_SECONDS(1), tug_gather(f, N));
    assert_true(rc == 0 || rc == TUG_ENOMEM || rc == TUG_ETIMEDOUT || rc == TUG_EDROPPED);
    fine_or_no_memory(tug_group_start_until_ready(&g, say_ready, NULL));
    tug_future *started = tug_group_start(&g, set_locals, NULL);
    fine_or_no_memory(tug_await(started));
    tug_future_drop(started);
    TUG_IGNORE(tug_group_leave(&g, 0));
    tug_future_drop_all(f, N);
}

static int torture(void *arg)
{
    (void)arg;
    wait_in_all_ways(); /* what is allocated once for a loop is there from now on */
    for (long n = 0;; n++) {
        size_t futures = tug_test_live_futures();
        failures = 0;
        until_failure = n;
        wait_in_all_ways();
        until_failure = -1;
        assert_int_equal(tug_test_live_futures(), futures);
        if (failures == 0) {
            assert_true(n > 5);
            return 0;
        }
    }
}

TEST(each_allocation_fails_once)
{
    assert_ok(tug_test_run(torture, NULL, NULL)); /* and nothing is left behind */
}
