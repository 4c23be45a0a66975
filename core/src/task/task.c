#include "task/task.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "task/locals.h"
#include "task/sanitize.h"
#include "util/debug.h"
#include "util/log.h"

/* --- the switch --------------------------------------------------------------------------------- */

static inline struct tug_task *next_runnable(struct tug_loop *loop)
{
    if (__builtin_expect(loop->head == loop->tail || loop->head == loop->pause, 0) &&
        !tug__loop_extend(loop)) {
        return NULL;
    }
    uint32_t head = loop->head;
    struct tug_task *next = loop->ring[head & loop->ring_mask];
    __atomic_store_n(&loop->head, head + 1, __ATOMIC_RELAXED); /* tug__loop_resumes */
    /* The ones after it are fetched while this one runs: with thousands of tasks each wake is a miss. */
    __builtin_prefetch(loop->ring[(loop->head + 1) & loop->ring_mask]);
    return next;
}

static inline size_t stack_size(const struct tug_task *t)
{
    return (size_t)(t->stack->top - t->stack->bottom);
}

/* Prepares the other side: next, or the loop's own stack. own: see tug__san_leave. */
static inline struct tug__context *turn_to(struct tug_loop *loop, struct tug_task *next, void **own)
{
    __atomic_store_n(&loop->current, next, __ATOMIC_RELAXED); /* tug__loop_running */
    if (next != NULL) {
        tug__error_slot = &next->error;
        tug__san_leave(own, next->stack->bottom, stack_size(next));
        return &next->context;
    }
    struct tug__runtime *rt = tug__runtime(loop);
    tug__error_slot = NULL;
    tug__san_leave(own, rt->stack_bottom, rt->stack_size);
    return &rt->context;
}

/* Called as the last thing of everything that waits, so that gcc and clang make a jump of it: one
 * return is open across the switch, however deep the call. */
TUG__SWITCHES static int switch_to(struct tug_loop *loop, struct tug_task *t, struct tug_task *next)
{
    t->saved_errno = *loop->errno_at;
    t->credits = TUG__CREDITS;
    if (__builtin_expect(next != t, 1)) {
        struct tug__context *mine = tug__switch(&t->context, turn_to(loop, next, &t->fake_stack));
        /* What the compiler keeps across the switch comes back through this stack, one load after the
         * other: these two have shorter ways. */
        t = (struct tug_task *)((char *)mine - offsetof(struct tug_task, context));
        loop = tug__loop;
        tug__san_arrive(t->fake_stack, NULL, NULL);
        if (__builtin_expect(*loop->errno_at != t->saved_errno, 0)) {
            *loop->errno_at = t->saved_errno;
        }
    }
    return t->wake_code;
}

int tug__suspend(struct tug_loop *loop, struct tug_task *t)
{
    return switch_to(loop, t, next_runnable(loop));
}

static void recycle(struct tug__runtime *rt)
{
    while (rt->ended != NULL) {
        struct tug__stack *stack = rt->ended;
        rt->ended = stack->next;
        tug__stack_release(rt->stacks, stack);
    }
}

TUG__SWITCHES static void run_tasks(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    struct tug_task *next;
    while ((next = next_runnable(loop)) != NULL) {
        tug__switch(&rt->context, turn_to(loop, next, &rt->fake_stack));
        tug__san_arrive(rt->fake_stack, NULL, NULL);
    }
    recycle(rt);
}

__attribute__((noreturn)) TUG__SWITCHES static void finish(struct tug_loop *loop,
                                                           struct tug_task *t, int rc)
{
    struct tug__runtime *rt = tug__runtime(loop);
    if (t->scope != &t->base) {
        tug__abort(
            "task \"%s\" ended inside a scope or group that it had entered: leave it on every path",
            t->name);
    }
    if (__builtin_expect(t->locals != NULL, 0)) {
        tug__locals_end(t);
    }
    if (__builtin_expect(t->holds != NULL, 0)) {
        tug__holds_abandon(t);
    }
    tug__timer_stop(&loop->calendar, &t->base.timer);
    t->state = TUG__TASK_ENDED;
    t->wake_code = rc;
    rt->tasks--;
    tug__group_child_ended(t->group, t, rc > 0 ? 0 : rc);
    /* Nobody may reuse the stack before we have left it: it is released from another one. */
    t->stack->next = rt->ended;
    rt->ended = t->stack;
    tug__switch(&t->context, turn_to(loop, next_runnable(loop), NULL));
    __builtin_unreachable();
}

static void entry(void)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = loop->current;
    struct tug__runtime *rt = tug__runtime(loop);
    if (rt->stack_bottom ==
        NULL) { /* the first task ever comes from the loop's own stack: learn its bounds */
        tug__san_arrive(NULL, &rt->stack_bottom, &rt->stack_size);
    } else {
        tug__san_arrive(NULL, NULL, NULL);
    }
    finish(loop, t, t->fn(t->arg));
}

/* --- spawning and waking ------------------------------------------------------------------------ */

static struct tug_task *carve(struct tug__stack *stack)
{
    uintptr_t at = ((uintptr_t)stack->top - sizeof(struct tug_task)) & ~(uintptr_t)63;
    struct tug_task *t = (struct tug_task *)at;
    /* The scopes are set when they are entered, the error's text when there is one. */
    memset(t, 0, offsetof(struct tug_task, error));
    t->error.code = 0;
    t->error.text[0] = 0;
    t->stack = stack;
    return t;
}

int tug__task_spawn(struct tug__group *g, tug_task_fn fn, const void *arg, size_t copy_size,
                    void *spawned_at, struct tug_task **ret)
{
    struct tug_loop *loop = tug__loop;
    struct tug__runtime *rt = tug__runtime(loop);
    if (g->closed) {
        return tug_fail(TUG_ECLOSED, "no new task: %s",
                        g->is_root ? "the loop is at its end" : "the group has been left");
    }
    recycle(rt);
    int rc = tug__loop_reserve(loop, (uint32_t)rt->tasks + 2);
    struct tug__stack *stack = NULL;
    if (rc == 0) {
        rc = tug__stack_obtain(rt->stacks, &stack);
    }
    if (rc != 0) {
        return rc;
    }
    struct tug_task *t = carve(stack);
    char *top = (char *)t;
    if (copy_size > 0) {
        top -= (copy_size + 63) & ~(size_t)63;
        memcpy(top, arg, copy_size);
        arg = top;
    }
    t->fn = fn;
    t->arg = (void *)arg;
    t->credits = TUG__CREDITS;
    t->spawned_at = spawned_at;
    t->number = ++rt->spawned;
    t->wait.task = t;
    t->base.parent = &g->scope;
    t->base.task = t;
    t->base.kind = TUG__SCOPE_BASE;
    t->scope = &t->base;
    t->interrupted = tug__scope_interrupted(&t->base);
    t->group = g;
    t->next = g->first_child;
    t->at_prev = &g->first_child;
    if (t->next != NULL) {
        t->next->at_prev = &t->next;
    }
    g->first_child = t;
    g->running++;
    rt->tasks++;
    tug__context_init(&t->context, stack->bottom, top, entry);
    tug__ring_push(loop, t);
    *ret = t;
    if (__builtin_expect(loop->on_spawn != NULL, 0)) {
        loop->on_spawn(loop, t);
    }
    return 0;
}

void tug__task_wake(struct tug_task *t, int code, const tug_error *why)
{
    assert((t->state == TUG__TASK_WAITING || t->state == TUG__TASK_HELD) &&
           "only a waiting task is woken");
    if (code < 0) {
        if (why != NULL) {
            tug__error_copy(&t->error, why);
        } else {
            tug__error_plain(&t->error, code);
        }
        t->error.code = code;
    }
    t->wake_code = code;
    t->state = TUG__TASK_READY;
    tug__ring_push(tug__loop, t);
}

void tug__task_interrupt(struct tug_task *t)
{
    t->interrupted = true;
    if (t->state == TUG__TASK_WAITING && t->owned != NULL) {
        tug__own_stop_soon(t);
    } else if (t->state == TUG__TASK_WAITING) {
        tug__waiters_remove(&t->wait);
        tug__timer_stop(&tug__loop->calendar, &t->sleep_timer);
        tug__task_wake(t, TUG_ECANCELED, NULL);
        tug__scope_describe_cancel(t, &t->error);
    }
}

/* --- waiting ------------------------------------------------------------------------------------ */

static int no_task(const char *what)
{
    return tug_fail(TUG_EMISUSE, "%s waits, so it must be called in a task", what);
}

struct tug_task *tug__need_task(const char *what)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        TUG_IGNORE(no_task(what));
    }
    return t;
}

int tug__canceled(void)
{
    tug__scope_describe_cancel(tug__current(), tug__error_current());
    return TUG_ECANCELED;
}

int tug_yield(void)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = tug__current();
    if (__builtin_expect(t == NULL, 0)) {
        return no_task("tug_yield");
    }
    if (__builtin_expect(t->interrupted, 0)) {
        return tug__canceled();
    }
    t->wake_code = 0;
    /* The other one is taken out before this one goes in: a processor that takes the load for dependent
     * on the store right before it would wait for that in each yield. */
    struct tug_task *next = next_runnable(loop);
    tug__ring_push(loop, t);
    return switch_to(loop, t, next);
}

int tug_checkpoint(void)
{
    struct tug_task *t = tug__need_task("this call");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    if (--t->credits > 0) {
        return 0;
    }
    t->wake_code = 0;
    tug__ring_push(tug__loop, t);
    return tug__suspend(tug__loop, t);
}

/* One comparison for each wait; a yield goes without. */
static inline __attribute__((always_inline)) void check_scopes(const struct tug_task *t)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if (__builtin_expect((uintptr_t)t->scope < frame, 0)) {
        tug__scope_check_frame(t, frame);
    }
}

static int park(tug_waiters *list, void *slot, const char *what, uint8_t state)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = loop->current;
    check_scopes(t);
    t->wait.slot = slot;
    t->wait.what = what;
    t->waiting_since = loop->now;
    tug__waiters_push(list, &t->wait);
    t->state = state;
    return tug__suspend(loop, t);
}

int tug_park(tug_waiters *list, void *slot, const char *what)
{
    struct tug_task *t = tug__need_task(what);
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    return t->interrupted ? tug__canceled() : park(list, slot, what, TUG__TASK_WAITING);
}

int tug_park_uncancellable(tug_waiters *list, void *slot, const char *what)
{
    return tug__need_task(what) == NULL ? TUG_EMISUSE : park(list, slot, what, TUG__TASK_HELD);
}

static void wake_sleeper(tug_timer *timer, void *arg)
{
    struct tug_task *t = arg;
    (void)timer;
    tug__task_wake(t, 0, NULL);
}

static int sleep_common(tug_duration d, tug_time until)
{
    struct tug_task *t = tug__need_task("tug_sleep");
    if (t == NULL) {
        return TUG_EMISUSE;
    }
    if (t->interrupted) {
        return tug__canceled();
    }
    struct tug_loop *loop = tug__loop;
    check_scopes(t);
    if (until != TUG_FOREVER) {
        tug__timer_start_at(&loop->calendar, &t->sleep_timer, until, wake_sleeper, t);
    } else if (d != TUG_FOREVER) {
        tug__timer_start_in(&loop->calendar, &t->sleep_timer, d, wake_sleeper, t);
    }
    t->wait.what = "sleep";
    t->waiting_since = loop->now;
    t->state = TUG__TASK_WAITING;
    return tug__suspend(loop, t);
}

int tug_sleep(tug_duration d)
{
    return sleep_common(d, TUG_FOREVER);
}

int tug_sleep_until(tug_time deadline)
{
    return sleep_common(TUG_FOREVER, deadline);
}

/* --- the loop's own stack, and file descriptors ------------------------------------------------- */

struct visit {
    tug_call call;
    tug_waiters done;
    void (*fn)(void *arg);
    void *arg;
};

static void visit_loop(void *arg)
{
    struct visit *v = arg;
    v->fn(v->arg);
    tug_unpark_first(&v->done, 0, NULL);
}

void tug_on_loop_stack(void (*fn)(void *arg), void *arg)
{
    if (tug__current() == NULL) {
        fn(arg); /* already there */
        return;
    }
    struct visit v = {.fn = fn, .arg = arg};
    tug_call_soon(&v.call, visit_loop, &v);
    TUG_IGNORE(tug_park_uncancellable(&v.done, NULL, "loop stack"));
}

struct fd_wait {
    tug_waiters waiters;
    unsigned ready;
};

static void on_fd(tug_io *io, unsigned ready, void *arg)
{
    struct fd_wait *w = arg;
    w->ready |= ready;
    TUG_IGNORE(tug_io_want(io, 0));
    tug_unpark_first(&w->waiters, 0, NULL);
}

int tug_fd_wait(int fd, unsigned want)
{
    if (tug__need_task("tug_fd_wait") == NULL) {
        return TUG_EMISUSE;
    }
    struct fd_wait w = {.ready = 0};
    tug_io *io = NULL;
    int rc = tug_io_open(fd, on_fd, &w, &io);
    if (rc == 0) {
        rc = tug_io_want(io, want);
    }
    if (rc == 0) {
        rc = tug_park(&w.waiters, NULL, "fd");
    }
    tug_io_close(io);
    return rc == 0 ? (int)w.ready : rc;
}

/* --- looking at tasks --------------------------------------------------------------------------- */

tug_task *tug_task_current(void)
{
    return tug__current();
}

void tug_task_set_name(const char *name)
{
    struct tug_task *t = tug__current();
    if (t != NULL) {
        snprintf(t->name, sizeof t->name, "%s", name != NULL ? name : "");
    }
}

uint64_t tug_task_number(const tug_task *t)
{
    return t->number;
}

const char *tug_task_name(const tug_task *t)
{
    return t->name;
}

size_t tug_task_count(void)
{
    return tug__loop != NULL && tug__runtime(tug__loop) != NULL ? tug__runtime(tug__loop)->tasks
                                                                : 0;
}

static const char *current_name(void)
{
    struct tug_task *t = tug__current();
    return t != NULL ? t->name : "";
}

static bool in_cancelled_scope(void)
{
    struct tug_task *t = tug__current();
    return t != NULL && t->interrupted;
}

/* --- the runtime -------------------------------------------------------------------------------- */

static void runtime_close(void *value)
{
    struct tug__runtime *rt = value;
    recycle(rt);
    tug__stacks_free(rt->stacks);
    tug_free(rt->user.scope.reason);
    tug_free(rt->user.errors);
    tug_free(rt->service.errors);
    tug_free(rt);
}

/* What the lower layers call. Loops of several threads may open at the same time. */
static void set_upcalls(void)
{
    tug__wake_task = tug__task_wake;
    tug__in_cancelled_scope = in_cancelled_scope;
    tug__log_task_name = current_name;
}

int tug__runtime_open(struct tug_loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tug__runtime *rt = tug_calloc(1, sizeof *rt);
    if (rt == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    int rc = tug__stacks_new(TUG__GUARD_PROBE, &rt->stacks);
    if (rc < 0) {
        tug_free(rt);
        return rc;
    }
    tug__group_init_root(&rt->user, "user");
    tug__group_init_root(&rt->service, "service");
    loop->slots[TUG__SLOT_TASKS].value = rt;
    loop->slots[TUG__SLOT_TASKS].destroy = runtime_close;
    loop->run_tasks = run_tasks;
    pthread_once(&once, set_upcalls);
    return 0;
}
