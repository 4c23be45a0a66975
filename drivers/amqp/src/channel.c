/* The table of a connection's channels and the way of a frame to its owner.
 *
 *   NONE --open--> OPENING --open-ok--> OPEN --close--> CLOSING --close-ok--> NONE
 *                     |                  |
 *                     +---- channel.close of the broker ----------------------> NONE
 *
 * A content is a method (deliver, return), then a header, then body frames until the size that the header
 * said; nothing else may come between on that channel. */
#include "channel.h"

#include <assert.h>
#include <stdio.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "handle.h"
#include "scan.h"
#include "table.h"

/* --- errors in the broker's words ---------------------------------------------------------------- */

void tug__amqp_reply_read(tug__amqp_reply *reply, unsigned code, amqp_bytes_t text)
{
    reply->code = code;
    tug__amqp_clean_text(reply->words, sizeof reply->words, text);
}

void tug__amqp_reply_error(tug_error *e, const tug__amqp_conn *c, int sent, const char *what,
                           const tug__amqp_reply *reply)
{
    char native[16];
    snprintf(native, sizeof native, "%u", reply->code);
    bool is_absent = reply->code == AMQP_NOT_FOUND || reply->code == AMQP_NO_ROUTE;
    tug_error_set(e, is_absent ? TUG_ENOTFOUND : TUG_ESERVER, TUG_ORIGIN_SERVER, sent, native,
                  "%s: %s: %u %s", c->mq->config->where, what, reply->code, reply->words);
}

static int channel_wrong(tug__amqp_conn *c, const char *what, unsigned channel)
{
    tug__amqp_conn_failf(c, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL, "%s (channel %u)", what, channel);
    return TUG__AMQP_STOP;
}

/* --- the table ---------------------------------------------------------------------------------- */

static tug__amqp_channel *channel_find(const tug__amqp_conn *c, uint16_t id)
{
    return id < c->n_channels ? c->channels[id] : NULL;
}

/* Room for at least one more number, while channel_max allows. */
static int channel_grow(tug__amqp_conn *c)
{
    size_t n = c->n_channels == 0 ? 8 : 2 * c->n_channels;
    if (n > (size_t)c->channel_max + 1) {
        n = (size_t)c->channel_max + 1;
    }
    if (n <= c->n_channels) {
        return tug_fail(TUG_ELIMIT, "%s: all %u channels are in use (channel_max)",
                        c->mq->config->where, c->channel_max);
    }
    tug__amqp_channel **channels = tug_realloc(c->channels, n * sizeof *channels);
    if (channels == NULL) {
        return tug_fail(TUG_ENOMEM, "%s: no memory for a channel", c->mq->config->where);
    }
    memset(channels + c->n_channels, 0, (n - c->n_channels) * sizeof *channels);
    c->channels = channels;
    c->n_channels = n;
    return 0;
}

static uint16_t channel_free_id(const tug__amqp_conn *c)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        size_t id = (c->next_channel + i) % c->n_channels;
        if (id != 0 && c->channels[id] == NULL) {
            return (uint16_t)id;
        }
    }
    return 0;
}

int tug__amqp_channel_open(tug__amqp_channel *ch)
{
    tug__amqp_conn *c = ch->conn;
    assert(ch->state == TUG__AMQP_CHANNEL_NONE && c->state == TUG__AMQP_OPEN &&
           "a channel is opened once, on an open connection");
    uint16_t id = channel_free_id(c);
    if (id == 0) {
        int rc = channel_grow(c);
        if (rc < 0) {
            return rc;
        }
        id = channel_free_id(c);
    }
    amqp_channel_open_t m = {.out_of_band = amqp_empty_bytes};
    ch->id = id;
    ch->state = TUG__AMQP_CHANNEL_OPENING;
    ch->content = TUG__AMQP_CONTENT_NONE;
    c->channels[id] = ch;
    c->next_channel = (uint16_t)(id + 1);
    return tug__amqp_conn_send(c, id, AMQP_CHANNEL_OPEN_METHOD, &m, 1) ? 0
                                                                       : tug_fail_with(&c->mq->end);
}

void tug__amqp_channel_close(tug__amqp_channel *ch)
{
    if (ch->state != TUG__AMQP_CHANNEL_OPENING && ch->state != TUG__AMQP_CHANNEL_OPEN) {
        return;
    }
    amqp_channel_close_t m = {.reply_code = AMQP_REPLY_SUCCESS,
                              .reply_text = tug__amqp_text("done")};
    if (tug__amqp_channel_send(ch, AMQP_CHANNEL_CLOSE_METHOD, &m, 16)) {
        ch->state = TUG__AMQP_CHANNEL_CLOSING;
    }
}

void tug__amqp_channel_forget(tug__amqp_channel *ch)
{
    if (ch->id != 0 && channel_find(ch->conn, ch->id) == ch) {
        ch->conn->channels[ch->id] = NULL;
    }
    ch->id = 0;
    ch->state = TUG__AMQP_CHANNEL_NONE;
    ch->content = TUG__AMQP_CONTENT_NONE;
}

bool tug__amqp_channel_send(tug__amqp_channel *ch, amqp_method_number_t method,
                            const void *arguments, size_t room)
{
    return tug__amqp_conn_send(ch->conn, ch->id, method, arguments, room);
}

/* --- methods ------------------------------------------------------------------------------------ */

/* What a broker may send, and the offset of a table in it (0: none). The codec decodes more:
 * methods of clients, with nested tables that nobody has looked at. */
static bool channel_is_servers(amqp_method_number_t method, size_t *ret_table_at)
{
    *ret_table_at = 0;
    switch (method) {
    case AMQP_CONNECTION_START_METHOD:
        *ret_table_at = 2;
        return true;
    case AMQP_CONNECTION_SECURE_METHOD:
    case AMQP_CONNECTION_TUNE_METHOD:
    case AMQP_CONNECTION_OPEN_OK_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
    case AMQP_CONNECTION_BLOCKED_METHOD:
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
    case AMQP_CHANNEL_OPEN_OK_METHOD:
    case AMQP_CHANNEL_FLOW_METHOD:
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
    case AMQP_EXCHANGE_DECLARE_OK_METHOD:
    case AMQP_EXCHANGE_DELETE_OK_METHOD:
    case AMQP_QUEUE_DECLARE_OK_METHOD:
    case AMQP_QUEUE_BIND_OK_METHOD:
    case AMQP_QUEUE_PURGE_OK_METHOD:
    case AMQP_QUEUE_DELETE_OK_METHOD:
    case AMQP_BASIC_QOS_OK_METHOD:
    case AMQP_BASIC_CONSUME_OK_METHOD:
    case AMQP_BASIC_CANCEL_METHOD:
    case AMQP_BASIC_CANCEL_OK_METHOD:
    case AMQP_BASIC_RETURN_METHOD:
    case AMQP_BASIC_DELIVER_METHOD:
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_CONFIRM_SELECT_OK_METHOD:
        return true;
    default:
        return false;
    }
}

static void channel_closed_by_broker(tug__amqp_channel *ch, const amqp_channel_close_t *m)
{
    static const amqp_channel_close_ok_t ok;
    tug__amqp_reply reply;
    tug__amqp_reply_read(&reply, m->reply_code, m->reply_text);
    if (!tug__amqp_channel_send(ch, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok, 0)) {
        return;
    }
    /* Both sides closed at the same moment: our close is answered still. */
    if (ch->state != TUG__AMQP_CHANNEL_CLOSING) {
        tug__amqp_channel_forget(ch);
        ch->ops->closed(ch, &reply);
    }
}

static int channel_flow(tug__amqp_channel *ch, const amqp_channel_flow_t *m)
{
    amqp_channel_flow_ok_t ok = {.active = m->active};
    if (!tug__amqp_channel_send(ch, AMQP_CHANNEL_FLOW_OK_METHOD, &ok, 1)) {
        return TUG__AMQP_STOP;
    }
    return ch->ops->method(ch, AMQP_CHANNEL_FLOW_METHOD, m);
}

static int channel_method(tug__amqp_channel *ch, amqp_method_number_t method, const void *decoded)
{
    tug__amqp_conn *c = ch->conn;
    if (ch->content != TUG__AMQP_CONTENT_NONE && ch->state != TUG__AMQP_CHANNEL_CLOSING) {
        return channel_wrong(c, "a method in the middle of a content", ch->id);
    }
    switch (method) {
    case AMQP_CHANNEL_CLOSE_METHOD:
        channel_closed_by_broker(ch, decoded);
        return c->state == TUG__AMQP_CLOSED ? TUG__AMQP_STOP : 0;
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
        if (ch->state != TUG__AMQP_CHANNEL_CLOSING) {
            return channel_wrong(c, "channel.close-ok without a close", ch->id);
        }
        tug__amqp_channel_forget(ch);
        ch->ops->closed(ch, NULL);
        return 0;
    default:
        break;
    }
    if (ch->state == TUG__AMQP_CHANNEL_CLOSING) {
        return 0;
    }
    if (method == AMQP_CHANNEL_OPEN_OK_METHOD) {
        if (ch->state != TUG__AMQP_CHANNEL_OPENING) {
            return channel_wrong(c, "channel.open-ok without an open", ch->id);
        }
        ch->state = TUG__AMQP_CHANNEL_OPEN;
        ch->ops->opened(ch);
        return c->state == TUG__AMQP_CLOSED ? TUG__AMQP_STOP : 0;
    }
    return method == AMQP_CHANNEL_FLOW_METHOD ? channel_flow(ch, decoded)
                                              : ch->ops->method(ch, method, decoded);
}

static int channel_decode(tug__amqp_conn *c, uint16_t id, const uint8_t *payload, size_t size)
{
    amqp_method_number_t method = tug__amqp_get32(payload);
    size_t table_at;
    void *decoded = NULL;
    if (!channel_is_servers(method, &table_at)) {
        tug_log(TUG_LOG_WARN, "amqp",
                "%s: skipped a method that is not known here class=%u method=%u",
                c->mq->config->place, (unsigned)(method >> 16), (unsigned)(method & 0xFFFF));
        return 0;
    }
    payload += 4;
    size -= 4;
    if (table_at > 0 &&
        (size < table_at ||
         tug__amqp_scan_table(payload + table_at, size - table_at, NULL, NULL) < 0)) {
        return channel_wrong(c, "a table that is malformed or nested too deeply", id);
    }
    recycle_amqp_pool(&c->pool);
    int status = amqp_decode_method(method, &c->pool, tug__amqp_bytes(payload, size), &decoded);
    if (status < 0) {
        return channel_wrong(c,
                             status == AMQP_STATUS_NO_MEMORY ? "no memory to decode a method"
                                                             : "a method that cannot be decoded",
                             id);
    }
    bool is_connections = method >> 16 == 10;
    if (is_connections != (id == 0)) {
        return channel_wrong(c, "a method on a channel where it has no meaning", id);
    }
    if (is_connections) {
        return tug__amqp_login_method(c, method, decoded);
    }
    tug__amqp_channel *ch = channel_find(c, id);
    return ch != NULL ? channel_method(ch, method, decoded)
                      : channel_wrong(c, "a method on a channel that is not open", id);
}

/* --- contents ----------------------------------------------------------------------------------- */

static int channel_complete(tug__amqp_channel *ch)
{
    ch->content = TUG__AMQP_CONTENT_NONE;
    return ch->ops->complete(ch);
}

static int channel_header(tug__amqp_channel *ch, const uint8_t *payload, size_t size)
{
    tug__amqp_conn *c = ch->conn;
    if (ch->content != TUG__AMQP_CONTENT_HEADER ||
        tug__amqp_get16(payload) != TUG__AMQP_CLASS_BASIC) {
        return channel_wrong(c, "a content header that nothing announced", ch->id);
    }
    ch->body_left = tug__amqp_get64(payload + 4);
    if (ch->body_left > c->mq->config->o.max_body) {
        tug__amqp_conn_failf(c, TUG_ELIMIT, TUG_ORIGIN_CODEC, NULL,
                             "a body of %llu bytes, above max_body (%zu)",
                             (unsigned long long)ch->body_left, c->mq->config->o.max_body);
        return TUG__AMQP_STOP;
    }
    int rc = ch->ops->header(ch, payload + 12, size - 12, ch->body_left);
    if (rc != 0) {
        return rc;
    }
    ch->content = TUG__AMQP_CONTENT_BODY;
    return ch->body_left == 0 ? channel_complete(ch) : 0;
}

int tug__amqp_on_frame(void *arg, uint8_t type, uint16_t channel, const uint8_t *payload,
                       size_t size)
{
    tug__amqp_conn *c = arg;
    if (type == AMQP_FRAME_HEARTBEAT) {
        return 0; /* the transport has noted that bytes came */
    }
    if (c->state == TUG__AMQP_CLOSING) {
        amqp_method_number_t method = type == AMQP_FRAME_METHOD && channel == 0
                                          ? tug__amqp_get32(payload)
                                          : 0;
        return method == AMQP_CONNECTION_CLOSE_OK_METHOD || method == AMQP_CONNECTION_CLOSE_METHOD
                   ? channel_decode(c, channel, payload, size)
                   : 0;
    }
    if (type == AMQP_FRAME_METHOD) {
        return channel_decode(c, channel, payload, size);
    }
    tug__amqp_channel *ch = channel_find(c, channel);
    if (ch == NULL) {
        return channel_wrong(c, "a content on a channel that is not open", channel);
    }
    return ch->state == TUG__AMQP_CHANNEL_CLOSING ? 0 : channel_header(ch, payload, size);
}

int tug__amqp_on_body(void *arg, uint16_t channel, const uint8_t *part, size_t size, bool last)
{
    tug__amqp_conn *c = arg;
    tug__amqp_channel *ch = channel_find(c, channel);
    if (c->state == TUG__AMQP_CLOSING || (ch != NULL && ch->state == TUG__AMQP_CHANNEL_CLOSING)) {
        return 0;
    }
    if (ch == NULL || ch->content != TUG__AMQP_CONTENT_BODY) {
        return channel_wrong(c, "a body that nothing announced", channel);
    }
    if (size > ch->body_left) {
        return channel_wrong(c, "a body larger than its header said", channel);
    }
    ch->body_left -= size;
    int rc = size > 0 ? ch->ops->body(ch, part, size) : 0;
    return rc == 0 && last && ch->body_left == 0 ? channel_complete(ch) : rc;
}
