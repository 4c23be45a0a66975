/* What:      what select needs of a queue's inside.
 * Ownership: none. Context: the loop's thread. Callbacks: none. Errors: none. */
#ifndef TUG_KIT_QUEUE_H
#define TUG_KIT_QUEUE_H

#include <tug/queue.h>
#include <tug/sys/driver.h>

/* Else the detail of TUG_EMISUSE is set. */
bool tug__queue_is_here(tug_queue *q, const char *what);
/* True if a get (a put) would not wait: also at the end. Sets no detail, unlike the try forms. */
bool tug__queue_can_get(const tug_queue *q);
bool tug__queue_can_put(const tug_queue *q);
/* The slot of a taker is a void **, where the item goes; its code: 1 with an item, 0 at the end. The slot of a
 * putter is the item; its code: 0 when it was put, TUG_ECLOSED. */
tug_waiters *tug__queue_takers(tug_queue *q);
tug_waiters *tug__queue_putters(tug_queue *q);

#endif
