/* PostgreSQL. */
#include "conformance.h"

#include <tug/pg.h>

static int pg_open(const char *url, const conformance_setup *setup, void **ret_handle)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    /* An old head would send the next statement over a connection of its own. */
    o.head_limit = TUG_SECONDS(3600);
    o.pool_max = 1;
    /* Cancel requests go over connections of their own, which the suite would take for the driver's one;
     * they have tests of their own. */
    o.cancel_timeout = 0;
    o.connect_timeout = setup->connect_timeout;
    o.max_pipeline = setup->in_flight > 0 ? setup->in_flight : o.max_pipeline;
    o.max_waiters = setup->waiting > 0 ? setup->waiting : o.max_waiters;
    o.max_result_bytes = setup->answer_bytes > 0 ? setup->answer_bytes : o.max_result_bytes;
    tug_pg *db = NULL;
    int rc = tug_pg_open(url, &o, &db);
    if (rc == 0) {
        *ret_handle = db;
    }
    return rc;
}

static int pg_ready(void *handle)
{
    return tug_pg_ready(handle);
}

static tug_future *pg_ask_start(void *handle, int32_t number)
{
    return tug_pg_query_start(handle, "select $1::int4 + 1", TUG_ARGS(number));
}

static int pg_ask_take(tug_future *f, int32_t *ret_answer)
{
    TUG_AUTO(tug_pg_result) res = NULL;
    int rc = tug_pg_result_take(f, &res);
    return rc == 0 ? tug_pg_scan(res, 0, TUG_OUT(ret_answer)) : rc;
}

static int pg_ask(void *handle, int32_t number, int32_t *ret_answer)
{
    return tug_pg_query_one(handle, "select $1::int4 + 1", TUG_ARGS(number), TUG_OUT(ret_answer));
}

static int pg_ask_large(void *handle, size_t size)
{
    TUG_AUTO(tug_pg_result) res = NULL;
    return tug_pg_query(handle, "select repeat('x', $1::int4)", TUG_ARGS((int)size), &res);
}

static void pg_close(void *handle)
{
    tug_pg_close(handle);
}

const conformance_driver conformance_subject = {.variable = "TUG_PG_URL",
                                                .open = pg_open,
                                                .ready = pg_ready,
                                                .ask_start = pg_ask_start,
                                                .ask_take = pg_ask_take,
                                                .ask = pg_ask,
                                                .ask_large = pg_ask_large,
                                                .close = pg_close};
