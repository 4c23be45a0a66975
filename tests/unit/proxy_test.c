/* The fault proxy of the tests does what it is told, exactly: or its verdicts would be worth nothing. */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/scope.h>

#include "test.h"

/* Says back whatever comes. */
struct echo {
    tug_listener *listener;
    int read_most; /* bytes of the largest read */
};

static int echo_run(void *arg)
{
    struct echo *e = arg;
    tug_stream *s = NULL;
    while (tug_listener_next(e->listener, &s) > 0) {
        char data[64];
        int n = 0;
        while ((n = tug_stream_read(s, data, sizeof data)) > 0) {
            e->read_most = n > e->read_most ? n : e->read_most;
            TUG_IGNORE(tug_stream_write(s, (struct tug_bytes){data, (size_t)n}));
        }
        tug_stream_close(s);
    }
    tug_listener_stop(e->listener); /* nobody is left in its backlog */
    return 0;
}

struct rig {
    tug_group group;
    struct echo echo;
    proxy *proxy;
    char address[40];
};

static void rig_start(struct rig *r)
{
    *r = (struct rig){.proxy = NULL};
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &r->echo.listener));
    r->proxy = proxy_start(tug_listener_address(r->echo.listener));
    snprintf(r->address, sizeof r->address, "tcp://127.0.0.1:%d", proxy_port(r->proxy));
}

static tug_stream *rig_connect(struct rig *r)
{
    tug_stream *s = NULL;
    assert_ok(tug_stream_connect(r->address, &s));
    return s;
}

static void say(tug_stream *s, const char *text)
{
    assert_ok(tug_stream_write(s, (struct tug_bytes){text, strlen(text)}));
    assert_ok(tug_stream_flush(s));
}

static void hear(tug_stream *s, const char *text)
{
    char data[64] = "";
    assert_ok(tug_stream_read_exact(s, data, strlen(text)));
    assert_string_equal(data, text);
}

static proxy_link *last(struct rig *r)
{
    proxy_link *l = proxy_link_last(r->proxy);
    assert_non_null(l);
    return l;
}

/* The body stands in the function that entered the group. */
#define WITH_RIG(r)                                                                                \
    struct rig r;                                                                                  \
    rig_start(&r);                                                                                 \
    tug_group_enter(&r.group, TUG_FOREVER, TUG_FAIL_FAST);                                         \
    assert_ok(tug_group_spawn(&r.group, echo_run, &r.echo))
#define END_RIG(r)                                                                                 \
    proxy_stop(r.proxy);                                                                           \
    tug_group_cancel(&r.group);                                                                    \
    assert_ok(tug_group_leave(&r.group, 0));                                                       \
    tug_listener_close(r.echo.listener)

LIVE_TEST(bytes_go_through_and_are_counted)
{
    WITH_RIG(r);
    tug_stream *s = rig_connect(&r);
    say(s, "hello");
    hear(s, "hello");
    proxy_link *l = last(&r);
    assert_int_equal(proxy_link_bytes(l, PROXY_UP), 5);
    assert_int_equal(proxy_link_bytes(l, PROXY_DOWN), 5);
    assert_int_equal(proxy_accepted(r.proxy), 1);
    assert_int_equal(proxy_open(r.proxy), 1);
    assert_ok(tug_stream_finish(s)); /* an end goes through as an end */
    tug_stream_close(s);
    tug_test_settle();
    assert_int_equal(proxy_open(r.proxy), 0);
    assert_null(proxy_link_last(r.proxy));
    assert_ptr_equal(proxy_link_at(r.proxy, 0), l);
    assert_null(proxy_link_at(r.proxy, 1));
    END_RIG(r);
}

LIVE_TEST(pieces_are_reads_of_their_own)
{
    WITH_RIG(r);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_UP].piece = 3;
    proxy_set(r.proxy, &rules);
    tug_stream *s = rig_connect(&r);
    say(s, "a text of some length");
    hear(s, "a text of some length");
    assert_int_equal(r.echo.read_most, 3);
    tug_stream_close(s);
    END_RIG(r);
}

LIVE_TEST(a_cut_comes_after_exactly_so_many_bytes)
{
    WITH_RIG(r);
    for (uint64_t n = 0; n < 10; n++) {
        for (int way = PROXY_UP; way <= PROXY_DOWN; way++) {
            proxy_rules rules = PROXY_RULES_INIT;
            rules.way[way].cut_after = n;
            proxy_set(r.proxy, &rules);
            tug_stream *s = rig_connect(&r);
            say(s, "0123456789");
            char data[20];
            uint64_t heard = 0;
            int rc = 0;
            while ((rc = tug_stream_read(s, data, sizeof data)) > 0) {
                heard += (uint64_t)rc;
            }
            assert_true(rc == 0 || rc == -ECONNRESET);
            proxy_link *l = proxy_link_at(r.proxy, n * 2 + (uint64_t)way);
            assert_non_null(l);
            assert_int_equal(proxy_link_bytes(l, way), n);
            assert_true(heard <= n && (way == PROXY_UP || heard == n));
            assert_false(proxy_link_is_open(l));
            tug_stream_close(s);
        }
    }
    END_RIG(r);
}

LIVE_TEST(what_is_stalled_comes_later)
{
    WITH_RIG(r);
    tug_stream *s = rig_connect(&r);
    say(s, "a");
    hear(s, "a");
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_DOWN].stall = true;
    proxy_set_all(r.proxy, &rules);
    say(s, "b");
    char c;
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_stream_read_exact(s, &c, 1)), TUG_ETIMEDOUT);
    assert_int_equal(proxy_link_bytes(last(&r), PROXY_UP), 2);
    proxy_set_all(r.proxy, NULL);
    hear(s, "b");
    proxy_link_cut(last(&r));
    assert_true(tug_stream_read(s, &c, 1) <= 0);
    tug_stream_close(s);
    END_RIG(r);
}

LIVE_TEST(latency_is_kept)
{
    WITH_RIG(r);
    tug_stream *s = rig_connect(&r);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_UP].latency = TUG_MS(30);
    rules.way[PROXY_DOWN].latency = TUG_MS(20);
    say(s, "a");
    hear(s, "a");
    proxy_set_all(r.proxy, &rules);
    tug_time before = tug_now();
    say(s, "b");
    hear(s, "b");
    assert_true(tug_now() - before >= TUG_MS(50));
    tug_stream_close(s);
    END_RIG(r);
}

LIVE_TEST(refused_hung_up_and_taken_again)
{
    WITH_RIG(r);
    tug_stream *s = NULL;
    proxy_refuse(r.proxy, true);
    tug_test_settle();
    assert_rc(tug_stream_connect(r.address, &s), TUG_ECONNECT);
    assert_int_equal(proxy_accepted(r.proxy), 0);
    proxy_refuse(r.proxy, false);
    proxy_hang_up(r.proxy, true);
    s = rig_connect(&r);
    char c;
    assert_true(tug_stream_read(s, &c, 1) <= 0);
    tug_stream_close(s);
    assert_int_equal(proxy_accepted(r.proxy), 1);
    assert_null(proxy_link_last(r.proxy));
    proxy_hang_up(r.proxy, false);
    s = rig_connect(&r);
    say(s, "x");
    hear(s, "x");
    assert_int_equal(proxy_accepted(r.proxy), 2);
    proxy_cut_all(r.proxy);
    assert_true(tug_stream_read(s, &c, 1) <= 0);
    tug_stream_close(s);
    END_RIG(r);
}
