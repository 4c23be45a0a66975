/* Several servers: which one is taken (target_session_attrs, load_balance_hosts), how long each may take, and
 * what sockets there are. */
#include "names.h"
#include "pg_help.h"
#include "pg_server.h"
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <unistd.h>

static tug_pg *open_one(const char *text)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = 1;
    assert_ok(tug_pg_open(text, &o, &db));
    return db;
}

/* --- a primary and its standby ---------------------------------------------------------------- */

struct pair {
    servers servers;
    int primary, standby;
};

static struct pair pair_start(void)
{
    struct pair p = {.servers = servers_begin()};
    servers_say(&p.servers, "init a");
    p.primary = servers_start(&p.servers, "a");
    servers_say(&p.servers, "standby b a");
    p.standby = servers_start(&p.servers, "b");
    return p;
}

static const char *pair_text(int first, int second, const char *attrs)
{
    static char text[300];
    snprintf(text, sizeof text,
             "postgresql://tug:sec-ret@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=%s",
             first, second, attrs);
    return text;
}

/* With the servers in this order it is the one at port that is taken. */
static void check_taken(int first, int second, const char *attrs, int port)
{
    TUG_AUTO(tug_pg) db = open_one(pair_text(first, second, attrs));
    assert_ok(tug_pg_ready(db));
    int64_t taken = help_int(db, "select current_setting('port')::int8");
    if (taken != port) {
        fail_msg("%s of %d, %d: took %d", attrs, first, second, (int)taken);
    }
}

static void check_none(int first, int second, const char *attrs, const char *detail)
{
    TUG_AUTO(tug_pg) db = open_one(pair_text(first, second, attrs));
    assert_rc(tug_pg_ready(db), TUG_ECONNECT);
    assert_detail_has(detail);
    assert_detail_has(attrs);
    assert_detail_has("1 other failed before it");
    assert_true(tug_last_error()->transient); /* after a failover it may be otherwise */
    assert_null(strstr(tug_last_error()->text, "sec-ret"));
}

static int writes(void *arg)
{
    tug_pg *db = arg;
    int rc = 0;
    while ((rc = tug_pg_exec(db, "create table promoted(i int)", TUG_NO_ARGS, NULL)) < 0) {
        assert_true(rc == TUG_ECONNECT || rc == TUG_ECLOSED || rc == TUG_ESERVER);
        assert_ok(tug_sleep(TUG_MS(20)));
    }
    return 0;
}

LIVE_TEST(the_server_that_was_asked_for_is_taken)
{
    struct pair p = pair_start();
    int a = p.primary, b = p.standby;
    for (int i = 0; i < 2; i++) {
        int first = i == 0 ? a : b, second = i == 0 ? b : a;
        check_taken(first, second, "any", first);
        check_taken(first, second, "read-write", a);
        check_taken(first, second, "primary", a);
        check_taken(first, second, "read-only", b);
        check_taken(first, second, "standby", b);
        check_taken(first, second, "prefer-standby", b);
    }
    check_taken(a, a, "prefer-standby", a);
    check_taken(a, 9, "prefer-standby", a);
    check_taken(9, a, "prefer-standby", a);
    check_none(b, b, "primary", "is a standby");
    check_none(b, b, "read-write", "is a standby");
    check_none(a, a, "standby", "is a primary");
    check_none(a, a, "read-only", "takes writes");

    /* Promoted, after the primary has gone: who asks for a primary gets the new one, and keeps the handle. */
    TUG_AUTO(tug_pg) db = open_one(pair_text(a, b, "read-write"));
    assert_ok(tug_pg_ready(db));
    servers_say(&p.servers, "kill a");
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(40), TUG_FAIL_FAST);
    tug_group_spawn(&g, writes, db);
    servers_say(&p.servers, "promote b");
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(help_int(db, "select current_setting('port')::int8"), b);
    servers_end(&p.servers);
}

/* A primary that is told to take no more writes, while connected: no lease of it is given any more to who
 * asked for read-write, and nothing is lost that was under way. */
LIVE_TEST(a_primary_that_becomes_read_only)
{
    servers s = servers_begin();
    servers_say(&s, "init a");
    servers_say(&s, "init b");
    int a = servers_start(&s, "a"), b = servers_start(&s, "b");
    char direct[200];
    snprintf(direct, sizeof direct, "postgresql://tug:sec-ret@127.0.0.1:%d/postgres", a);
    TUG_AUTO(tug_pg) admin = open_one(direct);
    TUG_AUTO(tug_pg) db = open_one(pair_text(a, b, "read-write"));
    assert_ok(tug_pg_exec(db, "create table t(i int)", TUG_NO_ARGS, NULL));
    tug_future *slow = tug_pg_query_start(db, "select pg_sleep(0.3)", TUG_NO_ARGS);
    assert_ok(tug_pg_exec(admin, "alter system set default_transaction_read_only = on", TUG_NO_ARGS,
                          NULL));
    assert_ok(tug_pg_exec(admin, "select pg_reload_conf()", TUG_NO_ARGS, NULL));
    assert_ok(tug_await(slow));
    tug_future_unref(slow);
    int rc = TUG_ESERVER;
    tug_time until = tug_time_after(tug_now(), TUG_SECONDS(40));
    while (rc < 0 && tug_now() < until) {
        rc = tug_pg_exec(db, "create table u(i int)", TUG_NO_ARGS, NULL);
        if (rc < 0) {
            assert_int_equal(rc, TUG_ESERVER);
            assert_string_equal(tug_last_error()->native, "25006");
            assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
            assert_ok(tug_sleep(TUG_MS(20)));
        }
    }
    assert_ok(rc);
    assert_int_equal(help_int(db, "select current_setting('port')::int8"), b);
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_int_equal(help_int(tx, "select current_setting('port')::int8"), b);
    tug_pg_close(tx);
    /* What was connected to the first one is given up, not kept for nothing. */
    while (help_int(admin, "select count(*) from pg_stat_activity where backend_type = "
                           "'client backend' and pid <> pg_backend_pid()") > 0) {
        assert_true(tug_now() < until);
        assert_ok(tug_sleep(TUG_MS(10)));
    }
    servers_end(&s);
}

/* --- in any order ----------------------------------------------------------------------------- */

static struct {
    char user[64], password[64], host[64], database[64];
    int port;
} parts;

static void split(void)
{
    assert_int_equal(sscanf(test_url("TUG_PG_URL"),
                            "postgresql://%63[^:]:%63[^@]@%63[^:]:%d/%63[^?]", parts.user,
                            parts.password, parts.host, &parts.port, parts.database),
                     5);
}

static proxy *proxy_here(void)
{
    char server[100];
    snprintf(server, sizeof server, "tcp://%s:%d", parts.host, parts.port);
    return proxy_start(server);
}

static const char *text_of(const char *hosts, const char *more)
{
    static char text[500];
    snprintf(text, sizeof text, "postgresql://%s:%s@%s/%s?sslmode=disable%s", parts.user,
             parts.password, hosts, parts.database, more);
    return text;
}

static void open_many(const char *text, int n)
{
    for (int i = 0; i < n; i++) {
        TUG_AUTO(tug_pg) db = open_one(text);
        assert_ok(tug_pg_ready(db));
    }
}

LIVE_TEST(hosts_in_order_or_not)
{
    enum {
        N = 24
    };
    split();
    proxy *p[2] = {proxy_here(), proxy_here()};
    char hosts[100];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%d,127.0.0.1:%d", proxy_port(p[0]), proxy_port(p[1]));
    open_many(text_of(hosts, ""), N);
    assert_int_equal(proxy_accepted(p[0]), N);
    assert_int_equal(proxy_accepted(p[1]), 0);
    open_many(text_of(hosts, "&load_balance_hosts=random"), N);
    /* All on one side: once in 2^23. */
    assert_true(proxy_accepted(p[0]) > N && proxy_accepted(p[0]) < 2 * N);
    assert_int_equal(proxy_accepted(p[0]) + proxy_accepted(p[1]), 2 * N);
    proxy_stop(p[0]);
    proxy_stop(p[1]);
}

/* Addresses of one name as well: 127.0.0.2 answers nobody here. */
LIVE_TEST(each_address_of_a_name_is_tried)
{
    split();
    proxy *p = proxy_here();
    char hosts[100];
    snprintf(hosts, sizeof hosts, "two.test:%d", proxy_port(p));
    open_many(text_of(hosts, "&load_balance_hosts=random"), 16);
    assert_int_equal(proxy_accepted(p), 16);
    proxy_refuse(p, true);
    TUG_AUTO(tug_pg) db = open_one(text_of(hosts, ""));
    assert_rc(tug_pg_ready(db), TUG_ECONNECT);
    assert_detail_has("127.0.0.2");
    assert_detail_has("1 other failed before it");
    proxy_stop(p);
}

/* --- shares of the time ----------------------------------------------------------------------- */

LIVE_TEST(a_silent_host_has_its_share_and_no_more)
{
    split();
    proxy *silent = proxy_here(), *good = proxy_here();
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_DOWN].stall = true;
    proxy_set(silent, &rules);
    char hosts[150];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", proxy_port(silent),
             proxy_port(silent), proxy_port(good));
    tug_time before = tug_now();
    TUG_AUTO(tug_pg) db = open_one(text_of(hosts, "&connect_timeout=4"));
    assert_ok(tug_pg_ready(db));
    tug_duration took = tug_now() - before;
    /* Two thirds of the time for the two that say nothing. */
    assert_true(took >= TUG_MS(2600) && took < TUG_MS(3999));
    assert_int_equal(proxy_accepted(silent), 2);
    proxy_stop(silent);
    proxy_stop(good);
}

/* A primary is kept for prefer-standby while another server is asked, and let go of with the handle. */
LIVE_TEST(a_primary_waits_for_a_better_one)
{
    split();
    proxy *silent = proxy_here();
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_DOWN].stall = true;
    proxy_set(silent, &rules);
    char hosts[150];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%d,127.0.0.1:%d", parts.port, proxy_port(silent));
    const char *text = text_of(hosts, "&connect_timeout=4&target_session_attrs=prefer-standby");
    tug_pg *db = open_one(text);
    while (proxy_accepted(silent) == 0) {
        assert_rc(TUG_WITHIN(TUG_MS(5), tug_pg_ready(db)), TUG_ETIMEDOUT);
    }
    tug_pg_close(db);
    tug_time before = tug_now();
    db = open_one(text);
    assert_ok(tug_pg_ready(db));
    assert_true(tug_now() - before >= TUG_MS(1800));
    assert_int_equal(help_int(db, "select 1"), 1);
    tug_pg_close(db);
    proxy_stop(silent);
}

LIVE_TEST(a_held_look_up_has_its_share_and_no_more)
{
    split();
    char hosts[150];
    snprintf(hosts, sizeof hosts, "held.test:%d,127.0.0.1:%d", parts.port, parts.port);
    tug_time before = tug_now();
    TUG_AUTO(tug_pg) db = open_one(text_of(hosts, "&connect_timeout=4"));
    assert_ok(tug_pg_ready(db));
    tug_duration took = tug_now() - before;
    assert_true(took >= TUG_MS(1950) && took < TUG_MS(3999));
    names_end();
}

/* --- sockets ---------------------------------------------------------------------------------- */

LIVE_TEST(sockets_of_the_machine)
{
    servers s = servers_begin();
    char text[300];
    servers_say(&s, "init a");
    int port = servers_start(&s, "a");
    snprintf(text, sizeof text, "host=%s/a port=%d user=tug dbname=postgres", s.folder, port);
    {
        TUG_AUTO(tug_pg) db = open_one(text);
        assert_ok(tug_pg_ready(db));
        assert_int_equal(help_int(db, "select 1 where inet_server_addr() is null"), 1);
    }
    snprintf(text, sizeof text, "host=@tug-test-%d port=%d user=tug dbname=postgres", port, port);
    {
        TUG_AUTO(tug_pg) db = open_one(text);
        assert_ok(tug_pg_ready(db));
        assert_int_equal(help_int(db, "select 1 where inet_server_addr() is null"), 1);
    }
    strcat(text, " requirepeer=nobody");
    {
        TUG_AUTO(tug_pg) db = open_one(text);
        assert_rc(tug_pg_ready(db), TUG_EAUTH);
        assert_detail_has("requirepeer specifies \"nobody\"");
        assert_false(tug_last_error()->transient);
    }
    servers_end(&s);
}

/* --- what is passed on ------------------------------------------------------------------------ */

static const char *text_value(tug_pg *db, const char *sql)
{
    static char value[100];
    assert_ok(tug_pg_query_one(db, sql, TUG_NO_ARGS, TUG_OUT(TUG_COPY(value))));
    return value;
}

LIVE_TEST(what_the_url_says_reaches_the_server)
{
    split();
    char hosts[100];
    snprintf(hosts, sizeof hosts, "%s:%d", parts.host, parts.port);
    TUG_AUTO(tug_pg)
    db = open_one(text_of(hosts, "&application_name=night%20shift&options=-c%20work_mem%3D7MB"));
    assert_string_equal(text_value(db, "show application_name"), "night shift");
    assert_string_equal(text_value(db, "show work_mem"), "7MB");
}

/* --- an old server ---------------------------------------------------------------------------- */

/* Speaks version 3 of the protocol as a server of version 13 does, which does not report what it is: it is
 * asked. */
struct old {
    tug_listener *listener;
    const char *standby, *read_only; /* its answers */
    int questions;                   /* how often it was asked */
    bool silent;                     /* it does not answer */
};

static void put_message(char *to, size_t *n, char type, const void *body, size_t size)
{
    uint32_t length = htonl((uint32_t)size + 4);
    to[(*n)++] = type;
    memcpy(to + *n, &length, 4);
    memcpy(to + *n + 4, body, size);
    *n += size + 4;
}

static void put_row(char *to, size_t *n, const struct old *o)
{
    char body[100];
    size_t size = 0;
    static const char fields[] = "\0\2"
                                 "a\0\0\0\0\0\0\0\0\0\0\x19\377\377\377\377\377\377\0\0"
                                 "b\0\0\0\0\0\0\0\0\0\0\x19\377\377\377\377\377\377\0\0";
    put_message(to, n, 'T', fields, sizeof fields - 1);
    memcpy(body, "\0\2", 2);
    size = 2;
    for (int i = 0; i < 2; i++) {
        const char *value = i == 0 ? o->standby : o->read_only;
        uint32_t length = htonl((uint32_t)strlen(value));
        memcpy(body + size, &length, 4);
        memcpy(body + size + 4, value, strlen(value));
        size += 4 + strlen(value);
    }
    put_message(to, n, 'D', body, size);
    put_message(to, n, 'C', "SELECT 1", 9);
    put_message(to, n, 'Z', "I", 1);
}

static int old_talk(struct old *o, tug_stream *s)
{
    char in[1000], out[1000];
    uint32_t length;
    size_t n = 0;
    int rc = tug_stream_read_exact(s, &length, 4);
    rc = rc < 0 ? rc : tug_stream_read_exact(s, in, ntohl(length) - 4);
    put_message(out, &n, 'R', "\0\0\0\0", 4);
    put_message(out, &n, 'S', "server_version\00013.9", 20);
    put_message(out, &n, 'S', "client_encoding\0UTF8", 21);
    put_message(out, &n, 'K', "\0\0\0\1\0\0\0\2", 8);
    put_message(out, &n, 'Z', "I", 1);
    rc = rc < 0 ? rc : tug_stream_write(s, (struct tug_bytes){out, n});
    while (rc >= 0) {
        char type;
        rc = tug_stream_read_exact(s, &type, 1);
        rc = rc < 0 ? rc : tug_stream_read_exact(s, &length, 4);
        rc = rc < 0 ? rc : tug_stream_read_exact(s, in, ntohl(length) - 4);
        if (rc >= 0 && type == 'Q') {
            o->questions++;
            assert_non_null(strstr(in, "pg_is_in_recovery"));
            if (o->silent) {
                continue;
            }
            n = 0;
            put_row(out, &n, o);
            /* In two parts: the answer is waited for. */
            rc = tug_stream_write(s, (struct tug_bytes){out, 10});
            rc = rc < 0 ? rc : tug_stream_flush(s);
            rc = rc < 0 ? rc : tug_sleep(TUG_MS(5));
            rc = rc < 0 ? rc : tug_stream_write(s, (struct tug_bytes){out + 10, n - 10});
        }
    }
    return rc;
}

static int old_run(void *arg)
{
    struct old *o = arg;
    tug_stream *s = NULL;
    while (tug_listener_next(o->listener, &s) > 0) {
        TUG_IGNORE(old_talk(o, s));
        tug_stream_close(s);
    }
    return 0;
}

static int old_ready_within(struct old *o, const char *attrs, int seconds)
{
    char text[200];
    snprintf(text, sizeof text,
             "host=127.0.0.1 port=%s user=u dbname=x sslmode=disable connect_timeout=%d "
             "target_session_attrs=%s",
             strrchr(tug_listener_address(o->listener), ':') + 1, seconds, attrs);
    TUG_AUTO(tug_pg) db = open_one(text);
    return tug_pg_ready(db);
}

static int old_ready(struct old *o, const char *attrs)
{
    return old_ready_within(o, attrs, 20);
}

LIVE_TEST(a_server_that_does_not_report_what_it_is_is_asked)
{
    struct old o = {.standby = "f", .read_only = "off"};
    tug_group g;
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &o.listener));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, old_run, &o);
    assert_ok(old_ready(&o, "any"));
    assert_int_equal(o.questions, 0);
    assert_ok(old_ready(&o, "primary"));
    assert_ok(old_ready(&o, "read-write"));
    assert_ok(old_ready(&o, "prefer-standby"));
    assert_rc(old_ready(&o, "standby"), TUG_ECONNECT);
    assert_int_equal(o.questions, 4);
    o.standby = "t";
    o.read_only = "on";
    assert_ok(old_ready(&o, "standby"));
    assert_ok(old_ready(&o, "read-only"));
    assert_rc(old_ready(&o, "primary"), TUG_ECONNECT);
    assert_detail_has("is a standby");
    /* The question has its bound, and a close does not wait for the answer. */
    o.silent = true;
    assert_rc(old_ready_within(&o, "primary", 1), TUG_ECONNECT);
    assert_detail_has("no answer within");
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(50), old_ready(&o, "primary")), TUG_ETIMEDOUT);
    tug_test_settle();
    assert_true(tug_now() - before < TUG_SECONDS(15)); /* connect_timeout is 20 s */
    tug_group_cancel(&g);
    assert_ok(tug_group_leave(&g, 0));
    tug_listener_close(o.listener);
}
