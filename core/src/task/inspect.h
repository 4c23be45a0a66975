/* What:      tug_inspect for its other users: the dump on a signal.
 * Ownership: none. Context: the loop's thread. Callbacks: those of the sources. Errors: the writer's. */
#ifndef TUG_TASK_INSPECT_H
#define TUG_TASK_INSPECT_H

#include "task/inspect_writer.h"

void tug__inspect_write(tug_inspect_writer *w);
/* tug_inspect on stderr. */
void tug__inspect_dump(void);

#endif
