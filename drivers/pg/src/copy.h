/* What:      a COPY between its files: copy.c its life, copy_in.c data that go in, copy_out.c data that
 *            come out, copy_fd.c file descriptors, copy_table.c tables by name.
 * Ownership: as in <tug/pg_copy.h>.
 * Context:   the loop's thread.
 * Callbacks: none.
 * Errors:    by tug_fail. */
#ifndef TUG_PG_COPY_INSIDE_H
#define TUG_PG_COPY_INSIDE_H

#include <tug/pg_copy.h>

#include "copyshape.h"
#include "flow.h"
#include "hooks.h"
#include "result.h"

/* Bytes that wait for the socket before a writer does, or for a reader before the socket does; and what
 * is left of them when a writer may go on. Large enough to keep a 10 Gbit/s peer busy for the
 * 100 us that a turn with other work may take. */
#define TUG__PG_COPY_FULL ((size_t)256 << 10)
#define TUG__PG_COPY_LOW ((size_t)128 << 10)
/* One read from a file, or write to it. */
#define TUG__PG_COPY_BLOCK ((size_t)64 << 10)

/*   STARTING --"send data", "here they are"--> OPEN --finish--> FINISHING --answer--> ENDED
 *                                               +-- error, lost, closed, out: end -----^   */
typedef enum tug__pg_copy_state {
    TUG__PG_COPYING_STARTING,
    TUG__PG_COPYING_OPEN,
    TUG__PG_COPYING_FINISHING,
    TUG__PG_COPYING_ENDED
} tug__pg_copy_state;

struct tug_pg_copy {
    tug__pg_flow flow; /* first */
    tug__pg_copier copier;
    tug__pg_copy_state state;
    bool was_finished;    /* ENDED: its user knows */
    tug_waiters moved;    /* writers that wait for room, readers that wait for data */
    tug_waiters over;     /* finish */
    int64_t rows;         /* the server's count */
    uint64_t given;       /* in: rows put; out: rows read */
    tug_error error;      /* ENDED; code 0: ended well */
    tug__pg_shape *shape; /* of a table; NULL: not known */
    int format;           /* with a shape: TUG_PG_COPY_* */
    bool is_torn;         /* data were cut somewhere: in, a write; out, to a descriptor */
    bool has_blocks;      /* in: bytes were written, which bring head and end with them */
    /* Out: what the reader has, while the connection fills copier.data. */
    tug__pg_bytes reading;
    size_t read_at;       /* next: behind the current row */
    bool began;           /* next: the file header was seen */
    PGresult *out_shape;  /* next: the columns */
    tug_pg_result *row;   /* next: shows the current row */
    tug__pg_raw *raw;     /* its values */
    tug__pg_bytes values; /* with zeros behind them */
    tug__pg_span span;
    char *sql;
};

/* Opens it. session: taken over, on failure too; NULL when db is none of a pool. sql is copied. shape: taken
 * over, on failure too; may be NULL. */
TUG_SUSPENDS int tug__pg_copy_open(tug_pg *db, tug_pg *session, const char *sql, bool is_out,
                                   tug__pg_shape *shape, tug_pg_copy **ret_copy);
/* TUG_EMISUSE if the data go the other way. */
int tug__pg_copy_check(const tug_pg_copy *copy, bool is_out, const char *what);
/* Takes all of data, there being some room already. */
TUG_SUSPENDS int tug__pg_copy_put(tug_pg_copy *copy, struct tug_bytes data);
/* Waits for room. */
TUG_SUSPENDS int tug__pg_copy_wait_room(tug_pg_copy *copy, const char *what);

#endif
