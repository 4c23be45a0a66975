#include "kit/wire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
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

static int plain_shutdown_write(struct tug__wire *w)
{
    /* A peer that has gone already needs not be told. */
    return shutdown(w->fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

static void plain_close(struct tug__wire *w, bool is_whole)
{
    (void)is_whole;
    close(w->fd);
    w->fd = -1;
}

const struct tug__wire_ops tug__wire_plain = {.receive = plain_receive,
                                              .send = plain_send,
                                              .shutdown_write = plain_shutdown_write,
                                              .close = plain_close};

/* --- pipes ----------------------------------------------------------------------------------- */

static ssize_t pipe_receive(struct tug__wire *w, void *to, size_t size)
{
    ssize_t n;
    do {
        n = read(w->fd, to, size);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return n;
    }
    if (errno == EBADF) {
        /* The writing end: it becomes "readable" when the last reader has gone. */
        struct pollfd p = {.fd = w->fd};
        return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0 ? -EPIPE : -EAGAIN;
    }
    /* The other side of a pseudo-terminal was closed: an end, though the system calls it an error. */
    return errno == EIO && isatty(w->fd) ? 0 : -errno;
}

/* write() to a pipe without readers raises SIGPIPE in this thread, and there is no flag against it. The
 * disposition belongs to the process, so the signal is blocked for the moment and taken off the
 * thread again, unless one was waiting before. */
static ssize_t write_without_signal(int fd, const void *from, size_t size)
{
    static const struct timespec at_once = {0};
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = write(fd, from, size);
    int error = errno;
    if (n < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

static ssize_t pipe_send(struct tug__wire *w, const void *from, size_t size)
{
    ssize_t n;
    do {
        n = write_without_signal(w->fd, from, size);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : -errno;
}

static int pipe_shutdown_write(struct tug__wire *w)
{
    (void)w;
    return 0; /* the transport closes what can only be written to */
}

const struct tug__wire_ops tug__wire_pipe = {.receive = pipe_receive,
                                             .send = pipe_send,
                                             .shutdown_write = pipe_shutdown_write,
                                             .close = plain_close};
