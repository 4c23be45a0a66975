#include "task/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "task/sanitize.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: page-table markers instead of a mapping of its own */
#endif

enum {
    FIRST_PAGE = 4096
};
#define WATERMARK UINT64_C(0x7475677374616b65)

struct slab {
    struct slab *next;
    char *base;
    struct tug__stack slots[TUG__SLAB_SLOTS];
};

struct tug__stacks {
    struct slab *slabs;
    struct tug__stack *free_list;
    enum tug__guard_kind kind;
    unsigned colour;
    size_t deep_idle;
};

int tug__stacks_new(enum tug__guard_kind kind, struct tug__stacks **ret)
{
    struct tug__stacks *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for stacks");
    }
    s->kind = kind;
    *ret = s;
    return 0;
}

void tug__stacks_free(struct tug__stacks *s)
{
    if (s == NULL) {
        return;
    }
    while (s->slabs != NULL) {
        struct slab *slab = s->slabs;
        s->slabs = slab->next;
        tug__san_fresh(slab->base, (size_t)TUG__SLAB_SLOTS * TUG__STACK_SIZE);
        munmap(slab->base, (size_t)TUG__SLAB_SLOTS * TUG__STACK_SIZE);
        tug_free(slab);
    }
    tug_free(s);
}

enum tug__guard_kind tug__stacks_kind(const struct tug__stacks *s)
{
    return s->kind;
}

static int guard(struct tug__stacks *s, char *at)
{
    if (s->kind != TUG__GUARD_MPROTECT) {
        if (madvise(at, TUG__STACK_GUARD, MADV_GUARD_INSTALL) == 0) {
            s->kind = TUG__GUARD_INSTALL;
            return 0;
        }
        if (s->kind == TUG__GUARD_INSTALL || errno != EINVAL) {
            return tug_fail(tug_error_from_errno(errno), "cannot guard a task's stack: %s",
                            strerrordesc_np(errno));
        }
        s->kind = TUG__GUARD_MPROTECT;
    }
    if (mprotect(at, TUG__STACK_GUARD, PROT_NONE) == 0) {
        return 0;
    }
    if (errno == ENOMEM) {
        return tug_fail(
            TUG_ELIMIT,
            "no further guarded stack: each takes two of the kernel's mappings, and "
            "vm.max_map_count is reached (32,753 tasks at its default; Linux 6.13 needs none)");
    }
    return tug_fail(tug_error_from_errno(errno), "cannot guard a task's stack: %s",
                    strerrordesc_np(errno));
}

static uint64_t *watermark(const struct tug__stack *stack)
{
    /* The lowest word of the page that every task touches: overwritten when the stack goes deeper. */
    uintptr_t page = ((uintptr_t)stack->top - 1) & ~(uintptr_t)(FIRST_PAGE - 1);
    return (uint64_t *)page;
}

bool tug__stack_is_deep(const struct tug__stack *stack)
{
    return *watermark(stack) != WATERMARK;
}

static int add_slab(struct tug__stacks *s)
{
    struct slab *slab = tug_calloc(1, sizeof *slab);
    if (slab == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for stacks");
    }
    size_t size = (size_t)TUG__SLAB_SLOTS * TUG__STACK_SIZE;
    slab->base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->base == MAP_FAILED) {
        tug_free(slab);
        return tug_fail(TUG_ENOMEM, "no address space for %d more stacks of %d KiB",
                        TUG__SLAB_SLOTS, TUG__STACK_SIZE / 1024);
    }
    /* A huge page would make 2 MiB of eight stacks resident at the first touch. */
    madvise(slab->base, size, MADV_NOHUGEPAGE);
    for (int i = TUG__SLAB_SLOTS - 1; i >= 0; i--) {
        struct tug__stack *stack = &slab->slots[i];
        char *slot = slab->base + (size_t)i * TUG__STACK_SIZE;
        stack->bottom = slot + TUG__STACK_GUARD;
        stack->top = slot + TUG__STACK_SIZE -
                     (size_t)(s->colour++ % TUG__STACK_COLOURS) * TUG__STACK_COLOUR;
        int rc = guard(s, slot);
        if (rc < 0) {
            munmap(slab->base, size);
            tug_free(slab);
            return rc;
        }
    }
    for (int i = TUG__SLAB_SLOTS - 1; i >= 0; i--) {
        slab->slots[i].next = s->free_list;
        s->free_list = &slab->slots[i];
    }
    slab->next = s->slabs;
    s->slabs = slab;
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

void tug__stack_release(struct tug__stacks *s, struct tug__stack *stack)
{
    stack->deep = *watermark(stack) != WATERMARK;
    if (stack->deep && s->deep_idle >= TUG__STACK_KEEP_DEEP) {
        /* The caller may still stand on the first page: only what is below goes. */
        char *end = (char *)watermark(stack);
        madvise(stack->bottom, (size_t)(end - stack->bottom), MADV_DONTNEED);
        stack->deep = false;
    }
    if (stack->deep) {
        s->deep_idle++;
    }
    stack->next = s->free_list;
    s->free_list = stack;
}

struct tug__stack *tug__stack_guarding(struct tug__stacks *s, const void *address)
{
    const char *at = address;
    for (struct slab *slab = s->slabs; slab != NULL; slab = slab->next) {
        if (at >= slab->base && at < slab->base + (size_t)TUG__SLAB_SLOTS * TUG__STACK_SIZE) {
            struct tug__stack *stack = &slab->slots[(size_t)(at - slab->base) / TUG__STACK_SIZE];
            return at < stack->bottom ? stack : NULL;
        }
    }
    return NULL;
}
