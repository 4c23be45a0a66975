/* The life of a replication connection:
 *
 *     logged in, pipeline mode left
 *         |
 *         v
 *       IDLE <---- answered ---- COMMAND ---- "COPY BOTH" ----> STREAMING
 *         |                         ^                               |
 *         +------- command ---------+                          CopyDone sent
 *                                                                   v
 *     any of them ---- socket gone, refused, bound exceeded ----> LOST <---- ENDING
 *
 * Messages are taken from libpq as long as the hook wants them. When it does not, the socket is not
 * read any more: the server's writes stand still, and what we have to say still goes out, since the
 * server looks for it while it waits. */
#include "walstream.h"

#include <assert.h>
#include <string.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "failure.h"
#include "hidden.h"

static const char *const state_names[TUG__PG_WAL_STATE_MAX] = {"IDLE", "COMMAND", "STREAMING",
                                                               "ENDING", "LOST"};

/* One bit for each state that may follow. */
static const unsigned state_edges[TUG__PG_WAL_STATE_MAX] = {
    [TUG__PG_WAL_IDLE] = 1u << TUG__PG_WAL_COMMAND | 1u << TUG__PG_WAL_LOST,
    [TUG__PG_WAL_COMMAND] = 1u << TUG__PG_WAL_IDLE | 1u << TUG__PG_WAL_STREAMING |
                            1u << TUG__PG_WAL_LOST,
    [TUG__PG_WAL_STREAMING] = 1u << TUG__PG_WAL_ENDING | 1u << TUG__PG_WAL_LOST,
    [TUG__PG_WAL_ENDING] = 1u << TUG__PG_WAL_LOST,
    [TUG__PG_WAL_LOST] = 0,
};

const char *tug__pg_wal_state_name(tug__pg_wal_state state)
{
    return state_names[state];
}

static void wal_set_state(tug__pg_wal *w, tug__pg_wal_state to)
{
    assert((state_edges[w->state] & 1u << to) != 0 &&
           "a replication connection took an edge that does not exist");
    tug_log(TUG_LOG_TRACE, "pg", "replication %s -> %s pid=%d", state_names[w->state],
            state_names[to], PQbackendPID(w->pq));
    w->state = to;
}

void tug__pg_wal_lose(tug__pg_wal *w, const tug_error *why)
{
    if (w->state == TUG__PG_WAL_LOST) {
        return;
    }
    w->why = *why;
    wal_set_state(w, TUG__PG_WAL_LOST);
    /* libpq may have closed the descriptor: out of the poll set before its number is used again. */
    tug_io_close(w->io);
    w->io = NULL;
    w->unsent = false;
    tug_flush_forget(&w->flush);
    tug_unpark_all(&w->done, w->why.code, &w->why);
    if (w->hooks.lost != NULL) {
        w->hooks.lost(w, w->hooks.arg);
    }
}

/* The server's last words, where there were any; else libpq's. */
static void wal_lose_libpq(tug__pg_wal *w)
{
    tug_error why;
    char text[160];
    const char *state = w->farewell_state[0] != '\0' ? w->farewell_state : NULL;
    if (state != NULL) {
        memcpy(text, w->farewell, sizeof text);
    } else {
        tug__pg_failure_first_line(text, sizeof text, PQerrorMessage(w->pq),
                                   "the stream broke off");
    }
    tug_error_set(&why, TUG_ECLOSED, state != NULL ? TUG_ORIGIN_SERVER : TUG_ORIGIN_LIBPQ,
                  TUG_NOT_SENT, state,
                  state != NULL ? "replication from %.60s lost: %s (SQLSTATE %s)"
                                : "replication from %.60s lost: %s%s",
                  w->where, text, state != NULL ? state : "");
    why.transient = true;
    tug__pg_wal_lose(w, &why);
}

static void wal_note_farewell(tug__pg_wal *w, const PGresult *res)
{
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    if (state != NULL && message != NULL) {
        tug__pg_failure_one_line(w->farewell, sizeof w->farewell, message);
        memcpy(w->farewell_state, state, strnlen(state, 5) + 1);
    }
}

/* A FATAL that comes outside of any answer is the only word about why the server hangs up. */
static void wal_notice(void *arg, const PGresult *res)
{
    tug__pg_wal *w = arg;
    if (PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL && tug__pg_failure_is_end(res)) {
        wal_note_farewell(w, res);
        return;
    }
    char text[160];
    tug__pg_failure_one_line(text, sizeof text, PQresultErrorMessage(res));
    tug_log(TUG_LOG_DEBUG, "pg", "%s", text);
}

/* --- receiving -------------------------------------------------------------------------------- */

static bool is_error(const PGresult *res)
{
    return PQresultStatus(res) == PGRES_FATAL_ERROR || PQresultStatus(res) == PGRES_BAD_RESPONSE;
}

static void receive_answer(tug__pg_wal *w)
{
    while (w->state == TUG__PG_WAL_COMMAND && !PQisBusy(w->pq)) {
        PGresult *res = PQgetResult(w->pq);
        if (res == NULL) {
            if (PQstatus(w->pq) == CONNECTION_BAD) {
                wal_lose_libpq(w);
                return;
            }
            wal_set_state(w, TUG__PG_WAL_IDLE);
            tug_unpark_all(&w->done, 0, NULL);
        } else if (PQresultStatus(res) == PGRES_COPY_BOTH) {
            PQclear(res);
            wal_set_state(w, TUG__PG_WAL_STREAMING);
            tug_unpark_all(&w->done, 0, NULL);
        } else if (w->result != NULL && is_error(w->result)) {
            PQclear(res);
        } else {
            PQclear(w->result);
            w->result = res;
        }
    }
}

/* The server has closed its side of the stream; by itself it does so with an error, or when it shuts
 * down. An error that is not the connection's end is an answer to what the stream asks for. */
static void receive_end(tug__pg_wal *w)
{
    tug_error why = {0};
    while (!PQisBusy(w->pq)) {
        PGresult *res = PQgetResult(w->pq);
        bool more = res != NULL && PQresultStatus(res) != PGRES_COPY_IN;
        if (res != NULL && is_error(res)) {
            wal_note_farewell(w, res);
            if (why.code == 0 && !tug__pg_failure_is_end(res)) {
                tug__pg_failure_answer(&why, res);
            }
        }
        PQclear(res);
        if (!more) {
            break;
        }
    }
    if (why.code != 0) {
        tug__pg_wal_lose(w, &why);
    } else {
        wal_lose_libpq(w);
    }
}

static void wal_lose_too_large(tug__pg_wal *w)
{
    tug_error why;
    tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                  "a change exceeds max_message_bytes (%zu): replication from %.60s ended",
                  w->max_message, w->where);
    tug__pg_wal_lose(w, &why);
}

static void receive_stream(tug__pg_wal *w)
{
    while ((w->state == TUG__PG_WAL_STREAMING && !w->paused) || w->state == TUG__PG_WAL_ENDING) {
        char *data = NULL;
        int n = PQgetCopyData(w->pq, &data, 1);
        if (n == 0) {
            return;
        }
        if (n == -1) {
            receive_end(w);
            return;
        }
        if (n < 0) {
            wal_lose_libpq(w);
            return;
        }
        tug__pg_meter_reset(&w->meter);
        if ((size_t)n > w->max_message) {
            /* A few reads brought all of it, before the meter looked. */
            PQfreemem(data);
            wal_lose_too_large(w);
        } else if (w->state == TUG__PG_WAL_ENDING) {
            PQfreemem(data);
        } else if (!w->hooks.message(w, data, (size_t)n, w->hooks.arg)) {
            w->paused = true;
        }
    }
}

static void wal_receive(tug__pg_wal *w)
{
    if (w->state == TUG__PG_WAL_COMMAND) {
        receive_answer(w);
    }
    if (w->state == TUG__PG_WAL_STREAMING || w->state == TUG__PG_WAL_ENDING) {
        receive_stream(w);
    }
    if (w->state == TUG__PG_WAL_IDLE) {
        PQisBusy(w->pq); /* parses what came unasked: a farewell */
    }
    if (w->state != TUG__PG_WAL_LOST && PQstatus(w->pq) == CONNECTION_BAD) {
        wal_lose_libpq(w);
    }
}

static bool wal_reads(const tug__pg_wal *w)
{
    return w->state != TUG__PG_WAL_LOST && !(w->state == TUG__PG_WAL_STREAMING && w->paused);
}

static void wal_read(tug__pg_wal *w)
{
    bool ok = true;
    do {
        tug__pg_meter_before(&w->meter, PQsocket(w->pq));
        ok = PQconsumeInput(w->pq) == 1;
        if (ok) {
            tug__pg_meter_after(&w->meter, PQsocket(w->pq));
        }
        wal_receive(w);
    } while (ok && wal_reads(w) && tug__pg_hidden_bytes(w->pq) > 0);
    if (!ok && w->state != TUG__PG_WAL_LOST) {
        wal_lose_libpq(w);
    }
    if (w->state != TUG__PG_WAL_LOST && tug__pg_meter_exceeds(&w->meter, w->max_message)) {
        wal_lose_too_large(w);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

static void wal_want(tug__pg_wal *w)
{
    if (w->state == TUG__PG_WAL_LOST) {
        return;
    }
    unsigned want = (wal_reads(w) ? (unsigned)TUG_READ : 0u) |
                    (w->unsent ? (unsigned)TUG_WRITE : 0u);
    if (tug_io_wanted(w->io) != want && tug_io_want(w->io, want) < 0) {
        tug__pg_wal_lose(w, tug_last_error());
    }
}

/* A flush that could not send everything may have read instead, and those bytes raise no event: so
 * messages are looked for each time. */
static void wal_flush(tug__pg_wal *w)
{
    if (w->state == TUG__PG_WAL_LOST) {
        return;
    }
    int rc = PQflush(w->pq);
    w->unsent = rc == 1;
    wal_receive(w);
    if (rc < 0 && w->state != TUG__PG_WAL_LOST) {
        wal_lose_libpq(w);
    }
    wal_want(w);
}

static void wal_turn_end(tug_flush *f)
{
    tug__pg_wal *w = (tug__pg_wal *)((char *)f - offsetof(tug__pg_wal, flush));
    wal_flush(w);
}

static void wal_ready(tug_io *io, unsigned ready, void *arg)
{
    (void)io;
    tug__pg_wal *w = arg;
    if ((ready & TUG_READ) != 0 && wal_reads(w)) {
        wal_read(w);
    }
    if (w->unsent) {
        wal_flush(w);
    }
    wal_want(w);
}

void tug__pg_wal_put(tug__pg_wal *w, const char *data, size_t n)
{
    if (w->state != TUG__PG_WAL_STREAMING) {
        return;
    }
    if (PQputCopyData(w->pq, data, (int)n) != 1) {
        wal_lose_libpq(w);
        return;
    }
    tug_flush_later(&w->flush);
}

void tug__pg_wal_resume(tug__pg_wal *w)
{
    if (w->paused) {
        w->paused = false;
        if (w->state != TUG__PG_WAL_LOST) {
            tug_flush_later(&w->flush);
        }
    }
}

/* --- commands --------------------------------------------------------------------------------- */

struct command {
    tug__pg_wal *wal;
    const char *sql;
};

static void command_send(void *arg)
{
    struct command *c = arg;
    tug__pg_wal *w = c->wal;
    if (w->state == TUG__PG_WAL_LOST) {
        return;
    }
    assert(w->state == TUG__PG_WAL_IDLE && "one command at a time");
    if (PQsendQuery(w->pq, c->sql) != 1) {
        wal_lose_libpq(w);
        return;
    }
    wal_set_state(w, TUG__PG_WAL_COMMAND);
    tug__pg_meter_reset(&w->meter);
    wal_flush(w);
}

static void wal_cancelled(tug__pg_wal *w)
{
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                  "replication from %.60s given up", w->where);
    tug__pg_wal_lose(w, &why);
}

int tug__pg_wal_command(tug__pg_wal *w, const char *sql, PGresult **ret_result)
{
    struct command c = {.wal = w, .sql = sql};
    int rc = 0;
    tug_on_loop_stack(command_send, &c);
    if (w->state == TUG__PG_WAL_LOST) {
        return tug_fail_with(&w->why);
    }
    if (w->state == TUG__PG_WAL_COMMAND) {
        rc = tug_park(&w->done, NULL, "pg.replication");
    }
    if (rc == TUG_ECANCELED) {
        wal_cancelled(w);
    }
    PGresult *res = w->result;
    w->result = NULL;
    if (rc == 0 && res != NULL && is_error(res)) {
        tug_error e;
        tug__pg_failure_answer(&e, res);
        rc = tug_fail_with(&e);
    }
    if (rc == 0 && ret_result != NULL) {
        *ret_result = res;
    } else {
        PQclear(res);
    }
    return rc;
}

static void end_send(void *arg)
{
    tug__pg_wal *w = arg;
    if (w->state != TUG__PG_WAL_STREAMING) {
        return;
    }
    if (PQputCopyEnd(w->pq, NULL) != 1) {
        wal_lose_libpq(w);
        return;
    }
    wal_set_state(w, TUG__PG_WAL_ENDING);
    w->paused = false;
    wal_flush(w);
}

int tug__pg_wal_end(tug__pg_wal *w)
{
    tug_on_loop_stack(end_send, w);
    return w->state == TUG__PG_WAL_ENDING ? tug_park(&w->done, NULL, "pg.replication_end") : 0;
}

/* --- life ------------------------------------------------------------------------------------- */

int tug__pg_wal_new(PGconn *pq, size_t max_message, const char *where, tug__pg_wal **ret_wal)
{
    tug__pg_wal *w = tug_calloc(1, sizeof *w);
    if (w == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    w->max_message = max_message;
    w->where = where;
    w->flush.fn = wal_turn_end;
    int rc = 0;
    if (PQexitPipelineMode(pq) != 1) {
        rc = tug_fail(TUG_ECONNECT, "replication from %.60s: pipeline mode cannot be left", where);
    }
    rc = rc < 0 ? rc : tug_io_open(PQsocket(pq), wal_ready, w, &w->io);
    rc = rc < 0 ? rc : tug_io_want(w->io, TUG_READ);
    if (rc < 0) {
        tug_io_close(w->io);
        tug_free(w);
        return rc;
    }
    w->pq = pq;
    PQsetNoticeReceiver(pq, wal_notice, w);
    *ret_wal = w;
    return 0;
}

void tug__pg_wal_free(tug__pg_wal *w)
{
    if (w == NULL) {
        return;
    }
    w->hooks = (tug__pg_wal_hooks){0};
    wal_cancelled(w);
    PQclear(w->result);
    PQfinish(w->pq);
    tug_free(w);
}
