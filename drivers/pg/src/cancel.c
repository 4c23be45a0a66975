/* A statement whose caller has gone leaves a tombstone; on the server it runs on. A cancel request
 * ends it there. It names a backend, not a statement, and kills whatever runs on that backend when
 * it arrives: so one goes out only while nothing of anybody's is in flight on the connection, and
 * nothing is sent on it until it is certain that the request has had its effect.
 *
 *    NONE --- only tombstones in flight ---> GRACE --- old enough ---> PLACE <-----------+
 *     ^                                        |                       |    \            |
 *     |<---------- all is answered ------------+-----------------------+   a place       |
 *     |                                                                       v          |
 *     |                                                       ASKED <--- ASKING          |
 *     |                                                        |  \ socket closed        |
 *     +--- the Sync is answered --- SETTLE <--- all answered --+   +-- runs on: again ---+
 *
 *    any of them --- the connection is LOST, or the time is up, and then it is made so ---> NONE
 *
 * The server closes the socket of the request after it has sent the signal (twice: to the backend and to
 * its group, so that one request may end two statements). A backend that is between two statements
 * forgets a signal before it reads the next one. Where that is less certain, behind a pooler, the Sync of
 * SETTLE takes it.
 *
 * A request may come to nothing: the backend had not read the statement yet, or the network swallowed
 * it. So it is repeated, in growing steps.
 *
 * Where libpq is 17 or later, a request takes the connection's own way, TLS included, in steps on
 * offload threads that do not wait for the network, for the same reasons as a login (certificates are
 * read from files). Before, PQcancel is all there is: in plain text, and it blocks, so it keeps its
 * thread. */
#include "cancel.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <tug/log.h>
#include <tug/offload.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>

#include "connection.h"
#include "failure.h"

/* What is younger is likely to be over before a request could arrive. */
#define CANCEL_GRACE TUG_MS(2)
/* Requests of one pool under way. Two leave most of the eight offload threads to logins, if the
 * network swallows packets and PQcancel hangs in connect(). */
#define CANCEL_PLACES 2
/* From one request to the next for the same thing: at first, and at most. The first leaves time for
 * a busy server to roll back. */
#define CANCEL_AGAIN_FIRST TUG_MS(20)
#define CANCEL_AGAIN_MOST TUG_SECONDS(1)
/* A place can come free on a thread, where nobody can be told: how often who waits looks. */
#define CANCEL_LOOK TUG_MS(50)

static const char *const state_names[TUG__PG_CANCEL_STATE_MAX] = {"NONE",   "GRACE", "PLACE",
                                                                  "ASKING", "ASKED", "SETTLE"};

/* One bit for each state that may follow. */
static const unsigned state_edges[TUG__PG_CANCEL_STATE_MAX] = {
    [TUG__PG_CANCEL_NONE] = 1u << TUG__PG_CANCEL_GRACE,
    [TUG__PG_CANCEL_GRACE] = 1u << TUG__PG_CANCEL_PLACE | 1u << TUG__PG_CANCEL_NONE,
    [TUG__PG_CANCEL_PLACE] = 1u << TUG__PG_CANCEL_ASKING | 1u << TUG__PG_CANCEL_SETTLE |
                             1u << TUG__PG_CANCEL_NONE,
    [TUG__PG_CANCEL_ASKING] = 1u << TUG__PG_CANCEL_ASKED | 1u << TUG__PG_CANCEL_NONE,
    [TUG__PG_CANCEL_ASKED] = 1u << TUG__PG_CANCEL_PLACE | 1u << TUG__PG_CANCEL_SETTLE |
                             1u << TUG__PG_CANCEL_NONE,
    [TUG__PG_CANCEL_SETTLE] = 1u << TUG__PG_CANCEL_NONE,
};

const char *tug__pg_cancel_state_name(tug__pg_cancel_state state)
{
    return state_names[state];
}

static void cancel_set_state(tug__pg_connection *c, tug__pg_cancel_state to)
{
    assert((state_edges[c->cancel.state] & 1u << to) != 0 &&
           "a cancel took an edge that does not exist");
    tug_log(TUG_LOG_TRACE, "pg", "cancel %s -> %s pid=%d", state_names[c->cancel.state],
            state_names[to], PQbackendPID(c->pq));
    c->cancel.state = to;
}

tug__pg_cancels *tug__pg_cancels_new(tug_duration timeout)
{
    tug__pg_cancels *all = tug_calloc(1, sizeof *all);
    if (all != NULL) {
        atomic_init(&all->references, 1);
        atomic_init(&all->running, 0);
        all->timeout = timeout;
    }
    return all;
}

void tug__pg_cancels_unref(tug__pg_cancels *all)
{
    if (all != NULL && atomic_fetch_sub(&all->references, 1) == 1) {
        assert(all->first == NULL && "connections are gone before their pool");
        tug_free(all);
    }
}

/* --- the request itself ----------------------------------------------------------------------- */

/* What libpq needs for it. Belongs to the step that runs on a thread, or to the errand. */
typedef struct parcel {
    tug__pg_cancels *pool; /* one reference, and a place */
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    PGcancelConn *pq;
    PostgresPollingStatusType status;
    bool started;
#else
    PGcancel *pq;
    bool over;
#endif
} parcel;

/* Lives as long as its service task. */
struct tug__pg_errand {
    tug__pg_connection *connection; /* NULL: it was lost meanwhile */
    tug__pg_cancels *pool;          /* one reference */
    tug_time deadline;
    parcel *parcel; /* NULL: given up */
};

/* Any thread. */
static void parcel_free(parcel *p)
{
    if (p == NULL) {
        return;
    }
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    PQcancelFinish(p->pq);
#else
    PQfreeCancel(p->pq);
#endif
    atomic_fetch_sub(&p->pool->running, 1);
    tug__pg_cancels_unref(p->pool);
    tug_free(p);
}

/* Loop stack: it reads the connection. (PQcancelCreate looks into ~/.pgpass if the URL has no password; the
 * connection cannot be lent to a thread for that.) */
static parcel *parcel_new(tug__pg_connection *c)
{
    parcel *p = tug_calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->pool = c->cancel.pool;
    atomic_fetch_add(&p->pool->references, 1);
    atomic_fetch_add(&p->pool->running, 1);
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    p->pq = PQcancelCreate(c->pq);
#else
    p->pq = PQgetCancel(c->pq);
#endif
    if (p->pq == NULL) {
        parcel_free(p);
        return NULL;
    }
    return p;
}

typedef struct step {
    parcel *parcel;
} step;

#ifdef LIBPQ_HAS_ASYNC_CANCEL
static int step_run(void *arg)
{
    parcel *p = ((step *)arg)->parcel;
    if (p->started) {
        errno = 0; /* by which it tells the end of the stream from a failure */
        p->status = PQcancelPoll(p->pq);
    } else {
        p->started = true;
        p->status = PQcancelStart(p->pq) == 1 ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
    }
    if (p->status == PGRES_POLLING_FAILED) {
        char text[160];
        tug__pg_failure_one_line(text, sizeof text, PQcancelErrorMessage(p->pq));
        return tug_fail(TUG_ECONNECT, "cancel request: %s", text);
    }
    return 0;
}

static bool parcel_is_over(const parcel *p)
{
    return p->status == PGRES_POLLING_OK;
}

static int parcel_wait(const parcel *p)
{
    unsigned want = p->status == PGRES_POLLING_READING ? TUG_READ : TUG_WRITE;
    int rc = tug_fd_wait(PQcancelSocket(p->pq), want);
    return rc > 0 ? 0 : rc;
}
#else
static int step_run(void *arg)
{
    parcel *p = ((step *)arg)->parcel;
    char why[256] = "";
    p->over = true;
    if (PQcancel(p->pq, why, sizeof why) != 1) {
        char text[160];
        tug__pg_failure_one_line(text, sizeof text, why);
        return tug_fail(TUG_ECONNECT, "cancel request: %s", text);
    }
    return 0;
}

static bool parcel_is_over(const parcel *p)
{
    return p->over;
}

static int parcel_wait(const parcel *p)
{
    (void)p;
    return 0;
}
#endif

static void step_peek(void *arg, void *to)
{
    step *s = arg;
    *(parcel **)to = s->parcel;
    s->parcel = NULL;
}

static void step_destroy(void *arg)
{
    step *s = arg;
    parcel_free(s->parcel);
    tug_free(s);
}

/* e->parcel is NULL afterwards if the step was abandoned. */
static int errand_step(tug__pg_errand *e)
{
    step *s = tug_alloc(sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a cancel request");
    }
    s->parcel = e->parcel;
    e->parcel = NULL;
    return tug_offload_abandonable(step_run, step_peek, step_destroy, s, &e->parcel);
}

static int errand_drive(tug__pg_errand *e)
{
    int rc = errand_step(e);
    while (rc == 0 && !parcel_is_over(e->parcel)) {
        rc = parcel_wait(e->parcel);
        rc = rc < 0 ? rc : errand_step(e);
    }
    return rc;
}

/* A place is free: the first in line looks. */
static void cancels_next(tug__pg_cancels *all)
{
    if (all->first != NULL) {
        all->first->cancel.next = 0;
        tug_flush_later(&all->first->flush);
    }
}

static int errand_task(void *arg)
{
    tug__pg_errand *e = arg;
    tug_scope s;
    tug_scope_enter_at(&s, e->deadline);
    int rc = tug_scope_leave(&s, errand_drive(e));
    if (rc < 0) {
        tug_log(TUG_LOG_WARN, "pg", "%s code=%s", tug_last_error()->text, tug_error_name(rc));
    }
    parcel_free(e->parcel);
    tug__pg_connection *c = e->connection;
    if (c != NULL) {
        c->cancel.errand = NULL;
        cancel_set_state(c, TUG__PG_CANCEL_ASKED);
        tug_duration pause = CANCEL_AGAIN_FIRST << (c->cancel.asked < 8 ? c->cancel.asked - 1 : 7);
        c->cancel.next = tug_time_after(tug_now(),
                                        pause < CANCEL_AGAIN_MOST ? pause : CANCEL_AGAIN_MOST);
        tug_flush_later(&c->flush);
    }
    cancels_next(e->pool);
    tug__pg_cancels_unref(e->pool);
    tug_free(e);
    return 0;
}

/* NULL: not now, for want of memory. */
static tug__pg_errand *errand_start(tug__pg_connection *c)
{
    tug__pg_errand *e = tug_calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->connection = c;
    e->pool = c->cancel.pool;
    e->deadline = c->cancel.deadline;
    e->parcel = parcel_new(c);
    atomic_fetch_add(&e->pool->references, 1);
    if (e->parcel == NULL || tug_service_spawn("pg.cancel", errand_task, e) < 0) {
        parcel_free(e->parcel);
        tug__pg_cancels_unref(e->pool);
        tug_free(e);
        return NULL;
    }
    return e;
}

/* --- the line of those that wait for a place -------------------------------------------------- */

static void line_join(tug__pg_connection *c)
{
    tug__pg_cancels *all = c->cancel.pool;
    c->cancel.after = NULL;
    c->cancel.before = all->last;
    *(all->last != NULL ? &all->last->cancel.after : &all->first) = c;
    all->last = c;
}

static void line_leave(tug__pg_connection *c)
{
    tug__pg_cancels *all = c->cancel.pool;
    tug__pg_cancel *k = &c->cancel;
    *(k->before != NULL ? &k->before->cancel.after : &all->first) = k->after;
    *(k->after != NULL ? &k->after->cancel.before : &all->last) = k->before;
    k->after = k->before = NULL;
}

/* --- the machine ------------------------------------------------------------------------------ */

static bool entry_is_wanted(const tug__pg_entry *e)
{
    switch (e->kind) {
    case TUG__PG_ENTRY_REQUEST:
        return e->owner != NULL;
    case TUG__PG_ENTRY_PREPARE:
    case TUG__PG_ENTRY_DESCRIBE:
        return ((const tug__pg_statement *)e->owner)->waiting.first != NULL;
    case TUG__PG_ENTRY_CLOSE:
    case TUG__PG_ENTRY_SYNC:
        return false;
    }
    return true;
}

/* Not for a connection of its own, whose owner never leaves a statement. */
static bool cancels_are_on(const tug__pg_connection *c)
{
    return c->cancel.pool != NULL && c->cancel.pool->timeout > 0;
}

/* Something is in flight, and nobody waits for any of it. Looks from the end: a pipeline in use ends
 * with something wanted, so that this costs one look. */
static bool cancel_is_possible(const tug__pg_connection *c)
{
    if (c->state == TUG__PG_COPY_START) {
        return c->copy_request == NULL;
    }
    if (c->state == TUG__PG_COPY_OUT || c->state == TUG__PG_COPY_END) {
        return c->copier == NULL && c->copy_request == NULL;
    }
    if (c->state == TUG__PG_SCRIPT_RUNS) {
        return c->script == NULL;
    }
    if (c->state != TUG__PG_PIPELINE || c->n == 0) {
        return false;
    }
    for (uint64_t place = c->first + c->n; place > c->first; place--) {
        if (entry_is_wanted(&c->entries[(place - 1) & c->mask])) {
            return false;
        }
    }
    return true;
}

static void cancel_timer(tug_timer *t, void *arg)
{
    (void)t;
    tug__pg_connection *c = arg;
    tug_flush_later(&c->flush);
}

/* Looks again at next, or when the time is up. */
static void cancel_wait(tug__pg_connection *c, tug_time next)
{
    tug__pg_cancel *k = &c->cancel;
    k->next = next;
    tug_timer_start(&k->timer, next < k->deadline ? next : k->deadline, cancel_timer, c);
}

static void cancel_begin(tug__pg_connection *c)
{
    tug__pg_cancel *k = &c->cancel;
    cancel_set_state(c, TUG__PG_CANCEL_GRACE);
    k->asked = 0;
    k->deadline = tug_time_after(tug_now(), k->pool->timeout);
    cancel_wait(c, tug_time_after(c->head_since, CANCEL_GRACE));
    tug_flush_later(&c->flush);
}

void tug__pg_cancel_consider(tug__pg_connection *c)
{
    if (c->cancel.state == TUG__PG_CANCEL_NONE && cancels_are_on(c) && cancel_is_possible(c)) {
        cancel_begin(c);
    }
}

void tug__pg_cancel_demand(tug__pg_connection *c)
{
    bool busy = (c->state == TUG__PG_PIPELINE && c->n > 0) || c->state == TUG__PG_COPY_START ||
                c->state == TUG__PG_COPY_END || c->state == TUG__PG_SCRIPT_RUNS;
    if (c->cancel.state == TUG__PG_CANCEL_NONE && cancels_are_on(c) && busy) {
        cancel_begin(c);
    }
}

static void cancel_over(tug__pg_connection *c)
{
    if (c->cancel.state == TUG__PG_CANCEL_PLACE) {
        line_leave(c);
    }
    cancel_set_state(c, TUG__PG_CANCEL_NONE);
    tug_timer_stop(&c->cancel.timer);
}

static void cancel_give_up(tug__pg_connection *c)
{
    tug_error why;
    tug_error_set(
        &why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
        "connection to %.60s closed: what was cancelled on it had not ended after %lld ms "
        "and %u cancel requests",
        c->where, (long long)(c->cancel.pool->timeout / 1000000), c->cancel.asked);
    why.transient = true;
    tug__pg_connection_lose(c, &why);
}

/* It is this one's turn, if there is a place. */
static void cancel_ask(tug__pg_connection *c)
{
    tug__pg_cancel *k = &c->cancel;
    if (k->pool->first != c || atomic_load(&k->pool->running) >= CANCEL_PLACES ||
        (k->errand = errand_start(c)) == NULL) {
        cancel_wait(c, tug_time_after(tug_now(), CANCEL_LOOK));
        return;
    }
    line_leave(c);
    k->asked++;
    k->pool->sent++;
    cancel_set_state(c, TUG__PG_CANCEL_ASKING);
    cancel_wait(c, k->deadline);
    cancels_next(k->pool);
}

static void cancel_settle(tug__pg_connection *c)
{
    if (!tug__pg_pipeline_send_sync(c)) {
        tug__pg_connection_lose_libpq(c);
        return;
    }
    cancel_set_state(c, TUG__PG_CANCEL_SETTLE);
    cancel_wait(c, c->cancel.deadline);
}

void tug__pg_cancel_step(tug__pg_connection *c)
{
    tug__pg_cancel *k = &c->cancel;
    if (c->state == TUG__PG_LOST) {
        return;
    }
    bool answered = c->state == TUG__PG_PIPELINE && c->n == 0;
    tug_time now = tug_now();
    if (!(answered && k->state != TUG__PG_CANCEL_ASKING) && now >= k->deadline) {
        cancel_give_up(c);
        return;
    }
    if (k->state == TUG__PG_CANCEL_GRACE && !answered && now >= k->next) {
        cancel_set_state(c, TUG__PG_CANCEL_PLACE);
        line_join(c);
    }
    switch (k->state) {
    case TUG__PG_CANCEL_NONE:
    case TUG__PG_CANCEL_STATE_MAX:
        return;
    case TUG__PG_CANCEL_GRACE:
    case TUG__PG_CANCEL_SETTLE:
        if (answered) {
            cancel_over(c);
        }
        return;
    case TUG__PG_CANCEL_PLACE:
        if (!answered) {
            cancel_ask(c);
        } else if (k->asked == 0) {
            cancel_over(c);
        } else {
            line_leave(c);
            cancel_settle(c);
        }
        return;
    case TUG__PG_CANCEL_ASKING:
        return; /* its task goes on */
    case TUG__PG_CANCEL_ASKED:
        if (answered) {
            cancel_settle(c);
        } else if (now >= k->next) {
            cancel_set_state(c, TUG__PG_CANCEL_PLACE);
            line_join(c);
            cancel_ask(c);
        } else {
            cancel_wait(c, k->next);
        }
        return;
    }
}

void tug__pg_cancel_lost(tug__pg_connection *c)
{
    tug__pg_cancel *k = &c->cancel;
    if (k->state == TUG__PG_CANCEL_NONE) {
        return;
    }
    if (k->errand != NULL) {
        k->errand->connection = NULL;
        k->errand = NULL;
    }
    cancel_over(c);
}
