#include "message.h"

#include <assert.h>

#include "table.h"

int tug__amqp_message_check(tug__amqp_outgoing *call, const tug_amqp_message *m, size_t max_body)
{
    static const char *const names[] = {"content_type", "correlation_id", "message_id", "type"};
    if (m == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: the message is NULL");
    }
    int rc = tug__amqp_check_name("the exchange's name", call->exchange, true);
    if (rc == 0) {
        rc = tug__amqp_check_name("the routing key", call->routing_key, true);
    }
    if (rc == 0) {
        rc = tug__amqp_take_options("tug_amqp_message", &call->m, sizeof call->m, m);
    }
    const char *texts[] = {call->m.content_type, call->m.correlation_id, call->m.message_id,
                           call->m.type};
    for (int i = 0; rc == 0 && i < 4; i++) {
        rc = texts[i] != NULL ? tug__amqp_check_name(names[i], texts[i], true) : 0;
    }
    if (rc == 0 && call->m.headers.n > 0) {
        rc = tug__amqp_check_table("a message's header", &call->m.headers);
    }
    if (rc == 0 && call->m.body.size > max_body) {
        rc = tug_fail(TUG_ELIMIT, "amqp: a body of %zu bytes, above max_body (%zu)",
                      call->m.body.size, max_body);
    }
    if (rc == 0 && call->m.body.size > 0 && call->m.body.data == NULL) {
        rc = tug_fail(TUG_EINVAL, "amqp: a body of %zu bytes at NULL", call->m.body.size);
    }
    return rc;
}

static size_t message_text_room(const char *text)
{
    return text != NULL ? 1 + strlen(text) : 0;
}

size_t tug__amqp_message_room(const tug__amqp_outgoing *call)
{
    const tug_amqp_message *m = &call->m;
    size_t method = 4 + 2 + 1 + strlen(call->exchange) + 1 + strlen(call->routing_key) + 1;
    size_t props = 2 + 1 + message_text_room(m->content_type) +
                   message_text_room(m->correlation_id) + message_text_room(m->message_id) +
                   message_text_room(m->type);
    if (m->headers.n > 0 || m->mandatory) {
        props += tug__amqp_table_room(&m->headers) + 1 + sizeof TUG__AMQP_ID_HEADER + 1 + 8;
    }
    return 2 * TUG__AMQP_FRAME_EXTRA + method + 12 + props;
}

static void message_property(amqp_basic_properties_t *p, amqp_bytes_t *property, const char *text,
                             amqp_flags_t flag)
{
    if (text != NULL) {
        *property = tug__amqp_text(text);
        p->_flags |= flag;
    }
}

/* Properties from their flags on: their length. */
static size_t message_properties(const tug__amqp_outgoing *call, uint8_t *to, size_t size)
{
    const tug_amqp_message *m = &call->m;
    amqp_basic_properties_t p;
    amqp_table_entry_t entries[TUG_AMQP_FIELDS_MAX + 1];
    p._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    p.delivery_mode = m->persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT;
    message_property(&p, &p.content_type, m->content_type, AMQP_BASIC_CONTENT_TYPE_FLAG);
    message_property(&p, &p.correlation_id, m->correlation_id, AMQP_BASIC_CORRELATION_ID_FLAG);
    message_property(&p, &p.message_id, m->message_id, AMQP_BASIC_MESSAGE_ID_FLAG);
    message_property(&p, &p.type, m->type, AMQP_BASIC_TYPE_FLAG);
    if (m->headers.n > 0 || m->mandatory) {
        p._flags |= AMQP_BASIC_HEADERS_FLAG;
        tug__amqp_table_fill(&m->headers, entries, &p.headers);
    }
    if (m->mandatory) {
        amqp_table_entry_t *id = &entries[p.headers.num_entries++];
        id->key = tug__amqp_text(TUG__AMQP_ID_HEADER);
        id->value.kind = AMQP_FIELD_KIND_I64;
        id->value.value.i64 = (int64_t)call->return_id;
    }
    int n = amqp_encode_properties(TUG__AMQP_CLASS_BASIC, &p, tug__amqp_bytes(to, size));
    assert(n > 0 && "the room for a message's properties was reckoned too small");
    return (size_t)n;
}

size_t tug__amqp_message_heads(const tug__amqp_outgoing *call, uint16_t channel, uint8_t *to,
                               size_t size)
{
    amqp_basic_publish_t m = {.exchange = tug__amqp_text(call->exchange),
                              .routing_key = tug__amqp_text(call->routing_key),
                              .mandatory = call->m.mandatory};
    int method = tug__amqp_encode_frame(to, size, channel, AMQP_BASIC_PUBLISH_METHOD, &m);
    assert(method > 0 && "the room for basic.publish was reckoned too small");
    uint8_t *head = to + method, *at = head + TUG__AMQP_FRAME_HEAD;
    size_t props = message_properties(call, at + 12, (size_t)(to + size - at) - 12 - 1);
    head[0] = AMQP_FRAME_HEADER;
    tug__amqp_put16(head + 1, channel);
    tug__amqp_put32(head + 3, (uint32_t)(12 + props));
    tug__amqp_put16(at, TUG__AMQP_CLASS_BASIC);
    tug__amqp_put16(at + 2, 0);
    tug__amqp_put64(at + 4, call->m.body.size);
    at[12 + props] = AMQP_FRAME_END;
    return (size_t)method + TUG__AMQP_FRAME_EXTRA + 12 + props;
}

size_t tug__amqp_message_body_room(const tug__amqp_conn *c, size_t size)
{
    size_t most = c->frame_max - TUG__AMQP_FRAME_EXTRA;
    return size + (size + most - 1) / most * TUG__AMQP_FRAME_EXTRA;
}

size_t tug__amqp_message_body(const tug__amqp_channel *ch, uint8_t *to, const void *body,
                              size_t size)
{
    const uint8_t *from = body;
    uint8_t *at = to;
    size_t most = ch->conn->frame_max - TUG__AMQP_FRAME_EXTRA;
    while (size > 0) {
        size_t part = size < most ? size : most;
        at[0] = AMQP_FRAME_BODY;
        tug__amqp_put16(at + 1, ch->id);
        tug__amqp_put32(at + 3, (uint32_t)part);
        memcpy(at + TUG__AMQP_FRAME_HEAD, from, part);
        at[TUG__AMQP_FRAME_HEAD + part] = AMQP_FRAME_END;
        at += part + TUG__AMQP_FRAME_EXTRA;
        from += part;
        size -= part;
    }
    return (size_t)(at - to);
}
