/* What:      the process's signals for any number of loops: a handler that only counts and writes to
 *            eventfds. libevent's own support serves one base a process.
 * Ownership: a watch is embedded; the last one of a signal gives it back to whoever had it.
 * Context:   the loop's thread; several threads may have loops.
 * Callbacks: on the loop stack, at most twice a signal and turn: what came more often is one "again".
 * Errors:    TUG_EINVAL (no such signal, or a fault), TUG_ENOMEM, TUG_ELIMIT (512 loops have signals),
 *            -errno, TUG_EMISUSE without a loop. */
#ifndef TUG_LOOP_SIGNAL_H
#define TUG_LOOP_SIGNAL_H

#include "loop/loop.h"

/* Zeroed is idle. */
struct tug__signal_watch {
    struct tug__signal_watch *next, **at_prev;
    uint64_t mask; /* bit number - 1 */
    void (*fn)(int number, void *arg);
    void *arg;
    bool is_hubs; /* it frees this one */
};

int tug__signal_subscribe(struct tug__signal_watch *w, const int *numbers, size_t n,
                          void (*fn)(int number, void *arg), void *arg);
/* An idle one is fine. Also from inside fn. */
void tug__signal_unsubscribe(struct tug__signal_watch *w);

/* One signal, until the loop is gone: longer than its tasks. */
int tug__signal_watch(int number, void (*fn)(int number, void *arg), void *arg);

#endif
