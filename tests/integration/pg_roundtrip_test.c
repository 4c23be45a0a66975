/* Random values of all types, through the server and back: as the C value that was sent, as text that the
 * driver prints, and as the server's own text of a literal that the test has written for itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tug/future.h>
#include <tug/pg_array.h>

#include "pg_help.h"
#include "pg_sample.h"

enum {
    KINDS_MAX = 40,
    ELEMENTS_MAX = 12,
    BATCHES = 4, /* statements in flight */
    VALUES = 100000,
    ARENA = 1 << 20
};

/* One parameter that is an array. */
typedef struct list {
    struct tug_array array;
    sample elements[ELEMENTS_MAX];
    union {
        char bytes[ELEMENTS_MAX * sizeof(struct tug_inet)];
        int64_t aligned;
        const void *pointer;
    } data;
    bool is_null[ELEMENTS_MAX];
    int32_t sizes[3], lower[3];
    const char *literal;
} list;

/* One statement: a value and an array of each kind, and their literals. */
typedef struct batch {
    sample_arena arena;
    uint64_t seed;
    sample values[KINDS_MAX];
    list lists[KINDS_MAX];
    tug_value args[4 * KINDS_MAX];
    tug_future *answer;
} batch;

/* Three columns a parameter: the value, the server's text of it, and its text of the literal. Not by a cast to
 * text, which prints some types (bool, inet) in another way than the server's output does. */
static char *statement_text(bool as_text)
{
    static char sql[64 * 1024];
    char *p = sql + sprintf(sql, "select");
    for (size_t i = 0; i < 2 * sample_kinds_n; i++) {
        const char *type = sample_kinds[i / 2].sql;
        const char *brackets = i % 2 != 0 ? "[]" : "";
        p += sprintf(p,
                     "%s $%zu::%s%s, case when $%zu is not null then format('%%s', $%zu) end, case "
                     "when $%zu::text is not null then format('%%s', $%zu::text::%s%s) end",
                     i > 0 ? "," : "", 2 * i + 1, type, brackets, 2 * i + 1, 2 * i + 1, 2 * i + 2,
                     2 * i + 2, type, brackets);
    }
    /* One column without a binary decoder makes the server send all of them as text. */
    strcpy(p, as_text ? ", int4range(1, 2)" : "");
    return sql;
}

/* --- arrays ---------------------------------------------------------------------------------------- */

static void list_shape(sample_arena *arena, list *l)
{
    size_t n = 1;
    l->array.dimensions = sample_below(arena, 4);
    l->array.lower = sample_below(arena, 2) != 0 ? l->lower : NULL;
    l->array.sizes = l->sizes;
    for (size_t i = 0; i < l->array.dimensions; i++) {
        l->sizes[i] = 1 + (int32_t)sample_below(arena, i == 0 ? 3 : 2);
        l->lower[i] = (int32_t)sample_below(arena, 7) - 3;
        n *= (size_t)l->sizes[i];
    }
    l->array.n = l->array.dimensions > 0 ? n : sample_below(arena, ELEMENTS_MAX + 1);
}

static char *put_element(char *p, const sample *s)
{
    if (s->is_null) {
        return p + sprintf(p, "null");
    }
    *p++ = '"';
    for (const char *c = s->literal; *c != 0; c++) {
        if (*c == '"' || *c == '\\') {
            *p++ = '\\';
        }
        *p++ = *c;
    }
    *p++ = '"';
    return p;
}

/* From element first on, those of one brace of this dimension. */
static char *put_brace(char *p, const list *l, size_t dimension, size_t *next)
{
    size_t dimensions = l->array.dimensions > 0 ? l->array.dimensions : 1;
    if (dimension >= sizeof l->sizes / sizeof *l->sizes) {
        abort();
    }
    size_t n = l->array.dimensions > 0 ? (size_t)l->sizes[dimension] : l->array.n;
    *p++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            *p++ = ',';
        }
        p = dimension + 1 < dimensions ? put_brace(p, l, dimension + 1, next)
                                       : put_element(p, &l->elements[(*next)++]);
    }
    *p++ = '}';
    return p;
}

static void list_literal(sample_arena *arena, list *l)
{
    char *p = arena->data + arena->size;
    size_t next = 0;
    l->literal = p;
    for (size_t i = 0; l->array.lower != NULL && i < l->array.dimensions; i++) {
        p += sprintf(p, "[%d:%d]", (int)l->lower[i], (int)(l->lower[i] + l->sizes[i] - 1));
    }
    if (p != l->literal) {
        *p++ = '=';
    }
    p = put_brace(p, l, 0, &next);
    *p++ = 0;
    arena->size = (size_t)(p - arena->data);
    assert_true(arena->size < arena->capacity);
}

static void list_make(sample_arena *arena, const sample_kind *kind, list *l)
{
    memset(l, 0, sizeof *l);
    list_shape(arena, l);
    for (size_t i = 0; i < l->array.n; i++) {
        sample *s = &l->elements[i];
        sample_make(arena, kind, s);
        memcpy(l->data.bytes + i * s->size, &s->c, s->size);
        l->is_null[i] = s->is_null;
    }
    sample any;
    sample_make(arena, kind, &any); /* an empty array has a type too */
    l->array.type = any.type;
    l->array.size = any.size;
    l->array.data = l->data.bytes;
    l->array.is_null = l->is_null;
    list_literal(arena, l);
}

/* --- sending --------------------------------------------------------------------------------------- */

static void batch_send(batch *b, tug_pg *session, const char *sql, uint64_t seed)
{
    b->seed = seed;
    b->arena.random = seed;
    b->arena.size = 0;
    for (size_t i = 0; i < sample_kinds_n; i++) {
        sample_make(&b->arena, &sample_kinds[i], &b->values[i]);
        list_make(&b->arena, &sample_kinds[i], &b->lists[i]);
        tug_value *args = &b->args[4 * i];
        args[0] = sample_value(&b->values[i]);
        args[1] = b->values[i].is_null ? tug_null() : tug_text(b->values[i].literal);
        args[2] = tug_array_value(&b->lists[i].array);
        args[3] = tug_text(b->lists[i].literal);
    }
    b->answer = tug_pg_query_start(session, sql, (tug_args){b->args, 4 * sample_kinds_n});
}

/* --- checking -------------------------------------------------------------------------------------- */

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fail_msg("%s: seed %" PRIu64 ", kind %s%s, column %zu, literal %s: got %s", #what,     \
                     b->seed, sample_kinds[column / 6].sql, column / 3 % 2 ? "[]" : "", column,    \
                     literal, got);                                                                \
        }                                                                                          \
    } while (0)

/* The server prints what was sent as it prints the literal, and so does the driver. */
static void check_texts(const batch *b, const tug_pg_result *res, size_t column,
                        const char *literal, bool printed)
{
    const char *text = NULL, *twin = NULL, *got = "";
    char *mine = NULL;
    bool null, twin_null, mine_null = false;
    assert_ok(tug_pg_result_value(res, 0, column + 1, TUG_NULLABLE(&text, &null)));
    assert_ok(tug_pg_result_value(res, 0, column + 2, TUG_NULLABLE(&twin, &twin_null)));
    CHECK(null == twin_null);
    got = text;
    CHECK(null || strcmp(text, twin) == 0);
    if (printed) {
        assert_ok(tug_pg_result_value(res, 0, column, TUG_NULLABLE(TUG_DUP(&mine), &mine_null)));
        CHECK(mine_null == null);
        got = mine;
        CHECK(null || strcmp(mine, text) == 0);
        free(mine);
    }
}

static bool is_numeric_text(size_t kind, const sample *s)
{
    return strcmp(sample_kinds[kind].sql, "numeric") == 0 && s->type == TUG_VALUE_TEXT;
}

static void check_value(const batch *b, const tug_pg_result *res, size_t kind)
{
    size_t column = 6 * kind;
    const sample *s = &b->values[kind];
    const char *literal = s->literal, *got = "another value";
    sample back;
    check_texts(b, res, column, literal, s->type != TUG_VALUE_BYTES);
    if (!is_numeric_text(kind, s)) {
        assert_ok(tug_pg_result_value(res, 0, column, sample_slot(&back, s->type, s->size)));
        CHECK(sample_equal(s, &back));
    }
}

static void check_shape(const batch *b, const list *l, const tug_pg_array *array, size_t column)
{
    const char *literal = l->literal, *got = "another shape";
    size_t dimensions = l->array.n == 0 ? 0 : l->array.dimensions == 0 ? 1 : l->array.dimensions;
    CHECK(array->n == l->array.n);
    CHECK(array->dimensions == (int)dimensions);
    for (size_t i = 0; i < dimensions; i++) {
        CHECK(array->sizes[i] == (l->array.dimensions > 0 ? l->sizes[i] : (int32_t)l->array.n));
        CHECK(array->lower[i] ==
              (l->array.dimensions > 0 && l->array.lower != NULL ? l->lower[i] : 1));
    }
}

static void check_list(const batch *b, const tug_pg_result *res, size_t kind)
{
    size_t column = 6 * kind + 3;
    const list *l = &b->lists[kind];
    const char *literal = l->literal, *got = "another element";
    tug_pg_array array;
    check_texts(b, res, column, literal, true);
    assert_ok(tug_pg_result_array(res, 0, column, &array));
    check_shape(b, l, &array, column);
    for (size_t i = 0; i < array.n; i++) {
        const sample *s = &l->elements[i];
        sample back;
        if (!is_numeric_text(kind, s)) {
            assert_ok(tug_pg_array_get(&array, i, sample_slot(&back, s->type, s->size)));
            CHECK(sample_equal(s, &back));
        }
    }
}

/* Returns how many values there were. */
static size_t batch_check(batch *b)
{
    size_t n = 0;
    TUG_AUTO(tug_pg_result) res = NULL;
    if (tug_await(b->answer) < 0) {
        fail_msg("seed %" PRIu64 ": %s", b->seed, tug_last_error()->text);
    }
    assert_ok(tug_pg_result_take(b->answer, &res));
    tug_future_unref(b->answer);
    b->answer = NULL;
    for (size_t i = 0; i < sample_kinds_n; i++) {
        check_value(b, res, i);
        check_list(b, res, i);
        n += 1 + b->lists[i].array.n;
    }
    return n;
}

static uint64_t first_seed(void)
{
    const char *given = getenv("TUG_TEST_SEED");
    return given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000000;
}

static void run(bool as_text)
{
    tug_pg *db = help_open_small();
    TUG_AUTO(tug_pg) session = NULL;
    batch *batches = calloc(BATCHES, sizeof *batches);
    const char *sql = statement_text(as_text);
    uint64_t seed = first_seed();
    size_t checked = 0;
    assert_non_null(batches);
    assert_ok(tug_pg_acquire(db, &session));
    assert_ok(tug_pg_exec(session, "set timezone to 'UTC'", TUG_NO_ARGS, NULL));
    for (size_t i = 0; i < BATCHES; i++) {
        batches[i].arena.data = malloc(ARENA);
        batches[i].arena.capacity = ARENA;
        assert_non_null(batches[i].arena.data);
        batch_send(&batches[i], session, sql, seed++);
    }
    for (size_t i = 0; checked < VALUES; i = (i + 1) % BATCHES) {
        checked += batch_check(&batches[i]);
        batch_send(&batches[i], session, sql, seed++);
    }
    for (size_t i = 0; i < BATCHES; i++) {
        tug_future_unref(batches[i].answer);
        free(batches[i].arena.data);
    }
    free(batches);
    tug_pg_close(session);
    session = NULL;
    tug_pg_close(db);
}

LIVE_TEST(random_values_of_all_types_come_back)
{
    run(false);
}

LIVE_TEST(random_values_of_all_types_come_back_as_text)
{
    run(true);
}
