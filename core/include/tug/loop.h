/* What:      where tasks run: tug_main for programs, tug_run for parts of them, a loop on an event base that
 *            the application runs, the orderly end.
 * Ownership: a loop lives as long as the call that runs it, or from attach to detach.
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
    /* A step that holds the loop longer is logged as a warning, with the task's name and a backtrace; ns,
     * 0: never; 100 ms. What tug_debug_set or TUG_DEBUG=1 says comes first. See <tug/debug.h>. */
    tug_duration slow_step;
    /* A signal upon which tug_inspect goes to stderr; 1 to 64, 0: none; 0. */
    int dump_signal;
} tug_main_options;
#define TUG_MAIN_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_main_options), TUG_SECONDS(20), TUG_MS(100), 0                                  \
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

/* n threads (0: one for each CPU that the process may use; at most 1,024), a loop in each, fn(arg) as the main task
 * of each. Waits for all. The first that fails makes the others stop (as tug_stop does, with 20 s to drain) and
 * its code and detail are returned. From a thread without a loop. */
TUG_EXPORT int tug_run_threads(size_t n, tug_task_fn fn, void *arg) TUG_CHECK;

/* --- in programs that run an event loop of their own -------------------------------------------- */

struct event_base; /* libevent's */

/* Gives the calling thread a loop that lives on base, which this thread runs (now or later). From then on
 * everything that needs no task may be called from the application's callbacks: *_open, *_start,
 * tug_future_on_settled, and tug_group_spawn(tug_background(), ...) for tasks. Installs no signal handler.
 * tug's events keep the base from running out of events: it ends by event_base_loopbreak or loopexit.
 * They have the base's middle priority. TUG_EMISUSE, TUG_ENOMEM, -errno. */
TUG_EXPORT int tug_loop_attach(struct event_base *base, tug_loop **ret_loop) TUG_CHECK;
/* Ends the loop in the orderly way: asks to stop, turns the base (the application's events come too) until all
 * tasks have ended and all connections are closed, at most grace; after half of it tasks are cancelled.
 * TUG_ETIMEDOUT: some would not end even then; the detail says how many and names the first, the log lists them;
 * they are left behind, with their memory, and never run again. In each case the thread has no loop after it, and
 * nothing of tug is in the base. TUG_EMISUSE, and nothing happened: from inside a callback of the base or a
 * task, or from another thread. NULL is fine. */
TUG_EXPORT int tug_loop_detach(tug_loop *loop, tug_duration grace);

/* --- by hand ------------------------------------------------------------------------------------ */

/* A loop for programs of callbacks that have no loop of their own: new gives the calling thread a loop, run turns
 * it until it was asked to stop (tug_stop) and its tasks have ended, and may be called once; free ends it as
 * tug_loop_detach does. */
TUG_EXPORT int tug_loop_new(tug_loop **ret_loop) TUG_CHECK;
TUG_EXPORT int tug_loop_run(tug_loop *loop);
TUG_EXPORT int tug_loop_free(tug_loop *loop, tug_duration grace);

/* Asks to stop, as the first signal does, with this drain time. Any context of the loop. */
TUG_EXPORT void tug_stop(tug_duration drain);
TUG_EXPORT bool tug_is_stopping(void);
/* Waits until somebody asks to stop: 0. */
TUG_SUSPENDS TUG_EXPORT int tug_wait_stopping(void);

#ifdef __cplusplus
}
#endif
#endif
