/* What: a meeting of n tasks. The list of waiters is the truth about who is there: a cancelled one has
 * left it in the moment of the cancel, before it runs. */
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

struct tug_barrier {
    struct tug_loop *loop;
    size_t refs;
    size_t parties;
    size_t arrived; /* in this round, those that were cancelled included: never too few */
    bool is_aborted;
    tug_waiters waiters; /* slot: size_t, which they were */
};

int tug_barrier_new(size_t parties, tug_barrier **ret_barrier)
{
    if (parties == 0) {
        return tug_fail(TUG_EINVAL, "a barrier needs at least one party");
    }
    tug_barrier *b = tug_calloc(1, sizeof *b);
    if (b == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a barrier");
    }
    b->loop = tug__loop;
    b->refs = 1;
    b->parties = parties;
    *ret_barrier = b;
    return 0;
}

tug_barrier *tug_barrier_ref(tug_barrier *b)
{
    b->refs++;
    return b;
}

tug_barrier *tug_barrier_unref(tug_barrier *b)
{
    if (b != NULL && !tug__is_here_or_adopts_void(&b->loop, "tug_barrier_unref")) {
        return NULL;
    }
    if (b != NULL && --b->refs == 0) {
        tug_unpark_all(&b->waiters, TUG_ECLOSED, NULL);
        tug_free(b);
    }
    return NULL;
}

size_t tug_barrier_waiting(const tug_barrier *b)
{
    size_t n = 0;
    for (const struct tug__wait *w = b->waiters.first; w != NULL; w = w->next) {
        n++;
    }
    return n;
}

/* All are there. The index of the last one, who does not wait. */
static size_t open_up(tug_barrier *b)
{
    size_t i = 0;
    size_t *index;
    b->arrived = 0;
    while ((index = tug_waiters_slot(&b->waiters)) != NULL) {
        *index = i++;
        tug_unpark_first(&b->waiters, 0, NULL);
    }
    return i;
}

static void dropped(tug_barrier *b, const char *how)
{
    tug_error why;
    tug_error_set(&why, TUG_EDROPPED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "the barrier was %s",
                  how);
    b->arrived = 0;
    tug_unpark_all(&b->waiters, TUG_EDROPPED, &why);
}

int tug_barrier_wait(tug_barrier *b, size_t *ret_index)
{
    if (!tug__is_here_or_adopts(&b->loop, "tug_barrier_wait")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_barrier_wait");
    size_t index = 0;
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (b->is_aborted) {
        return tug_fail(TUG_EDROPPED, "the barrier was aborted");
    }
    if (++b->arrived >= b->parties) {
        b->arrived = tug_barrier_waiting(b) + 1; /* counted only when it may matter */
    }
    int rc;
    if (b->arrived == b->parties) {
        index = open_up(b);
        rc = tug__claimed(0);
    } else {
        rc = tug_park(&b->waiters, &index, "barrier.wait");
    }
    if (rc == 0 && ret_index != NULL) {
        *ret_index = index;
    }
    return rc;
}

void tug_barrier_reset(tug_barrier *b)
{
    if (!tug__is_here_or_adopts_void(&b->loop, "tug_barrier_reset")) {
        return;
    }
    b->is_aborted = false;
    dropped(b, "reset");
}

void tug_barrier_abort(tug_barrier *b)
{
    if (!tug__is_here_or_adopts_void(&b->loop, "tug_barrier_abort")) {
        return;
    }
    b->is_aborted = true;
    dropped(b, "aborted");
}
