#include "task/debugging.h"

#include <string.h>
#include <sys/mman.h>
#include <tug/sys/alloc.h>

#include "loop/signal.h"
#include "task/inspect.h"
#include "task/layout.h"
#include "task/sanitize.h"
#include "task/slow.h"
#include "task/task.h"
#include "util/debug.h"

enum {
    PAGE = 4096,
    STACK_PAGES = TUG__STACK_SIZE / PAGE
};
#define POISON UINT64_C(0xdbdbdbdbdbdbdbdb)

/* --- how deep a stack was used ------------------------------------------------------------------ */

static char *page_of(const char *at)
{
    return (char *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1));
}

/* The lowest word that is neither zero, as fresh pages are, nor poison of the task before. */
__attribute__((no_sanitize("address"))) static char *first_used(char *from, const char *to)
{
    char *at = from;
    while (at < to && (*(uint64_t *)at == 0 || *(uint64_t *)at == POISON)) {
        at += sizeof(uint64_t);
    }
    return at;
}

/* ThreadSanitizer has some words below the bottom, so that this need not begin a page. */
static char *lowest_page(const struct tug__stack *stack)
{
    return page_of(stack->bottom + PAGE - 1);
}

/* Where the used part of a stack begins. first_page: the one that every task touches; its first word is the
 * watermark of stack.c. */
static char *lowest_used(const struct tug__stack *stack, char *first_page)
{
    unsigned char resident[STACK_PAGES];
    char *bottom = lowest_page(stack);
    size_t n = (size_t)(first_page - bottom) / PAGE, page = 0;
    for (bool found = false; !found && page < n;) { /* a large stack needs several looks */
        size_t pages = n - page < STACK_PAGES ? n - page : STACK_PAGES, i = 0;
        if (mincore(bottom + page * PAGE, pages * PAGE, resident) < 0) {
            return bottom;
        }
        while (i < pages && (resident[i] & 1) == 0) {
            i++; /* never touched: given back after the last use */
        }
        page += i;
        found = i < pages;
    }
    if (page == n) {
        return first_used(first_page + sizeof(uint64_t), stack->top);
    }
    char *at = bottom + page * PAGE;
    char *used = first_used(at, at + PAGE);
    return used < at + PAGE ? used : at; /* all zeros, but touched: the probe of a large frame */
}

static void count(struct tug__debugging *d, const void *place, size_t used, size_t of)
{
    size_t i = ((uintptr_t)place >> 2) % TUG__SITES;
    for (size_t n = 0; n < TUG__SITES; n++, i = (i + 1) % TUG__SITES) {
        struct tug__site *s = &d->sites[i];
        if (s->place == NULL) {
            s->place = place;
        }
        if (s->place == place) {
            s->tasks++;
            if (used >= s->most) {
                s->most = used;
                s->of = of;
            }
            return;
        }
    }
}

/* Not memset: AddressSanitizer would look into red zones of frames that never returned. */
__attribute__((no_sanitize("address"))) static void fill(char *from, const char *to, uint64_t with)
{
    for (volatile char *p = from; p < to; p += sizeof with) {
        *(volatile uint64_t *)p = with;
    }
}

void tug__debugging_stack(struct tug__debugging *d, struct tug_task *t)
{
    struct tug__stack *stack = t->stack;
    char *first_page = page_of(stack->top - 1);
    char *low = lowest_used(stack, first_page);
    if (d->marks && d->sites != NULL) {
        count(d, t->spawned_at, (size_t)(stack->top - low), tug__stack_size(stack));
    }
    /* The pages below are given back, so that the next task is measured against fresh ones. */
    char *bottom = lowest_page(stack);
    if (low < first_page && madvise(bottom, (size_t)(first_page - bottom), MADV_DONTNEED) < 0) {
        fill(page_of(low), first_page, 0); /* locked memory */
    }
    /* The watermark stays: stack.c asks for it. */
    fill(first_page + sizeof(uint64_t), stack->top, d->poison ? POISON : 0);
}

/* --- opening and closing ------------------------------------------------------------------------ */

static void on_dump_signal(int number, void *arg)
{
    (void)number;
    (void)arg;
    tug__inspect_dump();
}

void tug__debugging_open(struct tug_loop *loop, struct tug__debugging *d)
{
    d->poison = TUG__DEBUG_ON(poison_stacks);
    d->marks = TUG__DEBUG_ON(stack_marks);
    d->stacks = d->poison || d->marks;
#if defined(TUG_HAVE_VALGRIND)
    d->stacks = d->stacks &&
                !tug__san_valgrind; /* it watches stacks itself, and minds who reads them */
#endif
    if (d->marks) {
        d->sites = tug_calloc(TUG__SITES, sizeof *d->sites);
    }
    if (TUG__DEBUG_ON(overflow_report)) {
        tug__overflow_open(&d->overflow);
    }
    int number = TUG__DEBUG_ON(dump_signal);
    if (number != 0 && tug__signal_watch(number, on_dump_signal, NULL) < 0) {
        tug__debug_warn("loop", "no dump on signal %d: %s", number, tug_last_error()->text);
    }
    loop->layout = tug__layout;
    tug__slow_open(loop);
}

void tug__debugging_close(struct tug_loop *loop, struct tug__debugging *d)
{
    tug__slow_close(loop);
    tug__overflow_close(&d->overflow);
    tug_free(d->sites);
    d->sites = NULL;
}
