/* What: a pool of threads per loop. One lock guards everything that both sides touch; finished jobs
 * go back as posts (remote.c), so that many cost one wake-up.
 *
 *   IDLE --submit--> QUEUED --taken by a thread--> RUNNING --> POSTED --taken by the loop--> IDLE
 *     ^-----cancel------+                             |                    (then done is called)
 *                                                     +--the loop has ended--> orphan
 *
 * At the loop's end idle threads are joined; one that is stuck in an abandoned job (a look-up that
 * hangs, a read from a terminal) is detached and keeps the pool's memory alive until it comes back.
 */
#include "loop/offload.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <tug/offload.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "loop/remote.h"

enum {
    THREADS_LIMIT = 256,   /* of the option: more threads only contend */
    QUEUED_LIMIT = 1000000 /* of the option: more callers than this wait on what does not move */
};

enum {
    JOB_IDLE,
    JOB_QUEUED,  /* waits for a thread; can be cancelled */
    JOB_RUNNING, /* on a thread */
    JOB_POSTED   /* finished; the loop will call done */
};

struct job_list {
    struct tug__job *first, *last;
};

struct worker {
    struct crew *crew;
    struct worker *next, **at_prev;
    pthread_t thread;
    bool is_busy; /* runs a job */
};

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t work;
    tug_offload_options o;
    struct job_list queued;
    struct worker *workers;
    size_t thread_count;
    size_t queued_count;
    size_t hanging_count; /* running jobs that may hang */
    size_t idle_count;    /* threads in the wait, woken ones included until they have the lock */
    size_t holders;       /* the loop and each thread: the last one frees */
    bool is_ending;
    tug_remote *remote;
};

static void list_push(struct job_list *l, struct tug__job *job)
{
    job->next = NULL;
    job->prev = l->last;
    if (l->last != NULL) {
        l->last->next = job;
    } else {
        l->first = job;
    }
    l->last = job;
}

static void list_remove(struct job_list *l, struct tug__job *job)
{
    if (job->prev != NULL) {
        job->prev->next = job->next;
    } else {
        l->first = job->next;
    }
    if (job->next != NULL) {
        job->next->prev = job->prev;
    } else {
        l->last = job->prev;
    }
    job->next = job->prev = NULL;
}

/* --- on a thread ----------------------------------------------------------------------------- */

/* Gives up the lock and the caller's hold. */
static void let_go(struct crew *crew)
{
    bool is_last = --crew->holders == 0;
    pthread_mutex_unlock(&crew->lock);
    if (is_last) {
        pthread_cond_destroy(&crew->work);
        pthread_mutex_destroy(&crew->lock);
        tug_remote_unref(crew->remote);
        tug_free(crew);
    }
}

/* What may hang gets half of the threads, so that the others go on: a dead name server must not stop file
 * reads, nor logins at servers whose addresses are known. */
static size_t hanging_max(const struct crew *crew)
{
    return (crew->o.max_threads + 1) / 2;
}

/* The first job that may run now, with the lock held. */
static struct tug__job *first_job(const struct crew *crew)
{
    struct tug__job *job = crew->queued.first;
    while (job != NULL && job->may_hang && crew->hanging_count >= hanging_max(crew)) {
        job = job->next;
    }
    return job;
}

static struct timespec idle_end(const struct crew *crew)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    tug_time end = tug_time_after((tug_time)at.tv_sec * 1000000000 + at.tv_nsec, crew->o.idle);
    return (struct timespec){.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
}

/* Waits for a job, with the lock held. NULL: this thread is to end. */
static struct tug__job *next_job(struct crew *crew)
{
    struct timespec until = idle_end(crew);
    int rc = 0;
    while (crew->thread_count <= crew->o.max_threads && first_job(crew) == NULL &&
           !crew->is_ending) {
        if (rc != 0) { /* its idle time is over */
            if (crew->thread_count > crew->o.min_threads) {
                return NULL;
            }
            until = idle_end(crew);
        }
        crew->idle_count++;
        rc = pthread_cond_timedwait(&crew->work, &crew->lock, &until);
        crew->idle_count--;
    }
    if (crew->thread_count > crew->o.max_threads) { /* there are fewer since */
        return NULL;
    }
    struct tug__job *job = first_job(crew);
    if (job != NULL) {
        list_remove(&crew->queued, job);
        crew->queued_count--;
        crew->hanging_count += job->may_hang;
        job->state = JOB_RUNNING;
    }
    return job;
}

/* Runs a job, with the lock held but for the run itself. */
static void run_job(struct worker *w, struct tug__job *job)
{
    struct crew *crew = w->crew;
    w->is_busy = true;
    pthread_mutex_unlock(&crew->lock);
    job->run(job);
    pthread_mutex_lock(&crew->lock);
    w->is_busy = false;
    crew->hanging_count -= job->may_hang;
    job->state = JOB_POSTED;
    if (crew->is_ending || !tug__remote_push(crew->remote, &job->post)) {
        pthread_mutex_unlock(&crew->lock);
        if (job->orphan != NULL) { /* else its task was left behind by a detach */
            job->orphan(job);
        }
        pthread_mutex_lock(&crew->lock);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct crew *crew = w->crew;
    struct tug__job *job;
    pthread_mutex_lock(&crew->lock);
    while ((job = next_job(crew)) != NULL) {
        run_job(w, job);
        if (crew->is_ending) {
            break;
        }
    }
    if (!crew->is_ending) {
        pthread_detach(pthread_self()); /* ended for want of work: nobody will join it */
    }
    pthread_cond_signal(&crew->work); /* it may have been meant for a thread that stays */
    *w->at_prev = w->next;
    if (w->next != NULL) {
        w->next->at_prev = w->at_prev;
    }
    crew->thread_count--;
    tug_free(w);
    let_go(crew);
    return NULL;
}

/* --- on the loop's thread -------------------------------------------------------------------- */

/* Signals are the loop's business: on these threads only faults are taken, where they occur. */
static void block_signals(sigset_t *ret_old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t all;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sigdelset(&all, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &all, ret_old);
}

/* With the lock held: one more, if it can be made. */
static void add_thread(struct crew *crew)
{
    sigset_t old;
    struct worker *w = tug_calloc(1, sizeof *w);
    if (w == NULL) {
        return;
    }
    w->crew = crew;
    block_signals(&old);
    int rc = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        tug_free(w);
        return;
    }
    pthread_setname_np(w->thread, "tug-offload");
    w->next = crew->workers;
    w->at_prev = &crew->workers;
    if (w->next != NULL) {
        w->next->at_prev = &w->next;
    }
    crew->workers = w;
    crew->thread_count++;
    crew->holders++;
}

/* With the lock held. True if there is a thread for the job, a new one or one that will be free. */
static bool find_thread(struct crew *crew)
{
    if (crew->idle_count <= crew->queued_count && crew->thread_count < crew->o.max_threads) {
        add_thread(crew);
    }
    return crew->thread_count > 0;
}

static void finish(void *arg)
{
    struct tug__job *job = arg;
    if (!job->is_abandoned) {
        tug__loop->outside--;
    }
    job->state = JOB_IDLE;
    job->next = job->prev = NULL;
    job->done(job);
}

/* Jobs that no thread has. Those that somebody waits for can be here only when a detach leaves their tasks
 * behind. */
static void orphan_all(struct tug__job *job)
{
    while (job != NULL) {
        struct tug__job *next = job->next;
        if (job->orphan != NULL) {
            job->orphan(job);
        }
        job = next;
    }
}

/* The loop ends. */
static void crew_end(void *value)
{
    struct crew *crew = value;
    pthread_t idle[THREADS_LIMIT];
    size_t idle_count = 0;
    pthread_mutex_lock(&crew->lock);
    crew->is_ending = true;
    struct tug__job *queued = crew->queued.first;
    crew->queued = (struct job_list){NULL, NULL};
    for (struct worker *w = crew->workers; w != NULL; w = w->next) {
        if (w->is_busy) {
            pthread_detach(w->thread);
        } else {
            idle[idle_count++] = w->thread;
        }
    }
    pthread_cond_broadcast(&crew->work);
    let_go(crew);
    /* Joined, so that nothing of theirs is left when the loop has ended: leak checks count on it.
     */
    for (size_t i = 0; i < idle_count; i++) {
        pthread_join(idle[i], NULL);
    }
    orphan_all(queued);
}

/* The loop's crew, made at first use: a loop without blocking calls has none. */
static int get_crew(struct crew **ret_crew)
{
    if (!tug_has_loop("tug_offload")) {
        return TUG_EMISUSE;
    }
    struct crew *crew = *tug__loop_slot(TUG__SLOT_OFFLOAD);
    if (crew != NULL) {
        *ret_crew = crew;
        return 0;
    }
    crew = tug_calloc(1, sizeof *crew);
    if (crew == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for threads");
    }
    int rc = tug_remote_new(&crew->remote);
    if (rc < 0) {
        tug_free(crew);
        return rc;
    }
    crew->o = (tug_offload_options)TUG_OFFLOAD_OPTIONS_INIT;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->work, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&crew->lock, NULL);
    crew->holders = 1;
    tug__loop_slot_set(TUG__SLOT_OFFLOAD, crew, crew_end);
    *ret_crew = crew;
    return 0;
}

int tug__offload_submit(struct tug__job *job)
{
    struct crew *crew = NULL;
    int rc = get_crew(&crew);
    if (rc < 0) {
        return rc;
    }
    assert(job->state == JOB_IDLE && "a job is submitted once at a time");
    pthread_mutex_lock(&crew->lock);
    if (crew->queued_count >= crew->o.max_queued) {
        rc = tug_fail(TUG_ELIMIT, "%zu blocking calls wait for a thread already",
                      crew->o.max_queued);
    } else if (!find_thread(crew)) {
        rc = tug_fail(TUG_ELIMIT, "no thread can be made for a blocking call");
    } else {
        job->state = JOB_QUEUED;
        job->is_abandoned = false;
        job->post = (tug_post){.fn = finish, .arg = job};
        list_push(&crew->queued, job);
        crew->queued_count++;
        pthread_cond_signal(&crew->work);
        tug__loop->outside++;
    }
    pthread_mutex_unlock(&crew->lock);
    return rc;
}

bool tug__offload_cancel(struct tug__job *job)
{
    struct crew *crew = *tug__loop_slot(TUG__SLOT_OFFLOAD);
    pthread_mutex_lock(&crew->lock);
    bool was_queued = job->state == JOB_QUEUED;
    if (was_queued) {
        list_remove(&crew->queued, job);
        crew->queued_count--;
        job->state = JOB_IDLE;
    }
    pthread_mutex_unlock(&crew->lock);
    if (was_queued && !job->is_abandoned) {
        tug__loop->outside--;
    }
    return was_queued;
}

void tug__offload_abandon(struct tug__job *job)
{
    assert(job->orphan != NULL && "this job must be waited for");
    if (!job->is_abandoned) {
        job->is_abandoned = true;
        tug__loop->outside--;
    }
}

int tug_offload_configure(const tug_offload_options *given)
{
    tug_offload_options o = TUG_OFFLOAD_OPTIONS_INIT;
    struct crew *crew = NULL;
    if (given != NULL) {
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    if (o.max_threads < 1 || o.max_threads > THREADS_LIMIT || o.min_threads > o.max_threads) {
        return tug_fail(TUG_EINVAL, "%zu to %zu threads: 1 to %d are possible", o.min_threads,
                        o.max_threads, THREADS_LIMIT);
    }
    if (o.max_queued < 1 || o.max_queued > QUEUED_LIMIT) {
        return tug_fail(TUG_EINVAL, "%zu waiting calls: 1 to %d are possible", o.max_queued,
                        QUEUED_LIMIT);
    }
    int rc = get_crew(&crew);
    if (rc == 0) {
        pthread_mutex_lock(&crew->lock);
        crew->o = o;
        while (crew->thread_count < o.min_threads) {
            size_t before = crew->thread_count;
            add_thread(crew);
            if (crew->thread_count == before) {
                rc = tug_fail(TUG_ELIMIT, "no more than %zu threads can be made", before);
                break;
            }
        }
        pthread_cond_broadcast(&crew->work); /* whoever is too many ends now */
        pthread_mutex_unlock(&crew->lock);
    }
    return rc;
}
