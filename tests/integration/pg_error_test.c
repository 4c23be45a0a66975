/* What the server says about a failure, on a real server: all fields, the kinds, notices. */
#include <string.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/pg_error.h>
#include <tug/scope.h>

#include "pg_help.h"

LIVE_TEST(a_violated_constraint_names_what_it_is_about)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int constraint a_is_once unique");
    assert_ok(tug_pg_exec(db, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(db, help_text(&t, "insert into @ values ($1)"), TUG_ARGS(1), NULL),
              TUG_ESERVER);
    const tug_pg_error *f = tug_pg_last_error();
    assert_non_null(f);
    assert_true(tug_pg_is_unique_violation(NULL));
    assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_UNIQUE_VIOLATION);
    assert_string_equal(f->severity_plain, "ERROR");
    assert_non_null(f->severity);
    assert_string_equal(f->sqlstate, "23505");
    assert_non_null(strstr(f->message, "a_is_once"));
    assert_string_equal(f->detail, "Key (a)=(1) already exists.");
    assert_null(f->hint);
    assert_string_equal(f->schema, "public");
    assert_string_equal(f->table, t.name);
    assert_string_equal(f->constraint, "a_is_once");
    assert_null(f->column);
    assert_string_equal(f->file, "nbtinsert.c");
    assert_true(f->line > 0);
    assert_string_equal(f->routine, "_bt_check_unique");
    assert_int_equal(f->position, 0);
    help_drop(&t);
}

LIVE_TEST(each_field_of_an_exception_is_read)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_rc(
        tug_pg_exec(db,
                    "do $$ begin raise exception 'the message' using detail = 'the detail', "
                    "hint = 'the hint', errcode = 'MY001', column = 'the column', constraint = "
                    "'the constraint', datatype = 'the type', table = 'the table', schema = "
                    "'the schema'; end $$",
                    TUG_NO_ARGS, NULL),
        TUG_ESERVER);
    const tug_pg_error *f = tug_pg_last_error();
    assert_non_null(f);
    assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_SQLSTATE('M', 'Y', '0', '0', '1'));
    assert_string_equal(f->message, "the message");
    assert_string_equal(f->detail, "the detail");
    assert_string_equal(f->hint, "the hint");
    assert_string_equal(f->column, "the column");
    assert_string_equal(f->constraint, "the constraint");
    assert_string_equal(f->datatype, "the type");
    assert_string_equal(f->table, "the table");
    assert_string_equal(f->schema, "the schema");
    assert_non_null(strstr(f->context, "PL/pgSQL"));
    assert_null(f->internal_query);
}

LIVE_TEST(positions_point_at_the_mistake)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_rc(tug_pg_exec(db, "select 1 as \xc3\xa4, nothing_like_it", TUG_NO_ARGS, NULL),
              TUG_ESERVER);
    const tug_pg_error *f = tug_pg_last_error();
    assert_non_null(f);
    assert_int_equal(f->position, 16); /* characters, not bytes */
    assert_int_equal(f->internal_position, 0);
    assert_rc(tug_pg_exec(db, "do $$ begin perform nothing_like_it; end $$", TUG_NO_ARGS, NULL),
              TUG_ESERVER);
    f = tug_pg_last_error();
    assert_non_null(f);
    assert_int_equal(f->position, 0);
    assert_int_equal(f->internal_position, 8);
    assert_string_equal(f->internal_query, "SELECT nothing_like_it");
}

LIVE_TEST(a_field_is_cut_at_a_whole_character)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_rc(
        tug_pg_exec(db,
                    "do $$ begin raise exception 'm' using hint = 'x' || repeat('\xc3\xa4', 9000); "
                    "end $$",
                    TUG_NO_ARGS, NULL),
        TUG_ESERVER);
    const tug_pg_error *f = tug_pg_last_error();
    assert_non_null(f);
    assert_int_equal(strlen(f->hint), 8191);
    assert_int_equal((unsigned char)f->hint[8190], 0xa4);
}

static int fail_in_a_task(void *arg)
{
    return tug_pg_exec(arg, "select 1/0", TUG_NO_ARGS, NULL);
}

LIVE_TEST(fields_follow_the_detail)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_future) f = tug_pg_exec_start(db, "select nothing_like_it", TUG_NO_ARGS);
    tug_group g;
    /* To whoever joins the task that failed. */
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    tug_group_spawn(&g, fail_in_a_task, db);
    assert_rc(tug_group_leave(&g, 0), TUG_ESERVER);
    assert_non_null(tug_pg_last_error());
    assert_string_equal(tug_pg_last_error()->message, "division by zero");
    /* With a future, before and after others fail. */
    TUG_IGNORE(tug_await(f));
    assert_string_equal(tug_pg_future_error(f)->sqlstate, "42703");
    tug_error copy = *tug_future_error(f);
    assert_rc(fail_in_a_task(db), TUG_ESERVER);
    assert_string_equal(tug_pg_last_error()->sqlstate, "22012");
    assert_string_equal(tug_pg_error_of(&copy)->sqlstate, "42703");
    /* Not for ever, and never another one's. */
    for (int i = 0; i < 64; i++) {
        assert_string_equal(
            tug_pg_error_of(&copy) != NULL ? tug_pg_error_of(&copy)->sqlstate : "42703", "42703");
        assert_rc(fail_in_a_task(db), TUG_ESERVER);
    }
    assert_null(tug_pg_error_of(&copy));
    assert_non_null(tug_pg_last_error());
}

LIVE_TEST(what_no_server_said_has_no_fields)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_rc(fail_in_a_task(db), TUG_ESERVER);
    assert_non_null(tug_pg_last_error());
    assert_rc(tug_pg_exec(db, "begin", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_null(tug_pg_last_error());
    assert_int_equal(tug_pg_sqlstate(NULL), 0);
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_pg_exec(db, "select pg_sleep(20)", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    assert_null(tug_pg_last_error());
}

/* --- kinds ---------------------------------------------------------------------------------------- */

struct kind {
    const char *sql;
    bool (*is)(const tug_error *e);
};

LIVE_TEST(kinds_on_the_server)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int primary key, b int not null check (b > 0)");
    char foreign[300];
    snprintf(foreign, sizeof foreign, "insert into %s_f values (7)", t.name);
    help_sql(db, "create table @_f(a int references @(a))", t.name);
    help_sql(db, "insert into @ values (1, 1)", t.name);
    static char texts[3][300];
    snprintf(texts[0], sizeof texts[0], "insert into %s values (1, 1)", t.name);
    snprintf(texts[1], sizeof texts[1], "insert into %s values (2, null)", t.name);
    snprintf(texts[2], sizeof texts[2], "insert into %s values (2, 0)", t.name);
    const struct kind kinds[] = {
        {texts[0], tug_pg_is_unique_violation},
        {texts[1], tug_pg_is_not_null_violation},
        {texts[2], tug_pg_is_check_violation},
        {foreign, tug_pg_is_foreign_key_violation},
        {"select pg_cancel_backend(pg_backend_pid()), pg_sleep(1)", tug_pg_is_query_canceled},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_rc(tug_pg_exec(db, kinds[i].sql, TUG_NO_ARGS, NULL), TUG_ESERVER);
        assert_true(kinds[i].is(NULL));
        assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
        assert_false(tug_last_error()->transient);
        assert_false(tug_pg_is_connection_lost(NULL));
    }
    help_sql(db, "drop table @_f", t.name);
    help_drop(&t);
}

LIVE_TEST(a_lock_that_is_not_free_is_transient)
{
    TUG_AUTO(tug_pg) db = help_open(NULL);
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) one = NULL;
    TUG_AUTO(tug_pg) two = NULL;
    tug_pg_begin_options o = TUG_PG_BEGIN_OPTIONS_INIT;
    assert_ok(tug_pg_begin(db, NULL, &one));
    assert_ok(tug_pg_exec(one, help_text(&t, "lock table @"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_begin(db, NULL, &two));
    assert_rc(tug_pg_exec(two, help_text(&t, "lock table @ nowait"), TUG_NO_ARGS, NULL),
              TUG_ESERVER);
    assert_true(tug_pg_is_lock_not_available(NULL));
    assert_true(tug_last_error()->transient);
    assert_rc(tug_pg_exec(two, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_true(tug_pg_is_failed_transaction(NULL));
    tug_pg_close(two);
    two = NULL;
    o.read_only = true;
    assert_ok(tug_pg_begin(db, &o, &two));
    assert_rc(tug_pg_exec(two, "create table no(a int)", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_true(tug_pg_is_read_only(NULL));
    tug_pg_close(two);
    two = NULL;
    tug_pg_close(one);
    one = NULL;
    help_drop(&t);
}

LIVE_TEST(a_lost_connection_says_how_far_the_statement_got)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_exec(session, "select pg_terminate_backend(pg_backend_pid()), pg_sleep(1)",
                          TUG_NO_ARGS, NULL),
              TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(tug_pg_is_connection_lost(NULL));
    assert_true(tug_last_error()->transient);
    assert_int_equal(tug_pg_sqlstate(NULL), TUG_PG_ADMIN_SHUTDOWN);
    assert_non_null(tug_pg_last_error());
    assert_string_equal(tug_pg_last_error()->severity_plain, "FATAL");
    assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_true(tug_pg_is_connection_lost(NULL));
}

/* --- notices -------------------------------------------------------------------------------------- */

struct heard {
    int count[TUG_LOG_TRACE + 1];
    char text[400];
};

static void hear(const tug_log_record *record, void *arg)
{
    struct heard *h = arg;
    if (strcmp(record->subsystem, "pg") == 0 && strstr(record->text, "said by") != NULL) {
        h->count[record->level]++;
        snprintf(h->text, sizeof h->text, "%s", record->text);
    }
}

LIVE_TEST(notices_go_to_the_log_by_their_severity)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    struct heard h = {.text = ""};
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "set local client_min_messages = debug1", TUG_NO_ARGS, NULL));
    tug_log_set_sink(hear, &h);
    assert_ok(tug_log_set_levels("pg=debug,error"));
    assert_ok(
        tug_pg_exec(tx,
                    "do $$ begin raise warning 'said by a warning'; raise notice 'said by a "
                    "notice'; raise info 'said by an info'; raise debug 'said by debug'; end $$",
                    TUG_NO_ARGS, NULL));
    assert_int_equal(h.count[TUG_LOG_WARN], 1);
    assert_int_equal(h.count[TUG_LOG_INFO], 2);
    assert_int_equal(h.count[TUG_LOG_DEBUG], 1);
    /* Bounded, one line. */
    assert_ok(tug_pg_exec(tx,
                          "do $$ begin raise warning 'said by %', E'two\\nlines ' || repeat('x', "
                          "100000); end $$",
                          TUG_NO_ARGS, NULL));
    assert_int_equal(h.count[TUG_LOG_WARN], 2);
    assert_true(strlen(h.text) < 200);
    assert_null(strchr(h.text, '\n'));
    assert_ok(tug_log_set_levels("warn"));
    tug_log_set_sink(NULL, NULL);
}
