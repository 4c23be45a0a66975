/* What:      codes and the detail that travels with them.
 * Ownership: tug_error is a plain value: copy it. tug_last_error() is borrowed until the next failure.
 * Context:   any thread. The detail is kept per task; in a watch callback it is that callback's own;
 *            outside both it is the thread's.
 * Callbacks: none.
 * Errors:    this is where they are defined. */
#ifndef TUG_ERROR_H
#define TUG_ERROR_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define TUG_ERRORS(X) \
    X(TUG_ECANCELED, -10001, "cancelled")                                        /* by the caller's own scope, never by others */ \
    X(TUG_ETIMEDOUT, -10002, "timed out")                                        /* a deadline that the caller set itself */ \
    X(TUG_EDROPPED,  -10003, "the operation was cancelled by somebody else") \
    X(TUG_ECLOSED,   -10004, "closed") \
    X(TUG_EMISUSE,   -10005, "misuse") \
    X(TUG_EINVAL,    -10006, "invalid argument") \
    X(TUG_ERANGE,    -10007, "out of range") \
    X(TUG_ETYPE,     -10008, "wrong type") \
    X(TUG_ENULL,     -10009, "unexpected NULL") \
    X(TUG_ENOTFOUND, -10010, "not found")                                        /* no row, nil reply, empty queue */ \
    X(TUG_ETOOMANY,  -10011, "more than one") \
    X(TUG_ELIMIT,    -10012, "limit exceeded") \
    X(TUG_ENOMEM,    -10013, "out of memory") \
    X(TUG_EAUTH,     -10014, "authentication failed") \
    X(TUG_ECONNECT,  -10015, "cannot connect") \
    X(TUG_ESERVER,   -10016, "the server reported an error")                     /* native code in the detail */ \
    X(TUG_EPROTO,    -10017, "protocol violation") \
    X(TUG_ENACK,     -10018, "refused by the broker") \
    X(TUG_EREJECT,   -10019, "rejected")
/* clang-format on */

enum {
#define TUG__ERROR_ENUM(name, code, text) name = (code),
    TUG_ERRORS(TUG__ERROR_ENUM)
#undef TUG__ERROR_ENUM
    /* -20000 to -29999 are the application's. */
    TUG_EUSER = -20000
};
/* -1 to -4095 are -errno. They come only from streams, files, processes and offload, and are never
 * -ETIMEDOUT, -ECANCELED or -ENOMEM: those have codes above. */

/* Where an error came from. */
enum {
    TUG_ORIGIN_TUG,
    TUG_ORIGIN_OS,
    TUG_ORIGIN_TLS,
    TUG_ORIGIN_LIBPQ,
    TUG_ORIGIN_SERVER,
    TUG_ORIGIN_CODEC
};

/* How far the operation got when it failed. */
enum {
    TUG_NOT_SENT,  /* nothing left this process: safe to retry */
    TUG_IN_FLIGHT, /* sent, not answered: the outcome is unknown */
    TUG_ANSWERED   /* the server said no */
};

typedef struct tug_error {
    int code;        /* a TUG_E* constant, -errno, or the application's; 0: no error */
    uint8_t origin;  /* TUG_ORIGIN_* */
    uint8_t sent;    /* TUG_NOT_SENT, TUG_IN_FLIGHT, TUG_ANSWERED */
    bool transient;  /* worth a retry as it is: SQLSTATE 40001 was answered and is */
    char native[16]; /* SQLSTATE, errno, AMQP reply code, Redis' first word; "" if none */
    char text[240];  /* one line, no secret, no trailing newline */
} tug_error;

/* The detail of the latest failure of this task (callback, thread). It counts only if its code is
 * the code that was returned. Never NULL. Success, close and clean-up never touch it. */
TUG_EXPORT const tug_error *tug_last_error(void);
/* Sets the detail (origin tug, not sent) and returns code. code < 0. */
TUG_EXPORT int tug_fail(int code, const char *format, ...) TUG_PRINTF(2, 3);
#ifdef __clang_analyzer__
/* So that static analysis knows what comes back, here and in users' code. */
#define tug_fail(code, ...) ((tug_fail)((code), __VA_ARGS__), (code))
#endif
/* Sets the detail to a copy of *error and returns its code. */
TUG_EXPORT int tug_fail_with(const tug_error *error);
/* "TUG_ECLOSED", "ECONNREFUSED", "TUG_EUSER-1"; any int. Static or per-thread text, never NULL. */
TUG_EXPORT const char *tug_error_name(int code);
/* The sentence for a code: "closed". */
TUG_EXPORT const char *tug_error_text(int code);

#ifdef __cplusplus
}
#endif
#endif
