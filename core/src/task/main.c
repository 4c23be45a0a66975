/* What: tug_run and tug_main: a loop from its first task to its orderly end.
 *
 *   user tasks run --all ended--> end hooks --> service tasks close --all ended--> the loop goes
 *        |  first signal or tug_stop: sources end, the rest goes on
 *        |  drain time over: user tasks are cancelled, shields hold for their grace
 *        '  second signal: cancelled at once, shields hold nothing back */
#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "loop/signal.h"
#include "task/main.h"
#include "task/sanitize.h"
#include "task/task.h"

/* What connections and pools get for their goodbyes after all user tasks have ended. */
static const tug_duration END_GRACE = TUG_SECONDS(10);

/* --- asking to stop ----------------------------------------------------------------------------- */

static void on_drained(tug_timer *timer, void *arg)
{
    struct tug__runtime *rt = arg;
    (void)timer;
    if (rt->user.running > 0) {
        tug_log(TUG_LOG_WARN, "loop", "the drain time is over: %zu tasks are cancelled",
                rt->user.running);
    }
    tug__scope_fire(&rt->user.scope, TUG__SCOPE_CANCELLED);
}

static void on_stop(struct tug_loop *loop, tug_duration drain)
{
    struct tug__runtime *rt = tug__runtime(loop);
    tug_unpark_all(&rt->stop_waiters, 0, NULL);
    if (drain <= 0) {
        on_drained(NULL, rt);
    } else if (drain != TUG_FOREVER) {
        tug__timer_start_in(&loop->calendar, &rt->drain_timer, drain, on_drained, rt);
    }
}

int tug_wait_stopping(void)
{
    if (tug__need_task("tug_wait_stopping") == NULL) {
        return TUG_EMISUSE;
    }
    return tug_is_stopping() ? tug_checkpoint()
                             : tug_park(&tug__runtime(tug__loop)->stop_waiters, NULL, "stop");
}

void tug__main_pierce(struct tug_loop *loop)
{
    struct tug__runtime *rt = tug__runtime(loop);
    rt->pierce = true;
    rt->user.scope.fired = 0; /* told again, now through the shields */
    tug__scope_fire(&rt->user.scope, TUG__SCOPE_CANCELLED);
}

/* --- running ------------------------------------------------------------------------------------ */

struct main_task {
    tug_task_fn fn;
    void *arg;
    int rc;
    tug_error error;
};

static int run_main(void *arg)
{
    struct main_task *m = arg;
    m->rc = m->fn(m->arg);
    if (m->rc < 0) {
        tug_error *mine = tug__error_current();
        if (mine->code != m->rc) {
            tug__error_plain(mine, m->rc);
        }
        tug__error_copy(&m->error, mine);
    }
    return 0; /* whoever called the loop gets it, not the root group */
}

static void on_end_grace(tug_timer *timer, void *arg)
{
    struct tug__runtime *rt = arg;
    (void)timer;
    tug_log(TUG_LOG_WARN, "loop", "%zu service tasks have not ended in time: they are cancelled",
            rt->service.running);
    rt->pierce = true;
    tug__scope_fire(&rt->service.scope, TUG__SCOPE_CANCELLED);
}

static void end_services(struct tug_loop *loop, struct tug__runtime *rt)
{
    struct tug__timer grace = {.state = TUG__TIMER_IDLE};
    rt->user.closed = true;
    tug__loop_run_end_hooks(loop);
    tug__timer_start_in(&loop->calendar, &grace, END_GRACE, on_end_grace, rt);
    while (rt->service.running > 0 || tug__loop_has_work(loop)) {
        tug__loop_turn(loop, true);
    }
    tug__timer_stop(&loop->calendar, &grace);
}

int tug__main_run(struct tug_loop *loop, tug_task_fn fn, void *arg)
{
    struct main_task m = {.fn = fn, .arg = arg};
    int rc = tug__runtime_open(loop);
    struct tug_task *t = NULL;
    if (rc == 0) {
        loop->on_stop = on_stop;
        struct tug__runtime *rt = tug__runtime(loop);
        rc = tug__task_spawn(&rt->user, run_main, &m, 0, (void *)(uintptr_t)fn, &t);
        if (rc == 0) {
            strncpy(t->name, "main", sizeof t->name - 1);
        }
        while (rt->user.running > 0) {
            tug__loop_turn(loop, true);
        }
        tug__timer_stop(&loop->calendar, &rt->drain_timer);
        end_services(loop, rt);
    }
    if (rc == 0) {
        rc = m.rc;
        if (rc < 0) {
            tug_fail_with(&m.error);
        }
    }
    return rc;
}

static int open_loop(struct tug_loop **ret)
{
    if (tug__loop != NULL) {
        return tug_fail(TUG_EMISUSE, "this thread has a loop already: one loop a thread");
    }
    return tug__loop_new(ret);
}

int tug_run(tug_task_fn fn, void *arg)
{
    struct tug_loop *loop = NULL;
    int rc = open_loop(&loop);
    if (rc < 0) {
        return rc;
    }
    tug__loop = loop;
    rc = tug__main_run(loop, fn, arg);
    tug__loop_free(loop);
    tug__loop = NULL;
    return rc;
}

/* --- programs: signals, the overflow report, the exit status ------------------------------------ */

struct program {
    tug_duration drain;
    int signals;
    int last_signal;
};

static struct program program; /* tug_main runs once at a time in a process */

static void on_signal(struct tug_loop *loop, int signal)
{
    program.last_signal = signal;
    if (program.signals++ == 0) {
        tug_log(TUG_LOG_INFO, "loop", "%s: asked to stop", sigabbrev_np(signal));
        tug__loop_stop(loop, program.drain);
    } else {
        tug_log(TUG_LOG_WARN, "loop", "SIG%s again: everything is cancelled now",
                sigabbrev_np(signal));
        tug__main_pierce(loop);
    }
}

static struct sigaction segv_before;

/* Only what a signal handler may do: it runs on its own stack because the task's is full. */
static void on_segv(int signal, siginfo_t *info, void *context)
{
    (void)context;
    struct tug_loop *loop = tug__loop;
    struct tug__runtime *rt = loop != NULL ? tug__runtime(loop) : NULL;
    struct tug_task *t = loop != NULL ? loop->current : NULL;
    if (rt != NULL && t != NULL && tug__stack_guarding(rt->stacks, info->si_addr) == t->stack) {
        char text[160];
        int n = snprintf(text, sizeof text,
                         "tug: the stack of task \"%s\" is full (%d KiB); it was spawned at\n",
                         t->name, (TUG__STACK_SIZE - TUG__STACK_GUARD) / 1024);
        ssize_t written = write(STDERR_FILENO, text, (size_t)n);
        (void)written;
        backtrace_symbols_fd(&t->spawned_at, 1, STDERR_FILENO);
    }
    sigaction(signal, &segv_before, NULL); /* the access comes again, and ends as it would have */
}

struct segv_stack {
    stack_t before;
    void *memory;
};

enum {
    SEGV_STACK = 64 * 1024
};

static void segv_install(struct segv_stack *s)
{
    s->memory = tug_alloc(SEGV_STACK);
    stack_t own = {.ss_sp = s->memory, .ss_size = SEGV_STACK};
    if (s->memory == NULL || sigaltstack(&own, &s->before) < 0) {
        tug_free(s->memory);
        s->memory = NULL;
        return; /* without the report an overflow still ends the process, at its guard */
    }
    void *warm[1];
    backtrace(warm, 1); /* loads what it needs now, not in the handler */
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &segv_before);
}

static void segv_restore(struct segv_stack *s)
{
    if (s->memory != NULL) {
        sigaction(SIGSEGV, &segv_before, NULL);
        sigaltstack(&s->before, NULL);
        tug_free(s->memory);
    }
}

static int exit_status(int rc)
{
    if (program.signals > 1) {
        return 128 + program.last_signal;
    }
    if (rc >= 0 || (rc == TUG_ECANCELED && program.signals > 0)) {
        return 0;
    }
    const tug_error *e = tug_last_error();
    fprintf(stderr, "%s: %s\n", program_invocation_short_name,
            e->code == rc ? e->text : tug_error_text(rc));
    return 1;
}

int tug_main_with(tug_task_fn fn, void *arg, const tug_main_options *given)
{
    tug_main_options o = TUG_MAIN_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    program = (struct program){.drain = o.drain};
    struct tug_loop *loop = NULL;
    struct tug__signals *signals = NULL;
    int rc = open_loop(&loop);
    if (rc == 0) {
        struct segv_stack segv = {.memory = NULL};
        tug__loop = loop;
        rc = tug__signals_open(loop, on_signal, &signals);
        if (rc == 0) {
            segv_install(&segv);
            rc = tug__main_run(loop, fn, arg);
            segv_restore(&segv);
        }
        tug__signals_close(signals);
        tug__loop_free(loop);
        tug__loop = NULL;
    }
    return exit_status(rc);
}

int tug_main(tug_task_fn fn, void *arg)
{
    return tug_main_with(fn, arg, NULL);
}
