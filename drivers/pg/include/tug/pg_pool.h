/* What:      the pool of leased connections behind a tug_pg_open: its figures, other bounds at run time, the
 *            drain.
 * Ownership: the caller's structs are filled in.
 * Context:   any context of the loop; tug_pg_pool_drain: task only.
 * Callbacks: none.
 * Errors:    TUG_EMISUSE on a session or transaction, or in another thread; TUG_ECLOSED after close. */
#ifndef TUG_PG_POOL_H
#define TUG_PG_POOL_H

#include <tug/pg.h>
#include <tug/pool_stats.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Those of leased connections: the ones that all tasks share are tug_pg_options.shared in number, and are not
 * counted. Fills what size covers. */
TUG_EXPORT int tug_pg_pool_stats(const tug_pg *pool, tug_pool_stats *ret_stats);
/* which: TUG_POOL_WAIT, TUG_POOL_CONNECT, TUG_POOL_BUSY. */
TUG_EXPORT int tug_pg_pool_latency(const tug_pg *pool, int which, tug_pool_latency *ret_latency);
/* As tug_pool_bucket: for whoever exports histograms. False beyond the last bucket, and on what is no pool. */
TUG_EXPORT bool tug_pg_pool_bucket(const tug_pg *pool, int which, size_t i, tug_duration *ret_most,
                                   uint64_t *ret_count);
/* Other pool_min and pool_max from now on: surplus connections go at once, those in use when they come
 * back. TUG_EINVAL. */
TUG_EXPORT int tug_pg_pool_resize(tug_pg *pool, size_t min, size_t max);
/* Replaces leased connections, those in use when they come back: after a failover, after a role got other
 * rights. Shared ones stay as long as the server keeps them. */
TUG_EXPORT int tug_pg_pool_expire(tug_pg *pool);
/* Lends no more (TUG_ECLOSED), and waits until those that wait were served and all sessions and
 * transactions are closed. TUG_ECANCELED: some are still out. tug_pg_close is due in any case. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_pool_drain(tug_pg *pool) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
