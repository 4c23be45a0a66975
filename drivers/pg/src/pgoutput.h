/* What:      the messages of pgoutput (protocol version 1), decoded. Pure: bytes in, one change out.
 * Ownership: the decoder keeps the relations it was told of, and one change's fields; what a change
 *            points to lives until the next decode and while the message's bytes do.
 * Context:   any thread, one at a time. Callbacks: none.
 * Errors:    TUG_EPROTO with what does not fit, TUG_ELIMIT, TUG_ENOMEM. The peer decides about the
 *            bytes: nothing of them is trusted. */
#ifndef TUG_PG_PGOUTPUT_H
#define TUG_PG_PGOUTPUT_H

#include <tug/pg_replication.h>

/* Tables of one stream: a database with more would cost the server more than us. */
#define TUG__PG_RELATIONS_MAX 100000
/* The server's MaxTupleAttributeNumber. */
#define TUG__PG_COLUMNS_MAX 1664

typedef struct tug__pg_pgoutput {
    struct tug__pg_published **relations; /* by oid */
    size_t relations_n, relations_room;
    tug_pg_field *fields[2]; /* row, before */
    size_t fields_room[2];
    const tug_pg_relation **truncated;
    size_t truncated_room;
    uint32_t xid;   /* of the transaction under way; 0: none */
} tug__pg_pgoutput; /* zeroed is new */

/* data: n bytes and one more, which may be written: values get their 0 in place. lsn: of the frame
 * around the message. */
int tug__pg_pgoutput_decode(tug__pg_pgoutput *d, char *data, size_t n, uint64_t lsn,
                            tug_pg_change *ret_change);
/* What was under way is void. */
void tug__pg_pgoutput_restart(tug__pg_pgoutput *d);
void tug__pg_pgoutput_free(tug__pg_pgoutput *d);

/* What can be told of a message without decoding it. */
typedef enum tug__pg_pgoutput_mark {
    TUG__PG_MARK_WITHIN, /* of a transaction, or of none */
    TUG__PG_MARK_BEGIN,
    TUG__PG_MARK_END /* ret_end is behind it: a commit, or a message outside of transactions */
} tug__pg_pgoutput_mark;
tug__pg_pgoutput_mark tug__pg_pgoutput_look(const char *data, size_t n, uint64_t *ret_end);

/* Microseconds since 2000-01-01 as the protocol has them. */
struct tug_timestamp tug__pg_pgoutput_time(int64_t us);

#endif
