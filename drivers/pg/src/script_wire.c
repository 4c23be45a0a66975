/* Scripts on the wire: the simple protocol, which libpq has outside of pipeline mode only. As a COPY, a
 * script begins when nothing is in flight, and the connection is back in pipeline mode at its end. */
#include <assert.h>
#include <stdio.h>
#include <tug/pg_script.h>
#include <tug/sys/alloc.h>

#include "connection.h"
#include "failure.h"

void tug__pg_script_start(tug__pg_connection *c, tug__pg_request *r)
{
    assert(c->n == 0 && c->awaited == NULL && "pipeline mode is left when nothing is in flight");
    if (PQexitPipelineMode(c->pq) != 1 || PQsendQuery(c->pq, r->plain) != 1) {
        tug__pg_connection_lose_libpq(c);
        return;
    }
    tug__pg_requests_remove(r);
    r->sent = true;
    c->script = (tug__pg_script *)r;
    c->head_since = tug_turn_time();
    tug__pg_connection_set_state(c, TUG__PG_SCRIPT_RUNS);
}

static void script_fail(tug__pg_script *s, int code, const char *text)
{
    if (s != NULL && s->error.code == 0) {
        tug_error_set(&s->error, code, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "statement %zu: %s",
                      s->answered + 1, text);
    }
}

/* Keeps a result. */
static void script_add(tug__pg_script *s, PGresult *res)
{
    if (s != NULL && s->n == s->room && s->error.code == 0) {
        size_t room = s->room == 0 ? 16 : s->room * 2;
        PGresult **grown = room <= 2 * TUG_PG_SCRIPT_MOST
                               ? tug_realloc(s->results, room * sizeof *grown)
                               : NULL;
        if (grown != NULL) {
            s->results = grown;
            s->room = room;
        } else {
            script_fail(s, TUG_ENOMEM, "out of memory for its result");
        }
    }
    if (s != NULL && s->answered == TUG_PG_SCRIPT_MOST) {
        script_fail(s, TUG_ELIMIT, "too many results of one script; all of it has run");
    }
    if (s == NULL || s->error.code != 0) {
        PQclear(res);
    } else {
        s->results[s->n++] = res;
    }
    if (s != NULL) {
        s->answered++;
    }
}

static void script_error(tug__pg_script *s, PGresult *res)
{
    if (s != NULL && s->error.code == 0) {
        tug_error why;
        tug__pg_failure_answer(&why, res);
        s->error = why; /* with all it leads to */
        snprintf(s->error.text, sizeof s->error.text, "statement %zu: %.200s", s->answered + 1,
                 why.text);
    }
    PQclear(res);
}

/* The server waits for data that nobody has: it is told so, and goes on with an error. */
static void script_copy_in(tug__pg_connection *c, PGresult *res)
{
    PQclear(res);
    script_fail(c->script, TUG_EMISUSE, "COPY FROM STDIN in a script: use tug_pg_copy_in");
    if (PQputCopyEnd(c->pq, "COPY FROM STDIN in a script") != 1) {
        tug__pg_connection_lose_libpq(c);
        return;
    }
    int rc = PQflush(c->pq);
    c->unsent = rc == 1;
    if (rc < 0) {
        tug__pg_connection_lose_libpq(c);
    }
}

/* Data that nobody wants, as far as they have arrived. False: there is more to come. */
static bool script_copy_out(tug__pg_connection *c, PGresult *res)
{
    char *row = NULL;
    int n;
    PQclear(res);
    script_fail(c->script, TUG_EMISUSE, "COPY TO STDOUT in a script, the rest of which has run");
    while ((n = PQgetCopyData(c->pq, &row, 1)) > 0) {
        PQfreemem(row);
    }
    /* These were no part of any result that is kept. */
    tug__pg_meter_reset(&c->meter);
    return n != 0;
}

static void script_over(tug__pg_connection *c)
{
    tug__pg_script *s = c->script;
    c->script = NULL;
    tug__pg_meter_reset(&c->meter);
    tug__pg_connection_set_state(c, TUG__PG_PIPELINE);
    if (PQenterPipelineMode(c->pq) != 1) {
        tug__pg_connection_lose_libpq(c);
    }
    if (s != NULL) {
        s->request.connection = NULL;
        s->transaction = PQtransactionStatus(c->pq);
        s->request.done(&s->request, NULL, s->error.code != 0 ? &s->error : NULL);
    }
}

/* One result. False: nothing more can be read now. */
static bool script_take(tug__pg_connection *c, PGresult *res)
{
    bool too_large = false;
    switch (PQresultStatus(res)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        if (c->script != NULL) {
            c->script->bytes += PQresultMemorySize(res);
            too_large = c->script->bytes > c->limits.result_bytes;
        }
        tug__pg_statements_heed(&c->statements, PQcmdStatus(res));
        script_add(c->script, res);
        if (too_large) {
            tug__pg_connection_lose_too_large(c);
        }
        return !too_large;
    case PGRES_COPY_IN:
        script_copy_in(c, res);
        return true;
    case PGRES_COPY_OUT:
        return script_copy_out(c, res);
    case PGRES_COPY_BOTH:
        PQclear(res);
        tug__pg_connection_lose_libpq(c);
        return false;
    default:
        script_error(c->script, res);
        return true;
    }
}

void tug__pg_script_receive(tug__pg_connection *c)
{
    while (c->state == TUG__PG_SCRIPT_RUNS && !PQisBusy(c->pq)) {
        PGresult *res = PQgetResult(c->pq);
        if (res == NULL && PQstatus(c->pq) != CONNECTION_BAD) {
            script_over(c);
        } else if (res == NULL) {
            tug__pg_connection_lose_libpq(c);
        } else if (!script_take(c, res)) {
            return;
        }
    }
}

void tug__pg_script_lost(tug__pg_connection *c)
{
    tug__pg_script *s = c->script;
    c->script = NULL;
    if (s != NULL) {
        tug_error why = c->why;
        why.sent = TUG_IN_FLIGHT;
        s->request.connection = NULL;
        s->transaction = PQTRANS_UNKNOWN;
        s->request.done(&s->request, NULL, &why);
    }
}
