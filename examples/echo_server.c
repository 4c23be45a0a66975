/* echo_server [ADDRESS]: sends back what it is sent, to any number of clients at once, until SIGTERM: then it takes
 * no more, serves those it has to their end (for 20 s), and exits. tcp://127.0.0.1:7007 unless told. */
#include <stdio.h>
#include <tug/group.h>
#include <tug/listener.h>
#include <tug/loop.h>

static int echo(tug_stream *s)
{
    char chunk[4096];
    int n;
    while ((n = tug_stream_read(s, chunk, sizeof chunk)) > 0) {    /* 0: the client has ended */
        int rc = tug_stream_write(s, tug_bytes(chunk, (size_t)n)); /* waits if it reads slowly */
        if (rc < 0) {
            return rc;
        }
    }
    return n < 0 ? n : tug_stream_finish(s);
}

static int serve(void *arg)
{
    TUG_AUTO(tug_stream) s = *(tug_stream **)arg; /* closed on every path */
    int rc = echo(s);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", tug_stream_peer(s), tug_last_error()->text);
    }
    return rc;
}

static int accept_all(tug_listener *l)
{
    tug_group clients;
    tug_stream *s = NULL;
    int rc;
    tug_group_enter(&clients, TUG_FOREVER, TUG_KEEP_GOING); /* one that fails harms no other */
    while ((rc = tug_listener_next(l, &s)) > 0) {           /* 0: asked to stop */
        if (tug_group_spawn_copy(&clients, serve, &s, sizeof s) < 0) {
            tug_stream_close(s);
        }
    }
    return tug_group_leave(&clients, rc);
}

static int run(void *address)
{
    TUG_AUTO(tug_listener) l = NULL;
    int rc = tug_listener_open(address != NULL ? address : "tcp://127.0.0.1:7007", NULL, &l);
    if (rc == 0) {
        printf("listening on %s\n", tug_listener_address(l));
        fflush(stdout);
        rc = accept_all(l);
    }
    return rc;
}

int main(int argc, char **argv)
{
    return tug_main(run, argc > 1 ? argv[1] : NULL);
}
