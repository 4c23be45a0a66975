/* What:      rows between the connection that reads them and the task that wants them: a buffer of rows
 *            side by side. Each row is copied out of libpq's result, whose memory is then free for
 *            the next: results that wait cost 2.4 KiB each, and malloc half of the time.
 * Ownership: the buffer belongs to the struct. A row may be looked at until the next clear.
 * Context:   the loop's thread. What takes a PGresult: the loop's stack.
 * Callbacks: arrived, on the loop's stack.
 * Errors:    TUG_ENOMEM, TUG_ELIMIT by tug_fail. */
#ifndef TUG_PG_STREAMER_H
#define TUG_PG_STREAMER_H

#include "result.h"

typedef struct tug__pg_row {
    size_t size; /* of all of it, a multiple of 8: the next one follows */
    tug__pg_raw raw[];
} tug__pg_row;

/* Zeroed is empty, but for the bounds. */
typedef struct tug__pg_streamer tug__pg_streamer;
struct tug__pg_streamer {
    char *buffer;
    size_t capacity, used;
    size_t at;       /* the reader's place */
    size_t rows;     /* since the last clear */
    int64_t came;    /* rows, from the first on */
    PGresult *carry; /* found no room: nothing more is read until the reader has made some */
    PGresult *shape; /* the columns; NULL: no row has come yet */
    size_t max_waiting, max_row_bytes;
    /* There was nothing to be read, and now there is. */
    void (*arrived)(tug__pg_streamer *s);
};

/* The rows of a result, which is taken over. */
int tug__pg_streamer_put(tug__pg_streamer *s, PGresult *res);
/* NULL: there is none now. */
static inline const tug__pg_row *tug__pg_streamer_next(tug__pg_streamer *s)
{
    if (s->at == s->used) {
        return NULL;
    }
    const tug__pg_row *row = (const tug__pg_row *)(const void *)(s->buffer + s->at);
    s->at += row->size;
    return row;
}
/* The reader has done with all that was there: room for what follows. */
int tug__pg_streamer_clear(tug__pg_streamer *s);
void tug__pg_streamer_free(tug__pg_streamer *s);

#endif
