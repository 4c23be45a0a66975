/* What:      the loop's state and one turn of it. Knows nothing of futures or tasks: they set functions.
 * Ownership: tug__loop_new/free; everything hung on it goes with it.
 * Context:   its thread. Callbacks: as set. Errors: TUG_ENOMEM, -errno from new.
 *
 *   +-> poll: I/O callbacks note and step         (libevent, EVLOOP_ONCE)
 *   |   clock read, timers due                    (timer.c)
 *   |   run queue: 64 resumes between looks at the clock, up to 1,024 or 500 us a turn
 *   |   flush hooks: what was queued in this turn is sent once
 *   +------------------------------------------------------------------------------ */
#ifndef TUG_LOOP_LOOP_H
#define TUG_LOOP_LOOP_H

#include <tug/loop.h>
#include <tug/sys/driver.h>

#include "loop/timer.h"
#include "util/error.h"

enum {
    TUG__RUN_CHUNK = 64,   /* resumes between two looks at the clock: 21 ns over 64 */
    TUG__RUN_MOST = 1024,  /* resumes a turn, so that I/O is never starved */
    TUG__RUN_TIME = 500000 /* ns a turn, likewise */
};

/* What other rooms hang on a loop. */
enum tug__slot_id {
    TUG__SLOT_TASKS, /* the runtime of L3; goes last */
    TUG__SLOT_FUTURES,
    TUG__SLOT_OFFLOAD,
    TUG__SLOT_TRANSPORT,
    TUG__SLOT_MAX
};

struct tug__slot {
    void *value;
    void (*destroy)(void *value);
};

struct tug_loop {
    /* The run queue: an array ring with room for every task, so that a wake never allocates. */
    void **ring;
    uint32_t ring_mask;  /* size - 1 */
    uint32_t head, tail; /* counted on, masked at use */
    uint32_t pause;      /* where head stops for tug__loop_extend: chunk_end, or head itself */
    uint32_t chunk_end;  /* where the next look at the clock is due */
    void *current;       /* the task that runs; NULL on the loop's stack */
    int *errno_at;

    /* The hook point: NULL costs nothing. See tug__loop_set_hooks. */
    void (*on_spawn)(struct tug_loop *loop, void *task);
    void (*on_switch)(struct tug_loop *loop, void *from, void *to);

    tug_time now;       /* as of the last clock read */
    tug_time run_until; /* of this turn's run queue: its end in time ... */
    uint32_t run_left;  /* ... and in resumes, those up to pause not counted */
    tug_call *calls, **calls_tail;
    tug_flush *flushes, **flushes_tail;
    struct tug__slot slots[TUG__SLOT_MAX];
    /* L3: runs from the ring until it is empty or the turn's share is used up. */
    void (*run_tasks)(struct tug_loop *loop);

    struct event_base *base;
    struct event *timer_event; /* of timer_fd */
    int timer_fd;              /* exact, where libevent's own timers are up to 4 ms late */
    tug_time timer_armed;      /* TUG_FOREVER: not */
    uint64_t io_events;        /* callbacks so far */

    tug_time (*clock)(struct tug_loop *loop); /* tests replace it */
    tug_time fake_now;                        /* of the test clock; 0: the real one */
    /* Nothing can run: tests use the moment. True if something can now. */
    bool (*on_idle)(struct tug_loop *loop);
    size_t outside; /* jobs on other threads that will come back: the test clock waits for them */

    bool stopping;
    tug_stop_hook *stop_hooks;
    tug_end_hook *end_hooks;
    void (*on_stop)(struct tug_loop *loop, tug_duration drain); /* L3 */
    struct tug__calendar calendar;
};

extern __thread struct tug_loop *tug__loop __attribute__((tls_model("initial-exec")));

int tug__loop_new(struct tug_loop **ret_loop);
#if defined(TUG_TORTURE)
/* Set by tests: sees each loop that opens. */
extern void (*tug__loop_opened)(struct tug_loop *loop);
#endif
/* Frees slots in the reverse order of their ids, then the rest. */
void tug__loop_free(struct tug_loop *loop);
/* One turn. may_block: waits in poll when nothing can run. */
void tug__loop_turn(struct tug_loop *loop, bool may_block);
/* Anything that can run at once. */
bool tug__loop_has_work(const struct tug_loop *loop);
/* Called when head has come to pause or to tail, on any stack: tells the hook, looks at the clock and moves
 * pause. False: nothing can run, the turn's share is used up, or a call waits for the loop's own stack. */
bool tug__loop_extend(struct tug_loop *loop);
/* NULL: none. on_spawn(loop, task): right after a task has been put into the run queue for the first time.
 * on_switch(loop, from, to): right before the CPU goes from one task to another (they may be the same one);
 * NULL is the loop's own stack. from's state says why it leaves: READY yields, WAITING and HELD wait,
 * ENDED has ended (its wake_code is the result; its struct is still whole). Each task that runs has been
 * `to` before, so spawn, resume, suspend and end all show. Both run on from's stack; they must not suspend.
 *
 * While on_switch is set, pause stays at head, so that each switch passes tug__loop_extend, which calls it;
 * while it is not, no switch looks at it. */
void tug__loop_set_hooks(struct tug_loop *loop, void (*on_spawn)(struct tug_loop *loop, void *task),
                         void (*on_switch)(struct tug_loop *loop, void *from, void *to));
/* Makes room for n entries in the run queue: TUG_ENOMEM. */
int tug__loop_reserve(struct tug_loop *loop, uint32_t n);
tug_time tug__loop_read_clock(struct tug_loop *loop);

void **tug__loop_slot(enum tug__slot_id id);
void tug__loop_slot_set(enum tug__slot_id id, void *value, void (*destroy)(void *value));

/* Runs the stop hooks, once. */
void tug__loop_stop(struct tug_loop *loop, tug_duration drain);
void tug__loop_run_end_hooks(struct tug_loop *loop);

/* For another thread that watches over long steps: two looks less than a second apart that see the same
 * task and the same number of resumes have seen one and the same step of it. The task is only to be
 * compared: it may be gone. */
static inline uint32_t tug__loop_resumes(const struct tug_loop *loop)
{
    return __atomic_load_n(&loop->head, __ATOMIC_RELAXED);
}
static inline const void *tug__loop_running(struct tug_loop *loop)
{
    return __atomic_load_n(&loop->current, __ATOMIC_RELAXED);
}

static inline void tug__ring_push(struct tug_loop *loop, void *task)
{
    loop->ring[loop->tail++ & loop->ring_mask] = task;
}

#endif
