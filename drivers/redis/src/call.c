/* Commands and their replies. A command is written once, straight into the transport's output (or into the
 * handle's early buffer before the login); its future goes into the queue at the place of its reply. */
#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "command.h"
#include "handle.h"

#define QUEUE_FIRST 64

/* --- the future of a command -------------------------------------------------------------------- */

/* The command cannot be taken back once the transport has it: its place becomes a tombstone. Before the
 * login it can: its bytes are skipped. */
static int call_abort(tug_future *f)
{
    redis_request *q = tug_future_payload(f);
    tug_redis *r = q->handle;
    tug_error why;
    bool is_out = r->state == REDIS_READY;
    assert(r->queue.ring[q->seq & r->queue.mask] == f && "a pending command stands in the queue");
    r->queue.ring[q->seq & r->queue.mask] = NULL;
    tug_error_set(&why, TUG_EDROPPED, TUG_ORIGIN_TUG, is_out ? TUG_IN_FLIGHT : TUG_NOT_SENT, NULL,
                  is_out
                      ? "redis: cancelled; the command is on its way, its reply will be swallowed"
                      : "redis: cancelled before it was sent");
    tug_future_fail(f, &why);
    return TUG_ABORT_DONE;
}

static void call_dispose(void *value)
{
    tug_redis_reply_unref(value);
}

static const tug_future_class call_class = {
    .size = sizeof(tug_future_class),
    .name = "redis.call",
    .payload = sizeof(redis_request),
    .abort = call_abort,
    .dispose = call_dispose,
};

/* --- the queue ---------------------------------------------------------------------------------- */

static __attribute__((noinline)) bool queue_grow(redis_queue *queue)
{
    size_t places = queue->ring == NULL ? QUEUE_FIRST : (queue->mask + 1) * 2;
    tug_future **ring = tug_calloc(places, sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    assert((queue->ring != NULL || queue->head == queue->tail) && "no ring, no commands");
    for (uint64_t seq = queue->head; seq != queue->tail; seq++) {
        ring[seq & (places - 1)] = queue->ring[seq & queue->mask];
    }
    tug_free(queue->ring);
    queue->ring = ring;
    queue->mask = places - 1;
    return true;
}

static inline bool queue_has_place(redis_queue *queue)
{
    return (queue->ring != NULL && queue->tail - queue->head <= queue->mask) || queue_grow(queue);
}

/* --- replies to commands ------------------------------------------------------------------------ */

static const struct {
    char word[12];
    int code;
    bool transient;
} server_words[] = {
    {"NOAUTH", TUG_EAUTH, false},      {"WRONGPASS", TUG_EAUTH, false},
    {"LOADING", TUG_ESERVER, true},    {"TRYAGAIN", TUG_ESERVER, true},
    {"BUSY", TUG_ESERVER, true},       {"CLUSTERDOWN", TUG_ESERVER, true},
    {"MASTERDOWN", TUG_ESERVER, true},
};

/* The first word, if it is one in capitals: "WRONGTYPE Operation against ...". */
static void server_word(const char *text, char word[16])
{
    size_t n = 0;
    while (n < 15 && (isupper((unsigned char)text[n]) || text[n] == '_')) {
        n++;
    }
    n = text[n] == ' ' || text[n] == 0 ? n : 0;
    memcpy(word, text, n);
    word[n] = 0;
}

void tug__redis_server_error(const tug_redis *r, const tug_redis_reply *reply, tug_error *ret_error)
{
    const char *text = tug_redis_reply_text(reply);
    char word[16];
    int code = TUG_ESERVER;
    bool transient = false;
    server_word(text, word);
    for (size_t i = 0; i < sizeof server_words / sizeof *server_words; i++) {
        if (strcmp(word, server_words[i].word) == 0) {
            code = server_words[i].code;
            transient = server_words[i].transient;
        }
    }
    tug_error_set(ret_error, code, TUG_ORIGIN_SERVER, TUG_ANSWERED, word, "redis: %s: %.160s",
                  r->where, text);
    ret_error->transient = transient;
}

static __attribute__((noinline)) void deliver_error(tug_redis *r, tug_future *f, redis_root *root)
{
    tug_error why;
    tug__redis_server_error(r, &root->node, &why);
    tug__redis_root_free(root);
    tug_future_fail(f, &why);
}

/* Nobody asked. An error text is the server's way to say why it hangs up. */
static __attribute__((noinline)) void deliver_unasked(tug_redis *r, redis_root *root)
{
    tug_error why;
    if (root->node.type == TUG_REDIS_ERROR) {
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_SERVER, TUG_NOT_SENT, NULL,
                      "redis: %s ended the connection: %.120s", r->where, root->node.u.text);
    } else {
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_CODEC, TUG_NOT_SENT, NULL,
                      "redis: connection to %s given up: it sent a reply that nobody asked for",
                      r->where);
    }
    tug__redis_root_free(root);
    tug__redis_fail(r, &why, NULL);
}

void tug__redis_deliver(tug_redis *r, redis_root *root)
{
    redis_queue *queue = &r->queue;
    if (queue->head == queue->tail) {
        deliver_unasked(r, root);
        return;
    }
    tug_future *f = queue->ring[queue->head & queue->mask];
    queue->head++;
    if (f == NULL) {
        tug__redis_root_free(root);
    } else if (root->node.type == TUG_REDIS_ERROR) {
        deliver_error(r, f, root);
    } else {
        tug_future_settle(f, &root->node);
    }
}

void tug__redis_fail_commands(tug_redis *r, const tug_error *why, const tug_error *head,
                              uint64_t sent)
{
    redis_queue old = r->queue;
    tug_error mine = *why;
    r->queue = (redis_queue){.head = old.tail, .tail = old.tail};
    tug_free(r->early);
    r->early = NULL;
    r->early_size = r->early_room = 0;
    for (uint64_t seq = old.head; seq != old.tail; seq++) {
        tug_future *f = old.ring[seq & old.mask];
        if (f == NULL) {
            continue;
        }
        const redis_request *q = tug_future_payload(f);
        mine.sent = q->at < sent ? TUG_IN_FLIGHT : TUG_NOT_SENT;
        tug_future_fail(f, head != NULL && seq == old.head ? head : &mine);
    }
    tug_free(old.ring);
}

bool tug__redis_send_early(tug_redis *r)
{
    redis_queue *queue = &r->queue;
    uint64_t to = queue->head;
    /* One piece of room for all, before anything moves: it may be refused. */
    uint8_t *out = tug_transport_reserve(r->transport, r->early_size);
    if (out == NULL) {
        return false;
    }
    size_t size = 0;
    for (uint64_t seq = queue->head; seq != queue->tail; seq++) {
        tug_future *f = queue->ring[seq & queue->mask];
        if (f == NULL) {
            continue; /* cancelled in time: it is never sent and needs no tombstone */
        }
        redis_request *q = tug_future_payload(f);
        memcpy(out + size, r->early + q->at, q->size);
        q->at = r->written + size;
        q->seq = to;
        size += q->size;
        queue->ring[to++ & queue->mask] = f;
    }
    queue->tail = to;
    if (size > 0) {
        tug_transport_commit(r->transport, size);
    }
    r->written += size;
    tug_free(r->early);
    r->early = NULL;
    r->early_size = r->early_room = 0;
    return true;
}

/* --- commands ----------------------------------------------------------------------------------- */

static uint8_t *call_reserve_early(tug_redis *r, size_t size)
{
    if (r->early_room - r->early_size < size) {
        size_t room = (r->early_size + size) * 2;
        uint8_t *early = tug_realloc(r->early, room);
        if (early == NULL) {
            return NULL;
        }
        r->early = early;
        r->early_room = room;
    }
    return r->early + r->early_size;
}

/* Writes a command that was checked and has room. NULL: *why. */
static tug_future *call_put(tug_redis *r, tug_args command, size_t room, tug_error *why)
{
    bool is_ready = r->state == REDIS_READY;
    uint8_t *to = is_ready ? tug_transport_reserve(r->transport, room)
                           : call_reserve_early(r, room);
    tug_future *f = NULL;
    if (to != NULL && queue_has_place(&r->queue)) {
        f = tug_future_new(&call_class);
    }
    if (f == NULL) {
        tug_error_set(why, TUG_ENOMEM, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: no memory for a command");
        if (is_ready && to == NULL && tug_last_error()->code != TUG_ENOMEM) {
            /* A send has failed; the transport says so to all in its on_end, which is on the way. */
            tug_error_set(why, TUG_ECLOSED, TUG_ORIGIN_OS, TUG_NOT_SENT, tug_last_error()->native,
                          "redis: %s", tug_last_error()->text);
        }
        return NULL;
    }
    size_t size = (size_t)(tug__redis_command_write(command, to) - to);
    redis_request *q = tug_future_payload(f);
    q->handle = r;
    q->seq = r->queue.tail;
    q->size = size;
    r->queue.ring[r->queue.tail++ & r->queue.mask] = f;
    if (is_ready) {
        q->at = r->written;
        r->written += size;
        tug_transport_commit(r->transport, size);
    } else {
        q->at = r->early_size;
        r->early_size += size;
    }
    return f;
}

/* Everything that refuses a command before it touches the queue. */
static int call_check(tug_redis *r, tug_args command, size_t *ret_room, tug_error *why)
{
    if (!tug__redis_is_here(r)) {
        tug_error_set(why, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: this handle belongs to the loop of another thread");
        return TUG_EMISUSE;
    }
    if (r->state >= REDIS_FAILED) {
        *why = r->why;
        return why->code;
    }
    int rc = tug__redis_command_measure(command, ret_room, why);
    if (rc == 0) {
        rc = tug__redis_command_gate(command, why);
    }
    if (rc == 0 && *ret_room > r->config.options.max_unsent) {
        tug_error_set(why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "redis: a command of %zu bytes, over max_unsent (%zu)", *ret_room,
                      r->config.options.max_unsent);
        return TUG_ELIMIT;
    }
    return rc;
}

tug_future *tug_redis_call_start(tug_redis *r, tug_args command)
{
    tug_error why;
    size_t room = 0;
    if (call_check(r, command, &room, &why) < 0) {
        return tug_future_failed(&why);
    }
    if (tug_waiters_any(&r->room) || !tug__redis_has_room(r, room)) {
        tug_error_set(
            &why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
            "redis: the queue to %s is full (%llu commands; max_queued %zu, max_unsent %zu)",
            r->where, (unsigned long long)(r->queue.tail - r->queue.head),
            r->config.options.max_queued, r->config.options.max_unsent);
        why.transient = true;
        return tug_future_failed(&why);
    }
    tug_future *f = call_put(r, command, room, &why);
    return f != NULL ? f : tug_future_failed(&why);
}

/* Waits in line for room; the room is then promised to this task. */
static __attribute__((noinline)) int call_wait_room(tug_redis *r, size_t room, tug_error *why)
{
    r->refs++; /* it may be closed meanwhile */
    int rc = tug_park(&r->room, &room, "redis.room");
    if (rc == 0) {
        r->promised--;
        r->promised_bytes -= room;
    } else {
        *why = *tug_last_error();
    }
    if (r->state < REDIS_FAILED && rc < 0) {
        tug__redis_wake_room(r); /* who stood behind may fit where this one did not */
    } else if (rc == 0 && r->state >= REDIS_FAILED) {
        *why = r->why;
        rc = why->code;
    }
    tug__redis_unref(r);
    return rc;
}

/* The awaiting form of a call, all but what is done with the reply. */
static int call_exchange(tug_redis *r, tug_args command, tug_redis_reply **ret_reply)
{
    tug_error why;
    size_t room = 0;
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE,
                        "redis: a call waits, which only tasks can: use tug_redis_call_start");
    }
    int rc = tug_is_cancelled() ? tug_checkpoint() : 0;
    if (rc < 0) {
        return rc; /* cancelled on entry: nothing happens */
    }
    rc = call_check(r, command, &room, &why);
    if (rc == 0 && (tug_waiters_any(&r->room) || !tug__redis_has_room(r, room))) {
        rc = call_wait_room(r, room, &why);
    }
    if (rc < 0) {
        return tug_fail_with(&why);
    }
    tug_future *f = call_put(r, command, room, &why);
    if (f == NULL) {
        tug__redis_wake_room(r); /* nobody's reply will, for what this one leaves unused */
        return tug_fail_with(&why);
    }
    rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_redis_reply_take(f, ret_reply);
    }
    tug_future_unref(f);
    return rc;
}

int tug_redis_reply_take(tug_future *f, tug_redis_reply **ret_reply)
{
    void *value;
    int rc = tug_future_take(f, &call_class, &value);
    if (rc == 0) {
        *ret_reply = value;
    }
    return rc;
}

int tug_redis_call(tug_redis *r, tug_args command, tug_redis_reply **ret_reply)
{
    tug_redis_reply *reply = NULL;
    int rc = call_exchange(r, command, &reply);
    if (rc == 0 && ret_reply != NULL) {
        *ret_reply = reply;
    } else if (rc == 0) {
        tug_redis_reply_unref(reply);
    }
    return rc;
}

int tug_redis_call_one(tug_redis *r, tug_args command, tug_out out)
{
    tug_redis_reply *reply = NULL;
    for (size_t i = 0; i < out.n; i++) {
        if (out.slots[i].type == TUG_SLOT_TEXT || out.slots[i].type == TUG_SLOT_BYTES) {
            return tug_fail(
                TUG_EMISUSE,
                "tug_redis_call_one: place %zu would borrow from a reply that is gone when "
                "the call returns: use TUG_COPY, TUG_DUP or a tug_buffer *",
                i + 1);
        }
    }
    int rc = call_exchange(r, command, &reply);
    if (rc == 0) {
        rc = tug_redis_reply_scan(reply, out);
        tug_redis_reply_unref(reply);
    }
    return rc;
}
