#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tug/group.h>
#include <tug/sys/driver.h>
#include <tug/sys/transport.h>
#include <unistd.h>

#include "test.h"

/* The owner of a transport, as a driver is: notes what it is told. */
struct owner {
    tug_transport *t;
    int peer;
    uint8_t *data;
    size_t size, room;
    int calls, rooms, eofs, ends;
    tug_error why;
    bool close_on_data, close_on_room, close_on_eof, close_on_end, pause_on_data;
    const char *answer; /* sent from inside on_data, with an explicit flush */
};

static void close_now(struct owner *o)
{
    tug_transport_close(o->t);
    o->t = NULL;
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
    struct owner *o = arg;
    assert_int_equal(o->ends, 0);
    assert_in_range(size, 1, 64 * 1024);
    o->calls++;
    if (o->size + size > o->room) {
        o->room = 2 * (o->size + size);
        o->data = realloc(o->data, o->room);
    }
    memcpy(o->data + o->size, data, size);
    o->size += size;
    if (o->answer != NULL) {
        assert_ok(tug_transport_write(o->t, tug_bytes(o->answer, strlen(o->answer))));
        tug_transport_flush(o->t);
    }
    if (o->pause_on_data) {
        tug_transport_pause(o->t, true);
    }
    if (o->close_on_data) {
        close_now(o);
    }
}

static void on_room(void *arg)
{
    struct owner *o = arg;
    assert_int_equal(o->ends, 0);
    o->rooms++;
    if (o->close_on_room) {
        close_now(o);
    }
}

static void on_end(void *arg, const tug_error *why)
{
    struct owner *o = arg;
    o->ends++;
    o->why = *why;
    if (o->close_on_end) {
        close_now(o);
    }
}

static void on_eof(void *arg)
{
    struct owner *o = arg;
    o->eofs++;
    if (o->close_on_eof) {
        close_now(o);
    }
}

static const tug_transport_ops plain_ops = {
    .size = sizeof plain_ops, .on_data = on_data, .on_room = on_room, .on_end = on_end};
static const tug_transport_ops eof_ops = {.size = sizeof eof_ops,
                                          .on_data = on_data,
                                          .on_room = on_room,
                                          .on_end = on_end,
                                          .on_eof = on_eof};

static void open_with(struct owner *o, const tug_transport_ops *ops)
{
    int fds[2];
    memset(o, 0, sizeof *o);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &o->t));
    o->peer = fds[1];
    assert_ok(tug_transport_start(o->t, ops, o));
}

static void close_all(struct owner *o)
{
    tug_transport_close(o->t);
    if (o->peer >= 0) {
        close(o->peer);
    }
    free(o->data);
}

static void end_peer(struct owner *o)
{
    close(o->peer);
    o->peer = -1;
}

static void say(struct owner *o, const char *text)
{
    assert_int_equal(send(o->peer, text, strlen(text), 0), strlen(text));
}

static const char *hear(struct owner *o)
{
    static char text[4096];
    ssize_t n = recv(o->peer, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

static void assert_heard(struct owner *o, const char *expected)
{
    assert_int_equal(o->size, strlen(expected));
    assert_memory_equal(o->data, expected, o->size);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

/* --- the normal course ----------------------------------------------------------------------- */

TASK_TEST(what_is_written_in_a_turn_leaves_at_its_end)
{
    struct owner o;
    open_with(&o, &plain_ops);
    assert_ok(tug_transport_write(o.t, text("one ")));
    uint8_t *room = tug_transport_reserve(o.t, 100);
    assert_non_null(room);
    memcpy(room, "two", 3);
    tug_transport_commit(o.t, 3);
    assert_string_equal(hear(&o), "");
    assert_int_equal(tug_transport_unsent(o.t), 7);
    assert_true(tug_transport_sent(o.t) == 0);
    tug_test_settle();
    assert_string_equal(hear(&o), "one two");
    assert_int_equal(tug_transport_unsent(o.t), 0);
    assert_true(tug_transport_sent(o.t) == 7);
    close_all(&o);
}

TASK_TEST(flush_sends_at_once)
{
    struct owner o;
    open_with(&o, &plain_ops);
    assert_ok(tug_transport_write(o.t, text("now")));
    tug_transport_flush(o.t);
    assert_string_equal(hear(&o), "now");
    close_all(&o);
}

TASK_TEST(what_is_written_before_start_waits_for_it)
{
    struct owner o = {.peer = -1};
    int fds[2];
    assert_ok(tug_test_socketpair(fds));
    o.peer = fds[1];
    assert_ok(tug_transport_from_fd(fds[0], &o.t));
    assert_ok(tug_transport_write(o.t, text("early")));
    tug_transport_flush(o.t);
    tug_test_settle();
    assert_string_equal(hear(&o), "");
    assert_ok(tug_transport_start(o.t, &plain_ops, &o));
    assert_rc(tug_transport_start(o.t, &plain_ops, &o), TUG_EMISUSE);
    tug_test_settle();
    assert_string_equal(hear(&o), "early");
    close_all(&o);
}

TASK_TEST(what_comes_is_handed_over)
{
    struct owner o;
    open_with(&o, &plain_ops);
    tug_time before = tug_transport_last_received(o.t);
    assert_ok(tug_sleep(TUG_SECONDS(3)));
    say(&o, "hello, ");
    tug_test_settle();
    say(&o, "world");
    tug_test_settle();
    assert_heard(&o, "hello, world");
    assert_int_equal(o.calls, 2);
    assert_int_equal(tug_transport_last_received(o.t) - before, TUG_SECONDS(3));
    close_all(&o);
}

TASK_TEST(a_task_may_answer_from_inside_on_data)
{
    struct owner o;
    open_with(&o, &plain_ops);
    o.answer = "pong";
    say(&o, "ping");
    tug_test_settle();
    assert_string_equal(hear(&o), "pong");
    close_all(&o);
}

TASK_TEST(pause_leaves_bytes_in_the_socket)
{
    struct owner o;
    open_with(&o, &plain_ops);
    tug_transport_pause(o.t, true);
    say(&o, "held");
    tug_test_settle();
    assert_int_equal(o.calls, 0);
    tug_transport_pause(o.t, false);
    tug_test_settle();
    assert_heard(&o, "held");
    /* From inside on_data as well: at most one more chunk is not read. */
    o.pause_on_data = true;
    say(&o, "1");
    tug_test_settle();
    say(&o, "2");
    end_peer(&o);
    tug_test_settle();
    assert_heard(&o, "held1");
    assert_int_equal(o.ends, 0);
    o.pause_on_data = false;
    tug_transport_pause(o.t, false);
    tug_test_settle();
    assert_heard(&o, "held12");
    assert_int_equal(o.ends, 1);
    close_all(&o);
}

/* --- much data, slow peers ------------------------------------------------------------------- */

static void set_buffer(int fd, int name, int size)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, name, &size, sizeof size), 0);
}

/* Opens with the smallest buffers the kernel gives. */
static void open_small(struct owner *o)
{
    int fds[2];
    memset(o, 0, sizeof *o);
    assert_ok(tug_test_socketpair(fds));
    set_buffer(fds[0], SO_SNDBUF, 1);
    set_buffer(fds[1], SO_SNDBUF, 1);
    assert_ok(tug_transport_from_fd(fds[0], &o->t));
    o->peer = fds[1];
    assert_ok(tug_transport_start(o->t, &plain_ops, o));
}

static void write_pattern(struct owner *o, size_t from, size_t n)
{
    uint8_t *to = tug_transport_reserve(o->t, n);
    assert_non_null(to);
    for (size_t i = 0; i < n; i++) {
        to[i] = pattern(from + i);
    }
    tug_transport_commit(o->t, n);
}

TASK_TEST(a_slow_peer_gets_every_byte_in_order)
{
    struct owner o;
    const size_t total = 3 * 1024 * 1024;
    size_t written = 0, heard = 0;
    int told = 0;
    uint8_t chunk[1500];
    open_small(&o);
    while (heard < total) {
        /* Pieces of odd sizes, as long as the marks allow: the buffer grows, moves and shrinks. */
        bool may_write = o.rooms == told;
        for (size_t n = 1; may_write && written < total && !tug_transport_is_full(o.t);
             n = n * 3 % 7919) {
            n = n < total - written ? n : total - written;
            write_pattern(&o, written, n);
            written += n;
        }
        told += may_write;
        assert_true(tug_transport_unsent(o.t) < 256 * 1024 + 8000);
        tug_test_settle();
        ssize_t n = recv(o.peer, chunk, sizeof chunk, 0);
        for (ssize_t i = 0; i < n; i++) {
            assert_int_equal(chunk[i], pattern(heard++));
        }
    }
    tug_test_settle();
    assert_int_equal(tug_transport_unsent(o.t), 0);
    assert_true(tug_transport_sent(o.t) == total);
    assert_in_range(o.rooms, 10, 20);
    close_all(&o);
}

/* Grows while its front is sent already, and moves when half of it is. */
TASK_TEST(a_half_sent_buffer_grows_and_moves)
{
    struct owner o;
    static const size_t adds[] = {3000, 900, 8000, 100, 20000, 300, 60000, 4000};
    size_t written = 200000, heard = 0;
    uint8_t chunk[700];
    open_small(&o);
    write_pattern(&o, 0, written);
    for (size_t i = 0; heard < written; i++) {
        tug_test_settle();
        if (i < 400) {
            write_pattern(&o, written, adds[i % 8]);
            written += adds[i % 8];
        }
        ssize_t n;
        while ((n = recv(o.peer, chunk, sizeof chunk, 0)) > 0) {
            for (ssize_t k = 0; k < n; k++) {
                assert_int_equal(chunk[k], pattern(heard++));
            }
            if (i < 400) {
                break;
            }
        }
    }
    assert_int_equal(heard, written);
    close_all(&o);
}

TASK_TEST(room_is_told_once_below_the_low_mark)
{
    struct owner o;
    char chunk[1024];
    open_small(&o);
    tug_transport_set_limits(o.t, 20000, 5000, 100000);
    for (int i = 0; i < 50; i++) {
        write_pattern(&o, 0, 1000);
    }
    assert_true(tug_transport_is_full(o.t));
    tug_test_settle();
    while (tug_transport_unsent(o.t) >= 5000) {
        assert_int_equal(o.rooms, 0);
        assert_true(recv(o.peer, chunk, sizeof chunk, 0) > 0);
        tug_test_settle();
    }
    assert_int_equal(o.rooms, 1);
    while (recv(o.peer, chunk, sizeof chunk, 0) > 0) {
        tug_test_settle();
    }
    assert_int_equal(o.rooms, 1);
    /* Below the high mark nobody is told. */
    write_pattern(&o, 0, 19000);
    tug_test_settle();
    while (recv(o.peer, chunk, sizeof chunk, 0) > 0) {
        tug_test_settle();
    }
    assert_int_equal(o.rooms, 1);
    close_all(&o);
}

TASK_TEST(the_limit_is_what_may_be_unsent)
{
    struct owner o;
    static uint8_t block[60000];
    open_small(&o);
    tug_transport_set_limits(o.t, 1000, 500, 100000);
    assert_ok(tug_transport_write(o.t, tug_bytes(block, sizeof block)));
    assert_rc(tug_transport_write(o.t, tug_bytes(block, 40001)), TUG_ELIMIT);
    assert_detail_has("would exceed 100000");
    assert_int_equal(tug_transport_unsent(o.t), 60000);
    assert_null(tug_transport_reserve(o.t, SIZE_MAX));
    assert_int_equal(tug_last_error()->code, TUG_ELIMIT);
    assert_ok(tug_transport_write(o.t, tug_bytes(block, 40000)));
    assert_int_equal(tug_transport_unsent(o.t), 100000);
    assert_rc(tug_transport_write(o.t, tug_bytes(block, 1)), TUG_ELIMIT);
    close_all(&o);
}

TASK_TEST(a_fast_peer_comes_in_chunks)
{
    struct owner o;
    static uint8_t block[200000];
    size_t sent = 0;
    open_with(&o, &plain_ops);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = pattern(i);
    }
    while (sent < sizeof block) {
        ssize_t n = send(o.peer, block + sent, sizeof block - sent, 0);
        sent += n > 0 ? (size_t)n : 0;
        tug_test_settle();
    }
    tug_test_settle();
    assert_int_equal(o.size, sizeof block);
    assert_memory_equal(o.data, block, sizeof block);
    close_all(&o);
}

/* --- the end --------------------------------------------------------------------------------- */

TASK_TEST(the_peers_end_comes_after_its_last_bytes)
{
    struct owner o;
    open_with(&o, &plain_ops);
    say(&o, "bye");
    end_peer(&o);
    tug_test_settle();
    assert_heard(&o, "bye");
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.why.code, TUG_ECLOSED);
    assert_non_null(strstr(o.why.text, "closed the connection"));
    /* It is not written to any more, and says so. */
    assert_rc(tug_transport_write(o.t, text("x")), TUG_ECLOSED);
    assert_rc(tug_transport_write(o.t, text("")), TUG_ECLOSED);
    assert_null(tug_transport_reserve(o.t, 1));
    tug_transport_flush(o.t);
    tug_transport_pause(o.t, true);
    tug_test_settle();
    assert_int_equal(o.ends, 1);
    close_all(&o);
}

TASK_TEST(a_half_closed_peer_is_still_written_to)
{
    struct owner o;
    open_with(&o, &eof_ops);
    say(&o, "last");
    assert_int_equal(shutdown(o.peer, SHUT_WR), 0);
    tug_test_settle();
    assert_heard(&o, "last");
    assert_int_equal(o.eofs, 1);
    assert_int_equal(o.ends, 0);
    assert_ok(tug_transport_write(o.t, text("answer")));
    tug_test_settle();
    assert_string_equal(hear(&o), "answer");
    end_peer(&o);
    assert_ok(tug_transport_write(o.t, text("nobody there")));
    tug_test_settle();
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.why.code, -EPIPE);
    assert_int_equal(o.eofs, 1);
    close_all(&o);
}

TASK_TEST(last_words_are_heard_though_a_send_failed)
{
    struct owner o;
    open_with(&o, &plain_ops);
    say(&o, "ERR too many clients");
    end_peer(&o);
    /* Before the loop has read anything, a send finds the peer gone. */
    assert_ok(tug_transport_write(o.t, text("hello?")));
    tug_transport_flush(o.t);
    assert_int_equal(o.ends, 0);
    assert_int_equal(o.calls, 0);
    assert_rc(tug_transport_write(o.t, text("again")), -EPIPE);
    tug_test_settle();
    assert_heard(&o, "ERR too many clients");
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.why.code, TUG_ECLOSED);
    close_all(&o);
}

/* A connected TCP pair. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&at, sizeof at), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listener);
}

TASK_TEST(a_reset_is_told_with_the_systems_reason)
{
    struct owner o = {.peer = -1};
    int fds[2];
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    tcp_pair(fds);
    o.peer = fds[1];
    assert_ok(tug_transport_from_fd(fds[0], &o.t));
    assert_ok(tug_transport_start(o.t, &plain_ops, &o));
    assert_non_null(strstr(tug_transport_peer(o.t), "127.0.0.1:"));
    assert_int_equal(setsockopt(o.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    end_peer(&o);
    tug_test_settle();
    assert_int_equal(o.ends, 1);
    assert_int_equal(o.why.code, -ECONNRESET);
    assert_int_equal(o.why.origin, TUG_ORIGIN_OS);
    assert_string_equal(o.why.native, "104");
    assert_non_null(strstr(o.why.text, "connection to 127.0.0.1:"));
    assert_non_null(strstr(o.why.text, "lost: Connection reset by peer"));
    close_all(&o);
}

TASK_TEST(a_taken_over_socket_is_set_up)
{
    tug_transport *t = NULL;
    int fds[2], value = 0;
    socklen_t size = sizeof value;
    tcp_pair(fds);
    assert_ok(tug_transport_from_fd(fds[0], &t));
    assert_true((fcntl(fds[0], F_GETFL) & O_NONBLOCK) != 0);
    getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &value, &size);
    assert_int_equal(value, 1);
    getsockopt(fds[0], SOL_SOCKET, SO_KEEPALIVE, &value, &size);
    assert_int_equal(value, 1);
    tug_transport_close(t);
    close(fds[1]);
}

TASK_TEST(what_is_no_stream_socket_is_refused)
{
    tug_transport *t = NULL;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_rc(tug_transport_from_fd(fds[0], &t), TUG_EINVAL);
    assert_detail_has("no stream socket");
    assert_rc(tug_transport_from_fd(-1, &t), TUG_EINVAL);
    close(fds[0]);
    close(fds[1]);
    assert_null(t);
}

TEST(a_transport_needs_a_loop)
{
    tug_transport *t = NULL;
    assert_rc(tug_transport_from_fd(0, &t), TUG_EMISUSE);
    assert_rc(tug_transport_dial("127.0.0.1", 1, &t), TUG_EMISUSE);
    tug_transport_close(NULL);
}

/* --- closing inside callbacks ---------------------------------------------------------------- */

TASK_TEST(close_inside_on_data)
{
    struct owner o;
    open_with(&o, &plain_ops);
    o.close_on_data = true;
    o.answer = "x"; /* with output of the same moment */
    say(&o, "first");
    say(&o, "second");
    end_peer(&o);
    tug_test_settle();
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.ends, 0);
    close_all(&o);
}

TASK_TEST(close_inside_on_data_of_last_words)
{
    struct owner o;
    open_with(&o, &plain_ops);
    o.close_on_data = true;
    say(&o, "ERR");
    end_peer(&o);
    assert_ok(tug_transport_write(o.t, text("hello?")));
    tug_transport_flush(o.t);
    tug_test_settle();
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.ends, 0);
    close_all(&o);
}

TASK_TEST(close_inside_on_end)
{
    struct owner o;
    open_with(&o, &plain_ops);
    o.close_on_end = true;
    end_peer(&o);
    tug_test_settle();
    assert_int_equal(o.ends, 1);
    close_all(&o);
}

TASK_TEST(close_inside_on_eof)
{
    struct owner o;
    open_with(&o, &eof_ops);
    o.close_on_eof = true;
    end_peer(&o);
    tug_test_settle();
    assert_int_equal(o.eofs, 1);
    assert_int_equal(o.ends, 0);
    close_all(&o);
}

TASK_TEST(close_inside_on_room)
{
    struct owner o;
    char chunk[4096];
    open_small(&o);
    o.close_on_room = true;
    tug_transport_set_limits(o.t, 10000, 5000, 100000);
    write_pattern(&o, 0, 30000);
    for (int i = 0; i < 100 && o.t != NULL; i++) {
        tug_test_settle();
        (void)!recv(o.peer, chunk, sizeof chunk, 0);
    }
    assert_int_equal(o.rooms, 1);
    assert_null(o.t);
    close_all(&o);
}

TASK_TEST(room_is_told_when_one_send_takes_all)
{
    struct owner o;
    open_with(&o, &plain_ops);
    tug_transport_set_limits(o.t, 10, 5, 1000);
    assert_ok(tug_transport_write(o.t, text("more than ten bytes")));
    tug_test_settle();
    assert_int_equal(o.rooms, 1);
    close_all(&o);
}

TASK_TEST(room_after_an_explicit_flush_is_told_later)
{
    struct owner o;
    open_with(&o, &plain_ops);
    tug_transport_set_limits(o.t, 10, 5, 1000);
    assert_ok(tug_transport_write(o.t, text("more than ten bytes")));
    tug_transport_flush(o.t);
    assert_int_equal(o.rooms, 0);
    tug_test_settle();
    assert_int_equal(o.rooms, 1);
    close_all(&o);
}

TASK_TEST(close_with_everything_pending)
{
    struct owner o;
    open_with(&o, &plain_ops);
    say(&o, "unread");
    tug_transport_set_limits(o.t, 10, 5, 1000);
    assert_ok(tug_transport_write(o.t, text("more than ten bytes")));
    tug_transport_flush(o.t);
    assert_ok(tug_transport_write(o.t, text("unsent")));
    close_now(&o);
    tug_test_settle();
    assert_int_equal(o.calls + o.rooms + o.ends, 0);
    close_all(&o);
}
