#include "echo_bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int failed(const char *what)
{
    return tug_fail(-(errno > 0 ? errno : EINVAL), "the bare servers: %s: %m", what);
}

/* The load's connections of one set: non-blocking, TCP_NODELAY, as ours. */
static int take_connections(struct load *load, int set, int fds[LOAD_CONNECTIONS])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int one = 1;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (door < 0 || bind(door, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(door, LOAD_CONNECTIONS) < 0 ||
        getsockname(door, (struct sockaddr *)&at, &size) < 0) {
        return failed("listen");
    }
    int rc = load_connect(load, set, ntohs(at.sin_port));
    for (int i = 0; rc == 0 && i < LOAD_CONNECTIONS; i++) {
        fds[i] = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fds[i] < 0 || setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
            rc = failed("accept");
        }
    }
    close(door);
    return rc;
}

/* --- epoll ----------------------------------------------------------------------------------- */

int epoll_server_open(struct epoll_server *s, struct load *load, int set)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = -1};
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    if (s->poll < 0 || epoll_ctl(s->poll, EPOLL_CTL_ADD, load->control, &e) < 0) {
        return failed("epoll");
    }
    int rc = take_connections(load, set, s->fds);
    for (int i = 0; rc == 0 && i < LOAD_CONNECTIONS; i++) {
        e.data.fd = s->fds[i];
        rc = epoll_ctl(s->poll, EPOLL_CTL_ADD, s->fds[i], &e) < 0 ? failed("epoll_ctl") : 0;
    }
    return rc;
}

int epoll_server_serve(struct epoll_server *s)
{
    for (;;) {
        struct epoll_event events[LOAD_CONNECTIONS + 1];
        int n = epoll_wait(s->poll, events, LOAD_CONNECTIONS + 1, -1);
        for (int i = 0; i < n; i++) {
            char chunk[4096];
            int fd = events[i].data.fd;
            if (fd < 0) {
                return 0;
            }
            ssize_t got = recv(fd, chunk, sizeof chunk, 0);
            if (got <= 0 || send(fd, chunk, (size_t)got, MSG_NOSIGNAL) != got) {
                return failed("echo");
            }
        }
    }
}

void epoll_server_close(struct epoll_server *s)
{
    for (int i = 0; i < LOAD_CONNECTIONS; i++) {
        close(s->fds[i]);
    }
    close(s->poll);
}

/* --- bufferevents ---------------------------------------------------------------------------- */

static void on_read(struct bufferevent *b, void *arg)
{
    (void)arg;
    bufferevent_write_buffer(b, bufferevent_get_input(b)); /* moves its chains, copies nothing */
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

int buffer_server_open(struct buffer_server *s, struct load *load, int set)
{
    int fds[LOAD_CONNECTIONS] = {0};
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    s->base = event_base_new_with_config(config);
    event_config_free(config);
    if (s->base == NULL) {
        return failed("event_base");
    }
    s->control = event_new(s->base, load->control, EV_READ | EV_PERSIST, on_control, s->base);
    if (s->control == NULL || event_add(s->control, NULL) < 0) {
        return failed("event");
    }
    int rc = take_connections(load, set, fds);
    for (int i = 0; rc == 0 && i < LOAD_CONNECTIONS; i++) {
        s->connections[i] = bufferevent_socket_new(s->base, fds[i], BEV_OPT_CLOSE_ON_FREE);
        if (s->connections[i] == NULL) {
            return failed("bufferevent");
        }
        bufferevent_setcb(s->connections[i], on_read, NULL, NULL, NULL);
        bufferevent_enable(s->connections[i], EV_READ | EV_WRITE);
    }
    return rc;
}

int buffer_server_serve(struct buffer_server *s)
{
    return event_base_dispatch(s->base) < 0 ? failed("event_base_dispatch") : 0;
}

void buffer_server_close(struct buffer_server *s)
{
    for (int i = 0; i < LOAD_CONNECTIONS; i++) {
        if (s->connections[i] != NULL) {
            bufferevent_free(s->connections[i]);
        }
    }
    if (s->control != NULL) {
        event_free(s->control);
    }
    if (s->base != NULL) {
        event_base_free(s->base);
    }
}
