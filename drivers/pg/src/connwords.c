#include "connwords.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <tug/error.h>

enum {
    WORD_MAX = 40
}; /* a longer name is no parameter */

bool tug__pg_is_url(const char *url)
{
    return strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
}

/* --- names of parameters ------------------------------------------------------------------------------ */

static bool words_known(const PQconninfoOption *known, const char *word)
{
    for (; known->keyword != NULL; known++) {
        if (strcmp(known->keyword, word) == 0) {
            return true;
        }
    }
    return false;
}

/* Without case and underscores: ssl_mode is sslmode. */
static size_t words_fold(const char *word, char *to)
{
    size_t n = 0;
    for (; *word != 0 && n < WORD_MAX; word++) {
        if (*word != '_' && *word != '-') {
            to[n++] = (char)tolower((unsigned char)*word);
        }
    }
    return n;
}

/* How many letters must change, come or go. */
static unsigned words_distance(const char *a, size_t an, const char *b, size_t bn)
{
    unsigned row[WORD_MAX + 1];
    for (size_t j = 0; j <= bn; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= an; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned changed = corner + (a[i - 1] != b[j - 1]);
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = changed < least ? changed : least;
        }
    }
    return row[bn];
}

static const char *words_nearest(const PQconninfoOption *known, const char *word)
{
    char a[WORD_MAX], b[WORD_MAX];
    size_t an = words_fold(word, a);
    const char *nearest = NULL;
    unsigned least = 3; /* two slips at most, and not in names as short as that */
    for (; known->keyword != NULL; known++) {
        size_t bn = words_fold(known->keyword, b);
        unsigned distance = words_distance(a, an, b, bn);
        if (distance < least && distance < bn) {
            least = distance;
            nearest = known->keyword;
        }
    }
    return nearest;
}

/* What a newer libpq than this one knows, and since which version; 0: none does. */
static int words_since(const char *word)
{
    static const struct {
        const char *word;
        int since;
    } newer[] = {{"require_auth", 16},   {"sslcertmode", 16},          {"gssdelegation", 16},
                 {"sslnegotiation", 17}, {"min_protocol_version", 18}, {"max_protocol_version", 18},
                 {"sslkeylogfile", 18},  {"scram_client_key", 18},     {"scram_server_key", 18},
                 {"servicefile", 18}};
    for (size_t i = 0; i < sizeof newer / sizeof newer[0]; i++) {
        if (strcmp(word, newer[i].word) == 0) {
            return newer[i].since;
        }
    }
    return 0;
}

/* quote: false where the word may be a piece of a password. */
static int words_unknown(const char *where, const PQconninfoOption *known, const char *word,
                         bool quote)
{
    bool printable = true;
    for (const char *p = word; *p != 0; p++) {
        printable = printable && isprint((unsigned char)*p);
    }
    if (words_since(word) == 0 && (!quote || !printable)) {
        return tug_fail(
            TUG_EINVAL,
            "%s: it has a parameter that libpq does not know (a password is not escaped?)", where);
    }
    if (words_since(word) > 0) {
        return tug_fail(TUG_EINVAL, "%s: parameter \"%s\" needs libpq %d, and this is %d", where,
                        word, words_since(word), PQlibVersion() / 10000);
    }
    const char *nearest = words_nearest(known, word);
    return nearest != NULL
               ? tug_fail(TUG_EINVAL, "%s: unknown parameter \"%s\" (did you mean \"%s\"?)", where,
                          word, nearest)
               : tug_fail(TUG_EINVAL, "%s: unknown parameter \"%s\"", where, word);
}

/* --- URLs --------------------------------------------------------------------------------------------- */

#define URL_WHERE "PostgreSQL URL"

typedef struct url_parts {
    const char *hosts, *hosts_end;
    const char *path_end;
    /* No user was found, but an @ comes later: what stands in between may be a password with a / or ?. */
    bool doubtful;
} url_parts;

static url_parts url_split(const char *url)
{
    url_parts u = {.hosts = strstr(url, "://") + 3};
    /* As libpq does it: a user is there if an @ comes before the first slash. */
    const char *at = u.hosts + strcspn(u.hosts, "@/");
    if (*at == '@') {
        u.hosts = at + 1;
    } else {
        u.doubtful = strchr(at, '@') != NULL;
    }
    u.hosts_end = u.hosts + strcspn(u.hosts, "/?");
    u.path_end = u.hosts_end + strcspn(u.hosts_end, "?");
    return u;
}

static bool words_contain(const char *from, const char *end, char c)
{
    return memchr(from, c, (size_t)(end - from)) != NULL;
}

static int url_escapes(const char *url)
{
    for (const char *p = strchr(url, '%'); p != NULL; p = strchr(p + 1, '%')) {
        if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2])) {
            return tug_fail(TUG_EINVAL, URL_WHERE
                            ": a %% without two hexadecimal digits behind it (a %% itself is "
                            "written %%25)");
        }
        if (p[1] == '0' && p[2] == '0') {
            return tug_fail(TUG_EINVAL, URL_WHERE ": %%00 cannot be part of anything");
        }
    }
    return 0;
}

static int url_port(const url_parts *u, const char *port, const char *end)
{
    for (const char *p = port; p < end; p++) {
        if (*p < '0' || *p > '9') {
            return u->doubtful ? tug_fail(TUG_EINVAL, URL_WHERE
                                          ": the port is not a number (a / in a password is "
                                          "written %%2F)")
                               : tug_fail(TUG_EINVAL, URL_WHERE ": port \"%.*s\" is not a number",
                                          end - port < 16 ? (int)(end - port) : 16, port);
        }
    }
    return 0;
}

/* One of the hosts between commas. */
static int url_host(const url_parts *u, const char *host, const char *end)
{
    const char *colon = memchr(host, ':', (size_t)(end - host));
    if (host < end && *host == '[') {
        const char *close = memchr(host, ']', (size_t)(end - host));
        if (close == NULL || close == host + 1) {
            return tug_fail(TUG_EINVAL,
                            URL_WHERE ": an address that begins with [ must end with ]");
        }
        colon = close + 1;
        if (colon < end && *colon != ':') {
            return tug_fail(TUG_EINVAL, URL_WHERE ": behind the ] of an address comes only :port");
        }
    }
    return colon != NULL && colon < end ? url_port(u, colon + 1, end) : 0;
}

static int url_hosts(const url_parts *u)
{
    if (words_contain(u->hosts, u->hosts_end, '@')) {
        return tug_fail(TUG_EINVAL, URL_WHERE
                        ": two @ before the host (an @ in a user or password is written %%40)");
    }
    for (const char *host = u->hosts, *end; host <= u->hosts_end; host = end + 1) {
        end = memchr(host, ',', (size_t)(u->hosts_end - host));
        end = end != NULL ? end : u->hosts_end;
        int rc = url_host(u, host, end);
        if (rc < 0) {
            return rc;
        }
    }
    if (words_contain(u->hosts_end, u->path_end, '@')) {
        return tug_fail(TUG_EINVAL, URL_WHERE
                        ": an @ behind the first / (in a password / is written %%2F; in a "
                        "database name @ is written %%40)");
    }
    return 0;
}

/* The name of a parameter may be escaped too. The escapes were checked. */
static void url_decode(const char *from, const char *end, char *to, size_t capacity)
{
    size_t n = 0;
    for (; from < end && n + 1 < capacity; from++) {
        if (*from == '%') {
            char hex[3] = {from[1], from[2], 0};
            unsigned high = (unsigned)(strchr("0123456789abcdef", tolower((unsigned char)hex[0])) -
                                       "0123456789abcdef");
            unsigned low = (unsigned)(strchr("0123456789abcdef", tolower((unsigned char)hex[1])) -
                                      "0123456789abcdef");
            to[n++] = (char)(high << 4 | low);
            from += 2;
        } else {
            to[n++] = *from;
        }
    }
    to[n] = 0;
}

static int url_parameter(const url_parts *u, const char *from, const char *end,
                         const PQconninfoOption *known)
{
    char word[WORD_MAX];
    const char *equals = memchr(from, '=', (size_t)(end - from));
    if (equals == NULL || words_contain(equals + 1, end, '=')) {
        return tug_fail(TUG_EINVAL, URL_WHERE
                        ": behind the ? come parameters, name=value&name=value (an = in a value "
                        "is written %%3D)");
    }
    url_decode(from, equals, word, sizeof word);
    if (strcmp(word, "ssl") == 0) {
        /* A courtesy of libpq to users of JDBC. */
        return end - equals == 5 && memcmp(equals, "=true", 5) == 0
                   ? 0
                   : tug_fail(TUG_EINVAL,
                              URL_WHERE ": parameter \"ssl\" can only be true: use sslmode");
    }
    return words_known(known, word) ? 0 : words_unknown(URL_WHERE, known, word, !u->doubtful);
}

int tug__pg_url_check(const char *url, const PQconninfoOption *known)
{
    url_parts u = url_split(url);
    int rc = url_escapes(url);
    if (rc < 0 || (rc = url_hosts(&u)) < 0 || *u.path_end == 0) {
        return rc;
    }
    for (const char *p = u.path_end + 1, *end; *p != 0; p = *end == 0 ? end : end + 1) {
        end = p + strcspn(p, "&");
        rc = url_parameter(&u, p, end, known);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* --- key=value ---------------------------------------------------------------------------------------- */

#define PAIRS_WHERE "PostgreSQL connection string"

static const char *pairs_blanks(const char *p)
{
    while (isspace((unsigned char)*p)) {
        p++;
    }
    return p;
}

/* Behind the value; NULL: a quote is not closed. */
static const char *pairs_value(const char *p)
{
    bool quoted = *p == '\'';
    p += quoted;
    for (; *p != 0 && (quoted ? *p != '\'' : !isspace((unsigned char)*p)); p++) {
        if (*p == '\\' && p[1] != 0) {
            p++;
        }
    }
    return !quoted ? p : *p == '\'' ? p + 1 : NULL;
}

/* A scheme is said by name: "mysql://...". */
static int pairs_scheme(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) ||
           (n > 0 && text[n] != 0 && strchr("+-.", text[n]) != NULL)) {
        n++;
    }
    if (n == 0 || n > 16 || strncmp(text + n, "://", 3) != 0) {
        return 0;
    }
    return tug_fail(TUG_EINVAL, URL_WHERE ": it begins with %.*s://, not with postgresql://",
                    (int)n, text);
}

int tug__pg_pairs_refused(const char *text, const PQconninfoOption *known)
{
    int rc = pairs_scheme(text);
    bool secret =
        false; /* a password came before: an unquoted blank in it makes words of its rest */
    for (const char *p = pairs_blanks(text); rc == 0 && *p != 0; p = pairs_blanks(p)) {
        char word[WORD_MAX];
        size_t n = strcspn(p, "= \t\n\r\f\v");
        const char *equals = pairs_blanks(p + n);
        if (*equals != '=') {
            return tug_fail(TUG_EINVAL, PAIRS_WHERE
                            ": a word without = behind it (a value with blanks needs quotes: "
                            "password='a b'; a URL begins with postgresql://)");
        }
        size_t kept = n < sizeof word ? n : sizeof word - 1;
        memcpy(word, p, kept);
        word[kept] = 0;
        if (!words_known(known, word)) {
            return words_unknown(PAIRS_WHERE, known, word, !secret);
        }
        secret = secret || strstr(word, "password") != NULL;
        p = pairs_value(pairs_blanks(equals + 1));
        if (p == NULL) {
            return tug_fail(TUG_EINVAL, PAIRS_WHERE ": a quote (') is not closed");
        }
    }
    return rc < 0 ? rc : tug_fail(TUG_EINVAL, PAIRS_WHERE ": libpq cannot read it");
}
