/* What:      TLS from the inside: the settings (tls.c, tls_config.c), the sessions they keep
 *            (tls_session.c), one connection (tls_wire.c) on its own BIO (tls_bio.c), the words for
 *            what fails (tls_error.c).
 * Ownership: a connection belongs to its wire until close and has a reference of its settings.
 * Context:   the loop's thread; what enters OpenSSL: the loop stack, or a thread for the files.
 * Callbacks: none. Errors: as <tug/tls.h> says. */
#ifndef TUG_KIT_TLS_H
#define TUG_KIT_TLS_H

#include <openssl/ssl.h>
#include <tug/sys/driver.h>
#include <tug/tls.h>

#include "kit/wire.h"

enum {
    TUG__TLS_RECORD = 16 * 1024, /* plain bytes of a record, at most */
    /* With header, padding and tag, also of the worst cipher suite of TLS 1.2. */
    TUG__TLS_SEALED = TUG__TLS_RECORD + 2048 + 5,
    TUG__TLS_IN = 48 * 1024, /* one receive */
    /* Four records and what OpenSSL says on its own go out with one send. */
    TUG__TLS_OUT = 4 * (TUG__TLS_RECORD + 512) + 1024,
    /* Sealed bytes that wait for the socket: the last send, and answers to a peer that asks for new
     * keys again and again but reads nothing. */
    TUG__TLS_HELD_MAX = 128 * 1024,
    TUG__TLS_NAME = 256,  /* a DNS name has at most 253 bytes */
    TUG__TLS_ALPN = 256,  /* on the wire, lengths included */
    TUG__TLS_REASON = 160 /* of a failure, without who it was with */
};

/* --- settings -------------------------------------------------------------------------------- */

struct tug__tls_sessions;

struct tug_tls {
    size_t refs;
    struct tug_loop *loop;
    SSL_CTX *ctx;
    char *server_name; /* NULL: the host that is connected to */
    int verify, clients;
    bool has_certificate;
    uint8_t alpn[TUG__TLS_ALPN];
    size_t alpn_size;
    tug_duration handshake_timeout;
    struct tug__tls_sessions *sessions; /* NULL: none are kept */
    tug_call ending;
    /* Bytes on their way in and out; in use during one call of a wire, so that idle connections hold
     * none. */
    uint8_t in[TUG__TLS_IN];
    uint8_t out[TUG__TLS_OUT];
};

/* What is built on a thread: all strings are its own. */
struct tug__tls_build {
    char *ca_file, *ca_dir, *certificate_file, *key_file, *key_password;
    bool system_authorities;
    int min_version, clients;
    SSL_CTX *ctx; /* out */
    size_t bytes; /* read so far, of authorities */
    bool asked_password;
};

/* On a thread: reads and checks. The detail is set. */
int tug__tls_build(struct tug__tls_build *b);

/* Frees t, whose last reference has gone: on the loop stack. */
void tug__tls_reap(void *t);

/* --- connections ----------------------------------------------------------------------------- */

struct tug__tls {
    struct tug__wire *wire; /* NULL: closed, and about to be freed */
    tug_tls *tls;
    SSL *ssl;
    int fd;
    bool is_server, is_done; /* the handshake is */
    bool is_ended;           /* the peer's direction: end says how */
    bool is_shut;            /* we have sent close_notify */
    bool is_whole;           /* closed with nothing unsent */
    bool has_failed;         /* its session is no good either */
    bool is_late;            /* no handshake within the time */
    bool saw_eof;
    uint8_t first_byte; /* that ever came: what speaks no TLS shows by it; 0: none yet */
    int end;
    int receive_error, send_error; /* errno of the socket */
    const uint8_t *in;             /* in the settings' buffer */
    size_t in_left;
    size_t out_used; /* of the settings' buffer */
    uint8_t *held;   /* held[held_start .. held_end) the socket did not take */
    size_t held_start, held_end, held_size;
    /* What verification found, at the first certificate that is no good. */
    int verify_error;
    char verify_subject[80];
    char verify_date[24];

    int code; /* of the failure, and its words */
    bool transient;
    char native[16];
    char reason[TUG__TLS_REASON];

    tug_timer patience;
    tug_call closing;
    tug_tls_info info;
    char name[TUG__TLS_NAME];    /* that the certificate must be for; "" if none */
    char key[TUG__TLS_NAME + 8]; /* of the session: name:port; "" if none */
};

/* Puts TLS onto a connected wire, whose handshake is then to be made. After a failure the wire is as it
 * was. */
int tug__tls_open(struct tug__wire *w, tug_tls *tls, bool is_server, const char *name,
                  const char *port);
/* NULL: there is no TLS on this wire, or its handshake is not over. */
const tug_tls_info *tug__tls_info(const struct tug__wire *w);

/* --- the BIO --------------------------------------------------------------------------------- */

/* Both directions of c's socket. NULL: out of memory. */
BIO *tug__tls_bio_new(struct tug__tls *c);
/* Sends what OpenSSL has written; what the socket does not take is held. Never fails: an error is noted
 * in c. */
void tug__tls_push(struct tug__tls *c);
static inline size_t tug__tls_held(const struct tug__tls *c)
{
    return c->held_end - c->held_start;
}

/* --- sessions -------------------------------------------------------------------------------- */

/* most: servers. TUG_ENOMEM. */
int tug__tls_sessions_new(size_t most, struct tug__tls_sessions **ret_sessions);
void tug__tls_sessions_free(struct tug__tls_sessions *s);
/* Takes over a reference of the session, if it returns true. */
bool tug__tls_sessions_put(struct tug__tls_sessions *s, const char *key, SSL_SESSION *session);
/* The latest one, which is the caller's; NULL: none. */
SSL_SESSION *tug__tls_sessions_take(struct tug__tls_sessions *s, const char *key);

/* --- words ----------------------------------------------------------------------------------- */

/* False: what came first cannot be the start of a record. */
bool tug__tls_is_spoken(const struct tug__tls *c);
/* Notes why a call on c->ssl failed. is_handshake: it had not ended. Returns the code. */
int tug__tls_failed(struct tug__tls *c, int ssl_error);
int tug__tls_failed_with(struct tug__tls *c, int code, const char *format, ...) TUG_PRINTF(3, 4);
/* The first of OpenSSL's errors on this thread as words, for files: borrowed. */
const char *tug__tls_words(void);

#endif
