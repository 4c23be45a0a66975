#include "args.h"

#include "check.h"
#include "element.h"

#include <assert.h>
#include <string.h>
#include <tug/error.h>
#include <tug/sys/alloc.h>

/* Behind the values lie, in this order, what must be aligned and what need not. */
typedef struct args_room {
    char *blocks; /* arrays, their elements: eight bytes at a time */
    char *bytes;  /* characters and flags */
} args_room;

typedef struct args_sizes {
    size_t blocks, bytes;
} args_sizes;

static size_t args_block(size_t size)
{
    return (size + 7) / 8 * 8;
}

/* --- measuring ------------------------------------------------------------------------------------- */

/* Elements with which nothing can be wrong. */
static bool args_is_plain(const struct tug_array *a)
{
    return a->type == TUG_VALUE_INT || a->type == TUG_VALUE_UINT || a->type == TUG_VALUE_BOOL ||
           a->type == TUG_VALUE_DOUBLE || a->type == TUG_VALUE_UUID;
}

static int args_measure_array(const struct tug_array *a, size_t number, args_sizes *sizes)
{
    int rc = tug__pg_check_array(a, "parameter", number);
    if (rc < 0) {
        return rc;
    }
    sizes->blocks += args_block(sizeof *a) + args_block(a->n * a->size);
    sizes->blocks += 2 * args_block(a->dimensions * sizeof *a->sizes);
    sizes->bytes += a->is_null != NULL ? a->n : 0;
    for (size_t i = args_is_plain(a) ? a->n : 0; i < a->n; i++) {
        tug_value v = tug__pg_element(a, i);
        rc = tug__pg_check_element(&v, "parameter", number, i);
        if (rc < 0) {
            return rc;
        }
        sizes->bytes += tug__pg_has_bytes(&v) ? v.u.bytes.size + 1 : 0;
    }
    return 0;
}

static int args_measure(tug_args from, args_sizes *ret_sizes)
{
    args_sizes sizes = {0, 0};
    if (from.n > TUG__PG_PARAMS_MAX) {
        return tug_fail(TUG_ELIMIT, "%zu arguments were given, a statement has at most %d", from.n,
                        TUG__PG_PARAMS_MAX);
    }
    if (from.values == NULL && from.n > 0) {
        return tug_fail(TUG_EINVAL, "%zu arguments were given at NULL", from.n);
    }
    for (size_t i = 0; i < from.n; i++) {
        const tug_value *v = &from.values[i];
        int rc = tug__pg_check_value(v, "parameter", i + 1);
        if (rc == 0 && v->type == TUG_VALUE_ARRAY) {
            rc = args_measure_array(v->u.array, i + 1, &sizes);
        }
        if (rc < 0) {
            return rc;
        }
        sizes.bytes += tug__pg_has_bytes(v) ? v->u.bytes.size + 1 : 0;
    }
    *ret_sizes = sizes;
    return 0;
}

/* --- copying --------------------------------------------------------------------------------------- */

/* Text and bytes, with a 0 behind them. */
static const char *args_put_bytes(args_room *room, const void *data, size_t size)
{
    char *to = room->bytes;
    if (size > 0) {
        memcpy(to, data, size);
    }
    to[size] = 0;
    room->bytes += size + 1;
    return to;
}

static void *args_put_block(args_room *room, const void *data, size_t size)
{
    char *to = room->blocks;
    assert(to != NULL && "arrays are copied into room that was measured for them");
    if (size > 0) {
        memcpy(to, data, size);
    }
    room->blocks += args_block(size);
    return to;
}

/* The elements are copied already: what they point to follows. */
static void args_put_elements(args_room *room, struct tug_array *a)
{
    char *elements = (char *)(uintptr_t)a->data;
    for (size_t i = 0; i < a->n; i++) {
        tug_value v = tug__pg_element(a, i);
        if (!tug__pg_has_bytes(&v)) {
            continue;
        }
        const char *data = args_put_bytes(room, v.u.bytes.data, v.u.bytes.size);
        char *to = elements + i * a->size;
        if (a->type == TUG_VALUE_TEXT) {
            memcpy(to, &data, sizeof data);
        } else if (a->type == TUG_VALUE_BYTES) {
            ((struct tug_bytes *)(void *)to)->data = data;
        } else {
            ((tug_value *)(void *)to)->u.bytes.data = data;
        }
    }
}

static const struct tug_array *args_put_array(args_room *room, const struct tug_array *from)
{
    struct tug_array *a = args_put_block(room, from, sizeof *from);
    a->data = args_put_block(room, from->data, from->n * from->size);
    if (from->sizes != NULL) {
        a->sizes = args_put_block(room, from->sizes, from->dimensions * sizeof *from->sizes);
    }
    if (from->lower != NULL) {
        a->lower = args_put_block(room, from->lower, from->dimensions * sizeof *from->lower);
    }
    if (from->is_null != NULL) {
        memcpy(room->bytes, from->is_null, from->n);
        a->is_null = (const bool *)room->bytes;
        room->bytes += from->n;
    }
    if (tug__pg_element_has_bytes(a)) {
        args_put_elements(room, a);
    }
    return a;
}

int tug__pg_args_copy(tug__pg_args *to, tug_args from)
{
    args_sizes sizes = {0, 0};
    to->heap = NULL;
    to->args = TUG_NO_ARGS;
    int rc = args_measure(from, &sizes);
    if (rc < 0) {
        return rc;
    }
    tug_value *values = to->values;
    args_room room = {.bytes = to->bytes};
    if (from.n > TUG__PG_ARGS_INLINE || sizes.blocks > 0 ||
        sizes.bytes > TUG__PG_ARGS_INLINE_BYTES) {
        values = to->heap = tug_alloc(from.n * sizeof *values + sizes.blocks + sizes.bytes);
        if (values == NULL) {
            return tug_fail(TUG_ENOMEM, "no memory for %zu arguments of %zu bytes", from.n,
                            sizes.blocks + sizes.bytes);
        }
        room.blocks = (char *)(values + from.n);
        room.bytes = room.blocks + sizes.blocks;
    }
    for (size_t i = 0; i < from.n; i++) {
        values[i] = from.values[i];
        if (tug__pg_has_bytes(&values[i])) {
            struct tug_bytes *b = &values[i].u.bytes;
            b->data = args_put_bytes(&room, b->data, b->size);
        } else if (values[i].type == TUG_VALUE_ARRAY) {
            values[i].u.array = args_put_array(&room, values[i].u.array);
        }
    }
    to->args = (tug_args){values, from.n};
    return 0;
}

void tug__pg_args_free(tug__pg_args *a)
{
    tug_free(a->heap);
    a->heap = NULL;
    a->args = TUG_NO_ARGS;
}
