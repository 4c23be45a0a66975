/* What:      the report of a full stack: a SIGSEGV handler that names the task and where it was spawned.
 * Ownership: the alternate stack is embedded's owner's to close; the handler is the process's while any
 *            is open.
 * Context:   the loop's thread: each has an alternate stack of its own.
 * Callbacks: none. Errors: none: without memory for it an overflow still ends the process, at its guard. */
#ifndef TUG_TASK_OVERFLOW_H
#define TUG_TASK_OVERFLOW_H

#include <signal.h>
#include <stdbool.h>

/* Zeroed is not open. */
struct tug__overflow {
    stack_t before;
    void *memory;
};

void tug__overflow_open(struct tug__overflow *o);
void tug__overflow_close(struct tug__overflow *o);

#endif
