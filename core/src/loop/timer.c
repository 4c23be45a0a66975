#include "loop/timer.h"

#include <assert.h>
#include <string.h>

#include "loop/loop.h"

enum {
    SORT_RUNS = 10, /* of a merge sort: run i has 2^i timers, TUG__TIMER_FIRE is 2^9 */
    LOOK_AHEAD =
        8 /* timers looked at for an exact next instant; beyond, the slot's start will do */
};

/* --- lists -------------------------------------------------------------------------------------- */

static inline void link_at(struct tug__timer **head, struct tug__timer *t)
{
    t->next = *head;
    t->at_prev = head;
    if (t->next != NULL) {
        t->next->at_prev = &t->next;
    }
    *head = t;
}

static inline void unlink_it(struct tug__timer *t)
{
    *t->at_prev = t->next;
    if (t->next != NULL) {
        t->next->at_prev = t->at_prev;
    }
}

static inline void set_bit(uint64_t *map, uint32_t bit)
{
    map[bit >> 6] |= UINT64_C(1) << (bit & 63);
}

static inline void clear_bit(uint64_t *map, uint32_t bit)
{
    map[bit >> 6] &= ~(UINT64_C(1) << (bit & 63));
}

/* The first set bit at or after from, of a map that goes round; n if there is none in the next n. Both
 * sizes are powers of two and multiples of 64. */
static int64_t next_bit(const uint64_t *map, int64_t size, int64_t from, int64_t n)
{
    for (int64_t done = 0; done < n;) {
        int64_t bit = (from + done) & (size - 1);
        uint64_t word = map[bit >> 6] >> (bit & 63);
        if (word != 0) {
            done += __builtin_ctzll(word);
            return done < n ? done : n;
        }
        done += 64 - (bit & 63);
    }
    return n;
}

/* --- placing and removing ----------------------------------------------------------------------- */

static inline int64_t tick_of(tug_time at)
{
    return at >> TUG__TIMER_SHIFT;
}

static inline tug_time start_of(int64_t tick)
{
    return tick << TUG__TIMER_SHIFT;
}

void tug__calendar_init(struct tug__calendar *c, tug_time now)
{
    assert(c->count == 0 && c->fresh == NULL && "a calendar begins without timers");
    c->tick = tick_of(now);
    c->near_end = (c->tick + TUG__TIMER_SLOTS) & ~(int64_t)(TUG__TIMER_WIDE - 1);
    c->soonest = TUG_FOREVER;
}

/* in_front: what comes out of a far bucket was started before all that is in the slot already, and comes
 * latest first. */
static inline void place(struct tug__calendar *c, struct tug__timer *t, bool in_front)
{
    int64_t tick = tick_of(t->when);
    c->count++;
    if (tick >= c->near_end) {
        t->slot = (uint16_t)(tick / TUG__TIMER_WIDE) & (TUG__TIMER_FAR - 1);
        t->state = TUG__TIMER_DISTANT;
        c->distant++;
        set_bit(c->far_used, t->slot);
        link_at(&c->far[t->slot], t);
        return;
    }
    if (tick <= c->tick) {
        tick = c->tick; /* past ones fire in the next round */
        c->soonest = t->when < c->soonest ? t->when : c->soonest;
    }
    t->slot = (uint16_t)tick & (TUG__TIMER_SLOTS - 1);
    t->state = TUG__TIMER_SLOT;
    struct tug__timer_slot *slot = &c->slots[t->slot];
    if (slot->first == NULL) {
        slot->tail = &slot->first;
        set_bit(c->used, t->slot);
    }
    struct tug__timer **at = in_front ? &slot->first : slot->tail;
    link_at(at, t);
    if (t->next == NULL) {
        slot->tail = &t->next;
    }
}

static inline void leave_slot(struct tug__calendar *c, struct tug__timer *t)
{
    unlink_it(t);
    c->count--;
    if (t->next == NULL) {
        struct tug__timer_slot *slot = &c->slots[t->slot];
        slot->tail = t->at_prev;
        if (t->at_prev == &slot->first) {
            clear_bit(c->used, t->slot);
        }
    }
}

static void leave_bucket(struct tug__calendar *c, struct tug__timer *t)
{
    unlink_it(t);
    c->count--;
    c->distant--;
    if (c->far[t->slot] == NULL) {
        clear_bit(c->far_used, t->slot);
    }
}

/* Out of whatever it is in. */
static inline void take_out(struct tug__calendar *c, struct tug__timer *t)
{
    switch (t->state) {
    case TUG__TIMER_IDLE:
        return;
    case TUG__TIMER_SLOT:
        leave_slot(c, t);
        break;
    case TUG__TIMER_DISTANT:
        leave_bucket(c, t);
        break;
    default:
        unlink_it(t);
        break;
    }
    t->state = TUG__TIMER_IDLE;
}

/* --- moving ------------------------------------------------------------------------------------- */

/* Whether it is where the calendar comes past not later than at that tick. */
static inline bool may_stay(const struct tug__calendar *c, const struct tug__timer *t, int64_t tick)
{
    if (t->state == TUG__TIMER_SLOT) {
        int64_t ahead = (t->slot - c->tick) & (TUG__TIMER_SLOTS - 1);
        /* Not in the slot under way: there soonest has to be right. */
        return ahead > 0 && tick >= c->tick + ahead;
    }
    if (t->state == TUG__TIMER_DISTANT) {
        int64_t bucket = c->near_end / TUG__TIMER_WIDE;
        int64_t ahead = (t->slot - bucket) & (TUG__TIMER_FAR - 1);
        return tick >= (bucket + ahead) * TUG__TIMER_WIDE;
    }
    return false;
}

static inline void put(struct tug__calendar *c, struct tug__timer *t, tug_time at)
{
    bool stays = may_stay(c, t, tick_of(at));
    if (!stays) {
        take_out(c, t);
    }
    t->when = at;
    t->start = c->starts++;
    if (!stays) {
        place(c, t, false);
    }
}

static inline void finish_move(struct tug__calendar *c, const struct tug__timer_move *m)
{
    if (m->timer != NULL && m->timer->state != TUG__TIMER_IDLE) {
        put(c, m->timer, m->at);
    }
}

static void settle_all(struct tug__calendar *c)
{
    for (uint32_t i = 0; i < TUG__TIMER_MOVES; i++) {
        struct tug__timer_move *m = &c->moves[c->moved++ % TUG__TIMER_MOVES];
        finish_move(c, m);
        m->timer = NULL;
    }
    c->unsettled = false;
}

/* Before all that looks at a timer's state, takes one out or asks what comes next. */
static inline void settle(struct tug__calendar *c)
{
    if (__builtin_expect(c->unsettled, 0)) {
        settle_all(c);
    }
}

/* Nothing of the timer is touched yet: with a million of them that is a wait for memory, and what is to be
 * done with what it says is a guess that the processor gets wrong. */
void tug__timer_move(struct tug__calendar *c, struct tug__timer *t, tug_time at)
{
    __builtin_prefetch(t, 1);
    struct tug__timer_move *m = &c->moves[c->moved++ % TUG__TIMER_MOVES];
    struct tug__timer_move oldest = *m;
    m->timer = t;
    m->at = at;
    c->unsettled = true;
    finish_move(c, &oldest);
}

/* --- starting and stopping ---------------------------------------------------------------------- */

void tug__timer_stop(struct tug__calendar *c, struct tug__timer *t)
{
    settle(c);
    take_out(c, t);
}

void tug__timer_start_in(struct tug__calendar *c, struct tug__timer *t, tug_duration d,
                         void (*fn)(tug_timer *t, void *arg), void *arg)
{
    if (t->state != TUG__TIMER_IDLE) {
        tug__timer_stop(c, t);
    }
    t->when = d > 0 ? d : 0;
    t->fn = fn;
    t->arg = arg;
    t->start = c->starts++;
    t->state = TUG__TIMER_FRESH;
    link_at(&c->fresh, t);
}

void tug__timer_start_at(struct tug__calendar *c, struct tug__timer *t, tug_time at,
                         void (*fn)(tug_timer *t, void *arg), void *arg)
{
    settle(c);
    t->fn = fn;
    t->arg = arg;
    put(c, t, at);
}

/* In the order in which they were started: the list has the latest first. */
void tug__calendar_anchor(struct tug__calendar *c, tug_time now)
{
    struct tug__timer *in_order = NULL;
    while (c->fresh != NULL) {
        struct tug__timer *t = c->fresh;
        unlink_it(t);
        link_at(&in_order, t);
    }
    while (in_order != NULL) {
        struct tug__timer *t = in_order;
        unlink_it(t);
        t->when = tug_time_after(now, t->when);
        place(c, t, false);
    }
}

/* --- far buckets come near ---------------------------------------------------------------------- */

/* The next bucket that is not empty and whose slots are free becomes the one that is being spread. False:
 * there is none yet. */
static bool take_bucket(struct tug__calendar *c)
{
    int64_t end = (c->tick + TUG__TIMER_SLOTS) & ~(int64_t)(TUG__TIMER_WIDE - 1);
    int64_t n = (end - c->near_end) / TUG__TIMER_WIDE;
    int64_t bucket = c->near_end / TUG__TIMER_WIDE;
    int64_t skip = c->distant > 0 ? next_bit(c->far_used, TUG__TIMER_FAR, bucket, n) : n;
    if (skip >= n) {
        c->near_end = end > c->near_end ? end : c->near_end;
        return false;
    }
    uint32_t at = (uint32_t)(bucket + skip) & (TUG__TIMER_FAR - 1);
    c->moving_tick = (bucket + skip) * TUG__TIMER_WIDE;
    c->near_end = c->moving_tick + TUG__TIMER_WIDE;
    c->moving = c->far[at];
    c->moving->at_prev = &c->moving;
    c->far[at] = NULL;
    clear_bit(c->far_used, at);
    return true;
}

/* At most so many timers of the bucket; those of later rounds go back to where they came from. */
static size_t spread(struct tug__calendar *c, size_t most)
{
    for (; c->moving != NULL && most > 0; most--) {
        struct tug__timer *t = c->moving;
        unlink_it(t);
        c->count--;
        c->distant--;
        place(c, t, true);
    }
    return most;
}

static void bring_near(struct tug__calendar *c)
{
    size_t most = TUG__TIMER_MOVE;
    do {
        most = spread(c, most);
    } while (c->moving == NULL && take_bucket(c));
}

/* What belongs into slots up to last must be there, however many they are: only a loop that has stood
 * still for as long as the calendar spans, or a clock that jumped, comes here with something to do. */
static void bring_due(struct tug__calendar *c, int64_t last)
{
    while (c->moving != NULL || (c->near_end <= last && take_bucket(c))) {
        if (c->moving_tick > last) {
            return;
        }
        spread(c, SIZE_MAX);
    }
}

/* --- what is due -------------------------------------------------------------------------------- */

struct taking {
    struct tug__timer **tail; /* of the due list */
    const struct tug__timer *latest;
    size_t room; /* left in this round */
    bool in_order;
};

static inline bool is_before(const struct tug__timer *a, const struct tug__timer *b)
{
    return a->when != b->when ? a->when < b->when : (int32_t)(a->start - b->start) < 0;
}

/* Out of its slot: it is due, or it was moved to later and now goes where it belongs. */
static void take(struct tug__calendar *c, struct taking *to, struct tug__timer *t, bool is_due)
{
    to->room--;
    leave_slot(c, t);
    if (!is_due) {
        place(c, t, false);
        return;
    }
    t->state = TUG__TIMER_DUE;
    to->in_order = to->in_order && (to->latest == NULL || is_before(to->latest, t));
    to->latest = t;
    link_at(to->tail, t);
    to->tail = &t->next;
}

/* Takes what is due out of tick's slot and says how soon there is more to take in it. */
static tug_time take_slot(struct tug__calendar *c, int64_t tick, tug_time now, struct taking *to)
{
    struct tug__timer *t = c->slots[tick & (TUG__TIMER_SLOTS - 1)].first;
    tug_time soonest = TUG_FOREVER;
    for (size_t later = 0; t != NULL;) {
        struct tug__timer *next = t->next;
        bool is_due = t->when <= now;
        if (is_due || tick_of(t->when) > tick) {
            if (to->room == 0) {
                return now;
            }
            take(c, to, t, is_due);
        } else {
            soonest = t->when < soonest ? t->when : soonest;
            if (++later == TUG__TIMER_LOOK) {
                /* A crowd: what else is in it waits until the slot has passed, then nobody looks. */
                tug_time end = start_of(tick + 1);
                return soonest < end ? soonest : end;
            }
        }
        t = next;
    }
    return soonest;
}

/* Takes from tick's slot to last's, both included. False: the round is full. */
static bool take_range(struct tug__calendar *c, int64_t last, tug_time now, struct taking *to)
{
    for (;;) {
        int64_t n = last - c->tick + 1;
        int64_t skip = next_bit(c->used, TUG__TIMER_SLOTS, c->tick, n);
        if (skip >= n) {
            c->soonest = TUG_FOREVER;
            c->tick = last;
            return true;
        }
        c->tick += skip;
        c->soonest = take_slot(c, c->tick, now, to);
        if (c->soonest <= now) {
            return false;
        }
        if (c->tick == last) {
            return true;
        }
        c->tick++;
    }
}

/* With nothing in the slots, the calendar goes on to where there is something, at once. */
static void skip_empty(struct tug__calendar *c, int64_t target)
{
    int64_t to = target;
    if (c->distant > 0) {
        int64_t bucket = c->near_end / TUG__TIMER_WIDE;
        int64_t skip = next_bit(c->far_used, TUG__TIMER_FAR, bucket, TUG__TIMER_FAR);
        int64_t start = (bucket + skip) * TUG__TIMER_WIDE;
        to = start < target ? start : target;
    }
    if (to > c->tick) {
        c->tick = to;
        c->soonest = TUG_FOREVER;
        int64_t aligned = to & ~(int64_t)(TUG__TIMER_WIDE - 1);
        c->near_end = aligned > c->near_end ? aligned : c->near_end;
    }
}

static void take_due(struct tug__calendar *c, tug_time now, struct taking *to)
{
    int64_t target = tick_of(now);
    for (;;) {
        if (c->moving == NULL && c->count == c->distant) {
            skip_empty(c, target);
        }
        int64_t end = c->near_end - 1 > c->tick ? c->near_end - 1 : c->tick;
        int64_t last = end < target ? end : target;
        bring_due(c, last);
        if (!take_range(c, last, now, to) || last == target) {
            return;
        }
        bring_due(c, last + 1);
    }
}

/* --- in the order of their deadlines ------------------------------------------------------------ */

static struct tug__timer *merge(struct tug__timer *a, struct tug__timer *b)
{
    struct tug__timer *first = NULL;
    struct tug__timer **tail = &first;
    while (a != NULL && b != NULL) {
        struct tug__timer **least = is_before(b, a) ? &b : &a;
        *tail = *least;
        tail = &(*least)->next;
        *least = *tail;
    }
    *tail = a != NULL ? a : b;
    return first;
}

/* Bottom up, so that it needs neither recursion nor memory. */
static void sort_due(struct tug__calendar *c)
{
    struct tug__timer *runs[SORT_RUNS] = {NULL};
    struct tug__timer *t = c->due;
    while (t != NULL) {
        struct tug__timer *run = t;
        t = t->next;
        run->next = NULL;
        size_t i = 0;
        for (; runs[i] != NULL; i++) {
            run = merge(runs[i], run);
            runs[i] = NULL;
        }
        runs[i] = run;
    }
    struct tug__timer *all = NULL;
    for (size_t i = 0; i < SORT_RUNS; i++) {
        all = merge(runs[i], all);
    }
    c->due = all;
    for (struct tug__timer **at = &c->due; *at != NULL; at = &(*at)->next) {
        (*at)->at_prev = at;
    }
}

void tug__calendar_fire(struct tug__calendar *c, tug_time now)
{
    settle(c);
    tug__calendar_anchor(c, now);
    if (c->count == 0) {
        int64_t tick = tick_of(now);
        c->tick = tick > c->tick ? tick : c->tick;
        c->near_end = (c->tick + TUG__TIMER_SLOTS) & ~(int64_t)(TUG__TIMER_WIDE - 1);
        c->soonest = TUG_FOREVER;
        return;
    }
    if (tick_of(now) > c->tick || c->soonest <= now) {
        struct taking to = {.tail = &c->due, .room = TUG__TIMER_FIRE, .in_order = true};
        take_due(c, now, &to);
        if (!to.in_order) {
            sort_due(c);
        }
    }
    bring_near(c);
    while (c->due != NULL) {
        struct tug__timer *t = c->due;
        unlink_it(t);
        t->state = TUG__TIMER_IDLE;
        t->fn((tug_timer *)t, t->arg);
        settle(c); /* it may have moved one that is due */
    }
}

/* --- when to look again ------------------------------------------------------------------------- */

/* The earliest of the list; false if it is too long to look at. */
static bool earliest_in(const struct tug__timer *t, size_t *looks, tug_time *ret)
{
    for (; t != NULL; t = t->next) {
        if ((*looks)-- == 0) {
            return false;
        }
        *ret = t->when < *ret ? t->when : *ret;
    }
    return true;
}

static tug_time next_near(const struct tug__calendar *c)
{
    int64_t skip = next_bit(c->used, TUG__TIMER_SLOTS, c->tick, TUG__TIMER_SLOTS);
    if (skip == 0) {
        return c->soonest;
    }
    size_t looks = LOOK_AHEAD;
    tug_time first = TUG_FOREVER;
    int64_t tick = c->tick + skip;
    if (!earliest_in(c->slots[tick & (TUG__TIMER_SLOTS - 1)].first, &looks, &first)) {
        return start_of(tick);
    }
    /* One that was moved beyond this slot leaves it then, and another may come before it. */
    return first < start_of(tick + 1) ? first : start_of(tick + 1);
}

/* A few far timers are woken for when they are due; a crowd when its bucket can be spread, well before. */
static tug_time next_far(const struct tug__calendar *c)
{
    size_t looks = LOOK_AHEAD;
    tug_time first = TUG_FOREVER;
    int64_t bucket = c->near_end / TUG__TIMER_WIDE;
    int64_t end = bucket + TUG__TIMER_FAR;
    while (bucket < end) {
        bucket += next_bit(c->far_used, TUG__TIMER_FAR, bucket, end - bucket);
        if (bucket >= end) {
            break;
        }
        if (!earliest_in(c->far[bucket & (TUG__TIMER_FAR - 1)], &looks, &first)) {
            tug_time near = start_of((bucket + 1) * TUG__TIMER_WIDE - TUG__TIMER_SLOTS);
            return first < near ? first : near;
        }
        bucket++;
        if (first < start_of(bucket * TUG__TIMER_WIDE)) {
            break; /* of this round: later buckets have only later ones */
        }
    }
    return first;
}

tug_time tug__calendar_next(struct tug__calendar *c)
{
    settle(c);
    if (c->count == 0) {
        return TUG_FOREVER;
    }
    if (c->moving != NULL) {
        return start_of(c->tick);
    }
    return c->count > c->distant ? next_near(c) : next_far(c);
}

/* --- the interface of drivers ------------------------------------------------------------------- */

void tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg), void *arg)
{
    assert(tug__loop != NULL && "timers belong to a loop");
    tug__timer_start_at(&tug__loop->calendar, (struct tug__timer *)t, at, fn, arg);
    tug__loop_touch(tug__loop);
}

void tug_timer_move(tug_timer *t, tug_time at)
{
    assert(tug__loop != NULL && "timers belong to a loop");
    tug__timer_move(&tug__loop->calendar, (struct tug__timer *)t, at);
    tug__loop_touch(tug__loop);
}

void tug_timer_stop(tug_timer *t)
{
    struct tug__timer *inside = (struct tug__timer *)t;
    /* An idle one may stand among the moves that have not been looked up yet. */
    if (inside->state != TUG__TIMER_IDLE || (tug__loop != NULL && tug__loop->calendar.unsettled)) {
        assert(tug__loop != NULL && "timers belong to a loop");
        tug__timer_stop(&tug__loop->calendar, inside);
    }
}

bool tug_timer_is_running(const tug_timer *t)
{
    return ((const struct tug__timer *)t)->state != TUG__TIMER_IDLE;
}
