#include "conninfo.h"

#include "connwords.h"
#include "defaults.h"
#include "number.h"
#include "ownwords.h"

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

/* Parameters that libpq does not see. */
enum {
    OWN_BALANCE, /* libpq 16 knows it, but each attempt of libpq's has one address */
    OWN_MODE,
    OWN_N
};
static const char *const own_words[OWN_N] = {"load_balance_hosts", "statement_mode"};

static bool own_is(const char *keyword)
{
    for (size_t i = 0; i < OWN_N; i++) {
        if (strcmp(keyword, own_words[i]) == 0) {
            return true;
        }
    }
    return false;
}

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
    value = conn_value(options, "gssencmode");
    if (value != NULL && strcmp(value, "require") == 0) {
        return tug_fail(TUG_EINVAL, CONN_WHERE
                        ": gssencmode=require: GSS encryption is not supported, use TLS");
    }
    value = conn_value(options, "sslrootcert");
    const char *sslmode = conn_value(options, "sslmode");
    if (value != NULL && strcmp(value, "system") == 0 && sslmode != NULL &&
        strcmp(sslmode, "verify-full") != 0) {
        return tug_fail(TUG_EINVAL, CONN_WHERE
                        ": sslrootcert=system trusts every public authority, so sslmode must be "
                        "verify-full");
    }
    return 0;
}

/* Copies what is there. */
static int conn_keep(const char *value, char **ret_copy)
{
    *ret_copy = value != NULL ? tug_strdup(value) : NULL;
    return value == NULL || *ret_copy != NULL ? 0 : conn_no_memory();
}

static int conn_role(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    const char *word = conn_value(options, "target_session_attrs");
    if (word != NULL && !tug__pg_role_parse(word, &c->role)) {
        return tug_fail(TUG_EINVAL,
                        CONN_WHERE
                        ": target_session_attrs \"%.20s\" is none of any, read-write, read-only, "
                        "primary, standby, prefer-standby",
                        word);
    }
    return 0;
}

/* given: by the text or the service; NULL: not. */
static int conn_balance(tug__pg_conninfo *c, const char *given)
{
    const char *word = given != NULL && *given != 0 ? given : getenv("PGLOADBALANCEHOSTS");
    c->random = word != NULL && strcmp(word, "random") == 0;
    if (word == NULL || *word == 0 || c->random || strcmp(word, "disable") == 0) {
        return 0;
    }
    return tug_fail(TUG_EINVAL,
                    CONN_WHERE ": load_balance_hosts \"%.20s\" is neither disable nor random",
                    word);
}

static int conn_mode(tug__pg_conninfo *c, const char *given)
{
    c->unnamed = given != NULL && strcmp(given, "unnamed") == 0;
    if (given == NULL || *given == 0 || c->unnamed || strcmp(given, "prepared") == 0) {
        return 0;
    }
    return tug_fail(TUG_EINVAL,
                    CONN_WHERE ": statement_mode \"%.20s\" is neither prepared nor unnamed", given);
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
    static const char *const apart[] = {"host",
                                        "hostaddr",
                                        "port",
                                        "password",
                                        "connect_timeout",
                                        "client_encoding",
                                        "service",
                                        "target_session_attrs",
                                        NULL};
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

static void line_put_session(conn_line *l, const char *database, const char *user)
{
    if (database != NULL || user != NULL) {
        line_put(l, "/");
        line_put(l, database != NULL ? database : user);
    }
    if (user != NULL) {
        line_put(l, " as ");
        line_put(l, user);
    }
}

static int conn_describe(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    enum {
        SHOWN = 3
    };
    conn_line l = {.size = 0};
    bool hosts = c->hosts_n > 1 || c->hosts[0].kind != TUG__PG_HOST_DEFAULT;
    if (c->service != NULL) {
        line_put(&l, "service ");
        line_put(&l, c->service);
        line_put(&l, hosts ? " at " : "");
    }
    for (size_t i = 0; i < c->hosts_n && i < SHOWN && (hosts || c->service == NULL); i++) {
        line_put(&l, i > 0 ? "," : "");
        line_put_host(&l, &c->hosts[i]);
    }
    line_put(&l, c->hosts_n > SHOWN ? ",..." : "");
    line_put_session(&l, conn_value(options, "dbname"), conn_value(options, "user"));
    c->description = tug_strdup(l.text);
    return c->description != NULL ? 0 : conn_no_memory();
}

static const char *conn_pair(const tug__pg_conninfo *c, const char *keyword)
{
    for (size_t i = 0; i < c->pairs_n; i++) {
        if (strcmp(c->keywords[i], keyword) == 0) {
            return c->values[i];
        }
    }
    return NULL;
}

void tug__pg_conninfo_describe(const tug__pg_conninfo *c, size_t host, const char *address,
                               char *to, size_t size)
{
    conn_line l = {.size = 0};
    const char *database = conn_pair(c, "dbname"), *user = conn_pair(c, "user");
    line_put_host(&l, &c->hosts[host]);
    if (address != NULL) {
        line_put(&l, " (");
        line_put(&l, address);
        line_put(&l, ")");
    }
    line_put_session(&l, database != NULL ? database : getenv("PGDATABASE"),
                     user != NULL ? user : getenv("PGUSER"));
    snprintf(to, size, "%s", l.text);
}

/* --- all together ------------------------------------------------------------------------------------- */

static void secret_free(char *text)
{
    if (text != NULL) {
        tug_wipe(text, strlen(text));
        tug_free(text);
    }
}

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

/* What the service says where the text says nothing. PQconninfoFree releases the values by free. */
static int options_merge(PQconninfoOption *options, const tug__pg_settings *settings)
{
    for (size_t i = 0; i < settings->n; i++) {
        PQconninfoOption *o = options;
        while (o->keyword != NULL && strcmp(o->keyword, settings->keywords[i]) != 0) {
            o++;
        }
        if (o->keyword == NULL && own_is(settings->keywords[i])) {
            continue;
        }
        if (o->keyword == NULL) {
            return tug_fail(TUG_EINVAL,
                            CONN_WHERE ": its service file has a parameter \"%.30s\", "
                                       "which libpq does not know",
                            settings->keywords[i]);
        }
        if (o->val == NULL || *o->val == 0) {
            free(o->val);
            o->val = strdup(settings->values[i]);
            if (o->val == NULL) {
                return conn_no_memory();
            }
        }
    }
    return 0;
}

static const char *settings_get(const tug__pg_settings *settings, const char *keyword)
{
    for (size_t i = 0; settings != NULL && i < settings->n; i++) {
        if (strcmp(settings->keywords[i], keyword) == 0) {
            return settings->values[i];
        }
    }
    return NULL;
}

static int conn_fill(tug__pg_conninfo *c, const PQconninfoOption *options)
{
    int rc = conn_check_words(options);
    rc = rc < 0 ? rc : conn_hosts(c, options);
    rc = rc < 0 ? rc : conn_timeout(c, conn_value(options, "connect_timeout"));
    rc = rc < 0 ? rc : conn_role(c, options);
    rc = rc < 0 ? rc : conn_keep(conn_value(options, "sslmode"), &c->sslmode);
    rc = rc < 0 ? rc : conn_keep(conn_value(options, "sslrootcert"), &c->sslrootcert);
    rc = rc < 0 ? rc : conn_pairs(c, options);
    rc = rc < 0 ? rc : conn_password(c, options);
    return rc < 0 ? rc : conn_describe(c, options);
}

/* ret_rest: the text without our words. The rest may hold a password. */
static int own_take(const char *text, char **ret_rest, char *own[OWN_N])
{
    char *rest = NULL;
    int rc = conn_keep(text, &rest);
    for (size_t i = 0; rc == 0 && i < OWN_N; i++) {
        char *before = rest;
        rest = NULL;
        rc = tug__pg_words_take(before, own_words[i], &rest, &own[i]);
        secret_free(before);
    }
    *ret_rest = rest;
    return rc;
}

/* By the text, else by the service. */
static int own_apply(tug__pg_conninfo *c, char *const own[OWN_N], const tug__pg_settings *settings)
{
    const char *given[OWN_N];
    for (size_t i = 0; i < OWN_N; i++) {
        given[i] = own[i] != NULL ? own[i] : settings_get(settings, own_words[i]);
    }
    int rc = conn_balance(c, given[OWN_BALANCE]);
    return rc < 0 ? rc : conn_mode(c, given[OWN_MODE]);
}

/* settings: the service's, once its file was read; NULL before. */
static int conn_parse(const char *url, const tug__pg_settings *settings, tug__pg_conninfo *ret)
{
    tug__pg_conninfo c = {0};
    PQconninfoOption *options = NULL;
    char *rest = NULL, *own[OWN_N] = {NULL};
    int rc = own_take(url, &rest, own);
    rc = rc < 0 ? rc : options_parse(rest, &options);
    if (rc == 0 && settings != NULL) {
        rc = options_merge(options, settings);
    } else if (rc == 0 && conn_value(options, "service") != NULL) {
        rc = conn_keep(conn_value(options, "service"), &c.service);
        rc = rc < 0 ? rc : conn_keep(url, &c.source.hidden);
    }
    rc = rc < 0 ? rc : own_apply(&c, own, settings);
    rc = rc < 0 ? rc : conn_fill(&c, options);
    options_free(options);
    secret_free(rest);
    for (size_t i = 0; i < OWN_N; i++) {
        tug_free(own[i]);
    }
    if (rc < 0) {
        tug__pg_conninfo_free(&c);
        return rc;
    }
    *ret = c;
    return 0;
}

int tug__pg_conninfo_check_plain(const tug__pg_conninfo *info)
{
    static const char *const no[] = {"false", "off", "no", "0", NULL};
    for (size_t i = 0; i < info->pairs_n; i++) {
        if (strcmp(info->keywords[i], "replication") == 0 && !conn_is_one_of(info->values[i], no)) {
            return tug_fail(TUG_EINVAL,
                            CONN_WHERE
                            ": replication=%.20s: such a connection takes no statements, changes "
                            "come from tug_pg_changes_open",
                            info->values[i]);
        }
    }
    return 0;
}

int tug__pg_conninfo_parse(const char *url, tug__pg_conninfo *ret)
{
    return conn_parse(url != NULL ? url : "", NULL, ret);
}

int tug__pg_conninfo_resolve(const tug__pg_conninfo *c, const tug__pg_settings *settings,
                             tug__pg_conninfo *ret)
{
    return conn_parse(tug__pg_secret_reveal(&c->source), settings, ret);
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
    secret_free(c->source.hidden);
    tug_free(c->sslmode);
    tug_free(c->sslrootcert);
    tug_free(c->service);
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
    tug__pg_defaults_apply(c, host, a);
}
