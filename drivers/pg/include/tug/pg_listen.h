/* What:      PostgreSQL's LISTEN and NOTIFY: a listener that stays, over lost connections too, and
 *            says what it may have missed.
 * Ownership: tug_pg_listener is yours until tug_pg_listener_close. A notification is borrowed until
 *            the next call of tug_pg_listener_next, or the close.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    TUG_EINVAL (a channel's name), TUG_EMISUSE, what connecting fails with, TUG_ESERVER for
 *            a LISTEN that the server refuses, TUG_ECLOSED after close, TUG_ECANCELED. */
#ifndef TUG_PG_LISTEN_H
#define TUG_PG_LISTEN_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Hears several channels over one connection of its own: beside the pool's, none of which it takes
 * or counts against. It lives on when the pool is closed. A pooler in transaction mode (PgBouncer)
 * does not carry LISTEN: give it the server's own address. */
typedef struct tug_pg_listener tug_pg_listener;

enum {
    TUG_PG_NOTIFICATION, /* channel, payload, sender */
    TUG_PG_LOST          /* between the one before and the one behind it some may be missing */
};

typedef struct tug_pg_notification {
    int kind; /* TUG_PG_NOTIFICATION, TUG_PG_LOST */
    /* TUG_PG_NOTIFICATION: payload ends with 0 and has payload_size bytes; "" if none was given.
     * sender: process id of the backend that sent it, to know one's own by. */
    const char *channel;
    const char *payload;
    size_t payload_size;
    int sender;
    /* TUG_PG_LOST: dropped notifications were discarded because the queue was full. And outages
     * times the connection was lost: what was sent between since and until (this machine's clock)
     * may not have come, what was sent before or after has; since is when the latest question that the
     * server answered was sent (check_after ago at most), until is when all channels were listened to
     * again. What the notifications tell of has to be looked at anew. */
    uint64_t dropped;
    uint64_t outages;
    struct tug_timestamp since, until;
} tug_pg_notification;

typedef struct tug_pg_listen_options {
    size_t size;
    /* Notifications that wait for tug_pg_listener_next, 1 to 1,000,000; 16,384. And their bytes,
     * 64 KiB to 1 GiB; 16 MiB. Beyond, the oldest are dropped, counted and reported as TUG_PG_LOST. The
     * alternative, not to read, would hold up the server's one queue for all its databases. */
    size_t max_queued;
    size_t max_queued_bytes;
    /* So long after the last question and answer the connection is checked by another, ns, 1 ms or more,
     * TUG_FOREVER: never; 30 s. And the time for the answer, or for a notification before it, ns, 1 ms or
     * more; 10 s: without one the connection is lost. */
    tug_duration check_after;
    tug_duration check_timeout;
    /* The pause after the first connect that failed, ns, more than 0; 100 ms. It doubles with each
     * further one, with jitter, up to the longest, ns, not less than the first; 10 s. */
    tug_duration backoff_first;
    tug_duration backoff_most;
    /* How long an outage may last before tug_pg_listener_next fails with the latest connect error,
     * ns, 0 or more; TUG_FOREVER: it waits. */
    tug_duration patience;
} tug_pg_listen_options;
#define TUG_PG_LISTEN_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(tug_pg_listen_options), 16384, (size_t)16 << 20, TUG_SECONDS(30), TUG_SECONDS(10),  \
            TUG_MS(100), TUG_SECONDS(10), TUG_FOREVER                                              \
    }

/* Connects and listens to n channels (0 is fine): what is sent after it returned is heard. pool: a
 * handle from tug_pg_open, whose target is connected to. Channels are names as they are, case
 * matters, 1 to 63 bytes of UTF-8. o NULL: the defaults. Fails with the first attempt that failed on
 * all addresses. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_listen(tug_pg *pool, const char *const *channels, size_t n,
                                          const tug_pg_listen_options *o,
                                          tug_pg_listener **ret_listener);
/* One more channel: what is sent after it returned 0 is heard. Waits while the connection is down.
 * One that is listened to already is fine. After a failure or a cancel it is not listened to.
 * TUG_ELIMIT beyond 10,000. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_listener_add(tug_pg_listener *l, const char *channel) TUG_CHECK;
/* From now on next gives none of this channel, those that wait in the queue included. TUG_ENOTFOUND:
 * it was not listened to. */
TUG_EXPORT int tug_pg_listener_remove(tug_pg_listener *l, const char *channel);

/* 1: the next notification, or the word that some are missing. 0: the program was asked to stop;
 * what waits is not given any more. < 0: a failure; after one of connecting (of the kind that
 * waiting does not cure, a refused login, or beyond patience) the listener goes on trying, and so may
 * the caller. One task at a time: TUG_EMISUSE. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_listener_next(
    tug_pg_listener *l, const tug_pg_notification **ret_notification) TUG_CHECK;
/* Who waits gets TUG_ECLOSED. Never suspends. NULL is fine. */
TUG_EXPORT void tug_pg_listener_close(tug_pg_listener *l);
TUG_AUTO_FN(tug_pg_listener, tug_pg_listener_close)

/* Sends a notification: on a pool or a session at once, on a transaction when it commits. Equal ones
 * of one transaction arrive once. payload NULL: "". The server's limit is 7,999 bytes (TUG_ESERVER,
 * 22023). */
TUG_SUSPENDS TUG_EXPORT int tug_pg_notify(tug_pg *db, const char *channel,
                                          const char *payload) TUG_CHECK;
/* Its outcome is the future's own code: there is nothing to take. */
TUG_EXPORT tug_future *tug_pg_notify_start(tug_pg *db, const char *channel, const char *payload);

#ifdef __cplusplus
}
#endif
#endif
