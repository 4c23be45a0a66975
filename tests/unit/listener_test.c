#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/queue.h>
#include <unistd.h>

#include "test.h"

static tug_listener *listener;

static void open_tcp(void)
{
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &listener));
}

static void close_listener(void)
{
    tug_listener_close(listener);
    listener = NULL;
}

static const char *unix_address(void)
{
    static char address[108];
    snprintf(address, sizeof address, "unix:/tmp/%s.sock", test_name());
    return address;
}

/* A task inside next. */
struct taker {
    tug_scope scope;
    tug_stream *s;
    int rc;
    bool has_ended;
};

static int take(void *arg)
{
    struct taker *t = arg;
    tug_scope_enter(&t->scope, TUG_FOREVER);
    t->rc = tug_listener_next(listener, &t->s);
    t->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&t->scope, 0));
    return 0;
}

/* Its call is to be cancelled, so it must be in it still. */
static void cancel(struct taker *t)
{
    assert_false(t->has_ended);
    tug_scope_cancel(&t->scope);
}

/* A connection that has no memory here is dropped, and next waits for another one. */
static int accepted(tug_stream **ret_stream)
{
    return TUG_WITHIN(TUG_SECONDS(5), tug_listener_next(listener, ret_stream));
}

static int wait_taken(const struct taker *t)
{
    int rc = 0;
    while (rc == 0 && !t->has_ended) {
        rc = tug_sleep(TUG_MS(10));
    }
    return rc;
}

static void spawn_taker(tug_group *g, struct taker *t)
{
    memset(t, 0, sizeof *t);
    assert_ok(tug_group_spawn(g, take, t));
}

/* One exchange over both ends. */
static void talk(tug_stream *a, tug_stream *b)
{
    char to[8] = "";
    assert_ok(tug_stream_write(a, tug_bytes("ping", 5)));
    assert_ok(TUG_WITHIN(TUG_SECONDS(5), tug_stream_read_exact(b, to, 5)));
    assert_string_equal(to, "ping");
}

/* --- the normal course ----------------------------------------------------------------------- */

TASK_TEST(a_connection_is_a_stream)
{
    tug_stream *client = NULL, *served = NULL;
    tug_listener_stats stats = TUG_LISTENER_STATS_INIT;
    open_tcp();
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    assert_rc(accepted(&served), 1);
    talk(client, served);
    talk(served, client);
    assert_string_equal(tug_stream_peer(served), tug_stream_local(client));
    assert_string_equal(tug_stream_local(served), tug_stream_peer(client));
    assert_string_equal(tug_listener_address(listener) + 6, tug_stream_local(served));
    tug_listener_get_stats(listener, &stats);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.aborted, 0);
    assert_int_equal(stats.shortages, 0);
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
}

TASK_TEST(ipv6_works_as_well)
{
    tug_stream *client = NULL, *served = NULL;
    assert_ok(tug_listener_open("tcp://[::1]:0", NULL, &listener));
    assert_int_equal(strncmp(tug_listener_address(listener), "tcp://[::1]:", 12), 0);
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    assert_rc(accepted(&served), 1);
    talk(client, served);
    assert_string_equal(tug_stream_peer(served), tug_stream_local(client));
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
}

TASK_TEST(any_v6_address_takes_ipv4_too_unless_told)
{
    char address[64];
    tug_stream *client = NULL;
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    for (int only = 0; only < 2; only++) {
        o.only_v6 = only;
        assert_ok(tug_listener_open("tcp://[::]:0", &o, &listener));
        snprintf(address, sizeof address, "tcp://127.0.0.1%s",
                 strrchr(tug_listener_address(listener), ':'));
        assert_rc(tug_stream_connect(address, &client), only ? TUG_ECONNECT : 0);
        tug_stream_close(client);
        client = NULL;
        close_listener();
    }
}

TASK_TEST(next_waits_and_each_waiter_gets_one)
{
    struct taker t[3];
    tug_stream *clients[3];
    tug_group g;
    open_tcp();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        spawn_taker(&g, &t[i]);
    }
    tug_test_settle();
    for (int i = 0; i < 3; i++) {
        assert_false(t[i].has_ended);
    }
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_stream_connect(tug_listener_address(listener), &clients[i]));
    }
    for (int i = 0; i < 3; i++) {
        assert_ok(TUG_WITHIN(TUG_SECONDS(5), wait_taken(&t[i])));
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].rc, 1);
        tug_stream_close(t[i].s);
        tug_stream_close(clients[i]);
    }
    close_listener();
}

/* Whoever accepts decides the pace: the rest stays with the system. */
TASK_TEST(nobody_asks_nothing_is_accepted)
{
    tug_stream *clients[3], *served = NULL;
    tug_listener_stats stats = TUG_LISTENER_STATS_INIT;
    open_tcp();
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_stream_connect(tug_listener_address(listener), &clients[i]));
    }
    tug_test_settle();
    tug_listener_get_stats(listener, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_rc(accepted(&served), 1);
    tug_listener_get_stats(listener, &stats);
    assert_int_equal(stats.accepted, 3); /* in one batch */
    tug_stream_close(served);
    for (int i = 0; i < 3; i++) {
        tug_stream_close(clients[i]);
    }
    close_listener(); /* with two that nobody took */
}

TASK_TEST(accepted_streams_have_the_options)
{
    tug_stream *client = NULL, *served = NULL;
    tug_stream_options s = TUG_STREAM_OPTIONS_INIT;
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    s.keepalive_idle = TUG_SECONDS(7);
    s.keepalive_every = TUG_MS(2500);
    s.keepalive_times = 5;
    s.user_timeout = TUG_MS(12345);
    o.stream = &s;
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", &o, &listener));
    s.keepalive_times = 0; /* they were copied */
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    assert_rc(accepted(&served), 1);
    static const struct {
        int level, name, value;
    } expected[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},  {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 7}, {IPPROTO_TCP, TCP_KEEPINTVL, 3},
        {IPPROTO_TCP, TCP_KEEPCNT, 5},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int value = -1;
        socklen_t size = sizeof value;
        assert_int_equal(
            getsockopt(tug_stream_fd(served), expected[i].level, expected[i].name, &value, &size),
            0);
        assert_int_equal(value, expected[i].value);
    }
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
}

TASK_TEST(listeners_may_share_a_port)
{
    tug_listener *second = NULL;
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    o.reuse_port = true;
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", &o, &listener));
    assert_ok(tug_listener_open(tug_listener_address(listener), &o, &second));
    assert_string_equal(tug_listener_address(second), tug_listener_address(listener));
    tug_listener_close(second);
    second = NULL;
    assert_rc(tug_listener_open(tug_listener_address(listener), NULL, &second), -EADDRINUSE);
    assert_detail_has("cannot listen on tcp://127.0.0.1:");
    assert_detail_has("Address already in use");
    assert_null(second);
    close_listener();
}

/* --- Unix sockets ---------------------------------------------------------------------------- */

TASK_TEST(a_unix_socket_is_a_file_while_it_listens)
{
    const char *address = unix_address();
    struct stat st;
    tug_stream *client = NULL, *served = NULL;
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    mode_t before = umask(027);
    o.mode = 0606; /* more than the umask leaves */
    assert_ok(tug_listener_open(address, &o, &listener));
    umask(before);
    assert_string_equal(tug_listener_address(listener), address);
    assert_int_equal(lstat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0606);
    assert_ok(tug_stream_connect(address, &client));
    assert_rc(accepted(&served), 1);
    talk(client, served);
    assert_string_equal(tug_stream_peer(client), address + 5);
    assert_string_equal(tug_stream_local(client), "");
    assert_string_equal(tug_stream_local(served), address + 5);
    assert_non_null(strstr(tug_stream_peer(served), "a client of /tmp/"));
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
    assert_int_equal(lstat(address + 5, &st), -1);
}

TASK_TEST(a_file_left_behind_is_replaced_a_living_one_is_not)
{
    const char *address = unix_address();
    tug_listener *second = NULL;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", address + 5);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&at, sizeof at), 0);
    close(dead); /* as of a server that was killed */
    assert_ok(tug_listener_open(address, NULL, &listener));
    assert_rc(tug_listener_open(address, NULL, &second), -EADDRINUSE);
    assert_null(second);
    close_listener();
}

TASK_TEST(a_plain_file_is_never_removed)
{
    const char *address = unix_address();
    struct stat st;
    int fd = open(address + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_rc(tug_listener_open(address, NULL, &listener), -EADDRINUSE);
    assert_int_equal(lstat(address + 5, &st), 0);
    assert_null(listener);
    unlink(address + 5);
}

TASK_TEST(somebody_elses_file_stays)
{
    const char *address = unix_address();
    tug_listener *second = NULL;
    struct stat st;
    assert_ok(tug_listener_open(address, NULL, &listener));
    assert_int_equal(unlink(address + 5), 0);
    assert_ok(tug_listener_open(address, NULL, &second));
    close_listener();
    assert_int_equal(lstat(address + 5, &st), 0);
    tug_listener_close(second);
    assert_int_equal(lstat(address + 5, &st), -1);
}

/* --- bad arguments --------------------------------------------------------------------------- */

TASK_TEST(bad_addresses_and_options_are_refused)
{
    static const char *const wrong[] = {"tcp://",        "tcp://localhost:0", "127.0.0.1:0",
                                        "tcp://1.2.3:0", "unix:relative",     "tcp://[::1:0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_rc(tug_listener_open(wrong[i], NULL, &listener), TUG_EINVAL);
        assert_detail_has(wrong[i]);
    }
    assert_rc(tug_listener_open(NULL, NULL, &listener), TUG_EINVAL);
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    o.backlog = 0;
    assert_rc(tug_listener_open("tcp://127.0.0.1:0", &o, &listener), TUG_EINVAL);
    assert_detail_has("backlog");
    o.backlog = 1;
    o.mode = 01000;
    assert_rc(tug_listener_open("tcp://127.0.0.1:0", &o, &listener), TUG_EINVAL);
    assert_detail_has("mode");
    o.mode = 0;
    tug_stream_options s = TUG_STREAM_OPTIONS_INIT;
    s.low_water = s.high_water + 1;
    o.stream = &s;
    assert_rc(tug_listener_open("tcp://127.0.0.1:0", &o, &listener), TUG_EINVAL);
    assert_detail_has("low_water");
    char longest[200] = "unix:/";
    memset(longest + 6, 'a', 120);
    assert_rc(tug_listener_open(longest, NULL, &listener), TUG_EINVAL);
    assert_rc(tug_listener_open("unix:/nowhere/at/all", NULL, &listener), -ENOENT);
    assert_detail_has("cannot listen on unix:/nowhere/at/all: No such file or directory");
    assert_rc(tug_listener_open("tcp://192.0.2.1:0", NULL, &listener), -EADDRNOTAVAIL);
    assert_null(listener);
    tug_listener_close(NULL);
}

TEST(a_listener_needs_a_loop)
{
    assert_int_equal(tug_listener_open("tcp://127.0.0.1:0", NULL, &listener), TUG_EMISUSE);
    assert_detail_has("tug_listener_open needs a loop");
}

/* --- cancel, stop, close --------------------------------------------------------------------- */

TASK_TEST(next_can_be_cancelled_and_times_out)
{
    struct taker t;
    tug_group g;
    tug_stream *s = NULL;
    open_tcp();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t);
    tug_test_settle();
    cancel(&t);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t.rc, TUG_ECANCELED);
    assert_rc(TUG_WITHIN(TUG_MS(1), tug_listener_next(listener, &s)), TUG_ETIMEDOUT);
    assert_null(s);
    close_listener();
}

TASK_TEST(cancelled_on_entry_nothing_is_taken)
{
    tug_stream *client = NULL, *served = NULL;
    tug_scope scope;
    open_tcp();
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_listener_next(listener, &served), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&scope, 0), 0);
    assert_null(served);
    assert_rc(accepted(&served), 1);
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
}

static int plain_client(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((uint16_t)atoi(strrchr(tug_listener_address(listener), ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Two wait, one connection comes, and the one that was chosen is cancelled before it runs: it has the
 * connection all the same. */
TASK_TEST(a_connection_handed_over_is_not_lost)
{
    struct taker t[2];
    tug_listener_stats stats = TUG_LISTENER_STATS_INIT;
    tug_group g;
    open_tcp();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t[0]);
    spawn_taker(&g, &t[1]);
    tug_test_settle();
    int client = plain_client();
    /* It is handed over in a poll; this task, which is in the queue already, runs before the chosen
     * one does. */
    do {
        assert_ok(tug_yield());
        assert_false(t[0].has_ended);
        tug_listener_get_stats(listener, &stats);
        assert_int_equal(stats.shortages, 0); /* a pause would be for ever: nobody sleeps */
    } while (stats.accepted == 0);
    cancel(&t[0]);
    tug_test_settle();
    assert_true(t[0].has_ended);
    assert_int_equal(t[0].rc, 1);
    assert_false(t[1].has_ended);
    cancel(&t[1]);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t[1].rc, TUG_ECANCELED);
    tug_stream_close(t[0].s);
    close(client);
    close_listener();
}

TASK_TEST(close_ends_all_who_wait)
{
    struct taker t[2];
    tug_group g;
    open_tcp();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t[0]);
    spawn_taker(&g, &t[1]);
    tug_test_settle();
    close_listener();
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t[0].rc, 0);
    assert_int_equal(t[1].rc, 0);
}

TASK_TEST(stop_gives_out_what_has_come_and_ends)
{
    struct taker t;
    tug_group g;
    tug_stream *client = NULL, *served = NULL, *late = NULL;
    open_tcp();
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    tug_listener_stop(listener);
    tug_listener_stop(listener);
    assert_rc(tug_stream_connect(tug_listener_address(listener), &late), TUG_ECONNECT);
    assert_rc(accepted(&served), 1);
    talk(client, served);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t.rc, 0);
    tug_stream_close(client);
    tug_stream_close(served);
    close_listener();
}

TASK_TEST(a_request_to_stop_ends_it)
{
    const char *address = unix_address();
    struct taker t;
    struct stat st;
    tug_group g;
    tug_stream *s = NULL;
    assert_ok(tug_listener_open(address, NULL, &listener));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t);
    tug_test_settle();
    tug_stop(TUG_SECONDS(20));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t.rc, 0);
    assert_int_equal(lstat(address + 5, &st), -1);
    close_listener();
    assert_ok(tug_listener_open(address, NULL, &listener)); /* comes too late */
    assert_rc(tug_listener_next(listener, &s), 0);
    assert_null(s);
    close_listener();
}

/* --- shortage -------------------------------------------------------------------------------- */

static int warnings, infos;

static void count_lines(const tug_log_record *r, void *arg)
{
    (void)arg;
    if (strcmp(r->subsystem, "listener") == 0) {
        warnings += r->level == TUG_LOG_WARN;
        infos += r->level == TUG_LOG_INFO;
    }
}

/* Under the test clock each pause passes at once when nothing else can run: a busy loop would never let
 * it get there. */
TASK_TEST(out_of_descriptors_accepting_pauses)
{
    TEST_NOT_UNDER_VALGRIND(); /* it keeps the limit of descriptors to itself */
    struct rlimit before, low;
    struct taker t;
    tug_group g;
    tug_stream *client = NULL;
    tug_listener_stats stats = TUG_LISTENER_STATS_INIT;
    tug_log_set_sink(count_lines, NULL);
    assert_ok(tug_log_set_levels("info"));
    open_tcp();
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)tug_stream_fd(client) + 1; /* none is free below */
    int filler[16], fillers = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (fillers < 16 && (filler[fillers] = dup(tug_stream_fd(client))) >= 0) {
        fillers++;
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t);
    tug_time start = tug_now();
    int rc = tug_sleep(TUG_SECONDS(10));
    bool has_ended = t.has_ended;
    /* Before anything is said about it: reports need descriptors. */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(rc);
    assert_false(has_ended);
    assert_int_equal(tug_now() - start, TUG_SECONDS(10));
    tug_listener_get_stats(listener, &stats);
    assert_in_range(stats.shortages, 10, 40); /* about once a second in the end */
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(warnings, 1);
    assert_ok(TUG_WITHIN(TUG_SECONDS(5), wait_taken(&t)));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t.rc, 1);
    assert_true(tug_now() - start <= TUG_SECONDS(11));
    assert_int_equal(infos, 1);
    while (fillers > 0) {
        close(filler[--fillers]);
    }
    tug_stream_close(client);
    tug_stream_close(t.s);
    close_listener();
    tug_log_set_sink(NULL, NULL);
}

TASK_TEST(a_pause_ends_with_stop_and_close)
{
    struct rlimit before, low;
    struct taker t;
    tug_group g;
    tug_stream *client = NULL;
    open_tcp();
    assert_ok(tug_stream_connect(tug_listener_address(listener), &client));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn_taker(&g, &t);
    int rc = tug_sleep(TUG_MS(100));
    tug_listener_stop(listener);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(rc);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(t.rc, 0);
    tug_stream_close(client);
    close_listener();
}

/* --- many ------------------------------------------------------------------------------------ */

enum {
    MANY_MOST = 1000
};
#define MANY test_many(MANY_MOST, 30)

static int serve(void *arg)
{
    TUG_AUTO(tug_stream) s = *(tug_stream **)arg;
    char chunk[256];
    int n;
    while ((n = tug_stream_read(s, chunk, sizeof chunk)) > 0) {
        int rc = tug_stream_write(s, tug_bytes(chunk, (size_t)n));
        if (rc < 0) {
            return rc;
        }
    }
    return n;
}

static int serve_all(void *arg)
{
    (void)arg;
    tug_group g;
    tug_stream *s = NULL;
    int rc;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    while ((rc = tug_listener_next(listener, &s)) > 0) {
        tug_group_spawn_copy(&g, serve, &s, sizeof s);
    }
    size_t failures = tug_group_failures(&g);
    rc = tug_group_leave(&g, rc);
    return rc < 0 ? rc : failures > 0 ? TUG_EUSER : 0;
}

struct client {
    int number;
    bool ok;
};

static int ask(void *arg)
{
    struct client *c = arg;
    TUG_AUTO(tug_stream) s = NULL;
    char to[64] = "", text[64];
    int n = snprintf(text, sizeof text, "client %d says hello", c->number);
    int rc = tug_stream_connect(tug_listener_address(listener), &s);
    rc = rc < 0 ? rc : tug_stream_write(s, tug_bytes(text, (size_t)n));
    rc = rc < 0 ? rc : tug_stream_read_exact(s, to, (size_t)n);
    rc = rc < 0 ? rc : tug_stream_finish(s);
    c->ok = rc == 0 && strcmp(to, text) == 0;
    return rc;
}

LIVE_TEST(a_thousand_connections)
{
    struct rlimit limit;
    static struct client clients[MANY_MOST];
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    tug_listener_stats stats = TUG_LISTENER_STATS_INIT;
    tug_group g;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_max >= 2 * MANY_MOST + 100);
    limit.rlim_cur = 2 * MANY_MOST + 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    open_tcp();
    for (int i = 0; i < MANY; i++) {
        clients[i].number = i;
    }
    o.in_flight = MANY;
    tug_group_enter(&g, TUG_SECONDS(50), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, serve_all, NULL));
    assert_ok(tug_map(ask, clients, MANY, sizeof clients[0], &o));
    for (int i = 0; i < MANY; i++) {
        assert_true(clients[i].ok);
    }
    tug_listener_get_stats(listener, &stats);
    assert_int_equal(stats.accepted, MANY);
    tug_listener_stop(listener);
    assert_ok(tug_group_leave(&g, 0));
    close_listener();
}

static int leave_it_open(void *arg)
{
    return tug_listener_open("tcp://127.0.0.1:0", NULL, arg);
}

TEST(one_that_was_left_open_ends_with_its_loop_and_is_closed_after_it)
{
    size_t before = tug_test_live_allocations();
    tug_listener *l = NULL;
    tug_stream *s = NULL;
    assert_ok(tug_run(leave_it_open, &l));
    assert_rc(tug_listener_next(l, &s), TUG_EMISUSE);
    tug_listener_close(l);
    assert_int_equal(tug_test_live_allocations(), before);
}
