#include "loop/timer.h"

#include <assert.h>
#include <string.h>

#include "loop/loop.h"

static void link_at(struct tug__timer **head, struct tug__timer *t)
{
    t->next = *head;
    t->at_prev = head;
    if (t->next != NULL) {
        t->next->at_prev = &t->next;
    }
    *head = t;
}

static void unlink_it(struct tug__timer *t)
{
    *t->at_prev = t->next;
    if (t->next != NULL) {
        t->next->at_prev = t->at_prev;
    }
    t->next = NULL;
    t->at_prev = NULL;
}

void tug__calendar_init(struct tug__calendar *c, tug_time now)
{
    memset(c, 0, sizeof *c);
    c->tick = now >> TUG__TIMER_SHIFT;
}

static void place(struct tug__calendar *c, struct tug__timer *t)
{
    int64_t tick = t->when >> TUG__TIMER_SHIFT;
    if (tick < c->tick) {
        tick = c->tick; /* already past: fires in the next round */
    }
    c->count++;
    if (tick - c->tick < TUG__TIMER_SLOTS) {
        t->slot = (uint32_t)tick & (TUG__TIMER_SLOTS - 1);
        t->state = TUG__TIMER_SLOT;
        c->used[t->slot >> 6] |= UINT64_C(1) << (t->slot & 63);
        link_at(&c->slots[t->slot], t);
    } else {
        t->slot = (uint32_t)(tick / TUG__TIMER_SLOTS) & (TUG__TIMER_FAR - 1);
        t->state = TUG__TIMER_DISTANT;
        link_at(&c->far[t->slot], t);
    }
}

void tug__timer_stop(struct tug__calendar *c, struct tug__timer *t)
{
    uint8_t state = t->state;
    if (state == TUG__TIMER_IDLE) {
        return;
    }
    unlink_it(t);
    t->state = TUG__TIMER_IDLE;
    if (state == TUG__TIMER_SLOT || state == TUG__TIMER_DISTANT) {
        c->count--;
        if (state == TUG__TIMER_SLOT && c->slots[t->slot] == NULL) {
            c->used[t->slot >> 6] &= ~(UINT64_C(1) << (t->slot & 63));
        }
    }
}

void tug__timer_start_in(struct tug__calendar *c, struct tug__timer *t, tug_duration d,
                         void (*fn)(tug_timer *t, void *arg), void *arg)
{
    tug__timer_stop(c, t);
    t->when = d > 0 ? d : 0;
    t->fn = fn;
    t->arg = arg;
    t->state = TUG__TIMER_FRESH;
    link_at(&c->fresh, t);
}

void tug__timer_start_at(struct tug__calendar *c, struct tug__timer *t, tug_time at,
                         void (*fn)(tug_timer *t, void *arg), void *arg)
{
    tug__timer_stop(c, t);
    t->when = at;
    t->fn = fn;
    t->arg = arg;
    place(c, t);
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
        place(c, t);
    }
}

/* Timers of a far bucket whose time has come near move into the slots; later rounds stay. */
static void bring_near(struct tug__calendar *c, int64_t round)
{
    struct tug__timer **bucket = &c->far[round & (TUG__TIMER_FAR - 1)];
    struct tug__timer *t = *bucket;
    while (t != NULL) {
        struct tug__timer *next = t->next;
        if ((t->when >> TUG__TIMER_SHIFT) - c->tick < TUG__TIMER_SLOTS) {
            unlink_it(t);
            c->count--;
            place(c, t);
        }
        t = next;
    }
}

/* Moves what is due to the end of the due list, first started first (a slot has the latest first). */
static struct tug__timer **take_slot(struct tug__calendar *c, uint32_t slot, tug_time now,
                                     struct tug__timer **tail)
{
    struct tug__timer *t = c->slots[slot];
    while (t != NULL) {
        struct tug__timer *next = t->next;
        if (t->when <= now) {
            unlink_it(t);
            c->count--;
            t->state = TUG__TIMER_DUE;
            link_at(tail, t);
        }
        t = next;
    }
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    if (c->slots[slot] == NULL) {
        c->used[slot >> 6] &= ~(UINT64_C(1) << (slot & 63));
    }
    return tail;
}

/* Slots from c->tick to last, both included, skipping empty ones a word at a time. */
static struct tug__timer **take_range(struct tug__calendar *c, int64_t last, tug_time now,
                                      struct tug__timer **tail)
{
    for (int64_t tick = c->tick; tick <= last;) {
        uint32_t slot = (uint32_t)tick & (TUG__TIMER_SLOTS - 1);
        uint64_t word = c->used[slot >> 6] >> (slot & 63);
        if (word == 0) {
            tick += 64 - (slot & 63);
            continue;
        }
        tick += __builtin_ctzll(word);
        if (tick <= last) {
            tail = take_slot(c, (uint32_t)tick & (TUG__TIMER_SLOTS - 1), now, tail);
            tick++;
        }
    }
    return tail;
}

/* Moves the calendar on to now, at most one round at a time so that far timers pass through the slots. */
static void advance(struct tug__calendar *c, tug_time now)
{
    int64_t target = now >> TUG__TIMER_SHIFT;
    struct tug__timer **tail = &c->due;
    for (;;) {
        int64_t round = c->tick / TUG__TIMER_SLOTS;
        int64_t last = round * TUG__TIMER_SLOTS + TUG__TIMER_SLOTS - 1;
        if (last >= target) {
            (void)take_range(c, target, now, tail);
            c->tick = target;
            return;
        }
        tail = take_range(c, last, now, tail);
        c->tick = last + 1;
        bring_near(c, round + 1);
        if (c->count == 0) { /* a clock that jumped far needs no walk through empty rounds */
            c->tick = target;
        }
    }
}

void tug__calendar_fire(struct tug__calendar *c, tug_time now)
{
    tug__calendar_anchor(c, now);
    if (c->count == 0) {
        c->tick = now >> TUG__TIMER_SHIFT;
        return;
    }
    advance(c, now);
    while (c->due != NULL) {
        struct tug__timer *t = c->due;
        unlink_it(t);
        t->state = TUG__TIMER_IDLE;
        t->fn((tug_timer *)t, t->arg);
    }
}

static tug_time earliest_in(const struct tug__timer *t)
{
    tug_time first = TUG_FOREVER;
    for (; t != NULL; t = t->next) {
        first = t->when < first ? t->when : first;
    }
    return first;
}

static tug_time earliest_near(const struct tug__calendar *c)
{
    uint32_t start = (uint32_t)c->tick & (TUG__TIMER_SLOTS - 1);
    for (uint32_t done = 0; done < TUG__TIMER_SLOTS;) {
        uint32_t slot = (start + done) & (TUG__TIMER_SLOTS - 1);
        uint64_t word = c->used[slot >> 6] >> (slot & 63);
        if (word == 0) {
            done += 64 - (slot & 63);
            continue;
        }
        done += (uint32_t)__builtin_ctzll(word);
        /* A word may reach past the start again: those slots are a whole round away, hence still right. */
        return earliest_in(c->slots[(start + done) & (TUG__TIMER_SLOTS - 1)]);
    }
    return TUG_FOREVER;
}

tug_time tug__calendar_next(const struct tug__calendar *c)
{
    if (c->count == 0) {
        return TUG_FOREVER;
    }
    tug_time near = earliest_near(c);
    int64_t round = c->tick / TUG__TIMER_SLOTS;
    for (int64_t r = round + 1; r <= round + TUG__TIMER_FAR; r++) {
        if (c->far[r & (TUG__TIMER_FAR - 1)] != NULL) {
            tug_time at = (r * TUG__TIMER_SLOTS)
                          << TUG__TIMER_SHIFT; /* when bring_near looks at it */
            return near < at ? near : at;
        }
    }
    return near;
}

void tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg), void *arg)
{
    assert(tug__loop != NULL && "timers belong to a loop");
    tug__timer_start_at(&tug__loop->calendar, (struct tug__timer *)t, at, fn, arg);
}

void tug_timer_stop(tug_timer *t)
{
    struct tug__timer *inside = (struct tug__timer *)t;
    if (inside->state != TUG__TIMER_IDLE) {
        assert(tug__loop != NULL && "timers belong to a loop");
        tug__timer_stop(&tug__loop->calendar, inside);
    }
}

bool tug_timer_is_running(const tug_timer *t)
{
    return ((const struct tug__timer *)t)->state != TUG__TIMER_IDLE;
}
