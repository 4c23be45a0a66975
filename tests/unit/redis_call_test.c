#include "redis_rig.h"

#include <stdlib.h>
#include <tug/sys/alloc.h>

#define GET_K "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"

TASK_TEST(call_one_gives_the_value)
{
    rig g = rig_open(NULL, NULL);
    tug_group group;
    caller c;
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c, "GET", "k");
    rig_expect(&g, GET_K);
    assert_false(c.is_done);
    rig_say(&g, "$5\r\nhello\r\n");
    assert_true(c.is_done);
    assert_int_equal(c.rc, 0);
    assert_string_equal(c.text, "hello");
    assert_ok(tug_group_leave(&group, 0));
    rig_close(&g);
}

TASK_TEST(call_gives_the_reply)
{
    rig g = rig_open(NULL, NULL);
    tug_redis_reply *reply = NULL;
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("LRANGE", "l", 0, -1));
    rig_expect(&g, "*4\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n$1\r\n0\r\n$2\r\n-1\r\n");
    rig_say(&g, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_ok(tug_await(f));
    assert_ok(tug_redis_reply_take(f, &reply));
    assert_int_equal(tug_redis_reply_count(reply), 2);
    assert_rc(tug_redis_reply_take(f, &reply), TUG_EMISUSE);
    tug_future_unref(f);
    tug_redis_close(g.redis); /* the reply outlives it */
    g.redis = NULL;
    assert_string_equal(tug_redis_reply_text(tug_redis_reply_at(reply, 1)), "b");
    tug_redis_reply_unref(reply);
    rig_close(&g);
}

TASK_TEST(a_turn_is_one_write_in_order)
{
    rig g = rig_open(NULL, NULL);
    tug_group group;
    caller c[3];
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c[0], "GET", "a");
    caller_start(&group, &g, &c[1], "GET", "b");
    caller_start(&group, &g, &c[2], "GET", "c");
    rig_expect(
        &g,
        "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*2\r\n$3\r\nGET\r\n$1\r\nc\r\n");
    rig_say(&g, "$1\r\nA\r\n$1\r\n");
    assert_true(c[0].is_done);
    assert_false(c[1].is_done);
    rig_say(&g, "B\r\n$1\r\nC\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_string_equal(c[0].text, "A");
    assert_string_equal(c[1].text, "B");
    assert_string_equal(c[2].text, "C");
    rig_close(&g);
}

TASK_TEST(replies_cut_at_every_byte)
{
    static const char stream[] = "$5\r\nhello\r\n*2\r\n:1\r\n$1\r\nx\r\n-ERR no\r\n+OK\r\n";
    for (size_t cut = 0; cut < sizeof stream - 1; cut++) {
        rig g = rig_open(NULL, NULL);
        tug_future *f[4];
        char part[sizeof stream];
        for (int i = 0; i < 4; i++) {
            f[i] = tug_redis_call_start(g.redis, TUG_ARGS("X"));
        }
        rig_drain(&g);
        memcpy(part, stream, cut);
        part[cut] = 0;
        rig_say(&g, part);
        rig_say(&g, stream + cut);
        assert_ok(tug_await(f[0]));
        assert_ok(tug_await(f[1]));
        assert_rc(tug_await(f[2]), TUG_ESERVER);
        assert_ok(tug_await(f[3]));
        for (int i = 0; i < 4; i++) {
            tug_future_unref(f[i]);
        }
        rig_close(&g);
    }
}

TASK_TEST(a_byte_at_a_time)
{
    static const char stream[] = "$5\r\nhello\r\n*2\r\n:1\r\n$1\r\nx\r\n";
    rig g = rig_open(NULL, NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("X"));
    tug_future *last = tug_redis_call_start(g.redis, TUG_ARGS("Y"));
    rig_drain(&g);
    for (size_t i = 0; i < sizeof stream - 1; i++) {
        assert_false(tug_future_is_settled(last));
        rig_say(&g, (char[]){stream[i], 0});
    }
    assert_ok(tug_await(last));
    tug_future_drop(f);
    tug_future_drop(last);
    rig_close(&g);
}

TASK_TEST(server_errors)
{
    static const struct {
        const char *says, *native;
        int code;
        bool transient;
    } cases[] = {
        {"-WRONGTYPE Operation against a key\r\n", "WRONGTYPE", TUG_ESERVER, false},
        {"-ERR unknown command\r\n", "ERR", TUG_ESERVER, false},
        {"-NOAUTH Authentication required.\r\n", "NOAUTH", TUG_EAUTH, false},
        {"-LOADING Redis is loading\r\n", "LOADING", TUG_ESERVER, true},
        {"-CLUSTERDOWN The cluster is down\r\n", "CLUSTERDOWN", TUG_ESERVER, true},
        {"-TRYAGAIN later\r\n", "TRYAGAIN", TUG_ESERVER, true},
        {"-BUSY a script\r\n", "BUSY", TUG_ESERVER, true},
        {"-BUSYGROUP exists\r\n", "BUSYGROUP", TUG_ESERVER, false},
        {"-odd text\r\n", "", TUG_ESERVER, false},
        {"-\r\n", "", TUG_ESERVER, false},
        {"-ALONE\r\n", "ALONE", TUG_ESERVER, false},
    };
    rig g = rig_open(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("X"));
        rig_drain(&g);
        rig_say(&g, cases[i].says);
        assert_rc(tug_await(f), cases[i].code);
        const tug_error *e = tug_last_error();
        assert_string_equal(e->native, cases[i].native);
        assert_int_equal(e->transient, cases[i].transient);
        assert_int_equal(e->sent, TUG_ANSWERED);
        assert_int_equal(e->origin, TUG_ORIGIN_SERVER);
        tug_future_unref(f);
    }
    rig_close(&g);
}

TASK_TEST(nil_is_not_found)
{
    rig g = rig_open(NULL, NULL);
    tug_group group;
    caller c;
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c, "GET", "k");
    tug_test_settle();
    rig_say(&g, "$-1\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(c.rc, TUG_ENOTFOUND);
    rig_close(&g);
}

TASK_TEST(what_is_refused_never_reaches_the_wire)
{
    rig g = rig_open(NULL, NULL);
    const char *text = NULL;
    struct tug_bytes bytes;
    char array[4];
    assert_rc(tug_redis_call_one(g.redis, TUG_ARGS("GET", "k"), TUG_OUT(&text)), TUG_EMISUSE);
    assert_detail_has("place 1 would borrow");
    assert_rc(tug_redis_call_one(g.redis, TUG_ARGS("GET", "k"), TUG_OUT(TUG_COPY(array), &bytes)),
              TUG_EMISUSE);
    assert_detail_has("place 2");
    assert_rc(tug_redis_call(g.redis, TUG_ARGS("SUBSCRIBE", "c"), NULL), TUG_EMISUSE);
    assert_detail_has("SUBSCRIBE turns the connection");
    assert_rc(tug_redis_call(g.redis, TUG_ARGS("SET", "k", tug_null()), NULL), TUG_EINVAL);
    assert_detail_has("argument 3");
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("MULTI"));
    assert_true(tug_future_is_settled(f));
    assert_int_equal(tug_future_error(f)->code, TUG_EMISUSE);
    tug_future_unref(f);
    assert_rc(tug_redis_reply_take(tug_future_no_memory(), &(tug_redis_reply *){NULL}), TUG_ENOMEM);
    rig_expect(&g, "");
    rig_close(&g);
}

/* --- cancelling --------------------------------------------------------------------------------- */

static int call_for_a_while(void *arg)
{
    caller *c = arg;
    c->rc = TUG_WITHIN(TUG_MS(10), tug_redis_call_one(c->redis, TUG_ARGS(c->command, c->key),
                                                      TUG_OUT(TUG_COPY(c->text))));
    c->error = *tug_last_error();
    c->is_done = true;
    return 0;
}

TASK_TEST(a_late_reply_never_reaches_another)
{
    rig g = rig_open(NULL, NULL);
    tug_group group;
    caller slow = {.redis = g.redis, .command = "GET", .key = "slow"}, next;
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&group, call_for_a_while, &slow));
    rig_expect(&g, "*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n");
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_true(slow.is_done);
    assert_int_equal(slow.rc, TUG_ETIMEDOUT);
    assert_int_equal(slow.error.sent, TUG_IN_FLIGHT);
    caller_start(&group, &g, &next, "GET", "k");
    rig_expect(&g, GET_K);
    rig_say(&g, "$4\r\nlate\r\n");
    assert_false(next.is_done);
    rig_say(&g, "$4\r\nmine\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_string_equal(next.text, "mine");
    rig_close(&g);
}

/* A reply that has begun when its command is cancelled is swallowed to its end: of each kind. */
TASK_TEST(a_reply_that_has_begun_is_swallowed)
{
    static const char *const halves[][2] = {{"$10\r\n01234", "56789\r\n"},
                                            {"+lo", "ng\r\n"},
                                            {"*2\r\n$1\r\na\r\n$3\r\nx", "yz\r\n"},
                                            {"$", "3\r\nabc\r\n"},
                                            {"-ER", "R x\r\n"}};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        rig g = rig_open(NULL, NULL);
        tug_future *a = tug_redis_call_start(g.redis, TUG_ARGS("A"));
        tug_future *b = tug_redis_call_start(g.redis, TUG_ARGS("B"));
        rig_drain(&g);
        rig_say(&g, halves[i][0]);
        tug_future_drop(a);
        rig_say(&g, halves[i][1]);
        assert_false(tug_future_is_settled(b));
        rig_say(&g, ":7\r\n");
        assert_ok(tug_await(b));
        tug_future_unref(b);
        rig_close(&g);
    }
}

TASK_TEST(cancelled_on_entry_sends_nothing)
{
    rig g = rig_open(NULL, NULL);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_redis_call(g.redis, TUG_ARGS("INCR", "n"), NULL), TUG_ECANCELED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    rig_expect(&g, "");
    rig_close(&g);
}

TASK_TEST(somebody_elses_cancel_is_dropped)
{
    rig g = rig_open(NULL, NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("INCR", "n"));
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_detail_has("swallowed");
    tug_future_unref(f);
    rig_drain(&g);
    rig_say(&g, ":1\r\n");
    assert_ok(tug_redis_ready(g.redis));
    rig_close(&g);
}

/* Many tombstones in any order: each reply still finds its own command. */
TASK_TEST(a_hail_of_cancels_keeps_the_order)
{
    enum {
        N = 300
    };
    rig g = rig_open(NULL, NULL);
    tug_future *f[N];
    unsigned seed = 7;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            f[i] = tug_redis_call_start(g.redis, TUG_ARGS("ECHO", i));
        }
        for (int i = 0; i < N; i++) {
            seed = seed * 1103515245 + 12345;
            if (seed >> 16 & 1) {
                tug_future_drop(f[i]);
                f[i] = NULL;
            }
        }
        rig_drain(&g);
        char all[N * 8] = "";
        for (int i = 0, n = 0; i < N; i++) {
            n += sprintf(all + n, ":%d\r\n", i);
        }
        rig_say(&g, all);
        for (int i = 0; i < N; i++) {
            int64_t got = -1;
            tug_redis_reply *reply = NULL;
            if (f[i] != NULL) {
                assert_ok(tug_redis_reply_take(f[i], &reply));
                assert_ok(tug_redis_reply_integer(reply, &got));
                assert_int_equal(got, i);
                tug_redis_reply_unref(reply);
                tug_future_unref(f[i]);
            }
        }
    }
    rig_close(&g);
}

/* --- the end of a connection -------------------------------------------------------------------- */

TASK_TEST(a_lost_connection_ends_the_handle)
{
    rig g = rig_open(NULL, NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("INCR", "n"));
    rig_drain(&g);
    rig_hang_up(&g);
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_detail_has("closed the connection");
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_unref(f);
    assert_rc(tug_redis_call(g.redis, TUG_ARGS("PING"), NULL), TUG_ECLOSED);
    assert_detail_has("closed the connection");
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_rc(tug_redis_ready(g.redis), TUG_ECLOSED);
    f = tug_redis_call_start(g.redis, TUG_ARGS("PING"));
    assert_rc(tug_await(f), TUG_ECLOSED);
    tug_future_unref(f);
    rig_close(&g);
}

/* What the system has not taken was not sent; what it took may have arrived. */
TASK_TEST(sent_tells_the_truth)
{
    enum {
        N = 40,
        SIZE = 100000
    };
    rig g = rig_open(NULL, NULL);
    tug_future *f[N];
    char *value = calloc(1, SIZE);
    for (int i = 0; i < N; i++) {
        f[i] = tug_redis_call_start(g.redis, TUG_ARGS("SET", "k", tug_bytes(value, SIZE)));
    }
    tug_test_settle(); /* the socket's buffer is full, most of the 4 MB are not sent */
    rig_hang_up(&g);
    int in_flight = 0, not_sent = 0;
    for (int i = 0; i < N; i++) {
        assert_rc(tug_await(f[i]), TUG_ECLOSED);
        bool is_in_flight = tug_last_error()->sent == TUG_IN_FLIGHT;
        in_flight += is_in_flight;
        not_sent += !is_in_flight;
        assert_true(!is_in_flight || not_sent == 0); /* in order */
        tug_future_unref(f[i]);
    }
    assert_in_range(in_flight, 1, N - 10);
    assert_in_range(not_sent, 10, N - 1);
    free(value);
    rig_close(&g);
}

TASK_TEST(close_settles_what_waits)
{
    rig g = rig_open(NULL, NULL);
    tug_group group;
    caller c;
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c, "GET", "k");
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("GET", "x"));
    rig_drain(&g);
    tug_redis_close(g.redis);
    g.redis = NULL;
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_detail_has("was closed");
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_unref(f);
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(c.rc, TUG_ECLOSED);
    rig_close(&g);
}

static void close_in_callback(tug_future *f, void *arg)
{
    rig *g = arg;
    assert_int_equal(tug_future_error(f)->code, 0);
    tug_redis_close(g->redis);
    g->redis = NULL;
}

TASK_TEST(close_inside_a_callback)
{
    rig g = rig_open(NULL, NULL);
    tug_future *f = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_future *after = tug_redis_call_start(g.redis, TUG_ARGS("B"));
    tug_future_on_settled(f, close_in_callback, &g);
    rig_drain(&g);
    rig_say(&g, "+OK\r\n$3\r\nab"); /* the second reply is half-way in the reader */
    assert_null(g.redis);
    assert_rc(tug_await(after), TUG_ECLOSED);
    tug_future_unref(after);
    rig_close(&g);
}

TASK_TEST(close_in_a_cancelled_scope_and_of_null)
{
    rig g = rig_open(NULL, NULL);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    tug_redis_close(g.redis);
    g.redis = NULL;
    assert_rc(tug_scope_leave(&s, TUG_ECANCELED), TUG_ECANCELED);
    tug_redis_close(NULL);
    rig_close(&g);
}

TASK_TEST(a_forgotten_handle_is_closed_at_the_end)
{
    static rig g; /* nobody closes it: the end of the loop does */
    g = rig_open(NULL, NULL);
    close(g.peer);
}

TASK_TEST(a_future_may_be_detached)
{
    rig g = rig_open(NULL, NULL);
    tug_future_detach(tug_redis_call_start(g.redis, TUG_ARGS("SET", "k", 1)));
    rig_drain(&g);
    rig_say(&g, "+OK\r\n");
    tug_future_detach(tug_redis_call_start(g.redis, TUG_ARGS("SET", "k", 1)));
    rig_close(&g);
}

/* --- replies that are not what they should be --------------------------------------------------- */

TASK_TEST(a_malformed_reply_fails_only_the_connection)
{
    static const struct {
        const char *says;
        int code;
        const char *detail;
    } cases[] = {
        {"$-5\r\n", TUG_EPROTO, "impossible length"},
        {"HTTP/1.1 400\r\n", TUG_EPROTO, "is this a Redis server"},
        {"*2147483648\r\n", 0, ""},
        {"$536870913\r\n", TUG_ELIMIT, "max_bulk"},
        {"*1048577\r\n", TUG_ELIMIT, "max_elements"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n", TUG_ELIMIT, "max_depth (3)"},
    };
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_depth = 3;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig g = rig_open(NULL, &o), other = rig_open(NULL, &o);
        tug_future *head = tug_redis_call_start(g.redis, TUG_ARGS("A"));
        tug_future *behind = tug_redis_call_start(g.redis, TUG_ARGS("B"));
        tug_future *elsewhere = tug_redis_call_start(other.redis, TUG_ARGS("C"));
        rig_drain(&g);
        rig_drain(&other);
        rig_say(&g, cases[i].says);
        int rc = tug_await(head);
        assert_true(rc == cases[i].code ||
                    (cases[i].code == 0 && (rc == TUG_EPROTO || rc == TUG_ELIMIT)));
        assert_detail_has(cases[i].detail);
        assert_rc(tug_await(behind), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
        assert_detail_has(cases[i].detail);
        assert_rc(tug_redis_call(g.redis, TUG_ARGS("D"), NULL), TUG_ECLOSED);
        rig_say(&other, "+OK\r\n");
        assert_ok(tug_await(elsewhere));
        tug_future_unref(head);
        tug_future_unref(behind);
        tug_future_unref(elsewhere);
        rig_close(&g);
        rig_close(&other);
    }
}

TASK_TEST(a_malformed_reply_to_a_tombstone)
{
    rig g = rig_open(NULL, NULL);
    tug_future *head = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_future *behind = tug_redis_call_start(g.redis, TUG_ARGS("B"));
    tug_future_drop(head);
    rig_drain(&g);
    rig_say(&g, "?");
    assert_rc(tug_await(behind), TUG_ECLOSED);
    tug_future_unref(behind);
    rig_close(&g);
}

TASK_TEST(a_reply_that_nobody_asked_for)
{
    rig g = rig_open(NULL, NULL);
    rig_say(&g, "+OK\r\n");
    assert_rc(tug_redis_ready(g.redis), TUG_ECLOSED);
    assert_detail_has("nobody asked for");
    rig_close(&g);
    g = rig_open(NULL, NULL);
    rig_say(&g, "-ERR idle too long\r\n");
    assert_rc(tug_redis_ready(g.redis), TUG_ECLOSED);
    assert_detail_has("idle too long");
    rig_close(&g);
}

/* --- limits ------------------------------------------------------------------------------------- */

TASK_TEST(start_is_refused_when_the_queue_is_full)
{
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_queued = 2;
    rig g = rig_open(NULL, &o);
    tug_future *a = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_future *b = tug_redis_call_start(g.redis, TUG_ARGS("B"));
    assert_false(tug_future_is_settled(a) || tug_future_is_settled(b));
    tug_future *c = tug_redis_call_start(g.redis, TUG_ARGS("C"));
    assert_rc(tug_await(c), TUG_ELIMIT);
    assert_detail_has("queue");
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_true(tug_last_error()->transient);
    tug_future_unref(c);
    tug_future_drop(a); /* its tombstone still takes a place: its reply is still to come */
    c = tug_redis_call_start(g.redis, TUG_ARGS("C"));
    assert_rc(tug_await(c), TUG_ELIMIT);
    tug_future_unref(c);
    rig_expect(&g, "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
    rig_say(&g, "+a\r\n");
    c = tug_redis_call_start(g.redis, TUG_ARGS("C"));
    assert_false(tug_future_is_settled(c));
    tug_future_drop(b);
    tug_future_drop(c);
    rig_close(&g);
}

TASK_TEST(calls_wait_for_room_in_order)
{
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_queued = 1;
    rig g = rig_open(NULL, &o);
    tug_group group;
    caller c[3];
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c[0], "GET", "a");
    caller_start(&group, &g, &c[1], "GET", "b");
    caller_start(&group, &g, &c[2], "GET", "c");
    rig_expect(&g, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    rig_say(&g, "$1\r\nA\r\n");
    rig_expect(&g, "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
    rig_say(&g, "$1\r\nB\r\n");
    rig_expect(&g, "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n");
    rig_say(&g, "$1\r\nC\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_string_equal(c[2].text, "C");
    rig_close(&g);
}

/* A small command that would fit does not overtake the large one that waits. */
TASK_TEST(nobody_overtakes_who_waits_for_room)
{
    static char value[3000];
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_unsent = 4096;
    rig g = rig_open(NULL, &o);
    tug_group group;
    caller c;
    memset(value, 'k', sizeof value - 1);
    tug_future *first = tug_redis_call_start(g.redis, TUG_ARGS("SET", "k", tug_bytes(value, 2000)));
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    caller_start(&group, &g, &c, "GET", value);
    tug_future *small = NULL;
    /* The task runs in this turn, before anything is sent. */
    assert_ok(tug_yield());
    small = tug_redis_call_start(g.redis, TUG_ARGS("PING"));
    assert_true(tug_future_is_settled(small));
    assert_int_equal(tug_future_error(small)->code, TUG_ELIMIT);
    tug_future_unref(small);
    rig_drain(&g);
    rig_say(&g, "+OK\r\n");
    rig_drain(&g);
    rig_say(&g, "$1\r\nv\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(c.rc, 0);
    tug_future_unref(first);
    rig_close(&g);
}

TASK_TEST(waiting_for_room_is_cancellable)
{
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_queued = 1;
    rig g = rig_open(NULL, &o);
    tug_group group;
    caller waits = {.redis = g.redis, .command = "INCR", .key = "n"}, next;
    tug_future *a = tug_redis_call_start(g.redis, TUG_ARGS("A"));
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    assert_ok(tug_group_spawn(&group, call_for_a_while, &waits));
    caller_start(&group, &g, &next, "GET", "k");
    rig_expect(&g, "*1\r\n$1\r\nA\r\n");
    assert_ok(tug_sleep(TUG_MS(20)));
    assert_int_equal(waits.rc, TUG_ETIMEDOUT);
    assert_int_equal(waits.error.sent, TUG_NOT_SENT);
    rig_say(&g, "+OK\r\n");
    rig_expect(&g, GET_K); /* the cancelled one sent nothing, the next one has its place */
    rig_say(&g, "$1\r\nx\r\n");
    assert_ok(tug_group_leave(&group, 0));
    assert_int_equal(next.rc, 0);
    tug_future_unref(a);
    rig_close(&g);
}

TASK_TEST(closing_wakes_who_waits_for_room)
{
    for (int how = 0; how < 3; how++) {
        tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
        o.max_queued = 1;
        rig g = rig_open(NULL, &o);
        tug_group group;
        caller c[2];
        tug_future *a = tug_redis_call_start(g.redis, TUG_ARGS("A"));
        tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
        caller_start(&group, &g, &c[0], "GET", "a");
        caller_start(&group, &g, &c[1], "GET", "b");
        rig_drain(&g);
        if (how == 0) {
            rig_hang_up(&g);
        } else if (how == 1) {
            tug_redis_close(g.redis);
            g.redis = NULL;
        } else {
            /* Room is promised to the first, and the handle goes before it runs. */
            assert_int_equal(write(g.peer, "+OK\r\n", 5), 5);
            assert_ok(tug_await(a));
            tug_redis_close(g.redis);
            g.redis = NULL;
        }
        assert_ok(tug_group_leave(&group, 0));
        assert_int_equal(c[0].rc, TUG_ECLOSED);
        assert_int_equal(c[0].error.sent, TUG_NOT_SENT);
        assert_int_equal(c[1].rc, TUG_ECLOSED);
        tug_future_drop(a);
        rig_close(&g);
    }
}

static int set_many(void *arg)
{
    caller *c = arg;
    static char value[1000];
    for (int i = 0; i < 20 && c->rc >= 0; i++) {
        c->rc = tug_redis_call(c->redis, TUG_ARGS("SET", "k", tug_bytes(value, sizeof value)),
                               NULL);
    }
    c->is_done = true;
    return 0;
}

TASK_TEST(bytes_that_wait_are_bounded)
{
    enum {
        N = 2000,
        ONE = 1100
    };
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_unsent = 64 << 10;
    rig g = rig_open(NULL, &o);
    static char value[1000], large[70000];
    tug_future *f[N];
    int taken = 0;
    for (; taken < N; taken++) { /* no turn passes: nothing is sent */
        f[taken] = tug_redis_call_start(g.redis,
                                        TUG_ARGS("SET", "k", tug_bytes(value, sizeof value)));
        if (tug_future_is_settled(f[taken])) {
            assert_rc(tug_await(f[taken]), TUG_ELIMIT);
            tug_future_unref(f[taken]);
            break;
        }
    }
    assert_in_range(taken, (64 << 10) / ONE - 5, (64 << 10) / 1000);
    assert_rc(tug_redis_call(g.redis, TUG_ARGS("SET", "k", tug_bytes(large, sizeof large)), NULL),
              TUG_ELIMIT);
    assert_detail_has("over max_unsent (65536)");
    tug_future_drop_all(f, (size_t)taken);
    rig_close(&g);
}

/* A server that takes its time, 30 tasks that write more than may wait: all get through. */
TASK_TEST(calls_wait_for_room_in_bytes)
{
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_unsent = 8 << 10;
    rig g = rig_open(NULL, &o);
    tug_group group;
    static caller c[30];
    size_t sent = 0, answered = 0, one = 1029;
    tug_group_enter(&group, TUG_FOREVER, TUG_KEEP_GOING);
    for (int i = 0; i < 30; i++) {
        c[i] = (caller){.redis = g.redis};
        assert_ok(tug_group_spawn(&group, set_many, &c[i]));
    }
    while (answered < 600) {
        size_t n = rig_drain(&g);
        assert_true(n > 0);
        sent += n;
        for (; answered < sent / one; answered++) {
            assert_int_equal(write(g.peer, "+OK\r\n", 5), 5);
        }
    }
    assert_ok(tug_group_leave(&group, 0));
    for (int i = 0; i < 30; i++) {
        assert_true(c[i].is_done && c[i].rc == 0);
    }
    assert_int_equal(sent, 600 * one);
    rig_close(&g);
}

TASK_TEST(wrong_options)
{
    tug_redis *r = NULL;
    tug_redis_options o = TUG_REDIS_OPTIONS_INIT;
    o.max_queued = 0;
    assert_rc(tug_redis_open("redis://h", &o, &r), TUG_EINVAL);
    assert_detail_has("max_queued: from 1 to");
    o = (tug_redis_options)TUG_REDIS_OPTIONS_INIT;
    o.connect_timeout = -1;
    assert_rc(tug_redis_open("redis://h", &o, &r), TUG_EINVAL);
    o = (tug_redis_options)TUG_REDIS_OPTIONS_INIT;
    o.max_depth = 33;
    assert_rc(tug_redis_open("redis://h", &o, &r), TUG_EINVAL);
    o.size = 3;
    assert_rc(tug_redis_open("redis://h", &o, &r), TUG_EINVAL);
    assert_detail_has("TUG_REDIS_OPTIONS_INIT");
    assert_null(r);
}

TEST(nothing_works_without_a_loop)
{
    tug_redis *r = NULL;
    assert_rc(tug_redis_open("redis://h", NULL, &r), TUG_EMISUSE);
    assert_detail_has("loop");
}
