/* What:      cursors: a result that stays with the server and is fetched in parts, forth and back.
 * Ownership: tug_pg_cursor is yours: close. Results too: unref.
 * Context:   the loop's thread; one task at a time for one cursor.
 * Callbacks: none.
 * Errors:    as in <tug/pg.h>; TUG_ECLOSED when what it was opened on has been closed. */
#ifndef TUG_PG_CURSOR_H
#define TUG_PG_CURSOR_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Other statements may run between two fetches: that is what it has over tug_pg_rows, which is faster. */
typedef struct tug_pg_cursor tug_pg_cursor;

typedef struct tug_pg_cursor_options {
    size_t size;
    /* Outlives its transaction; the server keeps a copy of the whole result. What a session, outside
     * of any transaction, needs. false */
    bool hold;
    /* May go backwards. false */
    bool scroll;
} tug_pg_cursor_options;
#define TUG_PG_CURSOR_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(tug_pg_cursor_options), false, false                                                \
    }

/* For a SELECT or VALUES. db: a transaction, or with hold a session; TUG_EMISUSE otherwise. o NULL: the
 * defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_cursor_open(tug_pg *db, const char *sql, tug_args args,
                                               const tug_pg_cursor_options *o,
                                               tug_pg_cursor **ret_cursor) TUG_CHECK;
/* The next rows, at most as many; 1 to 1,000,000, with scroll also -1,000,000 to -1: the ones before, the
 * nearest first. Fewer: that was the end; none: it was before. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_cursor_fetch(tug_pg_cursor *cursor, int rows,
                                                tug_pg_result **ret_result) TUG_CHECK;
/* Skips rows. ret_rows: how many there were; may be NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_cursor_move(tug_pg_cursor *cursor, int rows,
                                               int64_t *ret_rows) TUG_CHECK;
/* Without waiting. NULL is fine. */
TUG_EXPORT void tug_pg_cursor_close(tug_pg_cursor *cursor);
TUG_AUTO_FN(tug_pg_cursor, tug_pg_cursor_close)

#ifdef __cplusplus
}
#endif
#endif
