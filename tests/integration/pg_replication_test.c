/* Logical replication on a real server: what the stream brings, in which order, and that nothing is
 * lost, whatever breaks. */
#include <signal.h>
#include <stdlib.h>
#include <tug/group.h>
#include <tug/loop.h>
#include <tug/pg_replication.h>
#include <tug/scope.h>
#include <unistd.h>

#include "pg_role.h"

/* A table with its publication, and what a stream of it needs. name is table, publication, slot and
 * application_name in one. */
struct feed {
    tug_pg *db;
    char name[64], url[500];
    const char *publication;
    tug_pg_changes_options o;
};

static void feed_sql(const struct feed *f, const char *format)
{
    help_sql(f->db, format, f->name);
}

static void feed_init(struct feed *f, const char *columns, int slot_mode)
{
    const char *base = test_url("TUG_PG_URL");
    char sql[1500];
    *f = (struct feed){.db = help_open(NULL), .o = TUG_PG_CHANGES_OPTIONS_INIT};
    snprintf(f->name, sizeof f->name, "%s", test_name());
    snprintf(f->url, sizeof f->url, "%s%capplication_name=%s", base, strchr(base, '?') ? '&' : '?',
             f->name);
    snprintf(sql, sizeof sql, "create table %s(%s)", f->name, columns);
    assert_ok(tug_pg_exec(f->db, sql, TUG_NO_ARGS, NULL));
    feed_sql(f, "create publication @ for table @");
    f->publication = f->name;
    f->o.slot = f->name;
    f->o.slot_mode = slot_mode;
    f->o.publications = &f->publication;
    f->o.publications_n = 1;
}

static void feed_drop(struct feed *f)
{
    int rc = TUG_ESERVER;
    while (f->o.slot_mode != TUG_PG_SLOT_TEMPORARY && rc < 0) { /* its walsender may still end */
        rc = tug_pg_slot_drop(f->db, f->name);
        if (rc < 0 && strcmp(tug_last_error()->native, "55006") != 0) {
            assert_rc(rc, TUG_ESERVER);
            break;
        }
    }
    feed_sql(f, "drop publication @");
    feed_sql(f, "drop table @");
    tug_pg_close(f->db);
}

static tug_pg_changes *feed_open(const struct feed *f)
{
    tug_pg_changes *c = NULL;
    assert_ok(TUG_WITHIN(TUG_SECONDS(30), tug_pg_changes_open(f->url, &f->o, &c)));
    return c;
}

static const tug_pg_change *next(tug_pg_changes *c)
{
    const tug_pg_change *change = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(30), tug_pg_changes_next(c, &change)), 1);
    return change;
}

/* Relations and types are described anew whenever some definition on the server changed. */
static const tug_pg_change *expect(tug_pg_changes *c, int kind)
{
    const tug_pg_change *change = next(c);
    while ((change->kind == TUG_PG_CHANGE_RELATION || change->kind == TUG_PG_CHANGE_TYPE) &&
           change->kind != kind) {
        change = next(c);
    }
    assert_int_equal(change->kind, kind);
    return change;
}

static void expect_silence(tug_pg_changes *c)
{
    const tug_pg_change *change = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_changes_next(c, &change)), TUG_ETIMEDOUT);
}

static void assert_text(const tug_pg_field *f, const char *text)
{
    assert_int_equal(f->kind, TUG_PG_FIELD_TEXT);
    assert_string_equal(f->value.data, text);
    assert_int_equal(f->value.size, strlen(text));
}

/* --- what it brings --------------------------------------------------------------------------- */

LIVE_TEST(brings_inserts_updates_and_deletes)
{
    struct feed f;
    feed_init(&f, "id int primary key, name text", TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = feed_open(&f);
    expect_silence(c);
    feed_sql(&f, "insert into @ values (1, 'one')");
    feed_sql(&f, "update @ set name = 'uno'");
    feed_sql(&f, "update @ set id = 2");
    feed_sql(&f, "delete from @");

    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_BEGIN);
    uint32_t xid = change->xid;
    uint64_t at = change->lsn;
    int64_t time = change->time.us;
    assert_true(xid != 0);
    change = expect(c, TUG_PG_CHANGE_RELATION);
    assert_string_equal(change->relation->name, f.name);
    assert_string_equal(change->relation->schema, "public");
    assert_int_equal(change->relation->identity, 'd');
    assert_int_equal(change->relation->columns_n, 2);
    assert_true(change->relation->columns[0].is_key && !change->relation->columns[1].is_key);
    assert_int_equal(change->relation->columns[1].type, 25);
    change = expect(c, TUG_PG_CHANGE_INSERT);
    assert_int_equal(change->xid, xid);
    assert_text(&change->row[0], "1");
    assert_text(&change->row[1], "one");
    change = expect(c, TUG_PG_CHANGE_COMMIT);
    assert_int_equal(change->xid, xid);
    assert_true(change->lsn > at && change->time.us == time);
    int64_t now = help_int(f.db, "select (extract(epoch from now()) * 1000000)::int8");
    assert_true(time <= now && now - time < 60000000);

    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_UPDATE);
    assert_int_equal(change->before_kind, TUG_PG_BEFORE_NONE);
    assert_text(&change->row[1], "uno");
    expect(c, TUG_PG_CHANGE_COMMIT);

    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_UPDATE);
    assert_int_equal(change->before_kind, TUG_PG_BEFORE_KEY);
    assert_text(&change->before[0], "1");
    assert_int_equal(change->before[1].kind, TUG_PG_FIELD_NULL);
    assert_text(&change->row[0], "2");
    expect(c, TUG_PG_CHANGE_COMMIT);

    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_DELETE);
    assert_int_equal(change->before_kind, TUG_PG_BEFORE_KEY);
    assert_text(&change->before[0], "2");
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect_silence(c);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

static const char all_types[] =
    "c0 bool, c1 int2, c2 int4, c3 int8, c4 float4, c5 float8, c6 numeric, c7 text, c8 varchar(9), "
    "c9 char(4), c10 bytea, c11 uuid, c12 date, c13 time, c14 timetz, c15 timestamp, "
    "c16 timestamptz, c17 interval, c18 json, c19 jsonb, c20 inet, c21 cidr, c22 macaddr, "
    "c23 int4[], c24 text[], c25 int4range, c26 point";
#define ALL_TYPES 27

LIVE_TEST(brings_values_of_all_types_as_the_server_prints_them)
{
    struct feed f;
    feed_init(&f, all_types, TUG_PG_SLOT_TEMPORARY);
    tug_pg_changes *c = feed_open(&f);
    char sql[1200];
    snprintf(
        sql, sizeof sql,
        "insert into %s values (true, -32768, 2147483647, -9223372036854775808, 1.5, "
        "'-infinity', 12345678901234567890.123456789, E'umlaut \u00e4 \\n tab\t', 'var', 'ch', "
        "'\\x00ff80', '5f8b1c1e-6a3e-4b8e-9f3b-0a1b2c3d4e5f', '0044-03-15 BC', '23:59:59.999999', "
        "'12:00+05:30', 'infinity', '2024-02-29 12:34:56.789+00', '1 year -2 days 03:04:05.6', "
        "'{\"a\": [1, null]}', '{\"b\": 2}', '10.1.2.3/8', 'fe80::/10', '08:00:2b:01:02:03', "
        "'{1,null,3}', '{\"x y\",null,\"q\"}', '[1,5)', '(1.5,-2)')",
        f.name);
    assert_ok(tug_pg_exec(f.db, sql, TUG_NO_ARGS, NULL));
    feed_sql(&f, "insert into @ default values");
    expect(c, TUG_PG_CHANGE_BEGIN);
    assert_int_equal(expect(c, TUG_PG_CHANGE_RELATION)->relation->columns_n, ALL_TYPES);
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_INSERT);
    for (int i = 0; i < ALL_TYPES; i++) {
        char *text = NULL;
        snprintf(sql, sizeof sql, "select format('%%s', c%d) from %s where c1 is not null", i,
                 f.name);
        assert_ok(tug_pg_query_one(f.db, sql, TUG_NO_ARGS, TUG_OUT(TUG_DUP(&text))));
        assert_text(&change->row[i], text);
        free(text);
    }
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_INSERT);
    for (int i = 0; i < ALL_TYPES; i++) {
        assert_int_equal(change->row[i].kind, TUG_PG_FIELD_NULL);
    }
    tug_pg_changes_close(c);
    feed_drop(&f);
}

/* Nor as the role of the stream has them by default. */
LIVE_TEST(values_have_the_styles_that_the_driver_reads)
{
    struct feed f;
    feed_init(&f, "at timestamptz, span interval, f float8", TUG_PG_SLOT_TEMPORARY);
    struct role r = create_role(f.db, "login superuser");
    role_sql(&r, "alter role @ set datestyle = 'German'");
    role_sql(&r, "alter role @ set intervalstyle = 'sql_standard'");
    role_sql(&r, "alter role @ set extra_float_digits = -9");
    snprintf(f.url, sizeof f.url, "%s", r.url);
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f,
             "insert into @ values ('2024-05-06 07:08:09+00', '1 year 2 days', 0.1234567890123)");
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_INSERT);
    assert_memory_equal(change->row[0].value.data, "2024-05-0", 9);
    assert_text(&change->row[1], "1 year 2 days");
    assert_text(&change->row[2], "0.1234567890123");
    tug_pg_changes_close(c);
    drop_role(&r);
    feed_drop(&f);
}

LIVE_TEST(brings_binary_values_when_asked)
{
    struct feed f;
    feed_init(&f, "id int4, t text, b bytea", TUG_PG_SLOT_TEMPORARY);
    f.o.binary = true;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ values (258, 'abc', '\\x0001')");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_INSERT);
    static const char *const values[] = {"\0\0\1\2", "abc", "\0\1"};
    static const size_t sizes[] = {4, 3, 2};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(change->row[i].kind, TUG_PG_FIELD_BINARY);
        assert_int_equal(change->row[i].value.size, sizes[i]);
        assert_memory_equal(change->row[i].value.data, values[i], sizes[i]);
    }
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(brings_old_rows_as_the_identity_says)
{
    struct feed f;
    feed_init(&f, "id int primary key, name text", TUG_PG_SLOT_TEMPORARY);
    feed_sql(&f, "alter table @ replica identity full");
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ values (1, 'one')");
    feed_sql(&f, "update @ set name = 'uno'");
    feed_sql(&f, "delete from @");
    expect(c, TUG_PG_CHANGE_BEGIN);
    assert_int_equal(expect(c, TUG_PG_CHANGE_RELATION)->relation->identity, 'f');
    expect(c, TUG_PG_CHANGE_INSERT);
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect(c, TUG_PG_CHANGE_BEGIN);
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_UPDATE);
    assert_int_equal(change->before_kind, TUG_PG_BEFORE_ROW);
    assert_text(&change->before[1], "one");
    assert_text(&change->row[1], "uno");
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_DELETE);
    assert_int_equal(change->before_kind, TUG_PG_BEFORE_ROW);
    assert_text(&change->before[1], "uno");
    expect(c, TUG_PG_CHANGE_COMMIT);

    /* Nothing: only what needs no identity is published. */
    feed_sql(&f, "alter publication @ set (publish = 'insert')");
    feed_sql(&f, "alter table @ replica identity nothing");
    feed_sql(&f, "insert into @ values (2, 'two')");
    feed_sql(&f, "update @ set name = 'dos'");
    expect(c, TUG_PG_CHANGE_BEGIN);
    assert_int_equal(expect(c, TUG_PG_CHANGE_RELATION)->relation->identity, 'n');
    assert_text(&expect(c, TUG_PG_CHANGE_INSERT)->row[1], "two");
    expect(c, TUG_PG_CHANGE_COMMIT);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(marks_large_values_that_did_not_change)
{
    struct feed f;
    feed_init(&f, "id int primary key, n int, big text", TUG_PG_SLOT_TEMPORARY);
    feed_sql(&f, "alter table @ alter big set storage external");
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ values (1, 1, repeat('x', 100000))");
    feed_sql(&f, "update @ set n = 2");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_INSERT);
    assert_int_equal(change->row[2].value.size, 100000);
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_UPDATE);
    assert_text(&change->row[1], "2");
    assert_int_equal(change->row[2].kind, TUG_PG_FIELD_UNCHANGED);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

LIVE_TEST(brings_truncates)
{
    struct feed f;
    feed_init(&f, "id int primary key", TUG_PG_SLOT_TEMPORARY);
    feed_sql(&f, "create table @_b(id int references @)");
    feed_sql(&f, "alter publication @ add table @_b");
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "truncate @ restart identity cascade");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    expect(c, TUG_PG_CHANGE_RELATION);
    const tug_pg_change *change = expect(c, TUG_PG_CHANGE_TRUNCATE);
    assert_int_equal(change->relations_n, 2);
    assert_true(change->restart_identity);
    bool first = strcmp(change->relations[0]->name, f.name) == 0;
    assert_string_equal(change->relations[first ? 0 : 1]->name, f.name);
    assert_memory_equal(change->relations[first ? 1 : 0]->name, f.name, strlen(f.name));
    expect(c, TUG_PG_CHANGE_COMMIT);
    tug_pg_changes_close(c);
    feed_sql(&f, "drop table @_b");
    feed_drop(&f);
}

LIVE_TEST(brings_messages_types_and_origins)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    feed_sql(&f, "create type @_mood as enum ('sad', 'happy')");
    feed_sql(&f, "alter table @ add mood @_mood");
    f.o.messages = true;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "select pg_logical_emit_message(false, '@', 'at once')");
    feed_sql(&f, "select pg_logical_emit_message(true, '@', 'with the commit')");
    TUG_AUTO(tug_pg) session = NULL;
    assert_ok(tug_pg_acquire(f.db, &session));
    help_sql(session, "select pg_replication_origin_create('@')", f.name);
    help_sql(session, "select pg_replication_origin_session_setup('@')", f.name);
    help_sql(session, "insert into @ values (1, 'happy')", f.name);
    help_sql(session, "select pg_replication_origin_session_reset()", f.name);
    help_sql(session, "select pg_replication_origin_drop('@')", f.name);

    const tug_pg_change *change = next(c);
    while (change->kind != TUG_PG_CHANGE_MESSAGE || strcmp(change->name, f.name) != 0) {
        change = next(c); /* messages of others are for all */
    }
    assert_false(change->transactional);
    assert_int_equal(change->content.size, 7);
    assert_memory_equal(change->content.data, "at once", 7);
    uint64_t lsn = change->lsn;
    assert_ok(tug_pg_changes_confirm(c, lsn));
    expect(c, TUG_PG_CHANGE_BEGIN);
    change = expect(c, TUG_PG_CHANGE_MESSAGE);
    assert_true(change->transactional && change->xid != 0);
    assert_memory_equal(change->content.data, "with the commit", 15);
    expect(c, TUG_PG_CHANGE_COMMIT);
    expect(c, TUG_PG_CHANGE_BEGIN);
    assert_string_equal(expect(c, TUG_PG_CHANGE_ORIGIN)->name, f.name);
    change = expect(c, TUG_PG_CHANGE_TYPE);
    assert_string_equal(change->schema, "public");
    assert_memory_equal(change->name, f.name, strlen(f.name));
    uint32_t type = change->type;
    assert_int_equal(expect(c, TUG_PG_CHANGE_RELATION)->relation->columns[1].type, type);
    assert_text(&expect(c, TUG_PG_CHANGE_INSERT)->row[1], "happy");
    tug_pg_changes_close(c);
    tug_pg_close(session);
    session = NULL;
    feed_sql(&f, "alter table @ drop mood");
    feed_sql(&f, "drop type @_mood");
    feed_drop(&f);
}

LIVE_TEST(brings_a_large_transaction_in_constant_memory)
{
    enum {
        ROWS = 100000
    };
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_TEMPORARY);
    f.o.max_queued_bytes = 65536;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f, "insert into @ select generate_series(1, 100000)");
    expect(c, TUG_PG_CHANGE_BEGIN);
    expect(c, TUG_PG_CHANGE_RELATION);
    size_t most = 0;
    for (int i = 1; i <= ROWS; i++) {
        const tug_pg_change *change = expect(c, TUG_PG_CHANGE_INSERT);
        assert_int_equal(atoi(change->row[0].value.data), i);
        size_t live = tug_test_live_allocations();
        most = live > most ? live : most;
    }
    assert_true(most < 5000);
    expect(c, TUG_PG_CHANGE_COMMIT);
    tug_pg_changes_close(c);
    feed_drop(&f);
}

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
    while (help_int(f.db, help_named("select count(*) from @", f.name)) < 300) {
        assert_ok(tug_sleep(TUG_MS(1)));
    }
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
    while (slot_place(&f) < lsn) { /* without another call of next */
        assert_ok(tug_sleep(TUG_MS(1)));
    }
    assert_true(tug_now() - before < TUG_SECONDS(5));
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
    strcat(f.url, "&options=-c%20wal_sender_timeout%3D400ms");
    f.o.max_queued_bytes = 65536;
    tug_pg_changes *c = feed_open(&f);
    feed_sql(&f,
             "insert into @ select generate_series(0, 19999)"); /* 20 MB: more than sockets hold */
    while (r.open < 10) {
        note(&r, next(c));
    }
    int64_t backend = backend_of(f.db, f.name);
    assert_ok(tug_sleep(TUG_MS(1500))); /* the consumer is busy elsewhere */
    assert_int_equal(backend_of(f.db, f.name), backend);
    while (r.commits == 0) {
        note(&r, next(c));
    }
    assert_int_equal(r.restarts, 0);
    assert_int_equal(r.n, 20000);
    assert_gapless(&r, 0);
    assert_ok(tug_sleep(TUG_MS(1000))); /* and nor does an idle one */
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
    int rc = tug_sleep(TUG_MS(400));
    assert_int_equal(kill(s->pid, SIGCONT), 0);
    return rc;
}

LIVE_TEST(a_silent_server_is_found_out)
{
    struct feed f;
    feed_init(&f, "id int", TUG_PG_SLOT_CREATE);
    f.o.check_after = TUG_MS(50);
    f.o.check_timeout = TUG_MS(100);
    tug_pg_changes *c = feed_open(&f);
    for (int i = 0; i < 5; i++) {
        expect_silence(c); /* checks that are answered do no harm */
    }
    int64_t backend = backend_of(f.db, f.name);
    struct stopped s = {.pid = (pid_t)backend};
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
    while (backend_of(f.db, f.name) != 0) {
        assert_ok(tug_sleep(TUG_MS(5)));
    }
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
