/* What:      a switch for tests of processes.
 * Ownership: none. Context: any. Callbacks: none. Errors: none. */
#ifndef TUG_KIT_PROCESS_H
#define TUG_KIT_PROCESS_H

#include <stdbool.h>

/* As on a kernel before 5.3, or where a sandbox refuses the call. */
extern bool tug__process_without_pidfd;

#endif
