/* What: interest in file descriptors over libevent, level-triggered, changed by difference. */
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "loop/loop.h"

struct tug_io {
    struct event read_event;
    struct event write_event;
    struct tug_loop *loop;
    struct tug_io *next, **at_prev; /* of the loop */
    void (*fn)(tug_io *io, unsigned ready, void *arg);
    void *arg;
    unsigned wanted;
};

/* fn may close the io: nothing is touched after it. */
static void on_event(evutil_socket_t fd, short what, void *arg)
{
    tug_io *io = arg;
    struct tug_loop *loop = io->loop;
    (void)fd;
    loop->io_events++;
    tug__loop_step(loop);
    tug__loop_set_idle(loop, false);
    if (loop->wants_kick) { /* in an attached loop nobody else has looked at the clock */
        tug__loop_read_clock(loop);
        tug__loop_kick(loop);
    }
    io->fn(io, ((what & EV_READ) != 0 ? TUG_READ : 0u) | ((what & EV_WRITE) != 0 ? TUG_WRITE : 0u),
           io->arg);
    tug__loop_set_idle(loop, true); /* the poll goes on */
}

int tug_io_open(int fd, void (*fn)(tug_io *io, unsigned ready, void *arg), void *arg,
                tug_io **ret_io)
{
    if (!tug_has_loop("tug_io_open")) {
        return TUG_EMISUSE;
    }
    tug_io *io = tug_calloc(1, sizeof *io);
    if (io == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a connection");
    }
    io->loop = tug__loop;
    io->fn = fn;
    io->arg = arg;
    event_assign(&io->read_event, io->loop->base, fd, EV_READ | EV_PERSIST, on_event, io);
    event_assign(&io->write_event, io->loop->base, fd, EV_WRITE | EV_PERSIST, on_event, io);
    io->next = io->loop->ios;
    io->at_prev = &io->loop->ios;
    if (io->next != NULL) {
        io->next->at_prev = &io->next;
    }
    io->loop->ios = io;
    *ret_io = io;
    return 0;
}

static int change(struct event *e, bool add)
{
    errno = 0;
    if ((add ? event_add(e, NULL) : event_del(e)) == 0) {
        return 0;
    }
    int code = errno != 0 ? tug_error_from_errno(errno) : TUG_ENOMEM;
    return tug_fail(code, "cannot watch file descriptor %d: %s", (int)event_get_fd(e),
                    tug_error_text(code));
}

int tug_io_want(tug_io *io, unsigned want)
{
    if (!tug__is_here(io->loop, "tug_io_want")) {
        return TUG_EMISUSE;
    }
    unsigned differs = io->wanted ^ want;
    int rc = 0;
    if ((differs & TUG_READ) != 0) {
        rc = change(&io->read_event, (want & TUG_READ) != 0);
        if (rc == 0) {
            io->wanted ^= TUG_READ;
        }
    }
    if (rc == 0 && (differs & TUG_WRITE) != 0) {
        rc = change(&io->write_event, (want & TUG_WRITE) != 0);
        if (rc == 0) {
            io->wanted ^= TUG_WRITE;
        }
    }
    return rc;
}

unsigned tug_io_wanted(const tug_io *io)
{
    return io->wanted;
}

void tug_io_close(tug_io *io)
{
    if (io == NULL) {
        return;
    }
    if (io->loop == NULL) { /* it has outlived its loop */
        tug_free(io);
        return;
    }
    assert(io->loop == tug__loop && "an io is closed on its loop's thread");
    event_del(&io->read_event);
    event_del(&io->write_event);
    *io->at_prev = io->next;
    if (io->next != NULL) {
        io->next->at_prev = io->at_prev;
    }
    tug_free(io);
}

void tug__io_silence(struct tug_loop *loop)
{
    for (tug_io *io = loop->ios; io != NULL; io = io->next) {
        event_del(&io->read_event);
        event_del(&io->write_event);
    }
}

void tug__io_leave(struct tug_loop *loop)
{
    tug__io_silence(loop);
    while (loop->ios != NULL) {
        tug_io *io = loop->ios;
        loop->ios = io->next;
        io->loop = NULL;
    }
}
