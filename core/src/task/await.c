/* What: waiting for futures: one, all, any. A wait on several brings a record for each on the heap (or 16
 * on the stack) and unlinks the others in the moment it ends. */
#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "task/await.h"
#include "task/run.h"

enum {
    WAITS_INLINE = 16
};

static bool is_ours(const tug_future *f, const char *what)
{
    if (f->loop == tug__loop || (f->flags & TUG__FUTURE_STATIC) != 0) {
        return true;
    }
    tug_fail(TUG_EMISUSE, "%s: this future belongs to the loop of another thread", what);
    return false;
}

struct tug_task *tug__await_check(const tug_future *f, const char *what)
{
    struct tug_task *t = tug__need_task(what);
    return t != NULL && is_ours(f, what) ? t : NULL;
}

/* An await that need not wait, or must not. */
static __attribute__((noinline)) int await_slowly(tug_future *f, uintptr_t frame)
{
    struct tug_task *t = tug__await_check(f, "tug_await");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    tug__check_task(t, frame);
    tug__future_mark_used(f);
    if (t->interrupted) {
        return tug__canceled();
    }
    if (f->state == TUG__FUTURE_PENDING) {
        return tug__park(tug__loop, t, &f->waiters, NULL, f->class_->name, TUG__TASK_WAITING);
    }
    if (!tug__spend_credit(t)) {
        int rc = tug_checkpoint();
        if (rc < 0) {
            return rc;
        }
    }
    return f->rc < 0 ? tug__await_result(f) : f->rc;
}

TUG__ENTRY int tug_await(tug_future *f)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = tug__current();
    if (!tug__is_plain(t) || f->state != TUG__FUTURE_PENDING || tug__unlikely(f->loop != loop)) {
        return await_slowly(f, TUG__CALLERS_FRAME);
    }
    f->flags |= TUG__FUTURE_USED;
    return tug__park(loop, t, &f->waiters, NULL, f->class_->name, TUG__TASK_WAITING);
}

void tug__await_stopped(tug_future *f)
{
    tug_future_cancel(f);
    if (f->state == TUG__FUTURE_PENDING) {
        TUG_IGNORE(tug_park_uncancellable(&f->waiters, NULL, f->class_->name));
    }
}

/* --- several ------------------------------------------------------------------------------------ */

struct multi;
struct multi_wait {
    struct tug__wait wait; /* first: notify gets it */
    struct multi *of;
    size_t index;
};

struct multi {
    struct tug_task *task;
    size_t pending; /* not settled */
    size_t until;   /* wake when so few are pending */
    bool stop_on_error;
    bool woken;
    size_t failed;  /* index of the first that failed; SIZE_MAX: none */
    size_t settled; /* index of the first that settled */
    tug_waiters parked;
};

static void multi_notify(struct tug__wait *w, int code, const tug_error *why)
{
    struct multi_wait *one = (struct multi_wait *)w;
    struct multi *m = one->of;
    (void)why;
    m->pending--;
    if (m->settled == SIZE_MAX) {
        m->settled = one->index;
    }
    if (code < 0 && m->failed == SIZE_MAX) {
        m->failed = one->index;
    }
    if (!m->woken && (m->pending <= m->until || (m->stop_on_error && m->failed != SIZE_MAX))) {
        m->woken = true;
        tug_unpark_first(&m->parked, 0, NULL);
    }
}

/* Links a record into each pending future, waits as m says, unlinks what is left. */
static int multi_wait(struct multi *m, tug_future **f, size_t n, struct multi_wait *waits)
{
    size_t linked = 0;
    for (size_t i = 0; i < n; i++) {
        if (f[i]->state == TUG__FUTURE_PENDING) {
            struct multi_wait *w = &waits[linked++];
            memset(w, 0, sizeof *w);
            w->wait.notify = multi_notify;
            w->of = m;
            w->index = i;
            tug__waiters_push(&f[i]->waiters, &w->wait);
        }
    }
    int rc = tug_park(&m->parked, NULL, "futures");
    for (size_t i = 0; i < linked; i++) {
        tug__waiters_remove(&waits[i].wait);
    }
    return rc;
}

static int multi_run(struct multi *m, tug_future **f, size_t n)
{
    struct multi_wait inline_waits[WAITS_INLINE];
    struct multi_wait *waits = inline_waits;
    if (m->pending > WAITS_INLINE) {
        waits = tug_alloc(m->pending * sizeof *waits);
        if (waits == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory to wait for %zu futures", n);
        }
    }
    int rc = multi_wait(m, f, n, waits);
    if (waits != inline_waits) {
        tug_free(waits);
    }
    return rc;
}

/* How many there are at the front that are settled and have not failed: of many, nearly all. */
static size_t count_good(const struct tug_loop *loop, tug_future **f, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        __builtin_prefetch(f[i + TUG__FUTURES_AHEAD < n ? i + TUG__FUTURES_AHEAD : i], 1);
        if (f[i]->loop != loop || f[i]->state == TUG__FUTURE_PENDING || f[i]->rc < 0) {
            break;
        }
        f[i]->flags |= TUG__FUTURE_USED;
    }
    return i;
}

static void survey_one(struct multi *m, tug_future *f, size_t i)
{
    tug__future_mark_used(f);
    if (f->state == TUG__FUTURE_PENDING) {
        m->pending++;
        return;
    }
    if (m->settled == SIZE_MAX) {
        m->settled = i;
    }
    if (f->rc < 0 && m->failed == SIZE_MAX) {
        m->failed = i;
    }
}

/* Checks all, counts what is pending and finds the first failure, in one pass. */
static int survey(struct multi *m, tug_future **f, size_t n, const char *what)
{
    m->task = tug__need_task(what);
    if (m->task == NULL) {
        return TUG_EMISUSE;
    }
    m->failed = SIZE_MAX;
    size_t i = count_good(tug__loop, f, n);
    m->settled = i > 0 ? 0 : SIZE_MAX;
    for (; i < n; i++) {
        __builtin_prefetch(f[i + TUG__FUTURES_AHEAD < n ? i + TUG__FUTURES_AHEAD : i], 1);
        if (!is_ours(f[i], what)) {
            return TUG_EMISUSE;
        }
        survey_one(m, f[i], i);
    }
    return 0;
}

static void stop_all(tug_future **f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i]->state == TUG__FUTURE_PENDING) {
            tug_future_cancel(f[i]);
        } else if (f[i]->rc < 0) {
            tug__future_mark_read(f[i]); /* the caller is told of one, and that is enough */
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (f[i]->state == TUG__FUTURE_PENDING) {
            tug__await_stopped(f[i]);
        }
    }
}

int tug__await_check_loop(tug_future **f, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_ours(f[i], what)) {
            return TUG_EMISUSE;
        }
    }
    return tug_has_loop(what) ? 0 : TUG_EMISUSE;
}

int tug__await_check_all(tug_future **f, size_t n, const char *what)
{
    return tug__need_task(what) == NULL ? TUG_EMISUSE : tug__await_check_loop(f, n, what);
}

static int gather(tug_future **f, size_t n, bool stop_on_error)
{
    struct multi m = {.stop_on_error = stop_on_error};
    int rc = survey(&m, f, n, "tug_gather");
    if (rc < 0) {
        return rc;
    }
    if (m.task->interrupted) {
        rc = TUG_ECANCELED;
    } else if (m.pending == 0 || (stop_on_error && m.failed != SIZE_MAX)) {
        rc = tug_checkpoint();
    } else {
        rc = multi_run(&m, f, n);
    }
    if (rc < 0 || (stop_on_error && m.failed != SIZE_MAX)) {
        stop_all(f, n);
    }
    if (rc == TUG_ECANCELED) {
        return tug__canceled();
    }
    return rc == 0 && stop_on_error && m.failed != SIZE_MAX ? tug__await_result(f[m.failed]) : rc;
}

TUG__ENTRY int tug_gather(tug_future **f, size_t n)
{
    tug__check_entry(TUG__CALLERS_FRAME);
    return gather(f, n, true);
}

TUG__ENTRY int tug_gather_settled(tug_future **f, size_t n)
{
    tug__check_entry(TUG__CALLERS_FRAME);
    return gather(f, n, false);
}

TUG__ENTRY int tug_wait_any(tug_future **f, size_t n, size_t *ret_index)
{
    tug__check_entry(TUG__CALLERS_FRAME);
    struct multi m = {.stop_on_error = false};
    int rc = survey(&m, f, n, "tug_wait_any");
    if (rc == 0 && n == 0) {
        rc = tug_fail(TUG_EINVAL, "tug_wait_any needs at least one future");
    }
    if (rc < 0) {
        return rc;
    }
    if (m.settled != SIZE_MAX || m.task->interrupted) {
        rc = tug_checkpoint();
    } else {
        m.until = m.pending - 1;
        rc = multi_run(&m, f, n);
    }
    if (rc == 0) {
        *ret_index = m.settled;
    }
    return rc;
}

TUG__ENTRY int tug_wait_first_error(tug_future **f, size_t n, size_t *ret_index)
{
    tug__check_entry(TUG__CALLERS_FRAME);
    struct multi m = {.stop_on_error = true};
    int rc = survey(&m, f, n, "tug_wait_first_error");
    if (rc < 0) {
        return rc;
    }
    if (m.pending == 0 || m.failed != SIZE_MAX || m.task->interrupted) {
        rc = tug_checkpoint();
    } else {
        rc = multi_run(&m, f, n);
    }
    if (rc == 0) {
        *ret_index = m.failed != SIZE_MAX ? m.failed : n;
    }
    return rc;
}
