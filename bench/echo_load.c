#include "echo_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct order {
    int set;
    uint16_t port; /* not 0: connect */
    tug_time until;
};

/* --- the other process ----------------------------------------------------------------------- */

/* Without the loop of its parent: it uses nothing of tug's. */
struct set {
    int poll;
    int fds[LOAD_CONNECTIONS];
    size_t got[LOAD_CONNECTIONS]; /* of the echo that is under way */
};

static bool connect_set(struct set *s, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < LOAD_CONNECTIONS; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        s->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(s->fds[i], (const struct sockaddr *)&to, sizeof to) < 0 ||
            setsockopt(s->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
            epoll_ctl(s->poll, EPOLL_CTL_ADD, s->fds[i], &e) < 0) {
            return false;
        }
    }
    return true;
}

static bool send_message(const struct set *s, size_t i)
{
    static const char message[LOAD_MESSAGE] = "the same for every server";
    return send(s->fds[i], message, sizeof message, MSG_NOSIGNAL) == sizeof message;
}

/* 1: an echo is whole; 0: not yet; < 0: the server has gone. */
static int receive_some(struct set *s, size_t i)
{
    char chunk[LOAD_MESSAGE];
    ssize_t n = recv(s->fds[i], chunk, sizeof chunk, 0);
    s->got[i] += n > 0 ? (size_t)n : 0;
    if (n <= 0 || s->got[i] < LOAD_MESSAGE) {
        return n <= 0 ? -1 : 0;
    }
    s->got[i] = 0;
    return 1;
}

static bool drive(struct set *s, tug_time until, uint64_t *ret_done)
{
    size_t in_flight = 0;
    uint64_t done = 0;
    for (size_t i = 0; i < LOAD_CONNECTIONS; i++, in_flight++) {
        if (!send_message(s, i)) {
            return false;
        }
    }
    while (in_flight > 0) {
        struct epoll_event events[LOAD_CONNECTIONS];
        int n = epoll_wait(s->poll, events, LOAD_CONNECTIONS, -1);
        bool is_over = bench_now() >= until;
        for (int i = 0; i < n; i++) {
            size_t at = events[i].data.u32;
            int whole = receive_some(s, at);
            if (whole < 0 || (whole > 0 && !is_over && !send_message(s, at))) {
                return false;
            }
            done += whole > 0;
            in_flight -= whole > 0 && is_over;
        }
    }
    *ret_done = done;
    return true;
}

static int obey(int control)
{
    static struct set sets[LOAD_SETS];
    struct order o;
    while (recv(control, &o, sizeof o, MSG_WAITALL) == sizeof o) {
        uint64_t done = 1;
        bool ok = o.port != 0 ? connect_set(&sets[o.set], o.port)
                              : drive(&sets[o.set], o.until, &done);
        if (!ok || send(control, &done, sizeof done, MSG_NOSIGNAL) != sizeof done) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

/* --- this process ---------------------------------------------------------------------------- */

static int failed(const char *what)
{
    return tug_fail(errno > 0 ? -errno : TUG_EPROTO, "the load: %s: %m", what);
}

int load_start(struct load *l)
{
    int fds[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return failed("socketpair");
    }
    l->control = fds[0];
    l->pid = fork();
    if (l->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        _exit(getppid() == parent ? obey(fds[1]) : EXIT_FAILURE);
    }
    close(fds[1]);
    if (l->pid < 0) {
        close(l->control);
        return failed("fork");
    }
    return 0;
}

static int tell(struct load *l, const struct order *o)
{
    return send(l->control, o, sizeof *o, MSG_NOSIGNAL) == sizeof *o ? 0 : failed("send");
}

int load_connect(struct load *l, int set, uint16_t port)
{
    struct order o = {.set = set, .port = port};
    uint64_t done;
    int rc = tell(l, &o);
    return rc < 0 ? rc : load_result(l, &done);
}

int load_run(struct load *l, int set, tug_time until)
{
    struct order o = {.set = set, .until = until};
    return tell(l, &o);
}

int load_result(struct load *l, uint64_t *ret_done)
{
    errno = 0;
    return recv(l->control, ret_done, sizeof *ret_done, MSG_WAITALL) == sizeof *ret_done
               ? 0
               : failed("it has ended");
}

void load_stop(struct load *l)
{
    close(l->control);
    waitpid(l->pid, NULL, 0);
}
