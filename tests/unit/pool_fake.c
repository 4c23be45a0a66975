#include "pool_fake.h"

#include <stdlib.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

static int fake_connect(void *ctx, void **ret_resource)
{
    struct fake *f = ctx;
    if (f->connects < FAKE_LOG) {
        f->started[f->connects] = tug_now();
    }
    f->connects++;
    f->connecting++;
    if (f->connecting > f->most_connecting) {
        f->most_connecting = f->connecting;
    }
    int rc = f->connect_takes > 0 ? tug_sleep(f->connect_takes) : 0;
    f->connecting--;
    if (rc < 0) {
        f->connect_cancelled++;
        return rc;
    }
    if (f->connect_fails != 0) {
        f->connect_fails -= f->connect_fails > 0;
        f->connect_failed++;
        tug_error e;
        tug_error_set(&e, f->connect_rc, f->connect_origin, TUG_ANSWERED, "28P01",
                      "the fake said no to number %d", f->connects);
        e.transient = f->connect_transient;
        return tug_fail_with(&e);
    }
    struct resource *r = tug_alloc(sizeof *r);
    assert_non_null(r);
    *r = (struct resource){.fake = f, .number = ++f->connected, .broken = f->stillborn};
    f->live++;
    if (f->live > f->most_live) {
        f->most_live = f->live;
    }
    for (int i = 0; i < FAKE_LOG; i++) {
        if (f->all[i] == NULL) {
            f->all[i] = r;
            break;
        }
    }
    *ret_resource = r;
    return 0;
}

static int use(struct resource *r, tug_duration takes, int rc)
{
    assert_int_equal(r->users, 0);
    assert_false(r->closing);
    r->users++;
    int waited = takes > 0 ? tug_sleep(takes) : 0;
    r->users--;
    return waited < 0 ? waited : rc;
}

static int fake_check(void *resource)
{
    struct resource *r = resource;
    r->fake->checks++;
    int rc = use(r, r->fake->check_takes, r->fake->check_rc);
    r->fake->checks_cancelled += rc == TUG_ECANCELED;
    r->fake->failed_ops += rc < 0;
    return rc;
}

static int fake_reset(void *resource)
{
    struct resource *r = resource;
    r->fake->resets++;
    int rc = use(r, r->fake->reset_takes, r->fake->reset_rc);
    r->fake->failed_ops += rc < 0;
    return rc;
}

static void fake_close_op(void *resource)
{
    struct resource *r = resource;
    assert_int_equal(r->users, 0);
    assert_false(r->closing);
    r->closing = true;
    r->fake->closed_at = tug_now();
    for (int i = 0; i < FAKE_LOG; i++) {
        if (r->fake->all[i] == r) {
            r->fake->all[i] = NULL;
        }
    }
    if (r->fake->close_takes > 0 && tug_sleep(r->fake->close_takes) < 0) {
        r->fake->closes_cancelled++;
    }
    r->fake->closes++;
    r->fake->live--;
    tug_free(r);
}

static bool fake_is_usable(const void *resource)
{
    const struct resource *r = resource;
    assert_false(r->closing);
    return !r->broken;
}

static void fake_gone(void *ctx)
{
    ((struct fake *)ctx)->gone++;
}

static int hook_open(void *hook_arg, void *resource)
{
    struct fake *f = hook_arg;
    f->open_hooks++;
    f->in_open_hook++;
    int rc = use(resource, f->open_hook_takes, f->open_hook_rc);
    f->in_open_hook--;
    f->hooks_cancelled += rc == TUG_ECANCELED;
    f->open_hooks_failed += rc < 0;
    return rc;
}

static int hook_lend(void *hook_arg, void *resource)
{
    struct fake *f = hook_arg;
    f->lend_hooks++;
    int rc = use(resource, f->lend_hook_takes, f->lend_hook_rc);
    f->hooks_cancelled += rc == TUG_ECANCELED;
    f->failed_ops += rc < 0;
    return rc;
}

static int hook_return(void *hook_arg, void *resource)
{
    struct fake *f = hook_arg;
    f->return_hooks++;
    int rc = use(resource, f->return_hook_takes, f->return_hook_rc);
    f->hooks_cancelled += rc == TUG_ECANCELED;
    f->failed_ops += rc < 0;
    return rc;
}

void fake_hooks(struct fake *f, tug_pool_options *o)
{
    o->after_open = hook_open;
    o->before_lend = hook_lend;
    o->after_return = hook_return;
    o->hook_arg = f;
}

const tug_pool_ops fake_ops = {
    .size = sizeof(tug_pool_ops),
    .connect = fake_connect,
    .check = fake_check,
    .reset = fake_reset,
    .close = fake_close_op,
    .is_usable = fake_is_usable,
    .gone = fake_gone,
};

tug_pool *fake_pool(struct fake *f, const tug_pool_options *o)
{
    tug_pool *p = NULL;
    assert_ok(tug_pool_open(&fake_ops, f, o, &p));
    assert_non_null(p);
    return p;
}

void fake_wait_gone(struct fake *f)
{
    for (int i = 0; f->gone == 0 && i < 10000; i++) {
        assert_ok(tug_sleep(TUG_MS(10)));
    }
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->live, 0);
    assert_int_equal(f->connecting, 0);
    assert_int_equal(f->closes, f->connected);
}

void fake_close(struct fake *f, tug_pool *p)
{
    tug_pool_close(p);
    fake_wait_gone(f);
}

struct resource *fake_of(const tug_lease *lease)
{
    struct resource *r = tug_lease_resource(lease);
    assert_non_null(r);
    assert_false(r->closing);
    assert_int_equal(r->users, 0);
    return r;
}

tug_lease *fake_acquire(tug_pool *p)
{
    tug_lease *lease = NULL;
    assert_ok(tug_pool_acquire(p, &lease));
    assert_non_null(lease);
    (void)fake_of(lease);
    return lease;
}

tug_pool_stats fake_stats(const tug_pool *p)
{
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    tug_pool_get_stats(p, &s);
    return s;
}

void fake_compare(const struct fake *f, const tug_pool *p)
{
    tug_pool_stats s = fake_stats(p);
    assert_int_equal(s.open, s.idle + s.busy + s.preparing);
    assert_int_equal(s.open + s.closing, f->live - f->in_open_hook);
    assert_true(s.opening >= (size_t)f->connecting + (size_t)f->in_open_hook);
    assert_int_equal(s.opened, f->connected - f->open_hooks_failed - f->in_open_hook);
    assert_int_equal(s.failed, f->connect_failed + f->connect_cancelled + f->open_hooks_failed);
    /* Whatever was opened is there, or went for one reason; whatever was lent is out or came back. */
    assert_int_equal(s.opened, s.open + s.discarded + s.retired_idle + s.retired_lifetime +
                                   s.retired_uses + s.retired_surplus);
    tug_pool_latency busy = TUG_POOL_LATENCY_INIT;
    tug_pool_get_latency(p, TUG_POOL_BUSY, &busy);
    assert_int_equal(s.acquired, busy.count + s.busy);
}
