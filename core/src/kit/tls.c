/* What: TLS settings: their options, their life, the loop's default ones. */
#include "kit/tls.h"

#include <openssl/err.h>
#include <string.h>
#include <tug/log.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/tls.h>

#include "loop/loop.h"

enum {
    SESSIONS_MAX = 1024, /* servers: each holds up to four sessions of some KiB */
    ALPN_NAME_MAX = 63   /* so that tug_tls_info has room for it */
};

/* --- life ------------------------------------------------------------------------------------ */

static void reap(void *arg)
{
    tug_tls *tls = arg;
    tug__tls_sessions_free(tls->sessions);
    SSL_CTX_free(tls->ctx);
    tug_free(tls->server_name);
    tug_free(tls);
}

tug_tls *tug_tls_ref(tug_tls *tls)
{
    tls->refs++;
    return tls;
}

tug_tls *tug_tls_unref(tug_tls *tls)
{
    if (tls == NULL ||
        (tug__loop != NULL && !tug__is_here_or_adopts_void(&tls->loop, "tug_tls_unref")) ||
        --tls->refs > 0) {
        return NULL;
    }
    if (tug_task_current() != NULL) {
        tug_call_soon(&tls->ending, reap, tls); /* a task's stack is not made for OpenSSL */
    } else {
        reap(tls);
    }
    return NULL;
}

/* --- options --------------------------------------------------------------------------------- */

/* "h2,http/1.1" as it is sent: each name behind its length. */
static int parse_alpn(const char *text, uint8_t *to, size_t *ret_size)
{
    size_t done = 0;
    for (const char *name = text;; name++) {
        size_t n = strcspn(name, ",");
        if (n == 0 || n > ALPN_NAME_MAX || done + 1 + n > TUG__TLS_ALPN - 1) {
            return tug_fail(TUG_EINVAL,
                            "alpn: names of 1 to %d bytes with commas between, %d bytes in all",
                            ALPN_NAME_MAX, TUG__TLS_ALPN - 1);
        }
        to[done] = (uint8_t)n;
        memcpy(to + done + 1, name, n);
        done += 1 + n;
        name += n;
        if (*name == 0) {
            *ret_size = done;
            return 0;
        }
    }
}

static int check(const tug_tls_options *o)
{
    if (o->verify < TUG_TLS_VERIFY_FULL || o->verify > TUG_TLS_VERIFY_NONE) {
        return tug_fail(TUG_EINVAL, "verify: %d is none of TUG_TLS_VERIFY_*", o->verify);
    }
    if (o->clients < TUG_TLS_CLIENTS_ANY || o->clients > TUG_TLS_CLIENTS_VERIFIED) {
        return tug_fail(TUG_EINVAL, "clients: %d is none of TUG_TLS_CLIENTS_*", o->clients);
    }
    if (o->clients != TUG_TLS_CLIENTS_ANY && o->ca_file == NULL && o->ca_dir == NULL) {
        /* Else everybody with a certificate of a public authority would get in. */
        return tug_fail(TUG_EINVAL, "clients: name the authorities by ca_file or ca_dir");
    }
    if (o->min_version != TUG_TLS_1_2 && o->min_version != TUG_TLS_1_3) {
        return tug_fail(TUG_EINVAL, "min_version: TUG_TLS_1_2 or TUG_TLS_1_3, not %d",
                        o->min_version);
    }
    if (o->key_file != NULL && o->certificate_file == NULL) {
        return tug_fail(TUG_EINVAL, "key_file without certificate_file");
    }
    if (o->sessions > SESSIONS_MAX) {
        return tug_fail(TUG_EINVAL, "sessions: 0 to %d", SESSIONS_MAX);
    }
    if (o->handshake_timeout < TUG_MS(1)) {
        return tug_fail(TUG_EINVAL, "handshake_timeout: 1 ms or more");
    }
    if (o->server_name != NULL &&
        (*o->server_name == 0 || strlen(o->server_name) >= TUG__TLS_NAME)) {
        return tug_fail(TUG_EINVAL, "server_name: 1 to %d bytes", TUG__TLS_NAME - 1);
    }
    return 0;
}

/* --- building -------------------------------------------------------------------------------- */

static int build_run(void *arg)
{
    return tug__tls_build(arg);
}

static void build_peek(void *arg, void *to)
{
    struct tug__tls_build *b = arg;
    *(SSL_CTX **)to = b->ctx;
    b->ctx = NULL;
}

/* After an abandoned build this runs on the loop stack, too. */
static void build_destroy(void *arg)
{
    struct tug__tls_build *b = arg;
    if (b->key_password != NULL) {
        tug_wipe(b->key_password, strlen(b->key_password));
    }
    tug_free(b->key_password);
    tug_free(b->key_file);
    tug_free(b->certificate_file);
    tug_free(b->ca_dir);
    tug_free(b->ca_file);
    SSL_CTX_free(b->ctx);
    tug_free(b);
}

static bool copy(const char *from, char **ret_copy)
{
    *ret_copy = from != NULL ? tug_strdup(from) : NULL;
    return from == NULL || *ret_copy != NULL;
}

static struct tug__tls_build *build_new(const tug_tls_options *o)
{
    struct tug__tls_build *b = tug_calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->min_version = o->min_version == TUG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    b->clients = o->clients;
    b->system_authorities = o->ca_file == NULL && o->ca_dir == NULL &&
                            o->verify != TUG_TLS_VERIFY_NONE;
    if (!copy(o->ca_file, &b->ca_file) || !copy(o->ca_dir, &b->ca_dir) ||
        !copy(o->certificate_file, &b->certificate_file) || !copy(o->key_file, &b->key_file) ||
        !copy(o->key_password, &b->key_password)) {
        build_destroy(b);
        return NULL;
    }
    return b;
}

/* --- what OpenSSL asks of us ----------------------------------------------------------------- */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tug__tls *c = SSL_get_app_data(ssl);
    return c->tls->sessions != NULL && tug__tls_sessions_put(c->tls->sessions, c->key, session);
}

static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size,
                   const unsigned char *offered, unsigned size, void *arg)
{
    const tug_tls *tls = arg;
    unsigned char *name = NULL;
    (void)ssl;
    /* The order of ours decides. RFC 7301: none in common ends the handshake. */
    if (SSL_select_next_proto(&name, ret_size, tls->alpn, (unsigned)tls->alpn_size, offered,
                              size) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

static void set_callbacks(tug_tls *tls)
{
    if (tls->sessions != NULL) {
        SSL_CTX_set_session_cache_mode(tls->ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls->ctx, on_session);
    } else {
        SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    }
    if (tls->alpn_size > 0) {
        SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, tls);
    }
}

/* --- new ------------------------------------------------------------------------------------- */

/* All but the context. */
static int prepare(const tug_tls_options *o, tug_tls **ret_tls)
{
    tug_tls *tls = tug_calloc(1, sizeof *tls);
    if (tls == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for TLS settings");
    }
    tls->refs = 1;
    tls->loop = tug__loop;
    tls->verify = o->verify;
    tls->clients = o->clients;
    tls->has_certificate = o->certificate_file != NULL;
    tls->handshake_timeout = o->handshake_timeout;
    int rc = o->alpn != NULL ? parse_alpn(o->alpn, tls->alpn, &tls->alpn_size) : 0;
    if (rc == 0 && !copy(o->server_name, &tls->server_name)) {
        rc = tug_fail(TUG_ENOMEM, "out of memory for TLS settings");
    }
    if (rc == 0 && o->sessions > 0) {
        rc = tug__tls_sessions_new(o->sessions, &tls->sessions);
    }
    if (rc < 0) {
        tug_tls_unref(tls);
        return rc;
    }
    *ret_tls = tls;
    return 0;
}

int tug_tls_new(const tug_tls_options *given, tug_tls **ret_tls)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    tug_tls *tls = NULL;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "tug_tls_new waits for files: call it from a task");
    }
    int rc = check(&o);
    rc = rc < 0 ? rc : prepare(&o, &tls);
    if (rc < 0) {
        return rc;
    }
    struct tug__tls_build *b = build_new(&o);
    if (b == NULL) {
        tug_tls_unref(tls);
        return tug_fail(TUG_ENOMEM, "out of memory for TLS settings");
    }
    rc = tug_offload_abandonable(build_run, build_peek, build_destroy, b, &tls->ctx);
    if (rc < 0) {
        tug_tls_unref(tls);
        return rc;
    }
    set_callbacks(tls);
    if (o.verify == TUG_TLS_VERIFY_NONE) {
        tug_log(TUG_LOG_WARN, "tls",
                "certificates of servers are not verified (TUG_TLS_VERIFY_NONE): "
                "whoever sits in between can read and change everything");
    }
    *ret_tls = tls;
    return 0;
}

/* --- the loop's own -------------------------------------------------------------------------- */

static void default_free(void *value)
{
    tug_tls_unref(value);
}

int tug_tls_default(tug_tls **ret_tls)
{
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "TLS waits for its authorities: call it from a task");
    }
    if (*tug__loop_slot(TUG__SLOT_TLS) == NULL) {
        tug_tls *made = NULL;
        int rc = tug_tls_new(NULL, &made);
        if (rc < 0) {
            return rc;
        }
        if (*tug__loop_slot(TUG__SLOT_TLS) == NULL) {
            tug__loop_slot_set(TUG__SLOT_TLS, made, default_free);
        } else {
            tug_tls_unref(made); /* another task was faster while this one waited */
        }
    } else {
        int rc = tug_checkpoint();
        if (rc < 0) {
            return rc;
        }
    }
    *ret_tls = tug_tls_ref(*tug__loop_slot(TUG__SLOT_TLS));
    return 0;
}
