/* Streamed rows, as their user sees them.
 *
 *   STARTING --first row--> OPEN --Sync, or an error--> ENDED
 *       +--- no row, error, closed by others ------------^
 *
 * ENDED says that nothing more comes from the connection; rows may still wait for their reader. */
#include <tug/pg_rows.h>

#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "flow.h"
#include "hooks.h"
#include "result.h"

typedef enum rows_state {
    ROWS_STARTING,
    ROWS_OPEN,
    ROWS_ENDED
} rows_state;

struct tug_pg_rows {
    tug__pg_flow flow; /* first */
    tug__pg_streamer streamer;
    tug__pg_request request;
    rows_state state;
    tug_pg_result *current; /* shows the row, which it does not own; NULL: nothing came yet */
    size_t n;               /* rows read */
    tug_waiters ready;      /* readers */
    tug_error error;        /* ENDED; code 0: all rows came */
    tug__pg_span span;
    tug__pg_args args;
};

/* --- the connection's side -------------------------------------------------------------------- */

static void rows_arrived(tug__pg_streamer *s)
{
    tug_pg_rows *rows = (tug_pg_rows *)((char *)s - offsetof(tug_pg_rows, streamer));
    if (rows->state == ROWS_STARTING) { /* not ENDED: the last ones wait until there is room */
        rows->state = ROWS_OPEN;
    }
    tug_unpark_all(&rows->ready, 0, NULL);
}

/* n: of all rows. */
static void rows_end(tug_pg_rows *rows, const tug_error *why, int64_t n)
{
    tug__pg_pool *pool = rows->flow.holding->pool;
    rows->state = ROWS_ENDED;
    if (why != NULL) {
        rows->error = *why;
    }
    if (rows->span.hooks != 0) {
        tug__pg_span_end(pool, &rows->span, rows->request.text->sql, why, n);
    }
    tug__pg_text_unref(&pool->texts, rows->request.text);
    tug__pg_args_free(&rows->args);
    tug_unpark_all(&rows->ready, 0, NULL);
    tug__pg_flow_end(&rows->flow);
}

static void rows_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_pg_rows *rows = r->owner;
    /* The server's count is not here if libpq gave the last rows as a chunk: it came with that. */
    int64_t n = why == NULL ? rows->streamer.came : 0;
    if (n == 0 && res != NULL) {
        n = strtoll(PQcmdTuples(res), NULL, 10); /* no row came: those that were changed */
    }
    if (rows->streamer.shape == NULL) {
        rows->streamer.shape = res; /* no row came: this says what they would have been */
    } else {
        PQclear(res);
    }
    rows_end(rows, why, n);
}

static void rows_cut(tug__pg_flow *flow)
{
    tug_pg_rows *rows = (tug_pg_rows *)flow;
    tug__pg_connection *c = flow->holding->connection;
    tug_error why;
    int sent = tug__pg_request_withdraw(&rows->request);
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, sent, NULL,
                  "the rows ended early: what they came through was closed");
    tug__pg_connection_resume_later(c);
    rows_end(rows, &why, 0);
}

static void rows_forgotten(tug__pg_flow *flow)
{
    tug_pg_rows_close((tug_pg_rows *)flow);
}

void tug_pg_rows_close(tug_pg_rows *rows)
{
    if (rows == NULL) {
        return;
    }
    if (rows->state != ROWS_ENDED) {
        rows_cut(&rows->flow);
    }
    tug__pg_flow_forget(&rows->flow);
    if (rows->current != NULL) {
        tug__pg_result_show(rows->current, NULL, NULL, 0);
        tug_pg_result_unref(rows->current);
    }
    tug__pg_streamer_free(&rows->streamer);
    tug_free(rows);
}

/* --- open ------------------------------------------------------------------------------------- */

static int rows_check_options(const tug_pg_rows_options *o)
{
    if (o->max_row_bytes < 1024 || o->max_row_bytes > (size_t)1 << 30) {
        return tug_fail(TUG_EINVAL, "tug_pg_rows_open: max_row_bytes is %zu, not 1 KiB to 1 GiB",
                        o->max_row_bytes);
    }
    if (o->max_waiting_bytes < 4096 || o->max_waiting_bytes > (size_t)1 << 30) {
        return tug_fail(TUG_EINVAL,
                        "tug_pg_rows_open: max_waiting_bytes is %zu, not 4 KiB to 1 GiB",
                        o->max_waiting_bytes);
    }
    return 0;
}

/* on: a session or a transaction; session: taken over, on failure too. */
static int rows_new(tug_pg *on, tug_pg *session, const char *sql, tug_args args,
                    const tug_pg_rows_options *o, tug_pg_rows **ret_rows)
{
    tug__pg_pool *pool = tug__pg_pool_of(on);
    tug__pg_text *text = tug__pg_texts_get(&pool->texts, sql);
    tug_pg_rows *rows = tug_calloc(1, sizeof *rows);
    int rc = text != NULL && rows != NULL ? 0 : tug_fail(TUG_ENOMEM, "out of memory for rows");
    rc = rc < 0 ? rc : tug__pg_check_gate(on, text, "tug_pg_rows_open");
    rc = rc < 0 ? rc : tug__pg_args_copy(&rows->args, args);
    if (rc < 0) {
        if (text != NULL) {
            tug__pg_text_unref(&pool->texts, text);
        }
        tug_free(rows);
        tug_pg_close(session);
        return rc;
    }
    rows->flow.what = "streamed rows are";
    rows->flow.cut = rows_cut;
    rows->flow.close = rows_forgotten;
    rows->streamer.arrived = rows_arrived;
    rows->streamer.max_waiting = o->max_waiting_bytes;
    rows->streamer.max_row_bytes = o->max_row_bytes;
    rows->request.text = text;
    rows->request.args = &rows->args;
    rows->request.streamer = &rows->streamer;
    rows->request.owner = rows;
    rows->request.done = rows_done;
    tug__pg_flow_begin(&rows->flow, on, session);
    if (pool->hooks_number != 0) {
        tug__pg_span_begin(pool, &rows->span, sql, 0, false);
    }
    *ret_rows = rows;
    return 0;
}

/* The first answer has come. */
static int rows_meet(tug_pg_rows *rows)
{
    PGresult *shape = rows->streamer.shape;
    if (shape == NULL) {
        return tug_fail_with(&rows->error);
    }
    int rc = tug__pg_result_new(shape, &rows->current);
    if (rc < 0) {
        rows->streamer.shape = NULL; /* it was cleared */
        return rc;
    }
    tug__pg_result_show(rows->current, shape, NULL, 0);
    return 0;
}

/* Waits for the first answer. */
static int rows_wait_begun(tug_pg_rows *rows)
{
    int rc = 0;
    while (rc == 0 && rows->state == ROWS_STARTING) {
        rc = tug_park(&rows->ready, NULL, "pg.rows_open");
    }
    if (rc == TUG_ECANCELED) {
        tug_error e = *tug_last_error();
        e.sent = rows->request.sent ? TUG_IN_FLIGHT : TUG_NOT_SENT;
        return tug_fail_with(&e);
    }
    return rc < 0 ? rc : rows_meet(rows);
}

int tug_pg_rows_open(tug_pg *db, const char *sql, tug_args args, const tug_pg_rows_options *o,
                     tug_pg_rows **ret_rows)
{
    tug_pg_rows_options all = TUG_PG_ROWS_OPTIONS_INIT;
    tug_pg *session = NULL;
    tug_pg_rows *rows = NULL;
    if (o != NULL) {
        memcpy(&all, o, o->size < sizeof all ? o->size : sizeof all);
    }
    if (sql == NULL) {
        return tug_fail(TUG_EINVAL, "tug_pg_rows_open: sql is NULL");
    }
    int rc = rows_check_options(&all);
    rc = rc < 0 ? rc
                : tug__pg_flow_take(db, "tug_pg_rows_open", __builtin_return_address(0), &session);
    if (rc < 0) {
        return rc;
    }
    rc = rows_new(session != NULL ? session : db, session, sql, args, &all, &rows);
    if (rc < 0) {
        return rc;
    }
    tug__pg_connection_add(rows->flow.holding->connection, &rows->request);
    rc = rows_wait_begun(rows);
    if (rc < 0) {
        tug_pg_rows_close(rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool rows_wants(const tug_pg_rows *rows)
{
    return rows->streamer.at == rows->streamer.used &&
           (rows->state != ROWS_ENDED || rows->streamer.carry != NULL);
}

/* All that was there is used up: makes room, takes what has come. */
static void rows_pull(void *arg)
{
    tug_pg_rows *rows = arg;
    if (!rows_wants(rows)) {
        return; /* the socket was read between the question and here */
    }
    int rc = tug__pg_streamer_clear(&rows->streamer);
    tug__pg_result_show(rows->current, rows->streamer.shape, NULL, 0);
    if (rows->state == ROWS_ENDED) {
        if (rc < 0 && rows->error.code == 0) {
            rows->error = *tug_last_error();
        }
    } else if (rc < 0) {
        tug__pg_connection_lose(rows->flow.holding->connection, tug_last_error());
    } else {
        tug__pg_connection_resume(rows->flow.holding->connection);
    }
}

/* Until there is a row, or nothing more will come. */
static int rows_wait(tug_pg_rows *rows)
{
    int rc = 0;
    while (rc == 0 && rows_wants(rows)) {
        tug_on_loop_stack(rows_pull, rows);
        if (rows_wants(rows)) {
            rc = tug_park(&rows->ready, NULL, "pg.rows");
        }
    }
    return rc;
}

/* What the statement does beside giving rows may have been done, or not: nobody was told. */
static int rows_cut_short(const tug_pg_rows *rows, int rc)
{
    tug_error e = *tug_last_error();
    if (rc != TUG_ECANCELED || e.code != rc) {
        return rc;
    }
    e.sent = rows->error.code < 0 ? TUG_ANSWERED : TUG_IN_FLIGHT;
    return tug_fail_with(&e);
}

int tug_pg_rows_next(tug_pg_rows *rows)
{
    int rc = tug_checkpoint();
    rc = rc == 0 && rows_wants(rows) ? rows_wait(rows) : rc;
    if (rc < 0) {
        return rows_cut_short(rows, rc);
    }
    const tug__pg_row *row = tug__pg_streamer_next(&rows->streamer);
    tug__pg_result_show(rows->current, rows->streamer.shape, row != NULL ? row->raw : NULL,
                        rows->n);
    if (row == NULL) {
        return rows->error.code < 0 ? tug_fail_with(&rows->error) : 0;
    }
    rows->n++;
    return 1;
}

int tug_pg_rows_scan(const tug_pg_rows *rows, tug_out out)
{
    if (tug_pg_result_rows(rows->current) == 0) {
        return tug_fail(TUG_EMISUSE, "tug_pg_rows_scan: there is no current row");
    }
    return tug_pg_scan(rows->current, 0, out);
}

const tug_pg_result *tug_pg_rows_row(const tug_pg_rows *rows)
{
    return rows->current;
}
