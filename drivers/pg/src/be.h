/* What:      numbers as the protocol writes them: big-endian, not aligned.
 * Ownership: none. Context: any. Callbacks: none. Errors: none; the caller has checked the length. */
#ifndef TUG_PG_BE_H
#define TUG_PG_BE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t tug__pg_get16(const void *p)
{
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return be16toh(x);
}
static inline uint32_t tug__pg_get32(const void *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return be32toh(x);
}
static inline uint64_t tug__pg_get64(const void *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return be64toh(x);
}
static inline void tug__pg_put16(void *p, uint16_t x)
{
    x = htobe16(x);
    memcpy(p, &x, sizeof x);
}
static inline void tug__pg_put32(void *p, uint32_t x)
{
    x = htobe32(x);
    memcpy(p, &x, sizeof x);
}
static inline void tug__pg_put64(void *p, uint64_t x)
{
    x = htobe64(x);
    memcpy(p, &x, sizeof x);
}

#endif
