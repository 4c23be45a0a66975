/* What:      one value of a result as a number, a time, text or bytes, from either format.
 * Ownership: borrowed from the result.
 * Context:   any thread, one at a time for a result. libpq: PQresultAlloc and accessors only.
 * Callbacks: none.
 * Errors:    by tug_fail, each with row, column and name: TUG_ETYPE, TUG_ERANGE, TUG_EPROTO, TUG_ENOMEM. slot is
 *            there for the message only. */
#ifndef TUG_PG_CELL_H
#define TUG_PG_CELL_H

#include "type.h"

#include <tug/value.h>

/* A value that is not NULL, where libpq keeps it; or an element of one that is an array. Behind its bytes
 * one more may be read: it is a 0, but not always that of an element in binary. */
typedef struct tug__pg_cell tug__pg_cell;
struct tug__pg_cell {
    PGresult *res;
    int row, column;
    size_t element; /* plus 1; 0: the column's value itself */
    const char *data;
    size_t size;
    Oid type;
    tug__pg_kind kind;
    bool binary;
};

/* False: a type whose binary form is not known here. */
bool tug__pg_kind_has_decoder(tug__pg_kind kind);

/* "row 3, column 2 \"name\": ...", "row 3, column 2 \"list\"[7]: ..."; returns code. */
int tug__pg_cell_fail(const tug__pg_cell *cell, int code, const char *format, ...) TUG_PRINTF(3, 4);
/* The type's name. */
const char *tug__pg_cell_type(const tug__pg_cell *cell);
int tug__pg_cell_wrong_type(const tug__pg_cell *cell, const tug_slot *slot);
int tug__pg_cell_malformed(const tug__pg_cell *cell);
int tug__pg_cell_out_of_range(const tug__pg_cell *cell, const tug_slot *slot);

/* To be asked first: lengths and versions of binary values. The functions below rely on it. */
bool tug__pg_cell_is_sound(const tug__pg_cell *cell);

bool tug__pg_cell_is_int(const tug__pg_cell *cell);
/* A whole number of any exact type. */
int tug__pg_cell_whole(const tug__pg_cell *cell, const tug_slot *slot, bool *ret_negative,
                       uint64_t *ret_magnitude);
/* Any number; an integer only if a double can be exactly it. */
int tug__pg_cell_double(const tug__pg_cell *cell, const tug_slot *slot, double *ret_x);

/* Text that stands in the result as it is: it can be lent. */
bool tug__pg_cell_is_text(const tug__pg_cell *cell);
struct tug_bytes tug__pg_cell_plain(const tug__pg_cell *cell);
/* Of bytea. In binary it lies there; in text it is decoded into memory of the result, to live as long. */
int tug__pg_cell_bytea(const tug__pg_cell *cell, struct tug_bytes *ret_bytes);
/* Any type but bytea, as PostgreSQL prints it. Like snprintf: what fits and a 0; *ret_size is the whole
 * length. Times are printed anew in text format too, so that the session's time zone makes no
 * difference. */
int tug__pg_cell_text(const tug__pg_cell *cell, char *to, size_t capacity, size_t *ret_size);
/* The length of that; TUG_ETYPE if it has no text. */
int tug__pg_cell_text_size(const tug__pg_cell *cell, const tug_slot *slot, size_t *ret_size);

#endif
