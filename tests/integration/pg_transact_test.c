/* tug_pg_transact on a real server: what is tried again, what is not, and what is left behind. */
#include <string.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>

#include "pg_help.h"

struct work {
    help_table *table;
    int calls;
    int failures; /* so many calls fail first */
    const char *state;
    int rc;
    tug_barrier *both;
    tug_scope *scope;
};

/* An error with the SQLSTATE of one's choice, made by the server. */
static int raise(tug_pg *tx, const char *state)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "do $$ begin raise exception 'made to fail' using errcode = '%s'; end $$", state);
    return tug_pg_exec(tx, sql, TUG_NO_ARGS, NULL);
}

static int add_one(tug_pg *tx, void *arg)
{
    struct work *w = arg;
    w->calls++;
    int rc = tug_pg_exec(tx, help_text(w->table, "insert into @ values (1)"), TUG_NO_ARGS, NULL);
    if (rc == 0 && w->calls <= w->failures) {
        return raise(tx, w->state);
    }
    return rc < 0 ? rc : w->rc;
}

static tug_pg_transact_options quick(unsigned attempts)
{
    tug_pg_transact_options o = TUG_PG_TRANSACT_OPTIONS_INIT;
    o.attempts = attempts;
    o.backoff_first = TUG_US(100);
    o.backoff_most = TUG_MS(1);
    return o;
}

LIVE_TEST(transact_commits_what_succeeds)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    struct work w = {.table = &t};
    assert_ok(tug_pg_transact(db, add_one, &w, NULL));
    assert_int_equal(w.calls, 1);
    assert_int_equal(help_count(&t), 1);
    help_drop(&t);
}

LIVE_TEST(transact_tries_again_after_a_serialization_failure_or_a_deadlock)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    tug_pg_transact_options o = quick(5);
    static const char *const states[] = {"40001", "40P01"};
    for (int i = 0; i < 2; i++) {
        struct work w = {.table = &t, .failures = 4, .state = states[i]};
        assert_ok(tug_pg_transact(db, add_one, &w, &o));
        assert_int_equal(w.calls, 5);
        assert_int_equal(help_count(&t), i + 1);
        w = (struct work){.table = &t, .failures = 5, .state = states[i]};
        assert_rc(tug_pg_transact(db, add_one, &w, &o), TUG_ESERVER);
        assert_string_equal(tug_last_error()->native, states[i]);
        assert_int_equal(w.calls, 5);
        assert_int_equal(help_count(&t), i + 1);
    }
    help_drop(&t);
}

LIVE_TEST(transact_returns_what_fn_returns_and_rolls_back)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    struct work w = {.table = &t, .rc = TUG_EUSER - 7};
    assert_rc(tug_pg_transact(db, add_one, &w, NULL), TUG_EUSER - 7);
    w = (struct work){.table = &t, .failures = 1, .state = "23505"};
    assert_rc(tug_pg_transact(db, add_one, &w, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "23505");
    assert_int_equal(w.calls, 1);
    w = (struct work){.table = &t, .rc = 3};
    assert_rc(tug_pg_transact(db, add_one, &w, NULL), TUG_EMISUSE);
    assert_detail_has("fn returned 3");
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

static int commit_it(tug_pg *tx, void *arg)
{
    (void)arg;
    return tug_pg_commit(tx);
}

static int leave_one_open(tug_pg *tx, void *arg)
{
    return tug_pg_begin(tx, NULL, arg);
}

LIVE_TEST(transact_refuses_misuse)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg_transact_options o = TUG_PG_TRANSACT_OPTIONS_INIT;
    tug_pg *left = NULL;
    assert_rc(tug_pg_transact(NULL, commit_it, NULL, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_transact(db, NULL, NULL, NULL), TUG_EINVAL);
    o.attempts = 0;
    assert_rc(tug_pg_transact(db, commit_it, NULL, &o), TUG_EINVAL);
    o.attempts = 1001;
    assert_rc(tug_pg_transact(db, commit_it, NULL, &o), TUG_EINVAL);
    o = quick(1);
    o.backoff_most = o.backoff_first - 1;
    assert_rc(tug_pg_transact(db, commit_it, NULL, &o), TUG_EINVAL);
    o = quick(1);
    o.isolation = 17;
    assert_rc(tug_pg_transact(db, commit_it, NULL, &o), TUG_EINVAL);
    assert_rc(tug_pg_transact(db, commit_it, NULL, NULL), TUG_EMISUSE);
    assert_detail_has("commits when its function returns 0");
    assert_rc(tug_pg_transact(db, leave_one_open, &left, NULL), TUG_EMISUSE);
    assert_detail_has("a savepoint inside");
    tug_pg_close(left);
}

static int show_all(tug_pg *tx, void *arg)
{
    char level[32], read_only[8], deferrable[8];
    int rc = tug_pg_query_one(tx,
                              "select current_setting('transaction_isolation'), "
                              "current_setting('transaction_read_only'), "
                              "current_setting('transaction_deferrable')",
                              TUG_NO_ARGS,
                              TUG_OUT(TUG_COPY(level), TUG_COPY(read_only), TUG_COPY(deferrable)));
    snprintf(arg, 64, "%s %s %s", level, read_only, deferrable);
    return rc;
}

LIVE_TEST(transact_and_begin_set_each_option)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    static const char *const levels[] = {"read committed", "read committed", "repeatable read",
                                         "serializable"};
    for (int i = 0; i < 16; i++) {
        char expected[64], is[64];
        tug_pg_transact_options o = TUG_PG_TRANSACT_OPTIONS_INIT;
        tug_pg_begin_options b = TUG_PG_BEGIN_OPTIONS_INIT;
        o.isolation = b.isolation = i / 4;
        o.read_only = b.read_only = i & 1;
        o.deferrable = b.deferrable = (i & 2) != 0;
        snprintf(expected, sizeof expected, "%s %s %s", levels[i / 4], i & 1 ? "on" : "off",
                 i & 2 ? "on" : "off");
        assert_ok(tug_pg_transact(db, show_all, is, &o));
        assert_string_equal(is, expected);
        TUG_AUTO(tug_pg) tx = NULL;
        assert_ok(tug_pg_begin(db, &b, &tx));
        assert_ok(show_all(tx, is));
        assert_string_equal(is, expected);
    }
}

/* Both have read before either writes: one of them must fail, at its statement or at its commit. */
static int read_then_write(tug_pg *tx, void *arg)
{
    struct work *w = arg;
    int64_t n = 0;
    int rc = tug_pg_query_one(tx, help_text(w->table, "select count(*) from @"), TUG_NO_ARGS,
                              TUG_OUT(&n));
    if (rc == 0 && w->calls++ == 0) {
        rc = tug_barrier_wait(w->both, NULL);
    }
    return rc < 0 ? rc
                  : tug_pg_exec(tx, help_text(w->table, "insert into @ values ($1)"), TUG_ARGS(n),
                                NULL);
}

struct serial {
    tug_pg *db;
    struct work work;
    tug_pg_transact_options options;
};

static int serial_task(void *arg)
{
    struct serial *s = arg;
    return tug_pg_transact(s->db, read_then_write, &s->work, &s->options);
}

LIVE_TEST(transact_tries_again_when_the_commit_fails)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_barrier) both = NULL;
    assert_ok(tug_barrier_new(2, &both));
    struct serial s[2];
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    for (int i = 0; i < 2; i++) {
        s[i] = (struct serial){.db = db, .work = {.table = &t, .both = both}, .options = quick(20)};
        s[i].options.isolation = TUG_PG_SERIALIZABLE;
        tug_group_spawn(&g, serial_task, &s[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_true(s[0].work.calls + s[1].work.calls > 2);
    /* As if one after the other. */
    assert_int_equal(help_int(db, help_text(&t, "select count(*) from @ where a in (0, 1)")), 2);
    assert_int_equal(help_int(db, help_text(&t, "select count(distinct a) from @")), 2);
    help_drop(&t);
}

LIVE_TEST(transact_inside_of_a_transaction_is_a_savepoint_and_leaves_the_retry_to_the_whole)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) tx = NULL;
    tug_pg_transact_options o = quick(5);
    struct work fails = {.table = &t, .failures = 1, .state = "40001"};
    struct work works = {.table = &t};
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_transact(tx, add_one, &fails, &o), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "40001");
    assert_int_equal(fails.calls, 1);
    assert_ok(tug_pg_transact(tx, add_one, &works, &o));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(help_count(&t), 1);
    help_drop(&t);
}

LIVE_TEST(transact_on_a_session_uses_that_one)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) session = NULL;
    tug_pg_transact_options o = quick(3);
    struct work w = {.table = &t, .failures = 2, .state = "40001"};
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_transact(session, add_one, &w, &o));
    assert_int_equal(w.calls, 3);
    assert_int_equal(help_int(session, help_text(&t, "select count(*) from @")), 1);
    tug_pg_close(session);
    session = NULL;
    help_drop(&t);
}

static int sleep_in_a_cancelled_scope(tug_pg *tx, void *arg)
{
    struct work *w = arg;
    int rc = tug_pg_exec(tx, help_text(w->table, "insert into @ values (1)"), TUG_NO_ARGS, NULL);
    w->calls++;
    tug_scope_cancel(w->scope);
    return rc < 0 ? rc : tug_sleep(TUG_SECONDS(60));
}

static int fail_and_soon_expire(tug_pg *tx, void *arg)
{
    struct work *w = arg;
    int rc = add_one(tx, arg);
    tug_scope_set_deadline(w->scope, tug_time_after(tug_now(), TUG_MS(20)));
    return rc;
}

LIVE_TEST(transact_cut_short_rolls_back)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    tug_scope s;
    struct work w = {.table = &t, .scope = &s};
    tug_scope_enter(&s, TUG_FOREVER);
    int rc = tug_pg_transact(db, sleep_in_a_cancelled_scope, &w, NULL);
    assert_rc(tug_scope_leave(&s, rc), TUG_ECANCELED);
    assert_int_equal(w.calls, 1);
    assert_int_equal(help_count(&t), 0);
    /* Between two attempts, too. */
    tug_pg_transact_options o = quick(5);
    o.backoff_first = o.backoff_most = TUG_SECONDS(30);
    w = (struct work){.table = &t, .scope = &s, .failures = 9, .state = "40001"};
    tug_scope_enter(&s, TUG_SECONDS(60));
    rc = tug_pg_transact(db, fail_and_soon_expire, &w, &o);
    assert_rc(tug_scope_leave(&s, rc), TUG_ETIMEDOUT);
    assert_int_equal(w.calls, 1);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(transact_cut_short_at_any_time_is_all_or_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    for (int i = 0; i < 60; i++) {
        int before = (int)help_count(&t);
        struct work w = {.table = &t};
        int rc = TUG_WITHIN(TUG_US(i * 40), tug_pg_transact(db, add_one, &w, NULL));
        bool unknown = rc < 0 && tug_last_error()->sent == TUG_IN_FLIGHT;
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        TUG_AUTO(tug_pg) behind = NULL; /* what was left has ended by now */
        assert_ok(tug_pg_begin(db, NULL, &behind));
        int64_t after = help_int(behind, help_text(&t, "select count(*) from @"));
        assert_true(after == before + (rc == 0) || (unknown && after == before + 1));
    }
    help_drop(&t);
}

static int kill_at_commit(tug_pg *tx, void *arg)
{
    struct work *w = arg;
    w->calls++;
    /* Deferred to the commit: the connection ends while that is under way. */
    return tug_pg_exec(tx, help_text(w->table, "insert into @ values (1)"), TUG_NO_ARGS, NULL);
}

LIVE_TEST(transact_does_not_try_again_what_nobody_knows)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    char sql[400];
    snprintf(sql, sizeof sql,
             "create function %s_f() returns trigger language plpgsql as $$ begin "
             "perform pg_terminate_backend(pg_backend_pid()); return null; end $$",
             t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    snprintf(
        sql, sizeof sql,
        "create constraint trigger x after insert on %s deferrable initially deferred for each "
        "row execute function %s_f()",
        t.name, t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    struct work w = {.table = &t};
    assert_rc(tug_pg_transact(db, kill_at_commit, &w, NULL), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_int_equal(w.calls, 1);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
    snprintf(sql, sizeof sql, "drop function %s_f()", t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
}
