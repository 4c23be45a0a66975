/* What:      the inside of a pool, shared by its files: pool.c (open, close, slots), options.c, lend.c
 *            (acquire and return), explain.c (what a failed acquire says), grow.c (when to check, when to
 *            open, what a failed open means), upkeep.c (what is due when: ages, leaks), resize.c (other
 *            bounds, drain), service.c (the tasks in which the ops run), stats.c, show.c.
 * Ownership: a pool owns its slots; a waiter lives in the payload of its future.
 * Context:   the loop's thread. Nothing here suspends but what runs in service.c.
 * Callbacks: see tug_pool_ops.
 * Errors:    none: what is declared here cannot fail, unless said otherwise. */
#ifndef TUG_POOL_INTERNAL_H
#define TUG_POOL_INTERNAL_H

#include <tug/pool.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/sys/inspect.h>

#include "histogram.h"

#define POOL_TIMES 3 /* TUG_POOL_WAIT, _CONNECT, _BUSY */
/* As many bytes of a name as a task's keeps. */
#define POOL_NAME_SIZE 32

/* Who asked for a lease, for reports. */
struct borrower {
    char name[POOL_NAME_SIZE];
    uint64_t number;   /* of the task; 0: a callback */
    const void *place; /* return address of the call */
};

/* A circular list whose head is a member of it: leaving it needs no knowledge of where it is. */
struct ring {
    struct ring *prev, *next;
};

static inline void ring_init(struct ring *r)
{
    r->prev = r->next = r;
}
static inline bool ring_is_empty(const struct ring *r)
{
    return r->next == r;
}
/* Puts x behind at. */
static inline void ring_insert(struct ring *at, struct ring *x)
{
    x->prev = at;
    x->next = at->next;
    at->next->prev = x;
    at->next = x;
}
/* A ring of its own afterwards, so that leaving twice does no harm. */
static inline void ring_leave(struct ring *x)
{
    x->prev->next = x->next;
    x->next->prev = x->prev;
    ring_init(x);
}
#define RING_OF(r, type, member) ((type *)(void *)((char *)(r)-offsetof(type, member)))

/* The life of a slot:
 *
 *              connect ok                  close, not usable
 *   OPENING ---------------> IDLE --------------------------------> CLOSING ---> freed
 *      |  \                  |  ^ \                                 ^ ^ ^
 *      |   \ a waiter   lend |  |  \ idle too long      failed,     | | |
 *      |    \                v  |   `--> CHECKING ------------------' | |
 *    failed  `-------------> BUSY <----------' ok, a waiter           | |
 *      |                     |  |`------------------------------------' |
 *      v        dirty return |  |       returned: not usable, closed    |
 *    freed                   |  `--> LOST ---> freed                    |
 *                            `-----> RESETTING -------------------------'
 *                                    (ok: IDLE or BUSY)  failed            */
enum slot_state {
    SLOT_OPENING,   /* in connect, or waits for a task to connect in */
    SLOT_IDLE,      /* ready to be lent; on the idle ring, the one used last in front */
    SLOT_BUSY,      /* lent, or handed over and not yet taken */
    SLOT_CHECKING,  /* in check or before_lend, or waits for a task */
    SLOT_RESETTING, /* in reset or after_return, or waits for a task */
    SLOT_CLOSING,   /* in close, or waits for a task */
    SLOT_LOST,      /* still lent when the loop ended: its resource was closed under the borrower */
    SLOT__MAX
};

/* A slot is lent as it is: its lease is its address, so that a loan allocates nothing. */
struct tug_lease {
    struct ring link; /* idle, jobs (waits for a task), lent, leaks or returned */
    struct ring all;
    tug_pool *pool;
    void *resource; /* NULL while OPENING and when LOST */
    tug_time since; /* used last; while OPENING: when the attempt began */
    tug_scope
        *scope; /* around the op that runs now, so that the pool's close can cancel it; else NULL */
    struct borrower by; /* BUSY: who has it, and since when */
    tug_time lent;
    tug_time expires; /* not lent from then on; TUG_FOREVER: never */
    uint64_t uses;
    uint32_t generation; /* of the pool when the open began */
    uint8_t state;       /* enum slot_state, by tug__slot_set_state only */
    bool dirty;
};

/* Why a usable one is closed. */
enum retirement {
    RETIRED_IDLE,
    RETIRED_LIFETIME,
    RETIRED_USES,
    RETIRED_SURPLUS, /* too many after a resize, expired, or drained */
    RETIRED__MAX,
    RETIRED_NOT = RETIRED__MAX
};

enum pool_state {
    POOL_OPEN,
    POOL_DRAINING, /* serves those that wait, takes no more */
    POOL_CLOSING,  /* closed, but slots are left */
    POOL_ABANDONED /* the loop ended with leases out: the last of them frees the pool */
};

struct tug_pool {
    tug_pool_ops ops;
    void *ctx;
    tug_pool_options o;
    char name[POOL_NAME_SIZE];
    const char
        *home; /* the thread whose loop this is, as the address of a variable of the thread */
    int state; /* enum pool_state */

    struct ring idle, jobs, waiting, all;
    struct ring lent;     /* by the time of the loan, so that the first is the next leak */
    struct ring leaks;    /* lent, and reported */
    struct ring returned; /* on their way to waiters, while handing_over */
    bool handing_over;
    size_t n[SLOT__MAX]; /* slots by state */
    size_t total;        /* their sum */
    size_t n_waiting;

    /* grow.c */
    size_t window;          /* opens at a time at the moment */
    unsigned attempt;       /* failed rounds since the last success */
    tug_time retry_at;      /* no open before it */
    tug_time failing_since; /* when the first attempt of the failing ones began */
    tug_time failed_at;     /* when the latest failure was counted */
    tug_error open_error;   /* code 0: the latest open succeeded, or there was none */
    tug_timer retry, patience;
    /* Moving averages, 0: unknown: of successful connects, of loans. */
    tug_duration connect_mean, busy_mean;

    /* upkeep.c */
    tug_timer upkeep;
    tug_time upkeep_at;  /* when it runs; TUG_FOREVER: it does not */
    uint32_t generation; /* slots of an earlier one go when they can */
    tug_call sweeper;
    tug_waiters drainers; /* tasks in tug_pool_drain */

    tug_waiters manager; /* where the manager sleeps */
    tug_end_hook end;
    tug_inspect_source source;
    uint64_t opened, failed, discarded, acquired, given_up, refused, leaked;
    uint64_t retired[RETIRED__MAX];
    struct histogram times[POOL_TIMES];
};

/* The payload of an acquire's future. */
struct acquire {
    struct ring link;
    tug_pool *pool;
    tug_future *future;
    tug_time since;
    struct borrower by; /* who asked */
};

/* No more than what is out comes back. */
static inline bool pool_is_shut(const tug_pool *p)
{
    return p->state >= POOL_CLOSING;
}

/* --- options.c; the checks fail with TUG_EINVAL */
int tug__pool_copy_ops(const tug_pool_ops *ops, tug_pool_ops *to);
int tug__pool_copy_options(const tug_pool_options *o, tug_pool_options *to);
int tug__pool_check_bounds(const char *what, size_t min, size_t max);

/* --- pool.c */
bool tug__pool_is_home(const tug_pool *p);
/* NULL: out of memory. The slot counts from now on. */
tug_lease *tug__slot_new(tug_pool *p);
void tug__slot_free(tug_lease *s);
void tug__slot_set_state(tug_lease *s, enum slot_state to);
bool tug__slot_is_usable(const tug_lease *s);
/* Frees the pool's memory; no slot may be left. */
void tug__pool_free(tug_pool *p);

/* --- lend.c */
/* A slot that is ready goes to the longest waiter, else to the idle ones; in a closed pool, or if it is not
 * usable, it is closed. */
void tug__pool_give(tug_lease *s);
/* Settles a waiter with why, to which it adds who waited and for what. */
void tug__pool_refuse(struct acquire *a, const tug_error *why);
void tug__pool_refuse_all(tug_pool *p, const tug_error *why);
/* It was idle for longer than check_after, and there is a check. */
bool tug__slot_is_stale(const tug_lease *s);

/* --- explain.c */
/* Fills *e: code and what it means, who waited since when, the counters, the last open error. */
void tug__pool_explain(const tug_pool *p, const struct acquire *a, const tug_error *why,
                       tug_error *e);

/* --- grow.c */
/* After every change of slots or waiters: starts the checks and opens that are due. */
void tug__pool_advance(tug_pool *p);
/* True while acquires without an open resource are refused at once, with the last open error. */
bool tug__pool_fails_fast(const tug_pool *p);
bool tug__pool_breaker_is_open(const tug_pool *p);
/* took: with after_open. */
void tug__pool_open_succeeded(tug_pool *p, tug_duration took);
/* An open that began at since failed. */
void tug__pool_open_failed(tug_pool *p, tug_time since, const tug_error *why);

/* --- upkeep.c */
/* When a slot that has just been opened is too old. */
tug_time tug__slot_expiry(const tug_pool *p, tug_time opened);
/* Whether it may not be lent any more, though usable, and why. */
enum retirement tug__slot_retirement(const tug_lease *s, tug_time now);
/* Counts it and closes it. */
void tug__pool_retire(tug_lease *s, enum retirement why);
/* Something is due then. */
void tug__pool_watch(tug_pool *p, tug_time at);
/* One of the idle ones may go for having been idle. */
bool tug__pool_may_shrink(const tug_pool *p);
void tug__pool_stop_upkeep(tug_pool *p);

/* --- resize.c */
/* In a drain: closes what is idle, and wakes who waits for the end if nothing is lent and nobody waits. */
void tug__pool_go_on_draining(tug_pool *p);

/* --- show.c */
/* What tug_inspect says of it. arg: the pool. */
void tug__pool_show(tug_inspect_writer *w, void *arg);

/* --- service.c */
/* What runs in the pool's own service task, from open to the last slot. */
int tug__pool_manage(void *arg);
/* Hands a slot in OPENING, CHECKING, RESETTING or CLOSING to a service task. */
void tug__pool_serve(tug_lease *s, enum slot_state as);
/* Counts it as discarded and closes it. */
void tug__pool_discard(tug_lease *s);
/* Wakes the manager, if it sleeps. */
void tug__pool_kick(tug_pool *p);

#endif
