/* Replies into places: TUG_OUT. A slot whose `to` is NULL only asks whether the value would fit: an array
 * is checked whole before the first place is written. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"
#include "reply.h"
#include "slot.h"

static const char *const type_names[] = {
    [TUG_REDIS_NIL] = "nil",        [TUG_REDIS_INTEGER] = "an integer",
    [TUG_REDIS_TEXT] = "a text",    [TUG_REDIS_STATUS] = "a status",
    [TUG_REDIS_ERROR] = "an error", [TUG_REDIS_ARRAY] = "an array",
};

static const char *const slot_names[] = {
    [TUG_SLOT_BOOL] = "a bool",
    [TUG_SLOT_INT] = "an integer",
    [TUG_SLOT_UINT] = "an unsigned integer",
    [TUG_SLOT_FLOAT] = "a number",
    [TUG_SLOT_TEXT] = "a C string",
    [TUG_SLOT_BYTES] = "bytes",
    [TUG_SLOT_COPY] = "a char array",
    [TUG_SLOT_DUP] = "a C string",
    [TUG_SLOT_BUFFER] = "a buffer",
    [TUG_SLOT_TIMESTAMP] = "a timestamp",
};

static const char *slot_name(int type)
{
    /* The structs that only PostgreSQL has values for. */
    return (size_t)type < sizeof slot_names / sizeof *slot_names ? slot_names[type]
                                                                 : "another type";
}

static int scan_wrong_type(const tug_redis_reply *reply, const tug_slot *slot)
{
    return tug_fail(TUG_ETYPE, "redis: %s in the reply, wanted %s", type_names[reply->type],
                    slot_name(slot->type));
}

static int scan_out_of_range(const tug_slot *slot)
{
    return tug_fail(TUG_ERANGE, "redis: the number in the reply does not fit in %zu bytes of %s",
                    slot->size, slot_name(slot->type));
}

/* Sign and magnitude of an integer reply or of a text that is a whole number: int64 and uint64 in one. */
static bool scan_whole(const tug_redis_reply *reply, uint64_t *ret_magnitude, bool *ret_negative,
                       bool *ret_overflow)
{
    *ret_overflow = false;
    if (reply->type == TUG_REDIS_INTEGER) {
        int64_t i = reply->u.integer;
        *ret_negative = i < 0;
        *ret_magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        return true;
    }
    const char *p = tug_redis_reply_text(reply);
    if (p == NULL || reply->type == TUG_REDIS_ERROR) {
        return false;
    }
    const char *end = p + reply->size;
    uint64_t number = 0;
    *ret_negative = *p == '-';
    p += *ret_negative;
    if (p == end) {
        return false;
    }
    for (; p < end; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (*p < '0' || *p > '9') {
            return false;
        }
        *ret_overflow |= number > (UINT64_MAX - digit) / 10;
        number = number * 10 + digit;
    }
    *ret_magnitude = number;
    return true;
}

int tug_redis_reply_integer(const tug_redis_reply *reply, int64_t *ret_integer)
{
    uint64_t number;
    bool negative, overflow;
    const tug_slot slot = {TUG_SLOT_INT, ret_integer, sizeof *ret_integer, NULL};
    if (reply->type == TUG_REDIS_NIL) {
        return tug_fail(TUG_ENULL, "redis: nil in the reply, wanted an integer");
    }
    if (!scan_whole(reply, &number, &negative, &overflow)) {
        return scan_wrong_type(reply, &slot);
    }
    if (overflow || number > (uint64_t)INT64_MAX + negative) {
        return scan_out_of_range(&slot);
    }
    *ret_integer = negative ? (int64_t)(0 - number) : (int64_t)number;
    return 0;
}

static int scan_integer(const tug_redis_reply *reply, const tug_slot *slot)
{
    uint64_t number;
    bool negative, overflow;
    if (!scan_whole(reply, &number, &negative, &overflow)) {
        return scan_wrong_type(reply, slot);
    }
    if (overflow || !tug__slot_put_whole(slot, negative, number)) {
        return scan_out_of_range(slot);
    }
    return 0;
}

static int scan_bool(const tug_redis_reply *reply, const tug_slot *slot)
{
    uint64_t number;
    bool negative, overflow;
    if (!scan_whole(reply, &number, &negative, &overflow)) {
        return scan_wrong_type(reply, slot);
    }
    if (overflow || negative || number > 1) {
        return tug_fail(TUG_ERANGE,
                        "redis: a number in the reply that is neither 0 nor 1, wanted a bool");
    }
    if (slot->to != NULL) {
        *(bool *)slot->to = number == 1;
    }
    return 0;
}

static int scan_float(const tug_redis_reply *reply, const tug_slot *slot)
{
    double value;
    const char *text = tug_redis_reply_text(reply);
    if (reply->type == TUG_REDIS_INTEGER) {
        value = (double)reply->u.integer;
    } else if (text == NULL || reply->type == TUG_REDIS_ERROR || reply->size == 0 ||
               strchr(" \t\n\v\f\r", *text) != NULL) {
        return scan_wrong_type(reply, slot);
    } else {
        char *end;
        value = strtod_l(text, &end, tug__redis_c_locale());
        if (end != text + reply->size) {
            return scan_wrong_type(reply, slot);
        }
    }
    if (slot->size == sizeof(float) && fabs(value) > (double)FLT_MAX && !isinf(value)) {
        return scan_out_of_range(slot);
    }
    if (slot->to == NULL) {
        return 0;
    }
    if (slot->size == sizeof(float)) {
        *(float *)slot->to = (float)value;
    } else {
        *(double *)slot->to = value;
    }
    return 0;
}

/* The reply as text: an integer is written into number. NULL: it is not text. */
static const char *scan_as_text(const tug_redis_reply *reply, char number[24], size_t *ret_size)
{
    if (reply->type == TUG_REDIS_INTEGER) {
        *ret_size = (size_t)snprintf(number, 24, "%" PRId64, reply->u.integer);
        return number;
    }
    const char *text = reply->type == TUG_REDIS_ERROR ? NULL : tug_redis_reply_text(reply);
    *ret_size = text != NULL ? reply->size : 0;
    return text;
}

static int scan_check_string(const tug_slot *slot, const char *text, size_t size,
                             bool is_borrowable)
{
    if (memchr(text, 0, size) != NULL) {
        return tug_fail(
            TUG_ETYPE,
            "redis: the text in the reply contains a NUL byte: take it as bytes or as a buffer");
    }
    if (slot->type == TUG_SLOT_TEXT && !is_borrowable) {
        return tug_fail(TUG_ETYPE,
                        "redis: an integer in the reply cannot be borrowed as a C string");
    }
    if (slot->type == TUG_SLOT_COPY && size >= slot->size) {
        return tug_fail(TUG_ELIMIT,
                        "redis: a text of %zu bytes in the reply does not fit in an array of %zu",
                        size, slot->size);
    }
    return 0;
}

static int scan_store_string(const tug_slot *slot, const char *text, size_t size)
{
    switch (slot->type) {
    case TUG_SLOT_TEXT:
        *(const char **)slot->to = text;
        return 0;
    case TUG_SLOT_COPY:
        memcpy(slot->to, text, size);
        ((char *)slot->to)[size] = 0;
        return 0;
    default: {
        char *copy = malloc(size + 1); /* the user's, who frees it */
        if (copy == NULL) {
            return tug_fail(TUG_ENOMEM, "no memory for a text of %zu bytes", size);
        }
        memcpy(copy, text, size);
        copy[size] = 0;
        *(char **)slot->to = copy;
        return 0;
    }
    }
}

static int scan_text(const tug_redis_reply *reply, const tug_slot *slot)
{
    char number[24];
    size_t size;
    const char *text = scan_as_text(reply, number, &size);
    if (text == NULL) {
        return scan_wrong_type(reply, slot);
    }
    int rc = 0;
    if (slot->type == TUG_SLOT_BYTES) {
        rc = text == number ? scan_wrong_type(reply, slot) : 0;
    } else if (slot->type != TUG_SLOT_BUFFER) {
        rc = scan_check_string(slot, text, size, text != number);
    }
    if (rc < 0 || slot->to == NULL) {
        return rc;
    }
    if (slot->type == TUG_SLOT_BUFFER) {
        return tug_buffer_new(text, size, slot->to);
    }
    if (slot->type == TUG_SLOT_BYTES) {
        *(struct tug_bytes *)slot->to = tug_bytes(text, size);
        return 0;
    }
    return scan_store_string(slot, text, size);
}

static int scan_one(const tug_redis_reply *reply, const tug_slot *slot, int nil_code)
{
    int rc;
    if (reply->type == TUG_REDIS_NIL) {
        if (slot->is_null != NULL) {
            if (slot->to != NULL) {
                *slot->is_null = true;
            }
            return 0;
        }
        return nil_code == TUG_ENOTFOUND ? tug_fail(TUG_ENOTFOUND, "redis: nil reply")
                                         : tug_fail(TUG_ENULL, "redis: nil in the reply, wanted %s",
                                                    slot_name(slot->type));
    }
    switch (slot->type) {
    case TUG_SLOT_INT:
    case TUG_SLOT_UINT:
        rc = scan_integer(reply, slot);
        break;
    case TUG_SLOT_BOOL:
        rc = scan_bool(reply, slot);
        break;
    case TUG_SLOT_FLOAT:
        rc = scan_float(reply, slot);
        break;
    case TUG_SLOT_TEXT:
    case TUG_SLOT_BYTES:
    case TUG_SLOT_COPY:
    case TUG_SLOT_DUP:
    case TUG_SLOT_BUFFER:
        rc = scan_text(reply, slot);
        break;
    default:
        rc = scan_wrong_type(reply, slot);
        break;
    }
    if (rc == 0 && slot->is_null != NULL && slot->to != NULL) {
        *slot->is_null = false;
    }
    return rc;
}

/* What was made for the first places is given back when there is no memory for a later one. */
static void scan_undo(tug_out out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const tug_slot *slot = &out.slots[i];
        if (slot->is_null != NULL && *slot->is_null) {
            continue;
        }
        if (slot->type == TUG_SLOT_DUP) {
            free(*(char **)slot->to);
            *(char **)slot->to = NULL;
        } else if (slot->type == TUG_SLOT_BUFFER) {
            *(tug_buffer **)slot->to = tug_buffer_unref(*(tug_buffer **)slot->to);
        }
    }
}

int tug_redis_reply_scan(const tug_redis_reply *reply, tug_out out)
{
    if (reply->type != TUG_REDIS_ARRAY && out.n == 1) {
        return scan_one(reply, &out.slots[0], TUG_ENOTFOUND);
    }
    if (reply->type == TUG_REDIS_NIL) {
        return tug_fail(TUG_ENOTFOUND, "redis: nil reply");
    }
    if (out.n == 0) {
        return 0;
    }
    if (reply->type != TUG_REDIS_ARRAY) {
        return tug_fail(TUG_ETYPE, "redis: %s in the reply, wanted an array of %zu",
                        type_names[reply->type], out.n);
    }
    if (reply->size != out.n) {
        return tug_fail(TUG_ETYPE, "redis: an array of %zu in the reply, wanted %zu", reply->size,
                        out.n);
    }
    for (size_t i = 0; i < out.n; i++) {
        tug_slot probe = out.slots[i];
        probe.to = NULL;
        int rc = scan_one(&reply->u.items[i], &probe, TUG_ENULL);
        if (rc < 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < out.n; i++) {
        int rc = scan_one(&reply->u.items[i], &out.slots[i], TUG_ENULL);
        if (rc < 0) {
            scan_undo(out, i);
            return rc;
        }
    }
    return 0;
}
