/* core.post: calls from another thread. Latency: from the call of tug_remote_post_own on another thread until the
 * loop, which sleeps, runs it; against the bare way, a write to an eventfd until the thread that sleeps in
 * epoll_wait has read it. Wake-ups: of the loop, for bursts of posts. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <tug/remote.h>
#include <tug/sync.h>
#include <unistd.h>

#include "bench.h"
#include "loop/remote.h"

enum {
    PINGS = 20,     /* of one kind, before the other kind has its turn */
    ROUNDS = 200,   /* in all 4,000 pings of each kind */
    REST_US = 50,   /* between pings: long enough for the other side to sleep */
    BURSTS = 201,   /* to count wake-ups */
    IN_BURST = 1000 /* posts */
};

struct pings {
    tug_time took[ROUNDS * PINGS];
    size_t n;
};

struct post_bench {
    struct pings ours, bare;
    tug_time wakeups[BURSTS]; /* sorted as the times are */
    tug_remote *remote;
    tug_event *round_over, *burst_over;
    tug_post ping;
    tug_post burst[IN_BURST];
    _Atomic(tug_time) sent;
    atomic_int heard; /* pings that have arrived */
    size_t in_burst;
    int epoll_fd, event_fd;
    sem_t go;
};

static struct post_bench *bench;

/* --- ours ---------------------------------------------------------------------------------------- */

static void on_ping(void *arg)
{
    (void)arg;
    bench->ours.took[bench->ours.n++] = bench_now() - atomic_load(&bench->sent);
    if (bench->ours.n % PINGS == 0) {
        tug_event_set(bench->round_over);
    }
    atomic_fetch_add(&bench->heard, 1);
}

/* Sends when the other side sleeps again; until it has heard, it waits without the processor where there
 * is only one. */
static void after_a_rest(int before)
{
    while (atomic_load(&bench->heard) == before) {
        usleep(1);
    }
    usleep(REST_US);
}

static void send_post(void)
{
    if (tug_remote_post_own(bench->remote, &bench->ping) < 0) {
        abort();
    }
}

static void send_write(void)
{
    const uint64_t one = 1;
    if (write(bench->event_fd, &one, sizeof one) != sizeof one) {
        abort();
    }
}

/* Both kinds from one thread, so that they find the same neighbours and the same caches. */
static void *send_pings(void *arg)
{
    (void)arg;
    for (int r = 0; r < 2 * ROUNDS; r++) {
        while (sem_wait(&bench->go) < 0) {
        }
        usleep(REST_US);
        for (int i = 0; i < PINGS; i++) {
            int before = atomic_load(&bench->heard);
            atomic_store(&bench->sent, bench_now());
            if (r % 2 == 0) {
                send_post();
            } else {
                send_write();
            }
            after_a_rest(before);
        }
    }
    return NULL;
}

/* --- bare ---------------------------------------------------------------------------------------- */

/* Blocks the loop. */
static void hear_writes(void)
{
    for (int i = 0; i < PINGS;) {
        struct epoll_event e;
        uint64_t n;
        if (epoll_wait(bench->epoll_fd, &e, 1, -1) == 1 &&
            read(bench->event_fd, &n, sizeof n) == sizeof n) {
            bench->bare.took[bench->bare.n++] = bench_now() - atomic_load(&bench->sent);
            atomic_fetch_add(&bench->heard, 1);
            i++;
        }
    }
}

/* --- bursts -------------------------------------------------------------------------------------- */

static void on_burst(void *arg)
{
    (void)arg;
    if (++bench->in_burst == IN_BURST) {
        bench->in_burst = 0;
        tug_event_set(bench->burst_over);
    }
}

static void *send_bursts(void *arg)
{
    (void)arg;
    for (int b = 0; b < BURSTS; b++) {
        while (sem_wait(&bench->go) < 0) {
        }
        usleep(REST_US * 2);
        for (int i = 0; i < IN_BURST; i++) {
            if (tug_remote_post_own(bench->remote, &bench->burst[i]) < 0) {
                abort();
            }
        }
    }
    return NULL;
}

static int count_wakeups(void)
{
    pthread_t t;
    int rc = 0;
    if (pthread_create(&t, NULL, send_bursts, NULL) != 0) {
        return tug_fail(TUG_ELIMIT, "no thread can be made");
    }
    for (int b = 0; rc == 0 && b < BURSTS; b++) {
        uint64_t before = tug__remote_wakeups(bench->remote);
        sem_post(&bench->go);
        rc = tug_event_wait(bench->burst_over);
        tug_event_clear(bench->burst_over);
        bench->wakeups[b] = (tug_time)(tug__remote_wakeups(bench->remote) - before);
    }
    pthread_join(t, NULL);
    return rc;
}

/* --- the bench ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    tug_time x = *(const tug_time *)a, y = *(const tug_time *)b;
    return (x > y) - (x < y);
}

static double at_share(tug_time *values, size_t n, double share)
{
    qsort(values, n, sizeof *values, by_size);
    return (double)values[(size_t)((double)(n - 1) * share)];
}

static void print_latency(const char *suffix, double share)
{
    double ours = at_share(bench->ours.took, bench->ours.n, share) / 1000;
    double bare = at_share(bench->bare.took, bench->bare.n, share) / 1000;
    bench_print("core.post", suffix, ours, "us", bare, bare / ours);
}

static int measure(void)
{
    pthread_t t;
    struct bench_pin pin;
    int rc = 0;
    /* Both threads on one core: between two, what the kernel does with an idle one counts for more. Bursts are
     * sent from wherever it puts them. */
    bench_pin(&pin, "core.post", NULL, 0);
    if (pthread_create(&t, NULL, send_pings, NULL) != 0) {
        bench_unpin(&pin);
        return tug_fail(TUG_ELIMIT, "no thread can be made");
    }
    for (int r = 0; rc == 0 && r < ROUNDS; r++) {
        sem_post(&bench->go);
        rc = tug_event_wait(bench->round_over);
        tug_event_clear(bench->round_over);
        sem_post(&bench->go);
        hear_writes();
    }
    pthread_join(t, NULL);
    bench_unpin(&pin);
    rc = rc == 0 ? count_wakeups() : rc;
    if (rc == 0) {
        print_latency("", 0.5);
        print_latency(".p99", 0.99);
        /* Of the median burst: a poster that is put aside in the middle of one finds the loop asleep. */
        double wakeups = at_share(bench->wakeups, BURSTS, 0.5);
        bench_print("core.post", ".wakeups", wakeups, "a/burst", 1, wakeups > 1 ? 1 / wakeups : 1);
    }
    return rc;
}

static int open_bench(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    bench->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bench->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (bench->event_fd < 0 || bench->epoll_fd < 0 ||
        epoll_ctl(bench->epoll_fd, EPOLL_CTL_ADD, bench->event_fd, &e) < 0) {
        return tug_fail(-errno, "no eventfd or epoll: %s", tug_error_text(-errno));
    }
    sem_init(&bench->go, 0, 0);
    bench->ping = (tug_post){.fn = on_ping};
    for (int i = 0; i < IN_BURST; i++) {
        bench->burst[i] = (tug_post){.fn = on_burst};
    }
    int rc = tug_remote_new(&bench->remote);
    rc = rc == 0 ? tug_event_new(&bench->round_over) : rc;
    return rc == 0 ? tug_event_new(&bench->burst_over) : rc;
}

static int run(void)
{
    bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory");
    }
    bench->epoll_fd = bench->event_fd = -1;
    int rc = open_bench();
    rc = rc == 0 ? measure() : rc;
    tug_event_unref(bench->round_over);
    tug_event_unref(bench->burst_over);
    tug_remote_unref(bench->remote);
    close(bench->epoll_fd);
    close(bench->event_fd);
    free(bench);
    return rc;
}

const struct bench bench_core_post = {
    .name = "core.post",
    .what = "a post from another thread to a loop that sleeps; limit: an eventfd and epoll_wait",
    .run = run,
};
