/* What: turns of a loop whose polls are the application's.
 *
 *   application's base: poll -> callbacks, its own and ours; ours note, settle, queue --+
 *        ^                                                                              | kick
 *        |                      our pass, one event of the base: timers, run queue, flush
 *        '-- work is left: a timeout of 0   '-- else the timerfd is armed <-------------+
 *
 * The pass never makes itself active: libevent would run it again and again (1,000 times, measured) before it
 * polls. A timeout of 0 costs no system call and fires after the next poll, so that the application's events
 * and ours take turns. Whatever puts something into a queue between two passes kicks: the pass is made
 * active behind the callbacks that are active now, so that one pass and one flush serve them all. */
#include "loop/attach.h"

#include <event2/event.h>
#include <unistd.h>

#include "loop/remote.h"

static void on_pass(evutil_socket_t fd, short what, void *arg)
{
    struct tug_loop *loop = arg;
    const struct timeval at_once = {0, 0};
    (void)fd;
    (void)what;
    loop->wants_kick = false;
    if (loop->remote != NULL) {
        tug__remote_awake(loop->remote);
    }
    tug__loop_pass(loop);
    bool may_rest = tug__loop_prepare(loop) &&
                    (loop->remote == NULL || tug__remote_sleep(loop->remote));
    if (may_rest) {
        loop->wants_kick = true;
    } else if (event_add(loop->pass_event, &at_once) < 0) {
        /* No memory for a timeout. The timerfd needs none; its callback kicks. */
        loop->wants_kick = true;
        tug__loop_fire_timer(loop);
    }
}

void tug__loop_kick(struct tug_loop *loop)
{
    loop->wants_kick = false;
    event_active(loop->pass_event, EV_TIMEOUT, 1);
}

int tug__attach(struct event_base *base, struct tug_loop **ret_loop)
{
    struct tug_loop *loop = NULL;
    int rc = tug__loop_new(base, &loop);
    if (rc < 0) {
        return rc;
    }
    loop->pass_event = event_new(base, -1, 0, on_pass, loop);
    if (loop->pass_event == NULL) {
        tug__loop_free(loop);
        return tug_fail(TUG_ENOMEM, "out of memory for a loop");
    }
    loop->wants_kick = true;
    *ret_loop = loop;
    return 0;
}

int tug__attach_take_over(struct tug_loop *loop)
{
    /* libevent has no other way to ask whether the base runs; it warns on stderr too. */
    if (event_base_loop(loop->base, EVLOOP_NONBLOCK) < 0) {
        return tug_fail(TUG_EMISUSE,
                        "a loop cannot be detached inside a callback of the base that it is on");
    }
    loop->wants_kick = false;
    if (loop->pass_event != NULL) {
        event_del(loop->pass_event);
    }
    return 0;
}

static void end_slot(struct tug_loop *loop, enum tug__slot_id id)
{
    struct tug__slot *slot = &loop->slots[id];
    if (slot->value != NULL) {
        slot->destroy(slot->value);
        slot->value = NULL;
    }
}

void tug__loop_abandon(struct tug_loop *loop)
{
    end_slot(loop, TUG__SLOT_SIGNALS);
    end_slot(loop, TUG__SLOT_OFFLOAD);
    end_slot(loop, TUG__SLOT_REMOTE);
    tug__io_silence(loop);
    event_free(loop->timer_event);
    close(loop->timer_fd);
    if (loop->pass_event != NULL) {
        event_free(loop->pass_event);
    }
    if (loop->owns_base) {
        event_base_free(loop->base);
    }
}
