/* A read through a cache, with single flight: however many ask for a product that is not cached, the database
 * is asked once. A cache that is slow or dead costs 50 ms, never the read.
 *
 *   create table products (id bigint primary key, doc jsonb not null);
 *
 * prints product 7. Takes TUG_PG_URL and TUG_REDIS_URL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/tug.h>

struct app {
    tug_pg *db;
    tug_redis *cache;
    tug_flight *flights;
};

struct load {
    struct app *app;
    int64_t id;
    char key[32];
};

/* Runs in a task of its own: a cancelled asker never aborts it. */
static int load(void *arg, tug_buffer **ret_json)
{
    struct load *l = arg;
    int rc = tug_pg_query_one(l->app->db, "select doc::text from products where id = $1",
                              TUG_ARGS(l->id), TUG_OUT(ret_json));
    if (rc == 0) { /* filling the cache must not fail the read */
        TUG_IGNORE(TUG_WITHIN(
            TUG_MS(50),
            tug_redis_call(l->app->cache,
                           TUG_ARGS("SET", l->key, tug_buffer_bytes(*ret_json), "EX", 300), NULL)));
    }
    return rc;
}

static int product_get(struct app *app, int64_t id, tug_buffer **ret_json)
{
    struct load l = {.app = app, .id = id};
    snprintf(l.key, sizeof l.key, "product:%" PRId64, id);
    int rc = TUG_WITHIN(TUG_MS(50),
                        tug_redis_call_one(app->cache, TUG_ARGS("GET", l.key), TUG_OUT(ret_json)));
    if (rc == 0 || rc == TUG_ECANCELED) { /* nothing else that the cache says fails the read */
        return rc;
    }
    return tug_flight_run(app->flights, tug_bytes(l.key, strlen(l.key)), load, &l, sizeof l,
                          ret_json);
}

static int demo(void *arg)
{
    (void)arg;
    TUG_AUTO(tug_pg) db = NULL;
    TUG_AUTO(tug_redis) cache = NULL;
    TUG_AUTO(tug_flight) flights = NULL;
    TUG_AUTO(tug_buffer) json = NULL;
    int rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &db);
    if (rc == 0) {
        rc = tug_redis_open(getenv("TUG_REDIS_URL"), NULL, &cache);
    }
    if (rc == 0) {
        rc = tug_flight_new(&flights);
    }
    struct app app = {db, cache, flights};
    if (rc == 0) {
        rc = product_get(&app, 7, &json);
    }
    tug_flight_wait_idle(flights); /* a load whose asker was cancelled still uses app */
    if (rc == TUG_ENOTFOUND) {
        return tug_fail(TUG_EUSER - 1, "no product %d", 7);
    }
    if (rc == 0) {
        struct tug_bytes text = tug_buffer_bytes(json);
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    }
    return rc;
}

int main(void)
{
    return tug_main(demo, NULL);
}
