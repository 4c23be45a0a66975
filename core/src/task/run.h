/* What:      how a task waits, is woken, and leaves the CPU: the short ways, inline.
 * Ownership: none. Context: the loop's thread. Callbacks: none. Errors: as the waits that use it.
 *
 * Whatever waits ends in `return tug__suspend(...)`, so that gcc and clang make a jump of it: one return is
 * open across the switch, however deep the call. Each further one would be mispredicted when tasks wait
 * at different depths. The slow cases are calls in the same place, so that the short way needs no frame. */
#ifndef TUG_TASK_RUN_H
#define TUG_TASK_RUN_H

#include <assert.h>

#include "task/task.h"

enum {
    TUG__FETCH_FROM = 32,  /* runnable tasks: fewer are in the cache anyway */
    TUG__FETCH_AHEAD = 8,  /* resumes: with thousands of tasks each one is a miss, of the TLB too */
    TUG__FETCH_BELOW = 128 /* a task, where the top of its stack is */
};

#define tug__likely(x) __builtin_expect(!!(x), 1)
#define tug__unlikely(x) __builtin_expect(!!(x), 0)

/* --- leaving the CPU ---------------------------------------------------------------------------- */

/* The one place that switches from task to task: its jump is predicted the better for it. */
int tug__switch_to(struct tug_task *t, struct tug_task *next, struct tug_loop *loop);
/* Asks tug__loop_extend: the next task, or the host. */
struct tug_task *tug__next_slowly(struct tug_loop *loop);
int tug__suspend_slowly(struct tug_loop *loop, struct tug_task *t);

static inline bool tug__is_at_pause(const struct tug_loop *loop)
{
    return tug__unlikely(loop->head == loop->tail || loop->head == loop->pause);
}

/* The first of the run queue, which is not empty. */
static inline struct tug_task *tug__pop(struct tug_loop *loop)
{
    uint32_t head = loop->head;
    uint32_t mask = loop->ring_mask;
    void **ring = loop->ring;
    struct tug_task *next = ring[head & mask];
    if (tug__unlikely(loop->tail - head >= TUG__FETCH_FROM)) {
        uintptr_t later = (uintptr_t)ring[(head + TUG__FETCH_AHEAD) & mask];
        __builtin_prefetch((const void *)later);
        __builtin_prefetch((const void *)(later - TUG__FETCH_BELOW));
    }
    __atomic_store_n(&loop->head, head + 1, __ATOMIC_RELAXED); /* tug__loop_resumes */
    return next;
}

/* Leaves the CPU; returns the wake code. The caller has put the task where it waits. */
static inline int tug__suspend(struct tug_loop *loop, struct tug_task *t)
{
    if (tug__is_at_pause(loop)) {
        return tug__suspend_slowly(loop, t);
    }
    return tug__switch_to(t, tug__pop(loop), loop);
}

/* --- waiting and waking ------------------------------------------------------------------------- */

static inline int tug__park(struct tug_loop *loop, struct tug_task *t, tug_waiters *list,
                            void *slot, const char *what, uint8_t state)
{
    t->wait.slot = slot;
    t->wait.what = what;
    t->waiting_since = loop->now;
    t->state = state;
    tug__waiters_push(list, &t->wait);
    return tug__suspend(loop, t);
}

/* Into the run queue: the task has been taken out of where it waited. */
static inline void tug__resume(struct tug_loop *loop, struct tug_task *t, int code)
{
    assert((t->state == TUG__TASK_WAITING || t->state == TUG__TASK_HELD) &&
           "only a waiting task is woken");
    t->wake_code = code;
    t->state = TUG__TASK_READY;
    tug__ring_push(loop, t);
    tug__loop_touch(loop);
}

/* tug_unpark_first() of a list that has one, with a code >= 0. */
static inline void tug__wake_first(struct tug_loop *loop, tug_waiters *list, int code)
{
    struct tug__wait *w = list->first;
    if (tug__likely(w->next == NULL && w->notify == NULL)) {
        list->first = NULL;
        list->last = NULL;
        w->list = NULL;
        tug__resume(loop, w->task, code);
    } else {
        tug_unpark_first(list, code, NULL);
    }
}

/* --- scopes ------------------------------------------------------------------------------------- */

/* Field by field: a memset of this size is a rep stos, whose start costs more than all the stores. */
static inline void tug__scope_link(struct tug__scope *s, struct tug_task *t, int kind)
{
    s->parent = t->scope;
    s->task = t;
    s->kind = (uint8_t)kind;
    s->fired = 0;
    s->magic = TUG__SCOPE_MAGIC;
    s->reason = NULL;
    s->grace = 0;
    s->timer.state = TUG__TIMER_IDLE;
    t->scope = s;
}

static inline void tug__scope_unlink(struct tug__scope *s, struct tug_task *t)
{
    t->scope = s->parent;
    s->magic = 0;
}

/* --- scopes of dead frames ---------------------------------------------------------------------- */

/* Each public function that may suspend looks at its entry whether the innermost scope is alive: what lies
 * below the caller's frame is dead, and a scope there was entered by a function that returned without
 * leaving it. Only tasks inside a scope have anything to look at, and they take the slow way. The function
 * must not be inlined into its caller, whose frame it would take for its own. */
#define TUG__ENTRY __attribute__((noinline))
#define TUG__CALLERS_FRAME ((uintptr_t)__builtin_dwarf_cfa())

static inline void tug__check_task(const struct tug_task *t, uintptr_t frame)
{
    if (tug__unlikely((uintptr_t)t->scope < frame)) {
        tug__scope_check_frame(t, frame);
    }
}

static inline void tug__check_entry(uintptr_t frame)
{
    const struct tug_task *t = tug__current();
    if (t != NULL) {
        tug__check_task(t, frame);
    }
}

/* Nothing but to wait: there is a task, it is not cancelled, and it has entered no scope. */
static inline bool tug__is_plain(const struct tug_task *t)
{
    return tug__likely(t != NULL && t->scope == &t->base && !t->interrupted);
}

/* tug_checkpoint() for a call that has found that it need not wait; false: that has more to do. */
static inline bool tug__spend_credit(struct tug_task *t)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* One look at three things: it runs (state 0), is not cancelled, and has 2 credits or more. */
    if (tug__unlikely(t == NULL || t->credits_if_well - 2 >= TUG__CREDITS)) {
        return false;
    }
    t->credits_if_well--;
#else
    if (tug__unlikely(t == NULL || t->interrupted || t->credits == 1)) {
        return false;
    }
    t->credits--;
#endif
    return true;
}

#endif
