#include "defaults.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <string.h>
#include <strings.h>

#include "files.h"

/* A peer that has gone without a word is noticed after 30 + 3 * 10 s while nothing is under way; the system's own
 * first probe comes after two hours.
 *
 * tcp_user_timeout stays the system's (some 15 minutes): the kernel applies it to a closed window as well,
 * so that a server whose COPY waits for a lock would be cut off; and where it is set, it replaces the
 * count of the probes. */
#define KEEPALIVES_IDLE "30"
#define KEEPALIVES_INTERVAL "10"
#define KEEPALIVES_COUNT "3"

/* sslrootcert=system is a word of libpq 16. */
#define LIBPQ_SYSTEM 160000

static bool address_is_local(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool name_is_local(const char *name)
{
    size_t n = strlen(name);
    n -= n > 0 && name[n - 1] == '.';
    return (n == 9 && strncasecmp(name, "localhost", 9) == 0) ||
           (n > 10 && strncasecmp(name + n - 10, ".localhost", 10) == 0);
}

bool tug__pg_host_is_local(const tug__pg_host *h)
{
    switch (h->kind) {
    case TUG__PG_HOST_ADDRESS:
        return address_is_local(h->address);
    case TUG__PG_HOST_NAME:
        return name_is_local(h->host);
    default:
        return true;
    }
}

/* Room for all that is set here is part of the attempt. */
static void attempt_set(tug__pg_attempt *a, const char *keyword, const char *value)
{
    size_t i = 0;
    while (a->keywords[i] != NULL && strcmp(a->keywords[i], keyword) != 0) {
        i++;
    }
    if (a->keywords[i] == NULL) {
        a->keywords[i + 1] = NULL;
        a->values[i + 1] = NULL;
    }
    a->keywords[i] = keyword;
    a->values[i] = value;
}

static const char *attempt_get(const tug__pg_attempt *a, const char *keyword)
{
    for (size_t i = 0; a->keywords[i] != NULL; i++) {
        if (strcmp(a->keywords[i], keyword) == 0) {
            return a->values[i];
        }
    }
    return NULL;
}

void tug__pg_defaults_apply(const tug__pg_conninfo *c, size_t host, tug__pg_attempt *a)
{
    const tug__pg_host *h = &c->hosts[host];
    /* libpq would look into Kerberos caches first for every login, and bytes that it has decrypted would
     * hide from the poll without any way to ask for them. */
    attempt_set(a, "gssencmode", "disable");
    /* The session is looked at after the login: role.c. The environment must not say otherwise. */
    attempt_set(a, "target_session_attrs", "any");
    bool system = c->sslrootcert != NULL && strcmp(c->sslrootcert, "system") == 0;
    if (c->sslmode == NULL && (system || !tug__pg_host_is_local(h))) {
        attempt_set(a, "sslmode", "verify-full");
    }
    if (h->host == NULL && h->address != NULL) {
        /* What verify-full compares the certificate with. */
        attempt_set(a, "host", h->address);
    }
    if (attempt_get(a, "keepalives_idle") == NULL && attempt_get(a, "keepalives") == NULL) {
        attempt_set(a, "keepalives_idle", KEEPALIVES_IDLE);
        if (attempt_get(a, "keepalives_interval") == NULL) {
            attempt_set(a, "keepalives_interval", KEEPALIVES_INTERVAL);
        }
        if (attempt_get(a, "keepalives_count") == NULL) {
            attempt_set(a, "keepalives_count", KEEPALIVES_COUNT);
        }
    }
}

void tug__pg_defaults_files(const tug__pg_conninfo *c, tug__pg_attempt *a)
{
    char own[TUG__PG_PATH_MAX];
    const char *mode = c->sslmode != NULL ? c->sslmode : attempt_get(a, "sslmode");
    bool full = mode != NULL && strcmp(mode, "verify-full") == 0;
    if (!full && (mode == NULL || strcmp(mode, "verify-ca") != 0)) {
        return;
    }
    bool system = c->sslrootcert != NULL && strcmp(c->sslrootcert, "system") == 0;
    if (c->sslrootcert != NULL && !system) {
        return;
    }
    tug__pg_home_file(".postgresql/root.crt", own);
    if (!system && tug__pg_file_exists(own)) {
        return;
    }
    const char *bundle = tug__pg_system_authorities();
    if (full && PQlibVersion() >= LIBPQ_SYSTEM) {
        attempt_set(a, "sslrootcert", "system");
    } else if (bundle != NULL) {
        attempt_set(a, "sslrootcert", bundle);
    }
}
