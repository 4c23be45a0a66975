#include "torture.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tug/error.h>
#include <tug/task.h>
#include <unistd.h>

#include "task/task.h"
#include "util/alloc.h"

void __sanitizer_print_stack_trace(void);
void __lsan_register_root_region(const void *p, size_t size);
int __lsan_do_recoverable_leak_check(void);

enum {
    HANG_MS = 20000, /* a run takes milliseconds */
    ROOTS_BYTES = 64 << 20,
    SHOWN = 3,        /* problems of a case that are printed in full */
    POINTS_USUAL = 4, /* runs of a case when not all are asked for */

    /* When all are asked for, all are tried where they are no more than so many and take no longer than so. */
    WHOLE_MOST = 3000,
    WHOLE_MS = 90000,
    /* Of the others so many runs at most, that do not take longer than so; but always some. Half of them are
     * for the last points, one by one, the others stride over those before. */
    RUNS_MOST = 800,
    RUNS_LEAST = 40,
    TIME_MOST_MS = 20000,

    EXIT_PASSED = 0,
    EXIT_FAILED = 1,  /* an assertion, and nothing had been made to fail */
    EXIT_MET = 10,    /* an assertion met the error */
    EXIT_UNSEEN = 11, /* an assertion failed after the fault, and the error's code was not seen */
    EXIT_LEAK = 87,
    EXIT_LEFT = 88
};

/* Shared with the children, and with theirs: tests that expect an abort fork. */
struct shared {
    atomic_uint points;  /* passed so far */
    atomic_uint target;  /* the one that fails; 0: none */
    atomic_uint opening; /* points before the case's own code */
    atomic_bool fired, is_single;
    const char *kind, *what;
};

enum {
    MODE_OFF,
    MODE_FAULTS,
    MODE_CANCEL
};

static struct shared *shared;
static int mode;
static bool is_run; /* also when the mode has been switched off for what follows */
static int met;

/* --- what fails --------------------------------------------------------------------------------- */

static bool fails(int of_mode, const char *kind, const char *what)
{
    if (mode != of_mode) {
        return false;
    }
    unsigned n = atomic_fetch_add(&shared->points, 1) + 1;
    if (n != atomic_load(&shared->target)) {
        return false;
    }
    shared->kind = kind;
    shared->what = what != NULL ? what : "";
    atomic_store(&shared->fired, true);
    if (atomic_load(&shared->is_single)) {
        int asked = mode;
        mode = MODE_OFF;
        fprintf(stderr, "point %u, %s %s:\n", n, kind, shared->what);
        __sanitizer_print_stack_trace();
        mode = asked;
    }
    return true;
}

static bool fails_with(const char *kind, int error)
{
    if (!fails(MODE_FAULTS, kind, NULL)) {
        return false;
    }
    errno = error;
    return true;
}

static bool alloc_fails(void)
{
    return fails_with("allocation", ENOMEM);
}

/* Of libevent, through its own switch. */
static void *libevent_malloc(size_t size)
{
    return fails_with("allocation of libevent", ENOMEM) ? NULL : malloc(size);
}

static void *libevent_realloc(void *p, size_t size)
{
    return fails_with("allocation of libevent", ENOMEM) ? NULL : realloc(p, size);
}

static void take_libevent(void)
{
    void (*set)(void *(*)(size_t), void *(*)(void *, size_t), void (*)(void *));
    void *found = dlsym(RTLD_DEFAULT, "event_set_mem_functions");
    if (found != NULL) {
        memcpy(&set, &found, sizeof set);
        set(libevent_malloc, libevent_realloc, free);
    }
}

/* Calls of the C library: these definitions stand before its own, for us and for libevent. */
#define TAKE(result, name, error, parameters, arguments)                                           \
    result name parameters;                                                                        \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*real) parameters;                                                           \
        if (real == NULL) {                                                                        \
            void *found = dlsym(RTLD_NEXT, #name);                                                 \
            memcpy(&real, &found, sizeof real);                                                    \
        }                                                                                          \
        return fails_with(#name, error) ? (result)-1 : real arguments;                             \
    }

struct epoll_event;
struct sockaddr;
#pragma GCC visibility push(default)
TAKE(int, epoll_create1, EMFILE, (int flags), (flags))
TAKE(int, epoll_ctl, ENOMEM, (int epfd, int op, int fd, struct epoll_event *event),
     (epfd, op, fd, event))
TAKE(int, epoll_wait, EINTR, (int epfd, struct epoll_event *events, int most, int timeout),
     (epfd, events, most, timeout))
TAKE(int, socket, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
TAKE(int, socketpair, EMFILE, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))
TAKE(int, accept4, EMFILE, (int fd, struct sockaddr *address, unsigned *size, int flags),
     (fd, address, size, flags))
TAKE(int, eventfd, EMFILE, (unsigned value, int flags), (value, flags))
TAKE(int, timerfd_create, EMFILE, (int clock, int flags), (clock, flags))
TAKE(int, pipe2, EMFILE, (int pipedes[2], int flags), (pipedes, flags))

#pragma GCC visibility pop

/* The sanitizers live on these: only the calls of our own objects are taken, by the linker. */
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails_with("mmap", ENOMEM) ? MAP_FAILED
                                      : __real_mmap(at, size, protection, flags, fd, offset);
}

int __real_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection)
{
    return fails_with("mprotect", ENOMEM) ? -1 : __real_mprotect(at, size, protection);
}

int __real_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice)
{
    return fails_with("madvise", ENOMEM) ? -1 : __real_madvise(at, size, advice);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg)
{
    return fails_with("pthread_create", EAGAIN)
               ? EAGAIN
               : __real_pthread_create(thread, attributes, fn, arg);
}

/* --- who is cancelled --------------------------------------------------------------------------- */

static bool is_service(const struct tug_task *t)
{
    const struct tug__scope *s = &t->base;
    while (s->parent != NULL) {
        s = s->parent;
    }
    return s == &tug__runtime(tug__loop)->service.scope;
}

/* The task has put itself where it waits and is about to leave the CPU. */
static void on_switch(struct tug_loop *loop, void *from, void *to)
{
    struct tug_task *t = from;
    (void)loop, (void)to;
    if (t != NULL && (t->state == TUG__TASK_WAITING || t->state == TUG__TASK_HELD) &&
        !is_service(t) && fails(MODE_CANCEL, "the wait", t->wait.what)) {
        tug__scope_fire(&t->base, TUG__SCOPE_CANCELLED);
    }
}

static void on_loop(struct tug_loop *loop)
{
    if (mode == MODE_CANCEL) {
        tug__loop_set_hooks(loop, NULL, on_switch);
    }
}

/* --- how a run ends ----------------------------------------------------------------------------- */

/* Stacks of tasks are no roots for the leak check, and a task's locals hold what they hold. They are copied to
 * one region that is: with a region for each of ten thousand the check would not end. */
static uintptr_t *roots;
static size_t roots_n;

__attribute__((no_sanitize("address"))) static void root_stack(const void *from, const void *top)
{
    const uintptr_t *p = (const uintptr_t *)((uintptr_t)from & ~(sizeof *p - 1));
    for (; p < (const uintptr_t *)top && roots_n < ROOTS_BYTES / sizeof *p; p++) {
        roots[roots_n++] = *p;
    }
}

static void root_tasks(const struct tug__group *g)
{
    for (const struct tug_task *t = g->first_child; t != NULL; t = t->next) {
#if !defined(TUG__SWITCH_UCONTEXT)
        root_stack(t == tug__loop->current ? __builtin_frame_address(0) : t->context.sp,
                   t->stack->top);
#endif
        for (const struct tug__scope *s = t->scope; s != &t->base; s = s->parent) {
            if (s->kind == TUG__SCOPE_GROUP) {
                root_tasks((const struct tug__group *)s);
            }
        }
    }
}

static void root_loop(void)
{
    const struct tug__runtime *rt = tug__loop != NULL ? tug__runtime(tug__loop) : NULL;
    roots = mmap(NULL, ROOTS_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rt == NULL || roots == MAP_FAILED) {
        return;
    }
    root_tasks(&rt->user);
    root_tasks(&rt->service);
#if !defined(TUG__SWITCH_UCONTEXT)
    if (rt->host_stack.bottom != NULL && rt->host.context.sp != NULL) {
        root_stack(rt->host.context.sp, rt->host_stack.top);
    }
#endif
    if (roots_n > 0) { /* an empty region is a mistake to it */
        __lsan_register_root_region(roots, roots_n * sizeof *roots);
    }
}

_Noreturn static void end(int status)
{
    fflush(NULL);
    _exit(status);
}

bool torture_is_on(void)
{
    return is_run;
}

void torture_begins(void)
{
    if (mode != MODE_OFF) {
        atomic_store(&shared->opening, atomic_load(&shared->points));
    }
}

void torture_met(int rc)
{
    if (rc < 0) {
        met = rc;
    }
}

void torture_left_behind(void)
{
    if (mode != MODE_OFF) {
        end(EXIT_LEFT);
    }
}

/* All of cmocka's assertions end here; this definition stands before cmocka's. */
__attribute__((visibility("default"))) void _fail(const char *const file, const int line)
{
    if (mode == MODE_OFF) {
        static void (*real)(const char *file, int line);
        void *found = dlsym(RTLD_NEXT, "_fail");
        memcpy(&real, &found, sizeof real);
        real(file, line);
        abort();
    }
    mode = MODE_OFF;
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    if (!atomic_load(&shared->fired)) {
        end(EXIT_FAILED);
    }
    if (tug_last_error()->code != 0) {
        met = tug_last_error()->code;
    }
    /* On another thread the stacks of the main thread's loop, and what they hold, are not known. */
    bool is_main = getpid() == gettid();
    root_loop();
    if (is_main && __lsan_do_recoverable_leak_check() != 0) {
        end(EXIT_LEAK);
    }
    end(met != 0 || errno == ENOMEM || errno == EMFILE ? EXIT_MET : EXIT_UNSEEN);
}

/* --- runs --------------------------------------------------------------------------------------- */

static int (*run_case)(test_case *c);

_Noreturn static void child(test_case *c, int wanted, FILE *output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    signal(SIGPIPE, SIG_IGN); /* of the scripted peers, which write as if all went well */
    mode = wanted;
    is_run = true;
    int failed = run_case(c);
    mode = MODE_OFF;
    if (failed != 0) {
        end(EXIT_FAILED);
    }
    end(__lsan_do_recoverable_leak_check() != 0 ? EXIT_LEAK : EXIT_PASSED);
}

/* What waitpid said; a run that hangs is killed and counts as SIGKILL. */
static int run(test_case *c, int wanted, unsigned target, FILE *output)
{
    atomic_store(&shared->points, 0);
    atomic_store(&shared->target, target);
    atomic_store(&shared->opening, 0);
    atomic_store(&shared->fired, false);
    shared->kind = "nothing";
    shared->what = "";
    rewind(output);
    if (ftruncate(fileno(output), 0) != 0) {
        abort();
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        child(c, wanted, output);
    }
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    if (poll(&ended, 1, HANG_MS) == 0) {
        kill(pid,
             SIGALRM); /* the test's bound says what its tasks wait for; and if that hangs too: */
        if (poll(&ended, 1, HANG_MS / 10) == 0) {
            kill(pid, SIGKILL);
        }
    }
    close(ended.fd);
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

static const char *verdict(int status)
{
    if (WIFSIGNALED(status)) {
        switch (WTERMSIG(status)) {
        case SIGKILL:
        case SIGALRM:
            return "hung";
        case SIGABRT:
            return "aborted or hung";
        case SIGPIPE:
            return "ended by SIGPIPE";
        default:
            return "crashed";
        }
    }
    switch (WEXITSTATUS(status)) {
    case EXIT_PASSED:
    case EXIT_MET:
    case EXIT_UNSEEN:
        return NULL;
    case EXIT_LEAK:
        return "leaked";
    case EXIT_LEFT:
        return "left something behind";
    case EXIT_FAILED:
        return "failed, and nothing had been made to fail";
    default:
        return "ended by a sanitizer's report";
    }
}

static void show(FILE *output)
{
    char line[512];
    fflush(output);
    rewind(output);
    while (fgets(line, sizeof line, output) != NULL) {
        printf("    %s", line);
    }
}

struct tally {
    unsigned runs, met, unseen, bad;
};

static void count(struct tally *tally, const char *mode_name, test_case *c, unsigned n, int status,
                  FILE *output)
{
    const char *what = verdict(status);
    tally->runs++;
    tally->met += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MET;
    tally->unseen += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNSEEN;
    if (what == NULL) {
        return;
    }
    printf("%s: %s at point %u (%s %s); again: TUG_TORTURE=%s:%u\n", c->name, what, n, shared->kind,
           shared->what, mode_name, n);
    if (++tally->bad <= SHOWN) {
        show(output);
    }
}

static unsigned hash(const char *name)
{
    unsigned h = 5381;
    for (; *name != 0; name++) {
        h = h * 33 + (unsigned char)*name;
    }
    return h;
}

struct wish {
    int mode;
    const char *name;
    unsigned only; /* the one point; 0: several */
    bool all;
    FILE *output;
};

static void try_point(struct tally *tally, const struct wish *w, test_case *c, unsigned n)
{
    count(tally, w->name, c, n, run(c, w->mode, n, w->output), w->output);
}

/* A few: the first points of all cases are the same, a loop that opens, so most are taken from the end. */
static void try_few(struct tally *tally, const struct wish *w, test_case *c, unsigned points)
{
    unsigned left = points < POINTS_USUAL ? points : POINTS_USUAL, n = points;
    for (unsigned i = 0; i < left; i++) {
        try_point(tally, w, c, n);
        n = points <= POINTS_USUAL ? n - 1
            : i + 2 < left         ? n - n / 16 - 1
                                   : 1 + hash(c->name) % points;
    }
}

/* Once for all cases that open alike: what comes before their own code is the same. */
static unsigned first_own(unsigned opening)
{
    static unsigned tried;
    bool is_known = opening == tried;
    tried = opening;
    return is_known ? opening + 1 : 1;
}

static unsigned most_runs(unsigned points, unsigned run_ms)
{
    if (points <= WHOLE_MOST && points * (run_ms + 1) <= WHOLE_MS) {
        return points;
    }
    unsigned runs = TIME_MOST_MS / (run_ms + 1);
    return runs > RUNS_MOST ? RUNS_MOST : runs < RUNS_LEAST ? RUNS_LEAST : runs;
}

static void try_all(struct tally *tally, const struct wish *w, test_case *c, unsigned points,
                    unsigned run_ms)
{
    unsigned runs = most_runs(points, run_ms);
    unsigned first = first_own(atomic_load(&shared->opening));
    unsigned one_by_one = points > runs ? runs / 2 : points;
    unsigned stride = points > runs ? (points - one_by_one) / (runs - one_by_one) + 1 : 1;
    for (unsigned n = points; n >= first; n--) {
        if (points - n < one_by_one || (n + hash(c->name)) % stride == 0) {
            try_point(tally, w, c, n);
        }
    }
}

/* By runs of this case. One with the real clock waits most of the time; the others shall not depend on what
 * else the machine does. */
static tug_time time_spent(const test_case *c)
{
    struct rusage used;
    if (c->kind == TEST_LIVE) {
        return tug_now();
    }
    getrusage(RUSAGE_CHILDREN, &used);
    return TUG_SECONDS(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           TUG_US(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static bool torture_case(test_case *c, const struct wish *w)
{
    struct tally tally = {0};
    tug_time before = time_spent(c);
    int status = run(c, w->mode, 0, w->output);
    unsigned run_ms = (unsigned)((time_spent(c) - before) / TUG_MS(1));
    unsigned points = atomic_load(&shared->points);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_PASSED) {
        printf("%s: %s, and nothing had been made to fail\n", c->name, verdict(status));
        show(w->output);
        return false;
    }
    if (w->only > 0) {
        atomic_store(&shared->is_single, true);
        try_point(&tally, w, c, w->only);
        show(w->output);
    } else if (w->all) {
        try_all(&tally, w, c, points, run_ms);
    } else {
        try_few(&tally, w, c, points);
    }
    printf("%s: %u points, %u runs: %u met the error, %u its effects, %u passed, %u bad\n", c->name,
           points, tally.runs, tally.met, tally.unseen,
           tally.runs - tally.met - tally.unseen - tally.bad, tally.bad);
    fflush(stdout);
    return tally.bad == 0;
}

bool torture_main(test_case *cases, const char *only, int (*one)(test_case *c), int *ret_status)
{
    const char *wish = getenv("TUG_TORTURE");
    if (wish == NULL || *wish == 0) {
        return false;
    }
    const char *number = strchr(wish, ':');
    const char *full = getenv("TUG_TEST_FULL");
    bool is_cancel = strncmp(wish, "cancel", 6) == 0;
    struct wish w = {.mode = is_cancel ? MODE_CANCEL : MODE_FAULTS,
                     .name = is_cancel ? "cancel" : "faults",
                     .only = number != NULL ? (unsigned)strtoul(number + 1, NULL, 10) : 0,
                     .all = full != NULL && *full == '1',
                     .output = tmpfile()};
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || w.output == NULL) {
        abort();
    }
    take_libevent();
    tug__alloc_fails = alloc_fails;
    tug__loop_opened = on_loop;
    run_case = one;
    bool good = true;
    for (test_case *c = cases; c != NULL; c = c->next) {
        if (only == NULL || strcmp(only, c->name) == 0) {
            good &= torture_case(c, &w);
        }
    }
    fclose(w.output);
    *ret_status = good ? 0 : 1;
    return true;
}
