/* What:      the PostgreSQL types that this driver knows by heart: their OIDs, and the kind of each,
 *            which is what encoders and decoders are chosen by.
 * Ownership: nothing is kept. Context: any thread. Callbacks: none. Errors: none. */
#ifndef TUG_PG_TYPE_H
#define TUG_PG_TYPE_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

/* OIDs of pg_type.dat: fixed for ever, because clients like this one compile them in. */
enum {
    TUG__PG_BOOL = 16,
    TUG__PG_BYTEA = 17,
    TUG__PG_CHAR = 18, /* "char": one byte, in the system catalogs */
    TUG__PG_NAME = 19,
    TUG__PG_INT8 = 20,
    TUG__PG_INT2 = 21,
    TUG__PG_INT4 = 23,
    TUG__PG_TEXT = 25,
    TUG__PG_OID = 26,
    TUG__PG_JSON = 114,
    TUG__PG_CIDR = 650,
    TUG__PG_FLOAT4 = 700,
    TUG__PG_FLOAT8 = 701,
    TUG__PG_UNKNOWN = 705,
    TUG__PG_MACADDR8 = 774,
    TUG__PG_MACADDR = 829,
    TUG__PG_INET = 869,
    TUG__PG_BPCHAR = 1042,
    TUG__PG_VARCHAR = 1043,
    TUG__PG_DATE = 1082,
    TUG__PG_TIME = 1083,
    TUG__PG_TIMESTAMP = 1114,
    TUG__PG_TIMESTAMPTZ = 1184,
    TUG__PG_INTERVAL = 1186,
    TUG__PG_TIMETZ = 1266,
    TUG__PG_NUMERIC = 1700,
    TUG__PG_UUID = 2950,
    TUG__PG_JSONB = 3802
};

/* Types that share an encoder and a decoder share a kind. */
typedef enum tug__pg_kind {
    TUG__PG_KIND_OTHER, /* no binary decoder: text both ways, the server parses and prints */
    TUG__PG_KIND_BOOL,
    TUG__PG_KIND_INT2,
    TUG__PG_KIND_INT4,
    TUG__PG_KIND_INT8,
    TUG__PG_KIND_OID,
    TUG__PG_KIND_FLOAT4,
    TUG__PG_KIND_FLOAT8,
    TUG__PG_KIND_NUMERIC,
    TUG__PG_KIND_TEXT, /* binary and text form are the same bytes: text, varchar, name, json, ... */
    TUG__PG_KIND_JSONB,
    TUG__PG_KIND_BYTEA,
    TUG__PG_KIND_UUID,
    TUG__PG_KIND_TIMESTAMPTZ,
    TUG__PG_KIND_TIMESTAMP,
    TUG__PG_KIND_DATE,
    TUG__PG_KIND_TIME,
    TUG__PG_KIND_TIMETZ,
    TUG__PG_KIND_INTERVAL,
    TUG__PG_KIND_INET, /* cidr too */
    TUG__PG_KIND_MACADDR,
    TUG__PG_KIND_MACADDR8,
    TUG__PG_KIND_ARRAY, /* of any kind above but OTHER */
    TUG__PG_KIND_MAX
} tug__pg_kind;

tug__pg_kind tug__pg_kind_of(Oid type);
/* Of an array type that is known by heart its elements' type, else 0. */
Oid tug__pg_element_of(Oid type);

/* "int4"; a type that is not known by heart is "the type with OID 12345". Static, or one of four
 * per-thread places in turn. */
const char *tug__pg_type_name(Oid type);

/* The microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch. */
#define TUG__PG_EPOCH_US INT64_C(946684800000000)
#define TUG__PG_EPOCH_DAYS 10957
#define TUG__PG_DAY_US INT64_C(86400000000)

#endif
