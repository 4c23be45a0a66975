#include "fields.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tug/pg_error.h>
#include <tug/sys/alloc.h>

/* Failures whose fields are kept: more than a turn of a busy loop brings, when each task looks at its own
 * at once. */
#define FIELDS_KEPT 64
/* Bytes of one field: a context may be a million calls deep. */
#define FIELD_MOST 8192
/* Where the number stands in tug_error.native, behind the five characters and their 0. */
#define NUMBER_AT 8

typedef struct kept {
    uint64_t number; /* 0: none */
    tug_pg_error fields;
    void *text; /* what they point into */
} kept;

static _Thread_local struct {
    size_t pools;
    kept *ring; /* NULL before the first failure */
    size_t next;
} latest;

/* No number comes twice in a process: a detail that went to another thread finds nothing there. */
static _Atomic uint64_t numbers;

static void kept_clear(kept *k)
{
    tug_free(k->text);
    *k = (kept){0};
}

void tug__pg_fields_enter(void)
{
    latest.pools++;
}

void tug__pg_fields_leave(void)
{
    assert(latest.pools > 0 && "a pool ends once");
    if (--latest.pools > 0 || latest.ring == NULL) {
        return;
    }
    for (size_t i = 0; i < FIELDS_KEPT; i++) {
        kept_clear(&latest.ring[i]);
    }
    tug_free(latest.ring);
    latest.ring = NULL;
}

/* The text fields: which they are, and where they go. */
static const struct {
    int code;
    size_t offset;
} texts[] = {
    {PG_DIAG_SEVERITY, offsetof(tug_pg_error, severity)},
    {PG_DIAG_SEVERITY_NONLOCALIZED, offsetof(tug_pg_error, severity_plain)},
    {PG_DIAG_SQLSTATE, offsetof(tug_pg_error, sqlstate)},
    {PG_DIAG_MESSAGE_PRIMARY, offsetof(tug_pg_error, message)},
    {PG_DIAG_MESSAGE_DETAIL, offsetof(tug_pg_error, detail)},
    {PG_DIAG_MESSAGE_HINT, offsetof(tug_pg_error, hint)},
    {PG_DIAG_INTERNAL_QUERY, offsetof(tug_pg_error, internal_query)},
    {PG_DIAG_CONTEXT, offsetof(tug_pg_error, context)},
    {PG_DIAG_SCHEMA_NAME, offsetof(tug_pg_error, schema)},
    {PG_DIAG_TABLE_NAME, offsetof(tug_pg_error, table)},
    {PG_DIAG_COLUMN_NAME, offsetof(tug_pg_error, column)},
    {PG_DIAG_DATATYPE_NAME, offsetof(tug_pg_error, datatype)},
    {PG_DIAG_CONSTRAINT_NAME, offsetof(tug_pg_error, constraint)},
    {PG_DIAG_SOURCE_FILE, offsetof(tug_pg_error, file)},
    {PG_DIAG_SOURCE_FUNCTION, offsetof(tug_pg_error, routine)},
};
#define TEXTS (sizeof texts / sizeof texts[0])

/* The length that is kept, whole characters of UTF-8. */
static size_t field_size(const char *text)
{
    size_t n = strnlen(text, FIELD_MOST + 1);
    if (n > FIELD_MOST) {
        n = FIELD_MOST;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    return n;
}

static int field_number(const PGresult *res, int code)
{
    const char *text = PQresultErrorField(res, code);
    return text != NULL ? (int)strtol(text, NULL, 10) : 0;
}

static bool fields_copy(kept *to, const PGresult *res)
{
    const char *from[TEXTS];
    size_t sizes[TEXTS];
    size_t total = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        from[i] = PQresultErrorField(res, texts[i].code);
        sizes[i] = from[i] != NULL ? field_size(from[i]) : 0;
        total += sizes[i] + 1;
    }
    char *at = to->text = tug_alloc(total);
    if (at == NULL) {
        return false;
    }
    for (size_t i = 0; i < TEXTS; i++) {
        if (from[i] != NULL) {
            memcpy(at, from[i], sizes[i]);
            at[sizes[i]] = '\0';
            *(const char **)((char *)&to->fields + texts[i].offset) = at;
            at += sizes[i] + 1;
        }
    }
    to->fields.position = field_number(res, PG_DIAG_STATEMENT_POSITION);
    to->fields.internal_position = field_number(res, PG_DIAG_INTERNAL_POSITION);
    to->fields.line = field_number(res, PG_DIAG_SOURCE_LINE);
    return true;
}

void tug__pg_fields_keep(tug_error *e, const PGresult *res)
{
    uint64_t number = 0;
    if (strlen(e->native) >= NUMBER_AT) {
        return; /* no SQLSTATE, whatever the peer calls it */
    }
    if (latest.ring == NULL && latest.pools > 0) {
        latest.ring = tug_calloc(FIELDS_KEPT, sizeof *latest.ring);
    }
    if (latest.ring != NULL && PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL) {
        kept *k = &latest.ring[latest.next++ % FIELDS_KEPT];
        kept_clear(k);
        if (fields_copy(k, res)) {
            number = k->number = atomic_fetch_add(&numbers, 1) + 1;
        }
    }
    memcpy(e->native + NUMBER_AT, &number, sizeof number);
}

const tug_pg_error *tug_pg_error_of(const tug_error *e)
{
    uint64_t number;
    e = e != NULL ? e : tug_last_error();
    memcpy(&number, e->native + NUMBER_AT, sizeof number);
    if (latest.ring == NULL || number == 0 || e->origin != TUG_ORIGIN_SERVER ||
        strnlen(e->native, NUMBER_AT) == NUMBER_AT) {
        return NULL;
    }
    for (size_t i = 0; i < FIELDS_KEPT; i++) {
        const kept *k = &latest.ring[i];
        /* What another driver or an old stack left in that place is no number of ours. */
        if (k->number == number && strcmp(k->fields.sqlstate, e->native) == 0) {
            return &k->fields;
        }
    }
    return NULL;
}

const tug_pg_error *tug_pg_last_error(void)
{
    return tug_pg_error_of(tug_last_error());
}

const tug_pg_error *tug_pg_future_error(const tug_future *f)
{
    return tug_pg_error_of(tug_future_error(f));
}
