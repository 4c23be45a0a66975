#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/error.h>
#include <tug/group.h>
#include <tug/redis.h>
#include <tug/scope.h>
#include <unistd.h>

#include "test.h"

static tug_redis *opened(void)
{
    tug_redis *r = NULL;
    assert_ok(tug_redis_open(test_url("TUG_REDIS_URL"), NULL, &r));
    assert_ok(tug_redis_ready(r));
    return r;
}

static void delete_key(tug_redis *r, const char *key)
{
    assert_ok(tug_redis_call(r, TUG_ARGS("DEL", key), NULL));
}

/* The server's URL with another part between "://" and '@' (userinfo) or behind it (where). NULL: as it is. */
static const char *changed_url(const char *userinfo, const char *where)
{
    static char url[512];
    const char *real = test_url("TUG_REDIS_URL");
    const char *from = strstr(real, "://"), *at = strrchr(real, '@');
    assert_non_null(from);
    assert_non_null(at);
    from += 3;
    snprintf(url, sizeof url, "redis://%.*s@%s",
             userinfo != NULL ? (int)strlen(userinfo) : (int)(at - from),
             userinfo != NULL ? userinfo : from, where != NULL ? where : at + 1);
    return url;
}

static void cannot_open(const char *url, int code, const char *says)
{
    tug_redis *r = NULL;
    assert_ok(tug_redis_open(url, NULL, &r));
    assert_rc(tug_redis_ready(r), code);
    assert_detail_has(says);
    assert_rc(tug_redis_call(r, TUG_ARGS("PING"), NULL), code);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_null(strstr(tug_last_error()->text, "hunter2"));
    tug_redis_close(r);
}

LIVE_TEST(set_and_get)
{
    tug_redis *r = opened();
    const char *key = test_name();
    char value[32] = "";
    tug_redis_reply *reply = NULL;
    assert_ok(tug_redis_call(r, TUG_ARGS("SET", key, "hello", "EX", 60), &reply));
    assert_int_equal(tug_redis_reply_type(reply), TUG_REDIS_STATUS);
    assert_string_equal(tug_redis_reply_text(reply), "OK");
    tug_redis_reply_unref(reply);
    assert_ok(tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(TUG_COPY(value))));
    assert_string_equal(value, "hello");
    delete_key(r, key);
    assert_rc(tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(TUG_COPY(value))), TUG_ENOTFOUND);
    tug_redis_close(r);
}

LIVE_TEST(commands_before_the_login_wait)
{
    tug_redis *r = NULL;
    char value[8];
    assert_ok(tug_redis_open(test_url("TUG_REDIS_URL"), NULL, &r));
    assert_ok(tug_redis_call_one(r, TUG_ARGS("ECHO", "early"), TUG_OUT(TUG_COPY(value))));
    assert_string_equal(value, "early");
    tug_redis_close(r);
}

LIVE_TEST(numbers_there_and_back)
{
    tug_redis *r = opened();
    const char *key = test_name();
    static const double doubles[] = {0.1, 1.0 / 3, -1e-300, 123456789.125};
    int64_t n = 0;
    double d = 0;
    assert_ok(tug_redis_call(r, TUG_ARGS("SET", key, INT64_MIN), NULL));
    assert_ok(tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(&n)));
    assert_true(n == INT64_MIN);
    assert_ok(tug_redis_call_one(r, TUG_ARGS("INCRBY", key, 7), TUG_OUT(&n)));
    assert_true(n == INT64_MIN + 7);
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        assert_ok(tug_redis_call(r, TUG_ARGS("SET", key, doubles[i]), NULL));
        assert_ok(tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(&d)));
        assert_true(d == doubles[i]);
    }
    delete_key(r, key);
    tug_redis_close(r);
}

LIVE_TEST(binary_safe)
{
    tug_redis *r = opened();
    const char *key = test_name();
    unsigned char all[256];
    tug_buffer *back = NULL;
    for (int i = 0; i < 256; i++) {
        all[i] = (unsigned char)i;
    }
    assert_ok(tug_redis_call(r, TUG_ARGS("SET", key, tug_bytes(all, sizeof all)), NULL));
    assert_ok(tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(&back)));
    assert_int_equal(tug_buffer_bytes(back).size, sizeof all);
    assert_memory_equal(tug_buffer_bytes(back).data, all, sizeof all);
    tug_buffer_unref(back);
    delete_key(r, key);
    tug_redis_close(r);
}

LIVE_TEST(five_megabytes)
{
    enum {
        SIZE = 5 << 20
    };
    tug_redis *r = opened();
    const char *key = test_name();
    char *value = malloc(SIZE);
    tug_redis_reply *reply = NULL;
    for (size_t i = 0; i < SIZE; i++) {
        value[i] = (char)(i * 2654435761u >> 13);
    }
    assert_ok(tug_redis_call(r, TUG_ARGS("SET", key, tug_bytes(value, SIZE)), NULL));
    assert_ok(tug_redis_call(r, TUG_ARGS("GET", key), &reply));
    assert_int_equal(tug_redis_reply_bytes(reply).size, SIZE);
    assert_memory_equal(tug_redis_reply_bytes(reply).data, value, SIZE);
    tug_redis_reply_unref(reply);
    assert_ok(tug_redis_call(r, TUG_ARGS("MGET", key, "tug_no_such_key", key), &reply));
    assert_int_equal(tug_redis_reply_count(reply), 3);
    assert_memory_equal(tug_redis_reply_bytes(tug_redis_reply_at(reply, 2)).data, value, SIZE);
    assert_true(tug_redis_reply_is_null(tug_redis_reply_at(reply, 1)));
    tug_redis_reply_unref(reply);
    free(value);
    delete_key(r, key);
    tug_redis_close(r);
}

LIVE_TEST(nested_arrays_and_errors_inside)
{
    tug_redis *r = opened();
    tug_redis_reply *reply = NULL;
    int a = 0, b = 0;
    assert_ok(tug_redis_call(
        r, TUG_ARGS("EVAL", "return {1, {2, {3, 'x'}}, redis.error_reply('ODD thing'), false}", 0),
        &reply));
    assert_int_equal(tug_redis_reply_count(reply), 4);
    const tug_redis_reply *inner = tug_redis_reply_at(tug_redis_reply_at(reply, 1), 1);
    assert_string_equal(tug_redis_reply_text(tug_redis_reply_at(inner, 1)), "x");
    assert_true(tug_redis_reply_is_error(tug_redis_reply_at(reply, 2)));
    assert_true(tug_redis_reply_is_null(tug_redis_reply_at(reply, 3)));
    tug_redis_reply_unref(reply);
    assert_ok(tug_redis_call_one(r, TUG_ARGS("EVAL", "return {5, 6}", 0), TUG_OUT(&a, &b)));
    assert_int_equal(a * 10 + b, 56);
    tug_redis_close(r);
}

LIVE_TEST(a_hundred_thousand_elements)
{
    tug_redis *r = opened();
    tug_redis_reply *reply = NULL;
    int64_t last = 0;
    assert_ok(tug_redis_call(
        r, TUG_ARGS("EVAL", "local t = {} for i = 1, 100000 do t[i] = i end return t", 0), &reply));
    assert_int_equal(tug_redis_reply_count(reply), 100000);
    assert_ok(tug_redis_reply_integer(tug_redis_reply_at(reply, 99999), &last));
    assert_int_equal(last, 100000);
    tug_redis_reply_unref(reply);
    tug_redis_close(r);
}

LIVE_TEST(wrong_type_leaves_the_connection_usable)
{
    tug_redis *r = opened();
    const char *key = test_name();
    assert_ok(tug_redis_call(r, TUG_ARGS("RPUSH", key, "a"), NULL));
    assert_rc(tug_redis_call(r, TUG_ARGS("GET", key), NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "WRONGTYPE");
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    assert_false(tug_last_error()->transient);
    assert_rc(tug_redis_call(r, TUG_ARGS("NOSUCHCOMMAND"), NULL), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "ERR");
    delete_key(r, key);
    tug_redis_close(r);
}

LIVE_TEST(the_database_of_the_url)
{
    char where[256];
    const char *real = strrchr(test_url("TUG_REDIS_URL"), '@') + 1;
    snprintf(where, sizeof where, "%.*s/5", (int)strcspn(real, "/?"), real);
    tug_redis *r = NULL;
    char info[512];
    assert_ok(tug_redis_open(changed_url(NULL, where), NULL, &r));
    assert_ok(tug_redis_call_one(r, TUG_ARGS("CLIENT", "INFO"), TUG_OUT(TUG_COPY(info))));
    assert_non_null(strstr(info, " db=5 "));
    tug_redis_close(r);
    snprintf(where, sizeof where, "%.*s/999999", (int)strcspn(real, "/?"), real);
    cannot_open(changed_url(NULL, where), TUG_ESERVER, "database 999999");
}

/* --- bad input ---------------------------------------------------------------------------------- */

LIVE_TEST(wrong_password)
{
    cannot_open(changed_url(":hunter2", NULL), TUG_EAUTH, "WRONGPASS");
    cannot_open(changed_url("nobody:hunter2", NULL), TUG_EAUTH, "WRONGPASS");
    cannot_open(changed_url("", NULL), TUG_EAUTH, "NOAUTH");
}

LIVE_TEST(unknown_host)
{
    cannot_open("redis://:hunter2@no-such-host.invalid", TUG_ECONNECT, "no-such-host.invalid");
}

/* A port that nobody listens on: bound and not listened to. */
LIVE_TEST(refused_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char url[64], says[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(url, sizeof url, "redis://:hunter2@127.0.0.1:%u", ntohs(at.sin_port));
    snprintf(says, sizeof says, "127.0.0.1:%u", ntohs(at.sin_port));
    cannot_open(url, TUG_ECONNECT, says);
    close(fd);
}

/* Something listens and never says a word: connect_timeout ends it. */
LIVE_TEST(a_silent_server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char url[96];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(url, sizeof url, "redis://:hunter2@127.0.0.1:%u?connect_timeout=0.05",
             ntohs(at.sin_port));
    cannot_open(url, TUG_ECONNECT, "within 0.05 s");
    close(fd);
}

/* --- many tasks --------------------------------------------------------------------------------- */

typedef struct crowd {
    tug_redis *redis;
    const char *prefix;
    int next, most;
    int done;
} crowd;

static int set_get(void *arg)
{
    crowd *c = arg;
    int rc = 0;
    while (rc == 0 && c->next < c->most) {
        char key[64];
        int i = c->next++, back = -1;
        snprintf(key, sizeof key, "%s:%d", c->prefix, i);
        rc = tug_redis_call(c->redis, TUG_ARGS("SET", key, i, "EX", 60), NULL);
        if (rc == 0) {
            rc = tug_redis_call_one(c->redis, TUG_ARGS("GET", key), TUG_OUT(&back));
        }
        if (rc == 0 && back != i) {
            rc = tug_fail(TUG_EUSER, "key %d has %d", i, back);
        }
        c->done += rc == 0;
    }
    return rc;
}

LIVE_TEST(ten_thousand_round_trips_of_128_tasks)
{
    crowd c = {.redis = opened(), .prefix = test_name(), .most = 10000};
    tug_group group;
    tug_group_enter(&group, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 128; i++) {
        assert_ok(tug_group_spawn(&group, set_get, &c));
    }
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(c.done, 10000);
    tug_redis_close(c.redis);
}

/* Echoes its own number under deadlines that are often too short: whatever comes back is its own. */
static int hammer(void *arg)
{
    crowd *c = arg;
    while (c->next < c->most) {
        int i = c->next++, back = -1;
        int rc = TUG_WITHIN(TUG_US(i % 7 * 40),
                            tug_redis_call_one(c->redis, TUG_ARGS("ECHO", i), TUG_OUT(&back)));
        if (rc == 0 && back != i) {
            return tug_fail(TUG_EUSER, "asked for %d, got %d", i, back);
        }
        if (rc < 0 && rc != TUG_ETIMEDOUT) {
            return rc;
        }
        c->done += rc == 0;
    }
    return 0;
}

LIVE_TEST(cancel_hammer)
{
    crowd c = {.redis = opened(), .most = 20000};
    tug_group group;
    tug_group_enter(&group, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 128; i++) {
        assert_ok(tug_group_spawn(&group, hammer, &c));
    }
    assert_ok(tug_group_leave(&group, 0));
    int last = 0;
    assert_ok(tug_redis_call_one(c.redis, TUG_ARGS("ECHO", 4711), TUG_OUT(&last)));
    assert_int_equal(last, 4711);
    assert_in_range(c.done, 0, c.most - c.most / 7); /* a seventh has no time at all */
    tug_redis_close(c.redis);
}

/* --- the end ------------------------------------------------------------------------------------ */

LIVE_TEST(killed_by_the_server)
{
    tug_redis *r = opened(), *other = opened();
    int64_t id = 0, killed = 0;
    tug_redis_reply *reply = NULL;
    assert_ok(tug_redis_call_one(r, TUG_ARGS("CLIENT", "ID"), TUG_OUT(&id)));
    assert_ok(tug_redis_call_one(other, TUG_ARGS("CLIENT", "PAUSE", 30000, "WRITE"),
                                 TUG_OUT(TUG_COPY((char[8]){""}))));
    tug_future *f = tug_redis_call_start(
        r, TUG_ARGS("DEL", test_name())); /* is held back by the pause */
    assert_ok(tug_sleep(TUG_MS(10)));
    assert_ok(tug_redis_call_one(other, TUG_ARGS("CLIENT", "KILL", "ID", id), TUG_OUT(&killed)));
    assert_int_equal(killed, 1);
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_detail_has("connection");
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_unref(f);
    assert_rc(tug_redis_call(r, TUG_ARGS("PING"), &reply), TUG_ECLOSED);
    assert_detail_has("connection");
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_rc(tug_redis_ready(r), TUG_ECLOSED);
    assert_ok(tug_redis_call(other, TUG_ARGS("CLIENT", "UNPAUSE"), NULL));
    tug_redis_close(r);
    tug_redis_close(other);
}

LIVE_TEST(close_in_the_middle_of_traffic)
{
    tug_redis *r = opened();
    tug_future *f[200];
    for (int i = 0; i < 200; i++) {
        f[i] = tug_redis_call_start(r, TUG_ARGS("ECHO", i));
    }
    assert_ok(tug_await(f[0]));
    tug_redis_close(r);
    for (int i = 0; i < 200; i++) {
        int rc = tug_await(f[i]);
        assert_true(rc == 0 || rc == TUG_ECLOSED);
        tug_future_unref(f[i]);
    }
}
