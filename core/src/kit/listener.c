/* What: connections that come as streams. They are accepted in batches while a task waits for one; what a batch
 * brings beyond those who wait lies in a ring until it is asked for. Nobody asks: the system's own backlog
 * holds them.
 *
 *            short of descriptors
 *   OPEN <-------------------------> PAUSED        STOPPED and CLOSED are entered from each;
 *            the backoff is over                   the memory goes when the last call has returned */
#include <tug/listener.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <tug/sys/tls.h>
#include <unistd.h>

#include "kit/listen.h"
#include "kit/stream.h"

enum {
    BATCH = 64,          /* connections accepted by one poll: others want to run too */
    BACKLOG_MOST = 65535 /* the kernel's own limit is an unsigned short */
};
#define PAUSE_FIRST TUG_MS(10)
#define PAUSE_MOST TUG_SECONDS(1)

enum state {
    STATE_OPEN,
    STATE_PAUSED,  /* short of descriptors or memory: a timer goes */
    STATE_STOPPED, /* no more connections; what is in the ring is given out */
    STATE_CLOSED
};

struct accepted {
    int fd;
    socklen_t size;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer; /* a Unix client has no name, and what there is is cut */
};

struct tug_listener {
    struct tug_loop *loop; /* NULL: at its end */
    struct tug__listening listening;
    tug_io *io;
    uint8_t state;
    unsigned pauses; /* in a row */
    unsigned inside;
    uint32_t first, count; /* of the ring */
    tug_waiters waiters;
    tug_timer timer;
    tug_stop_hook stop_hook;
    tug_end_hook at_end;
    tug_stream_options stream;
    tug_tls *tls; /* NULL: none */
    tug_listener_stats stats;
    int rc; /* why accepting failed for good; 0: it has not */
    struct accepted ring[BATCH];
};

/* --- accepting ------------------------------------------------------------------------------- */

static void pause_accepting(tug_listener *l, int error);

static void want(tug_listener *l, bool on)
{
    unsigned what = on ? TUG_READ : 0;
    if (l->io != NULL && tug_io_wanted(l->io) != what && tug_io_want(l->io, what) < 0 && on) {
        pause_accepting(l, ENOMEM);
    }
}

static void on_pause_over(tug_timer *timer, void *arg)
{
    tug_listener *l = arg;
    (void)timer;
    l->state = STATE_OPEN;
    want(l, tug_waiters_any(&l->waiters));
}

/* The connections stay where they are, in the system's backlog, and a poll would tell of them again and
 * again: so nothing is polled for a while. */
static void pause_accepting(tug_listener *l, int error)
{
    tug_duration pause = tug_backoff(l->pauses, PAUSE_FIRST, PAUSE_MOST);
    if (l->pauses++ == 0) {
        tug_log(TUG_LOG_WARN, "listener", "%s: connections are not accepted for now: %s",
                l->listening.address, strerrordesc_np(error));
    }
    l->stats.shortages++;
    l->state = STATE_PAUSED;
    want(l, false);
    tug_timer_start(&l->timer, tug_time_after(tug_turn_time(), pause), on_pause_over, l);
}

static void note_accepted(tug_listener *l)
{
    l->count++;
    l->stats.accepted++;
    if (l->pauses > 0) {
        l->pauses = 0;
        tug_log(TUG_LOG_INFO, "listener", "%s: connections are accepted again",
                l->listening.address);
    }
}

/* 0: there may be more; else the errno that ends the batch. */
static int accept_one(tug_listener *l)
{
    struct accepted *a = &l->ring[(l->first + l->count) % BATCH];
    a->size = sizeof a->peer;
    a->fd = accept4(l->listening.fd, &a->peer.any, &a->size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (a->fd >= 0) {
        note_accepted(l);
        return 0;
    }
    switch (errno) {
    case EINTR:
        return 0;
    case ECONNABORTED: /* accept also tells of the network's errors of the connection itself */
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        l->stats.aborted++;
        return 0;
    default:
        return errno;
    }
}

static void accept_batch(tug_listener *l)
{
    int error = 0;
    for (int i = 0; error == 0 && i < BATCH && l->count < BATCH; i++) {
        error = accept_one(l);
    }
    switch (error) {
    case 0:
    case EAGAIN:
        return;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        pause_accepting(l, error);
        return;
    default:
        l->rc = tug_error_from_errno(error);
        tug_unpark_all(&l->waiters, 0, NULL);
    }
}

static void on_ready(tug_io *io, unsigned ready, void *arg)
{
    tug_listener *l = arg;
    (void)io;
    (void)ready;
    if (!tug_waiters_any(&l->waiters)) {
        want(l, false);
        return;
    }
    accept_batch(l);
    for (uint32_t i = 0; i < l->count && tug_unpark_first(&l->waiters, 0, NULL); i++) {
    }
}

/* --- stopping -------------------------------------------------------------------------------- */

static void stop_listening(tug_listener *l)
{
    tug_timer_stop(&l->timer);
    tug_on_stop_forget(&l->stop_hook);
    tug_io_close(l->io);
    l->io = NULL;
    tug__listen_end(&l->listening);
    tug_unpark_all(&l->waiters, 0, NULL);
}

void tug_listener_stop(tug_listener *l)
{
    if (!tug__is_here_void(l->loop, "tug_listener_stop") || l->state >= STATE_STOPPED) {
        return;
    }
    /* To their clients those in the backlog are connected: they are served as far as the ring goes. */
    accept_batch(l);
    l->state = STATE_STOPPED;
    stop_listening(l);
}

static void on_stop(void *arg)
{
    tug_listener_stop(arg);
}

static void free_if_last(tug_listener *l)
{
    if (l->state == STATE_CLOSED && l->inside == 0) {
        tug_tls_unref(l->tls);
        tug_free(l);
    }
}

static void drop_ring(tug_listener *l)
{
    for (; l->count > 0; l->count--, l->first++) {
        close(l->ring[l->first % BATCH].fd);
    }
}

void tug_listener_close(tug_listener *l)
{
    /* After the end of its loop nothing is left to undo but the memory. */
    if (l == NULL || (l->loop != NULL && !tug__is_here_void(l->loop, "tug_listener_close"))) {
        return;
    }
    assert(l->state != STATE_CLOSED && "a listener is closed once");
    l->state = STATE_CLOSED;
    tug_on_end_forget(&l->at_end);
    stop_listening(l);
    drop_ring(l);
    free_if_last(l);
}

/* The socket goes with the loop that watches it; the handle stays the caller's. */
static void on_loop_end(void *arg)
{
    tug_listener *l = arg;
    l->state = STATE_STOPPED;
    stop_listening(l);
    drop_ring(l);
    l->loop = NULL;
}

/* --- opening --------------------------------------------------------------------------------- */

static int check(const struct tug__address *a, const tug_listener_options *o)
{
    if (o->backlog < 1 || o->backlog > BACKLOG_MOST) {
        return tug_fail(TUG_EINVAL, "listener options: backlog is outside of 1 to %d",
                        BACKLOG_MOST);
    }
    if (o->mode > 0777) {
        return tug_fail(TUG_EINVAL, "listener options: mode is outside of 0 to 0777");
    }
    if (o->tls != NULL && !a->is_tls) {
        return tug_fail(TUG_EINVAL,
                        "listener options: tls is for addresses that begin with tls://");
    }
    if (a->is_tls && o->tls == NULL) {
        return tug_fail(TUG_EINVAL, "listener options: tls://%s needs tls with a certificate",
                        a->host);
    }
    return a->is_tls ? tug__tls_check_server(o->tls) : 0;
}

static int open_listener(const char *address, const struct tug__address *a,
                         const tug_listener_options *o, const struct tug__dial_options *dial,
                         tug_listener *l)
{
    int rc = tug__listen(address, a, o, &dial->socket, &l->listening);
    return rc < 0 ? rc : tug_io_open(l->listening.fd, on_ready, l, &l->io);
}

int tug_listener_open(const char *address, const tug_listener_options *given,
                      tug_listener **ret_listener)
{
    struct tug__address a;
    struct tug__dial_options dial;
    tug_stream_options stream;
    tug_listener_options o = TUG_LISTENER_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (!tug_has_loop("tug_listener_open")) {
        return TUG_EMISUSE;
    }
    int rc = tug__address_parse(address, true, &a);
    rc = rc < 0 ? rc : check(&a, &o);
    rc = rc < 0 ? rc : tug__stream_options_check(o.stream, &stream, &dial);
    if (rc < 0) {
        return rc;
    }
    tug_listener *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a listener");
    }
    l->loop = tug__loop;
    l->stream = stream;
    l->stats.size = sizeof l->stats;
    l->listening.fd = -1;
    rc = open_listener(address, &a, &o, &dial, l);
    if (rc < 0) {
        tug__listen_end(&l->listening);
        tug_free(l);
        return rc;
    }
    l->tls = o.tls != NULL ? tug_tls_ref(o.tls) : NULL;
    tug_on_stop(&l->stop_hook, on_stop, l);
    tug_on_end(&l->at_end, on_loop_end, l);
    *ret_listener = l;
    return 0;
}

/* --- next ------------------------------------------------------------------------------------ */

static void name_peer(const tug_listener *l, const struct accepted *a, char *to, size_t room)
{
    union tug__any_address any = {.any = {.sa_family = AF_UNSPEC}};
    if (a->peer.any.sa_family != AF_UNIX) {
        memcpy(&any, &a->peer, sizeof a->peer);
        tug__socket_name(&any, a->size, to, room);
    } else {
        snprintf(to, room, "a client of %s", l->listening.path);
    }
}

static int make_stream(const tug_listener *l, const struct accepted *a, tug_stream **ret_stream)
{
    char peer[TUG__PEER_BYTES];
    tug_transport *t = NULL;
    name_peer(l, a, peer, sizeof peer);
    int rc = tug__transport_new(a->fd, peer, &t);
    if (rc < 0) {
        close(a->fd);
        return rc;
    }
    rc = l->tls != NULL ? tug_transport_secure_server(t, l->tls) : 0;
    rc = rc < 0 ? rc : tug__stream_wrap(t, &l->stream, ret_stream);
    if (rc < 0) {
        tug_transport_close(t);
    }
    return rc;
}

/* Of the ring, which is not empty. False: there is no memory for it. The client sees a closed connection; a
 * server's accept loop is not to end by that. */
static bool take(tug_listener *l, tug_stream **ret_stream)
{
    struct accepted a = l->ring[l->first % BATCH];
    l->first++;
    l->count--;
    int rc = make_stream(l, &a, ret_stream);
    if (rc < 0) {
        l->stats.shortages++;
        tug_log(TUG_LOG_WARN, "listener", "%s: a connection was dropped: %s", l->listening.address,
                tug_error_text(rc));
    }
    return rc == 0;
}

static int wait_next(tug_listener *l)
{
    if (l->state == STATE_OPEN) {
        want(l, true);
    }
    return l->rc < 0 ? 0 : tug_park(&l->waiters, NULL, "listener.next");
}

static int next(tug_listener *l, tug_stream **ret_stream)
{
    bool has_waited = false;
    for (;;) {
        bool is_over = l->count > 0 || l->state >= STATE_STOPPED || l->rc < 0;
        int rc = !is_over ? wait_next(l) : has_waited ? 0 : tug_checkpoint();
        has_waited = true;
        if (rc < 0) {
            return rc;
        }
        if (l->state == STATE_CLOSED) {
            return 0;
        }
        if (l->count > 0 && take(l, ret_stream)) {
            return 1;
        }
        if (l->count == 0 && l->state == STATE_STOPPED) {
            return 0;
        }
        if (l->count == 0 && l->rc < 0) {
            return tug_fail(l->rc, "%s accepts no more connections: %s", l->listening.address,
                            tug_error_text(l->rc));
        }
    }
}

int tug_listener_next(tug_listener *l, tug_stream **ret_stream)
{
    if (!tug__is_here(l->loop, "tug_listener_next")) {
        return TUG_EMISUSE;
    }
    l->inside++;
    int rc = next(l, ret_stream);
    l->inside--;
    free_if_last(l);
    return rc;
}

const char *tug_listener_address(const tug_listener *l)
{
    return l->listening.address;
}

void tug_listener_get_stats(const tug_listener *l, tug_listener_stats *ret_stats)
{
    size_t size = ret_stats->size < sizeof l->stats ? ret_stats->size : sizeof l->stats;
    memcpy(ret_stats, &l->stats, size);
    ret_stats->size = size;
}
