/* What: how a transport gets TLS. */
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/tls.h>

#include "kit/stream.h"
#include "kit/tls.h"
#include "kit/transport.h"

/* "443" of "127.0.0.1:443"; "" of a Unix socket. */
static const char *port_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    return colon != NULL && *peer != '/' ? colon + 1 : "";
}

static int open_tls(tug_transport *t, tug_tls *tls, bool is_server, const char *name)
{
    if (tls == NULL) {
        return tug_fail(TUG_EINVAL, "no TLS settings");
    }
    if (!tug__transport_is_idle(t) || tug_transport_unsent(t) > 0) {
        return tug_fail(TUG_EMISUSE,
                        "TLS begins before the transport to %s is started or written to",
                        tug_transport_peer(t));
    }
    if (tug__transport_wire(t)->state != NULL) {
        return tug_fail(TUG_EMISUSE, "the transport to %s has TLS already", tug_transport_peer(t));
    }
    return tug__tls_open(tug__transport_wire(t), tls, is_server, name,
                         port_of(tug_transport_peer(t)));
}

int tug_transport_secure(tug_transport *t, tug_tls *tls, const char *name)
{
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "a TLS handshake waits: call it from a task");
    }
    int rc = tug_is_cancelled() ? tug_checkpoint() : open_tls(t, tls, false, name);
    return rc < 0 ? rc : tug__transport_shake(t);
}

int tug_transport_secure_server(tug_transport *t, tug_tls *tls)
{
    return open_tls(t, tls, true, NULL);
}

static int dial(const char *host, uint16_t port, const struct tug__dial_options *o, tug_tls *tls,
                tug_transport **ret_transport)
{
    tug_transport *t = NULL;
    int rc = tug__transport_dial(host, port, o, &t);
    if (rc < 0) {
        return rc;
    }
    rc = tug_transport_secure(t, tls, *host == '/' ? NULL : host);
    if (rc == TUG_ECANCELED) {
        tug_fail(rc, "TLS with %s: no answer", tug_transport_peer(t));
    }
    if (rc < 0) {
        tug_transport_close(t);
        return rc;
    }
    *ret_transport = t;
    return 0;
}

/* With the settings, which may have to be made first. */
static int dial_with(const char *host, uint16_t port, const struct tug__dial_options *o,
                     tug_tls *given, tug_transport **ret_transport)
{
    TUG_AUTO(tug_tls) own = NULL;
    int rc = given == NULL ? tug_tls_default(&own) : 0;
    return rc < 0 ? rc : dial(host, port, o, given != NULL ? given : own, ret_transport);
}

int tug__transport_dial_tls(const char *host, uint16_t port, const struct tug__dial_options *o,
                            tug_tls *tls, tug_transport **ret_transport)
{
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "connecting to %s waits: call it from a task", host);
    }
    if (tug_time_left() != TUG_FOREVER) {
        return dial_with(host, port, o, tls, ret_transport);
    }
    tug_scope all;
    tug_scope_enter(&all, o->timeout);
    int rc = tug_scope_leave(&all, dial_with(host, port, o, tls, ret_transport));
    if (rc == TUG_ETIMEDOUT) {
        /* The caller has set no deadline, so it gets no TUG_ETIMEDOUT. */
        tug_error e = *tug_last_error();
        e.code = TUG_ECONNECT;
        e.transient = true;
        rc = tug_fail_with(&e);
    }
    return rc;
}

int tug_transport_dial_tls(const char *host, uint16_t port, tug_tls *tls,
                           tug_transport **ret_transport)
{
    if (host == NULL || *host == 0) {
        return tug_fail(TUG_EINVAL, "no host to connect to");
    }
    return tug__transport_dial_tls(host, port, &tug__dial_defaults, tls, ret_transport);
}

bool tug_transport_tls_info(const tug_transport *t, tug_tls_info *ret_info)
{
    /* Reading only. */
    const tug_tls_info *info = tug__tls_info(tug__transport_wire((tug_transport *)t));
    if (info == NULL) {
        return false;
    }
    size_t size = ret_info->size < sizeof *info ? ret_info->size : sizeof *info;
    memcpy(ret_info, info, size);
    ret_info->size = size;
    return true;
}

/* --- streams --------------------------------------------------------------------------------- */

int tug_stream_handshake(tug_stream *s)
{
    int rc;
    if (!tug__is_here(s->loop, "tug_stream_handshake")) {
        return TUG_EMISUSE;
    }
    tug__stream_enter(s);
    if (s->state == TUG__STREAM_CLOSED) {
        rc = tug__stream_closed_here();
    } else if (s->state == TUG__STREAM_BROKEN) {
        rc = tug_fail_with(tug__transport_why(s->transport));
    } else {
        rc = tug__transport_shake(s->transport);
    }
    tug__stream_leave(s);
    return rc;
}

bool tug_stream_tls_info(const tug_stream *s, tug_tls_info *ret_info)
{
    return s->transport != NULL && tug_transport_tls_info(s->transport, ret_info);
}
