/* tug_inspect: the tree in both forms, and that the JSON is JSON whatever the names are. */
#include <tug/inspect.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/group.h>
#include <tug/queue.h>
#include <tug/scope.h>
#include <tug/sys/inspect.h>

#include "child.h"
#include "json.h"

static char *text_of(int form)
{
    static char text[4 << 20];
    char *memory = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&memory, &size);
    if (form == TUG_INSPECT_JSON) {
        tug_inspect_json(f);
    } else {
        tug_inspect(f);
    }
    fclose(f);
    assert_true(size > 0 && size < sizeof text);
    memcpy(text, memory, size + 1);
    free(memory);
    if (form == TUG_INSPECT_JSON) {
        const char *wrong = json_check(text);
        if (wrong != NULL) {
            fail_msg("not JSON at: %.60s\nin: %s", wrong, text);
        }
    }
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

static void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" in:\n%s", part, text);
    }
}

/* --- the tree ----------------------------------------------------------------------------------- */

static int sleeper(void *arg)
{
    tug_task_set_name(arg);
    return tug_sleep(TUG_SECONDS(100));
}

static int getter(void *arg)
{
    void *item = NULL;
    tug_task_set_name("getter");
    tug_scope s;
    tug_scope_enter(&s, TUG_SECONDS(50));
    int rc = tug_queue_next(arg, &item);
    return tug_scope_leave(&s, rc);
}

static int parent(void *arg)
{
    tug_task_set_name("parent");
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(40), TUG_KEEP_GOING);
    TUG_IGNORE(tug_group_spawn(&g, getter, arg));
    TUG_IGNORE(tug_group_spawn(&g, sleeper, (void *)"child"));
    return tug_group_leave(&g, 0);
}

TASK_TEST(shows_the_tree_of_groups_and_tasks)
{
    TUG_AUTO(tug_queue) queue = NULL;
    assert_ok(tug_queue_new(1, NULL, &queue));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, parent, queue));
    assert_ok(tug_sleep(TUG_MS(1500)));

    const char *text = text_of(TUG_INSPECT_TEXT);
    assert_has(text, "tug: tasks=4 spawned=4 ");
    assert_has(text, "\nuser tasks: running=1 failures=0\n");
    assert_has(text, " \"main\" runs, spawned at ");
    assert_has(text, "\n    group policy=\"fail fast\" running=1 failures=0\n");
    assert_has(text, "\"parent\" waits for group since 1.500 s, 38.500 s left, spawned at ");
    assert_has(text,
               "\n        group left=38.500000s policy=\"keep going\" running=2 failures=0\n");
    assert_has(text, "\"getter\" waits for queue.next since 1.500 s, 38.500 s left");
    assert_has(text, "\n            scope left=48.500000s\n");
    assert_has(text, "\"child\" waits for sleep");
    assert_has(text, "\nservice tasks: running=0 failures=0");

    text = text_of(TUG_INSPECT_JSON);
    assert_has(text, "\"user\":{\"running\":1,\"failures\":0,\"tasks\":[{\"number\":1,"
                     "\"name\":\"main\",\"state\":\"running\",\"cancelled\":false,\"spawned_at\":");
    assert_has(text, "\"name\":\"child\",\"state\":\"waiting\",\"waits_for\":\"sleep\","
                     "\"since\":1.500000,\"cancelled\":false,\"left\":38.500000,");
    assert_has(text, "{\"kind\":\"scope\",\"left\":48.500000}");
    tug_group_cancel(&g);
    assert_has(text_of(TUG_INSPECT_JSON),
               "\"name\":\"child\",\"state\":\"ready\",\"cancelled\":true");
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(shows_shields_cancels_and_expiries)
{
    tug_scope outer, shield;
    tug_scope_enter(&outer, TUG_SECONDS(1));
    tug_shield_enter(&shield, TUG_SECONDS(5));
    assert_has(text_of(TUG_INSPECT_TEXT),
               "\n    shield grace=5.000000s\n    scope left=1.000000s\n");
    assert_ok(tug_sleep(TUG_SECONDS(3)));
    assert_has(text_of(TUG_INSPECT_TEXT),
               "\n    shield grace_left=3.000000s grace=5.000000s\n    scope expired=true\n");
    assert_rc(tug_sleep(TUG_SECONDS(9)), TUG_ECANCELED);
    assert_has(text_of(TUG_INSPECT_TEXT), "runs, cancelled, spawned at ");
    assert_has(text_of(TUG_INSPECT_TEXT), "shield grace=5.000000s pierced=true\n");
    assert_rc(tug_scope_leave(&shield, TUG_ECANCELED), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&outer, TUG_ECANCELED), TUG_ETIMEDOUT);
}

static tug_future *started;
TASK_TEST(a_task_that_was_cancelled_alone_shows_it)
{
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    started = tug_group_start(&g, sleeper, (void *)"alone");
    tug_test_settle();
    tug_future_cancel(started);
    assert_has(text_of(TUG_INSPECT_JSON), "\"scopes\":[{\"kind\":\"task\",\"cancelled\":true}]");
    assert_rc(tug_await(started), TUG_EDROPPED);
    started = tug_future_unref(started);
    assert_ok(tug_group_leave(&g, 0));
}

/* --- names that no JSON would take as they are -------------------------------------------------- */

TASK_TEST(any_bytes_in_a_name_give_json_and_one_line)
{
    static const char *const names[] = {
        "quote\" and \\ back",
        "line\nbreak\ttab\r\x01\x1f\x7f",
        "\x1b[31mred",
        "\xff\xfe lone \x80",
        "cut \xe2\x82",
        "\xc0\xaf overlong \xe0\x80\xaf",
        "\xed\xa0\x80 surrogate",
        "\xf4\x90\x80\x80 beyond",
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tug_task_set_name(names[i]);
        assert_has(text_of(TUG_INSPECT_JSON), "\"state\":\"running\"");
    }
    tug_task_set_name("a\nb\xff");
    assert_has(text_of(TUG_INSPECT_JSON), "\"name\":\"a?b?\"");
    tug_task_set_name("gr\xc3\xbc");
    assert_has(text_of(TUG_INSPECT_JSON), "\"name\":\"gr\xc3\xbc\"");
    tug_task_set_name("line\nbreak");
    assert_has_not(text_of(TUG_INSPECT_TEXT), "line\nbreak");
}

/* --- depth -------------------------------------------------------------------------------------- */

static int nest(void *arg)
{
    int *left = arg;
    if (--*left == 0) {
        return tug_sleep(TUG_SECONDS(5));
    }
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    TUG_IGNORE(tug_group_spawn(&g, nest, arg));
    return tug_group_leave(&g, 0);
}

TASK_TEST(groups_nest_without_end_and_are_shown_to_a_depth)
{
    int levels = 300;
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, nest, &levels));
    tug_test_settle();
    assert_int_equal(levels, 0);
    assert_has(text_of(TUG_INSPECT_JSON), "\"tasks_left_out\":true");
    assert_has(text_of(TUG_INSPECT_TEXT), " tasks_left_out=true\n");
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(thousands_of_tasks_are_one_list)
{
    int many = test_many(3000, 600);
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < many; i++) {
        assert_ok(tug_group_spawn(&g, sleeper, (void *)"s"));
    }
    tug_test_settle();
    const char *text = text_of(TUG_INSPECT_JSON);
    size_t n = 0;
    for (const char *s = text; (s = strstr(s, "\"waits_for\":\"sleep\"")) != NULL; s++) {
        n++;
    }
    assert_int_equal(n, many);
    tug_group_cancel(&g);
    assert_ok(tug_group_leave(&g, 0));
}

/* --- sources ------------------------------------------------------------------------------------ */

struct thing {
    tug_inspect_source source;
    const char *name;
};

static void show_thing(tug_inspect_writer *w, void *arg)
{
    struct thing *t = arg;
    tug_inspect_text(w, "name", t->name);
    tug_inspect_text(w, "nothing", NULL);
    tug_inspect_number(w, "n", -7);
    tug_inspect_bool(w, "ok", false);
    tug_inspect_duration(w, "age", TUG_MS(1500));
    tug_inspect_duration(w, "never", TUG_FOREVER);
    tug_inspect_duration(w, "ago", -TUG_US(5));
    tug_inspect_place(w, "place", (void *)(uintptr_t)16);
    tug_inspect_list(w, "part");
    for (int i = 0; i < 2; i++) {
        tug_inspect_item(w);
        tug_inspect_number(w, "i", i);
        tug_inspect_item_end(w);
    }
    tug_inspect_list_end(w);
}

TASK_TEST(sources_show_fields_and_lists_in_both_forms)
{
    struct thing things[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    for (int i = 0; i < 3; i++) {
        tug_inspect_add(&things[i].source, "thing", show_thing, &things[i]);
    }
    assert_has(text_of(TUG_INSPECT_TEXT),
               "\nthing name=\"a\" n=-7 ok=false age=1.500000s ago=-0.000005s place=\"0x10\"\n"
               "  part i=0\n  part i=1\nthing name=\"b\"");
    assert_has(
        text_of(TUG_INSPECT_JSON),
        "\"sources\":[{\"kind\":\"thing\",\"name\":\"a\",\"n\":-7,\"ok\":false,\"age\":1.500000,"
        "\"ago\":-0.000005,\"place\":\"0x10\",\"part\":[{\"i\":0},{\"i\":1}]},{\"kind\"");
    tug_inspect_remove(&things[1].source);
    tug_inspect_remove(&things[1].source);
    assert_has_not(text_of(TUG_INSPECT_TEXT), "name=\"b\"");
    tug_inspect_remove(&things[2].source);
    tug_inspect_add(&things[1].source, "thing", show_thing, &things[1]);
    assert_has(text_of(TUG_INSPECT_TEXT), "part i=1\nthing name=\"b\"");
    tug_inspect_remove(&things[0].source);
    tug_inspect_remove(&things[1].source);
    assert_has(text_of(TUG_INSPECT_JSON), "\"sources\":[]");
}

TASK_TEST(any_bytes_in_a_field_give_json_and_one_line)
{
    struct thing odd = {.name = "a\nb\xff \"\\ cut \xe2\x82"};
    tug_inspect_add(&odd.source, "thing", show_thing, &odd);
    assert_has(text_of(TUG_INSPECT_JSON), "\"a\\u000ab\\ufffd \\\"\\\\ cut \\ufffd\\ufffd\"");
    assert_has(text_of(TUG_INSPECT_TEXT), "\"a\\u000ab\\ufffd \\\"\\\\ cut \\ufffd\\ufffd\"");
    tug_inspect_remove(&odd.source);
}

/* --- memory, and no loop ------------------------------------------------------------------------ */

TASK_TEST(a_buffer_has_the_same_up_to_its_bound)
{
    TUG_AUTO(tug_buffer) buffer = NULL;
    assert_ok(tug_inspect_buffer(TUG_INSPECT_JSON, 1 << 20, &buffer));
    struct tug_bytes b = tug_buffer_bytes(buffer);
    assert_null(json_check(b.data));
    assert_has(b.data, "\"name\":\"main\"");
    tug_buffer *none = NULL;
    assert_rc(tug_inspect_buffer(TUG_INSPECT_JSON, b.size / 2, &none), TUG_ELIMIT);
    assert_detail_has("longer than");
    assert_null(none);
}

static int hang(void *arg)
{
    tug_task_set_name(arg);
    return tug_sleep(TUG_FOREVER);
}

static int run_hang(void)
{
    tug_test_options o = TUG_TEST_OPTIONS_INIT;
    o.bound = TUG_MS(50);
    return tug_test_run(hang, (void *)"stuck", &o);
}

TEST(a_test_that_hangs_shows_the_tree)
{
    TEST_NOT_UNDER_VALGRIND(); /* its own words come between */
    struct child *c = child_run(run_hang);
    assert_int_equal(c->signal, SIGABRT);
    child_said(c, "time bound; its tasks:\ntug: tasks=1 ");
    child_said(c, "\n  task 1 \"stuck\" waits for sleep since 0.000 s, spawned at ");
}

TEST(without_a_loop_it_says_so)
{
    assert_string_equal(text_of(TUG_INSPECT_TEXT), "tug: error=\"this thread has no loop\"\n");
    assert_string_equal(text_of(TUG_INSPECT_JSON), "{\"error\":\"this thread has no loop\"}\n");
}

TEST(the_checker_of_these_tests_refuses_what_is_not_json)
{
    assert_null(json_check("{\"a\":[1,-2.5,true,false,null,\"x\\u00ff\"],\"b\":{}}\n"));
    static const char *const wrong[] = {"",          "{",          "{}x",   "{\"a\"}", "{\"a\":}",
                                        "[1,]",      "{\"a\":1,}", "[01]",  "[1.]",    "\"\n\"",
                                        "[\"\\x\"]", "[\"\xff\"]", "[1 2]", "{a:1}",   "[--1]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_non_null(json_check(wrong[i]));
    }
}
