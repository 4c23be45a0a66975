/* What:      the counters behind <tug/sys/alloc.h>, for leak checks.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_UTIL_ALLOC_H
#define TUG_UTIL_ALLOC_H

#include <tug/sys/alloc.h>

/* Blocks handed out by tug_alloc and not yet freed, over all threads. */
size_t tug__alloc_live(void);

#if defined(TUG_TORTURE)
/* Set by tests: true makes this allocation fail. */
extern bool (*tug__alloc_fails)(void);
#endif

#endif
