/* What:      one allocation of tug's is refused, the n-th from now on: for programs that are linked with
 *            -Wl,--wrap for tug_alloc, tug_calloc, tug_realloc and tug_strdup.
 * Ownership: none. Context: the test's thread. Callbacks: none. Errors: none.
 *
 * Included by one file of a program, for it defines the functions. */
#ifndef TUG_TESTS_STARVED_H
#define TUG_TESTS_STARVED_H

#include <tug/sys/alloc.h>

static long countdown = -1; /* < 0: nothing is refused */
static bool refused;

void *__real_tug_alloc(size_t size);
void *__real_tug_calloc(size_t n, size_t size);
void *__real_tug_realloc(void *p, size_t size);
char *__real_tug_strdup(const char *text);
void *__wrap_tug_alloc(size_t size);
void *__wrap_tug_calloc(size_t n, size_t size);
void *__wrap_tug_realloc(void *p, size_t size);
char *__wrap_tug_strdup(const char *text);

static bool refuse(void)
{
    if (countdown < 0 || countdown-- > 0) {
        return false;
    }
    refused = true;
    return true;
}

void *__wrap_tug_alloc(size_t size)
{
    return refuse() ? NULL : __real_tug_alloc(size);
}

void *__wrap_tug_calloc(size_t n, size_t size)
{
    return refuse() ? NULL : __real_tug_calloc(n, size);
}

void *__wrap_tug_realloc(void *p, size_t size)
{
    return refuse() ? NULL : __real_tug_realloc(p, size);
}

char *__wrap_tug_strdup(const char *text)
{
    return refuse() ? NULL : __real_tug_strdup(text);
}

#endif
