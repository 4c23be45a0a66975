/* What: a ring of the latest messages, numbered from the first one ever, and for each subscriber the number
 * of its next. One that has fallen out of the ring knows by the numbers how many it missed; nobody looks
 * at slow subscribers when a message is sent. */
#include <tug/broadcast.h>

#include <assert.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

enum {
    CAPACITY_MOST = 1 << 24 /* 256 MiB of ring: more is a number that went wrong */
};

struct message {
    tug_buffer *value; /* NULL: all have got it */
    size_t readers;    /* that have not */
};

struct tug_broadcast {
    struct tug_loop *loop;
    size_t refs;
    size_t subscribers; /* open ones; with refs they keep the memory */
    size_t capacity;
    uint64_t sent;       /* number of the next message */
    tug_waiters waiters; /* in next */
    bool is_closed;
    struct message ring[];
};

struct tug_subscriber {
    struct tug_loop *loop;
    tug_broadcast *of;
    uint64_t next;
    size_t waiting; /* calls of next that have not returned: the memory stays for them */
    bool is_closed;
};

/* --- messages -------------------------------------------------------------------------------- */

static struct message *at(tug_broadcast *b, uint64_t number)
{
    return &b->ring[number % b->capacity];
}

static uint64_t oldest(const tug_broadcast *b)
{
    return b->sent > b->capacity ? b->sent - b->capacity : 0;
}

static void drop(struct message *m)
{
    tug_buffer *value = m->value;
    m->value = NULL;
    tug_buffer_unref(value);
}

static void has_been_read(struct message *m)
{
    assert(m->readers > 0 && m->value != NULL && "a message goes when all have got it");
    if (--m->readers == 0) {
        drop(m);
    }
}

/* The number of the next message that s can have. */
static uint64_t next_of(const tug_subscriber *s)
{
    uint64_t first = oldest(s->of);
    return s->next > first ? s->next : first;
}

/* --- its life -------------------------------------------------------------------------------- */

int tug_broadcast_new(size_t capacity, tug_broadcast **ret_broadcast)
{
    if (capacity == 0 || capacity > CAPACITY_MOST) {
        return tug_fail(TUG_EINVAL, "a broadcast keeps 1 to %d messages, not %zu", CAPACITY_MOST,
                        capacity);
    }
    tug_broadcast *b = tug_calloc(1, sizeof *b + capacity * sizeof b->ring[0]);
    if (b == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a broadcast of %zu messages", capacity);
    }
    b->loop = tug__loop;
    b->refs = 1;
    b->capacity = capacity;
    *ret_broadcast = b;
    return 0;
}

tug_broadcast *tug_broadcast_ref(tug_broadcast *b)
{
    b->refs++;
    return b;
}

static void free_if_unused(tug_broadcast *b)
{
    if (b->refs == 0 && b->subscribers == 0) {
        tug_free(b); /* without subscribers there are no messages */
    }
}

void tug_broadcast_close(tug_broadcast *b)
{
    if (b == NULL || !tug__is_here_or_adopts_void(&b->loop, "tug_broadcast_close")) {
        return;
    }
    b->is_closed = true;
    tug_unpark_all(&b->waiters, 0, NULL);
}

tug_broadcast *tug_broadcast_unref(tug_broadcast *b)
{
    if (b != NULL && !tug__is_here_or_adopts_void(&b->loop, "tug_broadcast_unref")) {
        return NULL;
    }
    if (b != NULL && --b->refs == 0) {
        tug_broadcast_close(b);
        free_if_unused(b);
    }
    return NULL;
}

size_t tug_broadcast_subscribers(const tug_broadcast *b)
{
    return b->subscribers;
}

void tug_broadcast_send(tug_broadcast *b, tug_buffer *value)
{
    if (!tug__is_here_or_adopts_void(&b->loop, "tug_broadcast_send")) {
        return;
    }
    if (value == NULL || b->is_closed || b->subscribers == 0) {
        return; /* not even numbered: who subscribes later has lost nothing */
    }
    struct message *m = at(b, b->sent++);
    drop(m);
    m->value = tug_buffer_ref(value);
    m->readers = b->subscribers;
    tug_unpark_all(&b->waiters, 0, NULL);
}

/* --- subscribers ----------------------------------------------------------------------------- */

int tug_subscriber_open(tug_broadcast *b, tug_subscriber **ret_subscriber)
{
    if (!tug__is_here_or_adopts(&b->loop, "tug_subscriber_open")) {
        return TUG_EMISUSE;
    }
    if (b->is_closed) {
        return tug_fail(TUG_ECLOSED, "the broadcast is closed");
    }
    tug_subscriber *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a subscriber");
    }
    s->loop = tug__loop;
    s->of = b;
    s->next = b->sent;
    b->subscribers++;
    *ret_subscriber = s;
    return 0;
}

static void free_if_left(tug_subscriber *s)
{
    if (s->is_closed && s->waiting == 0) {
        tug_free(s);
    }
}

void tug_subscriber_close(tug_subscriber *s)
{
    if (s != NULL && !tug__is_here_or_adopts_void(&s->loop, "tug_subscriber_close")) {
        return;
    }
    if (s == NULL) {
        return;
    }
    tug_broadcast *b = s->of;
    for (uint64_t i = next_of(s); i < b->sent; i++) {
        has_been_read(at(b, i));
    }
    s->is_closed = true;
    s->of = NULL;
    b->subscribers--;
    if (s->waiting > 0) {
        /* All are woken: each looks for itself what woke it. */
        tug_unpark_all(&b->waiters, 0, NULL);
    }
    free_if_unused(b);
    free_if_left(s);
}

static int take(tug_subscriber *s, tug_buffer **ret_value, uint64_t *ret_lost)
{
    uint64_t number = next_of(s);
    struct message *m = at(s->of, number);
    if (ret_lost != NULL) {
        *ret_lost = number - s->next;
    }
    s->next = number + 1;
    *ret_value = tug_buffer_ref(m->value);
    has_been_read(m);
    return 1;
}

/* Somebody may have woken us for another's sake, or another task of this subscriber was faster. */
static int wait_for_message(tug_subscriber *s)
{
    int rc = 0;
    s->waiting++;
    while (rc == 0 && !s->is_closed && s->next == s->of->sent && !s->of->is_closed) {
        rc = tug_park(&s->of->waiters, NULL, "subscriber.next");
    }
    s->waiting--;
    return rc;
}

int tug_subscriber_next(tug_subscriber *s, tug_buffer **ret_value, uint64_t *ret_lost)
{
    if (!tug__is_here_or_adopts(&s->loop, "tug_subscriber_next")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_subscriber_next");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    bool must_wait = s->next == s->of->sent && !s->of->is_closed;
    int rc = must_wait ? wait_for_message(s) : 0;
    if (s->is_closed) {
        rc = rc < 0 ? rc : tug_fail(TUG_ECLOSED, "the subscriber was closed");
        free_if_left(s);
        return rc;
    }
    if (rc == 0 && s->next < s->of->sent) {
        rc = take(s, ret_value, ret_lost);
    }
    return must_wait || rc < 0 ? rc : tug__claimed(rc);
}
