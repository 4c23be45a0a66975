/* What: the signal hub. The process has, for each signal, a counter and a number of watches; each loop has a
 * place with an eventfd and the set of signals that it watches. The handler touches only these atomics:
 * it counts, and writes to the eventfds of the loops that watch the signal. */
#include "loop/signal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

enum {
    NUMBERS = 64,      /* Linux has signals 1 to 64 */
    PLACES_MAX = 512,  /* loops with signals: the handler walks them */
    AT_MOST_TWICE = 2, /* "once" and "again" is all that anybody acts on */
    NO_FD = -1
};

struct place {
    atomic_int fd; /* NO_FD: nobody's */
    _Atomic uint64_t mask;
};

/* What the handler touches. */
static atomic_uint counts[NUMBERS];
static struct place places[PLACES_MAX];
static atomic_int places_used; /* the ones behind were never used */
static atomic_int handlers;    /* that run now, on any thread */

/* Whose signals they were before us. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before[NUMBERS];
static size_t watched[NUMBERS]; /* by how many watches of all loops */

/* Of one loop. */
struct hub {
    struct place *place;
    tug_io *io;
    int fd;
    struct tug__signal_watch *watches;
    struct tug__signal_watch *next; /* of a round of calls: unsubscribe moves it on */
    unsigned seen[NUMBERS];
};

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

/* --- in the handler ----------------------------------------------------------------------------- */

static void on_signal(int number)
{
    int saved = errno;
    atomic_fetch_add(&handlers, 1);
    atomic_fetch_add(&counts[number - 1], 1);
    int n = atomic_load(&places_used);
    for (int i = 0; i < n; i++) {
        int fd = atomic_load(&places[i].fd);
        if (fd != NO_FD && (atomic_load(&places[i].mask) & bit(number)) != 0) {
            const uint64_t one = 1;
            ssize_t written = write(fd, &one, sizeof one);
            (void)written;
        }
    }
    atomic_fetch_sub(&handlers, 1);
    errno = saved;
}

/* --- the process's side ------------------------------------------------------------------------- */

/* A handler may have read a place's fd and not written yet: before the number goes to another file, it
 * must be through. */
static void wait_for_handlers(void)
{
    while (atomic_load(&handlers) != 0) {
        sched_yield();
    }
}

static void give_back(int number)
{
    struct sigaction now;
    /* Whoever has put another handler over ours keeps it. */
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == on_signal) {
        sigaction(number, &before[number - 1], NULL);
    }
}

static void release_signals(uint64_t mask)
{
    pthread_mutex_lock(&lock);
    for (int number = 1; number <= NUMBERS; number++) {
        if ((mask & bit(number)) != 0 && --watched[number - 1] == 0) {
            give_back(number);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* All or none. The places' masks are set before, so that a signal is not counted for nobody. */
static int claim_signals(uint64_t mask)
{
    /* SA_ONSTACK: a task's stack may be nearly full, and other runtimes in the process want it. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    uint64_t claimed = 0;
    int rc = 0;
    pthread_mutex_lock(&lock);
    for (int number = 1; rc == 0 && number <= NUMBERS; number++) {
        if ((mask & bit(number)) == 0) {
            continue;
        }
        if (watched[number - 1] == 0 && sigaction(number, &action, &before[number - 1]) < 0) {
            rc = tug_fail(TUG_EINVAL, "signal %d cannot be watched: %s", number,
                          strerrordesc_np(errno));
        } else {
            watched[number - 1]++;
            claimed |= bit(number);
        }
    }
    pthread_mutex_unlock(&lock);
    if (rc < 0) {
        release_signals(claimed);
    }
    return rc;
}

static struct place *find_place(int fd)
{
    struct place *found = NULL;
    pthread_mutex_lock(&lock);
    int used = atomic_load(&places_used);
    for (int i = 0; i < used && found == NULL; i++) {
        if (atomic_load(&places[i].fd) == NO_FD) {
            found = &places[i];
        }
    }
    if (found == NULL && used < PLACES_MAX) {
        found = &places[used];
    }
    if (found != NULL) {
        atomic_store(&found->mask, 0);
        atomic_store(&found->fd, fd);
        if (found == &places[used]) {
            atomic_store(&places_used, used + 1);
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* --- the loop's side ---------------------------------------------------------------------------- */

static void tell(struct hub *hub, int number)
{
    for (struct tug__signal_watch *w = hub->watches; w != NULL; w = hub->next) {
        hub->next = w->next;
        if ((w->mask & bit(number)) != 0) {
            w->fn(number, w->arg);
        }
    }
}

static void on_wake(tug_io *io, unsigned ready, void *arg)
{
    struct hub *hub = arg;
    uint64_t n;
    (void)io;
    (void)ready;
    /* Read first: what is counted after this writes again. */
    ssize_t got = read(hub->fd, &n, sizeof n);
    (void)got;
    for (int number = 1; number <= NUMBERS; number++) {
        unsigned now = atomic_load(&counts[number - 1]);
        unsigned times = now - hub->seen[number - 1];
        hub->seen[number - 1] = now;
        for (unsigned i = 0; i < times && i < AT_MOST_TWICE; i++) {
            tell(hub, number);
        }
    }
}

static void hub_free(struct hub *hub)
{
    if (hub->place != NULL) {
        atomic_store(&hub->place->mask, 0);
        atomic_store(&hub->place->fd, NO_FD);
        wait_for_handlers();
    }
    tug_io_close(hub->io);
    if (hub->fd >= 0) {
        close(hub->fd);
    }
    tug_free(hub);
}

static void hub_end(void *value)
{
    struct hub *hub = value;
    while (hub->watches != NULL) {
        struct tug__signal_watch *w = hub->watches;
        tug__signal_unsubscribe(w);
        if (w->is_hubs) {
            tug_free(w);
        }
    }
    hub_free(hub);
}

static int hub_fill(struct hub *hub)
{
    hub->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (hub->fd < 0) {
        int code = tug_error_from_errno(errno);
        return tug_fail(code, "no eventfd for signals: %s", tug_error_text(code));
    }
    int rc = tug_io_open(hub->fd, on_wake, hub, &hub->io);
    if (rc == 0) {
        rc = tug_io_want(hub->io, TUG_READ);
    }
    if (rc == 0) {
        hub->place = find_place(hub->fd);
        if (hub->place == NULL) {
            rc = tug_fail(TUG_ELIMIT, "%d loops of this process watch signals already", PLACES_MAX);
        }
    }
    return rc;
}

static int hub_of_loop(struct hub **ret_hub)
{
    struct hub *hub = *tug__loop_slot(TUG__SLOT_SIGNALS);
    if (hub == NULL) {
        hub = tug_calloc(1, sizeof *hub);
        if (hub == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for signals");
        }
        int rc = hub_fill(hub);
        if (rc < 0) {
            hub_free(hub);
            return rc;
        }
        tug__loop_slot_set(TUG__SLOT_SIGNALS, hub, hub_end);
    }
    *ret_hub = hub;
    return 0;
}

static uint64_t mask_of(const struct hub *hub)
{
    uint64_t mask = 0;
    for (const struct tug__signal_watch *w = hub->watches; w != NULL; w = w->next) {
        mask |= w->mask;
    }
    return mask;
}

/* Those that end the process, or stand for a fault that comes again when the handler returns. */
static bool can_be_watched(int number)
{
    switch (number) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT:
        return false;
    default:
        return number >= 1 && number <= NUMBERS;
    }
}

int tug__signal_subscribe(struct tug__signal_watch *w, const int *numbers, size_t n,
                          void (*fn)(int number, void *arg), void *arg)
{
    assert(w->at_prev == NULL && "a watch is subscribed once");
    uint64_t mask = 0;
    struct hub *hub = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!can_be_watched(numbers[i])) {
            return tug_fail(TUG_EINVAL, "signal %d cannot be watched", numbers[i]);
        }
        mask |= bit(numbers[i]);
    }
    int rc = hub_of_loop(&hub);
    if (rc < 0) {
        return rc;
    }
    /* What came before does not count for a signal that this loop had no watch for. */
    uint64_t had = mask_of(hub);
    for (int number = 1; number <= NUMBERS; number++) {
        if ((mask & ~had & bit(number)) != 0) {
            hub->seen[number - 1] = atomic_load(&counts[number - 1]);
        }
    }
    atomic_store(&hub->place->mask, had | mask);
    rc = claim_signals(mask);
    if (rc < 0) {
        atomic_store(&hub->place->mask, had);
        return rc;
    }
    w->mask = mask;
    w->fn = fn;
    w->arg = arg;
    w->next = hub->watches;
    w->at_prev = &hub->watches;
    if (w->next != NULL) {
        w->next->at_prev = &w->next;
    }
    hub->watches = w;
    return 0;
}

void tug__signal_unsubscribe(struct tug__signal_watch *w)
{
    if (w->at_prev == NULL) {
        return;
    }
    struct hub *hub = *tug__loop_slot(TUG__SLOT_SIGNALS);
    if (hub->next == w) {
        hub->next = w->next;
    }
    *w->at_prev = w->next;
    if (w->next != NULL) {
        w->next->at_prev = w->at_prev;
    }
    w->at_prev = NULL;
    atomic_store(&hub->place->mask, mask_of(hub));
    release_signals(w->mask);
}

/* --- for the rest of the core ------------------------------------------------------------------- */

int tug__signal_watch(int number, void (*fn)(int number, void *arg), void *arg)
{
    if (!tug_has_loop("tug__signal_watch")) {
        return TUG_EMISUSE;
    }
    struct tug__signal_watch *w = tug_calloc(1, sizeof *w);
    if (w == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for signals");
    }
    int rc = tug__signal_subscribe(w, &number, 1, fn, arg);
    if (rc < 0) {
        tug_free(w);
        return rc;
    }
    w->is_hubs = true;
    return 0;
}
