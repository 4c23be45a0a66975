/* What:      a change stream from the inside. changes.c: what users call; changing.c: the service task
 *            that connects, makes the slot, starts and starts again; feedback.c: what is exchanged
 *            while it streams.
 * Ownership: reference counted: the handle, the service task and who is inside of a call.
 * Context:   the loop's thread. Callbacks: none. Errors: by tug_fail. */
#ifndef TUG_PG_CHANGES_H
#define TUG_PG_CHANGES_H

#include <tug/pg_replication.h>
#include <tug/scope.h>
#include <tug/sys/inspect.h>

#include "be.h"
#include "login.h"
#include "pgoutput.h"
#include "quote.h"
#include "walstream.h"

typedef enum tug__pg_changes_state {
    TUG__PG_CHANGES_CONNECTING, /* logging in, making or starting the slot */
    TUG__PG_CHANGES_HELD,       /* the slot was made; its snapshot is valid until the first next */
    TUG__PG_CHANGES_STREAMING,
    TUG__PG_CHANGES_RESTING, /* the pause after a failure */
    TUG__PG_CHANGES_ENDED,   /* for good: end says why */
    TUG__PG_CHANGES_CLOSED,  /* by its owner */
    TUG__PG_CHANGES_STATE_MAX
} tug__pg_changes_state;

/* A message that waits for its reader, in libpq's own memory. */
typedef struct tug__pg_record {
    struct tug__pg_record *next;
    char *data;
    size_t size;
    tug__pg_pgoutput_mark mark;
} tug__pg_record;

/* Tag, start, end, time: what stands before the change itself. */
#define TUG__PG_RECORD_HEADER 25

static inline uint64_t tug__pg_record_lsn(const tug__pg_record *r)
{
    return tug__pg_get64(r->data + 1);
}

struct tug_pg_changes {
    size_t references;
    const struct tug_loop *loop;
    tug__pg_target *target;
    tug_pg_changes_options options; /* its pointers are not kept */
    char slot[TUG__PG_QUOTED_MAX];  /* with quotes */
    char *publications;             /* the list with quotes, not yet a literal */
    tug_duration connect_timeout;
    tug__pg_changes_state state;
    bool made;    /* the slot is there: made by us, or found */
    bool opened;  /* open has returned, or may */
    bool begun;   /* next was called */
    bool stopped; /* asked to stop: next says 0 */
    bool read;    /* a task is in next */
    char *snapshot;
    tug__pg_wal *wal; /* NULL: none */
    /* What came in and was not given out. */
    tug__pg_record *first, *last;
    size_t queued_bytes;
    uint64_t received_wal; /* the server's log is known up to here */
    uint64_t received_end; /* behind the last transaction that came whole */
    bool received_open;    /* the latest transaction is not whole yet */
    /* What was given out. */
    tug__pg_record *current;
    tug__pg_pgoutput decoder;
    tug_pg_change change;
    uint64_t given_end;
    bool given_open;
    bool restart_due; /* next has to say that what it gave is void */
    /* What is in safety. */
    uint64_t confirmed; /* the owner's word */
    uint64_t flushed;   /* what the server hears: beyond it where nothing came for us */
    tug_timer timer;
    tug_flush flush;
    tug_duration interval;
    tug_time heard_at, asked_at; /* asked_at 0: no word is awaited */
    tug_scope *scope;            /* of the service task */
    tug_waiters next, changed, work;
    size_t attempts;
    tug_error attempt; /* the latest one's failure; 0: it succeeded */
    bool untold;       /* next has to tell it */
    tug_error end;
    tug_time down_since;
    uint64_t outages;
    tug_stop_hook stop;
    tug_end_hook end_hook;
    tug_inspect_source source;
};

/* --- changes.c -------------------------------------------------------------------------------- */

void tug__pg_changes_set_state(tug_pg_changes *c, tug__pg_changes_state to);
void tug__pg_changes_unref(tug_pg_changes *c);
/* next and open look again. */
void tug__pg_changes_wake(tug_pg_changes *c);

/* --- feedback.c: loop stack -------------------------------------------------------------------- */

/* The hook of the connection. */
bool tug__pg_changes_message(tug__pg_wal *w, char *data, size_t n, void *arg);
/* The stream runs: tells the server how far we are, now and then and when asked. */
void tug__pg_changes_feed(tug_pg_changes *c);
void tug__pg_changes_starve(tug_pg_changes *c);
/* ask: for a word of the server's. */
void tug__pg_changes_status(tug_pg_changes *c, bool ask);
/* The oldest record; NULL: none. Any context. */
tug__pg_record *tug__pg_changes_take(tug_pg_changes *c);
void tug__pg_record_free(tug__pg_record *r);
/* The connection was lost: what did not come whole is given up. Any context. */
void tug__pg_changes_cut(tug_pg_changes *c);

/* --- changing.c ------------------------------------------------------------------------------- */

/* The service task; takes over a reference. */
int tug__pg_changes_serve(void *arg);
/* It ends for good. Any context. */
void tug__pg_changes_end(tug_pg_changes *c, const tug_error *why);

#endif
