/* What:      the few files that a connection is made of: found, looked at, read whole.
 * Ownership: texts are the caller's: tug__pg_file_free. Context: any thread but the loop's: files may hang.
 * Callbacks: none. Errors: -errno with the path, TUG_ELIMIT, TUG_ENOMEM. */
#ifndef TUG_PG_FILES_H
#define TUG_PG_FILES_H

#include <stdbool.h>
#include <stddef.h>

#define TUG__PG_PATH_MAX 1024

/* folder/name, "" if that is too long. */
void tug__pg_path_join(const char *folder, const char *name, char to[TUG__PG_PATH_MAX]);
/* A file of the user's home, HOME before the user database, as libpq does it. "" if there is no home. */
void tug__pg_home_file(const char *name, char to[TUG__PG_PATH_MAX]);
bool tug__pg_file_exists(const char *path);
/* The whole of it, ended with a 0 byte. */
int tug__pg_file_load(const char *path, size_t most, char **ret_text);
/* Wipes it first. NULL is fine. */
void tug__pg_file_free(char *text);

/* The file with the certificates of the system's authorities; NULL: none was found. */
const char *tug__pg_system_authorities(void);
/* The password file (given, else PGPASSFILE, else ~/.pgpass) is there, but others may read it, so that libpq
 * ignores it. Fills in its path. */
bool tug__pg_passfile_is_open(const char *given, char to[TUG__PG_PATH_MAX]);

#endif
