#include "ownwords.h"

#include <ctype.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#include "connwords.h"

/* A parameter's place in the text: name, value, and all that goes with it. */
struct place {
    const char *name, *name_end;
    const char *value, *value_end;
    const char *end; /* where the next one begins */
};

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* What was escaped was found to be well-formed, or is somebody else's to refuse. Returns the size. */
static size_t decode(char *to, const char *from, const char *end, bool url)
{
    size_t n = 0;
    for (; from < end; from++) {
        if (url && *from == '%' && end - from > 2 && isxdigit((unsigned char)from[1]) &&
            isxdigit((unsigned char)from[2])) {
            to[n++] = (char)(hex(from[1]) << 4 | hex(from[2]));
            from += 2;
        } else if (!url && *from == '\\' && from + 1 < end) {
            to[n++] = *++from;
        } else {
            to[n++] = *from;
        }
    }
    to[n] = 0;
    return n;
}

/* --- the two forms ---------------------------------------------------------------------------- */

static const char *skip_blanks(const char *p)
{
    while (isspace((unsigned char)*p)) {
        p++;
    }
    return p;
}

/* False at the end, and where the text is malformed. */
static bool next_pair(const char *p, struct place *ret)
{
    p = skip_blanks(p);
    ret->name = p;
    p += strcspn(p, "= \t\n\r\f\v");
    ret->name_end = p;
    p = skip_blanks(p);
    if (*p != '=' || ret->name == ret->name_end) {
        return false;
    }
    p = skip_blanks(p + 1);
    bool quoted = *p == '\'';
    ret->value = p += quoted;
    while (*p != 0 && (quoted ? *p != '\'' : !isspace((unsigned char)*p))) {
        p += *p == '\\' && p[1] != 0 ? 2 : 1;
    }
    ret->value_end = p;
    ret->end = p + (quoted && *p != 0);
    return !quoted || *p != 0;
}

static bool next_parameter(const char *p, struct place *ret)
{
    if (*p == 0) {
        return false;
    }
    const char *end = p + strcspn(p, "&");
    const char *equals = memchr(p, '=', (size_t)(end - p));
    ret->name = p;
    ret->name_end = ret->value = ret->value_end = end;
    if (equals != NULL) {
        ret->name_end = equals;
        ret->value = equals + 1;
    }
    ret->end = *end == 0 ? end : end + 1;
    return true;
}

/* --- both ------------------------------------------------------------------------------------- */

static bool is_word(const struct place *at, const char *word, bool url)
{
    char name[40];
    if ((size_t)(at->name_end - at->name) >= sizeof name) {
        return false;
    }
    decode(name, at->name, at->name_end, url);
    return strcmp(name, word) == 0;
}

int tug__pg_words_take(const char *text, const char *word, char **ret_rest, char **ret_value)
{
    bool url = tug__pg_is_url(text);
    char *rest = tug_strdup(text);
    char *value = tug_alloc(strlen(text) + 1);
    bool found = false;
    if (rest == NULL || value == NULL) {
        tug_free(rest);
        tug_free(value);
        return tug_fail(TUG_ENOMEM, "PostgreSQL connection: no memory for its parameters");
    }
    char *p = rest;
    if (url) {
        p += strcspn(p, "?");
        p += *p == '?';
    }
    struct place at;
    while (url ? next_parameter(p, &at) : next_pair(p, &at)) {
        if (is_word(&at, word, url)) {
            decode(value, at.value, at.value_end, url);
            found = true;
            memmove(p, at.end, strlen(at.end) + 1);
        } else {
            p = rest + (at.end - rest);
        }
    }
    if (!found) {
        tug_free(value);
        value = NULL;
    }
    *ret_rest = rest;
    *ret_value = value;
    return 0;
}
