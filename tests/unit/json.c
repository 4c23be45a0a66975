#include "json.h"

#include <stdbool.h>
#include <string.h>

enum {
    DEPTH = 512
};

static const char *space(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

static int follow_bytes(unsigned char c)
{
    return c < 0x80                ? 0
           : c >= 0xc2 && c < 0xe0 ? 1
           : c >= 0xe0 && c < 0xf0 ? 2
           : c >= 0xf0 && c < 0xf5 ? 3
                                   : -1;
}

static const char *check_string(const char *s, bool *ok)
{
    *ok = false;
    for (s++; *s != '"'; s++) {
        int n = follow_bytes((unsigned char)*s);
        if ((unsigned char)*s < 0x20 || n < 0) {
            return s;
        }
        unsigned char second = (unsigned char)s[1];
        if ((*s == '\xe0' && second < 0xa0) || (*s == '\xed' && second >= 0xa0) ||
            (*s == '\xf0' && second < 0x90) || (*s == '\xf4' && second >= 0x90)) {
            return s;
        }
        for (; n > 0; n--) {
            s++;
            if (((unsigned char)*s & 0xc0) != 0x80) {
                return s;
            }
        }
        if (*s == '\\') {
            s++;
            if (*s == 'u') {
                if (strspn(s + 1, "0123456789abcdefABCDEF") < 4) {
                    return s;
                }
                s += 4;
            } else if (*s == 0 || strchr("\"\\/bfnrt", *s) == NULL) {
                return s;
            }
        }
    }
    *ok = true;
    return s + 1;
}

static const char *check_number(const char *s, bool *ok)
{
    static const char digits[] = "0123456789";
    s += *s == '-';
    size_t n = strspn(s, digits);
    *ok = n > 0 && (n == 1 || *s != '0');
    s += n;
    if (*s == '.') {
        n = strspn(++s, digits);
        *ok = *ok && n > 0;
        s += n;
    }
    return s;
}

static const char *check_scalar(const char *s, bool *ok)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*s == '"') {
        return check_string(s, ok);
    }
    for (int i = 0; i < 3; i++) {
        if (strncmp(s, words[i], strlen(words[i])) == 0) {
            *ok = true;
            return s + strlen(words[i]);
        }
    }
    return check_number(s, ok);
}

static const char *check_key(const char *s, bool *ok)
{
    *ok = false;
    if (*s != '"') {
        return s;
    }
    s = space(check_string(s, ok));
    *ok = *ok && *s == ':';
    return *ok ? space(s + 1) : s;
}

const char *json_check(const char *s)
{
    char open[DEPTH];
    int depth = 0;
    bool ok = true;
    s = space(s);
    for (;;) {
        /* a value begins here */
        if (*s == '{' || *s == '[') {
            if (depth == DEPTH) {
                return s;
            }
            open[depth++] = *s;
            s = space(s + 1);
            if (*s != '}' && *s != ']') {
                if (open[depth - 1] == '{') {
                    s = check_key(s, &ok);
                }
                if (!ok) {
                    return s;
                }
                continue;
            }
        } else {
            s = check_scalar(s, &ok);
            if (!ok) {
                return s;
            }
            s = space(s);
        }
        /* a value has ended, or an empty list is about to */
        while (depth > 0 && *s == (open[depth - 1] == '{' ? '}' : ']')) {
            depth--;
            s = space(s + 1);
        }
        if (depth == 0) {
            return *s == 0 ? NULL : s;
        }
        if (*s != ',') {
            return s;
        }
        s = space(s + 1);
        if (open[depth - 1] == '{') {
            s = check_key(s, &ok);
            if (!ok) {
                return s;
            }
        }
    }
}
