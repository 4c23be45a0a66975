/* What: the task's face of a transport. Input that nobody waits for lies in a buffer; more than
 * read_ahead of it pauses the transport, so that a peer cannot fill our memory. A task that waits to
 * read gets its bytes straight from the chunk that came, or, when it waits with a large buffer,
 * from the system.
 *
 *   OPEN --the peer ends its direction--> HALF --a send fails, or the connection breaks--> BROKEN
 *   CLOSED is entered from each; the memory goes when the last call that is inside has returned. */
#include "kit/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "kit/address.h"

enum {
    DIRECT_LEAST = 16 * 1024, /* of a reader's room, to be received straight into */
    WRITE_PIECE = 128 * 1024  /* over the high mark: what one piece of a large write may add */
};
#define MARK_MOST ((size_t)1 << 30)

/* --- what the transport tells ---------------------------------------------------------------- */

static void wake_all(tug_stream *s, int code, const tug_error *why)
{
    tug_unpark_all(&s->reader, code, why);
    tug_unpark_all(&s->writer, code, why);
    tug_unpark_all(&s->closed, code, why);
}

static void on_end(void *arg, const tug_error *why)
{
    tug_stream *s = arg;
    s->state = TUG__STREAM_BROKEN;
    wake_all(s, why->code, why);
}

void tug__stream_break(tug_stream *s, const tug_error *why)
{
    tug_error copy = *why;
    tug__transport_abort(s->transport, &copy);
    on_end(s, &copy);
}

static uint8_t *on_buffer(void *arg, size_t *ret_size)
{
    const tug_stream *s = arg;
    const struct tug__reading *r = tug_waiters_slot(&s->reader);
    if (r == NULL || r->to == NULL || r->size - r->got < DIRECT_LEAST) {
        return NULL;
    }
    *ret_size = r->size - r->got;
    return r->to + r->got;
}

/* What the waiting reader takes of the bytes. */
static size_t give(tug_stream *s, struct tug__reading *r, const uint8_t *data, size_t size)
{
    assert(tug__stream_buffered(s) == 0 && "nobody waits for bytes while there are some");
    size_t n = size < r->size - r->got ? size : r->size - r->got;
    if (data != r->to + r->got) {
        memcpy(r->to + r->got, data, n);
    }
    r->got += n;
    if (r->got >= r->least) {
        tug_unpark_first(&s->reader, 1, NULL);
    }
    return n;
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
    tug_stream *s = arg;
    struct tug__reading *r = tug_waiters_slot(&s->reader);
    if (s->is_discarding) {
        return;
    }
    size_t given = r != NULL && r->to != NULL ? give(s, r, data, size) : 0;
    if (given < size && tug__stream_append(s, data + given, size - given) < 0) {
        tug__stream_break(s, tug_last_error());
        return;
    }
    if (r != NULL && r->to == NULL) {
        tug_unpark_first(&s->reader, 1, NULL);
    }
    tug__stream_update_pause(s);
}

static void on_room(void *arg)
{
    tug_stream *s = arg;
    tug_unpark_first(&s->writer, 0, NULL);
}

static void on_eof(void *arg)
{
    tug_stream *s = arg;
    tug_error why;
    s->state = TUG__STREAM_HALF;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL, "%s has ended the stream",
                  tug_transport_peer(s->transport));
    tug_unpark_all(&s->reader, 0, NULL);
    tug_unpark_all(&s->closed, why.code, &why);
}

static const tug_transport_ops transport_ops = {.size = sizeof transport_ops,
                                                .on_data = on_data,
                                                .on_room = on_room,
                                                .on_end = on_end,
                                                .on_eof = on_eof,
                                                .on_buffer = on_buffer};

/* --- options --------------------------------------------------------------------------------- */

static int out_of_range(const char *what, const char *range)
{
    return tug_fail(TUG_EINVAL, "stream options: %s is outside of %s", what, range);
}

static int to_units(tug_duration d, tug_duration unit)
{
    return (int)(d / unit + (d % unit != 0));
}

static int check_marks(const tug_stream_options *o)
{
    if (o->high_water < 1 || o->high_water > MARK_MOST) {
        return out_of_range("high_water", "1 to 1 GiB");
    }
    if (o->low_water < 1 || o->low_water > o->high_water) {
        return out_of_range("low_water", "1 to high_water");
    }
    if (o->read_ahead < 1 || o->read_ahead > MARK_MOST) {
        return out_of_range("read_ahead", "1 to 1 GiB");
    }
    return 0;
}

static int check_times(const tug_stream_options *o)
{
    const tug_duration keep_most = TUG_SECONDS(32767), user_most = TUG_SECONDS(24 * 86400);
    if (o->connect_timeout <= 0) {
        return out_of_range("connect_timeout", "1 ns and more");
    }
    if (o->attempt_delay < TUG_MS(10) || o->attempt_delay > TUG_SECONDS(2)) {
        return out_of_range("attempt_delay", "10 ms to 2 s");
    }
    if (o->keepalive_idle < 0 || o->keepalive_idle > keep_most) {
        return out_of_range("keepalive_idle", "0 to 32,767 s");
    }
    if (o->keepalive_idle > 0 && (o->keepalive_every <= 0 || o->keepalive_every > keep_most)) {
        return out_of_range("keepalive_every", "1 to 32,767 s");
    }
    if (o->keepalive_idle > 0 && (o->keepalive_times < 1 || o->keepalive_times > 127)) {
        return out_of_range("keepalive_times", "1 to 127");
    }
    if (o->user_timeout < 0 || o->user_timeout > user_most) {
        return out_of_range("user_timeout", "0 to 24 days");
    }
    return 0;
}

int tug__stream_options_check(const tug_stream_options *given, tug_stream_options *ret_options,
                              struct tug__dial_options *ret_dial)
{
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    int rc = check_marks(&o);
    rc = rc < 0 ? rc : check_times(&o);
    if (rc < 0) {
        return rc;
    }
    *ret_options = o;
    *ret_dial = (struct tug__dial_options){
        .socket = {.keep_idle = to_units(o.keepalive_idle, TUG_SECONDS(1)),
                   .keep_every = to_units(o.keepalive_every, TUG_SECONDS(1)),
                   .keep_times = o.keepalive_times,
                   .user_timeout = to_units(o.user_timeout, TUG_MS(1))},
        .attempt_delay = o.attempt_delay,
        .timeout = o.connect_timeout};
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

/* The descriptor goes with the loop that watches it; the handle stays the caller's. */
static void on_loop_end(void *arg)
{
    tug_stream *s = arg;
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "the loop of the stream has ended");
    tug__stream_break(s, &why);
    s->loop = NULL;
}

int tug__stream_wrap(tug_transport *t, const tug_stream_options *o, tug_stream **ret_stream)
{
    tug_stream *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a stream");
    }
    s->loop = tug__loop;
    s->high = o->high_water;
    s->low = o->low_water;
    s->read_ahead = o->read_ahead;
    tug_transport_set_limits(t, s->high, s->low, s->high + WRITE_PIECE);
    int rc = tug_transport_start(t, &transport_ops, s);
    if (rc < 0) {
        tug_free(s);
        return rc;
    }
    s->transport = t;
    tug_on_end(&s->at_end, on_loop_end, s);
    *ret_stream = s;
    return 0;
}

int tug_stream_from_fd_with(int fd, const tug_stream_options *given, tug_stream **ret_stream)
{
    tug_stream_options o;
    struct tug__dial_options dial;
    tug_transport *t = NULL;
    int rc = tug__stream_options_check(given, &o, &dial);
    if (rc == 0 && o.tls != NULL) {
        rc = tug_fail(TUG_EINVAL, "stream options: tls is for addresses that begin with tls://");
    }
    rc = rc < 0 ? rc : tug__transport_adopt(fd, &dial.socket, &t);
    if (rc < 0) {
        return rc;
    }
    rc = tug__stream_wrap(t, &o, ret_stream);
    if (rc < 0) {
        tug__transport_release(t); /* the descriptor is still the caller's */
        if (rc == -EPERM) {
            rc = tug_fail(TUG_EINVAL, "file descriptor %d is of a kind that cannot be waited for",
                          fd);
        }
    }
    return rc;
}

int tug_stream_from_fd(int fd, tug_stream **ret_stream)
{
    return tug_stream_from_fd_with(fd, NULL, ret_stream);
}

int tug_stream_connect_with(const char *address, const tug_stream_options *given,
                            tug_stream **ret_stream)
{
    struct tug__address a;
    tug_stream_options o;
    struct tug__dial_options dial;
    tug_transport *t = NULL;
    int rc = tug__address_parse(address, false, &a);
    rc = rc < 0 ? rc : tug__stream_options_check(given, &o, &dial);
    if (rc == 0 && o.tls != NULL && !a.is_tls) {
        rc = tug_fail(TUG_EINVAL, "stream options: tls is for addresses that begin with tls://");
    }
    if (rc == 0) {
        rc = a.is_tls ? tug__transport_dial_tls(a.host, a.port, &dial, o.tls, &t)
                      : tug__transport_dial(a.host, a.port, &dial, &t);
    }
    if (rc < 0) {
        return rc;
    }
    rc = tug__stream_wrap(t, &o, ret_stream);
    if (rc < 0) {
        tug_transport_close(t);
    }
    return rc;
}

int tug_stream_connect(const char *address, tug_stream **ret_stream)
{
    return tug_stream_connect_with(address, NULL, ret_stream);
}

static void free_if_last(tug_stream *s)
{
    if (s->state == TUG__STREAM_CLOSED && s->inside == 0) {
        tug_free(s->in);
        tug_free(s);
    }
}

void tug__stream_leave(tug_stream *s)
{
    s->inside--;
    free_if_last(s);
}

void tug_stream_close(tug_stream *s)
{
    /* After the end of its loop nothing is left to undo but the memory. */
    if (s == NULL || (s->loop != NULL && !tug__is_here_void(s->loop, "tug_stream_close"))) {
        return;
    }
    assert(s->state != TUG__STREAM_CLOSED && "a stream is closed once");
    s->state = TUG__STREAM_CLOSED;
    tug_on_end_forget(&s->at_end);
    tug_transport_close(s->transport);
    s->transport = NULL;
    wake_all(s, TUG_ECLOSED, NULL);
    free_if_last(s);
}

/* --- names ----------------------------------------------------------------------------------- */

const char *tug_stream_peer(const tug_stream *s)
{
    return tug_transport_peer(s->transport);
}

const char *tug_stream_local(tug_stream *s)
{
    return tug__transport_local(s->transport);
}

int tug_stream_fd(const tug_stream *s)
{
    return tug__transport_fd(s->transport);
}

/* --- what its calls share -------------------------------------------------------------------- */

int tug__stream_closed_here(void)
{
    return tug_fail(TUG_ECLOSED, "the stream is closed");
}

int tug__stream_busy(const char *what)
{
    return tug_fail(TUG_EMISUSE, "another task is in a %s of this stream", what);
}

int tug__stream_no_more(const tug_stream *s)
{
    assert(s->state != TUG__STREAM_OPEN && "an open stream without input is waited for");
    switch (s->state) {
    case TUG__STREAM_HALF:
        return 0;
    case TUG__STREAM_BROKEN:
        return tug_fail_with(tug__transport_why(s->transport));
    default:
        return tug__stream_closed_here();
    }
}

int tug_stream_wait_closed(tug_stream *s)
{
    if (!tug__is_here(s->loop, "tug_stream_wait_closed")) {
        return TUG_EMISUSE;
    }
    if (s->state == TUG__STREAM_OPEN) {
        return tug_park(&s->closed, NULL, "stream.wait_closed");
    }
    tug__stream_enter(s);
    int rc = tug_checkpoint();
    if (rc == 0) {
        rc = tug__stream_no_more(s);
        rc = rc == 0 ? tug_fail(TUG_ECLOSED, "%s has ended the stream", tug_stream_peer(s)) : rc;
    }
    tug__stream_leave(s);
    return rc;
}
