/* Task-locals. */
#include <stdio.h>
#include <tug/group.h>
#include <tug/sys/driver.h>

#include "test.h"

static int destroyed;
static void on_destroy(void *value)
{
    destroyed += *(int *)value;
}

static const tug_local request = TUG_LOCAL_INIT("request", on_destroy);
static const tug_local user = TUG_LOCAL_INIT("user", NULL);
static const tug_local own = {"own", on_destroy, true};

static int one = 1, ten = 10, hundred = 100;

TASK_TEST(a_task_has_what_it_set)
{
    assert_null(tug_local_get(&request));
    assert_ok(tug_local_set(&request, &one));
    assert_ptr_equal(tug_local_get(&request), &one);
    assert_null(tug_local_get(&user));
    assert_ok(tug_local_set(&user, &ten));
    assert_ok(tug_local_set(&request, &hundred)); /* in its place */
    assert_int_equal(destroyed, 1);
    assert_ptr_equal(tug_local_get(&request), &hundred);
    assert_ptr_equal(tug_local_get(&user), &ten);
    assert_ok(tug_local_set(&request, NULL));
    assert_int_equal(destroyed, 101);
    assert_null(tug_local_get(&request));
    assert_ok(tug_local_set(&request, NULL));
    assert_ptr_equal(tug_local_get(&user), &ten);
}

static int set_and_end(void *arg)
{
    assert_ok(tug_local_set(&request, arg));
    return tug_fail(TUG_EUSER, "mine");
}

TASK_TEST(what_a_task_set_ends_with_it)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    TUG_AUTO(tug_future) f = tug_group_start(&g, set_and_end, &ten);
    assert_rc(tug_await(f), TUG_EUSER);
    assert_string_equal(tug_last_error()->text, "mine");
    assert_int_equal(destroyed, 10);
    assert_null(tug_local_get(&request));
    assert_ok(tug_group_leave(&g, 0));
}

static int look_and_change(void *arg)
{
    assert_ptr_equal(tug_local_get(&request), &one);
    assert_ptr_equal(tug_local_get(&user), &ten);
    assert_null(tug_local_get(&own));
    assert_ok(tug_yield());
    assert_ptr_equal(tug_local_get(&request),
                     &one); /* as it was at the spawn, although the parent changed it */
    assert_ok(tug_local_set(&request, arg));
    assert_ok(tug_yield());
    assert_ptr_equal(tug_local_get(&request), arg);
    return 0;
}

TASK_TEST(children_inherit_and_what_they_set_is_their_own)
{
    assert_ok(tug_local_set(&request, &one));
    assert_ok(tug_local_set(&user, &ten));
    assert_ok(tug_local_set(&own, &hundred));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, look_and_change, &hundred));
    assert_ok(tug_group_spawn(&g, look_and_change, &ten));
    assert_ok(tug_yield());
    assert_ok(tug_local_set(&request, &ten));
    assert_int_equal(destroyed, 0); /* the children still have it */
    assert_ok(tug_yield());
    assert_ptr_equal(tug_local_get(&request), &ten);
    assert_int_equal(destroyed, 1); /* the last one has set another */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(destroyed, 111);
    assert_ptr_equal(tug_local_get(&own), &hundred);
    assert_ok(tug_local_set(&own, NULL));
    assert_int_equal(destroyed, 211);
}

static int grandparent(void *arg)
{
    tug_group g;
    assert_ptr_equal(tug_local_get(&request), &one);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(
        tug_group_spawn(&g, arg != NULL ? grandparent : set_and_end, arg != NULL ? NULL : &ten));
    assert_rc(tug_group_leave(&g, 0), arg != NULL ? 0 : TUG_EUSER);
    return 0;
}

static int service(void *arg)
{
    (void)arg;
    assert_null(tug_local_get(&request));
    return 0;
}

TASK_TEST(all_descendants_inherit_but_service_tasks)
{
    assert_ok(tug_local_set(&request, &one));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, grandparent, &g));
    assert_ok(tug_group_leave(&g, 0));
    assert_ok(tug_service_spawn("service", service, NULL));
    assert_ok(tug_yield());
}

TASK_TEST(a_task_has_at_most_64)
{
    static tug_local keys[65];
    static int values[65];
    for (int i = 0; i < 64; i++) {
        keys[i] = (tug_local){"key", i % 2 == 0 ? NULL : on_destroy, i % 3 == 0};
        values[i] = 1;
        assert_ok(tug_local_set(&keys[i], &values[i]));
    }
    assert_rc(tug_local_set(&keys[64], &values[64]), TUG_ELIMIT);
    for (int i = 0; i < 64; i++) {
        assert_ptr_equal(tug_local_get(&keys[i]), &values[i]);
    }
    assert_ok(tug_local_set(&keys[7], NULL));
    assert_ok(tug_local_set(&keys[64], &values[64]));
}

TEST(without_a_task_there_are_none)
{
    assert_rc(tug_local_set(&request, &one), TUG_EMISUSE);
    assert_null(tug_local_get(&request));
}

static const tug_local stubborn;
static int set_again, refused;

static void sets_it_again(void *value)
{
    int rc = tug_local_set(&stubborn, value);
    set_again += rc == 0;
    refused += rc == TUG_EMISUSE;
}

static const tug_local stubborn = TUG_LOCAL_INIT("stubborn", sets_it_again);

static int set_stubborn(void *arg)
{
    (void)arg;
    return tug_local_set(&stubborn, &one);
}

TASK_TEST(a_destroy_that_sets_its_key_again_comes_to_an_end)
{
    tug_group g;
    set_again = refused = 0;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, set_stubborn, NULL);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(set_again, 4);
    assert_int_equal(refused, 1);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    tug_group_spawn(&g, set_and_end, &ten); /* on the same stack */
    assert_rc(tug_group_leave(&g, 0), TUG_EUSER);
}
