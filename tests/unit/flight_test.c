#include <stdio.h>
#include <string.h>
#include <tug/flight.h>
#include <tug/log.h>

#include "sync_rig.h"

/* The argument of a load: the loader must see a copy of it. */
struct order {
    int number;
    tug_duration takes;
    int fails; /* with this code */
};

static int loads;
static int loads_ended;
static struct order last;
static tug_flight *the_flight;

static int load(void *arg, tug_buffer **ret_value)
{
    struct order *o = arg;
    loads++;
    last = *o;
    int rc = tug_sleep(o->takes);
    loads_ended++;
    if (rc == 0 && o->fails < 0) {
        rc = tug_fail(o->fails, "no %d today", o->number);
    }
    return rc < 0 ? rc : tug_buffer_new(&o->number, sizeof o->number, ret_value);
}

/* A wait for a key: on, and what to load. */
struct asking {
    struct waiter waiter;
    const char *key;
    struct order order;
    tug_buffer *value;
    char text[sizeof((tug_error *)NULL)->text];
};

static struct tug_bytes key_of(const char *text)
{
    return tug_bytes(text, strlen(text));
}

static int ask(struct waiter *w)
{
    struct asking *a = w->more;
    int rc = tug_flight_run(w->on, key_of(a->key), load, &a->order, sizeof a->order, &a->value);
    memset(&a->order, 0xee, sizeof a->order); /* was copied */
    if (rc < 0) {
        strcpy(a->text, tug_last_error()->text);
    }
    return rc;
}

static void spawn(tug_group *g, struct asking *a, tug_flight *f, const char *key,
                  struct order order)
{
    *a = (struct asking){.waiter = {.on = f, .wait = ask, .more = a}, .key = key, .order = order};
    assert_ok(tug_group_spawn(g, waiter_run, &a->waiter));
}

static int number_of(const tug_buffer *b)
{
    int n;
    assert_int_equal(tug_buffer_bytes(b).size, sizeof n);
    memcpy(&n, tug_buffer_bytes(b).data, sizeof n);
    return n;
}

static int run(tug_flight *f, const char *key, struct order o)
{
    TUG_AUTO(tug_buffer) value = NULL;
    int rc = tug_flight_run(f, key_of(key), load, &o, sizeof o, &value);
    return rc < 0 ? rc : number_of(value);
}

TASK_TEST(all_who_ask_get_the_value_of_one_load)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a[5];
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 4; i++) {
        spawn(&g, &a[i], f, "one", (struct order){i, TUG_SECONDS(1), 0});
    }
    spawn(&g, &a[4], f, "two", (struct order){9, TUG_SECONDS(1), 0});
    assert_waits(&a[3].waiter);
    assert_int_equal(tug_flight_loads(f), 2);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(loads, 2);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(a[i].waiter.rc, 0);
        assert_ptr_equal(a[i].value, a[i < 4 ? 0 : 4].value);
        assert_int_equal(number_of(a[i].value), i < 4 ? 0 : 9);
    }
    for (int i = 0; i < 5; i++) {
        tug_buffer_unref(a[i].value);
    }
    assert_int_equal(tug_flight_loads(f), 0);
    assert_int_equal(run(f, "one", (struct order){77, 0, 0}), 77); /* nothing is kept */
    assert_int_equal(loads, 3);
}

TASK_TEST(keys_are_bytes)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a;
    tug_group g;
    TUG_AUTO(tug_buffer) value = NULL;
    struct order o = {5, 0, 0};
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a, f, "", (struct order){1, TUG_SECONDS(1), 0});
    assert_waits(&a.waiter);
    assert_ok(tug_flight_run(f, tug_bytes("\0", 1), load, &o, sizeof o, &value));
    assert_int_equal(number_of(value), 5);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(number_of(a.value), 1);
    tug_buffer_unref(a.value);
}

TASK_TEST(a_failure_and_its_detail_reach_all)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a[3];
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        spawn(&g, &a[i], f, "k", (struct order){4, TUG_MS(5), TUG_ENOTFOUND});
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(loads, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].waiter.rc, TUG_ENOTFOUND);
        assert_string_equal(a[i].text, "no 4 today");
        assert_null(a[i].value);
    }
}

static int give_nothing(void *arg, tug_buffer **ret_value)
{
    (void)arg;
    (void)ret_value;
    return 3;
}

static int fail_plainly(void *arg, tug_buffer **ret_value)
{
    (void)arg;
    (void)ret_value;
    TUG_IGNORE(tug_fail(TUG_EINVAL, "of something before"));
    return TUG_EUSER - 7;
}

TASK_TEST(no_argument_no_value_no_detail)
{
    TUG_AUTO(tug_flight) f = NULL;
    tug_buffer *value = (tug_buffer *)&loads; /* not what is given */
    assert_ok(tug_flight_new(&f));
    assert_ok(tug_flight_run(f, key_of("k"), give_nothing, NULL, 0, &value));
    assert_null(value);
    assert_rc(tug_flight_run(f, key_of("k"), fail_plainly, NULL, 0, &value), TUG_EUSER - 7);
    assert_detail_has("the application's own error");
}

TASK_TEST(a_cancelled_asker_leaves_the_load_to_the_others)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a[2];
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a[0], f, "k", (struct order){1, TUG_SECONDS(1), 0});
    spawn(&g, &a[1], f, "k", (struct order){2, TUG_SECONDS(1), 0});
    assert_waits(&a[0].waiter);
    waiter_cancel(&a[0].waiter); /* the one that started it */
    assert_ended(&a[0].waiter, TUG_ECANCELED);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(a[1].waiter.rc, 0);
    assert_int_equal(number_of(a[1].value), 1);
    assert_int_equal(loads, 1);
    tug_buffer_unref(a[1].value);
}

TASK_TEST(a_load_goes_on_without_any_asker)
{
    TUG_AUTO(tug_flight) f = NULL;
    assert_ok(tug_flight_new(&f));
    assert_rc(TUG_WITHIN(TUG_MS(50), run(f, "k", (struct order){1, TUG_SECONDS(1), 0})),
              TUG_ETIMEDOUT);
    assert_int_equal(tug_flight_loads(f), 1);
    /* And who asks again in the meantime finds it. */
    assert_int_equal(run(f, "k", (struct order){2, TUG_SECONDS(1), 0}), 1);
    assert_int_equal(loads, 1);
}

TASK_TEST(an_asker_that_was_served_has_it_though_cancelled)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a;
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a, f, "k", (struct order){3, TUG_MS(10), 0});
    assert_waits(&a.waiter);
    while (tug_flight_loads(f) > 0) {
        assert_ok(a.waiter.has_ended ? TUG_EUSER : tug_yield());
        if (tug_flight_loads(f) > 0) {
            assert_ok(tug_sleep(TUG_MS(5)));
        }
    }
    waiter_cancel(&a.waiter);
    assert_ended(&a.waiter, 0);
    assert_int_equal(number_of(a.value), 3);
    tug_buffer_unref(a.value);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancel_on_entry_starts_nothing)
{
    TUG_AUTO(tug_flight) f = NULL;
    tug_scope s;
    assert_ok(tug_flight_new(&f));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(run(f, "k", (struct order){1, 0, 0}), TUG_ECANCELED);
    assert_ok(tug_scope_leave(&s, 0));
    tug_test_settle();
    assert_int_equal(loads, 0);
}

TASK_TEST(bounds_are_told)
{
    static char large[TUG_FLIGHT_KEY_MAX + 1];
    TUG_AUTO(tug_flight) f = NULL;
    tug_flight_options o = TUG_FLIGHT_OPTIONS_INIT;
    struct asking a[2];
    tug_group g;
    tug_buffer *value = NULL;
    o.max_loads = 0;
    assert_rc(tug_flight_new_with(&o, &f), TUG_EINVAL);
    o.max_loads = 2;
    assert_ok(tug_flight_new_with(&o, &f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a[0], f, "a", (struct order){1, TUG_SECONDS(1), 0});
    spawn(&g, &a[1], f, "b", (struct order){2, TUG_SECONDS(1), 0});
    assert_waits(&a[0].waiter);
    assert_rc(run(f, "c", (struct order){3, 0, 0}), TUG_ELIMIT);
    assert_detail_has("2 loads");
    assert_int_equal(run(f, "b", (struct order){3, 0, 0}), 2); /* needs no load of its own */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(run(f, "c", (struct order){3, 0, 0}), 3);
    assert_rc(tug_flight_run(f, tug_bytes(large, sizeof large), load, NULL, 0, &value), TUG_ELIMIT);
    assert_rc(tug_flight_run(f, key_of("k"), load, large, sizeof large, &value), TUG_ELIMIT);
    memset(large, 'x', sizeof large);
    assert_ok(tug_flight_run(f, tug_bytes(large, sizeof large - 1), give_nothing, large,
                             sizeof large - 1, &value));
    tug_buffer_unref(a[0].value);
    tug_buffer_unref(a[1].value);
}

TASK_TEST(many_keys_at_once)
{
    enum {
        KEYS = 700
    };
    static struct asking a[KEYS];
    static char names[KEYS][16];
    TUG_AUTO(tug_flight) f = NULL;
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "key:%d", i / 2);
        spawn(&g, &a[i], f, names[i], (struct order){i / 2, TUG_MS(i % 7), 0});
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(loads, KEYS / 2);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(number_of(a[i].value), i / 2);
        tug_buffer_unref(a[i].value);
    }
}

static int ask_for_its_own_key(void *arg, tug_buffer **ret_value)
{
    (void)arg;
    return tug_flight_run(the_flight, key_of("k"), load, NULL, 0, ret_value);
}

TASK_TEST(a_loader_that_asks_for_its_own_key_is_refused)
{
    tug_buffer *value = NULL;
    assert_ok(tug_flight_new(&the_flight));
    assert_rc(tug_flight_run(the_flight, key_of("k"), ask_for_its_own_key, NULL, 0, &value),
              TUG_EMISUSE);
    assert_detail_has("itself");
    tug_flight_unref(the_flight);
}

/* --- the end --------------------------------------------------------------------------------- */

TASK_TEST(a_flight_that_goes_cancels_its_loads)
{
    tug_flight *f = NULL;
    struct asking a;
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a, f, "k", (struct order){1, TUG_SECONDS(100), 0});
    assert_waits(&a.waiter);
    tug_flight_ref(f);
    assert_null(tug_flight_unref(f));
    assert_waits(&a.waiter);
    tug_time before = tug_now();
    assert_null(tug_flight_unref(f));
    assert_null(tug_flight_unref(NULL));
    assert_ended(&a.waiter, TUG_ECLOSED);
    assert_int_equal(loads_ended, 1);
    assert_int_equal(tug_now(), before);
    assert_ok(tug_group_leave(&g, 0));
}

static int wait_idle(struct waiter *w)
{
    TUG_IGNORE(tug_fail(TUG_EUSER, "kept"));
    tug_flight_wait_idle(w->on);
    assert_string_equal(tug_last_error()->text, "kept");
    return 0;
}

TASK_TEST(wait_idle_waits_for_the_loads)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a;
    tug_group g;
    tug_flight_wait_idle(NULL);
    assert_ok(tug_flight_new(&f));
    tug_flight_wait_idle(f);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a, f, "k", (struct order){1, TUG_SECONDS(3), 0});
    assert_waits(&a.waiter);
    waiter_cancel(&a.waiter);
    tug_time before = tug_now();
    tug_flight_wait_idle(f);
    assert_int_equal(tug_now() - before, TUG_SECONDS(3));
    assert_int_equal(loads_ended, 1);
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancel_of_wait_idle_goes_to_the_loads)
{
    TUG_AUTO(tug_flight) f = NULL;
    struct asking a;
    struct waiter idle;
    tug_group g;
    assert_ok(tug_flight_new(&f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &a, f, "k", (struct order){1, TUG_SECONDS(100), 0});
    waiter_spawn(&g, &idle, f, wait_idle);
    assert_waits(&idle);
    tug_time before = tug_now();
    waiter_cancel(&idle);
    assert_ended(&idle, 0);
    assert_int_equal(tug_now(), before);
    assert_int_equal(loads_ended, 1);
    assert_ended(&a.waiter, TUG_EDROPPED); /* not its own scope */
    assert_string_equal(a.text, "the load was cancelled");
    assert_ok(tug_group_leave(&g, 0));
}

static int log_lines;

static void note_log(const tug_log_record *r, void *arg)
{
    (void)r;
    (void)arg;
    log_lines++;
}

/* The loop's end waits for a load that nobody asks for any more, and its failure is nobody's. */
static int leave_a_load_behind(void *arg)
{
    TUG_AUTO(tug_flight) f = tug_flight_ref(arg);
    return TUG_WITHIN(TUG_MS(1), run(f, "k", (struct order){1, TUG_SECONDS(9), TUG_EUSER}));
}

TEST(the_loop_ends_after_its_loads)
{
    tug_flight *f = NULL;
    assert_ok(tug_flight_new(&f));
    tug_log_set_sink(note_log, NULL);
    loads_ended = 0;
    assert_rc(tug_test_run(leave_a_load_behind, f, NULL), TUG_ETIMEDOUT);
    tug_log_set_sink(NULL, NULL);
    assert_int_equal(loads_ended, 1);
    assert_int_equal(log_lines, 0);
    tug_flight_unref(f);
}

TEST(outside_of_tasks_nobody_asks)
{
    tug_flight *f = NULL;
    tug_buffer *value = NULL;
    assert_ok(tug_flight_new(&f));
    assert_rc(tug_flight_run(f, key_of("k"), load, NULL, 0, &value), TUG_EMISUSE);
    tug_flight_wait_idle(f);
    tug_flight_unref(f);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 8,
    KEYS = 3
};
#define ROUNDS test_many(300, 30)

struct model {
    tug_flight *f;
    random_numbers random;
    int inside[KEYS];
    int loads, served, failed, cancelled;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

struct key_load {
    struct model *of;
    int key;
};

static int load_key(void *arg, tug_buffer **ret_value)
{
    struct key_load *l = arg;
    assert_int_equal(l->of->inside[l->key]++, 0); /* one at a time */
    l->of->loads++;
    int rc = tug_sleep(TUG_MS(random_below(&l->of->random, 6)));
    l->of->inside[l->key]--;
    if (rc == 0 && random_below(&l->of->random, 4) == 0) {
        rc = tug_fail(TUG_EUSER, "key %d", l->key);
    }
    return rc < 0 ? rc : tug_buffer_new(&l->key, sizeof l->key, ret_value);
}

static void check_outcome(struct model *model, int rc, int key, const tug_buffer *value)
{
    if (rc == 0) {
        assert_int_equal(number_of(value), key);
        model->served++;
    } else if (rc == TUG_EUSER) {
        char text[32];
        snprintf(text, sizeof text, "key %d", key);
        assert_string_equal(tug_last_error()->text, text);
        model->failed++;
    } else {
        assert_rc(rc, TUG_ECANCELED);
        model->cancelled++;
    }
}

static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    for (int i = 0; i < ROUNDS; i++) {
        TUG_AUTO(tug_buffer) value = NULL;
        struct key_load l = {model, (int)random_below(&model->random, KEYS)};
        tug_scope_enter(&model->scopes[me->index], TUG_FOREVER);
        model->entered[me->index] = true;
        int rc = tug_flight_run(model->f, tug_bytes(&l.key, sizeof l.key), load_key, &l, sizeof l,
                                &value);
        model->entered[me->index] = false;
        check_outcome(model, rc, l.key, value);
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 4) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
        assert_ok(tug_sleep(TUG_MS(random_below(&model->random, 3))));
    }
    return 0;
}

TASK_TEST(random_askers_and_cancels_share_loads)
{
    struct model model = {.random = {3}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_flight_new(&model.f));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    tug_flight_wait_idle(model.f);
    assert_int_equal(model.served + model.failed + model.cancelled, TASKS * ROUNDS);
    assert_true(test_is_tortured() ||
                (model.loads < TASKS * ROUNDS / 2 && model.failed > 100 && model.cancelled > 100));
    tug_flight_unref(model.f);
}
