/* What:      the inside of a future, and of a wait.
 * Ownership: see <tug/future.h>. A pending future lives until it is settled or aborted, whoever has
 *            references.
 * Context:   the loop's thread. Callbacks: watchers through tug_call. Errors: as settled.
 *
 *   PENDING --settle--> DONE --take--> TAKEN
 *      |----fail------> FAILED
 *      '----cancel, abort said DONE--> FAILED (TUG_EDROPPED) */
#ifndef TUG_FUTURE_FUTURE_H
#define TUG_FUTURE_FUTURE_H

#include <tug/sys/driver.h>

#include "loop/loop.h"

/* One wait of one task on one thing. Parked tasks use the one in their own struct; waits on several
 * futures bring more. notify NULL: the task is simply woken. */
struct tug__wait {
    struct tug__wait *next, *prev;
    tug_waiters *list; /* where it is linked; NULL: nowhere */
    void *slot;
    const char *what;
    void (*notify)(struct tug__wait *w, int code, const tug_error *why);
    tug_task *task;
};

enum tug__future_state {
    TUG__FUTURE_PENDING,
    TUG__FUTURE_DONE,  /* has its value */
    TUG__FUTURE_TAKEN, /* had it */
    TUG__FUTURE_FAILED /* has an error */
};

enum {
    TUG__FUTURE_USED = 1,    /* somebody awaited, watched, gathered, cancelled or detached it */
    TUG__FUTURE_ABORTED = 2, /* abort was called and said LATER */
    TUG__FUTURE_STATIC = 4,  /* not to be freed: the one for no memory */
    TUG__FUTURE_WATCHED = 8,
    TUG__FUTURE_DETACHED = 16, /* an error goes to the log */
    TUG__FUTURE_TIMED_OUT = 32,
    TUG__FUTURE_STARVED = 64, /* no memory for its deadline */
    TUG__FUTURE_REST = 128    /* has an error of its own or a deadline */
};

enum {
    TUG__FUTURES_AHEAD = 16 /* prefetched where many are gone through: each is a miss */
};

/* The first line of the cache is all that most futures touch. */
struct tug_future {
    uint32_t refs;
    uint8_t state;
    uint8_t flags;
    uint8_t size_class;
    /* Of a failed one: sent is kept even where there was no memory for the rest of the detail; is_read:
     * somebody was told the error, or said that nobody wants it. */
    uint8_t sent : 4;
    uint8_t is_read : 1;
    int rc;
    uint8_t before; /* bytes of its block that lie before it */
    struct tug_loop *loop;
    const tug_future_class *class_;
    void *value;
    tug_error *error; /* NULL: the code's own text */
    tug_waiters waiters;
    void (*watch)(tug_future *f, void *arg);
    void *watch_arg;
    tug_call call;
    struct tug__deadline *deadline;
    _Alignas(16) unsigned char payload[];
};

static inline void tug__waiters_push(tug_waiters *list, struct tug__wait *w)
{
    w->list = list;
    w->next = NULL;
    w->prev = list->last;
    if (list->last != NULL) {
        list->last->next = w;
    } else {
        list->first = w;
    }
    list->last = w;
}
/* The static future is of all threads, and has nothing to remember. */
static inline void tug__future_mark_read(tug_future *f)
{
    if ((f->flags & TUG__FUTURE_STATIC) == 0) {
        f->is_read = true;
    }
}

static inline void tug__future_mark_used(tug_future *f)
{
    if ((f->flags & TUG__FUTURE_STATIC) == 0) {
        f->flags |= TUG__FUTURE_USED;
    }
}

void tug__waiters_remove(struct tug__wait *w);
/* Unlinks and notifies. */
void tug__wait_notify(struct tug__wait *w, int code, const tug_error *why);

/* Futures of this thread's loop that have not been freed. */
size_t tug__futures_live(void);

/* L3 sets these: wakes a parked task; whether the running task is in a cancelled scope. */
extern bool (*tug__in_cancelled_scope)(void);
extern void (*tug__wake_task)(tug_task *t, int code, const tug_error *why);

#endif
