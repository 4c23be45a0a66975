/* pg.copy_in: 1 M rows of five columns into an unlogged table, in binary, from values, against
 * PQputCopyData of bytes that were prepared before. Each row of ours is checked against the columns'
 * types and encoded. The table is emptied between the slices, outside of their time. */
#include <stdlib.h>
#include <string.h>
#include <tug/sys/driver.h>

#include "pg_flow.h"

enum {
    BLOCK = 65536 /* for each PQputCopyData */
};

struct prepared {
    char *data;
    size_t size, capacity;
    tug_duration spent;
};

static tug_args put_row(tug_value v[5], uint64_t i)
{
    v[0] = tug_int64((int64_t)i);
    v[1] = tug_int64((int64_t)(i * 1000003));
    v[2] = tug_double((double)i / 8);
    v[3] = tug_text_n("a text of twenty-two.", 21);
    v[4] = tug_timestamp_value((struct tug_timestamp){(int64_t)(1700000000000000 + i)});
    return (tug_args){v, 5};
}

static int check_rows(const struct pg_flow *f, int64_t rows)
{
    if (rows != (int64_t)f->rows) {
        return tug_fail(TUG_EPROTO, "%lld rows were taken", (long long)rows);
    }
    return 0;
}

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct pg_flow *f = state;
    TUG_AUTO(tug_pg_copy) copy = NULL;
    char sql[64] = "truncate ";
    tug_value v[5];
    int64_t rows = 0;
    (void)until; /* one pass */
    int rc = tug_pg_exec(f->session, strcat(sql, f->table), TUG_NO_ARGS, NULL);
    tug_time start = bench_now();
    rc = rc < 0 ? rc : tug_pg_copy_in_table(f->session, f->table, NULL, NULL, &copy);
    for (uint64_t i = 0; rc == 0 && i < f->rows; i++) {
        rc = tug_pg_copy_row(copy, put_row(v, i));
    }
    rc = rc < 0 ? rc : tug_pg_copy_finish(copy, &rows);
    ((struct prepared *)f->extra)->spent = bench_now() - start;
    *ret_done = (uint64_t)rows;
    return rc < 0 ? rc : check_rows(f, rows);
}

static int bare_do(struct pg_flow *f, const char *what, const char *sql, ExecStatusType wanted)
{
    PGresult *res = PQexec(f->bare, sql);
    int rc = PQresultStatus(res) == wanted ? 0 : pg_flow_bare_failed(f, what);
    PQclear(res);
    return rc;
}

static int limit(void *state, tug_time until, uint64_t *ret_done)
{
    struct pg_flow *f = state;
    const struct prepared *p = f->extra;
    char truncate[64] = "truncate ", copy[80] = "copy ";
    (void)until;
    strcat(copy, f->bare_table);
    int rc = bare_do(f, "truncate", strcat(truncate, f->bare_table), PGRES_COMMAND_OK);
    tug_time start = bench_now();
    rc = rc < 0 ? rc
                : bare_do(f, "copy", strcat(copy, " from stdin (format binary)"), PGRES_COPY_IN);
    for (size_t at = 0; rc == 0 && at < p->size; at += BLOCK) {
        size_t left = p->size - at;
        if (PQputCopyData(f->bare, p->data + at, left < BLOCK ? (int)left : BLOCK) != 1) {
            rc = pg_flow_bare_failed(f, "data");
        }
    }
    if (rc == 0 && PQputCopyEnd(f->bare, NULL) != 1) {
        rc = pg_flow_bare_failed(f, "end");
    }
    PGresult *res;
    int64_t rows = 0;
    while ((res = PQgetResult(f->bare)) != NULL) {
        rows = strtoll(PQcmdTuples(res), NULL, 10);
        PQclear(res);
    }
    ((struct prepared *)f->extra)->spent = bench_now() - start;
    *ret_done = (uint64_t)rows;
    return rc < 0 ? rc : check_rows(f, rows);
}

/* The very bytes that the server gives for such a table are what it takes. */
static int prepare(struct pg_flow *f)
{
    struct prepared *p = f->extra;
    TUG_AUTO(tug_pg_copy) in = NULL;
    TUG_AUTO(tug_pg_copy) out = NULL;
    tug_value v[5];
    struct tug_bytes data;
    int rc = tug_pg_copy_in_table(f->session, f->table, NULL, NULL, &in);
    for (uint64_t i = 0; rc == 0 && i < f->rows; i++) {
        rc = tug_pg_copy_row(in, put_row(v, i));
    }
    rc = rc < 0 ? rc : tug_pg_copy_finish(in, NULL);
    rc = rc < 0 ? rc : tug_pg_copy_out_table(f->session, f->table, NULL, NULL, &out);
    while (rc == 0 && (rc = tug_pg_copy_read(out, &data)) > 0) {
        if (p->size + data.size > p->capacity) {
            p->capacity = 2 * (p->size + data.size);
            p->data = realloc(p->data, p->capacity);
        }
        if (p->data == NULL) {
            return tug_fail(TUG_ENOMEM, "no memory for the prepared bytes");
        }
        memcpy(p->data + p->size, data.data, data.size);
        p->size += data.size;
        rc = 0;
    }
    return rc;
}

static int run(void)
{
    struct prepared p = {.data = NULL};
    const struct pg_flow_bench b = {.name = "pg.copy_in",
                                    .columns = "a int4, b int8, c float8, d text, e timestamptz",
                                    .ours = ours,
                                    .limit = limit,
                                    .begin = prepare,
                                    .extra = &p,
                                    .spent = &p.spent};
    int rc = pg_flow_run(&b);
    tug_error e = *tug_last_error();
    free(p.data);
    return rc < 0 ? tug_fail_with(&e) : 0;
}

const struct bench bench_pg_copy_in = {
    .name = "pg.copy_in",
    .what =
        "1 M rows of five columns, binary COPY from values; limit: PQputCopyData of ready bytes",
    .run = run,
};
