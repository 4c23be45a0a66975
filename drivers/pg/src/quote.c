#include "quote.h"

#include <string.h>
#include <tug/error.h>

#include "utf8.h"

int tug__pg_check_name(const char *what, const char *name)
{
    if (name == NULL || *name == '\0') {
        return tug_fail(TUG_EINVAL, "%s has no name", what);
    }
    size_t size = strnlen(name, TUG__PG_NAME_MAX + 1);
    if (size > TUG__PG_NAME_MAX) {
        return tug_fail(TUG_EINVAL, "%s \"%.20s...\" is longer than %d bytes", what, name,
                        TUG__PG_NAME_MAX);
    }
    if (tug__pg_utf8_good(name, size) != size) {
        return tug_fail(TUG_EINVAL, "%s is not UTF-8", what);
    }
    return 0;
}

int tug__pg_quote_name(const char *what, const char *name, char ret_quoted[TUG__PG_QUOTED_MAX])
{
    int rc = tug__pg_check_name(what, name);
    if (rc < 0) {
        return rc;
    }
    char *to = ret_quoted;
    *to++ = '"';
    for (; *name != '\0'; name++) {
        if (*name == '"') {
            *to++ = '"';
        }
        *to++ = *name;
    }
    *to++ = '"';
    *to = '\0';
    return 0;
}

static bool put(char *to, size_t size, size_t *at, char c)
{
    if (*at + 1 >= size) {
        return false;
    }
    to[(*at)++] = c;
    to[*at] = '\0';
    return true;
}

bool tug__pg_quote_literal(char *to, size_t size, size_t *at, const char *text)
{
    bool ok = put(to, size, at, '\'');
    for (; ok && *text != '\0'; text++) {
        ok = (*text != '\'' || put(to, size, at, '\'')) && put(to, size, at, *text);
    }
    return ok && put(to, size, at, '\'');
}
