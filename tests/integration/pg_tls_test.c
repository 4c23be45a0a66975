/* TLS, certificates and channel binding, on a server of the test's own whose certificate is for db.test. */
#include <libpq-fe.h>

#include "names.h"
#include "pg_help.h"
#include "pg_server.h"
#include "proxy.h"

#include <tug/log.h>
#include <tug/scope.h>

struct rig {
    servers servers;
    int port;
};

static struct rig rig_start(void)
{
    struct rig r = {.servers = servers_begin()};
    /* What the user of this machine has must not decide. */
    setenv("HOME", r.servers.folder, 1);
    unsetenv("PGSSLMODE");
    unsetenv("PGSSLROOTCERT");
    unsetenv("SSL_CERT_FILE");
    servers_say(&r.servers, "init a");
    servers_say(&r.servers, "tls a db.test");
    servers_say(&r.servers, "hba a hostssl all badger 127.0.0.1/32 cert");
    r.port = servers_start(&r.servers, "a");
    return r;
}

static void rig_stop(struct rig *r)
{
    servers_end(&r->servers);
}

/* A conninfo: more, with @ for the folder of certificates. */
static const char *rig_text(const struct rig *r, const char *more)
{
    static char text[600];
    int n = snprintf(text, sizeof text, "port=%d dbname=postgres connect_timeout=8 ", r->port);
    char *at = text + n;
    for (; *more != '\0'; more++) {
        at += *more == '@' ? sprintf(at, "%s", r->servers.folder) : sprintf(at, "%c", *more);
    }
    *at = '\0';
    return text;
}

static tug_pg *rig_open(const struct rig *r, const char *more)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = 1;
    assert_ok(tug_pg_open(rig_text(r, more), &o, &db));
    return db;
}

#define AS_TUG "user=tug password=sec-ret "

/* Gets in, over TLS or not. */
static void gets_in(const struct rig *r, const char *more, bool tls)
{
    TUG_AUTO(tug_pg) db = rig_open(r, more);
    bool is_tls = !tls;
    assert_ok(tug_pg_ready(db));
    assert_ok(tug_pg_query_one(db, "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
                               TUG_NO_ARGS, TUG_OUT(&is_tls)));
    assert_int_equal(is_tls, tls);
}

/* Does not: one line, no secret. */
static void stays_out(const struct rig *r, const char *more, int code, int origin,
                      const char *detail)
{
    TUG_AUTO(tug_pg) db = rig_open(r, more);
    assert_rc(tug_pg_ready(db), code);
    const tug_error *e = tug_last_error();
    assert_detail_has(detail);
    assert_int_equal(e->origin, origin);
    assert_int_equal(e->sent, TUG_NOT_SENT);
    assert_false(e->transient);
    assert_null(strstr(e->text, "sec-ret"));
    assert_null(strchr(e->text, '\n'));
}

LIVE_TEST(who_the_server_is_is_verified_unless_somebody_says_otherwise)
{
    struct rig r = rig_start();
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt", true);
    stays_out(&r, AS_TUG "host=other.test sslrootcert=@/ca.crt", TUG_ECONNECT, TUG_ORIGIN_TLS,
              "does not match host name \"other.test\"");
    stays_out(&r, AS_TUG "host=db.test sslrootcert=@/stranger.crt", TUG_ECONNECT, TUG_ORIGIN_TLS,
              "certificate verify failed");
    stays_out(&r, AS_TUG "host=db.test", TUG_ECONNECT, TUG_ORIGIN_TLS, "certificate");
    /* The name in the certificate counts for an address as well. */
    stays_out(&r, AS_TUG "host=127.0.0.1 sslmode=verify-full sslrootcert=@/ca.crt", TUG_ECONNECT,
              TUG_ORIGIN_TLS, "127.0.0.1");
    gets_in(&r, AS_TUG "host=db.test hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=@/ca.crt",
            true);
    gets_in(&r, AS_TUG "host=other.test sslmode=verify-ca sslrootcert=@/ca.crt", true);
    gets_in(&r, AS_TUG "host=other.test sslmode=require", true);
    gets_in(&r, AS_TUG "host=localhost", true); /* local: as libpq does it */
    rig_stop(&r);
}

LIVE_TEST(the_systems_authorities_are_the_default)
{
    struct rig r = rig_start();
    char bundle[100];
    snprintf(bundle, sizeof bundle, "%s/ca.crt", r.servers.folder);
    setenv("SSL_CERT_FILE", bundle, 1);
    gets_in(&r, AS_TUG "host=db.test", true);
    gets_in(&r, AS_TUG "host=db.test sslrootcert=system", true);
    stays_out(&r, AS_TUG "host=localhost sslrootcert=system", TUG_ECONNECT, TUG_ORIGIN_TLS,
              "does not match host name \"localhost\"");
    rig_stop(&r);
}

LIVE_TEST(a_revoked_certificate)
{
    struct rig r = rig_start();
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt sslcrl=@/empty.crl", true);
    stays_out(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt sslcrl=@/revoked.crl", TUG_ECONNECT,
              TUG_ORIGIN_TLS, "certificate");
    rig_stop(&r);
}

LIVE_TEST(without_tls_where_the_server_wants_it)
{
    struct rig r = rig_start();
    stays_out(&r, AS_TUG "host=db.test sslmode=disable", TUG_EAUTH, TUG_ORIGIN_SERVER,
              "no encryption");
    assert_string_equal(tug_last_error()->native, "28000");
    stays_out(&r, AS_TUG "host=localhost sslmode=disable", TUG_EAUTH, TUG_ORIGIN_SERVER,
              "no pg_hba.conf entry");
    rig_stop(&r);
}

static void make_badger(const struct rig *r)
{
    TUG_AUTO(tug_pg) db = rig_open(r, AS_TUG "host=localhost");
    assert_ok(tug_pg_exec(db, "create role badger login", TUG_NO_ARGS, NULL));
}

LIVE_TEST(a_login_by_certificate)
{
    struct rig r = rig_start();
    make_badger(&r);
    gets_in(
        &r,
        "user=badger host=db.test sslrootcert=@/ca.crt sslcert=@/client.crt sslkey=@/client.key",
        true);
    stays_out(&r, "user=badger host=db.test sslrootcert=@/ca.crt", TUG_EAUTH, TUG_ORIGIN_SERVER,
              "valid client certificate");
    stays_out(&r,
              "user=badger host=db.test sslrootcert=@/ca.crt sslcert=@/strange.crt "
              "sslkey=@/strange.key",
              TUG_ECONNECT, TUG_ORIGIN_TLS, "unknown ca");
    stays_out(&r,
              "user=badger host=db.test sslrootcert=@/ca.crt sslcert=@/client.crt "
              "sslkey=@/strange.key",
              TUG_ECONNECT, TUG_ORIGIN_TLS, "key values mismatch");
    rig_stop(&r);
}

LIVE_TEST(the_password_is_bound_to_the_channel)
{
    struct rig r = rig_start();
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt channel_binding=require", true);
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt channel_binding=disable", true);
    /* Libpq finds this out by itself, before it asks for a password. */
    servers_say(&r.servers, "stop a");
    servers_say(&r.servers, "hba a hostnossl all all 127.0.0.1/32 scram-sha-256");
    r.port = servers_start(&r.servers, "a");
    gets_in(&r, AS_TUG "host=localhost sslmode=disable", false);
    stays_out(&r, AS_TUG "host=localhost sslmode=disable channel_binding=require", TUG_EAUTH,
              TUG_ORIGIN_LIBPQ, "channel binding");
    stays_out(&r, "user=tug password=not-the-sec-ret host=db.test sslrootcert=@/ca.crt", TUG_EAUTH,
              TUG_ORIGIN_SERVER, "password authentication failed");
    rig_stop(&r);
}

/* --- a weak mode is said ---------------------------------------------------------------------- */

static char warned[300];

static void keep_warning(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (record->level == TUG_LOG_WARN && strstr(record->text, "sslmode") != NULL) {
        snprintf(warned, sizeof warned, "%s", record->text);
    }
}

LIVE_TEST(a_weaker_mode_is_written_to_the_log)
{
    tug_pg *db = NULL;
    tug_log_set_sink(keep_warning, NULL);
    assert_ok(tug_pg_open("postgresql://u:sec-ret@localhost:9/x?sslmode=disable", NULL, &db));
    tug_pg_close(db);
    assert_string_equal(warned, "");
    assert_ok(tug_pg_open("postgresql://u:sec-ret@db.test:9/x?sslmode=require", NULL, &db));
    tug_pg_close(db);
    assert_non_null(strstr(warned, "db.test:9/x as u: sslmode=require"));
    assert_null(strstr(warned, "sec-ret"));
    tug_log_set_sink(NULL, NULL);
}

/* --- cancel requests --------------------------------------------------------------------------- */

static void keep_cancel_warning(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (record->level == TUG_LOG_WARN && strstr(record->text, "cancel request") != NULL) {
        snprintf(warned, sizeof warned, "%s", record->text);
    }
}

/* Connections over which the client has said so many bytes. */
static int links_of(const proxy *p, uint64_t bytes)
{
    int n = 0;
    const proxy_link *link;
    for (size_t i = 0; (link = proxy_link_at(p, i)) != NULL; i++) {
        n += proxy_link_bytes(link, PROXY_UP) == bytes;
    }
    return n;
}

LIVE_TEST(a_cancel_request_goes_over_tls_too)
{
    struct rig r = rig_start();
    char server[40];
    snprintf(server, sizeof server, "tcp://127.0.0.1:%d", r.port);
    proxy *p = proxy_start(server);
    r.port = proxy_port(p);
    tug_pg *db = rig_open(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt");
    tug_pg *session = NULL;
    int64_t pid = 0, same = 0;
    tug_log_set_sink(keep_cancel_warning, NULL);
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_query_one(session, "select pg_backend_pid()", TUG_NO_ARGS, TUG_OUT(&pid)));
    assert_rc(
        TUG_WITHIN(TUG_MS(50), tug_pg_exec(session, "select pg_sleep(20)", TUG_NO_ARGS, NULL)),
        TUG_ETIMEDOUT);
    assert_ok(tug_pg_query_one(session, "select pg_backend_pid()", TUG_NO_ARGS, TUG_OUT(&same)));
    assert_int_equal(same, pid);
    /* In plain text, as before libpq 17, it would be 16 bytes long. */
    assert_int_equal(links_of(p, 16) > 0, PQlibVersion() < 170000);
    /* The server hangs up after it: that is no failure. */
    assert_string_equal(warned, "");
    tug_log_set_sink(NULL, NULL);
    tug_pg_close(session);
    tug_pg_close(db);
    proxy_stop(p);
    rig_stop(&r);
}

/* --- cut in the handshake --------------------------------------------------------------------- */

/* A handshake that breaks off is a bad moment, and not a bad certificate: worth another try. */
LIVE_TEST(cut_in_the_handshake)
{
    struct rig r = rig_start();
    char server[40];
    snprintf(server, sizeof server, "tcp://127.0.0.1:%d", r.port);
    proxy *p = proxy_start(server);
    r.port = proxy_port(p);
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt", true);
    uint64_t total = proxy_link_bytes(proxy_link_at(p, 0), PROXY_DOWN);
    for (uint64_t n = 0; n < total / 2; n += 37) {
        proxy_rules rules = PROXY_RULES_INIT;
        rules.way[PROXY_DOWN].cut_after = n;
        proxy_set(p, &rules);
        TUG_AUTO(tug_pg) db = rig_open(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt");
        assert_rc(tug_pg_ready(db), TUG_ECONNECT);
        assert_true(tug_last_error()->transient);
        assert_null(strstr(tug_last_error()->text, "sec-ret"));
    }
    proxy_set(p, NULL);
    gets_in(&r, AS_TUG "host=db.test sslrootcert=@/ca.crt", true);
    proxy_stop(p);
    rig_stop(&r);
}
