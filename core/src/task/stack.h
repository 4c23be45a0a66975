/* What:      stacks for tasks: slots of large slabs, guarded once, reused last-in first-out.
 * Ownership: a pool per loop; a stack goes back to it when its task has ended.
 * Context:   the loop's thread; the fault handler may look things up from a signal.
 * Callbacks: none.
 * Errors:    TUG_ENOMEM, TUG_ELIMIT (a limit of the kernel's, with its name).
 *
 * Locked memory (mlockall with MCL_FUTURE): the kernel refuses lightweight guards in it, so those stacks
 * have mprotect's, and nothing is given back, because whoever locks memory wants it to stay. */
#ifndef TUG_TASK_STACK_H
#define TUG_TASK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TUG__STACK_SIZE = 256 * 1024, /* address space of a slot; one page of it is resident at first */
    TUG__STACK_GUARD =
        64 * 1024, /* its lowest 16 pages: with -fstack-clash-protection no frame jumps it */
    TUG__STACK_COLOURS =
        16, /* tops differ by 64 B, so that thousands do not share cache sets: up to */
    TUG__STACK_COLOUR = 64,   /* 60 % faster at 16,384 tasks */
    TUG__SLAB_SLOTS = 64,     /* fewer where a limit is near */
    TUG__STACK_KEEP_DEEP = 32 /* idle stacks that may keep more than their first page */
};

/* Above the guard, colour and the task's struct not counted. */
#define TUG__STACK_USABLE ((size_t)(TUG__STACK_SIZE - TUG__STACK_GUARD))
/* Far beyond what any frame needs: more is a mistake in a number. */
#define TUG__STACK_LARGEST ((size_t)1 << 30)

struct tug__stacks;

struct tug__stack {
    struct tug__stack *next; /* in the free list */
    char *bottom;            /* lowest usable byte, above the guard */
    char *top;               /* highest, coloured; the task's struct lies right below */
    unsigned registered;     /* with Valgrind */
    bool deep;               /* was used beyond its first page */
    bool is_large;           /* a mapping of its own, which goes when the task has ended */
};

/* Bytes above the guard, with what the colour and a sanitizer have taken of them. */
static inline size_t tug__stack_size(const struct tug__stack *stack)
{
    return ((size_t)(stack->top - stack->bottom) + 4095) & ~(size_t)4095;
}

enum tug__guard_kind {
    TUG__GUARD_PROBE,    /* lightweight guards where the kernel has them (>= 6.13), else mprotect */
    TUG__GUARD_MPROTECT, /* tests force it */
    TUG__GUARD_INSTALL
};

int tug__stacks_new(enum tug__guard_kind kind, struct tug__stacks **ret);
void tug__stacks_free(struct tug__stacks *s);
int tug__stack_obtain(struct tug__stacks *s, struct tug__stack **ret);
/* One with at least so many bytes above the guard. */
int tug__stack_obtain_large(struct tug__stacks *s, size_t usable, struct tug__stack **ret);
void tug__stack_release(struct tug__stacks *s, struct tug__stack *stack);
/* Whether it has been used beyond its first page since it was obtained. */
bool tug__stack_is_deep(const struct tug__stack *stack);
enum tug__guard_kind tug__stacks_kind(const struct tug__stacks *s);
/* For debuggers that copy the memory of a process, and give a mapping up at the first page that cannot be
 * read: takes the lightweight guards away, and puts them back. */
void tug__stacks_guards(struct tug__stacks *s, int on);
/* The stack whose guard holds this address, NULL if none. Safe in a signal handler of the loop's thread. */
struct tug__stack *tug__stack_guarding(struct tug__stacks *s, const void *address);

#endif
