/* What:      the one door to the heap for tug's own code: counted, so that tests see a leak.
 * Ownership: as malloc. Context: any thread. Callbacks: none. Errors: NULL when out of memory. */
#ifndef TUG_SYS_ALLOC_H
#define TUG_SYS_ALLOC_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

TUG_EXPORT void *tug_alloc(size_t size);            /* size 0 counts as 1 */
TUG_EXPORT void *tug_calloc(size_t n, size_t size); /* zeroed; NULL on overflow */
TUG_EXPORT void *tug_realloc(void *p, size_t size); /* on failure p is unchanged */
TUG_EXPORT void tug_free(void *p);                  /* NULL is fine */
TUG_EXPORT char *tug_strdup(const char *text);
TUG_EXPORT char *tug_strndup(const char *text, size_t size);
/* printf into memory of its own; NULL when out of memory. */
TUG_EXPORT char *tug_format(const char *format, ...) TUG_PRINTF(1, 2);
/* Overwrites size bytes so that the compiler cannot leave it out: secrets. */
TUG_EXPORT void tug_wipe(void *p, size_t size);

#ifdef __cplusplus
}
#endif
#endif
