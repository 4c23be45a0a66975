#include "kit/wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_receive(struct tug__wire *w, void *to, size_t size)
{
    ssize_t n;
    do {
        n = recv(w->fd, to, size, 0);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : -errno;
}

static ssize_t plain_send(struct tug__wire *w, const void *from, size_t size)
{
    ssize_t n;
    do {
        /* Without the flag a peer that went away would kill the process by SIGPIPE. */
        n = send(w->fd, from, size, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : -errno;
}

static void plain_close(struct tug__wire *w)
{
    close(w->fd);
    w->fd = -1;
}

const struct tug__wire_ops tug__wire_plain = {
    .receive = plain_receive, .send = plain_send, .close = plain_close};
