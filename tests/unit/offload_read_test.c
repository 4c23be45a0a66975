/* Files that are read on threads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <tug/group.h>
#include <tug/offload.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "offload_gate.h"

static int file_with(const char *text, size_t size)
{
    int fd = memfd_create("tug-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    return fd;
}

TASK_TEST(a_file_is_read_at_offsets)
{
    char to[16] = "";
    int fd = file_with("hello, world", 12);
    assert_rc(tug_read_at(fd, 7, to, 3), 3);
    assert_memory_equal(to, "wor", 4);
    assert_rc(tug_read_at(fd, 7, to, sizeof to), 5);
    assert_memory_equal(to, "world", 6);
    assert_rc(tug_read_at(fd, 12, to, sizeof to), 0);
    lseek(fd, 5, SEEK_SET);
    assert_rc(tug_read_at(fd, -1, to, 2), 2);
    assert_memory_equal(to, ", rld", 6);
    assert_rc(tug_read_at(fd, -1, to, sizeof to), 5);
    close(fd);
}

TASK_TEST(one_read_is_at_most_256_kib)
{
    const size_t size = 300 * 1024;
    char *text = calloc(1, size), *to = calloc(1, size);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(i % 251);
    }
    int fd = file_with(text, size);
    assert_rc(tug_read_at(fd, 0, to, size), 256 * 1024);
    assert_memory_equal(to, text, 256 * 1024);
    assert_int_equal(to[256 * 1024], 0);
    close(fd);
    free(text);
    free(to);
}

TASK_TEST(bad_reads_say_why)
{
    char to[4];
    assert_rc(tug_read_at(-1, 0, to, sizeof to), -EBADF);
    assert_rc(tug_read_at(0, 0, to, 0), TUG_EINVAL);
    assert_rc(tug_read_at(0, 0, NULL, 4), TUG_EINVAL);
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_rc(tug_read_at(fd, 0, to, sizeof to), -EISDIR);
    assert_detail_has("cannot read: Is a directory");
    assert_int_equal(tug_last_error()->origin, TUG_ORIGIN_OS);
    close(fd);
}

struct reader {
    int fd, rc;
    char to[8];
    tug_scope scope;
};

static int read_pipe(void *arg)
{
    struct reader *r = arg;
    tug_scope_enter(&r->scope, TUG_FOREVER);
    r->rc = tug_read_at(r->fd, -1, r->to, sizeof r->to);
    TUG_IGNORE(tug_scope_leave(&r->scope, 0));
    return 0;
}

TASK_TEST(a_read_that_hangs_can_be_left)
{
    int fds[2];
    tug_group g;
    int n = 0;
    assert_rc(tug_offload(plus_one, &n), 1);
    size_t with_pool = tug_test_live_allocations();
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct reader r = {.fd = fds[0]};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, read_pipe, &r));
    yield_some();
    tug_scope_cancel(&r.scope);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(r.rc, TUG_ECANCELED);
    assert_int_equal(r.to[0], 0);
    /* Its descriptor is its own: ours can go. The pipe's end lets the thread come back. */
    close(fds[0]);
    close(fds[1]);
    while (tug_test_live_allocations() > with_pool) {
        assert_ok(tug_yield());
    }
}

TASK_TEST(a_non_blocking_pipe_is_waited_for)
{
    int fds[2];
    tug_group g;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    struct reader r = {.fd = fds[0]};
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, read_pipe, &r));
    yield_some();
    usleep(1000);
    assert_int_equal(write(fds[1], "late", 4), 4);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(r.rc, 4);
    assert_memory_equal(r.to, "late", 5);
    close(fds[1]);
    r.rc = -1;
    assert_rc(tug_read_at(fds[0], -1, r.to, sizeof r.to), 0);
    close(fds[0]);
}
