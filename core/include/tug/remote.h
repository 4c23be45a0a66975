/* What:      a loop as other threads hold it: post calls to it, run a task there and wait for its result.
 * Ownership: reference counted; it may outlive its loop. A post's arg is yours.
 * Context:   new: the loop's thread. All else: any thread, unless said otherwise.
 * Callbacks: posted functions run on the loop's own stack, outside tasks, in the order of the posts of
 *            each thread; they must not wait, and may spawn a task that does.
 * Errors:    TUG_ECLOSED once the loop has ended, and nothing happened. What was accepted (0) is run in
 *            every case: posts that are under way when the loop ends are run by its end. */
#ifndef TUG_REMOTE_H
#define TUG_REMOTE_H

#include <tug/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_remote tug_remote;

/* The remote of this thread's loop: the same one each time, with a reference for the caller. TUG_EMISUSE
 * without a loop, TUG_ENOMEM, -errno. */
TUG_EXPORT int tug_remote_new(tug_remote **ret_remote);
TUG_EXPORT tug_remote *tug_remote_ref(tug_remote *r);
/* NULL is fine. Returns NULL. */
TUG_EXPORT tug_remote *tug_remote_unref(tug_remote *r);
TUG_AUTO_FN(tug_remote, tug_remote_unref)

/* Has fn(arg) called on the loop, soon. Never waits for the loop. Many posts cost one wake-up of it, and none
 * while it is awake. TUG_ECLOSED, TUG_ENOMEM, TUG_ELIMIT (1,000,000 of these posts wait already). */
TUG_EXPORT int tug_remote_post(tug_remote *r, void (*fn)(void *arg), void *arg) TUG_CHECK;

/* A post in memory of yours, for what must not fail for want of memory. Set fn and arg, zero the rest; it must
 * stay where it is until fn is called, and may be freed or posted again from then on. */
typedef struct tug_post {
    void (*fn)(void *arg);
    void *arg;
    struct tug_post *next; /* private */
    int is_queued;         /* private */
} tug_post;
/* Posting again what has not been called yet changes nothing: 0. Else 0 or TUG_ECLOSED. */
TUG_EXPORT int tug_remote_post_own(tug_remote *r, tug_post *p) TUG_CHECK;

/* Runs fn(arg) as a task of the loop's tug_background() and blocks the calling thread until it has ended:
 * what fn returned; its detail becomes this thread's tug_last_error(). For threads without a loop (TUG_EMISUSE
 * else: that loop would stand still). TUG_ECLOSED if the loop ends before the task could start, TUG_ENOMEM,
 * TUG_ELIMIT. To bound the time, bound it in fn. */
TUG_EXPORT int tug_remote_run(tug_remote *r, tug_task_fn fn, void *arg) TUG_CHECK;

/* Asks the loop to stop, as tug_stop does there. TUG_ECLOSED. */
TUG_EXPORT int tug_remote_stop(tug_remote *r, tug_duration drain);

#ifdef __cplusplus
}
#endif
#endif
