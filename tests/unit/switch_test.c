/* The hook point of the run queue, what a thread that watches over long steps sees, since when a task waits,
 * and the abort for a wait inside a scope that nobody can leave any more. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <tug/group.h>
#include <tug/queue.h>
#include <unistd.h>

#include "task/task.h"
#include "test.h"

enum {
    MOST = 256
};
/* "+a" spawned, ">a" runs, "~a" yields, "-a" waits, "!a" has ended */
static char seen[MOST];
static size_t used;

static void note(char what, const struct tug_task *t)
{
    assert_true(used + 3 < MOST);
    seen[used++] = what;
    seen[used++] = t->fn == NULL ? '?' : t->name[0] != 0 ? t->name[0] : 'x';
    seen[used] = 0;
}

static void on_spawn(struct tug_loop *loop, void *task)
{
    (void)loop;
    note('+', task);
}

static void on_switch(struct tug_loop *loop, void *from, void *to)
{
    struct tug_task *t = from;
    assert_ptr_equal(loop->current, from);
    if (t != NULL) {
        note(t->state == TUG__TASK_READY ? '~' : t->state == TUG__TASK_ENDED ? '!' : '-', t);
    }
    if (to != NULL) {
        note('>', to);
    }
}

static int yield_twice(void *arg)
{
    tug_task_set_name(arg);
    int rc = tug_yield();
    return rc == 0 ? tug_yield() : rc;
}

TASK_TEST(hooks_see_spawn_suspend_resume_and_end)
{
    char name[] = "a";
    tug_task_set_name("m");
    tug__loop_set_hooks(tug__loop, on_spawn, on_switch);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, yield_twice, name));
    assert_ok(tug_group_leave(&g, 0));
    /* Alone in the queue, a task that yields goes through the loop's own stack. */
    assert_string_equal(seen, "+x-m>x~a>a~a>a!a>m");
    used = 0;
    assert_ok(tug_sleep(TUG_MS(1)));
    assert_string_equal(seen, "-m>m");
    tug__loop_set_hooks(tug__loop, NULL, NULL);
    used = 0;
    seen[0] = 0;
    assert_ok(tug_yield());
    assert_string_equal(seen, "");
}

static size_t switches;
static int ends;
static void count_switches(struct tug_loop *loop, void *from, void *to)
{
    const struct tug_task *t = from;
    (void)loop;
    switches += to != NULL;
    if (t != NULL && t->state == TUG__TASK_ENDED) {
        ends++;
        assert_int_equal(t->wake_code, 7);
    }
}

static int yield_many(void *arg)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < *(int *)arg; i++) {
        rc = tug_yield();
    }
    return rc == 0 ? 7 : rc;
}

static int calls;
static void count_call(void *arg)
{
    (void)arg;
    calls++;
}

/* A hook keeps head at pause; the budget, calls and the clock must go on as without. */
TASK_TEST(hooks_miss_no_resume_and_keep_the_budget)
{
    int n = 5000;
    tug_call call = {NULL, NULL, NULL, 0};
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug__loop_set_hooks(tug__loop, NULL, count_switches);
    uint32_t before = tug__loop_resumes(tug__loop);
    assert_ok(tug_group_spawn(&g, yield_many, &n));
    assert_ok(tug_group_spawn(&g, yield_many, &n));
    tug_call_soon(&call, count_call, NULL);
    assert_ok(tug_yield());
    assert_ok(tug_yield());
    assert_int_equal(calls, 1);
    assert_ok(tug_group_leave(&g, 0));
    tug__loop_set_hooks(tug__loop, NULL, NULL);
    assert_int_equal(ends, 2);
    assert_int_equal(tug__loop_resumes(tug__loop) - before, switches);
    assert_true(switches >= 10000);
}

static int grow(void *arg)
{
    return tug_sleep(*(tug_duration *)arg);
}

/* The watcher's number counts on while the run queue grows under it, and names who runs. */
TASK_TEST(resumes_are_counted_on_when_the_queue_grows)
{
    static tug_duration d = TUG_MS(1);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    uint32_t before = tug__loop_resumes(tug__loop);
    for (int i = 0; i < 1000; i++) {
        assert_ok(tug_group_spawn(&g, grow, &d));
    }
    assert_int_equal(tug__loop_resumes(tug__loop), before);
    assert_ptr_equal(tug__loop_running(tug__loop), tug_task_current());
    assert_ok(tug_yield());
    assert_int_equal(tug__loop_resumes(tug__loop), before + 1001);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(tug__loop_resumes(tug__loop), before + 2002);
}

/* --- scopes of dead frames ---------------------------------------------------------------------- */

/* The body runs in a child process, which must abort with a line that has these words. */
static void assert_aborts(tug_task_fn fn, const char *words)
{
    int out[2];
    char text[512] = "";
    assert_int_equal(pipe(out), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        TUG_IGNORE(tug_test_run(fn, NULL, NULL));
        _exit(0);
    }
    close(out[1]);
    size_t got = 0;
    ssize_t n;
    while (got < sizeof text - 1 && (n = read(out[0], text + got, sizeof text - 1 - got)) > 0) {
        got += (size_t)n;
    }
    close(out[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    if (strstr(text, words) == NULL) {
        fail_msg("no \"%s\" in: %s", words, text);
    }
}

/* alloca: AddressSanitizer keeps other locals elsewhere, so that they are never in a dead frame. */
static __attribute__((noinline)) void forget_scope(void)
{
    tug_scope *s = __builtin_alloca(sizeof *s);
    tug_scope_enter(s, TUG_FOREVER);
}

static __attribute__((noinline)) void forget_group(void)
{
    tug_group *g = __builtin_alloca(sizeof *g);
    tug_group_enter(g, TUG_FOREVER, TUG_FAIL_FAST);
}

static const tug_future_class never_class = {.size = sizeof(tug_future_class), .name = "never"};

static int then_yield(void *arg)
{
    (void)arg;
    forget_scope();
    return tug_yield();
}

static int group_then_yield(void *arg)
{
    (void)arg;
    forget_group();
    return tug_yield();
}

static int then_sleep(void *arg)
{
    (void)arg;
    forget_scope();
    return tug_sleep(TUG_MS(1));
}

static int then_sleep_until(void *arg)
{
    (void)arg;
    forget_scope();
    return tug_sleep_until(tug_now() + TUG_MS(1));
}

static int then_await(void *arg)
{
    tug_future *f = tug_future_new(&never_class);
    (void)arg;
    forget_scope();
    return tug_await(f);
}

static int then_await_own(void *arg)
{
    tug_future *f = tug_future_new(&never_class);
    (void)arg;
    forget_scope();
    return tug_await_own(f);
}

static int then_gather(void *arg)
{
    tug_future *f[2] = {tug_future_new(&never_class), tug_future_new(&never_class)};
    (void)arg;
    forget_scope();
    return tug_gather(f, 2);
}

static int then_wait_any(void *arg)
{
    tug_future *f = tug_future_new(&never_class);
    size_t i;
    (void)arg;
    forget_scope();
    return tug_wait_any(&f, 1, &i);
}

static int then_put(void *arg)
{
    tug_queue *q;
    assert_ok(tug_queue_new(1, NULL, &q));
    assert_ok(tug_queue_put(q, arg));
    forget_scope();
    return tug_queue_put(q, arg);
}

static int then_next(void *arg)
{
    tug_queue *q;
    assert_ok(tug_queue_new(1, NULL, &q));
    forget_scope();
    return tug_queue_next(q, &arg);
}

static int then_fd_wait(void *arg)
{
    (void)arg;
    forget_scope();
    return tug_fd_wait(0, TUG_READ);
}

static int then_checkpoints(void *arg)
{
    int rc = 0;
    (void)arg;
    forget_scope();
    for (int i = 0; rc == 0 && i < 1000; i++) {
        rc = tug_checkpoint();
    }
    return rc;
}

static int then_park(void *arg)
{
    tug_waiters w = {NULL, NULL};
    (void)arg;
    forget_scope();
    return tug_park(&w, NULL, "test");
}

static void nothing(void *arg)
{
    (void)arg;
}

static int then_loop_stack(void *arg)
{
    forget_scope();
    tug_on_loop_stack(nothing, arg);
    return 0;
}

TEST(a_wait_in_a_scope_of_a_dead_frame_aborts)
{
    const tug_task_fn each[] = {then_yield,       group_then_yield, then_sleep,   then_sleep_until,
                                then_await,       then_await_own,   then_gather,  then_wait_any,
                                then_put,         then_next,        then_fd_wait, then_park,
                                then_checkpoints, then_loop_stack};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        assert_aborts(each[i], "of a function that has returned");
    }
}

static int end_inside(void *arg)
{
    (void)arg;
    forget_scope();
    return 0;
}

TEST(an_end_in_a_scope_of_a_dead_frame_aborts)
{
    assert_aborts(end_inside, "ended inside a scope or group");
}

static int dive(int depth)
{
    volatile char room[256];
    room[0] = (char)depth;
    int rc = depth > 0 ? dive(depth - 1) : tug_yield();
    return rc + (room[0] != (char)depth);
}

/* Scopes of frames that are alive, of the heap, and of TUG_WITHIN are none of that. */
TASK_TEST(waits_in_scopes_that_are_alive_go_on)
{
    tug_scope here;
    tug_scope *there = malloc(sizeof *there);
    assert_non_null(there);
    tug_scope_enter(&here, TUG_SECONDS(1));
    assert_ok(dive(10));
    tug_scope_enter(there, TUG_FOREVER);
    assert_ok(dive(3));
    assert_ok(TUG_WITHIN(TUG_MS(5), TUG_WITHIN(TUG_MS(3), dive(5))));
    assert_rc(TUG_WITHIN(TUG_MS(5), tug_sleep(TUG_MS(6))), TUG_ETIMEDOUT);
    assert_ok(tug_scope_leave(there, 0));
    free(there);
    assert_ok(tug_yield());
    assert_ok(tug_scope_leave(&here, 0));
}

/* --- what a wait notes, and what a life leaves behind ------------------------------------------- */

static int sleep_ten(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_MS(10));
}

TASK_TEST(a_wait_notes_when_it_began)
{
    tug_group g;
    assert_ok(tug_sleep(TUG_MS(3)));
    tug_time start = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, sleep_ten, NULL));
    const struct tug_task *t = ((struct tug__group *)&g)->first_child;
    assert_ok(tug_sleep(TUG_MS(5)));
    assert_ptr_equal(((struct tug__group *)&g)->first_child, t); /* it is still there */
    assert_int_equal(t->waiting_since, start);
    assert_int_equal(tug_now(), start + TUG_MS(5));
    assert_ok(tug_group_leave(&g, 0));
}

static int leave_traces(void *arg)
{
    (void)arg;
    assert_string_equal(tug_task_name(tug_task_current()), "");
    assert_int_equal(tug_last_error()->code, 0);
    assert_string_equal(tug_last_error()->text, "");
    assert_int_equal(errno, 0);
    assert_false(tug_is_cancelled());
    tug_task_set_name("traces");
    errno = ERANGE;
    tug_fail(TUG_EINVAL, "traces");
    return tug_sleep(TUG_SECONDS(1)) == TUG_ECANCELED ? 0 : -EIO;
}

/* A task is made of one that has ended: nothing of that one's life shows. */
TASK_TEST(a_task_starts_afresh_on_a_stack_that_was_used)
{
    for (int round = 0; round < test_many(300, 30); round++) {
        tug_group g;
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        for (int i = 0; i <= round % 200; i++) {
            assert_ok(tug_group_spawn(&g, leave_traces, NULL));
        }
        assert_ok(tug_yield());
        tug_group_cancel(&g);
        assert_ok(tug_group_leave(&g, 0));
    }
}

static int sleep_long(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_SECONDS(1));
}

static int look_through_a_shield(void *arg)
{
    tug_scope shield;
    tug_shield_enter(&shield, TUG_MS(1));
    int rc = tug_scope_leave(&shield, tug_yield()); /* looks at all scopes outside, anew */
    *(int *)arg = rc == 0 ? tug_yield() : rc;
    return 0;
}

TASK_TEST(a_cancel_of_a_task_does_not_reach_the_next_on_its_stack)
{
    tug_group g;
    int rc = 1;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_future *f = tug_group_start(&g, sleep_long, NULL);
    assert_ok(tug_yield());
    const struct tug_task *before = ((struct tug__group *)&g)->first_child;
    tug_future_cancel(f);
    assert_rc(tug_await(f), TUG_EDROPPED);
    tug_future_unref(f);
    assert_ok(tug_group_spawn(&g, look_through_a_shield, &rc));
    assert_ptr_equal(((struct tug__group *)&g)->first_child, before);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(rc, 0);
}

static size_t deep_stacks;

static __attribute__((noinline)) int use_stack(void *arg)
{
    volatile char *deep = __builtin_alloca(64 * 1024);
    (void)arg;
    for (size_t i = 0; i < (size_t)64 * 1024; i++) {
        deep[i] = 1;
    }
    deep_stacks += tug__stack_is_deep(tug__current()->stack);
    return tug_yield();
}

/* Tasks kept for the next spawns do not keep what they used of their stacks. */
TASK_TEST(deep_stacks_are_not_kept_as_they_are)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 100; i++) {
        assert_ok(tug_group_spawn(&g, use_stack, NULL));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_true(deep_stacks > 50); /* of some, the mark lies in a hole between frames */
    assert_ok(tug_sleep(TUG_MS(1)));
    const struct tug__runtime *rt = tug__runtime(tug__loop);
    assert_int_equal(rt->warm_checked, rt->warm_count);
    for (uint32_t i = 0; i < rt->warm_count; i++) {
        assert_false(tug__stack_is_deep(rt->warm[i]->stack));
    }
}
