/* What: a pool of threads per loop. One lock guards everything that both sides touch; finished jobs
 * go back in batches through one eventfd, written only when no wake-up is on its way already.
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
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "loop/loop.h"

enum {
    THREADS_MAX = 8, /* blocking calls are few and long: more threads only add contention */
    HANGING_MAX = 4, /* of them for what may hang: a dead name server must not stop file reads, nor
                          logins at servers whose addresses are known */
    QUEUED_MAX = 4096, /* more callers than this wait on something that does not move */
    IDLE_SECONDS = 10  /* then a thread ends: a program that resolves once keeps none */
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
    pthread_t thread;
    bool is_used; /* the place in the array is taken */
    bool is_busy; /* runs a job */
};

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_list queued, posted;
    struct worker workers[THREADS_MAX];
    size_t queued_count;
    size_t hanging_count; /* running jobs that may hang */
    size_t idle_count;    /* threads in the wait, woken ones included until they have the lock */
    size_t holders;       /* the loop and each thread: the last one frees */
    bool is_wake_pending;
    bool is_ending;
    int event_fd;
    tug_io *io;
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
        tug_free(crew);
    }
}

/* The oldest job that may run now, with the lock held. */
static struct tug__job *first_job(const struct crew *crew)
{
    struct tug__job *job = crew->queued.first;
    while (job != NULL && job->may_hang && crew->hanging_count >= HANGING_MAX) {
        job = job->next;
    }
    return job;
}

/* Waits for a job, with the lock held. NULL: this thread is to end. */
static struct tug__job *next_job(struct crew *crew)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    int rc = 0;
    while (first_job(crew) == NULL && !crew->is_ending && rc == 0) {
        crew->idle_count++;
        rc = pthread_cond_timedwait(&crew->work, &crew->lock, &until);
        crew->idle_count--;
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

/* Hands a finished job to the loop, with the lock held. */
static void post(struct crew *crew, struct tug__job *job)
{
    job->state = JOB_POSTED;
    list_push(&crew->posted, job);
    if (!crew->is_wake_pending) {
        crew->is_wake_pending = true;
        const uint64_t one = 1;
        ssize_t n = write(crew->event_fd, &one, sizeof one);
        assert(n == (ssize_t)sizeof one && "an eventfd that is read in time does not overflow");
        (void)n;
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct crew *crew = w->crew;
    struct tug__job *job;
    pthread_mutex_lock(&crew->lock);
    while ((job = next_job(crew)) != NULL) {
        w->is_busy = true;
        pthread_mutex_unlock(&crew->lock);
        job->run(job);
        pthread_mutex_lock(&crew->lock);
        w->is_busy = false;
        crew->hanging_count -= job->may_hang;
        if (crew->is_ending) {
            pthread_mutex_unlock(&crew->lock);
            job->orphan(job);
            pthread_mutex_lock(&crew->lock);
            break;
        }
        post(crew, job);
    }
    if (!crew->is_ending) {
        pthread_detach(pthread_self()); /* ended for want of work: nobody will join it */
    }
    w->is_used = false;
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

/* With the lock held. True if there is a thread for the job, a new one or one that will be free. */
static bool find_thread(struct crew *crew)
{
    bool has_any = false;
    if (crew->idle_count > crew->queued_count) {
        return true;
    }
    struct worker *place = NULL;
    for (size_t i = 0; i < THREADS_MAX; i++) {
        has_any = has_any || crew->workers[i].is_used;
        if (!crew->workers[i].is_used) {
            place = &crew->workers[i];
        }
    }
    if (place == NULL) {
        return true;
    }
    sigset_t old;
    *place = (struct worker){.crew = crew};
    block_signals(&old);
    int rc = pthread_create(&place->thread, NULL, work, place);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        place->is_used = true;
        crew->holders++;
        pthread_setname_np(place->thread, "tug-offload");
    }
    return rc == 0 || has_any;
}

static void finish(struct tug__job *job)
{
    if (!job->is_abandoned) {
        tug__loop->outside--;
    }
    job->state = JOB_IDLE;
    job->next = job->prev = NULL;
    job->done(job);
}

static void on_wake(tug_io *io, unsigned ready, void *arg)
{
    struct crew *crew = arg;
    uint64_t times;
    (void)io;
    (void)ready;
    /* Read first, then clear the flag: a job that is posted in between is in the batch. */
    ssize_t n = read(crew->event_fd, &times, sizeof times);
    (void)n;
    pthread_mutex_lock(&crew->lock);
    struct tug__job *job = crew->posted.first;
    crew->posted = (struct job_list){NULL, NULL};
    crew->is_wake_pending = false;
    pthread_mutex_unlock(&crew->lock);
    while (job != NULL) {
        struct tug__job *next = job->next;
        finish(job);
        job = next;
    }
}

/* Jobs that nobody waits for and that no thread has. */
static void orphan_all(struct tug__job *job)
{
    while (job != NULL) {
        struct tug__job *next = job->next;
        assert(job->orphan != NULL && "the task that waits for this job has ended before it");
        job->orphan(job);
        job = next;
    }
}

/* The loop ends. */
static void crew_end(void *value)
{
    struct crew *crew = value;
    pthread_t idle[THREADS_MAX];
    size_t idle_count = 0;
    tug_io_close(crew->io);
    pthread_mutex_lock(&crew->lock);
    crew->is_ending = true;
    struct tug__job *queued = crew->queued.first, *posted = crew->posted.first;
    crew->queued = crew->posted = (struct job_list){NULL, NULL};
    for (size_t i = 0; i < THREADS_MAX; i++) {
        struct worker *w = &crew->workers[i];
        if (w->is_used && w->is_busy) {
            pthread_detach(w->thread);
        } else if (w->is_used) {
            idle[idle_count++] = w->thread;
        }
    }
    pthread_cond_broadcast(&crew->work);
    close(crew->event_fd);
    let_go(crew);
    /* Joined, so that nothing of theirs is left when the loop has ended: leak checks count on it.
     */
    for (size_t i = 0; i < idle_count; i++) {
        pthread_join(idle[i], NULL);
    }
    orphan_all(queued);
    orphan_all(posted);
}

static int open_wake(struct crew *crew)
{
    crew->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (crew->event_fd < 0) {
        int code = tug_error_from_errno(errno);
        return tug_fail(code, "no eventfd for threads: %s", tug_error_text(code));
    }
    int rc = tug_io_open(crew->event_fd, on_wake, crew, &crew->io);
    if (rc == 0) {
        rc = tug_io_want(crew->io, TUG_READ);
    }
    if (rc < 0) {
        tug_io_close(crew->io);
        close(crew->event_fd);
    }
    return rc;
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
    int rc = open_wake(crew);
    if (rc < 0) {
        tug_free(crew);
        return rc;
    }
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
    if (crew->queued_count >= QUEUED_MAX) {
        rc = tug_fail(TUG_ELIMIT, "%d blocking calls wait for a thread already", QUEUED_MAX);
    } else if (!find_thread(crew)) {
        rc = tug_fail(TUG_ELIMIT, "no thread can be made for a blocking call");
    } else {
        job->state = JOB_QUEUED;
        job->is_abandoned = false;
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
