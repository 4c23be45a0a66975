/* The life of one connection:
 *
 *     logged in
 *         |
 *         v                a COPY is next and nothing is in flight
 *     PIPELINE ------------------------------------> COPY_START
 *         ^                                            |     |
 *         |<------- refused: back at its end ----------+     | "send data", "here they are"
 *         |                                                  v
 *         +<--- back at its end --- COPY_END <--- end ---- COPY_IN or COPY_OUT
 *
 *     PIPELINE ---- a script is next and nothing is in flight ----> SCRIPT_RUNS ---- its end ----> PIPELINE
 *
 *     any of them ---- socket gone, Sync missing, bound exceeded, given up ----> LOST
 *
 * Beside it runs the machine of cancel requests (cancel.c): while its state is not NONE nothing is sent.
 *
 * libpq closes its socket inside its own calls. The descriptor is watched as it is, not a dup of
 * it: after login libpq never opens another one in its place, each place here that calls libpq
 * looks at PQstatus before it returns to the loop, and a LOST connection drops its interest in the
 * same call. So a closed descriptor is never polled, and each connection needs only one. */
#include "connection.h"

#include <assert.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "failure.h"
#include "fields.h"
#include "hidden.h"

/* The ring of what is in flight begins with this many places and grows up to the limit. */
#define ENTRIES_FIRST 64

static const char *const state_names[TUG__PG_STATE_MAX] = {
    "PIPELINE", "COPY_START", "COPY_IN", "COPY_OUT", "COPY_END", "SCRIPT_RUNS", "LOST"};

/* One bit for each state that may follow. */
static const unsigned state_edges[TUG__PG_STATE_MAX] = {
    [TUG__PG_PIPELINE] = 1u << TUG__PG_COPY_START | 1u << TUG__PG_SCRIPT_RUNS | 1u << TUG__PG_LOST,
    [TUG__PG_SCRIPT_RUNS] = 1u << TUG__PG_PIPELINE | 1u << TUG__PG_LOST,
    [TUG__PG_COPY_START] = 1u << TUG__PG_PIPELINE | 1u << TUG__PG_COPY_IN | 1u << TUG__PG_COPY_OUT |
                           1u << TUG__PG_LOST,
    [TUG__PG_COPY_OUT] = 1u << TUG__PG_COPY_END | 1u << TUG__PG_LOST,
    [TUG__PG_COPY_IN] = 1u << TUG__PG_COPY_END | 1u << TUG__PG_LOST,
    [TUG__PG_COPY_END] = 1u << TUG__PG_PIPELINE | 1u << TUG__PG_LOST,
    [TUG__PG_LOST] = 0,
};

const char *tug__pg_state_name(tug__pg_state state)
{
    return state_names[state];
}

void tug__pg_connection_set_state(tug__pg_connection *c, tug__pg_state to)
{
    assert((state_edges[c->state] & 1u << to) != 0 &&
           "a connection took an edge that does not exist");
    tug_log(TUG_LOG_TRACE, "pg", "connection %s -> %s pid=%d", state_names[c->state],
            state_names[to], PQbackendPID(c->pq));
    c->state = to;
}

/* Notices are for the log. A FATAL that comes between answers is the only word about why the server
 * is about to hang up: libpq gives it to this hook and nowhere else. */
static void connection_notice(void *arg, const PGresult *res)
{
    tug__pg_connection *c = arg;
    char text[sizeof c->farewell];
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    tug__pg_failure_one_line(text, sizeof text,
                             message != NULL ? message : PQresultErrorMessage(res));
    if (severity != NULL && state != NULL && tug__pg_failure_is_end(res)) {
        memcpy(c->farewell, text, sizeof text);
        memcpy(c->farewell_state, state, strnlen(state, 5) + 1);
        return;
    }
    tug_log(tug__pg_failure_notice_level(res), "pg", "%s: %s",
            severity != NULL ? severity : "NOTICE", text);
}

static void connection_receive(tug__pg_connection *c)
{
    if (c->state == TUG__PG_PIPELINE) {
        tug__pg_pipeline_receive(c);
    } else if (c->state == TUG__PG_SCRIPT_RUNS) {
        tug__pg_script_receive(c);
    } else if (c->state != TUG__PG_LOST) {
        tug__pg_copy_receive(c);
    }
    if (c->state == TUG__PG_LOST) {
        return;
    }
    /* Parses what came outside of any answer (a farewell) too. Where nobody listens, what is not
     * fetched would pile up. */
    PGnotify *n;
    while ((n = PQnotifies(c->pq)) != NULL) {
        if (c->hooks.notified != NULL) {
            c->hooks.notified(c, n, c->hooks.arg);
        }
        PQfreemem(n);
    }
    /* A server that said goodbye closes the socket milliseconds later: nobody is to begin anything
     * meanwhile. */
    bool has_left = c->farewell_state[0] != '\0' && tug__pg_connection_is_quiet(c);
    if (has_left || PQstatus(c->pq) == CONNECTION_BAD) {
        tug__pg_connection_lose_libpq(c);
    }
}

/* Sends what libpq holds. A flush that could not send everything may have read instead, and those
 * bytes raise no event: so answers are looked for each time. */
static void connection_flush(tug__pg_connection *c)
{
    if (c->state == TUG__PG_LOST) {
        return;
    }
    int rc = PQflush(c->pq);
    c->unsent = rc == 1;
    connection_receive(c);
    if (rc < 0) {
        tug__pg_connection_lose_libpq(c);
    }
}

/* What the server sends finds no room with its reader now. */
static bool connection_is_held(const tug__pg_connection *c)
{
    return tug__pg_stream_is_held(c) || tug__pg_copy_is_held(c);
}

static void connection_want(tug__pg_connection *c)
{
    /* Read always: an idle connection hears of its server's end, a sending one must not
     * deadlock. */
    unsigned want = TUG_READ | (c->unsent ? (unsigned)TUG_WRITE : 0u);
    if (c->state == TUG__PG_LOST) {
        return;
    }
    if (connection_is_held(c)) {
        want &= ~(unsigned)TUG_READ; /* but rows that nobody reads yet stay with the server */
    }
    if (tug_io_wanted(c->io) == want) {
        return;
    }
    if (tug_io_want(c->io, want) < 0) {
        tug__pg_connection_lose(c, tug_last_error());
    }
}

/* There is something to send and the socket takes it, as far as is known: a flush that came back with
 * 1 may be followed by one that comes back with 0, and then no event will ever say "writable". */
static bool connection_can_send(const tug__pg_connection *c)
{
    if (c->unsent) {
        return false;
    }
    if (c->state == TUG__PG_PIPELINE) {
        const tug__pg_request *r = c->queue.first;
        return r != NULL && c->awaited == NULL && c->cancel.state == TUG__PG_CANCEL_NONE &&
               c->n < c->limits.requests && c->bytes < c->limits.bytes &&
               (c->n == 0 || !tug__pg_connection_sends_alone(c, r));
    }
    const tug__pg_copier *copier = c->copier;
    return c->state == TUG__PG_COPY_IN &&
           (copier == NULL || copier->finish || copier->at < copier->data.size);
}

static void connection_after(tug__pg_connection *c)
{
    if (c->cancel.state != TUG__PG_CANCEL_NONE) {
        tug__pg_cancel_step(c);
    }
    if (c->state != TUG__PG_LOST && c->hooks.room != NULL) {
        c->hooks.room(c, c->hooks.arg);
    }
    connection_want(c);
    if (connection_can_send(c)) {
        tug_flush_later(&c->flush);
    }
    if (tug_waiters_any(&c->quiet) && tug__pg_connection_is_quiet(c)) {
        tug_unpark_all(&c->quiet, 0, NULL);
    }
}

static void connection_read(tug__pg_connection *c);

/* Rows were held back and nobody wants them any more. What TLS has decrypted already would raise no
 * event, so the socket is read now. */
static void connection_unhold(tug__pg_connection *c)
{
    if (c->state != TUG__PG_LOST && (tug_io_wanted(c->io) & TUG_READ) == 0 &&
        !connection_is_held(c)) {
        connection_read(c);
    }
}

static void connection_turn_end(tug_flush *f)
{
    tug__pg_connection *c = (tug__pg_connection *)((char *)f - offsetof(tug__pg_connection, flush));
    if (c->state == TUG__PG_PIPELINE) {
        tug__pg_pipeline_send(c);
    } else if (c->state == TUG__PG_COPY_IN) {
        tug__pg_copy_send(c);
    }
    connection_flush(c);
    connection_unhold(c);
    connection_after(c);
}

static bool connection_consume(tug__pg_connection *c)
{
    bool answering = (c->state == TUG__PG_PIPELINE && c->n > 0) || c->state == TUG__PG_COPY_OUT ||
                     c->state == TUG__PG_SCRIPT_RUNS;
    if (answering) {
        tug__pg_meter_before(&c->meter, PQsocket(c->pq));
    }
    bool ok = PQconsumeInput(c->pq) == 1;
    if (ok && answering) {
        tug__pg_meter_after(&c->meter, PQsocket(c->pq));
    }
    connection_receive(c);
    return ok;
}

static void connection_read(tug__pg_connection *c)
{
    bool ok = connection_consume(c);
    while (ok && c->state != TUG__PG_LOST && !connection_is_held(c) &&
           tug__pg_hidden_bytes(c->pq) > 0) {
        ok = connection_consume(c);
    }
    bool is_row;
    if (!ok) {
        tug__pg_connection_lose_libpq(c);
    } else if (tug__pg_meter_exceeds(&c->meter, tug__pg_stream_limit(c, &is_row))) {
        if (is_row) {
            tug__pg_stream_lose_too_large(c);
        } else {
            tug__pg_connection_lose_too_large(c);
        }
    }
}

/* The socket is read at once: while rows are waited for it nearly always has some, and a round of
 * the loop would only say so. */
void tug__pg_connection_resume(tug__pg_connection *c)
{
    if (c->state == TUG__PG_LOST) {
        return;
    }
    connection_receive(c);
    if (c->state != TUG__PG_LOST && !connection_is_held(c)) {
        connection_read(c);
    }
    connection_after(c);
}

void tug__pg_connection_resume_later(tug__pg_connection *c)
{
    if (c->state != TUG__PG_LOST) {
        tug_flush_later(&c->flush);
    }
}

static void connection_ready(tug_io *io, unsigned ready, void *arg)
{
    (void)io;
    tug__pg_connection *c = arg;
    if (ready & TUG_READ) {
        connection_read(c);
    }
    if (c->unsent) {
        connection_flush(c);
    }
    if (c->state == TUG__PG_COPY_IN && !c->unsent) {
        tug__pg_copy_send(c);
        connection_flush(c);
    }
    connection_after(c);
}

int tug__pg_connection_new(PGconn *pq, tug__pg_texts *texts, tug__pg_cancels *cancels,
                           const tug__pg_limits *limits, bool ordered, const char *where,
                           tug__pg_connection **ret_connection)
{
    assert(PQisnonblocking(pq) && PQpipelineStatus(pq) == PQ_PIPELINE_ON &&
           "a connection begins in pipeline mode and never blocks");
    tug__pg_connection *c = tug_calloc(1, sizeof *c);
    int rc = c != NULL ? 0 : tug_fail(TUG_ENOMEM, "out of memory for a connection");
    if (rc == 0) {
        c->limits = *limits;
        c->cancel.pool = cancels;
        c->ordered = ordered;
        c->where = where;
        c->flush.fn = connection_turn_end;
        c->entries = tug_calloc(ENTRIES_FIRST, sizeof *c->entries);
        c->mask = ENTRIES_FIRST - 1;
        rc = tug__pg_statements_init(&c->statements, texts, limits->statements);
        c->statements.max_bytes = limits->statement_bytes;
        c->statements.unnamed = limits->unnamed;
        if (rc < 0 || c->entries == NULL) {
            rc = tug_fail(TUG_ENOMEM, "out of memory for a connection");
        }
    }
    if (rc == 0) {
        rc = tug_io_open(PQsocket(pq), connection_ready, c, &c->io);
    }
    if (rc == 0) {
        rc = tug_io_want(c->io, TUG_READ);
    }
    if (rc < 0) {
        tug__pg_connection_free(c);
        return rc;
    }
    c->pq = pq;
    c->encoding = PQclientEncoding(pq); /* each login asks for it */
    PQsetNoticeReceiver(pq, connection_notice, c);
    *ret_connection = c;
    return 0;
}

void tug__pg_connection_free(tug__pg_connection *c)
{
    if (c == NULL) {
        return;
    }
    if (c->pq != NULL && c->state != TUG__PG_LOST) {
        tug_error why;
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "connection to %s closed", c->where);
        tug__pg_connection_lose(c, &why);
    }
    tug_io_close(c->io);
    tug__pg_statements_free(&c->statements);
    tug__pg_params_free(&c->params);
    tug_free(c->entries);
    PQfinish(c->pq);
    tug_free(c);
}

static void request_fail(tug__pg_request *r, const tug_error *why, int sent)
{
    tug_error e = *why;
    e.sent = (uint8_t)sent;
    r->connection = NULL;
    r->done(r, NULL, &e);
}

void tug__pg_connection_add(tug__pg_connection *c, tug__pg_request *r)
{
    assert(r->in == NULL && !r->sent && "a request is given to one connection at a time");
    if (c->state == TUG__PG_LOST) {
        request_fail(r, &c->why, TUG_NOT_SENT);
        return;
    }
    r->connection = c;
    tug__pg_requests_push(&c->queue, r);
    tug_flush_later(&c->flush);
}

int tug__pg_request_withdraw(tug__pg_request *r)
{
    tug__pg_connection *c = r->connection;
    r->connection = NULL;
    if (r->in != NULL) {
        if (c != NULL && r->in != &c->queue) {
            c->undescribed--;
        }
        tug__pg_requests_remove(r);
        if (c != NULL && tug_waiters_any(&c->quiet) && tug__pg_connection_is_quiet(c)) {
            tug_unpark_all(&c->quiet, 0, NULL);
        } else if (c != NULL) {
            tug__pg_cancel_consider(c); /* it may have been waiting for a description */
        }
        return TUG_NOT_SENT;
    }
    if (!r->sent || c == NULL) {
        return TUG_NOT_SENT;
    }
    if (r->kind == TUG__PG_COPY) {
        c->copy_request = NULL;
        tug__pg_cancel_consider(c);
        return TUG_IN_FLIGHT;
    }
    if (r->kind == TUG__PG_SCRIPT) {
        c->script = NULL;
        tug__pg_cancel_consider(c);
        return TUG_IN_FLIGHT;
    }
    /* The tombstone: the answer will come all the same and has to fall on something. */
    tug__pg_entry *e = &c->entries[r->place & c->mask];
    assert(e->owner == r && "a request in flight has its place in the ring");
    e->owner = NULL;
    PQclear(e->result);
    e->result = NULL;
    tug__pg_cancel_consider(c);
    return TUG_IN_FLIGHT;
}

bool tug__pg_connection_is_clean(const tug__pg_connection *c)
{
    return c->state == TUG__PG_PIPELINE && tug__pg_connection_is_quiet(c) &&
           PQtransactionStatus(c->pq) == PQTRANS_IDLE;
}

int tug__pg_connection_wait_quiet(tug__pg_connection *c)
{
    if (tug__pg_connection_is_quiet(c)) {
        return tug_checkpoint();
    }
    return tug_park(&c->quiet, NULL, "pg.quiet");
}

void tug__pg_connection_lose(tug__pg_connection *c, const tug_error *why)
{
    if (c->state == TUG__PG_LOST) {
        return;
    }
    c->why = *why;
    tug__pg_state was = c->state;
    tug__pg_connection_set_state(c, TUG__PG_LOST);
    /* libpq may have closed the descriptor: out of the poll set before its number is used again. */
    tug_io_close(c->io);
    c->io = NULL;
    c->unsent = false;
    tug_flush_forget(&c->flush);
    tug__pg_cancel_lost(c);
    tug__pg_pipeline_lost(c);
    if (was != TUG__PG_PIPELINE) {
        tug__pg_copy_lost(c);
        tug__pg_script_lost(c);
    }
    if (c->hooks.lost != NULL) {
        c->hooks.lost(c, c->hooks.arg);
    }
    tug__pg_request *r;
    while ((r = tug__pg_requests_pop(&c->queue)) != NULL) {
        request_fail(r, &c->why, TUG_NOT_SENT);
    }
    tug_unpark_all(&c->quiet, 0, NULL);
}

/* The server's last words, where there were any; else libpq's. */
void tug__pg_connection_lose_libpq(tug__pg_connection *c)
{
    if (c->state == TUG__PG_LOST) {
        return;
    }
    tug_error why;
    const PGresult *last = c->n > 0 ? c->entries[c->first & c->mask].result : c->copy_result;
    const char *state = last != NULL ? PQresultErrorField(last, PG_DIAG_SQLSTATE) : NULL;
    char text[160];
    if (state != NULL && tug__pg_failure_is_end(last)) {
        tug__pg_failure_one_line(text, sizeof text,
                                 PQresultErrorField(last, PG_DIAG_MESSAGE_PRIMARY));
    } else if (c->farewell_state[0] != '\0') {
        state = c->farewell_state;
        memcpy(text, c->farewell, sizeof text);
    } else {
        state = NULL;
        tug__pg_failure_first_line(text, sizeof text, PQerrorMessage(c->pq),
                                   "the answer broke off");
    }
    tug_error_set(&why, TUG_ECLOSED, state != NULL ? TUG_ORIGIN_SERVER : TUG_ORIGIN_LIBPQ,
                  TUG_NOT_SENT, state,
                  state != NULL ? "connection to %.60s lost: %s (SQLSTATE %s)"
                                : "connection to %.60s lost: %s%s",
                  c->where, text, state != NULL ? state : "");
    why.transient = true;
    if (last != NULL) {
        tug__pg_fields_keep(&why, last);
    }
    tug__pg_connection_lose(c, &why);
}

void tug__pg_connection_lose_too_large(tug__pg_connection *c)
{
    tug_error why;
    tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                  "a result exceeds max_result_bytes (%zu): connection to %.60s closed",
                  c->limits.result_bytes, c->where);
    tug__pg_connection_lose(c, &why);
}

void tug__pg_connection_forget_statements(tug__pg_connection *c)
{
    assert(tug__pg_connection_is_quiet(c) && "statements are in use while anything is in flight");
    while (c->statements.oldest != NULL) {
        tug__pg_statements_remove(&c->statements, c->statements.oldest);
    }
}
