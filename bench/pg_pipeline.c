/* pg.pipeline: `select $1::int4 + 1` by 128 tasks over one connection; pg.shared: by 1,000 tasks over
 * two. Against a loop over libpq that keeps as many of them in flight: prepared, binary, one Sync for
 * each. pg.single: one after the other, against PQexecPrepared. */
#include <poll.h>
#include <stdio.h>
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "bench.h"
#include "pg_bare.h"

enum {
    CONNECTIONS_MOST = 2
};

struct load {
    const char *name;
    int tasks, connections; /* tasks: in flight together */
    bool is_single;         /* the limit is PQexecPrepared */
};

/* One connection of the limit. */
struct bare {
    PGconn *pq;
    uint64_t sent, done; /* queries, and those whose Sync has come back */
};

struct pipeline {
    const struct load *load;
    tug_pg *db;
    struct bare bare[CONNECTIONS_MOST];
    tug_time until;
    uint64_t done;
    bool is_over;
};

/* --- ours ----------------------------------------------------------------------------------- */

static int ask(void *arg)
{
    struct pipeline *p = arg;
    while (tug_turn_time() < p->until) {
        int32_t n = (int32_t)(p->done & 0xffff);
        int32_t sum = 0;
        int rc = tug_pg_query_one(p->db, PG_BARE_SQL, TUG_ARGS(n), TUG_OUT(&sum));
        if (rc < 0) {
            return rc;
        }
        if (sum != n + 1) {
            return pg_bare_wrong(n, sum);
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
    for (int i = 0; i < p->load->tasks; i++) {
        tug_group_spawn(&g, ask, p);
    }
    int rc = tug_group_leave(&g, 0);
    *ret_done = p->done;
    return rc;
}

/* --- the limit ------------------------------------------------------------------------------ */

/* The cheapest that libpq has: from 17 on one flush for all that go out together, in bare_wait. */
static int bare_sync(PGconn *bare)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    return PQsendPipelineSync(bare);
#else
    return PQpipelineSync(bare);
#endif
}

static int bare_send(PGconn *bare, int32_t n)
{
    uint32_t wire = htonl((uint32_t)n);
    const char *value = (const char *)&wire;
    const int length = sizeof wire;
    const int binary = 1;
    if (PQsendQueryPrepared(bare, PG_BARE_NAME, 1, &value, &length, &binary, 1) != 1 ||
        bare_sync(bare) != 1) {
        return pg_bare_failed(bare, "send");
    }
    return 0;
}

/* Waits until libpq can read from one of them, sending what it still has to send. */
static int bare_wait(struct pipeline *p)
{
    for (;;) {
        struct pollfd fds[CONNECTIONS_MOST];
        int n = p->load->connections;
        bool any = false;
        for (int i = 0; i < n; i++) {
            int unsent = PQflush(p->bare[i].pq);
            if (unsent < 0) {
                return pg_bare_failed(p->bare[i].pq, "flush");
            }
            fds[i] = (struct pollfd){.fd = PQsocket(p->bare[i].pq),
                                     .events = unsent == 1 ? POLLIN | POLLOUT : POLLIN};
        }
        if (poll(fds, (nfds_t)n, -1) < 0) {
            return pg_bare_failed(p->bare[0].pq, "poll");
        }
        for (int i = 0; i < n; i++) {
            if ((fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
                any = true;
                if (PQconsumeInput(p->bare[i].pq) != 1) {
                    return pg_bare_failed(p->bare[i].pq, "read");
                }
            }
        }
        if (any) {
            return 0;
        }
    }
}

/* The next result that libpq has whole, NULL between two queries; *ret_any: was there one. */
static PGresult *bare_next(PGconn *bare, bool *ret_any)
{
    *ret_any = PQisBusy(bare) == 0;
    return *ret_any ? PQgetResult(bare) : NULL;
}

/* Takes all that has arrived; a new query goes out for each one that is done. */
static int bare_take(struct pipeline *p, struct bare *b)
{
    bool any;
    int nulls = 0;
    /* Two NULLs in a row: nothing is in flight, so nothing will come. */
    while (nulls < 2) {
        PGresult *res = bare_next(b->pq, &any);
        if (!any) {
            return 0;
        }
        nulls = res == NULL ? nulls + 1 : 0;
        int rc = 0;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            b->done++;
            p->is_over = p->is_over || (b->done % 16 == 0 && bench_now() >= p->until);
            rc = p->is_over ? 0 : bare_send(b->pq, (int32_t)(b->sent++ & 0xffff));
        } else if (res != NULL) {
            rc = pg_bare_check(b->pq, res, (int32_t)(b->done & 0xffff));
        }
        PQclear(res);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static bool bare_is_waiting(const struct pipeline *p)
{
    for (int i = 0; i < p->load->connections; i++) {
        if (p->bare[i].done < p->bare[i].sent) {
            return true;
        }
    }
    return false;
}

static int bare(void *state, tug_time until, uint64_t *ret_done)
{
    struct pipeline *p = state;
    int n = p->load->connections, rc = 0;
    p->until = until;
    p->is_over = false;
    for (int i = 0; i < n; i++) {
        p->bare[i].sent = p->bare[i].done = 0;
    }
    for (int i = 0; rc == 0 && i < p->load->tasks; i++) {
        rc = bare_send(p->bare[i % n].pq, (int32_t)p->bare[i % n].sent++);
    }
    while (rc == 0 && bare_is_waiting(p)) {
        rc = bare_wait(p);
        for (int i = 0; rc == 0 && i < n; i++) {
            rc = bare_take(p, &p->bare[i]);
        }
    }
    for (int i = 0; i < n; i++) {
        *ret_done += p->bare[i].done;
    }
    return rc;
}

static int bare_single(void *state, tug_time until, uint64_t *ret_done)
{
    struct pipeline *p = state;
    PGconn *pq = p->bare[0].pq;
    const int length = sizeof(uint32_t), binary = 1;
    int rc = 0;
    for (int32_t n = 0; rc == 0 && bench_now() < until; n++) {
        uint32_t wire = htonl((uint32_t)n);
        const char *value = (const char *)&wire;
        PGresult *res = PQexecPrepared(pq, PG_BARE_NAME, 1, &value, &length, &binary, 1);
        rc = pg_bare_check(pq, res, n);
        PQclear(res);
        *ret_done += rc == 0;
    }
    return rc;
}

/* --- both connections ----------------------------------------------------------------------- */

static int open_both(const char *url, struct pipeline *p)
{
    PGconn *bare[CONNECTIONS_MOST] = {NULL};
    size_t n = (size_t)p->load->connections;
    int rc = pg_bare_open_ours(url, n, &p->db);
    rc = rc < 0 ? rc : pg_bare_open(url, !p->load->is_single, bare, n);
    for (size_t i = 0; i < n; i++) {
        p->bare[i].pq = bare[i];
    }
    return rc;
}

/* The backends of ours: as many statements at once as there are connections go to one each. */
static int our_pids(struct pipeline *p, int *pids)
{
    tug_future *f[CONNECTIONS_MOST];
    int n = p->load->connections;
    for (int i = 0; i < n; i++) {
        f[i] = tug_pg_query_start(p->db, "select pg_backend_pid() from pg_sleep(0.05)",
                                  TUG_NO_ARGS);
    }
    int rc = tug_gather(f, (size_t)n);
    for (int i = 0; i < n; i++) {
        TUG_AUTO(tug_pg_result) res = NULL;
        rc = rc < 0 ? rc : tug_pg_result_take(f[i], &res);
        rc = rc < 0 ? rc : tug_pg_scan(res, 0, TUG_OUT(&pids[i]));
        tug_future_unref(f[i]);
    }
    return rc;
}

static int measure(struct pipeline *p, const int *pids, bool apart)
{
    size_t n = 2 * (size_t)p->load->connections;
    char name[40];
    struct bench_pin pin = {.is_set = false};
    snprintf(name, sizeof name, "%s%s", p->load->name, apart ? ".2cores" : "");
    const struct bench_compare c = {
        .name = name,
        .ours = ours,
        .limit = p->load->is_single ? bare_single : bare,
        .state = p,
        .figures = {{"", BENCH_RATE, "queries/s"}, {".cpu", BENCH_CPU, "us"}}};
    if (apart && !bench_put_apart(p->load->name, pids, n)) {
        return 0;
    }
    bench_pin(&pin, name, pids, apart ? 0 : n);
    int rc = bench_compare(&c);
    bench_unpin(&pin);
    return rc;
}

static int run(const struct load *load)
{
    struct pipeline p = {.load = load};
    const char *url;
    int pids[2 * CONNECTIONS_MOST];
    int rc = bench_url("TUG_PG_URL", &url);
    rc = rc < 0 ? rc : open_both(url, &p);
    rc = rc < 0 ? rc : our_pids(&p, pids);
    if (rc == 0) {
        for (int i = 0; i < load->connections; i++) {
            pids[load->connections + i] = PQbackendPID(p.bare[i].pq);
        }
        rc = measure(&p, pids, false);
        rc = rc < 0 ? rc : measure(&p, pids, true);
    }
    for (int i = 0; i < load->connections; i++) {
        PQfinish(p.bare[i].pq);
    }
    tug_pg_close(p.db);
    return rc;
}

static int run_pipeline(void)
{
    return run(&(struct load){.name = "pg.pipeline", .tasks = 128, .connections = 1});
}

static int run_shared(void)
{
    return run(&(struct load){.name = "pg.shared", .tasks = 1000, .connections = 2});
}

static int run_single(void)
{
    return run(
        &(struct load){.name = "pg.single", .tasks = 1, .connections = 1, .is_single = true});
}

const struct bench bench_pg_pipeline = {
    .name = "pg.pipeline",
    .what = "select $1::int4 + 1, 128 tasks on one connection; limit: a libpq pipeline loop",
    .run = run_pipeline,
};
const struct bench bench_pg_shared = {
    .name = "pg.shared",
    .what = "the same, 1,000 tasks on two connections; limit: a loop over two",
    .run = run_shared,
};
const struct bench bench_pg_single = {
    .name = "pg.single",
    .what = "the same, one task on one connection; limit: a loop over PQexecPrepared",
    .run = run_single,
};
