/* Calls from a thread that does not run the loop an object belongs to: refused, nothing happens. From a thread
 * without a loop, and from one that runs another. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tug/broadcast.h>
#include <tug/file.h>
#include <tug/flight.h>
#include <tug/group.h>
#include <tug/limiter.h>
#include <tug/listener.h>
#include <tug/log.h>
#include <tug/loop.h>
#include <tug/offload.h>
#include <tug/queue.h>
#include <tug/remote.h>
#include <tug/scope.h>
#include <tug/select.h>
#include <tug/signal.h>
#include <tug/stream.h>
#include <tug/sync.h>
#include <tug/sys/driver.h>
#include <tug/tls.h>
#include <unistd.h>

#include "test.h"

static struct {
    tug_future *future;
    tug_group group;
    tug_scope scope;
    tug_queue *queue;
    tug_event *event;
    tug_semaphore *semaphore;
    tug_signal *signal;
    tug_mutex *mutex;
    tug_rwlock *rwlock;
    tug_condition *condition;
    tug_barrier *barrier;
    tug_once *once;
    tug_broadcast *broadcast;
    tug_subscriber *subscriber;
    tug_limiter *limiter;
    tug_flight *flight;
    tug_completed *completed;
    tug_file *file;
    tug_stream *stream;
    tug_listener *listener;
    tug_io *io;
    int fds[2], sockets[2];
} things;

static int logged;
static void count_log(const tug_log_record *r, void *arg)
{
    (void)arg;
    if (strstr(r->text, "belongs to the loop of another thread; post to that by a tug_remote")) {
        __atomic_add_fetch(&logged, 1, __ATOMIC_SEQ_CST);
    }
}

#define REFUSED(call)                                                                              \
    do {                                                                                           \
        assert_rc(call, TUG_EMISUSE);                                                              \
        assert_detail_has("the loop of another thread");                                           \
    } while (0)
/* Calls without a result leave the detail alone and say it to the log. */
#define LOGGED(call)                                                                               \
    do {                                                                                           \
        int before = logged;                                                                       \
        TUG_IGNORE(tug_fail(TUG_ERANGE, "kept"));                                                  \
        call;                                                                                      \
        assert_int_equal(logged, before + 1);                                                      \
        assert_int_equal(tug_last_error()->code, TUG_ERANGE);                                      \
    } while (0)

static const tug_future_class plain_class = {.size = sizeof(tug_future_class), .name = "test"};

static void on_settled(tug_future *f, void *arg)
{
    (void)f;
    (void)arg;
    abort();
}

static int never(void *arg)
{
    (void)arg;
    abort();
}

static void on_io(tug_io *io, unsigned ready, void *arg)
{
    (void)io;
    (void)ready;
    (void)arg;
}

static void call_sync(void)
{
    size_t index = 0;
    uint64_t lost = 0;
    tug_buffer *value = NULL;
    tug_subscriber *subscriber = NULL;
    REFUSED(tug_mutex_lock(things.mutex));
    LOGGED(assert_false(tug_mutex_try(things.mutex)));
    REFUSED(tug_mutex_unlock(things.mutex));
    LOGGED(tug_mutex_unref(things.mutex));
    REFUSED(tug_rwlock_read(things.rwlock));
    REFUSED(tug_rwlock_write(things.rwlock));
    REFUSED(tug_rwlock_unlock(things.rwlock));
    LOGGED(tug_rwlock_unref(things.rwlock));
    REFUSED(tug_condition_wait(things.condition, things.mutex));
    LOGGED(tug_condition_signal(things.condition));
    LOGGED(tug_condition_broadcast(things.condition));
    LOGGED(tug_condition_unref(things.condition));
    REFUSED(tug_barrier_wait(things.barrier, &index));
    LOGGED(tug_barrier_reset(things.barrier));
    LOGGED(tug_barrier_unref(things.barrier));
    REFUSED(tug_once_run(things.once, never, NULL));
    LOGGED(tug_once_unref(things.once));
    LOGGED(tug_broadcast_send(things.broadcast, NULL));
    LOGGED(tug_broadcast_close(things.broadcast));
    REFUSED(tug_subscriber_open(things.broadcast, &subscriber));
    REFUSED(tug_subscriber_next(things.subscriber, &value, &lost));
    LOGGED(tug_subscriber_close(things.subscriber));
    LOGGED(tug_broadcast_unref(things.broadcast));
    REFUSED(tug_limiter_acquire(things.limiter, 1));
    LOGGED(assert_false(tug_limiter_try(things.limiter, 1)));
    LOGGED(tug_limiter_unref(things.limiter));
    LOGGED(tug_flight_unref(things.flight));
}

static void call_select(void)
{
    tug_select_case cases[] = {tug_select_get(things.queue), tug_select_event(things.event),
                               tug_select_semaphore(things.semaphore),
                               tug_select_future(things.future)};
    size_t index = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && tug_task_current() != NULL; i++) {
        REFUSED(tug_select(&cases[i], 1, &index));
    }
    REFUSED(tug_completed_next(things.completed, &index));
    LOGGED(tug_completed_close(things.completed));
}

static void call_file(void)
{
    char c = 'x';
    int64_t size = 0;
    REFUSED(tug_file_read(things.file, &c, 1));
    REFUSED(tug_file_read_at(things.file, 0, &c, 1));
    REFUSED(tug_file_write(things.file, tug_bytes(&c, 1)));
    REFUSED(tug_file_size(things.file, &size));
    LOGGED(tug_file_close(things.file));
}

static void call_all(void)
{
    call_sync();
    call_select();
    call_file();
    void *item = NULL, *value = NULL;
    tug_error why;
    tug_error_set(&why, TUG_ECLOSED, TUG_ORIGIN_TUG, TUG_NOT_SENT, NULL, "why");
    LOGGED(tug_future_settle(things.future, NULL));
    LOGGED(tug_future_fail(things.future, &why));
    LOGGED(tug_future_cancel(things.future));
    LOGGED(tug_future_unref(things.future));
    LOGGED(tug_future_drop(things.future));
    LOGGED(tug_future_detach(things.future));
    LOGGED(tug_future_on_settled(things.future, on_settled, NULL));
    LOGGED(tug_future_timeout(things.future, 0));
    REFUSED(tug_future_take(things.future, &plain_class, &value));
    REFUSED(tug_group_spawn(&things.group, never, NULL));
    REFUSED(tug_group_spawn_copy(&things.group, never, "x", 1));
    TUG_AUTO(tug_future) refused = tug_group_start(&things.group, never, NULL);
    assert_int_equal(tug_future_error(refused)->code, TUG_EMISUSE);
    LOGGED(tug_group_fail(&things.group, TUG_EUSER));
    LOGGED(tug_group_cancel(&things.group));
    LOGGED(tug_group_cancel_why(&things.group, "why"));
    LOGGED(tug_group_wait(&things.group));
    LOGGED(tug_scope_cancel(&things.scope));
    LOGGED(tug_scope_cancel_why(&things.scope, "why"));
    LOGGED(tug_scope_set_deadline(&things.scope, 1));
    REFUSED(tug_queue_try_put(things.queue, &item));
    REFUSED(tug_queue_put(things.queue, &item));
    REFUSED(tug_queue_try_next(things.queue, &item));
    REFUSED(tug_queue_next(things.queue, &item));
    LOGGED(tug_queue_close(things.queue));
    LOGGED(tug_queue_unref(things.queue));
    LOGGED(tug_event_set(things.event));
    LOGGED(tug_event_clear(things.event));
    REFUSED(tug_event_wait(things.event));
    LOGGED(tug_event_unref(things.event));
    LOGGED(assert_false(tug_semaphore_try(things.semaphore)));
    REFUSED(tug_semaphore_acquire(things.semaphore));
    REFUSED(tug_semaphore_release(things.semaphore));
    LOGGED(tug_semaphore_unref(things.semaphore));
    int number = 0;
    REFUSED(tug_signal_next(things.signal, &number));
    LOGGED(tug_signal_close(things.signal));
    REFUSED(tug_io_want(things.io, TUG_READ));
    char c = 'x';
    REFUSED(tug_stream_read(things.stream, &c, 1));
    REFUSED(tug_stream_write(things.stream, tug_bytes(&c, 1)));
    REFUSED(tug_stream_flush(things.stream));
    REFUSED(tug_stream_handshake(things.stream));
    REFUSED(tug_stream_wait_closed(things.stream));
    LOGGED(tug_stream_close(things.stream));
    tug_stream *accepted = NULL;
    REFUSED(tug_listener_next(things.listener, &accepted));
    LOGGED(tug_listener_close(things.listener));
}

static void keep_code(tug_future *f, void *arg)
{
    *(int *)arg = tug_future_error(f)->code;
}

/* What a start gives here is one future that all threads share. */
static void let_go_of_futures(void)
{
    int code = 0;
    tug_future *f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = tug_offload_start(never, NULL, NULL);
    }
    tug_future_drop_all(f, 3);
    tug_future_detach(tug_offload_start(never, NULL, NULL));
    tug_future_unref(tug_offload_start(never, NULL, NULL));
    tug_future_on_settled(tug_offload_start(never, NULL, NULL), keep_code, &code);
    assert_int_equal(code, TUG_EMISUSE); /* at once: nothing here could call it later */
}

static void *without_a_loop(void *arg)
{
    (void)arg;
    call_all();
    int n = 0;
    tug_future *f = tug_offload_start(never, NULL, NULL);
    assert_true(tug_future_is_settled(f));
    assert_rc(tug_offload_take(f, &n), TUG_EMISUSE);
    tug_future_drop(f);
    let_go_of_futures();
    assert_rc(tug_await(things.future), TUG_EMISUSE);
    assert_rc(tug_sleep(1), TUG_EMISUSE);
    assert_rc(tug_yield(), TUG_EMISUSE);
    tug_stop(0);
    assert_false(tug_is_stopping());
    return NULL;
}

static int other_main(void *arg)
{
    (void)arg;
    assert_rc(tug_await(things.future), TUG_EMISUSE);
    assert_detail_has("the loop of another thread");
    call_all();
    return 0;
}

static int other_rc;
static void *with_another_loop(void *arg)
{
    (void)arg;
    other_rc = tug_run(other_main, NULL);
    return NULL;
}

static void open_sync(void)
{
    assert_ok(tug_mutex_new(&things.mutex));
    assert_ok(tug_rwlock_new(&things.rwlock));
    assert_ok(tug_condition_new(&things.condition));
    assert_ok(tug_barrier_new(2, &things.barrier));
    assert_ok(tug_once_new(&things.once));
    assert_ok(tug_broadcast_new(2, &things.broadcast));
    assert_ok(tug_subscriber_open(things.broadcast, &things.subscriber));
    assert_ok(tug_limiter_new_window(1, TUG_SECONDS(1), &things.limiter));
    assert_ok(tug_flight_new(&things.flight));
}

static void close_sync(void)
{
    assert_false(tug_mutex_is_locked(things.mutex));
    assert_int_equal(tug_broadcast_subscribers(things.broadcast), 1);
    tug_flight_unref(things.flight);
    tug_limiter_unref(things.limiter);
    tug_subscriber_close(things.subscriber);
    tug_broadcast_unref(things.broadcast);
    tug_once_unref(things.once);
    tug_barrier_unref(things.barrier);
    tug_condition_unref(things.condition);
    tug_rwlock_unref(things.rwlock);
    tug_mutex_unref(things.mutex);
}

static int inner(void *arg)
{
    const int numbers[] = {10};
    tug_scope_enter(&things.scope, TUG_FOREVER);
    pthread_t t;
    things.future = tug_future_new(&plain_class);
    assert_non_null(things.future);
    tug_group_enter(&things.group, TUG_FOREVER, TUG_FAIL_FAST);
    assert_ok(tug_queue_new(2, NULL, &things.queue));
    assert_ok(tug_event_new(&things.event));
    assert_ok(tug_semaphore_new(1, &things.semaphore));
    assert_ok(tug_signal_open(numbers, 1, &things.signal));
    assert_int_equal(pipe(things.fds), 0);
    assert_ok(tug_io_open(things.fds[0], on_io, NULL, &things.io));
    assert_ok(tug_test_socketpair(things.sockets));
    assert_ok(tug_stream_from_fd(things.sockets[0], &things.stream));
    assert_ok(tug_listener_open("tcp://127.0.0.1:0", NULL, &things.listener));
    assert_ok(tug_as_completed(&things.future, 1, &things.completed));
    assert_ok(tug_file_open("/proc/self/status", TUG_FILE_READ, 0, &things.file));
    open_sync();
    tug_log_set_sink(count_log, NULL);
    assert_int_equal(
        pthread_create(&t, NULL, arg == NULL ? without_a_loop : with_another_loop, NULL), 0);
    pthread_join(t, NULL); /* this loop stands still, so that the other thread may look */
    assert_ok(other_rc);
    tug_log_set_sink(NULL, NULL);
    /* Nothing has happened. */
    assert_false(tug_future_is_settled(things.future));
    assert_int_equal(tug_group_failures(&things.group), 0);
    assert_false(tug_event_is_set(things.event));
    assert_int_equal(tug_semaphore_permits(things.semaphore), 1);
    assert_int_equal(tug_queue_count(things.queue), 0);
    assert_int_equal(tug_io_wanted(things.io), 0);
    assert_ok(tug_yield());
    tug_completed_close(things.completed);
    tug_file_close(things.file);
    assert_ok(tug_group_leave(&things.group, 0));
    tug_future_settle(things.future, NULL);
    tug_future_drop(things.future);
    tug_io_close(things.io);
    close(things.fds[0]);
    close(things.fds[1]);
    close_sync();
    tug_listener_close(things.listener);
    tug_stream_close(things.stream);
    close(things.sockets[1]);
    tug_signal_close(things.signal);
    tug_semaphore_unref(things.semaphore);
    tug_event_unref(things.event);
    tug_queue_unref(things.queue);
    return tug_scope_leave(&things.scope, 0);
}

LIVE_TEST(a_thread_without_a_loop_is_refused)
{
    assert_ok(inner(NULL));
}

LIVE_TEST(a_thread_with_another_loop_is_refused)
{
    assert_ok(inner(&things));
}

/* --- what may be made before its loop, and go after it ------------------------------------------- */

static int use_queue(void *arg)
{
    void *item = NULL;
    assert_ok(tug_queue_put(arg, arg));
    assert_rc(tug_queue_next(arg, &item), 1);
    assert_ptr_equal(item, arg);
    return 0;
}

TEST(a_queue_may_outlive_its_loop_and_serve_another)
{
    tug_queue *q = NULL;
    assert_ok(tug_queue_new(1, NULL, &q));
    for (int i = 0; i < 3; i++) {
        assert_ok(tug_run(use_queue, q));
    }
    tug_queue_unref(q);
}

static int make_tls(void *arg)
{
    tug_tls_options o = TUG_TLS_OPTIONS_INIT;
    o.verify = TUG_TLS_VERIFY_NONE; /* reads no files */
    return tug_tls_new(&o, arg);
}

static int let_go_of_tls(void *arg)
{
    tug_tls_unref(arg);
    return 0;
}

TEST(tls_settings_may_go_in_the_next_loop)
{
    tug_tls *tls = NULL;
    assert_ok(tug_run(make_tls, &tls));
    size_t before = tug_test_live_allocations();
    assert_ok(tug_run(let_go_of_tls, tls));
    assert_true(tug_test_live_allocations() < before);
}
