/* What:      signals to wait for. Each loop of the process that asks for a signal gets it, and each
 *            tug_signal of a loop.
 * Ownership: tug_signal is yours until close. The last close in the process gives a signal back to whoever
 *            had it before.
 * Context:   next: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_EINVAL (no such signal, or one that cannot be watched: SIGKILL, SIGSTOP and the faults),
 *            TUG_ECLOSED after close, TUG_ECANCELED, TUG_ENOMEM. */
#ifndef TUG_SIGNAL_H
#define TUG_SIGNAL_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_signal tug_signal;

/* From now on the n signals in numbers (SIGHUP, SIGUSR1 ...) do no longer what they did, but are remembered
 * here. tug_main goes on to treat SIGTERM and SIGINT as a request to stop. A signal that all threads
 * block never comes. */
TUG_EXPORT int tug_signal_open(const int *numbers, size_t n, tug_signal **ret_signal);
/* Waits for one of them: 1, and which. One that came several times before it was asked for is told once. 0: the
 * loop is asked to stop, and nothing that came before is left. Several tasks may wait: each signal goes to one. */
TUG_SUSPENDS TUG_EXPORT int tug_signal_next(tug_signal *s, int *ret_number) TUG_CHECK;
/* Whoever waits gets TUG_ECLOSED. NULL is fine. */
TUG_EXPORT void tug_signal_close(tug_signal *s);
TUG_AUTO_FN(tug_signal, tug_signal_close)

#ifdef __cplusplus
}
#endif
#endif
