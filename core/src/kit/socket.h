/* What:      what all our sockets have in common: options, names.
 * Ownership: nothing is kept. Context: any. Callbacks: none.
 * Errors:    none: an option that a kind of socket does not know is not set. */
#ifndef TUG_KIT_SOCKET_H
#define TUG_KIT_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tug/base.h>

union tug__any_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* In the system's units. */
struct tug__socket_options {
    int keep_idle, keep_every; /* s; keep_idle 0: no keepalive */
    int keep_times;
    int user_timeout; /* ms; 0: the system's own */
};

extern const struct tug__socket_options tug__socket_defaults;

/* TCP_NODELAY always. Sockets that a listening one accepts inherit all of it. */
void tug__socket_tune(int fd, const struct tug__socket_options *o);
/* "127.0.0.1:80", "[::1]:80", "/path"; "" for one without a name. size as the system gave it. */
void tug__socket_name(const union tug__any_address *a, socklen_t size, char *to, size_t room);
/* The peer's name, "the peer of ..." if it has none; our own, "" if it has none. */
void tug__socket_peer(int fd, char *to, size_t room);
void tug__socket_local(int fd, char *to, size_t room);

#endif
