/* What: files on offload threads. A read goes into memory of its own, so that its wait can be cut short
 * whatever the disk does; a write is waited for, because one that goes on behind the caller's back could
 * overtake the next. */
#include <tug/file.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/file.h"
#include "loop/loop.h"
#include "util/error.h"

enum {
    PORTION = 1024 * 1024 /* of one call on a thread: what an abandoned read may hold on to */
};

/* The part that threads see; the last one who holds it closes the descriptor. */
struct shared {
    atomic_uint refs;
    int fd;
};

struct tug_file {
    struct tug_loop *loop;
    struct shared *shared;
    int64_t position;
    bool is_busy;   /* a call that uses the position waits */
    bool is_closed; /* while calls wait */
    bool appends;
    unsigned calls; /* that wait */
    char path[];
};

int tug__file_fail(int error, const char *what, const char *path)
{
    int code = tug_error_from_errno(error);
    tug_error e;
    char native[12];
    snprintf(native, sizeof native, "%d", error);
    tug_error_set(&e, code, TUG_ORIGIN_OS, TUG_NOT_SENT, native, "cannot %s \"%s\": %s", what, path,
                  strerrordesc_np(error));
    return tug_fail_with(&e);
}

/* --- the shared part ---------------------------------------------------------------------------- */

static void shared_close(struct shared *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    tug_free(s);
}

static int close_fd(void *arg)
{
    struct shared *s = arg;
    close(s->fd); /* a network file system may take its time here */
    s->fd = -1;
    return 0;
}

static int closing_task(void *arg)
{
    int rc = tug_offload(close_fd, arg);
    shared_close(arg);
    return rc;
}

/* From the loop's thread, or from a thread whose loop has ended. The end of the loop waits for the task; where
 * there can be none, the descriptor is closed here. */
static void shared_unref(struct shared *s)
{
    if (atomic_fetch_sub(&s->refs, 1) > 1) {
        return;
    }
    tug_error kept = *tug_last_error();
    if (s->fd < 0 || tug_service_spawn("file.close", closing_task, s) < 0) {
        shared_close(s);
    }
    *tug__error_current() = kept;
}

/* --- opening ------------------------------------------------------------------------------------ */

struct opening {
    struct shared *shared;
    int flags;
    unsigned mode;
    char path[];
};

static int opening_run(void *arg)
{
    struct opening *o = arg;
    /* O_NONBLOCK: a FIFO without a writer would hold this thread for ever. */
    int fd = open(o->path, o->flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, (mode_t)o->mode);
    struct stat status;
    if (fd < 0) {
        return tug__file_fail(errno, "open", o->path);
    }
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return S_ISDIR(status.st_mode)
                   ? tug__file_fail(EISDIR, "open", o->path)
                   : tug_fail(TUG_EINVAL, "cannot open \"%s\": it is no regular file", o->path);
    }
    o->shared->fd = fd;
    return 0;
}

static void opening_peek(void *arg, void *to)
{
    struct opening *o = arg;
    *(struct shared **)to = o->shared;
    o->shared = NULL;
}

static void opening_destroy(void *arg)
{
    struct opening *o = arg;
    if (o->shared != NULL) {
        shared_close(o->shared);
    }
    tug_free(o);
}

static int open_flags(unsigned flags)
{
    int f = (flags & TUG_FILE_WRITE) == 0 ? O_RDONLY : (flags & TUG_FILE_READ) ? O_RDWR : O_WRONLY;
    f |= (flags & TUG_FILE_CREATE) != 0 ? O_CREAT : 0;
    f |= (flags & TUG_FILE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    f |= (flags & TUG_FILE_TRUNCATE) != 0 ? O_TRUNC : 0;
    f |= (flags & TUG_FILE_APPEND) != 0 ? O_APPEND : 0;
    return f;
}

static int check_flags(const char *path, unsigned flags)
{
    if (path == NULL || *path == 0) {
        return tug_fail(TUG_EINVAL, "tug_file_open: no path");
    }
    if ((flags & (TUG_FILE_READ | TUG_FILE_WRITE)) == 0) {
        return tug_fail(TUG_EINVAL, "tug_file_open of \"%s\": neither READ nor WRITE", path);
    }
    if ((flags & TUG_FILE_WRITE) == 0 && (flags & (TUG_FILE_TRUNCATE | TUG_FILE_APPEND)) != 0) {
        return tug_fail(TUG_EINVAL, "tug_file_open of \"%s\": TRUNCATE and APPEND need WRITE",
                        path);
    }
    return 0;
}

static struct opening *opening_new(const char *path, unsigned flags, unsigned mode)
{
    size_t size = strlen(path) + 1;
    struct opening *o = tug_calloc(1, sizeof *o + size);
    if (o == NULL || (o->shared = tug_calloc(1, sizeof *o->shared)) == NULL) {
        tug_free(o);
        return NULL;
    }
    atomic_init(&o->shared->refs, 1);
    o->shared->fd = -1;
    o->flags = open_flags(flags);
    o->mode = mode;
    memcpy(o->path, path, size);
    return o;
}

int tug_file_open(const char *path, unsigned flags, unsigned mode, tug_file **ret_file)
{
    int rc = check_flags(path, flags);
    if (rc < 0) {
        return rc;
    }
    size_t size = strlen(path) + 1;
    struct opening *o = opening_new(path, flags, mode);
    tug_file *f = tug_calloc(1, sizeof *f + size);
    if (o == NULL || f == NULL) {
        if (o != NULL) {
            opening_destroy(o);
        }
        tug_free(f);
        return tug_fail(TUG_ENOMEM, "out of memory to open \"%s\"", path);
    }
    struct shared *shared = NULL;
    rc = tug_offload_abandonable(opening_run, opening_peek, opening_destroy, o, &shared);
    if (rc < 0) {
        if (shared != NULL) {
            shared_close(shared);
        }
        tug_free(f);
        return rc;
    }
    f->loop = tug__loop;
    f->shared = shared;
    f->appends = (flags & TUG_FILE_APPEND) != 0;
    memcpy(f->path, path, size);
    *ret_file = f;
    return 0;
}

/* --- calls on an open file ---------------------------------------------------------------------- */

static void file_unref(tug_file *f)
{
    if (f->is_closed && f->calls == 0) {
        shared_unref(f->shared);
        tug_free(f);
    }
}

void tug_file_close(tug_file *f)
{
    if (f != NULL && tug__is_here_or_adopts_void(&f->loop, "tug_file_close")) {
        assert(!f->is_closed && "a file is closed once");
        f->is_closed = true;
        file_unref(f);
    }
}

static int begin(tug_file *f, bool uses_position, const char *what)
{
    if (!tug__is_here(f->loop, what)) {
        return TUG_EMISUSE;
    }
    if (uses_position && f->is_busy) {
        return tug_fail(TUG_EMISUSE,
                        "%s of \"%s\": another task is at its position: use the _at form", what,
                        f->path);
    }
    f->is_busy = f->is_busy || uses_position;
    f->calls++;
    return 0;
}

/* rc of the call; a file that was closed meanwhile has nothing to say but that. */
static int finish(tug_file *f, bool uses_position, int rc)
{
    bool closed = f->is_closed;
    if (uses_position) {
        f->is_busy = false;
    }
    f->calls--;
    if (closed && rc != TUG_ECANCELED) {
        rc = tug_fail(TUG_ECLOSED, "\"%s\" was closed while a task waited for it", f->path);
    }
    file_unref(f);
    return rc;
}

struct reading {
    struct shared *shared;
    int64_t offset;
    size_t size, got;
    int error;
    char data[];
};

static int reading_run(void *arg)
{
    struct reading *r = arg;
    ssize_t n;
    do {
        n = pread(r->shared->fd, r->data, r->size, (off_t)r->offset);
    } while (n < 0 && errno == EINTR);
    r->error = n < 0 ? errno : 0;
    r->got = n < 0 ? 0 : (size_t)n;
    return 0;
}

/* What came out, for the caller whose wait was not cut short. */
struct read_result {
    void *to;
    size_t got;
    int error;
};

static void reading_peek(void *arg, void *to)
{
    const struct reading *r = arg;
    struct read_result *result = to;
    memcpy(result->to, r->data, r->got);
    result->got = r->got;
    result->error = r->error;
}

static void reading_destroy(void *arg)
{
    struct reading *r = arg;
    shared_unref(r->shared);
    tug_free(r);
}

static int read_portion(tug_file *f, int64_t offset, void *to, size_t size)
{
    size = size < PORTION ? size : PORTION;
    struct reading *r = tug_alloc(sizeof *r + size);
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to read %zu bytes of \"%s\"", size, f->path);
    }
    atomic_fetch_add(&f->shared->refs, 1);
    *r = (struct reading){.shared = f->shared, .offset = offset, .size = size};
    struct read_result result = {.to = to};
    int rc = tug_offload_abandonable(reading_run, reading_peek, reading_destroy, r, &result);
    if (rc == 0 && result.error != 0) {
        return tug__file_fail(result.error, "read", f->path);
    }
    return rc < 0 ? rc : (int)result.got;
}

int tug_file_read(tug_file *f, void *to, size_t size)
{
    int rc = size == 0 ? tug_fail(TUG_EINVAL, "tug_file_read: no room to read into")
                       : begin(f, true, "tug_file_read");
    if (rc < 0) {
        return rc;
    }
    rc = read_portion(f, f->position, to, size);
    if (rc > 0) {
        f->position += rc;
    }
    return finish(f, true, rc);
}

int tug_file_read_at(tug_file *f, int64_t offset, void *to, size_t size)
{
    if (size == 0 || offset < 0) {
        return tug_fail(TUG_EINVAL, "tug_file_read_at: %s",
                        size == 0 ? "no room to read into" : "a negative offset");
    }
    int rc = begin(f, false, "tug_file_read_at");
    return rc < 0 ? rc : finish(f, false, read_portion(f, offset, to, size));
}

/* What is waited for in every case: it may lie on the caller's stack. */
struct writing {
    const tug_file *file;
    int64_t offset; /* < 0: appends */
    struct tug_bytes data;
    size_t done;
};

static int writing_run(void *arg)
{
    struct writing *w = arg;
    int fd = w->file->shared->fd;
    while (w->done < w->data.size) {
        const char *from = (const char *)w->data.data + w->done;
        size_t left = w->data.size - w->done;
        ssize_t n = w->offset < 0 ? write(fd, from, left)
                                  : pwrite(fd, from, left, (off_t)(w->offset + (int64_t)w->done));
        if (n < 0 && errno != EINTR) {
            return tug__file_fail(errno, "write", w->file->path);
        }
        w->done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_all(tug_file *f, int64_t offset, struct tug_bytes data, int64_t *position)
{
    int rc = data.size == 0 ? tug_checkpoint() : 0;
    for (size_t at = 0; rc == 0 && at < data.size;) {
        size_t n = data.size - at < PORTION ? data.size - at : PORTION;
        struct writing w = {.file = f,
                            .offset = offset < 0 ? -1 : offset + (int64_t)at,
                            .data = tug_bytes((const char *)data.data + at, n)};
        rc = tug_offload(writing_run, &w);
        at += w.done;
        if (position != NULL) {
            *position += (int64_t)w.done;
        }
        if (f->is_closed) {
            break;
        }
    }
    return rc;
}

int tug_file_write(tug_file *f, struct tug_bytes data)
{
    int rc = begin(f, true, "tug_file_write");
    if (rc < 0) {
        return rc;
    }
    return finish(f, true, write_all(f, f->appends ? -1 : f->position, data, &f->position));
}

int tug_file_write_at(tug_file *f, int64_t offset, struct tug_bytes data)
{
    if (offset < 0 || f->appends) {
        return tug_fail(TUG_EINVAL, "tug_file_write_at of \"%s\": %s", f->path,
                        offset < 0 ? "a negative offset" : "the file appends");
    }
    int rc = begin(f, false, "tug_file_write_at");
    return rc < 0 ? rc : finish(f, false, write_all(f, offset, data, NULL));
}

struct small_call {
    const tug_file *file;
    int64_t number;
};

static int sync_run(void *arg)
{
    struct small_call *c = arg;
    return fdatasync(c->file->shared->fd) == 0 ? 0 : tug__file_fail(errno, "sync", c->file->path);
}

static int truncate_run(void *arg)
{
    struct small_call *c = arg;
    return ftruncate(c->file->shared->fd, (off_t)c->number) == 0
               ? 0
               : tug__file_fail(errno, "truncate", c->file->path);
}

static int size_run(void *arg)
{
    struct small_call *c = arg;
    struct stat status;
    if (fstat(c->file->shared->fd, &status) < 0) {
        return tug__file_fail(errno, "look at", c->file->path);
    }
    c->number = status.st_size;
    return 0;
}

static int small_call(tug_file *f, int (*run)(void *arg), int64_t *number)
{
    struct small_call c = {.file = f, .number = *number};
    int rc = begin(f, false, "a call on a file");
    if (rc < 0) {
        return rc;
    }
    rc = finish(f, false, tug_offload(run, &c));
    *number = c.number;
    return rc;
}

int tug_file_sync(tug_file *f)
{
    int64_t none = 0;
    return small_call(f, sync_run, &none);
}

int tug_file_truncate(tug_file *f, int64_t size)
{
    return size < 0 ? tug_fail(TUG_EINVAL, "tug_file_truncate: a negative size")
                    : small_call(f, truncate_run, &size);
}

int tug_file_size(tug_file *f, int64_t *ret_size)
{
    int64_t size = 0;
    int rc = small_call(f, size_run, &size);
    if (rc == 0) {
        *ret_size = size;
    }
    return rc;
}

int64_t tug_file_position(const tug_file *f)
{
    return f->position;
}

int tug_file_seek(tug_file *f, int64_t position)
{
    if (position < 0 || f->is_busy) {
        return tug_fail(position < 0 ? TUG_EINVAL : TUG_EMISUSE, "tug_file_seek of \"%s\": %s",
                        f->path,
                        position < 0 ? "a negative position" : "another task is at its position");
    }
    f->position = position;
    return 0;
}
