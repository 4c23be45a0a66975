/* Logical replication on a real server: that nothing is lost and nothing comes twice, whatever breaks, and how far the
 * server is told we are. */
#include <signal.h>
#include <tug/group.h>
#include <unistd.h>

#include "pg_feed.h"

/* --- nothing is lost -------------------------------------------------------------------------- */

struct writer {
    const struct feed *f;
    int transactions;
};

/* Transactions of three rows, whose keys go on without a gap, from 0. */
static int write_rows(void *arg)
{
    const struct writer *w = arg;
    for (int i = 0; i < w->transactions; i++) {
        char sql[200];
        int key = 3 * i;
        snprintf(sql, sizeof sql, "insert into %.63s values (%d), (%d), (%d)", w->f->name, key,
                 key + 1, key + 2);
        int rc = tug_pg_exec(w->f->db, sql, TUG_NO_ARGS, NULL);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* What a worker keeps: keys of whole transactions. */
struct record {
    int keys[20000];
    int n, open; /* of the transaction under way: keys[n] to keys[n + open - 1] */
    int commits, restarts;
    uint64_t lsn;
};

/* One change into the record; true for a commit. */
static bool note(struct record *r, const tug_pg_change *change)
{
    switch (change->kind) {
    case TUG_PG_CHANGE_BEGIN:
        assert_int_equal(r->open, 0);
        return false;
    case TUG_PG_CHANGE_INSERT:
        r->keys[r->n + r->open++] = atoi(change->row[0].value.data);
        return false;
    case TUG_PG_CHANGE_RESTART:
        r->open = 0;
        r->restarts++;
        return false;
    case TUG_PG_CHANGE_COMMIT:
        assert_true(change->lsn > r->lsn);
        r->n += r->open;
        r->open = 0;
        r->lsn = change->lsn;
        r->commits++;
        return true;
    default:
        return false;
    }
}

static void assert_gapless(const struct record *r, int first)
{
    for (int i = 0; i < r->n; i++) {
        assert_int_equal(r->keys[i], first + i);
    }
}

/* Without waiting for its end: one whose socket is full ends when we read. */
static void kill_walsender(const struct feed *f)
{
    assert_ok(tug_pg_exec(f->db,
                          "select pg_terminate_backend(pid) from pg_stat_activity "
                          "where application_name = $1",
                          TUG_ARGS((const char *)f->name), NULL));
}

LIVE_TEST(goes_on_after_its_walsender_is_killed)
{
    enum {
        TRANSACTIONS = 2000
    };
    static struct record r;
    struct feed f;
    feed_init(&f, "id int primary key, pad text default repeat('p', 500)", TUG_PG_SLOT_CREATE);
    f.o.backoff_first = TUG_MS(5);
    f.o.max_queued_bytes = 65536; /* so that kills meet queues of all kinds */
    tug_pg_changes *c = feed_open(&f);
    struct writer w = {.f = &f, .transactions = TRANSACTIONS};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(120), TUG_FAIL_FAST);
    tug_group_spawn(&g, write_rows, &w);
    int killed = 0, changes = 0;
    while (r.commits < TRANSACTIONS) {
        bool commit = note(&r, next(c));
        if (commit && r.commits % 7 == 0) {
            assert_ok(tug_pg_changes_confirm(c, r.lsn));
        }
        /* Some within a transaction, some between two. */
        if (++changes % 911 == 0 && backend_of(f.db, f.name) != 0) {
            kill_walsender(&f);
            killed++;
        }
    }
    assert_ok(tug_group_leave(&g, 0));
    assert_true(killed >= 5);
    assert_int_equal(r.n, 3 * TRANSACTIONS); /* each key once, without looking at any place */
    assert_gapless(&r, 0);
    expect_silence(c);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(a_transaction_that_was_cut_comes_again_whole)
{
    static struct record r;
    struct feed f;
    feed_init(&f, "id int primary key, pad text default repeat('p', 1000)", TUG_PG_SLOT_CREATE);
    f.o.backoff_first = TUG_MS(5);
    f.o.max_queued_bytes = 65536;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ select generate_series(0, 9999)");
    while (r.open < 500) {
        note(&r, next(c));
    }
    kill_walsender(&f);
    while (r.commits == 0) {
        note(&r, next(c));
    }
    assert_int_equal(r.restarts, 1);
    assert_int_equal(r.n, 10000);
    assert_gapless(&r, 0);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(a_new_stream_goes_on_behind_what_was_confirmed)
{
    static struct record r, again;
    struct feed f;
    feed_init(&f, "id int primary key", TUG_PG_SLOT_CREATE);
    tug_pg_changes *c = feed_open(&f);
    struct writer w = {.f = &f, .transactions = 20};
    assert_ok(write_rows(&w));
    uint64_t confirmed = 0;
    while (r.commits < 15) {
        note(&r, next(c));
        if (r.commits == 10 && confirmed == 0) {
            confirmed = r.lsn;
        }
    }
    assert_rc(tug_pg_changes_confirm(c, r.lsn + 1), TUG_EINVAL);
    assert_detail_has("beyond the latest commit");
    assert_ok(tug_pg_changes_confirm(c, confirmed));
    assert_ok(tug_pg_changes_confirm(c, confirmed - 1)); /* old news */
    assert_true(tug_pg_changes_confirmed(c) == confirmed);
    tug_pg_changes_close(c);

    f.o.slot_mode = TUG_PG_SLOT_EXISTS;
    tug_pg_changes *second = NULL;
    int rc = TUG_ESERVER;
    while (rc == TUG_ESERVER) { /* until the first one has said goodbye */
        rc = tug_pg_changes_open(f.url, &f.o, &second);
        assert_true(rc == 0 || strcmp(tug_last_error()->native, "55006") == 0);
    }
    assert_true(tug_pg_changes_confirmed(second) == confirmed);
    assert_null(tug_pg_changes_snapshot(second));
    while (again.commits < 10) {
        note(&again, next(second));
    }
    assert_gapless(&again, 30);
    assert_int_equal(again.n, 30);
    tug_pg_changes_close(second);

    /* And from where the program says, if it knows better. */
    static struct record third;
    f.o.from = r.lsn;
    rc = TUG_ESERVER;
    while (rc == TUG_ESERVER) {
        rc = tug_pg_changes_open(f.url, &f.o, &c);
        assert_true(rc == 0 || strcmp(tug_last_error()->native, "55006") == 0);
    }
    while (third.commits < 5) {
        note(&third, next(c));
    }
    assert_gapless(&third, 45);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(copy_and_stream_meet_without_a_gap)
{
    static struct record r;
    static bool seen[9000];
    struct feed f;
    feed_init(&f, "id int primary key", TUG_PG_SLOT_CREATE_IF_MISSING);
    struct writer w = {.f = &f, .transactions = 1000};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(60), TUG_FAIL_FAST);
    tug_group_spawn(&g, write_rows, &w);
    assert_soon(help_int(f.db, help_named("select count(*) from @", f.name)) >= 300);
    tug_pg_changes *c = feed_open(&f);
    char sql[200];
    assert_non_null(tug_pg_changes_snapshot(c));
    TUG_AUTO(tug_pg) tx = NULL;
    tug_pg_begin_options b = TUG_PG_BEGIN_OPTIONS_INIT;
    b.isolation = TUG_PG_REPEATABLE_READ;
    assert_ok(tug_pg_begin(f.db, &b, &tx));
    snprintf(sql, sizeof sql, "set transaction snapshot '%s'", tug_pg_changes_snapshot(c));
    assert_ok(tug_pg_exec(tx, sql, TUG_NO_ARGS, NULL));
    TUG_AUTO(tug_pg_result) res = NULL;
    assert_ok(tug_pg_query(tx, help_named("select id from @", f.name), TUG_NO_ARGS, &res));
    size_t copied = tug_pg_result_rows(res);
    assert_true(copied >= 300);
    for (size_t i = 0; i < copied; i++) {
        int64_t key = 0;
        assert_ok(tug_pg_result_int64(res, i, 0, &key));
        seen[key] = true;
    }
    assert_ok(tug_pg_commit(tx));
    tug_pg_close(tx);
    tx = NULL;
    assert_ok(tug_group_leave(&g, 0));
    feed_sql(&f, "insert into @ values (-1)");
    for (bool over = false; !over;) {
        over = note(&r, next(c)) && r.keys[r.n - 1] == -1;
    }
    assert_null(tug_pg_changes_snapshot(c));
    for (int i = 0; i < r.n - 1; i++) {
        assert_false(seen[r.keys[i]]);
        seen[r.keys[i]] = true;
    }
    for (int i = 0; i < 3000; i++) {
        assert_true(seen[i]);
    }
    assert_int_equal((int)copied + r.n - 1, 3000);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(if_missing_finds_the_one_that_is_there)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_CREATE_IF_MISSING);
    assert_ok(tug_pg_exec(f.db, "select pg_create_logical_replication_slot($1, 'pgoutput')",
                          TUG_ARGS((const char *)f.name), NULL));
    feed_sql(&f, "insert into @ values (7)");
    tug_pg_changes *c = feed_open(&f);
    assert_null(tug_pg_changes_snapshot(c));
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    assert_text(&expect(c, TUG_PG_CHANGE_INSERT)->row[0], "7");
    tug_pg_changes_close(c);
    feed_drop(&f);
}

/* --- how far we are --------------------------------------------------------------------------- */

static uint64_t slot_place(const struct feed *f)
{
    char *text = NULL;
    uint64_t lsn = 0;
    assert_ok(tug_pg_query_one(
        f->db, "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1",
        TUG_ARGS((const char *)f->name), TUG_OUT(TUG_DUP(&text))));
    assert_ok(tug_pg_lsn_parse(text, &lsn));
    free(text);
    return lsn;
}

LIVE_TEST(what_is_confirmed_is_told_at_once)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ values (1)");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    expect(c, TUG_PG_CHANGE_INSERT);
    uint64_t lsn = expect(c, TUG_PG_CHANGE_COMMIT)->lsn;
    assert_true(slot_place(&f) < lsn);
    assert_ok(tug_pg_changes_confirm(c, lsn));
    tug_time before = tug_now();
    assert_soon(slot_place(&f) >= lsn);               /* without another call of next */
    assert_true(tug_now() - before < TUG_SECONDS(5)); /* half of the status_interval */
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(an_idle_slot_moves_on)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    f.o.status_interval = TUG_MS(20);
    feed_sql(&f, "create table @_other(id int)");
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    uint64_t before = slot_place(&f);
    feed_sql(&f, "insert into @_other select generate_series(1, 1000)");
    while (slot_place(&f) <= before + 1000) {
        expect_silence(c);
    }
    /* But not beyond what was given and not confirmed. */
    feed_sql(&f, "insert into @ values (1)");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    expect(c, TUG_PG_CHANGE_INSERT);
    uint64_t lsn = expect(c, TUG_PG_CHANGE_COMMIT)->lsn;
    feed_sql(&f, "insert into @_other select generate_series(1, 1000)");
    for (int i = 0; i < 10; i++) {
        expect_silence(c);
        assert_true(slot_place(&f) < lsn);
    }
    tug_pg_changes_close(c);
    feed_sql(&f, "drop table @_other");
    feed_drop(&f);
}

LIVE_TEST(a_slow_consumer_does_not_cost_the_connection)
{
    static struct record r;
    struct feed f;
    feed_init(&f, "id int primary key, pad text default repeat('p', 1000)", TUG_PG_SLOT_CREATE);
    strcat(f.url, "&options=-c%20wal_sender_timeout%3D1500ms");
    f.o.max_queued_bytes = 65536;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f,
             "insert into @ select generate_series(0, 19999)"); /* 20 MB: more than sockets hold */
    while (r.open < 10) {
        note(&r, next(c));
    }
    int64_t backend = backend_of(f.db, f.name);
    assert_ok(tug_sleep(TUG_MS(3500))); /* the consumer is busy elsewhere */
    assert_int_equal(backend_of(f.db, f.name), backend);
    while (r.commits == 0) {
        note(&r, next(c));
    }
    assert_int_equal(r.restarts, 0);
    assert_int_equal(r.n, 20000);
    assert_gapless(&r, 0);
    assert_ok(tug_sleep(TUG_MS(2500))); /* and nor does an idle one */
    assert_int_equal(backend_of(f.db, f.name), backend);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

struct stopped {
    pid_t pid;
};

static int go_on_later(void *arg)
{
    struct stopped *s = arg;
    int rc = tug_sleep(TUG_SECONDS(2)); /* given up by then */
    assert_int_equal(kill(s->pid, SIGCONT), 0);
    return rc;
}

LIVE_TEST(a_silent_server_is_found_out)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_CREATE);
    f.o.check_after = TUG_MS(50);
    f.o.check_timeout = TUG_SECONDS(1); /* a busy server answers within it */
    tug_pg_changes *c = feed_open(&f);
    for (int i = 0; i < 5; i++) {
        expect_silence(c); /* checks that are answered do no harm */
    }
    int64_t backend = backend_of(f.db, f.name);
    struct stopped s = {.pid = (pid_t)backend};
    assert_true(backend > 0);
    assert_int_equal(kill(s.pid, SIGSTOP), 0);
    feed_sql(&f, "insert into @ values (1)");
    /* Until it goes on, and hears that it was given up, the slot is in use. */
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(60), TUG_FAIL_FAST);
    tug_group_spawn(&g, go_on_later, &s);
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    assert_text(&expect(c, TUG_PG_CHANGE_INSERT)->row[0], "1");
    assert_ok(tug_group_leave(&g, 0));
    assert_true(backend_of(f.db, f.name) != backend);
    tug_pg_changes_close(c);
    feed_drop(&f);
}
