/* The input as a file that can be read again by offset. */
#include "etl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/offload.h>
#include <unistd.h>

enum {
    INPUT_POLL_MS = 20 /* how often a FIFO is looked at until somebody writes to it */
};

static int input_fail(int error, const char *name, const char *what)
{
    return tug_fail(-error, "input %s: %s: %s", name, what, strerror(error));
}

static int temporary_file(int *ret_fd)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/etl_packages.XXXXXX",
             folder != NULL && *folder != 0 ? folder : "/tmp");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        return tug_fail(-error, "temporary file %s: %s", path, strerror(error));
    }
    unlink(path); /* gone with the descriptor, however the program ends */
    *ret_fd = fd;
    return 0;
}

struct piece {
    int fd;
    int64_t offset;
    size_t size;
    char data[ETL_READ];
};

/* On an offload thread: the disk may be slow. */
static int write_piece(void *arg)
{
    struct piece *p = arg;
    for (size_t done = 0; done < p->size;) {
        ssize_t n = pwrite(p->fd, p->data + done, p->size - done, p->offset + (off_t)done);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int spool_all(int from, const char *name, struct piece *p)
{
    int rc = 0;
    do {
        rc = tug_read_at(from, -1, p->data, sizeof p->data);
        if (rc < 0) {
            return rc > -4096 ? input_fail(-rc, name, "read") : rc;
        }
        p->size = (size_t)rc;
        int written = tug_offload(write_piece, p);
        if (written < 0) {
            return written > -4096 ? tug_fail(written, "temporary file for the input %s: %s", name,
                                              strerror(-written))
                                   : written;
        }
        p->offset += (int64_t)p->size;
    } while (rc > 0);
    return 0;
}

/* Copies what cannot be read twice. */
static int spool(int from, const char *name, int *ret_fd, int64_t *ret_size)
{
    struct piece *p = malloc(sizeof *p);
    if (p == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the input");
    }
    p->offset = 0;
    int rc = temporary_file(&p->fd);
    if (rc == 0) {
        rc = spool_all(from, name, p);
        if (rc < 0) {
            close(p->fd);
        }
    }
    if (rc == 0) {
        *ret_fd = p->fd;
        *ret_size = p->offset;
    }
    free(p);
    return rc;
}

/* Without a writer a FIFO reads as if it had ended: a run of nothing, and verified. Its first writer
 * may come later than its reader. */
static int wait_for_writer(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc = 0;
    while (rc == 0 && poll(&p, 1, 0) == 0) {
        rc = tug_sleep(TUG_MS(INPUT_POLL_MS));
    }
    return rc;
}

int input_open(const char *name, int *ret_fd, int64_t *ret_size)
{
    bool is_stdin = strcmp(name, "-") == 0;
    /* O_NONBLOCK: to open a FIFO without a writer must not wait; regular files ignore it. */
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        return input_fail(errno, name, "open");
    }
    int rc = 0;
    if (S_ISDIR(st.st_mode)) {
        rc = input_fail(EISDIR, name, "open");
    } else if (S_ISREG(st.st_mode) && !is_stdin) {
        *ret_size = st.st_size;
        *ret_fd = fd;
        return 0;
    } else {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        rc = S_ISFIFO(st.st_mode) && !is_stdin ? wait_for_writer(fd) : 0;
        rc = rc == 0 ? spool(fd, name, ret_fd, ret_size) : rc;
    }
    if (!is_stdin) {
        close(fd);
    }
    return rc;
}

int input_reread(int fd, int64_t offset, int64_t length, stanza_splitter **ret_splitter,
                 stanza *ret_stanza)
{
    stanza_splitter *s = NULL;
    int rc = stanza_splitter_new(offset, &s);
    char *data = malloc(ETL_READ);
    if (rc == 0 && data == NULL) {
        rc = tug_fail(TUG_ENOMEM, "out of memory for the input");
    }
    for (int64_t done = 0; rc == 0 && done < length;) {
        size_t size = length - done < ETL_READ ? (size_t)(length - done) : ETL_READ;
        rc = tug_read_at(fd, offset + done, data, size);
        done += rc;
        if (rc > 0) {
            stanza_splitter_feed(s, data, (size_t)rc);
            rc = stanza_splitter_next(s, ret_stanza);
        } else if (rc == 0) {
            rc = tug_fail(ETL_CHANGED, "the input has become shorter");
        }
    }
    if (rc == 0) {
        stanza_splitter_finish(s);
        rc = stanza_splitter_next(s, ret_stanza);
    }
    free(data);
    if (rc == 1) {
        *ret_splitter = s;
        return 0;
    }
    stanza_splitter_free(s);
    return rc < 0 ? rc : tug_fail(ETL_CHANGED, "no stanza at byte %lld", (long long)offset);
}
