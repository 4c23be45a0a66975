/* Data for a COPY. They are put into a buffer of our own, from the task; the connection hands them to
 * libpq at the end of the turn, on the loop's stack. A writer that is faster than the server waits
 * when the buffer is full. */
#include "copy.h"

#include <stdio.h>
#include <string.h>

int tug__pg_copy_wait_room(tug_pg_copy *copy, const char *what)
{
    int rc = tug__pg_copy_check(copy, false, what);
    rc = rc < 0 ? rc : tug_checkpoint();
    while (rc == 0 && copy->state == TUG__PG_COPYING_OPEN &&
           copy->copier.data.size - copy->copier.at >= TUG__PG_COPY_FULL) {
        rc = tug_park(&copy->moved, NULL, "pg.copy");
    }
    if (rc == 0 && copy->state != TUG__PG_COPYING_OPEN) {
        return copy->error.code < 0
                   ? tug_fail_with(&copy->error)
                   : tug_fail(TUG_EMISUSE, "%s: this COPY was finished already", what);
    }
    return rc;
}

/* What was sent makes room: a writer that never lets the buffer run empty must not make it grow. */
static void copy_compact(tug__pg_copier *copier)
{
    if (copier->at >= TUG__PG_COPY_LOW) {
        copier->data.size -= copier->at;
        memmove(copier->data.data, copier->data.data + copier->at, copier->data.size);
        copier->at = 0;
    }
}

int tug_pg_copy_write(tug_pg_copy *copy, struct tug_bytes data)
{
    int rc = tug__pg_copy_wait_room(copy, "tug_pg_copy_write");
    return rc < 0 ? rc : tug__pg_copy_put(copy, data);
}

int tug__pg_copy_put(tug_pg_copy *copy, struct tug_bytes data)
{
    const char *from = data.data;
    size_t left = data.size;
    int rc = 0;
    copy->has_blocks = true;
    while (rc == 0 && left > 0) {
        tug__pg_copier *copier = &copy->copier;
        copy_compact(copier);
        size_t used = copier->data.size - copier->at;
        size_t room = used < TUG__PG_COPY_FULL ? TUG__PG_COPY_FULL - used : 0;
        /* A block goes in whole, so that no cancel can come into its middle. */
        room = room < TUG__PG_COPY_BLOCK ? TUG__PG_COPY_BLOCK : room;
        size_t part = left < room ? left : room;
        rc = tug__pg_bytes_reserve(&copier->data, part);
        if (rc < 0) {
            break;
        }
        memcpy(copier->data.data + copier->data.size, from, part);
        copier->data.size += part;
        from += part;
        left -= part;
        tug__pg_connection_copy_more(copy->flow.holding->connection);
        rc = left > 0 ? tug__pg_copy_wait_room(copy, "tug_pg_copy_write") : 0;
    }
    copy->is_torn = copy->is_torn || (rc < 0 && left < data.size);
    return rc;
}

/* The detail says which column; the row is for those who load a million of them. */
static int copy_row_failed(const tug_pg_copy *copy, int rc)
{
    tug_error e = *tug_last_error();
    char text[sizeof e.text];
    memcpy(text, e.text, sizeof text);
    snprintf(e.text, sizeof e.text, "row %llu, %.*s", (unsigned long long)copy->given + 1,
             (int)sizeof e.text - 32, text);
    return e.code == rc ? tug_fail_with(&e) : rc;
}

int tug_pg_copy_row(tug_pg_copy *copy, tug_args row)
{
    int rc = tug__pg_copy_wait_room(copy, "tug_pg_copy_row");
    if (rc < 0) {
        return rc;
    }
    copy_compact(&copy->copier);
    tug__pg_bytes *to = &copy->copier.data;
    bool is_binary = copy->shape != NULL && copy->format == TUG_PG_COPY_BINARY;
    if (is_binary && copy->has_blocks) {
        return tug_fail(TUG_EMISUSE, "tug_pg_copy_row: blocks of a binary file were written");
    }
    if (is_binary) {
        rc = tug__pg_shape_put_row(copy->shape, row, to);
    } else if (copy->format == TUG_PG_COPY_CSV) {
        return tug_fail(TUG_EMISUSE, "tug_pg_copy_row: csv is for tug_pg_copy_write");
    } else {
        rc = tug__pg_copy_row(to, row);
    }
    if (rc < 0) {
        return copy_row_failed(copy, rc);
    }
    copy->given++;
    tug__pg_connection_copy_more(copy->flow.holding->connection);
    return 0;
}

static int copy_put_trailer(tug_pg_copy *copy)
{
    bool is_binary = copy->shape != NULL && copy->format == TUG_PG_COPY_BINARY;
    return is_binary && !copy->has_blocks ? tug__pg_shape_put_end(copy->shape, &copy->copier.data)
                                          : 0;
}

int tug_pg_copy_finish(tug_pg_copy *copy, int64_t *ret_rows)
{
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (copy->state == TUG__PG_COPYING_FINISHING || copy->was_finished) {
        return tug_fail(TUG_EMISUSE, "tug_pg_copy_finish: this COPY was finished already");
    }
    if (copy->is_torn && !copy->copier.is_out && copy->state == TUG__PG_COPYING_OPEN) {
        return tug_fail(TUG_EMISUSE,
                        "tug_pg_copy_finish: a write was cut short, and a part of it is in the "
                        "data: close this COPY");
    }
    if (copy->copier.is_out) {
        struct tug_bytes skipped;
        copy->is_torn = false;
        while ((rc = tug_pg_copy_read(copy, &skipped)) > 0) {
        }
        if (rc < 0) {
            return rc;
        }
    }
    if (copy->state == TUG__PG_COPYING_OPEN) {
        rc = copy_put_trailer(copy);
        if (rc < 0) {
            return rc;
        }
        copy->state = TUG__PG_COPYING_FINISHING;
        copy->copier.finish = true;
        tug__pg_connection_copy_more(copy->flow.holding->connection);
        rc = tug_park(&copy->over, NULL, "pg.copy_finish");
        if (rc == TUG_ECANCELED) {
            tug_error e = *tug_last_error();
            e.sent = TUG_IN_FLIGHT;
            return tug_fail_with(&e);
        }
    }
    if (copy->error.code < 0) {
        return tug_fail_with(&copy->error);
    }
    copy->was_finished = true;
    if (ret_rows != NULL) {
        *ret_rows = copy->rows;
    }
    return 0;
}
