/* What: futures in the order in which they settle. A record in each of them puts its index behind those that
 * are ready, or hands it to a task that waits: each costs the same, however many there are. */
#include <string.h>
#include <tug/sys/alloc.h>

#include "task/await.h"

struct record {
    struct tug__wait wait; /* first: notify gets it */
    tug_completed *of;
};

struct tug_completed {
    struct tug_loop *loop;
    size_t refs; /* the owner's, and tasks inside next */
    size_t n;
    size_t given;   /* taken from the front of ready */
    size_t settled; /* in ready in all */
    bool is_closed;
    tug_waiters takers; /* slot: size_t *, where the index goes. If any, given == settled */
    size_t *ready;      /* n of them: indices in the order of settling */
    struct record records[];
};

static void completed_unref(tug_completed *c)
{
    if (--c->refs == 0) {
        tug_free(c->ready);
        tug_free(c);
    }
}

/* An index, or the end, to the tasks that wait. */
static void give(tug_completed *c)
{
    size_t *to;
    while (c->given < c->settled && (to = tug_waiters_slot(&c->takers)) != NULL) {
        *to = c->ready[c->given++];
        tug_unpark_first(&c->takers, 1, NULL);
    }
    if (c->given == c->n) {
        tug_unpark_all(&c->takers, 0, NULL);
    }
}

static void on_settled(struct tug__wait *w, int code, const tug_error *why)
{
    struct record *r = (struct record *)w;
    tug_completed *c = r->of;
    (void)code;
    (void)why;
    c->ready[c->settled++] = (size_t)(r - c->records);
    give(c);
}

static void link_all(tug_completed *c, tug_future **f)
{
    for (size_t i = 0; i < c->n; i++) {
        tug__future_mark_used(f[i]);
        if (f[i]->state != TUG__FUTURE_PENDING) {
            c->ready[c->settled++] = i;
            continue;
        }
        struct record *r = &c->records[i];
        r->wait.notify = on_settled;
        r->wait.what = "as_completed";
        r->of = c;
        tug__waiters_push(&f[i]->waiters, &r->wait);
    }
}

int tug_as_completed(tug_future **f, size_t n, tug_completed **ret_completed)
{
    int rc = tug__await_check_loop(f, n, "tug_as_completed");
    if (rc < 0) {
        return rc;
    }
    tug_completed *c = NULL;
    if (n <= (SIZE_MAX - sizeof *c) / sizeof c->records[0]) {
        c = tug_calloc(1, sizeof *c + n * sizeof c->records[0]);
    }
    size_t *ready = tug_calloc(n, sizeof *ready);
    if (c == NULL || ready == NULL) {
        tug_free(c);
        tug_free(ready);
        return tug_fail(TUG_ENOMEM, "out of memory to follow %zu futures", n);
    }
    c->loop = tug__loop;
    c->refs = 1;
    c->n = n;
    c->ready = ready;
    link_all(c, f);
    *ret_completed = c;
    return 0;
}

/* 1 or 0 if that is known without waiting, else -1. */
static int take(tug_completed *c, size_t *ret_index)
{
    if (c->given < c->settled) {
        *ret_index = c->ready[c->given++];
        give(c); /* the last one was taken by hand: whoever waits learns that there is no more */
        return 1;
    }
    return c->given == c->n ? 0 : -1;
}

int tug_completed_next(tug_completed *c, size_t *ret_index)
{
    if (!tug__is_here(c->loop, "tug_completed_next") ||
        tug__need_task("tug_completed_next") == NULL) {
        return TUG_EMISUSE;
    }
    if (c->given == c->settled && c->given < c->n) {
        return tug_park(&c->takers, ret_index, "as_completed");
    }
    c->refs++; /* the checkpoint may yield: others may take what is there, or close */
    int rc = tug_checkpoint();
    bool must_wait = false;
    if (rc == 0) {
        rc = c->is_closed ? tug_fail(TUG_ECLOSED, "closed") : take(c, ret_index);
        must_wait = rc == -1;
    }
    completed_unref(c);
    return must_wait ? tug_park(&c->takers, ret_index, "as_completed") : rc;
}

void tug_completed_close(tug_completed *c)
{
    if (c == NULL || !tug__is_here_or_adopts_void(&c->loop, "tug_completed_close")) {
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        tug__waiters_remove(&c->records[i].wait);
    }
    c->is_closed = true;
    tug_unpark_all(&c->takers, TUG_ECLOSED, NULL);
    completed_unref(c);
}
