#include "frame.h"

#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

/* A buffer for payloads in pieces is kept between frames up to this size. */
#define FRAMES_KEEP 4096

void tug__amqp_frames_init(tug__amqp_frames *f, const tug__amqp_frame_ops *ops, void *arg,
                           size_t frame_max, uint16_t channel_max)
{
    memset(f, 0, sizeof *f);
    f->ops = ops;
    f->arg = arg;
    f->frame_max = frame_max;
    f->channel_max = channel_max;
}

void tug__amqp_frames_free(tug__amqp_frames *f)
{
    tug_free(f->held);
    f->held = NULL;
    f->held_size = 0;
}

static int frames_wrong(tug_error *why, int code, const char *what, unsigned long number)
{
    tug_error_set(why, code, TUG_ORIGIN_TUG, TUG_IN_FLIGHT, NULL, "%s (%lu)", what, number);
    return code;
}

/* The header is whole: may a payload of this kind follow? */
static int frames_check_head(tug__amqp_frames *f, tug_error *why)
{
    uint8_t type = f->head[0];
    uint16_t channel = tug__amqp_get16(f->head + 1);
    f->size = tug__amqp_get32(f->head + 3);
    f->got = 0;
    if (type != AMQP_FRAME_METHOD && type != AMQP_FRAME_HEADER && type != AMQP_FRAME_BODY &&
        type != AMQP_FRAME_HEARTBEAT) {
        return frames_wrong(why, TUG_EPROTO, "a frame of unknown type", type);
    }
    if (f->size > f->frame_max - TUG__AMQP_FRAME_EXTRA) {
        return frames_wrong(why, TUG_ELIMIT,
                            "a frame larger than the agreed frame_max: payload bytes",
                            (unsigned long)f->size);
    }
    if (channel > f->channel_max) {
        return frames_wrong(why, TUG_ELIMIT, "a frame on a channel above the agreed channel_max",
                            channel);
    }
    if (type == AMQP_FRAME_HEARTBEAT && (channel != 0 || f->size != 0)) {
        return frames_wrong(why, TUG_EPROTO, "a heartbeat with payload or channel: payload bytes",
                            (unsigned long)f->size);
    }
    if ((type == AMQP_FRAME_BODY || type == AMQP_FRAME_HEADER) && channel == 0) {
        return frames_wrong(why, TUG_EPROTO, "content on channel 0: frame type", type);
    }
    if ((type == AMQP_FRAME_METHOD && f->size < 4) ||
        (type == AMQP_FRAME_HEADER && f->size < TUG__AMQP_CONTENT_HEAD)) {
        return frames_wrong(why, TUG_EPROTO, "a frame too short for its type: payload bytes",
                            (unsigned long)f->size);
    }
    return 0;
}

static int frames_check_end(uint8_t end, tug_error *why)
{
    return end == AMQP_FRAME_END
               ? 0
               : frames_wrong(why, TUG_EPROTO, "a frame with a wrong end byte", end);
}

static int frames_give(tug__amqp_frames *f, const uint8_t *payload)
{
    uint16_t channel = tug__amqp_get16(f->head + 1);
    f->have_head = 0; /* before the callback: it may free what f belongs to, f itself excepted */
    if (f->head[0] == AMQP_FRAME_BODY) {
        return f->ops->body(f->arg, channel, payload, f->size, true);
    }
    return f->ops->frame(f->arg, f->head[0], channel, payload, f->size);
}

/* Keeps what has come of a payload. A body goes to its message instead. */
static int frames_hold(tug__amqp_frames *f, const uint8_t *part, size_t size, tug_error *why)
{
    if (f->head[0] == AMQP_FRAME_BODY) {
        f->got += size;
        return size == 0 ? 0
                         : f->ops->body(f->arg, tug__amqp_get16(f->head + 1), part, size, false);
    }
    if (f->held_size < f->size) {
        uint8_t *held = tug_realloc(f->held, f->size);
        if (held == NULL) {
            return frames_wrong(why, TUG_ENOMEM, "no memory for a frame: payload bytes",
                                (unsigned long)f->size);
        }
        f->held = held;
        f->held_size = f->size;
    }
    if (size > 0) {
        memcpy(f->held + f->got, part, size);
        f->got += size;
    }
    return 0;
}

static void frames_trim(tug__amqp_frames *f)
{
    if (f->held_size > FRAMES_KEEP) {
        tug__amqp_frames_free(f);
    }
}

/* The frame was cut: its header is whole, at least one byte of the rest was missing when it
 * began. */
static int frames_continue(tug__amqp_frames *f, const uint8_t **at, const uint8_t *end,
                           tug_error *why)
{
    size_t part = f->size - f->got;
    if (part > (size_t)(end - *at)) {
        part = (size_t)(end - *at);
    }
    int rc = frames_hold(f, *at, part, why);
    *at += part;
    if (rc != 0 || f->got < f->size || *at == end) {
        return rc;
    }
    rc = frames_check_end(*(*at)++, why);
    if (rc != 0) {
        return rc;
    }
    if (f->head[0] == AMQP_FRAME_BODY) {
        f->have_head = 0;
        return f->ops->body(f->arg, tug__amqp_get16(f->head + 1), NULL, 0, true);
    }
    rc = frames_give(f, f->held);
    if (rc == 0) {
        frames_trim(f);
    }
    return rc;
}

int tug__amqp_frames_feed(tug__amqp_frames *f, const uint8_t *data, size_t size, tug_error *why)
{
    const uint8_t *at = data, *end = data + size;
    int rc = 0;
    while (rc == 0 && at < end) {
        if (f->have_head == TUG__AMQP_FRAME_HEAD) {
            rc = frames_continue(f, &at, end, why);
            continue;
        }
        size_t part = TUG__AMQP_FRAME_HEAD - f->have_head;
        if (part > (size_t)(end - at)) {
            part = (size_t)(end - at);
        }
        memcpy(f->head + f->have_head, at, part);
        f->have_head += (unsigned)part;
        at += part;
        if (f->have_head < TUG__AMQP_FRAME_HEAD) {
            break;
        }
        rc = frames_check_head(f, why);
        if (rc == 0 && (size_t)(end - at) > f->size) {
            /* The whole frame is here: nothing is copied. */
            const uint8_t *payload = at;
            at += f->size + 1;
            rc = frames_check_end(at[-1], why);
            rc = rc == 0 ? frames_give(f, payload) : rc;
        } else if (rc == 0) {
            rc = frames_hold(f, NULL, 0, why);
        }
    }
    return rc;
}
