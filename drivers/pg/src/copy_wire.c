/* COPY ... FROM STDIN on the wire. libpq refuses it in pipeline mode, so the connection leaves that
 * mode when the ring is empty (our own count, never a probe: a refused PQexitPipelineMode leaves
 * its text in the next result) and enters it again when the server has said its last word.
 *
 * While data are sent libpq does not look at an error that the server has sent: it comes out behind
 * PQputCopyEnd. So a COPY that the server refused early is known at its end. */
#include <assert.h>

#include "connection.h"
#include "failure.h"

/* libpq sends one message for each call; larger ones only grow its buffer. */
#define COPY_CHUNK 65536

static void copy_message(const tug__pg_connection *c, tug_error *why, int code, const char *text)
{
    tug_error_set(why, code, TUG_ORIGIN_TUG, TUG_ANSWERED, NULL, "%s (%.60s)", text, c->where);
}

void tug__pg_copy_start(tug__pg_connection *c, tug__pg_request *r)
{
    assert(c->n == 0 && c->awaited == NULL && "pipeline mode is left when nothing is in flight");
    if (PQexitPipelineMode(c->pq) != 1 || PQsendQuery(c->pq, r->plain) != 1) {
        tug__pg_connection_lose_libpq(c);
        return;
    }
    tug__pg_requests_remove(r);
    r->sent = true;
    c->copy_request = r;
    tug__pg_connection_set_state(c, TUG__PG_COPY_START);
}

/* Ends the data; with a text the server rolls the COPY back and answers with an error. */
static void copy_end(tug__pg_connection *c, const char *abandoned)
{
    if (PQputCopyEnd(c->pq, abandoned) != 1) {
        tug__pg_connection_lose_libpq(c);
        return;
    }
    tug__pg_connection_set_state(c, TUG__PG_COPY_END);
}

void tug__pg_copy_send(tug__pg_connection *c)
{
    tug__pg_copier *copier = c->copier;
    if (copier == NULL) {
        copy_end(c, "abandoned by the client");
        return;
    }
    size_t before = copier->at;
    while (copier->at < copier->out.size && !c->unsent) {
        size_t left = copier->out.size - copier->at;
        int size = left < COPY_CHUNK ? (int)left : COPY_CHUNK;
        if (PQputCopyData(c->pq, copier->out.data + copier->at, size) != 1) {
            tug__pg_connection_lose_libpq(c);
            return;
        }
        copier->at += (size_t)size;
        int rc = PQflush(c->pq);
        c->unsent = rc == 1;
        if (rc < 0) {
            tug__pg_connection_lose_libpq(c);
            return;
        }
    }
    bool all = copier->at == copier->out.size;
    bool progress = copier->at > before;
    if (all) {
        tug__pg_bytes_clear(&copier->out);
        copier->at = 0;
    }
    if (progress) {
        copier->drained(copier);
    }
    if (all && copier->finish) {
        copy_end(c, NULL);
    }
}

static void copy_began(tug__pg_connection *c, PGresult *res)
{
    tug__pg_request *r = c->copy_request;
    c->copy_request = NULL;
    tug__pg_connection_set_state(c, TUG__PG_COPY_IN);
    if (r == NULL) {
        PQclear(res);
        copy_end(c, "cancelled by the client");
        return;
    }
    r->connection = NULL;
    r->done(r, res, NULL);
    assert((c->copier != NULL || c->state != TUG__PG_COPY_IN) &&
           "who started a COPY says where its data are");
}

/* The last word: what it was, and back into pipeline mode. */
static void copy_over(tug__pg_connection *c)
{
    tug_error why = {0};
    PGresult *res = c->copy_result;
    tug__pg_request *r = c->copy_request;
    tug__pg_copier *copier = c->copier;
    c->copy_result = NULL;
    c->copy_request = NULL;
    c->copier = NULL;
    if (PQresultStatus(res) == PGRES_FATAL_ERROR) {
        tug__pg_failure_answer(&why, res);
    } else if (c->state == TUG__PG_COPY_START) {
        copy_message(c, &why, TUG_EMISUSE,
                     "not a COPY ... FROM STDIN: it was executed and takes no data");
    }
    tug__pg_connection_set_state(c, TUG__PG_PIPELINE);
    if (PQenterPipelineMode(c->pq) != 1) {
        tug__pg_connection_lose_libpq(c);
    }
    if (why.code != 0) {
        PQclear(res);
        res = NULL;
    }
    if (r != NULL) {
        r->connection = NULL;
        r->done(r, NULL, &why);
        PQclear(res);
    } else if (copier != NULL) {
        copier->ended(copier, res, why.code != 0 ? &why : NULL);
    } else {
        PQclear(res);
    }
}

void tug__pg_copy_receive(tug__pg_connection *c)
{
    while ((c->state == TUG__PG_COPY_START || c->state == TUG__PG_COPY_END) && !PQisBusy(c->pq)) {
        PGresult *res = PQgetResult(c->pq);
        if (res == NULL) {
            if (PQstatus(c->pq) == CONNECTION_BAD) {
                tug__pg_connection_lose_libpq(c);
                return;
            }
            copy_over(c);
            return;
        }
        ExecStatusType status = PQresultStatus(res);
        if (status == PGRES_COPY_IN && c->state == TUG__PG_COPY_START) {
            copy_began(c, res);
        } else if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH ||
                   status == PGRES_COPY_IN) {
            tug_error why;
            copy_message(c, &why, TUG_EMISUSE,
                         "this COPY sends data instead of taking it: connection closed");
            PQclear(res);
            tug__pg_connection_lose(c, &why);
        } else if (c->copy_result != NULL && PQresultStatus(c->copy_result) == PGRES_FATAL_ERROR) {
            PQclear(res); /* the first error stays */
        } else {
            PQclear(c->copy_result);
            c->copy_result = res;
        }
    }
}

void tug__pg_copy_lost(tug__pg_connection *c)
{
    tug_error why = c->why;
    tug__pg_request *r = c->copy_request;
    tug__pg_copier *copier = c->copier;
    why.sent = TUG_IN_FLIGHT;
    PQclear(c->copy_result);
    c->copy_result = NULL;
    c->copy_request = NULL;
    c->copier = NULL;
    if (r != NULL) {
        r->connection = NULL;
        r->done(r, NULL, &why);
    }
    if (copier != NULL) {
        copier->ended(copier, NULL, &why);
    }
}

void tug__pg_connection_set_copier(tug__pg_connection *c, tug__pg_copier *copier)
{
    c->copier = copier;
    if (copier == NULL && c->state == TUG__PG_COPY_IN) {
        tug_flush_later(&c->flush);
    }
}

void tug__pg_connection_copy_more(tug__pg_connection *c)
{
    if (c->state == TUG__PG_COPY_IN) {
        tug_flush_later(&c->flush);
    }
}
