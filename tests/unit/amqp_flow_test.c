/* Deliveries and publishes, checked frame by frame against a broker by script. */
#include "amqp_peer.h"

/* --- deliveries --------------------------------------------------------------------------------- */

/* Every cut of a delivery's bytes gives the same message. */
TASK_TEST(deliveries_cut_at_every_byte)
{
    consuming c = consume(NULL);
    for (size_t step = 1; step <= 60; step++) {
        p.step = step;
        peer_announce(&p, 1, step);
        peer_header(&p, 1, 11, "\x80\0\4text", 7);
        peer_frame_out(&p, 3, 1, "hello ", 6);
        peer_frame_out(&p, 3, 1, "world", 5);
        tug_amqp_delivery *d = take(c.consumer);
        assert_string_equal(tug_amqp_delivery_body(d).data, "hello world");
        assert_string_equal(tug_amqp_delivery_content_type(d), "text");
        assert_string_equal(tug_amqp_delivery_exchange(d), "ex");
        assert_string_equal(tug_amqp_delivery_routing_key(d), "key");
        assert_null(tug_amqp_delivery_message_id(d));
        assert_null(tug_amqp_delivery_type(d));
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
    }
    p.step = 0;
    shut(&c);
}

static void deliver_nested(uint64_t tag, unsigned depth)
{
    static uint8_t props[200000];
    size_t at = 2, left = 4 + 7 * (size_t)(depth - 1);
    tug__amqp_put16(props, AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
                               AMQP_BASIC_MESSAGE_ID_FLAG);
    memcpy(props + at, "\4text", 5);
    at += 5;
    for (unsigned i = 0; i < depth; i++) {
        left -= 4;
        tug__amqp_put32(props + at, (uint32_t)left);
        at += 4;
        if (i + 1 < depth) {
            memcpy(props + at, "\1kF", 3);
            at += 3;
            left -= 3;
        }
    }
    memcpy(props + at, "\2id", 3);
    peer_announce(&p, 1, tag);
    peer_header(&p, 1, 4, props, at + 3);
    peer_frame_out(&p, 3, 1, "body", 4);
}

/* A message with headers that kill the codec is delivered without them: refused, it would come
 * again and again. */
TASK_TEST(deeply_nested_headers)
{
    static const unsigned depths[] = {1, 2, 32, 33, 1000, 15000};
    consuming c = consume(NULL);
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        deliver_nested(i + 1, depths[i]);
        tug_amqp_delivery *d = take(c.consumer);
        int x = 0, want = depths[i] > 32 ? TUG_ELIMIT : depths[i] > 1 ? TUG_ETYPE : TUG_ENOTFOUND;
        assert_rc(tug_amqp_delivery_header(d, "k", TUG_OUT(&x)), want);
        assert_string_equal(tug_amqp_delivery_body(d).data, "body");
        assert_string_equal(tug_amqp_delivery_content_type(d), "text");
        assert_string_equal(tug_amqp_delivery_message_id(d), "id");
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
    }
    shut(&c);
}

TASK_TEST(malformed_headers_do_not_lose_the_message)
{
    consuming c = consume(NULL);
    peer_announce(&p, 1, 1);
    peer_header(&p, 1, 0, "\x20\0\0\0\0\3\1kZ", 9);
    tug_amqp_delivery *d = take(c.consumer);
    int x = 0;
    assert_rc(tug_amqp_delivery_header(d, "k", TUG_OUT(&x)), TUG_EPROTO);
    assert_int_equal(tug_amqp_delivery_body(d).size, 0);
    tug_amqp_delivery_unref(d);
    shut(&c);
}

/* Types that other clients send. */
TASK_TEST(headers_of_other_clients)
{
    static const char table[] =
        "\1bb\377\1BB\377\1ss\200\0\1uu\377\377\1II\200\0\0\0\1ii\377\377\377\377"
        "\1LL\377\377\377\377\377\377\377\377\1ff\77\200\0\0\1xx\0\0\0\1y\1SS\0\0\0\3a\0b";
    uint8_t props[256];
    consuming c = consume(NULL);
    tug__amqp_put16(props, AMQP_BASIC_HEADERS_FLAG);
    tug__amqp_put32(props + 2, sizeof table - 1);
    memcpy(props + 6, table, sizeof table - 1);
    peer_announce(&p, 1, 1);
    peer_header(&p, 1, 0, props, 6 + sizeof table - 1);
    tug_amqp_delivery *d = take(c.consumer);
    int64_t i = 0;
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    const char *t = NULL;
    struct tug_bytes bytes;
    assert_ok(tug_amqp_delivery_header(d, "b", TUG_OUT(&i)));
    assert_int_equal(i, -1);
    assert_rc(tug_amqp_delivery_header(d, "b", TUG_OUT(&b)), TUG_ERANGE);
    assert_ok(tug_amqp_delivery_header(d, "B", TUG_OUT(&i)));
    assert_int_equal(i, 255);
    assert_ok(tug_amqp_delivery_header(d, "s", TUG_OUT(&i)));
    assert_int_equal(i, -32768);
    assert_ok(tug_amqp_delivery_header(d, "u", TUG_OUT(&u)));
    assert_int_equal(u, 65535);
    assert_ok(tug_amqp_delivery_header(d, "I", TUG_OUT(&i)));
    assert_int_equal(i, INT32_MIN);
    assert_ok(tug_amqp_delivery_header(d, "i", TUG_OUT(&i)));
    assert_int_equal(i, UINT32_MAX);
    assert_ok(tug_amqp_delivery_header(d, "L", TUG_OUT(&u)));
    assert_true(u == UINT64_MAX);
    assert_rc(tug_amqp_delivery_header(d, "L", TUG_OUT(&i)), TUG_ERANGE);
    assert_ok(tug_amqp_delivery_header(d, "f", TUG_OUT(&f)));
    assert_true(f == 1.0);
    assert_ok(tug_amqp_delivery_header(d, "x", TUG_OUT(&t)));
    assert_string_equal(t, "y");
    assert_rc(tug_amqp_delivery_header(d, "S", TUG_OUT(&t)), TUG_ETYPE);
    assert_ok(tug_amqp_delivery_header(d, "S", TUG_OUT(&bytes)));
    assert_int_equal(bytes.size, 3);
    assert_memory_equal(bytes.data, "a\0b", 3);
    tug_amqp_delivery_unref(d);
    shut(&c);
}

static void expect_ack(uint64_t tag, bool multiple)
{
    peer_expect(&p, 1, AMQP_BASIC_ACK_METHOD);
    assert_int_equal(tug__amqp_get64(p.method), tag);
    assert_int_equal(p.method[8], multiple);
}

/* Acks of a turn are one frame where every lower tag is settled, and single frames above the
 * oldest one out. */
TASK_TEST(acks_are_coalesced)
{
    consuming c = consume(NULL);
    tug_amqp_delivery *d[11] = {NULL};
    for (uint64_t i = 1; i <= 10; i++) {
        peer_deliver(&p, 1, i, "x");
        d[i] = take(c.consumer);
    }
    assert_ok(tug_amqp_ack(d[1]));
    assert_ok(tug_amqp_ack(d[3])); /* 2 is out */
    assert_ok(tug_amqp_ack(d[5]));
    expect_ack(1, false);
    expect_ack(3, false);
    expect_ack(5, false);
    assert_ok(tug_amqp_ack(d[4]));
    assert_ok(tug_amqp_ack(d[2]));
    expect_ack(4, true); /* 5 was told before: its tag may not be named again */
    assert_ok(tug_amqp_nack(d[7]));
    assert_ok(tug_amqp_ack(d[8]));
    assert_ok(tug_amqp_ack(d[6]));
    peer_expect(&p, 1, AMQP_BASIC_NACK_METHOD); /* before the ack that includes its tag */
    assert_int_equal(tug__amqp_get64(p.method), 7);
    assert_int_equal(p.method[8], 2); /* requeue, not multiple */
    expect_ack(8, true);
    assert_ok(tug_amqp_reject(d[9]));
    peer_expect(&p, 1, AMQP_BASIC_REJECT_METHOD);
    assert_int_equal(tug__amqp_get64(p.method), 9);
    assert_int_equal(p.method[8], 0);
    tug_amqp_delivery_unref(d[10]);
    d[10] = NULL;
    peer_expect(&p, 1, AMQP_BASIC_NACK_METHOD);
    assert_int_equal(tug__amqp_get64(p.method), 10);
    peer_expect_nothing(&p);
    for (int i = 1; i <= 9; i++) {
        assert_rc(tug_amqp_ack(d[i]), TUG_EMISUSE);
        tug_amqp_delivery_unref(d[i]);
    }
    shut(&c);
}

TASK_TEST(stopping_gives_back_the_buffer)
{
    consuming c = consume(NULL);
    tug_amqp_delivery *d = NULL;
    peer_deliver(&p, 1, 1, "taken");
    peer_deliver(&p, 1, 2, "buffered");
    d = take(c.consumer);
    tug_amqp_consumer_stop(c.consumer);
    peer_expect(&p, 1, AMQP_BASIC_CANCEL_METHOD);
    assert_memory_equal(p.method, "\2ct", 3);
    peer_expect(&p, 1, AMQP_BASIC_NACK_METHOD);
    assert_int_equal(tug__amqp_get64(p.method), 2);
    peer_deliver(&p, 1, 3, "crossed"); /* on its way when we cancelled */
    peer_expect(&p, 1, AMQP_BASIC_NACK_METHOD);
    assert_int_equal(tug__amqp_get64(p.method), 3);
    amqp_basic_cancel_ok_t ok = {.consumer_tag = tug__amqp_text("ct")};
    peer_method(&p, 1, AMQP_BASIC_CANCEL_OK_METHOD, &ok);
    tug_amqp_delivery *none = NULL;
    assert_rc(tug_amqp_consumer_next(c.consumer, &none), 0);
    tug_amqp_consumer_close(c.consumer);
    peer_expect_nothing(&p); /* one is still out */
    assert_ok(tug_amqp_ack(d));
    tug_amqp_delivery_unref(d);
    expect_ack(1, false);
    peer_expect(&p, 1, AMQP_CHANNEL_CLOSE_METHOD);
    static const amqp_channel_close_ok_t closed;
    peer_method(&p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed);
    peer_shut(&p, c.mq);
}

/* RabbitMQ closes the channel of a consumer that held a message for too long. */
TASK_TEST(a_closed_channel_ends_its_consumer_only)
{
    consuming c = consume(NULL);
    tug_amqp_delivery *d = NULL;
    peer_deliver(&p, 1, 1, "taken");
    peer_deliver(&p, 1, 2, "buffered");
    d = take(c.consumer);
    amqp_channel_close_t m = {
        .reply_code = 406,
        .reply_text = tug__amqp_text("PRECONDITION_FAILED - delivery acknowledgement timed out")};
    peer_method(&p, 1, AMQP_CHANNEL_CLOSE_METHOD, &m);
    peer_expect(&p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_rc(tug_amqp_ack(d), TUG_ECLOSED);
    assert_detail_has("acknowledgement timed out");
    tug_amqp_delivery_unref(d);
    assert_rc(tug_amqp_consumer_next(c.consumer, &d), TUG_ESERVER);
    assert_detail_has("queue \"q\"");
    assert_string_equal(tug_last_error()->native, "406");
    assert_ok(tug_amqp_ready(c.mq));
    shut(&c);
}

static int next_then_close(void *arg)
{
    tug_amqp_consumer **c = arg;
    tug_amqp_delivery *none = NULL;
    int rc = tug_amqp_consumer_next(*c, &none);
    tug_amqp_consumer_close(*c);
    *c = NULL;
    return rc == TUG_ESERVER ? 0 : tug_fail(TUG_EUSER, "next gave %d", rc);
}

static int next_of_ended(void *arg)
{
    tug_amqp_delivery *none = NULL;
    int rc = tug_amqp_consumer_next(*(tug_amqp_consumer **)arg, &none);
    return rc == TUG_ESERVER ? 0 : tug_fail(TUG_EUSER, "next gave %d", rc);
}

/* The first of the waiting tasks closes the consumer when it hears of the end; the others are awake
 * already and have not run yet. */
TASK_TEST(the_first_to_hear_of_the_end_may_close_the_consumer)
{
    consuming c = consume(NULL);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, next_then_close, &c.consumer));
    assert_ok(tug_group_spawn(&g, next_of_ended, &c.consumer));
    assert_ok(tug_group_spawn(&g, next_of_ended, &c.consumer));
    tug_test_settle();
    amqp_channel_close_t m = {.reply_code = 406, .reply_text = tug__amqp_text("timed out")};
    peer_method(&p, 1, AMQP_CHANNEL_CLOSE_METHOD, &m);
    peer_expect(&p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    assert_ok(tug_group_leave(&g, 0));
    peer_shut(&p, c.mq);
}

static int cancelled_consume(void *arg)
{
    tug_amqp_consumer *c = NULL;
    int rc = TUG_WITHIN(TUG_MS(10), tug_amqp_consume(arg, "q", NULL, &c));
    return rc == TUG_ETIMEDOUT && c == NULL ? 0 : TUG_EUSER;
}

/* Before the login, while the channel opens, while consume is asked. */
TASK_TEST(cancelled_consume_leaves_no_channel)
{
    static const amqp_channel_close_ok_t closed;
    for (int stage = 0; stage < 3; stage++) {
        tug_amqp *mq = stage == 0 ? peer_open(&p, NULL, NULL) : logged_in(NULL);
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&g, cancelled_consume, mq));
        if (stage == 2) {
            peer_channel(&p, 1);
        }
        assert_ok(tug_group_leave(&g, 0));
        if (stage == 0) {
            peer_login(&p, 131072, 60);
            peer_expect_nothing(&p);
            peer_shut(&p, mq);
            continue;
        }
        if (stage == 1) {
            peer_channel(&p, 1);
        } else {
            peer_expect(&p, 1, AMQP_BASIC_QOS_METHOD);
            peer_expect(&p, 1, AMQP_BASIC_CONSUME_METHOD);
        }
        peer_expect(&p, 1, AMQP_CHANNEL_CLOSE_METHOD);
        peer_method(&p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed);
        peer_expect_nothing(&p);
        peer_shut(&p, mq);
    }
}

TASK_TEST(all_channels_in_use)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    tug_amqp_consumer *none = NULL;
    o.channel_max = 2;
    consuming c = consume(&o);
    tug_future *f = tug_amqp_queue_declare_start(c.mq, "q", NULL);
    peer_channel(&p, 2);
    assert_rc(tug_amqp_consume(c.mq, "q", NULL, &none), TUG_ELIMIT);
    assert_detail_has("all 2 channels");
    tug_future_drop(f);
    shut(&c);
}

/* --- publishing --------------------------------------------------------------------------------- */

TASK_TEST(confirms_settle_futures)
{
    tug_future *f[9];
    tug_amqp *mq = publishing(NULL, &f[1]);
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = tug_bytes("body", 4);
    for (int i = 2; i < 9; i++) {
        f[i] = tug_amqp_publish_start(mq, "", "q", &m);
    }
    assert_int_equal(expect_message("q"), 0);
    for (int i = 2; i < 9; i++) {
        assert_int_equal(expect_message("q"), 4);
    }
    confirm(3, false);
    assert_true(tug_future_is_settled(f[3]));
    assert_false(tug_future_is_settled(f[1]));
    confirm(4, true);
    for (int i = 1; i <= 4; i++) {
        assert_ok(tug_await(f[i]));
    }
    assert_false(tug_future_is_settled(f[5]));
    amqp_basic_nack_t no = {.delivery_tag = 6, .multiple = 1};
    peer_method(&pub, 1, AMQP_BASIC_NACK_METHOD, &no);
    assert_rc(tug_await(f[5]), TUG_ENACK);
    assert_rc(tug_await(f[6]), TUG_ENACK);
    assert_int_equal(tug_amqp_publishing(mq), 2);
    confirm(0, true); /* all that are out */
    assert_ok(tug_await(f[7]));
    assert_ok(tug_await(f[8]));
    for (int i = 1; i < 9; i++) {
        tug_future_drop(f[i]);
    }
    confirm(9, false); /* never sent */
    ended(mq, TUG_EPROTO, "message 9, which is not out");
    shut_both(mq);
}

TASK_TEST(the_window_is_kept)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    tug_future *f[5];
    o.max_unconfirmed = 2;
    o.max_waiting = 200;
    tug_amqp *mq = publishing(&o, &f[0]);
    f[1] = tug_amqp_publish_start(mq, "", "one", &m);
    f[2] = tug_amqp_publish_start(mq, "", "two", &m);
    f[3] = tug_amqp_publish_start(mq, "", "three", &m);
    m.body = tug_bytes(&p, 200);
    f[4] = tug_amqp_publish_start(mq, "", "four", &m);
    assert_rc(tug_await(f[4]), TUG_ELIMIT);
    assert_detail_has("max_waiting");
    expect_message("q");
    expect_message("one");
    peer_expect_nothing(&pub);
    confirm(1, false);
    expect_message("two");
    peer_expect_nothing(&pub);
    tug_future_drop(f[3]); /* not sent: gone without a trace */
    confirm(3, true);
    peer_expect_nothing(&pub);
    assert_ok(tug_await(f[2]));
    assert_rc(tug_future_error(f[4])->code, TUG_ELIMIT);
    tug_future_drop_all(f, 3);
    tug_future_drop(f[4]);
    m.body.size = 0;
    for (int i = 0; i < 4; i++) {
        f[i] = tug_amqp_publish_start(mq, "", "more", &m);
    }
    shut_both(mq);
    for (int i = 0; i < 4; i++) {
        assert_rc(tug_await(f[i]), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, i < 2 ? TUG_IN_FLIGHT : TUG_NOT_SENT);
    }
    tug_future_drop_all(f, 4);
}

/* Tasks wait for room before anything is copied; in order; a cancel there has sent nothing. */
TASK_TEST(tasks_wait_for_room)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    tug_future *first;
    tug_group g;
    o.max_unconfirmed = 1;
    tug_amqp *mq = publishing(&o, &first);
    expect_message("q");
    one_publish tasks[3] = {{mq, "a", 1, 0}, {mq, "b", 1, 0}, {mq, "c", 1, 0}};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_group_spawn(&g, publish_one, &tasks[i]));
    }
    peer_expect_nothing(&pub);
    assert_int_equal(tug_amqp_publishing(mq), 1);
    confirm(1, false);
    expect_message("a");
    peer_expect_nothing(&pub);
    confirm(2, false);
    expect_message("b");
    assert_ok(tug_sleep(TUG_SECONDS(6))); /* b waits for its confirm, c for room */
    assert_int_equal(tasks[0].rc, 0);
    assert_int_equal(tasks[1].rc, TUG_ETIMEDOUT);
    assert_int_equal(tasks[1].sent, TUG_IN_FLIGHT);
    assert_int_equal(tasks[2].rc, TUG_ETIMEDOUT);
    assert_int_equal(tasks[2].sent, TUG_NOT_SENT);
    assert_ok(tug_group_leave(&g, 0));
    confirm(3, false); /* nobody's any more */
    peer_expect_nothing(&pub);
    assert_ok(tug_amqp_ready(mq));
    tug_future_drop(first);
    shut_both(mq);
}

TASK_TEST(blocked_and_unblocked)
{
    tug_future *f[3];
    tug_amqp *mq = publishing(NULL, &f[0]);
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    amqp_connection_blocked_t blocked = {.reason = tug__amqp_text("low on memory")};
    amqp_connection_unblocked_t unblocked = {0};
    expect_message("q");
    assert_false(tug_amqp_is_blocked(mq));
    peer_method(&pub, 0, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
    assert_true(tug_amqp_is_blocked(mq));
    f[1] = tug_amqp_publish_start(mq, "", "x", &m);
    one_publish task = {mq, "y", 1, 0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, publish_one, &task));
    peer_expect_nothing(&pub);
    confirm(1, false);
    assert_ok(tug_await(f[0]));
    peer_expect_nothing(&pub);
    peer_method(&pub, 0, AMQP_CONNECTION_UNBLOCKED_METHOD, &unblocked);
    expect_message("x");
    expect_message("y");
    confirm(3, true);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(task.rc, 0);
    tug_future_drop_all(f, 2);
    amqp_channel_flow_t flow = {.active = 0};
    peer_method(&pub, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    peer_expect(&pub, 1, AMQP_CHANNEL_FLOW_OK_METHOD);
    f[2] = tug_amqp_publish_start(mq, "", "z", &m);
    peer_expect_nothing(&pub);
    flow.active = 1;
    peer_method(&pub, 1, AMQP_CHANNEL_FLOW_METHOD, &flow);
    peer_expect(&pub, 1, AMQP_CHANNEL_FLOW_OK_METHOD);
    expect_message("z");
    tug_future_drop(f[2]);
    shut_both(mq);
}

/* A frame_max below ours: bodies are cut to it. */
TASK_TEST(bodies_are_cut_to_the_agreed_frame)
{
    static char big[20000];
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    amqp_confirm_select_ok_t ok = {0};
    tug_amqp *mq = peer_open(&p, &pub, NULL);
    uint16_t channel;
    uint8_t *payload;
    size_t size, at = 0;
    peer_login(&p, 8192, 0);
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 31 + i / 255);
    }
    m.body = tug_bytes(big, sizeof big);
    tug_future *f = tug_amqp_publish_start(mq, "", "q",
                                           &m); /* kept whole until frame_max is known */
    peer_login(&pub, 8192, 0);
    peer_channel(&pub, 1);
    peer_expect(&pub, 1, AMQP_CONFIRM_SELECT_METHOD);
    peer_method(&pub, 1, AMQP_CONFIRM_SELECT_OK_METHOD, &ok);
    peer_expect(&pub, 1, AMQP_BASIC_PUBLISH_METHOD);
    assert_int_equal(peer_frame(&pub, &channel, &payload, &size), 2);
    assert_int_equal(tug__amqp_get64(payload + 4), sizeof big);
    while (at < sizeof big) {
        assert_int_equal(peer_frame(&pub, &channel, &payload, &size), 3);
        assert_int_equal(size, sizeof big - at < 8184 ? sizeof big - at : 8184);
        assert_memory_equal(payload, big + at, size);
        at += size;
    }
    peer_expect_nothing(&pub);
    tug_future_drop(f);
    shut_both(mq);
}

TASK_TEST(a_closed_publishing_channel_comes_back)
{
    tug_future *f[2];
    tug_amqp *mq = publishing(NULL, &f[0]);
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    amqp_confirm_select_ok_t ok = {0};
    expect_message("q");
    amqp_channel_close_t no = {.reply_code = 404,
                               .reply_text = tug__amqp_text("NOT_FOUND - no exchange 'e'")};
    peer_method(&pub, 1, AMQP_CHANNEL_CLOSE_METHOD, &no);
    assert_rc(tug_await(f[0]), TUG_ESERVER);
    assert_detail_has("publishing: 404 NOT_FOUND - no exchange 'e'");
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    peer_expect(&pub, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    peer_expect_nothing(&pub);
    f[1] = tug_amqp_publish_start(mq, "", "again", &m);
    /* The number of the new channel is the table's choice. */
    uint16_t channel;
    uint8_t *payload;
    size_t size;
    amqp_channel_open_ok_t opened = {.channel_id = amqp_empty_bytes};
    assert_int_equal(peer_frame(&pub, &channel, &payload, &size), 1);
    peer_method(&pub, channel, AMQP_CHANNEL_OPEN_OK_METHOD, &opened);
    peer_expect(&pub, channel, AMQP_CONFIRM_SELECT_METHOD);
    peer_method(&pub, channel, AMQP_CONFIRM_SELECT_OK_METHOD, &ok);
    peer_expect(&pub, channel, AMQP_BASIC_PUBLISH_METHOD);
    amqp_basic_ack_t ack = {.delivery_tag = 1}; /* it counts from 1 again */
    peer_method(&pub, channel, AMQP_BASIC_ACK_METHOD, &ack);
    assert_ok(tug_await(f[1]));
    tug_future_drop_all(f, 2);
    shut_both(mq);
}
