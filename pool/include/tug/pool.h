/* What:      a pool: leases of anything that opens, is checked, is reset and closes. It knows no driver:
 *            what a resource is, an ops table says.
 * Ownership: tug_pool is yours until tug_pool_close, a lease until tug_lease_close. The resource of a
 *            lease is borrowed while the lease is yours. A pool whose lease is out lives on until then.
 * Context:   tug_pool_acquire: task only. The rest: any context of the loop that opened the pool.
 * Callbacks: the ops, in service tasks (where they may suspend); is_usable anywhere, at once.
 * Errors:    TUG_ECLOSED after close, TUG_ELIMIT (max_waiters), TUG_ECANCELED, what connect failed with;
 *            the detail says who waited, how many are open, busy and opening, and the last open error. */
#ifndef TUG_POOL_H
#define TUG_POOL_H

#include <tug/future.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_pool tug_pool;
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
     * close does, by a cancelled scope. Bounds its own time. Suspends. */
    int (*connect)(void *ctx, void **ret_resource);
    /* Does it still work? Asked after check_after of idleness, under check_timeout; < 0 discards it.
     * Suspends. NULL: never asked. */
    int (*check)(void *resource);
    /* Undoes what a borrower left behind, when the lease was marked dirty, under check_timeout; < 0
     * discards it. Suspends. NULL: a dirty one is discarded. */
    int (*reset)(void *resource);
    /* Closes and frees it, also if it is broken, at once if the scope is cancelled. The slot counts
     * against max until it returns. Suspends. */
    void (*close)(void *resource);
    /* Asked at each return and each loan: cheap, must not suspend. NULL: always usable. */
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
    /* Time for each check and each reset, ns: more than 0; 5 s. */
    tug_duration check_timeout;
    /* How long an acquire waits at most while opens fail, ns: 0 or more; 30 s. It then fails with the
     * last open error. */
    tug_duration connect_patience;
    /* The pause after the first failed open, ns: more than 0; 100 ms. It doubles with each further one,
     * with jitter, up to the longest, ns: not less than the first; 10 s. */
    tug_duration backoff_first;
    tug_duration backoff_most;
} tug_pool_options;
#define TUG_POOL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_pool_options), "pool", 0, 10, 4, 10000, TUG_MS(500), TUG_SECONDS(5),            \
            TUG_SECONDS(30), TUG_MS(100), TUG_SECONDS(10)                                          \
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

/* Waits in order for a resource: an idle one (the one used last), one that comes back, or a new one,
 * whichever is there first. Cancelled or timed out means that nothing was lent. */
TUG_SUSPENDS TUG_EXPORT int tug_pool_acquire(tug_pool *p, tug_lease **ret_lease);
/* The same as a future. A lease that nobody takes goes back to the pool. */
TUG_EXPORT tug_future *tug_pool_acquire_start(tug_pool *p);
TUG_EXPORT int tug_pool_acquire_take(tug_future *f, tug_lease **ret_lease) TUG_CHECK;

/* Gives the resource back: to the longest waiter, reset first if it is dirty, closed if it is not usable or
 * the pool is closed. Never suspends, works in a cancelled scope. NULL is fine. A second close of a lease
 * that nobody else has got yet is logged and ignored. */
TUG_EXPORT void tug_lease_close(tug_lease *lease);
TUG_AUTO_FN(tug_lease, tug_lease_close)
/* Borrowed until the lease is closed. Of NULL: NULL. */
TUG_EXPORT void *tug_lease_resource(const tug_lease *lease);
/* It was changed (SET, LISTEN, an open cursor): reset is called before anybody else gets it. */
TUG_EXPORT void tug_lease_mark_dirty(tug_lease *lease);

typedef struct tug_pool_stats {
    size_t size;
    size_t open;        /* idle + busy + preparing */
    size_t idle;        /* ready to be lent */
    size_t busy;        /* lent, or handed over and not yet taken */
    size_t preparing;   /* in check or reset */
    size_t opening;     /* in connect, or about to be */
    size_t closing;     /* in close, or about to be */
    size_t waiting;     /* acquires that wait */
    uint64_t opened;    /* connects that succeeded */
    uint64_t failed;    /* connects that failed */
    uint64_t discarded; /* closed because not usable, or failed in check or reset */
    uint64_t acquired;  /* leases given */
} tug_pool_stats;
#define TUG_POOL_STATS_INIT                                                                        \
    {                                                                                              \
        sizeof(tug_pool_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                    \
    }
/* Fills what stats->size covers. open + opening + closing never exceeds max. */
TUG_EXPORT void tug_pool_get_stats(const tug_pool *p, tug_pool_stats *ret_stats);
/* The detail of the latest connect if it failed; code 0 if it succeeded or there was none. Borrowed until
 * the next one ends. */
TUG_EXPORT const tug_error *tug_pool_open_error(const tug_pool *p);

#ifdef __cplusplus
}
#endif
#endif
