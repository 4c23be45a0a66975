/* What: waiting for futures: one, all, any. A wait on several brings a record for each on the heap (or 16
 * on the stack) and unlinks the others in the moment it ends. */
#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "task/task.h"

enum {
    WAITS_INLINE = 16,
    PREFETCH_AHEAD = 4
};

/* The code of a settled future, its detail handed to the calling task. */
static int result_of(const tug_future *f)
{
    if (f->rc < 0) {
        tug_error *mine = tug__error_current();
        if (f->error != NULL) {
            tug__error_copy(mine, f->error);
        } else {
            tug__error_plain(mine, f->rc);
        }
    }
    return f->rc;
}

static struct tug_task *check(const tug_future *f, const char *what)
{
    struct tug_task *t = tug__need_task(what);
    if (t != NULL && f != NULL && f->loop != tug__loop && (f->flags & TUG__FUTURE_STATIC) == 0) {
        tug_fail(TUG_EMISUSE, "%s: this future belongs to the loop of another thread", what);
        return NULL;
    }
    return t;
}

int tug_await(tug_future *f)
{
    struct tug_task *t = check(f, "tug_await");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    f->flags |= TUG__FUTURE_USED;
    if (t->interrupted) {
        return tug__canceled();
    }
    if (f->state != TUG__FUTURE_PENDING) {
        int rc = tug_checkpoint();
        return rc < 0 ? rc : result_of(f);
    }
    return tug_park(&f->waiters, NULL, f->class_->name);
}

/* Cancels f and waits until its abort said done or it has settled; no cancel cuts this short. */
static void stop_and_wait(tug_future *f)
{
    tug_future_cancel(f);
    if (f->state == TUG__FUTURE_PENDING) {
        TUG_IGNORE(tug_park_uncancellable(&f->waiters, NULL, f->class_->name));
    }
}

int tug_await_own(tug_future *f)
{
    struct tug_task *t = check(f, "an operation");
    f->flags |= TUG__FUTURE_USED;
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    bool on_entry =
        t->interrupted; /* then nothing happens: not even what was ready at once is taken */
    int rc = TUG_ECANCELED;
    if (!on_entry) {
        if (f->state != TUG__FUTURE_PENDING) {
            rc = tug_checkpoint();
            return rc < 0 ? rc : result_of(f);
        }
        rc = tug_park(&f->waiters, NULL, f->class_->name);
    }
    if (rc != TUG_ECANCELED) {
        return rc;
    }
    stop_and_wait(f);
    if (f->rc == 0) {
        return on_entry ? tug__canceled() : 0;
    }
    rc = result_of(f);
    if (rc == TUG_EDROPPED) { /* our own cancel: how far it got stays in the detail */
        tug_error *mine = tug__error_current();
        uint8_t sent = mine->sent;
        tug__error_plain(mine, TUG_ECANCELED);
        mine->sent = sent;
        rc = TUG_ECANCELED;
    }
    return rc;
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

/* Counts what is pending and finds the first failure. */
static void survey(struct multi *m, tug_future **f, size_t n)
{
    m->task = tug__current();
    m->failed = SIZE_MAX;
    m->settled = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            __builtin_prefetch(f[i + PREFETCH_AHEAD]);
        }
        f[i]->flags |= TUG__FUTURE_USED;
        if (f[i]->state == TUG__FUTURE_PENDING) {
            m->pending++;
            continue;
        }
        if (m->settled == SIZE_MAX) {
            m->settled = i;
        }
        if (f[i]->rc < 0 && m->failed == SIZE_MAX) {
            m->failed = i;
        }
    }
}

static void stop_all(tug_future **f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i]->state == TUG__FUTURE_PENDING) {
            tug_future_cancel(f[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (f[i]->state == TUG__FUTURE_PENDING) {
            stop_and_wait(f[i]);
        }
    }
}

static int check_all(tug_future **f, size_t n, const char *what)
{
    if (tug__need_task(what) == NULL) {
        return TUG_EMISUSE;
    }
    for (size_t i = 0; i < n; i++) {
        if (check(f[i], what) == NULL) {
            return TUG_EMISUSE;
        }
    }
    return 0;
}

static int gather(tug_future **f, size_t n, bool stop_on_error)
{
    struct multi m = {.stop_on_error = stop_on_error};
    int rc = check_all(f, n, "tug_gather");
    if (rc < 0) {
        return rc;
    }
    survey(&m, f, n);
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
    return rc == 0 && stop_on_error && m.failed != SIZE_MAX ? result_of(f[m.failed]) : rc;
}

int tug_gather(tug_future **f, size_t n)
{
    return gather(f, n, true);
}

int tug_gather_settled(tug_future **f, size_t n)
{
    return gather(f, n, false);
}

int tug_wait_any(tug_future **f, size_t n, size_t *ret_index)
{
    struct multi m = {.stop_on_error = false};
    int rc = check_all(f, n, "tug_wait_any");
    if (rc == 0 && n == 0) {
        rc = tug_fail(TUG_EINVAL, "tug_wait_any needs at least one future");
    }
    if (rc < 0) {
        return rc;
    }
    survey(&m, f, n);
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
