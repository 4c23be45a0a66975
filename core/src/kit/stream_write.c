/* What: the calls that write, and the orderly end of a stream. */
#include "kit/stream.h"

enum {
    WRITE_PIECE = 128 * 1024 /* copied at once: a large write must not stand in memory twice */
};

static bool can_write(const tug_stream *s)
{
    return s->state == TUG__STREAM_OPEN || s->state == TUG__STREAM_HALF;
}

static int cannot_write(const tug_stream *s)
{
    return s->state == TUG__STREAM_BROKEN ? tug__stream_no_more(s) : tug__stream_closed_here();
}

/* Waits until fewer bytes are unsent; 0, or why nothing can be written. */
static int wait_room(tug_stream *s, const char *what)
{
    while (can_write(s) && tug_transport_is_full(s->transport)) {
        int rc = tug_park(&s->writer, NULL, what);
        if (rc < 0) {
            return rc;
        }
    }
    return can_write(s) ? tug__transport_check(s->transport) : cannot_write(s);
}

static int begin(tug_stream *s)
{
    s->has_writer = true;
    tug__stream_enter(s);
    return tug_checkpoint();
}

static int end(tug_stream *s, int rc)
{
    s->has_writer = false;
    tug__stream_leave(s);
    return rc;
}

int tug_stream_write(tug_stream *s, struct tug_bytes data)
{
    if (!tug__is_here(s->loop, "tug_stream_write")) {
        return TUG_EMISUSE;
    }
    if (s->has_writer) {
        return tug__stream_busy("write");
    }
    int rc = begin(s);
    for (size_t done = 0, n; rc == 0 && done < data.size; done += n) {
        n = data.size - done < WRITE_PIECE ? data.size - done : WRITE_PIECE;
        rc = wait_room(s, "stream.write");
        if (rc == 0) {
            rc = tug_transport_write(s->transport, tug_bytes((const uint8_t *)data.data + done, n));
        }
    }
    return end(s, rc);
}

/* Everything written is handed to the system. For once the mark is zero: "room" means that all is
 * sent. */
static int drain(tug_stream *s, const char *what)
{
    if (can_write(s)) {
        tug_transport_flush(s->transport);
        tug_transport_set_limits(s->transport, 0, 1, s->high + WRITE_PIECE);
    }
    int rc = wait_room(s, what);
    if (s->transport != NULL) {
        tug_transport_set_limits(s->transport, s->high, s->low, s->high + WRITE_PIECE);
    }
    return rc;
}

int tug_stream_flush(tug_stream *s)
{
    if (!tug__is_here(s->loop, "tug_stream_flush")) {
        return TUG_EMISUSE;
    }
    if (s->has_writer) {
        return tug__stream_busy("write");
    }
    int rc = begin(s);
    return end(s, rc < 0 ? rc : drain(s, "stream.flush"));
}

int tug_stream_shutdown(tug_stream *s)
{
    if (!tug__is_here(s->loop, "tug_stream_shutdown")) {
        return TUG_EMISUSE;
    }
    if (!can_write(s)) {
        return cannot_write(s);
    }
    return tug_transport_shutdown(s->transport);
}

/* 0: the peer has ended its direction. */
static int wait_end(tug_stream *s)
{
    int rc = 0;
    while (rc == 0 && s->state == TUG__STREAM_OPEN) {
        rc = tug_park(&s->closed, NULL, "stream.finish");
        rc = rc == TUG_ECANCELED ? rc : 0; /* else the state says more */
    }
    return rc < 0 ? rc : tug__stream_no_more(s);
}

static int finish(tug_stream *s)
{
    int rc = tug_stream_shutdown(s);
    if (rc < 0) {
        return rc;
    }
    s->is_discarding = true;
    tug__stream_discard(s);
    tug__stream_update_pause(s);
    rc = drain(s, "stream.finish");
    if (rc == 0) {
        tug_transport_flush(s->transport); /* the end of our direction itself */
        rc = wait_end(s);
    }
    s->is_discarding = false;
    return rc;
}

int tug_stream_finish(tug_stream *s)
{
    if (!tug__is_here(s->loop, "tug_stream_finish")) {
        return TUG_EMISUSE;
    }
    if (s->has_writer || s->has_reader) {
        return tug__stream_busy(s->has_writer ? "write" : "read");
    }
    s->has_reader = true;
    int rc = begin(s);
    rc = rc < 0 ? rc : finish(s);
    s->has_reader = false;
    return end(s, rc);
}
