/* Savepoints on a real server: transactions inside of transactions, and who may do what meanwhile. */
#include <tug/group.h>
#include <tug/pg_error.h>
#include <tug/scope.h>

#include "pg_help.h"

static int64_t sum(tug_pg *db, const help_table *t)
{
    return help_int(db, help_text(t, "select coalesce(sum(a), 0) from @"));
}

static int put(tug_pg *db, const help_table *t, int a)
{
    return tug_pg_exec(db, help_text(t, "insert into @ values ($1)"), TUG_ARGS(a), NULL);
}

LIVE_TEST(a_savepoint_keeps_with_commit_and_undoes_with_close)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(put(tx, &t, 1));
    {
        TUG_AUTO(tug_pg) kept = NULL;
        assert_ok(tug_pg_begin(tx, NULL, &kept));
        assert_ok(put(kept, &t, 2));
        assert_ok(tug_pg_commit(kept));
        assert_rc(put(kept, &t, 100), TUG_EMISUSE);
        assert_rc(tug_pg_commit(kept), TUG_EMISUSE);
        assert_detail_has("committed already");
    }
    {
        TUG_AUTO(tug_pg) undone = NULL;
        assert_ok(tug_pg_begin(tx, NULL, &undone));
        assert_ok(put(undone, &t, 4));
    }
    assert_ok(put(tx, &t, 8));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(sum(db, &t), 11);
    help_drop(&t);
}

LIVE_TEST(an_error_in_a_savepoint_leaves_the_transaction_usable)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int unique");
    TUG_AUTO(tug_pg) tx = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(put(tx, &t, 1));
    for (int i = 0; i < 3; i++) {
        TUG_AUTO(tug_pg) sp = NULL;
        assert_ok(tug_pg_begin(tx, NULL, &sp));
        assert_ok(put(sp, &t, 10 + i));
        assert_rc(put(sp, &t, 1), TUG_ESERVER);
        assert_string_equal(tug_last_error()->native, "23505");
        /* The RELEASE is refused, which is no end: close undoes. */
        assert_rc(tug_pg_commit(sp), TUG_ESERVER);
        assert_string_equal(tug_last_error()->native, "25P02");
    }
    assert_ok(put(tx, &t, 2));
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    tx = NULL;
    assert_int_equal(sum(db, &t), 3);
    help_drop(&t);
}

LIVE_TEST(savepoints_nest)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    tug_pg *level[12];
    assert_ok(tug_pg_begin(db, NULL, &level[0]));
    for (int i = 1; i < 12; i++) {
        assert_ok(tug_pg_begin(level[i - 1], NULL, &level[i]));
        assert_ok(put(level[i], &t, 1 << i));
    }
    for (int i = 11; i > 0; i--) {
        if (i % 3 != 0) {
            assert_ok(tug_pg_commit(level[i]));
        }
        tug_pg_close(level[i]); /* 3, 6 and 9 undo what is inside of them, too */
    }
    assert_ok(tug_pg_commit(level[0]));
    tug_pg_close(level[0]);
    assert_int_equal(sum(db, &t), 2 + 4);
    help_drop(&t);
}

LIVE_TEST(the_outer_one_waits_for_the_inner_one)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg) sp = NULL;
    tug_pg *other = NULL;
    tug_pg_copy *copy = NULL;
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_begin(session, NULL, &tx));
    assert_ok(tug_pg_begin(tx, NULL, &sp));
    assert_rc(tug_pg_exec(session, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_detail_has("a savepoint inside of this transaction is open");
    assert_rc(tug_pg_commit(tx), TUG_EMISUSE);
    assert_detail_has("tug_pg_commit: a savepoint inside of this transaction is open");
    assert_rc(tug_pg_begin(tx, NULL, &other), TUG_EMISUSE);
    assert_rc(tug_pg_copy_in(tx, "copy x from stdin", &copy), TUG_EMISUSE);
    assert_ok(tug_pg_exec(sp, "select 1", TUG_NO_ARGS, NULL));
    assert_rc(tug_pg_exec(sp, "commit", TUG_NO_ARGS, NULL), TUG_EMISUSE);
    assert_ok(tug_pg_commit(sp));
    assert_ok(tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL));
    assert_ok(tug_pg_commit(tx));
}

LIVE_TEST(closing_the_outer_one_ends_those_inside)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    tug_pg *tx = NULL, *one = NULL, *two = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_begin(tx, NULL, &one));
    assert_ok(tug_pg_begin(one, NULL, &two));
    assert_ok(put(two, &t, 1));
    tug_pg_close(tx);
    assert_rc(put(two, &t, 1), TUG_EMISUSE);
    assert_detail_has("the transaction around it has ended");
    assert_rc(tug_pg_commit(one), TUG_EMISUSE);
    assert_rc(tug_pg_begin(one, NULL, &tx), TUG_EMISUSE);
    tug_pg_close(one);
    tug_pg_close(two);
    assert_int_equal(sum(db, &t), 0);
    /* The connection is back and clean. */
    assert_ok(tug_pg_begin(db, NULL, &tx));
    tug_pg_close(tx);
    help_drop(&t);
}

LIVE_TEST(a_savepoint_has_no_options_of_its_own)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) tx = NULL;
    TUG_AUTO(tug_pg) sp = NULL;
    tug_pg_begin_options o = TUG_PG_BEGIN_OPTIONS_INIT;
    assert_ok(tug_pg_begin(db, &o, &tx));
    o.read_only = true;
    assert_rc(tug_pg_begin(tx, &o, &sp), TUG_EINVAL);
    assert_detail_has("options of the transaction");
    o.read_only = false;
    assert_ok(tug_pg_begin(tx, &o, &sp));
}

LIVE_TEST(a_savepoint_in_a_failed_transaction_does_not_begin)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) tx = NULL;
    tug_pg *sp = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_rc(tug_pg_exec(tx, "select 1/0", TUG_NO_ARGS, NULL), TUG_ESERVER);
    assert_rc(tug_pg_begin(tx, NULL, &sp), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "25P02");
    assert_rc(tug_pg_commit(tx), TUG_ESERVER);
}

/* At each moment of the exchange: what began is undone, what did not leaves nothing. */
LIVE_TEST(savepoint_and_release_cut_short_at_any_time)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) tx = NULL;
    int begun = 0, released = 0, unknown = 0;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    for (int i = 0; i < 120; i++) {
        TUG_AUTO(tug_pg) sp = NULL;
        int rc = tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL);
        if (rc == TUG_ESERVER && tug_pg_is_failed_transaction(NULL)) {
            /* On a slow day a cancel request has hit what was cut off: all is undone, and said so. */
            tug_pg_close(tx);
            tx = NULL;
            assert_ok(tug_pg_begin(db, NULL, &tx));
            released = unknown = 0;
        }
        /* One in forty has all the time it needs. */
        rc = TUG_WITHIN(i % 40 < 39 ? TUG_US(i % 40 * 20) : TUG_SECONDS(30),
                        tug_pg_begin(tx, NULL, &sp));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        assert_true((rc == 0) == (sp != NULL));
        if (rc < 0) {
            continue;
        }
        begun++;
        assert_ok(put(sp, &t, 1));
        rc = TUG_WITHIN(TUG_US(i % 30 * 20), tug_pg_commit(sp));
        assert_true(rc == 0 || rc == TUG_ETIMEDOUT);
        released += rc == 0;
        if (rc < 0 && tug_last_error()->sent == TUG_NOT_SENT) {
            assert_ok(tug_pg_exec(sp, "select 1", TUG_NO_ARGS, NULL)); /* it is open still */
        } else if (rc < 0) {
            unknown++;
            assert_rc(tug_pg_commit(sp), TUG_EMISUSE);
        }
    }
    assert_true(begun > 0);
    if (tug_pg_exec(tx, "select 1", TUG_NO_ARGS, NULL) < 0) {
        assert_true(tug_pg_is_failed_transaction(NULL));
        tug_pg_close(tx);
        tx = NULL;
        assert_ok(tug_pg_begin(db, NULL, &tx));
        released = unknown = 0;
    }
    /* A server that is well releases what it was asked to. */
    assert_true(sum(tx, &t) >= released && sum(tx, &t) <= released + unknown);
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    tx = NULL;
    help_drop(&t);
}

LIVE_TEST(a_commit_that_is_cancelled_and_closed_before_it_was_sent_undoes)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    help_table t = help_create(db, "a int");
    TUG_AUTO(tug_pg) tx = NULL;
    tug_pg *sp = NULL;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    for (int cancels = 0; cancels <= 1; cancels++) {
        assert_ok(tug_pg_begin(tx, NULL, &sp));
        assert_ok(put(sp, &t, 1 + cancels));
        TUG_AUTO(tug_future) commit = tug_pg_commit_start(sp);
        tug_pg_close(sp);
        assert_rc(put(tx, &t, 100), TUG_EMISUSE);
        assert_detail_has("is being committed");
        if (cancels) {
            tug_future_cancel(commit);
        }
        assert_rc(tug_await(commit), cancels ? TUG_EDROPPED : 0);
        assert_int_equal(sum(tx, &t), 1);
    }
    /* The outer one goes while the RELEASE is under way. */
    assert_ok(tug_pg_begin(tx, NULL, &sp));
    TUG_AUTO(tug_future) commit = tug_pg_commit_start(sp);
    TUG_AUTO(tug_future) cut = NULL;
    tug_pg_close(tx);
    tx = NULL;
    tug_pg_close(sp);
    assert_ok(tug_await(commit));
    /* And while a SAVEPOINT is under way. */
    assert_ok(tug_pg_begin(db, NULL, &tx));
    cut = tug_pg_begin_start(tx, NULL);
    tug_pg_close(tx);
    tx = NULL;
    assert_rc(tug_await(cut), TUG_ECLOSED);
    assert_detail_has("was closed");
    assert_int_equal(sum(db, &t), 0);
    help_drop(&t);
}

LIVE_TEST(a_lost_connection_ends_all_levels)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    TUG_AUTO(tug_pg) killer = help_open(NULL);
    tug_pg *tx = NULL, *sp = NULL;
    bool done = false;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    assert_ok(tug_pg_begin(tx, NULL, &sp));
    int64_t pid = help_int(sp, "select pg_backend_pid()");
    assert_ok(
        tug_pg_query_one(killer, "select pg_terminate_backend($1)", TUG_ARGS(pid), TUG_OUT(&done)));
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        rc = tug_pg_exec(sp, "select 1", TUG_NO_ARGS, NULL);
    }
    assert_rc(rc, TUG_ECLOSED);
    assert_rc(tug_pg_commit(sp), TUG_ECLOSED);
    assert_rc(tug_pg_commit(tx), TUG_ECLOSED);
    tug_pg_close(sp);
    tug_pg_close(tx);
}

static int two_levels(void *arg)
{
    tug_pg *tx = arg;
    TUG_AUTO(tug_pg) sp = NULL;
    int rc = tug_pg_begin(tx, NULL, &sp);
    rc = rc < 0 ? rc : tug_pg_exec(sp, "select pg_sleep(5)", TUG_NO_ARGS, NULL);
    return rc < 0 ? rc : tug_pg_commit(sp);
}

LIVE_TEST(a_cancelled_task_undoes_its_savepoint)
{
    TUG_AUTO(tug_pg) db = help_open_small();
    tug_pg *tx = NULL;
    tug_group g;
    assert_ok(tug_pg_begin(db, NULL, &tx));
    tug_group_enter(&g, TUG_MS(50), TUG_FAIL_FAST);
    tug_group_spawn(&g, two_levels, tx);
    assert_rc(tug_group_leave(&g, 0), TUG_ETIMEDOUT);
    tug_pg_close(tx); /* no savepoint is open any more, nothing asserts */
}
