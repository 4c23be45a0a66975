/* Files: each call's normal course, its cancel, its errors. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tug/file.h>
#include <tug/group.h>
#include <unistd.h>

enum {
    MIB = 1024 * 1024
};

/* A folder of this test's own, removed by forget(). */
static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned n;
    char *path = paths[n++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/tug-file-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(folder));
}

static void forget(const char *name)
{
    if (name != NULL) {
        unlink(in_folder(name));
    }
    assert_int_equal(rmdir(folder), 0); /* nothing else was left in it */
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct tug_bytes text(const char *t)
{
    return tug_bytes(t, strlen(t));
}

TASK_TEST(what_is_written_is_read)
{
    make_folder();
    tug_file *f = NULL;
    char got[16] = {0};
    assert_ok(
        tug_file_open(in_folder("a"), TUG_FILE_READ | TUG_FILE_WRITE | TUG_FILE_CREATE, 0600, &f));
    assert_ok(tug_file_write(f, text("hello ")));
    assert_ok(tug_file_write(f, text("world")));
    assert_int_equal(tug_file_position(f), 11);
    assert_ok(tug_file_sync(f));
    assert_int_equal(tug_file_read(f, got, sizeof got), 0);
    assert_ok(tug_file_seek(f, 6));
    assert_int_equal(tug_file_read(f, got, sizeof got), 5);
    assert_string_equal(got, "world");
    assert_int_equal(tug_file_read_at(f, 0, got, 5), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(tug_file_position(f), 11);
    assert_ok(tug_file_write_at(f, 0, text("J")));
    assert_ok(tug_file_truncate(f, 5));
    int64_t size = 0;
    assert_ok(tug_file_size(f, &size));
    assert_int_equal(size, 5);
    assert_int_equal(tug_file_read_at(f, 0, got, sizeof got), 5);
    assert_memory_equal(got, "Jello", 5);
    tug_file_close(f);
    forget("a");
}

TASK_TEST(an_appending_file_grows_at_its_end)
{
    make_folder();
    put("log", "one\n");
    TUG_AUTO(tug_file) f = NULL;
    assert_ok(tug_file_open(in_folder("log"), TUG_FILE_WRITE | TUG_FILE_APPEND, 0, &f));
    assert_ok(tug_file_write(f, text("two\n")));
    assert_rc(tug_file_write_at(f, 0, text("x")), TUG_EINVAL);
    assert_detail_has("appends");
    TUG_AUTO(tug_buffer) content = NULL;
    assert_ok(tug_file_load(in_folder("log"), 100, &content));
    assert_string_equal(tug_buffer_bytes(content).data, "one\ntwo\n");
    forget("log");
}

TASK_TEST(large_writes_go_in_portions)
{
    make_folder();
    size_t size = 3 * MIB + 17;
    char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(i * 31 >> 3);
    }
    TUG_AUTO(tug_file) f = NULL;
    assert_ok(tug_file_open(in_folder("big"), TUG_FILE_READ | TUG_FILE_WRITE | TUG_FILE_CREATE,
                            0600, &f));
    assert_ok(tug_file_write(f, tug_bytes(data, size)));
    assert_int_equal(tug_file_position(f), size);
    TUG_AUTO(tug_buffer) content = NULL;
    assert_ok(tug_file_load(in_folder("big"), size, &content));
    assert_int_equal(tug_buffer_bytes(content).size, size);
    assert_memory_equal(tug_buffer_bytes(content).data, data, size);
    assert_int_equal(tug_file_read_at(f, 0, data, size), MIB); /* one read has a bound */
    free(data);
    forget("big");
}

TASK_TEST(what_cannot_be_opened_says_why)
{
    make_folder();
    tug_file *f = NULL;
    assert_rc(tug_file_open(in_folder("none"), TUG_FILE_READ, 0, &f), -ENOENT);
    assert_detail_has("none\": No such file");
    assert_rc(tug_file_open(folder, TUG_FILE_READ, 0, &f), -EISDIR);
    assert_rc(tug_file_open("/dev/null", TUG_FILE_READ, 0, &f), TUG_EINVAL);
    assert_detail_has("no regular file");
    assert_rc(tug_file_open(in_folder("x"), 0, 0, &f), TUG_EINVAL);
    assert_rc(tug_file_open(in_folder("x"), TUG_FILE_READ | TUG_FILE_TRUNCATE, 0, &f), TUG_EINVAL);
    assert_rc(tug_file_open("", TUG_FILE_READ, 0, &f), TUG_EINVAL);
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_rc(tug_file_open(in_folder("pipe"), TUG_FILE_READ, 0, &f), TUG_EINVAL);
    unlink(in_folder("pipe"));
    put("there", "");
    assert_rc(tug_file_open(in_folder("there"),
                            TUG_FILE_WRITE | TUG_FILE_CREATE | TUG_FILE_EXCLUSIVE, 0600, &f),
              -EEXIST);
    assert_null(f);
    forget("there");
}

TASK_TEST(wrong_directions_and_numbers_are_refused)
{
    make_folder();
    put("a", "abc");
    TUG_AUTO(tug_file) f = NULL;
    char byte;
    assert_ok(tug_file_open(in_folder("a"), TUG_FILE_READ, 0, &f));
    assert_rc(tug_file_write(f, text("x")), -EBADF);
    assert_detail_has("cannot write");
    assert_rc(tug_file_read(f, &byte, 0), TUG_EINVAL);
    assert_rc(tug_file_read_at(f, -1, &byte, 1), TUG_EINVAL);
    assert_rc(tug_file_seek(f, -1), TUG_EINVAL);
    assert_rc(tug_file_truncate(f, -1), TUG_EINVAL);
    assert_rc(tug_file_truncate(f, 1), -EINVAL);
    forget("a");
}

TASK_TEST(load_has_a_limit)
{
    make_folder();
    put("a", "0123456789");
    tug_buffer *content = NULL;
    assert_rc(tug_file_load(in_folder("a"), 9, &content), TUG_ELIMIT);
    assert_detail_has("more than the 9 bytes");
    assert_ok(tug_file_load(in_folder("a"), 10, &content));
    tug_buffer_unref(content);
    /* Files without a size of their own. */
    assert_ok(tug_file_load("/proc/self/stat", 4000, &content));
    assert_true(tug_buffer_bytes(content).size > 10);
    tug_buffer_unref(content);
    content = NULL;
    assert_rc(tug_file_load("/proc/self/stat", 5, &content), TUG_ELIMIT);
    assert_rc(tug_file_load(folder, 5, &content), -EISDIR);
    assert_rc(tug_file_load(in_folder("none"), 5, &content), -ENOENT);
    assert_null(content);
    forget("a");
}

TASK_TEST(save_replaces_as_a_whole)
{
    make_folder();
    put("a", "old and longer");
    assert_ok(tug_file_save(in_folder("a"), text("new"), 0640));
    TUG_AUTO(tug_buffer) content = NULL;
    assert_ok(tug_file_load(in_folder("a"), 100, &content));
    assert_string_equal(tug_buffer_bytes(content).data, "new");
    struct stat status;
    assert_int_equal(stat(in_folder("a"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    /* What cannot take the place leaves nothing beside it. */
    assert_int_equal(mkdir(in_folder("d"), 0700), 0);
    assert_rc(tug_file_save(in_folder("d"), text("x"), 0600), -EISDIR);
    assert_int_equal(rmdir(in_folder("d")), 0);
    assert_rc(tug_file_save(in_folder("no/where"), text("x"), 0600), -ENOENT);
    forget("a");
}

TASK_TEST(rename_and_remove)
{
    make_folder();
    put("a", "1");
    assert_ok(tug_file_rename(in_folder("a"), in_folder("b")));
    assert_rc(tug_file_rename(in_folder("a"), in_folder("b")), -ENOENT);
    assert_ok(tug_file_remove(in_folder("b")));
    assert_rc(tug_file_remove(in_folder("b")), -ENOENT);
    assert_detail_has("cannot remove");
    forget(NULL);
}

TASK_TEST(each_wait_of_files_can_be_cancelled_on_entry)
{
    make_folder();
    put("a", "abc");
    TUG_AUTO(tug_file) f = NULL;
    tug_file *other = NULL;
    tug_buffer *content = NULL;
    char byte;
    int64_t size;
    assert_ok(tug_file_open(in_folder("a"), TUG_FILE_READ | TUG_FILE_WRITE, 0, &f));
    tug_scope s;
    tug_scope_enter(&s, TUG_FOREVER);
    tug_scope_cancel(&s);
    assert_rc(tug_file_open(in_folder("a"), TUG_FILE_READ, 0, &other), TUG_ECANCELED);
    assert_rc(tug_file_read(f, &byte, 1), TUG_ECANCELED);
    assert_rc(tug_file_read_at(f, 0, &byte, 1), TUG_ECANCELED);
    assert_rc(tug_file_write(f, text("xyz")), TUG_ECANCELED);
    assert_rc(tug_file_write(f, text("")), TUG_ECANCELED);
    assert_rc(tug_file_write_at(f, 0, text("xyz")), TUG_ECANCELED);
    assert_rc(tug_file_sync(f), TUG_ECANCELED);
    assert_rc(tug_file_truncate(f, 0), TUG_ECANCELED);
    assert_rc(tug_file_size(f, &size), TUG_ECANCELED);
    assert_rc(tug_file_load(in_folder("a"), 10, &content), TUG_ECANCELED);
    assert_rc(tug_file_save(in_folder("a"), text("x"), 0600), TUG_ECANCELED);
    assert_rc(tug_file_rename(in_folder("a"), in_folder("b")), TUG_ECANCELED);
    assert_rc(tug_file_remove(in_folder("a")), TUG_ECANCELED);
    assert_rc(tug_scope_leave(&s, 0), 0);
    /* And nothing has happened. */
    assert_int_equal(tug_file_position(f), 0);
    assert_ok(tug_file_load(in_folder("a"), 10, &content));
    assert_string_equal(tug_buffer_bytes(content).data, "abc");
    tug_buffer_unref(content);
    forget("a");
}

static int read_it(void *arg)
{
    char to[4];
    int rc = tug_file_read(arg, to, sizeof to);
    return rc < 0 ? rc : 0;
}

static int read_with_time(void *arg)
{
    return TUG_WITHIN(0, read_it(arg));
}

TASK_TEST(one_task_at_a_time_uses_the_position)
{
    make_folder();
    put("a", "abc");
    TUG_AUTO(tug_file) f = NULL;
    char byte;
    assert_ok(tug_file_open(in_folder("a"), TUG_FILE_READ, 0, &f));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, read_it, f));
    assert_ok(tug_yield());
    assert_rc(tug_file_read(f, &byte, 1), TUG_EMISUSE);
    assert_detail_has("another task is at its position");
    assert_rc(tug_file_seek(f, 0), TUG_EMISUSE);
    assert_int_equal(tug_file_read_at(f, 1, &byte, 1), 1);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(tug_file_position(f), 3);
    assert_rc(read_with_time(f), TUG_ETIMEDOUT);
    assert_int_equal(tug_file_position(f), 3);
    forget("a");
}

TASK_TEST(a_cancelled_read_moves_nothing_and_a_closed_one_says_so)
{
    make_folder();
    put("a", "abc");
    tug_file *f = NULL;
    assert_ok(tug_file_open(in_folder("a"), TUG_FILE_READ, 0, &f));
    tug_group g;
    tug_group_enter(&g, TUG_FOREVER, TUG_KEEP_GOING);
    tug_future *cancelled = tug_group_start(&g, read_it, f);
    assert_ok(tug_yield());
    tug_future_cancel(cancelled);
    assert_rc(tug_await(cancelled), TUG_EDROPPED);
    tug_future_unref(cancelled);
    assert_int_equal(tug_file_position(f), 0);
    tug_future *closed = tug_group_start(&g, read_it, f);
    assert_ok(tug_yield());
    tug_file_close(f);
    assert_rc(tug_await(closed), TUG_ECLOSED);
    assert_detail_has("was closed");
    tug_future_unref(closed);
    assert_ok(tug_group_leave(&g, 0));
    forget("a");
}
