/* What: the log of slow steps.
 *
 * No switch reads a clock for it. A thread looks at each loop four times in the span that counts as slow: the
 * loop counts its resumes anyway, and its callbacks too; a look that finds the same counts as the one before
 * has seen the same step. What the step is called is read from the task without its help, and counts only if
 * the step is still the same afterwards. The backtrace is taken in the stuck thread itself by a signal, and
 * made readable here. */
#include "task/slow.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <tug/log.h>
#include <ucontext.h>
#include <unistd.h>

#include "task/task.h"
#include "util/debug.h"
#include "util/place.h"

enum {
    LOOKS = 4,           /* in the span that counts as slow */
    FRAMES = 48,         /* of a backtrace */
    TRACES_A_MINUTE = 5, /* so that a program that is always slow is not slower for it */
    TRACE_WAIT_MS = 50,  /* for the stuck thread to take its backtrace */
    TEXT_SIZE = 1600     /* of a record: the log cuts at 2 KiB */
};
#define LOOK_MOST TUG_SECONDS(1) /* between two looks */
#define STOPPED TUG_SECONDS(1)   /* a look that comes so much too late: the process stood still */
#define LOOK_STUCK TUG_MS(2)     /* while a step is known to be stuck: its end is seen this soon */

static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER; /* of these three; held while it ends */
static size_t watched;                                   /* loops */
static pthread_t thread;
static bool is_running;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of is_ending */
static pthread_cond_t wake;
static bool is_ending;

static tug_time clock_now(clockid_t id)
{
    struct timespec ts = {0, 0};
    clock_gettime(id, &ts);
    return (tug_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* By the kernel's number of the thread: the thread may have gone, and pthread_getcpuclockid must not be asked
 * about such a one. */
static tug_time cpu_time(const struct tug_loop *loop)
{
    enum {
        KIND_BITS = 3,
        A_THREADS_CPU_TIME = 6
    };
    return clock_now((clockid_t)(~(unsigned)loop->thread_id << KIND_BITS | A_THREADS_CPU_TIME));
}

/* --- the backtrace ------------------------------------------------------------------------------ */

/* Its default is to be ignored, so that one that comes late harms nobody. */
#define TRACE_SIGNAL SIGURG

enum {
    TRACE_NONE,
    TRACE_ASKED,
    TRACE_BEING_TAKEN,
    TRACE_TAKEN
};

static struct {
    atomic_int state;
    atomic_int thread_id; /* whose it is to be */
    int n;
    void *pc; /* where the step was */
    void *frames[FRAMES];
} trace;
static struct sigaction trace_before;
static bool can_trace;
static tug_time traced_at[TRACES_A_MINUTE]; /* a ring */
static unsigned traced;

static void *interrupted_pc(const ucontext_t *uc)
{
#if defined(__x86_64__)
    return (void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)(uintptr_t)uc->uc_mcontext.pc;
#else
    (void)uc;
    return NULL;
#endif
}

/* In the stuck thread. backtrace() was called before, so that it neither loads nor allocates here; it uses
 * the alternate stack if there is one, else some KiB of the task's. */
static void on_trace_signal(int signal, siginfo_t *info, void *context)
{
    int saved = errno, asked = TRACE_ASKED;
    (void)signal;
    (void)info;
    if (atomic_load(&trace.thread_id) == gettid() &&
        atomic_compare_exchange_strong(&trace.state, &asked, TRACE_BEING_TAKEN)) {
        trace.pc = interrupted_pc(context);
        trace.n = backtrace(trace.frames, FRAMES);
        atomic_store(&trace.state, TRACE_TAKEN);
    }
    errno = saved;
}

static void trace_install(void)
{
    struct sigaction action = {.sa_sigaction = on_trace_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    void *warm[1];
    can_trace = sigaction(TRACE_SIGNAL, NULL, &trace_before) == 0 &&
                (trace_before.sa_flags & SA_SIGINFO) == 0 &&
                (trace_before.sa_handler == SIG_DFL || trace_before.sa_handler == SIG_IGN);
    if (can_trace) {
        backtrace(warm, 1);
        sigemptyset(&action.sa_mask);
        sigaction(TRACE_SIGNAL, &action, NULL);
    }
}

static void trace_restore(void)
{
    if (can_trace) {
        sigaction(TRACE_SIGNAL, &trace_before, NULL);
        can_trace = false;
    }
}

static bool may_trace(tug_time now)
{
    if (!can_trace || !TUG__DEBUG_ON(slow_backtrace)) {
        return false;
    }
    tug_time oldest = traced_at[traced % TRACES_A_MINUTE];
    if (traced >= TRACES_A_MINUTE && now - oldest < TUG_SECONDS(60)) {
        return false;
    }
    traced_at[traced++ % TRACES_A_MINUTE] = now;
    return true;
}

/* On the watching thread, which may block. True: trace holds where the loop's thread is. */
static bool trace_take(struct tug_loop *loop)
{
    atomic_store(&trace.thread_id, loop->thread_id);
    atomic_store(&trace.state, TRACE_ASKED);
    if (syscall(SYS_tgkill, getpid(), loop->thread_id, TRACE_SIGNAL) != 0) {
        return false;
    }
    for (int i = 0; i < TRACE_WAIT_MS && atomic_load(&trace.state) != TRACE_TAKEN; i++) {
        usleep(1000);
    }
    /* A thread that cannot take signals now (ThreadSanitizer holds them back) must not write into it later. */
    int asked = TRACE_ASKED;
    while (!atomic_compare_exchange_strong(&trace.state, &asked, TRACE_NONE)) {
        if (asked == TRACE_TAKEN) {
            return true;
        }
        asked = TRACE_ASKED;
    }
    return false;
}

/* The frames from the interrupted one outwards; those before are the handler's. */
static void trace_write(char *to, size_t size)
{
    int first = 0;
    for (int i = 0; i < trace.n; i++) {
        first = trace.frames[i] == trace.pc ? i : first;
    }
    size_t used = 0;
    for (int i = first; i < trace.n && used + TUG__PLACE_SIZE < size; i++) {
        char place[TUG__PLACE_SIZE];
        /* Return addresses, but for where it stands itself. */
        char *at = (char *)trace.frames[i] + (i == first ? 1 : 0);
        tug__place_describe(at, place, sizeof place);
        used += (size_t)snprintf(to + used, size - used, "%s%s", i == first ? " at " : " < ",
                                 place);
    }
}

/* --- one step ----------------------------------------------------------------------------------- */

/* Through the kernel: the task may be gone in this moment, with its stack, and then this fails where a load
 * would crash. */
static bool peek(void *to, const void *from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool is_same_step(const struct tug_loop *loop)
{
    return !__atomic_load_n(&loop->is_idle, __ATOMIC_RELAXED) &&
           tug__loop_resumes(loop) == loop->watch.resumes &&
           __atomic_load_n(&loop->steps, __ATOMIC_RELAXED) == loop->watch.steps;
}

static void name_step(struct tug_loop *loop, void **ret_spawned_at)
{
    struct tug__watch *w = &loop->watch;
    const char *t = tug__loop_running(loop);
    char name[TUG__NAME_SIZE];
    uint64_t number = 0;
    *ret_spawned_at = NULL;
    bool is_task = t != NULL;
    bool is_known = is_task && peek(name, t + offsetof(struct tug_task, name), sizeof name) &&
                    peek(&number, t + offsetof(struct tug_task, number), sizeof number) &&
                    peek(ret_spawned_at, t + offsetof(struct tug_task, spawned_at),
                         sizeof *ret_spawned_at);
    if (!is_task || (is_known && number == 0)) { /* number 0: the loop's own stack */
        snprintf(w->who, sizeof w->who, "a callback of the loop");
    } else if (is_known) {
        name[sizeof name - 1] = 0;
        snprintf(w->who, sizeof w->who, "task %llu \"%s\"", (unsigned long long)number, name);
    } else {
        snprintf(w->who, sizeof w->who, "a task");
    }
}

struct report {
    char text[TEXT_SIZE];
};

static long long ms(tug_duration d)
{
    return (long long)(d / TUG_MS(1));
}

/* False: nothing to say after all. */
static bool report_begin(struct tug_loop *loop, tug_time now, struct report *r)
{
    struct tug__watch *w = &loop->watch;
    void *spawned_at;
    char place[TUG__PLACE_SIZE], where[TEXT_SIZE / 2] = "";
    name_step(loop, &spawned_at);
    if (!is_same_step(loop)) {
        return false;
    }
    if (may_trace(now) && trace_take(loop)) {
        trace_write(where, sizeof where);
    }
    tug__place_describe(spawned_at, place, sizeof place);
    snprintf(r->text, sizeof r->text,
             "%s is holding the loop, for %lld ms so far (%lld ms of it on the CPU)%s%s%s", w->who,
             ms(w->held), ms(cpu_time(loop) - w->cpu), where,
             spawned_at != NULL ? ", spawned at " : "", spawned_at != NULL ? place : "");
    w->is_reported = true;
    return true;
}

static void report_end(struct tug_loop *loop, struct report *r)
{
    struct tug__watch *w = &loop->watch;
    snprintf(r->text, sizeof r->text, "%s held the loop for %lld ms (%lld ms of it on the CPU)",
             w->who, ms(w->held), ms(cpu_time(loop) - w->cpu));
    w->is_reported = false;
}

/* --- looking ------------------------------------------------------------------------------------ */

/* has_room: nothing is to be said yet. True: r is. */
static bool look(struct tug_loop *loop, tug_duration passed, tug_duration slow, tug_time now,
                 bool has_room, struct report *r)
{
    struct tug__watch *w = &loop->watch;
    if (is_same_step(loop)) {
        w->held += passed;
        return has_room && !w->is_reported && w->held >= slow && report_begin(loop, now, r);
    }
    if (w->is_reported) {
        if (has_room) {
            report_end(loop, r);
        }
        return has_room;
    }
    w->resumes = tug__loop_resumes(loop);
    w->steps = __atomic_load_n(&loop->steps, __ATOMIC_RELAXED);
    w->held = 0;
    w->cpu = cpu_time(loop);
    return false;
}

/* One record a round, and that without the lock, because a sink may do anything; what others have to say waits
 * for the next round, which comes soon. True while there is such a step, or was. */
static bool look_at_all(tug_duration passed, tug_duration slow)
{
    static struct report r; /* of the one thread there is */
    bool has_report = false, is_stuck = false;
    tug_time now = clock_now(CLOCK_MONOTONIC);
    tug__loops_lock();
    for (struct tug_loop *loop = tug__loops; loop != NULL; loop = loop->next) {
        has_report = look(loop, passed, slow, now, !has_report, &r) || has_report;
        is_stuck = is_stuck || loop->watch.is_reported;
    }
    tug__loops_unlock();
    if (has_report) {
        tug__debug_warn("loop", "%s", r.text);
    }
    return is_stuck || has_report;
}

static void wait_for(tug_duration d)
{
    tug_time until = clock_now(CLOCK_MONOTONIC) + d;
    struct timespec ts = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    if (!is_ending) {
        pthread_cond_timedwait(&wake, &lock, &ts);
    }
}

static void *watch(void *arg)
{
    tug_time last = clock_now(CLOCK_MONOTONIC);
    bool is_stuck = false;
    (void)arg;
    pthread_mutex_lock(&lock);
    while (!is_ending) {
        tug_duration slow = TUG__DEBUG_ON(slow_step);
        tug_duration pause = is_stuck ? LOOK_STUCK : slow / LOOKS;
        pause = pause > LOOK_MOST || slow <= 0 ? LOOK_MOST : pause < TUG_MS(1) ? TUG_MS(1) : pause;
        wait_for(pause);
        pthread_mutex_unlock(&lock);
        /* Where this thread itself did not run for long (a process that was stopped), the loop's did not
         * either, and that was no step. */
        tug_time now = clock_now(CLOCK_MONOTONIC);
        tug_duration passed = now - last < pause + STOPPED ? now - last : pause;
        last = now;
        is_stuck = slow > 0 && look_at_all(passed, slow);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------- */

/* It takes no signal that is meant for the program. */
static bool start_thread(void)
{
    sigset_t all, before;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        pthread_cond_destroy(&wake);
        tug_log(TUG_LOG_WARN, "loop",
                "slow steps are not reported: no thread to watch for them: %s",
                strerrordesc_np(rc));
    }
    return rc == 0;
}

void tug__slow_open(struct tug_loop *loop)
{
    if (TUG__DEBUG_ON(slow_step) <= 0) {
        return;
    }
    pthread_mutex_lock(&life);
    loop->is_watched = true;
    if (watched++ == 0) {
        is_ending = false;
        if (TUG__DEBUG_ON(slow_backtrace)) {
            trace_install();
        }
        is_running = start_thread();
    }
    pthread_mutex_unlock(&life);
}

static void end_thread(void)
{
    pthread_mutex_lock(&lock);
    is_ending = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&wake);
    is_running = false;
}

void tug__slow_close(struct tug_loop *loop)
{
    if (!loop->is_watched) {
        return;
    }
    loop->is_watched = false;
    pthread_mutex_lock(&life);
    if (--watched == 0) {
        if (is_running) {
            end_thread();
        }
        trace_restore();
    }
    pthread_mutex_unlock(&life);
}
