/* What:      what drivers, pools and other builders of awaitables stand on: completing futures, parking
 *            tasks, timers, I/O, end-of-turn flushes, service tasks.
 * Ownership: structs that are embedded (waiters, timer, flush, call, stop hook) are yours; zeroed is empty.
 * Context:   the loop's thread. "loop stack": called by the loop itself, outside tasks; must not wait.
 * Callbacks: on the loop stack, unless said otherwise. Third-party code (libpq, hiredis, codecs) runs there.
 * Errors:    as stated; wake, settle, cancel, stop and close never fail for want of memory. */
#ifndef TUG_SYS_DRIVER_H
#define TUG_SYS_DRIVER_H

#include <tug/future.h>
#include <tug/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- futures, from the completing side ---------------------------------------------------------- */

enum {
    TUG_ABORT_DONE, /* stopped: the completing side will never touch the future again (tombstone) */
    TUG_ABORT_LATER /* cannot be stopped at once: it will be settled */
};

/* One static one for each kind of future; its address is the type that take checks. */
typedef struct tug_future_class {
    size_t size;
    const char *name; /* "pg.query": what reports call it */
    size_t payload;   /* bytes of the driver's own that live in the future, zeroed at new */
    size_t room;      /* further bytes right behind the payload, not zeroed */
    int (*abort)(
        tug_future *f); /* asked to stop. May call tug_future_fail(f, TUG_EDROPPED and how far it
                                       got) itself before it returns TUG_ABORT_DONE. Never called twice,
                                       nor after the settle. NULL: LATER */
    void (*dispose)(void *value); /* the value was never taken; NULL: nothing to do */
    void (*destroy)(
        tug_future *f); /* the future goes: release what the payload holds; may be NULL */
} tug_future_class;

/* A pending future with one reference: the one that is handed to the caller. The completing side needs
 * none: a pending future lives until it is settled or until its abort said TUG_ABORT_DONE, and is not to
 * be touched after that. When the caller's side has dropped its last reference, abort is called.
 * NULL: out of memory, return tug_future_no_memory(). */
TUG_EXPORT tug_future *tug_future_new(const tug_future_class *class_);
/* Hints for who settles many, one after the other: among a thousand in flight each is out of the cache.
 * fetch, of one that comes some places later: its head; fetch_waiter, of one that was fetched a little
 * before: the task that will be woken. f: alive. Any context. */
TUG_EXPORT void tug_future_fetch(const tug_future *f);
TUG_EXPORT void tug_future_fetch_waiter(const tug_future *f);
/* A failed future; out of memory gives a static one with TUG_ENOMEM. Never NULL. */
TUG_EXPORT tug_future *tug_future_failed(const tug_error *why);
TUG_EXPORT tug_future *tug_future_no_memory(void);
/* Aligned for any type. */
TUG_EXPORT void *tug_future_payload(tug_future *f);
TUG_EXPORT const tug_future_class *tug_future_class_of(const tug_future *f);
/* Completes a pending future; the value is then the future's. Does not drop a reference. Waiters and
 * watcher run later, from the run queue. A future that is no longer pending: the value is disposed of. */
TUG_EXPORT void tug_future_settle(tug_future *f, void *value);
TUG_EXPORT void tug_future_fail(tug_future *f, const tug_error *why);
/* Moves the value out, once. Fails with the future's own code; TUG_EMISUSE when pending, when it is of another class, or when
 * it was taken before. */
TUG_EXPORT int tug_future_take(tug_future *f, const tug_future_class *class_,
                               void **ret_value) TUG_CHECK;
/* The wait of an awaiting form, which owns f: a cancel of the caller cancels f at once, abort is called
 * by whoever cancels. TUG_ABORT_DONE: TUG_ECANCELED, with how far the operation got as abort said it.
 * TUG_ABORT_LATER: waits until f has settled, whose code is returned (0: its value is there, it came
 * through). Called in a cancelled scope: TUG_ECANCELED in every case. The reference stays the caller's. */
TUG_SUSPENDS TUG_EXPORT int tug_await_own(tug_future *f) TUG_CHECK;

/* --- errors ------------------------------------------------------------------------------------- */

/* Fills *e; native may be NULL. */
TUG_EXPORT void tug_error_set(tug_error *e, int code, int origin, int sent, const char *native,
                              const char *format, ...) TUG_PRINTF(6, 7);
/* -errno_value, or the code of ours that stands for it; never -ETIMEDOUT, -ECANCELED, -ENOMEM. */
TUG_EXPORT int tug_error_from_errno(int errno_value);

/* --- parking tasks ------------------------------------------------------------------------------ */

/* A FIFO of parked tasks. Zeroed is empty. Must not move while tasks wait. */
typedef struct tug_waiters {
    struct tug__wait *first, *last;
} tug_waiters;

/* The entry check of every call that may wait and finds that it need not: TUG_ECANCELED if the scope is
 * cancelled or expired, else 0; spends a credit and yields when there are none left. */
TUG_SUSPENDS TUG_EXPORT int tug_checkpoint(void) TUG_CHECK;
/* Waits in the list until unparked (the code given there is returned), or TUG_ECANCELED: then it was
 * taken out of the list and nothing was handed over. slot is what the waking side sees. what: a static
 * word for reports, "queue.put". */
TUG_SUSPENDS TUG_EXPORT int tug_park(tug_waiters *list, void *slot, const char *what) TUG_CHECK;
/* The same, but no cancel cuts it short. Only for waits that are sure to end. */
TUG_SUSPENDS TUG_EXPORT int tug_park_uncancellable(tug_waiters *list, void *slot,
                                                   const char *what) TUG_CHECK;
/* The slot of the task that waits longest; NULL if none waits (or its slot is NULL). */
TUG_EXPORT void *tug_waiters_slot(const tug_waiters *list);
static inline bool tug_waiters_any(const tug_waiters *list)
{
    return list->first != NULL;
}
/* Takes the first out of the list and lets it run: its park returns code. From now on no cancel undoes
 * the hand-over. False if none waits. why: its detail when code < 0; NULL: the code's own text. */
TUG_EXPORT bool tug_unpark_first(tug_waiters *list, int code, const tug_error *why);
TUG_EXPORT void tug_unpark_all(tug_waiters *list, int code, const tug_error *why);

/* A number that no other task of this loop has, had or will have: who remembers a task without keeping it
 * alive compares this, because addresses are used again. */
TUG_EXPORT uint64_t tug_task_number(const tug_task *t);

/* --- time --------------------------------------------------------------------------------------- */

/* Zeroed is idle. Not copied or freed while it runs. */
typedef struct tug_timer {
    uint64_t reserved[8];
} tug_timer;
/* fn is called on the loop stack, once, not before at. Starting a running timer moves it. */
TUG_EXPORT void tug_timer_start(tug_timer *t, tug_time at, void (*fn)(tug_timer *t, void *arg),
                                void *arg);
/* Gives a running timer another instant; it keeps fn and arg. One that does not run stays idle. Cheaper than
 * starting it again where there are many: for a timeout that each message pushes ahead. What was moved is
 * stopped before its memory goes, an idle one too. */
TUG_EXPORT void tug_timer_move(tug_timer *t, tug_time at);
TUG_EXPORT void tug_timer_stop(tug_timer *t);
TUG_EXPORT bool tug_timer_is_running(const tug_timer *t);
/* The clock as of this turn: cheap, may be late by the length of the step. */
TUG_EXPORT tug_time tug_turn_time(void);
/* now + d without overflow; TUG_FOREVER stays. */
static inline tug_time tug_time_after(tug_time now, tug_duration d)
{
    return d <= 0 ? now : d >= TUG_FOREVER - now ? TUG_FOREVER : now + d;
}

/* --- I/O ---------------------------------------------------------------------------------------- */

enum {
    TUG_READ = 1,
    TUG_WRITE = 2
};
/* Interest in one file descriptor, level-triggered. */
typedef struct tug_io tug_io;
/* No interest yet. fn on the loop stack with what is ready. The fd stays the caller's. TUG_ENOMEM. */
TUG_EXPORT int tug_io_open(int fd, void (*fn)(tug_io *io, unsigned ready, void *arg), void *arg,
                           tug_io **ret_io) TUG_CHECK;
/* Changes the interest, by difference. Fails with -errno when the kernel refuses the fd (a plain file). */
TUG_EXPORT int tug_io_want(tug_io *io, unsigned want) TUG_CHECK;
TUG_EXPORT unsigned tug_io_wanted(const tug_io *io);
/* Drops the interest: before the fd is closed or replaced. Also from inside fn. NULL is fine. */
TUG_EXPORT void tug_io_close(tug_io *io);
/* Waits until one of want is ready: > 0 what is, < 0. For set-up code; steady state uses tug_io. */
TUG_SUSPENDS TUG_EXPORT int tug_fd_wait(int fd, unsigned want) TUG_CHECK;

/* --- the turn ----------------------------------------------------------------------------------- */

/* A hook at the end of this turn, once however often it is asked for: one write for all that was queued. */
typedef struct tug_flush {
    struct tug_flush *next;
    void (*fn)(struct tug_flush *f);
    bool queued;
} tug_flush;
TUG_EXPORT void tug_flush_later(tug_flush *f);
/* Takes it back: before the memory goes. */
TUG_EXPORT void tug_flush_forget(tug_flush *f);

/* A call from the run queue, on the loop stack, in order with tasks that wake. Zeroed is idle. */
typedef struct tug_call {
    void (*fn)(void *arg);
    void *arg;
    struct tug_call *next;
    uint8_t state;
} tug_call;
/* Asking again before it ran changes nothing. Never fails. */
TUG_EXPORT void tug_call_soon(tug_call *c, void (*fn)(void *arg), void *arg);
TUG_EXPORT void tug_call_forget(tug_call *c);
/* Runs fn(arg) on the loop stack and waits for it (not cancellable): for third-party code from a task. */
TUG_SUSPENDS TUG_EXPORT void tug_on_loop_stack(void (*fn)(void *arg), void *arg);

/* --- service tasks and the end ------------------------------------------------------------------ */

/* A task of the loop's service root: it inherits no scope, is not cancelled before all user tasks have
 * ended, and the loop's end waits for it. TUG_ENOMEM, TUG_ELIMIT, TUG_ECLOSED. name: static. */
TUG_EXPORT int tug_service_spawn(const char *name, tug_task_fn fn, void *arg) TUG_CHECK;

/* Called once on the first request to stop (at once, if that has happened): a source ends itself.
 * Zeroed is idle. */
typedef struct tug_stop_hook {
    struct tug_stop_hook *next, *prev;
    void (*fn)(void *arg);
    void *arg;
    bool linked;
} tug_stop_hook;
TUG_EXPORT void tug_on_stop(tug_stop_hook *h, void (*fn)(void *arg), void *arg);
TUG_EXPORT void tug_on_stop_forget(tug_stop_hook *h);

/* Called on the loop stack when all user tasks have ended: what is still open closes itself (a handle
 * that the program forgot, connections of a pool). After it, service tasks get the grace of the end. */
typedef struct tug_end_hook {
    struct tug_end_hook *next, *prev;
    void (*fn)(void *arg);
    void *arg;
    bool linked;
} tug_end_hook;
TUG_EXPORT void tug_on_end(tug_end_hook *h, void (*fn)(void *arg), void *arg);
TUG_EXPORT void tug_on_end_forget(tug_end_hook *h);

/* The calling thread's loop, NULL if it has none: what an object remembers to know its own by. */
TUG_EXPORT struct tug_loop *tug_loop_current(void);
/* True if loop is the calling thread's. Else sets the detail for TUG_EMISUSE, which begins with what:
 * "tug_pg_query". The check of every call on an object that belongs to a loop. */
TUG_EXPORT bool tug_is_here(const struct tug_loop *loop, const char *what);
/* The same for calls without a result, which then do nothing: leaves the detail alone, writes the sentence to
 * the log; TUG_DEBUG=1 aborts. */
TUG_EXPORT bool tug_is_here_void(const struct tug_loop *loop, const char *what);
/* True if the calling thread has a loop; else sets the detail ("... needs a loop: ...") for TUG_EMISUSE. */
TUG_EXPORT bool tug_has_loop(const char *what);

/* A random number, not for secrets: jitter. */
TUG_EXPORT uint64_t tug_random(void);

/* Exponential backoff with full jitter in the upper half: the attempt-th wait (0, 1, ...) between
 * first and most. */
TUG_EXPORT tug_duration tug_backoff(unsigned attempt, tug_duration first, tug_duration most);

#ifdef __cplusplus
}
#endif
#endif
