/* What: the stream's input buffer, and the calls that read. What a call has taken and cannot return goes
 * back in front of the buffer, so that a cancelled or failed read has taken nothing. */
#include <assert.h>
#include <limits.h>
#include <string.h>
#include <tug/scope.h>
#include <tug/sys/alloc.h>

#include "kit/stream.h"

enum {
    INPUT_FIRST = 4 * 1024,        /* first size of the buffer */
    DELIMITER_MOST = 64,           /* a delimiter is a line's end or a boundary, not a text */
    UNTIL_MOST = 64 * 1024 * 1024, /* of read_until: all of it lies in the buffer */
};

/* --- the buffer ------------------------------------------------------------------------------ */

/* Room for size more bytes behind the buffered ones. */
static int make_room(tug_stream *s, size_t size)
{
    size_t used = tug__stream_buffered(s);
    if (used + size > s->in_size) {
        size_t grown = s->in_size > 0 ? s->in_size : INPUT_FIRST;
        while (grown < used + size) {
            grown *= 2;
        }
        uint8_t *in = tug_alloc(grown);
        if (in == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for %zu bytes of input", grown);
        }
        if (used > 0) {
            memcpy(in, s->in + s->in_start, used);
        }
        tug_free(s->in);
        s->in = in;
        s->in_size = grown;
    } else if (s->in_end + size > s->in_size) {
        memmove(s->in, s->in + s->in_start, used);
    } else {
        return 0;
    }
    s->in_start = 0;
    s->in_end = used;
    return 0;
}

int tug__stream_append(tug_stream *s, const uint8_t *data, size_t size)
{
    int rc = make_room(s, size);
    if (rc == 0) {
        memcpy(s->in + s->in_end, data, size);
        s->in_end += size;
    }
    return rc;
}

/* Puts bytes back in front of the buffered ones. */
static int put_back(tug_stream *s, const uint8_t *data, size_t size)
{
    int rc = make_room(s, size);
    if (rc == 0) {
        memmove(s->in + s->in_start + size, s->in + s->in_start, tug__stream_buffered(s));
        memcpy(s->in + s->in_start, data, size);
        s->in_end += size;
    }
    return rc;
}

/* An empty buffer goes: most connections are idle. */
void tug__stream_discard(tug_stream *s)
{
    tug_free(s->in);
    s->in = NULL;
    s->in_start = s->in_end = s->in_size = 0;
}

static size_t take(tug_stream *s, void *to, size_t size)
{
    size_t n = size < tug__stream_buffered(s) ? size : tug__stream_buffered(s);
    if (n > 0) {
        memcpy(to, s->in + s->in_start, n);
        s->in_start += n;
        if (tug__stream_buffered(s) == 0) {
            tug__stream_discard(s);
        }
        tug__stream_update_pause(s);
    }
    return n;
}

void tug__stream_update_pause(tug_stream *s)
{
    size_t most = s->wanted > s->read_ahead ? s->wanted : s->read_ahead;
    if (s->transport != NULL) {
        tug_transport_pause(s->transport, tug__stream_buffered(s) > most);
    }
}

/* --- around each read ------------------------------------------------------------------------ */

static int begin(tug_stream *s, const void *to, size_t size)
{
    if (size == 0 || to == NULL) {
        return tug_fail(TUG_EINVAL, "no room to read into");
    }
    if (s->has_reader) {
        return tug__stream_busy("read");
    }
    if (s->transport != NULL && (tug__transport_directions(s->transport) & TUG_READ) == 0) {
        return tug_fail(TUG_EMISUSE, "%s can only be written to", tug_stream_peer(s));
    }
    s->has_reader = true;
    tug__stream_enter(s);
    return 0;
}

static int end(tug_stream *s, int rc)
{
    s->has_reader = false;
    if (s->wanted > 0) {
        s->wanted = 0;
        tug__stream_update_pause(s);
    }
    tug__stream_leave(s);
    return rc;
}

static int read_some(tug_stream *s, void *to, size_t size)
{
    if (tug__stream_buffered(s) == 0 && s->state == TUG__STREAM_OPEN) {
        struct tug__reading r = {.to = to, .size = size, .least = 1};
        int rc = tug_park(&s->reader, &r, "stream.read");
        return rc > 0 ? (int)r.got : rc;
    }
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (s->state != TUG__STREAM_CLOSED && tug__stream_buffered(s) > 0) {
        return (int)take(s, to, size);
    }
    return tug__stream_no_more(s);
}

int tug_stream_read(tug_stream *s, void *to, size_t size)
{
    if (!tug__is_here(s->loop, "tug_stream_read")) {
        return TUG_EMISUSE;
    }
    int rc = begin(s, to, size);
    return rc < 0 ? rc : end(s, read_some(s, to, size < INT_MAX ? size : INT_MAX));
}

/* --- exactly so many ------------------------------------------------------------------------- */

/* If there is no memory to give back half a message, the stream is of no more use. */
static int undo(tug_stream *s, const struct tug__reading *r, int rc)
{
    if (r->got == 0 || s->state == TUG__STREAM_CLOSED) {
        return rc;
    }
    tug_error why = *tug_last_error();
    if (put_back(s, r->to, r->got) < 0) {
        if (s->state != TUG__STREAM_BROKEN) {
            tug__stream_break(s, tug_last_error());
        }
        return TUG_ENOMEM;
    }
    tug__stream_update_pause(s);
    return why.code == rc ? tug_fail_with(&why) : rc;
}

static int ended_early(size_t got, size_t size)
{
    return tug_fail(TUG_EPROTO, "the peer ended after %zu of %zu bytes", got, size);
}

/* Fewer than size bytes are there, and more may come. */
static int wait_exact(tug_stream *s, void *to, size_t size)
{
    struct tug__reading r = {.to = to, .size = size, .least = size};
    if (tug_is_cancelled()) {
        return tug_checkpoint(); /* before anything is taken that would have to go back */
    }
    r.got = take(s, to, size);
    int rc = tug_park(&s->reader, &r, "stream.read_exact");
    if (rc > 0) {
        return 0;
    }
    return undo(s, &r, rc == 0 ? ended_early(r.got, size) : rc);
}

static int read_exact(tug_stream *s, void *to, size_t size)
{
    if (s->state == TUG__STREAM_OPEN && tug__stream_buffered(s) < size) {
        return wait_exact(s, to, size);
    }
    int rc = tug_checkpoint();
    if (rc < 0) {
        return rc;
    }
    if (s->state != TUG__STREAM_CLOSED && tug__stream_buffered(s) >= size) {
        take(s, to, size);
        return 0;
    }
    rc = tug__stream_no_more(s);
    return rc < 0 ? rc : ended_early(tug__stream_buffered(s), size);
}

int tug_stream_read_exact(tug_stream *s, void *to, size_t size)
{
    if (!tug__is_here(s->loop, "tug_stream_read_exact")) {
        return TUG_EMISUSE;
    }
    int rc = begin(s, to, size);
    return rc < 0 ? rc : end(s, read_exact(s, to, size));
}

/* --- what has to lie in the buffer as a whole ------------------------------------------------ */

static void want(tug_stream *s, size_t size)
{
    s->wanted = size;
    tug__stream_update_pause(s);
}

/* Waits until there are more bytes in the buffer than have been looked at: 1; 0: none will come. */
static int wait_more(tug_stream *s, const char *what)
{
    struct tug__reading r = {.to = NULL};
    return s->state == TUG__STREAM_OPEN ? tug_park(&s->reader, &r, what) : tug__stream_no_more(s);
}

/* Where the delimiter ends in the buffer, 0 if it is not there. *seen bytes need no second look. */
static size_t find(const tug_stream *s, struct tug_bytes delimiter, size_t limit, size_t *seen)
{
    size_t size = tug__stream_buffered(s) < limit ? tug__stream_buffered(s) : limit;
    if (size < delimiter.size) {
        return 0;
    }
    const uint8_t *in = s->in + s->in_start;
    const uint8_t *at = memmem(in + *seen, size - *seen, delimiter.data, delimiter.size);
    if (at != NULL) {
        return (size_t)(at - in) + delimiter.size;
    }
    *seen = size - delimiter.size + 1; /* its first bytes may be the last of these */
    return 0;
}

static int no_delimiter(const tug_stream *s, size_t size)
{
    if (tug__stream_buffered(s) >= size) {
        return tug_fail(TUG_ELIMIT, "%s sent no delimiter within %zu bytes", tug_stream_peer(s),
                        size);
    }
    return tug__stream_buffered(s) == 0
               ? 0
               : tug_fail(TUG_EPROTO, "the peer ended after %zu bytes without a delimiter",
                          tug__stream_buffered(s));
}

static int read_until(tug_stream *s, struct tug_bytes delimiter, void *to, size_t size)
{
    size_t seen = 0;
    bool has_waited = false;
    for (;;) {
        size_t n = find(s, delimiter, size, &seen);
        bool is_over = n > 0 || tug__stream_buffered(s) >= size || s->state != TUG__STREAM_OPEN;
        if (is_over && !has_waited) {
            has_waited = true;
            int rc = tug_checkpoint();
            if (rc < 0 || s->state == TUG__STREAM_CLOSED) {
                return rc < 0 ? rc : tug__stream_closed_here();
            }
            continue; /* more may have come */
        }
        if (n > 0) {
            return (int)take(s, to, n);
        }
        int rc = tug__stream_buffered(s) >= size ? 0 : wait_more(s, "stream.read_until");
        if (rc <= 0) {
            return rc < 0 ? rc : no_delimiter(s, size);
        }
        has_waited = true;
    }
}

int tug_stream_read_until(tug_stream *s, struct tug_bytes delimiter, void *to, size_t size)
{
    if (!tug__is_here(s->loop, "tug_stream_read_until")) {
        return TUG_EMISUSE;
    }
    if (delimiter.size == 0 || delimiter.size > DELIMITER_MOST) {
        return tug_fail(TUG_EINVAL, "a delimiter has 1 to %d bytes", DELIMITER_MOST);
    }
    if (size > UNTIL_MOST) {
        return tug_fail(TUG_EINVAL, "read_until reads at most %d bytes", UNTIL_MOST);
    }
    int rc = begin(s, to, size);
    if (rc < 0) {
        return rc;
    }
    want(s, size);
    return end(s, read_until(s, delimiter, to, size));
}

static int read_all(tug_stream *s, size_t limit, tug_buffer **ret_buffer)
{
    int rc = s->state == TUG__STREAM_OPEN && tug__stream_buffered(s) <= limit ? 0
                                                                              : tug_checkpoint();
    while (rc == 0 && s->state == TUG__STREAM_OPEN && tug__stream_buffered(s) <= limit) {
        rc = wait_more(s, "stream.read_all");
        rc = rc < 0 ? rc : 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (s->state != TUG__STREAM_CLOSED && tug__stream_buffered(s) > limit) {
        return tug_fail(TUG_ELIMIT, "%s sent more than %zu bytes", tug_stream_peer(s), limit);
    }
    rc = tug__stream_no_more(s);
    if (rc == 0) {
        const uint8_t *in = s->in != NULL ? s->in + s->in_start : (const uint8_t *)"";
        rc = tug_buffer_new(in, tug__stream_buffered(s), ret_buffer);
    }
    if (rc == 0) {
        tug__stream_discard(s);
    }
    return rc;
}

int tug_stream_read_all(tug_stream *s, size_t limit, tug_buffer **ret_buffer)
{
    if (!tug__is_here(s->loop, "tug_stream_read_all")) {
        return TUG_EMISUSE;
    }
    int rc = begin(s, ret_buffer, 1);
    if (rc < 0) {
        return rc;
    }
    want(s, limit);
    return end(s, read_all(s, limit, ret_buffer));
}
