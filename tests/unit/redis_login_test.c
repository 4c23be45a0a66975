#include "redis_rig.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define AUTH "*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n"
#define SELECT_3 "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
#define PING "*1\r\n$4\r\nPING\r\n"

typedef struct asker {
    tug_redis *redis;
    int rc;
    tug_error error;
} asker;

static int ask_ready(void *arg)
{
    asker *a = arg;
    a->rc = tug_redis_ready(a->redis);
    a->error = *tug_last_error();
    return 0;
}

/* What the server says to a login, and what comes of it: for who asks ready, for who has called. */
static void login(const char *url, const char *expect, const char *says, int code,
                  const char *detail)
{
    rig g = rig_open(url, NULL);
    tug_group group;
    asker a = {.redis = g.redis, .rc = 1};
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&group, ask_ready, &a));
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("GET", "k"));
    rig_expect(&g, expect);
    assert_int_equal(a.rc, 1);
    rig_say(&g, says);
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(a.rc, code);
    if (code == 0) {
        rig_expect(&g, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
        rig_say(&g, "+OK\r\n");
        assert_ok(tug_await(f));
    } else {
        assert_rc(tug_await(f), code);
        assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
        assert_detail_has(detail);
        assert_null(strstr(tug_last_error()->text, "hunter2"));
        assert_string_equal(a.error.text, tug_last_error()->text);
        rig_expect(&g, "");
        assert_rc(tug_redis_call(g.redis, TUG_ARGS("PING"), NULL), code);
    }
    tug_future_unref(f);
    rig_close(&g);
}

TASK_TEST(without_credentials_it_pings)
{
    login("redis://h", PING, "+PONG\r\n", 0, "");
    login("redis://h/0", PING, "-NOPERM no ping for you\r\n", 0, "");
    login("redis://:@h", PING, "+PONG\r\n", 0, "");
    login("redis://h", PING, "-NOAUTH Authentication required.\r\n", TUG_EAUTH,
          "the URL has no password");
}

TASK_TEST(password_and_database_in_one_write)
{
    login("redis://:hunter2@h/3", AUTH SELECT_3, "+OK\r\n+OK\r\n", 0, "");
    login("redis://:hunter2@h", AUTH, "+OK\r\n", 0, "");
    login("redis://h/3", SELECT_3, "+OK\r\n", 0, "");
    login("redis://me:hunter2@h", "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$7\r\nhunter2\r\n", "+OK\r\n", 0,
          "");
    login("redis://me:@h", "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$0\r\n\r\n", "+OK\r\n", 0, "");
    login("unix://:hunter2@/x?db=3", AUTH SELECT_3, "+OK\r\n+OK\r\n", 0, "");
}

TASK_TEST(refusals)
{
    login("redis://:hunter2@h/3", AUTH SELECT_3,
          "-WRONGPASS invalid username-password pair\r\n-NOAUTH Authentication required.\r\n",
          TUG_EAUTH, "WRONGPASS");
    login("redis://:hunter2@h", AUTH, "-ERR invalid password\r\n", TUG_EAUTH, "invalid password");
    login("redis://:hunter2@h", AUTH, "-ERR Client sent AUTH, but no password is set\r\n",
          TUG_EAUTH, "no password is set");
    login("redis://:hunter2@h/3", AUTH SELECT_3, "+OK\r\n-ERR DB index is out of range\r\n",
          TUG_ESERVER, "database 3 at");
    login("redis://h", PING, "-ERR max number of clients reached\r\n", TUG_ECONNECT,
          "max number of clients");
    login("redis://:hunter2@h", AUTH, "-LOADING Redis is loading the dataset in memory\r\n",
          TUG_ECONNECT, "LOADING");
    login("redis://h", PING, "-DENIED Redis is running in protected mode\r\n", TUG_ECONNECT,
          "DENIED");
    login("redis://h", PING, "HTTP/1.0 400 Bad Request\r\n", TUG_EPROTO, "is this a Redis server");
}

TASK_TEST(a_server_that_repeats_the_password_is_not_quoted)
{
    login("redis://:hunter2@h", AUTH,
          "-ERR unknown command `AUTH`, with args beginning with: `hunter2`,\r\n", TUG_EAUTH,
          "not shown");
}

TASK_TEST(a_word_before_any_question)
{
    rig g = rig_open("redis://h", NULL);
    rig_say(&g, "-ERR max number of clients reached\r\n");
    assert_rc(tug_redis_ready(g.redis), TUG_ECONNECT);
    assert_detail_has("max number");
    assert_true(tug_last_error()->transient);
    rig_close(&g);
}

TASK_TEST(a_server_that_hangs_up)
{
    rig g = rig_open("redis://:hunter2@h", NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("GET", "k"));
    rig_expect(&g, AUTH);
    rig_hang_up(&g);
    assert_rc(tug_redis_ready(g.redis), TUG_ECONNECT);
    assert_detail_has("login");
    assert_rc(tug_await(f), TUG_ECONNECT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug_future_unref(f);
    rig_close(&g);
}

TASK_TEST(a_server_that_does_not_answer)
{
    rig g = rig_open("redis://:hunter2@h?connect_timeout=2.5", NULL);
    tug_time start = tug_now();
    assert_rc(tug_redis_ready(g.redis), TUG_ECONNECT);
    assert_detail_has("within 2.5 s");
    assert_true(tug_last_error()->transient);
    assert_in_range(tug_now() - start, TUG_MS(2500), TUG_MS(2600));
    rig_close(&g);
}

TASK_TEST(waiting_for_the_login_is_cancellable)
{
    rig g = rig_open("redis://h", NULL);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_redis_ready(g.redis)), TUG_ETIMEDOUT);
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_redis_call(g.redis, TUG_ARGS("INCR", "n"), NULL)),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    rig_expect(&g, PING);
    rig_say(&g, "+PONG\r\n");
    assert_ok(tug_redis_ready(g.redis));
    rig_expect(&g, ""); /* the cancelled INCR never leaves */
    rig_close(&g);
}

/* Cancelled ones among those that wait for the login leave no hole: replies still match. */
TASK_TEST(cancelled_before_the_login)
{
    rig g = rig_open("redis://h", NULL);
    tug_future *f[100];
    char expected[4096] = "";
    for (int i = 0; i < 100; i++) {
        f[i] = tug_redis_call_start(g.redis, TUG_ARGS("E", i));
    }
    for (int i = 0; i < 100; i++) {
        if (i % 3 != 1) {
            tug_future_drop(f[i]);
        } else {
            sprintf(expected + strlen(expected), "*2\r\n$1\r\nE\r\n$%d\r\n%d\r\n", i < 10 ? 1 : 2,
                    i);
        }
    }
    rig_expect(&g, PING);
    rig_say(&g, "+PONG\r\n");
    rig_expect(&g, expected);
    for (int i = 1; i < 100; i += 3) {
        char text[16];
        snprintf(text, sizeof text, ":%d\r\n", i);
        rig_say(&g, text);
        tug_redis_reply *reply = NULL;
        int64_t got = 0;
        assert_ok(tug_redis_reply_take(f[i], &reply));
        assert_ok(tug_redis_reply_integer(reply, &got));
        assert_int_equal(got, i);
        tug_redis_reply_unref(reply);
        tug_future_unref(f[i]);
    }
    rig_close(&g);
}

/* Those that have waited for the login are cancelled like any other afterwards. */
TASK_TEST(cancelled_after_it_had_waited_for_the_login)
{
    rig g = rig_open("redis://h", NULL);
    tug_future *early = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_future *f[2];
    f[0] = tug_redis_call_start(g.redis, TUG_ARGS("B"));
    f[1] = tug_redis_call_start(g.redis, TUG_ARGS("C"));
    tug_future_drop(early);
    rig_expect(&g, PING);
    rig_say(&g, "+PONG\r\n");
    rig_expect(&g, "*1\r\n$1\r\nB\r\n*1\r\n$1\r\nC\r\n");
    tug_future_cancel(f[0]);
    assert_int_equal(tug_future_error(f[0])->sent, TUG_IN_FLIGHT);
    rig_say(&g, ":1\r\n");
    assert_false(tug_future_is_settled(f[1]));
    rig_say(&g, ":2\r\n");
    assert_ok(tug_await(f[1]));
    tug_future_drop_all(f, 2);
    rig_close(&g);
}

static int get_long_key(void *arg)
{
    asker *a = arg;
    static char key[3000];
    memset(key, 'k', sizeof key - 1);
    a->rc = TUG_WITHIN(TUG_MS(5), tug_redis_call(a->redis, TUG_ARGS("GET", key), NULL));
    return 0;
}

/* A large command that waits for room in vain leaves, and the small one behind it fits. */
TASK_TEST(who_stood_behind_a_cancelled_one_goes_on)
{
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_unsent = 4096;
    rig g = rig_open("redis://h", &o);
    static char value[2000];
    tug_group group;
    asker large = {.redis = g.redis, .rc = 1};
    caller small;
    tug_future *first = tug_redis_call_start(g.redis,
                                             TUG_ARGS("SET", "k", tug_bytes(value, sizeof value)));
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&group, get_long_key, &large));
    caller_start(&group, &g, &small, "GET", "k");
    rig_expect(&g, PING);
    assert_int_equal(g.redis->queue.tail - g.redis->queue.head, 1);
    assert_ok(tug_sleep(TUG_MS(10)));
    assert_int_equal(large.rc, TUG_ETIMEDOUT);
    assert_int_equal(g.redis->queue.tail - g.redis->queue.head, 2);
    rig_say(&g, "+PONG\r\n");
    rig_drain(&g);
    rig_say(&g, "+OK\r\n$1\r\nv\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(small.rc, 0);
    tug_future_unref(first);
    rig_close(&g);
}

TASK_TEST(close_while_it_connects)
{
    rig g = rig_open("redis://h", NULL); /* the service task has not run */
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_redis_close(g.redis);
    g.redis = NULL;
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug_future_unref(f);
    rig_close(&g);
    g = rig_open("redis://h", NULL); /* it waits for PONG */
    tug_group group;
    asker a = {.redis = g.redis, .rc = 1};
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&group, ask_ready, &a));
    rig_expect(&g, PING);
    tug_redis_close(g.redis);
    g.redis = NULL;
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(a.rc, TUG_ECLOSED);
    rig_close(&g);
}

TASK_TEST(a_forgotten_handle_that_connects)
{
    static rig g; /* the end of the loop closes it */
    g = rig_open("redis://h", NULL);
    close(g.peer);
}

/* --- URLs --------------------------------------------------------------------------------------- */

static void config_wrong(const char *url, const char *says)
{
    tug_redis *r = NULL;
    assert_rc(tug_redis_open(url, NULL, &r), TUG_EINVAL);
    assert_detail_has(says);
    assert_null(strstr(tug_last_error()->text, "hunter"));
    assert_null(r);
}

TASK_TEST(wrong_urls)
{
    config_wrong(NULL, "NULL");
    config_wrong("localhost", "position");
    config_wrong("http://host", "unknown scheme http://");
    config_wrong("rediss://:hunter2@host", "TLS, which this version does not have");
    config_wrong("redis://host/x", "number of a database");
    config_wrong("redis://:hunter2@host/hunter", "number of a database");
    config_wrong("redis://host/-1", "database");
    config_wrong("redis://host/99999999999", "database");
    config_wrong("redis://host?db=1", "unknown parameter db");
    config_wrong("redis://host?connect_timeout=0", "connect_timeout: seconds from 0.001 to 86400");
    config_wrong("redis://user@host", "password");
    config_wrong("unix://", "path of a socket");
    config_wrong("unix:///", "path of a socket");
    config_wrong("unix://host/path", "three slashes");
    config_wrong("redis+unix:///x?db=y", "db");
}

TASK_TEST(url_forms)
{
    static const struct {
        const char *url, *host;
        unsigned port, database;
    } cases[] = {
        {"redis://", "127.0.0.1", 6379, 0},
        {"redis://host", "host", 6379, 0},
        {"REDIS://host:1/15", "host", 1, 15},
        {"valkey://[::1]:2/", "::1", 2, 0},
        {"redis://%2Frun%2Fr.sock/4", "/run/r.sock", 6379, 4},
        {"unix:///run/r.sock?db=4", "/run/r.sock", 0, 4},
        {"redis+unix:///run/r.sock", "/run/r.sock", 0, 0},
        {"redis-socket:///run/r.sock", "/run/r.sock", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        redis_config c;
        assert_ok(tug__redis_config_read(cases[i].url, NULL, &c));
        assert_string_equal(c.host, cases[i].host);
        assert_int_equal(c.port, cases[i].port);
        assert_int_equal(c.database, cases[i].database);
        assert_true(c.options.connect_timeout == TUG_SECONDS(10));
        tug__redis_config_free(&c);
    }
    redis_config c;
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.connect_timeout = TUG_SECONDS(3);
    assert_ok(tug__redis_config_read("redis://", &o, &c));
    assert_true(c.options.connect_timeout == TUG_SECONDS(3));
    tug__redis_config_free(&c);
    assert_ok(tug__redis_config_read("redis://?connect_timeout=0.5", &o, &c));
    assert_true(c.options.connect_timeout == TUG_MS(500));
    tug__redis_config_free(&c);
}

/* --- dialling ----------------------------------------------------------------------------------- */

LIVE_TEST(over_a_unix_socket)
{
    char url[200];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/%s.sock",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", test_name());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(at.sun_path); /* of a process that had our number and was cut off */
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    snprintf(url, sizeof url, "unix://%s", at.sun_path);
    rig g = {.peer = -1};
    assert_ok(tug_redis_open(url, NULL, &g.redis));
    int ready = TUG_WITHIN(TUG_SECONDS(5), tug_fd_wait(listener, TUG_READ));
    assert_in_range(ready, 1, 3);
    g.peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(g.peer >= 0);
    rig_expect(&g, PING);
    rig_say(&g, "+PONG\r\n");
    assert_ok(tug_redis_ready(g.redis));
    rig_close(&g);
    close(listener);
    unlink(at.sun_path);
}

LIVE_TEST(nobody_listens)
{
    tug_redis *r = NULL;
    assert_ok(tug_redis_open("unix:///nonexistent/tug.sock", NULL, &r));
    assert_rc(tug_redis_ready(r), TUG_ECONNECT);
    assert_detail_has("/nonexistent/tug.sock");
    tug_redis_close(r);
}
