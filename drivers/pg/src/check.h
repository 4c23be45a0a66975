/* What:      is a tug_value one that PostgreSQL can take at all; for parameters and COPY rows alike.
 * Ownership: none. Context: any. Callbacks: none.
 * Errors:    0, or by tug_fail. what is "parameter" or "column", where the number that the user counts. */
#ifndef TUG_PG_CHECK_H
#define TUG_PG_CHECK_H

#include <tug/value.h>

/* The longest value: the server's own limit for one datum (MaxAllocSize). */
#define TUG__PG_VALUE_MAX ((size_t)0x3fffffff)

static inline bool tug__pg_has_bytes(const tug_value *v)
{
    return v->type == TUG_VALUE_TEXT || v->type == TUG_VALUE_BYTES;
}
/* Its type is known, its bytes are there and not too many, and it is a value of its type: TUG_EINVAL,
 * TUG_ELIMIT, TUG_ERANGE. Of an array only that it is there. */
int tug__pg_check_value(const tug_value *v, const char *what, size_t where);
/* Its form: types, sizes, dimensions. TUG_EINVAL, TUG_ELIMIT. */
int tug__pg_check_array(const struct tug_array *a, const char *what, size_t where);
/* What check_value says of a value, of an element: "parameter 2[7]". */
int tug__pg_check_element(const tug_value *v, const char *what, size_t where, size_t element);
/* UTF-8 without zero bytes: TUG_EINVAL. The server would refuse the rest too, but only after a round trip,
 * and in a COPY together with all rows before. */
int tug__pg_check_text(const tug_value *v, const char *what, size_t where);
int tug__pg_check_element_text(const tug_value *v, const char *what, size_t where, size_t element);
/* Not before PostgreSQL's time: TUG_ERANGE. */
int tug__pg_check_time(int64_t us, const char *what, size_t where);

#endif
