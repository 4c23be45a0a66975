/* What:      what task-locals ask of a task's start and end.
 * Ownership: a task has one reference to its list; lists are shared and never change while they are.
 * Context:   the loop's thread. Callbacks: destroy of the values, on the stack of the task that ends.
 * Errors:    none: to inherit is to count. */
#ifndef TUG_TASK_LOCALS_H
#define TUG_TASK_LOCALS_H

#include "task/task.h"

void tug__locals_share(struct tug_task *child, const struct tug_task *from);
void tug__locals_end(struct tug_task *t);

/* Inline, so that a program without task-locals pays a look at one pointer for each spawn. */
static inline void tug__locals_inherit(struct tug_task *child)
{
    const struct tug_task *from = tug__current();
    if (from != NULL && __builtin_expect(from->locals != NULL, 0)) {
        tug__locals_share(child, from);
    }
}

#endif
