/* Reads the text of one stanza into the fields that are loaded. */
#include "stanza.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The fields that are read; all others are only kept in the raw text. */
enum {
    FIELD_PACKAGE,
    FIELD_VERSION,
    FIELD_ARCHITECTURE,
    FIELD_SECTION,
    FIELD_SIZE,
    FIELD_INSTALLED_SIZE,
    FIELD_MAINTAINER,
    FIELD_DEPENDS,
    FIELD_MAX
};
static const char *const field_names[FIELD_MAX] = {
    "Package", "Version",        "Architecture", "Section",
    "Size",    "Installed-Size", "Maintainer",   "Depends",
};

struct parser {
    char *at;                /* what is left to read */
    int line;                /* its number, from 1 */
    char *values[FIELD_MAX]; /* NULL: not seen, or empty */
    bool is_seen[FIELD_MAX];
    char *free; /* where the next string of a dependency goes */
    stanza_package *package;
    char *reason;
};

__attribute__((format(printf, 2, 3))) static int parser_reject(char *reason, const char *format,
                                                               ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, STANZA_REASON, format, args);
    va_end(args);
    return TUG_EREJECT;
}

/* Length of the UTF-8 sequence at s, 0 if it is none that PostgreSQL would take: no overlong forms,
 * no surrogates, nothing beyond U+10FFFF. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char from, to, second_from, second_to, length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].from || s[0] > forms[i].to) {
            continue;
        }
        size_t length = forms[i].length;
        if (left < length || s[1] < forms[i].second_from || s[1] > forms[i].second_to) {
            return 0;
        }
        for (size_t k = 2; k < length; k++) {
            if ((s[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return length;
    }
    return 0;
}

static int check_bytes(const char *text, size_t size, char *reason)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        if (s[i] == 0) {
            return parser_reject(reason, "a 0 byte at byte %zu", i);
        }
        size_t n = s[i] < 0x80 ? 1 : utf8_length(s + i, size - i);
        if (n == 0) {
            return parser_reject(reason, "not UTF-8 at byte %zu (0x%02x)", i, s[i]);
        }
        i += n;
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts blanks and folded line ends off both ends. */
static char *trim(char *s)
{
    while (is_blank(*s) || *s == '\n') {
        s++;
    }
    size_t n = strlen(s);
    while (n > 0 && (is_blank(s[n - 1]) || s[n - 1] == '\n')) {
        n--;
    }
    s[n] = 0;
    return s;
}

/* The field at hand with its continuation lines. */
static int parse_field(struct parser *p)
{
    char *start = p->at, *end = strchr(start, '\n');
    char *colon = memchr(start, ':', (size_t)(end - start));
    if (is_blank(*start) || colon == NULL || colon == start) {
        return parser_reject(p->reason, "line %d is neither a field nor the continuation of one",
                             p->line);
    }
    for (p->line++; is_blank(end[1]); p->line++) {
        *end = ' '; /* what goes on in the next line is one value */
        end = strchr(end, '\n');
    }
    *end = 0;
    *colon = 0;
    p->at = end + 1;
    char *name = trim(start);
    for (int f = 0; f < FIELD_MAX; f++) {
        if (strcasecmp(name, field_names[f]) != 0) {
            continue;
        }
        if (p->is_seen[f]) {
            return parser_reject(p->reason, "the field %s stands twice", field_names[f]);
        }
        p->is_seen[f] = true;
        char *value = trim(colon + 1);
        p->values[f] = *value != 0 ? value : NULL;
    }
    return 0;
}

static int parse_key(const struct parser *p, int field, const char **ret_value)
{
    const char *value = p->values[field];
    if (value == NULL) {
        return parser_reject(p->reason, "no %s", field_names[field]);
    }
    if (strlen(value) > STANZA_KEY_MAX) {
        return parser_reject(p->reason, "%s has %zu bytes, more than %d", field_names[field],
                             strlen(value), STANZA_KEY_MAX);
    }
    *ret_value = value;
    return 0;
}

static int parse_number(const struct parser *p, int field, bool *ret_has, int64_t *ret_value)
{
    const char *s = p->values[field];
    int64_t value = 0;
    for (const char *c = s; c != NULL && *c != 0; c++) {
        int64_t digit = *c - '0';
        if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10) {
            return parser_reject(p->reason, "%s is not a whole number from 0 to 2^63 - 1",
                                 field_names[field]);
        }
        value = value * 10 + digit;
    }
    *ret_has = s != NULL;
    *ret_value = value;
    return 0;
}

/* "Name <address>"; without brackets the whole is an address if it looks like one, else a name. */
static void parse_maintainer(struct parser *p)
{
    char *value = p->values[FIELD_MAINTAINER];
    if (value == NULL) {
        return;
    }
    char *open = strrchr(value, '<'), *close = open != NULL ? strchr(open, '>') : NULL;
    if (close != NULL) {
        *open = *close = 0;
        char *name = trim(value), *address = trim(open + 1);
        p->package->maintainer_name = *name != 0 ? name : NULL;
        p->package->maintainer_address = *address != 0 ? address : NULL;
    } else if (strchr(value, '@') != NULL && strpbrk(value, " \t") == NULL) {
        p->package->maintainer_address = value;
    } else {
        p->package->maintainer_name = value;
    }
}

/* A copy of n bytes that lives as long as the package. There is room: see stanza_parse. */
static char *keep(struct parser *p, const char *s, size_t n)
{
    char *copy = p->free;
    memcpy(copy, s, n);
    copy[n] = 0;
    p->free = copy + n + 1;
    return copy;
}

static void skip_blanks(struct parser *p)
{
    p->at += strspn(p->at, " \t");
}

static int reject_depends(const struct parser *p, const char *what)
{
    const char *value = p->values[FIELD_DEPENDS];
    return parser_reject(p->reason, "Depends: %s at byte %zu", what, (size_t)(p->at - value));
}

static int parse_word(struct parser *p, const char *stops, const char *what, const char **ret_word)
{
    size_t n = strcspn(p->at, stops);
    if (n == 0 || n > STANZA_KEY_MAX) {
        return reject_depends(p, what);
    }
    *ret_word = keep(p, p->at, n);
    p->at += n;
    return 0;
}

/* "(>= 1.0)", kept as ">= 1.0". Without a relation it means "=", and the old "<" and ">" mean "<="
 * and ">=", as dpkg reads them. */
static int parse_constraint(struct parser *p, stanza_dependency *d)
{
    static const char *const relations[][2] = {{"<<", "<<"}, {"<=", "<="}, {">=", ">="},
                                               {">>", ">>"}, {"=", "="},   {"<", "<="},
                                               {">", ">="},  {"", "="}};
    p->at++;
    skip_blanks(p);
    size_t r = 0;
    while (strncmp(p->at, relations[r][0], strlen(relations[r][0])) != 0) {
        r++;
    }
    p->at += strlen(relations[r][0]);
    skip_blanks(p);
    char *constraint = keep(p, relations[r][1], strlen(relations[r][1]));
    p->free[-1] = ' ';
    int rc = parse_word(p, " \t,|()<>=", "no version", &d->constraint);
    d->constraint = constraint;
    if (rc < 0) {
        return rc;
    }
    skip_blanks(p);
    if (*p->at != ')') {
        return reject_depends(p, "no ) after the version");
    }
    p->at++;
    return 0;
}

/* "[amd64 i386] <!nocheck>", kept as it is written. */
static int parse_restrictions(struct parser *p, stanza_dependency *d)
{
    char *start = p->at, *end = start;
    while (*p->at == '[' || *p->at == '<') {
        char *close = strchr(p->at, *p->at == '[' ? ']' : '>');
        if (close == NULL) {
            return reject_depends(p, "an open bracket");
        }
        end = close + 1;
        p->at = end;
        skip_blanks(p);
    }
    d->restrictions = end > start ? keep(p, start, (size_t)(end - start)) : NULL;
    return 0;
}

static int parse_alternative(struct parser *p, stanza_dependency *d)
{
    skip_blanks(p);
    int rc = parse_word(p, " \t,|()[]<>:", "no package name", &d->name);
    if (rc == 0 && *p->at == ':') {
        p->at++;
        rc = parse_word(p, " \t,|()[]<>:", "no architecture after the colon", &d->qualifier);
    }
    skip_blanks(p);
    if (rc == 0 && *p->at == '(') {
        rc = parse_constraint(p, d);
        skip_blanks(p);
    }
    return rc == 0 ? parse_restrictions(p, d) : rc;
}

static int add_dependency(struct parser *p, const stanza_dependency *d)
{
    stanza_package *k = p->package;
    if (k->n_dependencies == STANZA_DEPENDENCIES) {
        return parser_reject(p->reason, "more than %d dependencies", STANZA_DEPENDENCIES);
    }
    if ((k->n_dependencies & (k->n_dependencies - 1)) == 0) { /* doubles at powers of two */
        size_t room = k->n_dependencies == 0 ? 1 : 2 * k->n_dependencies;
        stanza_dependency *more = realloc(k->dependencies, room * sizeof *more);
        if (more == NULL) {
            return tug_fail(TUG_ENOMEM, "out of memory for %zu dependencies", room);
        }
        k->dependencies = more;
    }
    k->dependencies[k->n_dependencies++] = *d;
    return 0;
}

/* "a (>= 1) | b, c:any": groups between commas, alternatives between bars. Empty groups (a comma
 * too many, as tools leave behind) are skipped and do not count. */
static int parse_depends(struct parser *p)
{
    p->at = p->values[FIELD_DEPENDS];
    int group = 1, position = 1;
    while (p->at != NULL) {
        p->at += position == 1 ? strspn(p->at, " \t,") : 0;
        if (position == 1 && *p->at == 0) {
            break;
        }
        stanza_dependency d = {.group = group, .position = position};
        int rc = parse_alternative(p, &d);
        rc = rc == 0 ? add_dependency(p, &d) : rc;
        if (rc < 0) {
            return rc;
        }
        if (*p->at == '|') {
            p->at++;
            position++;
        } else if (*p->at == ',' || *p->at == 0) {
            group++;
            position = 1;
        } else {
            return reject_depends(p, "neither a comma nor a bar");
        }
    }
    return 0;
}

static int parse_all(struct parser *p)
{
    stanza_package *k = p->package;
    int rc = 0;
    for (p->line = 1; rc == 0 && *p->at != 0;) {
        rc = parse_field(p);
    }
    rc = rc == 0 ? parse_key(p, FIELD_PACKAGE, &k->name) : rc;
    rc = rc == 0 ? parse_key(p, FIELD_VERSION, &k->version) : rc;
    rc = rc == 0 ? parse_key(p, FIELD_ARCHITECTURE, &k->architecture) : rc;
    rc = rc == 0 ? parse_number(p, FIELD_SIZE, &k->has_size, &k->size) : rc;
    rc = rc == 0 ? parse_number(p, FIELD_INSTALLED_SIZE, &k->has_installed_size, &k->installed_size)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    k->section = p->values[FIELD_SECTION];
    parse_maintainer(p);
    return parse_depends(p);
}

int stanza_parse(const char *text, size_t size, stanza_package *ret_package, char *ret_reason)
{
    int rc = check_bytes(text, size, ret_reason);
    if (rc < 0) {
        return rc;
    }
    /* The text, which is cut into values in place, an LF and a 0 in case they are missing; behind
     * it the strings of Depends: each is at most its place in the text, a space, a relation and a
     * 0. */
    stanza_package package = {.memory = malloc(4 * size + 8)};
    if (package.memory == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a stanza of %zu bytes", size);
    }
    memcpy(package.memory, text, size);
    memcpy(package.memory + size, "\n", 2);
    if (size > 0 && text[size - 1] == '\n') {
        package.memory[size] = 0;
    }
    struct parser p = {.at = package.memory,
                       .free = package.memory + size + 2,
                       .package = &package,
                       .reason = ret_reason};
    rc = parse_all(&p);
    if (rc < 0) {
        stanza_package_clear(&package);
        return rc;
    }
    *ret_package = package;
    return 0;
}

void stanza_package_clear(stanza_package *p)
{
    free(p->dependencies);
    free(p->memory);
    *p = (stanza_package){0};
}

void stanza_clean_text(char *text)
{
    unsigned char *s = (unsigned char *)text;
    for (size_t left = strlen(text); left > 0;) {
        size_t n = *s < 0x80 ? 1 : utf8_length(s, left);
        if (n == 0) {
            *s = '?';
            n = 1;
        }
        s += n;
        left -= n;
    }
}
