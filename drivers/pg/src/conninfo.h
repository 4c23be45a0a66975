/* What:      from a URL (postgresql://, postgres://) or a key=value string to what a connection attempt
 *            needs: hosts to try, parameters for libpq, the password by itself, a description for messages.
 * Ownership: everything belongs to the conninfo. Attempts borrow from it.
 * Context:   any; no I/O: parsing is PQconninfoParse, names are not resolved here, the environment
 *            (PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGSERVICE, PGTARGETSESSIONATTRS,
 *            PGLOADBALANCEHOSTS, PGSSLMODE, PGSSLROOTCERT) is read with getenv.
 * Callbacks: none.
 * Errors:    TUG_EINVAL in our own words (libpq's text may quote pieces of a password), TUG_ENOMEM. */
#ifndef TUG_PG_CONNINFO_H
#define TUG_PG_CONNINFO_H

#include <tug/base.h>

#include "role.h"
#include "service.h"

/* libpq 17 knows 46 parameters; each is given once at most. */
#define TUG__PG_PAIRS_MAX 96
/* A list of hosts longer than this is a mistake, or a trap for whoever waits for all to fail. */
#define TUG__PG_HOSTS_MAX 64

/* A password. Wiped when freed, never printed: reveal is called where it is handed to libpq, only. */
typedef struct tug__pg_secret {
    char *hidden;
} tug__pg_secret;
/* NULL if there is none. */
static inline const char *tug__pg_secret_reveal(const tug__pg_secret *s)
{
    return s->hidden;
}

typedef enum tug__pg_host_kind {
    TUG__PG_HOST_DEFAULT, /* none was given: libpq takes its socket directory */
    TUG__PG_HOST_UNIX,    /* a directory (/...) or an abstract name (@...) */
    TUG__PG_HOST_ADDRESS, /* hostaddr is known: nothing to resolve */
    TUG__PG_HOST_NAME     /* resolve host, then one attempt for each address */
} tug__pg_host_kind;

typedef struct tug__pg_host {
    tug__pg_host_kind kind;
    char *host;    /* as given; NULL if only an address or nothing was given */
    char *address; /* for TUG__PG_HOST_ADDRESS: numeric */
    int port;      /* 1 to 65535 */
} tug__pg_host;

typedef struct tug__pg_conninfo {
    tug__pg_host *hosts; /* at least one, in the order to try */
    size_t hosts_n;
    /* The other parameters as libpq names them; without host, hostaddr, port, password, service,
     * target_session_attrs and connect_timeout. client_encoding=UTF8 is among them always. */
    char *keywords[TUG__PG_PAIRS_MAX], *values[TUG__PG_PAIRS_MAX];
    size_t pairs_n;
    tug__pg_secret password; /* of the URL; PGPASSWORD and ~/.pgpass libpq reads itself */
    /* connect_timeout of the URL or PGCONNECT_TIMEOUT, in ns; 0: not given; TUG_FOREVER: it says 0 or less,
     * which is libpq's "wait for ever". Unlike libpq, 1 second is 1 second. */
    tug_duration connect_timeout;
    tug__pg_role role;     /* target_session_attrs */
    bool random;           /* load_balance_hosts=random: hosts and their addresses in any order */
    bool unnamed;          /* statement_mode=unnamed */
    char *sslmode;         /* said by the URL, the service or the environment; NULL: by nobody */
    char *sslrootcert;     /* likewise */
    char *service;         /* its file is still to be read, before any attempt; NULL: none */
    tug__pg_secret source; /* with a service: the text that all this came from */
    char *description;     /* "db1:5432/shop as joe": for messages; no secret in it */
} tug__pg_conninfo;

/* *ret is written on success only. url NULL or empty: all from the environment and libpq's defaults.
 * With a service (service=, PGSERVICE) the result is preliminary: see tug__pg_conninfo_resolve. */
int tug__pg_conninfo_parse(const char *url, tug__pg_conninfo *ret);
/* The same with what the service's file says, which counts less than the text and more than the
 * environment. */
int tug__pg_conninfo_resolve(const tug__pg_conninfo *c, const tug__pg_settings *settings,
                             tug__pg_conninfo *ret);
/* For connections that take statements: TUG_EINVAL for one that would not. */
int tug__pg_conninfo_check_plain(const tug__pg_conninfo *info);
/* Wipes and frees; zeroed or freed before is fine. */
void tug__pg_conninfo_free(tug__pg_conninfo *c);

/* The arrays of one attempt, ended with NULL, for PQconnectStartParams(keywords, values, 0): the last
 * argument must be 0, or a dbname of "host=..." would be expanded into parameters again. */
typedef struct tug__pg_attempt {
    const char *keywords[TUG__PG_PAIRS_MAX + 16];
    const char *values[TUG__PG_PAIRS_MAX + 16];
    char port[8];
} tug__pg_attempt;

/* address: one of those that host's name resolved to, numeric; NULL for the other kinds. host is handed to
 * libpq too, for certificate checks and ~/.pgpass. All strings are borrowed. */
void tug__pg_conninfo_attempt(const tug__pg_conninfo *c, size_t host, const char *address,
                              tug__pg_attempt *ret_attempt);
/* "db2:5432 (192.0.2.1)/shop as joe": one host of several, for messages. address: as above. */
void tug__pg_conninfo_describe(const tug__pg_conninfo *c, size_t host, const char *address,
                               char *to, size_t size);

#endif
