#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/stream.h>
#include <unistd.h>

#include "test.h"

static tug_stream *s; /* the one that is tested */
static int peer;      /* the other end, a plain socket */

static void open_stream(void)
{
    int fds[2];
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_stream_from_fd(fds[0], &s));
    peer = fds[1];
}

static void open_slow(void)
{
    int fds[2], least = 1;
    assert_ok(tug_test_socketpair(fds));
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    assert_ok(tug_stream_from_fd(fds[0], &s));
    peer = fds[1];
}

static void close_both(void)
{
    tug_stream_close(s);
    s = NULL;
    if (peer >= 0) {
        close(peer);
    }
}

static void say(const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), 0), strlen(text));
}

static const char *hear(void)
{
    static char text[256];
    ssize_t n = recv(peer, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

/* A task inside one call of the stream, under a scope of its own. */
struct caller {
    int kind;
    char to[32];
    size_t size;
    struct tug_bytes data;
    tug_scope scope;
    int rc;
    bool has_ended;
    tug_error why;
};

enum {
    READ,
    READ_EXACT,
    WRITE,
    FLUSH,
    WAIT_CLOSED,
    KINDS
};

static int call_it(struct caller *c)
{
    switch (c->kind) {
    case READ:
        return tug_stream_read(s, c->to, c->size);
    case READ_EXACT:
        return tug_stream_read_exact(s, c->to, c->size);
    case WRITE:
        return tug_stream_write(s, c->data);
    case FLUSH:
        return tug_stream_flush(s);
    default:
        return tug_stream_wait_closed(s);
    }
}

static int call(void *arg)
{
    struct caller *c = arg;
    tug_scope_enter(&c->scope, TUG_FOREVER);
    c->rc = call_it(c);
    c->why = *tug_last_error();
    c->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&c->scope, 0));
    return 0;
}

static void spawn(tug_group *g, struct caller *c, int kind, size_t size)
{
    *c = (struct caller){.kind = kind, .size = size};
    assert_ok(tug_group_spawn(g, call, c));
}

/* Its call is to be cancelled, so it must be in it still. */
static void cancel(struct caller *c)
{
    assert_false(c->has_ended);
    tug_scope_cancel(&c->scope);
}

static char *block(size_t size)
{
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(i * 2654435761u >> 13);
    }
    return data;
}

/* --- reading --------------------------------------------------------------------------------- */

TASK_TEST(read_gives_what_is_there)
{
    char to[16] = "";
    open_stream();
    say("hello");
    tug_test_settle();
    assert_rc(tug_stream_read(s, to, 2), 2);
    assert_rc(tug_stream_read(s, to + 2, sizeof to - 2), 3);
    assert_string_equal(to, "hello");
    close_both();
}

TASK_TEST(read_waits_for_bytes)
{
    struct caller c;
    tug_group g;
    char to[8] = "";
    open_stream();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, READ, 3);
    tug_test_settle();
    assert_false(c.has_ended);
    say("abcde");
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 3);
    assert_string_equal(c.to, "abc");
    assert_rc(tug_stream_read(s, to, sizeof to), 2);
    assert_string_equal(to, "de");
    close_both();
}

TASK_TEST(read_exact_collects_its_pieces)
{
    struct caller c;
    tug_group g;
    open_stream();
    say("1");
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, READ_EXACT, 5);
    tug_test_settle();
    say("23");
    tug_test_settle();
    assert_false(c.has_ended);
    say("456");
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    assert_string_equal(c.to, "12345");
    close_both();
}

TASK_TEST(the_peers_end_reads_as_0)
{
    char to[8] = "";
    open_stream();
    say("xyz");
    shutdown(peer, SHUT_WR);
    tug_test_settle();
    assert_rc(tug_stream_read(s, to, 1), 1);
    assert_rc(tug_stream_read(s, to, sizeof to), 2);
    assert_rc(tug_stream_read(s, to, sizeof to), 0);
    assert_rc(tug_stream_read(s, to, sizeof to), 0);
    /* Our direction goes on. */
    assert_ok(tug_stream_write(s, text("still here")));
    assert_ok(tug_stream_flush(s));
    assert_string_equal(hear(), "still here");
    assert_rc(tug_stream_wait_closed(s), TUG_ECLOSED);
    close_both();
}

TASK_TEST(a_waiting_reader_learns_of_the_end)
{
    struct caller c[2];
    tug_group g;
    open_stream();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c[0], READ, 8);
    spawn(&g, &c[1], WAIT_CLOSED, 0);
    tug_test_settle();
    shutdown(peer, SHUT_WR);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c[0].rc, 0);
    assert_int_equal(c[1].rc, TUG_ECLOSED);
    assert_non_null(strstr(c[1].why.text, "has ended the stream"));
    close_both();
}

TASK_TEST(an_end_in_the_middle_is_a_protocol_error)
{
    char to[8];
    open_stream();
    say("abc");
    shutdown(peer, SHUT_WR);
    assert_rc(tug_stream_read_exact(s, to, 5), TUG_EPROTO);
    assert_detail_has("after 3 of 5 bytes");
    close_both();
}

TASK_TEST(a_peer_that_says_too_much_is_held_back)
{
    size_t said = 0, heard = 0;
    char *data = block(1 << 20), *to = malloc(1 << 20);
    open_stream();
    for (int i = 0; i < 50; i++) {
        ssize_t n = send(peer, data + said, (1 << 20) - said, 0);
        said += n > 0 ? (size_t)n : 0;
        tug_test_settle();
    }
    /* 64 KiB and a chunk in our buffer, the rest in the socket's: nowhere near all. */
    assert_true(said < 800 * 1024);
    assert_int_equal(send(peer, "x", 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    while (heard < 1 << 20) {
        int n = tug_stream_read(s, to + heard, 5000);
        assert_in_range(n, 1, 5000);
        heard += (size_t)n;
        if (said < 1 << 20) {
            ssize_t sent = send(peer, data + said, (1 << 20) - said, 0);
            said += sent > 0 ? (size_t)sent : 0;
        }
    }
    assert_memory_equal(to, data, 1 << 20);
    close_both();
    free(data);
    free(to);
}

TASK_TEST(a_long_read_exact_crosses_chunks_and_pauses)
{
    const size_t size = 500 * 1000;
    char *data = block(size), *to = malloc(size);
    size_t said = 0;
    open_stream();
    ssize_t n = send(peer, data, size, 0);
    assert_true(n > 0);
    said = (size_t)n;
    tug_test_settle();
    assert_ok(tug_stream_read_exact(s, to, 100));
    assert_ok(tug_stream_read_exact(s, to + 100, said - 100));
    assert_memory_equal(to, data, said);
    close_both();
    free(data);
    free(to);
}

/* --- writing --------------------------------------------------------------------------------- */

TASK_TEST(writes_of_a_turn_leave_together)
{
    open_stream();
    assert_ok(tug_stream_write(s, text("a")));
    assert_ok(tug_stream_write(s, text("")));
    assert_ok(tug_stream_write(s, tug_bytes(NULL, 0)));
    assert_ok(tug_stream_write(s, text("b")));
    assert_string_equal(hear(), "");
    tug_test_settle();
    assert_string_equal(hear(), "ab");
    close_both();
}

TASK_TEST(flush_returns_when_all_is_sent)
{
    struct caller c;
    tug_group g;
    char to[4096];
    char *data = block(100000);
    size_t heard = 0;
    open_slow();
    assert_ok(tug_stream_flush(s));
    assert_ok(tug_stream_write(s, tug_bytes(data, 100000)));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, FLUSH, 0);
    while (heard < 100000) {
        tug_test_settle();
        ssize_t n = recv(peer, to, sizeof to, 0);
        assert_true(n > 0);
        assert_memory_equal(to, data + heard, n);
        heard += (size_t)n;
        /* What the small buffer of the socket holds is sent, as far as we can know. */
        assert_true(!c.has_ended || heard > 80000);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    close_both();
    free(data);
}

TASK_TEST(a_large_write_goes_at_the_pace_of_the_peer)
{
    const size_t size = 3 << 20;
    struct caller c = {.kind = WRITE};
    tug_group g;
    char *data = block(size), *to = malloc(size);
    size_t heard = 0;
    open_slow();
    c.data = tug_bytes(data, size);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, call, &c));
    while (heard < size) {
        tug_test_settle();
        ssize_t n = recv(peer, to + heard, size - heard, 0);
        assert_true(n > 0);
        heard += (size_t)n;
        /* The last 384 KiB at most are in the buffer when the write returns. */
        assert_true(c.has_ended || heard < size - 60 * 1024);
        assert_true(!c.has_ended || heard > size - 512 * 1024);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    assert_memory_equal(to, data, size);
    close_both();
    free(data);
    free(to);
}

/* --- misuse ---------------------------------------------------------------------------------- */

TASK_TEST(one_task_reads_and_one_writes)
{
    struct caller reader, writer = {.kind = WRITE};
    tug_group g;
    char to[4], *data = block(1 << 20);
    open_slow();
    writer.data = tug_bytes(data, 1 << 20);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &reader, READ, 4);
    assert_ok(tug_group_spawn(&g, call, &writer));
    tug_test_settle();
    assert_false(reader.has_ended || writer.has_ended);
    assert_rc(tug_stream_read(s, to, sizeof to), TUG_EMISUSE);
    assert_detail_has("another task");
    assert_rc(tug_stream_read_exact(s, to, sizeof to), TUG_EMISUSE);
    assert_rc(tug_stream_write(s, text("x")), TUG_EMISUSE);
    assert_rc(tug_stream_flush(s), TUG_EMISUSE);
    close_both();
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(reader.rc, TUG_ECLOSED);
    assert_int_equal(writer.rc, TUG_ECLOSED);
    free(data);
}

TASK_TEST(no_room_to_read_into_is_refused)
{
    char to[4];
    open_stream();
    assert_rc(tug_stream_read(s, to, 0), TUG_EINVAL);
    assert_rc(tug_stream_read(s, NULL, 4), TUG_EINVAL);
    close_both();
    tug_stream_close(NULL);
}

TASK_TEST(bad_addresses_are_refused)
{
    static const char *const wrong[] = {"",
                                        "tcp://",
                                        "tcp://host",
                                        "tcp://:80",
                                        "tcp://h:",
                                        "tcp://h:0",
                                        "tcp://h:65536",
                                        "tcp://h:8x",
                                        "tcp://::1:5",
                                        "tcp://h:+5",
                                        "unix:relative",
                                        "http://h:80",
                                        "h:80",
                                        "tcp://[]:80",
                                        "tcp://h:99999999999999999999"};
    tug_stream *t = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_rc(tug_stream_connect(wrong[i], &t), TUG_EINVAL);
        assert_detail_has(wrong[i]);
    }
    assert_rc(tug_stream_connect(NULL, &t), TUG_EINVAL);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[256] = 0;
    assert_rc(tug_stream_connect(longest, &t), TUG_EINVAL);
    assert_null(t);
}

/* --- cancel ---------------------------------------------------------------------------------- */

TASK_TEST(each_wait_can_be_cancelled)
{
    char *data = block(1 << 20);
    for (int kind = 0; kind < KINDS; kind++) {
        struct caller c = {.kind = kind, .size = 8, .data = tug_bytes(data, 1 << 20)};
        tug_group g;
        open_slow();
        if (kind == FLUSH) {
            assert_ok(tug_stream_write(s, tug_bytes(data, 200000)));
        }
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&g, call, &c));
        tug_test_settle();
        assert_false(c.has_ended);
        cancel(&c);
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(c.rc, TUG_ECANCELED);
        /* The stream goes on. */
        char to[4] = "";
        say("ok");
        assert_rc(tug_stream_read(s, to, sizeof to), 2);
        assert_string_equal(to, "ok");
        close_both();
    }
    free(data);
}

TASK_TEST(cancelled_on_entry_nothing_happens)
{
    char to[4] = "";
    tug_scope scope;
    open_stream();
    say("abc");
    tug_test_settle();
    tug_scope_enter(&scope, TUG_FOREVER);
    tug_scope_cancel(&scope);
    assert_rc(tug_stream_read(s, to, sizeof to), TUG_ECANCELED);
    assert_rc(tug_stream_read_exact(s, to, 2), TUG_ECANCELED);
    assert_rc(tug_stream_write(s, text("x")), TUG_ECANCELED);
    assert_rc(tug_stream_flush(s), TUG_ECANCELED);
    assert_rc(tug_stream_wait_closed(s), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&scope, 0), 0);
    tug_test_settle();
    assert_string_equal(hear(), "");
    assert_rc(tug_stream_read(s, to, sizeof to), 3);
    close_both();
}

TASK_TEST(bytes_handed_over_are_read_though_cancelled)
{
    struct caller c;
    tug_group g;
    open_stream();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, READ, 8);
    tug_test_settle();
    say("mine");
    /* The bytes are handed over in a poll; this task, which is in the queue already, runs before
     * the reader does. */
    while (c.to[0] == 0) {
        assert_ok(tug_yield());
        assert_false(c.has_ended);
    }
    cancel(&c);
    assert_ok(tug_group_leave(&g, 0));
    assert_true(c.rc == 4);
    assert_string_equal(c.to, "mine");
    close_both();
}

TASK_TEST(a_cancelled_read_exact_gives_back_what_it_has)
{
    struct caller c;
    tug_group g;
    char to[16] = "";
    open_stream();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, READ_EXACT, 10);
    tug_test_settle();
    say("abc");
    tug_test_settle();
    say("de");
    tug_test_settle();
    cancel(&c);
    say("fgh");
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, TUG_ECANCELED);
    assert_ok(tug_stream_read_exact(s, to, 8));
    assert_string_equal(to, "abcdefgh");
    close_both();
}

/* --- the end --------------------------------------------------------------------------------- */

TASK_TEST(close_wakes_whoever_waits)
{
    char *data = block(1 << 20);
    for (int kind = 0; kind < KINDS; kind++) {
        struct caller c = {.kind = kind, .size = 8, .data = tug_bytes(data, 1 << 20)};
        tug_group g;
        open_slow();
        if (kind == FLUSH) {
            assert_ok(tug_stream_write(s, tug_bytes(data, 200000)));
        }
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&g, call, &c));
        tug_test_settle();
        close_both();
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(c.rc, TUG_ECLOSED);
        assert_int_equal(c.why.code, TUG_ECLOSED);
    }
    free(data);
}

static int close_it(void *arg)
{
    tug_stream_close(arg);
    return 0;
}

TASK_TEST(close_while_a_call_yields_inside)
{
    tug_group g;
    char to[2];
    char *data = block(1000);
    open_stream();
    assert_int_equal(send(peer, data, 1000, 0), 1000);
    tug_test_settle();
    /* 127 reads leave one credit: the next one yields inside, and the other task closes. */
    assert_ok(tug_yield());
    for (int i = 0; i < 127; i++) {
        assert_rc(tug_stream_read(s, to, 1), 1);
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, close_it, s));
    assert_rc(tug_stream_read(s, to, 1), TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    close(peer);
    free(data);
}

TASK_TEST(a_broken_connection_is_told_to_all_after_its_last_bytes)
{
    struct caller c[2];
    tug_group g;
    char to[8] = "";
    open_stream();
    assert_ok(tug_stream_write(s, text("unread")));
    tug_test_settle();
    say("last");
    tug_test_settle();
    close(peer); /* with unread input: a Unix socket tells that as a reset */
    peer = -1;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c[0], WAIT_CLOSED, 0);
    spawn(&g, &c[1], WAIT_CLOSED, 0);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c[0].rc, -ECONNRESET);
    assert_int_equal(c[1].rc, -ECONNRESET);
    assert_non_null(strstr(c[0].why.text, "Connection reset by peer"));
    assert_rc(tug_stream_read(s, to, sizeof to), 4);
    assert_string_equal(to, "last");
    assert_rc(tug_stream_read(s, to, sizeof to), -ECONNRESET);
    assert_rc(tug_stream_write(s, text("x")), -ECONNRESET);
    assert_rc(tug_stream_flush(s), -ECONNRESET);
    assert_rc(tug_stream_wait_closed(s), -ECONNRESET);
    close_both();
}

TASK_TEST(a_writer_learns_that_the_peer_has_gone)
{
    struct caller c = {.kind = WRITE};
    tug_group g;
    char *data = block(1 << 20);
    open_slow();
    c.data = tug_bytes(data, 1 << 20);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, call, &c));
    tug_test_settle();
    assert_false(c.has_ended);
    close(peer);
    peer = -1;
    assert_ok(tug_group_leave(&g, 0));
    assert_true(c.rc == -ECONNRESET || c.rc == -EPIPE);
    close_both();
    free(data);
}

TASK_TEST(what_is_no_socket_stays_the_callers)
{
    static const char *const paths[] = {"/dev/null", "/proc/self/exe", "/"};
    tug_stream *t = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_rc(tug_stream_from_fd(fd, &t), TUG_EINVAL);
        assert_detail_has("file descriptor");
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(close(fd), 0);
    }
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_rc(tug_stream_from_fd(datagrams, &t), TUG_EINVAL);
    assert_detail_has("is no stream socket, pipe or terminal");
    assert_int_equal(close(datagrams), 0);
    assert_rc(tug_stream_from_fd(-1, &t), TUG_EINVAL);
    assert_null(t);
}

/* --- both ends streams ----------------------------------------------------------------------- */

static int echo(void *arg)
{
    tug_stream *e = arg;
    char chunk[700];
    int n, rc = 0;
    while (rc == 0 && (n = tug_stream_read(e, chunk, sizeof chunk)) > 0) {
        rc = tug_stream_write(e, tug_bytes(chunk, (size_t)n));
    }
    tug_stream_close(e);
    return rc < 0 ? rc : n;
}

/* What is cut off would be waited for at the other end. */
static int write_all(void *arg)
{
    int rc = tug_stream_write(s, *(struct tug_bytes *)arg);
    if (rc < 0) {
        tug_stream_close(s);
    }
    return rc;
}

LIVE_TEST(a_million_bytes_come_back_over_tcp)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    tug_group g;
    tug_stream *far = NULL;
    char address[64], *data = block(1 << 20), *to = malloc(1 << 20);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
    assert_ok(tug_stream_connect(address, &s));
    assert_ok(tug_stream_from_fd(accept(listener, NULL, NULL), &far));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, echo, far));
    struct tug_bytes all = tug_bytes(data, 1 << 20);
    assert_ok(tug_group_spawn(&g, write_all, &all));
    assert_ok(tug_stream_read_exact(s, to, 1 << 20));
    assert_memory_equal(to, data, 1 << 20);
    tug_stream_close(s);
    assert_ok(tug_group_leave(&g, 0));
    close(listener);
    snprintf(address, sizeof address, "tcp://[::1]:%u", ntohs(at.sin_port));
    assert_rc(tug_stream_connect(address, &s), TUG_ECONNECT);
    assert_detail_has("cannot connect to [::1]:");
    free(data);
    free(to);
}
