/* What: posts from other threads. A list that anybody pushes to and the loop takes as a whole, and an
 * eventfd that is written only while the loop sleeps.
 *
 * Why no wake-up is lost: the loop says that it sleeps and then looks at the list once more; a thread
 * pushes and then looks whether the loop sleeps. Both are sequentially consistent, so at least one of
 * the two sees the other. Whoever turns `asleep` off writes, so a burst costs one write. */
#include "loop/remote.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

enum {
    BATCH = TUG__RUN_CHUNK, /* posts between two looks at the clock, as with tasks */
    POSTS_MAX = 1000000     /* more than this is a producer that nothing holds back */
};

struct tug_remote {
    _Atomic(tug_post *) head; /* the latest post; &closed: takes no more */
    atomic_bool asleep;       /* the loop waits in poll, or is about to */
    atomic_size_t refs;
    atomic_size_t allocated; /* posts of tug_remote_post that have not run */
    int event_fd;            /* lives as long as anybody who may write to it */
    tug_post stop;
    _Atomic(tug_duration) stop_drain;

    /* The loop's side. */
    struct tug_loop *loop;
    tug_io *io;
    tug_post *ready, **ready_tail; /* taken, in order, not run yet */
    tug_call call;
    uint64_t wakeups;
};

static tug_post closed; /* its address only */

/* --- any thread --------------------------------------------------------------------------------- */

tug_remote *tug_remote_ref(tug_remote *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

tug_remote *tug_remote_unref(tug_remote *r)
{
    if (r != NULL && atomic_fetch_sub(&r->refs, 1) == 1) {
        close(r->event_fd);
        tug_free(r);
    }
    return NULL;
}

bool tug__remote_push(struct tug_remote *r, tug_post *p)
{
    /* Acquires: whoever finds it closed goes on with what the loop has let go of before, and may free it. */
    tug_post *head = atomic_load_explicit(&r->head, memory_order_acquire);
    do {
        if (head == &closed) {
            return false;
        }
        p->next = head;
    } while (!atomic_compare_exchange_weak(&r->head, &head, p));
    /* From here on p may have run and be gone. */
    if (atomic_load(&r->asleep) && atomic_exchange(&r->asleep, false)) {
        const uint64_t one = 1;
        ssize_t n = write(r->event_fd, &one, sizeof one);
        (void)n; /* it fails only when 2^64 - 2 wake-ups are unread: then it is readable */
    }
    return true;
}

static int refuse(void)
{
    return tug_fail(TUG_ECLOSED, "the loop of this remote has ended");
}

int tug_remote_post_own(tug_remote *r, tug_post *p)
{
    if (__atomic_exchange_n(&p->is_queued, 1, __ATOMIC_ACQ_REL) != 0) {
        return 0; /* its call will see whatever this thread has done before */
    }
    if (!tug__remote_push(r, p)) {
        __atomic_store_n(&p->is_queued, 0, __ATOMIC_RELEASE);
        return refuse();
    }
    return 0;
}

struct heap_post {
    tug_post post;
    void (*fn)(void *arg);
    void *arg;
    tug_remote *remote;
};

static void run_heap_post(void *arg)
{
    struct heap_post *h = arg;
    void (*fn)(void *arg) = h->fn;
    void *fn_arg = h->arg;
    atomic_fetch_sub_explicit(&h->remote->allocated, 1, memory_order_relaxed);
    tug_free(h);
    fn(fn_arg);
}

int tug_remote_post(tug_remote *r, void (*fn)(void *arg), void *arg)
{
    if (atomic_fetch_add_explicit(&r->allocated, 1, memory_order_relaxed) >= POSTS_MAX) {
        atomic_fetch_sub_explicit(&r->allocated, 1, memory_order_relaxed);
        return tug_fail(TUG_ELIMIT, "%d posts wait for the loop already", POSTS_MAX);
    }
    struct heap_post *h = tug_alloc(sizeof *h);
    if (h != NULL) {
        *h = (struct heap_post){.post = {.fn = run_heap_post, .arg = h, .is_queued = 1},
                                .fn = fn,
                                .arg = arg,
                                .remote = r};
        if (tug__remote_push(r, &h->post)) {
            return 0;
        }
    }
    atomic_fetch_sub_explicit(&r->allocated, 1, memory_order_relaxed);
    tug_free(h);
    return h == NULL ? tug_fail(TUG_ENOMEM, "out of memory for a post") : refuse();
}

static void stop_here(void *arg)
{
    tug_remote *r = arg;
    tug__loop_stop(r->loop, atomic_load(&r->stop_drain));
}

int tug_remote_stop(tug_remote *r, tug_duration drain)
{
    atomic_store(&r->stop_drain, drain);
    return tug_remote_post_own(r, &r->stop);
}

/* --- the loop's thread -------------------------------------------------------------------------- */

static void run_posts(void *arg);

/* What was posted goes behind what was taken before, in the order of the posts. */
static void take(struct tug_remote *r, tug_post *next_head)
{
    tug_post *latest = atomic_exchange(&r->head, next_head);
    tug_post *in_order = NULL, *last = latest;
    if (latest == NULL || latest == &closed) {
        return;
    }
    while (latest != NULL) {
        tug_post *before = latest->next;
        latest->next = in_order;
        in_order = latest;
        latest = before;
    }
    *r->ready_tail = in_order;
    r->ready_tail = &last->next;
}

/* One batch; the rest comes behind the tasks that are in the run queue now. */
static void run_posts(void *arg)
{
    struct tug_remote *r = arg;
    if (atomic_load_explicit(&r->head, memory_order_relaxed) != &closed) {
        take(r, NULL);
    }
    for (int i = 0; i < BATCH && r->ready != NULL; i++) {
        tug_post *p = r->ready;
        r->ready = p->next;
        if (r->ready == NULL) {
            r->ready_tail = &r->ready;
        }
        void (*fn)(void *arg) = p->fn;
        void *fn_arg = p->arg;
        tug__error_plain(tug__error_current(), 0); /* each has a detail of its own */
        /* Acquires what a thread did before it posted once more and found this one under way. */
        (void)__atomic_exchange_n(&p->is_queued, 0, __ATOMIC_ACQ_REL);
        fn(fn_arg);
    }
    if (r->ready != NULL) {
        tug_call_soon(&r->call, run_posts, r);
    }
}

bool tug__remote_sleep(struct tug_remote *r)
{
    atomic_store(&r->asleep, true);
    tug_post *head = atomic_load(&r->head);
    return head == NULL || head == &closed;
}

void tug__remote_awake(struct tug_remote *r)
{
    atomic_store_explicit(&r->asleep, false, memory_order_relaxed);
    tug_post *head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head != NULL && head != &closed) {
        tug_call_soon(&r->call, run_posts, r);
    }
}

void tug__remote_close(struct tug_remote *r)
{
    take(r, &closed);
    if (r->ready != NULL) {
        tug_call_soon(&r->call, run_posts, r);
    }
}

uint64_t tug__remote_wakeups(const struct tug_remote *r)
{
    return r->wakeups;
}

/* Only what ended the poll: the list is looked at after each one. */
static void on_wake(tug_io *io, unsigned ready, void *arg)
{
    struct tug_remote *r = arg;
    uint64_t times;
    (void)io;
    (void)ready;
    ssize_t n = read(r->event_fd, &times, sizeof times);
    r->wakeups += n > 0;
}

static void remote_end(void *value)
{
    struct tug_remote *r = value;
    /* The end of the loop has closed it; a loop that never ran has nobody who could have posted. */
    tug__remote_close(r);
    tug_call_forget(&r->call);
    tug_io_close(r->io);
    r->loop->remote = NULL;
    r->loop = NULL;
    tug_remote_unref(r);
}

int tug__remote_get(struct tug_remote **ret_remote)
{
    struct tug_loop *loop = tug__loop;
    if (loop->remote != NULL) {
        *ret_remote = loop->remote;
        return 0;
    }
    struct tug_remote *r = tug_calloc(1, sizeof *r);
    if (r == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a remote");
    }
    atomic_init(&r->refs, 1);
    r->loop = loop;
    r->ready_tail = &r->ready;
    r->stop = (tug_post){.fn = stop_here, .arg = r};
    r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->event_fd < 0) {
        int code = tug_error_from_errno(errno);
        tug_free(r);
        return tug_fail(code, "no eventfd for posts to a loop: %s", tug_error_text(code));
    }
    int rc = tug_io_open(r->event_fd, on_wake, r, &r->io);
    if (rc == 0) {
        rc = tug_io_want(r->io, TUG_READ);
    }
    if (rc < 0) {
        tug_io_close(r->io);
        tug_remote_unref(r);
        return rc;
    }
    loop->remote = r;
    tug__loop_slot_set(TUG__SLOT_REMOTE, r, remote_end);
    tug__loop_touch(loop); /* an attached loop may sleep already: a pass says so */
    *ret_remote = r;
    return 0;
}

int tug_remote_new(tug_remote **ret_remote)
{
    struct tug_remote *r = NULL;
    int rc = tug_has_loop("tug_remote_new") ? tug__remote_get(&r) : TUG_EMISUSE;
    if (rc == 0) {
        *ret_remote = tug_remote_ref(r);
    }
    return rc;
}
