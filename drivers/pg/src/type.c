#include "type.h"

#include <stdio.h>

typedef struct type_known {
    Oid type;
    Oid array; /* the array type of it; 0: not known here */
    const char *name;
} type_known;

/* Types that a message is likely to name although no encoder knows them stand here too. */
static const type_known types[] = {
    {TUG__PG_BOOL, 1000, "bool"},
    {TUG__PG_BYTEA, 1001, "bytea"},
    {TUG__PG_CHAR, 1002, "\"char\""},
    {TUG__PG_NAME, 1003, "name"},
    {TUG__PG_INT8, 1016, "int8"},
    {TUG__PG_INT2, 1005, "int2"},
    {TUG__PG_INT4, 1007, "int4"},
    {TUG__PG_TEXT, 1009, "text"},
    {TUG__PG_OID, 1028, "oid"},
    {TUG__PG_JSON, 199, "json"},
    {TUG__PG_CIDR, 651, "cidr"},
    {TUG__PG_FLOAT4, 1021, "float4"},
    {TUG__PG_FLOAT8, 1022, "float8"},
    {TUG__PG_UNKNOWN, 0, "unknown"},
    {TUG__PG_MACADDR8, 775, "macaddr8"},
    {TUG__PG_MACADDR, 1040, "macaddr"},
    {TUG__PG_INET, 1041, "inet"},
    {TUG__PG_BPCHAR, 1014, "char(n)"},
    {TUG__PG_VARCHAR, 1015, "varchar"},
    {TUG__PG_DATE, 1182, "date"},
    {TUG__PG_TIME, 1183, "time"},
    {TUG__PG_TIMESTAMP, 1115, "timestamp"},
    {TUG__PG_TIMESTAMPTZ, 1185, "timestamptz"},
    {TUG__PG_INTERVAL, 1187, "interval"},
    {TUG__PG_TIMETZ, 1270, "timetz"},
    {TUG__PG_NUMERIC, 1231, "numeric"},
    {TUG__PG_UUID, 2951, "uuid"},
    {TUG__PG_JSONB, 3807, "jsonb"},
    {142, 0, "xml"},
    {790, 0, "money"},
    {1560, 0, "bit"},
    {2278, 0, "void"},
};

Oid tug__pg_element_of(Oid type)
{
    for (size_t i = 0; type != 0 && i < sizeof types / sizeof *types; i++) {
        if (types[i].array == type) {
            return types[i].type;
        }
    }
    return 0;
}

/* Not by the table: it is asked for each parameter of each statement. */
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
    case TUG__PG_TIME:
        return TUG__PG_KIND_TIME;
    case TUG__PG_TIMETZ:
        return TUG__PG_KIND_TIMETZ;
    case TUG__PG_INTERVAL:
        return TUG__PG_KIND_INTERVAL;
    case TUG__PG_MACADDR:
        return TUG__PG_KIND_MACADDR;
    case TUG__PG_MACADDR8:
        return TUG__PG_KIND_MACADDR8;
    case TUG__PG_INET:
    case TUG__PG_CIDR:
        return TUG__PG_KIND_INET;
    case TUG__PG_CHAR:
    case TUG__PG_NAME:
    case TUG__PG_TEXT:
    case TUG__PG_JSON:
    case TUG__PG_UNKNOWN:
    case TUG__PG_BPCHAR:
    case TUG__PG_VARCHAR:
        return TUG__PG_KIND_TEXT;
    default:
        return tug__pg_element_of(type) != 0 ? TUG__PG_KIND_ARRAY : TUG__PG_KIND_OTHER;
    }
}

const char *tug__pg_type_name(Oid type)
{
    static _Thread_local char others[4][40];
    static _Thread_local unsigned turn;
    Oid element = tug__pg_element_of(type);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == (element != 0 ? element : type)) {
            if (element == 0) {
                return types[i].name;
            }
            char *array = others[turn++ % 4];
            snprintf(array, sizeof others[0], "%s[]", types[i].name);
            return array;
        }
    }
    char *other = others[turn++ % 4];
    snprintf(other, sizeof others[0], "the type with OID %u", type);
    return other;
}
