/* What:      one statement on its way: it waits in its pool, then on a connection, then is sent,
 *            and ends once. Lives in the payload of the future that the caller holds, so that a
 *            statement costs no memory of its own.
 * Ownership: of whoever made it. A connection borrows it from tug__pg_connection_add until done was
 *            called or tug__pg_request_withdraw returned.
 * Context:   the loop's thread. Callbacks: done, on the loop stack. Errors: none. */
#ifndef TUG_PG_REQUEST_H
#define TUG_PG_REQUEST_H

#include <libpq-fe.h>
#include <tug/error.h>

#include "text.h"
#include "value.h"

struct tug__pg_connection;
struct tug__pg_holding;
struct tug__pg_streamer;
typedef struct tug__pg_request tug__pg_request;

/* A FIFO that a request can leave from the middle. Zeroed is empty. */
typedef struct tug__pg_requests {
    tug__pg_request *first, *last;
    size_t n;
} tug__pg_requests;

typedef enum tug__pg_request_kind {
    TUG__PG_STATEMENT, /* text and args: prepared once a connection */
    TUG__PG_PLAIN,     /* plain, without parameters, not prepared: BEGIN, COMMIT, DISCARD ALL */
    TUG__PG_COPY,      /* plain, outside of pipeline mode: done comes with "send data" */
    TUG__PG_BATCH,     /* a tug__pg_batch: several statements, one Sync */
    TUG__PG_SCRIPT     /* a tug__pg_script: plain has several, outside of pipeline mode */
} tug__pg_request_kind;

struct tug__pg_request {
    tug__pg_request *next, *prev;
    tug__pg_requests *in;                  /* the list it waits in; NULL: none */
    struct tug__pg_connection *connection; /* that it was given to */
    struct tug__pg_holding *holding; /* a connection leased for this request alone; NULL: none */
    tug__pg_request *alone_next, **alone_at_prev; /* in the pool's list of those that have one */
    /* The end, once. Success: res is the callee's and why is NULL. Else res is NULL. */
    void (*done)(tug__pg_request *r, PGresult *res, const tug_error *why);
    void *owner;                       /* for done: the future whose payload this is */
    tug__pg_text *text;                /* TUG__PG_STATEMENT: one reference */
    const char *plain;                 /* the other kinds; lives as long as the request */
    uint64_t place;                    /* its number on the connection, once sent */
    tug__pg_args *args;                /* TUG__PG_STATEMENT: its arguments, beside it */
    struct tug__pg_streamer *streamer; /* gets the rows one by one, before done; NULL: done does */
    tug__pg_request_kind kind;
    bool copies_out; /* TUG__PG_COPY: the data come from the server */
    bool sent;
    bool again;     /* sent once more after a stale plan: not a third time */
    bool is_future; /* owner is one, and this its payload */
    bool marks;     /* a session that ran it is reset before somebody else gets it */
};

/* It is sent when nothing is in flight before it. */
static inline bool tug__pg_request_begins_alone(const tug__pg_request *r)
{
    return r->kind == TUG__PG_COPY || r->kind == TUG__PG_SCRIPT || r->streamer != NULL;
}

/* One statement of a batch. */
typedef struct tug__pg_item {
    tug__pg_text *text;
    struct tug__pg_statement *statement; /* while it is being sent */
    /* Answered well, before the Sync: these rows of it. Neighbours that run the same statement share one:
     * a batch of a thousand small results then is a few objects of libpq's and not a thousand, each of
     * which takes 3 KiB. */
    PGresult *result;
    int row, rows;
    bool owns;   /* clears it */
    bool shared; /* others have rows in it */
    tug__pg_args args;
} tug__pg_item;

/* The request of kind TUG__PG_BATCH: done gets no result, the items have them. */
typedef struct tug__pg_batch {
    tug__pg_request request; /* first */
    tug__pg_item **items;
    size_t n;
    size_t answered;
    size_t failed;   /* place of the item at fault; n: none in particular */
    size_t awaited;  /* place of the item whose description it waits for */
    unsigned rounds; /* how often it has waited for descriptions */
} tug__pg_batch;

/* The request of kind TUG__PG_SCRIPT: done gets no result, these are kept for it. */
typedef struct tug__pg_script {
    tug__pg_request request; /* first */
    PGresult **results;
    size_t n, room;
    size_t bytes;                        /* of all results */
    size_t answered;                     /* statements */
    tug_error error;                     /* the first; code 0: none */
    PGTransactionStatusType transaction; /* at the end */
} tug__pg_script;

static inline void tug__pg_requests_push(tug__pg_requests *list, tug__pg_request *r)
{
    r->next = NULL;
    r->prev = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = r;
    list->last = r;
    list->n++;
    r->in = list;
}

static inline void tug__pg_requests_push_first(tug__pg_requests *list, tug__pg_request *r)
{
    r->prev = NULL;
    r->next = list->first;
    *(list->first != NULL ? &list->first->prev : &list->last) = r;
    list->first = r;
    list->n++;
    r->in = list;
}

static inline void tug__pg_requests_remove(tug__pg_request *r)
{
    tug__pg_requests *list = r->in;
    *(r->prev != NULL ? &r->prev->next : &list->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &list->last) = r->prev;
    r->next = r->prev = NULL;
    r->in = NULL;
    list->n--;
}

static inline tug__pg_request *tug__pg_requests_pop(tug__pg_requests *list)
{
    tug__pg_request *r = list->first;
    if (r != NULL) {
        tug__pg_requests_remove(r);
    }
    return r;
}

/* All of from to the front of to, in their order. */
static inline void tug__pg_requests_move_first(tug__pg_requests *to, tug__pg_requests *from)
{
    while (from->last != NULL) {
        tug__pg_request *r = from->last;
        tug__pg_requests_remove(r);
        tug__pg_requests_push_first(to, r);
    }
}

#endif
