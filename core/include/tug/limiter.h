/* What:      how often something may be done: so many a second with a burst (token bucket), or at most n in any
 *            window of time (exact). First come, first served.
 * Ownership: new/ref/unref; unref with tasks waiting wakes them with TUG_ECLOSED. Permits are used up, not given
 *            back.
 * Context:   acquire: task only. The rest: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_ECANCELED: nothing was used up. TUG_EINVAL for more than could ever be had; TUG_ECLOSED,
 *            TUG_ENOMEM. */
#ifndef TUG_LIMITER_H
#define TUG_LIMITER_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TUG_LIMITER_BURST_MAX = 1 << 30, /* of new_rate */
    TUG_LIMITER_WINDOW_MAX = 1 << 20 /* of new_window: 8 bytes each */
};

typedef struct tug_limiter tug_limiter;

/* per_second permits come in a second, evenly; up to burst (1 to TUG_LIMITER_BURST_MAX) are saved up, with which
 * it starts. per_second: 1e-6 to 1e9. Else TUG_EINVAL. */
TUG_EXPORT int tug_limiter_new_rate(double per_second, size_t burst, tug_limiter **ret_limiter);
/* At most n (1 to TUG_LIMITER_WINDOW_MAX) in any stretch of time as long as the window (> 0). Else TUG_EINVAL. */
TUG_EXPORT int tug_limiter_new_window(size_t n, tug_duration window, tug_limiter **ret_limiter);
TUG_EXPORT tug_limiter *tug_limiter_ref(tug_limiter *l);
TUG_EXPORT tug_limiter *tug_limiter_unref(tug_limiter *l);
TUG_AUTO_FN(tug_limiter, tug_limiter_unref)
/* Waits for n >= 1 permits, all at once. Who wants many is not overtaken by who wants few. */
TUG_SUSPENDS TUG_EXPORT int tug_limiter_acquire(tug_limiter *l, size_t n) TUG_CHECK;
/* Takes n permits if they are there and nobody waits. */
TUG_EXPORT bool tug_limiter_try(tug_limiter *l, size_t n);
/* How long until n permits are there, as if nobody waited; 0: now; TUG_FOREVER: never. */
TUG_EXPORT tug_duration tug_limiter_time_left(const tug_limiter *l, size_t n);

#ifdef __cplusplus
}
#endif
#endif
