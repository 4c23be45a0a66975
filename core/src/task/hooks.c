/* What: tug_hooks_set: what the run queue's hook point sees, told by the event. */
#include <errno.h>
#include <string.h>

#include "task/task.h"

/* A hook is outside any task: what it may not do (wait) is refused instead of ruining the switch that it is
 * called from, and neither the task's detail nor its errno changes under it. */
static void call(struct tug_loop *loop, void (*fn)(tug_task *t, void *arg), struct tug_task *t)
{
    if (fn == NULL) {
        return;
    }
    void *current = loop->current;
    tug_error *slot = tug__error_slot;
    int saved_errno = errno;
    loop->current = NULL;
    tug__error_slot = NULL;
    fn(t, tug__runtime(loop)->hooks.arg);
    tug__error_slot = slot;
    loop->current = current;
    errno = saved_errno;
}

static void on_spawn(struct tug_loop *loop, void *task)
{
    call(loop, tug__runtime(loop)->hooks.spawn, task);
}

static void on_switch(struct tug_loop *loop, void *from, void *to)
{
    struct tug_task *t = from;
    if (t != NULL) {
        const tug_hooks *h = &tug__runtime(loop)->hooks;
        call(loop, t->state == TUG__TASK_ENDED ? h->end : h->suspend, t);
    }
    if (to != NULL) {
        call(loop, tug__runtime(loop)->hooks.resume, to);
    }
}

int tug_hooks_set(const tug_hooks *given)
{
    static const tug_hooks none = TUG_HOOKS_INIT;
    if (!tug_has_loop("tug_hooks_set")) {
        return TUG_EMISUSE;
    }
    struct tug__runtime *rt = tug__runtime(tug__loop);
    rt->hooks = none;
    if (given == NULL) {
        tug__loop_set_hooks(tug__loop, NULL, NULL);
        return 0;
    }
    memcpy(&rt->hooks, given, given->size < sizeof *given ? given->size : sizeof *given);
    const tug_hooks *h = &rt->hooks;
    bool any_switch = h->suspend != NULL || h->resume != NULL || h->end != NULL;
    tug__loop_set_hooks(tug__loop, h->spawn != NULL ? on_spawn : NULL,
                        any_switch ? on_switch : NULL);
    return 0;
}
