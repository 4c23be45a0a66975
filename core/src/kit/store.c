#include "kit/store.h"

#include <assert.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"

struct entry {
    void *item;
    uint64_t number; /* of its put: equals go in this order */
};

struct tug__store {
    int kind;
    bool is_closed;
    bool is_joinable;
    int (*compare)(const void *a, const void *b);
    void (*destroy)(void *item);
    size_t capacity, count;
    size_t head;       /* FIFO: of the ring */
    size_t unfinished; /* put and not done, those inside included */
    uint64_t puts;
    tug_waiters putters; /* slot: the item */
    tug_waiters takers;  /* slot: void **, where the item goes */
    tug_waiters joiners;
    struct entry entries[]; /* a ring, a stack, or a heap */
};

/* --- the items ------------------------------------------------------------------------------- */

static bool goes_before(const struct tug__store *s, const struct entry *a, const struct entry *b)
{
    int order = s->compare(a->item, b->item);
    return order != 0 ? order < 0 : a->number < b->number;
}

static void sift_up(struct tug__store *s, size_t at, struct entry e)
{
    while (at > 0 && goes_before(s, &e, &s->entries[(at - 1) / 2])) {
        s->entries[at] = s->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->entries[at] = e;
}

static void sift_down(struct tug__store *s, struct entry e)
{
    size_t at = 0, child;
    while ((child = 2 * at + 1) < s->count) {
        if (child + 1 < s->count && goes_before(s, &s->entries[child + 1], &s->entries[child])) {
            child++;
        }
        if (!goes_before(s, &s->entries[child], &e)) {
            break;
        }
        s->entries[at] = s->entries[child];
        at = child;
    }
    s->entries[at] = e;
}

static void insert(struct tug__store *s, void *item)
{
    assert(s->count < s->capacity && "the queue has room");
    struct entry e = {.item = item, .number = s->puts++};
    size_t at = s->count++;
    if (s->kind == TUG_QUEUE_PRIORITY) {
        sift_up(s, at, e);
        return;
    }
    if (s->kind == TUG_QUEUE_FIFO) {
        at += s->head;
        at = at < s->capacity ? at : at - s->capacity;
    }
    s->entries[at] = e;
}

static void *extract(struct tug__store *s)
{
    assert(s->count > 0 && "the queue has an item");
    s->count--;
    if (s->kind == TUG_QUEUE_LIFO) {
        return s->entries[s->count].item;
    }
    void *item = s->entries[s->head].item;
    if (s->kind == TUG_QUEUE_FIFO) {
        s->head = s->head + 1 < s->capacity ? s->head + 1 : 0;
    } else if (s->count > 0) {
        sift_down(s, s->entries[s->count]);
    }
    return item;
}

/* --- its life -------------------------------------------------------------------------------- */

int tug__store_new(const tug_queue_options *o, struct tug__store **ret_store)
{
    struct tug__store *s = NULL;
    if (o->capacity <= (SIZE_MAX - sizeof *s) / sizeof s->entries[0]) {
        s = tug_alloc(sizeof *s + o->capacity * sizeof s->entries[0]);
    }
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a queue of %zu items", o->capacity);
    }
    *s = (struct tug__store){.kind = o->kind,
                             .is_joinable = o->joinable,
                             .compare = o->compare,
                             .destroy = o->destroy,
                             .capacity = o->capacity};
    *ret_store = s;
    return 0;
}

void tug__store_free(struct tug__store *s)
{
    if (s != NULL) {
        tug_unpark_all(&s->joiners, TUG_ECLOSED, NULL);
        tug_free(s);
    }
}

void tug__store_close(struct tug__store *s)
{
    s->is_closed = true;
    tug_unpark_all(&s->putters, TUG_ECLOSED, NULL);
    tug_unpark_all(&s->takers, 0, NULL);
}

static void done(struct tug__store *s)
{
    if (--s->unfinished == 0) {
        tug_unpark_all(&s->joiners, 0, NULL);
    }
}

void tug__store_clear(struct tug__store *s)
{
    while (s->count > 0) {
        void *item = extract(s);
        done(s);
        if (s->destroy != NULL) {
            s->destroy(item);
        }
    }
}

size_t tug__store_count(const struct tug__store *s)
{
    return s->count;
}

/* --- put ------------------------------------------------------------------------------------- */

static int closed(void)
{
    return tug_fail(TUG_ECLOSED, "the queue is closed");
}

static void give(struct tug__store *s, void *item)
{
    void **to = tug_waiters_slot(&s->takers);
    s->unfinished++;
    if (to == NULL) {
        insert(s, item);
        return;
    }
    assert(s->count == 0 && "a task waits for an item although there is one");
    *to = item;
    tug_unpark_first(&s->takers, 1, NULL);
}

int tug__store_try_put(struct tug__store *s, void *item)
{
    if (s->is_closed) {
        return closed();
    }
    if (s->count == s->capacity) {
        return tug_fail(TUG_ELIMIT, "the queue is full (%zu items)", s->capacity);
    }
    give(s, item);
    return 0;
}

int tug__store_put(struct tug__store *s, void *item)
{
    struct tug_task *t = tug__need_task("tug_queue_put");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (s->is_closed) {
        return closed();
    }
    if (s->count == s->capacity) {
        return tug_park(&s->putters, item, "queue.put");
    }
    give(s, item);
    return tug__claimed(0);
}

/* --- next ------------------------------------------------------------------------------------ */

/* The room that the item leaves goes to the task that waits longest to put. */
static void *take(struct tug__store *s)
{
    void *item = extract(s);
    const struct tug__wait *from = s->putters.first;
    if (from != NULL) {
        s->unfinished++;
        insert(s, from->slot);
        tug_unpark_first(&s->putters, 0, NULL);
    }
    return item;
}

int tug__store_try_next(struct tug__store *s, void **ret_item)
{
    if (s->count > 0) {
        *ret_item = take(s);
        return 1;
    }
    return s->is_closed ? 0 : tug_fail(TUG_ENOTFOUND, "the queue is empty");
}

int tug__store_next(struct tug__store *s, void **ret_item)
{
    struct tug_task *t = tug__need_task("tug_queue_next");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (s->count > 0) {
        *ret_item = take(s);
        return tug__claimed(1);
    }
    return s->is_closed ? tug__claimed(0) : tug_park(&s->takers, ret_item, "queue.next");
}

/* --- join ------------------------------------------------------------------------------------ */

static int not_joinable(void)
{
    return tug_fail(TUG_EMISUSE, "this queue does not count its work: set joinable in its options");
}

int tug__store_task_done(struct tug__store *s)
{
    if (s == NULL || !s->is_joinable) {
        return not_joinable();
    }
    if (s->unfinished == s->count) {
        return tug__sync_misuse("a queue is told that work is done, but nobody has any of it");
    }
    done(s);
    return 0;
}

int tug__store_join(struct tug__store *s)
{
    struct tug_task *t = tug__need_task("tug_queue_join");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (s == NULL || !s->is_joinable) {
        return not_joinable();
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    return s->unfinished == 0 ? tug__claimed(0) : tug_park(&s->joiners, NULL, "queue.join");
}

/* --- for select ------------------------------------------------------------------------------ */

bool tug__store_can_get(const struct tug__store *s)
{
    return s->count > 0 || s->is_closed;
}

bool tug__store_can_put(const struct tug__store *s)
{
    return s->count < s->capacity || s->is_closed;
}

tug_waiters *tug__store_takers(struct tug__store *s)
{
    return &s->takers;
}

tug_waiters *tug__store_putters(struct tug__store *s)
{
    return &s->putters;
}
