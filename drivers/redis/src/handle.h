/* What:      a connection and all who wait on it.
 * Ownership: counted: the user's reference ends with close, the service task that connects holds one, and
 *            so does each task that waits for room.
 * Context:   the loop's thread. on_* run on the loop stack.
 * Callbacks: the transport's.
 * Errors:    why, once the state is FAILED or CLOSED. */
#ifndef TUG_REDIS_HANDLE_H
#define TUG_REDIS_HANDLE_H

#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/sys/inspect.h>
#include <tug/sys/transport.h>

#include "config.h"
#include "reader.h"

typedef enum redis_state {
    REDIS_CONNECTING, /* the service task dials; commands wait in early */
    REDIS_LOGIN,      /* AUTH, SELECT or PING are out; commands still wait in early */
    REDIS_READY,      /* commands go straight into the transport's output */
    REDIS_FAILED,     /* no connection any more, why says why; the handle waits for its close */
    REDIS_CLOSED, /* by the user or the end of the loop; the memory goes with the last reference */
    REDIS_STATE_MAX
} redis_state;

/* What lives in the future of a command. */
typedef struct redis_request {
    tug_redis *handle;
    uint64_t seq; /* its place in the queue */
    uint64_t at;  /* where its bytes start: in early, then in all that the transport was given */
    size_t size;  /* in early only */
} redis_request;

/* Commands that are not answered, in the order of their bytes: a ring of futures. A cancelled one leaves
 * NULL, the tombstone that swallows its reply; places are given out once and never again (seq counts on). */
typedef struct redis_queue {
    tug_future **ring;
    size_t mask; /* places - 1 */
    uint64_t head, tail;
} redis_queue;

typedef enum redis_login_step {
    LOGIN_AUTH,
    LOGIN_SELECT,
    LOGIN_PING, /* when there is neither: does it let us in? */
    LOGIN_STEPS
} redis_login_step;

struct tug_redis {
    redis_state state;
    unsigned refs;
    const void *thread;
    tug_transport *transport; /* LOGIN, READY */
    uint64_t written;         /* bytes given to it */
    uint64_t sent_seen;       /* of those it had sent when last asked: never too many */
    redis_queue queue;
    uint8_t *early; /* commands that wait for the login */
    size_t early_size, early_room;

    tug_waiters room; /* tasks that wait for room in the queue; slot: size_t, the bytes they need */
    size_t promised, promised_bytes; /* room given to tasks that have not run since */
    tug_waiters ready, login;
    redis_login_step steps[LOGIN_STEPS];
    unsigned n_steps, step;

    redis_pool *pool;
    redis_reader reader;
    redis_config config;
    tug_scope *connecting; /* the service task's, to cancel it */
    tug_end_hook end;
    tug_inspect_source source;
    char where[96]; /* "127.0.0.1:6379", for messages */
    tug_error why;
};

/* For tests: a handle over a connected transport, which it takes over, also on failure. url NULL: ready at once; else it logs in with what the URL says. */
int tug__redis_attach(tug_transport *t, const char *url, const tug_redis_options *o,
                      tug_redis **ret_redis);

void tug__redis_unref(tug_redis *r);
/* The calling thread is the handle's own. */
bool tug__redis_is_here(const tug_redis *r);
/* The connection ends: everything that waits settles. head: what the oldest command gets instead, or NULL. */
void tug__redis_fail(tug_redis *r, const tug_error *why, const tug_error *head);
/* Lets tasks that wait for room go on, as far as there is some. */
void tug__redis_wake_room(tug_redis *r);
bool tug__redis_has_room(tug_redis *r, size_t size);

/* The transport's callbacks come here from now on. */
int tug__redis_start(tug_redis *r, tug_transport *t) TUG_CHECK;

/* --- login.c ------------------------------------------------------------------------------------ */

/* The service task: dials, logs in. Holds a reference. */
int tug__redis_connect_task(void *arg);
/* A reply while in LOGIN. */
void tug__redis_login_reply(tug_redis *r, const tug_redis_reply *reply);

/* --- call.c ------------------------------------------------------------------------------------- */

/* An error reply as a detail. */
void tug__redis_server_error(const tug_redis *r, const tug_redis_reply *reply,
                             tug_error *ret_error);
/* A reply for the oldest command. */
void tug__redis_deliver(tug_redis *r, redis_root *root);
/* The commands that waited for the login go into the transport. false: no memory. */
bool tug__redis_send_early(tug_redis *r);
/* Every command fails with why, the oldest with head unless that is NULL; sent: what the transport sent. */
void tug__redis_fail_commands(tug_redis *r, const tug_error *why, const tug_error *head,
                              uint64_t sent);

/* "ready". */
const char *tug__redis_state_name(redis_state state);
/* What tug_inspect says of it. arg: the handle. */
void tug__redis_show(tug_inspect_writer *w, void *arg);
/* The one setter. */
void tug__redis_set_state(tug_redis *r, redis_state to);

#endif
