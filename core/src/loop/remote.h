/* What:      the inside of tug_remote: the one way by which other threads reach a loop.
 * Ownership: see <tug/remote.h>; the loop has a reference until its end.
 * Context:   push: any thread. The rest: the loop's thread.
 * Callbacks: none of its own. Errors: see <tug/remote.h>. */
#ifndef TUG_LOOP_REMOTE_H
#define TUG_LOOP_REMOTE_H

#include <tug/remote.h>

#include "loop/loop.h"

/* The loop's own, made at first use; borrowed. */
int tug__remote_get(struct tug_remote **ret_remote);
/* False: the loop has ended. Wakes the loop if it sleeps. */
bool tug__remote_push(struct tug_remote *r, tug_post *p);
/* Before a poll that may block: false if something was posted. From now on a post writes. */
bool tug__remote_sleep(struct tug_remote *r);
/* After the poll: what was posted joins the run queue. */
void tug__remote_awake(struct tug_remote *r);
/* Takes no more; what was taken joins the run queue. */
void tug__remote_close(struct tug_remote *r);
/* How often somebody woke the loop by it. */
uint64_t tug__remote_wakeups(const struct tug_remote *r);

#endif
