/* A consumer from consume to the last delivery that it gave out.
 *
 *   WAITING --> OPENING --> ASKED --> ACTIVE --> CANCELLING --> IDLE --+
 *      |           |          |         |            |           |     |
 *      +-----------+----------+---------+------------+-----------+-----+--> ENDED
 *
 * Its channel closes when the user has closed it and nothing is out any more. */
#include "consume.h"

#include <assert.h>
#include <stdio.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "delivery.h"
#include "handle.h"
#include "ledger.h"
#include "table.h"

/* A no_ack consumer has no prefetch to bound it: above this its connection is not read until
 * tasks have caught up. */
#define CONSUME_BUFFER_BYTES ((size_t)32 << 20)
#define CONSUME_BUFFER_COUNT 10000

typedef enum consume_state {
    CONSUME_WAITING,    /* for the connection */
    CONSUME_OPENING,    /* channel.open sent */
    CONSUME_ASKED,      /* qos and consume sent */
    CONSUME_ACTIVE,     /* deliveries come */
    CONSUME_CANCELLING, /* basic.cancel sent: what still comes goes back */
    CONSUME_IDLE,       /* nothing comes any more, deliveries may be out */
    CONSUME_ENDED       /* the channel is gone */
} consume_state;

struct tug_amqp_consumer {
    tug__amqp_channel channel;
    tug_amqp *mq;                       /* counted */
    tug_amqp_consumer *next, *previous; /* in the handle's list */
    unsigned refs;
    consume_state state;
    bool is_stopping;  /* next gives 0 once nothing is left to give */
    bool is_closed;    /* the user has let go */
    bool is_pausing;   /* it has stopped the connection's reading */
    tug_error end;     /* why next fails; code 0 */
    tug_future *start; /* pending consume */
    tug_amqp_consume_options o;
    char *queue, *tag; /* tag "": the broker makes one up */
    char given_tag[256];
    tug_stop_hook stop;
    tug_flush flush;
    tug_waiters waiters;
    tug__amqp_announced announced;
    tug_amqp_delivery *building;     /* its body is coming */
    tug_amqp_delivery *first, *last; /* complete, not taken */
    size_t n_buffered, buffered_bytes;
    uint64_t last_tag;
    tug__amqp_ledger ledger;
};

static void consume_set_state(tug_amqp_consumer *c, consume_state state)
{
    bool is_edge = state == CONSUME_ENDED || state == c->state + 1 ||
                   (state == CONSUME_IDLE &&
                    c->state == CONSUME_ACTIVE); /* the broker cancelled it */
    assert(is_edge && c->state != CONSUME_ENDED &&
           "a consumer went from one state to another that does not follow");
    tug_log(TUG_LOG_TRACE, "amqp", "consumer of %s: %d -> %d", c->queue, (int)c->state, (int)state);
    c->state = state;
}

void tug__amqp_consumer_unref(tug_amqp_consumer *c)
{
    if (c != NULL && --c->refs == 0) {
        assert(c->first == NULL && "a consumer went before what it has buffered");
        tug_flush_forget(&c->flush);
        tug_on_stop_forget(&c->stop);
        tug_free(c->queue);
        tug_free(c->tag);
        tug__amqp_ledger_free(&c->ledger);
        tug__amqp_unref(c->mq);
        tug_free(c);
    }
}

/* --- settling ----------------------------------------------------------------------------------- */

static void consume_on_flush(tug_flush *f)
{
    tug_amqp_consumer *c = (tug_amqp_consumer *)((char *)f - offsetof(tug_amqp_consumer, flush));
    if (c->channel.state == TUG__AMQP_CHANNEL_OPEN &&
        tug__amqp_ledger_flush(&c->ledger, &c->channel) && c->is_closed && c->ledger.n_out == 0) {
        tug__amqp_channel_close(&c->channel);
    }
}

void tug__amqp_consumer_settle(tug_amqp_consumer *c, tug_amqp_delivery *d, int how)
{
    tug__amqp_ledger_settle(&c->ledger, d, how);
    tug_flush_later(&c->flush);
}

int tug__amqp_consumer_lost(const tug_amqp_consumer *c)
{
    return tug_fail(
        TUG_ECLOSED,
        "amqp: too late to settle a delivery of queue \"%.60s\", the broker gives it out again: %.120s",
        c->queue, c->end.code != 0 ? c->end.text : "the connection was closed");
}

/* --- the buffer --------------------------------------------------------------------------------- */

static void consume_balance(tug_amqp_consumer *c)
{
    size_t most = c->is_pausing ? 2 : 1; /* resumes at half of what pauses */
    bool is_full = c->n_buffered > CONSUME_BUFFER_COUNT / most ||
                   c->buffered_bytes > CONSUME_BUFFER_BYTES / most;
    if (c->o.no_ack && is_full != c->is_pausing) {
        c->is_pausing = is_full;
        tug__amqp_conn_pause(c->channel.conn, is_full);
    }
}

static void consume_push(tug_amqp_consumer *c, tug_amqp_delivery *d)
{
    *(c->last != NULL ? &c->last->next : &c->first) = d;
    c->last = d;
    c->n_buffered++;
    c->buffered_bytes += d->body_size;
    consume_balance(c);
}

static tug_amqp_delivery *consume_pop(tug_amqp_consumer *c)
{
    tug_amqp_delivery *d = c->first;
    if (d != NULL) {
        c->first = d->next;
        if (c->first == NULL) {
            c->last = NULL;
        }
        d->next = NULL;
        c->n_buffered--;
        c->buffered_bytes -= d->body_size;
        consume_balance(c);
    }
    return d;
}

static void consume_drop_buffer(tug_amqp_consumer *c)
{
    tug_amqp_delivery *d;
    while ((d = consume_pop(c)) != NULL) {
        tug_amqp_delivery_unref(d);
    }
}

/* --- endings ------------------------------------------------------------------------------------ */

static void consume_unlink(tug_amqp_consumer *c)
{
    *(c->previous != NULL ? &c->previous->next : &c->mq->consumers) = c->next;
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    c->next = c->previous = NULL;
}

/* The channel is gone. why NULL: as it should be. The caller may not touch c after it. */
static void consume_end(tug_amqp_consumer *c, const tug_error *why)
{
    consume_set_state(c, CONSUME_ENDED);
    tug__amqp_channel_forget(&c->channel);
    if (why != NULL && c->end.code == 0 && !c->is_stopping) {
        c->end = *why;
    }
    c->is_stopping = true;
    tug__amqp_ledger_lose(&c->ledger);
    tug_free(c->building);
    c->building = NULL;
    consume_drop_buffer(c);
    tug_on_stop_forget(&c->stop);
    tug_unpark_all(&c->waiters, 0, NULL);
    tug_future *start = c->start;
    c->start = NULL;
    if (start != NULL) {
        tug_error e;
        tug_error_set(&e, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                      "amqp: consuming from \"%.60s\": closed before it began", c->queue);
        tug_future_fail(start, why != NULL ? why : &e);
        c->refs--; /* the reference that the future would have handed out; the list's is still there */
    }
    consume_unlink(c);
    tug__amqp_consumer_unref(c);
}

bool tug__amqp_consumer_is_here(const tug_amqp_consumer *c)
{
    return c->mq->thread == tug__amqp_thread();
}

void tug_amqp_consumer_stop(tug_amqp_consumer *c)
{
    if (c->is_stopping || !tug__amqp_consumer_is_here(c)) {
        return;
    }
    c->is_stopping = true;
    if (!c->o.no_ack) {
        /* Without ack there is nobody to give them back to: they are still handed out. */
        consume_drop_buffer(c);
        tug_unpark_all(&c->waiters, 0, NULL);
    }
    if (c->state == CONSUME_ACTIVE) {
        amqp_basic_cancel_t m = {.consumer_tag = tug__amqp_text(c->given_tag)};
        if (tug__amqp_channel_send(&c->channel, AMQP_BASIC_CANCEL_METHOD, &m,
                                   2 + TUG__AMQP_SHORT_MAX)) {
            consume_set_state(c, CONSUME_CANCELLING);
        }
    }
}

static void consume_on_stop(void *arg)
{
    tug_amqp_consumer_stop(arg);
}

void tug_amqp_consumer_close(tug_amqp_consumer *c)
{
    if (c == NULL) {
        return;
    }
    if (!tug__amqp_consumer_is_here(c)) {
        tug_log(TUG_LOG_ERROR, "amqp",
                "tug_amqp_consumer_close refused: it belongs to another thread's loop");
        return;
    }
    c->is_closed = true;
    c->refs++;
    tug_amqp_consumer_stop(c);
    if (c->state == CONSUME_WAITING) {
        consume_end(c, NULL);
    } else if (c->state != CONSUME_ENDED) {
        consume_drop_buffer(c);
        tug_unpark_all(&c->waiters, 0, NULL);
        if (c->channel.state == TUG__AMQP_CHANNEL_OPENING) {
            tug__amqp_channel_close(&c->channel);
        } else {
            tug_flush_later(&c->flush);
        }
    }
    tug__amqp_consumer_unref(c); /* the one above */
    tug__amqp_consumer_unref(c); /* the user's */
}

/* --- the channel -------------------------------------------------------------------------------- */

static tug_amqp_consumer *consume_of(tug__amqp_channel *ch)
{
    return (tug_amqp_consumer *)((char *)ch - offsetof(tug_amqp_consumer, channel));
}

static void consume_begin(tug_amqp_consumer *c)
{
    int rc = tug__amqp_channel_open(&c->channel);
    if (rc == 0) {
        consume_set_state(c, CONSUME_OPENING);
    } else if (c->mq->end.code == 0) {
        tug_error why = *tug_last_error();
        consume_end(c, &why);
    }
}

static void consume_opened(tug__amqp_channel *ch)
{
    tug_amqp_consumer *c = consume_of(ch);
    amqp_basic_qos_t qos = {.prefetch_count = (uint16_t)c->o.prefetch};
    amqp_basic_consume_t m = {.queue = tug__amqp_text(c->queue),
                              .consumer_tag = tug__amqp_text(c->tag),
                              .no_ack = c->o.no_ack,
                              .exclusive = c->o.exclusive};
    if ((c->o.no_ack || tug__amqp_channel_send(ch, AMQP_BASIC_QOS_METHOD, &qos, 7)) &&
        tug__amqp_channel_send(ch, AMQP_BASIC_CONSUME_METHOD, &m,
                               9 + strlen(c->queue) + strlen(c->tag))) {
        consume_set_state(c, CONSUME_ASKED);
    }
}

/* Consuming has begun. Whoever asked may be gone, or may have been told to stop meanwhile. */
static void consume_started(tug_amqp_consumer *c, const amqp_basic_consume_ok_t *m)
{
    tug__amqp_clean_text(c->given_tag, sizeof c->given_tag, m->consumer_tag);
    consume_set_state(c, CONSUME_ACTIVE);
    tug_future *start = c->start;
    c->start = NULL;
    if (start != NULL) {
        tug_future_settle(start, c);
    }
    if (c->is_stopping) {
        c->is_stopping = false;
        tug_amqp_consumer_stop(c);
    }
}

static int consume_announced(tug_amqp_consumer *c, const amqp_basic_deliver_t *m)
{
    tug__amqp_announced *a = &c->announced;
    if (m->delivery_tag != c->last_tag + 1 || m->exchange.len > TUG__AMQP_SHORT_MAX ||
        m->routing_key.len > TUG__AMQP_SHORT_MAX) {
        tug__amqp_conn_failf(c->channel.conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "delivery %llu came where %llu was due",
                             (unsigned long long)m->delivery_tag,
                             (unsigned long long)c->last_tag + 1);
        return TUG__AMQP_STOP;
    }
    c->last_tag = a->tag = m->delivery_tag;
    a->is_redelivered = m->redelivered;
    a->exchange_size = (uint8_t)m->exchange.len;
    a->routing_key_size = (uint8_t)m->routing_key.len;
    memcpy(a->exchange, m->exchange.bytes, m->exchange.len);
    memcpy(a->routing_key, m->routing_key.bytes, m->routing_key.len);
    c->channel.content = TUG__AMQP_CONTENT_HEADER;
    return 0;
}

/* The broker ended it: the queue is gone, or has moved to another node. The channel lives: what
 * is out may be settled, what is buffered may be taken. */
static int consume_cancelled(tug_amqp_consumer *c)
{
    if (c->state == CONSUME_ACTIVE) {
        consume_set_state(c, CONSUME_IDLE);
        tug_error_set(
            &c->end, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, NULL,
            "%s: the broker ended the consumer of queue \"%.80s\": was the queue deleted?",
            c->mq->config->where, c->queue);
        tug_on_stop_forget(&c->stop);
        c->is_stopping = true;
        tug_unpark_all(&c->waiters, 0, NULL);
    }
    return 0;
}

static int consume_method(tug__amqp_channel *ch, amqp_method_number_t method, const void *decoded)
{
    tug_amqp_consumer *c = consume_of(ch);
    bool is_due = true;
    switch (method) {
    case AMQP_BASIC_DELIVER_METHOD:
        is_due = c->state == CONSUME_ACTIVE || c->state == CONSUME_CANCELLING;
        if (is_due) {
            return consume_announced(c, decoded);
        }
        break;
    case AMQP_BASIC_CONSUME_OK_METHOD:
        is_due = c->state == CONSUME_ASKED;
        if (is_due) {
            consume_started(c, decoded);
        }
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        return consume_cancelled(c);
    case AMQP_BASIC_CANCEL_OK_METHOD:
        is_due = c->state == CONSUME_CANCELLING;
        if (is_due) {
            consume_set_state(c, CONSUME_IDLE);
            tug_unpark_all(&c->waiters, 0, NULL);
        }
        break;
    case AMQP_BASIC_QOS_OK_METHOD:
        is_due = c->state == CONSUME_ASKED;
        break;
    default:
        is_due = method == AMQP_CHANNEL_FLOW_METHOD;
        break;
    }
    if (!is_due) {
        tug__amqp_conn_failf(ch->conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "%s on a consumer's channel, at a moment when it cannot come",
                             amqp_method_name(method));
        return TUG__AMQP_STOP;
    }
    return 0;
}

static int consume_header(tug__amqp_channel *ch, const uint8_t *props, size_t size,
                          uint64_t body_size)
{
    tug_amqp_consumer *c = consume_of(ch);
    tug_amqp_delivery *d = NULL;
    int rc = tug__amqp_ledger_reserve(&c->ledger)
                 ? tug__amqp_delivery_new(&c->announced, props, size, body_size, &ch->conn->pool,
                                          &d)
                 : TUG_ENOMEM;
    if (rc < 0) {
        tug__amqp_conn_failf(ch->conn, rc, TUG_ORIGIN_CODEC, NULL,
                             "%s of a message from queue \"%.60s\" (%llu bytes)",
                             rc == TUG_ENOMEM ? "no memory for the body" : "malformed properties",
                             c->queue, (unsigned long long)body_size);
        return TUG__AMQP_STOP;
    }
    if (d->headers_rc < 0) {
        tug_log(TUG_LOG_WARN, "amqp", "%s: headers of a message from queue %s are not read: %s",
                c->mq->config->place, c->queue,
                d->headers_rc == TUG_ELIMIT ? "tables nested too deeply" : "malformed");
    }
    c->building = d;
    return 0;
}

static int consume_body(tug__amqp_channel *ch, const uint8_t *part, size_t size)
{
    tug_amqp_delivery *d = consume_of(ch)->building;
    memcpy(d->body + d->body_got, part, size);
    d->body_got += size;
    return 0;
}

static int consume_complete(tug__amqp_channel *ch)
{
    tug_amqp_consumer *c = consume_of(ch);
    tug_amqp_delivery *d = c->building;
    c->building = NULL;
    d->consumer = c;
    c->refs++;
    if (c->o.no_ack) {
        d->state = TUG__AMQP_NO_ACK;
    } else {
        tug__amqp_ledger_add(&c->ledger, d);
    }
    tug_amqp_delivery **slot = tug_waiters_slot(&c->waiters);
    if (c->is_closed || (c->is_stopping && !c->o.no_ack)) {
        tug_amqp_delivery_unref(d);
    } else if (slot != NULL) {
        *slot = d;
        tug_unpark_first(&c->waiters, 0, NULL);
    } else {
        consume_push(c, d);
    }
    return 0;
}

static void consume_closed(tug__amqp_channel *ch, const tug__amqp_reply *reply)
{
    tug_amqp_consumer *c = consume_of(ch);
    char what[96];
    tug_error e;
    if (reply == NULL) {
        consume_end(c, NULL);
        return;
    }
    snprintf(what, sizeof what, "consuming from queue \"%.60s\"", c->queue);
    tug__amqp_reply_error(&e, ch->conn, TUG_ANSWERED, what, reply);
    consume_end(c, &e);
}

/* --- all of a handle ---------------------------------------------------------------------------- */

void tug__amqp_consumers_go(struct tug_amqp *mq)
{
    tug_amqp_consumer *next;
    for (tug_amqp_consumer *c = mq->consumers; c != NULL && mq->main.state == TUG__AMQP_OPEN;
         c = next) {
        next = c->next;
        if (c->state == CONSUME_WAITING) {
            consume_begin(c);
        }
    }
}

void tug__amqp_consumers_flush(struct tug_amqp *mq)
{
    for (tug_amqp_consumer *c = mq->consumers; c != NULL; c = c->next) {
        if (c->channel.state == TUG__AMQP_CHANNEL_OPEN &&
            !tug__amqp_ledger_flush(&c->ledger, &c->channel)) {
            return; /* the list has gone with the connection */
        }
    }
}

void tug__amqp_consumers_end(struct tug_amqp *mq, const tug_error *why)
{
    while (mq->consumers != NULL) {
        consume_end(mq->consumers, why);
    }
}

/* --- the interface ------------------------------------------------------------------------------ */

static int consume_abort(tug_future *f)
{
    tug_amqp_consumer *c = *(tug_amqp_consumer **)tug_future_payload(f);
    tug_error e;
    int sent = c->state == CONSUME_WAITING ? TUG_NOT_SENT : TUG_IN_FLIGHT;
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  "amqp: consuming from queue \"%.60s\" was cancelled", c->queue);
    c->start = NULL;
    tug_amqp_consumer_close(c);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static void consume_dispose(void *value)
{
    tug_amqp_consumer_close(value);
}

static const tug_future_class consume_class = {.size = sizeof(tug_future_class),
                                               .name = "amqp.consume",
                                               .payload = sizeof(tug_amqp_consumer *),
                                               .abort = consume_abort,
                                               .dispose = consume_dispose};

static int consume_check(const tug_amqp *mq, const char *queue, tug_amqp_consume_options *o,
                         const tug_amqp_consume_options *from)
{
    int rc = tug__amqp_check(mq);
    if (rc == 0) {
        rc = tug__amqp_check_name("the queue's name", queue, false);
    }
    if (rc == 0) {
        rc = tug__amqp_take_options("tug_amqp_consume_options", o, sizeof *o, from);
    }
    if (rc == 0 && (o->prefetch < 1 || o->prefetch > 65535)) {
        rc = tug_fail(TUG_EINVAL, "amqp: prefetch is %u, not from 1 to 65535", o->prefetch);
    }
    return rc == 0 && o->tag != NULL ? tug__amqp_check_name("the consumer's tag", o->tag, true)
                                     : rc;
}

static tug_amqp_consumer *consume_new(tug_amqp *mq, const char *queue,
                                      const tug_amqp_consume_options *o)
{
    static const tug__amqp_channel_ops ops = {.opened = consume_opened,
                                              .method = consume_method,
                                              .header = consume_header,
                                              .body = consume_body,
                                              .complete = consume_complete,
                                              .closed = consume_closed};
    tug_amqp_consumer *c = tug_calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->channel.ops = &ops;
    c->channel.conn = &mq->main;
    c->mq = mq;
    c->refs = 1;
    c->o = *o;
    c->o.tag = NULL;
    c->queue = tug_strdup(queue);
    c->tag = tug_strdup(o->tag != NULL ? o->tag : "");
    c->flush.fn = consume_on_flush;
    tug__amqp_ref(mq);
    if (c->queue == NULL || c->tag == NULL) {
        tug__amqp_consumer_unref(c);
        return NULL;
    }
    return c;
}

static tug_future *consume_start(tug_amqp *mq, const char *queue,
                                 const tug_amqp_consume_options *options)
{
    tug_amqp_consume_options o = TUG_AMQP_CONSUME_OPTIONS_INIT;
    if (consume_check(mq, queue, &o, options) < 0) {
        return tug__amqp_failed();
    }
    tug_amqp_consumer *c = consume_new(mq, queue, &o);
    tug_future *f = c != NULL ? tug_future_new(&consume_class) : NULL;
    if (f == NULL) {
        tug__amqp_consumer_unref(c);
        return tug_future_no_memory();
    }
    *(tug_amqp_consumer **)tug_future_payload(f) = c;
    c->start = f;
    c->refs++; /* the list's */
    c->next = mq->consumers;
    if (c->next != NULL) {
        c->next->previous = c;
    }
    mq->consumers = c;
    tug_on_stop(&c->stop, consume_on_stop, c);
    tug__amqp_consumers_go(mq);
    return f;
}

int tug_amqp_consume(tug_amqp *mq, const char *queue, const tug_amqp_consume_options *o,
                     tug_amqp_consumer **ret_consumer)
{
    tug_future *f = consume_start(mq, queue, o);
    void *consumer = NULL;
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_future_take(f, &consume_class, &consumer);
    }
    tug_future_unref(f);
    if (rc == 0) {
        *ret_consumer = consumer;
    }
    return rc;
}

int tug_amqp_consumer_next(tug_amqp_consumer *c, tug_amqp_delivery **ret_delivery)
{
    if (c == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: the consumer is NULL");
    }
    if (!tug__amqp_consumer_is_here(c)) {
        return tug_fail(TUG_EMISUSE, "amqp: the consumer belongs to another thread's loop");
    }
    int rc = tug_checkpoint();
    c->refs++; /* whoever is woken before us may close it */
    while (rc == 0) {
        tug_amqp_delivery *d = consume_pop(c);
        if (d == NULL && c->is_stopping && (!c->o.no_ack || c->state >= CONSUME_IDLE)) {
            rc = c->end.code != 0 ? tug_fail_with(&c->end) : 0;
            break;
        }
        if (d == NULL) {
            rc = tug_park(&c->waiters, &d, "amqp.next");
        }
        if (d != NULL) {
            *ret_delivery = d;
            rc = 1;
        }
    }
    tug__amqp_consumer_unref(c);
    return rc;
}

/* --- looking ------------------------------------------------------------------------------------ */

void tug__amqp_consumers_show(tug_inspect_writer *w, const tug_amqp *mq)
{
    static const char *const states[] = {"waiting",    "opening", "asked", "active",
                                         "cancelling", "idle",    "ended"};
    tug_inspect_list(w, "consumer");
    for (const tug_amqp_consumer *c = mq->consumers; c != NULL; c = c->next) {
        tug_inspect_item(w);
        tug_inspect_text(w, "queue", c->queue);
        tug_inspect_text(w, "tag", c->tag);
        tug_inspect_text(w, "state", states[c->state]);
        tug_inspect_number(w, "buffered", (int64_t)c->n_buffered);
        tug_inspect_number(w, "unsettled", (int64_t)c->ledger.n_out);
        tug_inspect_item_end(w);
    }
    tug_inspect_list_end(w);
}
