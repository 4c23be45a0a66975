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

/* "tug_" + 16 hexadecimal digits of the hash + "_" + the length in up to 16 more + "_" and up to 8 for
 * each of twin, generation of the text, generation of the connection's names. */
#define TUG__PG_STATEMENT_NAME 72

typedef struct tug__pg_statement {
    struct tug__pg_statement *next;          /* in its bucket */
    struct tug__pg_statement *newer, *older; /* by last use */
    tug__pg_text *text;
    tug__pg_requests waiting; /* requests that came before the description */
    Oid *types;               /* of the parameters, then of the columns */
    int types_n, columns_n;
    int format;          /* of the result: 0 text, 1 binary */
    int row_bytes;       /* the most that a row takes on the wire; 0: that is not known */
    unsigned generation; /* of the text, when it was prepared: another one there, and it is stale */
    tug_time learned;    /* when it was described */
    uint64_t place;      /* in the ring: what was sent before it used another one of this text */
    bool described;      /* false: prepared and described, but not answered yet */
    bool unnamed;        /* the server keeps nothing: the text goes with each execution */
    bool once;           /* too long to be kept here: goes when it was sent */
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
    size_t max_bytes;    /* longer texts are unnamed and not kept */
    bool unnamed;        /* all are unnamed */
    unsigned generation; /* in names when not 0: raised when a name may be taken by a stale plan */
    tug__pg_statement *newest, *oldest;
} tug__pg_statements;

/* All texts are kept and named, unless max_bytes and unnamed are set afterwards. */
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
/* The plan of another one of this text turned out to be stale. */
static inline bool tug__pg_statement_is_stale(const tug__pg_statement *st)
{
    return st->generation != st->text->generation;
}
/* Nobody may wait for it. Frees it. */
void tug__pg_statements_remove(tug__pg_statements *s, tug__pg_statement *st);
/* A statement with this command tag was answered. DEALLOCATE ALL and DISCARD ALL took those of the server
 * along; what was sent behind them is not described yet, and stays. */
void tug__pg_statements_heed(tug__pg_statements *s, const char *tag);
void tug__pg_statements_free(tug__pg_statements *s);

#endif
