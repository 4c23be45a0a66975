/* What:      one parameter, or one element of an array that is one, while it is encoded.
 * Ownership: data is borrowed from the value or lies in scratch.
 * Context:   any. Callbacks: none.
 * Errors:    by tug_fail, each naming the parameter: TUG_ETYPE, TUG_ERANGE, TUG_EINVAL. */
#ifndef TUG_PG_PARAM_H
#define TUG_PG_PARAM_H

#include "element.h"

#include <libpq-fe.h>

/* Room for the encoded form of anything that is not borrowed. */
#define TUG__PG_PARAM_SCRATCH TUG__PG_SHORT_TEXT

typedef struct tug__pg_param tug__pg_param;

struct tug__pg_param {
    const tug_value *value;
    Oid type;       /* of the parameter; in an array that is known, of its elements */
    size_t number;  /* as in $1 */
    size_t element; /* plus 1; 0: not in an array */
    char *scratch;
    const char *data; /* NULL: SQL NULL */
    int length;
    int format; /* 0 text, 1 binary */
};

/* Anything but arrays, which are a value's own matter: TUG_ETYPE. */
int tug__pg_param_encode(tug__pg_param *p);

#endif
