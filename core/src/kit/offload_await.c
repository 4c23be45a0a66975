/* What: the waits for offload jobs. tug_offload's job lives on the waiting task's stack, for the
 * task never leaves before it; an abandonable one is on the heap and may outlive its wait. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/offload_run.h"
#include "kit/resolve.h"
#include "loop/offload.h"
#include "util/error.h"

enum {
    READ_MAX = 256 * 1024 /* one read: what an abandoned one may hold on to */
};

/* A call on a thread and what came of it. The base is first: a job is its call. */
struct call {
    struct tug__job base;
    int (*fn)(void *arg);
    void (*destroy)(void *arg); /* abandonable ones only */
    void *arg;
    int rc;
    bool is_finished;  /* done was called */
    bool is_abandoned; /* the wait has ended before */
    tug_error error;   /* the detail that fn left on its thread */
    tug_waiters waiter;
};

int tug__offload_run(int (*fn)(void *arg), void *arg, tug_error *ret_error)
{
    /* The thread serves many callers: the detail of an earlier one must not pass for this one's. */
    tug__error_plain(tug__error_current(), 0);
    int rc = fn(arg);
    if (rc < 0 && rc >= -4095) {
        /* Never -ETIMEDOUT and the like, whatever fn gives: callers tell deadlines by the code. */
        int code = tug_error_from_errno(-rc);
        if (code != rc && tug_last_error()->code == rc) {
            tug__error_current()->code = code;
        }
        rc = code;
    }
    if (rc < 0 && tug_last_error()->code == rc) {
        *ret_error = *tug_last_error();
    } else {
        tug__error_plain(ret_error, rc < 0 ? rc : 0);
    }
    return rc;
}

/* On the thread. */
static void call_run(struct tug__job *job)
{
    struct call *c = (struct call *)job;
    c->rc = tug__offload_run(c->fn, c->arg, &c->error);
}

static void call_free(struct call *c)
{
    c->destroy(c->arg);
    tug_free(c);
}

static void call_done(struct tug__job *job)
{
    struct call *c = (struct call *)job;
    c->is_finished = true;
    if (c->is_abandoned) {
        call_free(c);
        return;
    }
    tug_unpark_first(&c->waiter, 0, NULL);
}

static void call_orphan(struct tug__job *job)
{
    call_free((struct call *)job);
}

static int outcome(const struct call *c)
{
    return c->rc < 0 ? tug_fail_with(&c->error) : c->rc;
}

/* --- waited for in every case ---------------------------------------------------------------- */

int tug_offload(int (*fn)(void *arg), void *arg)
{
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    struct call c = {.base = {.run = call_run, .done = call_done}, .fn = fn, .arg = arg};
    rc = tug__offload_submit(&c.base);
    if (rc < 0) {
        return rc;
    }
    rc = tug_park(&c.waiter, NULL, "offload");
    if (rc == 0) {
        return outcome(&c);
    }
    if (!c.is_finished) {
        if (tug__offload_cancel(&c.base)) {
            return rc;
        }
        /* It runs: arg may be on this stack, so it is waited for, and what it did is told. */
        rc = tug_park_uncancellable(&c.waiter, NULL, "offload");
        (void)rc;
    }
    return outcome(&c);
}

/* --- abandonable ----------------------------------------------------------------------------- */

static int abandonable(int (*fn)(void *arg), void (*peek)(void *arg, void *to),
                       void (*destroy)(void *arg), void *arg, void *to, bool may_hang)
{
    int rc = tug_checkpoint();
    struct call *c = rc == 0 ? tug_calloc(1, sizeof *c) : NULL;
    if (rc == 0 && c == NULL) {
        rc = tug_fail(TUG_ENOMEM, "out of memory for a blocking call");
    }
    if (rc != 0) {
        destroy(arg);
        return rc;
    }
    c->base.run = call_run;
    c->base.done = call_done;
    c->base.orphan = call_orphan;
    c->base.may_hang = may_hang;
    c->fn = fn;
    c->destroy = destroy;
    c->arg = arg;
    rc = tug__offload_submit(&c->base);
    if (rc == 0) {
        rc = tug_park(&c->waiter, NULL, "offload");
        if (rc == 0) {
            rc = outcome(c);
            if (peek != NULL) {
                peek(arg, to);
            }
        } else if (!c->is_finished && !tug__offload_cancel(&c->base)) {
            c->is_abandoned = true;
            tug__offload_abandon(&c->base);
            return rc;
        }
    }
    call_free(c);
    return rc;
}

int tug_offload_abandonable(int (*fn)(void *arg), void (*peek)(void *arg, void *to),
                            void (*destroy)(void *arg), void *arg, void *to)
{
    return abandonable(fn, peek, destroy, arg, to, false);
}

int tug__offload_hanging(int (*fn)(void *arg), void (*peek)(void *arg, void *to),
                         void (*destroy)(void *arg), void *arg, void *to)
{
    return abandonable(fn, peek, destroy, arg, to, true);
}

/* --- reading files --------------------------------------------------------------------------- */

struct reading {
    int fd;
    int64_t offset; /* < 0: the current position */
    size_t size;
    size_t got;
    char data[];
};

static ssize_t read_some(struct reading *r)
{
    ssize_t n;
    do {
        n = r->offset >= 0 ? pread(r->fd, r->data, r->size, (off_t)r->offset)
                           : read(r->fd, r->data, r->size);
    } while (n < 0 && errno == EINTR);
    return n;
}

static int reading_run(void *arg)
{
    struct reading *r = arg;
    ssize_t n = read_some(r);
    while (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        /* Somebody made this pipe or terminal non-blocking: wait as a blocking read would. */
        struct pollfd ready = {.fd = r->fd, .events = POLLIN};
        poll(&ready, 1, -1);
        n = read_some(r);
    }
    if (n < 0) {
        int code = tug_error_from_errno(errno);
        tug_error e;
        char native[12];
        snprintf(native, sizeof native, "%d", errno);
        tug_error_set(&e, code, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "cannot read: %s",
                      strerrordesc_np(errno));
        return tug_fail_with(&e);
    }
    r->got = (size_t)n;
    return (int)n;
}

static void reading_peek(void *arg, void *to)
{
    const struct reading *r = arg;
    memcpy(to, r->data, r->got);
}

static void reading_destroy(void *arg)
{
    struct reading *r = arg;
    close(r->fd);
    tug_free(r);
}

int tug_read_at(int fd, int64_t offset, void *to, size_t size)
{
    if (size == 0 || to == NULL) {
        return tug_fail(TUG_EINVAL, "tug_read_at: no room to read into");
    }
    size = size < READ_MAX ? size : READ_MAX;
    struct reading *r = tug_alloc(sizeof *r + size);
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a read of %zu bytes", size);
    }
    /* A descriptor of its own: the caller may close its one while an abandoned read still hangs. */
    r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    r->offset = offset;
    r->size = size;
    r->got = 0;
    if (r->fd < 0) {
        int code = tug_error_from_errno(errno);
        tug_free(r);
        return tug_fail(code, "cannot read: %s", tug_error_text(code));
    }
    return tug_offload_abandonable(reading_run, reading_peek, reading_destroy, r, to);
}
