/* What:      torture of the unit tests: each case is run again and again in a child process; in the n-th
 *            run its n-th allocation or system call of the kinds below fails (TUG_TORTURE=faults), or the
 *            task that waits for the n-th time is cancelled there (TUG_TORTURE=cancel).
 * Ownership: none. Context: the main thread, before any loop.
 * Errors:    a case survives when it passes all the same, or when one of its assertions meets the error:
 *            then what is allocated must still be reachable. A crash, an abort of ours, a sanitizer's
 *            report, a leak, a hang, or an assertion that fails although nothing was made to fail is
 *            printed with the number that brings it back: TUG_TORTURE=faults:N program CASE, which also
 *            prints from where the call came that failed. */
#ifndef TUG_TESTS_HARNESS_TORTURE_H
#define TUG_TESTS_HARNESS_TORTURE_H

#include <stdbool.h>

#include "test.h"

#if defined(TUG_TORTURE)

/* True if the environment asks for it: then *ret_status is what the process ends with. */
bool torture_main(test_case *cases, const char *only, int (*run)(test_case *c), int *ret_status);
/* This process is a run of it. */
bool torture_is_on(void);
/* The case's own code begins. */
void torture_begins(void);
/* A test left something behind: told apart from an assertion that met an error. */
void torture_left_behind(void);
/* The code that an assertion met. */
void torture_met(int rc);

#else /* without the sanitizers there is nothing to see */

static inline bool torture_main(test_case *cases, const char *only, int (*run)(test_case *c),
                                int *ret_status)
{
    (void)cases, (void)only, (void)run, (void)ret_status;
    return false;
}
static inline bool torture_is_on(void)
{
    return false;
}
static inline void torture_begins(void) {}
static inline void torture_left_behind(void) {}
static inline void torture_met(int rc)
{
    (void)rc;
}

#endif

#endif
