/* 500 jobs, at most 20 in flight, 250 ms for each; successes and failures are collected.
 *
 *   create table orders (id bigint primary key, quantity bigint not null, total numeric not null);
 *
 * prints a line on stderr for each order that failed, and how many did. Takes TUG_PG_URL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tug/tug.h>

enum {
    N = 500
};

struct item {
    tug_pg *db;
    int64_t id;
    int64_t quantity;
    double total;
};

static int process(void *arg)
{
    struct item *it = arg;
    return tug_pg_query_one(it->db, "select quantity, total from orders where id = $1",
                            TUG_ARGS(it->id), TUG_OUT(&it->quantity, &it->total));
}

static int batch(void *arg)
{
    static struct item items[N];
    static tug_outcome outcomes[N];
    (void)arg;
    TUG_AUTO(tug_pg) db = NULL;
    int rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &db);
    if (rc == 0) {
        rc = tug_pg_ready(db); /* so that the first jobs do not pay for the connecting */
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < N; i++) {
        items[i] = (struct item){.db = db, .id = i + 1};
    }
    tug_map_options o = TUG_MAP_OPTIONS_INIT;
    o.in_flight = 20;
    o.each = TUG_MS(250);
    size_t failed = 0;
    rc = TUG_WITHIN(TUG_SECONDS(30),
                    tug_map_settled(process, items, N, sizeof *items, &o, outcomes, &failed));
    for (int i = 0; i < N; i++) {
        if (outcomes[i].rc < 0) {
            fprintf(stderr, "order %" PRId64 ": %s\n", items[i].id, outcomes[i].error.text);
        }
    }
    printf("failed %zu of %d\n", failed, N);
    return rc;
}

int main(void)
{
    return tug_main(batch, NULL);
}
