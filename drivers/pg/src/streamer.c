#include "streamer.h"

#include <assert.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

/* So much at first: it stays in the first-level cache together with libpq's own buffer. */
#define STREAMER_FIRST ((size_t)16 << 10)
/* When fewer rows than this fill the buffer, it grows: the switch between reader and loop is to be shared
 * by many. */
#define STREAMER_FEW 32
/* What a shape may grow by, for values that were decoded into it, before a fresh one takes its
 * place. */
#define STREAMER_SHAPE ((size_t)64 << 10)

/* The most that this result can take here: libpq counts its values' bytes, and more. */
static size_t streamer_need(const PGresult *res)
{
    size_t columns = (size_t)PQnfields(res);
    size_t rows = (size_t)PQntuples(res);
    return PQresultMemorySize(res) +
           rows * (sizeof(tug__pg_row) + columns * (sizeof(tug__pg_raw) + 1) + 8);
}

static void copy_value(char *to, const char *from, size_t size)
{
    /* The usual ones without a call. */
    if (size == 4) {
        memcpy(to, from, 4);
    } else if (size == 8) {
        memcpy(to, from, 8);
    } else {
        memcpy(to, from, size);
    }
    to[size] = '\0';
}

/* There is room. TUG_ELIMIT: the row is not there then. */
static int streamer_copy_row(tug__pg_streamer *s, const PGresult *res, int row, int columns)
{
    tug__pg_row *head = (tug__pg_row *)(void *)(s->buffer + s->used);
    char *to = (char *)&head->raw[columns];
    size_t bytes = 0;
    for (int i = 0; i < columns; i++) {
        int size = PQgetlength(res, row, i);
        if (size == 0 && PQgetisnull(res, row, i)) {
            head->raw[i] = (tug__pg_raw){NULL, -1};
            continue;
        }
        copy_value(to, PQgetvalue(res, row, i), (size_t)size);
        head->raw[i] = (tug__pg_raw){to, size};
        to += size + 1;
        bytes += (size_t)size;
    }
    if (bytes > s->max_row_bytes) {
        return tug_fail(TUG_ELIMIT, "a row of %zu bytes exceeds max_row_bytes (%zu)", bytes,
                        s->max_row_bytes);
    }
    head->size = ((size_t)(to - (char *)head) + 7) & ~(size_t)7;
    s->used += head->size;
    s->rows++;
    return 0;
}

static int streamer_copy(tug__pg_streamer *s, PGresult *res)
{
    int columns = PQnfields(res);
    int rows = PQntuples(res);
    bool was_empty = s->used == s->at;
    int rc = 0;
    for (int row = 0; row < rows && rc == 0; row++) {
        rc = streamer_copy_row(s, res, row, columns);
    }
    PQclear(res);
    if (was_empty && s->used > s->at) {
        s->arrived(s);
    }
    return rc;
}

/* The buffer is empty and nobody looks at it. */
static int streamer_grow(tug__pg_streamer *s, size_t need)
{
    size_t capacity = s->capacity > s->max_waiting ? s->max_waiting : s->capacity;
    if (capacity < STREAMER_FIRST) {
        capacity = STREAMER_FIRST;
    } else if (s->rows < STREAMER_FEW && capacity < s->max_waiting) {
        capacity *= 2;
    }
    if (capacity < need) {
        capacity = need;
    }
    if (capacity == s->capacity) {
        return 0;
    }
    tug_free(s->buffer);
    s->capacity = 0;
    s->buffer = tug_alloc(capacity);
    if (s->buffer == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for %zu bytes of rows", capacity);
    }
    s->capacity = capacity;
    return 0;
}

int tug__pg_streamer_put(tug__pg_streamer *s, PGresult *res)
{
    if (s->shape == NULL && (s->shape = PQcopyResult(res, PG_COPYRES_ATTRS)) == NULL) {
        PQclear(res);
        return tug_fail(TUG_ENOMEM, "out of memory for rows");
    }
    s->came += PQntuples(res);
    size_t need = streamer_need(res);
    if (need <= s->capacity - s->used) {
        return streamer_copy(s, res);
    }
    if (s->used > 0) {
        s->carry = res;
        return 0;
    }
    int rc = streamer_grow(s, need);
    if (rc < 0) {
        PQclear(res);
        return rc;
    }
    return streamer_copy(s, res);
}

/* Values that are decoded into memory of the result (bytea from text) go with a fresh shape. */
static int streamer_renew_shape(tug__pg_streamer *s)
{
    if (s->shape == NULL || PQresultMemorySize(s->shape) < STREAMER_SHAPE) {
        return 0;
    }
    PGresult *fresh = PQcopyResult(s->shape, PG_COPYRES_ATTRS);
    if (fresh == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for rows");
    }
    PQclear(s->shape);
    s->shape = fresh;
    return 0;
}

int tug__pg_streamer_clear(tug__pg_streamer *s)
{
    assert(s->at == s->used && "rows that were not read are not thrown away");
    PGresult *res = s->carry;
    int rc = streamer_renew_shape(s);
    s->used = s->at = 0;
    s->carry = NULL;
    if (res != NULL) {
        rc = rc < 0 ? rc : streamer_grow(s, streamer_need(res));
        s->rows = 0;
        if (rc < 0) {
            PQclear(res);
            return rc;
        }
        return streamer_copy(s, res);
    }
    s->rows = 0;
    return rc;
}

void tug__pg_streamer_free(tug__pg_streamer *s)
{
    PQclear(s->carry);
    PQclear(s->shape);
    tug_free(s->buffer);
    s->carry = s->shape = NULL;
    s->buffer = NULL;
}
