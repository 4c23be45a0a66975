/* The life of a handle:
 *
 *      open                dialled                 logged in
 *       |                     |                        |
 *       v                     v                        v
 *   CONNECTING -----------> LOGIN -----------------> READY
 *       |   \                 |   \                    |   \
 *       |    `----------------+----`----> FAILED <-----'    \
 *       |                     |             |                |
 *       `---------------------+-------------+-> CLOSED <-----'
 *
 * A lost connection is FAILED: what waits learns why and how far it got, and so does every later call.
 * Callbacks of the transport only decide; futures are settled and tasks woken after the state is
 * consistent, and user code runs later, from the run queue. */
#include "handle.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

static const char *const state_names[] = {
    [REDIS_CONNECTING] = "connecting", [REDIS_LOGIN] = "login",   [REDIS_READY] = "ready",
    [REDIS_FAILED] = "failed",         [REDIS_CLOSED] = "closed",
};

const char *tug__redis_state_name(redis_state state)
{
    return state_names[state];
}

void tug__redis_set_state(tug_redis *r, redis_state to)
{
    static const uint8_t edges[REDIS_STATE_MAX] = {
        [REDIS_CONNECTING] = 1U << REDIS_LOGIN | 1U << REDIS_READY | 1U << REDIS_FAILED |
                             1U << REDIS_CLOSED,
        [REDIS_LOGIN] = 1U << REDIS_READY | 1U << REDIS_FAILED | 1U << REDIS_CLOSED,
        [REDIS_READY] = 1U << REDIS_FAILED | 1U << REDIS_CLOSED,
        [REDIS_FAILED] = 1U << REDIS_CLOSED,
    };
    assert((edges[r->state] & 1U << to) != 0 && "a handle goes along the edges of the diagram");
    tug_log(TUG_LOG_DEBUG, "redis", "%s: %s -> %s", r->where, state_names[r->state],
            state_names[to]);
    r->state = to;
}

/* Its address is another one in each thread: cheaper than to ask which thread this is. */
static __thread char this_thread;

bool tug__redis_is_here(const tug_redis *r)
{
    return r->thread == &this_thread;
}

static void handle_free(tug_redis *r)
{
    assert(r->transport == NULL && r->queue.head == r->queue.tail &&
           "nothing is left when the memory goes");
    tug_inspect_remove(&r->source);
    tug__redis_reader_close(&r->reader);
    tug__redis_pool_unref(r->pool);
    tug__redis_config_free(&r->config);
    tug_free(r->queue.ring);
    tug_free(r->early);
    tug_free(r);
}

void tug__redis_unref(tug_redis *r)
{
    assert(r->refs > 0 && "a handle is released once by each who holds it");
    if (--r->refs == 0) {
        handle_free(r);
    }
}

/* The one way in which a connection ends. */
static void handle_end(tug_redis *r, redis_state to, const tug_error *why, const tug_error *head)
{
    tug_transport *t = r->transport;
    tug_error copy = *why; /* why may lie in what goes now */
    uint64_t sent = t != NULL && r->state == REDIS_READY ? tug_transport_sent(t) : 0;
    r->transport = NULL;
    r->why = copy;
    tug__redis_set_state(r, to);
    tug_transport_close(t);
    tug__redis_fail_commands(r, &copy, head, sent);
    tug_unpark_all(&r->ready, copy.code, &copy);
    tug_unpark_all(&r->room, copy.code, &copy);
    tug_unpark_all(&r->login, copy.code, &copy);
}

void tug__redis_fail(tug_redis *r, const tug_error *why, const tug_error *head)
{
    tug_log(TUG_LOG_WARN, "redis", "%s", why->text);
    handle_end(r, REDIS_FAILED, why, head);
}

/* --- room --------------------------------------------------------------------------------------- */

static size_t handle_unsent(tug_redis *r)
{
    if (r->state != REDIS_READY) {
        return r->early_size;
    }
    r->sent_seen = tug_transport_sent(r->transport);
    return (size_t)(r->written - r->sent_seen);
}

bool tug__redis_has_room(tug_redis *r, size_t size)
{
    const tug_redis_options *o = &r->config.options;
    if (r->queue.tail - r->queue.head + r->promised >= o->max_queued) {
        return false;
    }
    size_t most = o->max_unsent - r->promised_bytes;
    /* What was unsent when last asked is no less than what is unsent now: asking is rarely needed. */
    return (size <= most && r->written - r->sent_seen <= most - size && r->state == REDIS_READY) ||
           (size <= most && handle_unsent(r) <= most - size);
}

void tug__redis_wake_room(tug_redis *r)
{
    size_t *need;
    while ((need = tug_waiters_slot(&r->room)) != NULL && tug__redis_has_room(r, *need)) {
        r->promised++;
        r->promised_bytes += *need;
        tug_unpark_first(&r->room, 0, NULL);
    }
}

/* --- the transport's callbacks ------------------------------------------------------------------ */

/* The reply that cannot be read was the oldest command's; the others lose their connection. */
static void handle_unreadable(tug_redis *r)
{
    tug_error head, why;
    const tug_error *cause = &r->reader.why;
    tug_error_set(&head, cause->code, cause->origin, TUG_ANSWERED, NULL, "redis: %s sent %s",
                  r->where, cause->text);
    int code = r->state == REDIS_READY ? TUG_ECLOSED : cause->code;
    tug_error_set(&why, code, cause->origin, TUG_NOT_SENT, NULL,
                  "redis: connection to %s given up: it sent %s", r->where, cause->text);
    tug__redis_fail(r, &why, r->state == REDIS_READY ? &head : NULL);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
    tug_redis *r = arg;
    redis_root *root;
    int rc;
    tug__redis_reader_input(&r->reader, data, size);
    while ((rc = tug__redis_reader_next(&r->reader, &root)) > 0) {
        if (r->state == REDIS_READY) {
            tug__redis_deliver(r, root);
        } else {
            tug__redis_login_reply(r, &root->node);
            tug__redis_root_free(root);
        }
        if (r->transport == NULL) {
            return;
        }
    }
    if (rc < 0) {
        handle_unreadable(r);
    } else if (tug_waiters_any(&r->room)) {
        tug__redis_wake_room(r);
    }
}

static void on_room(void *arg)
{
    tug__redis_wake_room(arg);
}

static void on_end(void *arg, const tug_error *cause)
{
    tug_redis *r = arg;
    tug_error why;
    bool was_login = r->state != REDIS_READY;
    tug_error_set(&why, was_login ? TUG_ECONNECT : TUG_ECLOSED, cause->origin, TUG_NOT_SENT,
                  cause->native, was_login ? "redis: login: %s" : "redis: %s", cause->text);
    why.transient = was_login;
    tug__redis_fail(r, &why, NULL);
}

static const tug_transport_ops handle_ops = {
    .size = sizeof(tug_transport_ops), .on_data = on_data, .on_room = on_room, .on_end = on_end};

int tug__redis_start(tug_redis *r, tug_transport *t)
{
    size_t most = r->config.options.max_unsent;
    tug_transport_set_limits(t, most / 2, most / 4, most);
    int rc = tug_transport_start(t, &handle_ops, r);
    if (rc == 0) {
        r->transport = t;
        snprintf(r->where, sizeof r->where, "%s", tug_transport_peer(t));
    }
    return rc;
}

/* --- open, ready, close ------------------------------------------------------------------------- */

static void handle_close(tug_redis *r)
{
    tug_error why;
    tug_on_end_forget(&r->end);
    if (r->state == REDIS_FAILED) {
        tug__redis_set_state(r, REDIS_CLOSED);
    } else {
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: the handle of %s was closed", r->where);
        handle_end(r, REDIS_CLOSED, &why, NULL);
    }
    if (r->connecting != NULL) {
        tug_scope_cancel(r->connecting);
    }
    tug__redis_unref(r);
}

/* All user tasks have ended and nobody closed it. */
static void handle_forgotten(void *arg)
{
    handle_close(arg);
}

static int handle_new(const redis_config *config, tug_redis **ret_redis)
{
    tug_redis *r = tug_calloc(1, sizeof *r);
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for a Redis handle");
    }
    const tug_redis_options *o = &config->options;
    const redis_limits limits = {o->max_bulk, o->max_elements, o->max_reply, o->max_depth};
    r->refs = 1;
    r->thread = &this_thread;
    int rc = 0;
    r->pool = tug__redis_pool_new();
    if (r->pool == NULL) {
        rc = tug_fail(TUG_ENOMEM, "no memory for a Redis handle");
    }
    if (rc == 0) {
        rc = tug__redis_reader_open(&r->reader, r->pool, &limits);
    }
    if (rc < 0) {
        handle_free(r);
        return rc;
    }
    r->config = *config;
    if (config->host != NULL && config->host[0] == '/') {
        snprintf(r->where, sizeof r->where, "%s", config->host);
    } else if (config->host != NULL) {
        snprintf(r->where, sizeof r->where, strchr(config->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
                 config->host, config->port);
    }
    *ret_redis = r;
    return 0;
}

/* The handle owns config and t from here on, or they go. */
static int handle_open(redis_config *config, tug_transport *t, tug_redis **ret_redis)
{
    tug_redis *r = NULL;
    int rc = handle_new(config, &r);
    if (rc < 0) {
        tug__redis_config_free(config);
        tug_transport_close(t);
        return rc;
    }
    if (t != NULL) {
        rc = tug__redis_start(r, t);
    }
    if (rc == 0 && config->url != NULL) {
        r->refs++;
        rc = tug_service_spawn("redis.connect", tug__redis_connect_task, r);
        r->refs -= rc < 0;
    } else if (rc == 0) {
        tug__redis_set_state(r, REDIS_READY);
    }
    if (rc < 0) {
        r->transport = NULL;
        tug_transport_close(t);
        tug__redis_unref(r);
        return rc;
    }
    tug_on_end(&r->end, handle_forgotten, r);
    tug_inspect_add(&r->source, "redis", tug__redis_show, r);
    *ret_redis = r;
    return 0;
}

int tug_redis_open(const char *url, const tug_redis_options *o, tug_redis **ret_redis)
{
    redis_config config;
    if (!tug_has_loop("tug_redis_open")) {
        return TUG_EMISUSE;
    }
    int rc = tug__redis_config_read(url, o, &config);
    if (rc < 0) {
        return rc;
    }
    return handle_open(&config, NULL, ret_redis);
}

int tug__redis_attach(tug_transport *t, const char *url, const tug_redis_options *o,
                      tug_redis **ret_redis)
{
    redis_config config = {0};
    int rc = url != NULL ? tug__redis_config_read(url, o, &config)
                         : tug__redis_options_read(o, &config.options);
    if (rc < 0) {
        tug_transport_close(t);
        return rc;
    }
    return handle_open(&config, t, ret_redis);
}

int tug_redis_ready(tug_redis *r)
{
    if (!tug__redis_is_here(r)) {
        return tug_fail(TUG_EMISUSE,
                        "tug_redis_ready: this handle belongs to the loop of another thread");
    }
    switch (r->state) {
    case REDIS_READY:
        return tug_checkpoint();
    case REDIS_FAILED:
        return tug_fail_with(&r->why);
    default:
        return tug_park(&r->ready, NULL, "redis.ready");
    }
}

void tug_redis_close(tug_redis *r)
{
    if (r != NULL) {
        assert(tug__redis_is_here(r) && "a handle is closed on the thread of its loop");
        handle_close(r);
    }
}
