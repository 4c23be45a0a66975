/* What:      the one type a password lives in: it cannot be printed by accident, and is wiped when it goes.
 * Ownership: yours: free. The bytes are borrowed and end with a 0 that their size does not count.
 * Context:   any thread. Callbacks: none.
 * Errors:    NULL when out of memory. */
#ifndef TUG_DRIVERS_SECRET_H
#define TUG_DRIVERS_SECRET_H

#include <tug/base.h>

typedef struct tug__secret tug__secret;

/* Copies size bytes. */
tug__secret *tug__secret_new(const char *text, size_t size);
/* For the line that sends it to the server, and for nothing else: never into a log, an error, a name. */
struct tug_bytes tug__secret_reveal(const tug__secret *s);
/* Wipes, then frees. NULL is fine. */
void tug__secret_free(tug__secret *s);

#endif
