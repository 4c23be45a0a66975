/* The PostgreSQL driver against a real server: statements, what is refused, cancels, losses. */
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "pg_help.h"

LIVE_TEST(a_query_gives_rows)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg_result) res = NULL;
    int64_t sum = 0;
    assert_ok(tug_pg_ready(db));
    assert_ok(tug_pg_query(db, "select $1::int4 + 1 as n, null::text as t", TUG_ARGS(41), &res));
    assert_int_equal(tug_pg_result_rows(res), 1);
    assert_int_equal(tug_pg_result_columns(res), 2);
    assert_string_equal(tug_pg_result_column_name(res, 0), "n");
    assert_ok(tug_pg_result_int64(res, 0, 0, &sum));
    assert_int_equal(sum, 42);
    assert_true(tug_pg_result_is_null(res, 0, 1));
}

LIVE_TEST(exec_counts_rows)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    help_table t = help_create(db, "a int");
    int64_t rows = -1;
    assert_ok(tug_pg_exec(db, help_text(&t, "insert into @ select generate_series(1, 7)"),
                          TUG_NO_ARGS, &rows));
    assert_int_equal(rows, 7);
    assert_ok(tug_pg_exec(db, help_text(&t, "delete from @ where a > $1"), TUG_ARGS(5), &rows));
    assert_int_equal(rows, 2);
    assert_int_equal(help_count(&t), 5);
    help_drop(&t);
}

LIVE_TEST(query_one_wants_exactly_one_row)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    int n = 7;
    const char *borrowed = NULL;
    char copy[8];
    assert_rc(tug_pg_query_one(db, "select 1 where false", TUG_NO_ARGS, TUG_OUT(&n)),
              TUG_ENOTFOUND);
    assert_rc(tug_pg_query_one(db, "select generate_series(1, 2)", TUG_NO_ARGS, TUG_OUT(&n)),
              TUG_ETOOMANY);
    assert_int_equal(n, 7);
    assert_rc(tug_pg_query_one(db, "select 'x'", TUG_NO_ARGS, TUG_OUT(&borrowed)), TUG_EMISUSE);
    assert_ok(tug_pg_query_one(db, "select 'abc'", TUG_NO_ARGS, TUG_OUT(TUG_COPY(copy))));
    assert_string_equal(copy, "abc");
}

LIVE_TEST(a_server_error_is_one_line_with_its_sqlstate)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    assert_rc(tug_pg_exec(db, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    const tug_error *e = tug_last_error();
    assert_string_equal(e->native, "22012");
    assert_string_equal(e->text, "ERROR: division by zero (SQLSTATE 22012)");
    assert_int_equal(e->sent, TUG_ANSWERED);
    assert_int_equal(e->origin, TUG_ORIGIN_SERVER);
    assert_false(e->transient);
    /* A text that cannot be prepared, twice: the second is not stuck behind the first. */
    assert_rc(tug_pg_exec(db, "selec 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42601");
    assert_rc(tug_pg_exec(db, "selec 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_rc(tug_pg_exec(db, "select 1; select 2", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_int_equal(help_int(db, "select 1"), 1);
}

LIVE_TEST(arguments_that_do_not_fit_are_refused_before_sending)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    int64_t pid = help_int(db, "select pg_backend_pid()");
    assert_rc(tug_pg_exec(db, "select $1::int4", TUG_ARGS(INT64_C(1) << 40), NULL), TUG_ERANGE);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_rc(tug_pg_exec(db, "select $1::int4", TUG_ARGS(1, 2), NULL), TUG_EMISUSE);
    assert_int_equal(help_int(db, "select pg_backend_pid()"), pid);
}

/* --- many at once ----------------------------------------------------------------------------- */

struct asker {
    tug_pg *db;
    int n;
};

static int ask(void *arg)
{
    struct asker *a = arg;
    int got = 0;
    int rc = tug_pg_query_one(a->db, "select $1::int4 * 2", TUG_ARGS(a->n), TUG_OUT(&got));
    if (rc == 0 && got != a->n * 2) {
        return tug_fail(TUG_EUSER, "asked %d, got %d", a->n * 2, got);
    }
    return rc;
}

LIVE_TEST(a_thousand_queries_at_once)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    static struct asker askers[1000];
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    for (int i = 0; i < 1000; i++) {
        askers[i] = (struct asker){db, i};
        tug_group_spawn(&g, ask, &askers[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
}

LIVE_TEST(the_pipeline_is_bounded_and_the_rest_waits_in_order)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_pipeline = 4;
    TUG_AUTO(tug_pg) db = help_open(&o);
    help_table t = help_create(db, "n serial, a int");
    tug_future *f[100];
    for (int i = 0; i < 100; i++) {
        f[i] = tug_pg_exec_start(db, help_text(&t, "insert into @(a) values ($1)"), TUG_ARGS(i));
    }
    assert_ok(tug_gather(f, 100));
    tug_future_drop_all(f, 100);
    assert_int_equal(help_count(&t), 100);
    help_drop(&t);
}

LIVE_TEST(nobody_waits_behind_a_slow_statement)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_int_equal(help_int(db, "select 1"), 1);
    help_gate gate = help_gate_close();
    tug_future *f[3];
    f[0] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    assert_soon(help_gate_waiting(&gate) == 1);
    assert_ok(tug_sleep(TUG_MS(20)));              /* older than head_limit */
    assert_int_equal(help_int(db, "select 1"), 1); /* on a connection of its own */
    /* And with that one slow too, the shared one has to do. */
    f[1] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    assert_soon(help_gate_waiting(&gate) == 2);
    f[2] = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_false(tug_future_is_settled(f[0]) || tug_future_is_settled(f[2]));
    help_gate_open(&gate);
    assert_ok(tug_gather(f, 3));
    tug_future_drop_all(f, 3);
}

LIVE_TEST(without_shared_connections_each_statement_leases)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 2;
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_ok(tug_pg_ready(db));
    tug_future *f[20];
    for (int i = 0; i < 20; i++) {
        f[i] = tug_pg_exec_start(db, "select $1::int4", TUG_ARGS(i));
    }
    assert_ok(tug_gather(f, 20));
    tug_future_drop_all(f, 20);
}

/* --- the Sync decides ------------------------------------------------------------------------- */

LIVE_TEST(a_deferred_constraint_fails_at_its_own_sync)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int unique deferrable initially deferred");
    const char *sql = help_text(&t, "insert into @ values ($1)");
    tug_future *f[5];
    for (int i = 0; i < 5;
         i++) { /* 1 2 2 3 4: the third says INSERT 0 1 first and fails at its Sync */
        f[i] = tug_pg_exec_start(db, sql, TUG_ARGS(i < 2 ? i + 1 : i));
    }
    int64_t rows = 0;
    for (int i = 0; i < 5; i++) {
        if (i == 2) {
            assert_rc(tug_await(f[i]), TUG_ESERVER);
            assert_string_equal(tug_last_error()->native, "23505");
            assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
        } else {
            assert_ok(tug_await(f[i]));
            assert_ok(tug_pg_exec_take(f[i], &rows));
            assert_int_equal(rows, 1);
        }
    }
    tug_future_drop_all(f, 5);
    assert_int_equal(help_count(&t), 4);
    help_drop(&t);
}

/* --- what does not belong on shared connections ----------------------------------------------- */

LIVE_TEST(the_gate_refuses_what_changes_a_shared_connection)
{
    static const char *const refused[] = {"BEGIN",
                                          " /* x */ begin",
                                          "; set search_path = x",
                                          "LISTEN a",
                                          "create temp table x(a int)",
                                          "declare c cursor for select 1"};
    TUG_AUTO(tug_pg) db = help_open(NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_rc(tug_pg_exec(db, refused[i], TUG_NO_ARGS, NULL), TUG_EMISUSE);
        assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    }
    assert_rc(tug_pg_exec(db, "BEGIN", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("use tug_pg_begin");
    assert_rc(tug_pg_exec(db, "copy x from stdin", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("use tug_pg_copy_in");
    assert_rc(tug_pg_commit(db), TUG_EMISUSE);
    assert_rc(tug_pg_exec(db, NULL, TUG_NO_ARGS, NULL), TUG_EINVAL);
    assert_rc(tug_pg_exec(NULL, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
}

LIVE_TEST(a_task_that_holds_a_session_does_not_use_its_pool)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("holds a session");
    struct asker other = {db, 3};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    tug_group_spawn(&g, ask, &other); /* another task may */
    assert_ok(tug_group_leave(&g, 0));
    tug_pg_close(session);
    assert_ok(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL));
}

struct handed {
    tug_pg *db, *session;
};

static int acquire_for_others(void *arg)
{
    struct handed *h = arg;
    return tug_pg_acquire(h->db, &h->session);
}

static int use_the_pool(void *arg)
{
    return tug_pg_exec(((struct handed *)arg)->db, "select 1", TUG_NO_ARGS, NULL);
}

LIVE_TEST(a_task_that_has_ended_holds_nothing)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    struct handed h = {db, NULL};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    tug_group_spawn(&g, acquire_for_others, &h);
    assert_ok(tug_group_leave(&g, 0));
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    tug_group_spawn(&g, use_the_pool, &h); /* on the stack of the one that has ended */
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_pg_exec(h.session, "select 1", TUG_NO_ARGS, NULL));
    tug_pg_close(h.session);
}

/* --- statements are prepared once and bounded ------------------------------------------------- */

LIVE_TEST(more_statements_than_are_kept)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.max_statements = 8;
    TUG_AUTO(tug_pg) db = help_open(&o);
    char sql[64];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 30; i++) {
            snprintf(sql, sizeof sql, "select %d", i);
            assert_int_equal(help_int(db, sql), i);
        }
    }
    int64_t kept = help_int(db, "select count(*) from pg_prepared_statements");
    assert_true(kept >= 7 && kept <= 9);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(help_int(db, "select 77"), 77);
    }
    assert_int_equal(
        help_int(db, "select count(*) from pg_prepared_statements where statement = 'select 77'"),
        1);
}

LIVE_TEST(a_plan_that_the_tables_outgrew_is_made_anew)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    char sql[100];
    snprintf(sql, sizeof sql, "select * from %s", t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    help_sql(db, "alter table @ add b text", t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
    help_drop(&t);
}

LIVE_TEST(a_name_that_the_server_knows_already_is_used)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    char name[64], sql[128];
    static const char text[] = "select 40 + $1::int4 /* known */";
    int got = 0;
    assert_ok(tug_pg_exec(db, text, TUG_ARGS(1), NULL));
    assert_ok(tug_pg_query_one(db, "select name from pg_prepared_statements where statement = $1",
                               TUG_ARGS(text), TUG_OUT(TUG_COPY(name))));
    snprintf(sql, sizeof sql, "prepare %s as %s", name, text);
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, sql, TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_query_one(session, text, TUG_ARGS(2), TUG_OUT(&got)));
    assert_int_equal(got, 42);
}

/* --- cancels ---------------------------------------------------------------------------------- */

LIVE_TEST(a_cancelled_statement_says_how_far_it_got)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_pipeline = 1;
    o.head_limit = TUG_SECONDS(60);
    TUG_AUTO(tug_pg) db = help_open(&o);
    int64_t pid = help_int(db, "select pg_backend_pid()");
    help_gate gate = help_gate_close();
    tug_future *running = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    tug_future *leased = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    tug_future *waiting = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    assert_soon(help_gate_waiting(&gate) == 2);
    tug_future_cancel(running);
    tug_future_cancel(waiting);
    assert_rc(tug_await(running), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_rc(tug_await(waiting), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    help_gate_open(&gate);
    assert_ok(tug_await(leased));
    tug_future_unref(running);
    tug_future_unref(leased);
    tug_future_unref(waiting);
    /* The same connection, after the tombstone; the leased one while the request is under way. */
    assert_soon(help_int(db, "select pg_backend_pid()") == pid);
}

LIVE_TEST(a_deadline_cuts_a_statement_short)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_ok(tug_pg_ready(db));
    assert_rc(TUG_WITHIN(TUG_MS(60), tug_pg_exec(db, "select pg_sleep(30)", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    assert_int_equal(help_int(db, "select 5"), 5);
}

struct hammer {
    tug_pg *db;
    unsigned seed;
    int answered, cut;
};

/* Each result carries its question: a shifted one is seen at once. */
static int hammer_one(void *arg)
{
    struct hammer *h = arg;
    for (int i = 0; i < 150; i++) {
        int number = (int)(h->seed = h->seed * 1103515245u + 12345u) >> 8;
        int got = 0;
        /* One in eight has all the time it needs. */
        unsigned us = (h->seed >> 16) % 3000;
        int rc = TUG_WITHIN(
            us % 8 == 0 ? TUG_SECONDS(30) : TUG_US(us),
            tug_pg_query_one(h->db, "select $1::int4", TUG_ARGS(number), TUG_OUT(&got)));
        if (rc == TUG_ETIMEDOUT) {
            h->cut++;
        } else if (rc < 0) {
            return rc;
        } else if (got != number) {
            return tug_fail(TUG_EUSER, "asked %d, got %d", number, got);
        } else {
            h->answered++;
        }
    }
    return 0;
}

LIVE_TEST(cancels_never_shift_anybody_elses_result)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    static struct hammer hammers[40];
    assert_ok(tug_pg_ready(db));
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(40), TUG_FAIL_FAST);
    for (unsigned i = 0; i < 40; i++) {
        hammers[i] = (struct hammer){.db = db, .seed = i * 7919u + 1};
        tug_group_spawn(&g, hammer_one, &hammers[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
    int answered = 0, cut = 0;
    for (int i = 0; i < 40; i++) {
        answered += hammers[i].answered;
        cut += hammers[i].cut;
    }
    assert_int_equal(answered + cut, 40 * 150);
    assert_true(answered > 0 && cut > 0);
    assert_int_equal(help_int(db, "select 1"), 1);
}

LIVE_TEST(a_dropped_future_leaves_nothing_behind)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_ok(tug_pg_ready(db));
    for (int i = 0; i < 20; i++) {
        tug_future *f = tug_pg_query_start(db, "select repeat('x', 10000)", TUG_NO_ARGS);
        if (i % 2 == 0) {
            assert_ok(tug_yield());
        }
        tug_future_drop(f);
    }
    tug_future *taken_by_nobody = tug_pg_query_start(db, "select 1", TUG_NO_ARGS);
    assert_ok(tug_await(taken_by_nobody));
    tug_future_unref(taken_by_nobody);
    assert_int_equal(help_int(db, "select 1"), 1);
}

/* --- losses ----------------------------------------------------------------------------------- */

LIVE_TEST(a_killed_backend_fails_what_was_in_flight_and_is_replaced)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.head_limit = TUG_SECONDS(60);
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) killer = help_open_small();
    int64_t pid = help_int(db, "select pg_backend_pid()");
    tug_future *f[3];
    assert_ok(tug_pg_exec(db, HELP_GATE, TUG_ARGS(HELP_OPEN), NULL));
    help_gate gate = help_gate_close();
    f[0] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    f[1] = tug_pg_exec_start(db, "select pg_backend_pid()", TUG_NO_ARGS);
    f[2] = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    assert_soon(help_gate_waiting(&gate) == 1);
    help_terminate(killer, pid);
    help_gate_open(&gate);
    for (int i = 0; i < 2; i++) {
        assert_rc(tug_await(f[i]), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
        assert_true(tug_last_error()->transient);
        assert_string_equal(tug_last_error()->native, "57P01");
        assert_detail_has("terminating connection due to administrator command");
    }
    /* Was waiting for its description: never sent, so it simply runs elsewhere. */
    assert_ok(tug_await(f[2]));
    tug_future_drop_all(f, 3);
    assert_int_not_equal(help_int(db, "select pg_backend_pid()"), pid);
}

LIVE_TEST(an_idle_connection_that_dies_is_replaced_unseen)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) killer = help_open_small();
    for (int i = 0; i < 3; i++) {
        int64_t pid = help_int(db, "select pg_backend_pid()");
        help_terminate(killer, pid);
        tug_test_settle();
        assert_int_not_equal(help_int(db, "select pg_backend_pid()"), pid);
    }
}

LIVE_TEST(a_result_beyond_the_bound_ends_its_connection)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_result_bytes = 1 << 20;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_ok(tug_pg_query(db, "select repeat('x', 600000)", TUG_NO_ARGS, &res));
    assert_rc(tug_pg_exec(db, "select repeat('x', 1000) from generate_series(1, 200000)",
                          TUG_NO_ARGS, NULL),
              TUG_ELIMIT);
    assert_detail_has("max_result_bytes");
    assert_int_equal(help_int(db, "select 1"), 1);
}

/* libpq makes room for the whole row and then takes it in a few reads. */
LIVE_TEST(one_value_beyond_the_bound_ends_its_connection)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_result_bytes = 1 << 20;
    TUG_AUTO(tug_pg) db = help_open(&o);
    static const int sizes[] = {1 << 20, 3 << 20, 100 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_rc(tug_pg_exec(db, "select repeat('x', $1::int4)", TUG_ARGS(sizes[i]), NULL),
                  TUG_ELIMIT);
        assert_detail_has("max_result_bytes");
    }
    assert_int_equal(help_int(db, "select 1"), 1);
}

LIVE_TEST(closing_ends_what_waits_and_what_is_in_flight)
{
    tug_pg *db = help_open_small();
    assert_ok(tug_pg_exec(db, HELP_GATE, TUG_ARGS(HELP_OPEN), NULL));
    help_gate gate = help_gate_close();
    tug_future *f[4];
    f[0] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    f[1] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key)); /* right behind it */
    assert_soon(help_gate_waiting(&gate) == 1);
    assert_ok(tug_sleep(TUG_MS(20)));                            /* older than head_limit */
    f[2] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key)); /* on a connection of its own */
    assert_soon(help_gate_waiting(&gate) == 2);
    f[3] = tug_pg_exec_start(db, "select 1", TUG_NO_ARGS);
    tug_pg_close(db);
    for (int i = 0; i < 4; i++) {
        assert_rc(tug_await(f[i]), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, i < 3 ? TUG_IN_FLIGHT : TUG_NOT_SENT);
    }
    tug_future_drop_all(f, 4);
    help_gate_open(&gate);
}

LIVE_TEST(a_forgotten_handle_closes_itself)
{
    tug_pg *db = help_open(NULL);
    tug_pg *session = NULL, *tx = NULL;
    assert_int_equal(help_int(db, "select 1"), 1);
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_begin(db, NULL, &tx));
}
