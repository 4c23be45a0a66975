/* What:      bytes that a connection has and no event tells of. OpenSSL may hold decrypted ones while
 *            the socket is silent, and libpq has no call that says so.
 * Ownership: none. Context: the loop stack. Callbacks: none. Errors: none. */
#ifndef TUG_PG_HIDDEN_H
#define TUG_PG_HIDDEN_H

#include <libpq-fe.h>

int tug__pg_hidden_bytes(PGconn *pq);

#endif
