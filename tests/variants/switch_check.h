/* What:      a ring of contexts that hand over to each other, for switch_check.c.
 * Ownership: static. Context: one thread. Callbacks: none. Errors: counted in failures. */
#ifndef TUG_TESTS_VARIANTS_SWITCH_CHECK_H
#define TUG_TESTS_VARIANTS_SWITCH_CHECK_H

#include <stddef.h>

#include "task/switch.h"

enum {
    SIDES = 4, /* the thread's own stack and three contexts */
    ROUNDS = 60,
    STACK = 256 * 1024
};

struct side {
    struct tug__context context; /* first: the switch returns it */
    void *bottom;                /* NULL: the thread's own stack */
    size_t size;
    void *fake_stack;
    int is_over;
};

extern struct side sides[SIDES];
extern int failures;

void fail(const char *what, int line);
#define CHECK(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

void host_is_here(void);
/* body never returns. */
void prepare(size_t side, char *memory, size_t size, void (*body)(size_t me));
void discard(size_t side);
/* To the next side, which is the one that goes on; returns when the one before hands over to this one. */
void pass_on(size_t me);
/* The same, and never comes back. */
__attribute__((noreturn)) void depart(size_t me);
/* Locals that live below the stack pointer and in vector registers, while nothing is called. */
void check_red_zone(size_t me, unsigned seed);

#endif
