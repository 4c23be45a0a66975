/* What:      one value of a result into one place, in two steps: read checks and converts, write stores. So
 *            a row can be read as a whole before the first place is touched.
 * Ownership: what read has allocated (TUG_DUP, tug_buffer) is handed over by write or released by drop.
 * Context:   any thread, one at a time for a result. libpq: PQresultAlloc and PQfname only.
 * Callbacks: none.
 * Errors:    by tug_fail: TUG_ETYPE, TUG_ERANGE, TUG_ELIMIT, TUG_EMISUSE, TUG_ENOMEM, TUG_EPROTO. */
#ifndef TUG_PG_DECODE_H
#define TUG_PG_DECODE_H

#include "cell.h"

/* What a place will get. */
typedef struct tug__pg_held {
    bool is_null;
    union {
        int64_t i;
        uint64_t u;
        double d;
        bool b;
        struct tug_bytes bytes; /* borrowed text too */
        char *dup;
        tug_buffer *buffer;
        tug__pg_cell cell; /* TUG_COPY: converted when it is written */
        tug_value value;   /* a struct of <tug/types.h> */
    } u;
} tug__pg_held;

int tug__pg_cell_read(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *ret_held);
/* The place for NULL. */
int tug__pg_null_read(const tug__pg_cell *cell, const tug_slot *slot, tug__pg_held *ret_held);
/* Has the place a size that its type can have? It is what write stores by. */
bool tug__pg_slot_is_sound(const tug_slot *slot);
/* Cannot fail after a read that did not. */
void tug__pg_held_write(const tug__pg_held *held, const tug_slot *slot);
void tug__pg_held_drop(const tug__pg_held *held, const tug_slot *slot);

#endif
