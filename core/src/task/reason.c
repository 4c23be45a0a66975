/* What: a cancel that says why. The reason lies with the scope that was cancelled, for as long as anybody
 * is inside; without memory for it the cancel comes all the same, with the code's own text. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tug/group.h>
#include <tug/sys/alloc.h>

#include "task/task.h"

/* It becomes the text of details, which are one line. */
TUG_PRINTF(1, 0) static char *reason_new(const char *format, va_list args)
{
    char text[TUG__REASON_MAX];
    vsnprintf(text, sizeof text, format, args);
    for (char *p = text; *p != 0; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }
    return text[0] != 0 ? tug_strdup(text) : NULL;
}

/* The first cause is the cause: what has fired keeps the reason that it has, or has not. */
TUG_PRINTF(2, 0) static void cancel_why(struct tug__scope *s, const char *format, va_list args)
{
    if ((s->fired & (TUG__SCOPE_CANCELLED | TUG__SCOPE_EXPIRED)) == 0) {
        s->reason = reason_new(format,
                               args); /* before: the details of the waits inside are made now */
    }
    tug__scope_fire(s, TUG__SCOPE_CANCELLED);
}

void tug_scope_cancel_why(tug_scope *s, const char *reason_format, ...)
{
    struct tug__scope *inside = (struct tug__scope *)s;
    va_list args;
    if (!tug__scope_is_entered_here(inside, "tug_scope_cancel_why")) {
        return;
    }
    va_start(args, reason_format);
    cancel_why(inside, reason_format, args);
    va_end(args);
}

void tug_group_cancel_why(tug_group *g, const char *reason_format, ...)
{
    struct tug__group *inside = (struct tug__group *)g;
    va_list args;
    if (!tug__scope_is_entered(&inside->scope) ||
        !tug__is_here_void(inside->loop, "tug_group_cancel_why")) {
        return;
    }
    va_start(args, reason_format);
    cancel_why(&inside->scope, reason_format, args);
    va_end(args);
}

const char *tug_cancel_reason(void)
{
    struct tug_task *t = tug__current();
    return t != NULL && t->interrupted ? tug__scope_reason(t->scope) : NULL;
}
