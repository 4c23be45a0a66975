#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tug/group.h>
#include <tug/sys/transport.h>
#include <unistd.h>

#include "kit/resolve.h"
#include "kit/transport.h"
#include "test.h"

struct listener {
    int fd;
    uint16_t port;
    int fillers[8]; /* connections that fill its backlog, so that further ones hang */
    size_t filled;
};

static void listen_tcp(struct listener *l, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(l, 0, sizeof *l);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(l->fd, backlog), 0);
    assert_int_equal(getsockname(l->fd, (struct sockaddr *)&at, &size), 0);
    l->port = ntohs(at.sin_port);
}

/* With a backlog of 0 the kernel takes one or two connections and drops the SYN of the next. */
static void listen_deaf(struct listener *l)
{
    listen_tcp(l, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(l->port)};
    for (l->filled = 0; l->filled < 4; l->filled++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fd, (struct sockaddr *)&at, sizeof at);
        l->fillers[l->filled] = fd;
    }
}

static void stop(struct listener *l)
{
    for (size_t i = 0; i < l->filled; i++) {
        close(l->fillers[i]);
    }
    close(l->fd);
}

static uint16_t free_port(void)
{
    struct listener l;
    listen_tcp(&l, 1);
    stop(&l);
    return l.port;
}

LIVE_TEST(it_connects_to_an_address)
{
    struct listener l;
    tug_transport *t = NULL;
    char peer[64];
    listen_tcp(&l, 8);
    assert_ok(tug_transport_dial("127.0.0.1", l.port, &t));
    snprintf(peer, sizeof peer, "127.0.0.1:%u", l.port);
    assert_string_equal(tug_transport_peer(t), peer);
    int fd = accept(l.fd, NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    tug_transport_close(t);
    stop(&l);
}

/* Where localhost has ::1 as well, nobody listens there and the next address is tried. */
LIVE_TEST(it_connects_to_a_name)
{
    struct listener l;
    tug_transport *t = NULL;
    listen_tcp(&l, 8);
    assert_ok(tug_transport_dial("localhost", l.port, &t));
    assert_non_null(strstr(tug_transport_peer(t), "127.0.0.1:"));
    tug_transport_close(t);
    stop(&l);
}

LIVE_TEST(a_refused_port_is_named)
{
    tug_transport *t = NULL;
    char expected[80];
    uint16_t port = free_port();
    assert_rc(tug_transport_dial("127.0.0.1", port, &t), TUG_ECONNECT);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%u: Connection refused", port);
    assert_string_equal(tug_last_error()->text, expected);
    assert_int_equal(tug_last_error()->origin, TUG_ORIGIN_OS);
    assert_string_equal(tug_last_error()->native, "111");
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_true(tug_last_error()->transient);
    assert_rc(tug_transport_dial("localhost", port, &t), TUG_ECONNECT);
    assert_detail_has("localhost");
    assert_detail_has(": Connection refused");
    assert_null(t);
}

LIVE_TEST(bad_hosts_are_refused)
{
    tug_transport *t = NULL;
    assert_rc(tug_transport_dial(NULL, 80, &t), TUG_EINVAL);
    assert_rc(tug_transport_dial("", 80, &t), TUG_EINVAL);
    assert_rc(tug_transport_dial("no..such..host", 80, &t), TUG_ECONNECT);
    assert_detail_has("cannot resolve host \"no..such..host\"");
    assert_null(t);
}

/* The test clock stands while a connect hangs, and jumps to the deadline. */
TASK_TEST(a_host_that_does_not_answer_ends_with_the_callers_deadline)
{
    struct listener l;
    tug_transport *t = NULL;
    listen_deaf(&l);
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_SECONDS(2), tug_transport_dial("127.0.0.1", l.port, &t)),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_SECONDS(2));
    assert_detail_has("cannot connect to 127.0.0.1:");
    assert_detail_has("no answer");
    assert_null(t);
    stop(&l);
}

TASK_TEST(without_a_deadline_it_takes_ten_seconds)
{
    struct listener l;
    tug_transport *t = NULL;
    listen_deaf(&l);
    tug_time before = tug_now();
    assert_rc(tug_transport_dial("127.0.0.1", l.port, &t), TUG_ECONNECT);
    assert_int_equal(tug_now() - before, TUG_SECONDS(10));
    assert_detail_has("no answer");
    assert_true(tug_last_error()->transient);
    assert_null(t);
    stop(&l);
}

/* --- several addresses ----------------------------------------------------------------------- */

/* 127.0.0.1 to 127.255.255.254 are all this machine. */
static void listen_on(struct listener *l, const char *host, uint16_t port, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    memset(l, 0, sizeof *l);
    assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(l->fd, backlog), 0);
    l->port = port;
}

static int dial_all(const char *const *hosts, size_t n, uint16_t port,
                    tug_transport **ret_transport)
{
    TUG_AUTO(tug_addresses) a = NULL;
    assert_ok(tug__addresses_from_numbers(hosts, n, port, &a));
    return tug__dial_addresses("db.example", port, a, &tug__dial_defaults, ret_transport);
}

struct all_dialer {
    const char *const *hosts;
    size_t n;
    uint16_t port;
    int rc;
    tug_transport *t;
};

static int dial_them(void *arg)
{
    struct all_dialer *d = arg;
    d->rc = dial_all(d->hosts, d->n, d->port, &d->t);
    return 0;
}

/* 127.0.0.2 is loopback too, and nobody listens there. */
TASK_TEST(the_next_address_is_tried)
{
    static const char *const hosts[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1"};
    struct listener l;
    tug_transport *t = NULL;
    listen_tcp(&l, 8);
    assert_ok(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 3, l.port, &t)));
    assert_non_null(strstr(tug_transport_peer(t), "127.0.0.1:"));
    tug_transport_close(t);
    assert_rc(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 2, l.port, &t)), TUG_ECONNECT);
    assert_detail_has("cannot connect to db.example:");
    assert_detail_has(": 127.0.0.2: Connection refused, 127.0.0.3: Connection refused");
    assert_int_equal(tug_last_error()->origin, TUG_ORIGIN_OS);
    assert_string_equal(tug_last_error()->native, "111");
    assert_true(tug_last_error()->transient);
    stop(&l);
}

TASK_TEST(each_address_has_its_share_of_the_time)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1", "127.0.0.2"};
    struct listener l;
    tug_transport *t = NULL;
    listen_deaf(&l);
    tug_time before = tug_now();
    /* A third for the first; half of the rest for the second, which began 250 ms later; the third
     * refuses at once. */
    assert_rc(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 3, l.port, &t)), TUG_ECONNECT);
    assert_int_equal(tug_now() - before, TUG_MS(250) + TUG_MS(8750) / 2);
    assert_detail_has(
        ": 127.0.0.1: no answer, 127.0.0.1: no answer, 127.0.0.2: Connection refused");
    /* The last one has all that is left: the caller's deadline. */
    before = tug_now();
    assert_rc(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 2, l.port, &t)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_SECONDS(9));
    assert_detail_has("cannot connect to db.example:");
    assert_detail_has(": 127.0.0.1: no answer, 127.0.0.1: no answer");
    assert_null(t);
    stop(&l);
}

static size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 64; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

enum {
    SECOND_MS = 5000 /* the second attempt is under way by then, 250 ms after the first */
};

/* Both attempts are under way, and d has not ended. */
static void assert_two_opened(size_t before, const struct all_dialer *d, int rc)
{
    for (int ms = 0; open_fds() < before + 2; ms += 5) {
        assert_ok(tug_sleep(TUG_MS(5)));
        assert_int_equal(d->rc, rc);
        assert_in_range(ms, 0, SECOND_MS);
    }
}

/* The test clock stands but where nothing else can happen: each millisecond of it is one waited for. */
TASK_TEST(a_dead_first_address_costs_the_attempt_delay)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2"};
    struct listener dead, alive;
    tug_transport *t = NULL;
    listen_deaf(&dead);
    listen_on(&alive, "127.0.0.2", dead.port, 8);
    size_t fds = open_fds();
    tug_time before = tug_now();
    assert_ok(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 2, dead.port, &t)));
    assert_int_equal(tug_now() - before, TUG_MS(250));
    assert_non_null(strstr(tug_transport_peer(t), "127.0.0.2:"));
    assert_int_equal(open_fds(), fds + 1); /* the loser is closed */
    tug_transport_close(t);
    stop(&alive);
    stop(&dead);
}

LIVE_TEST(attempts_under_way_are_closed_when_cancelled)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1", "127.0.0.1"};
    struct listener l;
    struct all_dialer d = {.hosts = hosts, .n = 3};
    tug_group g;
    listen_deaf(&l);
    d.port = l.port;
    size_t fds = open_fds();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, dial_them, &d));
    assert_two_opened(fds, &d, 0);
    tug_group_cancel(&g);
    TUG_IGNORE(tug_group_leave(&g, 0));
    assert_int_equal(d.rc, TUG_ECANCELED);
    assert_null(d.t);
    assert_int_equal(open_fds(), fds);
    stop(&l);
}

/* The backlog is emptied while the second attempt hangs beside it: the system repeats the SYN of the
 * first one after a second, and the first that is answered is taken. */
LIVE_TEST(one_that_answers_late_still_wins)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1"};
    struct listener l;
    struct all_dialer d = {.hosts = hosts, .n = 2, .rc = 1};
    tug_group g;
    listen_deaf(&l);
    d.port = l.port;
    size_t fds = open_fds();
    tug_group_enter(&g, TUG_SECONDS(30), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, dial_them, &d));
    assert_two_opened(fds, &d, 1);
    assert_int_equal(fcntl(l.fd, F_SETFL, O_NONBLOCK), 0);
    while (d.rc == 1) {
        int fd = accept(l.fd, NULL, NULL);
        if (fd >= 0) {
            close(fd);
        }
        assert_ok(tug_sleep(TUG_MS(5)));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(d.rc, 0);
    tug_transport_close(d.t);
    assert_int_equal(open_fds(), fds);
    stop(&l);
}

TASK_TEST(refusals_cost_no_delay)
{
    static const char *const hosts[] = {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"};
    struct listener l;
    tug_transport *t = NULL;
    listen_tcp(&l, 8);
    tug_time before = tug_now();
    assert_ok(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 4, l.port, &t)));
    assert_int_equal(tug_now() - before, 0);
    tug_transport_close(t);
    stop(&l);
}

TASK_TEST(families_take_turns)
{
    static const char *const hosts[] = {"::1", "::1", "::1", "127.0.0.2", "127.0.0.3"};
    tug_transport *t = NULL;
    uint16_t port = free_port();
    assert_rc(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 5, port, &t)), TUG_ECONNECT);
    assert_detail_has(": [::1]: ");
    const char *text = tug_last_error()->text;
    const char *second = strstr(text, "127.0.0.2: "), *third = strstr(text + 40, "[::1]: ");
    const char *fourth = strstr(text, "127.0.0.3: ");
    assert_true(second != NULL && third != NULL && fourth != NULL);
    assert_true(second < third && third < fourth);
    assert_null(t);
}

TASK_TEST(many_addresses_are_summed_up)
{
    const char *hosts[40];
    tug_transport *t = NULL;
    for (size_t i = 0; i < 40; i++) {
        hosts[i] = "127.0.0.2";
    }
    assert_rc(TUG_WITHIN(TUG_SECONDS(9), dial_all(hosts, 40, free_port(), &t)), TUG_ECONNECT);
    assert_detail_has("127.0.0.2: Connection refused");
    assert_detail_has(" more");
    assert_true(strlen(tug_last_error()->text) < sizeof tug_last_error()->text - 1);
    assert_null(t);
}

struct dialer {
    const char *host;
    uint16_t port;
    tug_scope scope;
    int rc;
    tug_transport *t;
};

static int dial(void *arg)
{
    struct dialer *d = arg;
    tug_scope_enter(&d->scope, TUG_FOREVER);
    d->rc = tug_transport_dial(d->host, d->port, &d->t);
    TUG_IGNORE(tug_scope_leave(&d->scope, 0));
    return 0;
}

LIVE_TEST(a_connect_that_hangs_can_be_cancelled)
{
    struct listener l;
    tug_group g;
    listen_deaf(&l);
    struct dialer d = {.host = "127.0.0.1", .port = l.port};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, dial, &d));
    tug_test_settle();
    assert_int_equal(d.rc, 0);
    tug_scope_cancel(&d.scope);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(d.rc, TUG_ECANCELED);
    assert_null(d.t);
    stop(&l);
}

LIVE_TEST(cancelled_on_entry_nothing_is_opened)
{
    struct listener l;
    tug_transport *t = NULL;
    tug_scope s;
    listen_tcp(&l, 8);
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_transport_dial("127.0.0.1", l.port, &t), TUG_ECANCELED);
    assert_rc(tug_transport_dial("/nowhere", 0, &t), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    assert_null(t);
    stop(&l);
}

/* --- Unix sockets ---------------------------------------------------------------------------- */

static void listen_unix(struct listener *l, char path[108], int backlog)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(l, 0, sizeof *l);
    snprintf(path, 108, "/tmp/%s.sock", test_name());
    memcpy(at.sun_path, path, strlen(path) + 1);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path); /* of a process that had our number and was cut off */
    assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(l->fd, backlog), 0);
}

LIVE_TEST(it_connects_to_a_path)
{
    struct listener l;
    char path[108];
    tug_transport *t = NULL;
    listen_unix(&l, path, 8);
    assert_ok(tug_transport_dial(path, 0, &t));
    assert_string_equal(tug_transport_peer(t), path);
    tug_transport_close(t);
    stop(&l);
    unlink(path);
}

LIVE_TEST(bad_paths_are_named)
{
    tug_transport *t = NULL;
    char longest[200];
    assert_rc(tug_transport_dial("/nowhere/at/all", 0, &t), TUG_ECONNECT);
    assert_string_equal(tug_last_error()->text,
                        "cannot connect to /nowhere/at/all: No such file or directory");
    memset(longest, '/', sizeof longest);
    longest[108] = 0;
    assert_rc(tug_transport_dial(longest, 0, &t), TUG_EINVAL);
    longest[107] = 0;
    assert_rc(tug_transport_dial(longest, 0, &t), TUG_ECONNECT);
    assert_null(t);
}

/* A Unix listener whose backlog is full refuses at once: it is asked again until there is room. */
LIVE_TEST(a_full_backlog_is_waited_for)
{
    struct listener l;
    char path[108];
    tug_group g;
    tug_transport *first = NULL;
    listen_unix(&l, path, 0);
    assert_ok(tug_transport_dial(path, 0, &first));
    struct dialer d = {.host = path, .rc = 1};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, dial, &d));
    assert_ok(tug_sleep(TUG_MS(1)));
    assert_int_equal(d.rc, 1);
    int fd = accept(l.fd, NULL, NULL);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(d.rc, 0);
    close(fd);
    tug_transport_close(first);
    tug_transport_close(d.t);
    stop(&l);
    unlink(path);
}
