/* The hook point of the run queue, and what a thread that watches over long steps sees. */
#include <tug/group.h>

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
