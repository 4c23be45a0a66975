/* What: the wait of an operation that owns its future.
 *
 * A cancel does not end such a wait: it asks the operation to stop, at once, and the operation answers.
 * Done: it will never give a value, and the wait ends. Later: the wait goes on until the operation has
 * settled, and what came of it counts. Were the question put off until the waiting task runs, an
 * operation could finish in between, and it would be a matter of the order in the run queue whether
 * its outcome is told or lost.
 *
 * Abort hooks are the drivers': they may settle futures, wake tasks, even cancel scopes. So they are
 * not called from the walk over groups and tasks that a cancel is, but right behind it. */
#include "task/await.h"
#include "task/run.h"

/* A wait for a future needs no slot: meanwhile it links the tasks whose operations are to be stopped. */
void tug__own_stop_soon(struct tug_task *t)
{
    struct tug__runtime *rt = tug__runtime(tug__loop);
    t->state = TUG__TASK_HELD; /* from now on only the operation ends the wait */
    t->wait.slot = rt->stopping;
    rt->stopping = t;
}

void tug__own_stop_all(struct tug__runtime *rt)
{
    /* The hooks' own failures are not those of whoever cancels. */
    tug_error scratch, *slot = tug__error_slot;
    tug__error_plain(&scratch, 0);
    tug__error_slot = &scratch;
    while (rt->stopping != NULL) {
        struct tug_task *t = rt->stopping;
        tug_future *f = t->owned;
        rt->stopping = t->wait.slot;
        t->wait.slot = NULL;
        if (t->state == TUG__TASK_HELD) { /* else a hook before has settled it: that came first */
            t->owned = NULL;
            tug_future_cancel(f);
        }
    }
    tug__error_slot = slot;
}

/* TUG_ECANCELED with how far the operation got. */
static int canceled_after(uint8_t sent)
{
    int rc = tug__canceled();
    tug__error_current()->sent = sent;
    return rc;
}

TUG__ENTRY int tug_await_own(tug_future *f)
{
    tug__check_entry(TUG__CALLERS_FRAME);
    struct tug_task *t = tug__await_check(f, "an operation");
    tug__future_mark_used(f);
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) { /* nothing happens: not even what was ready at once is taken */
        tug__await_stopped(f);
        /* What succeeded all the same, and is thrown away, must not look safe to be done again. */
        return canceled_after(f->rc == 0 ? TUG_IN_FLIGHT : f->sent);
    }
    if (f->state != TUG__FUTURE_PENDING) {
        int rc = tug_checkpoint();
        return rc < 0 ? rc : tug__await_result(f);
    }
    t->owned = f;
    int rc = tug_park(&f->waiters, NULL, f->class_->name);
    bool was_stopped = t->owned == NULL;
    t->owned = NULL;
    return rc == TUG_EDROPPED && was_stopped ? canceled_after(f->sent) : rc;
}
