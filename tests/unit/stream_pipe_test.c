#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include <tug/sys/driver.h>

#include "stream_rig.h"

static bool watching_fails; /* what should be watched from now on */

int __real_tug_io_want(tug_io *io, unsigned want);
int __wrap_tug_io_want(tug_io *io, unsigned want);
int __wrap_tug_io_want(tug_io *io, unsigned want)
{
    return watching_fails && want != 0 ? tug_fail(TUG_ENOMEM, "no memory to watch")
                                       : __real_tug_io_want(io, want);
}

static tug_stream *out; /* the writing end; s is the reading one */

static void open_pipe(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_ok(tug_stream_from_fd(fds[0], &s));
    assert_ok(tug_stream_from_fd(fds[1], &out));
    peer = -1;
}

static void close_pipe(void)
{
    tug_stream_close(out);
    out = NULL;
    rig_close();
}

static int read_some(struct caller *c)
{
    return tug_stream_read(s, c->to, c->size);
}

static int write_out(struct caller *c)
{
    char *data = block(c->size);
    int rc = tug_stream_write(out, tug_bytes(data, c->size));
    free(data);
    return rc;
}

static int wait_out(struct caller *c)
{
    (void)c;
    return tug_stream_wait_closed(out);
}

TASK_TEST(a_pipe_has_two_ends)
{
    char to[16] = "";
    open_pipe();
    assert_ok(tug_stream_write(out, text("through ")));
    assert_ok(tug_stream_write(out, text("a pipe")));
    assert_ok(tug_stream_read_exact(s, to, 14));
    assert_string_equal(to, "through a pipe");
    assert_int_equal(strncmp(tug_stream_peer(s), "pipe ", 5), 0);
    assert_string_equal(tug_stream_local(s), "");
    close_pipe();
}

TASK_TEST(the_other_direction_is_misuse)
{
    char to[4];
    open_pipe();
    assert_rc(tug_stream_read(out, to, 4), TUG_EMISUSE);
    assert_detail_has("can only be written to");
    assert_rc(tug_stream_write(s, text("x")), TUG_EMISUSE);
    assert_detail_has("can only be read from");
    assert_ok(tug_stream_shutdown(s)); /* there is nothing to end */
    close_pipe();
}

TASK_TEST(a_full_pipe_holds_its_writer_back)
{
    const size_t size = 2 << 20;
    struct caller c;
    tug_group g;
    char *data = block(size), *to = malloc(size);
    open_pipe();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, write_out, size);
    tug_test_settle();
    assert_false(c.has_ended);
    assert_ok(TUG_WITHIN(TUG_SECONDS(30), tug_stream_read_exact(s, to, size)));
    assert_memory_equal(to, data, size);
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    close_pipe();
    free(data);
    free(to);
}

TASK_TEST(shutdown_of_a_pipe_closes_it)
{
    char to[16] = "";
    open_pipe();
    assert_ok(tug_stream_write(out, text("bye")));
    assert_ok(tug_stream_finish(out));
    assert_int_equal(tug_stream_fd(out), -1);
    assert_rc(tug_stream_read(s, to, sizeof to), 3);
    assert_rc(tug_stream_read(s, to, sizeof to), 0);
    assert_rc(tug_stream_finish(s), 0);
    assert_rc(tug_stream_write(out, text("x")), TUG_EMISUSE);
    close_pipe();
}

TASK_TEST(a_pipe_without_writers_has_ended)
{
    struct caller c;
    tug_group g;
    open_pipe();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, read_some, 4);
    tug_test_settle();
    tug_stream_close(out);
    out = NULL;
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, 0);
    close_pipe();
}

/* --- SIGPIPE --------------------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

TASK_TEST(a_pipe_without_readers_raises_no_signal)
{
    struct sigaction ours = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGPIPE, &ours, &before), 0);
    open_pipe();
    assert_ok(tug_stream_write(out, text("unread")));
    tug_stream_close(s);
    s = NULL;
    assert_rc(tug_stream_flush(out), -EPIPE);
    assert_detail_has("Broken pipe");
    assert_rc(tug_stream_write(out, text("x")), -EPIPE);
    assert_int_equal(signals, 0);
    struct sigaction after;
    assert_int_equal(sigaction(SIGPIPE, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, on_signal); /* nobody touched the disposition */
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_int_equal(sigismember(&blocked, SIGPIPE), 0);
    close_pipe();
    sigaction(SIGPIPE, &before, NULL);
}

TASK_TEST(a_signal_that_waited_before_still_waits)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    raise(SIGPIPE);
    open_pipe();
    tug_stream_close(s);
    s = NULL;
    assert_ok(tug_stream_write(out, text("unread")));
    assert_rc(tug_stream_flush(out), -EPIPE);
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 1);
    close_pipe();
    int number = 0;
    assert_int_equal(sigwait(&pipe_only, &number), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

TASK_TEST(an_idle_writer_sees_that_the_reader_has_gone)
{
    struct caller c;
    tug_group g;
    open_pipe();
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    spawn(&g, &c, wait_out, 0);
    tug_test_settle();
    assert_false(c.has_ended);
    tug_stream_close(s);
    s = NULL;
    assert_ok(tug_group_leave(&g, 0));
    assert_int_equal(c.rc, -EPIPE);
    close_pipe();
}

/* --- cancel and close ------------------------------------------------------------------------ */

TASK_TEST(waits_on_pipes_end_by_cancel_and_close)
{
    for (int close_it = 0; close_it < 2; close_it++) {
        struct caller reader, writer;
        tug_group g;
        int other[2];
        assert_int_equal(pipe2(other, O_CLOEXEC), 0);
        open_pipe();
        tug_stream_close(out);
        assert_ok(tug_stream_from_fd(other[1], &out)); /* nobody reads it */
        tug_stream_close(s);
        int silent[2];
        assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
        assert_ok(tug_stream_from_fd(silent[0], &s));
        tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
        spawn(&g, &reader, read_some, 4);
        spawn(&g, &writer, write_out, 2 << 20);
        tug_test_settle();
        assert_false(reader.has_ended || writer.has_ended);
        if (close_it) {
            close_pipe();
        } else {
            cancel(&reader);
            cancel(&writer);
        }
        assert_ok(tug_group_leave(&g, 0));
        assert_int_equal(reader.rc, close_it ? TUG_ECLOSED : TUG_ECANCELED);
        assert_int_equal(writer.rc, close_it ? TUG_ECLOSED : TUG_ECANCELED);
        if (!close_it) {
            close_pipe();
        }
        close(other[0]);
        close(silent[1]);
    }
}

/* --- FIFOs and terminals --------------------------------------------------------------------- */

TASK_TEST(a_fifo_opened_for_both_does_both)
{
    char path[108], to[8] = "";
    snprintf(path, sizeof path, "/tmp/%s.fifo", test_name());
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    unlink(path);
    assert_ok(tug_stream_from_fd(fd, &s));
    peer = -1;
    assert_ok(tug_stream_write(s, text("me")));
    assert_ok(tug_stream_read_exact(s, to, 2));
    assert_string_equal(to, "me");
    rig_close();
}

TASK_TEST(a_terminal_gets_its_mode_back)
{
    int master, slave;
    char to[64] = "";
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    int shared = dup(slave); /* as the shell has it */
    assert_ok(tug_stream_from_fd(slave, &s));
    assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(write(master, "typed\n", 6), 6);
    assert_rc(tug_stream_read_until(s, text("\n"), to, sizeof to), 6);
    assert_string_equal(to, "typed\n");
    assert_ok(tug_stream_write(s, text("shown")));
    assert_ok(tug_stream_flush(s));
    assert_int_equal(strncmp(tug_stream_peer(s), "terminal ", 9), 0);
    close(master);
    peer = -1;
    assert_rc(tug_stream_read(s, to, sizeof to), 0); /* hung up */
    rig_close();
    assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
    close(shared);
}

/* A reader that was held back asks for more, and the system has no memory for that. */
TASK_TEST(a_reader_whose_pipe_cannot_be_watched_is_told)
{
    tug_stream_options o = TUG_STREAM_OPTIONS_INIT;
    char to[4096];
    int fds[2], rc = 1;
    o.read_ahead = sizeof to;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_ok(tug_stream_from_fd_with(fds[0], &o, &s));
    peer = -1;
    char *data = block(1 << 15);
    assert_int_equal(write(fds[1], data, 1 << 15), 1 << 15);
    assert_ok(tug_stream_read_exact(s, to, sizeof to));
    tug_test_settle(); /* full, and no longer watched */
    watching_fails = true;
    while (rc > 0) {
        rc = tug_stream_read(s, to, sizeof to);
    }
    watching_fails = false;
    assert_rc(rc, TUG_ENOMEM);
    free(data);
    close(fds[1]);
    rig_close();
}
