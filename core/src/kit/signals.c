/* What: tug_signal: the signals that came, one bit each, and the tasks that wait for them. At most one of
 * these holds: a signal is pending, tasks wait. */
#include <tug/signal.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "loop/signal.h"

struct tug_signal {
    struct tug_loop *loop;
    struct tug__signal_watch watch;
    tug_stop_hook stop;
    uint64_t pending;    /* bit number - 1 */
    tug_waiters waiters; /* slot: int *, where the number goes */
    size_t users;        /* tasks inside next: they may not have run yet since the close */
    bool is_closed;
};

static void on_signal(int number, void *arg)
{
    tug_signal *s = arg;
    int *to = tug_waiters_slot(&s->waiters);
    if (to != NULL) {
        *to = number;
        tug_unpark_first(&s->waiters, 1, NULL);
    } else {
        s->pending |= UINT64_C(1) << (number - 1);
    }
}

static void on_stop(void *arg)
{
    tug_signal *s = arg;
    tug_unpark_all(&s->waiters, 0, NULL);
}

int tug_signal_open(const int *numbers, size_t n, tug_signal **ret_signal)
{
    if (!tug_has_loop("tug_signal_open")) {
        return TUG_EMISUSE;
    }
    if (n == 0) {
        return tug_fail(TUG_EINVAL, "tug_signal_open: no signals");
    }
    tug_signal *s = tug_calloc(1, sizeof *s);
    if (s == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for signals");
    }
    int rc = tug__signal_subscribe(&s->watch, numbers, n, on_signal, s);
    if (rc < 0) {
        tug_free(s);
        return rc;
    }
    s->loop = tug__loop;
    tug_on_stop(&s->stop, on_stop, s);
    *ret_signal = s;
    return 0;
}

static int next(tug_signal *s, int *ret_number)
{
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (s->is_closed) {
        return tug_fail(TUG_ECLOSED, "tug_signal_next: closed");
    }
    if (s->pending != 0) {
        int number = __builtin_ctzll(s->pending) + 1;
        s->pending &= s->pending - 1;
        *ret_number = number;
        return 1;
    }
    return tug_is_stopping() ? 0 : tug_park(&s->waiters, ret_number, "signal");
}

int tug_signal_next(tug_signal *s, int *ret_number)
{
    if (!tug__is_here(s->loop, "tug_signal_next")) {
        return TUG_EMISUSE;
    }
    s->users++;
    int rc = next(s, ret_number);
    s->users--;
    if (s->is_closed && s->users == 0) {
        tug_free(s);
    }
    return rc;
}

void tug_signal_close(tug_signal *s)
{
    if (s == NULL || s->is_closed) {
        return;
    }
    /* After the end of its loop nothing is left to undo but the memory. */
    if (s->watch.at_prev != NULL) {
        if (!tug__is_here_void(s->loop, "tug_signal_close")) {
            return;
        }
        tug__signal_unsubscribe(&s->watch);
        tug_on_stop_forget(&s->stop);
    }
    s->is_closed = true;
    tug_unpark_all(&s->waiters, TUG_ECLOSED, NULL);
    if (s->users == 0) {
        tug_free(s);
    }
}
