/* What:      the copy of a call's arguments that outlives _start.
 * Ownership: the copy owns its text, bytes and arrays.
 * Context:   any. Callbacks: none.
 * Errors:    by tug_fail: TUG_EINVAL, TUG_ELIMIT, TUG_ENOMEM. */
#ifndef TUG_PG_ARGS_H
#define TUG_PG_ARGS_H

#include <tug/value.h>

/* The protocol counts parameters in 16 bits. */
#define TUG__PG_PARAMS_MAX 65535

/* Calls up to this size need no allocation for their arguments: nearly all do. */
#define TUG__PG_ARGS_INLINE 8
#define TUG__PG_ARGS_INLINE_BYTES 256

/* Embed it in the request. Not to be moved or copied by assignment: values may point into bytes.
 * About 470 bytes, of which only what is used is ever touched: allocate it without zeroing. */
typedef struct tug__pg_args {
    tug_args args; /* the deep copy: behind each text and each bytes stands a 0, not in arrays */
    void *heap;    /* NULL when everything fits in */
    tug_value values[TUG__PG_ARGS_INLINE];
    char bytes[TUG__PG_ARGS_INLINE_BYTES];
} tug__pg_args;

/* Copies values, text and bytes. *to needs no initialisation; on failure there is nothing to free (but
 * freeing is fine). TUG_ELIMIT: more than TUG__PG_PARAMS_MAX arguments or a value over
 * TUG__PG_VALUE_MAX; TUG_EINVAL: NULL values with n > 0, or a value of no known type; TUG_ENOMEM. */
int tug__pg_args_copy(tug__pg_args *to, tug_args from);
/* Safe twice, and after a failed copy. */
void tug__pg_args_free(tug__pg_args *a);

#endif
