/* What:      the two echo servers that ours is measured against: a loop over epoll, libevent's bufferevents.
 * Ownership: open to close. Context: serve may block. Callbacks: none.
 * Errors:    -errno with what was tried. */
#ifndef TUG_BENCH_ECHO_BARE_H
#define TUG_BENCH_ECHO_BARE_H

#include "echo_load.h"

struct epoll_server {
    int poll;
    int fds[LOAD_CONNECTIONS];
};

struct event;
struct event_base;
struct bufferevent;
struct buffer_server {
    struct event_base *base;
    struct event *control;
    struct bufferevent *connections[LOAD_CONNECTIONS];
};

/* Each takes its connections from load and serves them until load->control is readable. */
int epoll_server_open(struct epoll_server *s, struct load *load, int set) TUG_CHECK;
int epoll_server_serve(struct epoll_server *s) TUG_CHECK;
void epoll_server_close(struct epoll_server *s);

int buffer_server_open(struct buffer_server *s, struct load *load, int set) TUG_CHECK;
int buffer_server_serve(struct buffer_server *s) TUG_CHECK;
void buffer_server_close(struct buffer_server *s);

#endif
