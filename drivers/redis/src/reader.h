/* What:      bytes in, replies out. Texts, integers, statuses and errors that are a reply of their own are
 *            read here, straight from the chunk (a long text straight into its reply, past any buffer);
 *            arrays go through redisReader with our own object functions.
 * Ownership: the reader is yours: close. Replies are yours. A chunk is borrowed until next returned 0.
 * Context:   loop stack (hiredis runs here).
 * Callbacks: none.
 * Errors:    TUG_EPROTO, TUG_ELIMIT, TUG_ENOMEM with the detail in reader->why; the reader is dead then:
 *            what follows in the stream cannot be told apart any more. */
#ifndef TUG_REDIS_READER_H
#define TUG_REDIS_READER_H

#include "reply.h"

/* What a server may make us hold. */
typedef struct redis_limits {
    size_t max_bulk, max_elements, max_reply;
    unsigned max_depth;
} redis_limits;

/* The longest status, error or number line; the server's own error texts end far below. */
#define REDIS_LINE_MAX ((size_t)64 << 10)

typedef enum redis_reader_state {
    READER_IDLE,  /* at a reply boundary */
    READER_LINE,  /* a line was cut by the end of a chunk: its start is in line */
    READER_BULK,  /* a long text is on its way into root */
    READER_ARRAY, /* redisReader is inside an array */
    READER_DEAD   /* why says why */
} redis_reader_state;

struct redisReader;

typedef struct redis_reader {
    redis_reader_state state;
    const uint8_t *at, *end; /* what is left of the chunk */
    const uint8_t
        *mirror_end; /* [at, mirror_end) lies unread in hiredis' buffer too; NULL: nothing does */
    struct redisReader *hiredis;
    redis_pool *pool;
    redis_root *root;            /* the reply that is being built */
    size_t bulk_size, bulk_have; /* READER_BULK: bytes of the text, without and with its line end */
    size_t bulk_room;
    size_t array_bytes; /* READER_ARRAY: bytes of this reply so far */
    size_t array_elements;
    char *line;
    size_t line_size, line_room;
    redis_limits limits;
    tug_error why;
} redis_reader;

/* pool: borrowed, outlives the reader. TUG_ENOMEM. */
int tug__redis_reader_open(redis_reader *rd, redis_pool *pool,
                           const redis_limits *limits) TUG_CHECK;
/* Half-built and zeroed ones are fine. */
void tug__redis_reader_close(redis_reader *rd);
/* The chunk before must be used up. */
void tug__redis_reader_input(redis_reader *rd, const uint8_t *data, size_t size);
/* 1: a reply; 0: the chunk is used up; < 0: see above. */
int tug__redis_reader_next(redis_reader *rd, redis_root **ret_root) TUG_CHECK;

#endif
