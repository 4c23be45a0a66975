/* A program with a libevent loop of its own, callbacks only: Redis in front of PostgreSQL. Takes TUG_PG_URL (with the
 * table of query_many) and TUG_REDIS_URL; prints the quantity of order 42 a hundred times. */
#include <event2/event.h>
#include <event2/util.h>
#include <stdlib.h>
#include <tug/tug.h>

#define REQUESTS 100

struct app {
    struct event_base *base;
    tug_pg *db;
    tug_redis *cache;
    int asked, answered;
};

struct request {
    struct app *app;
    int64_t id;
};

static void answer(struct request *r)
{
    if (++r->app->answered == REQUESTS) { /* this program's own loop ends */
        event_base_loopbreak(r->app->base);
    }
    free(r);
}

static void on_rows(tug_future *f, void *arg) /* f is released after this returns */
{
    struct request *r = arg;
    TUG_AUTO(tug_pg_result) res = NULL;
    int64_t quantity = 0;
    int rc = tug_pg_result_take(f, &res);
    if (rc == 0) {
        rc = tug_pg_scan(res, 0, TUG_OUT(&quantity));
    }
    if (rc < 0) { /* the detail is this callback's own */
        fprintf(stderr, "%lld: %s\n", (long long)r->id, tug_last_error()->text);
    } else {
        printf("%lld\n", (long long)quantity);
    }
    answer(r);
}

static void on_cache(tug_future *f, void *arg)
{
    struct request *r = arg;
    TUG_AUTO(tug_redis_reply) reply = NULL;
    if (tug_redis_reply_take(f, &reply) == 0 && !tug_redis_reply_is_null(reply)) {
        answer(r);
        return;
    }
    tug_future *query = tug_pg_query_start(r->app->db, "select quantity from orders where id = $1",
                                           TUG_ARGS(r->id));
    tug_future_on_settled(tug_future_timeout(query, TUG_SECONDS(5)), on_rows, r);
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct app *app = arg;
    struct request *r = app->asked < REQUESTS ? malloc(sizeof *r) : NULL;
    if (r == NULL) {
        return;
    }
    app->asked++;
    *r = (struct request){app, 42};
    tug_future *get = tug_redis_call_start(app->cache, TUG_ARGS("GET", "order:42"));
    tug_future_on_settled(tug_future_timeout(get, TUG_MS(50)), on_cache, r);
}

int main(void)
{
    struct app app = {.base = event_base_new()};
    tug_loop *loop = NULL;
    int rc = tug_loop_attach(app.base, &loop);
    if (rc == 0) { /* checks the URL; connects in the background */
        rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &app.db);
    }
    if (rc == 0) {
        rc = tug_redis_open(getenv("TUG_REDIS_URL"), NULL, &app.cache);
    }
    if (rc == 0) {
        struct event *tick = event_new(app.base, -1, EV_PERSIST, on_request, &app);
        struct timeval period = {0, 10000};
        event_add(tick, &period);
        event_base_dispatch(app.base);
        event_free(tick);
    } else {
        fprintf(stderr, "%s\n", tug_last_error()->text);
    }
    tug_redis_close(app.cache);
    tug_pg_close(app.db);
    tug_loop_detach(loop, TUG_SECONDS(5)); /* turns the base until all is closed */
    event_base_free(app.base);
    return rc < 0;
}
