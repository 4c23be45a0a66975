/* What:      from a URL (postgresql://, postgres://) or a key=value string to what a connection attempt
 *            needs: hosts to try, parameters for libpq, the password by itself, a description for messages.
 * Ownership: everything belongs to the conninfo. Attempts borrow from it.
 * Context:   any; no I/O: parsing is PQconninfoParse, names are not resolved here, the environment
 *            (PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE) is read with getenv.
 * Callbacks: none.
 * Errors:    TUG_EINVAL in our own words (libpq's text may quote pieces of a password), TUG_ENOMEM. */
#ifndef TUG_PG_CONNINFO_H
#define TUG_PG_CONNINFO_H

#include <tug/base.h>

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
    /* The other parameters as libpq names them; without host, hostaddr, port, password and
     * connect_timeout. client_encoding=UTF8 is among them always. */
    char *keywords[TUG__PG_PAIRS_MAX], *values[TUG__PG_PAIRS_MAX];
    size_t pairs_n;
    tug__pg_secret password; /* of the URL; PGPASSWORD and ~/.pgpass libpq reads itself */
    /* connect_timeout of the URL or PGCONNECT_TIMEOUT, in ns; 0: not given; TUG_FOREVER: it says 0 or less,
     * which is libpq's "wait for ever". Unlike libpq, 1 second is 1 second. */
    tug_duration connect_timeout;
    char *description; /* "db1:5432/shop as joe": for messages; no secret in it */
} tug__pg_conninfo;

/* *ret is written on success only. url NULL or empty: all from the environment and libpq's defaults.
 * A service (service=, PGSERVICE) is refused: its file could name a host that libpq would then look
 * up inside the loop. */
int tug__pg_conninfo_parse(const char *url, tug__pg_conninfo *ret);
/* Wipes and frees; zeroed or freed before is fine. */
void tug__pg_conninfo_free(tug__pg_conninfo *c);

/* The arrays of one attempt, ended with NULL, for PQconnectStartParams(keywords, values, 0): the last
 * argument must be 0, or a dbname of "host=..." would be expanded into parameters again. */
typedef struct tug__pg_attempt {
    const char *keywords[TUG__PG_PAIRS_MAX + 8];
    const char *values[TUG__PG_PAIRS_MAX + 8];
    char port[8];
} tug__pg_attempt;

/* address: one of those that host's name resolved to, numeric; NULL for the other kinds. host is handed to
 * libpq too, for certificate checks and ~/.pgpass. All strings are borrowed. */
void tug__pg_conninfo_attempt(const tug__pg_conninfo *c, size_t host, const char *address,
                              tug__pg_attempt *ret_attempt);

#endif
