/* What:      one connection to the broker: login, heartbeats, the table of its channels, goodbye.
 * Ownership: embedded in the handle, which its service task keeps alive while the connection is not closed.
 * Context:   the loop's thread; what decodes runs on the loop's stack.
 * Callbacks: tug__amqp_conn_opened, _blocked, _room and _lost of handle.h.
 * Errors:    a failure ends the connection and with it the handle, by tug__amqp_conn_fail. */
#ifndef TUG_AMQP_CONN_H
#define TUG_AMQP_CONN_H

#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <tug/sys/transport.h>

#include "codec.h"
#include "frame.h"

/* What the functions called by the parser return once the connection has ended: stop parsing. */
#define TUG__AMQP_STOP 1

typedef enum tug__amqp_conn_state {
    TUG__AMQP_IDLE,     /* nobody has needed it yet */
    TUG__AMQP_DIALING,  /* its service task resolves and connects */
    TUG__AMQP_GREETING, /* "AMQP0091" sent, connection.start awaited */
    TUG__AMQP_LOGIN,    /* start-ok with user and password sent, connection.tune awaited */
    TUG__AMQP_VHOST,    /* tune-ok and open sent, open-ok awaited */
    TUG__AMQP_OPEN,     /* channels may be opened */
    TUG__AMQP_CLOSING,  /* close sent, close-ok awaited for CONN_GOODBYE at most */
    TUG__AMQP_CLOSED,   /* for good */
    TUG__AMQP_STATE_MAX
} tug__amqp_conn_state;

struct tug__amqp_channel;

typedef struct tug__amqp_conn {
    struct tug_amqp *mq;
    tug__amqp_conn_state state;
    int fd; /* tests: a connected socket to use instead of dialing; -1: none */
    tug_transport *transport;
    tug__amqp_frames frames;
    amqp_pool_t pool;                    /* decoded methods and properties, until the next one */
    struct tug__amqp_channel **channels; /* by number; NULL where none is */
    size_t n_channels;
    uint16_t next_channel; /* where the search for a free number begins */
    uint16_t channel_max;  /* these three: as agreed with the broker */
    uint32_t frame_max;
    tug_duration heartbeat; /* 0: none */
    tug_time deadline;      /* of the login */
    tug_time last_sent;
    tug_time heard;  /* nothing can have been heard before: login, end of a pause */
    unsigned pauses; /* who wants nothing to be read */
    bool is_blocked; /* connection.blocked came */
    tug_timer timer; /* login, heartbeat or goodbye, by state */
    tug_scope *dial_scope;
    tug_waiters ended; /* the service task waits here */
} tug__amqp_conn;

void tug__amqp_conn_init(tug__amqp_conn *c, struct tug_amqp *mq);
/* IDLE to DIALING: spawns the service task. */
int tug__amqp_conn_start(tug__amqp_conn *c) TUG_CHECK;
/* Ends it now: why becomes the cause of the handle's end. Not called on a closed one. */
void tug__amqp_conn_fail(tug__amqp_conn *c, const tug_error *why);
/* The same with a sentence: "amqp host:port: ...". */
void tug__amqp_conn_failf(tug__amqp_conn *c, int code, int origin, const char *native,
                          const char *format, ...) TUG_PRINTF(5, 6);
/* From any state to CLOSED, without a word to anybody. */
void tug__amqp_conn_end(tug__amqp_conn *c);
/* Says goodbye, in the background, if there is anybody to say it to. */
void tug__amqp_conn_close(tug__amqp_conn *c);
/* Puts a method into the output. room: bytes that its encoded arguments need at most. Out of
 * memory fails the connection; true: sent. */
bool tug__amqp_conn_send(tug__amqp_conn *c, uint16_t channel, amqp_method_number_t method,
                         const void *arguments, size_t room);
/* The same for a frame that is encoded already: its channel number is filled in. */
bool tug__amqp_conn_send_frame(tug__amqp_conn *c, uint16_t channel, uint8_t *frame, size_t size);
/* Reads nothing until everybody who paused has resumed. */
void tug__amqp_conn_pause(tug__amqp_conn *c, bool paused);

/* login.c: a method on channel 0. What the parser's callbacks return. */
int tug__amqp_login_method(tug__amqp_conn *c, amqp_method_number_t method, const void *decoded);
/* The stream has begun: greets. */
void tug__amqp_login_begin(tug__amqp_conn *c);
/* "open". */
const char *tug__amqp_conn_state_name(tug__amqp_conn_state state);
/* The one place where the state changes. */
void tug__amqp_conn_set_state(tug__amqp_conn *c, tug__amqp_conn_state state);
void tug__amqp_conn_arm(tug__amqp_conn *c);

#endif
