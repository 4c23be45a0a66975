#include "url.h"

#include <inttypes.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

/* Where the parser stands. Decoding never makes a text longer, so that all parts together with their
 * final zeros fit in 2 * length + 2 bytes of store. */
typedef struct url_scan {
    const char *text; /* the whole URL */
    const char *at;   /* next byte to read */
    const char *end;
    char *store; /* next byte to write */
    tug__url *url;
} url_scan;

static int url_wrong(const url_scan *s, const char *at, const char *what)
{
    return tug_fail(TUG_EINVAL, "URL, position %zu: %s", (size_t)(at - s->text) + 1, what);
}

static bool url_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool url_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int url_hex(char c)
{
    if (url_is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes [from, to) to the store; the result ends with 0. */
static int url_decode(url_scan *s, const char *from, const char *to, const char **ret_part,
                      size_t *ret_size)
{
    char *start = s->store, *w = start;
    for (const char *p = from; p < to; p++) {
        if (*p != '%') {
            *w++ = *p;
            continue;
        }
        int high = to - p > 2 ? url_hex(p[1]) : -1;
        int low = to - p > 2 ? url_hex(p[2]) : -1;
        if (high < 0 || low < 0) {
            return url_wrong(s, p,
                             "'%' needs two hexadecimal digits (a percent sign itself is %25)");
        }
        if (high == 0 && low == 0) {
            return url_wrong(s, p, "%00 is not allowed");
        }
        *w++ = (char)(high * 16 + low);
        p += 2;
    }
    *w = 0;
    s->store = w + 1;
    *ret_part = start;
    *ret_size = (size_t)(w - start);
    return 0;
}

static int url_part(url_scan *s, const char *from, const char *to, const char **ret_part)
{
    size_t size;
    return url_decode(s, from, to, ret_part, &size);
}

/* What is wrong wherever it stands is found before anything is taken apart. */
static int url_check_bytes(const url_scan *s)
{
    for (const char *p = s->text; p < s->end; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f) {
            return url_wrong(s, p, "a space or control character");
        }
        if (*p == '#') {
            return url_wrong(s, p, "'#' is written %23 here");
        }
    }
    return 0;
}

static int url_scheme(url_scan *s)
{
    const char *p = s->text;
    while (p < s->end &&
           (url_is_alpha(*p) || url_is_digit(*p) || *p == '+' || *p == '-' || *p == '.')) {
        p++;
    }
    if (p == s->text || !url_is_alpha(s->text[0]) || s->end - p < 3 || memcmp(p, "://", 3) != 0) {
        return url_wrong(s, p, "expected a scheme and \"://\"");
    }
    s->url->scheme = s->store;
    for (const char *c = s->text; c < p; c++) {
        *s->store++ = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    }
    *s->store++ = 0;
    s->at = p + 3;
    return 0;
}

/* The last '@' ends it: a raw '@' in a password is common and not ambiguous. */
static int url_userinfo(url_scan *s, const char *end)
{
    const char *at = memrchr(s->at, '@', (size_t)(end - s->at));
    if (at == NULL) {
        return 0;
    }
    const char *colon = memchr(s->at, ':', (size_t)(at - s->at));
    int rc = url_part(s, s->at, colon != NULL ? colon : at, &s->url->user);
    if (rc == 0 && colon != NULL) {
        const char *text;
        size_t size;
        rc = url_decode(s, colon + 1, at, &text, &size);
        if (rc == 0) {
            s->url->password = tug__secret_new(text, size);
            rc = s->url->password == NULL ? tug_fail(TUG_ENOMEM, "no memory for a URL") : 0;
            s->store -= size + 1;
            tug_wipe(s->store, size + 1);
        }
    }
    s->at = at + 1;
    return rc;
}

static int url_port(url_scan *s, const char *end)
{
    unsigned port = 0;
    for (const char *p = s->at; p < end; p++) {
        port = url_is_digit(*p) ? port * 10 + (unsigned)(*p - '0') : 65536;
        if (port > 65535) {
            return url_wrong(
                s, s->at,
                "the port is a number from 1 to 65535 (a '/', '?' or '#' in a password is "
                "written %2F, %3F, %23; an IPv6 address stands in brackets)");
        }
    }
    if (port == 0 && s->at < end) {
        return url_wrong(s, s->at, "the port is a number from 1 to 65535");
    }
    s->url->port = (uint16_t)port;
    return 0;
}

/* The end of the host, and whether it stands in brackets. */
static int url_host(url_scan *s, const char *end)
{
    const char *from = s->at, *to;
    if (from < end && *from == '[') {
        from++;
        to = memchr(from, ']', (size_t)(end - from));
        if (to == NULL) {
            return url_wrong(s, s->at, "'[' without ']'");
        }
        if (memchr(from, ':', (size_t)(to - from)) == NULL) {
            return url_wrong(s, s->at, "brackets are for IPv6 addresses");
        }
        s->at = to + 1;
        if (s->at < end && *s->at != ':') {
            return url_wrong(s, s->at, "expected ':' or '/' behind ']'");
        }
    } else {
        to = memchr(from, ':', (size_t)(end - from));
        to = to != NULL ? to : end;
        s->at = to;
    }
    int rc = from < to ? url_part(s, from, to, &s->url->host) : 0;
    if (rc == 0 && s->at < end) {
        s->at++;
        rc = url_port(s, end);
    }
    s->at = end;
    return rc;
}

static int url_path(url_scan *s, const char *end)
{
    if (s->at == end) {
        return 0;
    }
    for (const char *p = s->at; p < end; p++) {
        s->url->path_slashes += *p == '/';
    }
    int rc = url_part(s, s->at, end, &s->url->path);
    s->at = end;
    return rc;
}

static int url_pair(url_scan *s, const char *end)
{
    const char *equals = memchr(s->at, '=', (size_t)(end - s->at));
    const char *key_end = equals != NULL ? equals : end;
    if (key_end == s->at) {
        return url_wrong(s, s->at, "a parameter without a name");
    }
    if (s->url->n_params == TUG__URL_PARAMS_MAX) {
        return url_wrong(s, s->at, "too many parameters");
    }
    tug__url_param p;
    int rc = url_part(s, s->at, key_end, &p.key);
    if (rc == 0) {
        rc = url_part(s, equals != NULL ? equals + 1 : end, end, &p.value);
    }
    if (rc == 0 && tug__url_param_get(s->url, p.key) != NULL) {
        return url_wrong(s, s->at, "a parameter is given twice");
    }
    if (rc == 0) {
        s->url->params[s->url->n_params++] = p;
    }
    return rc;
}

static int url_query(url_scan *s)
{
    while (s->at < s->end) {
        s->at++; /* '?' or '&' */
        const char *end = memchr(s->at, '&', (size_t)(s->end - s->at));
        end = end != NULL ? end : s->end;
        int rc = end > s->at ? url_pair(s, end) : 0;
        if (rc < 0) {
            return rc;
        }
        s->at = end;
    }
    return 0;
}

static int url_run(url_scan *s)
{
    int rc = url_check_bytes(s);
    if (rc == 0) {
        rc = url_scheme(s);
    }
    if (rc < 0) {
        return rc;
    }
    const char *authority_end = s->at + strcspn(s->at, "/?");
    const char *stray = strchr(authority_end, '@');
    if (stray != NULL) {
        /* A password with a raw '/' or '?': taken as it stands, half of it would be looked up as a host. */
        return url_wrong(
            s, stray,
            "'@' behind the host: in user and password '/' is written %2F and '?' %3F, "
            "elsewhere '@' is written %40");
    }
    rc = url_userinfo(s, authority_end);
    if (rc == 0) {
        rc = url_host(s, authority_end);
    }
    if (rc == 0) {
        rc = url_path(s, s->at + strcspn(s->at, "?"));
    }
    return rc == 0 ? url_query(s) : rc;
}

int tug__url_parse(const char *text, tug__url **ret_url)
{
    if (text == NULL) {
        return tug_fail(TUG_EINVAL, "URL: NULL (is its environment variable set?)");
    }
    size_t size = strnlen(text, TUG__URL_MAX + 1);
    if (size == 0) {
        return tug_fail(TUG_EINVAL, "URL: empty");
    }
    if (size > TUG__URL_MAX) {
        return tug_fail(TUG_EINVAL, "URL: longer than %d bytes", TUG__URL_MAX);
    }
    tug__url *url = tug_calloc(1, sizeof *url + 2 * (size + 1));
    if (url == NULL) {
        return tug_fail(TUG_ENOMEM, "no memory for a URL");
    }
    url->store_size = 2 * (size + 1);
    url_scan s = {.text = text, .at = text, .end = text + size, .store = url->store, .url = url};
    int rc = url_run(&s);
    if (rc < 0) {
        tug__url_free(url);
        return rc;
    }
    *ret_url = url;
    return 0;
}

void tug__url_free(tug__url *url)
{
    if (url != NULL) {
        tug__secret_free(url->password);
        /* A URL that failed half-way may have left a decoded piece of its password here. */
        tug_wipe(url->store, url->store_size);
        tug_free(url);
    }
}

const char *tug__url_param_get(const tug__url *url, const char *key)
{
    for (size_t i = 0; i < url->n_params; i++) {
        if (strcmp(url->params[i].key, key) == 0) {
            return url->params[i].value;
        }
    }
    return NULL;
}

/* Digits only, no sign, no exponent, whatever the locale says: units of 10^-9. */
static bool url_nanoseconds(const char *text, int64_t *ret_ns)
{
    int64_t whole = 0, part = 0, unit = INT64_C(1000000000);
    const char *p = text;
    for (; url_is_digit(*p); p++) {
        if (whole > INT64_MAX / 10000000000) {
            return false;
        }
        whole = whole * 10 + (*p - '0');
    }
    if (p == text) {
        return false;
    }
    if (*p == '.') {
        for (p++; url_is_digit(*p) && unit > 1; p++) {
            unit /= 10;
            part += unit * (*p - '0');
        }
    }
    if (*p != 0 || whole > INT64_MAX / 1000000000 - 1) {
        return false;
    }
    *ret_ns = whole * 1000000000 + part;
    return true;
}

int tug__url_seconds(const tug__url_param *p, tug_duration least, tug_duration most,
                     tug_duration *ret_duration)
{
    int64_t ns = 0;
    if (!url_nanoseconds(p->value, &ns) || ns < least || ns > most) {
        return tug_fail(TUG_EINVAL, "URL parameter %.40s: seconds from %g to %g", p->key,
                        (double)least / 1e9, (double)most / 1e9);
    }
    *ret_duration = ns;
    return 0;
}

int tug__url_number(const tug__url_param *p, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    bool is_good = p->value[0] != 0;
    for (const char *c = p->value; *c != 0 && is_good; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        is_good = url_is_digit(*c) && number <= (UINT64_MAX - digit) / 10;
        number = is_good ? number * 10 + digit : 0;
    }
    if (!is_good || number < least || number > most) {
        return tug_fail(TUG_EINVAL,
                        "URL parameter %.40s: a whole number from %" PRIu64 " to %" PRIu64, p->key,
                        least, most);
    }
    *ret_number = number;
    return 0;
}
