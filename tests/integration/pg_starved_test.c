/* The driver with memory that fails: each allocation in turn is refused once, while a small program
 * runs on a real server. What it asked for may fail; nothing may crash, leak, or be reported as
 * done when it was not. The linker puts the functions here before the real ones. */
#include <stdlib.h>
#include <tug/scope.h>

#include "pg_help.h"
#include "starved.h"

static const char *table;

static int load(tug_pg *tx)
{
    TUG_AUTO(tug_pg_copy) copy = NULL;
    int64_t rows = 0;
    int rc = tug_pg_copy_in(tx, help_named("copy @ from stdin", table), &copy);
    rc = rc < 0 ? rc : tug_pg_copy_row(copy, TUG_ARGS(1));
    rc = rc < 0 ? rc : tug_pg_copy_row(copy, TUG_ARGS(2));
    rc = rc < 0 ? rc : tug_pg_copy_finish(copy, &rows);
    assert_true(rc < 0 || rows == 2);
    return rc;
}

static int program(void)
{
    TUG_AUTO(tug_pg) db = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    int n = 0;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_statements = 8;
    int rc = tug_pg_open(test_url("TUG_PG_URL"), &o, &db);
    rc = rc < 0 ? rc : tug_pg_query_one(db, "select $1::int4 + 1", TUG_ARGS(1), TUG_OUT(&n));
    assert_true(rc < 0 || n == 2);
    rc = rc < 0 ? rc : tug_pg_begin(db, NULL, &tx);
    rc = rc < 0 ? rc : load(tx);
    rc = rc < 0
             ? rc
             : tug_pg_exec(tx, help_named("delete from @ where a = $1", table), TUG_ARGS(2), NULL);
    return rc < 0 ? rc : tug_pg_commit(tx);
}

/* Every second allocation, from the first-th on. */
static void starve(long first)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    help_table t = help_create(judge, "a int");
    table = t.name;
    int failed = 0;
    for (long at = first;; at += 2) {
        int64_t before = help_count(&t);
        refused = false;
        countdown = at;
        int rc = TUG_WITHIN(TUG_SECONDS(10), program());
        countdown = -1;
        failed += rc < 0;
        if (rc != TUG_ETIMEDOUT) {
            /* One row more, or none: as it was told. */
            assert_int_equal(help_count(&t), before + (rc == 0 ? 1 : 0));
        }
        if (!refused) {
            assert_ok(rc);
            break;
        }
    }
    assert_true(failed > 5);
    help_drop(&t);
}

LIVE_TEST(each_even_allocation_fails_once)
{
    starve(0);
}

LIVE_TEST(each_odd_allocation_fails_once)
{
    starve(1);
}
