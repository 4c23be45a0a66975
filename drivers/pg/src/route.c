/* Which servers are tried, in which order, and how long each. A server that is not what is wanted (a
 * standby, where a primary was asked for) is one more that failed; with prefer-standby the first primary
 * is kept until a standby is found or all have been asked, so that nothing is asked twice. */
#include <stdio.h>
#include <string.h>
#include <tug/log.h>
#include <tug/resolve.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>

#include "failure.h"
#include "login.h"

/* An attempt gets at least this much of what is left, or with many addresses none could ever
 * succeed. */
#define ROUTE_SHARE_LEAST TUG_MS(100)

/* One login under way. */
struct route {
    tug__pg_target *target;
    tug_time deadline;
    size_t failed;    /* addresses that did not do */
    PGconn *fallback; /* prefer-standby: a primary */
    PGconn *found;
};

/* Another address of the same server, or another server, may do better than this failure says. */
static bool route_goes_on(int rc)
{
    const tug_error *e = tug_last_error();
    return rc == TUG_ECONNECT || (rc == TUG_ESERVER && e->code == rc && e->transient);
}

static int route_failed(struct route *r, int rc)
{
    if (route_goes_on(rc)) {
        r->failed++;
        tug_log(TUG_LOG_INFO, "pg", "%s", tug_last_error()->text);
    }
    return rc;
}

static int route_late(const char *where, tug_duration share)
{
    tug_error e;
    tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "cannot connect to %.80s: no answer within %lld ms", where,
                  (long long)(share / 1000000));
    e.transient = true;
    return tug_fail_with(&e);
}

/* Not what was asked for. It may become so: that is what a failover is. */
static int route_unfit(const struct route *r, const char *where, const tug__pg_server *server)
{
    tug_error e;
    tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_SERVER, TUG_NOT_SENT, NULL,
                  "cannot use %.80s: it %s, and target_session_attrs is %s", where,
                  server->standby     ? "is a standby"
                  : server->read_only ? "is read-only"
                                      : "is a primary that takes writes",
                  tug__pg_role_name(r->target->info.role));
    e.transient = true;
    return tug_fail_with(&e);
}

static int route_judge(struct route *r, const char *where, PGconn *pq, const tug__pg_server *server)
{
    if (tug__pg_role_fits(r->target->info.role, server)) {
        r->found = pq;
        return 0;
    }
    int rc = route_unfit(r, where, server);
    if (r->target->info.role == TUG__PG_PREFER_STANDBY && r->fallback == NULL) {
        r->fallback = pq;
        return rc;
    }
    tug_error e = *tug_last_error();
    tug__pg_login_undo(pq);
    return tug_fail_with(&e);
}

static int route_try(struct route *r, size_t host, const char *address, tug_duration share)
{
    tug_scope s;
    char where[160];
    PGconn *pq = NULL;
    tug__pg_server server = {false, false};
    tug__pg_conninfo_describe(&r->target->info, host, address, where, sizeof where);
    tug_scope_enter(&s, share);
    int rc = tug_scope_leave(&s,
                             tug__pg_login_attempt(r->target, host, address, where, &pq, &server));
    if (rc == TUG_ETIMEDOUT) {
        rc = route_late(where, share);
    }
    rc = rc == 0 ? route_judge(r, where, pq, &server) : rc;
    return route_failed(r, rc);
}

static tug_duration route_share(const struct route *r, size_t attempts_left)
{
    tug_duration left = r->deadline == TUG_FOREVER ? TUG_FOREVER : r->deadline - tug_now();
    tug_duration share = left == TUG_FOREVER ? left : left / (tug_duration)attempts_left;
    return share > ROUTE_SHARE_LEAST || left < ROUTE_SHARE_LEAST ? share : ROUTE_SHARE_LEAST;
}

/* The name look-up takes its time from the same deadline. */
static int route_look_up(struct route *r, const tug__pg_host *host, tug_duration share,
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
                  "cannot connect to %.60s: %s", r->target->info.description, why);
    e.transient = true;
    return route_failed(r, tug_fail_with(&e));
}

/* 0, 1, 2 ..., or in any order. */
static void route_order(const struct route *r, uint8_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint8_t)i;
        if (r->target->info.random) {
            size_t k = tug_random() % (i + 1);
            order[i] = order[k];
            order[k] = (uint8_t)i;
        }
    }
}

static int route_host(struct route *r, size_t i, size_t hosts_left)
{
    const tug__pg_host *host = &r->target->info.hosts[i];
    uint8_t order[UINT8_MAX];
    if (host->kind != TUG__PG_HOST_NAME) {
        return route_try(r, i, NULL, route_share(r, hosts_left));
    }
    TUG_AUTO(tug_addresses) addresses = NULL;
    int rc = route_look_up(r, host, route_share(r, hosts_left), &addresses);
    size_t n = rc == 0 ? tug_addresses_count(addresses) : 0;
    n = n < sizeof order ? n : sizeof order;
    route_order(r, order, n);
    for (size_t k = 0; k < n; k++) {
        tug_duration share = route_share(r, n - k + hosts_left - 1);
        rc = route_try(r, i, tug_addresses_text(addresses, order[k]), share);
        if (!route_goes_on(rc)) {
            break;
        }
    }
    return rc;
}

static int route_hosts(struct route *r)
{
    uint8_t order[TUG__PG_HOSTS_MAX];
    size_t n = r->target->info.hosts_n;
    int rc = TUG_ECONNECT;
    route_order(r, order, n);
    for (size_t i = 0; i < n; i++) {
        rc = route_host(r, order[i], n - i);
        if (!route_goes_on(rc)) {
            break;
        }
    }
    return rc;
}

/* The last failure says what it is, and that it was not the only one. */
static int route_sum_up(const struct route *r, int rc)
{
    if (r->failed < 2 || tug_last_error()->code != rc) {
        return rc;
    }
    tug_error e = *tug_last_error();
    size_t n = strlen(e.text);
    snprintf(e.text + n, sizeof e.text - n, "; %zu other%s failed before it", r->failed - 1,
             r->failed > 2 ? "s" : "");
    return tug_fail_with(&e);
}

static int route_run(struct route *r)
{
    int rc = route_hosts(r);
    if (rc < 0 && rc != TUG_ECANCELED && r->fallback != NULL) {
        r->found = r->fallback;
        r->fallback = NULL;
        rc = 0;
    }
    rc = rc < 0 ? route_sum_up(r, rc) : rc;
    if (r->fallback != NULL) {
        tug_error e = *tug_last_error();
        tug__pg_login_undo(r->fallback);
        rc = rc < 0 ? tug_fail_with(&e) : rc;
    }
    return rc;
}

/* The files of services may lie on a disk that hangs: all the time is theirs then. */
static int route_resolve(tug__pg_target *target, tug_duration time, tug__pg_target **ret_resolved)
{
    tug_scope s;
    tug_scope_enter(&s, time);
    int rc = tug_scope_leave(&s, tug__pg_target_resolve(target, ret_resolved));
    return rc == TUG_ETIMEDOUT ? route_late(target->info.description, time) : rc;
}

int tug__pg_login(tug__pg_target *target, tug_duration time, PGconn **ret_pq)
{
    struct route r = {.target = target, .deadline = tug_time_after(tug_now(), time)};
    if (target->info.service != NULL) {
        int rc = route_resolve(target, time, &r.target);
        if (rc < 0) {
            return rc;
        }
        target->info.role = r.target->info.role;
        target->info.unnamed = r.target->info.unnamed;
        tug_duration said = r.target->info.connect_timeout;
        if (target->info.connect_timeout == 0 && said != 0 && said < time) {
            r.deadline = tug_time_after(tug_now(), said);
        }
    }
    int rc = route_run(&r);
    if (r.target != target) {
        tug__pg_target_unref(r.target);
    }
    if (rc == 0) {
        *ret_pq = r.found;
    }
    return rc;
}
