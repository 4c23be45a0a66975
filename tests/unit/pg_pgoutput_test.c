/* The messages of pgoutput, without a server: what they mean, and that nothing a peer may send does
 * harm: cut at every length, with every bit turned, and at random. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tug/error.h>

#include "be.h"
#include "pgoutput.h"
#include "test.h"

/* --- making messages -------------------------------------------------------------------------- */

typedef struct message {
    char data[2000];
    size_t n;
} message;

static void put8(message *m, int x)
{
    m->data[m->n++] = (char)x;
}
static void put16(message *m, uint16_t x)
{
    tug__pg_put16(m->data + m->n, x);
    m->n += 2;
}
static void put32(message *m, uint32_t x)
{
    tug__pg_put32(m->data + m->n, x);
    m->n += 4;
}
static void put64(message *m, uint64_t x)
{
    tug__pg_put64(m->data + m->n, x);
    m->n += 8;
}
static void put_text(message *m, const char *text)
{
    memcpy(m->data + m->n, text, strlen(text) + 1);
    m->n += strlen(text) + 1;
}
static void put_value(message *m, char kind, const char *value)
{
    put8(m, kind);
    put32(m, (uint32_t)strlen(value));
    memcpy(m->data + m->n, value, strlen(value));
    m->n += strlen(value);
}

enum {
    OID = 16400
};

static message relation_of(uint32_t oid, const char *name)
{
    message m = {.n = 0};
    put8(&m, 'R');
    put32(&m, oid);
    put_text(&m, "public");
    put_text(&m, name);
    put8(&m, 'd');
    put16(&m, 3);
    put8(&m, 1);
    put_text(&m, "id");
    put32(&m, 23);
    put32(&m, (uint32_t)-1);
    put8(&m, 0);
    put_text(&m, "name");
    put32(&m, 25);
    put32(&m, (uint32_t)-1);
    put8(&m, 0);
    put_text(&m, "big");
    put32(&m, 17);
    put32(&m, 44);
    return m;
}

static message relation(void)
{
    return relation_of(OID, "orders");
}

static void put_row(message *m)
{
    put16(m, 3);
    put_value(m, 't', "42");
    put_value(m, 'b', "a name");
    put8(m, 'n');
}

static message insert(void)
{
    message m = {.n = 0};
    put8(&m, 'I');
    put32(&m, OID);
    put8(&m, 'N');
    put_row(&m);
    return m;
}

static message update(char before)
{
    message m = {.n = 0};
    put8(&m, 'U');
    put32(&m, OID);
    if (before != 0) {
        put8(&m, before);
        put16(&m, 3);
        put_value(&m, 't', "41");
        put8(&m, 'n');
        put_value(&m, 't', "old");
    }
    put8(&m, 'N');
    put16(&m, 3);
    put_value(&m, 't', "42");
    put8(&m, 'u');
    put_value(&m, 't', "last");
    return m;
}

static message delete_(char before)
{
    message m = {.n = 0};
    put8(&m, 'D');
    put32(&m, OID);
    put8(&m, before);
    put_row(&m);
    return m;
}

static message truncate_(void)
{
    message m = {.n = 0};
    put8(&m, 'T');
    put32(&m, 2);
    put8(&m, 3);
    put32(&m, OID);
    put32(&m, OID);
    return m;
}

static message begin(void)
{
    message m = {.n = 0};
    put8(&m, 'B');
    put64(&m, 0x1122334455667788);
    put64(&m, 1000000);
    put32(&m, 777);
    return m;
}

static message commit(void)
{
    message m = {.n = 0};
    put8(&m, 'C');
    put8(&m, 0);
    put64(&m, 100);
    put64(&m, 200);
    put64(&m, 2000000);
    return m;
}

static message origin(void)
{
    message m = {.n = 0};
    put8(&m, 'O');
    put64(&m, 5);
    put_text(&m, "elsewhere");
    return m;
}

static message type(void)
{
    message m = {.n = 0};
    put8(&m, 'Y');
    put32(&m, 99);
    put_text(&m, "public");
    put_text(&m, "mood");
    return m;
}

static message emitted(bool transactional)
{
    message m = {.n = 0};
    put8(&m, 'M');
    put8(&m, transactional);
    put64(&m, 300);
    put_text(&m, "prefix");
    put32(&m, 4);
    memcpy(m.data + m.n, "\0abc", 4);
    m.n += 4;
    return m;
}

/* Of memory of its own, so that a read beyond the end is seen. The last one stays for who looks. */
static char *last;

static int decode(tug__pg_pgoutput *d, const char *data, size_t n, tug_pg_change *ret)
{
    free(last);
    last = malloc(n + 1);
    memcpy(last, data, n);
    last[n] = '!';
    return tug__pg_pgoutput_decode(d, last, n, 7, ret);
}

static tug_pg_change decoded(tug__pg_pgoutput *d, message m)
{
    tug_pg_change change;
    memset(&change, 0xee, sizeof change);
    assert_ok(decode(d, m.data, m.n, &change));
    return change;
}

static void finish(tug__pg_pgoutput *d)
{
    tug__pg_pgoutput_free(d);
    free(last);
    last = NULL;
    assert_int_equal(tug_test_live_allocations(), 0);
}

static void assert_field(const tug_pg_field *f, int kind, const char *value)
{
    assert_int_equal(f->kind, kind);
    assert_int_equal(f->value.size, strlen(value));
    if (f->value.size > 0) {
        assert_string_equal(f->value.data, value);
    }
}

/* --- what they mean --------------------------------------------------------------------------- */

TEST(a_transaction_begins_and_ends)
{
    tug__pg_pgoutput d = {0};
    tug_pg_change c = decoded(&d, begin());
    assert_int_equal(c.kind, TUG_PG_CHANGE_BEGIN);
    assert_true(c.lsn == 0x1122334455667788);
    assert_int_equal(c.xid, 777);
    assert_true(c.time.us == INT64_C(946684801000000));
    c = decoded(&d, origin());
    assert_int_equal(c.kind, TUG_PG_CHANGE_ORIGIN);
    assert_int_equal(c.xid, 777);
    assert_int_equal(c.lsn, 5);
    assert_string_equal(c.name, "elsewhere");
    c = decoded(&d, commit());
    assert_int_equal(c.kind, TUG_PG_CHANGE_COMMIT);
    assert_int_equal(c.xid, 777);
    assert_int_equal(c.lsn, 200);
    assert_true(c.time.us == INT64_C(946684802000000));
    c = decoded(&d, emitted(false));
    assert_int_equal(c.xid, 0);
    finish(&d);
}

TEST(a_relation_is_described)
{
    tug__pg_pgoutput d = {0};
    tug_pg_change c = decoded(&d, relation());
    assert_int_equal(c.kind, TUG_PG_CHANGE_RELATION);
    assert_int_equal(c.lsn, 7);
    const tug_pg_relation *r = c.relation;
    assert_int_equal(r->oid, OID);
    assert_string_equal(r->schema, "public");
    assert_string_equal(r->name, "orders");
    assert_int_equal(r->identity, 'd');
    assert_int_equal(r->columns_n, 3);
    assert_string_equal(r->columns[0].name, "id");
    assert_int_equal(r->columns[0].type, 23);
    assert_true(r->columns[0].is_key && !r->columns[1].is_key);
    assert_int_equal(r->columns[2].modifier, 44);
    /* A second description replaces the first. */
    assert_string_equal(decoded(&d, relation_of(OID, "renamed")).relation->name, "renamed");
    assert_string_equal(decoded(&d, insert()).relation->name, "renamed");
    assert_int_equal(d.relations_n, 1);
    finish(&d);
}

TEST(many_relations_are_told_apart)
{
    tug__pg_pgoutput d = {0};
    char name[20];
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t oid = i * 7919 % 1000 + OID;
        snprintf(name, sizeof name, "t%u", oid);
        decoded(&d, relation_of(oid, name));
    }
    assert_int_equal(d.relations_n, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        message m = insert();
        tug__pg_put32(m.data + 1, OID + i);
        snprintf(name, sizeof name, "t%u", OID + i);
        assert_string_equal(decoded(&d, m).relation->name, name);
    }
    finish(&d);
}

TEST(rows_come_with_what_was_before)
{
    tug__pg_pgoutput d = {0};
    decoded(&d, relation());
    tug_pg_change c = decoded(&d, insert());
    assert_int_equal(c.kind, TUG_PG_CHANGE_INSERT);
    assert_null(c.before);
    assert_int_equal(c.before_kind, TUG_PG_BEFORE_NONE);
    assert_field(&c.row[0], TUG_PG_FIELD_TEXT, "42");
    assert_field(&c.row[1], TUG_PG_FIELD_BINARY, "a name");
    assert_field(&c.row[2], TUG_PG_FIELD_NULL, "");
    c = decoded(&d, update(0));
    assert_int_equal(c.kind, TUG_PG_CHANGE_UPDATE);
    assert_null(c.before);
    assert_field(&c.row[1], TUG_PG_FIELD_UNCHANGED, "");
    assert_field(&c.row[2], TUG_PG_FIELD_TEXT, "last");
    c = decoded(&d, update('K'));
    assert_int_equal(c.before_kind, TUG_PG_BEFORE_KEY);
    assert_field(&c.before[0], TUG_PG_FIELD_TEXT, "41");
    assert_field(&c.before[2], TUG_PG_FIELD_TEXT, "old");
    assert_field(&c.row[0], TUG_PG_FIELD_TEXT, "42");
    c = decoded(&d, update('O'));
    assert_int_equal(c.before_kind, TUG_PG_BEFORE_ROW);
    c = decoded(&d, delete_('K'));
    assert_int_equal(c.kind, TUG_PG_CHANGE_DELETE);
    assert_int_equal(c.before_kind, TUG_PG_BEFORE_KEY);
    assert_null(c.row);
    assert_field(&c.before[1], TUG_PG_FIELD_BINARY, "a name");
    c = decoded(&d, delete_('O'));
    assert_int_equal(c.before_kind, TUG_PG_BEFORE_ROW);
    finish(&d);
}

TEST(truncate_type_and_message)
{
    tug__pg_pgoutput d = {0};
    decoded(&d, relation());
    tug_pg_change c = decoded(&d, truncate_());
    assert_int_equal(c.kind, TUG_PG_CHANGE_TRUNCATE);
    assert_int_equal(c.relations_n, 2);
    assert_string_equal(c.relations[1]->name, "orders");
    assert_true(c.cascade && c.restart_identity);
    c = decoded(&d, type());
    assert_int_equal(c.kind, TUG_PG_CHANGE_TYPE);
    assert_int_equal(c.type, 99);
    assert_string_equal(c.schema, "public");
    assert_string_equal(c.name, "mood");
    c = decoded(&d, emitted(true));
    assert_int_equal(c.kind, TUG_PG_CHANGE_MESSAGE);
    assert_true(c.transactional);
    assert_int_equal(c.lsn, 300);
    assert_string_equal(c.name, "prefix");
    assert_int_equal(c.content.size, 4);
    assert_memory_equal(c.content.data, "\0abc", 4);
    assert_int_equal(decoded(&d, emitted(false)).lsn, 301);
    finish(&d);
}

TEST(a_look_tells_where_transactions_end)
{
    uint64_t end = 0;
    message m = begin();
    assert_int_equal(tug__pg_pgoutput_look(m.data, m.n, &end), TUG__PG_MARK_BEGIN);
    m = insert();
    assert_int_equal(tug__pg_pgoutput_look(m.data, m.n, &end), TUG__PG_MARK_WITHIN);
    m = commit();
    assert_int_equal(tug__pg_pgoutput_look(m.data, m.n, &end), TUG__PG_MARK_END);
    assert_int_equal(end, 200);
    m = emitted(false);
    assert_int_equal(tug__pg_pgoutput_look(m.data, m.n, &end), TUG__PG_MARK_END);
    assert_int_equal(end, 301);
    m = emitted(true);
    assert_int_equal(tug__pg_pgoutput_look(m.data, m.n, &end), TUG__PG_MARK_WITHIN);
    assert_int_equal(tug__pg_pgoutput_look("C", 1, &end), TUG__PG_MARK_WITHIN);
    assert_int_equal(tug__pg_pgoutput_look("", 0, &end), TUG__PG_MARK_WITHIN);
}

TEST(what_cannot_be_is_refused)
{
    tug__pg_pgoutput d = {0};
    tug_pg_change c;
    message m = insert();
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    assert_detail_has("not described");
    decoded(&d, relation());
    tug__pg_put16(m.data + 6, 2);
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    assert_detail_has("as many fields");
    m = insert();
    put8(&m, 0);
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    assert_detail_has("longer than it says");
    m = insert();
    m.data[8] = 'x';
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    assert_detail_has("no kind");
    assert_rc(decode(&d, "S", 1, &c), TUG_EPROTO);
    assert_detail_has("not asked for");
    assert_rc(decode(&d, "", 0, &c), TUG_EPROTO);
    m = truncate_();
    tug__pg_put32(m.data + 1, UINT32_MAX);
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    m = relation();
    m.data[5 + 7 + 7 + 1] = 0x7f;
    assert_rc(decode(&d, m.data, m.n, &c), TUG_EPROTO);
    assert_detail_has("too many columns");
    finish(&d);
}

/* --- whatever a peer may send ----------------------------------------------------------------- */

static size_t all_messages(message *ret)
{
    size_t n = 0;
    ret[n++] = relation();
    ret[n++] = insert();
    ret[n++] = update(0);
    ret[n++] = update('K');
    ret[n++] = update('O');
    ret[n++] = delete_('K');
    ret[n++] = delete_('O');
    ret[n++] = truncate_();
    ret[n++] = begin();
    ret[n++] = commit();
    ret[n++] = origin();
    ret[n++] = type();
    ret[n++] = emitted(true);
    ret[n++] = emitted(false);
    return n;
}

/* Reads all of it: what is not there would be seen. */
static unsigned touch_fields(const tug_pg_field *f, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; f != NULL && i < n; i++) {
        const char *at = f[i].value.data;
        for (size_t k = 0; k < f[i].value.size; k++) {
            sum += (unsigned char)at[k];
        }
    }
    return sum;
}

static unsigned touch(const tug_pg_change *c)
{
    unsigned sum = 0;
    const tug_pg_relation *r = c->relation;
    if (r != NULL) {
        sum += (unsigned)(strlen(r->schema) + strlen(r->name));
        for (size_t i = 0; i < r->columns_n; i++) {
            sum += (unsigned)strlen(r->columns[i].name) + r->columns[i].type;
        }
        sum += touch_fields(c->row, r->columns_n) + touch_fields(c->before, r->columns_n);
    }
    for (size_t i = 0; i < c->relations_n; i++) {
        sum += c->relations[i]->oid;
    }
    sum += c->name != NULL ? (unsigned)strlen(c->name) : 0;
    sum += c->schema != NULL ? (unsigned)strlen(c->schema) : 0;
    const char *content = c->content.data;
    for (size_t k = 0; k < c->content.size; k++) {
        sum += (unsigned char)content[k];
    }
    return sum;
}

/* Decodes what may be anything; a decoder of its own each time, which knows the one relation. */
static int decode_anything(const char *data, size_t n)
{
    tug__pg_pgoutput d = {0};
    tug_pg_change c;
    uint64_t end = 0;
    volatile unsigned sum = 0;
    decoded(&d, relation());
    tug__pg_pgoutput_look(data, n, &end);
    int rc = decode(&d, data, n, &c);
    if (rc == 0) {
        sum += touch(&c);
    } else {
        assert_true(rc == TUG_EPROTO || rc == TUG_ELIMIT);
    }
    tug__pg_pgoutput_free(&d);
    return rc;
}

TEST(cut_at_every_length)
{
    message all[20];
    size_t n = all_messages(all);
    for (size_t i = 0; i < n; i++) {
        for (size_t size = 0; size < all[i].n; size++) {
            assert_int_equal(decode_anything(all[i].data, size), TUG_EPROTO);
        }
        assert_int_equal(decode_anything(all[i].data, all[i].n), 0);
    }
    free(last);
    last = NULL;
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(with_every_bit_turned)
{
    message all[20];
    size_t n = all_messages(all);
    for (size_t i = 0; i < n; i++) {
        for (size_t bit = 0; bit < all[i].n * 8; bit++) {
            message m = all[i];
            m.data[bit / 8] = (char)(m.data[bit / 8] ^ 1 << bit % 8);
            decode_anything(m.data, m.n);
        }
    }
    free(last);
    last = NULL;
    assert_int_equal(tug_test_live_allocations(), 0);
}

TEST(at_random)
{
    uint64_t state = 88172645463325252u;
    message all[20];
    size_t n = all_messages(all);
    for (int round = 0; round < test_many(20000, 400); round++) {
        message m = all[(size_t)round % n];
        for (int k = 0; k < 3; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            m.data[state % m.n] = (char)(state >> 32);
        }
        decode_anything(m.data, 1 + state % m.n);
    }
    free(last);
    last = NULL;
    assert_int_equal(tug_test_live_allocations(), 0);
}
