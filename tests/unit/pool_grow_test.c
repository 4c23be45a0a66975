/* How a pool grows, what it makes of failed opens, and what it does when memory or tasks are short. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* The linker puts these before the real ones (see tests.cmake): the next n calls are refused. */
static int refuse_tasks, refuse_memory;

int __real_tug_service_spawn(const char *name, tug_task_fn fn, void *arg);
int __wrap_tug_service_spawn(const char *name, tug_task_fn fn, void *arg);
void *__real_tug_calloc(size_t n, size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);

int __wrap_tug_service_spawn(const char *name, tug_task_fn fn, void *arg)
{
    if (refuse_tasks > 0) {
        refuse_tasks--;
        return tug_fail(TUG_ELIMIT, "out of stacks, says the test");
    }
    return __real_tug_service_spawn(name, fn, arg);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    if (refuse_memory > 0) {
        refuse_memory--;
        return NULL;
    }
    return __real_tug_calloc(n, size);
}

/* Starts n acquires; they are settled later. */
static void start_all(tug_pool *p, tug_future **f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        f[i] = tug_pool_acquire_start(p);
    }
}

static void take_and_close_all(tug_future **f, size_t n)
{
    tug_lease *leases[64];
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) {
        assert_ok(tug_await(f[i]));
        assert_ok(tug_pool_acquire_take(f[i], &leases[i]));
        tug_future_unref(f[i]);
    }
    for (size_t i = 0; i < n; i++) {
        tug_lease_close(leases[i]);
    }
}

/* --- growth -------------------------------------------------------------------------------------- */

TASK_TEST(a_cold_start_doubles_each_round)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_future *waiters[8];
    tug_time began = tug_now();
    start_all(p, waiters, 8);
    take_and_close_all(waiters, 8);
    assert_int_equal(tug_now() - began, TUG_MS(40));
    int expected_ms[] = {0, 10, 10, 20, 20, 20, 20, 30};
    assert_int_equal(f.connects, 8);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(f.started[i] - began, TUG_MS(expected_ms[i]));
    }
    assert_int_equal(f.most_connecting, 4);
    fake_close(&f, p);
}

TASK_TEST(max_opening_one_opens_one_by_one)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max_opening = 1;
    tug_pool *p = fake_pool(&f, &o);
    tug_future *waiters[5];
    tug_time began = tug_now();
    start_all(p, waiters, 5);
    take_and_close_all(waiters, 5);
    assert_int_equal(tug_now() - began, TUG_MS(50));
    assert_int_equal(f.most_connecting, 1);
    fake_close(&f, p);
}

/* A pool that runs short for a moment opens nothing, as long as what is lent comes back sooner than a new one
 * could be there. */
TASK_TEST(what_comes_back_saves_an_open)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *first = fake_acquire(p);
    tug_future *waiters[3];
    start_all(p, waiters, 3);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_sleep(TUG_MS(1)));
        tug_lease_close(first);
        assert_true(tug_future_is_settled(waiters[i]));
        assert_ok(tug_pool_acquire_take(waiters[i], &first));
        tug_future_unref(waiters[i]);
    }
    assert_int_equal(fake_of(first)->number, 1);
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_int_equal(f.connects, 1);
    tug_lease_close(first);
    fake_close(&f, p);
}

/* And when it does not come back: the wait costs as much as an open takes, no more. */
TASK_TEST(what_does_not_come_back_delays_an_open_once)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *first = fake_acquire(p);
    tug_time began = tug_now();
    tug_future *waiters[3];
    start_all(p, waiters, 3);
    tug_lease *leases[3];
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_await(waiters[i]));
        assert_int_equal(tug_now() - began, TUG_MS(i == 0 ? 20 : 30));
        assert_ok(tug_pool_acquire_take(waiters[i], &leases[i]));
        tug_future_unref(waiters[i]);
    }
    assert_int_equal(f.started[1] - began, TUG_MS(10));
    /* Loans as long as that are known by now: nobody waits for them again. */
    began = tug_now();
    assert_ok(tug_sleep(TUG_SECONDS(10)));
    for (int i = 0; i < 3; i++) {
        tug_lease_close(leases[i]);
    }
    tug_lease_close(first);
    for (int i = 0; i < 3; i++) {
        leases[i] = fake_acquire(p);
    }
    first = fake_acquire(p);
    tug_time again = tug_now();
    tug_lease *fifth = fake_acquire(p);
    assert_int_equal(tug_now() - again, TUG_MS(10));
    tug_lease_close(fifth);
    tug_lease_close(first);
    for (int i = 0; i < 3; i++) {
        tug_lease_close(leases[i]);
    }
    fake_close(&f, p);
}

/* Fifty ask at once for five that are lent for 2 ms each, where an open takes 150 ms: the five serve all. */
static int query_for_2_ms(void *arg)
{
    tug_lease *lease = NULL;
    assert_ok(tug_pool_acquire(arg, &lease));
    assert_ok(tug_sleep(TUG_MS(2)));
    tug_lease_close(lease);
    return 0;
}

static void fifty_ask(tug_pool *p, struct fake *f)
{
    tug_group g;
    tug_time began = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 50; i++) {
        assert_ok(tug_group_spawn(&g, query_for_2_ms, p));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(tug_now() - began, TUG_MS(20));
    assert_ok(tug_sleep(TUG_MS(400)));
    assert_int_equal(f->connects, 5);
    assert_int_equal(fake_stats(p).idle, 5);
}

TASK_TEST(fifty_waiters_need_no_more_than_the_five_that_are_there)
{
    struct fake f = {.connect_takes = TUG_MS(150)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 5;
    o.max = 50;
    o.check_after = TUG_FOREVER;
    tug_pool *p = fake_pool(&f, &o);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    assert_int_equal(fake_stats(p).idle, 5);
    fifty_ask(p, &f); /* nothing is known about the loans yet */
    fifty_ask(p, &f);
    fake_close(&f, p);
}

TASK_TEST(the_window_closes_when_nobody_waits)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 20;
    tug_pool *p = fake_pool(&f, &o);
    tug_future *waiters[8];
    start_all(p, waiters, 8);
    take_and_close_all(waiters, 8);
    tug_lease *busy[8];
    for (int i = 0; i < 8; i++) {
        busy[i] = fake_acquire(p);
    }
    assert_ok(tug_sleep(TUG_MS(10)));
    tug_time again = tug_now();
    start_all(p, waiters, 3);
    take_and_close_all(waiters, 3);
    assert_int_equal(f.started[8] - again, 0);
    assert_int_equal(f.started[9] - again, TUG_MS(10));
    for (int i = 0; i < 8; i++) {
        tug_lease_close(busy[i]);
    }
    fake_close(&f, p);
}

TASK_TEST(min_is_opened_and_kept)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 3;
    o.max = 5;
    tug_pool *p = fake_pool(&f, &o);
    assert_ok(tug_sleep(TUG_MS(21)));
    assert_int_equal(fake_stats(p).idle, 3);
    tug_lease *lease = fake_acquire(p);
    fake_of(lease)->broken = true;
    tug_lease_close(lease);
    assert_ok(tug_sleep(TUG_MS(11)));
    assert_int_equal(fake_stats(p).idle, 3);
    assert_int_equal(f.connects, 4);
    assert_ok(tug_sleep(TUG_SECONDS(60)));
    assert_int_equal(f.connects, 4);
    fake_close(&f, p);
}

/* The replacement does not wait for a slow goodbye when there is room beside it. */
TASK_TEST(min_is_restored_at_once)
{
    struct fake f = {.close_takes = TUG_SECONDS(1)};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.min = 1;
    o.max = 2;
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *lease = fake_acquire(p);
    fake_of(lease)->broken = true;
    tug_lease_close(lease);
    tug_test_settle();
    assert_int_equal(fake_stats(p).closing, 1);
    assert_int_equal(fake_stats(p).idle, 1);
    fake_close(&f, p);
}

/* --- failed opens -------------------------------------------------------------------------------- */

TASK_TEST(a_permanent_error_fails_all_at_once)
{
    struct fake f = {.connect_takes = TUG_MS(10), .connect_rc = TUG_EAUTH, .connect_fails = 1};
    tug_pool *p = fake_pool(&f, NULL);
    tug_future *waiters[5];
    tug_time began = tug_now();
    start_all(p, waiters, 5);
    for (int i = 0; i < 5; i++) {
        assert_rc(tug_await(waiters[i]), TUG_EAUTH);
        assert_detail_has("pool pool: the fake said no to number 1; ");
        assert_string_equal(tug_last_error()->native, "28P01");
        assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
        tug_future_unref(waiters[i]);
    }
    assert_int_equal(tug_now() - began, TUG_MS(10));
    assert_int_equal(f.connects, 1);
    assert_int_equal(tug_pool_open_error(p)->code, TUG_EAUTH);
    /* Until the backoff has passed the next ones fail at once, without another login. */
    tug_lease *lease = NULL;
    assert_rc(tug_pool_acquire(p, &lease), TUG_EAUTH);
    assert_int_equal(tug_now() - began, TUG_MS(10));
    assert_int_equal(f.connects, 1);
    /* After it there is a new attempt. */
    assert_ok(tug_sleep(TUG_MS(200)));
    lease = fake_acquire(p);
    assert_int_equal(f.connects, 2);
    assert_int_equal(tug_pool_open_error(p)->code, 0);
    tug_lease_close(lease);
    fake_compare(&f, p);
    fake_close(&f, p);
}

TASK_TEST(what_counts_as_permanent)
{
    static const struct {
        int code, origin;
        bool transient, permanent;
    } table[] = {
        {TUG_EAUTH, TUG_ORIGIN_SERVER, false, true},
        {TUG_EAUTH, TUG_ORIGIN_SERVER, true, true},
        {TUG_ESERVER, TUG_ORIGIN_SERVER, false, true},
        {TUG_ESERVER, TUG_ORIGIN_SERVER, true, false},
        {TUG_EINVAL, TUG_ORIGIN_TUG, false, true},
        {TUG_EMISUSE, TUG_ORIGIN_TUG, false, true},
        {TUG_EPROTO, TUG_ORIGIN_CODEC, false, true},
        {TUG_ECONNECT, TUG_ORIGIN_TLS, false, true},
        {TUG_ECONNECT, TUG_ORIGIN_TLS, true, false},
        {TUG_ECONNECT, TUG_ORIGIN_OS, false, false},
        {TUG_ETIMEDOUT, TUG_ORIGIN_TUG, false, false},
        {TUG_ECLOSED, TUG_ORIGIN_LIBPQ, false, false},
        {TUG_ENOMEM, TUG_ORIGIN_TUG, false, false},
        {-111, TUG_ORIGIN_OS, false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fake f = {.connect_rc = table[i].code,
                         .connect_origin = table[i].origin,
                         .connect_transient = table[i].transient,
                         .connect_fails = -1};
        tug_pool *p = fake_pool(&f, NULL);
        tug_lease *none = NULL;
        int rc = TUG_WITHIN(TUG_MS(20), tug_pool_acquire(p, &none));
        assert_rc(rc, table[i].permanent ? table[i].code : TUG_ETIMEDOUT);
        fake_close(&f, p);
    }
}

TASK_TEST(a_transient_error_is_tried_again_with_pauses)
{
    struct fake f = {.connect_takes = TUG_MS(1), .connect_rc = TUG_ECONNECT, .connect_fails = 6};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.backoff_most = TUG_MS(800);
    tug_pool *p = fake_pool(&f, &o);
    tug_future *waiters[4];
    start_all(p, waiters, 4);
    take_and_close_all(waiters, 4);
    assert_int_equal(fake_stats(p).failed, 6);
    static const int least_ms[] = {100, 200, 400, 400, 400, 400},
                     most_ms[] = {200, 400, 800, 800, 800, 800};
    for (int i = 0; i < 6; i++) {
        tug_duration pause = f.started[i + 1] - f.started[i] - TUG_MS(1);
        assert_true(pause >= TUG_MS(least_ms[i]));
        assert_true(pause <= TUG_MS(most_ms[i]));
    }
    /* While it failed there was one attempt at a time. */
    assert_true(f.started[7] > f.started[6]);
    assert_int_equal(tug_pool_open_error(p)->code, 0);
    fake_compare(&f, p);
    fake_close(&f, p);
}

/* Four opens at a time fail together: that is one failure, and the next attempt is a single one. */
TASK_TEST(a_round_of_failures_counts_once)
{
    struct fake f = {.connect_takes = TUG_MS(10), .connect_rc = TUG_ECONNECT};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 20;
    tug_pool *p = fake_pool(&f, &o);
    tug_future *waiters[16];
    start_all(p, waiters, 16);
    assert_ok(tug_sleep(TUG_MS(25))); /* 1 and 2 have succeeded, 4 are under way */
    assert_int_equal(f.connecting, 4);
    f.connect_fails = 5;
    assert_ok(tug_sleep(TUG_MS(10)));
    assert_int_equal(fake_stats(p).failed, 4);
    take_and_close_all(waiters, 16);
    tug_duration first = f.started[7] - f.started[6], second = f.started[8] - f.started[7];
    assert_true(first >= TUG_MS(10 + 100) && first <= TUG_MS(10 + 200));
    assert_true(second >= TUG_MS(10 + 200) && second <= TUG_MS(10 + 400));
    assert_int_equal(fake_stats(p).failed, 5);
    assert_true(f.started[9] > f.started[8]);
    fake_close(&f, p);
}

TASK_TEST(a_success_ends_the_pauses)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_future *waiters[6];
    start_all(p, waiters, 6);
    assert_ok(tug_sleep(TUG_MS(15)));
    assert_int_equal(f.connecting, 2);
    f.connect_rc = TUG_ECONNECT;
    f.connect_fails = 1; /* of the two the first fails, the second succeeds */
    take_and_close_all(waiters, 6);
    assert_int_equal(fake_stats(p).failed, 1);
    assert_int_equal(f.started[3] - f.started[2], TUG_MS(10));
    /* A new row of failures starts again with the shortest pause. */
    tug_lease *busy[7];
    for (int i = 0; i < 6; i++) {
        busy[i] = fake_acquire(p);
    }
    f.connect_fails = 1;
    int next = f.connects;
    busy[6] = fake_acquire(p);
    tug_duration pause = f.started[next + 1] - f.started[next] - TUG_MS(10);
    assert_true(pause >= TUG_MS(100) && pause <= TUG_MS(200));
    for (int i = 0; i < 7; i++) {
        tug_lease_close(busy[i]);
    }
    fake_close(&f, p);
}

TASK_TEST(a_deadline_while_opens_fail_names_the_cause)
{
    struct fake f = {.connect_rc = TUG_ECONNECT, .connect_fails = -1};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *none = NULL;
    tug_time began = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(40), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - began, TUG_MS(40));
    assert_detail_has(
        "0 of 10 open (0 busy), 0 opening, 1 waiting; last open error: the fake said no to number 1");
    fake_close(&f, p);
}

TASK_TEST(patience_ends_in_the_order_of_waiting)
{
    struct fake f = {.connect_rc = TUG_ECONNECT, .connect_fails = -1};
    tug_pool *p = fake_pool(&f, NULL);
    tug_time began = tug_now();
    tug_future *first = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(5)));
    tug_future *second = tug_pool_acquire_start(p);
    assert_rc(tug_await(first), TUG_ECONNECT);
    assert_int_equal(tug_now() - began, TUG_SECONDS(30));
    assert_detail_has("the fake said no");
    assert_detail_has("waited 30000 ms");
    assert_false(tug_future_is_settled(second));
    assert_rc(tug_await(second), TUG_ECONNECT);
    assert_int_equal(tug_now() - began, TUG_SECONDS(35));
    tug_future_unref(first);
    tug_future_unref(second);
    /* Nobody waits: nobody knocks. */
    int connects = f.connects;
    assert_ok(tug_sleep(TUG_SECONDS(60)));
    assert_int_equal(f.connects, connects);
    fake_close(&f, p);
}

/* A pool that is only full has no patience to lose. */
TASK_TEST(patience_is_for_failing_opens_only)
{
    struct fake f = {0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.max = 2;
    o.connect_patience = TUG_SECONDS(1);
    tug_pool *p = fake_pool(&f, &o);
    tug_lease *a = fake_acquire(p), *b = fake_acquire(p);
    tug_future *waiter = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_SECONDS(100)));
    assert_false(tug_future_is_settled(waiter));
    f.connect_rc = TUG_ECONNECT;
    f.connect_fails = -1;
    tug_future *second = tug_pool_acquire_start(p);
    fake_of(b)->broken = true;
    tug_time began = tug_now();
    tug_lease_close(b);
    assert_rc(tug_await(waiter), TUG_ECONNECT);
    assert_int_equal(tug_now() - began, TUG_SECONDS(1));
    assert_rc(tug_await(second), TUG_ECONNECT);
    tug_future_unref(waiter);
    tug_future_unref(second);
    tug_lease_close(a);
    fake_close(&f, p);
}

TASK_TEST(leases_that_come_back_serve_while_opens_fail)
{
    struct fake f = {0};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *mine = fake_acquire(p);
    f.connect_rc = TUG_ECONNECT;
    f.connect_fails = -1;
    tug_future *waiter = tug_pool_acquire_start(p);
    assert_ok(tug_sleep(TUG_MS(10)));
    tug_lease_close(mine);
    take_and_close_all(&waiter, 1);
    fake_close(&f, p);
}

TASK_TEST(what_breaks_at_birth_counts_as_failed)
{
    struct fake f = {.stillborn = true};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *none = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pool_acquire(p, &none)), TUG_ETIMEDOUT);
    assert_detail_has("last open error: not usable right after it was opened");
    assert_true(f.connects < 12);
    assert_int_equal(f.closes, f.connects);
    fake_close(&f, p);
}

/* --- shortages ----------------------------------------------------------------------------------- */

TASK_TEST(close_needs_no_new_tasks)
{
    struct fake f = {.close_takes = TUG_MS(1)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_future *waiters[6];
    start_all(p, waiters, 6);
    take_and_close_all(waiters, 6);
    assert_int_equal(fake_stats(p).idle, 6);
    refuse_tasks = 1000;
    refuse_memory = 1000;
    tug_pool_close(p);
    assert_ok(tug_sleep(TUG_MS(6) - 1));
    assert_int_equal(f.gone, 0); /* one by one */
    assert_ok(tug_sleep(2));
    assert_int_equal(f.gone, 1);
    assert_int_equal(f.closes, 6);
    assert_int_equal(refuse_tasks, 994);
    refuse_tasks = refuse_memory = 0;
}

TASK_TEST(an_open_without_a_task_waits_for_one)
{
    struct fake f = {0};
    tug_pool *p = fake_pool(&f, NULL);
    refuse_tasks = 2;
    tug_lease *lease = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_pool_acquire(p, &lease)), TUG_ETIMEDOUT);
    assert_detail_has("last open error: out of stacks, says the test");
    assert_int_equal(refuse_tasks, 1);
    lease = fake_acquire(p);
    assert_int_equal(refuse_tasks, 0);
    assert_int_equal(f.connects, 1);
    tug_lease_mark_dirty(lease);
    refuse_tasks = 1;
    tug_lease_close(lease);
    tug_test_settle();
    assert_int_equal(f.resets, 1);
    assert_int_equal(fake_stats(p).idle, 1);
    fake_close(&f, p);
}

TASK_TEST(an_open_without_memory_waits_for_some)
{
    struct fake f = {.connect_takes = TUG_MS(10)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_future *waiters[2];
    tug_time began = tug_now();
    start_all(p, waiters, 2);
    refuse_memory = 1; /* the slot of the second open, after the first has succeeded */
    assert_ok(tug_await(waiters[0]));
    assert_ok(tug_sleep(TUG_MS(1)));
    assert_int_equal(refuse_memory, 0);
    assert_int_equal(tug_pool_open_error(p)->code, TUG_ENOMEM);
    take_and_close_all(waiters, 2);
    assert_true(tug_now() - began >= TUG_MS(10 + 100 + 10));
    assert_true(tug_now() - began <= TUG_MS(10 + 200 + 10));
    fake_close(&f, p);
}

TASK_TEST(open_reports_shortages)
{
    struct fake f = {0};
    tug_pool *p = NULL;
    refuse_memory = 1;
    assert_rc(tug_pool_open(&fake_ops, &f, NULL, &p), TUG_ENOMEM);
    refuse_tasks = 1;
    assert_rc(tug_pool_open(&fake_ops, &f, NULL, &p), TUG_ELIMIT);
    assert_null(p);
    assert_int_equal(f.gone, 0);
}

/* --- misuse -------------------------------------------------------------------------------------- */

TASK_TEST(refuses_bad_options)
{
    struct fake f = {0};
    tug_pool *p = NULL;
    tug_pool_options good = TUG_POOL_OPTIONS_INIT, o;
#define REFUSED(change, part)                                                                      \
    o = good;                                                                                      \
    change;                                                                                        \
    assert_rc(tug_pool_open(&fake_ops, &f, &o, &p), TUG_EINVAL);                                   \
    assert_detail_has(part)
    REFUSED(o.size = 0, "TUG_POOL_OPTIONS_INIT");
    REFUSED(o.max = 0, "max must be 1 to 100000");
    REFUSED(o.max = TUG_POOL_MOST + 1, "max must be");
    REFUSED(o.min = 11, "min 0 to max, not 10 and 11");
    REFUSED(o.max_opening = 0, "max_opening");
    REFUSED(o.max_waiters = 0, "max_waiters");
    REFUSED(o.check_after = -1, "check_after");
    REFUSED(o.check_timeout = 0, "check_timeout");
    REFUSED(o.connect_patience = -1, "connect_patience");
    REFUSED(o.backoff_first = 0, "backoff_first");
    REFUSED(o.backoff_most = TUG_MS(99), "backoff_most");
    REFUSED(o.min_idle = 11, "min_idle must be 0 to max (10), not 11");
    REFUSED(o.idle_timeout = 0, "idle_timeout");
    REFUSED(o.max_lifetime = 0, "max_lifetime");
    REFUSED(o.leak_after = -1, "leak_after");
    REFUSED(o.lifetime_jitter = 101, "lifetime_jitter must be 0 to 100 percent, not 101");
    REFUSED(o.connect_timeout = 0, "connect_timeout");
    REFUSED(o.close_timeout = 0, "close_timeout");
    tug_pool_ops ops = fake_ops;
    ops.connect = NULL;
    assert_rc(tug_pool_open(&ops, &f, NULL, &p), TUG_EINVAL);
    assert_rc(tug_pool_open(NULL, &f, NULL, &p), TUG_EINVAL);
    assert_null(p);
    tug_lease *none = NULL;
    assert_rc(tug_pool_acquire(NULL, &none), TUG_EMISUSE);
}

/* A caller that was built before gone and the later options were there. */
TASK_TEST(takes_shorter_structs)
{
    struct fake f = {0};
    tug_pool_ops ops = fake_ops;
    ops.size = offsetof(tug_pool_ops, gone);
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.size = offsetof(tug_pool_options, max_opening);
    o.max = 2;
    o.max_opening = 0;
    tug_pool *p = NULL;
    assert_ok(tug_pool_open(&ops, &f, &o, &p));
    tug_lease_close(fake_acquire(p));
    tug_pool_stats s = {.size = offsetof(tug_pool_stats, busy), .busy = 77};
    tug_pool_get_stats(p, &s);
    assert_int_equal(s.idle, 1);
    assert_int_equal(s.busy, 77);
    tug_pool_close(p);
    tug_test_settle();
    assert_int_equal(f.gone, 0);
    assert_int_equal(f.closes, 1);
}

static void *from_another_thread(void *arg)
{
    tug_lease *lease = NULL;
    assert_rc(tug_pool_acquire(arg, &lease), TUG_EMISUSE);
    assert_detail_has("thread");
    tug_pool_close(arg);
    return NULL;
}

TASK_TEST(refuses_other_threads)
{
    struct fake f = {0};
    tug_pool *p = fake_pool(&f, NULL);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, from_another_thread, p), 0);
    pthread_join(t, NULL);
    tug_lease_close(fake_acquire(p));
    fake_close(&f, p);
}

TEST(needs_a_loop)
{
    struct fake f = {0};
    tug_pool *p = NULL;
    assert_rc(tug_pool_open(&fake_ops, &f, NULL, &p), TUG_EMISUSE);
    assert_null(p);
}
