/* What:      what AddressSanitizer wants to know about stacks, right before and right after each switch.
 * Ownership: none. Context: the switching stack. Callbacks: none. Errors: none. */
#ifndef TUG_TASK_SANITIZE_H
#define TUG_TASK_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define TUG__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TUG__ASAN 1
#endif
#endif

#if defined(TUG__ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* own: where this stack's fake frames are kept; NULL on the final exit only, which frees them. */
static inline void tug__san_leave(void **own, const void *to_bottom, size_t to_size)
{
    __sanitizer_start_switch_fiber(own, to_bottom, to_size);
}
static inline void tug__san_arrive(void *own, const void **from_bottom, size_t *from_size)
{
    __sanitizer_finish_switch_fiber(own, from_bottom, from_size);
}
/* The first thing on a new stack. The first task ever comes from the loop's own stack: its bounds are learned
 * then. */
static inline void tug__san_begin(char **host_bottom, char **host_top)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (*host_bottom == NULL) {
        *host_bottom = (char *)bottom;
        *host_top = *host_bottom + size;
    }
}
/* A stack that is used again still has the red zones of frames that never returned. */
static inline void tug__san_fresh(void *bottom, size_t size)
{
    __asan_unpoison_memory_region(bottom, size);
}
#else
static inline void tug__san_leave(void **own, const void *to_bottom, size_t to_size)
{
    (void)own;
    (void)to_bottom;
    (void)to_size;
}
static inline void tug__san_arrive(void *own, const void **from_bottom, size_t *from_size)
{
    (void)own;
    (void)from_bottom;
    (void)from_size;
}
static inline void tug__san_begin(char **host_bottom, char **host_top)
{
    (void)host_bottom;
    (void)host_top;
}
static inline void tug__san_fresh(void *bottom, size_t size)
{
    (void)bottom;
    (void)size;
}
#endif

#endif
