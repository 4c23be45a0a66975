/* A queue worker: 8 jobs at a time, ack after commit, back to the queue after a failure. SIGTERM
 * ends it with status 0: jobs in hand finish, the rest stays in the queue.
 *
 *   create table events (body bytea primary key);
 *   create table counters (n bigint not null);
 *   insert into counters values (0);
 *
 * Takes TUG_PG_URL and TUG_AMQP_URL; the queue is "events". */
#include <stdlib.h>
#include <tug/tug.h>

static int apply(tug_amqp_delivery *d, void *arg)
{
    tug_pg *db = arg;
    /* Rolled back unless committed; the detail of an earlier failure is kept. */
    TUG_AUTO(tug_pg) tx = NULL;
    int rc = tug_pg_begin(db, NULL, &tx);
    if (rc == 0) {
        rc = tug_pg_exec(tx, "insert into events(body) values ($1) on conflict do nothing",
                         TUG_ARGS(tug_amqp_delivery_body(d)), NULL);
    }
    if (rc == 0) { /* with db it would be TUG_EMISUSE: this task holds tx */
        rc = tug_pg_exec(tx, "update counters set n = n + 1", TUG_NO_ARGS, NULL);
    }
    return rc == 0 ? tug_pg_commit(tx) : rc;
}

static int main_task(void *arg)
{
    (void)arg;
    TUG_AUTO(tug_pg) db = NULL;
    TUG_AUTO(tug_amqp) mq = NULL;
    int rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &db);
    if (rc == 0) {
        rc = tug_pg_ready(db); /* else each job would fail, and its message go round */
    }
    if (rc == 0) {
        rc = tug_amqp_open(getenv("TUG_AMQP_URL"), NULL, &mq);
    }
    if (rc == 0) {
        rc = tug_amqp_queue_declare(mq, "events", NULL); /* durable */
    }
    if (rc < 0) {
        return rc;
    }
    tug_amqp_worker_options o = TUG_AMQP_WORKER_OPTIONS_INIT;
    o.tasks = 8;
    o.prefetch = 32;
    o.job_timeout = TUG_SECONDS(10);
    return tug_amqp_work(mq, "events", apply, db, &o); /* 0 after SIGTERM */
}

int main(void)
{
    return tug_main(main_task, NULL);
}
