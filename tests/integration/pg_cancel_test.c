/* Cancels against a real server: what was cancelled ends there too, its connection comes back, and
 * nobody else is hit. */
#include <stdlib.h>
#include <tug/group.h>
#include <tug/scope.h>

#include "handle.h"
#include "pg_help.h"

/* Cancel requests that the pool has sent. */
static uint64_t requests_of(tug_pg *db)
{
    return tug__pg_pool_of(db)->cancels->sent;
}

/* Until so many of the statements that hold the name are in their pg_sleep. */
static void wait_asleep(tug_pg *judge, const char *name, int64_t wanted)
{
    assert_soon(help_waiting(judge, "PgSleep", name) == wanted);
}

/* A pg_sleep with the name in a comment. Static storage. */
static const char *sleep_sql(const char *name, const char *seconds)
{
    static char sql[120];
    snprintf(sql, sizeof sql, "select pg_sleep(%s) /* %s */", seconds, name);
    return sql;
}

LIVE_TEST(what_was_cancelled_ends_on_the_server)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    int64_t pid = help_int(db, "select pg_backend_pid()");
    tug_future *f = tug_pg_exec_start(db, sleep_sql(name, "300"), TUG_NO_ARGS);
    wait_asleep(judge, name, 1);
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_unref(f);
    wait_asleep(judge, name, 0);
    assert_soon(help_int(db, "select pg_backend_pid()") == pid);
    assert_true(requests_of(db) >= 1);
}

LIVE_TEST(a_session_goes_on_with_the_same_connection)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_pg_exec(session, "select pg_sleep($1)", TUG_ARGS(0), NULL));
    for (int i = 0; i < 5; i++) {
        assert_rc(
            TUG_WITHIN(TUG_MS(30), tug_pg_exec(session, "select pg_sleep($1)", TUG_ARGS(20), NULL)),
            TUG_ETIMEDOUT);
        assert_ok(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL));
        assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    }
    assert_true(requests_of(db) >= 5);
}

LIVE_TEST(a_transaction_is_rolled_back_behind_a_cancel)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_exec(tx, "select pg_sleep($1)", TUG_ARGS(0), NULL)); /* prepared */
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_exec(tx, "select pg_sleep($1)", TUG_ARGS(300), NULL)),
              TUG_ETIMEDOUT);
    /* The server has ended the statement, and with it the transaction. */
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25P02");
    tug_pg_close(tx);
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 0);
    help_drop(&t);
}

LIVE_TEST(what_was_not_sent_has_not_happened)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.max_pipeline = 1;
    o.head_limit = TUG_SECONDS(60);
    TUG_AUTO(tug_pg) db = help_open(&o);
    help_table t = help_create(db, "a int");
    const char *sql = help_text(&t, "insert into @ values ($1)");
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS(1), NULL));
    help_gate gate = help_gate_close();
    tug_future *slow[2];
    for (int i = 0; i < 2; i++) { /* the second on the leased connection */
        slow[i] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    }
    tug_future *f = tug_pg_exec_start(db, sql, TUG_ARGS(2));
    assert_soon(help_gate_waiting(&gate) == 2);
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    help_gate_open(&gate);
    assert_ok(tug_gather(slow, 2));
    tug_future_drop_all(slow, 2);
    tug_future_unref(f);
    assert_int_equal(help_count(&t), 1);
    assert_int_equal(requests_of(db), 0);
    help_drop(&t);
}

/* --- neighbours ------------------------------------------------------------------------------- */

LIVE_TEST(no_request_goes_out_while_a_neighbour_is_behind)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.head_limit = TUG_SECONDS(60);
    TUG_AUTO(tug_pg) db = help_open(&o);
    assert_ok(tug_pg_exec(db, HELP_GATE, TUG_ARGS(HELP_OPEN), NULL));
    help_gate gate = help_gate_close();
    tug_future *f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(i == 0 ? gate.key : HELP_OPEN));
    }
    assert_soon(help_gate_waiting(&gate) == 1);
    tug_future_cancel(f[0]);
    tug_future_cancel(f[2]);
    assert_ok(tug_sleep(TUG_MS(30)));
    assert_false(tug_future_is_settled(f[1])); /* behind what nobody waits for any more */
    assert_int_equal(help_gate_waiting(&gate), 1);
    help_gate_open(&gate);
    assert_ok(tug_await(f[1]));
    assert_int_equal(requests_of(db), 0);
    tug_future_drop_all(f, 3);
    assert_int_equal(help_int(db, "select 1"), 1);
}

LIVE_TEST(when_the_neighbours_are_cancelled_too_a_request_goes_out)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.head_limit = TUG_SECONDS(60);
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open(&o);
    const char *name = test_name();
    const char *sql = sleep_sql(name, "$1");
    int64_t pid = help_int(db, "select pg_backend_pid()");
    assert_ok(tug_pg_exec(db, sql, TUG_ARGS(0), NULL));
    tug_future *f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = tug_pg_exec_start(db, sql, TUG_ARGS(300));
    }
    wait_asleep(judge, name, 1);
    tug_future_drop_all(f, 3);
    tug__pg_connection *c = tug__pg_pool_of(db)->slots[0].connection;
    assert_soon(tug__pg_connection_is_quiet(c));
    /* Each of the three is ended; by two requests, if one hits two: the server sends its signal to the
     * backend and once more to the backend's group. */
    wait_asleep(judge, name, 0);
    assert_true(requests_of(db) >= 2);
    assert_int_equal(help_int(db, "select pg_backend_pid()"), pid);
}

/* What the shared connection had not sent goes elsewhere while a request is under way. */
LIVE_TEST(others_do_not_wait_for_a_cancel)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_int_equal(help_int(db, "select 1"), 1);
    tug_future *slow = tug_pg_exec_start(db, "select pg_sleep(10)", TUG_NO_ARGS);
    assert_ok(tug_sleep(TUG_MS(50)));
    tug_future *same_turn = tug_pg_exec_start(db, "select 2", TUG_NO_ARGS);
    tug_future_drop(slow);
    assert_ok(tug_await(same_turn));
    tug_future_unref(same_turn);
    assert_int_equal(help_int(db, "select 1"), 1);
}

/* --- what is returned while it runs ----------------------------------------------------------- */

LIVE_TEST(a_lease_that_is_returned_running_comes_back_fast)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    tug_time before = tug_now();
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_pg_acquire(db, &session));
        tug_future *f = tug_pg_exec_start(session, "select pg_sleep(20)", TUG_NO_ARGS);
        assert_ok(tug_sleep(TUG_MS(30)));
        if (i == 1) { /* in the other order */
            tug_pg_close(session);
            tug_future_drop(f);
        } else {
            tug_future_drop(f);
            tug_pg_close(session);
        }
    }
    assert_ok(tug_pg_acquire(db, &session));
    assert_true(tug_now() - before < TUG_SECONDS(20)); /* which each of them would take */
    tug_pg_close(session);
}

LIVE_TEST(what_runs_on_a_closed_session_is_ended_soon)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    tug_future *f = tug_pg_exec_start(session, "select pg_sleep(300)", TUG_NO_ARGS);
    tug_future *short_one = tug_pg_exec_start(session, "select 1", TUG_NO_ARGS);
    tug_pg_close(session);
    assert_rc(tug_await(f), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "57014");
    tug_future_unref(f);
    tug_future_drop(short_one);
    assert_ok(tug_pg_acquire(db, &session));
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
}

/* --- other things that take their time -------------------------------------------------------- */

/* A table that another transaction keeps locked. */
typedef struct locked {
    tug_pg *db, *tx;
    help_table table;
} locked;

static void lock(locked *l, tug_pg *db)
{
    l->db = db;
    l->table = help_create(db, "a int");
    assert_ok(tug_pg_begin(db, NULL, &l->tx));
    help_sql(l->tx, "lock table @ in access exclusive mode", l->table.name);
}

static void unlock(locked *l)
{
    tug_pg_close(l->tx);
    help_drop(&l->table);
}

LIVE_TEST(a_text_that_cannot_be_prepared_yet_holds_nobody_up)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    locked l;
    lock(&l, judge);
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    char sql[100];
    snprintf(sql, sizeof sql, "select a from %s", l.table.name);
    assert_rc(TUG_WITHIN(TUG_MS(50), tug_pg_exec(session, sql, TUG_NO_ARGS, NULL)), TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT); /* its Parse was, it was not */
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    unlock(&l);
    assert_ok(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL));
}

LIVE_TEST(a_copy_that_waits_for_a_lock_is_cancelled)
{
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    locked l;
    lock(&l, judge);
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    tug_pg_copy *copy = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(50),
                         tug_pg_copy_in(session, help_text(&l.table, "copy @ from stdin"), &copy)),
              TUG_ETIMEDOUT);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    assert_true(requests_of(db) >= 1);
    unlock(&l);
}

/* --- requests that come to nothing ------------------------------------------------------------ */

/* Goes on after the first cancels. */
static const char STUBBORN[] =
    "/* stubborn %s */ do $$ begin for i in 1..100 loop begin perform pg_sleep(0.2); exception when query_canceled "
    "then null; end; end loop; end $$";

/* Ten gigabytes: neither are they read, nor is the connection given up. */
static tug_pg_copy *copy_much(tug_pg *on, int blocks)
{
    tug_pg_copy *copy = NULL;
    struct tug_bytes data;
    assert_ok(tug_pg_copy_out(
        on, "copy (select repeat('x', 100000) from generate_series(1, 99999)) to stdout", &copy));
    for (int i = 0; i < blocks; i++) {
        assert_rc(tug_pg_copy_read(copy, &data), 1);
    }
    return copy;
}

LIVE_TEST(a_copy_that_nobody_reads_to_its_end_is_cancelled)
{
    enum {
        N = 5
    };
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    for (int i = 0; i < N; i++) {
        uint64_t before = requests_of(db);
        tug_pg_copy_close(copy_much(session, 3 * i));
        assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
        assert_true(requests_of(db) > before);
    }
    /* A transaction ends with it, as with any statement that is cancelled. */
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(session, NULL, &tx));
    tug_pg_copy_close(copy_much(tx, 1));
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25P02");
    tug_pg_close(tx);
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
}

LIVE_TEST(without_requests_a_long_copy_costs_the_connection)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 1;
    o.cancel_timeout = 0;
    TUG_AUTO(tug_pg) db = help_open(&o);
    int64_t pid = help_int(db, "select pg_backend_pid()");
    tug_pg_copy_close(copy_much(db, 1));
    assert_true(help_int(db, "select pg_backend_pid()") != pid);
    assert_int_equal(requests_of(db), 0);
}

LIVE_TEST(a_connection_that_does_not_come_back_is_replaced)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.cancel_timeout = TUG_SECONDS(1);
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open(&o);
    const char *name = test_name();
    char sql[300];
    snprintf(sql, sizeof sql, STUBBORN, name);
    int64_t pid = help_int(db, "select pg_backend_pid()");
    tug_future *f = tug_pg_exec_start(db, sql, TUG_NO_ARGS);
    wait_asleep(judge, name, 1);
    tug_future_drop(f);
    assert_soon(requests_of(db) >= 2); /* asked again */
    assert_ok(tug_sleep(TUG_MS(1200)));
    assert_int_not_equal(help_int(db, "select pg_backend_pid()"), pid);
    /* And on a session: the lease comes back all the same. */
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t leased = help_int(session, "select pg_backend_pid()");
    f = tug_pg_exec_start(session, sql, TUG_NO_ARGS);
    wait_asleep(judge, name, 2); /* the server still has the first one */
    tug_future_drop(f);
    assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_detail_has("cancel requests");
    tug_pg_close(session);
    assert_ok(tug_pg_acquire(db, &session));
    tug_pg_close(session);
    bool done = false;
    const int64_t gone[] = {pid, leased};
    for (int i = 0; i < 2; i++) {
        assert_ok(tug_pg_query_one(judge, "select pg_terminate_backend($1)", TUG_ARGS(gone[i]),
                                   TUG_OUT(&done)));
    }
}

LIVE_TEST(without_requests_a_statement_runs_to_its_end)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    o.pool_max = 1;
    o.cancel_timeout = 0;
    TUG_AUTO(tug_pg) db = help_open(&o);
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, "select pg_sleep($1)", TUG_ARGS(0), NULL)); /* prepared */
    tug_time before = tug_now();
    assert_rc(
        TUG_WITHIN(TUG_MS(30), tug_pg_exec(session, "select pg_sleep($1)", TUG_ARGS(1), NULL)),
        TUG_ETIMEDOUT);
    assert_int_equal(help_int(session, "select 1"), 1);
    assert_true(tug_now() - before >= TUG_SECONDS(1));
    assert_int_equal(requests_of(db), 0);
}

LIVE_TEST(a_statement_that_ends_soon_costs_no_request)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    assert_int_equal(help_int(db, "select 7"), 7);
    for (int soon = 0; soon < 20;) {
        uint64_t requests = requests_of(db);
        tug_time before = tug_now();
        tug_future *f = tug_pg_exec_start(db, "select 7", TUG_NO_ARGS);
        assert_ok(tug_yield());
        tug_future_drop(f);
        assert_int_equal(help_int(db, "select 7"), 7);
        if (tug_now() - before < TUG_MS(2)) { /* on a busy machine some take longer */
            assert_int_equal(requests_of(db), requests);
            soon++;
        }
    }
}

LIVE_TEST(a_closed_pool_does_not_wait_for_its_requests)
{
    tug_pg *db = help_open_small();
    assert_int_equal(help_int(db, "select 1"), 1);
    tug_future *f = tug_pg_exec_start(db, "select pg_sleep(20)", TUG_NO_ARGS);
    assert_ok(tug_sleep(TUG_MS(30)));
    tug_future_drop(f);
    assert_ok(tug_yield());
    tug_pg_close(db);
}

TASK_TEST(the_time_for_a_cancel_has_bounds)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.cancel_timeout = TUG_MS(9);
    assert_rc(tug_pg_open("postgresql://127.0.0.1:1/x", &o, &db), TUG_EINVAL);
    assert_detail_has("cancel_timeout");
    o.cancel_timeout = TUG_SECONDS(3601);
    assert_rc(tug_pg_open("postgresql://127.0.0.1:1/x", &o, &db), TUG_EINVAL);
}

/* --- many at once ----------------------------------------------------------------------------- */

enum {
    STORM = 12
};

LIVE_TEST(a_storm_of_cancels_keeps_every_connection)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.pool_max = STORM;
    TUG_AUTO(tug_pg) judge = help_open_small();
    TUG_AUTO(tug_pg) db = help_open(&o);
    const char *name = test_name();
    tug_pg *sessions[STORM];
    tug_future *f[STORM];
    int64_t pids[STORM];
    for (int i = 0; i < STORM; i++) {
        assert_ok(tug_pg_acquire(db, &sessions[i]));
        pids[i] = help_int(sessions[i], "select pg_backend_pid()");
        f[i] = tug_pg_exec_start(sessions[i], sleep_sql(name, "300"), TUG_NO_ARGS);
    }
    wait_asleep(judge, name, STORM);
    tug_future_drop_all(f, STORM);
    for (int i = 0; i < STORM; i++) {
        assert_int_equal(help_int(sessions[i], "select pg_backend_pid()"), pids[i]);
        tug_pg_close(sessions[i]);
    }
    assert_true(requests_of(db) >= STORM);
}

/* --- the hammer ------------------------------------------------------------------------------- */

/* Queries at random, some of them cut short at a random moment, on the pool, on sessions and in
 * transactions. Each answer carries its question. Whoever is hit by somebody else's cancel request
 * gets 57014, which a cancelled one never sees. */

enum {
    HAMMER_TASKS = 36,
    HAMMER_SESSIONS = 6, /* of these tasks */
    HAMMER_LEASES = 8,
    HAMMER_SHARED = 2,
};

typedef struct hammer {
    tug_pg *db;
    int64_t left, asked;
    uint64_t state;
    int64_t answered, not_sent, in_flight, transactions;
} hammer;

static unsigned hammer_random(hammer *h, unsigned below)
{
    h->state = h->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(h->state >> 33) % below;
}

/* One in eight takes up to 20 ms, on a session every second; the rest is over at once. */
static int hammer_query(hammer *h, tug_pg *on, int64_t number, bool *ret_cut)
{
    static const char quick[] = "select $1::int8";
    static const char slow[] = "select $1::int8 from (select pg_sleep($2)) s";
    bool victim = hammer_random(h, 3) == 0;
    bool is_slow = hammer_random(h, on == h->db ? 8 : 2) == 0;
    double seconds = (double)hammer_random(h, 20000) / 1e6;
    tug_duration limit = victim ? TUG_US(hammer_random(h, 12000)) : TUG_SECONDS(30);
    int64_t got = -1;
    tug_args args = is_slow ? TUG_ARGS(number, seconds) : TUG_ARGS(number);
    int rc = TUG_WITHIN(limit, tug_pg_query_one(on, is_slow ? slow : quick, args, TUG_OUT(&got)));
    *ret_cut = rc == TUG_ETIMEDOUT && victim;
    if (*ret_cut) {
        h->in_flight += tug_last_error()->sent == TUG_IN_FLIGHT;
        h->not_sent += tug_last_error()->sent != TUG_IN_FLIGHT;
        return 0;
    }
    if (rc == 0 && got != number) {
        return tug_fail(TUG_EUSER, "asked %lld, got %lld", (long long)number, (long long)got);
    }
    h->answered += rc == 0;
    return rc;
}

/* A transaction that a cancel has cut short is over: the rest of it may be refused (25P02). */
static int hammer_transaction(hammer *h, tug_pg *on)
{
    TUG_AUTO(tug_pg) tx = NULL;
    bool cut = false;
    int rc = tug_pg_begin(on, NULL, &tx);
    for (int i = 0; rc == 0 && !cut && i < 3; i++) {
        h->asked++;
        rc = hammer_query(h, tx, h->asked * 1000 + i, &cut);
    }
    h->transactions++;
    return rc == 0 && !cut && hammer_random(h, 2) == 0 ? tug_pg_commit(tx) : rc;
}

static int hammer_on_pool(void *arg)
{
    hammer *h = arg;
    bool cut = false;
    int rc = 0;
    while (rc == 0 && h->asked < h->left) {
        h->asked++;
        rc = hammer_query(h, h->db, (int64_t)hammer_random(h, 1u << 30), &cut);
    }
    return rc;
}

static int hammer_on_session(void *arg)
{
    hammer *h = arg;
    bool cut = false;
    int rc = 0;
    while (rc == 0 && h->asked < h->left) {
        TUG_AUTO(tug_pg) session = NULL;
        rc = tug_pg_acquire(h->db, &session);
        for (unsigned i = hammer_random(h, 5); rc == 0 && i > 0; i--) {
            h->asked++;
            rc = hammer_query(h, session, (int64_t)hammer_random(h, 1u << 30), &cut);
        }
        if (rc == 0 && hammer_random(h, 3) == 0) {
            rc = hammer_transaction(h, session);
        }
    }
    return rc;
}

static void hammer_judge(const hammer *hammers, int64_t wanted)
{
    hammer sum = {0};
    for (int i = 0; i < HAMMER_TASKS; i++) {
        sum.asked += hammers[i].asked;
        sum.answered += hammers[i].answered;
        sum.not_sent += hammers[i].not_sent;
        sum.in_flight += hammers[i].in_flight;
        sum.transactions += hammers[i].transactions;
    }
    print_message(
        "%lld queries: %lld answered, %lld cut before they were sent, %lld in flight; %lld "
        "transactions, %llu cancel requests\n",
        (long long)sum.asked, (long long)sum.answered, (long long)sum.not_sent,
        (long long)sum.in_flight, (long long)sum.transactions,
        (unsigned long long)requests_of(hammers[0].db));
    assert_true(sum.asked >= wanted);
    assert_int_equal(sum.answered + sum.not_sent + sum.in_flight, sum.asked);
    assert_true(sum.not_sent > 0 && sum.in_flight > 0 && sum.transactions > 0);
    assert_true(requests_of(hammers[0].db) > 10);
}

/* All leases at once, each alive: none was lost, none is in somebody's way; and the server has as many
 * sessions as the pool may have. */
static void hammer_count(tug_pg *db, const char *name)
{
    tug_pg *sessions[HAMMER_LEASES];
    for (int i = 0; i < HAMMER_LEASES; i++) {
        assert_ok(TUG_WITHIN(TUG_SECONDS(10), tug_pg_acquire(db, &sessions[i])));
        assert_int_equal(help_int(sessions[i], "select 1"), 1);
    }
    TUG_AUTO(tug_pg) judge = help_open_small();
    assert_soon(help_int(judge, help_named("select count(*) from pg_stat_activity where "
                                           "application_name = '@'",
                                           name)) == HAMMER_LEASES + HAMMER_SHARED);
    for (int i = 0; i < HAMMER_LEASES; i++) {
        tug_pg_close(sessions[i]);
    }
}

LIVE_TEST(ten_thousand_queries_under_cancels)
{
    static hammer hammers[HAMMER_TASKS];
    const int64_t wanted = 10000;
    const uint64_t seed = getenv("TUG_SEED") != NULL ? strtoull(getenv("TUG_SEED"), NULL, 0)
                                                     : 20261;
    char url[400];
    const char *name = test_name();
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.pool_max = HAMMER_LEASES;
    snprintf(url, sizeof url, "%s?application_name=%s", test_url("TUG_PG_URL"), name);
    assert_ok(tug_pg_open(url, &o, &db));
    assert_ok(tug_pg_ready(db));
    print_message("TUG_SEED=%llu\n", (unsigned long long)seed);
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(150), TUG_FAIL_FAST);
    for (int i = 0; i < HAMMER_TASKS; i++) {
        hammers[i] = (hammer){
            .db = db, .left = wanted / HAMMER_TASKS + 1, .state = seed * 1000003 + (uint64_t)i};
        tug_group_spawn(&g, i < HAMMER_SESSIONS ? hammer_on_session : hammer_on_pool, &hammers[i]);
    }
    assert_ok(tug_group_leave(&g, 0));
    hammer_judge(hammers, wanted);
    hammer_count(db, name);
    tug_pg_close(db);
}
