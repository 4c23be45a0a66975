/* What:      values on their way to the server: their encoding as parameters of a prepared statement once the
 *            parameter types are known.
 * Ownership: encoded parameters borrow from the copy of the arguments: the args stay alive and
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

#include "args.h"
#include "arrayparam.h"

/* The arrays for PQsendQueryPrepared. One a connection, used again for each statement, so that it
 * allocates only while it grows. Zeroed is empty. */
typedef struct tug__pg_params {
    int n;
    const char **values; /* NULL: SQL NULL. Borrowed from the args, or in scratch or arrays */
    int *lengths;
    int *formats; /* 0 text, 1 binary: for each parameter on its own */
    /* private: one block that holds the three lists and scratch */
    void *block;
    char *scratch;
    int capacity;
    tug__pg_grow arrays;
} tug__pg_params;

/* Encodes all arguments for parameters of these types (from Describe). What is in *out before is
 * overwritten; it is valid as long as a and until the next encode. Takes the copy, not a caller's
 * tug_args: libpq wants a 0 behind a parameter in text form. A wrong number is TUG_EMISUSE: "the
 * statement has 2 parameters, 3 arguments were given".
 *
 * What goes into what: an integer into int2, int4, int8, oid, numeric, float4 and float8 if the value
 * fits exactly, 0 and 1 into bool; a double into float8, float4 (rounded; overflow is TUG_ERANGE) and
 * numeric; bool into bool; a timestamp into timestamptz, timestamp (as UTC) and date (its UTC day); a
 * decimal into numeric; the other structs of <tug/types.h> into the type of their name, an inet into
 * cidr too; an array into an array, element by element by these rules; bytes into bytea and, if they are
 * UTF-8, the text family and json; text into everything, the server parses it; NULL into everything. For
 * types not known by heart (enums, ranges, domains) any value but bytes goes as text and the server
 * decides. Everything else is TUG_ETYPE. */
int tug__pg_args_encode(const tug__pg_args *a, const Oid *types, size_t n, tug__pg_params *out);
void tug__pg_params_free(tug__pg_params *p);

#endif
