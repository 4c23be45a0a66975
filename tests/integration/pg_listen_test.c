/* LISTEN and NOTIFY on a real server: what is heard, what is said to be lost, and how it ends. */
#include <signal.h>
#include <stdlib.h>
#include <tug/group.h>
#include <tug/inspect.h>
#include <tug/loop.h>
#include <tug/pg_listen.h>
#include <tug/scope.h>
#include <unistd.h>

#include "pg_role.h"
#include "proxy.h"

/* A pool whose connections can be told from all others: those of a listener, since it opens none of
 * its own. */
static tug_pg *open_named(const char *name)
{
    char url[400];
    const char *base = test_url("TUG_PG_URL");
    snprintf(url, sizeof url, "%s%capplication_name=%s", base, strchr(base, '?') ? '&' : '?', name);
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    tug_pg *db = NULL;
    assert_ok(tug_pg_open(url, &o, &db));
    return db;
}

static tug_pg_listener *listen_one(tug_pg *db, const char *channel, const tug_pg_listen_options *o)
{
    tug_pg_listener *l = NULL;
    assert_ok(tug_pg_listen(db, &channel, 1, o, &l));
    return l;
}

static const tug_pg_notification *next(tug_pg_listener *l)
{
    const tug_pg_notification *n = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_listener_next(l, &n)), 1);
    return n;
}

static void expect(tug_pg_listener *l, const char *channel, const char *payload)
{
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_NOTIFICATION);
    assert_string_equal(n->channel, channel);
    assert_string_equal(n->payload, payload);
    assert_int_equal(n->payload_size, strlen(payload));
}

static void expect_silence(tug_pg_listener *l)
{
    const tug_pg_notification *n = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_listener_next(l, &n)), TUG_ETIMEDOUT);
}

static int64_t now_us(tug_pg *db)
{
    return help_int(db, "select (extract(epoch from clock_timestamp()) * 1000000)::int8");
}

/* --- hearing ---------------------------------------------------------------------------------- */

LIVE_TEST(hears_what_is_sent)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    TUG_AUTO(tug_pg_listener) l = listen_one(db, channel, NULL);
    assert_ok(tug_pg_notify(db, channel, "hello"));
    assert_ok(tug_pg_notify(db, channel, NULL));
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_NOTIFICATION);
    assert_string_equal(n->channel, channel);
    assert_string_equal(n->payload, "hello");
    assert_int_equal(n->sender, help_int(db, "select pg_backend_pid()"));
    expect(l, channel, "");
    expect_silence(l);
}

LIVE_TEST(takes_no_connection_of_the_pool)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg_listener) a = listen_one(db, test_name(), NULL);
    TUG_AUTO(tug_pg_listener) b = listen_one(db, test_name(), NULL);
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(TUG_WITHIN(TUG_SECONDS(5), tug_pg_acquire(db, &session)));
    assert_int_equal(help_int(session, "select 1"), 1);
}

LIVE_TEST(hears_ten_thousand_in_order)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    TUG_AUTO(tug_pg_listener) l = listen_one(db, channel, NULL);
    assert_ok(tug_pg_exec(db, "select pg_notify($1, i::text) from generate_series(0, 9999) i",
                          TUG_ARGS(channel), NULL));
    for (int i = 0; i < 10000; i++) {
        const tug_pg_notification *n = next(l);
        assert_int_equal(n->kind, TUG_PG_NOTIFICATION);
        assert_int_equal(atoi(n->payload), i);
    }
    expect_silence(l);
}

LIVE_TEST(hears_the_longest_payload_and_not_a_longer_one)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    static char payload[8001];
    memset(payload, 'x', sizeof payload - 1);
    TUG_AUTO(tug_pg_listener) l = listen_one(db, channel, NULL);
    assert_rc(tug_pg_notify(db, channel, payload), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "22023");
    payload[7999] = '\0';
    assert_ok(tug_pg_notify(db, channel, payload));
    expect(l, channel, payload);
}

LIVE_TEST(hears_with_the_commit_and_equal_ones_once)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    TUG_AUTO(tug_pg_listener) l = listen_one(db, channel, NULL);
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_notify(tx, channel, "same"));
    assert_ok(tug_pg_notify(tx, channel, "other"));
    assert_ok(tug_pg_notify(tx, channel, "same"));
    expect_silence(l);
    assert_ok(tug_pg_commit(tx));
    expect(l, channel, "same");
    expect(l, channel, "other");
    expect_silence(l);
}

LIVE_TEST(a_rollback_sends_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    TUG_AUTO(tug_pg_listener) l = listen_one(db, channel, NULL);
    tug_pg *tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_notify(tx, channel, "never"));
    tug_pg_close(tx);
    assert_ok(tug_pg_notify(db, channel, "after"));
    expect(l, channel, "after");
}

LIVE_TEST(several_listeners_hear_their_own)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    char a[64], b[64];
    snprintf(a, sizeof a, "%s", test_name());
    snprintf(b, sizeof b, "%s", test_name());
    const char *both[] = {a, b};
    TUG_AUTO(tug_pg_listener) first = listen_one(db, a, NULL);
    TUG_AUTO(tug_pg_listener) second = NULL;
    assert_ok(tug_pg_listen(db, both, 2, NULL, &second));
    assert_ok(tug_pg_notify(db, a, "1"));
    assert_ok(tug_pg_notify(db, b, "2"));
    expect(first, a, "1");
    expect_silence(first);
    expect(second, a, "1");
    expect(second, b, "2");
}

LIVE_TEST(a_channel_is_a_name_as_it_is)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    char name[64];
    snprintf(name, sizeof name, "%s \"Q\" '; x", test_name());
    TUG_AUTO(tug_pg_listener) l = listen_one(db, name, NULL);
    assert_ok(tug_pg_notify(db, name, "it is"));
    expect(l, name, "it is");
}

/* --- channels at run time --------------------------------------------------------------------- */

LIVE_TEST(channels_come_and_go)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    char a[64], b[64];
    snprintf(a, sizeof a, "%s", test_name());
    snprintf(b, sizeof b, "%s", test_name());
    TUG_AUTO(tug_pg_listener) l = listen_one(db, a, NULL);
    assert_ok(tug_pg_listener_add(l, b));
    assert_ok(tug_pg_listener_add(l, b));
    assert_ok(tug_pg_notify(db, b, "1"));
    expect(l, b, "1");
    assert_ok(tug_pg_notify(db, b, "2"));
    assert_ok(tug_pg_notify(db, a, "3"));
    assert_ok(tug_pg_listener_remove(l, b));
    expect(l, a, "3");
    assert_rc(tug_pg_listener_remove(l, b), TUG_ENOTFOUND);
    assert_ok(tug_pg_notify(db, b, "4"));
    assert_ok(tug_pg_listener_add(l, b)); /* while the UNLISTEN is on its way */
    assert_ok(tug_pg_notify(db, b, "5"));
    const tug_pg_notification *n = next(l);
    if (strcmp(n->payload, "4") == 0) { /* the add was faster than the UNLISTEN */
        n = next(l);
    }
    assert_string_equal(n->channel, b);
    assert_string_equal(n->payload, "5");
    expect_silence(l);
}

LIVE_TEST(removing_takes_what_waits_in_the_queue)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    char a[64], b[64];
    snprintf(a, sizeof a, "%s", test_name());
    snprintf(b, sizeof b, "%s", test_name());
    const char *both[] = {a, b};
    TUG_AUTO(tug_pg_listener) l = NULL;
    assert_ok(tug_pg_listen(db, both, 2, NULL, &l));
    assert_ok(tug_pg_notify(db, a, "1"));
    assert_ok(tug_pg_notify(db, b, "2"));
    assert_ok(tug_pg_notify(db, a, "3"));
    assert_ok(tug_pg_notify(db, b, "4"));
    expect(l, a, "1");
    expect(l, b, "2"); /* all have come by now, or come later: both are forgotten */
    assert_ok(tug_pg_listener_remove(l, a));
    expect(l, b, "4");
    expect_silence(l);
}

LIVE_TEST(a_thousand_channels)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    static char names[1000][64];
    static const char *channels[1000];
    for (size_t i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "%s", test_name());
        channels[i] = names[i];
    }
    TUG_AUTO(tug_pg_listener) l = NULL;
    assert_ok(tug_pg_listen(db, channels, 1000, NULL, &l));
    for (size_t i = 0; i < 1000; i += 111) {
        assert_ok(tug_pg_notify(db, names[i], "x"));
        expect(l, names[i], "x");
    }
}

static int add_task(void *arg)
{
    return tug_pg_listener_add(arg, "tug_never_there");
}

LIVE_TEST(an_add_that_is_cancelled_leaves_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg) named = open_named(name);
    TUG_AUTO(tug_pg_listener) l = listen_one(named, name, NULL);
    pid_t backend = (pid_t)backend_of(db, name);
    assert_true(backend > 0);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    assert_rc(TUG_WITHIN(TUG_MS(50), add_task(l)), TUG_ETIMEDOUT);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_ok(tug_pg_notify(db, "tug_never_there", "x"));
    assert_ok(tug_pg_notify(db, name, "y"));
    expect(l, name, "y");
    assert_rc(tug_pg_listener_remove(l, "tug_never_there"), TUG_ENOTFOUND);
    /* And cancelled on entry nothing happens. */
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_pg_listener_add(l, "tug_never_there"), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
}

/* --- losing ----------------------------------------------------------------------------------- */

LIVE_TEST(a_killed_backend_is_a_gap_and_no_end)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg) named = open_named(name);
    TUG_AUTO(tug_pg_listener) l = listen_one(named, name, NULL);
    int64_t before = now_us(db);
    assert_ok(tug_pg_listener_add(l, "tug_second"));
    assert_ok(tug_pg_notify(db, name, "before"));
    expect(l, name, "before");
    terminate(db, name);
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_int_equal(n->outages, 1);
    assert_int_equal(n->dropped, 0);
    assert_null(n->channel);
    int64_t after = now_us(db);
    assert_true(n->since.us >= before && n->since.us <= n->until.us && n->until.us <= after);
    assert_ok(tug_pg_notify(db, name, "after"));
    assert_ok(tug_pg_notify(db, "tug_second", "after"));
    expect(l, name, "after");
    expect(l, "tug_second", "after");
}

/* What was sent while the last one that came was on its way is missing, too. */
LIVE_TEST(a_gap_begins_before_what_is_missing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    char url[400], server[64];
    const char *base = test_url("TUG_PG_URL");
    const char *port = strrchr(base, ':') + 1;
    size_t digits = strcspn(port, "/");
    snprintf(server, sizeof server, "tcp://127.0.0.1:%.*s", (int)digits, port);
    proxy *p = proxy_start(server);
    snprintf(url, sizeof url, "%.*s%d%s", (int)(port - base), base, proxy_port(p), port + digits);
    tug_pg_options none = TUG_PG_OPTIONS_INIT;
    none.shared = 0;
    tug_pg *far = NULL;
    assert_ok(tug_pg_open(url, &none, &far));
    tug_pg_listener *l = listen_one(far, name, NULL);
    proxy_rules slow = PROXY_RULES_INIT;
    slow.way[PROXY_DOWN].latency = TUG_MS(100);
    proxy_link_set(proxy_link_last(p), &slow);
    assert_ok(tug_pg_notify(db, name, "comes"));
    assert_ok(tug_sleep(TUG_MS(20))); /* so that it is a piece of its own */
    int64_t before = now_us(db);
    assert_ok(tug_pg_notify(db, name, "is lost on its way"));
    expect(l, name, "comes");
    proxy_cut_all(p);
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_true(n->since.us <= before && before <= n->until.us);
    tug_pg_listener_close(l);
    tug_pg_close(far);
    proxy_stop(p);
}

/* One that is busy is asked as well: else its next gap would begin with its first notification. */
LIVE_TEST(a_busy_connection_is_checked)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg) named = open_named(name);
    tug_pg_listen_options o = TUG_PG_LISTEN_OPTIONS_INIT;
    o.check_after = TUG_MS(20);
    TUG_AUTO(tug_pg_listener) l = listen_one(named, name, &o);
    int64_t before = now_us(db);
    for (int i = 0; i < 30; i++) {
        assert_ok(tug_pg_notify(db, name, "and again"));
        expect(l, name, "and again");
        assert_ok(tug_sleep(TUG_MS(5)));
    }
    terminate(db, name);
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_true(n->since.us > before);
}

static tug_pg_listener *listen_as(const struct role *r, const tug_pg_listen_options *o)
{
    tug_pg_options none = TUG_PG_OPTIONS_INIT;
    none.shared = 0;
    tug_pg *db = NULL;
    assert_ok(tug_pg_open(r->url, &none, &db));
    tug_pg_listener *l = listen_one(db, r->name, o);
    tug_pg_close(db); /* the listener lives on */
    return l;
}

LIVE_TEST(an_outage_is_waited_out)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    struct role r = create_role(db, "login");
    tug_pg_listener *l = listen_as(&r, NULL);
    role_sql(&r, "alter role @ connection limit 0"); /* of the kind that waiting cures */
    terminate(db, r.name);
    const tug_pg_notification *n = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(300), tug_pg_listener_next(l, &n)), TUG_ETIMEDOUT);
    role_sql(&r, "alter role @ connection limit -1");
    n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_int_equal(n->outages, 1);
    assert_true(n->until.us - n->since.us >= 300000);
    assert_ok(tug_pg_notify(db, r.name, "back"));
    expect(l, r.name, "back");
    tug_pg_listener_close(l);
    drop_role(&r);
}

LIVE_TEST(what_waiting_does_not_cure_is_said)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    struct role r = create_role(db, "login");
    tug_pg_listener *l = listen_as(&r, NULL);
    role_sql(&r, "alter role @ nologin");
    terminate(db, r.name);
    const tug_pg_notification *n = NULL;
    for (int i = 0; i < 2; i++) { /* again and again, and yet not the end */
        assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_listener_next(l, &n)), TUG_EAUTH);
        assert_detail_has("not permitted to log in");
        assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_listener_add(l, "tug_more")), TUG_EAUTH);
    }
    role_sql(&r, "alter role @ login");
    int rc = TUG_EAUTH;
    while (rc == TUG_EAUTH) {
        rc = tug_pg_listener_next(l, &n);
    }
    assert_int_equal(rc, 1);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_rc(tug_pg_listener_remove(l, "tug_more"), TUG_ENOTFOUND);
    tug_pg_listener_close(l);
    drop_role(&r);
}

LIVE_TEST(patience_has_an_end)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    struct role r = create_role(db, "login");
    tug_pg_listen_options o = TUG_PG_LISTEN_OPTIONS_INIT;
    o.patience = TUG_MS(150);
    o.backoff_first = TUG_MS(20);
    tug_pg_listener *l = listen_as(&r, &o);
    role_sql(&r, "alter role @ connection limit 0");
    tug_time before = tug_now();
    terminate(db, r.name);
    const tug_pg_notification *n = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_listener_next(l, &n)), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "53300");
    assert_true(tug_now() - before >= TUG_MS(150));
    role_sql(&r, "alter role @ connection limit -1");
    int rc = TUG_ESERVER;
    while (rc == TUG_ESERVER) {
        rc = tug_pg_listener_next(l, &n);
    }
    assert_int_equal(rc, 1);
    assert_int_equal(n->kind, TUG_PG_LOST);
    tug_pg_listener_close(l);
    drop_role(&r);
}

LIVE_TEST(a_silent_server_is_found_out)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg) named = open_named(name);
    tug_pg_listen_options o = TUG_PG_LISTEN_OPTIONS_INIT;
    o.check_after = TUG_MS(20);
    o.check_timeout = TUG_SECONDS(1); /* a busy server answers within it */
    TUG_AUTO(tug_pg_listener) l = listen_one(named, name, &o);
    expect_silence(l); /* checks that are answered do no harm */
    expect_silence(l);
    pid_t backend = (pid_t)backend_of(db, name);
    assert_true(backend > 0);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_int_equal(n->outages, 1);
    assert_ok(tug_pg_notify(db, name, "new"));
    assert_int_equal(kill(backend, SIGCONT), 0);
    expect(l, name, "new");
}

/* Until both listeners have heard so many. */
static void await_received(const char *count)
{
    char wanted[40];
    snprintf(wanted, sizeof wanted, "received=%s", count);
    for (;;) {
        TUG_AUTO(tug_buffer) text = NULL;
        assert_ok(tug_inspect_buffer(TUG_INSPECT_TEXT, 1 << 20, &text));
        const char *first = strstr(tug_buffer_bytes(text).data, wanted);
        if (first != NULL && strstr(first + 1, wanted) != NULL) {
            return;
        }
        assert_ok(tug_sleep(TUG_MS(1)));
    }
}

LIVE_TEST(a_slow_consumer_loses_the_oldest_and_is_told)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    tug_pg_listen_options o = TUG_PG_LISTEN_OPTIONS_INIT;
    o.max_queued = 10;
    TUG_AUTO(tug_pg_listener) l = listen_one(db, name, &o);
    TUG_AUTO(tug_pg_listener) witness = listen_one(db, name, NULL);
    assert_ok(tug_pg_exec(db, "select pg_notify($1, i::text) from generate_series(0, 99) i",
                          TUG_ARGS(name), NULL));
    for (int i = 0; i < 100; i++) {
        next(witness);
    }
    await_received("100");
    const tug_pg_notification *n = next(l);
    assert_int_equal(n->kind, TUG_PG_LOST);
    assert_int_equal(n->dropped, 90);
    assert_int_equal(n->outages, 0);
    for (int i = 90; i < 100; i++) {
        n = next(l);
        assert_int_equal(n->kind, TUG_PG_NOTIFICATION);
        assert_int_equal(atoi(n->payload), i);
    }
    expect_silence(l);
}

/* --- ending ----------------------------------------------------------------------------------- */

LIVE_TEST(a_cancelled_next_loses_nothing)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg_listener) l = listen_one(db, name, NULL);
    for (int i = 0; i < 5; i++) {
        expect_silence(l);
    }
    assert_ok(tug_pg_notify(db, name, "still here"));
    tug_scope s;
    const tug_pg_notification *n = NULL;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_pg_listener_next(l, &n), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    expect(l, name, "still here");
}

struct waiter {
    tug_pg_listener *l;
    int rc;
};

static int wait_in_next(void *arg)
{
    struct waiter *w = arg;
    const tug_pg_notification *n = NULL;
    w->rc = tug_pg_listener_next(w->l, &n);
    return 0;
}

static int wait_in_add(void *arg)
{
    struct waiter *w = arg;
    w->rc = tug_pg_listener_add(w->l, "tug_other");
    return 0;
}

LIVE_TEST(close_ends_who_waits)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    TUG_AUTO(tug_pg) named = open_named(name);
    struct waiter a = {.l = listen_one(named, name, NULL)}, b = a;
    pid_t backend = (pid_t)backend_of(db, name);
    assert_true(backend > 0);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    tug_group_spawn(&g, wait_in_next, &a);
    tug_group_spawn(&g, wait_in_add, &b);
    assert_ok(tug_sleep(TUG_MS(20)));
    const tug_pg_notification *n = NULL;
    assert_rc(tug_pg_listener_next(a.l, &n), TUG_EMISUSE); /* one at a time */
    tug_pg_listener_close(a.l);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(a.rc, TUG_ECLOSED);
    assert_int_equal(b.rc, TUG_ECLOSED);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_soon(backend_of(db, name) == 0); /* it has said goodbye */
}

LIVE_TEST(a_stop_is_the_end_of_notifications)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *name = test_name();
    struct waiter w = {.l = listen_one(db, name, NULL), .rc = -1};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    tug_group_spawn(&g, wait_in_next, &w);
    assert_ok(tug_sleep(TUG_MS(20)));
    tug_stop(TUG_FOREVER);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 0);
    const tug_pg_notification *n = NULL;
    assert_rc(tug_pg_listener_next(w.l, &n), 0);
    tug_pg_listener_close(w.l);
}

LIVE_TEST(a_listener_that_was_forgotten_is_closed)
{
    tug_pg *db = help_open_small();
    listen_one(db, test_name(), NULL);
}

/* --- mistakes --------------------------------------------------------------------------------- */

LIVE_TEST(mistakes_are_told)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    char longer[65];
    memset(longer, 'c', 64);
    longer[64] = '\0';
    const char *channel = longer;
    tug_pg_listener *l = NULL;
    assert_rc(tug_pg_listen(db, &channel, 1, NULL, &l), TUG_EINVAL);
    assert_detail_has("longer than 63 bytes");
    channel = "";
    assert_rc(tug_pg_listen(db, &channel, 1, NULL, &l), TUG_EINVAL);
    assert_rc(tug_pg_listen(NULL, NULL, 0, NULL, &l), TUG_EMISUSE);
    tug_pg_listen_options o = TUG_PG_LISTEN_OPTIONS_INIT;
    o.max_queued = 0;
    assert_rc(tug_pg_listen(db, NULL, 0, &o, &l), TUG_EINVAL);
    assert_detail_has("max_queued is 0");
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_rc(tug_pg_listen(session, NULL, 0, NULL, &l), TUG_EMISUSE);
    assert_detail_has("give it the pool");
    assert_rc(tug_pg_notify(session, longer, ""), TUG_EINVAL);
    assert_rc(tug_pg_notify(db, "c", ""), TUG_EMISUSE); /* this task holds a session */
    assert_null(l);
}

LIVE_TEST(a_server_that_is_not_there)
{
    tug_pg_options o = TUG_PG_OPTIONS_INIT;
    o.shared = 0;
    TUG_AUTO(tug_pg) db = NULL;
    assert_ok(tug_pg_open("postgresql://u@127.0.0.1:1/d", &o, &db));
    tug_pg_listener *l = NULL;
    assert_rc(tug_pg_listen(db, NULL, 0, NULL, &l), TUG_ECONNECT);
    assert_detail_has("cannot connect to 127.0.0.1:1/d");
}

LIVE_TEST(a_listen_that_is_cancelled)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    const char *channel = test_name();
    tug_pg_listener *l = NULL;
    assert_rc(TUG_WITHIN(TUG_US(1), tug_pg_listen(db, &channel, 1, NULL, &l)), TUG_ETIMEDOUT);
    assert_null(l);
}
