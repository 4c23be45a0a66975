/* A server that is away for a while: what that costs this process, how often it is asked, and that all is as before
 * soon after its return: the pool full, and a listener listening, who says what it has not heard. */
#include "pg_help.h"
#include "pg_server.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <tug/group.h>
#include <tug/pg_listen.h>
#include <tug/pg_pool.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>

enum {
    SHARED = 2,
    LEASED = 20,
    TASKS = 20
};

/* --- who connects ----------------------------------------------------------------------------- */

/* The C library's, with a count: libpq's own calls come by here, on whatever thread. */
static atomic_int connects_port, connects;

typedef int connect_function(int fd, const struct sockaddr *address, socklen_t size);

__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address,
                                                   socklen_t size)
{
    static _Atomic(connect_function *) known;
    connect_function *real = atomic_load(&known);
    if (real == NULL) {
        real = (connect_function *)dlsym(RTLD_NEXT, "connect");
        atomic_store(&known, real);
    }
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        atomic_fetch_add(&connects, ntohs(in->sin_port) == atomic_load(&connects_port));
    }
    return real(fd, address, size);
}

/* What one that follows the backoff may try in so long: at once, and then after pauses of 100 ms at the least, which
 * double, and are never less than 5 s once they are up to 10 s. */
static int most_attempts(tug_duration outage)
{
    int n = 1;
    tug_duration pause = TUG_MS(100);
    for (tug_duration at = pause; at <= outage; at += pause) {
        n++;
        pause = pause * 2 < TUG_SECONDS(5) ? pause * 2 : TUG_SECONDS(5);
    }
    return n;
}

/* --- one server ------------------------------------------------------------------------------- */

struct rig {
    servers servers;
    tug_pg *db;
    tug_pg_listener *listener;
    bool stop;
    int answers;
};

static struct rig rig_start(void)
{
    struct rig r = {.servers = servers_begin()};
    char url[200];
    servers_say(&r.servers, "init a");
    int port = servers_start(&r.servers, "a");
    atomic_store(&connects_port, port);
    snprintf(url, sizeof url, "postgresql://tug:sec-ret@127.0.0.1:%d/postgres", port);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = SHARED;
    o.pool_max = LEASED;
    o.pool_min_idle = LEASED;
    assert_ok(tug_pg_open(url, &o, &r.db));
    assert_ok(tug_pg_ready(r.db));
    static const char *const channels[] = {"orders", "Stock"};
    assert_ok(tug_pg_listen(r.db, channels, 2, NULL, &r.listener));
    return r;
}

static void rig_stop(struct rig *r)
{
    tug_pg_listener_close(r->listener);
    tug_pg_close(r->db);
    servers_end(&r->servers);
}

/* The pool has all that it is to have ready, and the server the same number of clients. */
static void wait_full(struct rig *r, tug_duration most)
{
    tug_time until = tug_time_after(tug_now(), most);
    tug_pool_stats s = TUG_POOL_STATS_INIT;
    do {
        assert_true(tug_now() < until);
        assert_ok(tug_sleep(TUG_MS(10)));
        assert_ok(tug_pg_pool_stats(r->db, &s));
    } while (s.idle < LEASED);
    while (help_int(r->db, "select count(*) from pg_stat_activity where backend_type = "
                           "'client backend'") != LEASED + SHARED + 1) {
        assert_true(tug_now() < until);
        assert_ok(tug_sleep(TUG_MS(10)));
    }
}

static const tug_pg_notification *next(struct rig *r)
{
    const tug_pg_notification *n = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(11), tug_pg_listener_next(r->listener, &n)), 1);
    return n;
}

static void expect(struct rig *r, const char *channel, const char *payload)
{
    const tug_pg_notification *n = next(r);
    assert_int_equal(n->kind, TUG_PG_NOTIFICATION);
    assert_string_equal(n->channel, channel);
    assert_string_equal(n->payload, payload);
}

/* Both channels, by what others send. */
static void hears(struct rig *r, const char *payload)
{
    assert_ok(tug_pg_notify(r->db, "orders", payload));
    expect(r, "orders", payload);
    assert_ok(tug_pg_notify(r->db, "Stock", payload));
    expect(r, "Stock", payload);
}

/* The next word is of the outage: how often, and from when to when. */
static void says_what_was_lost(struct rig *r, tug_duration outage)
{
    const tug_pg_notification *n = next(r);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_int_equal(n->outages, 1);
    assert_int_equal(n->dropped, 0);
    assert_true(n->until.us - n->since.us >= outage / 1000);
}

/* --- outages ---------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The program's own work goes on: each second it asks, and gives up. */
static int ask_on(void *arg)
{
    struct rig *r = arg;
    while (!r->stop) {
        int rc = TUG_WITHIN(TUG_SECONDS(1), tug_pg_exec(r->db, "select 1", TUG_NO_ARGS, NULL));
        /* TUG_ECONNECT: the patience with connecting, 30 s, has come to its end. */
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT || tug_last_error()->transient);
        r->answers += rc == 0;
        assert_ok(tug_sleep(rc == 0 ? TUG_MS(50) : TUG_MS(1)));
    }
    return 0;
}

static void be_away(struct rig *r, tug_duration outage)
{
    servers_say(&r->servers, "stop a");
    assert_ok(tug_sleep(TUG_MS(50))); /* who was answered still has said so */
    int answers = r->answers, before = atomic_load(&connects);
    double used = cpu_seconds();
    assert_ok(tug_sleep(outage));
    used = 100 * (cpu_seconds() - used) / ((double)outage / 1e9);
    int tried = atomic_load(&connects) - before;
    print_message("%d attempts, %.2f %% of a processor\n", tried, used);
    assert_int_equal(r->answers, answers);
    /* Three ask, each by its own backoff: the leased, the shared, the listener. */
    assert_in_range(tried, 3, 3 * most_attempts(outage));
#if !defined(TEST_UNDER_TSAN) && !defined(TEST_UNDER_ASAN)
    assert_true(test_is_under_valgrind() || used < 1);
#endif
}

/* 30 s with TUG_TEST_FULL, else 2 s. */
LIVE_TEST(a_server_that_is_away_is_asked_seldom_and_found_soon)
{
    const char *full = getenv("TUG_TEST_FULL");
    tug_duration outage = TUG_SECONDS(full != NULL && *full == '1' ? 30 : 2);
    struct rig r = rig_start();
    wait_full(&r, TUG_SECONDS(20));
    hears(&r, "before");
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(90), TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        assert_ok(tug_group_spawn(&g, ask_on, &r));
    }
    be_away(&r, outage);
    servers_start(&r.servers, "a");
    tug_time back = tug_now();
    wait_full(&r, TUG_SECONDS(11));
    print_message("full after %.2f s\n", (double)(tug_now() - back) / 1e9);
    says_what_was_lost(&r, outage);
    hears(&r, "after");
    r.stop = true;
    assert_ok(tug_group_leave(&g, 0));
    rig_stop(&r);
}

/* Without a goodbye, and then in order: each is told of once, and between them nothing is missing. */
LIVE_TEST(a_listener_outlives_its_server)
{
    struct rig r = rig_start();
    hears(&r, "one");
    servers_say(&r.servers, "kill a");
    servers_start(&r.servers, "a");
    says_what_was_lost(&r, 0);
    hears(&r, "two");
    servers_say(&r.servers, "stop a");
    servers_start(&r.servers, "a");
    says_what_was_lost(&r, 0);
    hears(&r, "three");
    rig_stop(&r);
}
