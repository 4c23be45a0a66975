/* Logging in. PQconnectStartParams and PQconnectPoll run on offload threads, every step of them,
 * because they do block: they read ~/.pgpass, certificates and keys, look for the home directory by
 * getpwuid (which may ask a directory server), and spend milliseconds of CPU on SCRAM's 4,096
 * rounds and on a TLS handshake. Between two steps the socket is waited for on the loop. A step is
 * abandonable: a home directory that hangs must not hold up the deadline; what it has is then
 * released when it comes back.
 *
 * A descriptor is watched for one wait only, so that libpq may close it and open another one with
 * the same number inside of the next step.
 *
 * getaddrinfo never looks a name up inside of libpq: each attempt gets one address as hostaddr, so
 * that each address has a share of the time (libpq ignores connect_timeout on this path) and its own
 * error. */
#include "login.h"

#include <stdio.h>
#include <string.h>
#include <tug/log.h>
#include <tug/offload.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "defaults.h"
#include "failure.h"
#include "files.h"

/* How long a step may go on after the login was given up, before it is abandoned. All but those
 * that hang are over by then, and nothing is left behind. */
#define LOGIN_STEP_GRACE TUG_MS(500)

/* --- targets ---------------------------------------------------------------------------------- */

static int target_make(const tug__pg_conninfo *info, tug__pg_target **ret_target)
{
    tug__pg_target *t = tug_calloc(1, sizeof *t);
    if (t == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection target");
    }
    t->info = *info;
    atomic_init(&t->references, 1);
    *ret_target = t;
    return 0;
}

/* Whoever turns the verification off shall read it in the log, once for each handle. */
static void target_warn(const tug__pg_conninfo *info)
{
    if (info->sslmode == NULL || strcmp(info->sslmode, "verify-full") == 0) {
        return;
    }
    for (size_t i = 0; i < info->hosts_n; i++) {
        if (!tug__pg_host_is_local(&info->hosts[i])) {
            tug_log(TUG_LOG_WARN, "pg", "%s: sslmode=%s does not verify who the server is",
                    info->description, info->sslmode);
            return;
        }
    }
}

int tug__pg_target_new(const char *url, tug__pg_target **ret_target)
{
    tug__pg_conninfo info;
    if (url == NULL || *url == '\0') {
        /* A variable that was not set: whoever means the environment says so. */
        return tug_fail(TUG_EINVAL,
                        "tug_pg_open: the URL is %s (\"postgresql://\" takes all from "
                        "the environment)",
                        url == NULL ? "NULL" : "empty");
    }
    int rc = tug__pg_conninfo_parse(url, &info);
    if (rc < 0) {
        return rc;
    }
    target_warn(&info);
    rc = target_make(&info, ret_target);
    if (rc < 0) {
        tug__pg_conninfo_free(&info);
    }
    return rc;
}

void tug__pg_target_unref(tug__pg_target *t)
{
    if (t != NULL && atomic_fetch_sub(&t->references, 1) == 1) {
        tug__pg_conninfo_free(&t->info);
        tug_free(t);
    }
}

struct resolving {
    tug__pg_target *target, *resolved;
};

static int resolve_run(void *arg)
{
    struct resolving *r = arg;
    tug__pg_settings settings = {.n = 0};
    tug__pg_conninfo info;
    int rc = tug__pg_service_read(r->target->info.service, &settings);
    rc = rc < 0 ? rc : tug__pg_conninfo_resolve(&r->target->info, &settings, &info);
    tug__pg_settings_free(&settings);
    if (rc == 0) {
        rc = target_make(&info, &r->resolved);
        if (rc < 0) {
            tug__pg_conninfo_free(&info);
        }
    }
    return rc;
}

static void resolve_peek(void *arg, void *to)
{
    struct resolving *r = arg;
    *(tug__pg_target **)to = r->resolved;
    r->resolved = NULL;
}

static void resolve_destroy(void *arg)
{
    struct resolving *r = arg;
    tug__pg_target_unref(r->target);
    tug__pg_target_unref(r->resolved);
    tug_free(r);
}

int tug__pg_target_resolve(tug__pg_target *t, tug__pg_target **ret_resolved)
{
    struct resolving *r = tug_calloc(1, sizeof *r);
    tug__pg_target *resolved = NULL;
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection target");
    }
    r->target = t;
    atomic_fetch_add(&t->references, 1);
    int rc = tug_offload_abandonable(resolve_run, resolve_peek, resolve_destroy, r, &resolved);
    if (rc == 0) {
        target_warn(&resolved->info);
        *ret_resolved = resolved;
    }
    return rc;
}

/* One attempt. Belongs to the step that runs, or to the task between steps. */
struct login {
    tug__pg_target *target;
    tug__pg_attempt attempt;
    PGconn *pq;
    PostgresPollingStatusType status;
    /* The password file that libpq passed over because others may read it; "": none. */
    char passed_over[TUG__PG_PATH_MAX];
};

static void login_free(struct login *l)
{
    if (l == NULL) {
        return;
    }
    PQfinish(l->pq);
    tug__pg_target_unref(l->target);
    tug_free(l);
}

/* --- on a thread ------------------------------------------------------------------------------ */

struct step {
    struct login *login;
};

static void login_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res; /* libpq would print it on stderr */
}

static const char *login_parameter(const struct login *l, const char *keyword)
{
    for (size_t i = 0; l->attempt.keywords[i] != NULL; i++) {
        if (strcmp(l->attempt.keywords[i], keyword) == 0) {
            return l->attempt.values[i];
        }
    }
    return NULL;
}

static void step_look(struct login *l)
{
    if (l->status == PGRES_POLLING_FAILED && PQconnectionNeedsPassword(l->pq) == 1 &&
        !tug__pg_passfile_is_open(login_parameter(l, "passfile"), l->passed_over)) {
        l->passed_over[0] = '\0';
    }
}

static int step_run(void *arg)
{
    struct login *l = ((struct step *)arg)->login;
    if (l->pq != NULL) {
        l->status = PQconnectPoll(l->pq);
        step_look(l);
        return 0;
    }
    tug__pg_defaults_files(&l->target->info, &l->attempt);
    l->pq = PQconnectStartParams(l->attempt.keywords, l->attempt.values, 0);
    if (l->pq == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    /* The only public way to the SQLSTATE of a refused login is its text. */
    PQsetErrorVerbosity(l->pq, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(l->pq, login_notice, NULL);
    l->status = PQstatus(l->pq) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    return 0;
}

static void step_peek(void *arg, void *to)
{
    struct step *s = arg;
    *(struct login **)to = s->login;
    s->login = NULL;
}

static void step_destroy(void *arg)
{
    struct step *s = arg;
    login_free(s->login);
    tug_free(s);
}

/* --- in the task ------------------------------------------------------------------------------ */

/* *login is NULL afterwards if the step was abandoned. */
static int login_step(struct login **login)
{
    struct step *s = tug_alloc(sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    s->login = *login;
    *login = NULL;
    tug_scope shield;
    tug_shield_enter(&shield, LOGIN_STEP_GRACE);
    int rc = tug_offload_abandonable(step_run, step_peek, step_destroy, s, login);
    return tug_scope_leave(&shield, rc);
}

static int login_failed(const struct login *l, const char *where)
{
    tug_error e;
    tug__pg_failure_login(&e, PQerrorMessage(l->pq), PQconnectionNeedsPassword(l->pq) == 1, where);
    if (l->passed_over[0] != '\0') {
        size_t n = strlen(e.text);
        snprintf(e.text + n, sizeof e.text - n,
                 "; %.60s was ignored, because others may read it (chmod 600)", l->passed_over);
    }
    return tug_fail_with(&e);
}

static int login_drive(struct login **login, const char *where)
{
    int rc = login_step(login);
    while (rc == 0 && (*login)->status != PGRES_POLLING_OK) {
        if ((*login)->status == PGRES_POLLING_FAILED) {
            return login_failed(*login, where);
        }
        unsigned want = (*login)->status == PGRES_POLLING_READING ? TUG_READ : TUG_WRITE;
        rc = tug_fd_wait(PQsocket((*login)->pq), want);
        rc = rc > 0 ? login_step(login) : rc;
    }
    return rc;
}

static void login_finish(void *arg)
{
    struct login *l = arg;
    PQsetErrorVerbosity(l->pq, PQERRORS_DEFAULT);
    if (PQsetnonblocking(l->pq, 1) != 0 || PQenterPipelineMode(l->pq) != 1) {
        l->status = PGRES_POLLING_FAILED;
    }
}

static void login_drop(void *arg)
{
    login_free(arg);
}

int tug__pg_login_attempt(tug__pg_target *target, size_t host, const char *address,
                          const char *where, PGconn **ret_pq, tug__pg_server *ret_server)
{
    struct login *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    l->target = target;
    atomic_fetch_add(&target->references, 1);
    tug__pg_conninfo_attempt(&target->info, host, address, &l->attempt);
    int rc = login_drive(&l, where);
    if (rc == 0 && target->info.role != TUG__PG_ANY &&
        !tug__pg_server_reported(l->pq, ret_server)) {
        rc = tug__pg_server_ask(l->pq, ret_server);
    }
    if (rc == 0) {
        tug_on_loop_stack(login_finish, l);
        rc = l->status == PGRES_POLLING_OK ? 0 : login_failed(l, where);
    }
    if (rc == 0) {
        *ret_pq = l->pq;
        l->pq = NULL;
    }
    if (l != NULL) {
        tug_on_loop_stack(login_drop, l);
    }
    return rc;
}

static void undo(void *arg)
{
    PQfinish(arg);
}

void tug__pg_login_undo(PGconn *pq)
{
    if (pq != NULL) {
        tug_on_loop_stack(undo, pq);
    }
}
