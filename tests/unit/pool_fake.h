/* What:      a scripted resource for the pool's tests: how long each op takes, what it fails with, what was
 *            open at most. It keeps its own books, so that the pool's counters have something to be
 *            compared with.
 * Ownership: a fake lives on the test's stack and must outlive its pool (fake_done waits for it).
 * Context:   tasks of the test.
 * Callbacks: none.
 * Errors:    a resource that is used after its close, closed twice or used by two fails the test. */
#ifndef TUG_TESTS_POOL_FAKE_H
#define TUG_TESTS_POOL_FAKE_H

#include <tug/pool.h>

#include "test.h"

#define FAKE_LOG 64

struct fake {
    /* The script: time and result of each op. */
    tug_duration connect_takes, check_takes, reset_takes, close_takes;
    int connect_rc;         /* 0 or what fake_connect fails with */
    bool connect_transient; /* of its detail */
    int connect_origin;
    int connect_fails; /* how many connects fail from now on; -1: all */
    int check_rc, reset_rc;
    bool stillborn; /* not usable from the start */
    /* The hooks, if fake_hooks set them. */
    tug_duration open_hook_takes, lend_hook_takes, return_hook_takes;
    int open_hook_rc, lend_hook_rc, return_hook_rc;
    /* The books. */
    int connects, connected, connect_failed, connect_cancelled; /* calls, and how they ended */
    int checks, checks_cancelled, resets, closes, gone;
    int connecting, live, most_connecting,
        most_live;              /* live: from connected until close returned */
    tug_time started[FAKE_LOG]; /* when each of the first connects began */
    tug_time closed_at;         /* when the latest close began */
    int failed_ops;             /* checks, resets and the hooks around a loan that failed */
    int open_hooks, open_hooks_failed, in_open_hook, lend_hooks, return_hooks, hooks_cancelled;
    int closes_cancelled;
    struct resource *all[FAKE_LOG]; /* those that live and are not being closed */
};

struct resource {
    struct fake *fake;
    int number; /* 1, 2 ... in the order in which they were connected */
    int users;
    bool broken, closing;
};

/* The whole table; tests that need less copy it and clear what they do not want. */
extern const tug_pool_ops fake_ops;

/* Sets the three hooks. */
void fake_hooks(struct fake *f, tug_pool_options *o);
/* Opens a pool over f. */
tug_pool *fake_pool(struct fake *f, const tug_pool_options *o);
/* Closes it, waits until it has gone, and checks that nothing is left open. */
void fake_close(struct fake *f, tug_pool *p);
/* Waits until the pool has gone. */
void fake_wait_gone(struct fake *f);
struct resource *fake_of(const tug_lease *lease);
/* Acquires, which must work. */
tug_lease *fake_acquire(tug_pool *p);
tug_pool_stats fake_stats(const tug_pool *p);
/* Compares what both sides know. */
void fake_compare(const struct fake *f, const tug_pool *p);

#endif
