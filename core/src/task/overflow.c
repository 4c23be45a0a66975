#include "task/overflow.h"

#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "task/task.h"

enum {
    ALTERNATE_STACK = 64 * 1024
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of these two */
static size_t open_ones;
static struct sigaction before;

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
                         t->name, (int)(tug__stack_size(t->stack) / 1024));
        ssize_t written = write(STDERR_FILENO, text, (size_t)n);
        (void)written;
        backtrace_symbols_fd(&t->spawned_at, 1, STDERR_FILENO);
    }
    sigaction(signal, &before, NULL); /* the access comes again, and ends as it would have */
}

void tug__overflow_open(struct tug__overflow *o)
{
    o->memory = tug_alloc(ALTERNATE_STACK);
    stack_t own = {.ss_sp = o->memory, .ss_size = ALTERNATE_STACK};
    if (o->memory == NULL || sigaltstack(&own, &o->before) < 0) {
        tug_free(o->memory);
        o->memory = NULL;
        return;
    }
    void *warm[1];
    backtrace(warm, 1); /* loads what it needs now, not in the handler */
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    if (open_ones++ == 0) {
        sigaction(SIGSEGV, &action, &before);
    }
    pthread_mutex_unlock(&lock);
}

void tug__overflow_close(struct tug__overflow *o)
{
    if (o->memory == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (--open_ones == 0) {
        sigaction(SIGSEGV, &before, NULL);
    }
    pthread_mutex_unlock(&lock);
    sigaltstack(&o->before, NULL);
    tug_free(o->memory);
    o->memory = NULL;
}
