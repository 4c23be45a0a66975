/* What:      TUG_DEBUG=1: what is nearly always a bug of the caller aborts with a sentence.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: aborts. */
#ifndef TUG_UTIL_DEBUG_H
#define TUG_UTIL_DEBUG_H

#include <tug/base.h>

bool tug__debug_is_on(void);
/* Aborts with "tug: text" when debugging is on. */
void tug__debug_violation(const char *format, ...) TUG_PRINTF(1, 2);
/* Aborts always, with "tug: text": what cannot be gone on from. */
void tug__abort(const char *format, ...) TUG_PRINTF(1, 2) __attribute__((noreturn));

#endif
