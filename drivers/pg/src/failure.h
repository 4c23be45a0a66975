/* What:      from libpq's ways to say no to one tug_error: code, SQLSTATE, how far it got, worth a
 *            retry.
 * Ownership: nothing is kept. Context: any thread, on the loop's stack or an offload thread.
 * Callbacks: none. Errors: none. */
#ifndef TUG_PG_FAILURE_H
#define TUG_PG_FAILURE_H

#include <libpq-fe.h>
#include <tug/error.h>

/* What the server answered to a statement: "ERROR: duplicate key ... (SQLSTATE 23505)". */
void tug__pg_failure_answer(tug_error *e, const PGresult *res);
/* True if this answer ends the connection (FATAL, PANIC) or was made up by libpq because it had
 * ended: what became of the statement is then not known. */
bool tug__pg_failure_is_end(const PGresult *res);
/* TUG_LOG_*: WARNING is warn, NOTICE and INFO are info, the rest is debug. */
int tug__pg_failure_notice_level(const PGresult *res);

/* A login that failed. text: PQerrorMessage of a connection whose verbosity is PQERRORS_VERBOSE,
 * the only public way to the SQLSTATE of a refused login. where: the description of the target,
 * without secrets. */
void tug__pg_failure_login(tug_error *e, const char *text, bool needs_password, const char *where);

/* Copies text as one line: runs of white space become one space, none at the ends. */
void tug__pg_failure_one_line(char *to, size_t size, const char *text);
/* The same of its first line only, for libpq's own messages: what follows there is advice for psql. otherwise: where
 * there is none. */
void tug__pg_failure_first_line(char *to, size_t size, const char *text, const char *otherwise);

#endif
