/* What:      a histogram of times whose buckets grow by an eighth. Ownership: embedded, zeroed is empty.
 * Context:   any. Callbacks: none. Errors: none. */
#ifndef TUG_POOL_HISTOGRAM_H
#define TUG_POOL_HISTOGRAM_H

#include <tug/base.h>

enum {
    HISTOGRAM_FIRST = 10,   /* bit: what is below 1,024 ns is one bucket, since it is noise */
    HISTOGRAM_STEPS = 3,    /* bits: 8 buckets for each doubling, so 12.5 % of error */
    HISTOGRAM_DOUBLES = 34, /* up to 2^44 ns, 4.9 hours; beyond is one bucket */
    HISTOGRAM_N = (HISTOGRAM_DOUBLES << HISTOGRAM_STEPS) + 2
};

struct histogram {
    uint64_t count;
    tug_duration sum, most;
    uint64_t buckets[HISTOGRAM_N];
};

static inline size_t histogram_index(tug_duration d)
{
    if (d < 1 << HISTOGRAM_FIRST) {
        return 0;
    }
    int top = 63 - __builtin_clzll((uint64_t)d);
    if (top >= HISTOGRAM_FIRST + HISTOGRAM_DOUBLES) {
        return HISTOGRAM_N - 1;
    }
    size_t step = (uint64_t)d >> (top - HISTOGRAM_STEPS) & ((1u << HISTOGRAM_STEPS) - 1);
    return 1 + ((size_t)(top - HISTOGRAM_FIRST) << HISTOGRAM_STEPS) + step;
}

static inline void histogram_add(struct histogram *h, tug_duration d)
{
    h->count++;
    h->sum += d;
    if (d > h->most) {
        h->most = d;
    }
    h->buckets[histogram_index(d)]++;
}

/* The longest time that falls into bucket i. */
tug_duration tug__histogram_top(size_t i);
tug_duration tug__histogram_percentile(const struct histogram *h, double percent);

#endif
