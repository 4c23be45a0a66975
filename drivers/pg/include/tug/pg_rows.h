/* What:      the rows of a statement one by one, in constant memory however many they are.
 * Ownership: tug_pg_rows is yours: close. What a scan has lent (const char *, struct tug_bytes), and
 *            what tug_pg_rows_row gives, is borrowed until the next next or close.
 * Context:   the loop's thread; one task at a time for one tug_pg_rows.
 * Callbacks: none.
 * Errors:    as in <tug/pg.h>. Rows may have come before one: nothing but 0 from
 *            tug_pg_rows_next says that they were all. (Of those that the server sent before an error
 *            libpq 17 and later may drop the last, at most 31.) TUG_ELIMIT for a row over
 *            max_row_bytes. */
#ifndef TUG_PG_ROWS_H
#define TUG_PG_ROWS_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* While it is open, the server sends no faster than the rows are read: a reader that stops, stops the
 * statement, and holds nothing up but its own connection. On a pool that is one leased for it (one
 * of pool_max); the task may go on using the pool. On a session or a transaction nothing else runs
 * beside it (TUG_EMISUSE) until the last row was read or it was closed. */
typedef struct tug_pg_rows tug_pg_rows;

typedef struct tug_pg_rows_options {
    size_t size;
    /* Bytes of one row, 1 KiB to 1 GiB; 64 MiB. Beyond: TUG_ELIMIT, and the connection is closed. */
    size_t max_row_bytes;
    /* Bytes of rows that wait for their reader, 4 KiB to 1 GiB; 256 KiB. One row may be larger. */
    size_t max_waiting_bytes;
} tug_pg_rows_options;
#define TUG_PG_ROWS_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(tug_pg_rows_options), (size_t)64 << 20, (size_t)256 << 10                           \
    }

/* Runs the statement and returns when the first row or the end has come: what is wrong with the
 * statement is told here. o NULL: the defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_rows_open(tug_pg *db, const char *sql, tug_args args,
                                             const tug_pg_rows_options *o,
                                             tug_pg_rows **ret_rows) TUG_CHECK;
/* 1: the next row is there; 0: that was all; < 0. The connection is free for others as soon as the
 * server has sent the last row. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_rows_next(tug_pg_rows *rows) TUG_CHECK;
/* The row into places, as tug_pg_scan. TUG_EMISUSE before the first next and behind the end. */
TUG_EXPORT int tug_pg_rows_scan(const tug_pg_rows *rows, tug_out out) TUG_CHECK;
/* The same as a result of one row, row 0, for the getters of <tug/pg.h>; but tug_pg_result_native has
 * the columns only. Before the first next and behind the end it has no row. Never NULL. */
TUG_EXPORT const tug_pg_result *tug_pg_rows_row(const tug_pg_rows *rows);
/* Ends the statement wherever it is, and frees. A short rest is read; else the statement is cancelled on
 * the server, which in a transaction is the end of that too (a cursor is not), or, where that is not
 * possible, the connection is closed. NULL is fine. */
TUG_EXPORT void tug_pg_rows_close(tug_pg_rows *rows);
TUG_AUTO_FN(tug_pg_rows, tug_pg_rows_close)

#ifdef __cplusplus
}
#endif
#endif
