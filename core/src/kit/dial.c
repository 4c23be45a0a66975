/* What: how sockets come to be: taken over, or connected to the first address of a host that
 * answers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tug/resolve.h>
#include <tug/scope.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/transport.h"

enum {
    KEEPALIVE_IDLE = 30, /* s; with the next two a peer that vanished is noticed after a minute */
    KEEPALIVE_EVERY = 10,
    KEEPALIVE_TIMES = 3,
    DIAL_SECONDS = 10,    /* look-up and all addresses, when the caller has no deadline */
    BACKLOG_RETRY_MS = 5, /* a Unix listener with a full backlog refuses instead of queueing */
    LABEL_BYTES = TUG__PEER_BYTES + 160
};

union any_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* --- taking one over ------------------------------------------------------------------------- */

static void tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1}, /* one send a turn is our own Nagle */
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TIMES},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        /* Unix sockets refuse these, and need none of them. */
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
    }
}

static void describe_peer(int fd, char *to, size_t room)
{
    union any_address peer = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof peer;
    char text[INET6_ADDRSTRLEN] = "";
    int rc = getpeername(fd, &peer.any, &size);
    if (rc == 0 && peer.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &peer.in.sin_addr, text, sizeof text);
        snprintf(to, room, "%s:%u", text, (unsigned)ntohs(peer.in.sin_port));
    } else if (rc == 0 && peer.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &peer.in6.sin6_addr, text, sizeof text);
        snprintf(to, room, "[%s]:%u", text, (unsigned)ntohs(peer.in6.sin6_port));
    } else if (rc == 0 && size > offsetof(struct sockaddr_un, sun_path) &&
               peer.un.sun_path[0] != 0) {
        snprintf(to, room, "%.*s", (int)(size - offsetof(struct sockaddr_un, sun_path)),
                 peer.un.sun_path);
    } else {
        snprintf(to, room, "the peer of socket %d", fd);
    }
}

int tug_transport_from_fd(int fd, tug_transport **ret_transport)
{
    if (!tug_has_loop("tug_transport_from_fd")) {
        return TUG_EMISUSE;
    }
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
        return tug_fail(TUG_EINVAL, "file descriptor %d is no stream socket", fd);
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return tug_fail(TUG_EINVAL, "file descriptor %d cannot be made non-blocking", fd);
    }
    char peer[TUG__PEER_BYTES];
    describe_peer(fd, peer, sizeof peer);
    tune(fd);
    return tug__transport_new(fd, peer, ret_transport);
}

/* --- connecting ------------------------------------------------------------------------------ */

/* A socket that connects to a free port of the ephemeral range on its own machine may be given that
 * very port, and is then connected to itself. The server that was meant is not there. */
static bool is_itself(int fd)
{
    union any_address here, there;
    socklen_t here_size = sizeof here, there_size = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, &here.any, &here_size) == 0 &&
           getpeername(fd, &there.any, &there_size) == 0 && here.any.sa_family != AF_UNIX &&
           here_size == there_size && memcmp(&here, &there, here_size) == 0;
}

/* 0, the system's -errno, or a code of ours. */
static int wait_connected(int fd)
{
    int rc = tug_fd_wait(fd, TUG_WRITE);
    if (rc < 0) {
        return rc;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    return error != 0 ? -error : is_itself(fd) ? -ECONNREFUSED : 0;
}

static int connect_fd(int fd, const struct sockaddr *to, socklen_t size)
{
    while (connect(fd, to, size) < 0) {
        if (errno == EINPROGRESS || errno == EINTR) {
            return wait_connected(fd);
        }
        if (errno != EAGAIN || to->sa_family != AF_UNIX) {
            return -errno;
        }
        int rc = tug_sleep(TUG_MS(BACKLOG_RETRY_MS));
        if (rc < 0) {
            return rc;
        }
    }
    return is_itself(fd) ? -ECONNREFUSED : 0;
}

static int try_address(const struct sockaddr *to, socklen_t size, const char *peer,
                       tug_transport **ret_transport)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    tune(fd);
    int rc = connect_fd(fd, to, size);
    if (rc == 0) {
        rc = tug__transport_new(fd, peer, ret_transport);
    }
    if (rc < 0) {
        close(fd);
    }
    return rc;
}

/* The detail of one address that did not answer: rc is what try_address or its scope gave. */
static int dial_failed(const char *label, int rc)
{
    tug_error e;
    char native[12] = "";
    if (rc == TUG_ECANCELED) {
        return tug_fail(rc, "cannot connect to %s: no answer", label);
    }
    if (rc == TUG_ETIMEDOUT) {
        tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL,
                      "cannot connect to %s: no answer", label);
        e.transient = true;
        return tug_fail_with(&e);
    }
    if (rc < -4095) {
        return rc; /* out of memory and the like: the detail stands */
    }
    snprintf(native, sizeof native, "%d", -rc);
    tug_error_set(&e, TUG_ECONNECT, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "cannot connect to %s: %s",
                  label, strerrordesc_np(-rc));
    e.transient = rc != -EACCES && rc != -EPERM && rc != -EAFNOSUPPORT;
    return tug_fail_with(&e);
}

/* The i-th address, with its share of the time that is left. The last one has all of it: when that
 * is over, the caller's own deadline is the reason. */
static int dial_one(const char *host, uint16_t port, const tug_addresses *a, size_t i,
                    tug_transport **ret_transport)
{
    const char *text = tug_addresses_text(a, i);
    size_t left = tug_addresses_count(a) - i;
    char peer[TUG__PEER_BYTES], label[LABEL_BYTES];
    bool is_v6 = strchr(text, ':') != NULL;
    snprintf(peer, sizeof peer, is_v6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
    if (strcmp(host, text) == 0) {
        snprintf(label, sizeof label, "%s", peer);
    } else {
        snprintf(label, sizeof label, "%s (%.140s)", peer, host);
    }
    unsigned size = 0;
    const struct sockaddr *to = tug_addresses_sockaddr(a, i, &size);
    int rc;
    if (left > 1) {
        tug_scope share;
        tug_scope_enter(&share, tug_time_left() / (tug_duration)left);
        rc = tug_scope_leave(&share, try_address(to, size, peer, ret_transport));
    } else {
        rc = try_address(to, size, peer, ret_transport);
    }
    return rc < 0 ? dial_failed(label, rc) : 0;
}

int tug__dial_addresses(const char *host, uint16_t port, const tug_addresses *addresses,
                        tug_transport **ret_transport)
{
    int rc = 0;
    for (size_t i = 0; i < tug_addresses_count(addresses); i++) {
        rc = dial_one(host, port, addresses, i, ret_transport);
        if (rc != TUG_ECONNECT) {
            break;
        }
    }
    return rc;
}

static int dial_host(const char *host, uint16_t port, tug_transport **ret_transport)
{
    TUG_AUTO(tug_addresses) addresses = NULL;
    int rc = tug_resolve(host, port, &addresses);
    if (rc == TUG_ECANCELED) {
        return tug_fail(rc, "cannot resolve host \"%s\": no answer", host);
    }
    return rc < 0 ? rc : tug__dial_addresses(host, port, addresses, ret_transport);
}

static int dial_path(const char *path, tug_transport **ret_transport)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strnlen(path, sizeof to.sun_path);
    if (n == sizeof to.sun_path) {
        return tug_fail(TUG_EINVAL, "the path of a socket has at most %zu bytes",
                        sizeof to.sun_path - 1);
    }
    memcpy(to.sun_path, path, n);
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    rc = try_address((const struct sockaddr *)&to, sizeof to, path, ret_transport);
    return rc < 0 ? dial_failed(path, rc) : 0;
}

int tug_transport_dial(const char *host, uint16_t port, tug_transport **ret_transport)
{
    if (host == NULL || *host == 0) {
        return tug_fail(TUG_EINVAL, "no host to connect to");
    }
    if (tug_task_current() == NULL) {
        return tug_fail(TUG_EMISUSE, "connecting to %s waits: call it from a task", host);
    }
    bool has_deadline = tug_time_left() != TUG_FOREVER;
    tug_scope all;
    if (!has_deadline) {
        tug_scope_enter(&all, TUG_SECONDS(DIAL_SECONDS));
    }
    int rc = *host == '/' ? dial_path(host, ret_transport) : dial_host(host, port, ret_transport);
    if (!has_deadline) {
        rc = tug_scope_leave(&all, rc);
        if (rc == TUG_ETIMEDOUT) {
            /* The caller has set no deadline, so it gets no TUG_ETIMEDOUT. */
            tug_error e = *tug_last_error();
            e.code = TUG_ECONNECT;
            e.transient = true;
            rc = tug_fail_with(&e);
        }
    }
    return rc;
}
