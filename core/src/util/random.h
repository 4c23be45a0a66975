/* What:      the seed behind tug_random, for tests that need the same numbers twice.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_UTIL_RANDOM_H
#define TUG_UTIL_RANDOM_H

#include <stdint.h>

/* Restarts the calling thread's sequence. */
void tug__random_seed(uint64_t seed);

#endif
