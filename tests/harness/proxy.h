/* What:      a relay that does wrong on purpose, between a driver and its real server: late, in pieces, cut
 *            after n bytes, silent, refusing. What is to happen can change while it runs, for each connection
 *            by itself; bytes and connections are counted.
 * Ownership: proxy is yours until stop; its links belong to it and stay until then, ended or not.
 * Context:   start and stop: task only. The rest: any context of the same loop. The relay is tasks of that loop's
 *            background.
 * Callbacks: none.
 * Errors:    fail the test. A link whose server cannot be reached ends, as the server's clients would see it. */
#ifndef TUG_TESTS_HARNESS_PROXY_H
#define TUG_TESTS_HARNESS_PROXY_H

#include <tug/base.h>

typedef struct proxy proxy;
/* One connection through it. */
typedef struct proxy_link proxy_link;

enum {
    PROXY_UP,  /* from the client to the server */
    PROXY_DOWN /* from the server to the client */
};

#define PROXY_NEVER UINT64_MAX

/* What happens in one direction. */
typedef struct proxy_rule {
    /* At most so many bytes with each write, each write in a turn of its own; 0: as they come. */
    size_t piece;
    /* Each piece waits so long before it goes on; those behind it wait too. */
    tug_duration latency;
    /* So many bytes of this direction pass, counted from the beginning of the connection; instead of the next one
     * both sides are closed. PROXY_NEVER. */
    uint64_t cut_after;
    /* Nothing passes until this is false again. */
    bool stall;
} proxy_rule;

typedef struct proxy_rules {
    proxy_rule way[2]; /* PROXY_UP, PROXY_DOWN */
} proxy_rules;
#define PROXY_RULES_INIT                                                                           \
    {                                                                                              \
        {                                                                                          \
            {0, 0, PROXY_NEVER, false},                                                            \
            {                                                                                      \
                0, 0, PROXY_NEVER, false                                                           \
            }                                                                                      \
        }                                                                                          \
    }

/* Listens on a port of 127.0.0.1. server: "tcp://127.0.0.1:5432", copied. */
TUG_SUSPENDS proxy *proxy_start(const char *server);
/* Ends all links and waits for its tasks. NULL is fine. */
TUG_SUSPENDS void proxy_stop(proxy *p);
int proxy_port(const proxy *p);

/* For links that begin from now on. NULL: nothing goes wrong. */
void proxy_set(proxy *p, const proxy_rules *rules);
/* For those that there are as well. */
void proxy_set_all(proxy *p, const proxy_rules *rules);
/* Nobody listens any more: connecting is refused. What is connected stays. false: listens again, on the
 * same port. */
void proxy_refuse(proxy *p, bool refuse);
/* Connections are accepted and closed at once, and counted. */
void proxy_hang_up(proxy *p, bool hang_up);
/* Closes all links that are open. */
void proxy_cut_all(proxy *p);

/* Connections accepted since the start, those that are open now. */
size_t proxy_accepted(const proxy *p);
size_t proxy_open(const proxy *p);
/* The i-th since the start, hung up ones not counted; NULL: there were not so many. */
proxy_link *proxy_link_at(const proxy *p, size_t i);
/* The youngest one that is open; NULL: none. */
proxy_link *proxy_link_last(const proxy *p);

void proxy_link_set(proxy_link *l, const proxy_rules *rules);
/* Bytes that went through so far; way: PROXY_UP, PROXY_DOWN. */
uint64_t proxy_link_bytes(const proxy_link *l, int way);
bool proxy_link_is_open(const proxy_link *l);
/* Closes both sides. */
void proxy_link_cut(proxy_link *l);

#endif
