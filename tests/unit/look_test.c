/* The list of tasks, and hooks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>

#include "test.h"

/* --- the list ----------------------------------------------------------------------------------- */

static tug_semaphore *semaphore;

static int acquire(void *arg)
{
    tug_task_set_name(arg);
    return tug_semaphore_acquire(semaphore);
}

static int with_group(void *arg)
{
    tug_group g;
    tug_task_set_name("parent");
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, acquire, arg));
    return tug_group_leave(&g, 0);
}

static const tug_task_info *find(const tug_task_info *infos, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(infos[i].name, name) == 0) {
            return &infos[i];
        }
    }
    fail_msg("no task \"%s\" among %zu", name, n);
    return NULL;
}

static int serve(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_MS(500));
}

TASK_TEST(the_list_says_who_waits_for_what_since_when)
{
    char name[] = "child";
    tug_task_info infos[8];
    assert_ok(tug_semaphore_new(0, &semaphore));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_sleep(TUG_MS(100)));
    tug_time then = tug_now();
    assert_ok(tug_group_spawn(&g, with_group, name));
    assert_ok(tug_service_spawn("server", serve, NULL));
    assert_ok(tug_sleep(TUG_MS(50)));
    assert_int_equal(tug_task_list(infos, 8), 4);
    const tug_task_info *main_task = find(infos, 4, "main");
    const tug_task_info *parent = find(infos, 4, "parent");
    const tug_task_info *child = find(infos, 4, "child");
    const tug_task_info *server = find(infos, 4, "server");
    assert_int_equal(main_task->state, TUG_TASK_RUNS);
    assert_null(main_task->waits_for);
    assert_int_equal(main_task->parent, 0);
    assert_int_equal(main_task->number, 1);
    assert_int_equal(parent->state, TUG_TASK_HELD);
    assert_string_equal(parent->waits_for, "group");
    assert_int_equal(parent->parent, main_task->number);
    assert_int_equal(child->state, TUG_TASK_WAITS);
    assert_string_equal(child->waits_for, "semaphore.acquire");
    assert_int_equal(child->since, then);
    assert_int_equal(child->parent, parent->number);
    assert_true(parent < child);
    assert_non_null(child->spawned_at);
    assert_false(child->is_cancelled);
    assert_true(server->is_service && !child->is_service);
    assert_string_equal(server->waits_for, "sleep");
    /* Only as many as there is room for, but all are counted. */
    memset(infos, 0, sizeof infos);
    assert_int_equal(tug_task_list(infos, 1), 4);
    assert_int_equal(infos[0].number, 1);
    assert_int_equal(infos[1].number, 0);
    assert_int_equal(tug_task_list(NULL, 0), 4);
    tug_group_cancel(&g);
    assert_int_equal(tug_task_list(infos, 8), 4);
    assert_true(find(infos, 4, "child")->is_cancelled);
    assert_int_equal(find(infos, 4, "child")->state, TUG_TASK_READY);
    assert_ok(tug_group_leave(&g, 0));
    tug_semaphore_unref(semaphore);
}

TEST(without_a_loop_the_list_is_empty)
{
    assert_int_equal(tug_task_list(NULL, 0), 0);
    assert_rc(tug_hooks_set(NULL), TUG_EMISUSE);
}

/* Groups nest as deep as a program likes: the list must not recurse. */
static int nest(void *arg)
{
    size_t *left = arg;
    tug_group g;
    if (*left == 0) {
        *left = tug_task_list(NULL, 0);
        return 0;
    }
    --*left;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, nest, arg));
    return tug_group_leave(&g, 0);
}

TASK_TEST(deep_nests_are_listed)
{
    size_t n = 2000;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, nest, &n));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(n, 2002);
}

/* --- hooks -------------------------------------------------------------------------------------- */

static char seen[256];
static size_t used;

static void note(char what, tug_task *t, void *arg)
{
    assert_string_equal(arg, "arg");
    assert_null(tug_task_current()); /* so what would wait is refused */
    assert_rc(tug_yield(), TUG_EMISUSE);
    errno = EDOM;
    assert_true(used + 3 < sizeof seen);
    seen[used++] = what;
    seen[used++] = tug_task_name(t)[0] != 0 ? tug_task_name(t)[0] : 'x';
    seen[used] = 0;
}

static void on_spawn(tug_task *t, void *arg)
{
    note('+', t, arg);
}
static void on_resume(tug_task *t, void *arg)
{
    note('>', t, arg);
}
static void on_suspend(tug_task *t, void *arg)
{
    note('-', t, arg);
}
static void on_end(tug_task *t, void *arg)
{
    note('!', t, arg);
}

static int yield_once(void *arg)
{
    tug_task_set_name(arg);
    return tug_yield();
}

TASK_TEST(hooks_are_told_of_spawn_resume_suspend_and_end)
{
    char name[] = "a", arg[] = "arg";
    tug_hooks h = TUG_HOOKS_INIT;
    h.spawn = on_spawn;
    h.resume = on_resume;
    h.suspend = on_suspend;
    h.end = on_end;
    h.arg = arg;
    assert_ok(tug_hooks_set(&h));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_fail(TUG_EUSER, "mine");
    errno = ENOENT;
    assert_ok(tug_group_spawn(&g, yield_once, name));
    assert_int_equal(errno, ENOENT);
    assert_ok(tug_yield());
    assert_int_equal(errno, ENOENT);
    assert_string_equal(tug_last_error()->text, "mine");
    assert_ok(tug_group_leave(&g, 0));
    assert_string_equal(seen, "+x-m>x-a>m-m>a!a>m");
    assert_ok(tug_hooks_set(NULL));
    used = 0;
    seen[0] = 0;
    assert_ok(tug_yield());
    assert_string_equal(seen, "");
}

TASK_TEST(a_hook_alone_is_told_only_its_own)
{
    char name[] = "a", arg[] = "arg";
    tug_hooks h = TUG_HOOKS_INIT;
    h.end = on_end;
    h.arg = arg;
    assert_ok(tug_hooks_set(&h));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, yield_once, name));
    assert_ok(tug_group_leave(&g, 0));
    h.end = NULL;
    h.spawn = on_spawn;
    assert_ok(tug_hooks_set(&h));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, yield_once, name));
    assert_ok(tug_group_leave(&g, 0));
    assert_string_equal(seen, "!a+x");
    assert_ok(tug_hooks_set(NULL));
}
