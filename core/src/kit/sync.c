/* What: event and semaphore. What a waiter waits for is handed over by the side that has it (a
 * permit never lies about while somebody waits), so a newcomer cannot overtake and a cancel cannot
 * lose it. */
#include "kit/sync.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "loop/loop.h"
#include "util/debug.h"

/* --- event ----------------------------------------------------------------------------------- */

struct tug_event {
    struct tug_loop *loop;
    size_t refs;
    tug_waiters waiters;
    bool is_set;
};

int tug_event_new(tug_event **ret_event)
{
    tug_event *e = tug_calloc(1, sizeof *e);
    if (e == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for an event");
    }
    e->loop = tug__loop;
    e->refs = 1;
    *ret_event = e;
    return 0;
}

tug_event *tug_event_ref(tug_event *e)
{
    e->refs++;
    return e;
}

tug_event *tug_event_unref(tug_event *e)
{
    if (e != NULL && tug__is_here_or_adopts_void(&e->loop, "tug_event_unref") && --e->refs == 0) {
        tug_unpark_all(&e->waiters, TUG_ECLOSED, NULL);
        tug_free(e);
    }
    return NULL;
}

void tug_event_set(tug_event *e)
{
    if (!tug__is_here_or_adopts_void(&e->loop, "tug_event_set")) {
        return;
    }
    e->is_set = true;
    tug_unpark_all(&e->waiters, 0, NULL);
}

void tug_event_clear(tug_event *e)
{
    if (!tug__is_here_or_adopts_void(&e->loop, "tug_event_clear")) {
        return;
    }
    e->is_set = false;
}

bool tug_event_is_set(const tug_event *e)
{
    return e->is_set;
}

int tug_event_wait(tug_event *e)
{
    if (!tug__is_here_or_adopts(&e->loop, "tug_event_wait")) {
        return TUG_EMISUSE;
    }
    return e->is_set ? tug_checkpoint() : tug_park(&e->waiters, NULL, "event.wait");
}

/* --- semaphore ------------------------------------------------------------------------------- */

struct tug_semaphore {
    struct tug_loop *loop;
    size_t refs;
    size_t permits; /* 0 while anybody waits */
    size_t most;
    tug_waiters waiters;
};

int tug_semaphore_new(size_t permits, tug_semaphore **ret_semaphore)
{
    return tug_semaphore_new_bounded(permits, SIZE_MAX, ret_semaphore);
}

int tug_semaphore_new_bounded(size_t permits, size_t most, tug_semaphore **ret_semaphore)
{
    if (most == 0 || permits > most) {
        return tug_fail(TUG_EINVAL, "a semaphore of at most %zu permits cannot start with %zu",
                        most, permits);
    }
    tug_semaphore *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a semaphore");
    }
    s->loop = tug__loop;
    s->refs = 1;
    s->permits = permits;
    s->most = most;
    *ret_semaphore = s;
    return 0;
}

tug_semaphore *tug_semaphore_ref(tug_semaphore *s)
{
    s->refs++;
    return s;
}

tug_semaphore *tug_semaphore_unref(tug_semaphore *s)
{
    if (s != NULL && tug__is_here_or_adopts_void(&s->loop, "tug_semaphore_unref") &&
        --s->refs == 0) {
        tug_unpark_all(&s->waiters, TUG_ECLOSED, NULL);
        tug_free(s);
    }
    return NULL;
}

bool tug_semaphore_try(tug_semaphore *s)
{
    if (!tug__is_here_or_adopts_void(&s->loop, "tug_semaphore_try")) {
        return false;
    }
    assert((s->permits == 0 || !tug_waiters_any(&s->waiters)) &&
           "a permit lies about while a task waits");
    if (s->permits == 0) {
        return false;
    }
    s->permits--;
    return true;
}

int tug_semaphore_acquire(tug_semaphore *s)
{
    if (!tug__is_here_or_adopts(&s->loop, "tug_semaphore_acquire")) {
        return TUG_EMISUSE;
    }
    if (s->permits == 0) {
        return tug_park(&s->waiters, NULL, "semaphore.acquire");
    }
    /* The checkpoint may yield: others may take the permits then, or let go of the semaphore. */
    tug_semaphore_ref(s);
    int rc = tug_checkpoint();
    bool is_taken = rc == 0 && tug_semaphore_try(s);
    bool is_last = s->refs == 1;
    tug_semaphore_unref(s);
    if (rc < 0 || is_taken) {
        return rc;
    }
    return is_last ? tug_fail(TUG_ECLOSED, "closed")
                   : tug_park(&s->waiters, NULL, "semaphore.acquire");
}

int tug_semaphore_release(tug_semaphore *s)
{
    if (!tug__is_here_or_adopts(&s->loop, "tug_semaphore_release")) {
        return TUG_EMISUSE;
    }
    if (tug_unpark_first(&s->waiters, 0, NULL)) {
        return 0;
    }
    if (s->permits == s->most) {
        return tug__sync_misuse("a permit is released that nobody has: all %zu are back", s->most);
    }
    s->permits++;
    return 0;
}

size_t tug_semaphore_permits(const tug_semaphore *s)
{
    return s->permits;
}

/* --- for select ------------------------------------------------------------------------------ */

bool tug__event_is_here(tug_event *e, const char *what)
{
    return tug__is_here_or_adopts(&e->loop, what);
}

bool tug__semaphore_is_here(tug_semaphore *s, const char *what)
{
    return tug__is_here_or_adopts(&s->loop, what);
}

tug_waiters *tug__event_waiters(tug_event *e)
{
    return &e->waiters;
}

tug_waiters *tug__semaphore_waiters(tug_semaphore *s)
{
    return &s->waiters;
}

/* --- misuse ---------------------------------------------------------------------------------- */

static void report(const char *text)
{
    tug_log(TUG_LOG_ERROR, "sync", "%s", text);
    tug__debug_violation("%s", text);
}

void tug__sync_report(const char *format, ...)
{
    char text[sizeof((tug_error *)NULL)->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report(text);
}

int tug__sync_misuse(const char *format, ...)
{
    char text[sizeof((tug_error *)NULL)->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report(text);
    return tug_fail(TUG_EMISUSE, "%s", text);
}

const char *tug__task_label(const tug_task *t, char to[TUG__LABEL_SIZE])
{
    if (t->name[0] != 0) {
        snprintf(to, TUG__LABEL_SIZE, "task \"%s\"", t->name);
    } else {
        snprintf(to, TUG__LABEL_SIZE, "task %llu", (unsigned long long)t->number);
    }
    return to;
}
