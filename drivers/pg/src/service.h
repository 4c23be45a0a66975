/* What:      pg_service.conf: named sets of connection parameters.
 * Ownership: settings are the caller's: free. They may hold a password and are wiped.
 * Context:   any thread; reads files, so not the loop's.
 * Callbacks: none.
 * Errors:    TUG_EINVAL with file and line, or that there is no such service; TUG_ENOMEM, TUG_ELIMIT. No value is
 *            quoted. */
#ifndef TUG_PG_SERVICE_H
#define TUG_PG_SERVICE_H

#include <stddef.h>

/* libpq knows some 50 parameters, and each is given once at most. */
#define TUG__PG_SETTINGS_MAX 96
/* A file of services is written by hand: what is larger is something else. */
#define TUG__PG_SERVICE_FILE_MAX (1 << 20)

typedef struct tug__pg_settings {
    char *keywords[TUG__PG_SETTINGS_MAX], *values[TUG__PG_SETTINGS_MAX];
    size_t n;
} tug__pg_settings;

/* The user's file (PGSERVICEFILE, else ~/.pg_service.conf), and if it is not there or does not have the
 * service the system's (pg_service.conf in PGSYSCONFDIR, else /etc/postgresql-common). */
int tug__pg_service_read(const char *service, tug__pg_settings *ret_settings);
/* One file's text. 1: found, 0: not in it. name: for messages. */
int tug__pg_service_parse(const char *text, const char *name, const char *service,
                          tug__pg_settings *ret_settings);
/* Zeroed is fine. */
void tug__pg_settings_free(tug__pg_settings *s);

#endif
