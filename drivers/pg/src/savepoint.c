/* Savepoints: transactions inside of a transaction. They are handles like any other (transaction.c);
 * here is only what goes to the server in another way. */
#include <stdio.h>

#include "handle.h"

void tug__pg_savepoint_sql(char *to, size_t size, const char *verb, unsigned number)
{
    /* No quoting: letters, digits and '_'. A name is not used twice on a connection, or a ROLLBACK TO
     * that comes late would find another one of its name. */
    snprintf(to, size, "%s tug_%u", verb, number);
}

/* One that fails is not silent for the program: then the transaction has failed or is gone with its
 * connection, and its next statement says so. */
void tug__pg_savepoint_undo(tug__pg_holding *h, unsigned number)
{
    char back[TUG__PG_SAVEPOINT_SQL], release[TUG__PG_SAVEPOINT_SQL];
    tug__pg_savepoint_sql(back, sizeof back, "ROLLBACK TO SAVEPOINT", number);
    /* Or the server would keep it until the transaction ends, and a million of them in a loop. */
    tug__pg_savepoint_sql(release, sizeof release, "RELEASE SAVEPOINT", number);
    if (!tug__pg_plain_forget(h->connection, back) ||
        !tug__pg_plain_forget(h->connection, release)) {
        tug_error why;
        tug_error_set(&why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "connection to %.60s closed: out of memory for a ROLLBACK",
                      h->connection->where);
        tug__pg_connection_lose(h->connection, &why);
    }
}
