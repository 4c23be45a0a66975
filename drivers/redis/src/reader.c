/* How a chunk is read:
 *
 *              whole line, whole bulk: a reply at once
 *        .-------------------------------------------------.
 *        v                                                 |
 *      IDLE --- line cut by the chunk's end ---> LINE -----+
 *        | |                                       |       |
 *        | `--- "$len" and not all of it ---> BULK <-------+ (a cut "$len" line)
 *        `----- "*" ----------------------> ARRAY
 *
 * and from everywhere to DEAD. redisReader gets its input in portions, because it moves the rest of its
 * buffer after each reply. What of a portion lies behind the array is read here again, from the chunk;
 * its twin in hiredis' buffer is skipped by moving hiredis' read position along (mirror_end). */
#include "reader.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/alloc.h>
#include <tug/sys/driver.h>

#include "array.h"
#include "compat.h"

/* What redisReader is fed at a time. */
#define PORTION ((size_t)16 << 10)
/* A long text gets this much room before its bytes have come; then its room doubles as they do. */
#define BULK_FIRST ((size_t)256 << 10)

static void reader_set_state(redis_reader *rd, redis_reader_state state)
{
    assert(rd->state != READER_DEAD && "a dead reader stays dead");
    rd->state = state;
}

static int reader_dies(redis_reader *rd)
{
    assert(rd->why.code < 0 && "a reader dies of something");
    reader_set_state(rd, READER_DEAD);
    if (rd->root != NULL) {
        tug__redis_root_free(rd->root);
        rd->root = NULL;
    }
    return rd->why.code;
}

#define READER_FAIL(rd, code, ...)                                                                 \
    (tug_error_set(&(rd)->why, (code), TUG_ORIGIN_CODEC, TUG_ANSWERED, NULL, __VA_ARGS__),         \
     reader_dies(rd))

static int reader_no_memory(redis_reader *rd)
{
    return READER_FAIL(rd, TUG_ENOMEM, "no memory for a reply");
}

int tug__redis_reader_open(redis_reader *rd, redis_pool *pool, const redis_limits *limits)
{
    memset(rd, 0, sizeof *rd);
    rd->pool = pool;
    rd->limits = *limits;
    rd->hiredis = tug__redis_array_reader(rd);
    if (rd->hiredis == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for a reply reader");
    }
    return 0;
}

void tug__redis_reader_close(redis_reader *rd)
{
    if (rd->root != NULL) {
        tug__redis_root_free(rd->root);
    }
    if (rd->hiredis != NULL) {
        redisReaderFree(rd->hiredis);
    }
    tug_free(rd->line);
    memset(rd, 0, sizeof *rd);
}

void tug__redis_reader_input(redis_reader *rd, const uint8_t *data, size_t size)
{
    assert(rd->at == rd->end && "a chunk is read to its end");
    rd->at = data;
    rd->end = data + size;
    rd->mirror_end = NULL;
}

/* Everything up to to is read; what hiredis has of it, too. */
static inline void reader_advance(redis_reader *rd, const uint8_t *to)
{
    if (rd->mirror_end != NULL) {
        if (to < rd->mirror_end) {
            rd->hiredis->pos += (size_t)(to - rd->at);
        } else {
            rd->hiredis->pos = rd->hiredis->len;
            rd->mirror_end = NULL;
        }
    }
    rd->at = to;
}

/* A decimal number with an optional '-', as strict as the server writes it. */
static bool reader_number(const uint8_t *p, size_t size, int64_t *ret_number)
{
    bool negative = size > 0 && *p == '-';
    const uint8_t *end = p + size;
    uint64_t number = 0;
    p += negative;
    if (p == end || end - p > 19) {
        return false;
    }
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(*p - '0');
    }
    if (number > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_number = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

/* "$len" was read and the text does not lie whole in the chunk. */
static int reader_begin_bulk(redis_reader *rd, size_t size)
{
    rd->root = tug__redis_root_new(rd->pool);
    if (rd->root == NULL) {
        return reader_no_memory(rd);
    }
    rd->bulk_size = size;
    rd->bulk_have = 0;
    rd->bulk_room = 0;
    reader_set_state(rd, READER_BULK);
    return 0;
}

/* The length of a bulk: 1: a nil reply; 0: *ret_size; < 0: dead. */
static int reader_bulk_size(redis_reader *rd, const uint8_t *digits, size_t n,
                            redis_root **ret_root, size_t *ret_size)
{
    int64_t size;
    if (!reader_number(digits, n, &size) || size < -1) {
        return READER_FAIL(rd, TUG_EPROTO, "a text with an impossible length");
    }
    if (size == -1) {
        *ret_root = tug__redis_root_new(rd->pool);
        return *ret_root != NULL ? 1 : reader_no_memory(rd);
    }
    if ((uint64_t)size > rd->limits.max_bulk) {
        return READER_FAIL(rd, TUG_ELIMIT, "a text of %lld bytes in a reply, over max_bulk (%zu)",
                           (long long)size, rd->limits.max_bulk);
    }
    *ret_size = (size_t)size;
    return 0;
}

/* A whole line without its end. 1: a reply; 0: a text begins; < 0. */
static int reader_take_line(redis_reader *rd, const uint8_t *line, size_t size,
                            redis_root **ret_root)
{
    if (*line == '$') {
        size_t bulk = 0;
        int rc = reader_bulk_size(rd, line + 1, size - 1, ret_root, &bulk);
        return rc == 0 ? reader_begin_bulk(rd, bulk) : rc;
    }
    redis_root *root = tug__redis_root_new(rd->pool);
    if (root == NULL) {
        return reader_no_memory(rd);
    }
    rd->root = root;
    if (*line == ':') {
        root->node.type = TUG_REDIS_INTEGER;
        if (!reader_number(line + 1, size - 1, &root->node.u.integer)) {
            return READER_FAIL(rd, TUG_EPROTO, "an integer reply that is no integer");
        }
    } else {
        int type = *line == '+' ? TUG_REDIS_STATUS : TUG_REDIS_ERROR;
        if (!tug__redis_root_text(root, &root->node, type, (const char *)line + 1, size - 1)) {
            return reader_no_memory(rd);
        }
    }
    rd->root = NULL;
    *ret_root = root;
    return 1;
}

static int reader_keep_line(redis_reader *rd, const uint8_t *to)
{
    size_t size = (size_t)(to - rd->at);
    if (rd->line_size + size > REDIS_LINE_MAX) {
        return READER_FAIL(rd, TUG_ELIMIT, "a line of more than %zu bytes in a reply",
                           REDIS_LINE_MAX);
    }
    if (rd->line_size + size > rd->line_room) {
        size_t room = (rd->line_size + size) * 2;
        char *line = tug_realloc(rd->line, room);
        if (line == NULL) {
            return reader_no_memory(rd);
        }
        rd->line = line;
        rd->line_room = room;
    }
    memcpy(rd->line + rd->line_size, rd->at, size);
    rd->line_size += size;
    reader_advance(rd, to);
    return 0;
}

/* The rest of a line whose start came before. */
static int reader_go_on_line(redis_reader *rd, redis_root **ret_root)
{
    const uint8_t *newline = memchr(rd->at, '\n', (size_t)(rd->end - rd->at));
    int rc = reader_keep_line(rd, newline != NULL ? newline + 1 : rd->end);
    if (rc < 0 || newline == NULL) {
        return rc;
    }
    size_t size = rd->line_size;
    rd->line_size = 0;
    if (size < 3 || rd->line[size - 2] != '\r') {
        return READER_FAIL(rd, TUG_EPROTO, "a line in a reply that does not end with CR LF");
    }
    reader_set_state(rd, READER_IDLE);
    return reader_take_line(rd, (const uint8_t *)rd->line, size - 2, ret_root);
}

static int reader_go_on_bulk(redis_reader *rd, redis_root **ret_root)
{
    redis_root *root = rd->root;
    size_t here = (size_t)(rd->end - rd->at);
    size_t text = rd->bulk_have < rd->bulk_size ? rd->bulk_size - rd->bulk_have : 0;
    text = text < here ? text : here;
    if (rd->bulk_have + text > rd->bulk_room || rd->bulk_room == 0) {
        size_t room = rd->bulk_room == 0 ? BULK_FIRST : rd->bulk_room * 2;
        room = room < rd->bulk_have + text ? rd->bulk_have + text : room;
        room = room > rd->bulk_size ? rd->bulk_size : room;
        char *to = tug__redis_root_grow(root, room);
        if (to == NULL) {
            return reader_no_memory(rd);
        }
        root->node.u.text = to;
        rd->bulk_room = room > 0 ? room : 1;
    }
    char *to = (char *)(uintptr_t)root->node.u.text;
    memcpy(to + rd->bulk_have, rd->at, text);
    rd->bulk_have += text;
    reader_advance(rd, rd->at + text);
    for (; rd->at < rd->end && rd->bulk_have < rd->bulk_size + 2; rd->bulk_have++) {
        if (*rd->at != (rd->bulk_have == rd->bulk_size ? '\r' : '\n')) {
            return READER_FAIL(rd, TUG_EPROTO, "a text in a reply that is longer than its length");
        }
        reader_advance(rd, rd->at + 1);
    }
    if (rd->bulk_have < rd->bulk_size + 2) {
        return 0;
    }
    to[rd->bulk_size] = 0;
    root->node.type = TUG_REDIS_TEXT;
    root->node.size = rd->bulk_size;
    rd->root = NULL;
    reader_set_state(rd, READER_IDLE);
    *ret_root = root;
    return 1;
}

/* redisReader has the next portion and says whether the array is complete. */
static int reader_go_on_array(redis_reader *rd, redis_root **ret_root)
{
    redisReader *h = rd->hiredis;
    while (rd->at < rd->end) {
        if (rd->mirror_end == NULL) {
            size_t n = (size_t)(rd->end - rd->at);
            n = n < PORTION ? n : PORTION;
            if (redisReaderFeed(h, (const char *)rd->at, n) != REDIS_OK) {
                return reader_no_memory(rd);
            }
            rd->mirror_end = rd->at + n;
        }
        void *got = NULL;
        int rc = redisReaderGetReply(h, &got);
        if (rc != REDIS_OK || h->err != 0) {
            tug__redis_array_why(rd);
            return reader_dies(rd);
        }
        if (got != NULL) {
            size_t left = h->len - h->pos;
            assert(left <= (size_t)(rd->mirror_end - rd->at) &&
                   "the array ends in the portion that completed it");
            rd->at = rd->mirror_end - left;
            rd->mirror_end = left > 0 ? rd->mirror_end : NULL;
            *ret_root = rd->root;
            rd->root = NULL;
            reader_set_state(rd, READER_IDLE);
            return 1;
        }
        rd->array_bytes += (size_t)(rd->mirror_end - rd->at);
        rd->at = rd->mirror_end;
        rd->mirror_end = NULL;
        if (!tug__redis_array_within_limits(rd)) {
            return reader_dies(rd);
        }
    }
    return 0;
}

static int reader_begin_array(redis_reader *rd, redis_root **ret_root)
{
    rd->array_bytes = 0;
    rd->array_elements = 0;
    reader_set_state(rd, READER_ARRAY);
    return reader_go_on_array(rd, ret_root);
}

/* A short text that lies whole in the chunk: what a GET is made of. 0: not this case. */
static inline int reader_quick_text(redis_reader *rd, redis_root **ret_root)
{
    const uint8_t *p = rd->at + 1, *end = rd->end;
    size_t size = 0;
    unsigned digits = 0;
    while (p < end && *p >= '0' && *p <= '9' && digits < 5) {
        size = size * 10 + (size_t)(*p++ - '0');
        digits++;
    }
    if (digits == 0 || (size_t)(end - p) < size + 4 || p[0] != '\r' || p[1] != '\n' ||
        size > rd->limits.max_bulk) {
        return 0;
    }
    const uint8_t *text = p + 2;
    if (text[size] != '\r' || text[size + 1] != '\n') {
        return 0; /* the slow path says what is wrong */
    }
    redis_root *root = tug__redis_root_new(rd->pool);
    if (root == NULL ||
        !tug__redis_root_text(root, &root->node, TUG_REDIS_TEXT, (const char *)text, size)) {
        rd->root = root;
        return reader_no_memory(rd);
    }
    reader_advance(rd, text + size + 2);
    *ret_root = root;
    return 1;
}

static int reader_at_boundary(redis_reader *rd, redis_root **ret_root)
{
    const uint8_t *p = rd->at;
    switch (*p) {
    case '$': {
        int rc = reader_quick_text(rd, ret_root);
        if (rc != 0) {
            return rc;
        }
        break;
    }
    case '+':
    case '-':
    case ':':
        break;
    case '*':
        return reader_begin_array(rd, ret_root);
    default:
        return READER_FAIL(rd, TUG_EPROTO,
                           "byte 0x%02x where a reply begins: is this a Redis server?", *p);
    }
    const uint8_t *newline = memchr(p, '\n', (size_t)(rd->end - p));
    if (newline == NULL || (size_t)(newline - p) > REDIS_LINE_MAX) {
        reader_set_state(rd, READER_LINE);
        return reader_keep_line(rd, rd->end);
    }
    if (newline - p < 2 || newline[-1] != '\r') {
        return READER_FAIL(rd, TUG_EPROTO, "a line in a reply that does not end with CR LF");
    }
    reader_advance(rd, newline + 1);
    return reader_take_line(rd, p, (size_t)(newline - p) - 1, ret_root);
}

int tug__redis_reader_next(redis_reader *rd, redis_root **ret_root)
{
    int rc = 0;
    while (rc == 0 && rd->at < rd->end) {
        switch (rd->state) {
        case READER_IDLE:
            rc = reader_at_boundary(rd, ret_root);
            break;
        case READER_LINE:
            rc = reader_go_on_line(rd, ret_root);
            break;
        case READER_BULK:
            rc = reader_go_on_bulk(rd, ret_root);
            break;
        case READER_ARRAY:
            rc = reader_go_on_array(rd, ret_root);
            break;
        case READER_DEAD:
            return rd->why.code;
        }
    }
    return rc;
}
