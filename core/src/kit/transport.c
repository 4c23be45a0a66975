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
 * before the callback returns: ten thousand idle connections hold no read buffer. What an owner that
 * waits with a large buffer gets is received straight into it. Output buffers of the first size go
 * round as well: whose output is all sent holds none. Callbacks may close the transport: its memory
 * goes when the outermost of them has returned. Where the wire has a handshake, it comes first: before
 * the start for a client, who waits for it, and behind it for a server; what is written waits. */
#include "kit/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "kit/transport_inside.h"
#include "loop/loop.h"

enum {
    CHUNK = 64 * 1024, /* one receive: a socket's own buffer is rarely larger */
    CHUNKS_A_TURN = 4, /* of one transport, so that a fast peer does not starve the others */
    LAST_WORDS = 16,   /* chunks read after a failed send: an error message, not a stream */
    DIRECT_LEAST = 16 *
                   1024,  /* below it a copy is cheaper than a receive that leaves bytes behind */
    OUT_FIRST = 4 * 1024, /* first size of the output buffer */
    OUT_SPARE = 64,       /* of those that the loop keeps for the next to write */
    OUT_KEPT = 16 * 1024, /* what an idle transport may keep of a larger one */
    ERRNO_MAX = 4095      /* larger ones are codes of tug's, which the wire explains */
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

/* Of our direction, beside the state. */
enum out_state {
    OUT_OPEN,
    OUT_ENDING, /* the owner has ended it: what is unsent goes first */
    OUT_ENDED   /* the peer was told, or there never was one (a pipe to read from) */
};

/* What the transports of a loop share. */
struct tug__transport_shared {
    uint8_t *spare[OUT_SPARE]; /* output buffers of the first size */
    size_t spares;
    uint8_t chunk[CHUNK];
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

static bool can_send(const tug_transport *t)
{
    return t->state <= STATE_HALF && t->state != STATE_IDLE && t->out_state != OUT_ENDED;
}

static bool has_op(const tug_transport *t, size_t end)
{
    return t->ops->size >= end;
}
#define HAS_OP(t, op)                                                                              \
    (has_op((t), offsetof(tug_transport_ops, op) + sizeof(t)->ops->op) && (t)->ops->op != NULL)

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
    struct tug__transport_shared *shared = t->shared;
    if (t->out_size == OUT_FIRST && shared->spares < OUT_SPARE) {
        shared->spare[shared->spares++] = t->out;
    } else {
        tug_free(t->out);
    }
    t->out = NULL;
    t->out_start = t->out_end = t->out_size = 0;
}

static uint8_t *get_output(struct tug__transport_shared *shared, size_t size)
{
    return size == OUT_FIRST && shared->spares > 0 ? shared->spare[--shared->spares]
                                                   : tug_alloc(size);
}

/* Others may read or write the same terminal: they get it back as it was. */
static void restore_flags(tug_transport *t)
{
    if (t->old_flags >= 0) {
        fcntl(t->wire.fd, F_SETFL, t->old_flags);
    }
}

static void drop_socket(tug_transport *t)
{
    tug_flush_forget(&t->flush);
    tug_call_forget(&t->soon);
    tug_call_forget(&t->again);
    /* Interest goes before the descriptor: its number may be somebody else's in the next moment. */
    tug_io_close(t->io);
    t->io = NULL;
    tug_unpark_all(&t->shaking, TUG_ECLOSED, NULL);
    if (t->wire.fd >= 0) {
        restore_flags(t);
        t->wire.ops->close(&t->wire, tug__transport_unsent(t) == 0 && t->why.code == 0);
    }
    drop_output(t);
}

static void end(tug_transport *t, const tug_error *why)
{
    tug_error copy = *why;
    set_state(t, STATE_ENDED);
    drop_socket(t);
    t->why = copy;
    t->ops->on_end(t->arg, &copy);
}

static void peer_ended(const tug_transport *t, tug_error *ret_why)
{
    tug_error_set(ret_why, TUG_ECLOSED, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL,
                  "%s closed the connection", t->peer);
}

static void broken(tug_transport *t, int error, tug_error *ret_why)
{
    char native[12];
    if (error > ERRNO_MAX) {
        t->wire.ops->explain(&t->wire, t->peer, ret_why);
        return;
    }
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
    if ((t->directions & TUG_WRITE) == 0) {
        return tug_fail(TUG_EMISUSE, "%s can only be read from", t->peer);
    }
    if (t->state <= STATE_HALF) {
        return tug_fail(TUG_EMISUSE, "our direction to %s has been shut down", t->peer);
    }
    return tug_fail(TUG_ECLOSED, "the connection to %s is closed", t->peer);
}

/* --- input ----------------------------------------------------------------------------------- */

static void fail_soon(tug_transport *t, int error);

static unsigned interest(const tug_transport *t)
{
    if (t->wire
            .is_shaking) { /* also before the start and while paused: nothing is handed over yet */
        return t->wire.held > 0 ? TUG_READ | TUG_WRITE : TUG_READ;
    }
    unsigned want = t->state == STATE_OPEN && !t->is_paused ? TUG_READ : 0u;
    return can_send(t) && t->is_blocked ? want | TUG_WRITE : want;
}

static int set_interest(tug_transport *t)
{
    unsigned want = interest(t);
    return t->io != NULL && want != tug_io_wanted(t->io) ? tug_io_want(t->io, want) : 0;
}

static void update_interest(tug_transport *t)
{
    /* Also where nothing is sent any more: a reader would wait for ever. */
    if (set_interest(t) < 0 && (t->state == STATE_OPEN || t->state == STATE_HALF)) {
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
    if (rc == 0 && HAS_OP(t, on_eof)) {
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

/* False: this was all for now. */
static bool receive_once(tug_transport *t)
{
    uint8_t *to = t->shared->chunk;
    size_t size = CHUNK;
    if (HAS_OP(t, on_buffer) && !t->wire.ops->is_deep) {
        uint8_t *own = t->ops->on_buffer(t->arg, &size);
        to = own != NULL ? own : to;
        size = own != NULL ? size : CHUNK;
    }
    bool is_direct = to != t->shared->chunk;
    ssize_t n = t->wire.ops->receive(&t->wire, to, size);
    if (n <= 0) {
        on_no_bytes(t, (int)n);
        return false;
    }
    t->last_received = tug_turn_time();
    t->ops->on_data(t->arg, to, (size_t)n);
    /* Drained, unless it is full: should more have come meanwhile, the next poll says so. And an owner whose
     * buffer is full will be back with the next one before that poll. */
    return ((size_t)n == size && !is_direct) || t->wire.has_more || t->wire.is_ripe;
}

static void on_again(void *arg);

/* Also when reading goes on after a pause. */
static void note_ripe(tug_transport *t)
{
    if (t->wire.is_ripe && t->state == STATE_OPEN && !t->is_paused) {
        tug_call_soon(&t->again, on_again, t);
    }
}

static void receive(tug_transport *t)
{
    for (int i = 0; i < CHUNKS_A_TURN && t->state == STATE_OPEN && !t->is_paused; i++) {
        if (!receive_once(t)) {
            return;
        }
    }
    note_ripe(t);
}

static void on_again(void *arg)
{
    tug_transport *t = arg;
    enter(t);
    receive(t);
    leave(t);
}

/* --- output ---------------------------------------------------------------------------------- */

static void tell_room(tug_transport *t)
{
    /* Also when the last of it was followed by the end of our direction: who waits to have it all sent is
     * waiting for just that. */
    bool is_live = t->state == STATE_OPEN || t->state == STATE_HALF;
    if (t->was_full && is_live && tug__transport_unsent(t) < t->low) {
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
    bool has_eof = HAS_OP(t, on_eof);
    uint8_t *chunk = t->shared->chunk;
    for (int i = 0; i < LAST_WORDS && t->state == STATE_FAILING && !t->is_paused; i++) {
        ssize_t n = t->wire.ops->receive(&t->wire, chunk, CHUNK);
        if (n <= 0) {
            if (n == 0 && !has_eof) {
                peer_ended(t, &t->why);
            }
            break;
        }
        t->ops->on_data(t->arg, chunk, (size_t)n);
    }
    if (t->state == STATE_FAILING) {
        end(t, &t->why);
    }
}

/* What can only be written to has no other direction to keep it open for. */
static void close_pipe(tug_transport *t)
{
    drop_socket(t);
    on_no_bytes(t, 0);
}

static void on_soon(void *arg)
{
    tug_transport *t = arg;
    enter(t);
    if (t->state == STATE_FAILING) {
        finish_failing(t);
    } else {
        close_pipe(t);
    }
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
    tug_call_soon(&t->soon, on_soon, t);
}

/* Everything is sent. A buffer that grew for a burst goes when the burst is over: when it was used
 * for less than a quarter. One of the first size is anybody's: most connections are idle. */
static void on_empty(tug_transport *t)
{
    if (t->out_size == OUT_FIRST || (t->out_size > OUT_KEPT && t->out_end < t->out_size / 4)) {
        drop_output(t);
    }
    t->out_start = t->out_end = 0;
}

/* The owner has ended our direction, and all is sent: > 0 done, 0 not now, -errno. */
static int end_output(tug_transport *t)
{
    int rc = t->wire.ops->shutdown_write(&t->wire);
    if (rc < 0) {
        return rc == -EAGAIN ? 0 : rc;
    }
    t->out_state = OUT_ENDED;
    drop_output(t); /* so that reserve finds no room */
    if ((t->directions & TUG_READ) == 0) {
        tug_call_soon(&t->soon, on_soon, t);
    }
    return 1;
}

/* One call of send for all that is queued: > 0 all is sent, 0 not now, -errno. */
static ssize_t send_queued(tug_transport *t)
{
    size_t size = tug__transport_queued(t);
    if (size == 0 && t->wire.held == 0) {
        return 1;
    }
    ssize_t n = t->wire.ops->send(&t->wire, t->out + t->out_start, size);
    if (n < 0) {
        return n == -EAGAIN || n == -EWOULDBLOCK ? 0 : n;
    }
    t->sent += (uint64_t)n;
    t->out_start += (size_t)n;
    if ((size_t)n < size) {
        return 0;
    }
    on_empty(t);
    return t->wire.held == 0;
}

static void transmit(tug_transport *t)
{
    ssize_t rc = send_queued(t);
    if (rc > 0 && t->out_state == OUT_ENDING) {
        rc = end_output(t);
    }
    if (rc < 0) {
        fail_soon(t, (int)-rc);
        return;
    }
    bool is_blocked = rc == 0;
    if (is_blocked != t->is_blocked) {
        t->is_blocked = is_blocked;
        update_interest(t);
    }
}

/* --- the handshake ---------------------------------------------------------------------------- */

/* Before the start nobody can be told but who waits for it. */
static void shaking_failed(tug_transport *t, int rc)
{
    tug_error why;
    broken(t, -rc, &why);
    tug_unpark_all(&t->shaking, why.code, &why);
    if (t->state == STATE_OPEN) {
        end(t, &why);
        return;
    }
    t->why = why;
    tug_io_close(t->io);
    t->io = NULL;
}

static void shake(tug_transport *t)
{
    int rc = t->wire.ops->handshake(&t->wire);
    if ((rc == 0 || rc == -EAGAIN) && set_interest(t) < 0) {
        rc = -ENOMEM;
    }
    if (rc == -EAGAIN) {
        return;
    }
    if (rc < 0) {
        shaking_failed(t, rc);
        return;
    }
    tug_unpark_all(&t->shaking, 0, NULL);
    if (can_send(t)) {
        transmit(t);
        tell_room(t);
    }
}

int tug__transport_shake(tug_transport *t)
{
    if (!t->wire.is_shaking || t->io == NULL) {
        int rc = tug_checkpoint();
        return rc == 0 && t->io == NULL ? tug_fail_with(&t->why) : rc;
    }
    int rc = set_interest(t);
    if (rc < 0) {
        return rc;
    }
    tug_flush_later(&t->flush); /* the first step, on the loop stack */
    return tug_park(&t->shaking, NULL, "tls.handshake");
}

/* --- the loop's calls ------------------------------------------------------------------------- */

static void on_flush(tug_flush *f)
{
    tug_transport *t = (tug_transport *)((char *)f - offsetof(tug_transport, flush));
    enter(t);
    if (t->wire.is_shaking) {
        shake(t);
    } else if (can_send(t) && !t->is_blocked) {
        transmit(t);
        tell_room(t);
    }
    leave(t);
}

/* The wire has said something of its own, and the socket did not take it. */
static void note_held(tug_transport *t)
{
    if (t->wire.held > 0 && !t->is_blocked && can_send(t)) {
        t->is_blocked = true;
        update_interest(t);
    }
}

static void on_io(tug_io *io, unsigned ready, void *arg)
{
    tug_transport *t = arg;
    (void)io;
    enter(t);
    if (t->wire.is_shaking) {
        shake(t);
        leave(t);
        return;
    }
    if ((ready & TUG_WRITE) != 0 && can_send(t)) {
        transmit(t);
        tell_room(t);
    }
    if ((ready & TUG_READ) != 0) {
        receive(t);
        note_held(t);
    }
    leave(t);
}

static void note_full(tug_transport *t)
{
    if (tug__transport_unsent(t) > t->high) {
        t->was_full = true;
    }
}

/* No room at the end: moves what is unsent to the buffer's front, if that is cheap, or grows. */
static __attribute__((noinline)) uint8_t *make_room(tug_transport *t, size_t size)
{
    size_t used = tug__transport_queued(t);
    size = size > 0 ? size : 1; /* a place for no bytes is a place */
    if (t->state > STATE_HALF || t->out_state != OUT_OPEN) {
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
        uint8_t *out = get_output(t->shared, grown);
        if (out == NULL) {
            tug_fail(TUG_ENOMEM, "out of memory for %zu bytes to %s", grown, t->peer);
            return NULL;
        }
        if (used > 0) {
            memcpy(out, t->out + t->out_start, used);
        }
        drop_output(t);
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
        return t->state > STATE_HALF || t->out_state != OUT_OPEN ? refuse(t) : 0;
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
    if (!can_send(t) || t->is_blocked || t->wire.is_shaking) {
        return;
    }
    if (t->wire.ops->is_deep && tug_task_current() != NULL) {
        tug_flush_later(&t->flush);
    } else {
        transmit(t); /* on_room, if it is due, comes from the hook at the end of the turn */
    }
}

int tug_transport_shutdown(tug_transport *t)
{
    if (t->state > STATE_HALF) {
        return refuse(t);
    }
    if (t->out_state == OUT_OPEN) {
        t->out_state = OUT_ENDING;
        t->out_size = t->out_end; /* so that reserve finds no room and looks at the state */
        if (can_send(t) && !t->is_blocked) {
            tug_flush_later(&t->flush);
        }
    }
    return 0;
}

/* --- the rest -------------------------------------------------------------------------------- */

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
        note_ripe(t);
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
    if (t->io == NULL) {
        return tug_fail_with(&t->why); /* its handshake has failed */
    }
    int rc = t->is_paused && !t->wire.is_shaking ? 0 : tug_io_want(t->io, TUG_READ);
    if (rc < 0) {
        return rc;
    }
    t->ops = ops;
    t->arg = arg;
    set_state(t, STATE_OPEN);
    if (tug__transport_unsent(t) > 0 || t->out_state == OUT_ENDING || t->wire.is_shaking) {
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
    tug_free(t->local);
    t->local = NULL;
    if (t->depth == 0) {
        tug_free(t);
    }
}

void tug__transport_abort(tug_transport *t, const tug_error *why)
{
    if (t->state < STATE_ENDED) {
        t->why = *why;
        t->state = STATE_ENDED; /* the owner's own decision: from each state, and not told to it */
        drop_socket(t);
    }
}

int tug__transport_check(const tug_transport *t)
{
    return t->state == STATE_FAILING ? tug_fail_with(&t->why) : 0;
}

void tug__transport_set_pipe(tug_transport *t, unsigned directions, int old_flags)
{
    assert(t->state == STATE_IDLE && "a transport is set up before it starts");
    t->wire.ops = &tug__wire_pipe;
    t->directions = (uint8_t)directions;
    t->old_flags = old_flags;
    t->out_state = (directions & TUG_WRITE) != 0 ? OUT_OPEN : OUT_ENDED;
}

int tug__transport_release(tug_transport *t)
{
    int fd = t->wire.fd;
    restore_flags(t);
    t->wire.fd = -1;
    tug_transport_close(t);
    return fd;
}

bool tug__transport_is_idle(const tug_transport *t)
{
    return t->state == STATE_IDLE && t->io != NULL;
}

/* --- making one ------------------------------------------------------------------------------ */

static void free_shared(void *value)
{
    struct tug__transport_shared *shared = value;
    while (shared->spares > 0) {
        tug_free(shared->spare[--shared->spares]);
    }
    tug_free(shared);
}

static int get_shared(struct tug__transport_shared **ret_shared)
{
    struct tug__transport_shared *shared = *tug__loop_slot(TUG__SLOT_TRANSPORT);
    if (shared == NULL) {
        shared = tug_alloc(sizeof *shared);
        if (shared == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for a connection");
        }
        shared->spares = 0;
        tug__loop_slot_set(TUG__SLOT_TRANSPORT, shared, free_shared);
    }
    *ret_shared = shared;
    return 0;
}

int tug__transport_new(int fd, const char *peer, tug_transport **ret_transport)
{
    struct tug__transport_shared *shared = NULL;
    int rc = get_shared(&shared);
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
    t->shared = shared;
    t->directions = TUG_READ | TUG_WRITE;
    t->old_flags = -1;
    t->flush.fn = on_flush;
    t->high = DEFAULT_HIGH;
    t->low = DEFAULT_LOW;
    t->limit = DEFAULT_LIMIT;
    t->last_received = tug_turn_time();
    snprintf(t->peer, sizeof t->peer, "%s", peer);
    *ret_transport = t;
    return 0;
}
