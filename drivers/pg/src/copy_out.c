/* Data of a COPY that come out. The connection fills one buffer while the reader has the other. */
#include "copy.h"

#include <string.h>
#include <tug/sys/alloc.h>

#include "be.h"

static void out_pull(void *arg)
{
    tug_pg_copy *copy = arg;
    if (copy->flow.holding != NULL) {
        tug__pg_connection_resume(copy->flow.holding->connection);
    }
}

/* 1: there are bytes in copier.data; 0: that was all. */
static int out_wait(tug_pg_copy *copy, const char *what)
{
    int rc = tug__pg_copy_check(copy, true, what);
    rc = rc < 0 ? rc : tug_checkpoint();
    while (rc == 0 && copy->copier.data.size == 0 && copy->state == TUG__PG_COPYING_OPEN) {
        tug_on_loop_stack(out_pull, copy);
        if (copy->copier.data.size == 0 && copy->state == TUG__PG_COPYING_OPEN) {
            rc = tug_park(&copy->moved, NULL, "pg.copy");
        }
    }
    if (rc == TUG_ECANCELED && tug_last_error()->code == rc) {
        tug_error e = *tug_last_error(); /* COPY (INSERT ... RETURNING ...) */
        e.sent = copy->error.code < 0 ? TUG_ANSWERED : TUG_IN_FLIGHT;
        return tug_fail_with(&e);
    }
    if (rc < 0) {
        return rc;
    }
    if (copy->is_torn) {
        return tug_fail(TUG_EMISUSE,
                        "%s: tug_pg_copy_to_fd was cut short, and what it could not write is lost",
                        what);
    }
    if (copy->copier.data.size > 0) {
        return 1;
    }
    return copy->error.code < 0 ? tug_fail_with(&copy->error) : 0;
}

int tug_pg_copy_read(tug_pg_copy *copy, struct tug_bytes *ret_data)
{
    int rc = out_wait(copy, "tug_pg_copy_read");
    if (rc <= 0) {
        return rc;
    }
    tug__pg_bytes data = copy->copier.data;
    copy->copier.data = copy->reading;
    copy->copier.data.size = 0;
    copy->reading = data;
    if (copy->flow.holding != NULL && data.size >= TUG__PG_COPY_FULL) {
        tug__pg_connection_copy_more(copy->flow.holding->connection);
    }
    *ret_data = tug_bytes(data.data, data.size);
    return 1;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int out_malformed(const tug_pg_copy *copy)
{
    return tug_fail(TUG_EPROTO, "row %llu of this COPY is not what its columns say",
                    (unsigned long long)(copy->given + 1));
}

/* A result with no row, for the columns' names and types. */
static int out_make_row(tug_pg_copy *copy)
{
    const tug__pg_shape *shape = copy->shape;
    PGresAttDesc *attributes = tug_calloc(shape->n, sizeof *attributes);
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    copy->raw = tug_calloc(shape->n, sizeof *copy->raw);
    for (size_t i = 0; i < shape->n && attributes != NULL; i++) {
        attributes[i] = (PGresAttDesc){
            .name = shape->names[i], .format = 1, .typid = shape->types[i]};
    }
    bool ok = attributes != NULL && res != NULL && copy->raw != NULL &&
              PQsetResultAttrs(res, (int)shape->n, attributes) != 0;
    tug_free(attributes);
    if (!ok) {
        PQclear(res);
        return tug_fail(TUG_ENOMEM, "out of memory for a COPY");
    }
    copy->out_shape = res;
    int rc = tug__pg_result_new(res, &copy->row);
    if (rc < 0) {
        copy->out_shape = NULL; /* it was cleared */
    }
    return rc;
}

/* The next block, of whole rows as the server sends them. 1, 0, < 0. */
static int out_more(tug_pg_copy *copy)
{
    struct tug_bytes data;
    copy->read_at = 0;
    copy->reading.size = 0;
    return tug_pg_copy_read(copy, &data);
}

/* The row at read_at into raw: 1; 0: the trailer; < 0. */
static int out_parse(tug_pg_copy *copy)
{
    const char *at = copy->reading.data + copy->read_at;
    const char *end = copy->reading.data + copy->reading.size;
    size_t n = copy->shape->n;
    if (end - at < 2) {
        return out_malformed(copy);
    }
    int fields = (int16_t)tug__pg_get16(at);
    at += 2;
    if (fields < 0) {
        copy->read_at = copy->reading.size;
        return 0;
    }
    /* Each value and a 0 behind it: borrowed text ends with one, and the server sends none. */
    copy->values.size = 0;
    int rc = (size_t)fields == n ? tug__pg_bytes_reserve(&copy->values, (size_t)(end - at) + n)
                                 : out_malformed(copy);
    char *to = copy->values.data;
    for (size_t i = 0; i < n && rc == 0; i++) {
        int size = end - at >= 4 ? (int32_t)tug__pg_get32(at) : INT32_MAX;
        at += 4;
        if (size < 0) {
            copy->raw[i] = (tug__pg_raw){NULL, -1};
        } else if (size > end - at) {
            rc = out_malformed(copy);
        } else {
            memcpy(to, at, (size_t)size);
            to[size] = '\0';
            copy->raw[i] = (tug__pg_raw){to, size};
            to += size + 1;
            at += size;
        }
    }
    copy->read_at = (size_t)(at - copy->reading.data);
    return rc < 0 ? rc : 1;
}

static int out_header(tug_pg_copy *copy)
{
    enum {
        HEADER = 19
    };
    size_t left = copy->reading.size - copy->read_at;
    if (left < HEADER || memcmp(copy->reading.data, "PGCOPY\n\377\r\n", 11) != 0) {
        return tug_fail(TUG_EPROTO, "this COPY does not begin as a binary one does");
    }
    size_t extension = tug__pg_get32(copy->reading.data + 15);
    if (extension > left - HEADER) {
        return tug_fail(TUG_EPROTO, "the header of this COPY breaks off");
    }
    copy->began = true;
    copy->read_at += HEADER + extension;
    return 0;
}

int tug_pg_copy_next(tug_pg_copy *copy)
{
    int rc = tug__pg_copy_check(copy, true, "tug_pg_copy_next");
    if (rc == 0 && (copy->shape == NULL || copy->format != TUG_PG_COPY_BINARY)) {
        return tug_fail(TUG_EMISUSE,
                        "tug_pg_copy_next: rows are of tug_pg_copy_out_table in binary only");
    }
    rc = rc < 0 || copy->row != NULL ? rc : out_make_row(copy);
    if (rc < 0) {
        return rc;
    }
    tug__pg_result_show(copy->row, copy->out_shape, NULL, 0);
    if (copy->read_at < copy->reading.size) {
        rc = tug_checkpoint();
    }
    while (rc == 0 && copy->read_at >= copy->reading.size) {
        rc = out_more(copy);
        if (rc <= 0) {
            return rc;
        }
        rc = copy->began ? 0 : out_header(copy);
    }
    rc = rc < 0 ? rc : out_parse(copy);
    if (rc > 0) {
        tug__pg_result_show(copy->row, copy->out_shape, copy->raw, copy->given++);
    }
    /* Behind the trailer come the server's last words: whether all of it is well. */
    return rc == 0 ? out_more(copy) : rc;
}

int tug_pg_copy_scan(const tug_pg_copy *copy, tug_out out)
{
    if (copy->row == NULL || tug_pg_result_rows(copy->row) == 0) {
        return tug_fail(TUG_EMISUSE, "tug_pg_copy_scan: there is no current row");
    }
    return tug_pg_scan(copy->row, 0, out);
}
