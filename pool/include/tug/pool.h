/* What:      a pool: leases of anything that opens, is checked, is reset and closes. It knows no driver:
 *            what a resource is, an ops table says. Its figures are in <tug/pool_stats.h>.
 * Ownership: tug_pool is yours until tug_pool_close, a lease until tug_lease_close. The resource of a
 *            lease is borrowed while the lease is yours. A pool whose lease is out lives on until then.
 * Context:   tug_pool_acquire: task only. The rest: any context of the loop that opened the pool.
 * Callbacks: the ops and hooks, in service tasks (where they may suspend); is_usable anywhere, at once.
 * Errors:    TUG_ECLOSED after close, TUG_ELIMIT (max_waiters), TUG_ECANCELED, what connect failed with;
 *            the detail says who waited, how many are open, busy and opening, who has had a lease for the
 *            longest time, and the last open error. */
#ifndef TUG_POOL_H
#define TUG_POOL_H

#include <tug/pool_stats.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One resource, lent to one borrower. */
typedef struct tug_lease tug_lease;

/* What a pool needs to know about a resource. Copied by tug_pool_open.
 *
 * Whether a failed connect is final for those who wait is read from its detail. Permanent: TUG_EAUTH; or
 * not `transient` and either TUG_ESERVER, TUG_EINVAL, TUG_EMISUSE, TUG_EPROTO or of origin tls. All who
 * wait fail at once with it, and so does every acquire that finds no open resource until the backoff has
 * passed. All else is transient ("too many connections" must therefore be marked so by the driver): it is
 * tried again after the backoff, and who waits goes on waiting. */
typedef struct tug_pool_ops {
    size_t size;
    /* Opens a resource (not NULL). In a service task: a cancelled acquire never aborts it, only the pool's
     * close and connect_timeout do, by a cancelled scope. Suspends. */
    int (*connect)(void *ctx, void **ret_resource);
    /* Does it still work? Asked after check_after of idleness, under check_timeout; < 0 discards it.
     * Suspends. NULL: never asked. */
    int (*check)(void *resource);
    /* Undoes what a borrower left behind, when the lease was marked dirty, under check_timeout; < 0
     * discards it. Suspends. NULL: a dirty one is discarded. */
    int (*reset)(void *resource);
    /* Closes and frees it, also if it is broken, under close_timeout: at once if the scope is cancelled. The
     * slot counts against max until it returns. Suspends. */
    void (*close)(void *resource);
    /* Asked at each return and each loan, and by tug_pool_sweep: cheap, must not suspend. NULL: always
     * usable. */
    bool (*is_usable)(const void *resource);
    /* The last call: the pool has gone and ctx is no longer needed. In a service task. NULL: not told. */
    void (*gone)(void *ctx);
} tug_pool_ops;

/* How many resources one pool may hold: far above what a server allows its clients. */
#define TUG_POOL_MOST 100000

typedef struct tug_pool_options {
    size_t size;
    /* For errors and logs; at most 31 bytes are kept; "pool". */
    const char *name;
    /* Resources that are kept open from the start: 0 to max; 0. */
    size_t min;
    /* Resources at most, those that open or close included: 1 to TUG_POOL_MOST; 10. */
    size_t max;
    /* Opens at a time: 1 or more; 4. It is one at first, one more with each that succeeds while others
     * still wait, and one again after a failure or when nobody waits. */
    size_t max_opening;
    /* Acquires that wait: 1 or more; one more is TUG_ELIMIT; 10,000. */
    size_t max_waiters;
    /* Idle time after which a resource is checked before it is lent, ns: 0 or more, TUG_FOREVER: never;
     * 500 ms. */
    tug_duration check_after;
    /* Time for each check, each reset and each hook, ns: more than 0; 5 s. */
    tug_duration check_timeout;
    /* How long an acquire waits at most while opens fail, ns: 0 or more; 30 s. It then fails with the
     * last open error. */
    tug_duration connect_patience;
    /* The pause after the first failed open, ns: more than 0; 100 ms. It doubles with each further one,
     * with jitter of as much again, up to backoff_most. */
    tug_duration backoff_first;
    /* The longest pause, ns: not less than the first; 10 s. */
    tug_duration backoff_most;
    /* Resources that are kept ready beside those that are lent, as far as max allows: 0 to max; 0. */
    size_t min_idle;
    /* A resource that was idle for so long is closed, the longest idle first, as long as min and min_idle are
     * kept, ns: more than 0, TUG_FOREVER: never; 10 min. */
    tug_duration idle_timeout;
    /* A resource of this age is not lent any more, nor kept idle, ns: more than 0, TUG_FOREVER: never; 1 h. */
    tug_duration max_lifetime;
    /* So much of it at most is taken off, evenly spread over the resources, so that what was opened
     * together does not go together: percent, 0 to 100; 10. */
    size_t lifetime_jitter;
    /* Loans of one resource, then it is closed; 0: no bound; 0. */
    uint64_t max_uses;
    /* After so many failed opens in a row (those of one round count once), acquires that find no open
     * resource are refused at once, with the last open error; after each pause of the backoff the first of
     * them is let through to try; 0: never; 0. A permanent error (see tug_pool_ops) refuses at the first. */
    size_t breaker_after;
    /* A lease that is out for so long is reported, once, to the log and in tug_inspect, with the borrower's
     * name and place, ns: more than 0, TUG_FOREVER: never; TUG_FOREVER. */
    tug_duration leak_after;
    /* For one connect, ns: more than 0, TUG_FOREVER: connect bounds its own time; 60 s. */
    tug_duration connect_timeout;
    /* For one close, ns: more than 0; 5 s. */
    tug_duration close_timeout;
    /* The program's own, as the two below it: called in a service task under check_timeout, may suspend, < 0
     * closes the resource; NULL: none. This one after a connect; its failure counts as the connect's. */
    int (*after_open)(void *hook_arg, void *resource);
    /* At each loan: no acquire is served without a turn through a task, which is a price to know; NULL. */
    int (*before_lend)(void *hook_arg, void *resource);
    /* At each return of a resource that is not closed by it, after reset; NULL. */
    int (*after_return)(void *hook_arg, void *resource);
    /* For the hooks; must live until the pool has gone; NULL. */
    void *hook_arg;
} tug_pool_options;
#define TUG_POOL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_pool_options), "pool", 0, 10, 4, 10000, TUG_MS(500), TUG_SECONDS(5),            \
            TUG_SECONDS(30), TUG_MS(100), TUG_SECONDS(10), 0, TUG_SECONDS(600), TUG_SECONDS(3600), \
            10, 0, 0, TUG_FOREVER, TUG_SECONDS(60), TUG_SECONDS(5), NULL, NULL, NULL, NULL         \
    }

/* Opens nothing but min, in the background. ctx goes to connect and must live until gone. o NULL: the
 * defaults. TUG_EINVAL, TUG_ENOMEM, TUG_EMISUSE (no loop), TUG_ELIMIT, TUG_ECLOSED (the loop is at its
 * end). Suspends: no. */
TUG_EXPORT int tug_pool_open(const tug_pool_ops *ops, void *ctx, const tug_pool_options *o,
                             tug_pool **ret_pool);
/* Never suspends. Who waits gets TUG_ECLOSED; opens, checks and resets under way are cancelled; idle
 * resources are closed by service tasks; leases that are out stay valid until closed and are closed then.
 * A pool that was forgotten does this by itself when all user tasks have ended; until gone was called, a
 * second close is no mistake. NULL is fine. */
TUG_EXPORT void tug_pool_close(tug_pool *p);
TUG_AUTO_FN(tug_pool, tug_pool_close)
/* Takes no more acquires (TUG_ECLOSED), serves those that wait, closes what comes back, and waits until
 * nothing is lent and nobody waits. TUG_ECANCELED: leases are still out, and what began goes on: there is
 * no way back but tug_pool_close, which is due in any case. TUG_ECLOSED: it was closed meanwhile. */
TUG_SUSPENDS TUG_EXPORT int tug_pool_drain(tug_pool *p) TUG_CHECK;
/* Other bounds from now on, as in the options: TUG_EINVAL, TUG_ECLOSED. What is too many goes: idle ones at
 * once, lent ones when they come back; until then open + opening + closing exceeds max. */
TUG_EXPORT int tug_pool_resize(tug_pool *p, size_t min, size_t max);
/* Closes all that is open now, idle ones at once, lent ones when they come back: after a failover, after
 * the password was changed. */
TUG_EXPORT void tug_pool_expire(tug_pool *p);
/* For drivers: an idle resource may have broken. Later in this turn those that are not usable are closed,
 * and opened anew as far as min and min_idle ask for it. */
TUG_EXPORT void tug_pool_sweep(tug_pool *p);

/* Waits in order for a resource: an idle one (the one used last), one that comes back, or a new one,
 * whichever is there first. Cancelled or timed out means that nothing was lent. */
TUG_SUSPENDS TUG_EXPORT int tug_pool_acquire(tug_pool *p, tug_lease **ret_lease);
/* The same as a future. A lease that nobody takes goes back to the pool. */
TUG_EXPORT tug_future *tug_pool_acquire_start(tug_pool *p);
TUG_EXPORT int tug_pool_acquire_take(tug_future *f, tug_lease **ret_lease) TUG_CHECK;
/* For drivers, whose own function was called: caller is named as the place of the loan
 * (__builtin_return_address(0)); NULL: none. */
TUG_SUSPENDS TUG_EXPORT int tug_pool_acquire_from(tug_pool *p, const void *caller,
                                                  tug_lease **ret_lease);
TUG_EXPORT tug_future *tug_pool_acquire_start_from(tug_pool *p, const void *caller);

/* Gives the resource back: to the longest waiter, reset first if it is dirty, closed if it is not usable or
 * the pool is closed. Never suspends, works in a cancelled scope. NULL is fine. A second close of a lease
 * that nobody else has got yet is logged and ignored. */
TUG_EXPORT void tug_lease_close(tug_lease *lease);
TUG_AUTO_FN(tug_lease, tug_lease_close)
/* Borrowed until the lease is closed. Of NULL: NULL. */
TUG_EXPORT void *tug_lease_resource(const tug_lease *lease);
/* It was changed (SET, LISTEN, an open cursor): reset is called before anybody else gets it. */
TUG_EXPORT void tug_lease_mark_dirty(tug_lease *lease);

#ifdef __cplusplus
}
#endif
#endif
