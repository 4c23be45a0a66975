/* What:      what a switch between two contexts costs when nothing is kept about them: no run
 *            queue, no budget, no errno, no states. The limit of core.switch.
 * Ownership: each call has its own stacks. Context: a thread's own stack. Callbacks: none.
 * Errors:    TUG_ENOMEM. */
#ifndef TUG_BENCH_BARE_SWITCH_H
#define TUG_BENCH_BARE_SWITCH_H

#include <tug/error.h>

/* Slices. In the first one each context finds itself and the next one by what it keeps on its own
 * stack, as any code does that works on something. */
int bare_ring(void *state, tug_time until, uint64_t *ret_done);
/* Here a context learns who it is from a register that the switch hands on, so that no load waits
 * for another one: what the processor can do at most, and only with nothing else going on in
 * between. */
int bare_ring_in_registers(void *state, tug_time until, uint64_t *ret_done);

/* Two contexts that walk down into calls and up again, each with its own depth, and switch at each step of
 * both ways: nearly each return goes elsewhere than the processor thinks. The limit of
 * core.switch.mixed. */
enum {
    BARE_WALK_SHALLOW = 3,
    BARE_WALK_DEEP = 8
};
int bare_walk(void *state, tug_time until, uint64_t *ret_done);

#endif
