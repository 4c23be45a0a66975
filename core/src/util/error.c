#include "util/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/driver.h>

__thread tug_error *tug__error_slot __attribute__((tls_model("initial-exec")));
tug_error *(*tug__task_error)(void);
static __thread tug_error thread_slot __attribute__((tls_model("initial-exec")));

tug_error *tug__error_current(void)
{
    if (tug__error_slot != NULL) {
        return tug__error_slot;
    }
    /* Atomic: another thread may open the first loop now. */
    tug_error *(*of_task)(void) = __atomic_load_n(&tug__task_error, __ATOMIC_RELAXED);
    tug_error *e = of_task != NULL ? of_task() : NULL;
    return e != NULL ? e : &thread_slot;
}

const tug_error *tug_last_error(void)
{
    return tug__error_current();
}

void tug__error_plain(tug_error *e, int code)
{
    const char *text = tug_error_text(code);
    size_t n = strnlen(text, sizeof e->text - 1);
    e->code = code;
    e->origin = code < 0 && code >= -4095 ? TUG_ORIGIN_OS : TUG_ORIGIN_TUG;
    e->sent = TUG_NOT_SENT;
    e->transient = false;
    e->native[0] = 0;
    memcpy(e->text, text, n);
    e->text[n] = 0;
}

void tug__error_copy(tug_error *to, const tug_error *from)
{
    if (to == from) {
        return;
    }
    memcpy(to, from, offsetof(tug_error, text));
    size_t n = strnlen(from->text, sizeof from->text - 1);
    memcpy(to->text, from->text, n);
    to->text[n] = 0;
}

/* One line only: whatever a server or a file name puts into a message must not forge log lines. */
static void one_line(char *text)
{
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            *text = ' ';
        }
    }
}

static void trim(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ') {
        text[--n] = 0;
    }
}

/* Formats apart first: an argument may point into the very slot that is written. */
TUG_PRINTF(2, 0) static void set_text(tug_error *e, const char *format, va_list args)
{
    char text[sizeof e->text];
    vsnprintf(text, sizeof text, format, args);
    one_line(text);
    trim(text);
    memcpy(e->text, text, strlen(text) + 1);
}

int(tug_fail)(int code, const char *format, ...)
{
    tug_error *e = tug__error_current();
    va_list args;
    va_start(args, format);
    set_text(e, format, args);
    va_end(args);
    e->code = code;
    e->origin = code < 0 && code >= -4095 ? TUG_ORIGIN_OS : TUG_ORIGIN_TUG;
    e->sent = TUG_NOT_SENT;
    e->transient = false;
    e->native[0] = 0;
    return code;
}

int tug_fail_with(const tug_error *error)
{
    tug__error_copy(tug__error_current(), error);
    return error->code;
}

void tug_error_set(tug_error *e, int code, int origin, int sent, const char *native,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(e, format, args);
    va_end(args);
    e->code = code;
    e->origin = (uint8_t)origin;
    e->sent = (uint8_t)sent;
    e->transient = false;
    size_t n = native != NULL ? strnlen(native, sizeof e->native - 1) : 0;
    if (n > 0) {
        memcpy(e->native, native, n);
    }
    e->native[n] = 0;
}

int tug_error_from_errno(int errno_value)
{
    switch (errno_value) {
    case ETIMEDOUT:
        return TUG_ETIMEDOUT;
    case ECANCELED:
        return TUG_EDROPPED;
    case ENOMEM:
        return TUG_ENOMEM;
    default:
        return errno_value > 0 && errno_value < 4096 ? -errno_value : TUG_EINVAL;
    }
}

const char *tug_error_name(int code)
{
    static __thread char text[32];
    switch (code) {
#define NAME(name, value, sentence)                                                                \
    case name:                                                                                     \
        return #name;
        TUG_ERRORS(NAME)
#undef NAME
    case 0:
        return "0";
    default:
        break;
    }
    if (code < 0 && code >= -4095) {
        const char *name = strerrorname_np(-code);
        if (name != NULL) {
            return name;
        }
    }
    if (code <= TUG_EUSER && code > TUG_EUSER - 10000) {
        snprintf(text, sizeof text, "TUG_EUSER-%d", TUG_EUSER - code);
    } else {
        snprintf(text, sizeof text, "error %d", code);
    }
    return text;
}

const char *tug_error_text(int code)
{
    switch (code) {
#define TEXT(name, value, sentence)                                                                \
    case name:                                                                                     \
        return sentence;
        TUG_ERRORS(TEXT)
#undef TEXT
    case 0:
        return "no error";
    default:
        break;
    }
    if (code < 0 && code >= -4095) {
        const char *text = strerrordesc_np(-code);
        return text != NULL ? text : "unknown system error";
    }
    return code <= TUG_EUSER && code > TUG_EUSER - 10000 ? "the application's own error"
                                                         : "unknown error";
}
