/* What:      intervals as text in the server's usual style (IntervalStyle = postgres), and back.
 * Ownership: the caller's arrays. Context: any. Callbacks: none.
 * Errors:    parse answers false: another style, or more than the fields hold. */
#ifndef TUG_PG_INTERVAL_H
#define TUG_PG_INTERVAL_H

#include <stdbool.h>
#include <tug/types.h>

/* Room for the longest: "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808". */
#define TUG__PG_INTERVAL_TEXT 80

/* Returns the length. */
size_t tug__pg_interval_text(const struct tug_interval *x, char *to);
bool tug__pg_interval_parse(const char *text, size_t size, struct tug_interval *ret_x);

#endif
