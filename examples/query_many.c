/* Many queries at once: each task is straight-line code, and all of them are told to end after 2 s.
 *
 *   create table orders (id bigint primary key, quantity bigint not null, total numeric not null);
 *   insert into orders select i, i % 10, i * 1.25 from generate_series(1, 1000) i;
 *
 * prints the number of orders and their sum. Takes TUG_PG_URL. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tug/tug.h>

enum {
    N = 1000
};

struct order {
    tug_pg *db;
    int64_t id;
    int64_t quantity;
    double total;
};

static int load_order(void *arg)
{
    struct order *o = arg;
    /* Checks types, range, NULL and the number of rows. */
    return tug_pg_query_one(o->db, "select quantity, total from orders where id = $1",
                            TUG_ARGS(o->id), TUG_OUT(&o->quantity, &o->total));
}

/* Futures, where that reads better: both are under way at once, and dropped on every path. */
static int print_sum(tug_pg *db)
{
    TUG_AUTO(tug_future) count = tug_pg_query_start(db, "select count(*) from orders", TUG_NO_ARGS);
    TUG_AUTO(tug_future) sum = tug_pg_query_start(db, "select sum(total) from orders", TUG_NO_ARGS);
    TUG_AUTO(tug_pg_result) counted = NULL;
    TUG_AUTO(tug_pg_result) summed = NULL;
    int64_t n = 0;
    double total = 0;
    int rc = TUG_WITHIN(TUG_SECONDS(1), tug_gather((tug_future *[]){count, sum}, 2));
    if (rc == 0) {
        rc = tug_pg_result_take(count, &counted);
    }
    if (rc == 0) {
        rc = tug_pg_result_take(sum, &summed);
    }
    if (rc == 0) {
        rc = tug_pg_scan(counted, 0, TUG_OUT(&n));
    }
    if (rc == 0) {
        rc = tug_pg_scan(summed, 0, TUG_OUT(&total));
    }
    if (rc == 0) {
        printf("orders=%" PRId64 " total=%.2f\n", n, total);
    }
    return rc;
}

static int main_task(void *arg)
{
    static struct order orders[N];
    (void)arg;
    TUG_AUTO(tug_pg) db = NULL;
    int rc = tug_pg_open(getenv("TUG_PG_URL"), NULL, &db);
    if (rc == 0) {
        rc = tug_pg_ready(db); /* a server that is not there is said at once, and by its name */
    }
    if (rc < 0) {
        return rc;
    }
    tug_group group;
    tug_group_enter(&group, TUG_SECONDS(2), TUG_FAIL_FAST);
    for (int i = 0; i < N; i++) {
        orders[i] = (struct order){.db = db, .id = i + 1};
        tug_group_spawn(&group, load_order, &orders[i]); /* a refused spawn fails the group */
    }
    rc = tug_group_leave(&group, 0); /* waits for all: 0, the first failure, or TUG_ETIMEDOUT */
    return rc == 0 ? print_sum(db) : rc;
}

int main(void)
{
    return tug_main(main_task, NULL);
}
