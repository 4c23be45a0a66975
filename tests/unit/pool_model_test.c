/* A hundred thousand random operations against pools, with a model that says after each what the counters
 * must be: first with the plain table, then with every option, hook and verb there is. The seeds are fixed,
 * so that a failure comes again. */
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "pool_fake.h"

/* The sum of all cases is 100,000. */
#define OPERATIONS test_many(10000, 300)
#define OPERATIONS_OF_ALL test_many(35000, 600)
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
    tug_time started[HELD_MOST]; /* when each of these was started */
    uint64_t asked, discarded;
    size_t ceiling; /* slots at most: max, or what there was when it was lowered */
    bool everything;
};

static uint32_t below(struct model *m, uint32_t n)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((m->random >> 33) % n);
}

/* --- operations ---------------------------------------------------------------------------------- */

static void forget_future(struct model *m, size_t i)
{
    size_t behind = m->n_futures - i - 1;
    memmove(&m->futures[i], &m->futures[i + 1], behind * sizeof m->futures[0]);
    memmove(&m->started[i], &m->started[i + 1], behind * sizeof m->started[0]);
    m->n_futures--;
}

static void op_start(struct model *m)
{
    if (m->n_futures < HELD_MOST && m->n_leases < HELD_MOST) {
        m->asked++;
        m->started[m->n_futures] = tug_now();
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
                assert_true(rc == TUG_EAUTH ||
                            (m->everything && (rc == TUG_ECONNECT || rc == TUG_EUSER)));
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
    tug_pool_stats before = fake_stats(m->pool);
    int rc = TUG_WITHIN(TUG_MS(below(m, 20)), tug_pool_acquire(m->pool, &lease));
    if (rc == 0) {
        (void)fake_of(lease);
        m->leases[m->n_leases++] = lease;
        m->asked++;
    } else {
        assert_true(rc == TUG_ETIMEDOUT || rc == TUG_EAUTH ||
                    (m->everything && (rc == TUG_ECONNECT || rc == TUG_EUSER)));
        assert_null(lease);
        /* One that was over before it began is not counted. */
        tug_pool_stats after = fake_stats(m->pool);
        m->asked += rc == TUG_ETIMEDOUT ? after.given_up - before.given_up : 1;
    }
}

static void op_resize(struct model *m)
{
    if (m->everything) {
        tug_pool_stats s = fake_stats(m->pool);
        size_t max = 1 + below(m, 8);
        m->options.max = max;
        m->options.min = below(m, (uint32_t)max + 1);
        assert_ok(tug_pool_resize(m->pool, m->options.min, max));
        size_t there = s.open + s.opening + s.closing;
        m->ceiling = there > max ? there : max;
    }
}

static void op_expire(struct model *m)
{
    if (m->everything && below(m, 30) == 0) {
        tug_pool_expire(m->pool);
    }
}

/* One that nobody has may break at any time; sometimes the driver notices. */
static void op_break(struct model *m)
{
    struct resource *r = m->fake.all[below(m, FAKE_LOG / 8)];
    if (m->everything && r != NULL && r->users == 0 && below(m, 4) == 0) {
        r->broken = true;
        if (below(m, 2) == 0) {
            tug_pool_sweep(m->pool);
        }
    }
}

static void op_storm(struct model *m)
{
    while (m->everything && m->n_futures > 0) {
        tug_future_drop(m->futures[0]);
        forget_future(m, 0);
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
    f->open_hook_takes = TUG_MS(below(m, 3));
    f->lend_hook_takes = TUG_MS(below(m, 3));
    f->return_hook_takes = TUG_MS(below(m, 3));
    f->open_hook_rc = below(m, 10) == 0 ? TUG_EUSER : 0;
    f->lend_hook_rc = below(m, 10) == 0 ? TUG_EUSER : 0;
    f->return_hook_rc = below(m, 10) == 0 ? TUG_EUSER : 0;
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
    assert_true(s.open + s.opening + s.closing <= m->ceiling);
    assert_true(s.opening <= m->options.max_opening);
    if (!m->everything) {
        assert_int_equal(s.discarded, m->discarded + (uint64_t)m->fake.failed_ops);
    }
    /* No acquire is lost: each has a lease, was refused, gave up, or waits. */
    assert_int_equal(m->asked, s.acquired + s.refused + s.given_up + s.waiting);
    assert_true(s.leaked <= s.acquired);
    fake_compare(&m->fake, m->pool);
}

/* The oldest that waits has not waited for what is lent as long as an open takes. */
static bool may_wait_for_lent(const struct model *m)
{
    for (size_t i = 0; i < m->n_futures; i++) {
        if (!tug_future_is_settled(m->futures[i])) {
            return tug_now() - m->started[i] < TUG_MS(15);
        }
    }
    return false;
}

static void lower_ceiling(struct model *m, const tug_pool_stats *s)
{
    size_t there = s->open + s->opening + s->closing;
    if (there < m->ceiling) {
        m->ceiling = there > m->options.max ? there : m->options.max;
    }
}

/* When nothing can run any more, nobody may wait beside what could be had. */
static void compare_at_rest(struct model *m)
{
    tug_test_settle();
    compare_in_any_moment(m);
    tug_pool_stats s = fake_stats(m->pool);
    lower_ceiling(m, &s);
    assert_int_equal(s.opening, m->fake.connecting + m->fake.in_open_hook);
    if (s.waiting > 0) {
        bool full = s.open + s.closing + s.opening >= m->options.max;
        bool paused = tug_pool_open_error(m->pool)->code != 0;
        assert_true(s.idle == 0 || s.preparing >= s.waiting);
        assert_true(full || paused || s.opening + s.preparing >= s.waiting || s.opening > 0 ||
                    (s.busy > 0 && may_wait_for_lent(m)));
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
    memset(&m->fake, 0, offsetof(struct fake, connects)); /* the script, not the books */
    assert_ok(tug_sleep(TUG_SECONDS(20)));
    compare_at_rest(m);
    tug_pool_stats s = fake_stats(m->pool);
    assert_int_equal(s.busy + s.preparing + s.opening + s.closing + s.waiting, 0);
    assert_true(s.idle >= m->options.min);
    assert_int_equal(s.open, s.idle);
    assert_ok(TUG_WITHIN(TUG_MS(1), tug_pool_drain(m->pool)));
    fake_close(&m->fake, m->pool);
}

static void run(struct model *m, int operations, int least_checks)
{
    static void (*const ops[])(struct model * m) = {
        op_start,  op_start,  op_start, op_take,  op_take,    op_take,
        op_drop,   op_close,  op_close, op_close, op_acquire, op_pass_time,
        op_resize, op_expire, op_break, op_storm, op_weather,
    };
    m->ceiling = m->options.max;
    m->options.connect_patience = TUG_FOREVER;
    m->options.backoff_most = m->options.backoff_first; /* no jitter: the same run each time */
    m->options.lifetime_jitter = 0;
    m->pool = fake_pool(&m->fake, &m->options);
    for (int i = 0; i < operations; i++) {
        /* The plain ones make up the first twelve, and the weather. */
        size_t n = below(m, m->everything ? sizeof ops / sizeof ops[0] : 13);
        ops[n == 12 && !m->everything ? sizeof ops / sizeof ops[0] - 1 : n](m);
        compare_in_any_moment(m);
        if (below(m, 3) == 0) {
            compare_at_rest(m);
        }
    }
    assert_true(test_is_tortured() ||
                (m->fake.connected > 100 && m->fake.resets > 10 && m->fake.checks >= least_checks));
}

static void run_plain(uint64_t seed, size_t min, size_t max, int least_checks)
{
    struct model m = {.random = seed, .options = TUG_POOL_OPTIONS_INIT};
    m.options.min = min;
    m.options.max = max;
    run(&m, OPERATIONS, least_checks);
    finish(&m);
}

TASK_TEST(random_operations)
{
    run_plain(20240607, 0, 6, 20);
}

TASK_TEST(random_operations_with_min)
{
    run_plain(7, 3, 8, 20);
}

TASK_TEST(random_operations_on_one)
{
    run_plain(4711, 0, 1, 0);
}

static void run_everything(uint64_t seed, bool hooks)
{
    struct model m = {.random = seed, .options = TUG_POOL_OPTIONS_INIT, .everything = true};
    m.options.max = 6;
    m.options.min = 1;
    m.options.min_idle = 1;
    m.options.idle_timeout = TUG_MS(550);
    m.options.max_lifetime = TUG_MS(900);
    m.options.max_uses = 8;
    m.options.breaker_after = 2;
    m.options.leak_after = TUG_MS(300);
    m.options.connect_timeout = TUG_MS(9);
    if (hooks) {
        fake_hooks(&m.fake, &m.options);
    }
    run(&m, OPERATIONS_OF_ALL, 20);
    tug_pool_stats s = fake_stats(m.pool);
    if (test_is_tortured()) { /* far fewer operations */
        finish(&m);
        return;
    }
    assert_true(s.retired_idle > 10);
    assert_true(s.retired_lifetime > 10);
    assert_true(s.retired_uses > 5);
    assert_true(s.retired_surplus > 10);
    assert_true(s.leaked > 10);
    assert_true(s.refused > 10);
    assert_true(s.given_up > 100);
    assert_true(!hooks || (m.fake.open_hooks_failed > 10 && m.fake.lend_hooks > 1000 &&
                           m.fake.return_hooks > 1000));
    finish(&m);
}

TASK_TEST(random_operations_with_every_option)
{
    run_everything(99, false);
}

TASK_TEST(random_operations_with_every_option_and_hooks)
{
    run_everything(20261120, true);
}
