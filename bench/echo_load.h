/* What:      the load of the network benches: a process of its own that connects and sends, so that what is
 *            measured is the server alone, and every server faces the same one.
 * Ownership: load_start to load_stop. Context: any; the load's own calls block for a moment.
 * Callbacks: none. Errors: -errno, TUG_EPROTO. */
#ifndef TUG_BENCH_ECHO_LOAD_H
#define TUG_BENCH_ECHO_LOAD_H

#include "bench.h"

enum {
    LOAD_SETS = 3,         /* servers, each with its connections */
    LOAD_CONNECTIONS = 64, /* of each */
    LOAD_MESSAGE = 512     /* bytes */
};

struct load {
    int control; /* a stream socket; readable when the load has done what it was told */
    int pid;
};

/* Before anything is opened that the process should not inherit. */
int load_start(struct load *l) TUG_CHECK;
/* Connects the set to a port of 127.0.0.1. They wait in the backlog when this returns. */
int load_connect(struct load *l, int set, uint16_t port) TUG_CHECK;
/* One message after the other over each connection of the set, until then; load_result when control is
 * readable. */
int load_run(struct load *l, int set, tug_time until) TUG_CHECK;
/* Messages that came back. */
int load_result(struct load *l, uint64_t *ret_done) TUG_CHECK;
void load_stop(struct load *l);

#endif
