/* What: tug_run_threads: a loop each in n threads. The first failure stops the loops of the others through
 * their remotes; one that has not come so far as to have a remote sees the flag instead. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <tug/loop.h>
#include <tug/remote.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "util/error.h"

enum {
    THREADS_MAX = 1024 /* more loops than this on one machine are a mistake in a number */
};

static const tug_duration DRAIN = TUG_SECONDS(20); /* as tug_main's */

struct crowd;

struct member {
    struct crowd *crowd;
    pthread_t thread;
    tug_remote *remote;
    bool has_begun; /* its main task reports for itself */
};

struct crowd {
    tug_task_fn fn;
    void *arg;
    pthread_mutex_t lock;
    bool is_stopping;
    int rc; /* of the first failure */
    tug_error error;
    size_t n, started;
    struct member members[];
};

static void crowd_failed(struct crowd *c, int rc)
{
    pthread_mutex_lock(&c->lock);
    /* A task that was cancelled because it was asked to stop is no failure of its own. */
    if (c->rc == 0 && !(c->is_stopping && rc == TUG_ECANCELED)) {
        c->rc = rc;
        if (tug_last_error()->code == rc) {
            tug__error_copy(&c->error, tug_last_error());
        } else {
            tug__error_plain(&c->error, rc);
        }
    }
    if (!c->is_stopping) {
        c->is_stopping = true;
        for (size_t i = 0; i < c->n; i++) {
            if (c->members[i].remote != NULL) {
                /* TUG_ECLOSED: it has ended by itself. */
                (void)tug_remote_stop(c->members[i].remote, DRAIN);
            }
        }
    }
    pthread_mutex_unlock(&c->lock);
}

static int main_task(void *arg)
{
    struct member *m = arg;
    tug_remote *remote = NULL;
    int rc = tug_remote_new(&remote);
    if (rc < 0) {
        return rc;
    }
    pthread_mutex_lock(&m->crowd->lock);
    m->remote = remote;
    m->has_begun = true;
    bool is_stopping = m->crowd->is_stopping;
    pthread_mutex_unlock(&m->crowd->lock);
    if (is_stopping) {
        tug_stop(DRAIN);
    }
    rc = m->crowd->fn(m->crowd->arg);
    if (rc < 0 && !(tug_is_stopping() && rc == TUG_ECANCELED)) {
        crowd_failed(m->crowd, rc); /* now: this loop may have other tasks that go on */
        tug_stop(DRAIN);
    }
    return rc;
}

static void *run_member(void *arg)
{
    struct member *m = arg;
    int rc = tug_run(main_task, m);
    if (rc < 0 && !m->has_begun) {
        crowd_failed(m->crowd, rc);
    }
    return NULL;
}

static size_t cpus(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    if (n <= 0) { /* more CPUs than the set has room for */
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    }
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (size_t)n;
}

static void start_members(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct member *m = &c->members[i];
        char name[32]; /* 15 bytes of it count, and are enough */
        m->crowd = c;
        int error = pthread_create(&m->thread, NULL, run_member, m);
        if (error != 0) {
            crowd_failed(c, tug_fail(TUG_ELIMIT, "thread %zu of %zu cannot be made: %s", i + 1,
                                     c->n, tug_error_text(-error)));
            return;
        }
        c->started = i + 1;
        snprintf(name, sizeof name, "tug-loop-%zu", i);
        pthread_setname_np(m->thread, name);
    }
}

int tug_run_threads(size_t n, tug_task_fn fn, void *arg)
{
    if (tug_loop_current() != NULL) {
        return tug_fail(TUG_EMISUSE,
                        "tug_run_threads blocks its thread, and this one runs a loop already");
    }
    n = n == 0 ? cpus() : n;
    if (n > THREADS_MAX) {
        return tug_fail(TUG_EINVAL, "%zu threads: at most %d", n, THREADS_MAX);
    }
    struct crowd *c = tug_calloc(1, sizeof *c + n * sizeof c->members[0]);
    if (c == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for %zu threads", n);
    }
    c->n = n;
    c->fn = fn;
    c->arg = arg;
    pthread_mutex_init(&c->lock, NULL);
    start_members(c);
    for (size_t i = 0; i < c->started; i++) {
        pthread_join(c->members[i].thread, NULL);
    }
    for (size_t i = 0; i < c->started;
         i++) { /* only now: one that fails late asks all the others */
        tug_remote_unref(c->members[i].remote);
    }
    pthread_mutex_destroy(&c->lock);
    int rc = c->rc < 0 ? tug_fail_with(&c->error) : 0;
    tug_free(c);
    return rc;
}
