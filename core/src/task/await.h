/* What:      what all waits for futures share.
 * Ownership: futures are borrowed. Context: task only. Callbacks: none.
 * Errors:    TUG_EMISUSE outside a task, or for a future of another thread's loop. */
#ifndef TUG_TASK_AWAIT_H
#define TUG_TASK_AWAIT_H

#include "task/task.h"

/* The running task, if it may wait for f; else NULL with the detail set. */
struct tug_task *tug__await_check(const tug_future *f, const char *what);
int tug__await_check_all(tug_future **f, size_t n, const char *what);
/* Only that all are of this thread's loop. */
int tug__await_check_loop(tug_future **f, size_t n, const char *what);

/* The code of a settled future, its detail handed to the calling task. */
static inline int tug__await_result(tug_future *f)
{
    if (f->rc < 0) {
        tug__future_mark_read(f);
        tug_error *mine = tug__error_current();
        if (f->error != NULL) {
            tug__error_copy(mine, f->error);
        } else {
            tug__error_plain(mine, f->rc);
            mine->sent = f->sent;
        }
    }
    return f->rc;
}

/* Asks f to stop and waits until its abort said done or it has settled; no cancel cuts this short. */
void tug__await_stopped(tug_future *f);

#endif
