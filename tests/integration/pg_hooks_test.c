/* Hooks of a pool: each call is told of twice, with OpenTelemetry's attributes. */
#include <stdlib.h>
#include <string.h>
#include <tug/pg_hooks.h>
#include <tug/pg_pool.h>
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

/* --- logins -------------------------------------------------------------------------------------- */

struct logins {
    int n, shared, rc[8], backend[8];
    char address[64], peer[64], database[64], status[8];
    int port;
    tug_duration longest;
};

static void on_login(const tug_pg_login *login, void *arg)
{
    struct logins *s = arg;
    int i = s->n++;
    assert_true(i < 8);
    assert_int_equal(login->size, sizeof *login);
    assert_string_equal(login->system, "postgresql");
    assert_true(login->duration > 0);
    s->shared += strcmp(login->pool_name, "pg.shared") == 0;
    assert_true(s->shared > 0 || strcmp(login->pool_name, TUG_PG_POOL_NAME) == 0);
    s->rc[i] = login->rc;
    s->backend[i] = login->backend;
    s->port = login->server_port;
    s->longest = login->duration > s->longest ? login->duration : s->longest;
    snprintf(s->address, sizeof s->address, "%s", login->server_address);
    snprintf(s->peer, sizeof s->peer, "%s", login->peer_address);
    snprintf(s->database, sizeof s->database, "%s", login->database);
    snprintf(s->status, sizeof s->status, "%s", login->status_code);
    /* What it does with the task's own error is its own affair. */
    TUG_IGNORE(tug_fail(TUG_EUSER, "of the hook"));
}

static tug_pg_hooks login_hooks_of(struct logins *s)
{
    tug_pg_hooks h = TUG_PG_HOOKS_INIT;
    h.login = on_login;
    h.arg = s;
    return h;
}

LIVE_TEST(each_login_is_told_of)
{
    struct logins s = {.n = 0};
    tug_pg_hooks h = login_hooks_of(&s);
    tug_pg *db = help_open_small(), *session = NULL;
    assert_ok(tug_pg_set_hooks(db, &h));
    assert_ok(tug_pg_ready(db));
    int64_t pid = help_int(db, "select pg_backend_pid()");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.shared, 1);
    assert_int_equal(s.rc[0], 0);
    assert_int_equal(s.backend[0], pid);
    assert_string_equal(s.address, "127.0.0.1");
    assert_string_equal(s.peer, "127.0.0.1");
    assert_true(s.port > 1023);
    assert_string_equal(s.status, "");
    char database[64];
    assert_ok(tug_pg_query_one(db, "select current_database()", TUG_NO_ARGS,
                               TUG_OUT(TUG_COPY(database))));
    assert_string_equal(s.database, database);
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.shared, 1);
    assert_int_equal(s.backend[1], help_int(session, "select pg_backend_pid()"));
    /* The pool has measured the same one. */
    uint64_t connects = 0, in_bucket = 0;
    tug_duration most = 0;
    for (size_t i = 0; tug_pg_pool_bucket(db, TUG_POOL_CONNECT, i, &most, &in_bucket); i++) {
        connects += in_bucket;
    }
    assert_int_equal(connects, 1);
    assert_false(tug_pg_pool_bucket(session, TUG_POOL_CONNECT, 0, &most, &in_bucket));
    tug_pg_close(session);
    tug_pg_close(db);
}

LIVE_TEST(a_login_that_failed_is_told_of_with_its_code)
{
    struct logins s = {.n = 0};
    tug_pg_hooks h = login_hooks_of(&s);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.after_connect = "select 1/0";
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_ok(tug_pg_set_hooks(db, &h));
    assert_rc(tug_pg_ready(db), TUG_ESERVER);
    assert_detail_has("division by zero");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.rc[0], TUG_ESERVER);
    assert_string_equal(s.status, "22012");
    assert_int_equal(s.backend[0], 0);
    assert_string_equal(s.peer, "");
    /* And the pool took the failure of the login for the reason, not what the hook left behind. */
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_detail_has("division by zero");
}

LIVE_TEST(a_closed_pool_tells_of_no_login)
{
    struct logins s = {.n = 0};
    tug_pg_hooks h = login_hooks_of(&s);
    tug_pg *db = help_open_small();
    assert_ok(tug_pg_set_hooks(db, &h));
    tug_test_settle(); /* it is under way */
    tug_pg_close(db);
    assert_ok(tug_sleep(TUG_MS(50)));
    assert_int_equal(s.n, 0);
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
