/* What:      the loop's timers: a flat calendar, 16,384 slots of about 1 ms, and coarse buckets beyond.
 * Ownership: nodes are embedded in tug_timer and in scopes; nothing is allocated per timer.
 * Context:   the loop's thread.
 * Callbacks: on the loop stack.
 * Errors:    none: setting, moving and stopping cannot fail.
 *
 * Why a calendar: setting and stopping a random one of a million costs a few nanoseconds, where a heap
 * stalled for 122 ms in one pop and a cascading wheel for 4.5 to 118 ms. */
#ifndef TUG_LOOP_TIMER_H
#define TUG_LOOP_TIMER_H

#include <tug/sys/driver.h>

enum {
    TUG__TIMER_SHIFT = 20,      /* a slot is 2^20 ns = 1.05 ms wide */
    TUG__TIMER_SLOTS = 1 << 14, /* so that the calendar spans 17.2 s */
    TUG__TIMER_WORDS = TUG__TIMER_SLOTS / 64,
    TUG__TIMER_FAR = 64 /* buckets of 17.2 s each beyond; rounds further out share them */
};

enum {
    TUG__TIMER_IDLE,
    TUG__TIMER_FRESH, /* its length is known, its instant is not: the next clock read anchors it */
    TUG__TIMER_SLOT,
    TUG__TIMER_DISTANT,
    TUG__TIMER_DUE /* taken out of its slot, its callback comes in this round */
};

/* The inside of tug_timer. */
struct tug__timer {
    struct tug__timer *next;
    struct tug__timer **at_prev; /* what points here: removal needs no head */
    int64_t when;                /* instant; while fresh, a duration */
    void (*fn)(tug_timer *t, void *arg);
    void *arg;
    uint32_t slot;
    uint8_t state;
};
_Static_assert(sizeof(struct tug__timer) <= sizeof(tug_timer), "tug_timer has room for its inside");

struct tug__calendar {
    struct tug__timer *slots[TUG__TIMER_SLOTS];
    uint64_t used[TUG__TIMER_WORDS]; /* a bit for each slot that is not empty */
    struct tug__timer *far[TUG__TIMER_FAR];
    struct tug__timer *fresh;
    struct tug__timer *due;
    int64_t tick; /* everything in earlier slots has fired */
    size_t count; /* timers in slots and far buckets */
};

void tug__calendar_init(struct tug__calendar *c, tug_time now);
/* After d from the next clock read: never early, late by at most the current step. Entering and leaving
 * within a step never reaches the slots. */
void tug__timer_start_in(struct tug__calendar *c, struct tug__timer *t, tug_duration d,
                         void (*fn)(tug_timer *t, void *arg), void *arg);
void tug__timer_start_at(struct tug__calendar *c, struct tug__timer *t, tug_time at,
                         void (*fn)(tug_timer *t, void *arg), void *arg);
void tug__timer_stop(struct tug__calendar *c, struct tug__timer *t);
/* Gives the fresh ones their instants. */
void tug__calendar_anchor(struct tug__calendar *c, tug_time now);
/* Calls what is due. */
void tug__calendar_fire(struct tug__calendar *c, tug_time now);
/* The earliest instant at which fire may have work (TUG_FOREVER: none). */
tug_time tug__calendar_next(const struct tug__calendar *c);

#endif
