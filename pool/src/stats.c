/* What a pool knows about itself: counters and times. */
#include <string.h>

#include "internal.h"

/* --- histograms ---------------------------------------------------------------------------------- */

tug_duration tug__histogram_top(size_t i)
{
    if (i == 0) {
        return (1 << HISTOGRAM_FIRST) - 1;
    }
    if (i >= HISTOGRAM_N - 1) {
        return TUG_FOREVER;
    }
    size_t doubles = (i - 1) >> HISTOGRAM_STEPS, step = (i - 1) & ((1u << HISTOGRAM_STEPS) - 1);
    uint64_t width = UINT64_C(1) << (HISTOGRAM_FIRST - HISTOGRAM_STEPS + doubles);
    return (tug_duration)(width * ((1u << HISTOGRAM_STEPS) + step + 1) - 1);
}

tug_duration tug__histogram_percentile(const struct histogram *h, double percent)
{
    if (h->count == 0) {
        return 0;
    }
    double share = percent > 100 ? 1 : percent > 0 ? percent / 100 : 0; /* also for NaN */
    uint64_t wanted = (uint64_t)(share * (double)h->count);
    if ((double)wanted < share * (double)h->count || wanted == 0) {
        wanted++;
    }
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_N; i++) {
        seen += h->buckets[i];
        if (seen >= wanted) {
            tug_duration top = tug__histogram_top(i);
            return top < h->most ? top : h->most;
        }
    }
    return h->most;
}

/* --- counters ------------------------------------------------------------------------------------ */

void tug_pool_get_stats(const tug_pool *p, tug_pool_stats *ret_stats)
{
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    s.size = ret_stats->size < sizeof s ? ret_stats->size : sizeof s;
    s.idle = p->n[SLOT_IDLE];
    s.busy = p->n[SLOT_BUSY] + p->n[SLOT_LOST];
    s.preparing = p->n[SLOT_CHECKING] + p->n[SLOT_RESETTING];
    s.open = s.idle + s.busy + s.preparing;
    s.opening = p->n[SLOT_OPENING];
    s.closing = p->n[SLOT_CLOSING];
    s.waiting = p->n_waiting;
    s.opened = p->opened;
    s.failed = p->failed;
    s.discarded = p->discarded;
    s.acquired = p->acquired;
    s.retired_idle = p->retired[RETIRED_IDLE];
    s.retired_lifetime = p->retired[RETIRED_LIFETIME];
    s.retired_uses = p->retired[RETIRED_USES];
    s.retired_surplus = p->retired[RETIRED_SURPLUS];
    s.given_up = p->given_up;
    s.refused = p->refused;
    s.leaked = p->leaked;
    s.min = p->o.min;
    s.max = p->o.max;
    memcpy(ret_stats, &s, s.size);
}

const tug_error *tug_pool_open_error(const tug_pool *p)
{
    return &p->open_error;
}

/* --- times --------------------------------------------------------------------------------------- */

static const struct histogram *times_of(const tug_pool *p, int which)
{
    static const struct histogram empty;
    return which >= 0 && which < POOL_TIMES ? &p->times[which] : &empty;
}

void tug_pool_get_latency(const tug_pool *p, int which, tug_pool_latency *ret_latency)
{
    const struct histogram *h = times_of(p, which);
    tug_pool_latency l = {
        .size = ret_latency->size < sizeof l ? ret_latency->size : sizeof l,
        .count = h->count,
        .sum = h->sum,
        .most = h->most,
        .p50 = tug__histogram_percentile(h, 50),
        .p90 = tug__histogram_percentile(h, 90),
        .p99 = tug__histogram_percentile(h, 99),
        .p999 = tug__histogram_percentile(h, 99.9),
    };
    memcpy(ret_latency, &l, l.size);
}

tug_duration tug_pool_percentile(const tug_pool *p, int which, double percent)
{
    return tug__histogram_percentile(times_of(p, which), percent);
}

bool tug_pool_bucket(const tug_pool *p, int which, size_t i, tug_duration *ret_most,
                     uint64_t *ret_count)
{
    if (i >= HISTOGRAM_N) {
        return false;
    }
    *ret_most = tug__histogram_top(i);
    *ret_count = times_of(p, which)->buckets[i];
    return true;
}
