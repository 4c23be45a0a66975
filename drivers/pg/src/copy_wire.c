/* COPY on the wire. libpq refuses it in pipeline mode, so the connection leaves that
 * mode when the ring is empty (our own count, never a probe: a refused PQexitPipelineMode leaves
 * its text in the next result) and enters it again when the server has said its last word.
 *
 * While data are sent libpq does not look at an error that the server has sent: it comes out behind
 * PQputCopyEnd. So a COPY that the server refused early is known at its end. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "failure.h"

/* libpq sends one message for each call; larger ones only grow its buffer. */
#define COPY_CHUNK 65536
/* Data that nobody wants are read up to here, because a connection that is clean again is cheaper than a new
 * login; */
#define COPY_DRAIN_BYTES ((size_t)1 << 20)
/* and up to here once the server has been asked to stop: as rows_wire.c does. */
#define COPY_DRAIN_MOST ((size_t)64 << 20)

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
    while (copier->at < copier->data.size && !c->unsent) {
        size_t left = copier->data.size - copier->at;
        int size = left < COPY_CHUNK ? (int)left : COPY_CHUNK;
        if (PQputCopyData(c->pq, copier->data.data + copier->at, size) != 1) {
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
    bool all = copier->at == copier->data.size;
    bool progress = copier->at > before;
    if (all) {
        tug__pg_bytes_clear(&copier->data);
        copier->at = 0;
    }
    if (progress) {
        copier->moved(copier);
    }
    if (all && copier->finish) {
        copy_end(c, NULL);
    }
}

/* The server takes data, or gives some. */
static void copy_began(tug__pg_connection *c, PGresult *res)
{
    bool is_out = PQresultStatus(res) == PGRES_COPY_OUT;
    tug__pg_request *r = c->copy_request;
    tug__pg_connection_set_state(c, is_out ? TUG__PG_COPY_OUT : TUG__PG_COPY_IN);
    tug__pg_meter_reset(&c->meter);
    if (r == NULL || r->copies_out != is_out) {
        /* Data of the wrong kind are swallowed, or not given; whoever asked hears of it at the
         * end. */
        PQclear(res);
        if (!is_out) {
            copy_end(c, r == NULL ? "cancelled by the client" : "not what the client expected");
        }
        return;
    }
    c->copy_request = NULL;
    r->connection = NULL;
    r->done(r, res, NULL);
    assert((c->copier != NULL || c->state != TUG__PG_COPY_IN) &&
           "who started a COPY says where its data are");
}

bool tug__pg_copy_is_held(const tug__pg_connection *c)
{
    return c->state == TUG__PG_COPY_OUT && c->copier != NULL &&
           c->copier->data.size >= c->copier->max;
}

/* False: nothing more for now. */
static bool copy_keep(tug__pg_connection *c, const char *data, size_t size)
{
    tug__pg_copier *copier = c->copier;
    tug_error why;
    if (copier == NULL) {
        bool is_asked = c->cancel.state != TUG__PG_CANCEL_NONE;
        if (c->meter.bytes <= (is_asked ? COPY_DRAIN_MOST : COPY_DRAIN_BYTES)) {
            return true;
        }
        copy_message(c, &why, TUG_ECLOSED, "connection closed: much was left that nobody reads");
        why.sent = TUG_IN_FLIGHT;
        tug__pg_connection_lose(c, &why);
        return false;
    }
    /* The last read may have brought more at once than the meter had allowed for. */
    if (size > c->limits.result_bytes) {
        tug__pg_connection_lose_too_large(c);
        return false;
    }
    if (tug__pg_bytes_reserve(&copier->data, size) < 0) {
        tug__pg_connection_lose(c, tug_last_error());
        return false;
    }
    memcpy(copier->data.data + copier->data.size, data, size);
    copier->data.size += size;
    tug__pg_meter_reset(&c->meter); /* what is measured from here on is the next message */
    if (copier->data.size == size) {
        copier->moved(copier);
    }
    return true;
}

/* What the server gives. Its last word follows. */
static void copy_take(tug__pg_connection *c)
{
    bool goes_on = true;
    while (goes_on && c->state == TUG__PG_COPY_OUT && !tug__pg_copy_is_held(c)) {
        char *data = NULL;
        int n = PQgetCopyData(c->pq, &data, 1);
        if (n > 0) {
            goes_on = copy_keep(c, data, (size_t)n);
            PQfreemem(data);
        } else if (n == 0) {
            return;
        } else if (n == -1) {
            tug__pg_connection_set_state(c, TUG__PG_COPY_END);
        } else {
            tug__pg_connection_lose_libpq(c);
        }
    }
}

/* The line or row in question is in the context: "COPY t, line 3, column a: ...". */
static void copy_failure(tug_error *why, const PGresult *res)
{
    tug__pg_failure_answer(why, res);
    const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
    size_t used = strlen(why->text);
    if (context != NULL && strncmp(context, "COPY ", 5) == 0 && used + 16 < sizeof why->text) {
        char line[sizeof why->text];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(context, "\n"), context);
        tug__pg_failure_one_line(why->text + used + 2, sizeof why->text - used - 2, line);
        memcpy(why->text + used, ": ", 2);
    }
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
        copy_failure(&why, res);
    }
    if (r != NULL && (why.code == 0 || c->state != TUG__PG_COPY_START)) {
        /* It came to its end without whoever started it. */
        copy_message(c, &why, TUG_EMISUSE,
                     c->state == TUG__PG_COPY_START
                         ? "not a COPY from STDIN or to STDOUT: it was executed"
                     : r->copies_out ? "this COPY takes data: use tug_pg_copy_in"
                                     : "this COPY gives data: use tug_pg_copy_out");
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
    copy_take(c);
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
        bool begins = status == PGRES_COPY_IN || status == PGRES_COPY_OUT;
        if (begins && c->state == TUG__PG_COPY_START) {
            copy_began(c, res);
            copy_take(c);
        } else if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH ||
                   status == PGRES_COPY_IN) {
            tug_error why;
            copy_message(c, &why, TUG_EMISUSE,
                         "one COPY follows another in the same text: connection closed");
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
    if (copier == NULL) {
        tug__pg_connection_copy_more(c);
        if (c->state == TUG__PG_COPY_OUT) {
            c->head_since = tug_now(); /* a short rest gets the time to end by itself */
            tug__pg_cancel_consider(c);
        }
    }
}

void tug__pg_connection_copy_more(tug__pg_connection *c)
{
    if (c->state == TUG__PG_COPY_IN || c->state == TUG__PG_COPY_OUT) {
        tug_flush_later(&c->flush);
    }
}
