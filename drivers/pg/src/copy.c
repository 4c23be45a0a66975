/* The life of a COPY. */
#include "copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "gate.h"

static tug_pg_copy *copy_of(tug__pg_copier *copier)
{
    return (tug_pg_copy *)((char *)copier - offsetof(tug_pg_copy, copier));
}

static void copy_free(tug_pg_copy *copy)
{
    tug__pg_flow_forget(&copy->flow);
    tug__pg_bytes_free(&copy->copier.data);
    tug__pg_bytes_free(&copy->reading);
    tug__pg_bytes_free(&copy->values);
    if (copy->row != NULL) {
        tug__pg_result_show(copy->row, NULL, NULL, 0);
        tug_pg_result_unref(copy->row);
    }
    PQclear(copy->out_shape);
    tug__pg_shape_free(copy->shape);
    tug_free(copy->raw);
    tug_free(copy->sql);
    tug_free(copy);
}

/* The hooks hear of its end. */
static void copy_told(tug_pg_copy *copy, const tug_error *why)
{
    if (copy->span.hooks != 0) {
        tug__pg_span_end(copy->flow.holding->pool, &copy->span, copy->sql, why, copy->rows);
    }
}

static void copy_moved(tug__pg_copier *copier)
{
    tug_pg_copy *copy = copy_of(copier);
    if (copier->is_out || copier->data.size - copier->at <= TUG__PG_COPY_LOW) {
        tug_unpark_all(&copy->moved, 0, NULL);
    }
}

static void copy_end(tug_pg_copy *copy, const tug_error *why)
{
    copy->state = TUG__PG_COPYING_ENDED;
    copy_told(copy, why);
    if (why != NULL) {
        copy->error = *why;
    }
    tug_unpark_all(&copy->moved, 0, NULL);
    tug_unpark_all(&copy->over, 0, NULL);
    tug__pg_flow_end(&copy->flow);
}

static void copy_ended(tug__pg_copier *copier, PGresult *res, const tug_error *why)
{
    tug_pg_copy *copy = copy_of(copier);
    if (why == NULL) {
        copy->rows = strtoll(PQcmdTuples(res), NULL, 10);
    }
    PQclear(res);
    copy_end(copy, why);
}

/* What it is open on goes away. */
static void copy_cut(tug__pg_flow *flow)
{
    tug_pg_copy *copy = (tug_pg_copy *)flow;
    tug_error why;
    if (copy->state == TUG__PG_COPYING_STARTING || copy->state == TUG__PG_COPYING_ENDED) {
        return;
    }
    tug__pg_connection_set_copier(flow->holding->connection, NULL);
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                  "COPY aborted: it was closed, or what it ran in was");
    copy_end(copy, &why);
}

void tug_pg_copy_close(tug_pg_copy *copy)
{
    if (copy != NULL) {
        copy_cut(&copy->flow);
        copy_free(copy);
    }
}

static void copy_forgotten(tug__pg_flow *flow)
{
    tug_pg_copy_close((tug_pg_copy *)flow);
}

/* --- starting --------------------------------------------------------------------------------- */

typedef struct starting {
    tug_pg_copy *copy; /* ours until settled */
    tug__pg_request request;
} starting;

static void starting_dispose(void *value)
{
    tug_pg_copy_close(value);
}

static int starting_abort(tug_future *f)
{
    starting *s = tug_future_payload(f);
    tug_error e;
    int sent = tug__pg_request_withdraw(&s->request);
    tug_error_set(&e, TUG_EDROPPED, TUG_ORIGIN_TUG, sent, NULL,
                  "COPY was cancelled before it began");
    copy_told(s->copy, &e);
    copy_free(s->copy);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class starting_class = {.size = sizeof(tug_future_class),
                                                .name = "pg.copy",
                                                .payload = sizeof(starting),
                                                .abort = starting_abort,
                                                .dispose = starting_dispose};

static void starting_done(tug__pg_request *r, PGresult *res, const tug_error *why)
{
    tug_future *f = r->owner;
    starting *s = tug_future_payload(f);
    tug_pg_copy *copy = s->copy;
    PQclear(res);
    if (why != NULL) {
        copy_told(copy, why);
        copy_free(copy);
        tug_future_fail(f, why);
        return;
    }
    copy->state = TUG__PG_COPYING_OPEN;
    tug__pg_connection_set_copier(copy->flow.holding->connection, &copy->copier);
    tug_future_settle(f, copy);
}

/* on: a session or a transaction; session: to be closed with it. Both, and shape, are taken over on failure
 * too. NULL: out of memory. */
static tug_pg_copy *copy_new(tug_pg *on, tug_pg *session, const char *sql, bool is_out,
                             tug__pg_shape *shape)
{
    tug_pg_copy *copy = tug_calloc(1, sizeof *copy);
    char *text = tug_strdup(sql);
    if (copy == NULL || text == NULL) {
        tug_free(copy);
        tug_free(text);
        tug__pg_shape_free(shape);
        tug_pg_close(session);
        TUG_IGNORE(tug_fail(TUG_ENOMEM, "out of memory for a COPY"));
        return NULL;
    }
    copy->flow = (tug__pg_flow){.what = "a COPY is", .cut = copy_cut, .close = copy_forgotten};
    copy->copier = (tug__pg_copier){
        .is_out = is_out, .max = TUG__PG_COPY_FULL, .moved = copy_moved, .ended = copy_ended};
    copy->sql = text;
    copy->shape = shape;
    tug__pg_flow_begin(&copy->flow, on, session);
    if (copy->flow.holding->pool->hooks_number != 0) {
        tug__pg_span_begin(copy->flow.holding->pool, &copy->span, sql, 0, false);
    }
    return copy;
}

static tug_future *copy_start(tug_pg_copy *copy)
{
    tug_future *f = tug_future_new(&starting_class);
    if (f == NULL) {
        copy_free(copy);
        return tug_future_no_memory();
    }
    starting *s = tug_future_payload(f);
    s->copy = copy;
    s->request.kind = TUG__PG_COPY;
    s->request.copies_out = copy->copier.is_out;
    s->request.plain = copy->sql;
    s->request.owner = f;
    s->request.done = starting_done;
    tug__pg_connection_add(copy->flow.holding->connection, &s->request);
    return f;
}

int tug__pg_copy_open(tug_pg *db, tug_pg *session, const char *sql, bool is_out,
                      tug__pg_shape *shape, tug_pg_copy **ret_copy)
{
    tug_pg_copy *copy = copy_new(session != NULL ? session : db, session, sql, is_out, shape);
    if (copy == NULL) {
        return TUG_ENOMEM;
    }
    tug_future *f = copy_start(copy);
    void *value = NULL;
    int rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_future_take(f, &starting_class, &value);
    }
    if (rc == 0) {
        *ret_copy = value;
    }
    tug_future_unref(f);
    return rc;
}

static int copy_sql(tug_pg *db, const char *sql, bool is_out, const char *what, const void *place,
                    tug_pg_copy **ret_copy)
{
    tug_pg *session = NULL;
    int rc = tug__pg_check(db, what);
    if (rc < 0) {
        return rc;
    }
    const char *gate = sql != NULL ? tug__pg_gate(sql) : NULL;
    if (gate == NULL || strcmp(gate, "COPY") != 0) {
        return tug_fail(sql == NULL ? TUG_EINVAL : TUG_EMISUSE, "%s: not a COPY ... %s", what,
                        is_out ? "TO STDOUT" : "FROM STDIN");
    }
    /* It goes by the simple protocol, which would run what follows, a COMMIT too. */
    if (!tug__pg_gate_is_single(sql)) {
        return tug_fail(TUG_EMISUSE, "%s: another statement behind the COPY", what);
    }
    rc = tug__pg_flow_take(db, what, place, &session);
    return rc < 0 ? rc : tug__pg_copy_open(db, session, sql, is_out, NULL, ret_copy);
}

int tug_pg_copy_in(tug_pg *db, const char *sql, tug_pg_copy **ret_copy)
{
    return copy_sql(db, sql, false, "tug_pg_copy_in", __builtin_return_address(0), ret_copy);
}

int tug_pg_copy_out(tug_pg *db, const char *sql, tug_pg_copy **ret_copy)
{
    return copy_sql(db, sql, true, "tug_pg_copy_out", __builtin_return_address(0), ret_copy);
}

int tug__pg_copy_check(const tug_pg_copy *copy, bool is_out, const char *what)
{
    if (copy->copier.is_out != is_out) {
        return tug_fail(TUG_EMISUSE, "%s: this COPY goes %s", what,
                        copy->copier.is_out ? "out of the table" : "into the table");
    }
    return 0;
}
