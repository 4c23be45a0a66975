/* What: the task's face of a transport. Input that nobody waits for lies in a buffer; more than 64
 * KiB of it pauses the transport, so that a peer cannot fill our memory. A task that waits to read
 * gets its bytes straight from the chunk that came.
 *
 *   OPEN --the peer ends its direction--> HALF --a send fails, or the connection breaks--> BROKEN
 *   CLOSED is entered from each; the memory goes when the last call that is inside has returned. */
#include <tug/stream.h>

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "kit/transport.h"

enum {
    INPUT_PAUSE = 64 * 1024,  /* buffered bytes above which nothing more is read */
    INPUT_FIRST = 4 * 1024,   /* first size of the buffer */
    INPUT_KEPT = 16 * 1024,   /* what an empty buffer may keep */
    WRITE_PIECE = 128 * 1024, /* copied at once: a large write must not stand in memory twice */
    OUT_HIGH = 256 * 1024,    /* unsent bytes above which a write waits, */
    OUT_LOW = 64 * 1024,      /* and below which it goes on */
    OUT_LIMIT = OUT_HIGH + WRITE_PIECE
};

enum state {
    STATE_OPEN,
    STATE_HALF,   /* the peer sends no more; writes go on */
    STATE_BROKEN, /* why says it; what is buffered can still be read */
    STATE_CLOSED
};

/* Where a waiting reader wants its bytes. */
struct reading {
    void *to;
    size_t size;
};

struct tug_stream {
    tug_transport *transport;
    uint8_t state;
    bool has_reader, has_writer; /* a task is inside read; inside write or flush */
    unsigned inside;             /* calls that may be suspended: they keep the memory */
    uint8_t *in;                 /* in[in_start .. in_end) was not read yet */
    size_t in_start, in_end, in_size;
    tug_waiters reader; /* slot: struct reading */
    tug_waiters writer;
    tug_waiters closed;
    tug_error why; /* of BROKEN */
};

/* --- the input buffer ------------------------------------------------------------------------ */

static size_t buffered(const tug_stream *s)
{
    return s->in_end - s->in_start;
}

/* Room for size more bytes behind the buffered ones. */
static int make_room(tug_stream *s, size_t size)
{
    size_t used = buffered(s);
    if (used + size > s->in_size) {
        size_t grown = s->in_size > 0 ? s->in_size : INPUT_FIRST;
        while (grown < used + size) {
            grown *= 2;
        }
        uint8_t *in = tug_alloc(grown);
        if (in == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for %zu bytes of input", grown);
        }
        if (used > 0) {
            memcpy(in, s->in + s->in_start, used);
        }
        tug_free(s->in);
        s->in = in;
        s->in_size = grown;
    } else if (s->in_end + size > s->in_size) {
        memmove(s->in, s->in + s->in_start, used);
    } else {
        return 0;
    }
    s->in_start = 0;
    s->in_end = used;
    return 0;
}

static int append(tug_stream *s, const uint8_t *data, size_t size)
{
    int rc = make_room(s, size);
    if (rc == 0) {
        memcpy(s->in + s->in_end, data, size);
        s->in_end += size;
    }
    return rc;
}

/* Puts bytes back in front of the buffered ones. */
static int put_back(tug_stream *s, const uint8_t *data, size_t size)
{
    int rc = make_room(s, size);
    if (rc == 0) {
        memmove(s->in + s->in_start + size, s->in + s->in_start, buffered(s));
        memcpy(s->in + s->in_start, data, size);
        s->in_end += size;
    }
    return rc;
}

static size_t take(tug_stream *s, void *to, size_t size)
{
    size_t n = size < buffered(s) ? size : buffered(s);
    memcpy(to, s->in + s->in_start, n);
    s->in_start += n;
    if (buffered(s) == 0) {
        s->in_start = s->in_end = 0;
        if (s->in_size > INPUT_KEPT) {
            tug_free(s->in);
            s->in = NULL;
            s->in_size = 0;
        }
    }
    return n;
}

static void update_pause(tug_stream *s)
{
    if (s->transport != NULL) {
        tug_transport_pause(s->transport, buffered(s) > INPUT_PAUSE);
    }
}

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
    s->state = STATE_BROKEN;
    s->why = *why;
    tug_transport_close(s->transport);
    s->transport = NULL;
    wake_all(s, s->why.code, &s->why);
}

static void on_data(void *arg, const uint8_t *data, size_t size)
{
    tug_stream *s = arg;
    const struct reading *r = tug_waiters_slot(&s->reader);
    if (r != NULL) {
        assert(buffered(s) == 0 && "nobody waits while bytes are there");
        size_t n = size < r->size ? size : r->size;
        memcpy(r->to, data, n);
        tug_unpark_first(&s->reader, (int)n, NULL);
        data += n;
        size -= n;
    }
    if (size > 0 && append(s, data, size) < 0) {
        on_end(s, tug_last_error());
        return;
    }
    update_pause(s);
}

static void on_room(void *arg)
{
    tug_stream *s = arg;
    tug_unpark_first(&s->writer, 0, NULL);
}

static void peer_ended(const tug_stream *s, tug_error *ret_why)
{
    tug_error_set(ret_why, TUG_ECLOSED, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL,
                  "%s has ended the stream", tug_transport_peer(s->transport));
}

static void on_eof(void *arg)
{
    tug_stream *s = arg;
    tug_error why;
    s->state = STATE_HALF;
    peer_ended(s, &why);
    tug_unpark_all(&s->reader, 0, NULL);
    tug_unpark_all(&s->closed, why.code, &why);
}

static const tug_transport_ops transport_ops = {.size = sizeof transport_ops,
                                                .on_data = on_data,
                                                .on_room = on_room,
                                                .on_end = on_end,
                                                .on_eof = on_eof};

/* --- life ------------------------------------------------------------------------------------ */

/* On failure the transport is still the caller's. */
static int wrap(tug_transport *t, tug_stream **ret_stream)
{
    tug_stream *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a stream");
    }
    tug_transport_set_limits(t, OUT_HIGH, OUT_LOW, OUT_LIMIT);
    int rc = tug_transport_start(t, &transport_ops, s);
    if (rc < 0) {
        tug_free(s);
        return rc;
    }
    s->transport = t;
    *ret_stream = s;
    return 0;
}

int tug_stream_from_fd(int fd, tug_stream **ret_stream)
{
    tug_transport *t = NULL;
    int rc = tug_transport_from_fd(fd, &t);
    if (rc < 0) {
        return rc;
    }
    rc = wrap(t, ret_stream);
    if (rc < 0) {
        tug__transport_release(t); /* the socket is still the caller's */
    }
    return rc;
}

static int bad_address(const char *address)
{
    return tug_fail(TUG_EINVAL, "stream address \"%s\": expected tcp://host:port or unix:/path",
                    address);
}

/* "host:port" or "[address]:port". host has room for what strlen(text) says. */
static int split(const char *address, const char *text, char *host, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9') {
        return bad_address(address);
    }
    char *rest;
    unsigned long port = strtoul(colon + 1, &rest, 10);
    size_t n = (size_t)(colon - text);
    bool has_brackets = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (*rest != 0 || port == 0 || port > UINT16_MAX ||
        (!has_brackets && (text[0] == '[' || memchr(text, ':', n) != NULL))) {
        return bad_address(address);
    }
    n -= has_brackets ? 2 : 0;
    memcpy(host, text + (has_brackets ? 1 : 0), n);
    host[n] = 0;
    *ret_port = (uint16_t)port;
    return 0;
}

int tug_stream_connect(const char *address, tug_stream **ret_stream)
{
    char host[256];
    uint16_t port = 0;
    int rc;
    tug_transport *t = NULL;
    if (address == NULL || strlen(address) >= sizeof host) {
        return tug_fail(TUG_EINVAL, "a stream address has at most %zu bytes", sizeof host - 1);
    }
    if (strncmp(address, "unix:/", 6) == 0) {
        rc = tug_transport_dial(address + 5, 0, &t);
    } else if (strncmp(address, "tcp://", 6) == 0) {
        rc = split(address, address + 6, host, &port);
        rc = rc < 0 ? rc : tug_transport_dial(host, port, &t);
    } else {
        rc = bad_address(address);
    }
    if (rc == 0) {
        rc = wrap(t, ret_stream);
        if (rc < 0) {
            tug_transport_close(t);
        }
    }
    return rc;
}

static void free_if_last(tug_stream *s)
{
    if (s->state == STATE_CLOSED && s->inside == 0) {
        tug_free(s->in);
        tug_free(s);
    }
}

void tug_stream_close(tug_stream *s)
{
    if (s == NULL) {
        return;
    }
    assert(s->state != STATE_CLOSED && "a stream is closed once");
    s->state = STATE_CLOSED;
    tug_transport_close(s->transport);
    s->transport = NULL;
    wake_all(s, TUG_ECLOSED, NULL);
    free_if_last(s);
}

/* --- calls that may wait --------------------------------------------------------------------- */

static int closed_here(void)
{
    return tug_fail(TUG_ECLOSED, "the stream is closed");
}

static int busy(const char *what)
{
    return tug_fail(TUG_EMISUSE, "another task is in a %s of this stream", what);
}

/* Nothing is buffered and nothing will come: 0 at the peer's end, or why. */
static int no_more(const tug_stream *s)
{
    assert(s->state != STATE_OPEN && "an open stream without input is waited for");
    switch (s->state) {
    case STATE_HALF:
        return 0;
    case STATE_BROKEN:
        return tug_fail_with(&s->why);
    default:
        return closed_here();
    }
}

/* Inside a call. */
static int read_some(tug_stream *s, void *to, size_t size)
{
    if (buffered(s) == 0 && s->state == STATE_OPEN) {
        struct reading r = {.to = to, .size = size};
        return tug_park(&s->reader, &r, "stream.read");
    }
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (s->state != STATE_CLOSED && buffered(s) > 0) {
        size_t n = take(s, to, size);
        update_pause(s);
        return (int)n;
    }
    return no_more(s);
}

static int read_begin(tug_stream *s, const void *to, size_t size)
{
    if (size == 0 || to == NULL) {
        return tug_fail(TUG_EINVAL, "no room to read into");
    }
    if (s->has_reader) {
        return busy("read");
    }
    s->has_reader = true;
    s->inside++;
    return 0;
}

static void read_end(tug_stream *s)
{
    s->has_reader = false;
    s->inside--;
    free_if_last(s);
}

int tug_stream_read(tug_stream *s, void *to, size_t size)
{
    int rc = read_begin(s, to, size);
    if (rc < 0) {
        return rc;
    }
    rc = read_some(s, to, size < INT_MAX ? size : INT_MAX);
    read_end(s);
    return rc;
}

/* A cancelled read_exact must not swallow half a message: what came goes back. If there is no
 * memory for that, the stream is of no more use. */
static int undo_read(tug_stream *s, const uint8_t *data, size_t size)
{
    if (put_back(s, data, size) < 0) {
        on_end(s, tug_last_error());
        return TUG_ENOMEM;
    }
    update_pause(s);
    return TUG_ECANCELED;
}

int tug_stream_read_exact(tug_stream *s, void *to, size_t size)
{
    int rc = read_begin(s, to, size);
    if (rc < 0) {
        return rc;
    }
    size_t got = 0;
    while (got < size) {
        size_t most = size - got < INT_MAX ? size - got : INT_MAX;
        rc = read_some(s, (uint8_t *)to + got, most);
        if (rc <= 0) {
            break;
        }
        got += (size_t)rc;
    }
    if (rc == 0) {
        rc = tug_fail(TUG_EPROTO, "the peer ended after %zu of %zu bytes", got, size);
    } else if (rc == TUG_ECANCELED && got > 0 && s->state != STATE_CLOSED) {
        rc = undo_read(s, to, got);
    }
    read_end(s);
    return rc < 0 ? rc : 0;
}

/* Inside a call. Waits until fewer bytes are unsent; 0, or why nothing can be written. */
static int wait_room(tug_stream *s, const char *what)
{
    while (s->transport != NULL && tug_transport_is_full(s->transport)) {
        int rc = tug_park(&s->writer, NULL, what);
        if (rc < 0) {
            return rc;
        }
    }
    return s->transport != NULL       ? 0
           : s->state == STATE_BROKEN ? tug_fail_with(&s->why)
                                      : closed_here();
}

static int write_begin(tug_stream *s)
{
    s->has_writer = true;
    s->inside++;
    return tug_checkpoint();
}

static void write_end(tug_stream *s)
{
    s->has_writer = false;
    s->inside--;
    free_if_last(s);
}

int tug_stream_write(tug_stream *s, struct tug_bytes data)
{
    if (s->has_writer) {
        return busy("write");
    }
    int rc = write_begin(s);
    for (size_t done = 0, n; rc == 0 && done < data.size; done += n) {
        n = data.size - done < WRITE_PIECE ? data.size - done : WRITE_PIECE;
        rc = wait_room(s, "stream.write");
        if (rc == 0) {
            rc = tug_transport_write(s->transport, tug_bytes((const uint8_t *)data.data + done, n));
        }
    }
    write_end(s);
    return rc;
}

int tug_stream_flush(tug_stream *s)
{
    if (s->has_writer) {
        return busy("write");
    }
    int rc = write_begin(s);
    if (rc == 0 && s->transport != NULL) {
        tug_transport_flush(s->transport);
        /* For once the mark is zero: "room" means that all is sent. */
        tug_transport_set_limits(s->transport, 0, 1, OUT_LIMIT);
    }
    rc = rc < 0 ? rc : wait_room(s, "stream.flush");
    if (s->transport != NULL) {
        tug_transport_set_limits(s->transport, OUT_HIGH, OUT_LOW, OUT_LIMIT);
    }
    write_end(s);
    return rc;
}

int tug_stream_wait_closed(tug_stream *s)
{
    if (s->state == STATE_OPEN) {
        return tug_park(&s->closed, NULL, "stream.wait_closed");
    }
    s->inside++;
    int rc = tug_checkpoint();
    if (rc == 0) {
        rc = s->state == STATE_BROKEN   ? tug_fail_with(&s->why)
             : s->state == STATE_CLOSED ? closed_here()
                                        : tug_fail(TUG_ECLOSED, "the peer has ended the stream");
    }
    s->inside--;
    free_if_last(s);
    return rc;
}
