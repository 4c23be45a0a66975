/* What:      decides by its first keyword whether a statement may run on a shared connection: what changes
 *            the session (transactions, SET, LISTEN, cursors, COPY, temporary tables) may not, because it
 *            would change it under other tasks' statements.
 * Ownership: nothing is kept. Context: any thread. Callbacks: none.
 * Errors:    none: text that is no SQL passes, the server refuses it. */
#ifndef TUG_PG_GATE_H
#define TUG_PG_GATE_H

#include <stdbool.h>
#include <stddef.h>

/* NULL: may be sent on a shared connection. Else what it is, in capitals and static, for the message:
 * "BEGIN", "CREATE TEMP". White space, semicolons and comments (-- and nested) are skipped; case does not
 * matter; only whole words count. What hides in a function or behind a first statement cannot be seen here:
 * set_config(), session advisory locks, SELECT INTO TEMP (several statements in one text are refused
 * by the server when they are prepared). */
const char *tug__pg_gate(const char *sql);
/* Where the first word stands, behind white space, semicolons and comments. */
const char *tug__pg_gate_first_word(const char *sql);

/* True if this ends the transaction that it runs in (ROLLBACK TO does not), or would begin another. */
bool tug__pg_gate_ends_transaction(const char *sql);
/* False if a second statement follows the first. */
bool tug__pg_gate_is_single(const char *sql);
/* The first statement of a script, from 1, that is a COPY ... TO STDOUT; 0: none. */
size_t tug__pg_gate_copy_to_client(const char *sql);

/* True if a session is not as it was after this statement, and its transaction's end does not undo
 * that. gate: what tug__pg_gate says of it. Goes by names: set_config(), session advisory locks and
 * temporary tables count, a function of the user's own that does the same cannot be seen. */
bool tug__pg_gate_marks_session(const char *sql, const char *gate);

#endif
