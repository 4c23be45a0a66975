/* What:      certificates of a little authority of the test's own, a pair of transports that speak TLS with
 *            a wire in between that can be cut and counted, and a blocking OpenSSL peer on a thread.
 * Ownership: files lie in a directory that goes with the process. The rest as stated.
 * Context:   pair: a TASK_TEST; peer: a LIVE_TEST. Callbacks: none. Errors: fail the test. */
#ifndef TUG_TESTS_TLS_RIG_H
#define TUG_TESTS_TLS_RIG_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <tug/sys/tls.h>

#include "test.h"

/* --- certificates ------------------------------------------------------------------------------ */

enum {
    RIG_DAY = 24 * 3600
};

typedef struct rig_certificate {
    const char *file;    /* NAME.pem in the directory: certificate, then key */
    const char *subject; /* CN */
    const char *names;   /* "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *issuer;  /* file of the authority; NULL: self-signed */
    bool is_authority;
    long from, to;        /* seconds from now */
    const char *password; /* of the key; NULL: not encrypted */
} rig_certificate;

/* The path of a file in the directory; static storage, 64 at a time. */
const char *rig_path(const char *file);
void rig_make(const rig_certificate *c);
/* ca, server (localhost, 127.0.0.1, ::1), client, expired, early, other_ca, stranger (server of other_ca),
 * selfsigned, each as NAME.pem. */
void rig_make_all(void);
void rig_write(const char *file, const void *data, size_t size);
/* Trusts ca.pem. */
tug_tls_options rig_client_options(void);
/* Shows server.pem. */
tug_tls_options rig_server_options(void);
tug_tls *rig_tls(const tug_tls_options *o);

/* --- a pair ------------------------------------------------------------------------------------ */

typedef struct rig_end {
    tug_transport *t;
    char *data; /* what came */
    size_t size, room;
    bool eof, ended, has_room;
    tug_error why;
    int rooms;
} rig_end;

typedef struct rig_pair {
    rig_end client, server;
    int client_wire, server_wire; /* the other ends of their sockets; -1: closed */
    size_t to_server, to_client;  /* bytes that went over */
    size_t data_records;          /* from the client, of application data */
    size_t skip;                  /* inside a record: bytes until the next header */
    uint8_t header[5];
    size_t header_size;
} rig_pair;

/* Both ends connected by nothing yet; the client waits for rig_shake, the server is started. */
void rig_open(rig_pair *p, tug_tls *client, tug_tls *server, const char *name);
/* Moves up to step bytes at a time, and at most most bytes in all, both ways, until nothing moves. */
void rig_pump(rig_pair *p, size_t step, size_t most);
/* The client's handshake, with the pump beside it; starts the client when it succeeded. */
int rig_shake(rig_pair *p, tug_tls *client, const char *name, size_t step, size_t most);
/* open, shake and one byte each way, so that the sessions have arrived. */
void rig_connect(rig_pair *p, tug_tls *client, tug_tls *server, const char *name);
void rig_close(rig_pair *p);
void rig_say(rig_end *e, const char *text);
void rig_heard(rig_end *e, const char *text);

/* Transports over a plain socket end; ops note everything in e. */
void rig_start(rig_end *e);

/* --- a peer on a thread ------------------------------------------------------------------------ */

typedef struct rig_peer {
    int fd;
    bool is_server;
    const char *certificate; /* file */
    const char *ca;          /* file: verifies us; NULL: does not */
    int max_version;         /* 0: any */
    void (*script)(SSL *ssl, struct rig_peer *p);
    void *arg;
    int handshake; /* what SSL_do_handshake gave */
    int read;      /* for scripts */
    bool flag;
    SSL_CTX *ctx; /* made by the caller to be shared, or by the thread */
    pthread_t thread;
} rig_peer;

SSL_CTX *rig_context(const rig_peer *p);
/* The other end of the thread's socket, non-blocking. */
int rig_peer_run(rig_peer *p);
void rig_peer_join(rig_peer *p);

#endif
