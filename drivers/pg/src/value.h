/* What:      values on their way to the server: the copy of a call's arguments that outlives _start, and their
 *            encoding as parameters of a prepared statement once the parameter types are known.
 * Ownership: the copy owns its text and bytes. Encoded parameters borrow them: the args stay alive and
 *            unmoved until PQsendQueryPrepared has returned (it copies everything).
 * Context:   any; no I/O, no libpq call.
 * Callbacks: none.
 * Errors:    by tug_fail: TUG_ETYPE, TUG_ERANGE, TUG_EINVAL (text that is not UTF-8), TUG_ELIMIT,
 *            TUG_ENOMEM, TUG_EMISUSE (wrong number of arguments). Nothing was sent. On the loop stack the
 *            detail is in tug_last_error() as usual: copy it into the future that fails. */
#ifndef TUG_PG_VALUE_H
#define TUG_PG_VALUE_H

#include <libpq-fe.h>
#include <tug/value.h>

/* The protocol counts parameters in 16 bits. */
#define TUG__PG_PARAMS_MAX 65535

/* --- the copy that outlives _start ----------------------------------------------------------------- */

/* Calls up to this size need no allocation for their arguments: nearly all do. */
#define TUG__PG_ARGS_INLINE 8
#define TUG__PG_ARGS_INLINE_BYTES 256

/* Embed it in the request. Not to be moved or copied by assignment: values may point into bytes.
 * About 470 bytes, of which only what is used is ever touched: allocate it without zeroing. */
typedef struct tug__pg_args {
    tug_args args; /* the deep copy: behind each text and each bytes stands a 0 */
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

/* --- parameters of a prepared statement ------------------------------------------------------------ */

/* The arrays for PQsendQueryPrepared. One a connection, used again for each statement, so that it
 * allocates only while it grows. Zeroed is empty. */
typedef struct tug__pg_params {
    int n;
    const char **values; /* NULL: SQL NULL. Borrowed from the args, or in scratch */
    int *lengths;
    int *formats; /* 0 text, 1 binary: for each parameter on its own */
    /* private: one block that holds the three arrays and scratch */
    void *block;
    char *scratch;
    int capacity;
} tug__pg_params;

/* Encodes all arguments for parameters of these types (from Describe). What is in *out before is
 * overwritten; it is valid as long as a and until the next encode. Takes the copy, not a caller's
 * tug_args: libpq wants a 0 behind a parameter in text form. A wrong number is TUG_EMISUSE: "the
 * statement has 2 parameters, 3 arguments were given".
 *
 * What goes into what: an integer into int2, int4, int8, oid, numeric, float4 and float8 if the value
 * fits exactly, 0 and 1 into bool; a double into float8, float4 (rounded; overflow is TUG_ERANGE) and
 * numeric; bool into bool; a timestamp into timestamptz, timestamp (as UTC) and date (its UTC day);
 * bytes into bytea and, if they are UTF-8, the text family and json; text into everything, the server parses
 * it; NULL into everything. For types not known by heart (enums, intervals, arrays, domains) any value
 * but bytes goes as text and the server decides. Everything else is TUG_ETYPE. */
int tug__pg_args_encode(const tug__pg_args *a, const Oid *types, size_t n, tug__pg_params *out);
void tug__pg_params_free(tug__pg_params *p);

#endif
