/* What:      what a pool knows about itself: counters, how long acquires waited, connects took and leases
 *            were out, and why opens fail.
 * Ownership: the caller's structs are filled in; what is borrowed is said so.
 * Context:   any context of the loop that opened the pool.
 * Callbacks: none.
 * Errors:    none: these cannot fail. Times are by the clock of the loop's turns, late by a step at most. */
#ifndef TUG_POOL_STATS_H
#define TUG_POOL_STATS_H

#include <tug/future.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_pool tug_pool;

typedef struct tug_pool_stats {
    size_t size;
    size_t open;        /* idle + busy + preparing */
    size_t idle;        /* ready to be lent */
    size_t busy;        /* lent, or handed over and not yet taken */
    size_t preparing;   /* in check, reset, before_lend or after_return */
    size_t opening;     /* in connect, or about to be */
    size_t closing;     /* in close, or about to be */
    size_t waiting;     /* acquires that wait */
    uint64_t opened;    /* connects that succeeded */
    uint64_t failed;    /* connects that failed, after_open included */
    uint64_t discarded; /* closed because not usable, or failed in check, reset or a hook */
    uint64_t acquired;  /* leases given */
    /* Closed although they were usable: idle too long, too old, lent often enough, too many after a
     * resize (or in a drain, or expired). */
    uint64_t retired_idle;
    uint64_t retired_lifetime;
    uint64_t retired_uses;
    uint64_t retired_surplus;
    uint64_t given_up; /* acquires that left the queue: cancelled or out of time */
    uint64_t refused;  /* acquires that the pool itself refused */
    uint64_t leaked;   /* leases that were reported */
    size_t min;
    size_t max;
} tug_pool_stats;
#define TUG_POOL_STATS_INIT                                                                        \
    {                                                                                              \
        sizeof(tug_pool_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0         \
    }
/* Fills what stats->size covers. open + opening + closing never exceeds max, but after a resize down. */
TUG_EXPORT void tug_pool_get_stats(const tug_pool *p, tug_pool_stats *ret_stats);
/* The detail of the latest connect if it failed; code 0 if it succeeded or there was none. Borrowed until
 * the next one ends. */
TUG_EXPORT const tug_error *tug_pool_open_error(const tug_pool *p);

/* Three times are kept, each in a histogram whose buckets grow by an eighth, from a microsecond to four
 * hours: nothing is allocated for it. */
enum {
    TUG_POOL_WAIT,    /* of an acquire, until it had its lease */
    TUG_POOL_CONNECT, /* of a connect that succeeded, after_open included */
    TUG_POOL_BUSY     /* of a lease, until it was closed */
};
typedef struct tug_pool_latency {
    size_t size;
    uint64_t count;
    tug_duration sum;
    tug_duration most;
    /* So many of 100 took no longer; never too small, too large by an eighth at most. 0 if count is. */
    tug_duration p50;
    tug_duration p90;
    tug_duration p99;
    tug_duration p999;
} tug_pool_latency;
#define TUG_POOL_LATENCY_INIT                                                                      \
    {                                                                                              \
        sizeof(tug_pool_latency), 0, 0, 0, 0, 0, 0, 0                                              \
    }
/* which: TUG_POOL_WAIT, _CONNECT, _BUSY; of another number all is 0. Fills what size covers. */
TUG_EXPORT void tug_pool_get_latency(const tug_pool *p, int which, tug_pool_latency *ret_latency);
/* Any percentile, 0 to 100. */
TUG_EXPORT tug_duration tug_pool_percentile(const tug_pool *p, int which, double percent);
/* The buckets, for whoever exports them: how many took no longer than *ret_most, and not as long as bucket
 * i - 1. False beyond the last one. */
TUG_EXPORT bool tug_pool_bucket(const tug_pool *p, int which, size_t i, tug_duration *ret_most,
                                uint64_t *ret_count);

#ifdef __cplusplus
}
#endif
#endif
