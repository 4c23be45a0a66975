/* What:      event and semaphore between tasks of one loop. FIFO, handed over in one step: a waiter that
 *            was chosen has it, even if it is cancelled before it runs.
 * Ownership: new/unref; unref with tasks waiting wakes them with TUG_ECLOSED.
 * Context:   waits: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_ECANCELED, TUG_ECLOSED; TUG_ENOMEM from new. */
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

/* A count of permits. */
typedef struct tug_semaphore tug_semaphore;
TUG_EXPORT int tug_semaphore_new(size_t permits, tug_semaphore **ret_semaphore);
TUG_EXPORT tug_semaphore *tug_semaphore_ref(tug_semaphore *s);
TUG_EXPORT tug_semaphore *tug_semaphore_unref(tug_semaphore *s);
TUG_AUTO_FN(tug_semaphore, tug_semaphore_unref)
TUG_SUSPENDS TUG_EXPORT int tug_semaphore_acquire(tug_semaphore *s) TUG_CHECK;
/* Takes a permit if one is free and nobody waits. */
TUG_EXPORT bool tug_semaphore_try(tug_semaphore *s);
TUG_EXPORT void tug_semaphore_release(tug_semaphore *s);
TUG_EXPORT size_t tug_semaphore_permits(const tug_semaphore *s);

#ifdef __cplusplus
}
#endif
#endif
