/* What:      the result of a statement, as the connection makes it; its getters are public: <tug/pg.h>.
 * Ownership: reference counted (atomically). What is borrowed from it lives until the last unref.
 * Context:   any thread, but one at a time: libpq's accessors used here are leaves, PQclear included,
 *            and need neither connection nor loop.
 * Callbacks: none.
 * Errors:    by tug_fail: TUG_ETYPE, TUG_ERANGE, TUG_ENULL, TUG_ELIMIT, TUG_ENOTFOUND (no such row),
 *            TUG_EMISUSE (number of places, column out of range), TUG_ENOMEM, TUG_EPROTO (the server's
 *            bytes are not what its type says). A scan that fails has written nothing. */
#ifndef TUG_PG_RESULT_H
#define TUG_PG_RESULT_H

#include <libpq-fe.h>
#include <tug/pg.h>

/* Takes the PGresult over, on failure too (it is cleared then). Any successful status: PGRES_TUPLES_OK,
 * PGRES_SINGLE_TUPLE, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY. TUG_ENOMEM. */
int tug__pg_result_new(PGresult *res, tug_pg_result **ret_result);

/* For looking at res as it lies, many one after the other: *view (first NULL, later yours to tug_free) is
 * made to show it. It has no references: neither ref nor unref it. room: columns it has room for.
 * TUG_ENOMEM. */
int tug__pg_result_view(tug_pg_result **view, size_t *room, PGresult *res);

/* A value where it lies, with a 0 behind it. */
typedef struct tug__pg_raw {
    const char *data;
    int size; /* -1: NULL */
} tug__pg_raw;

/* For rows that come one by one: r has one row, of these values, which its messages call number. shape has
 * the columns and stays the caller's; nobody else may have a reference to r. raw NULL: it has no row.
 * shape NULL: before unref. */
void tug__pg_result_show(tug_pg_result *r, PGresult *shape, const tug__pg_raw *raw, size_t number);

/* Which format to ask for: 1 (binary) if every column has a binary decoder, else 0. libpq has one format
 * for all columns. types: the column types from Describe (PQftype). No columns: 1. */
int tug__pg_result_format(const Oid *types, int n);

struct tug__pg_cell;
/* Where a value lies. TUG_ENOTFOUND, TUG_EMISUSE. */
int tug__pg_result_cell(const tug_pg_result *res, size_t row, size_t column,
                        struct tug__pg_cell *ret_cell, bool *ret_null);

/* True if no place borrows: the _one forms, whose result is gone when they return. Else false with the
 * detail set for TUG_EMISUSE ("place 2 borrows from a result that ends with the call: use TUG_COPY,
 * TUG_DUP or a tug_buffer"). */
bool tug__pg_out_is_owned(tug_out out);

/* What query_one does with its result: exactly one row into out. TUG_ENOTFOUND, TUG_ETOOMANY. */
int tug__pg_result_one(tug_pg_result *res, tug_out out);

#endif
