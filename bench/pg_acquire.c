/* pg.acquire: a session on a connection that is open. */
#include <tug/pg.h>

#include "acquire.h"

static int once(void *what)
{
    tug_pg *session = NULL;
    int rc = tug_pg_acquire(what, &session);
    tug_pg_close(session);
    return rc;
}

static int run(void)
{
    const char *url = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = 0;
    o.pool_max = 1;
    int rc = bench_url("TUG_PG_URL", &url);
    rc = rc < 0 ? rc : tug_pg_open(url, &o, &db);
    rc = rc < 0 ? rc : tug_pg_ready(db);
    rc = rc < 0 ? rc : once(db);
    rc = rc < 0 ? rc : bench_acquire("pg.acquire", once, db);
    tug_pg_close(db);
    return rc;
}

const struct bench bench_pg_acquire = {
    .name = "pg.acquire",
    .what = "acquire and close of a session, one task, then 1,000 that wait; limit: the ring of "
            "core.switch",
    .run = run,
};
