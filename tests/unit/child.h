/* What:      a part of a test in a process of its own: what it says on stderr, how it ends.
 * Ownership: static storage. Context: a plain TEST. Callbacks: body, in the child. Errors: fail the test. */
#ifndef TUG_TESTS_CHILD_H
#define TUG_TESTS_CHILD_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

struct child {
    char said[8192];
    int signal; /* 0: it exited */
    int status;
};

/* body returns the exit status. */
static inline struct child *child_run(int (*body)(void))
{
    static struct child c;
    int fds[2];
    memset(&c, 0, sizeof c);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL); /* cmocka has its own */
        signal(SIGSEGV, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        alarm(20);
        _exit(body());
    }
    close(fds[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(fds[0], c.said + used, sizeof c.said - 1 - used)) > 0 ||
           (n < 0 && errno == EINTR)) {
        used += n > 0 ? (size_t)n : 0;
    }
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    c.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    c.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return &c;
}

static inline void child_said(const struct child *c, const char *part)
{
    if (strstr(c->said, part) == NULL) {
        fail_msg("the child (signal %d, status %d) did not say \"%s\" but:\n%s", c->signal,
                 c->status, part, c->said);
    }
}

#endif
