/* The one-line description of a task, which all reports share. */
#include "task/describe.h"

#include <stdio.h>
#include <string.h>
#include <test.h>
#include <tug/group.h>
#include <tug/queue.h>
#include <tug/scope.h>

#include "task/task.h"
#include "util/place.h"

static struct tug_task *seen;

static int sleeper(void *arg)
{
    seen = tug_task_current();
    tug_task_set_name(arg);
    return tug_sleep(TUG_SECONDS(100));
}

/* Of the current task, or of one that is in a group and has not ended. */
static const char *describe(const struct tug_task *t)
{
    static char text[TUG__DESCRIBE_SIZE];
    tug__task_describe(t, text, sizeof text);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", text, part);
    }
}

TASK_TEST(says_what_a_task_waits_for_and_since_when)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, sleeper, (void *)"worker"));
    assert_ok(tug_sleep(TUG_MS(1250)));
    assert_ptr_equal(((struct tug__group *)&g)->first_child, seen);
    const char *text = describe(seen);
    assert_has(text, "\"worker\" waits for sleep since 1.250 s, spawned at ");
    char number[32];
    snprintf(number, sizeof number, "task %llu ", (unsigned long long)tug_task_number(seen));
    assert_int_equal(strncmp(text, number, strlen(number)), 0);
    tug_group_cancel(&g);
    assert_has(describe(seen), "is ready to run, cancelled");
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(says_how_much_time_is_left)
{
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(10), TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, sleeper, (void *)"a"));
    assert_ok(tug_sleep(TUG_SECONDS(3)));
    assert_ptr_equal(((struct tug__group *)&g)->first_child, seen);
    assert_has(describe(seen), "since 3.000 s, 7.000 s left");
    assert_has(describe(tug_task_current()), "runs, 7.000 s left");
    tug_scope shield;
    tug_shield_enter(&shield, TUG_SECONDS(1));
    assert_has(describe(tug_task_current()), "runs, spawned at");
    assert_ok(tug_scope_leave(&shield, 0));
    tug_group_cancel(&g);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_short_buffer_is_cut_and_ended)
{
    for (size_t size = 1; size < 40; size++) {
        char text[64];
        memset(text, 'x', sizeof text);
        tug__task_describe(tug_task_current(), text, size);
        assert_int_equal(strlen(text), size - 1);
        assert_int_equal(text[size], 'x');
    }
}

TEST(a_place_without_a_module_is_a_number)
{
    char text[TUG__PLACE_SIZE];
    tug__place_describe((void *)(uintptr_t)0x10, text, sizeof text);
    assert_string_equal(text, "0x10");
    tug__place_describe(NULL, text, sizeof text);
    assert_string_equal(text, "?");
    tug__place_describe((void *)((uintptr_t)&a_place_without_a_module_is_a_number + 1), text,
                        sizeof text);
    assert_has(text, "unit-describe+0x");
    tug__place_describe((void *)((uintptr_t)&strlen + 1), text, sizeof text);
    assert_has(text, "+0x");
}
