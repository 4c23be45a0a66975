/* What:      the log of steps that hold a loop too long: one resume of a task, or one callback on the loop's
 *            own stack.
 * Ownership: one thread a process, while any loop is watched.
 * Context:   open and close: the loop's thread. Callbacks: the log's sink, from the watching thread.
 * Errors:    none: without the thread nothing is watched. */
#ifndef TUG_TASK_SLOW_H
#define TUG_TASK_SLOW_H

#include "loop/loop.h"

/* Does nothing when slow steps are not asked for. */
void tug__slow_open(struct tug_loop *loop);
/* Before the loop goes. */
void tug__slow_close(struct tug_loop *loop);

#endif
