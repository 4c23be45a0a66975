#include "delivery.h"

#include <tug/log.h>
#include <tug/sys/alloc.h>

#include "consume.h"
#include "ledger.h"
#include "scan.h"

/* A string of the properties gets its final 0 by moving one byte down, onto its own length byte
 * (long strings: the last of four): the memory is our own copy. */
static const char *delivery_text(amqp_bytes_t b)
{
    char *text = (char *)b.bytes - 1;
    memmove(text, b.bytes, b.len);
    text[b.len] = 0;
    return text;
}

static void delivery_headers(tug_amqp_delivery *d, const amqp_table_t *t)
{
    for (int i = 0; i < t->num_entries; i++) {
        amqp_table_entry_t *e = &d->headers[i];
        *e = t->entries[i];
        if (e->value.kind == AMQP_FIELD_KIND_UTF8 || e->value.kind == AMQP_FIELD_KIND_BYTES) {
            e->value.value.bytes.bytes = (char *)(uintptr_t)delivery_text(e->value.value.bytes);
        } else if (e->value.kind == AMQP_FIELD_KIND_TABLE ||
                   e->value.kind == AMQP_FIELD_KIND_ARRAY) {
            memset(&e->value.value, 0,
                   sizeof e->value.value); /* their entries stay behind in the pool */
        }
    }
    d->n_headers = (size_t)t->num_entries;
}

static int delivery_decode(tug_amqp_delivery *d, uint8_t *props, size_t size, amqp_pool_t *pool)
{
    void *decoded = NULL;
    recycle_amqp_pool(pool);
    int status = amqp_decode_properties(TUG__AMQP_CLASS_BASIC, pool, tug__amqp_bytes(props, size),
                                        &decoded);
    if (status < 0) {
        return status == AMQP_STATUS_NO_MEMORY ? TUG_ENOMEM : TUG_EPROTO;
    }
    const amqp_basic_properties_t *p = decoded;
    if (p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) {
        d->content_type = delivery_text(p->content_type);
    }
    if (p->_flags & AMQP_BASIC_CORRELATION_ID_FLAG) {
        d->correlation_id = delivery_text(p->correlation_id);
    }
    if (p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) {
        d->message_id = delivery_text(p->message_id);
    }
    if (p->_flags & AMQP_BASIC_TYPE_FLAG) {
        d->type = delivery_text(p->type);
    }
    if (p->_flags & AMQP_BASIC_HEADERS_FLAG) {
        delivery_headers(d, &p->headers);
    }
    return 0;
}

static uint8_t *delivery_put(uint8_t *at, const char **ret_text, const char *text, size_t size)
{
    memcpy(at, text, size);
    at[size] = 0;
    *ret_text = (const char *)at;
    return at + size + 1;
}

/* Headers that the codec must not see are cut out, so that the message itself is not lost: were
 * it refused, the broker would deliver it again and again. */
static size_t delivery_put_props(uint8_t *to, const uint8_t *props, size_t size,
                                 const tug__amqp_props *p)
{
    memcpy(to, props, size);
    if (p->headers_rc == 0) {
        return size;
    }
    tug__amqp_put16(to, (uint16_t)(tug__amqp_get16(to) & ~AMQP_BASIC_HEADERS_FLAG));
    size_t end = p->headers_at + p->headers_size;
    memmove(to + p->headers_at, to + end, size - end);
    return size - p->headers_size;
}

int tug__amqp_delivery_new(const tug__amqp_announced *a, const uint8_t *props, size_t size,
                           uint64_t body_size, amqp_pool_t *pool, tug_amqp_delivery **ret_delivery)
{
    tug__amqp_props p;
    int rc = tug__amqp_scan_props(props, size, &p);
    if (rc < 0) {
        return rc;
    }
    size_t n_headers = p.headers_rc == 0 ? p.n_headers : 0;
    size_t names = (size_t)a->exchange_size + 1 + a->routing_key_size + 1;
    tug_amqp_delivery *d = tug_alloc(sizeof *d + n_headers * sizeof *d->headers + names + size +
                                     (size_t)body_size + 1);
    if (d == NULL) {
        return TUG_ENOMEM;
    }
    memset(d, 0, sizeof *d);
    d->refs = 1;
    d->tag = a->tag;
    d->is_redelivered = a->is_redelivered;
    d->headers_rc = p.headers_rc;
    d->headers = (amqp_table_entry_t *)(d + 1);
    uint8_t *at = (uint8_t *)(d->headers + n_headers);
    at = delivery_put(at, &d->exchange, a->exchange, a->exchange_size);
    at = delivery_put(at, &d->routing_key, a->routing_key, a->routing_key_size);
    size_t kept = delivery_put_props(at, props, size, &p);
    rc = delivery_decode(d, at, kept, pool);
    if (rc < 0) {
        tug_free(d);
        return rc;
    }
    d->body = at + size;
    d->body_size = (size_t)body_size;
    d->body[d->body_size] = 0;
    *ret_delivery = d;
    return 0;
}

/* --- the interface ------------------------------------------------------------------------------ */

static bool is_elsewhere(const tug_amqp_delivery *d)
{
    return d->consumer != NULL && !tug__amqp_consumer_is_here(d->consumer);
}

tug_amqp_delivery *tug_amqp_delivery_ref(tug_amqp_delivery *d)
{
    d->refs++;
    return d;
}

tug_amqp_delivery *tug_amqp_delivery_unref(tug_amqp_delivery *d)
{
    if (d == NULL) {
        return NULL;
    }
    if (is_elsewhere(d)) {
        tug_log(TUG_LOG_ERROR, "amqp",
                "tug_amqp_delivery_unref refused: it belongs to another thread's loop");
    } else if (--d->refs == 0) {
        tug_amqp_consumer *c = d->consumer;
        if (d->state == TUG__AMQP_OUT && c != NULL) {
            tug__amqp_consumer_settle(c, d, TUG__AMQP_REQUEUE);
        }
        tug_free(d);
        tug__amqp_consumer_unref(c);
    }
    return NULL;
}

static int delivery_settle(tug_amqp_delivery *d, int how)
{
    if (d == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: the delivery is NULL");
    }
    if (is_elsewhere(d)) {
        return tug_fail(TUG_EMISUSE, "amqp: the delivery belongs to another thread's loop");
    }
    switch (d->state) {
    case TUG__AMQP_OUT:
        tug__amqp_consumer_settle(d->consumer, d, how);
        return 0;
    case TUG__AMQP_LOST:
        return tug__amqp_consumer_lost(d->consumer);
    case TUG__AMQP_NO_ACK:
        return tug_fail(TUG_EMISUSE,
                        "amqp: a delivery of a no_ack consumer needs no ack, nack or reject");
    default:
        return tug_fail(TUG_EMISUSE, "amqp: a delivery is settled once (message to \"%.80s\")",
                        d->routing_key);
    }
}

int tug_amqp_ack(tug_amqp_delivery *d)
{
    return delivery_settle(d, TUG__AMQP_ACK);
}

int tug_amqp_nack(tug_amqp_delivery *d)
{
    return delivery_settle(d, TUG__AMQP_REQUEUE);
}

int tug_amqp_reject(tug_amqp_delivery *d)
{
    return delivery_settle(d, TUG__AMQP_REJECT);
}

struct tug_bytes tug_amqp_delivery_body(const tug_amqp_delivery *d)
{
    return tug_bytes(d->body, d->body_size);
}

bool tug_amqp_delivery_is_redelivered(const tug_amqp_delivery *d)
{
    return d->is_redelivered;
}

const char *tug_amqp_delivery_exchange(const tug_amqp_delivery *d)
{
    return d->exchange;
}

const char *tug_amqp_delivery_routing_key(const tug_amqp_delivery *d)
{
    return d->routing_key;
}

const char *tug_amqp_delivery_content_type(const tug_amqp_delivery *d)
{
    return d->content_type;
}

const char *tug_amqp_delivery_correlation_id(const tug_amqp_delivery *d)
{
    return d->correlation_id;
}

const char *tug_amqp_delivery_message_id(const tug_amqp_delivery *d)
{
    return d->message_id;
}

const char *tug_amqp_delivery_type(const tug_amqp_delivery *d)
{
    return d->type;
}
