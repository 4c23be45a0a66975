/* What:      one line about a task, the same in every report: who, what it waits for and since when,
 *            how long it may, where it was spawned.
 * Ownership: the text goes to the caller's memory. Context: the thread of the task's loop.
 * Callbacks: none. Errors: none; what does not fit is cut. */
#ifndef TUG_TASK_DESCRIBE_H
#define TUG_TASK_DESCRIBE_H

#include "task/task.h"

enum {
    TUG__DESCRIBE_SIZE = 400 /* room for the longest line: names are bounded */
};

/* task 17 "worker" waits for pg.query since 1.234 s, 3.766 s left, spawned at main+0x1f (prog+0x1234) */
void tug__task_describe(const tug_task *t, char *to, size_t size);
/* "waiting", "held" (where no cancel reaches), "ready", "running". */
const char *tug__task_state_name(const tug_task *t);
/* What it waits for, the class of a future or the word of a park; NULL: it does not wait. */
const char *tug__task_waits_for(const tug_task *t);
/* Until the nearest deadline that reaches the task as it stands; TUG_FOREVER: none. now: the clock. */
tug_duration tug__task_time_left(const tug_task *t, tug_time now);
/* Until the timer of one scope; TUG_FOREVER: it has none. */
tug_duration tug__scope_time_left(const struct tug__scope *s, tug_time now);

#endif
