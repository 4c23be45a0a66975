/* The driver against a real RabbitMQ. Every test makes queues of its own and deletes them. */
#include "amqp_broker.h"

/* --- logging in --------------------------------------------------------------------------------- */

/* The test URL with another user, password, host, port or virtual host (NULL: as it is). */
static const char *url_with(const char *user, const char *password, const char *port,
                            const char *vhost)
{
    static char url[512];
    char u[100], p[100], h[100], n[20];
    assert_int_equal(
        sscanf(test_url("TUG_AMQP_URL"), "amqp://%99[^:]:%99[^@]@%99[^:]:%19[0-9]", u, p, h, n), 4);
    snprintf(url, sizeof url, "amqp://%s:%s@%s:%s/%s", user != NULL ? user : u,
             password != NULL ? password : p, h, port != NULL ? port : n,
             vhost != NULL ? vhost : "%2f");
    return url;
}

static void refused(const char *url, int code, const char *part)
{
    tug_amqp *mq = NULL;
    assert_ok(tug_amqp_open(url, NULL, &mq));
    assert_rc(tug_amqp_ready(mq), code);
    assert_detail_has(part);
    assert_memory_equal(tug_last_error()->text, "amqp", 4);
    assert_null(strstr(tug_last_error()->text, "wr0ng"));
    /* Every later call says the same. */
    assert_rc(tug_amqp_queue_declare(mq, "x", NULL), code);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    tug_amqp_close(mq);
}

LIVE_TEST(wrong_password)
{
    refused(url_with(NULL, "wr0ng", NULL, NULL), TUG_EAUTH, "refused the login of user \"tug\"");
    refused(url_with("nobody", "wr0ng", NULL, NULL), TUG_EAUTH, "nobody");
}

LIVE_TEST(unknown_vhost)
{
    refused(url_with(NULL, NULL, NULL, "no-such-vhost"), TUG_ESERVER, "no-such-vhost");
}

LIVE_TEST(refused_port)
{
    refused(url_with(NULL, NULL, "9", NULL), TUG_ECONNECT, "efused");
    assert_true(tug_last_error()->transient);
}

LIVE_TEST(unknown_host)
{
    refused("amqp://no-such-host.invalid", TUG_ECONNECT, "no-such-host.invalid");
}

LIVE_TEST(calls_before_the_login_wait_for_it)
{
    tug_amqp *mq = NULL;
    const char *queue = test_name();
    assert_ok(tug_amqp_open(test_url("TUG_AMQP_URL"), NULL, &mq));
    tug_amqp_message m = text("early");
    tug_future *f[2] = {tug_amqp_queue_declare_start(mq, queue, NULL), NULL};
    assert_ok(tug_await(f[0]));
    f[1] = tug_amqp_publish_start(mq, "", queue, &m); /* before its own connection is there */
    assert_int_equal(tug_amqp_publishing(mq), 1);
    assert_ok(tug_await(f[1]));
    assert_int_equal(tug_amqp_publishing(mq), 0);
    tug_future_unref(f[0]);
    tug_future_unref(f[1]);
    drop(mq, queue);
}

LIVE_TEST(closing_before_the_login)
{
    tug_amqp *mq = NULL;
    assert_ok(tug_amqp_open(test_url("TUG_AMQP_URL"), NULL, &mq));
    tug_future *f = tug_amqp_queue_declare_start(mq, "tug_never", NULL);
    tug_amqp_close(mq);
    assert_rc(tug_await(f), TUG_ECLOSED);
    tug_future_unref(f);
}

/* --- declaring ---------------------------------------------------------------------------------- */

LIVE_TEST(declared_otherwise_hurts_nobody)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    o.durable = false;
    tug_amqp_consumer *c = consume(mq, queue, 10);
    assert_rc(tug_amqp_queue_declare(mq, queue, &o), TUG_ESERVER);
    assert_detail_has(queue);
    assert_detail_has("406 PRECONDITION_FAILED");
    assert_detail_has("durable");
    assert_string_equal(tug_last_error()->native, "406");
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    assert_ok(tug_amqp_queue_declare(mq, queue, NULL)); /* the channel is there again */
    put(mq, queue, "still");
    tug_amqp_delivery *d = take(c);
    assert_ok(tug_amqp_ack(d));
    tug_amqp_delivery_unref(d);
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

LIVE_TEST(declares_in_a_row_with_a_refused_one_between)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    o.auto_delete = true;
    tug_future *f[5];
    for (int i = 0; i < 5; i++) {
        f[i] = tug_amqp_queue_declare_start(mq, queue, i % 2 == 1 ? &o : NULL);
    }
    for (int i = 0; i < 5; i++) {
        assert_rc(tug_await(f[i]), i % 2 == 1 ? TUG_ESERVER : 0);
    }
    tug_amqp_queue_info info;
    assert_ok(tug_amqp_queue_take(f[4], &info));
    assert_string_equal(info.name, queue);
    assert_rc(tug_amqp_queue_take(f[4], &info), TUG_EMISUSE);
    tug_future_drop_all(f, 5);
    drop(mq, queue);
}

LIVE_TEST(counting_purging_deleting)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    uint64_t n = 99;
    for (int i = 0; i < 5; i++) {
        put(mq, queue, "x");
    }
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    assert_int_equal(n, 5);
    assert_ok(tug_amqp_queue_purge(mq, queue, &n));
    assert_int_equal(n, 5);
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    assert_int_equal(n, 0);
    put(mq, queue, "x");
    assert_ok(tug_amqp_queue_delete(mq, queue, &n));
    assert_int_equal(n, 1);
    assert_rc(tug_amqp_queue_count(mq, queue, &n), TUG_ENOTFOUND);
    assert_detail_has(queue);
    assert_ok(tug_amqp_queue_delete(mq, queue, &n)); /* as often as one likes */
    tug_amqp_close(mq);
}

LIVE_TEST(server_named_and_typed_arguments)
{
    tug_amqp *mq = broker(NULL);
    const tug_amqp_field arguments[] = {{"x-max-length", tug_int64(2)},
                                        {"x-overflow", tug_text("reject-publish")}};
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    tug_amqp_queue_info info;
    o.durable = false;
    o.exclusive = true;
    o.type = TUG_AMQP_QUEUE_CLASSIC;
    o.arguments = tug_amqp_table(arguments, 2);
    tug_future *f = tug_amqp_queue_declare_start(mq, "", &o);
    assert_ok(tug_await(f));
    assert_ok(tug_amqp_queue_take(f, &info));
    tug_future_unref(f);
    assert_memory_equal(info.name, "amq.gen-", 8);
    put(mq, info.name, "1");
    put(mq, info.name, "2");
    tug_amqp_message m = text("3");
    assert_rc(tug_amqp_publish(mq, "", info.name, &m), TUG_ENACK); /* the queue is full */
    assert_true(tug_last_error()->transient);
    assert_int_equal(tug_last_error()->sent, TUG_ANSWERED);
    tug_amqp_close(mq);
}

LIVE_TEST(exchanges_and_bindings)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq), *exchange = test_name();
    tug_amqp_exchange_options o = TUG_AMQP_EXCHANGE_OPTIONS_INIT;
    o.type = "topic";
    assert_ok(tug_amqp_exchange_declare(mq, exchange, &o));
    assert_ok(tug_amqp_queue_bind(mq, queue, exchange, "a.*", NULL));
    assert_rc(tug_amqp_queue_bind(mq, queue, "no-such-exchange", "a", NULL), TUG_ENOTFOUND);
    tug_amqp_message m = text("routed");
    assert_ok(tug_amqp_publish(mq, exchange, "a.b", &m));
    assert_ok(tug_amqp_publish(mq, exchange, "c.d", &m)); /* nobody's: dropped */
    uint64_t n = 0;
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    assert_int_equal(n, 1);
    o.type = "fanout";
    assert_rc(tug_amqp_exchange_declare(mq, exchange, &o), TUG_ESERVER);
    assert_detail_has("type");
    assert_ok(tug_amqp_exchange_delete(mq, exchange));
    drop(mq, queue);
}

/* --- publishing and consuming ------------------------------------------------------------------- */

enum {
    MANY = 10000,
    PUBLISHERS = 50,
    CONSUMERS = 20
};

typedef struct flow {
    tug_amqp *mq;
    tug_amqp_consumer *consumer;
    const char *queue;
    unsigned char seen[MANY];
    int done;
} flow;

typedef struct publisher {
    flow *f;
    int number;
} publisher;

static int publish_some(void *arg)
{
    publisher *p = arg;
    for (int i = 0; i < MANY / PUBLISHERS; i++) {
        char body[32];
        tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
        m.body = tug_bytes(body,
                           (size_t)snprintf(body, sizeof body, "%d", i * PUBLISHERS + p->number));
        int rc = tug_amqp_publish(p->f->mq, "", p->f->queue, &m);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int consume_some(void *arg)
{
    flow *f = arg;
    tug_amqp_delivery *d = NULL;
    int rc;
    while ((rc = tug_amqp_consumer_next(f->consumer, &d)) > 0) {
        int n = atoi(tug_amqp_delivery_body(d).data);
        f->seen[n]++;
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
        if (++f->done == MANY) {
            tug_amqp_consumer_stop(f->consumer);
        }
    }
    return rc;
}

LIVE_TEST(ten_thousand_there_and_back)
{
    static flow f;
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    tug_group g;
    f.mq = broker(NULL);
    f.queue = test_name();
    o.durable = false;
    o.auto_delete = true;
    assert_ok(tug_amqp_queue_declare(f.mq, f.queue, &o));
    f.consumer = consume(f.mq, f.queue, 200);
    tug_group_enter(&g, TUG_SECONDS(50), TUG_FAIL_FAST);
    for (int i = 0; i < PUBLISHERS; i++) {
        publisher p = {&f, i};
        assert_ok(tug_group_spawn_copy(&g, publish_some, &p, sizeof p));
    }
    for (int i = 0; i < CONSUMERS; i++) {
        assert_ok(tug_group_spawn(&g, consume_some, &f));
    }
    assert_ok(tug_group_leave(&g, 0));
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(f.seen[i], 1);
    }
    tug_amqp_consumer_close(f.consumer);
    tug_amqp_close(f.mq);
}

/* Futures beyond the window wait in order. */
LIVE_TEST(five_thousand_futures)
{
    enum {
        N = 5000
    };
    static tug_future *f[N];
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    for (int i = 0; i < N; i++) {
        char body[32];
        tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
        m.persistent = false;
        m.body = tug_bytes(body, (size_t)snprintf(body, sizeof body, "%d", i));
        f[i] = tug_amqp_publish_start(mq, "", queue, &m);
    }
    assert_int_equal(tug_amqp_publishing(mq), N);
    assert_ok(tug_gather(f, N));
    assert_int_equal(tug_amqp_publishing(mq), 0);
    tug_future_drop_all(f, N);
    tug_amqp_consumer *c = consume(mq, queue, 500);
    for (int i = 0; i < N; i++) {
        tug_amqp_delivery *d = take(c);
        assert_int_equal(atoi(tug_amqp_delivery_body(d).data), i);
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
    }
    tug_amqp_consumer_close(c);
    uint64_t left = 99;
    assert_ok(tug_amqp_queue_count(mq, queue, &left));
    assert_int_equal(left, 0);
    drop(mq, queue);
}

/* More than the socket takes: what does not fit waits for its room. */
LIVE_TEST(a_full_socket_buffer)
{
    enum {
        N = 60,
        SIZE = 200000
    };
    tug_amqp_options o = TUG_AMQP_OPTIONS_INIT;
    tug_future *f[N];
    o.max_unsent = 300000;
    tug_amqp *mq = broker(&o);
    const char *queue = queue_of(mq);
    char *big = calloc(1, SIZE);
    assert_non_null(big);
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = tug_bytes(big, SIZE);
    m.persistent = false;
    for (int i = 0; i < N; i++) {
        f[i] = tug_amqp_publish_start(mq, "", queue, &m);
    }
    free(big); /* copied */
    assert_ok(tug_gather(f, N));
    tug_future_drop_all(f, N);
    uint64_t n = 0;
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    assert_int_equal(n, N);
    drop(mq, queue);
}

LIVE_TEST(forgotten_deliveries_come_again)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    put(mq, queue, "one");
    tug_amqp_consumer *c = consume(mq, queue, 10);
    tug_amqp_delivery *d = take(c);
    assert_false(tug_amqp_delivery_is_redelivered(d));
    tug_amqp_delivery_unref(d);
    d = take(c);
    assert_true(tug_amqp_delivery_is_redelivered(d));
    assert_ok(tug_amqp_nack(d));
    assert_rc(tug_amqp_ack(d), TUG_EMISUSE); /* settled once */
    tug_amqp_delivery_unref(d);
    d = take(c);
    assert_body(d, "one");
    assert_ok(tug_amqp_reject(d));
    tug_amqp_delivery_unref(d);
    assert_rc(TUG_WITHIN(TUG_MS(200), tug_amqp_consumer_next(c, &d)), TUG_ETIMEDOUT);
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

LIVE_TEST(rejected_ones_are_dead_lettered)
{
    tug_amqp *mq = broker(NULL);
    const char *dead = queue_of(mq), *queue = test_name();
    const tug_amqp_field arguments[] = {{"x-dead-letter-exchange", tug_text("")},
                                        {"x-dead-letter-routing-key", tug_text(dead)}};
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    o.arguments = tug_amqp_table(arguments, 2);
    assert_ok(tug_amqp_queue_declare(mq, queue, &o));
    put(mq, queue, "poison");
    tug_amqp_consumer *c = consume(mq, queue, 1), *morgue = consume(mq, dead, 1);
    tug_amqp_delivery *d = take(c);
    assert_ok(tug_amqp_reject(d));
    tug_amqp_delivery_unref(d);
    d = take(morgue);
    assert_body(d, "poison");
    /* x-death is a list of tables: there, but not for a C variable. */
    int64_t x = 0;
    assert_rc(tug_amqp_delivery_header(d, "x-death", TUG_OUT(&x)), TUG_ETYPE);
    const char *reason = NULL;
    struct tug_date day;
    assert_rc(tug_amqp_delivery_header(d, "x-first-death-reason", TUG_OUT(&day)), TUG_ETYPE);
    assert_ok(tug_amqp_delivery_header(d, "x-first-death-reason", TUG_OUT(&reason)));
    assert_string_equal(reason, "rejected");
    assert_ok(tug_amqp_ack(d));
    tug_amqp_delivery_unref(d);
    tug_amqp_consumer_close(c);
    tug_amqp_consumer_close(morgue);
    assert_ok(tug_amqp_queue_delete(mq, queue, NULL));
    drop(mq, dead);
}

LIVE_TEST(prefetch_bounds_what_is_out)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    for (int i = 0; i < 6; i++) {
        put(mq, queue, "x");
    }
    tug_amqp_consumer *c = consume(mq, queue, 4);
    tug_amqp_delivery *d[6];
    for (int i = 0; i < 4; i++) {
        d[i] = take(c);
    }
    assert_rc(TUG_WITHIN(TUG_MS(200), tug_amqp_consumer_next(c, &d[4])), TUG_ETIMEDOUT);
    uint64_t ready = 0;
    assert_ok(tug_amqp_queue_count(mq, queue, &ready));
    assert_int_equal(ready, 2);
    assert_ok(tug_amqp_ack(d[2])); /* not the oldest one: alone */
    d[4] = take(c);
    assert_ok(tug_amqp_ack(d[1]));
    assert_ok(tug_amqp_ack(d[0])); /* now all below 4 in one */
    d[5] = take(c);
    for (int i = 3; i < 6; i++) {
        assert_ok(tug_amqp_ack(d[i]));
    }
    for (int i = 0; i < 6; i++) {
        tug_amqp_delivery_unref(d[i]);
    }
    tug_amqp_consumer_close(c);
    assert_ok(tug_sleep(TUG_MS(50)));
    assert_ok(tug_amqp_queue_count(mq, queue, &ready));
    assert_int_equal(ready, 0);
    drop(mq, queue);
}

LIVE_TEST(bodies_of_many_frames)
{
    enum {
        SIZE = 1 << 20
    };
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    char *big = malloc(SIZE);
    assert_non_null(big);
    for (int i = 0; i < SIZE; i++) {
        big[i] = (char)(i * 7 + i / 4099);
    }
    tug_amqp_consumer *c = consume(mq, queue, 10);
    static const size_t sizes[] = {SIZE, 0, 131064, 131065, 131063, SIZE - 1};
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        m.body = tug_bytes(big, sizes[i]);
        assert_ok(tug_amqp_publish(mq, "", queue, &m));
        tug_amqp_delivery *d = take(c);
        assert_int_equal(tug_amqp_delivery_body(d).size, sizes[i]);
        assert_memory_equal(tug_amqp_delivery_body(d).data, big, sizes[i]);
        assert_ok(tug_amqp_ack(d));
        tug_amqp_delivery_unref(d);
    }
    free(big);
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

LIVE_TEST(properties_and_headers)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    struct tug_timestamp sent = {INT64_C(1700000000000000)}, at = {0};
    const tug_amqp_field headers[] = {{"run", tug_int64(-7)},
                                      {"big", tug_uint64(INT64_MAX)},
                                      {"ratio", tug_double(0.5)},
                                      {"yes", tug_bool(true)},
                                      {"text", tug_text("t\xc3\xa9xt")},
                                      {"bytes", tug_blob(tug_bytes("\0\1\2", 3))},
                                      {"at", tug_timestamp_value(sent)},
                                      {"empty", tug_text("")},
                                      {"none", tug_null()}};
    tug_amqp_message m = text("b");
    m.content_type = "application/octet-stream";
    m.correlation_id = "c-1";
    m.message_id = "";
    m.type = "stanza";
    m.headers = tug_amqp_table(headers, sizeof headers / sizeof *headers);
    assert_ok(tug_amqp_publish(mq, "", queue, &m));
    tug_amqp_consumer *c = consume(mq, queue, 1);
    tug_amqp_delivery *d = take(c);
    assert_string_equal(tug_amqp_delivery_exchange(d), "");
    assert_string_equal(tug_amqp_delivery_routing_key(d), queue);
    assert_string_equal(tug_amqp_delivery_content_type(d), "application/octet-stream");
    assert_string_equal(tug_amqp_delivery_correlation_id(d), "c-1");
    assert_string_equal(tug_amqp_delivery_message_id(d), "");
    assert_string_equal(tug_amqp_delivery_type(d), "stanza");
    int64_t run = 0;
    int8_t small = 0;
    uint64_t big = 0;
    double ratio = 0;
    bool yes = false, is_null = false;
    const char *t = NULL;
    struct tug_bytes bytes = {NULL, 0};
    char copy[8], tiny[3];
    assert_ok(tug_amqp_delivery_header(d, "run", TUG_OUT(&run)));
    assert_int_equal(run, -7);
    assert_ok(tug_amqp_delivery_header(d, "run", TUG_OUT(&small)));
    assert_int_equal(small, -7);
    assert_rc(tug_amqp_delivery_header(d, "run", TUG_OUT(&big)), TUG_ERANGE);
    assert_ok(tug_amqp_delivery_header(d, "big", TUG_OUT(&big)));
    assert_true(big == INT64_MAX);
    assert_rc(tug_amqp_delivery_header(d, "big", TUG_OUT(&small)), TUG_ERANGE);
    assert_ok(tug_amqp_delivery_header(d, "ratio", TUG_OUT(&ratio)));
    assert_true(ratio == 0.5);
    assert_ok(tug_amqp_delivery_header(d, "yes", TUG_OUT(&yes)));
    assert_true(yes);
    assert_ok(tug_amqp_delivery_header(d, "text", TUG_OUT(&t)));
    assert_string_equal(t, "t\xc3\xa9xt");
    assert_ok(tug_amqp_delivery_header(d, "text", TUG_OUT(TUG_COPY(copy))));
    assert_string_equal(copy, "t\xc3\xa9xt");
    assert_rc(tug_amqp_delivery_header(d, "text", TUG_OUT(TUG_COPY(tiny))), TUG_ELIMIT);
    assert_rc(tug_amqp_delivery_header(d, "text", TUG_OUT(&run)), TUG_ETYPE);
    assert_ok(tug_amqp_delivery_header(d, "bytes", TUG_OUT(&bytes)));
    assert_int_equal(bytes.size, 3);
    assert_memory_equal(bytes.data, "\0\1\2", 3);
    assert_rc(tug_amqp_delivery_header(d, "bytes", TUG_OUT(&t)), TUG_ETYPE);
    assert_ok(tug_amqp_delivery_header(d, "at", TUG_OUT(&at)));
    assert_true(at.us == sent.us);
    assert_ok(tug_amqp_delivery_header(d, "empty", TUG_OUT(&t)));
    assert_string_equal(t, "");
    assert_rc(tug_amqp_delivery_header(d, "none", TUG_OUT(&run)), TUG_ENULL);
    assert_ok(tug_amqp_delivery_header(d, "none", TUG_OUT(TUG_NULLABLE(&run, &is_null))));
    assert_true(is_null);
    assert_rc(tug_amqp_delivery_header(d, "absent", TUG_OUT(&run)), TUG_ENOTFOUND);
    assert_ok(tug_amqp_ack(d));
    tug_amqp_delivery_unref(d);
    tug_amqp_consumer_close(c);
    drop(mq, queue);
}

LIVE_TEST(unroutable_mandatory_ones_fail)
{
    enum {
        N = 20
    };
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq), *nowhere = test_name();
    tug_future *f[N];
    tug_amqp_message m = text("x");
    for (int i = 0; i < N; i++) { /* among others, so that each return must find its own */
        m.mandatory = i % 3 != 0;
        f[i] = tug_amqp_publish_start(mq, "", i % 2 == 0 ? nowhere : queue, &m);
    }
    for (int i = 0; i < N; i++) {
        assert_rc(tug_await(f[i]), i % 3 != 0 && i % 2 == 0 ? TUG_ENOTFOUND : 0);
    }
    assert_rc(tug_await(f[2]), TUG_ENOTFOUND);
    assert_detail_has(nowhere);
    assert_detail_has("NO_ROUTE");
    assert_string_equal(tug_last_error()->native, "312");
    tug_future_drop_all(f, N);
    uint64_t n = 0;
    assert_ok(tug_amqp_queue_count(mq, queue, &n));
    assert_int_equal(n, N / 2);
    drop(mq, queue);
}

LIVE_TEST(unknown_exchange_fails_and_heals)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    tug_amqp_message m = text("x");
    assert_rc(tug_amqp_publish(mq, "no-such-exchange", "k", &m), TUG_ESERVER);
    assert_detail_has("404 NOT_FOUND");
    assert_detail_has("no-such-exchange");
    put(mq, queue, "again");
    tug_future *bad = tug_amqp_publish_start(mq, "no-such-exchange", "k", &m);
    tug_future *good = tug_amqp_publish_start(mq, "", queue, &m);
    assert_rc(tug_await(bad), TUG_ESERVER);
    int rc = tug_await(good);
    assert_true(rc == TUG_ESERVER);
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    tug_future_drop(bad);
    tug_future_drop(good);
    put(mq, queue, "and again");
    drop(mq, queue);
}

LIVE_TEST(bad_arguments)
{
    tug_amqp *mq = broker(NULL);
    tug_amqp_message m = text("x");
    char name[261];
    memset(name, 'n', 260);
    name[260] = 0;
    const tug_amqp_field header = {name, tug_int64(1)};
    m.headers = tug_amqp_table(&header, 1);
    assert_rc(tug_amqp_publish(mq, "", "q", &m), TUG_EINVAL);
    assert_detail_has("255");
    m = text("x");
    assert_rc(tug_amqp_publish(mq, name, "q", &m), TUG_EINVAL);
    assert_rc(tug_amqp_publish(mq, "", NULL, &m), TUG_EINVAL);
    assert_rc(tug_amqp_publish(mq, "", "q", NULL), TUG_EINVAL);
    m.size = 1;
    assert_rc(tug_amqp_publish(mq, "", "q", &m), TUG_EINVAL);
    m = text("x");
    m.body.size = (size_t)1 << 40;
    assert_rc(tug_amqp_publish(mq, "", "q", &m), TUG_ELIMIT);
    assert_rc(tug_amqp_queue_declare(mq, name, NULL), TUG_EINVAL);
    assert_rc(tug_amqp_queue_declare(NULL, "q", NULL), TUG_EINVAL);
    tug_amqp_delivery *d = NULL;
    assert_rc(tug_amqp_consumer_next(NULL, &d), TUG_EINVAL);
    assert_rc(tug_amqp_ack(NULL), TUG_EINVAL);
    tug_amqp_consume_options o = TUG_AMQP_CONSUME_OPTIONS_INIT;
    tug_amqp_consumer *c = NULL;
    o.prefetch = 0;
    assert_rc(tug_amqp_consume(mq, "q", &o, &c), TUG_EINVAL);
    assert_rc(tug_amqp_consume(mq, "tug-no-such-queue", NULL, &c), TUG_ENOTFOUND);
    assert_detail_has("tug-no-such-queue");
    assert_null(c);
    tug_amqp_close(mq);
}

/* Headers larger than a frame cannot be sent; the connection lives on. */
LIVE_TEST(headers_larger_than_a_frame)
{
    tug_amqp *mq = broker(NULL);
    const char *queue = queue_of(mq);
    char *big = malloc(200000);
    assert_non_null(big);
    memset(big, 'h', 199999);
    big[199999] = 0;
    const tug_amqp_field header = {"big", tug_text(big)};
    tug_amqp_message m = text("x");
    m.headers = tug_amqp_table(&header, 1);
    assert_rc(tug_amqp_publish(mq, "", queue, &m), TUG_ELIMIT);
    assert_detail_has("frame_max");
    free(big);
    put(mq, queue, "small");
    drop(mq, queue);
}
