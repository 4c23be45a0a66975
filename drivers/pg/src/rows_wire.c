/* Rows as they come: the statement runs alone on its connection, libpq gives each row (or some at
 * once, from version 17 on) as a result of its own, and these are copied into a buffer for their
 * reader. When that is full the socket is not read any more, so the server stops as well: what is in
 * memory is that buffer and libpq's, however many rows there are. */
#include <assert.h>

#include "connection.h"

/* Rows that nobody wants are read, because a connection that is clean again is cheaper than a new login.
 * From here on the server is asked to stop, rather than after a pause; */
#define STREAM_DRAIN_BYTES ((size_t)1 << 20)
/* and when that takes longer than this, or is not done at all, the login is cheaper. */
#define STREAM_DRAIN_MOST ((size_t)64 << 20)
/* Rows in one result: so many spread its cost well, */
#define STREAM_CHUNK_ROWS 32
/* and so much the server keeps back as well before it sends: no row is much later for it. */
#define STREAM_CHUNK_BYTES 8192

/* libpq counts the rows of a chunk and not their bytes, and gives none before it has all: so rows that may
 * be large come one by one. */
bool tug__pg_stream_begin(tug__pg_connection *c, const tug__pg_statement *st)
{
    assert(c->n == 0 && "how rows come is said for the statement at the head");
#ifdef LIBPQ_HAS_CHUNK_MODE
    int rows = st->row_bytes > 0 ? STREAM_CHUNK_BYTES / st->row_bytes : 1;
    if (rows > 1) {
        return PQsetChunkedRowsMode(c->pq, rows < STREAM_CHUNK_ROWS ? rows : STREAM_CHUNK_ROWS) ==
               1;
    }
#else
    (void)st;
#endif
    return PQsetSingleRowMode(c->pq) == 1;
}

static tug__pg_streamer *stream_head(const tug__pg_connection *c)
{
    if (c->n == 0) {
        return NULL;
    }
    const tug__pg_entry *e = &c->entries[c->first & c->mask];
    if (e->kind != TUG__PG_ENTRY_REQUEST || e->owner == NULL) {
        return NULL;
    }
    return ((const tug__pg_request *)e->owner)->streamer;
}

bool tug__pg_stream_is_held(const tug__pg_connection *c)
{
    const tug__pg_streamer *s = stream_head(c);
    return s != NULL && s->carry != NULL;
}

size_t tug__pg_stream_limit(const tug__pg_connection *c, bool *ret_is_row)
{
    const tug__pg_streamer *s = stream_head(c);
    *ret_is_row = s != NULL;
    return s != NULL ? s->max_row_bytes : c->limits.result_bytes;
}

void tug__pg_stream_lose_too_large(tug__pg_connection *c)
{
    const tug__pg_streamer *s = stream_head(c);
    tug_error why;
    tug_error_set(&why, TUG_ELIMIT, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                  "a row exceeds max_row_bytes (%zu): connection to %.60s closed", s->max_row_bytes,
                  c->where);
    tug__pg_connection_lose(c, &why);
}

/* Its reader has gone. */
static void stream_drain(tug__pg_connection *c, PGresult *res)
{
    tug_error why;
    PQclear(res);
    if (c->meter.bytes > STREAM_DRAIN_BYTES) {
        tug__pg_cancel_consider(c);
    }
    bool is_asked = c->cancel.state != TUG__PG_CANCEL_NONE;
    if (c->meter.bytes > (is_asked ? STREAM_DRAIN_MOST : STREAM_DRAIN_BYTES)) {
        tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                      "connection to %.60s closed: many rows were left that nobody reads",
                      c->where);
        tug__pg_connection_lose(c, &why);
    }
}

static bool stream_is_rows(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
#ifdef LIBPQ_HAS_CHUNK_MODE
    return status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_CHUNK;
#else
    return status == PGRES_SINGLE_TUPLE;
#endif
}

PGresult *tug__pg_stream_rows(tug__pg_connection *c, PGresult *res)
{
    do {
        tug__pg_streamer *s = stream_head(c);
        if (s == NULL) {
            stream_drain(c, res);
        } else if (tug__pg_streamer_put(s, res) < 0) {
            tug__pg_connection_lose(c, tug_last_error());
        } else {
            tug__pg_meter_reset(&c->meter); /* what is measured from here on is the next row */
        }
        if (c->state == TUG__PG_LOST || tug__pg_stream_is_held(c) || PQisBusy(c->pq)) {
            return NULL;
        }
        res = PQgetResult(c->pq);
    } while (stream_is_rows(res));
    return res;
}
