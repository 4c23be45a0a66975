/* pg.batch: `select $1::int4 + 1` in batches of 64, two batches in flight on one connection, against a
 * loop over libpq that keeps two times 64 of them in flight with one Sync for each 64. Prepared, binary.
 * On one core, and on two as pg.batch.2cores. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/pg_batch.h>
#include <tug/sys/driver.h>

#include "bench.h"

enum {
    IN_FLIGHT = 2,
    EACH = 64
};

static const char SQL[] = "select $1::int4 + 1";
static const char NAME[] = "bench";

struct batches {
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

static int check(tug_pg_batch *b, size_t i)
{
    int32_t sum = 0;
    int rc = tug_pg_batch_scan(b, i, 0, TUG_OUT(&sum));
    return rc < 0 ? rc : sum == (int32_t)i + 1 ? 0 : wrong((int64_t)i, sum);
}

static int run_batches(void *arg)
{
    struct batches *s = arg;
    TUG_AUTO(tug_pg_batch) b = NULL;
    int rc = tug_pg_batch_new(&b);
    while (rc == 0 && tug_turn_time() < s->until) {
        tug_pg_batch_clear(b);
        for (int32_t i = 0; rc == 0 && i < EACH; i++) {
            rc = tug_pg_batch_add(b, SQL, TUG_ARGS(i));
        }
        rc = rc < 0 ? rc : tug_pg_batch_run(s->db, b);
        for (size_t i = 0; rc == 0 && i < EACH; i++) {
            rc = check(b, i);
        }
        s->done += rc == 0 ? EACH : 0;
    }
    return rc;
}

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct batches *s = state;
    tug_group g;
    s->until = until;
    s->done = 0;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < IN_FLIGHT; i++) {
        tug_group_spawn(&g, run_batches, s);
    }
    int rc = tug_group_leave(&g, 0);
    *ret_done = s->done;
    return rc;
}

/* --- the limit ------------------------------------------------------------------------------ */

static int bare_failed(PGconn *bare, const char *what)
{
    return tug_fail(TUG_ESERVER, "the bare loop: %s: %s", what, PQerrorMessage(bare));
}

static int bare_send(PGconn *bare)
{
    for (int32_t i = 0; i < EACH; i++) {
        uint32_t wire = htonl((uint32_t)i);
        const char *value = (const char *)&wire;
        const int length = sizeof wire;
        const int binary = 1;
        if (PQsendQueryPrepared(bare, NAME, 1, &value, &length, &binary, 1) != 1) {
            return bare_failed(bare, "send");
        }
    }
    return PQpipelineSync(bare) == 1 ? 0 : bare_failed(bare, "sync");
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
    uint64_t sent, done; /* batches, and those whose Sync has come back */
    int32_t answered;    /* of the batch at the head */
};

/* Takes all that has arrived; a new batch goes out for each one that is done, until the time is over. */
static int bare_take(struct batches *s, struct counts *c)
{
    int nulls = 0;
    /* Two NULLs in a row: nothing is in flight, so nothing will come. */
    while (nulls < 2 && PQisBusy(s->bare) == 0) {
        PGresult *res = PQgetResult(s->bare);
        int rc = 0;
        nulls = res == NULL ? nulls + 1 : 0;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            c->done++;
            c->answered = 0;
            if (bench_now() < s->until) {
                c->sent++;
                rc = bare_send(s->bare);
            }
        } else if (res != NULL) {
            rc = bare_check(s->bare, res, c->answered++);
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
    struct batches *s = state;
    struct counts c = {.sent = 0};
    int rc = 0;
    s->until = until;
    for (; rc == 0 && c.sent < IN_FLIGHT; c.sent++) {
        rc = bare_send(s->bare);
    }
    while (rc == 0 && c.done < c.sent) {
        rc = bare_wait(s->bare);
        rc = rc < 0 ? rc : bare_take(s, &c);
    }
    *ret_done = c.done * EACH;
    return rc;
}

/* --- both connections ----------------------------------------------------------------------- */

struct bare_open {
    const char *url;
    struct batches *s;
    int rc;
};

static void bare_connect(void *arg)
{
    struct bare_open *o = arg;
    PGconn *c = PQconnectdb(o->url);
    o->s->bare = c;
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

static int open_both(const char *url, struct batches *s)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    /* On a machine that is busy with other things a batch may be old without being slow; it shall not
     * make the driver open a second connection. */
    o.head_limit = TUG_SECONDS(60);
    int rc = tug_pg_open(url, &o, &s->db);
    if (rc == 0) {
        rc = tug_pg_ready(s->db);
    }
    if (rc < 0) {
        return rc;
    }
    struct bare_open b = {.url = url, .s = s};
    tug_on_loop_stack(bare_connect, &b);
    return b.rc;
}

static int compare(struct batches *s, const char *name, const int *pids, size_t n)
{
    const struct bench_compare c = {
        .name = name,
        .ours = ours,
        .limit = bare,
        .state = s,
        .figures = {{"", BENCH_RATE, "queries/s"}, {".cpu", BENCH_CPU, "us"}}};
    struct bench_pin pin = {.is_set = false};
    bench_pin(&pin, name, pids, n);
    int rc = bench_compare(&c);
    bench_unpin(&pin);
    return rc;
}

static int run(void)
{
    struct batches s = {.db = NULL};
    const char *url;
    int pids[2];
    int rc = bench_url("TUG_PG_URL", &url);
    rc = rc < 0 ? rc : open_both(url, &s);
    if (rc == 0) {
        rc = tug_pg_query_one(s.db, "select pg_backend_pid()", TUG_NO_ARGS, TUG_OUT(&pids[0]));
    }
    if (rc == 0) {
        pids[1] = PQbackendPID(s.bare);
        rc = compare(&s, "pg.batch", pids, 2);
    }
    if (rc == 0 && bench_put_apart("pg.batch", pids, 2)) {
        rc = compare(&s, "pg.batch.2cores", NULL, 0);
    }
    PQfinish(s.bare);
    tug_pg_close(s.db);
    return rc;
}

const struct bench bench_pg_batch = {
    .name = "pg.batch",
    .what =
        "select $1::int4 + 1 in batches of 64, two in flight; limit: a libpq loop, a Sync per 64",
    .run = run,
};
