/* What:      one sender's word to many: each subscriber gets every message, in order, at its own pace; one that
 *            is too slow loses the oldest and is told how many.
 * Ownership: new/ref/unref for the broadcast, open/close for a subscriber. A message is a tug_buffer that all
 *            share; it stays until all who were there have got it, or until it is overrun.
 * Context:   next: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_ECLOSED, TUG_ECANCELED, TUG_EINVAL, TUG_ENOMEM from new and open. */
#ifndef TUG_BROADCAST_H
#define TUG_BROADCAST_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_broadcast tug_broadcast;
typedef struct tug_subscriber tug_subscriber;

/* capacity: messages that a subscriber may lie behind, 1 to 16,777,216, else TUG_EINVAL. */
TUG_EXPORT int tug_broadcast_new(size_t capacity, tug_broadcast **ret_broadcast);
TUG_EXPORT tug_broadcast *tug_broadcast_ref(tug_broadcast *b);
/* The last unref closes. */
TUG_EXPORT tug_broadcast *tug_broadcast_unref(tug_broadcast *b);
TUG_AUTO_FN(tug_broadcast, tug_broadcast_unref)
/* To all who have subscribed. Takes a reference of its own; never waits, never fails. NULL, and anything after
 * the close, is nothing. */
TUG_EXPORT void tug_broadcast_send(tug_broadcast *b, tug_buffer *value);
/* No more messages: each subscriber gets what it has not got yet, then the end. */
TUG_EXPORT void tug_broadcast_close(tug_broadcast *b);
TUG_EXPORT size_t tug_broadcast_subscribers(const tug_broadcast *b);

/* From the next message on. TUG_ECLOSED after the close. */
TUG_EXPORT int tug_subscriber_open(tug_broadcast *b, tug_subscriber **ret_subscriber);
/* A task that waits in next gets TUG_ECLOSED. NULL is fine. */
TUG_EXPORT void tug_subscriber_close(tug_subscriber *s);
TUG_AUTO_FN(tug_subscriber, tug_subscriber_close)
/* 1 and the next message (yours to unref), 0 at the end, < 0. *ret_lost, unless NULL: how many messages between
 * this one and the one before it were lost. */
TUG_SUSPENDS TUG_EXPORT int tug_subscriber_next(tug_subscriber *s, tug_buffer **ret_value,
                                                uint64_t *ret_lost) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
