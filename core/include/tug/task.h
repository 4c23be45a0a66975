/* What:      tasks: straight-line code that may wait. Sleeping, yielding, names.
 * Ownership: a task belongs to its group (group.h); tug_task * is borrowed while it lives.
 * Context:   task only, unless said otherwise.
 * Callbacks: none.
 * Errors:    TUG_ECANCELED from waits; TUG_EMISUSE when called outside a task. */
#ifndef TUG_TASK_H
#define TUG_TASK_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_task tug_task;
/* The body of a task. 0, or a negative code, which fails its group. */
typedef int (*tug_task_fn)(void *arg);

/* The task that runs now, NULL outside tasks. Any context. */
TUG_EXPORT tug_task *tug_task_current(void);
/* Names the calling task; at most 31 bytes are kept. */
TUG_EXPORT void tug_task_set_name(const char *name);
/* Its name, "" if it has none. Any context of the loop. */
TUG_EXPORT const char *tug_task_name(const tug_task *t);
/* How many tasks the calling thread's loop has, service tasks included. Any context. */
TUG_EXPORT size_t tug_task_count(void);

TUG_SUSPENDS TUG_EXPORT int tug_sleep(tug_duration d);
TUG_SUSPENDS TUG_EXPORT int tug_sleep_until(tug_time deadline);
/* Lets the other runnable tasks go first. */
TUG_SUSPENDS TUG_EXPORT int tug_yield(void);
/* The loop's clock, read now: monotonic nanoseconds. Any context of the loop. */
TUG_EXPORT tug_time tug_now(void);

#ifdef __cplusplus
}
#endif
#endif
