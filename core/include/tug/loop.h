/* What:      where tasks run: tug_main for programs, tug_run for parts of them, the orderly end.
 * Ownership: a loop lives as long as the call that runs it.
 * Context:   outside of tasks, one loop per thread; tug_is_stopping and tug_stop in any context of it.
 * Callbacks: none.
 * Errors:    what the main task returned; TUG_EMISUSE when the thread already has a loop. */
#ifndef TUG_LOOP_H
#define TUG_LOOP_H

#include <tug/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_loop tug_loop;

typedef struct tug_main_options {
    size_t size;
    tug_duration drain; /* from the request to stop until what still runs is cancelled, ns; 20 s */
} tug_main_options;
#define TUG_MAIN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_main_options), TUG_SECONDS(20)                                                  \
    }

/* Runs fn as the main task of a new loop, and the loop until all its tasks have ended. The first
 * SIGTERM or SIGINT asks to stop (sources without an end of their own end; the rest goes on), after
 * the drain time what still runs is cancelled; a second signal cancels at once and pierces shields.
 * Returns an exit status: 0 for 0 and for a cancel after a request to stop; 1 after one line on
 * stderr; 128 + signal after a second signal. Installs an alternate signal stack and a SIGSEGV handler
 * that names the task whose stack overflowed. */
TUG_EXPORT int tug_main(tug_task_fn fn, void *arg);
TUG_EXPORT int tug_main_with(tug_task_fn fn, void *arg, const tug_main_options *o);
/* The same without signals, handlers and printing: returns what fn returned; its detail is then the
 * thread's tug_last_error(). */
TUG_EXPORT int tug_run(tug_task_fn fn, void *arg) TUG_CHECK;

/* Asks to stop, as the first signal does, with this drain time. Any context of the loop. */
TUG_EXPORT void tug_stop(tug_duration drain);
TUG_EXPORT bool tug_is_stopping(void);
/* Waits until somebody asks to stop: 0. */
TUG_SUSPENDS TUG_EXPORT int tug_wait_stopping(void);

#ifdef __cplusplus
}
#endif
#endif
