/* What:      the pieces of an SQL text, as far as the driver must tell them apart: names and keywords,
 *            literals, comments, the rest character by character. As the server's lexer has them, with
 *            standard_conforming_strings on. What never ends takes all that follows.
 * Ownership: nothing is kept. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_PG_LEXER_H
#define TUG_PG_LEXER_H

#include <stdbool.h>

/* A name or keyword goes on with it. */
bool tug__pg_lex_in_name(char c);
/* Behind the comment that begins at p, which one does: to the end of the line, or nested. */
const char *tug__pg_lex_comment(const char *p);
/* Behind the piece that begins at p; p is not at the end. ret_literal: it is a string, a number or a bit
 * string. A quoted name is none. */
const char *tug__pg_lex_piece(const char *p, bool *ret_literal);

#endif
