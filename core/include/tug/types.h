/* What:      values that servers have and C has no type for: instants, days, times of day, intervals,
 *            decimal numbers, UUIDs, network addresses; and C arrays on their way to a server.
 * Ownership: plain values, to be copied. A tug_array borrows its elements.
 * Context:   any thread.
 * Callbacks: none.
 * Errors:    none here: whoever takes or gives such a value checks it. */
#ifndef TUG_TYPES_H
#define TUG_TYPES_H

#include <tug/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An instant: microseconds since 1970-01-01 00:00 UTC. INT64_MAX and INT64_MIN are PostgreSQL's
 * infinity and -infinity. */
struct tug_timestamp {
    int64_t us;
};

/* A day: since 1970-01-01, in the Gregorian calendar. INT32_MAX and INT32_MIN are infinity and
 * -infinity. */
struct tug_date {
    int32_t days;
};

/* Microseconds since midnight, 0 to 24:00:00 (that is a value of its own: the end of the day). */
struct tug_time_of_day {
    int64_t us;
};

/* The same with its distance from UTC in seconds, east positive: +02:00 is 7200. Within 15:59:59. */
struct tug_time_tz {
    int64_t us;
    int32_t offset;
};

/* A calendar has months of several lengths and days of 23 to 25 hours: so these three add up to
 * nothing simpler. */
struct tug_interval {
    int32_t months;
    int32_t days;
    int64_t us;
};

/* unscaled / 10^scale, exactly: 12.50 is {1250, 2}. */
struct tug_decimal {
    int64_t unscaled;
    int32_t scale;
};

struct tug_uuid {
    uint8_t bytes[16];
};

/* An address, or with fewer bits its network: 192.168.1.5/24 is {4, 24, {192, 168, 1, 5}}. */
struct tug_inet {
    uint8_t family;      /* 4 or 6 */
    uint8_t bits;        /* 0 to 32 or 128; all of them: one host */
    uint8_t address[16]; /* as it is written: of IPv4 the first four */
};

struct tug_macaddr {
    uint8_t size; /* 6 or 8 */
    uint8_t bytes[8];
};

/* A C array on its way to a server that has arrays: TUG_ARRAY (in <tug/value.h>) makes the usual
 * one. Dimensions and lower bounds are for whoever needs them: sizes multiplied are n, the last one
 * varies fastest. */
struct tug_array {
    int type;             /* of an element: TUG_VALUE_INT, ... */
    size_t size;          /* of an element, bytes */
    const void *data;     /* n elements */
    size_t n;             /* 0: an empty array */
    const bool *is_null;  /* n flags; NULL: no element is NULL (but a NULL char * is) */
    size_t dimensions;    /* 0: one, of n elements */
    const int32_t *sizes; /* one for each dimension */
    const int32_t *lower; /* the first index of each dimension; NULL: 1 */
};

#ifdef __cplusplus
}
#endif
#endif
