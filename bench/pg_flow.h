/* What:      what the benches of rows and COPY share: a table, one connection for each side, and both
 *            placements: client and server on one core, and on two (NAME.2cores).
 * Ownership: of the bench; pg_flow_run closes all it has opened.
 * Context:   the main task of a bench.
 * Callbacks: the two slices, as in bench.h; state is the struct pg_flow.
 * Errors:    a negative code with the detail. */
#ifndef TUG_BENCH_PG_FLOW_H
#define TUG_BENCH_PG_FLOW_H

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <string.h>
#include <tug/pg.h>

#include "bench.h"

struct pg_flow {
    tug_pg *db, *session; /* ours */
    PGconn *bare;         /* the limit's, blocking */
    uint64_t rows;        /* in the table, or to be put there */
    char table[32], bare_table[32];
    char sql[160]; /* for the bench: prepared on bare as "bench" if it is not empty */
    void *extra;   /* the bench's own */
};

struct pg_flow_bench {
    const char *name;
    bool is_filled; /* the table has its rows: a, b, c int4; else it has the columns below */
    const char *columns;
    const char *sql; /* with @ for the table; NULL: none is prepared */
    bench_slice ours, limit;
    int (*begin)(struct pg_flow *f); /* may be NULL */
    void *extra;                     /* for the state */
    const tug_duration *spent;       /* of both sides, set by each; NULL: all of a slice's time */
};

TUG_SUSPENDS int pg_flow_run(const struct pg_flow_bench *b) TUG_CHECK;
int pg_flow_bare_failed(const struct pg_flow *f, const char *what) TUG_CHECK;

/* a + b + c of row i is i + 2 i - i. */
static inline int64_t pg_flow_sum(uint64_t rows)
{
    return (int64_t)(rows * (rows + 1));
}

int pg_flow_wrong(uint64_t rows, int64_t sum) TUG_CHECK;

/* An int4 of the limit. In the header, so that its loop calls nothing that it would not call elsewhere. */
static inline int32_t pg_flow_bare_int(const PGresult *res, int row, int column, bool *is_good)
{
    uint32_t wire = 0;
    *is_good = *is_good && PQgetlength(res, row, column) == (int)sizeof wire;
    memcpy(&wire, PQgetvalue(res, row, column), sizeof wire);
    return (int32_t)ntohl(wire);
}

#endif
