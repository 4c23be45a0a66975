#include "util/debug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tug__debug_is_on(void)
{
    static int on =
        -1; /* the environment is read once; a race reads it twice, with the same answer */
    if (on < 0) {
        const char *value = getenv("TUG_DEBUG");
        on = value != NULL && strcmp(value, "1") == 0;
    }
    return on == 1;
}

TUG_PRINTF(1, 0) static void say(const char *format, va_list args)
{
    fputs("tug: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void tug__debug_violation(const char *format, ...)
{
    if (tug__debug_is_on()) {
        va_list args;
        va_start(args, format);
        say(format, args);
        va_end(args);
        abort();
    }
}

void tug__abort(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    abort();
}
