/* What:      a role of the test's own, whose logins can be forbidden for a while, and what happens to
 *            the backends of one application_name.
 * Ownership: drop_role at the end. Context: in a test's task. Callbacks: none. Errors: fail the
 * test. */
#ifndef TUG_TESTS_PG_ROLE_H
#define TUG_TESTS_PG_ROLE_H

#include "pg_help.h"

static inline int64_t backend_of(tug_pg *db, const char *name)
{
    int64_t pid = 0;
    assert_ok(tug_pg_query_one(
        db, "select coalesce(max(pid), 0) from pg_stat_activity where application_name = $1",
        TUG_ARGS(name), TUG_OUT(&pid)));
    return pid;
}

static inline void terminate(tug_pg *db, const char *name)
{
    bool done = false;
    assert_ok(tug_pg_query_one(db,
                               "select coalesce(bool_and(pg_terminate_backend(pid, 30000)), false) "
                               "from pg_stat_activity where application_name = $1",
                               TUG_ARGS(name), TUG_OUT(&done)));
    assert_true(done);
}

struct role {
    tug_pg *db;
    char name[64], url[400];
};

static inline void role_sql(const struct role *r, const char *format)
{
    help_sql(r->db, format, r->name);
}

/* Its URL says its name as application_name too. attributes: "login". */
static inline struct role create_role(tug_pg *db, const char *attributes)
{
    struct role r = {.db = db};
    char host[100], database[64], sql[200];
    int port = 0;
    snprintf(r.name, sizeof r.name, "%s", test_name());
    assert_int_equal(sscanf(test_url("TUG_PG_URL"), "postgresql://%*[^@]@%99[^:]:%d/%63[^?]", host,
                            &port, database),
                     3);
    snprintf(r.url, sizeof r.url, "postgresql://%s:p@%s:%d/%s?application_name=%s", r.name, host,
             port, database, r.name);
    snprintf(sql, sizeof sql, "create role @ %s password 'p'", attributes);
    role_sql(&r, sql);
    return r;
}

static inline void drop_role(const struct role *r)
{
    assert_soon(backend_of(r->db, r->name) == 0);
    role_sql(r, "drop role @");
}

#endif
