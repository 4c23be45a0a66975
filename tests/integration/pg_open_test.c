/* Opening: what is wrong with a target ends in one clear line, in time, without the password. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <unistd.h>

#include "pg_help.h"

/* The parts of the test's URL: postgresql://user:password@host:port/database. */
struct parts {
    char user[64], password[64], host[64], database[64];
    int port;
};

static struct parts split(void)
{
    struct parts p;
    assert_int_equal(sscanf(test_url("TUG_PG_URL"),
                            "postgresql://%63[^:]:%63[^@]@%63[^:]:%d/%63[^?]", p.user, p.password,
                            p.host, &p.port, p.database),
                     5);
    return p;
}

static const char *joined(const struct parts *p)
{
    static char url[400];
    snprintf(url, sizeof url, "postgresql://%s:%s@%s:%d/%s", p->user, p->password, p->host, p->port,
             p->database);
    return url;
}

/* Fails to get ready with this code; the line is short, whole, and has no secret. */
static void assert_not_ready(const char *url, const tug_pg_options *o, const char *secret, int code)
{
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(url, o, &db));
    assert_rc(tug_pg_ready(db), code);
    const tug_error *e = tug_last_error();
    assert_null(strstr(e->text, secret));
    assert_null(strchr(e->text, '\n'));
    assert_int_equal(e->sent, TUG_NOT_SENT);
}

LIVE_TEST(a_wrong_password)
{
    struct parts p = split();
    strcpy(p.password, "not-the-pass-word");
    assert_not_ready(joined(&p), NULL, p.password, TUG_EAUTH);
    assert_string_equal(tug_last_error()->native, "28P01");
    assert_false(tug_last_error()->transient);
    assert_detail_has("password authentication failed");
    assert_detail_has(p.host);
}

LIVE_TEST(a_statement_fails_with_the_wrong_password_too)
{
    struct parts p = split();
    strcpy(p.password, "not-the-pass-word");
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(joined(&p), NULL, &db));
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_EAUTH);
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL),
              TUG_EAUTH); /* at once: nobody waits */
    assert_rc(tug_pg_ready(db), TUG_EAUTH);
    assert_rc(tug_pg_ready(db), TUG_EAUTH);
}

LIVE_TEST(no_such_database)
{
    struct parts p = split();
    strcpy(p.database, "there_is_no_such_database");
    assert_not_ready(joined(&p), NULL, p.password, TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "3D000");
}

LIVE_TEST(an_unknown_host)
{
    struct parts p = split();
    strcpy(p.host, "no-such-host.invalid");
    assert_not_ready(joined(&p), NULL, p.password, TUG_ECONNECT);
    assert_detail_has("no-such-host.invalid");
}

LIVE_TEST(a_refused_port)
{
    struct parts p = split();
    p.port = 9; /* discard: nobody listens there */
    assert_not_ready(joined(&p), NULL, p.password, TUG_ECONNECT);
    assert_detail_has("refused");
    assert_detail_has(":9");
    assert_true(tug_last_error()->transient);
}

LIVE_TEST(a_url_with_a_typo)
{
    tug_pg *db = NULL;
    assert_rc(tug_pg_open("postgresq://u:sec-ret@localhost/db", NULL, &db), TUG_EINVAL);
    assert_null(strstr(tug_last_error()->text, "sec-ret"));
    assert_rc(tug_pg_open("postgresql://u:sec-ret@localhost/db?conect_timeout=3", NULL, &db),
              TUG_EINVAL);
    assert_null(strstr(tug_last_error()->text, "sec-ret"));
    assert_detail_has("conect_timeout");
    assert_null(db);
}

LIVE_TEST(options_out_of_range)
{
    tug_pg *db = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.pool_max = 0;
    assert_rc(tug_pg_open(test_url("TUG_PG_URL"), &o, &db), TUG_EINVAL);
    assert_detail_has("pool_max");
}

TEST(no_loop)
{
    tug_pg *db = NULL;
    assert_rc(tug_pg_open("postgresql://localhost/x", NULL, &db), TUG_EMISUSE);
}

LIVE_TEST(a_name_is_looked_up)
{
    struct parts p = split();
    strcpy(p.host, "localhost"); /* two addresses on many machines, one of them refused */
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(joined(&p), NULL, &db));
    assert_ok(tug_pg_ready(db));
    assert_int_equal(help_int(db, "select 1"), 1);
}

LIVE_TEST(the_next_host_is_tried)
{
    struct parts p = split();
    char url[400];
    snprintf(url, sizeof url, "postgresql://%s:%s@%s:9,%s:%d/%s", p.user, p.password, p.host,
             p.host, p.port, p.database);
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(url, NULL, &db));
    assert_ok(tug_pg_ready(db));
    assert_int_equal(help_int(db, "select 1"), 1);
}

/* The way through the server's Unix socket; the directory is asked of the server. */
LIVE_TEST(a_unix_socket)
{
    struct parts p = split();
    char directories[200], conninfo[600];
    {
        TUG_AUTO(tug_pg) db = help_open(NULL);
        assert_ok(tug_pg_query_one(db, "show unix_socket_directories", TUG_NO_ARGS,
                                   TUG_OUT(TUG_COPY(directories))));
    }
    directories[strcspn(directories, ",")] = '\0';
    assert_int_equal(directories[0], '/');
    snprintf(conninfo, sizeof conninfo, "host=%s port=%d user=%s password=%s dbname=%s",
             directories, p.port, p.user, p.password, p.database);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_result_bytes = 1 << 20;
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(conninfo, &o, &db));
    assert_ok(tug_pg_ready(db));
    assert_int_equal(help_int(db, "select count(*) from generate_series(1, 1000)"), 1000);
    /* A slow trickle is not mistaken for a flood. */
    assert_ok(tug_pg_exec(db,
                          "select repeat('x', 100), pg_sleep(0.002) from generate_series(1, 150)",
                          TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(db, "select repeat('x', 1000) from generate_series(1, 200000)",
                          TUG_NO_ARGS, NULL),
              TUG_ELIMIT);
    assert_int_equal(help_int(db, "select 1"), 1);
}

/* --- a server that never answers -------------------------------------------------------------- */

static int listen_silently(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static int count_turns(void *arg)
{
    int rc = 0;
    while ((rc = tug_sleep(TUG_MS(5))) == 0) {
        ++*(int *)arg;
    }
    return rc;
}

LIVE_TEST(a_silent_server_is_given_up_in_time)
{
    int port = 0, turns = 0;
    int fd = listen_silently(&port);
    char url[200];
    snprintf(url, sizeof url, "postgresql://u:sec-ret@127.0.0.1:%d/db", port);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.connect_timeout = TUG_MS(300);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, count_turns, &turns);
    tug_time before = tug_now();
    assert_not_ready(url, &o, "sec-ret", TUG_ECONNECT);
    tug_duration took = tug_now() - before;
    assert_detail_has("no answer within");
    assert_true(took >= TUG_MS(280) && took < TUG_MS(2000));
    assert_true(turns > 20); /* the loop went on all the time */
    tug_group_cancel(&g);
    TUG_IGNORE(tug_group_leave(&g, 0));
    close(fd);
}

LIVE_TEST(the_url_says_connect_timeout)
{
    int port = 0;
    int fd = listen_silently(&port);
    char url[200];
    snprintf(url, sizeof url, "postgresql://u@127.0.0.1:%d/db?connect_timeout=1", port);
    tug_time before = tug_now();
    assert_not_ready(url, NULL, "sec-ret", TUG_ECONNECT);
    assert_true(tug_now() - before < TUG_SECONDS(3));
    close(fd);
}

LIVE_TEST(a_close_does_not_wait_for_a_silent_server)
{
    int port = 0;
    int fd = listen_silently(&port);
    char url[200];
    snprintf(url, sizeof url, "postgresql://u@127.0.0.1:%d/db", port);
    tug_pg *db = NULL;
    assert_ok(tug_pg_open(url, NULL, &db));
    tug_future *f = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_ready(db)), TUG_ETIMEDOUT);
    tug_pg_close(db);
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug_future_unref(f);
    close(fd);
}

LIVE_TEST(a_server_that_hangs_up_is_no_riddle)
{
    int port = 0;
    int fd = listen_silently(&port);
    char url[200];
    snprintf(url, sizeof url, "postgresql://u@127.0.0.1:%d/db", port);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open(url, &o, &db));
    assert_ok(tug_sleep(TUG_MS(50)));
    int peer = accept(fd, NULL, NULL);
    close(peer);
    close(fd);
    assert_rc(tug_pg_ready(db), TUG_ECONNECT);
    assert_detail_has("closed the connection");
}
