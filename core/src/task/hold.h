/* What:      what a task owns and has to give back before it ends: locks.
 * Ownership: a hold is embedded in the lock, or in what the lock keeps for each of its holders.
 * Context:   the loop's thread.
 * Callbacks: abandoned, on the ending task's stack; it must not wait.
 * Errors:    none. */
#ifndef TUG_TASK_HOLD_H
#define TUG_TASK_HOLD_H

#include "task/task.h"

/* Zeroed: nobody has it. */
struct tug__hold {
    struct tug__hold *next, **at_prev; /* of the task's */
    struct tug_task *task;             /* whose it is; NULL: nobody's */
    /* The task has ended with it; the hold is nobody's again. */
    void (*abandoned)(struct tug__hold *h, struct tug_task *t);
};

static inline void tug__hold_take(struct tug__hold *h, struct tug_task *t)
{
    h->task = t;
    h->next = t->holds;
    h->at_prev = &t->holds;
    if (h->next != NULL) {
        h->next->at_prev = &h->next;
    }
    t->holds = h;
}

static inline void tug__hold_drop(struct tug__hold *h)
{
    *h->at_prev = h->next;
    if (h->next != NULL) {
        h->next->at_prev = h->at_prev;
    }
    h->task = NULL;
}

#endif
