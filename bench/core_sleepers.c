/* core.sleepers: a million tasks that sleep, each to a random instant of ten seconds, and all wake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>

#include "bench.h"

enum {
    SLEEPERS = 1000000,
    SLEEPERS_QUICK = 5000,
    LATE_SLOTS = 100000, /* of a histogram of lateness, 10 us each: up to a second */
    LATE_SLOT = 10000
};
static const tug_duration SPREAD = TUG_SECONDS(10);
static const tug_duration SPREAD_QUICK = TUG_MS(100);

static const double MOST_KIB = 5.5;    /* resident, for a task that sleeps */
static const double MOST_LATE_MS = 5;  /* at the median */
static const double MOST_MAPS = 0.001; /* a task */

struct night {
    size_t n;
    size_t ready;
    tug_time start; /* of the ten seconds; 0: not all of them are ready */
    uint64_t random;
    uint32_t *late; /* how many woke how much later than they wanted */
};

/* --- what the kernel says ----------------------------------------------------------------------- */

/* A line "NAME: n kB" of the process's status. */
static double status_kib(const char *name)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    double kib = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtod(line + strlen(name), NULL);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib;
}

/* Pages, and the page tables that lead to them: both are memory that a task takes. */
static double resident_kib(void)
{
    return status_kib("VmRSS:") + status_kib("VmPTE:");
}

static size_t mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    size_t n = 0;
    for (int c; f != NULL && (c = getc(f)) != EOF;) {
        n += c == '\n';
    }
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

/* --- the tasks ---------------------------------------------------------------------------------- */

static tug_time draw_instant(struct night *night)
{
    night->random ^= night->random << 13;
    night->random ^= night->random >> 7;
    night->random ^= night->random << 17;
    tug_duration spread = bench_is_quick() ? SPREAD_QUICK : SPREAD;
    return night->start + (tug_duration)(night->random % (uint64_t)spread);
}

static int sleeper(void *arg)
{
    struct night *night = arg;
    int rc = 0;
    night->ready++;
    while (rc == 0 && night->start == 0) {
        rc = tug_yield();
    }
    if (rc < 0) {
        return rc;
    }
    tug_time until = draw_instant(night);
    rc = tug_sleep_until(until);
    tug_duration late = (tug_now() - until) / LATE_SLOT;
    night->late[late < LATE_SLOTS ? late : LATE_SLOTS - 1]++;
    return rc;
}

static double late_ms(const struct night *night, double share)
{
    size_t seen = 0;
    for (size_t i = 0; i < LATE_SLOTS; i++) {
        seen += night->late[i];
        if ((double)seen >= share * (double)night->n) {
            return (double)(i + 1) * LATE_SLOT / 1e6;
        }
    }
    return (double)LATE_SLOTS * LATE_SLOT / 1e6;
}

static int spawn_all(tug_group *g, struct night *night)
{
    for (size_t i = 0; i < night->n; i++) {
        int rc = tug_group_spawn(g, sleeper, night);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void report(const struct night *night, double kib, size_t maps)
{
    double n = (double)night->n;
    double median = late_ms(night, 0.5);
    bench_print("core.sleepers", "", kib / n, "KiB", MOST_KIB, MOST_KIB / (kib / n));
    bench_print("core.sleepers", ".late", median, "ms", MOST_LATE_MS, MOST_LATE_MS / median);
    bench_print("core.sleepers", ".p99", late_ms(night, 0.99), "ms", -1, 0);
    bench_print("core.sleepers", ".maps", (double)maps, "mappings", MOST_MAPS * n,
                MOST_MAPS * n / ((double)maps > 0 ? (double)maps : 1));
}

/* Fewer than a million where an environment variable says so: it takes 5 GiB. */
static size_t how_many(void)
{
    const char *given = getenv("TUG_BENCH_SLEEPERS");
    size_t n = given != NULL ? strtoul(given, NULL, 10) : 0;
    return n > 0 ? n : bench_is_quick() ? SLEEPERS_QUICK : SLEEPERS;
}

static int run(void)
{
    struct night night = {.n = how_many(), .random = UINT64_C(0x9e3779b97f4a7c15)};
    night.late = tug_calloc(LATE_SLOTS, sizeof *night.late);
    if (night.late == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a histogram");
    }
    double kib = resident_kib();
    size_t maps = mappings();
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    int rc = spawn_all(&g, &night);
    while (rc == 0 && night.ready < night.n) {
        rc = tug_yield();
    }
    night.start = tug_now() + TUG_SECONDS(1); /* until then all have gone to sleep */
    if (rc == 0) {
        rc = tug_sleep_until(night.start);
    }
    kib = resident_kib() - kib;
    maps = mappings() - maps;
    rc = tug_group_leave(&g, rc);
    if (rc == 0) {
        report(&night, kib, maps);
    }
    tug_free(night.late);
    return rc;
}

const struct bench bench_core_sleepers = {
    .name = "core.sleepers",
    .what = "1,000,000 tasks asleep, random deadlines over 10 s: KiB each, ms late, mappings",
    .run = run,
};
