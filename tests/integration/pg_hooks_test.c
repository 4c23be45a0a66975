/* Hooks of a pool: each call is told of twice, with OpenTelemetry's attributes. */
#include <stdlib.h>
#include <string.h>
#include <tug/pg_hooks.h>
#include <tug/scope.h>

#include "pg_help.h"

struct seen {
    int starts, ends, open;
    int rc[16];
    char name[16][24], text[16][64], status[16][8];
    int64_t rows[16];
};

static void *on_start(const tug_pg_operation *op, void *arg)
{
    struct seen *s = arg;
    assert_string_equal(op->system, "postgresql");
    assert_true(op->server_port > 0);
    assert_string_equal(op->status_code, "");
    assert_int_equal(op->batch_size, 0);
    s->open++;
    return &s->name[s->starts++];
}

static void on_end(const tug_pg_operation *op, void *span, void *arg)
{
    struct seen *s = arg;
    int i = s->ends++;
    assert_ptr_equal(span, &s->name[i]); /* one after the other here */
    assert_true(op->duration > 0);
    s->open--;
    s->rc[i] = op->rc;
    s->rows[i] = op->returned_rows;
    strcpy(s->name[i], op->name);
    snprintf(s->text[i], sizeof s->text[i], "%s", op->text);
    strcpy(s->status[i], op->status_code);
}

static tug_pg_hooks hooks_of(struct seen *s)
{
    tug_pg_hooks h = TUG_PG_HOOKS_INIT;
    h.start = on_start;
    h.end = on_end;
    h.arg = s;
    return h;
}

LIVE_TEST(each_call_is_told_of_with_its_outcome)
{
    struct seen s = {.starts = 0};
    tug_pg_hooks h = hooks_of(&s);
    TUG_AUTO(tug_pg) db = help_open(NULL);
    int64_t n = 0;
    int32_t one = 0;
    assert_ok(tug_pg_set_hooks(db, &h));
    assert_ok(tug_pg_query_one(db, " /* hi */ sElect $1::int4", TUG_ARGS(1), TUG_OUT(&one)));
    assert_ok(tug_pg_exec(db, "select from generate_series(1, 5)", TUG_NO_ARGS, &n));
    assert_rc(tug_pg_exec(db, "select 1 / $1::int4", TUG_ARGS(0), NULL), TUG_ESERVER);
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_pg_exec(db, "select pg_sleep(10)", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    assert_int_equal(s.starts, 4);
    assert_int_equal(s.ends, 4);
    assert_string_equal(s.name[0], "SELECT");
    assert_string_equal(s.text[0], " /* hi */ sElect $1::int4");
    assert_int_equal(s.rows[0], 1);
    assert_int_equal(s.rc[0], 0);
    assert_int_equal(s.rows[1], 5);
    assert_int_equal(s.rc[2], TUG_ESERVER);
    assert_string_equal(s.status[2], "22012");
    assert_int_equal(s.rc[3], TUG_EDROPPED);
    assert_string_equal(s.status[3], "");
}

LIVE_TEST(sessions_and_transactions_are_told_of_by_the_hooks_of_their_pool)
{
    struct seen s = {.starts = 0};
    tug_pg_hooks h = hooks_of(&s);
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_set_hooks(db, &h));
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_set_hooks(tx, &h), TUG_EMISUSE);
    assert_true(s.ends >= 1);
    assert_int_equal(s.open, 0);
}

LIVE_TEST(what_began_under_other_hooks_is_not_told_of)
{
    struct seen s = {.starts = 0}, other = {.starts = 0};
    tug_pg_hooks h = hooks_of(&s), o = hooks_of(&other);
    TUG_AUTO(tug_pg) db = help_open(NULL);
    assert_ok(tug_pg_set_hooks(db, &h));
    TUG_AUTO(tug_future) f = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    assert_ok(tug_pg_set_hooks(db, &o));
    assert_ok(tug_await(f));
    assert_int_equal(s.starts, 1);
    assert_int_equal(s.ends + other.ends, 0);
    assert_ok(tug_pg_set_hooks(db, NULL));
    assert_ok(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL));
    assert_int_equal(s.starts + other.starts, 1);
}
