#include "loop/signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

static const int watched[] = {SIGTERM, SIGINT};
enum {
    WATCHED = sizeof watched / sizeof watched[0]
};

struct tug__signals {
    struct tug_loop *loop;
    void (*fn)(struct tug_loop *loop, int signal);
    tug_io *io;
    int fd;
    int seen[WATCHED];
    struct sigaction before[WATCHED];
};

/* What the handler may touch: counters and the fd that wakes the loop. */
static atomic_int counts[WATCHED];
static atomic_int wake_fd = -1;

static void on_signal(int signal)
{
    int saved = errno;
    for (int i = 0; i < WATCHED; i++) {
        if (watched[i] == signal) {
            atomic_fetch_add(&counts[i], 1);
        }
    }
    int fd = atomic_load(&wake_fd);
    if (fd >= 0) {
        uint64_t one = 1;
        ssize_t n = write(fd, &one, sizeof one);
        (void)n;
    }
    errno = saved;
}

static void on_wake(tug_io *io, unsigned ready, void *arg)
{
    struct tug__signals *s = arg;
    uint64_t n;
    (void)io;
    (void)ready;
    while (read(s->fd, &n, sizeof n) > 0) {
    }
    for (int i = 0; i < WATCHED; i++) {
        int now = atomic_load(&counts[i]);
        while (s->seen[i] != now) {
            s->seen[i]++;
            s->fn(s->loop, watched[i]);
        }
    }
}

int tug__signals_open(struct tug_loop *loop, void (*fn)(struct tug_loop *loop, int signal),
                      struct tug__signals **ret)
{
    struct tug__signals *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for the signals");
    }
    s->loop = loop;
    s->fn = fn;
    s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = s->fd < 0 ? tug_fail(tug_error_from_errno(errno), "no eventfd for the signals")
                       : tug_io_open(s->fd, on_wake, s, &s->io);
    if (rc == 0) {
        rc = tug_io_want(s->io, TUG_READ);
    }
    int none = -1;
    if (rc == 0 && !atomic_compare_exchange_strong(&wake_fd, &none, s->fd)) {
        rc = tug_fail(TUG_EMISUSE, "tug_main runs once at a time in a process");
    }
    if (rc < 0) {
        tug_io_close(s->io);
        if (s->fd >= 0) {
            close(s->fd);
        }
        tug_free(s);
        return rc;
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < WATCHED; i++) {
        s->seen[i] = atomic_load(&counts[i]);
        sigaction(watched[i], &action, &s->before[i]);
    }
    *ret = s;
    return 0;
}

void tug__signals_close(struct tug__signals *s)
{
    if (s == NULL) {
        return;
    }
    for (int i = 0; i < WATCHED; i++) {
        sigaction(watched[i], &s->before[i], NULL);
    }
    atomic_store(&wake_fd, -1);
    tug_io_close(s->io);
    close(s->fd);
    tug_free(s);
}
