/* The small examples as they are built, against the real servers: what they print, how they
 * end, and what they leave behind. Each case has a database of its own; the queue's name is fixed
 * in the program, so the cases that use it take turns (RESOURCE_LOCK) and empty it first. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tug/amqp.h>
#include <tug/pg.h>
#include <tug/redis.h>
#include <tug/scope.h>
#include <unistd.h>

#include "test.h"

static const char ORDERS[] =
    "create table orders (id bigint primary key, quantity bigint not null, total numeric not null)";
static const char EVENTS[] = "create table events (body bytea primary key check (body <> 'bad'))";
static const char QUEUE[] = "events";

/* --- a database of one case ----------------------------------------------------------------- */

struct database {
    tug_pg *server;
    tug_pg *db;
    const char *name;
    char url[512];
};

static void run_sql(tug_pg *db, const char *sql)
{
    assert_ok(tug_pg_exec(db, sql, TUG_NO_ARGS, NULL));
}

static int64_t number(tug_pg *db, const char *sql)
{
    int64_t n = 0;
    assert_ok(tug_pg_query_one(db, sql, TUG_NO_ARGS, TUG_OUT(&n)));
    return n;
}

/* postgresql://user:password@host:port/NAME */
static void set_url(struct database *d, const char *url)
{
    const char *authority = strstr(url, "://");
    assert_non_null(authority);
    const char *path = strchr(authority + 3, '/');
    size_t n = path != NULL ? (size_t)(path - url) : strlen(url);
    assert_true((size_t)snprintf(d->url, sizeof d->url, "%.*s/%s", (int)n, url, d->name) <
                sizeof d->url);
}

static void open_database(struct database *d)
{
    char sql[128];
    const char *url = test_url("TUG_PG_URL");
    d->name = test_name();
    set_url(d, url);
    assert_ok(tug_pg_open(url, NULL, &d->server));
    snprintf(sql, sizeof sql, "create database %s", d->name);
    run_sql(d->server, sql);
    assert_ok(tug_pg_open(d->url, NULL, &d->db));
}

static void drop_database(struct database *d)
{
    char sql[128];
    tug_pg_close(d->db);
    snprintf(sql, sizeof sql, "drop database %s with (force)", d->name);
    run_sql(d->server, sql);
    tug_pg_close(d->server);
}

/* --- a program ------------------------------------------------------------------------------ */

struct program {
    pid_t pid;
    FILE *out, *err; /* files without a name */
    int status;      /* as of exit; -1: it was killed */
    char out_text[4096], err_text[4096];
};

static void start(struct program *p, const char *name, const char *pg_url)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TUG_EXAMPLES_DIR, name);
    p->out = tmpfile();
    p->err = tmpfile();
    assert_non_null(p->out);
    assert_non_null(p->err);
    pid_t parent = getpid();
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        /* If the case fails, the program must not go on for ever. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fileno(p->out), STDOUT_FILENO);
        dup2(fileno(p->err), STDERR_FILENO);
        if (getppid() == parent && setenv("TUG_PG_URL", pg_url, 1) == 0) {
            execl(path, name, (char *)NULL);
        }
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        _exit(127);
    }
}

static void read_all(FILE *f, char *text, size_t size)
{
    rewind(f);
    text[fread(text, 1, size - 1, f)] = 0;
    fclose(f);
}

static void wait_for_end(struct program *p)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(p->pid, &status, WNOHANG)) == 0) {
        assert_ok(tug_sleep(TUG_MS(2)));
    }
    assert_int_equal(ended, p->pid);
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_all(p->out, p->out_text, sizeof p->out_text);
    read_all(p->err, p->err_text, sizeof p->err_text);
}

static void run(struct program *p, const char *name, const char *pg_url)
{
    start(p, name, pg_url);
    wait_for_end(p);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != 0; text++) {
        n += *text == '\n';
    }
    return n;
}

/* --- query_many, process_batch -------------------------------------------------------------- */

LIVE_TEST(query_many_prints_count_and_sum)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "insert into orders select i, i % 10, i * 1.25 from generate_series(1, 1000) i");
    run(&p, "query_many", d.url);
    assert_string_equal(p.err_text, "");
    assert_string_equal(p.out_text, "orders=1000 total=625625.00\n");
    assert_int_equal(p.status, 0);
    drop_database(&d);
}

LIVE_TEST(query_many_fails_with_its_first_failure)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "insert into orders select i, i % 10, i * 1.25 from generate_series(1, 999) i");
    run(&p, "query_many", d.url);
    assert_int_equal(p.status, 1);
    assert_string_equal(p.out_text, "");
    assert_non_null(strstr(p.err_text, "query_many: "));
    assert_non_null(strstr(p.err_text, "no row"));
    assert_int_equal(count_lines(p.err_text), 1);
    drop_database(&d);
}

LIVE_TEST(a_wrong_password_is_one_line_without_it)
{
    static struct program p;
    char url[512];
    const char *good = test_url("TUG_PG_URL");
    const char *at = strrchr(good, '@');
    assert_non_null(at);
    snprintf(url, sizeof url, "postgresql://tug:swordfish%s", at);
    run(&p, "query_many", url);
    assert_int_equal(p.status, 1);
    assert_int_equal(count_lines(p.err_text), 1);
    assert_non_null(strstr(p.err_text, "password authentication failed"));
    assert_null(strstr(p.err_text, "swordfish"));
    assert_string_equal(p.out_text, "");
}

LIVE_TEST(process_batch_reports_what_failed)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "insert into orders select i, i % 10, i * 1.25 from generate_series(1, 500) i "
                  "where i not in (7, 250, 500)");
    run(&p, "process_batch", d.url);
    assert_string_equal(p.out_text, "failed 3 of 500\n");
    assert_int_equal(count_lines(p.err_text), 3);
    assert_non_null(strstr(p.err_text, "order 7: "));
    assert_non_null(strstr(p.err_text, "order 250: "));
    assert_non_null(strstr(p.err_text, "order 500: "));
    assert_int_equal(p.status, 0);
    drop_database(&d);
}

LIVE_TEST(process_batch_cuts_off_jobs_that_take_too_long)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "alter table orders rename to slow");
    run_sql(d.db, "insert into slow select i, i % 10, i from generate_series(1, 500) i");
    /* One order of the 500 takes its time: its job ends at 250 ms, and so do at most those in
     * flight beside it that had been sent on the same connection. */
    run_sql(d.db, "create function wait_for(id bigint) returns bigint language plpgsql as "
                  "$$ begin if id = 33 then perform pg_sleep(2); end if; return 1; end $$");
    run_sql(d.db, "create view orders as select id, wait_for(id) as quantity, total from slow");
    run(&p, "process_batch", d.url);
    assert_non_null(strstr(p.err_text, "order 33: "));
    assert_true(count_lines(p.err_text) <= 20);
    assert_int_equal(p.status, 0);
    assert_int_equal(count_lines(p.out_text), 1);
    drop_database(&d);
}

/* --- embed_libevent -------------------------------------------------------------------------- */

static void cache(tug_args command)
{
    tug_redis *r = NULL;
    assert_ok(tug_redis_open(test_url("TUG_REDIS_URL"), NULL, &r));
    assert_ok(tug_redis_call(r, command, NULL));
    tug_redis_close(r);
}

LIVE_TEST(embed_libevent_asks_the_database)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "insert into orders values (42, 7, 1)");
    cache(TUG_ARGS("DEL", "order:42"));
    run(&p, "embed_libevent", d.url);
    assert_string_equal(p.err_text, "");
    assert_int_equal(count_lines(p.out_text), 100);
    assert_int_equal(strspn(p.out_text, "7\n"), strlen(p.out_text));
    assert_int_equal(p.status, 0);
    drop_database(&d);
}

LIVE_TEST(embed_libevent_asks_the_cache_first)
{
    struct database d;
    static struct program p;
    open_database(&d);
    run_sql(d.db, ORDERS);
    run_sql(d.db, "insert into orders values (42, 7, 1)");
    cache(TUG_ARGS("SET", "order:42", "7"));
    run(&p, "embed_libevent", d.url);
    cache(TUG_ARGS("DEL", "order:42"));
    assert_string_equal(p.err_text, "");
    /* While it still connects, the cache does not answer in time. */
    assert_in_range(count_lines(p.out_text), 0, 50);
    assert_int_equal(p.status, 0);
    drop_database(&d);
}

LIVE_TEST(embed_libevent_says_what_is_wrong_with_a_url)
{
    static struct program p;
    run(&p, "embed_libevent", "nonsense://");
    assert_int_equal(p.status, 1);
    assert_int_equal(count_lines(p.err_text), 1);
    assert_string_equal(p.out_text, "");
}

/* --- consume_queue -------------------------------------------------------------------------- */

static void open_queue(struct database *d, tug_amqp **ret_mq)
{
    open_database(d);
    run_sql(d->db, EVENTS);
    run_sql(d->db, "create table counters (n bigint not null)");
    run_sql(d->db, "insert into counters values (0)");
    assert_ok(tug_amqp_open(test_url("TUG_AMQP_URL"), NULL, ret_mq));
    assert_ok(tug_amqp_queue_declare(*ret_mq, QUEUE, NULL));
    assert_ok(tug_amqp_queue_purge(*ret_mq, QUEUE, NULL));
}

static void publish(tug_amqp *mq, const char *body)
{
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = tug_bytes(body, strlen(body));
    assert_ok(tug_amqp_publish(mq, "", QUEUE, &m));
}

static void publish_events(tug_amqp *mq, int n)
{
    for (int i = 0; i < n; i++) {
        char body[32];
        snprintf(body, sizeof body, "event %d", i);
        publish(mq, body);
    }
}

static uint64_t ready_messages(tug_amqp *mq)
{
    uint64_t n = 0;
    assert_ok(tug_amqp_queue_count(mq, QUEUE, &n));
    return n;
}

static void wait_for_ready(tug_amqp *mq, uint64_t n)
{
    while (ready_messages(mq) != n) {
        assert_ok(tug_sleep(TUG_MS(5)));
    }
}

static void wait_for_number(tug_pg *db, const char *sql, int64_t n)
{
    while (number(db, sql) != n) {
        assert_ok(tug_sleep(TUG_MS(5)));
    }
}

/* Asked outside of the transaction: inside, the server's view of its sessions stands still. */
static void wait_for_blocked(struct database *d, int64_t n)
{
    char sql[160];
    snprintf(
        sql, sizeof sql,
        "select count(*) from pg_stat_activity where datname = '%s' and wait_event_type = 'Lock'",
        d->name);
    wait_for_number(d->server, sql, n);
}

static void stop(struct program *p)
{
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    wait_for_end(p);
}

LIVE_TEST(consume_queue_works_and_acks_all)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_amqp) mq = NULL;
    open_queue(&d, &mq);
    publish_events(mq, 100);
    publish_events(mq, 20); /* once more: worked, but no new rows */
    start(&p, "consume_queue", d.url);
    wait_for_number(d.db, "select n from counters", 120);
    stop(&p);
    assert_int_equal(p.status, 0);
    assert_string_equal(p.err_text, "");
    assert_int_equal(number(d.db, "select count(*) from events"), 100);
    assert_int_equal(ready_messages(mq), 0);
    drop_database(&d);
}

LIVE_TEST(consume_queue_leaves_the_rest_when_asked_to_stop)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_amqp) mq = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    open_queue(&d, &mq);
    publish_events(mq, 50);
    /* The jobs in hand wait for this row. */
    assert_ok(tug_pg_begin(d.db, NULL, &tx));
    run_sql(tx, "update counters set n = n");
    start(&p, "consume_queue", d.url);
    wait_for_blocked(&d, 8);
    wait_for_ready(mq, 50 - 32); /* the prefetch */
    assert_int_equal(kill(p.pid, SIGTERM), 0);
    wait_for_ready(mq, 50 - 8); /* what no task has taken is back at once */
    tug_pg_close(tx);
    tx = NULL;
    wait_for_end(&p);
    assert_int_equal(p.status, 0);
    assert_int_equal(number(d.db, "select n from counters"), 8);
    assert_int_equal(number(d.db, "select count(*) from events"), 8);
    assert_int_equal(ready_messages(mq), 50 - 8);
    assert_ok(tug_amqp_queue_purge(mq, QUEUE, NULL));
    drop_database(&d);
}

LIVE_TEST(consume_queue_requeues_what_failed)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_amqp) mq = NULL;
    open_queue(&d, &mq);
    publish(mq, "bad");
    publish_events(mq, 20);
    start(&p, "consume_queue", d.url);
    wait_for_number(d.db, "select n from counters", 20);
    stop(&p);
    assert_int_equal(p.status, 0);
    wait_for_ready(mq, 1);
    assert_int_equal(number(d.db, "select count(*) from events"), 20);
    assert_int_equal(number(d.db, "select n from counters"), 20);
    assert_ok(tug_amqp_queue_purge(mq, QUEUE, NULL));
    drop_database(&d);
}

/* --- cache_aside ---------------------------------------------------------------------------- */

/* The program's key; nothing is cached. */
static void open_products(struct database *d, tug_redis **ret_redis)
{
    open_database(d);
    run_sql(d->db, "create table products (id bigint primary key, doc jsonb not null)");
    assert_ok(tug_redis_open(test_url("TUG_REDIS_URL"), NULL, ret_redis));
    assert_ok(tug_redis_call(*ret_redis, TUG_ARGS("DEL", "product:7"), NULL));
}

static void close_products(struct database *d, tug_redis *redis)
{
    assert_ok(tug_redis_call(redis, TUG_ARGS("DEL", "product:7"), NULL));
    drop_database(d);
}

LIVE_TEST(cache_aside_loads_once_and_then_reads_the_cache)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_redis) redis = NULL;
    char cached[64];
    int64_t seconds = 0;
    open_products(&d, &redis);
    run_sql(d.db, "insert into products values (7, '{\"name\": \"rope\"}')");
    run(&p, "cache_aside", d.url);
    assert_string_equal(p.err_text, "");
    assert_string_equal(p.out_text, "{\"name\": \"rope\"}\n");
    assert_int_equal(p.status, 0);
    assert_ok(tug_redis_call_one(redis, TUG_ARGS("GET", "product:7"), TUG_OUT(TUG_COPY(cached))));
    assert_string_equal(cached, "{\"name\": \"rope\"}");
    assert_ok(tug_redis_call_one(redis, TUG_ARGS("TTL", "product:7"), TUG_OUT(&seconds)));
    assert_true(seconds > 200 && seconds <= 300);
    run_sql(d.db, "delete from products");
    run(&p, "cache_aside", d.url);
    assert_string_equal(p.out_text, "{\"name\": \"rope\"}\n");
    assert_int_equal(p.status, 0);
    close_products(&d, redis);
}

LIVE_TEST(cache_aside_says_what_is_not_there)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_redis) redis = NULL;
    open_products(&d, &redis);
    run(&p, "cache_aside", d.url);
    assert_int_equal(p.status, 1);
    assert_string_equal(p.err_text, "cache_aside: no product 7\n");
    assert_string_equal(p.out_text, "");
    close_products(&d, redis);
}

LIVE_TEST(cache_aside_reads_on_without_a_cache)
{
    struct database d;
    static struct program p;
    TUG_AUTO(tug_redis) redis = NULL;
    open_products(&d, &redis);
    run_sql(d.db, "insert into products values (7, '[7]')");
    const char *good = test_url("TUG_REDIS_URL");
    char *kept = strdup(good);
    assert_non_null(kept);
    assert_int_equal(setenv("TUG_REDIS_URL", "unix:///nowhere/there.sock", 1), 0);
    run(&p, "cache_aside", d.url);
    assert_int_equal(setenv("TUG_REDIS_URL", kept, 1), 0);
    free(kept);
    assert_string_equal(p.err_text, "");
    assert_string_equal(p.out_text, "[7]\n");
    assert_int_equal(p.status, 0);
    close_products(&d, redis);
}
