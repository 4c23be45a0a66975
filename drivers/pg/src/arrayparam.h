/* What:      arrays on their way to the server: in binary if all their elements have a binary form, else as
 *            text.
 * Ownership: the encoded array lies in the buffer it was appended to.
 * Context:   any. Callbacks: none.
 * Errors:    by tug_fail: as for a parameter, each naming the element ("parameter 2[7]"); TUG_ELIMIT,
 *            TUG_ENOMEM. */
#ifndef TUG_PG_ARRAYPARAM_H
#define TUG_PG_ARRAYPARAM_H

#include <stddef.h>

struct tug__pg_param;

/* Bytes that grow. Zeroed is empty. */
typedef struct tug__pg_grow {
    char *data;
    size_t size, capacity;
} tug__pg_grow;

void tug__pg_grow_free(tug__pg_grow *g);

/* Appends the array that is p's value and a 0, and sets p's length and format. Not its data: the buffer may
 * move with the next one. */
int tug__pg_array_encode(struct tug__pg_param *p, tug__pg_grow *out);

#endif
