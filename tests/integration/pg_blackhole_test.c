/* A network that swallows everything: the loopback of a network namespace of the test's own is taken down. Needs
 * user namespaces for ordinary users, or root. */
#include "pg_help.h"
#include "pg_server.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <tug/scope.h>
#include <unistd.h>

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static void loopback(bool up)
{
    struct ifreq r = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    strcpy(r.ifr_name, "lo");
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
    close(fd);
}

/* Before there are threads: a process with several keeps its user namespace. */
static void enter_namespace(void)
{
    char map[2][40];
    snprintf(map[0], sizeof map[0], "0 %ld 1", (long)geteuid());
    snprintf(map[1], sizeof map[1], "0 %ld 1", (long)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
        assert_true(put("/proc/self/setgroups", "deny"));
        assert_true(put("/proc/self/uid_map", map[0]));
        assert_true(put("/proc/self/gid_map", map[1]));
    } else if (unshare(CLONE_NEWNET) < 0) {
        fail_msg("no network namespace of one's own (%s): this test needs root, or user namespaces "
                 "for ordinary users (sysctl kernel.unprivileged_userns_clone, "
                 "user.max_user_namespaces)",
                 strerrordesc_np(errno));
    }
    loopback(true);
}

static tug_pg *open_with(int port, const char *more)
{
    char text[300];
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    tug_pg *db = NULL;
    o.shared = 1;
    o.pool_max = 1;
    o.head_limit = TUG_SECONDS(3600);
    snprintf(
        text, sizeof text,
        "host=127.0.0.1 port=%d user=tug password=sec-ret dbname=postgres connect_timeout=1 %s",
        port, more);
    assert_ok(tug_pg_open(text, &o, &db));
    assert_ok(tug_pg_exec(db, "select 1", TUG_NO_ARGS, NULL));
    return db;
}

static void assert_swallowed(tug_future *f, tug_time since, tug_duration least, tug_duration most)
{
    assert_rc(tug_await(f), TUG_ECLOSED);
    tug_duration took = tug_now() - since;
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(tug_last_error()->transient);
    if (took < least || took > most) {
        fail_msg("it took %lld ms", (long long)(took / 1000000));
    }
    tug_future_unref(f);
}

static int in_the_dark(void *arg)
{
    (void)arg;
    servers s = servers_begin();
    servers_say(&s, "init a");
    int port = servers_start(&s, "a");
    /* One that has sent and heard nothing back yet, and one that is silent while its statement runs. */
    TUG_AUTO(tug_pg) talks = open_with(port, "tcp_user_timeout=1500");
    TUG_AUTO(tug_pg)
    waits = open_with(port, "keepalives_idle=1 keepalives_interval=1 keepalives_count=2");
    tug_future *silent = tug_pg_query_start(waits, "select pg_sleep(60)", TUG_NO_ARGS);
    /* The server has it; and its kernel has said so, after 40 ms at the most: what is not acknowledged is sent
     * again for a quarter of an hour, and no keepalive looks. */
    assert_soon(help_waiting(talks, "PgSleep", "pg_sleep(60)") == 1);
    assert_ok(tug_sleep(TUG_MS(300)));

    tug_time since = tug_now();
    loopback(false);
    /* Known to that connection: it goes out at once. */
    tug_future *f = tug_pg_query_start(talks, "select 1", TUG_NO_ARGS);
    /* A deadline of one's own is sooner than the network. */
    int64_t x = 0;
    assert_rc(
        TUG_WITHIN(TUG_MS(200), tug_pg_query_one(talks, "select 3", TUG_NO_ARGS, TUG_OUT(&x))),
        TUG_ETIMEDOUT);
    assert_swallowed(f, since, TUG_MS(1400), TUG_SECONDS(6));
    assert_detail_has("timed out");
    assert_swallowed(silent, since, TUG_MS(1900), TUG_SECONDS(8));
    /* Nobody gets through now. */
    assert_rc(TUG_WITHIN(TUG_MS(300), tug_pg_exec(talks, "select 4", TUG_NO_ARGS, NULL)),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);

    loopback(true);
    assert_int_equal(help_int(talks, "select 5"), 5);
    assert_int_equal(help_int(waits, "select 6"), 6);
    servers_end(&s);
    return 0;
}

TEST(a_black_hole)
{
    enter_namespace();
    tug_test_options o = TUG_TEST_OPTIONS_INIT;
    o.real_clock = true;
    int rc = tug_test_run(in_the_dark, NULL, &o);
    if (rc != 0) {
        fail_msg("%s", tug_last_error()->text);
    }
}
