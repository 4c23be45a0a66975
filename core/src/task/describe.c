#include "task/describe.h"

#include <stdarg.h>
#include <stdio.h>

#include "util/place.h"

const char *tug__task_state_name(const tug_task *t)
{
    switch (t->state) {
    case TUG__TASK_WAITING:
        return "waiting";
    case TUG__TASK_HELD:
        return "held";
    case TUG__TASK_ENDED:
        return "ended";
    default:
        return tug__loop != NULL && tug__loop->current == t ? "running" : "ready";
    }
}

const char *tug__task_waits_for(const tug_task *t)
{
    if (t->state != TUG__TASK_WAITING && t->state != TUG__TASK_HELD) {
        return NULL;
    }
    return t->wait.what != NULL ? t->wait.what : "?";
}

tug_duration tug__scope_time_left(const struct tug__scope *s, tug_time now)
{
    switch (s->timer.state) {
    case TUG__TIMER_IDLE:
        return TUG_FOREVER;
    case TUG__TIMER_FRESH:
        return s->timer.when;
    default:
        return s->timer.when > now ? s->timer.when - now : 0;
    }
}

tug_duration tug__task_time_left(const tug_task *t, tug_time now)
{
    tug_duration left = TUG_FOREVER;
    for (const struct tug__scope *s = t->scope; s != NULL; s = s->parent) {
        tug_duration of_this = tug__scope_time_left(s, now);
        left = of_this < left ? of_this : left;
        if (s->kind == TUG__SCOPE_SHIELD && (s->fired & TUG__SCOPE_PIERCED) == 0) {
            break; /* what lies outside does not reach it yet */
        }
    }
    return left;
}

/* --- the line ----------------------------------------------------------------------------------- */

struct line {
    char *to;
    size_t size, used;
};

TUG_PRINTF(2, 3) static void put(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->to + l->used, l->size - l->used, format, args);
    va_end(args);
    size_t room = l->size - l->used;
    l->used += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

/* A name may come from outside, and must neither break the line nor command a terminal. */
static void put_name(struct line *l, const char *name)
{
    for (; *name != 0; name++) {
        unsigned char c = (unsigned char)*name;
        put(l, "%c", c < 0x20 || c == 0x7f ? '?' : c);
    }
}

static void put_duration(struct line *l, const char *before, tug_duration d, const char *after)
{
    put(l, "%s%lld.%03d s%s", before, (long long)(d / TUG_SECONDS(1)),
        (int)(d % TUG_SECONDS(1) / TUG_MS(1)), after);
}

void tug__task_describe(const tug_task *t, char *to, size_t size)
{
    if (size == 0) {
        return;
    }
    struct line l = {.to = to, .size = size};
    /* Not the turn's clock: a report that comes after a long step would count too little. Nor
     * tug_now(), which anchors timers: looking must not change anything. */
    tug_time now = tug__loop != NULL ? tug__loop->clock(tug__loop) : 0;
    const char *what = tug__task_waits_for(t);
    to[0] = 0;
    put(&l, "task %llu \"", (unsigned long long)t->number);
    put_name(&l, t->name);
    put(&l, "\" ");
    if (what == NULL) {
        put(&l, "%s",
            t->state == TUG__TASK_ENDED                    ? "has ended"
            : tug__loop != NULL && tug__loop->current == t ? "runs"
                                                           : "is ready to run");
    } else {
        tug_duration since = now > t->waiting_since ? now - t->waiting_since : 0;
        put(&l, "waits for %s since", what);
        put_duration(&l, " ", since, "");
    }
    if (t->interrupted) {
        put(&l, ", cancelled");
    } else {
        tug_duration left = tug__task_time_left(t, now);
        if (left != TUG_FOREVER) {
            put_duration(&l, ", ", left, " left");
        }
    }
    char place[TUG__PLACE_SIZE];
    tug__place_describe(t->spawned_at, place, sizeof place);
    put(&l, ", spawned at %s", place);
}
