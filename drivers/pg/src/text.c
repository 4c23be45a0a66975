#include "text.h"

#include <assert.h>
#include <string.h>
#include <tug/sys/alloc.h>

#include "gate.h"

/* Buckets to begin with: programs have tens of statements. */
#define TEXTS_FIRST 64

/* Eight bytes a step: statements are hashed at every call, and byte by byte costs a nanosecond
 * each. */
uint64_t tug__pg_hash(const char *data, size_t size)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ size;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t part;
        memcpy(&part, data, 8);
        h = (h ^ part) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, data, size);
    h = (h ^ rest) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 29;
    h *= UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 32);
}

static int texts_grow(tug__pg_texts *table)
{
    size_t n = table->buckets == NULL ? TEXTS_FIRST : (table->mask + 1) * 2;
    tug__pg_text **buckets = tug_calloc(n, sizeof *buckets);
    if (buckets == NULL) {
        return -1;
    }
    for (size_t i = 0; table->buckets != NULL && i <= table->mask; i++) {
        tug__pg_text *t = table->buckets[i];
        while (t != NULL) {
            tug__pg_text *next = t->next;
            t->next = buckets[t->hash & (n - 1)];
            buckets[t->hash & (n - 1)] = t;
            t = next;
        }
    }
    tug_free(table->buckets);
    table->buckets = buckets;
    table->mask = n - 1;
    return 0;
}

static tug__pg_text *text_new(const char *sql, size_t size, uint64_t hash)
{
    tug__pg_text *t = tug_alloc(sizeof *t + size + 1);
    if (t == NULL) {
        return NULL;
    }
    t->next = NULL;
    t->hash = hash;
    t->size = size;
    t->references = 1;
    t->generation = 0;
    t->twin = 0;
    memcpy(t->sql, sql, size + 1);
    t->gate = tug__pg_gate(t->sql);
    t->marks = tug__pg_gate_marks_session(t->sql, t->gate);
    return t;
}

/* As good as never more than 0; but a name that stands for two texts would run the wrong one. */
static unsigned texts_twin(const tug__pg_texts *table, const tug__pg_text *text)
{
    unsigned twin = 0;
    for (const tug__pg_text *t = table->buckets[text->hash & table->mask]; t != NULL; t = t->next) {
        if (t->hash == text->hash && t->size == text->size && t->twin >= twin) {
            twin = t->twin + 1;
        }
    }
    return twin;
}

tug__pg_text *tug__pg_texts_get(tug__pg_texts *table, const char *sql)
{
    size_t size = strlen(sql);
    uint64_t hash = tug__pg_hash(sql, size);
    if (table->buckets != NULL) {
        for (tug__pg_text *t = table->buckets[hash & table->mask]; t != NULL; t = t->next) {
            if (t->hash == hash && t->size == size && memcmp(t->sql, sql, size) == 0) {
                return tug__pg_text_ref(t);
            }
        }
    }
    if (table->buckets == NULL || table->n > table->mask) {
        if (texts_grow(table) < 0) {
            return NULL;
        }
    }
    tug__pg_text *t = text_new(sql, size, hash);
    if (t != NULL) {
        t->twin = texts_twin(table, t);
        t->next = table->buckets[hash & table->mask];
        table->buckets[hash & table->mask] = t;
        table->n++;
    }
    return t;
}

void tug__pg_text_unref(tug__pg_texts *table, tug__pg_text *t)
{
    if (t == NULL) {
        return;
    }
    assert(t->references > 0 && "a text is released once for each reference");
    if (--t->references > 0) {
        return;
    }
    tug__pg_text **at = &table->buckets[t->hash & table->mask];
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    table->n--;
    tug_free(t);
}

void tug__pg_texts_free(tug__pg_texts *table)
{
    assert(table->n == 0 && "a text outlived its pool");
    tug_free(table->buckets);
    *table = (tug__pg_texts){0};
}
