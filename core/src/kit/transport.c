/* What: one socket with an output buffer that is sent once a turn, and input handed over in chunks.
 *
 *            start            the peer ends, on_eof given
 *   IDLE ------------> OPEN -----------------------------> HALF
 *                       | \                                 |
 *     the peer ends, or |  \ cannot send                    | cannot send
 *     cannot receive    |   v                               v
 *                       |  FAILING <------------------------+
 *                       v   | what the peer said last is read, then on_end
 *                      ENDED        (CLOSED is entered from every state)
 *
 * Input goes through one chunk that all transports of a loop share, for its bytes are consumed
 * before the callback returns: ten thousand idle connections hold no read buffer. Callbacks may
 * close the transport: its memory goes when the outermost of them has returned. */
#include "kit/transport.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "kit/wire.h"
#include "loop/loop.h"

enum {
    CHUNK = 64 * 1024,    /* one receive: a socket's own buffer is rarely larger */
    CHUNKS_A_TURN = 4,    /* of one transport, so that a fast peer does not starve the others */
    LAST_WORDS = 16,      /* chunks read after a failed send: an error message, not a stream */
    OUT_FIRST = 4 * 1024, /* first size of the output buffer */
    OUT_KEPT = 16 * 1024  /* what an idle transport may keep of it */
};
#define DEFAULT_HIGH ((size_t)256 * 1024)
#define DEFAULT_LOW ((size_t)64 * 1024)
#define DEFAULT_LIMIT ((size_t)64 * 1024 * 1024)

enum state {
    STATE_IDLE,    /* connected, not started: nothing is read or sent */
    STATE_OPEN,    /* both directions */
    STATE_HALF,    /* the peer has ended its direction, ours goes on */
    STATE_FAILING, /* a send failed; on_end comes from the run queue */
    STATE_ENDED,   /* on_end was called; the socket is closed */
    STATE_CLOSED,  /* by the owner; the memory goes with the outermost callback */
    STATE_MAX
};

struct tug_transport {
    /* Output: what is unsent lies in out[out_start .. out_end). */
    uint8_t *out;
    size_t out_start, out_end, out_size;
    size_t high, low, limit;
    tug_flush flush;
    uint8_t state;
    bool is_blocked; /* the socket takes no more: write interest is on, no flush is asked for */
    bool was_full;   /* above the high mark, on_room is due below the low one */
    bool is_paused;
    unsigned depth; /* callbacks that are on the stack */
    uint64_t sent;
    tug_time last_received;

    struct tug__wire wire;
    tug_io *io;
    uint8_t *chunk; /* the loop's */
    const tug_transport_ops *ops;
    void *arg;
    tug_call failing;
    tug_error why; /* of FAILING */
    char peer[TUG__PEER_BYTES];
};

static void set_state(tug_transport *t, enum state to)
{
    static const uint8_t edges[STATE_MAX] = {
        [STATE_IDLE] = 1u << STATE_OPEN | 1u << STATE_CLOSED,
        [STATE_OPEN] = 1u << STATE_HALF | 1u << STATE_FAILING | 1u << STATE_ENDED |
                       1u << STATE_CLOSED,
        [STATE_HALF] = 1u << STATE_FAILING | 1u << STATE_CLOSED,
        [STATE_FAILING] = 1u << STATE_ENDED | 1u << STATE_CLOSED,
        [STATE_ENDED] = 1u << STATE_CLOSED,
    };
    assert((edges[t->state] & 1u << to) != 0 && "this edge is in the diagram");
    t->state = (uint8_t)to;
}

static size_t unsent(const tug_transport *t)
{
    return t->out_end - t->out_start;
}

static bool can_send(const tug_transport *t)
{
    return t->state == STATE_OPEN || t->state == STATE_HALF;
}

/* --- the end --------------------------------------------------------------------------------- */

static void enter(tug_transport *t)
{
    t->depth++;
}

static void leave(tug_transport *t)
{
    if (--t->depth == 0 && t->state == STATE_CLOSED) {
        tug_free(t);
    }
}

static void drop_output(tug_transport *t)
{
    tug_free(t->out);
    t->out = NULL;
    t->out_start = t->out_end = t->out_size = 0;
}

static void drop_socket(tug_transport *t)
{
    tug_flush_forget(&t->flush);
    tug_call_forget(&t->failing);
    /* Interest goes before the descriptor: its number may be somebody else's in the next moment. */
    tug_io_close(t->io);
    t->io = NULL;
    if (t->wire.fd >= 0) {
        t->wire.ops->close(&t->wire);
    }
    drop_output(t);
}

static void end(tug_transport *t, const tug_error *why)
{
    tug_error copy = *why;
    set_state(t, STATE_ENDED);
    drop_socket(t);
    t->ops->on_end(t->arg, &copy);
}

static void peer_ended(const tug_transport *t, tug_error *ret_why)
{
    tug_error_set(ret_why, TUG_ECLOSED, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL,
                  "%s closed the connection", t->peer);
}

static void broken(const tug_transport *t, int error, tug_error *ret_why)
{
    char native[12];
    snprintf(native, sizeof native, "%d", error);
    /* A keepalive that got no answer is no deadline of the caller's. */
    int code = error == ETIMEDOUT ? TUG_ECLOSED : tug_error_from_errno(error);
    tug_error_set(ret_why, code, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "connection to %s lost: %s",
                  t->peer, strerrordesc_np(error));
}

/* Why a transport that cannot be written to cannot. */
static int refuse(const tug_transport *t)
{
    if (t->state == STATE_FAILING) {
        return tug_fail_with(&t->why);
    }
    return tug_fail(TUG_ECLOSED, "the connection to %s is closed", t->peer);
}

/* --- input ----------------------------------------------------------------------------------- */

static void fail_soon(tug_transport *t, int error);

static void update_interest(tug_transport *t)
{
    unsigned want = t->state == STATE_OPEN && !t->is_paused ? TUG_READ : 0u;
    if (can_send(t) && t->is_blocked) {
        want |= TUG_WRITE;
    }
    if (t->io != NULL && want != tug_io_wanted(t->io) && tug_io_want(t->io, want) < 0 &&
        can_send(t)) {
        fail_soon(t, ENOMEM);
    }
}

/* receive gave no bytes: not now, the end of the peer's direction, or a failure. */
static void on_no_bytes(tug_transport *t, int rc)
{
    tug_error why;
    if (rc == -EAGAIN || rc == -EWOULDBLOCK) {
        return;
    }
    if (rc == 0 && t->ops->size >= sizeof *t->ops && t->ops->on_eof != NULL) {
        set_state(t, STATE_HALF);
        update_interest(t);
        t->ops->on_eof(t->arg);
        return;
    }
    if (rc == 0) {
        peer_ended(t, &why);
    } else {
        broken(t, -rc, &why);
    }
    end(t, &why);
}

static void receive(tug_transport *t)
{
    for (int i = 0; i < CHUNKS_A_TURN && t->state == STATE_OPEN && !t->is_paused; i++) {
        ssize_t n = t->wire.ops->receive(&t->wire, t->chunk, CHUNK);
        if (n <= 0) {
            on_no_bytes(t, (int)n);
            return;
        }
        t->last_received = tug_turn_time();
        t->ops->on_data(t->arg, t->chunk, (size_t)n);
        if (n < CHUNK) {
            return; /* drained; should more have come meanwhile, the next poll says so */
        }
    }
}

/* --- output ---------------------------------------------------------------------------------- */

static void tell_room(tug_transport *t)
{
    if (t->was_full && can_send(t) && unsent(t) < t->low) {
        t->was_full = false;
        if (t->ops->on_room != NULL) {
            t->ops->on_room(t->arg);
        }
    }
}

/* A failed send is not the end yet: a server that refuses says why and closes, and that message may
 * lie in the socket still. */
static void finish_failing(tug_transport *t)
{
    bool has_eof = t->ops->size >= sizeof *t->ops && t->ops->on_eof != NULL;
    for (int i = 0; i < LAST_WORDS && t->state == STATE_FAILING && !t->is_paused; i++) {
        ssize_t n = t->wire.ops->receive(&t->wire, t->chunk, CHUNK);
        if (n <= 0) {
            if (n == 0 && !has_eof) {
                peer_ended(t, &t->why);
            }
            break;
        }
        t->ops->on_data(t->arg, t->chunk, (size_t)n);
    }
    if (t->state == STATE_FAILING) {
        end(t, &t->why);
    }
}

static void on_failed(void *arg)
{
    tug_transport *t = arg;
    enter(t);
    finish_failing(t);
    leave(t);
}

/* From inside the owner's calls: its callbacks come later, from the run queue. */
static void fail_soon(tug_transport *t, int error)
{
    broken(t, error, &t->why);
    set_state(t, STATE_FAILING);
    drop_output(t);
    t->is_blocked = false;
    update_interest(t);
    tug_call_soon(&t->failing, on_failed, t);
}

/* Everything is sent. A buffer that grew for a burst goes when the burst is over: when it was used
 * for less than a quarter. */
static void on_empty(tug_transport *t)
{
    if (t->out_size > OUT_KEPT && t->out_end < t->out_size / 4) {
        drop_output(t);
    }
    t->out_start = t->out_end = 0;
}

/* One call of send for all that is queued. */
static void transmit(tug_transport *t)
{
    size_t size = unsent(t);
    if (size == 0) {
        return;
    }
    ssize_t n = t->wire.ops->send(&t->wire, t->out + t->out_start, size);
    if (n < 0 && n != -EAGAIN && n != -EWOULDBLOCK) {
        fail_soon(t, (int)-n);
        return;
    }
    if (n > 0) {
        t->sent += (uint64_t)n;
        t->out_start += (size_t)n;
    }
    bool is_blocked = n < (ssize_t)size;
    if (!is_blocked) {
        on_empty(t);
    }
    if (is_blocked != t->is_blocked) {
        t->is_blocked = is_blocked;
        update_interest(t);
    }
}

static void on_flush(tug_flush *f)
{
    tug_transport *t = (tug_transport *)((char *)f - offsetof(tug_transport, flush));
    if (can_send(t) && !t->is_blocked) {
        enter(t);
        transmit(t);
        tell_room(t);
        leave(t);
    }
}

static void on_io(tug_io *io, unsigned ready, void *arg)
{
    tug_transport *t = arg;
    (void)io;
    enter(t);
    if ((ready & TUG_WRITE) != 0 && can_send(t)) {
        transmit(t);
        tell_room(t);
    }
    if ((ready & TUG_READ) != 0) {
        receive(t);
    }
    leave(t);
}

static void note_full(tug_transport *t)
{
    if (unsent(t) > t->high) {
        t->was_full = true;
    }
}

/* No room at the end: moves what is unsent to the buffer's front, if that is cheap, or grows. */
static __attribute__((noinline)) uint8_t *make_room(tug_transport *t, size_t size)
{
    size_t used = unsent(t);
    if (t->state > STATE_HALF) {
        refuse(t);
        return NULL;
    }
    if (size > t->limit || used > t->limit - size) {
        tug_fail(TUG_ELIMIT, "%zu bytes to %s are unsent, %zu more would exceed %zu", used, t->peer,
                 size, t->limit);
        return NULL;
    }
    if (size <= t->out_size - t->out_end) {
        return t->out + t->out_end;
    }
    if (used + size <= t->out_size &&
        (t->out_start >= t->out_size / 2 || t->out_size >= t->limit)) {
        memmove(t->out, t->out + t->out_start, used);
    } else {
        size_t grown = t->out_size > 0 ? t->out_size : OUT_FIRST / 2;
        do {
            grown = grown < t->limit / 2 ? grown * 2 : t->limit;
        } while (grown < used + size);
        uint8_t *out = tug_alloc(grown);
        if (out == NULL) {
            tug_fail(TUG_ENOMEM, "out of memory for %zu bytes to %s", grown, t->peer);
            return NULL;
        }
        if (used > 0) {
            memcpy(out, t->out + t->out_start, used);
        }
        tug_free(t->out);
        t->out = out;
        t->out_size = grown;
    }
    t->out_start = 0;
    t->out_end = used;
    return t->out + used;
}

uint8_t *tug_transport_reserve(tug_transport *t, size_t size)
{
    return __builtin_expect(size < t->out_size - t->out_end, 1) ? t->out + t->out_end
                                                                : make_room(t, size);
}

void tug_transport_commit(tug_transport *t, size_t size)
{
    assert(size <= t->out_size - t->out_end && "no more is committed than was reserved");
    t->out_end += size;
    if (!t->flush.queued && !t->is_blocked && can_send(t)) {
        tug_flush_later(&t->flush);
    }
    note_full(t);
}

int tug_transport_write(tug_transport *t, struct tug_bytes data)
{
    if (data.size == 0) {
        return t->state > STATE_HALF ? refuse(t) : 0;
    }
    uint8_t *to = tug_transport_reserve(t, data.size);
    if (to == NULL) {
        return tug_last_error()->code;
    }
    memcpy(to, data.data, data.size);
    tug_transport_commit(t, data.size);
    return 0;
}

void tug_transport_flush(tug_transport *t)
{
    if (can_send(t) && !t->is_blocked) {
        transmit(t); /* on_room, if it is due, comes from the hook at the end of the turn */
    }
}

/* --- the rest -------------------------------------------------------------------------------- */

size_t tug_transport_unsent(const tug_transport *t)
{
    return unsent(t);
}

uint64_t tug_transport_sent(const tug_transport *t)
{
    return t->sent;
}

tug_time tug_transport_last_received(const tug_transport *t)
{
    return t->last_received;
}

const char *tug_transport_peer(const tug_transport *t)
{
    return t->peer;
}

bool tug_transport_is_full(const tug_transport *t)
{
    return unsent(t) > t->high;
}

void tug_transport_set_limits(tug_transport *t, size_t high, size_t low, size_t limit)
{
    t->high = high;
    t->low = low;
    t->limit = limit;
    note_full(t);
}

void tug_transport_pause(tug_transport *t, bool paused)
{
    if (t->is_paused != paused) {
        t->is_paused = paused;
        update_interest(t);
    }
}

int tug_transport_start(tug_transport *t, const tug_transport_ops *ops, void *arg)
{
    if (t->state != STATE_IDLE) {
        return tug_fail(TUG_EMISUSE, "the transport to %s is started already", t->peer);
    }
    if (ops == NULL || ops->on_data == NULL || ops->on_end == NULL) {
        return tug_fail(TUG_EINVAL, "a transport needs on_data and on_end");
    }
    int rc = t->is_paused ? 0 : tug_io_want(t->io, TUG_READ);
    if (rc < 0) {
        return rc;
    }
    t->ops = ops;
    t->arg = arg;
    set_state(t, STATE_OPEN);
    if (unsent(t) > 0) {
        tug_flush_later(&t->flush);
    }
    return 0;
}

void tug_transport_close(tug_transport *t)
{
    if (t == NULL) {
        return;
    }
    set_state(t, STATE_CLOSED);
    drop_socket(t);
    if (t->depth == 0) {
        tug_free(t);
    }
}

int tug__transport_release(tug_transport *t)
{
    int fd = t->wire.fd;
    t->wire.fd = -1;
    tug_transport_close(t);
    return fd;
}

/* --- making one ------------------------------------------------------------------------------ */

static int get_chunk(uint8_t **ret_chunk)
{
    uint8_t *chunk = *tug__loop_slot(TUG__SLOT_TRANSPORT);
    if (chunk == NULL) {
        chunk = tug_alloc(CHUNK);
        if (chunk == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a connection");
        }
        tug__loop_slot_set(TUG__SLOT_TRANSPORT, chunk, tug_free);
    }
    *ret_chunk = chunk;
    return 0;
}

int tug__transport_new(int fd, const char *peer, tug_transport **ret_transport)
{
    uint8_t *chunk = NULL;
    int rc = get_chunk(&chunk);
    if (rc < 0) {
        return rc;
    }
    tug_transport *t = tug_calloc(1, sizeof *t);
    if (t == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    rc = tug_io_open(fd, on_io, t, &t->io);
    if (rc < 0) {
        tug_free(t);
        return rc;
    }
    t->wire = (struct tug__wire){.ops = &tug__wire_plain, .fd = fd};
    t->chunk = chunk;
    t->flush.fn = on_flush;
    t->high = DEFAULT_HIGH;
    t->low = DEFAULT_LOW;
    t->limit = DEFAULT_LIMIT;
    t->last_received = tug_turn_time();
    snprintf(t->peer, sizeof t->peer, "%s", peer);
    *ret_transport = t;
    return 0;
}
