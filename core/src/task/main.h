/* What:      the run of a loop, for tug_run, tug_main and the tests.
 * Ownership: the loop is the caller's. Context: outside tasks, tug__loop set to it. Callbacks: none.
 * Errors:    what fn returned. */
#ifndef TUG_TASK_MAIN_H
#define TUG_TASK_MAIN_H

#include "loop/loop.h"

/* From the first task to the end of the last service task. */
int tug__main_run(struct tug_loop *loop, tug_task_fn fn, void *arg);

#endif
