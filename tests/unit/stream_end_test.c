#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <tug/loop.h>

#include "stream_rig.h"

static int finish(struct caller *c)
{
    (void)c;
    return tug_stream_finish(s);
}

static int write_block(struct caller *c)
{
    char *data = block(c->size);
    int rc = tug_stream_write(s, tug_bytes(data, c->size));
    free(data);
    return rc;
}

/* Two ends of a TCP connection: the stream is one, a plain socket the other. */
static void open_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    peer = accept(door, NULL, NULL);
    assert_true(peer >= 0);
    close(door);
    assert_ok(tug_stream_from_fd(fd, &s));
}

static void reset_by_peer(void)
{
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    rig_close_peer();
}

/* --- half close ------------------------------------------------------------------------------ */

TASK_TEST(shutdown_ends_our_direction_after_what_is_unsent)
{
    char to[8] = "";
    rig_open();
    assert_ok(tug_stream_write(s, text("last words")));
    assert_ok(tug_stream_shutdown(s));
    assert_ok(tug_stream_shutdown(s));
    tug_test_settle();
    assert_string_equal(hear(), "last words");
    assert_true(peer_sees_end());
    assert_rc(tug_stream_write(s, text("x")), TUG_EMISUSE);
    assert_detail_has("has been shut down");
    assert_rc(tug_stream_write(s, text("")), 0);
    assert_ok(tug_stream_flush(s));
    /* The other one goes on. */
    say("reply");
    assert_rc(tug_stream_read(s, to, sizeof to), 5);
    assert_string_equal(to, "reply");
    rig_close();
}

TASK_TEST(shutdown_waits_for_a_slow_peer)
{
    const size_t size = 200 * 1000;
    struct caller c;
    tug_group g;
    char *to = malloc(size), *data = block(size);
    size_t heard = 0;
    rig_open_slow(NULL);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_block, size);
    tug_test_settle();
    assert_true(c.has_ended);
    assert_ok(tug_stream_shutdown(s));
    while (heard < size) {
        tug_test_settle();
        ssize_t n = recv(peer, to + heard, size - heard, 0);
        assert_true(n > 0);
        heard += (size_t)n;
    }
    tug_test_settle();
    assert_true(peer_sees_end());
    assert_memory_equal(to, data, size);
    assert_ok(tug_group_leave(&g, 0));
    rig_close();
    free(to);
    free(data);
}

TASK_TEST(both_directions_end_one_after_the_other)
{
    char to[8];
    rig_open();
    shutdown(peer, SHUT_WR);
    assert_rc(tug_stream_read(s, to, sizeof to), 0);
    assert_ok(tug_stream_write(s, text("answer to a half-closed peer")));
    assert_ok(tug_stream_shutdown(s));
    tug_test_settle();
    assert_string_equal(hear(), "answer to a half-closed peer");
    assert_true(peer_sees_end());
    assert_rc(tug_stream_wait_closed(s), TUG_ECLOSED);
    rig_close();
}

TASK_TEST(shutdown_of_what_is_lost_says_why)
{
    char to[8];
    open_tcp();
    reset_by_peer();
    assert_rc(tug_stream_read(s, to, sizeof to), -ECONNRESET);
    assert_rc(tug_stream_shutdown(s), -ECONNRESET);
    assert_rc(tug_stream_finish(s), -ECONNRESET);
    assert_int_equal(tug_stream_fd(s), -1);
    assert_int_equal(strncmp(tug_stream_peer(s), "127.0.0.1:", 10), 0);
    rig_close();
}

/* --- finish ---------------------------------------------------------------------------------- */

TASK_TEST(finish_flushes_and_waits_for_the_peers_end)
{
    struct caller c;
    tug_group g;
    rig_open();
    say("not read before");
    tug_test_settle();
    assert_ok(tug_stream_write(s, text("bye")));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, finish, 0);
    tug_test_settle();
    assert_string_equal(hear(), "bye");
    assert_true(peer_sees_end());
    say("not read after");
    tug_test_settle();
    assert_false(c.has_ended);
    shutdown(peer, SHUT_WR);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    rig_close();
}

TASK_TEST(finish_after_the_peers_end)
{
    rig_open();
    say("unread");
    shutdown(peer, SHUT_WR);
    tug_test_settle();
    assert_ok(tug_stream_write(s, text("bye")));
    assert_ok(tug_stream_finish(s));
    assert_ok(tug_stream_finish(s));
    rig_close_peer();
    rig_close();
}

/* What the peer says is discarded, however much: nobody would make room for it. */
TASK_TEST(finish_takes_no_notice_of_a_peer_that_goes_on)
{
    struct caller c;
    tug_group g;
    char *data = block(1 << 20);
    size_t said = 0;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, finish, 0);
    while (said < 1 << 20) {
        ssize_t n = send(peer, data + said, (1 << 20) - said, 0);
        assert_true(n > 0);
        said += (size_t)n;
        tug_test_settle();
    }
    cancel(&c);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ECANCELED);
    rig_close();
    free(data);
}

TASK_TEST(finish_has_its_deadline_while_it_flushes)
{
    struct caller c;
    tug_group g;
    rig_open_slow(NULL);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_block, 100000);
    assert_ok(tug_group_leave(&g, 0));
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_stream_finish(s)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(50));
    rig_close();
}

TASK_TEST(finish_of_a_stream_that_is_closed_meanwhile)
{
    struct caller c;
    tug_group g;
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, finish, 0);
    tug_test_settle();
    rig_close();
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ECLOSED);
}

TASK_TEST(finish_excludes_readers_and_writers)
{
    struct caller c;
    tug_group g;
    char to[4];
    rig_open();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, finish, 0);
    tug_test_settle();
    assert_false(c.has_ended);
    assert_rc(tug_stream_read(s, to, 4), TUG_EMISUSE);
    assert_rc(tug_stream_write(s, text("x")), TUG_EMISUSE);
    assert_rc(tug_stream_flush(s), TUG_EMISUSE);
    rig_close_peer();
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    rig_close();
}

TASK_TEST(cancelled_on_entry_finish_does_nothing)
{
    tug_scope scope;
    rig_open();
    assert_ok(tug_stream_write(s, text("bye")));
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_stream_finish(s), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&scope, 0), 0);
    assert_ok(tug_stream_write(s, text(" again")));
    tug_test_settle();
    assert_string_equal(hear(), "bye again");
    rig_close();
}

/* --- resets ---------------------------------------------------------------------------------- */

static int read_exact(struct caller *c)
{
    return tug_stream_read_exact(s, c->to, c->size);
}

static int read_line(struct caller *c)
{
    return tug_stream_read_until(s, text("\n"), c->to, c->size);
}

static int wait_closed(struct caller *c)
{
    (void)c;
    return tug_stream_wait_closed(s);
}

TASK_TEST(a_reset_in_the_middle_leaves_what_came)
{
    int (*const calls[])(struct caller * c) = {read_exact, read_line};
    for (size_t i = 0; i < 2; i++) {
        struct caller c, w;
        tug_group g;
        char to[8] = "";
        open_tcp();
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        spawn(&g, &c, calls[i], 10);
        spawn(&g, &w, wait_closed, 0);
        say("abc");
        tug_test_settle();
        reset_by_peer();
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(c.rc, -ECONNRESET);
        assert_int_equal(w.rc, -ECONNRESET);
        assert_non_null(strstr(c.why.text, "Connection reset by peer"));
        assert_rc(tug_stream_read(s, to, sizeof to), 3);
        assert_string_equal(to, "abc");
        assert_rc(tug_stream_read(s, to, sizeof to), -ECONNRESET);
        rig_close();
    }
}

TASK_TEST(a_writer_blocked_by_its_peer_learns_of_the_reset)
{
    struct caller c;
    tug_group g;
    open_tcp();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_block, 32 << 20);
    tug_test_settle();
    assert_false(c.has_ended);
    reset_by_peer();
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, -ECONNRESET);
    rig_close();
}

/* --- marks and options ----------------------------------------------------------------------- */

TASK_TEST(writes_wait_between_the_marks)
{
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    struct caller c;
    tug_group g;
    char to[4096];
    o.high_water = 30000;
    o.low_water = 10000;
    rig_open_slow(&o);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_block, 60000); /* one piece: it is above the mark then */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_block, 1);
    size_t heard = 0;
    for (;;) {
        tug_test_settle();
        if (c.has_ended) {
            break;
        }
        ssize_t n = recv(peer, to, sizeof to, 0);
        assert_true(n > 0);
        heard += (size_t)n;
    }
    /* Below 10,000 were unsent, and the socket held some. */
    assert_in_range(heard, 35000, 60000);
    assert_ok(tug_group_leave(&g, 0));
    rig_close();
}

TASK_TEST(options_out_of_range_are_named)
{
    int fds[2];
    tug_stream *t = NULL;
    assert_ok(tug_test_socketpair(fds));
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        tug_stream_options o = TUG_STREAM_OPTIONS_INIT;                                            \
        o.field = (value);                                                                         \
        assert_rc(tug_stream_from_fd_with(fds[0], &o, &t), TUG_EINVAL);                            \
        assert_detail_has(#field);                                                                 \
        assert_rc(tug_stream_connect_with("tcp://127.0.0.1:1", &o, &t), TUG_EINVAL);               \
    } while (0)
    REFUSED(high_water, 0);
    REFUSED(high_water, ((size_t)1 << 30) + 1);
    REFUSED(low_water, 0);
    REFUSED(low_water, ((size_t)256 << 10) + 1);
    REFUSED(read_ahead, 0);
    REFUSED(read_ahead, ((size_t)1 << 30) + 1);
    REFUSED(connect_timeout, 0);
    REFUSED(attempt_delay, TUG_MS(9));
    REFUSED(attempt_delay, TUG_MS(2001));
    REFUSED(keepalive_idle, -1);
    REFUSED(keepalive_idle, TUG_SECONDS(32768));
    REFUSED(keepalive_every, 0);
    REFUSED(keepalive_times, 0);
    REFUSED(keepalive_times, 128);
    REFUSED(user_timeout, -1);
    REFUSED(user_timeout, TUG_SECONDS(25 * 86400));
    assert_null(t);
    close(fds[0]);
    close(fds[1]);
}

TASK_TEST(keepalive_can_be_off)
{
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), value = -1;
    socklen_t size = sizeof value;
    o.keepalive_idle = 0;
    o.keepalive_every = 0; /* not looked at then */
    o.user_timeout = 1;    /* rounded up */
    assert_ok(tug_stream_from_fd_with(fd, &o, &s));
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size), 0);
    assert_int_equal(value, 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
    assert_int_equal(value, 1);
    peer = -1;
    rig_close();
}

/* --- after the loop -------------------------------------------------------------------------- */

static int leave_it_open(void *arg)
{
    (void)arg;
    rig_open();
    return 0;
}

TEST(one_that_was_left_open_ends_with_its_loop_and_is_closed_after_it)
{
    size_t before = tug_test_live_allocations();
    uint8_t to[4];
    assert_ok(tug_run(leave_it_open, NULL));
    assert_true(peer_sees_end());
    assert_int_equal(tug_stream_fd(s), -1);
    assert_rc(tug_stream_write(s, text("x")), TUG_EMISUSE);
    assert_rc(tug_stream_read(s, to, sizeof to), TUG_EMISUSE);
    assert_rc(tug_stream_shutdown(s), TUG_ECLOSED);
    rig_close();
    assert_int_equal(tug_test_live_allocations(), before);
}
