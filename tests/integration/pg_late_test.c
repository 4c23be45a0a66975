/* Cancel requests that come late, or never: a relay before the real server lets the first connections
 * through and keeps those of the requests back. */
#include <string.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/scope.h>
#include <tug/stream.h>
#include <tug/sync.h>

#include "handle.h"
#include "pg_help.h"

typedef struct relay {
    tug_group group;
    tug_listener *listener;
    char target[64], url[300];
    /* What becomes of a new connection: it is let through after this time; TUG_FOREVER: never. */
    tug_duration delay;
    int held; /* connections that wait */
    tug_event *release;
} relay;

/* One direction. */
typedef struct pump {
    tug_stream *from, *to;
} pump;

static int pump_task(void *arg)
{
    const pump *p = arg;
    char bytes[4096];
    int n;
    while ((n = tug_stream_read(p->from, bytes, sizeof bytes)) > 0 &&
           tug_stream_write(p->to, (struct tug_bytes){bytes, (size_t)n}) == 0) {
    }
    tug_stream_shutdown(p->to);
    return 0;
}

typedef struct passage {
    relay *relay;
    tug_stream *client;
} passage;

static int passage_task(void *arg)
{
    const passage *p = arg;
    TUG_AUTO(tug_stream) client = p->client;
    TUG_AUTO(tug_stream) server = NULL;
    if (p->relay->delay > 0) {
        p->relay->held++;
        int rc = TUG_WITHIN(p->relay->delay, tug_event_wait(p->relay->release));
        p->relay->held--;
        if (rc != TUG_ETIMEDOUT) {
            return 0; /* hung up, without a word to the server */
        }
    }
    if (tug_stream_connect(p->relay->target, &server) < 0) {
        return 0;
    }
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    pump up = {client, server}, down = {server, client};
    tug_group_spawn(&g, pump_task, &up);
    tug_group_spawn(&g, pump_task, &down);
    return tug_group_leave(&g, 0);
}

static int accept_task(void *arg)
{
    relay *r = arg;
    passage p = {.relay = r};
    while (tug_listener_next(r->listener, &p.client) == 1) {
        tug_group_spawn_copy(&r->group, passage_task, &p, sizeof p);
    }
    return 0;
}

static void relay_open(relay *r)
{
    *r = (relay){.delay = 0};
    const char *url = test_url("TUG_PG_URL");
    const char *port = strrchr(url, ':') + 1;
    size_t digits = strcspn(port, "/");
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &r->listener));
    assert_ok(tug_event_new(&r->release));
    snprintf(r->target, sizeof r->target, "tcp://127.0.0.1:%.*s", (int)digits, port);
    snprintf(r->url, sizeof r->url, "%.*s%s%s", (int)(port - url), url,
             strrchr(tug_listener_address(r->listener), ':') + 1, port + digits);
    tug_group_enter(&r->group, TUG_SECONDS(60), TUG_KEEP_GOING);
    tug_group_spawn(&r->group, accept_task, r);
}

static void relay_close(relay *r)
{
    tug_listener_close(r->listener);
    tug_event_set(r->release);
    tug_group_cancel(&r->group);
    TUG_IGNORE(tug_group_leave(&r->group, 0));
    tug_event_unref(r->release);
}

static tug_pg *open_through(const relay *r, size_t leased, tug_duration cancel_timeout)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = 0;
    o.pool_max = leased;
    o.cancel_timeout = cancel_timeout;
    assert_ok(tug_pg_open(r->url, &o, &db));
    assert_ok(tug_pg_ready(db));
    return db;
}

static const char SLEEP[] = "select pg_sleep($1)";

/* Whether a request that hangs can be given up: else it keeps a thread and its place. */
#ifdef LIBPQ_HAS_ASYNC_CANCEL
static const bool is_given_up = true;
#else
static const bool is_given_up = false;
#endif

/* A statement that runs for so long on the session, and is on its way there. */
static tug_future *sleep_start(tug_pg *session, double seconds)
{
    assert_ok(tug_pg_exec(session, SLEEP, TUG_ARGS(0), NULL)); /* prepared */
    tug_future *f = tug_pg_exec_start(session, SLEEP, TUG_ARGS(seconds));
    assert_soon(session->holding->connection->n > 0);
    assert_ok(tug_sleep(TUG_MS(5)));
    return f;
}

/* The request is on its way while the statement that it is meant for ends. What follows on that
 * connection waits for it, and is not hit. */
LIVE_TEST(a_late_request_hits_nobody)
{
    relay r;
    relay_open(&r);
    tug_pg *db = open_through(&r, 1, TUG_SECONDS(5));
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    assert_ok(tug_pg_exec(session, HELP_GATE, TUG_ARGS(HELP_OPEN), NULL));
    r.delay = TUG_MS(150);
    for (int i = 0; i < 10; i++) {
        help_gate gate = help_gate_close();
        tug_future *f = tug_pg_exec_start(session, HELP_GATE, TUG_ARGS(gate.key));
        assert_soon(help_gate_waiting(&gate) == 1);
        tug_future_drop(f);
        assert_soon(r.held == 1);
        help_gate_open(&gate);
        assert_ok(tug_pg_exec(session, SLEEP, TUG_ARGS(0.03), NULL));
        assert_int_equal(r.held, 0);
    }
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
    tug_pg_close(db);
    relay_close(&r);
}

LIVE_TEST(requests_that_nobody_answers_cost_their_time_only)
{
    enum {
        N = 5
    };
    relay r;
    relay_open(&r);
    tug_pg *db = open_through(&r, N, TUG_SECONDS(2));
    tug__pg_cancels *cancels = tug__pg_pool_of(db)->cancels;
    tug_pg *sessions[N];
    for (int i = 0; i < N; i++) {
        assert_ok(tug_pg_acquire(db, &sessions[i]));
        assert_int_equal(help_int(sessions[i], "select 1"), 1);
    }
    r.delay = TUG_FOREVER;
    for (int i = 0; i < N; i++) {
        tug_future_drop(sleep_start(sessions[i], 30));
    }
    tug_time before = tug_now();
    for (int i = 0; i < N; i++) {
        assert_rc(tug_pg_exec(sessions[i], "select 1", TUG_NO_ARGS, NULL), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
        assert_true(atomic_load(&cancels->running) <= 2); /* the others' have not gone out */
        tug_pg_close(sessions[i]);
    }
    assert_true(tug_now() - before < TUG_SECONDS(20)); /* the statements would take 30 */
    assert_true(r.held <= 2 || is_given_up);
    r.delay = 0;
    tug_event_set(r.release); /* the threads come back */
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    tug_future_drop(sleep_start(session, 9));
    assert_int_equal(help_int(session, "select 1"), 1); /* and there are places again */
    tug_pg_close(session);
    tug_pg_close(db);
    relay_close(&r);
}

LIVE_TEST(a_request_that_is_refused_is_made_again)
{
    relay r;
    relay_open(&r);
    tug_pg *db = open_through(&r, 1, TUG_SECONDS(5));
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    int64_t pid = help_int(session, "select pg_backend_pid()");
    /* Hung up before they reach the server; the third goes through. */
    r.delay = TUG_FOREVER;
    tug_event_set(r.release);
    tug_future_drop(sleep_start(session, 20));
    assert_soon(tug__pg_pool_of(db)->cancels->sent >= 2);
    r.delay = 0;
    assert_int_equal(help_int(session, "select pg_backend_pid()"), pid);
    tug_pg_close(session);
    tug_pg_close(db);
    relay_close(&r);
}

/* The pool is closed, the loop ends: a request that hangs holds up neither. */
LIVE_TEST(a_request_that_hangs_does_not_hold_up_the_end)
{
    relay r;
    relay_open(&r);
    tug_pg *db = open_through(&r, 1, TUG_MS(300));
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    r.delay = TUG_FOREVER;
    tug_future_drop(sleep_start(session, 1));
    assert_soon(r.held > 0);
    tug__pg_cancels *cancels = tug__pg_pool_of(db)->cancels;
    atomic_fetch_add(&cancels->references, 1);
    tug_pg_close(session);
    tug_pg_close(db);
    assert_soon(atomic_load(&cancels->references) <= 2);
    /* If its thread hangs, it has what it needs. */
    assert_int_equal(atomic_load(&cancels->running), is_given_up ? 0 : 1);
    relay_close(&r);
    assert_soon(atomic_load(&cancels->references) == 1);
    assert_int_equal(atomic_load(&cancels->running), 0);
    tug__pg_cancels_unref(cancels);
}
