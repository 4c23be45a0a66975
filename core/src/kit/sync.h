/* What:      what the primitives share, and what select and condition need of their inside.
 * Ownership: none. Context: the loop's thread. Callbacks: none.
 * Errors:    TUG_EMISUSE where it says so. */
#ifndef TUG_KIT_SYNC_H
#define TUG_KIT_SYNC_H

#include <tug/sync.h>
#include <tug/sys/driver.h>

#include "task/task.h"

enum {
    TUG__LABEL_SIZE = TUG__NAME_SIZE + 32
};

/* What is nearly always a bug: logged; TUG_DEBUG=1: abort. */
void tug__sync_report(const char *format, ...) TUG_PRINTF(1, 2);
/* The same, and a failure of the call: its result may well go unread. */
int tug__sync_misuse(const char *format, ...) TUG_PRINTF(1, 2);
/* "task \"name\"", or by number. Returns to. */
const char *tug__task_label(const tug_task *t, char to[TUG__LABEL_SIZE]);

/* Spends the credit for what has been claimed already: claim first, pay then. If that yields, whatever
 * changes meanwhile, the claim stands; so nothing of the primitive may be touched after it. The caller
 * has looked at its scope before it claimed. Returns rc. */
TUG_SUSPENDS static inline int tug__claimed(int rc)
{
    TUG_IGNORE(tug_checkpoint());
    return rc;
}

/* Of this thread's loop; else the detail of TUG_EMISUSE is set. */
bool tug__event_is_here(tug_event *e, const char *what);
bool tug__semaphore_is_here(tug_semaphore *s, const char *what);
tug_waiters *tug__event_waiters(tug_event *e);
tug_waiters *tug__semaphore_waiters(tug_semaphore *s);

/* A wait on a condition: unlocks (false: the caller does not hold it, nothing happened) ... */
bool tug__mutex_let_go(tug_mutex *m);
/* ... and locks again, whatever the scopes say: 0, or TUG_ECLOSED. Between the two the memory stays. */
TUG_SUSPENDS int tug__mutex_lock_again(tug_mutex *m);

#endif
