/* What:      processes that hold many connections and say little: each has a share of them, since a process
 *            has only so many descriptors.
 * Ownership: start to stop. Context: any; start blocks for a moment. Callbacks: none.
 * Errors:    -errno, TUG_EPROTO. */
#ifndef TUG_BENCH_IDLE_LOAD_H
#define TUG_BENCH_IDLE_LOAD_H

#include "bench.h"

enum {
    IDLE_PROCESSES = 64, /* at most */
    IDLE_MESSAGE = 64    /* bytes */
};

struct idle_load {
    int control[IDLE_PROCESSES]; /* readable when that process has done what it was told */
    int pids[IDLE_PROCESSES];
    uint32_t shares[IDLE_PROCESSES];
    size_t n;
};

/* Processes for so many connections, share for each at most. Before anything is opened that they should not
 * inherit. */
int idle_load_start(struct idle_load *l, uint32_t connections, uint32_t share) TUG_CHECK;
/* All connect to the port, on several addresses of 127.0.0.0/8, for each has only so many ports. */
int idle_load_connect(struct idle_load *l, uint16_t port) TUG_CHECK;
/* One message through each connection and back. */
int idle_load_talk(struct idle_load *l) TUG_CHECK;
/* Of a process whose control is readable. */
int idle_load_result(struct idle_load *l, size_t i) TUG_CHECK;
void idle_load_stop(struct idle_load *l);

#endif
