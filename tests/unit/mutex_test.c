#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sync.h>
#include <unistd.h>

#include "sync_rig.h"

static int lock_only(struct waiter *w)
{
    return tug_mutex_lock(w->on);
}

static int lock_and_unlock(struct waiter *w)
{
    int rc = tug_mutex_lock(w->on);
    return rc == 0 ? tug_mutex_unlock(w->on) : rc;
}

static int lock_and_sleep(struct waiter *w)
{
    int rc = tug_mutex_lock(w->on);
    if (rc == 0) {
        TUG_IGNORE(tug_sleep(TUG_SECONDS(1)));
        rc = tug_mutex_unlock(w->on);
    }
    return rc;
}

static int unlock_only(struct waiter *w)
{
    return tug_mutex_unlock(w->on);
}

static int try_only(struct waiter *w)
{
    return tug_mutex_try(w->on) ? tug_mutex_unlock(w->on) : TUG_EUSER;
}

TASK_TEST(a_mutex_is_locked_and_unlocked)
{
    TUG_AUTO(tug_mutex) m = NULL;
    assert_ok(tug_mutex_new(&m));
    assert_false(tug_mutex_is_locked(m));
    for (int i = 0; i < 1000; i++) { /* past the credits of a task */
        assert_ok(tug_mutex_lock(m));
        assert_true(tug_mutex_is_locked(m));
        assert_ok(tug_mutex_unlock(m));
    }
    assert_true(tug_mutex_try(m));
    assert_ok(tug_mutex_unlock(m));
    assert_false(tug_mutex_is_locked(m));
    tug_mutex_ref(m);
    assert_null(tug_mutex_unref(m));
    assert_null(tug_mutex_unref(NULL));
}

TASK_TEST(waiters_get_it_in_their_order)
{
    TUG_AUTO(tug_mutex) m = NULL;
    struct waiter w[5];
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_ok(tug_mutex_lock(m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 5; i++) {
        waiter_spawn(&g, &w[i], m, lock_and_sleep);
    }
    assert_waits(&w[0]);
    assert_ok(tug_mutex_unlock(m));
    /* Handed over: whoever had it cannot have it again before the others. */
    assert_true(tug_mutex_is_locked(m));
    assert_false(tug_mutex_try(m));
    assert_ok(tug_mutex_lock(m));
    for (size_t i = 0; i < 5; i++) {
        assert_true(w[i].has_ended);
        assert_int_equal(w[i].rank, i);
    }
    assert_ok(tug_mutex_unlock(m));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_deadline_ends_the_wait_for_it)
{
    TUG_AUTO(tug_mutex) m = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, m, lock_and_sleep);
    tug_test_settle();
    tug_time before = tug_now();
    assert_rc(TUG_WITHIN(TUG_MS(300), tug_mutex_lock(m)), TUG_ETIMEDOUT);
    assert_int_equal(tug_now() - before, TUG_MS(300));
    assert_rc(tug_mutex_unlock(m), TUG_EMISUSE);
    assert_ok(tug_group_leave(&g, 0));
    assert_false(tug_mutex_is_locked(m));
}

TASK_TEST(a_cancelled_waiter_of_a_mutex_leaves_the_others_in_order)
{
    TUG_AUTO(tug_mutex) m = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_ok(tug_mutex_lock(m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        waiter_spawn(&g, &w[i], m, lock_and_unlock);
    }
    assert_waits(&w[0]);
    waiter_cancel(&w[0]);
    waiter_cancel(&w[2]);
    /* Before they have run: the next in order has it. */
    assert_ok(tug_mutex_unlock(m));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, TUG_ECANCELED);
    assert_int_equal(w[1].rc, 0);
    assert_int_equal(w[2].rc, TUG_ECANCELED);
    assert_false(tug_mutex_is_locked(m));
}

TASK_TEST(a_chosen_waiter_has_the_mutex_though_cancelled)
{
    TUG_AUTO(tug_mutex) m = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_ok(tug_mutex_lock(m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], m, lock_and_unlock);
    waiter_spawn(&g, &w[1], m, lock_and_unlock);
    assert_waits(&w[0]);
    assert_ok(tug_mutex_unlock(m));
    waiter_cancel(&w[0]);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[0].rc, 0);
    assert_int_equal(w[1].rc, 0);
}

TASK_TEST(a_cancel_on_entry_beats_a_free_mutex)
{
    TUG_AUTO(tug_mutex) m = NULL;
    tug_scope s;
    assert_ok(tug_mutex_new(&m));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_mutex_lock(m), TUG_ECANCELED);
    assert_false(tug_mutex_is_locked(m));
    /* Giving back is no wait. */
    assert_true(tug_mutex_try(m));
    assert_ok(tug_mutex_unlock(m));
    assert_ok(tug_scope_leave(&s, 0));
}

TASK_TEST(what_is_not_held_is_not_unlocked)
{
    TUG_AUTO(tug_mutex) m = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_rc(tug_mutex_unlock(m), TUG_EMISUSE);
    assert_detail_has("nobody");
    tug_task_set_name("owner");
    assert_ok(tug_mutex_lock(m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, m, unlock_only);
    assert_ended(&w, TUG_EMISUSE);
    waiter_spawn(&g, &w, m, try_only);
    assert_ended(&w, TUG_EUSER);
    assert_true(tug_mutex_is_locked(m));
    assert_ok(tug_mutex_unlock(m));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_second_lock_by_the_owner_is_refused)
{
    TUG_AUTO(tug_mutex) m = NULL;
    assert_ok(tug_mutex_new(&m));
    tug_task_set_name("twice");
    assert_ok(tug_mutex_lock(m));
    assert_rc(tug_mutex_lock(m), TUG_EMISUSE);
    assert_detail_has("task \"twice\" holds this mutex already");
    assert_false(tug_mutex_try(m));
    assert_ok(tug_mutex_unlock(m));
    assert_false(tug_mutex_is_locked(m));
}

static int end_with_it(struct waiter *w)
{
    tug_task_set_name("careless");
    return tug_mutex_lock(w->on);
}

static int log_lines;
static char last_line[200];

static void note_log(const tug_log_record *r, void *arg)
{
    (void)arg;
    log_lines++;
    snprintf(last_line, sizeof last_line, "%s", r->text);
}

TASK_TEST(an_owner_that_ends_breaks_the_mutex)
{
    TUG_AUTO(tug_mutex) m = NULL;
    TUG_AUTO(tug_mutex) other = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_ok(tug_mutex_new(&other));
    tug_log_set_sink(note_log, NULL);
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], m, end_with_it);
    waiter_spawn(&g, &w[1], m, lock_and_unlock);
    waiter_spawn(&g, &w[2], m, lock_and_unlock);
    assert_ok(tug_group_leave(&g, 0));
    tug_log_set_sink(NULL, NULL);
    assert_int_equal(w[0].rc, 0);
    assert_int_equal(w[1].rc, TUG_ECLOSED);
    assert_int_equal(w[2].rc, TUG_ECLOSED);
    assert_int_equal(log_lines, 1);
    assert_non_null(strstr(last_line, "task \"careless\" has ended and holds a mutex"));
    assert_rc(tug_mutex_lock(m), TUG_ECLOSED);
    assert_detail_has("task \"careless\" ended while it held it");
    assert_false(tug_mutex_try(m));
    assert_ok(tug_mutex_lock(other)); /* only the one it held */
    assert_ok(tug_mutex_unlock(other));
}

static int hold_three_give_back_one(struct waiter *w)
{
    tug_mutex **all = w->on;
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_mutex_lock(all[i]));
    }
    return tug_mutex_unlock(all[1]);
}

TASK_TEST(all_that_an_owner_holds_is_broken_and_no_more)
{
    tug_mutex *all[3];
    struct waiter w;
    tug_group g;
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_mutex_new(&all[i]));
    }
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, all, hold_three_give_back_one);
    assert_ok(tug_group_leave(&g, 0));
    assert_rc(tug_mutex_lock(all[0]), TUG_ECLOSED);
    assert_ok(tug_mutex_lock(all[1]));
    assert_rc(tug_mutex_lock(all[2]), TUG_ECLOSED);
    assert_ok(tug_mutex_unlock(all[1]));
    for (int i = 0; i < 3; i++) {
        tug_mutex_unref(all[i]);
    }
}

TASK_TEST(a_mutex_that_goes_wakes_its_waiters_and_stays_with_its_owner)
{
    tug_mutex *m = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    assert_ok(tug_mutex_lock(m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, m, lock_only);
    assert_waits(&w);
    assert_null(tug_mutex_unref(m));
    assert_ended(&w, TUG_ECLOSED);
    assert_ok(tug_mutex_unlock(m)); /* the memory is its owner's until here */
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_mutex_whose_owner_ends_goes_with_it)
{
    tug_mutex *m = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_mutex_new(&m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, m, lock_only);
    assert_ended(&w, 0);
    tug_mutex_unref(m); /* nothing leaks: the harness looks */
    assert_ok(tug_group_leave(&g, 0));
}

TEST(outside_of_tasks_nothing_is_locked)
{
    tug_mutex *m = NULL;
    assert_ok(tug_mutex_new(&m));
    assert_rc(tug_mutex_lock(m), TUG_EMISUSE);
    assert_false(tug_mutex_try(m));
    assert_rc(tug_mutex_unlock(m), TUG_EMISUSE);
    tug_mutex_unref(m);
}

/* TUG_DEBUG=1 is read once in a process: so in one of its own. */
static int debugged(void (*misuse)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        setenv("TUG_DEBUG", "1", 1);
        misuse();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int lock_and_end(void *m)
{
    return tug_mutex_lock(m);
}

static void end_holding_it(void)
{
    tug_mutex *m = NULL;
    TUG_IGNORE(tug_mutex_new(&m));
    TUG_IGNORE(tug_run(lock_and_end, m));
}

static void unlock_what_is_free(void)
{
    tug_mutex *m = NULL;
    TUG_IGNORE(tug_mutex_new(&m));
    TUG_IGNORE(tug_mutex_unlock(m));
}

static void nothing_wrong(void)
{
    tug_mutex *m = NULL;
    TUG_IGNORE(tug_mutex_new(&m));
    tug_mutex_unref(m);
}

TEST(misuse_aborts_when_debugging)
{
    assert_int_equal(debugged(end_holding_it), SIGABRT);
    assert_int_equal(debugged(unlock_what_is_free), SIGABRT);
    assert_int_equal(debugged(nothing_wrong), 0);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 8,
    ROUNDS = 400
};

struct model {
    tug_mutex *m;
    random_numbers random;
    int inside;
    size_t got, missed;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

static void use(struct model *model)
{
    assert_int_equal(model->inside++, 0); /* alone */
    for (uint32_t i = random_below(&model->random, 3); i > 0; i--) {
        TUG_IGNORE(tug_yield());
    }
    if (random_below(&model->random, 4) == 0) {
        TUG_IGNORE(tug_sleep(TUG_MS(random_below(&model->random, 5))));
    }
    assert_int_equal(--model->inside, 0);
    assert_true(tug_mutex_is_locked(model->m));
    assert_ok(tug_mutex_unlock(model->m));
    model->got++;
}

static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    for (int i = 0; i < ROUNDS; i++) {
        tug_scope_enter(&model->scopes[me->index], random_below(&model->random, 3) > 0
                                                       ? TUG_FOREVER
                                                       : TUG_MS(random_below(&model->random, 10)));
        model->entered[me->index] = true;
        int rc = 0;
        if (random_below(&model->random, 5) == 0) {
            rc = tug_mutex_try(model->m) ? 0 : TUG_ECANCELED;
        } else {
            rc = tug_mutex_lock(model->m);
        }
        if (rc == 0) {
            use(model);
        } else {
            assert_rc(rc, TUG_ECANCELED);
            model->missed++;
        }
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        /* Somebody is cancelled, wherever it is. */
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 3) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
        if (random_below(&model->random, 3) == 0) {
            assert_ok(tug_yield());
        }
    }
    return 0;
}

TASK_TEST(random_locks_and_cancels_keep_it_exclusive)
{
    struct model model = {.random = {20240611}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_mutex_new(&model.m));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(model.got + model.missed, TASKS * ROUNDS);
    assert_true(model.got > 500 && model.missed > 100);
    assert_false(tug_mutex_is_locked(model.m));
    tug_mutex_unref(model.m);
}
