/* What: loops that no call of tug's runs: on an event base of the application, or turned by hand. */
#include <stdio.h>
#include <tug/loop.h>

#include "loop/attach.h"
#include "task/describe.h"
#include "task/end.h"

static int adopt(struct tug_loop *loop, tug_loop **ret_loop)
{
    int rc = tug__runtime_open(loop);
    if (rc < 0) {
        tug__loop_free(loop);
        return rc;
    }
    tug__end_prepare(loop);
    tug__loop = loop;
    *ret_loop = loop;
    return 0;
}

static int check_free_thread(void)
{
    return tug__loop == NULL
               ? 0
               : tug_fail(TUG_EMISUSE, "this thread has a loop already: one loop a thread");
}

int tug_loop_attach(struct event_base *base, tug_loop **ret_loop)
{
    struct tug_loop *loop = NULL;
    int rc = check_free_thread();
    if (rc == 0 && base == NULL) {
        rc = tug_fail(TUG_EINVAL, "tug_loop_attach: no event base");
    }
    if (rc == 0) {
        rc = tug__attach(base, &loop);
    }
    return rc == 0 ? adopt(loop, ret_loop) : rc;
}

int tug_loop_new(tug_loop **ret_loop)
{
    struct tug_loop *loop = NULL;
    int rc = check_free_thread();
    if (rc == 0) {
        rc = tug__loop_new(NULL, &loop);
    }
    return rc == 0 ? adopt(loop, ret_loop) : rc;
}

static int check_outside(const struct tug_loop *loop, const char *what)
{
    if (!tug__is_here(loop, what)) {
        return TUG_EMISUSE;
    }
    if (loop->current != NULL || loop->is_turning) {
        return tug_fail(TUG_EMISUSE, "%s: called inside the loop", what);
    }
    return 0;
}

int tug_loop_run(tug_loop *loop)
{
    int rc = check_outside(loop, "tug_loop_run");
    if (rc < 0) {
        return rc;
    }
    if (!loop->owns_base) {
        return tug_fail(TUG_EMISUSE, "tug_loop_run: the application runs the base of this loop");
    }
    loop->is_turning = true;
    while (!loop->stopping || tug__runtime(loop)->user.running > 0) {
        tug__loop_turn(loop, true);
    }
    loop->is_turning = false;
    return 0;
}

/* The first that is left, for the detail; the log has them all. */
static int say_what_is_left(const struct tug_loop *loop, size_t n)
{
    const struct tug__runtime *rt = tug__runtime(loop);
    const struct tug_task *first = rt->user.first_child != NULL ? rt->user.first_child
                                                                : rt->service.first_child;
    char line[TUG__DESCRIBE_SIZE] = "a blocking call";
    if (first != NULL) {
        tug__task_describe(first, line, sizeof line);
    }
    return tug_fail(TUG_ETIMEDOUT, "%zu would not end: %s", n, line);
}

static int end_loop(struct tug_loop *loop, tug_duration grace)
{
    size_t left = tug__end_within(loop, grace);
    int rc = 0;
    if (left > 0) {
        rc = say_what_is_left(loop, left);
        tug__remote_runs_abandon(tug__runtime(loop));
        tug__loop_abandon(loop);
    } else {
        tug__loop_free(loop);
    }
    tug__loop = NULL;
    return rc;
}

int tug_loop_detach(tug_loop *loop, tug_duration grace)
{
    if (loop == NULL) {
        return 0;
    }
    int rc = check_outside(loop, "tug_loop_detach");
    if (rc == 0) {
        rc = tug__attach_take_over(loop);
    }
    return rc == 0 ? end_loop(loop, grace) : rc;
}

int tug_loop_free(tug_loop *loop, tug_duration grace)
{
    return tug_loop_detach(loop, grace);
}
