/* What: waiting for a change of what a mutex guards. */
#include <tug/sys/alloc.h>

#include "kit/sync.h"

#include "loop/loop.h"

struct tug_condition {
    struct tug_loop *loop;
    size_t refs;
    tug_waiters waiters;
};

int tug_condition_new(tug_condition **ret_condition)
{
    tug_condition *c = tug_calloc(1, sizeof *c);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a condition");
    }
    c->loop = tug__loop;
    c->refs = 1;
    *ret_condition = c;
    return 0;
}

tug_condition *tug_condition_ref(tug_condition *c)
{
    c->refs++;
    return c;
}

tug_condition *tug_condition_unref(tug_condition *c)
{
    if (c != NULL && !tug__is_here_or_adopts_void(&c->loop, "tug_condition_unref")) {
        return NULL;
    }
    if (c != NULL && --c->refs == 0) {
        tug_unpark_all(&c->waiters, TUG_ECLOSED, NULL);
        tug_free(c);
    }
    return NULL;
}

int tug_condition_wait(tug_condition *c, tug_mutex *m)
{
    if (!tug__is_here_or_adopts(&c->loop, "tug_condition_wait")) {
        return TUG_EMISUSE;
    }
    if (tug__need_task("tug_condition_wait") == NULL) {
        return TUG_EMISUSE;
    }
    if (tug__current()->interrupted) {
        return tug__canceled();
    }
    if (!tug__mutex_let_go(m)) {
        return tug_fail(TUG_EMISUSE, "a wait on a condition needs its mutex locked by the caller");
    }
    /* From here on c may go: what became of the wait is in rc. */
    int rc = tug_park(&c->waiters, NULL, "condition.wait");
    int locked = tug__mutex_lock_again(m);
    return locked < 0 ? locked : rc;
}

void tug_condition_signal(tug_condition *c)
{
    if (!tug__is_here_or_adopts_void(&c->loop, "tug_condition_signal")) {
        return;
    }
    tug_unpark_first(&c->waiters, 0, NULL);
}

void tug_condition_broadcast(tug_condition *c)
{
    if (!tug__is_here_or_adopts_void(&c->loop, "tug_condition_broadcast")) {
        return;
    }
    tug_unpark_all(&c->waiters, 0, NULL);
}
