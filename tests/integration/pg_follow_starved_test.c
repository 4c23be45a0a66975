/* Listeners and change streams with memory that fails: each allocation in turn is refused once. What
 * was asked for may fail; nothing may crash, leak, hang, or be missing without a word. The linker puts
 * the functions here before the real ones. */
#include <stdlib.h>
#include <tug/pg_listen.h>
#include <tug/pg_replication.h>
#include <tug/scope.h>

#include "pg_help.h"
#include "starved.h"

static const char *name;

/* Until the notification comes, or the word that it may be missing. */
static int listen_program(tug_pg *judge)
{
    TUG_AUTO(tug_pg) db = NULL;
    TUG_AUTO(tug_pg_listener) l = NULL;
    const tug_pg_notification *n = NULL;
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    tug_pg_listen_options lo = TUG_PG_LISTEN_OPTIONS_INIT;
    lo.backoff_first = TUG_MS(1);
    int rc = tug_pg_open(test_url("TUG_PG_URL"), &o, &db);
    rc = rc < 0 ? rc : tug_pg_listen(db, &name, 1, &lo, &l);
    rc = rc < 0 ? rc : tug_pg_listener_add(l, "tug_another");
    if (rc == 0) {
        long then = countdown;
        countdown = -1;
        assert_ok(tug_pg_notify(judge, name, "x"));
        countdown = then;
    }
    rc = rc < 0 ? rc : tug_pg_listener_next(l, &n);
    assert_true(rc < 0 || n->kind == TUG_PG_LOST || strcmp(n->payload, "x") == 0);
    return rc < 0 ? rc : 0;
}

/* Until the transaction has come whole. */
static int changes_program(tug_pg *judge)
{
    TUG_AUTO(tug_pg_changes) c = NULL;
    const tug_pg_change *change = NULL;
    tug_pg_changes_options o = TUG_PG_CHANGES_OPTIONS_INIT;
    int rows = 0;
    o.slot = name;
    o.slot_mode = TUG_PG_SLOT_TEMPORARY;
    o.publications = &name;
    o.publications_n = 1;
    int rc = tug_pg_changes_open(test_url("TUG_PG_URL"), &o, &c);
    if (rc == 0) {
        long then = countdown;
        countdown = -1;
        help_sql(judge, "insert into @ values (1), (2)", name);
        countdown = then;
    }
    bool over = false;
    while (rc >= 0 && !over) {
        rc = tug_pg_changes_next(c, &change);
        rows += rc == 1 && change->kind == TUG_PG_CHANGE_INSERT;
        over = rc == 1 && change->kind == TUG_PG_CHANGE_COMMIT;
    }
    assert_true(rc < 0 || rows == 2);
    return rc < 0 ? rc : tug_pg_changes_confirm(c, change->lsn);
}

/* The end of one is in the background: its slot's name must be free for the next. */
static void await_slot(tug_pg *judge)
{
    int64_t n = 1;
    while (n > 0) {
        assert_ok(tug_pg_query_one(judge,
                                   "select count(*) from pg_replication_slots where slot_name = $1",
                                   TUG_ARGS(name), TUG_OUT(&n)));
    }
}

static void starve(tug_pg *judge, int (*program)(tug_pg *judge))
{
    int failed = 0;
    for (long at = 0;; at++) {
        refused = false;
        countdown = at;
        int rc = TUG_WITHIN(TUG_SECONDS(10), program(judge));
        countdown = -1;
        failed += rc < 0;
        assert_true(rc != TUG_ETIMEDOUT);
        await_slot(judge);
        if (!refused) {
            assert_ok(rc);
            break;
        }
    }
    assert_true(failed > 5);
}

LIVE_TEST(listeners)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    name = test_name();
    starve(judge, listen_program);
}

LIVE_TEST(changes)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    help_table t = help_create(judge, "a int");
    name = t.name;
    help_sql(judge, "create publication @ for table @", name);
    starve(judge, changes_program);
    help_sql(judge, "drop publication @", name);
    help_drop(&t);
}
