/* A loop on an event base that the application runs, and one that is turned by hand. */
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tug/group.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/queue.h>
#include <tug/remote.h>
#include <tug/stream.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>
#include <unistd.h>

#include "test.h"

struct app {
    struct event_base *base;
    tug_loop *loop;
    size_t blocks;
};

static void attach_to(struct app *a, struct event_base *base)
{
    assert_non_null(base);
    a->base = base;
    a->blocks = tug_test_live_allocations();
    assert_ok(tug_loop_attach(base, &a->loop));
}

static void attach(struct app *a)
{
    attach_to(a, event_base_new());
}

static void detach(struct app *a)
{
    assert_ok(tug_loop_detach(a->loop, TUG_SECONDS(5)));
    assert_null(tug_loop_current());
    assert_int_equal(tug_test_live_allocations(), a->blocks);
    event_base_free(a->base);
}

static void call_after(struct app *a, int ms, event_callback_fn fn, void *arg)
{
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    assert_int_equal(event_base_once(a->base, -1, EV_TIMEOUT, fn, arg, &t), 0);
}

static int stop_base(void *arg)
{
    struct app *a = arg;
    event_base_loopbreak(a->base);
    return 0;
}

/* --- the ordinary course ---------------------------------------------------------------------- */

struct sleeping {
    struct app *app;
    tug_time asked, woke;
};

static int sleep_some(void *arg)
{
    struct sleeping *s = arg;
    s->asked = tug_now();
    int rc = tug_sleep(TUG_MS(20));
    s->woke = tug_now();
    stop_base(s->app);
    return rc;
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    assert_ok(tug_group_spawn(tug_background(), sleep_some, arg));
}

/* The base is idle for long before: the sleep must count from the request, not from the last pass. */
static void run_a_request(struct app *a)
{
    struct sleeping s = {.app = a};
    call_after(a, 60, on_request, &s);
    assert_int_equal(event_base_dispatch(a->base), 0);
    assert_true(s.woke - s.asked >= TUG_MS(20));
    assert_true(s.woke - s.asked < TUG_SECONDS(5));
}

TEST(tasks_run_on_a_base_of_the_application)
{
    struct app a;
    attach(&a);
    run_a_request(&a);
    detach(&a);
}

TEST(a_base_with_locks_will_do_too)
{
    struct app a;
    assert_int_equal(evthread_use_pthreads(), 0);
    attach(&a);
    run_a_request(&a);
    detach(&a);
    libevent_global_shutdown();
}

TEST(a_base_on_poll_and_one_with_an_exact_clock_will_do_too)
{
    struct app a;
    struct event_config *c = event_config_new();
    assert_non_null(c);
    event_config_avoid_method(c, "epoll");
    attach_to(&a, event_base_new_with_config(c));
    event_config_free(c);
    run_a_request(&a);
    detach(&a);
    c = event_config_new();
    assert_non_null(c);
    event_config_set_flag(c, EVENT_BASE_FLAG_PRECISE_TIMER);
    attach_to(&a, event_base_new_with_config(c));
    event_config_free(c);
    run_a_request(&a);
    detach(&a);
}

TEST(a_thread_can_attach_again)
{
    for (int i = 0; i < 3; i++) {
        struct app a;
        attach(&a);
        run_a_request(&a);
        detach(&a);
    }
}

static int ten(void *arg)
{
    (void)arg;
    return 10;
}

static int main_task(void *arg)
{
    (void)arg;
    return tug_sleep(TUG_MS(1));
}

TEST(the_thread_has_the_loop_and_no_other)
{
    struct app a;
    tug_loop *other = NULL;
    attach(&a);
    assert_ptr_equal(tug_loop_current(), a.loop);
    assert_rc(tug_loop_attach(a.base, &other), TUG_EMISUSE);
    assert_detail_has("one loop a thread");
    assert_rc(tug_loop_new(&other), TUG_EMISUSE);
    assert_rc(tug_run(main_task, NULL), TUG_EMISUSE);
    assert_rc(tug_run_threads(2, main_task, NULL), TUG_EMISUSE);
    assert_rc(tug_loop_run(a.loop), TUG_EMISUSE);
    assert_rc(tug_sleep(1), TUG_EMISUSE); /* no task */
    detach(&a);
    assert_ok(tug_run(main_task, NULL));
    assert_rc(tug_loop_attach(NULL, &other), TUG_EINVAL);
    assert_ok(tug_loop_detach(NULL, 0));
}

/* --- callbacks only --------------------------------------------------------------------------- */

struct answers {
    struct app *app;
    int rc, result, calls;
};

static void on_answer(tug_future *f, void *arg)
{
    struct answers *w = arg;
    w->calls++;
    w->rc = tug_offload_take(f, &w->result);
    stop_base(w->app);
}

static void ask_ten(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tug_future_on_settled(tug_offload_start(ten, NULL, NULL), on_answer, arg);
}

TEST(futures_settle_into_callbacks)
{
    struct app a;
    attach(&a);
    struct answers w = {.app = &a};
    call_after(&a, 1, ask_ten, &w);
    event_base_dispatch(a.base);
    assert_ok(w.rc);
    assert_int_equal(w.result, 10);
    assert_int_equal(w.calls, 1);
    detach(&a);
}

static sem_t gate;
static int stand(void *arg)
{
    (void)arg;
    while (sem_wait(&gate) < 0) {
    }
    return 0;
}

static void free_it(void *arg)
{
    free(arg);
}

static void ask_with_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tug_future *f = tug_offload_start(stand, free_it, malloc(1));
    tug_future_on_settled(tug_future_timeout(f, TUG_MS(5)), on_answer, arg);
}

TEST(a_future_may_time_out_while_the_base_is_idle)
{
    struct app a;
    attach(&a);
    sem_init(&gate, 0, 0);
    struct answers w = {.app = &a};
    call_after(&a, 30, ask_with_timeout, &w);
    event_base_dispatch(a.base);
    assert_int_equal(w.rc, TUG_ETIMEDOUT);
    sem_post(&gate);
    while (tug_test_live_allocations() > a.blocks + 100) {
        event_base_loop(a.base, EVLOOP_ONCE);
    }
    assert_ok(tug_loop_detach(a.loop, TUG_SECONDS(5)));
    while (tug_test_live_allocations() != a.blocks) { /* the thread lets go of its pool */
        usleep(100);
    }
    event_base_free(a.base);
}

static tug_remote *remote;
static void stop_by_post(void *arg)
{
    stop_base(arg);
}

static void *post_it(void *arg)
{
    usleep(20000); /* the base sleeps by then, as a rule; it ends in any case */
    while (tug_remote_post(remote, stop_by_post, arg) != 0) { /* memory is short in some runs */
    }
    return NULL;
}

TEST(a_post_wakes_a_base_that_sleeps)
{
    struct app a;
    pthread_t t;
    attach(&a);
    assert_ok(tug_remote_new(&remote));
    assert_int_equal(pthread_create(&t, NULL, post_it, &a), 0);
    event_base_dispatch(a.base);
    pthread_join(t, NULL);
    tug_remote_unref(remote);
    detach(&a);
}

static int events_seen;
static void set_event_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tug_event_set(arg);
}

struct waiter {
    struct app *app;
    tug_event *event;
};

static int wait_event(void *arg)
{
    struct waiter *w = arg;
    int rc = tug_event_wait(w->event);
    events_seen++;
    stop_base(w->app);
    return rc;
}

TEST(a_task_that_waits_is_woken_by_a_callback)
{
    struct app a;
    attach(&a);
    struct waiter w = {.app = &a};
    assert_ok(tug_event_new(&w.event));
    assert_ok(tug_group_spawn(tug_background(), wait_event, &w));
    call_after(&a, 20, set_event_cb, w.event);
    event_base_dispatch(a.base);
    assert_int_equal(events_seen, 1);
    tug_event_unref(w.event);
    detach(&a);
}

/* --- fairness --------------------------------------------------------------------------------- */

struct fair {
    struct app *app;
    uint64_t yields, app_events, tug_events;
    int pipe[2];
    bool is_over;
};

static int yield_on(void *arg)
{
    struct fair *f = arg;
    int rc = 0;
    while (rc == 0 && !f->is_over) {
        f->yields++;
        rc = tug_yield();
    }
    return rc;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct fair *f = arg;
    (void)fd;
    (void)what;
    if (++f->app_events == 50) {
        f->is_over = true;
        event_base_loopbreak(f->app->base);
    }
}

TEST(tasks_that_never_wait_leave_the_application_its_events)
{
    struct app a;
    attach(&a);
    struct fair f = {.app = &a};
    assert_int_equal(pipe(f.pipe), 0);
    assert_int_equal(write(f.pipe[1], "x", 1), 1);
    struct event *readable = event_new(a.base, f.pipe[0], EV_READ | EV_PERSIST, on_tick, &f);
    assert_non_null(readable);
    assert_int_equal(event_add(readable, NULL), 0); /* always ready: once a poll */
    assert_ok(tug_group_spawn(tug_background(), yield_on, &f));
    assert_ok(tug_group_spawn(tug_background(), yield_on, &f));
    event_base_dispatch(a.base);
    assert_int_equal(f.app_events, 50);
    /* A poll for each pass: as many events as passes, each of which runs at most 1,024 resumes. */
    assert_in_range(f.yields, 50, 52 * 1024 + 2);
    event_free(readable);
    close(f.pipe[0]);
    close(f.pipe[1]);
    detach(&a);
}

static int sleep_often(void *arg)
{
    struct fair *f = arg;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 20; i++) {
        rc = tug_sleep(TUG_MS(1));
        f->tug_events++;
    }
    f->is_over = true;
    event_base_loopbreak(f->app->base);
    return rc;
}

static void on_busy(evutil_socket_t fd, short what, void *arg)
{
    struct fair *f = arg;
    (void)fd;
    (void)what;
    f->app_events++; /* and it stays readable */
}

TEST(a_busy_event_of_the_application_leaves_tug_its_turns)
{
    struct app a;
    attach(&a);
    struct fair f = {.app = &a};
    assert_int_equal(pipe(f.pipe), 0);
    assert_int_equal(write(f.pipe[1], "x", 1), 1);
    struct event *busy = event_new(a.base, f.pipe[0], EV_READ | EV_PERSIST, on_busy, &f);
    assert_non_null(busy);
    assert_int_equal(event_add(busy, NULL), 0);
    assert_ok(tug_group_spawn(tug_background(), sleep_often, &f));
    event_base_dispatch(a.base);
    assert_int_equal(f.tug_events, 20);
    assert_true(f.app_events > 20);
    event_free(busy);
    close(f.pipe[0]);
    close(f.pipe[1]);
    detach(&a);
}

/* An idle loop costs the application nothing. */
static void count_round(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ++*(int *)arg;
}

TEST(an_idle_loop_does_not_turn)
{
    struct app a;
    int rounds = 0;
    attach(&a);
    event_base_loop(a.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 5; i++) {
        call_after(&a, 5, count_round, &rounds);
        /* One wake-up: the application's. */
        assert_int_equal(event_base_loop(a.base, EVLOOP_ONCE), 0);
        assert_int_equal(rounds, i + 1);
    }
    detach(&a);
}

/* --- the end ----------------------------------------------------------------------------------- */

struct ending {
    int rc;
    bool stopped;
    tug_duration shield;
};

static int end_when_asked(void *arg)
{
    struct ending *e = arg;
    e->rc = tug_wait_stopping();
    e->stopped = true;
    return e->rc == 0 ? tug_sleep(TUG_MS(5)) : e->rc;
}

static int end_when_cancelled(void *arg)
{
    struct ending *e = arg;
    e->rc = tug_sleep(TUG_FOREVER);
    return e->rc;
}

static int goodbye(void *arg)
{
    struct ending *e = arg;
    e->rc = tug_sleep(TUG_MS(10));
    return 0;
}

TEST(detach_ends_in_the_orderly_way)
{
    struct app a;
    struct ending by_itself = {0}, by_force = {0}, service = {.rc = 1};
    attach(&a);
    assert_ok(tug_group_spawn(tug_background(), end_when_asked, &by_itself));
    assert_ok(tug_group_spawn(tug_background(), end_when_cancelled, &by_force));
    assert_ok(tug_service_spawn("goodbye", goodbye, &service));
    assert_ok(tug_loop_detach(a.loop, TUG_MS(200)));
    assert_true(by_itself.stopped);
    assert_ok(by_itself.rc);
    assert_int_equal(by_force.rc, TUG_ECANCELED);
    assert_ok(service.rc);
    assert_int_equal(tug_test_live_allocations(), a.blocks);
    assert_null(tug_loop_current());
    event_base_free(a.base);
}

static int shielded_goodbye(void *arg)
{
    struct ending *e = arg;
    tug_scope s;
    int rc = tug_sleep(TUG_FOREVER);
    tug_shield_enter(&s, TUG_SECONDS(10));
    e->rc = tug_sleep(TUG_MS(20));
    return tug_scope_leave(&s, rc);
}

/* Whoever asked to stop before gave it more time than the detach has. */
TEST(detach_after_a_request_to_stop_still_leaves_half_of_its_time)
{
    struct app a;
    struct ending e = {.rc = 1};
    attach(&a);
    assert_ok(tug_group_spawn(tug_background(), shielded_goodbye, &e));
    event_base_loop(a.base, EVLOOP_NONBLOCK);
    tug_stop(TUG_SECONDS(20));
    assert_ok(tug_loop_detach(a.loop, TUG_MS(400)));
    assert_ok(e.rc);
    event_base_free(a.base);
}

static int endless_goodbye(void *arg)
{
    struct ending *e = arg;
    e->rc = tug_sleep(TUG_FOREVER);
    return 0;
}

TEST(detach_without_time_cancels_at_once)
{
    struct app a;
    struct ending by_force = {0}, service = {.rc = 1};
    attach(&a);
    assert_ok(tug_group_spawn(tug_background(), end_when_cancelled, &by_force));
    assert_ok(tug_service_spawn("goodbye", endless_goodbye, &service));
    event_base_loop(a.base, EVLOOP_NONBLOCK);
    assert_ok(tug_loop_detach(a.loop, 0));
    assert_int_equal(by_force.rc, TUG_ECANCELED);
    assert_int_equal(service.rc, TUG_ECANCELED);
    assert_int_equal(tug_test_live_allocations(), a.blocks);
    event_base_free(a.base);
}

static char log_text[8192];
static void keep_log(const tug_log_record *r, void *arg)
{
    (void)arg;
    strncat(log_text, r->text, sizeof log_text - strlen(log_text) - 1);
    strncat(log_text, "\n", sizeof log_text - strlen(log_text) - 1);
}

static int stuck_job(void *arg)
{
    tug_task_set_name("stuck-one");
    return tug_offload(stand, arg);
}

static int in_nested_group(void *arg)
{
    tug_group g;
    tug_task_set_name("outer");
    tug_group_enter(&g, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_group_spawn(&g, stuck_job, arg));
    return tug_group_leave(&g, 0);
}

static tug_waiters nobody;

/* It has a stream with something to read, and does not listen to anybody. */
static int deaf(void *arg)
{
    char c;
    tug_stream *s = arg;
    TUG_IGNORE(tug_stream_read(s, &c, 1));
    return tug_park_uncancellable(&nobody, NULL, "nothing");
}

struct asker {
    tug_remote *remote;
    int rc;
    atomic_bool has_ended;
};

static int deaf_run(void *arg)
{
    (void)arg;
    return tug_park_uncancellable(&nobody, NULL, "nothing");
}

static void *ask_from_outside(void *arg)
{
    struct asker *a = arg;
    a->rc = tug_remote_run(a->remote, deaf_run, NULL);
    a->has_ended = true;
    return NULL;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

TEST(a_detach_that_leaves_a_task_behind_tells_who_waits_for_it)
{
    struct app a;
    pthread_t thread;
    struct asker asker = {.rc = 1};
    attach(&a);
    assert_ok(tug_remote_new(&asker.remote));
    assert_int_equal(pthread_create(&thread, NULL, ask_from_outside, &asker), 0);
    while (tug_task_count() == 0 && !asker.has_ended) { /* it ends early if the task is refused */
        call_after(&a, 1, on_time, NULL);
        event_base_loop(a.base, EVLOOP_ONCE);
    }
    int rc = tug_loop_detach(a.loop, TUG_MS(20));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_rc(rc, TUG_ETIMEDOUT);
    assert_int_equal(asker.rc, TUG_ECLOSED);
    tug_remote_unref(asker.remote);
    event_base_free(a.base);
}

TEST(detach_reports_what_would_not_end_and_leaves_it_behind)
{
    struct app a;
    int fds[2];
    tug_stream *s = NULL;
    attach(&a);
    sem_init(&gate, 0, 0);
    tug_log_set_sink(keep_log, NULL);
    assert_ok(tug_test_socketpair(fds));
    assert_ok(tug_stream_from_fd(fds[0], &s));
    assert_ok(tug_group_spawn(tug_background(), in_nested_group, NULL));
    assert_ok(tug_group_spawn(tug_background(), deaf, s));
    assert_rc(tug_loop_detach(a.loop, TUG_MS(40)), TUG_ETIMEDOUT);
    assert_detail_has("would not end: task ");
    tug_log_set_sink(NULL, NULL);
    assert_non_null(strstr(log_text, "what still runs is cancelled"));
    assert_non_null(strstr(log_text, "these would not end: "));
    assert_non_null(strstr(log_text, "\"outer\" waits for group since 0."));
    assert_non_null(strstr(log_text, "\"stuck-one\" waits for offload since 0."));
    assert_non_null(strstr(log_text, ", spawned at unit-attach+0x"));
    /* The thread is free again and nothing of the old loop is in the base. */
    assert_null(tug_loop_current());
    assert_int_equal(send(fds[1], "x", 1, MSG_NOSIGNAL), -1); /* the stream has ended with it */
    struct app again;
    attach_to(&again, a.base);
    run_a_request(&again);
    sem_post(&gate);
    assert_ok(tug_loop_detach(again.loop, TUG_SECONDS(5)));
    event_base_free(a.base);
    tug_stream_close(s);
    close(fds[1]);
}

static int detach_rc;
static void detach_inside(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    (void)fd;
    (void)what;
    detach_rc = tug_loop_detach(a->loop, 0);
    event_base_loopbreak(a->base);
}

static int detach_in_task(void *arg)
{
    struct app *a = arg;
    assert_rc(tug_loop_detach(a->loop, 0), TUG_EMISUSE);
    assert_detail_has("called inside the loop");
    return stop_base(a);
}

static void *detach_elsewhere(void *arg)
{
    struct app *a = arg;
    assert_rc(tug_loop_detach(a->loop, 0), TUG_EMISUSE);
    assert_detail_has("the loop of another thread");
    return NULL;
}

TEST(detach_is_refused_where_it_cannot_be)
{
    struct app a;
    pthread_t t;
    attach(&a);
    call_after(&a, 1, detach_inside, &a);
    event_base_dispatch(a.base);
    assert_int_equal(detach_rc, TUG_EMISUSE);
    assert_ok(tug_group_spawn(tug_background(), detach_in_task, &a));
    event_base_dispatch(a.base);
    assert_int_equal(pthread_create(&t, NULL, detach_elsewhere, &a), 0);
    pthread_join(t, NULL);
    run_a_request(&a);
    detach(&a);
}

/* --- handlers ---------------------------------------------------------------------------------- */

TEST(attach_installs_no_signal_handler)
{
    struct app a;
    struct sigaction before[65], after;
    for (int i = 1; i < 65; i++) {
        sigaction(i, NULL, &before[i]);
    }
    attach(&a);
    run_a_request(&a);
    for (int i = 1; i < 65; i++) {
        if (sigaction(i, NULL, &after) == 0) {
            assert_true(after.sa_handler == before[i].sa_handler);
        }
    }
    detach(&a);
}

/* --- by hand ------------------------------------------------------------------------------------ */

static void on_ten(tug_future *f, void *arg)
{
    assert_ok(tug_offload_take(f, arg));
    tug_stop(TUG_FOREVER);
}

static int wait_and_note(void *arg)
{
    *(int *)arg = tug_wait_stopping();
    return 0;
}

TEST(a_loop_of_ones_own_is_run_until_it_is_stopped)
{
    size_t before = tug_test_live_allocations();
    tug_loop *loop = NULL;
    int result = 0, waited = 1;
    assert_ok(tug_loop_new(&loop));
    tug_future_on_settled(tug_offload_start(ten, NULL, NULL), on_ten, &result);
    assert_ok(tug_group_spawn(tug_background(), wait_and_note, &waited));
    assert_ok(tug_loop_run(loop));
    assert_int_equal(result, 10);
    assert_int_equal(waited, 0);
    assert_ok(tug_loop_free(loop, TUG_SECONDS(5)));
    assert_null(tug_loop_current());
    assert_int_equal(tug_test_live_allocations(), before);
}

static void free_inside(void *arg)
{
    tug_loop *loop = arg;
    assert_rc(tug_loop_free(loop, 0), TUG_EMISUSE);
    assert_rc(tug_loop_run(loop), TUG_EMISUSE);
    tug_stop(0);
}

TEST(a_loop_is_not_freed_inside_itself)
{
    tug_loop *loop = NULL;
    tug_call call = {0};
    assert_ok(tug_loop_new(&loop));
    tug_call_soon(&call, free_inside, loop);
    assert_ok(tug_loop_run(loop));
    assert_ok(tug_loop_free(loop, 0));
}

/* --- what was not closed ---------------------------------------------------------------------- */

static void on_readable(tug_io *io, unsigned ready, void *arg)
{
    (void)io;
    (void)ready;
    ++*(int *)arg;
}

/* The base is the application's and goes on to poll: nothing of a loop that has gone may be in it. */
TEST(what_was_not_closed_is_not_watched_after_the_detach)
{
    struct app a;
    tug_io *io = NULL;
    tug_stream *s = NULL;
    int raw[2], wrapped[2], calls = 0;
    attach(&a);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wrapped), 0);
    assert_ok(tug_io_open(raw[0], on_readable, &calls, &io));
    assert_ok(tug_io_want(io, TUG_READ));
    assert_ok(tug_stream_from_fd(wrapped[0], &s));
    assert_ok(tug_loop_detach(a.loop, TUG_SECONDS(5)));
    assert_int_equal(write(raw[1], "x", 1), 1);
    assert_int_equal(send(wrapped[1], "x", 1, MSG_NOSIGNAL), -1); /* its socket is closed */
    event_base_loop(a.base, EVLOOP_NONBLOCK);
    assert_int_equal(calls, 0);
    tug_io_close(io);
    tug_stream_close(s);
    close(raw[0]);
    close(raw[1]);
    close(wrapped[1]);
    assert_int_equal(tug_test_live_allocations(), a.blocks);
    event_base_free(a.base);
}
