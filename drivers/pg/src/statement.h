/* What:      the prepared statements of one connection: found by text, bounded, the least recently
 *            used goes first. Knows nothing of libpq's connection: what has to be sent, the
 *            connection sends.
 * Ownership: a cache owns its statements; each holds a reference to its text.
 * Context:   the loop's thread. Callbacks: none. Errors: TUG_ENOMEM. */
#ifndef TUG_PG_STATEMENT_H
#define TUG_PG_STATEMENT_H

#include <libpq-fe.h>

#include "request.h"
#include "text.h"

/* "tug_" + 16 hexadecimal digits of the hash + "_" + the length in up to 16 more + "_" +
 * generation. */
#define TUG__PG_STATEMENT_NAME 56

typedef struct tug__pg_statement {
    struct tug__pg_statement *next;          /* in its bucket */
    struct tug__pg_statement *newer, *older; /* by last use */
    tug__pg_text *text;
    tug__pg_requests waiting; /* requests that came before the description */
    Oid *types;               /* of the parameters */
    int types_n;
    int format;     /* of the result: 0 text, 1 binary */
    bool described; /* false: prepared and described, but not answered yet */
    /* The same text has the same name on every connection: a name that the server already has
     * (after an answer that was never seen, behind a pooler) stands for the same statement. */
    char name[TUG__PG_STATEMENT_NAME];
} tug__pg_statement;

/* Zeroed is empty; init before use. */
typedef struct tug__pg_statements {
    tug__pg_texts *texts;
    tug__pg_statement **buckets;
    size_t mask;
    size_t n, max;
    unsigned generation; /* in names when not 0: raised when a name may be taken by a stale plan */
    tug__pg_statement *newest, *oldest;
} tug__pg_statements;

int tug__pg_statements_init(tug__pg_statements *s, tug__pg_texts *texts, size_t max);
/* NULL: not there. Counts as a use. */
tug__pg_statement *tug__pg_statements_find(tug__pg_statements *s, const tug__pg_text *text);
/* A new one, not described. NULL: out of memory. */
tug__pg_statement *tug__pg_statements_add(tug__pg_statements *s, tug__pg_text *text);
/* Remembers the answer to Describe. TUG_ENOMEM. */
int tug__pg_statement_describe(tug__pg_statement *st, const PGresult *description);
/* The one to give up when there are more than max: the least recently used that nobody waits for.
 * NULL: none is too many. */
tug__pg_statement *tug__pg_statements_surplus(const tug__pg_statements *s);
/* Nobody may wait for it. Frees it. */
void tug__pg_statements_remove(tug__pg_statements *s, tug__pg_statement *st);
void tug__pg_statements_free(tug__pg_statements *s);

#endif
