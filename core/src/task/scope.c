#include "task/scope.h"

#include <string.h>
#include <tug/sys/alloc.h>

#include "task/run.h"
#include "util/debug.h"

/* --- the chain ---------------------------------------------------------------------------------- */

static bool holds(const struct tug__scope *s)
{
    return s->kind == TUG__SCOPE_SHIELD && (s->fired & TUG__SCOPE_PIERCED) == 0 &&
           !tug__runtime(tug__loop)->pierce;
}

static bool has_fired(const struct tug__scope *s)
{
    return (s->fired & (TUG__SCOPE_CANCELLED | TUG__SCOPE_EXPIRED)) != 0;
}

bool tug__scope_interrupted(const struct tug__scope *s)
{
    for (; s != NULL; s = s->parent) {
        if (has_fired(s)) {
            return true;
        }
        if (holds(s)) {
            return false;
        }
    }
    return false;
}

const char *tug__scope_reason(const struct tug__scope *s)
{
    for (; s != NULL; s = s->parent) {
        if (s->reason != NULL) {
            return s->reason;
        }
        if (!has_fired(s) && holds(s)) {
            return NULL;
        }
    }
    return NULL;
}

void tug__scope_describe_cancel(const struct tug_task *t, tug_error *e)
{
    const char *reason = tug__scope_reason(t->scope);
    tug__error_plain(e, TUG_ECANCELED);
    if (reason != NULL) {
        memcpy(e->text, reason, strlen(reason) + 1);
    }
}

/* --- firing: down to the tasks inside ----------------------------------------------------------- */

static void on_grace(tug_timer *timer, void *arg);

static void start_grace(struct tug__scope *shield)
{
    if (shield->timer.state == TUG__TIMER_IDLE && shield->grace != TUG_FOREVER) {
        tug__timer_start_in(&tug__loop->calendar, &shield->timer, shield->grace, on_grace, shield);
        tug__loop_touch(tug__loop);
    }
}

static void add_work(struct tug__group **work, struct tug__scope *s)
{
    if (s->kind == TUG__SCOPE_GROUP) {
        struct tug__group *g = (struct tug__group *)s;
        g->next_work = *work;
        *work = g;
    }
}

/* One task: whatever of its chain lies inside `outermost` (included) and is not behind a shield. */
static void visit_task(struct tug_task *t, struct tug__scope *outermost, struct tug__group **work)
{
    struct tug__scope *shield = NULL;
    for (struct tug__scope *s = t->scope; s != outermost; s = s->parent) {
        if (holds(s)) {
            shield = s; /* the outermost one counts */
        }
    }
    struct tug__scope *from = shield != NULL ? shield->parent : t->scope;
    for (struct tug__scope *s = from;; s = s->parent) {
        add_work(work, s);
        if (s == outermost) {
            break;
        }
    }
    if (shield != NULL) {
        start_grace(shield);
    } else {
        tug__task_interrupt(t);
    }
}

/* Groups are worked off a list, not by recursion: they nest as deep as the program likes. */
static void spread(struct tug__scope *s)
{
    struct tug__group *work = NULL;
    if (s->task != NULL) {
        visit_task(s->task, s, &work);
    } else {
        add_work(&work, s);
    }
    while (work != NULL) {
        struct tug__group *g = work;
        work = g->next_work;
        for (struct tug_task *t = g->first_child; t != NULL; t = t->next) {
            visit_task(t, &t->base, &work);
        }
    }
    struct tug__runtime *rt = tug__runtime(tug__loop);
    if (rt->stopping != NULL) {
        tug__own_stop_all(rt);
    }
}

void tug__scope_fire(struct tug__scope *s, int how)
{
    bool before = has_fired(s);
    s->fired |= (uint8_t)how;
    if (!before) {
        if (how == TUG__SCOPE_CANCELLED && s->kind != TUG__SCOPE_SHIELD) {
            /* The first cause is the cause: a deadline that passes while what was cancelled cleans up
             * makes no timeout of it. */
            tug__timer_stop(&tug__loop->calendar, &s->timer);
        }
        spread(s);
    }
}

static void on_grace(tug_timer *timer, void *arg)
{
    struct tug__scope *shield = arg;
    (void)timer;
    shield->fired |= TUG__SCOPE_PIERCED;
    if (tug__scope_interrupted(shield->parent)) {
        spread(shield);
    }
}

static void on_deadline(tug_timer *timer, void *arg)
{
    (void)timer;
    tug__scope_fire(arg, TUG__SCOPE_EXPIRED);
}

/* --- entering and leaving ----------------------------------------------------------------------- */

static struct tug_task *entering_task(const char *what)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        tug__abort("%s outside a task: scopes and groups belong to tasks", what);
    }
    return t;
}

static void link_scope(struct tug__scope *s, int kind)
{
    tug__scope_link(s, entering_task("entering a scope"), kind);
}

void tug__scope_enter(struct tug__scope *s, int kind, tug_duration timeout)
{
    link_scope(s, kind);
    if (timeout <= 0) { /* expired from the start: the next wait says so */
        s->fired = TUG__SCOPE_EXPIRED;
        s->task->interrupted = true;
    } else if (timeout != TUG_FOREVER) {
        tug__timer_start_in(&tug__loop->calendar, &s->timer, timeout, on_deadline, s);
    }
}

void tug__scope_exit(struct tug__scope *s)
{
    struct tug_task *t = tug__current();
    if (s->magic != TUG__SCOPE_MAGIC || t == NULL || t->scope != s) {
        tug__abort(
            "task \"%s\" leaves a scope that is not its innermost: they are left in the reverse order",
            t != NULL ? t->name : "");
    }
    if (s->timer.state != TUG__TIMER_IDLE) {
        tug__timer_stop(&tug__loop->calendar, &s->timer);
    }
    tug__scope_unlink(s, t);
    if (t->interrupted || s->kind == TUG__SCOPE_SHIELD) {
        t->interrupted = tug__scope_interrupted(t->scope);
        tug_free(s->reason); /* it has one only if it has fired, so this is never skipped for it */
        s->reason = NULL;
    }
}

int tug__scope_result(struct tug__scope *s, int rc)
{
    if (rc != TUG_ECANCELED || (s->fired & TUG__SCOPE_EXPIRED) == 0 ||
        tug__current()->interrupted) {
        return rc;
    }
    tug_error *e = tug__error_current();
    if (e->code != TUG_ECANCELED || strcmp(e->text, tug_error_text(TUG_ECANCELED)) == 0) {
        uint8_t sent = e->code == TUG_ECANCELED ? e->sent : TUG_NOT_SENT;
        tug__error_plain(e, TUG_ETIMEDOUT);
        e->sent = sent;
    }
    e->code = TUG_ETIMEDOUT;
    return TUG_ETIMEDOUT;
}

/* The scopes of a task lie above the frame that waits; those on the heap and, under AddressSanitizer, on fake
 * stacks lie anywhere, and are told apart by the bounds of the stack. */
void tug__scope_check_frame(const struct tug_task *t, uintptr_t frame)
{
    uintptr_t at = (uintptr_t)t->scope;
    if (at >= (uintptr_t)t->stack->bottom && at < frame) {
        tug__abort(
            "task \"%s\" waits inside a scope or group of a function that has returned: leave "
            "it on every path",
            t->name);
    }
}

/* --- the interface ------------------------------------------------------------------------------ */

void tug_scope_enter(tug_scope *s, tug_duration timeout)
{
    tug__scope_enter((struct tug__scope *)s, TUG__SCOPE_PLAIN, timeout);
}

void tug_scope_enter_at(tug_scope *s, tug_time deadline)
{
    tug__scope_enter((struct tug__scope *)s, TUG__SCOPE_PLAIN, TUG_FOREVER);
    tug_scope_set_deadline(s, deadline);
}

void tug_shield_enter(tug_scope *public_scope, tug_duration grace)
{
    struct tug__scope *s = (struct tug__scope *)public_scope;
    struct tug_task *t = entering_task("tug_shield_enter");
    link_scope(s, TUG__SCOPE_SHIELD);
    s->grace = grace;
    if (grace <= 0) {
        s->fired = TUG__SCOPE_PIERCED;
    } else if (tug__scope_interrupted(s->parent)) {
        start_grace(s);
    }
    t->interrupted = tug__scope_interrupted(s);
}

int tug_scope_leave(tug_scope *s, int rc)
{
    tug__scope_exit((struct tug__scope *)s);
    return tug__scope_result((struct tug__scope *)s, rc);
}

/* Whoever entered it, a task, belongs to a group, which knows its loop. */
bool tug__scope_is_entered_here(const struct tug__scope *s, const char *what)
{
    return tug__scope_is_entered(s) && tug__is_here_void(s->task->group->loop, what);
}

void tug_scope_cancel(tug_scope *s)
{
    if (tug__scope_is_entered_here((struct tug__scope *)s, "tug_scope_cancel")) {
        tug__scope_fire((struct tug__scope *)s, TUG__SCOPE_CANCELLED);
    }
}

void tug_scope_set_deadline(tug_scope *public_scope, tug_time deadline)
{
    struct tug__scope *s = (struct tug__scope *)public_scope;
    if (!tug__scope_is_entered_here(s, "tug_scope_set_deadline") || s->kind == TUG__SCOPE_SHIELD ||
        has_fired(s)) {
        return;
    }
    if (deadline == TUG_FOREVER) {
        tug__timer_stop(&tug__loop->calendar, &s->timer);
    } else if (deadline <= tug__loop_read_clock(tug__loop)) {
        tug__timer_stop(&tug__loop->calendar, &s->timer);
        tug__scope_fire(s, TUG__SCOPE_EXPIRED);
    } else {
        tug__timer_start_at(&tug__loop->calendar, &s->timer, deadline, on_deadline, s);
        tug__loop_touch(tug__loop);
    }
}

bool tug_scope_is_expired(const tug_scope *s)
{
    return (((const struct tug__scope *)s)->fired & TUG__SCOPE_EXPIRED) != 0;
}

bool tug_scope_is_cancelled(const tug_scope *s)
{
    return (((const struct tug__scope *)s)->fired & TUG__SCOPE_CANCELLED) != 0;
}

bool tug_is_cancelled(void)
{
    struct tug_task *t = tug__current();
    return t != NULL && t->interrupted;
}

static tug_duration scope_left(const struct tug__scope *s, tug_time now)
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

tug_duration tug_time_left(void)
{
    struct tug_task *t = tug__current();
    if (t == NULL) {
        return TUG_FOREVER;
    }
    if (t->interrupted) {
        return 0;
    }
    tug_time now = tug__loop_read_clock(tug__loop);
    tug_duration left = TUG_FOREVER;
    tug_duration behind =
        0; /* graces of the shields passed: what lies outside reaches in so much later */
    for (const struct tug__scope *s = t->scope; s != NULL; s = s->parent) {
        tug_duration of_this = tug_time_after(behind, scope_left(s, now));
        if (!holds(s)) {
            left = of_this < left ? of_this : left;
        } else if (s->timer.state !=
                   TUG__TIMER_IDLE) { /* something has fired outside: its grace runs */
            return of_this < left ? of_this : left;
        } else {
            behind = tug_time_after(behind, s->grace);
        }
    }
    return left;
}

/* --- TUG_WITHIN --------------------------------------------------------------------------------- */

int tug__within_enter(tug_duration d)
{
    struct tug_task *t = entering_task("TUG_WITHIN");
    if (t->within == TUG__WITHIN_MAX) {
        tug__abort("more than %d TUG_WITHIN nest in task \"%s\"", TUG__WITHIN_MAX, t->name);
    }
    tug__scope_enter(&t->scopes[t->within++], TUG__SCOPE_PLAIN, d);
    return 0;
}

int tug__within_leave(int rc)
{
    struct tug_task *t = entering_task("TUG_WITHIN");
    struct tug__scope *s = &t->scopes[--t->within];
    tug__scope_exit(s);
    return tug__scope_result(s, rc);
}
