/* A worker: takes messages in batches, reads the stanzas, has them loaded, and acks what is
 * committed. */
#include "etl.h"

#include <stdlib.h>
#include <string.h>

struct worker {
    etl_run *run;
    tug_pg *session;
    etl_item *items; /* room for --batch */
    size_t n, bytes;
    bool is_ended; /* the consumer has given its last message */
};

/* --- transform -------------------------------------------------------------------------------- */

/* Who sent this? What has no run and number is not ours to work. */
static int read_headers(const etl_run *r, etl_item *item)
{
    const char *database = NULL;
    int rc = tug_amqp_delivery_header(item->delivery, "run", TUG_OUT(&item->run));
    if (rc == 0) {
        rc = tug_amqp_delivery_header(item->delivery, "number", TUG_OUT(&item->number));
    }
    if (rc == 0) {
        rc = tug_amqp_delivery_header(item->delivery, "database", TUG_OUT(&database));
    }
    if (rc == 0) {
        rc = tug_amqp_delivery_header(item->delivery, "fresh", TUG_OUT(&item->is_fresh));
    }
    item->is_ours = rc == 0 && strcmp(database, r->database) == 0;
    return rc;
}

/* The message's text is cut and hashed as the input was: the hash is of what is loaded. */
static int read_stanza(etl_item *item)
{
    stanza_splitter *splitter = NULL;
    stanza s;
    int rc = stanza_splitter_new(0, &splitter);
    if (rc < 0) {
        return rc;
    }
    stanza_splitter_feed(splitter, item->text.data, item->text.size);
    stanza_splitter_finish(splitter);
    rc = stanza_splitter_next(splitter, &s);
    if (rc == 1) {
        memcpy(item->hash, s.hash, sizeof item->hash);
    }
    if (rc == 1 && s.total == (int64_t)item->text.size) {
        rc = stanza_parse(item->text.data, item->text.size, &item->package, item->reason);
    } else if (rc >= 0) {
        rc = TUG_EREJECT;
        snprintf(item->reason, sizeof item->reason, "the message is not one whole stanza");
    }
    stanza_splitter_free(splitter);
    item->has_package = rc == 0;
    if (rc == TUG_EREJECT) {
        item->state = ITEM_REJECTED;
        rc = 0;
    }
    return rc;
}

/* Takes over the delivery. */
static int add_item(struct worker *w, tug_amqp_delivery *delivery)
{
    etl_item *item = &w->items[w->n];
    *item = (etl_item){.delivery = delivery, .text = tug_amqp_delivery_body(delivery)};
    if (read_headers(w->run, item) < 0) {
        report_line("a message that is no stanza of ours is dropped: %s", tug_last_error()->text);
        TUG_IGNORE(tug_amqp_reject(delivery));
        tug_amqp_delivery_unref(delivery);
        return 0;
    }
    w->n++;
    w->run->count.in_hand++;
    w->bytes += item->text.size;
    return read_stanza(item);
}

static void clear_items(struct worker *w)
{
    for (size_t i = 0; i < w->n; i++) {
        etl_item *item = &w->items[i];
        if (item->has_package) {
            stanza_package_clear(&item->package);
        }
        tug_amqp_delivery_unref(item->delivery); /* back to the queue unless it was acked */
    }
    w->run->count.in_hand -= (int64_t)w->n;
    w->n = w->bytes = 0;
}

/* --- a batch ---------------------------------------------------------------------------------- */

/* By count, bytes and time, whichever comes first; when there are no more, with what there is. */
static int collect(struct worker *w)
{
    tug_time deadline = 0;
    while (w->n < w->run->options->batch && w->bytes < ETL_BATCH_BYTES) {
        tug_amqp_delivery *delivery = NULL;
        tug_duration left = w->n == 0 ? TUG_FOREVER : deadline - tug_now();
        int rc = TUG_WITHIN(left, tug_amqp_consumer_next(w->run->consumer, &delivery));
        if (rc == TUG_ETIMEDOUT) {
            return 0;
        }
        if (rc <= 0) {
            w->is_ended = true;
            return report_failed(rc, "consuming");
        }
        if (w->n == 0) {
            deadline = tug_now() + TUG_MS(ETL_BATCH_MS);
        }
        rc = add_item(w, delivery);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Only after the commit: until then each message is the broker's. */
static int acknowledge(struct worker *w)
{
    etl_counters *count = &w->run->count;
    for (size_t i = 0; i < w->n; i++) {
        const etl_item *item = &w->items[i];
        int rc = tug_amqp_ack(item->delivery);
        if (rc < 0) {
            return report_failed(rc, "acknowledging");
        }
        if (item->is_ours && item->run == w->run->run) {
            count->settled++;
            count->settled_bytes += (int64_t)item->text.size;
            count->rejected += item->state == ITEM_REJECTED;
        } else {
            count->others++;
        }
    }
    tug_event_set(w->run->moved);
    return 0;
}

static int work_batch(struct worker *w)
{
    int rc = collect(w);
    if (rc == 0 && w->n > 0) {
        rc = cache_look_up(w->run->cache, w->items, w->n);
        if (rc == 0) {
            rc = report_failed(load_batch(w->run, w->session, w->items, w->n), "loading a batch");
        }
        if (rc == 0) {
            rc = acknowledge(w);
        }
        if (rc == 0) { /* never before the commit: a crash in between would lose the stanza */
            rc = cache_store(w->run->cache, w->items, w->n);
        }
    }
    clear_items(w);
    return rc;
}

static int work(struct worker *w)
{
    int rc = tug_pg_acquire(w->run->db, &w->session);
    if (rc == 0) {
        rc = schema_stage(w->session);
    }
    while (rc == 0 && !w->is_ended) {
        rc = work_batch(w);
    }
    return rc;
}

int worker_run(void *arg)
{
    etl_run *r = arg;
    struct worker w = {.run = r, .items = calloc(r->options->batch, sizeof *w.items)};
    tug_task_set_name("worker");
    int rc = w.items != NULL ? work(&w) : tug_fail(TUG_ENOMEM, "out of memory for a batch");
    tug_pg_close(w.session);
    free(w.items);
    return rc;
}
