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
    TUG__SLOT_REMOTE,
    TUG__SLOT_OFFLOAD,
    TUG__SLOT_TRANSPORT,
    TUG__SLOT_TLS,
    TUG__SLOT_INSPECT, /* the first source of tug_inspect */
    TUG__SLOT_SIGNALS,
    TUG__SLOT_MAX
};

struct tug__slot {
    void *value;
    void (*destroy)(void *value);
};

/* What the watching thread, and only that, remembers of a loop. */
struct tug__watch {
    uint32_t resumes, steps; /* the step that was seen last ... */
    tug_duration held;       /* ... for so long already */
    tug_time cpu;            /* CPU time of the loop's thread when it was first seen */
    bool is_reported;
    char who[64]; /* of the step that was reported: task 7 "worker" */
};

struct tug_loop {
    /* The run queue: an array ring with room for every task, so that a wake never allocates. */
    void **ring;
    uint32_t ring_mask;  /* size - 1 */
    uint32_t head, tail; /* counted on, masked at use */
    uint32_t pause;      /* where head stops for tug__loop_extend: chunk_end, or head itself */
    uint32_t chunk_end;  /* where the next look at the clock is due */
    void *current;       /* the task that runs; NULL on the loop's stack */
    bool wants_kick;     /* attached, and no pass is on its way: see tug__loop_touch */
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
    bool owns_base;            /* else the application's: attach.c */
    struct event *pass_event;  /* of an attached loop */
    struct event *timer_event; /* of timer_fd */
    int timer_fd;              /* exact, where libevent's own timers are up to 4 ms late */
    tug_time timer_armed;      /* TUG_FOREVER: not */
    uint64_t io_events;        /* callbacks so far */
    struct tug_io *ios;        /* all that are open */
    struct tug_remote *remote; /* posts from other threads; NULL: nobody can post */

    tug_time (*clock)(struct tug_loop *loop); /* tests replace it */
    tug_time fake_now;                        /* of the test clock; 0: the real one */
    /* Nothing can run: tests use the moment. True if something can now. */
    bool (*on_idle)(struct tug_loop *loop);
    size_t outside; /* jobs on other threads that will come back: the test clock waits for them */

    bool is_program; /* of tug_main: what must be said and has no log goes to stderr */
    bool is_turning; /* in tug_loop_run */
    bool stopping;
    tug_stop_hook *stop_hooks;
    tug_end_hook *end_hooks;
    void (*on_stop)(struct tug_loop *loop, tug_duration drain); /* L3 */
    /* steps and is_idle are read by the thread that watches over long steps. */
    int thread_id;  /* the kernel's: what debuggers know it by */
    uint32_t steps; /* callbacks on the loop's stack so far */
    bool is_idle;   /* in the poll, or between turns */
    bool is_watched;
    const void *layout; /* for debuggers: keeps the table of layout.c in the program */
    struct tug__watch watch;
    struct tug_loop *next, **at_prev; /* of the process: home.c */
    struct tug__calendar calendar;
};

extern __thread struct tug_loop *tug__loop __attribute__((tls_model("initial-exec")));

/* base: the application's, which stays its own; NULL: one of the loop's own. */
int tug__loop_new(struct event_base *base, struct tug_loop **ret_loop);
#if defined(TUG_TORTURE)
/* Set by tests: sees each loop that opens. */
extern void (*tug__loop_opened)(struct tug_loop *loop);
#endif
/* home.c: which loops there are. Guarded by the lock; debuggers read it while all stand still. */
extern struct tug_loop *tug__loops;
void tug__loops_lock(void);
void tug__loops_unlock(void);
/* On the loop's thread. */
void tug__loop_register(struct tug_loop *loop);
void tug__loop_unregister(struct tug_loop *loop);
/* Frees slots in the reverse order of their ids, then the rest. */
void tug__loop_free(struct tug_loop *loop);
/* One turn. may_block: waits in poll when nothing can run. */
void tug__loop_turn(struct tug_loop *loop, bool may_block);
/* What of a turn comes after the poll. */
void tug__loop_pass(struct tug_loop *loop);
/* Before a poll that may block: false if something can be done at once. Else the timer is armed. */
bool tug__loop_prepare(struct tug_loop *loop);
/* An attached loop is to pass again soon: the timer fires now. */
void tug__loop_fire_timer(struct tug_loop *loop);
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

/* io.c: takes everything out of the base; of a loop that will never run again. */
void tug__io_silence(struct tug_loop *loop);
/* The loop goes and they stay: they can be closed, and nothing else. */
void tug__io_leave(struct tug_loop *loop);

/* Runs the stop hooks, once. */
void tug__loop_stop(struct tug_loop *loop, tug_duration drain);
void tug__loop_run_end_hooks(struct tug_loop *loop);

/* attach.c: a pass of an attached loop is to come in this round of the application's base. */
void tug__loop_kick(struct tug_loop *loop);
/* After something was put into a queue, or a timer was set: in an attached loop, that may have happened in
 * a callback of the application's. */
static inline void tug__loop_touch(struct tug_loop *loop)
{
    if (__builtin_expect(loop->wants_kick, 0)) {
        tug__loop_kick(loop);
    }
}

/* The check of every object that belongs to a loop: false on any other thread than that loop's. Calls with a
 * result use the first, which sets the detail of TUG_EMISUSE; calls without one use the second, which leaves
 * the detail alone, writes the sentence to the log and aborts under TUG_DEBUG=1, and then do nothing. */
bool tug__refuse_loop(const char *what);
bool tug__refuse_loop_void(const char *what);
static inline bool tug__is_here(const struct tug_loop *loop, const char *what)
{
    return __builtin_expect(loop == tug__loop, 1) || tug__refuse_loop(what);
}
static inline bool tug__is_here_void(const struct tug_loop *loop, const char *what)
{
    return __builtin_expect(loop == tug__loop, 1) || tug__refuse_loop_void(what);
}

/* For objects that may be made before their loop and freed after it: one that belongs to no loop, or to one that
 * has ended, belongs to the calling thread's from now on. */
bool tug__adopt(struct tug_loop **at);
static inline bool tug__is_here_or_adopts(struct tug_loop **at, const char *what)
{
    return __builtin_expect(*at == tug__loop, 1) || tug__adopt(at) || tug__refuse_loop(what);
}
static inline bool tug__is_here_or_adopts_void(struct tug_loop **at, const char *what)
{
    return __builtin_expect(*at == tug__loop, 1) || tug__adopt(at) || tug__refuse_loop_void(what);
}

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

/* A callback on the loop's own stack begins. Relaxed, for the watching thread. */
static inline void tug__loop_step(struct tug_loop *loop)
{
    __atomic_store_n(&loop->steps, loop->steps + 1, __ATOMIC_RELAXED);
}
static inline void tug__loop_set_idle(struct tug_loop *loop, bool is_idle)
{
    __atomic_store_n(&loop->is_idle, is_idle, __ATOMIC_RELAXED);
}

static inline void tug__ring_push(struct tug_loop *loop, void *task)
{
    loop->ring[loop->tail++ & loop->ring_mask] = task;
}

#endif
