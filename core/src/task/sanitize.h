/* What:      what AddressSanitizer, ThreadSanitizer and Valgrind want to know about stacks: all of it is here.
 * Ownership: none. Context: the switching stack. Callbacks: none. Errors: none.
 *
 * AddressSanitizer keeps the bounds of the stack that it is on, and frames of its own beside it.
 * ThreadSanitizer keeps the calls that are open, by function entry and exit: a fiber for each stack. Valgrind takes a jump of the stack pointer for a large frame, unless it knows the stacks. */
#ifndef TUG_TASK_SANITIZE_H
#define TUG_TASK_SANITIZE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define TUG__ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TUG__TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TUG__ASAN 1
#elif __has_feature(thread_sanitizer)
#define TUG__TSAN 1
#endif
#endif

/* Around a switch no call may be open that returns on the other side: not at -O0 either. */
#define TUG__SAN_INLINE static inline __attribute__((always_inline))

/* --- around each switch ------------------------------------------------------------------------- */

#if defined(TUG__ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* own: where this stack's fake frames are kept; NULL on the final exit only, which frees them. */
TUG__SAN_INLINE void tug__san_leave(void **own, const void *to_bottom, size_t to_size)
{
    __sanitizer_start_switch_fiber(own, to_bottom, to_size);
}
TUG__SAN_INLINE void tug__san_arrive(void *own, const void **from_bottom, size_t *from_size)
{
    __sanitizer_finish_switch_fiber(own, from_bottom, from_size);
}
/* The first thing on a new stack. The first task ever comes from the loop's own stack: its bounds are learned
 * then. */
TUG__SAN_INLINE void tug__san_begin(char **host_bottom, char **host_top)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (*host_bottom == NULL) {
        *host_bottom = (char *)bottom;
        *host_top = *host_bottom + size;
    }
}

#elif defined(TUG__TSAN)
#include <sanitizer/tsan_interface.h>

/* The fiber of a stack is found by the stack's address: it lies right below its bottom. */
struct tug__san_fiber {
    void *fiber;
    size_t lives;
};
#define TUG__SAN_FIBER(bottom) ((struct tug__san_fiber *)(bottom))[-1]
/* The loop's own stack, which has no bottom that we know. Set by tug__san_host_is_here. */
extern __thread void *tug__san_host;

TUG__SAN_INLINE void tug__san_leave(void **own, const void *to_bottom, size_t to_size)
{
    (void)own;
    (void)to_size;
    __tsan_switch_to_fiber(to_bottom != NULL ? TUG__SAN_FIBER(to_bottom).fiber : tug__san_host, 0);
}
TUG__SAN_INLINE void tug__san_arrive(void *own, const void **from_bottom, size_t *from_size)
{
    (void)own;
    (void)from_bottom;
    (void)from_size;
}
TUG__SAN_INLINE void tug__san_begin(char **host_bottom, char **host_top)
{
    (void)host_bottom;
    (void)host_top;
}

#else
TUG__SAN_INLINE void tug__san_leave(void **own, const void *to_bottom, size_t to_size)
{
    (void)own;
    (void)to_bottom;
    (void)to_size;
}
TUG__SAN_INLINE void tug__san_arrive(void *own, const void **from_bottom, size_t *from_size)
{
    (void)own;
    (void)from_bottom;
    (void)from_size;
}
TUG__SAN_INLINE void tug__san_begin(char **host_bottom, char **host_top)
{
    (void)host_bottom;
    (void)host_top;
}
#endif

/* --- the lives of a stack ----------------------------------------------------------------------- */

enum {
#if defined(TUG__TSAN)
    TUG__SAN_LIVES =
        64, /* of a fiber: a task that ends leaves a few calls open, and making one is slow */
    TUG__SAN_RESERVE = 64 /* bytes below the bottom of a stack, for the fiber */
#else
    TUG__SAN_RESERVE = 0
#endif
};

#if defined(TUG_HAVE_VALGRIND)
#include <valgrind/memcheck.h>

extern bool tug__san_valgrind; /* whether the program runs under it */

static inline unsigned tug__san_register(void *low, size_t size)
{
    return VALGRIND_STACK_REGISTER(low, (char *)low + size - 1);
}
static inline void tug__san_deregister(unsigned id)
{
    VALGRIND_STACK_DEREGISTER(id);
}
static inline void tug__san_undefined(void *bottom, size_t size)
{
    if (__builtin_expect(tug__san_valgrind, 0)) {
        VALGRIND_MAKE_MEM_UNDEFINED(bottom, size);
    }
}
/* What lies below the stack pointer that a task left with is out of bounds to it. */
static inline void tug__san_readable(void *at, size_t size)
{
    if (__builtin_expect(tug__san_valgrind, 0)) {
        VALGRIND_MAKE_MEM_DEFINED(at, size);
    }
}
#else
static inline unsigned tug__san_register(void *low, size_t size)
{
    (void)low;
    (void)size;
    return 0;
}
static inline void tug__san_deregister(unsigned id)
{
    (void)id;
}
static inline void tug__san_undefined(void *bottom, size_t size)
{
    (void)bottom;
    (void)size;
}
static inline void tug__san_readable(void *at, size_t size)
{
    (void)at;
    (void)size;
}
#endif

/* The calling thread will run a loop, on the stack that it is on. */
static inline void tug__san_host_is_here(void)
{
#if defined(TUG__TSAN)
    tug__san_host = __tsan_get_current_fiber();
#endif
#if defined(TUG_HAVE_VALGRIND)
    if (RUNNING_ON_VALGRIND != 0) { /* no store otherwise: several threads may be here at once */
        tug__san_valgrind = true;
    }
#endif
}

/* Before the stack's memory goes, or what is in it. We are on another one. */
static inline void tug__san_forget(void *bottom)
{
#if defined(TUG__TSAN)
    struct tug__san_fiber *f = &TUG__SAN_FIBER(bottom);
    if (f->fiber != NULL) {
        __tsan_destroy_fiber(f->fiber);
        f->fiber = NULL;
    }
#else
    (void)bottom;
#endif
}

/* Nobody has business in a stack that no task stands on. */
static inline void tug__san_dead(void *bottom, size_t size)
{
#if defined(TUG__ASAN)
    __asan_poison_memory_region(bottom, size);
#else
    (void)bottom;
    (void)size;
#endif
}

/* Red zones of frames that never returned. */
static inline void tug__san_unpoison(void *bottom, size_t size)
{
#if defined(TUG__ASAN)
    __asan_unpoison_memory_region(bottom, size);
#else
    (void)bottom;
    (void)size;
#endif
}

/* A stack that is used again still has what never returned: red zones, open calls, bytes out of bounds. */
static inline void tug__san_fresh(void *bottom, size_t size)
{
    tug__san_unpoison(bottom, size);
#if defined(TUG__TSAN)
    struct tug__san_fiber *f = &TUG__SAN_FIBER(bottom);
    if (f->fiber == NULL || ++f->lives == TUG__SAN_LIVES) {
        tug__san_forget(bottom);
        f->fiber = __tsan_create_fiber(0);
        f->lives = 0;
    }
#endif
    tug__san_undefined(bottom, size);
}

#endif
