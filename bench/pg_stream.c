/* pg.stream: a table of 1 M rows of three int4, read row by row, against libpq's single-row mode in a
 * blocking loop: prepared, binary, the length of each value checked, all summed up. */
#include <tug/pg_rows.h>

#include "pg_flow.h"

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct pg_flow *f = state;
    TUG_AUTO(tug_pg_rows) rows = NULL;
    int32_t a, b, c;
    int64_t sum = 0;
    uint64_t n = 0;
    (void)until; /* one pass over all of it */
    int rc = tug_pg_rows_open(f->session, f->sql, TUG_NO_ARGS, NULL, &rows);
    while (rc == 0 && (rc = tug_pg_rows_next(rows)) > 0) {
        rc = tug_pg_rows_scan(rows, TUG_OUT(&a, &b, &c));
        sum += (int64_t)a + b + c;
        n++;
    }
    if (rc == 0 && (n != f->rows || sum != pg_flow_sum(n))) {
        rc = pg_flow_wrong(n, sum);
    }
    *ret_done = n;
    return rc;
}

static int limit(void *state, tug_time until, uint64_t *ret_done)
{
    struct pg_flow *f = state;
    bool is_good = true;
    int64_t sum = 0;
    uint64_t n = 0;
    (void)until;
    if (PQsendQueryPrepared(f->bare, "bench", 0, NULL, NULL, NULL, 1) != 1 ||
        PQsetSingleRowMode(f->bare) != 1) {
        return pg_flow_bare_failed(f, "send");
    }
    PGresult *res;
    while ((res = PQgetResult(f->bare)) != NULL) {
        if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
            sum += (int64_t)pg_flow_bare_int(res, 0, 0, &is_good) +
                   pg_flow_bare_int(res, 0, 1, &is_good) + pg_flow_bare_int(res, 0, 2, &is_good);
            n++;
        } else if (PQresultStatus(res) != PGRES_TUPLES_OK) {
            is_good = false;
        }
        PQclear(res);
    }
    *ret_done = n;
    return is_good && n == f->rows && sum == pg_flow_sum(n) ? 0 : pg_flow_wrong(n, sum);
}

static int run(void)
{
    const struct pg_flow_bench b = {.name = "pg.stream",
                                    .is_filled = true,
                                    .sql = "select a, b, c from @",
                                    .ours = ours,
                                    .limit = limit};
    return pg_flow_run(&b);
}

const struct bench bench_pg_stream = {
    .name = "pg.stream",
    .what = "1 M rows of three int4, streamed; limit: libpq's single-row mode, blocking",
    .run = run,
};
