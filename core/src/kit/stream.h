/* What:      the stream's inside, shared by its three parts: life (stream.c), reads (stream_read.c), writes and
 *            the orderly end (stream_write.c).
 * Ownership: as of tug_stream. Context: the loop's thread.
 * Callbacks: those of the transport, on the loop stack. Errors: as stated. */
#ifndef TUG_KIT_STREAM_H
#define TUG_KIT_STREAM_H

#include <tug/stream.h>
#include <tug/sys/driver.h>

#include "kit/transport.h"
#include "loop/loop.h"

enum tug__stream_state {
    TUG__STREAM_OPEN,
    TUG__STREAM_HALF,   /* the peer sends no more; writes go on */
    TUG__STREAM_BROKEN, /* the transport says why; what is buffered can still be read */
    TUG__STREAM_CLOSED
};

/* What a waiting reader wants. */
struct tug__reading {
    uint8_t *to; /* NULL: the bytes are to stay in the buffer, it only looks at them */
    size_t size;
    size_t got;
    size_t least; /* it is woken with so many */
};

struct tug_stream {
    struct tug_loop *loop;    /* NULL: at its end */
    tug_transport *transport; /* NULL when closed */
    uint8_t state;
    bool has_reader, has_writer; /* a task is inside a read; inside write, flush or finish */
    bool is_discarding;          /* inside finish: nobody will read any more */
    unsigned inside;             /* calls that may be suspended: they keep the memory */
    uint8_t *in;                 /* in[in_start .. in_end) was not read yet */
    size_t in_start, in_end, in_size;
    size_t wanted; /* what a reader wants to see in the buffer at once */
    size_t high, low, read_ahead;
    tug_waiters reader; /* slot: struct tug__reading */
    tug_waiters writer;
    tug_waiters closed;
    tug_end_hook at_end;
};

/* Copies of given (NULL: the defaults) into both; TUG_EINVAL. */
int tug__stream_options_check(const tug_stream_options *given, tug_stream_options *ret_options,
                              struct tug__dial_options *ret_dial);
/* On failure the transport is still the caller's. */
int tug__stream_wrap(tug_transport *t, const tug_stream_options *o, tug_stream **ret_stream);

static inline size_t tug__stream_buffered(const tug_stream *s)
{
    return s->in_end - s->in_start;
}

/* Bytes that came, or that go back to the front. TUG_ENOMEM. */
int tug__stream_append(tug_stream *s, const uint8_t *data, size_t size);
void tug__stream_discard(tug_stream *s);
void tug__stream_update_pause(tug_stream *s);

/* Around each call that may be suspended. leave may free the stream. */
static inline void tug__stream_enter(tug_stream *s)
{
    s->inside++;
}
void tug__stream_leave(tug_stream *s);
/* The stream can no longer be used, for a reason of its own. */
void tug__stream_break(tug_stream *s, const tug_error *why);

int tug__stream_closed_here(void);
int tug__stream_busy(const char *what);
/* Of a stream that is not open: 0 at the peer's end, or why. */
int tug__stream_no_more(const tug_stream *s);

#endif
