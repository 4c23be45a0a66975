/* One connection, from the first byte to the goodbye.
 *
 *   IDLE --> DIALING --> GREETING --> LOGIN --> VHOST --> OPEN --> CLOSING --+
 *     |         |            |          |         |        |                 |
 *     +---------+------------+----------+---------+--------+-----------------+--> CLOSED
 *
 * Its service task dials, then waits for CLOSED and releases what the connection held: not earlier, since a
 * failure is often found deep inside the parser, which still stands on that memory. */
#include "conn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "channel.h"
#include "handle.h"
#include "table.h"

/* How long the broker may take to answer our close. In an alarm it does not even read it. */
#define CONN_GOODBYE TUG_SECONDS(2)
/* Pages of the pool: one decoded method or a dozen headers. */
#define CONN_POOL_PAGE 4096

static const char *const conn_state_names[] = {"idle",  "dialing", "greeting", "login",
                                               "vhost", "open",    "closing",  "closed"};

const char *tug__amqp_conn_state_name(tug__amqp_conn_state state)
{
    return conn_state_names[state];
}

void tug__amqp_conn_set_state(tug__amqp_conn *c, tug__amqp_conn_state state)
{
    bool is_edge = state == TUG__AMQP_CLOSED ||
                   (c->state < TUG__AMQP_OPEN && state == (tug__amqp_conn_state)(c->state + 1)) ||
                   (c->state == TUG__AMQP_OPEN && state == TUG__AMQP_CLOSING);
    assert(is_edge && c->state != TUG__AMQP_CLOSED &&
           "a connection went from one state to another that does not follow");
    tug_log(TUG_LOG_TRACE, "amqp", "%s: %s %s -> %s", c->mq->config->place, tug__amqp_conn_role(c),
            conn_state_names[c->state], conn_state_names[state]);
    c->state = state;
}

void tug__amqp_conn_init(tug__amqp_conn *c, struct tug_amqp *mq)
{
    c->mq = mq;
    c->fd = -1;
    c->next_channel = 1;
}

/* --- ends --------------------------------------------------------------------------------------- */

void tug__amqp_conn_end(tug__amqp_conn *c)
{
    tug__amqp_conn_set_state(c, TUG__AMQP_CLOSED);
    tug_timer_stop(&c->timer);
    tug_transport_close(c->transport);
    c->transport = NULL;
    if (c->dial_scope != NULL) {
        tug_scope_cancel(c->dial_scope);
    }
    tug_unpark_all(&c->ended, 0, NULL);
}

void tug__amqp_conn_fail(tug__amqp_conn *c, const tug_error *why)
{
    if (c->state == TUG__AMQP_CLOSED) {
        return;
    }
    bool was_leaving = c->state == TUG__AMQP_CLOSING;
    tug_error cause = *why; /* it may stand in what goes now */
    tug__amqp_conn_end(c);
    if (!was_leaving) {
        tug__amqp_conn_lost(c, &cause);
    }
}

void tug__amqp_conn_failf(tug__amqp_conn *c, int code, int origin, const char *native,
                          const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tug_error e;
    tug_error_set(&e, code, origin, TUG_IN_FLIGHT, native, "%s: %s", c->mq->config->where, text);
    /* Another connection may well do better. */
    e.transient = code == TUG_ECLOSED || code == TUG_ECONNECT;
    tug__amqp_conn_fail(c, &e);
}

void tug__amqp_conn_close(tug__amqp_conn *c)
{
    if (c->state == TUG__AMQP_CLOSING || c->state == TUG__AMQP_CLOSED) {
        return;
    }
    if (c->state != TUG__AMQP_OPEN) {
        tug__amqp_conn_end(c);
        return;
    }
    amqp_connection_close_t m = {.reply_code = AMQP_REPLY_SUCCESS,
                                 .reply_text = tug__amqp_text("goodbye")};
    if (tug__amqp_conn_send(c, 0, AMQP_CONNECTION_CLOSE_METHOD, &m, 32)) {
        tug__amqp_conn_set_state(c, TUG__AMQP_CLOSING);
        tug__amqp_conn_arm(c);
    }
}

/* What only the service task may free. */
static void conn_release(tug__amqp_conn *c)
{
    tug__amqp_frames_free(&c->frames);
    empty_amqp_pool(&c->pool);
    tug_free(c->channels);
    c->channels = NULL;
    c->n_channels = 0;
}

/* --- output ------------------------------------------------------------------------------------- */

/* The transport takes nothing. If that is because a send has failed, its on_end comes soon,
 * perhaps after a last word of the broker that says why: until then output goes nowhere. */
static bool conn_no_room(tug__amqp_conn *c, size_t size)
{
    int code = tug_last_error()->code;
    if (code != TUG_ENOMEM && code != TUG_ELIMIT) {
        return true;
    }
    tug__amqp_conn_failf(c, TUG_ENOMEM, TUG_ORIGIN_TUG, NULL, "no memory for %zu bytes of output",
                         size);
    return false;
}

bool tug__amqp_conn_send(tug__amqp_conn *c, uint16_t channel, amqp_method_number_t method,
                         const void *arguments, size_t room)
{
    if (c->transport == NULL) {
        return false;
    }
    size_t size = TUG__AMQP_FRAME_EXTRA + 4 + room;
    uint8_t *to = tug_transport_reserve(c->transport, size);
    if (to == NULL) {
        return conn_no_room(c, size);
    }
    int n = tug__amqp_encode_frame(to, size, channel, method, arguments);
    assert(n > 0 && "the room for a method was reckoned too small");
    tug_transport_commit(c->transport, (size_t)n);
    c->last_sent = tug_turn_time();
    return true;
}

bool tug__amqp_conn_send_frame(tug__amqp_conn *c, uint16_t channel, uint8_t *frame, size_t size)
{
    tug__amqp_put16(frame + 1, channel);
    if (c->transport == NULL) {
        return false;
    }
    if (tug_transport_write(c->transport, tug_bytes(frame, size)) < 0) {
        return conn_no_room(c, size);
    }
    c->last_sent = tug_turn_time();
    return true;
}

void tug__amqp_conn_pause(tug__amqp_conn *c, bool paused)
{
    if (c->transport == NULL) {
        return;
    }
    c->pauses += paused ? 1U : -1U;
    if (c->pauses == (paused ? 1U : 0U)) {
        /* Nothing was heard because nobody listened: the silence counts from here. */
        c->heard = tug_turn_time();
        tug_transport_pause(c->transport, paused);
    }
}

/* --- time --------------------------------------------------------------------------------------- */

static void conn_heartbeat(tug__amqp_conn *c)
{
    static const uint8_t frame[TUG__AMQP_FRAME_EXTRA] = {AMQP_FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0,
                                                         AMQP_FRAME_END};
    tug_time now = tug_now(), heard = tug_transport_last_received(c->transport);
    heard = heard > c->heard ? heard : c->heard;
    if (c->pauses == 0 && now - heard >= 2 * c->heartbeat) {
        tug__amqp_conn_failf(
            c, TUG_ECLOSED, TUG_ORIGIN_TUG, NULL,
            "the broker counts as dead: not a byte came for %lld s (heartbeat %lld s)",
            (long long)((now - heard) / TUG_SECONDS(1)),
            (long long)(c->heartbeat / TUG_SECONDS(1)));
        return;
    }
    if (now - c->last_sent >= c->heartbeat / 2) {
        if (tug_transport_write(c->transport, tug_bytes(frame, sizeof frame)) < 0 &&
            !conn_no_room(c, sizeof frame)) {
            return;
        }
        c->last_sent = now;
    }
    tug__amqp_conn_arm(c);
}

static void conn_on_timer(tug_timer *t, void *arg)
{
    tug__amqp_conn *c = arg;
    (void)t;
    if (c->state == TUG__AMQP_OPEN) {
        conn_heartbeat(c);
    } else if (c->state == TUG__AMQP_CLOSING) {
        tug__amqp_conn_end(c);
    } else {
        tug__amqp_conn_failf(
            c, TUG_ECONNECT, TUG_ORIGIN_TUG, NULL,
            "connected, but no login within %.3g s: the peer does not answer (is it an AMQP port?)",
            (double)c->mq->config->o.connect_timeout / 1e9);
    }
}

/* The next time at which something is due, by state. */
void tug__amqp_conn_arm(tug__amqp_conn *c)
{
    tug_time at = c->deadline;
    if (c->state == TUG__AMQP_OPEN) {
        if (c->heartbeat == 0) {
            tug_timer_stop(&c->timer);
            return;
        }
        tug_time heard = tug_transport_last_received(c->transport);
        heard = heard > c->heard ? heard : c->heard;
        tug_time send_at = c->last_sent + c->heartbeat / 2, dead_at = heard + 2 * c->heartbeat;
        at = c->pauses > 0 || send_at < dead_at ? send_at : dead_at;
    } else if (c->state == TUG__AMQP_CLOSING) {
        at = tug_time_after(tug_now(), CONN_GOODBYE);
    }
    tug_timer_start(&c->timer, at, conn_on_timer, c);
}

/* --- input -------------------------------------------------------------------------------------- */

static void conn_on_data(void *arg, const uint8_t *data, size_t size)
{
    tug__amqp_conn *c = arg;
    tug_error why;
    if (tug__amqp_frames_feed(&c->frames, data, size, &why) >= 0) {
        return;
    }
    if (c->state == TUG__AMQP_GREETING) {
        /* A wrong port, or a broker of another version, which answers "AMQP" and what it speaks. */
        tug__amqp_conn_failf(c, TUG_ECONNECT, TUG_ORIGIN_SERVER, NULL,
                             "the peer's first words are not AMQP 0-9-1: %s", why.text);
        return;
    }
    tug__amqp_conn_failf(c, why.code, TUG_ORIGIN_CODEC, NULL, "%s", why.text);
}

static void conn_on_room(void *arg)
{
    tug__amqp_conn_room(arg);
}

/* The transport's sentence names the peer, as ours does. */
static const char *conn_reason(const tug_error *why)
{
    const char *system = why->native[0] != 0 ? strerrordesc_np((int)strtol(why->native, NULL, 10))
                                             : NULL;
    return system != NULL ? system : "closed by the peer";
}

static void conn_on_end(void *arg, const tug_error *why)
{
    tug__amqp_conn *c = arg;
    switch (c->state) {
    case TUG__AMQP_GREETING:
        tug__amqp_conn_failf(c, TUG_ECONNECT, why->origin, why->native,
                             "the peer hung up before its greeting (is it an AMQP port?): %s",
                             conn_reason(why));
        break;
    case TUG__AMQP_LOGIN:
        tug__amqp_conn_failf(
            c, TUG_EAUTH, why->origin, why->native,
            "the broker hung up during the login of user \"%.60s\" (wrong password?): %s",
            c->mq->config->user, conn_reason(why));
        break;
    case TUG__AMQP_CLOSING:
        tug__amqp_conn_end(c);
        break;
    default:
        tug__amqp_conn_failf(c, c->state == TUG__AMQP_VHOST ? TUG_ECONNECT : TUG_ECLOSED,
                             why->origin, why->native, "the connection was lost: %s",
                             conn_reason(why));
        break;
    }
}

/* --- the service task --------------------------------------------------------------------------- */

static int conn_begin(tug__amqp_conn *c, tug_transport *t)
{
    static const tug_transport_ops ops = {.size = sizeof ops,
                                          .on_data = conn_on_data,
                                          .on_room = conn_on_room,
                                          .on_end = conn_on_end};
    static const tug__amqp_frame_ops frame_ops = {tug__amqp_on_frame, tug__amqp_on_body};
    const tug_amqp_options *o = &c->mq->config->o;
    tug__amqp_frames_init(&c->frames, &frame_ops, c, o->frame_max, o->channel_max);
    init_amqp_pool(&c->pool, CONN_POOL_PAGE);
    c->transport = t;
    /* A single message may be larger than all that is let wait beside it. */
    tug_transport_set_limits(t, o->max_unsent, o->max_unsent / 2, SIZE_MAX / 2);
    tug__amqp_conn_set_state(c, TUG__AMQP_GREETING);
    int rc = tug_transport_start(t, &ops, c);
    if (rc == 0) {
        tug__amqp_login_begin(c);
    }
    return rc;
}

static int conn_dial(tug__amqp_conn *c, tug_transport **ret_transport)
{
    const tug__amqp_config *config = c->mq->config;
    if (c->fd >= 0) {
        int rc = tug_transport_from_fd(c->fd, ret_transport);
        if (rc < 0) {
            close(c->fd);
        }
        c->fd = -1;
        return rc;
    }
    tug_scope scope;
    tug_scope_enter_at(&scope, c->deadline);
    c->dial_scope = &scope;
    int rc = tug_transport_dial(config->host, config->port, ret_transport);
    c->dial_scope = NULL;
    rc = tug_scope_leave(&scope, rc);
    if (rc == TUG_ETIMEDOUT) {
        rc = tug_fail(TUG_ECONNECT, "%s: no connection within %.3g s", config->where,
                      (double)config->o.connect_timeout / 1e9);
    }
    return rc;
}

/* The transport's sentence names host, port and the system's reason. */
static void conn_dial_failed(tug__amqp_conn *c, int rc, const tug_error *why)
{
    tug_error e;
    tug_error_set(&e, rc == TUG_ECANCELED ? TUG_ECLOSED : rc, why->origin, TUG_NOT_SENT,
                  why->native, "%s%s",
                  strncmp(why->text, "amqp ", 5) == 0 ? "" : "amqp: ", why->text);
    e.transient = rc == TUG_ECONNECT;
    tug__amqp_conn_fail(c, &e);
}

static int conn_serve(void *arg)
{
    tug__amqp_conn *c = arg;
    tug_transport *t = NULL;
    c->deadline = tug_time_after(tug_now(), c->mq->config->o.connect_timeout);
    int rc = c->state == TUG__AMQP_DIALING ? conn_dial(c, &t) : 0;
    if (c->state == TUG__AMQP_CLOSED) {
        tug_transport_close(t); /* closed while it dialed */
    } else if (rc < 0) {
        tug_error why = *tug_last_error();
        conn_dial_failed(c, rc, &why);
    } else {
        rc = conn_begin(c, t);
        if (rc < 0) {
            tug__amqp_conn_failf(c, rc, TUG_ORIGIN_OS, NULL, "%s", tug_last_error()->text);
        }
    }
    while (c->state != TUG__AMQP_CLOSED) {
        TUG_IGNORE(tug_park_uncancellable(&c->ended, NULL, "amqp.connection"));
    }
    conn_release(c);
    tug__amqp_unref(c->mq);
    return 0;
}

int tug__amqp_conn_start(tug__amqp_conn *c)
{
    assert(c->state == TUG__AMQP_IDLE && "a connection is started once");
    tug__amqp_ref(c->mq);
    tug__amqp_conn_set_state(c, TUG__AMQP_DIALING);
    int rc = tug_service_spawn("amqp connection", conn_serve, c);
    if (rc < 0) {
        tug__amqp_conn_set_state(c, TUG__AMQP_CLOSED);
        tug__amqp_unref(c->mq);
    }
    return rc;
}
