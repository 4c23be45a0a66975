/* What:      a listener from the inside. listen.c: what users call; listening.c: the service task
 *            that connects, subscribes, checks and connects again.
 * Ownership: reference counted: the handle, the service task and who is inside of a call.
 * Context:   the loop's thread. Callbacks: none. Errors: by tug_fail. */
#ifndef TUG_PG_LISTENER_H
#define TUG_PG_LISTENER_H

#include <tug/pg_listen.h>
#include <tug/scope.h>
#include <tug/sys/inspect.h>

#include "connection.h"
#include "login.h"
#include "mailbox.h"
#include "quote.h"

typedef enum tug__pg_listener_state {
    TUG__PG_LISTENER_CONNECTING, /* logging in, subscribing */
    TUG__PG_LISTENER_LIVE,       /* hears all that is to be heard */
    TUG__PG_LISTENER_RESTING,    /* the pause after a failure */
    TUG__PG_LISTENER_CLOSED,     /* by its owner; the service task is at its end */
    TUG__PG_LISTENER_STATE_MAX
} tug__pg_listener_state;

typedef struct tug__pg_channel {
    size_t adders;   /* tasks that wait until it is heard */
    bool wanted;     /* what the owner says */
    bool heard;      /* what the server knows, on this connection */
    bool under_way;  /* a LISTEN or UNLISTEN is not answered yet */
    bool confirmed;  /* some add or listen has succeeded: no failure takes it away again */
    tug_error error; /* why the adders fail */
    char sql[TUG__PG_QUOTED_MAX + 16];
    char name[TUG__PG_NAME_MAX + 1];
} tug__pg_channel;

struct tug_pg_listener {
    size_t references;
    const struct tug_loop *loop;
    tug__pg_target *target;
    tug_pg_listen_options options;
    tug_duration connect_timeout;
    tug__pg_listener_state state;
    bool stopped;               /* asked to stop: next says 0 */
    bool read;                  /* a task is in next */
    tug__pg_channel **channels; /* by name */
    size_t channels_n, channels_room;
    tug__pg_mailbox box;
    tug__pg_mail *current; /* given out last */
    tug__pg_texts texts;
    tug__pg_connection *connection;      /* NULL: none */
    tug_scope *scope;                    /* of the service task */
    tug_waiters next;                    /* one task at most */
    tug_waiters changed;                 /* listen and add: look again */
    tug_waiters work;                    /* the service task: look again */
    size_t attempts;                     /* that ended */
    tug_error attempt;                   /* the latest one's failure; 0: it succeeded */
    bool untold;                         /* next has to tell it */
    struct tug_timestamp complete_until; /* what was sent before it has come */
    tug_time answered_at;                /* the same on the loop's clock */
    tug_time heard_at;                   /* the latest notification came */
    tug_time down_since;
    uint64_t received, outages;
    tug_stop_hook stop;
    tug_end_hook end;
    tug_inspect_source source;
};

/* --- listen.c --------------------------------------------------------------------------------- */

void tug__pg_listener_set_state(tug_pg_listener *l, tug__pg_listener_state to);
void tug__pg_listener_unref(tug_pg_listener *l);
/* The place of a name, where it is or would be. */
size_t tug__pg_listener_place(const tug_pg_listener *l, const char *name, bool *ret_found);
/* Nobody needs it any more. */
void tug__pg_listener_drop_channel(tug_pg_listener *l, tug__pg_channel *ch);
/* Something came into the mailbox, or may be given out now. */
void tug__pg_listener_deliver(tug_pg_listener *l);
/* An attempt to connect ended; NULL: it succeeded. */
void tug__pg_listener_attempted(tug_pg_listener *l, const tug_error *why);

/* --- listening.c ------------------------------------------------------------------------------ */

/* The service task; takes over a reference. */
int tug__pg_listener_serve(void *arg);

#endif
