#include "calendar.h"

#include "type.h"

#include <string.h>

/* The proleptic Gregorian calendar in eras of 400 years, each 146,097 days; years begin in March, so that
 * the leap day is the last one. */
static int64_t calendar_days(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void calendar_date(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    *ret_day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (unsigned)(month < 10 ? month + 3 : month - 9);
    *ret_year = year + era * 400 + (*ret_month <= 2);
}

static char *calendar_put(char *p, int64_t x, int width)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + x % 10);
        x /= 10;
    } while (x != 0 || n < width);
    while (n > 0) {
        *p++ = digits[--n];
    }
    return p;
}

static size_t calendar_infinite(int64_t us, char *to)
{
    strcpy(to, us == INT64_MAX ? "infinity" : "-infinity");
    return strlen(to);
}

/* The day, rounded down, and what is left of it. */
static int64_t calendar_split(int64_t us, int64_t *ret_rest)
{
    int64_t days = us / TUG__PG_DAY_US;
    int64_t rest = us % TUG__PG_DAY_US;
    if (rest < 0) {
        rest += TUG__PG_DAY_US;
        days--;
    }
    *ret_rest = rest;
    return days;
}

static char *calendar_put_day(char *p, int64_t days, bool *ret_bc)
{
    int64_t year;
    unsigned month, day;
    calendar_date(days, &year, &month, &day);
    *ret_bc = year <= 0; /* there is no year 0: before 1 AD comes 1 BC */
    p = calendar_put(p, year <= 0 ? 1 - year : year, 4);
    *p++ = '-';
    p = calendar_put(p, month, 2);
    *p++ = '-';
    return calendar_put(p, day, 2);
}

static size_t calendar_end(char *p, bool bc, char *to)
{
    strcpy(p, bc ? " BC" : "");
    return (size_t)(p - to) + (bc ? 3 : 0);
}

size_t tug__pg_date_text(int32_t days, char *to)
{
    if (days == INT32_MAX || days == INT32_MIN) {
        return calendar_infinite(days > 0 ? INT64_MAX : INT64_MIN, to);
    }
    bool bc;
    char *p = calendar_put_day(to, days, &bc);
    return calendar_end(p, bc, to);
}

static char *calendar_put_clock(char *p, int64_t us)
{
    p = calendar_put(p, us / 3600000000, 2);
    *p++ = ':';
    p = calendar_put(p, us / 60000000 % 60, 2);
    *p++ = ':';
    p = calendar_put(p, us / 1000000 % 60, 2);
    if (us % 1000000 != 0) {
        *p++ = '.';
        p = calendar_put(p, us % 1000000, 6);
        while (p[-1] == '0') {
            p--;
        }
    }
    return p;
}

size_t tug__pg_timestamp_text(int64_t us, bool zone, char *to)
{
    if (us == INT64_MAX || us == INT64_MIN) {
        return calendar_infinite(us, to);
    }
    int64_t rest;
    bool bc;
    char *p = calendar_put_day(to, calendar_split(us, &rest), &bc);
    *p++ = ' ';
    p = calendar_put_clock(p, rest);
    if (zone) {
        *p++ = '+';
        *p++ = '0';
        *p++ = '0';
    }
    return calendar_end(p, bc, to);
}

size_t tug__pg_clock_text(int64_t us, char *to)
{
    char *p = calendar_put_clock(to, us);
    *p = 0;
    return (size_t)(p - to);
}

size_t tug__pg_clock_tz_text(int64_t us, int32_t offset, char *to)
{
    char *p = calendar_put_clock(to, us);
    int64_t seconds = offset < 0 ? -(int64_t)offset : offset;
    *p++ = offset < 0 ? '-' : '+';
    p = calendar_put(p, seconds / 3600, 2);
    if (seconds % 3600 != 0) {
        *p++ = ':';
        p = calendar_put(p, seconds / 60 % 60, 2);
    }
    if (seconds % 60 != 0) {
        *p++ = ':';
        p = calendar_put(p, seconds % 60, 2);
    }
    *p = 0;
    return (size_t)(p - to);
}

/* --- reading --------------------------------------------------------------------------------------- */

typedef struct calendar_text {
    const char *p, *end;
} calendar_text;

static bool calendar_char(calendar_text *t, char c)
{
    if (t->p < t->end && *t->p == c) {
        t->p++;
        return true;
    }
    return false;
}

/* At least least and at most most digits, no greater than limit. */
static bool calendar_number(calendar_text *t, int least, int most, int64_t limit, int64_t *ret_x)
{
    int64_t x = 0;
    int n = 0;
    while (n < most && t->p < t->end && *t->p >= '0' && *t->p <= '9') {
        x = x * 10 + (*t->p++ - '0');
        n++;
    }
    if (n < least || x > limit) {
        return false;
    }
    *ret_x = x;
    return true;
}

static bool calendar_clock(calendar_text *t, int64_t *ret_us)
{
    int64_t hour, minute, second, fraction = 0;
    if (!calendar_number(t, 2, 2, 24, &hour) || !calendar_char(t, ':') ||
        !calendar_number(t, 2, 2, 59, &minute) || !calendar_char(t, ':') ||
        !calendar_number(t, 2, 2, 60, &second)) {
        return false;
    }
    if (calendar_char(t, '.')) {
        const char *first = t->p;
        if (!calendar_number(t, 1, 6, 999999, &fraction)) {
            return false;
        }
        for (ptrdiff_t n = t->p - first; n < 6; n++) {
            fraction *= 10;
        }
    }
    *ret_us = ((hour * 60 + minute) * 60 + second) * 1000000 + fraction;
    return true;
}

/* +02, -03:30, and before standard time +00:53:28. */
static bool calendar_zone(calendar_text *t, int64_t *ret_us)
{
    bool west = calendar_char(t, '-');
    int64_t hour, minute = 0, second = 0;
    *ret_us = 0;
    if (!west && !calendar_char(t, '+')) {
        return true;
    }
    if (!calendar_number(t, 2, 2, 15, &hour) ||
        (calendar_char(t, ':') && !calendar_number(t, 2, 2, 59, &minute)) ||
        (calendar_char(t, ':') && !calendar_number(t, 2, 2, 59, &second))) {
        return false;
    }
    int64_t us = ((hour * 60 + minute) * 60 + second) * 1000000;
    *ret_us = west ? -us : us;
    return true;
}

static bool calendar_is(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(text, word, size) == 0;
}

bool tug__pg_clock_parse(const char *text, size_t size, int64_t *ret_us)
{
    calendar_text t = {text, text + size};
    return calendar_clock(&t, ret_us) && t.p == t.end;
}

bool tug__pg_clock_tz_parse(const char *text, size_t size, int64_t *ret_us, int32_t *ret_offset)
{
    calendar_text t = {text, text + size};
    int64_t zone = 0;
    if (!calendar_clock(&t, ret_us) || t.p == t.end || !calendar_zone(&t, &zone) || t.p != t.end) {
        return false;
    }
    *ret_offset = (int32_t)(zone / 1000000);
    return true;
}

typedef struct calendar_moment {
    int64_t days; /* since 1970 */
    int64_t us;   /* of the day, less the zone */
    bool has_clock;
} calendar_moment;

static bool calendar_parse(const char *text, size_t size, calendar_moment *ret)
{
    calendar_text t = {text, text + size};
    int64_t year, month, day, clock = 0, zone = 0;
    if (!calendar_number(&t, 4, 7, 9999999, &year) || !calendar_char(&t, '-') ||
        !calendar_number(&t, 2, 2, 12, &month) || !calendar_char(&t, '-') ||
        !calendar_number(&t, 2, 2, 31, &day)) {
        return false;
    }
    bool bc = calendar_is(t.p, (size_t)(t.end - t.p), " BC");
    ret->has_clock = !bc && calendar_char(&t, ' ');
    if (ret->has_clock) {
        if (!calendar_clock(&t, &clock) || !calendar_zone(&t, &zone)) {
            return false;
        }
        bc = calendar_is(t.p, (size_t)(t.end - t.p), " BC");
    }
    if ((!bc && t.p != t.end) || year == 0 || month == 0 || day == 0) {
        return false;
    }
    ret->days = calendar_days(bc ? 1 - year : year, (unsigned)month, (unsigned)day);
    ret->us = clock - zone;
    return true;
}

static bool calendar_is_infinite(const char *text, size_t size)
{
    return calendar_is(text, size, "infinity") || calendar_is(text, size, "-infinity");
}

bool tug__pg_date_parse(const char *text, size_t size, int32_t *ret_days)
{
    calendar_moment m;
    if (calendar_is_infinite(text, size)) {
        *ret_days = *text == '-' ? INT32_MIN : INT32_MAX;
        return true;
    }
    if (!calendar_parse(text, size, &m) || m.has_clock || m.days < TUG__PG_DAY_MIN ||
        m.days > TUG__PG_DAY_MAX) {
        return false;
    }
    *ret_days = (int32_t)m.days;
    return true;
}

bool tug__pg_time_parse(const char *text, size_t size, int64_t *ret_us)
{
    calendar_moment m;
    int64_t us;
    if (calendar_is_infinite(text, size)) {
        *ret_us = *text == '-' ? INT64_MIN : INT64_MAX;
        return true;
    }
    if (!calendar_parse(text, size, &m) || __builtin_mul_overflow(m.days, TUG__PG_DAY_US, &us) ||
        __builtin_add_overflow(us, m.us, &us) || us == INT64_MAX || us == INT64_MIN) {
        return false;
    }
    *ret_us = us;
    return true;
}
