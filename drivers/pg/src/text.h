/* What:      statement texts, each kept once a pool however many requests and connections use it:
 *            hashed, measured and put through the gate once, not at each call.
 * Ownership: reference counted; the table holds none, so a text goes with its last user.
 * Context:   the loop's thread. Callbacks: none. Errors: NULL when out of memory. */
#ifndef TUG_PG_TEXT_H
#define TUG_PG_TEXT_H

#include <tug/base.h>

typedef struct tug__pg_text {
    struct tug__pg_text *next; /* in its bucket */
    uint64_t hash;
    size_t size;
    size_t references;
    /* Raised when the plans of this text became stale: each connection of the pool then prepares it
     * anew, under another name. */
    unsigned generation;
    unsigned
        twin; /* number among texts of the same hash and size: two of them never share a name */
    const char *gate; /* what keeps it off shared connections; NULL: nothing */
    bool marks;       /* a session that ran it is reset before somebody else gets it */
    char sql[];
} tug__pg_text;

/* Zeroed is empty. */
typedef struct tug__pg_texts {
    tug__pg_text **buckets;
    size_t mask;
    size_t n;
} tug__pg_texts;

/* The one of these characters, with one more reference. */
tug__pg_text *tug__pg_texts_get(tug__pg_texts *table, const char *sql);
static inline tug__pg_text *tug__pg_text_ref(tug__pg_text *t)
{
    t->references++;
    return t;
}
/* NULL is fine. */
void tug__pg_text_unref(tug__pg_texts *table, tug__pg_text *t);
/* All texts must be gone. */
void tug__pg_texts_free(tug__pg_texts *table);

/* 64 well-mixed bits. Equal on all machines of one byte order: statement names are made of it. */
uint64_t tug__pg_hash(const char *data, size_t size);

#endif
