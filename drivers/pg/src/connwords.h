/* What:      what is wrong with a connection URL or string, in words of our own: libpq's text may quote the
 *            pieces of a password that was not escaped.
 * Ownership: none. Context: any. Callbacks: none.
 * Errors:    TUG_EINVAL, by tug_fail. What may be part of a password is never quoted. */
#ifndef TUG_PG_CONNWORDS_H
#define TUG_PG_CONNWORDS_H

#include <libpq-fe.h>
#include <stdbool.h>

/* "postgresql://" or "postgres://". */
bool tug__pg_is_url(const char *url);
/* Before parsing. known: all parameters that libpq knows, from PQconninfoParse(""). Stricter than libpq in two
 * points, both signs of a password with a / or @ in it: no plain @ in a host or in the path. */
int tug__pg_url_check(const char *url, const PQconninfoOption *known);
/* For a key=value string that libpq has refused: always fails. */
int tug__pg_pairs_refused(const char *text, const PQconninfoOption *known);

#endif
