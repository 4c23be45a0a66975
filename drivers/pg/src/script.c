/* Scripts, as their user sees them; what goes over the wire is in script_wire.c. */
#include <assert.h>
#include <stdlib.h>
#include <tug/pg_script.h>
#include <tug/sys/alloc.h>

#include "gate.h"
#include "handle.h"
#include "result.h"

struct tug_pg_results {
    size_t n;
    tug_pg_result *at[];
};

typedef struct script {
    tug__pg_taking taking;    /* first */
    tug__pg_holding *holding; /* while it runs */
    tug__pg_pool *pool;       /* while its holding or its taking keeps that */
    tug__pg_span span;
    char *sql;
    bool in_transaction;
    tug__pg_script wire;
} script;

void tug_pg_results_close(tug_pg_results *results)
{
    for (size_t i = 0; results != NULL && i < results->n; i++) {
        tug_pg_result_unref(results->at[i]);
    }
    tug_free(results);
}

size_t tug_pg_results_size(const tug_pg_results *results)
{
    return results->n;
}

tug_pg_result *tug_pg_results_at(const tug_pg_results *results, size_t place)
{
    return place < results->n ? results->at[place] : NULL;
}

/* Takes the raw results over, on failure too. */
static int results_new(tug__pg_script *s, tug_pg_results **ret_results)
{
    tug_pg_results *results = tug_alloc(sizeof *results + s->n * sizeof *results->at);
    int rc = results != NULL ? 0 : tug_fail(TUG_ENOMEM, "out of memory for %zu results", s->n);
    if (results != NULL) {
        results->n = 0;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (rc < 0) {
            PQclear(s->results[i]);
        } else {
            rc = tug__pg_result_new(s->results[i], &results->at[i]);
            results->n += rc == 0;
        }
    }
    s->n = 0;
    if (rc < 0) {
        tug_pg_results_close(results);
        return rc;
    }
    *ret_results = results;
    return 0;
}

static void script_drop_results(tug__pg_script *s)
{
    while (s->n > 0) {
        PQclear(s->results[--s->n]);
    }
    tug_free(s->results);
    s->results = NULL;
}

static void script_told(script *s, const tug_error *why)
{
    int64_t rows = 0;
    if (s->span.hooks == 0) {
        return;
    }
    for (size_t i = 0; why == NULL && i < s->wire.n; i++) {
        rows += strtoll(PQcmdTuples(s->wire.results[i]), NULL, 10);
    }
    tug__pg_span_end(s->pool, &s->span, s->sql, why, rows);
}

/* The connection goes back, and what the request needed. */
static void script_release(script *s)
{
    tug__pg_holding *h = s->holding;
    s->holding = NULL;
    tug_free(s->sql);
    s->sql = NULL;
    tug__pg_holding_unref(h);
}

static void script_dispose(void *value)
{
    tug_pg_results_close(value);
}

static int script_abort(tug_future *f)
{
    script *s = tug_future_payload(f);
    if (s->taking.inner != NULL) {
        return tug__pg_take_abort(&s->taking);
    }
    tug_error e;
    int sent = tug__pg_request_withdraw(&s->wire.request);
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL, "the script was cancelled %s",
                  sent == TUG_NOT_SENT ? "before it was sent"
                                       : "while it ran: its outcome is unknown");
    script_told(s, &e);
    script_drop_results(&s->wire);
    script_release(s);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static void script_destroy(tug_future *f)
{
    script *s = tug_future_payload(f);
    assert(s->holding == NULL && "a script that runs keeps its future");
    script_drop_results(&s->wire);
    tug_free(s->sql);
}

static const tug_future_class script_class = {.size = sizeof(tug_future_class),
                                              .name = "pg.script",
                                              .payload = sizeof(script),
                                              .abort = script_abort,
                                              .dispose = script_dispose,
                                              .destroy = script_destroy};

/* It ran on a transaction that is not there any more. */
static const tug_error *script_ended_it(script *s, tug_error *why)
{
    tug_pg *tx = s->holding->tx;
    if (!s->in_transaction || tx == NULL || s->wire.transaction != PQTRANS_IDLE) {
        return NULL;
    }
    while (tx->outer != NULL) {
        tx = tx->outer;
    }
    tug__pg_transaction_ended(tx);
    tug_error_set(why, TUG_EMISUSE, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL,
                  "tug_pg_script: the script has ended the transaction that it was part of");
    return why;
}

static void script_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    script *s = tug_future_payload(f);
    tug_pg_results *results = NULL;
    tug_error ended;
    PQclear(res);
    const tug_error *misuse = script_ended_it(s, &ended);
    why = why != NULL ? why : misuse;
    script_told(s, why);
    if (why != NULL) {
        tug_error e = *why; /* may lie in what is released */
        script_drop_results(&s->wire);
        script_release(s);
        tug_future_fail(f, &e);
        return;
    }
    int rc = results_new(&s->wire, &results);
    script_release(s);
    if (rc < 0) {
        tug_future_fail(f, tug_last_error());
    } else {
        tug_future_settle(f, results);
    }
}

/* h: one reference, taken over. */
static void script_on(tug_future *f, tug__pg_holding *h)
{
    script *s = tug_future_payload(f);
    if (h == NULL) {
        script_told(s, tug_last_error());
        tug_future_fail(f, tug_last_error());
        return;
    }
    s->holding = h;
    s->wire.request.kind = TUG__PG_SCRIPT;
    s->wire.request.plain = s->sql;
    s->wire.request.owner = f;
    s->wire.request.done = script_done;
    /* Nobody reads what is in it. */
    tug_lease_mark_dirty(h->lease);
    tug__pg_connection_add(h->connection, &s->wire.request);
}

/* A COPY to the client is found before anything is sent: the server would go on behind it and commit. One
 * from the client fails there by itself. */
static int script_check(const tug_pg *db, const char *sql)
{
    int rc = tug__pg_check_run(db, "tug_pg_script");
    if (rc == 0 && sql == NULL) {
        rc = tug_fail(TUG_EINVAL, "tug_pg_script: sql is NULL");
    }
    size_t copy = rc == 0 ? tug__pg_gate_copy_to_client(sql) : 0;
    return copy == 0
               ? rc
               : tug_fail(TUG_EMISUSE,
                          "statement %zu: COPY TO STDOUT in a script: use tug_pg_copy_out", copy);
}

static tug_future *script_start_from(tug_pg *db, const char *sql, const void *place)
{
    if (script_check(db, sql) < 0) {
        return tug_future_failed(tug_last_error());
    }
    tug_future *f = tug_future_new(&script_class);
    if (f == NULL) {
        return tug_future_no_memory();
    }
    script *s = tug_future_payload(f);
    s->pool = tug__pg_pool_of(db);
    s->in_transaction = db->kind == TUG__PG_TRANSACTION;
    s->sql = tug_strdup(sql);
    if (s->sql == NULL) {
        TUG_IGNORE(tug_fail(TUG_ENOMEM, "out of memory for a script"));
        tug_future_fail(f, tug_last_error());
        return f;
    }
    if (s->pool->hooks_number != 0) {
        tug__pg_span_begin(s->pool, &s->span, s->sql, 0, false);
    }
    if (db->kind == TUG__PG_POOL) {
        s->taking.place = place;
        tug__pg_take(f, &s->taking, tug__pg_pool_of(db), script_on);
    } else {
        script_on(f, tug__pg_holding_ref(db->holding));
    }
    return f;
}

tug_future *tug_pg_script_start(tug_pg *db, const char *sql)
{
    return script_start_from(db, sql, __builtin_return_address(0));
}

int tug_pg_script_take(tug_future *f, tug_pg_results **ret_results)
{
    void *value = NULL;
    int rc = tug_future_take(f, &script_class, &value);
    if (rc == 0) {
        *ret_results = value;
    }
    return rc;
}

int tug_pg_script(tug_pg *db, const char *sql, tug_pg_results **ret_results)
{
    tug_future *f = script_start_from(db, sql, __builtin_return_address(0));
    int rc = tug_await_own(f);
    if (rc == 0 && ret_results != NULL) {
        rc = tug_pg_script_take(f, ret_results);
    }
    tug_future_unref(f);
    return rc;
}
