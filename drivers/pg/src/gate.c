#include "gate.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "lexer.h"

static const char *gate_skip(const char *p, bool semicolons)
{
    for (;;) {
        if (*p != 0 && strchr(" \t\n\r\f\v", *p) != NULL) {
            p++;
        } else if (semicolons && *p == ';') {
            p++;
        } else if ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*')) {
            p = tug__pg_lex_comment(p);
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
    if (strncasecmp(*p, word, n) != 0 || tug__pg_lex_in_name((*p)[n])) {
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

bool tug__pg_gate_is_single(const char *sql)
{
    const char *p = gate_skip(sql, true);
    while (*p != 0 && *p != ';') {
        bool is_literal;
        p = gate_skip(tug__pg_lex_piece(p, &is_literal), false);
    }
    return *gate_skip(p, true) == 0;
}

size_t tug__pg_gate_copy_to_client(const char *sql)
{
    size_t statement = 0;
    for (const char *p = gate_skip(sql, true); *p != 0; p = gate_skip(p, true)) {
        bool is_copy = gate_word(&p, "COPY");
        statement++;
        while (*p != 0 && *p != ';') {
            bool is_literal;
            if (is_copy && gate_word(&p, "TO") && gate_word(&p, "STDOUT")) {
                return statement;
            }
            p = *p == 0 || *p == ';' ? p : gate_skip(tug__pg_lex_piece(p, &is_literal), false);
        }
    }
    return 0;
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
