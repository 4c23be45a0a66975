/* What tug_inspect says of a pool: who has a lease, who waits, and why opens fail. */
#include <tug/inspect.h>

#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/scope.h>
#include <tug/task.h>

#include "json.h"
#include "pool_fake.h"

static const char *shown(int form)
{
    static char text[64 << 10];
    TUG_AUTO(tug_buffer) buffer = NULL;
    assert_ok(tug_inspect_buffer(form, sizeof text - 1, &buffer));
    struct tug_bytes b = tug_buffer_bytes(buffer);
    memcpy(text, b.data, b.size + 1);
    assert_true(form == TUG_INSPECT_TEXT || json_check(text) == NULL);
    return text;
}

static void assert_shown(int form, const char *part)
{
    if (strstr(shown(form), part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, shown(form));
    }
}

static int borrow(void *arg)
{
    tug_lease *lease = NULL;
    tug_task_set_name("borrower");
    int rc = tug_pool_acquire(arg, &lease);
    tug_lease_close(lease);
    return rc;
}

TASK_TEST(shows_who_has_a_lease_and_who_waits)
{
    struct fake f = {.connects = 0};
    tug_pool_options o = TUG_POOL_OPTIONS_INIT;
    o.name = "fakes";
    o.max = 1;
    o.leak_after = TUG_SECONDS(3);
    tug_pool *p = fake_pool(&f, &o);
    tug_task_set_name("owner");
    tug_lease *lease = fake_acquire(p);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, borrow, p));
    assert_ok(tug_sleep(TUG_SECONDS(2)));
    assert_shown(TUG_INSPECT_TEXT, "\npool name=\"fakes\" state=\"open\" size=1 min=0 max=1 idle=0 "
                                   "out=1 preparing=0 opening=0 closing=0 waiting=1 acquired=1 "
                                   "opened=1 wait_p50=0.000000s wait_p99=0.000000s connect_p50=");
    assert_shown(TUG_INSPECT_TEXT, "\n  lent by=\"owner\" task=1 since=2.000000s place=\"");
    assert_shown(TUG_INSPECT_TEXT, "\n  waiter by=\"borrower\" task=");
    assert_shown(TUG_INSPECT_JSON, "\"lent\":[{\"by\":\"owner\",\"task\":1,\"since\":2.000000,");
    assert_null(strstr(shown(TUG_INSPECT_TEXT), " leak=true"));
    assert_ok(tug_sleep(TUG_SECONDS(2)));
    assert_shown(TUG_INSPECT_TEXT, " leaked=1 ");
    assert_shown(TUG_INSPECT_TEXT, " leak=true\n");
    assert_shown(TUG_INSPECT_JSON, "\"leak\":true");
    tug_lease_close(lease);
    assert_ok(tug_group_leave(&g, 0));
    assert_shown(TUG_INSPECT_TEXT, " idle=1 out=0 ");
    assert_shown(TUG_INSPECT_JSON, "\"lent\":[],\"waiter\":[]");
    fake_close(&f, p);
    assert_null(strstr(shown(TUG_INSPECT_TEXT), "fakes"));
}

TASK_TEST(a_lease_that_was_waited_for_shows_who_waited)
{
    struct fake f = {.connect_takes = TUG_SECONDS(1)};
    tug_pool *p = fake_pool(&f, NULL);
    tug_task_set_name("patient");
    tug_lease *lease = NULL;
    assert_ok(tug_pool_acquire(p, &lease));
    assert_shown(TUG_INSPECT_TEXT, "\n  lent by=\"patient\" task=1 since=0.000000s place=\"");
    tug_lease_close(lease);
    fake_close(&f, p);
}

TASK_TEST(shows_why_opens_fail)
{
    struct fake f = {.connect_rc = TUG_ECONNECT, .connect_transient = true, .connect_fails = -1};
    tug_pool *p = fake_pool(&f, NULL);
    tug_lease *lease = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(1), tug_pool_acquire(p, &lease)), TUG_ETIMEDOUT);
    assert_shown(TUG_INSPECT_TEXT, " given_up=1 ");
    assert_shown(TUG_INSPECT_TEXT, " open_error=\"");
    assert_shown(TUG_INSPECT_TEXT, " retry_in=");
    assert_shown(TUG_INSPECT_TEXT, " breaker_open=false");
    assert_shown(TUG_INSPECT_JSON, "\"open_error\":\"");
    fake_close(&f, p);
}
