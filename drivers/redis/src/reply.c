#include "reply.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/alloc.h>

/* The first block of an array, and the size at which blocks stop to double. */
#define BLOCK_FIRST 1024
#define BLOCK_MOST ((size_t)64 << 10)

struct redis_block {
    redis_block *next;
    size_t used, size;
    char data[];
};

struct redis_pool {
    redis_root *idle; /* linked through pool, which an idle one does not need */
    size_t n_idle;
    size_t n_out; /* replies that live, and one for the handle */
};

static_assert(sizeof(redis_root) == 128, "a short reply is two cache lines");

redis_pool *tug__redis_pool_new(void)
{
    redis_pool *pool = tug_calloc(1, sizeof *pool);
    if (pool != NULL) {
        pool->n_out = 1;
    }
    return pool;
}

void tug__redis_pool_unref(redis_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    assert(pool->n_out > 0 && "a pool is released once by each who holds it");
    if (--pool->n_out > 0) {
        return;
    }
    while (pool->idle != NULL) {
        redis_root *root = pool->idle;
        pool->idle = (redis_root *)(void *)root->pool;
        tug_free(root);
    }
    tug_free(pool);
}

redis_root *tug__redis_root_new(redis_pool *pool)
{
    redis_root *root = pool->idle;
    if (root != NULL) {
        pool->idle = (redis_root *)(void *)root->pool;
        pool->n_idle--;
    } else {
        root = tug_alloc(sizeof *root);
        if (root == NULL) {
            return NULL;
        }
    }
    pool->n_out++;
    root->node.type = TUG_REDIS_NIL;
    root->node.depth = 0;
    root->node.size = 0;
    root->refs = 1;
    root->pool = pool;
    root->blocks = NULL;
    return root;
}

void tug__redis_root_free(redis_root *root)
{
    redis_block *block = root->blocks;
    while (block != NULL) {
        redis_block *next = block->next;
        tug_free(block);
        block = next;
    }
    redis_pool *pool = root->pool;
    if (pool->n_idle < REDIS_POOL_KEEP) {
        root->pool = (redis_pool *)(void *)pool->idle;
        pool->idle = root;
        pool->n_idle++;
    } else {
        tug_free(root);
    }
    tug__redis_pool_unref(pool);
}

/* A fresh block, zeroed (a large one comes from the system as pages that nobody has touched: a header
 * that promises a million elements costs nothing until they arrive). */
static redis_block *root_add_block(redis_root *root, size_t size)
{
    redis_block *block = tug_calloc(1, sizeof *block + size);
    if (block != NULL) {
        block->size = size;
        block->next = root->blocks;
        root->blocks = block;
    }
    return block;
}

void *tug__redis_root_alloc(redis_root *root, size_t size)
{
    const size_t align = _Alignof(tug_redis_reply);
    redis_block *block = root->blocks;
    size = (size + align - 1) / align * align;
    if (block == NULL || block->size - block->used < size) {
        size_t next = block == NULL ? BLOCK_FIRST : block->size * 2;
        next = next > BLOCK_MOST ? BLOCK_MOST : next;
        block = root_add_block(root, size > next ? size : next);
        if (block == NULL) {
            return NULL;
        }
    }
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

tug_redis_reply *tug__redis_root_nodes(redis_root *root, size_t n)
{
    if (n > SIZE_MAX / 2 / sizeof(tug_redis_reply)) {
        return NULL;
    }
    return tug__redis_root_alloc(root, n * sizeof(tug_redis_reply));
}

bool tug__redis_root_text(redis_root *root, tug_redis_reply *node, int type, const char *text,
                          size_t size)
{
    char *to = root->text;
    if (node != &root->node || size >= sizeof root->text) {
        to = tug__redis_root_alloc(root, size + 1);
        if (to == NULL) {
            return false;
        }
    }
    memcpy(to, text, size);
    to[size] = 0;
    node->type = (uint8_t)type;
    node->size = size;
    node->u.text = to;
    return true;
}

char *tug__redis_root_grow(redis_root *root, size_t size)
{
    if (size < sizeof root->text) {
        return root->text;
    }
    redis_block *old = root->blocks;
    assert((old == NULL || old->next == NULL) && "one growing text has one block");
    redis_block *block = tug_realloc(old, sizeof *block + size + 1);
    if (block == NULL) {
        return NULL;
    }
    if (old == NULL) {
        block->next = NULL;
    }
    block->size = block->used = size + 1;
    root->blocks = block;
    return block->data;
}

/* --- what users see ----------------------------------------------------------------------------- */

tug_redis_reply *tug_redis_reply_ref(tug_redis_reply *reply)
{
    ((redis_root *)reply)->refs++;
    return reply;
}

tug_redis_reply *tug_redis_reply_unref(tug_redis_reply *reply)
{
    if (reply != NULL) {
        redis_root *root = (redis_root *)reply;
        assert(root->refs > 0 && "a reply is released once for each reference");
        if (--root->refs == 0) {
            tug__redis_root_free(root);
        }
    }
    return NULL;
}

int tug_redis_reply_type(const tug_redis_reply *reply)
{
    return reply->type;
}

bool tug_redis_reply_is_null(const tug_redis_reply *reply)
{
    return reply->type == TUG_REDIS_NIL;
}

bool tug_redis_reply_is_error(const tug_redis_reply *reply)
{
    return reply->type == TUG_REDIS_ERROR;
}

const char *tug_redis_reply_text(const tug_redis_reply *reply)
{
    switch (reply->type) {
    case TUG_REDIS_TEXT:
    case TUG_REDIS_STATUS:
    case TUG_REDIS_ERROR:
        return reply->u.text;
    default:
        return NULL;
    }
}

struct tug_bytes tug_redis_reply_bytes(const tug_redis_reply *reply)
{
    const char *text = tug_redis_reply_text(reply);
    return tug_bytes(text != NULL ? text : "", text != NULL ? reply->size : 0);
}

size_t tug_redis_reply_count(const tug_redis_reply *reply)
{
    return reply->type == TUG_REDIS_ARRAY ? reply->size : 0;
}

const tug_redis_reply *tug_redis_reply_at(const tug_redis_reply *reply, size_t i)
{
    return i < tug_redis_reply_count(reply) ? &reply->u.items[i] : NULL;
}
