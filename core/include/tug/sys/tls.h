/* What:      TLS under a transport, for drivers: as a client after dial, as a server after accept, or in the middle
 *            of a connection (STARTTLS) before it is started.
 * Ownership: the transport keeps a reference of tls. name is copied.
 * Context:   dial and secure: task only. The rest: any context of the loop.
 * Callbacks: none. All of TLS runs on the loop stack.
 * Errors:    as <tug/tls.h> says; once started, through on_end. */
#ifndef TUG_SYS_TLS_H
#define TUG_SYS_TLS_H

#include <tug/sys/transport.h>
#include <tug/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* tug_transport_dial, and the handshake within the same deadline. tls NULL: tug_tls_default. */
TUG_SUSPENDS TUG_EXPORT int tug_transport_dial_tls(const char *host, uint16_t port, tug_tls *tls,
                                                   tug_transport **ret_transport) TUG_CHECK;
/* The handshake as a client, over a transport that is not started. name: what the certificate must be for,
 * unless tls has a name of its own. After a failure, TUG_ECANCELED too, the transport is good for close only. */
TUG_SUSPENDS TUG_EXPORT int tug_transport_secure(tug_transport *t, tug_tls *tls,
                                                 const char *name) TUG_CHECK;
/* As a server, over a transport that is not started: the handshake begins at start, and what is written
 * waits for it. TUG_EINVAL: tls has no certificate. The transport is unchanged after a failure. */
TUG_EXPORT int tug_transport_secure_server(tug_transport *t, tug_tls *tls) TUG_CHECK;
/* False: there is no TLS, or its handshake is not over. */
TUG_EXPORT bool tug_transport_tls_info(const tug_transport *t, tug_tls_info *ret_info);
/* All defaults: one for the whole loop, made at the first call. Yours to unref. */
TUG_SUSPENDS TUG_EXPORT int tug_tls_default(tug_tls **ret_tls) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
