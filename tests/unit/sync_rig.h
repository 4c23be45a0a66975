/* What:      tasks that wait for one thing under a scope of their own, so that each can be cancelled
 *            alone; and numbers for random tests, the same in every run.
 * Ownership: struct waiter is the test's, and lives until its group has been left. */
#ifndef TUG_TESTS_UNIT_SYNC_RIG_H
#define TUG_TESTS_UNIT_SYNC_RIG_H

#include <tug/group.h>

#include "test.h"

struct waiter {
    void *on;
    int (*wait)(struct waiter *w);
    void *more;
    tug_scope scope;
    int rc;
    bool has_ended;
    size_t rank; /* how many had ended before it */
};

static size_t waiters_ended;

static inline int waiter_run(void *arg)
{
    struct waiter *w = arg;
    tug_scope_enter(&w->scope, TUG_FOREVER);
    w->rc = w->wait(w);
    w->has_ended = true;
    w->rank = waiters_ended++;
    TUG_IGNORE(tug_scope_leave(&w->scope, w->rc));
    return 0;
}

static inline void waiter_spawn(tug_group *g, struct waiter *w, void *on,
                                int (*wait)(struct waiter *w))
{
    *w = (struct waiter){.on = on, .wait = wait};
    assert_ok(tug_group_spawn(g, waiter_run, w));
}

/* Nothing happens to one that has ended: its scope has been left. */
static inline void waiter_cancel(struct waiter *w)
{
    if (!w->has_ended) {
        tug_scope_cancel(&w->scope);
    }
}

/* Lets everybody come as far as they can, then checks that w still waits. */
#define assert_waits(w)                                                                            \
    do {                                                                                           \
        tug_test_settle();                                                                         \
        assert_false((w)->has_ended);                                                              \
    } while (0)

#define assert_ended(w, code)                                                                      \
    do {                                                                                           \
        tug_test_settle();                                                                         \
        assert_true((w)->has_ended);                                                               \
        assert_rc((w)->rc, code);                                                                  \
    } while (0)

/* --- random operations ----------------------------------------------------------------------- */

typedef struct random_numbers {
    uint64_t state;
} random_numbers;

static inline uint32_t random_below(random_numbers *r, uint32_t n)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((r->state >> 33) % n);
}

#endif
