/* What:      acquire and close of a lease in a loop, by one task and by a thousand and one that wait for the
 *            only one there is: the frame of pool.acquire and pg.acquire.
 * Ownership: the caller's state. Context: a bench. Callbacks: once, by tasks.
 * Errors:    those of once. */
#ifndef TUG_BENCH_ACQUIRE_H
#define TUG_BENCH_ACQUIRE_H

#include "bench.h"

/* once: an acquire and a close. Prints NAME and NAME.waiters against the bare ring. */
TUG_SUSPENDS int bench_acquire(const char *name, int (*once)(void *what), void *what) TUG_CHECK;

#endif
