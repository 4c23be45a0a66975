/* What:      from a target to a logged-in PGconn: service files read and names looked up off the loop, one
 *            libpq attempt for each address, each with its share of the time. login.c: one attempt; route.c:
 *            which servers, in which order.
 * Ownership: a target is reference counted (atomically: a login that hangs on a thread keeps it).
 *            The PGconn is the caller's.
 * Context:   login: task only. The rest: any thread.
 * Callbacks: none.
 * Errors:    TUG_ECONNECT, TUG_EAUTH, TUG_ESERVER with a line that names the target,
 * TUG_ECANCELED. */
#ifndef TUG_PG_LOGIN_H
#define TUG_PG_LOGIN_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "conninfo.h"

typedef struct tug__pg_target {
    atomic_size_t references;
    tug__pg_conninfo info;
} tug__pg_target;

/* TUG_EINVAL with what is wrong in the URL, TUG_ENOMEM. */
int tug__pg_target_new(const char *url, tug__pg_target **ret_target);
/* NULL is fine. */
void tug__pg_target_unref(tug__pg_target *t);

/* The connection is non-blocking and in pipeline mode. time: for all addresses and the look-ups; a
 * connect_timeout of the service's shortens it. */
TUG_SUSPENDS int tug__pg_login(tug__pg_target *target, tug_duration time, PGconn **ret_pq);

/* One attempt. host: of the target's list; address: numeric, or NULL for the kinds that need none; where: for
 * messages. ret_server is written if the target asks for a role. */
TUG_SUSPENDS int tug__pg_login_attempt(tug__pg_target *target, size_t host, const char *address,
                                       const char *where, PGconn **ret_pq,
                                       tug__pg_server *ret_server);
/* PQfinish on the loop's stack; NULL is fine. */
TUG_SUSPENDS void tug__pg_login_undo(PGconn *pq);
/* The service's file is read on a thread: a target that attempts can be made of. */
TUG_SUSPENDS int tug__pg_target_resolve(tug__pg_target *t, tug__pg_target **ret_resolved);

/* Text as it is read here. Not by "options" in the startup packet: PgBouncer before 1.20 refuses the login then. */
#define TUG__PG_STYLES                                                                             \
    "pg_catalog.set_config('datestyle', 'ISO', false), "                                           \
    "pg_catalog.set_config('intervalstyle', 'postgres', false)"
#define TUG__PG_STYLES_SQL "select " TUG__PG_STYLES

#endif
