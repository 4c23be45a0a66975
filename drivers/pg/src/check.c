#include "check.h"

#include "calendar.h"
#include "utf8.h"

#include <tug/error.h>

int tug__pg_check_value(const tug_value *v, const char *what, size_t where)
{
    if ((unsigned)v->type > TUG_VALUE_TIMESTAMP) {
        return tug_fail(TUG_EINVAL, "%s %zu is a value of no known type (%d)", what, where,
                        v->type);
    }
    if (tug__pg_has_bytes(v) && v->u.bytes.size > TUG__PG_VALUE_MAX) {
        return tug_fail(TUG_ELIMIT, "%s %zu has %zu bytes, PostgreSQL takes at most 1 GB", what,
                        where, v->u.bytes.size);
    }
    if (tug__pg_has_bytes(v) && v->u.bytes.data == NULL && v->u.bytes.size > 0) {
        return tug_fail(TUG_EINVAL, "%s %zu has %zu bytes at NULL", what, where, v->u.bytes.size);
    }
    return 0;
}

int tug__pg_check_text(const tug_value *v, const char *what, size_t where)
{
    const char *text = v->u.bytes.data;
    size_t size = v->u.bytes.size;
    size_t good = tug__pg_utf8_good(text, size);
    if (good == size) {
        return 0;
    }
    if (text[good] == 0) {
        return tug_fail(
            TUG_EINVAL,
            "%s %zu: the text has a zero byte at byte %zu, which PostgreSQL cannot store", what,
            where, good);
    }
    return tug_fail(TUG_EINVAL, "%s %zu: the text is not UTF-8: 0x%02x at byte %zu", what, where,
                    (unsigned char)text[good], good);
}

int tug__pg_check_time(int64_t us, const char *what, size_t where)
{
    if (us < TUG__PG_TIME_MIN && us != INT64_MIN) {
        return tug_fail(
            TUG_ERANGE,
            "%s %zu: the timestamp is before 4714-11-24 BC, where PostgreSQL's time begins", what,
            where);
    }
    return 0;
}
