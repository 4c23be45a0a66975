/* What:      COPY: rows into a table and out of it, as fast as the server takes and gives them; from and
 *            to values, blocks of bytes, file descriptors.
 * Ownership: tug_pg_copy is yours: close. Data and values are borrowed for the call; what is read is
 *            borrowed until the next read, next or close.
 * Context:   the loop's thread; one task at a time for one tug_pg_copy.
 * Callbacks: none.
 * Errors:    as in <tug/pg.h>. The server's name the line ("COPY t, line 3"), those of values row and
 *            column, both from 1. After one of the server's the COPY has ended; the connection
 *            serves on. */
#ifndef TUG_PG_COPY_H
#define TUG_PG_COPY_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On a pool it runs on a connection leased for it; the task may go on using the pool. On a session or
 * a transaction nothing else runs beside it (TUG_EMISUSE) until the server has said its last
 * word. */
typedef struct tug_pg_copy tug_pg_copy;

enum {
    TUG_PG_COPY_BINARY, /* values are checked against the columns' types before they are sent */
    TUG_PG_COPY_TEXT,   /* the server parses; any type */
    TUG_PG_COPY_CSV     /* for blocks */
};

typedef struct tug_pg_copy_options {
    size_t size;
    int format;         /* TUG_PG_COPY_*; TUG_PG_COPY_BINARY */
    const char *schema; /* NULL: by search_path; NULL */
    bool header;        /* csv and text: a line of names comes first; false */
} tug_pg_copy_options;
#define TUG_PG_COPY_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(tug_pg_copy_options), TUG_PG_COPY_BINARY, NULL, false                               \
    }

/* --- into a table ----------------------------------------------------------------------------- */

/* sql: "copy t(a, b) from stdin", text format unless it says otherwise. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_in(tug_pg *db, const char *sql, tug_pg_copy **ret_copy);
/* The same with names, which are quoted, and with the types of the columns looked up first: what
 * binary rows need. columns ends with NULL; columns NULL: all that are not generated. o NULL: the
 * defaults. TUG_ENOTFOUND: no such column. TUG_ETYPE: a type whose binary form is not known here. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_in_table(tug_pg *db, const char *table,
                                                 const char *const *columns,
                                                 const tug_pg_copy_options *o,
                                                 tug_pg_copy **ret_copy) TUG_CHECK;
/* Bytes in the format of the COPY, cut anywhere. Waits while the server is slower. A failure of the
 * server is reported here or by finish. Up to 64 KiB are taken whole or, if it is cancelled, not at all;
 * more may be cut: then finish refuses (TUG_EMISUSE), and close loads nothing. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_write(tug_pg_copy *copy, struct tug_bytes data) TUG_CHECK;
/* One row. Of tug_pg_copy_in: in text format, escaped. Of tug_pg_copy_in_table: in its format, for
 * binary by the rules for parameters, and not behind tug_pg_copy_write. A row that is refused
 * (TUG_EINVAL, TUG_ETYPE, TUG_ERANGE, TUG_EMISUSE for another number of values) is not there, and the
 * next one may follow. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_row(tug_pg_copy *copy, tug_args row) TUG_CHECK;
/* All that can be read from fd, in the format of the COPY. A regular file is read from its position
 * on threads of the loop's pool; a pipe, a socket or a terminal when it has something, whether it is
 * non-blocking or not. fd stays yours. ret_bytes: how many were taken, told on failure too; may be
 * NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_from_fd(tug_pg_copy *copy, int fd,
                                                int64_t *ret_bytes) TUG_CHECK;
/* Ends it and waits for the server's answer; ret_rows may be NULL. Only after it the rows are there
 * (committed, outside a transaction). Cancelled while it waits: the outcome is unknown. Of a COPY out
 * of a table: skips what was not read. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_finish(tug_pg_copy *copy, int64_t *ret_rows) TUG_CHECK;

/* --- out of a table --------------------------------------------------------------------------- */

/* sql: "copy t to stdout", "copy (select ...) to stdout (format csv)". */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_out(tug_pg *db, const char *sql,
                                            tug_pg_copy **ret_copy) TUG_CHECK;
/* As tug_pg_copy_in_table. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_out_table(tug_pg *db, const char *table,
                                                  const char *const *columns,
                                                  const tug_pg_copy_options *o,
                                                  tug_pg_copy **ret_copy) TUG_CHECK;
/* 1: some bytes, whole lines or rows as the server sent them; 0: that was all; < 0. The server waits
 * while nobody reads. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_read(tug_pg_copy *copy,
                                             struct tug_bytes *ret_data) TUG_CHECK;
/* Of tug_pg_copy_out_table in binary: 1: the next row is there; 0: that was all; < 0. Not mixed with
 * read. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_next(tug_pg_copy *copy) TUG_CHECK;
/* That row into places, as tug_pg_scan. */
TUG_EXPORT int tug_pg_copy_scan(const tug_pg_copy *copy, tug_out out) TUG_CHECK;
/* All that comes, into fd: a regular file at its position, on threads; a pipe or a socket when it takes
 * some. A reader that has gone is -EPIPE, not a signal. As tug_pg_copy_from_fd otherwise. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_copy_to_fd(tug_pg_copy *copy, int fd,
                                              int64_t *ret_bytes) TUG_CHECK;

/* Frees it. Into a table: aborts the COPY unless it was finished. Out of one: as tug_pg_rows_close: a short
 * rest is read, else the COPY is cancelled on the server, which in a transaction is the end of that too, or,
 * where that is not possible, the connection is closed. NULL is fine. */
TUG_EXPORT void tug_pg_copy_close(tug_pg_copy *copy);
TUG_AUTO_FN(tug_pg_copy, tug_pg_copy_close)

#ifdef __cplusplus
}
#endif
#endif
