/* What:      a call on an offload thread and the detail it leaves there.
 * Ownership: none. Context: an offload thread. Callbacks: fn. Errors: as fn returned. */
#ifndef TUG_KIT_OFFLOAD_RUN_H
#define TUG_KIT_OFFLOAD_RUN_H

#include <tug/error.h>

/* Calls fn(arg) and returns its code; the detail goes to *ret_error in every case. */
int tug__offload_run(int (*fn)(void *arg), void *arg, tug_error *ret_error);

#endif
