/* What:      tests of code that uses tug: the body runs as a task on a fresh loop, time is the test's own,
 *            and what is left behind fails the test.
 * Ownership: nothing is kept between calls.
 * Context:   tug_test_run outside of tasks; the others inside its body.
 * Callbacks: the body.
 * Errors:    tug_test_run returns what the body returned, or TUG_EMISUSE after a line on stderr that says
 *            what leaked: tasks, futures, memory of tug's, file descriptors. */
#ifndef TUG_TESTING_H
#define TUG_TESTING_H

#include <tug/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_test_options {
    size_t size;
    bool
        real_clock; /* false: the clock stands, and jumps to the next deadline when nothing can run */
    tug_duration
        bound; /* real time after which the test aborts with a list of its tasks, ns; 60 s */
} tug_test_options;
#define TUG_TEST_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_test_options), false, TUG_SECONDS(60)                                           \
    }

/* o NULL: the defaults. */
TUG_EXPORT int tug_test_run(tug_task_fn fn, void *arg, const tug_test_options *o) TUG_CHECK;
/* Two connected sockets, non-blocking, close-on-exec: one for the code, one for the scripted peer. */
TUG_EXPORT int tug_test_socketpair(int ret_fds[2]) TUG_CHECK;
/* Yields until no other task can run and no end-of-turn work is left (I/O that is ready is handled). */
TUG_SUSPENDS TUG_EXPORT void tug_test_settle(void);
/* Allocations of tug's own that are live now, and futures, and tasks. Any thread. */
TUG_EXPORT size_t tug_test_live_allocations(void);
TUG_EXPORT size_t tug_test_live_futures(void);

#ifdef __cplusplus
}
#endif
#endif
