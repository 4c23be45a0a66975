/* What:      advisory locks: the server keeps them, what they protect is the programs' affair. One at a
 *            time for a job of the fleet, a leader, a migration.
 * Ownership: tug_pg_lock is yours: close. A lock in a transaction belongs to that.
 * Context:   the loop's thread. What is marked TUG_SUSPENDS is for tasks; the rest for any context.
 * Callbacks: none.
 * Errors:    those of tug_pg_acquire and tug_pg_exec; TUG_ENOTFOUND: taken by somebody else
 *            (TUG_PG_LOCK_TRY). */
#ifndef TUG_PG_LOCK_H
#define TUG_PG_LOCK_H

#include <tug/pg.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tug_pg_lock tug_pg_lock;

/* What is locked: one number of 64 bits or a pair of 32; these are two worlds of their own. */
typedef struct tug_pg_key {
    int64_t value;
    int32_t first, second;
    bool is_pair;
} tug_pg_key;

static inline tug_pg_key tug_pg_key_of(int64_t value)
{
    tug_pg_key key;
    key.value = value;
    key.first = key.second = 0;
    key.is_pair = false;
    return key;
}

static inline tug_pg_key tug_pg_key_pair(int32_t first, int32_t second)
{
    tug_pg_key key;
    key.value = 0;
    key.first = first;
    key.second = second;
    key.is_pair = true;
    return key;
}

enum {
    TUG_PG_LOCK_EXCLUSIVE = 0,
    TUG_PG_LOCK_SHARED = 1, /* others may share it, nobody has it exclusively */
    TUG_PG_LOCK_TRY = 2     /* or-ed with one of these: do not wait */
};

/* Waits for the lock, up to the caller's deadline, and keeps it until it is closed. On a pool with a
 * connection of its own, which stays leased meanwhile; the caller may use the pool all the same. On a
 * session with that one. On a transaction: TUG_EMISUSE, see tug_pg_lock_in. A lock may be taken again by
 * its session; each close gives one back. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_lock_take(tug_pg *db, tug_pg_key key, unsigned flags,
                                             tug_pg_lock **ret_lock) TUG_CHECK;
/* False: its connection is lost, and the lock with it: somebody else may have it now. Known as soon as the
 * connection's end is, which a network that drops all may delay: what must not be done twice at any price
 * needs a check of the database's own at the end. */
TUG_EXPORT bool tug_pg_lock_is_held(const tug_pg_lock *lock);
/* Gives it back, without waiting. NULL is fine. */
TUG_EXPORT void tug_pg_lock_close(tug_pg_lock *lock);
TUG_AUTO_FN(tug_pg_lock, tug_pg_lock_close)

/* Waits for the lock and keeps it until the transaction ends, however it ends; a savepoint that is rolled
 * back gives it back as well. */
TUG_SUSPENDS TUG_EXPORT int tug_pg_lock_in(tug_pg *tx, tug_pg_key key, unsigned flags) TUG_CHECK;

#ifdef __cplusplus
}
#endif
#endif
