/* What: a bounded FIFO of pointers. At most one of these holds: tasks wait to put (then it is
 * full), tasks wait to get (then it is empty), nobody waits. Items are handed to a waiting task
 * directly.
 *
 * Queues of the other kinds are a store (store.c). To the straight way through put and next they look full
 * and empty, so that it has no branch for them: where it would wait, they are told apart. */
#include "kit/queue.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "future/future.h"
#include "kit/store.h"
#include "task/run.h"

struct tug_queue {
    size_t count, head, capacity;
    size_t open_to; /* capacity; 0 once closed: so one look says whether a put has room */
    struct tug_loop *loop;
    tug_waiters putters; /* slot: the item */
    tug_waiters takers;  /* slot: void **, where the item goes */
    bool is_closed;
    struct tug__store *store; /* NULL: a plain one; else all above is 0 */
    size_t refs;
    void (*destroy)(void *item);
    void *ring[];
};

/* --- the short ways: there is room, or an item ---------------------------------------------------- */

static inline void push(tug_queue *q, void *item)
{
    size_t count = q->count;
    size_t at = q->head + count;
    assert(count < q->capacity && "the queue has room");
    q->ring[at < q->capacity ? at : at - q->capacity] = item;
    q->count = count + 1;
}

static inline void *pop(tug_queue *q)
{
    size_t count = q->count;
    size_t at = q->head;
    assert(count > 0 && "the queue has an item");
    void *item = q->ring[at];
    q->head = at + 1 < q->capacity ? at + 1 : 0;
    q->count = count - 1;
    return item;
}

/* To the task that waits longest for an item. 0: this and the next are the last act of a put and a take. */
static __attribute__((noinline)) int hand_item(tug_queue *q, void *item)
{
    void **to = q->takers.first->slot;
    assert(q->count == 0 && "a task waits for an item although there is one");
    *to = item;
    tug__wake_first(tug__loop, &q->takers, 1);
    return 0;
}

/* The room that an item has left, to the task that waits longest to put. 1. */
static __attribute__((noinline)) int hand_room(tug_queue *q)
{
    push(q, q->putters.first->slot);
    tug__wake_first(tug__loop, &q->putters, 0);
    return 1;
}

/* The queue has room. 0. */
static inline int give(tug_queue *q, void *item)
{
    if (tug__unlikely(q->takers.first != NULL)) {
        return hand_item(q, item);
    }
    push(q, item);
    return 0;
}

/* The queue has an item. 1. */
static inline int take(tug_queue *q, void **ret_item)
{
    *ret_item = pop(q);
    return tug__unlikely(q->putters.first != NULL) ? hand_room(q) : 1;
}

int tug_queue_new(size_t capacity, void (*destroy)(void *item), tug_queue **ret_queue)
{
    if (capacity == 0) {
        return tug_fail(TUG_EINVAL, "a queue needs a capacity of at least 1");
    }
    tug_queue *q = NULL;
    if (capacity <= (SIZE_MAX - sizeof *q) / sizeof q->ring[0]) {
        q = tug_alloc(sizeof *q + capacity * sizeof q->ring[0]);
    }
    if (q == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a queue of %zu items", capacity);
    }
    *q = (tug_queue){.refs = 1,
                     .capacity = capacity,
                     .open_to = capacity,
                     .loop = tug__loop,
                     .destroy = destroy};
    *ret_queue = q;
    return 0;
}

tug_queue *tug_queue_ref(tug_queue *q)
{
    q->refs++;
    return q;
}

static int check_options(const tug_queue_options *o)
{
    if (o->capacity == 0) {
        return tug_fail(TUG_EINVAL, "a queue needs a capacity of at least 1");
    }
    if (o->kind < TUG_QUEUE_FIFO || o->kind > TUG_QUEUE_PRIORITY) {
        return tug_fail(TUG_EINVAL, "%d is no kind of queue", o->kind);
    }
    if ((o->kind == TUG_QUEUE_PRIORITY) != (o->compare != NULL)) {
        return tug_fail(TUG_EINVAL, "compare is for TUG_QUEUE_PRIORITY, and for no other kind");
    }
    return 0;
}

int tug_queue_new_with(const tug_queue_options *given, tug_queue **ret_queue)
{
    tug_queue_options o = TUG_QUEUE_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    int rc = check_options(&o);
    if (rc < 0) {
        return rc;
    }
    if (o.kind == TUG_QUEUE_FIFO && !o.joinable) {
        return tug_queue_new(o.capacity, o.destroy, ret_queue);
    }
    tug_queue *q = tug_calloc(1, sizeof *q);
    if (q == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a queue");
    }
    q->loop = tug__loop;
    q->refs = 1;
    rc = tug__store_new(&o, &q->store);
    if (rc < 0) {
        tug_free(q);
        return rc;
    }
    *ret_queue = q;
    return 0;
}

void tug_queue_close(tug_queue *q)
{
    if (q == NULL || !tug__is_here_or_adopts_void(&q->loop, "tug_queue_close")) {
        return;
    }
    if (q->store != NULL) {
        tug__store_close(q->store);
        return;
    }
    q->is_closed = true;
    q->open_to = 0;
    tug_unpark_all(&q->putters, TUG_ECLOSED, NULL);
    tug_unpark_all(&q->takers, 0, NULL);
}

static void clear(tug_queue *q)
{
    if (q->store != NULL) {
        tug__store_clear(q->store);
    }
    while (q->count > 0) {
        void *item = pop(q);
        if (q->destroy != NULL) {
            q->destroy(item);
        }
    }
}

void tug_queue_close_now(tug_queue *q)
{
    if (q == NULL || !tug__is_here_or_adopts_void(&q->loop, "tug_queue_close_now")) {
        return;
    }
    tug_queue_close(q);
    tug_queue_ref(q); /* a destructor may drop what it thinks is the last one */
    clear(q);
    tug_queue_unref(q);
}

tug_queue *tug_queue_unref(tug_queue *q)
{
    if (q == NULL || !tug__is_here_or_adopts_void(&q->loop, "tug_queue_unref") || --q->refs > 0) {
        return NULL;
    }
    tug_queue_close(q);
    clear(q);
    tug__store_free(q->store);
    tug_free(q);
    return NULL;
}

size_t tug_queue_count(const tug_queue *q)
{
    return q->store != NULL ? tug__store_count(q->store) : q->count;
}

/* --- put ------------------------------------------------------------------------------------- */

static int closed(void)
{
    return tug_fail(TUG_ECLOSED, "the queue is closed");
}

int tug_queue_try_put(tug_queue *q, void *item)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_try_put")) {
        return TUG_EMISUSE;
    }
    if (q->is_closed) {
        return closed();
    }
    if (q->count == q->capacity) {
        return q->store != NULL
                   ? tug__store_try_put(q->store, item)
                   : tug_fail(TUG_ELIMIT, "the queue is full (%zu items)", q->capacity);
    }
    return give(q, item);
}

static int wait_for_room(tug_queue *q, void *item)
{
    if (q->store != NULL) {
        return tug__store_put(q->store, item);
    }
    return tug_park(&q->putters, item, "queue.put");
}

static __attribute__((noinline)) int put_slowly(tug_queue *q, void *item, uintptr_t frame)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_put")) {
        return TUG_EMISUSE;
    }
    tug__check_entry(frame);
    if (!q->is_closed && q->count == q->capacity) {
        return wait_for_room(q, item);
    }
    /* The checkpoint may yield: the room may be gone then, or the queue. */
    tug_queue_ref(q);
    int rc = tug_checkpoint();
    bool is_full = q->count == q->capacity;
    if (rc == 0 && (q->is_closed || q->refs == 1)) {
        rc = closed();
    } else if (rc == 0 && !is_full) {
        rc = give(q, item);
    }
    tug_queue_unref(q);
    return rc == 0 && is_full ? wait_for_room(q, item) : rc;
}

TUG__ENTRY int tug_queue_put(tug_queue *q, void *item)
{
    if (q->loop != tug__loop || q->count >= q->open_to || !tug__spend_credit(tug__current())) {
        return put_slowly(q, item, TUG__CALLERS_FRAME);
    }
    return give(q, item);
}

/* --- next ------------------------------------------------------------------------------------ */

int tug_queue_try_next(tug_queue *q, void **ret_item)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_try_next")) {
        return TUG_EMISUSE;
    }
    if (q->count > 0) {
        return take(q, ret_item);
    }
    if (q->store != NULL) {
        return tug__store_try_next(q->store, ret_item);
    }
    return q->is_closed ? 0 : tug_fail(TUG_ENOTFOUND, "the queue is empty");
}

static int wait_for_item(tug_queue *q, void **ret_item)
{
    return q->store != NULL ? tug__store_next(q->store, ret_item)
                            : tug_park(&q->takers, ret_item, "queue.next");
}

static __attribute__((noinline)) int next_slowly(tug_queue *q, void **ret_item, uintptr_t frame)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_next")) {
        return TUG_EMISUSE;
    }
    tug__check_entry(frame);
    if (q->count == 0 && !q->is_closed) {
        return wait_for_item(q, ret_item);
    }
    tug_queue_ref(q);
    int rc = tug_checkpoint();
    bool must_wait = false;
    if (rc == 0 && q->count > 0) {
        rc = take(q, ret_item);
    } else if (rc == 0) {
        must_wait = !q->is_closed && q->refs > 1;
    }
    tug_queue_unref(q);
    return must_wait ? tug_park(&q->takers, ret_item, "queue.next") : rc;
}

TUG__ENTRY int tug_queue_next(tug_queue *q, void **ret_item)
{
    if (q->loop != tug__loop || q->count == 0 || !tug__spend_credit(tug__current())) {
        return next_slowly(q, ret_item, TUG__CALLERS_FRAME);
    }
    return take(q, ret_item);
}

/* --- work that is not done ------------------------------------------------------------------- */

int tug_queue_task_done(tug_queue *q)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_task_done")) {
        return TUG_EMISUSE;
    }
    return tug__store_task_done(q->store);
}

int tug_queue_join(tug_queue *q)
{
    if (!tug__is_here_or_adopts(&q->loop, "tug_queue_join")) {
        return TUG_EMISUSE;
    }
    return tug__store_join(q->store);
}

/* --- for select ------------------------------------------------------------------------------ */

bool tug__queue_is_here(tug_queue *q, const char *what)
{
    return tug__is_here_or_adopts(&q->loop, what);
}

bool tug__queue_can_get(const tug_queue *q)
{
    return q->store != NULL ? tug__store_can_get(q->store) : q->count > 0 || q->is_closed;
}

bool tug__queue_can_put(const tug_queue *q)
{
    return q->store != NULL ? tug__store_can_put(q->store) : q->count < q->capacity || q->is_closed;
}

tug_waiters *tug__queue_takers(tug_queue *q)
{
    return q->store != NULL ? tug__store_takers(q->store) : &q->takers;
}

tug_waiters *tug__queue_putters(tug_queue *q)
{
    return q->store != NULL ? tug__store_putters(q->store) : &q->putters;
}
