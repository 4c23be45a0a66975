/* What every driver must do. Each case stands between the driver and its real server with a proxy that does one
 * thing wrong, and asks afterwards whether all is well again: the right answer, over a new connection where the
 * old one is gone. Memory, futures, tasks and descriptors are counted by the harness. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/group.h>
#include <tug/scope.h>

#include "conformance.h"
#include "proxy.h"
#include "test.h"

/* Far longer than a connect and its backoff. */
#define PATIENCE TUG_SECONDS(15)
/* What "at once" may take on a busy machine. */
#define SOON TUG_SECONDS(5)

static const conformance_driver *const driver = &conformance_subject;
static const conformance_setup defaults;

struct rig {
    proxy *proxy;
    char url[400];
    void *handle;
};

static const char *sanity_end(const char *from)
{
    return from + strcspn(from, "/?");
}

/* The proxy alone; the handle is opened by the case. */
static struct rig rig_proxy(void)
{
    struct rig r = {.handle = NULL};
    const char *url = test_url(driver->variable);
    const char *host = strrchr(url, '@');
    char target[200];
    assert_non_null(host);
    const char *end = sanity_end(++host);
    snprintf(target, sizeof target, "tcp://%.*s", (int)(end - host), host);
    r.proxy = proxy_start(target);
    snprintf(r.url, sizeof r.url, "%.*s127.0.0.1:%d%s", (int)(host - url), url, proxy_port(r.proxy),
             end);
    return r;
}

static void rig_open(struct rig *r, const conformance_setup *setup)
{
    assert_ok(driver->open(r->url, setup, &r->handle));
}

static struct rig rig_start(const conformance_setup *setup)
{
    struct rig r = rig_proxy();
    rig_open(&r, setup);
    assert_ok(driver->ready(r.handle));
    return r;
}

static void rig_stop(struct rig *r)
{
    driver->close(r->handle);
    proxy_stop(r->proxy);
}

/* The right answer, in time. */
static void ask_well(struct rig *r, int32_t number)
{
    int32_t answer = 0;
    assert_ok(TUG_WITHIN(PATIENCE, driver->ask(r->handle, number, &answer)));
    assert_int_equal(answer, number + 1);
}

static int ask(struct rig *r, int32_t number)
{
    int32_t answer = 0;
    int rc = TUG_WITHIN(PATIENCE, driver->ask(r->handle, number, &answer));
    if (rc == 0) {
        assert_int_equal(answer, number + 1);
    }
    return rc;
}

static void stall(struct rig *r, int way)
{
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[way].stall = true;
    proxy_set_all(r->proxy, &rules);
}

static void go_on(struct rig *r)
{
    proxy_set_all(r->proxy, NULL);
}

/* Until a request has gone by: it is in flight then, and its answer is held back. */
static void wait_sent(proxy_link *link, uint64_t since)
{
    while (proxy_link_bytes(link, PROXY_UP) == since) {
        assert_ok(tug_sleep(TUG_US(200)));
    }
}

static void assert_failed_to_connect(int rc)
{
    assert_rc(rc, TUG_ECONNECT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_true(tug_last_error()->transient);
}

/* --- connecting ------------------------------------------------------------------------------- */

LIVE_TEST(refused)
{
    struct rig r = rig_proxy();
    proxy_refuse(r.proxy, true);
    rig_open(&r, &defaults);
    assert_failed_to_connect(driver->ready(r.handle));
    assert_detail_has("refused");
    int32_t answer = 0;
    int rc = TUG_WITHIN(TUG_MS(150), driver->ask(r.handle, 1, &answer));
    assert_true(rc == TUG_ECONNECT || rc == TUG_ETIMEDOUT);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    proxy_refuse(r.proxy, false);
    ask_well(&r, 2);
    rig_stop(&r);
}

LIVE_TEST(hung_up)
{
    struct rig r = rig_proxy();
    proxy_hang_up(r.proxy, true);
    rig_open(&r, &defaults);
    assert_failed_to_connect(driver->ready(r.handle));
    proxy_hang_up(r.proxy, false);
    ask_well(&r, 1);
    rig_stop(&r);
}

LIVE_TEST(silent)
{
    struct rig r = rig_proxy();
    conformance_setup setup = {.connect_timeout = TUG_MS(200)};
    stall(&r, PROXY_DOWN);
    tug_time before = tug_now();
    rig_open(&r, &setup);
    assert_failed_to_connect(driver->ready(r.handle));
    tug_duration took = tug_now() - before;
    assert_true(took >= TUG_MS(190) && took < SOON);
    go_on(&r);
    /* 200 ms are little for a login on a busy machine, but there are many attempts. */
    ask_well(&r, 1);
    rig_stop(&r);
}

LIVE_TEST(closed_while_it_connects)
{
    struct rig r = rig_proxy();
    stall(&r, PROXY_DOWN);
    rig_open(&r, &defaults);
    tug_future *f = driver->ask_start(r.handle, 1);
    assert_rc(TUG_WITHIN(TUG_MS(30), driver->ready(r.handle)), TUG_ETIMEDOUT);
    tug_time before = tug_now();
    driver->close(r.handle);
    assert_rc(tug_await(f), TUG_ECLOSED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_true(tug_now() - before < SOON);
    tug_future_unref(f);
    proxy_stop(r.proxy);
}

/* --- cut -------------------------------------------------------------------------------------- */

static void cut_login(int way)
{
    struct rig r = rig_start(&defaults);
    uint64_t total = proxy_link_bytes(proxy_link_last(r.proxy), way);
    driver->close(r.handle);
    assert_true(total > 10);
    proxy_rules rules = PROXY_RULES_INIT;
    for (uint64_t n = 0; n < total; n++) {
        rules.way[way].cut_after = n;
        proxy_set(r.proxy, &rules);
        rig_open(&r, &defaults);
        assert_failed_to_connect(driver->ready(r.handle));
        driver->close(r.handle);
    }
    proxy_set(r.proxy, NULL);
    rig_open(&r, &defaults);
    ask_well(&r, 1);
    rig_stop(&r);
}

LIVE_TEST(cut_at_every_byte_that_the_server_says_at_login)
{
    cut_login(PROXY_DOWN);
}

LIVE_TEST(cut_at_every_byte_that_the_driver_says_at_login)
{
    cut_login(PROXY_UP);
}

/* The next request's bytes that way, counted from now, but for the first n, meet a closed connection. */
static proxy_link *cut_next(struct rig *r, int way, uint64_t n)
{
    proxy_link *link = proxy_link_last(r->proxy);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[way].cut_after = proxy_link_bytes(link, way) + n;
    proxy_link_set(link, &rules);
    return link;
}

/* That fails, and says that it was on its way. moves: unless the driver could know that nothing of it had
 * happened yet, and sent it over another connection. */
static void ask_into_the_cut(struct rig *r, int way, uint64_t n, bool moves)
{
    proxy_link *link = cut_next(r, way, n);
    int rc = ask(r, (int32_t)n + 1000);
    if (rc < 0 || !moves) {
        assert_rc(rc, TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
        assert_true(tug_last_error()->transient);
    }
    assert_false(proxy_link_is_open(link));
}

/* How many bytes that way one request takes. */
static uint64_t measure(struct rig *r, int way)
{
    proxy_link *link = proxy_link_last(r->proxy);
    uint64_t before = proxy_link_bytes(link, way);
    ask_well(r, 1);
    uint64_t bytes = proxy_link_bytes(link, way) - before;
    assert_true(bytes > 3);
    return bytes;
}

static void cut_request(int way)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    uint64_t total = measure(&r, way);
    for (uint64_t n = 0; n < total; n++) {
        ask_into_the_cut(&r, way, n, false);
        ask_well(&r, 1); /* over a new connection, of which this is the first */
    }
    proxy_link *link = cut_next(&r, way, total);
    ask_well(&r, 2);
    assert_true(proxy_link_is_open(link));
    rig_stop(&r);
}

/* The first request on a connection may say and hear more than those after it. */
static void cut_first_request(int way)
{
    struct rig r = rig_start(&defaults);
    uint64_t total = measure(&r, way);
    driver->close(r.handle);
    for (uint64_t n = 0; n < total; n++) {
        rig_open(&r, &defaults);
        assert_ok(TUG_WITHIN(PATIENCE, driver->ready(r.handle)));
        ask_into_the_cut(&r, way, n, true);
        ask_well(&r, 1);
        driver->close(r.handle);
    }
    proxy_stop(r.proxy);
}

LIVE_TEST(cut_at_every_byte_of_an_answer)
{
    cut_request(PROXY_DOWN);
}

LIVE_TEST(cut_at_every_byte_of_a_request)
{
    cut_request(PROXY_UP);
}

LIVE_TEST(cut_at_every_byte_of_the_first_answer)
{
    cut_first_request(PROXY_DOWN);
}

LIVE_TEST(cut_at_every_byte_of_the_first_request)
{
    cut_first_request(PROXY_UP);
}

LIVE_TEST(cut_while_idle)
{
    struct rig r = rig_start(&defaults);
    for (int i = 0; i < 10; i++) {
        ask_well(&r, i);
        proxy_link *link = proxy_link_last(r.proxy);
        proxy_link_cut(link);
        tug_test_settle(); /* the driver hears of it */
        ask_well(&r, i);
        assert_true(proxy_link_last(r.proxy) != link);
    }
    assert_true(proxy_accepted(r.proxy) == 11);
    rig_stop(&r);
}

/* --- a bad network that holds ----------------------------------------------------------------- */

static void ask_many(struct rig *r, int32_t n)
{
    tug_future **all = calloc((size_t)n, sizeof(tug_future *));
    assert_non_null(all);
    for (int32_t i = 0; i < n; i++) {
        all[i] = driver->ask_start(r->handle, i);
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t answer = 0;
        assert_ok(tug_await(all[i]));
        assert_ok(driver->ask_take(all[i], &answer));
        assert_int_equal(answer, i + 1);
        tug_future_unref(all[i]);
    }
    free(all);
}

LIVE_TEST(one_byte_at_a_time)
{
    struct rig r = rig_proxy();
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_UP].piece = rules.way[PROXY_DOWN].piece = 1;
    proxy_set(r.proxy, &rules);
    rig_open(&r, &defaults);
    assert_ok(driver->ready(r.handle));
    ask_well(&r, 1);
    ask_many(&r, 50);
    rig_stop(&r);
}

LIVE_TEST(many_in_odd_pieces)
{
    struct rig r = rig_start(&defaults);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_UP].piece = 37;
    rules.way[PROXY_DOWN].piece = 11;
    proxy_set_all(r.proxy, &rules);
    ask_many(&r, 500);
    rig_stop(&r);
}

LIVE_TEST(far_away)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    proxy_rules rules = PROXY_RULES_INIT;
    rules.way[PROXY_UP].latency = rules.way[PROXY_DOWN].latency = TUG_MS(20);
    proxy_set_all(r.proxy, &rules);
    tug_time before = tug_now();
    ask_well(&r, 2);
    assert_true(tug_now() - before >= TUG_MS(40));
    /* What is asked at once travels together: not 50 times the distance. */
    before = tug_now();
    ask_many(&r, 50);
    assert_true(tug_now() - before < 50 * TUG_MS(40));
    rig_stop(&r);
}

/* --- cancel, deadline, close ------------------------------------------------------------------ */

struct asker {
    struct rig *rig;
    tug_scope scope;
    int32_t number, answer;
    int rc;
    tug_error error;
};

static int ask_in_scope(void *arg)
{
    struct asker *a = arg;
    tug_scope_enter(&a->scope, TUG_FOREVER);
    a->rc = driver->ask(a->rig->handle, a->number, &a->answer);
    a->error = *tug_last_error();
    TUG_IGNORE(tug_scope_leave(&a->scope, 0));
    return 0;
}

LIVE_TEST(cancelled_in_flight)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    proxy_link *link = proxy_link_last(r.proxy); /* later ones may be those of cancel requests */
    for (int32_t i = 0; i < 20; i++) {
        struct asker a = {.rig = &r, .number = i, .answer = -1};
        uint64_t since = proxy_link_bytes(link, PROXY_UP);
        stall(&r, PROXY_DOWN);
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        assert_ok(tug_group_spawn(&g, ask_in_scope, &a));
        wait_sent(link, since);
        tug_scope_cancel(&a.scope);
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(a.rc, TUG_ECANCELED);
        assert_int_equal(a.error.code, TUG_ECANCELED);
        assert_int_equal(a.error.sent, TUG_IN_FLIGHT);
        assert_int_equal(a.answer, -1);
        go_on(&r);
        ask_well(&r, i + 100); /* and not i + 1, which comes first */
    }
    rig_stop(&r);
}

LIVE_TEST(cancelled_on_entry)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    proxy_link *link = proxy_link_last(r.proxy);
    uint64_t since = proxy_link_bytes(link, PROXY_UP);
    int32_t answer = -1;
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(driver->ask(r.handle, 2, &answer), TUG_ECANCELED);
    assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    assert_ok(tug_scope_leave(&s, 0));
    tug_test_settle();
    assert_int_equal(proxy_link_bytes(link, PROXY_UP), since);
    assert_int_equal(answer, -1);
    ask_well(&r, 3);
    rig_stop(&r);
}

LIVE_TEST(late_answers_are_swallowed)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    for (int32_t i = 0; i < 20; i++) {
        proxy_link *link = proxy_link_last(r.proxy);
        uint64_t since = proxy_link_bytes(link, PROXY_UP);
        tug_future *f[3];
        stall(&r, PROXY_DOWN);
        for (int32_t k = 0; k < 3; k++) {
            f[k] = driver->ask_start(r.handle, 100 * (k + 1) + i);
        }
        wait_sent(link, since);
        tug_future_cancel(f[i % 2]); /* the head, or the one in the middle */
        assert_rc(tug_await(f[i % 2]), TUG_EDROPPED);
        assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
        go_on(&r);
        for (int32_t k = 0; k < 3; k++) {
            int32_t answer = 0;
            if (k != i % 2) {
                assert_ok(TUG_WITHIN(PATIENCE, tug_await(f[k])));
                assert_ok(driver->ask_take(f[k], &answer));
                assert_int_equal(answer, 100 * (k + 1) + i + 1);
            }
            tug_future_unref(f[k]);
        }
    }
    rig_stop(&r);
}

LIVE_TEST(deadline)
{
    struct rig r = rig_start(&defaults);
    ask_well(&r, 1);
    stall(&r, PROXY_DOWN);
    int32_t answer = -1;
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(50), driver->ask(r.handle, 2, &answer)), TUG_ETIMEDOUT);
    tug_duration took = tug_now() - before;
    assert_int_equal(tug_last_error()->sent, TUG_IN_FLIGHT);
    assert_true(took >= TUG_MS(50) && took < SOON);
    assert_int_equal(answer, -1);
    go_on(&r);
    ask_well(&r, 3);
    rig_stop(&r);
}

LIVE_TEST(closed_with_waiters)
{
    enum {
        N = 20
    };
    conformance_setup setup = {.in_flight = 2};
    struct rig r = rig_start(&setup);
    ask_well(&r, 1);
    proxy_link *link = proxy_link_last(r.proxy);
    uint64_t since = proxy_link_bytes(link, PROXY_UP);
    tug_future *f[N];
    stall(&r, PROXY_DOWN);
    for (int32_t i = 0; i < N; i++) {
        f[i] = driver->ask_start(r.handle, i);
    }
    wait_sent(link, since);
    tug_time before = tug_now();
    driver->close(r.handle);
    for (int32_t i = 0; i < N; i++) {
        assert_rc(tug_await(f[i]), TUG_ECLOSED);
        assert_int_equal(tug_last_error()->sent, i < 2 ? TUG_IN_FLIGHT : TUG_NOT_SENT);
        tug_future_unref(f[i]);
    }
    assert_true(tug_now() - before < SOON);
    proxy_stop(r.proxy);
}

/* --- limits ----------------------------------------------------------------------------------- */

LIVE_TEST(too_large_an_answer)
{
    conformance_setup setup = {.answer_bytes = 65536};
    struct rig r = rig_start(&setup);
    ask_well(&r, 1);
    assert_ok(driver->ask_large(r.handle, 1000));
    assert_rc(TUG_WITHIN(PATIENCE, driver->ask_large(r.handle, 4 << 20)), TUG_ELIMIT);
    ask_well(&r, 2);
    rig_stop(&r);
}

LIVE_TEST(too_many_waiting)
{
    enum {
        N = 20
    };
    conformance_setup setup = {.in_flight = 2, .waiting = 4};
    struct rig r = rig_start(&setup);
    ask_well(&r, 1);
    tug_future *f[N];
    stall(&r, PROXY_DOWN);
    for (int32_t i = 0; i < N; i++) {
        f[i] = driver->ask_start(r.handle, i);
    }
    for (int32_t i = 6; i < N; i++) {
        assert_rc(TUG_WITHIN(SOON, tug_await(f[i])), TUG_ELIMIT);
        assert_int_equal(tug_last_error()->sent, TUG_NOT_SENT);
    }
    go_on(&r);
    for (int32_t i = 0; i < N; i++) {
        int32_t answer = 0;
        if (i < 6) {
            assert_ok(TUG_WITHIN(PATIENCE, tug_await(f[i])));
            assert_ok(driver->ask_take(f[i], &answer));
            assert_int_equal(answer, i + 1);
        }
        tug_future_unref(f[i]);
    }
    ask_well(&r, 2);
    rig_stop(&r);
}
