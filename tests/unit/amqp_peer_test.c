/* The driver against a broker by script: everything a peer can do wrong, and when. */
#include "amqp_peer.h"

/* --- login -------------------------------------------------------------------------------------- */

TASK_TEST(login_and_goodbye)
{
    static const amqp_connection_close_ok_t ok;
    tug_amqp *mq = logged_in(NULL);
    tug_time before = tug_now();
    tug_amqp_close(mq);
    peer_expect(&p, 0, AMQP_CONNECTION_CLOSE_METHOD);
    peer_method(&p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    char byte;
    assert_int_equal(recv(p.fd, &byte, 1, MSG_DONTWAIT), 0); /* closed at once */
    assert_true(tug_now() == before);
    close(p.fd);
}

TASK_TEST(login_byte_by_byte)
{
    tug_amqp *mq = peer_open(&p, NULL, NULL);
    p.step = 1;
    peer_login(&p, 131072, 60);
    assert_ok(tug_amqp_ready(mq));
    peer_shut(&p, mq);
}

TASK_TEST(an_unanswered_goodbye_is_bounded)
{
    tug_amqp *mq = logged_in(NULL);
    tug_amqp_close(mq);
    peer_expect(&p, 0, AMQP_CONNECTION_CLOSE_METHOD);
    assert_ok(tug_sleep(TUG_MS(1900)));
    char byte;
    assert_int_equal(recv(p.fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_ok(tug_sleep(TUG_MS(200)));
    assert_int_equal(recv(p.fd, &byte, 1, MSG_DONTWAIT), 0);
    close(p.fd);
}

TASK_TEST(a_silent_peer_is_no_broker)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    o.connect_timeout = TUG_SECONDS(3);
    tug_amqp *mq = peer_open(&p, NULL, &o);
    tug_time before = tug_now();
    assert_rc(tug_amqp_ready(mq), TUG_ECONNECT);
    assert_detail_has("no login within 3 s");
    assert_true(tug_now() - before == TUG_SECONDS(3));
    peer_shut(&p, mq);
}

TASK_TEST(a_peer_that_speaks_something_else)
{
    static const char *const words[] = {"AMQP\0\1\0\0", "HTTP/1.1 400 Bad Request\r\n",
                                        "-ERR unknown command\r\n"};
    for (int i = 0; i < 3; i++) {
        tug_amqp *mq = peer_open(&p, NULL, NULL);
        tug_test_settle();
        peer_send(&p, words[i], i == 0 ? 8 : strlen(words[i]));
        ended(mq, TUG_ECONNECT, "not AMQP 0-9-1");
        peer_shut(&p, mq);
    }
}

TASK_TEST(hanging_up_during_the_login)
{
    static const struct {
        int code;
        const char *part;
    } want[] = {
        {TUG_ECONNECT, "before its greeting"}, {TUG_EAUTH, "user \"tug\""}, {TUG_ECONNECT, "lost"}};
    for (int stage = 0; stage < 3; stage++) {
        tug_amqp *mq = peer_open(&p, NULL, NULL);
        if (stage >= 1) {
            peer_greet(&p);
        }
        if (stage >= 2) {
            amqp_connection_tune_t m = {.channel_max = 0, .frame_max = 0, .heartbeat = 0};
            peer_method(&p, 0, AMQP_CONNECTION_TUNE_METHOD, &m);
        }
        shutdown(p.fd, SHUT_RDWR);
        ended(mq, want[stage].code, want[stage].part);
        peer_shut(&p, mq);
    }
}

TASK_TEST(refusals_during_the_login)
{
    amqp_connection_close_t no = {
        .reply_code = 403, .reply_text = tug__amqp_text("ACCESS_REFUSED - Login was\nrefused")};
    tug_amqp *mq = peer_open(&p, NULL, NULL);
    peer_greet(&p);
    peer_method(&p, 0, AMQP_CONNECTION_CLOSE_METHOD, &no);
    ended(mq, TUG_EAUTH, "403 ACCESS_REFUSED - Login was refused");
    peer_expect(&p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    peer_shut(&p, mq);

    mq = peer_open(&p, NULL, NULL);
    peer_greet(&p);
    amqp_connection_tune_t tune = {.channel_max = 2047, .frame_max = 131072, .heartbeat = 60};
    peer_method(&p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
    no.reply_code = 530;
    no.reply_text = tug__amqp_text("NOT_ALLOWED - vhost vh not found");
    peer_method(&p, 0, AMQP_CONNECTION_CLOSE_METHOD, &no);
    ended(mq, TUG_ESERVER, "the virtual host \"vh\": 530 NOT_ALLOWED");
    peer_shut(&p, mq);

    mq = peer_open(&p, NULL, NULL);
    peer_pull(&p);
    amqp_connection_start_t start = {.version_minor = 9,
                                     .mechanisms = tug__amqp_text("EXTERNAL PLAINER")};
    peer_method(&p, 0, AMQP_CONNECTION_START_METHOD, &start);
    ended(mq, TUG_EAUTH, "EXTERNAL PLAINER");
    peer_shut(&p, mq);

    mq = peer_open(&p, NULL, NULL);
    peer_greet(&p);
    amqp_connection_secure_t secure = {.challenge = tug__amqp_text("?")};
    peer_method(&p, 0, AMQP_CONNECTION_SECURE_METHOD, &secure);
    ended(mq, TUG_EAUTH, "second step");
    peer_shut(&p, mq);

    mq = peer_open(&p, NULL, NULL);
    peer_greet(&p);
    tune.frame_max = 100;
    peer_method(&p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
    ended(mq, TUG_EPROTO, "100 bytes");
    peer_shut(&p, mq);
}

/* Login and password as PLAIN wants them, and what we say we can. */
TASK_TEST(what_the_login_says)
{
    tug_amqp *mq = peer_open(&p, NULL, NULL);
    peer_greet(&p);
    static const char *const parts[] = {"\0tug\0secret",         "authentication_failure_closet\1",
                                        "connection.blockedt\1", "consumer_cancel_notifyt\1",
                                        "publisher_confirmst\1", "basic.nackt\1"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_non_null(memmem(p.method, p.method_size, parts[i], i == 0 ? 11 : strlen(parts[i])));
    }
    peer_shut(&p, mq);
}

TASK_TEST(tuning_takes_the_lesser)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    o.heartbeat = TUG_SECONDS(30);
    tug_amqp *mq = peer_open(&p, NULL, &o);
    peer_greet(&p);
    amqp_connection_tune_t m = {.channel_max = 0, .frame_max = 9000, .heartbeat = 60};
    peer_method(&p, 0, AMQP_CONNECTION_TUNE_METHOD, &m);
    peer_expect(&p, 0, AMQP_CONNECTION_TUNE_OK_METHOD);
    assert_int_equal(tug__amqp_get16(p.method), 2047);
    assert_int_equal(tug__amqp_get32(p.method + 2), 9000);
    assert_int_equal(tug__amqp_get16(p.method + 6), 30);
    peer_expect(&p, 0, AMQP_CONNECTION_OPEN_METHOD);
    assert_memory_equal(p.method, "\2vh", 3);
    peer_shut(&p, mq);
}

TASK_TEST(a_deep_table_in_the_greeting)
{
    static uint8_t payload[8192] = {0, 10, 0, 10, 0, 9};
    size_t at = 6, depth = 1000;
    for (size_t i = 0; i < depth; i++) {
        tug__amqp_put32(payload + at, (uint32_t)(7 * (depth - 1 - i)));
        memcpy(payload + at + 4, "\1kF", 3);
        at += 7;
    }
    tug_amqp *mq = peer_open(&p, NULL, NULL);
    tug_test_settle();
    peer_frame_out(&p, 1, 0, payload, at);
    ended(mq, TUG_EPROTO, "nested too deeply");
    peer_shut(&p, mq);
}

/* --- heartbeats --------------------------------------------------------------------------------- */

TASK_TEST(heartbeats_both_ways)
{
    static const uint8_t beat[8] = {8, 0, 0, 0, 0, 0, 0, 0xCE};
    tug_amqp *mq = peer_open(&p, NULL, NULL);
    uint16_t channel;
    uint8_t *payload;
    size_t size;
    peer_login(&p, 131072, 10);
    assert_ok(tug_amqp_ready(mq));
    assert_ok(tug_sleep(TUG_MS(100)));
    for (int i = 0; i < 6; i++) {
        assert_ok(tug_sleep(TUG_MS(4800)));
        peer_expect_nothing(&p);
        assert_ok(tug_sleep(TUG_MS(200))); /* half an interval of silence has passed */
        assert_int_equal(peer_frame(&p, &channel, &payload, &size), 8);
        assert_int_equal(size, 0);
        peer_send(&p, beat, sizeof beat); /* 30 s in all: alive */
    }
    assert_ok(tug_amqp_ready(mq));
    tug_time last = tug_now();
    assert_ok(tug_sleep(TUG_MS(19900)));
    assert_ok(tug_amqp_ready(mq));
    assert_ok(tug_sleep(TUG_MS(200)));
    ended(mq, TUG_ECLOSED, "not a byte came for 20 s");
    assert_true(tug_now() - last < TUG_SECONDS(21));
    peer_shut(&p, mq);
}

TASK_TEST(no_heartbeats_when_asked_for_none)
{
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    o.heartbeat = 0;
    tug_amqp *mq = peer_open(&p, NULL, &o);
    peer_login(&p, 131072, 10);
    assert_ok(tug_sleep(TUG_SECONDS(100000)));
    peer_expect_nothing(&p);
    assert_ok(tug_amqp_ready(mq));
    peer_shut(&p, mq);
}

/* --- nonsense ----------------------------------------------------------------------------------- */

static void frame_nonsense(const void *frame, size_t size, int code, const char *part)
{
    consuming c = consume(NULL);
    peer_send(&p, frame, size);
    ended(c.mq, code, part);
    tug_amqp_delivery *d = NULL;
    assert_rc(tug_amqp_consumer_next(c.consumer, &d), code);
    shut(&c);
}

TASK_TEST(bad_frames_end_the_connection)
{
    frame_nonsense("\1\0\0\0\0\0\4\0\12\0\74\0", 12, TUG_EPROTO, "end byte");
    frame_nonsense("\1\0\0\0\0\0\3\0\12\0\316", 11, TUG_EPROTO, "too short");
    frame_nonsense("\2\0\1\0\0\0\3\0\12\0\316", 11, TUG_EPROTO, "too short");
    frame_nonsense("\1\0\1\377\377\377\377", 7, TUG_ELIMIT, "frame_max");
    frame_nonsense("\5\0\0\0\0\0\0\316", 8, TUG_EPROTO, "unknown type");
    frame_nonsense("\1\0\11\0\0\0\4\0\74\0\36\316", 12, TUG_EPROTO, "cannot be decoded");
    frame_nonsense("\1\0\11\0\0\0\4\0\24\0\51\316", 12, TUG_EPROTO, "channel 9");
    frame_nonsense("\1\377\0\0\0\0\4\0\24\0\51\316", 12, TUG_ELIMIT, "channel_max");
    frame_nonsense("\1\0\1\0\0\0\4\0\12\0\63\316", 12, TUG_EPROTO, "no meaning");
    frame_nonsense("\1\0\0\0\0\0\4\0\24\0\51\316", 12, TUG_EPROTO, "no meaning");
    frame_nonsense("\1\0\0\0\0\0\4\0\12\0\63\316", 12, TUG_EPROTO, "cannot come"); /* close-ok */
    frame_nonsense("\1\0\1\0\0\0\4\0\24\0\51\316", 12, TUG_EPROTO, "without a close");
    frame_nonsense("\1\0\1\0\0\0\10\0\24\0\13\0\0\0\0\316", 16, TUG_EPROTO, "without an open");
    frame_nonsense("\1\0\1\0\0\0\4\0\74\0\13\316", 12, TUG_EPROTO, "cannot come"); /* qos-ok */
    frame_nonsense("\3\0\1\0\0\0\1x\316", 9, TUG_EPROTO, "nothing announced");
    frame_nonsense("\3\0\5\0\0\0\1x\316", 9, TUG_EPROTO, "nothing announced");
}

TASK_TEST(unknown_methods_are_skipped)
{
    tug_amqp *mq = logged_in(NULL);
    peer_frame_out(&p, 1, 0, "\0\12\0\107",
                   4); /* connection.update-secret-ok: 0.11 does not know it */
    peer_frame_out(&p, 1, 0, "\0\12\0\50garbage", 11); /* a client's method */
    tug_test_settle();
    assert_ok(tug_amqp_ready(mq));
    peer_shut(&p, mq);
}

enum {
    MIDWAY,
    TOO_LARGE,
    METHOD_BETWEEN,
    HEADER_TWICE,
    WRONG_CLASS,
    FLAG_WORDS,
    ABOVE_MAX_BODY,
    WRONG_TAG,
    CONTENTS
};

TASK_TEST(bad_contents_end_the_connection)
{
    static const struct {
        int code;
        const char *part;
    } want[CONTENTS] = {
        [MIDWAY] = {TUG_ECLOSED, "lost"},
        [TOO_LARGE] = {TUG_EPROTO, "larger than its header"},
        [METHOD_BETWEEN] = {TUG_EPROTO, "middle of a content"},
        [HEADER_TWICE] = {TUG_EPROTO, "nothing announced"},
        [WRONG_CLASS] = {TUG_EPROTO, "nothing announced"},
        [FLAG_WORDS] = {TUG_EPROTO, "malformed properties"},
        [ABOVE_MAX_BODY] = {TUG_ELIMIT, "max_body"},
        [WRONG_TAG] = {TUG_EPROTO, "delivery 7 came where 1 was due"},
    };
    for (int i = 0; i < CONTENTS; i++) {
        tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
        o.max_body = 1000;
        consuming c = consume(&o);
        peer_announce(&p, 1, i == WRONG_TAG ? 7 : 1);
        if (i == WRONG_CLASS) {
            peer_frame_out(&p, 2, 1, "\0\74\0\0\0\0\0\0\0\0\0\4\0\0", 14); /* a good one */
            peer_frame_out(&p, 2, 1, "\0\62\0\0\0\0\0\0\0\0\0\4\0\0", 14);
        } else {
            peer_header(&p, 1, i == ABOVE_MAX_BODY ? 1001 : 4,
                        i == FLAG_WORDS ? "\0\1\0\0" : "\0\0", i == FLAG_WORDS ? 4 : 2);
        }
        if (i == METHOD_BETWEEN || i == MIDWAY) {
            peer_frame_out(&p, 3, 1, "bo", 2);
        }
        if (i == METHOD_BETWEEN) {
            peer_announce(&p, 1, 2);
        } else if (i == TOO_LARGE) {
            peer_frame_out(&p, 3, 1, "bodyx", 5);
        } else if (i == HEADER_TWICE) {
            peer_header(&p, 1, 4, "\0\0", 2);
        } else if (i == MIDWAY) {
            shutdown(p.fd, SHUT_RDWR);
        }
        ended(c.mq, want[i].code, want[i].part);
        tug_amqp_delivery *d = NULL;
        assert_rc(tug_amqp_consumer_next(c.consumer, &d), want[i].code);
        shut(&c);
    }
}

/* --- the end in the middle of everything -------------------------------------------------------- */

static int next_of(void *arg)
{
    tug_amqp_delivery *d = NULL;
    return tug_amqp_consumer_next(arg, &d);
}

static int declare_of(void *arg)
{
    return tug_amqp_queue_declare(arg, "other", NULL);
}

enum {
    BY_CLOSE,
    BY_EOF,
    BY_EOF_OF_PUB,
    BY_US,
    ENDS
};

TASK_TEST(the_end_in_the_middle_of_everything)
{
    for (int how = 0; how < ENDS; how++) {
        consuming c = {0};
        tug_future *f[4];
        tug_group g, asking;
        tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
        c.mq = publishing(NULL, &f[0]);
        tug_group_enter(&asking, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&asking, ask_consumer, &c));
        answer_consumer(1);
        assert_ok(tug_group_leave(&asking, 0));
        f[1] = tug_amqp_publish_start(c.mq, "", "q", &m);
        f[2] = tug_amqp_queue_declare_start(c.mq, "sent", NULL);
        peer_channel(&p, 2);
        peer_expect(&p, 2, AMQP_QUEUE_DECLARE_METHOD);
        f[3] = tug_amqp_queue_declare_start(c.mq, "waiting", NULL);
        peer_deliver(&p, 1, 1, "in hand");
        tug_amqp_delivery *d = take(c.consumer);
        peer_announce(&p, 1, 2);
        peer_header(&p, 1, 100, "\0\0", 2);
        peer_frame_out(&p, 3, 1, "half", 4);
        tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
        tug_future *next = tug_group_start(&g, next_of, c.consumer),
                   *task = tug_group_start(&g, declare_of, c.mq);
        tug_test_settle();
        amqp_connection_close_t no = {.reply_code = 320,
                                      .reply_text = tug__amqp_text("CONNECTION_FORCED - shutdown")};
        const char *part = "closed";
        if (how == BY_CLOSE) {
            peer_method(&p, 0, AMQP_CONNECTION_CLOSE_METHOD, &no);
            part = "320 CONNECTION_FORCED - shutdown";
        } else if (how == BY_EOF) {
            shutdown(p.fd, SHUT_RDWR);
        } else if (how == BY_EOF_OF_PUB) {
            shutdown(pub.fd, SHUT_RDWR);
        }
        tug_amqp *mq = c.mq;
        if (how == BY_US) {
            tug_amqp_close(c.mq);
            mq = NULL;
        }
        tug_test_settle();
        for (int i = 0; i < 4; i++) {
            assert_true(tug_future_is_settled(f[i]));
            assert_rc(tug_await(f[i]), TUG_ECLOSED);
            assert_detail_has(part);
            assert_int_equal(tug_last_error()->sent, i < 3 ? TUG_IN_FLIGHT : TUG_NOT_SENT);
        }
        assert_rc(tug_await(next), how == BY_US ? 0 : TUG_ECLOSED);
        assert_rc(tug_await(task), TUG_ECLOSED);
        assert_rc(tug_amqp_ack(d), TUG_ECLOSED);
        tug_amqp_delivery_unref(d);
        if (mq != NULL) {
            assert_rc(tug_amqp_publish(mq, "", "q", &m), TUG_ECLOSED);
            assert_detail_has(part);
        }
        tug_future_drop_all(f, 4);
        tug_future_drop(next);
        tug_future_drop(task);
        TUG_IGNORE(tug_group_leave(&g, 0));
        tug_amqp_consumer_close(c.consumer);
        shut_both(mq);
    }
}

TASK_TEST(cancelled_requests_swallow_their_answers)
{
    tug_amqp *mq = logged_in(NULL);
    tug_future *sent = tug_amqp_queue_declare_start(mq, "one", NULL);
    tug_future *waiting = tug_amqp_queue_declare_start(mq, "two", NULL);
    tug_future *last = tug_amqp_queue_purge_start(mq, "three");
    peer_channel(&p, 1);
    peer_expect(&p, 1, AMQP_QUEUE_DECLARE_METHOD);
    tug_future_cancel(sent);
    tug_future_cancel(waiting);
    assert_rc(tug_await(sent), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_rc(tug_await(waiting), TUG_EDROPPED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    peer_expect_nothing(&p);
    amqp_queue_declare_ok_t one = {.queue = tug__amqp_text("one"), .message_count = 1};
    peer_method(&p, 1, AMQP_QUEUE_DECLARE_OK_METHOD, &one);
    peer_expect(&p, 1, AMQP_QUEUE_PURGE_METHOD);
    amqp_queue_purge_ok_t three = {.message_count = 3};
    peer_method(&p, 1, AMQP_QUEUE_PURGE_OK_METHOD, &three);
    tug_amqp_queue_info info;
    assert_ok(tug_await(last));
    assert_ok(tug_amqp_queue_take(last, &info));
    assert_int_equal(info.messages, 3);
    assert_string_equal(info.name, "three");
    tug_future_drop(sent);
    tug_future_drop(waiting);
    tug_future_drop(last);
    /* The same with a refusal. */
    sent = tug_amqp_queue_declare_start(mq, "one", NULL);
    peer_expect(&p, 1, AMQP_QUEUE_DECLARE_METHOD);
    last = tug_amqp_queue_purge_start(mq, "three");
    tug_future_drop(sent);
    amqp_channel_close_t no = {.reply_code = 406,
                               .reply_text = tug__amqp_text("PRECONDITION_FAILED - no")};
    peer_method(&p, 1, AMQP_CHANNEL_CLOSE_METHOD, &no);
    peer_expect(&p, 1, AMQP_CHANNEL_CLOSE_OK_METHOD);
    peer_channel(&p, 2);
    peer_expect(&p, 2, AMQP_QUEUE_PURGE_METHOD);
    peer_method(&p, 2, AMQP_QUEUE_PURGE_OK_METHOD, &three);
    assert_ok(tug_await(last));
    tug_future_drop(last);
    peer_shut(&p, mq);
}
