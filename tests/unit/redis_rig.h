/* What:      a Redis handle whose server is this test: what the handle sends is compared, what the server
 *            says is written out.
 * Ownership: rig_close ends both. Context: a TASK_TEST. Callbacks: none. Errors: fail the test. */
#ifndef TUG_TESTS_REDIS_RIG_H
#define TUG_TESTS_REDIS_RIG_H

#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/redis.h>
#include <unistd.h>

#include "handle.h"
#include "test.h"

typedef struct rig {
    tug_redis *redis;
    int peer;
} rig;

/* url NULL: logged in at once. */
static inline rig rig_open(const char *url, const tug_redis_options *o)
{
    int fds[2];
    rig g = {0};
    tug_transport *t = NULL;
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_transport_from_fd(fds[0], &t));
    assert_ok(tug__redis_attach(t, url, o, &g.redis));
    g.peer = fds[1];
    return g;
}

static inline void rig_close(rig *g)
{
    tug_redis_close(g->redis);
    g->redis = NULL;
    if (g->peer >= 0) {
        close(g->peer);
    }
}

/* The handle has sent exactly this (in one write or in many), when nothing can go on any more. */
static inline void rig_expect(rig *g, const char *expected)
{
    char got[4096];
    tug_test_settle();
    ssize_t n = read(g->peer, got, sizeof got - 1);
    got[n > 0 ? n : 0] = 0;
    assert_string_equal(got, expected);
}

/* Forgets what was sent. */
static inline size_t rig_drain(rig *g)
{
    char got[65536];
    size_t all = 0;
    ssize_t n;
    tug_test_settle();
    while ((n = read(g->peer, got, sizeof got)) > 0) {
        all += (size_t)n;
        tug_test_settle();
    }
    return all;
}

static inline void rig_say(rig *g, const char *text)
{
    assert_int_equal(write(g->peer, text, strlen(text)), strlen(text));
    tug_test_settle();
}

/* The server goes. */
static inline void rig_hang_up(rig *g)
{
    close(g->peer);
    g->peer = -1;
    tug_test_settle();
}

/* A task that calls and keeps what came out. */
typedef struct caller {
    tug_redis *redis;
    const char *command, *key;
    int rc;
    char text[64];
    tug_error error;
    bool is_done;
} caller;

static inline int caller_run(void *arg)
{
    caller *c = arg;
    c->rc = tug_redis_call_one(c->redis, TUG_ARGS(c->command, c->key), TUG_OUT(TUG_COPY(c->text)));
    c->error = *tug_last_error();
    c->is_done = true;
    return 0;
}

static inline void caller_start(tug_group *group, rig *g, caller *c, const char *command,
                                const char *key)
{
    *c = (caller){.redis = g->redis, .command = command, .key = key, .rc = 1};
    assert_ok(tug_group_spawn(group, caller_run, c));
}

#endif
