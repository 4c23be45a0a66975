/* What:      how many bytes of one answer have been read. libpq builds a result in memory, without
 *            a bound and without a call that tells how far it is; so the socket is asked, and only
 *            while one answer takes many reads: an ordinary statement never pays for it.
 * Ownership: none. Context: any. Callbacks: none. Errors: none: what cannot be measured counts as
 *            nothing. */
#ifndef TUG_PG_METER_H
#define TUG_PG_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: a new answer. */
typedef struct tug__pg_meter {
    size_t bytes; /* of this answer, as far as was looked */
    size_t reads;
    uint64_t socket_at; /* bytes that had been read from the TCP socket when the looking began */
    int waiting;        /* bytes in the socket before this read */
} tug__pg_meter;

static inline void tug__pg_meter_reset(tug__pg_meter *m)
{
    m->bytes = 0;
    m->reads = 0;
    m->socket_at = 0;
}
/* One read also brings what follows the answer: as much as libpq's buffer takes, which is less than twice what
 * it had to hold so far, and as much as the socket has, a few MiB at most. What is within the limit all the
 * same is found out when it is whole. */
static inline bool tug__pg_meter_exceeds(const tug__pg_meter *m, size_t limit)
{
    const size_t least = (size_t)64 << 10, most = (size_t)8 << 20;
    return m->bytes > limit + least + (limit < most / 2 ? 2 * limit : most);
}
/* Around each read of the answer. */
void tug__pg_meter_before(tug__pg_meter *m, int fd);
void tug__pg_meter_after(tug__pg_meter *m, int fd);

#endif
