/* What:      a stream over one end of a socket pair, its scripted peer, and tasks inside one call of it.
 * Ownership: rig_open to rig_close. Context: the body of a test. Callbacks: none. Errors: assertions. */
#ifndef TUG_TESTS_UNIT_STREAM_RIG_H
#define TUG_TESTS_UNIT_STREAM_RIG_H

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/stream.h>
#include <unistd.h>

#include "test.h"

static tug_stream *s; /* the one that is tested */
static int peer;      /* the other end, a plain non-blocking socket; -1: closed */

static inline void rig_open_with(const tug_stream_options *o)
{
    int fds[2];
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_stream_from_fd_with(fds[0], o, &s));
    peer = fds[1];
}

static inline void rig_open(void)
{
    rig_open_with(NULL);
}

/* Its socket takes only a little at a time. */
static inline void rig_open_slow(const tug_stream_options *o)
{
    int fds[2], least = 1;
    assert_ok(tug_test_socketpair(fds));
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    assert_ok(tug_stream_from_fd_with(fds[0], o, &s));
    peer = fds[1];
}

static inline void rig_close_peer(void)
{
    if (peer >= 0) {
        close(peer);
        peer = -1;
    }
}

static inline void rig_close(void)
{
    tug_stream_close(s);
    s = NULL;
    rig_close_peer();
}

static inline struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

static inline void say(const char *t)
{
    assert_int_equal(send(peer, t, strlen(t), MSG_NOSIGNAL), strlen(t));
}

static inline const char *hear(void)
{
    static char heard[4096];
    ssize_t n = recv(peer, heard, sizeof heard - 1, 0);
    heard[n > 0 ? n : 0] = 0;
    return heard;
}

/* The peer reads our end. */
static inline bool peer_sees_end(void)
{
    char byte;
    return recv(peer, &byte, 1, 0) == 0;
}

static inline char *block(size_t size)
{
    char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(i * 2654435761u >> 13);
    }
    return data;
}

/* A task inside fn, under a scope of its own. */
struct caller {
    int (*fn)(struct caller *c);
    char to[256];
    size_t size;
    tug_buffer *buffer;
    tug_scope scope;
    int rc;
    bool has_ended;
    tug_error why;
};

static inline int rig_call(void *arg)
{
    struct caller *c = arg;
    tug_scope_enter(&c->scope, TUG_FOREVER);
    c->rc = c->fn(c);
    c->why = *tug_last_error();
    c->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&c->scope, 0));
    return 0;
}

static inline void spawn(tug_group *g, struct caller *c, int (*fn)(struct caller *c), size_t size)
{
    *c = (struct caller){.fn = fn, .size = size};
    assert_ok(tug_group_spawn(g, rig_call, c));
}

/* Its call is to be cancelled, so it must be in it still. */
static inline void cancel(struct caller *c)
{
    assert_false(c->has_ended);
    tug_scope_cancel(&c->scope);
}

#endif
