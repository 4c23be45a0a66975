/* libpq reads these files itself, but only inside of a connection attempt, with the hosts in them: it
 * would look the names up where no deadline reaches, one after the other. */
#include "service.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "files.h"

/* Where Debian's libpq looks; elsewhere PGSYSCONFDIR says it. */
#ifndef TUG__PG_SYSCONFDIR
#define TUG__PG_SYSCONFDIR "/etc/postgresql-common"
#endif

void tug__pg_settings_free(tug__pg_settings *s)
{
    for (size_t i = 0; i < s->n; i++) {
        tug_free(s->keywords[i]);
        if (s->values[i] != NULL) {
            tug_wipe(s->values[i], strlen(s->values[i]));
            tug_free(s->values[i]);
        }
    }
    s->n = 0;
}

/* --- one file --------------------------------------------------------------------------------- */

struct line {
    const char *from, *end; /* without blanks at both ends */
    unsigned number;
};

/* False behind the last one. */
static bool line_next(const char **text, struct line *l)
{
    if (**text == 0) {
        return false;
    }
    const char *end = *text + strcspn(*text, "\n");
    l->from = *text;
    l->end = end;
    l->number++;
    *text = *end == 0 ? end : end + 1;
    while (l->from < l->end && isspace((unsigned char)*l->from)) {
        l->from++;
    }
    while (l->end > l->from && isspace((unsigned char)l->end[-1])) {
        l->end--;
    }
    return true;
}

static bool line_is_section(const struct line *l, const char *service)
{
    size_t n = strlen(service);
    return (size_t)(l->end - l->from) == n + 2 && memcmp(l->from + 1, service, n) == 0 &&
           l->end[-1] == ']';
}

static int line_wrong(const struct line *l, const char *name, const char *why)
{
    return tug_fail(TUG_EINVAL, "service file %.100s, line %u: %s", name, l->number, why);
}

static int line_add(const struct line *l, const char *name, tug__pg_settings *s)
{
    const char *equals = memchr(l->from, '=', (size_t)(l->end - l->from));
    if (l->end - l->from >= 4 && memcmp(l->from, "ldap", 4) == 0) {
        return line_wrong(l, name, "services that are kept in LDAP are not supported");
    }
    if (equals == NULL || equals == l->from) {
        return line_wrong(l, name, "neither [service] nor parameter=value");
    }
    if (equals - l->from == 7 && memcmp(l->from, "service", 7) == 0) {
        return line_wrong(l, name, "a service cannot refer to another one");
    }
    if (s->n == TUG__PG_SETTINGS_MAX) {
        return tug_fail(TUG_ELIMIT, "service file %.100s, line %u: more than %d parameters", name,
                        l->number, TUG__PG_SETTINGS_MAX);
    }
    size_t i = s->n++;
    s->keywords[i] = tug_strndup(l->from, (size_t)(equals - l->from));
    s->values[i] = tug_strndup(equals + 1, (size_t)(l->end - equals - 1));
    return s->keywords[i] != NULL && s->values[i] != NULL
               ? 0
               : tug_fail(TUG_ENOMEM, "out of memory for a service file");
}

int tug__pg_service_parse(const char *text, const char *name, const char *service,
                          tug__pg_settings *ret_settings)
{
    struct line l = {.number = 0};
    tug__pg_settings s = {.n = 0};
    bool inside = false;
    while (line_next(&text, &l)) {
        if (l.from == l.end || *l.from == '#') {
            continue;
        }
        if (*l.from == '[') {
            if (inside) {
                break;
            }
            inside = line_is_section(&l, service);
            continue;
        }
        int rc = inside ? line_add(&l, name, &s) : 0;
        if (rc < 0) {
            tug__pg_settings_free(&s);
            return rc;
        }
    }
    if (inside) {
        *ret_settings = s;
    }
    return inside;
}

/* --- the files -------------------------------------------------------------------------------- */

/* 1: found, 0: no such file, or not in it. */
static int service_in(const char *path, const char *service, tug__pg_settings *ret_settings)
{
    char *text = NULL;
    int rc = tug__pg_file_load(path, TUG__PG_SERVICE_FILE_MAX, &text);
    if (rc == -ENOENT || rc == -ENOTDIR) {
        return 0;
    }
    if (rc == 0) {
        rc = tug__pg_service_parse(text, path, service, ret_settings);
        tug__pg_file_free(text);
    }
    return rc;
}

int tug__pg_service_read(const char *service, tug__pg_settings *ret_settings)
{
    char user[TUG__PG_PATH_MAX], shared[TUG__PG_PATH_MAX];
    const char *given = getenv("PGSERVICEFILE");
    const char *folder = getenv("PGSYSCONFDIR");
    user[0] = '\0';
    if (given != NULL && *given != '\0') {
        snprintf(user, sizeof user, "%s", given);
    } else {
        tug__pg_home_file(".pg_service.conf", user);
    }
    tug__pg_path_join(folder != NULL && *folder != '\0' ? folder : TUG__PG_SYSCONFDIR,
                      "pg_service.conf", shared);
    int rc = user[0] != '\0' ? service_in(user, service, ret_settings) : 0;
    rc = rc == 0 ? service_in(shared, service, ret_settings) : rc;
    if (rc == 0) {
        return tug_fail(TUG_EINVAL, "no service \"%.60s\" in %.60s%s%.60s", service,
                        user[0] != '\0' ? user : shared, user[0] != '\0' ? " nor " : "",
                        user[0] != '\0' ? shared : "");
    }
    return rc < 0 ? rc : 0;
}
