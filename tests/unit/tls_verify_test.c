/* Who is believed, and what is said when somebody is not. */
#include "tls_rig.h"

#include <string.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <unistd.h>

/* The client's result; what the server was told goes to ret_why (code 0: it was told nothing). */
static int meet(const tug_tls_options *co, const tug_tls_options *so, const char *name,
                tug_error *ret_why)
{
    rig_pair p;
    TUG_AUTO(tug_tls) client = rig_tls(co);
    TUG_AUTO(tug_tls) server = rig_tls(so);
    rig_open(&p, client, server, name);
    int rc = rig_shake(&p, client, name, SIZE_MAX, SIZE_MAX);
    if (rc == 0) {
        if (!p.client.ended) {
            rig_say(&p.client, "hello");
            rig_pump(&p, SIZE_MAX, SIZE_MAX);
        }
        if (p.client.ended) { /* TLS 1.3: the server has looked at our certificate only now */
            rc = tug_fail_with(&p.client.why);
        } else {
            rig_heard(&p.server, "hello");
        }
    }
    *ret_why = p.server.why;
    rig_close(&p);
    return rc;
}

static void assert_met(const tug_tls_options *co, const tug_tls_options *so, const char *name)
{
    tug_error why;
    assert_ok(meet(co, so, name, &why));
}

/* The line is whole: who it was with, and why. */
static void assert_refused(const char *certificate, const char *name, const char *line,
                           const char *native)
{
    tug_error why;
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    so.certificate_file = rig_path(certificate);
    assert_rc(meet(&co, &so, name, &why), TUG_EAUTH);
    assert_detail_has("TLS with ");
    assert_detail_has(line);
    assert_string_equal(tug_last_error()->native, native);
    assert_int_equal(tug_last_error()->origin, TUG_ORIGIN_TLS);
    assert_false(tug_last_error()->transient);
    /* The server hears of it by an alert. */
    assert_int_equal(why.code, TUG_EAUTH);
    assert_non_null(strstr(why.text, "the peer refused our certificate"));
}

TASK_TEST(names_are_verified)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    assert_met(&co, &so, "localhost");
    assert_met(&co, &so, "localhost.");
    assert_met(&co, &so, "LOCALHOST");
    assert_met(&co, &so, "db.wild.example");
    assert_met(&co, &so, "127.0.0.1");
    assert_met(&co, &so, "::1");
    assert_met(&co, &so, "::1%lo");
    assert_refused("server.pem", "example.com",
                   "its certificate (CN=server) is not for \"example.com\"", "X509 62");
    assert_refused("server.pem", "a.b.wild.example", "is not for \"a.b.wild.example\"", "X509 62");
    assert_refused("server.pem", "wild.example", "is not for \"wild.example\"", "X509 62");
    assert_refused("server.pem", "127.0.0.2", "is not for \"127.0.0.2\"", "X509 64");
    /* An address is no name, and the subject counts for nothing. */
    assert_refused("server.pem", "server", "is not for \"server\"", "X509 62");
}

TASK_TEST(dates_are_verified)
{
    rig_make_all();
    assert_refused("expired.pem", "localhost", "its certificate (CN=old) has expired on 20",
                   "X509 10");
    assert_refused("early.pem", "localhost", "its certificate (CN=young) is not valid before 20",
                   "X509 9");
}

TASK_TEST(chains_are_verified)
{
    rig_make_all();
    assert_refused("selfsigned.pem", "localhost",
                   "its certificate (CN=self) is self-signed and not trusted here", "X509 18");
    assert_refused(
        "stranger.pem", "localhost",
        "no trusted authority for its certificate (CN=stranger): unable to get local issuer",
        "X509 20");
}

TASK_TEST(a_trusted_self_signed_certificate_will_do)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.ca_file = so.certificate_file = rig_path("selfsigned.pem");
    assert_met(&co, &so, "localhost");
}

TASK_TEST(server_name_replaces_the_host)
{
    tug_error why;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.server_name = "localhost";
    assert_met(&co, &so, "10.1.2.3");
    co.server_name = "elsewhere";
    assert_rc(meet(&co, &so, "localhost", &why), TUG_EAUTH);
    assert_detail_has("(elsewhere)");
}

TASK_TEST(the_name_may_be_left_out_of_it)
{
    tug_error why;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.verify = TUG_TLS_VERIFY_CHAIN;
    assert_met(&co, &so, "example.com");
    assert_met(&co, &so, "10.1.2.3");
    assert_met(&co, &so, NULL);
    so.certificate_file = rig_path("stranger.pem");
    assert_rc(meet(&co, &so, "localhost", &why), TUG_EAUTH);
}

static int warnings;

static void count(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (record->level == TUG_LOG_WARN && strcmp(record->subsystem, "tls") == 0) {
        assert_non_null(strstr(record->text, "not verified"));
        warnings++;
    }
}

TASK_TEST(no_verification_is_loud)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    tug_log_set_sink(count, NULL);
    assert_met(&co, &so, "localhost");
    assert_int_equal(warnings, 0);
    co.verify = TUG_TLS_VERIFY_NONE;
    so.certificate_file = rig_path("expired.pem");
    assert_met(&co, &so, "example.com");
    assert_int_equal(warnings, 1);
    tug_log_set_sink(NULL, NULL);
}

TASK_TEST(what_was_not_verified_is_not_called_so)
{
    rig_pair p;
    tug_tls_info info = TUG_TLS_INFO_INIT;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.verify = TUG_TLS_VERIFY_NONE;
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_connect(&p, client, server, NULL);
    assert_true(tug_transport_tls_info(p.client.t, &info));
    assert_false(info.is_verified);
    assert_string_equal(info.subject, "CN=server");
    rig_close(&p);
}

/* --- clients ----------------------------------------------------------------------------------- */

TASK_TEST(clients_are_verified)
{
    tug_error why;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    so.clients = TUG_TLS_CLIENTS_VERIFIED;
    assert_rc(meet(&co, &so, "localhost", &why), TUG_EAUTH);
    assert_detail_has("the peer wants a certificate of ours: set certificate_file");
    assert_int_equal(why.code, TUG_EAUTH);
    assert_non_null(strstr(why.text, "the client has shown no certificate"));
    co.certificate_file = rig_path("client.pem");
    assert_met(&co, &so, "localhost");
    co.certificate_file = rig_path("stranger.pem");
    assert_rc(meet(&co, &so, "localhost", &why), TUG_EAUTH);
    assert_detail_has("the peer refused our certificate: unknown CA");
    assert_non_null(
        strstr(why.text, "no trusted authority for the client's certificate (CN=stranger)"));
}

TASK_TEST(clients_may_be_asked_only)
{
    tug_error why;
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    so.clients = TUG_TLS_CLIENTS_ASKED;
    assert_met(&co, &so, "localhost");
    co.certificate_file = rig_path("client.pem");
    assert_met(&co, &so, "localhost");
    co.certificate_file = rig_path("stranger.pem");
    assert_rc(meet(&co, &so, "localhost", &why), TUG_EAUTH);
}

/* --- versions ---------------------------------------------------------------------------------- */

TASK_TEST(the_version_may_be_raised)
{
    rig_make_all();
    tug_tls_options co = rig_client_options(), so = rig_server_options();
    co.min_version = TUG_TLS_1_3;
    assert_met(&co, &so, "localhost");
    so.min_version = TUG_TLS_1_3;
    assert_met(&co, &so, "localhost");
}

/* --- who speaks no TLS ------------------------------------------------------------------------- */

static void plain_server(const char *text)
{
    int fds[2];
    tug_transport *t = NULL;
    tug_tls_options co = rig_client_options();
    TUG_AUTO(tug_tls) client = rig_tls(&co);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    assert_rc(tug_transport_secure(t, client, "localhost"), TUG_EPROTO);
    assert_detail_has("the peer does not speak TLS: it sent plain text");
    tug_transport_close(t);
    close(fds[1]);
}

TASK_TEST(a_server_that_speaks_plain_text_is_seen_as_such)
{
    rig_make_all();
    plain_server("HTTP/1.1 400 Bad Request\r\n\r\n");
    plain_server("220 smtp.example.com ESMTP ready\r\n");
    plain_server("AMQP\x00\x00\x09\x01 AMQP AMQP");
    plain_server("-ERR unknown command\r\n");
    plain_server("SSH-2.0-OpenSSH_9.2\r\n");
    plain_server("E");
}

static void plain_client(const char *text)
{
    rig_pair p;
    tug_tls_options so = rig_server_options();
    TUG_AUTO(tug_tls) server = rig_tls(&so);
    rig_open(&p, NULL, server, NULL);
    assert_int_equal(write(p.server_wire, text, strlen(text)), strlen(text));
    tug_test_settle();
    if (!p.server.ended) { /* too short to be sure */
        close(p.server_wire);
        p.server_wire = -1;
        tug_test_settle();
    }
    assert_true(p.server.ended);
    assert_int_equal(p.server.why.code, TUG_EPROTO);
    assert_non_null(strstr(p.server.why.text, "does not speak TLS"));
    rig_close(&p);
}

TASK_TEST(a_client_that_speaks_plain_text_is_seen_as_such)
{
    rig_make_all();
    plain_client("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    plain_client("CONNECT localhost:443 HTTP/1.1\r\n\r\n");
    plain_client("*1\r\n$4\r\nPING\r\n");
    plain_client("hello\n");
}
