/* What:      a broker by script on the other end of a socket pair: reads and writes single frames.
 * Ownership: peer_open gives the handle to the test, peer_shut takes it back.
 * Context:   in a TASK_TEST. Callbacks: none.
 * Errors:    anything unexpected fails the test. */
#ifndef TUG_TESTS_AMQP_PEER_H
#define TUG_TESTS_AMQP_PEER_H

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <tug/amqp.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/task.h>
#include <unistd.h>

#include "handle.h"
#include "table.h"
#include "test.h"

typedef struct peer {
    int fd;
    size_t step; /* bytes that one send carries; 0: all */
    uint8_t in[1 << 18];
    size_t n, at;    /* bytes in in; those already read */
    uint8_t *method; /* arguments of the latest method */
    size_t method_size;
} peer;

static inline void peer_pull(peer *p)
{
    tug_test_settle();
    memmove(p->in, p->in + p->at, p->n - p->at);
    p->n -= p->at;
    p->at = 0;
    ssize_t got;
    while ((got = recv(p->fd, p->in + p->n, sizeof p->in - p->n, MSG_DONTWAIT)) > 0) {
        p->n += (size_t)got;
    }
}

static inline void peer_send(peer *p, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        size_t step = p->step > 0 && p->step < size ? p->step : size;
        ssize_t n = send(p->fd, at, step, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno != EAGAIN) {
            return; /* the other side has hung up: the test sees why elsewhere */
        }
        tug_test_settle();
    }
}

/* One frame, its end byte checked: its type. */
static inline int peer_frame(peer *p, uint16_t *ret_channel, uint8_t **ret_payload,
                             size_t *ret_size)
{
    if (p->n - p->at < 8) {
        peer_pull(p);
    }
    assert_true(p->n - p->at >= 8);
    uint8_t *f = p->in + p->at;
    size_t size = tug__amqp_get32(f + 3);
    assert_true(p->n - p->at >= size + 8);
    assert_int_equal(f[7 + size], 0xCE);
    *ret_channel = tug__amqp_get16(f + 1);
    *ret_payload = f + 7;
    *ret_size = size;
    p->at += size + 8;
    return f[0];
}

/* The next frame is this method on this channel; its arguments are left in p->method. */
static inline void peer_expect(peer *p, uint16_t channel, uint32_t method)
{
    uint16_t on;
    uint8_t *payload;
    size_t size;
    assert_int_equal(peer_frame(p, &on, &payload, &size), 1);
    assert_string_equal(amqp_method_name(tug__amqp_get32(payload)), amqp_method_name(method));
    assert_int_equal(on, channel);
    p->method = payload + 4;
    p->method_size = size - 4;
}

static inline void peer_expect_nothing(peer *p)
{
    peer_pull(p);
    assert_int_equal(p->n - p->at, 0);
}

static inline size_t peer_put_frame(uint8_t *to, uint8_t type, uint16_t channel,
                                    const void *payload, size_t size)
{
    to[0] = type;
    tug__amqp_put16(to + 1, channel);
    tug__amqp_put32(to + 3, (uint32_t)size);
    memcpy(to + 7, payload, size);
    to[7 + size] = 0xCE;
    return size + 8;
}

static inline void peer_frame_out(peer *p, uint8_t type, uint16_t channel, const void *payload,
                                  size_t size)
{
    uint8_t *f = malloc(size + 8);
    assert_non_null(f);
    peer_send(p, f, peer_put_frame(f, type, channel, payload, size));
    free(f);
}

static inline void peer_method(peer *p, uint16_t channel, uint32_t method, const void *arguments)
{
    static uint8_t frame[1 << 16];
    int n = tug__amqp_encode_frame(frame, sizeof frame, channel, method, arguments);
    assert_true(n > 0);
    peer_send(p, frame, (size_t)n);
}

/* Content header: properties from their flags on. */
static inline void peer_header(peer *p, uint16_t channel, uint64_t body, const void *props,
                               size_t size)
{
    uint8_t *payload = malloc(12 + size);
    assert_non_null(payload);
    tug__amqp_put16(payload, 60);
    tug__amqp_put16(payload + 2, 0);
    tug__amqp_put64(payload + 4, body);
    memcpy(payload + 12, props, size);
    peer_frame_out(p, 2, channel, payload, 12 + size);
    free(payload);
}

static inline void peer_announce(peer *p, uint16_t channel, uint64_t tag)
{
    amqp_basic_deliver_t m = {.consumer_tag = tug__amqp_text("ct"),
                              .delivery_tag = tag,
                              .exchange = tug__amqp_text("ex"),
                              .routing_key = tug__amqp_text("key")};
    peer_method(p, channel, AMQP_BASIC_DELIVER_METHOD, &m);
}

/* A whole message without properties. */
static inline void peer_deliver(peer *p, uint16_t channel, uint64_t tag, const char *body)
{
    peer_announce(p, channel, tag);
    peer_header(p, channel, strlen(body), "\0\0", 2);
    if (*body != 0) {
        peer_frame_out(p, 3, channel, body, strlen(body));
    }
}

static inline void peer_greet(peer *p)
{
    peer_pull(p);
    assert_true(p->n - p->at >= 8);
    assert_memory_equal(p->in + p->at, "AMQP\0\0\x09\x01", 8);
    p->at += 8;
    amqp_connection_start_t m = {.version_major = 0,
                                 .version_minor = 9,
                                 .mechanisms = tug__amqp_text("AMQPLAIN PLAIN"),
                                 .locales = tug__amqp_text("en_US")};
    peer_method(p, 0, AMQP_CONNECTION_START_METHOD, &m);
    peer_expect(p, 0, AMQP_CONNECTION_START_OK_METHOD);
}

static inline void peer_login(peer *p, uint32_t frame_max, uint16_t heartbeat)
{
    peer_greet(p);
    amqp_connection_tune_t m = {
        .channel_max = 2047, .frame_max = frame_max, .heartbeat = heartbeat};
    amqp_connection_open_ok_t ok = {.known_hosts = amqp_empty_bytes};
    peer_method(p, 0, AMQP_CONNECTION_TUNE_METHOD, &m);
    peer_expect(p, 0, AMQP_CONNECTION_TUNE_OK_METHOD);
    peer_expect(p, 0, AMQP_CONNECTION_OPEN_METHOD);
    peer_method(p, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &ok);
}

static inline void peer_channel(peer *p, uint16_t channel)
{
    amqp_channel_open_ok_t ok = {.channel_id = amqp_empty_bytes};
    peer_expect(p, channel, AMQP_CHANNEL_OPEN_METHOD);
    peer_method(p, channel, AMQP_CHANNEL_OPEN_OK_METHOD, &ok);
}

/* A handle whose publishing connection goes to pub (NULL: the test publishes nothing). */
static inline tug_amqp *peer_open(peer *p, peer *pub, const tug_amqp_options *o)
{
    tug_amqp *mq = NULL;
    int fds[2], pub_fds[2] = {-1, -1};
    memset(p, 0, sizeof *p);
    assert_ok(tug_test_socketpair(fds));
    if (pub != NULL) {
        memset(pub, 0, sizeof *pub);
        assert_ok(tug_test_socketpair(pub_fds));
        pub->fd = pub_fds[1];
    }
    p->fd = fds[1];
    assert_ok(tug__amqp_attach("amqp://tug:secret@peer/vh", o, fds[0], pub_fds[0], &mq));
    return mq;
}

/* Closes the handle, answers its goodbye if it says one, and closes the socket. */
static inline void peer_shut(peer *p, tug_amqp *mq)
{
    tug_amqp_close(mq);
    tug_test_settle();
    close(p->fd);
    tug_test_settle();
}

/* --- sessions that most tests begin with -------------------------------------------------------- */

static peer p, pub;

/* The handle has ended, with this code and these words. */
static inline void ended(tug_amqp *mq, int code, const char *part)
{
    tug_test_settle();
    assert_rc(tug_amqp_ready(mq), code);
    assert_detail_has("amqp peer:5672: ");
    assert_detail_has(part);
    assert_null(strstr(tug_last_error()->text, "secret"));
}

static inline tug_amqp *logged_in(const tug_amqp_options *o)
{
    tug_amqp *mq = peer_open(&p, NULL, o);
    peer_login(&p, 131072, 60);
    assert_ok(tug_amqp_ready(mq));
    return mq;
}

/* A handle with a consumer of prefetch 10 on channel 1 of p. */
typedef struct consuming {
    tug_amqp *mq;
    tug_amqp_consumer *consumer;
} consuming;

static inline int ask_consumer(void *arg)
{
    consuming *c = arg;
    tug_amqp_consume_options o = TUG_AMQP_CONSUME_OPTIONS_INIT;
    o.prefetch = 10;
    return tug_amqp_consume(c->mq, "q", &o, &c->consumer);
}

static inline void answer_consumer(uint16_t channel)
{
    amqp_basic_qos_ok_t qos = {0};
    amqp_basic_consume_ok_t ok = {.consumer_tag = tug__amqp_text("ct")};
    peer_channel(&p, channel);
    peer_expect(&p, channel, AMQP_BASIC_QOS_METHOD);
    peer_expect(&p, channel, AMQP_BASIC_CONSUME_METHOD);
    peer_method(&p, channel, AMQP_BASIC_QOS_OK_METHOD, &qos);
    peer_method(&p, channel, AMQP_BASIC_CONSUME_OK_METHOD, &ok);
}

static inline consuming consume(const tug_amqp_options *o)
{
    consuming c = {.mq = logged_in(o)};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, ask_consumer, &c));
    answer_consumer(1);
    assert_ok(tug_group_leave(&g, 0));
    return c;
}

static inline void shut(consuming *c)
{
    tug_amqp_consumer_close(c->consumer);
    peer_shut(&p, c->mq);
}

static inline tug_amqp_delivery *take(tug_amqp_consumer *c)
{
    tug_amqp_delivery *d = NULL;
    assert_rc(tug_amqp_consumer_next(c, &d), 1);
    return d;
}

/* A handle whose publishing channel is open on pub, and the future of its first message. */
static inline tug_amqp *publishing(const tug_amqp_options *o, tug_future **ret_first)
{
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    tug_amqp *mq = peer_open(&p, &pub, o);
    peer_login(&p, 131072, 60);
    *ret_first = tug_amqp_publish_start(mq, "", "q", &m);
    amqp_confirm_select_ok_t ok = {0};
    peer_login(&pub, 131072, 60);
    peer_channel(&pub, 1);
    peer_expect(&pub, 1, AMQP_CONFIRM_SELECT_METHOD);
    peer_method(&pub, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &ok);
    return mq;
}

static inline void shut_both(tug_amqp *mq)
{
    tug_amqp_close(mq);
    tug_test_settle();
    close(p.fd);
    close(pub.fd);
    tug_test_settle();
}

/* One message on pub: its routing key is checked, its body's size returned. */
static inline size_t expect_message(const char *key)
{
    uint16_t channel;
    uint8_t *payload;
    size_t size, body = 0;
    peer_expect(&pub, 1, AMQP_BASIC_PUBLISH_METHOD);
    /* ticket, exchange "", routing key */
    assert_int_equal(pub.method[3], strlen(key));
    assert_memory_equal(pub.method + 4, key, strlen(key));
    assert_int_equal(peer_frame(&pub, &channel, &payload, &size), 2);
    size_t total = tug__amqp_get64(payload + 4);
    while (body < total) {
        assert_int_equal(peer_frame(&pub, &channel, &payload, &size), 3);
        body += size;
    }
    return body;
}

static inline void confirm(uint64_t tag, bool multiple)
{
    amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = multiple};
    peer_method(&pub, 1, AMQP_BASIC_ACK_METHOD, &m);
}

typedef struct one_publish {
    tug_amqp *mq;
    const char *key;
    int rc, sent;
} one_publish;

static inline int publish_one(void *arg)
{
    one_publish *o = arg;
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    o->rc = TUG_WITHIN(TUG_SECONDS(5), tug_amqp_publish(o->mq, "", o->key, &m));
    o->sent = o->rc < 0 ? tug_last_error()->sent : -1;
    return 0;
}

#endif
