/* A worker: tasks that take deliveries of one consumer, each to its end before the next. */
#include <string.h>
#include <tug/amqp.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/task.h>

#include "delivery.h"
#include "table.h"

/* How long a task rests after a job that was requeued, growing while they fail; short against
 * the drain. */
#define WORK_PAUSE_FIRST TUG_MS(100)
#define WORK_PAUSE_MOST TUG_SECONDS(1)

typedef struct work {
    tug_amqp_consumer *consumer;
    tug_amqp_handler handler;
    void *arg;
    const char *queue;
    tug_duration job_timeout;
} work;

/* A handler may have settled the delivery itself: then its result is only logged. */
static void work_settle(const work *w, tug_amqp_delivery *d, int rc)
{
    if (rc < 0) {
        const tug_error *e = tug_last_error();
        tug_log(TUG_LOG_WARN, "amqp", "a job of queue %s failed and is %s: %s: %s", w->queue,
                d->state != TUG__AMQP_OUT ? "settled already"
                : rc == TUG_EREJECT       ? "rejected"
                                          : "requeued",
                tug_error_name(rc), e->code == rc ? e->text : tug_error_text(rc));
    }
    if (d->state != TUG__AMQP_OUT) {
        return;
    }
    if (rc >= 0) {
        (void)tug_amqp_ack(d);
    } else if (rc == TUG_EREJECT) {
        (void)tug_amqp_reject(d);
    } /* else the unref gives it back */
}

static int work_task(void *arg)
{
    const work *w = arg;
    tug_amqp_delivery *d = NULL;
    unsigned failures = 0; /* in a row */
    int rc;
    while ((rc = tug_amqp_consumer_next(w->consumer, &d)) > 0) {
        int done = TUG_WITHIN(w->job_timeout, w->handler(d, w->arg));
        work_settle(w, d, done);
        tug_amqp_delivery_unref(d);
        failures = done < 0 && done != TUG_EREJECT ? failures + 1 : 0;
        if (failures > 0) {
            /* What failed comes back at once: with the database away that would be a busy loop. */
            (void)tug_sleep(tug_backoff(failures - 1, WORK_PAUSE_FIRST, WORK_PAUSE_MOST));
        }
    }
    return rc;
}

static int work_check(const tug_amqp_worker_options *o, tug_amqp_handler handler)
{
    if (handler == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: the worker's handler is NULL");
    }
    if (o->tasks < 1 || o->tasks > 65535) {
        return tug_fail(TUG_EINVAL, "amqp: a worker has from 1 to 65535 tasks, not %zu", o->tasks);
    }
    if (o->prefetch < o->tasks) {
        return tug_fail(TUG_EINVAL,
                        "amqp: a worker of %zu tasks with prefetch %u: some would never get a job",
                        o->tasks, o->prefetch);
    }
    if (o->job_timeout <= 0) {
        return tug_fail(TUG_EINVAL, "amqp: the worker's job_timeout is above 0");
    }
    const tug_amqp_retry *r = &o->retry;
    if (r->first != 0 || r->attempts != 0 || r->dead_letter != NULL) {
        return tug_fail(
            TUG_EINVAL,
            "amqp: the worker's retry options are not supported yet: leave them as they are");
    }
    return 0;
}

int tug_amqp_work(tug_amqp *mq, const char *queue, tug_amqp_handler handler, void *arg,
                  const tug_amqp_worker_options *options)
{
    tug_amqp_worker_options o = TUG_AMQP_WORKER_OPTIONS_INIT;
    tug_amqp_consume_options consume = TUG_AMQP_CONSUME_OPTIONS_INIT;
    int rc = tug__amqp_take_options("tug_amqp_worker_options", &o, sizeof o, options);
    if (rc == 0) {
        rc = work_check(&o, handler);
    }
    if (rc < 0) {
        return rc;
    }
    TUG_AUTO(tug_amqp_consumer) consumer = NULL;
    consume.prefetch = o.prefetch;
    rc = tug_amqp_consume(mq, queue, &consume, &consumer);
    if (rc < 0) {
        return rc;
    }
    work w = {.consumer = consumer,
              .handler = handler,
              .arg = arg,
              .queue = queue,
              .job_timeout = o.job_timeout};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (size_t i = 0; i < o.tasks && rc == 0; i++) {
        rc = tug_group_spawn(&g, work_task, &w);
    }
    return tug_group_leave(&g, rc);
}
