/* COPY into a table, as its user sees it. Rows are put into a buffer of our own, from the task; the
 * connection hands them to libpq at the end of the turn, on the loop's stack. A writer that is
 * faster than the server waits when the buffer is full.
 *
 *   STARTING --"send data"--> OPEN --finish--> FINISHING --answer--> ENDED
 *                               +---- connection lost, handle closed ----^ */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "gate.h"
#include "handle.h"

/* Bytes that wait for the socket before a writer does; and what is left of them when it may go on.
 * Large enough to keep a 10 Gbit/s peer busy for the 100 us that a turn with other work may
 * take. */
#define COPY_BUFFER_FULL ((size_t)256 << 10)
#define COPY_BUFFER_LOW ((size_t)128 << 10)

typedef enum copy_state {
    COPY_STARTING,
    COPY_OPEN,
    COPY_FINISHING,
    COPY_ENDED
} copy_state;

struct tug_pg_copy {
    tug__pg_copier copier; /* first */
    copy_state state;
    tug__pg_holding *holding;
    tug_pg *session;  /* of our own, when it was started on a pool */
    tug_waiters room; /* writers */
    tug_waiters over; /* finish */
    int64_t rows;
    tug_error error; /* code 0: ended well */
    char *sql;
    tug_pg_copy *next, **at_prev; /* in the pool's list */
};

static void copy_free(tug_pg_copy *copy)
{
    tug__pg_holding *h = copy->holding;
    if (h != NULL) {
        h->copy = NULL;
        *copy->at_prev = copy->next;
        if (copy->next != NULL) {
            copy->next->at_prev = copy->at_prev;
        }
        tug__pg_holding_unref(h);
    }
    tug_pg_close(copy->session);
    tug__pg_bytes_free(&copy->copier.out);
    tug_free(copy->sql);
    tug_free(copy);
}

static void copy_wake(tug_pg_copy *copy)
{
    int code = copy->error.code;
    tug_unpark_all(&copy->room, code, code < 0 ? &copy->error : NULL);
    tug_unpark_all(&copy->over, code, code < 0 ? &copy->error : NULL);
}

static void copy_drained(tug__pg_copier *copier)
{
    tug_pg_copy *copy = (tug_pg_copy *)copier;
    if (copier->out.size - copier->at <= COPY_BUFFER_LOW) {
        tug_unpark_all(&copy->room, 0, NULL);
    }
}

static void copy_ended(tug__pg_copier *copier, PGresult *res, const tug_error *why)
{
    tug_pg_copy *copy = (tug_pg_copy *)copier;
    copy->state = COPY_ENDED;
    if (why != NULL) {
        copy->error = *why;
    } else {
        copy->rows = strtoll(PQcmdTuples(res), NULL, 10);
    }
    PQclear(res);
    copy_wake(copy);
}

/* What it is open on goes away. */
void tug__pg_copy_cut(tug_pg_copy *copy)
{
    if (copy == NULL || copy->state == COPY_STARTING || copy->state == COPY_ENDED) {
        return;
    }
    tug__pg_connection_set_copier(copy->holding->connection, NULL);
    copy->state = COPY_ENDED;
    tug_error_set(&copy->error, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL,
                  "COPY aborted: it was closed, or what it ran in was");
    copy_wake(copy);
}

void tug_pg_copy_close(tug_pg_copy *copy)
{
    if (copy != NULL) {
        tug__pg_copy_cut(copy);
        copy_free(copy);
    }
}

void tug__pg_copies_close(tug__pg_pool *pool)
{
    while (pool->copies != NULL) {
        tug_pg_copy_close(pool->copies);
    }
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
    copy_free(s->copy);
    tug_future_fail(f, &e);
    return TUG_ABORT_DONE;
}

static const tug_future_class starting_class = {.size = sizeof(tug_future_class),
                                                .name = "pg.copy_in",
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
        copy_free(copy);
        tug_future_fail(f, why);
        return;
    }
    copy->state = COPY_OPEN;
    tug__pg_connection_set_copier(copy->holding->connection, &copy->copier);
    tug_future_settle(f, copy);
}

static int copy_check(const tug_pg *db, const char *sql)
{
    int rc = tug__pg_check(db, "tug_pg_copy_in");
    if (rc < 0) {
        return rc;
    }
    const char *gate = sql != NULL ? tug__pg_gate(sql) : NULL;
    if (gate == NULL || strcmp(gate, "COPY") != 0) {
        return tug_fail(sql == NULL ? TUG_EINVAL : TUG_EMISUSE,
                        "tug_pg_copy_in: not a COPY ... FROM STDIN");
    }
    return db->kind == TUG__PG_POOL ? tug__pg_check_holder(tug__pg_pool_of(db), "tug_pg_copy_in")
                                    : tug__pg_check_held(db, "tug_pg_copy_in");
}

/* On a session or a transaction. session: to be closed with it; taken over, on failure too. NULL:
 * out of memory. */
static tug_pg_copy *copy_new(tug_pg *on, tug_pg *session, const char *sql)
{
    tug_pg_copy *copy = tug_calloc(1, sizeof *copy);
    char *text = tug_strdup(sql);
    if (copy == NULL || text == NULL) {
        tug_free(copy);
        tug_free(text);
        tug_pg_close(session);
        TUG_IGNORE(tug_fail(TUG_ENOMEM, "out of memory for a COPY"));
        return NULL;
    }
    tug__pg_holding *h = tug__pg_holding_ref(on->holding);
    *copy = (tug_pg_copy){.copier = {.drained = copy_drained, .ended = copy_ended},
                          .holding = h,
                          .session = session,
                          .sql = text,
                          .next = h->pool->copies,
                          .at_prev = &h->pool->copies};
    if (copy->next != NULL) {
        copy->next->at_prev = &copy->next;
    }
    h->pool->copies = copy;
    h->copy = copy;
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
    s->request.plain = copy->sql;
    s->request.owner = f;
    s->request.done = starting_done;
    tug__pg_connection_add(copy->holding->connection, &s->request);
    return f;
}

int tug_pg_copy_in(tug_pg *db, const char *sql, tug_pg_copy **ret_copy)
{
    tug_pg *session = NULL;
    int rc = copy_check(db, sql);
    if (rc == 0 && db->kind == TUG__PG_POOL) {
        rc = tug_pg_acquire(db, &session);
    }
    if (rc < 0) {
        return rc;
    }
    tug_pg_copy *copy = copy_new(session != NULL ? session : db, session, sql);
    if (copy == NULL) {
        return TUG_ENOMEM;
    }
    tug_future *f = copy_start(copy);
    void *value = NULL;
    rc = tug_await_own(f);
    if (rc == 0) {
        rc = tug_future_take(f, &starting_class, &value);
    }
    if (rc == 0) {
        *ret_copy = value;
    }
    tug_future_unref(f);
    return rc;
}

/* --- data ------------------------------------------------------------------------------------- */

/* Waits for room in the buffer. copy may be gone when this fails. */
static int copy_wait_room(tug_pg_copy *copy, const char *what)
{
    int rc = tug_checkpoint();
    while (rc == 0 && copy->state == COPY_OPEN &&
           copy->copier.out.size - copy->copier.at >= COPY_BUFFER_FULL) {
        rc = tug_park(&copy->room, NULL, "pg.copy");
    }
    if (rc == 0 && copy->state != COPY_OPEN) {
        return copy->error.code < 0
                   ? tug_fail_with(&copy->error)
                   : tug_fail(TUG_EMISUSE, "%s: this COPY was finished already", what);
    }
    return rc;
}

/* What was sent makes room: a writer that never lets the buffer run empty must not make it grow. */
static void copy_compact(tug__pg_copier *copier)
{
    if (copier->at >= COPY_BUFFER_LOW) {
        copier->out.size -= copier->at;
        memmove(copier->out.data, copier->out.data + copier->at, copier->out.size);
        copier->at = 0;
    }
}

int tug_pg_copy_write(tug_pg_copy *copy, struct tug_bytes data)
{
    const char *from = data.data;
    size_t left = data.size;
    int rc = copy_wait_room(copy, "tug_pg_copy_write");
    while (rc == 0 && left > 0) {
        tug__pg_copier *copier = &copy->copier;
        copy_compact(copier);
        size_t room = COPY_BUFFER_FULL - (copier->out.size - copier->at);
        size_t part = left < room ? left : room;
        rc = tug__pg_bytes_reserve(&copier->out, part);
        if (rc < 0) {
            break;
        }
        memcpy(copier->out.data + copier->out.size, from, part);
        copier->out.size += part;
        from += part;
        left -= part;
        tug__pg_connection_copy_more(copy->holding->connection);
        rc = left > 0 ? copy_wait_room(copy, "tug_pg_copy_write") : 0;
    }
    return rc;
}

int tug_pg_copy_row(tug_pg_copy *copy, tug_args row)
{
    int rc = copy_wait_room(copy, "tug_pg_copy_row");
    if (rc == 0) {
        copy_compact(&copy->copier);
        rc = tug__pg_copy_row(&copy->copier.out, row);
    }
    if (rc == 0) {
        tug__pg_connection_copy_more(copy->holding->connection);
    }
    return rc;
}

int tug_pg_copy_finish(tug_pg_copy *copy, int64_t *ret_rows)
{
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (copy->state == COPY_FINISHING || (copy->state == COPY_ENDED && copy->error.code == 0)) {
        return tug_fail(TUG_EMISUSE, "tug_pg_copy_finish: this COPY was finished already");
    }
    if (copy->state == COPY_OPEN) {
        copy->state = COPY_FINISHING;
        copy->copier.finish = true;
        tug__pg_connection_copy_more(copy->holding->connection);
        rc = tug_park(&copy->over, NULL, "pg.copy_finish");
        if (rc == TUG_ECANCELED) {
            tug_error e = *tug_last_error();
            e.sent = TUG_IN_FLIGHT;
            return tug_fail_with(&e);
        }
    } else {
        rc = tug_fail_with(&copy->error);
    }
    if (rc == 0 && ret_rows != NULL) {
        *ret_rows = copy->rows;
    }
    return rc;
}
