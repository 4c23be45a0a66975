#include "util/random.h"

#include <sys/random.h>
#include <time.h>
#include <tug/sys/driver.h>

/* splitmix64: one word of state, passes BigCrush, good enough for jitter and for nothing secret. */
static _Thread_local uint64_t state;
static _Thread_local bool is_seeded;

void tug__random_seed(uint64_t seed)
{
    state = seed;
    is_seeded = true;
}

/* A fleet that starts in the same second must not share its jitter: the kernel's randomness, and
 * only where that is not ready (early boot) the clock. */
static void seed_by_kernel(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32 ^ (uint64_t)(uintptr_t)&state;
    }
    tug__random_seed(seed);
}

uint64_t tug_random(void)
{
    if (!is_seeded) {
        seed_by_kernel();
    }
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

tug_duration tug_backoff(unsigned attempt, tug_duration first, tug_duration most)
{
    if (first <= 0) {
        return 0;
    }
    if (most < first) {
        most = first;
    }
    /* The ceiling starts at twice the first, so that its upper half never falls below the first. */
    tug_duration ceiling = first;
    for (unsigned i = 0; i <= attempt && ceiling < most; i++) {
        ceiling = ceiling > most / 2 ? most : ceiling * 2;
    }
    tug_duration low = ceiling / 2 > first ? ceiling / 2 : first;
    return low + (tug_duration)(tug_random() % ((uint64_t)(ceiling - low) + 1));
}
