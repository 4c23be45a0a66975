/* What:      RabbitMQ over AMQP 0-9-1: declaring, publishing with confirms, consuming, a queue worker.
 * Ownership: handle and consumer are yours until close, a delivery until unref. What a message, a name or
 *            a table points to is borrowed for the call. Forgetting undoes: a delivery that was not
 *            settled goes back to its queue when it is released.
 * Context:   the loop's thread; what is marked TUG_SUSPENDS in a task, all else in any context of the loop.
 * Callbacks: the worker's handler, in a task of the worker.
 * Errors:    TUG_ECONNECT, TUG_EAUTH (login), TUG_ESERVER with the broker's words and reply code, TUG_ENACK,
 *            TUG_ELIMIT, TUG_EPROTO, TUG_EINVAL, TUG_EMISUSE. A lost connection ends the handle: from
 *            then on everything is TUG_ECLOSED with the cause, and the broker requeues what was not
 *            settled. */
#ifndef TUG_AMQP_H
#define TUG_AMQP_H

#include <tug/error.h>
#include <tug/future.h>
#include <tug/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A broker: two connections under one name, one for declaring and consuming, one for publishing
 * that is opened by the first publish. In a memory or disk alarm RabbitMQ stops reading from
 * connections that publish, acks included: so acks travel on the other one. */
typedef struct tug_amqp tug_amqp;
typedef struct tug_amqp_consumer tug_amqp_consumer;
typedef struct tug_amqp_delivery tug_amqp_delivery;

/* A name and a value: headers of a message, arguments of a queue. Integers travel as 64-bit,
 * text as long strings, bytes as byte arrays, timestamps in whole seconds. */
typedef struct tug_amqp_field {
    const char *name; /* 1 to 255 bytes */
    tug_value value;
} tug_amqp_field;

/* At most TUG_AMQP_FIELDS_MAX fields (TUG_EINVAL). */
struct tug_amqp_table {
    const tug_amqp_field *fields;
    size_t n;
};
#define TUG_AMQP_FIELDS_MAX 64

static inline struct tug_amqp_table tug_amqp_table(const tug_amqp_field *fields, size_t n)
{
    struct tug_amqp_table t;
    t.fields = fields;
    t.n = n;
    return t;
}

/* --- the handle --------------------------------------------------------------------------------- */

typedef struct tug_amqp_options {
    size_t size;
    tug_duration connect_timeout; /* name, connection and login in all, ns, > 0; 10 s */
    /* Asked for: whole seconds from 0 (none) to 65535 s; 60 s. The broker may lower it. A peer
     * that was silent for two of them counts as dead. */
    tug_duration heartbeat;
    uint32_t frame_max;     /* bytes, 8192 to 1 MiB; 131072. The broker may lower it */
    uint16_t channel_max;   /* 2 to 65535; 2047. Each consumer takes one. The broker may lower it */
    size_t max_body;        /* largest body taken or sent, bytes, 1 to 1 GiB; 128 MiB */
    size_t max_unconfirmed; /* publishes sent and not confirmed, 1 to 65536; 1000 */
    size_t max_unsent;      /* bytes handed to the socket's buffer and not sent, > 0; 16 MiB */
    size_t max_waiting;     /* bytes of started publishes that wait for room; 64 MiB */
    const char *name;       /* what the broker's tools show; NULL: "tug" */
} tug_amqp_options;
#define TUG_AMQP_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_amqp_options), TUG_SECONDS(10), TUG_SECONDS(60), 131072, 2047,                  \
            (size_t)128 << 20, 1000, (size_t)16 << 20, (size_t)64 << 20, NULL                      \
    }

/* amqp://user:password@host:port/vhost?heartbeat=&connection_timeout=&frame_max=&channel_max=
 * after the AMQP URI specification, percent-encoded; connect_timeout is the same as
 * connection_timeout; both and heartbeat in seconds. Absent parts: guest, guest, localhost, 5672
 * and the virtual host "/"; an empty part is not absent: amqp://host/ names the virtual host "".
 * What the URL says wins over the options. amqps is refused until TLS is there. Does not
 * suspend: connects in the background; calls made before wait for it. TUG_EINVAL, TUG_ENOMEM. */
TUG_EXPORT int tug_amqp_open(const char *url, const tug_amqp_options *o, tug_amqp **ret_mq);
/* Waits for the first login, or for the first attempt that failed on all addresses, and says
 * why. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_ready(tug_amqp *mq) TUG_CHECK;
/* Never suspends. What is pending ends with TUG_ECLOSED, consumers end, acks already given are
 * still sent, unsettled deliveries go back to their queues; the goodbye is said in the
 * background and the loop's end waits for it. NULL is fine. */
TUG_EXPORT void tug_amqp_close(tug_amqp *mq);
TUG_AUTO_FN(tug_amqp, tug_amqp_close)
/* The broker has raised an alarm and takes no publishes at present: they wait. */
TUG_EXPORT bool tug_amqp_is_blocked(const tug_amqp *mq);
/* Publishes that were started and have not settled: those that wait, and those that await the
 * confirm. */
TUG_EXPORT size_t tug_amqp_publishing(const tug_amqp *mq);

/* --- declaring ---------------------------------------------------------------------------------- */
/* All on a channel of its own, one at a time and in order: a refused one hurts nobody else. The
 * futures of the _start forms give their counts to tug_amqp_queue_take. */

enum {
    TUG_AMQP_QUEUE_DEFAULT, /* what the virtual host says; classic where nobody has changed that */
    TUG_AMQP_QUEUE_CLASSIC,
    /* Replicated. RabbitMQ 4 drops (or dead-letters) a message of a quorum queue that was requeued 20
     * times, unless x-delivery-limit says otherwise. */
    TUG_AMQP_QUEUE_QUORUM
};

typedef struct tug_amqp_queue_options {
    size_t size;
    int type;                        /* TUG_AMQP_QUEUE_*; TUG_AMQP_QUEUE_DEFAULT */
    bool durable;                    /* outlives a restart of the broker; true */
    bool exclusive;                  /* of this handle only, and gone with it; false */
    bool auto_delete;                /* gone with its last consumer; false */
    bool passive;                    /* do not make it: TUG_ENOTFOUND if there is none; false */
    struct tug_amqp_table arguments; /* "x-max-length" and the like; none */
} tug_amqp_queue_options;
#define TUG_AMQP_QUEUE_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(tug_amqp_queue_options), TUG_AMQP_QUEUE_DEFAULT, true, false, false, false,         \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* What the broker says about a queue. */
typedef struct tug_amqp_queue_info {
    char name[256];
    /* Ready ones, without those that consumers hold; from delete and purge: how many they removed. */
    uint32_t messages;
    uint32_t consumers; /* from declare only */
} tug_amqp_queue_info;

/* name "": the broker makes one up; use the _start form to learn it. A queue that exists with other
 * properties: TUG_ESERVER (406) with the broker's words. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_queue_declare(tug_amqp *mq, const char *name,
                                                   const tug_amqp_queue_options *o);
TUG_EXPORT tug_future *tug_amqp_queue_declare_start(tug_amqp *mq, const char *name,
                                                    const tug_amqp_queue_options *o);
/* Of the futures of declare, delete and purge. */
TUG_EXPORT int tug_amqp_queue_take(tug_future *f, tug_amqp_queue_info *ret_info) TUG_CHECK;
/* How many messages are ready in it. TUG_ENOTFOUND. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_queue_count(tug_amqp *mq, const char *name,
                                                 uint64_t *ret_messages);
/* With all that is in it. A queue that does not exist is no error. ret_messages may be NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_queue_delete(tug_amqp *mq, const char *name,
                                                  uint64_t *ret_messages);
TUG_EXPORT tug_future *tug_amqp_queue_delete_start(tug_amqp *mq, const char *name);
/* Empties it: what consumers hold is not touched. ret_messages may be NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_queue_purge(tug_amqp *mq, const char *name,
                                                 uint64_t *ret_messages);
TUG_EXPORT tug_future *tug_amqp_queue_purge_start(tug_amqp *mq, const char *name);

typedef struct tug_amqp_exchange_options {
    size_t size;
    const char *type; /* "direct", "fanout", "topic", "headers", or a plugin's; "direct" */
    bool durable;     /* true */
    bool auto_delete; /* gone with its last binding; false */
    bool internal;    /* takes no publishes; false */
    bool passive;     /* do not make it: TUG_ENOTFOUND if there is none; false */
    struct tug_amqp_table arguments; /* none */
} tug_amqp_exchange_options;
#define TUG_AMQP_EXCHANGE_OPTIONS_INIT                                                             \
    {                                                                                              \
        sizeof(tug_amqp_exchange_options), "direct", true, false, false, false,                    \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* Makes it unless it is there; o NULL: the defaults. TUG_ESERVER: it is there with other options. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_exchange_declare(tug_amqp *mq, const char *name,
                                                      const tug_amqp_exchange_options *o);
TUG_EXPORT tug_future *tug_amqp_exchange_declare_start(tug_amqp *mq, const char *name,
                                                       const tug_amqp_exchange_options *o);
/* An exchange that does not exist is no error. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_exchange_delete(tug_amqp *mq, const char *name);
TUG_EXPORT tug_future *tug_amqp_exchange_delete_start(tug_amqp *mq, const char *name);
/* arguments NULL: none (headers exchanges use them). */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_queue_bind(tug_amqp *mq, const char *queue,
                                                const char *exchange, const char *routing_key,
                                                const struct tug_amqp_table *arguments);
TUG_EXPORT tug_future *tug_amqp_queue_bind_start(tug_amqp *mq, const char *queue,
                                                 const char *exchange, const char *routing_key,
                                                 const struct tug_amqp_table *arguments);

/* --- publishing --------------------------------------------------------------------------------- */

typedef struct tug_amqp_message {
    size_t size;
    struct tug_bytes body;
    bool persistent; /* written to disk in durable queues before the confirm; true */
    /* A message that no queue takes fails (TUG_ENOTFOUND) instead of being confirmed and
     * dropped. Adds a header of its own, "x-tug-id". false */
    bool mandatory;
    const char *content_type; /* these: at most 255 bytes; NULL: absent */
    const char *correlation_id;
    const char *message_id;
    const char *type;
    struct tug_amqp_table headers; /* none */
} tug_amqp_message;
#define TUG_AMQP_MESSAGE_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_amqp_message), {NULL, 0}, true, false, NULL, NULL, NULL, NULL,                  \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

/* Sends and waits for the broker's confirm: with 0 the message is the broker's responsibility.
 * exchange "" is the default one: the routing key then names the queue. Waits for room first
 * while max_unconfirmed or max_unsent is reached or the broker has blocked the connection.
 * TUG_ENACK: the broker refused it; TUG_ESERVER: unknown exchange or no permission: the
 * publishes in flight beside it fail likewise, sent TUG_IN_FLIGHT. A cancel while it waits for
 * room: nothing was sent; later: the outcome is unknown, and tug_last_error()->sent says so. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_publish(tug_amqp *mq, const char *exchange,
                                             const char *routing_key,
                                             const tug_amqp_message *m) TUG_CHECK;
/* The same as a future that settles with the confirm. Messages are sent in the order of the
 * calls; those beyond the bounds wait in memory, up to max_waiting bytes (then the future fails
 * with TUG_ELIMIT). The future has no value. */
TUG_EXPORT tug_future *tug_amqp_publish_start(tug_amqp *mq, const char *exchange,
                                              const char *routing_key, const tug_amqp_message *m);

/* --- consuming ---------------------------------------------------------------------------------- */

typedef struct tug_amqp_consume_options {
    size_t size;
    unsigned prefetch; /* deliveries out and not settled, 1 to 65535; 100 */
    /* The broker forgets a message as it sends it: lost if anything fails. There is no prefetch
     * then: with 10,000 messages or 32 MiB untaken the connection is not read, other answers
     * included, until tasks have caught up. false */
    bool no_ack;
    bool exclusive;  /* no other consumer beside this one, else TUG_ESERVER; false */
    const char *tag; /* its name in the broker's tools, at most 255 bytes; NULL: made up */
} tug_amqp_consume_options;
#define TUG_AMQP_CONSUME_OPTIONS_INIT                                                              \
    {                                                                                              \
        sizeof(tug_amqp_consume_options), 100, false, false, NULL                                  \
    }

/* A consumer, on a channel of its own. TUG_ENOTFOUND: no such queue. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_consume(tug_amqp *mq, const char *queue,
                                             const tug_amqp_consume_options *o,
                                             tug_amqp_consumer **ret_consumer);
/* 1 and a delivery; 0 at the end: somebody asked the program to stop, or this consumer; < 0: the
 * broker ended it (TUG_ESERVER, the queue was deleted), the connection was lost (TUG_ECLOSED),
 * TUG_ECANCELED. Several tasks may wait: first come, first served. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_consumer_next(tug_amqp_consumer *c,
                                                   tug_amqp_delivery **ret_delivery) TUG_CHECK;
/* Asks it to end, as a request to stop does: the broker sends nothing more, what no task has
 * taken yet goes back to the queue, next gives 0. Deliveries in hand can still be settled. Never
 * suspends. */
TUG_EXPORT void tug_amqp_consumer_stop(tug_amqp_consumer *c);
/* Stops and releases it; tasks that wait in next get 0. Deliveries in hand stay valid and can be
 * settled. NULL is fine. */
TUG_EXPORT void tug_amqp_consumer_close(tug_amqp_consumer *c);
TUG_AUTO_FN(tug_amqp_consumer, tug_amqp_consumer_close)

/* Settles a delivery: done. Never suspends, no cancel reaches it; the acks of a turn are sent
 * together at its end. The reference stays yours. TUG_EMISUSE: already settled (or consumed with
 * no_ack); TUG_ECLOSED: too late, the connection is gone and the broker gives the message to
 * somebody else. */
TUG_EXPORT int tug_amqp_ack(tug_amqp_delivery *d);
/* Back to the queue, to be delivered again at once. Same results. */
TUG_EXPORT int tug_amqp_nack(tug_amqp_delivery *d);
/* Never again: dead-lettered if the queue says so, else dropped. Same results. */
TUG_EXPORT int tug_amqp_reject(tug_amqp_delivery *d);
TUG_EXPORT tug_amqp_delivery *tug_amqp_delivery_ref(tug_amqp_delivery *d);
/* The last one requeues what was not settled. NULL is fine. Returns NULL. */
TUG_EXPORT tug_amqp_delivery *tug_amqp_delivery_unref(tug_amqp_delivery *d);
TUG_AUTO_FN(tug_amqp_delivery, tug_amqp_delivery_unref)

/* All borrowed from the delivery. Texts end with 0; NULL: absent. */
/* A 0 stands behind the body, so that text may be read as a C string. */
TUG_EXPORT struct tug_bytes tug_amqp_delivery_body(const tug_amqp_delivery *d);
/* It was out before, with this consumer or another one. */
TUG_EXPORT bool tug_amqp_delivery_is_redelivered(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_exchange(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_routing_key(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_content_type(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_correlation_id(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_message_id(const tug_amqp_delivery *d);
TUG_EXPORT const char *tug_amqp_delivery_type(const tug_amqp_delivery *d);
/* The header of this name, checked for type and range: tug_amqp_delivery_header(d, "run",
 * TUG_OUT(&run)). Exactly one place. TUG_ENOTFOUND, TUG_ETYPE (also for tables and lists),
 * TUG_ERANGE, TUG_ENULL, TUG_ELIMIT: the sender nested tables deeper than 32 and none of the
 * headers is read. Borrowed text ends with 0. */
TUG_EXPORT int tug_amqp_delivery_header(const tug_amqp_delivery *d, const char *name, tug_out out);

/* --- a worker ----------------------------------------------------------------------------------- */

/* Retries with growing pauses and a dead-letter queue. Not there yet: anything but the default is
 * TUG_EINVAL. */
typedef struct tug_amqp_retry {
    tug_duration first;      /* 0 */
    double factor;           /* 1 */
    int attempts;            /* 0 */
    const char *dead_letter; /* NULL */
} tug_amqp_retry;

typedef struct tug_amqp_worker_options {
    size_t size;
    size_t tasks;             /* jobs at a time, 1 to 65535; 1 */
    unsigned prefetch;        /* deliveries out, 1 to 65535 and at least tasks; 100 */
    tug_duration job_timeout; /* each job's deadline, ns, > 0; TUG_FOREVER */
    tug_amqp_retry retry;
} tug_amqp_worker_options;
#define TUG_AMQP_WORKER_OPTIONS_INIT                                                               \
    {                                                                                              \
        sizeof(tug_amqp_worker_options), 1, 100, TUG_FOREVER,                                      \
        {                                                                                          \
            0, 1, 0, NULL                                                                          \
        }                                                                                          \
    }

typedef int (*tug_amqp_handler)(tug_amqp_delivery *d, void *arg);

/* Calls handler for each delivery of the queue, o->tasks at a time, each in a task. 0: acked;
 * TUG_EREJECT: rejected, never again; anything else, or a job cut off by a cancel or its
 * job_timeout: logged and back to the queue; the task rests for 100 ms, up to 1 s while they go
 * on failing. A handler may settle the delivery itself. Returns 0 after a request to stop, once
 * the jobs in hand have ended; else why it ended. */
TUG_SUSPENDS TUG_EXPORT int tug_amqp_work(tug_amqp *mq, const char *queue, tug_amqp_handler handler,
                                          void *arg, const tug_amqp_worker_options *o) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
