/* libpq's own check of target_session_attrs would do for a list of hosts that libpq goes through. Here
 * each attempt has one address, and prefer-standby needs to know of a server that it is a primary, not
 * that some attempt failed. So the question is asked here, after the login. */
#include "role.h"

#include <string.h>
#include <tug/error.h>
#include <tug/sys/driver.h>

static const char *const role_names[TUG__PG_ROLES] = {"any",     "read-write", "read-only",
                                                      "primary", "standby",    "prefer-standby"};

bool tug__pg_role_parse(const char *word, tug__pg_role *ret_role)
{
    for (size_t i = 0; i < TUG__PG_ROLES; i++) {
        if (strcmp(word, role_names[i]) == 0) {
            *ret_role = (tug__pg_role)i;
            return true;
        }
    }
    return false;
}

const char *tug__pg_role_name(tug__pg_role role)
{
    return role_names[role];
}

bool tug__pg_role_fits(tug__pg_role role, const tug__pg_server *server)
{
    switch (role) {
    case TUG__PG_READ_WRITE:
        return !server->read_only;
    case TUG__PG_READ_ONLY:
        return server->read_only;
    case TUG__PG_PRIMARY:
        return !server->standby;
    case TUG__PG_STANDBY:
    case TUG__PG_PREFER_STANDBY:
        return server->standby;
    default:
        return true;
    }
}

static bool is_on(const char *value)
{
    return strcmp(value, "on") == 0 || strcmp(value, "t") == 0;
}

bool tug__pg_server_reported(const PGconn *pq, tug__pg_server *ret_server)
{
    const char *standby = PQparameterStatus(pq, "in_hot_standby");
    const char *read_only = PQparameterStatus(pq, "default_transaction_read_only");
    if (standby == NULL || read_only == NULL) {
        return false;
    }
    ret_server->standby = is_on(standby);
    ret_server->read_only = ret_server->standby || is_on(read_only);
    return true;
}

bool tug__pg_role_still_fits(tug__pg_role role, const PGconn *pq)
{
    tug__pg_server server;
    return role == TUG__PG_ANY || role == TUG__PG_PREFER_STANDBY ||
           !tug__pg_server_reported(pq, &server) || tug__pg_role_fits(role, &server);
}

/* --- by a query ------------------------------------------------------------------------------- */

struct question {
    PGconn *pq;
    PGresult *answer;
    unsigned want; /* 0: it is over */
    bool failed;
};

static void question_step(void *arg)
{
    struct question *q = arg;
    if (q->want == 0) {
        q->failed = PQsetnonblocking(q->pq, 1) != 0 ||
                    PQsendQuery(q->pq, "select pg_catalog.pg_is_in_recovery(), "
                                       "pg_catalog.current_setting('transaction_read_only')") != 1;
    } else {
        q->failed = PQconsumeInput(q->pq) != 1;
    }
    int unsent = q->failed ? 0 : PQflush(q->pq);
    q->failed = q->failed || unsent < 0;
    q->want = TUG_READ | (unsent == 1 ? (unsigned)TUG_WRITE : 0u);
    while (!q->failed && PQisBusy(q->pq) == 0) {
        PGresult *res = PQgetResult(q->pq);
        if (res == NULL) {
            q->want = 0;
            return;
        }
        PQclear(q->answer);
        q->answer = res;
    }
}

static void question_end(void *arg)
{
    PQclear(((struct question *)arg)->answer);
}

int tug__pg_server_ask(PGconn *pq, tug__pg_server *ret_server)
{
    struct question q = {.pq = pq};
    int rc = 0;
    do {
        tug_on_loop_stack(question_step, &q);
        if (q.want != 0 && !q.failed) {
            rc = tug_fd_wait(PQsocket(pq), q.want);
        }
    } while (rc >= 0 && !q.failed && q.want != 0);
    if (rc >= 0 && !q.failed && PQresultStatus(q.answer) == PGRES_TUPLES_OK &&
        PQntuples(q.answer) == 1) {
        ret_server->standby = is_on(PQgetvalue(q.answer, 0, 0));
        ret_server->read_only = is_on(PQgetvalue(q.answer, 0, 1));
        rc = 0;
    } else if (rc >= 0) {
        rc = tug_fail(TUG_ECONNECT, "the server did not say whether it takes writes");
    }
    if (q.answer != NULL) {
        tug_on_loop_stack(question_end, &q);
    }
    return rc;
}
