/* What: one clear line for each way in which TLS fails. OpenSSL's own words are kept where they say it
 * well; where they speak of records and alerts, the line says what that means. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kit/tls.h"

enum {
    /* The first byte of a record: 20 change cipher spec, 21 alert, 22 handshake, 23 data. */
    RECORD_FIRST = 20,
    RECORD_LAST = 23,
    SSL2_HELLO = 0x80 /* nobody says it any more, but it is TLS's own business to refuse it */
};

int tug__tls_failed_with(struct tug__tls *c, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->reason, sizeof c->reason, format, args);
    va_end(args);
    c->code = code;
    c->has_failed = true;
    return code;
}

const char *tug__tls_words(void)
{
    unsigned long first = ERR_peek_error();
    const char *words = first != 0 ? ERR_reason_error_string(first) : NULL;
    return words != NULL ? words : "OpenSSL gives no reason";
}

/* --- the certificate ------------------------------------------------------------------------- */

static int bad_certificate(struct tug__tls *c)
{
    const char *whose = c->is_server ? "the client's certificate" : "its certificate";
    snprintf(c->native, sizeof c->native, "X509 %d", c->verify_error);
    switch (c->verify_error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return tug__tls_failed_with(c, TUG_EAUTH, "its certificate (%s) is not for \"%.60s\"",
                                    c->verify_subject, c->name);
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return tug__tls_failed_with(c, TUG_EAUTH, "%s (%s) has expired on %s", whose,
                                    c->verify_subject, c->verify_date);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return tug__tls_failed_with(c, TUG_EAUTH, "%s (%s) is not valid before %s", whose,
                                    c->verify_subject, c->verify_date);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return tug__tls_failed_with(c, TUG_EAUTH, "%s (%s) is self-signed and not trusted here",
                                    whose, c->verify_subject);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return tug__tls_failed_with(c, TUG_EAUTH, "no trusted authority for %s (%s): %s", whose,
                                    c->verify_subject,
                                    X509_verify_cert_error_string(c->verify_error));
    default:
        return tug__tls_failed_with(c, TUG_EAUTH, "%s (%s) is no good: %s", whose,
                                    c->verify_subject,
                                    X509_verify_cert_error_string(c->verify_error));
    }
}

/* --- what the other side said ---------------------------------------------------------------- */

static int refused(struct tug__tls *c, int alert)
{
    snprintf(c->native, sizeof c->native, "alert %d", alert);
    switch (alert) {
    case SSL_AD_PROTOCOL_VERSION:
        return tug__tls_failed_with(c, TUG_EPROTO, "no common version: the peer refused ours");
    case SSL_AD_CERTIFICATE_REQUIRED:
        return tug__tls_failed_with(c, TUG_EAUTH,
                                    "the peer wants a certificate of ours: set certificate_file");
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_UNKNOWN_PSK_IDENTITY:
        return tug__tls_failed_with(c, TUG_EAUTH, "the peer refused our certificate: %s",
                                    SSL_alert_desc_string_long(alert));
    default:
        return tug__tls_failed_with(c, TUG_EPROTO, "the peer refused: %s",
                                    SSL_alert_desc_string_long(alert));
    }
}

static int no_tls(struct tug__tls *c)
{
    return tug__tls_failed_with(c, TUG_EPROTO, "the peer does not speak TLS: it sent plain text");
}

bool tug__tls_is_spoken(const struct tug__tls *c)
{
    return c->first_byte == 0 || (c->first_byte >= RECORD_FIRST && c->first_byte <= RECORD_LAST) ||
           (c->is_server && c->first_byte == SSL2_HELLO);
}

static int from_library(struct tug__tls *c)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        snprintf(c->native, sizeof c->native, "%08lX", error);
        return tug__tls_failed_with(c, reason == ERR_R_MALLOC_FAILURE ? TUG_ENOMEM : TUG_EPROTO,
                                    "%s", tug__tls_words());
    }
    if (reason >= SSL_AD_REASON_OFFSET) {
        return refused(c, reason - SSL_AD_REASON_OFFSET);
    }
    snprintf(c->native, sizeof c->native, "SSL %d", reason);
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return no_tls(c);
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
        return tug__tls_failed_with(c, TUG_EPROTO,
                                    "no common version: the peer offers only what is too old here");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return tug__tls_failed_with(c, TUG_EAUTH, "the client has shown no certificate");
    case SSL_R_NO_SHARED_CIPHER:
        return tug__tls_failed_with(c, TUG_EPROTO, "no common cipher");
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return tug__tls_failed_with(c, TUG_EPROTO, "no common application protocol");
    case ERR_R_MALLOC_FAILURE:
        return tug__tls_failed_with(c, TUG_ENOMEM, "out of memory");
    default:
        return tug__tls_failed_with(c, TUG_EPROTO, "%s", tug__tls_words());
    }
}

static int went_away(struct tug__tls *c)
{
    c->transient = true;
    if (!c->is_done) {
        return tug__tls_failed_with(c, TUG_ECLOSED, "the peer closed during the handshake");
    }
    return tug__tls_failed_with(c, TUG_EPROTO,
                                "closed without close_notify: the data may be truncated");
}

/* OpenSSL 1.1 calls a missing close_notify a failed system call, 3.0 an error of its own, and a setting
 * hides it: what the socket said decides. */
int tug__tls_failed(struct tug__tls *c, int ssl_error)
{
    c->has_failed = true;
    if (c->is_late) {
        return tug__tls_failed_with(c, TUG_ECLOSED, "no handshake within the time for it");
    }
    if (c->verify_error != X509_V_OK && !c->is_done) {
        return bad_certificate(c);
    }
    if (!c->is_done && !tug__tls_is_spoken(c)) {
        return no_tls(c);
    }
    if (c->receive_error != 0) {
        return -c->receive_error;
    }
    bool unexpected_end = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                          ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (c->saw_eof && (ssl_error == SSL_ERROR_SYSCALL || ERR_peek_error() == 0 || unexpected_end)) {
        return went_away(c);
    }
    if (ssl_error == SSL_ERROR_SSL) {
        return from_library(c);
    }
    return tug__tls_failed_with(c, TUG_EPROTO, "OpenSSL's error %d", ssl_error);
}
