#include "publish.h"

#include <assert.h>
#include <stdio.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "handle.h"
#include "message.h"
#include "scan.h"
#include "table.h"

#define PUBLISH_RING_FIRST 64

typedef struct publish_job {
    struct publish_job *next, *previous; /* while it waits */
    tug_amqp *mq;
    tug_future *future;
    uint64_t number;    /* 0: not sent */
    uint64_t return_id; /* 0: not mandatory */
    uint8_t *held;      /* while it waits: both head frames, then the body */
    size_t head_size, body_size;
} publish_job;

static publish_job *publish_of(tug_future *f)
{
    return tug_future_payload(f);
}

static tug__amqp_unconfirmed *publish_slot(const tug__amqp_publisher *p, uint64_t number)
{
    return &p->ring[number & (p->ring_size - 1)];
}

static void publish_unqueue(tug__amqp_publisher *p, publish_job *job)
{
    *(job->previous != NULL ? &job->previous->next : &p->first) = job->next;
    *(job->next != NULL ? &job->next->previous : &p->last) = job->previous;
    job->next = job->previous = NULL;
    p->waiting_bytes -= job->head_size + job->body_size;
    /* Whoever still writes from it has its own pointer to it. */
}

static void publish_fail(tug__amqp_publisher *p, publish_job *job, const tug_error *why)
{
    p->n_jobs--;
    tug_future_fail(job->future, why);
}

static int publish_abort(tug_future *f)
{
    publish_job *job = publish_of(f);
    tug__amqp_publisher *p = &job->mq->publisher;
    tug_error e;
    bool is_sent = job->number != 0;
    if (is_sent) {
        publish_slot(p, job->number)->job = NULL; /* its confirm is swallowed */
    } else {
        publish_unqueue(p, job);
    }
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, is_sent ? TUG_IN_FLIGHT : TUG_NOT_SENT, NULL,
                  "amqp: a publish was cancelled %s",
                  is_sent ? "before its confirm: it may have been taken" : "before it was sent");
    publish_fail(p, job, &e);
    return TUG_ABORT_DONE;
}

static void publish_destroy(tug_future *f)
{
    tug_free(publish_of(f)->held);
}

static const tug_future_class publish_class = {.size = sizeof(tug_future_class),
                                               .name = "amqp.publish",
                                               .payload = sizeof(publish_job),
                                               .abort = publish_abort,
                                               .destroy = publish_destroy};

/* --- sending ------------------------------------------------------------------------------------ */

/* How many more may be out unconfirmed. */
static size_t publish_window(const tug__amqp_publisher *p)
{
    size_t most = p->channel.conn->mq->config->o.max_unconfirmed,
           used = (size_t)(p->next - p->oldest);
    return used < most ? most - used : 0;
}

static bool publish_may_send(const tug__amqp_publisher *p)
{
    const tug__amqp_conn *c = p->channel.conn;
    return p->is_selected && !p->is_held && !c->is_blocked && c->state == TUG__AMQP_OPEN &&
           publish_window(p) > 0 && !tug_transport_is_full(c->transport);
}

static bool publish_grow_ring(tug__amqp_publisher *p)
{
    if (p->next - p->oldest < p->ring_size) {
        return true;
    }
    size_t size = p->ring_size == 0 ? PUBLISH_RING_FIRST : 2 * p->ring_size;
    tug__amqp_unconfirmed *ring = tug_calloc(size, sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    for (uint64_t n = p->oldest; n < p->next; n++) {
        ring[n & (size - 1)] = *publish_slot(p, n);
    }
    tug_free(p->ring);
    p->ring = ring;
    p->ring_size = size;
    return true;
}

static void publish_sent(tug__amqp_publisher *p, publish_job *job)
{
    job->number = p->next++;
    *publish_slot(p, job->number) = (tug__amqp_unconfirmed){.job = job,
                                                            .return_id = job->return_id};
    p->channel.conn->last_sent = tug_turn_time();
}

/* Room for the whole message, so that it goes out whole or not at all; NULL: the job has failed. */
static uint8_t *publish_reserve(tug__amqp_publisher *p, publish_job *job, size_t head_size)
{
    tug__amqp_conn *c = p->channel.conn;
    tug_error e;
    size_t size = head_size + tug__amqp_message_body_room(c, job->body_size);
    uint8_t *to = publish_grow_ring(p) ? tug_transport_reserve(c->transport, size)
                                       : (tug_fail(TUG_ENOMEM, "no memory"), NULL);
    if (to == NULL) {
        int code = tug_last_error()->code;
        bool is_lost = code != TUG_ENOMEM && code != TUG_ELIMIT;
        tug_error_set(&e, is_lost ? TUG_ECLOSED : TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      is_lost ? "%s: the connection is being lost, %zu bytes were not published"
                              : "%s: no memory to publish %zu bytes",
                      job->mq->config->where, size);
        publish_fail(p, job, &e);
    }
    return to;
}

/* A header frame cannot be cut. */
static bool publish_fits(tug__amqp_publisher *p, publish_job *job, size_t head_size)
{
    tug_error e;
    if (head_size <= p->channel.conn->frame_max) {
        return true;
    }
    tug_error_set(
        &e, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
        "amqp: headers and properties of %zu bytes do not fit in a frame (frame_max is %u)",
        head_size, p->channel.conn->frame_max);
    publish_fail(p, job, &e);
    return false;
}

static void publish_send_held(tug__amqp_publisher *p, publish_job *job)
{
    tug__amqp_channel *ch = &p->channel;
    publish_unqueue(p, job);
    uint8_t *to = publish_fits(p, job, job->head_size) ? publish_reserve(p, job, job->head_size)
                                                       : NULL;
    if (to == NULL) {
        return;
    }
    memcpy(to, job->held, job->head_size);
    tug__amqp_put16(to + 1, ch->id);
    tug__amqp_put16(to + TUG__AMQP_FRAME_EXTRA + tug__amqp_get32(to + 3) + 1, ch->id);
    size_t n = job->head_size + tug__amqp_message_body(ch, to + job->head_size,
                                                       job->held + job->head_size, job->body_size);
    tug_transport_commit(ch->conn->transport, n);
    publish_sent(p, job);
    tug_free(job->held);
    job->held = NULL;
}

static void publish_send_now(tug__amqp_publisher *p, publish_job *job,
                             const tug__amqp_outgoing *call, size_t room)
{
    tug__amqp_channel *ch = &p->channel;
    uint8_t *to = publish_fits(p, job, room) ? publish_reserve(p, job, room) : NULL;
    if (to != NULL) {
        size_t n = tug__amqp_message_heads(call, ch->id, to, room);
        n += tug__amqp_message_body(ch, to + n, call->m.body.data, call->m.body.size);
        tug_transport_commit(ch->conn->transport, n);
        publish_sent(p, job);
    }
}

static void publish_hold(tug__amqp_publisher *p, publish_job *job, const tug__amqp_outgoing *call,
                         size_t room)
{
    const tug_amqp_options *o = &job->mq->config->o;
    tug_error e;
    if (room + job->body_size > o->max_waiting ||
        p->waiting_bytes > o->max_waiting - room - job->body_size) {
        tug_error_set(
            &e, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
            "%s: %zu bytes of publishes wait already (max_waiting): the broker is slow or has blocked us",
            job->mq->config->where, p->waiting_bytes);
        publish_fail(p, job, &e);
        return;
    }
    job->held = tug_alloc(room + job->body_size);
    if (job->held == NULL) {
        tug_error_set(&e, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "amqp: no memory to publish %zu bytes", room + job->body_size);
        publish_fail(p, job, &e);
        return;
    }
    job->head_size = tug__amqp_message_heads(call, 0, job->held, room);
    if (job->body_size > 0) {
        memcpy(job->held + job->head_size, call->m.body.data, job->body_size);
    }
    job->previous = p->last;
    *(p->last != NULL ? &p->last->next : &p->first) = job;
    p->last = job;
    p->waiting_bytes += job->head_size + job->body_size;
}

/* Opens it, again if the broker has closed it. */
static void publish_open_channel(tug__amqp_publisher *p)
{
    tug__amqp_channel *ch = &p->channel;
    if (ch->conn->state == TUG__AMQP_OPEN && ch->state == TUG__AMQP_CHANNEL_NONE &&
        tug__amqp_channel_open(ch) < 0 && ch->conn->state == TUG__AMQP_OPEN) {
        tug__amqp_conn_fail(ch->conn, tug_last_error()); /* no memory for its only channel */
    }
}

void tug__amqp_publisher_go(tug__amqp_publisher *p)
{
    if (p->first != NULL || tug_waiters_any(&p->room)) {
        publish_open_channel(p);
    }
    while (p->first != NULL && publish_may_send(p)) {
        publish_send_held(p, p->first);
    }
    while (p->first == NULL && publish_may_send(p) && p->granted < publish_window(p) &&
           tug_unpark_first(&p->room, 0, NULL)) {
        p->granted++;
    }
}

/* --- the channel -------------------------------------------------------------------------------- */

static void publish_opened(tug__amqp_channel *ch)
{
    amqp_confirm_select_t m = {.nowait = 0};
    (void)tug__amqp_channel_send(ch, AMQP_CONFIRM_SELECT_METHOD, &m, 1);
}

static void publish_settle(tug__amqp_publisher *p, uint64_t number, bool is_taken)
{
    tug__amqp_unconfirmed *u = publish_slot(p, number);
    publish_job *job = u->job;
    u->job = NULL;
    u->is_settled = true;
    if (job == NULL) {
        return;
    }
    if (is_taken) {
        p->n_jobs--;
        tug_future_settle(job->future, NULL);
        return;
    }
    tug_error e;
    tug_error_set(
        &e, TUG_ENACK, TUG_ORIGIN_SERVER, TUG_ANSWERED, NULL,
        "%s: the broker could not take a message (basic.nack): is a queue full or unavailable?",
        job->mq->config->where);
    e.transient = true;
    publish_fail(p, job, &e);
}

static int publish_confirmed(tug__amqp_publisher *p, uint64_t number, bool multiple, bool is_taken)
{
    if (number == 0 && multiple) {
        number = p->next - 1; /* all that are out */
    }
    if (number >= p->next || (number < p->oldest && !multiple)) {
        tug__amqp_conn_failf(p->channel.conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "a confirm for message %llu, which is not out",
                             (unsigned long long)number);
        return TUG__AMQP_STOP;
    }
    for (uint64_t n = multiple ? p->oldest : number; n <= number; n++) {
        publish_settle(p, n, is_taken);
    }
    while (p->oldest < p->next && publish_slot(p, p->oldest)->is_settled) {
        p->oldest++;
    }
    tug__amqp_publisher_go(p);
    return p->channel.conn->state == TUG__AMQP_CLOSED ? TUG__AMQP_STOP : 0;
}

static int publish_returned(tug__amqp_channel *ch, const amqp_basic_return_t *m)
{
    tug__amqp_publisher *p = &ch->conn->mq->publisher;
    char exchange[48], key[48];
    tug__amqp_clean_text(p->returned.words, sizeof p->returned.words, m->reply_text);
    tug__amqp_clean_text(exchange, sizeof exchange, m->exchange);
    tug__amqp_clean_text(key, sizeof key, m->routing_key);
    snprintf(p->returned.route, sizeof p->returned.route, "\"%s\" with routing key \"%s\"",
             exchange, key);
    p->returned.code = m->reply_code;
    p->returned.id = 0;
    ch->content = TUG__AMQP_CONTENT_HEADER;
    return 0;
}

static int publish_method(tug__amqp_channel *ch, amqp_method_number_t method, const void *decoded)
{
    tug__amqp_publisher *p = &ch->conn->mq->publisher;
    switch (method) {
    case AMQP_CONFIRM_SELECT_OK_METHOD:
        p->is_selected = true;
        tug__amqp_publisher_go(p);
        return ch->conn->state == TUG__AMQP_CLOSED ? TUG__AMQP_STOP : 0;
    case AMQP_CHANNEL_FLOW_METHOD:
        p->is_held = !((const amqp_channel_flow_t *)decoded)->active;
        tug__amqp_publisher_go(p);
        return 0;
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *m = decoded;
        return publish_confirmed(p, m->delivery_tag, m->multiple, true);
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *m = decoded;
        return publish_confirmed(p, m->delivery_tag, m->multiple, false);
    }
    case AMQP_BASIC_RETURN_METHOD:
        return publish_returned(ch, decoded);
    default:
        tug__amqp_conn_failf(ch->conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "%s on the publishing channel", amqp_method_name(method));
        return TUG__AMQP_STOP;
    }
}

static int publish_header(tug__amqp_channel *ch, const uint8_t *data, size_t size,
                          uint64_t body_size)
{
    tug__amqp_publisher *p = &ch->conn->mq->publisher;
    tug__amqp_props props;
    void *decoded = NULL;
    (void)body_size;
    if (tug__amqp_scan_props(data, size, &props) < 0) {
        tug__amqp_conn_failf(ch->conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "malformed properties of a returned message");
        return TUG__AMQP_STOP;
    }
    recycle_amqp_pool(&ch->conn->pool);
    if (props.headers_at == 0 || props.headers_rc < 0 ||
        amqp_decode_properties(TUG__AMQP_CLASS_BASIC, &ch->conn->pool, tug__amqp_bytes(data, size),
                               &decoded) < 0) {
        return 0; /* not one of ours: it is left to its confirm */
    }
    const amqp_table_t *headers = &((amqp_basic_properties_t *)decoded)->headers;
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *e = &headers->entries[i];
        if (e->key.len == strlen(TUG__AMQP_ID_HEADER) &&
            memcmp(e->key.bytes, TUG__AMQP_ID_HEADER, e->key.len) == 0 &&
            e->value.kind == AMQP_FIELD_KIND_I64) {
            p->returned.id = (uint64_t)e->value.value.i64;
        }
    }
    return 0;
}

static int publish_body(tug__amqp_channel *ch, const uint8_t *part, size_t size)
{
    (void)ch;
    (void)part;
    (void)size;
    return 0; /* the sender has it still */
}

/* The future fails now; the confirm that follows finds nobody. */
static int publish_complete(tug__amqp_channel *ch)
{
    tug__amqp_publisher *p = &ch->conn->mq->publisher;
    for (uint64_t n = p->oldest; p->returned.id != 0 && n < p->next; n++) {
        tug__amqp_unconfirmed *u = publish_slot(p, n);
        if (u->return_id == p->returned.id && u->job != NULL) {
            tug_error e;
            char native[8];
            snprintf(native, sizeof native, "%u", p->returned.code % 1000);
            tug_error_set(&e, TUG_ENOTFOUND, TUG_ORIGIN_SERVER, TUG_ANSWERED, native,
                          "%s: no queue takes a mandatory message to exchange %s: %s",
                          ch->conn->mq->config->where, p->returned.route, p->returned.words);
            publish_job *job = u->job;
            u->job = NULL;
            publish_fail(p, job, &e);
            return 0;
        }
    }
    tug_log(TUG_LOG_WARN, "amqp",
            "%s: the broker returned a message that nobody awaits: exchange %s",
            ch->conn->mq->config->place, p->returned.route);
    return 0;
}

static void publish_forget_sent(tug__amqp_publisher *p, const tug_error *why)
{
    for (uint64_t n = p->oldest; n < p->next; n++) {
        publish_job *job = publish_slot(p, n)->job;
        if (job != NULL) {
            publish_slot(p, n)->job = NULL;
            publish_fail(p, job, why);
        }
    }
    p->oldest = p->next = 1;
    p->is_selected = false;
    p->is_held = false;
}

/* An unknown exchange, no permission: the broker says which exchange, but not which messages it
 * had taken. */
static void publish_closed(tug__amqp_channel *ch, const tug__amqp_reply *reply)
{
    tug__amqp_publisher *p = &ch->conn->mq->publisher;
    tug_error e;
    tug__amqp_reply_error(&e, ch->conn, TUG_IN_FLIGHT, "publishing", reply);
    e.code = TUG_ESERVER;
    publish_forget_sent(p, &e);
    tug__amqp_publisher_go(p);
}

void tug__amqp_publisher_init(tug__amqp_publisher *p, tug__amqp_conn *c)
{
    static const tug__amqp_channel_ops ops = {.opened = publish_opened,
                                              .method = publish_method,
                                              .header = publish_header,
                                              .body = publish_body,
                                              .complete = publish_complete,
                                              .closed = publish_closed};
    p->channel.ops = &ops;
    p->channel.conn = c;
    p->oldest = p->next = 1;
}

void tug__amqp_publisher_end(tug__amqp_publisher *p, const tug_error *why)
{
    tug_error e = *why;
    tug__amqp_channel_forget(&p->channel);
    e.sent = TUG_IN_FLIGHT;
    publish_forget_sent(p, &e);
    e.sent = TUG_NOT_SENT;
    while (p->first != NULL) {
        publish_job *job = p->first;
        publish_unqueue(p, job);
        publish_fail(p, job, &e);
    }
    tug_unpark_all(&p->room, e.code, &e);
}

void tug__amqp_publisher_free(tug__amqp_publisher *p)
{
    tug_free(p->ring);
    p->ring = NULL;
}

/* --- the interface ------------------------------------------------------------------------------ */

/* The first publish opens the second connection. */
static int publish_connect(tug_amqp *mq)
{
    if (mq->pub.state != TUG__AMQP_IDLE) {
        return 0;
    }
    int rc = tug__amqp_conn_start(&mq->pub);
    if (rc < 0) {
        tug_error why = *tug_last_error();
        tug__amqp_conn_lost(&mq->pub, &why);
    }
    return rc;
}

static tug_future *publish_start(tug_amqp *mq, tug__amqp_outgoing *call)
{
    if (publish_connect(mq) < 0) {
        return tug__amqp_failed();
    }
    tug_future *f = tug_future_new(&publish_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    tug__amqp_publisher *p = &mq->publisher;
    publish_job *job = publish_of(f);
    job->mq = mq;
    job->future = f;
    job->body_size = call->m.body.size;
    if (call->m.mandatory) {
        call->return_id = job->return_id = ++p->return_ids;
    }
    size_t room = tug__amqp_message_room(call);
    p->n_jobs++;
    if (p->first == NULL && publish_may_send(p)) {
        publish_send_now(p, job, call, room);
    } else {
        publish_hold(p, job, call, room);
        tug__amqp_publisher_go(p);
    }
    return f;
}

tug_future *tug_amqp_publish_start(tug_amqp *mq, const char *exchange, const char *routing_key,
                                   const tug_amqp_message *m)
{
    tug__amqp_outgoing call = {
        .exchange = exchange, .routing_key = routing_key, .m = TUG_AMQP_MESSAGE_INIT};
    if (tug__amqp_check(mq) < 0 || tug__amqp_message_check(&call, m, mq->config->o.max_body) < 0) {
        return tug__amqp_failed();
    }
    return publish_start(mq, &call);
}

/* Waits until a message may go at once; nothing is copied before. */
static int publish_wait_room(tug_amqp *mq)
{
    tug__amqp_publisher *p = &mq->publisher;
    int rc = tug_checkpoint();
    if (rc == 0) {
        rc = tug__amqp_check(mq);
    }
    if (rc == 0) {
        rc = publish_connect(mq);
    }
    if (rc < 0 || (p->first == NULL && !tug_waiters_any(&p->room) && publish_may_send(p))) {
        return rc;
    }
    publish_open_channel(p);
    rc = tug_park(&p->room, p, "amqp.publish");
    if (rc == 0) {
        p->granted--;
    }
    return rc;
}

int tug_amqp_publish(tug_amqp *mq, const char *exchange, const char *routing_key,
                     const tug_amqp_message *m)
{
    tug__amqp_outgoing call = {
        .exchange = exchange, .routing_key = routing_key, .m = TUG_AMQP_MESSAGE_INIT};
    int rc = tug__amqp_check(mq);
    if (rc == 0) {
        rc = tug__amqp_message_check(&call, m, mq->config->o.max_body);
    }
    if (rc == 0) {
        tug__amqp_ref(mq);
        rc = publish_wait_room(mq);
        if (rc == 0) {
            rc = tug__amqp_check(mq);
        }
        if (rc == 0) {
            tug_future *f = publish_start(mq, &call);
            tug__amqp_publisher_go(
                &mq->publisher); /* if that failed, its room is somebody else's */
            rc = tug_await_own(f);
            tug_future_unref(f);
        }
        tug__amqp_unref(mq);
    }
    return rc;
}
