/* What tug_inspect says of connections to real servers: state, peer, what is in flight, no secret. */
#include <tug/inspect.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/amqp.h>
#include <tug/group.h>
#include <tug/pg.h>
#include <tug/redis.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "json.h"
#include "pg_help.h"

static char text[1 << 20];

/* The password of the variable's URL is nowhere in the report. */
static void assert_no_secret(const char *variable)
{
    const char *from = strstr(test_url(variable), "://");
    const char *at = from != NULL ? strrchr(from, '@') : NULL;
    assert_non_null(at);
    const char *colon = memchr(from + 3, ':', (size_t)(at - from - 3));
    assert_non_null(colon);
    char secret[128];
    snprintf(secret, sizeof secret, "%.*s", (int)(at - colon - 1), colon + 1);
    assert_true(strlen(secret) > 3);
    assert_null(strstr(text, secret));
}

static void inspect(int form, const char *variable)
{
    TUG_AUTO(tug_buffer) buffer = NULL;
    assert_ok(tug_inspect_buffer(form, sizeof text - 1, &buffer));
    struct tug_bytes b = tug_buffer_bytes(buffer);
    memcpy(text, b.data, b.size + 1);
    assert_true(form == TUG_INSPECT_TEXT || json_check(text) == NULL);
    assert_no_secret(variable);
}

static void assert_shown(const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

/* --- pg ----------------------------------------------------------------------------------------- */

struct waiter {
    tug_pg *tx;
    help_gate gate;
};

static int wait_at_the_gate(void *arg)
{
    struct waiter *w = arg;
    return tug_pg_exec(w->tx, HELP_GATE, TUG_ARGS(w->gate.key), NULL);
}

LIVE_TEST(pg_shows_its_connections)
{
    tug_pg *db = NULL;
    struct waiter w = {.gate = help_gate_close()};
    assert_ok(tug_pg_open(test_url("TUG_PG_URL"), NULL, &db));
    assert_ok(tug_pg_ready(db));
    assert_ok(tug_pg_begin(db, NULL, &w.tx));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, wait_at_the_gate, &w));
    assert_soon(help_gate_waiting(&w.gate) == 1);
    inspect(TUG_INSPECT_TEXT, "TUG_PG_URL");
    assert_shown("\npg server=\"");
    assert_shown("\n  shared state=\"PIPELINE\" backend=");
    assert_shown("\n  held kind=\"transaction\" task=1 state=\"PIPELINE\" backend=");
    assert_shown(" in_flight=1 ");
    assert_shown(" head_since=");
    assert_shown("\npool name=\"pg\" ");
    inspect(TUG_INSPECT_JSON, "TUG_PG_URL");
    assert_shown("\"kind\":\"pg\",\"server\":\"");
    help_gate_open(&w.gate);
    assert_ok(tug_group_leave(&g, 0));
    tug_pg_close(w.tx);
    tug_pg_close(db);
}

/* --- redis -------------------------------------------------------------------------------------- */

static int blocked_get(void *arg)
{
    return tug_redis_call(arg, TUG_ARGS("GET", "nothing"), NULL);
}

LIVE_TEST(redis_shows_its_connection)
{
    tug_redis *r = NULL;
    assert_ok(tug_redis_open(test_url("TUG_REDIS_URL"), NULL, &r));
    inspect(TUG_INSPECT_TEXT, "TUG_REDIS_URL");
    assert_shown("\nredis peer=\"127.0.0.1:");
    assert_shown(" state=\"connecting\" ");
    assert_ok(tug_redis_ready(r));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, blocked_get, r));
    assert_ok(tug_yield());
    inspect(TUG_INSPECT_JSON, "TUG_REDIS_URL");
    assert_shown("\"state\":\"ready\",\"database\":0,\"in_flight\":1,");
    assert_ok(tug_group_leave(&g, 0));
    tug_redis_close(r);
    inspect(TUG_INSPECT_TEXT, "TUG_REDIS_URL");
    assert_null(strstr(text, "\nredis"));
}

/* --- amqp --------------------------------------------------------------------------------------- */

LIVE_TEST(amqp_shows_connections_and_consumers)
{
    tug_amqp *mq = NULL;
    tug_amqp_consumer *c = NULL;
    const char *queue = test_name();
    assert_ok(tug_amqp_open(test_url("TUG_AMQP_URL"), NULL, &mq));
    assert_ok(tug_amqp_ready(mq));
    assert_ok(tug_amqp_queue_declare(mq, queue, NULL));
    assert_ok(tug_amqp_consume(mq, queue, NULL, &c));
    inspect(TUG_INSPECT_TEXT, "TUG_AMQP_URL");
    assert_shown("\namqp broker=\"127.0.0.1:");
    assert_shown("\n  connection role=\"connection\" state=\"open\" peer=\"127.0.0.1:");
    assert_shown("\n  connection role=\"publishing connection\" state=\"idle\" channels=0 ");
    char line[160];
    snprintf(line, sizeof line,
             "\n  consumer queue=\"%s\" tag=\"\" state=\"active\" buffered=0 unsettled=0\n", queue);
    assert_shown(line);
    inspect(TUG_INSPECT_JSON, "TUG_AMQP_URL");
    assert_shown("\"kind\":\"amqp\"");
    tug_amqp_consumer_close(c);
    assert_ok(tug_amqp_queue_delete(mq, queue, NULL));
    tug_amqp_close(mq);
}
