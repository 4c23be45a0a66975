/* What:      AMQP frames out of a stream of bytes, however it is cut: 7 bytes of header, payload, end byte.
 * Ownership: payloads are borrowed for the call. The struct is its owner's; free what it holds.
 * Context:   the loop's stack.
 * Callbacks: frame and body, inside feed. Anything but 0 from them ends the feed: their owner is gone or
 *            going, and knows why.
 * Errors:    TUG_EPROTO and TUG_ELIMIT with a sentence in *why, TUG_ENOMEM. The stream is of no use after it. */
#ifndef TUG_AMQP_FRAME_H
#define TUG_AMQP_FRAME_H

#include <tug/error.h>

#include "codec.h"

typedef struct tug__amqp_frame_ops {
    /* A whole frame of type method, header or heartbeat, its end byte checked. */
    int (*frame)(void *arg, uint8_t type, uint16_t channel, const uint8_t *payload, size_t size);
    /* A part of a body frame, as it came: bodies are copied once, from the socket's chunk to the
     * message. last: the frame ends behind this part and its end byte was right. */
    int (*body)(void *arg, uint16_t channel, const uint8_t *part, size_t size, bool last);
} tug__amqp_frame_ops;

typedef struct tug__amqp_frames {
    const tug__amqp_frame_ops *ops;
    void *arg;
    size_t frame_max;     /* whole frames above this are refused */
    uint16_t channel_max; /* and channels above this */
    uint8_t head[TUG__AMQP_FRAME_HEAD];
    unsigned have_head; /* bytes of it */
    size_t size;        /* of the payload; valid once the header is whole */
    size_t got;         /* bytes of the payload so far */
    uint8_t *held;      /* a payload that came in pieces (not of a body) */
    size_t held_size;
} tug__amqp_frames;

void tug__amqp_frames_init(tug__amqp_frames *f, const tug__amqp_frame_ops *ops, void *arg,
                           size_t frame_max, uint16_t channel_max);
void tug__amqp_frames_free(tug__amqp_frames *f);
/* 0: all of it is consumed; > 0: a callback ended it; < 0: *why says what is wrong. */
int tug__amqp_frames_feed(tug__amqp_frames *f, const uint8_t *data, size_t size,
                          tug_error *why) TUG_CHECK;

#endif
