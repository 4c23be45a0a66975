/* What:      a result that is not there yet, and the ways to wait for one or many.
 * Ownership: reference counted. A *_start() function gives one reference. The value belongs to the
 *            future until a typed *_take() moves it out; a value that nobody took is disposed of
 *            (lease to its pool, delivery requeued, result freed) when the future goes.
 * Context:   the loop's thread only. What waits is for tasks; all else for any context of the loop.
 * Callbacks: one watcher per future, called from the run queue, never inside another call.
 * Errors:    a wait returns the future's code; TUG_EDROPPED if somebody else cancelled the future;
 *            TUG_ECANCELED only for the caller's own scope: the future goes on then. */
#ifndef TUG_FUTURE_H
#define TUG_FUTURE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_future tug_future;

TUG_EXPORT tug_future *tug_future_ref(tug_future *f);
/* Releases a reference; NULL is fine; returns NULL. The last reference of a pending future cancels
 * it. If nobody ever awaited, watched, gathered, cancelled or detached it, that is reported: it is
 * nearly always a forgotten await (TUG_DEBUG=1: abort). */
TUG_EXPORT tug_future *tug_future_unref(tug_future *f);
/* Cancels if pending, then releases: what an early return needs. NULL is fine. */
TUG_EXPORT void tug_future_drop(tug_future *f);
TUG_EXPORT void tug_future_drop_all(tug_future **f, size_t n);
TUG_AUTO_FN(tug_future, tug_future_drop)

/* A request: the operation is told to stop; whoever else waits gets TUG_EDROPPED once it has. Never
 * fails, never suspends. Settled futures are left alone. */
TUG_EXPORT void tug_future_cancel(tug_future *f);
/* Nobody will wait: the operation runs to its end, its value is disposed of, an error is logged. Takes
 * over the reference. */
TUG_EXPORT void tug_future_detach(tug_future *f);
TUG_EXPORT bool tug_future_is_settled(const tug_future *f);
/* The detail of a failed future; code 0 while pending or when it succeeded. Borrowed. */
TUG_EXPORT const tug_error *tug_future_error(const tug_future *f);

/* Calls fn(f, arg) once f is settled, from the run queue, and takes over the caller's reference: f is
 * borrowed in fn and released after it. tug_last_error() in fn is fn's own. One watcher a future: a
 * second one is a bug in the caller and aborts. */
TUG_EXPORT void tug_future_on_settled(tug_future *f, void (*fn)(tug_future *f, void *arg),
                                      void *arg);
/* The one deadline a future has: after d, f is cancelled and settles with TUG_ETIMEDOUT. For programs
 * of callbacks; tasks use scopes. Returns f. Without memory for it f is cancelled now, with
 * TUG_ENOMEM: better than a wait for ever. */
TUG_EXPORT tug_future *tug_future_timeout(tug_future *f, tug_duration d);

/* Waits until f is settled and returns its code; its detail becomes this task's. Many may await. */
TUG_SUSPENDS TUG_EXPORT int tug_await(tug_future *f) TUG_CHECK;
/* Waits for all of n; at the first failure cancels the others, waits until they have stopped and
 * returns that failure. When the caller is cancelled: likewise. Keeps no reference, takes none. */
TUG_SUSPENDS TUG_EXPORT int tug_gather(tug_future **f, size_t n) TUG_CHECK;
/* Waits until all of n are settled, whatever came out: 0, or TUG_ECANCELED (they are cancelled then). */
TUG_SUSPENDS TUG_EXPORT int tug_gather_settled(tug_future **f, size_t n) TUG_CHECK;
/* Waits until one of n >= 1 is settled and says which. The others go on. The future's own code is not
 * returned: await it, which does not wait. */
TUG_SUSPENDS TUG_EXPORT int tug_wait_any(tug_future **f, size_t n, size_t *ret_index) TUG_CHECK;
/* Waits until one of n has failed, and says which, or until all are settled: *ret_index = n then. The
 * others go on; the failure itself is not returned. */
TUG_SUSPENDS TUG_EXPORT int tug_wait_first_error(tug_future **f, size_t n,
                                                 size_t *ret_index) TUG_CHECK;

/* n futures one by one, in the order in which they settle: O(n) in all, where wait_any again and again
 * looks at all of them each time. */
typedef struct tug_completed tug_completed;
/* Those that have settled come first. The array is not kept; futures may be dropped before their turn and
 * come as what they settle with. Any context of the loop. TUG_ENOMEM. */
TUG_EXPORT int tug_as_completed(tug_future **f, size_t n, tug_completed **ret_completed);
/* The next one's index: 1; 0 when all were given. Several tasks may share the object: each index is
 * given once. TUG_ECLOSED when it is closed meanwhile. */
TUG_SUSPENDS TUG_EXPORT int tug_completed_next(tug_completed *c, size_t *ret_index) TUG_CHECK;
/* Any time, the futures go on. NULL is fine. */
TUG_EXPORT void tug_completed_close(tug_completed *c);
TUG_AUTO_FN(tug_completed, tug_completed_close)

#ifdef __cplusplus
}
#endif
#endif
