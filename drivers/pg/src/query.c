/* Statements: query, exec and query_one, the futures behind them, and what is refused where. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "flow.h"
#include "gate.h"
#include "result.h"

/* The payload of query and exec. What args keeps inside is not zeroed: it is half of the whole. */
typedef struct statement {
    tug__pg_request request;
    tug__pg_pool *pool;
    int64_t affected; /* exec: its value */
    tug_out out;      /* query_one: where to, on the stack of the task that waits */
    tug__pg_span span;
    tug__pg_args args; /* last */
} statement;

#define STATEMENT_PAYLOAD offsetof(statement, args.values)
#define STATEMENT_ROOM (sizeof(statement) - STATEMENT_PAYLOAD)

/* res NULL: none came. */
static inline void statement_told(statement *s, const tug_error *why, PGresult *res)
{
    if (s->span.hooks != 0) {
        int64_t rows = res != NULL ? strtoll(PQcmdTuples(res), NULL, 10) : 0;
        tug__pg_span_end(s->pool, &s->span, s->request.text->sql, why, rows);
    }
}

/* The request's own part is over: text and arguments go, and the connection that was leased for it.
 * The future may live on for as long as its owner likes, longer than the pool. */
static void statement_release(statement *s)
{
    tug__pg_request *r = &s->request;
    tug__pg_holding *h = r->holding;
    if (h != NULL) {
        tug__pg_pool_not_alone(r);
    }
    tug__pg_text_unref(&s->pool->texts, r->text);
    tug__pg_args_free(&s->args);
    r->text = NULL;
    r->holding = NULL;
    tug__pg_holding_unref(h);
}

static int statement_abort(tug_future *f)
{
    statement *s = tug_future_payload(f);
    tug_error e;
    int sent = tug__pg_request_withdraw(&s->request);
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL, "the statement was cancelled %s",
                  sent == TUG_NOT_SENT ? "before it was sent"
                                       : "while it ran: its outcome is unknown");
    statement_told(s, &e, NULL);
    statement_release(s);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static void query_dispose(void *value)
{
    tug_pg_result_unref(value);
}

static const tug_future_class query_class = {.size = sizeof(tug_future_class),
                                             .name = "pg.query",
                                             .payload = STATEMENT_PAYLOAD,
                                             .room = STATEMENT_ROOM,
                                             .abort = statement_abort,
                                             .dispose = query_dispose};
static const tug_future_class one_class = {.size = sizeof(tug_future_class),
                                           .name = "pg.query",
                                           .payload = STATEMENT_PAYLOAD,
                                           .room = STATEMENT_ROOM,
                                           .abort = statement_abort};
static const tug_future_class exec_class = {.size = sizeof(tug_future_class),
                                            .name = "pg.exec",
                                            .payload = STATEMENT_PAYLOAD,
                                            .room = STATEMENT_ROOM,
                                            .abort = statement_abort};

static void query_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    tug_pg_result *result = NULL;
    statement *s = tug_future_payload(f);
    statement_told(s, why, res);
    statement_release(s);
    if (why == NULL && tug__pg_result_new(res, &result) < 0) {
        why = tug_last_error();
    }
    if (why != NULL) {
        tug_future_fail(f, why);
    } else {
        tug_future_settle(f, result);
    }
}

/* Read before the next answer is: so libpq gets back the memory that it has just used. A result that lives
 * until its task runs is one of hundreds, each of several KiB. The places are there, because the task
 * does not leave its wait before this future is settled or the statement withdrawn. */
static void one_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    statement *s = tug_future_payload(f);
    tug__pg_pool *pool = s->pool;
    statement_told(s, why, res);
    if (why == NULL) {
        int rc = tug__pg_result_view(&pool->view, &pool->view_room, res);
        rc = rc < 0 ? rc : tug__pg_result_one(pool->view, s->out);
        why = rc < 0 ? tug_last_error() : NULL;
        PQclear(res);
    }
    statement_release(s);
    if (why != NULL) {
        tug_future_fail(f, why);
    } else {
        tug_future_settle(f, NULL);
    }
}

static void exec_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    statement *s = tug_future_payload(f);
    statement_told(s, why, res);
    statement_release(s);
    if (why != NULL) {
        tug_future_fail(f, why);
        return;
    }
    s->affected = strtoll(PQcmdTuples(res), NULL, 10);
    PQclear(res);
    tug_future_settle(f, NULL);
}

/* --- what is refused where -------------------------------------------------------------------- */

static const char *gate_advice(const char *keyword)
{
    if (strcmp(keyword, "COPY") == 0) {
        return "use tug_pg_copy_in";
    }
    if (strcmp(keyword, "BEGIN") == 0 || strcmp(keyword, "START") == 0) {
        return "use tug_pg_begin";
    }
    return "take a session with tug_pg_acquire, or a transaction with tug_pg_begin";
}

/* A transaction or savepoint that is not the one whose turn it is. */
static int check_turn(const tug_pg *tx, const char *what)
{
    const tug__pg_holding *h = tx->holding;
    if (tx->tx_state == TUG__PG_TX_ENDED && tx->savepoint != 0) {
        return tug_fail(TUG_EMISUSE,
                        "%s: the savepoint has been committed already, or the "
                        "transaction around it has ended",
                        what);
    }
    if (tx->tx_state != TUG__PG_TX_OPEN) {
        return tug_fail(TUG_EMISUSE, "%s: the transaction has been committed already", what);
    }
    if (h->tx != tx) {
        return tug_fail(TUG_EMISUSE,
                        "%s: a savepoint inside of this transaction is open: use that, or commit "
                        "or close it first",
                        what);
    }
    if (h->committing != NULL) {
        return tug_fail(TUG_EMISUSE,
                        "%s: a savepoint inside of this transaction is being committed: await "
                        "that first",
                        what);
    }
    return 0;
}

int tug__pg_check_flow(const tug__pg_holding *h, const char *what)
{
    if (h->flow != NULL) {
        return tug_fail(TUG_EMISUSE,
                        "%s: %s open on this connection, to be finished or closed first", what,
                        h->flow->what);
    }
    return 0;
}

int tug__pg_check_held(const tug_pg *db, const char *what)
{
    const tug__pg_holding *h = db->holding;
    if (db->kind == TUG__PG_SESSION && (h->tx != NULL || h->committing != NULL)) {
        return tug_fail(TUG_EMISUSE,
                        "%s: a transaction of this session is open: use that, or commit or close "
                        "it first",
                        what);
    }
    int rc = db->kind == TUG__PG_TRANSACTION ? check_turn(db, what) : 0;
    return rc == 0 ? tug__pg_check_flow(h, what) : rc;
}

int tug__pg_check_gate(tug_pg *db, const tug__pg_text *text, const char *what)
{
    if (text->marks && db->kind != TUG__PG_POOL) {
        tug_lease_mark_dirty(db->holding->lease);
    }
    if (text->gate == NULL) {
        return 0;
    }
    bool copy = strcmp(text->gate, "COPY") == 0;
    if (db->kind == TUG__PG_POOL || copy) {
        return tug_fail(TUG_EMISUSE, "%s: %s %s: %s", what, text->gate,
                        copy ? "takes its data in another way"
                             : "does not belong on a shared connection",
                        gate_advice(text->gate));
    }
    if (db->kind == TUG__PG_TRANSACTION && tug__pg_gate_ends_transaction(text->sql)) {
        return tug_fail(TUG_EMISUSE,
                        "%s: %s inside of a transaction handle: it ends with tug_pg_commit or "
                        "tug_pg_close",
                        what, text->gate);
    }
    return 0;
}

int tug__pg_check_run(const tug_pg *db, const char *what)
{
    int rc = tug__pg_check(db, what);
    if (rc < 0) {
        return rc;
    }
    return db->kind == TUG__PG_POOL ? tug__pg_check_holder(db, what) : tug__pg_check_held(db, what);
}

static int check_statement(const tug_pg *db, const char *sql, const char *what)
{
    if (sql == NULL) {
        return tug_fail(TUG_EINVAL, "%s: sql is NULL", what);
    }
    return tug__pg_check_run(db, what);
}

/* --- start and take --------------------------------------------------------------------------- */

static int statement_init(statement *s, tug_pg *db, const char *sql, tug_args args,
                          const char *what)
{
    s->pool = tug__pg_pool_of(db);
    s->request.text = tug__pg_texts_get(&s->pool->texts, sql);
    if (s->request.text == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a statement");
    }
    s->request.marks = s->request.text->marks;
    int rc = tug__pg_check_gate(db, s->request.text, what);
    if (rc == 0) {
        rc = tug__pg_args_copy(&s->args, args);
    }
    if (rc < 0) {
        tug__pg_text_unref(&s->pool->texts, s->request.text);
    }
    return rc;
}

static tug_future *statement_start(tug_pg *db, const char *sql, tug_args args, tug_out out,
                                   const char *what, const tug_future_class *class_,
                                   void (*done)(tug__pg_request *, PGresult *, const tug_error *))
{
    if (check_statement(db, sql, what) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(class_);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    statement *s = tug_future_payload(f);
    if (statement_init(s, db, sql, args, what) < 0) {
        tug_future_fail(f, tug_last_error());
        return f;
    }
    s->request.owner = f;
    s->request.is_future = true;
    s->request.done = done;
    s->request.args = &s->args;
    s->out = out;
    if (s->pool->hooks_number != 0) {
        tug__pg_span_begin(s->pool, &s->span, sql, 0, false);
    }
    if (db->kind == TUG__PG_POOL) {
        tug__pg_pool_add(s->pool, &s->request);
    } else {
        tug__pg_connection_add(db->holding->connection, &s->request);
    }
    return f;
}

tug_future *tug_pg_query_start(tug_pg *db, const char *sql, tug_args args)
{
    return statement_start(db, sql, args, (tug_out){NULL, 0}, "tug_pg_query", &query_class,
                           query_done);
}

int tug_pg_result_take(tug_future *f, tug_pg_result **ret_result)
{
    void *value = NULL;
    int rc = tug_future_take(f, &query_class, &value);
    if (rc == 0) {
        *ret_result = value;
    }
    return rc;
}

tug_future *tug_pg_exec_start(tug_pg *db, const char *sql, tug_args args)
{
    return statement_start(db, sql, args, (tug_out){NULL, 0}, "tug_pg_exec", &exec_class,
                           exec_done);
}

int tug_pg_exec_take(tug_future *f, int64_t *ret_rows)
{
    void *value = NULL;
    int rc = tug_future_take(f, &exec_class, &value);
    if (rc == 0 && ret_rows != NULL) {
        *ret_rows = ((statement *)tug_future_payload(f))->affected;
    }
    return rc;
}

/* --- awaiting forms --------------------------------------------------------------------------- */

int tug_pg_query(tug_pg *db, const char *sql, tug_args args, tug_pg_result **ret_result)
{
    tug_future *f = tug_pg_query_start(db, sql, args);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pg_result_take(f, ret_result);
    }
    tug_future_unref(f);
    return rc;
}

int tug_pg_exec(tug_pg *db, const char *sql, tug_args args, int64_t *ret_rows)
{
    tug_future *f = tug_pg_exec_start(db, sql, args);
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_pg_exec_take(f, ret_rows);
    }
    tug_future_unref(f);
    return rc;
}

int tug_pg_query_one(tug_pg *db, const char *sql, tug_args args, tug_out out)
{
    if (!tug__pg_out_is_owned(out)) {
        return TUG_EMISUSE;
    }
    tug_future *f = statement_start(db, sql, args, out, "tug_pg_query_one", &one_class, one_done);
    int rc = tug_await_own(f);
    tug_future_unref(f);
    return rc;
}

/* --- plain statements of the driver's own ----------------------------------------------------- */

static int plain_abort(tug_future *f)
{
    tug_error e;
    int sent = tug__pg_request_withdraw(tug_future_payload(f));
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  "a statement of the driver was cancelled");
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class plain_class = {.size = sizeof(tug_future_class),
                                             .name = "pg.plain",
                                             .payload = sizeof(tug__pg_request),
                                             .abort = plain_abort};

static void plain_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    PQclear(res);
    if (why != NULL) {
        tug_future_fail(r->owner, why);
    } else {
        tug_future_settle(r->owner, NULL);
    }
}

tug_future *tug__pg_plain_start(tug__pg_connection *c, const char *sql)
{
    tug_future *f = tug_future_new(&plain_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    tug__pg_request *r = tug_future_payload(f);
    r->kind = TUG__PG_PLAIN;
    r->plain = sql;
    r->owner = f;
    r->done = plain_done;
    tug__pg_connection_add(c, r);
    return f;
}

/* Nobody waits for it, so it is no future. */
typedef struct forgotten {
    tug__pg_request request;
    char sql[];
} forgotten;

static void forgotten_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    PQclear(res);
    if (why != NULL) {
        tug_log(TUG_LOG_DEBUG, "pg", "%s failed: %s", r->plain, why->text);
    }
    tug_free(r->owner);
}

bool tug__pg_plain_forget(tug__pg_connection *c, const char *sql)
{
    if (c->state == TUG__PG_LOST) {
        return true;
    }
    size_t size = strlen(sql) + 1;
    forgotten *s = tug_alloc(sizeof *s + size);
    if (s == NULL) {
        return false;
    }
    memcpy(s->sql, sql, size);
    s->request = (tug__pg_request){
        .kind = TUG__PG_PLAIN, .plain = s->sql, .owner = s, .done = forgotten_done};
    tug__pg_connection_add(c, &s->request);
    return true;
}
