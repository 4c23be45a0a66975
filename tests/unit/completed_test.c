/* First errors, futures in the order of settling, and that all combinators take work proportional to
 * the number of futures: 100,000 at once. */
#include <stdlib.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "test.h"

static int abort_answer;
static size_t aborted, disposed;

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
static const tug_future_class fake = {
    .size = sizeof(tug_future_class), .name = "fake", .abort = on_abort, .dispose = on_dispose};

/* There is one, or the test ends here. */
static tug_future *fresh(const tug_future_class *c)
{
    tug_future *f = tug_future_new(c);
    assert_non_null(f);
    return f;
}

enum {
    FEW = 5
};
static tug_future *few[FEW];

static void make_few(void)
{
    abort_answer = TUG_ABORT_DONE;
    for (size_t i = 0; i < FEW; i++) {
        few[i] = fresh(&fake);
    }
}

static void fail_with(tug_future *f, int code)
{
    tug_error e;
    tug_error_set(&e, code, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "no");
    tug_future_fail(f, &e);
}

/* --- first error -------------------------------------------------------------------------------- */

static int fail_third(void *arg)
{
    (void)arg;
    assert_ok(tug_sleep(TUG_MS(1)));
    tug_future_settle(few[1], NULL);
    assert_ok(tug_sleep(TUG_MS(1)));
    fail_with(few[3], TUG_EREJECT);
    return 0;
}

TASK_TEST(the_first_error_ends_the_wait_and_nothing_else)
{
    size_t which = 99;
    make_few();
    assert_ok(tug_group_spawn(tug_background(), fail_third, NULL));
    tug_time before = tug_now();
    assert_ok(tug_wait_first_error(few, FEW, &which));
    assert_int_equal(which, 3);
    assert_int_equal(tug_now() - before, TUG_MS(2));
    assert_int_equal(aborted, 0);
    assert_rc(tug_await(few[3]), TUG_EREJECT);
    assert_ok(tug_wait_first_error(few, FEW, &which)); /* it has failed already */
    assert_int_equal(which, 3);
    tug_future_drop_all(few, FEW);
    assert_int_equal(aborted, 3);
}

static int settle_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < FEW; i++) {
        assert_ok(tug_sleep(TUG_MS(1)));
        tug_future_settle(few[i], NULL);
    }
    return 0;
}

TASK_TEST(without_an_error_all_are_waited_for)
{
    size_t which = 99;
    make_few();
    assert_ok(tug_group_spawn(tug_background(), settle_all, NULL));
    tug_time before = tug_now();
    assert_ok(tug_wait_first_error(few, FEW, &which));
    assert_int_equal(which, FEW);
    assert_int_equal(tug_now() - before, TUG_MS(FEW));
    assert_ok(tug_wait_first_error(few, FEW, &which));
    assert_int_equal(which, FEW);
    assert_ok(tug_wait_first_error(few, 0, &which));
    assert_int_equal(which, 0);
    tug_future_drop_all(few, FEW);
}

TASK_TEST(a_wait_for_the_first_error_is_cut_by_its_deadline)
{
    size_t which = 99;
    make_few();
    assert_rc(TUG_WITHIN(TUG_MS(3), tug_wait_first_error(few, FEW, &which)), TUG_ETIMEDOUT);
    assert_int_equal(which, 99);
    assert_int_equal(aborted, 0);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_wait_first_error(few, FEW, &which), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    tug_future_cancel(few[2]); /* to be dropped is to fail */
    assert_ok(tug_wait_first_error(few, FEW, &which));
    assert_int_equal(which, 2);
    tug_future_drop_all(few, FEW);
}

/* --- as completed ------------------------------------------------------------------------------- */

TASK_TEST(futures_come_in_the_order_in_which_they_settle)
{
    make_few();
    tug_future_settle(few[4], NULL);
    tug_future_settle(few[2], NULL);
    TUG_AUTO(tug_completed) c = NULL;
    size_t which = 99;
    assert_ok(tug_as_completed(few, FEW, &c));
    fail_with(few[3], TUG_EREJECT);
    tug_future_settle(few[0], NULL);
    tug_future_cancel(few[1]);
    const size_t expected[] = {2, 4, 3, 0, 1}; /* those before by index, then as they came */
    for (size_t i = 0; i < FEW; i++) {
        assert_int_equal(tug_completed_next(c, &which), 1);
        assert_int_equal(which, expected[i]);
    }
    assert_ok(tug_completed_next(c, &which));
    assert_ok(tug_completed_next(c, &which));
    tug_future_drop_all(few, FEW);
}

TASK_TEST(none_to_follow_is_the_end_at_once)
{
    TUG_AUTO(tug_completed) c = NULL;
    size_t which = 99;
    assert_ok(tug_as_completed(NULL, 0, &c));
    assert_ok(tug_completed_next(c, &which));
    assert_int_equal(which, 99);
    tug_completed_close(NULL);
}

static tug_completed *shared;
static size_t times_given[FEW];

static int worker(void *arg)
{
    size_t which = 99;
    int rc;
    while ((rc = tug_completed_next(shared, &which)) == 1) {
        times_given[which]++;
        ++*(size_t *)arg;
    }
    return rc;
}

TASK_TEST(several_tasks_share_the_work)
{
    size_t n[2] = {0, 0};
    make_few();
    assert_ok(tug_as_completed(few, FEW, &shared));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, worker, &n[0]));
    assert_ok(tug_group_spawn(&g, worker, &n[1]));
    assert_ok(tug_group_spawn(&g, settle_all, NULL));
    assert_ok(tug_group_leave(&g, 0)); /* both learn that there is no more */
    for (size_t i = 0; i < FEW; i++) {
        assert_int_equal(times_given[i], 1);
    }
    assert_true(n[0] >= 2 && n[1] >= 2);
    tug_completed_close(shared);
    tug_future_drop_all(few, FEW);
}

TASK_TEST(what_nobody_waits_for_any_more_is_unlinked)
{
    size_t which = 99;
    make_few();
    TUG_AUTO(tug_completed) c = NULL;
    assert_ok(tug_as_completed(few, FEW, &c));
    tug_future_drop(few[1]); /* before its turn: it comes as what it settled with */
    few[1] = NULL;
    assert_int_equal(tug_completed_next(c, &which), 1);
    assert_int_equal(which, 1);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_completed_next(c, &which)), TUG_ETIMEDOUT);
    tug_future_settle(few[0], NULL);
    tug_completed_close(c); /* with one that is ready and three that are not */
    c = NULL;
    tug_future_settle(few[2], NULL); /* must not touch the closed one */
    tug_future_drop_all(few, FEW);
}

static int close_shared(void *arg)
{
    (void)arg;
    tug_completed_close(shared);
    return 0;
}

TASK_TEST(closing_wakes_who_waits)
{
    size_t which = 99;
    make_few();
    assert_ok(tug_as_completed(few, FEW, &shared));
    assert_ok(tug_group_spawn(tug_background(), close_shared, NULL));
    assert_rc(tug_completed_next(shared, &which), TUG_ECLOSED);
    tug_future_drop_all(few, FEW);
}

TEST(as_completed_needs_a_loop)
{
    tug_completed *c = NULL;
    size_t which = 0;
    tug_future *f = tug_future_no_memory();
    assert_rc(tug_as_completed(&f, 1, &c), TUG_EMISUSE);
    assert_rc(tug_wait_first_error(&f, 1, &which), TUG_EMISUSE);
    assert_detail_has("in a task");
}

/* --- 100,000 ------------------------------------------------------------------------------------ */

#define LOTS ((size_t)test_many(100000, 300))
static tug_future **lots;

static void make_lots(void)
{
    abort_answer = TUG_ABORT_DONE;
    lots = calloc(LOTS, sizeof lots[0]);
    assert_non_null(lots);
    for (size_t i = 0; i < LOTS; i++) {
        lots[i] = fresh(&fake);
    }
}

static void free_lots(void)
{
    tug_future_drop_all(lots, LOTS);
    free(lots);
}

/* Every 7919th, a prime, so in no order that helps. */
static int settle_lots(void *arg)
{
    size_t at = 0;
    for (size_t i = 0; i < LOTS; i++) {
        at = (at + 7919) % LOTS;
        if (arg != NULL && i == *(size_t *)arg) {
            fail_with(lots[at], TUG_EREJECT);
        } else {
            tug_future_settle(lots[at], NULL);
        }
    }
    return 0;
}

/* Each of these would take minutes, and pass the test's time bound, if a step looked at all the others. */
TASK_TEST(a_hundred_thousand_gathered)
{
    make_lots();
    assert_ok(tug_group_spawn(tug_background(), settle_lots, NULL));
    assert_ok(tug_gather(lots, LOTS));
    assert_ok(tug_gather(lots, LOTS));
    assert_ok(tug_gather_settled(lots, LOTS));
    free_lots();
}

TASK_TEST(a_hundred_thousand_stopped_by_a_failure_half_way)
{
    size_t half = LOTS / 2, which = 0;
    make_lots();
    assert_ok(tug_group_spawn(tug_background(), settle_lots, &half));
    assert_rc(tug_gather(lots, LOTS), TUG_EREJECT);
    assert_ok(tug_wait_first_error(lots, LOTS, &which));
    assert_rc(tug_await(lots[which]), TUG_EREJECT);
    free_lots();
}

TASK_TEST(a_hundred_thousand_cancelled)
{
    make_lots();
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_gather(lots, LOTS)), TUG_ETIMEDOUT);
    assert_int_equal(aborted, LOTS);
    free_lots();
}

/* Those that stop later are asked first, all of them, and waited for then. */
TASK_TEST(a_hundred_thousand_that_stop_later)
{
    make_lots();
    abort_answer = TUG_ABORT_LATER;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_ok(tug_group_spawn(&g, settle_lots, NULL));
    assert_rc(tug_gather_settled(lots, LOTS), TUG_ECANCELED);
    assert_int_equal(aborted, LOTS);
    assert_rc(tug_scope_leave(&s, 0), 0);
    assert_ok(tug_group_leave(&g, 0));
    free_lots();
}

TASK_TEST(a_hundred_thousand_as_they_complete)
{
    size_t n = 0, which = 0, at = 0;
    make_lots();
    TUG_AUTO(tug_completed) c = NULL;
    assert_ok(tug_as_completed(lots, LOTS, &c));
    assert_ok(tug_group_spawn(tug_background(), settle_lots, NULL));
    while (tug_completed_next(c, &which) == 1) {
        at = (at + 7919) % LOTS;
        assert_int_equal(which, at);
        n++;
    }
    assert_int_equal(n, LOTS);
    free_lots();
}

TASK_TEST(a_hundred_thousand_waited_for_any_and_first_error)
{
    size_t which = 0;
    make_lots();
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_wait_any(lots, LOTS, &which)), TUG_ETIMEDOUT);
    assert_ok(tug_group_spawn(tug_background(), settle_lots, NULL));
    assert_ok(tug_wait_any(lots, LOTS, &which));
    assert_int_equal(which, 7919 % LOTS);
    assert_ok(tug_wait_first_error(lots, LOTS, &which));
    assert_int_equal(which, LOTS);
    free_lots();
}

static int count_item(void *item)
{
    ++*(unsigned char *)item;
    return tug_yield();
}

TASK_TEST(a_hundred_thousand_mapped)
{
    unsigned char *items = calloc(LOTS, 1);
    tug_outcome *outcomes = malloc(LOTS * sizeof *outcomes);
    size_t failed = 99;
    assert_true(items != NULL && outcomes != NULL);
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 100;
    size_t tasks = tug_task_count();
    assert_ok(tug_map(count_item, items, LOTS, 1, &o));
    assert_ok(tug_map_settled(count_item, items, LOTS, 1, &o, outcomes, &failed));
    assert_int_equal(failed, 0);
    assert_int_equal(tug_task_count(), tasks);
    for (size_t i = 0; i < LOTS; i++) {
        assert_int_equal(items[i], 2);
    }
    free(items);
    free(outcomes);
}
