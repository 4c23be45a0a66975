#include <tug/sync.h>

#include "sync_rig.h"

static int read_and_sleep(struct waiter *w)
{
    int rc = tug_rwlock_read(w->on);
    if (rc == 0) {
        TUG_IGNORE(tug_sleep(TUG_SECONDS(1)));
        rc = tug_rwlock_unlock(w->on);
    }
    return rc;
}

static int write_and_sleep(struct waiter *w)
{
    int rc = tug_rwlock_write(w->on);
    if (rc == 0) {
        TUG_IGNORE(tug_sleep(TUG_SECONDS(1)));
        rc = tug_rwlock_unlock(w->on);
    }
    return rc;
}

static int read_only(struct waiter *w)
{
    return tug_rwlock_read(w->on);
}

static int write_only(struct waiter *w)
{
    return tug_rwlock_write(w->on);
}

static int unlock_only(struct waiter *w)
{
    return tug_rwlock_unlock(w->on);
}

TASK_TEST(readers_share_and_a_writer_is_alone)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter w[4];
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    tug_time before = tug_now();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < 3; i++) {
        waiter_spawn(&g, &w[i], l, read_and_sleep);
    }
    waiter_spawn(&g, &w[3], l, write_and_sleep);
    assert_ok(tug_group_leave(&g, 0));
    /* All readers in one second, the writer in the next. */
    assert_int_equal(tug_now() - before, TUG_SECONDS(2));
    assert_int_equal(w[3].rank, 3);
}

TASK_TEST(credits_do_not_disturb_it)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    assert_ok(tug_rwlock_new(&l));
    for (int i = 0; i < 500; i++) {
        assert_ok(tug_rwlock_read(l));
        assert_ok(tug_rwlock_unlock(l));
        assert_ok(tug_rwlock_write(l));
        assert_ok(tug_rwlock_unlock(l));
    }
    tug_rwlock_ref(l);
    assert_null(tug_rwlock_unref(l));
    assert_null(tug_rwlock_unref(NULL));
}

TASK_TEST(a_waiting_writer_holds_back_later_readers)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter writer, reader[2], second;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_read(l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &writer, l, write_and_sleep);
    waiter_spawn(&g, &reader[0], l, read_and_sleep);
    waiter_spawn(&g, &reader[1], l, read_and_sleep);
    waiter_spawn(&g, &second, l, write_and_sleep);
    assert_waits(&reader[0]);
    tug_time before = tug_now();
    assert_ok(tug_rwlock_unlock(l));
    assert_false(tug_rwlock_try_read(l)); /* was handed over */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(tug_now() - before, TUG_SECONDS(3));
    assert_true(writer.rank < reader[0].rank && reader[0].rank < reader[1].rank);
    assert_true(reader[1].rank < second.rank);
}

TASK_TEST(a_writer_that_gives_up_lets_the_readers_behind_it_in)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter writer, reader;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_read(l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &writer, l, write_and_sleep);
    waiter_spawn(&g, &reader, l, read_and_sleep);
    assert_waits(&reader);
    waiter_cancel(&writer);
    assert_ended(&writer, TUG_ECANCELED);
    assert_ok(tug_sleep(TUG_SECONDS(1)));
    assert_ended(&reader, 0); /* beside the one that reads all the time */
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_cancelled_writer_and_the_lock_may_go_in_one_moment)
{
    tug_rwlock *l = NULL;
    struct waiter writer, reader;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_read(l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &writer, l, write_only);
    waiter_spawn(&g, &reader, l, read_only);
    assert_waits(&reader);
    waiter_cancel(&writer);
    tug_rwlock_unref(l); /* before the writer has run */
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(writer.rc, TUG_ECANCELED);
    assert_int_equal(reader.rc, TUG_ECLOSED);
}

TASK_TEST(chosen_readers_and_writers_have_it_though_cancelled)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter reader[2], writer;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_write(l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &reader[0], l, read_and_sleep);
    waiter_spawn(&g, &reader[1], l, read_and_sleep);
    waiter_spawn(&g, &writer, l, write_and_sleep);
    assert_waits(&writer);
    assert_ok(tug_rwlock_unlock(l));
    waiter_cancel(&reader[0]);
    waiter_cancel(&reader[1]);
    tug_test_settle();
    assert_int_equal(reader[0].rc, 0);
    assert_int_equal(reader[1].rc, 0);
    waiter_cancel(&writer); /* it was chosen when the last reader left */
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(writer.rc, 0);
    assert_true(tug_rwlock_try_write(l));
    assert_ok(tug_rwlock_unlock(l));
}

TASK_TEST(a_cancel_on_entry_beats_a_free_lock)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    tug_scope s;
    assert_ok(tug_rwlock_new(&l));
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_rwlock_read(l), TUG_ECANCELED);
    assert_rc(tug_rwlock_write(l), TUG_ECANCELED);
    assert_rc(tug_rwlock_unlock(l), TUG_EMISUSE);
    assert_ok(tug_scope_leave(&s, 0));
}

TASK_TEST(a_deadline_ends_the_wait_for_either)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w, l, write_and_sleep);
    tug_test_settle();
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_rwlock_read(l)), TUG_ETIMEDOUT);
    assert_rc(TUG_WITHIN(TUG_MS(10), tug_rwlock_write(l)), TUG_ETIMEDOUT);
    assert_false(tug_rwlock_try_read(l));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(what_would_wait_for_itself_is_refused)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_read(l));
    assert_rc(tug_rwlock_read(l), TUG_EMISUSE);
    assert_detail_has("for reading");
    assert_rc(tug_rwlock_write(l), TUG_EMISUSE);
    assert_false(tug_rwlock_try_read(l));
    assert_false(tug_rwlock_try_write(l));
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_rwlock_write(l));
    assert_rc(tug_rwlock_read(l), TUG_EMISUSE);
    assert_detail_has("for writing");
    assert_rc(tug_rwlock_write(l), TUG_EMISUSE);
    assert_ok(tug_rwlock_unlock(l));
    assert_rc(tug_rwlock_unlock(l), TUG_EMISUSE);
}

TASK_TEST(a_stranger_does_not_unlock)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter w;
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_rwlock_write(l));
    waiter_spawn(&g, &w, l, unlock_only);
    assert_ended(&w, TUG_EMISUSE);
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_rwlock_read(l));
    waiter_spawn(&g, &w, l, unlock_only);
    assert_ended(&w, TUG_EMISUSE);
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_group_leave(&g, 0));
}

TASK_TEST(a_writer_that_ends_breaks_the_lock)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter w[3];
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], l, write_only);
    waiter_spawn(&g, &w[1], l, read_and_sleep);
    waiter_spawn(&g, &w[2], l, write_and_sleep);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, TUG_ECLOSED);
    assert_int_equal(w[2].rc, TUG_ECLOSED);
    assert_rc(tug_rwlock_read(l), TUG_ECLOSED);
    assert_detail_has("broken");
    assert_rc(tug_rwlock_write(l), TUG_ECLOSED);
    assert_false(tug_rwlock_try_write(l));
}

TASK_TEST(a_reader_that_ends_gives_its_share_back)
{
    TUG_AUTO(tug_rwlock) l = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], l, read_only);
    waiter_spawn(&g, &w[1], l, write_and_sleep);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w[1].rc, 0);
}

TASK_TEST(a_lock_that_goes_wakes_its_waiters)
{
    tug_rwlock *l = NULL;
    struct waiter w[2];
    tug_group g;
    assert_ok(tug_rwlock_new(&l));
    assert_ok(tug_rwlock_write(l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    waiter_spawn(&g, &w[0], l, read_only);
    waiter_spawn(&g, &w[1], l, write_only);
    assert_waits(&w[1]);
    tug_rwlock_unref(l);
    assert_ended(&w[0], TUG_ECLOSED);
    assert_ended(&w[1], TUG_ECLOSED);
    assert_ok(tug_rwlock_unlock(l));
    assert_ok(tug_group_leave(&g, 0));
}

TEST(outside_of_tasks_it_is_not_locked)
{
    tug_rwlock *l = NULL;
    assert_ok(tug_rwlock_new(&l));
    assert_rc(tug_rwlock_read(l), TUG_EMISUSE);
    assert_rc(tug_rwlock_write(l), TUG_EMISUSE);
    assert_false(tug_rwlock_try_read(l));
    assert_rc(tug_rwlock_unlock(l), TUG_EMISUSE);
    tug_rwlock_unref(l);
}

/* --- random operations ----------------------------------------------------------------------- */

enum {
    TASKS = 8,
    ROUNDS = 300
};

struct model {
    tug_rwlock *l;
    random_numbers random;
    int readers, writers, most_readers;
    size_t got, missed;
    tug_scope scopes[TASKS];
    bool entered[TASKS];
};

struct member {
    struct model *of;
    int index;
};

static void use(struct model *model, bool to_write)
{
    int *mine = to_write ? &model->writers : &model->readers;
    (*mine)++;
    assert_true(model->writers == 0 || (model->writers == 1 && model->readers == 0));
    if (model->readers > model->most_readers) {
        model->most_readers = model->readers;
    }
    if (random_below(&model->random, 2) == 0) {
        TUG_IGNORE(tug_sleep(TUG_MS(random_below(&model->random, 5))));
    } else {
        TUG_IGNORE(tug_yield());
    }
    assert_true(model->writers == 0 || (model->writers == 1 && model->readers == 0));
    (*mine)--;
    assert_ok(tug_rwlock_unlock(model->l));
    model->got++;
}

static int member_run(void *arg)
{
    struct member *me = arg;
    struct model *model = me->of;
    for (int i = 0; i < ROUNDS; i++) {
        bool to_write = random_below(&model->random, 3) == 0;
        tug_scope_enter(&model->scopes[me->index], random_below(&model->random, 3) > 0
                                                       ? TUG_FOREVER
                                                       : TUG_MS(random_below(&model->random, 9)));
        model->entered[me->index] = true;
        int rc = to_write ? tug_rwlock_write(model->l) : tug_rwlock_read(model->l);
        if (rc == 0) {
            use(model, to_write);
        } else {
            assert_rc(rc, TUG_ECANCELED);
            model->missed++;
        }
        model->entered[me->index] = false;
        TUG_IGNORE(tug_scope_leave(&model->scopes[me->index], 0));
        int victim = (int)random_below(&model->random, TASKS);
        if (random_below(&model->random, 3) == 0 && model->entered[victim]) {
            tug_scope_cancel(&model->scopes[victim]);
        }
    }
    return 0;
}

TASK_TEST(random_readers_writers_and_cancels)
{
    struct model model = {.random = {4711}};
    struct member members[TASKS];
    tug_group g;
    assert_ok(tug_rwlock_new(&model.l));
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    for (int i = 0; i < TASKS; i++) {
        members[i] = (struct member){&model, i};
        assert_ok(tug_group_spawn(&g, member_run, &members[i]));
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(model.got + model.missed, TASKS * ROUNDS);
    assert_true(model.got > 500 && model.missed > 100 && model.most_readers > 2);
    assert_true(tug_rwlock_try_write(model.l));
    assert_ok(tug_rwlock_unlock(model.l));
    tug_rwlock_unref(model.l);
}
