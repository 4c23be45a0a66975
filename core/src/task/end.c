/* What: the end of a loop.
 *
 *   user tasks run --all ended--> end hooks --> service tasks close --all ended--> the loop goes
 *        |  first signal or tug_stop: sources end, the rest goes on
 *        |  drain time over: user tasks are cancelled, shields hold for their grace
 *        '  second signal: cancelled at once, shields hold nothing back; among the goodbyes: service tasks too
 *
 * Whatever is cancelled because its time is over is reported, and so is what does not end then: a task
 * each, what it waits for, since when, and where it was spawned. */
#include "task/end.h"

#include <errno.h>
#include <stdio.h>
#include <tug/log.h>

#include "loop/remote.h"
#include "task/describe.h"

enum {
    LISTED_MAX = 32, /* tasks in one report: a thousand lines say no more */
    LAST_TURNS = 64  /* of a detach whose time is over: for tasks that only have to be let run */
};

/* What connections and pools get for their goodbyes after all user tasks have ended. */
static const tug_duration END_GRACE = TUG_SECONDS(10);
/* After a cancel: a task that does not end in this time is told of, then after twice the time again. */
static const tug_duration PATIENCE = TUG_SECONDS(5);

/* --- the report --------------------------------------------------------------------------------- */

/* A program whose log is silent says it on stderr: else it would hang without a word. */
static void say(const struct tug_loop *loop, const char *text)
{
    if (loop->is_program && !tug_log_is_on(TUG_LOG_WARN, "loop")) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
    } else {
        tug_log(TUG_LOG_WARN, "loop", "%s", text);
    }
}

/* Tasks, and those of the groups in which they wait. No recursion is deeper than what is listed. */
static void list_tasks(const struct tug_loop *loop, const struct tug__group *g, int *left)
{
    for (const struct tug_task *t = g->first_child; t != NULL && *left > 0; t = t->next) {
        char line[TUG__DESCRIBE_SIZE + 8] = "  ";
        (*left)--;
        tug__task_describe(t, line + 2, sizeof line - 2);
        say(loop, line);
        for (const struct tug__scope *s = t->scope; s != &t->base; s = s->parent) {
            if (s->kind == TUG__SCOPE_GROUP) {
                list_tasks(loop, (const struct tug__group *)s, left);
            }
        }
    }
}

static void report(struct tug_loop *loop, const char *what, bool with_services)
{
    const struct tug__runtime *rt = tug__runtime(loop);
    char text[160];
    int left = LISTED_MAX;
    snprintf(text, sizeof text, "%s: %zu tasks, %zu blocking calls", what,
             with_services ? rt->tasks : rt->tasks - rt->service.running, loop->outside);
    say(loop, text);
    list_tasks(loop, &rt->user, &left);
    if (with_services) {
        list_tasks(loop, &rt->service, &left);
    }
    if (left == 0) {
        say(loop, "  and perhaps more");
    }
}

static void on_patience(tug_timer *timer, void *arg)
{
    struct tug_loop *loop = arg;
    struct tug__runtime *rt = tug__runtime(loop);
    (void)timer;
    report(loop, "cancelled, but still there", rt->user.closed);
    rt->patience = rt->patience < TUG_FOREVER / 2 ? rt->patience * 2 : TUG_FOREVER;
    if (rt->patience != TUG_FOREVER) {
        tug__timer_start_in(&loop->calendar, &rt->patience_timer, rt->patience, on_patience, loop);
    }
}

static void start_patience(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    rt->patience = PATIENCE;
    tug__timer_start_in(&loop->calendar, &rt->patience_timer, PATIENCE, on_patience, loop);
}

/* --- asking to stop ----------------------------------------------------------------------------- */

static void cancel_user(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    tug__scope_fire(&rt->user.scope, TUG__SCOPE_CANCELLED);
    if (rt->user.running > 0) {
        start_patience(loop);
    }
}

static void on_drained(tug_timer *timer, void *arg)
{
    struct tug_loop *loop = arg;
    (void)timer;
    if (tug__runtime(loop)->user.running > 0) {
        report(loop, "the drain time is over, what still runs is cancelled", false);
    }
    cancel_user(loop);
}

static void on_stop(struct tug_loop *loop, tug_duration drain)
{
    struct tug__runtime *rt = tug__runtime(loop);
    tug_unpark_all(&rt->stop_waiters, 0, NULL);
    if (rt->user.closed) {
        /* There is nothing left to drain, and the timer bounds the goodbyes now. */
    } else if (drain <= 0) {
        cancel_user(loop);
    } else if (drain != TUG_FOREVER) {
        tug__timer_start_in(&loop->calendar, &rt->drain_timer, drain, on_drained, loop);
    }
    tug__loop_touch(loop);
}

static void pierce_services(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    rt->pierce = true;
    rt->service.scope.fired = 0;
    tug__scope_fire(&rt->service.scope, TUG__SCOPE_CANCELLED);
    if (rt->service.running > 0) {
        start_patience(loop);
    }
}

void tug__end_pierce(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    rt->pierce = true;
    rt->user.scope.fired = 0; /* told again, now through the shields */
    cancel_user(loop);
    if (rt->user.closed) { /* before that, services are what the user tasks' goodbyes need */
        pierce_services(loop);
    }
}

/* --- the end ------------------------------------------------------------------------------------ */

static void on_end_grace(tug_timer *timer, void *arg)
{
    struct tug_loop *loop = arg;
    (void)timer;
    report(loop, "not closed in time, what still runs is cancelled", true);
    pierce_services(loop);
}

static bool has_services(const struct tug_loop *loop)
{
    return tug__runtime(loop)->service.running > 0 || loop->outside > 0;
}

/* Posts are taken as long as somebody may wait for what they bring; what was taken is run. */
static void turn_to_the_end(struct tug_loop *loop, const bool *is_over)
{
    while (has_services(loop) && !*is_over) {
        tug__loop_turn(loop, true);
    }
    if (loop->remote != NULL) {
        tug__remote_close(loop->remote);
    }
    while ((has_services(loop) || tug__loop_has_work(loop)) && !*is_over) {
        tug__loop_turn(loop, true);
    }
}

void tug__end_prepare(struct tug_loop *loop)
{
    loop->on_stop = on_stop;
}

static void user_tasks_have_ended(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    rt->user.closed = true;
    tug__timer_stop(&loop->calendar, &rt->drain_timer);
    tug__timer_stop(&loop->calendar, &rt->patience_timer);
    tug__loop_run_end_hooks(loop);
}

void tug__end(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    const bool never = false;
    while (rt->user.running > 0) {
        tug__loop_turn(loop, true);
    }
    user_tasks_have_ended(loop);
    tug__timer_start_in(&loop->calendar, &rt->drain_timer, END_GRACE, on_end_grace, loop);
    turn_to_the_end(loop, &never);
    tug__timer_stop(&loop->calendar, &rt->drain_timer);
    tug__timer_stop(&loop->calendar, &rt->patience_timer);
}

/* --- with a bound ------------------------------------------------------------------------------- */

struct bound {
    struct tug__timer timer;
    bool is_over;
};

static void on_bound(tug_timer *timer, void *arg)
{
    (void)timer;
    ((struct bound *)arg)->is_over = true;
}

static size_t left_over(const struct tug_loop *loop)
{
    const struct tug__runtime *rt = tug__runtime(loop);
    return rt->user.running + rt->service.running + loop->outside;
}

/* The time is over: everything is cancelled, through shields, and what can run runs once more. */
static void end_by_force(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    if (left_over(loop) > 0) {
        report(loop, "the grace of the detach is over, what still runs is cancelled", true);
    }
    if (!rt->user.closed) {
        user_tasks_have_ended(loop);
    }
    tug__end_pierce(loop);
    tug__timer_stop(&loop->calendar, &rt->patience_timer);
    if (loop->remote != NULL) {
        tug__remote_close(loop->remote);
    }
    for (int i = 0; i < LAST_TURNS && (left_over(loop) > 0 || tug__loop_has_work(loop)); i++) {
        tug__loop_turn(loop, false);
    }
    if (left_over(loop) > 0) {
        report(loop, "these would not end", true);
    }
}

/* Who has asked to stop before may have given more time to drain than there is now. */
static void shorten_drain(struct tug_loop *loop, tug_duration most)
{
    struct tug__runtime *rt = tug__runtime(loop);
    const struct tug__timer *t = &rt->drain_timer;
    tug_duration left = t->state == TUG__TIMER_IDLE    ? TUG_FOREVER
                        : t->state == TUG__TIMER_FRESH ? t->when
                                                       : t->when - tug__loop_read_clock(loop);
    if ((rt->user.scope.fired & TUG__SCOPE_CANCELLED) == 0 && most < left) {
        tug__timer_start_in(&loop->calendar, &rt->drain_timer, most, on_drained, loop);
    }
}

size_t tug__end_within(struct tug_loop *loop, tug_duration grace)
{
    struct tug__runtime *rt = tug__runtime(loop);
    struct bound bound = {.is_over = grace <= 0};
    if (grace > 0 && grace != TUG_FOREVER) {
        tug__timer_start_in(&loop->calendar, &bound.timer, grace, on_bound, &bound);
    }
    /* Half of the time for tasks to end by themselves, half for the goodbyes. */
    tug_duration drain = grace == TUG_FOREVER ? grace : grace / 2;
    if (loop->stopping) {
        shorten_drain(loop, drain);
    } else {
        tug__loop_stop(loop, drain);
    }
    while (rt->user.running > 0 && !bound.is_over) {
        tug__loop_turn(loop, true);
    }
    if (!bound.is_over) {
        user_tasks_have_ended(loop);
        turn_to_the_end(loop, &bound.is_over);
    }
    if (bound.is_over) {
        end_by_force(loop);
    }
    tug__timer_stop(&loop->calendar, &bound.timer);
    tug__timer_stop(&loop->calendar, &rt->drain_timer);
    tug__timer_stop(&loop->calendar, &rt->patience_timer);
    return left_over(loop);
}
