/* What:      the orderly end of a loop in two phases, and the report of what would not end.
 * Ownership: none. Context: outside tasks, on the loop's thread. Callbacks: none.
 * Errors:    none; end_within says what is left. */
#ifndef TUG_TASK_END_H
#define TUG_TASK_END_H

#include "task/task.h"

/* Sets what a request to stop does, once. */
void tug__end_prepare(struct tug_loop *loop);
/* Turns until all user tasks have ended, then lets services close. */
void tug__end(struct tug_loop *loop);
/* The same, asked to stop, in at most this time: how many tasks and jobs have not ended all the same. They
 * can never run again: the memory of the loop must stay. */
size_t tug__end_within(struct tug_loop *loop, tug_duration grace);
/* Cancels all user tasks; shields hold nothing back from now on. */
void tug__end_pierce(struct tug_loop *loop);

#endif
