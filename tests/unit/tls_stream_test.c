/* TLS under streams and listeners, over the loopback. */
#include "tls_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/scope.h>
#include <tug/stream.h>
#include <tug/task.h>
#include <unistd.h>

struct world {
    tug_tls *client, *server;
    tug_listener *listener;
    tug_group group;
    int served, failed;
    tug_error why; /* of the latest that failed */
};

static void open_world(struct world *w)
{
    memset(w, 0, sizeof *w);
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    w->client = rig_tls(&co);
    w->server = rig_tls(&so);
    tug_listener_options lo = TUG_LISTENER_OPTIONS_INIT;
    lo.tls = w->server;
    assert_ok(tug_listener_open("tls://127.0.0.1:0", &lo, &w->listener));
}

static void close_world(struct world *w)
{
    tug_listener_close(w->listener);
    tug_tls_unref(w->client);
    tug_tls_unref(w->server);
}

static int connect_with(const struct world *w, tug_tls *tls, tug_stream **ret_stream)
{
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    o.tls = tls;
    return tug_stream_connect_with(tug_listener_address(w->listener), &o, ret_stream);
}

/* Echoes until the client ends, then says goodbye. */
static int echo(void *arg)
{
    struct world *w = arg;
    char data[16384];
    TUG_AUTO(tug_stream) s = NULL;
    int rc = tug_listener_next(w->listener, &s);
    assert_int_equal(rc, 1);
    while ((rc = tug_stream_read(s, data, sizeof data)) > 0) {
        assert_ok(tug_stream_write(s, tug_bytes(data, (size_t)rc)));
    }
    if (rc < 0) {
        w->failed++;
        w->why = *tug_last_error();
        return 0;
    }
    w->served++;
    return tug_stream_finish(s);
}

/* Slowly, so that the writer's side is full. */
static int swallow(void *arg)
{
    struct world *w = arg;
    static char data[65536];
    TUG_AUTO(tug_stream) s = NULL;
    int rc = tug_listener_next(w->listener, &s);
    assert_int_equal(rc, 1);
    assert_ok(tug_sleep(TUG_MS(20)));
    while ((rc = tug_stream_read(s, data, sizeof data)) > 0) {
        w->served += rc;
    }
    return rc;
}

static void begin(struct world *w)
{
    tug_group_enter(&w->group, TUG_SECONDS(8), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&w->group, echo, w));
}

LIVE_TEST(a_stream_over_tls)
{
    struct world w;
    open_world(&w);
    begin(&w);
    assert_int_equal(strncmp(tug_listener_address(w.listener), "tls://127.0.0.1:", 16), 0);
    TUG_AUTO(tug_stream) s = NULL;
    tug_tls_info info = TUG_TLS_INFO_INIT;
    char data[16] = "";
    assert_ok(connect_with(&w, w.client, &s));
    assert_true(tug_stream_tls_info(s, &info));
    assert_true(info.is_verified);
    assert_ok(tug_stream_handshake(s));
    assert_ok(tug_stream_write(s, tug_bytes("hello", 5)));
    assert_ok(tug_stream_read_exact(s, data, 5));
    assert_string_equal(data, "hello");
    assert_ok(tug_stream_finish(s));
    assert_ok(tug_group_leave(&w.group, 0));
    assert_int_equal(w.served, 1);
    close_world(&w);
}

/* The goodbye comes behind much that is unsent: it is waited for, over TLS as over plain TCP. */
static void finish_behind_much(const char *scheme)
{
    struct world w;
    tug_listener_options lo = TUG_LISTENER_OPTIONS_INIT;
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    char address[32];
    bool is_tls = strcmp(scheme, "tls") == 0;
    open_world(&w);
    tug_listener_close(w.listener);
    lo.tls = is_tls ? w.server : NULL;
    o.tls = is_tls ? w.client : NULL;
    snprintf(address, sizeof address, "%s://127.0.0.1:0", scheme);
    assert_ok(tug_listener_open(address, &lo, &w.listener));
    tug_stream *s = NULL;
    static char data[1000 * 1000];
    tug_group_enter(&w.group, TUG_SECONDS(8), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&w.group, swallow, &w));
    assert_ok(tug_stream_connect_with(tug_listener_address(w.listener), &o, &s));
    for (int i = 0; i < 12; i++) {
        assert_ok(tug_stream_write(s, tug_bytes(data, sizeof data)));
    }
    assert_ok(tug_stream_finish(s));
    tug_stream_close(s);
    assert_ok(tug_group_leave(&w.group, 0));
    assert_int_equal(w.served, 12 * sizeof data);
    close_world(&w);
}

LIVE_TEST(finish_waits_for_what_is_unsent)
{
    finish_behind_much("tls");
}

LIVE_TEST(finish_waits_for_what_is_unsent_without_tls_too)
{
    finish_behind_much("tcp");
}

/* --- much, both ways, a task for each ---------------------------------------------------------- */

enum {
    MUCH = 10 * 1024 * 1024
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static int write_much(void *arg)
{
    tug_stream *s = arg;
    uint8_t *data = malloc(MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        data[i] = pattern(i);
    }
    int rc = tug_stream_write(s, tug_bytes(data, MUCH));
    free(data);
    /* A cancelled task is no failure of its group, but here the readers wait for what it has not written. */
    return rc < 0 ? tug_fail(TUG_EUSER, "not all was written") : tug_stream_shutdown(s);
}

static int read_much(void *arg)
{
    tug_stream *s = arg;
    char *data = malloc(MUCH);
    assert_ok(tug_stream_read_exact(s, data, MUCH));
    for (size_t i = 0; i < MUCH; i++) {
        assert_true((uint8_t)data[i] == pattern(i));
    }
    char c;
    assert_rc(tug_stream_read(s, &c, 1), 0);
    free(data);
    return 0;
}

static int serve_much(void *arg)
{
    struct world *w = arg;
    TUG_AUTO(tug_stream) s = NULL;
    tug_group g;
    assert_int_equal(tug_listener_next(w->listener, &s), 1);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, write_much, s);
    tug_group_spawn(&g, read_much, s);
    return tug_group_leave(&g, 0);
}

LIVE_TEST(ten_megabytes_both_ways)
{
    struct world w;
    tug_group g;
    open_world(&w);
    tug_group_enter(&g, TUG_SECONDS(40), TUG_FAIL_FAST);
    tug_group_spawn(&g, serve_much, &w);
    TUG_AUTO(tug_stream) s = NULL;
    assert_ok(connect_with(&w, w.client, &s));
    tug_group_spawn(&g, write_much, s);
    tug_group_spawn(&g, read_much, s);
    assert_ok(tug_group_leave(&g, 0));
    close_world(&w);
}

/* --- what goes wrong --------------------------------------------------------------------------- */

LIVE_TEST(a_wrong_certificate_ends_the_connect)
{
    struct world w;
    open_world(&w);
    begin(&w);
    tug_stream *s = NULL;
    tug_tls_options co = rig_client_options();
    co.server_name = "example.com";
    TUG_AUTO(tug_tls) other = rig_tls(&co);
    assert_rc(connect_with(&w, other, &s), TUG_EAUTH);
    assert_detail_has("TLS with 127.0.0.1:");
    assert_detail_has("is not for \"example.com\"");
    assert_null(s);
    assert_ok(tug_group_leave(&w.group, 0));
    assert_int_equal(w.failed, 1);
    assert_int_equal(w.why.code, TUG_EAUTH);
    close_world(&w);
}

LIVE_TEST(the_system_does_not_know_our_authority)
{
    struct world w;
    open_world(&w);
    begin(&w);
    tug_stream *s = NULL;
    assert_rc(tug_stream_connect(tug_listener_address(w.listener), &s), TUG_EAUTH);
    assert_detail_has("no trusted authority");
    assert_null(s);
    assert_ok(tug_group_leave(&w.group, 0));
    close_world(&w);
}

LIVE_TEST(a_plain_client_fails_the_reader)
{
    struct world w;
    char address[64];
    open_world(&w);
    begin(&w);
    TUG_AUTO(tug_stream) s = NULL;
    snprintf(address, sizeof address, "tcp%s", tug_listener_address(w.listener) + 3);
    assert_ok(tug_stream_connect(address, &s));
    assert_false(tug_stream_tls_info(s, &(tug_tls_info)TUG_TLS_INFO_INIT));
    assert_ok(tug_stream_handshake(s)); /* there is none to wait for */
    assert_ok(tug_stream_write(s, tug_bytes("GET / HTTP/1.1\r\n\r\n", 18)));
    assert_ok(tug_group_leave(&w.group, 0));
    assert_int_equal(w.failed, 1);
    assert_int_equal(w.why.code, TUG_EPROTO);
    assert_non_null(strstr(w.why.text, "does not speak TLS"));
    close_world(&w);
}

LIVE_TEST(a_silent_server_meets_the_deadline)
{
    tug_listener *deaf = NULL;
    char address[64];
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &deaf));
    snprintf(address, sizeof address, "tls%s", tug_listener_address(deaf) + 3);
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    o.tls = tls;
    tug_stream *s = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_stream_connect_with(address, &o, &s)), TUG_ETIMEDOUT);
    assert_detail_has("no answer");
    o.connect_timeout = TUG_MS(50);
    assert_rc(tug_stream_connect_with(address, &o, &s), TUG_ECONNECT);
    assert_detail_has("no answer");
    assert_true(tug_last_error()->transient);
    assert_null(s);
    tug_listener_close(deaf);
}

struct handshaking {
    tug_stream *s;
    int rc;
};

static int wait_handshake(void *arg)
{
    struct handshaking *h = arg;
    h->rc = tug_stream_handshake(h->s);
    return 0;
}

/* The server waits for the handshake of a client that says nothing. */
LIVE_TEST(the_wait_for_a_handshake_ends_with_deadline_cancel_and_close)
{
    struct world w;
    char address[64];
    open_world(&w);
    TUG_AUTO(tug_stream) silent = NULL;
    tug_stream *s = NULL;
    snprintf(address, sizeof address, "tcp%s", tug_listener_address(w.listener) + 3);
    assert_ok(tug_stream_connect(address, &silent));
    assert_rc(TUG_WITHIN(TUG_SECONDS(8), tug_listener_next(w.listener, &s)), 1);
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_stream_handshake(s)), TUG_ETIMEDOUT);
    tug_group g;
    struct handshaking h = {s, 1};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_handshake, &h));
    assert_ok(tug_yield());
    tug_group_cancel(&g);
    TUG_IGNORE(tug_group_leave(&g, 0));
    assert_int_equal(h.rc, TUG_ECANCELED);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_handshake, &h));
    assert_ok(tug_yield());
    tug_stream_close(s);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(h.rc, TUG_ECLOSED);
    close_world(&w);
}

LIVE_TEST(options_must_fit_the_address)
{
    struct world w;
    open_world(&w);
    tug_listener *l = NULL;
    tug_stream *s = NULL;
    tug_listener_options lo = TUG_LISTENER_OPTIONS_INIT;
    assert_rc(tug_listener_open("tls://127.0.0.1:0", NULL, &l), TUG_EINVAL);
    lo.tls = w.client;
    assert_rc(tug_listener_open("tls://127.0.0.1:0", &lo, &l), TUG_EINVAL);
    assert_detail_has("certificate_file");
    lo.tls = w.server;
    assert_rc(tug_listener_open("tcp://127.0.0.1:0", &lo, &l), TUG_EINVAL);
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    o.tls = w.client;
    assert_rc(tug_stream_connect_with("tcp://127.0.0.1:1", &o, &s), TUG_EINVAL);
    close_world(&w);
}
