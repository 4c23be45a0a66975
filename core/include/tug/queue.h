/* What:      a bounded FIFO of pointers between tasks of one loop, many producers, many consumers.
 * Ownership: an item belongs to the queue from a put that returned 0 until a get returned it; items left
 *            at the end go to the destructor.
 * Context:   put and get: task only. The rest: any context of the loop.
 * Callbacks: the destructor, from the last unref.
 * Errors:    TUG_ECLOSED from put after close, TUG_ECANCELED, TUG_ELIMIT from try_put,
 *            TUG_ENOTFOUND from try_get. */
#ifndef TUG_QUEUE_H
#define TUG_QUEUE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_queue tug_queue;

/* capacity >= 1, else TUG_EINVAL. destroy may be NULL. TUG_ENOMEM. */
TUG_EXPORT int tug_queue_new(size_t capacity, void (*destroy)(void *item), tug_queue **ret_queue);
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
TUG_EXPORT size_t tug_queue_count(const tug_queue *q);

#ifdef __cplusplus
}
#endif
#endif
