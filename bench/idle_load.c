#include "idle_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    AN_ADDRESS =
        1000,      /* connections to one: the kernel's search for a free port gets slow long before
                          its 28,000 are used up */
    IN_STEP = 512, /* connects or messages until the server is waited for: fewer than its backlog */
    GO_TALK = 0    /* in place of a port */
};

/* --- the other processes --------------------------------------------------------------------- */

struct client {
    uint32_t first, n; /* of all connections: its share */
    int *fds;
};

static bool exchange(int fd, bool is_last)
{
    static char message[IDLE_MESSAGE] = "once";
    if (send(fd, message, sizeof message, MSG_NOSIGNAL) != sizeof message) {
        return false;
    }
    return !is_last || recv(fd, message, sizeof message, MSG_WAITALL) == sizeof message;
}

static bool connect_all(struct client *c, uint16_t port)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (c->first + i) / AN_ADDRESS);
        c->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fds[i] < 0 || connect(c->fds[i], (const struct sockaddr *)&to, sizeof to) < 0) {
            return false;
        }
        /* An answer on the latest says that all before it are accepted: a backlog that runs over costs a
         * second. */
        if (((i + 1) % IN_STEP == 0 || i + 1 == c->n) && !exchange(c->fds[i], true)) {
            return false;
        }
    }
    return true;
}

static bool talk(struct client *c)
{
    char message[IDLE_MESSAGE];
    for (uint32_t at = 0; at < c->n; at += IN_STEP) {
        uint32_t end = at + IN_STEP < c->n ? at + IN_STEP : c->n;
        for (uint32_t i = at; i < end; i++) {
            if (!exchange(c->fds[i], false)) {
                return false;
            }
        }
        for (uint32_t i = at; i < end; i++) {
            if (recv(c->fds[i], message, sizeof message, MSG_WAITALL) != sizeof message) {
                return false;
            }
        }
    }
    return true;
}

static int obey(int control, struct client *c)
{
    uint16_t port;
    c->fds = calloc(c->n, sizeof *c->fds);
    while (c->fds != NULL && recv(control, &port, sizeof port, MSG_WAITALL) == sizeof port) {
        bool ok = port != GO_TALK ? connect_all(c, port) : talk(c);
        int error = ok ? 0 : errno;
        if (send(control, &error, sizeof error, MSG_NOSIGNAL) != sizeof error) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

/* --- this process ---------------------------------------------------------------------------- */

static int failed(const char *what)
{
    return tug_fail(errno > 0 ? -errno : TUG_EPROTO, "the idle load: %s: %m", what);
}

static int start_one(struct idle_load *l, uint32_t first, uint32_t n)
{
    int fds[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return failed("socketpair");
    }
    l->shares[l->n] = n;
    l->control[l->n] = fds[0];
    l->pids[l->n] = fork();
    if (l->pids[l->n] == 0) {
        struct client c = {.first = first, .n = n};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0; i <= l->n; i++) {
            close(l->control[i]);
        }
        _exit(getppid() == parent ? obey(fds[1], &c) : EXIT_FAILURE);
    }
    close(fds[1]);
    if (l->pids[l->n] < 0) {
        close(fds[0]);
        return failed("fork");
    }
    l->n++;
    return 0;
}

int idle_load_start(struct idle_load *l, uint32_t connections, uint32_t share)
{
    int rc = 0;
    memset(l, 0, sizeof *l);
    for (uint32_t first = 0; rc == 0 && first < connections; first += share) {
        uint32_t n = connections - first < share ? connections - first : share;
        rc = l->n < IDLE_PROCESSES ? start_one(l, first, n)
                                   : tug_fail(TUG_ELIMIT, "too many processes for this load");
    }
    if (rc < 0) {
        idle_load_stop(l);
    }
    return rc;
}

static int tell_all(struct idle_load *l, uint16_t what)
{
    for (size_t i = 0; i < l->n; i++) {
        if (send(l->control[i], &what, sizeof what, MSG_NOSIGNAL) != sizeof what) {
            return failed("send");
        }
    }
    return 0;
}

int idle_load_connect(struct idle_load *l, uint16_t port)
{
    return tell_all(l, port);
}

int idle_load_talk(struct idle_load *l)
{
    return tell_all(l, GO_TALK);
}

int idle_load_result(struct idle_load *l, size_t i)
{
    int error = 0;
    if (recv(l->control[i], &error, sizeof error, MSG_WAITALL) != sizeof error) {
        return failed("it has ended");
    }
    errno = error;
    return error == 0 ? 0 : failed("a connection");
}

void idle_load_stop(struct idle_load *l)
{
    for (size_t i = 0; i < l->n; i++) {
        close(l->control[i]);
    }
    for (size_t i = 0; i < l->n; i++) {
        waitpid(l->pids[i], NULL, 0);
    }
    l->n = 0;
}
