#include <stdatomic.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

struct tug_buffer {
    atomic_size_t refs;
    size_t size;
    char data[]; /* size bytes and a 0 */
};

int tug_buffer_new(const void *data, size_t size, tug_buffer **ret_buffer)
{
    tug_buffer *b = size < SIZE_MAX - sizeof *b ? tug_alloc(sizeof *b + size + 1) : NULL;
    if (b == NULL) {
        return tug_fail(TUG_ENOMEM, "out of memory for a buffer of %zu bytes", size);
    }
    atomic_init(&b->refs, 1);
    b->size = size;
    if (size > 0) {
        memcpy(b->data, data, size);
    }
    b->data[size] = 0;
    *ret_buffer = b;
    return 0;
}

tug_buffer *tug_buffer_ref(tug_buffer *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

tug_buffer *tug_buffer_unref(tug_buffer *b)
{
    /* Release and acquire: what other threads read must have been read before the memory goes. */
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        tug_free(b);
    }
    return NULL;
}

struct tug_bytes tug_buffer_bytes(const tug_buffer *b)
{
    return b != NULL ? tug_bytes(b->data, b->size) : tug_bytes(NULL, 0);
}
