#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tug/loop.h>
#include <tug/sys/driver.h>

enum {
    PAIRS = 41, /* of slices; odd, so that the median is one of them */
    PAIRS_QUICK = 15,
    PAIRS_LONG = 15, /* of those that take longer than they are asked to: a pass over a table */
    FIGURES = 4
};
static const tug_duration SLICE = TUG_MS(
    30); /* shorter than most disturbances, so that they hit few */
static const tug_duration SLICE_QUICK = TUG_MS(20);
static const tug_duration LONG_PAIR = TUG_MS(500);

static bool quick;

bool bench_is_quick(void)
{
    return quick;
}

tug_time bench_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (tug_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static tug_time thread_cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (tug_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- slices --------------------------------------------------------------------------------- */

struct sample {
    double done, wall, cpu;
};

static int measure(bench_slice slice, void *state, struct sample *ret)
{
    uint64_t done = 0;
    tug_time cpu = thread_cpu();
    tug_time start = bench_now();
    int rc = slice(state, start + (quick ? SLICE_QUICK : SLICE), &done);
    ret->wall = (double)(bench_now() - start);
    ret->cpu = (double)(thread_cpu() - cpu);
    ret->done = (double)done;
    if (rc == 0 && done == 0) {
        rc = tug_fail(TUG_EMISUSE, "a slice in which nothing was done");
    }
    return rc;
}

struct limit_visit {
    const struct bench_compare *c;
    struct sample *sample;
    int rc;
    tug_error error;
};

/* The loop's stack is as large as the thread's, and third-party code may need that. */
static void measure_limit(void *arg)
{
    struct limit_visit *v = arg;
    v->rc = measure(v->c->limit, v->c->state, v->sample);
    if (v->rc < 0) {
        v->error = *tug_last_error();
    }
}

static int measure_side(const struct bench_compare *c, bool limit, struct sample *ret)
{
    if (!limit) {
        int rc = measure(c->ours, c->state, ret);
        if (c->spent != NULL) {
            ret->wall = (double)*c->spent;
        }
        return rc;
    }
    struct limit_visit v = {.c = c, .sample = ret};
    tug_on_loop_stack(measure_limit, &v);
    if (c->spent_limit != NULL) {
        ret->wall = (double)*c->spent_limit;
    }
    return v.rc < 0 ? tug_fail_with(&v.error) : 0;
}

/* --- figures -------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double value_of(const struct bench_figure *f, const struct sample *s)
{
    double scale = strcmp(f->unit, "us") == 0 ? 1e-3 : 1;
    switch (f->kind) {
    case BENCH_RATE:
        return s->done / s->wall * 1e9;
    case BENCH_CPU:
        return s->cpu / s->done * scale;
    default:
        return s->wall / s->done * scale;
    }
}

static void print_value(double value)
{
    printf(" %.*f", value >= 1000 ? 0 : 2, value);
}

void bench_print(const char *name, const char *suffix, double value, const char *unit, double limit,
                 double ratio)
{
    printf("%s%s", name, suffix);
    print_value(value);
    printf(" %s limit", unit);
    if (limit < 0) {
        printf(" - ratio -\n");
    } else {
        print_value(limit);
        printf(" ratio %.3f\n", ratio);
    }
    fflush(stdout);
}

static void report(const struct bench_compare *c, const struct bench_figure *f,
                   struct sample pairs[][2], size_t n)
{
    double ours[PAIRS];
    double limit[PAIRS];
    double ratio[PAIRS];
    for (size_t i = 0; i < n; i++) {
        ours[i] = value_of(f, &pairs[i][0]);
        limit[i] = value_of(f, &pairs[i][1]);
        ratio[i] = f->kind == BENCH_RATE ? ours[i] / limit[i] : limit[i] / ours[i];
    }
    bench_print(c->name, f->suffix, median(ours, n), f->unit, median(limit, n), median(ratio, n));
}

int bench_compare(const struct bench_compare *c)
{
    struct sample pairs[PAIRS][2];
    size_t n = quick ? PAIRS_QUICK : PAIRS;
    /* One pair more, in front, does not count: caches, prepared statements, the clock's ramp. */
    tug_time start = bench_now();
    for (size_t i = 0; i < n + 1; i++) {
        size_t at = i > 0 ? i - 1 : 0;
        if (i == 1 && !quick && bench_now() - start > LONG_PAIR) {
            n = PAIRS_LONG;
        }
        bool limit_first = i % 2 == 1;
        int rc = measure_side(c, limit_first, &pairs[at][limit_first]);
        if (rc == 0) {
            rc = measure_side(c, !limit_first, &pairs[at][!limit_first]);
        }
        if (rc < 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < FIGURES && c->figures[i].unit != NULL; i++) {
        report(c, &c->figures[i], pairs, n);
    }
    return 0;
}

/* --- help for benches ----------------------------------------------------------------------- */

int bench_url(const char *variable, const char **ret_url)
{
    const char *url = getenv(variable);
    if (url == NULL || *url == 0) {
        return tug_fail(TUG_EINVAL,
                        "%s is not set: scripts/services.sh run -- starts servers and sets it",
                        variable);
    }
    *ret_url = url;
    return 0;
}

void bench_pin(struct bench_pin *pin, const char *name, const int *pids, size_t n)
{
    cpu_set_t before;
    cpu_set_t one;
    _Static_assert(sizeof before <= sizeof pin->before, "the pin has room for a set of cores");
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    pin->is_set = sched_getaffinity(0, sizeof before, &before) == 0;
    memcpy(pin->before, &before, sizeof before);
    bool ok = pin->is_set && sched_setaffinity(0, sizeof one, &one) == 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = sched_setaffinity(pids[i], sizeof one, &one) == 0;
    }
    if (!ok) {
        fprintf(stderr,
                "tug-bench: %s: not pinned to one core (%m): the figures depend on the scheduler\n",
                name);
        bench_unpin(pin);
    }
}

void bench_unpin(struct bench_pin *pin)
{
    if (pin->is_set) {
        cpu_set_t before;
        memcpy(&before, pin->before, sizeof before);
        TUG_IGNORE(sched_setaffinity(0, sizeof before, &before));
        pin->is_set = false;
    }
}

bool bench_put_apart(const char *name, const int *pids, size_t n)
{
    cpu_set_t all, other;
    int here = sched_getcpu(), core = -1;
    if (sched_getaffinity(0, sizeof all, &all) < 0) {
        return false;
    }
    for (int i = 0; i < CPU_SETSIZE && core < 0; i++) {
        core = CPU_ISSET(i, &all) && i != here ? i : -1;
    }
    if (core < 0) {
        fprintf(stderr, "tug-bench: %s.2cores: there is one core only\n", name);
        return false;
    }
    CPU_ZERO(&other);
    CPU_SET(core, &other);
    for (size_t i = 0; i < n; i++) {
        if (sched_setaffinity(pids[i], sizeof other, &other) < 0) {
            fprintf(stderr, "tug-bench: %s.2cores: not pinned (%m)\n", name);
            return false;
        }
    }
    return true;
}

/* --- the program ---------------------------------------------------------------------------- */

static const struct bench *find(const char *name)
{
    for (size_t i = 0; bench_registry[i] != NULL; i++) {
        if (strcmp(bench_registry[i]->name, name) == 0) {
            return bench_registry[i];
        }
    }
    return NULL;
}

static int list(void)
{
    for (size_t i = 0; bench_registry[i] != NULL; i++) {
        puts(bench_registry[i]->name);
    }
    return EXIT_SUCCESS;
}

static int help(void)
{
    puts("tug-bench [--quick] NAME...   NAME VALUE UNIT limit VALUE ratio R, 1.00 is the limit\n"
         "tug-bench --list              the names\n");
    for (size_t i = 0; bench_registry[i] != NULL; i++) {
        printf("%-16s %s\n", bench_registry[i]->name, bench_registry[i]->what);
    }
    return EXIT_SUCCESS;
}

static int refuse(const char *what, const char *word)
{
    fprintf(stderr, "tug-bench: %s%s; tug-bench [--quick] NAME..., the names by --list\n", what,
            word);
    return 2;
}

static int run_bench(void *arg)
{
    return ((const struct bench *)arg)->run();
}

int main(int argc, char **argv)
{
    int names = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            return list();
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return help();
        } else if (argv[i][0] == '-') {
            return refuse("no such option: ", argv[i]);
        } else if (find(argv[i]) == NULL) {
            return refuse("no such bench: ", argv[i]);
        } else {
            names++;
        }
    }
    if (names == 0) {
        return refuse("which bench?", "");
    }
    int status = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        const struct bench *b = find(argv[i]);
        int rc = b != NULL ? tug_run(run_bench, (void *)b) : 0;
        if (rc < 0) {
            const tug_error *e = tug_last_error();
            fprintf(stderr, "tug-bench: %s: %s\n", b->name,
                    e->code == rc ? e->text : tug_error_text(rc));
            status = EXIT_FAILURE;
        }
    }
    return status;
}
