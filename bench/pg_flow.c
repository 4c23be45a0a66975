#include "pg_flow.h"

#include <stdio.h>
#include <string.h>
#include <tug/sys/driver.h>
#include <unistd.h>

enum {
    ROWS = 1000000,
    ROWS_QUICK = 20000
};

int pg_flow_bare_failed(const struct pg_flow *f, const char *what)
{
    return tug_fail(TUG_ESERVER, "the bare loop: %s: %s", what, PQerrorMessage(f->bare));
}

int pg_flow_wrong(uint64_t rows, int64_t sum)
{
    return tug_fail(TUG_EPROTO, "%llu rows with the sum %lld came", (unsigned long long)rows,
                    (long long)sum);
}

/* --- set-up ----------------------------------------------------------------------------------- */

/* sql with the table for each @. */
static void put_table(char *to, const char *sql, const char *table)
{
    for (; *sql != '\0'; sql++) {
        to += *sql == '@' ? sprintf(to, "%s", table) : sprintf(to, "%c", *sql);
    }
}

static int run_sql(struct pg_flow *f, const char *text, const char *table, tug_args args)
{
    char sql[256];
    put_table(sql, text, table);
    return tug_pg_exec(f->session, sql, args, NULL);
}

static int make_tables(struct pg_flow *f, const struct pg_flow_bench *b)
{
    char create[200];
    snprintf(f->table, sizeof f->table, "tug_bench_%d", (int)getpid());
    snprintf(f->bare_table, sizeof f->bare_table, "tug_bench_%d_bare", (int)getpid());
    snprintf(create, sizeof create, "create unlogged table @ (%s)",
             b->is_filled ? "a int4, b int4, c int4" : b->columns);
    int rc = run_sql(f, create, f->table, TUG_NO_ARGS);
    if (rc == 0 && !b->is_filled) {
        rc = run_sql(f, create, f->bare_table, TUG_NO_ARGS);
    }
    if (rc == 0 && b->is_filled) {
        rc = run_sql(f, "insert into @ select i, i * 2, -i from generate_series(1, $1::int4) i",
                     f->table, TUG_ARGS(f->rows));
        /* Hint bits and the map of visible pages are set once, and not in a slice. */
        rc = rc < 0 ? rc : run_sql(f, "vacuum analyze @", f->table, TUG_NO_ARGS);
    }
    return rc;
}

struct bare_open {
    struct pg_flow *f;
    const char *url;
    int rc;
    tug_error error;
};

static void bare_connect(void *arg)
{
    struct bare_open *o = arg;
    struct pg_flow *f = o->f;
    f->bare = PQconnectdb(o->url);
    if (PQstatus(f->bare) != CONNECTION_OK) {
        o->rc = pg_flow_bare_failed(f, "connect");
    } else if (f->sql[0] != '\0') {
        PGresult *res = PQprepare(f->bare, "bench", f->sql, 0, NULL);
        o->rc = PQresultStatus(res) == PGRES_COMMAND_OK ? 0 : pg_flow_bare_failed(f, "prepare");
        PQclear(res);
    }
    if (o->rc < 0) {
        o->error = *tug_last_error();
    }
}

static int open_both(struct pg_flow *f, const struct pg_flow_bench *b, const char *url)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    int rc = tug_pg_open(url, &o, &f->db);
    rc = rc < 0 ? rc : tug_pg_acquire(f->db, &f->session);
    rc = rc < 0 ? rc : make_tables(f, b);
    if (rc < 0) {
        return rc;
    }
    if (b->sql != NULL) {
        put_table(f->sql, b->sql, f->table);
    }
    struct bare_open open = {.f = f, .url = url};
    tug_on_loop_stack(bare_connect, &open);
    rc = open.rc < 0 ? tug_fail_with(&open.error) : 0;
    return rc == 0 && b->begin != NULL ? b->begin(f) : rc;
}

/* --- placement -------------------------------------------------------------------------------- */

static int compare(struct pg_flow *f, const struct pg_flow_bench *b, const char *name)
{
    const struct bench_compare c = {.name = name,
                                    .ours = b->ours,
                                    .limit = b->limit,
                                    .state = f,
                                    .spent = b->spent,
                                    .spent_limit = b->spent,
                                    .figures = {{"", BENCH_RATE, "rows/s"}}};
    return bench_compare(&c);
}

static int run_both(struct pg_flow *f, const struct pg_flow_bench *b)
{
    int pids[2] = {0, PQbackendPID(f->bare)};
    char apart[48];
    struct bench_pin pin = {.is_set = false};
    int rc = tug_pg_query_one(f->session, "select pg_backend_pid()", TUG_NO_ARGS,
                              TUG_OUT(&pids[0]));
    if (rc < 0) {
        return rc;
    }
    bench_pin(&pin, b->name, pids, 2);
    rc = compare(f, b, b->name);
    bench_unpin(&pin);
    snprintf(apart, sizeof apart, "%s.2cores", b->name);
    if (rc == 0 && bench_put_apart(b->name, pids, 2)) {
        bench_pin(&pin, apart, NULL, 0);
        rc = compare(f, b, apart);
        bench_unpin(&pin);
    }
    return rc;
}

int pg_flow_run(const struct pg_flow_bench *b)
{
    struct pg_flow f = {.rows = bench_is_quick() ? ROWS_QUICK : ROWS, .extra = b->extra};
    const char *url;
    int rc = bench_url("TUG_PG_URL", &url);
    rc = rc < 0 ? rc : open_both(&f, b, url);
    rc = rc < 0 ? rc : run_both(&f, b);
    tug_error e = *tug_last_error();
    PQfinish(f.bare);
    if (f.session != NULL) {
        TUG_IGNORE(run_sql(&f, "drop table if exists @", f.table, TUG_NO_ARGS));
        TUG_IGNORE(run_sql(&f, "drop table if exists @", f.bare_table, TUG_NO_ARGS));
    }
    tug_pg_close(f.session);
    tug_pg_close(f.db);
    return rc < 0 ? tug_fail_with(&e) : 0;
}
