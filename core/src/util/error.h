/* What:      where the detail of the latest failure is kept.
 * Ownership: slots belong to tasks, callbacks and threads. Context: any thread.
 * Callbacks: none. Errors: none. */
#ifndef TUG_UTIL_ERROR_H
#define TUG_UTIL_ERROR_H

#include <tug/error.h>

/* The slot that counts at this moment: a callback's during it; NULL: that of the task that runs, and outside
 * tasks the thread's own. Never set while a task runs: so a switch of tasks need not touch it. */
extern __thread tug_error *tug__error_slot __attribute__((tls_model("initial-exec")));
/* L3 sets this: the slot of the task that runs, NULL outside tasks. */
extern tug_error *(*tug__task_error)(void);

/* The slot to write to. */
tug_error *tug__error_current(void);
/* code with its own text, origin tug, not sent; cheap. */
void tug__error_plain(tug_error *e, int code);
/* Copies without reading the unused tail of the text. */
void tug__error_copy(tug_error *to, const tug_error *from);

#endif
