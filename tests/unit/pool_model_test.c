/* Ten thousand random operations against one pool, with a model that says after each what the counters must
 * be. The seed is fixed, so that a failure comes again. */
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

#define OPERATIONS 10000
#define HELD_MOST 24

struct model {
    struct fake fake;
    tug_pool *pool;
    tug_pool_options options;
    uint64_t random;
    tug_lease *leases[HELD_MOST];
    size_t n_leases;
    tug_future *futures[HELD_MOST]; /* in the order of their start */
    size_t n_futures;
    uint64_t taken, dropped_settled, discarded;
};

static uint32_t below(struct model *m, uint32_t n)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((m->random >> 33) % n);
}

/* --- operations ---------------------------------------------------------------------------------- */

static void forget_future(struct model *m, size_t i)
{
    memmove(&m->futures[i], &m->futures[i + 1], (m->n_futures - i - 1) * sizeof m->futures[0]);
    m->n_futures--;
}

static void op_start(struct model *m)
{
    if (m->n_futures < HELD_MOST && m->n_leases < HELD_MOST) {
        m->futures[m->n_futures++] = tug_pool_acquire_start(m->pool);
    }
}

/* Takes from a settled future. */
static void op_take(struct model *m)
{
    for (size_t i = 0; i < m->n_futures && m->n_leases < HELD_MOST; i++) {
        tug_future *f = m->futures[i];
        if (tug_future_is_settled(f)) {
            tug_lease *lease = NULL;
            int rc = tug_pool_acquire_take(f, &lease);
            if (rc == 0) {
                (void)fake_of(lease);
                m->leases[m->n_leases++] = lease;
            } else {
                assert_rc(rc, TUG_EAUTH);
            }
            tug_future_unref(f);
            forget_future(m, i);
            return;
        }
    }
}

static void op_drop(struct model *m)
{
    if (m->n_futures > 0) {
        size_t i = below(m, (uint32_t)m->n_futures);
        tug_future_drop(m->futures[i]);
        forget_future(m, i);
    }
}

static void op_close(struct model *m)
{
    if (m->n_leases > 0) {
        size_t i = below(m, (uint32_t)m->n_leases);
        struct resource *r = fake_of(m->leases[i]);
        switch (below(m, 8)) {
        case 0:
            r->broken = true;
            break;
        case 1:
            tug_lease_mark_dirty(m->leases[i]);
            break;
        default:
            break;
        }
        m->discarded += r->broken;
        tug_lease_close(m->leases[i]);
        m->leases[i] = m->leases[--m->n_leases];
    }
}

static void op_acquire(struct model *m)
{
    tug_lease *lease = NULL;
    if (m->n_leases == HELD_MOST) {
        return;
    }
    int rc = TUG_WITHIN(TUG_MS(below(m, 20)), tug_pool_acquire(m->pool, &lease));
    if (rc == 0) {
        (void)fake_of(lease);
        m->leases[m->n_leases++] = lease;
    } else {
        assert_true(rc == TUG_ETIMEDOUT || rc == TUG_EAUTH);
        assert_null(lease);
    }
}

static void op_weather(struct model *m)
{
    struct fake *f = &m->fake;
    f->connect_takes = TUG_MS(below(m, 10));
    f->check_takes = TUG_MS(below(m, 3));
    f->reset_takes = TUG_MS(below(m, 3));
    f->close_takes = TUG_MS(below(m, 5));
    f->connect_rc = below(m, 4) == 0 ? TUG_EAUTH : TUG_ECONNECT;
    f->connect_fails = below(m, 4) == 0 ? (int)below(m, 4) : 0;
    f->check_rc = below(m, 5) == 0 ? TUG_ECLOSED : 0;
    f->reset_rc = below(m, 5) == 0 ? TUG_ESERVER : 0;
}

static void op_pass_time(struct model *m)
{
    assert_ok(tug_sleep(below(m, 12) == 0 ? TUG_MS(600) : TUG_MS(below(m, 15))));
}

/* --- the model ----------------------------------------------------------------------------------- */

static void compare_in_any_moment(const struct model *m)
{
    tug_pool_stats s = fake_stats(m->pool);
    size_t pending = 0, done = 0;
    bool may_be_done = true;
    for (size_t i = 0; i < m->n_futures; i++) {
        tug_future *f = m->futures[i];
        if (!tug_future_is_settled(f)) {
            pending++;
            may_be_done = false;
        } else if (tug_future_error(f)->code == 0) {
            assert_true(may_be_done); /* nobody is served before one who waits longer */
            done++;
        }
    }
    assert_int_equal(s.waiting, pending);
    assert_int_equal(s.busy, m->n_leases + done);
    assert_true(s.open + s.opening + s.closing <= m->options.max);
    assert_true(s.opening <= m->options.max_opening);
    assert_int_equal(s.discarded, m->discarded + (uint64_t)m->fake.failed_ops);
    fake_compare(&m->fake, m->pool);
}

/* When nothing can run any more, nobody may wait beside what could be had. */
static void compare_at_rest(const struct model *m)
{
    tug_test_settle();
    compare_in_any_moment(m);
    tug_pool_stats s = fake_stats(m->pool);
    assert_int_equal(s.opening, m->fake.connecting);
    if (s.waiting > 0) {
        bool full = s.open + s.closing + s.opening == m->options.max;
        bool paused = tug_pool_open_error(m->pool)->code != 0;
        assert_true(s.idle == 0 || s.preparing >= s.waiting);
        assert_true(full || paused || s.opening + s.preparing >= s.waiting || s.opening > 0);
    }
    assert_true(s.open + s.opening >= m->options.min || s.closing > 0 ||
                tug_pool_open_error(m->pool)->code != 0 || s.opening > 0);
}

static void finish(struct model *m)
{
    while (m->n_futures > 0) {
        op_drop(m);
    }
    while (m->n_leases > 0) {
        op_close(m);
    }
    m->fake.connect_fails = 0;
    assert_ok(tug_sleep(TUG_SECONDS(20)));
    compare_at_rest(m);
    tug_pool_stats s = fake_stats(m->pool);
    assert_int_equal(s.busy + s.preparing + s.opening + s.closing + s.waiting, 0);
    assert_true(s.idle >= m->options.min);
    assert_int_equal(s.opened - s.discarded, s.idle);
    fake_close(&m->fake, m->pool);
}

static void run(uint64_t seed, size_t min, size_t max, int least_checks)
{
    static void (*const ops[])(struct model * m) = {
        op_start, op_start, op_start, op_take,    op_take,    op_take,      op_drop,
        op_close, op_close, op_close, op_acquire, op_weather, op_pass_time,
    };
    struct model m = {.random = seed, .options = TUG_POOL_OPTIONS_INIT};
    m.options.min = min;
    m.options.max = max;
    m.options.connect_patience = TUG_FOREVER;
    m.options.backoff_most = m.options.backoff_first; /* no jitter: the same run each time */
    m.pool = fake_pool(&m.fake, &m.options);
    for (int i = 0; i < OPERATIONS; i++) {
        ops[below(&m, sizeof ops / sizeof ops[0])](&m);
        compare_in_any_moment(&m);
        if (below(&m, 3) == 0) {
            compare_at_rest(&m);
        }
    }
    assert_true(m.fake.connected > 100);
    assert_true(m.fake.checks >= least_checks);
    assert_true(m.fake.resets > 10);
    finish(&m);
}

TASK_TEST(ten_thousand_random_operations)
{
    run(20240607, 0, 6, 20);
}

TASK_TEST(ten_thousand_random_operations_with_min)
{
    run(7, 3, 8, 20);
}

TASK_TEST(ten_thousand_random_operations_on_one)
{
    run(4711, 0, 1, 0);
}
