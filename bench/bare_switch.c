#include "bare_switch.h"

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "task/switch.h"

enum {
    STACK = 64 * 1024,
    BETWEEN_CLOCKS = 4096, /* switches: 5 to 10 us */
    BETWEEN_WALKS = 256
};

struct place {
    struct tug__context context; /* first: a context is its place */
    struct place *next;
    int depth; /* of its walks */
};

static struct ring {
    struct place caller, places[2];
    struct place *entered; /* by this a new context finds itself */
    tug_time until;
    uint64_t done;
} ring;

static void look_at_clock(struct place *me, unsigned done)
{
    ring.done += done;
    if (bench_now() >= ring.until) {
        tug__switch(&me->context, &ring.caller.context);
    }
}

/* Aligned: the loops are so short that their place in a cache line is a part of the figure. */
#define RING TUG__SWITCHES __attribute__((aligned(64)))

RING static void go_round(void)
{
    struct place *me = ring.entered;
    ring.entered = me->next;
    for (;;) {
        for (int i = 0; i < BETWEEN_CLOCKS; i++) {
            tug__switch(&me->context, &me->next->context);
        }
        look_at_clock(me, BETWEEN_CLOCKS);
    }
}

RING static void go_round_in_registers(void)
{
    struct place *me = ring.entered;
    ring.entered = me->next;
    for (;;) {
        for (int i = 0; i < BETWEEN_CLOCKS; i++) {
            me = (struct place *)tug__switch(&me->context, &me->next->context);
        }
        look_at_clock(me, BETWEEN_CLOCKS);
    }
}

/* A call of its own, as a library's has to be: what is inlined into its caller has no return that could
 * go wrong. */
RING static void step_aside(struct place *me)
{
    tug__switch(&me->context, &me->next->context);
}

RING static void walk(struct place *me, int depth)
{
    step_aside(me);
    if (depth > 0) {
        walk(me, depth - 1);
    }
    step_aside(me);
}

RING static void go_walking(void)
{
    struct place *me = ring.entered;
    ring.entered = me->next;
    for (;;) {
        for (int i = 0; i < BETWEEN_WALKS; i++) {
            walk(me, me->depth);
        }
        look_at_clock(me, BETWEEN_WALKS * 2 * (unsigned)(me->depth + 1));
    }
}

static int run_ring(void (*entry)(void), tug_time until, uint64_t *ret_done)
{
    char *stacks = aligned_alloc(4096, (size_t)2 * STACK);
    if (stacks == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for two stacks");
    }
    memset(&ring, 0, sizeof ring);
    ring.until = until;
    ring.entered = &ring.places[0];
    ring.places[0].depth = BARE_WALK_SHALLOW;
    ring.places[1].depth = BARE_WALK_DEEP;
    for (size_t i = 0; i < 2; i++) {
        ring.places[i].next = &ring.places[1 - i];
        /* As the runtime does: tops of stacks are not all in the same cache set. */
        char *top = stacks + (i + 1) * STACK - i * 64;
        tug__context_init(&ring.places[i].context, stacks + i * STACK, top, entry);
    }
    tug__switch(&ring.caller.context, &ring.places[0].context);
    free(stacks);
    *ret_done = ring.done;
    return 0;
}

int bare_ring(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    return run_ring(go_round, until, ret_done);
}

int bare_ring_in_registers(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    return run_ring(go_round_in_registers, until, ret_done);
}

int bare_walk(void *state, tug_time until, uint64_t *ret_done)
{
    (void)state;
    return run_ring(go_walking, until, ret_done);
}
