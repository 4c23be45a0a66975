#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

void tug__pg_path_join(const char *folder, const char *name, char to[TUG__PG_PATH_MAX])
{
    int n = snprintf(to, TUG__PG_PATH_MAX, "%s/%s", folder, name);
    if (n < 0 || n >= TUG__PG_PATH_MAX) {
        to[0] = '\0'; /* a part of a path is another file */
    }
}

void tug__pg_home_file(const char *name, char to[TUG__PG_PATH_MAX])
{
    const char *home = getenv("HOME");
    struct passwd entry, *found = NULL;
    char strings[4096];
    if (home == NULL || *home == '\0') {
        home = getpwuid_r(geteuid(), &entry, strings, sizeof strings, &found) == 0 && found != NULL
                   ? entry.pw_dir
                   : "";
    }
    to[0] = '\0';
    if (*home != '\0') {
        tug__pg_path_join(home, name, to);
    }
}

bool tug__pg_file_exists(const char *path)
{
    struct stat st;
    return *path != '\0' && stat(path, &st) == 0;
}

static int file_wrong(const char *path, int error)
{
    return tug_fail(tug_error_from_errno(error), "cannot read %.120s: %s", path,
                    strerrordesc_np(error));
}

int tug__pg_file_load(const char *path, size_t most, char **ret_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_wrong(path, errno);
    }
    size_t n = 0, room = 4096;
    char *text = tug_alloc(room);
    ssize_t got = 1;
    while (text != NULL && n < most && (got = read(fd, text + n, room - n - 1)) > 0) {
        n += (size_t)got;
        if (room - n == 1) {
            char *larger = tug_realloc(text, room * 2);
            if (larger == NULL) {
                tug_free(text);
            }
            text = larger;
            room *= 2;
        }
    }
    int error = errno;
    close(fd);
    if (text == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for %.120s", path);
    }
    text[n] = '\0';
    if (got < 0 || n >= most) {
        tug__pg_file_free(text);
        return got < 0 ? file_wrong(path, error)
                       : tug_fail(TUG_ELIMIT, "%.120s has more than %zu bytes", path, most);
    }
    *ret_text = text;
    return 0;
}

void tug__pg_file_free(char *text)
{
    if (text != NULL) {
        tug_wipe(text, strlen(text));
        tug_free(text);
    }
}

const char *tug__pg_system_authorities(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",                  /* Alpine, the BSDs */
    };
    const char *given = getenv("SSL_CERT_FILE"); /* OpenSSL's own word for it */
    if (given != NULL && *given != '\0') {
        return given;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (tug__pg_file_exists(places[i])) {
            return places[i];
        }
    }
    return NULL;
}

bool tug__pg_passfile_is_open(const char *given, char to[TUG__PG_PATH_MAX])
{
    struct stat st;
    if (given == NULL || *given == '\0') {
        given = getenv("PGPASSFILE");
    }
    if (given != NULL && *given != '\0') {
        snprintf(to, TUG__PG_PATH_MAX, "%s", given);
    } else {
        tug__pg_home_file(".pgpass", to);
    }
    return *to != '\0' && stat(to, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}
