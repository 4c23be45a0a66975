/* What:      notifications that wait for their reader: bounded, in order; what is missing between
 *            two of them stands as an item at its place.
 * Ownership: the mailbox owns its items; one that was taken is the taker's, by tug_free.
 * Context:   the loop's thread. Callbacks: none.
 * Errors:    only those that say so can fail, for want of memory. */
#ifndef TUG_PG_MAILBOX_H
#define TUG_PG_MAILBOX_H

#include <tug/pg_listen.h>

typedef struct tug__pg_mail {
    struct tug__pg_mail *next;
    size_t bytes;
    tug_pg_notification item;
    char text[]; /* channel, 0, payload, 0 */
} tug__pg_mail;

/* Zeroed but for the bounds is empty. */
typedef struct tug__pg_mailbox {
    size_t max_n, max_bytes;
    tug__pg_mail *first, *last;
    size_t n, bytes;     /* of notifications; words of loss are few: two never stand side by side */
    uint64_t dropped;    /* in all */
    tug__pg_mail *spare; /* for the next outage, which must not fail */
    tug__pg_mail *open;  /* an outage that goes on: nothing behind it is given out */
} tug__pg_mailbox;

/* Makes room for one outage: before each connection. TUG_ENOMEM. */
int tug__pg_mailbox_prepare(tug__pg_mailbox *box);
/* Drops the oldest ones if it is one too many. TUG_ENOMEM. */
int tug__pg_mailbox_put(tug__pg_mailbox *box, const char *channel, const char *payload, int sender);
/* The connection was lost. prepare was called since the last one that began. */
void tug__pg_mailbox_gap_begin(tug__pg_mailbox *box, struct tug_timestamp since);
/* It is back. */
void tug__pg_mailbox_gap_end(tug__pg_mailbox *box, struct tug_timestamp until);
/* NULL: nothing to give out. */
tug__pg_mail *tug__pg_mailbox_take(tug__pg_mailbox *box);
/* All of one channel go, uncounted. */
void tug__pg_mailbox_forget(tug__pg_mailbox *box, const char *channel);
void tug__pg_mailbox_free(tug__pg_mailbox *box);

#endif
