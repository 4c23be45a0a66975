/* Opening: what is wrong with a target ends in one clear line, in time, without the password. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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

/* --- a Unix socket ---------------------------------------------------------------------------- */

enum {
    RELAYED = 8
};

/* Carries bytes between connections to listener and the server, both ways, until it is killed. A
 * process of its own, because the test servers have no Unix sockets and the test's own descriptors
 * are counted. */
static void relay(int listener, const struct sockaddr_in *server)
{
    static char buffer[65536];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails must not leave it behind */
    struct pollfd p[1 + 2 * RELAYED] = {{.fd = listener, .events = POLLIN}};
    nfds_t n = 1;
    while (poll(p, n, -1) > 0) {
        for (nfds_t i = 1; i < n; i++) {
            ssize_t size = p[i].revents != 0 ? read(p[i].fd, buffer, sizeof buffer) : -1;
            int to = p[(i - 1) % 2 == 0 ? i + 1 : i - 1].fd;
            ssize_t sent = 0;
            while (sent < size) {
                ssize_t part = send(to, buffer + sent, (size_t)(size - sent), MSG_NOSIGNAL);
                if (part <= 0) {
                    size = 0; /* the other side has ended: so does this one */
                    break;
                }
                sent += part;
            }
            if (size == 0) {
                shutdown(to, SHUT_RDWR);
                p[i].fd = -1;
            }
        }
        if ((p[0].revents & POLLIN) != 0 && n < 1 + 2 * RELAYED) {
            p[n] = (struct pollfd){.fd = accept(listener, NULL, NULL), .events = POLLIN};
            p[n + 1] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
            if (connect(p[n + 1].fd, (const struct sockaddr *)server, sizeof *server) < 0) {
                _exit(1);
            }
            n += 2;
        }
    }
    _exit(0);
}

/* A relay to the test's server behind directory/.s.PGSQL.port. */
static pid_t start_relay(const struct parts *p, const char *directory, struct sockaddr_un *ret_path)
{
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)p->port)};
    assert_int_equal(inet_pton(AF_INET, p->host, &server.sin_addr), 1);
    *ret_path = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret_path->sun_path, sizeof ret_path->sun_path, "%s/.s.PGSQL.%d", directory, p->port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)ret_path, sizeof *ret_path), 0);
    assert_int_equal(listen(fd, RELAYED), 0);
    pid_t pid = fork();
    if (pid == 0) {
        relay(fd, &server);
    }
    assert_true(pid > 0);
    close(fd);
    return pid;
}

static void use_unix_socket(const char *directory)
{
    struct parts p = split();
    char conninfo[400];
    snprintf(conninfo, sizeof conninfo, "host=%s port=%d user=%s password=%s dbname=%s", directory,
             p.port, p.user, p.password, p.database);
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

LIVE_TEST(a_unix_socket)
{
    struct parts p = split();
    struct sockaddr_un path;
    char directory[] = "/tmp/tug.XXXXXX";
    assert_non_null(mkdtemp(directory));
    pid_t pid = start_relay(&p, directory, &path);
    use_unix_socket(directory);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(path.sun_path);
    rmdir(directory);
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
    o.connect_timeout = TUG_SECONDS(1);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, count_turns, &turns);
    tug_time before = tug_now();
    assert_not_ready(url, &o, "sec-ret", TUG_ECONNECT);
    tug_duration took = tug_now() - before;
    assert_detail_has("no answer within");
    assert_true(took >= TUG_MS(980) && took < TUG_SECONDS(5));
    assert_true(turns > 10); /* the loop went on all the time */
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
    assert_true(tug_now() - before < TUG_SECONDS(5));
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
    struct pollfd knocks = {.fd = fd, .events = POLLIN};
    assert_soon(poll(&knocks, 1, 0) == 1);
    int peer = accept(fd, NULL, NULL);
    close(peer);
    close(fd);
    assert_rc(tug_pg_ready(db), TUG_ECONNECT);
    assert_detail_has("closed the connection");
}

LIVE_TEST(a_url_for_replication_is_refused)
{
    tug_pg *db = NULL;
    assert_rc(tug_pg_open("postgresql://a.example/b?replication=database", NULL, &db), TUG_EINVAL);
    assert_detail_has("tug_pg_changes_open");
    assert_null(db);
}
