/* One decision per wait, proved by trying: for each kind of wait, every order of a value, a cancel from
 * outside, a cancel and an expiry of the waiter's own scope, and the waiter's entry; and for each of these
 * orders every choice of moments after the entry at which the waiter gets to run. What must come out is
 * said by a model of a few lines:
 *
 * - on entry a cancelled or expired scope beats a value, and nothing happens;
 * - afterwards whatever comes first claims the wait, whenever the waiter runs;
 * - a value that has claimed it is returned, and the next wait is cut;
 * - a leave makes a timeout of it only if its scope expired before anything else happened to it, and
 *   nothing outside is cancelled by then;
 * - no value is lost: each one made was got by the waiter or is still there. */
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/queue.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>

#include "task/task.h"
#include "test.h"

enum {
    VALUE,
    CANCEL, /* of the outer scope */
    STOP,   /* of the inner scope */
    EXPIRE, /* of the inner scope */
    ENTER,
    EVENTS
};

struct run {
    /* The waiter's. */
    tug_waiters gate;
    tug_scope outer, inner;
    tug_group inner_group; /* instead of inner, for the kind that leaves it */
    int rc, next_rc, inner_rc, outer_rc;
    bool done;

    size_t made, got, left; /* values */
    bool value_came;
    tug_future *f[2];
    tug_semaphore *semaphore;
    tug_queue *queue;
    tug_event *event;
    tug_completed *completed;
    tug_group group; /* the driver's: tasks that the kind starts */
    struct tug_task *child;
    size_t index;
    void *item;
    tug_time until;
};

struct kind {
    void (*open)(struct run *r);
    int (*wait)(struct run *r);
    void (*value)(struct run *r);
    void (*close)(struct run *r);
    bool goes_on;  /* a cancel only asks: once entered, just the value ends it */
    bool is_group; /* the wait is the leave of the inner scope, which is a group */
};

static const char item[] = "item";
static void *const ITEM = (void *)item;

/* --- the model ---------------------------------------------------------------------------------- */

struct model {
    bool outer, entered, value_there, done;
    int inner; /* what happened to it first: STOP, EXPIRE, or 0 */
    enum {
        NOTHING,
        CUT,
        VALUED
    } claim;
    int rc, next_rc, inner_rc;
};

static bool model_fired(const struct model *m)
{
    return m->outer || m->inner != 0;
}

static void model_finish(struct model *m, const struct kind *k)
{
    if (m->done || !m->entered || m->claim == NOTHING ||
        (k->goes_on && m->claim == CUT && !m->value_there)) {
        return;
    }
    m->done = true;
    m->rc = m->claim == VALUED ? 0 : TUG_ECANCELED;
    m->next_rc = model_fired(m) ? TUG_ECANCELED : 0;
    m->inner_rc = m->rc;
    if (m->rc < 0 && m->inner == EXPIRE && !m->outer) {
        m->inner_rc = TUG_ETIMEDOUT;
    }
    if (k->is_group) {
        m->rc = 0; /* the child's, of which only the leave tells */
        if (m->inner_rc == TUG_ECANCELED && !m->outer) {
            m->inner_rc = 0; /* an explicit cancel of a group is no failure */
        }
    }
}

static void model_step(struct model *m, const struct kind *k, int event)
{
    bool waits = (m->entered || k->is_group) &&
                 m->claim == NOTHING; /* a child waits from the start */
    switch (event) {
    case VALUE:
        m->value_there = !waits;
        m->claim = waits ? VALUED : m->claim;
        break;
    case ENTER:
        m->entered = true;
        if (m->claim == NOTHING && !k->is_group) {
            m->claim = model_fired(m) ? CUT : m->value_there ? VALUED : NOTHING;
        }
        model_finish(m, k); /* it runs at once */
        break;
    default:
        if (!m->done) {
            m->outer = m->outer || event == CANCEL;
            m->inner = event == CANCEL || m->inner != 0 ? m->inner : event;
        }
        m->claim = waits && !k->goes_on ? CUT : m->claim;
        break;
    }
}

/* --- the driver --------------------------------------------------------------------------------- */

static const struct kind *kind;

static int waiter(void *arg)
{
    struct run *r = arg;
    tug_scope_enter(&r->outer, TUG_FOREVER);
    if (kind->is_group) {
        tug_group_enter(&r->inner_group, TUG_FOREVER, TUG_FAIL_FAST);
    } else {
        tug_scope_enter(&r->inner, TUG_FOREVER);
    }
    if (kind->is_group) {
        r->rc = kind->wait(r);
    }
    TUG_IGNORE(tug_park_uncancellable(&r->gate, NULL, "gate"));
    if (kind->is_group) {
        r->inner_rc = tug_group_leave(&r->inner_group, 0);
    } else {
        r->rc = kind->wait(r);
        r->next_rc = tug_checkpoint();
        r->inner_rc = tug_scope_leave(&r->inner, r->rc);
    }
    r->outer_rc = tug_scope_leave(&r->outer, r->inner_rc);
    r->done = true;
    return 0;
}

/* Until nothing else can run; the second time, what timers that were due have woken. */
static void let_run(void)
{
    tug_test_settle();
    tug_test_settle();
}

static void step(struct run *r, int event)
{
    tug_scope *inner = kind->is_group ? (tug_scope *)&r->inner_group : &r->inner;
    switch (event) {
    case VALUE:
        r->value_came = true;
        kind->value(r);
        break;
    case ENTER:
        tug_unpark_first(&r->gate, 0, NULL);
        let_run();
        break;
    case CANCEL:
        if (!r->done) {
            tug_scope_cancel(&r->outer);
        }
        break;
    case STOP:
        if (!r->done) {
            tug_scope_cancel(inner);
        }
        break;
    default:
        if (!r->done) {
            tug_scope_set_deadline(inner, tug_now());
        }
        break;
    }
}

static size_t tried;

static void say(const int *order, size_t n, unsigned runs)
{
    static const char *const names[] = {"value", "cancel", "stop", "expire", "enter"};
    for (size_t i = 0; i < n; i++) {
        print_error("%s%s ", names[order[i]], (runs >> i & 1) != 0 ? " run" : "");
    }
    print_error("\n");
}

static void compare(const struct run *r, const struct model *m, const int *order, size_t n,
                    unsigned runs)
{
    bool same = r->done == m->done && r->rc == m->rc && r->inner_rc == m->inner_rc &&
                r->outer_rc == m->inner_rc && (kind->is_group || r->next_rc == m->next_rc);
    if (!same) {
        say(order, n, runs);
        fail_msg(
            "done %d/%d, wait %s/%s, next wait %s/%s, leave %s/%s, outer leave %s (is/must be)",
            r->done, m->done, tug_error_name(r->rc), tug_error_name(m->rc),
            tug_error_name(r->next_rc), tug_error_name(m->next_rc), tug_error_name(r->inner_rc),
            tug_error_name(m->inner_rc), tug_error_name(r->outer_rc));
    }
}

/* runs: bit i: the waiter runs after the i-th event. */
static void try_order(const int *order, size_t n, unsigned runs)
{
    static const struct run zero;
    struct run r = zero;
    struct model m = {.claim = NOTHING};
    tug_group g;
    kind->open(&r);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, waiter, &r));
    let_run();
    for (size_t i = 0; i < n; i++) {
        step(&r, order[i]);
        model_step(&m, kind, order[i]);
        if ((runs >> i & 1) != 0) {
            let_run();
            model_finish(&m, kind);
        }
    }
    let_run();
    model_finish(&m, kind);
    if (!m.done) {
        assert_false(r.done);
        step(&r, VALUE);
        model_step(&m, kind, VALUE);
        let_run();
        model_finish(&m, kind);
    }
    compare(&r, &m, order, n, runs);
    assert_ok(tug_group_leave(&g, 0));
    kind->close(&r);
    if (r.made != r.got + r.left) {
        say(order, n, runs);
        fail_msg("%zu values made, %zu got, %zu left", r.made, r.got, r.left);
    }
    tried++;
}

/* All orders of all subsets of events with ENTER in it, behind the first n. */
static void enumerate(int *order, size_t n, unsigned used, size_t entered_at)
{
    if (entered_at != SIZE_MAX) {
        size_t after = n - entered_at - 1; /* events whose moment of running can be chosen */
        for (unsigned mask = 0; mask < 1u << after; mask++) {
            try_order(order, n, mask << (entered_at + 1));
        }
    }
    for (int e = 0; n < EVENTS && e < EVENTS; e++) {
        if ((used >> e & 1) == 0) {
            order[n] = e;
            enumerate(order, n + 1, used | 1u << e, e == ENTER ? n : entered_at);
        }
    }
}

static void prove(const struct kind *k)
{
    int order[EVENTS];
    kind = k;
    enumerate(order, 0, 0, SIZE_MAX);
    /* k of the other four in any order, and ENTER before the last m of them, of which each may or may not be
     * followed by a run: the sum over k and m <= k of 4! / (4 - k)! * 2^m. */
    assert_int_equal(tried, 1201);
}

/* --- futures ------------------------------------------------------------------------------------ */

static int abort_answer;
static size_t disposed;
static int on_abort(tug_future *f)
{
    (void)f;
    return abort_answer;
}
static void on_dispose(void *value)
{
    assert_ptr_equal(value, ITEM);
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

static void open_futures(struct run *r)
{
    r->f[0] = fresh(&fake);
    r->f[1] = fresh(&fake);
    disposed = 0;
}

static void settle_second(struct run *r)
{
    r->made++;
    tug_future_settle(r->f[1], ITEM);
}

static void close_futures(struct run *r)
{
    tug_future_drop_all(r->f, 2);
    r->left = disposed;
}

static int got(struct run *r, int rc)
{
    void *value = NULL;
    if (rc == 0) {
        assert_ok(tug_future_take(r->f[1], &fake, &value));
        assert_ptr_equal(value, ITEM);
        r->got++;
    }
    return rc;
}

static int do_await(struct run *r)
{
    return got(r, tug_await(r->f[1]));
}

TASK_TEST(await)
{
    abort_answer = TUG_ABORT_DONE;
    prove(&(struct kind){open_futures, do_await, settle_second, close_futures, false, false});
}

static int do_await_own(struct run *r)
{
    return got(r, tug_await_own(r->f[1]));
}

TASK_TEST(await_own_of_what_stops_at_once)
{
    abort_answer = TUG_ABORT_DONE;
    prove(&(struct kind){open_futures, do_await_own, settle_second, close_futures, false, false});
}

/* No other one beside it: what stops later must be settled by somebody. */
static void open_one(struct run *r)
{
    r->f[1] = fresh(&fake);
    disposed = 0;
}

TASK_TEST(await_own_of_what_stops_later)
{
    abort_answer = TUG_ABORT_LATER;
    prove(&(struct kind){open_one, do_await_own, settle_second, close_futures, true, false});
}

/* The first has settled before; the second is the value. */
static void open_gather(struct run *r)
{
    open_futures(r);
    tug_future_settle(r->f[0], NULL);
}

static int do_gather(struct run *r)
{
    return got(r, tug_gather(r->f, 2));
}

TASK_TEST(gather)
{
    abort_answer = TUG_ABORT_DONE;
    prove(&(struct kind){open_gather, do_gather, settle_second, close_futures, false, false});
}

static int do_gather_settled(struct run *r)
{
    return got(r, tug_gather_settled(r->f, 2));
}

TASK_TEST(gather_settled)
{
    abort_answer = TUG_ABORT_DONE;
    prove(
        &(struct kind){open_gather, do_gather_settled, settle_second, close_futures, false, false});
}

static int do_wait_any(struct run *r)
{
    int rc = tug_wait_any(r->f, 2, &r->index);
    assert_int_equal(r->index, rc == 0 ? 1 : 0);
    return got(r, rc);
}

TASK_TEST(wait_any)
{
    abort_answer = TUG_ABORT_DONE;
    prove(&(struct kind){open_futures, do_wait_any, settle_second, close_futures, false, false});
}

static void fail_second(struct run *r)
{
    tug_error e;
    tug_error_set(&e, TUG_EREJECT, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "no");
    tug_future_fail(r->f[1], &e);
}

static int do_first_error(struct run *r)
{
    int rc = tug_wait_first_error(r->f, 2, &r->index);
    assert_int_equal(r->index, rc == 0 ? 1 : 0);
    return rc;
}

TASK_TEST(wait_first_error)
{
    abort_answer = TUG_ABORT_DONE;
    prove(&(struct kind){open_futures, do_first_error, fail_second, close_futures, false, false});
}

static void open_completed(struct run *r)
{
    open_futures(r);
    assert_ok(tug_as_completed(r->f, 2, &r->completed));
}

static int do_completed(struct run *r)
{
    int rc = tug_completed_next(r->completed, &r->index);
    if (rc == 1) {
        assert_int_equal(r->index, 1);
        rc = got(r, 0);
    }
    return rc;
}

/* An index that the waiter did not get comes to who asks next. */
static void close_completed(struct run *r)
{
    size_t left = 0;
    if (r->value_came && r->got == 0) {
        assert_int_equal(tug_completed_next(r->completed, &left), 1);
        assert_int_equal(left, 1);
    }
    tug_completed_close(r->completed);
    close_futures(r);
}

TASK_TEST(as_completed)
{
    abort_answer = TUG_ABORT_DONE;
    prove(
        &(struct kind){open_completed, do_completed, settle_second, close_completed, false, false});
}

/* --- parked tasks ------------------------------------------------------------------------------- */

static void open_semaphore(struct run *r)
{
    assert_ok(tug_semaphore_new(0, &r->semaphore));
}

static int do_acquire(struct run *r)
{
    int rc = tug_semaphore_acquire(r->semaphore);
    r->got += rc == 0;
    return rc;
}

static void release_one(struct run *r)
{
    r->made++;
    tug_semaphore_release(r->semaphore);
}

static void close_semaphore(struct run *r)
{
    r->left = tug_semaphore_permits(r->semaphore);
    tug_semaphore_unref(r->semaphore);
}

TASK_TEST(semaphore)
{
    prove(&(struct kind){open_semaphore, do_acquire, release_one, close_semaphore, false, false});
}

static void open_event(struct run *r)
{
    assert_ok(tug_event_new(&r->event));
}

static int do_event(struct run *r)
{
    return tug_event_wait(r->event);
}

static void set_event(struct run *r)
{
    tug_event_set(r->event);
}

static void close_event(struct run *r)
{
    tug_event_unref(r->event);
}

TASK_TEST(event)
{
    prove(&(struct kind){open_event, do_event, set_event, close_event, false, false});
}

static void open_queue(struct run *r)
{
    assert_ok(tug_queue_new(1, NULL, &r->queue));
}

static int do_next(struct run *r)
{
    int rc = tug_queue_next(r->queue, &r->item);
    if (rc == 1) {
        assert_ptr_equal(r->item, ITEM);
        r->got++;
        rc = 0;
    }
    return rc;
}

static void put_one(struct run *r)
{
    r->made++;
    assert_ok(tug_queue_try_put(r->queue, ITEM));
}

static void close_queue(struct run *r)
{
    r->left += tug_queue_count(r->queue);
    tug_queue_unref(r->queue);
}

TASK_TEST(queue_next)
{
    prove(&(struct kind){open_queue, do_next, put_one, close_queue, false, false});
}

/* The value is the room. */
static void open_full(struct run *r)
{
    open_queue(r);
    put_one(r);
}

static int do_put(struct run *r)
{
    int rc = tug_queue_put(r->queue, ITEM);
    r->made += rc == 0; /* else it is still its own */
    return rc;
}

static void take_one(struct run *r)
{
    assert_int_equal(tug_queue_try_next(r->queue, &r->item), 1);
    r->got++;
}

TASK_TEST(queue_put)
{
    prove(&(struct kind){open_full, do_put, take_one, close_queue, false, false});
}

static void open_sleep(struct run *r)
{
    r->until = tug_now() + TUG_SECONDS(1);
}

static int do_sleep(struct run *r)
{
    return tug_sleep_until(r->until);
}

static void pass_time(struct run *r)
{
    tug__loop->fake_now = r->until;
    tug__loop_read_clock(tug__loop);
    tug__calendar_fire(&tug__loop->calendar, tug__loop->now);
}

static void close_nothing(struct run *r)
{
    (void)r;
}

TASK_TEST(sleep_until)
{
    prove(&(struct kind){open_sleep, do_sleep, pass_time, close_nothing, false, false});
}

/* --- tasks -------------------------------------------------------------------------------------- */

static int acquiring_child(void *arg)
{
    return do_acquire(arg);
}

static int spawn_child(struct run *r)
{
    return tug_group_spawn(&r->inner_group, acquiring_child, r);
}

TASK_TEST(group_leave)
{
    prove(&(struct kind){open_semaphore, spawn_child, release_one, close_semaphore, false, true});
}

static int ready_child(void *arg)
{
    struct run *r = arg;
    tug_waiters for_ever = {NULL, NULL};
    r->child = tug__current();
    if (r->value_came) {
        tug_task_ready();
    }
    int rc = tug_park(&for_ever, NULL, "for ever");
    r->child = NULL;
    return rc;
}

static void open_ready(struct run *r)
{
    tug_group_enter(&r->group, TUG_FOREVER, TUG_FAIL_FAST);
}

static int do_start(struct run *r)
{
    return tug_group_start_until_ready(&r->group, ready_child, r);
}

/* Says it in the child's place: at this very moment, while it is parked. */
static void say_ready(struct run *r)
{
    void *me = tug__loop->current;
    if (r->child != NULL) {
        tug__loop->current = r->child;
        tug_task_ready();
        tug__loop->current = me;
    }
}

static void close_ready(struct run *r)
{
    assert_int_equal(tug_group_running(&r->group), r->rc == 0 ? 1 : 0);
    tug_group_cancel(&r->group);
    assert_ok(tug_group_leave(&r->group, 0));
}

TASK_TEST(start_until_ready)
{
    prove(&(struct kind){open_ready, do_start, say_ready, close_ready, false, false});
}
