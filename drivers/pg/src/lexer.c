#include "lexer.h"

#include <ctype.h>
#include <string.h>

bool tug__pg_lex_in_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Behind the quoted text that begins at p. A quote is doubled, or in E'...' behind a backslash. */
static const char *skip_quoted(const char *p, bool has_escapes)
{
    char quote = *p++;
    for (; *p != 0; p++) {
        if (has_escapes && *p == '\\' && p[1] != 0) {
            p++;
        } else if (*p == quote && p[1] == quote) {
            p++;
        } else if (*p == quote) {
            return p + 1;
        }
    }
    return p;
}

/* Behind $tag$...$tag$; p itself if it is none. */
static const char *skip_dollars(const char *p)
{
    size_t n = 1;
    while (tug__pg_lex_in_name(p[n]) && p[n] != '$') {
        n++;
    }
    if (p[n] != '$' || isdigit((unsigned char)p[1])) {
        return p;
    }
    n++;
    for (const char *at = strchr(p + n, '$'); at != NULL; at = strchr(at + 1, '$')) {
        if (strncmp(at, p, n) == 0) {
            return at + n;
        }
    }
    return p + strlen(p); /* it never ends: all of it is literal */
}

const char *tug__pg_lex_comment(const char *p)
{
    if (p[0] == '-') {
        return p + strcspn(p, "\n\r");
    }
    int depth = 0;
    do {
        bool opens = p[0] == '/' && p[1] == '*', closes = p[0] == '*' && p[1] == '/';
        depth += opens - closes;
        p += opens || closes ? 2 : 1;
    } while (depth > 0 && *p != 0);
    return p;
}

static const char *skip_number(const char *p)
{
    while (isalnum((unsigned char)*p) || *p == '.' || *p == '_' ||
           ((*p == '+' || *p == '-') && (p[-1] | 0x20) == 'e' && isdigit((unsigned char)p[1]))) {
        p++;
    }
    return p;
}

const char *tug__pg_lex_piece(const char *p, bool *ret_literal)
{
    *ret_literal = true;
    /* A letter before the quote says what kind of literal it is. */
    if (*p != 0 && strchr("eEbBxXnN", *p) != NULL && p[1] == '\'') {
        return skip_quoted(p + 1, (*p | 0x20) == 'e');
    }
    if ((*p | 0x20) == 'u' && p[1] == '&' && p[2] == '\'') {
        return skip_quoted(p + 2, false);
    }
    if (*p == '\'') {
        return skip_quoted(p, false);
    }
    if (*p == '$' && skip_dollars(p) != p) {
        return skip_dollars(p);
    }
    if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1]))) {
        return skip_number(p);
    }
    *ret_literal = false;
    if (*p == '"') {
        return skip_quoted(p, false);
    }
    if ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*')) {
        return tug__pg_lex_comment(p);
    }
    if (tug__pg_lex_in_name(*p)) { /* parameters too */
        while (tug__pg_lex_in_name(*p)) {
            p++;
        }
        return p;
    }
    return p + 1;
}
