/* What:      names and literals inside of a command's text, for the few commands that take no
 *            parameters (LISTEN, START_REPLICATION). The one place where text is quoted.
 * Ownership: none. Context: any. Callbacks: none.
 * Errors:    TUG_EINVAL, by tug_fail. */
#ifndef TUG_PG_QUOTE_H
#define TUG_PG_QUOTE_H

#include <stdbool.h>
#include <stddef.h>

/* A longer name the server would cut, silently: two that differ behind this would be one. It is
 * NAMEDATALEN - 1 of servers that are built as usual. */
#define TUG__PG_NAME_MAX 63
/* Each byte twice, both quotes, the 0. */
#define TUG__PG_QUOTED_MAX (2 * TUG__PG_NAME_MAX + 3)

/* Writes "name" with its quotes. what: for the message, "tug_pg_listen: the channel". TUG_EINVAL:
 * NULL, empty, more than TUG__PG_NAME_MAX bytes, not UTF-8. */
int tug__pg_quote_name(const char *what, const char *name, char ret_quoted[TUG__PG_QUOTED_MAX]);
/* The same checks, nothing written. */
int tug__pg_check_name(const char *what, const char *name);

/* Appends 'text' with its quotes and a 0 at *at of size bytes; false: no room. For commands whose
 * literals know no backslash (all with standard_conforming_strings, and the replication ones). */
bool tug__pg_quote_literal(char *to, size_t size, size_t *at, const char *text);

#endif
