/* What:      instants and days as text in ISO style, and back; PostgreSQL's range.
 * Ownership: the caller's arrays. Context: any. Callbacks: none.
 * Errors:    parsers answer false: not in ISO style, or outside what the result can hold. */
#ifndef TUG_PG_CALENDAR_H
#define TUG_PG_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any of the texts and its 0: "-infinity", "294247-01-10 04:00:54.775807+00",
 * "290308-12-21 19:59:05.224192+00 BC". */
#define TUG__PG_TIME_TEXT 40

/* Microseconds since 1970-01-01 UTC of 4714-11-24 BC, the first day that PostgreSQL knows. */
#define TUG__PG_TIME_MIN (INT64_C(-211813488000000000) + INT64_C(946684800000000))

/* The same in days, and the last day: 5874897-12-31. */
#define TUG__PG_DAY_MIN (-2451545 + 10957)
#define TUG__PG_DAY_MAX (2145031948 + 10957)

/* us since 1970; INT64_MAX and INT64_MIN are infinity and -infinity. Return the length. */
size_t tug__pg_timestamp_text(int64_t us, bool zone, char *to);
/* days since 1970; INT32_MAX and INT32_MIN are the infinities. */
size_t tug__pg_date_text(int32_t days, char *to);
/* A time of day: "12:45:01.5", "24:00:00". And with its offset in seconds east of UTC:
 * "12:45:01.5+02:30". */
size_t tug__pg_clock_text(int64_t us, char *to);
size_t tug__pg_clock_tz_text(int64_t us, int32_t offset, char *to);
bool tug__pg_clock_parse(const char *text, size_t size, int64_t *ret_us);
bool tug__pg_clock_tz_parse(const char *text, size_t size, int64_t *ret_us, int32_t *ret_offset);
/* "2026-11-20 12:45:01.5+02", also without zone (then UTC), without time, with " BC", infinity. */
/* The day of such a text that has no time: further than microseconds reach. */
bool tug__pg_date_parse(const char *text, size_t size, int32_t *ret_days);
bool tug__pg_time_parse(const char *text, size_t size, int64_t *ret_us);

#endif
