/* What: a bounded FIFO of pointers. At most one of these holds: tasks wait to put (then it is
 * full), tasks wait to get (then it is empty), nobody waits. Items are handed to a waiting task
 * directly. */
#include <tug/queue.h>

#include <assert.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

struct tug_queue {
    size_t refs;
    size_t capacity, head, count;
    void (*destroy)(void *item);
    tug_waiters putters; /* slot: void **, where the item is */
    tug_waiters takers;  /* slot: void **, where the item goes */
    bool is_closed;
    void *ring[];
};

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
    *q = (tug_queue){.refs = 1, .capacity = capacity, .destroy = destroy};
    *ret_queue = q;
    return 0;
}

tug_queue *tug_queue_ref(tug_queue *q)
{
    q->refs++;
    return q;
}

static void push(tug_queue *q, void *item)
{
    assert(q->count < q->capacity && "the queue has room");
    size_t at = q->head + q->count;
    q->ring[at < q->capacity ? at : at - q->capacity] = item;
    q->count++;
}

static void *pop(tug_queue *q)
{
    assert(q->count > 0 && "the queue has an item");
    void *item = q->ring[q->head];
    q->head = q->head + 1 < q->capacity ? q->head + 1 : 0;
    q->count--;
    return item;
}

void tug_queue_close(tug_queue *q)
{
    q->is_closed = true;
    tug_unpark_all(&q->putters, TUG_ECLOSED, NULL);
    tug_unpark_all(&q->takers, 0, NULL);
}

tug_queue *tug_queue_unref(tug_queue *q)
{
    if (q == NULL || --q->refs > 0) {
        return NULL;
    }
    tug_queue_close(q);
    while (q->count > 0) {
        void *item = pop(q);
        if (q->destroy != NULL) {
            q->destroy(item);
        }
    }
    tug_free(q);
    return NULL;
}

size_t tug_queue_count(const tug_queue *q)
{
    return q->count;
}

/* --- put ------------------------------------------------------------------------------------- */

static int closed(void)
{
    return tug_fail(TUG_ECLOSED, "the queue is closed");
}

/* The queue has room: to the task that waits longest for an item, else into the ring. */
static void give(tug_queue *q, void *item)
{
    void **to = tug_waiters_slot(&q->takers);
    if (to == NULL) {
        push(q, item);
        return;
    }
    assert(q->count == 0 && "a task waits for an item although there is one");
    *to = item;
    tug_unpark_first(&q->takers, 1, NULL);
}

int tug_queue_try_put(tug_queue *q, void *item)
{
    if (q->is_closed) {
        return closed();
    }
    if (q->count == q->capacity) {
        return tug_fail(TUG_ELIMIT, "the queue is full (%zu items)", q->capacity);
    }
    give(q, item);
    return 0;
}

static int wait_for_room(tug_queue *q, void *item)
{
    void *cell = item;
    return tug_park(&q->putters, &cell, "queue.put");
}

int tug_queue_put(tug_queue *q, void *item)
{
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
        give(q, item);
    }
    tug_queue_unref(q);
    return rc == 0 && is_full ? wait_for_room(q, item) : rc;
}

/* --- next ------------------------------------------------------------------------------------ */

/* The queue has an item; the room it leaves goes to the task that waits longest to put. */
static void *take(tug_queue *q)
{
    void *item = pop(q);
    void **from = tug_waiters_slot(&q->putters);
    if (from != NULL) {
        push(q, *from);
        tug_unpark_first(&q->putters, 0, NULL);
    }
    return item;
}

int tug_queue_try_next(tug_queue *q, void **ret_item)
{
    if (q->count > 0) {
        *ret_item = take(q);
        return 1;
    }
    return q->is_closed ? 0 : tug_fail(TUG_ENOTFOUND, "the queue is empty");
}

int tug_queue_next(tug_queue *q, void **ret_item)
{
    if (q->count == 0 && !q->is_closed) {
        return tug_park(&q->takers, ret_item, "queue.next");
    }
    tug_queue_ref(q);
    int rc = tug_checkpoint();
    bool must_wait = false;
    if (rc == 0 && q->count > 0) {
        *ret_item = take(q);
        rc = 1;
    } else if (rc == 0) {
        must_wait = !q->is_closed && q->refs > 1;
    }
    tug_queue_unref(q);
    return must_wait ? tug_park(&q->takers, ret_item, "queue.next") : rc;
}
