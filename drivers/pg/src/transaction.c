/* Transactions: BEGIN, COMMIT, and ROLLBACK for those that are closed without. A transaction inside of
 * a transaction is a savepoint, and the same with other words: SAVEPOINT, RELEASE, ROLLBACK TO.
 *
 *   STARTING --BEGIN answered--> OPEN --commit--> COMMITTING --answered--> ENDED
 *                                 ^ cancelled before it was sent, or   |
 *                                 | a RELEASE that was refused         |
 *                                 +------------------------------------+
 *   closed in STARTING or OPEN: ROLLBACK goes behind what is in flight
 *   closed while savepoints inside of it are open: those go to ENDED with it
 *
 * holding->tx is the innermost, each has its outer one: only the innermost takes statements, because
 * what is said to an outer one would go to the inner one all the same, and be rolled back with it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "handle.h"

struct tug__pg_commit {
    tug__pg_holding *holding; /* one reference */
    tug_pg *tx;               /* NULL: its handle was closed meanwhile */
    unsigned savepoint;       /* its number; 0: none, or what it was part of has ended */
    char sql[TUG__PG_SAVEPOINT_SQL];
    tug__pg_request request;
};
typedef struct tug__pg_commit commit;

static void tx_set_state(tug_pg *tx, tug__pg_tx_state to)
{
    static const unsigned edges[] = {
        [TUG__PG_TX_STARTING] = 1u << TUG__PG_TX_OPEN | 1u << TUG__PG_TX_ENDED,
        [TUG__PG_TX_OPEN] = 1u << TUG__PG_TX_COMMITTING | 1u << TUG__PG_TX_ENDED,
        [TUG__PG_TX_COMMITTING] = 1u << TUG__PG_TX_OPEN | 1u << TUG__PG_TX_ENDED,
        [TUG__PG_TX_ENDED] = 0,
    };
    assert((edges[tx->tx_state] & 1u << to) != 0 &&
           "a transaction took an edge that does not exist");
    tx->tx_state = to;
}

/* Ends those inside of tx. */
static void tx_end_inner(tug_pg *tx)
{
    tug__pg_holding *h = tx->holding;
    while (h->tx != tx) {
        tug_pg *inner = h->tx;
        assert(inner != NULL && "an open transaction is on its connection's list");
        h->tx = inner->outer;
        inner->outer = NULL;
        if (h->committing != NULL && h->committing->tx == inner) {
            h->committing->tx = NULL;
            h->committing->savepoint = 0;
        }
        tx_set_state(inner, TUG__PG_TX_ENDED);
    }
}

/* The connection is the outer one's again. */
static void tx_leave(tug_pg *tx)
{
    tx_end_inner(tx);
    tx->holding->tx = tx->outer;
    tx->outer = NULL;
}

static void tx_rollback(const tug_pg *tx)
{
    if (tx->savepoint != 0) {
        tug__pg_savepoint_undo(tx->holding, tx->savepoint);
    } else {
        tug__pg_holding_rollback(tx->holding);
    }
}

void tug__pg_transaction_ended(tug_pg *tx)
{
    tx_leave(tx);
    tx_set_state(tx, TUG__PG_TX_ENDED);
}

void tug__pg_transaction_close(tug_pg *tx)
{
    tug__pg_holding *h = tx->holding;
    assert(!tx->managed && "tug_pg_transact ends its transaction: its function must not close it");
    if (tx->tx_state != TUG__PG_TX_ENDED) {
        tx_leave(tx);
    }
    if (tx->tx_state == TUG__PG_TX_STARTING || tx->tx_state == TUG__PG_TX_OPEN) {
        tug__pg_flow_cut(h->flow);
        tx_rollback(tx);
    } else if (h->committing != NULL && h->committing->tx == tx) {
        h->committing->tx = NULL;
    }
    tug__pg_handle_free(tx);
}

/* --- begin ------------------------------------------------------------------------------------ */

typedef struct begin {
    tug__pg_taking taking; /* first */
    tug_pg *tx;            /* ours until the future is settled */
    char sql[80];
    tug__pg_request request;
} begin;

static void begin_dispose(void *value)
{
    tug_pg_close(value);
}

/* It did not begin. */
static void begin_free(tug_pg *tx)
{
    if (tx->tx_state != TUG__PG_TX_ENDED) {
        tx_leave(tx);
    }
    tug__pg_handle_free(tx);
}

static int begin_abort(tug_future *f)
{
    begin *b = tug_future_payload(f);
    if (b->taking.inner != NULL) {
        return tug__pg_take_abort(&b->taking);
    }
    tug_error e;
    int sent = tug__pg_request_withdraw(&b->request);
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL, "BEGIN was cancelled");
    if (sent == TUG_NOT_SENT) {
        begin_free(b->tx); /* nothing to roll back */
    } else {
        tug__pg_transaction_close(b->tx);
    }
    b->tx = NULL;
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class begin_class = {.size = sizeof(tug_future_class),
                                             .name = "pg.begin",
                                             .payload = sizeof(begin),
                                             .abort = begin_abort,
                                             .dispose = begin_dispose};

static void begin_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    begin *b = tug_future_payload(f);
    tug_pg *tx = b->tx;
    b->tx = NULL;
    PQclear(res);
    tug_error closed;
    if (why == NULL && tx->tx_state == TUG__PG_TX_ENDED) {
        tug_error_set(&closed, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL,
                      "the transaction around this savepoint was closed");
        why = &closed;
    }
    if (why != NULL) {
        begin_free(tx);
        tug_future_fail(f, why);
        return;
    }
    tx_set_state(tx, TUG__PG_TX_OPEN);
    tug_future_settle(f, tx);
}

/* h: one reference, taken over. */
static void begin_on(tug_future *f, tug__pg_holding *h)
{
    begin *b = tug_future_payload(f);
    b->tx = h != NULL ? tug__pg_handle_new(TUG__PG_TRANSACTION, h) : NULL;
    if (b->tx == NULL) {
        tug_future_fail(f, tug_last_error());
        return;
    }
    b->tx->outer = h->tx;
    if (h->tx != NULL) {
        b->tx->savepoint = ++h->savepoints;
        tug__pg_savepoint_sql(b->sql, sizeof b->sql, "SAVEPOINT", b->tx->savepoint);
    }
    h->tx = b->tx;
    b->request.kind = TUG__PG_PLAIN;
    b->request.plain = b->sql;
    b->request.owner = f;
    b->request.done = begin_done;
    tug__pg_connection_add(h->connection, &b->request);
}

static int begin_sql(char *to, size_t size, const tug_pg_begin_options *o, bool is_savepoint)
{
    static const char *const levels[] = {"", " ISOLATION LEVEL READ COMMITTED",
                                         " ISOLATION LEVEL REPEATABLE READ",
                                         " ISOLATION LEVEL SERIALIZABLE"};
    tug_pg_begin_options all = TUG_PG_BEGIN_OPTIONS_INIT;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    if (is_savepoint &&
        (all.isolation != TUG_PG_ISOLATION_DEFAULT || all.read_only || all.deferrable)) {
        return tug_fail(TUG_EINVAL,
                        "tug_pg_begin: a savepoint has the options of the transaction that "
                        "it is part of");
    }
    if (all.isolation < TUG_PG_ISOLATION_DEFAULT || all.isolation > TUG_PG_SERIALIZABLE) {
        return tug_fail(TUG_EINVAL, "tug_pg_begin: isolation %d is none of TUG_PG_*",
                        all.isolation);
    }
    snprintf(to, size, "BEGIN%s%s%s", levels[all.isolation], all.read_only ? " READ ONLY" : "",
             all.deferrable ? " DEFERRABLE" : "");
    return 0;
}

static int begin_check(const tug_pg *db)
{
    int rc = tug__pg_check(db, "tug_pg_begin");
    if (rc < 0 || db->kind == TUG__PG_POOL) {
        return rc;
    }
    return tug__pg_check_held(db, "tug_pg_begin");
}

static tug_future *begin_start_from(tug_pg *db, const tug_pg_begin_options *o, const void *place)
{
    char sql[80];
    if (begin_check(db) < 0 || begin_sql(sql, sizeof sql, o, db->kind == TUG__PG_TRANSACTION) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&begin_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    begin *b = tug_future_payload(f);
    memcpy(b->sql, sql, sizeof sql);
    if (db->kind == TUG__PG_POOL) {
        b->taking.place = place;
        tug__pg_take(f, &b->taking, tug__pg_pool_of(db), begin_on);
    } else {
        begin_on(f, tug__pg_holding_ref(db->holding));
    }
    return f;
}

tug_future *tug_pg_begin_start(tug_pg *db, const tug_pg_begin_options *o)
{
    return begin_start_from(db, o, __builtin_return_address(0));
}

int tug_pg_begin_take(tug_future *f, tug_pg **ret_tx)
{
    void *value = NULL;
    int rc = tug_future_take(f, &begin_class, &value);
    if (rc == 0) {
        tug_pg *tx = value;
        if (tx->savepoint == 0) { /* a savepoint's connection has its holder already */
            tug__pg_holding_set_holder(tx->holding);
        }
        *ret_tx = tx;
    }
    return rc;
}

int tug__pg_begin_from(tug_pg *db, const tug_pg_begin_options *o, const void *place,
                       tug_pg **ret_tx)
{
    tug_future *f = begin_start_from(db, o, place);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pg_begin_take(f, ret_tx);
    }
    tug_future_unref(f);
    return rc;
}

int tug_pg_begin(tug_pg *db, const tug_pg_begin_options *o, tug_pg **ret_tx)
{
    return tug__pg_begin_from(db, o, __builtin_return_address(0), ret_tx);
}

/* --- commit ----------------------------------------------------------------------------------- */

/* The end of a COMMIT. Returns the transaction, NULL if its handle was closed meanwhile. */
static tug_pg *commit_end(commit *c)
{
    assert(c->holding->committing == c && "a COMMIT ends once");
    c->holding->committing = NULL;
    return c->tx;
}

static const char *commit_word(const commit *c)
{
    return c->request.plain[0] == 'C' ? "COMMIT" : "RELEASE of a savepoint";
}

/* It has not happened, and the handle was closed: closing without commit rolls back. */
static void commit_undo(const commit *c)
{
    if (c->savepoint != 0) {
        tug__pg_savepoint_undo(c->holding, c->savepoint);
    } else if (c->request.plain[0] == 'C') {
        tug__pg_holding_rollback(c->holding);
    }
}

static int commit_abort(tug_future *f)
{
    commit *c = tug_future_payload(f);
    tug_error e;
    int sent = tug__pg_request_withdraw(&c->request);
    tug_pg *tx = commit_end(c);
    if (sent == TUG_NOT_SENT && tx != NULL) {
        tx_set_state(tx, TUG__PG_TX_OPEN);
    } else if (sent == TUG_NOT_SENT) {
        commit_undo(c);
    } else if (tx != NULL) {
        /* Whether a savepoint was released or the RELEASE will be refused, the transaction around it
         * knows: in the second case it has failed, and says so. */
        tx_leave(tx);
        tx_set_state(tx, TUG__PG_TX_ENDED);
    }
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  sent == TUG_NOT_SENT ? "%s was cancelled before it was sent"
                                       : "%s was cancelled: its outcome is unknown",
                  commit_word(c));
    tug_future_fail(f, &e);
    tug__pg_holding_unref(c->holding);
    return TUG_ABORT_DONE;
}

static const tug_future_class commit_class = {.size = sizeof(tug_future_class),
                                              .name = "pg.commit",
                                              .payload = sizeof(commit),
                                              .abort = commit_abort};

/* What became of the transaction. answered: the server said so. */
static void commit_settle(commit *c, tug_pg *tx, bool answered, bool succeeded)
{
    if (c->request.plain[0] != 'C' && answered && !succeeded) {
        /* A RELEASE that was refused has changed nothing: ROLLBACK TO still can. */
        if (tx != NULL) {
            tx_set_state(tx, TUG__PG_TX_OPEN);
        } else {
            commit_undo(c);
        }
    } else if (tx != NULL) {
        tx_leave(tx);
        tx_set_state(tx, TUG__PG_TX_ENDED);
    }
}

static void commit_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    commit *c = tug_future_payload(f);
    tug__pg_holding *h = c->holding;
    tug_pg *tx = commit_end(c);
    tug_error failed = {0};
    if (why == NULL && r->plain[0] == 'C' && strcmp(PQcmdStatus(res), "COMMIT") != 0) {
        tug_error_set(
            &failed, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, "25P02",
            "COMMIT rolled back: a statement of this transaction had failed (SQLSTATE 25P02)");
        why = &failed;
    }
    PQclear(res);
    commit_settle(c, tx, why == NULL || why->sent == TUG_ANSWERED, why == NULL);
    if (why != NULL) {
        tug_future_fail(f, why);
    } else {
        tug_future_settle(f, NULL);
    }
    tug__pg_holding_unref(h);
}

static int commit_check(const tug_pg *tx)
{
    int rc = tug__pg_check(tx, "tug_pg_commit");
    if (rc < 0) {
        return rc;
    }
    if (tx->kind != TUG__PG_TRANSACTION) {
        return tug_fail(TUG_EMISUSE, "tug_pg_commit: this is a %s: commit what tug_pg_begin gave",
                        tx->kind == TUG__PG_POOL ? "pool" : "session");
    }
    if (tx->managed) {
        return tug_fail(TUG_EMISUSE,
                        "tug_pg_commit: tug_pg_transact commits when its function returns 0");
    }
    return tug__pg_check_held(tx, "tug_pg_commit");
}

static tug_future *commit_start(tug_pg *tx)
{
    tug_future *f = tug_future_new(&commit_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    commit *c = tug_future_payload(f);
    c->holding = tug__pg_holding_ref(tx->holding);
    c->holding->committing = c;
    c->tx = tx;
    c->savepoint = tx->savepoint;
    c->request.kind = TUG__PG_PLAIN;
    c->request.plain = "COMMIT";
    if (tx->savepoint != 0) {
        tug__pg_savepoint_sql(c->sql, sizeof c->sql, "RELEASE SAVEPOINT", tx->savepoint);
        c->request.plain = c->sql;
    }
    c->request.owner = f;
    c->request.done = commit_done;
    tx_set_state(tx, TUG__PG_TX_COMMITTING);
    tug__pg_connection_add(c->holding->connection, &c->request);
    return f;
}

tug_future *tug_pg_commit_start(tug_pg *tx)
{
    return commit_check(tx) < 0 ? tug_future_failed(tug_last_error()) : commit_start(tx);
}

int tug_pg_commit(tug_pg *tx)
{
    tug_future *f = tug_pg_commit_start(tx);
    int rc = tug_await_own(f);
    tug_future_unref(f);
    return rc;
}
