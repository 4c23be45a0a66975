/* What:      random values for the round trip through PostgreSQL: each as the C value that is sent and as a
 *            literal that the test writes by itself, for the server to parse.
 * Ownership: text lies in the arena, which the caller owns.
 * Context:   any. Callbacks: none. Errors: fail the test. */
#ifndef TUG_TESTS_PG_SAMPLE_H
#define TUG_TESTS_PG_SAMPLE_H

#include <tug/pg.h>

#include "test.h"

typedef struct sample_arena {
    char *data;
    size_t size, capacity;
    uint64_t random; /* the state of the generator */
} sample_arena;

/* What goes into a parameter, by itself or as an element. */
typedef struct sample {
    int type; /* TUG_VALUE_* */
    bool is_null;
    size_t size; /* of the C type */
    union {
        bool b;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint32_t u32;
        float f;
        double d;
        const char *text;
        struct tug_bytes bytes;
        struct tug_timestamp timestamp;
        struct tug_date date;
        struct tug_time_of_day time;
        struct tug_time_tz time_tz;
        struct tug_interval interval;
        struct tug_decimal decimal;
        struct tug_uuid uuid;
        struct tug_inet inet;
        struct tug_macaddr macaddr;
    } c;
    const char *literal;
} sample;

typedef struct sample_kind {
    const char *sql; /* the type's name */
    void (*make)(sample_arena *arena, sample *s);
} sample_kind;

extern const sample_kind sample_kinds[];
extern const size_t sample_kinds_n;

uint64_t sample_random(sample_arena *arena);
/* 0 to n - 1. */
size_t sample_below(sample_arena *arena, size_t n);
char *sample_format(sample_arena *arena, const char *format, ...) TUG_PRINTF(2, 3);
/* One of the kind; rarely NULL. */
void sample_make(sample_arena *arena, const sample_kind *kind, sample *s);
tug_value sample_value(const sample *s);
/* The place for such a value, and whether what came is the same. Text that the server may write in another way
 * (numeric) is not looked at here. */
tug_slot sample_slot(sample *back, int type, size_t size);
bool sample_equal(const sample *sent, const sample *back);

#endif
