#include "arraytext.h"

#include "be.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <tug/error.h>

typedef struct text_in {
    const char *p, *end;
    char *to;  /* where the next element goes: its length, its bytes, a 0 */
    size_t n;  /* elements so far */
    int depth; /* braces that are open */
    int deepest;
    int32_t
        counts[TUG_PG_ARRAY_DIMENSIONS_MAX]; /* members of the brace that is open on each level */
    int32_t sizes[TUG_PG_ARRAY_DIMENSIONS_MAX]; /* of the first that was closed; 0: none yet */
} text_in;

static bool text_int(text_in *in, int32_t *ret_x)
{
    int64_t x = 0;
    bool negative = in->p < in->end && *in->p == '-';
    const char *first = in->p += negative;
    for (; in->p < in->end && *in->p >= '0' && *in->p <= '9' && x <= INT32_MAX; in->p++) {
        x = x * 10 + (*in->p - '0');
    }
    x = negative ? -x : x;
    *ret_x = (int32_t)x;
    return in->p > first && x >= INT32_MIN && x <= INT32_MAX;
}

static bool text_char(text_in *in, char c)
{
    if (in->p == in->end || *in->p != c) {
        return false;
    }
    in->p++;
    return true;
}

/* [2:4][0:1]= : only where a lower bound is not 1. */
static bool text_bounds(text_in *in, tug_pg_array *a, int *ret_n)
{
    int n = 0;
    for (int i = 0; i < TUG_PG_ARRAY_DIMENSIONS_MAX; i++) {
        a->lower[i] = 1;
    }
    while (text_char(in, '[')) {
        int32_t lower, upper;
        if (n == TUG_PG_ARRAY_DIMENSIONS_MAX || !text_int(in, &lower) || !text_char(in, ':') ||
            !text_int(in, &upper) || !text_char(in, ']')) {
            return false;
        }
        a->lower[n++] = lower;
    }
    *ret_n = n;
    return n == 0 || text_char(in, '=');
}

/* Between quotes a backslash makes the next character plain. */
static bool text_quoted(text_in *in)
{
    while (in->p < in->end && *in->p != '"') {
        in->p += *in->p == '\\';
        if (in->p == in->end) {
            return false;
        }
        *in->to++ = *in->p++;
    }
    return text_char(in, '"');
}

static bool text_bare(text_in *in)
{
    const char *first = in->p;
    while (in->p < in->end && strchr(",{}\"\\", *in->p) == NULL) {
        *in->to++ = *in->p++;
    }
    return in->p > first;
}

static bool text_element(text_in *in)
{
    char *length = in->to, *first = in->to += 4;
    bool quoted = text_char(in, '"');
    if (!(quoted ? text_quoted(in) : text_bare(in))) {
        return false;
    }
    size_t size = (size_t)(in->to - first);
    in->n++;
    if (!quoted && size == 4 && strncasecmp(first, "null", 4) == 0) {
        tug__pg_put32(length, UINT32_MAX);
        in->to = first;
        return true;
    }
    tug__pg_put32(length, (uint32_t)size);
    *in->to++ = 0;
    return true;
}

/* All braces of a level have the same number of members. */
static bool text_close(text_in *in)
{
    int level = --in->depth;
    if (in->sizes[level] == 0) {
        in->sizes[level] = in->counts[level];
    }
    return in->sizes[level] == in->counts[level];
}

/* One member: an element, which stands on the deepest level, or a brace that opens. */
static bool text_member(text_in *in)
{
    if (!text_char(in, '{')) {
        in->counts[in->depth - 1]++;
        if (in->deepest == 0) {
            in->deepest = in->depth;
        }
        return in->depth == in->deepest && text_element(in);
    }
    if (in->depth > 0) {
        in->counts[in->depth - 1]++;
    }
    if (in->depth == TUG_PG_ARRAY_DIMENSIONS_MAX) {
        return false;
    }
    in->counts[in->depth++] = 0;
    return true;
}

static bool text_members(text_in *in)
{
    if (in->p == in->end || *in->p != '{') {
        return false;
    }
    do {
        const char *before = in->p;
        if (!text_member(in)) {
            return false;
        }
        if (*before == '{') {
            continue; /* its first member follows at once */
        }
        while (in->depth > 0 && text_char(in, '}')) {
            if (!text_close(in)) {
                return false;
            }
        }
        if (in->depth > 0 && !text_char(in, ',')) {
            return false;
        }
    } while (in->depth > 0);
    return in->p == in->end;
}

static bool text_read(text_in *in, tug_pg_array *a)
{
    int bounds = 0;
    if (!text_bounds(in, a, &bounds)) {
        return false;
    }
    if (in->end - in->p == 2 && memcmp(in->p, "{}", 2) == 0) {
        return true;
    }
    if (!text_members(in) || (bounds != 0 && bounds != in->deepest)) {
        return false;
    }
    a->n = in->n;
    a->dimensions = in->deepest;
    memcpy(a->sizes, in->sizes, sizeof a->sizes);
    return true;
}

int tug__pg_arraytext_read(const tug__pg_cell *cell, tug_pg_array *array)
{
    /* An element takes a character and a comma or brace there, and here five bytes more than its
     * characters. */
    size_t room = 4 * cell->size + 8;
    char *to = PQresultAlloc(cell->res, room);
    if (to == NULL) {
        return tug__pg_cell_fail(cell, TUG_ENOMEM, "no memory to take apart an array of %zu bytes",
                                 cell->size);
    }
    text_in in = {.p = cell->data, .end = cell->data + cell->size, .to = to};
    bool good = text_read(&in, array);
    assert((size_t)(in.to - to) <= room && "an array taken apart is larger than its text allows");
    if (!good) {
        return tug__pg_cell_malformed(cell);
    }
    array->data = to;
    array->end = in.to;
    return 0;
}
