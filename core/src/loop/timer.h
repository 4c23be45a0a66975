/* What:      the loop's timers: a flat calendar of 16,384 slots of about 1 ms, and coarse buckets beyond it.
 * Ownership: nodes are embedded in tug_timer and in scopes; nothing is allocated per timer.
 * Context:   the loop's thread.
 * Callbacks: on the loop stack; by deadline, those of the same instant in the order of their starts.
 * Errors:    none: setting, moving and stopping cannot fail.
 *
 * Why a calendar: setting and stopping a random one of a million costs a few nanoseconds, where a heap
 * stalled for 122 ms in one pop and a cascading wheel for 4.5 to 118 ms.
 *
 *      slots: 1 ms each, [tick, near_end)             far: 64 slots each, 18 minutes, rounds share them
 *   +--+--+--+--+--+--- - - ---+--+--+--+--+--+     +--------+--------+--- - - ---+--------+
 *   |  |  |  |  |  |           |  |  |  |  |  |     |        |        |           |        |
 *   +--+--+--+--+--+--- - - ---+--+--+--+--+--+     +--------+--------+--- - - ---+--------+
 *    tick: due in portions                     near_end: a bucket is spread over slots, in portions too
 *
 * A timer that is moved to later stays where it is: it takes its new place when the old one has come.
 * So a timeout that each request pushes ahead costs a few stores, not four lines of cache. Whether it
 * may stay is looked up a few moves later: then its line has come into the cache.
 *
 * No round does more than a bounded share: a million timers that are due at once, or that share a
 * bucket, delay each other and nothing else. */
#ifndef TUG_LOOP_TIMER_H
#define TUG_LOOP_TIMER_H

#include <tug/sys/driver.h>

enum {
    TUG__TIMER_SHIFT = 20,      /* a slot is 2^20 ns = 1.05 ms wide */
    TUG__TIMER_SLOTS = 1 << 14, /* so that the calendar spans 17.2 s */
    TUG__TIMER_WIDE = 64,     /* slots that make a far bucket, 67 ms: a word of the map of slots */
    TUG__TIMER_FAR = 1 << 14, /* buckets: 18.3 minutes; later rounds share them */
    TUG__TIMER_FIRE = 512,    /* timers taken out of slots a round: about 100 us */
    TUG__TIMER_MOVE = 256,    /* timers spread from a far bucket a round: about 20 us */
    TUG__TIMER_MOVES = 32,    /* moves under way: 32 x 10 ns is a load from busy memory */
    TUG__TIMER_LOOK = 1024    /* not yet due ones that a round looks at in the slot under way */
};

enum {
    TUG__TIMER_IDLE,
    TUG__TIMER_FRESH, /* its length is known, its instant is not: the next clock read anchors it */
    TUG__TIMER_SLOT,
    TUG__TIMER_DISTANT, /* in a far bucket, or in the one that is being spread */
    TUG__TIMER_DUE      /* taken out of its slot, its callback comes in this round */
};

/* The inside of tug_timer. */
struct tug__timer {
    /* Not next to each other: gcc would store the two with one wide store, and to forward half of that to
     * the load that soon follows takes as long again as setting and stopping a deadline in all. */
    struct tug__timer *next;
    int64_t when;                /* instant; while fresh, a duration */
    struct tug__timer **at_prev; /* what points here: removal needs no head */
    void (*fn)(tug_timer *t, void *arg);
    void *arg;
    uint32_t start; /* the how-manieth: those of the same instant keep this order */
    uint16_t slot;
    uint8_t state;
};
_Static_assert(sizeof(struct tug__timer) <= sizeof(tug_timer), "tug_timer has room for its inside");

struct tug__timer_slot {
    struct tug__timer *first;
    struct tug__timer **tail; /* means something only while the slot is not empty */
};

struct tug__timer_move {
    struct tug__timer *timer; /* NULL: free */
    tug_time at;
};

struct tug__calendar {
    struct tug__timer *fresh;
    struct tug__timer *due;
    struct tug__timer *moving; /* what is left of the far bucket that is being spread */
    int64_t moving_tick;       /* its first tick */
    int64_t tick;              /* everything in earlier slots has fired */
    int64_t near_end;          /* first tick that belongs to the far buckets; a multiple of WIDE */
    tug_time soonest;          /* nothing in tick's own slot is due before this */
    size_t count;              /* timers in slots, in far buckets and moving */
    uint32_t starts; /* so far, goes round; between these two for the reason given above */
    struct tug__timer_move moves[TUG__TIMER_MOVES]; /* a ring; the same timer may be in it twice */
    uint32_t moved;                                 /* so far: the next one's place in the ring */
    bool unsettled;                                 /* the ring is not empty */
    size_t distant;                                 /* of count, those in far buckets and moving */
    uint64_t used[TUG__TIMER_SLOTS / 64];           /* a bit for each slot that is not empty */
    uint64_t far_used[TUG__TIMER_FAR / 64];
    struct tug__timer_slot slots[TUG__TIMER_SLOTS];
    struct tug__timer *far[TUG__TIMER_FAR];
};

/* Of a zeroed one, or of one without timers. The large arrays are not touched: they become resident as
 * they are used. */
void tug__calendar_init(struct tug__calendar *c, tug_time now);
/* After d from the next clock read: never early, late by at most the current step. Entering and leaving
 * within a step never reaches the slots. */
void tug__timer_start_in(struct tug__calendar *c, struct tug__timer *t, tug_duration d,
                         void (*fn)(tug_timer *t, void *arg), void *arg);
void tug__timer_start_at(struct tug__calendar *c, struct tug__timer *t, tug_time at,
                         void (*fn)(tug_timer *t, void *arg), void *arg);
void tug__timer_stop(struct tug__calendar *c, struct tug__timer *t);
/* Of one that runs, else nothing happens: it keeps what it calls. */
void tug__timer_move(struct tug__calendar *c, struct tug__timer *t, tug_time at);
/* Gives the fresh ones their instants. */
void tug__calendar_anchor(struct tug__calendar *c, tug_time now);
/* Calls what is due, and spreads what has come near: a portion of each. */
void tug__calendar_fire(struct tug__calendar *c, tug_time now);
/* The earliest instant at which fire may have work; one that is past if there is some left of this round.
 * TUG_FOREVER: none. */
tug_time tug__calendar_next(struct tug__calendar *c);
/* A portion of the latest round is left. */
static inline bool tug__calendar_is_behind(const struct tug__calendar *c, tug_time now)
{
    return c->moving != NULL || c->soonest <= now;
}

#endif
