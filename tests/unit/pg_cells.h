/* Results without a server: libpq lets a program build its own PGresult. For the tests of pg values. */
#ifndef TUG_TESTS_PG_CELLS_H
#define TUG_TESTS_PG_CELLS_H

#include "result.h"
#include "type.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

enum {
    CELLS_TEXT,
    CELLS_BINARY
};

typedef struct cells_column {
    const char *name;
    Oid type;
    int format;
} cells_column;

static inline PGresult *cells_new(const cells_column *columns, int n)
{
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc *attributes = calloc((size_t)n + 1, sizeof *attributes);
    assert_non_null(res);
    assert_non_null(attributes);
    for (int i = 0; i < n; i++) {
        attributes[i] = (PGresAttDesc){.name = (char *)columns[i].name,
                                       .format = columns[i].format,
                                       .typid = columns[i].type,
                                       .typlen = -1,
                                       .atttypmod = -1};
    }
    if (n > 0) {
        assert_int_equal(PQsetResultAttrs(res, n, attributes), 1);
    }
    free(attributes);
    return res;
}

/* size < 0: NULL. */
static inline void cells_set(PGresult *res, int row, int column, const void *data, int size)
{
    assert_int_equal(PQsetvalue(res, row, column, size < 0 ? NULL : (char *)(uintptr_t)data, size),
                     1);
}

/* One row, one column "x". */
static inline tug_pg_result *cells_one(Oid type, int format, const void *data, int size)
{
    const cells_column column = {"x", type, format};
    tug_pg_result *result = NULL;
    PGresult *res = cells_new(&column, 1);
    cells_set(res, 0, 0, data, size);
    assert_ok(tug__pg_result_new(res, &result));
    return result;
}

static inline tug_pg_result *cells_text(Oid type, const char *text)
{
    return cells_one(type, CELLS_TEXT, text, (int)strlen(text));
}

/* A generator of its own, so that a failure comes again on each machine. */
static inline uint64_t cells_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#define CELLS_BYTES(literal) literal, (int)sizeof(literal) - 1

static inline void cells_check_int(Oid type, int format, const char *data, int size,
                                   int64_t expected)
{
    int64_t x = 0;
    tug_pg_result *res = cells_one(type, format, data, size);
    assert_ok(tug_pg_result_int64(res, 0, 0, &x));
    assert_true(x == expected);
    tug_pg_result_unref(res);
}

/* The place must fail with this, and nothing is written into it. */
static inline void cells_check_fails(tug_pg_result *res, tug_slot slot, int code,
                                     const char *detail)
{
    unsigned char before[64];
    assert_true(slot.size <= sizeof before);
    memcpy(before, slot.to, slot.size);
    assert_rc(tug_pg_result_value(res, 0, 0, slot), code);
    assert_detail_has(detail);
    assert_memory_equal(before, slot.to, slot.size);
    tug_pg_result_unref(res);
}

static inline void cells_check_dup(Oid type, int format, const char *data, int size,
                                   const char *expected)
{
    char *text = NULL;
    char copy[128];
    tug_buffer *buffer = NULL;
    tug_pg_result *res = cells_one(type, format, data, size);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_DUP(&text))));
    assert_string_equal(text, expected);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(TUG_COPY(copy))));
    assert_string_equal(copy, expected);
    assert_ok(tug_pg_scan(res, 0, TUG_OUT(&buffer)));
    assert_int_equal(tug_buffer_bytes(buffer).size, strlen(expected));
    assert_string_equal(tug_buffer_bytes(buffer).data, expected);
    tug_buffer_unref(buffer);
    free(text);
    tug_pg_result_unref(res);
}

#endif
