/* core.connections: as many TCP connections at once as this process may have descriptors, a task for each that waits
 * to read: resident memory for each, how fast they are accepted, and one message through each and back. There
 * is no limit to measure beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "bench.h"
#include "idle_load.h"

enum {
    MOST = 100000,
    MOST_QUICK = 2000,
    OTHER_FILES = 256, /* of this process */
    CLIENT_FILES = 64  /* of the others */
};

static int serve(void *arg)
{
    TUG_AUTO(tug_stream) s = *(tug_stream **)arg;
    char message[IDLE_MESSAGE];
    int n;
    while ((n = tug_stream_read(s, message, sizeof message)) > 0) {
        int rc = tug_stream_write(s, tug_bytes(message, (size_t)n));
        if (rc < 0) {
            return rc;
        }
    }
    return n;
}

struct server {
    tug_listener *listener;
    tug_group *group;
    uint32_t accepted;
    tug_time first, last; /* accepted */
};

static int accept_all(void *arg)
{
    struct server *s = arg;
    tug_stream *stream = NULL;
    int rc;
    while ((rc = tug_listener_next(s->listener, &stream)) > 0) {
        rc = tug_group_spawn_copy(s->group, serve, &stream, sizeof stream);
        if (rc < 0) {
            tug_stream_close(stream);
            return rc;
        }
        s->last = bench_now();
        s->first = s->accepted == 0 ? s->last : s->first;
        s->accepted++;
    }
    return rc;
}

/* KiB of this process that are in memory. */
static double resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long all = 0, pages = 0;
    if (f == NULL || fscanf(f, "%lu %lu", &all, &pages) != 2) { /* NOLINT(cert-err34-c) */
        pages = 0;
    }
    if (f != NULL) {
        fclose(f);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static int wait_for_all(struct idle_load *load)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < load->n; i++) {
        rc = tug_fd_wait(load->control[i], TUG_READ);
        rc = rc < 0 ? rc : idle_load_result(load, i);
    }
    return rc < 0 ? rc : 0;
}

static int measure(struct idle_load *load, struct server *s)
{
    double before = resident();
    const char *port = strrchr(tug_listener_address(s->listener), ':') + 1;
    int rc = idle_load_connect(load, (uint16_t)strtoul(port, NULL, 10));
    rc = rc < 0 ? rc : wait_for_all(load);
    if (rc < 0) {
        return rc;
    }
    double n = s->accepted;
    double accept_seconds = (double)(s->last - s->first) / 1e9;
    tug_time start = bench_now();
    rc = idle_load_talk(load);
    rc = rc < 0 ? rc : wait_for_all(load);
    double talk_seconds = (double)(bench_now() - start) / 1e9;
    if (rc == 0) {
        bench_print("core.connections", "", (resident() - before) / n, "kib", -1, 0);
        bench_print("core.connections", ".count", n, "connections", -1, 0);
        bench_print("core.connections", ".accept", n / accept_seconds, "connections/s", -1, 0);
        bench_print("core.connections", ".message", n / talk_seconds, "messages/s", -1, 0);
    }
    return rc;
}

static int run_with(struct idle_load *load)
{
    tug_group g;
    struct server s = {.group = &g};
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    o.backlog = 4096;
    int rc = tug_listener_open("tcp://0.0.0.0:0", &o, &s.listener);
    if (rc < 0) {
        return rc;
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, accept_all, &s);
    rc = measure(load, &s);
    tug_listener_stop(s.listener);
    tug_group_cancel(&g);
    rc = tug_group_leave(&g, rc);
    tug_listener_close(s.listener);
    return rc == TUG_ECANCELED ? 0 : rc;
}

static int run(void)
{
    struct idle_load load;
    struct rlimit before, all;
    if (getrlimit(RLIMIT_NOFILE, &before) < 0) {
        return tug_fail(TUG_EINVAL, "getrlimit: %m");
    }
    const rlim_t most = (bench_is_quick() ? MOST_QUICK : MOST) + OTHER_FILES;
    all = before;
    all.rlim_cur = all.rlim_max < most ? all.rlim_max : most;
    if (all.rlim_cur < (rlim_t)2 * OTHER_FILES || setrlimit(RLIMIT_NOFILE, &all) < 0) {
        return tug_fail(TUG_ELIMIT, "this process may not have %d descriptors", 2 * OTHER_FILES);
    }
    uint32_t n = (uint32_t)all.rlim_cur - OTHER_FILES;
    int rc = idle_load_start(&load, n, (uint32_t)all.rlim_cur - CLIENT_FILES);
    if (rc == 0) {
        rc = run_with(&load);
        idle_load_stop(&load);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    return rc;
}

const struct bench bench_core_connections = {
    .name = "core.connections",
    .what = "idle TCP connections, a task each: memory, accept rate, a message through each",
    .run = run,
};
