/* What:      keeps all fields of the latest failures, for those who ask. A tug_error has no room for them;
 *            what it has room for is a number, in the part of native that a SQLSTATE leaves free.
 *            So each copy of the detail leads to them, however often it was handed on.
 * Ownership: of the thread, from the first enter to the last leave.
 * Context:   the loop's thread; without an enter nothing is kept.
 * Callbacks: none. Errors: none: without memory the fields are not kept. */
#ifndef TUG_PG_FIELDS_H
#define TUG_PG_FIELDS_H

#include <libpq-fe.h>
#include <tug/error.h>

/* A pool begins and ends. */
void tug__pg_fields_enter(void);
void tug__pg_fields_leave(void);
/* e has its SQLSTATE already. */
void tug__pg_fields_keep(tug_error *e, const PGresult *res);

#endif
