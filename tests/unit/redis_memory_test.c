/* Every allocation fails once: the test stands before the real functions (linker option --wrap). Nothing may
 * crash, leak or hang: a command ends with TUG_ENOMEM, or with TUG_ECLOSED where the connection had to
 * be given up. */
#include "redis_rig.h"

#include <stdlib.h>
#include <tug/sys/alloc.h>

void *__real_tug_alloc(size_t size);
void *__real_tug_calloc(size_t n, size_t size);
void *__real_tug_realloc(void *p, size_t size);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
void *__wrap_tug_realloc(void *p, size_t size);

static long until_failure = -1; /* allocations; negative: none fails */
static bool has_failed;

static bool fails(void)
{
    if (until_failure < 0 || until_failure-- > 0) {
        return false;
    }
    has_failed = true;
    return true;
}

void *__wrap_tug_alloc(size_t size)
{
    return fails() ? NULL : __real_tug_alloc(size);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_tug_calloc(n, size);
}

void *__wrap_tug_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_tug_realloc(p, size);
}

static void settled_well(tug_future *f)
{
    assert_true(tug_future_is_settled(f));
    int rc = tug_future_error(f)->code;
    if (rc != 0 && rc != TUG_ENOMEM && rc != TUG_ECLOSED && rc != TUG_ESERVER) {
        fail_msg("%s: %s", tug_error_name(rc), tug_future_error(f)->text);
    }
    tug_future_unref(f);
}

/* Commands of all kinds and replies of all kinds; the n-th allocation in it fails. False: there is no n-th. */
static bool traffic(const char *url, long n)
{
    enum {
        N = 70 /* more than the queue's first ring */
    };
    rig g = rig_open(url, NULL);
    char *text = malloc(300000), *reply = malloc(400000);
    tug_future *f[N];
    has_failed = false;
    until_failure = n;
    memset(text, 'x', 300000);
    f[0] = tug_redis_call_start(g.redis, TUG_ARGS("SET", "k", tug_bytes(text, 20000)));
    for (int i = 1; i < N; i++) {
        f[i] = tug_redis_call_start(g.redis, TUG_ARGS("X", i, "y"));
    }
    rig_drain(&g);
    if (g.redis->state == REDIS_LOGIN) {
        rig_say(&g, "+PONG\r\n");
        rig_drain(&g);
    }
    int size = sprintf(
        reply,
        "+OK\r\n-ERR x\r\n$200\r\n%.200s\r\n*3\r\n:1\r\n$5\r\nhello\r\n*2\r\n+a\r\n$-1\r\n$300000\r\n",
        text);
    memcpy(reply + size, text, 300000);
    size += 300000;
    size += sprintf(reply + size, "\r\n-ERR cut");
    for (int at = 0, part; at < size && tug_redis_ready(g.redis) == 0; at += part) {
        part = size - at < 30000 ? size - at : 30000;
        assert_int_equal(write(g.peer, reply + at, (size_t)part), part);
        tug_test_settle();
    }
    if (tug_redis_ready(g.redis) == 0) {
        rig_say(&g, " in two\r\n");
    }
    tug_redis_close(g.redis);
    until_failure = -1;
    g.redis = NULL;
    for (int i = 0; i < N; i++) {
        settled_well(f[i]);
    }
    rig_close(&g);
    free(text);
    free(reply);
    return has_failed;
}

TASK_TEST(every_allocation_of_traffic_fails_once)
{
    long n = 0;
    while (traffic(NULL, n)) {
        n++;
    }
    assert_in_range(n, 20, 10000);
}

TASK_TEST(every_allocation_of_a_login_fails_once)
{
    long n = 0;
    while (traffic("redis://h", n)) {
        n++;
    }
    assert_in_range(n, 20, 10000);
}

TASK_TEST(every_allocation_of_opening_fails_once)
{
    long n = 0;
    for (bool failed = true; failed; n++) {
        tug_redis *r = NULL;
        has_failed = false;
        until_failure = n;
        int rc = tug_redis_open("redis://user:hunter2@[::1]:1/3?connect_timeout=1", NULL, &r);
        until_failure = -1;
        failed = has_failed;
        if (failed) {
            assert_int_equal(rc, TUG_ENOMEM);
            assert_null(r);
        } else {
            assert_int_equal(rc, 0);
        }
        tug_redis_close(r);
        tug_test_settle();
    }
    assert_in_range(n, 5, 100);
}

TASK_TEST(every_allocation_of_attaching_fails_once)
{
    long n = 0;
    for (bool failed = true; failed; n++) {
        int fds[2];
        tug_redis *r = NULL;
        tug_transport *t = NULL;
        assert_ok(tug_test_socketpair(fds));
        assert_ok(tug_transport_from_fd(fds[0], &t));
        has_failed = false;
        until_failure = n;
        int rc = tug__redis_attach(t, "redis://h", NULL, &r);
        until_failure = -1;
        failed = has_failed;
        assert_int_equal(rc, failed ? TUG_ENOMEM : 0);
        tug_redis_close(r);
        close(fds[1]);
        tug_test_settle();
    }
    assert_in_range(n, 3, 100);
}

TASK_TEST(scanning_without_memory)
{
    rig g = rig_open(NULL, NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("X"));
    tug_redis_reply *reply = NULL;
    tug_buffer *a = NULL, *b = NULL;
    rig_drain(&g);
    rig_say(&g, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_ok(tug_redis_reply_take(f, &reply));
    tug_future_unref(f);
    until_failure = 1;
    assert_rc(tug_redis_reply_scan(reply, TUG_OUT(&a, &b)), TUG_ENOMEM);
    until_failure = -1;
    assert_null(a); /* the first was made and given back */
    tug_redis_reply_unref(reply);
    rig_close(&g);
}
