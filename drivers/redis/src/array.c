#include "array.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/driver.h>

#include "compat.h"

/* An idle buffer larger than this is given back: one huge reply must not be paid for ever after. */
#define BUFFER_KEEP ((size_t)256 << 10)

static redis_reader *array_reader_of(const redisReadTask *task)
{
    return task->privdata;
}

#define ARRAY_REFUSED(rd, code, ...)                                                               \
    (tug_error_set(&(rd)->why, (code), TUG_ORIGIN_CODEC, TUG_ANSWERED, NULL, __VA_ARGS__), NULL)

static void *array_not_asked_for(const redisReadTask *task)
{
    return ARRAY_REFUSED(array_reader_of(task), TUG_EPROTO,
                         "a RESP3 value, which was not asked for");
}

/* Where the value of this task goes: the root, or its place in the parent's elements. */
static tug_redis_reply *array_node(const redisReadTask *task)
{
    redis_reader *rd = array_reader_of(task);
    if (task->parent == NULL) {
        rd->root = tug__redis_root_new(rd->pool);
        return rd->root != NULL ? &rd->root->node : NULL;
    }
    const tug_redis_reply *parent = task->parent->obj;
    assert(parent != NULL && "hiredis keeps what an array was made into");
    return &parent->u.items[task->idx];
}

static void *array_make_text(const redisReadTask *task, char *text, size_t size)
{
    redis_reader *rd = array_reader_of(task);
    int type = task->type == REDIS_REPLY_STRING   ? TUG_REDIS_TEXT
               : task->type == REDIS_REPLY_STATUS ? TUG_REDIS_STATUS
               : task->type == REDIS_REPLY_ERROR  ? TUG_REDIS_ERROR
                                                  : -1;
    if (type < 0) {
        return array_not_asked_for(task);
    }
    if (size > rd->limits.max_bulk) {
        return ARRAY_REFUSED(rd, TUG_ELIMIT, "a text of %zu bytes in a reply, over max_bulk (%zu)",
                             size, rd->limits.max_bulk);
    }
    tug_redis_reply *node = array_node(task);
    if (node == NULL || !tug__redis_root_text(rd->root, node, type, text, size)) {
        return NULL;
    }
    return node;
}

static void *array_make_array(const redisReadTask *task, redis_count n)
{
    redis_reader *rd = array_reader_of(task);
    const tug_redis_reply *parent = task->parent != NULL ? task->parent->obj : NULL;
    unsigned depth = parent != NULL ? parent->depth + 1U : 1U;
    if (task->type != REDIS_REPLY_ARRAY) {
        return array_not_asked_for(task);
    }
    if (depth > rd->limits.max_depth) {
        return ARRAY_REFUSED(rd, TUG_ELIMIT,
                             "arrays nested %u deep in a reply, over max_depth (%u)", depth,
                             rd->limits.max_depth);
    }
    if ((size_t)n > rd->limits.max_elements - rd->array_elements) {
        return ARRAY_REFUSED(rd, TUG_ELIMIT, "%zu elements in a reply, over max_elements (%zu)",
                             (size_t)n + rd->array_elements, rd->limits.max_elements);
    }
    rd->array_elements += (size_t)n;
    tug_redis_reply *node = array_node(task);
    if (node == NULL) {
        return NULL;
    }
    node->type = TUG_REDIS_ARRAY;
    node->depth = (uint8_t)depth;
    node->size = 0;
    node->u.items = tug__redis_root_nodes(rd->root, (size_t)n);
    if (node->u.items == NULL) {
        return NULL;
    }
    node->size = (size_t)n;
    return node;
}

static void *array_make_integer(const redisReadTask *task, long long value)
{
    tug_redis_reply *node = array_node(task);
    if (node != NULL) {
        node->type = TUG_REDIS_INTEGER;
        node->u.integer = value;
    }
    return node;
}

static void *array_make_nil(const redisReadTask *task)
{
    return array_node(task); /* zeroed is nil */
}

#if REDIS_READS_RESP3
static void *array_make_double(const redisReadTask *task, double value, char *text, size_t size)
{
    (void)value, (void)text, (void)size;
    return array_not_asked_for(task);
}

static void *array_make_bool(const redisReadTask *task, int value)
{
    (void)value;
    return array_not_asked_for(task);
}
#endif

static void array_free(void *object)
{
    (void)object; /* rd->root owns all of it */
}

struct redisReader *tug__redis_array_reader(redis_reader *rd)
{
    static redisReplyObjectFunctions functions = {
        .createString = array_make_text,
        .createArray = array_make_array,
        .createInteger = array_make_integer,
        .createNil = array_make_nil,
#if REDIS_READS_RESP3
        .createDouble = array_make_double,
        .createBool = array_make_bool,
#endif
        .freeObject = array_free,
    };
    redisReader *h = redisReaderCreateWithFunctions(&functions);
    if (h != NULL) {
        h->privdata = rd;
        h->maxbuf = BUFFER_KEEP;
    }
    return h;
}

/* The number at hiredis' read position: the length of the text it waits for, its '$' being read. True if
 * the whole line stands there. */
static bool array_pending_number(const redisReader *h, size_t *ret_number)
{
    const char *p = h->buf + h->pos, *end = h->buf + h->len;
    size_t number = 0;
    for (; p < end && *p >= '0' && *p <= '9' && number < SIZE_MAX / 16; p++) {
        number = number * 10 + (size_t)(*p - '0');
    }
    *ret_number = number;
    return p < end && *p == '\r';
}

bool tug__redis_array_within_limits(redis_reader *rd)
{
    const redisReader *h = rd->hiredis;
    const redisReadTask *task = redis_current_task(h);
    bool is_text = task != NULL && task->type == REDIS_REPLY_STRING;
    size_t size = 0;
    bool is_line = !array_pending_number(h, &size) || !is_text;
    if (is_text && size > rd->limits.max_bulk) {
        (void)ARRAY_REFUSED(rd, TUG_ELIMIT, "a text of %zu bytes in a reply, over max_bulk (%zu)",
                            size, rd->limits.max_bulk);
        return false;
    }
    if (is_line && h->len - h->pos > REDIS_LINE_MAX) {
        /* hiredis looks for its end from the start with each portion: quadratic, were it not ended here. */
        (void)ARRAY_REFUSED(rd, TUG_ELIMIT, "a line of more than %zu bytes in a reply",
                            REDIS_LINE_MAX);
        return false;
    }
    if (rd->array_bytes > rd->limits.max_reply) {
        (void)ARRAY_REFUSED(rd, TUG_ELIMIT, "a reply of more than %zu bytes (max_reply)",
                            rd->limits.max_reply);
        return false;
    }
    return true;
}

void tug__redis_array_why(redis_reader *rd)
{
    const redisReader *h = rd->hiredis;
    if (rd->why.code != 0) {
        return;
    }
    if (h->err == REDIS_ERR_OOM) {
        tug_error_set(&rd->why, TUG_ENOMEM, TUG_ORIGIN_CODEC, TUG_ANSWERED, NULL,
                      "no memory for a reply");
    } else if (strstr(h->errstr, "depth") != NULL) {
        tug_error_set(
            &rd->why, TUG_ELIMIT, TUG_ORIGIN_CODEC, TUG_ANSWERED, NULL,
            "arrays nested more than 8 deep in a reply, which hiredis before 1.0 cannot read");
    } else {
        tug_error_set(&rd->why, TUG_EPROTO, TUG_ORIGIN_CODEC, TUG_ANSWERED, NULL, "hiredis: %s",
                      h->errstr);
    }
}
