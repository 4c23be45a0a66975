/* What a session leaves behind is gone for the next one, and what leaves nothing costs nothing. */
#include <string.h>
#include <tug/log.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "pg_help.h"

static int64_t pid_of(tug_pg *pool)
{
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(pool, &session));
    return help_int(session, "select pg_backend_pid()");
}

/* Each statement of a NULL-ended list in a session of its own pool, then what asks whether anything
 * of it is there: 0. */
static void leaves_nothing(tug_pg *db, const char *const *statements, const char *count)
{
    int64_t pid = pid_of(db);
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    for (; *statements != NULL; statements++) {
        assert_ok(tug_pg_exec(session, *statements, TUG_NO_ARGS, NULL));
    }
    assert_int_equal(help_int(session, count), 1);
    tug_pg_close(session);
    session = NULL;
    assert_int_equal(pid_of(db), pid); /* the same connection, not another one */
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, count), 0);
}

LIVE_TEST(a_setting_is_reset)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const by_set[] = {"set work_mem = '12345kB'", NULL};
    const char *const by_function[] = {"select set_config('work_mem', '12345kB', false)", NULL};
    const char *const in_transaction[] = {"begin", "set work_mem = '12345kB'", "commit", NULL};
    const char count[] = "select count(*) from pg_settings where setting = '12345'";
    leaves_nothing(db, by_set, count);
    leaves_nothing(db, by_function, count);
    leaves_nothing(db, in_transaction, count);
}

LIVE_TEST(a_subscription_is_reset)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const sql[] = {"listen left_behind", NULL};
    leaves_nothing(db, sql, "select count(*) from pg_listening_channels()");
}

LIVE_TEST(temporary_tables_are_dropped)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const plain[] = {"create temp table left_behind(a int)", NULL};
    const char *const into[] = {"select 1 as a into temp left_behind", NULL};
    const char *const named[] = {"create table pg_temp.left_behind(a int)", NULL};
    const char count[] = "select count(*) from pg_class where relname = 'left_behind'";
    leaves_nothing(db, plain, count);
    leaves_nothing(db, into, count);
    leaves_nothing(db, named, count);
}

LIVE_TEST(advisory_locks_are_released)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const plain[] = {"select pg_advisory_lock(98761)", NULL};
    const char *const tried[] = {"select pg_try_advisory_lock_shared(98761)", NULL};
    const char count[] =
        "select count(*) from pg_locks where locktype = 'advisory' and objid = 98761";
    leaves_nothing(db, plain, count);
    leaves_nothing(db, tried, count);
}

LIVE_TEST(statements_prepared_by_hand_are_deallocated)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const sql[] = {"prepare left_behind as select 1", NULL};
    leaves_nothing(db, sql,
                   "select count(*) from pg_prepared_statements where name = 'left_behind'");
}

LIVE_TEST(cursors_with_hold_are_closed)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *const sql[] = {"declare left_behind cursor with hold for select 1", NULL};
    leaves_nothing(db, sql, "select count(*) from pg_cursors where name = 'left_behind'");
}

/* A reset forgets the prepared statements as well: so they tell whether there was one. */
static int64_t prepared(tug_pg *pool)
{
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(pool, &session));
    return help_int(session, "select count(*) from pg_prepared_statements");
}

LIVE_TEST(what_leaves_nothing_is_not_reset)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    static const char *const in_transaction[] = {"set local work_mem = '12345kB'",
                                                 "set constraints all deferred",
                                                 "savepoint a",
                                                 "declare c cursor for select 1",
                                                 "fetch 1 from c",
                                                 "close c",
                                                 "rollback to a"};
    int64_t before = prepared(db);
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    for (size_t i = 0; i < sizeof in_transaction / sizeof *in_transaction; i++) {
        assert_ok(tug_pg_exec(tx, in_transaction[i], TUG_NO_ARGS, NULL));
    }
    tug_pg_close(tx);
    tx = NULL;
    assert_true(prepared(db) > before);
    assert_int_equal(help_int(db, "select count(*) from pg_settings where setting = '12345'"), 0);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "set work_mem = '12345kB'", TUG_NO_ARGS, NULL));
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(prepared(db), 1);
}

/* --- a transaction by hand ---------------------------------------------------------------------- */

struct heard {
    int count, level;
    char text[400];
};

static void hear(const tug_log_record *record, void *arg)
{
    struct heard *h = arg;
    if (strcmp(record->subsystem, "pg") == 0 && record->level <= TUG_LOG_WARN) {
        h->count++;
        h->level = record->level;
        snprintf(h->text, sizeof h->text, "%s", record->text);
    }
}

static int begin_by_hand(void *arg)
{
    TUG_AUTO(tug_pg) session = NULL;
    int rc = tug_pg_acquire(arg, &session);
    rc = rc < 0 ? rc : tug_pg_exec(session, "begin", TUG_NO_ARGS, NULL);
    return rc < 0 ? rc : tug_pg_exec(session, "create table never_there(a int)", TUG_NO_ARGS, NULL);
}

LIVE_TEST(a_session_given_back_inside_of_a_transaction_is_reported)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    struct heard heard = {.count = 0};
    int64_t pid = pid_of(db);
    tug_log_set_sink(hear, &heard);
    tug_task_set_name("the night run");
    assert_ok(begin_by_hand(db));
    assert_int_equal(pid_of(db), pid);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.level, TUG_LOG_WARN);
    assert_non_null(strstr(heard.text, "inside of a transaction"));
    assert_non_null(strstr(heard.text, "the night run"));
    assert_int_equal(help_int(db, "select count(*) from pg_class where relname = 'never_there'"),
                     0);
    /* What the driver began it also ends, and says nothing. */
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(TUG_WITHIN(TUG_MS(20), tug_pg_exec(tx, "select pg_sleep(20)", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(pid_of(db), pid);
    assert_int_equal(heard.count, 1);
    tug_log_set_sink(NULL, NULL);
}
