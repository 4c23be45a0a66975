/* What:      the differences between hiredis 0.14 (Debian 12) and 1.x that the reader meets.
 * Ownership, callbacks: none. Context: loop stack. Errors: none. */
#ifndef TUG_REDIS_COMPAT_H
#define TUG_REDIS_COMPAT_H

#include <hiredis/hiredis.h>
#include <hiredis/read.h>
#include <stddef.h>

#if HIREDIS_MAJOR >= 1
#define REDIS_READS_RESP3 1
typedef size_t redis_count;

static inline const redisReadTask *redis_current_task(const redisReader *h)
{
    return h->ridx >= 0 ? h->task[h->ridx] : NULL;
}
#else
#define REDIS_READS_RESP3 0
typedef int redis_count;

static inline const redisReadTask *redis_current_task(const redisReader *h)
{
    return h->ridx >= 0 ? &h->rstack[h->ridx] : NULL;
}
#endif

#endif
