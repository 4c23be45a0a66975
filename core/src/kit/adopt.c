/* What: transports over descriptors that somebody else has opened. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/transport.h"

static int make_nonblocking(int fd, int *ret_flags)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        return tug_fail(TUG_EINVAL, "file descriptor %d cannot be made non-blocking", fd);
    }
    *ret_flags = flags;
    return 0;
}

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static int adopt_socket(int fd, const struct tug__socket_options *o, tug_transport **ret_transport)
{
    int flags = 0;
    char peer[TUG__PEER_BYTES];
    int rc = make_nonblocking(fd, &flags);
    if (rc < 0) {
        return rc;
    }
    tug__socket_peer(fd, peer, sizeof peer);
    tug__socket_tune(fd, o);
    return tug__transport_new(fd, peer, ret_transport);
}

/* The kind of descriptor in words, NULL if it is none that can be waited for. */
static const char *kind_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return NULL;
    }
    return S_ISFIFO(st.st_mode) ? "pipe" : S_ISCHR(st.st_mode) ? "terminal" : NULL;
}

static unsigned directions_of(int flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return TUG_READ;
    case O_WRONLY:
        return TUG_WRITE;
    default:
        return TUG_READ | TUG_WRITE;
    }
}

static int adopt_pipe(int fd, const char *kind, tug_transport **ret_transport)
{
    int flags = 0;
    char peer[TUG__PEER_BYTES];
    int rc = make_nonblocking(fd, &flags);
    if (rc < 0) {
        return rc;
    }
    snprintf(peer, sizeof peer, "%s %d", kind, fd);
    rc = tug__transport_new(fd, peer, ret_transport);
    if (rc < 0) {
        fcntl(fd, F_SETFL, flags);
        return rc;
    }
    tug__transport_set_pipe(*ret_transport, directions_of(flags), flags);
    return 0;
}

int tug__transport_adopt(int fd, const struct tug__socket_options *o, tug_transport **ret_transport)
{
    if (!tug_has_loop("tug_stream_from_fd")) {
        return TUG_EMISUSE;
    }
    const char *kind = kind_of(fd);
    if (kind != NULL) {
        return adopt_pipe(fd, kind, ret_transport);
    }
    if (!is_stream_socket(fd)) {
        return tug_fail(TUG_EINVAL, "file descriptor %d is no stream socket, pipe or terminal", fd);
    }
    return adopt_socket(fd, o, ret_transport);
}

int tug_transport_from_fd(int fd, tug_transport **ret_transport)
{
    if (!tug_has_loop("tug_transport_from_fd")) {
        return TUG_EMISUSE;
    }
    if (!is_stream_socket(fd)) {
        return tug_fail(TUG_EINVAL, "file descriptor %d is no stream socket", fd);
    }
    return adopt_socket(fd, &tug__socket_defaults, ret_transport);
}
