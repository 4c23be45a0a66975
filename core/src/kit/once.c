/* What: something to be done once. The right to run is handed over like a lock: after a failure to the one
 * who waits longest. */
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

enum {
    YOUR_TURN = 1 /* what the wait of the next runner returns */
};

struct tug_once {
    struct tug_loop *loop;
    size_t refs;
    size_t pins;             /* calls that have not returned: the memory stays for them */
    struct tug_task *runner; /* NULL: nobody runs it, and nobody waits */
    tug_waiters waiters;     /* slot: the task */
    bool is_done;
};

int tug_once_new(tug_once **ret_once)
{
    tug_once *o = tug_calloc(1, sizeof *o);
    if (o == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a once");
    }
    o->loop = tug__loop;
    o->refs = 1;
    *ret_once = o;
    return 0;
}

tug_once *tug_once_ref(tug_once *o)
{
    o->refs++;
    return o;
}

static void unpin(tug_once *o)
{
    if (--o->pins == 0 && o->refs == 0) {
        tug_free(o);
    }
}

tug_once *tug_once_unref(tug_once *o)
{
    if (o != NULL && !tug__is_here_or_adopts_void(&o->loop, "tug_once_unref")) {
        return NULL;
    }
    if (o != NULL && --o->refs == 0) {
        o->pins++;
        tug_unpark_all(&o->waiters, TUG_ECLOSED, NULL);
        unpin(o);
    }
    return NULL;
}

bool tug_once_is_done(const tug_once *o)
{
    return o->is_done;
}

static void pass_on(tug_once *o)
{
    o->runner = tug_waiters_slot(&o->waiters);
    tug_unpark_first(&o->waiters, YOUR_TURN, NULL);
}

static int run(tug_once *o, int (*fn)(void *arg), void *arg)
{
    if (tug__current()->interrupted) { /* was its turn, and cancelled before it could begin */
        pass_on(o);
        return tug__canceled();
    }
    int rc = fn(arg);
    if (rc < 0) {
        pass_on(o);
        return rc;
    }
    o->runner = NULL;
    o->is_done = true;
    tug_unpark_all(&o->waiters, 0, NULL);
    return 0;
}

int tug_once_run(tug_once *o, int (*fn)(void *arg), void *arg)
{
    if (!tug__is_here_or_adopts(&o->loop, "tug_once_run")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__need_task("tug_once_run");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (o->is_done) {
        return tug__claimed(0);
    }
    if (o->runner == t) {
        return tug_fail(TUG_EMISUSE, "tug_once_run inside its own function would wait for itself");
    }
    int rc = YOUR_TURN;
    o->pins++;
    if (o->runner == NULL) {
        o->runner = t;
    } else {
        rc = tug_park(&o->waiters, t, "once.run");
    }
    if (rc == YOUR_TURN) {
        rc = run(o, fn, arg);
    }
    unpin(o);
    return rc;
}
