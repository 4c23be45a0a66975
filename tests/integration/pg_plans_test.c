/* Prepared statements against a real server: kept, bounded, renewed when the tables change, and left
 * out for poolers. */
#include <stdlib.h>
#include <tug/group.h>
#include <tug/pg_script.h>
#include <tug/scope.h>

#include "pg_help.h"

enum {
    MANY = 60
};

static void rows(tug_pg *db, const char *sql, size_t columns)
{
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_ok(tug_pg_query(db, sql, TUG_NO_ARGS, &res));
    assert_int_equal(tug_pg_result_columns(res), columns);
}

static tug_pg *open_at(const char *url, int mode)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.statement_mode = mode;
    assert_ok(tug_pg_open(url, &o, &db));
    return db;
}

/* Statements that this session has prepared by name, this one not counted. */
static int64_t prepared(tug_pg *session, const char *pattern)
{
    int64_t n = 0;
    assert_ok(
        tug_pg_query_one(session,
                         "select count(*) from pg_prepared_statements where statement like $1 "
                         "and statement not like '%pg_prepared%'",
                         TUG_ARGS(pattern), TUG_OUT(&n)));
    return n;
}

/* --- names and bounds ------------------------------------------------------------------------- */

LIVE_TEST(a_text_has_one_name_on_all_connections)
{
    TUG_AUTO(tug_pg) one = help_open_small();
    TUG_AUTO(tug_pg) other = help_open_small();
    char names[2][80];
    tug_pg *both[] = {one, other};
    for (int i = 0; i < 2; i++) {
        TUG_AUTO(tug_pg) session = NULL;
        assert_ok(tug_pg_acquire(both[i], &session));
        assert_ok(tug_pg_exec(session, "select 'the same' /* everywhere */", TUG_NO_ARGS, NULL));
        assert_ok(tug_pg_query_one(session,
                                   "select name from pg_prepared_statements where statement = "
                                   "'select ''the same'' /* everywhere */'",
                                   TUG_NO_ARGS, TUG_OUT(TUG_COPY(names[i]))));
    }
    assert_string_equal(names[0], names[1]);
    assert_memory_equal(names[0], "tug_", 4);
}

LIVE_TEST(long_texts_are_not_kept)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 1;
    o.max_statement_bytes = 200;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) session = NULL;
    char sql[400];
    snprintf(sql, sizeof sql, "select $1::int8 + 1 /* %0250d */", 0);
    assert_ok(tug_pg_acquire(db, &session));
    tug_future *f[4];
    for (int i = 0; i < 4; i++) {
        f[i] = tug_pg_query_start(session, sql, TUG_ARGS(i));
    }
    for (int64_t i = 0, got = 0; i < 4; i++) {
        TUG_AUTO(tug_pg_result) res = NULL;
        assert_ok(tug_await(f[i]));
        assert_ok(tug_pg_result_take(f[i], &res));
        assert_ok(tug_pg_result_int64(res, 0, 0, &got));
        assert_int_equal(got, i + 1);
    }
    tug_future_drop_all(f, 4);
    assert_int_equal(help_int(session, "select 5"), 5);
    assert_int_equal(prepared(session, "select $1::int8%"), 0);
    assert_int_equal(prepared(session, "select 5"), 1);
}

/* --- the tables change ------------------------------------------------------------------------ */

LIVE_TEST(a_new_column_is_seen_on_all_connections)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    TUG_AUTO(tug_pg) ddl = help_open_small();
    help_table t = help_create(ddl, "a int");
    char sql[100];
    snprintf(sql, sizeof sql, "select * from %s", t.name);
    for (size_t columns = 1; columns < 4; columns++) {
        tug_future *f[MANY];
        for (int i = 0; i < MANY; i++) {
            f[i] = tug_pg_query_start(db, sql, TUG_NO_ARGS);
        }
        for (int i = 0; i < MANY; i++) {
            TUG_AUTO(tug_pg_result) res = NULL;
            assert_ok(tug_await(f[i]));
            assert_ok(tug_pg_result_take(f[i], &res));
            assert_int_equal(tug_pg_result_columns(res), columns);
        }
        tug_future_drop_all(f, MANY);
        char add[60];
        snprintf(add, sizeof add, "alter table @ add b%zu text", columns);
        help_sql(ddl, add, t.name);
    }
    help_drop(&t);
}

LIVE_TEST(a_type_that_was_made_again_is_seen)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) ddl = help_open_small();
    const char *name = test_name();
    char as_parameter[100], as_column[100], as_constant[100], text[20];
    snprintf(as_parameter, sizeof as_parameter, "select $1::%s::text", name);
    snprintf(as_column, sizeof as_column, "select m::text, m from t%s", name);
    snprintf(as_constant, sizeof as_constant, "select 'a'::%s", name);
    for (int round = 0; round < 3; round++) {
        help_sql(ddl, "create type @ as enum ('a', 'b')", name);
        help_sql(ddl, "create table t@(m @)", name);
        assert_ok(tug_pg_query_one(db, as_parameter, TUG_ARGS("b"), TUG_OUT(TUG_COPY(text))));
        assert_string_equal(text, "b");
        rows(db, as_column, 2);
        rows(db, as_constant, 1);
        help_sql(ddl, "drop table t@", name);
        help_sql(ddl, "drop type @", name);
    }
    assert_rc(tug_pg_exec(db, as_parameter, TUG_ARGS("b"), NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42704");
}

/* What was right for the old parameter's type, and what is right for the new one. */
LIVE_TEST(a_column_of_another_type_takes_other_arguments)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) ddl = help_open_small();
    help_table t = help_create(ddl, "a int");
    char sql[100];
    snprintf(sql, sizeof sql, "insert into %s values ($1)", t.name);
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS(1), NULL));
    help_sql(ddl, "alter table @ alter a type uuid using null", t.name);
    assert_rc(tug_pg_exec(db, sql, TUG_ARGS(1), NULL), TUG_ESERVER); /* is not a uuid */
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), NULL));
    help_sql(ddl, "alter table @ alter a type int using 1", t.name);
    TUG_IGNORE(tug_pg_exec(db, sql, TUG_ARGS("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), NULL));
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS(7), NULL));
    /* Which argument is wrong for the old type and right for the new one cannot be told from one that is
     * wrong: at most once a second the types are asked for again. */
    help_sql(ddl, "alter table @ alter a type bigint", t.name);
    assert_ok(tug_sleep(TUG_MS(1100)));
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS(INT64_C(1) << 40), NULL));
    help_sql(ddl, "alter table @ alter a type text", t.name);
    assert_rc(tug_pg_exec(db, sql, TUG_ARGS("seven"), NULL), TUG_ESERVER);
    assert_ok(tug_sleep(TUG_MS(1100)));
    assert_rc(tug_pg_exec(db, sql, TUG_ARGS("seven"), NULL), TUG_ESERVER);
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS("seven"), NULL));
    help_drop(&t);
}

LIVE_TEST(inside_a_transaction_the_next_one_is_right)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) ddl = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    help_table t = help_create(ddl, "a int");
    char sql[100];
    snprintf(sql, sizeof sql, "select * from %s", t.name);
    assert_ok(tug_pg_acquire(db, &session));
    rows(session, sql, 1);
    help_sql(ddl, "alter table @ add b int", t.name);
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(tx, sql, TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "0A000");
    assert_rc(tug_pg_exec(tx, sql, TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25P02");
    tug_pg_close(tx);
    assert_ok(tug_pg_begin(session, NULL, &tx));
    rows(tx, sql, 2);
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    rows(session, sql, 2);
    help_drop(&t);
}

/* On a session statements go in the order of the calls: none is sent again behind others. */
LIVE_TEST(what_others_follow_on_a_session_is_not_sent_again)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) ddl = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    help_table t = help_create(ddl, "a int");
    char sql[100];
    snprintf(sql, sizeof sql, "select * from %s", t.name);
    assert_ok(tug_pg_acquire(db, &session));
    rows(session, sql, 1);
    assert_int_equal(help_int(session, "select 1"), 1);
    help_sql(ddl, "alter table @ add b int", t.name);
    tug_future *first = tug_pg_query_start(session, sql, TUG_NO_ARGS);
    tug_future *second = tug_pg_query_start(session, "select 1", TUG_NO_ARGS);
    assert_rc(tug_await(first), TUG_ESERVER);
    assert_ok(tug_await(second));
    tug_future_unref(first);
    tug_future_unref(second);
    rows(session, sql, 2);
    help_sql(ddl, "alter table @ add c int", t.name);
    rows(session, sql, 3); /* alone, it is */
    help_drop(&t);
}

LIVE_TEST(what_has_run_is_never_sent_again)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    help_sql(db, "create sequence s@", name);
    /* The code of a stale plan, raised by the program itself. */
    help_sql(db,
             "create function f@() returns int language plpgsql as $f$ begin perform "
             "nextval('s@'); raise exception 'cached plan must not change result type' using "
             "errcode = '0A000'; end $f$",
             name);
    char sql[100];
    snprintf(sql, sizeof sql, "select f%s()", name);
    for (int i = 0; i < 3; i++) {
        assert_rc(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL), TUG_ESERVER);
        assert_string_equal(tug_last_error()->native, "0A000");
    }
    assert_int_equal(help_int(db, help_named("select last_value from s@", name)), 3);
    help_sql(db, "drop function f@()", name);
    help_sql(db, "drop sequence s@", name);
}

LIVE_TEST(statements_that_the_server_forgot_are_prepared_again)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(help_int(session, "select 1"), 1);
        assert_ok(tug_pg_exec(session, "deallocate all", TUG_NO_ARGS, NULL));
    }
    assert_int_equal(help_int(session, "select 1"), 1);
    assert_int_equal(prepared(session, "select 1"), 1);
    /* In a transaction nothing may fail: what was asked for is heeded. */
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(session, NULL, &tx));
    for (int i = 0; i < 2; i++) {
        assert_ok(tug_pg_exec(tx, "deallocate all", TUG_NO_ARGS, NULL));
        assert_int_equal(help_int(tx, "select 1"), 1);
    }
    assert_ok(tug_pg_script(tx, "select 2; deallocate all", NULL));
    assert_int_equal(help_int(tx, "select 1"), 1);
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    assert_ok(tug_pg_exec(session, "discard all", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_int_equal(help_int(tx, "select 1"), 1);
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    /* What happens unseen, as behind a pooler that is none for this, costs the transaction. */
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "do $$ begin execute 'deallocate all'; end $$", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "26000");
    assert_detail_has("TUG_PG_UNNAMED");
    tug_pg_close(tx);
    assert_int_equal(help_int(session, "select 1"), 1);
    /* A name of the program's own is its own affair. */
    assert_rc(tug_pg_exec(session, "execute nobody", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "26000");
}

/* Closing a surplus statement is refused in a failed transaction: its name stays taken. */
LIVE_TEST(a_name_that_stays_taken_costs_no_transaction)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 1;
    o.max_statements = 8;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) session = NULL;
    char sql[40];
    assert_ok(tug_pg_acquire(db, &session));
    for (int round = 0; round < 3; round++) {
        tug_pg *tx = NULL;
        for (int i = 0; i < 9; i++) {
            snprintf(sql, sizeof sql, "select %d", i);
            assert_int_equal(help_int(session, sql), i);
        }
        assert_ok(tug_pg_begin(session, NULL, &tx));
        assert_rc(tug_pg_exec(tx, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
        for (int i = 20; i < 30; i++) {
            snprintf(sql, sizeof sql, "select %d", i);
            assert_rc(tug_pg_exec(tx, sql, TUG_NO_ARGS, NULL), TUG_ESERVER);
        }
        tug_pg_close(tx);
        assert_ok(tug_pg_begin(session, NULL, &tx));
        for (int i = 0; i < 9; i++) {
            snprintf(sql, sizeof sql, "select %d", i);
            assert_int_equal(help_int(tx, sql), i);
        }
        assert_ok(tug_pg_commit(tx));
        tug_pg_close(tx);
    }
}

/* --- without names ---------------------------------------------------------------------------- */

LIVE_TEST(unnamed_statements_leave_nothing_on_the_server)
{
    TUG_AUTO(tug_pg) db = open_at(test_url("TUG_PG_URL"), TUG_PG_UNNAMED);
    TUG_AUTO(tug_pg) session = NULL;
    int64_t got = 0;
    assert_ok(tug_pg_acquire(db, &session));
    for (int64_t i = 0; i < 3; i++) {
        assert_ok(tug_pg_query_one(session, "select $1::int8 * 2", TUG_ARGS(i), TUG_OUT(&got)));
        assert_int_equal(got, i * 2);
    }
    assert_int_equal(help_int(session, "select count(*) from pg_prepared_statements"), 0);
    assert_rc(tug_pg_exec(session, "select $1::int4", TUG_ARGS(INT64_C(1) << 40), NULL),
              TUG_ERANGE);
    assert_rc(tug_pg_exec(session, "selec", TUG_NO_ARGS, NULL), TUG_ESERVER);
}

LIVE_TEST(the_url_says_that_statements_are_unnamed)
{
    static const char *const words[] = {"prepared", "unnamed"};
    for (int64_t i = 0; i < 2; i++) {
        char url[400];
        const char *base = test_url("TUG_PG_URL");
        snprintf(url, sizeof url, "%s%cstatement_mode=%s", base, strchr(base, '?') ? '&' : '?',
                 words[i]);
        tug_pg *db = open_at(url, TUG_PG_PREPARED), *session = NULL;
        assert_ok(tug_pg_acquire(db, &session));
        assert_ok(tug_pg_exec(session, "select $1::int4", TUG_ARGS(1), NULL));
        assert_int_equal(help_int(session, "select count(*) from pg_prepared_statements") > 0,
                         i == 0);
        tug_pg_close(session);
        tug_pg_close(db);
    }
}

LIVE_TEST(unnamed_statements_follow_the_tables)
{
    TUG_AUTO(tug_pg) db = open_at(test_url("TUG_PG_URL"), TUG_PG_UNNAMED);
    TUG_AUTO(tug_pg) ddl = help_open_small();
    help_table t = help_create(ddl, "a int");
    char sql[100], insert[100], text[40];
    snprintf(sql, sizeof sql, "select * from %s", t.name);
    snprintf(insert, sizeof insert, "insert into %s(a) values ($1)", t.name);
    rows(db, sql, 1);
    assert_ok(tug_pg_exec(db, insert, TUG_ARGS(3), NULL));
    help_sql(ddl, "alter table @ add b text", t.name);
    rows(db, sql, 2);
    /* A type that is shown as text only: asked for in binary once, never twice. */
    help_sql(ddl, "alter table @ drop b", t.name);
    help_sql(ddl, "alter table @ alter a type tid using '(1,2)'", t.name);
    TUG_IGNORE(tug_pg_query_one(db, sql, TUG_NO_ARGS, TUG_OUT(TUG_COPY(text))));
    assert_ok(tug_pg_query_one(db, sql, TUG_NO_ARGS, TUG_OUT(TUG_COPY(text))));
    assert_string_equal(text, "(1,2)");
    assert_rc(tug_pg_exec(db, insert, TUG_ARGS(3), NULL), TUG_ESERVER);
    assert_ok(tug_pg_exec(db, insert, TUG_ARGS("(3,4)"), NULL));
    help_drop(&t);
}

TASK_TEST(options_of_statements_have_bounds)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.statement_mode = 2;
    assert_rc(tug_pg_open("postgresql://127.0.0.1:1/x", &o, &db), TUG_EINVAL);
    assert_detail_has("statement_mode");
    o.statement_mode = TUG_PG_PREPARED;
    o.max_statement_bytes = ((size_t)1 << 30) + 1;
    assert_rc(tug_pg_open("postgresql://127.0.0.1:1/x", &o, &db), TUG_EINVAL);
    assert_detail_has("max_statement_bytes");
}

/* --- behind PgBouncer ------------------------------------------------------------------------- */

struct pooled {
    tug_pg *db;
    int n;
};

static int ask(tug_pg *db, int n)
{
    int64_t got = 0;
    const char *sql = n % 3 == 0   ? "select $1::int8 * 2"
                      : n % 3 == 1 ? "select $1::int8 + $1::int8 /* sum */"
                                   : "select 2 * x from (values ($1::int8)) v(x)";
    int rc = tug_pg_query_one(db, sql, TUG_ARGS(n), TUG_OUT(&got));
    return rc == 0 && got != 2 * n ? tug_fail(TUG_EUSER, "asked %d, got %lld", n, (long long)got)
                                   : rc;
}

/* In turn on the pool and in a transaction: behind the pooler, each on whatever connection there is. */
static int pooled_task(void *arg)
{
    struct pooled *p = arg;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 30; i++) {
        if (i % 3 != 0) {
            rc = ask(p->db, p->n + i);
            continue;
        }
        TUG_AUTO(tug_pg) tx = NULL;
        rc = tug_pg_begin(p->db, NULL, &tx);
        for (int k = 0; rc == 0 && k < 3; k++) {
            rc = ask(tx, p->n + i + k);
        }
        rc = rc == 0 ? tug_pg_commit(tx) : rc;
    }
    return rc;
}

static void work_behind_the_pooler(tug_pg *db)
{
    static struct pooled tasks[20];
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(30), TUG_FAIL_FAST);
    for (int i = 0; i < 20; i++) {
        tasks[i] = (struct pooled){db, i * 1000};
        tug_group_spawn(&g, pooled_task, &tasks[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(tug_pg_exec(db, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_rc(tug_pg_exec(db, "selec", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_int_equal(help_int(db, "select 3"), 3);
}

LIVE_TEST(unnamed_statements_work_behind_a_pooler_in_transaction_mode)
{
    TUG_AUTO(tug_pg) db = open_at(test_url("TUG_TEST_PGBOUNCER_URL"), TUG_PG_UNNAMED);
    work_behind_the_pooler(db);
}

LIVE_TEST(prepared_statements_work_behind_a_pooler_in_session_mode)
{
    char url[300];
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.pool_max = 2; /* the pooler has four in all */
    snprintf(url, sizeof url, "%s_session", test_url("TUG_TEST_PGBOUNCER_URL"));
    assert_ok(tug_pg_open(url, &o, &db));
    work_behind_the_pooler(db);
    tug_pg_close(db);
}

/* Where the pooler keeps track of them: PgBouncer from 1.21 on. */
LIVE_TEST(prepared_statements_behind_a_pooler_that_keeps_track_of_them)
{
    if (strcmp(test_url("TUG_TEST_PGBOUNCER_PREPARES"), "1") != 0) {
        print_message("this PgBouncer does not\n");
        return;
    }
    TUG_AUTO(tug_pg) db = open_at(test_url("TUG_TEST_PGBOUNCER_URL"), TUG_PG_PREPARED);
    work_behind_the_pooler(db);
}

LIVE_TEST(cancels_go_through_a_pooler)
{
    TUG_AUTO(tug_pg) db = open_at(test_url("TUG_TEST_PGBOUNCER_URL"), TUG_PG_UNNAMED);
    tug_time before = tug_now();
    for (int i = 0; i < 5; i++) {
        assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_exec(db, "select pg_sleep(20)", TUG_NO_ARGS, NULL)),
                  TUG_ETIMEDOUT);
        assert_int_equal(help_int(db, "select 1"), 1);
    }
    assert_true(tug_now() - before < TUG_SECONDS(20)); /* which each of them would take */
    work_behind_the_pooler(db);
}
