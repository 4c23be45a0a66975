/* What:      event, semaphore, mutex, rwlock, condition, barrier, once between tasks of one loop. FIFO, handed
 *            over in one step: a waiter that was chosen has it, even if it is cancelled before it runs.
 * Ownership: new/unref; unref with tasks waiting wakes them with TUG_ECLOSED. A lock belongs to the task
 *            that locked it.
 * Context:   what waits, and locks: task only. The rest: any context of the loop.
 * Callbacks: none, but the function of tug_once_run, in the calling task.
 * Errors:    TUG_ECANCELED, TUG_ECLOSED; TUG_EMISUSE where a call would wait for itself or gives back what
 *            it has not; TUG_ENOMEM from new. */
#ifndef TUG_SYNC_H
#define TUG_SYNC_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A flag to wait for: stays set until cleared. */
typedef struct tug_event tug_event;
TUG_EXPORT int tug_event_new(tug_event **ret_event);
TUG_EXPORT tug_event *tug_event_ref(tug_event *e);
TUG_EXPORT tug_event *tug_event_unref(tug_event *e);
TUG_AUTO_FN(tug_event, tug_event_unref)
TUG_EXPORT void tug_event_set(tug_event *e);
TUG_EXPORT void tug_event_clear(tug_event *e);
TUG_EXPORT bool tug_event_is_set(const tug_event *e);
TUG_SUSPENDS TUG_EXPORT int tug_event_wait(tug_event *e) TUG_CHECK;

/* A count of permits. They belong to nobody: any task may release. */
typedef struct tug_semaphore tug_semaphore;
TUG_EXPORT int tug_semaphore_new(size_t permits, tug_semaphore **ret_semaphore);
/* The same that never has more than `most` permits (TUG_EINVAL if permits is more, or most is 0). */
TUG_EXPORT int tug_semaphore_new_bounded(size_t permits, size_t most,
                                         tug_semaphore **ret_semaphore);
TUG_EXPORT tug_semaphore *tug_semaphore_ref(tug_semaphore *s);
TUG_EXPORT tug_semaphore *tug_semaphore_unref(tug_semaphore *s);
TUG_AUTO_FN(tug_semaphore, tug_semaphore_unref)
TUG_SUSPENDS TUG_EXPORT int tug_semaphore_acquire(tug_semaphore *s) TUG_CHECK;
/* Takes a permit if one is free and nobody waits. */
TUG_EXPORT bool tug_semaphore_try(tug_semaphore *s);
/* 0. Beyond the bound: TUG_EMISUSE, logged, and nothing is released. */
TUG_EXPORT int tug_semaphore_release(tug_semaphore *s);
TUG_EXPORT size_t tug_semaphore_permits(const tug_semaphore *s);

/* One task at a time. For what must stay together across waits; between two waits nothing else runs
 * anyway. A task that ends and holds it breaks it: that is logged (TUG_DEBUG=1: abort), and all who wait
 * or come later get TUG_ECLOSED, since nobody knows what state it left behind. */
typedef struct tug_mutex tug_mutex;
TUG_EXPORT int tug_mutex_new(tug_mutex **ret_mutex);
TUG_EXPORT tug_mutex *tug_mutex_ref(tug_mutex *m);
TUG_EXPORT tug_mutex *tug_mutex_unref(tug_mutex *m);
TUG_AUTO_FN(tug_mutex, tug_mutex_unref)
/* TUG_EMISUSE if the caller holds it already. */
TUG_SUSPENDS TUG_EXPORT int tug_mutex_lock(tug_mutex *m) TUG_CHECK;
/* Locks it if it is free. False: somebody holds it (the caller perhaps), or it is broken. Task only. */
TUG_EXPORT bool tug_mutex_try(tug_mutex *m);
/* 0. Not the caller's: TUG_EMISUSE, logged, and it stays locked. Also in a cancelled scope. */
TUG_EXPORT int tug_mutex_unlock(tug_mutex *m);
TUG_EXPORT bool tug_mutex_is_locked(const tug_mutex *m);

/* Many readers or one writer, first come, first served: a writer waits for the readers that were there, not
 * for those that came after it; readers that wait side by side get in together. A task that ends and
 * holds it for writing breaks it, as a mutex; for reading: it is logged and given back. */
typedef struct tug_rwlock tug_rwlock;
TUG_EXPORT int tug_rwlock_new(tug_rwlock **ret_lock);
TUG_EXPORT tug_rwlock *tug_rwlock_ref(tug_rwlock *l);
TUG_EXPORT tug_rwlock *tug_rwlock_unref(tug_rwlock *l);
TUG_AUTO_FN(tug_rwlock, tug_rwlock_unref)
/* TUG_EMISUSE if the caller holds it already, either way: a second lock would wait for the first one.
 * TUG_ENOMEM from reading. */
TUG_SUSPENDS TUG_EXPORT int tug_rwlock_read(tug_rwlock *l) TUG_CHECK;
TUG_SUSPENDS TUG_EXPORT int tug_rwlock_write(tug_rwlock *l) TUG_CHECK;
/* Locks it if that needs no wait, and nobody waits. False: it would; the caller holds it; it is broken;
 * out of memory. Task only. */
TUG_EXPORT bool tug_rwlock_try_read(tug_rwlock *l);
TUG_EXPORT bool tug_rwlock_try_write(tug_rwlock *l);
/* What the caller holds. 0, or TUG_EMISUSE, logged. */
TUG_EXPORT int tug_rwlock_unlock(tug_rwlock *l);

/* To wait for a change of what a mutex guards: while (!what_i_need) rc = tug_condition_wait(c, m); */
typedef struct tug_condition tug_condition;
TUG_EXPORT int tug_condition_new(tug_condition **ret_condition);
TUG_EXPORT tug_condition *tug_condition_ref(tug_condition *c);
TUG_EXPORT tug_condition *tug_condition_unref(tug_condition *c);
TUG_AUTO_FN(tug_condition, tug_condition_unref)
/* Unlocks m, waits to be chosen, locks m again. The caller holds m after it in every case but one, also
 * after TUG_ECANCELED: that lock is not cut short. Not if m is broken or gone: TUG_ECLOSED, and
 * tug_mutex_unlock would be refused. TUG_EMISUSE if the caller does not hold m. */
TUG_SUSPENDS TUG_EXPORT int tug_condition_wait(tug_condition *c, tug_mutex *m) TUG_CHECK;
/* Chooses the one that waits longest; nobody waits: nothing happens. A waiter that was chosen has the
 * signal, though it may be cancelled then. The mutex need not be held. */
TUG_EXPORT void tug_condition_signal(tug_condition *c);
TUG_EXPORT void tug_condition_broadcast(tug_condition *c);

/* A meeting of n tasks, again and again: each waits until all of a round are there. A task that is cancelled
 * leaves, as if it had never come; the others go on waiting for one more. */
typedef struct tug_barrier tug_barrier;
/* parties >= 1, else TUG_EINVAL. */
TUG_EXPORT int tug_barrier_new(size_t parties, tug_barrier **ret_barrier);
TUG_EXPORT tug_barrier *tug_barrier_ref(tug_barrier *b);
TUG_EXPORT tug_barrier *tug_barrier_unref(tug_barrier *b);
TUG_AUTO_FN(tug_barrier, tug_barrier_unref)
/* *ret_index, unless NULL: 0 for who came first, parties - 1 for the last. TUG_EDROPPED: reset, aborted. */
TUG_SUSPENDS TUG_EXPORT int tug_barrier_wait(tug_barrier *b, size_t *ret_index) TUG_CHECK;
/* Those who wait get TUG_EDROPPED; it is as new, also after an abort. */
TUG_EXPORT void tug_barrier_reset(tug_barrier *b);
/* Those who wait, and all who come until a reset, get TUG_EDROPPED: a party will not come any more. */
TUG_EXPORT void tug_barrier_abort(tug_barrier *b);
TUG_EXPORT size_t tug_barrier_waiting(const tug_barrier *b);

/* Something that is to be done once, by whoever comes first. */
typedef struct tug_once tug_once;
TUG_EXPORT int tug_once_new(tug_once **ret_once);
TUG_EXPORT tug_once *tug_once_ref(tug_once *o);
TUG_EXPORT tug_once *tug_once_unref(tug_once *o);
TUG_AUTO_FN(tug_once, tug_once_unref)
/* Runs fn(arg) in the calling task if it has not succeeded yet and nobody runs it; who comes meanwhile waits.
 * 0 once it has succeeded. A failure is returned to the task that ran it, a cancelled one likewise,
 * and the next one who waits runs its own. TUG_EMISUSE from inside fn. */
TUG_SUSPENDS TUG_EXPORT int tug_once_run(tug_once *o, int (*fn)(void *arg), void *arg) TUG_CHECK;
TUG_EXPORT bool tug_once_is_done(const tug_once *o);

#ifdef __cplusplus
}
#endif
#endif
