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
#include <tug/value.h>

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
/* A peer that follows a script, as a task at the other end of a socket pair. With the test clock a whole
 * conversation, its pauses included, takes no time. */
typedef struct tug_test_peer tug_test_peer;
typedef struct tug_test_step {
    int kind;              /* private: made by the macros below */
    struct tug_bytes data; /* borrowed until finish */
    tug_duration time;
} tug_test_step;
enum {
    TUG__TEST_EXPECT,
    TUG__TEST_SAY,
    TUG__TEST_TRICKLE,
    TUG__TEST_PAUSE,
    TUG__TEST_END,
    TUG__TEST_CUT
};
/* Exactly these bytes come next (a string literal, or data and size for bytes with zeros). */
#define TUG_TEST_EXPECT(text) TUG_TEST_EXPECT_BYTES(text, sizeof(text) - 1)
#define TUG_TEST_EXPECT_BYTES(data, size) TUG__TEST_STEP(TUG__TEST_EXPECT, data, size, 0)
#define TUG_TEST_SAY(text) TUG_TEST_SAY_BYTES(text, sizeof(text) - 1)
#define TUG_TEST_SAY_BYTES(data, size) TUG__TEST_STEP(TUG__TEST_SAY, data, size, 0)
/* Byte by byte, each in a turn of its own: what a slow network makes of it. */
#define TUG_TEST_TRICKLE(text) TUG__TEST_STEP(TUG__TEST_TRICKLE, text, sizeof(text) - 1, 0)
#define TUG_TEST_PAUSE(duration) TUG__TEST_STEP(TUG__TEST_PAUSE, NULL, 0, duration)
/* The other end ends: nothing more may come. */
#define TUG_TEST_EXPECT_END TUG__TEST_STEP(TUG__TEST_END, NULL, 0, 0)
/* Closes at this point, whatever is under way. Without it the peer closes when finish is called, or when the
 * script has failed. */
#define TUG_TEST_CUT TUG__TEST_STEP(TUG__TEST_CUT, NULL, 0, 0)
#define TUG__TEST_STEP(kind, data, size, time)                                                     \
    {                                                                                              \
        kind, {data, size}, time                                                                   \
    }

/* Starts the script (copied; its data is not), in a task only, and gives the other end, yours: non-blocking, close-on-exec. */
TUG_EXPORT int tug_test_peer_start(const tug_test_step *steps, size_t n, int *ret_fd,
                                   tug_test_peer **ret_peer) TUG_CHECK;
/* Waits until the script has come to its end: 0; TUG_EPROTO with the step's number, what it expected and what
 * came instead. The peer is gone then, whatever comes out. When the caller is cancelled: likewise. */
TUG_SUSPENDS TUG_EXPORT int tug_test_peer_finish(tug_test_peer *peer) TUG_CHECK;

/* Yields until no other task can run and no end-of-turn work is left (I/O that is ready is handled). */
TUG_SUSPENDS TUG_EXPORT void tug_test_settle(void);
/* Allocations of tug's own that are live now, and futures, and tasks. Any thread. */
TUG_EXPORT size_t tug_test_live_allocations(void);
TUG_EXPORT size_t tug_test_live_futures(void);

#ifdef __cplusplus
}
#endif
#endif
