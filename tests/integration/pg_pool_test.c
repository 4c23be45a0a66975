/* The pool of leased connections against a real server: killed backends, ages, leaks, what is run first on each
 * connection, other bounds at run time, the drain. */
#include <tug/group.h>
#include <tug/inspect.h>
#include <tug/log.h>
#include <tug/pg_lock.h>
#include <tug/pg_pool.h>
#include <tug/pg_rows.h>
#include <tug/pg_script.h>
#include <tug/scope.h>
#include <tug/sync.h>
#include <tug/sys/inspect.h>
#include <tug/task.h>

#include "pg_help.h"

static tug_pool_stats stats_of(const tug_pg *db)
{
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    assert_ok(tug_pg_pool_stats(db, &s));
    return s;
}

/* Waits until so many leased connections are idle. */
static void wait_idle(const tug_pg *db, size_t n)
{
    assert_soon(stats_of(db).idle == n);
}

static tug_pg *acquire(tug_pg *db)
{
    tug_pg *session = NULL;
    assert_ok(TUG_WITHIN(TUG_SECONDS(10), tug_pg_acquire(db, &session)));
    return session;
}

/* A pool of leased connections that the server knows by name. */
static tug_pg_options leased(void)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    return o;
}

/* --- figures and bounds -------------------------------------------------------------------------- */

LIVE_TEST(figures_of_sessions)
{
    tug_pg_options o = leased();
    o.pool_max = 3;
    TUG_AUTO(tug_pg) db = help_open(&o);
    for (int i = 0; i < 5; i++) {
        TUG_AUTO(tug_pg) session = acquire(db);
        assert_int_equal(stats_of(db).busy, 1);
        assert_int_equal(help_int(session, "select 41 + 1"), 42);
    }
    tug_pool_stats s = stats_of(db);
    assert_int_equal(s.acquired, 5);
    assert_int_equal(s.opened, 1);
    assert_int_equal(s.max, 3);
    tug_pool_latency l = TUG_POOL_LATENCY_INIT;
    assert_ok(tug_pg_pool_latency(db, TUG_POOL_CONNECT, &l));
    assert_int_equal(l.count, 1);
    assert_true(l.p50 > TUG_MS(1) / 10 && l.most < TUG_SECONDS(10));
    assert_ok(tug_pg_pool_latency(db, TUG_POOL_BUSY, &l));
    assert_int_equal(l.count, 5);
    assert_rc(tug_pg_pool_latency(db, 3, &l), TUG_EINVAL);
}

LIVE_TEST(only_pools_have_them)
{
    tug_pg_options o = leased();
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) session = acquire(db);
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    assert_rc(tug_pg_pool_stats(session, &s), TUG_EMISUSE);
    assert_detail_has("tug_pg_pool_stats: this is a session, not a pool");
    assert_rc(tug_pg_pool_resize(session, 0, 1), TUG_EMISUSE);
    assert_rc(tug_pg_pool_expire(session), TUG_EMISUSE);
    assert_rc(tug_pg_pool_drain(session), TUG_EMISUSE);
    assert_rc(tug_pg_pool_drain(NULL), TUG_EMISUSE);
    assert_rc(tug_pg_pool_resize(db, 2, 1), TUG_EINVAL);
}

LIVE_TEST(resize_and_expire)
{
    tug_pg_options o = leased();
    o.pool_max = 1;
    TUG_AUTO(tug_pg) db = help_open(&o);
    tug_pg *first = acquire(db), *second = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_acquire(db, &second)), TUG_ETIMEDOUT);
    assert_detail_has("1 of 1 open (1 busy)");
    assert_ok(tug_pg_pool_resize(db, 2, 4));
    second = acquire(db);
    int64_t pid = help_int(second, "select pg_backend_pid()");
    assert_ok(tug_pg_pool_resize(db, 1, 1));
    tug_pg_close(first);
    tug_pg_close(second);
    wait_idle(db, 1);
    first = acquire(db);
    assert_int_equal(help_int(first, "select pg_backend_pid()"), pid);
    assert_ok(tug_pg_pool_expire(db));
    tug_pg_close(first);
    first = acquire(db);
    assert_true(help_int(first, "select pg_backend_pid()") != pid);
    tug_pg_close(first);
}

struct holder {
    tug_pg *db;
    tug_event *enough;
};

static int hold(void *arg)
{
    const struct holder *h = arg;
    TUG_AUTO(tug_pg) session = NULL;
    int rc = tug_pg_acquire(h->db, &session);
    return rc < 0 ? rc : tug_event_wait(h->enough);
}

LIVE_TEST(drain_waits_for_sessions)
{
    tug_pg_options o = leased();
    o.pool_max = 2;
    TUG_AUTO(tug_pg) db = help_open(&o);
    struct holder h = {.db = db};
    assert_ok(tug_event_new(&h.enough));
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        tug_group_spawn(&g, hold, &h);
    }
    assert_soon(stats_of(db).busy == 2);
    tug_pg *none = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_pg_pool_drain(db)), TUG_ETIMEDOUT);
    tug_event_set(h.enough);
    assert_ok(tug_pg_pool_drain(db));
    assert_int_equal(stats_of(db).acquired, 4);
    assert_int_equal(stats_of(db).busy, 0);
    assert_rc(tug_pg_acquire(db, &none), TUG_ECLOSED);
    assert_ok(tug_group_leave(&g, 0));
    tug_event_unref(h.enough);
}

/* --- killed backends ----------------------------------------------------------------------------- */

enum {
    BACKENDS = 20
};

/* All of them are idle afterwards, as far as the pool knows, and the server has ended them. */
static void kill_all(tug_pg *by, tug_pg *db)
{
    tug_pg *sessions[BACKENDS];
    char list[BACKENDS * 12] = "0", sql[sizeof list + 100];
    for (int i = 0; i < BACKENDS; i++) {
        sessions[i] = acquire(db);
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, ", %lld",
                 (long long)help_int(sessions[i], "select pg_backend_pid()"));
    }
    for (int i = 0; i < BACKENDS; i++) {
        tug_pg_close(sessions[i]);
    }
    assert_int_equal(stats_of(db).idle, BACKENDS);
    snprintf(sql, sizeof sql,
             "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid in (%s)",
             list);
    assert_int_equal(help_int(by, sql), BACKENDS);
    snprintf(sql, sizeof sql, "select count(*) from pg_stat_activity where pid in (%s)", list);
    assert_soon(help_int(by, sql) == 0);
    tug_test_settle();
}

/* Whoever comes next gets a good one, as soon as one is open. */
LIVE_TEST(twenty_of_twenty_killed)
{
    tug_pg_options o = leased();
    o.pool_max = BACKENDS;
    TUG_AUTO(tug_pg) by = help_open(NULL);
    TUG_AUTO(tug_pg) db = help_open(&o);
    kill_all(by, db);
    tug_time began = tug_now();
    tug_pg *session = acquire(db);
    tug_duration took = tug_now() - began;
    assert_int_equal(help_int(session, "select 41 + 1"), 42);
    tug_pool_latency connect = TUG_POOL_LATENCY_INIT;
    assert_ok(tug_pg_pool_latency(db, TUG_POOL_CONNECT, &connect));
    assert_int_equal(connect.count, BACKENDS + 1);
    assert_true(took <= connect.most + TUG_SECONDS(1)); /* what a busy machine makes of 20 ms */
    assert_int_equal(stats_of(db).discarded, BACKENDS);
    tug_pg_close(session);
}

/* Sixty tasks at once find twenty dead connections: each statement of each of them works. */
static int ask_often(void *arg)
{
    for (int i = 0; i < 20; i++) {
        tug_pg *session = acquire(arg);
        assert_int_equal(help_int(session, "select 41 + 1"), 42);
        tug_pg_close(session);
    }
    return 0;
}

LIVE_TEST(nobody_sees_an_error_on_reuse)
{
    tug_pg_options o = leased();
    o.pool_max = BACKENDS;
    TUG_AUTO(tug_pg) by = help_open(NULL);
    TUG_AUTO(tug_pg) db = help_open(&o);
    kill_all(by, db);
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    for (int i = 0; i < 3 * BACKENDS; i++) {
        tug_group_spawn(&g, ask_often, db);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(stats_of(db).discarded, BACKENDS);
    assert_int_equal(stats_of(db).failed, 0);
}

/* They are replaced although nobody asks for one: the idle connection's own read event says that it died. */
LIVE_TEST(min_is_restored_after_a_kill)
{
    tug_pg_options o = leased();
    o.pool_min = o.pool_max = BACKENDS;
    TUG_AUTO(tug_pg) by = help_open(NULL);
    TUG_AUTO(tug_pg) db = help_open(&o);
    wait_idle(db, BACKENDS);
    kill_all(by, db);
    assert_soon(stats_of(db).opened >= 2 * BACKENDS);
    wait_idle(db, BACKENDS);
    assert_int_equal(stats_of(db).opened, 2 * BACKENDS);
    assert_int_equal(stats_of(db).failed, 0);
}

/* --- ages ---------------------------------------------------------------------------------------- */

LIVE_TEST(idle_connections_go_down_to_min_idle)
{
    tug_pg_options o = leased();
    o.pool_min_idle = 1;
    o.pool_max = 3;
    o.pool_idle_timeout = TUG_MS(100);
    TUG_AUTO(tug_pg) db = help_open(&o);
    tug_pg *a = acquire(db), *b = acquire(db), *c = acquire(db);
    tug_pg_close(a);
    tug_pg_close(b);
    tug_pg_close(c);
    assert_int_equal(stats_of(db).idle, 3);
    wait_idle(db, 1);
    assert_int_equal(stats_of(db).retired_idle, 2);
}

LIVE_TEST(old_connections_are_replaced)
{
    tug_pg_options o = leased();
    o.pool_max = 1;
    o.pool_max_lifetime = TUG_MS(200);
    TUG_AUTO(tug_pg) db = help_open(&o);
    tug_pg *session = acquire(db);
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_sleep(TUG_MS(250)));
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid); /* not under its user */
    tug_pg_close(session);
    session = acquire(db);
    assert_true(help_int(session, "select pg_backend_pid()") != pid);
    assert_int_equal(stats_of(db).retired_lifetime, 1);
    tug_pg_close(session);
}

static struct {
    int n;
    char text[300];
} logged;

static void note_leak(const tug_log_record *record, void *arg)
{
    (void)arg;
    if (strstr(record->text, "a lease is out for ") != NULL) {
        logged.n++;
        snprintf(logged.text, sizeof logged.text, "%s", record->text);
    }
}

LIVE_TEST(a_session_that_stays_out_is_reported)
{
    tug_pg_options o = leased();
    o.pool_leak_after = TUG_MS(100);
    TUG_AUTO(tug_pg) db = help_open(&o);
    tug_log_set_sink(note_leak, NULL);
    tug_task_set_name("forgetful");
    TUG_AUTO(tug_pg) session = acquire(db);
    assert_ok(tug_sleep(TUG_MS(300)));
    tug_log_set_sink(NULL, NULL);
    assert_int_equal(logged.n, 1);
    assert_non_null(strstr(logged.text, "forgetful acquired it at integration-pg_pool"));
    assert_int_equal(stats_of(db).leaked, 1);
}

/* --- whose lease ---------------------------------------------------------------------------------- */

/* Where a taker calls: tug_inspect names it while the lease is out. */
static void taken_by(void (*taker)(tug_pg *db))
{
    enum {
        CODE = 1024 /* a taker's first call is not further from its beginning */
    };
    static const char key[] = " place=\"";
    TUG_AUTO(tug_buffer) buffer = NULL;
    assert_ok(tug_inspect_buffer(TUG_INSPECT_TEXT, 1 << 20, &buffer));
    const char *at = strstr(tug_buffer_bytes(buffer).data, "pool name=\"pg\"");
    at = at != NULL ? strstr(at, key) : NULL;
    if (at == NULL) {
        fail_msg("no lease with a place in:\n%s", tug_buffer_bytes(buffer).data);
    }
    at += sizeof key - 1;
    size_t size = strcspn(at, "\"");
    char text[200];
    for (size_t i = 0; i < CODE; i++) {
        tug_place_text((const char *)(uintptr_t)taker + i, text, sizeof text);
        if (strlen(text) == size && memcmp(text, at, size) == 0) {
            return;
        }
    }
    tug_place_text((const char *)(uintptr_t)taker, text, sizeof text);
    fail_msg("taken at %.*s, not behind %s", (int)size, at, text);
}

#define TAKER(name) __attribute__((noinline)) static void name(tug_pg *db)

TAKER(by_acquire)
{
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    taken_by(by_acquire);
    tug_pg_close(session);
}

TAKER(by_begin)
{
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    taken_by(by_begin);
    tug_pg_close(tx);
}

TAKER(by_begin_start)
{
    tug_future *f = tug_pg_begin_start(db, NULL);
    assert_ok(tug_await(f));
    taken_by(by_begin_start);
    tug_future_unref(f);
}

static int in_transaction(tug_pg *tx, void *arg)
{
    (void)tx;
    taken_by((void (*)(tug_pg *))(uintptr_t)arg);
    return 0;
}

TAKER(by_transact)
{
    assert_ok(tug_pg_transact(db, in_transaction, (void *)(uintptr_t)by_transact, NULL));
}

TAKER(by_rows)
{
    tug_pg_rows *rows = NULL;
    assert_ok(tug_pg_rows_open(db, "select generate_series(1, 100000)", TUG_NO_ARGS, NULL, &rows));
    taken_by(by_rows);
    tug_pg_rows_close(rows);
}

TAKER(by_copy)
{
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_copy_out(db, "copy (select generate_series(1, 100000)) to stdout", &copy));
    taken_by(by_copy);
    tug_pg_copy_close(copy);
}

TAKER(by_copy_table)
{
    tug_pg_copy *copy = NULL;
    tug_pg_copy_options o = TUG_PG_COPY_OPTIONS_INIT;
    o.format = TUG_PG_COPY_TEXT;
    assert_ok(tug_pg_copy_out_table(db, "pg_proc", NULL, &o, &copy));
    taken_by(by_copy_table);
    tug_pg_copy_close(copy);
}

TAKER(by_lock)
{
    tug_pg_lock *lock = NULL;
    assert_ok(tug_pg_lock_take(db, tug_pg_key_of(4711), 0, &lock));
    taken_by(by_lock);
    tug_pg_lock_close(lock);
}

TAKER(by_script)
{
    tug_future *f = tug_pg_script_start(db, "select pg_sleep(0.05)");
    assert_ok(tug_sleep(TUG_MS(20)));
    taken_by(by_script);
    assert_ok(tug_await(f));
    tug_future_unref(f);
}

LIVE_TEST(a_lease_has_the_place_of_the_programs_call)
{
    static void (*const takers[])(tug_pg * db) = {by_acquire,    by_begin, by_begin_start,
                                                  by_transact,   by_rows,  by_copy,
                                                  by_copy_table, by_lock,  by_script};
    tug_pg_options o = leased();
    o.pool_max = 1;
    TUG_AUTO(tug_pg) db = help_open(&o);
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        takers[i](db);
    }
}

/* --- what runs first ----------------------------------------------------------------------------- */

static int64_t work_mem_of(tug_pg *db)
{
    return help_int(db, "select setting::int8 from pg_settings where name = 'work_mem'");
}

LIVE_TEST(after_connect_runs_on_each_connection)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.after_connect = "select set_config('work_mem', '12345', false)";
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_int_equal(work_mem_of(db), 12345);
    tug_pg *session = acquire(db);
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_int_equal(work_mem_of(session), 12345);
    assert_ok(tug_pg_exec(session, "set work_mem = 777", TUG_NO_ARGS, NULL));
    assert_int_equal(work_mem_of(session), 777);
    tug_pg_close(session);
    /* What it changed is undone, and what was set first is set again. */
    session = acquire(db);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    assert_int_equal(work_mem_of(session), 12345);
    tug_pg_close(session);
}

LIVE_TEST(after_connect_that_fails_fails_the_login)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.after_connect = "set client_encoding = 'latin1'";
    TUG_AUTO(tug_pg) other = help_open(&o);
    assert_rc(tug_pg_ready(other), TUG_EMISUSE);
    assert_detail_has("UTF-8");
    o.after_connect = "set no_such_setting_at_all = 1";
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_rc(tug_pg_ready(db), TUG_ESERVER);
    assert_detail_has("no_such_setting_at_all");
    tug_pg *none = NULL;
    assert_rc(tug_pg_acquire(db, &none), TUG_ESERVER);
}

/* It cannot hold up the login for ever. */
LIVE_TEST(after_connect_that_hangs_ends)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.after_connect = "select pg_sleep(1000)";
    TUG_AUTO(tug_pg) db = help_open(&o);
    tug_pg *none = NULL;
    tug_time began = tug_now();
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_ready(db)), TUG_ECONNECT);
    assert_detail_has("after_connect was not done within 5 s");
    assert_true(tug_now() - began < TUG_SECONDS(10));
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_acquire(db, &none)), TUG_ETIMEDOUT);
}
