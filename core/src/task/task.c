#include "task/task.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "task/locals.h"
#include "task/run.h"
#include "task/sanitize.h"
#include "util/debug.h"
#include "util/log.h"
#include "util/utf8.h"

/* --- the switch --------------------------------------------------------------------------------- */

struct tug_task *tug__next_slowly(struct tug_loop *loop)
{
    return tug__loop_extend(loop) ? tug__pop(loop) : &tug__runtime(loop)->host;
}

static inline struct tug_task *next_runnable(struct tug_loop *loop)
{
    return tug__is_at_pause(loop) ? tug__next_slowly(loop) : tug__pop(loop);
}

/* Right before each switch. own: see tug__san_leave. errno is a task's own: written only where the two
 * differ, and all on this side, which has what it takes at hand. */
TUG__SAN_INLINE void turn_to(struct tug_loop *loop, struct tug_task *t, struct tug_task *next,
                             void **own)
{
    int mine = *loop->errno_at;
    t->saved_errno = mine;
    if (tug__unlikely(next->saved_errno != mine)) {
        *loop->errno_at = next->saved_errno;
    }
    __atomic_store_n(&loop->current, next, __ATOMIC_RELAXED); /* tug__loop_running */
    tug__san_leave(own, next->stack->bottom, (size_t)(next->stack->top - next->stack->bottom));
}

TUG__SWITCHES int tug__switch_to(struct tug_task *t, struct tug_task *next, struct tug_loop *loop)
{
    t->credits = TUG__CREDITS;
    turn_to(loop, t, next, &t->fake_stack);
    /* What the compiler keeps across the switch comes back through this stack, one load after the
     * other: this has a shorter way. */
    t = (struct tug_task *)tug__switch(&t->context, &next->context);
    tug__san_arrive(t->fake_stack, NULL, NULL);
    return t->wake_code;
}

int tug__suspend_slowly(struct tug_loop *loop, struct tug_task *t)
{
    return tug__switch_to(t, tug__next_slowly(loop), loop);
}

/* On the loop's own stack. A stack that was used deep gives its pages back before it is used again; a large
 * one goes. */
static void recycle(struct tug__runtime *rt)
{
    while (rt->warm_checked < rt->warm_count) {
        struct tug_task **at = &rt->warm[rt->warm_checked];
        /* A large one may serve a usual task before it comes to this. */
        if ((*at)->stack->is_large || tug__stack_is_deep((*at)->stack)) {
            (*at)->next = rt->ended;
            rt->ended = *at;
            *at = rt->warm[--rt->warm_count];
        } else {
            rt->warm_checked++;
        }
    }
    while (rt->ended != NULL) {
        struct tug_task *t = rt->ended;
        struct tug__stack *stack = t->stack;
        rt->ended = t->next;
        if (tug__unlikely(rt->debugging.stacks)) {
            tug__debugging_stack(&rt->debugging, t);
        }
        tug__stack_release(rt->stacks, stack);
    }
}

TUG__SWITCHES static void run_tasks(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    struct tug_task *next;
    while ((next = next_runnable(loop)) != &rt->host) {
        turn_to(loop, &rt->host, next, &rt->host.fake_stack);
        tug__switch(&rt->host.context, &next->context);
        loop = tug__loop;
        rt = tug__runtime(loop);
        tug__san_arrive(rt->host.fake_stack, NULL, NULL);
        __atomic_store_n(&loop->current, NULL, __ATOMIC_RELAXED);
    }
    recycle(rt);
}

static void abort_entered(const struct tug_task *t)
{
    tug__abort(
        "task \"%s\" ended inside a scope or group that it had entered: leave it on every path",
        t->name);
}

/* The child settles first, then the siblings are cancelled, then the group's owner is told. */
static inline void leave_group(struct tug_loop *loop, struct tug_task *t, int rc)
{
    struct tug__group *g = t->group;
    *t->at_prev = t->next;
    if (t->next != NULL) {
        t->next->at_prev = t->at_prev;
    }
    g->running--;
    if (tug__unlikely(rc < 0 || t->result != NULL)) {
        tug__group_child_result(g, t, rc);
    }
    while (g->running == 0 && g->leaving.first != NULL) {
        tug__wake_first(loop, &g->leaving, 0); /* the owner, nearly always alone */
    }
}

/* From here on nothing may run on this stack that spawns: it would get this very one. */
static inline void give_up_stack(struct tug__runtime *rt, struct tug_task *t)
{
    if (tug__likely(rt->warm_count < rt->warm_most)) {
        rt->warm[rt->warm_count++] = t;
    } else {
        t->next = rt->ended;
        rt->ended = t;
    }
}

/* All in one function and left by a jump, with no call open: else the next task's return is taken for one
 * into here, which costs more than all the rest. */
__attribute__((noreturn)) TUG__SWITCHES static void entry(void)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = loop->current;
    struct tug__runtime *rt = tug__runtime(loop);
    tug__san_begin(&rt->host_stack.bottom, &rt->host_stack.top);
    int rc = t->fn(t->arg);
    loop = tug__loop;
    t = loop->current;
    rt = tug__runtime(loop);
    if (tug__unlikely(t->scope != &t->base)) {
        abort_entered(t);
    }
    if (tug__unlikely(t->locals != NULL)) {
        tug__locals_end(t);
    }
    if (tug__unlikely(t->holds != NULL)) {
        tug__holds_abandon(t);
    }
    t->state = TUG__TASK_ENDED;
    t->wake_code = rc;
    rt->tasks--;
    leave_group(loop, t, rc > 0 ? 0 : rc);
    struct tug_task *next = next_runnable(loop);
    give_up_stack(rt, t);
    turn_to(loop, t, next, NULL);
    tug__switch_away(&next->context);
}

/* --- spawning and waking ------------------------------------------------------------------------ */

static struct tug_task *carve(struct tug__stack *stack)
{
    uintptr_t at = ((uintptr_t)stack->top - sizeof(struct tug_task)) & ~(uintptr_t)63;
    struct tug_task *t = (struct tug_task *)at;
    /* The scopes are set when they are entered, the error's text when there is one. */
    memset(t, 0, offsetof(struct tug_task, error));
    t->is_marked = true; /* by whoever was here before */
    t->stack = stack;
    t->wait.task = t;
    t->base.task = t;
    t->base.kind = TUG__SCOPE_BASE;
    t->scope = &t->base;
    return t;
}

/* A task that has just ended is taken as it is: it waits for nothing, no timer of its runs, and its scope
 * is its base. What a life sets, spawn sets again. */
static inline struct tug_task *take_warm(struct tug__runtime *rt)
{
    uint32_t n = --rt->warm_count;
    struct tug_task *t = rt->warm[n];
    if (rt->warm_checked > n) {
        rt->warm_checked = n;
    }
    if (n >= TUG__WARM_AHEAD) {
        /* Its first line comes while those before it are made. To ask for the others as well costs more
         * than they do: 2 % of a spawn of 100. */
        __builtin_prefetch(rt->warm[n - TUG__WARM_AHEAD], 1);
    }
    tug__san_fresh(t->stack->bottom, (size_t)((char *)t - t->stack->bottom));
    return t;
}

static __attribute__((noinline)) struct tug_task *obtain(struct tug_loop *loop,
                                                         struct tug__runtime *rt,
                                                         const struct tug__group *g, size_t large)
{
    if (g->closed) {
        tug_fail(TUG_ECLOSED, "no new task: %s",
                 g->is_root ? "the loop is at its end" : "the group has been left");
        return NULL;
    }
    if (tug__loop_reserve(loop, (uint32_t)rt->tasks + 2) != 0) {
        return NULL;
    }
    struct tug__stack *stack = NULL;
    if (large > 0) {
        return tug__stack_obtain_large(rt->stacks, large, &stack) == 0 ? carve(stack) : NULL;
    }
    if (rt->warm_count > 0) {
        return take_warm(rt);
    }
    return tug__stack_obtain(rt->stacks, &stack) == 0 ? carve(stack) : NULL;
}

/* What a life sets is set again. top: where its stack begins. */
static inline void set_up(struct tug__runtime *rt, struct tug_task *t, struct tug__group *g,
                          tug_task_fn fn, const void *arg, void *top, void *spawned_at)
{
    tug__context_init(&t->context, t->stack->bottom, top, entry);
    t->credits = TUG__CREDITS;
    t->saved_errno = 0;
    t->state = TUG__TASK_READY;
    t->group = g;
    t->fn = fn;
    t->arg = (void *)arg;
    t->result = NULL;
    t->spawned_at = spawned_at;
    t->number = ++rt->spawned;
    t->base.parent = &g->scope;
    t->base.fired = 0;
    if (tug__unlikely(t->is_marked)) { /* else their line of the cache need not be touched */
        t->is_marked = false;
        t->name[0] = 0;
        t->error.code = 0;
        t->error.text[0] = 0;
    }
    t->next = g->first_child;
    t->at_prev = &g->first_child;
    if (t->next != NULL) {
        t->next->at_prev = &t->next;
    }
    g->first_child = t;
    g->running++;
    rt->tasks++;
}

/* large: 0, or bytes of stack. */
static __attribute__((noinline)) struct tug_task *new_slowly(struct tug__group *g, tug_task_fn fn,
                                                             const void *arg, size_t copy_size,
                                                             void *spawned_at, size_t large)
{
    struct tug_loop *loop = tug__loop;
    struct tug__runtime *rt = tug__runtime(loop);
    struct tug_task *t = obtain(loop, rt, g, large);
    if (t == NULL) {
        return NULL;
    }
    char *top = (char *)t;
    if (copy_size > 0) {
        top -= (copy_size + 63) & ~(size_t)63;
        memcpy(top, arg, copy_size);
        arg = top;
    }
    set_up(rt, t, g, fn, arg, top, spawned_at);
    t->interrupted = tug__scope_interrupted(&t->base);
    if (g != &rt->service) {
        tug__locals_inherit(t);
    }
    tug__ring_push(loop, t);
    tug__loop_touch(loop);
    if (loop->on_spawn != NULL) {
        loop->on_spawn(loop, t);
    }
    return t;
}

struct tug_task *tug__task_new_large(struct tug__group *g, tug_task_fn fn, void *arg,
                                     size_t stack_size, void *spawned_at)
{
    return new_slowly(g, fn, arg, 0, spawned_at, stack_size);
}

/* The short way is that of a group's owner who is in the group's scope: then its flag says whether the child
 * is cancelled from the start. It calls nothing, so it needs no frame. */
struct tug_task *tug__task_new(struct tug__group *g, tug_task_fn fn, const void *arg,
                               size_t copy_size, void *spawned_at)
{
    struct tug_loop *loop = tug__loop;
    struct tug__runtime *rt = tug__runtime(loop);
    const struct tug_task *owner = loop->current;
    if (tug__unlikely(owner == NULL || owner->scope != &g->scope || owner->locals != NULL ||
                      copy_size > 0 || rt->warm_count == 0 || rt->tasks + 2 > loop->ring_mask ||
                      loop->on_spawn != NULL)) {
        return new_slowly(g, fn, arg, copy_size, spawned_at, 0);
    }
    struct tug_task *t = take_warm(rt);
    set_up(rt, t, g, fn, arg, t, spawned_at);
    t->interrupted = owner->interrupted;
    tug__ring_push(loop, t);
    return t;
}

static __attribute__((noinline)) void wake_with(struct tug_task *t, int code, const tug_error *why)
{
    t->is_marked = true;
    if (why != NULL) {
        tug__error_copy(&t->error, why);
    } else {
        tug__error_plain(&t->error, code);
    }
    t->error.code = code;
    tug__resume(tug__loop, t, code);
}

void tug__task_wake(struct tug_task *t, int code, const tug_error *why)
{
    if (tug__unlikely(code < 0)) {
        wake_with(t, code, why);
    } else {
        tug__resume(tug__loop, t, code);
    }
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
        t->is_marked = true;
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

/* A yield that is no mere switch. */
static __attribute__((noinline)) int yield_slowly(struct tug_task *t, uintptr_t frame)
{
    if (t == NULL) {
        return no_task("tug_yield");
    }
    tug__check_task(t, frame);
    if (t->interrupted) {
        return tug__canceled();
    }
    struct tug_loop *loop = tug__loop;
    t->wake_code = 0;
    struct tug_task *next = next_runnable(loop);
    tug__ring_push(loop, t);
    return tug__switch_to(t, next, loop);
}

TUG__ENTRY int tug_yield(void)
{
    struct tug_loop *loop = tug__loop;
    struct tug_task *t = tug__current();
    if (!tug__is_plain(t) || tug__is_at_pause(loop)) {
        return yield_slowly(t, TUG__CALLERS_FRAME);
    }
    t->wake_code = 0;
    /* The other one is taken out before this one goes in: a processor that takes the load for dependent
     * on the store right before it would wait for that in each yield. */
    struct tug_task *next = tug__pop(loop);
    tug__ring_push(loop, t);
    return tug__switch_to(t, next, loop);
}

static __attribute__((noinline)) int checkpoint_slowly(struct tug_task *t, uintptr_t frame)
{
    if (t == NULL) {
        return no_task("this call");
    }
    tug__check_task(t, frame);
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

TUG__ENTRY int tug_checkpoint(void)
{
    struct tug_task *t = tug__current();
    return tug__spend_credit(t) ? 0 : checkpoint_slowly(t, TUG__CALLERS_FRAME);
}

static __attribute__((noinline)) int park_slowly(tug_waiters *list, void *slot, const char *what,
                                                 uint8_t state, uintptr_t frame)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        return no_task(what);
    }
    tug__check_task(t, frame);
    if (state == TUG__TASK_WAITING && t->interrupted) {
        return tug__canceled();
    }
    return tug__park(tug__loop, t, list, slot, what, state);
}

TUG__ENTRY int tug_park(tug_waiters *list, void *slot, const char *what)
{
    struct tug_task *t = tug__current();
    if (!tug__is_plain(t)) {
        return park_slowly(list, slot, what, TUG__TASK_WAITING, TUG__CALLERS_FRAME);
    }
    return tug__park(tug__loop, t, list, slot, what, TUG__TASK_WAITING);
}

TUG__ENTRY int tug_park_uncancellable(tug_waiters *list, void *slot, const char *what)
{
    return park_slowly(list, slot, what, TUG__TASK_HELD, TUG__CALLERS_FRAME);
}

static void wake_sleeper(tug_timer *timer, void *arg)
{
    struct tug_task *t = arg;
    (void)timer;
    tug__task_wake(t, 0, NULL);
}

static int sleep_common(struct tug_task *t, tug_duration d, tug_time until)
{
    if (t->interrupted) {
        return tug__canceled();
    }
    struct tug_loop *loop = tug__loop;
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

TUG__ENTRY int tug_sleep(tug_duration d)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        return no_task("tug_sleep");
    }
    tug__check_task(t, TUG__CALLERS_FRAME);
    return sleep_common(t, d, TUG_FOREVER);
}

TUG__ENTRY int tug_sleep_until(tug_time deadline)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        return no_task("tug_sleep_until");
    }
    tug__check_task(t, TUG__CALLERS_FRAME);
    return sleep_common(t, TUG_FOREVER, deadline);
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

TUG__ENTRY void tug_on_loop_stack(void (*fn)(void *arg), void *arg)
{
    tug__check_entry(TUG__CALLERS_FRAME);
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

TUG__ENTRY int tug_fd_wait(int fd, unsigned want)
{
    tug__check_entry(TUG__CALLERS_FRAME);
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
    if (tug__current() != NULL) {
        tug__task_set_name(tug__current(), name);
    }
}

void tug__task_set_name(struct tug_task *t, const char *name)
{
    t->is_marked = true;
    snprintf(t->name, sizeof t->name, "%s", name != NULL ? name : "");
    /* It goes into logs and onto terminals: no half characters, no control characters. */
    for (unsigned char *s = (unsigned char *)t->name; *s != 0;) {
        size_t n = tug__utf8_length(s);
        if (n == 0 || *s < 0x20 || *s == 0x7f) {
            *s = '?';
            n = 1;
        }
        s += n;
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

static tug_error *task_error(void)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        return NULL;
    }
    t->is_marked = true; /* whoever asks may write */
    return &t->error;
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
    tug__debugging_close(rt->loop, &rt->debugging);
    tug__stacks_free(rt->stacks);
    tug_free(rt->user.scope.reason);
    tug_free(rt->user.errors);
    tug_free(rt->service.errors);
    tug_free(rt->memory);
}

/* The host is a task, and tasks start at a line of the cache. */
static struct tug__runtime *new_runtime(void)
{
    const size_t line = _Alignof(struct tug__runtime);
    void *memory = tug_calloc(1, sizeof(struct tug__runtime) + line);
    if (memory == NULL) {
        return NULL;
    }
    struct tug__runtime *rt = (struct tug__runtime *)(((uintptr_t)memory + line - 1) & ~(line - 1));
    rt->memory = memory;
    rt->host.stack = &rt->host_stack;
    rt->warm_most = TUG__WARM;
    return rt;
}

/* What the lower layers call. Loops of several threads may open at the same time. */
static void set_upcalls(void)
{
    tug__wake_task = tug__task_wake;
    __atomic_store_n(&tug__task_error, task_error, __ATOMIC_RELAXED);
    tug__in_cancelled_scope = in_cancelled_scope;
    tug__log_task_name = current_name;
}

int tug__runtime_open(struct tug_loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tug__runtime *rt = new_runtime();
    if (rt == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    int rc = tug__stacks_new(TUG__GUARD_PROBE, &rt->stacks);
    if (rc < 0) {
        tug_free(rt->memory);
        return rc;
    }
    tug__group_init_root(&rt->user, loop, "user");
    tug__group_init_root(&rt->service, loop, "service");
    loop->slots[TUG__SLOT_TASKS].value = rt;
    loop->slots[TUG__SLOT_TASKS].destroy = runtime_close;
    loop->run_tasks = run_tasks;
    rt->loop = loop;
    pthread_once(&once, set_upcalls);
    tug__debugging_open(loop, &rt->debugging);
    if (rt->debugging.stacks) {
        rt->warm_most = 0;
    }
    return 0;
}
