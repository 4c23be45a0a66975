/* pg.pipeline: `select $1::int4 + 1` by 128 tasks over one connection, against a loop over libpq
 * that keeps 128 of them in flight: prepared, binary, one Sync for each. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <string.h>
#include <tug/group.h>
#include <tug/pg.h>
#include <tug/sys/driver.h>

#include "bench.h"

enum {
    DEPTH = 128
};

static const char SQL[] = "select $1::int4 + 1";
static const char NAME[] = "bench";

struct pipeline {
    tug_pg *db;
    PGconn *bare;
    tug_time until;
    uint64_t done;
};

static int wrong(int64_t asked, int64_t got)
{
    return tug_fail(TUG_EPROTO, "%lld + 1 came back as %lld", (long long)asked, (long long)got);
}

/* --- ours ----------------------------------------------------------------------------------- */

static int ask(void *arg)
{
    struct pipeline *p = arg;
    while (tug_turn_time() < p->until) {
        int32_t n = (int32_t)(p->done & 0xffff);
        int32_t sum = 0;
        int rc = tug_pg_query_one(p->db, SQL, TUG_ARGS(n), TUG_OUT(&sum));
        if (rc < 0) {
            return rc;
        }
        if (sum != n + 1) {
            return wrong(n, sum);
        }
        p->done++;
    }
    return 0;
}

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct pipeline *p = state;
    tug_group g;
    p->until = until;
    p->done = 0;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < DEPTH; i++) {
        tug_group_spawn(&g, ask, p);
    }
    int rc = tug_group_leave(&g, 0);
    *ret_done = p->done;
    return rc;
}

/* --- the limit ------------------------------------------------------------------------------ */

static int bare_failed(PGconn *bare, const char *what)
{
    return tug_fail(TUG_ESERVER, "the bare loop: %s: %s", what, PQerrorMessage(bare));
}

static int bare_send(PGconn *bare, int32_t n)
{
    uint32_t wire = htonl((uint32_t)n);
    const char *value = (const char *)&wire;
    const int length = sizeof wire;
    const int binary = 1;
    if (PQsendQueryPrepared(bare, NAME, 1, &value, &length, &binary, 1) != 1 ||
        PQpipelineSync(bare) != 1) {
        return bare_failed(bare, "send");
    }
    return 0;
}

/* Waits until libpq can read, sending what it still has to send. */
static int bare_wait(PGconn *bare)
{
    for (;;) {
        int unsent = PQflush(bare);
        struct pollfd fd = {.fd = PQsocket(bare),
                            .events = unsent == 1 ? POLLIN | POLLOUT : POLLIN};
        if (unsent < 0 || poll(&fd, 1, -1) < 0) {
            return bare_failed(bare, "flush");
        }
        if ((fd.revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
            return PQconsumeInput(bare) == 1 ? 0 : bare_failed(bare, "read");
        }
    }
}

/* The next result that libpq has whole, NULL between two queries; *ret_any: was there one. */
static PGresult *bare_next(PGconn *bare, bool *ret_any)
{
    *ret_any = PQisBusy(bare) == 0;
    return *ret_any ? PQgetResult(bare) : NULL;
}

static int bare_check(PGconn *bare, const PGresult *res, int32_t n)
{
    uint32_t wire = 0;
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQgetlength(res, 0, 0) != (int)sizeof wire) {
        return bare_failed(bare, "query");
    }
    memcpy(&wire, PQgetvalue(res, 0, 0), sizeof wire);
    return (int32_t)ntohl(wire) == n + 1 ? 0 : wrong(n, (int32_t)ntohl(wire));
}

struct counts {
    uint64_t sent, done; /* queries, and those whose Sync has come back */
};

/* Takes all that has arrived; a new query goes out for each one that is done. */
static int bare_take(struct pipeline *p, struct counts *c, bool *is_over)
{
    bool any;
    int nulls = 0;
    /* Two NULLs in a row: nothing is in flight, so nothing will come. */
    while (nulls < 2) {
        PGresult *res = bare_next(p->bare, &any);
        if (!any) {
            return 0;
        }
        nulls = res == NULL ? nulls + 1 : 0;
        int rc = 0;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            c->done++;
            *is_over = *is_over || (c->done % 16 == 0 && bench_now() >= p->until);
            rc = *is_over ? 0 : bare_send(p->bare, (int32_t)(c->sent++ & 0xffff));
        } else if (res != NULL) {
            rc = bare_check(p->bare, res, (int32_t)(c->done & 0xffff));
        }
        PQclear(res);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int bare(void *state, tug_time until, uint64_t *ret_done)
{
    struct pipeline *p = state;
    struct counts c = {.sent = 0};
    bool is_over = false;
    int rc = 0;
    p->until = until;
    while (rc == 0 && c.sent < DEPTH) {
        rc = bare_send(p->bare, (int32_t)c.sent++);
    }
    while (rc == 0 && c.done < c.sent) {
        rc = bare_wait(p->bare);
        if (rc == 0) {
            rc = bare_take(p, &c, &is_over);
        }
    }
    *ret_done = c.done;
    return rc;
}

/* --- both connections ----------------------------------------------------------------------- */

struct bare_open {
    const char *url;
    struct pipeline *p;
    int rc;
};

static void bare_connect(void *arg)
{
    struct bare_open *o = arg;
    PGconn *c = PQconnectdb(o->url);
    o->p->bare = c;
    if (PQstatus(c) != CONNECTION_OK) {
        o->rc = bare_failed(c, "connect");
        return;
    }
    PGresult *res = PQprepare(c, NAME, SQL, 1, NULL);
    if (PQresultStatus(res) != PGRES_COMMAND_OK || PQsetnonblocking(c, 1) != 0 ||
        PQenterPipelineMode(c) != 1) {
        o->rc = bare_failed(c, "prepare");
    }
    PQclear(res);
}

static int open_both(const char *url, struct pipeline *p)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    /* On a machine that is busy with other things a query may be old without being slow; it shall
     * not make the driver open a second connection. */
    o.head_limit = TUG_SECONDS(60);
    int rc = tug_pg_open(url, &o, &p->db);
    if (rc == 0) {
        rc = tug_pg_ready(p->db);
    }
    if (rc < 0) {
        return rc;
    }
    struct bare_open b = {.url = url, .p = p};
    tug_on_loop_stack(bare_connect, &b);
    return b.rc;
}

static int run(void)
{
    struct pipeline p = {.db = NULL};
    struct bench_pin pin = {.is_set = false};
    const char *url;
    int pids[2];
    int rc = bench_url("TUG_PG_URL", &url);
    if (rc == 0) {
        rc = open_both(url, &p);
    }
    if (rc == 0) {
        rc = tug_pg_query_one(p.db, "select pg_backend_pid()", TUG_NO_ARGS, TUG_OUT(&pids[0]));
    }
    if (rc == 0) {
        pids[1] = PQbackendPID(p.bare);
        bench_pin(&pin, "pg.pipeline", pids, 2);
        const struct bench_compare c = {
            .name = "pg.pipeline",
            .ours = ours,
            .limit = bare,
            .state = &p,
            .figures = {{"", BENCH_RATE, "queries/s"}, {".cpu", BENCH_CPU, "us"}}};
        rc = bench_compare(&c);
        bench_unpin(&pin);
    }
    PQfinish(p.bare);
    tug_pg_close(p.db);
    return rc;
}

const struct bench bench_pg_pipeline = {
    .name = "pg.pipeline",
    .what = "select $1::int4 + 1, 128 tasks on one connection; limit: a libpq pipeline loop",
    .run = run,
};
