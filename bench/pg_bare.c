#include "pg_bare.h"

#include <tug/sys/driver.h>

int pg_bare_wrong(int64_t asked, int64_t got)
{
    return tug_fail(TUG_EPROTO, "%lld + 1 came back as %lld", (long long)asked, (long long)got);
}

int pg_bare_failed(PGconn *bare, const char *what)
{
    return tug_fail(TUG_ESERVER, "the bare loop: %s: %s", what, PQerrorMessage(bare));
}

struct bare_open {
    const char *url;
    bool is_pipelined;
    PGconn **bare;
    size_t n;
    int rc;
};

static int connect_one(const struct bare_open *o, PGconn **at)
{
    PGconn *c = PQconnectdb(o->url);
    *at = c;
    if (PQstatus(c) != CONNECTION_OK) {
        return pg_bare_failed(c, "connect");
    }
    PGresult *res = PQprepare(c, PG_BARE_NAME, PG_BARE_SQL, 1, NULL);
    bool good = PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    if (good && o->is_pipelined) {
        good = PQsetnonblocking(c, 1) == 0 && PQenterPipelineMode(c) == 1;
    }
    return good ? 0 : pg_bare_failed(c, "prepare");
}

static void connect_all(void *arg)
{
    struct bare_open *o = arg;
    for (size_t i = 0; o->rc == 0 && i < o->n; i++) {
        o->rc = connect_one(o, &o->bare[i]);
    }
}

int pg_bare_open(const char *url, bool is_pipelined, PGconn **ret_bare, size_t n)
{
    struct bare_open o = {.url = url, .is_pipelined = is_pipelined, .bare = ret_bare, .n = n};
    tug_on_loop_stack(connect_all, &o); /* a login wants more stack than a task has */
    return o.rc;
}

int pg_bare_open_ours(const char *url, size_t shared, tug_pg **ret_db)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = shared;
    o.pool_max = 1;
    /* On a machine that is busy with other things a statement may be old without being slow; it shall
     * not make the driver open a further connection. */
    o.head_limit = TUG_SECONDS(60);
    int rc = tug_pg_open(url, &o, ret_db);
    return rc < 0 ? rc : tug_pg_ready(*ret_db);
}
