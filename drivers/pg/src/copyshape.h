/* What:      the columns that a COPY by name is about, and rows of values for it in binary.
 * Ownership: a shape is made for one COPY and freed with it.
 * Context:   look-up: task; the rest any, no I/O.
 * Callbacks: none.
 * Errors:    by tug_fail: TUG_ENOTFOUND, TUG_ETYPE, TUG_ERANGE, TUG_EINVAL, TUG_EMISUSE, TUG_ENOMEM. A
 *            row that is refused leaves the bytes as they were. */
#ifndef TUG_PG_COPYSHAPE_H
#define TUG_PG_COPYSHAPE_H

#include <libpq-fe.h>
#include <tug/pg.h>

#include "copyrow.h"
#include "value.h"

typedef struct tug__pg_shape {
    size_t n;
    Oid *types;   /* of domains: what they are over */
    char **names; /* each of its own */
    tug__pg_params params;
    bool was_begun; /* the file header was written */
} tug__pg_shape;

/* The columns of a table, asked of the server on db. schema NULL: by search_path; columns NULL: all that
 * are not generated, else a list that ends with NULL. */
TUG_SUSPENDS int tug__pg_shape_look_up(tug_pg *db, const char *schema, const char *table,
                                       const char *const *columns, tug__pg_shape **ret_shape);
/* NULL is fine. */
void tug__pg_shape_free(tug__pg_shape *shape);
/* TUG_ETYPE: a type has no binary form that is known here. */
int tug__pg_shape_check_binary(const tug__pg_shape *shape);
/* COPY "s"."t"("a", "b"), with its 0. */
int tug__pg_shape_put_target(const tug__pg_shape *shape, const char *schema, const char *table,
                             tug__pg_bytes *to);
/* The first one puts the file's header before. */
int tug__pg_shape_put_row(tug__pg_shape *shape, tug_args row, tug__pg_bytes *to);
/* After the last one; a file without rows has a header too. */
int tug__pg_shape_put_end(tug__pg_shape *shape, tug__pg_bytes *to);

#endif
