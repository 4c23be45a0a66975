/* What:      TLS settings that connections share: authorities, certificate and key, sessions to resume.
 * Ownership: reference counted; connections hold their own reference. Options are copied by new.
 * Context:   new, handshake: task only (files are read on a thread of tug_offload). The rest: any context of
 *            the loop that made it.
 * Callbacks: none.
 * Errors:    new: TUG_EINVAL (an option, what a file holds), -errno (a file cannot be read), TUG_ELIMIT (too
 *            large), TUG_ENOMEM, TUG_ECANCELED. A handshake fails with TUG_EAUTH (who the other side is
 *            could not be proved, to us or to it), TUG_EPROTO (no TLS, no common version) or TUG_ECLOSED
 *            (it went away); reads with TUG_EPROTO when the peer ends without close_notify, for then
 *            nobody knows whether something was cut off. Origin: TUG_ORIGIN_TLS; native: the reason's number. */
#ifndef TUG_TLS_H
#define TUG_TLS_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_tls tug_tls;

/* What a client proves about the server. */
enum {
    TUG_TLS_VERIFY_FULL,  /* the chain up to a trusted authority, the dates, and the name */
    TUG_TLS_VERIFY_CHAIN, /* all but the name: any server of these authorities will do */
    TUG_TLS_VERIFY_NONE /* nothing: whoever sits in between reads and writes all. Logged as a warning */
};

/* What a server asks of its clients. */
enum {
    TUG_TLS_CLIENTS_ANY,     /* no certificate */
    TUG_TLS_CLIENTS_ASKED,   /* a certificate that is shown must be good, none is fine */
    TUG_TLS_CLIENTS_VERIFIED /* only those with a good one get in */
};

enum {
    TUG_TLS_1_2 = 12,
    TUG_TLS_1_3 = 13
};

typedef struct tug_tls_options {
    size_t size;
    /* PEM file of the authorities to trust, up to 16 MiB; and a directory of such files (*.pem, *.crt, *.cer,
     * names of `openssl rehash`). They replace the system's, which are trusted if both are NULL. */
    const char *ca_file;
    const char *ca_dir;
    /* PEM file of our own certificate, followed by those between it and the authority, up to 1 MiB; NULL:
     * none. A server needs one, a client where the server asks for it. */
    const char *certificate_file;
    /* PEM file of its key, up to 1 MiB; NULL: in certificate_file. */
    const char *key_file;
    /* Of an encrypted key; copied, used once and wiped. NULL: an encrypted key is refused. */
    const char *key_password;
    /* The name or address that the server's certificate must be for, and that is told to it (SNI); NULL: the
     * host that is connected to. */
    const char *server_name;
    /* As a client: TUG_TLS_VERIFY_*; TUG_TLS_VERIFY_FULL. */
    int verify;
    /* As a server: TUG_TLS_CLIENTS_*; TUG_TLS_CLIENTS_ANY. The others need ca_file or ca_dir. */
    int clients;
    /* TUG_TLS_1_2 or TUG_TLS_1_3; TUG_TLS_1_2. */
    int min_version;
    /* Application protocols, the preferred first: "h2,http/1.1", each 1 to 63 bytes, 255 in all; NULL: none. */
    const char *alpn;
    /* Servers (host and port) whose latest sessions are kept, so that the next connection to them skips the
     * costly half of the handshake, 0 to 1,024; 64. */
    size_t sessions;
    /* As a server: how long a client may take for its handshake, ns, 1 ms or more; 10 s. Clients go by the
     * deadline of who connects. */
    tug_duration handshake_timeout;
} tug_tls_options;
#define TUG_TLS_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(tug_tls_options), NULL, NULL, NULL, NULL, NULL, NULL, TUG_TLS_VERIFY_FULL,          \
            TUG_TLS_CLIENTS_ANY, TUG_TLS_1_2, NULL, 64, TUG_SECONDS(10)                            \
    }

/* Reads the files and checks that they fit. One of these serves clients and servers. o NULL: the defaults. */
TUG_SUSPENDS TUG_EXPORT int tug_tls_new(const tug_tls_options *o, tug_tls **ret_tls) TUG_CHECK;
TUG_EXPORT tug_tls *tug_tls_ref(tug_tls *tls);
/* NULL is fine. Returns NULL. */
TUG_EXPORT tug_tls *tug_tls_unref(tug_tls *tls);
TUG_AUTO_FN(tug_tls, tug_tls_unref)

/* What the two sides of a connection agreed on: a plain value. */
typedef struct tug_tls_info {
    size_t size;
    int version;      /* TUG_TLS_1_2 or TUG_TLS_1_3 */
    bool is_resumed;  /* by a session of an earlier connection */
    bool is_verified; /* the peer has shown a certificate, and its chain (for a server in
                         TUG_TLS_VERIFY_FULL its name too) was found good */
    char cipher[48];
    char alpn[64];     /* "" if none was agreed on */
    char subject[256]; /* of the peer's certificate, "CN=joe,O=Bank" (RFC 2253); "" if it has shown
                          none, or if it is longer: go by fingerprint then */
    uint8_t fingerprint[32]; /* SHA-256 of the peer's certificate; zero if it has shown none */
} tug_tls_info;
#define TUG_TLS_INFO_INIT                                                                          \
    {                                                                                              \
        sizeof(tug_tls_info), 0, false, false, "", "", "",                                         \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

struct tug_stream; /* <tug/stream.h> */

/* Waits until the handshake is over. What was connected to has it behind it, and reads and writes of an
 * accepted stream wait for it by themselves: this is for who wants to know the peer before. */
TUG_SUSPENDS TUG_EXPORT int tug_stream_handshake(struct tug_stream *s) TUG_CHECK;
/* False: there is no TLS, its handshake is not over, or the connection has ended. */
TUG_EXPORT bool tug_stream_tls_info(const struct tug_stream *s, tug_tls_info *ret_info);

#ifdef __cplusplus
}
#endif
#endif
