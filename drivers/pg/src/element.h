/* What:      the elements of a tug_array, one by one, as values; and every value's text that is short.
 * Ownership: an element's text and bytes are borrowed from the array.
 * Context:   any. Callbacks: none. Errors: none; tug__pg_check_array has looked at the array before. */
#ifndef TUG_PG_ELEMENT_H
#define TUG_PG_ELEMENT_H

#include <tug/value.h>

/* Bytes of an element of this type; 0: no type of an element, or one of several sizes. */
size_t tug__pg_element_size(int type);
/* Could elements have text or bytes? */
static inline bool tug__pg_element_has_bytes(const struct tug_array *a)
{
    return a->type == TUG_VALUE_TEXT || a->type == TUG_VALUE_BYTES || a->type == TUG_VALUE_ANY;
}
/* NULL if its flag is set, whatever lies there. */
tug_value tug__pg_element(const struct tug_array *a, size_t i);

/* Room for the text of anything but text, bytes and arrays. */
#define TUG__PG_SHORT_TEXT 80
/* As the server reads it: 42, t, 12.50, 2026-11-20. Returns the length; ends with 0. */
size_t tug__pg_short_text(const tug_value *v, char *to);

#endif
