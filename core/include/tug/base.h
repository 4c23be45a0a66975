/* What:      the words every tug header uses: annotations, durations, bytes, shared buffers.
 * Ownership: ret_ pointers are yours; returned pointers are borrowed; exceptions stand at the declaration.
 * Context:   everything here may be called from any thread.
 * Callbacks: none.
 * Errors:    TUG_ENOMEM from tug_buffer_new, nothing else fails. */
#ifndef TUG_BASE_H
#define TUG_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The calling task may be suspended inside: task only. Expands to nothing; made for grep. */
#define TUG_SUSPENDS
/* Ignoring the result loses data or control flow. */
#define TUG_CHECK __attribute__((warn_unused_result))
/* Ignores it all the same, in so many words. */
#define TUG_IGNORE(call) ((void)((call) == 0))
#define TUG_EXPORT __attribute__((visibility("default")))
#define TUG_PRINTF(at, first) __attribute__((format(printf, at, first)))

/* TUG_AUTO(tug_pg) db = NULL;  releases db at the end of the block, on every path. */
#define TUG_AUTO(type) __attribute__((cleanup(type##__autop))) type *
#define TUG_AUTO_FN(type, fn)                                                                      \
    static inline void type##__autop(type **p)                                                     \
    {                                                                                              \
        if (*p != NULL) {                                                                          \
            fn(*p);                                                                                \
            *p = NULL;                                                                             \
        }                                                                                          \
    }

/* A length of time in nanoseconds. Negative counts as zero. */
typedef int64_t tug_duration;
/* An instant of the loop's monotonic clock, in nanoseconds. */
typedef int64_t tug_time;
#define TUG_US(x) ((tug_duration)(INT64_C(1000) * (x)))
#define TUG_MS(x) ((tug_duration)(INT64_C(1000000) * (x)))
#define TUG_SECONDS(x) ((tug_duration)(INT64_C(1000000000) * (x)))
#define TUG_FOREVER INT64_MAX

/* Borrowed bytes: whoever made them says how long they live. */
struct tug_bytes {
    const void *data;
    size_t size;
};

static inline struct tug_bytes tug_bytes(const void *data, size_t size)
{
    struct tug_bytes b;
    b.data = data;
    b.size = size;
    return b;
}

/* Shared, immutable bytes, reference counted (atomically: they may cross threads). The byte behind
 * the last one is 0, so that text may be read as a C string. */
typedef struct tug_buffer tug_buffer;

/* Copies size bytes. TUG_ENOMEM. */
TUG_EXPORT int tug_buffer_new(const void *data, size_t size, tug_buffer **ret_buffer);
TUG_EXPORT tug_buffer *tug_buffer_ref(tug_buffer *b);
/* NULL is fine. Returns NULL. */
TUG_EXPORT tug_buffer *tug_buffer_unref(tug_buffer *b);
/* Borrowed: valid while the caller holds its reference. Of NULL: no bytes. */
TUG_EXPORT struct tug_bytes tug_buffer_bytes(const tug_buffer *b);
TUG_AUTO_FN(tug_buffer, tug_buffer_unref)

#ifdef __cplusplus
}
#endif
#endif
