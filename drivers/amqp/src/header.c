/* A header of a message into a C variable: the types that other clients send, checked. */
#include <stdlib.h>
#include <tug/error.h>

#include "delivery.h"
#include "scan.h"
#include "slot.h"

/* A whole number of the wire: its sign apart, so that unsigned 64-bit ones fit too. */
typedef struct header_number {
    bool is_negative;
    uint64_t size;
} header_number;

static bool header_whole(const amqp_field_value_t *f, header_number *ret)
{
    int64_t i = 0;
    uint64_t u = 0;
    switch (f->kind) {
    case AMQP_FIELD_KIND_I8:
        i = (int64_t)f->value.i8;
        break;
    case AMQP_FIELD_KIND_I16:
        i = f->value.i16;
        break;
    case AMQP_FIELD_KIND_I32:
        i = f->value.i32;
        break;
    case AMQP_FIELD_KIND_I64:
        i = f->value.i64;
        break;
    case AMQP_FIELD_KIND_U8:
        u = f->value.u8;
        break;
    case AMQP_FIELD_KIND_U16:
        u = f->value.u16;
        break;
    case AMQP_FIELD_KIND_U32:
        u = f->value.u32;
        break;
    case AMQP_FIELD_KIND_U64:
        u = f->value.u64;
        break;
    default:
        return false;
    }
    ret->is_negative = i < 0;
    ret->size = i < 0 ? 0 - (uint64_t)i : (uint64_t)i | u;
    return true;
}

static int header_type(const char *name, const amqp_field_value_t *f, const char *wanted)
{
    return tug_fail(TUG_ETYPE, "amqp: header \"%.60s\" is of type '%c', wanted %s", name, f->kind,
                    wanted);
}

static int header_range(const char *name, const char *wanted)
{
    return tug_fail(TUG_ERANGE, "amqp: header \"%.60s\" does not fit %s", name, wanted);
}

static int header_integer(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    header_number n;
    if (!header_whole(f, &n)) {
        return header_type(name, f, "an integer");
    }
    if (s->size != 1 && s->size != 2 && s->size != 4 && s->size != 8) {
        return tug_fail(TUG_EINVAL, "amqp: an integer of %zu bytes", s->size);
    }
    if (!tug__slot_put_whole(s, n.is_negative, n.size)) {
        return header_range(name, s->type == TUG_SLOT_INT ? "the signed integer"
                                                          : "the unsigned integer");
    }
    return 0;
}

static int header_bool(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    header_number n;
    if (f->kind == AMQP_FIELD_KIND_BOOLEAN) {
        *(bool *)s->to = f->value.boolean != 0;
        return 0;
    }
    if (!header_whole(f, &n)) {
        return header_type(name, f, "a bool");
    }
    if (n.is_negative || n.size > 1) {
        return header_range(name, "a bool");
    }
    *(bool *)s->to = n.size == 1;
    return 0;
}

static int header_float(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    header_number n;
    double d;
    if (f->kind == AMQP_FIELD_KIND_F64) {
        d = f->value.f64;
    } else if (f->kind == AMQP_FIELD_KIND_F32) {
        d = (double)f->value.f32;
    } else if (header_whole(f, &n)) {
        d = n.is_negative ? -(double)n.size : (double)n.size;
    } else {
        return header_type(name, f, "a number");
    }
    if (s->size == sizeof(float)) {
        *(float *)s->to = (float)d;
    } else {
        *(double *)s->to = d;
    }
    return 0;
}

/* Text and bytes: the memory ends with a 0 that is not counted. */
static int header_bytes(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    if (f->kind != AMQP_FIELD_KIND_UTF8 && f->kind != AMQP_FIELD_KIND_BYTES) {
        return header_type(name, f, "text or bytes");
    }
    struct tug_bytes b = tug_bytes(f->value.bytes.bytes, f->value.bytes.len);
    bool is_text = s->type == TUG_SLOT_TEXT || s->type == TUG_SLOT_COPY || s->type == TUG_SLOT_DUP;
    if (is_text && memchr(b.data, 0, b.size) != NULL) {
        return tug_fail(TUG_ETYPE,
                        "amqp: header \"%.60s\" holds a 0 byte: read it as struct tug_bytes", name);
    }
    switch (s->type) {
    case TUG_SLOT_TEXT:
        *(const char **)s->to = b.data;
        return 0;
    case TUG_SLOT_BYTES:
        *(struct tug_bytes *)s->to = b;
        return 0;
    case TUG_SLOT_COPY:
        if (b.size >= s->size) {
            return tug_fail(TUG_ELIMIT, "amqp: header \"%.60s\" has %zu bytes, the array %zu", name,
                            b.size, s->size);
        }
        memcpy(s->to, b.data, b.size + 1);
        return 0;
    case TUG_SLOT_BUFFER:
        return tug_buffer_new(b.data, b.size, s->to);
    default: {
        char *copy = malloc(b.size + 1);
        if (copy == NULL) {
            return tug_fail(TUG_ENOMEM, "amqp: no memory for header \"%.60s\"", name);
        }
        memcpy(copy, b.data, b.size + 1);
        *(char **)s->to = copy;
        return 0;
    }
    }
}

static int header_timestamp(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    if (f->kind != AMQP_FIELD_KIND_TIMESTAMP) {
        return header_type(name, f, "a timestamp");
    }
    if (f->value.u64 > INT64_MAX / 1000000) {
        return header_range(name, "a timestamp");
    }
    ((struct tug_timestamp *)s->to)->us = (int64_t)f->value.u64 * 1000000;
    return 0;
}

static int header_store(const char *name, const amqp_field_value_t *f, const tug_slot *s)
{
    if (f->kind == AMQP_FIELD_KIND_VOID) {
        if (s->is_null == NULL) {
            return tug_fail(TUG_ENULL, "amqp: header \"%.60s\" has no value", name);
        }
        *s->is_null = true;
        return 0;
    }
    int rc;
    switch (s->type) {
    case TUG_SLOT_BOOL:
        rc = header_bool(name, f, s);
        break;
    case TUG_SLOT_INT:
    case TUG_SLOT_UINT:
        rc = header_integer(name, f, s);
        break;
    case TUG_SLOT_FLOAT:
        rc = header_float(name, f, s);
        break;
    case TUG_SLOT_TIMESTAMP:
        rc = header_timestamp(name, f, s);
        break;
    case TUG_SLOT_TEXT:
    case TUG_SLOT_BYTES:
    case TUG_SLOT_COPY:
    case TUG_SLOT_DUP:
    case TUG_SLOT_BUFFER:
        rc = header_bytes(name, f, s);
        break;
    default:
        /* Values that only PostgreSQL has. */
        rc = header_type(name, f, "a type that headers do not have");
        break;
    }
    if (rc == 0 && s->is_null != NULL) {
        *s->is_null = false;
    }
    return rc;
}

int tug_amqp_delivery_header(const tug_amqp_delivery *d, const char *name, tug_out out)
{
    if (d == NULL || name == NULL || out.n != 1) {
        return tug_fail(TUG_EINVAL, "amqp: a header has a name and exactly one place: TUG_OUT(&x)");
    }
    if (d->headers_rc == TUG_ELIMIT) {
        return tug_fail(
            TUG_ELIMIT,
            "amqp: the headers of this message are not read: tables nested deeper than %d",
            TUG__AMQP_DEPTH_MAX);
    }
    if (d->headers_rc < 0) {
        return tug_fail(d->headers_rc,
                        "amqp: the headers of this message are not read: they are malformed");
    }
    size_t size = strlen(name);
    for (size_t i = 0; i < d->n_headers; i++) {
        const amqp_table_entry_t *e = &d->headers[i];
        if (e->key.len == size && memcmp(e->key.bytes, name, size) == 0) {
            return header_store(name, &e->value, out.slots);
        }
    }
    return tug_fail(TUG_ENOTFOUND, "amqp: the message has no header \"%.100s\"", name);
}
