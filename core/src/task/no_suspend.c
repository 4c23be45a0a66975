/* What: TUG_NO_SUSPEND. The check is the hook point of the switch, set while a block is entered: so no
 * switch pays for it otherwise. */
#include <tug/debug.h>

#include "task/describe.h"
#include "util/debug.h"

typedef void (*switch_hook)(struct tug_loop *loop, void *from, void *to);

/* The innermost block of this thread's running task, and the hook that was there before the outermost. */
static __thread const char *current_file;
static __thread int current_line;
static __thread switch_hook hook_before;

/* On a switch the running task leaves, and that is the one whose block this is. */
__attribute__((noreturn)) static void on_switch(struct tug_loop *loop, void *from, void *to)
{
    const struct tug_task *t = from;
    const char *what = tug__task_waits_for(t);
    (void)loop;
    (void)to;
    tug__abort("task \"%s\" suspends inside TUG_NO_SUSPEND at %s:%d: it %s%s", t->name,
               current_file, current_line, what != NULL ? "would wait for " : "yields",
               what != NULL ? what : "");
}

struct tug__no_suspend tug__no_suspend_enter(const char *file, int line)
{
    struct tug__no_suspend block = {.done = false};
    struct tug_loop *loop = tug__loop;
    if (!TUG__DEBUG_ON(no_suspend) || loop == NULL || loop->current == NULL) {
        return block;
    }
    block.armed = true;
    block.outer_file = current_file;
    block.outer_line = current_line;
    if (current_file == NULL) {
        hook_before = loop->on_switch;
        tug__loop_set_hooks(loop, loop->on_spawn, on_switch);
    }
    current_file = file;
    current_line = line;
    return block;
}

void tug__no_suspend_leave(struct tug__no_suspend *block)
{
    struct tug_loop *loop = tug__loop;
    if (!block->armed) {
        return;
    }
    current_file = block->outer_file;
    current_line = block->outer_line;
    if (current_file == NULL && loop->on_switch == on_switch) {
        tug__loop_set_hooks(loop, loop->on_spawn, hook_before);
    }
}
