/* Ends of consumers, cancels and the worker, against a real RabbitMQ. */
#include <tug/inspect.h>

#include "amqp_broker.h"

/* Messages that nobody has. */
static uint64_t ready_in(tug_amqp *mq, const char *queue)
{
    uint64_t n = 0;
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    return n;
}

/* --- ends --------------------------------------------------------------------------------------- */

LIVE_TEST(deleting_the_queue_ends_its_consumer)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    put(mq, queue, "in hand");
    tug_amqp_consumer *c = consume(mq, queue, 10);
    tug_amqp_delivery *d = take(c), *none = NULL;
    assert_ok(tug_amqp_queue_delete(mq, queue, NULL));
    assert_rc(tug_amqp_consumer_next(c, &none), TUG_ESERVER);
    assert_detail_has(queue);
    assert_detail_has("deleted");
    assert_rc(tug_amqp_consumer_next(c, &none), TUG_ESERVER);
    tug_amqp_delivery_unref(d);
    tug_amqp_consumer_close(c);
    tug_amqp_close(mq);
}

static int wait_for_end(void *arg)
{
    tug_amqp_delivery *d = NULL;
    int rc = tug_amqp_consumer_next(arg, &d);
    return rc == 0 ? 0 : tug_fail(TUG_EUSER, "next gave %d", rc);
}

LIVE_TEST(stopping_requeues_what_nobody_has_taken)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    for (int i = 0; i < 10; i++) {
        put(mq, queue, "x");
    }
    tug_amqp_consumer *c = consume(mq, queue, 5);
    tug_amqp_delivery *d = take(c), *none = NULL;
    tug_amqp_consumer *idle = consume(mq, queue, 1); /* takes one more */
    assert_ok(tug_sleep(TUG_MS(50)));
    tug_stop(TUG_SECONDS(20));
    tug_test_settle();
    assert_rc(tug_amqp_consumer_next(c, &none), 0);
    assert_rc(tug_amqp_consumer_next(idle, &none), 0);
    assert_ok(tug_amqp_ack(d)); /* what is in hand can still be settled */
    tug_amqp_delivery_unref(d);
    tug_amqp_consumer_close(c);
    tug_amqp_consumer_close(idle);
    assert_soon(ready_in(mq, queue) == 9);
    tug_amqp_consumer *late = consume(mq, queue, 1);
    assert_rc(tug_amqp_consumer_next(late, &none), 0);
    tug_amqp_consumer_close(late);
    drop(mq, queue);
}

LIVE_TEST(closing_wakes_those_who_wait)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_consumer *c = consume(mq, queue, 5);
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, wait_for_end, c));
    }
    assert_ok(tug_sleep(TUG_MS(20)));
    tug_amqp_consumer_close(c);
    assert_ok(tug_group_leave(&g, 0));
    drop(mq, queue);
}

LIVE_TEST(deliveries_outlive_consumer_and_handle)
{
    tug_amqp *mq = broker(NULL), *other = broker(NULL);
    const char *queue = queue_of(mq);
    put(mq, queue, "one");
    put(mq, queue, "two");
    tug_amqp_consumer *c = consume(mq, queue, 5);
    tug_amqp_delivery *one = take(c), *two = take(c);
    tug_amqp_consumer_close(c);
    assert_ok(tug_amqp_ack(one));
    tug_amqp_close(mq);
    assert_rc(tug_amqp_ack(two), TUG_ECLOSED);
    assert_body(two, "two");
    tug_amqp_delivery_unref(one);
    tug_amqp_delivery_unref(two);
    /* The ack that was given before the close has arrived, the other message is back. */
    c = consume(other, queue, 5);
    two = take(c);
    assert_body(two, "two");
    assert_true(tug_amqp_delivery_is_redelivered(two));
    assert_ok(tug_amqp_ack(two));
    tug_amqp_delivery_unref(two);
    assert_rc(TUG_WITHIN(TUG_MS(100), tug_amqp_consumer_next(c, &two)), TUG_ETIMEDOUT);
    tug_amqp_consumer_close(c);
    drop(other, queue);
}

static bool is_inspected(const char *part)
{
    TUG_AUTO(tug_buffer) text = NULL;
    assert_ok(tug_inspect_buffer(TUG_INSPECT_TEXT, 1 << 20, &text));
    return strstr(tug_buffer_bytes(text).data, part) != NULL;
}

LIVE_TEST(no_ack_consumers)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_consume_options o = TUG_AMQP_CONSUME_OPTIONS_INIT;
    tug_amqp_consumer *c = NULL;
    tug_amqp_delivery *d = NULL;
    o.no_ack = true;
    o.tag = "reader";
    for (int i = 0; i < 300; i++) {
        put(mq, queue, "x");
    }
    assert_ok(tug_amqp_consume(mq, queue, &o, &c));
    d = take(c);
    assert_rc(tug_amqp_ack(d), TUG_EMISUSE);
    tug_amqp_delivery_unref(d);
    assert_soon(is_inspected("tag=\"reader\" state=\"active\" buffered=299 "));
    tug_amqp_consumer_stop(c);
    int n = 1, rc;
    while ((rc = tug_amqp_consumer_next(c, &d)) >
           0) { /* nobody else could have them: still given out */
        tug_amqp_delivery_unref(d);
        n++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, 300);
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

/* --- cancels ------------------------------------------------------------------------------------ */

/* Each call under deadlines from nothing to more than it needs: it ends cleanly wherever it is
 * cut, and the handle works on. */
LIVE_TEST(cancel_at_each_suspension_point)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_message m = text("x");
    put(mq, queue, "x");
    int cut[5] = {0}, whole[5] = {0};
    for (int us = 0; us < 500000; us = us * 5 / 4 + 10) {
        tug_amqp_consumer *c = NULL;
        tug_amqp_delivery *d = NULL;
        int rc[5];
        rc[0] = TUG_WITHIN(TUG_US(us), tug_amqp_queue_declare(mq, queue, NULL));
        rc[1] = TUG_WITHIN(TUG_US(us), tug_amqp_publish(mq, "", queue, &m));
        rc[2] = TUG_WITHIN(TUG_US(us), tug_amqp_ready(mq));
        rc[3] = TUG_WITHIN(TUG_US(us), tug_amqp_consume(mq, queue, NULL, &c));
        rc[4] = c != NULL ? TUG_WITHIN(TUG_US(us), tug_amqp_consumer_next(c, &d)) : 0;
        for (int i = 0; i < 5; i++) {
            assert_true(rc[i] >= 0 || rc[i] == TUG_ETIMEDOUT);
            cut[i] += rc[i] < 0;
            whole[i] += rc[i] >= 0;
        }
        tug_amqp_delivery_unref(d);
        tug_amqp_consumer_close(c);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(cut[i] > 0);
        assert_true(whole[i] > 0);
    }
    put(mq, queue, "after");
    assert_soon(ready_in(mq, queue) > 0); /* the consumers' deliveries are on their way back */
    drop(mq, queue);
}

LIVE_TEST(a_cancelled_next_loses_nothing)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_consumer *c = consume(mq, queue, 100);
    int got = 0;
    tug_amqp_message m = text("x");
    for (int i = 0; i < 100; i++) {
        tug_future_detach(tug_amqp_publish_start(mq, "", queue, &m));
        tug_amqp_delivery *d = NULL;
        int rc = TUG_WITHIN(TUG_US(20 * (i % 30)), tug_amqp_consumer_next(c, &d));
        if (rc > 0) {
            assert_ok(tug_amqp_ack(d));
            tug_amqp_delivery_unref(d);
            got++;
        }
    }
    while (got < 100) {
        tug_amqp_delivery *d = take(c);
        assert_false(tug_amqp_delivery_is_redelivered(d));
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
        got++;
    }
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

/* --- the worker --------------------------------------------------------------------------------- */

typedef struct shop {
    tug_amqp *mq;
    const char *queue;
    int calls, failed, rejected, slow, most, now;
} shop;

static int serve(tug_amqp_delivery *d, void *arg)
{
    shop *s = arg;
    int n = atoi(tug_amqp_delivery_body(d).data), rc = 0;
    s->calls++;
    s->most = ++s->now > s->most ? s->now : s->most;
    if (n % 10 == 3 && !tug_amqp_delivery_is_redelivered(d)) {
        s->failed++;
        rc = tug_fail(TUG_EUSER, "at the first try");
    } else if (n % 10 == 7) {
        s->rejected++;
        rc = tug_fail(TUG_EREJECT, "never");
    } else if (n == 5 && !tug_amqp_delivery_is_redelivered(d)) {
        s->slow++;
        rc = tug_sleep(TUG_SECONDS(30)); /* cut off by job_timeout */
    } else {
        do { /* however slowly they come, some are in work at a time */
            rc = tug_sleep(TUG_MS(1));
        } while (rc == 0 && s->most < 5);
    }
    s->now--;
    if (s->calls == 100 + s->failed + s->slow) {
        tug_stop(TUG_SECONDS(20));
    }
    return rc;
}

LIVE_TEST(worker)
{
    shop s = {.mq = broker(NULL)};
    const char *queue = queue_of(s.mq);
    for (int i = 0; i < 100; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        put(s.mq, queue, body);
    }
    tug_amqp_worker_options o = TUG_AMQP_WORKER_OPTIONS_INIT;
    o.tasks = 8;
    o.prefetch = 20;
    o.job_timeout = TUG_SECONDS(2);
    assert_ok(TUG_WITHIN(TUG_SECONDS(20), tug_amqp_work(s.mq, queue, serve, &s, &o)));
    assert_int_equal(s.failed, 10);
    assert_int_equal(s.rejected, 10);
    assert_int_equal(s.slow, 1);
    assert_int_equal(s.calls, 111);
    assert_in_range(s.most, 5, 8); /* jobs at a time: never more than tasks */
    assert_ok(tug_sleep(TUG_MS(50)));
    uint64_t left = 99;
    assert_ok(tug_amqp_queue_count(s.mq, queue, &left));
    assert_int_equal(left, 0);
    drop(s.mq, queue);
}

LIVE_TEST(worker_ends_with_its_queue_and_refuses_bad_options)
{
    shop s = {.mq = broker(NULL)};
    tug_amqp_worker_options o = TUG_AMQP_WORKER_OPTIONS_INIT;
    assert_rc(tug_amqp_work(s.mq, "tug-no-such-queue", serve, &s, &o), TUG_ENOTFOUND);
    o.tasks = 101;
    assert_rc(tug_amqp_work(s.mq, "q", serve, &s, &o), TUG_EINVAL);
    o.tasks = 1;
    o.retry.attempts = 3;
    assert_rc(tug_amqp_work(s.mq, "q", serve, &s, &o), TUG_EINVAL);
    assert_detail_has("retry");
    assert_rc(tug_amqp_work(s.mq, "q", NULL, &s, NULL), TUG_EINVAL);
    tug_amqp_close(s.mq);
}

static int work(void *arg)
{
    shop *s = arg;
    return tug_amqp_work(s->mq, s->queue, serve, s, NULL);
}

LIVE_TEST(cancelled_worker_requeues)
{
    shop s = {.mq = broker(NULL)};
    const char *queue = queue_of(s.mq);
    put(s.mq, queue, "5"); /* its first try sleeps */
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    s.queue = queue;
    tug_future *f = tug_group_start(&g, work, &s);
    assert_soon(s.slow == 1);
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    tug_future_unref(f);
    TUG_IGNORE(tug_group_leave(&g, 0));
    assert_soon(ready_in(s.mq, queue) == 1);
    drop(s.mq, queue);
}
