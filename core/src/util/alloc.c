#include "util/alloc.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t live;

#if defined(TUG_TORTURE)
bool (*tug__alloc_fails)(void);
#define REFUSED (tug__alloc_fails != NULL && tug__alloc_fails())
#else
#define REFUSED false
#endif

static void *counted(void *p)
{
    if (p != NULL) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    }
    return p;
}

void *tug_alloc(size_t size)
{
    return REFUSED ? NULL : counted(malloc(size != 0 ? size : 1));
}

void *tug_calloc(size_t n, size_t size)
{
    return REFUSED ? NULL : counted(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *tug_realloc(void *p, size_t size)
{
    void *q = REFUSED ? NULL : realloc(p, size != 0 ? size : 1);
    return p == NULL ? counted(q) : q;
}

void tug_free(void *p)
{
    if (p != NULL) {
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
        free(p);
    }
}

char *tug_strdup(const char *text)
{
    return tug_strndup(text, strlen(text));
}

char *tug_strndup(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    char *copy = tug_alloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    return copy;
}

char *tug_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n >= 0 ? tug_alloc((size_t)n + 1) : NULL;
    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
    }
    return text;
}

void tug_wipe(void *p, size_t size)
{
    explicit_bzero(p, size);
}

size_t tug__alloc_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}
