#include "gate.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* As the server's lexer has it: a name goes on with these. */
static bool gate_in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Behind the comment that begins at p. Comments nest, unlike in C; one that never ends takes all the rest. */
static const char *gate_skip_comment(const char *p)
{
    int depth = 0;
    do {
        if (p[0] == '/' && p[1] == '*') {
            depth++;
            p += 2;
        } else if (p[0] == '*' && p[1] == '/') {
            depth--;
            p += 2;
        } else {
            p++;
        }
    } while (depth > 0 && *p != 0);
    return p;
}

static const char *gate_skip(const char *p, bool semicolons)
{
    for (;;) {
        if (*p != 0 && strchr(" \t\n\r\f\v", *p) != NULL) {
            p++;
        } else if (semicolons && *p == ';') {
            p++;
        } else if (p[0] == '-' && p[1] == '-') {
            p += strcspn(p, "\n\r");
        } else if (p[0] == '/' && p[1] == '*') {
            p = gate_skip_comment(p);
        } else {
            return p;
        }
    }
}

/* If the word at *p is this one, goes behind it and what may stand between words. */
static bool gate_word(const char **p, const char *word)
{
    if ((**p | 0x20) != (*word | 0x20)) {
        return false; /* every statement passes here: most words are told apart by their first letter */
    }
    size_t n = strlen(word);
    if (strncasecmp(*p, word, n) != 0 || gate_in_word((*p)[n])) {
        return false;
    }
    *p = gate_skip(*p + n, false);
    return true;
}

static const char *gate_create(const char *p)
{
    if (gate_word(&p, "OR") && !gate_word(&p, "REPLACE")) {
        return NULL;
    }
    if (!gate_word(&p, "LOCAL")) {
        gate_word(&p, "GLOBAL");
    }
    return gate_word(&p, "TEMP") || gate_word(&p, "TEMPORARY") ? "CREATE TEMP" : NULL;
}

const char *tug__pg_gate_first_word(const char *sql)
{
    return gate_skip(sql, true);
}

const char *tug__pg_gate(const char *sql)
{
    static const char *const closed[] = {
        "BEGIN",   "START", "COMMIT",  "END",        "ROLLBACK", "ABORT",   "SAVEPOINT", "RELEASE",
        "PREPARE", "SET",   "RESET",   "LISTEN",     "UNLISTEN", "DECLARE", "FETCH",     "MOVE",
        "CLOSE",   "COPY",  "DISCARD", "DEALLOCATE", "EXECUTE",  "LOAD",
    };
    const char *p = gate_skip(sql, true);
    if (gate_word(&p, "CREATE")) {
        return gate_create(p);
    }
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        if (gate_word(&p, closed[i])) {
            return closed[i];
        }
    }
    return NULL;
}

/* Names that change a session, in statements of any kind. Comments and literals count too: then a
 * session is reset that had not needed it. */
static bool gate_hides_change(const char *sql)
{
    static const char *const names[] = {"set_config", "advisory_lock", "pg_temp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasestr(sql, names[i]) != NULL) {
            return true;
        }
    }
    for (const char *p = strcasestr(sql, "into"); p != NULL; p = strcasestr(p + 1, "into")) {
        const char *next = p;
        if (gate_word(&next, "INTO") &&
            (gate_word(&next, "TEMP") || gate_word(&next, "TEMPORARY"))) {
            return true;
        }
    }
    return false;
}

bool tug__pg_gate_ends_transaction(const char *sql)
{
    static const char *const words[] = {"BEGIN", "START", "COMMIT", "END", "ABORT"};
    const char *p = gate_skip(sql, true);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (gate_word(&p, words[i])) {
            return true;
        }
    }
    if (gate_word(&p, "ROLLBACK")) {
        if (!gate_word(&p, "WORK")) {
            gate_word(&p, "TRANSACTION");
        }
        return !gate_word(&p, "TO");
    }
    return gate_word(&p, "PREPARE") && gate_word(&p, "TRANSACTION");
}

/* Behind 'a''b' or "a""b"; escapes: a backslash protects what follows it. */
static const char *gate_skip_quoted(const char *p, bool escapes)
{
    char quote = *p++;
    for (; *p != 0; p++) {
        if ((escapes && *p == '\\' && p[1] != 0) || (*p == quote && p[1] == quote)) {
            p++;
        } else if (*p == quote) {
            return p + 1;
        }
    }
    return p;
}

/* Behind $$ ... $$ or $tag$ ... $tag$; of a parameter, behind its $. */
static const char *gate_skip_dollars(const char *p)
{
    size_t n = 1;
    while (gate_in_word(p[n]) && p[n] != '$') {
        n++;
    }
    if (p[n] != '$' || isdigit((unsigned char)p[1])) {
        return p + 1;
    }
    n++;
    for (const char *end = strchr(p + n, '$'); end != NULL; end = strchr(end + 1, '$')) {
        if (strncmp(end, p, n) == 0) {
            return end + n;
        }
    }
    return p + strlen(p);
}

static const char *gate_skip_word(const char *p)
{
    const char *word = p;
    while (gate_in_word(*p)) {
        p++;
    }
    bool escapes = p - word == 1 && (*word == 'e' || *word == 'E') && *p == '\'';
    return escapes ? gate_skip_quoted(p, true) : p;
}

bool tug__pg_gate_is_single(const char *sql)
{
    const char *p = gate_skip(sql, true);
    while (*p != 0 && *p != ';') {
        p = *p == '\'' || *p == '"' ? gate_skip_quoted(p, false)
            : *p == '$'             ? gate_skip_dollars(p)
            : gate_in_word(*p)      ? gate_skip_word(p)
                                    : p + 1;
        p = gate_skip(p, false);
    }
    return *gate_skip(p, true) == 0;
}

static bool gate_set_is_local(const char *sql)
{
    const char *p = gate_skip(sql, true);
    return gate_word(&p, "SET") &&
           (gate_word(&p, "LOCAL") || gate_word(&p, "TRANSACTION") || gate_word(&p, "CONSTRAINTS"));
}

bool tug__pg_gate_marks_session(const char *sql, const char *gate)
{
    static const char *const keep[] = {"BEGIN",    "START", "COMMIT",    "END",
                                       "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE",
                                       "FETCH",    "MOVE",  "CLOSE"};
    if (gate == NULL) {
        return gate_hides_change(sql);
    }
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        if (strcmp(gate, keep[i]) == 0) {
            return false;
        }
    }
    if (strcmp(gate, "SET") == 0) {
        return !gate_set_is_local(sql);
    }
    return strcmp(gate, "DECLARE") != 0 || strcasestr(sql, "hold") != NULL;
}
