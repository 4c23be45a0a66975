#include "sqlstate.h"

#include <string.h>
#include <tug/pg_error.h>
#include <tug/pg_sqlstate.h>

static bool is_code_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

int tug__pg_sqlstate_number(const char *code)
{
    for (int i = 0; i < 5; i++) {
        if (!is_code_char(code[i])) {
            return 0;
        }
    }
    return code[5] == '\0' ? TUG_PG_SQLSTATE(code[0], code[1], code[2], code[3], code[4]) : 0;
}

bool tug__pg_sqlstate_is_transient(const char *code)
{
    switch (tug__pg_sqlstate_number(code)) {
    case TUG_PG_SERIALIZATION_FAILURE:
    case TUG_PG_DEADLOCK_DETECTED:
    case TUG_PG_LOCK_NOT_AVAILABLE:
    case TUG_PG_TOO_MANY_CONNECTIONS:
    case TUG_PG_CANNOT_CONNECT_NOW: /* starting up, or shutting down */
    case TUG_PG_ADMIN_SHUTDOWN:     /* its successor may be there */
    case TUG_PG_CRASH_SHUTDOWN:     /* it restarts by itself */
    case TUG_PG_CONNECTION_FAILURE: /* these three a pooler says of the server behind it */
    case TUG_PG_CONNECTION_DOES_NOT_EXIST:
    case TUG_PG_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION:
        return true;
    default:
        return false;
    }
}

int tug_pg_sqlstate(const tug_error *e)
{
    e = e != NULL ? e : tug_last_error();
    /* Others keep other things there: "23505" could be the reply code of a broker. */
    return e->origin == TUG_ORIGIN_SERVER ? tug__pg_sqlstate_number(e->native) : 0;
}

const char *tug_pg_sqlstate_name(const char *code)
{
    switch (tug__pg_sqlstate_number(code)) {
#define STATE(name, a, b, c, d, e)                                                                 \
    case TUG_PG_SQLSTATE(a, b, c, d, e):                                                           \
        return "TUG_PG_" #name;
        TUG_PG_SQLSTATES(STATE)
#undef STATE
    default:
        return "";
    }
}

/* --- what kind of failure ----------------------------------------------------------------------- */

bool tug_pg_is_unique_violation(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_UNIQUE_VIOLATION;
}

bool tug_pg_is_foreign_key_violation(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_FOREIGN_KEY_VIOLATION;
}

bool tug_pg_is_not_null_violation(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_NOT_NULL_VIOLATION;
}

bool tug_pg_is_check_violation(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_CHECK_VIOLATION;
}

bool tug_pg_is_constraint_violation(const tug_error *e)
{
    e = e != NULL ? e : tug_last_error();
    return tug_pg_sqlstate(e) != 0 && e->native[0] == '2' && e->native[1] == '3';
}

bool tug_pg_is_serialization_failure(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_SERIALIZATION_FAILURE;
}

bool tug_pg_is_deadlock(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_DEADLOCK_DETECTED;
}

bool tug_pg_is_lock_not_available(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_LOCK_NOT_AVAILABLE;
}

bool tug_pg_is_query_canceled(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_QUERY_CANCELED;
}

bool tug_pg_is_read_only(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_READ_ONLY_SQL_TRANSACTION;
}

bool tug_pg_is_too_many_connections(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_TOO_MANY_CONNECTIONS;
}

bool tug_pg_is_failed_transaction(const tug_error *e)
{
    return tug_pg_sqlstate(e) == TUG_PG_IN_FAILED_SQL_TRANSACTION;
}

bool tug_pg_is_connection_lost(const tug_error *e)
{
    e = e != NULL ? e : tug_last_error();
    bool over_libpq = e->origin == TUG_ORIGIN_LIBPQ || e->origin == TUG_ORIGIN_SERVER ||
                      e->origin == TUG_ORIGIN_TLS || e->origin == TUG_ORIGIN_OS;
    /* Class 08 a pooler says, of the server behind it. */
    return (over_libpq && (e->code == TUG_ECLOSED || e->code == TUG_ECONNECT)) ||
           (tug_pg_sqlstate(e) != 0 && strncmp(e->native, "08", 2) == 0);
}
