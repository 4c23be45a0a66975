/* What:      what of <tug/debug.h> is on, and how its sentences get out.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: as stated. */
#ifndef TUG_UTIL_DEBUG_H
#define TUG_UTIL_DEBUG_H

#include <stdatomic.h>
#include <tug/debug.h>

/* Set before loops run, read by any thread; each is on its own, so relaxed loads do. */
struct tug__debug {
    atomic_bool abort_on_misuse;
    atomic_bool unread_errors;
    atomic_bool no_suspend;
    atomic_bool poison_stacks;
    atomic_bool stack_marks;
    atomic_bool overflow_report;
    atomic_bool slow_backtrace;
    _Atomic tug_duration slow_step;
    atomic_int dump_signal;
};

/* The settings. The first call reads the environment. */
struct tug__debug *tug__debug(void);

bool tug__debug_is_on(void);
/* Aborts with "tug: text" when debugging is on. */
void tug__debug_violation(const char *format, ...) TUG_PRINTF(1, 2);
/* Aborts always, with "tug: text": what cannot be gone on from. */
void tug__abort(const char *format, ...) TUG_PRINTF(1, 2) __attribute__((noreturn));
/* A warning in the log, or "tug: text" on stderr when nobody would see that. */
void tug__debug_warn(const char *subsystem, const char *format, ...) TUG_PRINTF(2, 3);

#define TUG__DEBUG_ON(what) atomic_load_explicit(&tug__debug()->what, memory_order_relaxed)

#endif
