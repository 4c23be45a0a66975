#include "hidden.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

/* Looked up at run time, because libpq alone decides whether a TLS library is there. */
int tug__pg_hidden_bytes(PGconn *pq)
{
    static int (*pending)(const void *ssl);
    static bool known;
    if (!known) {
        *(void **)&pending = dlsym(RTLD_DEFAULT, "SSL_pending");
        known = true;
    }
    void *ssl = PQsslStruct(pq, "OpenSSL");
    return ssl != NULL && pending != NULL ? pending(ssl) : 0;
}
