#include <stdlib.h>
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

static struct tug__timer victim, killer;
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
