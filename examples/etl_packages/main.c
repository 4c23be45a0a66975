/* Loads a Debian package index into PostgreSQL through RabbitMQ, with Redis to skip what is known:
 *
 *   input -> stanzas -> manifest -> queue -> batches -> tables -> final check
 *            (extract.c)                    (worker.c, load.c)   (verify.c)
 *
 * Nothing is acked before it is committed and nothing is published before the manifest knows it: so
 * a worker that dies at any point loses nothing, and the next run completes. */
#include "etl.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2
};

static const char usage[] =
    "usage: etl_packages --input FILE|- [options]\n"
    "  --input FILE    a package index (apt-cache dumpavail); -: standard input\n"
    "  --workers N     consumer tasks, 1 to 64 (4)\n"
    "  --batch N       messages in one transaction at most, 1 to 5000 (500)\n"
    "  --queue NAME    durable queue, made if it is not there; one for each database and schema,\n"
    "                  since its messages go into the tables of whoever takes them (etl_packages)\n"
    "  --schema NAME   of the tables, made if it is not there (etl_packages)\n"
    "  --pg URL        PostgreSQL (TUG_PG_URL)\n"
    "  --redis URL     Redis (TUG_REDIS_URL)\n"
    "  --amqp URL      RabbitMQ (TUG_AMQP_URL)\n"
    "  --help\n";

/* --- one run ---------------------------------------------------------------------------------- */

/* A signal: no new work. The consumer ends by itself, what the workers have in hand is finished. */
static int watch(void *arg)
{
    etl_run *r = arg;
    int rc = tug_wait_stopping();
    if (rc == 0) {
        r->is_interrupted = true;
        if (r->work != NULL) {
            tug_scope_cancel(r->work);
        }
    }
    return rc;
}

static int connect_all(etl_run *r)
{
    const etl_options *o = r->options;
    tug_pg_options pg = TUG_PG_OPTIONS_INIT;
    pg.shared = 1;                /* for single questions: the work is done in sessions */
    pg.pool_max = o->workers + 2; /* a session each, one for the manifest, one to spare */
    int rc = tug_pg_open(o->pg, &pg, &r->db);
    if (rc == 0) {
        rc = tug_pg_ready(r->db);
    }
    if (rc < 0) {
        return report_failed(rc, "PostgreSQL");
    }
    rc = tug_amqp_open(o->amqp, NULL, &r->mq);
    if (rc == 0) {
        rc = tug_amqp_ready(r->mq);
    }
    if (rc < 0) {
        return report_failed(rc, "RabbitMQ");
    }
    return report_failed(cache_open(o->redis, &r->cache), "Redis");
}

/* A queue that exists with other properties, or an input that is not there, ends the run before it
 * begins. */
static int prepare(etl_run *r)
{
    const etl_options *o = r->options;
    tug_amqp_queue_options queue = TUG_AMQP_QUEUE_OPTIONS_INIT;
    queue.type = TUG_AMQP_QUEUE_CLASSIC; /* a quorum queue drops what was requeued 20 times */
    int rc = connect_all(r);
    if (rc == 0) {
        rc = report_failed(tug_amqp_queue_declare(r->mq, o->queue, &queue), "RabbitMQ");
    }
    if (rc == 0) {
        rc = input_open(o->input, &r->input, &r->input_size);
    }
    if (rc == 0) {
        rc = schema_open(r);
    }
    if (rc < 0) {
        return rc;
    }
    cache_set_database(r->cache, r->database);
    tug_amqp_consume_options consumer = TUG_AMQP_CONSUME_OPTIONS_INIT;
    /* Two batches a worker: one is worked while the next one arrives. */
    size_t prefetch = 2 * o->batch * o->workers;
    consumer.prefetch = prefetch < UINT16_MAX ? (unsigned)prefetch : UINT16_MAX;
    rc = tug_amqp_consume(r->mq, o->queue, &consumer, &r->consumer);
    return report_failed(rc, "RabbitMQ");
}

/* What a signal cuts short. */
static int work(etl_run *r, tug_group *g, etl_tally *t, bool *ret_is_verified)
{
    tug_scope scope;
    tug_scope_enter(&scope, TUG_FOREVER);
    r->work = &scope;
    int rc = prepare(r);
    for (size_t i = 0; rc == 0 && i < r->options->workers; i++) {
        rc = tug_group_spawn(g, worker_run, r);
    }
    if (rc == 0) {
        rc = extract_run(r);
    }
    if (rc == 0) {
        rc = verify_run(r, t, ret_is_verified);
    }
    r->work = NULL;
    return tug_scope_leave(&scope, rc);
}

static int run_group(etl_run *r, etl_tally *t, bool *ret_is_verified)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    r->group = &g;
    TUG_AUTO(tug_future) reporter = tug_group_start(&g, report_run, r);
    TUG_AUTO(tug_future) watcher = tug_group_start(&g, watch, r);
    int rc = work(r, &g, t, ret_is_verified);
    if (rc == TUG_ECANCELED && r->is_interrupted) {
        rc = 0;
    }
    if (r->consumer != NULL) {
        tug_amqp_consumer_stop(r->consumer); /* the workers finish what they have in hand */
    }
    tug_future_cancel(reporter);
    tug_future_cancel(watcher);
    rc = tug_group_leave(&g, rc);
    r->group = NULL;
    return rc;
}

/* Everything that is still on its way refers to the run: waits until it has settled. */
static void close_all(etl_run *r)
{
    tug_scope shield;
    tug_amqp_consumer_close(r->consumer);
    tug_amqp_close(r->mq);
    tug_shield_enter(&shield, TUG_SECONDS(2));
    while (r->window != NULL && tug_semaphore_permits(r->window) < ETL_WINDOW &&
           tug_sleep(TUG_MS(1)) == 0) {
    }
    TUG_IGNORE(tug_scope_leave(&shield, 0));
    cache_close(r->cache);
    tug_pg_close(r->db);
    tug_event_unref(r->moved);
    tug_semaphore_unref(r->window);
    if (r->input >= 0) {
        close(r->input);
    }
    for (int i = 0; i < SQL_MAX; i++) {
        free(r->sql[i]);
    }
}

/* The counts of a run that did not come to its own end: from the tables if they answer. */
static void count_early(etl_run *r, etl_tally *t)
{
    tug_scope shield;
    tug_shield_enter(&shield, TUG_SECONDS(3));
    int rc = TUG_WITHIN(TUG_SECONDS(5), verify_tally(r, t));
    TUG_IGNORE(tug_scope_leave(&shield, rc));
    if (rc < 0) {
        *t = (etl_tally){.loaded = r->count.settled - r->count.rejected,
                         .rejected = r->count.rejected};
    }
}

static const char *verdict_of(const etl_run *r, int rc, bool is_verified)
{
    if (r->is_interrupted && (rc == TUG_ECANCELED || (rc == 0 && !is_verified))) {
        return "interrupted";
    }
    return rc == 0 && is_verified ? "yes" : "no";
}

static int finish(etl_run *r, etl_tally *t, int rc, bool is_verified)
{
    tug_error why = *tug_last_error();
    if (rc < 0 && !r->is_interrupted && r->run == 0) {
        return rc; /* it never began: there is nothing to sum up */
    }
    if (rc < 0 || r->run == 0) {
        *t = (etl_tally){.loaded = r->count.settled - r->count.rejected,
                         .rejected = r->count.rejected};
    } else if (!is_verified && r->is_interrupted) {
        count_early(r, t);
    }
    const char *verdict = verdict_of(r, rc, is_verified);
    if (rc == 0 && r->run != 0) {
        TUG_IGNORE(TUG_WITHIN(TUG_SECONDS(5), verify_end(r, t, verdict)));
    }
    if (r->count.others > 0) {
        report_line("%lld messages of other runs were worked", (long long)r->count.others);
    }
    int written = report_summary(r, t, verdict);
    if (rc < 0) {
        return why.code == rc ? tug_fail_with(&why) : rc;
    }
    if (written < 0) { /* who reads the summary must not take silence for success */
        return written;
    }
    return is_verified || r->is_interrupted
               ? 0
               : tug_fail(ETL_UNVERIFIED,
                          "not verified: %lld of %lld stanzas are not in the tables",
                          (long long)t->missing, (long long)r->count.read);
}

static int main_task(void *arg)
{
    etl_run r = {.options = arg, .input = -1, .started = tug_now()};
    etl_tally t = {0};
    bool is_verified = false;
    int rc = schema_statements(r.options->schema, r.sql);
    if (rc == 0) {
        rc = tug_event_new(&r.moved);
    }
    if (rc == 0) {
        rc = tug_semaphore_new(ETL_WINDOW, &r.window);
    }
    if (rc == 0) {
        rc = run_group(&r, &t, &is_verified);
        rc = finish(&r, &t, rc, is_verified);
    }
    close_all(&r);
    return rc;
}

/* --- options ---------------------------------------------------------------------------------- */

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "etl_packages: %s%s%s\n%s", what, value != NULL ? ": " : "",
            value != NULL ? value : "", usage);
    return EXIT_USAGE;
}

static bool parse_count(const char *text, size_t max, size_t *ret_count)
{
    char *end = NULL;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != 0 || errno != 0 || n < 1 || n > max) {
        return false;
    }
    *ret_count = n;
    return true;
}

/* It becomes a part of statements: only what needs no quotes. */
static bool is_plain_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && n < 64 && name[n] == 0 && !isdigit((unsigned char)*name);
}

static int check_options(const etl_options *o)
{
    if (o->input == NULL) {
        return usage_error("--input is missing", NULL);
    }
    if (!is_plain_name(o->schema)) {
        return usage_error("--schema takes lower-case letters, digits and _", o->schema);
    }
    if (*o->queue == 0 || strlen(o->queue) > 255) {
        return usage_error("--queue takes 1 to 255 bytes", NULL);
    }
    if (o->pg == NULL) {
        return usage_error("no PostgreSQL: give --pg or set TUG_PG_URL", NULL);
    }
    if (o->redis == NULL) {
        return usage_error("no Redis: give --redis or set TUG_REDIS_URL", NULL);
    }
    if (o->amqp == NULL) {
        return usage_error("no RabbitMQ: give --amqp or set TUG_AMQP_URL", NULL);
    }
    if (strcmp(o->input, "-") != 0 &&
        access(o->input, R_OK) < 0) { /* before anything is connected */
        fprintf(stderr, "etl_packages: input %s: %s\n", o->input, strerror(errno));
        return EXIT_FAILURE;
    }
    return 0;
}

/* 0, or an exit status; EXIT_SUCCESS after --help is -1. */
static int parse_options(int argc, char **argv, etl_options *o)
{
    static const struct option names[] = {
        {"input", 1, NULL, 'i'}, {"workers", 1, NULL, 'w'}, {"batch", 1, NULL, 'b'},
        {"queue", 1, NULL, 'q'}, {"schema", 1, NULL, 's'},  {"pg", 1, NULL, 'p'},
        {"redis", 1, NULL, 'r'}, {"amqp", 1, NULL, 'a'},    {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'i':
            o->input = optarg;
            break;
        case 'w':
            if (!parse_count(optarg, 64, &o->workers)) {
                return usage_error("--workers takes a number from 1 to 64", optarg);
            }
            break;
        case 'b':
            if (!parse_count(optarg, 5000, &o->batch)) {
                return usage_error("--batch takes a number from 1 to 5000", optarg);
            }
            break;
        case 'q':
            o->queue = optarg;
            break;
        case 's':
            o->schema = optarg;
            break;
        case 'p':
            o->pg = optarg;
            break;
        case 'r':
            o->redis = optarg;
            break;
        case 'a':
            o->amqp = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return -1;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    return optind < argc ? usage_error("an argument too many", argv[optind]) : check_options(o);
}

int main(int argc, char **argv)
{
    static etl_options o = {
        .queue = "etl_packages", .schema = "etl_packages", .workers = 4, .batch = 500};
    o.pg = getenv("TUG_PG_URL");
    o.redis = getenv("TUG_REDIS_URL");
    o.amqp = getenv("TUG_AMQP_URL");
    int rc = parse_options(argc, argv, &o);
    if (rc != 0) {
        return rc > 0 ? rc : EXIT_SUCCESS;
    }
    srandom((unsigned)getpid()); /* pauses after a deadlock: not the same as the other process's */
    tug_main_options main_options = TUG_MAIN_OPTIONS_INIT;
    main_options.drain = TUG_SECONDS(ETL_DRAIN_SECONDS);
    return tug_main_with(main_task, &o, &main_options);
}
