#include "util/debug.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>
#include <tug/log.h>

/* --- settings ----------------------------------------------------------------------------------- */

enum {
    SIGNALS = 64
};

static struct tug__debug settings;
static pthread_once_t from_environment = PTHREAD_ONCE_INIT;

static void put(const tug_debug_options *o)
{
    atomic_store_explicit(&settings.abort_on_misuse, o->abort_on_misuse, memory_order_relaxed);
    atomic_store_explicit(&settings.unread_errors, o->unread_errors, memory_order_relaxed);
    atomic_store_explicit(&settings.no_suspend, o->no_suspend, memory_order_relaxed);
    atomic_store_explicit(&settings.poison_stacks, o->poison_stacks, memory_order_relaxed);
    atomic_store_explicit(&settings.stack_marks, o->stack_marks, memory_order_relaxed);
    atomic_store_explicit(&settings.overflow_report, o->overflow_report, memory_order_relaxed);
    atomic_store_explicit(&settings.slow_backtrace, o->slow_backtrace, memory_order_relaxed);
    atomic_store_explicit(&settings.slow_step, o->slow_step, memory_order_relaxed);
    atomic_store_explicit(&settings.dump_signal, o->dump_signal, memory_order_relaxed);
}

static void load_environment(void)
{
    const char *value = getenv("TUG_DEBUG");
    tug_debug_options o = TUG_DEBUG_OPTIONS_INIT;
    if (value != NULL && strcmp(value, "1") == 0) {
        o.dump_signal = SIGUSR1;
    } else {
        memset(&o, 0, sizeof o);
    }
    put(&o);
}

struct tug__debug *tug__debug(void)
{
    pthread_once(&from_environment, load_environment);
    return &settings;
}

int tug_debug_set(const tug_debug_options *given)
{
    tug__debug(); /* or a later first look would undo this */
    if (given == NULL) {
        load_environment();
        return 0;
    }
    tug_debug_options o = TUG_DEBUG_OPTIONS_INIT;
    if (given->size < sizeof given->size + sizeof given->abort_on_misuse) {
        return tug_fail(TUG_EINVAL,
                        "tug_debug_set: options without size: start from TUG_DEBUG_OPTIONS_INIT");
    }
    memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    if (o.slow_step < 0 || o.dump_signal < 0 || o.dump_signal > SIGNALS) {
        return tug_fail(
            TUG_EINVAL,
            "tug_debug_set: slow_step must not be negative, dump_signal must be 0 to %d", SIGNALS);
    }
    put(&o);
    return 0;
}

bool tug__debug_is_on(void)
{
    return TUG__DEBUG_ON(abort_on_misuse);
}

/* --- sentences ---------------------------------------------------------------------------------- */

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

void tug__debug_warn(const char *subsystem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (tug_log_is_on(TUG_LOG_WARN, subsystem)) {
        char text[1536]; /* the log cuts at 2 KiB */
        vsnprintf(text, sizeof text, format, args);
        tug_log(TUG_LOG_WARN, subsystem, "%s", text);
    } else {
        say(format, args);
    }
    va_end(args);
}
