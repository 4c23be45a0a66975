/* What:      one operation as the hooks see it: begun with the call, ended once.
 * Ownership: lives in the payload of the operation's future. Context: the loop's thread.
 * Callbacks: the hooks of the pool. Errors: none. */
#ifndef TUG_PG_HOOKS_INSIDE_H
#define TUG_PG_HOOKS_INSIDE_H

#include <libpq-fe.h>
#include <tug/pg_hooks.h>

struct tug__pg_pool;

typedef struct tug__pg_span {
    uint32_t hooks;      /* number of the hooks that were told of the start; 0: none were */
    uint32_t batch_size; /* 0: none */
    bool mixed;          /* one of statements that begin differently */
    void *span;
    tug_time started;
} tug__pg_span;

/* The pool has hooks. */
void tug__pg_span_begin(struct tug__pg_pool *pool, tug__pg_span *s, const char *sql,
                        size_t batch_size, bool mixed);
/* They begin with the same keyword. */
bool tug__pg_same_operation(const char *sql, const char *other);
/* s->hooks is not 0. why NULL: it succeeded. */
void tug__pg_span_end(struct tug__pg_pool *pool, tug__pg_span *s, const char *sql,
                      const tug_error *why, int64_t rows);
/* A login that began at since, under these hooks, has ended; pq NULL: it failed, and why says how. */
void tug__pg_login_end(const struct tug__pg_pool *pool, uint32_t hooks, tug_time since,
                       const char *pool_name, const PGconn *pq, const tug_error *why);

#endif
