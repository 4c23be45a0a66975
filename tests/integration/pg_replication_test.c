/* Logical replication on a real server: what the stream brings, and in which order. */
#include "pg_feed.h"

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
