/* What:      tasks: straight-line code that may wait. Sleeping, yielding, names, task-locals, looking.
 * Ownership: a task belongs to its group (group.h); tug_task * is borrowed while it lives.
 * Context:   task only, unless said otherwise.
 * Callbacks: hooks and the ends of task-locals; they must not wait.
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
/* Names the calling task; at most 31 bytes are kept, and "?" for what is no UTF-8 or a control character. */
TUG_EXPORT void tug_task_set_name(const char *name);
/* Its name, "" if it has none. Any context of the loop. */
TUG_EXPORT const char *tug_task_name(const tug_task *t);
/* How many tasks the calling thread's loop has, service tasks included. Any context. */
TUG_EXPORT size_t tug_task_count(void);

/* --- task-locals -------------------------------------------------------------------------------- */

/* A key: a static object of the program's own, whose address counts. */
typedef struct tug_local {
    const char *name; /* for reports */
    void (*destroy)(
        void *value); /* no task has the value any more. Called on the stack of the task that
                                   * ended or set another one; NULL: nothing to do */
    bool is_private;  /* children begin without it */
} tug_local;
#define TUG_LOCAL_INIT(name, destroy)                                                              \
    {                                                                                              \
        name, destroy, false                                                                       \
    }

/* Sets the calling task's value; NULL takes it away. A task begins with the values of who spawned it (service
 * tasks with none), shared, not copied; what it sets afterwards only it and its children see. At most 64
 * keys. TUG_ENOMEM, TUG_ELIMIT: the value stays yours; so it does with TUG_EMISUSE, when the destroys of a
 * task that ends have set others again for the fifth time. */
TUG_EXPORT int tug_local_set(const tug_local *key, void *value) TUG_CHECK;
/* The calling task's value, borrowed; NULL: none. Any context. */
TUG_EXPORT void *tug_local_get(const tug_local *key);

/* --- all tasks ---------------------------------------------------------------------------------- */

enum {
    TUG_TASK_RUNS,
    TUG_TASK_READY, /* runs as soon as its turn comes */
    TUG_TASK_WAITS,
    TUG_TASK_HELD /* waits where no cancel reaches: for the tasks of a group, for a job that runs */
};

typedef struct tug_task_info {
    uint64_t number;        /* of this loop's tasks, from 1, never used twice */
    uint64_t parent;        /* the number of the one whose group it belongs to; 0: a root group's */
    char name[32];          /* "" if it has none */
    int state;              /* TUG_TASK_* */
    bool is_service;        /* belongs to a pool or a connection */
    bool is_cancelled;      /* its next wait returns TUG_ECANCELED */
    const char *waits_for;  /* a static word, "queue.put"; NULL: it does not wait */
    tug_time since;         /* of the wait, the clock as of its turn; 0: it does not wait */
    const void *spawned_at; /* the place in the code, for addr2line or a debugger */
} tug_task_info;

/* How many tasks the calling thread's loop has; the first max of them are filled in, parents before the tasks
 * of their groups. Any context of the loop. */
TUG_EXPORT size_t tug_task_list(tug_task_info *ret_infos, size_t max);

/* --- hooks -------------------------------------------------------------------------------------- */

/* What happens to tasks, for tracing. Each may be NULL. They may look, count and write to the log, no more: a
 * hook is outside any task (tug_task_current() is NULL in it) and must not spawn, settle or cancel. */
typedef struct tug_hooks {
    size_t size;
    void (*spawn)(tug_task *t, void *arg);   /* is there, has not run */
    void (*resume)(tug_task *t, void *arg);  /* goes on now */
    void (*suspend)(tug_task *t, void *arg); /* waits or yields */
    void (*end)(tug_task *t, void *arg);     /* has returned; t is borrowed for this call */
    void *arg;
} tug_hooks;
#define TUG_HOOKS_INIT                                                                             \
    {                                                                                              \
        sizeof(tug_hooks), NULL, NULL, NULL, NULL, NULL                                            \
    }

/* For all tasks of the calling thread's loop from now on; copied. NULL: none, which costs nothing.
 * TUG_EMISUSE without a loop. */
TUG_EXPORT int tug_hooks_set(const tug_hooks *h);

/* --- waiting ------------------------------------------------------------------------------------ */

/* Not less than d, ns, or up to the deadline; TUG_FOREVER: until it is cancelled. What is over already lets
 * others run once. TUG_ECANCELED. */
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
