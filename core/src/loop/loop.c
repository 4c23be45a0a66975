#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <tug/sys/alloc.h>
#include <unistd.h>

#include "loop/remote.h"

enum {
    RING_FIRST = 64
};

__thread struct tug_loop *tug__loop __attribute__((tls_model("initial-exec")));

#if defined(TUG_TORTURE)
void (*tug__loop_opened)(struct tug_loop *loop);
#endif

static tug_time real_clock(struct tug_loop *loop)
{
    struct timespec ts;
    (void)loop;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (tug_time)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

tug_time tug__loop_read_clock(struct tug_loop *loop)
{
    loop->now = loop->clock(loop);
    tug__calendar_anchor(&loop->calendar, loop->now);
    return loop->now;
}

tug_time tug_now(void)
{
    return tug__loop != NULL ? tug__loop_read_clock(tug__loop) : real_clock(NULL);
}

tug_time tug_turn_time(void)
{
    /* Between two passes of an attached loop there is no turn whose time it could be. */
    return tug__loop->wants_kick ? tug__loop_read_clock(tug__loop) : tug__loop->now;
}

bool tug_has_loop(const char *what)
{
    if (tug__loop != NULL) {
        return true;
    }
    tug_fail(TUG_EMISUSE,
             "%s needs a loop: call it inside tug_main or tug_run, on the loop's thread", what);
    return false;
}

/* --- life -------------------------------------------------------------------------------------- */

static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
    struct tug_loop *loop = arg;
    uint64_t times;
    (void)what;
    /* Only to make it unreadable: the turn looks at the calendar anyway. */
    ssize_t n = read(fd, &times, sizeof times);
    (void)n;
    loop->timer_armed = TUG_FOREVER;
    tug__loop_touch(loop);
}

static int own_base(struct tug_loop *loop)
{
    struct event_config *config = event_config_new();
    if (config == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    /* One thread a loop: libevent's locks would cost and protect nothing. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (loop->base == NULL) {
        return tug_fail(TUG_ENOMEM, "libevent gives no event base");
    }
    loop->owns_base = true;
    return 0;
}

static int open_base(struct tug_loop *loop, struct event_base *base)
{
    loop->base = base;
    int rc = base == NULL ? own_base(loop) : 0;
    if (rc < 0) {
        return rc;
    }
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->timer_fd < 0) {
        int code = tug_error_from_errno(errno);
        return tug_fail(code, "no timer for a loop: %s", tug_error_text(code));
    }
    loop->timer_event = event_new(loop->base, loop->timer_fd, EV_READ | EV_PERSIST, on_timer_fd,
                                  loop);
    if (loop->timer_event == NULL || event_add(loop->timer_event, NULL) < 0) {
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    return 0;
}

int tug__loop_new(struct event_base *base, struct tug_loop **ret_loop)
{
    struct tug_loop *loop = tug_calloc(1, sizeof *loop);
    if (loop == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    loop->clock = real_clock;
    loop->now = real_clock(loop);
    tug__calendar_init(&loop->calendar, loop->now);
    loop->timer_fd = -1;
    loop->timer_armed = TUG_FOREVER;
    loop->calls_tail = &loop->calls;
    loop->flushes_tail = &loop->flushes;
    loop->errno_at = &errno;
    int rc = open_base(loop, base);
    if (rc == 0) {
        rc = tug__loop_reserve(loop, RING_FIRST);
    }
    if (rc < 0) {
        tug__loop_free(loop);
        return rc;
    }
#if defined(TUG_TORTURE)
    if (tug__loop_opened != NULL) {
        tug__loop_opened(loop);
    }
#endif
    tug__loop_register(loop);
    *ret_loop = loop;
    return 0;
}

void tug__loop_free(struct tug_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    tug__loop_run_end_hooks(loop); /* of what was opened after they ran */
    for (int i = TUG__SLOT_MAX - 1; i >= 0; i--) {
        if (loop->slots[i].value != NULL && loop->slots[i].destroy != NULL) {
            loop->slots[i].destroy(loop->slots[i].value);
        }
        loop->slots[i].value = NULL;
    }
    tug__io_leave(loop); /* the base may be an application's, which goes on to watch them */
    tug__loop_unregister(loop);
    if (loop->timer_event != NULL) {
        event_free(loop->timer_event);
    }
    if (loop->pass_event != NULL) {
        event_free(loop->pass_event);
    }
    if (loop->timer_fd >= 0) {
        close(loop->timer_fd);
    }
    if (loop->owns_base) {
        event_base_free(loop->base);
    }
    tug_free(loop->ring);
    tug_free(loop);
}

int tug__loop_reserve(struct tug_loop *loop, uint32_t n)
{
    uint32_t size = loop->ring != NULL ? loop->ring_mask + 1 : RING_FIRST;
    while (size < n) {
        size *= 2;
    }
    if (loop->ring != NULL && size == loop->ring_mask + 1) {
        return 0;
    }
    void **ring = tug_calloc(size, sizeof *ring);
    if (ring == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for %u tasks", n);
    }
    /* head goes on counting: another thread may watch it. */
    for (uint32_t i = loop->head; loop->ring != NULL && i != loop->tail; i++) {
        ring[i & (size - 1)] = loop->ring[i & loop->ring_mask];
    }
    tug_free(loop->ring);
    loop->ring = ring;
    loop->ring_mask = size - 1;
    return 0;
}

void **tug__loop_slot(enum tug__slot_id id)
{
    return &tug__loop->slots[id].value;
}

void tug__loop_slot_set(enum tug__slot_id id, void *value, void (*destroy)(void *value))
{
    tug__loop->slots[id].value = value;
    tug__loop->slots[id].destroy = destroy;
}

/* --- calls and flushes -------------------------------------------------------------------------- */

enum {
    CALL_IDLE,
    CALL_QUEUED
};

static void set_chunk_end(struct tug_loop *loop, uint32_t at)
{
    loop->chunk_end = at;
    loop->pause = loop->on_switch != NULL ? loop->head : at;
}

/* In order: the tasks that are in the queue now go first, then control comes back for the call. */
static void pause_before_calls(struct tug_loop *loop)
{
    if (loop->chunk_end - loop->head > loop->tail - loop->head) {
        set_chunk_end(loop, loop->tail);
    }
}

void tug_call_soon(tug_call *c, void (*fn)(void *arg), void *arg)
{
    struct tug_loop *loop = tug__loop;
    if (c->state == CALL_QUEUED) {
        return;
    }
    c->fn = fn;
    c->arg = arg;
    c->next = NULL;
    c->state = CALL_QUEUED;
    *loop->calls_tail = c;
    loop->calls_tail = &c->next;
    pause_before_calls(loop);
    tug__loop_touch(loop);
}

void tug_call_forget(tug_call *c)
{
    struct tug_loop *loop = tug__loop;
    if (c->state != CALL_QUEUED) {
        return;
    }
    for (tug_call **at = &loop->calls; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            if (loop->calls_tail == &c->next) {
                loop->calls_tail = at;
            }
            break;
        }
    }
    c->state = CALL_IDLE;
}

static void run_calls(struct tug_loop *loop)
{
    tug_error own;
    tug_call last = {.state = CALL_QUEUED};
    if (loop->calls == NULL) {
        return;
    }
    tug__error_plain(&own, 0);
    /* Only those that are here now: a call that asks for another must not starve the tasks. The mark is one of
     * our own, for each of them may be forgotten meanwhile. */
    *loop->calls_tail = &last;
    loop->calls_tail = &last.next;
    for (;;) {
        tug_call *c = loop->calls;
        loop->calls = c->next;
        if (loop->calls == NULL) {
            loop->calls_tail = &loop->calls;
        }
        if (c == &last) {
            return;
        }
        c->state = CALL_IDLE;
        own.code = 0;
        own.text[0] = 0;
        tug__loop_step(loop);
        tug__error_slot = &own; /* the callback's own detail, see tug_last_error */
        c->fn(c->arg);
        tug__error_slot = NULL;
    }
}

void tug_flush_later(tug_flush *f)
{
    struct tug_loop *loop = tug__loop;
    if (!f->queued) {
        f->queued = true;
        f->next = NULL;
        *loop->flushes_tail = f;
        loop->flushes_tail = &f->next;
        tug__loop_touch(loop);
    }
}

void tug_flush_forget(tug_flush *f)
{
    struct tug_loop *loop = tug__loop;
    if (!f->queued) {
        return;
    }
    for (tug_flush **at = &loop->flushes; *at != NULL; at = &(*at)->next) {
        if (*at == f) {
            *at = f->next;
            if (loop->flushes_tail == &f->next) {
                loop->flushes_tail = at;
            }
            break;
        }
    }
    f->queued = false;
}

static void run_flushes(struct tug_loop *loop)
{
    /* One by one from the front: a flush may forget others. What is asked for meanwhile comes in this
     * turn too; a flush that asks for itself would not end, so it is stopped after as many as there were. */
    size_t most = 0;
    for (tug_flush *f = loop->flushes; f != NULL; f = f->next) {
        most++;
    }
    while (loop->flushes != NULL && most-- > 0) {
        tug_flush *f = loop->flushes;
        loop->flushes = f->next;
        if (loop->flushes == NULL) {
            loop->flushes_tail = &loop->flushes;
        }
        f->queued = false;
        tug__loop_step(loop);
        f->fn(f);
    }
}

/* --- the turn ----------------------------------------------------------------------------------- */

bool tug__loop_has_work(const struct tug_loop *loop)
{
    return loop->head != loop->tail || loop->calls != NULL || loop->flushes != NULL ||
           tug__calendar_is_behind(&loop->calendar, loop->now);
}

/* The timer fd is armed only when it would fire too late: an early wake-up is harmless. */
static void arm(struct tug_loop *loop, tug_time next)
{
    if (next >= loop->timer_armed) {
        return;
    }
    struct itimerspec at = {
        .it_value = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000}};
    if (at.it_value.tv_sec == 0 && at.it_value.tv_nsec == 0) {
        at.it_value.tv_nsec = 1; /* zero would disarm */
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    loop->timer_armed = next;
}

void tug__loop_fire_timer(struct tug_loop *loop)
{
    loop->timer_armed = TUG_FOREVER;
    arm(loop, 1);
}

static void poll_once(struct tug_loop *loop, bool block)
{
    if (block && loop->remote != NULL) {
        block = tug__remote_sleep(loop->remote);
    }
    event_base_loop(loop->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK));
    if (loop->remote != NULL) {
        tug__remote_awake(loop->remote);
    }
}

static bool wake_idle(struct tug_loop *loop)
{
    return loop->on_idle != NULL && loop->on_idle(loop);
}

/* The test clock: what is ready is handled first; if nothing can run then, time jumps to the next
 * deadline. While a job is out on another thread, it waits for that instead. */
static void poll_fake(struct tug_loop *loop, bool may_block)
{
    uint64_t before = loop->io_events;
    poll_once(loop, false);
    if (!may_block || tug__loop_has_work(loop) || loop->io_events != before ||
        (loop->outside == 0 && wake_idle(loop))) {
        return;
    }
    tug_time next = tug__calendar_next(&loop->calendar);
    if (loop->outside > 0 || next == TUG_FOREVER) {
        poll_once(loop, true);
    } else if (next > loop->fake_now) {
        loop->fake_now = next;
    }
}

static void anchor_fresh(struct tug_loop *loop)
{
    if (loop->calendar.fresh !=
        NULL) { /* they have no instant yet, and the poll must know the earliest */
        tug__loop_read_clock(loop);
    }
}

bool tug__loop_prepare(struct tug_loop *loop)
{
    if (tug__loop_has_work(loop)) {
        return false;
    }
    anchor_fresh(loop);
    tug_time next = tug__calendar_next(&loop->calendar);
    if (next <= loop->now) {
        return false;
    }
    if (next != TUG_FOREVER) {
        arm(loop, next);
    }
    return true;
}

static void poll_io(struct tug_loop *loop, bool may_block)
{
    bool block = may_block && !tug__loop_has_work(loop);
    anchor_fresh(loop);
    if (loop->fake_now != 0) {
        poll_fake(loop, block);
        return;
    }
    if (block && loop->on_idle != NULL) {
        uint64_t before = loop->io_events;
        poll_once(loop, false);
        if (tug__loop_has_work(loop) || loop->io_events != before || wake_idle(loop)) {
            return;
        }
    }
    poll_once(loop, block && tug__loop_prepare(loop));
}

static bool next_chunk(struct tug_loop *loop)
{
    if (loop->calls != NULL || loop->run_left == 0 ||
        tug__loop_read_clock(loop) >= loop->run_until) {
        return false;
    }
    set_chunk_end(loop, loop->head + TUG__RUN_CHUNK);
    loop->run_left -= TUG__RUN_CHUNK;
    return true;
}

bool tug__loop_extend(struct tug_loop *loop)
{
    bool go_on = loop->head != loop->tail && (loop->head != loop->chunk_end || next_chunk(loop));
    if (loop->on_switch != NULL) {
        void *next = go_on ? loop->ring[loop->head & loop->ring_mask] : NULL;
        if (loop->current != NULL || next != NULL) {
            loop->on_switch(loop, loop->current, next);
        }
        loop->pause = loop->on_switch != NULL ? loop->head + go_on : loop->chunk_end;
    }
    return go_on;
}

void tug__loop_set_hooks(struct tug_loop *loop, void (*on_spawn)(struct tug_loop *loop, void *task),
                         void (*on_switch)(struct tug_loop *loop, void *from, void *to))
{
    loop->on_spawn = on_spawn;
    loop->on_switch = on_switch;
    set_chunk_end(loop, loop->chunk_end);
}

static void run_queue(struct tug_loop *loop)
{
    loop->run_until = loop->now + TUG__RUN_TIME;
    loop->run_left = TUG__RUN_MOST;
    do {
        if (loop->head == loop->tail && loop->calls == NULL) {
            return;
        }
        loop->run_left -= TUG__RUN_CHUNK;
        run_calls(loop);
        if (loop->head != loop->tail) {
            set_chunk_end(loop, loop->head + TUG__RUN_CHUNK);
            if (loop->calls != NULL) {
                pause_before_calls(loop);
            }
            loop->run_tasks(loop);
        }
    } while (tug__loop_read_clock(loop) < loop->run_until && loop->run_left > 0);
}

void tug__loop_turn(struct tug_loop *loop, bool may_block)
{
    poll_io(loop, may_block);
    tug__loop_pass(loop);
}

void tug__loop_pass(struct tug_loop *loop)
{
    tug__loop_set_idle(loop, false);
    tug__loop_read_clock(loop);
    tug__loop_step(loop);
    tug__calendar_fire(&loop->calendar, loop->now);
    run_queue(loop);
    run_flushes(loop);
    tug__loop_set_idle(loop, true);
}

/* --- stop and end ------------------------------------------------------------------------------- */

void tug__loop_stop(struct tug_loop *loop, tug_duration drain)
{
    if (loop->stopping) {
        return;
    }
    loop->stopping = true;
    while (loop->stop_hooks != NULL) {
        tug_stop_hook *h = loop->stop_hooks;
        tug_on_stop_forget(h);
        h->fn(h->arg);
    }
    if (loop->on_stop != NULL) {
        loop->on_stop(loop, drain);
    }
}

void tug_stop(tug_duration drain)
{
    if (tug__loop != NULL) {
        tug__loop_stop(tug__loop, drain);
    }
}

bool tug_is_stopping(void)
{
    return tug__loop != NULL && tug__loop->stopping;
}

void tug_on_stop(tug_stop_hook *h, void (*fn)(void *arg), void *arg)
{
    struct tug_loop *loop = tug__loop;
    assert(!h->linked && "a stop hook is registered once");
    if (loop->stopping) {
        fn(arg);
        return;
    }
    h->fn = fn;
    h->arg = arg;
    h->prev = NULL;
    h->next = loop->stop_hooks;
    if (h->next != NULL) {
        h->next->prev = h;
    }
    loop->stop_hooks = h;
    h->linked = true;
}

void tug_on_stop_forget(tug_stop_hook *h)
{
    if (!h->linked) {
        return;
    }
    if (h->prev != NULL) {
        h->prev->next = h->next;
    } else {
        tug__loop->stop_hooks = h->next;
    }
    if (h->next != NULL) {
        h->next->prev = h->prev;
    }
    h->linked = false;
}

void tug_on_end(tug_end_hook *h, void (*fn)(void *arg), void *arg)
{
    struct tug_loop *loop = tug__loop;
    assert(!h->linked && "an end hook is registered once");
    h->fn = fn;
    h->arg = arg;
    h->prev = NULL;
    h->next = loop->end_hooks;
    if (h->next != NULL) {
        h->next->prev = h;
    }
    loop->end_hooks = h;
    h->linked = true;
}

void tug_on_end_forget(tug_end_hook *h)
{
    if (!h->linked) {
        return;
    }
    if (h->prev != NULL) {
        h->prev->next = h->next;
    } else {
        tug__loop->end_hooks = h->next;
    }
    if (h->next != NULL) {
        h->next->prev = h->prev;
    }
    h->linked = false;
}

void tug__loop_run_end_hooks(struct tug_loop *loop)
{
    while (loop->end_hooks != NULL) {
        tug_end_hook *h = loop->end_hooks;
        tug_on_end_forget(h);
        h->fn(h->arg);
    }
}
