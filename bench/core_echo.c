/* core.echo: a TCP echo server with 64 connections and messages of 512 bytes, one in flight on each, all on one core
 * with the process that sends them; against a loop over epoll, and against libevent's bufferevents. */
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/sys/driver.h>

#include "bench.h"
#include "echo_bare.h"

enum {
    SET_OURS,
    SET_EPOLL,
    SET_BUFFERS
};

struct echo {
    struct load load;
    struct epoll_server epoll;
    struct buffer_server buffers;
};

/* --- ours ------------------------------------------------------------------------------------ */

static int serve(void *arg)
{
    TUG_AUTO(tug_stream) s = *(tug_stream **)arg;
    char chunk[4096];
    int n;
    while ((n = tug_stream_read(s, chunk, sizeof chunk)) > 0) {
        int rc = tug_stream_write(s, tug_bytes(chunk, (size_t)n));
        if (rc < 0) {
            return rc;
        }
    }
    return n;
}

static int serve_all(struct load *load, tug_group *g)
{
    TUG_AUTO(tug_listener) l = NULL;
    int rc = tug_listener_open("tcp://127.0.0.1:0", NULL, &l);
    if (rc < 0) {
        return rc;
    }
    const char *port = strrchr(tug_listener_address(l), ':') + 1;
    rc = load_connect(load, SET_OURS, (uint16_t)strtoul(port, NULL, 10));
    for (int i = 0; rc == 0 && i < LOAD_CONNECTIONS; i++) {
        tug_stream *s = NULL;
        rc = tug_listener_next(l, &s);
        rc = rc < 0 ? rc : tug_group_spawn_copy(g, serve, &s, sizeof s);
    }
    return rc;
}

static int ours(void *state, tug_time until, uint64_t *ret_done)
{
    struct echo *e = state;
    int rc = load_run(&e->load, SET_OURS, until);
    rc = rc < 0 ? rc : tug_fd_wait(e->load.control, TUG_READ);
    return rc < 0 ? rc : load_result(&e->load, ret_done);
}

/* --- the limits ------------------------------------------------------------------------------ */

static int bare_epoll(void *state, tug_time until, uint64_t *ret_done)
{
    struct echo *e = state;
    int rc = load_run(&e->load, SET_EPOLL, until);
    rc = rc < 0 ? rc : epoll_server_serve(&e->epoll);
    return rc < 0 ? rc : load_result(&e->load, ret_done);
}

static int bufferevents(void *state, tug_time until, uint64_t *ret_done)
{
    struct echo *e = state;
    int rc = load_run(&e->load, SET_BUFFERS, until);
    rc = rc < 0 ? rc : buffer_server_serve(&e->buffers);
    return rc < 0 ? rc : load_result(&e->load, ret_done);
}

static int compare(struct echo *e)
{
    struct bench_compare c = {
        .name = "core.echo",
        .ours = ours,
        .limit = bare_epoll,
        .state = e,
        .figures = {{"", BENCH_RATE, "messages/s"}, {".cpu", BENCH_CPU, "us"}}};
    int rc = bench_compare(&c);
    if (rc == 0) {
        c.limit = bufferevents;
        c.figures[0].suffix = ".bufferevents";
        c.figures[1].unit = NULL;
        rc = bench_compare(&c);
    }
    return rc;
}

static int run_with(struct echo *e)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    int rc = epoll_server_open(&e->epoll, &e->load, SET_EPOLL);
    rc = rc < 0 ? rc : buffer_server_open(&e->buffers, &e->load, SET_BUFFERS);
    rc = rc < 0 ? rc : serve_all(&e->load, &g);
    if (rc == 0) {
        struct bench_pin pin;
        bench_pin(&pin, "core.echo", &e->load.pid, 1);
        rc = compare(e);
        bench_unpin(&pin);
    }
    if (rc == 0) {
        tug_group_cancel(&g);
    }
    rc = tug_group_leave(&g, rc);
    epoll_server_close(&e->epoll);
    buffer_server_close(&e->buffers);
    return rc == TUG_ECANCELED ? 0 : rc;
}

static int run(void)
{
    static struct echo e; /* static: some KiB */
    memset(&e, 0, sizeof e);
    int rc = load_start(&e.load);
    if (rc == 0) {
        rc = run_with(&e);
        load_stop(&e.load);
    }
    return rc;
}

const struct bench bench_core_echo = {
    .name = "core.echo",
    .what = "TCP echo, 64 connections, 512 B, one core; limit: a loop over epoll",
    .run = run,
};
