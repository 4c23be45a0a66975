/* Logical replication on a real server: how a stream ends, and what is said of mistakes. */
#include <tug/group.h>
#include <tug/loop.h>

#include "pg_feed.h"

/* --- ending ----------------------------------------------------------------------------------- */

LIVE_TEST(a_cancelled_next_loses_nothing)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = feed_open(&f);
    const tug_pg_change *change = NULL;
    expect_silence(c);
    feed_sql(&f, "insert into @ values (1)");
    expect(c, TUG_PG_CHANGE_BEGIN);
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_pg_changes_next(c, &change), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    expect(c, TUG_PG_CHANGE_RELATION);
    expect(c, TUG_PG_CHANGE_INSERT);
    expect(c, TUG_PG_CHANGE_COMMIT);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

struct waiter {
    tug_pg_changes *c;
    int rc;
};

static int wait_in_next(void *arg)
{
    struct waiter *w = arg;
    const tug_pg_change *change = NULL;
    w->rc = tug_pg_changes_next(w->c, &change);
    return 0;
}

LIVE_TEST(close_ends_who_waits)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    struct waiter w = {.c = feed_open(&f)};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    tug_group_spawn(&g, wait_in_next, &w);
    assert_ok(tug_sleep(TUG_MS(20)));
    const tug_pg_change *change = NULL;
    assert_rc(tug_pg_changes_next(w.c, &change), TUG_EMISUSE);
    tug_pg_changes_close(w.c);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, TUG_ECLOSED);
    assert_soon(backend_of(f.db, f.name) == 0);
    feed_drop(&f);
}

LIVE_TEST(a_stop_is_the_end_of_changes)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    struct waiter w = {.c = feed_open(&f), .rc = -1};
    tug_group g;
    tug_group_enter(&g, TUG_SECONDS(20), TUG_FAIL_FAST);
    tug_group_spawn(&g, wait_in_next, &w);
    assert_ok(tug_sleep(TUG_MS(20)));
    tug_stop(TUG_FOREVER);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(w.rc, 0);
    tug_pg_changes_close(w.c);
    feed_drop(&f);
}

LIVE_TEST(one_that_was_forgotten_is_closed)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    feed_open(&f);
    feed_drop(&f);
}

LIVE_TEST(a_temporary_slot_ends_with_its_connection)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    terminate(f.db, f.name);
    const tug_pg_change *change = NULL;
    for (int i = 0; i < 2; i++) {
        assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change)), TUG_ECLOSED);
        assert_detail_has("terminating connection due to administrator command");
    }
    tug_pg_changes_close(c);
    feed_drop(&f);
}

/* --- mistakes --------------------------------------------------------------------------------- */

static void assert_refused(const struct feed *f, int code, const char *state, const char *text)
{
    tug_pg_changes *c = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_open(f->url, &f->o, &c)), code);
    assert_string_equal(tug_last_error()->native, state);
    assert_detail_has(text);
    assert_null(strchr(tug_last_error()->text, '\n'));
    assert_null(c);
}

LIVE_TEST(slots_that_cannot_be_had_are_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_EXISTS);
    assert_refused(&f, TUG_ESERVER, "42704", "does not exist");
    f.o.slot_mode = TUG_PG_SLOT_CREATE;
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    assert_refused(&f, TUG_ESERVER, "42710", "already exists");
    f.o.slot_mode = TUG_PG_SLOT_EXISTS;
    assert_refused(&f, TUG_ESERVER, "55006", "is active for PID");
    assert_rc(tug_pg_slot_drop(f.db, f.name), TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "55006");
    tug_pg_changes_close(c);
    f.o.slot = "Not Allowed";
    f.o.slot_mode = TUG_PG_SLOT_CREATE;
    assert_refused(&f, TUG_ESERVER, "42602", "invalid character");
    f.o.slot_mode = TUG_PG_SLOT_EXISTS;
    feed_drop(&f);
}

LIVE_TEST(a_publication_that_is_not_there_is_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    const char *both[] = {f.name, "tug's \"none\""};
    f.o.publications = both;
    f.o.publications_n = 2;
    tug_pg_changes *c = feed_open(&f);
    const tug_pg_change *change = NULL;
    /* The server looks for them at the first change, of any table: another's will do. */
    feed_sql(&f, "insert into @ values (1)");
    int rc = 1;
    while (rc == 1) {
        rc = TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change));
    }
    assert_int_equal(rc, TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42704");
    assert_detail_has("publication \"tug's \"none\"\" does not exist");
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(a_role_that_may_not_replicate_is_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    struct role r = create_role(f.db, "login");
    snprintf(f.url, sizeof f.url, "%s", r.url);
    /* "must be superuser or replication role to start walsender", or since version 16
     * "permission denied to start WAL sender" */
    assert_refused(&f, TUG_ESERVER, "42501", " to start ");
    drop_role(&r);
    feed_drop(&f);
}

LIVE_TEST(a_slot_that_somebody_moves_is_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_CREATE);
    struct role r = create_role(f.db, "login replication");
    snprintf(f.url, sizeof f.url, "%s", r.url);
    f.o.backoff_first = TUG_MS(5);
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    role_sql(&r, "alter role @ nologin");
    terminate(f.db, r.name);
    feed_sql(&f, "insert into @ values (1)");
    feed_sql(&f, "select pg_replication_slot_advance('@', pg_current_wal_lsn())");
    role_sql(&r, "alter role @ login");
    const tug_pg_change *change = NULL;
    int rc = TUG_EAUTH;
    while (rc == TUG_EAUTH) {
        rc = TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change));
    }
    assert_int_equal(rc, TUG_EPROTO);
    assert_detail_has("moved on");
    tug_pg_changes_close(c);
    drop_role(&r);
    feed_drop(&f);
}

LIVE_TEST(a_slot_that_somebody_drops_is_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_CREATE);
    struct role r = create_role(f.db, "login replication");
    snprintf(f.url, sizeof f.url, "%s", r.url);
    f.o.backoff_first = TUG_MS(5);
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    role_sql(
        &r,
        "alter role @ nologin"); /* of the kind that waiting does not cure: said, and tried on */
    terminate(f.db, r.name);
    const tug_pg_change *change = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change)), TUG_EAUTH);
    assert_ok(tug_pg_slot_drop(f.db, f.name));
    role_sql(&r, "alter role @ login");
    int rc = TUG_EAUTH;
    while (rc == TUG_EAUTH) {
        rc = TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change));
    }
    assert_int_equal(rc, TUG_ESERVER);
    assert_string_equal(tug_last_error()->native, "42704");
    assert_rc(tug_pg_changes_next(c, &change), TUG_ESERVER); /* it stays so */
    tug_pg_changes_close(c);
    drop_role(&r);
    f.o.slot_mode = TUG_PG_SLOT_TEMPORARY; /* nothing to drop */
    feed_drop(&f);
}

LIVE_TEST(a_row_beyond_the_bound_is_the_end)
{
    struct feed f;
    feed_init(&f, "id int, big text", TUG_PG_SLOT_TEMPORARY);
    f.o.max_message_bytes = 1 << 20;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ select i, repeat('x', 100000) from generate_series(1, 100) i");
    feed_sql(&f, "insert into @ values (0, repeat('x', 8000000))");
    const tug_pg_change *change = NULL;
    int rc = 1, rows = 0;
    while (rc == 1) {
        rc = TUG_WITHIN(TUG_SECONDS(20), tug_pg_changes_next(c, &change));
        rows += rc == 1 && change->kind == TUG_PG_CHANGE_INSERT;
    }
    assert_int_equal(rc, TUG_ELIMIT);
    assert_detail_has("max_message_bytes (1048576)");
    assert_int_equal(rows, 100);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(mistakes_are_told)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = NULL;
    assert_rc(tug_pg_changes_open(f.url, NULL, &c), TUG_EINVAL);
    f.o.slot = NULL;
    assert_refused(&f, TUG_EINVAL, "", "the slot has no name");
    f.o.slot = f.name;
    f.o.publications_n = 0;
    assert_refused(&f, TUG_EINVAL, "", "publications_n is 0");
    f.o.publications_n = 1;
    f.o.slot_mode = 9;
    assert_refused(&f, TUG_EINVAL, "", "slot_mode is 9");
    f.o.slot_mode = TUG_PG_SLOT_TEMPORARY;
    assert_rc(tug_pg_changes_next(NULL, NULL), TUG_EMISUSE);
    assert_rc(tug_pg_changes_open("postgresql://u@127.0.0.1:1/d", &f.o, &c), TUG_ECONNECT);
    assert_rc(tug_pg_changes_open("host=127.0.0.1 port=1 user=u", &f.o, &c), TUG_ECONNECT);
    assert_rc(TUG_WITHIN(TUG_US(1), tug_pg_changes_open(f.url, &f.o, &c)), TUG_ETIMEDOUT);
    assert_null(c);
    feed_drop(&f);
}

TEST(places_are_printed_and_read)
{
    char text[TUG_PG_LSN_TEXT];
    uint64_t lsn = 0;
    tug_pg_lsn_format(0x16b374d848, text);
    assert_string_equal(text, "16/B374D848");
    assert_ok(tug_pg_lsn_parse("16/b374d848", &lsn));
    assert_true(lsn == 0x16b374d848);
    tug_pg_lsn_format(UINT64_MAX, text);
    assert_ok(tug_pg_lsn_parse(text, &lsn));
    assert_true(lsn == UINT64_MAX);
    static const char *const none[] = {"", "1", "1/", "/1", "123456789/0", "1/2x", " 1/2", "-1/2"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_rc(tug_pg_lsn_parse(none[i], &lsn), TUG_EINVAL);
    }
    assert_rc(tug_pg_lsn_parse(NULL, &lsn), TUG_EINVAL);
}
