#include <string.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "task/run.h"
#include "util/debug.h"

static struct tug__group *inside(const tug_group *g)
{
    return (struct tug__group *)g;
}

/* --- failures ----------------------------------------------------------------------------------- */

static void keep_error(struct tug__group *g, const tug_error *why)
{
    if (g->errors == NULL) {
        g->errors = tug_alloc(TUG__ERRORS_KEPT * sizeof *g->errors);
    }
    if (g->errors != NULL && g->failures < TUG__ERRORS_KEPT) {
        tug__error_copy(&g->errors[g->failures], why);
    }
}

static void group_failed(struct tug__group *g, const tug_error *why)
{
    if (g->is_root) { /* isolated: logged, the others live on; nothing piles up */
        tug_log(TUG_LOG_ERROR, "task", "a %s task failed: %s", g->name, why->text);
        g->failures++;
        return;
    }
    keep_error(g, why);
    if (g->failures++ == 0) {
        g->rc = why->code;
        g->sent = why->sent;
    }
    if (g->policy == TUG_FAIL_FAST) {
        tug__scope_fire(&g->scope, TUG__SCOPE_CANCELLED);
    } else {
        tug_log(TUG_LOG_WARN, "task", "a task of a keep-going group failed: %s", why->text);
    }
}

void tug_group_fail(tug_group *public_group, int code)
{
    if (!tug__is_here_void(inside(public_group)->loop, "tug_group_fail")) {
        return;
    }
    const tug_error *last = tug__error_current();
    tug_error why;
    if (last->code == code) {
        tug__error_copy(&why, last);
    } else {
        tug__error_plain(&why, code);
    }
    group_failed(inside(public_group), &why);
}

/* --- the life of a group ------------------------------------------------------------------------ */

void tug__group_init_root(struct tug__group *g, struct tug_loop *loop, const char *name)
{
    memset(g, 0, sizeof *g);
    g->loop = loop;
    g->scope.kind = TUG__SCOPE_GROUP;
    g->scope.magic = TUG__SCOPE_MAGIC;
    g->policy = TUG_KEEP_GOING;
    g->is_root = true;
    g->name = name;
}

void tug_group_enter(tug_group *public_group, tug_duration timeout, int on_failure)
{
    struct tug__group *g = inside(public_group);
    struct tug_task *t = tug__current();
    /* See tug__scope_link. */
    g->first_child = NULL;
    g->next_work = NULL;
    g->errors = NULL;
    g->running = 0;
    g->failures = 0;
    g->cut_short = 0;
    g->leaving.first = NULL;
    g->leaving.last = NULL;
    g->rc = 0;
    g->loop = tug__loop;
    g->policy = (uint8_t)on_failure;
    g->closed = false;
    g->is_root = false;
    g->sent = 0;
    g->name = NULL;
    if (tug__likely(t != NULL && timeout == TUG_FOREVER)) {
        tug__scope_link(&g->scope, t, TUG__SCOPE_GROUP);
    } else {
        tug__scope_enter(&g->scope, TUG__SCOPE_GROUP, timeout);
    }
}

static inline struct tug_task *spawn_quietly(tug_group *g, tug_task_fn fn, const void *arg,
                                             size_t copy_size, void *at)
{
    if (!tug__is_here(inside(g)->loop, "a spawn into a group")) {
        return NULL;
    }
    return tug__task_new(inside(g), fn, arg, copy_size, at);
}

static int too_large(size_t size)
{
    return tug_fail(TUG_EINVAL,
                    "an argument of %zu bytes is too large to copy to a task's stack (at most %d)",
                    size, TUG__COPY_MAX);
}

int tug__group_spawn(tug_group *g, tug_task_fn fn, const void *arg, size_t copy_size, void *at,
                     struct tug_task **ret)
{
    if (copy_size > TUG__COPY_MAX) {
        return too_large(copy_size);
    }
    struct tug_task *t = spawn_quietly(g, fn, arg, copy_size, at);
    if (t == NULL) {
        return tug__error_current()->code;
    }
    *ret = t;
    return 0;
}

/* A task that could not be made fails its group, but for a group that has ended. The code. */
static __attribute__((noinline)) int refused(tug_group *g)
{
    tug_error *mine = tug__error_current();
    if (tug__loop == inside(g)->loop && !inside(g)->closed) {
        group_failed(inside(g), mine);
    }
    return mine->code;
}

int tug_group_spawn(tug_group *g, tug_task_fn fn, void *arg)
{
    return tug__likely(spawn_quietly(g, fn, arg, 0, __builtin_return_address(0)) != NULL)
               ? 0
               : refused(g);
}

int tug_group_spawn_copy(tug_group *g, tug_task_fn fn, const void *arg, size_t size)
{
    if (size > TUG__COPY_MAX) {
        TUG_IGNORE(too_large(size));
        return refused(g);
    }
    return spawn_quietly(g, fn, arg, size, __builtin_return_address(0)) != NULL ? 0 : refused(g);
}

int tug_group_spawn_with(tug_group *g, tug_task_fn fn, void *arg, const tug_spawn_options *o)
{
    tug_spawn_options given = TUG_SPAWN_OPTIONS_INIT;
    if (!tug__is_here(inside(g)->loop, "a spawn into a group")) {
        return TUG_EMISUSE;
    }
    if (o != NULL) {
        memcpy(&given, o, o->size < sizeof given ? o->size : sizeof given);
    }
    if (given.stack_size > TUG__STACK_LARGEST) {
        TUG_IGNORE(tug_fail(TUG_EINVAL, "a stack of %zu bytes: at most %zu", given.stack_size,
                            TUG__STACK_LARGEST));
        return refused(g);
    }
    void *at = __builtin_return_address(0);
    struct tug_task *t = given.stack_size > TUG__STACK_USABLE
                             ? tug__task_new_large(inside(g), fn, arg, given.stack_size, at)
                             : tug__task_new(inside(g), fn, arg, 0, at);
    if (t == NULL) {
        return refused(g);
    }
    if (given.name != NULL) {
        tug__task_set_name(t, given.name);
    }
    return 0;
}

struct start_payload {
    struct tug_task *task;
};

static int abort_task(tug_future *f)
{
    struct start_payload *p = tug_future_payload(f);
    tug__scope_fire(&p->task->base, TUG__SCOPE_CANCELLED);
    return TUG_ABORT_LATER; /* it settles when the task has ended */
}

static const tug_future_class start_class = {.size = sizeof(tug_future_class),
                                             .name = "task",
                                             .payload = sizeof(struct start_payload),
                                             .abort = abort_task};

tug_future *tug_group_start(tug_group *g, tug_task_fn fn, void *arg)
{
    if (!tug__is_here(inside(g)->loop, "a spawn into a group")) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&start_class);
    if (f == NULL) {
        tug_fail(TUG_ENOMEM, "out of memory for a task");
        tug_group_fail(g, TUG_ENOMEM);
        return tug_future_no_memory();
    }
    struct tug_task *t = spawn_quietly(g, fn, arg, 0, __builtin_return_address(0));
    if (t == NULL) {
        TUG_IGNORE(refused(g));
        tug_error why;
        tug__error_copy(&why, tug__error_current());
        tug_future_fail(f, &why);
        return f;
    }
    ((struct start_payload *)tug_future_payload(f))->task = t;
    t->result = f;
    return f;
}

void tug__group_child_result(struct tug__group *g, struct tug_task *t, int rc)
{
    tug_error *why = &t->error;
    t->is_marked = true;
    if (rc < 0 && why->code != rc) {
        tug__error_plain(why, rc);
    }
    /* Where somebody waits for it to be ready, its failure is told there. */
    bool is_told = t->result != NULL && tug__ready_child_ended(t, rc);
    if (t->result != NULL && !is_told) {
        if (rc < 0) {
            tug_future_fail(t->result, why);
        } else {
            tug_future_settle(t->result, NULL);
        }
    }
    if (is_told) {
        rc = 0;
    }
    if (rc == TUG_ECANCELED && t->interrupted) {
        g->cut_short++;
    } else if (rc < 0) {
        group_failed(g, why);
    }
}

void tug_group_cancel(tug_group *g)
{
    if (tug__scope_is_entered(&inside(g)->scope) &&
        tug__is_here_void(inside(g)->loop, "tug_group_cancel")) {
        tug__scope_fire(&inside(g)->scope, TUG__SCOPE_CANCELLED);
    }
}

/* What the group has to say, once all its tasks have ended and its scope is left. */
static int group_result(struct tug__group *g, int rc)
{
    bool expired = (g->scope.fired & TUG__SCOPE_EXPIRED) != 0;
    if (g->policy == TUG_FAIL_FAST && g->failures > 0 && (rc == 0 || rc == TUG_ECANCELED)) {
        tug_error *mine = tug__error_current();
        if (g->errors != NULL) {
            tug__error_copy(mine, &g->errors[0]);
        } else {
            tug__error_plain(mine, g->rc);
            mine->sent = g->sent;
        }
        return g->rc;
    }
    if (rc == 0 && g->cut_short > 0 && (expired || tug__current()->interrupted)) {
        rc = tug__canceled();
    }
    return tug__scope_result(&g->scope, rc);
}

TUG__ENTRY void tug_group_wait(tug_group *public_group)
{
    struct tug__group *g = inside(public_group);
    tug__check_entry(TUG__CALLERS_FRAME);
    if (!tug__is_here_void(g->loop, "tug_group_wait")) {
        return;
    }
    if (tug__current() == NULL) {
        tug_log(TUG_LOG_ERROR, "task", "tug_group_wait waits, so it must be called in a task");
        return;
    }
    while (g->running > 0) {
        TUG_IGNORE(tug_park_uncancellable(&g->leaving, NULL, "group"));
    }
}

static inline void wait_for_children(struct tug__group *g, struct tug_task *t)
{
    while (g->running > 0) {
        TUG_IGNORE(tug__park(tug__loop, t, &g->leaving, NULL, "group", TUG__TASK_HELD));
    }
    g->closed = true;
    if (tug__likely(g->scope.magic == TUG__SCOPE_MAGIC && t->scope == &g->scope &&
                    !t->interrupted && g->scope.timer.state == TUG__TIMER_IDLE)) {
        tug__scope_unlink(&g->scope, t);
    } else {
        tug__scope_exit(&g->scope);
    }
}

/* Something has failed, or been cut short. */
static __attribute__((noinline)) int leave_with(struct tug__group *g, struct tug_task *t, int rc)
{
    tug_error *mine = tug__error_current();
    tug_error kept; /* the reason for leaving must survive what the last children do */
    bool keep = rc < 0 && mine->code == rc;
    if (keep) {
        tug__error_copy(&kept, mine);
    }
    if (rc < 0 && g->running > 0) {
        tug__scope_fire(&g->scope, TUG__SCOPE_CANCELLED);
    }
    wait_for_children(g, t);
    if (keep) {
        tug__error_copy(mine, &kept);
    }
    return rc;
}

TUG__ENTRY int tug_group_leave(tug_group *public_group, int rc)
{
    struct tug__group *g = inside(public_group);
    struct tug_task *t = tug__current();
    if (tug__unlikely(t == NULL || t->scope != &g->scope)) {
        tug__scope_exit(&g->scope); /* aborts, and says why */
    }
    if (tug__unlikely(rc < 0)) {
        rc = leave_with(g, t, rc);
    } else {
        wait_for_children(g, t);
    }
    if (tug__unlikely(rc != 0 || g->failures > 0 || g->cut_short > 0)) {
        rc = group_result(g, rc);
        tug_free(g->errors);
        g->errors = NULL;
    }
    return rc;
}

/* --- looking ------------------------------------------------------------------------------------ */

size_t tug_group_running(const tug_group *g)
{
    return inside(g)->running;
}

size_t tug_group_failures(const tug_group *g)
{
    return inside(g)->failures;
}

const tug_error *tug_group_error(const tug_group *public_group, size_t i)
{
    struct tug__group *g = inside(public_group);
    return g->errors != NULL && i < g->failures && i < TUG__ERRORS_KEPT ? &g->errors[i] : NULL;
}

/* --- roots -------------------------------------------------------------------------------------- */

tug_group *tug_background(void)
{
    if (tug__loop == NULL) {
        tug__abort("tug_background() without a loop: call it inside tug_main or tug_run");
    }
    return (tug_group *)&tug__runtime(tug__loop)->user;
}

int tug_service_spawn(const char *name, tug_task_fn fn, void *arg)
{
    if (!tug_has_loop("a service task")) {
        return TUG_EMISUSE;
    }
    struct tug_task *t = tug__task_new(&tug__runtime(tug__loop)->service, fn, arg, 0,
                                       __builtin_return_address(0));
    if (t == NULL) {
        return tug__error_current()->code;
    }
    t->is_marked = true;
    strncpy(t->name, name, sizeof t->name - 1);
    return 0;
}
