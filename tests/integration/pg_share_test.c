/* Who shares which connection: the least loaded one, none whose oldest statement is old, as many as may be
 * in flight, and everybody gets his own answer. */

#include <linux/tcp.h>
#include <netinet/in.h>

#include "handle.h"
#include "pg_help.h"

static tug__pg_connection *shared(tug_pg *db, size_t i)
{
    tug__pg_connection *c = tug__pg_pool_of(db)->slots[i].connection;
    assert_non_null(c);
    return c;
}

/* Until all shared connections are open, and nothing is in flight. */
static void wait_open(tug_pg *db)
{
    tug__pg_pool *pool = tug__pg_pool_of(db);
    for (size_t i = 0; i < pool->slots_n; i++) {
        assert_soon(pool->slots[i].connection != NULL);
    }
}

static tug_pg *open_with(size_t shared_n, size_t leased, size_t max_pipeline,
                         tug_duration head_limit)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = shared_n;
    o.pool_max = leased;
    o.max_pipeline = max_pipeline;
    o.head_limit = head_limit;
    tug_pg *db = help_open(&o);
    wait_open(db);
    return db;
}

LIVE_TEST(the_least_loaded_connection_is_chosen)
{
    enum {
        N = 30
    };
    TUG_AUTO(tug_pg) db = open_with(3, 1, 1024, TUG_SECONDS(60));
    tug_future *f[N];
    for (int i = 0; i < N; i++) {
        f[i] = tug_pg_query_start(db, "select $1::int4", TUG_ARGS(i));
    }
    for (size_t i = 0; i < 3; i++) {
        const tug__pg_connection *c = shared(db, i);
        assert_int_equal(c->n + c->queue.n, N / 3);
    }
    assert_ok(tug_gather(f, N));
    tug_future_drop_all(f, N);
    /* One is busy with four: the next two go to the others. */
    tug_future *busy[6];
    for (int i = 0; i < 6; i++) {
        busy[i] = tug_pg_query_start(db, "select pg_sleep(0.05)", TUG_NO_ARGS);
    }
    tug_future_drop(busy[1]);
    tug_future_drop(busy[4]); /* of the second connection, both not sent yet */
    busy[1] = tug_pg_query_start(db, "select 1", TUG_NO_ARGS);
    assert_int_equal(shared(db, 1)->queue.n, 1);
    busy[4] = tug_pg_query_start(db, "select 1", TUG_NO_ARGS);
    assert_int_equal(shared(db, 1)->queue.n, 2);
    assert_ok(tug_gather(busy, 6));
    tug_future_drop_all(busy, 6);
}

LIVE_TEST(none_goes_behind_an_old_head)
{
    enum {
        N = 40
    };
    TUG_AUTO(tug_pg) db = open_with(2, 1, 1024, TUG_MS(5));
    help_gate gate = help_gate_close();
    tug_future *slow = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    assert_soon(help_gate_waiting(&gate) == 1);
    assert_ok(tug_sleep(TUG_MS(6)));
    size_t old = shared(db, 0)->n > 0 ? 0 : 1;
    assert_int_equal(shared(db, old)->n, 1);
    int64_t young = PQbackendPID(shared(db, 1 - old)->pq);
    for (int i = 0; i < N; i++) { /* one after the other: the young one's head is always young */
        assert_int_equal(help_int(db, "select pg_backend_pid()"), young);
        assert_int_equal(shared(db, old)->n, 1);
    }
    assert_false(tug_future_is_settled(slow));
    help_gate_open(&gate);
    assert_ok(tug_await(slow));
    tug_future_unref(slow);
}

LIVE_TEST(when_all_heads_are_old_a_lease_is_taken_and_then_the_rest_has_to_do)
{
    TUG_AUTO(tug_pg) db = open_with(2, 1, 1024, TUG_MS(5));
    help_gate gate = help_gate_close();
    tug_future *f[4];
    int64_t pids[2] = {PQbackendPID(shared(db, 0)->pq), PQbackendPID(shared(db, 1)->pq)};
    for (int i = 0; i < 2; i++) {
        f[i] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key));
    }
    assert_soon(help_gate_waiting(&gate) == 2);
    assert_ok(tug_sleep(TUG_MS(6)));
    int64_t pid = help_int(db, "select pg_backend_pid()");
    assert_true(pid != pids[0] && pid != pids[1]);
    f[2] = tug_pg_exec_start(db, HELP_GATE, TUG_ARGS(gate.key)); /* on the lease */
    assert_soon(help_gate_waiting(&gate) == 3);
    assert_ok(tug_sleep(TUG_MS(6)));
    f[3] = tug_pg_query_start(db, "select pg_backend_pid()", TUG_NO_ARGS); /* behind a slow one */
    help_gate_open(&gate);
    assert_ok(tug_gather(f, 4));
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_ok(tug_pg_result_take(f[3], &res));
    assert_ok(tug_pg_result_int64(res, 0, 0, &pid));
    assert_true(pid == pids[0] || pid == pids[1]);
    tug_future_drop_all(f, 4);
}

LIVE_TEST(no_more_than_max_pipeline_are_in_flight)
{
    enum {
        N = 200,
        DEPTH = 3
    };
    TUG_AUTO(tug_pg) db = open_with(2, 1, DEPTH, TUG_SECONDS(60));
    help_table t = help_create(db, "a int");
    /* Locked by somebody else: the first statement of each waits for it, the rest behind that. */
    TUG_AUTO(tug_pg) other = help_open_small();
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(other, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "lock table @"), TUG_NO_ARGS, NULL));
    tug_future *f[N];
    for (int i = 0; i < N; i++) {
        f[i] = i < 2 ? tug_pg_query_start(db, help_text(&t, "select count(*) from @"), TUG_NO_ARGS)
                     : tug_pg_query_start(db, "select $1::int4", TUG_ARGS(i));
    }
    while (tug__pg_connection_load(shared(db, 0)) < DEPTH ||
           tug__pg_connection_load(shared(db, 1)) < DEPTH) {
        assert_ok(tug_yield());
    }
    assert_false(tug_future_is_settled(f[0]));
    assert_ok(tug_pg_commit(tx));
    for (size_t left = 1; left > 0;) {
        for (size_t i = 0; i < 2; i++) {
            /* Of a statement that is new there, Prepare and Close go beside it. */
            assert_true(tug__pg_connection_load(shared(db, i)) <= DEPTH + 2);
        }
        left = 0;
        for (int i = 0; i < N; i++) {
            left += !tug_future_is_settled(f[i]);
        }
        assert_ok(tug_yield());
    }
    assert_ok(tug_gather(f, N));
    tug_future_drop_all(f, N);
    help_drop(&t);
}

static unsigned packets_sent(const tug__pg_connection *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    assert_int_equal(getsockopt(PQsocket(c->pq), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_data_segs_out;
}

LIVE_TEST(statements_of_one_turn_leave_in_few_packets)
{
    enum {
        N = 128
    };
    TUG_AUTO(tug_pg) db = open_with(1, 1, 1024, TUG_SECONDS(60));
    assert_ok(tug_pg_exec(db, "select $1::int4", TUG_ARGS(1), NULL)); /* known there */
    unsigned before = packets_sent(shared(db, 0));
    tug_future *f[N];
    for (int i = 0; i < N; i++) {
        f[i] = tug_pg_query_start(db, "select $1::int4", TUG_ARGS(i));
    }
    assert_ok(tug_gather(f, N));
    assert_in_range(packets_sent(shared(db, 0)) - before, 1, N / 8);
    tug_future_drop_all(f, N);
    /* None is held back: this one would take 200 ms. */
    tug_time start = tug_now();
    for (int i = 0; i < 20; i++) {
        assert_ok(tug_pg_exec(db, "select $1::int4", TUG_ARGS(i), NULL));
    }
    assert_true(tug_now() - start < TUG_SECONDS(3));
}

LIVE_TEST(no_more_than_max_pipeline_bytes_are_in_flight)
{
    enum {
        N = 12,
        SIZE = 40000
    };
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 1;
    o.pool_max = 1;
    o.head_limit = TUG_SECONDS(60);
    o.max_pipeline_bytes = 65536;
    TUG_AUTO(tug_pg) db = help_open(&o);
    wait_open(db);
    static char text[SIZE + 1];
    memset(text, 'x', SIZE);
    assert_ok(tug_pg_exec(db, "select length($1::text)", TUG_ARGS("x"), NULL));
    tug_future *f[N];
    for (int i = 0; i < N; i++) {
        f[i] = tug_pg_query_start(db, "select length($1::text)", TUG_ARGS(text));
    }
    for (size_t left = 1; left > 0;) {
        assert_true(shared(db, 0)->bytes < 65536 + SIZE + 1000);
        left = 0;
        for (int i = 0; i < N; i++) {
            left += !tug_future_is_settled(f[i]);
        }
        assert_ok(tug_yield());
    }
    assert_ok(tug_gather(f, N));
    tug_future_drop_all(f, N);
}

/* Errors of all kinds among good ones, all in flight at once on one connection. */
LIVE_TEST(an_error_stays_with_its_query)
{
    enum {
        N = 300
    };
    TUG_AUTO(tug_pg) db = open_with(1, 1, 1024, TUG_SECONDS(60));
    help_table t = help_create(db, "a int unique deferrable initially deferred");
    char insert[100];
    snprintf(insert, sizeof insert, "insert into %s values ($1)", t.name);
    tug_future *f[N];
    for (int i = 0; i < N; i++) {
        switch (i % 5) {
        case 0:
            f[i] = tug_pg_query_start(db, "select 10 / $1::int4", TUG_ARGS(i % 10 == 0 ? 0 : 5));
            break;
        case 1: /* fails at its Sync each second time */
            f[i] = tug_pg_query_start(db, insert, TUG_ARGS(i / 10));
            break;
        case 2:
            f[i] = tug_pg_query_start(db, "select no_such_column", TUG_NO_ARGS);
            break;
        case 3:
            f[i] = tug_pg_query_start(db, "select $1::int4", TUG_ARGS(INT64_C(1) << 40));
            break;
        default:
            f[i] = tug_pg_query_start(db, "select $1::int4", TUG_ARGS(i));
            break;
        }
    }
    for (int i = 0; i < N; i++) {
        TUG_AUTO(tug_pg_result) res = NULL;
        int rc = tug_await(f[i]);
        const char *state = rc == TUG_ESERVER ? tug_last_error()->native : "";
        int64_t got = -1;
        if (rc == 0) {
            assert_ok(tug_pg_result_take(f[i], &res));
        }
        switch (i % 5) {
        case 0:
            assert_string_equal(state, i % 10 == 0 ? "22012" : "");
            break;
        case 1:
            assert_string_equal(state, i % 10 == 1 ? "" : "23505");
            break;
        case 2:
            assert_string_equal(state, "42703");
            break;
        case 3:
            assert_rc(rc, TUG_ERANGE);
            break;
        default:
            assert_ok(rc);
            assert_ok(tug_pg_result_int64(res, 0, 0, &got));
            assert_int_equal(got, i);
            break;
        }
    }
    tug_future_drop_all(f, N);
    assert_int_equal(help_count(&t), N / 10);
    help_drop(&t);
}
