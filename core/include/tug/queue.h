/* What:      a bounded queue of pointers between tasks of one loop, many producers, many consumers: first-in
 *            first-out, last-in first-out, or by priority.
 * Ownership: an item belongs to the queue from a put that returned 0 until a get returned it; items left
 *            at the end go to the destructor.
 * Context:   put and get: task only. The rest: any context of the loop.
 * Callbacks: the destructor, from close_now and the last unref; the comparison, from puts and gets. Neither
 *            may wait.
 * Errors:    TUG_ECLOSED from put after close, TUG_ECANCELED, TUG_ELIMIT from try_put,
 *            TUG_ENOTFOUND from try_get. */
#ifndef TUG_QUEUE_H
#define TUG_QUEUE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_queue tug_queue;

enum {
    TUG_QUEUE_FIFO,
    TUG_QUEUE_LIFO,    /* the latest first: work that is still warm */
    TUG_QUEUE_PRIORITY /* the smallest by compare first; among equals the one that was put first */
};

typedef struct tug_queue_options {
    size_t size;
    size_t capacity; /* items, >= 1; 64 */
    int kind;        /* TUG_QUEUE_FIFO, _LIFO, _PRIORITY; FIFO */
    /* < 0: a goes before b, 0: equals, > 0: after it. For TUG_QUEUE_PRIORITY, and for no other. NULL */
    int (*compare)(const void *a, const void *b);
    void (*destroy)(void *item); /* for items that nobody got; NULL: nothing is done */
    bool joinable;               /* counts work that is not done, for tug_queue_join; false */
} tug_queue_options;
#define TUG_QUEUE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(tug_queue_options), 64, TUG_QUEUE_FIFO, NULL, NULL, false                           \
    }

/* First-in first-out. capacity >= 1, else TUG_EINVAL. destroy may be NULL. TUG_ENOMEM. */
TUG_EXPORT int tug_queue_new(size_t capacity, void (*destroy)(void *item), tug_queue **ret_queue);
/* o NULL: the defaults. TUG_EINVAL says which option is wrong. */
TUG_EXPORT int tug_queue_new_with(const tug_queue_options *o, tug_queue **ret_queue);
TUG_EXPORT tug_queue *tug_queue_ref(tug_queue *q);
TUG_EXPORT tug_queue *tug_queue_unref(tug_queue *q);
TUG_AUTO_FN(tug_queue, tug_queue_unref)
/* Waits for room. On failure the item stays the caller's. */
TUG_SUSPENDS TUG_EXPORT int tug_queue_put(tug_queue *q, void *item) TUG_CHECK;
TUG_EXPORT int tug_queue_try_put(tug_queue *q, void *item) TUG_CHECK;
/* 1 and an item, 0 at the end (closed and empty), < 0. */
TUG_SUSPENDS TUG_EXPORT int tug_queue_next(tug_queue *q, void **ret_item) TUG_CHECK;
TUG_EXPORT int tug_queue_try_next(tug_queue *q, void **ret_item) TUG_CHECK;
/* No more puts; what is inside is still got, then the end. Waiting puts get TUG_ECLOSED. The last unref
 * closes too. */
TUG_EXPORT void tug_queue_close(tug_queue *q);
/* The same at once: what is inside goes to the destructor, who waits to get has the end. */
TUG_EXPORT void tug_queue_close_now(tug_queue *q);
TUG_EXPORT size_t tug_queue_count(const tug_queue *q);

/* For joinable queues (else TUG_EMISUSE): an item counts as work from its put until somebody who got it says
 * that it is done. Items that close_now takes out count as done.
 * 0. More often than items were got: TUG_EMISUSE, logged. */
TUG_EXPORT int tug_queue_task_done(tug_queue *q);
/* Waits until all that was put is done. */
TUG_SUSPENDS TUG_EXPORT int tug_queue_join(tug_queue *q) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
