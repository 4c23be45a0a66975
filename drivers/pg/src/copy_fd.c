/* COPY from and to a file descriptor. A regular file is never "not ready": it is read and written on
 * threads. Everything else is waited for; a descriptor that blocks is not touched further than its
 * readiness says, so that nobody's flags have to be changed. */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

typedef enum fd_kind {
    FD_FILE,
    FD_SOCKET,
    FD_PIPE /* terminals too */
} fd_kind;

static int fd_failed(int code, int fd, const char *what)
{
    return tug_fail(tug_error_from_errno(code), "%s: descriptor %d: %s", what, fd, strerror(code));
}

static int fd_kind_of(int fd, const char *what, fd_kind *ret_kind)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return fd_failed(errno, fd, what);
    }
    if (S_ISDIR(st.st_mode)) {
        return fd_failed(EISDIR, fd, what);
    }
    bool is_pipe = S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd));
    *ret_kind = S_ISSOCK(st.st_mode) ? FD_SOCKET : is_pipe ? FD_PIPE : FD_FILE;
    return 0;
}

/* --- in --------------------------------------------------------------------------------------- */

/* > 0: bytes; 0: the end. */
static int fd_read(int fd, fd_kind kind, char *to)
{
    if (kind == FD_FILE) {
        /* Where it stands: a read at an offset leaves that alone, and it is moved when the data have
         * been taken. */
        off_t at = lseek(fd, 0, SEEK_CUR);
        return at < 0 ? fd_failed(errno, fd, "tug_pg_copy_from_fd")
                      : tug_read_at(fd, at, to, TUG__PG_COPY_BLOCK);
    }
    for (;;) {
        int rc = tug_fd_wait(fd, TUG_READ);
        if (rc < 0) {
            return rc;
        }
        /* Ready: a read gives what there is, and does not wait for more. */
        ssize_t n = kind == FD_SOCKET ? recv(fd, to, TUG__PG_COPY_BLOCK, MSG_DONTWAIT)
                                      : read(fd, to, TUG__PG_COPY_BLOCK);
        if (n >= 0) {
            return (int)n;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fd_failed(errno, fd, "tug_pg_copy_from_fd");
        }
    }
}

int tug_pg_copy_from_fd(tug_pg_copy *copy, int fd, int64_t *ret_bytes)
{
    fd_kind kind = FD_FILE;
    int64_t total = 0;
    int rc = tug__pg_copy_check(copy, false, "tug_pg_copy_from_fd");
    rc = rc < 0 ? rc : fd_kind_of(fd, "tug_pg_copy_from_fd", &kind);
    if (rc < 0) {
        return rc;
    }
    char *block = tug_alloc(TUG__PG_COPY_BLOCK);
    if (block == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a COPY");
    }
    /* Room first: what has been read from a pipe and finds none would be lost by a cancel. */
    while ((rc = tug__pg_copy_wait_room(copy, "tug_pg_copy_from_fd")) == 0 &&
           (rc = fd_read(fd, kind, block)) > 0) {
        int n = rc;
        rc = tug__pg_copy_put(copy, tug_bytes(block, (size_t)n));
        if (rc < 0) {
            break;
        }
        if (kind == FD_FILE && lseek(fd, n, SEEK_CUR) < 0) {
            rc = fd_failed(errno, fd, "tug_pg_copy_from_fd");
            break;
        }
        total += n;
    }
    tug_free(block);
    if (ret_bytes != NULL) {
        *ret_bytes = total;
    }
    return rc;
}

/* --- out -------------------------------------------------------------------------------------- */

typedef struct file_write {
    int fd;
    const char *data;
    size_t size;
} file_write;

static int file_write_job(void *arg)
{
    file_write *w = arg;
    ssize_t n;
    do {
        n = write(w->fd, w->data, w->size);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? fd_failed(errno, w->fd, "tug_pg_copy_to_fd") : (int)n;
}

/* To a pipe, without the signal that a reader who has gone would be: it is blocked for the call and taken
 * back. A blocking pipe that says it is writable has room for PIPE_BUF bytes, and no more is sure. */
static ssize_t pipe_write(int fd, const char *data, size_t size)
{
    sigset_t pipe_only, before, pending;
    const struct timespec at_once = {0};
    int flags = fcntl(fd, F_GETFL);
    if ((flags < 0 || (flags & O_NONBLOCK) == 0) && size > PIPE_BUF) {
        size = PIPE_BUF;
    }
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = write(fd, data, size);
    int code = errno;
    if (n < 0 && code == EPIPE && !was_pending) {
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return n;
}

/* > 0: bytes. */
static int fd_write(int fd, fd_kind kind, const char *data, size_t size)
{
    size = size < TUG__PG_COPY_BLOCK ? size : TUG__PG_COPY_BLOCK;
    if (kind == FD_FILE) {
        file_write w = {.fd = fd, .data = data, .size = size};
        return tug_offload(file_write_job, &w);
    }
    for (;;) {
        int rc = tug_fd_wait(fd, TUG_WRITE);
        if (rc < 0) {
            return rc;
        }
        ssize_t n = kind == FD_SOCKET ? send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                      : pipe_write(fd, data, size);
        if (n >= 0) {
            return (int)n;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fd_failed(errno, fd, "tug_pg_copy_to_fd");
        }
    }
}

int tug_pg_copy_to_fd(tug_pg_copy *copy, int fd, int64_t *ret_bytes)
{
    fd_kind kind = FD_FILE;
    struct tug_bytes data = {0};
    int64_t total = 0;
    int rc = tug__pg_copy_check(copy, true, "tug_pg_copy_to_fd");
    rc = rc < 0 ? rc : fd_kind_of(fd, "tug_pg_copy_to_fd", &kind);
    if (rc < 0) {
        return rc;
    }
    while ((rc = tug_pg_copy_read(copy, &data)) > 0) {
        for (size_t at = 0; at < data.size && rc > 0; at += rc > 0 ? (size_t)rc : 0) {
            rc = fd_write(fd, kind, (const char *)data.data + at, data.size - at);
            total += rc > 0 ? rc : 0;
        }
        if (rc <= 0) {
            copy->is_torn = true;
            break;
        }
    }
    if (ret_bytes != NULL) {
        *ret_bytes = total;
    }
    return rc;
}
