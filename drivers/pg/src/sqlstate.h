/* What:      what SQLSTATE codes mean for the driver itself; the list is public: <tug/pg_sqlstate.h>.
 * Ownership: nothing is kept. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_PG_SQLSTATE_PRIVATE_H
#define TUG_PG_SQLSTATE_PRIVATE_H

#include <stdbool.h>

/* The number of "23505"; 0: not five digits and capitals. */
int tug__pg_sqlstate_number(const char *code);
/* The same again, later, may well succeed, and nothing of it has happened. */
bool tug__pg_sqlstate_is_transient(const char *code);

#endif
