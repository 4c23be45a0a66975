/* What:      the queues that are not plain: by priority, last-in first-out, and those that count their work.
 * Ownership: of the tug_queue that has it, which counts the references.
 * Context:   the loop's thread; what waits: task only.
 * Callbacks: comparison and destructor of the options. Errors: as <tug/queue.h>. */
#ifndef TUG_KIT_STORE_H
#define TUG_KIT_STORE_H

#include <tug/queue.h>
#include <tug/sys/driver.h>

struct tug__store;

/* The options have been checked. */
int tug__store_new(const tug_queue_options *o, struct tug__store **ret_store);
/* Closed and cleared before. NULL is fine. */
void tug__store_free(struct tug__store *s);
void tug__store_close(struct tug__store *s);
/* Gives all items to the destructor. */
void tug__store_clear(struct tug__store *s);
size_t tug__store_count(const struct tug__store *s);

TUG_SUSPENDS int tug__store_put(struct tug__store *s, void *item);
int tug__store_try_put(struct tug__store *s, void *item);
TUG_SUSPENDS int tug__store_next(struct tug__store *s, void **ret_item);
int tug__store_try_next(struct tug__store *s, void **ret_item);
/* NULL, a plain queue, is not joinable. */
int tug__store_task_done(struct tug__store *s);
TUG_SUSPENDS int tug__store_join(struct tug__store *s);

bool tug__store_can_get(const struct tug__store *s);
bool tug__store_can_put(const struct tug__store *s);
tug_waiters *tug__store_takers(struct tug__store *s);
tug_waiters *tug__store_putters(struct tug__store *s);

#endif
