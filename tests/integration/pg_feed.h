/* What:      what the tests of logical replication share: a table with its publication, a stream of it, and what
 *            is expected to come.
 * Ownership: feed_drop at the end. Context: in a test's task. Callbacks: none. Errors: fail the test. */
#ifndef TUG_TESTS_PG_FEED_H
#define TUG_TESTS_PG_FEED_H

#include <stdlib.h>
#include <tug/pg_replication.h>
#include <tug/scope.h>

#include "pg_role.h"

/* A table with its publication, and what a stream of it needs. name is table, publication, slot and
 * application_name in one. */
struct feed {
    tug_pg *db;
    char name[64], url[500];
    const char *publication;
    tug_pg_changes_options o;
};

static inline void feed_sql(const struct feed *f, const char *format)
{
    help_sql(f->db, format, f->name);
}

static inline void feed_init(struct feed *f, const char *columns, int slot_mode)
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

static inline void feed_drop(struct feed *f)
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

static inline tug_pg_changes *feed_open(const struct feed *f)
{
    tug_pg_changes *c = NULL;
    assert_ok(TUG_WITHIN(TUG_SECONDS(30), tug_pg_changes_open(f->url, &f->o, &c)));
    return c;
}

static inline const tug_pg_change *next(tug_pg_changes *c)
{
    const tug_pg_change *change = NULL;
    assert_rc(TUG_WITHIN(TUG_SECONDS(30), tug_pg_changes_next(c, &change)), 1);
    return change;
}

/* Relations and types are described anew whenever some definition on the server changed. */
static inline const tug_pg_change *expect(tug_pg_changes *c, int kind)
{
    const tug_pg_change *change = next(c);
    while ((change->kind == TUG_PG_CHANGE_RELATION || change->kind == TUG_PG_CHANGE_TYPE) &&
           change->kind != kind) {
        change = next(c);
    }
    assert_int_equal(change->kind, kind);
    return change;
}

static inline void expect_silence(tug_pg_changes *c)
{
    const tug_pg_change *change = NULL;
    assert_rc(TUG_WITHIN(TUG_MS(30), tug_pg_changes_next(c, &change)), TUG_ETIMEDOUT);
}

static inline void assert_text(const tug_pg_field *f, const char *text)
{
    assert_int_equal(f->kind, TUG_PG_FIELD_TEXT);
    assert_string_equal(f->value.data, text);
    assert_int_equal(f->value.size, strlen(text));
}

#endif
