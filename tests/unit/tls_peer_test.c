/* The other side is OpenSSL's own, blocking on a thread: nothing of ours is on it. */
#include "tls_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/scope.h>
#include <tug/stream.h>
#include <tug/task.h>
#include <unistd.h>

static rig_peer server_peer(void (*script)(SSL *ssl, rig_peer *p))
{
    rig_peer p = {.is_server = true, .certificate = "server.pem", .script = script};
    return p;
}

/* Ours is the client; what came is in e. */
static int connect_to(rig_peer *p, tug_tls *tls, rig_end *e)
{
    memset(e, 0, sizeof *e);
    assert_ok(tug_transport_from_fd(rig_peer_run(p), &e->t));
    int rc = tug_transport_secure(e->t, tls, "localhost");
    if (rc == 0) {
        rig_start(e);
    }
    return rc;
}

static void accept_from(rig_peer *p, tug_tls *tls, rig_end *e)
{
    memset(e, 0, sizeof *e);
    assert_ok(tug_transport_from_fd(rig_peer_run(p), &e->t));
    assert_ok(tug_transport_secure_server(e->t, tls));
    rig_start(e);
}

static void finish(rig_peer *p, rig_end *e)
{
    tug_transport_close(e->t);
    assert_ok(tug_sleep(TUG_MS(1))); /* a turn, in which the socket goes */
    rig_peer_join(p);
    free(e->data);
}

static void wait_for(const rig_end *e, size_t size)
{
    while (e->size < size && !e->ended && !e->eof) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
}

static void wait_for_end(const rig_end *e)
{
    while (!e->ended && !e->eof) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
}

/* --- the normal course ------------------------------------------------------------------------- */

static void echo_and_goodbye(SSL *ssl, rig_peer *p)
{
    char data[4096];
    int n;
    while ((n = SSL_read(ssl, data, sizeof data)) > 0) {
        SSL_write(ssl, data, n);
    }
    p->flag = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
    SSL_shutdown(ssl);
}

LIVE_TEST(a_foreign_server_answers)
{
    static const int versions[] = {0, TLS1_2_VERSION};
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    for (size_t i = 0; i < 2; i++) {
        rig_end e;
        rig_peer p = server_peer(echo_and_goodbye);
        tug_tls_info info = TUG_TLS_INFO_INIT;
        p.max_version = versions[i];
        assert_ok(connect_to(&p, tls, &e));
        assert_true(tug_transport_tls_info(e.t, &info));
        assert_int_equal(info.version, i == 0 ? TUG_TLS_1_3 : TUG_TLS_1_2);
        rig_say(&e, "echo");
        wait_for(&e, 4);
        rig_heard(&e, "echo");
        assert_ok(tug_transport_shutdown(e.t));
        wait_for_end(&e);
        assert_true(e.eof);
        finish(&p, &e);
        assert_true(p.flag); /* our close_notify came */
    }
}

LIVE_TEST(a_foreign_client_is_served)
{
    rig_make_all();
    tug_tls_options so = rig_server_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&so);
    rig_end e;
    rig_peer p = {.ca = "ca.pem", .script = echo_and_goodbye};
    accept_from(&p, tls, &e);
    rig_say(&e, "hello"); /* waits for the handshake */
    wait_for(&e, 5);
    rig_heard(&e, "hello");
    finish(&p, &e);
    assert_int_equal(p.handshake, 1);
    assert_true(p.flag);
}

LIVE_TEST(sessions_of_tls_1_2_are_resumed_again_and_again)
{
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    rig_peer shared = server_peer(echo_and_goodbye);
    shared.max_version = TLS1_2_VERSION;
    shared.ctx = rig_context(&shared);
    for (int i = 0; i < 4; i++) {
        rig_end e;
        rig_peer p = shared;
        tug_tls_info info = TUG_TLS_INFO_INIT;
        assert_ok(connect_to(&p, tls, &e));
        assert_true(tug_transport_tls_info(e.t, &info));
        assert_true(info.is_resumed == (i > 0));
        finish(&p, &e);
    }
    SSL_CTX_free(shared.ctx);
}

/* --- ends -------------------------------------------------------------------------------------- */

static void leave_without_a_word(SSL *ssl, rig_peer *p)
{
    (void)p;
    SSL_write(ssl, "half of a mess", 14);
}

static void leave_with_a_word(SSL *ssl, rig_peer *p)
{
    leave_without_a_word(ssl, p);
    SSL_shutdown(ssl);
}

LIVE_TEST(a_truncated_stream_is_told_from_a_clean_end)
{
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    rig_end e;
    rig_peer p = server_peer(leave_without_a_word);
    assert_ok(connect_to(&p, tls, &e));
    wait_for_end(&e);
    rig_heard(&e, "half of a mess");
    assert_true(e.ended);
    assert_int_equal(e.why.code, TUG_EPROTO);
    assert_non_null(strstr(e.why.text, "closed without close_notify"));
    finish(&p, &e);
    p = server_peer(leave_with_a_word);
    assert_ok(connect_to(&p, tls, &e));
    wait_for_end(&e);
    rig_heard(&e, "half of a mess");
    assert_true(e.eof);
    assert_false(e.ended);
    finish(&p, &e);
}

/* --- what the protocol allows, and what not ---------------------------------------------------- */

static void change_keys(SSL *ssl, rig_peer *p)
{
    char data[64];
    for (int i = 0; i < 10; i++) {
        p->flag = SSL_key_update(ssl, i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
                                                 : SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
        SSL_write(ssl, "new keys", 8);
        if (SSL_read(ssl, data, sizeof data) != 2) {
            p->flag = false;
            return;
        }
    }
    SSL_shutdown(ssl);
}

LIVE_TEST(keys_may_be_changed)
{
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    rig_end e;
    rig_peer p = server_peer(change_keys);
    assert_ok(connect_to(&p, tls, &e));
    for (int i = 0; i < 10; i++) {
        wait_for(&e, 8);
        rig_heard(&e, "new keys");
        rig_say(&e, "ok");
    }
    wait_for_end(&e);
    assert_true(e.eof);
    finish(&p, &e);
    assert_true(p.flag);
}

/* Asks for new keys for ever and reads no answer. */
static void ask_only(SSL *ssl, rig_peer *p)
{
    while (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1) {
        p->read++;
    }
}

LIVE_TEST(a_peer_that_only_asks_for_keys_is_bounded)
{
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    rig_end e;
    rig_peer p = server_peer(ask_only);
    assert_ok(connect_to(&p, tls, &e));
    while (!e.ended) {
        assert_ok(tug_sleep(TUG_MS(1)));
        assert_true(tug_transport_unsent(e.t) <= 512 * 1024);
    }
    assert_int_equal(e.why.code, TUG_ELIMIT);
    assert_non_null(strstr(e.why.text, "wants answers and reads none"));
    finish(&p, &e); /* its thread has ended */
    assert_true(p.read > 1000);
}

static void ask_to_renegotiate(SSL *ssl, rig_peer *p)
{
    char data[64];
    SSL_renegotiate(ssl);
    p->flag = SSL_do_handshake(ssl) == 1 && SSL_read(ssl, data, sizeof data) > 0;
}

LIVE_TEST(renegotiation_is_refused)
{
    rig_make_all();
    tug_tls_options so = rig_server_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&so);
    rig_end e;
    rig_peer p = {.ca = "ca.pem", .max_version = TLS1_2_VERSION, .script = ask_to_renegotiate};
    accept_from(&p, tls, &e);
    wait_for_end(&e);
    assert_true(e.ended);
    finish(&p, &e);
    assert_int_equal(p.handshake, 1);
    assert_false(p.flag);
}

LIVE_TEST(old_versions_are_refused)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_end e;
    rig_peer p = server_peer(NULL);
    p.max_version = TLS1_1_VERSION;
    assert_rc(connect_to(&p, client, &e), TUG_EPROTO);
    assert_detail_has("no common version");
    finish(&p, &e);
    rig_peer q = {.max_version = TLS1_1_VERSION};
    accept_from(&q, server, &e);
    wait_for_end(&e);
    assert_int_equal(e.why.code, TUG_EPROTO);
    assert_non_null(strstr(e.why.text, "no common version: the peer offers only what is too old"));
    finish(&q, &e);
    assert_true(q.handshake != 1);
    /* 1.2 where 1.3 is asked for. */
    co.min_version = TUG_TLS_1_3;
    TUG_AUTO(tug_tls) newest = rig_tls(&co);
    p = server_peer(NULL);
    p.max_version = TLS1_2_VERSION;
    assert_rc(connect_to(&p, newest, &e), TUG_EPROTO);
    assert_detail_has("no common version");
    finish(&p, &e);
}

/* TLS 1.2 says it in the handshake, 1.3 after it. */
LIVE_TEST(a_foreign_server_wants_our_certificate)
{
    static const int versions[] = {0, TLS1_2_VERSION};
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) without = rig_tls(&co);
    co.certificate_file = rig_path("client.pem");
    TUG_AUTO(tug_tls) with = rig_tls(&co);
    for (size_t i = 0; i < 2; i++) {
        rig_end e;
        rig_peer p = server_peer(echo_and_goodbye);
        p.ca = "ca.pem";
        p.max_version = versions[i];
        int rc = connect_to(&p, without, &e);
        if (rc == 0) {
            wait_for_end(&e);
            assert_true(e.ended);
            rc = e.why.code;
            assert_true(i == 1 || strstr(e.why.text, "wants a certificate of ours") != NULL);
        }
        assert_true(rc == TUG_EAUTH || (i == 1 && rc == TUG_EPROTO));
        finish(&p, &e);
        p = server_peer(echo_and_goodbye);
        p.ca = "ca.pem";
        p.max_version = versions[i];
        assert_ok(connect_to(&p, with, &e));
        rig_say(&e, "echo");
        wait_for(&e, 4);
        rig_heard(&e, "echo");
        finish(&p, &e);
        assert_int_equal(p.handshake, 1);
    }
}

/* --- much -------------------------------------------------------------------------------------- */

enum {
    MUCH = 10 * 1024 * 1024
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

/* Its own records are of all sizes. */
static void send_much(SSL *ssl, rig_peer *p)
{
    static uint8_t data[MUCH];
    size_t done = 0, step = 1;
    for (size_t i = 0; i < MUCH; i++) {
        data[i] = pattern(i);
    }
    while (done < MUCH) {
        size_t n = step < MUCH - done ? step : MUCH - done;
        if (SSL_write(ssl, data + done, (int)n) != (int)n) {
            return;
        }
        done += n;
        step = step * 7 % 40009 + 1;
    }
    p->flag = true;
    SSL_shutdown(ssl);
}

LIVE_TEST(records_of_all_sizes_arrive)
{
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) tls = rig_tls(&co);
    rig_end e;
    rig_peer p = server_peer(send_much);
    assert_ok(connect_to(&p, tls, &e));
    wait_for_end(&e);
    assert_true(e.eof);
    assert_int_equal(e.size, MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        if ((uint8_t)e.data[i] != pattern(i)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
    finish(&p, &e);
    assert_true(p.flag);
}
