/* What: a wait on several things. It brings a wait record for each; whoever has something for one of them
 * hands it over as to any other task, and in that moment all the other records are unlinked. So at most
 * one of them ever gets something. */
#include <tug/select.h>

#include <tug/sys/alloc.h>

#include "kit/queue.h"
#include "kit/sync.h"

enum {
    WAITS_INLINE = 16,
    CASES_MOST = 1 << 20 /* a length that went wrong is not worth its memory */
};

struct selection;

struct case_wait {
    struct tug__wait wait; /* first: notify gets it */
    struct selection *of;
    size_t index;
    void *cell; /* where the item goes */
};

struct selection {
    struct case_wait *waits;
    size_t n;
    struct case_wait *claimed; /* NULL: none yet */
    int code;
    tug_waiters parked;
};

/* --- what is there already ------------------------------------------------------------------- */

static bool is_ready(const tug_select_case *c)
{
    switch (c->kind) {
    case TUG_SELECT_GET:
        return tug__queue_can_get(c->of);
    case TUG_SELECT_PUT:
        return tug__queue_can_put(c->of);
    case TUG_SELECT_FUTURE:
        return tug_future_is_settled(c->of);
    case TUG_SELECT_EVENT:
        return tug_event_is_set(c->of);
    default:
        return tug_semaphore_permits(c->of) > 0;
    }
}

/* n if none is. A start that rotates would favour whoever stands behind a gap; so one of those that are
 * ready is drawn. */
static size_t draw_ready(const tug_select_case *cases, size_t n)
{
    size_t ready = 0, first = n;
    for (size_t i = n; i-- > 0;) {
        if (is_ready(&cases[i])) {
            ready++;
            first = i;
        }
    }
    if (ready <= 1) {
        return first;
    }
    size_t skip = (size_t)(tug_random() % ready);
    for (size_t i = first;; i++) {
        if (is_ready(&cases[i]) && skip-- == 0) {
            return i;
        }
    }
}

/* It is ready, so that nothing here waits. */
static void claim(tug_select_case *c)
{
    switch (c->kind) {
    case TUG_SELECT_GET:
        c->rc = tug_queue_try_next(c->of, &c->item);
        break;
    case TUG_SELECT_PUT:
        c->rc = tug_queue_try_put(c->of, c->item);
        break;
    case TUG_SELECT_FUTURE:
        tug__future_mark_read(c->of);
        c->rc = ((const tug_future *)c->of)->rc;
        break;
    case TUG_SELECT_EVENT:
        c->rc = 0;
        break;
    default:
        c->rc = tug_semaphore_try(c->of) ? 0 : TUG_ECLOSED;
        break;
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

static void unlink_all(struct selection *s)
{
    for (size_t i = 0; i < s->n; i++) {
        tug__waiters_remove(&s->waits[i].wait);
    }
}

static void on_claimed(struct tug__wait *w, int code, const tug_error *why)
{
    struct case_wait *mine = (struct case_wait *)w;
    struct selection *s = mine->of;
    (void)why;
    s->claimed = mine;
    s->code = code;
    unlink_all(s);
    /* Nobody is parked if a cancel came before; the task finds what was handed over when it runs. */
    tug_unpark_first(&s->parked, 0, NULL);
}

static tug_waiters *list_of(const tug_select_case *c)
{
    switch (c->kind) {
    case TUG_SELECT_GET:
        return tug__queue_takers(c->of);
    case TUG_SELECT_PUT:
        return tug__queue_putters(c->of);
    case TUG_SELECT_FUTURE:
        return &((tug_future *)c->of)->waiters;
    case TUG_SELECT_EVENT:
        return tug__event_waiters(c->of);
    default:
        return tug__semaphore_waiters(c->of);
    }
}

static void link_all(struct selection *s, const tug_select_case *cases)
{
    for (size_t i = 0; i < s->n; i++) {
        struct case_wait *w = &s->waits[i];
        *w = (struct case_wait){.of = s, .index = i};
        w->wait.notify = on_claimed;
        w->wait.task = tug__current();
        w->wait.what = "select";
        w->wait.slot = cases[i].kind == TUG_SELECT_PUT ? cases[i].item : &w->cell;
        tug__waiters_push(list_of(&cases[i]), &w->wait);
    }
}

static int wait_for_one(tug_select_case *cases, size_t n, size_t *ret_index)
{
    struct case_wait inline_waits[WAITS_INLINE];
    struct selection s = {.waits = inline_waits, .n = n};
    if (n > WAITS_INLINE) {
        s.waits = tug_alloc(n * sizeof *s.waits);
        if (s.waits == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory to wait for %zu things", n);
        }
    }
    link_all(&s, cases);
    int rc = tug_park(&s.parked, NULL, "select");
    if (s.claimed != NULL) {
        tug_select_case *c = &cases[s.claimed->index];
        c->rc = s.code;
        if (c->kind == TUG_SELECT_GET && s.code > 0) {
            c->item = s.claimed->cell;
        }
        *ret_index = s.claimed->index;
        rc = 0;
    } else {
        unlink_all(&s);
    }
    if (s.waits != inline_waits) {
        tug_free(s.waits);
    }
    return rc;
}

/* A record is linked into each of them: of another thread's loop that would be a race. */
static bool is_of_this_loop(const tug_select_case *c)
{
    const tug_future *f = c->of;
    switch (c->kind) {
    case TUG_SELECT_GET:
    case TUG_SELECT_PUT:
        return tug__queue_is_here(c->of, "tug_select");
    case TUG_SELECT_FUTURE:
        return (f->flags & TUG__FUTURE_STATIC) != 0 || tug__is_here(f->loop, "tug_select");
    case TUG_SELECT_EVENT:
        return tug__event_is_here(c->of, "tug_select");
    default:
        return tug__semaphore_is_here(c->of, "tug_select");
    }
}

static int check_cases(const tug_select_case *cases, size_t n)
{
    if (n == 0 || n > CASES_MOST) {
        return tug_fail(TUG_EINVAL, "tug_select takes 1 to %d cases, not %zu", CASES_MOST, n);
    }
    for (size_t i = 0; i < n; i++) {
        const tug_select_case *c = &cases[i];
        if (c->kind < TUG_SELECT_GET || c->kind > TUG_SELECT_SEMAPHORE || c->of == NULL) {
            return tug_fail(TUG_EINVAL,
                            "case %zu of tug_select is not one: make it with tug_select_*", i);
        }
        if (!is_of_this_loop(c)) {
            return TUG_EMISUSE;
        }
        if (c->kind == TUG_SELECT_FUTURE) {
            tug__future_mark_used(c->of);
        }
    }
    return 0;
}

int tug_select(tug_select_case *cases, size_t n, size_t *ret_index)
{
    struct tug_task *t = tug__need_task("tug_select");
    int rc = t != NULL ? check_cases(cases, n) : TUG_EMISUSE;
    if (rc < 0) {
        return rc;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    size_t i = draw_ready(cases, n);
    if (i == n) {
        return wait_for_one(cases, n, ret_index);
    }
    claim(&cases[i]);
    *ret_index = i;
    return tug__claimed(0);
}
