/* What:      what the tests of the PostgreSQL driver share.
 * Ownership: see each function. Context: in a test's task. Callbacks: none. Errors: fail the
 * test. */
#ifndef TUG_TESTS_PG_HELP_H
#define TUG_TESTS_PG_HELP_H

#include <stdio.h>
#include <string.h>
#include <tug/error.h>
#include <tug/pg.h>
#include <unistd.h>

#include "test.h"

static inline tug_pg *help_open(const tug_pg_options *o)
{
    tug_pg *db = NULL;
    assert_ok(tug_pg_open(test_url("TUG_PG_URL"), o, &db));
    return db;
}

/* One shared and one leased connection: what happens is on one or the other. */
static inline tug_pg *help_open_small(void)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    return help_open(&o);
}

static inline int64_t help_int(tug_pg *db, const char *sql)
{
    int64_t value = 0;
    assert_ok(tug_pg_query_one(db, sql, TUG_NO_ARGS, TUG_OUT(&value)));
    return value;
}

/* A table of its own for this test, and gone at the end of the block. */
typedef struct help_table {
    tug_pg *db;
    char name[64];
} help_table;

/* format with name for each @. Static storage. */
static inline const char *help_named(const char *format, const char *name)
{
    static char sql[400];
    char *at = sql;
    for (const char *f = format; *f != '\0'; f++) {
        at += *f == '@' ? sprintf(at, "%s", name) : sprintf(at, "%c", *f);
    }
    return sql;
}

static inline void help_sql(tug_pg *db, const char *format, const char *name)
{
    assert_ok(tug_pg_exec(db, help_named(format, name), TUG_NO_ARGS, NULL));
}

static inline help_table help_create(tug_pg *db, const char *columns)
{
    help_table t = {.db = db};
    char sql[300];
    snprintf(t.name, sizeof t.name, "%s", test_name());
    snprintf(sql, sizeof sql, "create table @(%s)", columns);
    help_sql(db, sql, t.name);
    return t;
}

static inline void help_drop(const help_table *t)
{
    help_sql(t->db, "drop table @", t->name);
}

static inline const char *help_text(const help_table *t, const char *format)
{
    return help_named(format, t->name);
}

static inline int64_t help_count(const help_table *t)
{
    return help_int(t->db, help_text(t, "select count(*) from @"));
}

/* --- statements that stand still -------------------------------------------------------------- */

/* Statements with this in their text that wait for that at the server: "PgSleep", "ClientWrite". */
static inline int64_t help_waiting(tug_pg *judge, const char *event, const char *part)
{
    int64_t n = 0;
    assert_ok(tug_pg_query_one(judge,
                               "select count(*) from pg_stat_activity where state = 'active' and "
                               "wait_event = $1 and position($2 in query) > 0",
                               TUG_ARGS(event, part), TUG_OUT(&n)));
    return n;
}

/* Its backend ends, and has ended: what it had to say is at our end of the connection. */
static inline void help_terminate(tug_pg *judge, int64_t pid)
{
    bool done = false;
    assert_ok(tug_pg_query_one(judge, "select pg_terminate_backend($1::int4, 30000)", TUG_ARGS(pid),
                               TUG_OUT(&done)));
    assert_true(done);
}

/* A statement that stands still at the server until the test lets it go, however slow the machine is:
 * HELP_GATE with the gate's key. With HELP_OPEN it goes through at once. */
#define HELP_GATE "select 1 from pg_advisory_xact_lock_shared(4711, $1)"
#define HELP_OPEN (-1)

typedef struct help_gate {
    tug_pg *db, *tx; /* of its own */
    int32_t key;
} help_gate;

static inline help_gate help_gate_close(void)
{
    static int32_t n;
    help_gate g = {.db = help_open_small(), .key = (int32_t)getpid() * 64 + n++ % 64};
    assert_ok(tug_pg_begin(g.db, NULL, &g.tx));
    assert_ok(tug_pg_exec(g.tx, "select pg_advisory_xact_lock(4711, $1)", TUG_ARGS(g.key), NULL));
    return g;
}

/* So many stand before it. */
static inline int64_t help_gate_waiting(const help_gate *g)
{
    int64_t n = 0;
    assert_ok(tug_pg_query_one(g->tx,
                               "select count(*) from pg_locks where locktype = 'advisory' and "
                               "classid = 4711 and objid = $1::int8 and not granted",
                               TUG_ARGS(g->key), TUG_OUT(&n)));
    return n;
}

static inline void help_gate_open(help_gate *g)
{
    assert_ok(tug_pg_commit(g->tx));
    tug_pg_close(g->tx);
    tug_pg_close(g->db);
}

#endif
