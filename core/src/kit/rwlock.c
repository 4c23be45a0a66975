/* What: many readers or one writer, from one FIFO of requests. Whoever stands first goes first, so writers
 * do not starve; readers at the front go in together. Each reader has a record of its own, in the task's
 * list of holds: so an unlock knows who it is, and the end of a task what it left behind. */
#include <stddef.h>
#include <tug/sys/alloc.h>

#include "kit/sync.h"
#include "loop/loop.h"
#include "task/hold.h"

struct tug_rwlock {
    struct tug__hold writer; /* first: abandoned gets it */
    struct tug_loop *loop;
    size_t refs;
    size_t pins;         /* holders, and waits that have not returned: the memory stays for them */
    size_t readers;      /* that hold it */
    tug_waiters waiters; /* slot: the reader's record; NULL: to write */
    bool is_broken;
    char broken_by[TUG__LABEL_SIZE];
};

struct reader {
    struct tug__hold hold; /* first: abandoned gets it */
    tug_rwlock *of;
};

static void unpin(tug_rwlock *l)
{
    if (--l->pins == 0 && l->refs == 0) {
        tug_free(l);
    }
}

/* --- who has it ------------------------------------------------------------------------------ */

/* reader NULL: to write. */
static void give(tug_rwlock *l, struct tug_task *t, struct reader *reader)
{
    if (reader != NULL) {
        l->readers++;
        tug__hold_take(&reader->hold, t);
    } else {
        tug__hold_take(&l->writer, t);
    }
    l->pins++;
}

static bool may_have(const tug_rwlock *l, bool to_write)
{
    return l->writer.task == NULL && (!to_write || l->readers == 0);
}

static void serve(tug_rwlock *l)
{
    const struct tug__wait *w;
    while ((w = l->waiters.first) != NULL && may_have(l, w->slot == NULL)) {
        give(l, w->task, w->slot);
        tug_unpark_first(&l->waiters, 0, NULL);
    }
}

static void broken(const tug_rwlock *l, tug_error *ret_why)
{
    tug_error_set(ret_why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "the lock is broken: %s ended while it held it for writing", l->broken_by);
}

static void on_writer_ended(struct tug__hold *h, struct tug_task *t)
{
    tug_rwlock *l = (tug_rwlock *)h;
    tug_error why;
    tug__task_label(t, l->broken_by);
    l->is_broken = true;
    tug__sync_report("%s has ended and holds a lock for writing: the lock is broken", l->broken_by);
    broken(l, &why);
    tug_unpark_all(&l->waiters, TUG_ECLOSED, &why);
    unpin(l);
}

static void reader_leaves(struct reader *r)
{
    tug_rwlock *l = r->of;
    l->readers--;
    tug_free(r);
    serve(l);
    unpin(l);
}

/* It has changed nothing, so the others may go on. */
static void on_reader_ended(struct tug__hold *h, struct tug_task *t)
{
    char label[TUG__LABEL_SIZE];
    tug__sync_report("%s has ended and holds a lock for reading", tug__task_label(t, label));
    reader_leaves((struct reader *)h);
}

static struct reader *reader_of(const tug_rwlock *l, const struct tug_task *t)
{
    for (struct tug__hold *h = t->holds; h != NULL; h = h->next) {
        if (h->abandoned == on_reader_ended && ((struct reader *)h)->of == l) {
            return (struct reader *)h;
        }
    }
    return NULL;
}

/* --- its life -------------------------------------------------------------------------------- */

int tug_rwlock_new(tug_rwlock **ret_lock)
{
    tug_rwlock *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a lock");
    }
    l->writer.abandoned = on_writer_ended;
    l->loop = tug__loop;
    l->refs = 1;
    *ret_lock = l;
    return 0;
}

tug_rwlock *tug_rwlock_ref(tug_rwlock *l)
{
    l->refs++;
    return l;
}

tug_rwlock *tug_rwlock_unref(tug_rwlock *l)
{
    if (l != NULL && !tug__is_here_or_adopts_void(&l->loop, "tug_rwlock_unref")) {
        return NULL;
    }
    if (l != NULL && --l->refs == 0) {
        l->pins++;
        tug_unpark_all(&l->waiters, TUG_ECLOSED, NULL);
        unpin(l);
    }
    return NULL;
}

/* --- locking --------------------------------------------------------------------------------- */

static struct reader *make_reader(tug_rwlock *l)
{
    struct reader *r = tug_calloc(1, sizeof *r);
    if (r != NULL) {
        r->of = l;
        r->hold.abandoned = on_reader_ended;
    }
    return r;
}

static int refuse(const tug_rwlock *l, const struct tug_task *t)
{
    tug_error why;
    char label[TUG__LABEL_SIZE];
    if (l->is_broken) {
        broken(l, &why);
        return tug_fail_with(&why);
    }
    if (l->writer.task == t || reader_of(l, t) != NULL) {
        return tug_fail(TUG_EMISUSE, "%s holds this lock already, for %s: it would wait for itself",
                        tug__task_label(t, label), l->writer.task == t ? "writing" : "reading");
    }
    return 0;
}

static int wait_for(tug_rwlock *l, struct reader *reader)
{
    l->pins++;
    int rc = tug_park(&l->waiters, reader, reader != NULL ? "rwlock.read" : "rwlock.write");
    if (rc < 0) {
        tug_free(reader);
        /* A writer that gives up may have held back readers behind it. */
        serve(l);
    }
    unpin(l);
    return rc;
}

static int lock(tug_rwlock *l, bool to_write)
{
    struct tug_task *t = tug__need_task("locking");
    struct reader *reader = NULL;
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    int rc = refuse(l, t);
    if (rc < 0) {
        return rc;
    }
    if (!to_write && (reader = make_reader(l)) == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to lock for reading");
    }
    if (tug_waiters_any(&l->waiters) || !may_have(l, to_write)) {
        return wait_for(l, reader);
    }
    give(l, t, reader);
    return tug__claimed(0);
}

int tug_rwlock_read(tug_rwlock *l)
{
    if (!tug__is_here_or_adopts(&l->loop, "tug_rwlock_read")) {
        return TUG_EMISUSE;
    }
    return lock(l, false);
}

int tug_rwlock_write(tug_rwlock *l)
{
    if (!tug__is_here_or_adopts(&l->loop, "tug_rwlock_write")) {
        return TUG_EMISUSE;
    }
    return lock(l, true);
}

static bool try(tug_rwlock *l, bool to_write)
{
    struct tug_task *t = tug__current();
    if (t == NULL || l->is_broken || tug_waiters_any(&l->waiters) || !may_have(l, to_write) ||
        reader_of(l, t) != NULL) {
        return false;
    }
    struct reader *reader = to_write ? NULL : make_reader(l);
    if (reader == NULL && !to_write) {
        return false;
    }
    give(l, t, reader);
    return true;
}

bool tug_rwlock_try_read(tug_rwlock *l)
{
    if (!tug__is_here_or_adopts_void(&l->loop, "tug_rwlock_try_read")) {
        return false;
    }
    return try(l, false);
}

bool tug_rwlock_try_write(tug_rwlock *l)
{
    if (!tug__is_here_or_adopts_void(&l->loop, "tug_rwlock_try_write")) {
        return false;
    }
    return try(l, true);
}

int tug_rwlock_unlock(tug_rwlock *l)
{
    if (!tug__is_here_or_adopts(&l->loop, "tug_rwlock_unlock")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__current();
    if (t != NULL && l->writer.task == t) {
        tug__hold_drop(&l->writer);
        serve(l);
        unpin(l);
        return 0;
    }
    struct reader *r = t != NULL ? reader_of(l, t) : NULL;
    if (r == NULL) {
        return tug__sync_misuse("a lock is unlocked by a task that does not hold it");
    }
    tug__hold_drop(&r->hold);
    reader_leaves(r);
    return 0;
}
