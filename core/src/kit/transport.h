/* What:      how transports come to be: from a connected socket, from the addresses of a host.
 * Ownership: the transport is yours; on failure the socket still is.
 * Context:   new: any context of the loop; dial: task only. Callbacks: none.
 * Errors:    TUG_ENOMEM, TUG_EMISUSE, TUG_ECONNECT, TUG_ECANCELED. */
#ifndef TUG_KIT_TRANSPORT_H
#define TUG_KIT_TRANSPORT_H

#include <tug/resolve.h>
#include <tug/sys/transport.h>

enum {
    TUG__PEER_BYTES = 128 /* "[address%zone]:port"; a Unix path has at most 107 */
};

/* fd is non-blocking and set up. peer is copied. */
int tug__transport_new(int fd, const char *peer, tug_transport **ret_transport);
/* Closes a transport, but not its socket, which is returned. Nothing may be unsent. */
int tug__transport_release(tug_transport *t);
/* The second half of dial: the addresses (at least one) in turn, each with its share of the time
 * that is left; the last one has all of it. */
TUG_SUSPENDS int tug__dial_addresses(const char *host, uint16_t port,
                                     const tug_addresses *addresses, tug_transport **ret_transport);

#endif
