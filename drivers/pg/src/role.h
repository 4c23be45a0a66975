/* What:      which servers will do (target_session_attrs), and what a logged-in server says that it is.
 * Ownership: none. Context: see each. Callbacks: none.
 * Errors:    TUG_ECONNECT and what waiting for the answer fails with. */
#ifndef TUG_PG_ROLE_H
#define TUG_PG_ROLE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <tug/base.h>

typedef enum tug__pg_role {
    TUG__PG_ANY,
    TUG__PG_READ_WRITE, /* takes writes by default */
    TUG__PG_READ_ONLY,
    TUG__PG_PRIMARY,
    TUG__PG_STANDBY,
    TUG__PG_PREFER_STANDBY, /* any, if there is no standby */
    TUG__PG_ROLES
} tug__pg_role;

/* "read-write"; false: no such word. */
bool tug__pg_role_parse(const char *word, tug__pg_role *ret_role);
const char *tug__pg_role_name(tug__pg_role role);

typedef struct tug__pg_server {
    bool standby;   /* in recovery */
    bool read_only; /* transactions are read-only by default, or it is a standby */
} tug__pg_server;

/* What the server has reported by itself, which it does from version 14 on, and again whenever it
 * changes. False: it reports nothing. Any context. */
bool tug__pg_server_reported(const PGconn *pq, tug__pg_server *ret_server);
/* The same by a query where it reports nothing. The connection is idle and not in pipeline mode. */
TUG_SUSPENDS int tug__pg_server_ask(PGconn *pq, tug__pg_server *ret_server);
/* TUG__PG_PREFER_STANDBY: false for a primary, which will do if nothing better is found. */
bool tug__pg_role_fits(tug__pg_role role, const tug__pg_server *server);
/* False: it has reported since the login that it is another one now. A primary that was good enough for
 * prefer-standby stays so. Any context. */
bool tug__pg_role_still_fits(tug__pg_role role, const PGconn *pq);

#endif
