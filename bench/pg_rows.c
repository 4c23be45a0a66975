/* pg.rows: a table of 1 M rows of three int4 as one result, all of it scanned, against PQexecPrepared
 * and a loop over its PGresult: binary, the length of each value checked, all summed up. */
#include "pg_flow.h"

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct pg_flow *f = state;
    TUG_AUTO(tug_pg_result) res = NULL;
    int32_t a, b, c;
    int64_t sum = 0;
    (void)until; /* one pass over all of it */
    int rc = tug_pg_query(f->session, f->sql, TUG_NO_ARGS, &res);
    size_t n = rc == 0 ? tug_pg_result_rows(res) : 0;
    for (size_t row = 0; rc == 0 && row < n; row++) {
        rc = tug_pg_scan(res, row, TUG_OUT(&a, &b, &c));
        sum += (int64_t)a + b + c;
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
    (void)until;
    PGresult *res = PQexecPrepared(f->bare, "bench", 0, NULL, NULL, NULL, 1);
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        PQclear(res);
        return pg_flow_bare_failed(f, "query");
    }
    int n = PQntuples(res);
    for (int row = 0; row < n; row++) {
        sum += (int64_t)pg_flow_bare_int(res, row, 0, &is_good) +
               pg_flow_bare_int(res, row, 1, &is_good) + pg_flow_bare_int(res, row, 2, &is_good);
    }
    PQclear(res);
    *ret_done = (uint64_t)n;
    return is_good && *ret_done == f->rows && sum == pg_flow_sum(*ret_done)
               ? 0
               : pg_flow_wrong(*ret_done, sum);
}

static int run(void)
{
    const struct pg_flow_bench b = {.name = "pg.rows",
                                    .is_filled = true,
                                    .sql = "select a, b, c from @",
                                    .ours = ours,
                                    .limit = limit};
    return pg_flow_run(&b);
}

const struct bench bench_pg_rows = {
    .name = "pg.rows",
    .what = "1 M rows of three int4 in one result; limit: PQexecPrepared and a loop over it",
    .run = run,
};
