/* What:      Redis and Valkey: commands that many tasks send over one connection. What is asked for in one
 *            turn of the loop leaves in one write (automatic pipelining).
 * Ownership: tug_redis is yours: close. A reply is yours: unref; its texts and elements are borrowed from
 *            it and outlive the handle.
 * Context:   a handle and its replies belong to the loop they were made on. Calls and ready: task only;
 *            open, start, take, close and the accessors: any context of the loop.
 * Callbacks: none.
 * Errors:    TUG_ESERVER with the server's word (WRONGTYPE, NOSCRIPT) in native; transient for LOADING,
 *            TRYAGAIN, BUSY, CLUSTERDOWN, MASTERDOWN. TUG_EAUTH: NOAUTH, WRONGPASS. A lost connection ends the handle:
 *            TUG_ECLOSED with the cause for all that waits (sent says how far it got) and for every
 *            later call; a first connect that failed: its own code (TUG_ECONNECT, TUG_EAUTH, ...). A
 *            reply over a limit or against the protocol: TUG_ELIMIT or TUG_EPROTO for the command whose
 *            reply it was, TUG_ECLOSED for the others. */
#ifndef TUG_REDIS_H
#define TUG_REDIS_H

#include <tug/future.h>
#include <tug/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_redis tug_redis;
typedef struct tug_redis_reply tug_redis_reply;

typedef struct tug_redis_options {
    size_t size;
    tug_duration
        connect_timeout; /* look-up, all addresses and login together, ns, 1 ms to 1 day; 10 s.
                                     The URL's connect_timeout (seconds) goes before it */
    size_t max_queued;   /* commands not answered yet, 1 to 2^24; 65,536 */
    size_t max_unsent;   /* their bytes that the system has not taken yet, 1 KiB to 4 GiB; 64 MiB.
                                     A single command over it is refused at once */
    size_t max_bulk; /* bytes of one string in a reply, 1 KiB to 1 GiB; 512 MiB, as the server */
    size_t max_elements; /* elements of one reply, nested ones counted, 1 to 2^30; 1,048,576 */
    size_t max_reply;    /* bytes of one reply on the wire, 1 KiB to 2^40; 1 GiB */
    unsigned max_depth;  /* arrays in arrays, 1 to 32; 32. hiredis before 1.0 ends at 8 */
} tug_redis_options;
#define TUG_REDIS_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(tug_redis_options), TUG_SECONDS(10), 65536, (size_t)64 << 20, (size_t)512 << 20,    \
            (size_t)1 << 20, (size_t)1 << 30, 32                                                   \
    }

/* Checks the URL and connects in the background; does not suspend. o NULL: the defaults.
 *   redis://[[user]:password@][host][:port][/database][?connect_timeout=seconds]  127.0.0.1, 6379, 0
 *   unix://[[user]:password@]/path/of/socket[?db=database]          or redis+unix://, redis-socket://
 * rediss:// (TLS) is refused for now. TUG_EINVAL names the part that is wrong, never the password. */
TUG_EXPORT int tug_redis_open(const char *url, const tug_redis_options *o, tug_redis **ret_redis);
/* Waits for the first login (0) or the first attempt that failed. Later: whether the handle still works. */
TUG_SUSPENDS TUG_EXPORT int tug_redis_ready(tug_redis *r) TUG_CHECK;
/* Never suspends. What waits gets TUG_ECLOSED. r is gone after it; NULL is fine. */
TUG_EXPORT void tug_redis_close(tug_redis *r);
TUG_AUTO_FN(tug_redis, tug_redis_close)

/* A command: TUG_ARGS("SET", key, value, "EX", 300). Numbers are sent as decimal text, bool as 1 or 0;
 * a NULL is TUG_EINVAL with the number of the argument. Commands issued before the login wait for it.
 * Commands that change the connection, take it over or block it are TUG_EMISUSE, since other tasks
 * share it: SUBSCRIBE and its kin, MONITOR, MULTI, EXEC, WATCH, SELECT, AUTH, HELLO, RESET, QUIT,
 * CLIENT REPLY, SCRIPT DEBUG, BLPOP and its kin, XREAD with BLOCK, WAIT.
 * A cancelled call leaves the connection as it is: its reply is swallowed. ret_reply may be NULL. */
TUG_SUSPENDS TUG_EXPORT int tug_redis_call(tug_redis *r, tug_args command,
                                           tug_redis_reply **ret_reply);
/* The same, with the one value of the reply: tug_redis_call_one(r, TUG_ARGS("GET", key), TUG_OUT(&n)).
 * A nil reply is TUG_ENOTFOUND unless the place is TUG_NULLABLE. An array fills as many places as it has
 * elements (TUG_ETYPE if the numbers differ). Borrowed places (const char *, struct tug_bytes) are
 * TUG_EMISUSE: the reply is gone when this returns. */
TUG_SUSPENDS TUG_EXPORT int tug_redis_call_one(tug_redis *r, tug_args command, tug_out out);
/* Does not wait: a full queue is TUG_ELIMIT. The command is encoded before this returns. */
TUG_EXPORT tug_future *tug_redis_call_start(tug_redis *r, tug_args command);
/* Moves the reply out, once. */
TUG_EXPORT int tug_redis_reply_take(tug_future *f, tug_redis_reply **ret_reply) TUG_CHECK;

/* --- replies ------------------------------------------------------------------------------------ */

enum {
    TUG_REDIS_NIL,
    TUG_REDIS_INTEGER,
    TUG_REDIS_TEXT,   /* any bytes: what GET returns */
    TUG_REDIS_STATUS, /* "OK" */
    TUG_REDIS_ERROR,  /* only inside arrays: as a reply of its own it is the call's failure */
    TUG_REDIS_ARRAY
};

/* One owner more; returns reply. Not for elements. */
TUG_EXPORT tug_redis_reply *tug_redis_reply_ref(tug_redis_reply *reply);
/* NULL is fine. Returns NULL. Not for elements. */
TUG_EXPORT tug_redis_reply *tug_redis_reply_unref(tug_redis_reply *reply);
TUG_AUTO_FN(tug_redis_reply, tug_redis_reply_unref)

/* TUG_REDIS_*. */
TUG_EXPORT int tug_redis_reply_type(const tug_redis_reply *reply);
TUG_EXPORT bool tug_redis_reply_is_null(const tug_redis_reply *reply);
TUG_EXPORT bool tug_redis_reply_is_error(const tug_redis_reply *reply);
/* The bytes of a text, status or error, borrowed, with a 0 behind them; of anything else: none. */
TUG_EXPORT struct tug_bytes tug_redis_reply_bytes(const tug_redis_reply *reply);
/* The same as a C string; NULL if it is not text, status or error. */
TUG_EXPORT const char *tug_redis_reply_text(const tug_redis_reply *reply);
/* An integer, or a text that is one. TUG_ENULL, TUG_ETYPE, TUG_ERANGE. */
TUG_EXPORT int tug_redis_reply_integer(const tug_redis_reply *reply, int64_t *ret_integer);
/* How many elements an array has; 0 for anything else. */
TUG_EXPORT size_t tug_redis_reply_count(const tug_redis_reply *reply);
/* The i-th element, borrowed; NULL beyond the last. */
TUG_EXPORT const tug_redis_reply *tug_redis_reply_at(const tug_redis_reply *reply, size_t i);
/* As tug_redis_call_one does; borrowed places are allowed and live as long as the reply. */
TUG_EXPORT int tug_redis_reply_scan(const tug_redis_reply *reply, tug_out out);

#ifdef __cplusplus
}
#endif
#endif
