/* Two transports of ours with a wire between them that the test turns itself. */
#include "tls_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <tug/task.h>
#include <unistd.h>

/* --- the normal course ------------------------------------------------------------------------- */

TASK_TEST(both_sides_talk)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_open(&p, client, server, "localhost");
    tug_tls_info info = TUG_TLS_INFO_INIT;
    assert_false(tug_transport_tls_info(p.server.t, &info));
    assert_ok(rig_shake(&p, client, "localhost", SIZE_MAX, SIZE_MAX));
    assert_true(tug_transport_tls_info(p.client.t, &info));
    assert_int_equal(info.version, TUG_TLS_1_3);
    assert_true(info.is_verified);
    assert_false(info.is_resumed);
    assert_string_equal(info.subject, "CN=server");
    assert_string_equal(info.alpn, "");
    assert_true(strlen(info.cipher) > 0);
    uint8_t zero[32] = {0};
    assert_memory_not_equal(info.fingerprint, zero, sizeof zero);
    assert_true(tug_transport_tls_info(p.server.t, &info));
    assert_string_equal(info.subject, "");
    assert_false(info.is_verified);
    assert_memory_equal(info.fingerprint, zero, sizeof zero);
    rig_say(&p.client, "hello");
    rig_say(&p.server, "world");
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p.server, "hello");
    rig_heard(&p.client, "world");
    rig_close(&p);
}

TASK_TEST(what_is_written_before_the_handshake_waits_for_it)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_open(&p, client, server, "localhost");
    rig_say(&p.server, "220 welcome");
    tug_transport_flush(p.server.t);
    tug_test_settle();
    assert_int_equal(tug_transport_unsent(p.server.t), 11);
    assert_ok(rig_shake(&p, client, "localhost", SIZE_MAX, SIZE_MAX));
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p.client, "220 welcome");
    assert_int_equal(tug_transport_unsent(p.server.t), 0);
    rig_close(&p);
}

TASK_TEST(many_small_writes_of_a_turn_are_one_record)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    size_t before = p.data_records;
    for (int i = 0; i < 1000; i++) {
        rig_say(&p.client, "0123456789abcdef"); /* 16,000 bytes */
    }
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_int_equal(p.server.size, 16000);
    assert_int_equal(p.data_records - before, 1);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 1000; k++) {
            rig_say(&p.client, "0123456789abcdef");
        }
    }
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_int_equal(p.server.size, 48000);
    assert_int_equal(p.data_records - before, 3);
    rig_close(&p);
}

TASK_TEST(flush_from_a_task_leaves_the_work_to_the_loop_stack)
{
    rig_pair p;
    char got[64];
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_say(&p.client, "now");
    tug_transport_flush(p.client.t); /* would abort if it called OpenSSL here */
    assert_int_equal(recv(p.client_wire, got, sizeof got, MSG_DONTWAIT), -1);
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p.server, "now");
    rig_close(&p);
}

TASK_TEST(bytes_may_come_one_by_one)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_open(&p, client, server, "localhost");
    assert_ok(rig_shake(&p, client, "localhost", 1, SIZE_MAX));
    rig_say(&p.client, "hello");
    rig_say(&p.server, "world");
    rig_pump(&p, 1, SIZE_MAX);
    rig_heard(&p.server, "hello");
    rig_heard(&p.client, "world");
    rig_close(&p);
}

/* --- much at once ------------------------------------------------------------------------------ */

enum {
    MUCH = 10 * 1024 * 1024,
    PIECE = 100 * 1000
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

/* Writes what there is room for. */
static void feed(rig_end *e, size_t *written)
{
    uint8_t piece[4096];
    while (*written < MUCH && !tug_transport_is_full(e->t)) {
        size_t n = MUCH - *written < sizeof piece ? MUCH - *written : sizeof piece;
        for (size_t i = 0; i < n; i++) {
            piece[i] = pattern(*written + i);
        }
        assert_ok(tug_transport_write(e->t, tug_bytes(piece, n)));
        *written += n;
    }
}

static void assert_pattern(const rig_end *e)
{
    assert_int_equal(e->size, MUCH);
    for (size_t i = 0; i < MUCH; i++) {
        if ((uint8_t)e->data[i] != pattern(i)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

/* The relay is a socket pair of its own: both sides are full again and again. */
TASK_TEST(ten_megabytes_each_way_at_once)
{
    rig_pair p;
    size_t from_client = 0, from_server = 0;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    while (p.client.size < MUCH || p.server.size < MUCH) {
        size_t before = p.client.size + p.server.size;
        feed(&p.client, &from_client);
        feed(&p.server, &from_server);
        rig_pump(&p, SIZE_MAX, 300 * 1000);
        assert_true(p.client.size + p.server.size > before || from_client < MUCH);
    }
    assert_pattern(&p.client);
    assert_pattern(&p.server);
    assert_true(p.client.rooms > 0);
    rig_close(&p);
}

/* Nobody reads, so the socket fills; what is sealed and not sent counts as unsent. */
TASK_TEST(a_peer_that_does_not_read_holds_the_writer_back)
{
    rig_pair p;
    size_t written = 0;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    for (int i = 0; i < 8; i++) {
        feed(&p.client, &written);
        tug_test_settle();
    }
    assert_true(tug_transport_is_full(p.client.t));
    assert_true(written < MUCH);
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_int_equal(p.server.size, written);
    assert_int_equal(tug_transport_unsent(p.client.t), 0);
    assert_true(p.client.rooms > 0);
    rig_close(&p);
}

TASK_TEST(a_pause_holds_bytes_back_and_lets_them_go)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    tug_transport_pause(p.server.t, true);
    rig_say(&p.client, "wait");
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_int_equal(p.server.size, 0);
    tug_transport_pause(p.server.t, false);
    tug_test_settle();
    rig_heard(&p.server, "wait");
    rig_close(&p);
}

/* --- ends -------------------------------------------------------------------------------------- */

TASK_TEST(a_close_is_a_clean_end)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    tug_transport_close(p.client.t);
    p.client.t = NULL;
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_true(p.server.eof);
    assert_false(p.server.ended);
    rig_close(&p);
}

/* close_notify would say that all has been said. */
TASK_TEST(a_close_with_unsent_bytes_is_no_clean_end)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_say(&p.client, "never sent");
    tug_transport_close(p.client.t);
    p.client.t = NULL;
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_false(p.server.eof);
    assert_true(p.server.ended);
    assert_int_equal(p.server.why.code, TUG_EPROTO);
    assert_int_equal(p.server.size, 0);
    rig_close(&p);
}

TASK_TEST(a_missing_close_notify_is_reported)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_say(&p.client, "the last words");
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    close(p.server_wire);
    p.server_wire = -1;
    tug_test_settle();
    rig_heard(&p.server, "the last words");
    assert_true(p.server.ended);
    assert_int_equal(p.server.why.code, TUG_EPROTO);
    assert_int_equal(p.server.why.origin, TUG_ORIGIN_TLS);
    assert_non_null(
        strstr(p.server.why.text, "closed without close_notify: the data may be truncated"));
    assert_false(p.server.eof);
    rig_close(&p);
}

TASK_TEST(each_side_ends_its_own_direction)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_say(&p.client, "my last");
    assert_ok(tug_transport_shutdown(p.client.t));
    assert_ok(tug_transport_shutdown(p.client.t));
    assert_rc(tug_transport_write(p.client.t, tug_bytes("x", 1)), TUG_EMISUSE);
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p.server, "my last");
    assert_true(p.server.eof);
    for (int i = 0; i < 3; i++) {
        rig_say(&p.server, "still here");
        rig_pump(&p, SIZE_MAX, SIZE_MAX);
        rig_heard(&p.client, "still here");
    }
    assert_ok(tug_transport_shutdown(p.server.t));
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_true(p.client.eof);
    assert_false(p.client.ended || p.server.ended);
    rig_close(&p);
}

/* The end comes with the last bytes, and no event of the socket follows it. */
TASK_TEST(an_end_behind_bytes_is_told_without_another_event)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    tug_transport_pause(p.server.t, true);
    rig_say(&p.client, "bytes");
    assert_ok(tug_transport_shutdown(p.client.t));
    tug_test_settle();
    uint8_t data[4096];
    ssize_t n = recv(p.client_wire, data, sizeof data, 0);
    assert_true(n > 0);
    assert_int_equal(send(p.server_wire, data, (size_t)n, 0), n); /* and no FIN */
    tug_transport_pause(p.server.t, false);
    tug_test_settle();
    rig_heard(&p.server, "bytes");
    assert_true(p.server.eof);
    rig_close(&p);
}

/* --- cut and broken at each place -------------------------------------------------------------- */

/* A Unix socket that is closed with bytes unread resets the other end. */
static bool went_away(int code)
{
    return code == TUG_ECLOSED || code == -ECONNRESET;
}

static void cut_after(tug_tls *client, tug_tls *server, size_t most)
{
    rig_pair p;
    rig_open(&p, client, server, "localhost");
    int rc = rig_shake(&p, client, "localhost", SIZE_MAX, most);
    if (rc == 0) {
        rig_say(&p.client, "hello");
        size_t done = p.to_server + p.to_client;
        rig_pump(&p, SIZE_MAX, most > done ? most - done : 0);
    } else if (!went_away(rc)) {
        fail_msg("cut after %zu bytes: %s: %s", most, tug_error_name(rc), tug_last_error()->text);
    }
    for (int *wire = &p.client_wire; wire != NULL;
         wire = wire == &p.client_wire ? &p.server_wire : NULL) {
        if (*wire >= 0) {
            close(*wire);
            *wire = -1;
        }
    }
    tug_test_settle();
    assert_true(p.server.ended);
    if (!went_away(p.server.why.code) && p.server.why.code != TUG_EPROTO) {
        fail_msg("cut after %zu bytes: the server says %s", most, p.server.why.text);
    }
    rig_close(&p);
}

TASK_TEST(it_may_be_cut_at_any_byte)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.sessions = 0;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    size_t all = p.to_server + p.to_client;
    rig_close(&p);
    for (size_t most = 0; most < all; most += most < 100 ? 1 : 23) {
        cut_after(client, server, most);
    }
}

/* One bit of the handshake turned over: it fails with a sentence, on both sides, and nothing worse. */
static void turn_over(tug_tls *client, tug_tls *server, size_t at)
{
    rig_pair p;
    uint8_t data[16384];
    rig_open(&p, client, server, "localhost");
    /* Over a plain pair: the client's first flight is changed by hand. */
    tug_scope s;
    tug_scope_enter(&s, TUG_MS(1));
    assert_rc(tug_scope_leave(&s, tug_transport_secure(p.client.t, client, "localhost")),
              TUG_ETIMEDOUT);
    ssize_t n = recv(p.client_wire, data, sizeof data, MSG_DONTWAIT);
    assert_true(n > 0);
    data[at % (size_t)n] ^= 0x20;
    assert_int_equal(send(p.server_wire, data, (size_t)n, MSG_NOSIGNAL), n);
    tug_test_settle();
    close(p.server_wire);
    p.server_wire = -1;
    tug_test_settle();
    assert_true(p.server.ended);
    assert_true(p.server.why.code == TUG_EPROTO || went_away(p.server.why.code));
    assert_true(strlen(p.server.why.text) > 20);
    rig_close(&p);
}

TASK_TEST(a_broken_hello_fails_with_a_sentence)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    for (size_t at = 0; at < 250; at += 3) {
        turn_over(client, server, at);
    }
}

TASK_TEST(a_broken_record_ends_the_connection)
{
    rig_pair p;
    uint8_t data[256];
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    rig_say(&p.client, "secret");
    tug_test_settle();
    ssize_t n = recv(p.client_wire, data, sizeof data, 0);
    data[n - 1] ^= 1;
    assert_int_equal(send(p.server_wire, data, (size_t)n, 0), n);
    tug_test_settle();
    assert_true(p.server.ended);
    assert_int_equal(p.server.why.code, TUG_EPROTO);
    assert_int_equal(p.server.size, 0);
    /* The client is told by an alert. */
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    assert_true(p.client.ended);
    assert_int_equal(p.client.why.code, TUG_EPROTO);
    assert_non_null(strstr(p.client.why.text, "bad record mac"));
    rig_close(&p);
}

/* --- time and cancel --------------------------------------------------------------------------- */

TASK_TEST(a_peer_that_never_answers_meets_the_deadline)
{
    int fds[2];
    tug_transport *t = NULL;
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_SECONDS(3), tug_transport_secure(t, client, "localhost")),
              TUG_ETIMEDOUT);
    assert_true(tug_now() - before == TUG_SECONDS(3));
    tug_transport_close(t);
    close(fds[1]);
}

/* Cancelled after k bytes of the handshake, for each k of a step. */
struct victim {
    rig_pair *p;
    tug_tls *client;
    int rc;
};

static int be_cancelled(void *arg)
{
    struct victim *v = arg;
    v->rc = tug_transport_secure(v->p->client.t, v->client, "localhost");
    return v->rc;
}

TASK_TEST(it_is_cancelled_at_any_moment_of_the_handshake)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.sessions = 0;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    int cancelled = 0, done = 0;
    for (size_t most = 0; done == 0 && most < 20 * 1000; most += 97) {
        rig_pair p;
        struct victim v = {&p, client, 1};
        tug_group g;
        rig_open(&p, client, server, "localhost");
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&g, be_cancelled, &v));
        if (most > 0) { /* else before its first wait */
            rig_pump(&p, SIZE_MAX, most);
        }
        tug_group_cancel(&g);
        TUG_IGNORE(tug_group_leave(&g, 0));
        assert_true(v.rc == 0 || v.rc == TUG_ECANCELED);
        cancelled += v.rc == TUG_ECANCELED;
        done += v.rc == 0;
        rig_close(&p);
    }
    assert_int_equal(done, 1);
    assert_true(cancelled > 10);
}

/* Cancelled on entry means: nothing happened. */
TASK_TEST(a_cancelled_scope_starts_no_handshake)
{
    int fds[2];
    tug_transport *t = NULL;
    tug_scope s;
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_transport_secure(t, client, "localhost"), TUG_ECANCELED);
    TUG_AUTO(tug_tls) none = NULL;
    assert_rc(tug_tls_new(&co, &none), TUG_ECANCELED);
    assert_rc(tug_tls_default(&none), TUG_ECANCELED);
    assert_null(none);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    char c;
    assert_int_equal(recv(fds[1], &c, 1, MSG_DONTWAIT), -1);
    tug_transport_close(t);
    close(fds[1]);
}

TASK_TEST(a_client_that_says_nothing_is_sent_away)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options so = rig_server_options();
    so.handshake_timeout = TUG_SECONDS(7);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    tug_time before = tug_now();
    rig_open(&p, NULL, server, NULL);
    while (!p.server.ended) {
        assert_ok(tug_sleep(TUG_MS(500)));
    }
    assert_true(tug_now() - before >= TUG_SECONDS(7) && tug_now() - before <= TUG_SECONDS(8));
    assert_int_equal(p.server.why.code, TUG_ECLOSED);
    assert_non_null(strstr(p.server.why.text, "no handshake within the time"));
    rig_close(&p);
}

TASK_TEST(a_client_in_time_is_not_sent_away)
{
    rig_pair p;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    assert_ok(tug_sleep(TUG_SECONDS(60)));
    rig_say(&p.client, "still here");
    rig_pump(&p, SIZE_MAX, SIZE_MAX);
    rig_heard(&p.server, "still here");
    rig_close(&p);
}

/* --- sessions ---------------------------------------------------------------------------------- */

static bool connect_is_resumed(tug_tls *client, tug_tls *server, const char *name)
{
    rig_pair p;
    tug_tls_info info = TUG_TLS_INFO_INIT, other = TUG_TLS_INFO_INIT;
    rig_connect(&p, client, server, name);
    assert_true(tug_transport_tls_info(p.client.t, &info));
    assert_true(tug_transport_tls_info(p.server.t, &other));
    assert_true(info.is_resumed == other.is_resumed);
    assert_true(info.is_verified);
    assert_string_equal(info.subject, "CN=server");
    rig_close(&p);
    return info.is_resumed;
}

TASK_TEST(sessions_are_resumed)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    TUG_AUTO(tug_tls) other_client = rig_tls(&co);
    assert_false(connect_is_resumed(client, server, "localhost"));
    for (int i = 0; i < 5; i++) {
        assert_true(connect_is_resumed(client, server, "localhost"));
    }
    /* A session is of the name that was verified, and of these settings. */
    assert_false(connect_is_resumed(client, server, "db.wild.example"));
    assert_false(connect_is_resumed(other_client, server, "localhost"));
    /* A server that does not know it makes a new one. */
    TUG_AUTO(tug_tls) other_server = rig_tls(&so);
    assert_false(connect_is_resumed(client, other_server, "localhost"));
}

TASK_TEST(sessions_of_verified_clients_are_resumed)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.certificate_file = rig_path("client.pem");
    so.clients = TUG_TLS_CLIENTS_VERIFIED;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    assert_false(connect_is_resumed(client, server, "localhost"));
    rig_pair p;
    tug_tls_info info = TUG_TLS_INFO_INIT;
    rig_connect(&p, client, server, "localhost");
    assert_true(tug_transport_tls_info(p.server.t, &info));
    assert_true(info.is_resumed && info.is_verified);
    assert_string_equal(info.subject, "CN=joe");
    rig_close(&p);
}

TASK_TEST(sessions_are_bounded)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.sessions = 2;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    assert_false(connect_is_resumed(client, server, "a.wild.example"));
    assert_false(connect_is_resumed(client, server, "b.wild.example"));
    assert_true(connect_is_resumed(client, server, "a.wild.example"));
    assert_false(connect_is_resumed(client, server, "c.wild.example")); /* in the place of b */
    assert_true(connect_is_resumed(client, server, "a.wild.example"));
    assert_false(connect_is_resumed(client, server, "b.wild.example"));
    co.sessions = 0;
    TUG_AUTO(tug_tls) without = rig_tls(&co);
    assert_false(connect_is_resumed(without, server, "localhost"));
    assert_false(connect_is_resumed(without, server, "localhost"));
}

/* --- ALPN -------------------------------------------------------------------------------------- */

static void assert_alpn(const char *ours, const char *theirs, const char *expected)
{
    rig_pair p;
    tug_tls_info info = TUG_TLS_INFO_INIT;
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.alpn = ours;
    so.alpn = theirs;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_open(&p, client, server, "localhost");
    int rc = rig_shake(&p, client, "localhost", SIZE_MAX, SIZE_MAX);
    if (expected == NULL) {
        assert_int_equal(rc, TUG_EPROTO);
        assert_detail_has("no application protocol");
        assert_non_null(strstr(p.server.why.text, "no common application protocol"));
    } else {
        assert_int_equal(rc, 0);
        assert_true(tug_transport_tls_info(p.client.t, &info));
        assert_string_equal(info.alpn, expected);
        rig_pump(&p, SIZE_MAX, SIZE_MAX);
        assert_true(tug_transport_tls_info(p.server.t, &info));
        assert_string_equal(info.alpn, expected);
    }
    rig_close(&p);
}

TASK_TEST(application_protocols_are_agreed_on)
{
    rig_make_all();
    assert_alpn("h2,http/1.1", "http/1.1,h2", "http/1.1"); /* the server's order */
    assert_alpn("h2", NULL, "");
    assert_alpn(NULL, "h2", "");
    assert_alpn("h2", "http/1.1", NULL);
}

/* --- misuse ------------------------------------------------------------------------------------ */

TASK_TEST(misuse_is_refused)
{
    rig_pair p;
    int fds[2];
    tug_transport *t = NULL;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, "localhost");
    assert_rc(tug_transport_secure(p.client.t, client, "localhost"), TUG_EMISUSE);
    assert_rc(tug_transport_secure_server(p.server.t, server), TUG_EMISUSE);
    rig_close(&p);

    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    assert_rc(tug_transport_secure_server(t, client), TUG_EINVAL);
    assert_detail_has("certificate_file");
    assert_rc(tug_transport_secure(t, NULL, "localhost"), TUG_EINVAL);
    assert_rc(tug_transport_secure(t, client, NULL), TUG_EINVAL);
    assert_detail_has("server_name");
    char name[300];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    assert_rc(tug_transport_secure(t, client, name), TUG_EINVAL);
    assert_ok(tug_transport_write(t, tug_bytes("x", 1)));
    assert_rc(tug_transport_secure(t, client, "localhost"), TUG_EMISUSE);
    assert_detail_has("before the transport");
    tug_transport_close(t);
    close(fds[1]);
}

/* A transport whose handshake failed can only be closed, and says why it cannot be started. */
TASK_TEST(a_failed_transport_does_not_start)
{
    static const tug_transport_ops ops = {.size = sizeof ops};
    int fds[2];
    tug_transport *t = NULL;
    rig_make_all();
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    close(fds[1]);
    int rc = tug_transport_secure(t, client, "localhost");
    assert_true(rc == TUG_ECLOSED || rc == -EPIPE);
    assert_rc(tug_transport_secure(t, client, "localhost"), TUG_EMISUSE);
    tug_transport_ops full = ops;
    (void)full;
    tug_transport_close(t);
}
