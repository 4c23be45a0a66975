/* What:      the process's signals for loops: a handler that only counts and writes to an eventfd.
 *            libevent's own support serves one base a process.
 * Ownership: open/close; close gives the signals back to whoever had them.
 * Context:   one hub a process at a time; the callback comes on the loop's stack.
 * Callbacks: fn(loop, signal) for each signal received. Errors: TUG_EMISUSE, -errno, TUG_ENOMEM. */
#ifndef TUG_LOOP_SIGNAL_H
#define TUG_LOOP_SIGNAL_H

#include "loop/loop.h"

struct tug__signals;
/* SIGTERM and SIGINT. */
int tug__signals_open(struct tug_loop *loop, void (*fn)(struct tug_loop *loop, int signal),
                      struct tug__signals **ret);
void tug__signals_close(struct tug__signals *s);

#endif
