/* What: the scripted peer of <tug/testing.h>: a background task on one end of a socket pair. */
#include <tug/testing.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

enum {
    QUOTED = 40, /* bytes of a surprise that are shown */
    CHUNK = 4096
};

struct tug_test_peer {
    int fd;
    size_t step; /* the one that runs */
    tug_future *script;
    size_t n;
    tug_test_step steps[];
};

static int sys_failed(const char *what)
{
    return tug_fail(tug_error_from_errno(errno), "the test's peer cannot %s: %s", what,
                    strerrordesc_np(errno));
}

/* As C would write it, cut. */
static const char *quote(struct tug_bytes b, char *to, size_t room)
{
    const unsigned char *p = b.data;
    size_t at = 0;
    for (size_t i = 0; i < b.size && i < QUOTED && at + 5 < room; i++) {
        bool plain = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\';
        at += (size_t)snprintf(to + at, room - at,
                               plain          ? "%c"
                               : p[i] == '\r' ? "\\r"
                               : p[i] == '\n' ? "\\n"
                                              : "\\%03o",
                               p[i]);
    }
    to[at] = 0;
    return to;
}

static int surprised(const tug_test_peer *peer, struct tug_bytes expected, struct tug_bytes came)
{
    char one[256], two[256];
    return tug_fail(TUG_EPROTO, "step %zu of the script expected \"%s\", and %s%s%s", peer->step,
                    quote(expected, one, 100), came.size > 0 ? "\"" : "",
                    came.size > 0 ? quote(came, two, 100) : "the other end ended",
                    came.size > 0 ? "\" came" : "");
}

/* > 0, or 0 at the end. */
static ssize_t receive(tug_test_peer *peer, void *to, size_t size)
{
    for (;;) {
        ssize_t n = recv(peer->fd, to, size, 0);
        if (n >= 0) {
            return n;
        }
        if (errno == ECONNRESET) { /* it closed with bytes of ours unread */
            return 0;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return sys_failed("read");
        }
        int rc = tug_fd_wait(peer->fd, TUG_READ);
        if (rc < 0) {
            return rc;
        }
    }
}

static int expect(tug_test_peer *peer, struct tug_bytes expected)
{
    char chunk[CHUNK];
    for (size_t at = 0; at < expected.size;) {
        const char *next = (const char *)expected.data + at;
        size_t left = expected.size - at;
        ssize_t n = receive(peer, chunk, left < sizeof chunk ? left : sizeof chunk);
        if (n < 0) {
            return (int)n;
        }
        if (n == 0 || memcmp(chunk, next, (size_t)n) != 0) {
            return surprised(peer, tug_bytes(next, left), tug_bytes(chunk, (size_t)n));
        }
        at += (size_t)n;
    }
    return 0;
}

static int expect_end(tug_test_peer *peer)
{
    char chunk[CHUNK];
    ssize_t n = receive(peer, chunk, sizeof chunk);
    if (n > 0) {
        char text[256];
        return tug_fail(TUG_EPROTO, "step %zu of the script expected the end, and \"%s\" came",
                        peer->step, quote(tug_bytes(chunk, (size_t)n), text, 100));
    }
    return (int)n;
}

static int say(tug_test_peer *peer, struct tug_bytes data, size_t portion)
{
    for (size_t at = 0; at < data.size;) {
        size_t left = data.size - at;
        ssize_t n = send(peer->fd, (const char *)data.data + at, left < portion ? left : portion,
                         MSG_NOSIGNAL);
        int rc = 0;
        if (n > 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            rc = tug_fd_wait(peer->fd, TUG_WRITE);
        } else if (errno != EINTR) {
            return sys_failed("write");
        }
        if (rc >= 0 && portion == 1) {
            tug_test_settle();
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int run_step(tug_test_peer *peer, const tug_test_step *step)
{
    switch (step->kind) {
    case TUG__TEST_EXPECT:
        return expect(peer, step->data);
    case TUG__TEST_SAY:
        return say(peer, step->data, step->data.size);
    case TUG__TEST_TRICKLE:
        return say(peer, step->data, 1);
    case TUG__TEST_PAUSE:
        return tug_sleep(step->time);
    case TUG__TEST_END:
        return expect_end(peer);
    default: /* CUT */
        close(peer->fd);
        peer->fd = -1;
        return 0;
    }
}

static int run_script(void *arg)
{
    tug_test_peer *peer = arg;
    int rc = 0;
    tug_task_set_name("test peer");
    for (; rc == 0 && peer->step < peer->n && peer->fd >= 0; peer->step++) {
        rc = run_step(peer, &peer->steps[peer->step]);
    }
    if (rc < 0 && peer->fd >= 0) { /* nobody is to wait for what will not be said */
        close(peer->fd);
        peer->fd = -1;
    }
    return rc;
}

static void peer_free(tug_test_peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    tug_free(peer);
}

int tug_test_peer_start(const tug_test_step *steps, size_t n, int *ret_fd, tug_test_peer **ret_peer)
{
    tug_test_peer *peer = tug_calloc(1, sizeof *peer + n * sizeof *steps);
    if (peer == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the test's peer");
    }
    int fds[2];
    int rc = tug_test_socketpair(fds);
    if (rc < 0) {
        tug_free(peer);
        return rc;
    }
    peer->fd = fds[1];
    peer->n = n;
    memcpy(peer->steps, steps, n * sizeof *steps);
    peer->script = tug_group_start(tug_background(), run_script, peer);
    if (tug_future_is_settled(peer->script)) { /* no task for it */
        rc = tug_await(peer->script);
        close(fds[0]);
        tug_future_unref(peer->script);
        peer_free(peer);
        return rc;
    }
    *ret_fd = fds[0];
    *ret_peer = peer;
    return 0;
}

int tug_test_peer_finish(tug_test_peer *peer)
{
    int rc = tug_await_own(peer->script);
    tug_future_unref(peer->script);
    peer_free(peer);
    return rc;
}
