#include "task/stack.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "task/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: page-table markers instead of a mapping of its own */
#define MADV_GUARD_REMOVE 103
#endif

enum {
    FIRST_PAGE = 4096
};
#define WATERMARK UINT64_C(0x7475677374616b65)

struct slab {
    struct slab *next, **at_prev;
    char *base;
    size_t size;
    size_t slot_size;
    size_t count; /* of slots that have a guard */
    struct tug__stack slots[TUG__SLAB_SLOTS];
};

struct tug__stacks {
    struct slab *slabs;
    struct tug__stack *free_list;
    enum tug__guard_kind kind;
    unsigned colour;
    size_t deep_idle;
};

#if defined(TUG__TSAN)
__thread void *tug__san_host;
#endif
#if defined(TUG_HAVE_VALGRIND)
bool tug__san_valgrind;
#endif

int tug__stacks_new(enum tug__guard_kind kind, struct tug__stacks **ret)
{
    struct tug__stacks *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for stacks");
    }
    s->kind = kind;
    tug__san_host_is_here();
    *ret = s;
    return 0;
}

static void link_slab(struct tug__stacks *s, struct slab *slab)
{
    slab->next = s->slabs;
    slab->at_prev = &s->slabs;
    if (slab->next != NULL) {
        slab->next->at_prev = &slab->next;
    }
    s->slabs = slab;
}

static void free_slab(struct slab *slab)
{
    for (size_t i = 0; i < slab->count; i++) {
        struct tug__stack *stack = &slab->slots[i];
        tug__san_forget(stack->bottom);
        tug__san_deregister(stack->registered);
    }
    tug__san_unpoison(slab->base, slab->size);
    munmap(slab->base, slab->size);
    tug_free(slab);
}

void tug__stacks_free(struct tug__stacks *s)
{
    if (s == NULL) {
        return;
    }
    while (s->slabs != NULL) {
        struct slab *slab = s->slabs;
        s->slabs = slab->next;
        free_slab(slab);
    }
    tug_free(s);
}

enum tug__guard_kind tug__stacks_kind(const struct tug__stacks *s)
{
    return s->kind;
}

/* False: errno says why. */
static bool guard(struct tug__stacks *s, char *at)
{
    if (s->kind != TUG__GUARD_MPROTECT) {
        if (madvise(at, TUG__STACK_GUARD, MADV_GUARD_INSTALL) == 0) {
            s->kind = TUG__GUARD_INSTALL;
            return true;
        }
        if (errno != EINVAL) {
            return false;
        }
        /* Unknown to this kernel, or refused because this memory is locked: what was so before may not
         * be so for the next slab. */
        if (s->kind == TUG__GUARD_PROBE) {
            s->kind = TUG__GUARD_MPROTECT;
        }
    }
    return mprotect(at, TUG__STACK_GUARD, PROT_NONE) == 0;
}

static int no_guard(int why)
{
    if (why == ENOMEM) { /* mprotect's way to say it */
        return tug_fail(
            TUG_ELIMIT,
            "no further guarded stack: each takes two of the kernel's mappings, and "
            "vm.max_map_count is reached (32,753 tasks at its default; Linux 6.13 needs none)");
    }
    return tug_fail(tug_error_from_errno(why), "cannot guard a task's stack: %s",
                    strerrordesc_np(why));
}

static uint64_t *watermark(const struct tug__stack *stack)
{
    /* The lowest word of the page that every task touches: overwritten when the stack goes deeper. */
    uintptr_t page = ((uintptr_t)stack->top - 1) & ~(uintptr_t)(FIRST_PAGE - 1);
    return (uint64_t *)page;
}

/* A task that has ended leaves red zones of frames that never returned; this looks at what is among them. */
__attribute__((no_sanitize("address"))) bool tug__stack_is_deep(const struct tug__stack *stack)
{
    tug__san_readable(watermark(stack), sizeof(uint64_t));
    return *watermark(stack) != WATERMARK;
}

/* Fewer slots than usual, rather than none, where a limit of the process leaves no more. */
static int map_slab(struct slab *slab, size_t *ret_slots)
{
    size_t most = slab->slot_size == TUG__STACK_SIZE ? TUG__SLAB_SLOTS : 1;
    for (size_t slots = most; slots > 0; slots /= 4) {
        slab->size = slots * slab->slot_size;
        slab->base = mmap(NULL, slab->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (slab->base != MAP_FAILED) {
            *ret_slots = slots;
            return 0;
        }
    }
    if (errno == EAGAIN) {
        return tug_fail(
            TUG_ELIMIT,
            "no further stack of %zu KiB: memory is locked (mlockall with MCL_FUTURE), and "
            "RLIMIT_MEMLOCK is reached",
            slab->slot_size / 1024);
    }
    return tug_fail(TUG_ENOMEM, "no address space for a further stack of %zu KiB",
                    slab->slot_size / 1024);
}

static bool add_slot(struct tug__stacks *s, struct slab *slab)
{
    char *slot = slab->base + slab->count * slab->slot_size;
    if (!guard(s, slot)) {
        return false;
    }
    struct tug__stack *stack = &slab->slots[slab->count++];
    stack->bottom = slot + TUG__STACK_GUARD + TUG__SAN_RESERVE;
    stack->top = slot + slab->slot_size -
                 (size_t)(s->colour++ % TUG__STACK_COLOURS) * TUG__STACK_COLOUR;
    stack->registered = tug__san_register(slot + TUG__STACK_GUARD,
                                          slab->slot_size - TUG__STACK_GUARD);
    return true;
}

/* With as many slots as may be had; more than one only where they are of the usual size. */
static int new_slab(struct tug__stacks *s, size_t slot_size, struct slab **ret)
{
    struct slab *slab = tug_calloc(1, sizeof *slab);
    if (slab == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for stacks");
    }
    size_t slots = 0;
    slab->slot_size = slot_size;
    int rc = map_slab(slab, &slots);
    if (rc < 0) {
        tug_free(slab);
        return rc;
    }
    /* A huge page would make 2 MiB of eight stacks resident at the first touch. */
    madvise(slab->base, slab->size, MADV_NOHUGEPAGE);
    while (slab->count < slots && add_slot(s, slab)) {
    }
    if (slab->count == 0) {
        int why = errno;
        free_slab(slab);
        return no_guard(why);
    }
    link_slab(s, slab);
    *ret = slab;
    return 0;
}

static int add_slab(struct tug__stacks *s)
{
    struct slab *slab = NULL;
    int rc = new_slab(s, TUG__STACK_SIZE, &slab);
    if (rc < 0) {
        return rc;
    }
    /* If the guards ran out half-way, those that there are will do; the next slab says why not more. */
    for (size_t i = slab->count; i-- > 0;) {
        slab->slots[i].next = s->free_list;
        s->free_list = &slab->slots[i];
    }
    return 0;
}

int tug__stack_obtain(struct tug__stacks *s, struct tug__stack **ret)
{
    if (s->free_list == NULL) {
        int rc = add_slab(s);
        if (rc < 0) {
            return rc;
        }
    }
    struct tug__stack *stack = s->free_list;
    assert(stack != NULL && "a new slab has at least one");
    s->free_list = stack->next;
    if (stack->deep) {
        stack->deep = false;
        s->deep_idle--;
    }
    tug__san_fresh(stack->bottom, (size_t)(stack->top - stack->bottom));
    *watermark(stack) = WATERMARK;
    *ret = stack;
    return 0;
}

int tug__stack_obtain_large(struct tug__stacks *s, size_t usable, struct tug__stack **ret)
{
    struct slab *slab = NULL;
    /* What the colour and the task's own struct take is not the caller's. */
    size_t size = usable + TUG__STACK_GUARD + TUG__SAN_RESERVE + FIRST_PAGE;
    int rc = new_slab(s, (size + FIRST_PAGE - 1) & ~(size_t)(FIRST_PAGE - 1), &slab);
    if (rc < 0) {
        return rc;
    }
    assert(slab != NULL && "a new slab is given back on success");
    struct tug__stack *stack = &slab->slots[0];
    stack->is_large = true;
    tug__san_fresh(stack->bottom, (size_t)(stack->top - stack->bottom));
    *watermark(stack) = WATERMARK;
    *ret = stack;
    return 0;
}

static void release_large(struct tug__stack *stack)
{
    struct slab *slab = (struct slab *)((char *)stack - offsetof(struct slab, slots));
    *slab->at_prev = slab->next;
    if (slab->next != NULL) {
        slab->next->at_prev = slab->at_prev;
    }
    free_slab(slab);
}

/* The caller may still stand on the first page: only what is below goes. False: nothing went. */
static bool give_back(struct tug__stack *stack)
{
    int saved = errno; /* of the task that spawns, or of the loop */
    char *low = stack->bottom - TUG__SAN_RESERVE;
    tug__san_forget(stack->bottom);
    /* Locked memory is refused, which is right: whoever locks it wants it to stay. */
    bool done = madvise(low, (size_t)((char *)watermark(stack) - low), MADV_DONTNEED) == 0;
    errno = saved;
    return done;
}

void tug__stack_release(struct tug__stacks *s, struct tug__stack *stack)
{
    if (stack->is_large) {
        release_large(stack);
        return;
    }
    stack->deep = tug__stack_is_deep(stack);
    if (stack->deep && s->deep_idle >= TUG__STACK_KEEP_DEEP && give_back(stack)) {
        stack->deep = false;
    }
    if (stack->deep) {
        s->deep_idle++;
    }
    tug__san_dead(stack->bottom, (size_t)(stack->top - stack->bottom));
    stack->next = s->free_list;
    s->free_list = stack;
}

struct tug__stack *tug__stack_guarding(struct tug__stacks *s, const void *address)
{
    const char *at = address;
    for (struct slab *slab = s->slabs; slab != NULL; slab = slab->next) {
        if (at >= slab->base && at < slab->base + slab->count * slab->slot_size) {
            struct tug__stack *stack = &slab->slots[(size_t)(at - slab->base) / slab->slot_size];
            return at < stack->bottom ? stack : NULL;
        }
    }
    return NULL;
}

__attribute__((used)) void tug__stacks_guards(struct tug__stacks *s, int on)
{
    for (struct slab *slab = s->slabs; slab != NULL && s->kind == TUG__GUARD_INSTALL;
         slab = slab->next) {
        for (size_t i = 0; i < slab->count; i++) {
            madvise(slab->base + i * slab->slot_size, TUG__STACK_GUARD,
                    on ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE);
        }
    }
}
