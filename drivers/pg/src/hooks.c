/* Hooks of a pool, and what they are told. */
#include "hooks.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <tug/sys/driver.h>

#include "gate.h"
#include "handle.h"
#include "lexer.h"

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

const char *tug_pg_sanitize(const char *sql, char *to, size_t room)
{
    size_t n = 0;
    while (*sql != 0 && n + 1 < room) {
        bool is_literal;
        const char *next = tug__pg_lex_piece(sql, &is_literal);
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
