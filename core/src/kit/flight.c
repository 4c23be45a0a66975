/* What: keyed single flight. A load is a task of the user root: so it may use every handle, is cancelled with
 * the program's own tasks, and has ended before the handles that were forgotten are closed. The root never
 * hears of its failures: they belong to the askers. */
#include <tug/flight.h>

#include <string.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

enum {
    LOADS_MOST = 1000000,
    BUCKETS_FIRST = 64,
    FILL_MOST = 2 /* loads a bucket, before the table grows */
};

/* One load. The key and the argument lie behind it. */
struct load {
    struct load *next; /* in the bucket */
    tug_flight *of;
    struct tug_task *task;
    int (*fn)(void *arg, tug_buffer **ret_value);
    uint64_t hash;
    size_t arg_size, key_size;
    tug_waiters askers;                          /* slot: tug_buffer ** */
    _Alignas(max_align_t) unsigned char bytes[]; /* argument, then key */
};

struct tug_flight {
    struct tug_loop *loop;
    size_t refs;
    size_t max_loads;
    size_t loads;     /* under way: with refs they keep the memory */
    size_t waiting;   /* calls of wait_idle */
    uint64_t seed;    /* peers choose keys: they must not know which meet in a bucket */
    size_t n_buckets; /* a power of two */
    struct load **buckets;
    tug_waiters idle;
};

/* --- its life -------------------------------------------------------------------------------- */

int tug_flight_new(tug_flight **ret_flight)
{
    return tug_flight_new_with(NULL, ret_flight);
}

int tug_flight_new_with(const tug_flight_options *given, tug_flight **ret_flight)
{
    tug_flight_options o = TUG_FLIGHT_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (o.max_loads == 0 || o.max_loads > LOADS_MOST) {
        return tug_fail(TUG_EINVAL, "max_loads is 1 to %d, not %zu", LOADS_MOST, o.max_loads);
    }
    tug_flight *f = tug_calloc(1, sizeof *f);
    struct load **buckets = f != NULL ? tug_calloc(BUCKETS_FIRST, sizeof(struct load *)) : NULL;
    if (buckets == NULL) {
        tug_free(f);
        return tug_fail(TUG_ENOMEM, "out of memory for a flight");
    }
    f->loop = tug__loop;
    f->refs = 1;
    f->max_loads = o.max_loads;
    f->seed = tug_random();
    f->n_buckets = BUCKETS_FIRST;
    f->buckets = buckets;
    *ret_flight = f;
    return 0;
}

tug_flight *tug_flight_ref(tug_flight *f)
{
    f->refs++;
    return f;
}

static void free_if_unused(tug_flight *f)
{
    if (f->refs == 0 && f->loads == 0 && f->waiting == 0) {
        tug_free(f->buckets);
        tug_free(f);
    }
}

static void cancel_loads(tug_flight *f)
{
    for (size_t i = 0; i < f->n_buckets; i++) {
        for (struct load *l = f->buckets[i]; l != NULL; l = l->next) {
            tug__scope_fire(&l->task->base, TUG__SCOPE_CANCELLED);
        }
    }
}

static void refuse_askers(tug_flight *f)
{
    for (size_t i = 0; i < f->n_buckets; i++) {
        for (struct load *l = f->buckets[i]; l != NULL; l = l->next) {
            tug_unpark_all(&l->askers, TUG_ECLOSED, NULL);
        }
    }
}

tug_flight *tug_flight_unref(tug_flight *f)
{
    if (f != NULL && !tug__is_here_or_adopts_void(&f->loop, "tug_flight_unref")) {
        return NULL;
    }
    if (f != NULL && --f->refs == 0) {
        refuse_askers(f);
        cancel_loads(f);
        free_if_unused(f);
    }
    return NULL;
}

size_t tug_flight_loads(const tug_flight *f)
{
    return f->loads;
}

/* --- the table ------------------------------------------------------------------------------- */

static uint64_t hash_of(const tug_flight *f, struct tug_bytes key)
{
    const unsigned char *p = key.data;
    uint64_t h = f->seed;
    for (size_t i = 0; i < key.size; i++) {
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return h ^ (h >> 32);
}

static struct load **bucket_of(const tug_flight *f, uint64_t hash)
{
    return &f->buckets[hash & (f->n_buckets - 1)];
}

static const unsigned char *key_at(const struct load *l)
{
    return l->bytes + l->arg_size;
}

static struct load *find(const tug_flight *f, uint64_t hash, struct tug_bytes key)
{
    struct load *l = *bucket_of(f, hash);
    while (l != NULL && (l->hash != hash || l->key_size != key.size ||
                         memcmp(key_at(l), key.data, key.size) != 0)) {
        l = l->next;
    }
    return l;
}

/* Without memory it stays as it is, and the chains are longer. */
static void grow(tug_flight *f)
{
    size_t n = f->n_buckets * 2;
    struct load **old = f->buckets;
    struct load **buckets = tug_calloc(n, sizeof(struct load *));
    if (buckets == NULL) {
        return;
    }
    f->buckets = buckets;
    f->n_buckets = n;
    for (size_t i = 0; i < n / 2; i++) {
        for (struct load *l = old[i], *next; l != NULL; l = next) {
            struct load **to = bucket_of(f, l->hash);
            next = l->next;
            l->next = *to;
            *to = l;
        }
    }
    tug_free(old);
}

static void insert(tug_flight *f, struct load *l)
{
    struct load **to = bucket_of(f, l->hash);
    l->next = *to;
    *to = l;
    if (++f->loads > f->n_buckets * FILL_MOST) {
        grow(f);
    }
}

static void extract(tug_flight *f, const struct load *l)
{
    struct load **at = bucket_of(f, l->hash);
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    f->loads--;
}

/* --- a load ---------------------------------------------------------------------------------- */

/* Whoever asks from here on starts anew. */
static void land(struct load *l, int rc, tug_buffer *value)
{
    tug_error why = *tug_last_error();
    if (rc < 0 && why.code != rc) {
        tug_error_set(&why, rc, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "%s", tug_error_text(rc));
    }
    if (rc == TUG_ECANCELED) {
        rc = TUG_EDROPPED; /* the load's scope was cancelled, not the asker's */
        uint8_t sent = why.sent;
        tug_error_set(&why, rc, TUG_ORIGIN_TUG, sent, NULL, "the load was cancelled");
    }
    extract(l->of, l);
    while (tug_waiters_any(&l->askers)) {
        if (rc == 0 && value != NULL) {
            *(tug_buffer **)tug_waiters_slot(&l->askers) = tug_buffer_ref(value);
        } else if (rc == 0) {
            *(tug_buffer **)tug_waiters_slot(&l->askers) = NULL;
        }
        tug_unpark_first(&l->askers, rc, rc < 0 ? &why : NULL);
    }
    if (l->of->loads == 0) {
        tug_unpark_all(&l->of->idle, 0, NULL);
    }
    free_if_unused(l->of);
    tug_free(l);
}

static int run_load(void *arg)
{
    struct load *l = arg;
    tug_buffer *value = NULL;
    tug_task_set_name("flight");
    int rc = l->fn(l->bytes, &value);
    land(l, rc < 0 ? rc : 0, value);
    if (rc >= 0) {
        tug_buffer_unref(value);
    }
    return 0; /* the failure is the askers' */
}

static int start(tug_flight *f, uint64_t hash, struct tug_bytes key,
                 int (*fn)(void *arg, tug_buffer **ret_value), struct tug_bytes arg,
                 struct load **ret_load)
{
    if (f->loads >= f->max_loads) {
        return tug_fail(TUG_ELIMIT, "%zu loads are under way, which is the most", f->loads);
    }
    struct load *l = tug_alloc(sizeof *l + arg.size + key.size);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a load");
    }
    *l = (struct load){.of = f, .fn = fn, .hash = hash, .arg_size = arg.size, .key_size = key.size};
    if (arg.size > 0) {
        memcpy(l->bytes, arg.data, arg.size);
    }
    if (key.size > 0) {
        memcpy(l->bytes + arg.size, key.data, key.size);
    }
    int rc = tug__group_spawn(tug_background(), run_load, l, 0, (void *)(uintptr_t)fn, &l->task);
    if (rc < 0) {
        tug_free(l);
        return rc;
    }
    insert(f, l);
    *ret_load = l;
    return 0;
}

/* --- asking ---------------------------------------------------------------------------------- */

static int check(struct tug_bytes key, size_t arg_size)
{
    if (key.size > TUG_FLIGHT_KEY_MAX) {
        return tug_fail(TUG_ELIMIT, "a key of %zu bytes is too long (at most %d)", key.size,
                        TUG_FLIGHT_KEY_MAX);
    }
    if (arg_size > TUG_FLIGHT_ARG_MAX) {
        return tug_fail(TUG_ELIMIT, "an argument of %zu bytes is too large to copy (at most %d)",
                        arg_size, TUG_FLIGHT_ARG_MAX);
    }
    return 0;
}

int tug_flight_run(tug_flight *f, struct tug_bytes key,
                   int (*fn)(void *arg, tug_buffer **ret_value), const void *arg, size_t arg_size,
                   tug_buffer **ret_value)
{
    if (!tug__is_here_or_adopts(&f->loop, "tug_flight_run")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_flight_run");
    int rc = t != NULL ? check(key, arg_size) : TUG_EMISUSE;
    if (rc < 0) {
        return rc;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    uint64_t hash = hash_of(f, key);
    struct load *l = find(f, hash, key);
    if (l == NULL) {
        rc = start(f, hash, key, fn, tug_bytes(arg, arg_size), &l);
        if (rc < 0) {
            return rc;
        }
    } else if (l->task == t) {
        return tug_fail(TUG_EMISUSE, "a loader asks for the key that it loads: it would wait for "
                                     "itself");
    }
    return tug_park(&l->askers, ret_value, "flight");
}

/* Cut short by a cancel, it sends that on to the loads. */
static void wait_once(tug_flight *f)
{
    if (tug_park(&f->idle, NULL, "flight.idle") == TUG_ECANCELED && f->loads > 0) {
        cancel_loads(f);
        TUG_IGNORE(tug_park_uncancellable(&f->idle, NULL, "flight.idle"));
    }
}

void tug_flight_wait_idle(tug_flight *f)
{
    if (f == NULL || !tug__is_here_or_adopts_void(&f->loop, "tug_flight_wait_idle") ||
        tug__need_task("tug_flight_wait_idle") == NULL) {
        return;
    }
    tug_error *mine = tug__error_current();
    tug_error kept; /* why the caller cleans up must survive that it does */
    tug__error_copy(&kept, mine);
    f->waiting++;
    while (f->loads > 0) {
        wait_once(f);
    }
    f->waiting--;
    tug__error_copy(mine, &kept);
    free_if_unused(f);
}
