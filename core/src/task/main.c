/* What: tug_run and tug_main: a loop from its first task to its orderly end (end.c). */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "loop/signal.h"
#include "task/end.h"
#include "task/main.h"
#include "task/overflow.h"
#include "task/sanitize.h"
#include "task/task.h"
#include "util/debug.h"

int tug_wait_stopping(void)
{
    if (tug__need_task("tug_wait_stopping") == NULL) {
        return TUG_EMISUSE;
    }
    return tug_is_stopping() ? tug_checkpoint()
                             : tug_park(&tug__runtime(tug__loop)->stop_waiters, NULL, "stop");
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

int tug__main_run(struct tug_loop *loop, tug_task_fn fn, void *arg)
{
    struct main_task m = {.fn = fn, .arg = arg};
    int rc = tug__runtime_open(loop);
    struct tug_task *t = NULL;
    if (rc == 0) {
        tug__end_prepare(loop);
        struct tug__runtime *rt = tug__runtime(loop);
        /* Spawned from no call: its place is its own function, one behind it like a return address. */
        rc = tug__task_spawn(&rt->user, run_main, &m, 0, (void *)((uintptr_t)fn + 1), &t);
        if (rc == 0) {
            t->is_marked = true;
            strncpy(t->name, "main", sizeof t->name - 1);
        }
        tug__end(loop);
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
    return tug__loop_new(NULL, ret);
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

struct wishes {
    tug_duration slow_step;
    bool slow_backtrace;
    int dump_signal;
};

static struct program program; /* tug_main runs once at a time in a process */

static void on_signal(int signal, void *arg)
{
    struct tug_loop *loop = arg;
    program.last_signal = signal;
    if (program.signals++ == 0) {
        tug_log(TUG_LOG_INFO, "loop", "SIG%s: asked to stop", sigabbrev_np(signal));
        tug__loop_stop(loop, program.drain);
    } else {
        tug_log(TUG_LOG_WARN, "loop", "SIG%s again: everything is cancelled now",
                sigabbrev_np(signal));
        tug__end_pierce(loop);
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

/* For the time of the program: its own wishes, where the debug settings have none. ret_before: those. */
static void wishes_set(const tug_main_options *o, struct wishes *ret_before)
{
    struct tug__debug *d = tug__debug();
    *ret_before = (struct wishes){d->slow_step, d->slow_backtrace, d->dump_signal};
    if (d->slow_step == 0 && o->slow_step > 0) {
        d->slow_step = o->slow_step;
        d->slow_backtrace = true;
    }
    if (o->dump_signal != 0) {
        d->dump_signal = o->dump_signal;
    }
}

static void wishes_restore(const struct wishes *before)
{
    struct tug__debug *d = tug__debug();
    d->slow_step = before->slow_step;
    d->slow_backtrace = before->slow_backtrace;
    d->dump_signal = before->dump_signal;
}

int tug_main_with(tug_task_fn fn, void *arg, const tug_main_options *given)
{
    tug_main_options o = TUG_MAIN_OPTIONS_INIT;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    static atomic_flag is_running = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&is_running)) {
        fprintf(stderr, "%s: tug_main runs once at a time in a process\n",
                program_invocation_short_name);
        return 1;
    }
    program = (struct program){.drain = o.drain};
    struct wishes before;
    wishes_set(&o, &before);
    struct tug_loop *loop = NULL;
    int rc = open_loop(&loop);
    if (rc == 0) {
        struct tug__overflow overflow = {.memory = NULL};
        tug__loop = loop;
        loop->is_program = true;
        rc = tug__signal_watch(SIGTERM, on_signal, loop);
        if (rc == 0) {
            rc = tug__signal_watch(SIGINT, on_signal, loop);
        }
        if (rc == 0) {
            tug__overflow_open(&overflow);
            rc = tug__main_run(loop, fn, arg);
            tug__overflow_close(&overflow);
        }
        tug__loop_free(loop);
        tug__loop = NULL;
    }
    wishes_restore(&before);
    int status = exit_status(rc);
    atomic_flag_clear(&is_running);
    return status;
}

int tug_main(tug_task_fn fn, void *arg)
{
    return tug_main_with(fn, arg, NULL);
}
