/* What: start a task and wait until it says that it is ready.
 *
 * A future stands between the two: the child settles it, by word or by its end, the starter owns the
 * wait. Until the child has said it, its end is the starter's and not the group's: the starter has the
 * code in hand and may try another port. From then on the child is one of the group as any other. */
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "task/task.h"

struct ready {
    struct tug_task *child;
    bool is_stopped; /* the starter was cancelled: too late to be ready */
};

static int ready_abort(tug_future *f)
{
    struct ready *r = tug_future_payload(f);
    if (r->child == NULL) { /* the spawn was refused */
        return TUG_ABORT_DONE;
    }
    r->is_stopped = true;
    tug__scope_fire(&r->child->base, TUG__SCOPE_CANCELLED);
    return TUG_ABORT_LATER; /* it settles when the child has ended */
}

static const tug_future_class ready_class = {.size = sizeof(tug_future_class),
                                             .name = "task.ready",
                                             .payload = sizeof(struct ready),
                                             .abort = ready_abort};

int tug_group_start_until_ready(tug_group *g, tug_task_fn fn, void *arg)
{
    struct tug_task *t = tug__need_task("tug_group_start_until_ready");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) { /* a child that was spawned would run */
        return tug__canceled();
    }
    TUG_AUTO(tug_future) f = tug_future_new(&ready_class);
    if (f == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a task");
    }
    struct tug_task *child;
    int rc = tug__group_spawn(g, fn, arg, 0, __builtin_return_address(0), &child);
    if (rc < 0) {
        return rc;
    }
    ((struct ready *)tug_future_payload(f))->child = child;
    child->result = f;
    return tug_await_own(f);
}

void tug_task_ready(void)
{
    struct tug_task *t = tug__current();
    tug_future *f = t != NULL ? t->result : NULL;
    if (f != NULL && tug_future_class_of(f) == &ready_class &&
        !((struct ready *)tug_future_payload(f))->is_stopped) {
        t->result = NULL;
        tug_future_settle(f, NULL);
    }
}

bool tug__ready_child_ended(struct tug_task *t, int rc)
{
    tug_future *f = t->result;
    if (tug_future_class_of(f) != &ready_class) {
        return false;
    }
    tug_error why;
    if (rc < 0) {
        tug__error_copy(&why, &t->error);
    } else if (((struct ready *)tug_future_payload(f))->is_stopped) {
        tug__error_plain(&why, TUG_EDROPPED);
    } else {
        tug_error_set(&why, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "task \"%s\" ended without a word that it was ready (tug_task_ready)",
                      t->name);
    }
    tug_future_fail(f, &why);
    return true;
}
