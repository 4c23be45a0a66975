/* What:      what an attempt gets where nobody said anything: TLS that is verified, keepalive.
 * Ownership: strings are static or the conninfo's. Callbacks: none. Errors: none.
 * Context:   any; tug__pg_defaults_files looks at files: not on the loop's thread. */
#ifndef TUG_PG_DEFAULTS_H
#define TUG_PG_DEFAULTS_H

#include "conninfo.h"

/* Nobody stands between: a Unix socket, an address of the loopback (127.0.0.0/8, ::1), the names localhost and
 * *.localhost. What a name resolves to does not count: whoever answers that question could be lying. */
bool tug__pg_host_is_local(const tug__pg_host *h);
/* sslmode, gssencmode, target_session_attrs, keepalives of an attempt at that host. */
void tug__pg_defaults_apply(const tug__pg_conninfo *c, size_t host, tug__pg_attempt *a);
/* sslrootcert, where a certificate is to be verified and neither it nor ~/.postgresql/root.crt is there. */
void tug__pg_defaults_files(const tug__pg_conninfo *c, tug__pg_attempt *a);

#endif
