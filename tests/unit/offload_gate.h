/* What:      what the tests of offloaded calls share: a call that stands on its thread until it is let go, and the task that
 *            waits for it.
 * Ownership: a gate is the test's. Context: in a test's task; stand runs on a thread. Callbacks: none.
 * Errors:    fail the test. */
#ifndef TUG_TESTS_OFFLOAD_GATE_H
#define TUG_TESTS_OFFLOAD_GATE_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>
#include <tug/error.h>
#include <tug/group.h>
#include <tug/offload.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "test.h"

/* A call that stands on its thread until it is let go. */
struct gate {
    sem_t entered, let_go;
    int rc;
    int runs, destroys, peeks;
    pthread_t ran_on, destroyed_on;
};

static inline void gate_init(struct gate *g, int rc)
{
    memset(g, 0, sizeof *g);
    sem_init(&g->entered, 0, 0);
    sem_init(&g->let_go, 0, 0);
    g->rc = rc;
}

enum {
    ENTER_SECONDS = 5 /* a thread has begun by then */
};

/* On its thread: one that was refused, or cancelled before, never comes. */
static inline void assert_entered(struct gate *g)
{
    struct timespec until;
    int rc;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ENTER_SECONDS;
    while ((rc = sem_timedwait(&g->entered, &until)) < 0 && errno == EINTR) {
    }
    assert_int_equal(rc, 0);
}

static inline int stand(void *arg)
{
    struct gate *g = arg;
    g->ran_on = pthread_self();
    g->runs++;
    sem_post(&g->entered);
    while (sem_wait(&g->let_go) < 0) {
    }
    return g->rc < 0 ? tug_fail(g->rc, "after the gate") : g->rc;
}

static inline void peek(void *arg, void *to)
{
    struct gate *g = arg;
    g->peeks++;
    *(int *)to = g->rc;
}

static inline void destroy(void *arg)
{
    struct gate *g = arg;
    g->destroyed_on = pthread_self();
    __atomic_add_fetch(&g->destroys, 1, __ATOMIC_SEQ_CST);
}

struct caller {
    struct gate *gate;
    bool is_abandonable;
    tug_scope scope;
    int rc, seen;
    bool has_ended;
};

static inline int call(void *arg)
{
    struct caller *c = arg;
    tug_scope_enter(&c->scope, TUG_FOREVER);
    c->rc = c->is_abandonable ? tug_offload_abandonable(stand, peek, destroy, c->gate, &c->seen)
                              : tug_offload(stand, c->gate);
    c->has_ended = true;
    TUG_IGNORE(tug_scope_leave(&c->scope, 0));
    return 0;
}

static inline void assert_called(struct caller *c)
{
    assert_false(c->has_ended);
    assert_entered(c->gate);
}

static inline void spawn(tug_group *g, struct caller *c, struct gate *gate, bool is_abandonable)
{
    *c = (struct caller){.gate = gate, .is_abandonable = is_abandonable};
    assert_ok(tug_group_spawn(g, call, c));
}

/* Lets the other tasks run until they wait, without waiting for threads. */
static inline void yield_some(void)
{
    for (int i = 0; i < 4; i++) {
        assert_ok(tug_yield());
    }
}

/* One that is over at once. */
static inline int plus_one(void *arg)
{
    return ++*(int *)arg;
}

#endif
