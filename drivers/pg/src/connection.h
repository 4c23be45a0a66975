/* What:      one logged-in connection: requests go in, each ends once. connection.c: its life, its
 *            socket; pipeline.c: statements, one Sync each; batch_wire.c: several with one Sync;
 *            rows_wire.c: rows that are streamed; script.c: scripts;
 *            copy_wire.c: COPY, outside of pipeline mode.
 * Ownership: a connection owns its PGconn, prepared statements and buffers; requests are borrowed.
 * Context:   the loop's thread. What calls libpq says "loop stack": from I/O callbacks, flush hooks
 *            and tug_on_loop_stack, never from a task.
 * Callbacks: the hooks and each request's done, on the loop stack; they may add requests, not free.
 * Errors:    a connection that fails is LOST, with the cause in why; nothing is retried here. */
#ifndef TUG_PG_CONNECTION_H
#define TUG_PG_CONNECTION_H

#include <libpq-fe.h>
#include <tug/sys/driver.h>

#include "cancel.h"
#include "copyrow.h"
#include "meter.h"
#include "request.h"
#include "role.h"
#include "statement.h"
#include "streamer.h"
#include "value.h"

typedef struct tug__pg_connection tug__pg_connection;

typedef enum tug__pg_state {
    TUG__PG_PIPELINE,    /* any number of requests in flight, each with its Sync */
    TUG__PG_COPY_START,  /* pipeline mode left, COPY sent, not answered */
    TUG__PG_COPY_IN,     /* the server takes data */
    TUG__PG_COPY_OUT,    /* the server gives data */
    TUG__PG_COPY_END,    /* end of data or abort sent or received, not answered */
    TUG__PG_SCRIPT_RUNS, /* pipeline mode left, a script sent, not answered to its end */
    TUG__PG_LOST,        /* broken or given up: waits to be freed */
    TUG__PG_STATE_MAX
} tug__pg_state;

typedef struct tug__pg_limits {
    size_t requests;        /* in flight */
    size_t bytes;           /* of requests in flight */
    size_t result_bytes;    /* of one result */
    size_t statements;      /* prepared */
    size_t statement_bytes; /* of a text that is kept */
    bool unnamed;           /* no prepared statements on the server */
    tug__pg_role role;      /* what its server has to be */
} tug__pg_limits;

typedef struct tug__pg_hooks {
    /* Answers came in: there may be room. */
    void (*room)(tug__pg_connection *c, void *arg);
    /* It is LOST. What the hook leaves in c->queue is failed as not sent. */
    void (*lost)(tug__pg_connection *c, void *arg);
    /* A notification came in; n is borrowed. NULL: they are thrown away. */
    void (*notified)(tug__pg_connection *c, const PGnotify *n, void *arg);
    void *arg;
} tug__pg_hooks;

/* What is in flight, in the order of the server's answers, one for each Sync. */
typedef enum tug__pg_entry_kind {
    TUG__PG_ENTRY_REQUEST,  /* owner: the request; NULL: a tombstone, which swallows the answer */
    TUG__PG_ENTRY_PREPARE,  /* owner: the statement: Parse and Describe */
    TUG__PG_ENTRY_DESCRIBE, /* owner: the statement, whose name the server knew already */
    TUG__PG_ENTRY_CLOSE,    /* a surplus statement goes; the answer does not matter */
    TUG__PG_ENTRY_SYNC      /* a Sync alone: behind a cancel request */
} tug__pg_entry_kind;

typedef struct tug__pg_entry {
    void *owner;
    PGresult *result; /* came before the Sync; the first error wins */
    size_t bytes;
    tug__pg_entry_kind kind;
} tug__pg_entry;

/* The data of one COPY, as the connection sees it. */
typedef struct tug__pg_copier tug__pg_copier;
struct tug__pg_copier {
    bool is_out; /* the server gives the data */
    /* In: to be sent; what is left of it counts from at. Out: has come; nothing more is read while it
     * is max or more. */
    tug__pg_bytes data;
    size_t at, max;
    bool finish; /* nothing follows */
    /* In: less is left than before. Out: there was nothing, and now there is. */
    void (*moved)(tug__pg_copier *copier);
    /* The server's last word; res and why as in tug__pg_request.done. */
    void (*ended)(tug__pg_copier *copier, PGresult *res, const tug_error *why);
};

struct tug__pg_connection {
    PGconn *pq;
    tug_io *io; /* NULL once LOST */
    tug_flush flush;
    tug__pg_state state;
    bool ordered;               /* a session's: nobody overtakes who waits for a description */
    bool cannot_cork;           /* not a TCP socket */
    bool unsent;                /* libpq holds bytes that the socket did not take */
    int encoding;               /* of text, as libpq counts them: that of UTF-8 */
    tug__pg_statement *awaited; /* ordered: sending stands still until it is described */
    tug__pg_cancel cancel;      /* while its state is not NONE nothing is sent */
    tug__pg_requests queue;     /* given, not sent */
    size_t undescribed;         /* given, and waiting with a statement for its description */
    tug__pg_entry *entries;     /* ring of mask + 1 */
    size_t mask;
    uint64_t first;      /* place of the head */
    size_t n;            /* in flight */
    size_t bytes;        /* in flight */
    tug_time head_since; /* when the head became the head */
    tug__pg_limits limits;
    tug__pg_statements statements;
    tug__pg_params params;
    tug__pg_request *copy_request; /* COPY_START: whom to tell */
    tug__pg_script *script;        /* SCRIPT_RUNS: whom to tell; NULL: abandoned */
    tug__pg_copier *copier;        /* COPY_IN, COPY_END: NULL: abandoned */
    PGresult *copy_result;         /* COPY_START, COPY_END: came before the end */
    tug__pg_meter meter;
    tug__pg_hooks hooks;
    tug_waiters quiet; /* tasks that wait until nothing is queued or in flight */
    const char *where; /* "db1:5432/shop as joe", borrowed: lives longer */
    tug_error why;     /* LOST: the cause */
    /* SQLSTATE and text of a FATAL message that came outside of any answer. */
    char farewell_state[6];
    char farewell[160];
};

/* Takes pq over (logged in, non-blocking, in pipeline mode) on success. cancels NULL: none are sent. texts and cancels are the
 * pool's, which lives longer. Loop stack. TUG_ENOMEM and what tug_io_open says. */
int tug__pg_connection_new(PGconn *pq, tug__pg_texts *texts, tug__pg_cancels *cancels,
                           const tug__pg_limits *limits, bool ordered, const char *where,
                           tug__pg_connection **ret_connection);
/* r waits until nothing is in flight. So does all on a session that speaks another encoding: what is in
 * flight may be what changes that. */
static inline bool tug__pg_connection_sends_alone(const tug__pg_connection *c,
                                                  const tug__pg_request *r)
{
    return tug__pg_request_begins_alone(r) ||
           (c->ordered && PQclientEncoding(c->pq) != c->encoding);
}
/* PQfinish, and the end of all requests that are still there. Loop stack. NULL is fine. */
void tug__pg_connection_free(tug__pg_connection *c);

/* Never fails: it is sent at the end of this turn, or when there is room. To a LOST one: done is
 * called at once. */
void tug__pg_connection_add(tug__pg_connection *c, tug__pg_request *r);
/* Takes a request back: done will not be called. Returns TUG_NOT_SENT or TUG_IN_FLIGHT. */
int tug__pg_request_withdraw(tug__pg_request *r);

/* Requests that it has. */
static inline size_t tug__pg_connection_load(const tug__pg_connection *c)
{
    return c->n + c->queue.n + c->undescribed;
}
static inline bool tug__pg_connection_has_room(const tug__pg_connection *c)
{
    return c->state == TUG__PG_PIPELINE && tug__pg_connection_load(c) < c->limits.requests &&
           c->bytes < c->limits.bytes && !c->unsent && c->cancel.state == TUG__PG_CANCEL_NONE;
}
/* Nothing queued, nothing in flight, no COPY, no cancel request. */
static inline bool tug__pg_connection_is_quiet(const tug__pg_connection *c)
{
    return c->state == TUG__PG_LOST || (c->state == TUG__PG_PIPELINE && c->n == 0 &&
                                        c->queue.n == 0 && c->cancel.state == TUG__PG_CANCEL_NONE);
}
/* Quiet, alive and outside of any transaction. */
bool tug__pg_connection_is_clean(const tug__pg_connection *c);
/* Waits until it is quiet: 0, or TUG_ECANCELED. */
TUG_SUSPENDS int tug__pg_connection_wait_quiet(tug__pg_connection *c);
/* Gives it up: nothing of it is used again, the server rolls back what was open. why: the cause,
 * whose sent is replaced for each request. Any context. */
void tug__pg_connection_lose(tug__pg_connection *c, const tug_error *why);
/* All prepared statements are gone (DISCARD ALL). It must be quiet. */
void tug__pg_connection_forget_statements(tug__pg_connection *c);

/* The data of the COPY that has begun come from copier, or go there; NULL: abandons it (the server
 * rolls back what was put in, and is asked to stop what comes out). */
void tug__pg_connection_set_copier(tug__pg_connection *c, tug__pg_copier *copier);
/* copier->data grew, or has less, or finish was set. */
void tug__pg_connection_copy_more(tug__pg_connection *c);

/* Takes what libpq and the socket have for a streamer, or swallows it if its request was withdrawn.
 * Loop stack. */
void tug__pg_connection_resume(tug__pg_connection *c);
/* The same at the end of this turn. Any context. */
void tug__pg_connection_resume_later(tug__pg_connection *c);

/* --- between the files; loop stack ------------------------------------------------------ */

void tug__pg_connection_set_state(tug__pg_connection *c, tug__pg_state to);
/* "PIPELINE". */
const char *tug__pg_state_name(tug__pg_state state);
/* Loses it for what libpq says. */
void tug__pg_connection_lose_libpq(tug__pg_connection *c);
/* Loses it for the answer of the head. */
void tug__pg_connection_lose_too_large(tug__pg_connection *c);
void tug__pg_pipeline_send(tug__pg_connection *c);
/* A Sync with nothing before it. False: libpq could not. */
bool tug__pg_pipeline_send_sync(tug__pg_connection *c);
void tug__pg_pipeline_receive(tug__pg_connection *c);
/* The connection is LOST: ends what is in flight, hands what was not sent back to the queue. */
void tug__pg_pipeline_lost(tug__pg_connection *c);
/* The statement of a text, described or not; one that is not known or stale is prepared (*ret_new).
 * TUG_ELIMIT: no memory at the moment, and an answer will make room; TUG_ENOMEM: no memory;
 * TUG_ECLOSED: libpq could not. */
int tug__pg_pipeline_look_up(tug__pg_connection *c, tug__pg_text *text,
                             tug__pg_statement **ret_statement, bool *ret_new);
/* The request leaves the queue, until the statement is described. */
void tug__pg_pipeline_wait(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r);
/* Its arguments do not fit. *ret_again: the types may be old, and the statement was forgotten: look it
 * up once more. False: libpq could not. */
bool tug__pg_pipeline_refused(tug__pg_connection *c, tug__pg_statement *st, tug__pg_request *r,
                              bool *ret_again);
/* A result came in a format that no longer fits its type: the types are learned anew. */
void tug__pg_pipeline_renew_format(const tug__pg_connection *c, tug__pg_text *text,
                                   const PGresult *res);
/* The request leaves the queue for the ring; what follows it up to end is its own. There is room for one
 * whenever something is sent. */
void tug__pg_pipeline_begin(tug__pg_connection *c, tug__pg_request *r, size_t bytes);
/* Its Sync. False: libpq could not. */
bool tug__pg_pipeline_end(tug__pg_connection *c);
/* batch_wire.c. False: libpq could not. */
bool tug__pg_batch_send(tug__pg_connection *c, tug__pg_batch *b);
/* Nothing of it was sent, and nothing will be. at: the place of the item at fault. */
void tug__pg_batch_refuse(tug__pg_batch *b, size_t at, const tug_error *why);
/* True: the result is its next item's; taken over. An error is left to the caller, for the Sync. */
bool tug__pg_batch_take(tug__pg_batch *b, PGresult *res);
/* Forgets the item's result. */
void tug__pg_item_clear(tug__pg_item *item);
/* A result of its own, of the rows of an item; the item has none then. NULL: out of memory. */
PGresult *tug__pg_item_take(tug__pg_item *item);
/* Each item has its result. */
bool tug__pg_batch_is_answered(const tug__pg_connection *c, const tug__pg_batch *b);
/* It is going to be sent once more: what was answered is forgotten. */
void tug__pg_batch_rewind(tug__pg_batch *b);
/* Of the item at fault; NULL: none in particular. */
tug__pg_text *tug__pg_batch_text(const tug__pg_batch *b);
void tug__pg_copy_start(tug__pg_connection *c, tug__pg_request *r);
void tug__pg_copy_send(tug__pg_connection *c);
void tug__pg_copy_receive(tug__pg_connection *c);
void tug__pg_copy_lost(tug__pg_connection *c);
void tug__pg_script_start(tug__pg_connection *c, tug__pg_request *r);
void tug__pg_script_receive(tug__pg_connection *c);
void tug__pg_script_lost(tug__pg_connection *c);
/* The reader has enough for now: nothing is read. */
bool tug__pg_copy_is_held(const tug__pg_connection *c);
/* Behind PQsend...: its rows come as they are. */
bool tug__pg_stream_begin(tug__pg_connection *c, const tug__pg_statement *st);
/* The reader has enough for now: nothing is read. */
bool tug__pg_stream_is_held(const tug__pg_connection *c);
/* A row of the head, which is streamed, and all that libpq has behind it; res is taken over. Returns the
 * first result that is none, NULL if there was none yet. */
PGresult *tug__pg_stream_rows(tug__pg_connection *c, PGresult *res);
/* What may be read: of a row, or of a whole result. */
size_t tug__pg_stream_limit(const tug__pg_connection *c, bool *ret_is_row);
/* Loses it for a row of the head. */
void tug__pg_stream_lose_too_large(tug__pg_connection *c);

#endif
