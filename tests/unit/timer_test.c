#include <stdlib.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "loop/timer.h"
#include "test.h"

static struct tug__calendar calendar;
static int64_t fired_at[20000];
static size_t fired;
static tug_time now;

static void on_fire(tug_timer *t, void *arg)
{
    (void)t;
    assert_true(fired < 20000);
    assert_true(*(int64_t *)arg <= now);
    fired_at[fired++] = *(int64_t *)arg;
}

/* Against the plainest model there is: every timer fires once, not before its time, at the first look after. */
TEST(random_timers_fire_once_and_in_time)
{
    enum {
        N = 20000
    };
    static struct tug__timer timers[N];
    static int64_t when[N];
    static bool stopped[N];
    srand(7);
    now = 123456789012345;
    tug__calendar_init(&calendar, now);
    size_t expected = 0;
    for (int i = 0; i < N; i++) {
        /* From microseconds to hours, so that slots, far buckets and further rounds are all met. */
        int64_t range = INT64_C(1) << (10 + rand() % 34);
        when[i] = now + (int64_t)(((uint64_t)rand() << 20 ^ (uint64_t)rand()) % (uint64_t)range);
        tug__timer_start_at(&calendar, &timers[i], when[i], on_fire, &when[i]);
    }
    for (int i = 0; i < N; i += 3) {
        tug__timer_stop(&calendar, &timers[i]);
        stopped[i] = true;
    }
    for (int i = 0; i < N; i++) {
        expected += !stopped[i];
    }
    while (calendar.count > 0) {
        tug_time next = tug__calendar_next(&calendar);
        assert_true(next != TUG_FOREVER);
        for (int i = 0; i < N && calendar.count < 50; i++) { /* never later than the earliest */
            if (timers[i].state != TUG__TIMER_IDLE) {
                assert_true(next <= when[i]);
            }
        }
        now = next + rand() % 3000000;
        tug__calendar_fire(&calendar, now);
    }
    assert_int_equal(fired, expected);
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
}

/* --- against a model: starts, stops and moves at random, in a clock that goes on at random -------- */

enum {
    MODEL = 3000
};
static struct tug__timer model_timers[MODEL];
static tug_time model_due[MODEL]; /* 0: does not run */

static int64_t any_below(int64_t n)
{
    uint64_t drawn = (uint64_t)rand() << 31 ^ (uint64_t)rand();
    return (int64_t)(drawn % (uint64_t)n);
}

/* From a microsecond to a day: the slot under way, slots, far buckets and later rounds of them. */
static int64_t any_distance(void)
{
    return any_below(INT64_C(1) << (10 + any_below(37)));
}

static void on_model(tug_timer *t, void *arg)
{
    tug_time *due = arg;
    (void)t;
    assert_true(*due != 0); /* it fires once, and not after a stop */
    assert_true(*due <= now);
    *due = 0;
}

static void change_one(void)
{
    size_t i = (size_t)any_below(MODEL);
    struct tug__timer *t = &model_timers[i];
    tug_time at = now + any_distance();
    switch (any_below(4)) {
    case 0:
        tug__timer_stop(&calendar, t);
        model_due[i] = 0;
        break;
    case 1:
        tug__timer_move(&calendar, t, at);
        model_due[i] = model_due[i] != 0 ? at : 0;
        break;
    default:
        tug__timer_start_at(&calendar, t, at, on_model, &model_due[i]);
        model_due[i] = at;
        break;
    }
}

static tug_time model_earliest(void)
{
    tug_time first = TUG_FOREVER;
    for (size_t i = 0; i < MODEL; i++) {
        first = model_due[i] != 0 && model_due[i] < first ? model_due[i] : first;
    }
    return first;
}

static void check_model(void)
{
    tug_time next;
    do { /* in portions */
        tug__calendar_fire(&calendar, now);
        next = tug__calendar_next(&calendar);
    } while (next <= now);
    tug_time earliest = model_earliest();
    assert_true(earliest > now);
    assert_true(next <= earliest);
}

TEST(random_starts_stops_and_moves_agree_with_a_model)
{
    srand(11);
    now = 123456789012345;
    tug__calendar_init(&calendar, now);
    for (int round = 0; round < 6000; round++) {
        for (int i = 0; i < 20; i++) {
            change_one();
        }
        now += any_below(4) > 0 ? any_below(TUG_MS(3)) : any_distance() / 64;
        check_model();
    }
    while (calendar.count > 0) {
        now = tug__calendar_next(&calendar);
        check_model();
    }
    assert_int_equal(model_earliest(), TUG_FOREVER);
}

/* --- portions ----------------------------------------------------------------------------------- */

enum {
    CROWD = 20000
};
static struct tug__timer crowd[CROWD];
static int64_t crowd_due[CROWD];

static void start_crowd(tug_time at)
{
    for (int i = 0; i < CROWD; i++) {
        crowd_due[i] = at;
        tug__timer_start_at(&calendar, &crowd[i], at, on_fire, &crowd_due[i]);
    }
}

TEST(many_that_are_due_at_once_fire_in_portions)
{
    now = TUG_SECONDS(100);
    tug__calendar_init(&calendar, now);
    start_crowd(now + TUG_MS(20));
    now += TUG_MS(25);
    for (size_t before = 0; fired < CROWD; before = fired) {
        assert_true(tug__calendar_next(&calendar) <= now); /* so that the loop does not block */
        tug__calendar_fire(&calendar, now);
        assert_in_range(fired - before, 1, TUG__TIMER_FIRE);
    }
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
}

/* How many have left the far buckets in a round. */
static size_t spread_in_a_round(void)
{
    size_t before = calendar.distant;
    tug__calendar_fire(&calendar, now);
    return before - calendar.distant;
}

TEST(a_crowd_beyond_the_slots_comes_near_in_portions)
{
    now = TUG_SECONDS(100);
    tug__calendar_init(&calendar, now);
    tug_time due = now + TUG_SECONDS(60);
    start_crowd(due);
    assert_int_equal(calendar.distant, CROWD);
    tug_time first = tug__calendar_next(&calendar);
    assert_in_range(first, due - TUG_SECONDS(18), due - TUG_SECONDS(16));
    now = first;
    for (int round = 0; calendar.distant > 0; round++) {
        assert_true(tug__calendar_next(&calendar) <= now);
        assert_in_range(spread_in_a_round(), 1, TUG__TIMER_MOVE);
        /* What is being spread can be stopped, moved and started like all others. */
        tug__timer_stop(&calendar, &crowd[round]);
        tug__timer_move(&calendar, &crowd[CROWD - 1 - round], due + TUG_MS(1));
        crowd_due[CROWD - 1 - round] = due + TUG_MS(1);
        fired++;
    }
    size_t stopped = fired;
    assert_true(stopped > 50);
    assert_in_range(tug__calendar_next(&calendar), due - TUG_MS(2), due);
    now = due - 1;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, stopped);
    for (now = due + TUG_MS(2); calendar.count > 0;) {
        tug__calendar_fire(&calendar, now);
    }
    assert_int_equal(fired, CROWD);
}

TEST(a_bucket_that_later_rounds_share_is_looked_through_in_portions)
{
    now = TUG_SECONDS(100);
    tug__calendar_init(&calendar, now);
    tug_duration round = (tug_duration)TUG__TIMER_FAR * TUG__TIMER_WIDE << TUG__TIMER_SHIFT;
    tug_time due = now + TUG_SECONDS(60) + 2 * round;
    start_crowd(due);
    int looks = 0;
    while (calendar.count > 0) {
        tug_time next = tug__calendar_next(&calendar);
        assert_true(next <= due);
        now = next > now ? next : now;
        assert_true(spread_in_a_round() <= TUG__TIMER_MOVE);
        looks++;
    }
    assert_int_equal(fired, CROWD);
    assert_in_range(looks, 3 * (CROWD / TUG__TIMER_MOVE), 4 * (CROWD / TUG__TIMER_MOVE));
}

TEST(a_loop_that_stood_still_finds_all_of_them)
{
    now = TUG_SECONDS(100);
    tug__calendar_init(&calendar, now);
    for (int i = 0; i < CROWD; i++) {
        crowd_due[i] = now + i * TUG_MS(6); /* two minutes */
        tug__timer_start_at(&calendar, &crowd[i], crowd_due[i], on_fire, &crowd_due[i]);
    }
    now += TUG_SECONDS(130);
    while (calendar.count > 0) {
        tug__calendar_fire(&calendar, now);
    }
    assert_int_equal(fired, CROWD);
    for (size_t i = 1; i < CROWD; i++) {
        assert_true(fired_at[i - 1] < fired_at[i]);
    }
}

TEST(a_crowd_in_the_slot_under_way_is_not_looked_through_each_time)
{
    static int64_t soon;
    now = TUG_SECONDS(100) >> TUG__TIMER_SHIFT << TUG__TIMER_SHIFT;
    tug__calendar_init(&calendar, now);
    start_crowd(now + 900000);
    soon = now + 1000;
    tug__timer_start_at(&calendar, &crowd[0], soon, on_fire, &soon);
    now = soon;
    tug__calendar_fire(&calendar, now);
    assert_true(fired <= 1); /* it may be hidden behind the crowd ... */
    tug_time next = tug__calendar_next(&calendar);
    assert_in_range(next, now + 1, now + (1 << TUG__TIMER_SHIFT));
    now += 1 << TUG__TIMER_SHIFT;
    while (calendar.count > 0) { /* ... until the slot has passed */
        tug__calendar_fire(&calendar, now);
    }
    assert_int_equal(fired, CROWD);
}

/* --- order -------------------------------------------------------------------------------------- */

TEST(they_fire_by_deadline_and_then_by_start)
{
    enum {
        N = 300
    };
    static int64_t when[N];
    now = TUG_SECONDS(50);
    tug__calendar_init(&calendar, now);
    for (int i = 0; i < N; i++) { /* three to each instant, all in a slot or two */
        when[i] = now + TUG_MS(5) + (i * 37 % 100) * 7000;
        tug__timer_start_at(&calendar, &crowd[i], when[i], on_fire, &when[i]);
    }
    now += TUG_MS(10);
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, N);
    for (size_t i = 1; i < N; i++) {
        assert_true(fired_at[i - 1] <= fired_at[i]);
    }
}

static int starts[CROWD];
static void note_start(tug_timer *t, void *arg)
{
    (void)t;
    starts[fired++] = (int)((int64_t *)arg - crowd_due);
}

TEST(those_of_the_same_instant_fire_in_the_order_of_their_starts)
{
    enum {
        N = 400
    };
    now = TUG_SECONDS(50);
    tug__calendar_init(&calendar, now);
    tug_time due = now + TUG_SECONDS(20);
    for (int i = 0; i < N; i++) {
        if (i == N / 2) { /* the first half comes out of a far bucket */
            now += TUG_SECONDS(15);
            while (calendar.distant > 0) {
                tug__calendar_fire(&calendar, now);
            }
        }
        tug__timer_start_at(&calendar, &crowd[i], due, note_start, &crowd_due[i]);
    }
    tug__timer_move(&calendar, &crowd[7], due); /* now the latest */
    now = due;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, N);
    for (int i = 0; i < N - 1; i++) {
        assert_int_equal(starts[i], i < 7 ? i : i + 1);
    }
    assert_int_equal(starts[N - 1], 7);
}

/* --- moving, and when to look again ------------------------------------------------------------- */

TEST(a_timer_that_is_pushed_ahead_fires_at_its_last_instant_only)
{
    static int64_t at;
    static struct tug__timer t;
    now = TUG_SECONDS(7);
    tug__calendar_init(&calendar, now);
    at = now + TUG_MS(30);
    tug__timer_start_at(&calendar, &t, at, on_fire, &at);
    for (int i = 0; i < 100; i++) {
        now += TUG_MS(20);
        tug__calendar_fire(&calendar, now);
        at = now + TUG_SECONDS(i % 3 == 0 ? 40 : 4); /* beyond the slots and back */
        tug__timer_move(&calendar, &t, at);
    }
    while (tug__calendar_next(&calendar) < at) {
        now = tug__calendar_next(&calendar);
        tug__calendar_fire(&calendar, now);
    }
    assert_int_equal(fired, 0);
    now = at;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 1);
}

TEST(a_move_of_an_idle_timer_and_a_stop_after_a_move_leave_it_idle)
{
    static struct tug__timer t;
    static int64_t at;
    now = TUG_SECONDS(7);
    tug__calendar_init(&calendar, now);
    tug__timer_move(&calendar, &t, now + TUG_MS(1));
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
    tug__timer_start_at(&calendar, &t, now + TUG_MS(5), on_fire, &at);
    tug__timer_move(&calendar, &t, now + TUG_MS(1));
    tug__timer_stop(&calendar, &t);
    assert_int_equal(t.state, TUG__TIMER_IDLE);
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
}

static struct tug__timer victim, killer;
static void move_it(tug_timer *t, void *arg)
{
    (void)t;
    tug__timer_move(&calendar, arg, now + TUG_MS(9));
}

TEST(a_callback_may_move_another_that_is_due)
{
    static int64_t at;
    now = TUG_SECONDS(5);
    at = now + TUG_MS(9);
    tug__calendar_init(&calendar, TUG_SECONDS(1));
    tug__timer_start_at(&calendar, &killer, now, move_it, &victim);
    tug__timer_start_at(&calendar, &victim, now, on_fire, &at);
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 0);
    assert_int_equal(tug__calendar_next(&calendar), at);
    now = at;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 1);
}

TEST(one_far_timer_wakes_an_idle_loop_once)
{
    static int64_t at;
    now = TUG_SECONDS(5);
    tug__calendar_init(&calendar, now);
    at = now + TUG_SECONDS(24 * 3600); /* 78 rounds of the far buckets */
    tug__timer_start_at(&calendar, &victim, at, on_fire, &at);
    assert_int_equal(tug__calendar_next(&calendar), at);
    now = at;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 1);
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
}

static void kill_it(tug_timer *t, void *arg)
{
    (void)t;
    tug__timer_stop(&calendar, arg);
}

TEST(a_callback_may_stop_another_that_is_due)
{
    static int64_t at;
    now = at = TUG_SECONDS(5);
    tug__calendar_init(&calendar, TUG_SECONDS(1));
    tug__timer_start_at(&calendar, &killer, now, kill_it, &victim);
    tug__timer_start_at(&calendar, &victim, now, on_fire, &at);
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 0);
    assert_int_equal(calendar.count, 0);
}

TEST(fresh_timers_count_from_the_next_clock_read)
{
    static int64_t at;
    now = TUG_SECONDS(10);
    at = now + TUG_MS(7);
    tug__calendar_init(&calendar, TUG_SECONDS(9));
    tug__timer_start_in(&calendar, &victim, TUG_MS(7), on_fire, &at);
    assert_int_equal(tug__calendar_next(&calendar), TUG_FOREVER);
    tug__calendar_anchor(&calendar, now);
    assert_int_equal(tug__calendar_next(&calendar), at);
    now = at - 1;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 0);
    now = at;
    tug__calendar_fire(&calendar, now);
    assert_int_equal(fired, 1);
}

static int ticks;
static tug_timer periodic;
static void again(tug_timer *t, void *arg)
{
    if (++ticks < 5) {
        tug_timer_start(t, tug_turn_time() + TUG_MS(10), again, arg);
    }
}

TASK_TEST(a_timer_may_start_itself_again)
{
    tug_timer_start(&periodic, tug_now() + TUG_MS(10), again, NULL);
    assert_true(tug_timer_is_running(&periodic));
    assert_ok(tug_sleep(TUG_MS(45)));
    assert_int_equal(ticks, 4);
    assert_ok(tug_sleep(TUG_MS(500)));
    assert_int_equal(ticks, 5);
    assert_false(tug_timer_is_running(&periodic));
    tug_timer_stop(&periodic);
}

TASK_TEST(an_idle_timer_that_was_moved_may_go_once_it_is_stopped)
{
    tug_timer *t = tug_calloc(1, sizeof *t);
    assert_non_null(t);
    tug_timer_move(t, tug_now() + TUG_MS(5));
    assert_false(tug_timer_is_running(t));
    tug_timer_stop(t);
    tug_free(t);
    assert_ok(tug_sleep(TUG_MS(10)));
}

LIVE_TEST(real_deadlines_are_met_to_the_millisecond)
{
    for (int i = 0; i < 20; i++) {
        tug_time before = tug_now();
        assert_ok(tug_sleep(TUG_US(700)));
        tug_duration took = tug_now() - before;
        assert_true(took >= TUG_US(700));
        assert_true(took <
                    TUG_SECONDS(1)); /* the machine may be busy; never early is the promise */
    }
}

/* --- through tasks ------------------------------------------------------------------------------ */

static tug_time woken_last;
static int sleep_to(void *arg)
{
    tug_time until = *(tug_time *)arg;
    assert_ok(tug_sleep_until(until));
    assert_int_equal(tug_now(), until); /* the test clock jumps to it exactly */
    assert_true(woken_last <= until);
    woken_last = until;
    return 0;
}

TASK_TEST(sleepers_wake_in_the_order_of_their_deadlines)
{
    tug_group g;
    srand(5);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 500; i++) {
        tug_time until = tug_now() + any_distance();
        assert_ok(tug_group_spawn_copy(&g, sleep_to, &until, sizeof until));
    }
    assert_ok(tug_group_leave(&g, 0));
}

static int sleep_a_minute(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_SECONDS(60));
}

static void count_one(tug_timer *t, void *arg)
{
    (void)t;
    ++*(int *)arg;
}

/* A loop with a portion left is not idle. */
TASK_TEST(settling_waits_for_all_that_are_due)
{
    static tug_timer timers[3 * TUG__TIMER_FIRE];
    int n = 0;
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
        tug_timer_start(&timers[i], tug_now(), count_one, &n);
    }
    tug_test_settle();
    assert_int_equal(n, sizeof timers / sizeof *timers);
}

TASK_TEST(more_sleepers_than_a_round_fires_all_wake_at_the_same_instant)
{
    tug_group g;
    tug_time before = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 2 * TUG__TIMER_FIRE + 10; i++) {
        assert_ok(tug_group_spawn(&g, sleep_a_minute, NULL));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(tug_now() - before, TUG_SECONDS(60));
}
