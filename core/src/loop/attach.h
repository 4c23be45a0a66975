/* What:      a loop on an event base that the application runs.
 * Ownership: the base stays the application's. Context: the thread that runs the base.
 * Callbacks: none. Errors: as tug__loop_new; TUG_EMISUSE, TUG_ENOMEM. */
#ifndef TUG_LOOP_ATTACH_H
#define TUG_LOOP_ATTACH_H

#include "loop/loop.h"

int tug__attach(struct event_base *base, struct tug_loop **ret_loop);
/* From now on tug__loop_turn turns the base, no longer the application. Refused inside a callback of it. */
int tug__attach_take_over(struct tug_loop *loop);
/* The loop can never run again, and threads may still write into its memory: takes it out of the base and
 * out of the process. The memory stays, in the list of all loops, where debuggers and leak checkers find it. */
void tug__loop_abandon(struct tug_loop *loop);

#endif
