/* What: a mutex that is handed from task to task. It is free only while nobody waits, so a newcomer
 * cannot overtake. Who holds it is in the task's own list, so that the end of a task finds it. */
#include <string.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"
#include "loop/loop.h"
#include "task/hold.h"

struct tug_mutex {
    struct tug__hold hold; /* first: abandoned gets it */
    struct tug_loop *loop;
    size_t refs;
    size_t pins;         /* the holder, and waits on conditions: the memory stays for them */
    tug_waiters waiters; /* slot: the task */
    bool is_broken;
    char broken_by[TUG__LABEL_SIZE];
};

static void unpin(tug_mutex *m)
{
    if (--m->pins == 0 && m->refs == 0) {
        tug_free(m);
    }
}

static void broken(const tug_mutex *m, tug_error *ret_why)
{
    tug_error_set(ret_why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "the mutex is broken: %s ended while it held it", m->broken_by);
}

static int refuse_broken(const tug_mutex *m)
{
    tug_error why;
    broken(m, &why);
    return tug_fail_with(&why);
}

static void on_abandoned(struct tug__hold *h, struct tug_task *t)
{
    tug_mutex *m = (tug_mutex *)h;
    tug_error why;
    tug__task_label(t, m->broken_by);
    m->is_broken = true;
    tug__sync_report("%s has ended and holds a mutex: the mutex is broken", m->broken_by);
    broken(m, &why);
    tug_unpark_all(&m->waiters, TUG_ECLOSED, &why);
    unpin(m);
}

int tug_mutex_new(tug_mutex **ret_mutex)
{
    tug_mutex *m = tug_calloc(1, sizeof *m);
    if (m == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a mutex");
    }
    m->hold.abandoned = on_abandoned;
    m->loop = tug__loop;
    m->refs = 1;
    *ret_mutex = m;
    return 0;
}

tug_mutex *tug_mutex_ref(tug_mutex *m)
{
    m->refs++;
    return m;
}

tug_mutex *tug_mutex_unref(tug_mutex *m)
{
    if (m != NULL && !tug__is_here_or_adopts_void(&m->loop, "tug_mutex_unref")) {
        return NULL;
    }
    if (m != NULL && --m->refs == 0) {
        tug_unpark_all(&m->waiters, TUG_ECLOSED, NULL);
        m->pins++;
        unpin(m);
    }
    return NULL;
}

/* --- locking --------------------------------------------------------------------------------- */

static void give(tug_mutex *m, struct tug_task *t)
{
    tug__hold_take(&m->hold, t);
    m->pins++;
}

int tug_mutex_lock(tug_mutex *m)
{
    if (!tug__is_here_or_adopts(&m->loop, "tug_mutex_lock")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_mutex_lock");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (m->is_broken) {
        return refuse_broken(m);
    }
    if (m->hold.task == t) {
        char label[TUG__LABEL_SIZE];
        return tug_fail(TUG_EMISUSE, "%s holds this mutex already: it would wait for itself",
                        tug__task_label(t, label));
    }
    if (m->hold.task != NULL) {
        return tug_park(&m->waiters, t, "mutex.lock");
    }
    give(m, t);
    return tug__claimed(0);
}

bool tug_mutex_try(tug_mutex *m)
{
    if (!tug__is_here_or_adopts_void(&m->loop, "tug_mutex_try")) {
        return false;
    }
    struct tug_task *t = tug__current();
    if (t == NULL || m->hold.task != NULL || m->is_broken) {
        return false;
    }
    give(m, t);
    return true;
}

static void unlock(tug_mutex *m)
{
    tug__hold_drop(&m->hold);
    struct tug_task *next = tug_waiters_slot(&m->waiters);
    if (next != NULL) {
        give(m, next);
        tug_unpark_first(&m->waiters, 0, NULL);
    }
    unpin(m);
}

int tug_mutex_unlock(tug_mutex *m)
{
    if (!tug__is_here_or_adopts(&m->loop, "tug_mutex_unlock")) {
        return TUG_EMISUSE;
    }
    struct tug_task *owner = m->hold.task;
    if (owner == NULL) {
        return tug__sync_misuse("a mutex is unlocked that nobody has locked");
    }
    if (owner != tug__current()) {
        char label[TUG__LABEL_SIZE];
        return tug__sync_misuse("a mutex is unlocked by another than its owner, %s",
                                tug__task_label(owner, label));
    }
    unlock(m);
    return 0;
}

bool tug_mutex_is_locked(const tug_mutex *m)
{
    return m->hold.task != NULL;
}

/* --- for conditions -------------------------------------------------------------------------- */

bool tug__mutex_let_go(tug_mutex *m)
{
    if (m->hold.task == NULL || m->hold.task != tug__current()) {
        return false;
    }
    m->pins++;
    unlock(m);
    return true;
}

int tug__mutex_lock_again(tug_mutex *m)
{
    int rc = 0;
    if (m->refs == 0) {
        rc = tug_fail(TUG_ECLOSED, "the mutex has gone that a wait on a condition let go");
    } else if (m->is_broken) {
        rc = refuse_broken(m);
    } else if (m->hold.task == NULL) {
        give(m, tug__current());
    } else {
        rc = tug_park_uncancellable(&m->waiters, tug__current(), "mutex.lock");
    }
    unpin(m);
    return rc;
}
