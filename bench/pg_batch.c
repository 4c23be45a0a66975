/* pg.batch: `select $1::int4 + 1` in batches of 64, two batches in flight on one connection, against a
 * loop over libpq that keeps two times 64 of them in flight with one Sync for each 64. Prepared, binary.
 * On one core, and on two as pg.batch.2cores. */
#include <poll.h>
#include <stdio.h>
#include <tug/group.h>
#include <tug/pg_batch.h>
#include <tug/sys/driver.h>

#include "bench.h"
#include "pg_bare.h"

enum {
    IN_FLIGHT = 2,
    EACH = 64
};

struct batches {
    tug_pg *db;
    PGconn *bare;
    tug_time until;
    uint64_t done;
};

/* --- ours ----------------------------------------------------------------------------------- */

static int check(tug_pg_batch *b, size_t i)
{
    int32_t sum = 0;
    int rc = tug_pg_batch_scan(b, i, 0, TUG_OUT(&sum));
    return rc < 0 ? rc : sum == (int32_t)i + 1 ? 0 : pg_bare_wrong((int64_t)i, sum);
}

static int run_batches(void *arg)
{
    struct batches *s = arg;
    TUG_AUTO(tug_pg_batch) b = NULL;
    int rc = tug_pg_batch_new(&b);
    while (rc == 0 && tug_turn_time() < s->until) {
        tug_pg_batch_clear(b);
        for (int32_t i = 0; rc == 0 && i < EACH; i++) {
            rc = tug_pg_batch_add(b, PG_BARE_SQL, TUG_ARGS(i));
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

static int bare_send(PGconn *bare)
{
    for (int32_t i = 0; i < EACH; i++) {
        uint32_t wire = htonl((uint32_t)i);
        const char *value = (const char *)&wire;
        const int length = sizeof wire;
        const int binary = 1;
        if (PQsendQueryPrepared(bare, PG_BARE_NAME, 1, &value, &length, &binary, 1) != 1) {
            return pg_bare_failed(bare, "send");
        }
    }
    return PQpipelineSync(bare) == 1 ? 0 : pg_bare_failed(bare, "sync");
}

/* Waits until libpq can read, sending what it still has to send. */
static int bare_wait(PGconn *bare)
{
    for (;;) {
        int unsent = PQflush(bare);
        struct pollfd fd = {.fd = PQsocket(bare),
                            .events = unsent == 1 ? POLLIN | POLLOUT : POLLIN};
        if (unsent < 0 || poll(&fd, 1, -1) < 0) {
            return pg_bare_failed(bare, "flush");
        }
        if ((fd.revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
            return PQconsumeInput(bare) == 1 ? 0 : pg_bare_failed(bare, "read");
        }
    }
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
            rc = pg_bare_check(s->bare, res, c->answered++);
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
    rc = rc < 0 ? rc : pg_bare_open_ours(url, 1, &s.db);
    rc = rc < 0 ? rc : pg_bare_open(url, true, &s.bare, 1);
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
