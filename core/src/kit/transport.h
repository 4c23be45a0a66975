/* What:      how a transport is made from a socket that is connected already.
 * Ownership: the transport is yours; on failure the socket still is.
 * Context:   any context of the loop. Callbacks: none. Errors: TUG_ENOMEM, TUG_EMISUSE. */
#ifndef TUG_KIT_TRANSPORT_H
#define TUG_KIT_TRANSPORT_H

#include <tug/sys/transport.h>

enum {
    TUG__PEER_BYTES = 128 /* "[address%zone]:port"; a Unix path has at most 107 */
};

/* fd is non-blocking and set up. peer is copied. */
int tug__transport_new(int fd, const char *peer, tug_transport **ret_transport);

#endif
