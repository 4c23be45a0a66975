#include "future/future.h"

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "util/debug.h"

void (*tug__wake_task)(tug_task *t, int code, const tug_error *why);
bool (*tug__in_cancelled_scope)(void);

/* --- lists of waits ----------------------------------------------------------------------------- */

void tug__waiters_remove(struct tug__wait *w)
{
    tug_waiters *list = w->list;
    if (list == NULL) {
        return;
    }
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        list->first = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    } else {
        list->last = w->prev;
    }
    w->list = NULL;
}

void tug__wait_notify(struct tug__wait *w, int code, const tug_error *why)
{
    tug__waiters_remove(w);
    if (w->notify != NULL) {
        w->notify(w, code, why);
    } else {
        tug__wake_task(w->task, code, why);
    }
}

void *tug_waiters_slot(const tug_waiters *list)
{
    return list->first != NULL ? list->first->slot : NULL;
}

bool tug_unpark_first(tug_waiters *list, int code, const tug_error *why)
{
    if (list->first == NULL) {
        return false;
    }
    tug__wait_notify(list->first, code, why);
    return true;
}

void tug_unpark_all(tug_waiters *list, int code, const tug_error *why)
{
    while (tug_unpark_first(list, code, why)) {
    }
}

/* --- memory ------------------------------------------------------------------------------------- */

enum {
    CLASS_STEP = 64,
    CLASSES = 16, /* payloads up to 1 KiB come from a free list */
    CLASS_NONE = 255,
    /* What most calls look at lies in one line of the cache if it begins with one: a gather of 10,000 then is
     * 640 KB and not 960. */
    FUTURE_LINE = 64
};

struct futures {
    tug_future *free[CLASSES]; /* linked through value */
    size_t live;
};

static void give_back(tug_future *f)
{
    tug_free((char *)f - f->before);
}

static void futures_destroy(void *value)
{
    struct futures *all = value;
    for (int i = 0; i < CLASSES; i++) {
        while (all->free[i] != NULL) {
            tug_future *f = all->free[i];
            all->free[i] = f->value;
            give_back(f);
        }
    }
    tug_free(all);
}

static inline struct futures *futures_of(struct tug_loop *loop)
{
    return loop->slots[TUG__SLOT_FUTURES].value;
}

size_t tug__futures_live(void)
{
    return tug__loop != NULL && futures_of(tug__loop) != NULL ? futures_of(tug__loop)->live : 0;
}

static __attribute__((noinline)) struct futures *futures_open(struct tug_loop *loop)
{
    struct futures *all = tug_calloc(1, sizeof *all);
    if (all != NULL) {
        loop->slots[TUG__SLOT_FUTURES].value = all;
        loop->slots[TUG__SLOT_FUTURES].destroy = futures_destroy;
    }
    return all;
}

/* A new block, zeroed, or one that was released: then all but what a life leaves behind is as in a new
 * one (see release). */
static __attribute__((noinline)) tug_future *allocate(size_t bytes, size_t size_class)
{
    size_t size = sizeof(tug_future) + (size_class < CLASSES ? size_class * CLASS_STEP : bytes);
    char *block = tug_calloc(1, size + FUTURE_LINE - alignof(max_align_t));
    tug_future *f = NULL;
    if (block != NULL) {
        size_t before = -(uintptr_t)block % FUTURE_LINE;
        f = (tug_future *)(void *)(block + before);
        f->before = (uint8_t)before;
        f->size_class = size_class < CLASSES ? (uint8_t)size_class : CLASS_NONE;
        f->loop = tug__loop;
    }
    return f;
}

static inline size_t steps_of(size_t bytes)
{
    return (bytes + CLASS_STEP - 1) / CLASS_STEP;
}

static inline tug_future *obtain(struct futures *all, const tug_future_class *class_)
{
    size_t size_class = steps_of(class_->payload + class_->room);
    tug_future *f = size_class < CLASSES ? all->free[size_class] : NULL;
    if (f == NULL) {
        return allocate(class_->payload + class_->room, size_class);
    }
    all->free[size_class] = f->value;
    f->value = NULL;
    f->rc = 0;
    f->state = TUG__FUTURE_PENDING;
    f->flags = 0;
    f->sent = 0;
    /* In steps of a known size: a memset of any size is a rep stos or a call, and the start of either
     * costs more than all the stores. */
    char *p = (char *)f->payload;
    for (size_t steps = steps_of(class_->payload); steps > 0; steps--, p += CLASS_STEP) {
        memset(p, 0, CLASS_STEP);
    }
    return f;
}

static const tug_future_class no_memory_class = {.size = sizeof(tug_future_class),
                                                 .name = "no memory"};
static tug_future no_memory = {.refs = 1,
                               .state = TUG__FUTURE_FAILED,
                               .flags = TUG__FUTURE_STATIC | TUG__FUTURE_USED,
                               .rc = TUG_ENOMEM,
                               .class_ = &no_memory_class};

tug_future *tug_future_no_memory(void)
{
    return &no_memory;
}

/* What a start gives on a thread without a loop. */
static const tug_future_class no_loop_class = {.size = sizeof(tug_future_class), .name = "no loop"};
static tug_error no_loop_error = {.code = TUG_EMISUSE,
                                  .text = "this call needs the loop's thread, which this is not"};
static tug_future no_loop = {.refs = 1,
                             .state = TUG__FUTURE_FAILED,
                             .flags = TUG__FUTURE_STATIC | TUG__FUTURE_USED,
                             .rc = TUG_EMISUSE,
                             .error = &no_loop_error,
                             .class_ = &no_loop_class};

tug_future *tug_future_new(const tug_future_class *class_)
{
    struct tug_loop *loop = tug__loop;
    assert(loop != NULL && "futures belong to a loop");
    struct futures *all = futures_of(loop);
    if (__builtin_expect(all == NULL, 0)) {
        all = futures_open(loop);
    }
    tug_future *f = all != NULL ? obtain(all, class_) : NULL;
    if (f == NULL) {
        return NULL;
    }
    all->live++;
    f->refs = 1;
    f->class_ = class_;
    return f;
}

void tug_future_fetch(const tug_future *f)
{
    __builtin_prefetch(f, 1);
}

void tug_future_fetch_waiter(const tug_future *f)
{
    const struct tug__wait *w = f->waiters.first;
    if (w != NULL) {
        __builtin_prefetch(w, 1);
        __builtin_prefetch((const char *)w - 64,
                           1); /* a task's own lies behind what a wake writes */
    }
}

tug_future *tug_future_failed(const tug_error *why)
{
    static const tug_future_class failed = {.size = sizeof(tug_future_class), .name = "failed"};
    if (tug__loop == NULL && why->code == TUG_EMISUSE) {
        return &no_loop;
    }
    tug_future *f = tug__loop != NULL ? tug_future_new(&failed) : NULL;
    if (f == NULL) {
        return tug_future_no_memory();
    }
    f->flags |= TUG__FUTURE_USED; /* dropping it loses nothing */
    tug_future_fail(f, why);
    return f;
}

struct tug__deadline {
    struct tug__timer timer;
};

/* What was cancelled fails with DROPPED, and whoever is cancelled himself leaves without looking. */
static void report_unread(const tug_future *f)
{
    const uint8_t told = TUG__FUTURE_ABORTED | TUG__FUTURE_DETACHED;
    if (!f->is_read && (f->flags & told) == 0 && TUG__DEBUG_ON(unread_errors) &&
        !tug__in_cancelled_scope()) {
        tug__debug_warn("future", "a failed %s was released and nobody read its error: %s",
                        f->class_->name, f->error != NULL ? f->error->text : tug_error_text(f->rc));
    }
}

/* What few futures have. Leaves them as obtain expects them: no error, no deadline. */
static __attribute__((noinline)) void release_rest(tug_future *f)
{
    if (f->state == TUG__FUTURE_FAILED) {
        report_unread(f);
    }
    if (f->state == TUG__FUTURE_DONE && f->value != NULL && f->class_->dispose != NULL) {
        f->class_->dispose(f->value);
    }
    if (f->class_->destroy != NULL) {
        f->class_->destroy(f);
    }
    if (f->deadline != NULL) {
        tug__timer_stop(&f->loop->calendar, &f->deadline->timer);
        tug_free(f->deadline);
        f->deadline = NULL;
    }
    tug_free(f->error);
    f->error = NULL;
}

static inline void release(tug_future *f)
{
    struct futures *all = futures_of(f->loop);
    if (__builtin_expect((f->flags & TUG__FUTURE_REST) != 0 || f->class_->destroy != NULL ||
                             (f->value != NULL && f->class_->dispose != NULL),
                         0)) {
        release_rest(f);
    }
    all->live--;
    if (__builtin_expect(f->size_class == CLASS_NONE, 0)) {
        give_back(f);
        return;
    }
    f->value = all->free[f->size_class];
    all->free[f->size_class] = f;
}

/* The static ones belong to no loop. */
static bool is_elsewhere(const tug_future *f, const char *what)
{
    return (f->flags & TUG__FUTURE_STATIC) == 0 && !tug__is_here_void(f->loop, what);
}

/* --- completing --------------------------------------------------------------------------------- */

static void run_watcher(void *arg)
{
    tug_future *f = arg;
    f->watch(f, f->watch_arg);
    tug_future_unref(f);
}

static void log_detached(const tug_future *f)
{
    tug_log(TUG_LOG_WARN, "future", "a detached %s failed: %s", f->class_->name,
            f->error != NULL ? f->error->text : tug_error_text(f->rc));
}

static void completed(tug_future *f)
{
    const tug_error *why = f->error;
    if (f->waiters.first != NULL) {
        f->is_read = true;
    }
    while (f->waiters.first != NULL) {
        tug__wait_notify(f->waiters.first, f->rc, why);
    }
    if (f->deadline != NULL) {
        tug__timer_stop(&f->loop->calendar, &f->deadline->timer);
    }
    if ((f->flags & TUG__FUTURE_WATCHED) != 0) {
        tug_call_soon(&f->call, run_watcher, f);
    }
    if ((f->flags & TUG__FUTURE_DETACHED) != 0 && f->rc < 0) {
        log_detached(f);
    }
    if (f->refs == 0) {
        release(f);
    }
}

static __attribute__((noinline)) void settle_slowly(tug_future *f, void *value)
{
    if (is_elsewhere(f, "tug_future_settle")) {
        return;
    }
    if (f->state != TUG__FUTURE_PENDING) {
        if (value != NULL && f->class_->dispose != NULL) {
            f->class_->dispose(value);
        }
        return;
    }
    f->state = TUG__FUTURE_DONE;
    f->value = value;
    completed(f);
}

/* The short way: one task waits, and there is nothing else to do than to wake it. */
void tug_future_settle(tug_future *f, void *value)
{
    const unsigned more = TUG__FUTURE_REST | TUG__FUTURE_WATCHED | TUG__FUTURE_DETACHED;
    struct tug__wait *w = f->waiters.first;
    if (f->state != TUG__FUTURE_PENDING || w == NULL || w->next != NULL || w->notify != NULL ||
        f->refs == 0 || (f->flags & more) != 0 || f->loop != tug__loop) {
        settle_slowly(f, value);
        return;
    }
    f->state = TUG__FUTURE_DONE;
    f->value = value;
    f->waiters.first = NULL;
    f->waiters.last = NULL;
    w->list = NULL;
    tug__wake_task(w->task, 0, NULL);
}

void tug_future_fail(tug_future *f, const tug_error *why)
{
    if (is_elsewhere(f, "tug_future_fail") || f->state != TUG__FUTURE_PENDING) {
        return;
    }
    assert(why->code < 0 && "a future fails with a negative code");
    f->state = TUG__FUTURE_FAILED;
    f->flags |= TUG__FUTURE_REST;
    f->error = tug_alloc(sizeof *f->error);
    if (f->error != NULL) {
        tug__error_copy(f->error, why);
    }
    f->rc = why->code;
    f->sent = why->sent;
    if (f->rc == TUG_ECANCELED) {
        f->rc = TUG_EDROPPED; /* CANCELED is only ever the waiter's own scope */
    }
    if (f->rc == TUG_EDROPPED && (f->flags & (TUG__FUTURE_TIMED_OUT | TUG__FUTURE_STARVED)) != 0) {
        f->rc = (f->flags & TUG__FUTURE_TIMED_OUT) != 0 ? TUG_ETIMEDOUT : TUG_ENOMEM;
        if (f->error != NULL && strcmp(f->error->text, tug_error_text(TUG_EDROPPED)) == 0) {
            uint8_t sent = f->error->sent; /* a text of the driver's own says more than ours */
            tug__error_plain(f->error, f->rc);
            f->error->sent = sent;
        }
    }
    if (f->error != NULL) {
        f->error->code = f->rc;
    }
    completed(f);
}

static void abort_future(tug_future *f)
{
    f->flags |= TUG__FUTURE_USED;
    if (f->state != TUG__FUTURE_PENDING || (f->flags & TUG__FUTURE_ABORTED) != 0) {
        return;
    }
    f->flags |= TUG__FUTURE_ABORTED;
    f->refs++; /* abort may fail it itself: it must not go meanwhile */
    int said = f->class_->abort != NULL ? f->class_->abort(f) : TUG_ABORT_LATER;
    if (said == TUG_ABORT_DONE && f->state == TUG__FUTURE_PENDING) {
        tug_error dropped;
        tug__error_plain(&dropped, TUG_EDROPPED);
        tug_future_fail(f, &dropped);
    }
    f->refs--;
}

void tug_future_cancel(tug_future *f)
{
    if (f == NULL || (f->flags & TUG__FUTURE_STATIC) != 0 || is_elsewhere(f, "tug_future_cancel")) {
        return;
    }
    abort_future(f);
    if (f->refs == 0 && f->state != TUG__FUTURE_PENDING) {
        release(f);
    }
}

/* --- references --------------------------------------------------------------------------------- */

tug_future *tug_future_ref(tug_future *f)
{
    if ((f->flags & TUG__FUTURE_STATIC) == 0) {
        f->refs++;
    }
    return f;
}

static void report_forgotten(const tug_future *f)
{
    tug_log(TUG_LOG_WARN, "future",
            "a pending %s was released without ever being awaited, watched, cancelled or detached: "
            "a forgotten await?",
            f->class_->name);
    tug__debug_violation("a pending %s was forgotten", f->class_->name);
}

/* The last reference of a pending future. */
static __attribute__((noinline)) void forget(tug_future *f)
{
    if ((f->flags & TUG__FUTURE_USED) == 0 && !tug__in_cancelled_scope()) {
        report_forgotten(f);
    }
    abort_future(f);
    if (f->state != TUG__FUTURE_PENDING) {
        release(f);
    } /* else it goes when it is settled */
}

static inline void unref(tug_future *f)
{
    if (f == NULL || (f->flags & TUG__FUTURE_STATIC) != 0 ||
        !tug__is_here_void(f->loop, "tug_future_unref")) {
        return;
    }
    assert(f->refs > 0 && "one unref too many");
    if (--f->refs > 0) {
        return;
    }
    if (__builtin_expect(f->state == TUG__FUTURE_PENDING, 0)) {
        forget(f);
    } else {
        release(f);
    }
}

tug_future *tug_future_unref(tug_future *f)
{
    unref(f);
    return NULL;
}

static inline void drop(tug_future *f)
{
    /* The static ones are of all threads: not even a flag of theirs is written. */
    if (f != NULL && (f->flags & TUG__FUTURE_STATIC) == 0 &&
        tug__is_here_void(f->loop, "tug_future_drop")) {
        f->flags |= TUG__FUTURE_USED;
        f->is_read = true;
        unref(f);
    }
}

void tug_future_drop(tug_future *f)
{
    drop(f);
}

/* The last reference of a settled future that leaves nothing to do than to put it into its free list. */
static inline bool is_plain_end(const tug_future *f, const struct tug_loop *loop)
{
    return f->refs == 1 && f->loop == loop && f->state != TUG__FUTURE_PENDING &&
           (f->flags & (TUG__FUTURE_REST | TUG__FUTURE_STATIC)) == 0 && f->value == NULL &&
           f->class_->destroy == NULL && f->size_class != CLASS_NONE;
}

/* A chain of plain ends of one size goes into the free list at once: one by one, each would wait for the
 * list's head as the one before has stored it. Ends before the first that is something else. */
static size_t drop_plain(struct futures *all, const struct tug_loop *loop, tug_future **f, size_t n)
{
    uint8_t size_class = f[0]->size_class;
    tug_future *head = all->free[size_class];
    size_t i;
    for (i = 0; i < n && f[i] != NULL; i++) {
        tug_future *one = f[i];
        __builtin_prefetch(f[i + TUG__FUTURES_AHEAD < n ? i + TUG__FUTURES_AHEAD : i], 1);
        if (one->size_class != size_class || !is_plain_end(one, loop)) {
            break;
        }
        one->refs = 0;
        one->value = head;
        head = one;
        f[i] = NULL;
    }
    all->free[size_class] = head;
    all->live -= i;
    return i;
}

void tug_future_drop_all(tug_future **f, size_t n)
{
    const struct tug_loop *loop = tug__loop;
    for (size_t i = 0; i < n;) {
        if (f[i] != NULL && is_plain_end(f[i], loop)) {
            i += drop_plain(futures_of(f[i]->loop), loop, f + i, n - i);
        } else {
            drop(f[i]);
            f[i++] = NULL;
        }
    }
}

void tug_future_detach(tug_future *f)
{
    if (f == NULL || is_elsewhere(f, "tug_future_detach")) {
        return;
    }
    if (f->rc < 0 && !f->is_read) { /* it has failed at once, and nobody has looked */
        log_detached(f);
    }
    if ((f->flags & TUG__FUTURE_STATIC) != 0) {
        return;
    }
    f->flags |= TUG__FUTURE_USED | TUG__FUTURE_DETACHED;
    if (--f->refs == 0 && f->state != TUG__FUTURE_PENDING) {
        release(f);
    }
}

/* --- looking and taking ------------------------------------------------------------------------- */

bool tug_future_is_settled(const tug_future *f)
{
    return f->state != TUG__FUTURE_PENDING;
}

const tug_error *tug_future_error(const tug_future *f)
{
    static __thread tug_error plain;
    tug__future_mark_read((tug_future *)f);
    if (f->error != NULL) {
        return f->error;
    }
    tug__error_plain(&plain, f->rc);
    plain.sent = f->sent;
    return &plain;
}

void *tug_future_payload(tug_future *f)
{
    return f->payload;
}

const tug_future_class *tug_future_class_of(const tug_future *f)
{
    return f->class_;
}

int tug_future_take(tug_future *f, const tug_future_class *class_, void **ret_value)
{
    if ((f->flags & TUG__FUTURE_STATIC) == 0 && !tug__is_here(f->loop, "a take")) {
        return TUG_EMISUSE;
    }
    if (f->state == TUG__FUTURE_FAILED) {
        return tug_fail_with(tug_future_error(f));
    }
    if (f->class_ != class_) {
        return tug_fail(TUG_EMISUSE, "this future is a %s, not a %s", f->class_->name,
                        class_->name);
    }
    if (f->state == TUG__FUTURE_PENDING) {
        return tug_fail(TUG_EMISUSE, "the %s is not settled yet: await it first", class_->name);
    }
    if (f->state == TUG__FUTURE_TAKEN) {
        return tug_fail(TUG_EMISUSE, "the result of this %s was taken before", class_->name);
    }
    f->state = TUG__FUTURE_TAKEN;
    *ret_value = f->value;
    f->value = NULL;
    return 0;
}

/* --- watchers and the deadline ------------------------------------------------------------------ */

/* The static futures have no place for watchers of their own. */
struct lent_watch {
    tug_call call;
    tug_future *future;
    void (*fn)(tug_future *f, void *arg);
    void *arg;
};

static void run_lent_watch(void *arg)
{
    struct lent_watch *w = arg;
    w->fn(w->future, w->arg);
    tug_free(w);
}

static void watch_static(tug_future *f, void (*fn)(tug_future *f, void *arg), void *arg)
{
    /* Not even these bytes, or no loop that could call: a call now is better than one that never comes. */
    struct lent_watch *w = tug__loop != NULL ? tug_calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        fn(f, arg);
        return;
    }
    w->future = f;
    w->fn = fn;
    w->arg = arg;
    tug_call_soon(&w->call, run_lent_watch, w);
}

void tug_future_on_settled(tug_future *f, void (*fn)(tug_future *f, void *arg), void *arg)
{
    if ((f->flags & TUG__FUTURE_STATIC) != 0) {
        watch_static(f, fn, arg);
        return;
    }
    if (is_elsewhere(f, "tug_future_on_settled")) {
        return;
    }
    assert((f->flags & TUG__FUTURE_WATCHED) == 0 && "a future has one watcher");
    f->flags |= TUG__FUTURE_WATCHED | TUG__FUTURE_USED;
    f->watch = fn;
    f->watch_arg = arg;
    f->is_read = true;
    if (f->state != TUG__FUTURE_PENDING) {
        tug_call_soon(&f->call, run_watcher, f);
    }
}

static void on_deadline(tug_timer *t, void *arg)
{
    tug_future *f = arg;
    (void)t;
    if ((f->flags & TUG__FUTURE_ABORTED) ==
        0) { /* else somebody has cancelled it: that is the cause */
        f->flags |= TUG__FUTURE_TIMED_OUT;
    }
    tug_future_cancel(f);
}

tug_future *tug_future_timeout(tug_future *f, tug_duration d)
{
    if (is_elsewhere(f, "tug_future_timeout") || f->state != TUG__FUTURE_PENDING ||
        d == TUG_FOREVER) {
        return f;
    }
    f->flags |= TUG__FUTURE_USED;
    if (f->deadline == NULL) {
        f->deadline = tug_calloc(1, sizeof *f->deadline);
    }
    if (f->deadline ==
        NULL) { /* no deadline can be kept: better an error now than a wait for ever */
        f->flags |= TUG__FUTURE_STARVED;
        tug_future_cancel(f);
        return f;
    }
    f->flags |= TUG__FUTURE_REST;
    tug__timer_start_in(&f->loop->calendar, &f->deadline->timer, d, on_deadline, f);
    tug__loop_touch(f->loop);
    return f;
}
