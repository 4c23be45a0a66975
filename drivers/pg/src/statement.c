#include "statement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "result.h"

int tug__pg_statements_init(tug__pg_statements *s, tug__pg_texts *texts, size_t max)
{
    size_t buckets = 16;
    while (buckets < max) {
        buckets *= 2;
    }
    *s = (tug__pg_statements){
        .texts = texts, .mask = buckets - 1, .max = max, .max_bytes = SIZE_MAX};
    s->buckets = tug_calloc(buckets, sizeof(tug__pg_statement *));
    return s->buckets != NULL ? 0 : TUG_ENOMEM;
}

static void statements_unlink(tug__pg_statements *s, tug__pg_statement *st)
{
    *(st->newer != NULL ? &st->newer->older : &s->newest) = st->older;
    *(st->older != NULL ? &st->older->newer : &s->oldest) = st->newer;
    st->newer = st->older = NULL;
}

static void statements_link_newest(tug__pg_statements *s, tug__pg_statement *st)
{
    st->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = st;
    s->newest = st;
}

tug__pg_statement *tug__pg_statements_find(tug__pg_statements *s, const tug__pg_text *text)
{
    tug__pg_statement *st = s->buckets[text->hash & s->mask];
    while (st != NULL && st->text != text) {
        st = st->next;
    }
    if (st != NULL && st != s->newest) {
        statements_unlink(s, st);
        statements_link_newest(s, st);
    }
    return st;
}

static void name_append(char *name, char kind, unsigned number)
{
    size_t n = strlen(name);
    if (number > 0) {
        snprintf(name + n, TUG__PG_STATEMENT_NAME - n, "_%c%x", kind, number);
    }
}

static void name_make(char *to, const tug__pg_text *text, unsigned generation)
{
    snprintf(to, TUG__PG_STATEMENT_NAME, "tug_%016" PRIx64 "_%zx", text->hash, text->size);
    name_append(to, 't', text->twin);
    name_append(to, 'g', text->generation);
    name_append(to, 'n', generation);
}

tug__pg_statement *tug__pg_statements_add(tug__pg_statements *s, tug__pg_text *text)
{
    tug__pg_statement *st = tug_calloc(1, sizeof *st);
    if (st == NULL) {
        return NULL;
    }
    st->text = tug__pg_text_ref(text);
    st->generation = text->generation;
    st->once = text->size > s->max_bytes;
    st->unnamed = s->unnamed || st->once;
    if (!st->unnamed) {
        name_make(st->name, text, s->generation);
    }
    st->next = s->buckets[text->hash & s->mask];
    s->buckets[text->hash & s->mask] = st;
    statements_link_newest(s, st);
    s->n++;
    return st;
}

/* A row in binary is as large as its columns' types, if these are all of fixed size. Without a name the
 * types may be others by the time it runs. */
static int row_bytes_of(const tug__pg_statement *st, const PGresult *description)
{
    int bytes = 7;
    for (int i = 0; i < PQnfields(description); i++) {
        int size = PQfsize(description, i);
        if (size <= 0) {
            return 0;
        }
        bytes += 4 + size;
    }
    return st->format == 1 && !st->unnamed ? bytes : 0;
}

int tug__pg_statement_describe(tug__pg_statement *st, const PGresult *description)
{
    int n = PQnparams(description);
    int columns = PQnfields(description);
    Oid *types = tug_calloc((size_t)n + (size_t)columns + 1, sizeof *types);
    if (types == NULL) {
        return TUG_ENOMEM;
    }
    for (int i = 0; i < n; i++) {
        types[i] = PQparamtype(description, i);
    }
    for (int i = 0; i < columns; i++) {
        types[n + i] = PQftype(description, i);
    }
    st->format = tug__pg_result_format(types + n, columns);
    st->row_bytes = row_bytes_of(st, description);
    tug_free(st->types);
    st->types = types;
    st->types_n = n;
    st->columns_n = columns;
    st->described = true;
    return 0;
}

tug__pg_statement *tug__pg_statements_surplus(const tug__pg_statements *s)
{
    if (s->n <= s->max) {
        return NULL;
    }
    tug__pg_statement *st = s->oldest;
    while (st != NULL && !st->described) {
        st = st->newer;
    }
    return st;
}

void tug__pg_statements_remove(tug__pg_statements *s, tug__pg_statement *st)
{
    assert(st->waiting.first == NULL && "requests that wait for a statement outlive it");
    tug__pg_statement **at = &s->buckets[st->text->hash & s->mask];
    while (*at != st) {
        at = &(*at)->next;
    }
    *at = st->next;
    statements_unlink(s, st);
    s->n--;
    tug__pg_text_unref(s->texts, st->text);
    tug_free(st->types);
    tug_free(st);
}

void tug__pg_statements_heed(tug__pg_statements *s, const char *tag)
{
    if (strcmp(tag, "DEALLOCATE ALL") != 0 && strcmp(tag, "DISCARD ALL") != 0) {
        return;
    }
    for (tug__pg_statement *st = s->oldest, *newer; st != NULL; st = newer) {
        newer = st->newer;
        if (st->described && st->waiting.first == NULL) {
            tug__pg_statements_remove(s, st);
        }
    }
}

void tug__pg_statements_free(tug__pg_statements *s)
{
    while (s->oldest != NULL) {
        tug__pg_statements_remove(s, s->oldest);
    }
    tug_free(s->buckets);
    *s = (tug__pg_statements){0};
}
