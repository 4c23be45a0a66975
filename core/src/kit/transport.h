/* What:      how transports come to be: from a descriptor, from the addresses of a host; and what the
 *            stream over one needs to know of it.
 * Ownership: the transport is yours; on failure the descriptor still is.
 * Context:   dial: task only; the rest: any context of the loop. Callbacks: none.
 * Errors:    TUG_ENOMEM, TUG_EMISUSE, TUG_EINVAL, TUG_ECONNECT, TUG_ECANCELED. */
#ifndef TUG_KIT_TRANSPORT_H
#define TUG_KIT_TRANSPORT_H

#include <tug/resolve.h>
#include <tug/sys/transport.h>

#include "kit/socket.h"

struct tug__wire;

enum {
    TUG__PEER_BYTES = 128 /* "[address%zone]:port"; a Unix path has at most 107 */
};

struct tug__dial_options {
    struct tug__socket_options socket;
    tug_duration attempt_delay; /* until the next address is tried beside one that says nothing */
    tug_duration timeout;       /* of all, when the caller has no deadline */
};

extern const struct tug__dial_options tug__dial_defaults;

/* fd is a socket, non-blocking and set up. peer is copied. */
int tug__transport_new(int fd, const char *peer, tug_transport **ret_transport);
/* As tug_transport_from_fd, and takes pipes, FIFOs and terminals too. */
int tug__transport_adopt(int fd, const struct tug__socket_options *o,
                         tug_transport **ret_transport);
/* Before start: a pipe with these directions, whose flags are set back to old_flags at the end. */
void tug__transport_set_pipe(tug_transport *t, unsigned directions, int old_flags);
/* Closes a transport, but not its descriptor, which is returned. Nothing may be unsent. */
int tug__transport_release(tug_transport *t);
/* What lies under it: to be changed before the start only, when nothing is unsent. */
struct tug__wire *tug__transport_wire(tug_transport *t);
/* Connected, not started, and its handshake has not failed. */
bool tug__transport_is_idle(const tug_transport *t);
/* Waits for the handshake of the wire; before the start it is what begins it. After a failure, a cancel
 * before the start too, t is good for close only. */
TUG_SUSPENDS int tug__transport_shake(tug_transport *t);
/* Ends it for the owner's own reason: on_end is not called. */
void tug__transport_abort(tug_transport *t, const tug_error *why);
/* After on_end. Borrowed. */
const tug_error *tug__transport_why(const tug_transport *t);
/* Why a send has failed although on_end has not come yet; 0. */
int tug__transport_check(const tug_transport *t);
/* TUG_READ | TUG_WRITE, or what a pipe has. */
unsigned tug__transport_directions(const tug_transport *t);
/* -1 after the end. Borrowed. */
int tug__transport_fd(const tug_transport *t);
/* "" after the end, if it was not asked for before. Borrowed. */
const char *tug__transport_local(tug_transport *t);

/* As tug_transport_dial. */
TUG_SUSPENDS int tug__transport_dial(const char *host, uint16_t port,
                                     const struct tug__dial_options *o,
                                     tug_transport **ret_transport);
/* As tug_transport_dial_tls. */
struct tug_tls;
TUG_SUSPENDS int tug__transport_dial_tls(const char *host, uint16_t port,
                                         const struct tug__dial_options *o, struct tug_tls *tls,
                                         tug_transport **ret_transport);
/* The settings can serve clients on this loop: 0 or why not. */
int tug__tls_check_server(const struct tug_tls *tls);
/* The second half of dial: the addresses (at least one), the first that answers wins. */
TUG_SUSPENDS int tug__dial_addresses(const char *host, uint16_t port,
                                     const tug_addresses *addresses,
                                     const struct tug__dial_options *o,
                                     tug_transport **ret_transport);

#endif
