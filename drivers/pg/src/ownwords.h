/* What:      parameters that tug does itself, taken out of a connection URL or string before libpq sees it: an
 *            older libpq would refuse a name that it does not know.
 * Ownership: outputs are the caller's; the rest may hold a password, so it is wiped before it is freed.
 * Context:   any. Callbacks: none. Errors: TUG_ENOMEM. */
#ifndef TUG_PG_OWNWORDS_H
#define TUG_PG_OWNWORDS_H

/* ret_rest: text without word; ret_value: its value, decoded, the last one if there are several; NULL: it was not
 * given. A text that is malformed comes back as it is, for those who say what is wrong with it. */
int tug__pg_words_take(const char *text, const char *word, char **ret_rest, char **ret_value);

#endif
