/* The handshake and what else comes on channel 0.
 *
 *   "AMQP0091" -> start / start-ok (user, password) -> tune / tune-ok -> open (virtual host) -> open-ok
 */
#include <stdio.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "channel.h"
#include "handle.h"
#include "table.h"

/* The standard's least frame_max: less cannot carry the handshake. */
#define LOGIN_FRAME_LEAST 4096

void tug__amqp_login_begin(tug__amqp_conn *c)
{
    static const uint8_t greeting[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    if (tug_transport_write(c->transport, tug_bytes(greeting, sizeof greeting)) < 0) {
        tug__amqp_conn_failf(c, TUG_ENOMEM, TUG_ORIGIN_TUG, NULL, "no memory for the greeting");
        return;
    }
    c->last_sent = c->heard = tug_turn_time();
    tug__amqp_conn_arm(c);
}

static bool login_has_word(amqp_bytes_t list, const char *word)
{
    const char *text = list.bytes;
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= list.len; i++) {
        bool begins = i == 0 || text[i - 1] == ' ';
        bool ends = i + n == list.len || text[i + n] == ' ';
        if (begins && ends && memcmp(text + i, word, n) == 0) {
            return true;
        }
    }
    return false;
}

/* With authentication_failure_close a wrong password is answered by a close with code 403;
 * without it RabbitMQ waits a few seconds and drops the connection without a word. */
static void login_properties(const tug__amqp_config *config, amqp_table_entry_t entries[4],
                             amqp_table_entry_t capabilities[5], amqp_table_t *ret_table)
{
    static const char *const can[] = {"publisher_confirms", "consumer_cancel_notify", "basic.nack",
                                      "connection.blocked", "authentication_failure_close"};
    const char *texts[][2] = {
        {"product", "tug"}, {"platform", "C"}, {"connection_name", config->name}};
    for (int i = 0; i < 5; i++) {
        capabilities[i].key = tug__amqp_text(can[i]);
        capabilities[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
        capabilities[i].value.value.boolean = 1;
    }
    for (int i = 0; i < 3; i++) {
        entries[i].key = tug__amqp_text(texts[i][0]);
        entries[i].value.kind = AMQP_FIELD_KIND_UTF8;
        entries[i].value.value.bytes = tug__amqp_text(texts[i][1]);
    }
    entries[3].key = tug__amqp_text("capabilities");
    entries[3].value.kind = AMQP_FIELD_KIND_TABLE;
    entries[3].value.value.table.num_entries = 5;
    entries[3].value.value.table.entries = capabilities;
    ret_table->num_entries = 4;
    ret_table->entries = entries;
}

static int login_send_start_ok(tug__amqp_conn *c)
{
    const tug__amqp_config *config = c->mq->config;
    amqp_table_entry_t entries[4], capabilities[5];
    struct tug_bytes password = tug__secret_reveal(config->password);
    size_t user_size = strlen(config->user), size = 2 + user_size + password.size;
    char *plain = tug_alloc(size);
    if (plain == NULL) {
        tug__amqp_conn_failf(c, TUG_ENOMEM, TUG_ORIGIN_TUG, NULL, "no memory for the login");
        return TUG__AMQP_STOP;
    }
    plain[0] = 0;
    memcpy(plain + 1, config->user, user_size);
    plain[1 + user_size] = 0;
    memcpy(plain + 2 + user_size, password.data, password.size);
    amqp_connection_start_ok_t m = {.mechanism = tug__amqp_text("PLAIN"),
                                    .response = tug__amqp_bytes(plain, size),
                                    .locale = tug__amqp_text("en_US")};
    login_properties(config, entries, capabilities, &m.client_properties);
    /* The table: keys, texts and the five capabilities stay below 512 bytes. */
    bool sent = tug__amqp_conn_send(c, 0, AMQP_CONNECTION_START_OK_METHOD, &m,
                                    512 + strlen(config->name) + size);
    tug_wipe(plain, size);
    tug_free(plain);
    return sent ? 0 : TUG__AMQP_STOP;
}

static int login_start(tug__amqp_conn *c, const amqp_connection_start_t *m)
{
    if (m->version_major != 0 || m->version_minor != 9) {
        tug__amqp_conn_failf(c, TUG_ECONNECT, TUG_ORIGIN_SERVER, NULL,
                             "the broker speaks AMQP %u-%u, not 0-9-1", m->version_major,
                             m->version_minor);
        return TUG__AMQP_STOP;
    }
    if (!login_has_word(m->mechanisms, "PLAIN")) {
        char offered[80];
        tug__amqp_clean_text(offered, sizeof offered, m->mechanisms);
        tug__amqp_conn_failf(c, TUG_EAUTH, TUG_ORIGIN_SERVER, NULL,
                             "the broker takes no login by user and password (it offers: %s)",
                             offered);
        return TUG__AMQP_STOP;
    }
    tug__amqp_conn_set_state(c, TUG__AMQP_LOGIN);
    return login_send_start_ok(c);
}

/* 0 means "no limit" in both. */
static uint32_t login_least(uint32_t ours, uint32_t theirs)
{
    return theirs != 0 && theirs < ours ? theirs : ours;
}

static int login_tune(tug__amqp_conn *c, const amqp_connection_tune_t *m)
{
    const tug__amqp_config *config = c->mq->config;
    c->frame_max = login_least(config->o.frame_max, m->frame_max);
    c->channel_max = (uint16_t)login_least(config->o.channel_max, m->channel_max);
    /* Asked for none: none, whatever the broker proposes. */
    uint16_t heartbeat = config->heartbeat_s == 0
                             ? 0
                             : (uint16_t)login_least(config->heartbeat_s, m->heartbeat);
    c->heartbeat = TUG_SECONDS(heartbeat);
    if (c->frame_max < LOGIN_FRAME_LEAST) {
        tug__amqp_conn_failf(c, TUG_EPROTO, TUG_ORIGIN_SERVER, NULL,
                             "the broker asks for frames of at most %u bytes", c->frame_max);
        return TUG__AMQP_STOP;
    }
    c->frames.frame_max = c->frame_max;
    c->frames.channel_max = c->channel_max;
    tug__amqp_conn_set_state(c, TUG__AMQP_VHOST);
    amqp_connection_tune_ok_t ok = {
        .channel_max = c->channel_max, .frame_max = c->frame_max, .heartbeat = heartbeat};
    amqp_connection_open_t open = {.virtual_host = tug__amqp_text(config->vhost)};
    bool sent = tug__amqp_conn_send(c, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &ok, 8) &&
                tug__amqp_conn_send(c, 0, AMQP_CONNECTION_OPEN_METHOD, &open,
                                    4 + TUG__AMQP_SHORT_MAX);
    return sent ? 0 : TUG__AMQP_STOP;
}

/* The broker ends the connection. Its answer is sent at once: nothing else will be. */
static int login_closed(tug__amqp_conn *c, const amqp_connection_close_t *m)
{
    static const amqp_connection_close_ok_t ok;
    tug_error why;
    tug__amqp_reply reply;
    const char *what = "the broker closed the connection";
    char login[120];
    if (c->state == TUG__AMQP_LOGIN) {
        snprintf(login, sizeof login, "the broker refused the login of user \"%.60s\"",
                 c->mq->config->user);
        what = login;
    } else if (c->state == TUG__AMQP_VHOST) {
        snprintf(login, sizeof login, "the broker refused the virtual host \"%.60s\"",
                 c->mq->config->vhost);
        what = login;
    }
    tug__amqp_reply_read(&reply, m->reply_code, m->reply_text);
    tug__amqp_reply_error(&why, c, TUG_IN_FLIGHT, what, &reply);
    if (c->state == TUG__AMQP_LOGIN) {
        why.code = TUG_EAUTH;
    } else if (c->state == TUG__AMQP_VHOST) {
        why.code = m->reply_code == AMQP_ACCESS_REFUSED ? TUG_EAUTH : TUG_ESERVER;
    } else {
        why.code = c->state == TUG__AMQP_GREETING ? TUG_ECONNECT : TUG_ECLOSED;
        why.transient = true; /* a restart, an operator: the next connection may last */
    }
    if (tug__amqp_conn_send(c, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok, 0)) {
        tug_transport_flush(c->transport);
    }
    tug__amqp_conn_fail(c, &why);
    return TUG__AMQP_STOP;
}

static int login_blocked(tug__amqp_conn *c, const amqp_connection_blocked_t *m)
{
    char reason[100] = "";
    if (m != NULL) {
        tug__amqp_clean_text(reason, sizeof reason, m->reason);
    }
    tug_log(TUG_LOG_WARN, "amqp", "%s: %s %s", c->mq->config->place,
            m != NULL ? "the broker takes no publishes for now:"
                      : "the broker takes publishes again",
            reason);
    c->is_blocked = m != NULL;
    tug__amqp_conn_blocked(c);
    return 0;
}

/* What may come in which state. */
static bool login_expects(tug__amqp_conn_state state, amqp_method_number_t method)
{
    switch (method) {
    case AMQP_CONNECTION_START_METHOD:
        return state == TUG__AMQP_GREETING;
    case AMQP_CONNECTION_SECURE_METHOD:
    case AMQP_CONNECTION_TUNE_METHOD:
        return state == TUG__AMQP_LOGIN;
    case AMQP_CONNECTION_OPEN_OK_METHOD:
        return state == TUG__AMQP_VHOST;
    case AMQP_CONNECTION_BLOCKED_METHOD:
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        return state == TUG__AMQP_OPEN;
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
        return state == TUG__AMQP_CLOSING;
    default:
        return method == AMQP_CONNECTION_CLOSE_METHOD;
    }
}

int tug__amqp_login_method(tug__amqp_conn *c, amqp_method_number_t method, const void *decoded)
{
    if (!login_expects(c->state, method)) {
        tug__amqp_conn_failf(c, TUG_EPROTO, TUG_ORIGIN_CODEC, NULL,
                             "%s at a moment when it cannot come", amqp_method_name(method));
        return TUG__AMQP_STOP;
    }
    switch (method) {
    case AMQP_CONNECTION_START_METHOD:
        return login_start(c, decoded);
    case AMQP_CONNECTION_TUNE_METHOD:
        return login_tune(c, decoded);
    case AMQP_CONNECTION_OPEN_OK_METHOD:
        tug__amqp_conn_set_state(c, TUG__AMQP_OPEN);
        tug__amqp_conn_arm(c);
        tug__amqp_conn_opened(c);
        return c->state == TUG__AMQP_OPEN ? 0 : TUG__AMQP_STOP;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        return login_blocked(c, decoded);
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        return login_blocked(c, NULL);
    case AMQP_CONNECTION_CLOSE_METHOD:
        return login_closed(c, decoded);
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
        tug__amqp_conn_end(c);
        return TUG__AMQP_STOP;
    default:
        tug__amqp_conn_failf(c, TUG_EAUTH, TUG_ORIGIN_SERVER, NULL,
                             "the broker asks for a second step of login, which PLAIN has not");
        return TUG__AMQP_STOP;
    }
}
