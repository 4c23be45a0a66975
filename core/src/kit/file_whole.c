/* What: files as a whole: load, save, rename, remove; each one call on a thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/file.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "kit/file.h"

/* --- load --------------------------------------------------------------------------------------- */

struct loading {
    size_t limit;
    tug_buffer *content;
    char path[];
};

/* Reads up to one byte more than may be: a file can grow, and those of /proc have no size. */
static int load_all(struct loading *l, int fd, char *to, size_t room, size_t *ret_size)
{
    size_t size = 0;
    while (size < room) {
        ssize_t n = read(fd, to + size, room - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return tug__file_fail(errno, "read", l->path);
        }
        if (n == 0) {
            break;
        }
        size += (size_t)n;
    }
    *ret_size = size;
    return 0;
}

static int too_large(const struct loading *l)
{
    return tug_fail(TUG_ELIMIT, "\"%s\" has more than the %zu bytes that are allowed", l->path,
                    l->limit);
}

static int load_fd(struct loading *l, int fd)
{
    enum {
        AT_LEAST = 4096
    };
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return tug__file_fail(errno, "look at", l->path);
    }
    if (!S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode)
                   ? tug__file_fail(EISDIR, "load", l->path)
                   : tug_fail(TUG_EINVAL, "cannot load \"%s\": it is no regular file", l->path);
    }
    if (status.st_size > 0 && (uint64_t)status.st_size > l->limit) {
        return too_large(l);
    }
    size_t room = (size_t)status.st_size + 1;
    room = room > AT_LEAST ? room : AT_LEAST;
    room = l->limit < room ? l->limit + 1 : room;
    char *data = tug_alloc(room);
    size_t size = 0;
    if (data == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to load \"%s\"", l->path);
    }
    int rc = load_all(l, fd, data, room, &size);
    if (rc == 0 && size > l->limit) {
        rc = too_large(l);
    } else if (rc == 0 && size == room) {
        rc = tug_fail(TUG_ELIMIT, "\"%s\" grew while it was loaded", l->path);
    }
    if (rc == 0) {
        rc = tug_buffer_new(data, size, &l->content);
    }
    tug_free(data);
    return rc;
}

static int load_run(void *arg)
{
    struct loading *l = arg;
    int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return tug__file_fail(errno, "open", l->path);
    }
    int rc = load_fd(l, fd);
    close(fd);
    return rc;
}

static void load_peek(void *arg, void *to)
{
    struct loading *l = arg;
    *(tug_buffer **)to = l->content;
    l->content = NULL;
}

static void load_destroy(void *arg)
{
    struct loading *l = arg;
    tug_buffer_unref(l->content);
    tug_free(l);
}

int tug_file_load(const char *path, size_t limit, tug_buffer **ret_content)
{
    size_t size = strlen(path) + 1;
    struct loading *l = tug_calloc(1, sizeof *l + size);
    if (l == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to load \"%s\"", path);
    }
    l->limit = limit < SIZE_MAX ? limit : SIZE_MAX - 1;
    memcpy(l->path, path, size);
    tug_buffer *content = NULL;
    int rc = tug_offload_abandonable(load_run, load_peek, load_destroy, l, &content);
    if (rc == 0) {
        *ret_content = content;
    }
    return rc;
}

/* --- save and rename ---------------------------------------------------------------------------- */

struct two_paths {
    const char *from, *to;
};

/* So that the new name is there after a loss of power. */
static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? tug_strdup(".")
                   : slash == path ? tug_strdup("/")
                                   : tug_strndup(path, (size_t)(slash - path));
    if (folder == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the folder of \"%s\"", path);
    }
    int rc = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: file systems that have nothing to sync in a folder. */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) {
        rc = tug__file_fail(errno, "sync the folder", folder);
    }
    if (fd >= 0) {
        close(fd);
    }
    tug_free(folder);
    return rc;
}

static int rename_run(void *arg)
{
    const struct two_paths *p = arg;
    if (rename(p->from, p->to) < 0) {
        return tug__file_fail(errno, "rename to", p->to);
    }
    return sync_folder_of(p->to);
}

int tug_file_rename(const char *from, const char *to)
{
    struct two_paths p = {from, to};
    return tug_offload(rename_run, &p);
}

static int remove_run(void *arg)
{
    const char *path = arg;
    return unlink(path) == 0 ? 0 : tug__file_fail(errno, "remove", path);
}

int tug_file_remove(const char *path)
{
    return tug_offload(remove_run, (void *)path);
}

struct saving {
    const char *path;
    struct tug_bytes data;
    unsigned mode;
};

static int write_and_sync(int fd, const struct saving *s, const char *beside)
{
    for (size_t done = 0; done < s->data.size;) {
        ssize_t n = write(fd, (const char *)s->data.data + done, s->data.size - done);
        if (n < 0 && errno != EINTR) {
            return tug__file_fail(errno, "write", beside);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) == 0 ? 0 : tug__file_fail(errno, "sync", beside);
}

static int save_run(void *arg)
{
    const struct saving *s = arg;
    char *beside = tug_format("%s.XXXXXX", s->path);
    if (beside == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory to save \"%s\"", s->path);
    }
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) {
        int rc = tug__file_fail(errno, "make a file beside", s->path);
        tug_free(beside);
        return rc;
    }
    int rc = write_and_sync(fd, s, beside);
    if (rc == 0 && fchmod(fd, (mode_t)s->mode) < 0) {
        rc = tug__file_fail(errno, "set the permissions of", beside);
    }
    if (close(fd) < 0 && rc == 0) {
        rc = tug__file_fail(errno, "write", beside);
    }
    if (rc == 0 && rename(beside, s->path) < 0) {
        rc = tug__file_fail(errno, "replace", s->path);
    }
    if (rc < 0) {
        unlink(beside);
    } else {
        rc = sync_folder_of(s->path);
    }
    tug_free(beside);
    return rc;
}

int tug_file_save(const char *path, struct tug_bytes data, unsigned mode)
{
    struct saving s = {path, data, mode};
    return tug_offload(save_run, &s);
}
