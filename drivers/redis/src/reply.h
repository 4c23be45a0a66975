/* What:      reply objects. A short reply is one piece of 128 bytes from the handle's pool, its text inside;
 *            a long text has memory of its own; an array's nodes and texts lie in a few blocks. Freeing
 *            walks the blocks: the depth of a reply costs no stack.
 * Ownership: a reply holds on to its pool, so that it may outlive the handle.
 * Context:   the loop's thread (the pool is not locked).
 * Callbacks: none.
 * Errors:    NULL when out of memory. */
#ifndef TUG_REDIS_REPLY_H
#define TUG_REDIS_REPLY_H

#include <tug/redis.h>

/* A value: the root of a reply, or an element. Zeroed it is nil. */
struct tug_redis_reply {
    uint8_t type;  /* TUG_REDIS_* */
    uint8_t depth; /* of an array: 1 for the root */
    size_t size;   /* bytes of a text, elements of an array */
    union {
        int64_t integer;
        const char *text;
        struct tug_redis_reply *items;
    } u;
};

typedef struct redis_pool redis_pool;
typedef struct redis_block redis_block;

/* What tug_redis_reply points to when it is a reply and not an element. */
typedef struct redis_root {
    tug_redis_reply node;
    unsigned refs;
    redis_pool *pool;
    redis_block *blocks; /* what the text or the elements lie in, newest first */
    char text[80];       /* a short text, with a 0 behind it: 128 bytes in all, two cache lines */
} redis_root;

/* Replies that wait in the pool for reuse; more are given back to the heap. As many as one read of
 * 64 KiB can bring while tasks have not run yet, roughly. */
#define REDIS_POOL_KEEP 4096

/* reference: the handle's. */
redis_pool *tug__redis_pool_new(void);
void tug__redis_pool_unref(redis_pool *pool);

/* A nil with one reference. */
redis_root *tug__redis_root_new(redis_pool *pool);
/* Memory that lives as long as the reply; aligned for nodes. */
void *tug__redis_root_alloc(redis_root *root, size_t size);
/* n nil nodes. */
tug_redis_reply *tug__redis_root_nodes(redis_root *root, size_t n);
/* Copies a text into a node of the reply (the root's node itself included). */
bool tug__redis_root_text(redis_root *root, tug_redis_reply *node, int type, const char *text,
                          size_t size);
/* Room for a text that arrives in pieces: at least size bytes and a 0, what was there is kept. The
 * root's own text, not an element's. */
char *tug__redis_root_grow(redis_root *root, size_t size);
void tug__redis_root_free(redis_root *root);

#endif
