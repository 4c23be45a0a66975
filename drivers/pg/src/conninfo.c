#include "conninfo.h"

#include "connwords.h"
#include "number.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

#define CONN_WHERE "PostgreSQL connection"
enum {
    CONN_PORT = 5432
};

static int conn_no_memory(void)
{
    return tug_fail(TUG_ENOMEM, CONN_WHERE ": no memory for its parameters");
}

/* What libpq would take: the URL's, else the environment's. Empty counts as not given, as it does for
 * PQconnectStartParams. NULL: neither. */
static const char *conn_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            const char *value = options->val;
            if ((value == NULL || *value == 0) && options->envvar != NULL) {
                value = getenv(options->envvar);
            }
            return value != NULL && *value != 0 ? value : NULL;
        }
    }
    return NULL;
}

/* --- hosts -------------------------------------------------------------------------------------------- */

static size_t list_count(const char *list)
{
    size_t n = list != NULL;
    for (; list != NULL && *list != 0; list++) {
        n += *list == ',';
    }
    return n;
}

/* The i-th between commas. */
static const char *list_item(const char *list, size_t i, size_t *ret_size)
{
    for (; i > 0; i--) {
        list += strcspn(list, ",") + 1;
    }
    *ret_size = strcspn(list, ",");
    return list;
}

/* A copy of the i-th, if there is one and it is not empty. */
static int list_copy(const char *list, size_t i, char **ret_item)
{
    size_t size = 0;
    const char *item = list != NULL ? list_item(list, i, &size) : NULL;
    if (size == 0) {
        return 0;
    }
    *ret_item = tug_strndup(item, size);
    return *ret_item != NULL ? 0 : conn_no_memory();
}

static int host_port(const char *ports, size_t i, int *ret_port)
{
    size_t size = 0;
    uint64_t port = CONN_PORT;
    const char *text = ports != NULL ? list_item(ports, i, &size) : "";
    if (size > 0 && !tug__pg_uint_parse(text, size, &port)) {
        return tug_fail(TUG_EINVAL, CONN_WHERE ": port \"%.*s\" is not a number",
                        size < 16 ? (int)size : 16, text);
    }
    if (port < 1 || port > 65535) {
        return tug_fail(TUG_EINVAL, CONN_WHERE ": port %.*s is not between 1 and 65535",
                        size < 16 ? (int)size : 16, text);
    }
    *ret_port = (int)port;
    return 0;
}

static bool host_is_numeric(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static int host_fill(tug__pg_host *h, const char *hosts, const char *addresses, const char *ports,
                     size_t i)
{
    int rc = list_copy(hosts, i, &h->host);
    if (rc == 0) {
        rc = list_copy(addresses, i, &h->address);
    }
    if (rc == 0) {
        rc = host_port(ports, list_count(ports) == 1 ? 0 : i, &h->port);
    }
    if (rc < 0) {
        return rc;
    }
    if (h->address == NULL && h->host != NULL && host_is_numeric(h->host)) {
        h->address = tug_strdup(h->host);
        if (h->address == NULL) {
            return conn_no_memory();
        }
    }
    h->kind = h->address != NULL                       ? TUG__PG_HOST_ADDRESS
              : h->host == NULL                        ? TUG__PG_HOST_DEFAULT
              : h->host[0] == '/' || h->host[0] == '@' ? TUG__PG_HOST_UNIX
                                                       : TUG__PG_HOST_NAME;
    return 0;
}

static int conn_hosts(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    const char *hosts = conn_value(options, "host");
    const char *addresses = conn_value(options, "hostaddr");
    const char *ports = conn_value(options, "port");
    size_t n = list_count(addresses != NULL ? addresses : hosts);
    n = n > 0 ? n : 1;
    if (hosts != NULL && list_count(hosts) != n) {
        return tug_fail(TUG_EINVAL, CONN_WHERE ": %zu host%s but %zu address%s in hostaddr",
                        list_count(hosts), list_count(hosts) == 1 ? "" : "s", n,
                        n == 1 ? "" : "es");
    }
    if (list_count(ports) > 1 && list_count(ports) != n) {
        return tug_fail(TUG_EINVAL, CONN_WHERE ": %zu ports for %zu host%s", list_count(ports), n,
                        n == 1 ? "" : "s");
    }
    if (n > TUG__PG_HOSTS_MAX) {
        return tug_fail(TUG_EINVAL, CONN_WHERE ": %zu hosts, at most %d are tried", n,
                        TUG__PG_HOSTS_MAX);
    }
    c->hosts = tug_calloc(n, sizeof *c->hosts);
    if (c->hosts == NULL) {
        return conn_no_memory();
    }
    c->hosts_n = n;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = host_fill(&c->hosts[i], hosts, addresses, ports, i);
    }
    return rc;
}

/* --- the other parameters ----------------------------------------------------------------------------- */

static int conn_add(tug__pg_conninfo *c, const char *keyword, const char *value)
{
    if (c->pairs_n == TUG__PG_PAIRS_MAX) {
        return tug_fail(TUG_ELIMIT, CONN_WHERE ": more than %d parameters", TUG__PG_PAIRS_MAX);
    }
    size_t i = c->pairs_n++;
    c->keywords[i] = tug_strdup(keyword);
    c->values[i] = tug_strdup(value);
    return c->keywords[i] != NULL && c->values[i] != NULL ? 0 : conn_no_memory();
}

static bool conn_is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasecmp(word, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* Slips in what decides about safety are found when the handle is opened, not at the first connection. */
static int conn_check_words(const PQconninfoOption *options)
{
    static const char *const sslmodes[] = {"disable",   "allow",       "prefer", "require",
                                           "verify-ca", "verify-full", NULL};
    static const char *const encodings[] = {"UTF8", "UTF-8", "unicode", "auto", NULL};
    const char *value = conn_value(options, "sslmode");
    if (value != NULL && !conn_is_one_of(value, sslmodes)) {
        return tug_fail(TUG_EINVAL,
                        CONN_WHERE
                        ": sslmode \"%.20s\" is none of disable, allow, prefer, require, "
                        "verify-ca, verify-full",
                        value);
    }
    value = conn_value(options, "client_encoding");
    if (value != NULL && !conn_is_one_of(value, encodings)) {
        return tug_fail(TUG_EINVAL,
                        CONN_WHERE ": client_encoding \"%.20s\": all text is UTF-8 here", value);
    }
    if (conn_value(options, "service") != NULL) {
        return tug_fail(TUG_EINVAL, CONN_WHERE
                        ": a service file (service=, PGSERVICE) is not supported: give the "
                        "parameters themselves");
    }
    return 0;
}

/* Unlike libpq, which takes less than 2 seconds for 2, and which does not look at it in its
 * asynchronous functions at all. */
static int conn_timeout(tug__pg_conninfo *c, const char *text)
{
    int64_t seconds;
    if (text == NULL) {
        return 0;
    }
    if (!tug__pg_int_parse(text, strlen(text), &seconds) || seconds > INT32_MAX) {
        return tug_fail(TUG_EINVAL,
                        CONN_WHERE ": connect_timeout \"%.20s\" is not a number of seconds", text);
    }
    c->connect_timeout = seconds > 0 ? TUG_SECONDS(seconds) : TUG_FOREVER;
    return 0;
}

static int conn_pairs(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    static const char *const apart[] = {
        "host",    "hostaddr", "port", "password", "connect_timeout", "client_encoding",
        "service", NULL};
    int rc = conn_add(c, "client_encoding", "UTF8");
    for (const PQconninfoOption *o = options; rc == 0 && o->keyword != NULL; o++) {
        if (o->val != NULL && *o->val != 0 && !conn_is_one_of(o->keyword, apart)) {
            rc = conn_add(c, o->keyword, o->val);
        }
    }
    return rc;
}

static int conn_password(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, "password") == 0 && options->val != NULL &&
            *options->val != 0) {
            c->password.hidden = tug_strdup(options->val);
            return c->password.hidden != NULL ? 0 : conn_no_memory();
        }
    }
    return 0;
}

/* --- the description ---------------------------------------------------------------------------------- */

/* Room for three hosts, a database and a user of usual length; longer ones are cut. */
typedef struct conn_line {
    char text[200];
    size_t size;
} conn_line;

static void line_put(conn_line *l, const char *text)
{
    for (; *text != 0 && l->size + 1 < sizeof l->text; text++) {
        /* A message is one line, whatever the URL holds. */
        l->text[l->size++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
    }
    l->text[l->size] = 0;
}

static void line_put_host(conn_line *l, const tug__pg_host *h)
{
    char port[16];
    const char *name = h->host != NULL ? h->host : h->address != NULL ? h->address : "local socket";
    bool v6 = h->kind == TUG__PG_HOST_ADDRESS && strchr(name, ':') != NULL;
    snprintf(port, sizeof port, ":%d", h->port);
    line_put(l, v6 ? "[" : "");
    line_put(l, name);
    line_put(l, v6 ? "]" : "");
    line_put(l, port);
}

static int conn_describe(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    enum {
        SHOWN = 3
    };
    conn_line l = {.size = 0};
    const char *database = conn_value(options, "dbname");
    const char *user = conn_value(options, "user");
    for (size_t i = 0; i < c->hosts_n && i < SHOWN; i++) {
        line_put(&l, i > 0 ? "," : "");
        line_put_host(&l, &c->hosts[i]);
    }
    line_put(&l, c->hosts_n > SHOWN ? ",..." : "");
    if (database != NULL || user != NULL) {
        line_put(&l, "/");
        line_put(&l, database != NULL ? database : user);
    }
    if (user != NULL) {
        line_put(&l, " as ");
        line_put(&l, user);
    }
    c->description = tug_strdup(l.text);
    return c->description != NULL ? 0 : conn_no_memory();
}

/* --- all together ------------------------------------------------------------------------------------- */

/* libpq frees without wiping. */
static void options_free(PQconninfoOption *options)
{
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        if (o->val != NULL) {
            tug_wipe(o->val, strlen(o->val));
        }
    }
    PQconninfoFree(options);
}

static int options_parse(const char *url, PQconninfoOption **ret_options)
{
    char *said = NULL;
    PQconninfoOption *known = PQconninfoParse("", NULL);
    if (known == NULL) {
        return conn_no_memory();
    }
    int rc = tug__pg_is_url(url) ? tug__pg_url_check(url, known) : 0;
    if (rc == 0) {
        *ret_options = PQconninfoParse(url, &said);
        if (*ret_options == NULL) {
            rc = tug__pg_is_url(url) ? tug_fail(TUG_EINVAL, "PostgreSQL URL: libpq cannot read it")
                                     : tug__pg_pairs_refused(url, known);
        }
    }
    if (said != NULL) {
        tug_wipe(said, strlen(said)); /* it may quote the password */
        PQfreemem(said);
    }
    options_free(known);
    return rc;
}

static int conn_fill(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    int rc = conn_check_words(options);
    if (rc == 0) {
        rc = conn_hosts(c, options);
    }
    if (rc == 0) {
        rc = conn_timeout(c, conn_value(options, "connect_timeout"));
    }
    if (rc == 0) {
        rc = conn_pairs(c, options);
    }
    if (rc == 0) {
        rc = conn_password(c, options);
    }
    if (rc == 0) {
        rc = conn_describe(c, options);
    }
    return rc;
}

int tug__pg_conninfo_parse(const char *url, tug__pg_conninfo *ret)
{
    tug__pg_conninfo c = {0};
    PQconninfoOption *options = NULL;
    int rc = options_parse(url != NULL ? url : "", &options);
    if (options != NULL) {
        rc = conn_fill(&c, options);
        options_free(options);
    }
    if (rc < 0) {
        tug__pg_conninfo_free(&c);
        return rc;
    }
    *ret = c;
    return 0;
}

static void secret_free(char *text)
{
    if (text != NULL) {
        tug_wipe(text, strlen(text));
        tug_free(text);
    }
}

void tug__pg_conninfo_free(tug__pg_conninfo *c)
{
    for (size_t i = 0; i < c->hosts_n; i++) {
        tug_free(c->hosts[i].host);
        tug_free(c->hosts[i].address);
    }
    tug_free(c->hosts);
    for (size_t i = 0; i < c->pairs_n; i++) {
        tug_free(c->keywords[i]);
        secret_free(c->values[i]); /* sslpassword is one of them */
    }
    secret_free(c->password.hidden);
    tug_free(c->description);
    memset(c, 0, sizeof *c);
}

static size_t attempt_add(tug__pg_attempt *a, size_t n, const char *keyword, const char *value)
{
    if (value == NULL) {
        return n;
    }
    a->keywords[n] = keyword;
    a->values[n] = value;
    return n + 1;
}

void tug__pg_conninfo_attempt(const tug__pg_conninfo *c, size_t host, const char *address,
                              tug__pg_attempt *ret_attempt)
{
    tug__pg_attempt *a = ret_attempt;
    const tug__pg_host *h = &c->hosts[host];
    snprintf(a->port, sizeof a->port, "%d", h->port);
    size_t n = attempt_add(a, 0, "host", h->host);
    n = attempt_add(a, n, "hostaddr", address != NULL ? address : h->address);
    n = attempt_add(a, n, "port", a->port);
    n = attempt_add(a, n, "password", tug__pg_secret_reveal(&c->password));
    for (size_t i = 0; i < c->pairs_n; i++) {
        n = attempt_add(a, n, c->keywords[i], c->values[i]);
    }
    a->keywords[n] = NULL;
    a->values[n] = NULL;
}
