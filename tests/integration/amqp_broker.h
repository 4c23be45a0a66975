/* What:      what tests of the driver against a real RabbitMQ begin with: a handle, a queue, a message.
 * Ownership: broker gives a handle, drop deletes the queue and closes it.
 * Context:   in a LIVE_TEST. Callbacks: none.
 * Errors:    a failure fails the test. */
#ifndef TUG_TESTS_AMQP_BROKER_H
#define TUG_TESTS_AMQP_BROKER_H

#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/amqp.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/scope.h>
#include <tug/task.h>

static inline tug_amqp *broker(const tug_amqp_options *o)
{
    tug_amqp *mq = NULL;
    assert_ok(tug_amqp_open(test_url("TUG_AMQP_URL"), o, &mq));
    assert_ok(tug_amqp_ready(mq));
    return mq;
}

static inline const char *queue_of(tug_amqp *mq)
{
    const char *name = test_name();
    assert_ok(tug_amqp_queue_declare(mq, name, NULL));
    return name;
}

static inline void drop(tug_amqp *mq, const char *queue)
{
    assert_ok(tug_amqp_queue_delete(mq, queue, NULL));
    tug_amqp_close(mq);
}

static inline tug_amqp_message text(const char *body)
{
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = tug_bytes(body, strlen(body));
    return m;
}

static inline void put(tug_amqp *mq, const char *queue, const char *body)
{
    tug_amqp_message m = text(body);
    assert_ok(tug_amqp_publish(mq, "", queue, &m));
}

static inline tug_amqp_consumer *consume(tug_amqp *mq, const char *queue, unsigned prefetch)
{
    tug_amqp_consume_options o = TUG_AMQP_CONSUME_OPTIONS_INIT;
    tug_amqp_consumer *c = NULL;
    o.prefetch = prefetch;
    assert_ok(tug_amqp_consume(mq, queue, &o, &c));
    return c;
}

static inline tug_amqp_delivery *take(tug_amqp_consumer *c)
{
    tug_amqp_delivery *d = NULL;
    assert_rc(tug_amqp_consumer_next(c, &d), 1);
    return d;
}

static inline void assert_body(const tug_amqp_delivery *d, const char *body)
{
    assert_string_equal(tug_amqp_delivery_body(d).data, body);
    assert_int_equal(tug_amqp_delivery_body(d).size, strlen(body));
}

#endif
