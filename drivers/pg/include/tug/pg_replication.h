/* What:      what happens to tables of PostgreSQL, as a stream: logical replication by pgoutput, for
 *            workers that carry changes elsewhere.
 * Ownership: tug_pg_changes is yours until tug_pg_changes_close. A change and all that it points to is
 *            borrowed until the next call of tug_pg_changes_next, or the close.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    TUG_ESERVER with the SQLSTATE (42704: no such slot or publication, 55006: the slot is in
 *            use), what connecting fails with, TUG_EPROTO for messages that cannot be, TUG_ELIMIT,
 *            TUG_ECLOSED after close and when a temporary slot went with its connection. */
#ifndef TUG_PG_REPLICATION_H
#define TUG_PG_REPLICATION_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The stream of one replication slot, over a connection of its own.
 *
 * It connects again by itself when the connection is lost, and goes on behind the last transaction that
 * came whole: within one stream no change is lost and no transaction comes twice; one that was cut is
 * given up with TUG_PG_CHANGE_RESTART and comes again from its begin. After a restart of the program it
 * goes on behind what was confirmed (tug_pg_changes_confirm): what was not, comes again.
 *
 * The server keeps its write-ahead log from the confirmed place on: a slot whose stream does not run or
 * does not confirm fills the server's disk. Where no changes come for this stream, the place moves on
 * by itself with what the server says. */
typedef struct tug_pg_changes tug_pg_changes;

enum {
    TUG_PG_SLOT_EXISTS,            /* the slot is there: TUG_ESERVER 42704 if it is not */
    TUG_PG_SLOT_CREATE,            /* makes it: TUG_ESERVER 42710 if it is there already */
    TUG_PG_SLOT_CREATE_IF_MISSING, /* makes it, or goes on with the one that is there */
    TUG_PG_SLOT_TEMPORARY          /* makes one that goes with the connection */
};

typedef struct tug_pg_changes_options {
    size_t size;
    /* The slot's name, lower-case letters, digits and _, 1 to 63; required. */
    const char *slot;
    int slot_mode; /* TUG_PG_SLOT_*; TUG_PG_SLOT_EXISTS */
    /* Which publications, 1 to 64 names; required. They are there before the changes of interest. */
    const char *const *publications;
    size_t publications_n;
    /* Where to begin: behind the transaction whose commit said so. 0: at the slot's confirmed place, and
     * not before it in any case; 0. */
    uint64_t from;
    bool binary;   /* values in the types' binary form where they have one; server >= 14; false */
    bool messages; /* what pg_logical_emit_message sends too; server >= 14; false */
    /* Bytes of changes that wait for tug_pg_changes_next, 64 KiB to 1 GiB; 4 MiB. When they are reached
     * the socket is not read until half of them are taken: the server waits. */
    size_t max_queued_bytes;
    /* One message (a row with its old values), 64 KiB to 2^40; 256 MiB. Beyond: TUG_ELIMIT, the end of the
     * stream. Rounded up by a few reads. */
    size_t max_message_bytes;
    /* How often the server hears how far we are, ns, 1 ms or more; 10 s. Never less often than three
     * times in its wal_sender_timeout; and after each turn of the loop in which something was confirmed. */
    tug_duration status_interval;
    /* After this much silence the server is asked for a word, ns, 1 ms or more, TUG_FOREVER: never; 30 s.
     * And the time for it, ns, 1 ms or more; 10 s: without one the connection is lost. */
    tug_duration check_after;
    tug_duration check_timeout;
    /* For one login over all addresses and the look-up, ns, 1 ms to 1 h; 0: the connect_timeout of the
     * URL, else 10 s. */
    tug_duration connect_timeout;
    /* The pause after the first connect that failed, ns, more than 0; 100 ms. It doubles with each
     * further one, with jitter, up to the longest, ns, not less than the first; 10 s. */
    tug_duration backoff_first;
    tug_duration backoff_most;
    /* How long an outage may last before tug_pg_changes_next fails with the latest connect error, ns, 0 or
     * more; TUG_FOREVER: it waits. */
    tug_duration patience;
} tug_pg_changes_options;
#define TUG_PG_CHANGES_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(tug_pg_changes_options), NULL, TUG_PG_SLOT_EXISTS, NULL, 0, 0, false, false,        \
            (size_t)4 << 20, (size_t)256 << 20, TUG_SECONDS(10), TUG_SECONDS(30), TUG_SECONDS(10), \
            0, TUG_MS(100), TUG_SECONDS(10), TUG_FOREVER                                           \
    }

typedef struct tug_pg_column {
    const char *name;
    uint32_t type;    /* OID in pg_type */
    int32_t modifier; /* atttypmod */
    bool is_key;      /* part of the replica identity */
} tug_pg_column;

typedef struct tug_pg_relation {
    uint32_t oid;
    const char *schema; /* "" for pg_catalog */
    const char *name;
    char identity; /* as pg_class.relreplident: 'd' primary key, 'i' index, 'f' full, 'n' nothing */
    size_t columns_n;
    const tug_pg_column *columns; /* those that are published, in the order of the rows' fields */
} tug_pg_relation;

enum {
    TUG_PG_FIELD_NULL,
    TUG_PG_FIELD_TEXT,     /* as the server prints it; a 0 follows the last byte */
    TUG_PG_FIELD_BINARY,   /* as the type's send function has it */
    TUG_PG_FIELD_UNCHANGED /* a large value that the update left alone: not sent */
};

typedef struct tug_pg_field {
    int kind; /* TUG_PG_FIELD_* */
    struct tug_bytes value;
} tug_pg_field;

enum {
    TUG_PG_CHANGE_BEGIN,    /* lsn of the commit, time, xid */
    TUG_PG_CHANGE_COMMIT,   /* time; lsn is what to confirm when all of it is in safety */
    TUG_PG_CHANGE_INSERT,   /* relation, row */
    TUG_PG_CHANGE_UPDATE,   /* relation, row; before where the identity says so */
    TUG_PG_CHANGE_DELETE,   /* relation, before */
    TUG_PG_CHANGE_TRUNCATE, /* relations, cascade, restart_identity */
    TUG_PG_CHANGE_RELATION, /* relation: as it is from now on; comes before its first row */
    TUG_PG_CHANGE_TYPE,     /* type, schema, name: a type of some column that is not built in */
    TUG_PG_CHANGE_ORIGIN,   /* name, lsn at the origin: the transaction came from there */
    TUG_PG_CHANGE_MESSAGE, /* transactional, name (the prefix), content; lsn may be confirmed if it is
                             * not transactional */
    TUG_PG_CHANGE_RESTART /* the connection was lost within a transaction: it is void and comes again */
};

enum {
    TUG_PG_BEFORE_NONE, /* the key did not change */
    TUG_PG_BEFORE_KEY,  /* fields of the identity, the others are TUG_PG_FIELD_NULL */
    TUG_PG_BEFORE_ROW   /* replica identity full */
};

typedef struct tug_pg_change {
    int kind;     /* TUG_PG_CHANGE_* */
    uint32_t xid; /* of the transaction around it; 0: none */
    uint64_t lsn; /* place in the write-ahead log; other meanings as above */
    struct tug_timestamp time;
    const tug_pg_relation *relation;
    /* As many as the relation has columns. */
    const tug_pg_field *row;
    const tug_pg_field *before;
    int before_kind; /* TUG_PG_BEFORE_* */
    const tug_pg_relation *const *relations;
    size_t relations_n;
    bool cascade, restart_identity;
    bool transactional;
    uint32_t type;
    const char *schema;
    const char *name;
    struct tug_bytes content;
} tug_pg_change;

/* Connects (url as of tug_pg_open; its user has the REPLICATION attribute) and makes the slot, or starts
 * the stream of one that is there. o is required: slot and publications have no default. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_changes_open(const char *url, const tug_pg_changes_options *o,
                                                tug_pg_changes **ret_changes);
/* The snapshot of a slot that was made: a repeatable read transaction that begins with "set transaction
 * snapshot '...'" sees exactly what the stream does not bring. To be taken before the first
 * tug_pg_changes_next, which ends it. NULL: none. Borrowed. */
TUG_EXPORT const char *tug_pg_changes_snapshot(const tug_pg_changes *c);
/* The latest place that is confirmed; before any: where the stream began (0: the slot knows). */
TUG_EXPORT uint64_t tug_pg_changes_confirmed(const tug_pg_changes *c);

/* 1: the next change. 0: the program was asked to stop; confirm what is done, then close. < 0: a failure;
 * after one of connecting (of the kind that waiting does not cure, a refused login, or beyond patience) the
 * stream goes on trying, and so may the caller; all others stay. One task at a time: TUG_EMISUSE. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_changes_next(tug_pg_changes *c,
                                                const tug_pg_change **ret_change) TUG_CHECK;
/* All up to lsn (of a commit that next gave) is in safety: the server need not keep it, and the slot goes
 * on behind it after a restart. Sent at the end of the loop's turn, without the caller's waiting. TUG_EINVAL:
 * beyond what was given. */
TUG_EXPORT int tug_pg_changes_confirm(tug_pg_changes *c, uint64_t lsn);
/* Tells the server what was confirmed, and ends. Who waits gets TUG_ECLOSED. Never suspends. A slot that is
 * not temporary stays. NULL is fine. */
TUG_EXPORT void tug_pg_changes_close(tug_pg_changes *c);
TUG_AUTO_FN(tug_pg_changes, tug_pg_changes_close)

/* Removes a slot that nobody uses: TUG_ESERVER 42704 (not there), 55006 (in use). */
TUG_SUSPENDS TUG_EXPORT int tug_pg_slot_drop(tug_pg *db, const char *slot) TUG_CHECK;

/* "16/B374D848" as PostgreSQL writes it, and back: TUG_EINVAL. */
#define TUG_PG_LSN_TEXT 18
TUG_EXPORT void tug_pg_lsn_format(uint64_t lsn, char ret_text[TUG_PG_LSN_TEXT]);
TUG_EXPORT int tug_pg_lsn_parse(const char *text, uint64_t *ret_lsn);

#ifdef __cplusplus
}
#endif
#endif
