#include "topology.h"

#include <assert.h>
#include <stdio.h>
#include <tug/sys/alloc.h>

#include "handle.h"
#include "table.h"

/* Lives in its future. When the future is cancelled after the request was sent, the answer is
 * swallowed: the topology then has an expected method and no first request with is_sent. */
typedef struct topology_request {
    struct topology_request *next;
    tug_amqp *mq;
    tug_future *future;
    uint8_t *frame; /* whole, but for the channel's number */
    size_t size;
    amqp_method_number_t answer;
    tug_amqp_queue_info *info; /* made before, so that settling cannot fail */
    bool is_sent;
    char what[100]; /* "queue \"events\" not declared": how its error begins */
} topology_request;

static topology_request *topology_of(tug_future *f)
{
    return tug_future_payload(f);
}

static void topology_unlink(tug__amqp_topology *t, topology_request *r)
{
    topology_request **at = &t->first, *before = NULL;
    while (*at != r) {
        before = *at;
        at = &(*at)->next;
    }
    *at = r->next;
    if (t->last == r) {
        t->last = before;
    }
}

static int topology_abort(tug_future *f)
{
    topology_request *r = topology_of(f);
    topology_unlink(&r->mq->topology, r);
    tug_error e;
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, r->is_sent ? TUG_IN_FLIGHT : TUG_NOT_SENT, NULL,
                  "%s: cancelled %s", r->what,
                  r->is_sent ? "while the broker was asked" : "before it was sent");
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static void topology_destroy(tug_future *f)
{
    topology_request *r = topology_of(f);
    tug_free(r->frame);
    tug_free(r->info);
}

static const tug_future_class topology_class = {.size = sizeof(tug_future_class),
                                                .name = "amqp.declare",
                                                .payload = sizeof(topology_request),
                                                .abort = topology_abort,
                                                .dispose = tug_free,
                                                .destroy = topology_destroy};

/* --- the channel -------------------------------------------------------------------------------- */

static void topology_fail_first(tug__amqp_topology *t, const tug_error *why)
{
    topology_request *r = t->first;
    topology_unlink(t, r);
    tug_future_fail(r->future, why);
}

/* A request larger than a frame cannot be cut: its table is to blame. */
static bool topology_fits(tug__amqp_topology *t, const topology_request *r)
{
    if (r->size <= t->channel.conn->frame_max) {
        return true;
    }
    tug_error e;
    tug_error_set(&e, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "amqp: %s: arguments of %zu bytes (frame_max is %u)", r->what, r->size,
                  t->channel.conn->frame_max);
    topology_fail_first(t, &e);
    return false;
}

void tug__amqp_topology_go(tug__amqp_topology *t)
{
    tug__amqp_channel *ch = &t->channel;
    while (ch->conn->state == TUG__AMQP_OPEN && t->first != NULL && t->expected == 0) {
        topology_request *r = t->first;
        if (ch->state == TUG__AMQP_CHANNEL_NONE && tug__amqp_channel_open(ch) < 0) {
            if (ch->conn->state == TUG__AMQP_OPEN) {
                topology_fail_first(t, tug_last_error());
            }
            continue;
        }
        if (ch->state != TUG__AMQP_CHANNEL_OPEN) {
            return;
        }
        if (topology_fits(t, r)) {
            r->is_sent = true;
            t->expected = r->answer;
            snprintf(t->what, sizeof t->what, "%s", r->what);
            if (!tug__amqp_conn_send_frame(ch->conn, ch->id, r->frame, r->size)) {
                return;
            }
        }
    }
}

static void topology_opened(tug__amqp_channel *ch)
{
    tug__amqp_topology_go(&ch->conn->mq->topology);
}

static void topology_fill(tug_amqp_queue_info *info, amqp_method_number_t method,
                          const void *decoded)
{
    if (method == AMQP_QUEUE_DECLARE_OK_METHOD) {
        const amqp_queue_declare_ok_t *m = decoded;
        tug__amqp_clean_text(info->name, sizeof info->name, m->queue);
        info->messages = m->message_count;
        info->consumers = m->consumer_count;
    } else if (method == AMQP_QUEUE_DELETE_OK_METHOD) {
        info->messages = ((const amqp_queue_delete_ok_t *)decoded)->message_count;
    } else if (method == AMQP_QUEUE_PURGE_OK_METHOD) {
        info->messages = ((const amqp_queue_purge_ok_t *)decoded)->message_count;
    }
}

static int topology_method(tug__amqp_channel *ch, amqp_method_number_t method, const void *decoded)
{
    tug__amqp_topology *t = &ch->conn->mq->topology;
    if (method == AMQP_CHANNEL_FLOW_METHOD) {
        return 0;
    }
    if (method != t->expected) {
        tug__amqp_conn_failf(ch->conn, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "%s where nothing asked for it", amqp_method_name(method));
        return TUG__AMQP_STOP;
    }
    t->expected = 0;
    topology_request *r = t->first;
    if (r != NULL && r->is_sent) {
        topology_fill(r->info, method, decoded);
        tug_amqp_queue_info *info = r->info;
        r->info = NULL;
        topology_unlink(t, r);
        tug_future_settle(r->future, info);
    }
    tug__amqp_topology_go(t);
    return 0;
}

/* The broker refused the request in flight. */
static void topology_closed(tug__amqp_channel *ch, const tug__amqp_reply *reply)
{
    tug__amqp_topology *t = &ch->conn->mq->topology;
    topology_request *r = t->first;
    if (r != NULL && (r->is_sent || t->expected == 0)) {
        tug_error e;
        tug__amqp_reply_error(&e, ch->conn, TUG_ANSWERED, r->what, reply);
        topology_fail_first(t, &e);
    }
    t->expected = 0;
    tug__amqp_topology_go(t);
}

void tug__amqp_topology_init(tug__amqp_topology *t, tug__amqp_conn *c)
{
    static const tug__amqp_channel_ops ops = {
        .opened = topology_opened, .method = topology_method, .closed = topology_closed};
    t->channel.ops = &ops;
    t->channel.conn = c;
}

void tug__amqp_topology_end(tug__amqp_topology *t, const tug_error *why)
{
    tug__amqp_channel_forget(&t->channel);
    t->expected = 0;
    while (t->first != NULL) {
        tug_error e = *why;
        e.sent = t->first->is_sent ? TUG_IN_FLIGHT : TUG_NOT_SENT;
        topology_fail_first(t, &e);
    }
}

/* --- requests ----------------------------------------------------------------------------------- */

/* room: what the method's arguments need at most. what: without the name. */
static tug_future *topology_start(tug_amqp *mq, amqp_method_number_t method,
                                  amqp_method_number_t answer, const void *arguments, size_t room,
                                  const char *what, const char *name)
{
    tug_future *f = tug_future_new(&topology_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    topology_request *r = topology_of(f);
    r->mq = mq;
    r->future = f;
    r->answer = answer;
    snprintf(r->what, sizeof r->what, "%s \"%.60s\"", what, name);
    r->frame = tug_alloc(TUG__AMQP_FRAME_EXTRA + 4 + room);
    r->info = tug_calloc(1, sizeof *r->info);
    if (r->frame == NULL || r->info == NULL) {
        tug_error e;
        tug_error_set(&e, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "amqp: %s: no memory for it", r->what);
        tug_future_fail(f, &e);
        return f;
    }
    snprintf(r->info->name, sizeof r->info->name, "%s", name);
    int n = tug__amqp_encode_frame(r->frame, TUG__AMQP_FRAME_EXTRA + 4 + room, 0, method,
                                   arguments);
    assert(n > 0 && "the room for a request was reckoned too small");
    r->size = (size_t)n;
    tug__amqp_topology *t = &mq->topology;
    if (t->last != NULL) {
        t->last->next = r;
    } else {
        t->first = r;
    }
    t->last = r;
    tug__amqp_topology_go(t);
    return f;
}

/* The awaiting form of a request that gives counts. */
static int topology_await(tug_future *f, uint64_t *ret_messages)
{
    tug_amqp_queue_info info;
    int rc = tug_await_own(f);
    if (rc == 0 && ret_messages != NULL) {
        rc = tug_amqp_queue_take(f, &info);
        if (rc == 0) {
            *ret_messages = info.messages;
        }
    }
    tug_future_unref(f);
    return rc;
}

int tug_amqp_queue_take(tug_future *f, tug_amqp_queue_info *ret_info)
{
    void *info = NULL;
    int rc = tug_future_take(f, &topology_class, &info);
    if (rc == 0) {
        *ret_info = *(tug_amqp_queue_info *)info;
        tug_free(info);
    }
    return rc;
}

/* --- queues ------------------------------------------------------------------------------------- */

static int topology_check_queue(const tug_amqp *mq, const char *name, tug_amqp_queue_options *o,
                                const tug_amqp_queue_options *from)
{
    int rc = tug__amqp_check(mq);
    if (rc == 0) {
        rc = tug__amqp_check_name("the queue's name", name, true);
    }
    if (rc == 0) {
        rc = tug__amqp_take_options("tug_amqp_queue_options", o, sizeof *o, from);
    }
    if (rc == 0 && (o->type < TUG_AMQP_QUEUE_DEFAULT || o->type > TUG_AMQP_QUEUE_QUORUM)) {
        rc = tug_fail(TUG_EINVAL,
                      "amqp: tug_amqp_queue_options.type is %d, not one of TUG_AMQP_QUEUE_*",
                      o->type);
    }
    if (rc == 0 && o->type == TUG_AMQP_QUEUE_QUORUM &&
        (!o->durable || o->exclusive || o->auto_delete)) {
        rc = tug_fail(
            TUG_EINVAL,
            "amqp: a quorum queue is durable, not exclusive and not deleted by itself: \"%.60s\"",
            name);
    }
    if (rc == 0 && o->passive && name[0] == 0) {
        rc = tug_fail(TUG_EINVAL, "amqp: passive asks for a queue by its name, which is empty");
    }
    return rc == 0 ? tug__amqp_check_table("a queue's argument", &o->arguments) : rc;
}

tug_future *tug_amqp_queue_declare_start(tug_amqp *mq, const char *name,
                                         const tug_amqp_queue_options *options)
{
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    if (topology_check_queue(mq, name, &o, options) < 0) {
        return tug__amqp_failed();
    }
    amqp_table_entry_t entries[TUG_AMQP_FIELDS_MAX + 1];
    amqp_queue_declare_t m = {.queue = tug__amqp_text(name),
                              .passive = o.passive,
                              .durable = o.durable,
                              .exclusive = o.exclusive,
                              .auto_delete = o.auto_delete};
    tug__amqp_table_fill(&o.arguments, entries, &m.arguments);
    if (o.type != TUG_AMQP_QUEUE_DEFAULT && !o.passive) {
        amqp_table_entry_t *type = &entries[m.arguments.num_entries++];
        type->key = tug__amqp_text("x-queue-type");
        type->value.kind = AMQP_FIELD_KIND_UTF8;
        type->value.value.bytes = tug__amqp_text(o.type == TUG_AMQP_QUEUE_QUORUM ? "quorum"
                                                                                 : "classic");
    }
    size_t room = 4 + strlen(name) + tug__amqp_table_room(&o.arguments) + 32;
    return topology_start(mq, AMQP_QUEUE_DECLARE_METHOD, AMQP_QUEUE_DECLARE_OK_METHOD, &m, room,
                          o.passive ? "asked for queue" : "declaring queue", name);
}

int tug_amqp_queue_declare(tug_amqp *mq, const char *name, const tug_amqp_queue_options *o)
{
    return topology_await(tug_amqp_queue_declare_start(mq, name, o), NULL);
}

int tug_amqp_queue_count(tug_amqp *mq, const char *name, uint64_t *ret_messages)
{
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    o.passive = true;
    return topology_await(tug_amqp_queue_declare_start(mq, name, &o), ret_messages);
}

static int topology_check_name(const tug_amqp *mq, const char *what, const char *name)
{
    int rc = tug__amqp_check(mq);
    return rc == 0 ? tug__amqp_check_name(what, name, false) : rc;
}

tug_future *tug_amqp_queue_delete_start(tug_amqp *mq, const char *name)
{
    if (topology_check_name(mq, "the queue's name", name) < 0) {
        return tug__amqp_failed();
    }
    amqp_queue_delete_t m = {.queue = tug__amqp_text(name)};
    return topology_start(mq, AMQP_QUEUE_DELETE_METHOD, AMQP_QUEUE_DELETE_OK_METHOD, &m,
                          4 + strlen(name), "deleting queue", name);
}

int tug_amqp_queue_delete(tug_amqp *mq, const char *name, uint64_t *ret_messages)
{
    return topology_await(tug_amqp_queue_delete_start(mq, name), ret_messages);
}

tug_future *tug_amqp_queue_purge_start(tug_amqp *mq, const char *name)
{
    if (topology_check_name(mq, "the queue's name", name) < 0) {
        return tug__amqp_failed();
    }
    amqp_queue_purge_t m = {.queue = tug__amqp_text(name)};
    return topology_start(mq, AMQP_QUEUE_PURGE_METHOD, AMQP_QUEUE_PURGE_OK_METHOD, &m,
                          4 + strlen(name), "emptying queue", name);
}

int tug_amqp_queue_purge(tug_amqp *mq, const char *name, uint64_t *ret_messages)
{
    return topology_await(tug_amqp_queue_purge_start(mq, name), ret_messages);
}

/* --- exchanges and bindings --------------------------------------------------------------------- */

tug_future *tug_amqp_exchange_declare_start(tug_amqp *mq, const char *name,
                                            const tug_amqp_exchange_options *options)
{
    tug_amqp_exchange_options o = TUG_AMQP_EXCHANGE_OPTIONS_INIT;
    if (topology_check_name(mq, "the exchange's name", name) < 0 ||
        tug__amqp_take_options("tug_amqp_exchange_options", &o, sizeof o, options) < 0 ||
        tug__amqp_check_name("the exchange's type", o.type, false) < 0 ||
        tug__amqp_check_table("an exchange's argument", &o.arguments) < 0) {
        return tug__amqp_failed();
    }
    amqp_table_entry_t entries[TUG_AMQP_FIELDS_MAX];
    amqp_exchange_declare_t m = {.exchange = tug__amqp_text(name),
                                 .type = tug__amqp_text(o.type),
                                 .passive = o.passive,
                                 .durable = o.durable,
                                 .auto_delete = o.auto_delete,
                                 .internal = o.internal};
    tug__amqp_table_fill(&o.arguments, entries, &m.arguments);
    size_t room = 5 + strlen(name) + strlen(o.type) + tug__amqp_table_room(&o.arguments);
    return topology_start(mq, AMQP_EXCHANGE_DECLARE_METHOD, AMQP_EXCHANGE_DECLARE_OK_METHOD, &m,
                          room, o.passive ? "asked for exchange" : "declaring exchange", name);
}

int tug_amqp_exchange_declare(tug_amqp *mq, const char *name, const tug_amqp_exchange_options *o)
{
    return topology_await(tug_amqp_exchange_declare_start(mq, name, o), NULL);
}

tug_future *tug_amqp_exchange_delete_start(tug_amqp *mq, const char *name)
{
    if (topology_check_name(mq, "the exchange's name", name) < 0) {
        return tug__amqp_failed();
    }
    amqp_exchange_delete_t m = {.exchange = tug__amqp_text(name)};
    return topology_start(mq, AMQP_EXCHANGE_DELETE_METHOD, AMQP_EXCHANGE_DELETE_OK_METHOD, &m,
                          4 + strlen(name), "deleting exchange", name);
}

int tug_amqp_exchange_delete(tug_amqp *mq, const char *name)
{
    return topology_await(tug_amqp_exchange_delete_start(mq, name), NULL);
}

tug_future *tug_amqp_queue_bind_start(tug_amqp *mq, const char *queue, const char *exchange,
                                      const char *routing_key,
                                      const struct tug_amqp_table *arguments)
{
    static const struct tug_amqp_table none = {NULL, 0};
    const struct tug_amqp_table *table = arguments != NULL ? arguments : &none;
    if (topology_check_name(mq, "the queue's name", queue) < 0 ||
        tug__amqp_check_name("the exchange's name", exchange, false) < 0 ||
        tug__amqp_check_name("the routing key", routing_key, true) < 0 ||
        tug__amqp_check_table("a binding's argument", table) < 0) {
        return tug__amqp_failed();
    }
    amqp_table_entry_t entries[TUG_AMQP_FIELDS_MAX];
    amqp_queue_bind_t m = {.queue = tug__amqp_text(queue),
                           .exchange = tug__amqp_text(exchange),
                           .routing_key = tug__amqp_text(routing_key)};
    tug__amqp_table_fill(table, entries, &m.arguments);
    size_t room = 6 + strlen(queue) + strlen(exchange) + strlen(routing_key) +
                  tug__amqp_table_room(table);
    return topology_start(mq, AMQP_QUEUE_BIND_METHOD, AMQP_QUEUE_BIND_OK_METHOD, &m, room,
                          "binding queue", queue);
}

int tug_amqp_queue_bind(tug_amqp *mq, const char *queue, const char *exchange,
                        const char *routing_key, const struct tug_amqp_table *arguments)
{
    return topology_await(tug_amqp_queue_bind_start(mq, queue, exchange, routing_key, arguments),
                          NULL);
}
