/* COPY of tables by name: columns are looked up, names quoted, the statement built. */
#include "copy.h"

#include <stdio.h>
#include <string.h>

static int table_check_format(const tug_pg_copy_options *o, const char *what)
{
    if (o->format < TUG_PG_COPY_BINARY || o->format > TUG_PG_COPY_CSV) {
        return tug_fail(TUG_EINVAL, "%s: format %d is none of TUG_PG_COPY_*", what, o->format);
    }
    if (o->header && o->format == TUG_PG_COPY_BINARY) {
        return tug_fail(TUG_EINVAL, "%s: a binary COPY has no header line", what);
    }
    return 0;
}

static int table_sql(const tug__pg_shape *shape, const char *table, const tug_pg_copy_options *o,
                     bool is_out, tug__pg_bytes *to)
{
    static const char *const formats[] = {"binary", "text", "csv"};
    int rc = tug__pg_shape_put_target(shape, o->schema, table, to);
    rc = rc < 0 ? rc : tug__pg_bytes_reserve(to, 80);
    if (rc == 0) {
        to->size += (size_t)snprintf(to->data + to->size, 80, " %s (FORMAT %s%s)",
                                     is_out ? "TO STDOUT" : "FROM STDIN", formats[o->format],
                                     o->header ? ", HEADER" : "");
    }
    return rc;
}

static int table_open_on(tug_pg *on, tug_pg *db, tug_pg *session, const char *table,
                         const char *const *columns, const tug_pg_copy_options *o, bool is_out,
                         tug_pg_copy **ret_copy)
{
    tug__pg_shape *shape = NULL;
    tug__pg_bytes sql = {0};
    int rc = tug__pg_shape_look_up(on, o->schema, table, columns, &shape);
    if (rc == 0 && o->format == TUG_PG_COPY_BINARY) {
        rc = tug__pg_shape_check_binary(shape);
    }
    rc = rc < 0 ? rc : table_sql(shape, table, o, is_out, &sql);
    if (rc < 0) {
        tug__pg_shape_free(shape);
        tug_pg_close(session);
    } else {
        rc = tug__pg_copy_open(db, session, sql.data, is_out, shape, ret_copy);
    }
    tug__pg_bytes_free(&sql);
    return rc;
}

static int table_open(tug_pg *db, const char *table, const char *const *columns,
                      const tug_pg_copy_options *o, bool is_out, const char *what,
                      const void *place, tug_pg_copy **ret_copy)
{
    tug_pg_copy_options all = TUG_PG_COPY_OPTIONS_INIT;
    tug_pg *session = NULL;
    tug_pg_copy *copy = NULL;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    int rc = table_check_format(&all, what);
    rc = rc < 0 ? rc : tug__pg_flow_take(db, what, place, &session);
    rc = rc < 0 ? rc
                : table_open_on(session != NULL ? session : db, db, session, table, columns, &all,
                                is_out, &copy);
    if (rc == 0) {
        copy->format = all.format;
        *ret_copy = copy;
    }
    return rc;
}

int tug_pg_copy_in_table(tug_pg *db, const char *table, const char *const *columns,
                         const tug_pg_copy_options *o, tug_pg_copy **ret_copy)
{
    return table_open(db, table, columns, o, false, "tug_pg_copy_in_table",
                      __builtin_return_address(0), ret_copy);
}

int tug_pg_copy_out_table(tug_pg *db, const char *table, const char *const *columns,
                          const tug_pg_copy_options *o, tug_pg_copy **ret_copy)
{
    return table_open(db, table, columns, o, true, "tug_pg_copy_out_table",
                      __builtin_return_address(0), ret_copy);
}
