/* examples/echo_server.c as it is built: clients, a client that breaks off, the orderly end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tug/group.h>
#include <tug/stream.h>
#include <unistd.h>

#include "test.h"

static pid_t server;
static char address[128];
static tug_stream *out, *err; /* what it prints */

static void start(void)
{
    int outs[2], errs[2];
    char path[1024], line[128] = "";
    snprintf(path, sizeof path, "%s/echo_server", TUG_EXAMPLES_DIR);
    assert_int_equal(pipe(outs), 0);
    assert_int_equal(pipe(errs), 0);
    pid_t parent = getpid();
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(outs[1], STDOUT_FILENO);
        dup2(errs[1], STDERR_FILENO);
        for (int fd = 3; fd < 64; fd++) {
            close(fd);
        }
        if (getppid() == parent) {
            execl(path, "echo_server", "tcp://127.0.0.1:0", (char *)NULL);
        }
        _exit(127);
    }
    close(outs[1]);
    close(errs[1]);
    assert_ok(tug_stream_from_fd(outs[0], &out));
    assert_ok(tug_stream_from_fd(errs[0], &err));
    int n = tug_stream_read_until(out, tug_bytes("\n", 1), line, sizeof line - 1);
    assert_in_range(n, 14, sizeof line);
    line[n - 1] = 0;
    assert_int_equal(strncmp(line, "listening on ", 13), 0);
    snprintf(address, sizeof address, "%s", line + 13);
}

/* Waits for its end: its status, and what it had to complain about. */
static tug_buffer *ended(int *ret_status)
{
    tug_buffer *complaints = NULL;
    assert_ok(tug_stream_read_all(err, 4096, &complaints));
    assert_int_equal(waitpid(server, ret_status, 0), server);
    tug_stream_close(out);
    tug_stream_close(err);
    return complaints;
}

static void exchange(tug_stream *s)
{
    char to[8] = "";
    assert_ok(tug_stream_write(s, tug_bytes("hello", 5)));
    assert_ok(tug_stream_read_exact(s, to, 5));
    assert_string_equal(to, "hello");
}

LIVE_TEST(it_echoes_and_ends_in_order)
{
    tug_stream *first = NULL, *second = NULL, *late = NULL;
    int status = -1;
    start();
    assert_ok(tug_stream_connect(address, &first));
    assert_ok(tug_stream_connect(address, &second));
    exchange(first);
    exchange(second);
    assert_int_equal(kill(server, SIGTERM), 0);
    while (tug_stream_connect(address, &late) == 0) { /* until it has heard the signal */
        tug_stream_close(late);
    }
    exchange(first); /* those it has are served to their end */
    assert_ok(tug_stream_finish(first));
    assert_ok(tug_stream_finish(second));
    tug_buffer *complaints = ended(&status);
    assert_int_equal(status, 0);
    assert_string_equal(tug_buffer_bytes(complaints).data, "");
    tug_buffer_unref(complaints);
    tug_stream_close(first);
    tug_stream_close(second);
}

LIVE_TEST(a_client_that_breaks_off_is_one_line)
{
    tug_stream *good = NULL, *bad = NULL;
    const struct linger at_once = {.l_onoff = 1};
    char line[256] = "";
    int status = -1;
    start();
    assert_ok(tug_stream_connect(address, &good));
    assert_ok(tug_stream_connect(address, &bad));
    exchange(bad);
    assert_int_equal(
        setsockopt(tug_stream_fd(bad), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    tug_stream_close(bad);
    assert_true(tug_stream_read_until(err, tug_bytes("\n", 1), line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "Connection reset by peer"));
    exchange(good);
    assert_ok(tug_stream_finish(good));
    tug_stream_close(good);
    assert_int_equal(kill(server, SIGTERM), 0);
    tug_buffer *complaints = ended(&status);
    assert_int_equal(status, 0);
    tug_buffer_unref(complaints);
}
