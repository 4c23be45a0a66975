#include "kit/socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>

/* With all three a peer that vanished is noticed after a minute. */
const struct tug__socket_options tug__socket_defaults = {
    .keep_idle = 30, .keep_every = 10, .keep_times = 3};

static void set(int fd, int level, int name, int value)
{
    /* Unix sockets refuse these, and need none of them. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void tug__socket_tune(int fd, const struct tug__socket_options *o)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* one send a turn is our own Nagle */
    set(fd, SOL_SOCKET, SO_KEEPALIVE, o->keep_idle > 0);
    if (o->keep_idle > 0) {
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keep_idle);
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keep_every);
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keep_times);
    }
    if (o->user_timeout > 0) {
        set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout);
    }
}

void tug__socket_name(const union tug__any_address *a, socklen_t size, char *to, size_t room)
{
    char text[INET6_ADDRSTRLEN] = "";
    const size_t path_at = offsetof(struct sockaddr_un, sun_path);
    if (a->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof text);
        snprintf(to, room, "%s:%u", text, (unsigned)ntohs(a->in.sin_port));
    } else if (a->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof text);
        snprintf(to, room, "[%s]:%u", text, (unsigned)ntohs(a->in6.sin6_port));
    } else if (a->any.sa_family == AF_UNIX && size > path_at && a->un.sun_path[0] != 0) {
        snprintf(to, room, "%.*s", (int)(size - path_at), a->un.sun_path);
    } else {
        snprintf(to, room, "%s", "");
    }
}

void tug__socket_peer(int fd, char *to, size_t room)
{
    union tug__any_address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof a;
    *to = 0;
    if (getpeername(fd, &a.any, &size) == 0) {
        tug__socket_name(&a, size, to, room);
    }
    if (*to == 0) {
        snprintf(to, room, "the peer of socket %d", fd);
    }
}

void tug__socket_local(int fd, char *to, size_t room)
{
    union tug__any_address a = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof a;
    *to = 0;
    if (getsockname(fd, &a.any, &size) == 0) {
        tug__socket_name(&a, size, to, room);
    }
}
