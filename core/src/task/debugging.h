/* What:      what of <tug/debug.h> belongs to one loop: the watch over long steps, the overflow report, the
 *            dump on a signal, the marks of its stacks.
 * Ownership: embedded in the runtime. Context: the loop's thread. Callbacks: none.
 * Errors:    none: what there is no memory for is not watched. */
#ifndef TUG_TASK_DEBUGGING_H
#define TUG_TASK_DEBUGGING_H

#include <stdint.h>

#include "task/overflow.h"

struct tug_loop;
struct tug_task;

enum {
    TUG__SITES = 256 /* spawn sites whose stacks are measured; the rest is not */
};

/* The stacks of the tasks that were spawned at one place. */
struct tug__site {
    const void *place; /* NULL: free */
    uint64_t tasks;    /* that have ended */
    size_t most;       /* bytes of stack that the deepest of them used */
    size_t of;         /* bytes that it had */
};

struct tug__debugging {
    bool stacks; /* stack_marks or poison_stacks: task.c looks at no more than this */
    bool poison, marks;
    struct tug__overflow overflow;
    struct tug__site *sites; /* a table of TUG__SITES by address; NULL: off */
};

void tug__debugging_open(struct tug_loop *loop, struct tug__debugging *d);
void tug__debugging_close(struct tug_loop *loop, struct tug__debugging *d);
/* The task has ended and its stack is left: before it is released. */
void tug__debugging_stack(struct tug__debugging *d, struct tug_task *t);

#endif
