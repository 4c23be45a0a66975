#include "kit/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/error.h>
#include <tug/resolve.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/resolve.h"

static int failed(const char *text, int error)
{
    tug_error e;
    char native[12];
    snprintf(native, sizeof native, "%d", error);
    tug_error_set(&e, tug_error_from_errno(error), TUG_ORIGIN_OS, TUG_NOT_SENT, native,
                  "cannot listen on %.160s: %s", text, strerrordesc_np(error));
    return tug_fail_with(&e);
}

static int open_socket(int family, const char *text, int *ret_fd)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed(text, errno);
    }
    *ret_fd = fd;
    return 0;
}

/* --- TCP ------------------------------------------------------------------------------------- */

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

static int bind_tcp(int fd, const tug_listener_options *o, const struct sockaddr *to,
                    socklen_t size)
{
    /* Without it a restarted server would wait for a minute until its old connections are forgotten. */
    int rc = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && o->reuse_port) {
        rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (rc == 0 && to->sa_family == AF_INET6) {
        rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->only_v6);
    }
    return rc < 0 ? rc : bind(fd, to, size) < 0 ? -errno : 0;
}

static int listen_tcp(const char *text, const struct tug__address *a, const tug_listener_options *o,
                      const struct tug__socket_options *socket_options, struct tug__listening *l)
{
    TUG_AUTO(tug_addresses) addresses = NULL;
    const char *host = a->host;
    unsigned size = 0;
    int rc = tug__addresses_from_numbers(&host, 1, a->port, &addresses);
    if (rc == TUG_ENOTFOUND) {
        return tug_fail(TUG_EINVAL, "cannot listen on %.160s: a name, where an address is needed",
                        text);
    }
    if (rc < 0) {
        return rc;
    }
    const struct sockaddr *to = tug_addresses_sockaddr(addresses, 0, &size);
    rc = open_socket(to->sa_family, text, &l->fd);
    if (rc < 0) {
        return rc;
    }
    tug__socket_tune(l->fd, socket_options);
    rc = bind_tcp(l->fd, o, to, size);
    if (rc == 0 && listen(l->fd, o->backlog) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        return failed(text, -rc);
    }
    char name[TUG__ADDRESS_BYTES - 8];
    tug__socket_local(l->fd, name, sizeof name);
    snprintf(l->address, sizeof l->address, "%s://%s", a->is_tls ? "tls" : "tcp", name);
    return 0;
}

/* --- Unix ------------------------------------------------------------------------------------ */

/* A server that was killed leaves its file behind, and bind takes no name that is there. Only a socket
 * that refuses a connection has nobody behind it. */
static bool is_stale(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return refused;
}

static int bind_path(int fd, const tug_listener_options *o, const struct sockaddr_un *at)
{
    const struct sockaddr *any = (const struct sockaddr *)at;
    /* The file gets the socket's own mode less the umask: so it is never open to more than in the end. */
    if (o->mode != 0 && fchmod(fd, (mode_t)o->mode) < 0) {
        return -errno;
    }
    int rc = bind(fd, any, sizeof *at) < 0 ? -errno : 0;
    if (rc == -EADDRINUSE && is_stale(at) && unlink(at->sun_path) == 0) {
        rc = bind(fd, any, sizeof *at) < 0 ? -errno : 0;
    }
    return rc;
}

static int note_file(struct tug__listening *l, const tug_listener_options *o)
{
    struct stat st;
    if (lstat(l->path, &st) < 0) {
        return -errno;
    }
    l->has_file = true;
    l->device = st.st_dev;
    l->inode = st.st_ino;
    /* What the umask took away. */
    return o->mode != 0 && chmod(l->path, (mode_t)o->mode) < 0 ? -errno : 0;
}

static int listen_path(const char *text, const struct tug__address *a,
                       const tug_listener_options *o, struct tug__listening *l)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(a->host) >= sizeof at.sun_path) {
        return tug_fail(TUG_EINVAL, "the path of a socket has at most %zu bytes",
                        sizeof at.sun_path - 1);
    }
    memcpy(at.sun_path, a->host, strlen(a->host) + 1);
    memcpy(l->path, at.sun_path, sizeof l->path);
    snprintf(l->address, sizeof l->address, "unix:%s", l->path);
    int rc = open_socket(AF_UNIX, text, &l->fd);
    if (rc < 0) {
        return rc;
    }
    rc = bind_path(l->fd, o, &at);
    rc = rc < 0 ? rc : note_file(l, o);
    if (rc == 0 && listen(l->fd, o->backlog) < 0) {
        rc = -errno;
    }
    return rc < 0 ? failed(text, -rc) : 0;
}

int tug__listen(const char *text, const struct tug__address *a, const tug_listener_options *o,
                const struct tug__socket_options *socket_options,
                struct tug__listening *ret_listening)
{
    struct tug__listening l = {.fd = -1};
    int rc = a->is_path ? listen_path(text, a, o, &l) : listen_tcp(text, a, o, socket_options, &l);
    if (rc < 0) {
        tug__listen_end(&l);
        return rc;
    }
    *ret_listening = l;
    return 0;
}

void tug__listen_end(struct tug__listening *l)
{
    struct stat st;
    /* Another server may have put its own file there meanwhile. */
    if (l->has_file && lstat(l->path, &st) == 0 && st.st_dev == l->device &&
        st.st_ino == l->inode) {
        unlink(l->path);
    }
    l->has_file = false;
    if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
}
