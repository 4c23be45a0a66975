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
 * getaddrinfo never runs inside of libpq: each attempt gets one address as hostaddr, so that each
 * address has a share of the time (libpq ignores connect_timeout on this path) and its own
 * error. */
#include "login.h"

#include <stdio.h>
#include <string.h>
#include <tug/log.h>
#include <tug/offload.h>
#include <tug/resolve.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "failure.h"

/* An attempt gets at least this much of what is left, or with many addresses none could ever
 * succeed. */
#define LOGIN_SHARE_LEAST TUG_MS(100)

/* How long a step may go on after the login was given up, before it is abandoned. All but those
 * that hang are over by then, and nothing is left behind. */
#define LOGIN_STEP_GRACE TUG_MS(500)

int tug__pg_target_new(const char *url, tug__pg_target **ret_target)
{
    tug__pg_target *t = tug_calloc(1, sizeof *t);
    if (t == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection target");
    }
    int rc = tug__pg_conninfo_parse(url, &t->info);
    if (rc < 0) {
        tug_free(t);
        return rc;
    }
    for (size_t i = 0; i < t->info.pairs_n; i++) {
        if (strcmp(t->info.keywords[i], "gssencmode") == 0 &&
            strcmp(t->info.values[i], "require") == 0) {
            tug__pg_conninfo_free(&t->info);
            tug_free(t);
            return tug_fail(TUG_EINVAL,
                            "gssencmode=require: GSS encryption is not supported, use TLS");
        }
    }
    atomic_init(&t->references, 1);
    *ret_target = t;
    return 0;
}

void tug__pg_target_unref(tug__pg_target *t)
{
    if (t != NULL && atomic_fetch_sub(&t->references, 1) == 1) {
        tug__pg_conninfo_free(&t->info);
        tug_free(t);
    }
}

/* One attempt. Belongs to the step that runs, or to the task between steps. */
struct login {
    tug__pg_target *target;
    tug__pg_attempt attempt;
    PGconn *pq;
    PostgresPollingStatusType status;
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

static int step_run(void *arg)
{
    struct login *l = ((struct step *)arg)->login;
    if (l->pq != NULL) {
        l->status = PQconnectPoll(l->pq);
        return 0;
    }
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

static int login_failed(const struct login *l)
{
    tug_error e;
    tug__pg_failure_login(&e, PQerrorMessage(l->pq), PQconnectionNeedsPassword(l->pq) == 1,
                          l->target->info.description);
    return tug_fail_with(&e);
}

static int login_drive(struct login **login)
{
    int rc = login_step(login);
    while (rc == 0 && (*login)->status != PGRES_POLLING_OK) {
        if ((*login)->status == PGRES_POLLING_FAILED) {
            return login_failed(*login);
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

/* GSS encryption is left out: libpq would look into Kerberos caches first for every login, and
 * bytes that it has decrypted would hide from the poll without any way to ask for them. */
static void attempt_without_gss(tug__pg_attempt *a)
{
    size_t i = 0;
    while (a->keywords[i] != NULL && strcmp(a->keywords[i], "gssencmode") != 0) {
        i++;
    }
    if (a->keywords[i] == NULL) {
        a->keywords[i + 1] = NULL;
        a->values[i + 1] = NULL;
    }
    a->keywords[i] = "gssencmode";
    a->values[i] = "disable";
}

/* host: of the target's list; address: numeric, or NULL for the kinds that need none. */
static int login_attempt(tug__pg_target *target, size_t host, const char *address, PGconn **ret_pq)
{
    struct login *l = tug_calloc(1, sizeof *l);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    l->target = target;
    atomic_fetch_add(&target->references, 1);
    tug__pg_conninfo_attempt(&target->info, host, address, &l->attempt);
    attempt_without_gss(&l->attempt);
    int rc = login_drive(&l);
    if (rc == 0) {
        tug_on_loop_stack(login_finish, l);
        rc = l->status == PGRES_POLLING_OK ? 0 : login_failed(l);
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

/* Another address of the same server, or another server, may do better than this failure says. */
static bool login_goes_on(int rc)
{
    const tug_error *e = tug_last_error();
    return rc == TUG_ECONNECT || (rc == TUG_ESERVER && e->code == rc && e->transient);
}

static int login_timed(tug__pg_target *target, size_t host, const char *address, tug_duration share,
                       PGconn **ret_pq)
{
    tug_scope s;
    tug_scope_enter(&s, share);
    int rc = tug_scope_leave(&s, login_attempt(target, host, address, ret_pq));
    if (rc == TUG_ETIMEDOUT) {
        tug_error e;
        tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "cannot connect to %.60s: no answer within %lld ms%s%s",
                      target->info.description, (long long)(share / 1000000),
                      address != NULL ? " from " : "", address != NULL ? address : "");
        e.transient = true;
        rc = tug_fail_with(&e);
    }
    return rc;
}

static tug_duration login_share(tug_time deadline, size_t attempts_left)
{
    tug_duration left = deadline == TUG_FOREVER ? TUG_FOREVER : deadline - tug_now();
    tug_duration share = left == TUG_FOREVER ? left : left / (tug_duration)attempts_left;
    return share > LOGIN_SHARE_LEAST || left < LOGIN_SHARE_LEAST ? share : LOGIN_SHARE_LEAST;
}

/* The name look-up takes its time from the same deadline. */
static int login_look_up(const tug__pg_host *host, tug_duration share, const char *where,
                         tug_addresses **ret_addresses)
{
    tug_scope s;
    tug_scope_enter(&s, share);
    int rc = tug_scope_leave(&s, tug_resolve(host->host, (uint16_t)host->port, ret_addresses));
    if (rc == 0 || rc == TUG_ECANCELED) {
        return rc;
    }
    tug_error e;
    char why[140];
    tug__pg_failure_one_line(why, sizeof why,
                             rc == TUG_ETIMEDOUT ? "the name was not looked up in time"
                                                 : tug_last_error()->text);
    tug_error_set(&e, rc == TUG_ENOMEM ? rc : TUG_ECONNECT, TUG_ORIGIN_OS, TUG_NOT_SENT, NULL,
                  "cannot connect to %.60s: %s", where, why);
    e.transient = true;
    return tug_fail_with(&e);
}

static int login_host(tug__pg_target *target, size_t i, tug_time deadline, PGconn **ret_pq)
{
    const tug__pg_host *host = &target->info.hosts[i];
    size_t hosts_left = target->info.hosts_n - i;
    if (host->kind != TUG__PG_HOST_NAME) {
        return login_timed(target, i, NULL, login_share(deadline, hosts_left), ret_pq);
    }
    TUG_AUTO(tug_addresses) addresses = NULL;
    int rc = login_look_up(host, login_share(deadline, hosts_left), target->info.description,
                           &addresses);
    size_t n = rc == 0 ? tug_addresses_count(addresses) : 0;
    for (size_t k = 0; k < n; k++) {
        tug_duration share = login_share(deadline, n - k + hosts_left - 1);
        rc = login_timed(target, i, tug_addresses_text(addresses, k), share, ret_pq);
        if (!login_goes_on(rc)) {
            break;
        }
    }
    return rc;
}

int tug__pg_login(tug__pg_target *target, tug_duration time, PGconn **ret_pq)
{
    tug_time deadline = tug_time_after(tug_now(), time);
    int rc = TUG_ECONNECT;
    for (size_t i = 0; i < target->info.hosts_n; i++) {
        rc = login_host(target, i, deadline, ret_pq);
        if (!login_goes_on(rc)) {
            break;
        }
        tug_log(TUG_LOG_INFO, "pg", "%s", tug_last_error()->text);
    }
    return rc;
}
