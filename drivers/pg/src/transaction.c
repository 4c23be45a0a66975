/* Transactions: BEGIN, COMMIT, and ROLLBACK for those that are closed without.
 *
 *   STARTING --BEGIN answered--> OPEN --commit--> COMMITTING --answered--> ENDED
 *                                 ^ commit cancelled before it was sent |
 *                                 +-------------------------------------+
 *   closed in STARTING or OPEN: ROLLBACK goes behind what is in flight */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "handle.h"

static void tx_set_state(tug_pg *tx, tug__pg_tx_state to)
{
    static const unsigned edges[] = {
        [TUG__PG_TX_STARTING] = 1u << TUG__PG_TX_OPEN,
        [TUG__PG_TX_OPEN] = 1u << TUG__PG_TX_COMMITTING,
        [TUG__PG_TX_COMMITTING] = 1u << TUG__PG_TX_OPEN | 1u << TUG__PG_TX_ENDED,
        [TUG__PG_TX_ENDED] = 0,
    };
    assert((edges[tx->tx_state] & 1u << to) != 0 &&
           "a transaction took an edge that does not exist");
    tx->tx_state = to;
}

void tug__pg_transaction_close(tug_pg *tx)
{
    tug__pg_holding *h = tx->holding;
    bool open = tx->tx_state == TUG__PG_TX_STARTING || tx->tx_state == TUG__PG_TX_OPEN;
    if (h->tx == tx) {
        h->tx = NULL;
    }
    if (open) {
        tug__pg_copy_cut(h->copy);
        tug__pg_holding_rollback(h);
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
        /* Nothing to roll back. */
        b->tx->holding->tx = NULL;
        tug__pg_handle_free(b->tx);
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
    if (why != NULL) {
        tx->holding->tx = NULL;
        tug__pg_handle_free(tx);
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
    h->tx = b->tx;
    b->request.kind = TUG__PG_PLAIN;
    b->request.plain = b->sql;
    b->request.owner = f;
    b->request.done = begin_done;
    tug__pg_connection_add(h->connection, &b->request);
}

static int begin_sql(char *to, size_t size, const tug_pg_begin_options *o)
{
    static const char *const levels[] = {"", " ISOLATION LEVEL READ COMMITTED",
                                         " ISOLATION LEVEL REPEATABLE READ",
                                         " ISOLATION LEVEL SERIALIZABLE"};
    tug_pg_begin_options all = TUG_PG_BEGIN_OPTIONS_INIT;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
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
    if (db->kind == TUG__PG_TRANSACTION) {
        return tug_fail(TUG_EMISUSE,
                        "tug_pg_begin: this is a transaction already, and savepoints are not "
                        "there yet: use SAVEPOINT and ROLLBACK TO");
    }
    if (db->holding->tx != NULL || db->holding->committing) {
        return tug_fail(TUG_EMISUSE, "tug_pg_begin: a transaction of this session is still open");
    }
    if (db->holding->copy != NULL) {
        return tug_fail(TUG_EMISUSE, "tug_pg_begin: a COPY of this session is still open");
    }
    return 0;
}

tug_future *tug_pg_begin_start(tug_pg *db, const tug_pg_begin_options *o)
{
    char sql[80];
    if (begin_check(db) < 0 || begin_sql(sql, sizeof sql, o) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&begin_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    begin *b = tug_future_payload(f);
    memcpy(b->sql, sql, sizeof sql);
    if (db->kind == TUG__PG_POOL) {
        tug__pg_take(f, &b->taking, tug__pg_pool_of(db), begin_on);
    } else {
        begin_on(f, tug__pg_holding_ref(db->holding));
    }
    return f;
}

int tug_pg_begin_take(tug_future *f, tug_pg **ret_tx)
{
    void *value = NULL;
    int rc = tug_future_take(f, &begin_class, &value);
    if (rc == 0) {
        tug_pg *tx = value;
        tug__pg_holding_set_holder(tx->holding);
        *ret_tx = tx;
    }
    return rc;
}

int tug_pg_begin(tug_pg *db, const tug_pg_begin_options *o, tug_pg **ret_tx)
{
    tug_future *f = tug_pg_begin_start(db, o);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pg_begin_take(f, ret_tx);
    }
    tug_future_unref(f);
    return rc;
}

/* --- commit ----------------------------------------------------------------------------------- */

typedef struct commit {
    tug__pg_holding *holding; /* one reference */
    tug__pg_request request;
} commit;

/* The end of a COMMIT. Returns the transaction, NULL if its handle was closed meanwhile. It cannot be
 * another one: none begins on this connection while one is committing. */
static tug_pg *commit_end(commit *c)
{
    assert(c->holding->committing && "a COMMIT ends once");
    c->holding->committing = false;
    return c->holding->tx;
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
        /* Its handle was closed while COMMIT was still to be sent: closing without commit rolls
         * back. */
        tug__pg_holding_rollback(c->holding);
    } else if (tx != NULL) {
        tx_set_state(tx, TUG__PG_TX_ENDED);
        c->holding->tx = NULL;
    }
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  sent == TUG_NOT_SENT ? "COMMIT was cancelled before it was sent"
                                       : "COMMIT was cancelled: its outcome is unknown");
    tug_future_fail(f, &e);
    tug__pg_holding_unref(c->holding);
    return TUG_ABORT_DONE;
}

static const tug_future_class commit_class = {.size = sizeof(tug_future_class),
                                              .name = "pg.commit",
                                              .payload = sizeof(commit),
                                              .abort = commit_abort};

static void commit_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    commit *c = tug_future_payload(f);
    tug__pg_holding *h = c->holding;
    tug_pg *tx = commit_end(c);
    tug_error failed;
    if (tx != NULL) {
        tx_set_state(tx, TUG__PG_TX_ENDED);
        h->tx = NULL;
    }
    if (why == NULL && strcmp(PQcmdStatus(res), "COMMIT") != 0) {
        tug_error_set(
            &failed, TUG_ESERVER, TUG_ORIGIN_SERVER, TUG_ANSWERED, "25P02",
            "COMMIT rolled back: a statement of this transaction had failed (SQLSTATE 25P02)");
        why = &failed;
    }
    PQclear(res);
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
    if (tx->tx_state != TUG__PG_TX_OPEN) {
        return tug_fail(TUG_EMISUSE, "tug_pg_commit: the transaction has been committed already");
    }
    if (tx->holding->copy != NULL) {
        return tug_fail(TUG_EMISUSE, "tug_pg_commit: a COPY of this transaction is still open");
    }
    return 0;
}

tug_future *tug_pg_commit_start(tug_pg *tx)
{
    if (commit_check(tx) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&commit_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    commit *c = tug_future_payload(f);
    c->holding = tug__pg_holding_ref(tx->holding);
    c->holding->committing = true;
    c->request.kind = TUG__PG_PLAIN;
    c->request.plain = "COMMIT";
    c->request.owner = f;
    c->request.done = commit_done;
    tx_set_state(tx, TUG__PG_TX_COMMITTING);
    tug__pg_connection_add(c->holding->connection, &c->request);
    return f;
}

int tug_pg_commit(tug_pg *tx)
{
    tug_future *f = tug_pg_commit_start(tx);
    int rc = tug_await_own(f);
    tug_future_unref(f);
    return rc;
}
