#include "table.h"

int tug__amqp_check_name(const char *what, const char *name, bool may_be_empty)
{
    if (name == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: %s is NULL", what);
    }
    size_t size = strnlen(name, TUG__AMQP_SHORT_MAX + 1);
    if (size > TUG__AMQP_SHORT_MAX) {
        return tug_fail(TUG_EINVAL, "amqp: %s is longer than %d bytes: \"%.40s...\"", what,
                        TUG__AMQP_SHORT_MAX, name);
    }
    if (size == 0 && !may_be_empty) {
        return tug_fail(TUG_EINVAL, "amqp: %s is empty", what);
    }
    return 0;
}

static int table_check_value(const char *what, const tug_amqp_field *field)
{
    const tug_value *v = &field->value;
    switch (v->type) {
    case TUG_VALUE_NULL:
    case TUG_VALUE_INT:
    case TUG_VALUE_BOOL:
    case TUG_VALUE_DOUBLE:
        return 0;
    case TUG_VALUE_UINT:
        /* RabbitMQ knows no unsigned 64-bit field. */
        return v->u.u <= INT64_MAX
                   ? 0
                   : tug_fail(TUG_ERANGE, "amqp: %s \"%s\": above 9223372036854775807", what,
                              field->name);
    case TUG_VALUE_TIMESTAMP:
        return v->u.i >= 0
                   ? 0
                   : tug_fail(TUG_ERANGE, "amqp: %s \"%s\": a time before 1970", what, field->name);
    case TUG_VALUE_TEXT:
    case TUG_VALUE_BYTES:
        return v->u.bytes.size <= UINT32_MAX / 2
                   ? 0
                   : tug_fail(TUG_ERANGE, "amqp: %s \"%s\": too long", what, field->name);
    default:
        return tug_fail(TUG_EINVAL, "amqp: %s \"%s\": a value of unknown type %d", what,
                        field->name, v->type);
    }
}

int tug__amqp_check_table(const char *what, const struct tug_amqp_table *t)
{
    if (t->n > TUG_AMQP_FIELDS_MAX) {
        return tug_fail(TUG_EINVAL, "amqp: %zu fields where at most %d are taken: %s", t->n,
                        TUG_AMQP_FIELDS_MAX, what);
    }
    if (t->n > 0 && t->fields == NULL) {
        return tug_fail(TUG_EINVAL, "amqp: a table of %zu fields without fields: %s", t->n, what);
    }
    for (size_t i = 0; i < t->n; i++) {
        int rc = tug__amqp_check_name(what, t->fields[i].name, false);
        if (rc == 0) {
            rc = table_check_value(what, &t->fields[i]);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

size_t tug__amqp_table_room(const struct tug_amqp_table *t)
{
    size_t room = 4;
    for (size_t i = 0; i < t->n; i++) {
        const tug_value *v = &t->fields[i].value;
        bool is_string = v->type == TUG_VALUE_TEXT || v->type == TUG_VALUE_BYTES;
        room += 1 + strlen(t->fields[i].name) + 1 + (is_string ? 4 + v->u.bytes.size : 8);
    }
    return room;
}

static void table_fill_value(const tug_value *v, amqp_field_value_t *f)
{
    switch (v->type) {
    case TUG_VALUE_INT:
    case TUG_VALUE_UINT:
        f->kind = AMQP_FIELD_KIND_I64;
        f->value.i64 = v->u.i;
        break;
    case TUG_VALUE_BOOL:
        f->kind = AMQP_FIELD_KIND_BOOLEAN;
        f->value.boolean = v->u.b;
        break;
    case TUG_VALUE_DOUBLE:
        f->kind = AMQP_FIELD_KIND_F64;
        f->value.f64 = v->u.d;
        break;
    case TUG_VALUE_TEXT:
    case TUG_VALUE_BYTES:
        f->kind = v->type == TUG_VALUE_TEXT ? AMQP_FIELD_KIND_UTF8 : AMQP_FIELD_KIND_BYTES;
        f->value.bytes = tug__amqp_bytes(v->u.bytes.data, v->u.bytes.size);
        break;
    case TUG_VALUE_TIMESTAMP:
        f->kind = AMQP_FIELD_KIND_TIMESTAMP;
        f->value.u64 = (uint64_t)v->u.i / 1000000;
        break;
    default:
        f->kind = AMQP_FIELD_KIND_VOID;
        break;
    }
}

void tug__amqp_table_fill(const struct tug_amqp_table *t, amqp_table_entry_t *entries,
                          amqp_table_t *ret_table)
{
    for (size_t i = 0; i < t->n; i++) {
        entries[i].key = tug__amqp_text(t->fields[i].name);
        table_fill_value(&t->fields[i].value, &entries[i].value);
    }
    ret_table->num_entries = (int)t->n;
    ret_table->entries = entries;
}

int tug__amqp_take_options(const char *what, void *to, size_t size, const void *from)
{
    if (from == NULL) {
        return 0;
    }
    size_t known;
    memcpy(&known, from, sizeof known);
    if (known < sizeof known || known > size) {
        return tug_fail(TUG_EINVAL,
                        "amqp: %s: size is %zu, not that of the struct (start from its _INIT)",
                        what, known);
    }
    memcpy(to, from, known);
    return 0;
}

int tug__amqp_encode_frame(uint8_t *to, size_t size, uint16_t channel, amqp_method_number_t method,
                           const void *arguments)
{
    if (size < TUG__AMQP_FRAME_EXTRA + 4) {
        return AMQP_STATUS_BAD_AMQP_DATA;
    }
    int n = amqp_encode_method(
        method, (void *)(uintptr_t)arguments,
        tug__amqp_bytes(to + TUG__AMQP_FRAME_HEAD + 4, size - TUG__AMQP_FRAME_EXTRA - 4));
    if (n < 0) {
        return n;
    }
    to[0] = AMQP_FRAME_METHOD;
    tug__amqp_put16(to + 1, channel);
    tug__amqp_put32(to + 3, (uint32_t)n + 4);
    tug__amqp_put32(to + 7, method);
    to[TUG__AMQP_FRAME_HEAD + 4 + n] = AMQP_FRAME_END;
    return TUG__AMQP_FRAME_EXTRA + 4 + n;
}

void tug__amqp_clean_text(char *to, size_t size, amqp_bytes_t text)
{
    size_t n = text.len < size - 1 ? text.len : size - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)text.bytes)[i];
        to[i] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    to[n] = 0;
}
