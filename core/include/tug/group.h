/* What:      groups: tasks that start together end together. And map: a function over many items.
 * Ownership: tug_group is yours, on the stack; leaving waits for all its tasks. arg must live as long.
 * Context:   enter and leave: task only, in one function. spawn, start, fail, cancel: any context of
 *            the loop while the group is entered, its children included.
 * Callbacks: none.
 * Errors:    leave gives the first failure; a child that ends TUG_ECANCELED because it was cancelled
 *            is none; a refused spawn is one. */
#ifndef TUG_GROUP_H
#define TUG_GROUP_H

#include <tug/future.h>
#include <tug/scope.h>
#include <tug/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_group {
    uint64_t reserved[24]; /* private */
} tug_group;

enum {
    TUG_FAIL_FAST, /* the first failure cancels the others */
    TUG_KEEP_GOING /* failures are logged and counted, the others go on: servers, accept loops */
};

/* timeout: as of a scope, for the caller inside and for all tasks of the group. */
TUG_EXPORT void tug_group_enter(tug_group *g, tug_duration timeout, int on_failure);
/* A new task; it always runs, at least to its first wait. TUG_ENOMEM, TUG_ELIMIT (out of stacks),
 * TUG_ECLOSED (the loop is at its end): that fails the group as well, so that the result may be
 * ignored. */
TUG_EXPORT int tug_group_spawn(tug_group *g, tug_task_fn fn, void *arg);
/* The same with size bytes of arg copied to the task's stack (at most 4096, else TUG_EINVAL). */
TUG_EXPORT int tug_group_spawn_copy(tug_group *g, tug_task_fn fn, const void *arg, size_t size);
typedef struct tug_spawn_options {
    size_t size;
    /* Bytes of stack that the task can use at least, 0 to 1 GiB; 0: as every task, 192 KiB. More is a
     * mapping of its own, address space until it is touched, made at the spawn (some microseconds) and
     * given back at the end of the task: for recursion, codecs, and libraries that were written for a
     * thread's stack. */
    size_t stack_size;
    /* As tug_task_set_name, from the start; copied; NULL: none. */
    const char *name;
} tug_spawn_options;
#define TUG_SPAWN_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(tug_spawn_options), 0, NULL                                                         \
    }
/* As tug_group_spawn. o NULL: the defaults. TUG_EINVAL as well, TUG_ENOMEM and TUG_ELIMIT where no such
 * stack is to be had. */
TUG_EXPORT int tug_group_spawn_with(tug_group *g, tug_task_fn fn, void *arg,
                                    const tug_spawn_options *o);
/* The task's result as a future, whose cancel cancels the task. A failure also fails the group. */
TUG_EXPORT tug_future *tug_group_start(tug_group *g, tug_task_fn fn, void *arg);
/* Starts a task and waits until it says tug_task_ready(): 0. If it ends before that, its failure is
 * returned (TUG_EMISUSE where it ended with 0) and is not the group's; afterwards it is one of the
 * group as any other. A cancel of the caller cancels the child and waits for its end. A refused spawn
 * is returned only. */
TUG_SUSPENDS TUG_EXPORT int tug_group_start_until_ready(tug_group *g, tug_task_fn fn,
                                                        void *arg) TUG_CHECK;
/* In that child: what the starter waits for is there. Else, and a second time, nothing. Task only. */
TUG_EXPORT void tug_task_ready(void);
/* Fails the group with the caller's latest detail, or with the code's own text. code < 0. */
TUG_EXPORT void tug_group_fail(tug_group *g, int code);
/* Cancels all tasks of the group and the waits of the one who entered it. */
TUG_EXPORT void tug_group_cancel(tug_group *g);
/* The same with the reason, see tug_scope_cancel_why. */
TUG_EXPORT void tug_group_cancel_why(tug_group *g, const char *reason_format, ...) TUG_PRINTF(2, 3);
/* How many of its tasks have not ended, and how many have failed. */
TUG_EXPORT size_t tug_group_running(const tug_group *g);
TUG_EXPORT size_t tug_group_failures(const tug_group *g);
/* The i-th failure (0 = first; the first and 8 more are kept), NULL beyond. Borrowed until leave. */
TUG_EXPORT const tug_error *tug_group_error(const tug_group *g, size_t i);
/* Waits for all its tasks, as leave does, but stays inside: for who wants all the errors. */
TUG_SUSPENDS TUG_EXPORT void tug_group_wait(tug_group *g);
/* Waits for all its tasks: never cut short, a cancel goes to the tasks instead. rc < 0 cancels them
 * first. Returns rc, or the first failure when rc is 0 or TUG_ECANCELED, or TUG_ETIMEDOUT where the
 * group's own deadline was the cause. A keep-going group's failures are only counted. */
TUG_SUSPENDS TUG_EXPORT int tug_group_leave(tug_group *g, int rc) TUG_CHECK;

/* The loop's root group for tasks that nobody waits for; isolated: a failure is logged, the others live
 * on. The end of the loop waits for it. */
TUG_EXPORT tug_group *tug_background(void);

/* What came out for one item. */
typedef struct tug_outcome {
    int rc;
    tug_error error; /* code 0 if rc is 0 */
} tug_outcome;

typedef struct tug_map_options {
    size_t size;
    size_t in_flight;  /* tasks at a time, 1 to 1,000,000; 16 */
    tug_duration each; /* time for each item, ns; TUG_FOREVER */
} tug_map_options;
#define TUG_MAP_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(tug_map_options), 16, TUG_FOREVER                                                   \
    }

/* Calls fn with the address of each of n items (item_size bytes apart), several in flight; stops at
 * the first failure, which is returned. o NULL: the defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_map(tug_task_fn fn, void *items, size_t n, size_t item_size,
                                    const tug_map_options *o) TUG_CHECK;
/* The same to the end, whatever fails. ret_outcomes (n of them) and ret_failed are filled in every
 * case: an item that was never started has TUG_ECANCELED. 0, or TUG_ECANCELED for the caller's scope. */
TUG_SUSPENDS TUG_EXPORT int tug_map_settled(tug_task_fn fn, void *items, size_t n, size_t item_size,
                                            const tug_map_options *o, tug_outcome *ret_outcomes,
                                            size_t *ret_failed) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
