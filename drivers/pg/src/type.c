#include "type.h"

#include <stdio.h>

tug__pg_kind tug__pg_kind_of(Oid type)
{
    switch (type) {
    case TUG__PG_BOOL:
        return TUG__PG_KIND_BOOL;
    case TUG__PG_INT2:
        return TUG__PG_KIND_INT2;
    case TUG__PG_INT4:
        return TUG__PG_KIND_INT4;
    case TUG__PG_INT8:
        return TUG__PG_KIND_INT8;
    case TUG__PG_OID:
        return TUG__PG_KIND_OID;
    case TUG__PG_FLOAT4:
        return TUG__PG_KIND_FLOAT4;
    case TUG__PG_FLOAT8:
        return TUG__PG_KIND_FLOAT8;
    case TUG__PG_NUMERIC:
        return TUG__PG_KIND_NUMERIC;
    case TUG__PG_CHAR:
    case TUG__PG_NAME:
    case TUG__PG_TEXT:
    case TUG__PG_JSON:
    case TUG__PG_UNKNOWN:
    case TUG__PG_BPCHAR:
    case TUG__PG_VARCHAR:
        return TUG__PG_KIND_TEXT;
    case TUG__PG_JSONB:
        return TUG__PG_KIND_JSONB;
    case TUG__PG_BYTEA:
        return TUG__PG_KIND_BYTEA;
    case TUG__PG_UUID:
        return TUG__PG_KIND_UUID;
    case TUG__PG_TIMESTAMPTZ:
        return TUG__PG_KIND_TIMESTAMPTZ;
    case TUG__PG_TIMESTAMP:
        return TUG__PG_KIND_TIMESTAMP;
    case TUG__PG_DATE:
        return TUG__PG_KIND_DATE;
    default:
        return TUG__PG_KIND_OTHER;
    }
}

const char *tug__pg_type_name(Oid type)
{
    /* Types that a message is likely to name although no encoder knows them stand here too. */
    static const struct {
        Oid type;
        const char *name;
    } names[] = {
        {TUG__PG_BOOL, "bool"},
        {TUG__PG_BYTEA, "bytea"},
        {TUG__PG_CHAR, "\"char\""},
        {TUG__PG_NAME, "name"},
        {TUG__PG_INT8, "int8"},
        {TUG__PG_INT2, "int2"},
        {TUG__PG_INT4, "int4"},
        {TUG__PG_TEXT, "text"},
        {TUG__PG_OID, "oid"},
        {TUG__PG_JSON, "json"},
        {TUG__PG_FLOAT4, "float4"},
        {TUG__PG_FLOAT8, "float8"},
        {TUG__PG_UNKNOWN, "unknown"},
        {TUG__PG_BPCHAR, "char(n)"},
        {TUG__PG_VARCHAR, "varchar"},
        {TUG__PG_DATE, "date"},
        {TUG__PG_TIMESTAMP, "timestamp"},
        {TUG__PG_TIMESTAMPTZ, "timestamptz"},
        {TUG__PG_NUMERIC, "numeric"},
        {TUG__PG_UUID, "uuid"},
        {TUG__PG_JSONB, "jsonb"},
        {142, "xml"},
        {790, "money"},
        {869, "inet"},
        {1000, "bool[]"},
        {1005, "int2[]"},
        {1007, "int4[]"},
        {1009, "text[]"},
        {1016, "int8[]"},
        {1022, "float8[]"},
        {1083, "time"},
        {1186, "interval"},
        {1266, "timetz"},
        {1560, "bit"},
        {2278, "void"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].type == type) {
            return names[i].name;
        }
    }
    static _Thread_local char others[4][40];
    static _Thread_local unsigned turn;
    char *other = others[turn++ % 4];
    snprintf(other, sizeof others[0], "the type with OID %u", type);
    return other;
}
