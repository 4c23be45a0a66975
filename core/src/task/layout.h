/* What:      where things lie in tug's structs, as a table that debuggers read: so that scripts/gdb/tug-gdb.py
 *            needs no debug information and cannot be out of date.
 * Ownership: constant. Context: any. Callbacks: none. Errors: none. */
#ifndef TUG_TASK_LAYOUT_H
#define TUG_TASK_LAYOUT_H

#include <stdint.h>

struct tug__layout {
    char name[28]; /* "" ends the table */
    uint32_t value;
};

extern const struct tug__layout tug__layout[];

#endif
