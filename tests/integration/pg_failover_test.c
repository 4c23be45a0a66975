/* Servers that end, are killed, restart or refuse: what each caller is told, and how the handle comes back,
 * with how many attempts. */
#include "pg_help.h"
#include "pg_server.h"
#include "proxy.h"

#include <signal.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>

struct rig {
    proxy *proxy;
    tug_pg *admin; /* not through the proxy */
    char url[400];
    char name[48]; /* application_name of all that go through the proxy */
};

static struct rig rig_start(void)
{
    struct rig r = {.admin = help_open_small()};
    char server[200];
    const char *url = test_url("TUG_PG_URL");
    const char *host = strrchr(url, '@') + 1, *end = strchr(host, '/');
    snprintf(server, sizeof server, "tcp://%.*s", (int)(end - host), host);
    snprintf(r.name, sizeof r.name, "%s", test_name());
    r.proxy = proxy_start(server);
    snprintf(r.url, sizeof r.url, "%.*s127.0.0.1:%d%s?application_name=%s", (int)(host - url), url,
             proxy_port(r.proxy), end, r.name);
    return r;
}

static void rig_stop(struct rig *r)
{
    tug_pg_close(r->admin);
    proxy_stop(r->proxy);
}

static tug_pg *rig_open(struct rig *r, size_t shared, size_t least, size_t most)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = shared;
    o.pool_min = least;
    o.pool_max = most;
    assert_ok(tug_pg_open(r->url, &o, &db));
    assert_ok(tug_pg_ready(db));
    return db;
}

static int64_t backends(struct rig *r, const char *what)
{
    char sql[300];
    int64_t n = 0;
    snprintf(sql, sizeof sql,
             "select count(%s) from pg_stat_activity where application_name = '%s'", what, r->name);
    assert_ok(tug_pg_query_one(r->admin, sql, TUG_NO_ARGS, TUG_OUT(&n)));
    return n;
}

/* Until n of them are there; each look is a round trip. */
static void wait_backends(struct rig *r, int64_t n)
{
    assert_soon(backends(r, "pid") == n);
}

static int64_t terminate_all(struct rig *r)
{
    return backends(r, "pg_terminate_backend(pid, 30000)::text");
}

static void assert_lost(int rc, const char *native, int sent)
{
    assert_rc(rc, TUG_ECLOSED);
    assert_string_equal(tug_last_error()->native, native);
    assert_int_equal(tug_last_error()->sent, sent);
    assert_true(tug_last_error()->transient);
}

/* --- backends --------------------------------------------------------------------------------- */

LIVE_TEST(a_backend_is_terminated)
{
    struct rig r = rig_start();
    TUG_AUTO(tug_pg) db = rig_open(&r, 1, 0, 2);
    char sql[100];
    snprintf(sql, sizeof sql, "select pg_sleep(30) /* %s */", r.name);
    tug_future *f = tug_pg_query_start(db, sql, TUG_NO_ARGS);
    assert_soon(help_waiting(r.admin, "PgSleep", r.name) == 1);
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
    assert_int_equal(terminate_all(&r), 2);
    assert_lost(tug_await(f), "57P01", TUG_IN_FLIGHT);
    assert_detail_has("terminating connection due to administrator command");
    tug_future_unref(f);
    /* The end came while nothing was under way: what is asked now was not sent. */
    tug_test_settle();
    assert_lost(tug_pg_exec(tx, "select 2", TUG_NO_ARGS, NULL), "57P01", TUG_NOT_SENT);
    assert_rc(tug_pg_commit(tx), TUG_ECLOSED);
    tug_pg_close(tx);
    assert_int_equal(help_int(db, "select 7"), 7);
    rig_stop(&r);
}

static int take_and_ask(void *arg)
{
    tug_pg *session = NULL;
    assert_ok(tug_pg_acquire(arg, &session));
    assert_int_equal(help_int(session, "select 1 from pg_sleep(0.1)"), 1);
    tug_pg_close(session);
    return 0;
}

/* All backends at once: who asks next gets a good one, without an error, and no more are opened than were
 * lost. */
LIVE_TEST(all_backends_are_terminated)
{
    enum {
        N = 10
    };
    struct rig r = rig_start();
    TUG_AUTO(tug_pg) db = rig_open(&r, 2, N, N);
    wait_backends(&r, N + 2);
    size_t before = proxy_accepted(r.proxy);
    assert_int_equal(terminate_all(&r), N + 2);
    tug_test_settle();
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(15), TUG_FAIL_FAST);
    for (int i = 0; i < N; i++) {
        tug_group_spawn(&g, take_and_ask, db);
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(help_int(db, "select 7"), 7);
    wait_backends(&r, N + 2);
    assert_true(proxy_accepted(r.proxy) - before <= N + 2);
    rig_stop(&r);
}

/* --- an outage -------------------------------------------------------------------------------- */

struct worker {
    tug_pg *db;
    int done, failed;
};

static int ask_often(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 3; i++) {
        int64_t one = 0;
        int rc = tug_pg_query_one(w->db, "select 1", TUG_NO_ARGS, TUG_OUT(&one));
        if (rc == 0) {
            w->done++;
        } else {
            assert_true(rc == TUG_ECLOSED || rc == TUG_ECONNECT);
            assert_true(tug_last_error()->transient);
            w->failed++;
        }
    }
    return 0;
}

/* Three seconds in which each connection is hung up on: attempts follow the backoff, which leaves seven of each
 * pool at most (50, 100, 200, 400, 800, 1600 ms at the least), however many wait. */
LIVE_TEST(an_outage_is_no_storm)
{
    enum {
        N = 200,
        MOST = 2 * 7
    };
    struct rig r = rig_start();
    TUG_AUTO(tug_pg) db = rig_open(&r, 2, 4, 8);
    wait_backends(&r, 6);
    proxy_hang_up(r.proxy, true);
    proxy_cut_all(r.proxy);
    tug_test_settle();
    size_t before = proxy_accepted(r.proxy);
    struct worker w = {.db = db};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(40), TUG_FAIL_FAST);
    for (int i = 0; i < N; i++) {
        tug_group_spawn(&g, ask_often, &w);
    }
    assert_ok(tug_sleep(TUG_SECONDS(3)));
    size_t attempts = proxy_accepted(r.proxy) - before;
    if (attempts > MOST) {
        fail_msg("%zu attempts in 3 s", attempts);
    }
    assert_true(attempts >= 3);
    assert_int_equal(w.done, 0);
    proxy_hang_up(r.proxy, false);
    before = proxy_accepted(r.proxy);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.done, 3 * N); /* they waited, and nobody was told of it */
    assert_int_equal(w.failed, 0);
    /* And back: two shared ones, and eight leases at most. */
    assert_true(proxy_accepted(r.proxy) - before <= 10);
    rig_stop(&r);
}

/* --- a server of one's own -------------------------------------------------------------------- */

struct own {
    servers servers;
    char url[200];
    tug_pg *db;
};

static struct own own_start(void)
{
    struct own o = {.servers = servers_begin()};
    servers_say(&o.servers, "init a");
    int port = servers_start(&o.servers, "a");
    snprintf(o.url, sizeof o.url, "postgresql://tug:sec-ret@127.0.0.1:%d/postgres", port);
    assert_ok(tug_pg_open(o.url, NULL, &o.db));
    assert_ok(tug_pg_exec(o.db, "create table t(i int)", TUG_NO_ARGS, NULL));
    return o;
}

static void own_stop(struct own *o)
{
    tug_pg_close(o->db);
    servers_end(&o->servers);
}

/* A transaction that is open at the moment, and a statement that runs. */
struct under_way {
    tug_pg *tx;
    tug_future *f;
};

static struct under_way begin_work(struct own *o)
{
    struct under_way u;
    u.f = tug_pg_query_start(o->db, "select pg_sleep(30)", TUG_NO_ARGS);
    assert_ok(tug_pg_begin(o->db, NULL, &u.tx));
    assert_ok(tug_pg_exec(u.tx, "insert into t values (1)", TUG_NO_ARGS, NULL));
    /* What was not sent yet would go elsewhere, and succeed. Not tx looks: in a transaction the server's
     * view of its sessions stands still. */
    tug_pg *judge = NULL;
    assert_ok(tug_pg_open(o->url, NULL, &judge));
    assert_soon(help_waiting(judge, "PgSleep", "pg_sleep(30)") == 1);
    tug_pg_close(judge);
    return u;
}

/* The commit fails. */
static void end_work(struct under_way *u)
{
    assert_rc(tug_pg_commit(u->tx), TUG_ECLOSED);
    tug_pg_close(u->tx);
    tug_future_unref(u->f);
}

static void nothing_was_committed(struct own *o)
{
    assert_int_equal(help_int(o->db, "select count(*) from t"), 0);
}

LIVE_TEST(a_server_is_restarted)
{
    struct own o = own_start();
    struct under_way u = begin_work(&o);
    servers_say(&o.servers, "stop a");
    assert_lost(tug_await(u.f), "57P01", TUG_IN_FLIGHT);
    end_work(&u);
    /* While it is away. */
    assert_rc(TUG_WITHIN(TUG_MS(300), tug_pg_exec(o.db, "select 1", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    servers_start(&o.servers, "a");
    nothing_was_committed(&o);
    own_stop(&o);
}

LIVE_TEST(a_server_is_killed)
{
    struct own o = own_start();
    struct under_way u = begin_work(&o);
    servers_say(&o.servers, "kill a");
    assert_lost(tug_await(u.f), "", TUG_IN_FLIGHT);
    servers_start(&o.servers, "a");
    end_work(&u);
    nothing_was_committed(&o);
    own_stop(&o);
}

/* One backend killed by SIGKILL: the server ends all others and recovers; 57P02, then 57P03 for a while. */
LIVE_TEST(a_backend_is_killed)
{
    struct own o = own_start();
    struct under_way u = begin_work(&o);
    int64_t pid = help_int(u.tx, "select pg_backend_pid()::int8");
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    assert_rc(tug_await(u.f), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(tug_last_error()->transient);
    end_work(&u);
    nothing_was_committed(&o);
    own_stop(&o);
}

/* The answer to COMMIT does not come: nobody knows, and that is what is said. */
LIVE_TEST(the_answer_to_commit_is_lost)
{
    struct rig r = rig_start();
    TUG_AUTO(tug_pg) db = rig_open(&r, 0, 0, 1);
    help_table t = help_create(r.admin, "i int");
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_exec(tx, help_text(&t, "insert into @ values (1)"), TUG_NO_ARGS, NULL));
    proxy_link *link = proxy_link_last(r.proxy);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_DOWN].cut_after = proxy_link_bytes(link, PROXY_DOWN);
    proxy_link_set(link, &rules);
    assert_lost(tug_pg_commit(tx), "", TUG_IN_FLIGHT);
    tug_pg_close(tx);
    assert_int_equal(help_count(&t), 1); /* it was committed */
    help_drop(&t);
    rig_stop(&r);
}
