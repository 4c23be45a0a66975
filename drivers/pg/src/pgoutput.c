#include "pgoutput.h"

#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "be.h"

/* 1970-01-01 to 2000-01-01. */
#define EPOCH_US INT64_C(946684800000000)
/* A non-transactional message stands at the place where it begins; the next one begins at least so
 * much behind it. */
#define BEHIND_MESSAGE 1

typedef struct tug__pg_published {
    tug_pg_relation relation;
    tug_pg_column columns[];
} tug__pg_published;

struct tug_timestamp tug__pg_pgoutput_time(int64_t us)
{
    return (struct tug_timestamp){us > INT64_MAX - EPOCH_US ? INT64_MAX : us + EPOCH_US};
}

/* --- reading: beyond the end all is 0 and bad is set ------------------------------------------- */

typedef struct cursor {
    char *at, *end;
    bool bad;
} cursor;

static char *take(cursor *c, size_t n)
{
    if (c->bad || (size_t)(c->end - c->at) < n) {
        c->bad = true;
        return NULL;
    }
    char *p = c->at;
    c->at += n;
    return p;
}

static uint8_t take8(cursor *c)
{
    const char *p = take(c, 1);
    return p != NULL ? (uint8_t)*p : 0;
}

static uint16_t take16(cursor *c)
{
    const char *p = take(c, 2);
    return p != NULL ? tug__pg_get16(p) : 0;
}

static uint32_t take32(cursor *c)
{
    const char *p = take(c, 4);
    return p != NULL ? tug__pg_get32(p) : 0;
}

static uint64_t take64(cursor *c)
{
    const char *p = take(c, 8);
    return p != NULL ? tug__pg_get64(p) : 0;
}

static const char *take_text(cursor *c)
{
    size_t left = c->bad ? 0 : (size_t)(c->end - c->at);
    size_t n = left > 0 ? strnlen(c->at, left) : 0;
    if (n == left) {
        c->bad = true;
        return "";
    }
    return take(c, n + 1);
}

static int malformed(const char *what)
{
    return tug_fail(TUG_EPROTO, "pgoutput: %s", what);
}

static int no_memory(void)
{
    return tug_fail(TUG_ENOMEM, "out of memory for a change");
}

/* --- relations -------------------------------------------------------------------------------- */

static size_t relation_place(const tug__pg_pgoutput *d, uint32_t oid, bool *ret_found)
{
    size_t low = 0, high = d->relations_n;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t there = d->relations[middle]->relation.oid;
        if (there == oid) {
            *ret_found = true;
            return middle;
        }
        if (there < oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const tug_pg_relation *relation_find(const tug__pg_pgoutput *d, uint32_t oid)
{
    bool found;
    size_t place = relation_place(d, oid, &found);
    return found ? &d->relations[place]->relation : NULL;
}

static int relation_reserve(tug__pg_pgoutput *d)
{
    if (d->relations_n == TUG__PG_RELATIONS_MAX) {
        return tug_fail(TUG_ELIMIT, "pgoutput: more than %d relations in one stream",
                        TUG__PG_RELATIONS_MAX);
    }
    if (d->relations_n < d->relations_room) {
        return 0;
    }
    size_t room = d->relations_room > 0 ? d->relations_room * 2 : 16;
    tug__pg_published **relations = (tug__pg_published **)tug_realloc((void *)d->relations,
                                                                      room * sizeof *relations);
    if (relations == NULL) {
        return no_memory();
    }
    d->relations = relations;
    d->relations_room = room;
    return 0;
}

/* In the place of the one of the same oid, if there is one. Takes r over. */
static int relation_keep(tug__pg_pgoutput *d, tug__pg_published *r)
{
    bool found;
    size_t place = relation_place(d, r->relation.oid, &found);
    if (found) {
        tug_free(d->relations[place]);
        d->relations[place] = r;
        return 0;
    }
    int rc = relation_reserve(d);
    if (rc < 0) {
        tug_free(r);
        return rc;
    }
    memmove((void *)(d->relations + place + 1), (void *)(d->relations + place),
            (d->relations_n - place) * sizeof *d->relations);
    d->relations[place] = r;
    d->relations_n++;
    return 0;
}

static const char *keep_text(char **to, const char *text)
{
    size_t size = strlen(text) + 1;
    const char *kept = memcpy(*to, text, size);
    *to += size;
    return kept;
}

/* With its names behind it, in one piece: text_size bytes of them are in the message at most. */
static tug__pg_published *relation_read(cursor *c, uint32_t oid, const char *schema,
                                        const char *name, char identity, size_t columns_n)
{
    size_t text_size = strlen(schema) + strlen(name) + 2 + (size_t)(c->end - c->at);
    tug__pg_published *r = tug_alloc(sizeof *r + columns_n * sizeof(tug_pg_column) + text_size);
    if (r == NULL) {
        return NULL;
    }
    char *text = (char *)&r->columns[columns_n];
    r->relation = (tug_pg_relation){
        .oid = oid, .identity = identity, .columns_n = columns_n, .columns = r->columns};
    r->relation.schema = keep_text(&text, schema);
    r->relation.name = keep_text(&text, name);
    for (size_t i = 0; i < columns_n; i++) {
        uint8_t flags = take8(c);
        const char *column = take_text(c);
        uint32_t type = take32(c);
        int32_t modifier = (int32_t)take32(c);
        if (c->bad) {
            break;
        }
        r->columns[i] = (tug_pg_column){.name = keep_text(&text, column),
                                        .type = type,
                                        .modifier = modifier,
                                        .is_key = (flags & 1) != 0};
    }
    return r;
}

static int decode_relation(tug__pg_pgoutput *d, cursor *c, tug_pg_change *change)
{
    uint32_t oid = take32(c);
    const char *schema = take_text(c);
    const char *name = take_text(c);
    char identity = (char)take8(c);
    size_t n = take16(c);
    if (c->bad) {
        return malformed("a relation is cut short");
    }
    if (n > TUG__PG_COLUMNS_MAX) {
        return malformed("a relation has too many columns");
    }
    tug__pg_published *r = relation_read(c, oid, schema, name, identity, n);
    if (r == NULL) {
        return no_memory();
    }
    if (c->bad || c->at != c->end) {
        tug_free(r);
        return malformed("a relation is not as long as it says");
    }
    change->kind = TUG_PG_CHANGE_RELATION;
    change->relation = &r->relation;
    return relation_keep(d, r);
}

/* --- rows ------------------------------------------------------------------------------------- */

static int fields_reserve(tug__pg_pgoutput *d, int which, size_t n)
{
    if (n <= d->fields_room[which]) {
        return 0;
    }
    tug_pg_field *fields = tug_realloc(d->fields[which], n * sizeof *fields);
    if (fields == NULL) {
        return no_memory();
    }
    d->fields[which] = fields;
    d->fields_room[which] = n;
    return 0;
}

/* The 0 behind a text goes where the next field's kind stood, which has been read by then. */
static int decode_fields(cursor *c, tug_pg_field *fields, size_t n)
{
    static const int kinds[256] = {['n'] = TUG_PG_FIELD_NULL + 1,
                                   ['u'] = TUG_PG_FIELD_UNCHANGED + 1,
                                   ['t'] = TUG_PG_FIELD_TEXT + 1,
                                   ['b'] = TUG_PG_FIELD_BINARY + 1};
    char *end = NULL;
    for (size_t i = 0; i < n; i++) {
        int kind = kinds[take8(c)] - 1;
        if (end != NULL) {
            *end = '\0';
            end = NULL;
        }
        if (c->bad || kind < 0) {
            return malformed("a field is of no kind that there is");
        }
        fields[i] = (tug_pg_field){.kind = kind};
        if (kind == TUG_PG_FIELD_TEXT || kind == TUG_PG_FIELD_BINARY) {
            uint32_t size = take32(c);
            const char *value = take(c, size);
            if (c->bad) {
                return malformed("a field is cut short");
            }
            fields[i].value = tug_bytes(value, size);
            end = c->at;
        }
    }
    return 0; /* the last one's 0: end_tuple, a second tuple's mark may stand there */
}

static int decode_tuple(tug__pg_pgoutput *d, cursor *c, int which, const tug_pg_relation *relation,
                        const tug_pg_field **ret_fields)
{
    size_t n = take16(c);
    if (c->bad || n != relation->columns_n) {
        return malformed("a row has not as many fields as its relation has columns");
    }
    int rc = fields_reserve(d, which, n > 0 ? n : 1);
    rc = rc < 0 ? rc : decode_fields(c, d->fields[which], n);
    if (rc == 0) {
        *ret_fields = d->fields[which];
    }
    return rc;
}

/* The last value of a tuple gets its 0 when what stood behind it was read. */
static void end_tuple(const tug_pg_field *fields, size_t n)
{
    for (size_t i = n; fields != NULL && i > 0; i--) {
        const tug_pg_field *f = &fields[i - 1];
        if (f->kind == TUG_PG_FIELD_TEXT || f->kind == TUG_PG_FIELD_BINARY) {
            ((char *)f->value.data)[f->value.size] = '\0';
            return;
        }
    }
}

static int decode_row(tug__pg_pgoutput *d, cursor *c, tug_pg_change *change)
{
    const tug_pg_relation *r = relation_find(d, take32(c));
    if (c->bad || r == NULL) {
        return malformed("a row of a relation that was not described");
    }
    change->relation = r;
    char mark = (char)take8(c);
    int rc = 0;
    if (change->kind != TUG_PG_CHANGE_INSERT && (mark == 'K' || mark == 'O')) {
        change->before_kind = mark == 'K' ? TUG_PG_BEFORE_KEY : TUG_PG_BEFORE_ROW;
        rc = decode_tuple(d, c, 1, r, &change->before);
        mark = rc == 0 && change->kind == TUG_PG_CHANGE_UPDATE ? (char)take8(c) : mark;
    }
    bool has_row = change->kind != TUG_PG_CHANGE_DELETE;
    if (rc == 0 && (has_row ? mark != 'N' : change->before == NULL)) {
        return malformed("a row is not where it should be");
    }
    if (rc == 0 && has_row) {
        rc = decode_tuple(d, c, 0, r, &change->row);
    }
    if (rc == 0 && c->at != c->end) {
        return malformed("a row is longer than it says");
    }
    if (rc == 0) {
        end_tuple(change->before, r->columns_n);
        end_tuple(change->row, r->columns_n);
    }
    return rc;
}

static int decode_truncate(tug__pg_pgoutput *d, cursor *c, tug_pg_change *change)
{
    size_t n = take32(c);
    uint8_t flags = take8(c);
    if (c->bad || n > (size_t)(c->end - c->at) / 4) {
        return malformed("a truncate is cut short");
    }
    if (n > d->truncated_room) {
        const tug_pg_relation **list = (const tug_pg_relation **)tug_realloc((void *)d->truncated,
                                                                             n * sizeof *list);
        if (list == NULL) {
            return no_memory();
        }
        d->truncated = list;
        d->truncated_room = n;
    }
    for (size_t i = 0; i < n; i++) {
        d->truncated[i] = relation_find(d, take32(c));
        if (d->truncated[i] == NULL) {
            return malformed("a truncate of a relation that was not described");
        }
    }
    change->cascade = (flags & 1) != 0;
    change->restart_identity = (flags & 2) != 0;
    change->relations = d->truncated;
    change->relations_n = n;
    return 0;
}

/* --- the others ------------------------------------------------------------------------------- */

static void decode_begin(tug__pg_pgoutput *d, cursor *c, tug_pg_change *change)
{
    change->lsn = take64(c);
    change->time = tug__pg_pgoutput_time((int64_t)take64(c));
    d->xid = take32(c);
    change->xid = d->xid;
}

static void decode_commit(tug__pg_pgoutput *d, cursor *c, tug_pg_change *change)
{
    take8(c); /* flags: unused */
    take64(c);
    change->lsn = take64(c);
    change->time = tug__pg_pgoutput_time((int64_t)take64(c));
    d->xid = 0;
}

static void decode_origin(cursor *c, tug_pg_change *change)
{
    change->lsn = take64(c);
    change->name = take_text(c);
}

static void decode_type(cursor *c, tug_pg_change *change)
{
    change->type = take32(c);
    change->schema = take_text(c);
    change->name = take_text(c);
}

static void decode_message(cursor *c, tug_pg_change *change)
{
    change->transactional = (take8(c) & 1) != 0;
    change->lsn = take64(c);
    change->name = take_text(c);
    uint32_t size = take32(c);
    const char *content = take(c, size);
    change->content = tug_bytes(content, content != NULL ? size : 0);
    if (!change->transactional) {
        change->lsn += BEHIND_MESSAGE;
    }
}

static int decode_body(tug__pg_pgoutput *d, char tag, cursor *c, tug_pg_change *change)
{
    switch (tag) {
    case 'B':
        change->kind = TUG_PG_CHANGE_BEGIN;
        decode_begin(d, c, change);
        return 0;
    case 'C':
        change->kind = TUG_PG_CHANGE_COMMIT;
        decode_commit(d, c, change);
        return 0;
    case 'R':
        return decode_relation(d, c, change);
    case 'I':
        change->kind = TUG_PG_CHANGE_INSERT;
        return decode_row(d, c, change);
    case 'U':
        change->kind = TUG_PG_CHANGE_UPDATE;
        return decode_row(d, c, change);
    case 'D':
        change->kind = TUG_PG_CHANGE_DELETE;
        return decode_row(d, c, change);
    case 'T':
        change->kind = TUG_PG_CHANGE_TRUNCATE;
        return decode_truncate(d, c, change);
    case 'Y':
        change->kind = TUG_PG_CHANGE_TYPE;
        decode_type(c, change);
        return 0;
    case 'O':
        change->kind = TUG_PG_CHANGE_ORIGIN;
        decode_origin(c, change);
        return 0;
    case 'M':
        change->kind = TUG_PG_CHANGE_MESSAGE;
        decode_message(c, change);
        return 0;
    default:
        return malformed("a message of a kind that was not asked for");
    }
}

int tug__pg_pgoutput_decode(tug__pg_pgoutput *d, char *data, size_t n, uint64_t lsn,
                            tug_pg_change *ret_change)
{
    tug_pg_change change = {.lsn = lsn, .xid = d->xid};
    cursor c = {.at = data, .end = data + n};
    char tag = (char)take8(&c);
    int rc = decode_body(d, tag, &c, &change);
    if (rc == 0 && (c.bad || c.at != c.end)) {
        rc = malformed("a message is not as long as it should be");
    }
    if (rc == 0) {
        *ret_change = change;
    }
    return rc;
}

void tug__pg_pgoutput_restart(tug__pg_pgoutput *d)
{
    d->xid = 0;
}

void tug__pg_pgoutput_free(tug__pg_pgoutput *d)
{
    for (size_t i = 0; i < d->relations_n; i++) {
        tug_free(d->relations[i]);
    }
    tug_free((void *)d->relations);
    tug_free(d->fields[0]);
    tug_free(d->fields[1]);
    tug_free((void *)d->truncated);
    memset(d, 0, sizeof *d);
}

tug__pg_pgoutput_mark tug__pg_pgoutput_look(const char *data, size_t n, uint64_t *ret_end)
{
    if (n >= 1 && data[0] == 'B') {
        return TUG__PG_MARK_BEGIN;
    }
    if (n >= 18 && data[0] == 'C') {
        *ret_end = tug__pg_get64(data + 10);
        return TUG__PG_MARK_END;
    }
    if (n >= 10 && data[0] == 'M' && (data[1] & 1) == 0) {
        *ret_end = tug__pg_get64(data + 2) + BEHIND_MESSAGE;
        return TUG__PG_MARK_END;
    }
    return TUG__PG_MARK_WITHIN;
}
