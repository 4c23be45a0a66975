#include "scan.h"

#include "codec.h"

#include <tug/error.h>

/* Bytes of a value behind its type; -1: a length of 4 bytes comes first; -2: the same, and
 * values inside; -3: no such type. The types are those that the codec knows (its table differs
 * from the standard's, as RabbitMQ's own does). */
static int scan_width(uint8_t type)
{
    switch (type) {
    case AMQP_FIELD_KIND_BOOLEAN:
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_U8:
        return 1;
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_U16:
        return 2;
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_U32:
    case AMQP_FIELD_KIND_F32:
        return 4;
    case AMQP_FIELD_KIND_I64:
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_F64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        return 8;
    case AMQP_FIELD_KIND_DECIMAL:
        return 5;
    case AMQP_FIELD_KIND_VOID:
        return 0;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        return -1;
    case AMQP_FIELD_KIND_TABLE:
    case AMQP_FIELD_KIND_ARRAY:
        return -2;
    default:
        return -3;
    }
}

/* The levels that are open, outermost first: an own stack instead of recursion. */
typedef struct scan_levels {
    const uint8_t *end[TUG__AMQP_DEPTH_MAX];
    bool is_list[TUG__AMQP_DEPTH_MAX];
    int depth;
} scan_levels;

/* Opens the table or list whose length stands at *at. */
static int scan_open(scan_levels *l, const uint8_t **at, const uint8_t *limit, bool is_list)
{
    if (limit - *at < 4 || tug__amqp_get32(*at) > (size_t)(limit - *at - 4)) {
        return TUG_EPROTO;
    }
    if (l->depth == TUG__AMQP_DEPTH_MAX) {
        return TUG_ELIMIT;
    }
    l->end[l->depth] = *at + 4 + tug__amqp_get32(*at);
    l->is_list[l->depth] = is_list;
    l->depth++;
    *at += 4;
    return 0;
}

/* One name (in tables) and one value of the innermost level; opens a level for a nested one. */
static int scan_field(scan_levels *l, const uint8_t **at)
{
    const uint8_t *p = *at, *end = l->end[l->depth - 1];
    if (!l->is_list[l->depth - 1]) {
        size_t name = *p++;
        if ((size_t)(end - p) < name) {
            return TUG_EPROTO;
        }
        p += name;
    }
    if (p == end) {
        return TUG_EPROTO;
    }
    uint8_t type = *p++;
    int width = scan_width(type);
    if (width == -2) {
        *at = p;
        return scan_open(l, at, end, type == AMQP_FIELD_KIND_ARRAY);
    }
    if (width == -1) {
        if (end - p < 4 || tug__amqp_get32(p) > (size_t)(end - p - 4)) {
            return TUG_EPROTO;
        }
        *at = p + 4 + tug__amqp_get32(p);
        return 0;
    }
    if (width < 0 || end - p < width) {
        return TUG_EPROTO;
    }
    *at = p + width;
    return 0;
}

int tug__amqp_scan_table(const uint8_t *data, size_t size, size_t *ret_size, size_t *ret_fields)
{
    scan_levels l = {.depth = 0};
    const uint8_t *at = data;
    size_t fields = 0;
    int rc = scan_open(&l, &at, data + size, false);
    while (rc == 0 && l.depth > 0) {
        if (at == l.end[l.depth - 1]) {
            l.depth--;
            continue;
        }
        fields += l.depth == 1;
        rc = scan_field(&l, &at);
    }
    if (rc == 0 && ret_size != NULL) {
        *ret_size = (size_t)(at - data);
    }
    if (rc == 0 && ret_fields != NULL) {
        *ret_fields = fields;
    }
    return rc;
}

static bool scan_short_string(const uint8_t *data, size_t size, size_t *at)
{
    if (*at >= size || (size_t)data[*at] >= size - *at) {
        return false;
    }
    *at += 1 + (size_t)data[*at];
    return true;
}

int tug__amqp_scan_props(const uint8_t *data, size_t size, tug__amqp_props *ret_props)
{
    tug__amqp_props p = {0};
    if (size < 2) {
        return TUG_EPROTO;
    }
    unsigned flags = tug__amqp_get16(data);
    /* Bit 0 announces a second word of flags. Class basic has none, and the codec shifts by it. */
    if (flags & 1) {
        return TUG_EPROTO;
    }
    if (flags & AMQP_BASIC_HEADERS_FLAG) {
        size_t at = 2;
        if (((flags & AMQP_BASIC_CONTENT_TYPE_FLAG) && !scan_short_string(data, size, &at)) ||
            ((flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) && !scan_short_string(data, size, &at)) ||
            size - at < 4 || tug__amqp_get32(data + at) > size - at - 4) {
            return TUG_EPROTO;
        }
        p.headers_at = at;
        p.headers_size = 4 + (size_t)tug__amqp_get32(data + at);
        p.headers_rc = tug__amqp_scan_table(data + at, p.headers_size, NULL, &p.n_headers);
    }
    *ret_props = p;
    return 0;
}
