/* What:      the codec of librabbitmq, wherever its headers stand: <amqp.h> up to 0.11, <rabbitmq-c/amqp.h>
 *            since 0.12. Only amqp_encode_*, amqp_decode_* and pools of our own are used: what touches an
 *            amqp_connection_state_t aborts in wrong states, blocks, or keeps 128 KiB a channel.
 * Ownership: decoded strings point into the encoded bytes, decoded structs and entry lists into the pool.
 *            Fields of absent properties are uninitialised: test _flags first.
 * Context:   the loop's stack; encoding of flat values anywhere.
 * Callbacks: none.
 * Errors:    negative AMQP_STATUS_* codes. */
#ifndef TUG_AMQP_CODEC_H
#define TUG_AMQP_CODEC_H

#include <stdint.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#define TUG__AMQP_NEW_HEADERS 1
#endif
#endif
#ifndef TUG__AMQP_NEW_HEADERS
#include <amqp.h>
#include <amqp_framing.h>
#endif

#define TUG__AMQP_CLASS_BASIC 60
/* Frame header and end byte. */
#define TUG__AMQP_FRAME_HEAD 7
#define TUG__AMQP_FRAME_EXTRA (TUG__AMQP_FRAME_HEAD + 1)
/* Class, weight, body size and the first word of flags: what a content header has at least. */
#define TUG__AMQP_CONTENT_HEAD 14

static inline uint16_t tug__amqp_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t tug__amqp_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t tug__amqp_get64(const uint8_t *p)
{
    return (uint64_t)tug__amqp_get32(p) << 32 | tug__amqp_get32(p + 4);
}

static inline void tug__amqp_put16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)(x >> 8);
    p[1] = (uint8_t)x;
}

static inline void tug__amqp_put32(uint8_t *p, uint32_t x)
{
    tug__amqp_put16(p, (uint16_t)(x >> 16));
    tug__amqp_put16(p + 2, (uint16_t)x);
}

static inline void tug__amqp_put64(uint8_t *p, uint64_t x)
{
    tug__amqp_put32(p, (uint32_t)(x >> 32));
    tug__amqp_put32(p + 4, (uint32_t)x);
}

static inline amqp_bytes_t tug__amqp_bytes(const void *data, size_t size)
{
    amqp_bytes_t b;
    b.len = size;
    b.bytes = (void *)(uintptr_t)data; /* the codec's type has no const; encoding only reads */
    return b;
}

/* NULL counts as "". */
static inline amqp_bytes_t tug__amqp_text(const char *text)
{
    return tug__amqp_bytes(text, text != NULL ? strlen(text) : 0);
}

#endif
