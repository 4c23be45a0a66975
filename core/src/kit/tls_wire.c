/* What: one TLS connection as a wire of the transport.
 *
 *   shaking --handshake gives 0--> receive and send --the peer's close_notify--> send only
 *
 * Each call ends with a push, so that nothing that OpenSSL has written waits for another one. Nothing
 * ever waits inside OpenSSL for being read either: a receive is so small that all it brings fits into
 * the caller's room, with the part of a record that came before. So the socket alone says when there is
 * more, but for one thing: an end that was found behind bytes is told by the next call (is_ripe). */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "kit/tls.h"
#include "kit/transport.h"
#include "loop/loop.h"

enum {
    SEND_AT_ONCE = 256 * 1024 /* bytes sealed in one call: about 0.2 ms, others want to run too */
};

/* --- making one: on the loop stack, at the first step of the handshake ------------------------- */

static void note_date(char *to, size_t room, const ASN1_TIME *at)
{
    struct tm tm;
    *to = 0;
    if (at != NULL && ASN1_TIME_to_tm(at, &tm) == 1) {
        strftime(to, room, "%Y-%m-%d %H:%M UTC", &tm);
    }
}

static void note_subject(char *to, size_t room, X509 *certificate)
{
    *to = 0;
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (text != NULL &&
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(text, &data);
        if (n > 0 && (size_t)n < room && memchr(data, 0, (size_t)n) == NULL) {
            memcpy(to, data, (size_t)n);
            to[n] = 0;
        }
    }
    BIO_free(text);
}

/* Changes no decision: it only remembers the first reason with what the words need. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tug__tls *c = SSL_get_app_data(ssl);
    if (good || c->verify_error != X509_V_OK) {
        return good;
    }
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    c->verify_error = X509_STORE_CTX_get_error(store);
    if (certificate != NULL) {
        note_subject(c->verify_subject, sizeof c->verify_subject, certificate);
        note_date(c->verify_date, sizeof c->verify_date,
                  c->verify_error == X509_V_ERR_CERT_NOT_YET_VALID
                      ? X509_get0_notBefore(certificate)
                      : X509_get0_notAfter(certificate));
    }
    return good;
}

static bool is_address(const char *name)
{
    unsigned char number[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, number) == 1 || inet_pton(AF_INET6, name, number) == 1;
}

static bool set_name(struct tug__tls *c)
{
    if (*c->name == 0) {
        return true;
    }
    bool is_full = c->tls->verify == TUG_TLS_VERIFY_FULL;
    if (is_address(c->name)) {
        /* SNI is for names only (RFC 6066). */
        return !is_full || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), c->name) == 1;
    }
    SSL_set_hostflags(c->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(c->ssl, c->name) == 1 &&
           (!is_full || SSL_set1_host(c->ssl, c->name) == 1);
}

static bool set_client(struct tug__tls *c)
{
    const tug_tls *tls = c->tls;
    SSL_set_verify(c->ssl, tls->verify == TUG_TLS_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                   on_verify);
    SSL_set_connect_state(c->ssl);
    /* Here 0 means success, unlike elsewhere. */
    if (!set_name(c) || (tls->alpn_size > 0 &&
                         SSL_set_alpn_protos(c->ssl, tls->alpn, (unsigned)tls->alpn_size) != 0)) {
        return false;
    }
    SSL_SESSION *session = tls->sessions != NULL && *c->key != 0
                               ? tug__tls_sessions_take(tls->sessions, c->key)
                               : NULL;
    if (session != NULL) {
        SSL_set_session(c->ssl, session); /* should it be refused: a full handshake */
        SSL_SESSION_free(session);
    }
    return true;
}

static void set_server(struct tug__tls *c)
{
    static const int modes[] = {
        [TUG_TLS_CLIENTS_ANY] = SSL_VERIFY_NONE,
        [TUG_TLS_CLIENTS_ASKED] = SSL_VERIFY_PEER,
        [TUG_TLS_CLIENTS_VERIFIED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    SSL_set_verify(c->ssl, modes[c->tls->clients], on_verify);
    SSL_set_accept_state(c->ssl);
}

static int start(struct tug__tls *c)
{
    c->ssl = SSL_new(c->tls->ctx);
    BIO *bio = c->ssl != NULL ? tug__tls_bio_new(c) : NULL;
    if (bio == NULL) {
        return tug__tls_failed_with(c, TUG_ENOMEM, "out of memory for a TLS connection");
    }
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_app_data(c->ssl, c);
    if (c->is_server) {
        set_server(c);
    } else if (!set_client(c)) {
        return tug__tls_failed_with(c, TUG_EINVAL, "\"%s\" is no name to verify", c->name);
    }
    return 0;
}

/* --- the handshake --------------------------------------------------------------------------- */

static void note_peer(struct tug__tls *c)
{
    X509 *certificate = SSL_get1_peer_certificate(c->ssl);
    unsigned size = sizeof c->info.fingerprint;
    if (certificate == NULL) {
        return;
    }
    note_subject(c->info.subject, sizeof c->info.subject, certificate);
    X509_digest(certificate, EVP_sha256(), c->info.fingerprint, &size);
    c->info.is_verified = (SSL_get_verify_mode(c->ssl) & SSL_VERIFY_PEER) != 0 &&
                          SSL_get_verify_result(c->ssl) == X509_V_OK;
    X509_free(certificate);
}

static void note_info(struct tug__tls *c)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_size = 0;
    c->info.version = SSL_version(c->ssl) >= TLS1_3_VERSION ? TUG_TLS_1_3 : TUG_TLS_1_2;
    c->info.is_resumed = SSL_session_reused(c->ssl) == 1;
    snprintf(c->info.cipher, sizeof c->info.cipher, "%s", SSL_get_cipher_name(c->ssl));
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_size);
    if (alpn_size < sizeof c->info.alpn) {
        memcpy(c->info.alpn, alpn_size > 0 ? (const char *)alpn : "", alpn_size);
        c->info.alpn[alpn_size] = 0;
    }
    note_peer(c);
}

static int shake(struct tug__tls *c)
{
    int rc = c->ssl == NULL ? start(c) : 0;
    if (rc < 0) {
        return rc;
    }
    ERR_clear_error();
    rc = SSL_do_handshake(c->ssl);
    if (rc == 1) {
        note_info(c);
        c->is_done = true;
        tug_timer_stop(&c->patience);
        tug__tls_push(c);
        return 0;
    }
    /* Before the push: it makes system calls, and the reason may be in errno. */
    int error = SSL_get_error(c->ssl, rc);
    rc = error == SSL_ERROR_WANT_READ && tug__tls_is_spoken(c) ? -EAGAIN
                                                               : tug__tls_failed(c, error);
    tug__tls_push(c); /* an alert as well: so the other side hears why */
    if (rc == -EAGAIN && c->is_late) {
        return tug__tls_failed_with(c, TUG_ECLOSED, "no handshake within the time for it");
    }
    return rc;
}

/* A task's stack is not made for a library that parses what a peer sends. */
static struct tug__tls *on_loop_stack(struct tug__wire *w)
{
    assert(tug_task_current() == NULL && "OpenSSL runs on the loop stack");
    return w->state;
}

static int tls_handshake(struct tug__wire *w)
{
    struct tug__tls *c = on_loop_stack(w);
    int rc = c->is_done ? 0 : shake(c);
    if (rc == -EAGAIN && c->send_error != 0) {
        rc = shake(c); /* who went away may have said why, and that lies in the socket */
    }
    tug__tls_push(c);
    if (rc == -EAGAIN && c->send_error != 0) {
        rc = -c->send_error;
    } else if (rc == 0 && tug__tls_held(c) > 0) {
        rc = -EAGAIN;
    }
    w->is_shaking = rc != 0;
    return rc;
}

/* A client that says nothing would hold its place for ever. Closing both directions makes the socket readable,
 * and the handshake finds the reason. */
static void on_late(tug_timer *timer, void *arg)
{
    struct tug__tls *c = arg;
    (void)timer;
    c->is_late = true;
    shutdown(c->fd, SHUT_RDWR);
}

/* --- input ----------------------------------------------------------------------------------- */

/* Opens all records that are complete. What ended it is noted. */
static size_t open_records(struct tug__tls *c, uint8_t *to, size_t size)
{
    size_t got = 0, n;
    while (got < size) {
        ERR_clear_error();
        if (SSL_read_ex(c->ssl, to + got, size - got, &n) == 1) {
            got += n;
            continue;
        }
        int error = SSL_get_error(c->ssl, 0);
        if (error != SSL_ERROR_WANT_READ) {
            c->is_ended = true;
            c->end = error == SSL_ERROR_ZERO_RETURN ? 0 : tug__tls_failed(c, error);
        }
        break;
    }
    assert((c->is_ended || c->in_left == 0) && "what was received fits into the caller's room");
    c->in_left = 0;
    return got;
}

/* What we had to say could not be kept: without it the peer could not read what follows. A peer that does not
 * take it is noticed by whoever writes next. */
static void check_answers(struct tug__tls *c)
{
    if (c->is_ended || (c->send_error != ENOBUFS && c->send_error != ENOMEM)) {
        return;
    }
    c->is_ended = true;
    c->end = c->send_error == ENOMEM
                 ? tug__tls_failed_with(c, TUG_ENOMEM, "out of memory")
                 : tug__tls_failed_with(c, TUG_ELIMIT, "the peer wants answers and reads none");
}

static ssize_t tls_receive(struct tug__wire *w, void *to, size_t size)
{
    struct tug__tls *c = on_loop_stack(w);
    assert(size >= (size_t)2 * TUG__TLS_SEALED && "a record that is half there fits as well");
    w->is_ripe = false;
    w->has_more = false;
    if (c->is_ended) {
        return c->end;
    }
    size_t room = size - TUG__TLS_SEALED;
    size_t most = room < TUG__TLS_IN ? room : TUG__TLS_IN;
    ssize_t n;
    do {
        n = recv(c->fd, c->tls->in, most, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    c->saw_eof = n == 0;
    c->in = c->tls->in;
    c->in_left = (size_t)n;
    size_t got = open_records(c, to, size);
    tug__tls_push(c);
    check_answers(c);
    w->has_more = (size_t)n == most;
    if (!c->is_ended) {
        return got > 0 ? (ssize_t)got : -EAGAIN;
    }
    w->is_ripe = got > 0;
    return got > 0 ? (ssize_t)got : c->end;
}

/* --- output ---------------------------------------------------------------------------------- */

/* Records as large as may be, four of them a send. */
static ssize_t seal(struct tug__tls *c, const uint8_t *from, size_t size)
{
    size_t done = 0;
    while (done < size && tug__tls_held(c) == 0 && c->send_error == 0) {
        size_t n = size - done < TUG__TLS_RECORD ? size - done : TUG__TLS_RECORD;
        ERR_clear_error();
        /* All or nothing: the BIO takes whatever there is. */
        if (SSL_write_ex(c->ssl, from + done, n, &n) != 1) {
            return tug__tls_failed(c, SSL_get_error(c->ssl, 0));
        }
        done += n;
        if (TUG__TLS_OUT - c->out_used < TUG__TLS_SEALED) {
            tug__tls_push(c);
        }
    }
    return (ssize_t)done;
}

static ssize_t tls_send(struct tug__wire *w, const void *from, size_t size)
{
    struct tug__tls *c = on_loop_stack(w);
    ssize_t n = 0;
    tug__tls_push(c);
    if (tug__tls_held(c) > 0) {
        return -EAGAIN;
    }
    if (size > 0) {
        n = seal(c, from, size < SEND_AT_ONCE ? size : SEND_AT_ONCE);
        tug__tls_push(c);
    }
    return c->send_error != 0 ? -c->send_error : n;
}

static int tls_shutdown_write(struct tug__wire *w)
{
    struct tug__tls *c = on_loop_stack(w);
    if (!c->is_shut) {
        c->is_shut = true;
        ERR_clear_error();
        SSL_shutdown(c->ssl); /* only writes; 0: the peer has not said it yet */
    }
    tug__tls_push(c);
    if (c->send_error != 0) {
        return -c->send_error;
    }
    if (tug__tls_held(c) > 0) {
        return -EAGAIN;
    }
    /* A peer that has gone already needs not be told. */
    return shutdown(c->fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

/* --- the end --------------------------------------------------------------------------------- */

static void reap(void *arg)
{
    struct tug__tls *c = arg;
    if (c->ssl != NULL) {
        ERR_clear_error();
        if (c->is_whole && !c->is_shut && !c->has_failed) {
            SSL_shutdown(c->ssl);
            tug__tls_push(c); /* what the socket does not take now is lost, as all that is unsent */
        }
        if (!c->has_failed) {
            /* Without it OpenSSL would hold a session that was not ended from both sides for a bad one. */
            SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        SSL_free(c->ssl);
        ERR_clear_error();
    }
    close(c->fd);
    tug_free(c->held);
    tug_tls_unref(c->tls);
    tug_free(c);
}

/* close_notify says that all has been said: it is sent only if that is so. */
static void tls_close(struct tug__wire *w, bool is_whole)
{
    struct tug__tls *c = w->state;
    tug_timer_stop(&c->patience);
    c->is_whole = is_whole && c->is_done && tug__tls_held(c) == 0 && c->send_error == 0;
    c->wire = NULL;
    w->state = NULL;
    w->fd = -1;
    if (tug_task_current() != NULL) {
        tug_call_soon(&c->closing, reap, c); /* a task's stack is not made for OpenSSL */
    } else {
        reap(c);
    }
}

static void tls_explain(struct tug__wire *w, const char *peer, tug_error *ret_why)
{
    const struct tug__tls *c = w->state;
    bool has_name = *c->name != 0 && strstr(peer, c->name) == NULL;
    tug_error_set(ret_why, c->code, TUG_ORIGIN_TLS, TUG_NOT_SENT, c->native,
                  has_name ? "TLS with %s (%.60s): %s" : "TLS with %s%.0s: %s", peer, c->name,
                  c->reason);
    ret_why->transient = c->transient;
}

static const struct tug__wire_ops tls_ops = {.handshake = tls_handshake,
                                             .receive = tls_receive,
                                             .send = tls_send,
                                             .shutdown_write = tls_shutdown_write,
                                             .close = tls_close,
                                             .explain = tls_explain,
                                             .is_deep = true};

/* --- on and off the wire --------------------------------------------------------------------- */

/* What the certificate is compared with: no zone of an address, no dot of a full name. */
static bool take_name(struct tug__tls *c, const char *name, const char *port)
{
    size_t n = name != NULL ? strnlen(name, sizeof c->name) : 0;
    if (n >= sizeof c->name) {
        return false;
    }
    memcpy(c->name, n > 0 ? name : "", n);
    c->name[n] = 0;
    if (memchr(c->name, ':', n) != NULL) {
        c->name[strcspn(c->name, "%")] = 0;
    } else if (n > 1 && c->name[n - 1] == '.') {
        c->name[n - 1] = 0;
    }
    if (n > 0) {
        snprintf(c->key, sizeof c->key, "%s:%.6s", c->name, port);
    }
    return true;
}

static int check_loop(const tug_tls *tls)
{
    return tls->loop == tug__loop
               ? 0
               : tug_fail(TUG_EMISUSE, "these TLS settings belong to the loop of another thread");
}

int tug__tls_check_server(const tug_tls *tls)
{
    int rc = check_loop(tls);
    if (rc == 0 && !tls->has_certificate) {
        rc = tug_fail(TUG_EINVAL, "a TLS server needs a certificate: set certificate_file");
    }
    return rc;
}

int tug__tls_open(struct tug__wire *w, tug_tls *tls, bool is_server, const char *name,
                  const char *port)
{
    int rc = is_server ? tug__tls_check_server(tls) : check_loop(tls);
    if (rc < 0) {
        return rc;
    }
    struct tug__tls *c = tug_calloc(1, sizeof *c);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a TLS connection");
    }
    name = is_server ? NULL : tls->server_name != NULL ? tls->server_name : name;
    if (!take_name(c, name, port)) {
        tug_free(c);
        return tug_fail(TUG_EINVAL, "a TLS server's name has at most %d bytes", TUG__TLS_NAME - 1);
    }
    if (!is_server && tls->verify == TUG_TLS_VERIFY_FULL && *c->name == 0) {
        tug_free(c);
        return tug_fail(TUG_EINVAL, "no name to verify the TLS server by: set server_name");
    }
    c->info = (tug_tls_info)TUG_TLS_INFO_INIT;
    c->tls = tug_tls_ref(tls);
    c->wire = w;
    c->fd = w->fd;
    c->is_server = is_server;
    w->ops = &tls_ops;
    w->state = c;
    w->is_shaking = true;
    if (is_server) {
        tug_timer_start(&c->patience, tug_time_after(tug_turn_time(), tls->handshake_timeout),
                        on_late, c);
    }
    return 0;
}

const tug_tls_info *tug__tls_info(const struct tug__wire *w)
{
    const struct tug__tls *c = w->ops == &tls_ops ? w->state : NULL;
    return c != NULL && c->is_done ? &c->info : NULL;
}
