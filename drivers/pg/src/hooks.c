/* Hooks of a pool, and what they are told. */
#include "hooks.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tug/sys/driver.h>

#include "gate.h"
#include "handle.h"

enum {
    NAME_SIZE = 32 /* more than "BATCH " and the longest keyword of SQL */
};

int tug_pg_set_hooks(tug_pg *any, const tug_pg_hooks *hooks)
{
    int rc = tug__pg_check(any, "tug_pg_set_hooks");
    if (rc < 0) {
        return rc;
    }
    if (any->kind != TUG__PG_POOL) {
        return tug_fail(TUG_EMISUSE, "tug_pg_set_hooks: hooks are set on the pool");
    }
    tug__pg_pool *pool = tug__pg_pool_of(any);
    memset(&pool->hooks, 0, sizeof pool->hooks);
    if (hooks != NULL) {
        memcpy(&pool->hooks, hooks,
               hooks->size < sizeof pool->hooks ? hooks->size : sizeof pool->hooks);
        pool->hooks_latest++;
    }
    pool->hooks_number = hooks != NULL ? pool->hooks_latest : 0;
    return 0;
}

/* --- what they are told ----------------------------------------------------------------------- */

static void first_keyword(const char *sql, char *to, size_t room)
{
    const char *p = tug__pg_gate_first_word(sql);
    size_t n = 0;
    while (n + 1 < room && isalpha((unsigned char)p[n])) {
        to[n] = (char)toupper((unsigned char)p[n]);
        n++;
    }
    to[n] = 0;
}

bool tug__pg_same_operation(const char *sql, const char *other)
{
    char one[NAME_SIZE], two[NAME_SIZE];
    first_keyword(sql, one, sizeof one);
    first_keyword(other, two, sizeof two);
    return strcmp(one, two) == 0;
}

/* Of several statements it says so. */
static void operation_name(const tug__pg_span *s, const char *sql, char *to)
{
    static const char batch[] = "BATCH ";
    size_t n = s->batch_size > 0 ? sizeof batch - 1 : 0;
    memcpy(to, batch, n);
    first_keyword(sql, to + n, NAME_SIZE - n);
    if (s->mixed) {
        to[n - 1] = 0;
    }
}

static const char *parameter(const tug__pg_conninfo *c, const char *keyword)
{
    for (size_t i = 0; i < c->pairs_n; i++) {
        if (strcmp(c->keywords[i], keyword) == 0) {
            return c->values[i];
        }
    }
    return "";
}

static tug_pg_operation describe(const tug__pg_pool *pool, const tug__pg_span *s, const char *sql,
                                 char *name)
{
    const tug__pg_conninfo *c = &pool->target->info;
    const tug__pg_host *host = &c->hosts[0];
    operation_name(s, sql, name);
    return (tug_pg_operation){.size = sizeof(tug_pg_operation),
                              .system = "postgresql",
                              .name = name,
                              .text = sql,
                              .database = parameter(c, "dbname"),
                              .server_address = host->host != NULL      ? host->host
                                                : host->address != NULL ? host->address
                                                                        : "",
                              .server_port = host->port,
                              .batch_size = s->batch_size,
                              .status_code = ""};
}

void tug__pg_span_begin(tug__pg_pool *pool, tug__pg_span *s, const char *sql, size_t batch_size,
                        bool mixed)
{
    char name[NAME_SIZE];
    s->hooks = pool->hooks_number;
    s->batch_size = batch_size > 1 ? (uint32_t)batch_size
                                   : 0; /* one is no batch, by the conventions */
    s->mixed = batch_size > 1 && mixed;
    s->span = NULL;
    s->started = tug_now();
    if (pool->hooks.start != NULL) {
        tug_pg_operation op = describe(pool, s, sql, name);
        s->span = pool->hooks.start(&op, pool->hooks.arg);
    }
}

void tug__pg_span_end(tug__pg_pool *pool, tug__pg_span *s, const char *sql, const tug_error *why,
                      int64_t rows)
{
    char name[NAME_SIZE];
    bool is_told = s->hooks == pool->hooks_number && pool->hooks.end != NULL;
    s->hooks = 0;
    if (!is_told) {
        return;
    }
    tug_pg_operation op = describe(pool, s, sql, name);
    op.duration = tug_now() - s->started;
    op.returned_rows = rows;
    if (why != NULL) {
        op.rc = why->code;
        op.status_code = why->origin == TUG_ORIGIN_SERVER ? why->native : "";
    }
    pool->hooks.end(&op, s->span, pool->hooks.arg);
}

void tug__pg_login_end(const tug__pg_pool *pool, uint32_t hooks, tug_time since,
                       const char *pool_name, const PGconn *pq, const tug_error *why)
{
    char name[NAME_SIZE];
    if (hooks == 0 || hooks != pool->hooks_number || pool->closed || pool->hooks.login == NULL) {
        return;
    }
    const tug__pg_span none = {0};
    tug_pg_operation op = describe(pool, &none, "", name);
    tug_pg_login login = {.size = sizeof login,
                          .pool_name = pool_name,
                          .system = op.system,
                          .database = op.database,
                          .server_address = op.server_address,
                          .server_port = op.server_port,
                          .peer_address = "",
                          .status_code = "",
                          .duration = tug_now() - since};
    if (pq != NULL) {
        const char *peer = PQhostaddr(pq);
        login.database = PQdb(pq);
        login.server_address = PQhost(pq);
        login.server_port = (int)strtol(PQport(pq), NULL, 10);
        login.peer_address = peer != NULL ? peer : "";
        login.backend = PQbackendPID(pq);
    } else {
        login.rc = why->code;
        login.status_code = why->origin == TUG_ORIGIN_SERVER ? why->native : "";
    }
    pool->hooks.login(&login, pool->hooks.arg);
}

/* --- literals --------------------------------------------------------------------------------- */

static bool in_name(char c)
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
    while (in_name(p[n]) && p[n] != '$') {
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

static const char *skip_comment(const char *p)
{
    if (p[0] == '-') {
        return p + strcspn(p, "\n");
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

/* Behind the next piece; *ret_literal: whether it is one. */
static const char *next_piece(const char *p, bool *ret_literal)
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
        return skip_comment(p);
    }
    if (in_name(*p)) { /* parameters too */
        while (in_name(*p)) {
            p++;
        }
        return p;
    }
    return p + 1;
}

const char *tug_pg_sanitize(const char *sql, char *to, size_t room)
{
    size_t n = 0;
    while (*sql != 0 && n + 1 < room) {
        bool is_literal;
        const char *next = next_piece(sql, &is_literal);
        size_t size = is_literal ? 1 : (size_t)(next - sql);
        if (size > room - 1 - n) {
            size = room - 1 - n;
        }
        memcpy(to + n, is_literal ? "?" : sql, size);
        n += size;
        sql = next;
    }
    if (room > 0) {
        to[n] = 0;
    }
    return to;
}

/* --- statements of a script ------------------------------------------------------------------- */

static bool is_word(const char *p, const char *end, const char *word)
{
    return (size_t)(end - p) == strlen(word) && strncasecmp(p, word, strlen(word)) == 0;
}

size_t tug__pg_copy_to_client(const char *sql)
{
    size_t statement = 0;
    bool begins = true, is_copy = false, behind_to = false;
    while (*sql != 0) {
        bool is_literal;
        const char *p = sql;
        sql = next_piece(p, &is_literal);
        if (isspace((unsigned char)*p) || strncmp(p, "--", 2) == 0 || strncmp(p, "/*", 2) == 0) {
            continue;
        }
        if (*p == ';') {
            begins = true;
            is_copy = false;
            continue;
        }
        if (begins) {
            statement++;
            is_copy = is_word(p, sql, "copy");
            begins = false;
        } else if (is_copy && behind_to && is_word(p, sql, "stdout")) {
            return statement;
        }
        behind_to = is_word(p, sql, "to");
    }
    return 0;
}
